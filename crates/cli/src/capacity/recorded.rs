//! Points from the recorded runs of a plan.

use std::sync::Arc;

use anyhow::anyhow;
use jiff::Timestamp;
use plimsoll_capacity::{self as capacity, Earlier, LeftOut, Mean, Plateau, Points, Traffic};
use plimsoll_history::{Filter, History, RunRow};
use plimsoll_report::CapacitySource;
use plimsoll_run::{Counts, LoadSeries, RunEvent, RunPlateaus, State};
use serde_json::{Value, json};

use super::Measured;
use super::track::Origin;
use crate::Stop;
use crate::progress::Progress;

/// How many plans are named when one is not found, and how many runs when none is of use.
const NAMED: usize = 8;

/// A run of fewer seconds is read again at its end, at a millisecond each.
const SOON: u64 = 600;

/// How much of an id tells runs of one history apart: its milliseconds.
const ID: usize = 13;

/// A run and what it says about capacity.
struct Run {
    id: String,
    target: String,
    started_nanos: i64,
    says: RunPlateaus,
}

/// What a run is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Its plateaus are points of the curve that is asked about.
    Measured,
    /// It belongs to another curve of the same plan.
    Earlier,
    /// Nothing.
    LeftOut,
}

impl Use {
    fn label(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Earlier => "earlier",
            Self::LeftOut => "left_out",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Earlier => "as an earlier run",
            Self::LeftOut => "left out",
        }
    }
}

/// The plateaus of the latest `most` runs of a plan. The last run that can be used says what is asked about; runs
/// of its lineage are measurements of the same curve, those of another are earlier curves or of no use, and
/// each is said; `in_json` with all their plateaus.
pub(super) async fn measured(
    history: &History,
    plan: &str,
    most: u32,
    in_json: bool,
) -> Result<Measured, Stop> {
    let filter = Filter { plan: Some(plan.to_owned()), ..Filter::default() };
    let mut rows = history.list(&filter).await.map_err(Stop::usage)?;
    // Trials of a search are as short as their verdict allows, too short to be steady.
    rows.retain(|row| !row.tags.contains_key(plimsoll_run::LIMIT_TAG));
    rows.truncate(most as usize);
    if rows.is_empty() {
        return Err(Stop::usage(no_runs(history, plan).await?));
    }
    rows.reverse();
    let runs = read(history, plan, rows).await?;
    let Some(latest) = runs.iter().rev().find(|run| !plateaus(run).is_empty()) else {
        let reasons: Vec<String> = runs.iter().rev().take(NAMED).flat_map(why_nothing).collect();
        return Err(Stop::refused(anyhow!(
            "no run of `{plan}` has a plateau to learn from. Hold each load until it has settled and for ten seconds \
             more, as in `stages: [ {{ hold: 100/s, for: 30s }}, {{ hold: 200/s, for: 30s }} ]`\n{}",
            reasons.join("\n")
        )));
    };
    let mut remarks = Remarks::default();
    let (mut told, mut sources) = (Vec::new(), Vec::new());
    let (mut points, mut curves, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    for run in &runs {
        let crossings = latest.says.lineage.crossings(&run.says.lineage);
        let comparable = run.says.kind == latest.says.kind && run.says.counts == latest.says.counts;
        let used = match (&run.says.found, crossings.is_empty(), comparable) {
            (Ok(_), true, _) => Use::Measured,
            (Ok(_), false, true) => Use::Earlier,
            (Err(_), ..) | (Ok(_), false, false) => Use::LeftOut,
        };
        remarks.of(run, used, &crossings);
        // All plateaus of a year are a hundred megabytes of text.
        told.extend(in_json.then(|| told_of(run, used, &crossings)));
        sources.push(CapacitySource {
            name: name(run),
            used: used.words().to_owned(),
            points: plateaus(run).len(),
            remarks: why_apart(run, &crossings).into_iter().chain(left_out(run)).collect(),
        });
        let of_run = plateaus(run).iter();
        match used {
            Use::Measured => {
                points.extend(of_run);
                measured.push(run.id.clone());
            }
            Use::Earlier if !plateaus(run).is_empty() => join(&mut curves, run),
            Use::Earlier | Use::LeftOut => {}
        }
    }
    let mut warnings = remarks.sentences();
    if latest.says.counts == Counts::Iterations {
        warnings.insert(0, "load and throughput count iterations: each takes several requests".to_owned());
    }
    let points = Points::new(capacity::points(points), latest.says.kind).map_err(Stop::usage)?;
    Ok(Measured {
        name: format!("{plan}, {} run{}", measured.len(), if measured.len() == 1 { "" } else { "s" }),
        points,
        history: curves
            .into_iter()
            .map(|(run, plateaus)| earlier(run, plateaus))
            .collect::<Result<_, _>>()?,
        warnings,
        sources: json!({ "runs": told }),
        told: sources,
        origin: Some(Origin { plan: plan.to_owned(), target: latest.target.clone(), runs: measured }),
    })
}

/// Curves of other lineages, the oldest first: each with the plateaus of all its runs.
fn join<'r>(curves: &mut Vec<(&'r Run, Vec<&'r Plateau>)>, run: &'r Run) {
    let known = curves.iter().position(|(of, _)| of.says.lineage == run.says.lineage);
    let mut all = known.map(|at| curves.remove(at).1).unwrap_or_default();
    all.extend(plateaus(run));
    curves.push((run, all));
}

