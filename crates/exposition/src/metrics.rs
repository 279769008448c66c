use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::SECOND;
use plimsoll_run::{ExportCount, RunEvent};

use crate::catalogue::{self, Kind, Metric};
use crate::{Change, Family, HistogramValue, Labels, Point, Reading, Readings, Value};

/// Every series of the process: the sum of what its runs measured.
///
/// Memory depends on how many series there are. Counters run on from run to run; levels of a run
/// are there while it lives, its verdicts until its plan runs again.
#[derive(Debug, Default)]
pub struct Metrics {
    runs: BTreeMap<String, Readings>,
    series: BTreeMap<&'static str, BTreeMap<Labels, Held>>,
}

#[derive(Debug)]
struct Held {
    value: Value,
    /// The beginning of the second that it first counted in.
    created_nanos: Option<i64>,
}

impl Metrics {
    /// Before the first run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds the next event of the run with this id. Events of a run whose start was not seen mean nothing.
    pub fn apply(&mut self, run: &str, event: &RunEvent) {
        if let RunEvent::Started(started) = event {
            let readings = Readings::new(Arc::clone(started));
            self.forget_verdicts(&started.shape.plan);
            self.runs.insert(run.to_owned(), readings);
        }
        let Some(readings) = self.runs.get_mut(run) else { return };
        let report = readings.read(event);
        if let Some(report) = report {
            let began = report.wall_nanos.saturating_sub(SECOND as i64);
            report.readings.into_iter().for_each(|reading| self.change(reading, began));
        }
        if matches!(event, RunEvent::Ended(_)) {
            self.runs.remove(run);
        }
    }

    /// So many series of a run were beyond the budget of a sink.
    pub fn overflowed(&mut self, sink: &str, series: u64) {
        let known = self.series.entry(catalogue::EXPORT_OVERFLOW_SERIES.name).or_default();
        known.insert(vec![sink.into()], Held { value: Value::Gauge(series as f64), created_nanos: None });
    }

    fn change(&mut self, reading: Reading, began: i64) {
        let counting = |value| Held { value, created_nanos: Some(began) };
        let series = self.series.entry(reading.metric.name).or_default();
        match reading.change {
            Change::Level(None) => {
                series.remove(&reading.labels);
            }
            Change::Level(Some(level)) => {
                series.insert(reading.labels, Held { value: Value::Gauge(level), created_nanos: None });
            }
            Change::Count(count) => {
                let held = series.entry(reading.labels).or_insert_with(|| counting(Value::Counter(0)));
                if let Value::Counter(sum) = &mut held.value {
                    *sum = sum.saturating_add(count);
                }
            }
            Change::Durations(more) => {
                let empty =
                    || counting(Value::Histogram(Box::new(HistogramValue::new(more.edges().clone()))));
                let held = series.entry(reading.labels).or_insert_with(empty);
                if let Value::Histogram(sum) = &mut held.value {
                    sum.add(&more);
                    reading.exemplars.into_iter().for_each(|exemplar| sum.show(exemplar));
                }
            }
        }
    }

    /// The last run's verdicts say nothing about the next one.
    fn forget_verdicts(&mut self, plan: &str) {
        for metric in [&catalogue::SLA_MET, &catalogue::SLA_OBSERVED, &catalogue::RUN_VALIDITY] {
            if let Some(series) = self.series.get_mut(metric.name) {
                series.retain(|labels, _| labels.first().is_none_or(|first| first.as_ref() != plan));
            }
        }
    }

    /// All series as they stand, with what became of exported points, in the order of the catalogue.
    pub fn families(&self, exports: &[ExportCount]) -> Vec<Family> {
        let points = |metric: &&'static Metric| match *metric {
            metric if metric == &catalogue::EXPORT_POINTS => exports.iter().flat_map(fates).collect(),
            metric if metric == &catalogue::EXPORT_BACKLOG => exports.iter().map(backlog).collect(),
            metric => self.points(metric),
        };
        catalogue::ALL
            .iter()
            .map(|metric| Family { metric, points: points(metric) })
            .filter(|family| !family.points.is_empty())
            .collect()
    }

    fn points(&self, metric: &Metric) -> Vec<Point> {
        debug_assert!(metric.kind != Kind::Info || metric.labels.contains(&"run"), "one info: the run's");
        let series = self.series.get(metric.name).into_iter().flatten();
        series
            .map(|(labels, held)| Point {
                labels: labels.clone(),
                value: held.value.clone(),
                created_nanos: held.created_nanos,
            })
            .collect()
    }
}

