//! A recorded run, told to sinks again.
//!
//! Encoders sum up from a run's start and points keep their times, so what is sent again equals what
//! was sent before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_exposition::Readings;
use plimsoll_run::{Ended, ExportCount, RunEvent, RunStatus, State};
use tokio_util::sync::CancellationToken;

use crate::delivery::{Delivery, Queue};
use crate::store::Memory;
use crate::{Encoder, Ledger, Notes, Piece, Sink};

/// Points that wait at most while a run is replayed.
const WAITING_POINTS: u64 = 50_000;

/// How often it is looked whether fewer wait.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes pieces for a sink of the events of a record, which has no judgements: they are made again.
#[derive(Debug)]
struct Again {
    sink: Arc<dyn Sink>,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    state: State,
    readings: Readings,
    encoder: Box<dyn Encoder>,
    second: u64,
    /// Nanoseconds from the start of the last thing that is known.
    at: u64,
    has_ended: bool,
}

impl Again {
    fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, run: None }
    }

    /// The second it stands in after an event, and the pieces.
    fn pieces(&mut self, event: &RunEvent) -> (u64, Vec<Piece>) {
        if let RunEvent::Started(started) = event {
            self.run = Some(Run {
                state: State::new(Arc::clone(started)),
                readings: Readings::new(Arc::clone(started)),
                encoder: self.sink.encoder(started),
                second: 0,
                at: 0,
                has_ended: false,
            });
        }
        match &mut self.run {
            Some(run) => run.pieces(event),
            None => (0, Vec::new()),
        }
    }

    /// The end of a run whose record has none: its process died.
    fn end(&mut self) -> (u64, Vec<Piece>) {
        match &mut self.run {
            Some(run) if !run.has_ended => {
                let (status, at) = (RunStatus::Interrupted, run.at);
                run.pieces(&RunEvent::Ended(Arc::new(Ended {
                    at,
                    status,
                    reason: None,
                    exports: Vec::new(),
                    samples: None,
                })))
            }
            _ => (0, Vec::new()),
        }
    }
}

impl Run {
    fn pieces(&mut self, event: &RunEvent) -> (u64, Vec<Piece>) {
        if matches!(event, RunEvent::Judged(_)) {
            return (self.second, Vec::new());
        }
        self.state.apply(event);
        let mut pieces = self.encode(event);
        match event {
            RunEvent::Second(second) => {
                self.second = second.frame.second;
                self.at = (self.second + 1).saturating_mul(plimsoll_measure::SECOND);
                pieces.extend(self.encode(&RunEvent::Judged(Arc::new(self.state.judged()))));
            }
            RunEvent::Ended(_) => self.has_ended = true,
            _ => {}
        }
        (self.second, pieces)
    }

    fn encode(&mut self, event: &RunEvent) -> Vec<Piece> {
        self.encoder.encode(event, self.readings.read(event).as_ref())
    }
}

/// The queue of a run whose process died: it may lack the last seconds that the record has.
///
/// Dropped, it stays as it is, and is delivered.
#[derive(Debug)]
pub struct Unfinished {
    run: String,
    last_second: Option<u64>,
    again: Again,
    queue: Queue,
    complete: CancellationToken,
}

impl Unfinished {
    pub(crate) fn new(
        run: String,
        last_second: Option<u64>,
        sink: Arc<dyn Sink>,
        queue: Queue,
        complete: CancellationToken,
    ) -> Self {
        Self { run, last_second, again: Again::new(sink), queue, complete }
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Takes the next event of the record, from the first on. What the queue has already is left out.
    pub fn send(&mut self, event: &RunEvent) {
        let (second, pieces) = self.again.pieces(event);
        let is_new = match event {
            RunEvent::Started(_) => self.last_second.is_none(),
            _ => self.last_second.is_none_or(|last| second > last),
        };
        if is_new || matches!(event, RunEvent::Ended(_)) {
            self.queue.append(second, pieces);
        }
    }

    /// There is no record of it any more: what waits is all there will be.
    pub fn give_up(self) {
        self.queue.end();
    }

    /// The record was told whole.
    pub fn finish(mut self) {
        let (second, pieces) = self.again.end();
        self.queue.append(second, pieces);
        self.queue.end();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.complete.cancel();
    }
}

/// Sends a recorded run to one sink, whether or not it was sent before.
#[derive(Debug)]
pub struct Replay {
    again: Again,
    queue: Queue,
    delivery: Delivery,
    notes: Notes,
}

impl Replay {
    /// Begins one.
    pub fn start(sink: Arc<dyn Sink>) -> Self {
        let notes = Notes::default();
        // It never holds more than may wait, and one second more.
        let store = Box::new(Memory::new(usize::MAX));
        let queue = Queue::new(store, Ledger::new(sink.name()), notes.clone());
        let delivery = Delivery::start(Arc::clone(&sink), Vec::new(), queue.clone());
        Self { again: Again::new(sink), queue, delivery, notes }
    }

    /// Takes the next event of the record, from the first on. Waits while much waits for the sink; `false`: for so
    /// long the sink took and refused nothing.
    pub async fn send(&mut self, event: &RunEvent, patience: Duration) -> bool {
        let (second, pieces) = self.again.pieces(event);
        self.queue.append(second, pieces);
        let (mut before, mut since) = (self.counts().backlog, Instant::now());
        while before > WAITING_POINTS {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.counts().backlog;
            if now < before {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() >= patience {
                return false;
            }
        }
        true
    }

    /// What became of the points so far.
    pub fn counts(&self) -> ExportCount {
        self.queue.ledger().counts()
    }

    /// What is worth telling since the last call.
    pub fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Delivers what waits, for at most `deadline`. What is left then is counted as lost.
    pub async fn finish(mut self, deadline: Duration) -> (ExportCount, Vec<String>) {
        let (second, pieces) = self.again.end();
        self.queue.append(second, pieces);
        self.delivery.finish(deadline).await;
        self.queue.leave();
        (self.queue.ledger().counts(), self.notes.take())
    }
}
