//! Recorded runs as two sides: what of them is compared, what differs between them, and what is left out.

mod differences;
mod wire;

use std::collections::BTreeSet;

use plimsoll_stats::{Count, Rule, Side};

use crate::comparison::{CompareError, Comparisons, FEWEST, some};
use crate::samples::{Sample, Samples};
pub use differences::Difference;
use differences::{differences, in_turn, steered, suspects};

/// What is compared of each step. Times are response times in seconds; `error_ratio` is compared from counts of requests.
pub const METRICS: [&str; 6] = ["throughput", "mean", "p50", "p95", "p99", "error_ratio"];
const ERROR_RATIO: &str = METRICS[5];

/// So many characters of an id tell the runs of one history apart: its milliseconds.
const SHORT_ID: usize = 13;

/// With so many runs a side a change of 5% is found where runs differ by 2%.
const ENOUGH: usize = 6;

/// Whether the generator of a run can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validity {
    /// It kept its schedule.
    Valid,
    /// Its figures may be the generator's own.
    Suspect,
    /// Its figures say more about the generator than about the target.
    Invalid,
}

impl Validity {
    /// Its word in the JSON of a run.
    pub fn label(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }
}

/// What has to be known of a run before its figures are put beside those of others.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// Its id.
    pub id: String,
    /// The name of its plan.
    pub plan: String,
    /// Of runs with one hash the same was asked in the same way.
    pub plan_hash: String,
    /// The version of what was tested.
    pub version: Option<String>,
    /// Where it was tested.
    pub environment: Option<String>,
    /// What was tested.
    pub target: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// Its load in words, as planned: `open, 200/s for 30 s`.
    pub load: String,
    /// The class of the machine that offered the load: processor, cores and memory, with their fingerprint.
    pub machine: String,
    /// The name of that machine.
    pub host: String,
    /// Its operating system and kernel.
    pub system: String,
    /// The version of Plimsoll that offered the load.
    pub plimsoll: String,
    /// How it ended, in the word of its JSON: `completed`.
    pub status: String,
    /// Why, unless it completed.
    pub reason: Option<String>,
    /// Whether its generator can be trusted.
    pub validity: Validity,
    /// Why not.
    pub doubts: Vec<String>,
    /// How often its load was made other than planned.
    pub steered: usize,
}

impl RunFacts {
    /// The beginning of its id, enough to find it.
    pub fn short_id(&self) -> String {
        self.id.chars().take(SHORT_ID).collect()
    }

    /// Why its figures are not to be compared; `None` where they are.
    fn why_left_out(&self) -> Option<String> {
        let because = |what: &str, reasons: &[String]| match reasons {
            [] => what.to_owned(),
            reasons => format!("{what}: {}", reasons.join("; ")),
        };
        let reason: Vec<String> = self.reason.iter().cloned().collect();
        match (self.status.as_str(), self.validity) {
            ("running", _) => Some("it goes on".to_owned()),
            ("completed", Validity::Invalid) => {
                Some(because("its generator cannot be trusted", &self.doubts))
            }
            ("completed", Validity::Valid | Validity::Suspect) => None,
            (status, _) => Some(because(&format!("it was {status}, and had not the whole load"), &reason)),
        }
    }
}

/// Figures of a step of a run.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// Scenario and step.
    name: String,
    /// The values of [`METRICS`] in their order but the last; `None` where so few requests do not say.
    values: [Option<f64>; 5],
    /// Requests that failed, of those whose outcome is known.
    count: Count,
}

/// A run as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRun {
    /// What has to be known of it.
    pub facts: RunFacts,
    /// In the order of the plan.
    steps: Vec<Step>,
}

/// A run that is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Of which side.
    pub side: Side,
    /// Which.
    pub run: RunFacts,
    /// Why.
    pub why: String,
}

