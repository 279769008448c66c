//! Whether a target that scales by itself catches up with a step of the load, and how soon.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_capacity::Scaling;
use plimsoll_measure::Timing;
use plimsoll_run::{ResourceFigure, RunEvent, RunPlan, RunStatus, Second};
use plimsoll_sla::Validity;
use plimsoll_workload::{Stage, StageKind};

use crate::Control;
use crate::limit::{LimitConfig, LimitError, offering, rate, trial_of};
use crate::watched::{counts, enough, has_few_failures, is_answered_well, watched};

/// Measured seconds before the step, whose mean is the baseline.
const BEFORE: u64 = 15;

/// So many seconds in a row in the band, with the same replicas, are settled.
const SETTLED: u64 = 5;

/// Seconds that a count of replicas may be late beyond its interval.
const LATE: u64 = 2;

/// What to validate.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingConfig {
    /// Arrivals per second before the step.
    pub from: f64,
    /// Arrivals per second after it.
    pub to: f64,
    /// Within how many seconds it must have settled.
    pub within_seconds: u32,
    /// The mean response time may be so many times the baseline's.
    pub band: f64,
    /// The figure of the plan's resources that counts replicas, if any does.
    pub replicas: Option<String>,
}

/// How a run with a step of the load ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Stepped {
    /// The target was watched until it had settled, or as long as it may take.
    Watched(Scaling),
    /// It was stopped before that.
    Interrupted,
    /// Nobody answered before the step.
    Unanswered,
    /// So large a share of requests failed before the step that there is nothing to be settled like.
    Unwell(f64),
    /// No resource of the plan had the figure that counts replicas.
    Uncounted,
}

/// Makes one run with a step of the load and watches the target settle. Where there is nothing to compare with, no step
/// is made.
///
/// # Errors
/// When the run could not be made.
pub async fn scaling(
    config: &LimitConfig,
    step: &ScalingConfig,
    control: &Control,
) -> Result<Stepped, LimitError> {
    let mut watch = Watch::new(config, step);
    let (state, _) = watched(config, plan(config, step), control, |event| watch.look(event)).await?;
    let summary = state.summary();
    if summary.status == Some(RunStatus::Failed) && !summary.unanswered {
        let load = format!("{}/s", step.from);
        return Err(LimitError::Failed { load, reason: summary.reason.unwrap_or_default() });
    }
    if control.was_stopped() && watch.settled.is_none() {
        return Ok(Stepped::Interrupted);
    }
    let Some(baseline) = watch.baseline().filter(|_| watch.answers.0 > 0) else {
        return Ok(Stepped::Unanswered);
    };
    if !has_few_failures(watch.answers) {
        let (succeeded, failed) = watch.answers;
        return Ok(Stepped::Unwell(failed as f64 / (succeeded + failed) as f64));
    }
    if step.replicas.is_some() && watch.first_replicas.is_none() {
        return Ok(Stepped::Uncounted);
    }
    Ok(Stepped::Watched(Scaling {
        from: step.from,
        to: step.to,
        within_seconds: f64::from(step.within_seconds),
        band: step.band,
        baseline_seconds: baseline,
        settled_seconds: watch.settled.map(|second| second as f64),
        worst_seconds: watch.worst,
        replicas: watch.first_replicas.zip(watch.replicas),
        run: summary.info.id,
        is_valid: summary.validity.verdict != Validity::Invalid,
    }))
}

fn plan(config: &LimitConfig, step: &ScalingConfig) -> RunPlan {
    let what = format!("a step from {}/s to {}/s", step.from, step.to);
    let plan = trial_of(&config.plan, &what, &uuid::Uuid::now_v7().to_string());
    let hold = |load: f64, length| Stage { kind: StageKind::Hold(rate(load)), length };
    let stages = vec![
        hold(step.from, config.warmup + Duration::from_secs(BEFORE)),
        hold(step.to, Duration::from_secs(u64::from(step.within_seconds) + SETTLED)),
    ];
    RunPlan { objectives: Vec::new(), ..offering(plan, stages, config.warmup) }
}

/// Waits for the target to settle.
struct Watch {
    warmup: u64,
    /// The first second after the step.
    step: u64,
    band: f64,
    replicas_by: Option<String>,
    /// For so many seconds a count of replicas is the latest there can be.
    fresh: u64,
    /// Sum of nanoseconds and number of response times before the step.
    before: (u128, u64),
    /// Requests that succeeded and failed before the step.
    answers: (u64, u64),
    /// Seconds in the band without a break.
    good: u64,
    settled: Option<u64>,
    worst: Option<f64>,
    first_replicas: Option<f64>,
    replicas: Option<f64>,
    /// The source that counts replicas, and the second it last did.
    counted: Option<(Arc<str>, u64)>,
}

