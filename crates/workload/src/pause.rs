use std::f64::consts::TAU;
use std::time::Duration;

use plimsoll_units::duration;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How long somebody waits: the same time again and again, or drawn from a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pause {
    /// Evenly from `min..=max`; always the same where both are equal.
    Even {
        /// The shortest.
        min: Duration,
        /// The longest, not below `min`.
        max: Duration,
    },
    /// Exponential: short ones often, long ones seldom.
    Exponential {
        /// The mean of the distribution; no draw is longer than [`LONGEST_MEANS`] of it.
        mean: Duration,
    },
    /// Log-normal, as people's reading times are.
    LogNormal {
        /// Half of the draws are shorter.
        median: Duration,
        /// Standard deviation of the natural logarithm, above zero. Draws lie within
        /// [`FARTHEST_DEVIATIONS`] of it.
        sigma: f64,
    },
}

/// The longest exponential pause, in means. One draw in 22,000 is longer and would hold a user for no
/// purpose; cutting it takes 0.05% from the mean.
pub const LONGEST_MEANS: f64 = 10.0;

/// The farthest log-normal pause, in standard deviations of the logarithm: one draw in 16,000 lies
/// beyond, and without a bound a wide distribution draws hours.
pub const FARTHEST_DEVIATIONS: f64 = 4.0;

impl Pause {
    /// Always the same.
    pub const fn fixed(length: Duration) -> Self {
        Self::Even { min: length, max: length }
    }

    /// Whether it is no pause at all.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Even { max, .. } => max.is_zero(),
            Self::Exponential { mean } => mean.is_zero(),
            Self::LogNormal { median, .. } => median.is_zero(),
        }
    }

    /// The length where it is always the same.
    pub fn always(&self) -> Option<Duration> {
        match self {
            Self::Even { min, max } if min == max => Some(*min),
            Self::Even { .. } | Self::Exponential { .. } | Self::LogNormal { .. } => None,
        }
    }

    /// Draws a length in nanoseconds, at most [`duration::LONGEST`].
    pub fn draw(&self, random: &mut ChaCha8Rng) -> u64 {
        let length = match self {
            Self::Even { min, max } => random.random_range(min.as_nanos() as u64..=max.as_nanos() as u64),
            // The inverse of the distribution function; 1 - u is never zero for u in [0, 1).
            Self::Exponential { mean } => {
                let means = -(1.0 - random.random::<f64>()).ln();
                (mean.as_nanos() as f64 * means.min(LONGEST_MEANS)) as u64
            }
            Self::LogNormal { median, sigma } => {
                // Box and Muller, "A note on the generation of random normal deviates" (1958).
                let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
                let normal = radius * (TAU * random.random::<f64>()).cos();
                let normal = normal.clamp(-FARTHEST_DEVIATIONS, FARTHEST_DEVIATIONS);
                (median.as_nanos() as f64 * (sigma * normal).exp()) as u64
            }
        };
        length.min(duration::LONGEST.as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// 20,000 draws in seconds, in order.
    fn draws(pause: Pause) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let mut all: Vec<_> = (0..20_000).map(|_| pause.draw(&mut random) as f64 / 1e9).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn an_even_pause_fills_its_range_and_a_fixed_one_is_always_the_same() {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(2));
        let even = draws(Pause::Even { min, max });
        assert!(even[0] >= 0.2 && even[19_999] <= 2.0);
        // 1.8 s / sqrt(12) / sqrt(20,000) = 3.7 ms: five of them.
        assert!((mean(&even) - 1.1).abs() < 0.019, "{}", mean(&even));
        assert!(draws(Pause::fixed(min)).iter().all(|length| *length == 0.2));
        assert_eq!(Pause::fixed(min).always(), Some(min));
        assert_eq!(Pause::Even { min, max }.always(), None);
    }

    #[test]
    fn an_exponential_pause_has_its_mean_and_its_end() {
        let all = draws(Pause::Exponential { mean: Duration::from_secs(3) });
        // The standard deviation is the mean: 3 s / sqrt(20,000) = 21 ms, five of them and the cut.
        assert!((mean(&all) - 3.0).abs() < 0.11, "{}", mean(&all));
        assert!((all[10_000] - 3.0 * 2.0_f64.ln()).abs() < 0.11, "{}", all[10_000]);
        assert!(all[19_999] <= 30.0, "{}", all[19_999]);
    }

    #[test]
    fn a_log_normal_pause_has_its_median_and_its_width() {
        let all = draws(Pause::LogNormal { median: Duration::from_secs(1), sigma: 0.5 });
        assert!((all[10_000] - 1.0).abs() < 0.03, "{}", all[10_000]);
        // One standard deviation above the median lies quantile 0.8413: e^0.5.
        assert!((all[16_827] - 0.5_f64.exp()).abs() < 0.06, "{}", all[16_827]);
        let nanosecond = 1e-9;
        assert!(all[0] >= (-2.0_f64).exp() - nanosecond && all[19_999] <= 2.0_f64.exp() + nanosecond);
    }

    #[test]
    fn no_pause_is_none() {
        for (pause, is_zero) in [
            (Pause::fixed(Duration::ZERO), true),
            (Pause::Even { min: Duration::ZERO, max: Duration::from_nanos(1) }, false),
            (Pause::Exponential { mean: Duration::ZERO }, true),
            (Pause::LogNormal { median: Duration::from_secs(1), sigma: 1.0 }, false),
        ] {
            assert_eq!(pause.is_zero(), is_zero, "{pause:?}");
        }
    }
}
