//! Samples as pairs, judged together.

use plimsoll_stats::{
    Count, CountPair, CountRefusal, CountRule, CountVerdict, Direction, Judged, JudgedCounts, Pair, Refusal,
    Rule, Runs, Severity, Side, Verdict, compare_with_counts,
};

use crate::metric::{OfRun, tolerance};
use crate::recorded::ComparedRuns;
use crate::samples::{self, Samples};
use crate::table::{listed, shown};

/// So many names are told of those that there are.
const EXAMPLES: usize = 5;
/// The fewest runs of a side that say how much runs differ.
pub(crate) const FEWEST: usize = 2;

/// Why samples are not compared at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Somebody says something of a metric that no sample has.
    #[error("there is no metric `{}`; there are {there_are}", shown(.name))]
    UnknownMetric {
        /// Its name.
        name: String,
        /// Those that there are.
        there_are: String,
    },
    /// There is nothing to compare.
    #[error(
        "base and candidate have no benchmark with a metric in common: base has {base}, candidate has {candidate}"
    )]
    NothingInCommon {
        /// What the base has.
        base: String,
        /// What the candidate has.
        candidate: String,
    },
}

/// Why a pair was not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotCompared {
    /// A side has no runs.
    #[error("{0} has no runs of it")]
    Missing(Side),
    /// The runs that there are cannot be compared.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The counts that there are cannot be compared.
    #[error(transparent)]
    Counts(#[from] CountRefusal),
}

/// What was found of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// Of values: a change as a ratio.
    Values(Judged),
    /// Of counts of failures: a difference of their shares.
    Counts(JudgedCounts),
}

/// What it means, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It got worse.
    Regression,
    /// It got better.
    Improvement,
    /// It did not change by more than is said beside it.
    NoChange,
    /// The runs do not say.
    Undecided,
}

impl Found {
    /// What it means.
    pub fn finding(&self) -> Finding {
        match self {
            Self::Values(judged) => match judged.verdict {
                Verdict::Regression => Finding::Regression,
                Verdict::Improvement => Finding::Improvement,
                Verdict::NoChange { .. } => Finding::NoChange,
                Verdict::Undecided { .. } => Finding::Undecided,
            },
            Self::Counts(judged) => match judged.verdict {
                CountVerdict::Regression => Finding::Regression,
                CountVerdict::Improvement => Finding::Improvement,
                CountVerdict::NoChange { .. } => Finding::NoChange,
                CountVerdict::Undecided => Finding::Undecided,
            },
        }
    }

    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Values(judged) => judged.severity,
            Self::Counts(judged) => judged.severity,
        }
    }
}

/// All pairs of two sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparisons {
    /// What they were judged by.
    pub rule: Rule,
    /// The same of shares of failures.
    pub count_rule: CountRule,
    /// In the order of the samples. Never empty when it comes from a table.
    pub pairs: Vec<Compared>,
    /// What a reader has to know before any number.
    pub warnings: Vec<String>,
    /// The runs themselves, where they were recorded ones.
    pub runs: Option<ComparedRuns>,
}

/// A metric of a benchmark on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// What was done.
    pub benchmark: String,
    /// What was measured.
    pub metric: String,
    /// In which unit, where that is told; that of the base where the sides differ.
    pub unit: Option<String>,
    /// Which way it is better.
    pub direction: Direction,
    /// By how much it may get worse: as a share of the base, of shares of failures as a difference of theirs.
    pub tolerance: f64,
    /// How a run came to its value.
    pub of_run: OfRun,
    /// Runs of the base and of the candidate.
    pub runs: (usize, usize),
    /// Values of all runs of the base and of the candidate.
    pub values: (usize, usize),
    /// The level of the base and of the candidate, in the unit, also where they are not compared; `None` where a side has none.
    pub levels: (Option<f64>, Option<f64>),
    /// What was found, or why nothing can be said.
    pub outcome: Result<Found, NotCompared>,
}

impl Compared {
    /// Benchmark and metric in one: `encode/p95`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.benchmark, self.metric)
    }

    /// What was found means, where anything was.
    pub fn finding(&self) -> Option<Finding> {
        self.outcome.as_ref().ok().map(Found::finding)
    }

    /// How its values were judged; `None` of counts, and of what was not compared.
    pub fn judged(&self) -> Option<&Judged> {
        match &self.outcome {
            Ok(Found::Values(judged)) => Some(judged),
            Ok(Found::Counts(_)) | Err(_) => None,
        }
    }

    /// How its counts were judged; `None` of values, and of what was not compared.
    pub fn judged_counts(&self) -> Option<&JudgedCounts> {
        match &self.outcome {
            Ok(Found::Counts(judged)) => Some(judged),
            Ok(Found::Values(_)) | Err(_) => None,
        }
    }

    /// How bad a regression is; `None` of anything else.
    pub fn severity(&self) -> Option<Severity> {
        self.outcome.as_ref().ok().and_then(Found::severity)
    }

    /// Whether it got worse.
    pub fn is_regression(&self) -> bool {
        self.finding() == Some(Finding::Regression)
    }

    /// Whether it got better.
    pub fn is_improvement(&self) -> bool {
        self.finding() == Some(Finding::Improvement)
    }

    /// Whether the candidate alone has it: it is new, and nothing about it is open.
    pub fn is_new(&self) -> bool {
        matches!(self.outcome, Err(NotCompared::Missing(Side::Base)))
    }

    /// Whether nobody knows if it got worse: what is refused, what the candidate lacks and what needs more runs.
    pub fn is_undecided(&self) -> bool {
        match self.finding() {
            Some(Finding::Undecided) => true,
            Some(Finding::Regression | Finding::Improvement | Finding::NoChange) => false,
            None => !self.is_new(),
        }
    }
}

