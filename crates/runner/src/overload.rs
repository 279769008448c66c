//! What a target still does when it is offered several times its limit, and how soon it is itself again.

use std::ops::ControlFlow;
use std::time::Duration;

use plimsoll_capacity::{Limit, Overload};
use plimsoll_measure::{Distribution, Edges, Outcome, Timing};
use plimsoll_run::{ObjectiveSummary, RunEvent, RunPlan, Second, State};
use plimsoll_sla::{Bound, Filter, Judgement, Measure, Objective, Validity, Verdict};
use plimsoll_units::Quantile;
use plimsoll_workload::{Stage, StageKind};

use crate::Control;
use crate::limit::{LimitConfig, LimitError, offering, rate, trial_of};
use crate::watched::{enough, is_answered_well, watched};

/// The share of the limit that is offered before and after.
const CALM: f64 = 0.5;

/// How long each part takes, in whole seconds: before the overload, the overload, and at most after it.
const PARTS: [u64; 3] = [3, 10, 30];

/// So many good seconds in a row are a recovery.
const GOOD_SECONDS: u64 = 3;

/// The stage of the overload.
const OVERLOAD: u16 = 1;

/// Offers so many times the limit, one run each, and looks at what is answered meanwhile and afterwards: `tell` hears
/// of each when it is over. It takes a limit of the open model with a lower end; without one there is nothing to multiply.
///
/// # Errors
/// When a run could not be made. Those before it are in the history.
pub async fn overload(
    config: &LimitConfig,
    limit: &Limit,
    factors: &[f64],
    control: &Control,
    mut tell: impl FnMut(Overload),
) -> Result<(), LimitError> {
    let Some(low) = limit.gap.low.filter(|_| !limit.is_users) else { return Ok(()) };
    let promised = promised(&config.plan);
    for factor in factors {
        if control.was_stopped() {
            break;
        }
        let plan = plan(config, low, *factor, promised.as_ref(), &limit.id);
        let mut watch = Watch::new(config, promised.as_ref());
        let (state, _) = watched(config, plan, control, |event| watch.see(event)).await?;
        if control.was_stopped() {
            // What was not offered to its end has no figures.
            break;
        }
        tell(figures(&state, *factor, low, limit.max_throughput, &watch));
    }
    Ok(())
}

/// Judges what is promised beyond the limit by the worst of the overloads, of which so many were asked for. One
/// that the generator did not offer in full says nothing.
pub fn judge_overload(objective: &Objective, overloads: &[Overload], asked: usize) -> ObjectiveSummary {
    let expression = objective.expression;
    let known = overloads.iter().filter(|overload| overload.is_valid);
    let known: Vec<_> = known.filter_map(|overload| Some((overload.retained?, overload.factor))).collect();
    let worst = known.iter().copied().reduce(|one, other| {
        let other_is_worse = (other.0 > one.0) == expression.comparison.wants_less();
        if other_is_worse { other } else { one }
    });
    let kept = worst.and_then(|(retained, _)| expression.holds(retained));
    let verdict = match kept {
        Some(false) => Verdict::Missed,
        Some(true) if known.len() >= asked => Verdict::Met,
        Some(true) | None => Verdict::Inconclusive,
    };
    let mut why = match worst {
        Some((retained, factor)) => {
            let retained = expression.measure.human(retained);
            format!("{retained} of the limit's throughput was left at {factor} times the limit")
        }
        None => "no overload was offered in full".to_owned(),
    };
    if known.len() < asked && !known.is_empty() {
        why += &format!(", and {} of {asked} were not offered in full", asked - known.len());
    }
    if let (Verdict::Missed, Some(message)) = (verdict, &objective.message) {
        why = format!("{why}: {message}");
    }
    let target = match expression.bound {
        Bound::Value(bound) => Some(bound),
        Bound::Stage { .. } => None,
    };
    let observed = worst.map(|(retained, _)| retained);
    ObjectiveSummary {
        name: objective.name.clone(),
        text: objective.text.clone(),
        figure: objective.expression.measure,
        severity: objective.severity,
        judgement: Judgement { verdict, observed, target, why },
    }
}

/// A quantile of response time that the plan promises, and its bound in nanoseconds.
struct Promised {
    objective: Objective,
    quantile: Quantile,
    nanos: u64,
}

/// The first one: what is in time is counted by it.
fn promised(plan: &RunPlan) -> Option<Promised> {
    plan.objectives.iter().find_map(|objective| {
        let Measure::Quantile(quantile, Timing::ResponseTime) = objective.expression.measure else {
            return None;
        };
        let nanos = objective.expression.threshold_nanos()?;
        let is_bound = matches!(objective.expression.bound, Bound::Value(_));
        let is_usable =
            is_bound && objective.expression.comparison.wants_less() && objective.filter == Filter::default();
        is_usable.then(|| Promised { objective: objective.clone(), quantile, nanos })
    })
}

