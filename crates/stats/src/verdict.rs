//! What a comparison of runs means: a regression, an improvement, no change larger than so much, or not yet known.

use crate::counts::{CountPair, CountRefusal, CountRule, JudgedCounts, compare_counts};
use crate::holm::holm;
use crate::severity::Severity;
use crate::two_sample::{Comparison, Refusal, Runs, two_sample};

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Times, sizes, errors.
    LowerIsBetter,
    /// Throughput, availability.
    HigherIsBetter,
}

impl Direction {
    /// That of a metric by its name: higher is better for `throughput`, `availability` and names that end in `_per_second`.
    pub fn of(metric: &str) -> Self {
        let is_higher = matches!(metric, "throughput" | "availability") || metric.ends_with("_per_second");
        if is_higher { Self::HigherIsBetter } else { Self::LowerIsBetter }
    }

    /// Whether more is worse or less is: a change turned so that what is above 0 is worse.
    pub(crate) fn worsening(self, change: f64) -> f64 {
        match self {
            Self::LowerIsBetter => change,
            Self::HigherIsBetter => -change,
        }
    }
}

/// Why there is no such rule.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidRule {
    /// A level that is no probability, or that decides nothing.
    #[error("a level of {0} was given: it is above 0 and below 0.5, such as 0.04")]
    Level(f64),
    /// A floor that is no share.
    #[error("a floor of {0} was given: it is from 0 to below 10, such as 0.02 for 2%")]
    Floor(f64),
    /// A margin that is no share, or that no change can be below.
    #[error("a margin of {0} was given: it is above the floor ({1}) and below 10, such as 0.05 for 5%")]
    Margin(f64, f64),
}

/// When a difference is told.
///
/// The default level of 4%, 2% to either side, is as much as a gate may cry wolf on equal versions (1.9% in simulations with 5
/// runs a side); at 2% noise and 6 runs a side 95.3% of the changes of 5% are found. No rule has both much better: Student's
/// test is the most powerful there is at its level. The floor keeps what is significant and matters to nobody from stopping anybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    level: f64,
    floor: f64,
    margin: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { level: 0.04, floor: 0.02, margin: 0.05 }
    }
}

impl Rule {
    /// A rule: the adjusted p that a change has to be below (two-sided), the smallest change worth a word, and the change that
    /// has to be excluded to say that there is none; the latter two as shares, 0.02 is 2%.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`] of a level outside 0 to 0.5, a floor that is not from 0 to 10, a margin that is not above it up to 10.
    pub fn new(level: f64, floor: f64, margin: f64) -> Result<Self, InvalidRule> {
        // Comparisons that NaN fails.
        if !(level > 0.0 && level < 0.5) {
            return Err(InvalidRule::Level(level));
        }
        if !(0.0..10.0).contains(&floor) {
            return Err(InvalidRule::Floor(floor));
        }
        if !(margin > floor && margin < 10.0) {
            return Err(InvalidRule::Margin(margin, floor));
        }
        Ok(Self { level, floor, margin })
    }

    /// The p that a change has to be below, two-sided: 0 to 0.5.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// The smallest change worth a word, as a share.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// The change that is excluded where "no change" is said, as a share.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// What a comparison means, by its p after correction for all that was compared with it ([`holm`]); `tests` is how many
    /// that were.
    ///
    /// A change has p below the level and an estimate of at least the floor, up and down as ratios. Otherwise "no change" takes two
    /// one-sided tests at 5% against the margin ([`Comparison::no_change_beyond`]), uncorrected: each says so of itself.
    /// Otherwise more runs are needed: as many as would show a change of the margin with 95%, and at least one.
    pub fn judge(&self, comparison: &Comparison, direction: Direction, p: f64, tests: usize) -> Verdict {
        if p < self.level && comparison.log_ratio.abs() >= self.floor.ln_1p() {
            let is_worse = direction.worsening(comparison.log_ratio) > 0.0;
            return if is_worse { Verdict::Regression } else { Verdict::Improvement };
        }
        let within = comparison.no_change_beyond();
        if within <= self.margin {
            return Verdict::NoChange { within };
        }
        let wanted = comparison.runs_for(self.margin, self.level_of_each(tests));
        let made = comparison.runs.0.min(comparison.runs.1);
        Verdict::Undecided { more_runs: wanted.saturating_sub(made).max(1) }
    }

