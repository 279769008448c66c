//! Native histograms: durations counted in buckets that grow by a constant factor.
//!
//! Bucket `i` holds durations in `(b^(i-1), b^i]` seconds with `b = 2^(1/64)` (schema 6), so whatever a
//! reader takes to be within a bucket is within `b - 1`, less than 1.1%, of every duration in it: its middle, its bound,
//! or the straight line that Prometheus draws through it. Durations come from HDR buckets, which adds the
//! HDR histogram's own 0.1%. Counts are conserved exactly.

use std::collections::BTreeMap;

/// The resolution, as Prometheus counts it: 2^6 buckets per doubling.
pub const SCHEMA: i32 = 6;

/// Durations up to this many seconds are counted as zero: 2^-20, just under a microsecond. Below it
/// the histograms we come from tell only two values apart.
pub const ZERO_THRESHOLD: f64 = 1.0 / 1_048_576.0;

const BUCKETS_PER_DOUBLING: f64 = 64.0;

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
        let (mut spans, mut deltas) = (Vec::<Span>::new(), Vec::with_capacity(self.buckets.len()));
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
    use crate::HistogramValue;
    use plimsoll_measure::{Edges, Histogram};
    use proptest::prelude::*;

    #[test]
    fn bounds_belong_to_the_bucket_they_close() {
        assert_eq!(bucket(0), None);
        assert_eq!(bucket(953), None, "below 2^-20 s");
        assert_eq!(bucket(954), Some(-1279));
        assert_eq!(bucket(1_000_000_000), Some(0), "1 s closes bucket 0");
        assert_eq!(bucket(1_000_000_001), Some(1));
        assert_eq!(bucket(2_000_000_000), Some(64));
        assert_eq!(bucket(2_000_000_001), Some(65));
        assert_eq!(bucket(500_000_000), Some(-64));
    }

    /// Scenarios of client_golang's `TestNativeHistogram`, at the schema that is ours: its own follow from each by halving
    /// the resolution, which adds up neighbouring buckets. Ported are those whose observations are durations. Not ported are
    /// negative, infinite and NaN observations, which no duration is; a wider zero bucket and resets, by which client_golang keeps
    /// the number of buckets low and which ours does not need: it is bounded by the durations there are; and its exemplars that are
    /// spread over the values, where ours are the slowest of each classic bucket.
    #[test]
    fn scenarios_of_client_golang_give_its_spans_and_deltas() {
        type Spans = &'static [(i32, u32)];
        type Scenario = (&'static str, &'static [f64], i32, u64, Spans, &'static [i64]);
        let cases: [Scenario; 6] = [
            ("no observations", &[], 3, 0, &[], &[]),
            (
                "factor 1.1 results in schema 3",
                &[0.0, 1.0, 2.0, 3.0],
                3,
                1,
                &[(0, 1), (7, 1), (4, 1)],
                &[1, 0, 0],
            ),
            (
                "factor 1.2 results in schema 2",
                &[0.0, 1.0, 1.2, 1.4, 1.8, 2.0],
                2,
                1,
                &[(0, 5)],
                &[1, -1, 2, -2, 2],
            ),
            (
                "buckets limited by halving resolution",
                &[0.0, 1.0, 1.1, 1.2, 1.4, 1.8, 2.0, 3.0],
                1,
                1,
                &[(0, 5)],
                &[1, 2, -1, -2, 1],
            ),
            (
                "factor 4 results in schema -1",
                &[0.015_625_1, 0.0625, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 3.5, 5.0, 6.0, 7.0, 33.33],
                -1,
                0,
                &[(-2, 6)],
                &[2, 0, 0, 2, -1, -2],
            ),
            (
                "factor 17 results in schema -2",
                &[0.015_625_1, 0.0625, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 3.5, 5.0, 6.0, 7.0, 33.33],
                -2,
                0,
                &[(-1, 4)],
                &[2, 2, 3, -6],
            ),
        ];
        for (name, seconds, schema, zero, spans, deltas) in cases {
            let mut fine = NativeBuckets::default();
            seconds.iter().for_each(|seconds| fine.add((seconds * 1e9) as u64, 1));
            let mut coarse = NativeBuckets { zero: fine.zero, ..NativeBuckets::default() };
            for (bucket, count) in fine.buckets {
                let halved = (0..SCHEMA - schema).fold(bucket, |bucket, _| (bucket + 1).div_euclid(2));
                *coarse.buckets.entry(halved).or_default() += count;
            }
            // client_golang fills gaps of up to two buckets, as its schema 2 case shows; we leave every empty one out.
            let counts = |spans: &[(i32, u32)], deltas: &[i64]| {
                let mut deltas = deltas.iter();
                let (mut bucket, mut count, mut found) = (0, 0, BTreeMap::new());
                for (offset, length) in spans {
                    bucket += offset;
                    for _ in 0..*length {
                        count += deltas.next().unwrap();
                        found.insert(bucket, count);
                        bucket += 1;
                    }
                }
                found.retain(|_, count| *count != 0);
                found
            };
            let (ours, our_deltas) = coarse.spans();
            let ours: Vec<_> = ours.iter().map(|span| (span.offset, span.length)).collect();
            assert_eq!(counts(&ours, &our_deltas), counts(spans, deltas), "{name}");
            assert_eq!(coarse.zero, zero, "{name}");
        }
    }

    /// client_golang's `TestGetLe`: the bound of bucket `key` of a schema, less those beyond what a duration can be.
    #[test]
    fn bounds_of_coarser_schemas_are_those_of_client_golang() {
        for (key, schema, bound) in [
            (-1, -1, 0.25),
            (0, -1, 1.0),
            (1, -1, 4.0),
            (-1, 0, 0.5),
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 2, 0.840_896_415_253_714_4),
            (0, 2, 1.0),
            (1, 2, 1.189_207_115_002_721),
        ] {
            let found = upper_bound(key << (SCHEMA - schema));
            // Its own table is off by the last digit here and there.
            assert!(
                (found / bound - 1.0_f64).abs() < 3.0 * f64::EPSILON,
                "{key} of schema {schema}: {found}"
            );
        }
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
            for anywhere in [upper_bound(bucket - 1), upper_bound(bucket)] {
                prop_assert!((anywhere / seconds - 1.0).abs() < 0.011);
            }
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
            let truth = values[rank as usize] as f64;
            for anywhere in [upper_bound(found - 1) * 1e9, upper_bound(found) * 1e9] {
                prop_assert!((anywhere - truth).abs() <= 0.012 * truth + 512.0, "{anywhere} for {truth}");
            }
        }

        #[test]
        fn merging_commutes_and_is_as_counting_together(parts in prop::collection::vec(prop::collection::vec(0_u64..100_000_000_000, 0..40), 0..6)) {
            let edges = Edges::with_thresholds([333_000_000]);
            let distribution = |values: &[u64]| {
                let mut histogram = Histogram::new(edges.clone());
                values.iter().for_each(|value| histogram.record(*value));
                histogram.distribution()
            };
            let sum = |parts: &mut dyn Iterator<Item = &Vec<u64>>| {
                let mut sum = HistogramValue::new(edges.clone());
                parts.for_each(|part| sum.add(&distribution(part)));
                sum
            };
            let forwards = sum(&mut parts.iter());
            prop_assert_eq!(&forwards, &sum(&mut parts.iter().rev()));
            prop_assert_eq!(&forwards, &sum(&mut std::iter::once(&parts.concat())));
            let in_buckets = forwards.native().zero + forwards.native().buckets.values().sum::<u64>();
            prop_assert_eq!((in_buckets, forwards.count()), (parts.concat().len() as u64, parts.concat().len() as u64));
        }
    }
}