fn plan(config: &LimitConfig, low: f64, factor: f64, promised: Option<&Promised>, id: &str) -> RunPlan {
    let [before, during, after] = PARTS.map(Duration::from_secs);
    let stages = vec![
        Stage { kind: StageKind::Hold(rate(low * CALM)), length: config.warmup + before },
        Stage { kind: StageKind::Spike(rate(low * factor)), length: during },
        Stage { kind: StageKind::Hold(rate(low * CALM)), length: after },
    ];
    let objectives = promised.map(|promised| Objective {
        over: None,
        abort_after: None,
        filter: Filter { stage: Some(OVERLOAD), ..Filter::default() },
        ..promised.objective.clone()
    });
    let plan = trial_of(&config.plan, &format!("{factor} times the limit of {low:.1}/s"), id);
    RunPlan { objectives: objectives.into_iter().collect(), ..offering(plan, stages, config.warmup) }
}

/// Waits for the target to be itself again.
struct Watch {
    /// The first second after the overload.
    after: u64,
    promised: Option<(Quantile, u64)>,
    good: u64,
    recovered: Option<u64>,
}

impl Watch {
    fn new(config: &LimitConfig, promised: Option<&Promised>) -> Self {
        let [before, during, _] = PARTS;
        let promised = promised.map(|promised| (promised.quantile, promised.nanos));
        Self { after: config.warmup.as_secs() + before + during, promised, good: 0, recovered: None }
    }

    fn see(&mut self, event: &RunEvent) -> ControlFlow<()> {
        if let RunEvent::Second(second) = event
            && self.recovered.is_none()
            && second.frame.second >= self.after
        {
            self.good = if self.is_good(second) { self.good + 1 } else { 0 };
            if self.good >= GOOD_SECONDS {
                self.recovered = Some(second.frame.second + 1 - GOOD_SECONDS - self.after);
            }
        }
        enough(self.recovered.is_some())
    }

    fn is_good(&self, second: &Second) -> bool {
        let frame = &second.frame;
        if !is_answered_well(frame) {
            return false;
        }
        let Some((quantile, nanos)) = self.promised else { return true };
        let mut times = Distribution::empty(Edges::default());
        let series = frame.series.iter().filter(|(key, _)| key.outcome.counts_for_latency());
        series
            .filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime))
            .for_each(|more| times.merge(more));
        times.at_or_below(nanos) as f64 >= quantile.share() * times.count() as f64
    }
}

fn figures(state: &State, factor: f64, low: f64, peak: Option<f64>, watch: &Watch) -> Overload {
    let summary = state.summary();
    let [_, during, _] = PARTS;
    let answered = summary.stages.get(usize::from(OVERLOAD)).map_or(0.0, |stage| stage.throughput);
    let good = state.judged().statuses.first().and_then(|status| status.good_events);
    let in_time = good.map(|good| good as f64 / during as f64);
    let refused = summary.steps.iter().flat_map(|step| &step.statuses);
    let timed_out = summary.errors.iter().filter(|error| error.outcome == Outcome::Timeout);
    Overload {
        factor,
        load: low * factor,
        answered,
        in_time,
        retained: peak.filter(|peak| *peak > 0.0).map(|peak| in_time.unwrap_or(answered) / peak),
        refused: refused.filter(|(status, _)| matches!(status, 429 | 503)).map(|(_, count)| count).sum(),
        timed_out: timed_out.map(|error| error.count).sum(),
        dropped: summary.totals.dropped,
        recovery_seconds: watch.recovered.map(|seconds| seconds as f64),
        run: summary.info.id.clone(),
        is_valid: summary.validity.verdict != Validity::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_sla::{Expression, Severity};

    fn overload(factor: f64, retained: Option<f64>, is_valid: bool) -> Overload {
        Overload {
            factor,
            load: 100.0 * factor,
            answered: 0.0,
            in_time: None,
            retained,
            refused: 0,
            timed_out: 0,
            dropped: 0,
            recovery_seconds: None,
            run: String::new(),
            is_valid,
        }
    }

    #[test]
    fn what_is_retained_is_judged_by_the_worst_overload_that_was_offered_in_full() {
        let text = "goodput_retained >= 80%";
        let objective = Objective {
            name: "enough".to_owned(),
            text: text.to_owned(),
            expression: Expression::parse(text).unwrap(),
            over: None,
            filter: Filter::default(),
            abort_after: None,
            severity: Severity::Critical,
            message: Some("shed load".to_owned()),
        };
        let (good, bad) = (overload(2.0, Some(0.8), true), overload(5.0, Some(0.5), true));
        let (unknown, untrue) = (overload(2.0, None, true), overload(10.0, Some(0.1), false));
        for (overloads, verdict, why) in [
            (vec![], Verdict::Inconclusive, "no overload was offered in full"),
            (vec![unknown, untrue.clone()], Verdict::Inconclusive, "no overload was offered in full"),
            (
                vec![good.clone(), untrue.clone()],
                Verdict::Inconclusive,
                "80% of the limit's throughput was left at 2 times the limit, and 1 of 2 were not offered in full",
            ),
            (
                vec![good.clone(), bad.clone()],
                Verdict::Missed,
                "50% of the limit's throughput was left at 5 times the limit: shed load",
            ),
            (
                vec![bad, untrue],
                Verdict::Missed,
                "50% of the limit's throughput was left at 5 times the limit, and 1 of 2 were not offered in full: shed load",
            ),
            (
                vec![good.clone(), good],
                Verdict::Met,
                "80% of the limit's throughput was left at 2 times the limit",
            ),
        ] {
            let judgement = judge_overload(&objective, &overloads, 2).judgement;
            assert_eq!((judgement.verdict, judgement.why.as_str()), (verdict, why), "{overloads:?}");
        }
    }
}
