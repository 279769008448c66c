//! A record that cannot be written while a run goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{Filter, Recorder};
use plimsoll_run::{RunEvent, RunStatus};

use crate::database::lock;
use crate::sample;
use crate::support::{DEADLINE, connect, first, history, lines, until};

#[tokio::test]
async fn a_locked_file_is_told_and_nothing_is_lost_when_it_is_free_again() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 2), 30, 2, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let mut other = connect(&history).await;
    let lock = lock(&mut other).await;
    let begun = Instant::now();
    events.iter().for_each(|event| recorder.record(event));
    assert!(begun.elapsed() < Duration::from_secs(1), "recording waited for the lock");
    let trouble = until("the trouble", async || recorder.trouble()).await;
    assert!(trouble.ends_with("is locked by another process; up to 600 seconds wait in memory"), "{trouble}");
    assert_eq!(recorder.trouble(), None, "told once");
    // Reading goes on meanwhile.
    assert_eq!(history.events("run").await.unwrap().len(), 1);
    assert!(history.list(&Filter::default()).await.unwrap()[0].is_live());
    lock.rollback().await.unwrap();
    let recorded = recorder.finish(DEADLINE).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
}

#[tokio::test]
async fn patience_ends_and_what_is_missing_is_counted() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 30, 1, 1);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let mut other = connect(&history).await;
    let lock = lock(&mut other).await;
    events.iter().for_each(|event| recorder.record(event));
    until("the trouble", async || recorder.trouble()).await;
    let recorded = recorder.finish(Duration::from_millis(10)).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (30, false));
    // While the process lives it is still tried.
    lock.rollback().await.unwrap();
    until("the end", async || history.list(&Filter::default()).await.unwrap()[0].status).await;
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
}

#[tokio::test]
async fn a_record_says_what_it_lacks() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 1), 650, 1, 0);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let mut other = connect(&history).await;
    let lock = lock(&mut other).await;
    events.iter().for_each(|event| recorder.record(event));
    lock.rollback().await.unwrap();
    assert_eq!(recorder.finish(DEADLINE).await.lost_seconds, 50);
    assert_eq!(history.list(&Filter::default()).await.unwrap()[0].lost_seconds, 50);
    let recorded = history.events("run").await.unwrap();
    let RunEvent::Note(note) = &recorded[recorded.len() - 2] else { panic!("no note") };
    assert_eq!(note.text, "50 seconds could not be recorded and are missing here");
}

#[tokio::test]
async fn a_run_thought_dead_lives_again_when_its_recorder_writes() {
    let (_directory, history) = history().await;
    let started = sample::started("run", 1);
    let recorder = Recorder::start(&history, &started).await.unwrap();
    let status = async || history.list(&Filter::default()).await.unwrap()[0].status;
    let second = |number| RunEvent::Second(Arc::new(sample::second(number, 1, 1, &started)));
    recorder.record(&second(0));
    until("second 0", async || (history.events("run").await.unwrap().len() == 2).then_some(())).await;
    let mut other = connect(&history).await;
    sqlx::raw_sql("UPDATE runs SET status = 'interrupted'").execute(&mut other).await.unwrap();
    assert_eq!(status().await, Some(RunStatus::Interrupted));
    assert_eq!(history.compact().await.unwrap(), 1);
    recorder.record(&second(1));
    until("second 1", async || status().await.is_none().then_some(())).await;
    assert_eq!(lines(&history.events("run").await.unwrap()[1..]), lines(&[second(0), second(1)]));
}
