//! The thread between a run and its sinks' queues.
//!
//! The run hands over events and goes on; encoding, and a disk that stalls, cost it nothing. Each
//! second waits for the record to have it, so that after a crash no sink knows a second that the
//! record does not: what the sinks lack can be had from the record, and never the other way round.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plimsoll_exposition::Report;
use plimsoll_run::{RunEvent, SpoolSettings, Started};

use crate::delivery::Queue;
use crate::disk::Disk;
use crate::{Encoder, LiveMetrics, Piece, Sink, lock};

/// Events that may wait for the thread: minutes of a run, should the disk stand still.
const WAITING_EVENTS: usize = 1_000;

/// How long a second waits for the record before it goes out all the same.
const RECORD_FIRST: Duration = Duration::from_secs(2);

/// How long the end of a run waits for the thread; beyond it, a disk hangs.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// A sink with the queue of this run.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) queue: Queue,
    pub(crate) spool: SpoolSettings,
    pub(crate) live: Arc<LiveMetrics>,
}

impl Outlet {
    /// Lets points wait on disk, where the plan has a place for them. Without one the run goes on, and they wait in memory.
    fn begin(&self, started: &Started) {
        if let Some(root) = &self.spool.directory {
            match Disk::create(root, &self.spool, &*self.sink, started) {
                Ok(disk) => self.queue.move_to(Box::new(disk)),
                Err(error) => self.queue.tell("spool", &format!("points wait in memory only: {error}")),
            }
        }
    }

    /// Says that the sink's budget of series is used up, once.
    fn tell_overflow(&self) {
        let series = self.sink.overflowed();
        if series > 0 {
            self.live.overflowed(self.sink.name(), series);
            self.queue.tell(
                "series",
                "its budget of series is used up: further ones are told together as (overflow)",
            );
        }
    }
}

#[derive(Debug)]
struct Told {
    at: Instant,
    event: RunEvent,
    report: Option<Report>,
}

/// Hands events to the thread. Dropped, it lets the thread end after the last of them.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: SyncSender<Told>,
    encoding: Arc<Mutex<Encoding>>,
    thread: JoinHandle<()>,
}

impl Feed {
    pub(crate) fn start(outlets: Vec<Outlet>, record: RecordGate) -> std::io::Result<Self> {
        let (sender, events) = sync_channel(WAITING_EVENTS);
        let encoding =
            Encoding { events, outlets: outlets.clone(), encoders: Vec::new(), begins: None, second: 0 };
        let encoding = Arc::new(Mutex::new(encoding));
        let own = Arc::clone(&encoding);
        let thread = std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || write_all(&own, &outlets, &record))?;
        Ok(Self { sender, encoding, thread })
    }

    /// Never waits for a disk. Where there is no room, the oldest event gives way.
    pub(crate) fn send(&self, event: RunEvent, report: Option<Report>) {
        let mut told = Told { at: Instant::now(), event, report };
        while let Err(TrySendError::Full(back)) = self.sender.try_send(told) {
            told = back;
            lock(&self.encoding).lose_oldest();
        }
    }

    /// Waits until everything that was sent is in the queues; whether it is. What is not by then is lost.
    pub(crate) async fn finish(self) -> bool {
        let Self { sender, encoding, thread } = self;
        drop(sender);
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(LAST_WRITES, joined).await.is_ok() {
            return true;
        }
        let lose_all = move || while lock(&encoding).lose_oldest() {};
        // It ends whether or not it is waited for.
        let _ = tokio::task::spawn_blocking(lose_all).await;
        false
    }
}

/// What makes pieces of events, one after the other: of those too that are lost, since only a sink's encoder
/// knows how many points they are, and what it sums up must stay right.
#[derive(Debug)]
struct Encoding {
    events: Receiver<Told>,
    outlets: Vec<Outlet>,
    encoders: Vec<Box<dyn Encoder>>,
    /// The run that has begun since the thread last asked.
    begins: Option<Arc<Started>>,
    second: u64,
}

/// What an event means for each outlet.
#[derive(Debug)]
struct Encoded {
    second: u64,
    /// When it goes out even if the record does not have it.
    leaves: Option<Instant>,
    ends: bool,
    pieces: Vec<Vec<Piece>>,
}

