//! Between the record of runs and the sinks.

use std::io;
use std::sync::{Arc, OnceLock};

use plimsoll_driver::stand_back;
use plimsoll_exporters::{ExportError, Exporters, LiveMetrics, Unfinished};
use plimsoll_history::{Error, History};
use plimsoll_run::{ExportCount, ExportSettings};
use tokio::runtime::{Builder, Runtime};

/// Where sinks are written to and sent to, for all runs of this process.
static SENDERS: OnceLock<Runtime> = OnceLock::new();

/// Opens what a plan asks for. Unless it says otherwise, points wait in a folder beside the history, where there is one.
/// What it starts runs on threads of its own that let those go first that offer load.
///
/// # Errors
/// As [`Exporters::start`].
pub async fn exporters(
    settings: &ExportSettings,
    history: Option<&History>,
    live: Arc<LiveMetrics>,
) -> Result<Exporters, ExportError> {
    let settings = history.map_or_else(|| settings.clone(), |history| beside(settings, history));
    let started = senders()?.spawn(async move { Exporters::start(&settings, live).await });
    started.await.map_err(io::Error::other)?
}

fn senders() -> io::Result<&'static Runtime> {
    if let Some(runtime) = SENDERS.get() {
        return Ok(runtime);
    }
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("senders").on_thread_start(stand_back).enable_all();
    let runtime = builder.build()?;
    // Another run may have been quicker; a runtime of which nothing was asked yet ends at once.
    if let Err(second) = SENDERS.set(runtime) {
        second.shutdown_background();
    }
    SENDERS.get().ok_or_else(|| io::Error::other("no runtime"))
}

/// Settings with a place for the spool: that of the plan, else beside the history's file, else the working directory.
pub fn beside(settings: &ExportSettings, history: &History) -> ExportSettings {
    let mut settings = settings.clone();
    let directory =
        || history.file().map_or_else(|| "plimsoll.spool".into(), |file| file.with_extension("spool"));
    settings.spool.directory.get_or_insert_with(directory);
    settings
}

/// Tells the sinks, while the run goes on, what they lack of runs whose process died.
pub(crate) fn complete(history: &History, exporters: &mut Exporters) {
    for unfinished in exporters.unfinished() {
        let history = history.clone();
        // A record that is gone or cannot be read completes nothing; what waits goes out all the same.
        tokio::spawn(async move { complete_one(&history, unfinished).await.ok() });
    }
}

/// Tells a sink what it lacks of one run.
///
/// # Errors
/// When the record is not there or cannot be read.
pub async fn complete_one(history: &History, mut unfinished: Unfinished) -> Result<(), Error> {
    let mut reader = match history.read(unfinished.run()).await {
        Err(error @ Error::NoRun { .. }) => {
            unfinished.give_up();
            return Err(error);
        }
        read => read?,
    };
    loop {
        let events = reader.next().await?;
        if events.is_empty() {
            break;
        }
        events.iter().for_each(|event| unfinished.send(event));
    }
    if reader.is_finished() {
        unfinished.finish();
    }
    Ok(())
}

/// Keeps what became of the points of earlier runs.
///
/// # Errors
/// When the file cannot be written.
pub async fn keep(history: &History, counts: &[(String, ExportCount)]) -> Result<(), Error> {
    for (run, count) in counts {
        history.keep_delivery(run, count).await?;
    }
    Ok(())
}
