//! `plimsoll control`: steers a run that goes on, in whatever process.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_history::{Fate, Filter, History};
use plimsoll_run::{Change, Command, ExitCode};
use plimsoll_units::ParseError;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::arguments::{ChangeWord, ControlArguments};
use crate::{Outcome, Stop, files};

/// How long the run's process may take to answer. It looks every second, and a busy file takes a few more.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon the answer is looked for again.
const AGAIN: Duration = Duration::from_millis(100);

pub(crate) async fn control(arguments: ControlArguments) -> Outcome {
    let change =
        change(arguments.change, arguments.value.as_deref()).map_err(|words| Stop::usage(anyhow!(words)))?;
    let history = files::history(&arguments.history).await?;
    let run = live(&history, &arguments.run).await?;
    let command = Command { change, scenario: arguments.scenario, by: who() };
    let number = history.ask(&run, &command).await.map_err(Stop::usage)?;
    let (effective, words) = match answer(&history, number).await? {
        Some(Fate::Done { effective, words }) => (effective, words),
        Some(Fate::Refused(reason)) => {
            return Err(Stop::usage(anyhow!("run {run} is not steered: {reason}")));
        }
        fate => return Err(unanswered(&history, &run, number, fate).await),
    };
    tell(&run, effective, &words, arguments.json.as_deref())?;
    Ok(ExitCode::Success)
}

/// What the words of a command line mean. Whether the run can do it is the run's to say.
fn change(word: ChangeWord, value: Option<&str>) -> Result<Change, String> {
    let needs = |what: &str| format!("it is not said to which {what}; or x1.5, 150% or `plan`");
    match (word, value.map(str::trim)) {
        (ChangeWord::Rate, None) => Err(needs("rate, like `rate 800/s`")),
        (ChangeWord::Users, None) => Err(needs("number of users, like `users 200`")),
        (ChangeWord::Rate | ChangeWord::Users, Some(value)) => match share_of_plan(value) {
            Some(share) => share,
            None if word == ChangeWord::Rate => value.parse().map(Change::Rate).map_err(|error| also(&error)),
            None => value.parse().map(Change::Users).map_err(|error| also(&error)),
        },
        (ChangeWord::Pause | ChangeWord::Resume | ChangeWord::Stop, Some(value)) => {
            Err(format!("`{value}` is one word too many: only a rate and a number of users have a value"))
        }
        (ChangeWord::Pause, None) => Ok(Change::Pause),
        (ChangeWord::Resume, None) => Ok(Change::Resume),
        (ChangeWord::Stop, None) => Ok(Change::Stop),
    }
}

fn also(error: &ParseError) -> String {
    format!("{error}; or x1.5, 150% or `plan`")
}

/// What is said in terms of the plan: `x1.5`, `150%`, `plan`.
fn share_of_plan(text: &str) -> Option<Result<Change, String>> {
    if text == "plan" {
        return Some(Ok(Change::Resume));
    }
    let (number, whole) = match (text.strip_prefix(['x', 'X']), text.strip_suffix('%')) {
        (Some(factor), _) => (factor, 1.0),
        (None, Some(percent)) => (percent, 100.0),
        (None, None) => return None,
    };
    let factor = number.trim().parse::<f64>().map(|number| Change::Scale(number / whole));
    Some(factor.map_err(|_| format!("`{text}` is no share of the plan, like x1.5 or 150%")))
}

/// The id of the run that is meant: of those that go on when it is the latest.
async fn live(history: &History, asked: &str) -> Result<String, Stop> {
    if matches!(asked, "last" | "latest") {
        let filter = Filter { live: true, ..Filter::default() };
        if let Some(row) = history.list(&filter).await.map_err(Stop::usage)?.into_iter().next() {
            return Ok(row.id);
        }
    }
    history.find(asked).await.map_err(Stop::usage)
}

/// Who asks, for the record.
fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    user.map_or_else(|| format!("user {}", nix::unistd::getuid()), |user| user.name)
}

/// What became of a command, as soon as that is known; at the end of the patience whatever is known then.
async fn answer(history: &History, number: i64) -> Result<Option<Fate>, Stop> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let fate = history.fate(number).await.map_err(Stop::usage)?;
        let is_open = matches!(fate, Some(Fate::Waiting | Fate::Taken));
        if !is_open || Instant::now() >= deadline {
            return Ok(fate);
        }
        sleep(AGAIN).await;
    }
}

/// Nobody said what became of the command: it is taken back, so that it is not carried out when nobody expects it.
async fn unanswered(history: &History, run: &str, number: i64, fate: Option<Fate>) -> Stop {
    let seconds = PATIENCE.as_secs();
    let words = match history.withdraw(number).await {
        Ok(true) => format!(
            "nothing has changed: the process of run {run} has not answered for {seconds} s. It is gone, stopped, still \
             in its setup, or of a version that cannot be steered"
        ),
        Ok(false) if fate == Some(Fate::Taken) => format!(
            "the process of run {run} took the command and has not said for {seconds} s what became of it: \
             `plimsoll runs show {run}` tells whether it was steered"
        ),
        Ok(false) => format!("run {run} has just been deleted"),
        Err(error) => return Stop::usage(error),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_people_say_it() {
        for (word, value, read) in [
            (ChangeWord::Rate, Some("800/s"), "rate 800/s"),
            (ChangeWord::Rate, Some(" 1.5k/s"), "rate 1500/s"),
            (ChangeWord::Rate, Some("x1.5"), "scale 1.5"),
            (ChangeWord::Rate, Some("50%"), "scale 0.5"),
            (ChangeWord::Rate, Some("plan"), "resume"),
            (ChangeWord::Users, Some("200"), "users 200"),
            (ChangeWord::Users, Some("X 2"), "scale 2"),
            (ChangeWord::Pause, None, "pause"),
            (ChangeWord::Resume, None, "resume"),
            (ChangeWord::Stop, None, "stop"),
        ] {
            assert_eq!(
                change(word, value).map(|change| change.to_string()),
                Ok(read.to_owned()),
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_is_no_change_says_what_would_be_one() {
        for (word, value, told) in [
            (ChangeWord::Rate, None, "like `rate 800/s`; or x1.5"),
            (ChangeWord::Rate, Some("800"), "`800` is not a rate"),
            (ChangeWord::Rate, Some("11M/s"), "up to 10M/s; or x1.5"),
            (ChangeWord::Rate, Some("-5/s"), "is not a rate"),
            (ChangeWord::Rate, Some("x"), "`x` is no share of the plan"),
            (ChangeWord::Users, Some("1.5"), "up to 10 million"),
            (ChangeWord::Users, Some("much%"), "`much%` is no share of the plan"),
            (ChangeWord::Pause, Some("5s"), "`5s` is one word too many"),
        ] {
            let found = change(word, value).unwrap_err();
            assert!(found.contains(told), "{value:?}: {found}");
        }
    }
}
