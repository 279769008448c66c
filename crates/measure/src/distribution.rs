use plimsoll_units::Quantile;

use crate::{Edges, MalformedHistogram, hdr};

/// Counted durations at rest: only the buckets that hold something.
///
/// It is what a [`crate::Histogram`] becomes when its second is over: a few hundred bytes where the
/// histogram has kilobytes. Merging is exact and commutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    edges: Edges,
    /// Counts per bucket of `edges`, not cumulative; the last is beyond the last edge.
    at_edges: Box<[u64]>,
    sum: u128,
    min: u64,
    max: u64,
    count: u64,
    /// (highest value of the bucket in nanoseconds, count), ascending.
    buckets: Vec<(u64, u64)>,
}

impl Distribution {
    /// Nothing counted.
    pub fn empty(edges: Edges) -> Self {
        let at_edges = vec![0; edges.nanos().len() + 1].into();
        Self { edges, at_edges, sum: 0, min: u64::MAX, max: 0, count: 0, buckets: Vec::new() }
    }

    pub(crate) fn from_parts(
        edges: Edges,
        at_edges: Vec<u64>,
        sum: u128,
        min: u64,
        max: u64,
        buckets: Vec<(u64, u64)>,
    ) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        Self { edges, at_edges: at_edges.into(), sum, min, max, count, buckets }
    }

    /// (highest value of the bucket in nanoseconds, count), ascending, counts above zero.
    pub fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }

    /// The edges at which [`Self::at_edges`] counts.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Exact counts between the edges, one more than there are edges, not cumulative.
    pub fn at_edges(&self) -> &[u64] {
        &self.at_edges
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Exact sum in nanoseconds.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The shortest, exactly, in nanoseconds.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The longest, exactly, in nanoseconds.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The exact mean in nanoseconds.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The smallest recorded value with at least the quantile's share of values at or below it, in
    /// nanoseconds, within the buckets' resolution; `None` with fewer values than the quantile needs.
    pub fn quantile(&self, quantile: Quantile) -> Option<u64> {
        if self.count < quantile.fewest() {
            return None;
        }
        let rank = quantile.rank(self.count);
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(value, _)| (*value).clamp(self.min, self.max))
    }

    /// How many were at or below `nanos`: exact at an edge, else from the buckets.
    pub fn at_or_below(&self, nanos: u64) -> u64 {
        match self.edges.position(nanos) {
            Some(position) => self.at_edges[..=position].iter().sum(),
            None => {
                self.buckets.iter().take_while(|(value, _)| *value <= nanos).map(|(_, count)| count).sum()
            }
        }
    }

    /// Adds the counts of another. With other edges the counts at edges are taken from the buckets,
    /// within their resolution.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.edges == other.edges {
            for (mine, theirs) in self.at_edges.iter_mut().zip(other.at_edges.iter()) {
                *mine += theirs;
            }
        } else {
            for &(value, count) in &other.buckets {
                self.at_edges[self.edges.bucket(value)] += count;
            }
        }
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.buckets = merged(&self.buckets, &other.buckets);
    }

    /// The same with wider buckets, 2^-`bits` of their value, and with them less memory: quantiles are then
    /// that much too high at most. Counts at edges, sum, least and greatest stay exact.
    pub fn coarse(&self, bits: u32) -> Self {
        let highest = |value: u64| {
            let width = value.checked_ilog2().unwrap_or(0).saturating_sub(bits);
            value | ((1 << width) - 1)
        };
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        for &(value, count) in &self.buckets {
            match buckets.last_mut() {
                Some((last, sum)) if *last == highest(value) => *sum += count,
                _ => buckets.push((highest(value), count)),
            }
        }
        buckets.shrink_to_fit();
        Self { edges: self.edges.clone(), at_edges: self.at_edges.clone(), buckets, ..*self }
    }

    /// Of buckets as [`Self::buckets`] gives them, without edges.
    pub fn from_buckets(buckets: Vec<(u64, u64)>, sum: u128, min: u64, max: u64) -> Self {
        let mut read = Self::empty(Edges::exactly([]));
        read.count = buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        read.at_edges = [read.count].into();
        if read.count > 0 {
            (read.sum, read.min, read.max) = (sum, min, max.max(min));
        }
        read.buckets = buckets;
        read
    }

    /// The buckets as an HDR histogram in V2+DEFLATE form, which the Java tools read (values in
    /// nanoseconds).
    pub fn to_hdr_bytes(&self) -> Vec<u8> {
        hdr::write(&self.buckets)
    }

    /// Reads what [`Self::to_hdr_bytes`] wrote, with the exact figures that stand beside it.
    /// Without `at_edges` the counts at edges are taken from the buckets.
    ///
    /// # Errors
    /// When the bytes are no HDR V2 histogram of our layout, or the counts contradict each other.
    pub fn from_hdr_bytes(
        bytes: &[u8],
        edges: Edges,
        at_edges: &[u64],
        sum: u128,
        min: u64,
        max: u64,
    ) -> Result<Self, MalformedHistogram> {
        Self::beside(hdr::read(bytes)?, edges, at_edges, sum, min, max)
    }

    /// The counts alone, as they stand behind the header of an HDR histogram in V2 form, not compressed: for records
    /// that only we read and that compress many at once.
    pub fn to_count_bytes(&self) -> Vec<u8> {
        hdr::write_counts(&self.buckets)
    }

    /// Reads what [`Self::to_count_bytes`] wrote, likewise.
    ///
    /// # Errors
    /// When the bytes are no counts, or contradict those at edges.
    pub fn from_count_bytes(
        bytes: &[u8],
        edges: Edges,
        at_edges: &[u64],
        sum: u128,
        min: u64,
        max: u64,
    ) -> Result<Self, MalformedHistogram> {
        Self::beside(hdr::read_counts(bytes)?, edges, at_edges, sum, min, max)
    }

    fn beside(
        buckets: Vec<(u64, u64)>,
        edges: Edges,
        at_edges: &[u64],
        sum: u128,
        min: u64,
        max: u64,
    ) -> Result<Self, MalformedHistogram> {
        let mut read = Self::empty(edges);
        read.count = buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        if at_edges.is_empty() {
            for &(value, count) in &buckets {
                let bucket = read.edges.bucket(value);
                read.at_edges[bucket] = read.at_edges[bucket].saturating_add(count);
            }
        } else {
            let counted = at_edges.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
            if counted != read.count || at_edges.len() != read.at_edges.len() {
                return Err(MalformedHistogram::Counts { buckets: read.count, edges: counted });
            }
            read.at_edges = at_edges.into();
        }
        if read.count > 0 {
            (read.sum, read.min, read.max) = (sum, min, max.max(min));
        }
        read.buckets = buckets;
        Ok(read)
    }
}

