//! Several runs side by side. It shows, and judges nothing: whether a difference is one is a matter
//! of statistics over many runs.

use plimsoll_measure::{LatencyFigures, Timing};
use plimsoll_units::Quantile;

use super::{Page, plots, single};
use crate::chart::Axis;
use crate::{Run, words};

/// As many lines as there are colours that can be told apart; later runs share them.
const CLASSES: [&str; 6] = ["run0", "run1", "run2", "run3", "run4", "run5"];

pub(super) fn section(page: &mut Page, runs: &[Run]) {
    page.put("<article><header class=\"banner none\"><div><p class=\"brow\">Load test report</p>", &[]);
    page.put("<h1>{} runs side by side</h1></div></header>\n", &[&runs.len()]);
    figures(page, runs);
    verdicts(page, runs);
    page.put("<section aria-label=\"Charts\" class=\"charts\">\n", &[]);
    let over_time = |of: fn(&plimsoll_run::TimelinePoint) -> Option<f64>| {
        named(runs).map(move |(name, class, run)| (name, class, plots::points(&run.summary.timeline, of)))
    };
    let p95 = over_time(|point| point.response_time.quantile(Quantile::P95).map(plots::nanos_in_seconds));
    plots::side_by_side("Response time, p95", None, p95).draw(page);
    let throughput = over_time(|point| Some(point.per_second(point.succeeded)));
    plots::side_by_side("Throughput per second", Some(Axis::PerSecond), throughput).draw(page);
    let curves = named(runs).map(|(name, class, run)| (name, class, &run.summary.response_curve));
    plots::percentiles("Response time by percentile", curves).draw(page);
    page.put("</section></article>\n", &[]);
}

fn named(runs: &[Run]) -> impl Iterator<Item = (String, &'static str, &Run)> {
    runs.iter().enumerate().map(|(index, run)| (name(index, run), CLASSES[index % CLASSES.len()], run))
}

/// A short name that tells the runs apart: their place and version or plan.
fn name(index: usize, run: &Run) -> String {
    let info = &run.summary.info;
    format!("{}: {}", index + 1, info.version.as_ref().unwrap_or(&run.summary.plan))
}

fn figures(page: &mut Page, runs: &[Run]) {
    let names: Vec<_> = named(runs).map(|(name, ..)| name).collect();
    let columns: Vec<_> = std::iter::once("Figure").chain(names.iter().map(String::as_str)).collect();
    let numeric: Vec<_> = (1..columns.len()).collect();
    single::table(page, "Key figures", &columns, &numeric, |page| {
        let mut row = |name: &str, of: &dyn Fn(&Run) -> String| {
            single::row(page, &name, &runs.iter().map(of).collect::<Vec<_>>());
        };
        row("Plan", &|run| format!("{} ({})", run.summary.plan, run.summary.plan_hash));
        row("Started", &|run| words::moment_for_people(run.summary.info.started_nanos));
        row("Verdict", &|run| words::verdict_word(run.verdict()).to_owned());
        row("Generator", &|run| run.summary.validity.verdict.label().to_owned());
        row("Machine", &|run| run.summary.info.machine.fingerprint.clone());
        row("Requests", &|run| words::count(run.summary.totals.requests));
        row("Throughput", &|run| words::rate(run.summary.totals.throughput));
        row("Error ratio", &|run| words::ratio(run.summary.totals.error_ratio));
        row("Dropped", &|run| words::count(run.summary.totals.dropped));
        for (name, of) in [
            ("p50", (|figures| figures.p50) as fn(&LatencyFigures) -> Option<f64>),
            ("p95", |figures| figures.p95),
            ("p99", |figures| figures.p99),
            ("p99.9", |figures| figures.p99_9),
            ("Longest", |figures| figures.max),
        ] {
            row(name, &|run| words::seconds(run.summary.timings.get(&Timing::ResponseTime).and_then(of)));
        }
    });
}

fn verdicts(page: &mut Page, runs: &[Run]) {
    let mut objectives: Vec<_> =
        runs.iter().flat_map(|run| &run.summary.objectives).map(|objective| &objective.name).collect();
    let mut seen = std::collections::BTreeSet::new();
    objectives.retain(|name| seen.insert(name.as_str()));
    if objectives.is_empty() {
        return;
    }
    let names: Vec<_> = named(runs).map(|(name, ..)| name).collect();
    let columns: Vec<_> = std::iter::once("Objective").chain(names.iter().map(String::as_str)).collect();
    single::table(page, "Objectives", &columns, &[], |page| {
        for objective in objectives {
            page.put("<tr><th scope=\"row\">{}</th>", &[objective]);
            for run in runs {
                match run.summary.objectives.iter().find(|known| known.name == *objective) {
                    Some(known) => {
                        let verdict = known.judgement.verdict.label();
                        page.put("<td><span class=\"mark {}\">{}</span> ", &[&verdict, &verdict]);
                        page.put("{}</td>", &[&words::figure(known, known.judgement.observed)]);
                    }
                    None => {
                        page.put("<td>{}</td>", &[&words::NO_DATA]);
                    }
                }
            }
            page.put("</tr>\n", &[]);
        }
    });
}
