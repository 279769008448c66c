use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::shard::MESSAGES_PER_SECOND;
use crate::table::{Packed, packed};
use crate::{
    CheckKey, CheckSeries, ConnectionFigures, Distribution, DropCause, GroupKey, GroupSeries, Kept, KeptKey,
    Outcome, Phase, SeriesKey, Singles, Timing, ValueKey, ValueSeries,
};

/// Everything that was measured in one second of a run, from all workers. A closed second never changes.
///
/// A finished request belongs to the second of its done, an arrival to that of its due.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Which second: `[second, second + 1)` since the start of the run.
    pub second: u64,
    /// Requests that ended.
    pub series: BTreeMap<SeriesKey, Series>,
    /// Arrivals and iterations.
    pub iterations: BTreeMap<IterationKey, IterationSeries>,
    /// Passes through groups of steps.
    pub groups: BTreeMap<GroupKey, GroupSeries>,
    /// Answers that checks looked at.
    pub checks: BTreeMap<CheckKey, CheckSeries>,
    /// Requests still in flight when the second ended, and for how long they had been.
    pub pending: BTreeMap<PendingKey, Pending>,
    /// Connections replaced because the target had closed them while idle.
    pub reconnects: u64,
    /// Connections opened and closed.
    pub connections: ConnectionFigures,
    /// Requests per address, where the run has more than one.
    pub addresses: BTreeMap<AddressKey, AddressSeries>,
    /// What the plan takes from replies.
    pub values: BTreeMap<ValueKey, ValueSeries>,
    /// The slowest and the first failed requests, as far as they may be among those of their minute.
    pub kept: BTreeMap<KeptKey, Kept>,
    /// At least how many series found no room within [`crate::Limits`] and were counted together.
    pub overflowed_series: u64,
    /// A bounded number of what went wrong, in words.
    pub errors: Vec<ErrorSample>,
    /// Requests told one by one, where the plan asks for some. No record keeps them.
    pub singles: Singles,
}

/// Requests of one series that ended within a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// How many.
    pub requests: u64,
    /// Bytes read for them.
    pub received_bytes: u64,
    /// Bytes written for them.
    pub sent_bytes: u64,
    /// How many per HTTP status; requests without an answer are in none.
    pub statuses: BTreeMap<u16, u64>,
    /// Their durations, where they have any.
    pub timings: BTreeMap<Timing, Distribution>,
}

impl Series {
    /// How many buckets its distributions hold, which is what they occupy.
    pub fn buckets(&self) -> usize {
        self.timings.values().map(|distribution| distribution.buckets().len()).sum()
    }

    /// Adds another second's.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (timing, distribution) in &other.timings {
            match self.timings.entry(*timing) {
                Entry::Occupied(mut known) => known.get_mut().merge(distribution),
                Entry::Vacant(new) => {
                    new.insert(distribution.clone());
                }
            }
        }
    }
}

/// Which requests to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// Index of the address in the run's list of addresses.
    pub address: u16,
    /// The phase their iterations were due in.
    pub phase: Phase,
}

impl Packed for AddressKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.address, self.phase, None)
    }
}

/// Requests to one address within a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AddressSeries {
    /// How many ended, cut ones included.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Response times of what counts for latency.
    pub response_time: Option<Distribution>,
}

impl AddressSeries {
    /// Adds another second's.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        if let Some(more) = &other.response_time {
            match &mut self.response_time {
                Some(times) => times.merge(more),
                none => *none = Some(more.clone()),
            }
        }
    }
}

/// Which iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IterationKey {
    /// Index of the scenario.
    pub scenario: u16,
    /// The phase the iteration was due in.
    pub phase: Phase,
    /// The stage it was due in.
    pub stage: Option<u16>,
}

impl Packed for IterationKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.scenario, self.phase, self.stage)
    }
}

/// Arrivals and iterations of one scenario within a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IterationSeries {
    /// Arrivals due, dropped ones included.
    pub arrivals: u64,
    /// Arrivals dropped because too many iterations were in flight.
    pub dropped_in_flight_limit: u64,
    /// Arrivals the generator could not offer.
    pub dropped_generator: u64,
    /// Iterations that ended, failed ones included.
    pub ended: u64,
    /// Iterations that a failed step ended.
    pub failed: u64,
    /// Iterations cut at the end of the grace period.
    pub cut: u64,
    /// From the arrival's due to the last done of iterations that ended and were not cut.
    pub time: Option<Distribution>,
}

