use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::connections::ConnectionRecorder;
use crate::frame::merge_into;
use crate::group::GroupRecorder;
use crate::kept::KeptRecorder;
use crate::table::{Packed, Table};
use crate::{
    AddressKey, AddressSeries, CheckKey, CheckSeries, CloseReason, DropCause, Edges, ErrorSample, Frame,
    GroupKey, Histogram, IterationKey, KeptKey, KeptRequest, Limits, Observed, Opening, Outcome, Pending,
    PendingKey, Phase, SINGLES_PER_SECOND, Sample, SeriesKey, Single, Singles, Timing, ValueKey, ValueSeries,
};

/// How many different messages one worker keeps per second. Further ones are counted in their series
/// all the same; only their words are lost.
pub(crate) const MESSAGES_PER_SECOND: usize = 32;

/// How many series beyond the limits are remembered to say how many there were: 64 KB a worker.
const OVERFLOWED_REMEMBERED: usize = 4096;

/// What one worker measures in one second. Recording costs no lock, no channel and, once a series
/// has been seen, no allocation. A cleared shard keeps the memory of what it held and serves a later
/// second.
#[derive(Debug)]
pub struct Shard {
    second: u64,
    edges: Edges,
    series: Table<SeriesKey, SeriesRecorder>,
    iterations: Table<IterationKey, IterationRecorder>,
    groups: Table<GroupKey, GroupRecorder>,
    checks: Table<CheckKey, CheckSeries>,
    pending: FxHashMap<PendingKey, PendingRecorder>,
    errors: Vec<ErrorSample>,
    reconnects: u64,
    connections: ConnectionRecorder,
    addresses: Table<AddressKey, AddressRecorder>,
    has_addresses: bool,
    values: Table<ValueKey, ValueRecorder>,
    /// Where each value's histograms count exactly.
    value_edges: Arc<[Edges]>,
    /// By step and phase, see [`kept_index`].
    kept: Vec<KeptRecorder>,
    singles: Singles,
    /// How many singles there may be.
    singles_room: usize,
    limits: Limits,
    /// What the histograms of `series` and `values` occupy.
    memory_bytes: u64,
    /// Series that found no room, as far as there is room to remember them.
    overflowed: FxHashSet<u64>,
}

#[derive(Debug, Default)]
struct AddressRecorder {
    requests: u64,
    failed: u64,
    response_time: Option<Box<Histogram>>,
}

#[derive(Debug, Default)]
struct SeriesRecorder {
    requests: u64,
    received_bytes: u64,
    sent_bytes: u64,
    /// A handful at most, so a scan beats a map.
    statuses: Vec<(u16, u64)>,
    timings: [Option<Box<Histogram>>; Timing::ALL.len()],
}

#[derive(Debug, Default)]
struct ValueRecorder {
    taken: u64,
    absent: u64,
    out_of_range: u64,
    total: u64,
    histogram: Option<Box<Histogram>>,
}

#[derive(Debug, Default)]
struct IterationRecorder {
    arrivals: u64,
    dropped_in_flight_limit: u64,
    dropped_generator: u64,
    ended: u64,
    failed: u64,
    cut: u64,
    time: Option<Box<Histogram>>,
}

#[derive(Debug)]
struct PendingRecorder {
    since_due: Histogram,
    since_sent: Histogram,
}

impl Shard {
    /// An empty shard for `second`, counting exactly at `edges`.
    pub fn new(second: u64, edges: Edges) -> Self {
        Self {
            second,
            edges,
            series: Table::default(),
            iterations: Table::default(),
            groups: Table::default(),
            checks: Table::default(),
            pending: FxHashMap::default(),
            errors: Vec::new(),
            reconnects: 0,
            connections: ConnectionRecorder::default(),
            addresses: Table::default(),
            has_addresses: false,
            values: Table::default(),
            value_edges: [].into(),
            kept: Vec::new(),
            singles: Singles::default(),
            singles_room: SINGLES_PER_SECOND,
            limits: Limits::default(),
            memory_bytes: 0,
            overflowed: FxHashSet::default(),
        }
    }

