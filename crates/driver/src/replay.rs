//! Arrivals of a log: due when its requests came.

use std::io;
use std::sync::Arc;

use plimsoll_data::{LogTimes, Table};
use plimsoll_run::{LoadModel, RunPlan};
use plimsoll_workload::StageKind;

use crate::worker::Worker;

/// A log, and how it is replayed.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    name: String,
    log: Arc<Table>,
    speed: f64,
    /// Nanoseconds from the start of the run to its first request.
    delay: u64,
}

impl Recording {
    /// What a load replays: that of its only scenario, where its stages say so. A load that was put in place of it
    /// has the requests of the log at rates of its own.
    pub(crate) fn of(plan: &RunPlan, model: &LoadModel, scenario: usize) -> Option<Self> {
        let LoadModel::Open { stages, .. } = model else { return None };
        let place = stages.iter().position(|stage| matches!(stage.kind, StageKind::Replay(_)))?;
        let delay = stages[..place].iter().map(|stage| stage.length.as_nanos() as u64).sum();
        let replay = plan.scenarios.get(scenario)?.replay.as_ref()?;
        let feed = plan.feeds.get(usize::from(replay.feed))?;
        let (name, log) = (feed.name.clone(), Arc::clone(&feed.table));
        Some(Self { name, log, speed: replay.speed, delay })
    }
}

/// The arrivals of a recording, in their order.
pub(crate) struct Recorded<'w> {
    worker: &'w Worker,
    recording: &'w Recording,
    times: Option<LogTimes>,
}

impl<'w> Recorded<'w> {
    pub(crate) fn new(worker: &'w Worker, recording: &'w Recording) -> Self {
        let times = LogTimes::new(Arc::clone(&recording.log));
        let times = times.map_err(|error| recording.has_failed(worker, &error)).ok();
        Self { worker, recording, times }
    }
}

impl Recording {
    fn has_failed(&self, worker: &Worker, error: &io::Error) {
        worker.fail(format!("the log `{}` cannot be read: {error}", self.name));
    }
}

impl Iterator for Recorded<'_> {
    /// Due, in nanoseconds from the start of the run.
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let Self { worker, recording, times } = self;
        match times.as_mut()?.next_time() {
            Ok(time) => time.map(|time| recording.delay + (time as f64 / recording.speed) as u64),
            Err(error) => {
                recording.has_failed(worker, &error);
                None
            }
        }
    }
}
