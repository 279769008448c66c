//! Native histograms: durations counted in buckets that grow by a constant factor.
//!
//! Bucket `i` holds durations in `(b^(i-1), b^i]` seconds with `b = 2^(1/32)` (schema 5), so the
//! geometric middle of a bucket is within `sqrt(b) - 1`, less than 1.1%, of every duration in it. Durations
//! come from HDR buckets, which adds the HDR histogram's own 0.1%. Counts are conserved exactly.

use std::collections::BTreeMap;

/// The resolution, as Prometheus counts it: 2^5 buckets per doubling.
pub const SCHEMA: i32 = 5;

/// Durations up to this many seconds are counted as zero: 2^-20, just under a microsecond. Below it
/// the histograms we come from tell only two values apart.
pub const ZERO_THRESHOLD: f64 = 1.0 / 1_048_576.0;

const BUCKETS_PER_DOUBLING: f64 = 32.0;

/// The upper bound of a bucket in seconds.
pub fn upper_bound(bucket: i32) -> f64 {
    (f64::from(bucket) / BUCKETS_PER_DOUBLING).exp2()
}

/// Which bucket a duration falls into; `None`: it counts as zero.
pub fn bucket(nanos: u64) -> Option<i32> {
    let seconds = nanos as f64 / 1e9;
    if seconds <= ZERO_THRESHOLD {
        return None;
    }
    // The logarithm may be off by one in the last place, which matters at the bounds alone.
    let mut bucket = (seconds.log2() * BUCKETS_PER_DOUBLING).ceil() as i32;
    if seconds <= upper_bound(bucket - 1) {
        bucket -= 1;
    } else if seconds > upper_bound(bucket) {
        bucket += 1;
    }
    Some(bucket)
}

/// Counts per bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeBuckets {
    /// Durations that count as zero.
    pub zero: u64,
    /// Counts of the buckets that hold any.
    pub buckets: BTreeMap<i32, u64>,
}

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Buckets left out before it: from the end of the span before, for the first from bucket 0.
    pub offset: i32,
    /// How many buckets it has.
    pub length: u32,
}

impl NativeBuckets {
    /// Counts `count` durations of `nanos`.
    pub fn add(&mut self, nanos: u64, count: u64) {
        match bucket(nanos) {
            Some(bucket) => *self.buckets.entry(bucket).or_default() += count,
            None => self.zero += count,
        }
    }

    /// Spans, and for each of their buckets the difference to the count of the bucket before: the
    /// form in which Prometheus takes them.
    pub fn spans(&self) -> (Vec<Span>, Vec<i64>) {
        let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
        let (mut next, mut before) = (0, 0_i64);
        for (&bucket, &count) in &self.buckets {
            match spans.last_mut() {
                Some(span) if bucket == next => span.length += 1,
                _ => spans.push(Span { offset: bucket - next, length: 1 }),
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            deltas.push(count - before);
            (next, before) = (bucket + 1, count);
        }
        (spans, deltas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Edges, Histogram};
    use proptest::prelude::*;

    #[test]
    fn bounds_belong_to_the_bucket_they_close() {
        assert_eq!(bucket(0), None);
        assert_eq!(bucket(953), None, "below 2^-20 s");
        assert_eq!(bucket(954), Some(-639));
        assert_eq!(bucket(1_000_000_000), Some(0), "1 s closes bucket 0");
        assert_eq!(bucket(1_000_000_001), Some(1));
        assert_eq!(bucket(2_000_000_000), Some(32));
        assert_eq!(bucket(2_000_000_001), Some(33));
        assert_eq!(bucket(500_000_000), Some(-32));
    }

    #[test]
    fn spans_leave_out_empty_buckets() {
        let mut buckets = NativeBuckets::default();
        for (bucket, count) in [(-3, 5), (-2, 7), (4, 1), (5, 1)] {
            buckets.buckets.insert(bucket, count);
        }
        let (spans, deltas) = buckets.spans();
        assert_eq!(spans, [Span { offset: -3, length: 2 }, Span { offset: 5, length: 2 }]);
        assert_eq!(deltas, [5, 2, -6, 0]);
    }

    proptest! {
        #[test]
        fn a_duration_lies_within_its_bucket(nanos in 954_u64..86_400_000_000_000) {
            let bucket = bucket(nanos).unwrap();
            let seconds = nanos as f64 / 1e9;
            prop_assert!(upper_bound(bucket - 1) < seconds && seconds <= upper_bound(bucket));
            let middle = (upper_bound(bucket - 1) * upper_bound(bucket)).sqrt();
            prop_assert!((middle / seconds - 1.0).abs() < 0.011);
        }

        #[test]
        fn counts_are_conserved(values in prop::collection::vec(0_u64..100_000_000_000, 0..300)) {
            let mut histogram = Histogram::new(Edges::default());
            values.iter().for_each(|value| histogram.record(*value));
            let mut native = NativeBuckets::default();
            histogram.distribution().buckets().iter().for_each(|&(value, count)| native.add(value, count));
            prop_assert_eq!(native.zero + native.buckets.values().sum::<u64>(), values.len() as u64);
            let (spans, deltas) = native.spans();
            prop_assert_eq!(spans.iter().map(|span| span.length as usize).sum::<usize>(), deltas.len());
        }

        #[test]
        fn a_quantile_is_within_the_stated_error(mut values in prop::collection::vec(2_000_u64..100_000_000_000, 1..300), share in 0.0..1.0_f64) {
            let mut histogram = Histogram::new(Edges::default());
            values.iter().for_each(|value| histogram.record(*value));
            let mut native = NativeBuckets::default();
            histogram.distribution().buckets().iter().for_each(|&(value, count)| native.add(value, count));
            values.sort_unstable();
            let rank = (share * values.len() as f64) as u64;
            let mut seen = 0;
            let found = native.buckets.iter().find(|(_, count)| { seen += **count; seen > rank }).map(|(bucket, _)| *bucket).unwrap();
            let middle = (upper_bound(found - 1) * upper_bound(found)).sqrt() * 1e9;
            let truth = values[rank as usize] as f64;
            prop_assert!((middle - truth).abs() <= 0.012 * truth + 512.0, "{middle} for {truth}");
        }
    }
}