    /// The same shard with other limits than the default.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same shard for a run with this many addresses; with more than one it counts each by itself.
    pub fn with_addresses(self, addresses: usize) -> Self {
        Self { has_addresses: addresses > 1, ..self }
    }

    /// The same shard for one of so many workers, which share the room for single requests.
    pub fn with_workers(self, workers: usize) -> Self {
        Self { singles_room: SINGLES_PER_SECOND / workers.max(1), ..self }
    }

    /// The same shard for a run whose plan takes values from replies; for each, where its histograms
    /// count exactly.
    pub fn with_value_edges(self, value_edges: Arc<[Edges]>) -> Self {
        Self { value_edges, ..self }
    }

    /// The second it belongs to.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// Forgets what it holds and takes up another second. What it has held nothing of goes: the series
    /// of a stage that is over would else stay with their histograms until the run ends.
    pub fn reuse(&mut self, second: u64) {
        self.second = second;
        self.series.retain(|recorder| recorder.requests > 0);
        self.iterations.retain(|recorder| !recorder.is_empty());
        self.series.values_mut().for_each(SeriesRecorder::clear);
        self.iterations.values_mut().for_each(IterationRecorder::clear);
        self.groups.retain(|recorder| recorder.ended > 0);
        self.groups.values_mut().for_each(GroupRecorder::clear);
        self.checks.values_mut().for_each(|checked| *checked = CheckSeries::default());
        self.pending.clear();
        self.errors.clear();
        self.reconnects = 0;
        self.connections.clear();
        self.addresses.values_mut().for_each(AddressRecorder::clear);
        self.values.retain(|recorder| !recorder.is_empty());
        self.values.values_mut().for_each(ValueRecorder::clear);
        self.kept.iter_mut().for_each(|kept| kept.reuse(second));
        self.singles.clear();
        self.overflowed.clear();
        let series = self.series.iter().map(|(_, recorder)| recorder.memory_bytes());
        self.memory_bytes =
            series.chain(self.values.iter().map(|(_, recorder)| recorder.memory_bytes())).sum();
    }

    /// Counts a request that ended in this second.
    pub fn record(&mut self, sample: &Sample) {
        let mut position = match self.series.find(sample.key) {
            Some(position) => position,
            None => self.admit(sample.key),
        };
        if self.memory_bytes >= self.limits.memory_bytes {
            position = self.within_memory(position, sample);
        }
        let series = self.series.at(position);
        series.requests += 1;
        series.received_bytes += sample.received_bytes;
        series.sent_bytes += sample.sent_bytes;
        if let Some(status) = sample.status {
            match series.statuses.iter_mut().find(|(known, _)| *known == status) {
                Some((_, count)) => *count += 1,
                None => series.statuses.push((status, 1)),
            }
        }
        // One after the other and not in a loop: each then knows which offsets it needs.
        let grown = &mut self.memory_bytes;
        series.time(Timing::ResponseTime, sample, &self.edges, grown);
        series.time(Timing::ServiceTime, sample, &self.edges, grown);
        series.time(Timing::ScheduleLag, sample, &self.edges, grown);
        series.time(Timing::Wait, sample, &self.edges, grown);
        series.time(Timing::ConnectTime, sample, &self.edges, grown);
        series.time(Timing::TlsTime, sample, &self.edges, grown);
        series.time(Timing::FirstByteTime, sample, &self.edges, grown);
        if self.has_addresses {
            let AddressRecorder { requests, failed, response_time } =
                self.addresses.entry(AddressKey { address: sample.address, phase: sample.key.phase });
            *requests += 1;
            *failed += u64::from(sample.key.outcome.is_failure());
            if sample.key.outcome.counts_for_latency() {
                let time = sample.done.saturating_sub(sample.due);
                response_time
                    .get_or_insert_with(|| Box::new(Histogram::new(self.edges.clone())))
                    .record(time);
            }
        }
    }

    /// Where a series that is new in this second is counted.
    #[cold]
    #[inline(never)]
    fn admit(&mut self, key: SeriesKey) -> u32 {
        if self.series.len() < self.limits.series as usize || key.is_overflow() {
            self.series.add(key)
        } else {
            self.overflow(key)
        }
    }

