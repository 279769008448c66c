//! What an objective looks at, summed: one second of it, or many.
//!
//! A window adds the second that came and takes away the one that left, so its cost does not
//! depend on its length. Counts and sums are integers: adding and taking away is exact.

use plimsoll_measure::{
    Distribution, Edges, Frame, IterationKey, Outcome, PendingKey, Phase, SeriesKey, Timing, ValueKey,
};
use plimsoll_units::Quantile;

use crate::{Filter, Measure, OwnValue};

/// The requests and arrivals an objective is about. Only measured phases ever belong to it.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    filter: Filter,
    stages: Stages,
}

/// Which stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stages {
    All,
    Only(u16),
    /// Those behind the one that is the reference.
    After(u16),
}

impl Stages {
    pub(crate) fn contains(self, stage: Option<u16>) -> bool {
        match (self, stage) {
            (Self::All, _) => true,
            (Self::Only(only), Some(stage)) => stage == only,
            (Self::After(reference), Some(stage)) => stage > reference,
            (Self::Only(_) | Self::After(_), None) => false,
        }
    }
}

impl Selection {
    /// The requests of `filter` that belong to `stages`.
    pub(crate) fn new(filter: &Filter, stages: Stages) -> Self {
        Self { filter: filter.clone(), stages }
    }

    pub(crate) fn stages(&self) -> Stages {
        self.stages
    }

    fn step(&self, step: u16, phase: Phase, stage: Option<u16>) -> bool {
        phase.is_measured()
            && self.filter.steps.as_ref().is_none_or(|steps| steps.contains(&step))
            && self.stages.contains(stage)
    }

    /// Whether requests that are counted together for want of room might belong to it: it cannot be
    /// known of a selection of some steps or stages. One of all requests has them as they are.
    fn might_have(&self, key: &SeriesKey) -> bool {
        key.is_overflow() && key.phase.is_measured() && self.is_narrow()
    }

    fn is_narrow(&self) -> bool {
        self.filter.steps.is_some() || self.stages != Stages::All
    }

    fn values(&self, key: &ValueKey) -> bool {
        self.step(key.step, key.phase, key.stage)
    }

    fn series(&self, key: &SeriesKey) -> bool {
        self.step(key.step, key.phase, key.stage)
    }

    fn pending(&self, key: &PendingKey) -> bool {
        self.step(key.step, key.phase, key.stage)
    }

    fn iterations(&self, key: &IterationKey) -> bool {
        key.phase.is_measured()
            && self.filter.scenarios.as_ref().is_none_or(|scenarios| scenarios.contains(&key.scenario))
            && self.stages.contains(key.stage)
    }
}

/// Whole numbers of a second, a window or a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) arrivals: u64,
    /// Of either cause.
    pub(crate) dropped: u64,
    pub(crate) iterations: u64,
    pub(crate) iterations_cut: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) cut: u64,
    pub(crate) received_bytes: u64,
    /// Requests of which nobody knows whether they belong to the selection.
    pub(crate) unplaced: u64,
    /// Of a value of the plan's own: replies that had it.
    pub(crate) taken: u64,
    /// Replies that had none.
    pub(crate) absent: u64,
    /// Replies that had one beyond what is counted.
    pub(crate) out_of_range: u64,
    /// The sum of a counter, how many of a ratio are the one that is looked for.
    pub(crate) total: u64,
    /// Of a figure that scores requests by their time: the sum of their scores, see [`Score`].
    pub(crate) scored: u64,
    /// Requests that were cut after they had outlived every score.
    pub(crate) expired: u64,
    /// Requests that ended without a reply to take it from: nobody knows what it would have been.
    pub(crate) unanswered: u64,
}

impl Counts {
    /// Requests that ended, and those that were cut.
    pub(crate) fn requests(&self) -> u64 {
        self.succeeded + self.failed + self.cut
    }

