//! Checks of answers: one row each, in every form of the report.

use plimsoll_run::Summary;
use serde_json::{Value, json};

use crate::html::{Page, cells, table};
use crate::words;

pub(crate) const COLUMNS: [&str; 6] = ["Check", "Scenario", "Step", "Passed", "Failed", "Share passed"];

/// The cells of each check; the first three are names.
pub(crate) fn rows(summary: &Summary) -> Vec<[String; 6]> {
    let checks = summary.checks.iter().map(|check| {
        let [passed, failed] = [check.passed, check.failed].map(words::count);
        let [name, scenario, step] = [&check.check, &check.scenario, &check.step].map(String::clone);
        [name, scenario, step, passed, failed, words::ratio(check.ratio())]
    });
    checks.collect()
}

/// One sentence per check, for the terminal.
pub(crate) fn sentences(summary: &Summary) -> impl Iterator<Item = String> {
    summary.checks.iter().map(|check| match check.ratio() {
        None => format!("check {} of {}: no answer was looked at", check.check, check.step),
        ratio => {
            let (all, failed) = (words::count(check.passed + check.failed), words::count(check.failed));
            let share = words::ratio(ratio);
            format!(
                "check {} of {}: {share} of {all} answers passed, {failed} failed",
                check.check, check.step
            )
        }
    })
}

pub(crate) fn section(page: &mut Page, summary: &Summary) {
    if summary.checks.is_empty() {
        return;
    }
    table(page, "Checks", &COLUMNS, &[3, 4, 5], |page| {
        for [check, scenario, step, rest @ ..] in &rows(summary) {
            page.put("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>", &[check, scenario, step]);
            cells(page, rest);
            page.put("</tr>\n", &[]);
        }
    });
}

pub(crate) fn json(summary: &Summary) -> Value {
    let checks = summary.checks.iter().map(|check| {
        json!({
            "scenario": check.scenario,
            "step": check.step,
            "check": check.check,
            "passed": check.passed,
            "failed": check.failed,
            "ratio": check.ratio(),
        })
    });
    checks.collect()
}
