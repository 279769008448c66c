//! How many series a sink gets.
//!
//! The first so many of a run are told as they are. What comes after them is told together, one series per metric
//! and plan whose other labels are [`OVERFLOW`]: counts and durations add up there, so that no sum over a metric changes. Levels
//! do not add up and are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Change, Labels, Reading, Report};

/// In place of the labels of what is told together.
pub const OVERFLOW: &str = "(overflow)";

/// How many series beyond a budget are remembered, to say how many there were.
const REMEMBERED: usize = 100_000;

/// The series that one sink has had of one run.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    admitted: FxHashMap<&'static str, FxHashSet<Labels>>,
    admitted_count: usize,
    beyond: FxHashMap<&'static str, FxHashSet<Labels>>,
    beyond_count: usize,
}

impl Budget {
    /// Room for so many series.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            admitted: FxHashMap::default(),
            admitted_count: 0,
            beyond: FxHashMap::default(),
            beyond_count: 0,
        }
    }

    /// How many different series with values were told together or left out so far, at most 100,000.
    pub fn overflowed(&self) -> u64 {
        self.beyond_count as u64
    }

    /// A report within the budget; `None` where it is as it was.
    pub fn limit(&mut self, report: &Report) -> Option<Report> {
        let admitted: Vec<bool> = report.readings.iter().map(|reading| self.admits(reading)).collect();
        if admitted.iter().all(|admitted| *admitted) {
            return None;
        }
        let mut readings = Vec::with_capacity(report.readings.len());
        let mut together: BTreeMap<(&'static str, Labels), Reading> = BTreeMap::new();
        for (reading, admitted) in report.readings.iter().zip(admitted) {
            if admitted {
                readings.push(reading.clone());
            } else {
                fold(&mut together, reading);
            }
        }
        for folded in together.into_values() {
            let is_same =
                |known: &&mut Reading| known.metric == folded.metric && known.labels == folded.labels;
            match readings.iter_mut().find(is_same) {
                // Somebody chose that very name.
                Some(known) => add(&mut known.change, &folded.change),
                None => readings.push(folded),
            }
        }
        Some(Report { readings, ..report.clone() })
    }

    fn admits(&mut self, reading: &Reading) -> bool {
        let Reading { metric, labels, .. } = reading;
        let known = self.admitted.entry(metric.name).or_default();
        if known.contains(labels) {
            return true;
        }
        if self.admitted_count < self.most {
            self.admitted_count += 1;
            known.insert(labels.clone());
            return true;
        }
        if self.beyond_count < REMEMBERED
            && reading.has_value()
            && !is_told_alone(reading)
            && self.beyond.entry(metric.name).or_default().insert(labels.clone())
        {
            self.beyond_count += 1;
        }
        false
    }
}

/// Whether the series that stands for those beyond the budget is this one: there is no other of its metric and plan.
fn is_told_alone(reading: &Reading) -> bool {
    !matches!(reading.change, Change::Level(_)) && reading.metric.labels.iter().all(|name| stays(name))
}

/// Whose it is stays: a plan is no label that grows with a run.
fn stays(label: &str) -> bool {
    matches!(label, "plan" | "run")
}

