//! Files on disks that are full, too small, read-only, or held by somebody.

use std::path::Path;
use std::process::Command;

use plimsoll_history::{Error, Filter, History, Recorder};
use plimsoll_run::RunStatus;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::retaining::{beginning, end, figures, folded, kinds, put, short, told};
use crate::sample;
use crate::support::{DEADLINE, check_integrity, connect, first, lines, record, told as told_by, until};

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
    let limited = "trap '' XFSZ; ulimit -f 900; exec \"$0\" --exact disks::child_on_a_small_disk --nocapture";
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
    record(&history, &sample::events(&sample::started("run", 1), 2, 1, 1)).await;
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
async fn a_full_disk_stops_retention_anywhere_and_nothing_is_lost() {
    let Some(disk) = Disk::new(64 << 20) else { return };
    let history = History::open(disk.path().join("h.db")).await.unwrap();
    let events = beginning("run", 900);
    put(&history, &events).await;
    let fine = folded(&events).summary();
    let mut connection = connect(&history).await;
    let mut cut = async || {
        // A log that is there already is written again, and needs no room. To cut it needs some itself.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await
    };
    cut().await.unwrap();
    let filler = disk.path().join("filler");
    fill(&filler);
    let mut full = 0;
    while let Err(error) = history.retain(&short(), end(&events)).await {
        full += 1;
        assert!(told_by(&error).contains("the disk is full"), "{error:?}");
        assert_eq!(told(&history.events("run").await.unwrap()), told(&events));
        let file = std::fs::OpenOptions::new().write(true).open(&filler).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(200_000)).unwrap();
        let _ = cut().await;
    }
    assert!(full > 0);
    check_integrity(&history).await;
    let kept = history.events("run").await.unwrap();
    assert_eq!(kinds(&kept), [(1, 180), (60, 12 + 1)].into());
    assert_eq!(figures(&folded(&kept).summary()), figures(&fine));
}
