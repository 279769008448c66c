//! What a calendar month came to: promised, attained, breaches, what did not count.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{budget, class, moment, of, percent, policy, span, target};
use crate::html::{document, table};
use crate::markdown;
use crate::words::{self, NO_DATA};

/// The report as JSON: the months as they were kept, each with its breaches and its compliance ratio, which is attained / promised.
pub fn sla_month_json(month: &str, rows: &[Value]) -> Value {
    let count = |verdict: &str| rows.iter().filter(|row| of(row, "verdict") == verdict).count();
    let row = |row: &Value| {
        let mut row = row.clone();
        row["compliance_ratio"] = json!(compliance(&row));
        row
    };
    json!({
        "schema": 1,
        "month": month,
        "met": count("met"),
        "missed": count("missed"),
        "undecided": count("undecided"),
        "slas": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Attained / promised: 1 or more where the promise was kept.
fn compliance(row: &Value) -> Option<f64> {
    Some(row["attained"].as_f64()? / row["target"].as_f64().filter(|target| *target > 0.0)?)
}

/// A sentence about all of it.
fn headline(rows: &[Value]) -> String {
    let count = |verdict: &str| rows.iter().filter(|row| of(row, "verdict") == verdict).count();
    let (met, undecided) = (count("met"), count("undecided"));
    let unsure = if undecided > 0 {
        format!(", {undecided} cannot be decided for want of events")
    } else {
        String::new()
    };
    format!("{met} of {} promises were kept{unsure}.", rows.len())
}

const COLUMNS: [&str; 8] =
    ["SLA", "Verdict", "Promised", "Attained", "Compliance ratio", "Budget left", "Bad events", "Breaches"];

fn cells(row: &Value) -> [String; 6] {
    let compliance = compliance(row)
        .map_or_else(|| NO_DATA.to_owned(), |ratio| format!("{:.6}", (ratio * 1e6).floor() / 1e6));
    let events = match row["total"].as_f64() {
        Some(total) if total > 0.0 => format!(
            "{} of {}",
            words::significant(row["bad"].as_f64().unwrap_or(0.0)),
            words::significant(total)
        ),
        _ => NO_DATA.to_owned(),
    };
    [
        target(row),
        percent(&row["attained"]),
        compliance,
        budget(&row["budget_remaining_ratio"]),
        events,
        breaches(row).len().to_string(),
    ]
}

fn breaches(row: &Value) -> &[Value] {
    row["breaches"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn exclusions(row: &Value) -> &[Value] {
    row["exclusions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What the figures are of.
fn remark(row: &Value) -> String {
    let share = |part: &Value, whole: f64| part.as_f64().filter(|_| whole > 0.0).map(|part| part / whole);
    let seconds = row["seconds"].as_f64().unwrap_or(0.0);
    let seen = share(&row["seconds_seen"], seconds)
        .map_or_else(String::new, |share| format!(", with data for {} of the time", percent(&json!(share))));
    let agreed = policy(row).map_or_else(String::new, |policy| format!("; budget policy {policy}"));
    let so_far = if row["is_over"] == true {
        String::new()
    } else {
        format!(", so far (to {})", moment(&row["as_of"]))
    };
    format!(
        "{}: {} to {}, {}{so_far}{seen}{agreed}",
        of(row, "label"),
        moment(&row["from"]),
        moment(&row["to"]),
        of(row, "zone")
    )
}

fn lasted(breach: &Value) -> String {
    if breach["ended"].is_string() { span(&breach["began"], &breach["ended"]) } else { "goes on".to_owned() }
}

/// The report as Markdown.
pub fn sla_month_markdown(month: &str, rows: &[Value]) -> String {
    let escaped = markdown::escaped;
    let mut text = format!("# Service levels of {}\n\n{}\n\n", escaped(month), headline(rows));
    let line = |row: &Value| {
        let names = [escaped(of(row, "label")), escaped(of(row, "verdict"))];
        names.into_iter().chain(cells(row)).collect::<Vec<_>>()
    };
    markdown::table(
        &mut text,
        "Promised and attained",
        &COLUMNS,
        2..8,
        &rows.iter().map(line).collect::<Vec<_>>(),
    );
    let found = rows.iter().flat_map(|row| {
        breaches(row).iter().map(|breach| {
            vec![
                escaped(of(row, "label")),
                moment(&breach["began"]),
                span(&breach["began"], &breach["found"]),
                lasted(breach),
                escaped(of(breach, "why")),
            ]
        })
    });
    markdown::table(
        &mut text,
        "Breaches",
        &["SLA", "Began", "Found after", "Lasted", "What was seen"],
        2..4,
        &found.collect::<Vec<_>>(),
    );
    let left_out = rows.iter().flat_map(|row| {
        exclusions(row).iter().map(|one| {
            vec![
                escaped(of(row, "label")),
                moment(&one["from"]),
                moment(&one["to"]),
                escaped(of(one, "reason")),
            ]
        })
    });
    markdown::table(
        &mut text,
        "What does not count",
        &["SLA", "From", "To", "Why"],
        4..4,
        &left_out.collect::<Vec<_>>(),
    );
    for row in rows {
        let _ = writeln!(text, "- {}", escaped(&remark(row)));
    }
    text
}

/// The report as a page.
pub fn sla_month_html(month: &str, rows: &[Value]) -> String {
    document(&format!("Service levels of {month}"), |page| {
        page.put("<h1>Service levels of {}</h1>\n<p>{}</p>\n", &[&month, &headline(rows)]);
        table(page, "Promised and attained", &COLUMNS, &[2, 3, 4, 5, 6, 7], |page| {
            for row in rows {
                page.put(
                    "<tr><th scope=\"row\">{}<small>{}</small></th>",
                    &[&of(row, "label"), &of(row, "title")],
                );
                page.put(
                    "<td><span class=\"mark {}\">{}</span></td>",
                    &[&class(of(row, "verdict")), &of(row, "verdict")],
                );
                for cell in cells(row) {
                    page.put("<td class=\"n\">{}</td>", &[&cell]);
                }
                page.put("</tr>\n", &[]);
            }
        });
        table(
            page,
            "Breaches",
            &["SLA", "Began", "Found after", "Lasted", "What was seen"],
            &[2, 3],
            |page| {
                for (row, breach) in
                    rows.iter().flat_map(|row| breaches(row).iter().map(move |breach| (row, breach)))
                {
                    page.put(
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"why\">{}</td></tr>\n",
                    &[&of(row, "label"), &moment(&breach["began"]), &span(&breach["began"], &breach["found"]), &lasted(breach), &of(breach, "why")],
                );
                }
            },
        );
        table(page, "What does not count", &["SLA", "From", "To", "Why"], &[], |page| {
            for (row, one) in rows.iter().flat_map(|row| exclusions(row).iter().map(move |one| (row, one))) {
                page.put(
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"why\">{}</td></tr>\n",
                    &[&of(row, "label"), &moment(&one["from"]), &moment(&one["to"]), &of(one, "reason")],
                );
            }
        });
        page.put("<section><h2>What the figures are of</h2>\n", &[]);
        for row in rows {
            page.put("<p><small>{}</small></p>\n", &[&remark(row)]);
        }
        page.put("</section>\n", &[]);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Value> {
        let row = |label: &str, verdict: &str, attained: Option<f64>| {
            json!({
                "schema": 1, "name": label, "label": label, "value": null, "title": "Answers <fast>", "service": "web", "zone": "Europe/Berlin",
                "from": "2026-10-31T23:00:00Z", "to": "2026-11-30T23:00:00Z", "is_over": attained.is_none(), "as_of": "2026-11-22T18:00:00Z",
                "target": 0.999, "attained": attained, "verdict": verdict, "good": 998, "bad": 2, "total": if attained.is_some() { 1000 } else { 0 },
                "budget_remaining_ratio": attained.map(|attained| 1.0 - (1.0 - attained) / 0.001),
                "policy": attained.is_some_and(|share| share < 0.999).then(|| json!({"spent": 1.0, "action": "only mend"})), "seconds": 1_882_800, "seconds_seen": 1_800_000, "seconds_excluded": 7200,
                "exclusions": [{"from": "2026-11-01T00:00:00Z", "to": "2026-11-01T02:00:00Z", "reason": "database | moves"}],
                "breaches": [{"began": "2026-11-20T10:00:00Z", "found": "2026-11-20T10:00:02Z", "ended": "2026-11-20T10:05:00Z", "why": "7 of 7 *failed*"}],
            })
        };
        vec![
            row("web-available", "missed", Some(0.998)),
            row("web-fast", "met", Some(0.9995)),
            row("quiet", "undecided", None),
        ]
    }

    #[test]
    fn the_report_stays_as_it_was_looked_at() {
        let rows = rows();
        crate::fixture::golden("sla-month.md", &sla_month_markdown("2026-11", &rows));
        crate::fixture::golden("sla-month.html", &sla_month_html("2026-11", &rows));
        crate::fixture::golden("sla-month.json", &format!("{:#}\n", sla_month_json("2026-11", &rows)));
        assert!(sla_month_markdown("2026-12", &[]).contains("0 of 0 promises"));
    }
}
