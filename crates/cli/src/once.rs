//! `plimsoll run PLAN --once`: what a plan sends, gets, takes and checks, one iteration of each scenario.

use std::path::Path;
use std::sync::Arc;

use plimsoll_report::TriedOut;
use plimsoll_run::{ExitCode, RunPlan};
use plimsoll_runner::{Control, Tried};

use crate::arguments::OutputArguments;
use crate::run::text_options;
use crate::{Outcome, Stop, files, signals};

pub(crate) async fn once(plan: RunPlan, output: &OutputArguments) -> Outcome {
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    let plan = Arc::new(plan);
    let tried = Box::pin(plimsoll_runner::once(Arc::clone(&plan), &control)).await.map_err(Stop::usage)?;
    let parts = tried.parts.iter().map(|part| TriedOut {
        name: &part.name,
        observed: &part.observed,
        failure: part.failure.as_deref(),
    });
    let parts: Vec<_> = parts.collect();
    let json = output.files.json.as_deref();
    let to_stderr = json.is_some_and(|path| path == Path::new("-"));
    if !output.quiet {
        let text = plimsoll_report::once_text(&parts, &plan.steps, &text_options(Vec::new(), to_stderr));
        if to_stderr {
            crate::say::err!("{text}");
        } else {
            crate::say::out!("{text}");
        }
    }
    if let Some(path) = json {
        let value = plimsoll_report::once_json(&plan.name, &parts, &plan.steps);
        files::put(path, &format!("{value:#}\n")).map_err(Stop::internal)?;
    }
    Ok(code(&tried))
}

/// As a run would end of which every step is an objective.
pub(crate) fn code(tried: &Tried) -> ExitCode {
    if tried.stopped {
        ExitCode::Interrupted
    } else if !tried.was_answered() {
        ExitCode::Unreachable
    } else if !tried.succeeded() {
        ExitCode::Missed
    } else {
        ExitCode::Success
    }
}
