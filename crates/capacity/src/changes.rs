//! Where the mean of a series changes.
//!
//! Least squares with a price on each change, solved exactly: the penalised cost of R. Killick, P. Fearnhead,
//! I. A. Eckley, "Optimal Detection of Changepoints With a Linear Computational Cost", JASA 107, 2012,
//! §2.2, by the dynamic programme on which their pruning rests (B. Jackson et al., "An Algorithm for Optimal
//! Partitioning of Data on an Interval", IEEE Signal Processing Letters 12(2), 2005). Pruning changes the speed
//! alone, and series here are bounded.

use std::ops::Range;

use crate::estimate::median;

/// The price of a change in units of the noise's variance, times ln n. Two would be the criterion of Schwarz
/// for a place and a mean (Y.-C. Yao, "Estimating the number of change-points via Schwarz' criterion",
/// Statistics & Probability Letters 6, 1988); one more because noise in time is rarely quite white.
const PRICE: f64 = 3.0;

/// Stretches of about the same mean, in order and without gaps, none shorter than `shortest` unless there
/// are too few values. `noise` is the standard deviation of what is no change, above zero.
pub(crate) fn stretches(values: &[f64], noise: f64, shortest: usize) -> Vec<Range<usize>> {
    let count = values.len();
    let shortest = shortest.max(1);
    if count == 0 {
        return Vec::new();
    }
    let middle = crate::estimate::average(values);
    let (mut sums, mut squares) = (vec![0.0], vec![0.0]);
    for (index, value) in values.iter().enumerate() {
        let value = (value - middle) / noise;
        sums.push(sums[index] + value);
        squares.push(squares[index] + value * value);
    }
    // The squares that are left in a stretch when its mean is taken away.
    let cost = |from: usize, to: usize| {
        let sum = sums[to] - sums[from];
        (squares[to] - squares[from] - sum * sum / (to - from) as f64).max(0.0)
    };
    let price = PRICE * (count.max(2) as f64).ln();
    // Of the first `end` values: the least cost, and where their last stretch begins.
    let mut best = vec![(f64::INFINITY, 0); count + 1];
    best[0] = (-price, 0);
    for end in 1..=count {
        let starts = (0..=end.saturating_sub(shortest)).filter(|start| *start == 0 || *start >= shortest);
        for start in starts {
            let total = best[start].0 + cost(start, end) + price;
            if total < best[end].0 {
                best[end] = (total, start);
            }
        }
    }
    let mut found = Vec::new();
    let mut end = count;
    while end > 0 {
        let start = best[end].1;
        found.push(start..end);
        end = start;
    }
    found.reverse();
    found
}

/// The standard deviation of a series' noise, whatever its level and steps and however it drifts: from second
/// differences, in which a straight line leaves nothing, by their median, which steps do not move.
///
/// Of white noise they have six times its variance, and half of a normal deviate lies within 0.6745 of its
/// standard deviation. Zero with fewer than three values.
pub(crate) fn noise(values: &[f64]) -> f64 {
    let differences: Vec<f64> =
        values.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).collect();
    median(&differences).map_or(0.0, |middle| middle / 0.6745 / 6.0_f64.sqrt())
}

