//! What the course of a resource says: whether it leaks, where it was unusual, and whether latency went with it.
//!
//! Only the measured part of the stages is looked at, and of it the time in which the load was about the same: a target
//! that has more to do uses more, which is neither a leak nor unusual nor news.

use std::ops::Range;
use std::sync::Arc;

use plimsoll_sla::ResourceName;
use plimsoll_stats::{
    Anomaly, Leak, LeakFloor, LeakVerdict, Point, anomalies, at_like_load, correlations, leak,
};
use plimsoll_units::Quantile;

use crate::{ResourceFigure, ResourceSummary, ResourceUnit, TimelinePoint, leaks};

/// The most figures of a run that are looked at; those of known names first.
const MOST: usize = 48;
/// The most of them that are held against latency: each costs 21 lags, and the more there are the surer each must be.
const MOST_PAIRS: usize = 16;
/// A quantile of fewer requests says little of a moment.
const ENOUGH: u64 = 20;
/// Growth over a run below both is none: what an allocator keeps for itself, a few connections more.
const FLOOR_BYTES: LeakFloor = LeakFloor { amount: 1_048_576.0, share: 0.01 };
const FLOOR_COUNT: LeakFloor = LeakFloor { amount: 5.0, share: 0.01 };

/// What is said of one figure of a resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceFindings {
    /// Whether it grows without end; `None` where that is not asked, as of rates, shares and what is left of something.
    pub leak: Option<Leak>,
    /// How much a leak grows per request of the run, in the figure's unit.
    pub per_request: Option<f64>,
    /// When it was unusual; `None` where too little is known for that.
    pub anomalies: Option<Vec<Anomaly>>,
    /// How response time went with it; `None` where it did not, as far as is known.
    pub latency: Option<LatencyCorrelation>,
}

/// How the p95 of response time goes with a resource. It does not say that one is the other's cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyCorrelation {
    /// Spearman's coefficient of both without their trends, -1 to 1.
    pub rho: f64,
    /// How many seconds later latency does it; negative where it is ahead.
    pub lag: f64,
    /// How many independent moments that is worth.
    pub effective: f64,
    /// How likely so much would be by chance among all that was looked at, 0 to 1.
    pub p: f64,
}

/// The course of a figure: seconds from the start and the mean there, where there was any.
pub(crate) type Course = Vec<(f64, Option<f64>)>;

/// The run that resources are looked at beside.
pub(crate) struct Beside<'a> {
    points: &'a [TimelinePoint],
    measured: Range<f64>,
    promised: Vec<ResourceName>,
}

impl<'a> Beside<'a> {
    /// `measured` is in seconds from the start; what is `promised` not to leak is looked at before all else.
    pub(crate) fn new(
        points: &'a [TimelinePoint],
        measured: Range<f64>,
        promised: Vec<ResourceName>,
    ) -> Self {
        Self { points, measured, promised }
    }

    /// Puts into each figure what its course (finer than the one that is drawn) says.
    pub(crate) fn find(&self, figures: &mut [ResourceSummary], courses: &[Course]) {
        let mut chosen: Vec<usize> = (0..figures.len()).filter(|index| figures[*index].count > 0).collect();
        let rank = |figure: &ResourceSummary| {
            let known = ResourceFigure::KNOWN.iter().position(|known| *known == &*figure.name);
            let promised = self.promised.iter().any(|name| leaks::may_mean(name, figure));
            (!promised, known.unwrap_or(usize::MAX), figure.name.contains('{'))
        };
        chosen.sort_by_key(|index| rank(&figures[*index]));
        chosen.truncate(MOST);
        for index in &chosen {
            let points = self.like(&courses[*index]);
            let limit = limit(figures, *index);
            let figure = &mut figures[*index];
            figure.findings.anomalies = anomalies(&points);
            figure.findings.leak = floor(figure).map(|floor| leak(&points, floor, limit));
            figure.findings.per_request = figure.findings.leak.and_then(|leak| self.per_request(&leak));
        }
        chosen.truncate(MOST_PAIRS);
        for (index, correlation) in self.with_latency(&chosen, courses) {
            figures[index].findings.latency = Some(correlation);
        }
    }

    fn is_measured(&self, point: &TimelinePoint) -> bool {
        self.measured.contains(&point.middle())
    }

    /// Its values in the measured part, where the load was about the same.
    fn like(&self, course: &Course) -> Vec<Point> {
        let measured = course.iter().filter(|(at, _)| self.measured.contains(at));
        let points: Vec<Point> =
            measured.filter_map(|(at, value)| Some(Point { at: *at, value: (*value)? })).collect();
        let loads: Vec<f64> = points.iter().map(|point| self.at(point.at).map_or(f64::NAN, load)).collect();
        at_like_load(&points, &loads)
    }

    /// The stretch of the run that has this moment.
    fn at(&self, seconds: f64) -> Option<&TimelinePoint> {
        let after = self.points.partition_point(|point| point.second as f64 <= seconds);
        let point = self.points.get(after.checked_sub(1)?)?;
        (seconds < (point.second + point.seconds) as f64).then_some(point)
    }