    fn apply(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        change(&mut self.arrivals, other.arrivals);
        change(&mut self.dropped, other.dropped);
        change(&mut self.iterations, other.iterations);
        change(&mut self.iterations_cut, other.iterations_cut);
        change(&mut self.succeeded, other.succeeded);
        change(&mut self.failed, other.failed);
        change(&mut self.cut, other.cut);
        change(&mut self.received_bytes, other.received_bytes);
        change(&mut self.unplaced, other.unplaced);
        change(&mut self.taken, other.taken);
        change(&mut self.absent, other.absent);
        change(&mut self.out_of_range, other.out_of_range);
        change(&mut self.total, other.total);
        change(&mut self.scored, other.scored);
        change(&mut self.expired, other.expired);
        change(&mut self.unanswered, other.unanswered);
    }
}

/// What requests that succeeded score by how long they took; all others score nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Score {
    /// What one scores at most.
    pub(crate) full: u64,
    /// (longest time in nanoseconds, what it adds to the score), ascending; together they add [`Self::full`].
    steps: [(u64, u64); 2],
}

impl Score {
    /// What a figure scores, where it does.
    pub(crate) fn of(measure: Measure) -> Option<Self> {
        match measure {
            Measure::Within(_, nanos) => Some(Self { full: 1, steps: [(nanos, 1), (nanos, 0)] }),
            Measure::Apdex(_, nanos) => Some(Self { full: 2, steps: [(nanos, 1), (4 * nanos, 1)] }),
            _ => None,
        }
    }

    fn sum(self, succeeded: &Distribution) -> u64 {
        self.steps.iter().map(|(nanos, score)| score * succeeded.at_or_below(*nanos)).sum()
    }

    /// How many have waited longer than anything that scores.
    pub(crate) fn expired(self, waited: &Distribution) -> u64 {
        let [_, (longest, _)] = self.steps;
        waited.count() - waited.at_or_below(longest)
    }
}

/// One second of what an objective looks at.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    pub(crate) counts: Counts,
    /// Of requests that belong to the latency figures; or the values of the plan's own, in ticks.
    pub(crate) latency: Distribution,
    /// How long cut requests had waited when they were cut.
    pub(crate) waited: Distribution,
}

impl Second {
    pub(crate) fn empty(edges: &Edges) -> Self {
        let nothing = Distribution::empty(edges.clone());
        Self { counts: Counts::default(), latency: nothing.clone(), waited: nothing }
    }

    /// What of a frame belongs to the selection; durations or values only of `measure`.
    pub(crate) fn of(frame: &Frame, selection: &Selection, measure: Measure, edges: &Edges) -> Self {
        let (timing, score) = (measure.timing(), Score::of(measure));
        let mut second = Self::empty(edges);
        let counts = &mut second.counts;
        for (key, series) in frame.series.iter().filter(|(key, _)| selection.series(key)) {
            counts.received_bytes += series.received_bytes;
            match key.outcome {
                Outcome::Cut => counts.cut += series.requests,
                outcome if outcome.is_success() => counts.succeeded += series.requests,
                _ => counts.failed += series.requests,
            }
            let durations = timing.and_then(|timing| series.timings.get(&timing));
            if let Some((score, durations)) = score.zip(durations) {
                match key.outcome {
                    Outcome::Cut => counts.expired += score.expired(durations),
                    outcome if outcome.is_success() => counts.scored += score.sum(durations),
                    _ => {}
                }
            }
            match durations {
                Some(durations) if key.outcome == Outcome::Cut => second.waited.merge(durations),
                Some(durations) if key.outcome.counts_for_latency() => second.latency.merge(durations),
                _ => {}
            }
        }
        let overflow = frame.series.iter().filter(|(key, _)| selection.might_have(key));
        counts.unplaced = overflow.map(|(_, series)| series.requests).sum();
        for (_, series) in frame.iterations.iter().filter(|(key, _)| selection.iterations(key)) {
            counts.arrivals += series.arrivals;
            counts.dropped += series.dropped_in_flight_limit + series.dropped_generator;
            counts.iterations += series.ended;
            counts.iterations_cut += series.cut;
        }
        if let Some(value) = measure.own() {
            second.take_values(frame, selection, value);
        }
        second
    }

