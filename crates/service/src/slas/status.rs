//! How a promise stands, as JSON: what the API tells, and what the history keeps for whoever asks later.

use std::time::Duration;

use plimsoll_history::SlaBreach;
use plimsoll_sla::{Alert, Budget, Counted, Events, Keeper, PolicyStep, Sla, Source};
use plimsoll_units::duration;
use serde_json::{Value, json};

use super::bench::Row;

/// Of the form.
const VERSION: u64 = 1;

/// Points of a burn-down chart.
const POINTS: u64 = 240;

/// The states from the worst to the best.
const WORST_FIRST: [&str; 5] = ["breaching", "exhausted", "warning", "undecided", "ok"];

/// How it stands now.
pub(super) fn row(row: &Row) -> Value {
    let (sla, keeper) = (&*row.sla, row.keeper());
    let (state, budget) = (keeper.state(), keeper.budget());
    let period = keeper.period();
    json!({
        "schema": VERSION,
        "name": sla.slo.name,
        "label": row.label(),
        "value": row.value,
        "for_each": sla.each,
        "title": sla.title,
        "service": sla.service,
        "description": sla.description,
        "source": source(sla),
        "method": method(sla),
        "period": period_words(sla),
        "period_started": moment(period.start),
        "period_ends": matches!(sla.slo.period, plimsoll_sla::Period::Calendar(_)).then(|| moment(period.end)),
        "target": sla.slo.target.share().to_f64(),
        "target_words": sla.slo.target.to_string(),
        "as_of": (keeper.now() > 0).then(|| moment(keeper.now())),
        "state": state.condition.label(),
        "since": (state.since > 0).then(|| moment(state.since)),
        "why": state.why(),
        "trouble": row.trouble,
        "detection_delay_seconds": keeper.delay(),
        "attained": budget.attained().map(plimsoll_sla::Exact::to_f64),
        "events": events(keeper, &budget),
        "budget": {
            "remaining_ratio": budget.remaining_ratio().map(plimsoll_sla::Exact::to_f64),
            "spent_of_period": keeper.used(),
        },
        "burn_rates": burn_rates(keeper),
        "alerts": sla.alerts.iter().zip(keeper.alerts()).map(|(rule, alert)| {
            json!({
                "severity": rule.severity,
                "factor": alert.rule.factor.to_f64(),
                "long": span(alert.rule.long),
                "short": span(alert.rule.short),
                "firing_since": alert.since.map(moment),
                "why": alert.reading.filter(|_| alert.since.is_some()).map(|reading| alert.rule.explain(&reading, sla.slo.target)),
                "notify": rule.notify,
            })
        }).collect::<Vec<_>>(),
        "firing": firing(keeper.alerts()),
        "policy": in_force(sla, keeper.used()).map(step),
        "runbook_url": sla.runbook_url,
        "part_of": sla.part_of.as_ref().map(|part| json!({ "name": part.name, "weight": part.weight })),
    })
}

/// More of one: how the budget went, its exclusions and breaches, and what was agreed on.
pub(crate) fn detail(row: &Row, breaches: &[SlaBreach]) -> Value {
    let mut value = self::row(row);
    let (sla, keeper) = (&*row.sla, row.keeper());
    let breach = |breach: &SlaBreach| {
        json!({
            "began": moment(breach.began), "found": moment(breach.found), "ended": breach.ended.map(moment),
            "delay_seconds": breach.found.saturating_sub(breach.began), "why": breach.why,
        })
    };
    value["burn_down"] = burn_down(keeper);
    value["breaches"] = breaches.iter().map(breach).collect();
    value["exclusions"] = exclusions(sla);
    value["policy_steps"] = sla.policy.iter().map(step).collect();
    value
}

pub(super) fn exclusions(sla: &Sla) -> Value {
    let exclusion = |one: &plimsoll_sla::Exclusion| json!({ "from": moment(one.seconds.start), "to": moment(one.seconds.end), "reason": one.reason });
    sla.exclusions.iter().map(exclusion).collect()
}

/// How much of the period's budget was left at points of the period: of the budget that the events so far allow in all,
/// so that the line only falls.
fn burn_down(keeper: &Keeper) -> Value {
    let range = keeper.period();
    let (start, now) = (range.start.max(keeper.ledger().first().unwrap_or(range.start)), keeper.now());
    if keeper.now() == 0 || now <= start {
        return json!([]);
    }
    let every = ((now - start) / POINTS).max(1);
    let whole = Budget::new(keeper.slo().target, keeper.over(range.start..now).events());
    let allowed = whole.allowed().to_f64();
    let points = (1..=POINTS + 1).map(|at| (start + at * every).min(now));
    let mut seen = Vec::new();
    for at in points {
        let spent = keeper.over(range.start..at).spent() as f64;
        if allowed > 0.0 {
            seen.push(json!({ "at": moment(at), "remaining_ratio": 1.0 - spent / allowed }));
        }
        if at == now {
            break;
        }
    }
    Value::Array(seen)
}

fn events(keeper: &Keeper, budget: &Budget) -> Value {
    let unit = u128::from(keeper.slo().method.unit());
    // Parts of slices are no whole events.
    let shown = |count: u128| match unit {
        1 => json!(count as u64),
        _ => json!(count as f64 / unit as f64),
    };
    let events = budget.events();
    json!({ "good": shown(events.good()), "bad": shown(events.bad()), "total": shown(events.total()) })
}

