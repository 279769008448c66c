//! A worker's open seconds and the requests it has in flight.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use plimsoll_measure::{
    CheckKey, DropCause, Edges, GroupKey, IterationKey, KeptRequest, Limits, Observed, Opening, Outcome,
    PendingKey, SECOND, Sample, SeriesKey, Shard, Single, ValueKey,
};
use plimsoll_run::Shape;
use slab::Slab;

use crate::ledger::Closed;
use crate::singles::{Begun, Singles};
use crate::traffic::Traffic;

/// Shards kept for later seconds: one for the next, and one more for a worker that keeps two open.
const SPARE: usize = 2;

/// Shards of a worker that hold memory at once: two open seconds, and those that are handed over or spare.
const SHARDS: usize = 2 + SPARE;

/// Records what one worker does and hands each second over when it is complete.
///
/// A second is complete when it is past and every arrival due in it has been handled: an arrival the
/// worker gets to late still belongs to the second of its due, so a late worker keeps two seconds open.
#[derive(Debug)]
pub(crate) struct Recorder {
    blank: Blank,
    /// Consecutive open seconds, the earliest first; never empty.
    open: VecDeque<Shard>,
    spare: Vec<Shard>,
    in_flight: Slab<Flight>,
    /// What was decided of each request in flight before it was sent, by slot, where single requests are
    /// asked for. Beside the flights, so that it costs nothing where they are not.
    begun: Vec<Option<Begun>>,
    /// The oldest and the youngest request in flight that has a deadline ahead.
    oldest: Option<usize>,
    youngest: Option<usize>,
    /// Deadlines and slots of requests whose step has a time of its own.
    apart: BTreeSet<(u64, usize)>,
    running: Running,
    /// Where the first open second ends; never where it does not close by time.
    first_end: u64,
}

/// Iterations begun and not ended, by key: few keys at a time, and mostly the one asked for last.
#[derive(Debug, Default)]
struct Running {
    counts: Vec<(IterationKey, u64)>,
    last: usize,
}

/// Keys of which nothing runs are forgotten beyond this many.
const FEW_KEYS: usize = 32;

impl Running {
    fn of(&mut self, key: IterationKey) -> &mut u64 {
        if self.counts.get(self.last).is_none_or(|(last, _)| *last != key) {
            self.last = self.find(key);
        }
        &mut self.counts[self.last].1
    }

    fn find(&mut self, key: IterationKey) -> usize {
        if let Some(known) = self.counts.iter().position(|(known, _)| *known == key) {
            return known;
        }
        if self.counts.len() >= FEW_KEYS {
            self.counts.retain(|(_, count)| *count > 0);
        }
        self.counts.push((key, 0));
        self.counts.len() - 1
    }
}

/// A request in flight, in the order of the deadlines. All but a few wait equally long, so that is the order
/// in which they began, and a list costs less per request than a timer.
#[derive(Debug)]
struct Flight {
    request: InFlight,
    deadline: u64,
    older: Option<usize>,
    younger: Option<usize>,
    waits: Waits,
    waker: Option<Waker>,
}

/// Where the deadline of a request in flight is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// In the list.
    InLine,
    /// Apart, in no order of beginning.
    Apart,
    /// It has come.
    Overdue,
}

/// A request between its due and its end.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) key: PendingKey,
    pub(crate) due: u64,
    pub(crate) ready: u64,
    /// When the first byte of its first hop left, once it was redirected.
    pub(crate) first_sent: Option<u64>,
    /// Which address of the target it is meant for.
    pub(crate) address: u16,
    /// Knows when the first byte of this hop left, once there is a connection.
    pub(crate) traffic: Option<Rc<Traffic>>,
}

impl InFlight {
    fn sent(&self) -> Option<u64> {
        self.first_sent.or_else(|| self.traffic.as_ref().and_then(|traffic| traffic.sent()))
    }
}

/// What an empty shard is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blank {
    edges: Edges,
    limits: Limits,
    addresses: usize,
    workers: usize,
    value_edges: Arc<[Edges]>,
}

impl Blank {
    /// A shard of one of so many workers, which share the memory that the plan allows.
    pub(crate) fn of(shape: &Shape, workers: usize) -> Self {
        let shares = (workers.max(1) * SHARDS) as u64;
        let limits = Limits { memory_bytes: shape.limits.memory_bytes / shares, ..shape.limits };
        let value_edges = shape.measure_edges().into();
        Self { edges: shape.edges.clone(), limits, addresses: shape.addresses.len(), workers, value_edges }
    }

    pub(crate) fn shard(&self, second: u64) -> Shard {
        Shard::new(second, self.edges.clone())
            .with_limits(self.limits)
            .with_addresses(self.addresses)
            .with_workers(self.workers)
            .with_value_edges(Arc::clone(&self.value_edges))
    }
}

