use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{History, Recorded, Recorder};
use plimsoll_run::wire;
use plimsoll_run::{RunEvent, Started, State};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

/// How long a condition may take under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A record of its own, and the directory it lies in.
pub(crate) async fn history() -> (tempfile::TempDir, History) {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path().join("history.db")).await.unwrap();
    (directory, history)
}

/// Records events from the first to the last.
pub(crate) async fn record(history: &History, events: &[RunEvent]) -> Recorded {
    let recorder = Recorder::start(history, first(events)).await.unwrap();
    events.iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await
}

pub(crate) fn first(events: &[RunEvent]) -> &Started {
    let Some(RunEvent::Started(started)) = events.first() else { panic!("no start") };
    started
}

/// Events as text, since they cannot be compared.
pub(crate) fn lines(events: &[RunEvent]) -> Vec<String> {
    events.iter().filter_map(wire::to_line).collect()
}

/// The summary that events fold to, as text.
pub(crate) fn summary(events: &[RunEvent]) -> String {
    let mut state = State::new(Arc::new(first(events).clone()));
    events.iter().for_each(|event| state.apply(event));
    format!("{:#?}", state.summary())
}

/// Asks until the answer is some.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An error with its cause, as a person reads it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Asks SQLite whether a file is sound.
pub(crate) async fn check_integrity(history: &History) {
    let mut connection = SqliteConnectOptions::new().filename(history.path()).connect().await.unwrap();
    let found: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
    assert_eq!(found, ["ok"]);
}
