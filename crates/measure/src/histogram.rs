use hdrhistogram::Histogram as Hdr;
use plimsoll_units::Quantile;

use crate::{Distribution, Edges};

/// Durations of a microsecond and less are told apart by this many nanoseconds.
pub const RESOLUTION_NANOS: u64 = 512;

/// Longer durations are counted as this one in the buckets (their sum and maximum stay exact): a day.
pub const LONGEST_NANOS: u64 = 86_400_000_000_000;

/// Durations, counted as they come: constant memory, O(1) record.
///
/// Buckets are those of an HDR histogram with three significant digits, so that a quantile is
/// within 0.1% (or [`RESOLUTION_NANOS`]) of the recorded value. Count, sum, minimum, maximum and
/// the counts at [`Edges`] are exact.
#[derive(Debug, Clone)]
pub struct Histogram {
    hdr: Hdr<u64>,
    edges: Edges,
    at_edges: Box<[u64]>,
    sum: u128,
    min: u64,
    max: u64,
}

/// The buckets every histogram of ours has, grown as larger values come.
pub(crate) fn empty_hdr() -> Hdr<u64> {
    // A lowest discernible value of 512 makes nanoseconds cost the memory of half-microseconds.
    let mut hdr = Hdr::new_with_bounds(RESOLUTION_NANOS, RESOLUTION_NANOS * 4096, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants that the crate accepts"));
    hdr.auto(true);
    hdr
}

impl Histogram {
    /// An empty histogram that counts exactly at `edges`.
    pub fn new(edges: Edges) -> Self {
        let buckets = edges.nanos().len() + 1;
        Self { hdr: empty_hdr(), edges, at_edges: vec![0; buckets].into(), sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts one duration in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        // Growing can only fail beyond 2^63, which the bound excludes.
        let _ = self.hdr.record(nanos.min(LONGEST_NANOS));
        self.at_edges[self.edges.bucket(nanos)] += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds what was counted elsewhere. Counts at edges carry over only between equal edges; with
    /// other edges they are counted anew from the buckets, within the histogram's resolution.
    pub fn add(&mut self, other: &Distribution) {
        if other.is_empty() {
            return;
        }
        for &(value, count) in other.buckets() {
            let _ = self.hdr.record_n(value.min(LONGEST_NANOS), count);
        }
        if other.edges() == &self.edges {
            for (mine, theirs) in self.at_edges.iter_mut().zip(other.at_edges()) {
                *mine += theirs;
            }
        } else {
            for &(value, count) in other.buckets() {
                self.at_edges[self.edges.bucket(value)] += count;
            }
        }
        self.sum += other.sum();
        self.min = self.min.min(other.min().unwrap_or(u64::MAX));
        self.max = self.max.max(other.max().unwrap_or(0));
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.hdr.reset();
        self.at_edges.fill(0);
        (self.sum, self.min, self.max) = (0, u64::MAX, 0);
    }

    /// The same counts in their compact form.
    pub fn distribution(&self) -> Distribution {
        let buckets =
            self.hdr.iter_recorded().map(|point| (point.value_iterated_to(), point.count_at_value()));
        Distribution::from_parts(
            self.edges.clone(),
            &self.at_edges,
            self.sum,
            self.min,
            self.max,
            buckets.collect(),
        )
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.hdr.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.hdr.is_empty()
    }

    /// Exact sum in nanoseconds.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The shortest, exactly.
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// The longest, exactly.
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The exact mean, in nanoseconds.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count() as f64)
    }

    /// Standard deviation in nanoseconds, from the buckets.
    pub fn stddev(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.hdr.stdev())
    }

    /// The smallest recorded value with at least the quantile's share of values at or below it,
    /// within the histogram's resolution; `None` with fewer values than the quantile needs.
    pub fn quantile(&self, quantile: Quantile) -> Option<u64> {
        let count = self.count();
        if count < quantile.fewest() {
            return None;
        }
        // Half a rank below the rank asked for: no rounding of the product can reach a neighbour.
        let share = (quantile.rank(count) as f64 - 0.5) / count as f64;
        Some(self.hdr.value_at_quantile(share).clamp(self.min, self.max))
    }

    /// How many were at or below `nanos`: exact at an edge, else from the buckets.
    pub fn at_or_below(&self, nanos: u64) -> u64 {
        match self.edges.position(nanos) {
            Some(position) => self.at_edges[..=position].iter().sum(),
            None => self.hdr.count_between(0, nanos.min(LONGEST_NANOS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new(Edges::with_thresholds([250_000_000, 333]));
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    #[test]
    fn nothing_counted_gives_nothing() {
        let empty = of(&[]);
        assert_eq!(
            (empty.count(), empty.min(), empty.max(), empty.mean(), empty.stddev()),
            (0, None, None, None, None)
        );
        assert_eq!(empty.quantile(Quantile::P50), None);
        assert!(empty.distribution().is_empty());
    }

    #[test]
    fn a_quantile_without_enough_values_is_not_given() {
        assert_eq!(of(&[1_000_000]).quantile(Quantile::P50), None);
        assert_eq!(of(&vec![1_000_000; 99]).quantile(Quantile::P99), None);
        assert_eq!(of(&vec![1_000_000; 100]).quantile(Quantile::P99), Some(1_000_000));
    }

    #[test]
    fn thresholds_are_counted_exactly() {
        let histogram = of(&[250_000_000, 250_000_001, 249_999_999]);
        assert_eq!(histogram.at_or_below(250_000_000), 2);
        assert_eq!(histogram.distribution().at_or_below(250_000_000), 2);
    }

    #[test]
    fn an_absurd_duration_is_kept_in_sum_and_maximum() {
        let histogram = of(&[u64::MAX, 1]);
        assert_eq!(histogram.max(), Some(u64::MAX));
        assert_eq!(histogram.sum(), u128::from(u64::MAX) + 1);
        assert_eq!(histogram.count(), 2);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(
            mut values in prop::collection::vec(0_u64..20_000_000_000, 1..400),
            ppm in 0_u32..1_000_000,
        ) {
            let quantile = Quantile::from_ppm(ppm).unwrap();
            let histogram = of(&values);
            values.sort_unstable();
            let truth = (values.len() as u64 >= quantile.fewest())
                .then(|| values[quantile.rank(values.len() as u64) as usize - 1]);
            for found in [histogram.quantile(quantile), histogram.distribution().quantile(quantile)] {
                prop_assert_eq!(found.is_some(), truth.is_some());
                if let (Some(found), Some(truth)) = (found, truth) {
                    let error = found.abs_diff(truth);
                    prop_assert!(error <= RESOLUTION_NANOS.max(truth / 1000), "{found} for {truth}");
                }
            }
        }

        #[test]
        fn merging_conserves_counts_and_commutes(
            left in prop::collection::vec(0_u64..5_000_000_000, 0..200),
            right in prop::collection::vec(0_u64..5_000_000_000, 0..200),
        ) {
            let (left, right) = (of(&left), of(&right));
            let mut one = left.clone();
            one.add(&right.distribution());
            let mut other = right.distribution();
            other.merge(&left.distribution());
            prop_assert_eq!(one.distribution(), other.clone());
            prop_assert_eq!(one.count(), left.count() + right.count());
            prop_assert_eq!(other.at_edges().iter().sum::<u64>(), one.count());
        }

        #[test]
        fn a_distribution_survives_its_wire_form(values in prop::collection::vec(0_u64..90_000_000_000, 0..200)) {
            let before = of(&values).distribution();
            let bytes = before.to_hdr_bytes();
            let after = Distribution::from_hdr_bytes(
                &bytes, before.edges().clone(), before.at_edges(), before.sum(), before.min().unwrap_or(0), before.max().unwrap_or(0),
            ).unwrap();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Distribution::from_hdr_bytes(&bytes, Edges::default(), &[], 0, 0, 0);
        }
    }
}
