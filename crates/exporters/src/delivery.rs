//! Takes what waits for a sink to the sink.
//!
//! Batches leave oldest first. What the sink cannot take now (no connection, no answer, 429, 5xx) is
//! sent again, waiting longer each time and as long as the server asks; what it refuses is counted as
//! lost with its reason, since sending it again would change nothing. A batch is settled when the fate of
//! each of its points is known: so after a crash at most one batch is sent twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::answer::{Backoff, shown};
use crate::store::{Batch, Left, Memory, Store};
use crate::{Answer, Ledger, Limits, Notes, Piece, Sink, lock};

/// How long a batch waits for company: what belongs to one second comes within this.
const GATHER: Duration = Duration::from_millis(200);

/// The longest wait between two tries once the run is over: there is no time left for patience.
const LAST_TRIES_EVERY: Duration = Duration::from_millis(500);

/// How soon a store that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What waits for one sink, and the count of it. Clones are of the same queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    store: Arc<Mutex<Box<dyn Store>>>,
    arrived: Arc<Notify>,
    ledger: Ledger,
    /// Points that are lost and that the store has not been told of.
    missed: Arc<AtomicU64>,
    notes: Notes,
}

impl Queue {
    pub(crate) fn new(store: Box<dyn Store>, ledger: Ledger, notes: Notes) -> Self {
        let store = Arc::new(Mutex::new(store));
        Self { store, arrived: Arc::default(), ledger, missed: Arc::default(), notes }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts the pieces of a second at the end.
    pub(crate) fn append(&self, second: u64, pieces: Vec<Piece>) {
        let points = pieces.iter().map(|piece| piece.points).sum();
        if pieces.is_empty() {
            return;
        }
        let mut store = lock(&self.store);
        // Under the lock: nobody may read and settle them before they are counted.
        self.ledger.produced(points);
        store.refuse(self.missed.swap(0, Ordering::Relaxed));
        let appended = store.append(second, pieces);
        self.ledger.lost(appended.lost);
        drop(store);
        if let Some((kind, text)) = appended.trouble {
            self.tell(kind, &text);
        }
        self.arrived.notify_one();
    }

    /// Counts pieces as lost that cannot be appended, without waiting for the store.
    pub(crate) fn lose(&self, pieces: &[Piece]) {
        let points = pieces.iter().map(|piece| piece.points).sum();
        if points > 0 {
            self.ledger.produced(points);
            self.ledger.lost(points);
            self.missed.fetch_add(points, Ordering::Relaxed);
            self.tell("stalled", "the disk stands still, so seconds are lost");
        }
    }

    /// No further second will come.
    pub(crate) fn end(&self) {
        lock(&self.store).end();
    }

    /// All pieces that wait.
    #[cfg(test)]
    pub(crate) async fn waiting(&self) -> Vec<Piece> {
        self.read(Limits { points: u64::MAX, bytes: usize::MAX, lanes: 1 }).await.pieces
    }

    async fn read(&self, limits: Limits) -> Batch {
        let lanes = u64::from(limits.lanes.max(1));
        let (points, bytes) = (limits.points * lanes, limits.bytes * lanes as usize);
        let store = Arc::clone(&self.store);
        // A disk may stall, and the tasks of other sinks must not stall with it.
        let batch = spawn_blocking(move || lock(&store).read(points, bytes)).await.unwrap_or_default();
        self.ledger.lost(batch.damaged);
        if let Some((kind, text)) = &batch.trouble {
            self.tell(kind, text);
        }
        batch
    }

    /// So many points of what was read last were taken, and the others are lost.
    async fn settle(&self, acknowledged: u64) {
        let queue = self.clone();
        let settle = move || {
            let mut store = lock(&queue.store);
            let settled = store.settle(acknowledged);
            queue.ledger.settled(settled.acknowledged, settled.lost);
        };
        // It ends whether or not it is waited for.
        let _ = spawn_blocking(settle).await;
    }

    /// Waits somewhere else from now on; nothing waits yet.
    pub(crate) fn move_to(&self, store: Box<dyn Store>) {
        *lock(&self.store) = store;
    }

    /// What waits is left to whoever comes later, or lost: the counts are final for this process.
    pub(crate) fn leave(&self) -> Left {
        let mut store = std::mem::replace(&mut *lock(&self.store), Box::new(Memory::new(0)));
        store.refuse(self.missed.swap(0, Ordering::Relaxed));
        let left = store.leave();
        self.ledger.lost(left.lost);
        if left.folder.is_none() {
            self.ledger.give_up();
        }
        left
    }

    pub(crate) fn tell(&self, kind: &str, text: &str) {
        let sink = self.ledger.sink();
        self.notes.tell(&format!("{sink} {kind}"), format!("{sink}: {text}"));
    }
}

/// What earlier runs left behind for a sink.
#[derive(Debug, Clone)]
pub(crate) struct LeftOver {
    pub(crate) queue: Queue,
    /// Nothing more is appended to it.
    pub(crate) complete: CancellationToken,
}

/// Delivers the queues of one sink, one after the other, while its task lives.
#[derive(Debug)]
pub(crate) struct Delivery {
    finishing: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivery {
    /// Begins with what was left behind, so that every series stays in order; then `queue`, until it is told to finish.
    pub(crate) fn start(sink: Arc<dyn Sink>, left: Vec<LeftOver>, queue: Queue) -> Self {
        let finishing = CancellationToken::new();
        let hurry = finishing.clone();
        let task = tokio::spawn(async move {
            let own = LeftOver { queue, complete: hurry.clone() };
            for LeftOver { queue, complete } in left.into_iter().chain([own]) {
                let hurry = hurry.clone();
                Deliverer { sink: &*sink, queue: &queue, over: complete, hurry }.deliver_all().await;
            }
        });
        Self { finishing, task }
    }

    /// Nothing more will come. Delivers what waits for at most `deadline`; whether all of it went.
    pub(crate) async fn finish(mut self, deadline: Duration) -> bool {
        self.finishing.cancel();
        if tokio::time::timeout(deadline, &mut self.task).await.is_ok() {
            return true;
        }
        self.task.abort();
        // It is gone now, and so is a request of its that nobody knows the end of.
        let _ = (&mut self.task).await;
        false
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Deliverer<'a> {
    sink: &'a dyn Sink,
    queue: &'a Queue,
    /// Nothing more is appended to the queue.
    over: CancellationToken,
    /// The run is over and somebody waits.
    hurry: CancellationToken,
}

impl Deliverer<'_> {
    async fn deliver_all(&self) {
        let mut much_waits = false;
        while let Some(pieces) = self.next_batch(much_waits).await {
            much_waits = is_full(&pieces, self.sink.limits());
            let acknowledged = self.deliver(pieces).await;
            self.queue.settle(acknowledged).await;
        }
    }

    /// Waits for the next batch; `None`: nothing more comes and nothing waits.
    async fn next_batch(&self, mut much_waits: bool) -> Option<Vec<Piece>> {
        loop {
            if !std::mem::take(&mut much_waits) && !self.over.is_cancelled() {
                self.pause(GATHER).await;
            }
            // Asked before reading: what was appended before it was cancelled is read.
            let over = self.over.is_cancelled();
            let batch = self.queue.read(self.sink.limits()).await;
            if !batch.pieces.is_empty() {
                return Some(batch.pieces);
            }
            if batch.unreadable {
                tokio::time::sleep(READ_AGAIN).await;
                continue;
            }
            if over {
                return None;
            }
            tokio::select! {
                () = self.queue.arrived.notified() => {}
                () = self.over.cancelled() => {}
            }
        }
    }

    /// Waits, unless the run is over or ends meanwhile.
    async fn pause(&self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.hurry.cancelled() => {}
        }
    }

