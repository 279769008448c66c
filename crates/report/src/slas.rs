//! How SLAs stand, and what a month came to: a table for terminals, pages of a service, a monthly report.
//!
//! All of it is drawn from the JSON that a service tells and keeps, so what is shown later is what was found then.

mod month;
mod page;
mod text;

pub use month::{sla_month_html, sla_month_json, sla_month_markdown};
pub use page::{sla_page, slas_page};
pub use text::slas_text;

use serde_json::Value;

use crate::words::NO_DATA;

/// A share as a percentage with four digits behind the point, cut off and not rounded: what is below a target never reads as
/// if it had reached it.
fn percent(share: &Value) -> String {
    let Some(share) = share.as_f64() else { return NO_DATA.to_owned() };
    // Off by less than any share of whole events: 0.9995 is no binary fraction.
    let cut = (share * 1e6 + 1e-6).floor() / 1e4;
    let text = format!("{cut:.4}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A target as it was promised, with all its digits.
fn target(row: &Value) -> String {
    let Some(share) = row["target"].as_f64() else { return NO_DATA.to_owned() };
    let text = format!("{:.9}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share of a budget, which may be overspent.
fn budget(share: &Value) -> String {
    crate::words::ratio(share.as_f64())
}

/// A text of a row.
fn of<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or("")
}

/// `2026-11-22 18:04:05 UTC` for a moment in RFC 3339.
fn moment(value: &Value) -> String {
    let Some(text) = value.as_str() else { return NO_DATA.to_owned() };
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => crate::words::moment_for_people(moment.as_nanosecond().try_into().unwrap_or(0)),
        Err(_) => text.to_owned(),
    }
}

fn unix(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// How long it was from one moment to another.
fn span(from: &Value, to: &Value) -> String {
    match (unix(from), unix(to)) {
        (Some(from), Some(to)) => crate::words::length((to - from).max(0) as f64),
        _ => NO_DATA.to_owned(),
    }
}

/// Words and the colours of the style sheet.
fn class(state: &str) -> &'static str {
    match state {
        "ok" | "met" => "met",
        "breaching" | "exhausted" | "missed" => "missed",
        _ => "inconclusive",
    }
}

/// The step of the budget policy that is in force, in words.
fn policy(row: &Value) -> Option<String> {
    let action = row["policy"]["action"].as_str()?;
    Some(format!("from {} spent: {action}", percent(&row["policy"]["spent"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Two SLAs, one of them part of a composite.
    pub(super) fn rows() -> Vec<Value> {
        vec![
            json!({
                "schema": 1, "name": "storefront-available", "label": "storefront-available", "value": null, "title": "The storefront answers",
                "service": "storefront", "description": "Requests of the storefront <b>succeed</b>.", "source": "runs of demo", "method": "Occurrences",
                "period": "last 30d", "period_started": "2026-10-23T18:00:00Z", "period_ends": null, "target": 0.9995, "as_of": "2026-11-22T18:00:00Z",
                "state": "breaching", "since": "2026-11-22T17:59:10Z", "why": "99 of 99 requests of the last 1s were bad", "trouble": null,
                "detection_delay_seconds": 1, "attained": 0.999_499_9, "events": {"good": 9_994_999, "bad": 5001, "total": 10_000_000},
                "budget": {"remaining_ratio": -0.0002, "spent_of_period": 0.76},
                "burn_rates": [{"window": "5m", "rate": 14.5, "compliance": 0.99}, {"window": "1h", "rate": 2.0, "compliance": 0.999}],
                "alerts": [{"severity": "page", "factor": 14.4, "long": "1h", "short": "5m", "firing_since": "2026-11-22T17:59:00Z", "why": "it burns", "notify": ["on-call"]}],
                "firing": 1, "policy": {"spent": 0.75, "action": "review every change"}, "runbook_url": "https://example.com/runbooks/storefront",
                "part_of": {"name": "shop", "weight": 1.0},
            }),
            json!({
                "schema": 1, "name": "checkout", "label": "checkout/a\u{1b}[31m", "value": "a\u{1b}[31m", "title": "Checkout", "service": "checkout",
                "source": "Prometheus", "method": "Timeslices", "period": "the calendar month in Europe/Berlin", "target": 0.99,
                "as_of": null, "state": "undecided", "since": null, "why": "there has been no request yet",
                "trouble": "it cannot be reached", "attained": null, "events": {"good": 0, "bad": 0, "total": 0},
                "budget": {"remaining_ratio": null, "spent_of_period": null}, "burn_rates": [{"window": "5m", "rate": null, "compliance": null}],
                "alerts": [], "firing": 0, "policy": null, "runbook_url": null, "part_of": null,
            }),
            json!({
                "label": "shop", "name": "shop", "composite": true, "parts": ["storefront-available"], "state": "breaching", "service": "storefront",
                "period": "last 30d", "as_of": "2026-11-22T18:00:00Z",
                "since": "2026-11-22T17:59:10Z", "why": "storefront-available: 99 of 99", "budget": {"remaining_ratio": -0.0002}, "firing": 1,
            }),
        ]
    }

    #[test]
    fn what_is_below_a_target_never_reads_as_if_it_had_reached_it() {
        assert_eq!(percent(&json!(0.999_499_999)), "99.9499%");
        assert_eq!(percent(&json!(0.9995)), "99.95%");
        assert_eq!(percent(&json!(1.0)), "100%");
        assert_eq!(percent(&json!(0.0)), "0%");
        assert_eq!(percent(&Value::Null), "–");
        assert_eq!(target(&json!({"target": 0.9995})), "99.95%");
        assert_eq!(target(&json!({"target": 0.999_999_999})), "99.9999999%");
    }
}