fn earlier(run: &Run, plateaus: Vec<&Plateau>) -> Result<Earlier, Stop> {
    let name = run.says.lineage.version().map_or_else(|| short(run), str::to_owned);
    let points = Points::new(capacity::points(plateaus), run.says.kind).map_err(Stop::usage)?;
    Ok(Earlier { name, points })
}

/// The request rate of each run of a plan that has ended, by the summary kept of it.
pub(super) async fn traffic(history: &History, plan: &str) -> Result<Vec<Traffic>, Stop> {
    let filter = Filter { plan: Some(plan.to_owned()), ..Filter::default() };
    let rows = history.list(&filter).await.map_err(Stop::usage)?;
    if rows.is_empty() {
        return Err(Stop::usage(no_runs(history, plan).await?));
    }
    let rate = |row: &RunRow| {
        let summary: Value = serde_json::from_str(row.summary.as_deref()?).ok()?;
        let rate = summary["totals"]["request_rate"].as_f64()?;
        Some(Traffic { at: row.started_nanos as f64 / 1e9, rate })
    };
    Ok(rows.iter().filter_map(rate).collect())
}

async fn no_runs(history: &History, plan: &str) -> Result<anyhow::Error, Stop> {
    let rows = history.list(&Filter::default()).await.map_err(Stop::usage)?;
    if rows.iter().any(|row| row.plan == plan) {
        return Ok(anyhow!(
            "the runs of `{plan}` that are recorded here are the trials of searches, which are too short to be steady. \
             What a search found is its own answer (`plimsoll limit --json`, or the page of `plimsoll serve`); to foretell \
             a limit from lower loads, run a plan that holds five of them for 15 s each: `plimsoll run`"
        ));
    }
    let mut plans: Vec<&str> = rows.iter().map(|row| row.plan.as_str()).collect();
    plans.sort_unstable();
    plans.dedup();
    let more = if plans.len() > NAMED { ", ..." } else { "" };
    plans.truncate(NAMED);
    Ok(match plans.as_slice() {
        [] => anyhow!("no runs are recorded here; run the plan first"),
        plans => anyhow!(
            "no runs of a plan named `{plan}` are recorded here; there are {}{more}",
            plans.join(", ")
        ),
    })
}

