//! Means of values that follow each other in time and so depend on each other.
//!
//! Seconds of a run are no independent samples: a queue that was long a second ago is long now. The
//! variance of their mean is that of independent values times the integrated autocorrelation time
//!
//! τ = 1 + 2 Σ ρₖ
//!
//! which is the same as having only n/τ values. Two estimates of τ are made and the larger is taken,
//! because each is too small where the other is right: Geyer's initial positive sequence (C. J. Geyer,
//! "Practical Markov Chain Monte Carlo", Statistical Science 7(4), 1992, §3.3), which follows correlation of
//! any shape and needs many values; and (1 + φ)/(1 − φ) of a first-order autoregression, whose φ is
//! freed of the bias that it has in short series (F. H. C. Marriott, J. A. Pope, "Bias in the
//! Estimation of Autocorrelations", Biometrika 41, 1954: E[φ̂] ≈ φ − (1 + 3φ)/n).
//!
//! Values that avoid each other (τ below 1) are taken as independent.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error, in the unit of the value, zero or more.
    pub standard_error: f64,
    /// On how many degrees of freedom the standard error stands: the number of independent values that the
    /// data are worth, less one; at least 1.
    pub degrees_of_freedom: f64,
}

impl Mean {
    /// Within what it lies, two-sided with the confidence `level` (such as 0.9), by Student's t.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = self.standard_error * t_quantile(level, self.degrees_of_freedom);
        (self.value - half, self.value + half)
    }
}

/// The factor of a standard error that an interval of this two-sided level needs. `level` is brought into
/// (0, 1), `degrees` to 1 or more.
pub(crate) fn t_quantile(level: f64, degrees: f64) -> f64 {
    let level = level.clamp(1e-6, 1.0 - 1e-9);
    match StudentsT::new(0.0, 1.0, degrees.max(1.0)) {
        Ok(student) => student.inverse_cdf(0.5 + level / 2.0),
        // Unreachable with degrees of one or more; an endless interval claims nothing.
        Err(_) => f64::INFINITY,
    }
}

/// The mean of values in their order of time; `None` with fewer than two.
pub(crate) fn mean(values: &[f64]) -> Option<Mean> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let value = average(values);
    // What rounding leaves of equal values is nothing.
    let dust = 1e-12 * value.abs();
    let residual = |each: &f64| if (each - value).abs() <= dust { 0.0 } else { each - value };
    let residuals: Vec<f64> = values.iter().map(residual).collect();
    let (standard_error, degrees_of_freedom) = error_of_mean(&residuals, count);
    Some(Mean { value, standard_error, degrees_of_freedom })
}

/// Σ part / Σ whole of values in their order of time; `None` with fewer than two or nothing to divide by.
///
/// The error is that of the mean of `part − ratio·whole` over the mean of `whole` (W. G. Cochran, *Sampling
/// Techniques*, 1977, §6.3), correlation in time included.
pub(crate) fn ratio(parts: &[f64], wholes: &[f64]) -> Option<Mean> {
    let count = parts.len() as f64;
    let whole: f64 = wholes.iter().sum();
    if parts.len() < 2 || parts.len() != wholes.len() || whole <= 0.0 {
        return None;
    }
    let value = parts.iter().sum::<f64>() / whole;
    let residuals: Vec<f64> = parts.iter().zip(wholes).map(|(part, whole)| part - value * whole).collect();
    let (error, degrees_of_freedom) = error_of_mean(&residuals, count);
    Some(Mean { value, standard_error: error * count / whole, degrees_of_freedom })
}

/// The standard error of a mean and its degrees of freedom, from what is left when it is taken away.
///
/// The sum of squares is too small as well where values depend on each other: E[Σr²/n] = σ²(1 − τ/n).
fn error_of_mean(residuals: &[f64], count: f64) -> (f64, f64) {
    let time = correlation_time(residuals);
    let worth = count / time;
    let variance = residuals.iter().map(|residual| residual * residual).sum::<f64>() / count;
    ((variance / (worth - 1.0)).sqrt(), worth - 1.0)
}