impl Encoding {
    fn encode(&mut self, Told { at, event, report }: Told) -> Encoded {
        let (mut leaves, mut ends) = (None, false);
        match &event {
            RunEvent::Started(started) => {
                self.encoders = self.outlets.iter().map(|outlet| outlet.sink.encoder(started)).collect();
                self.begins = Some(Arc::clone(started));
            }
            RunEvent::Second(closed) => {
                self.second = closed.frame.second;
                leaves = Some(at + RECORD_FIRST);
            }
            RunEvent::Ended(_) => ends = true,
            RunEvent::Stretch(_)
            | RunEvent::Judged(_)
            | RunEvent::Phase { .. }
            | RunEvent::Steered(_)
            | RunEvent::Resumed(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_) => {}
        }
        let pieces =
            self.encoders.iter_mut().map(|encoder| encoder.encode(&event, report.as_ref())).collect();
        Encoded { second: self.second, leaves, ends, pieces }
    }

    /// Waits for the next event; `None`: there will be none. Also the run that begins with it.
    fn next(&mut self) -> Option<(Option<Arc<Started>>, Encoded)> {
        let told = self.events.recv().ok()?;
        let encoded = self.encode(told);
        Some((self.begins.take(), encoded))
    }

    /// Whether there was one.
    fn lose_oldest(&mut self) -> bool {
        let Ok(told) = self.events.try_recv() else { return false };
        let encoded = self.encode(told);
        for (outlet, pieces) in self.outlets.iter().zip(&encoded.pieces) {
            outlet.queue.lose(pieces);
        }
        true
    }
}

fn write_all(encoding: &Mutex<Encoding>, outlets: &[Outlet], record: &RecordGate) {
    // It is locked while no event waits: whoever sends wants it only when many do.
    while let Some((begins, encoded)) = { lock(encoding).next() } {
        if let Some(started) = begins {
            outlets.iter().for_each(|outlet| outlet.begin(&started));
        }
        if let Some(deadline) = encoded.leaves {
            record.wait_for(encoded.second, deadline);
        }
        for (outlet, pieces) in outlets.iter().zip(encoded.pieces) {
            outlet.queue.append(encoded.second, pieces);
            outlet.tell_overflow();
        }
        if encoded.ends {
            outlets.iter().for_each(|outlet| outlet.queue.end());
        }
    }
}

/// Says how far the record of a run has come. Clones are of the same record.
#[derive(Debug, Clone, Default)]
pub struct RecordGate(Arc<(Mutex<Record>, Condvar)>);

#[derive(Debug)]
struct Record {
    /// Seconds before this are in the record.
    seconds: u64,
    /// Nobody waits for it.
    open: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self { seconds: 0, open: true }
    }
}

impl RecordGate {
    /// From here on seconds wait until they are recorded.
    pub fn close(&self) {
        lock(&self.0.0).open = false;
    }

    /// The record has so many seconds, from the first on.
    pub fn recorded(&self, seconds: u64) {
        let mut record = lock(&self.0.0);
        record.seconds = record.seconds.max(seconds);
        self.0.1.notify_all();
    }

    /// Nothing waits any more.
    pub fn open(&self) {
        lock(&self.0.0).open = true;
        self.0.1.notify_all();
    }

