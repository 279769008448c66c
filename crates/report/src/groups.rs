//! Groups of steps: one row each, in every form of the report.

use plimsoll_measure::LatencyFigures;
use plimsoll_run::Summary;
use serde_json::{Value, json};

use crate::html::{Page, cells, table};
use crate::words;

pub(crate) const COLUMNS: [&str; 9] =
    ["Group", "Scenario", "Passes", "Of them failed", "p50", "p90", "p95", "p99", "Max"];

/// The cells of each group; the first two are names.
pub(crate) fn rows(summary: &Summary) -> Vec<[String; 9]> {
    let groups = summary.groups.iter().map(|group| {
        let LatencyFigures { p50, p90, p95, p99, max, .. } = group.time;
        let [p50, p90, p95, p99, max] = [p50, p90, p95, p99, max].map(words::seconds);
        let (passes, failed) = (words::count(group.count), words::count(group.failed));
        [group.group.clone(), group.scenario.clone(), passes, failed, p50, p90, p95, p99, max]
    });
    groups.collect()
}

/// One sentence per group, for the terminal.
pub(crate) fn sentences(summary: &Summary) -> impl Iterator<Item = String> {
    summary.groups.iter().map(|group| {
        let LatencyFigures { p50, p95, max, .. } = group.time;
        let [p50, p95, max] = [p50, p95, max].map(words::seconds);
        let failed =
            if group.failed > 0 { format!(", {} failed", words::count(group.failed)) } else { String::new() };
        format!(
            "{}: p50 {p50}, p95 {p95}, max {max} in {} passes{failed}",
            group.group,
            words::count(group.count)
        )
    })
}

pub(crate) fn section(page: &mut Page, summary: &Summary) {
    if summary.groups.is_empty() {
        return;
    }
    table(page, "Groups of steps", &COLUMNS, &(2..9).collect::<Vec<_>>(), |page| {
        for [group, scenario, rest @ ..] in &rows(summary) {
            page.put("<tr><th scope=\"row\">{}</th><td>{}</td>", &[group, scenario]);
            cells(page, rest);
            page.put("</tr>\n", &[]);
        }
    });
}

pub(crate) fn json(summary: &Summary, latency: impl Fn(&LatencyFigures) -> Value) -> Value {
    let groups = summary.groups.iter().map(|group| {
        json!({
            "scenario": group.scenario,
            "group": group.group,
            "count": group.count,
            "failed": group.failed,
            "time": latency(&group.time),
        })
    });
    groups.collect()
}