impl Comparisons {
    /// Whether anything got worse.
    pub fn has_regression(&self) -> bool {
        self.pairs.iter().any(Compared::is_regression)
    }

    /// Whether anything is not known.
    pub fn is_undecided(&self) -> bool {
        self.pairs.iter().any(Compared::is_undecided)
    }
}

/// What a pair is, and one value of each of its runs.
struct Reduced {
    of_run: OfRun,
    counts: (usize, usize),
    base: Vec<f64>,
    candidate: Vec<f64>,
    direction: Direction,
    tolerance: f64,
}

impl Reduced {
    fn of(pair: &mut samples::Pair, higher: &[String], rule: &CountRule) -> Self {
        let is_counted = pair.is_counted();
        let of_run = if is_counted { OfRun::Mean } else { OfRun::of(&pair.metric) };
        let is_higher = higher.contains(&pair.metric);
        let direction = match (is_counted, is_higher) {
            (true, _) => Direction::LowerIsBetter,
            (false, true) => Direction::HigherIsBetter,
            (false, false) => Direction::of(&pair.metric),
        };
        Self {
            of_run,
            counts: (pair.base.count(), pair.candidate.count()),
            base: pair.base.of_each(of_run),
            candidate: pair.candidate.of_each(of_run),
            direction,
            tolerance: if is_counted { rule.margin } else { tolerance(&pair.metric) },
        }
    }

    /// Whether each run of one side has its twin on the other, though runs differ.
    fn is_copied(&self) -> bool {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let (base, candidate) = (sorted(&self.base), sorted(&self.candidate));
        base.first() != base.last() && base == candidate
    }
}

/// The geometric mean of values above 0; `None` of others, and of none.
fn level(values: &[f64]) -> Option<f64> {
    let are_positive = !values.is_empty() && values.iter().all(|value| *value > 0.0);
    let logarithm = values.iter().map(|value| value.ln() / values.len() as f64).sum::<f64>();
    are_positive.then(|| logarithm.exp())
}

/// The share of all requests of a side that failed; `None` without requests.
fn share(counts: &[Count]) -> Option<f64> {
    let sum = |of: fn(&Count) -> u64| counts.iter().map(|count| of(count) as f64).sum::<f64>();
    let all = sum(|count| count.of);
    (all > 0.0).then(|| sum(|count| count.failed) / all)
}

fn levels(pair: &samples::Pair, reduced: &Reduced) -> (Option<f64>, Option<f64>) {
    if pair.is_counted() {
        (share(&pair.base.counts), share(&pair.candidate.counts))
    } else {
        (level(&reduced.base), level(&reduced.candidate))
    }
}

/// Requests of one run tell nothing of the next run, however many they are.
fn counts_of(pair: &samples::Pair) -> Result<CountPair<'_>, NotCompared> {
    let sides = [(Side::Base, &pair.base.counts), (Side::Candidate, &pair.candidate.counts)];
    for (side, counts) in sides {
        if counts.len() < FEWEST {
            return Err(NotCompared::Refused(Refusal::TooFewRuns { side, found: counts.len() }));
        }
    }
    Ok(CountPair { base: &pair.base.counts, candidate: &pair.candidate.counts })
}

/// What was found of each pair, all p values corrected together.
fn outcomes(
    pairs: &[samples::Pair],
    reduced: &[Reduced],
    rule: &Rule,
    count_rule: &CountRule,
) -> Vec<Result<Found, NotCompared>> {
    let both = || pairs.iter().zip(reduced).filter(|(pair, _)| pair.has_both());
    let of_values: Vec<Pair<'_>> = both()
        .filter(|(pair, _)| !pair.is_counted())
        .map(|(pair, reduced)| Pair {
            base: Runs { unit: &pair.base.unit, values: &reduced.base },
            candidate: Runs { unit: &pair.candidate.unit, values: &reduced.candidate },
            direction: reduced.direction,
            tolerance: reduced.tolerance,
        })
        .collect();
    let counted = both().filter(|(pair, _)| pair.is_counted());
    let of_counts: Vec<CountPair<'_>> = counted.filter_map(|(pair, _)| counts_of(pair).ok()).collect();
    let judged = compare_with_counts(&of_values, &of_counts, rule, count_rule);
    let (mut of_values, mut of_counts) = (judged.values.into_iter(), judged.counts.into_iter());
    let outcome = |pair: &samples::Pair| {
        let missing = if pair.base.is_empty() { Side::Base } else { Side::Candidate };
        if !pair.has_both() {
            return Err(NotCompared::Missing(missing));
        }
        if pair.is_counted() {
            counts_of(pair)?;
            let judged = of_counts.next().ok_or(NotCompared::Missing(missing))?;
            return Ok(Found::Counts(judged?));
        }
        let judged = of_values.next().ok_or(NotCompared::Missing(missing))?;
        Ok(Found::Values(judged?))
    };
    pairs.iter().map(outcome).collect()
}

