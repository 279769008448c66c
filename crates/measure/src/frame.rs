use std::collections::BTreeMap;

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

    /// Requests in flight at its end.
    pub fn in_flight(&self) -> u64 {
        self.pending.values().map(|pending| pending.since_due.count()).sum()
    }

    /// Requests that ended, by a condition on their key.
    pub fn requests(&self, which: impl Fn(&SeriesKey) -> bool) -> u64 {
        self.series.iter().filter(|(key, _)| which(key)).map(|(_, series)| series.requests).sum()
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
