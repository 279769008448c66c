//! After `kill -9`, every second that ended more than one second before is whole in the record.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{Filter, History, Recorder};
use plimsoll_measure::SECOND;
use plimsoll_run::{RunEvent, RunStatus};

use crate::sample;
use crate::support::{DEADLINE, check_integrity, first, history, lines};

/// The record that the recording child writes.
const RECORD: &str = "PLIMSOLL_TEST_RECORD";
const STEPS: u16 = 10;
const REQUESTS: u64 = 20;
/// Seconds pass faster in the child, which asks more of the record.
const PACE: Duration = Duration::from_millis(100);

/// Not a test by itself: what the killed child runs. It tells each second before it records it.
#[tokio::test]
async fn child_that_records() {
    let Ok(location) = std::env::var(RECORD) else { return };
    let history = History::open(location).await.unwrap();
    let started = sample::started("killed", STEPS);
    let recorder = Recorder::start(&history, &started).await.unwrap();
    let mut pace = tokio::time::interval(PACE);
    for number in 0.. {
        pace.tick().await;
        let second = sample::second(number, STEPS, REQUESTS, &started);
        println!("second {number}");
        std::io::stdout().flush().unwrap();
        recorder.record(&RunEvent::Second(Arc::new(second)));
    }
}

/// Lets a child record until `enough` seconds were told, kills it, and returns when each was told and
/// when it was killed.
fn record_and_kill(location: &OsStr, enough: u64) -> (BTreeMap<u64, Instant>, Instant) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child_that_records", "--nocapture"])
        .env(RECORD, location)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BTreeMap::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The first one stands behind the name of the test.
        let Some((_, number)) = line.split_once("second ") else { continue };
        let number = number.parse().unwrap();
        told.insert(number, Instant::now());
        if number == enough {
            break;
        }
    }
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    (told, killed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_is_whole_up_to_a_second_before_and_marked_interrupted() {
    let (place, history) = history().await;
    // This process writes to the same file meanwhile.
    let beside = sample::events(&sample::started("beside", STEPS), 200, STEPS, REQUESTS);
    let recorder = Recorder::start(&history, first(&beside)).await.unwrap();
    let child = {
        let location = place.location().to_owned();
        tokio::task::spawn_blocking(move || record_and_kill(&location, 40))
    };
    beside.iter().for_each(|event| recorder.record(event));
    let (told, killed) = child.await.unwrap();
    let recorded = recorder.finish(DEADLINE).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
    assert_eq!(lines(&history.events("beside").await.unwrap()), lines(&beside));

    check_integrity(&history).await;
    let rows = history.list(&Filter::default()).await.unwrap();
    let row = rows.iter().find(|row| row.id == "killed").unwrap();
    assert_eq!((row.status, row.lost_seconds), (Some(RunStatus::Interrupted), 0));
    let events = history.events("killed").await.unwrap();
    let seconds: BTreeMap<u64, String> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::Second(second) => {
                Some((second.frame.second, lines(std::slice::from_ref(event)).remove(0)))
            }
            _ => None,
        })
        .collect();
    let last = *seconds.keys().last().unwrap();
    let started = sample::started("killed", STEPS);
    let is_whole = |number: u64| {
        let second = RunEvent::Second(Arc::new(sample::second(number, STEPS, REQUESTS, &started)));
        seconds.get(&number) == lines(&[second]).first()
    };
    // How soon a server has its turn on a busy machine is not ours to say.
    if history.file().is_some() {
        let due = told.iter().filter(|(_, told)| killed - **told > Duration::from_secs(1));
        assert!(due.clone().count() >= 20, "{told:?}");
        due.for_each(|(number, _)| assert!(is_whole(*number), "second {number} of {last}"));
    }
    assert!((0..=last).all(is_whole));
    assert_eq!(seconds.len() as u64, last + 1, "no gaps");
    let Some(RunEvent::Ended(ended)) = events.last() else { panic!("no end") };
    assert_eq!((ended.status, ended.at), (RunStatus::Interrupted, (last + 1) * SECOND));

    // It is an ordinary run from now on.
    history.compact().await.unwrap();
    assert_eq!(lines(&history.events("killed").await.unwrap()), lines(&events));
    history.delete(&["killed"]).await.unwrap();
    assert_eq!(history.find("last").await.unwrap(), "beside");
}