    /// Where a request is counted once the memory is used up: where it needs no more of it.
    #[cold]
    #[inline(never)]
    fn within_memory(&mut self, position: u32, sample: &Sample) -> u32 {
        let key = self.series.key(position);
        if key.is_overflow() || !self.series.at(position).would_grow(sample) {
            return position;
        }
        self.overflow(key)
    }

    /// The series that counts together what finds no room. It is exempt from the limits: there is one
    /// per phase and outcome.
    fn overflow(&mut self, key: SeriesKey) -> u32 {
        if self.overflowed.len() < OVERFLOWED_REMEMBERED {
            self.overflowed.insert(key.packed());
        }
        let overflow = key.overflow();
        self.series.find(overflow).unwrap_or_else(|| self.series.add(overflow))
    }

    /// Counts what a reply that came in this second says of a value.
    pub fn value(&mut self, key: ValueKey, observed: Observed) {
        let no_edges = Edges::exactly([]);
        let edges = self.value_edges.get(usize::from(key.value)).unwrap_or(&no_edges);
        let known = self.values.find(key);
        let has_room = self.series.len() + self.values.len() < self.limits.series as usize;
        let is_full = self.memory_bytes >= self.limits.memory_bytes;
        let fits = match known {
            Some(position) => !is_full || !self.values.at(position).would_grow(observed),
            None => has_room && !is_full,
        };
        let position = match known.filter(|_| fits) {
            Some(position) => position,
            None if fits || key.is_overflow() => {
                self.values.find(key).unwrap_or_else(|| self.values.add(key))
            }
            None => {
                let overflow = key.overflow();
                self.values.find(overflow).unwrap_or_else(|| self.values.add(overflow))
            }
        };
        self.values.at(position).count(observed, edges, &mut self.memory_bytes);
    }

    /// Whether [`Self::keep`] would keep this request: its words and rows need to be gathered only then.
    #[inline]
    pub fn would_keep(&self, sample: &Sample) -> bool {
        let time = sample.done.saturating_sub(sample.due);
        let recorder = self.kept.get(kept_index(sample.key));
        recorder.is_none_or(|recorder| recorder.would_keep(sample, time))
    }

    /// Keeps a request, already recorded, whole if it is among the slowest or the first failed.
    pub fn keep(&mut self, request: &KeptRequest) {
        if !self.would_keep(&request.sample) {
            return;
        }
        let index = kept_index(request.sample.key);
        let second = self.second;
        while self.kept.len() <= index {
            let mut recorder = KeptRecorder::default();
            recorder.reuse(second);
            self.kept.push(recorder);
        }
        self.kept[index].keep(request);
    }

    /// Tells a request, already recorded, by itself as long as there is room.
    pub fn tell(&mut self, single: &Single) {
        self.singles.tell(single, self.singles_room);
    }

    /// Counts an attempt to open a connection that came to its end in this second.
    pub fn connection_opened(&mut self, opening: Opening) {
        self.connections.opened(opening);
    }

    /// Counts a connection that was closed in this second after it had carried `requests` requests.
    pub fn connection_closed(&mut self, reason: CloseReason, requests: u64) {
        self.connections.closed(reason, requests);
    }

    /// Counts a request that found no idle connection and waited so many nanoseconds until it had one.
    pub fn connection_waited(&mut self, nanos: u64) {
        self.connections.waited(nanos, &self.edges);
    }

    /// Counts an arrival that was due in this second.
    pub fn arrival(&mut self, key: IterationKey) {
        self.iterations.entry(key).arrivals += 1;
    }

    /// Counts an arrival that was due in this second and not offered.
    pub fn dropped(&mut self, key: IterationKey, cause: DropCause) {
        let iterations = self.iterations.entry(key);
        iterations.arrivals += 1;
        match cause {
            DropCause::InFlightLimit => iterations.dropped_in_flight_limit += 1,
            DropCause::Generator => iterations.dropped_generator += 1,
        }
    }

    /// Counts an arrival, already counted as due, that had to be given up before its end.
    pub fn given_up(&mut self, key: IterationKey, cause: DropCause) {
        let iterations = self.iterations.entry(key);
        match cause {
            DropCause::InFlightLimit => iterations.dropped_in_flight_limit += 1,
            DropCause::Generator => iterations.dropped_generator += 1,
        }
    }

