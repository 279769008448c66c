//! The JSON of the API. Seconds, shares of one, per second; no data is `null`.

use plimsoll_history::RunRow;
use plimsoll_measure::{Distribution, Timing};
use plimsoll_report::Run;
use plimsoll_run::{ObjectiveSummary, State, TimelinePoint};
use plimsoll_sla::{Bound, Measure, Objective, Status, Verdict};
use plimsoll_units::Quantile;
use serde_json::{Map, Value, json};

/// How a run ended, in a line of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    verdict: Value,
    validity: Value,
    requests: Value,
    throughput: Value,
    error_ratio: Value,
    p95: Value,
}

impl Outcome {
    /// Of a run in figures.
    pub(crate) fn of(run: &Run) -> Self {
        let json = plimsoll_report::json(run);
        Self { verdict: json!(run.verdict().map(Verdict::label)), ..Self::figures(&json) }
    }

    /// Of the JSON summary that was left with a run, if it is one.
    pub(crate) fn from_summary(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        json.get("totals")?;
        let critical = json.get("sla")?.as_array()?.iter().filter(|sla| sla["severity"] == "critical");
        let verdicts: Vec<_> = critical.map(|sla| &sla["verdict"]).collect();
        // The order in which one decides for all.
        let verdict =
            ["missed", "inconclusive", "met"].into_iter().find(|word| verdicts.iter().any(|v| v == word));
        Some(Self { verdict: json!(verdict), ..Self::figures(&json) })
    }

    fn figures(json: &Value) -> Self {
        Self {
            verdict: Value::Null,
            validity: json["validity"]["verdict"].clone(),
            requests: json["totals"]["requests"].clone(),
            throughput: json["totals"]["throughput"].clone(),
            error_ratio: json["totals"]["error_ratio"].clone(),
            p95: json["response_time"]["p95"].clone(),
        }
    }
}

/// A run in a list. What changes every second of a live run is not part of it.
pub(crate) fn row(row: &RunRow, live: bool, outcome: Option<&Outcome>) -> Value {
    let status = row.status.filter(|_| !live).map_or("running", |status| status.label());
    let figure = |of: fn(&Outcome) -> &Value| outcome.map(of).cloned().unwrap_or(Value::Null);
    json!({
        "id": row.id,
        "plan": row.plan,
        "plan_hash": row.plan_hash,
        "version": row.version,
        "environment": row.environment,
        "tags": row.tags,
        "target": row.target,
        "host": row.host,
        "plimsoll": row.plimsoll,
        "started": moment(row.started_nanos),
        "duration_seconds": row.duration_seconds.filter(|_| !live),
        "status": status,
        "verdict": figure(|outcome| &outcome.verdict),
        "validity": figure(|outcome| &outcome.validity),
        "requests": figure(|outcome| &outcome.requests),
        "throughput": figure(|outcome| &outcome.throughput),
        "error_ratio": figure(|outcome| &outcome.error_ratio),
        "p95": figure(|outcome| &outcome.p95),
        "lost_seconds": row.lost_seconds,
        "crosses": row.crosses,
    })
}