/// What recorded runs say, in their order. What is known is taken from the history; what had to be found is kept
/// there for the next time.
async fn read(history: &History, plan: &str, rows: Vec<RunRow>) -> Result<Vec<Run>, Stop> {
    let mut known = history.plateaus(plan).await.map_err(Stop::usage)?;
    let unknown = rows.iter().filter(|row| !known.contains_key(&row.id)).count();
    let mut progress = Progress::new("reading runs for the first time", unknown);
    let mut warned = false;
    let mut runs = Vec::new();
    for row in rows {
        let says = match known.remove(&row.id) {
            Some(says) => says,
            None => {
                progress.one_more();
                let mut says = fold(history, &row.id, row.is_live()).await.map_err(Stop::usage)?;
                if row.is_live() {
                    says.found = Err("it is still running".to_owned());
                } else if let Err(error) = history.keep_plateaus(&row.id, &says).await
                    && !std::mem::replace(&mut warned, true)
                {
                    // The answer is the same; only the next one takes as long again.
                    crate::say::errln!("warning: what runs say about capacity is not kept: {error}");
                }
                says
            }
        };
        runs.push(Run { id: row.id, target: row.target, started_nanos: row.started_nanos, says });
    }
    Ok(runs)
}

/// Keeps what a run that has just ended says, if reading it takes no time worth a word. What is not kept now is
/// found when somebody asks.
pub(crate) async fn keep_soon(history: &History, state: &State) -> anyhow::Result<()> {
    if state.last_second().is_some_and(|last| last < SOON) {
        let id = &state.started().info.id;
        history.keep_plateaus(id, &fold(history, id, false).await?).await?;
    }
    Ok(())
}

async fn fold(history: &History, id: &str, live: bool) -> anyhow::Result<RunPlateaus> {
    let mut reader = history.read(id).await?;
    let mut folded: Option<(State, LoadSeries)> = None;
    loop {
        let events = reader.next().await?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            if let RunEvent::Started(started) = event {
                let state = State::new(Arc::clone(started));
                folded = Some((state, LoadSeries::new(Arc::clone(started))));
            }
            if let Some((state, series)) = &mut folded {
                state.apply(event);
                series.apply(event);
            }
        }
        if live {
            break;
        }
    }
    let (state, series) = folded.ok_or_else(|| anyhow!("run {id} has no first event"))?;
    Ok(RunPlateaus::of(&state, series))
}

fn plateaus(run: &Run) -> &[Plateau] {
    run.says.found.as_ref().map_or(&[], |found| &found.steady)
}