    /// Counts an iteration that ended in this second after `nanos` since its arrival was due.
    pub fn iteration(&mut self, key: IterationKey, nanos: u64, failed: bool) {
        let iterations = self.iterations.entry(key);
        iterations.ended += 1;
        iterations.failed += u64::from(failed);
        iterations.time.get_or_insert_with(|| Box::new(Histogram::new(self.edges.clone()))).record(nanos);
    }

    /// Counts an iteration that was cut.
    pub fn iteration_cut(&mut self, key: IterationKey) {
        self.iterations.entry(key).cut += 1;
    }

    /// Counts a pass through a group that ended in this second, so many nanoseconds after it was due.
    pub fn group(&mut self, key: GroupKey, nanos: u64, failed: bool) {
        self.groups.entry(key).count(nanos, failed, &self.edges);
    }

    /// Counts an answer that a check looked at in this second.
    pub fn check(&mut self, key: CheckKey, passed: bool) {
        self.checks.entry(key).count(passed);
    }

    /// Notes a request in flight at the end of this second, with its age since due and since sent.
    pub fn pending(&mut self, key: PendingKey, since_due: u64, since_sent: Option<u64>) {
        let recorder = self.pending.entry(key).or_insert_with(|| PendingRecorder {
            since_due: Histogram::new(self.edges.clone()),
            since_sent: Histogram::new(self.edges.clone()),
        });
        recorder.since_due.record(since_due);
        if let Some(nanos) = since_sent {
            recorder.since_sent.record(nanos);
        }
    }

    /// Keeps the words of a failure at offset `at`.
    pub fn error(&mut self, outcome: Outcome, step: u16, at: u64, message: &str) {
        let known = |known: &&mut ErrorSample| {
            known.outcome == outcome && known.step == step && known.message == message
        };
        if let Some(error) = self.errors.iter_mut().find(known) {
            error.count += 1;
            error.last = error.last.max(at);
        } else if self.errors.len() < MESSAGES_PER_SECOND {
            self.errors.push(ErrorSample {
                outcome,
                step,
                message: message.to_owned(),
                count: 1,
                first: at,
                last: at,
            });
        }
    }

    /// Counts a connection that was found closed and replaced.
    pub fn reconnect(&mut self) {
        self.reconnects += 1;
    }

    /// Adds what this worker measured to the second's frame.
    pub fn merge_into(&self, frame: &mut Frame) {
        for (key, recorder) in self.series.iter().filter(|(_, recorder)| recorder.requests > 0) {
            recorder.merge_into(frame.series.entry(*key).or_default());
        }
        for (key, recorder) in self.iterations.iter().filter(|(_, recorder)| !recorder.is_empty()) {
            let series = frame.iterations.entry(*key).or_default();
            series.arrivals += recorder.arrivals;
            series.dropped_in_flight_limit += recorder.dropped_in_flight_limit;
            series.dropped_generator += recorder.dropped_generator;
            series.ended += recorder.ended;
            series.failed += recorder.failed;
            series.cut += recorder.cut;
            if let Some(time) = &recorder.time {
                merge_into(&mut series.time, time.distribution());
            }
        }
        for (key, recorder) in self.groups.iter().filter(|(_, recorder)| recorder.ended > 0) {
            frame.groups.entry(*key).or_default().merge(&recorder.series());
        }
        for (key, checked) in self.checks.iter().filter(|(_, checked)| checked.looked_at() > 0) {
            frame.checks.entry(*key).or_default().merge(checked);
        }
        for (key, recorder) in &self.pending {
            let (since_due, since_sent) =
                (recorder.since_due.distribution(), recorder.since_sent.distribution());
            match frame.pending.entry(*key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Pending { since_due, since_sent });
                }
                Entry::Occupied(mut pending) => {
                    pending.get_mut().since_due.merge(&since_due);
                    pending.get_mut().since_sent.merge(&since_sent);
                }
            }
        }
        for error in &self.errors {
            let known = |known: &&mut ErrorSample| {
                (known.outcome, known.step) == (error.outcome, error.step) && known.message == error.message
            };
            match frame.errors.iter_mut().find(known) {
                Some(known) => {
                    known.count += error.count;
                    known.first = known.first.min(error.first);
                    known.last = known.last.max(error.last);
                }
                None => frame.errors.push(error.clone()),
            }
        }
        frame.reconnects += self.reconnects;
        self.connections.merge_into(&mut frame.connections);
        for (key, recorder) in self.addresses.iter().filter(|(_, recorder)| recorder.requests > 0) {
            frame.addresses.entry(*key).or_default().merge(&recorder.series());
        }
        for (key, recorder) in self.values.iter().filter(|(_, recorder)| !recorder.is_empty()) {
            frame.values.entry(*key).or_default().merge(&recorder.series());
        }
        for (index, recorder) in self.kept.iter().enumerate() {
            if let Some(kept) = recorder.kept() {
                frame.kept.entry(kept_key(index)).or_default().merge(kept);
            }
        }
        frame.singles.merge(&self.singles);
        // Two workers may have met the same series, so their counts are not added.
        frame.overflowed_series = frame.overflowed_series.max(self.overflowed.len() as u64);
    }
}

