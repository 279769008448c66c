//! Whether a target that scales by itself catches up with a step of the load, and how soon.

use std::ops::ControlFlow;
use std::time::Duration;

use plimsoll_capacity::Scaling;
use plimsoll_measure::Timing;
use plimsoll_run::{RunEvent, RunPlan, Second};
use plimsoll_workload::{Stage, StageKind};

use crate::Control;
use crate::limit::{LimitConfig, LimitError, offering, rate, trial_of};
use crate::watched::{enough, watched};

/// Measured seconds before the step, whose mean is the baseline.
const BEFORE: u64 = 15;

/// So many seconds in a row in the band, with the same replicas, are settled.
const SETTLED: u64 = 5;

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

/// Makes one run with a step of the load and watches the target settle. `None`: it was stopped before the step, or
/// nothing was answered before it.
///
/// # Errors
/// When the run could not be made.
pub async fn scaling(
    config: &LimitConfig,
    step: &ScalingConfig,
    control: &Control,
) -> Result<Option<Scaling>, LimitError> {
    let mut watch = Watch::new(config, step);
    let state = watched(config, plan(config, step), control, |event| watch.look(event)).await?;
    let Some(baseline) = watch.baseline().filter(|_| watch.settled.is_some() || !control.was_stopped())
    else {
        return Ok(None);
    };
    Ok(Some(Scaling {
        from: step.from,
        to: step.to,
        within_seconds: f64::from(step.within_seconds),
        band: step.band,
        baseline_seconds: baseline,
        settled_seconds: watch.settled.map(|second| second as f64),
        worst_seconds: watch.worst,
        replicas: watch.first_replicas.zip(watch.replicas),
        run: state.started().info.id.clone(),
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
    /// Sum of nanoseconds and number of response times before the step.
    before: (u128, u64),
    /// Seconds in the band without a break.
    good: u64,
    settled: Option<u64>,
    worst: Option<f64>,
    first_replicas: Option<f64>,
    replicas: Option<f64>,
}

impl Watch {
    fn new(config: &LimitConfig, step: &ScalingConfig) -> Self {
        let warmup = config.warmup.as_secs();
        Self {
            warmup,
            step: warmup + BEFORE,
            band: step.band,
            replicas_by: step.replicas.clone(),
            before: (0, 0),
            good: 0,
            settled: None,
            worst: None,
            first_replicas: None,
            replicas: None,
        }
    }

    fn look(&mut self, event: &RunEvent) -> ControlFlow<()> {
        if let RunEvent::Second(second) = event
            && self.settled.is_none()
        {
            self.see(second);
        }
        enough(self.settled.is_some())
    }

    /// Seconds, the mean response time before the step.
    fn baseline(&self) -> Option<f64> {
        let (sum, count) = self.before;
        (count > 0).then(|| sum as f64 / count as f64 / 1e9)
    }

    fn see(&mut self, second: &Second) {
        let number = second.frame.second;
        let scaled = self.count_replicas(second);
        let (sum, count) = response_times(second);
        if (self.warmup..self.step).contains(&number) {
            self.before = (self.before.0 + sum, self.before.1 + count);
        } else if number >= self.step && count > 0 {
            let mean = sum as f64 / count as f64 / 1e9;
            self.worst = Some(self.worst.map_or(mean, |worst| worst.max(mean)));
            let is_good = self.baseline().is_some_and(|baseline| mean <= self.band * baseline) && !scaled;
            self.good = if is_good { self.good + 1 } else { 0 };
            if self.good >= SETTLED {
                // It had settled when the first of these seconds began.
                self.settled = Some(number + 1 - SETTLED - self.step);
            }
        }
    }

    /// Whether the number of replicas is another than before.
    fn count_replicas(&mut self, second: &Second) -> bool {
        let Some(name) = &self.replicas_by else { return false };
        let figures = second.resources.iter().filter_map(|scrape| scrape.figures.as_ref().ok()).flatten();
        let Some(now) =
            figures.filter(|figure| *figure.name == **name).map(|figure| figure.value).next_back()
        else {
            return false;
        };
        self.first_replicas.get_or_insert(now);
        self.replicas.replace(now).is_some_and(|before| before != now)
    }
}

/// The sum, in nanoseconds, and the number of a second's response times that count for latency.
fn response_times(second: &Second) -> (u128, u64) {
    let series = second.frame.series.iter().filter(|(key, _)| key.outcome.counts_for_latency());
    let times = series.filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime));
    times.fold((0, 0), |(sum, count), times| (sum + times.sum(), count + times.count()))
}
