//! In what runs differ beside their figures.

use std::fmt;

use jiff::Timestamp;

use super::{RunFacts, Validity};

/// So many values of a side are told.
const VALUES: usize = 4;
/// A value of a record is told up to so many characters, enough for a load of ten stages.
const LONGEST: usize = 240;

/// Something in which not all runs are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What: `plan hash`.
    pub what: &'static str,
    /// Its values on the base, each with how many runs have it, in the order of the runs.
    pub base: Vec<(String, usize)>,
    /// The same of the candidate.
    pub candidate: Vec<(String, usize)>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |values: &[(String, usize)]| {
            let one = |(value, count): &(String, usize)| match values.len() {
                1 => shown(value),
                _ => format!("{} ({count} of the runs)", shown(value)),
            };
            let more = if values.len() > VALUES { " and others" } else { "" };
            values.iter().take(VALUES).map(one).collect::<Vec<_>>().join(", ") + more
        };
        write!(f, "{} differs: base {}; candidate {}", self.what, side(&self.base), side(&self.candidate))
    }
}

/// A fact of a run with its name.
type Fact = (&'static str, fn(&RunFacts) -> &str);

/// What has to be alike for a change of figures to be one of what was tested. Its version is not among them: that is what is compared.
const FACTS: [Fact; 8] = [
    ("plan", |run| &run.plan),
    ("plan hash", |run| &run.plan_hash),
    ("target", |run| &run.target),
    ("environment", |run| run.environment.as_deref().unwrap_or("none")),
    ("class of machine", |run| &run.machine),
    ("host", |run| &run.host),
    ("operating system", |run| &run.system),
    ("version of Plimsoll", |run| &run.plimsoll),
];
const PLAN_HASH: usize = 1;
const LOAD: Fact = ("load", |run| &run.load);

pub(super) fn differences(base: &[RunFacts], candidate: &[RunFacts]) -> Vec<Difference> {
    let found = |fact: &Fact| difference(fact, base, candidate);
    let mut all = Vec::new();
    for (index, fact) in FACTS.iter().enumerate() {
        let Some(difference) = found(fact) else { continue };
        all.push(difference);
        // Plans with one hash have one load, whenever its last request came back.
        if index == PLAN_HASH {
            all.extend(found(&LOAD));
        }
    }
    all
}

fn difference((what, of): &Fact, base: &[RunFacts], candidate: &[RunFacts]) -> Option<Difference> {
    let count = |runs: &[RunFacts]| {
        let mut values: Vec<(String, usize)> = Vec::new();
        for value in runs.iter().map(of) {
            match values.iter_mut().find(|(known, _)| known == value) {
                Some((_, count)) => *count += 1,
                None => values.push((value.to_owned(), 1)),
            }
        }
        values
    };
    let (base, candidate) = (count(base), count(candidate));
    let is_one = |values: &[(String, usize)]| values.len() == 1;
    let are_alike = is_one(&base) && is_one(&candidate) && base[0].0 == candidate[0].0;
    (!are_alike).then_some(Difference { what, base, candidate })
}

/// How many runs of each side are so; `None` where none is.
fn how_many(base: &[RunFacts], candidate: &[RunFacts], is_so: impl Fn(&&RunFacts) -> bool) -> Option<String> {
    let so = |runs: &[RunFacts]| runs.iter().filter(&is_so).count();
    let (of_base, of_candidate) = (so(base), so(candidate));
    (of_base + of_candidate > 0).then(|| {
        format!(
            "{of_base} of {} runs of base and {of_candidate} of {} of candidate",
            base.len(),
            candidate.len()
        )
    })
}

/// That figures may be the generator's own.
pub(super) fn suspects(base: &[RunFacts], candidate: &[RunFacts]) -> Option<String> {
    let is_suspect = |run: &&RunFacts| run.validity == Validity::Suspect;
    let many = how_many(base, candidate, is_suspect)?;
    let doubt = base.iter().chain(candidate).filter(is_suspect).find_map(|run| run.doubts.first());
    let doubt = doubt.map(|doubt| format!(", such as: {}", shown(doubt))).unwrap_or_default();
    Some(format!("the generator was suspect in {many}, so figures may be its own{doubt}"))
}

/// That load was not the plan's.
pub(super) fn steered(base: &[RunFacts], candidate: &[RunFacts]) -> Option<String> {
    let many = how_many(base, candidate, |run| run.steered > 0)?;
    Some(format!("somebody steered the load of {many}: it was not the plan's"))
}

/// That one side was all made before the other, so that what became of the machine between looks like a change.
pub(super) fn in_turn(base: &[RunFacts], candidate: &[RunFacts]) -> Option<String> {
    let ends = |runs: &[RunFacts]| {
        let times: Option<Vec<Timestamp>> = runs.iter().map(|run| run.started.parse().ok()).collect();
        let times = times?;
        Some((*times.iter().min()?, *times.iter().max()?))
    };
    let (base, candidate) = (ends(base)?, ends(candidate)?);
    let (first, then, between) = if base.1 < candidate.0 {
        ("base", "candidate", candidate.0.duration_since(base.1))
    } else if candidate.1 < base.0 {
        ("candidate", "base", base.0.duration_since(candidate.1))
    } else {
        return None;
    };
    Some(format!(
        "all runs of {first} were made before those of {then}, {} before: what became of the machine meanwhile looks like a \
         change. Make them in turn",
        length(between.as_secs())
    ))
}

/// A time in its largest unit.
fn length(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// What a record says, without characters that steer a terminal.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        shown.push_str("...");
    }
    shown
}
