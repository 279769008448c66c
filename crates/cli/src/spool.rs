//! `plimsoll spool`, and a recorded run sent to a sink again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_exporters::{Exporters, LiveMetrics, Replay, SINKS, Sink, spool};
use plimsoll_history::History;
use plimsoll_run::{Ended, ExitCode, ExportCount, ExportSettings, RunEvent, RunStatus};
use plimsoll_runner::sinks;

use crate::arguments::SpoolCommand;
use crate::{Outcome, Stop, files, plan};

/// How long a sink that takes nothing is tried during a replay.
const REPLAY_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn spool(command: SpoolCommand) -> Outcome {
    match command {
        SpoolCommand::List { spool, json, history } => {
            let folder = match spool {
                Some(folder) => folder,
                None => folder_of(&ExportSettings::default(), &files::history(&history).await?),
            };
            list(&folder, json.as_deref())
        }
        SpoolCommand::Deliver { plan, patience, history } => {
            let settings = plan::export_of(&plan)?;
            Box::pin(deliver(&settings, &files::history(&history).await?, patience)).await
        }
    }
}

fn folder_of(settings: &ExportSettings, history: &History) -> PathBuf {
    sinks::beside(settings, history).spool.directory.unwrap_or_default()
}

fn list(folder: &Path, json: Option<&Path>) -> Outcome {
    let (found, errors) = spool::list(folder);
    let mut rows = Vec::new();
    for error in errors {
        crate::say::errln!("warning: {error}");
    }
    for queue in found {
        match spool::look(&queue.folder) {
            Ok(look) => rows.push((queue.about, look)),
            Err(error) => crate::say::errln!("warning: {error}"),
        }
    }
    if let Some(path) = json {
        let row = |(about, look): &(spool::About, spool::Look)| {
            serde_json::json!({
                "sink": about.sink,
                "to": about.identity,
                "run": about.run,
                "plan": about.plan,
                "bytes": look.bytes,
                "in_use": look.in_use,
                "ended": look.ended,
                "produced": look.account.map(|account| account.produced),
                "acknowledged": look.account.map(|account| account.acknowledged),
                "backlog": look.account.map(|account| account.backlog),
                "lost": look.account.map(|account| account.lost),
            })
        };
        let rows: serde_json::Value = rows.iter().map(row).collect();
        files::put(path, &format!("{rows:#}\n")).map_err(Stop::internal)?;
        return Ok(ExitCode::Success);
    }
    if rows.is_empty() {
        crate::say::errln!("nothing waits in {}", folder.display());
        return Ok(ExitCode::Success);
    }
    crate::say::outln!("{:>12}  {:>12}  {:<16}  {:<36}  to", "waiting", "lost", "sink", "run");
    for (about, look) in rows {
        let points = |points: Option<u64>| points.map_or_else(|| "?".to_owned(), |points| points.to_string());
        let waiting = points(look.account.map(|account| account.backlog));
        let lost = points(look.account.map(|account| account.lost));
        let state = if look.in_use { "  (being delivered)" } else { "" };
        crate::say::outln!(
            "{waiting:>12}  {lost:>12}  {:<16}  {:<36}  {}{state}",
            about.sink,
            about.run,
            about.identity
        );
    }
    Ok(ExitCode::Success)
}

/// Delivers what waits, and says of each run what became of its points.
async fn deliver(settings: &ExportSettings, history: &History, patience: Duration) -> Outcome {
    let settings = ExportSettings { prometheus: None, ..sinks::beside(settings, history) };
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(&settings, live).await.map_err(Stop::usage)?;
    for unfinished in exporters.unfinished() {
        let run = unfinished.run().to_owned();
        if let Err(error) = sinks::complete_one(history, unfinished).await {
            crate::say::errln!(
                "warning: run {run} goes out as far as it waits, its record cannot be read: {error}"
            );
        }
    }
    let ended =
        Ended { at: 0, status: RunStatus::Completed, reason: None, exports: Vec::new(), samples: None };
    Box::pin(exporters.finish(&Arc::new(ended), patience)).await;
    for note in exporters.notes() {
        crate::say::errln!("{note}");
    }
    sinks::keep(history, exporters.earlier()).await.map_err(Stop::internal)?;
    let mut waiting = 0;
    for (run, count) in exporters.earlier() {
        crate::say::outln!("{run}  {}", in_words(count));
        waiting += count.backlog;
    }
    if exporters.earlier().is_empty() {
        crate::say::errln!("nothing waits for the sinks of this plan");
    }
    Ok(if waiting > 0 { ExitCode::Unreachable } else { ExitCode::Success })
}

fn in_words(count: &ExportCount) -> String {
    let ExportCount { sink, produced, acknowledged, backlog, lost } = count;
    format!("{sink}: {produced} points, {acknowledged} taken, {backlog} waiting, {lost} lost")
}

/// The name of a sink, if that is what was typed; a file of such a name is written as `./NAME`.
pub(crate) fn sink_named(to: &Path) -> Option<&'static str> {
    SINKS.iter().find(|name| Path::new(name) == to).copied()
}

/// Sends a recorded run to a sink.
pub(crate) async fn replay(history: &History, id: &str, name: &str, plan: Option<&Path>) -> Outcome {
    let settings = match plan {
        Some(path) => plan::export_of(path)?,
        None => export_of_run(history, id).await?,
    };
    let sinks = plimsoll_exporters::sinks(&settings).map_err(Stop::usage)?;
    let sink = sinks.into_iter().find(|sink| sink.name() == name).ok_or_else(|| {
        let whose = if plan.is_some() { "the plan" } else { "the run's plan" };
        Stop::usage(anyhow!(
            "{whose} has no `export.{name}`: name a plan that has one with --plan, or write ./{name} for a file"
        ))
    })?;
    let (count, notes) = send(history, id, sink).await?;
    notes.iter().for_each(|note| crate::say::errln!("{note}"));
    crate::say::outln!("{}", in_words(&count));
    Ok(if count.lost > 0 { ExitCode::Unreachable } else { ExitCode::Success })
}

async fn export_of_run(history: &History, id: &str) -> Result<ExportSettings, Stop> {
    let mut reader = history.read(id).await.map_err(Stop::usage)?;
    let events = reader.next().await.map_err(Stop::usage)?;
    match events.first() {
        Some(RunEvent::Started(started)) => {
            plan::export(&format!("the plan of {id}"), started.plan_text.clone())
        }
        _ => Ok(ExportSettings::default()),
    }
}

async fn send(history: &History, id: &str, sink: Arc<dyn Sink>) -> Result<(ExportCount, Vec<String>), Stop> {
    let mut reader = history.read(id).await.map_err(Stop::usage)?;
    let mut replay = Replay::start(sink);
    loop {
        let events = reader.next().await.map_err(Stop::usage)?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            if !replay.send(event, REPLAY_PATIENCE).await {
                return Ok(Box::pin(replay.finish(Duration::ZERO)).await);
            }
        }
    }
    Ok(Box::pin(replay.finish(REPLAY_PATIENCE)).await)
}
