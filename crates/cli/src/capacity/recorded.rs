//! Points from the recorded runs of a plan.

use std::sync::Arc;

use anyhow::anyhow;
use jiff::Timestamp;
use plimsoll_capacity::{
    self as capacity, Earlier, LeftOut, LoadKind, Mean, Plateau, Plateaus, Points, Traffic,
};
use plimsoll_history::{Filter, History, RunRow};
use plimsoll_report::CapacitySource;
use plimsoll_run::{Counts, Lineage, LoadSeries, RunEvent, State};
use plimsoll_sla::Validity;
use serde_json::{Value, json};

use super::Measured;
use super::track::Origin;
use crate::Stop;

/// How many plans are named when one is not found.
const NAMED: usize = 8;

/// How much of an id tells runs of one history apart: its milliseconds.
const ID: usize = 13;

/// A run and what it says about capacity.
struct Run {
    id: String,
    target: String,
    started_nanos: i64,
    /// Seconds from its start to where its series begins.
    begins: f64,
    lineage: Lineage,
    kind: LoadKind,
    counts: Counts,
    suspect: bool,
    found: Result<Plateaus, String>,
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
/// each is said.
pub(super) async fn measured(history: &History, plan: &str, most: u32) -> Result<Measured, Stop> {
    let filter = Filter { plan: Some(plan.to_owned()), ..Filter::default() };
    let mut rows = history.list(&filter).await.map_err(Stop::usage)?;
    // Trials of a search are as short as their verdict allows, too short to be steady.
    rows.retain(|row| !row.tags.contains_key(plimsoll_runner::LIMIT_TAG));
    rows.truncate(most as usize);
    if rows.is_empty() {
        return Err(Stop::usage(no_runs(history, plan).await?));
    }
    rows.reverse();
    let mut runs = Vec::new();
    for row in &rows {
        runs.push(read(history, row).await?);
    }
    let Some(latest) = runs.iter().rev().find(|run| !plateaus(run).is_empty()) else {
        let reasons: Vec<String> = runs.iter().flat_map(why_nothing).collect();
        return Err(Stop::refused(anyhow!(
            "no run of `{plan}` has a plateau to learn from. Hold each load until it has settled and for ten seconds \
             more, as in `stages: [ {{ hold: 100/s, for: 30s }}, {{ hold: 200/s, for: 30s }} ]`\n{}",
            reasons.join("\n")
        )));
    };
    let mut warnings = Vec::new();
    let (mut told, mut sources) = (Vec::new(), Vec::new());
    let (mut points, mut curves, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    for run in &runs {
        let crossings = latest.lineage.crossings(&run.lineage);
        let comparable = run.kind == latest.kind && run.counts == latest.counts;
        let used = match (&run.found, crossings.is_empty(), comparable) {
            (Ok(_), true, _) => Use::Measured,
            (Ok(_), false, true) => Use::Earlier,
            (Err(_), ..) | (Ok(_), false, false) => Use::LeftOut,
        };
        warnings.extend(remarks(run, used, &crossings));
        told.push(told_of(run, used, &crossings));
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
    if latest.counts == Counts::Iterations {
        warnings.insert(0, "load and throughput count iterations: each takes several requests".to_owned());
    }
    let points = Points::new(capacity::points(points), latest.kind).map_err(Stop::usage)?;
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
    let known = curves.iter().position(|(of, _)| of.lineage == run.lineage);
    let mut all = known.map(|at| curves.remove(at).1).unwrap_or_default();
    all.extend(plateaus(run));
    curves.push((run, all));
}

fn earlier(run: &Run, plateaus: Vec<&Plateau>) -> Result<Earlier, Stop> {
    let name = run.lineage.version().map_or_else(|| short(run), str::to_owned);
    let points = Points::new(capacity::points(plateaus), run.kind).map_err(Stop::usage)?;
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

/// Folds a recorded run.
async fn read(history: &History, row: &RunRow) -> Result<Run, Stop> {
    let mut reader = history.read(&row.id).await.map_err(Stop::usage)?;
    let mut folded: Option<(State, LoadSeries)> = None;
    loop {
        let events = reader.next().await.map_err(Stop::usage)?;
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
        if row.is_live() {
            break;
        }
    }
    let (state, series) = folded.ok_or_else(|| Stop::usage(anyhow!("run {} has no first event", row.id)))?;
    let (kind, counts) = (series.kind(), series.counts());
    let validity = state.summary().validity;
    let found = match validity.verdict {
        _ if row.is_live() => Err("it is still running".to_owned()),
        Validity::Invalid => {
            let why = validity.reasons.first().map_or_else(String::new, |reason| format!(": {reason}"));
            Err(format!("its generator cannot be trusted{why}"))
        }
        Validity::Valid | Validity::Suspect => {
            let found = Plateaus::of(&series.finish());
            Ok(if kind == LoadKind::Rate { found.within_rates() } else { found })
        }
    };
    Ok(Run {
        id: row.id.clone(),
        target: row.target.clone(),
        started_nanos: row.started_nanos,
        begins: state.shape().warmup.ceil(),
        lineage: Lineage::of(state.started()),
        kind,
        counts,
        suspect: validity.verdict == Validity::Suspect,
        found,
    })
}

fn plateaus(run: &Run) -> &[Plateau] {
    run.found.as_ref().map_or(&[], |found| &found.steady)
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
    let found = run.found.as_ref().map_or(&[][..], |found| &found.left_out);
    found.iter().map(|LeftOut { from, to, why }| {
        format!("{} to {} left out: {why}", offset(run.begins + from), offset(run.begins + to))
    })
}

fn why_nothing(run: &Run) -> Vec<String> {
    let mut lines = vec![format!("{}:", name(run))];
    match &run.found {
        Err(why) => lines.push(format!("  {why}")),
        Ok(_) => lines.extend(left_out(run).map(|line| format!("  {line}"))),
    }
    lines
}

/// What a reader of the answer has to know of a run.
fn remarks(run: &Run, used: Use, crossings: &[String]) -> Vec<String> {
    let about = name(run);
    let mut remarks = Vec::new();
    match (&run.found, used) {
        (Err(why), _) => remarks.push(format!("{about} is left out: {why}")),
        (Ok(_), Use::Earlier) => {
            remarks.push(format!(
                "{about} is an earlier curve, apart from the others: {}",
                crossings.join("; ")
            ));
        }
        (Ok(_), Use::LeftOut) => remarks.push(format!("{about} is left out: {}", crossings.join("; "))),
        (Ok(_), Use::Measured) => {}
    }
    if run.suspect {
        remarks.push(format!("{about}: the generator was suspect, so figures may be its own"));
    }
    remarks.extend(left_out(run).map(|line| format!("{about}: {line}")));
    let growing: Vec<String> = plateaus(run)
        .iter()
        .filter(|plateau| plateau.growing)
        .map(|plateau| run.kind.word(plateau.load))
        .collect();
    if !growing.is_empty() {
        remarks.push(format!(
            "{about}: at {} response time rose all the while: its quantiles are lower bounds",
            growing.join(", ")
        ));
    }
    remarks
}

/// Why a run is not one of those that are measured.
fn why_apart(run: &Run, crossings: &[String]) -> Option<String> {
    let refused = run.found.as_ref().err().cloned();
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
            "from": run.begins + plateau.from,
            "to": run.begins + plateau.to,
            "transient_seconds": plateau.transient,
            "load": plateau.load,
            "throughput": mean(&plateau.throughput),
            "error_ratio": plateau.error_ratio.as_ref().map(mean),
            "response_time": times.collect::<serde_json::Map<_, _>>(),
            "resources": resources.collect::<serde_json::Map<_, _>>(),
            "response_time_growing": plateau.growing,
        })
    };
    let out = |left: &LeftOut| json!({"from": run.begins + left.from, "to": run.begins + left.to, "why": left.why.to_string()});
    let found = run.found.as_ref().ok();
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
