//! Whether one set of runs of a metric differs from another, and by how much.
//!
//! The unit is the run: one value of each, such as its p95, because values within a run share the run's luck (the
//! process's memory layout, its placement, the hour) and thousands of them repeat it thousands of times. Values are
//! compared as logarithms, so that a change is a ratio and noise that is a share of the value is the same at any level.

use crate::sessions::FEWEST_SESSIONS;
use crate::student::{critical, two_sided};

/// The fewest runs of a side that have a scatter.
const FEWEST: usize = 2;
/// How sure [`Comparison::interval`] is: 95%, this much to either side.
const BEYOND_INTERVAL: f64 = 0.025;
/// How sure a claim of "no change larger than" is: 5% to either side (Schuirmann's two tests at 5% each).
const BEYOND_BOUND: f64 = 0.05;
/// A standard deviation of logarithms below this is what rounding makes of equal values.
pub(crate) const ROUNDING: f64 = 1e-12;
/// No more runs than this are foretold: nobody makes them.
const MOST_RUNS: usize = 1_000_000;

/// One of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is compared with.
    Base,
    /// What is judged.
    Candidate,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Candidate => "candidate",
        })
    }
}

/// The values of one metric, one of each run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Runs<'a> {
    /// Their unit, such as `seconds`: only equal ones are compared.
    pub unit: &'a str,
    /// Positive and finite, in any order.
    pub values: &'a [f64],
}

/// Why two sets of runs are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// One run has no scatter to tell a change from.
    #[error(
        "{side} has {found} run(s), at least {FEWEST} are needed: one run does not say how much runs differ"
    )]
    TooFewRuns {
        /// Which set.
        side: Side,
        /// How many runs it has.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("run {run} of {side} has the value {value}, only finite values are compared: leave the run out")]
    NotFinite {
        /// Which set.
        side: Side,
        /// Which run, from 1.
        run: usize,
        /// What it has.
        value: f64,
    },
    /// How much two sessions differ does not say how much sessions differ.
    #[error(
        "{found} stored session(s) were given, at least {FEWEST_SESSIONS} are needed: compare side by side until there are"
    )]
    TooFewSessions {
        /// How many there are.
        found: usize,
    },
    /// A value has no logarithm.
    #[error(
        "run {run} of {side} has the value {value}, only values above 0 have ratios: compare counts of failures as counts"
    )]
    NotPositive {
        /// Which set.
        side: Side,
        /// Which run, from 1.
        run: usize,
        /// What it has.
        value: f64,
    },
    /// The two sides have other units.
    #[error("the base is in {base:?}, the candidate in {candidate:?}: convert one of them")]
    Units {
        /// Of the base.
        base: String,
        /// Of the candidate.
        candidate: String,
    },
}

/// From where to where a change may be, as shares of the base: -0.02 to 0.05 is from 2% less to 5% more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end, above -1.
    pub low: f64,
    /// Its upper end, at least the lower.
    pub high: f64,
}

impl Interval {
    /// Around a logarithm.
    pub(crate) fn around(log_ratio: f64, half_width: f64) -> Self {
        Self { low: (log_ratio - half_width).exp_m1(), high: (log_ratio + half_width).exp_m1() }
    }
}

/// What tells a change from chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Welch's t test on the logarithms of the runs' values.
    Welch,
    /// No side has any scatter, as with allocations or bytes: how likely it is that equal values fall so apart by chance, 2
    /// in all the ways to share the runs out, n! m! / (n + m)!.
    Order,
    /// A t test of one session against stored ones: see [`against_sessions`](crate::against_sessions).
    Sessions,
}

/// Two sets of runs side by side. How it is judged, [`Rule`](crate::Rule) says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The geometric mean of the base, in the unit of the values.
    pub base: f64,
    /// That of the candidate.
    pub candidate: f64,
    /// candidate / base - 1: 0.05 is 5% more.
    pub change: f64,
    /// Where the change is, with 95%. Without any scatter it is the change itself where p is below 5%, else it
    /// reaches from there to none.
    pub interval: Interval,
    /// How likely so much of a difference is where there is none: two-sided, 0 to 1.
    pub p: f64,
    /// What p is of.
    pub test: Test,
    /// Runs of the base and of the candidate.
    pub runs: (usize, usize),
    /// By how much runs of one side differ: a standard deviation of logarithms, about a share of the value (0.02 is
    /// 2%), of both sides together.
    pub noise: f64,
    /// ln(candidate / base).
    pub(crate) log_ratio: f64,
    /// Its standard error.
    pub(crate) error: f64,
    /// Its degrees of freedom.
    pub(crate) freedom: f64,
}