/// The integrated autocorrelation time τ of residuals, from 1 up to half their number: they are never
/// worth less than two independent values.
pub(crate) fn correlation_time(residuals: &[f64]) -> f64 {
    let count = residuals.len();
    let most = (count as f64 / 2.0).max(1.0);
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    if count < 4 || squares <= 0.0 || !squares.is_finite() {
        return 1.0;
    }
    let correlation = |lag: usize| {
        let products = residuals.iter().zip(&residuals[lag..]).map(|(now, later)| now * later);
        products.sum::<f64>() / squares
    };
    let first = correlation(1);
    let corrected = (first + (1.0 + 3.0 * first) / count as f64).clamp(0.0, 0.99);
    let autoregressive = (1.0 + corrected) / (1.0 - corrected);
    // Pairs of neighbouring lags from 0 on, as long as their sum is positive and does not grow.
    let (mut sum, mut least) = (0.0, f64::INFINITY);
    for lag in (0..count / 2).step_by(2) {
        let pair = if lag == 0 { 1.0 + first } else { correlation(lag) + correlation(lag + 1) };
        if pair <= 0.0 {
            break;
        }
        least = least.min(pair);
        sum += least;
    }
    (2.0 * sum - 1.0).max(autoregressive).clamp(1.0, most)
}

pub(crate) fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle value of some, the mean of the middle two of an even number; `None` of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The slope of a straight line through values one step apart, per step, and the t statistic of it being
/// other than zero, correlation in time included. Both are zero with fewer than four values.
pub(crate) fn drift(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    if values.len() < 4 {
        return (0.0, 0.0);
    }
    let (middle, mean) = ((count - 1.0) / 2.0, average(values));
    let offset = |index: usize| index as f64 - middle;
    let spread = count * (count * count - 1.0) / 12.0;
    let slope =
        values.iter().enumerate().map(|(index, value)| offset(index) * (value - mean)).sum::<f64>() / spread;
    let residuals: Vec<f64> =
        values.iter().enumerate().map(|(index, value)| value - mean - slope * offset(index)).collect();
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let time = correlation_time(&residuals);
    let variance = squares / (count - 2.0) * time / spread;
    let t = if variance > 0.0 { slope / variance.sqrt() } else { slope.signum() * f64::INFINITY };
    if slope == 0.0 { (0.0, 0.0) } else { (slope, t) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, autoregressive};

    /// How often a 90% interval holds the truth, over series of one kind.
    fn coverage(phi: f64, count: usize) -> f64 {
        let mut noise = Noise::new(7);
        const SERIES: usize = 2000;
        let held = (0..SERIES).filter(|_| {
            let values = autoregressive(&mut noise, count, phi);
            let (low, high) = mean(&values).unwrap().interval(0.9);
            low <= 0.0 && 0.0 <= high
        });
        held.count() as f64 / SERIES as f64
    }

    #[test]
    fn intervals_of_correlated_values_hold_the_truth() {
        for (phi, count, least, most) in [
            (0.0, 10, 0.86, 0.96),
            (0.0, 30, 0.86, 0.95),
            (0.0, 300, 0.86, 0.94),
            (0.5, 30, 0.84, 0.96),
            (0.5, 300, 0.86, 0.95),
            (0.8, 60, 0.83, 0.96),
            (0.8, 300, 0.86, 0.95),
            // Ten seconds that hardly change carry little, whatever one does with them.
            (0.8, 10, 0.70, 0.96),
        ] {
            let held = coverage(phi, count);
            assert!((least..=most).contains(&held), "phi {phi}, {count} values: {held}");
        }
    }

    #[test]
    fn correlation_time_is_known_of_an_autoregression() {
        let mut noise = Noise::new(3);
        for (phi, expected) in [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)] {
            let time = correlation_time(&autoregressive(&mut noise, 20_000, phi));
            assert!((time / expected - 1.0).abs() < 0.2, "phi {phi}: {time}");
        }
    }

    #[test]
    fn few_or_equal_values_do_no_harm() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0]), None);
        let sure = mean(&[5.0; 20]).unwrap();
        assert_eq!((sure.value, sure.standard_error), (5.0, 0.0));
        assert_eq!(ratio(&[0.0, 0.0], &[0.0, 0.0]), None);
        assert_eq!(drift(&[1.0, 2.0]), (0.0, 0.0));
        assert_eq!(drift(&[2.0; 9]), (0.0, 0.0));
        assert_eq!(drift(&[1.0, 2.0, 3.0, 4.0]), (1.0, f64::INFINITY));
    }

    #[test]
    fn a_ratio_is_that_of_the_sums() {
        let found = ratio(&[1.0, 0.0, 3.0, 0.0], &[10.0, 10.0, 10.0, 10.0]).unwrap();
        assert!((found.value - 0.1).abs() < 1e-12);
        assert!(found.standard_error > 0.0);
    }
}
