//! One file, several users of it.

use plimsoll_history::{Filter, History};

use crate::database::Place;
use crate::sample;
use crate::support::{history, lines, record, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_make_and_write_one_file_at_once() {
    let place = Place::new().await;
    let write = |id: &'static str| {
        let location = place.location().to_owned();
        async move {
            let history = History::open(location).await.unwrap();
            let events = sample::events(&sample::started(id, 3), 40, 3, 5);
            let recorded = record(&history, &events).await;
            history.compact().await.unwrap();
            (recorded.lost_seconds, id, lines(&events))
        }
    };
    let tasks = ["a", "b", "c", "d"].map(|id| tokio::spawn(write(id)));
    let history = History::open(place.location()).await.unwrap();
    for task in tasks {
        let (lost, id, events) = task.await.unwrap();
        assert_eq!(lost, 0);
        assert_eq!(lines(&history.events(id).await.unwrap()), events);
    }
    assert_eq!(history.list(&Filter::default()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_run_is_compacted_by_several_at_once_without_loss() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 3), 200, 3, 2);
    record(&history, &events).await;
    let other = History::open(history.location()).await.unwrap();
    let (one, two) = tokio::join!(history.compact(), other.compact());
    assert_eq!(one.unwrap() + two.unwrap(), 200);
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
}

#[tokio::test]
async fn there_is_one_service() {
    let (_directory, history) = history().await;
    let other = History::open(history.location()).await.unwrap();
    let lock = history.lock_service().await.unwrap();
    // Whose session of a database it is nobody tells.
    let process = history.file().map(|_| format!(" (process {})", std::process::id())).unwrap_or_default();
    let expected =
        format!("{}: another service already uses this history{process}", history.path().display());
    assert_eq!(other.lock_service().await.unwrap_err().to_string(), expected);
    drop(lock);
    // The end of a session is noticed a moment later.
    until("the lock", async || other.lock_service().await.ok()).await;
}
