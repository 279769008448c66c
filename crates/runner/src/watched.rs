//! A run under the eyes of somebody who may find that it has gone on for long enough.

use std::ops::ControlFlow;
use std::sync::Arc;

use plimsoll_history::Recorded;
use plimsoll_measure::Frame;
use plimsoll_run::{RunEvent, RunPlan, State};
use tokio::sync::mpsc;

use crate::limit::{LimitConfig, LimitError};
use crate::{Control, Finished, RunConfig, sinks};

/// Events that may wait for whoever looks; each is looked at in no time.
const WATCHED: usize = 1024;

/// A service of which a larger share fails is not itself.
const FEW_FAILURES: f64 = 0.01;

/// Runs a plan, recorded and exported like any other, and shows each event to `see`, which breaks as soon as all
/// is known that the run is for.
///
/// # Errors
/// When it could not be run.
pub(crate) async fn watched(
    config: &LimitConfig,
    plan: RunPlan,
    control: &Control,
    mut see: impl FnMut(&RunEvent) -> ControlFlow<()>,
) -> Result<(State, Option<Recorded>), LimitError> {
    let exporters = sinks::exporters(&plan.export, Some(&config.history), Arc::clone(&config.live)).await?;
    let (watcher, mut events) = mpsc::channel(WATCHED);
    let control = control.for_one_run();
    let run = RunConfig {
        resumed: None,
        rows: None,
        plan: Arc::new(plan),
        id: None,
        workers: config.workers,
        plimsoll: config.plimsoll.clone(),
        calibration: None,
        history: Some(config.history.clone()),
        exporters,
        watcher: Some(watcher),
    };
    let watching = async {
        while let Some(event) = events.recv().await {
            if see(&event).is_break() {
                control.enough();
            }
        }
    };
    let (finished, ()) = tokio::join!(Box::pin(crate::run(run, control.clone())), watching);
    let Finished { state, recorded, exporters } = finished?;
    exporters.close().await;
    Ok((state, recorded))
}

/// Whether a second has answers and few of them, at most 1%, are failures.
pub(crate) fn is_answered_well(frame: &Frame) -> bool {
    has_few_failures(counts(frame))
}

/// Requests that succeeded and that failed.
pub(crate) fn counts(frame: &Frame) -> (u64, u64) {
    (frame.requests(|key| key.outcome.is_success()), frame.requests(|key| key.outcome.is_failure()))
}

/// Whether requests succeeded and at most 1% failed.
pub(crate) fn has_few_failures((succeeded, failed): (u64, u64)) -> bool {
    succeeded > 0 && failed as f64 <= FEW_FAILURES * (succeeded + failed) as f64
}

/// Whether a run that is watched has gone on for long enough.
pub(crate) fn enough(is_enough: bool) -> ControlFlow<()> {
    if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