    /// Sends a batch until it is known what became of each of its points; how many were taken.
    async fn deliver(&self, pieces: Vec<Piece>) -> u64 {
        let lanes = self.sink.limits().lanes.max(1);
        let mut by_lane: Vec<Vec<Piece>> = vec![Vec::new(); usize::from(lanes)];
        for piece in pieces {
            by_lane[usize::from(piece.lane % lanes)].push(piece);
        }
        let lanes = by_lane.into_iter().filter(|pieces| !pieces.is_empty());
        join_all(lanes.map(|pieces| self.deliver_lane(pieces))).await.into_iter().sum()
    }

    async fn deliver_lane(&self, pieces: Vec<Piece>) -> u64 {
        let mut requests = in_requests(pieces, self.sink.limits());
        requests.reverse();
        let mut acknowledged = 0;
        while let Some(request) = requests.pop() {
            let points: u64 = request.iter().map(|piece| piece.points).sum();
            let lost = match self.settle(&request).await {
                Settled::Lost(lost) => lost.min(points),
                Settled::TooLarge => match self.smaller(request) {
                    Some([first, second]) => {
                        requests.extend([second, first]);
                        continue;
                    }
                    None => {
                        self.tell("413", "413: a single point is too large for the server, and is lost");
                        points
                    }
                },
            };
            acknowledged += points - lost;
        }
        acknowledged
    }

