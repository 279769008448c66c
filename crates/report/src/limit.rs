//! A limit that was searched on a live system, as JSON and text.

use std::fmt::Write as _;

use plimsoll_capacity::{Limit, Overload, Scaling, Side, TrialFigures};
use plimsoll_run::ObjectiveSummary;
use serde_json::{Value, json};

use crate::words::plain;

/// Seconds that each step of a ramp takes, beside which a search's requests are told.
pub(crate) const RAMP_STEP_SECONDS: f64 = 10.0;

/// Throughputs that are the same for all anybody can tell from trials of seconds.
const ALIKE: f64 = 0.98;

/// Characters of the longest bar.
const BAR: f64 = 30.0;

/// A limit, what is left beyond it, and what was promised of that, as JSON: seconds, shares of one, requests per
/// second.
pub fn limit_json(limit: &Limit, overloads: &[Overload], promised: &[ObjectiveSummary]) -> Value {
    json!({
        "schema": 1,
        "plan": limit.plan,
        "id": limit.id,
        "unit": if limit.is_users { "users" } else { "per_second" },
        "sure": limit.gap.is_sure,
        "breaking_point": {
            "concurrent_users": limit.concurrent_users,
            "rate": if limit.is_users { limit.max_throughput } else { limit.gap.estimate() },
            "max_throughput": limit.max_throughput,
            "low": limit.gap.low,
            "high": limit.gap.high,
            "first_symptom": limit.first_symptom,
            "side": limit.side.as_ref().map(Side::label),
            "resource": resource(limit),
        },
        "requests": limit.requests(),
        "ramp_requests": limit.requests_of_a_ramp(RAMP_STEP_SECONDS).map(f64::round),
        "trials": limit.trials.iter().map(trial).collect::<Vec<_>>(),
        "overload": overloads.iter().map(overload).collect::<Vec<_>>(),
        "sla": promised.iter().map(crate::json::objective).collect::<Vec<_>>(),
        "warnings": limit.warnings,
    })
}

fn overload(overload: &Overload) -> Value {
    json!({
        "factor": overload.factor,
        "load": overload.load,
        "answered": overload.answered,
        "in_time": overload.in_time,
        "goodput_retained": overload.retained,
        "refused": overload.refused,
        "timed_out": overload.timed_out,
        "dropped": overload.dropped,
        "recovery_seconds": overload.recovery_seconds,
        "run": overload.run,
        "valid": overload.is_valid,
    })
}

/// What is left of a service at a multiple of its limit, in a line.
pub fn overload_text(overload: &Overload) -> String {
    let mut line = format!(
        "  {:>4}x {:>12}  {:.1}/s answered well",
        overload.factor,
        load(overload.load, false),
        overload.answered
    );
    if let Some(in_time) = overload.in_time {
        let _ = write!(line, ", {in_time:.1}/s of them in time");
    }
    if let Some(retained) = overload.retained {
        let _ = write!(line, " ({:.0}% of the limit's)", retained * 100.0);
    }
    let _ = write!(
        line,
        "; {} refused, {} timed out, {} dropped; ",
        overload.refused, overload.timed_out, overload.dropped
    );
    line += &match overload.recovery_seconds {
        Some(seconds) => format!("itself again after {seconds:.0} s"),
        None => "not itself again while it was watched".to_owned(),
    };
    if !overload.is_valid {
        line += "; this machine did not offer all of it";
    }
    line
}

/// What was promised beyond the limit and whether it was kept, in a line.
pub fn overload_verdict_text(objective: &ObjectiveSummary) -> String {
    let ObjectiveSummary { name, text, judgement, .. } = objective;
    let text = if name == text { String::new() } else { format!(" ({})", plain(text)) };
    format!("  {}: `{}`{text}: {}", judgement.verdict, plain(name), plain(&judgement.why))
}

/// A step of the load as JSON.
pub fn scaling_json(plan: &str, scaling: &Scaling) -> Value {
    json!({
        "schema": 1,
        "plan": plan,
        "scaling": {
            "kept": scaling.is_kept(),
            "from": scaling.from,
            "to": scaling.to,
            "within_seconds": scaling.within_seconds,
            "band": scaling.band,
            "baseline_seconds": scaling.baseline_seconds,
            "settled_seconds": scaling.settled_seconds,
            "worst_seconds": scaling.worst_seconds,
            "replicas": scaling.replicas.map(|(before, after)| json!({"before": before, "after": after})),
            "run": scaling.run,
            "valid": scaling.is_valid,
        },
    })
}

