//! `plimsoll calibrate`, and the short form of it before a run.

use std::path::Path;
use std::time::Duration;

use plimsoll_run::{Calibration, ExitCode, RunPlan, Shape};
use plimsoll_runner::{Control, Thoroughness};

use crate::arguments::CalibrateArguments;
use crate::plan::Changes;
use crate::run::default_workers;
use crate::{Outcome, Stop, files, plan, signals};

/// What is offered where there is no plan: the target's place is taken by the bare target.
const PLAIN: &str = "
name: a plain GET
target: http://127.0.0.1
load: { model: closed, stages: [ { hold: 64 users, for: 1s } ] }
scenarios: [ { name: get, steps: [ { name: get, get: / } ] } ]
";

/// A calibration takes about a second: shorter runs would spend over a tenth of their time on it.
const SHORTEST_RUN: Duration = Duration::from_secs(10);

pub(crate) async fn calibrate(arguments: CalibrateArguments) -> Outcome {
    let changes = Changes { set: arguments.set, ..Changes::default() };
    let parsed = match &arguments.plan {
        Some(path) => plan::load(path, changes)?,
        None => plan::parse("plain", PLAIN.to_owned(), Path::new("."), changes)?,
    };
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    let workers = arguments.workers.map_or_else(default_workers, usize::from);
    let learnt = plimsoll_runner::calibrate(&parsed.plan, workers, Thoroughness::Long, &control).await;
    let Some(calibration) = learnt.map_err(Stop::usage)? else {
        return Ok(ExitCode::Interrupted);
    };
    let shape = Shape::of(&parsed.plan);
    let text = plimsoll_report::calibration_text(&calibration, &shape);
    match &arguments.json {
        Some(path) => {
            let json = plimsoll_report::calibration_json(&calibration);
            files::put(path, &format!("{json:#}\n")).map_err(Stop::internal)?;
            crate::say::err!("{text}");
        }
        None => crate::say::out!("{text}"),
    }
    Ok(ExitCode::Success)
}

/// Learns before a run what is told beside its figures. That it cannot be learnt is no reason not to run.
pub(crate) async fn before(plan: &RunPlan, workers: usize, control: &Control) -> Option<Calibration> {
    let shape = Shape::of(plan);
    if shape.stages_end() < SHORTEST_RUN.as_secs_f64() {
        return None;
    }
    match plimsoll_runner::calibrate(plan, workers, Thoroughness::Short, control).await {
        Ok(calibration) => {
            let shortfall = calibration.as_ref().and_then(|calibration| calibration.shortfall(&shape));
            shortfall.into_iter().for_each(|words| crate::say::errln!("warning: {words}"));
            calibration
        }
        Err(error) => {
            crate::say::errln!("warning: nothing was learnt of this machine: {error}");
            None
        }
    }
}
