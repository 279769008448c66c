//! `plimsoll runs` and `plimsoll report`: recorded runs, looked at again.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use plimsoll_history::{Filter, History, KeptTeardown, Overlapping, RunRow};
use plimsoll_report::{Run, Text};
use plimsoll_run::{Annotation, ExitCode, RunEvent, State};

use crate::arguments::{FileArguments, ReportArguments, RunsCommand};
use crate::{Outcome, Stop, files, spool, teardown, token};

pub(crate) async fn runs(command: RunsCommand) -> Outcome {
    match command {
        RunsCommand::List { plan, tags, limit, json, history } => {
            let history = files::history(&history).await?;
            let filter =
                Filter { plan, tags: tags.into_iter().collect(), limit: Some(limit), ..Filter::default() };
            let mut rows = history.list(&filter).await.map_err(Stop::usage)?;
            // The latest stands beside the prompt.
            rows.reverse();
            match json {
                Some(path) => {
                    files::put(&path, &format!("{:#}\n", list_json(&rows))).map_err(Stop::internal)?;
                }
                None => list(&rows),
            }
        }
        RunsCommand::Show { run, files, history } => {
            let history = files::history(&history).await?;
            let run = recorded(&history, &run).await?;
            let filter = Filter { id: Some(run.summary.info.id.clone()), ..Filter::default() };
            show(&[run], &files)?;
            for row in history.list(&filter).await.map_err(Stop::usage)? {
                let note = teardown_note(&row);
                note.into_iter().for_each(|note| crate::say::errln!("teardown  {note}"));
            }
        }
        RunsCommand::Export { run, to, plan, history } => {
            let history = files::history(&history).await?;
            let id = history.find(&run).await.map_err(Stop::usage)?;
            if let Some(sink) = spool::sink_named(&to) {
                return spool::replay(&history, &id, sink, plan.as_deref()).await;
            }
            let mut text = Vec::new();
            history.export(&id, &mut text).await.map_err(Stop::usage)?;
            files::put(&to, &String::from_utf8_lossy(&text)).map_err(Stop::internal)?;
        }
        RunsCommand::Delete { runs, history } => {
            let history = files::history(&history).await?;
            let mut ids = Vec::new();
            for run in &runs {
                ids.push(history.find(run).await.map_err(Stop::usage)?);
            }
            history.delete(&ids).await.map_err(Stop::usage)?;
            for id in &ids {
                token::audit(&history, "run.delete", id, serde_json::json!({})).await?;
            }
            ids.iter().for_each(|id| crate::say::errln!("deleted {id}"));
        }
        RunsCommand::Resume(arguments) => return Box::pin(crate::resume::resume(*arguments)).await,
        RunsCommand::Retain(arguments) => return crate::retain::retain(arguments).await,
        RunsCommand::Teardown { run, again, plan, set, json, quiet, history } => {
            let history = files::history(&history).await?;
            let (plan, json) = (plan.as_deref(), json.as_deref());
            let asked = teardown::Asked { run: &run, again, plan, set, json, quiet };
            return Box::pin(teardown::teardown(&history, asked)).await;
        }
        RunsCommand::Replay { source, files, history } => {
            let run = if Path::new(&source).is_file() {
                from_file(Path::new(&source))?
            } else {
                recorded(&files::history(&history).await?, &source).await?
            };
            show(&[run], &files)?;
        }
    }
    Ok(ExitCode::Success)
}

pub(crate) async fn report(arguments: ReportArguments) -> Outcome {
    let history = files::history(&arguments.history).await?;
    let mut runs = Vec::new();
    for run in &arguments.runs {
        runs.push(recorded(&history, run).await?);
    }
    if arguments.files.junit.is_some() && runs.len() > 1 {
        return Err(Stop::usage(anyhow!("JUnit holds one run; name one, or leave --junit out")));
    }
    show(&runs, &arguments.files)?;
    Ok(ExitCode::Success)
}

/// Writes the forms that were asked for, or prints the figures when none was.
fn show(runs: &[Run], files: &FileArguments) -> Result<(), Stop> {
    let written = files::write(runs, files);
    for (name, place) in &written.files {
        crate::say::errln!("{name}  {place}");
    }
    written.tell()?;
    if written.files.is_empty() && !files::uses_stdout(files) {
        let width = crossterm::terminal::size().map_or(100, |(width, _)| usize::from(width));
        for run in runs {
            let text = Text {
                width,
                color: std::io::IsTerminal::is_terminal(&std::io::stdout()),
                files: Vec::new(),
            };
            crate::say::out!("{}", plimsoll_report::text(run, &text));
        }
    }
    Ok(())
}

/// A recorded run, folded from its events.
pub(crate) async fn recorded(history: &History, asked: &str) -> Result<Run, Stop> {
    let id = history.find(asked).await.map_err(Stop::usage)?;
    let mut reader = history.read(&id).await.map_err(Stop::usage)?;
    let mut state = None;
    loop {
        let events = reader.next().await.map_err(Stop::usage)?;
        if events.is_empty() {
            break;
        }
        events.iter().for_each(|event| fold(&mut state, event));
    }
    let mut run = whole(state, &id)?;
    run.alerts = alerts(history, &run).await?;
    Ok(run)
}

