//! `plimsoll control`: steers a run that goes on, in whatever process.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_history::Answered;
use plimsoll_run::{Change, Command, ExitCode};
use serde_json::json;

use crate::arguments::ControlArguments;
use crate::{Outcome, Stop, files};

/// How long the run's process may take to answer. It looks every second, and a busy file takes a few more.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn control(arguments: ControlArguments) -> Outcome {
    let word = arguments.change.word();
    let change = Change::asked(word, arguments.value.as_deref()).map_err(Stop::usage)?;
    let history = files::history(&arguments.history).await?;
    let run = history.find_live(&arguments.run).await.map_err(Stop::usage)?;
    let command = Command { change, scenario: arguments.scenario, by: who() };
    let number = history.ask(&run, &command).await.map_err(Stop::usage)?;
    match history.answered(number, PATIENCE).await.map_err(Stop::usage)? {
        Answered::Done { effective, words } => tell(&run, effective, &words, arguments.json.as_deref())?,
        Answered::Refused(reason) => {
            return Err(Stop::usage(anyhow!("run {run} is not steered: {reason}")));
        }
        unsaid => return Err(unanswered(&run, &unsaid)),
    }
    Ok(ExitCode::Success)
}

/// Who asks, for the record.
fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    user.map_or_else(|| format!("user {}", nix::unistd::getuid()), |user| user.name)
}

/// What is said where nobody has said what became of a command.
fn unanswered(run: &str, answered: &Answered) -> Stop {
    let seconds = PATIENCE.as_secs();
    let words = match answered {
        Answered::Unsaid => format!(
            "the process of run {run} took the command and has not said for {seconds} s what became of it: \
             `plimsoll runs show {run}` tells whether it was steered"
        ),
        Answered::Gone => format!("run {run} has just been deleted"),
        Answered::TakenBack | Answered::Done { .. } | Answered::Refused(_) => format!(
            "nothing has changed: the process of run {run} has not answered for {seconds} s. It is gone, stopped, still \
             in its setup, or of a version that cannot be steered"
        ),
    };
    Stop::unreachable(anyhow!(words))
}

fn tell(run: &str, effective: u64, words: &str, json: Option<&Path>) -> Result<(), Stop> {
    match json {
        Some(path) => {
            let value = json!({ "run": run, "effective_seconds": effective as f64 / 1e9, "words": words });
            files::put(path, &format!("{value:#}\n")).map_err(Stop::internal)
        }
        None => {
            crate::say::outln!("run {run} {words}");
            Ok(())
        }
    }
}
