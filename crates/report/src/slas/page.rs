//! The pages of SLAs: all of them, and one.

use serde_json::Value;

use super::{budget, class, moment, of, percent, policy, span, target, unix};
use crate::chart::{Axis, Bound, Chart, Line};
use crate::html::{Page, ServicePage, service_document, table};
use crate::words::{self, NO_DATA};

/// Up to so many seconds a course is told in hours and minutes, else in days.
const FINE: f64 = 2.0 * 86_400.0;

/// Where the page of all of them is.
const SLAS: &str = "/sla";

fn around(is_whole: bool) -> ServicePage {
    ServicePage { under: SLAS, is_whole, changes: true }
}

/// How all SLAs stand.
pub fn slas_page(rows: &[Value]) -> String {
    service_document("SLAs", around(true), |page| {
        page.put("<h1>SLAs</h1>\n", &[]);
        if rows.is_empty() {
            page.put(
                "<p>No SLA is judged. <code>sla: [FILE]</code> in the configuration of <code>plimsoll serve</code> names files of them.</p>\n",
                &[],
            );
            return;
        }
        let columns = ["SLA", "State", "Promised", "Attained", "Budget left", "Burn rate", "Why"];
        table(page, "How they stand", &columns, &[2, 3, 4, 5], |page| {
            rows.iter().for_each(|row| line(page, row));
        });
    })
}