impl Recorder {
    /// A recorder whose first second is this one.
    pub(crate) fn starting_at(second: u64, blank: Blank) -> Self {
        Self {
            open: VecDeque::from([blank.shard(second)]),
            blank,
            spare: Vec::new(),
            in_flight: Slab::new(),
            begun: Vec::new(),
            oldest: None,
            youngest: None,
            apart: BTreeSet::new(),
            running: Running::default(),
            first_end: (second + 1) * SECOND,
        }
    }

    /// Puts everything into one second, for the steps before and after the load.
    pub(crate) fn pinned(second: u64, blank: Blank) -> Self {
        Self { first_end: u64::MAX, ..Self::starting_at(second, blank) }
    }

    /// The shard of an offset. Seconds handed over are closed: what is late by then goes to the first open one.
    fn shard(&mut self, offset: u64) -> &mut Shard {
        let index = if offset < self.first_end { 0 } else { self.later(offset) };
        &mut self.open[index]
    }

    /// Opens seconds up to that of an offset behind the first, and says which it is.
    #[cold]
    fn later(&mut self, offset: u64) -> usize {
        let first = self.open.front().map_or(0, Shard::second);
        let wanted = offset / SECOND;
        while self.open.back().is_none_or(|last| last.second() < wanted) {
            let next = self.open.back().map_or(wanted, |last| last.second() + 1);
            let shard = match self.spare.pop() {
                Some(mut shard) => {
                    shard.reuse(next);
                    shard
                }
                None => self.blank.shard(next),
            };
            self.open.push_back(shard);
        }
        (wanted - first) as usize
    }

    /// A request became due and a worker has it in hand. It may last until `deadline`, which never is
    /// before that of a request that began earlier.
    pub(crate) fn begin(&mut self, request: InFlight, deadline: u64) -> usize {
        let older = self.youngest;
        let slot = self.in_flight.insert(Flight {
            request,
            deadline,
            older,
            younger: None,
            waits: Waits::InLine,
            waker: None,
        });
        match older.and_then(|older| self.in_flight.get_mut(older)) {
            Some(older) => older.younger = Some(slot),
            None => self.oldest = Some(slot),
        }
        self.youngest = Some(slot);
        slot
    }

    pub(crate) fn in_flight(&mut self, slot: usize) -> Option<&mut InFlight> {
        self.in_flight.get_mut(slot).map(|flight| &mut flight.request)
    }

    /// The request of this slot is over.
    pub(crate) fn end(&mut self, slot: usize) {
        self.unlink(slot);
        self.in_flight.try_remove(slot);
    }

    /// The request of this slot, which has just begun, may last until another deadline than the others.
    #[cold]
    pub(crate) fn end_apart(&mut self, slot: usize, deadline: u64) {
        self.unlink(slot);
        let Some(flight) = self.in_flight.get_mut(slot) else { return };
        (flight.deadline, flight.waits) = (deadline, Waits::Apart);
        self.apart.insert((deadline, slot));
    }

    /// Takes a request out of those with a deadline ahead.
    fn unlink(&mut self, slot: usize) {
        let Some(flight) = self.in_flight.get_mut(slot) else { return };
        if flight.waits != Waits::InLine {
            let place = (flight.deadline, slot);
            return self.forget_apart(place);
        }
        let (older, younger) = (flight.older.take(), flight.younger.take());
        match older.and_then(|older| self.in_flight.get_mut(older)) {
            Some(older) => older.younger = younger,
            None => self.oldest = younger,
        }
        match younger.and_then(|younger| self.in_flight.get_mut(younger)) {
            Some(younger) => younger.older = older,
            None => self.youngest = older,
        }
    }

    #[cold]
    fn forget_apart(&mut self, place: (u64, usize)) {
        self.apart.remove(&place);
    }

    /// Whether the request of this slot has outlived its deadline; if not, `waker` is told when it does.
    pub(crate) fn is_overdue(&mut self, slot: usize, waker: &Waker) -> bool {
        let Some(flight) = self.in_flight.get_mut(slot) else { return false };
        if flight.waits == Waits::Overdue {
            return true;
        }
        match &mut flight.waker {
            Some(known) => known.clone_from(waker),
            unknown => *unknown = Some(waker.clone()),
        }
        false
    }

