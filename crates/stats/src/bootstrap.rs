//! The bootstrap-t interval of a change: what Welch's becomes when nothing is supposed of the shape of the noise.

use crate::two_sample::{Interval, Moments};

/// Fewer runs have resamples without any scatter too often to divide by it.
const FEWEST: usize = 5;
/// With 2.5% to either side, 50 resamples lie beyond each end.
const RESAMPLES: usize = 2000;
/// No more values of a side are drawn from: beyond, the interval is Welch's to all digits that matter.
const MOST_RUNS: usize = 10_000;

/// The interval of 95% of candidate / base - 1 by bootstrap-t over runs: quantiles of (d* - d)/s*, over 2,000 resamples of
/// each side, times the standard error s of d, a difference of means of logarithms (B. Efron and R. J. Tibshirani, *An
/// Introduction to the Bootstrap*, 1993, section 12.5, eq. 12.22).
///
/// It is shown beside [`Comparison::interval`](crate::Comparison::interval), and decides nothing: where the two disagree the noise is
/// skewed, and more runs are worth more than either. Percentiles of few runs are too narrow and are not offered. The same
/// values and seed have the same interval on every machine.
///
/// `None` with fewer than 5 runs a side or more than 10,000, with values that are not positive and finite, or without scatter.
pub fn bootstrap_t(base: &[f64], candidate: &[f64], seed: u64) -> Option<Interval> {
    let logs = |values: &[f64]| -> Option<Vec<f64>> {
        let is_fit = |value: &f64| *value > 0.0 && value.is_finite();
        let is_right = (FEWEST..=MOST_RUNS).contains(&values.len()) && values.iter().all(is_fit);
        is_right.then(|| values.iter().map(|value| value.ln()).collect())
    };
    let (base, candidate) = (logs(base)?, logs(candidate)?);
    let (ratio, error) = difference(&base, &candidate);
    if error <= 0.0 {
        return None;
    }
    let mut draws = Draws(seed);
    let (mut one, mut other) = (base.clone(), candidate.clone());
    let mut studentised = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        draws.resample(&base, &mut one);
        draws.resample(&candidate, &mut other);
        let (again, its_error) = difference(&one, &other);
        // One value drawn throughout, on both sides: it has no t.
        if its_error > 0.0 {
            studentised.push((again - ratio) / its_error);
        }
    }
    studentised.sort_by(f64::total_cmp);
    let last = studentised.len().checked_sub(1)?;
    let at = |share: f64| studentised[(last as f64 * share).round() as usize];
    // The upper quantile makes the lower end.
    Some(Interval { low: (ratio - at(0.975) * error).exp_m1(), high: (ratio - at(0.025) * error).exp_m1() })
}

/// The difference of two means and its standard error.
fn difference(base: &[f64], candidate: &[f64]) -> (f64, f64) {
    let (one, other) = (Moments::of(base.iter().copied()), Moments::of(candidate.iter().copied()));
    let variance = one.variance / one.count as f64 + other.variance / other.count as f64;
    (other.mean - one.mean, variance.sqrt())
}

/// SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014, figure 14).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `count`: the upper half of a product, even to `count` in 2^64.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// Draws as many of `from` as `into` has places for, with replacement.
    fn resample(&mut self, from: &[f64], into: &mut [f64]) {
        for place in into {
            *place = from[self.below(from.len())];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use crate::{Runs, two_sample};

    #[test]
    fn the_same_seed_has_the_same_interval() {
        let mut noise = Noise::new(1);
        let (base, candidate) = (noise.log_normal(10, 10.0, 0.02), noise.log_normal(10, 10.5, 0.02));
        let found = bootstrap_t(&base, &candidate, 7).unwrap();
        assert_eq!(bootstrap_t(&base, &candidate, 7), Some(found));
        assert_ne!(bootstrap_t(&base, &candidate, 8), Some(found));
        let runs = |values| Runs { unit: "", values };
        let welch = two_sample(runs(&base), runs(&candidate)).unwrap().interval;
        assert!(
            (found.low - welch.low).abs() < 0.01 && (found.high - welch.high).abs() < 0.01,
            "{found:?} {welch:?}"
        );
    }

    #[test]
    fn what_cannot_be_drawn_from_has_none() {
        let good = [1.0, 1.1, 1.2, 1.1, 1.3];
        for bad in [&good[..4], &[1.0; 5], &[1.0, 1.0, 1.0, 1.0, 0.0], &[1.0, 1.0, 1.0, 1.0, f64::NAN]] {
            assert_eq!(bootstrap_t(bad, &good, 1).is_some(), bad == [1.0; 5], "{bad:?}");
        }
        assert_eq!(bootstrap_t(&[1.0; 5], &[2.0; 5], 1), None);
    }

    fn coverage(runs: usize, sets: u64) -> f64 {
        let covers = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let (base, candidate) = (noise.log_normal(runs, 10.0, 0.03), noise.log_normal(runs, 10.4, 0.03));
            bootstrap_t(&base, &candidate, *seed)
                .is_some_and(|found| (found.low..=found.high).contains(&0.04))
        };
        100.0 * (0..sets).filter(covers).count() as f64 / sets as f64
    }

    #[test]
    fn it_covers_what_it_promises() {
        for (runs, sets) in [(5, 600), (10, 600)] {
            let found = coverage(runs, sets);
            // One standard error of the simulation is 0.9%.
            assert!((92.0..=98.5).contains(&found), "{runs}: {found}%");
        }
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_bootstrap_coverage`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_bootstrap_coverage() {
        for runs in [5, 6, 8, 10, 20] {
            println!("| {runs} | {:.2} |", coverage(runs, 5000));
        }
    }
}
