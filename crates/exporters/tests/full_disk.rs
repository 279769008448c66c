//! A disk that takes no more. A limit on the size of files stands for it, since it needs no rights and
//! refuses in the middle of a write as a full disk does; it holds for the process, hence the file of its own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use plimsoll_exporters::spool::{About, Limits, Queue};
use plimsoll_exporters::{Exporters, LiveMetrics, Piece};
use plimsoll_run::{ExportCount, ExportSettings, InfluxExport, InfluxPlace, SpoolSettings};
use plimsoll_testkit::{Answer, Receiver, wait_for};
use run::{DEADLINE, Run, ended};

#[path = "it/run.rs"]
#[expect(dead_code, reason = "the tests of the sinks use the rest of it")]
mod run;

/// One test at a time: the limit is the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allow(bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard).unwrap();
}

/// A write beyond the limit is an error then, as on a full disk. Threads made later inherit it.
fn ignore_the_signal() {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().unwrap();
}

#[test]
fn what_the_disk_does_not_take_is_lost_and_counted_and_then_it_goes_on() {
    let _alone = alone();
    ignore_the_signal();
    let root = tempfile::tempdir().unwrap();
    let about = About {
        sink: "influxdb".to_owned(),
        identity: String::new(),
        run: "run".to_owned(),
        plan: "plan".to_owned(),
        created: 0,
    };
    let mut queue = Queue::create(root.path(), about, Limits::default()).unwrap();
    let folder = queue.folder().to_owned();
    let piece = |second: u64| Piece { points: 2, lane: 0, body: format!("{second:01000}").into_bytes() };
    let (mut there, mut lost) = (Vec::new(), 0);
    // Room for the account and some reports; no room for either; for all.
    for (room, seconds) in
        [(8_000, 0..12), (100, 12..15), (8_000, 15..18), (u64::MAX, 18..25), (9_000, 25..28)]
    {
        allow(room);
        let mut refused = 0;
        for second in seconds {
            let appended = queue.append(second, &[piece(second), piece(second)]);
            match appended.error {
                Some(error) => {
                    assert_eq!((appended.lost, error.kind()), (4, std::io::ErrorKind::FileTooLarge));
                    refused += 1;
                }
                None => {
                    assert_eq!(appended.lost, 0);
                    there.extend([piece(second), piece(second)]);
                }
            }
            let length = folder.join("00000001.log").metadata().unwrap().len();
            assert_eq!(length, queue.bytes(), "nothing torn stays");
        }
        assert_eq!(refused == 0, room == u64::MAX);
        lost += refused * 4;
        let account = queue.account();
        assert_eq!((account.backlog, account.lost), (2 * there.len() as u64, lost));
    }
    allow(u64::MAX);
    queue.append(28, &[piece(28)]);
    there.push(piece(28));
    drop(queue);
    let mut queue = Queue::open(&folder, Limits::default()).unwrap().unwrap();
    assert_eq!(queue.read(u64::MAX, usize::MAX).unwrap().pieces, there);
    queue.settle(u64::MAX);
    let account = queue.account();
    assert_eq!((account.acknowledged, account.backlog, account.lost), (2 * there.len() as u64, 0, lost));
}

/// A run whose spool lies on the disk, and how much of it the one sink has.
struct Exported {
    exporters: Exporters,
    live: Arc<LiveMetrics>,
    run: Run,
}

impl Exported {
    async fn start(settings: &ExportSettings) -> Self {
        let live = Arc::new(LiveMetrics::new());
        let mut exporters = Exporters::start(settings, Arc::clone(&live)).await.unwrap();
        let run = Run::new();
        exporters.send(&run.start());
        Self { exporters, live, run }
    }

    fn tell(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let event = self.run.next_second(100);
            self.exporters.send(&event);
        }
    }

    async fn until(&self, what: &str, is_so: impl Fn(&ExportCount) -> bool) -> ExportCount {
        wait_for(DEADLINE, what, async || {
            let [count] = self.exporters.counts().try_into().unwrap();
            assert_eq!(count.produced, count.acknowledged + count.backlog + count.lost, "{count:?}");
            if is_so(&count) { Ok(count) } else { Err(format!("{count:?}")) }
        })
        .await
        .unwrap()
    }

    async fn finish(&mut self, deadline: Duration) -> ExportCount {
        let [count] = self.exporters.finish(&ended(9), deadline).await.try_into().unwrap();
        assert_eq!(count.produced, count.acknowledged + count.backlog + count.lost, "{count:?}");
        assert_eq!(self.live.export_counts().last().unwrap().lost, count.lost, "{count:?}");
        count
    }
}

