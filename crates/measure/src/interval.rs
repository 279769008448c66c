use plimsoll_units::Quantile;

use crate::Histogram;
use crate::layout::bounds;

/// The probability that an interval misses the true quantile on one side: 95% in all.
const MISS_EACH_SIDE: f64 = 0.025;

/// The standard normal distribution's quantile of 1 - [`MISS_EACH_SIDE`].
const NORMAL_QUANTILE: f64 = 1.959_963_985;

/// From this variance on a binomial distribution is taken as normal: ranks then differ from the exact
/// ones by one at most, of more than sixty on either side.
const LARGE_VARIANCE: f64 = 1000.0;

/// What a quantile may really be, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Not below.
    pub low: f64,
    /// Not above.
    pub high: f64,
}

/// The intervals of [`crate::LatencyFigures`]; `None` where there are too few values for one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intervals {
    /// The median's.
    pub p50: Option<Interval>,
    /// The 75th percentile's.
    pub p75: Option<Interval>,
    /// The 90th percentile's.
    pub p90: Option<Interval>,
    /// The 95th percentile's.
    pub p95: Option<Interval>,
    /// The 99th percentile's.
    pub p99: Option<Interval>,
    /// The 99.9th percentile's.
    pub p99_9: Option<Interval>,
    /// The 99.99th percentile's.
    pub p99_99: Option<Interval>,
}

impl Histogram {
    /// Within what the quantile of whatever made these durations lies, with a confidence of 95%: from
    /// one recorded value to another, whose ranks depend on the count alone and on no shape of
    /// distribution, each as far out as its bucket reaches. `None` when the values are too few.
    ///
    /// It holds for durations that do not depend on each other. Those of neighbours do, where a queue
    /// builds up: the interval is then too narrow.
    pub fn interval(&self, quantile: Quantile) -> Option<Interval> {
        self.interval_in(quantile, 1e9)
    }

    /// The same in a unit that has so many of the histogram's values.
    fn interval_in(&self, quantile: Quantile, per_one: f64) -> Option<Interval> {
        let (low, high) = ranks(self.count(), quantile.share())?;
        let (mut seen, mut lowest) = (0, None);
        for (index, count) in self.buckets() {
            seen += count;
            let (first, last) = bounds(index);
            if seen >= low {
                lowest.get_or_insert(first);
            }
            if seen >= high {
                let exact = |value: u64| value as f64 / per_one;
                let (low, high) = (lowest?.max(self.min()?), last.min(self.max()?));
                return Some(Interval { low: exact(low), high: exact(high.max(low)) });
            }
        }
        None
    }
}

impl Intervals {
    pub(crate) fn in_units(histogram: &Histogram, per_one: f64) -> Self {
        let interval = |quantile| histogram.interval_in(quantile, per_one);
        Self {
            p50: interval(Quantile::P50),
            p75: interval(Quantile::P75),
            p90: interval(Quantile::P90),
            p95: interval(Quantile::P95),
            p99: interval(Quantile::P99),
            p99_9: interval(Quantile::P99_9),
            p99_99: interval(Quantile::P99_99),
        }
    }
}

/// The ranks l and u (from 1) between whose values the quantile p of the underlying distribution lies
/// with a probability of at least 95%; `None` when no value is high or low enough.
///
/// The number K of n independent values at or below the quantile is binomial(n, p), so
/// P(x(l) <= quantile < x(u)) = P(l <= K <= u - 1): l is the largest rank with P(K < l) <= 2.5%, u the
/// smallest with P(K >= u) <= 2.5%. After Hahn and Meeker, Statistical Intervals, chapter 5.
fn ranks(count: u64, share: f64) -> Option<(u64, u64)> {
    let variance = count as f64 * share * (1.0 - share);
    let (low, high) =
        if variance < LARGE_VARIANCE { exact_ranks(count, share) } else { normal_ranks(count, share) };
    (low >= 1 && high <= count).then_some((low, high))
}

/// With K about normal(np, np(1 - p)); half a rank of continuity, rounded outwards.
fn normal_ranks(count: u64, share: f64) -> (u64, u64) {
    let mean = count as f64 * share;
    let reach = NORMAL_QUANTILE * (mean * (1.0 - share)).sqrt();
    ((mean - reach + 0.5).floor() as u64, (mean + reach + 0.5).ceil() as u64)
}

