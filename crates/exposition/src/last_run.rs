//! What is left of a run that is over: a few figures of its summary, as series.

use plimsoll_measure::Timing;
use plimsoll_run::Summary;
use plimsoll_sla::Verdict;

use crate::catalogue::{self, Metric};
use crate::{Family, Labels, Point, Value};

/// The figures of a run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRun {
    /// The plan's name.
    pub plan: String,
    points: Vec<(&'static Metric, Labels, f64)>,
}

impl LastRun {
    /// Those of a summary that have a value.
    pub fn of(summary: &Summary) -> Self {
        let plan = || -> Labels { vec![summary.plan.as_str().into()] };
        let with = |label: &str| -> Labels { vec![summary.plan.as_str().into(), label.into()] };
        let mut points = vec![(&catalogue::LAST_RUN_REQUESTS, plan(), summary.totals.requests as f64)];
        points.extend(
            summary.totals.error_ratio.map(|ratio| (&catalogue::LAST_RUN_ERROR_RATIO, plan(), ratio)),
        );
        if let Some(times) = summary.timings.get(&Timing::ResponseTime) {
            let quantiles = [("0.5", times.p50), ("0.95", times.p95), ("0.99", times.p99)];
            points.extend(quantiles.into_iter().filter_map(|(quantile, seconds)| {
                Some((&catalogue::LAST_RUN_RESPONSE_TIME, with(quantile), seconds?))
            }));
        }
        for objective in &summary.objectives {
            let met = match objective.judgement.verdict {
                Verdict::Met => 1.0,
                Verdict::Missed => 0.0,
                Verdict::Inconclusive => continue,
            };
            points.push((&catalogue::LAST_RUN_SLA_MET, with(&objective.name), met));
        }
        Self { plan: summary.plan.clone(), points }
    }
}

/// The series of these runs, one run of each plan; none where none is known.
pub fn last_run_families(runs: &[&LastRun]) -> Vec<Family> {
    let points = |metric: &'static Metric| {
        let found = runs.iter().flat_map(|run| &run.points).filter(|(of, ..)| *of == metric);
        found.map(|(_, labels, value)| Point::new(labels.clone(), Value::Gauge(*value))).collect()
    };
    catalogue::OF_LAST_RUN
        .iter()
        .map(|metric| Family { metric, points: points(metric) })
        .filter(|family| !family.points.is_empty())
        .collect()
}