/// Requests of the lines that a receiver took, of one run, in the order in which they came.
fn moments(receiver: &Receiver, run: &str) -> Vec<u64> {
    let texts: Vec<String> = receiver.received().iter().map(|one| one.text().unwrap()).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains(run));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
}

fn settings(url: &str, directory: &std::path::Path) -> ExportSettings {
    let place = InfluxPlace::Version2 { org: "o".to_owned(), bucket: "b".to_owned(), token: None };
    let spool = SpoolSettings { directory: Some(directory.to_owned()), ..SpoolSettings::default() };
    ExportSettings {
        influxdb: Some(InfluxExport { url: url.to_owned(), place }),
        spool,
        ..ExportSettings::default()
    }
}

#[test]
fn a_disk_that_is_full_costs_no_point_while_the_sink_or_memory_takes_them() {
    let _alone = alone();
    ignore_the_signal();
    let spool = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
        let settings = settings(&receiver.url(), spool.path());
        let mut first = Exported::start(&settings).await;
        first.tell(2);
        first.until("the first seconds", |count| count.acknowledged > 20 && count.backlog == 0).await;
        allow(100);
        first.tell(2);
        let taken = first.until("seconds by memory", |count| count.acknowledged > 40).await;
        receiver.answer_with([Answer::Status(503)]);
        let asked = receiver.received().len();
        first.tell(2);
        receiver.wait_for(asked + 1, DEADLINE).await.unwrap();
        first.until("what waits in memory", |count| count.backlog > 20).await;
        allow(u64::MAX);
        first.tell(2);
        first.until("all of it", |count| count.produced > taken.produced + 40).await;
        let count = first.finish(Duration::ZERO).await;
        assert_eq!(
            (count.lost, count.acknowledged),
            (0, taken.acknowledged),
            "{:?}",
            first.exporters.notes()
        );
        let notes = first.exporters.notes().join("\n");
        assert_eq!(notes.matches("takes no points: they wait in memory").count(), 1, "{notes}");
        let (run, waiting) = (first.run.id.clone(), count.backlog);
        drop(first);

        receiver.answer_with([Answer::Status(204)]);
        let before = receiver.received().len();
        let mut second = Exported::start(&settings).await;
        second.tell(1);
        assert_eq!(second.finish(DEADLINE).await.backlog, 0);
        let [(_, earlier)] = second.exporters.earlier() else { panic!("{:?}", second.exporters.earlier()) };
        assert_eq!((earlier.backlog, earlier.lost), (0, 0));
        assert_eq!((earlier.produced, earlier.acknowledged), (count.produced, count.acknowledged + waiting));
        assert!(receiver.received().len() > before);
        let mut moments = moments(&receiver, &run);
        assert!(moments.len() as u64 >= count.produced);
        // What was tried in vain came before; then each second after the one before it.
        moments.drain(..moments.len() - usize::try_from(waiting).unwrap());
        assert!(moments.is_sorted());
    });
}

#[test]
fn what_neither_disk_nor_sink_takes_in_the_end_is_lost_and_said_to_be() {
    let _alone = alone();
    ignore_the_signal();
    let spool = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::start([Answer::Status(503)]).await.unwrap();
        let mut exported = Exported::start(&settings(&receiver.url(), spool.path())).await;
        exported.tell(2);
        let waits = exported.until("what waits on the disk", |count| count.backlog > 20).await.backlog;
        allow(100);
        exported.tell(2);
        exported.until("what waits in memory", |count| count.backlog > 40).await;
        let count = exported.finish(Duration::ZERO).await;
        allow(u64::MAX);
        assert_eq!((count.acknowledged, count.backlog), (0, waits));
        assert_eq!(count.lost, count.produced - waits);
        let notes = exported.exporters.notes().join("\n");
        assert!(
            notes.contains(&format!("{waits} points were not taken within 0ns after the run; they wait")),
            "{notes}"
        );
        assert!(
            notes.contains(&format!(
                "{} points were not taken within 0ns after the run and are lost",
                count.lost
            )),
            "{notes}"
        );
    });
}