/// How many values at the beginning are best left out, at most half of them: the marginal standard error rule
///
/// d = argmin Σ_{i>d} (yᵢ − ȳ_d)² / (n − d)²
///
/// (K. P. White, "An Effective Truncation Heuristic for Bias Reduction in Simulation Output", SIMULATION
/// 69(6), 1997). Its usual batches of five are there to calm single observations; a value here is
/// already made of all that happened in a second or more. `floor` is a deviation that does not matter: it is added
/// to that of the values, so that a tail which has all but settled is not cut on and on.
pub(crate) fn transient(values: &[f64], floor: f64) -> usize {
    let count = values.len();
    let (mut sum, mut squares) = (0.0, 0.0);
    let middle = if count == 0 { 0.0 } else { crate::estimate::average(values) };
    let mut best = (f64::INFINITY, 0);
    for (index, value) in values.iter().enumerate().rev() {
        let value = value - middle;
        sum += value;
        squares += value * value;
        let kept = (count - index) as f64;
        let statistic = ((squares - sum * sum / kept).max(0.0) + kept * floor * floor) / (kept * kept);
        // Of equals the earliest, which keeps most.
        if index <= count / 2 && statistic <= best.0 {
            best = (statistic, index);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use proptest::prelude::*;

    fn steps(levels: &[(f64, usize)], deviation: f64, seed: u64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        levels
            .iter()
            .flat_map(|(level, count)| std::iter::repeat_n(*level, *count))
            .map(|level| level + deviation * noise.normal())
            .collect()
    }

    #[test]
    fn changes_are_found_where_they_are() {
        for (levels, deviation, expected) in [
            (vec![(10.0, 20), (12.0, 20), (11.0, 20)], 0.2, vec![0, 20, 40, 60]),
            (vec![(10.0, 60)], 0.2, vec![0, 60]),
            (vec![(10.0, 5), (20.0, 5)], 0.2, vec![0, 5, 10]),
            (vec![(10.0, 3)], 0.2, vec![0, 3]),
            (vec![], 0.2, vec![0]),
        ] {
            let found = stretches(&steps(&levels, deviation, 5), deviation, 4);
            let edges: Vec<usize> =
                std::iter::once(0).chain(found.iter().map(|stretch| stretch.end)).collect();
            assert_eq!(edges, expected, "{levels:?}");
        }
    }

    #[test]
    fn white_noise_has_hardly_a_change() {
        let changed = (0..200).filter(|seed| {
            let values = steps(&[(1.0, 120)], 0.1, *seed);
            stretches(&values, noise(&values), 4).len() > 1
        });
        let changed = changed.count();
        assert!(changed <= 10, "{changed} of 200");
    }

    #[test]
    fn noise_is_told_from_steps_and_ramps() {
        let values = steps(&[(10.0, 50), (40.0, 50), (20.0, 50)], 0.3, 1);
        assert!((noise(&values) / 0.3 - 1.0).abs() < 0.25, "{}", noise(&values));
        let ramp: Vec<f64> = values.iter().enumerate().map(|(index, value)| value + index as f64).collect();
        assert!((noise(&ramp) / 0.3 - 1.0).abs() < 0.25);
        assert_eq!(noise(&[1.0, 2.0]), 0.0);
    }

    #[test]
    fn a_transient_is_cut_and_no_more() {
        let mut noise = Noise::new(2);
        for (length, size) in [(0, 0.0), (5, 20.0), (15, 20.0), (20, 5.0)] {
            let values: Vec<f64> =
                (0..60).map(|at| 100.0 + noise.normal() - if at < length { size } else { 0.0 }).collect();
            let cut = transient(&values, 0.0);
            assert!((length..=length + 6).contains(&cut) || (length == 0 && cut < 20), "{length}: {cut}");
        }
        assert_eq!(transient(&[], 0.0), 0);
        assert_eq!(transient(&[5.0; 10], 0.0), 0);
    }

    proptest! {
        #[test]
        fn stretches_cover_all_values_whatever_the_unit(
            values in proptest::collection::vec(-1e3..1e3_f64, 0..80),
            shortest in 1..9_usize,
            by in 1..1000_u32,
            offset in -1e3..1e3_f64,
        ) {
            let found = stretches(&values, 10.0, shortest);
            let mut next = 0;
            for stretch in &found {
                prop_assert_eq!(stretch.start, next);
                prop_assert!(stretch.len() >= shortest.min(values.len()));
                next = stretch.end;
            }
            prop_assert_eq!(next, values.len());
            // A power of two scales without rounding.
            let by = f64::from(by).log2().round().exp2();
            let scaled: Vec<f64> = values.iter().map(|value| value * by).collect();
            prop_assert_eq!(transient(&scaled, by), transient(&values, 1.0));
            let moved: Vec<f64> = values.iter().map(|value| value + offset).collect();
            prop_assert_eq!(stretches(&moved, 10.0, shortest).len(), found.len());
        }
    }
}