    /// Wakes the requests whose deadline has come and says when the next one comes, if any is waiting.
    pub(crate) fn wake_overdue(&mut self, now: u64) -> Option<u64> {
        loop {
            let in_line = self.oldest.and_then(|slot| Some((self.in_flight.get(slot)?.deadline, slot)));
            let (deadline, slot) = in_line.into_iter().chain(self.apart.first().copied()).min()?;
            if deadline > now {
                return Some(deadline);
            }
            self.unlink(slot);
            let flight = self.in_flight.get_mut(slot)?;
            flight.waits = Waits::Overdue;
            flight.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn record(&mut self, sample: &Sample) {
        self.shard(sample.done).record(sample);
    }

    /// Counts what an answer that was done then says of a value.
    pub(crate) fn value(&mut self, key: ValueKey, at: u64, observed: Observed) {
        self.shard(at).value(key, observed);
    }

    /// Counts an answer that a check looked at.
    pub(crate) fn check(&mut self, key: CheckKey, at: u64, passed: bool) {
        self.shard(at).check(key, passed);
    }

    /// Keeps a request, just recorded, whole if it is among the slowest or the first failed.
    pub(crate) fn keep(&mut self, sample: &Sample, whole: impl FnOnce() -> KeptRequest) {
        let shard = self.shard(sample.done);
        if shard.would_keep(sample) {
            shard.keep(&whole());
        }
    }

    /// What was decided of the request of this slot.
    pub(crate) fn begun(&mut self, slot: usize, begun: Begun) {
        if self.begun.len() <= slot {
            self.begun.resize(slot + 1, None);
        }
        self.begun[slot] = Some(begun);
    }

    /// Tells a request, just recorded, by itself.
    pub(crate) fn tell(&mut self, single: &Single) {
        self.shard(single.sample.done).tell(single);
    }

    pub(crate) fn error(&mut self, outcome: Outcome, step: u16, at: u64, message: &str) {
        self.shard(at).error(outcome, step, at, message);
    }

    pub(crate) fn reconnect(&mut self, at: u64) {
        self.shard(at).reconnect();
    }

    /// An attempt to open a connection came to its end.
    pub(crate) fn opened(&mut self, at: u64, opening: Opening) {
        self.shard(at).connection_opened(opening);
    }

    /// A request that found no connection has one.
    pub(crate) fn waited(&mut self, at: u64, nanos: u64) {
        self.shard(at).connection_waited(nanos);
    }

    pub(crate) fn closed(&mut self, closed: &Closed) {
        self.shard(closed.at).connection_closed(closed.reason, closed.requests);
    }

    pub(crate) fn arrival(&mut self, key: IterationKey, due: u64) {
        self.shard(due).arrival(key);
        *self.running.of(key) += 1;
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

    /// A pass through a group that was due then has ended.
    pub(crate) fn group(&mut self, key: GroupKey, due: u64, done: u64, failed: bool) {
        self.shard(done).group(key, done.saturating_sub(due), failed);
    }

    fn leave(&mut self, key: IterationKey) {
        let running = self.running.of(key);
        *running = running.saturating_sub(1);
    }

    /// Iterations begun and not ended.
    pub(crate) fn running(&self) -> u64 {
        self.running.counts.iter().map(|(_, count)| count).sum()
    }

    /// Takes the next complete second, if there is one. Arrivals before `frontier` have been handled.
    pub(crate) fn take_complete(&mut self, now: u64, frontier: u64) -> Option<Shard> {
        if self.first_end == u64::MAX {
            return None;
        }
        let second = self.open.front()?.second();
        let end = (second + 1) * SECOND;
        if now.min(frontier) < end {
            return None;
        }
        // The next second opens before this one goes, so there is always one open.
        self.later(end);
        self.first_end = end + SECOND;
        let mut shard = self.open.pop_front()?;
        for (_, Flight { request, .. }) in &self.in_flight {
            if request.due < end {
                let sent = request.sent().filter(|sent| *sent < end);
                shard.pending(request.key, end - request.due, sent.map(|sent| end - sent));
            }
        }
        Some(shard)
    }

    /// Takes every open second, complete or not: the worker is done. What its tasks still say while they end, nobody takes.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Shard> {
        self.first_end = u64::MAX;
        let rest = VecDeque::from([self.blank.shard(0)]);
        std::mem::replace(&mut self.open, rest).into_iter()
    }

    /// Takes a shard back for a later second.
    pub(crate) fn give_back(&mut self, shard: Shard) {
        // Those that piled up while nobody took them are not needed again.
        if self.spare.len() < SPARE {
            self.spare.push(shard);
        }
    }

    /// Counts everything still in flight as cut at `now`.
    pub(crate) fn cut(&mut self, now: u64, singles: Option<&Singles>) {
        (self.oldest, self.youngest) = (None, None);
        self.apart.clear();
        for request in std::mem::take(&mut self.in_flight) {
            let (slot, Flight { request, .. }) = request;
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
                address: request.address,
            };
            self.record(&sample);
            let single = singles
                .zip(self.begun.get(slot).copied().flatten())
                .and_then(|(singles, begun)| singles.choose(&begun, &sample));
            single.iter().for_each(|single| self.tell(single));
        }
        for (key, running) in std::mem::take(&mut self.running).counts {
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

    fn recorder() -> Recorder {
        Recorder::starting_at(0, Blank::default())
    }

    fn in_flight(due: u64) -> InFlight {
        InFlight { key: PENDING, due, ready: due, first_sent: None, address: 0, traffic: None }
    }

    #[test]
    fn deadlines_come_in_order_and_pass_over_what_has_ended() {
        let mut recorder = recorder();
        assert_eq!(recorder.wake_overdue(0), None);
        let slots: Vec<_> = (0..6).map(|n| recorder.begin(in_flight(n), 10 + n)).collect();
        let waker = Waker::noop();
        for ended in [3, 0, 5] {
            recorder.end(slots[ended]);
        }
        assert_eq!(recorder.wake_overdue(9), Some(11), "the first has ended");
        assert_eq!(recorder.wake_overdue(12), Some(14), "1 and 2 are overdue, 3 has ended");
        let overdue: Vec<_> = [1, 2, 4].map(|n| recorder.is_overdue(slots[n], waker)).into();
        assert_eq!(overdue, [true, true, false]);
        recorder.end(slots[1]);
        let again = recorder.begin(in_flight(9), 20);
        assert_eq!(again, slots[1], "slots are used again");
        recorder.end(slots[2]);
        recorder.end(slots[4]);
        assert_eq!(recorder.wake_overdue(19), Some(20));
        assert_eq!(recorder.wake_overdue(20), None);
        assert!(recorder.is_overdue(again, waker));
    }

    #[test]
    fn a_deadline_apart_comes_in_its_turn() {
        let mut recorder = recorder();
        let slots: Vec<_> = (0..5).map(|n| recorder.begin(in_flight(n), 100 + n)).collect();
        for (slot, deadline) in [(1, 500), (2, 20), (3, 20), (4, 30)] {
            recorder.end_apart(slots[slot], deadline);
        }
        assert_eq!(recorder.wake_overdue(0), Some(20));
        recorder.end(slots[3]);
        assert_eq!(recorder.wake_overdue(20), Some(30), "3 has ended");
        let overdue =
            |recorder: &mut Recorder| [0, 1, 2, 4].map(|n| recorder.is_overdue(slots[n], Waker::noop()));
        assert_eq!(overdue(&mut recorder), [false, false, true, false]);
        assert_eq!(recorder.wake_overdue(99), Some(100), "4 is overdue, and 0 is in line");
        assert_eq!(recorder.wake_overdue(100), Some(500));
        assert_eq!(overdue(&mut recorder), [true, false, true, true]);
        slots.iter().for_each(|slot| recorder.end(*slot));
        assert_eq!(recorder.wake_overdue(1000), None);
    }

    #[test]
    fn a_late_arrival_belongs_to_the_second_of_its_due() {
        let mut recorder = recorder();
        // At 1.2 s the worker has handled arrivals up to 0.9 s only.
        assert!(recorder.take_complete(1_200_000_000, 900_000_000).is_none());
        recorder.arrival(KEY, 900_000_000);
        let first = recorder.take_complete(1_200_000_000, 1_000_000_000).unwrap();
        assert_eq!(frame(&first).iterations[&KEY].arrivals, 1);
        assert_eq!(first.second(), 0);
    }

    #[test]
    fn a_request_in_flight_is_seen_with_its_age() {
        let mut recorder = recorder();
        let slot = recorder.begin(in_flight(400_000_000), u64::MAX);
        let first = recorder.take_complete(1_000_000_000, u64::MAX).unwrap();
        assert_eq!(frame(&first).pending[&PENDING].since_due.max(), Some(600_000_000));
        recorder.end(slot);
        let second = recorder.take_complete(2_000_000_000, u64::MAX).unwrap();
        assert!(frame(&second).pending.is_empty());
    }

    #[test]
    fn what_is_left_is_cut_at_the_time_waited() {
        let mut recorder = recorder();
        recorder.arrival(KEY, 0);
        recorder.begin(in_flight(100), u64::MAX);
        recorder.cut(2_000_000_100, None);
        let mut whole = Frame::new(2);
        recorder.take_all().for_each(|shard| shard.merge_into(&mut whole));
        // A task that ends later still speaks.
        recorder.reconnect(5_000_000_000);
        assert!(recorder.take_complete(u64::MAX, u64::MAX).is_none(), "and nobody takes it");
        assert_eq!(whole.requests(|key| key.outcome == Outcome::Cut), 1);
        assert_eq!(whole.iterations[&KEY].cut, 1);
        let cut = whole.series.values().next().unwrap();
        assert_eq!(cut.timings[&plimsoll_measure::Timing::ResponseTime].max(), Some(2_000_000_000));
    }
}