    fn per_request(&self, leak: &Leak) -> Option<f64> {
        let grows = matches!(leak.verdict, LeakVerdict::Suspected | LeakVerdict::Leak);
        let slope = leak.trend.filter(|_| grows)?.slope;
        let measured = || self.points.iter().filter(|point| self.is_measured(point));
        let (requests, seconds) = measured()
            .fold((0, 0), |(requests, seconds), point| (requests + point.requests, seconds + point.seconds));
        (requests > 0).then(|| slope * seconds as f64 / requests as f64)
    }

    /// Those of the chosen figures that latency goes with.
    fn with_latency(&self, chosen: &[usize], courses: &[Course]) -> Vec<(usize, LatencyCorrelation)> {
        let Some(width) = self.points.iter().map(|point| point.seconds).max() else { return Vec::new() };
        let mut usual: Vec<f64> =
            self.points.iter().filter(|point| self.is_measured(point)).map(load).collect();
        usual.sort_by(f64::total_cmp);
        let usual = usual.get(usual.len() / 2).copied().unwrap_or_default();
        // Load drives both: without this, every resource would go with latency.
        let is_like =
            |point: &TimelinePoint| self.is_measured(point) && (load(point) - usual).abs() <= 0.1 * usual;
        let latency = |point: &TimelinePoint| {
            let enough = is_like(point) && point.response_time.count() >= ENOUGH;
            let nanos = point.response_time.quantile(Quantile::P95).filter(|_| enough);
            nanos.map_or(f64::NAN, |nanos| nanos as f64)
        };
        let latency: Vec<f64> = self.points.iter().map(latency).collect();
        let resources: Vec<Vec<f64>> = chosen.iter().map(|index| self.by_point(&courses[*index])).collect();
        let pairs: Vec<(&[f64], &[f64])> = resources.iter().map(|one| (&one[..], &latency[..])).collect();
        let found = correlations(&pairs).into_iter().map(|found| {
            let lag = found.lag as f64 * width as f64;
            let (rho, effective, p) = (found.rho, found.effective, found.p);
            (chosen[found.pair], LatencyCorrelation { rho, lag, effective, p })
        });
        found.collect()
    }

    /// A course by the points of the run: the mean of what falls into each.
    fn by_point(&self, course: &Course) -> Vec<f64> {
        let mut values = course.iter().filter_map(|(at, value)| Some((*at, (*value)?))).peekable();
        let mean = |point: &TimelinePoint| {
            let (start, end) = (point.second as f64, (point.second + point.seconds) as f64);
            while values.next_if(|(at, _)| *at < start).is_some() {}
            let (mut sum, mut count) = (0.0, 0.0);
            while let Some((_, value)) = values.next_if(|(at, _)| *at < end) {
                sum += value;
                count += 1.0;
            }
            // Of nothing: no number, which is a gap.
            sum / count
        };
        self.points.iter().map(mean).collect()
    }
}

/// What is offered in a stretch of a run: arrivals per second, or users where there are none.
fn load(point: &TimelinePoint) -> f64 {
    if point.offered > 0.0 { point.offered / point.seconds as f64 } else { point.users as f64 }
}

/// What its growth must reach to be a leak; `None` of what cannot leak.
fn floor(figure: &ResourceSummary) -> Option<LeakFloor> {
    match figure.unit {
        _ if &*figure.name == "memory_available" => None,
        ResourceUnit::Bytes => Some(FLOOR_BYTES),
        ResourceUnit::Count => Some(FLOOR_COUNT),
        ResourceUnit::Cores
        | ResourceUnit::Ratio
        | ResourceUnit::Seconds
        | ResourceUnit::PerSecond
        | ResourceUnit::BytesPerSecond => None,
    }
}

