//! A worker's open seconds and the requests it has in flight.

use std::collections::VecDeque;
use std::rc::Rc;

use plimsoll_measure::{
    DropCause, Edges, IterationKey, Outcome, PendingKey, SECOND, Sample, SeriesKey, Shard,
};
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::transport::Traffic;

/// Shards kept for later seconds: one for the next, and one more for a worker that keeps two open.
const SPARE: usize = 2;

/// Records what one worker does and hands each second over when it is complete.
///
/// A second is complete when it is past and every arrival due in it has been handled: an arrival the
/// worker gets to late still belongs to the second of its due, so a late worker keeps two seconds open.
#[derive(Debug)]
pub(crate) struct Recorder {
    edges: Edges,
    /// Consecutive open seconds, the earliest first; never empty.
    open: VecDeque<Shard>,
    spare: Vec<Shard>,
    in_flight: Slab<InFlight>,
    iterations: FxHashMap<IterationKey, u64>,
    closes: bool,
}

/// A request between its due and its end.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) key: PendingKey,
    pub(crate) due: u64,
    pub(crate) ready: u64,
    /// When the first byte of its first hop left, once it was redirected.
    pub(crate) first_sent: Option<u64>,
    /// Knows when the first byte of this hop left, once there is a connection.
    pub(crate) traffic: Option<Rc<Traffic>>,
}

impl InFlight {
    fn sent(&self) -> Option<u64> {
        self.first_sent.or_else(|| self.traffic.as_ref().and_then(|traffic| traffic.sent()))
    }
}

impl Recorder {
    pub(crate) fn new(edges: Edges) -> Self {
        Self {
            open: VecDeque::from([Shard::new(0, edges.clone())]),
            edges,
            spare: Vec::new(),
            in_flight: Slab::new(),
            iterations: FxHashMap::default(),
            closes: true,
        }
    }

    /// Puts everything into one second, for the steps before and after the load.
    pub(crate) fn pinned(second: u64, edges: Edges) -> Self {
        let mut recorder = Self::new(edges.clone());
        recorder.open = VecDeque::from([Shard::new(second, edges)]);
        recorder.closes = false;
        recorder
    }

    /// The shard of an offset. Seconds handed over are closed: what is late by then goes to the first open one.
    fn shard(&mut self, offset: u64) -> &mut Shard {
        let first = self.open.front().map_or(0, Shard::second);
        let wanted = if self.closes { (offset / SECOND).max(first) } else { first };
        while self.open.back().is_none_or(|last| last.second() < wanted) {
            let next = self.open.back().map_or(wanted, |last| last.second() + 1);
            let shard = match self.spare.pop() {
                Some(mut shard) => {
                    shard.reuse(next);
                    shard
                }
                None => Shard::new(next, self.edges.clone()),
            };
            self.open.push_back(shard);
        }
        let index = (wanted - first) as usize;
        &mut self.open[index]
    }

    /// A request became due and a worker has it in hand.
    pub(crate) fn begin(&mut self, request: InFlight) -> usize {
        self.in_flight.insert(request)
    }

    pub(crate) fn in_flight(&mut self, slot: usize) -> Option<&mut InFlight> {
        self.in_flight.get_mut(slot)
    }

    /// The request of this slot is over.
    pub(crate) fn end(&mut self, slot: usize) {
        self.in_flight.try_remove(slot);
    }

    pub(crate) fn record(&mut self, sample: &Sample) {
        self.shard(sample.done).record(sample);
    }

    pub(crate) fn error(&mut self, outcome: Outcome, step: u16, at: u64, message: &str) {
        self.shard(at).error(outcome, step, at, message);
    }

    pub(crate) fn reconnect(&mut self, at: u64) {
        self.shard(at).reconnect();
    }

    pub(crate) fn arrival(&mut self, key: IterationKey, due: u64) {
        self.shard(due).arrival(key);
        *self.iterations.entry(key).or_default() += 1;
    }

    pub(crate) fn dropped(&mut self, key: IterationKey, due: u64, cause: DropCause) {
        self.shard(due).dropped(key, cause);
    }

    /// An iteration that began could not be offered to its end, by our own fault.
    pub(crate) fn given_up(&mut self, key: IterationKey, at: u64, cause: DropCause) {
        self.shard(at).given_up(key, cause);
        self.leave(key);
    }

    pub(crate) fn iteration(&mut self, key: IterationKey, due: u64, done: u64, failed: bool) {
        self.shard(done).iteration(key, done.saturating_sub(due), failed);
        self.leave(key);
    }