fn line(page: &mut Page, row: &Value) {
    let is_composite = row["composite"] == true;
    page.put("<tr><th scope=\"row\">", &[]);
    match is_composite {
        true => page.put("{}", &[&of(row, "label")]),
        false => {
            page.put("<a href=\"{}/{}\">{}</a>", &[&SLAS, &encoded(of(row, "label")), &of(row, "label")])
        }
    };
    let beside = match is_composite {
        true => format!(
            "of {}",
            row["parts"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        false => format!("{} · {}", of(row, "service"), of(row, "period")),
    };
    page.put("<small>{}</small></th>", &[&beside]);
    page.put("<td><span class=\"mark {}\">{}</span></td>", &[&class(of(row, "state")), &of(row, "state")]);
    let promised = if is_composite { NO_DATA.to_owned() } else { target(row) };
    let figures = [promised, percent(&row["attained"]), budget(&row["budget"]["remaining_ratio"]), burn(row)];
    for figure in figures {
        page.put("<td class=\"n\">{}</td>", &[&figure]);
    }
    page.put("<td class=\"why\">{}", &[&of(row, "why")]);
    for more in more(row) {
        page.put("<br><small>{}</small>", &[&more]);
    }
    page.put("</td></tr>\n", &[]);
}

fn burn(row: &Value) -> String {
    let rates = row["burn_rates"].as_array().into_iter().flatten();
    let first = rates.filter_map(|rate| Some((rate["rate"].as_f64()?, of(rate, "window")))).next();
    first.map_or_else(
        || NO_DATA.to_owned(),
        |(rate, window)| format!("{} in {window}", words::significant(rate)),
    )
}

/// What else is to be known at a glance.
fn more(row: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if row["since"].is_string() {
        all.push(format!("since {}", moment(&row["since"])));
    }
    all.extend(row["trouble"].as_str().map(|trouble| format!("no events: {trouble}")));
    all.extend(policy(row).map(|policy| format!("policy {policy}")));
    all
}

/// All there is to say of one.
pub fn sla_page(row: &Value) -> String {
    service_document(of(row, "label"), around(false), |page| {
        let state = of(row, "state");
        page.put(
            "<header class=\"banner {}\"><div><p class=\"brow\">{}</p><h1>{}</h1>",
            &[&class(state), &of(row, "service"), &of(row, "label")],
        );
        page.put(
            "<p>{}</p><p>{}</p></div>",
            &[
                &of(row, "description"),
                &format!("{}, {} since {}", of(row, "why"), state, moment(&row["since"])),
            ],
        );
        page.put("<p class=\"verdict\"><b>{}</b></p>", &[&state]);
        if let Some(trouble) = row["trouble"].as_str() {
            page.put("<p class=\"caveat\">No events: {}</p>", &[&trouble]);
        }
        if let Some(policy) = policy(row) {
            page.put("<p class=\"caveat\">Budget policy {}</p>", &[&policy]);
        }
        page.put("</header>\n<dl class=\"key\">", &[]);
        for (name, value, beside) in key_figures(row) {
            page.put("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", &[&name, &value, &beside]);
        }
        page.put("</dl>\n<div class=\"charts\">\n", &[]);
        course(row).draw(page);
        page.put("</div>\n", &[]);
        rates(page, row);
        alerts(page, row);
        breaches(page, row);
        agreed(page, row);
        if let Some(url) = row["runbook_url"]
            .as_str()
            .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
        {
            page.put("<p class=\"links\"><a href=\"{}\">Runbook</a></p>\n", &[&url]);
        }
    })
}

fn key_figures(row: &Value) -> [(&'static str, String, String); 6] {
    let events = &row["events"];
    let whole = |key: &str| words::significant(events[key].as_f64().unwrap_or(0.0));
    let delay = row["detection_delay_seconds"].as_u64();
    [
        ("Promised", target(row), format!("{}, {}", of(row, "period"), of(row, "method"))),
        ("Attained", percent(&row["attained"]), format!("{} bad of {}", whole("bad"), whole("total"))),
        (
            "Budget left",
            budget(&row["budget"]["remaining_ratio"]),
            "of what the events so far allow".to_owned(),
        ),
        (
            "Budget spent",
            budget(&row["budget"]["spent_of_period"]),
            "of what the whole period will have".to_owned(),
        ),
        (
            "Found after",
            delay.map_or_else(|| NO_DATA.to_owned(), |delay| format!("{delay} s")),
            "the latest breach".to_owned(),
        ),
        ("Events from", of(row, "source").to_owned(), format!("judged to {}", moment(&row["as_of"]))),
    ]
}

/// How the budget went.
fn course(row: &Value) -> Chart {
    let points: Vec<(i64, f64)> = row["burn_down"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|point| Some((unix(&point["at"])?, point["remaining_ratio"].as_f64()?)))
        .collect();
    let first = points.first().map_or(0, |(at, _)| *at);
    let length = points.last().map_or(0.0, |(at, _)| (at - first) as f64);
    let (x, unit) = if length > FINE { (Axis::Days, 86_400.0) } else { (Axis::Offset, 1.0) };
    let points = points.iter().map(|(at, left)| ((at - first) as f64 / unit, Some(*left))).collect();
    Chart {
        title: format!("Error budget left, since {}", moment(&row["burn_down"][0]["at"])),
        x,
        y: Axis::Share,
        lines: vec![Line { name: "budget left".to_owned(), class: "p50", points }],
        bounds: vec![Bound { name: "spent".to_owned(), class: Bound::PROMISE, value: 0.0 }],
        ..Chart::default()
    }
}

fn rates(page: &mut Page, row: &Value) {
    table(page, "Burn rates", &["Over the last", "Burn rate", "Good events"], &[1, 2], |page| {
        for rate in row["burn_rates"].as_array().into_iter().flatten() {
            let burn = rate["rate"].as_f64().map_or_else(|| NO_DATA.to_owned(), words::significant);
            page.put(
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
                &[&of(rate, "window"), &burn, &percent(&rate["compliance"])],
            );
        }
    });
}

fn alerts(page: &mut Page, row: &Value) {
    table(page, "Alerts", &["Fires above", "Over", "Severity", "State", "Why"], &[0], |page| {
        for alert in row["alerts"].as_array().into_iter().flatten() {
            let fires = alert["firing_since"].is_string();
            let state =
                if fires { format!("since {}", moment(&alert["firing_since"])) } else { "quiet".to_owned() };
            let factor = words::significant(alert["factor"].as_f64().unwrap_or(0.0));
            let over = format!("{} and {}", of(alert, "long"), of(alert, "short"));
            let class = if fires { "missed" } else { "met" };
            page.put(
                "<tr><th scope=\"row\" class=\"n\">{}</th><td>{}</td><td>{}</td><td><span class=\"mark {}\">{}</span></td><td class=\"why\">{}</td></tr>\n",
                &[&factor, &over, &of(alert, "severity"), &class, &state, &of(alert, "why")],
            );
        }
    });
}

fn breaches(page: &mut Page, row: &Value) {
    let all = row["breaches"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        page.put("<section><h2>Breaches</h2><p>None was found.</p></section>\n", &[]);
        return;
    }
    table(page, "Breaches", &["Began", "Found after", "Lasted", "What was seen"], &[1, 2], |page| {
        for breach in all {
            let lasted = if breach["ended"].is_string() {
                span(&breach["began"], &breach["ended"])
            } else {
                "goes on".to_owned()
            };
            page.put(
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"why\">{}</td></tr>\n",
                &[&moment(&breach["began"]), &span(&breach["began"], &breach["found"]), &lasted, &of(breach, "why")],
            );
        }
    });
}

/// What does not count, and what was agreed on for when the budget goes.
fn agreed(page: &mut Page, row: &Value) {
    let list = |key: &str| row[key].as_array().cloned().unwrap_or_default();
    let (exclusions, steps) = (list("exclusions"), list("policy_steps"));
    if !exclusions.is_empty() {
        table(page, "What does not count", &["From", "To", "Why"], &[], |page| {
            for one in &exclusions {
                page.put(
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"why\">{}</td></tr>\n",
                    &[&moment(&one["from"]), &moment(&one["to"]), &of(one, "reason")],
                );
            }
        });
    }
    if !steps.is_empty() {
        table(page, "Budget policy", &["Spent", "What is done"], &[0], |page| {
            for step in &steps {
                page.put(
                    "<tr><th scope=\"row\" class=\"n\">{}</th><td class=\"why\">{}</td></tr>\n",
                    &[&percent(&step["spent"]), &of(step, "action")],
                );
            }
        });
    }
}

/// A label as a part of a path.
fn encoded(label: &str) -> String {
    label
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pages_stay_as_they_were_looked_at() {
        let rows = super::super::tests::rows();
        crate::fixture::golden("slas.html", &slas_page(&rows));
        let mut one = rows[0].clone();
        let at = |hour: u32| format!("2026-11-{:02}T{:02}:00:00Z", 10 + hour / 24, hour % 24);
        one["burn_down"] = (0..60)
            .map(|hour| json!({"at": at(hour), "remaining_ratio": 1.0 - f64::from(hour) / 50.0}))
            .collect();
        one["breaches"] = json!([
            {"began": "2026-11-22T17:59:09Z", "found": "2026-11-22T17:59:10Z", "ended": null, "why": "99 of 99 <failed>"},
            {"began": "2026-11-20T10:00:00Z", "found": "2026-11-20T10:00:02Z", "ended": "2026-11-20T10:05:00Z", "why": "7 of 7"},
        ]);
        one["exclusions"] = json!([{"from": "2026-11-01T00:00:00Z", "to": "2026-11-01T02:00:00Z", "reason": "database moves"}]);
        one["policy_steps"] =
            json!([{"spent": 0.75, "action": "review every change"}, {"spent": 1.0, "action": "only mend"}]);
        crate::fixture::golden("sla.html", &sla_page(&one));
        let nothing = sla_page(&rows[1]);
        assert!(nothing.contains("No data.") && !nothing.contains("NaN") && !nothing.contains('\u{1b}'));
        assert!(slas_page(&[]).contains("No SLA is judged"));
    }

    #[test]
    fn a_label_is_one_part_of_a_path() {
        assert_eq!(encoded("by-route/GET /é"), "by-route%2FGET%20%2F%C3%A9");
    }
}
