//! Adding runs until a comparison is decided, with error rates that hold however often one looks.

use crate::student::{above, critical};
use crate::two_sample::{Comparison, Refusal, Runs, Test, by_order, two_sample};
use crate::verdict::{Direction, Rule};

/// How many runs a side there are when one looks: each about 1.4 times as many as before. Looking after every run would cost more
/// power than the runs saved.
pub const LOOKS: [usize; 7] = [5, 7, 10, 14, 20, 28, 40];

/// How likely a wrong answer to either side may be over all looks together: a regression called where there is none, and one
/// of the margin let pass.
const SPENT: f64 = 0.008;
/// Which share of that each look spends: more early, because the looks that save runs are the early ones.
const SHARES: [f64; LOOKS.len()] = [0.3, 0.2, 0.15, 0.1, 0.1, 0.075, 0.075];

/// Where a comparison stands that runs are added to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// It got worse, by at least the floor as far as can be guessed.
    Regression,
    /// It got better.
    Improvement,
    /// It did not get worse by more than `within`, as a share; it may have got better.
    NotWorse {
        /// The largest worsening that is not excluded, below the margin: 0.03 is 3%.
        within: f64,
    },
    /// Not decided yet: look again when each side has so many runs.
    More {
        /// Runs of each side, in all.
        until: usize,
    },
    /// Not decided by all the runs there are looks for.
    Undecided,
}

impl Progress {
    /// Whether runs are still to be added.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::More { .. })
    }
}

/// Looks at two sets of runs that grow, each in the order made: the latest of [`LOOKS`] that both have the runs for, with the
/// comparison of that many; `None` before the first.
///
/// Each look has a share of 0.8% to either side, 0.24% at 5 runs to 0.06% at 40, and is decided by one-sided tests of its own at
/// that: above nothing and an estimate of at least the rule's floor is a regression; below its margin is no worse. Whatever the
/// tests of several looks have to do with each other, the sum of what is spent bounds the chance of a wrong answer (Bonferroni's
/// inequality; the spending of error is that of K. K. G. Lan and D. L. DeMets, *Discrete sequential boundaries for clinical
/// trials*, Biometrika 70, 1983). The rule's own level is not used. Runs between two looks are not looked at: they wait.
///
/// Interleave both sides, in random order: that is what makes the drift of a machine cancel.
///
/// # Errors
///
/// As [`two_sample`], of the runs looked at.
pub fn sequential(
    base: Runs<'_>,
    candidate: Runs<'_>,
    direction: Direction,
    rule: &Rule,
) -> Result<(Option<Comparison>, Progress), Refusal> {
    let made = base.values.len().min(candidate.values.len());
    let done = LOOKS.iter().take_while(|look| **look <= made).count();
    let Some(look) = done.checked_sub(1) else {
        return Ok((None, Progress::More { until: LOOKS[0] }));
    };
    let comparison = two_sample(first(base, LOOKS[look]), first(candidate, LOOKS[look]))?;
    // What an earlier look decided stands: one does not look on.
    let progress = judge(&comparison, direction, rule, SPENT * SHARES[look]);
    let next = LOOKS.get(look + 1).map_or(Progress::Undecided, |until| Progress::More { until: *until });
    Ok((Some(comparison), progress.unwrap_or(next)))
}