fn short(run: &Run) -> String {
    let moment = Timestamp::from_nanosecond(i128::from(run.started_nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How it is called in remarks: the beginning of its id is enough to find it.
fn name(run: &Run) -> String {
    let id: String = run.id.chars().take(ID).collect();
    format!("run {id} of {}", short(run))
}

/// What was left out of a run, each with its place and reason.
fn left_out(run: &Run) -> impl Iterator<Item = String> {
    let found = run.says.found.as_ref().map_or(&[][..], |found| &found.left_out);
    found.iter().map(|LeftOut { from, to, why }| {
        format!("{} to {} left out: {why}", offset(run.says.begins + from), offset(run.says.begins + to))
    })
}

fn why_nothing(run: &Run) -> Vec<String> {
    let mut lines = vec![format!("{}:", name(run))];
    match &run.says.found {
        Err(why) => lines.push(format!("  {why}")),
        Ok(_) => lines.extend(left_out(run).map(|line| format!("  {line}"))),
    }
    lines
}

/// What a reader of the answer has to know of runs. What is true of many is said once.
#[derive(Default)]
struct Remarks<'r>(Vec<Remark<'r>>);

struct Remark<'r> {
    /// Equal for remarks that differ in figures alone.
    about: String,
    words: String,
    runs: Vec<&'r Run>,
}

impl<'r> Remarks<'r> {
    fn add(&mut self, run: &'r Run, about: String, words: String) {
        match self.0.iter_mut().find(|remark| remark.about == about) {
            Some(remark) => remark.runs.push(run),
            None => self.0.push(Remark { about, words, runs: vec![run] }),
        }
    }

    fn of(&mut self, run: &'r Run, used: Use, crossings: &[String]) {
        let crossings = crossings.join("; ");
        let use_of_it = match (&run.says.found, used) {
            (Err(why), _) => Some(format!("is left out: {why}")),
            (Ok(_), Use::Earlier) => Some(format!("is an earlier curve, apart from the others: {crossings}")),
            (Ok(_), Use::LeftOut) => Some(format!("is left out: {crossings}")),
            (Ok(_), Use::Measured) => None,
        };
        let suspect = "its generator was suspect, so figures may be its own".to_owned();
        for words in use_of_it.into_iter().chain(run.says.suspect.then_some(suspect)) {
            self.add(run, words.clone(), words);
        }
        let found = run.says.found.as_ref().map_or(&[][..], |found| &found.left_out);
        for (left, words) in found.iter().zip(left_out(run)) {
            self.add(run, format!("{:?}", std::mem::discriminant(&left.why)), words);
        }
        let growing: Vec<String> = plateaus(run)
            .iter()
            .filter(|plateau| plateau.growing)
            .map(|plateau| run.says.kind.word(plateau.load))
            .collect();
        if !growing.is_empty() {
            let growing = growing.join(", ");
            let words =
                format!("at {growing} response time rose all the while: its quantiles are lower bounds");
            self.add(run, "growing".to_owned(), words);
        }
    }

    fn sentences(&self) -> Vec<String> {
        let sentence = |Remark { words, runs, .. }: &Remark<'_>| match runs.as_slice() {
            [first, .., last] if !std::ptr::eq(*first, *last) => {
                let mut ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
                ids.dedup();
                format!(
                    "{}: {words}; likewise in {} more, the last {}",
                    name(first),
                    ids.len() - 1,
                    name(last)
                )
            }
            [first, ..] => format!("{}: {words}", name(first)),
            [] => String::new(),
        };
        self.0.iter().map(sentence).collect()
    }
}

/// Why a run is not one of those that are measured.
fn why_apart(run: &Run, crossings: &[String]) -> Option<String> {
    let refused = run.says.found.as_ref().err().cloned();
    refused.or_else(|| (!crossings.is_empty()).then(|| crossings.join("; ")))
}

fn told_of(run: &Run, used: Use, crossings: &[String]) -> Value {
    let why = why_apart(run, crossings);
    let plateau = |plateau: &Plateau| {
        let times = plateau.response_time.iter().map(|(quantile, found)| {
            let key = quantile.to_string().replace('.', "_");
            (key, json!({"value": found.value, "low": found.low, "high": found.high}))
        });
        let resources = plateau.resources.iter().map(|(name, used)| (name.clone(), mean(used)));
        json!({
            "from": run.says.begins + plateau.from,
            "to": run.says.begins + plateau.to,
            "transient_seconds": plateau.transient,
            "load": plateau.load,
            "throughput": mean(&plateau.throughput),
            "error_ratio": plateau.error_ratio.as_ref().map(mean),
            "response_time": times.collect::<serde_json::Map<_, _>>(),
            "resources": resources.collect::<serde_json::Map<_, _>>(),
            "response_time_growing": plateau.growing,
        })
    };
    let out = |left: &LeftOut| json!({"from": run.says.begins + left.from, "to": run.says.begins + left.to, "why": left.why.to_string()});
    let found = run.says.found.as_ref().ok();
    json!({
        "id": run.id,
        "started": Timestamp::from_nanosecond(i128::from(run.started_nanos)).map(|moment| moment.to_string()).ok(),
        "use": used.label(),
        "why": why,
        "plateaus": plateaus(run).iter().map(plateau).collect::<Vec<_>>(),
        "left_out": found.map(|found| found.left_out.iter().map(out).collect::<Vec<_>>()).unwrap_or_default(),
    })
}

/// A mean with its 90% interval.
pub(super) fn mean(mean: &Mean) -> Value {
    let (low, high) = mean.interval(0.9);
    json!({"mean": mean.value, "low": low, "high": high, "standard_error": mean.standard_error})
}

/// A moment of a run, `m:ss`.
fn offset(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}
