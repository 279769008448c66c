//! Whether errors became more frequent: from counts, so that none against a few is an answer too.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::severity::Severity;
use crate::student::{critical, two_sided};
use crate::two_sample::{Interval, Side};
use crate::verdict::Direction;

/// Beyond so many failures on both sides together, exact sums are the normal distribution to all digits that matter.
const EXACT: u64 = 20_000;
/// Two-sided 95%, and 90% for "no more than".
const BEYOND_INTERVAL: f64 = 0.025;
const BEYOND_BOUND: f64 = 0.05;
/// Tables as likely as the one found, but for rounding, count as such.
const ROUNDING: f64 = 1e-7;

/// What happened in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Requests that failed.
    pub failed: u64,
    /// All requests, at least as many.
    pub of: u64,
}

/// Why counts are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountRefusal {
    /// A side has no requests at all.
    #[error("{side} has no requests: there is nothing to have failed")]
    NoRequests {
        /// Which set.
        side: Side,
    },
    /// More failed than there were.
    #[error(
        "run {run} of {side} has {failed} failures of {of} requests: there are at most as many failures as requests"
    )]
    MoreThanAll {
        /// Which set.
        side: Side,
        /// Which run, from 1.
        run: usize,
        /// What it has.
        failed: u64,
        /// Of so many.
        of: u64,
    },
}

/// Error ratios of two sets of runs side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountComparison {
    /// The share of the base's requests that failed, 0 to 1.
    pub base: f64,
    /// That of the candidate's.
    pub candidate: f64,
    /// candidate - base: 0.01 is one request of a hundred more.
    pub difference: f64,
    /// Where that is, with 95%, from -1 to 1.
    pub interval: (f64, f64),
    /// Where it is with 90%: each end is passed with 5%.
    pub(crate) bounds: (f64, f64),
    /// How likely so much of a difference is where there is none: two-sided, 0 to 1.
    pub p: f64,
    /// How many times as much runs of one side differ as chance among single requests explains: a ratio of variances, at least 1;
    /// 1 where no side has two runs.
    pub dispersion: f64,
}

/// Compares the shares of failures of two sets of runs.
///
/// Without scatter between runs, p is that of Fisher's exact test (R. A. Fisher, *The logic of inductive inference*, J. Royal
/// Statistical Society 98, 1935) with mid-p: of all ways to share the failures out between so many requests of both sides, those less
/// likely than what was found, and half of those as likely. Without that half the exact test is far too careful near zero, where the
/// few ways there are come in large steps (H. O. Lancaster, JASA 56, 1961; A. Agresti, *Categorical Data Analysis*, 3rd edition,
/// 2013, section 3.5.5). From 20,000 failures on it is the normal approximation to the same.
///
/// Where runs differ by more than chance among requests, such as when one run has a bad minute, single requests tell nothing by
/// themselves: the dispersion is Pearson's X² over its degrees of freedom (runs less two), z² is divided by it and compared with Student's t
/// of so many degrees (P. McCullagh and J. A. Nelder, *Generalized Linear Models*, 2nd edition, 1989, section 4.5). The larger
/// p of both counts, so that runs never make a difference surer than requests do. With one run a side there is nothing to
/// see scatter by: p then is that of requests, and is to be believed as far as runs are alike. Simulated with 3 to 10 runs a side, p is
/// below 4% on equal ratios in 1.8 to 2.7% without scatter between runs and in 3.7 to 4.6% with scatter of 10 to 100% of the ratio; 100
/// failures against 50 in five runs a side are told in 92%, where requests alone would tell 98%.
///
/// The interval is R. G. Newcombe's hybrid score interval of a difference (*Interval estimation for the difference between independent
/// proportions*, Statistics in Medicine 17, 1998, method 10), of counts divided by the dispersion (J. N. K. Rao and A. J. Scott, *A simple
/// method for the analysis of clustered binary data*, Biometrics 48, 1992). It is bounded by -1 and 1 and has a width at zero failures.
///
/// # Errors
///
/// [`CountRefusal`] of a side without requests, and of a run with more failures than requests.
pub fn compare_counts(base: &[Count], candidate: &[Count]) -> Result<CountComparison, CountRefusal> {
    let (one, other) = (total(Side::Base, base)?, total(Side::Candidate, candidate)?);
    let (ratio, other_ratio) = (one.ratio(), other.ratio());
    let difference = other_ratio - ratio;
    let (dispersion, freedom) = dispersion(&[(base, ratio), (candidate, other_ratio)]);
    let by_requests = by_requests(one, other);
    let p = match freedom {
        Some(freedom) if dispersion > 1.0 => {
            let by_runs = two_sided(z(one, other) / dispersion.sqrt(), freedom);
            by_requests.max(by_runs)
        }
        _ => by_requests,
    };
    let deviate = |beyond: f64| match freedom {
        Some(freedom) if dispersion > 1.0 => critical(beyond, freedom),
        _ => Normal::standard().inverse_cdf(1.0 - beyond),
    };
    let interval = |beyond: f64| newcombe(one, other, dispersion, deviate(beyond));
    Ok(CountComparison {
        base: ratio,
        candidate: other_ratio,
        difference,
        interval: interval(BEYOND_INTERVAL),
        bounds: interval(BEYOND_BOUND),
        p,
        dispersion,
    })
}

