//! Whether a target that scales by itself catches up with a step of the load, and how soon.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_capacity::Scaling;
use plimsoll_exporters::Exporters;
use plimsoll_measure::Timing;
use plimsoll_run::{Load, LoadModel, RunEvent, RunPlan, Second};
use plimsoll_units::Rate;
use plimsoll_workload::{Stage, StageKind};
use tokio::sync::mpsc;

use crate::limit::{LimitConfig, LimitError, trial_of};
use crate::{Control, Finished, RunConfig};

/// Events that may wait for whoever looks.
const WATCHED: usize = 1024;

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
    let plan = Arc::new(plan(config, step));
    let exporters = Exporters::start(&plan.export, Arc::clone(&config.live)).await?;
    let (watcher, events) = mpsc::channel(WATCHED);
    let own = control.for_one_run();
    let watching = tokio::spawn(Watch::new(config, step).follow(events, own.clone()));
    let run = RunConfig {
        plan,
        workers: config.workers,
        plimsoll: config.plimsoll.clone(),
        calibration: None,
        history: Some(config.history.clone()),
        exporters,
        watcher: Some(watcher),
    };
    let Finished { state, exporters, .. } = Box::pin(crate::run(run, own)).await?;
    // It ends with the run, unless it panicked, which says enough by itself.
    let watch = watching.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
    exporters.close().await;
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
    let LoadModel::Open { spacing, max_in_flight, .. } = plan.load.model else { return plan };
    let hold =
        |rate: f64, length| Stage { kind: StageKind::Hold(Rate::new(rate).unwrap_or(Rate::ZERO)), length };
    let stages = vec![
        hold(step.from, config.warmup + Duration::from_secs(BEFORE)),
        hold(step.to, Duration::from_secs(u64::from(step.within_seconds) + SETTLED)),
    ];
    let enough = (step.to * plan.http.timeout.as_secs_f64()).ceil().clamp(1.0, 100_000.0) as u32;
    let model = LoadModel::Open { stages, spacing, max_in_flight: enough.max(max_in_flight) };
    RunPlan {
        load: Load { model, warmup: config.warmup, grace: plan.load.grace },
        objectives: Vec::new(),
        ..plan
    }
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

    async fn follow(mut self, mut events: mpsc::Receiver<RunEvent>, control: Control) -> Self {
        while let Some(event) = events.recv().await {
            if let RunEvent::Second(second) = event
                && self.settled.is_none()
            {
                self.see(&second);
                if self.settled.is_some() {
                    control.enough();
                }
            }
        }
        self
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