    /// Two requests in place of one that is too large.
    fn smaller(&self, mut request: Vec<Piece>) -> Option<[Vec<Piece>; 2]> {
        if let [piece] = request.as_slice() {
            return self.sink.halves(piece).map(|halves| halves.map(|piece| vec![piece]));
        }
        let second = request.split_off(request.len() / 2);
        Some([request, second])
    }

    async fn settle(&self, request: &[Piece]) -> Settled {
        let mut backoff = Backoff::default();
        loop {
            let answer = self.sink.send(request).instrument(request_span(self.sink.name(), request)).await;
            match answer {
                Answer::Taken => return Settled::Lost(0),
                Answer::Partly { lost, kind, reason } => {
                    self.tell(&kind, &reason);
                    return Settled::Lost(lost);
                }
                Answer::Refused { kind, reason } => {
                    self.tell(&kind, &reason);
                    return Settled::Lost(u64::MAX);
                }
                Answer::TooLarge => return Settled::TooLarge,
                Answer::Later { kind, reason, after } => {
                    self.tell(&kind, &reason);
                    self.wait_to_try_again(&mut backoff, after).await;
                }
            }
        }
    }

    /// What the server asks for is waited for in full; our own patience ends with the run.
    async fn wait_to_try_again(&self, backoff: &mut Backoff, after: Option<Duration>) {
        let own = backoff.next(rand::random());
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None if self.hurry.is_cancelled() => tokio::time::sleep(own.min(LAST_TRIES_EVERY)).await,
            None => self.pause(own).await,
        }
    }

    fn tell(&self, kind: &str, reason: &str) {
        self.queue.tell(kind, &shown(&self.sink.redact(reason)));
    }
}

enum Settled {
    /// So many of its points, at most all; the others were taken.
    Lost(u64),
    TooLarge,
}

/// Whether there is more than half of what one request may carry: then the next batch need not wait.
fn is_full(pieces: &[Piece], limits: Limits) -> bool {
    let points: u64 = pieces.iter().map(|piece| piece.points).sum();
    let bytes: usize = pieces.iter().map(|piece| piece.body.len()).sum();
    points > limits.points / 2 || bytes > limits.bytes / 2
}

/// For whoever traces our own work.
fn request_span(sink: &'static str, request: &[Piece]) -> Span {
    tracing::info_span!(
        "deliver",
        otel.kind = "client",
        plimsoll.sink = sink,
        plimsoll.points = request.iter().map(|piece| piece.points).sum::<u64>(),
    )
}

/// Pieces of one lane as requests within the limits; at least one piece each.
fn in_requests(pieces: Vec<Piece>, limits: Limits) -> Vec<Vec<Piece>> {
    let mut requests: Vec<Vec<Piece>> = Vec::new();
    let (mut points, mut bytes) = (0, 0);
    for piece in pieces {
        points += piece.points;
        bytes += piece.body.len();
        match requests.last_mut() {
            Some(last) if points <= limits.points && bytes <= limits.bytes => last.push(piece),
            _ => {
                (points, bytes) = (piece.points, piece.body.len());
                requests.push(vec![piece]);
            }
        }
    }
    requests
}