impl CountComparison {
    /// The difference that is not exceeded to either side, with 95%: "errors changed by no more than 0.001" holds from there on.
    pub fn no_change_beyond(&self) -> f64 {
        self.bounds.0.abs().max(self.bounds.1.abs())
    }
}

/// When a difference of error ratios is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountRule {
    /// The p, after correction, that a difference is below: two-sided, by default 0.04.
    pub level: f64,
    /// The smallest difference worth a word, as a difference of ratios; by default 0.0001, one request of ten thousand.
    pub floor: f64,
    /// The difference that is excluded where "no change" is said; by default 0.001, one request of a thousand.
    pub margin: f64,
}

impl Default for CountRule {
    fn default() -> Self {
        Self { level: 0.04, floor: 0.0001, margin: 0.001 }
    }
}

impl CountRule {
    /// What a comparison of error ratios means, by its p after correction for all that was compared with it. Fewer errors are
    /// better. [`CountVerdict::NoChange`] is at 5% to either side, uncorrected.
    pub fn judge(&self, comparison: &CountComparison, p: f64) -> CountVerdict {
        if p < self.level && comparison.difference.abs() >= self.floor {
            let is_worse = comparison.difference > 0.0;
            return if is_worse { CountVerdict::Regression } else { CountVerdict::Improvement };
        }
        let within = comparison.no_change_beyond();
        if within <= self.margin { CountVerdict::NoChange { within } } else { CountVerdict::Undecided }
    }
}

/// What a comparison of error ratios means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CountVerdict {
    /// More fail.
    Regression,
    /// Fewer fail.
    Improvement,
    /// The share of failures changed by no more than `within`, a difference of ratios, with 95%.
    NoChange {
        /// The largest difference that is not excluded.
        within: f64,
    },
    /// The requests do not say, or the runs differ too much.
    Undecided,
}

/// Failures of a step on both sides, one count of each run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountPair<'a> {
    /// What is compared with.
    pub base: &'a [Count],
    /// What is judged.
    pub candidate: &'a [Count],
}

/// Shares of failures, judged among all that was compared with them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedCounts {
    /// Side by side, with the p of this pair alone.
    pub comparison: CountComparison,
    /// Its p after Holm's correction over all pairs, those of other metrics included: the verdict is by this one.
    pub p_adjusted: f64,
    /// What it means.
    pub verdict: CountVerdict,
    /// How bad a regression is, against the margin of the rule; `None` of anything else.
    pub severity: Option<Severity>,
}

impl JudgedCounts {
    pub(crate) fn of(comparison: CountComparison, p_adjusted: f64, rule: &CountRule) -> Self {
        let verdict = rule.judge(&comparison, p_adjusted);
        let (low, high) = comparison.interval;
        let severity = (verdict == CountVerdict::Regression)
            .then(|| Severity::of(Interval { low, high }, Direction::LowerIsBetter, rule.margin));
        Self { comparison, p_adjusted, verdict, severity }
    }
}

/// All runs of a side together.
#[derive(Debug, Clone, Copy)]
struct Total {
    failed: u64,
    of: u64,
}

impl Total {
    fn ratio(self) -> f64 {
        self.failed as f64 / self.of as f64
    }
}

fn total(side: Side, counts: &[Count]) -> Result<Total, CountRefusal> {
    for (index, count) in counts.iter().enumerate() {
        if count.failed > count.of {
            let Count { failed, of } = *count;
            return Err(CountRefusal::MoreThanAll { side, run: index + 1, failed, of });
        }
    }
    let sum = |of: fn(&Count) -> u64| counts.iter().map(of).fold(0_u64, u64::saturating_add);
    let total = Total { failed: sum(|count| count.failed), of: sum(|count| count.of) };
    if total.of == 0 { Err(CountRefusal::NoRequests { side }) } else { Ok(total) }
}

