//! Samples as pairs, judged together.

use plimsoll_stats::{Direction, Judged, Pair, Refusal, Rule, Runs, Severity, Side, Verdict, compare_all};

use crate::metric::{OfRun, tolerance};
use crate::samples::{self, Samples};
use crate::table::{listed, shown};

/// So many names are told of those that there are.
const EXAMPLES: usize = 5;

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
}

/// All pairs of two sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparisons {
    /// What they were judged by.
    pub rule: Rule,
    /// In the order of the samples. Never empty when it comes from a table.
    pub pairs: Vec<Compared>,
    /// What a reader has to know before any number.
    pub warnings: Vec<String>,
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
    /// By how much it may get worse, as a share.
    pub tolerance: f64,
    /// How a run came to its value.
    pub of_run: OfRun,
    /// Runs of the base and of the candidate.
    pub runs: (usize, usize),
    /// Values of all runs of the base and of the candidate.
    pub values: (usize, usize),
    /// What it means, or why nothing can be said.
    pub outcome: Result<Judged, NotCompared>,
}

impl Compared {
    /// Benchmark and metric in one: `encode/p95`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.benchmark, self.metric)
    }

    /// The verdict, where there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.outcome.as_ref().ok().map(|judged| judged.verdict)
    }

    /// How bad a regression is; `None` of anything else.
    pub fn severity(&self) -> Option<Severity> {
        self.outcome.as_ref().ok().and_then(|judged| judged.severity)
    }

    /// Whether it got worse.
    pub fn is_regression(&self) -> bool {
        self.verdict() == Some(Verdict::Regression)
    }

    /// Whether it got better.
    pub fn is_improvement(&self) -> bool {
        self.verdict() == Some(Verdict::Improvement)
    }

    /// Whether the candidate alone has it: it is new, and nothing about it is open.
    pub fn is_new(&self) -> bool {
        matches!(self.outcome, Err(NotCompared::Missing(Side::Base)))
    }

    /// Whether nobody knows if it got worse: what is refused, what the candidate lacks and what needs more runs.
    pub fn is_undecided(&self) -> bool {
        match self.verdict() {
            Some(Verdict::Undecided { .. }) => true,
            Some(Verdict::Regression | Verdict::Improvement | Verdict::NoChange { .. }) => false,
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
    fn of(pair: &mut samples::Pair, higher: &[String]) -> Self {
        let of_run = OfRun::of(&pair.metric);
        let is_higher = higher.contains(&pair.metric);
        let direction = if is_higher { Direction::HigherIsBetter } else { Direction::of(&pair.metric) };
        Self {
            of_run,
            counts: (pair.base.count(), pair.candidate.count()),
            base: pair.base.of_each(of_run),
            candidate: pair.candidate.of_each(of_run),
            direction,
            tolerance: tolerance(&pair.metric),
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
        let reduced: Vec<Reduced> = self.pairs.iter_mut().map(|pair| Reduced::of(pair, higher)).collect();
        let pairs: Vec<Pair<'_>> = self
            .pairs
            .iter()
            .zip(&reduced)
            .filter(|(pair, _)| has_both(pair))
            .map(|(pair, reduced)| Pair {
                base: Runs { unit: &pair.base.unit, values: &reduced.base },
                candidate: Runs { unit: &pair.candidate.unit, values: &reduced.candidate },
                direction: reduced.direction,
                tolerance: reduced.tolerance,
            })
            .collect();
        let mut judged = compare_all(&pairs, &rule).into_iter();
        let mut outcome = |pair: &samples::Pair| {
            let missing = if pair.base.is_empty() { Side::Base } else { Side::Candidate };
            let judged = if has_both(pair) { judged.next() } else { None };
            judged.map_or(Err(NotCompared::Missing(missing)), |judged| judged.map_err(NotCompared::from))
        };
        let pairs: Vec<Compared> = self
            .pairs
            .iter()
            .zip(&reduced)
            .map(|(pair, reduced)| Compared {
                benchmark: pair.benchmark.clone(),
                metric: pair.metric.clone(),
                unit: [&pair.base.unit, &pair.candidate.unit]
                    .into_iter()
                    .find(|unit| !unit.is_empty())
                    .cloned(),
                direction: reduced.direction,
                tolerance: reduced.tolerance,
                of_run: reduced.of_run,
                runs: (reduced.base.len(), reduced.candidate.len()),
                values: reduced.counts,
                outcome: outcome(pair),
            })
            .collect();
        let mut warnings = differences(&pairs);
        warnings.extend(copies(&self.pairs, &reduced));
        warnings.append(&mut self.warnings);
        Ok(Comparisons { rule, pairs, warnings })
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
        if self.pairs.iter().any(has_both) {
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

fn has_both(pair: &samples::Pair) -> bool {
    !pair.base.is_empty() && !pair.candidate.is_empty()
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
fn some(names: &[&str]) -> String {
    let more = names.len().saturating_sub(EXAMPLES);
    let told = listed(names.iter().take(EXAMPLES).copied());
    if more > 0 { format!("{told} and {more} more") } else { told }
}