    fn leave(&mut self, key: IterationKey) {
        if let Some(running) = self.iterations.get_mut(&key) {
            *running = running.saturating_sub(1);
        }
    }

    /// Iterations begun and not ended.
    pub(crate) fn running(&self) -> u64 {
        self.iterations.values().sum()
    }

    /// Takes the next complete second, if there is one. Arrivals before `frontier` have been handled.
    pub(crate) fn take_complete(&mut self, now: u64, frontier: u64) -> Option<Shard> {
        let second = self.open.front()?.second();
        let end = (second + 1) * SECOND;
        if now.min(frontier) < end {
            return None;
        }
        // The next second opens before this one goes, so there is always one open.
        self.shard(end);
        let mut shard = self.open.pop_front()?;
        for (_, request) in &self.in_flight {
            if request.due < end {
                let sent = request.sent().filter(|sent| *sent < end);
                shard.pending(request.key, end - request.due, sent.map(|sent| end - sent));
            }
        }
        Some(shard)
    }

    /// Takes every open second, complete or not: the worker is done.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Shard> + '_ {
        self.open.drain(..)
    }

    /// Takes a shard back for a later second.
    pub(crate) fn give_back(&mut self, shard: Shard) {
        // Those that piled up while nobody took them are not needed again.
        if self.spare.len() < SPARE {
            self.spare.push(shard);
        }
    }

    /// Counts everything still in flight as cut at `now`.
    pub(crate) fn cut(&mut self, now: u64) {
        for request in std::mem::take(&mut self.in_flight) {
            let (_, request) = request;
            let PendingKey { step, phase, stage } = request.key;
            let sample = Sample {
                key: SeriesKey { step, phase, stage, outcome: Outcome::Cut },
                due: request.due,
                ready: request.ready,
                sent: request.sent(),
                done: now,
                connect: None,
                tls: None,
                first_byte: None,
                status: None,
                received_bytes: request.traffic.as_ref().map_or(0, |traffic| traffic.read()),
                sent_bytes: request.traffic.as_ref().map_or(0, |traffic| traffic.written()),
                address: 0,
            };
            self.record(&sample);
        }
        for (key, running) in std::mem::take(&mut self.iterations) {
            for _ in 0..running {
                self.shard(now).iteration_cut(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Frame, Phase};

    const KEY: IterationKey = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
    const PENDING: PendingKey = PendingKey { step: 0, phase: Phase::Measured, stage: Some(0) };

    fn frame(shard: &Shard) -> Frame {
        let mut frame = Frame::new(shard.second());
        shard.merge_into(&mut frame);
        frame
    }

    #[test]
    fn a_late_arrival_belongs_to_the_second_of_its_due() {
        let mut recorder = Recorder::new(Edges::default());
        // At 1.2 s the worker has handled arrivals up to 0.9 s only.
        assert!(recorder.take_complete(1_200_000_000, 900_000_000).is_none());
        recorder.arrival(KEY, 900_000_000);
        let first = recorder.take_complete(1_200_000_000, 1_000_000_000).unwrap();
        assert_eq!(frame(&first).iterations[&KEY].arrivals, 1);
        assert_eq!(first.second(), 0);
    }

    #[test]
    fn a_request_in_flight_is_seen_with_its_age() {
        let mut recorder = Recorder::new(Edges::default());
        let slot = recorder.begin(InFlight {
            key: PENDING,
            due: 400_000_000,
            ready: 400_000_000,
            first_sent: None,
            traffic: None,
        });
        let first = recorder.take_complete(1_000_000_000, u64::MAX).unwrap();
        assert_eq!(frame(&first).pending[&PENDING].since_due.max(), Some(600_000_000));
        recorder.end(slot);
        let second = recorder.take_complete(2_000_000_000, u64::MAX).unwrap();
        assert!(frame(&second).pending.is_empty());
    }

    #[test]
    fn what_is_left_is_cut_at_the_time_waited() {
        let mut recorder = Recorder::new(Edges::default());
        recorder.arrival(KEY, 0);
        recorder.begin(InFlight { key: PENDING, due: 100, ready: 100, first_sent: None, traffic: None });
        recorder.cut(2_000_000_100);
        let mut whole = Frame::new(2);
        recorder.take_all().for_each(|shard| shard.merge_into(&mut whole));
        assert_eq!(whole.requests(|key| key.outcome == Outcome::Cut), 1);
        assert_eq!(whole.iterations[&KEY].cut, 1);
        let cut = whole.series.values().next().unwrap();
        assert_eq!(cut.timings[&plimsoll_measure::Timing::ResponseTime].max(), Some(2_000_000_000));
    }
}