/// What others told of the time of a run; of one that goes on until now.
async fn alerts(history: &History, run: &Run) -> Result<Vec<Annotation>, Stop> {
    let now = || {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    };
    let which = Overlapping {
        from_nanos: Some(run.summary.info.started_nanos),
        until_nanos: Some(run.summary.ended_nanos().unwrap_or_else(now)),
        limit: Some(plimsoll_report::MOST_ALERTS + 1),
        ..Overlapping::default()
    };
    history.annotations(&which).await.map_err(Stop::usage)
}

/// An exported run, folded from its lines.
fn from_file(path: &Path) -> Result<Run, Stop> {
    let name = || format!("{}", path.display());
    let file = std::fs::File::open(path).with_context(name).map_err(Stop::usage)?;
    let mut state = None;
    for event in plimsoll_history::read_export(BufReader::new(file)) {
        fold(&mut state, &event.with_context(name).map_err(Stop::usage)?);
    }
    whole(state, &name())
}

fn fold(state: &mut Option<State>, event: &RunEvent) {
    match (state.as_mut(), event) {
        (Some(state), event) => state.apply(event),
        (None, RunEvent::Started(started)) => *state = Some(State::new(std::sync::Arc::clone(started))),
        (None, _) => {}
    }
}

fn whole(state: Option<State>, name: &str) -> Result<Run, Stop> {
    state.map(|state| Run::of(&state)).ok_or_else(|| Stop::usage(anyhow!("{name} has no first event")))
}

fn list(rows: &[RunRow]) {
    if rows.is_empty() {
        crate::say::errln!("no runs are recorded here yet; `plimsoll demo` makes one");
        return;
    }
    crate::say::outln!(
        "{:<36}  {:<19}  {:>8}  {:<11}  {:<12}  plan",
        "run",
        "started",
        "length",
        "status",
        "verdict"
    );
    for row in rows {
        let verdict = row.summary.as_deref().and_then(verdict).unwrap_or("-");
        let crosses = if row.crosses.is_empty() {
            String::new()
        } else {
            format!("  (new {})", row.crosses.join(", "))
        };
        let teardown = teardown_word(row).map(|word| format!("  (teardown {word})")).unwrap_or_default();
        crate::say::outln!(
            "{:<36}  {:<19}  {:>8}  {:<11}  {:<12}  {}{crosses}{teardown}",
            row.id,
            moment(row.started_nanos),
            row.duration_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s")),
            row.status.map_or("running", |status| status.label()),
            verdict,
            row.plan,
        );
    }
}

/// What is to be said of the teardown of a run that is gone.
fn teardown_note(row: &RunRow) -> Option<String> {
    match &row.teardown {
        Some(KeptTeardown { made_nanos, failure: None }) => {
            Some(format!("made afterwards, on {}", moment(*made_nanos)))
        }
        Some(KeptTeardown { made_nanos, failure: Some(why) }) => {
            Some(format!("failed on {}: {why}", moment(*made_nanos)))
        }
        None => row
            .owes_teardown
            .then(|| format!("not made, since the run was killed: `plimsoll runs teardown {}`", row.id)),
    }
}

/// The same in a word, for lists.
fn teardown_word(row: &RunRow) -> Option<&'static str> {
    match &row.teardown {
        Some(kept) if kept.failure.is_some() => Some("failed"),
        Some(_) => Some("made"),
        None => row.owes_teardown.then_some("owed"),
    }
}

/// A moment on this machine's clock.
pub(crate) fn moment(nanos: i64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The worst verdict of the critical objectives in a stored summary.
fn verdict(summary: &str) -> Option<&'static str> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    let critical = summary.get("sla")?.as_array()?.iter().filter(|sla| sla["severity"] == "critical");
    let verdicts: Vec<_> = critical.filter_map(|sla| sla["verdict"].as_str()).collect();
    ["missed", "inconclusive", "met"].into_iter().find(|word| verdicts.contains(word))
}

fn list_json(rows: &[RunRow]) -> serde_json::Value {
    let json = |row: &RunRow| {
        let tags: BTreeMap<_, _> = row.tags.iter().collect();
        serde_json::json!({
            "id": row.id,
            "plan": row.plan,
            "plan_hash": row.plan_hash,
            "version": row.version,
            "environment": row.environment,
            "tags": tags,
            "started": jiff::Timestamp::from_nanosecond(i128::from(row.started_nanos)).map(|moment| moment.to_string()).ok(),
            "duration_seconds": row.duration_seconds,
            "status": row.status.map_or("running", |status| status.label()),
            "verdict": row.summary.as_deref().and_then(verdict),
            "seed": row.seed,
            "host": row.host,
            "plimsoll": row.plimsoll,
            "lost_seconds": row.lost_seconds,
            "crosses": row.crosses,
            "teardown": teardown_word(row),
        })
    };
    rows.iter().map(json).collect()
}