    /// Adds the values of the plan's own, and how many requests had no reply to take one from. A redirect
    /// that was followed is not looked at: the value is in the reply it leads to.
    fn take_values(&mut self, frame: &Frame, selection: &Selection, value: OwnValue) {
        let of_value = || frame.values.iter().filter(|(key, _)| key.value == value.index);
        for (_, series) in of_value().filter(|(key, _)| selection.values(key)) {
            self.counts.taken += series.taken;
            self.counts.absent += series.absent;
            self.counts.out_of_range += series.out_of_range;
            self.counts.total = self.counts.total.saturating_add(series.total);
            series.values.iter().for_each(|values| self.latency.merge(values));
        }
        let ended = frame.requests(|key| {
            selection.series(key) && !matches!(key.outcome, Outcome::Redirect | Outcome::Cut)
        });
        let replies = self.counts.taken + self.counts.absent + self.counts.out_of_range;
        self.counts.unanswered = ended.saturating_sub(replies);
        let beyond = |key: &ValueKey| key.is_overflow() && key.phase.is_measured() && selection.is_narrow();
        let unplaced = of_value().filter(|(key, _)| beyond(key)).map(|(_, series)| series.replies()).sum();
        self.counts.unplaced = self.counts.unplaced.max(unplaced);
    }
}

/// Requests in flight at the end of a second.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// How many.
    pub(crate) requests: u64,
    /// How long they had waited, where that says something about the timing that is looked at.
    pub(crate) waited: Distribution,
}

impl Waiting {
    pub(crate) fn nobody(edges: &Edges) -> Self {
        Self { requests: 0, waited: Distribution::empty(edges.clone()) }
    }

    pub(crate) fn of(frame: &Frame, selection: &Selection, timing: Option<Timing>, edges: &Edges) -> Self {
        let mut waiting = Self::nobody(edges);
        for (_, pending) in frame.pending.iter().filter(|(key, _)| selection.pending(key)) {
            waiting.requests += pending.since_due.count();
            match timing {
                Some(Timing::ResponseTime) => waiting.waited.merge(&pending.since_due),
                Some(Timing::ServiceTime) => waiting.waited.merge(&pending.since_sent),
                _ => {}
            }
        }
        waiting
    }
}

/// Many seconds of what an objective looks at.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    pub(crate) counts: Counts,
    pub(crate) latency: Durations,
    pub(crate) waited: Durations,
}

impl Sum {
    /// Nothing; durations at or below `threshold` nanoseconds will be counted apart.
    pub(crate) fn new(threshold: Option<u64>) -> Self {
        let durations = Durations { threshold, ..Durations::default() };
        Self { counts: Counts::default(), latency: durations.clone(), waited: durations }
    }

    pub(crate) fn add(&mut self, second: &Second) {
        self.counts.apply(&second.counts, |mine, theirs| *mine += theirs);
        self.latency.add(&second.latency);
        self.waited.add(&second.waited);
    }

    /// Takes away a second that was added. The extremes of what is left are the caller's to set,
    /// from the seconds that are left: they alone cannot be subtracted.
    pub(crate) fn take_away<'a>(&mut self, second: &Second, left: impl Iterator<Item = &'a Second> + Clone) {
        self.counts.apply(&second.counts, |mine, theirs| *mine -= theirs);
        self.latency.take_away(&second.latency, left.clone().map(|second| &second.latency));
        self.waited.take_away(&second.waited, left.map(|second| &second.waited));
    }

    /// Outcomes nobody knows: arrivals that were dropped, requests that were cut, requests that may
    /// belong here or not, and those without a reply to take a value from. A dropped arrival stands for
    /// one request.
    pub(crate) fn unknown(&self) -> u64 {
        self.counts.dropped + self.counts.cut + self.counts.unplaced + self.counts.unanswered
    }
}

/// (highest value of a bucket in nanoseconds, count), ascending.
pub(crate) type Buckets = Vec<(u64, u64)>;

/// Durations in nanoseconds, counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durations {
    threshold: Option<u64>,
    pub(crate) count: u64,
    /// At or below the threshold.
    pub(crate) within: u64,
    pub(crate) sum: u128,
    extremes: Option<(u64, u64)>,
    /// (highest value of the bucket, count), ascending, counts above zero.
    buckets: Buckets,
}