/// Pearson's X² of runs about their side's ratio over its degrees of freedom, at least 1, with those; `None` where there are none.
///
/// X² = Σ (x - n r)² / (n r (1 - r)). A side in which nothing or everything failed has no scatter to count, and no degrees.
fn dispersion(sides: &[(&[Count], f64); 2]) -> (f64, Option<f64>) {
    let (mut squares, mut degrees) = (0.0, 0.0);
    for (counts, ratio) in sides {
        let runs = counts.iter().filter(|count| count.of > 0);
        let variance = ratio * (1.0 - ratio);
        if variance <= 0.0 {
            continue;
        }
        degrees -= 1.0;
        for count in runs {
            let (failed, of) = (count.failed as f64, count.of as f64);
            squares += (failed - of * ratio).powi(2) / (of * variance);
            degrees += 1.0;
        }
    }
    if degrees < 1.0 { (1.0, None) } else { ((squares / degrees).max(1.0), Some(degrees)) }
}

/// The score statistic of two shares with a variance in common.
fn z(base: Total, candidate: Total) -> f64 {
    let (n, m) = (base.of as f64, candidate.of as f64);
    let all = (base.failed as f64 + candidate.failed as f64) / (n + m);
    let error = (all * (1.0 - all) * (1.0 / n + 1.0 / m)).sqrt();
    if error > 0.0 { (candidate.ratio() - base.ratio()) / error } else { 0.0 }
}

/// Two-sided mid-p of Fisher's exact test, or the normal approximation of many failures.
fn by_requests(base: Total, candidate: Total) -> f64 {
    let failed = base.failed.saturating_add(candidate.failed);
    let rare = failed.min((base.of - base.failed).saturating_add(candidate.of - candidate.failed));
    if rare > EXACT {
        return 2.0 * Normal::standard().sf(z(base, candidate).abs());
    }
    // Whichever of failures and successes are fewer are shared out.
    let of = |total: Total| if rare == failed { total.failed } else { total.of - total.failed };
    fisher((of(base), base.of), (of(candidate), candidate.of))
}

/// How likely a table is that is less likely than this, and half of one as likely.
fn fisher((found, n): (u64, u64), (other, m): (u64, u64)) -> f64 {
    let all = found + other;
    let least = all.saturating_sub(m);
    let most = all.min(n);
    if least == most {
        // The one way there is tells nothing.
        return 1.0;
    }
    // The hypergeometric distribution as ratios to the table found: C(n, x) C(m, all - x). Factors carry from one to the next, so
    // that large factorials cancel where they would lose digits.
    let step = |x: u64| {
        let (x, n, m, all) = (x as f64, n as f64, m as f64, all as f64);
        (n - x) * (all - x) / ((x + 1.0) * (m - all + x + 1.0))
    };
    let up = (found..most).scan(1.0_f64, |weight, x| {
        *weight *= step(x);
        Some(*weight)
    });
    let down = (least..found).rev().scan(1.0_f64, |weight, x| {
        *weight /= step(x);
        Some(*weight)
    });
    let (mut less, mut alike, mut more) = (0.0, 1.0, 0.0);
    for weight in up.chain(down) {
        if (weight - 1.0).abs() <= ROUNDING {
            alike += weight;
        } else if weight < 1.0 {
            less += weight;
        } else {
            more += weight;
        }
    }
    if more.is_finite() { (less + alike / 2.0) / (less + alike + more) } else { 0.0 }
}

/// The interval of a difference of two shares from Wilson's intervals of each, counts divided by the dispersion.
fn newcombe(base: Total, candidate: Total, dispersion: f64, deviate: f64) -> (f64, f64) {
    let (one, other) = (base.ratio(), candidate.ratio());
    let (low, high) = wilson(one, base.of as f64 / dispersion, deviate);
    let (other_low, other_high) = wilson(other, candidate.of as f64 / dispersion, deviate);
    let difference = other - one;
    let below = (other - other_low).hypot(high - one);
    let above = (other_high - other).hypot(one - low);
    ((difference - below).max(-1.0), (difference + above).min(1.0))
}

/// E. B. Wilson's score interval of a share (JASA 22, 1927).
fn wilson(ratio: f64, count: f64, deviate: f64) -> (f64, f64) {
    let square = deviate * deviate / count;
    let middle = ratio + square / 2.0;
    let half = (square * (ratio * (1.0 - ratio) + square / 4.0)).sqrt();
    (((middle - half) / (1.0 + square)).max(0.0), ((middle + half) / (1.0 + square)).min(1.0))
}