/// By adding up probabilities around the mode, each from its neighbour:
/// P(k + 1) / P(k) = (n - k) / (k + 1) · p / (1 - p).
fn exact_ranks(count: u64, share: f64) -> (u64, u64) {
    let odds = share / (1.0 - share);
    let ratio = |k: u64| (count - k) as f64 / (k + 1) as f64 * odds;
    let mode = (((count + 1) as f64 * share) as u64).min(count);
    // Relative to the mode's. Beyond what adds to the sum the rest is nothing to 95%.
    let negligible = 1e-15;
    let (mut below, mut weight) = (Vec::new(), 1.0);
    let mut k = mode;
    while k > 0 && weight > negligible {
        k -= 1;
        weight /= ratio(k);
        below.push(weight);
    }
    let first = k;
    let (mut weights, mut weight) = (below, 1.0);
    weights.reverse();
    let mut k = mode;
    while weight > negligible {
        weights.push(weight);
        if k == count {
            break;
        }
        weight *= ratio(k);
        k += 1;
    }
    let allowed = MISS_EACH_SIDE * weights.iter().sum::<f64>();
    let within = |mut weights: Box<dyn Iterator<Item = &f64> + '_>| {
        let mut sum = 0.0;
        weights.position(|weight| {
            sum += weight;
            sum > allowed
        })
    };
    // P(K < l) adds up the weights before l's; the first that is too much is l's own.
    let low = within(Box::new(weights.iter())).map_or(0, |position| first + position as u64);
    let last = first + weights.len() as u64 - 1;
    let high =
        within(Box::new(weights.iter().rev())).map_or(count + 1, |position| last - position as u64 + 1);
    (low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Edges;

    /// The ranks of tables for the sign test and for upper percentiles.
    #[test]
    fn ranks_are_those_of_the_tables() {
        for (count, share, expected) in [
            (0, 0.5, None),
            (1, 0.5, None),
            (5, 0.5, None),
            (6, 0.5, Some((1, 6))),
            (10, 0.5, Some((2, 9))),
            (20, 0.5, Some((6, 15))),
            (100, 0.5, Some((40, 61))),
            (100, 0.9, Some((84, 96))),
            (100, 0.99, None),
            // 0.99^368 is the first power below 2.5%.
            (367, 0.99, None),
            (368, 0.99, Some((360, 368))),
            (3687, 0.999, None),
            (3688, 0.999, Some((3680, 3688))),
        ] {
            assert_eq!(ranks(count, share), expected, "{count} values, {share}");
        }
    }

    #[test]
    fn the_normal_ranks_are_the_exact_ones_within_one_rank() {
        for share in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999] {
            let count = (LARGE_VARIANCE / share / (1.0 - share)).ceil() as u64;
            for count in [count, 2 * count] {
                let (exact, normal) = (exact_ranks(count, share), normal_ranks(count, share));
                assert!(exact.0.abs_diff(normal.0) <= 1, "{count} {share}: {exact:?} {normal:?}");
                assert!(exact.1.abs_diff(normal.1) <= 1, "{count} {share}: {exact:?} {normal:?}");
            }
        }
    }

    /// SplitMix64, by Steele, Lea and Flood: a seed decides everything.
    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential durations with a mean of 10 ms, whose quantiles are known: -ln(1 - q) · 10 ms.
    #[test]
    fn intervals_hold_the_true_quantile_in_95_of_100_runs() {
        const RUNS: u32 = 1000;
        let mut state = 7;
        for (count, quantile) in [
            (30, Quantile::P50),
            (1000, Quantile::P50),
            (200, Quantile::P90),
            (1000, Quantile::P99),
            (5000, Quantile::P99_9),
            // More than a thousand of variance: the normal ranks.
            (6000, Quantile::P75),
        ] {
            let truth = -(1.0 - quantile.share()).ln() * 0.01;
            let (mut held, mut histogram) = (0, Histogram::new(Edges::default()));
            for _ in 0..RUNS {
                for _ in 0..count {
                    histogram.record((-uniform(&mut state).ln() * 1e7) as u64);
                }
                let Interval { low, high } = histogram.interval(quantile).unwrap();
                held += u32::from(low <= truth && truth <= high);
                histogram.clear();
            }
            let coverage = f64::from(held) / f64::from(RUNS);
            // Four standard errors of 95% below; ranks are whole, so coverage is often somewhat more.
            let least = 0.95 - 4.0 * (0.95 * 0.05 / f64::from(RUNS)).sqrt();
            assert!((least..=0.99).contains(&coverage), "{count} values, {quantile}: {coverage}");
        }
    }

    proptest! {
        #[test]
        fn intervals_hold_their_quantile_and_stay_within_what_was_recorded(
            values in prop::collection::vec(0_u64..20_000_000_000, 1..600),
            ppm in 1_u32..1_000_000,
        ) {
            let mut histogram = Histogram::new(Edges::default());
            values.iter().for_each(|nanos| histogram.record(*nanos));
            let quantile = Quantile::from_ppm(ppm).unwrap();
            if let Some(Interval { low, high }) = histogram.interval(quantile) {
                let seconds = |nanos: u64| nanos as f64 / 1e9;
                prop_assert!(seconds(histogram.min().unwrap()) <= low && high <= seconds(histogram.max().unwrap()));
                if let Some(found) = histogram.quantile(quantile).map(seconds) {
                    prop_assert!(low <= found && found <= high, "{low} {found} {high}");
                }
            }
        }

        #[test]
        fn ranks_are_ordered_and_never_fail(count in any::<u64>(), ppm in 1_u32..1_000_000) {
            if let Some((low, high)) = ranks(count, f64::from(ppm) / 1e6) {
                prop_assert!(1 <= low && low < high && high <= count);
            }
        }
    }
}