impl SeriesRecorder {
    #[inline(always)]
    fn time(&mut self, timing: Timing, sample: &Sample, edges: &Edges, grown: &mut u64) {
        let Some(nanos) = timing.of(sample) else { return };
        match &mut self.timings[timing as usize] {
            Some(histogram) => histogram.record_and_tell(nanos, grown),
            none => *grown += first(none, edges, nanos),
        }
    }

    /// Whether counting a request would take more memory.
    fn would_grow(&self, sample: &Sample) -> bool {
        self.timings.iter().zip(Timing::ALL).any(|(histogram, timing)| {
            let grows = |nanos| histogram.as_ref().is_none_or(|histogram| histogram.would_grow(nanos));
            timing.of(sample).is_some_and(grows)
        })
    }

    fn memory_bytes(&self) -> u64 {
        self.timings.iter().flatten().map(|histogram| histogram.memory_bytes() as u64).sum()
    }

    fn clear(&mut self) {
        (self.requests, self.received_bytes, self.sent_bytes) = (0, 0, 0);
        self.statuses.clear();
        self.timings
            .iter_mut()
            .flatten()
            .filter(|histogram| !histogram.is_empty())
            .for_each(|histogram| histogram.clear());
    }

    fn merge_into(&self, series: &mut crate::Series) {
        series.requests += self.requests;
        series.received_bytes += self.received_bytes;
        series.sent_bytes += self.sent_bytes;
        for (status, count) in &self.statuses {
            *series.statuses.entry(*status).or_default() += count;
        }
        for (timing, histogram) in Timing::ALL.into_iter().zip(&self.timings) {
            let Some(histogram) = histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
                continue;
            };
            merge_timing(&mut series.timings, timing, histogram.distribution());
        }
    }
}

#[cold]
#[inline(never)]
fn first(histogram: &mut Option<Box<Histogram>>, edges: &Edges, nanos: u64) -> u64 {
    let histogram = histogram.insert(Box::new(Histogram::new(edges.clone())));
    histogram.record(nanos);
    histogram.memory_bytes() as u64
}

/// Where the requests of a step and phase are kept.
#[inline]
fn kept_index(key: SeriesKey) -> usize {
    usize::from(key.step) * Phase::ALL.len() + key.phase as usize
}

fn kept_key(index: usize) -> KeptKey {
    KeptKey { step: (index / Phase::ALL.len()) as u16, phase: Phase::ALL[index % Phase::ALL.len()] }
}

fn merge_timing(
    timings: &mut BTreeMap<Timing, crate::Distribution>,
    timing: Timing,
    more: crate::Distribution,
) {
    match timings.entry(timing) {
        Entry::Vacant(vacant) => {
            vacant.insert(more);
        }
        Entry::Occupied(mut known) => known.get_mut().merge(&more),
    }
}

impl AddressRecorder {
    fn clear(&mut self) {
        (self.requests, self.failed) = (0, 0);
        self.response_time.iter_mut().for_each(|histogram| histogram.clear());
    }

