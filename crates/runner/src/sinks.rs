//! Between the record of runs and the sinks.

use std::sync::Arc;

use plimsoll_exporters::{ExportError, Exporters, LiveMetrics, Unfinished};
use plimsoll_history::{Error, History};
use plimsoll_run::{ExportCount, ExportSettings};

/// Opens what a plan asks for. Unless it says otherwise, points wait in a folder beside the history.
///
/// # Errors
/// As [`Exporters::start`].
pub async fn exporters(
    settings: &ExportSettings,
    history: &History,
    live: Arc<LiveMetrics>,
) -> Result<Exporters, ExportError> {
    Exporters::start(&beside(settings, history), live).await
}

/// Settings with a place for the spool: that of the plan, else beside the history.
pub fn beside(settings: &ExportSettings, history: &History) -> ExportSettings {
    let mut settings = settings.clone();
    settings.spool.directory.get_or_insert_with(|| history.path().with_extension("spool"));
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
