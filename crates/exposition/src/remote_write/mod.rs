//! Prometheus remote write, versions 1.0 and 2.0: a run as samples that a sender pushes.
//!
//! An [`Encoder`] sums up what a run measured since its start and writes what changed, as points in a
//! form of our own; [`request`] makes a request of either version out of them when it is known which the
//! receiver understands. So what waits on a disk can still be sent in the other version.
//!
//! - Counters and histograms count from the start of the run, so a run that is replayed from its record
//!   gives the same points again. A series begins with a zero one second before its first value: else
//!   `increase` would not see that value.
//! - A series is written when it changed, and every 30 seconds while it does not. When it ends, and when
//!   the run ends, it is marked as stale.
//! - A histogram is one point, whatever its form: native buckets, classic ones, or both.

mod points;
mod proto;
mod request;

pub use points::{Damaged, Part, halves};
pub use request::{Form, Histograms, Request, Version, request};

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use plimsoll_run::RunEvent;
use rustc_hash::FxBuildHasher;

use crate::catalogue::{Kind, Metric};
use crate::{Change, Exemplar, HistogramValue, Labels, Reading, Report};
use points::Builder;

/// How long a series may go unwritten while it does not change: a fraction of the five minutes after which
/// Prometheus takes a series for ended, and often enough for a rate over a minute.
const HEARTBEAT_MS: i64 = 30_000;

/// How long before its first value a counter is known to have stood at zero: values are those of seconds.
const ZERO_BEFORE_MS: i64 = 1000;

/// Sums up one run.
#[derive(Debug)]
pub struct Encoder {
    labels: BTreeMap<String, String>,
    lanes: u8,
    /// In the order in which they began, so that a run that is told again is written in the same order.
    series: IndexMap<Key, Series, FxBuildHasher>,
}

/// The name of a metric and the values of its labels.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key(&'static str, Labels);

/// A [`Key`] to look up.
#[derive(Hash)]
struct KeyOf<'a>(&'static str, &'a Labels);

impl Equivalent<Key> for KeyOf<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && *self.1 == key.1
    }
}

/// One series of a run.
#[derive(Debug)]
pub(crate) struct Series {
    metric: &'static Metric,
    /// Names and values, ascending by name, without the metric's own name.
    labels: Vec<(Arc<str>, Arc<str>)>,
    lane: u8,
    value: Current,
    /// When it began to count, Unix milliseconds; levels do not count.
    created_ms: Option<i64>,
    written_ms: Option<i64>,
    /// Whether `value` is not written yet.
    changed: bool,
    /// Those not written yet.
    exemplars: Vec<Exemplar>,
    /// Whether verdicts tell about it. They come later than the second they are about.
    judged: bool,
}

#[derive(Debug)]
enum Current {
    Count(u64),
    Level(f64),
    Durations(Box<HistogramValue>),
}

/// What is written of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Value,
    Stale,
}

impl Encoder {
    /// For a run whose series carry these labels too, as far as they [may be added](may_be_added); a label that a metric has by
    /// itself stays as it is. Series are spread over `lanes`, at least one.
    pub fn new(labels: BTreeMap<String, String>, lanes: u8) -> Self {
        let labels = labels.into_iter().filter(|(name, _)| may_be_added(name)).collect();
        Self { labels, lanes: lanes.max(1), series: IndexMap::default() }
    }

    /// What the next event of the run adds, by lane. Points of one series are in order of time.
    pub fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Part> {
        let Some(report) = report else { return Vec::new() };
        let ended = matches!(event, RunEvent::Ended(_));
        // The last moment of a run has its last values still, of every series.
        let at_ms = report.wall_nanos.div_euclid(1_000_000) + i64::from(ended);
        let judged = matches!(event, RunEvent::Judged(_));
        let mut lanes: Vec<Builder> = (0..self.lanes).map(Builder::new).collect();
        for reading in &report.readings {
            self.fold(reading, at_ms, judged, &mut lanes);
        }
        if ended {
            self.end(at_ms, &mut lanes);
        } else {
            for series in self.series.values_mut().filter(|series| series.judged == judged) {
                if series.is_due(at_ms) {
                    series.write(Word::Value, at_ms, &mut lanes);
                }
            }
        }
        lanes.into_iter().flat_map(Builder::finish).collect()
    }

