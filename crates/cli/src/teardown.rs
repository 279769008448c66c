//! `plimsoll runs teardown`: undoes what a run made that could not do so itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use plimsoll_history::{Filter, History, KeptTeardown, RunRow};
use plimsoll_measure::Phase;
use plimsoll_report::TriedOut;
use plimsoll_run::{ExitCode, RunEvent, RunPlan, State};
use plimsoll_runner::{Control, Tried};

use crate::once::code;
use crate::records::moment;
use crate::run::text_options;
use crate::{Outcome, Stop, files, plan, signals};

/// What the command line says about it.
pub(crate) struct Asked<'a> {
    pub(crate) run: &'a str,
    pub(crate) again: bool,
    pub(crate) plan: Option<&'a Path>,
    pub(crate) set: Vec<String>,
    pub(crate) json: Option<&'a Path>,
    pub(crate) quiet: bool,
}

pub(crate) async fn teardown(history: &History, asked: Asked<'_>) -> Outcome {
    let id = history.find(asked.run).await.map_err(Stop::usage)?;
    let row = row(history, &id).await?;
    let state = state(history, &id).await?;
    if !asked.again
        && let Some(words) = done_already(&row, &state)
    {
        crate::say::errln!("{words}; `--again` makes it once more");
        return Ok(ExitCode::Success);
    }
    let plan = plan_of(&row, &state, &asked)?;
    if plan.teardown.is_empty() {
        crate::say::errln!("the plan of run {id} has no teardown: there is nothing to undo");
        return Ok(ExitCode::Success);
    }
    refuse_captures(&plan)?;
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    let plan = Arc::new(plan);
    let undone = plimsoll_runner::undo(Arc::clone(&plan), id.clone(), row.seed, &control);
    let tried = Box::pin(undone).await.map_err(Stop::usage)?;
    let failure = tried.parts.iter().find_map(|part| part.failure.clone());
    let made_nanos = jiff::Timestamp::now().as_nanosecond() as i64;
    let kept = history.keep_teardown(&id, &KeptTeardown { made_nanos, failure }).await;
    tell(&plan, &tried, &id, &asked)?;
    kept.context("that it was made is not in the history").map_err(Stop::internal)?;
    Ok(code(&tried))
}

async fn row(history: &History, id: &str) -> Result<RunRow, Stop> {
    let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
    let row = history.list(&filter).await.map_err(Stop::usage)?.pop();
    let row = row.ok_or_else(|| Stop::usage(anyhow!("run {id} has just been deleted")))?;
    if row.is_live() {
        let words = "is still running, and makes its teardown itself at its end";
        return Err(Stop::usage(anyhow!("run {id} {words}")));
    }
    Ok(row)
}

/// What the record says of the run, second by second.
async fn state(history: &History, id: &str) -> Result<State, Stop> {
    let mut reader = history.read(id).await.map_err(Stop::usage)?;
    let mut state: Option<State> = None;
    loop {
        let events = reader.next().await.map_err(Stop::usage)?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            match (&mut state, event) {
                (Some(state), event) => state.apply(event),
                (None, RunEvent::Started(started)) => state = Some(State::new(Arc::clone(started))),
                (None, _) => {}
            }
        }
    }
    state.ok_or_else(|| Stop::usage(anyhow!("run {id} has no first event")))
}

/// When and by whom the teardown was made, if it was and nothing of it failed.
fn done_already(row: &RunRow, state: &State) -> Option<String> {
    if let Some(made) = &row.teardown {
        let when = moment(made.made_nanos);
        return made.failure.is_none().then(|| format!("the teardown of run {} was made on {when}", row.id));
    }
    let summary = state.summary();
    let own = summary.phases.iter().find(|phase| phase.phase == Phase::Teardown)?;
    let is_done = own.requests > 0 && own.failed == 0 && own.cut == 0;
    is_done.then(|| format!("run {} made its teardown itself", row.id))
}

/// The plan whose teardown it is: that of the record, or the file that is said to be it.
fn plan_of(row: &RunRow, state: &State, asked: &Asked<'_>) -> Result<RunPlan, Stop> {
    let Some(path) = asked.plan else {
        let name = format!("the plan of run {}", row.id);
        return plan::teardown(&name, state.started().plan_text.clone(), None, asked.set.clone());
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read the plan {shown}")).map_err(Stop::usage)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let plan = plan::teardown(&shown.to_string(), text, Some(folder), asked.set.clone())?;
    if plan.name != row.plan {
        let words = format!("run {} is of the plan `{}`, and {shown} is `{}`", row.id, row.plan, plan.name);
        return Err(Stop::usage(anyhow!(words)));
    }
    Ok(plan)
}

/// What setup captured is in no record, since it may be secret. Half a teardown would leave things that nobody
/// knows of, so nothing is sent then.
fn refuse_captures(plan: &RunPlan) -> Result<(), Stop> {
    let needing = plimsoll_spec::teardown_needs_setup(plan);
    if needing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = needing.iter().map(|name| format!("`{name}`")).collect();
    Err(Stop::usage(anyhow!(
        "nothing was sent: {} of teardown needs what setup captured, which no record keeps. Undo this by hand; what setup \
         names by {{{{ run.id }}}} can be undone without it",
        names.join(", ")
    )))
}

fn tell(plan: &RunPlan, tried: &Tried, id: &str, asked: &Asked<'_>) -> Result<(), Stop> {
    let parts = tried.parts.iter().map(|part| TriedOut {
        name: &part.name,
        observed: &part.observed,
        failure: part.failure.as_deref(),
    });
    let parts: Vec<_> = parts.collect();
    let to_stderr = asked.json.is_some_and(|path| path == Path::new("-"));
    if !asked.quiet {
        let text = plimsoll_report::once_text(&parts, &plan.steps, &text_options(Vec::new(), to_stderr));
        if to_stderr {
            crate::say::err!("{text}");
        } else {
            crate::say::out!("{text}");
        }
    }
    if let Some(path) = asked.json {
        let mut value = plimsoll_report::once_json(&plan.name, &parts, &plan.steps);
        value["run"] = id.into();
        files::put(path, &format!("{value:#}\n")).map_err(Stop::internal)?;
    }
    Ok(())
}