/// Two ascending runs of buckets as one.
fn merged(left: &[(u64, u64)], right: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut all = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(&&(a, a_count)), Some(&&(b, b_count))) = (left.peek(), right.peek()) {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => {
                all.push((a, a_count));
                left.next();
            }
            std::cmp::Ordering::Greater => {
                all.push((b, b_count));
                right.next();
            }
            std::cmp::Ordering::Equal => {
                all.push((a, a_count + b_count));
                left.next();
                right.next();
            }
        }
    }
    all.extend(left.chain(right));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;
    use proptest::prelude::*;

    fn distribution(values: &[u64], edges: &Edges) -> Distribution {
        let mut histogram = Histogram::new(edges.clone());
        values.iter().for_each(|value| histogram.record(*value));
        histogram.distribution()
    }

    proptest! {
        #[test]
        fn a_coarse_one_is_a_little_high_and_merges_like_the_fine_one(
            values in prop::collection::vec(0_u64..100_000_000_000, 1..300),
            more in prop::collection::vec(0_u64..100_000_000_000, 0..300),
        ) {
            let edges = Edges::default();
            let (one, other) = (distribution(&values, &edges), distribution(&more, &edges));
            let coarse = one.coarse(6);
            prop_assert!(coarse.buckets().len() <= one.buckets().len());
            prop_assert_eq!(
                (coarse.count(), coarse.sum(), coarse.min(), coarse.max(), coarse.at_edges()),
                (one.count(), one.sum(), one.min(), one.max(), one.at_edges())
            );
            for quantile in [Quantile::P50, Quantile::P95] {
                match (one.quantile(quantile), coarse.quantile(quantile)) {
                    (Some(fine), Some(coarse)) => {
                        prop_assert!(coarse >= fine && coarse as f64 <= fine as f64 * (1.0 + 1.0 / 64.0) + 1.0);
                    }
                    neither => prop_assert_eq!(neither, (None, None)),
                }
            }
            let (mut whole, mut parts) = (one, coarse);
            whole.merge(&other);
            parts.merge(&other.coarse(6));
            prop_assert_eq!(whole.coarse(6), parts);
        }
    }
}