/// A step of the load for people.
pub fn scaling_text(plan: &str, scaling: &Scaling) -> String {
    let verdict = if scaling.is_kept() { "kept" } else { "missed" };
    let mut text =
        format!("scaling of {plan} from {:.1}/s to {:.1}/s: {verdict}\n", scaling.from, scaling.to);
    text += &match scaling.settled_seconds {
        Some(after) => format!("  settled after {after:.0} s, {:.0} s are allowed\n", scaling.within_seconds),
        None => format!("  not settled within {:.0} s\n", scaling.within_seconds),
    };
    let _ = writeln!(
        text,
        "  mean response time {} before the step, {} at worst after it; settled is up to {} times the former",
        seconds(scaling.baseline_seconds),
        scaling.worst_seconds.map_or_else(|| "-".to_owned(), seconds),
        scaling.band
    );
    if let Some((before, after)) = scaling.replicas {
        let _ = writeln!(text, "  replicas {before} before, {after} at the end");
    }
    if !scaling.is_valid {
        text += "  this machine did not offer all of it: the verdict is not to be trusted\n";
    }
    text
}

fn resource(limit: &Limit) -> Option<&str> {
    match limit.side.as_ref()? {
        Side::Resource(name) => Some(name),
        Side::Target | Side::Generator | Side::Network => None,
    }
}

fn trial(trial: &TrialFigures) -> Value {
    let [p50, p95, p99] = trial.response_time;
    json!({
        "load": trial.load,
        "kept": trial.kept,
        "why": trial.why,
        "run": trial.run,
        "seconds": trial.seconds,
        "requests": trial.requests,
        "throughput": trial.throughput,
        "response_time": {"p50": p50, "p95": p95, "p99": p99},
        "error_ratio": trial.error_ratio,
        "in_flight": trial.in_flight,
    })
}

/// One trial in a line, for whoever watches.
pub fn limit_trial_text(number: usize, figures: &TrialFigures, is_users: bool) -> String {
    let [_, p95, _] = figures.response_time;
    let verdict = if figures.kept { "kept" } else { "missed" };
    let mut line = format!(
        "{number:>3}  {:>12}  {verdict:<6}  {:>5.0} s  {:>12}  p95 {:>9}",
        load(figures.load, is_users),
        figures.seconds,
        figures.throughput.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
        p95.map_or_else(|| "-".to_owned(), seconds),
    );
    if let Some(why) = &figures.why {
        let _ = write!(line, "  {why}");
    }
    line
}

/// The result for people.
pub fn limit_text(limit: &Limit) -> String {
    let mut text = String::new();
    let unit = |value: f64| load(value, limit.is_users);
    let _ = writeln!(text, "limit of {}", limit.plan);
    let line = match (limit.gap.low, limit.gap.high) {
        // There is no half of a user: the most that were kept are the limit.
        (Some(low), Some(high)) if limit.is_users => format!("  {} (missed at {})", unit(low), unit(high)),
        (Some(low), Some(high)) => {
            let middle = limit.gap.estimate().unwrap_or(low);
            format!("  {} (kept at {}, missed at {})", unit(middle), unit(low), unit(high))
        }
        (Some(low), None) => format!("  at least {}: nothing above was missed or tried", unit(low)),
        (None, Some(high)) => format!("  below {}: not even that was kept", unit(high)),
        (None, None) => "  nothing is known: no trial came to its end".to_owned(),
    };
    let _ = writeln!(text, "{line}");
    if let Some(throughput) = limit.max_throughput {
        let _ = write!(text, "  {throughput:.1} requests/s answered well");
        if let Some(users) = limit.concurrent_users.filter(|_| !limit.is_users) {
            let _ = write!(text, ", {users:.1} iterations at once");
        }
        text.push('\n');
    }
    if let Some(load) = flat_from(limit) {
        let _ = writeln!(text, "  as many at {} already: more of them only wait longer", unit(load));
    }
    if let Some(side) = &limit.side {
        let name = match side {
            Side::Resource(name) => format!("the target's {name}"),
            other => format!("the {}", other.label()),
        };
        let symptom = limit.first_symptom.as_deref().unwrap_or("it showed no reason");
        let _ = writeln!(text, "  limited by {name}: {symptom}");
    }
    text += &chart(limit);
    let _ = write!(text, "  {} requests in {} trials", limit.requests(), limit.trials.len());
    match limit.requests_of_a_ramp(RAMP_STEP_SECONDS) {
        Some(ramp) => {
            let _ = writeln!(text, "; a ramp in steps as fine, 10 s each, takes {ramp:.0}");
        }
        None => text.push('\n'),
    }
    for warning in &limit.warnings {
        let _ = writeln!(text, "  note: {warning}");
    }
    text
}