/// Adds a reading to the series that stands for those beyond the budget.
fn fold(together: &mut BTreeMap<(&'static str, Labels), Reading>, reading: &Reading) {
    if matches!(reading.change, Change::Level(_)) {
        return;
    }
    let label = |(name, value): (&&str, &Arc<str>)| {
        if stays(name) { Arc::clone(value) } else { OVERFLOW.into() }
    };
    let labels: Labels = reading.metric.labels.iter().zip(&reading.labels).map(label).collect();
    let key = (reading.metric.name, labels.clone());
    match together.get_mut(&key) {
        Some(known) => add(&mut known.change, &reading.change),
        None => {
            together.insert(key, Reading::new(reading.metric, labels, reading.change.clone()));
        }
    }
}

fn add(sum: &mut Change, more: &Change) {
    match (sum, more) {
        (Change::Count(sum), Change::Count(more)) => *sum = sum.saturating_add(*more),
        (Change::Durations(sum), Change::Durations(more)) => sum.merge(more),
        // All series of a metric change in one way, and levels are not folded.
        (Change::Count(_) | Change::Durations(_) | Change::Level(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{self as metrics, Metric};
    use plimsoll_measure::{Edges, Histogram};
    use proptest::prelude::*;

    fn labels(metric: &Metric, series: u8) -> Labels {
        let value = |name: &&str| if *name == "plan" { "shop".into() } else { series.to_string().into() };
        metric.labels.iter().map(value).collect()
    }

    fn reading(kind: u8, series: u8, amount: u64) -> Reading {
        match kind % 3 {
            0 => Reading::new(
                &metrics::RECEIVED_BYTES,
                labels(&metrics::RECEIVED_BYTES, series),
                Change::Count(amount),
            ),
            1 => Reading::new(
                &metrics::RESOURCE,
                labels(&metrics::RESOURCE, series),
                Change::Level(Some(amount as f64)),
            ),
            _ => {
                let mut histogram = Histogram::new(Edges::default());
                (0..amount % 5).for_each(|n| histogram.record(amount * 1000 + n));
                let metric = &metrics::RESPONSE_TIME;
                Reading::new(metric, labels(metric, series), Change::Durations(histogram.distribution()))
            }
        }
    }

    /// Counts, and durations with their sum, over all series.
    fn sums(reports: &[Report]) -> (u64, u64, u128) {
        let mut sums = (0, 0, 0);
        for reading in reports.iter().flat_map(|report| &report.readings) {
            match &reading.change {
                Change::Count(count) => sums.0 += count,
                Change::Durations(durations) => {
                    sums.1 += durations.count();
                    sums.2 += durations.sum();
                }
                Change::Level(_) => {}
            }
        }
        sums
    }

    /// Those with values.
    fn series(reports: &[Report]) -> FxHashSet<(&'static str, Labels)> {
        let readings =
            reports.iter().flat_map(|report| &report.readings).filter(|reading| reading.has_value());
        readings.map(|reading| (reading.metric.name, reading.labels.clone())).collect()
    }

    fn report(readings: impl IntoIterator<Item = Reading>) -> Report {
        // A series has at most one reading in a report.
        let distinct: BTreeMap<_, _> = readings
            .into_iter()
            .map(|reading| ((reading.metric.name, reading.labels.clone()), reading))
            .collect();
        Report { wall_nanos: 7, readings: distinct.into_values().collect() }
    }

    #[test]
    fn within_its_budget_a_report_is_as_it_was() {
        let mut budget = Budget::new(3);
        let report = report((0..3).map(|series| reading(0, series, 1)));
        assert_eq!(budget.limit(&report), None);
        assert_eq!(budget.limit(&report), None);
        assert_eq!(budget.overflowed(), 0);
    }

    #[test]
    fn what_is_beyond_is_told_together_and_named() {
        let mut budget = Budget::new(1);
        let all = report([reading(0, 0, 1), reading(0, 1, 2), reading(0, 2, 3), reading(1, 0, 9)]);
        let limited = budget.limit(&all).unwrap();
        let told: Vec<_> =
            limited.readings.iter().map(|reading| (reading.labels.join(" "), &reading.change)).collect();
        assert_eq!(
            told,
            [
                ("shop 0 0 0 0".to_owned(), &Change::Count(1)),
                ("shop (overflow) (overflow) (overflow) (overflow)".to_owned(), &Change::Count(5)),
            ]
        );
        assert_eq!(budget.overflowed(), 3, "the level too, which is left out");
    }

    proptest! {
        #[test]
        fn nothing_that_adds_up_is_lost_and_series_are_bounded(
            seconds in prop::collection::vec(
                prop::collection::vec((any::<u8>(), 0_u8..12, 0_u64..1000), 0..25), 1..8),
            most in 0_usize..30,
        ) {
            let reports: Vec<_> = seconds
                .into_iter()
                .map(|second| report(second.into_iter().map(|(kind, name, amount)| reading(kind, name, amount))))
                .collect();
            let mut budget = Budget::new(most);
            let limited: Vec<_> = reports
                .iter()
                .map(|report| budget.limit(report).unwrap_or_else(|| report.clone()))
                .collect();
            prop_assert_eq!(sums(&limited), sums(&reports));
            let told = series(&limited);
            prop_assert!(told.len() <= most + 2, "{} of {most}", told.len());
            let is_named = |(_, labels): &&(&str, Labels)| labels.iter().any(|label| &**label == OVERFLOW);
            let one_by_one = told.len() - told.iter().filter(is_named).count();
            prop_assert_eq!(budget.overflowed(), (series(&reports).len() - one_by_one) as u64);
            // The same run told again is the same for a sink.
            let mut again = Budget::new(most);
            let second: Vec<_> = reports
                .iter()
                .map(|report| again.limit(report).unwrap_or_else(|| report.clone()))
                .collect();
            prop_assert_eq!(second, limited);
        }
    }
}