/// Compares two sets of runs of one metric, at least two runs each.
///
/// d = m₂ - m₁ of logarithms, its standard error √(v₁ + v₂) with v = s²/n, degrees of freedom (v₁ + v₂)² / (v₁²/(n₁+1) +
/// v₂²/(n₂+1)) - 2: B. L. Welch, *The generalization of Student's problem when several different population variances are
/// involved*, Biometrika 34, 1947, his estimate without bias, and at most Student's n₁ + n₂ - 2. The better known one with
/// n - 1 (F. E. Satterthwaite, Biometrics Bulletin 2, 1946) is too small on average: with 3 runs a side its interval covers more
/// than it promises, and at 6 runs it finds less. In simulations of normal noise, equal on both sides or two and a half times
/// as much on one, the interval covers 94.1% to 96.6% with 2 to 30 runs a side.
///
/// Sets in which every value is the same are compared whatever the value, zeros included: there is no change.
///
/// # Errors
///
/// [`Refusal`] of units that differ, fewer than two runs, values that are not finite, and values that are not positive.
pub fn two_sample(base: Runs<'_>, candidate: Runs<'_>) -> Result<Comparison, Refusal> {
    if base.unit != candidate.unit {
        return Err(Refusal::Units { base: base.unit.to_owned(), candidate: candidate.unit.to_owned() });
    }
    let sides = [(Side::Base, base.values), (Side::Candidate, candidate.values)];
    for (side, values) in sides {
        enough(side, values, FEWEST)?;
    }
    if let Some(same) = all_equal(base.values, candidate.values) {
        return Ok(identical(same, (base.values.len(), candidate.values.len())));
    }
    for (side, values) in sides {
        positive(side, values)?;
    }
    let logs = |values: &[f64]| Moments::of(values.iter().map(|value| value.ln()));
    Ok(compare(logs(base.values), logs(candidate.values)))
}