    fn wait_for(&self, second: u64, deadline: Instant) {
        let (mutex, changed) = &*self.0;
        let mut record = lock(mutex);
        while !record.open && record.seconds <= second {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            record = changed.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::fixture::{second, started};
    use crate::store::Memory;
    use crate::{Answer, Ledger, Limits, Notes};

    /// A sink that takes a part of what is told: of second n, n modulo `of` points, with the sum of all before.
    #[derive(Debug, Clone)]
    struct Part {
        of: u64,
        sum: u64,
        /// The thread says that it stands still, which it does while this is locked.
        stall: Option<(Sender<()>, Arc<Mutex<()>>)>,
    }

    impl Encoder for Part {
        fn encode(&mut self, event: &RunEvent, _: Option<&Report>) -> Vec<Piece> {
            let RunEvent::Second(closed) = event else { return Vec::new() };
            let points = closed.frame.second % self.of;
            self.sum += points;
            let body = self.sum.to_string().into_bytes();
            if points == 0 { Vec::new() } else { vec![Piece { points, lane: 0, body }] }
        }
    }

    impl Sink for Part {
        fn name(&self) -> &'static str {
            "part"
        }

        fn identity(&self) -> String {
            self.of.to_string()
        }

        fn limits(&self) -> Limits {
            Limits { points: u64::MAX, bytes: usize::MAX, lanes: 1 }
        }

        fn encoder(&self, _: &Arc<Started>) -> Box<dyn Encoder> {
            Box::new(self.clone())
        }

        fn send<'a>(&'a self, _: &'a [Piece]) -> BoxFuture<'a, Answer> {
            unreachable!("nothing is delivered")
        }

        fn halves(&self, _: &Piece) -> Option<[Piece; 2]> {
            None
        }

        /// The thread asks for this after each event.
        fn overflowed(&self) -> u64 {
            if let Some((stands_still, stall)) = &self.stall {
                // Nobody waits for it but the first time.
                let _ = stands_still.send(());
                drop(lock(stall));
            }
            0
        }
    }

    #[tokio::test]
    async fn what_gives_way_is_lost_as_each_sink_would_have_told_it() {
        const LOST: u64 = 7;
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolSettings { directory: Some(folder.path().to_owned()), ..SpoolSettings::default() };
        let notes = Notes::default();
        let stall = Arc::new(Mutex::new(()));
        let (stands_still, stalled) = channel();
        let outlet = |of, spool: &SpoolSettings, stall| Outlet {
            sink: Arc::new(Part { of, sum: 0, stall }),
            queue: Queue::new(Box::new(Memory::new(1 << 20)), Ledger::new("part"), notes.clone()),
            spool: spool.clone(),
            live: Arc::default(),
        };
        let outlets = [
            outlet(2, &spool, Some((stands_still, Arc::clone(&stall)))),
            outlet(5, &SpoolSettings::default(), None),
            outlet(1, &spool, None),
        ];
        let feed = Feed::start(outlets.to_vec(), RecordGate::default()).unwrap();
        let standing = lock(&stall);
        feed.send(RunEvent::Started(started("p")), None);
        stalled.recv().unwrap();
        let seconds = WAITING_EVENTS as u64 + LOST;
        (0..seconds).for_each(|number| feed.send(second(number), None));
        drop(standing);
        assert!(feed.finish().await);

        for (of, Outlet { queue, .. }) in [2, 5, 1].into_iter().zip(&outlets) {
            let points = |seconds: std::ops::Range<u64>| seconds.map(|second| second % of).sum::<u64>();
            let count = queue.ledger().counts();
            assert_eq!(count.produced, points(0..seconds));
            assert_eq!((count.lost, count.backlog), (points(0..LOST), points(LOST..seconds)));
            let told = queue.waiting().await;
            let sums = (LOST..seconds).filter(|second| second % of > 0).map(|second| points(0..second + 1));
            assert!(
                told.iter().map(|piece| &piece.body[..]).eq(sums.map(|sum| sum.to_string().into_bytes()))
            );
            if let Some(account) = queue.leave().account {
                assert_eq!((account.produced, account.lost), (count.produced, count.lost), "as on disk");
            }
        }
        let told = notes.take();
        assert_eq!(told, ["part: the disk stands still, so seconds are lost"]);
    }

    #[test]
    fn a_second_waits_for_its_record() {
        let gate = RecordGate::default();
        let long = Instant::now() + Duration::from_secs(600);
        gate.wait_for(7, long);
        gate.close();
        gate.recorded(4);
        gate.wait_for(3, long);
        gate.wait_for(4, Instant::now());
        let waiting = gate.clone();
        let thread = std::thread::spawn(move || waiting.wait_for(4, long));
        assert!(!thread.is_finished());
        gate.recorded(5);
        thread.join().unwrap();
        gate.open();
        gate.wait_for(100, long);
    }
}
