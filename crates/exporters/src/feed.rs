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
use crate::{Encoder, LiveMetrics, Sink, lock};

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
    fn begin(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        if let Some(root) = &self.spool.directory {
            match Disk::create(root, &self.spool, &*self.sink, started) {
                Ok(disk) => self.queue.move_to(Box::new(disk)),
                Err(error) => self.queue.tell("spool", &format!("points wait in memory only: {error}")),
            }
        }
        self.sink.encoder(started)
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
    outlets: Vec<Outlet>,
    sender: SyncSender<Told>,
    thread: JoinHandle<()>,
}

impl Feed {
    pub(crate) fn start(outlets: Vec<Outlet>, record: RecordGate) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_EVENTS);
        let own = outlets.clone();
        let thread = std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || write_all(&receiver, &own, &record))?;
        Ok(Self { outlets, sender, thread })
    }

    /// Never waits. What finds no room is lost to every sink.
    pub(crate) fn send(&self, event: RunEvent, report: Option<Report>) {
        if let Err(TrySendError::Full(told)) =
            self.sender.try_send(Told { at: Instant::now(), event, report })
        {
            let points = told.report.as_ref().map_or(0, Report::points);
            for outlet in &self.outlets {
                outlet.queue.ledger().produced(points);
                outlet.queue.ledger().lost(points);
                outlet.queue.tell("stalled", "the disk stands still, so seconds are lost");
            }
        }
    }

    /// Waits until everything that was sent is in the queues; whether it is.
    pub(crate) async fn finish(self) -> bool {
        drop(self.sender);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        tokio::time::timeout(LAST_WRITES, joined).await.is_ok()
    }
}

fn write_all(events: &Receiver<Told>, outlets: &[Outlet], record: &RecordGate) {
    let mut encoders: Vec<Box<dyn Encoder>> = Vec::new();
    let mut second = 0;
    for Told { at, event, report } in events {
        match &event {
            RunEvent::Started(started) => {
                encoders = outlets.iter().map(|outlet| outlet.begin(started)).collect();
            }
            RunEvent::Second(closed) => {
                second = closed.frame.second;
                record.wait_for(second, at + RECORD_FIRST);
            }
            RunEvent::Judged(_) | RunEvent::Phase { .. } | RunEvent::Note(_) | RunEvent::Ended(_) => {}
        }
        for (outlet, encoder) in outlets.iter().zip(&mut encoders) {
            outlet.queue.append(second, encoder.encode(&event, report.as_ref()));
            outlet.tell_overflow();
        }
        if matches!(event, RunEvent::Ended(_)) {
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
    use super::*;

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