    /// The level that the first of so many tests is held to by Holm's correction.
    fn level_of_each(&self, tests: usize) -> f64 {
        self.level / tests.max(1) as f64
    }
}

/// What a comparison means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It got worse.
    Regression,
    /// It got better.
    Improvement,
    /// It changed by no more than `within` to either side, as a share, with 95%.
    NoChange {
        /// The largest change that is not excluded: 0.03 is 3%.
        within: f64,
    },
    /// The runs do not say.
    Undecided {
        /// So many more a side are likely to, if their noise stays as it is.
        more_runs: usize,
    },
}

/// A metric of a step on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// What is compared with.
    pub base: Runs<'a>,
    /// What is judged.
    pub candidate: Runs<'a>,
    /// Which way it is better.
    pub direction: Direction,
    /// By how much it may get worse, as a share: what [`Severity`] is measured by.
    pub tolerance: f64,
}

/// A pair, judged among all that were compared with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Side by side, with the p of this pair alone.
    pub comparison: Comparison,
    /// Its p after Holm's correction over all pairs: the verdict is by this one.
    pub p_adjusted: f64,
    /// What it means.
    pub verdict: Verdict,
    /// How bad a regression is; `None` of anything else.
    pub severity: Option<Severity>,
    /// The smallest change that these runs would have shown with 95%, correction included, as a share; never below the floor.
    pub detectable: f64,
}

/// Compares all pairs, corrects their p values together and judges each. In the order of the pairs.
///
/// A pair that is refused says why, and is no test of the correction.
pub fn compare_all(pairs: &[Pair<'_>], rule: &Rule) -> Vec<Result<Judged, Refusal>> {
    compare_with_counts(pairs, &[], rule, &CountRule::default()).values
}

/// Pairs of both kinds, judged together, each kind in the order it was given in.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedTogether {
    /// Of values.
    pub values: Vec<Result<Judged, Refusal>>,
    /// Of shares of failures.
    pub counts: Vec<Result<JudgedCounts, CountRefusal>>,
}