fn burn_rates(keeper: &Keeper) -> Value {
    let now = keeper.now();
    let window = |seconds: u64| {
        let budget = keeper.over(now.saturating_sub(seconds)..now);
        json!({
            "window": span(seconds),
            "rate": budget.burn_rate().map(plimsoll_sla::Exact::to_f64),
            "compliance": budget.attained().map(plimsoll_sla::Exact::to_f64),
        })
    };
    keeper.windows().into_iter().map(window).collect()
}

fn firing(alerts: &[Alert]) -> usize {
    alerts.iter().filter(|alert| alert.since.is_some()).count()
}

/// The step of the budget policy that is in force: the last one whose share is spent.
pub(super) fn in_force(sla: &Sla, used: Option<f64>) -> Option<&PolicyStep> {
    sla.policy.iter().rfind(|step| used.is_some_and(|used| used >= step.spent.to_f64()))
}

pub(super) fn step(step: &PolicyStep) -> Value {
    json!({ "spent": step.spent.to_f64(), "action": step.action })
}

fn source(sla: &Sla) -> String {
    let of = |source: &Source| match source {
        Source::Prometheus(Some(name)) => format!("Prometheus {name}"),
        Source::Prometheus(None) => "Prometheus".to_owned(),
        Source::Exposition(name) => format!("metrics of {name}"),
    };
    match &sla.events {
        Events::Runs(runs) => format!("runs of {}", runs.plan),
        Events::Counters { source, counted: Counted::Good(_) | Counted::Bad(_), .. }
        | Events::Figure { source, .. }
        | Events::Share { source, .. } => of(source),
    }
}

fn method(sla: &Sla) -> &'static str {
    match sla.slo.method {
        plimsoll_sla::Method::Occurrences => "Occurrences",
        plimsoll_sla::Method::Timeslices { .. } => "Timeslices",
        plimsoll_sla::Method::RatioTimeslices { .. } => "RatioTimeslices",
    }
}

fn period_words(sla: &Sla) -> String {
    match &sla.slo.period {
        plimsoll_sla::Period::Rolling(rolling) => format!("last {}", span(rolling.seconds().into())),
        period @ plimsoll_sla::Period::Calendar(_) => period.to_string(),
    }
}

/// Seconds as people write them: `5m`.
pub(super) fn span(seconds: u64) -> String {
    duration::format(Duration::from_secs(seconds))
}

/// A second of Unix time as RFC 3339.
pub(super) fn moment(second: u64) -> String {
    let moment = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    moment.map_or_else(|| second.to_string(), |moment| moment.to_string())
}

/// The rows, and one for each composite behind them: it is as its worst part, and has left of its budget the weighted mean of
/// what its parts have left.
pub fn with_composites(mut rows: Vec<Value>) -> Vec<Value> {
    let mut names: Vec<String> = Vec::new();
    for row in &rows {
        if let Some(name) = row["part_of"]["name"].as_str()
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    let composites: Vec<Value> = names.iter().map(|name| composite(name, &rows)).collect();
    rows.extend(composites);
    rows
}

fn composite(name: &str, rows: &[Value]) -> Value {
    let parts: Vec<&Value> = rows.iter().filter(|row| row["part_of"]["name"] == name).collect();
    let place = |state: &Value| WORST_FIRST.iter().position(|known| state == *known).unwrap_or(3);
    let worst = parts.iter().min_by_key(|part| place(&part["state"]));
    let weighted = parts.iter().map(|part| {
        let weight = part["part_of"]["weight"].as_f64().unwrap_or(1.0);
        part["budget"]["remaining_ratio"].as_f64().map(|left| (left * weight, weight))
    });
    let sums = weighted
        .collect::<Option<Vec<_>>>()
        .map(|all| all.into_iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    let left = sums.filter(|(_, weight)| *weight > 0.0).map(|(left, weight)| left / weight);
    let of_worst = |key: &str| worst.map_or(Value::Null, |part| part[key].clone());
    json!({
        "schema": VERSION,
        "name": name,
        "label": name,
        "composite": true,
        "parts": parts.iter().map(|part| part["label"].clone()).collect::<Vec<_>>(),
        "service": of_worst("service"),
        "period": of_worst("period"),
        "as_of": of_worst("as_of"),
        "state": of_worst("state"),
        "since": of_worst("since"),
        "why": worst.map(|part| format!("{}: {}", part["label"].as_str().unwrap_or(""), part["why"].as_str().unwrap_or(""))),
        "budget": { "remaining_ratio": left },
        "firing": parts.iter().filter_map(|part| part["firing"].as_u64()).sum::<u64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, state: &str, left: Option<f64>, weight: f64) -> Value {
        json!({
            "label": name, "state": state, "why": "so", "firing": 1,
            "budget": { "remaining_ratio": left }, "part_of": { "name": "all", "weight": weight },
        })
    }

    #[test]
    fn a_composite_is_as_its_worst_part_and_has_the_weighted_mean_left() {
        let rows =
            with_composites(vec![part("a", "ok", Some(1.0), 3.0), part("b", "warning", Some(0.2), 1.0)]);
        let all = &rows[2];
        assert_eq!((all["label"].as_str(), all["state"].as_str()), (Some("all"), Some("warning")));
        assert_eq!(all["budget"]["remaining_ratio"], 0.8);
        assert_eq!((all["why"].as_str(), all["firing"].as_u64()), (Some("b: so"), Some(2)));
        // What nobody knows of a part, nobody knows of the whole.
        let rows = with_composites(vec![part("a", "ok", Some(1.0), 1.0), part("b", "undecided", None, 1.0)]);
        assert_eq!(
            (&rows[2]["state"], &rows[2]["budget"]["remaining_ratio"]),
            (&json!("undecided"), &Value::Null)
        );
        assert_eq!(with_composites(Vec::new()), Vec::<Value>::new());
    }
}