/// The runs behind a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedRuns {
    /// Those of the base, in the order they were given in.
    pub base: Vec<RunFacts>,
    /// Those of the candidate.
    pub candidate: Vec<RunFacts>,
    /// Those that are not compared.
    pub left_out: Vec<LeftOut>,
    /// In what the runs differ beside their figures.
    pub differences: Vec<Difference>,
}

/// Why runs are not compared at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunsError {
    /// A run would be compared with itself.
    #[error("run {id} is on both sides: a run is no evidence against itself")]
    BothSides {
        /// Its id.
        id: String,
    },
    /// A side has no run that can be compared.
    #[error("{side} has no run that can be compared: {}", why.join("; "))]
    NoneLeft {
        /// Which.
        side: Side,
        /// Why each was left out.
        why: Vec<String>,
    },
    /// The runs did other things.
    #[error("base and candidate have no step in common: base has {base}, candidate has {candidate}")]
    NoStepInCommon {
        /// Steps of the base.
        base: String,
        /// Steps of the candidate.
        candidate: String,
    },
    /// Their figures have nothing in common.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

/// Compares two sets of recorded runs, every metric of every step, with Holm's correction over all.
///
/// Runs whose generator is invalid and runs that did not come to their planned end are left out and named. What differs between the
/// runs (plan, load, machine, our own version, validity) is among the warnings, before all others.
///
/// # Errors
/// When a run is on both sides, a side has none left, or the sides have no step in common.
pub fn compare_runs(
    base: Vec<RecordedRun>,
    candidate: Vec<RecordedRun>,
    rule: Rule,
) -> Result<Comparisons, RunsError> {
    if let Some(run) = base.iter().find(|run| candidate.iter().any(|other| other.facts.id == run.facts.id)) {
        return Err(RunsError::BothSides { id: run.facts.id.clone() });
    }
    let mut left_out = Vec::new();
    let base = usable(Side::Base, base, &mut left_out)?;
    let candidate = usable(Side::Candidate, candidate, &mut left_out)?;
    have_steps_in_common(&base, &candidate)?;
    let (samples, lacking) = samples(&base, &candidate);
    let mut found = samples.compare(rule, &[])?;
    let facts = |runs: Vec<RecordedRun>| runs.into_iter().map(|run| run.facts).collect::<Vec<_>>();
    let (base, candidate) = (facts(base), facts(candidate));
    let differences = differences(&base, &candidate);
    let mut warnings: Vec<String> = differences.iter().map(ToString::to_string).collect();
    warnings.extend(in_words(&left_out));
    warnings.extend(suspects(&base, &candidate));
    warnings.extend(steered(&base, &candidate));
    // Runs that are alone cannot be made in turn.
    warnings.extend(too_few(&base, &candidate).or_else(|| in_turn(&base, &candidate)));
    warnings.append(&mut found.warnings);
    warnings.extend(lacking);
    found.warnings = warnings;
    found.runs = Some(ComparedRuns { base, candidate, left_out, differences });
    Ok(found)
}