    fn fold(&mut self, reading: &Reading, at_ms: i64, judged: bool, lanes: &mut [Builder]) {
        let key = KeyOf(reading.metric.name, &reading.labels);
        match &reading.change {
            Change::Level(None) => {
                if let Some(mut series) = self.series.swap_remove(&key) {
                    series.write(Word::Stale, at_ms, lanes);
                }
            }
            change => {
                if let Some(series) = self.series.get_mut(&key) {
                    return series.fold(reading, judged);
                }
                let mut series = Series::new(reading, change, &self.labels, self.lanes, at_ms);
                series.fold(reading, judged);
                self.series.insert(Key(reading.metric.name, reading.labels.clone()), series);
            }
        }
    }

    /// Nothing comes any more.
    fn end(&mut self, at_ms: i64, lanes: &mut [Builder]) {
        for mut series in std::mem::take(&mut self.series).into_values() {
            if series.changed {
                series.write(Word::Value, at_ms, lanes);
            }
            series.write(Word::Stale, at_ms, lanes);
        }
    }
}

impl Series {
    fn new(
        reading: &Reading,
        change: &Change,
        extra: &BTreeMap<String, String>,
        lanes: u8,
        at_ms: i64,
    ) -> Self {
        let own = reading.metric.labels.iter().copied().zip(reading.labels.iter().cloned());
        let mut labels: BTreeMap<&str, Arc<str>> =
            extra.iter().map(|(name, value)| (name.as_str(), value.as_str().into())).collect();
        labels.extend(own);
        // A label without a value is none, to Prometheus.
        labels.retain(|_, value| !value.is_empty());
        let (value, created_ms) = match change {
            Change::Count(_) => (Current::Count(0), Some(at_ms - ZERO_BEFORE_MS)),
            Change::Level(_) => (Current::Level(f64::NAN), None),
            Change::Durations(durations) => {
                let zero = HistogramValue::new(durations.edges().clone());
                (Current::Durations(Box::new(zero)), Some(at_ms - ZERO_BEFORE_MS))
            }
        };
        Self {
            metric: reading.metric,
            labels: labels.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            lane: lane(reading, lanes),
            value,
            created_ms,
            written_ms: None,
            changed: true,
            exemplars: Vec::new(),
            judged: false,
        }
    }

    fn fold(&mut self, reading: &Reading, judged: bool) {
        self.judged = judged;
        match (&mut self.value, &reading.change) {
            (Current::Count(sum), Change::Count(more)) => {
                *sum = sum.saturating_add(*more);
                self.changed |= *more > 0;
            }
            (Current::Level(level), Change::Level(Some(now))) => {
                self.changed |= level.to_bits() != now.to_bits();
                *level = *now;
            }
            (Current::Durations(sum), Change::Durations(more)) => {
                sum.add(more);
                self.changed |= !more.is_empty();
                self.exemplars.extend_from_slice(&reading.exemplars);
            }
            // A metric is of one kind.
            _ => {}
        }
    }

    fn is_due(&self, at_ms: i64) -> bool {
        match self.written_ms {
            None => true,
            // A moment that is written already has its value.
            Some(written) => at_ms > written && (self.changed || at_ms - written >= HEARTBEAT_MS),
        }
    }

    fn write(&mut self, word: Word, at_ms: i64, lanes: &mut [Builder]) {
        // The end of a level may fall on the moment of its last value.
        let at_ms = self.written_ms.map_or(at_ms, |written| at_ms.max(written + 1));
        if let Some(lane) = lanes.get_mut(usize::from(self.lane)) {
            lane.push(self, word, at_ms);
        }
        (self.written_ms, self.changed) = (Some(at_ms), false);
        self.exemplars.clear();
    }

    fn kind(&self) -> proto::MetricType {
        match self.metric.kind {
            Kind::Counter => proto::MetricType::Counter,
            Kind::Gauge => proto::MetricType::Gauge,
            Kind::Info => proto::MetricType::Info,
            Kind::Histogram => proto::MetricType::Histogram,
        }
    }
}

/// Whether a label of this name can be added to every series: a word, not reserved (`__…`) and not the one of
/// classic buckets (`le`).
pub fn may_be_added(name: &str) -> bool {
    let word = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    word && !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.starts_with("__")
        && name != "le"
}

/// A series always takes the same lane, whichever process writes it: FNV-1a over its name and labels.
fn lane(reading: &Reading, lanes: u8) -> u8 {
    let name = std::iter::once(reading.metric.name);
    let texts = name.chain(reading.labels.iter().map(AsRef::as_ref));
    let hash =
        texts.flat_map(|text| text.bytes().chain([0xff])).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    // The high bits are the well mixed ones.
    ((hash >> 32) % u64::from(lanes.max(1))) as u8
}

#[cfg(test)]
mod tests;