/// Where its growth must end: the memory of a machine is what is used and what is available.
fn limit(figures: &[ResourceSummary], index: usize) -> Option<f64> {
    let figure = &figures[index];
    let is_rest = |other: &&ResourceSummary| {
        Arc::ptr_eq(&other.source, &figure.source) || other.source == figure.source
    };
    let rest = figures.iter().filter(is_rest).find(|other| &*other.name == "memory_available");
    let rest = rest.filter(|_| &*figure.name == "memory")?;
    Some(figure.mean? + rest.mean?)
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::{Distribution, Edges, Histogram};

    use super::*;

    fn histogram(edges: &Edges, millis: u64) -> Distribution {
        let mut histogram = Histogram::new(edges.clone());
        (0..50).for_each(|_| histogram.record(millis * 1_000_000));
        histogram.distribution()
    }

    /// A run at 100/s after a ramp of a minute, with so long answers.
    fn timeline(seconds: u64, millis: impl Fn(u64) -> u64) -> Vec<TimelinePoint> {
        let edges = Edges::with_thresholds([]);
        let point = |second: u64| TimelinePoint {
            second,
            seconds: 1,
            offered: (second as f64 / 60.0).min(1.0) * 100.0,
            arrivals: 100,
            requests: 100,
            succeeded: 100,
            failed: 0,
            kinds: std::collections::BTreeMap::new(),
            dropped: 0,
            in_flight: 0,
            users: 0,
            response_time: histogram(&edges, millis(second)),
        };
        (0..seconds).map(point).collect()
    }

    fn figure(name: &str, unit: ResourceUnit) -> ResourceSummary {
        let (source, name) = ("shop".into(), name.into());
        let course = Vec::new();
        let findings = ResourceFindings::default();
        ResourceSummary { source, name, unit, count: 9, mean: Some(1e8), peak: Some(1e8), course, findings }
    }

    fn course(seconds: u64, value: impl Fn(u64) -> f64) -> Course {
        (0..seconds).map(|second| (second as f64 + 0.5, Some(value(second)))).collect()
    }

    /// What cannot be foretold, the same each time: -0.5 to 0.5.
    fn chance(second: u64) -> f64 {
        (second.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    }

    fn find(name: &str, unit: ResourceUnit, value: impl Fn(u64) -> f64) -> ResourceFindings {
        let points = timeline(600, |_| 20);
        let mut figures = [figure(name, unit)];
        Beside::new(&points, 0.0..600.0, Vec::new()).find(&mut figures, &[course(600, value)]);
        figures[0].findings.clone()
    }

    #[test]
    fn memory_that_grows_at_like_load_leaks_so_much_per_request() {
        let found =
            find("memory", ResourceUnit::Bytes, |second| 1e8 + 5e4 * second as f64 + 1e5 * chance(second));
        assert_eq!(found.leak.map(|leak| leak.verdict), Some(LeakVerdict::Leak), "{found:?}");
        assert!((found.per_request.unwrap() - 500.0).abs() < 20.0, "{found:?}");
    }

    #[test]
    fn what_follows_the_load_is_no_leak_and_not_unusual() {
        let follows = |second: u64| 1e8 + 1e6 * (second as f64).min(60.0) + 1e5 * chance(second);
        let found = find("memory", ResourceUnit::Bytes, follows);
        assert_eq!(found.leak.map(|leak| leak.verdict), Some(LeakVerdict::None), "{found:?}");
        assert_eq!((found.per_request, found.anomalies), (None, Some(Vec::new())));
    }

    #[test]
    fn rates_and_what_is_left_are_not_asked_for_leaks() {
        let grows = |second: u64| 1e8 + 1e6 * second as f64;
        for (name, unit) in [
            ("cpu", ResourceUnit::Cores),
            ("memory_available", ResourceUnit::Bytes),
            ("network_in", ResourceUnit::BytesPerSecond),
        ] {
            assert_eq!(find(name, unit, grows).leak, None, "{name}");
        }
        assert!(find("threads", ResourceUnit::Count, |second| (second / 10) as f64).leak.is_some());
    }

    #[test]
    fn a_pause_is_marked_and_latency_that_follows_it_is_told_with_its_lag() {
        let busy = |second: u64| chance(second / 3) > 0.1;
        let points = timeline(300, |second| if busy(second.saturating_sub(2)) { 60 } else { 20 });
        let mut figures = [figure("cpu", ResourceUnit::Cores), figure("flat", ResourceUnit::Cores)];
        let cpu = course(300, |second| if busy(second) { 2.0 } else { 1.0 } + 0.1 * chance(second));
        let flat = course(300, |_| 3.0);
        Beside::new(&points, 0.0..300.0, Vec::new()).find(&mut figures, &[cpu, flat]);
        let found = figures[0].findings.latency.unwrap();
        assert_eq!(found.lag, 2.0, "{found:?}");
        assert!(found.rho > 0.6 && found.p < 0.01, "{found:?}");
        assert_eq!(figures[1].findings.latency, None);
        let marked = find("cpu", ResourceUnit::Cores, |second| {
            if (300..320).contains(&second) { 5.0 } else { 1.0 + 0.1 * chance(second) }
        });
        assert_eq!(marked.anomalies.map(|marks| marks.len()), Some(1));
    }

    #[test]
    fn the_memory_of_a_machine_ends_where_all_is_used() {
        let figures =
            [figure("memory", ResourceUnit::Bytes), figure("memory_available", ResourceUnit::Bytes)];
        assert_eq!(limit(&figures, 0), Some(2e8));
        assert_eq!(limit(&figures, 1), None);
        assert_eq!(limit(&figures[..1], 0), None);
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let mut figures = [figure("memory", ResourceUnit::Bytes)];
        Beside::new(&[], 0.0..600.0, Vec::new()).find(&mut figures, &[Vec::new()]);
        let found = &figures[0].findings;
        assert_eq!(found.leak.map(|leak| leak.verdict), Some(LeakVerdict::TooShort));
        assert_eq!((found.anomalies.as_ref(), found.latency), (None, None));
    }
}