/// Refuses sets that are too small or not numbers.
fn enough(side: Side, values: &[f64], fewest: usize) -> Result<(), Refusal> {
    if values.len() < fewest {
        return Err(Refusal::TooFewRuns { side, found: values.len() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Refusal::NotFinite { side, run: index + 1, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses what has no logarithm.
fn positive(side: Side, values: &[f64]) -> Result<(), Refusal> {
    match values.iter().position(|value| *value <= 0.0) {
        Some(index) => Err(Refusal::NotPositive { side, run: index + 1, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses what two sets may not be, of one alone.
pub(crate) fn enough_and_positive(side: Side, values: &[f64], fewest: usize) -> Result<(), Refusal> {
    enough(side, values, fewest)?;
    positive(side, values)
}

/// The value that all have.
fn all_equal(base: &[f64], candidate: &[f64]) -> Option<f64> {
    let first = *base.first()?;
    base.iter().chain(candidate).all(|value| *value == first).then_some(first)
}

/// A comparison of equal values.
fn identical(value: f64, runs: (usize, usize)) -> Comparison {
    Comparison {
        base: value,
        candidate: value,
        change: 0.0,
        interval: Interval { low: 0.0, high: 0.0 },
        p: 1.0,
        test: Test::Order,
        runs,
        noise: 0.0,
        log_ratio: 0.0,
        error: 0.0,
        freedom: (runs.0 + runs.1 - 2) as f64,
    }
}

/// Number, mean and variance of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: usize,
    pub(crate) mean: f64,
    /// Σ (x - mean)² / (n - 1); 0 of a single value.
    pub(crate) variance: f64,
}

impl Moments {
    /// In two passes: squares are taken of what is left without the mean.
    pub(crate) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count();
        let mean = values.clone().sum::<f64>() / count as f64;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        let variance = if count > 1 { squares / (count - 1) as f64 } else { 0.0 };
        Self { count, mean, variance }
    }

    /// That of the mean, s²/n.
    fn of_mean(self) -> f64 {
        self.variance / self.count as f64
    }
}

/// Two sides of logarithms.
pub(crate) fn compare(base: Moments, candidate: Moments) -> Comparison {
    let log_ratio = candidate.mean - base.mean;
    let (one, other) = (base.of_mean(), candidate.of_mean());
    let (degrees, other_degrees) = (base.count as f64 - 1.0, candidate.count as f64 - 1.0);
    let noise =
        ((degrees * base.variance + other_degrees * candidate.variance) / (degrees + other_degrees)).sqrt();
    let runs = (base.count, candidate.count);
    if noise <= ROUNDING * (1.0 + base.mean.abs()) {
        return Comparison::without_scatter(base.mean, log_ratio, runs);
    }
    let freedom = freedom(one, degrees, other, other_degrees);
    Comparison::by_t(Test::Welch, (base.mean, candidate.mean), (one + other).sqrt(), freedom, noise, runs)
}

/// Degrees of freedom of the sum of two variances of means, from those of each: see [`two_sample`].
fn freedom(one: f64, degrees: f64, other: f64, other_degrees: f64) -> f64 {
    let parts = one * one / (degrees + 2.0) + other * other / (other_degrees + 2.0);
    let welch = (one + other).powi(2) / parts - 2.0;
    welch.min(degrees + other_degrees)
}

/// Two in all the ways to share n + m runs out: the two in which all equal ones are on one side. 1 in the extreme.
pub(crate) fn by_order((one, other): (usize, usize)) -> f64 {
    let few = one.min(other);
    // 1/C(n + m, few), factor by factor.
    let ways: f64 = (1..=few).map(|k| k as f64 / ((one + other - few + k) as f64)).product();
    (2.0 * ways).min(1.0)
}

impl Comparison {
    /// Of logarithms of two levels, with the standard error of their difference and its degrees of freedom.
    pub(crate) fn by_t(
        test: Test,
        (base, candidate): (f64, f64),
        error: f64,
        freedom: f64,
        noise: f64,
        runs: (usize, usize),
    ) -> Self {
        let log_ratio = candidate - base;
        Self {
            base: base.exp(),
            candidate: candidate.exp(),
            change: log_ratio.exp_m1(),
            interval: Interval::around(log_ratio, critical(BEYOND_INTERVAL, freedom) * error),
            p: two_sided(log_ratio / error, freedom),
            test,
            runs,
            noise,
            log_ratio,
            error,
            freedom,
        }
    }

    /// Of logarithms that have no scatter. They reach from the change to none while chance may explain it.
    pub(crate) fn without_scatter(base: f64, log_ratio: f64, runs: (usize, usize)) -> Self {
        let change = log_ratio.exp_m1();
        // What rounding makes of equal values is equal.
        let is_equal = log_ratio.abs() <= ROUNDING * (1.0 + base.abs());
        let p = if is_equal { 1.0 } else { by_order(runs) };
        let interval = if p < 2.0 * BEYOND_INTERVAL {
            Interval { low: change, high: change }
        } else {
            Interval { low: change.min(0.0), high: change.max(0.0) }
        };
        Self {
            base: base.exp(),
            candidate: (base + log_ratio).exp(),
            change,
            interval,
            p,
            test: Test::Order,
            runs,
            noise: 0.0,
            log_ratio,
            error: 0.0,
            freedom: (runs.0 + runs.1 - 2) as f64,
        }
    }

    /// The change that is not exceeded to either side: "no change larger than 0.03" holds with 95%.
    ///
    /// It is the further end of the interval of 90%: each of the two one-sided tests at 5% (D. J. Schuirmann, *A comparison of
    /// the two one-sided tests procedure and the power approach*, J. Pharmacokinetics and Biopharmaceutics 15, 1987,
    /// section 2) rejects every margin beyond it. Up and down are told as ratios: +5% is as large as -4.76%.
    pub fn no_change_beyond(&self) -> f64 {
        match self.test {
            Test::Welch | Test::Sessions => {
                (self.log_ratio.abs() + critical(BEYOND_BOUND, self.freedom) * self.error).exp_m1()
            }
            Test::Order => self.log_ratio.abs().exp_m1(),
        }
    }

    /// The smallest change to either side that data of this noise and so many runs show with 95%, tested at `level`
    /// (two-sided), as a share: 0.04 is 4%.
    ///
    /// (t of `level`/2 + t of 5%) × the standard error: W. G. Cochran, *Sampling Techniques*, 3rd edition, 1977, section 4.4's
    /// normal deviates replaced by those of Student. Without scatter it is 0 where the order of the runs can show
    /// anything at all, else infinite.
    pub fn detectable(&self, level: f64) -> f64 {
        match self.test {
            Test::Welch | Test::Sessions => (deviates(level, self.freedom) * self.error).exp_m1(),
            Test::Order if by_order(self.runs) < level => 0.0,
            Test::Order => f64::INFINITY,
        }
    }

    /// How many runs a side show a change of `change` (0.05 is 5%) with 95%, tested at `level`, with noise such as this.
    ///
    /// The noise of few runs is itself uncertain, and so is the answer: with 3 runs a side it may be three times as many.
    pub fn runs_for(&self, change: f64, level: f64) -> usize {
        let wanted = change.ln_1p().abs();
        let is_enough = |runs: usize| match self.test {
            Test::Order => by_order((runs, runs)) < level,
            Test::Welch | Test::Sessions => {
                let count = runs as f64;
                deviates(level, 2.0 * count - 2.0) * self.noise * (2.0 / count).sqrt() <= wanted
            }
        };
        fewest(is_enough)
    }
}

/// How many standard errors a change has to be to be found with 95%.
fn deviates(level: f64, freedom: f64) -> f64 {
    critical(level / 2.0, freedom) + critical(0.05, freedom)
}

/// The smallest number from 2 that is enough, of those up to [`MOST_RUNS`]; what is enough stays enough with more.
fn fewest(is_enough: impl Fn(usize) -> bool) -> usize {
    let mut high = FEWEST;
    while high < MOST_RUNS && !is_enough(high) {
        high = (2 * high).min(MOST_RUNS);
    }
    let mut low = FEWEST;
    while low < high {
        let middle = low + (high - low) / 2;
        if is_enough(middle) { high = middle } else { low = middle + 1 }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn seconds(values: &[f64]) -> Runs<'_> {
        Runs { unit: "seconds", values }
    }

    fn of(base: &[f64], candidate: &[f64]) -> Result<Comparison, Refusal> {
        two_sample(seconds(base), seconds(candidate))
    }

    #[test]
    fn a_worked_example() {
        // Logarithms 0 ± 0.1 and 0.2 ± 0.1: means 0 and 0.2, variances 0.01, standard error √(0.02/3), four degrees.
        let e = f64::exp;
        let found = of(&[e(-0.1), 1.0, e(0.1)], &[e(0.1), e(0.2), e(0.3)]).unwrap();
        assert!((found.change - 0.2_f64.exp_m1()).abs() < 1e-12, "{found:?}");
        assert!((found.error - (0.02_f64 / 3.0).sqrt()).abs() < 1e-12 && (found.freedom - 4.0).abs() < 1e-9);
        assert!((found.noise - 0.1).abs() < 1e-12, "{found:?}");
        // t = 2.449490: two-sided p of four degrees is 0.070484.
        assert!((found.p - 0.070_484).abs() < 1e-6, "{found:?}");
        let half = 2.776_445 * (0.02_f64 / 3.0).sqrt();
        assert!((found.interval.low - (0.2 - half).exp_m1()).abs() < 1e-6, "{found:?}");
        assert!((found.interval.high - (0.2 + half).exp_m1()).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn bad_input_is_refused_in_its_own_words() {
        let (good, nan) = ([1.0, 1.1], f64::NAN);
        let refusal = |base: &[f64], candidate: &[f64]| of(base, candidate).unwrap_err().to_string();
        for (base, candidate, words) in [
            (&[][..], &good[..], "base has 0 run(s)"),
            (&good[..], &[1.0][..], "candidate has 1 run(s)"),
            (&[1.0, nan], &good, "run 2 of base has the value NaN"),
            (&good, &[f64::INFINITY, 1.0], "run 1 of candidate has the value inf"),
            (&good, &[0.0, 1.0], "run 1 of candidate has the value 0,"),
            (&[2.0, -1.0], &good, "run 2 of base has the value -1,"),
            (&[-1.0, -1.0], &[-1.0, -2.0], "run 1 of base has the value -1,"),
        ] {
            let found = refusal(base, candidate);
            assert!(found.starts_with(words), "{words}: {found}");
        }
        let mixed = two_sample(seconds(&good), Runs { unit: "milliseconds", values: &good }).unwrap_err();
        assert!(matches!(mixed, Refusal::Units { .. }), "{mixed}");
    }

    #[test]
    fn equal_values_have_not_changed() {
        for value in [0.0, 5.0, -3.0] {
            let found = of(&[value; 3], &[value; 4]).unwrap();
            assert_eq!((found.change, found.p, found.no_change_beyond()), (0.0, 1.0, 0.0));
        }
    }

    #[test]
    fn values_without_scatter_are_told_by_the_order_of_the_runs() {
        // 2/C(6, 3) = 0.1 shows nothing yet; 2/C(8, 4) does.
        let three = of(&[100.0; 3], &[105.0; 3]).unwrap();
        assert!((three.p - 0.1).abs() < 1e-12 && three.interval.low == 0.0, "{three:?}");
        assert_eq!((three.runs_for(0.05, 0.04), three.detectable(0.04)), (4, f64::INFINITY));
        let four = of(&[100.0; 4], &[105.0; 4]).unwrap();
        assert!((four.p - 2.0 / 70.0).abs() < 1e-12 && four.detectable(0.04) == 0.0, "{four:?}");
        assert!(
            (four.interval.low - 0.05).abs() < 1e-9 && (four.interval.high - 0.05).abs() < 1e-9,
            "{four:?}"
        );
    }

    #[test]
    fn one_side_without_scatter_is_compared_by_the_other() {
        let found = of(&[100.0; 4], &[103.0, 107.0, 105.0, 104.0]).unwrap();
        assert_eq!(found.test, Test::Welch);
        assert!((found.freedom - 3.0).abs() < 1e-9 && found.p < 0.05, "{found:?}");
    }

    #[test]
    fn a_million_values_and_the_largest_numbers() {
        let mut noise = Noise::new(1);
        let many: Vec<f64> = (0..1_000_000).map(|_| (0.1 * noise.normal()).exp()).collect();
        let found = of(&many, &many).unwrap();
        assert!(found.p == 1.0 && found.no_change_beyond() < 0.001, "{found:?}");
        let large = of(&[f64::MAX, f64::MAX / 2.0], &[f64::MAX / 4.0, f64::MAX]).unwrap();
        assert!(large.p > 0.3 && large.change < 0.0, "{large:?}");
        let far = of(&[f64::MIN_POSITIVE; 2], &[f64::MAX; 2]).unwrap();
        assert!((0.0..=1.0).contains(&far.p), "{far:?}");
    }

    #[test]
    fn swapping_the_sides_turns_the_change_round() {
        let (one, other) = ([10.0, 11.0, 10.5], [12.0, 12.5, 11.0, 13.0]);
        let (there, back) = (of(&one, &other).unwrap(), of(&other, &one).unwrap());
        assert!(((1.0 + there.change) * (1.0 + back.change) - 1.0).abs() < 1e-12);
        assert!((there.p - back.p).abs() < 1e-12);
        let scaled = of(&one.map(|value| 1e6 * value), &other.map(|value| 1e6 * value)).unwrap();
        assert!((scaled.p - there.p).abs() < 1e-9 && (scaled.change - there.change).abs() < 1e-9);
    }

    /// Runs a side for +5% and +10%, tested at 5%: those of simulations of Welch's test.
    #[test]
    fn as_many_runs_as_simulations_ask_for() {
        let with = |noise: f64| {
            let unit = noise / 2.0_f64.sqrt();
            of(&[(-unit).exp(), unit.exp()], &[(-unit).exp(), unit.exp()]).unwrap()
        };
        for (noise, five, ten) in [(0.01, 3, 2), (0.02, 6, 3), (0.03, 11, 4), (0.05, 29, 9), (0.08, 71, 20)] {
            let comparison = with(noise);
            assert!((comparison.noise - noise).abs() < 1e-9);
            let found = (comparison.runs_for(0.05, 0.05), comparison.runs_for(0.1, 0.05));
            assert_eq!(found, (five, ten), "{noise}");
        }
        assert_eq!(with(0.02).runs_for(0.0, 0.05), MOST_RUNS);
    }

    fn coverage(runs: (usize, usize), spreads: (f64, f64), sets: u64) -> f64 {
        let covers = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let base: Vec<f64> = noise.log_normal(runs.0, 10.0, spreads.0);
            let candidate: Vec<f64> = noise.log_normal(runs.1, 10.4, spreads.1);
            let interval = of(&base, &candidate).unwrap().interval;
            (interval.low..=interval.high).contains(&0.04)
        };
        100.0 * (0..sets).filter(covers).count() as f64 / sets as f64
    }

    #[test]
    fn intervals_cover_what_they_promise() {
        for runs in [(3, 3), (4, 4), (5, 5), (5, 10), (10, 10)] {
            for spreads in [(0.02, 0.02), (0.05, 0.05), (0.02, 0.05)] {
                let found = coverage(runs, spreads, 4000);
                assert!((93.0..=97.0).contains(&found), "{runs:?} {spreads:?}: {found}%");
            }
        }
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_coverage`.
    #[test]
    #[ignore = "a minute of simulation"]
    fn table_of_coverage() {
        for runs in [(2, 2), (3, 3), (3, 6), (4, 4), (5, 5), (10, 10), (30, 30)] {
            for spreads in [(0.02, 0.02), (0.02, 0.05)] {
                println!("| {runs:?} | {spreads:?} | {:.2} |", coverage(runs, spreads, 40_000));
            }
        }
    }
}
