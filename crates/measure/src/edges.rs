use std::sync::Arc;

/// The bucket edges at which every duration is counted exactly, in nanoseconds, ascending.
///
/// They are one fixed grid plus the thresholds of a plan's objectives, so that "how many were at or
/// below 250 ms" is a count and never an interpolation, on the screen as in Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edges(Arc<[u64]>);

/// The fixed grid: three edges a decade from 100 µs to 60 s, which is where services answer.
const GRID: [u64; 18] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

impl Edges {
    /// The fixed grid and these thresholds (nanoseconds).
    pub fn with_thresholds(thresholds: impl IntoIterator<Item = u64>) -> Self {
        let mut edges: Vec<u64> = GRID.into_iter().chain(thresholds).collect();
        edges.sort_unstable();
        edges.dedup();
        Self(edges.into())
    }

    /// Exactly these edges, as a record has them; put in order, doubles removed.
    pub fn exactly(edges: impl IntoIterator<Item = u64>) -> Self {
        let mut edges: Vec<u64> = edges.into_iter().collect();
        edges.sort_unstable();
        edges.dedup();
        Self(edges.into())
    }

    /// The edges, ascending.
    pub fn nanos(&self) -> &[u64] {
        &self.0
    }

    /// Which bucket a duration falls into: the first whose edge is not below it; `len` beyond the last.
    pub fn bucket(&self, nanos: u64) -> usize {
        self.0.partition_point(|edge| *edge < nanos)
    }

    /// The position of an edge.
    pub fn position(&self, nanos: u64) -> Option<usize> {
        self.0.binary_search(&nanos).ok()
    }
}

impl Default for Edges {
    fn default() -> Self {
        Self::with_thresholds([])
    }
}