    fn series(&self) -> AddressSeries {
        let times = self.response_time.as_ref().filter(|histogram| !histogram.is_empty());
        AddressSeries {
            requests: self.requests,
            failed: self.failed,
            response_time: times.map(|histogram| histogram.distribution()),
        }
    }
}

impl ValueRecorder {
    fn count(&mut self, observed: Observed, edges: &Edges, grown: &mut u64) {
        match observed {
            Observed::Absent => return self.absent += 1,
            Observed::OutOfRange => return self.out_of_range += 1,
            Observed::Amount(amount) => self.total = self.total.saturating_add(amount),
            Observed::Match(matches) => self.total += u64::from(matches),
            Observed::Ticks(ticks) => match &mut self.histogram {
                Some(histogram) => histogram.record_and_tell(ticks, grown),
                none => *grown += first(none, edges, ticks),
            },
        }
        self.taken += 1;
    }

    fn would_grow(&self, observed: Observed) -> bool {
        let Observed::Ticks(ticks) = observed else { return false };
        self.histogram.as_ref().is_none_or(|histogram| histogram.would_grow(ticks))
    }

    fn is_empty(&self) -> bool {
        self.taken == 0 && self.absent == 0 && self.out_of_range == 0
    }

    fn memory_bytes(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.memory_bytes() as u64)
    }

    fn clear(&mut self) {
        let histogram = self.histogram.take().map(|mut histogram| {
            histogram.clear();
            histogram
        });
        *self = Self { histogram, ..Self::default() };
    }

    fn series(&self) -> ValueSeries {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty());
        ValueSeries {
            taken: self.taken,
            absent: self.absent,
            out_of_range: self.out_of_range,
            total: self.total,
            values: histogram.map(|histogram| histogram.distribution()),
        }
    }
}

impl IterationRecorder {
    fn is_empty(&self) -> bool {
        self.arrivals == 0
            && self.ended == 0
            && self.cut == 0
            && self.dropped_generator == 0
            && self.dropped_in_flight_limit == 0
    }