impl Samples {
    /// Compares both sides, every metric of every benchmark, with Holm's correction over all that are compared.
    ///
    /// Higher is better of metrics named in `higher`, whatever their names say.
    ///
    /// # Errors
    /// When the sides have nothing in common, and when no sample has a metric that is named: whoever misspells it would have an
    /// improvement called a regression.
    pub fn compare(mut self, rule: Rule, higher: &[String]) -> Result<Comparisons, CompareError> {
        self.know(higher)?;
        self.have_something_in_common()?;
        let count_rule = CountRule::default();
        let reduced: Vec<Reduced> =
            self.pairs.iter_mut().map(|pair| Reduced::of(pair, higher, &count_rule)).collect();
        let outcomes = outcomes(&self.pairs, &reduced, &rule, &count_rule);
        let pairs: Vec<Compared> = self
            .pairs
            .iter()
            .zip(&reduced)
            .zip(outcomes)
            .map(|((pair, reduced), outcome)| Compared {
                benchmark: pair.benchmark.clone(),
                metric: pair.metric.clone(),
                unit: [&pair.base.unit, &pair.candidate.unit]
                    .into_iter()
                    .find(|unit| !unit.is_empty())
                    .cloned(),
                direction: reduced.direction,
                tolerance: reduced.tolerance,
                of_run: reduced.of_run,
                runs: if pair.is_counted() {
                    reduced.counts
                } else {
                    (reduced.base.len(), reduced.candidate.len())
                },
                values: reduced.counts,
                levels: match &outcome {
                    Ok(Found::Values(judged)) => {
                        (Some(judged.comparison.base), Some(judged.comparison.candidate))
                    }
                    Ok(Found::Counts(_)) | Err(_) => levels(pair, reduced),
                },
                outcome,
            })
            .collect();
        let mut warnings = differences(&pairs);
        if !self.are_known {
            warnings.extend(copies(&self.pairs, &reduced));
        }
        warnings.append(&mut self.warnings);
        Ok(Comparisons { rule, count_rule, pairs, warnings, runs: None })
    }

    fn know(&self, metrics: &[String]) -> Result<(), CompareError> {
        let is_unknown = |name: &&String| self.pairs.iter().all(|pair| pair.metric != **name);
        match metrics.iter().find(is_unknown) {
            None => Ok(()),
            Some(name) => {
                let mut known: Vec<&str> = self.pairs.iter().map(|pair| pair.metric.as_str()).collect();
                known.sort_unstable();
                known.dedup();
                Err(CompareError::UnknownMetric { name: name.clone(), there_are: some(&known) })
            }
        }
    }

    fn have_something_in_common(&self) -> Result<(), CompareError> {
        if self.pairs.iter().any(samples::Pair::has_both) {
            return Ok(());
        }
        let names = |is_there: fn(&samples::Pair) -> bool| {
            let there = self.pairs.iter().filter(|pair| is_there(pair));
            let names: Vec<String> =
                there.map(|pair| format!("{}/{}", pair.benchmark, pair.metric)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if names.is_empty() { "nothing".to_owned() } else { some(&names) }
        };
        Err(CompareError::NothingInCommon {
            base: names(|pair| !pair.base.is_empty()),
            candidate: names(|pair| !pair.candidate.is_empty()),
        })
    }
}

/// What one side has and the other lacks.
fn differences(pairs: &[Compared]) -> Vec<String> {
    let lacking = |side: Side| {
        let is_lacking = |pair: &&Compared| pair.outcome == Err(NotCompared::Missing(side));
        let names: Vec<String> = pairs.iter().filter(is_lacking).map(Compared::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what = match side {
            Side::Candidate => "it was removed, or it failed",
            Side::Base => "it is new",
        };
        (!names.is_empty()).then(|| format!("{side} has no runs of {}: {what}", some(&names)))
    };
    [Side::Candidate, Side::Base].into_iter().filter_map(lacking).collect()
}

fn copies(pairs: &[samples::Pair], reduced: &[Reduced]) -> Option<String> {
    let copied = pairs.iter().zip(reduced).filter(|(_, reduced)| reduced.is_copied());
    let names: Vec<String> = copied.map(|(pair, _)| format!("{}/{}", pair.benchmark, pair.metric)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        format!("both sides have the very same values of {}: were the same runs given twice?", some(&names))
    })
}

/// Some names, and how many more there are.
pub(crate) fn some(names: &[&str]) -> String {
    let more = names.len().saturating_sub(EXAMPLES);
    let told = listed(names.iter().take(EXAMPLES).copied());
    if more > 0 { format!("{told} and {more} more") } else { told }
}