fn fates(count: &ExportCount) -> impl Iterator<Item = Point> {
    let fates = [("produced", count.produced), ("acknowledged", count.acknowledged), ("lost", count.lost)];
    fates.into_iter().map(|(fate, points)| {
        Point::new(vec![count.sink.as_str().into(), fate.into()], Value::Counter(points))
    })
}

fn backlog(count: &ExportCount) -> Point {
    Point::new(vec![count.sink.as_str().into()], Value::Gauge(count.backlog as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use plimsoll_sla::Verdict;

    fn value(metrics: &Metrics, metric: &Metric, labels: &str) -> Option<f64> {
        let families = metrics.families(&[]);
        let family = families.iter().find(|family| family.metric == metric)?;
        let point = family.points.iter().find(|point| point.labels.join(" ") == labels)?;
        Some(match &point.value {
            Value::Counter(count) => *count as f64,
            Value::Gauge(level) => *level,
            Value::Histogram(histogram) => histogram.count() as f64,
        })
    }

    #[test]
    fn counters_run_on_and_levels_end_with_the_run() {
        let mut metrics = Metrics::new();
        for run in ["first", "second"] {
            let mut fixture = Fixture::named(run);
            metrics.apply(run, &fixture.start_event());
            fixture.request(0, 0, Some(200), 1_000_000);
            metrics.apply(run, &fixture.second());
            assert_eq!(value(&metrics, &catalogue::RUN_INFO, &format!("shop {run} 1.4.2 ")), Some(1.0));
            assert_eq!(value(&metrics, &catalogue::OFFERED_RATE, "shop"), Some(500.0));
            metrics.apply(run, &fixture.end_event());
        }
        assert_eq!(value(&metrics, &catalogue::REQUESTS, "shop browse list measured ok 200"), Some(2.0));
        assert_eq!(value(&metrics, &catalogue::RESPONSE_TIME, "shop browse list measured ok"), Some(2.0));
        assert_eq!(value(&metrics, &catalogue::RUN_INFO, "shop second 1.4.2 "), None);
        assert_eq!(value(&metrics, &catalogue::OFFERED_RATE, "shop"), None);
        assert!(metrics.runs.is_empty());
    }

    #[test]
    fn what_counts_says_since_when() {
        let (mut metrics, mut fixture) = (Metrics::new(), Fixture::new());
        metrics.apply("run", &fixture.start_event());
        for _ in 0..2 {
            fixture.request(0, 0, Some(200), 1_000_000);
            metrics.apply("run", &fixture.second());
        }
        let families = metrics.families(&[]);
        let created = |metric: &Metric| {
            let family = families.iter().find(|family| family.metric == metric).unwrap();
            family.points[0].created_nanos
        };
        let beginning = Some(fixture.wall_nanos(0));
        assert_eq!(
            (created(&catalogue::REQUESTS), created(&catalogue::RESPONSE_TIME)),
            (beginning, beginning)
        );
        assert_eq!(created(&catalogue::OFFERED_RATE), None);
    }

    #[test]
    fn a_verdict_is_absent_while_undecided_and_is_the_last_word_afterwards() {
        let mut metrics = Metrics::new();
        let mut fixture = Fixture::named("first");
        metrics.apply("first", &fixture.start_event());
        let met = |metrics: &Metrics| value(metrics, &catalogue::SLA_MET, "shop quick pages");
        for (verdict, expected) in [
            (None, None),
            (Some(Verdict::Met), Some(1.0)),
            (Some(Verdict::Inconclusive), None),
            (Some(Verdict::Missed), Some(0.0)),
        ] {
            fixture.verdict(verdict);
            metrics.apply("first", &fixture.judged());
            assert_eq!(met(&metrics), expected);
        }
        metrics.apply("first", &fixture.end_event());
        assert_eq!(met(&metrics), Some(0.0));
        metrics.apply("second", &Fixture::named("second").start_event());
        assert_eq!(met(&metrics), None, "the next run is undecided");
    }

    #[test]
    fn events_of_objectives_count_up_over_runs() {
        let mut metrics = Metrics::new();
        for run in ["first", "second"] {
            let mut fixture = Fixture::named(run);
            metrics.apply(run, &fixture.start_event());
            for (good, total) in [(5, 10), (9, 20)] {
                fixture.events(good, total);
                metrics.apply(run, &fixture.judged());
            }
            metrics.apply(run, &fixture.end_event());
        }
        assert_eq!(value(&metrics, &catalogue::SLA_GOOD_EVENTS, "shop quick pages"), Some(18.0));
        assert_eq!(value(&metrics, &catalogue::SLA_EVENTS, "shop quick pages"), Some(40.0));
    }

    #[test]
    fn resources_stand_at_their_last_scrape_and_a_gap_is_no_level() {
        let (mut metrics, mut fixture) = (Metrics::new(), Fixture::new());
        metrics.apply("run", &fixture.start_event());
        let mut after = |found| {
            fixture.scraped(found);
            metrics.apply("run", &fixture.second());
            let level =
                |name: &str| value(&metrics, &catalogue::RESOURCE, &format!("shop process {name} cores"));
            (level("cpu"), level("memory"))
        };
        assert_eq!(after(Ok(&[("cpu", 0.5), ("memory", 7.0)])), (Some(0.5), Some(7.0)));
        assert_eq!(after(Ok(&[("cpu", 0.25)])), (Some(0.25), None));
        assert_eq!(after(Err("no answer")), (None, None));
        assert_eq!(after(Ok(&[("cpu", 1.0)])), (Some(1.0), None));
        let scrapes =
            |outcome: &str| value(&metrics, &catalogue::RESOURCE_SCRAPES, &format!("shop process {outcome}"));
        assert_eq!((scrapes("ok"), scrapes("gap")), (Some(3.0), Some(1.0)));
        metrics.apply("run", &fixture.end_event());
        assert_eq!(value(&metrics, &catalogue::RESOURCE, "shop process cpu cores"), None);
    }

    #[test]
    fn an_event_of_an_unknown_run_means_nothing() {
        let mut metrics = Metrics::new();
        metrics.apply("ghost", &Fixture::busy().second());
        assert_eq!(metrics.families(&[]), []);
    }

    #[test]
    fn every_metric_is_filled() {
        let mut metrics = Metrics::new();
        let mut fixture = Fixture::busy();
        metrics.apply("run", &fixture.start_event());
        metrics.apply("run", &fixture.second());
        fixture.events(1, 2);
        fixture.verdict(Some(Verdict::Met));
        metrics.apply("run", &fixture.judged());
        metrics.overflowed("influxdb", 3);
        let sink =
            ExportCount { sink: "influxdb".to_owned(), produced: 3, acknowledged: 1, backlog: 1, lost: 1 };
        let filled: Vec<_> = metrics.families(&[sink]).iter().map(|family| family.metric.name).collect();
        assert_eq!(filled, catalogue::of_runs().map(|metric| metric.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_thousand_seconds_need_no_more_series_than_one() {
        let mut metrics = Metrics::new();
        let mut fixture = Fixture::busy();
        metrics.apply("run", &fixture.start_event());
        metrics.apply("run", &fixture.second());
        let series = |metrics: &Metrics| metrics.series.values().map(BTreeMap::len).sum::<usize>();
        let after_one = series(&metrics);
        for _ in 0..1000 {
            metrics.apply("run", &fixture.second());
        }
        assert_eq!(series(&metrics), after_one);
    }
}