/// What a run's page needs to draw: the course so far, in columns, and what it is measured against.
pub(crate) fn timeline(run: &Run) -> Value {
    let (summary, shape) = (&run.summary, &run.started.shape);
    let figures = plimsoll_report::json(run);
    let stages = shape.stages.iter().map(|stage| {
        json!({ "kind": stage.kind, "started": stage.start, "ended": stage.end, "from": stage.from, "to": stage.to })
    });
    let objectives: Vec<_> = summary.objectives.iter().map(judged).collect();
    let points: Vec<_> = summary.timeline.iter().map(point).collect();
    let columns: Map<_, _> = COLUMNS
        .into_iter()
        .chain([HEAT, ERRORS])
        .map(|name| (name.to_owned(), points.iter().map(|point| point[name].clone()).collect()))
        .collect();
    let own = shape.own_loads.iter().map(|load| {
        json!({ "scenario": shape.scenarios.get(usize::from(load.scenario)).map(|one| &one.name), "model": load.model.label() })
    });
    let shared = (!shape.stages.is_empty() || shape.own_loads.is_empty())
        .then(|| json!({ "scenario": null, "model": shape.model.label() }));
    json!({
        "run": summary.info.id,
        "plan": summary.plan,
        "model": summary.model.label(),
        "target": summary.info.target,
        "version": summary.info.version,
        "environment": summary.info.environment,
        "started": moment(summary.info.started_nanos),
        "status": summary.status.map_or("running", |status| status.label()),
        "reason": summary.reason,
        "verdict": run.verdict().map(Verdict::label),
        "validity": { "verdict": summary.validity.verdict.label(), "reasons": summary.validity.reasons },
        "planned_seconds": shape.stages_end(),
        "iterations": shape.iterations,
        "warmup_seconds": summary.warmup_seconds,
        "stages": stages.collect::<Vec<_>>(),
        "sla": objectives,
        "bounds": shape.objectives.iter().filter_map(bound).collect::<Vec<_>>(),
        "errors": summary.errors.iter().map(|error| {
            json!({ "kind": error.outcome.label(), "count": error.count, "message": error.samples.first().map(|sample| &sample.message) })
        }).collect::<Vec<_>>(),
        "notes": summary.notes.iter().map(|note| json!({ "at": note.at as f64 / 1e9, "text": note.text })).collect::<Vec<_>>(),
        "steered": summary.steered.iter().map(|steered| json!({
            "effective": steered.effective, "scenario": steered.scenario, "by": steered.by, "words": steered.words,
        })).collect::<Vec<_>>(),
        "loads": shared.into_iter().chain(own).collect::<Vec<_>>(),
        "heat_edges": HEAT_EDGES,
        "so_far": {
            "requests": summary.phases.iter().map(|phase| phase.requests).sum::<u64>(),
            "failed": summary.phases.iter().map(|phase| phase.failed).sum::<u64>(),
        },
        "totals": figures["totals"],
        "response_time": figures["response_time"],
        "points": columns,
    })
}

/// A promise about response times that can be drawn as a level.
fn bound(objective: &Objective) -> Option<Value> {
    let expression = objective.expression;
    let drawn = matches!(
        expression.measure,
        Measure::Quantile(_, Timing::ResponseTime)
            | Measure::Mean(Timing::ResponseTime)
            | Measure::Max(Timing::ResponseTime)
    );
    match expression.bound {
        Bound::Value(value) if drawn => Some(json!({ "name": objective.name, "seconds": value })),
        Bound::Value(_) | Bound::Stage { .. } => None,
    }
}

/// The columns of a timeline, and the keys of a second.
pub(crate) const COLUMNS: [&str; 15] = [
    "second",
    "seconds",
    "offered",
    "arrivals",
    "requests",
    "succeeded",
    "failed",
    "dropped",
    "in_flight",
    "users",
    "p50",
    "p95",
    "p99",
    "max",
    "good",
];

/// The column of how response times were spread: of each point a count per bucket.
pub(crate) const HEAT: &str = "heat";

/// Seconds between its buckets: one more bucket is below the first, and one above the last.
pub(crate) const HEAT_EDGES: [f64; 22] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0, 20.0, 50.0, 100.0,
];

/// The column of how requests failed: of each point a rate per kind; `null` where kinds are not known.
pub(crate) const ERRORS: &str = "errors";

fn heat(times: &Distribution) -> Option<Vec<u64>> {
    let nanos = |seconds: f64| (seconds * 1e9).round() as u64;
    let mut below = 0;
    let ends = HEAT_EDGES.iter().map(|edge| times.at_or_below(nanos(*edge))).chain([times.count()]);
    let counts = ends.map(|end| {
        let count = end.saturating_sub(below);
        below = below.max(end);
        count
    });
    (!times.is_empty()).then(|| counts.collect())
}

/// How many requests failed in a second, by kind: a few of a closed set.
fn errors(point: &TimelinePoint) -> Option<Map<String, Value>> {
    let kinds = point.failures()?.iter();
    Some(kinds.map(|(kind, count)| (kind.label().to_owned(), json!(point.per_second(*count)))).collect())
}