impl Durations {
    fn add(&mut self, more: &Distribution) {
        self.count += more.count();
        self.within += self.threshold.map_or(0, |threshold| more.at_or_below(threshold));
        self.sum += more.sum();
        self.extremes = wider(self.extremes, extremes(more));
        add_buckets(&mut self.buckets, more.buckets());
    }

    fn take_away<'a>(&mut self, less: &Distribution, left: impl Iterator<Item = &'a Distribution>) {
        if less.is_empty() {
            return;
        }
        self.count -= less.count();
        self.within -= self.threshold.map_or(0, |threshold| less.at_or_below(threshold));
        self.sum -= less.sum();
        let mut held = self.buckets.iter_mut();
        for (value, count) in less.buckets() {
            if let Some((_, held)) = held.find(|(held, _)| held == value) {
                *held -= count;
            }
        }
        self.buckets.retain(|(_, count)| *count > 0);
        self.extremes = left.map(extremes).fold(None, wider);
    }

    /// Longer than the threshold.
    pub(crate) fn beyond(&self) -> u64 {
        self.count - self.within
    }

    pub(crate) fn max(&self) -> Option<u64> {
        self.extremes.map(|(_, max)| max)
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The quantile's value among these durations and `longer` ones (bucket, count), in nanoseconds.
    /// `None` with fewer values than the quantile needs.
    pub(crate) fn quantile(&self, quantile: Quantile, longer: &[(u64, u64)]) -> Option<u64> {
        let count = self.count + longer.iter().map(|(_, count)| count).sum::<u64>();
        if count < quantile.fewest() {
            return None;
        }
        let value = self.ranked(quantile.rank(count), longer)?;
        let (min, max) = self.extremes.unwrap_or((0, u64::MAX));
        // A bucket is named by its highest value, which may lie beyond the longest duration.
        Some(if longer.is_empty() { value.clamp(min, max) } else { value.max(min) })
    }

    /// The value of a rank from 1, in the order of all buckets; `None` beyond the last.
    pub(crate) fn ranked(&self, rank: u64, more: &[(u64, u64)]) -> Option<u64> {
        let (mut mine, mut theirs) = (self.buckets.iter().peekable(), more.iter().peekable());
        let mut seen = 0;
        loop {
            let next = match (mine.peek(), theirs.peek()) {
                (Some((a, _)), Some((b, _))) if a > b => theirs.next(),
                (Some(_), _) => mine.next(),
                (None, _) => theirs.next(),
            };
            let (value, count) = next?;
            seen += count;
            if seen >= rank {
                return Some(*value);
            }
        }
    }

    /// Buckets longer than the threshold.
    pub(crate) fn longer(&self) -> Buckets {
        let threshold = self.threshold.unwrap_or(u64::MAX);
        self.buckets.iter().filter(|(value, _)| *value > threshold).copied().collect()
    }

    pub(crate) fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }
}

/// Adds counts to those held; both ascending. In a steady run every bucket is already there.
pub(crate) fn add_buckets<'a>(held: &mut Buckets, more: impl IntoIterator<Item = &'a (u64, u64)>) {
    let mut fresh = Vec::new();
    let mut at = 0;
    for &(value, count) in more {
        while held.get(at).is_some_and(|(held, _)| *held < value) {
            at += 1;
        }
        match held.get_mut(at) {
            Some((held, total)) if *held == value => *total += count,
            _ => fresh.push((value, count)),
        }
    }
    if !fresh.is_empty() {
        held.append(&mut fresh);
        // Two ascending runs, which a stable sort merges in linear time.
        held.sort_by_key(|(value, _)| *value);
    }
}

fn extremes(of: &Distribution) -> Option<(u64, u64)> {
    of.min().zip(of.max())
}

fn wider(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some((min, max)), Some((other_min, other_max))) => Some((min.min(other_min), max.max(other_max))),
        (one, other) => one.or(other),
    }
}