    fn clear(&mut self) {
        let time = self.time.take().map(|mut histogram| {
            histogram.clear();
            histogram
        });
        *self = Self { time, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(outcome: Outcome, due: u64, done: u64) -> Sample {
        Sample {
            key: SeriesKey { step: 1, phase: Phase::Measured, stage: Some(0), outcome },
            due,
            ready: due,
            sent: Some(due),
            done,
            connect: None,
            tls: None,
            first_byte: None,
            status: outcome.is_answer().then_some(200),
            received_bytes: 10,
            sent_bytes: 5,
            address: 0,
        }
    }

    #[test]
    fn values_are_counted_as_they_come_and_what_is_none_beside_them() {
        let edges: Arc<[Edges]> = [Edges::exactly([10]), Edges::exactly([])].into();
        let key = |value| ValueKey { value, step: 0, phase: Phase::Measured, stage: Some(0) };
        let mut frame = Frame::new(0);
        for _ in 0..2 {
            let mut shard = Shard::new(0, Edges::default()).with_value_edges(Arc::clone(&edges));
            for observed in [Observed::Ticks(5), Observed::Ticks(11), Observed::Absent, Observed::OutOfRange]
            {
                shard.value(key(0), observed);
            }
            [Observed::Match(true), Observed::Match(false), Observed::Absent]
                .into_iter()
                .for_each(|observed| shard.value(key(1), observed));
            shard.merge_into(&mut frame);
            shard.reuse(1);
            let mut later = Frame::new(1);
            shard.merge_into(&mut later);
            assert!(later.values.is_empty());
        }
        let first = &frame.values[&key(0)];
        assert_eq!((first.taken, first.absent, first.out_of_range, first.replies()), (4, 2, 2, 8));
        assert_eq!(first.values.as_ref().unwrap().at_edges(), [2, 2]);
        let second = &frame.values[&key(1)];
        assert_eq!((second.taken, second.absent, second.total), (4, 2, 2));
        assert_eq!(second.values, None);
    }

    #[test]
    fn values_beyond_the_limits_are_counted_together() {
        let limits = Limits { series: 3, ..Limits::default() };
        let mut shard = Shard::new(0, Edges::default()).with_limits(limits);
        for step in 0..10 {
            let key = ValueKey { value: 0, step, phase: Phase::Measured, stage: Some(0) };
            shard.value(key, Observed::Amount(7));
        }
        let mut frame = Frame::new(0);
        shard.merge_into(&mut frame);
        assert_eq!(frame.values.len(), 4);
        assert_eq!(frame.values.values().map(|series| series.total).sum::<u64>(), 70);
        let (key, series) = frame.values.last_key_value().unwrap();
        assert_eq!((key.is_overflow(), series.taken), (true, 7));
    }

    #[test]
    fn shards_of_two_workers_become_one_frame() {
        let edges = Edges::default();
        let (mut one, mut other) = (Shard::new(3, edges.clone()), Shard::new(3, edges));
        one.record(&sample(Outcome::Ok, 0, 1_000_000));
        other.record(&sample(Outcome::Ok, 0, 3_000_000));
        other.record(&sample(Outcome::Reset, 0, 3_000_000));
        one.error(Outcome::Reset, 1, 7, "connection reset");
        other.error(Outcome::Reset, 1, 3, "connection reset");
        other.reconnect();
        let mut frame = Frame::new(3);
        one.merge_into(&mut frame);
        other.merge_into(&mut frame);
        let ok = &frame.series[&sample(Outcome::Ok, 0, 0).key];
        assert_eq!((ok.requests, ok.received_bytes, ok.sent_bytes, ok.statuses[&200]), (2, 20, 10, 2));
        let response = &ok.timings[&Timing::ResponseTime];
        assert_eq!(
            (response.min(), response.max(), response.sum()),
            (Some(1_000_000), Some(3_000_000), 4_000_000)
        );
        assert!(!ok.timings.contains_key(&Timing::TlsTime));
        assert_eq!(frame.requests(|key| key.outcome.is_failure()), 1);
        assert_eq!((frame.errors[0].count, frame.errors[0].first, frame.errors[0].last), (2, 3, 7));
        assert_eq!(frame.reconnects, 1);
    }

    #[test]
    fn a_reused_shard_remembers_nothing() {
        let mut shard = Shard::new(0, Edges::default());
        let key = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
        shard.record(&sample(Outcome::Ok, 0, 1));
        shard.arrival(key);
        shard.dropped(key, DropCause::Generator);
        shard.iteration(key, 5, true);
        shard.group(GroupKey { group: 0, phase: Phase::Measured }, 5, true);
        shard.pending(PendingKey { step: 0, phase: Phase::Measured, stage: None }, 4, None);
        shard.connection_opened(Opening::Plain);
        shard.connection_closed(CloseReason::Error, 3);
        shard.connection_waited(4);
        shard.keep(&KeptRequest {
            sample: sample(Outcome::Reset, 0, 1),
            message: None,
            iteration: 0,
            user: None,
            row: None,
            worker: 0,
            exchange: None,
        });
        shard.reuse(9);
        let mut frame = Frame::new(9);
        shard.merge_into(&mut frame);
        assert_eq!(frame, Frame::new(9));
    }

    #[test]
    fn a_reused_shard_keeps_the_memory_of_what_is_in_use_only() {
        let mut shard = Shard::new(0, Edges::default());
        for stage in 0..100_u16 {
            for _ in 0..5 {
                let mut of_stage = sample(Outcome::Ok, 0, 1);
                of_stage.key.stage = Some(stage);
                shard.record(&of_stage);
                shard.arrival(IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(stage) });
                shard.reuse(0);
            }
            assert!(shard.series.iter().count() <= 2 && shard.iterations.iter().count() <= 2);
        }
    }

    #[test]
    fn series_beyond_the_limit_are_counted_together() {
        let mut shard =
            Shard::new(0, Edges::default()).with_limits(Limits { series: 3, ..Limits::default() });
        for round in 0..2 {
            for step in 0..10 {
                let mut of_step = sample(if step == 9 { Outcome::Reset } else { Outcome::Ok }, 0, 1_000_000);
                of_step.key.step = step;
                (0..=step).for_each(|_| shard.record(&of_step));
            }
            let mut frame = Frame::new(round);
            shard.merge_into(&mut frame);
            assert_eq!(frame.requests(|_| true), 55, "nothing is lost");
            assert_eq!(frame.requests(|key| !key.is_overflow()), 1 + 2 + 3);
            assert_eq!(frame.requests(|key| key.is_overflow() && key.outcome == Outcome::Reset), 10);
            assert_eq!((frame.series.len(), frame.overflowed_series), (5, 7));
            shard.reuse(round + 1);
        }
    }

    #[test]
    fn requests_that_would_need_more_memory_are_counted_together() {
        let limit = 100_000;
        let mut shard =
            Shard::new(0, Edges::default()).with_limits(Limits { memory_bytes: limit, ..Limits::default() });
        for number in 0..20_000_u64 {
            let mut of_step = sample(Outcome::Ok, 0, 1_000 * number * number);
            of_step.key.step = (number % 7) as u16;
            shard.record(&of_step);
        }
        let own: u64 = shard
            .series
            .iter()
            .filter(|(key, _)| !key.is_overflow())
            .map(|(_, recorder)| recorder.memory_bytes())
            .sum();
        assert!(own < limit + 20_000, "{own}");
        let mut frame = Frame::new(0);
        shard.merge_into(&mut frame);
        assert_eq!(frame.requests(|_| true), 20_000);
        assert!(frame.requests(|key| key.is_overflow()) > 0 && frame.overflowed_series > 0);
        let counted = |frame: &Frame| -> u64 {
            frame.series.values().map(|series| series.timings[&Timing::ResponseTime].count()).sum()
        };
        assert_eq!(counted(&frame), 20_000);
    }

    #[test]
    fn addresses_are_counted_where_there_are_several() {
        for (addresses, counted) in [(0, 0), (1, 0), (2, 2)] {
            let mut shard = Shard::new(0, Edges::default()).with_addresses(addresses);
            shard.record(&sample(Outcome::Ok, 0, 5));
            shard.record(&Sample { address: 1, ..sample(Outcome::Reset, 0, 7) });
            let mut frame = Frame::new(0);
            shard.merge_into(&mut frame);
            assert_eq!(frame.addresses.len(), counted);
            if let Some(second) = frame.addresses.get(&AddressKey { address: 1, phase: Phase::Measured }) {
                assert_eq!((second.requests, second.failed, &second.response_time), (1, 1, &None));
            }
        }
    }

    #[test]
    fn a_second_has_the_slowest_of_all_its_workers() {
        let request = |worker, took| KeptRequest {
            sample: sample(Outcome::Ok, 0, took),
            message: None,
            iteration: took,
            user: None,
            row: None,
            worker,
            exchange: None,
        };
        let mut frame = Frame::new(0);
        for worker in 0..3 {
            let mut shard = Shard::new(0, Edges::default());
            (0..100).map(|number| request(worker, number * 3 + u64::from(worker))).for_each(|request| {
                assert!(shard.would_keep(&request.sample), "each is slower than those before");
                shard.keep(&request);
            });
            assert!(!shard.would_keep(&request(0, 200).sample));
            shard.merge_into(&mut frame);
        }
        let kept = &frame.kept[&KeptKey { step: 1, phase: Phase::Measured }];
        let slowest: Vec<_> =
            kept.slowest().iter().take(5).map(|request| (request.iteration, request.worker)).collect();
        assert_eq!(slowest, [(299, 2), (298, 1), (297, 0), (296, 2), (295, 1)]);
    }

    #[test]
    fn words_are_bounded_and_counts_are_not() {
        let mut shard = Shard::new(0, Edges::default());
        for number in 0..1000 {
            shard.record(&sample(Outcome::Protocol, 0, 1));
            shard.error(Outcome::Protocol, 0, number, &format!("message {number}"));
        }
        let mut frame = Frame::new(0);
        shard.merge_into(&mut frame);
        assert_eq!(frame.errors.len(), MESSAGES_PER_SECOND);
        assert_eq!(frame.requests(|_| true), 1000);
    }
}
