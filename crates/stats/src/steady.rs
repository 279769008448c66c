use crate::two_sample::Moments;

/// Values are averaged by so many: single ones are too noisy to be told apart.
const BATCH: usize = 5;
/// The fewest batches that have a half to be cut.
const FEWEST: usize = 10;

/// From where on a run is steady.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steady {
    /// What is before this index is warm-up; 0 where there is none.
    From {
        /// The index of the first value that counts, a multiple of five.
        index: usize,
        /// The mean from there on, in the unit of the values.
        level: f64,
    },
    /// It still changes in the later half, or does so all the time: nothing of it is steady.
    Never,
    /// There are fewer than 50 values.
    TooShort,
}

/// From where on the values of a run, in the order of their time and at even distances (such as the p95 of each second), are steady.
///
/// MSER-5: of means of five values each, those are cut at the start without which the standard error of the mean of the rest is least,
/// Σ (z - mean)² / (number left)² (K. P. White, *An effective truncation heuristic for bias reduction in simulation output*, Simulation 69,
/// 1997; K. P. White, M. J. Cobb and S. C. Spratt, *A comparison of five steady-state truncation heuristics for simulation*, Winter
/// Simulation Conference 2000). Where the least is not within the first half there is no steady state to be seen. Linear time.
///
/// Values that are not finite are left out of their means; a mean of none is left out itself. Cutting the warm-up takes a little of what
/// is steady along: it is made for the level, not for the moment. A slow leak stays below its eye; [`leak`](crate::leak()) is for those.
pub fn steady(values: &[f64]) -> Steady {
    let batches: Vec<(usize, f64)> = values
        .chunks_exact(BATCH)
        .enumerate()
        .filter_map(|(index, batch)| {
            let finite = || batch.iter().copied().filter(|value| value.is_finite());
            (finite().count() > 0).then(|| (index * BATCH, Moments::of(finite()).mean))
        })
        .filter(|(_, mean)| mean.is_finite())
        .collect();
    let count = batches.len();
    if count < FEWEST {
        return Steady::TooShort;
    }
    // Sums from the end: of so many batches, without what is usual, so that squares keep their digits.
    let usual = Moments::of(batches.iter().map(|(_, mean)| *mean)).mean;
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut errors = vec![f64::INFINITY; count];
    for (index, (_, mean)) in batches.iter().enumerate().rev() {
        let apart = mean - usual;
        sum += apart;
        squares += apart * apart;
        let left = (count - index) as f64;
        errors[index] = (squares - sum * sum / left).max(0.0) / (left * left);
    }
    // Of the last few the error is little by chance: they are not looked at.
    let looked_at = &errors[..=3 * count / 4];
    let least = looked_at.iter().enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
    match least {
        Some((cut, _)) if cut <= count / 2 => {
            let level = Moments::of(batches[cut..].iter().map(|(_, mean)| *mean)).mean;
            Steady::From { index: if cut == 0 { 0 } else { batches[cut].0 }, level }
        }
        _ => Steady::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn index(found: Steady) -> Option<usize> {
        match found {
            Steady::From { index, .. } => Some(index),
            Steady::Never | Steady::TooShort => None,
        }
    }

    /// Values that come down from `above` to 100 with a time constant of `over`, with noise of five.
    fn warming(seed: u64, above: f64, over: f64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        (0..600).map(|n| 100.0 + above * (-f64::from(n) / over).exp() + 5.0 * noise.normal()).collect()
    }

    #[test]
    fn warm_up_is_cut_and_the_rest_is_kept() {
        for seed in 0..100 {
            let Steady::From { index, level } = steady(&warming(seed, 200.0, 20.0)) else { panic!("{seed}") };
            // After 60 values 200 have become 10, after 100 they are 1.3.
            assert!((50..=300).contains(&index) && (level - 100.0).abs() < 1.0, "{seed}: {index} {level}");
        }
        let cuts: usize = (0..100).filter_map(|seed| index(steady(&warming(seed, 200.0, 20.0)))).sum();
        assert!(cuts < 100 * 150, "a quarter of the run, {cuts} of 60,000");
    }

    #[test]
    fn what_is_steady_from_the_start_is_kept_as_a_rule() {
        let cuts: Vec<Option<usize>> = (0..200).map(|seed| index(steady(&warming(seed, 0.0, 1.0)))).collect();
        let mut kept: Vec<usize> = cuts.iter().flatten().copied().collect();
        kept.sort_unstable();
        assert!(kept.len() >= 170, "{} of 200", kept.len());
        assert!(kept[kept.len() / 2] <= 60, "a tenth of it: {kept:?}");
    }

    #[test]
    fn what_never_settles_is_never_steady() {
        let mut noise = Noise::new(1);
        let slope: Vec<f64> = (0..600).map(|n| 100.0 + f64::from(n) + 5.0 * noise.normal()).collect();
        assert_eq!(steady(&slope), Steady::Never);
        let late: Vec<f64> = (0..600).map(|n| if n < 400 { 200.0 } else { 100.0 } + noise.normal()).collect();
        assert_eq!(steady(&late), Steady::Never);
    }

    #[test]
    fn constants_gaps_and_short_runs() {
        assert_eq!(steady(&[7.0; 50]), Steady::From { index: 0, level: 7.0 });
        assert_eq!(steady(&[7.0; 49]), Steady::TooShort);
        assert_eq!(steady(&[f64::NAN; 500]), Steady::TooShort);
        let mut values = warming(2, 300.0, 10.0);
        values[0..7].fill(f64::NAN);
        values.iter_mut().skip(20).step_by(7).for_each(|value| *value = f64::INFINITY);
        let Steady::From { index, level } = steady(&values) else { panic!("gaps are no reason") };
        assert!(index >= 25 && (level - 100.0).abs() < 1.0, "{index} {level}");
    }
}
