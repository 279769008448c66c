use std::collections::BTreeMap;

use plimsoll_measure::{Distribution, Edges, Frame, Outcome, SECOND, Timing};

use crate::{Second, Stretch};

/// The course of a run in a bounded number of points: one a second at first, wider ones as it goes on.
///
/// When it is full, neighbours merge in pairs, histograms and all, so quantiles of a wide point are
/// those of its requests and not an average. Whole runs of any length keep at most [`Timeline::POINTS`],
/// and their histograms are coarse: a course is drawn, not judged by, and what it occupies must neither be
/// much nor grow with the length of a run.
#[derive(Debug, Clone)]
pub struct Timeline {
    edges: Edges,
    width: u64,
    points: Vec<TimelinePoint>,
}

/// A stretch of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelinePoint {
    /// Its first second.
    pub second: u64,
    /// How many seconds it spans, the last point's until now.
    pub seconds: u64,
    /// Sum over its seconds of the rate asked for; divide by `seconds`.
    pub offered: f64,
    /// Arrivals due.
    pub arrivals: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Those of them whose kind is known, by kind; kinds of which there are none are not in it.
    pub kinds: BTreeMap<Outcome, u64>,
    /// Arrivals dropped.
    pub dropped: u64,
    /// Most in flight at the end of one of its seconds.
    pub in_flight: u64,
    /// Most virtual users at the end of one of its seconds.
    pub users: u64,
    /// Response times of what counts for latency, all phases; quantiles are up to 1.6% too high.
    pub response_time: Distribution,
}

/// Buckets of the course are 2^-6 of their value wide: 1.6%, less than a pixel shows.
pub(crate) const BITS: u32 = 6;

impl Timeline {
    /// The most points kept.
    pub const POINTS: usize = 300;

    /// Nothing yet.
    pub fn new(edges: Edges) -> Self {
        Self { edges, width: 1, points: Vec::new() }
    }

    /// The points so far, in order.
    pub fn points(&self) -> &[TimelinePoint] {
        &self.points
    }

    /// Adds a second.
    pub fn add(&mut self, second: &Second) {
        self.take(TimelinePoint::of_second(second, &self.edges));
    }

    /// Adds seconds that are told as one.
    pub fn add_stretch(&mut self, stretch: &Stretch) {
        self.take(TimelinePoint::of_stretch(stretch, &self.edges));
    }

    fn take(&mut self, point: TimelinePoint) {
        append(&mut self.points, self.width, point);
        if self.points.len() > Self::POINTS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.width *= 2;
        let mut halved: Vec<TimelinePoint> = Vec::with_capacity(Self::POINTS);
        for point in self.points.drain(..) {
            append(&mut halved, self.width, point);
        }
        self.points = halved;
    }
}

/// Puts a point behind others: into the last of them where both begin in the same slot of this width. A point that
/// is wider than a slot stands by itself.
fn append(points: &mut Vec<TimelinePoint>, width: u64, point: TimelinePoint) {
    let slot = |second: u64| second - second % width;
    let start = slot(point.second);
    match points.last_mut() {
        Some(last) if slot(last.second) == start => last.absorb(&point),
        last => {
            let start = start.max(last.map_or(0, |last| last.second + last.seconds));
            let seconds = point.second - start.min(point.second) + point.seconds;
            points.push(TimelinePoint { second: start.min(point.second), seconds, ..point });
        }
    }
}

impl TimelinePoint {
    /// Of one second; its histogram counts at `edges`.
    pub(crate) fn of_second(second: &Second, edges: &Edges) -> Self {
        let (users, in_flight) = (second.gauges.virtual_users, second.frame.in_flight());
        Self { offered: second.gauges.offered_rate, users, in_flight, ..point(&second.frame, 1, edges) }
    }

    /// Of a stretch.
    pub(crate) fn of_stretch(stretch: &Stretch, edges: &Edges) -> Self {
        let levels = &stretch.levels;
        Self {
            offered: levels.offered_rate.sum,
            users: levels.virtual_users.most as u64,
            in_flight: levels.in_flight.most as u64,
            ..point(&stretch.frame, stretch.seconds, edges)
        }
    }

    pub(crate) fn absorb(&mut self, next: &Self) {
        self.seconds = next.second + next.seconds - self.second;
        self.offered += next.offered;
        self.arrivals += next.arrivals;
        self.requests += next.requests;
        self.succeeded += next.succeeded;
        self.failed += next.failed;
        next.kinds.iter().for_each(|(kind, count)| *self.kinds.entry(*kind).or_default() += count);
        self.dropped += next.dropped;
        self.in_flight = self.in_flight.max(next.in_flight);
        self.users = self.users.max(next.users);
        self.response_time.merge(&next.response_time);
    }

    /// Failed requests by kind; `None` where the kind of some is not known, as a course that an older version recorded
    /// has no kinds.
    pub fn failures(&self) -> Option<&BTreeMap<Outcome, u64>> {
        let known = self.kinds.values().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        (known == Some(self.failed)).then_some(&self.kinds)
    }

    /// Its middle, in seconds from the start.
    pub fn middle(&self) -> f64 {
        self.second as f64 + self.seconds as f64 / 2.0
    }

    /// A count of it as a rate per second.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds as f64
    }
}

fn point(frame: &Frame, seconds: u64, edges: &Edges) -> TimelinePoint {
    let mut response_time = Distribution::empty(edges.clone());
    let counted = frame.series.iter().filter(|(key, _)| key.outcome.counts_for_latency());
    counted
        .filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime))
        .for_each(|times| response_time.merge(times));
    let mut kinds = BTreeMap::new();
    let failed = frame.series.iter().filter(|(key, series)| key.outcome.is_failure() && series.requests > 0);
    failed.for_each(|(key, series)| *kinds.entry(key.outcome).or_default() += series.requests);
    TimelinePoint {
        second: frame.second,
        seconds,
        offered: 0.0,
        arrivals: frame.iterations.values().map(|series| series.arrivals).sum(),
        requests: frame.requests(|_| true),
        succeeded: frame.requests(|key| key.outcome.is_success()),
        failed: kinds.values().sum(),
        kinds,
        dropped: frame
            .iterations
            .values()
            .map(|series| series.dropped_in_flight_limit + series.dropped_generator)
            .sum(),
        in_flight: 0,
        users: 0,
        response_time: response_time.coarse(BITS),
    }
}

/// Whole seconds in an offset of nanoseconds.
pub(crate) fn whole_seconds(nanos: u64) -> u64 {
    nanos / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gauges;
    use plimsoll_measure::Vitals;

    #[test]
    fn any_length_fits_and_nothing_is_lost() {
        let mut timeline = Timeline::new(Edges::default());
        for number in 0..5000 {
            let gauges = Gauges { offered_rate: 2.0, virtual_users: number, ..Gauges::default() };
            let frame = Frame::new(number);
            timeline.add(&Second {
                frame,
                gauges,
                vitals: Vitals::default(),
                resources: Vec::new(),
                wall_nanos: 0,
            });
            assert!(timeline.points().len() <= Timeline::POINTS);
        }
        let seconds: u64 = timeline.points().iter().map(|point| point.seconds).sum();
        let offered: f64 = timeline.points().iter().map(|point| point.offered).sum();
        assert_eq!((seconds, offered), (5000, 10_000.0));
        assert_eq!(timeline.points().last().unwrap().users, 4999);
        assert!(timeline.points().windows(2).all(|pair| pair[0].second + pair[0].seconds == pair[1].second));
    }
}
