//! A file that cannot be written while a run goes on.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{Error, Filter, History, Recorder};
use plimsoll_run::{RunEvent, RunStatus};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::sample;
use crate::support::{DEADLINE, check_integrity, first, history, lines, until};

async fn connect(history: &History) -> SqliteConnection {
    SqliteConnectOptions::new().filename(history.path()).connect().await.unwrap()
}

#[tokio::test]
async fn a_locked_file_is_told_and_nothing_is_lost_when_it_is_free_again() {
    let (_directory, history) = history().await;
    let events = sample::events(&sample::started("run", 2), 30, 2, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let mut other = connect(&history).await;
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
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
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
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
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    events.iter().for_each(|event| recorder.record(event));
    lock.rollback().await.unwrap();
    assert_eq!(recorder.finish(DEADLINE).await.lost_seconds, 50);
    assert_eq!(history.list(&Filter::default()).await.unwrap()[0].lost_seconds, 50);
    let recorded = history.events("run").await.unwrap();
    let RunEvent::Note(note) = &recorded[recorded.len() - 2] else { panic!("no note") };
    assert_eq!(note.text, "50 seconds could not be recorded and are missing here");
}

#[tokio::test]
async fn a_file_that_stays_locked_cannot_be_opened_for_writing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.db");
    let mut other =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let error = History::open(&path).await.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    lock.rollback().await.unwrap();
    History::open(&path).await.unwrap();
}

/// A file system of so many bytes, gone when dropped.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` where we may not mount; the tests that need one then have nothing to say.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        let done = Command::new("mount").args(["-o", option]).arg(self.path()).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Fills what is left of a disk.
pub(crate) fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [65536, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_record_goes_on_when_there_is_room() {
    let Some(disk) = Disk::new(4 << 20) else { return };
    let history = History::open(disk.path().join("h.db")).await.unwrap();
    let events = sample::events(&sample::started("run", 4), 60, 4, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    let (before, after) = events.split_at(20);
    before.iter().for_each(|event| recorder.record(event));
    until("the first part", async || (history.events("run").await.unwrap().len() == 20).then_some(())).await;
    let filler = disk.path().join("filler");
    fill(&filler);
    after.iter().for_each(|event| recorder.record(event));
    let trouble = until("the trouble", async || recorder.trouble()).await;
    assert!(trouble.contains("the disk is full"), "{trouble}");
    let so_far = history.events("run").await.unwrap();
    assert_eq!(lines(&so_far), lines(&events[..so_far.len()]), "what is there is whole");
    std::fs::remove_file(filler).unwrap();
    let recorded = recorder.finish(DEADLINE).await;
    assert_eq!((recorded.lost_seconds, recorded.ended), (0, true));
    assert_eq!(lines(&history.events("run").await.unwrap()), lines(&events));
    check_integrity(&history).await;
}

/// The file that the child on a small disk writes.
const RECORD: &str = "PLIMSOLL_TEST_SMALL_DISK";

/// Not a test by itself: records until it is in trouble, which it tells, and ends without a word.
#[tokio::test]
async fn child_on_a_small_disk() {
    let Ok(path) = std::env::var(RECORD) else { return };
    let history = History::open(path).await.unwrap();
    let events = sample::events(&sample::started("run", 4), 200, 4, 3);
    let recorder = Recorder::start(&history, first(&events)).await.unwrap();
    // Part by part, as a run does: all at once could be one transaction, and then nothing of it fits.
    let (before, after) = events.split_at(20);
    before.iter().for_each(|event| recorder.record(event));
    until("the first part", async || (history.events("run").await.unwrap().len() == 20).then_some(())).await;
    after.iter().for_each(|event| recorder.record(event));
    println!("trouble: {}", until("the trouble", async || recorder.trouble()).await);
    std::process::exit(0);
}

/// A limit on the size of files needs no rights, and fails in another way than a full disk.
#[tokio::test]
async fn a_file_that_may_not_grow_is_told_and_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.db");
    let limited =
        "trap '' XFSZ; ulimit -f 900; exec \"$0\" --exact trouble::child_on_a_small_disk --nocapture";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(RECORD, &path)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains("trouble: history cannot be written: "), "{output}");
    let history = History::open(&path).await.unwrap();
    check_integrity(&history).await;
    assert_eq!(history.list(&Filter::default()).await.unwrap()[0].status, Some(RunStatus::Interrupted));
    let events = lines(&sample::events(&sample::started("run", 4), 200, 4, 3));
    let recorded = lines(&history.events("run").await.unwrap());
    let (end, so_far) = recorded.split_last().unwrap();
    assert!(so_far.len() > 10, "{output}");
    assert_eq!(so_far, &events[..so_far.len()]);
    assert!(end.contains("interrupted"), "{end}");
}

#[tokio::test]
async fn a_read_only_disk_is_told() {
    let Some(disk) = Disk::new(4 << 20) else { return };
    let path = disk.path().join("h.db");
    let history = History::open(&path).await.unwrap();
    crate::support::record(&history, &sample::events(&sample::started("run", 1), 2, 1, 1)).await;
    history.close().await;
    disk.read_only(true);
    let opened = async {
        let history = History::open(&path).await?;
        Recorder::start(&history, &sample::started("other", 0)).await.map(drop)
    };
    let error = opened.await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. } | Error::CannotOpen { .. }), "{error}");
    disk.read_only(false);
    let history = History::open(&path).await.unwrap();
    assert_eq!(history.events("run").await.unwrap().len(), 8);
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