/// The fewest users with whom as much was answered as with the most that were kept, where these are fewer.
fn flat_from(limit: &Limit) -> Option<f64> {
    let most = limit.max_throughput.filter(|_| limit.is_users)?;
    let kept = limit.trials.iter().filter(|trial| trial.kept);
    let alike = kept.filter(|trial| trial.throughput.is_some_and(|rate| rate >= ALIKE * most));
    let fewest = alike.map(|trial| trial.load).reduce(f64::min)?;
    limit.gap.low.is_some_and(|low| fewest < low).then_some(fewest)
}

/// Throughput by load, one bar a load.
fn chart(limit: &Limit) -> String {
    let mut trials: Vec<&TrialFigures> = limit.trials.iter().collect();
    trials.sort_by(|one, other| one.load.total_cmp(&other.load));
    let highest = trials.iter().filter_map(|trial| trial.throughput).fold(0.0, f64::max);
    let mut text = String::new();
    for trial in trials {
        let share = trial.throughput.filter(|_| highest > 0.0).map_or(0.0, |rate| rate / highest);
        let bar = "█".repeat((share * BAR).round() as usize);
        let rate = trial.throughput.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s"));
        let mark = if trial.kept { "kept" } else { "missed" };
        let _ = writeln!(text, "  {:>12} {bar:<30} {rate:>12}  {mark}", load(trial.load, limit.is_users));
    }
    text
}

pub(crate) fn load(value: f64, is_users: bool) -> String {
    if is_users { format!("{value:.0} users") } else { format!("{value:.1}/s") }
}

pub(crate) fn seconds(value: f64) -> String {
    if value < 0.001 {
        format!("{:.0} us", value * 1e6)
    } else if value < 1.0 {
        format!("{:.1} ms", value * 1e3)
    } else {
        format!("{value:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_capacity::{Gap, TrialFigures};

    #[test]
    fn a_limit_of_users_is_a_number_of_users_that_was_kept() {
        let trial = |load, kept, throughput| TrialFigures {
            load,
            kept,
            why: (!kept).then(|| "`quick`: too slow".to_owned()),
            run: String::new(),
            seconds: 4.0,
            requests: 100,
            throughput: Some(throughput),
            response_time: [None; 3],
            error_ratio: Some(0.0),
            in_flight: Some(load),
        };
        let limit = Limit {
            plan: "shop".to_owned(),
            id: "one".to_owned(),
            is_users: true,
            gap: Gap { low: Some(23.0), high: Some(24.0), is_sure: true },
            max_throughput: Some(500.0),
            concurrent_users: Some(23.0),
            first_symptom: Some("`quick`: too slow".to_owned()),
            is_saturation: false,
            side: Some(Side::Target),
            trials: vec![
                trial(8.0, true, 360.0),
                trial(16.0, true, 499.0),
                trial(24.0, false, 500.0),
                trial(23.0, true, 500.0),
            ],
            warnings: Vec::new(),
        };
        let text = limit_text(&limit);
        let head: Vec<&str> = text.lines().take(5).collect();
        assert_eq!(
            head,
            [
                "limit of shop",
                "  23 users (missed at 24 users)",
                "  500.0 requests/s answered well",
                "  as many at 16 users already: more of them only wait longer",
                "  limited by the target: `quick`: too slow",
            ]
        );
    }
}
