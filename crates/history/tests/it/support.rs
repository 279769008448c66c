use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{History, Recorded, Recorder};
use plimsoll_run::wire;
use plimsoll_run::{RunEvent, Started, State};
use sqlx::{AnyConnection, Connection};

use crate::database::Place;

/// How long a condition may take under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A record of its own, and where it is.
pub(crate) async fn history() -> (Place, History) {
    let place = Place::new().await;
    let history = History::open(place.location()).await.unwrap();
    (place, history)
}

/// A connection to the tables of a record, past all of its rules.
pub(crate) async fn connect(history: &History) -> AnyConnection {
    let location = history.location().to_str().unwrap();
    let url = if history.file().is_some() { format!("sqlite://{location}") } else { location.to_owned() };
    AnyConnection::connect(&url).await.unwrap()
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

/// Asks SQLite whether a file is sound. Of a database nobody else can say so.
pub(crate) async fn check_integrity(history: &History) {
    if history.file().is_none() {
        return;
    }
    let query = sqlx::query_scalar("PRAGMA integrity_check");
    let found: Vec<String> = query.fetch_all(&mut connect(history).await).await.unwrap();
    assert_eq!(found, ["ok"]);
}
