use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::{Distribution, Edges};

use crate::catalogue::Metric;
use crate::native::NativeBuckets;
use crate::number::seconds;

/// Label values in the order of the metric's labels.
pub type Labels = Vec<Arc<str>>;

/// A metric with all its series at one moment: what encoders take.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Which metric.
    pub metric: &'static Metric,
    /// Its series, at least one, in the order of their labels.
    pub points: Vec<Point>,
}

/// One series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: Value,
    /// When it began to count, nanoseconds since 1970, if that is known; levels do not count.
    pub created_nanos: Option<i64>,
}

impl Point {
    /// One of which nobody knows since when it counts.
    pub fn new(labels: Labels, value: Value) -> Self {
        Self { labels, value, created_nanos: None }
    }
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge or info.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Box<HistogramValue>),
}

/// Durations counted over the life of the process, at classic edges (exactly) and in native buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramValue {
    edges: Edges,
    at_edges: Vec<u64>,
    native: NativeBuckets,
    sum: u128,
    count: u64,
    /// At most one per classic bucket, by bucket.
    exemplars: BTreeMap<usize, Exemplar>,
}

/// A single request that stands for the others in its bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What identifies it, like a trace id.
    pub labels: Vec<(String, String)>,
    /// Its duration in nanoseconds.
    pub nanos: u64,
    /// When it was done, nanoseconds since 1970.
    pub wall_nanos: Option<i64>,
}

impl HistogramValue {
    /// Nothing counted.
    pub fn new(edges: Edges) -> Self {
        Self {
            at_edges: vec![0; edges.nanos().len() + 1],
            edges,
            native: NativeBuckets::default(),
            sum: 0,
            count: 0,
            exemplars: BTreeMap::new(),
        }
    }

    /// Adds durations.
    ///
    /// Should their edges differ (a plan came back with another objective), counting goes on at
    /// theirs. What was counted before is kept at edges that both have; at a new edge it counts only as far
    /// as it is known to be at or below. So no count goes down or is made up, and what is added
    /// from here on is exact.
    pub fn add(&mut self, more: &Distribution) {
        if more.edges() != &self.edges {
            self.recount_at(more.edges().clone());
        }
        for (mine, theirs) in self.at_edges.iter_mut().zip(more.at_edges()) {
            *mine += theirs;
        }
        for &(nanos, count) in more.buckets() {
            self.native.add(nanos, count);
        }
        self.sum += more.sum();
        self.count += more.count();
    }

    fn recount_at(&mut self, edges: Edges) {
        let mut at_edges = vec![0; edges.nanos().len() + 1];
        let uppers = self.edges.nanos().iter().copied().chain([u64::MAX]);
        for (upper, count) in uppers.zip(&self.at_edges) {
            at_edges[edges.bucket(upper)] += count;
        }
        (self.edges, self.at_edges) = (edges, at_edges);
        let shown = std::mem::take(&mut self.exemplars);
        shown.into_values().for_each(|exemplar| self.show(exemplar));
    }

    /// Shows a request that was counted with the classic bucket it falls into, instead of the one before.
    pub fn show(&mut self, exemplar: Exemplar) {
        self.exemplars.insert(self.edges.bucket(exemplar.nanos), exemplar);
    }

    /// The edges at which it counts exactly.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Edges in seconds with how many durations were at or below each; beyond the last it is [`Self::count`].
    pub fn classic(&self) -> impl Iterator<Item = (f64, u64)> {
        let cumulative = self.at_edges.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.edges.nanos().iter().map(|nanos| seconds(*nanos)).zip(cumulative)
    }

    /// The same durations in native buckets.
    pub fn native(&self) -> &NativeBuckets {
        &self.native
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / 1e9
    }

    /// All exemplars, by classic bucket.
    pub fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.exemplars.values()
    }

    /// The exemplar of a classic bucket, the last being the one beyond all edges.
    pub fn exemplar(&self, bucket: usize) -> Option<&Exemplar> {
        self.exemplars.get(&bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::Histogram;

    fn distribution(edges: Edges, values: &[u64]) -> Distribution {
        let mut histogram = Histogram::new(edges);
        values.iter().for_each(|value| histogram.record(*value));
        histogram.distribution()
    }

    #[test]
    fn counts_at_edges_are_exact_and_cumulative() {
        let mut value = HistogramValue::new(Edges::exactly([10, 20]));
        value.add(&distribution(Edges::exactly([10, 20]), &[10, 11, 20, 21]));
        value.add(&distribution(Edges::exactly([10, 20]), &[5]));
        assert_eq!(value.classic().map(|(_, count)| count).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((value.count(), value.sum()), (5, 67e-9));
    }

    #[test]
    fn a_new_threshold_claims_nothing_about_the_past() {
        let mut value = HistogramValue::new(Edges::exactly([10, 20, 40]));
        value.add(&distribution(Edges::exactly([10, 20, 40]), &[5, 15, 30, 50]));
        value.add(&distribution(Edges::exactly([10, 25, 40]), &[22]));
        let classic: Vec<_> = value.classic().map(|(_, count)| count).collect();
        assert_eq!(classic, [1, 3, 4], "15 is known to be at or below 20 and so 25; 30 is not");
        assert_eq!(value.count(), 5);
    }

    #[test]
    fn an_exemplar_belongs_to_its_bucket() {
        let mut value = HistogramValue::new(Edges::exactly([10, 20]));
        for nanos in [11, 20] {
            value.show(Exemplar { labels: Vec::new(), nanos, wall_nanos: None });
        }
        assert_eq!((value.exemplar(0), value.exemplar(2)), (None, None));
        assert_eq!(value.exemplar(1).map(|exemplar| exemplar.nanos), Some(20), "the last one");
        value.add(&distribution(Edges::exactly([5, 10, 20]), &[]));
        assert_eq!(value.exemplar(2).map(|exemplar| exemplar.nanos), Some(20), "also at other edges");
    }
}
