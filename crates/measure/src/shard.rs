use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rustc_hash::FxHashMap;

use crate::frame::merge_into;
use crate::table::Table;
use crate::{
    DropCause, Edges, ErrorSample, Frame, Histogram, IterationKey, Outcome, Pending, PendingKey, Sample,
    SeriesKey, Timing,
};

/// How many different messages one worker keeps per second. Further ones are counted in their series
/// all the same; only their words are lost.
const MESSAGES_PER_SECOND: usize = 32;

/// What one worker measures in one second. Recording costs no lock, no channel and, once a series
/// has been seen, no allocation. A cleared shard keeps the memory of what it held and serves a later
/// second.
#[derive(Debug)]
pub struct Shard {
    second: u64,
    edges: Edges,
    series: Table<SeriesKey, SeriesRecorder>,
    iterations: Table<IterationKey, IterationRecorder>,
    pending: FxHashMap<PendingKey, PendingRecorder>,
    errors: Vec<ErrorSample>,
    reconnects: u64,
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
            pending: FxHashMap::default(),
            errors: Vec::new(),
            reconnects: 0,
        }
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
        self.pending.clear();
        self.errors.clear();
        self.reconnects = 0;
    }

    /// Counts a request that ended in this second.
    pub fn record(&mut self, sample: &Sample) {
        let series = self.series.entry(sample.key);
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
        series.time(Timing::ResponseTime, sample, &self.edges);
        series.time(Timing::ServiceTime, sample, &self.edges);
        series.time(Timing::ScheduleLag, sample, &self.edges);
        series.time(Timing::Wait, sample, &self.edges);
        series.time(Timing::ConnectTime, sample, &self.edges);
        series.time(Timing::TlsTime, sample, &self.edges);
        series.time(Timing::FirstByteTime, sample, &self.edges);
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

    /// Counts an arrival, already counted as due, that had to be given up before anything was sent.
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
    }
}

impl SeriesRecorder {
    #[inline(always)]
    fn time(&mut self, timing: Timing, sample: &Sample, edges: &Edges) {
        let Some(nanos) = timing.of(sample) else { return };
        match &mut self.timings[timing as usize] {
            Some(histogram) => histogram.record(nanos),
            none => first(none, edges, nanos),
        }
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
fn first(histogram: &mut Option<Box<Histogram>>, edges: &Edges, nanos: u64) {
    histogram.insert(Box::new(Histogram::new(edges.clone()))).record(nanos);
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
    use crate::Phase;

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
        }
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
        shard.pending(PendingKey { step: 0, phase: Phase::Measured, stage: None }, 4, None);
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