#[cfg(test)]
mod tests {
    use statrs::function::factorial::ln_factorial;

    use super::*;
    use crate::noise::Noise;

    fn runs(counts: &[(u64, u64)]) -> Vec<Count> {
        counts.iter().map(|&(failed, of)| Count { failed, of }).collect()
    }

    fn of(base: &[(u64, u64)], candidate: &[(u64, u64)]) -> CountComparison {
        compare_counts(&runs(base), &runs(candidate)).unwrap()
    }

    /// Mid-p by its definition, of small tables.
    fn slow(base: (u64, u64), candidate: (u64, u64)) -> f64 {
        if base.0 + candidate.0 == 0 {
            return 1.0;
        }
        let choose = |n: u64, k: u64| (ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)).exp();
        let all = base.0 + candidate.0;
        let weight = |x: u64| choose(base.1, x) * choose(candidate.1, all - x);
        let ways: Vec<f64> = (all.saturating_sub(candidate.1)..=all.min(base.1)).map(weight).collect();
        let found = weight(base.0);
        let part = |way: &f64| match way / found - 1.0 {
            apart if apart.abs() < 1e-6 => way / 2.0,
            apart if apart < 0.0 => *way,
            _ => 0.0,
        };
        ways.iter().map(part).sum::<f64>() / ways.iter().sum::<f64>()
    }

    #[test]
    fn exact_tables() {
        // Fisher's tea: 3 of 4 and 1 of 4 have 34/70 to both sides, half of the 32 of both like tables less: 18/70.
        let tea = of(&[(3, 4)], &[(1, 4)]);
        assert!((tea.p - 18.0 / 70.0).abs() < 1e-9, "{tea:?}");
        for (base, candidate) in [
            ((0, 100), (5, 100)),
            ((0, 10), (0, 20)),
            ((7, 7), (3, 9)),
            ((2, 50), (30, 60)),
            ((90, 100), (99, 100)),
        ] {
            let found = of(&[base], &[candidate]).p;
            assert!((found - slow(base, candidate)).abs() < 1e-9, "{base:?} {candidate:?}: {found}");
        }
    }

    #[test]
    fn none_against_a_few_is_an_answer() {
        let found = of(&[(0, 10_000); 3], &[(4, 10_000), (3, 10_000), (5, 10_000)]);
        assert!(found.p < 0.001 && found.interval.0 > 0.0 && found.dispersion == 1.0, "{found:?}");
        let none = of(&[(0, 10_000)], &[(0, 10_000)]);
        assert!(none.p == 1.0 && none.difference == 0.0, "{none:?}");
        assert!((none.no_change_beyond() - 2.7e-4).abs() < 1e-5, "{none:?}");
    }

    #[test]
    fn one_bad_run_is_no_regression() {
        let (base, candidate) =
            ([(10, 10_000); 5], [(10, 10_000), (9, 10_000), (200, 10_000), (11, 10_000), (10, 10_000)]);
        let found = of(&base, &candidate);
        assert!(found.p > 0.05 && found.dispersion > 20.0 && found.interval.0 < 0.0, "{found:?}");
        let together = of(&[(50, 50_000)], &[(240, 50_000)]);
        assert!(together.p < 1e-20, "requests alone would swear to it: {together:?}");
    }

    #[test]
    fn newcombe_s_own_example() {
        // Table II of his paper, case (a): 56/70 - 48/80, method 10 without correction: 0.0524 to 0.3339.
        let found = of(&[(48, 80)], &[(56, 70)]);
        assert!(
            (found.interval.0 - 0.0524).abs() < 1e-4 && (found.interval.1 - 0.3339).abs() < 1e-4,
            "{found:?}"
        );
        // Case (g): 0/20 of 0/10 is from -0.1611 to 0.2775 the other way round.
        let none = of(&[(0, 20)], &[(0, 10)]);
        assert!(
            (none.interval.1 - 0.2775).abs() < 1e-4 && (none.interval.0 + 0.1611).abs() < 1e-4,
            "{none:?}"
        );
    }

    #[test]
    fn bad_input_is_refused_and_large_numbers_are_not() {
        let refusal = |base: &[(u64, u64)], candidate: &[(u64, u64)]| {
            compare_counts(&runs(base), &runs(candidate)).unwrap_err().to_string()
        };
        assert!(refusal(&[], &[(0, 1)]).starts_with("base has no requests"));
        assert!(refusal(&[(0, 1)], &[(0, 0)]).starts_with("candidate has no requests"));
        assert!(refusal(&[(0, 1), (3, 2)], &[(0, 1)]).starts_with("run 2 of base has 3 failures of 2"));
        let all = of(&[(5, 5); 3], &[(7, 7); 3]);
        assert!(all.p == 1.0 && all.difference == 0.0, "{all:?}");
        let many = of(&[(1_000_000_000, 4_000_000_000)], &[(1_001_000_000, 4_000_000_000)]);
        assert!(many.p < 1e-6 && many.interval.0 > 0.0, "{many:?}");
        let beyond = of(&[(u64::MAX, u64::MAX); 2], &[(0, u64::MAX)]);
        assert!((0.0..=1.0).contains(&beyond.p) && beyond.difference == -1.0, "{beyond:?}");
        let border = |failed| of(&[(failed, 1_000_000)], &[(failed + 300, 1_000_000)]).p;
        assert!(
            (border(9_849) / border(9_851) - 1.0).abs() < 0.01,
            "the exact sum goes over into the normal"
        );
    }

    #[test]
    fn verdicts_ask_for_size_as_well() {
        let judge = |base: &[(u64, u64)], candidate: &[(u64, u64)]| {
            let found = of(base, candidate);
            CountRule::default().judge(&found, found.p)
        };
        assert_eq!(judge(&[(0, 10_000)], &[(12, 10_000)]), CountVerdict::Regression);
        assert_eq!(judge(&[(12, 10_000)], &[(0, 10_000)]), CountVerdict::Improvement);
        assert_eq!(judge(&[(0, 100)], &[(0, 100)]), CountVerdict::Undecided);
        assert!(
            matches!(judge(&[(0, 10_000)], &[(0, 10_000)]), CountVerdict::NoChange { within } if within < 0.0003)
        );
        // Sure, and of no size: 5 of a hundred thousand more.
        let sure = judge(&[(100, 10_000_000)], &[(600, 10_000_000)]);
        assert!(matches!(sure, CountVerdict::NoChange { .. }), "{sure:?}");
    }

    /// Failures of runs of `of` requests whose own ratio scatters about `ratio` by a share of `scatter`.
    fn side(noise: &mut Noise, count: usize, ratio: f64, of: u64, scatter: f64) -> Vec<Count> {
        let mut run = || {
            let mean = ratio * of as f64 * (scatter * noise.normal() - scatter * scatter / 2.0).exp();
            Count { failed: (noise.poisson(mean) as u64).min(of), of }
        };
        (0..count).map(|_| run()).collect()
    }

    /// Percent of p below 4%, 2% to either side.
    fn called(ratios: (f64, f64), scatter: f64, count: usize, sets: u64) -> f64 {
        let is_called = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let base = side(&mut noise, count, ratios.0, 10_000, scatter);
            let candidate = side(&mut noise, count, ratios.1, 10_000, scatter);
            compare_counts(&base, &candidate).unwrap().p < 0.04
        };
        100.0 * (0..sets).filter(is_called).count() as f64 / sets as f64
    }

    #[test]
    fn equal_ratios_are_hardly_ever_told_apart() {
        for (ratio, scatter, most) in
            [(0.0002, 0.0, 4.0), (0.001, 0.0, 4.0), (0.01, 0.0, 4.0), (0.01, 0.3, 5.0), (0.001, 0.5, 5.0)]
        {
            let found = called((ratio, ratio), scatter, 5, 3000);
            // 0.36% is one standard error of the simulation.
            assert!(found <= most + 0.36, "{ratio} {scatter}: {found}%");
        }
    }

    #[test]
    fn ratios_that_differ_are_told_apart() {
        // 50 failures against 100 are told in 98% by requests alone: minding the scatter of five runs costs six of them.
        for (ratios, least) in [((0.0, 0.0005), 95.0), ((0.001, 0.002), 91.0)] {
            let found = called(ratios, 0.0, 5, 500);
            assert!(found >= least, "{ratios:?}: {found}%");
        }
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_counts`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_counts() {
        for count in [3, 5, 10] {
            for (ratio, scatter) in [
                (0.0001, 0.0),
                (0.001, 0.0),
                (0.01, 0.0),
                (0.001, 0.5),
                (0.01, 0.1),
                (0.01, 0.3),
                (0.01, 1.0),
            ] {
                let found = called((ratio, ratio), scatter, count, 10_000);
                println!("| {count} runs | {ratio} | {scatter} | {found:.2} |");
            }
        }
    }
}
