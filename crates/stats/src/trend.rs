use statrs::distribution::{ContinuousCDF, Normal};

use crate::points::{Point, finite, thinned};
use crate::ranks::{autocorrelation, median, ranks};

/// Pairs are compared, so longer series are thinned to so many medians first: 7,140 pairs.
pub(crate) const MOST: usize = 120;
/// The fewest points that a trend can be tested with; the normal approximation holds from 10 (Kendall 1975).
const FEWEST: usize = 10;
/// What is left of values without their line is nothing below this share of them.
const ROUNDING: f64 = 1e-9;
/// Two-sided 95% of the normal distribution.
pub(crate) const Z95: f64 = 1.959_963_984_540_054;

/// How a series goes over its places, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// The median of the slopes of all pairs of points: units of value per unit of place.
    pub slope: f64,
    /// Its interval of 95%, corrected for autocorrelation.
    pub interval: (f64, f64),
    /// How likely it would be to see as much growth where there is none: one-sided, 0 to 1.
    pub p_growth: f64,
    /// How many values it stands on, after thinning.
    pub points: usize,
    /// How many times as large as that of independent values the variance of the test is; at least 1.
    pub inflation: f64,
    /// The line through the median of the points, at place 0.
    pub(crate) offset: f64,
}

impl Trend {
    /// The value of the line at a place.
    pub fn value_at(&self, at: f64) -> f64 {
        self.offset + self.slope * at
    }
}

/// The trend of a series; `None` with fewer than 10 places with values, or where a number gets too large.
///
/// Slope and interval are those of Theil and Sen (P. K. Sen, *Estimates of the regression coefficient based on
/// Kendall's tau*, JASA 63, 1968, section 4): up to 29% of the points may be anything. The test is that of Mann and
/// Kendall, its variance multiplied by n/n* after K. H. Hamed and A. R. Rao, *A modified Mann-Kendall trend test for
/// autocorrelated data*, J. Hydrology 204, 1998, eqs. 9 to 11: rank autocorrelation of what remains without the slope.
/// Their factor is too small for strong autocorrelation in short series, so it is at least that of a first-order
/// autoregression, (1 + r)/(1 - r), with r free of its bias in small samples (M. G. Kendall, Biometrika 41, 1954), and at least 1.
/// A series of more than 120 places is thinned to medians of stretches before; they are less autocorrelated too.
pub fn trend(points: &[Point]) -> Option<Trend> {
    trend_of(&thinned(&finite(points), MOST))
}

