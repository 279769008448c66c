//! What a step costs that is filled in and looked into, beside one that is not.
//!
//! No peer that can be had here takes values out of answers, so the figure stands alone.

use std::time::Duration;

use super::{Bench, Finding, Section};
use crate::bench::nginx::Nginx;
use crate::bench::programs::Plan;
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, grouped};

/// Requests per CPU-second of the generator that are asked of the step that does the most.
const ASKED: f64 = 25_000.0;

/// The steps by what they do. All get the same answer.
const SIDES: [(&str, &str); 3] = [
    ("nothing filled in, only the status looked at", "[ { name: order, get: /order } ]"),
    (
        "path and a header filled in",
        "[ { name: order, get: \"/order?n={{ iteration }}&of={{ user }}\", headers: { x-run: \"{{ run.id }}\" } } ]",
    ),
    (
        "and two captures and a JSONPath check",
        "[ { name: order, get: \"/order?n={{ iteration }}&of={{ user }}\", headers: { x-run: \"{{ run.id }}\" }, \
         expect: { json: { \"$.items[11].stock\": { at_least: 1 } } }, \
         capture: { id: { jsonpath: \"$.id\" }, sku: { jsonpath: \"$.items[5].sku\" } } } ]",
    ),
];

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let nginx = Nginx::start(&bench.programs.folder)?;
    let (url, seconds) = (nginx.url(), bench.seconds);
    let load =
        format!("  model: closed\n  grace: 1s\n  stages:\n    - {{ hold: 64 users, for: {seconds}s }}");
    let rows = interleave(bench.rounds, &SIDES.map(|(name, _)| name), |side| {
        let steps = SIDES.iter().find(|(name, _)| name == side).map_or("[]", |(_, steps)| steps);
        let plan = Plan { target: &url, load: &load, http: "{}", steps };
        let ran = bench.programs.run_whole(&plan, Duration::from_secs(seconds.into()))?;
        Ok(Some(ran.succeeded()? / ran.cost.cpu_seconds))
    })?;
    let series: Vec<Series> = rows.iter().map(|row| row.iter().copied().collect()).collect();
    Ok(section(&series))
}

fn section(series: &[Series]) -> Section {
    let most = series.last().cloned().unwrap_or_default();
    let range = most.range();
    let write = |value: f64| match range {
        Some(range) => format!("{} ({} to {})", grouped(value), grouped(range.low), grouped(range.high)),
        None => grouped(value),
    };
    let finding = Finding::new(
        "a filled step with two captures and a JSONPath check on 2 KB, requests per generator CPU-second",
        most.median(),
        write,
        format!("at least {}", grouped(ASKED)),
        |value| value >= ASKED,
    );
    let mut table = Table::new(&["a step with", "requests per CPU-second", "beside the first"]);
    for ((name, _), side) in SIDES.iter().zip(series) {
        let beside = series.first().and_then(|first| side.over(first).median());
        let ratio = figure(beside, |value| format!("{value:.2}x"));
        table.row([(*name).to_owned(), figure(side.median(), grouped), ratio]);
    }
    let text = format!(
        "nginx answers with an order of 2 kB of JSON; 64 connections, everything on.\n\n{}",
        table.markdown()
    );
    Section { findings: vec![finding], text, charts: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::Verdict;

    #[test]
    fn the_step_that_does_the_most_is_judged() {
        let series = |value: f64| [Some(value)].into_iter().collect::<Series>();
        let of = |most: f64| section(&[series(200_000.0), series(100_000.0), series(most)]);
        assert_eq!(of(25_000.0).findings[0].verdict, Verdict::Met);
        let missed = of(20_000.0);
        assert_eq!(missed.findings[0].verdict, Verdict::Missed);
        assert!(missed.text.contains("JSONPath check | 20,000 | 0.10x |"), "{}", missed.text);
    }
}