impl IterationSeries {
    /// Dropped arrivals of one cause.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        match cause {
            DropCause::InFlightLimit => self.dropped_in_flight_limit,
            DropCause::Generator => self.dropped_generator,
        }
    }

    /// Adds another second's.
    pub fn merge(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.dropped_in_flight_limit += other.dropped_in_flight_limit;
        self.dropped_generator += other.dropped_generator;
        self.ended += other.ended;
        self.failed += other.failed;
        self.cut += other.cut;
        other.time.iter().for_each(|more| merge_into(&mut self.time, more.clone()));
    }
}

/// Which requests are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendingKey {
    /// Index of the step.
    pub step: u16,
    /// The phase its iteration was due in.
    pub phase: Phase,
    /// The stage its iteration was due in.
    pub stage: Option<u16>,
}

/// Requests in flight at the end of a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// How long since they were due: one that has outlived a threshold is already bad for it.
    pub since_due: Distribution,
    /// How long since they were sent, for those that were.
    pub since_sent: Distribution,
}

/// What went wrong, in words, once for many requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSample {
    /// The kind.
    pub outcome: Outcome,
    /// Index of the step.
    pub step: u16,
    /// The message, secrets already taken out.
    pub message: String,
    /// How many requests it stands for.
    pub count: u64,
    /// When it was first seen, nanoseconds from the start.
    pub first: u64,
    /// When it was last seen.
    pub last: u64,
}

impl Frame {
    /// An empty second.
    pub fn new(second: u64) -> Self {
        Self { second, ..Self::default() }
    }

    /// Takes in a later second: everything that is counted is added, requests in flight are those at its end, and
    /// of what went wrong in words there is as much as a second has.
    ///
    /// Nothing that can be counted is lost by it; in which second it happened is.
    pub fn absorb(&mut self, later: &Self) {
        merge_all(&mut self.series, &later.series, Series::merge);
        merge_all(&mut self.iterations, &later.iterations, IterationSeries::merge);
        merge_all(&mut self.groups, &later.groups, GroupSeries::merge);
        merge_all(&mut self.checks, &later.checks, CheckSeries::merge);
        merge_all(&mut self.addresses, &later.addresses, AddressSeries::merge);
        merge_all(&mut self.values, &later.values, ValueSeries::merge);
        merge_all(&mut self.kept, &later.kept, Kept::merge);
        self.pending.clone_from(&later.pending);
        self.reconnects += later.reconnects;
        self.connections.merge(&later.connections);
        self.overflowed_series = self.overflowed_series.max(later.overflowed_series);
        for error in &later.errors {
            self.absorb_words(error);
        }
    }

    fn absorb_words(&mut self, error: &ErrorSample) {
        let same = |known: &&mut ErrorSample| {
            (known.outcome, known.step) == (error.outcome, error.step) && known.message == error.message
        };
        let has_room = self.errors.len() < MESSAGES_PER_SECOND;
        match self.errors.iter_mut().find(same) {
            Some(known) => {
                known.count += error.count;
                known.first = known.first.min(error.first);
                known.last = known.last.max(error.last);
            }
            None if has_room => self.errors.push(error.clone()),
            None => {}
        }
    }

    /// Requests in flight at its end.
    pub fn in_flight(&self) -> u64 {
        self.pending.values().map(|pending| pending.since_due.count()).sum()
    }

    /// Requests that ended, by a condition on their key.
    pub fn requests(&self, which: impl Fn(&SeriesKey) -> bool) -> u64 {
        self.series.iter().filter(|(key, _)| which(key)).map(|(_, series)| series.requests).sum()
    }
}

fn merge_all<K: Ord + Copy, V: Clone>(
    into: &mut BTreeMap<K, V>,
    more: &BTreeMap<K, V>,
    merge: impl Fn(&mut V, &V),
) {
    for (key, value) in more {
        match into.entry(*key) {
            Entry::Occupied(mut known) => merge(known.get_mut(), value),
            Entry::Vacant(new) => {
                new.insert(value.clone());
            }
        }
    }
}

pub(crate) fn merge_into(target: &mut Option<Distribution>, more: Distribution) {
    if more.is_empty() {
        return;
    }
    match target {
        Some(distribution) => distribution.merge(&more),
        None => *target = Some(more),
    }
}