/// The first runs of a set that has so many.
fn first(runs: Runs<'_>, count: usize) -> Runs<'_> {
    Runs { values: &runs.values[..count], ..runs }
}

/// Three verdicts at a one-sided level, or none.
fn judge(comparison: &Comparison, direction: Direction, rule: &Rule, level: f64) -> Option<Progress> {
    let worse = direction.worsening(comparison.log_ratio);
    if beyond(comparison) <= level && worse.abs() >= rule.floor().ln_1p() {
        return Some(if worse > 0.0 { Progress::Regression } else { Progress::Improvement });
    }
    let bound = worse + half_width(comparison, level);
    (bound < rule.margin().ln_1p()).then(|| Progress::NotWorse { within: bound.max(0.0).exp_m1() })
}

/// How likely so much to the side where it is is by chance.
fn beyond(comparison: &Comparison) -> f64 {
    match comparison.test {
        Test::Order => comparison.p / 2.0,
        Test::Welch | Test::Sessions => {
            above(comparison.log_ratio.abs() / comparison.error, comparison.freedom)
        }
    }
}

/// How far above the estimate the truth may be.
fn half_width(comparison: &Comparison, level: f64) -> f64 {
    match comparison.test {
        Test::Order if comparison.change == 0.0 || by_order(comparison.runs) / 2.0 <= level => 0.0,
        Test::Order => f64::INFINITY,
        Test::Welch | Test::Sessions => critical(level, comparison.freedom) * comparison.error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn runs(values: &[f64]) -> Runs<'_> {
        Runs { unit: "seconds", values }
    }

    fn progress(base: &[f64], candidate: &[f64], direction: Direction) -> Progress {
        sequential(runs(base), runs(candidate), direction, &Rule::default()).unwrap().1
    }

    #[test]
    fn what_is_spent_is_all_there_is() {
        assert!((SHARES.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(LOOKS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn it_waits_for_its_looks() {
        let lower = Direction::LowerIsBetter;
        let loud = [8.0, 12.0, 9.0, 11.0, 10.0, 10.5, 1000.0, 9.5, 8.5, 11.5];
        assert_eq!(progress(&loud[..4], &loud, lower), Progress::More { until: 5 });
        assert_eq!(progress(&[], &[], lower), Progress::More { until: 5 });
        assert_eq!(progress(&loud[..6], &loud[..6], lower), Progress::More { until: 7 });
        assert_eq!(progress(&loud, &loud, lower), Progress::More { until: 14 });
        let all: Vec<f64> = loud.iter().cycle().take(60).copied().collect();
        assert_eq!(progress(&all, &all, lower), Progress::Undecided);
        // The seventh run is far off, and is not looked at before the look at seven.
        let quiet = [10.0, 10.01, 10.02, 10.01, 10.0, 10.01];
        assert_eq!(progress(&quiet, &quiet, lower), progress(&quiet[..5], &quiet[..5], lower));
        assert!(matches!(progress(&quiet, &quiet, lower), Progress::NotWorse { within } if within < 0.01));
    }

    #[test]
    fn the_side_says_what_it_is() {
        let (low, high) = ([10.0, 10.1, 9.9, 10.05, 10.0], [12.0, 12.1, 11.9, 12.2, 12.0]);
        assert_eq!(progress(&low, &high, Direction::LowerIsBetter), Progress::Regression);
        assert_eq!(progress(&high, &low, Direction::LowerIsBetter), Progress::Improvement);
        assert_eq!(progress(&low, &high, Direction::HigherIsBetter), Progress::Improvement);
        assert_eq!(progress(&high, &low, Direction::HigherIsBetter), Progress::Regression);
    }

    #[test]
    fn what_has_no_scatter_is_decided_once_the_order_can_tell() {
        let lower = Direction::LowerIsBetter;
        assert_eq!(progress(&[5.0; 5], &[5.0; 5], lower), Progress::NotWorse { within: 0.0 });
        // 1/C(10, 5) = 0.40% is above what the first look may spend.
        assert_eq!(progress(&[5.0; 5], &[6.0; 5], lower), Progress::More { until: 7 });
        assert_eq!(progress(&[5.0; 7], &[6.0; 7], lower), Progress::Regression);
    }

    /// Runs a side used, and what was decided.
    fn play(change: f64, spread: f64, seed: u64) -> (usize, Progress) {
        let mut noise = Noise::new(seed);
        let (mut base, mut candidate) = (Vec::new(), Vec::new());
        loop {
            match progress(&base, &candidate, Direction::LowerIsBetter) {
                Progress::More { until } => {
                    base.extend(noise.log_normal(until - base.len(), 10.0, spread));
                    candidate.extend(noise.log_normal(
                        until - candidate.len(),
                        10.0 * (1.0 + change),
                        spread,
                    ));
                }
                decided => return (base.len(), decided),
            }
        }
    }

    struct Score {
        wrong_of_decided: f64,
        undecided: f64,
        runs: f64,
    }

    /// In percent, and runs a side on average, of as many plays of no change as of +5%.
    fn score(spread: f64, sets: u64) -> Score {
        let (mut wrong, mut undecided, mut runs) = (0, 0, 0);
        for seed in 0..sets {
            for change in [0.0, 0.05] {
                let (used, decided) = play(change, spread, seed);
                runs += used;
                match decided {
                    Progress::Undecided => undecided += 1,
                    Progress::Regression => wrong += usize::from(change == 0.0),
                    _ => wrong += usize::from(change > 0.0),
                }
            }
        }
        let plays = 2.0 * sets as f64;
        Score {
            wrong_of_decided: 100.0 * f64::from(u32::try_from(wrong).unwrap())
                / (plays - f64::from(undecided)),
            undecided: 100.0 * f64::from(undecided) / plays,
            runs: runs as f64 / plays,
        }
    }

    #[test]
    fn decisions_are_right_and_take_few_runs() {
        for (spread, runs, undecided) in [(0.01, 5.5, 0.0), (0.02, 7.0, 0.1), (0.03, 12.0, 1.0)] {
            let found = score(spread, 2000);
            assert!(found.wrong_of_decided <= 1.5, "{spread}: {}%", found.wrong_of_decided);
            assert!(found.runs <= runs, "{spread}: {} runs", found.runs);
            assert!(found.undecided <= undecided, "{spread}: {}%", found.undecided);
        }
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_sequences`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_sequences() {
        for spread in [0.005, 0.01, 0.02, 0.03, 0.05, 0.08] {
            let Score { wrong_of_decided, undecided, runs } = score(spread, 10_000);
            println!("| {spread} | {wrong_of_decided:.2} | {undecided:.1} | {runs:.1} |");
        }
    }
}