/// A stretch of a run. Rates are per second; `offered` is what was asked for.
pub(crate) fn point(point: &TimelinePoint) -> Value {
    let rate = |count| point.per_second(count);
    let times = &point.response_time;
    let quantile = |quantile| times.quantile(quantile).map(seconds);
    let known = point.succeeded + point.failed;
    json!({
        "second": point.second,
        "seconds": point.seconds,
        "offered": point.offered / point.seconds as f64,
        "arrivals": rate(point.arrivals),
        "requests": rate(point.requests),
        "succeeded": rate(point.succeeded),
        "failed": rate(point.failed),
        "dropped": rate(point.dropped),
        "in_flight": point.in_flight,
        "users": point.users,
        "p50": quantile(Quantile::P50),
        "p95": quantile(Quantile::P95),
        "p99": quantile(Quantile::P99),
        "max": times.max().map(seconds),
        "good": (known > 0).then(|| point.succeeded as f64 / known as f64),
        HEAT: heat(times),
        ERRORS: errors(point),
    })
}

/// The last second of a live run, its counts so far over all phases, and how its objectives stand after it.
pub(crate) fn second(id: &str, state: &State) -> Value {
    let judged = state.judged();
    let objectives = &state.shape().objectives;
    let sla: Vec<_> = objectives
        .iter()
        .zip(&judged.statuses)
        .map(|(objective, status)| standing(objective, status))
        .collect();
    let (requests, failed) = state.requests();
    json!({
        "run": id,
        "second": judged.second,
        "point": state.timeline().points().last().map(point),
        "requests": requests,
        "failed": failed,
        "steered": state.steerings().all().len(),
        "sla": sla,
        "validity": judged.validity.label(),
    })
}

/// How an objective stands while its run goes on.
fn standing(objective: &Objective, status: &Status) -> Value {
    let verdict = status.verdict.map(Verdict::label);
    let words = status.observed.map(|observed| objective.expression.measure.human(observed));
    json!({
        "name": objective.name,
        "objective": objective.text,
        "severity": objective.severity.label(),
        "verdict": verdict,
        "observed": status.observed,
        "observed_words": words,
        "why": null,
        "missed_windows": status.missed_windows,
        "windows": status.windows,
        "missing_for_seconds": status.missing_for_seconds,
        "breach": status.breach.as_ref().map(|breach| json!({
            "since_second": breach.since,
            "delay_seconds": breach.delay,
            "why": breach.why,
        })),
    })
}

/// How an objective was judged.
fn judged(objective: &ObjectiveSummary) -> Value {
    let judgement = &objective.judgement;
    let words = judgement.observed.map(|observed| objective.figure.human(observed));
    json!({
        "name": objective.name,
        "objective": objective.text,
        "severity": objective.severity.label(),
        "verdict": judgement.verdict.label(),
        "observed": judgement.observed,
        "observed_words": words,
        "why": judgement.why,
    })
}

/// An error and what it comes from, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// A moment in nanoseconds since 1970 as RFC 3339.
pub(crate) fn moment(nanos: i64) -> Option<String> {
    jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok().map(|moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Edges, Outcome};

    #[test]
    fn errors_are_rates_by_kind_or_not_known() {
        let of = |failed: u64, kinds: &[(Outcome, u64)]| {
            let point = TimelinePoint {
                second: 0,
                seconds: 4,
                offered: 0.0,
                arrivals: 0,
                requests: failed,
                succeeded: 0,
                failed,
                kinds: kinds.iter().copied().collect(),
                dropped: 0,
                in_flight: 0,
                users: 0,
                response_time: Distribution::empty(Edges::exactly([])),
            };
            super::point(&point)[ERRORS].clone()
        };
        assert_eq!(of(0, &[]), json!({}));
        assert_eq!(
            of(8, &[(Outcome::Timeout, 6), (Outcome::TooLarge, 2)]),
            json!({ "timeout": 1.5, "too_large": 0.5 })
        );
        assert_eq!(of(8, &[]), Value::Null, "of an older version");
        assert_eq!(of(8, &[(Outcome::Timeout, 6)]), Value::Null, "some are not known");
    }
}