impl Watch {
    fn new(config: &LimitConfig, step: &ScalingConfig) -> Self {
        let warmup = config.warmup.as_secs();
        let slowest = config.plan.resources.iter().map(|source| source.interval.as_secs()).max();
        Self {
            warmup,
            step: warmup + BEFORE,
            band: step.band,
            replicas_by: step.replicas.clone(),
            fresh: slowest.unwrap_or_default() + LATE,
            before: (0, 0),
            answers: (0, 0),
            good: 0,
            settled: None,
            worst: None,
            first_replicas: None,
            replicas: None,
            counted: None,
        }
    }

    fn look(&mut self, event: &RunEvent) -> ControlFlow<()> {
        if let RunEvent::Second(second) = event
            && self.settled.is_none()
        {
            self.see(second);
            let is_last_before = second.frame.second + 1 == self.step;
            return enough(self.settled.is_some() || is_last_before && !self.is_ready());
        }
        enough(false)
    }

    /// Whether there is something to compare with.
    fn is_ready(&self) -> bool {
        let is_counted = self.replicas_by.is_none() || self.first_replicas.is_some();
        has_few_failures(self.answers) && is_counted
    }

    /// Seconds, the mean response time before the step.
    fn baseline(&self) -> Option<f64> {
        let (sum, count) = self.before;
        (count > 0).then(|| sum as f64 / count as f64 / 1e9)
    }

    fn see(&mut self, second: &Second) {
        let number = second.frame.second;
        let is_still = self.count_replicas(second);
        let (sum, count) = response_times(second);
        if (self.warmup..self.step).contains(&number) {
            let (succeeded, failed) = counts(&second.frame);
            self.before = (self.before.0 + sum, self.before.1 + count);
            self.answers = (self.answers.0 + succeeded, self.answers.1 + failed);
        } else if number >= self.step {
            let mean = (count > 0).then(|| sum as f64 / count as f64 / 1e9);
            self.worst = self.worst.into_iter().chain(mean).reduce(f64::max);
            let is_in_band =
                mean.zip(self.baseline()).is_some_and(|(mean, baseline)| mean <= self.band * baseline);
            let is_good = is_in_band && is_still && is_answered_well(&second.frame);
            self.good = if is_good { self.good + 1 } else { 0 };
            if self.good >= SETTLED {
                // It had settled when the first of these seconds began.
                self.settled = Some(number + 1 - SETTLED - self.step);
            }
        }
    }

    /// Whether the number of replicas is known to be the same as before; where nobody counts them it always is.
    fn count_replicas(&mut self, second: &Second) -> bool {
        let Some(name) = &self.replicas_by else { return true };
        let number = second.frame.second;
        let mut is_same = true;
        for scrape in &second.resources {
            // Two that count the same replicas would count them twice, and at different times.
            if self.counted.as_ref().is_some_and(|(source, _)| *source != scrape.source) {
                continue;
            }
            let Some(now) = scrape.figures.as_ref().ok().and_then(|figures| total(figures, name)) else {
                continue;
            };
            self.counted = Some((Arc::clone(&scrape.source), number));
            self.first_replicas.get_or_insert(now);
            is_same &= self.replicas.replace(now).is_none_or(|before| before == now);
        }
        is_same && self.counted.as_ref().is_some_and(|(_, last)| number - last <= self.fresh)
    }
}

/// The sum over a figure's series, whatever their labels.
fn total(figures: &[ResourceFigure], name: &str) -> Option<f64> {
    let is_of = |figure: &&ResourceFigure| {
        let labels = figure.name.strip_prefix(name);
        labels.is_some_and(|labels| labels.is_empty() || labels.starts_with('{'))
    };
    figures.iter().filter(is_of).map(|figure| figure.value).reduce(|sum, value| sum + value)
}

/// The sum, in nanoseconds, and the number of a second's response times that count for latency.
fn response_times(second: &Second) -> (u128, u64) {
    let series = second.frame.series.iter().filter(|(key, _)| key.outcome.counts_for_latency());
    let times = series.filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime));
    times.fold((0, 0), |(sum, count), times| (sum + times.sum(), count + times.count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_run::ResourceUnit;

    #[test]
    fn replicas_are_added_up_over_labels_and_nothing_else() {
        let figures: Vec<_> = [
            ("replicas{zone=\"a\"}", 2.0),
            ("replicas{zone=\"b\"}", 3.0),
            ("replicas_wanted", 9.0),
            ("cpu", 1.0),
        ]
        .into_iter()
        .map(|(name, value)| ResourceFigure { name: name.into(), unit: ResourceUnit::Count, value })
        .collect();
        assert_eq!(total(&figures, "replicas"), Some(5.0));
        assert_eq!(total(&figures, "replicas{zone=\"b\"}"), Some(3.0));
        assert_eq!(total(&figures, "replica"), None);
        assert_eq!(total(&[], "replicas"), None);
    }
}