/// The same of points in order, not too many, each at a place of its own.
pub(crate) fn trend_of(points: &[Point]) -> Option<Trend> {
    let count = points.len();
    if count < FEWEST {
        return None;
    }
    let (mut slopes, mut concordant) = (Vec::with_capacity(count * (count - 1) / 2), 0.0);
    for (index, one) in points.iter().enumerate() {
        for other in &points[index + 1..] {
            let rise = other.value - one.value;
            slopes.push(rise / (other.at - one.at));
            concordant += sign(rise);
        }
    }
    if slopes.iter().any(|slope| !slope.is_finite()) {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let slope = median(&mut slopes.clone())?;
    let mut offsets: Vec<f64> = points.iter().map(|point| point.value - slope * point.at).collect();
    // What rounding leaves of a line has patterns of its own.
    let is_line = range(offsets.iter().copied()) <= ROUNDING * range(points.iter().map(|point| point.value));
    let inflation = if is_line { 1.0 } else { inflation(&offsets) };
    let deviation = (independent_variance(points) * inflation).sqrt();
    // One less for continuity: the sum moves in steps of two.
    let z = if deviation > 0.0 { (concordant - sign(concordant)) / deviation } else { 0.0 };
    let normal = Normal::standard();
    Some(Trend {
        slope,
        interval: interval(&slopes, Z95 * deviation),
        p_growth: if deviation > 0.0 { normal.sf(z) } else { 1.0 },
        points: count,
        inflation,
        offset: median(&mut offsets)?,
    })
}

/// From the smallest to the largest.
fn range(values: impl Iterator<Item = f64>) -> f64 {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    high - low
}

/// 1, 0 or -1; that of a zero is 0.
fn sign(value: f64) -> f64 {
    f64::from(i8::from(value > 0.0) - i8::from(value < 0.0))
}

/// Var(S) = (n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18 over groups of t equal values (Kendall 1975).
fn independent_variance(points: &[Point]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
    values.sort_by(f64::total_cmp);
    let of = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let ties: f64 = values.chunk_by(|one, other| one == other).map(|same| of(same.len() as f64)).sum();
    (of(values.len() as f64) - ties) / 18.0
}

/// n/n*: how much more the sum of an autocorrelated series varies. `offsets` are what remains without the slope.
fn inflation(offsets: &[f64]) -> f64 {
    let count = offsets.len() as f64;
    let lags = autocorrelation(&ranks(offsets), offsets.len() / 4);
    let significant = Z95 / count.sqrt();
    // Hamed and Rao: 1 + 2/(n(n-1)(n-2)) Σ (n-k)(n-k-1)(n-k-2) r(k), over lags that stand out of noise. Far ones are noise.
    let mut sum = 0.0;
    for (index, correlation) in lags.iter().enumerate().filter(|(_, r)| r.abs() > significant) {
        let left = count - (index + 1) as f64;
        sum += left * (left - 1.0) * (left - 2.0) * correlation;
    }
    let by_lags = 1.0 + 2.0 * sum / (count * (count - 1.0) * (count - 2.0));
    let first = lags.first().copied().unwrap_or_default();
    // The bias with an estimated mean is -(1 + 3r)/n, and the slope takes another 1/n or so.
    let first = (first + (2.0 + 4.0 * first) / count).clamp(0.0, 0.97);
    let by_first = if first > significant { (1.0 + first) / (1.0 - first) } else { 1.0 };
    by_lags.max(by_first).max(1.0)
}

/// Sen's interval: of N sorted slopes those at (N ± C)/2.
fn interval(slopes: &[f64], reach: f64) -> (f64, f64) {
    let (all, last) = (slopes.len() as f64, slopes.len() - 1);
    let low = ((all - reach) / 2.0).floor().max(0.0) as usize;
    let high = ((all + reach) / 2.0).ceil() as usize;
    (slopes[low.min(last)], slopes[high.min(last)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, each_second};

    #[test]
    fn a_line_is_found_whatever_some_points_say() {
        let mut points = each_second((0..100).map(|n| 5.0 + 2.0 * f64::from(n)));
        for index in [3, 17, 50, 51, 80, 99] {
            points[index].value = 1e6;
        }
        points[20].value = f64::NAN;
        let found = trend(&points).unwrap();
        assert!((found.slope - 2.0).abs() < 1e-9, "{found:?}");
        assert!((found.value_at(10.0) - 25.0).abs() < 1e-6);
        assert!(found.interval.0 <= 2.0 && 2.0 <= found.interval.1 && found.p_growth < 1e-9, "{found:?}");
    }

    #[test]
    fn few_or_constant_or_enormous_values_have_no_growth() {
        assert_eq!(trend(&each_second([1.0, 2.0, 3.0])), None);
        assert_eq!(trend(&[]), None);
        let constant = trend(&each_second([7.0; 50])).unwrap();
        assert_eq!((constant.slope, constant.interval, constant.p_growth), (0.0, (0.0, 0.0), 1.0));
        let enormous = (0..20).map(|n| if n % 2 == 0 { f64::MAX } else { -f64::MAX });
        assert_eq!(trend(&each_second(enormous)), None);
    }

    /// Thinned, it is at places that no number is exactly.
    #[test]
    fn what_rounding_leaves_of_a_line_is_no_autocorrelation() {
        for slope in [1.0, 1e4, 0.1, 1.0 / 3.0] {
            let found = trend(&each_second((0..600).map(|n| slope * f64::from(n)))).unwrap();
            assert_eq!(found.inflation, 1.0, "{slope}: {found:?}");
        }
    }

    #[test]
    fn a_falling_line_does_not_grow() {
        let found = trend(&each_second((0..50).map(|n| -f64::from(n)))).unwrap();
        assert!(found.p_growth > 0.999 && found.slope == -1.0);
    }

    /// Mann-Kendall without ties, by hand: 10 values that all rise have S = 45, Var = 125, z = 44/√125 = 3.935.
    #[test]
    fn the_test_is_that_of_the_book() {
        let found = trend(&each_second((0..10).map(f64::from))).unwrap();
        assert!((found.p_growth - 4.15e-5).abs() < 2e-7, "{found:?}");
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        for (phi, least) in [(0.0, 0.92), (0.5, 0.90), (0.9, 0.88)] {
            let held = (0..400).filter(|seed| {
                let mut noise = Noise::new(*seed);
                let values = noise.autoregressive(600, phi).into_iter().zip(0..);
                let points = each_second(values.map(|(value, n)| value + 0.01 * f64::from(n)));
                let (low, high) = trend(&points).unwrap().interval;
                low <= 0.01 && 0.01 <= high
            });
            let share = held.count() as f64 / 400.0;
            assert!(share >= least, "{phi}: {share}");
        }
    }
}