/// As [`compare_all`], with shares of failures among what is compared: the p values of both kinds are corrected together.
pub fn compare_with_counts(
    pairs: &[Pair<'_>],
    counts: &[CountPair<'_>],
    rule: &Rule,
    count_rule: &CountRule,
) -> JudgedTogether {
    let compared: Vec<_> = pairs.iter().map(|pair| two_sample(pair.base, pair.candidate)).collect();
    let counted: Vec<_> = counts.iter().map(|pair| compare_counts(pair.base, pair.candidate)).collect();
    let of_values = compared.iter().flatten().map(|comparison| comparison.p);
    let p_values: Vec<f64> =
        of_values.chain(counted.iter().flatten().map(|comparison| comparison.p)).collect();
    let tests = p_values.len();
    // In the order of the p values: first all of values, then all of counts.
    let mut adjusted = holm(&p_values).into_iter();
    let mut next = || adjusted.next().unwrap_or(1.0);
    let judged = |(pair, comparison): (&Pair<'_>, Result<Comparison, Refusal>)| {
        let comparison = comparison?;
        let p_adjusted = next();
        let verdict = rule.judge(&comparison, pair.direction, p_adjusted, tests);
        let severity = (verdict == Verdict::Regression)
            .then(|| Severity::of(comparison.interval, pair.direction, pair.tolerance));
        let detectable = comparison.detectable(rule.level_of_each(tests)).max(rule.floor);
        Ok(Judged { comparison, p_adjusted, verdict, severity, detectable })
    };
    let values = pairs.iter().zip(compared).map(judged).collect();
    let counts = counted
        .into_iter()
        .map(|counted| counted.map(|comparison| JudgedCounts::of(comparison, next(), count_rule)))
        .collect();
    JudgedTogether { values, counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Count, CountVerdict};
    use crate::noise::Noise;
    use crate::two_sample::Side;

    fn pair<'a>(base: &'a [f64], candidate: &'a [f64], direction: Direction) -> Pair<'a> {
        let runs = |values| Runs { unit: "seconds", values };
        Pair { base: runs(base), candidate: runs(candidate), direction, tolerance: 0.1 }
    }

    fn judge(base: &[f64], candidate: &[f64], direction: Direction) -> Judged {
        compare_all(&[pair(base, candidate, direction)], &Rule::default()).remove(0).unwrap()
    }

    #[test]
    fn directions_follow_names() {
        for (metric, expected) in [
            ("throughput", Direction::HigherIsBetter),
            ("availability", Direction::HigherIsBetter),
            ("bytes_per_second", Direction::HigherIsBetter),
            ("p95", Direction::LowerIsBetter),
            ("seconds_per_request", Direction::LowerIsBetter),
        ] {
            assert_eq!(Direction::of(metric), expected, "{metric}");
        }
    }

    #[test]
    fn rules_that_decide_nothing_are_refused() {
        assert_eq!(Rule::new(0.04, 0.02, 0.05), Ok(Rule::default()));
        assert_eq!(Rule::new(0.0, 0.02, 0.05), Err(InvalidRule::Level(0.0)));
        assert!(Rule::new(f64::NAN, 0.02, 0.05).is_err());
        assert_eq!(Rule::new(0.04, -0.1, 0.05), Err(InvalidRule::Floor(-0.1)));
        assert_eq!(Rule::new(0.04, 0.05, 0.05), Err(InvalidRule::Margin(0.05, 0.05)));
    }

    #[test]
    fn the_same_rise_is_good_or_bad() {
        let (low, high) = ([10.0, 10.1, 9.9, 10.05], [12.0, 12.1, 11.9, 12.2]);
        for (base, candidate, direction, expected) in [
            (&low, &high, Direction::LowerIsBetter, Verdict::Regression),
            (&low, &high, Direction::HigherIsBetter, Verdict::Improvement),
            (&high, &low, Direction::LowerIsBetter, Verdict::Improvement),
            (&high, &low, Direction::HigherIsBetter, Verdict::Regression),
        ] {
            let found = judge(base, candidate, direction);
            assert_eq!(found.verdict, expected);
            assert_eq!(found.severity.is_some(), expected == Verdict::Regression);
        }
    }

    #[test]
    fn no_change_and_not_known_are_told_apart() {
        let quiet = [10.0, 10.1, 9.95, 10.05, 10.0];
        let Verdict::NoChange { within } = judge(&quiet, &quiet, Direction::LowerIsBetter).verdict else {
            panic!("quiet runs are equal");
        };
        assert!(within > 0.003 && within < 0.01, "{within}");
        let loud = [8.0, 10.0, 12.0];
        let Verdict::Undecided { more_runs } = judge(&loud, &loud, Direction::LowerIsBetter).verdict else {
            panic!("three loud runs say nothing");
        };
        assert!(more_runs > 100, "{more_runs}");
    }

    #[test]
    fn what_is_sure_and_small_is_no_regression() {
        let (base, candidate) = ([100.0, 100.1, 99.9, 100.0], [101.0, 101.1, 100.9, 101.0]);
        let found = judge(&base, &candidate, Direction::LowerIsBetter);
        assert!(found.comparison.p < 0.001 && matches!(found.verdict, Verdict::NoChange { .. }), "{found:?}");
    }

    #[test]
    fn the_verdict_is_by_the_adjusted_p_and_refusals_are_no_tests() {
        let (base, candidate) = ([10.0, 10.2, 9.8, 10.1], [10.4, 10.6, 10.2, 10.7]);
        let alone = judge(&base, &candidate, Direction::LowerIsBetter);
        assert_eq!(alone.verdict, Verdict::Regression);
        let loud = [8.0, 10.0, 12.0, 9.0];
        let mut pairs = vec![pair(&base, &candidate, Direction::LowerIsBetter)];
        pairs.extend([pair(&loud, &loud, Direction::LowerIsBetter); 30]);
        pairs.push(pair(&[1.0], &loud, Direction::LowerIsBetter));
        let many = compare_all(&pairs, &Rule::default());
        let first = many[0].as_ref().unwrap();
        assert!((first.p_adjusted - 31.0 * alone.comparison.p).abs() < 1e-9, "{first:?}");
        assert!(matches!(first.verdict, Verdict::Undecided { .. }), "{first:?}");
        assert!(first.detectable > alone.detectable);
        assert!(matches!(many[31], Err(Refusal::TooFewRuns { found: 1, .. })));
    }

    #[test]
    fn counts_and_values_are_corrected_together() {
        let count = |failed| Count { failed, of: 1000 };
        let (few, many) = ([count(0), count(1), count(0)], [count(11), count(13), count(12)]);
        let loud = [8.0, 10.0, 12.0, 9.0];
        let refused = CountPair { base: &few, candidate: &[] };
        let worse = CountPair { base: &few, candidate: &many };
        let equal = CountPair { base: &few, candidate: &few };
        let pairs = [pair(&loud, &loud, Direction::LowerIsBetter); 2];
        let JudgedTogether { values, counts } =
            compare_with_counts(&pairs, &[refused, worse, equal], &Rule::default(), &CountRule::default());
        assert_eq!(values.len(), 2);
        assert!(matches!(counts[0], Err(CountRefusal::NoRequests { side: Side::Candidate })), "{counts:?}");
        let found = counts[1].unwrap();
        assert_eq!((found.verdict, found.severity), (CountVerdict::Regression, Some(Severity::High)));
        // The refused pair is no test: there are four.
        assert!((found.p_adjusted - 4.0 * found.comparison.p).abs() < 1e-12, "{found:?}");
        let same = counts[2].unwrap();
        assert!(same.p_adjusted > 0.9 && same.severity.is_none(), "{same:?}");
        // And values bear the counts as tests.
        let alone = compare_all(&pairs, &Rule::default());
        assert!(alone[0].as_ref().unwrap().detectable < values[0].as_ref().unwrap().detectable);
    }

    /// Noise around 10 whose logarithms spread by about `spread`, without any change between two sides of `count` runs.
    fn equal_sides(kind: &str, count: usize, spread: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut noise = Noise::new(seed);
        let side = |noise: &mut Noise| -> Vec<f64> {
            let one = |noise: &mut Noise| match kind {
                "log-normal" => noise.normal(),
                // Two modes, three in ten runs in the slower one, which is four of their own deviations away.
                "bimodal" => {
                    let slow = if noise.uniform() < 0.3 { 4.0 } else { 0.0 };
                    (slow + noise.normal()) / 2.09
                }
                // Student's t of three degrees.
                "heavy-tailed" => {
                    let squares: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
                    noise.normal() / (squares / 3.0).sqrt() / 3.0_f64.sqrt()
                }
                _ => 0.0,
            };
            (0..count).map(|_| 10.0 * (spread * one(noise)).exp()).collect()
        };
        if kind == "autocorrelated" {
            // Interleaved, each pair in random order: the drift is on both sides.
            let drift = noise.autoregressive(2 * count, 0.6);
            let (mut base, mut candidate) = (Vec::new(), Vec::new());
            for two in drift.chunks(2) {
                let (first, second) = (10.0 * (spread * two[0]).exp(), 10.0 * (spread * two[1]).exp());
                let is_swapped = noise.uniform() < 0.5;
                base.push(if is_swapped { second } else { first });
                candidate.push(if is_swapped { first } else { second });
            }
            return (base, candidate);
        }
        (side(&mut noise), side(&mut noise))
    }

    const KINDS: [&str; 4] = ["log-normal", "bimodal", "heavy-tailed", "autocorrelated"];

    /// Percent of equal sides called a regression.
    fn cries_wolf(kind: &str, count: usize, spread: f64, sets: u64) -> f64 {
        let is_called = |seed: &u64| {
            let (base, candidate) = equal_sides(kind, count, spread, *seed);
            judge(&base, &candidate, Direction::LowerIsBetter).verdict == Verdict::Regression
        };
        100.0 * (0..sets).filter(is_called).count() as f64 / sets as f64
    }

    /// Percent of changes that are found.
    fn finds(change: f64, spread: f64, count: usize, sets: u64) -> f64 {
        let is_found = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let base = noise.log_normal(count, 10.0, spread);
            let candidate = noise.log_normal(count, 10.0 * (1.0 + change), spread);
            judge(&base, &candidate, Direction::LowerIsBetter).verdict == Verdict::Regression
        };
        100.0 * (0..sets).filter(is_found).count() as f64 / sets as f64
    }

    #[test]
    fn equal_versions_are_hardly_ever_called_a_regression() {
        for (count, spread) in [(5, 0.02), (5, 0.05), (10, 0.05)] {
            let each = KINDS.map(|kind| cries_wolf(kind, count, spread, 4000));
            // 0.22% is one standard error of each, 0.11% of their mean.
            assert!(each.iter().all(|found| *found <= 2.4), "{count} {spread}: {each:?}%");
            assert!(each.iter().sum::<f64>() / 4.0 <= 2.0, "{count} {spread}: {each:?}%");
        }
    }

    #[test]
    fn a_change_of_five_percent_is_found_with_six_runs_at_two_percent_noise() {
        let found = finds(0.05, 0.02, 6, 10_000);
        assert!(found >= 95.0, "{found}%");
    }

    #[test]
    fn a_regression_of_the_slowest_is_found_in_p99_among_all() {
        // The slowest 5% are 10% slower: p99 is, the mean by their share of it, p95 at the edge of them by a little, p50 not.
        let changes = [("p50", 1.0), ("p95", 1.01), ("p99", 1.1), ("mean", 1.015), ("throughput", 1.0)];
        let is_found = |seed: &u64| {
            let mut noise = Noise::new(*seed);
            let sides: Vec<_> = changes
                .iter()
                .map(|(_, change)| {
                    (noise.log_normal(10, 10.0, 0.02), noise.log_normal(10, 10.0 * change, 0.02))
                })
                .collect();
            let pairs: Vec<_> = changes
                .iter()
                .zip(&sides)
                .map(|((metric, _), (base, candidate))| pair(base, candidate, Direction::of(metric)))
                .collect();
            let judged = compare_all(&pairs, &Rule::default());
            judged[2].as_ref().unwrap().verdict == Verdict::Regression
        };
        let found = (0..500).filter(is_found).count();
        assert!(found >= 475, "{found} of 500");
    }

    #[test]
    fn many_steps_are_compared_in_no_time() {
        let mut noise = Noise::new(1);
        let sides: Vec<_> =
            (0..500).map(|_| (noise.log_normal(50, 10.0, 0.02), noise.log_normal(50, 10.0, 0.02))).collect();
        let pairs: Vec<_> =
            sides.iter().map(|(base, candidate)| pair(base, candidate, Direction::LowerIsBetter)).collect();
        let start = std::time::Instant::now();
        let judged = compare_all(&pairs, &Rule::default());
        assert!(judged.iter().flatten().all(|one| one.verdict != Verdict::Regression));
        for (base, candidate) in &sides {
            assert!(crate::bootstrap_t(base, candidate, 1).is_some());
        }
        // A quarter of a second; the room is for a busy machine.
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }

    /// `cargo test -p plimsoll-stats -- --ignored --nocapture table_of_verdicts`.
    #[test]
    #[ignore = "minutes of simulation"]
    fn table_of_verdicts() {
        for (count, spread) in [(5, 0.01), (5, 0.02), (5, 0.05), (10, 0.05), (30, 0.05)] {
            let each = KINDS.map(|kind| cries_wolf(kind, count, spread, 40_000));
            println!("| equal, {count} runs, noise {spread} | {each:.2?} |");
        }
        for count in [3, 5, 6, 7, 10] {
            println!("| +5%, noise 2%, {count} runs | {:.2} |", finds(0.05, 0.02, count, 40_000));
        }
    }
}