/// The runs of a side that can be compared.
fn usable(
    side: Side,
    runs: Vec<RecordedRun>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<RecordedRun>, RunsError> {
    let (mut kept, mut why_none) = (Vec::new(), Vec::new());
    for run in runs {
        let no_steps = || run.steps.is_empty().then(|| "none of its requests was counted".to_owned());
        match run.facts.why_left_out().or_else(no_steps) {
            None => kept.push(run),
            Some(why) => {
                why_none.push(format!("run {}: {why}", run.facts.short_id()));
                left_out.push(LeftOut { side, run: run.facts, why });
            }
        }
    }
    if kept.is_empty() { Err(RunsError::NoneLeft { side, why: why_none }) } else { Ok(kept) }
}

fn have_steps_in_common(base: &[RecordedRun], candidate: &[RecordedRun]) -> Result<(), RunsError> {
    let names = |runs: &[RecordedRun]| -> BTreeSet<String> {
        runs.iter().flat_map(|run| &run.steps).map(|step| step.name.clone()).collect()
    };
    let (base, candidate) = (names(base), names(candidate));
    if base.intersection(&candidate).next().is_some() {
        return Ok(());
    }
    let told = |names: &BTreeSet<String>| some(&names.iter().map(String::as_str).collect::<Vec<_>>());
    Err(RunsError::NoStepInCommon { base: told(&base), candidate: told(&candidate) })
}

/// What is compared, and of which runs some of it is not known.
fn samples(base: &[RecordedRun], candidate: &[RecordedRun]) -> (Samples, Vec<String>) {
    let mut samples = Samples::of_known_runs();
    let mut lacking = Vec::new();
    for (side, runs) in [(Side::Base, base), (Side::Candidate, candidate)] {
        let mut without: [Vec<&str>; 5] = Default::default();
        for run in runs {
            for step in &run.steps {
                add(&mut samples, side, &run.facts.id, step);
                for (names, value) in without.iter_mut().zip(step.values) {
                    if value.is_none() && !names.contains(&step.name.as_str()) {
                        names.push(&step.name);
                    }
                }
            }
        }
        lacking.extend(not_known(side, without));
    }
    (samples, lacking)
}

/// Of which steps some runs of a side do not say some metrics, the metrics of the same steps together.
fn not_known(side: Side, without: [Vec<&str>; 5]) -> Vec<String> {
    let mut told: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for (metric, steps) in METRICS.into_iter().zip(without).filter(|(_, steps)| !steps.is_empty()) {
        match told.iter_mut().find(|(known, _)| *known == steps) {
            Some((_, metrics)) => metrics.push(metric),
            None => told.push((steps, vec![metric])),
        }
    }
    let sentence = |(steps, metrics): (Vec<&str>, Vec<&str>)| {
        let (metrics, steps) = (metrics.join(", "), some(&steps));
        format!("{metrics} of {steps} is not known of every run of {side}: too few requests were answered")
    };
    told.into_iter().map(sentence).collect()
}

fn add(samples: &mut Samples, side: Side, run: &str, step: &Step) {
    for (metric, value) in METRICS.into_iter().zip(step.values) {
        let unit = (metric != "throughput").then_some("seconds");
        if let Some(value) = value {
            // One metric has one unit here, so that no sample can be refused.
            let _ = samples.add(&Sample { benchmark: &step.name, metric, side, run, value, unit });
        }
    }
    samples.add_count(&step.name, ERROR_RATIO, side, step.count);
}

/// Those left out, runs with one reason together.
fn in_words(left_out: &[LeftOut]) -> Vec<String> {
    let mut told: Vec<(Side, &str, Vec<String>)> = Vec::new();
    for LeftOut { side, run, why } in left_out {
        match told.iter_mut().find(|(of, reason, _)| of == side && reason == why) {
            Some((.., ids)) => ids.push(run.short_id()),
            None => told.push((*side, why, vec![run.short_id()])),
        }
    }
    let sentence = |(side, why, ids): (Side, &str, Vec<String>)| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        format!("left out of {side}: run {}: {why}", some(&ids))
    };
    told.into_iter().map(sentence).collect()
}

/// How little a side with one run can see.
fn too_few(base: &[RunFacts], candidate: &[RunFacts]) -> Option<String> {
    let alone: Vec<&str> = [("base", base), ("candidate", candidate)]
        .into_iter()
        .filter(|(_, runs)| runs.len() < FEWEST)
        .map(|(name, _)| name)
        .collect();
    let fewest = base.len().min(candidate.len());
    (!alone.is_empty()).then(|| {
        format!(
            "{} {} one run, which does not say how much runs differ: no change can be told from luck, however large. \
             Make {} more a side, in turn: {ENOUGH} a side find a change of 5% where runs differ by 2%",
            alone.join(" and "),
            if alone.len() == 1 { "has" } else { "have" },
            ENOUGH.saturating_sub(fewest)
        )
    })
}
