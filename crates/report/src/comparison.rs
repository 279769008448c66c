//! Two sides of benchmarks, as JSON, as text and as Markdown.

pub(crate) mod figures;
mod forest;
#[cfg(test)]
mod tests;
mod text;

use plimsoll_compare::{Compared, ComparedRuns, Comparisons, Finding, Found, LeftOut, RunFacts};
use plimsoll_stats::{CountVerdict, Direction, Judged, JudgedCounts, Severity, Side, Verdict};
use serde_json::{Value, json};

use crate::told::{Sheet, Standing, Told};
use figures::{change, level, points, points_size, probability, size};
pub use text::comparison_text;

/// The JSON of a comparison: levels in the unit of the samples, changes as shares of the base (0.05 is 5% more), intervals are 95%.
///
/// What cannot be said is `null`, with the reason in `why`.
pub fn comparison_json(found: &Comparisons) -> Value {
    let affected: Vec<String> =
        found.pairs.iter().filter(|pair| pair.is_regression()).map(Compared::name).collect();
    let rule = &found.rule;
    json!({
        "schema": 1,
        "comparisons": found.pairs.iter().map(pair).collect::<Vec<_>>(),
        "has_regression": found.has_regression(),
        "affected": affected,
        "undecided": found.pairs.iter().filter(|pair| pair.is_undecided()).count(),
        "warnings": found.warnings,
        "rule": {
            "level": rule.level(),
            "floor_ratio": rule.floor(),
            "margin_ratio": rule.margin(),
            "floor_difference": found.count_rule.floor,
            "margin_difference": found.count_rule.margin,
        },
        "runs": found.runs.as_ref().map(runs),
    })
}

/// The recorded runs behind a comparison.
fn runs(runs: &ComparedRuns) -> Value {
    let side = |runs: &[RunFacts]| runs.iter().map(run).collect::<Vec<_>>();
    let left_out =
        |LeftOut { side, run, why }: &LeftOut| json!({ "side": side.to_string(), "id": run.id, "why": why });
    let values = |values: &[(String, usize)]| {
        values.iter().map(|(value, runs)| json!({ "value": value, "runs": runs })).collect::<Vec<_>>()
    };
    json!({
        "base": side(&runs.base),
        "candidate": side(&runs.candidate),
        "left_out": runs.left_out.iter().map(left_out).collect::<Vec<_>>(),
        "differences": runs.differences.iter().map(|difference| json!({
            "what": difference.what,
            "base": values(&difference.base),
            "candidate": values(&difference.candidate),
        })).collect::<Vec<_>>(),
    })
}

fn run(run: &RunFacts) -> Value {
    json!({
        "id": run.id,
        "plan": run.plan,
        "plan_hash": run.plan_hash,
        "version": run.version,
        "environment": run.environment,
        "target": run.target,
        "started": run.started,
        "load": run.load,
        "machine": run.machine,
        "host": run.host,
        "plimsoll": run.plimsoll,
        "validity": run.validity.label(),
    })
}

/// The JSON Schema that [`comparison_json`] keeps.
pub fn comparison_schema() -> Value {
    // The file is part of this crate and read by its tests.
    serde_json::from_str(include_str!("../schema/compare.schema.json")).unwrap_or_default()
}

/// A figure of JSON: what is beyond all numbers is none.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn pair(pair: &Compared) -> Value {
    let judged = pair.judged();
    let counts = pair.judged_counts();
    let figure = |value: fn(&Judged) -> f64| judged.map(value).and_then(finite);
    let either = |value: fn(&Judged) -> f64, counted: fn(&JudgedCounts) -> f64| {
        figure(value).or_else(|| counts.map(counted).and_then(finite))
    };
    json!({
        "benchmark": pair.benchmark,
        "metric": pair.metric,
        "base": pair.levels.0.and_then(finite),
        "candidate": pair.levels.1.and_then(finite),
        "change_ratio": either(|judged| judged.comparison.change, ratio_of),
        "low": figure(|judged| judged.comparison.interval.low),
        "high": figure(|judged| judged.comparison.interval.high),
        "p_value": either(|judged| judged.comparison.p, |counts| counts.comparison.p),
        "p_adjusted": either(|judged| judged.p_adjusted, |counts| counts.p_adjusted),
        "verdict": verdict_label(pair),
        "severity": pair.severity().map(severity_label),
        "detectable_change_ratio": figure(|judged| judged.detectable),
        "unit": pair.unit,
        "better": match pair.direction {
            Direction::LowerIsBetter => "lower",
            Direction::HigherIsBetter => "higher",
        },
        "tolerance_ratio": counts.is_none().then_some(pair.tolerance),
        "runs": { "base": pair.runs.0, "candidate": pair.runs.1 },
        "values": { "base": pair.values.0, "candidate": pair.values.1 },
        "value_of_run": pair.of_run.label(),
        "noise_ratio": figure(|judged| judged.comparison.noise),
        "no_change_beyond_ratio": match judged.map(|judged| judged.verdict) {
            Some(Verdict::NoChange { within }) => finite(within),
            _ => None,
        },
        "more_runs": match judged.map(|judged| judged.verdict) {
            Some(Verdict::Undecided { more_runs }) => Some(more_runs),
            _ => None,
        },
        "why": pair.outcome.as_ref().err().map(ToString::to_string),
        "difference": counts.map(|counts| {
            let comparison = &counts.comparison;
            json!({
                "value": comparison.difference,
                "low": comparison.interval.0,
                "high": comparison.interval.1,
                "no_change_beyond": comparison.no_change_beyond(),
                "tolerance": pair.tolerance,
            })
        }),
    })
}

/// How many times as large a share became, less one; beyond all numbers where it was nothing.
fn ratio_of(counts: &JudgedCounts) -> f64 {
    counts.comparison.difference / counts.comparison.base
}

/// The word of the contract. What was not compared is inconclusive, and says why beside it.
fn verdict_label(pair: &Compared) -> &'static str {
    match pair.finding() {
        Some(Finding::Regression) => "regression",
        Some(Finding::Improvement) => "improvement",
        Some(Finding::NoChange) => "no_change",
        Some(Finding::Undecided) | None => "inconclusive",
    }
}

fn severity_label(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
    }
}

/// The comparison in GitHub-flavoured Markdown. Names are escaped.
pub fn comparison_markdown(name: &str, found: &Comparisons) -> String {
    let pairs = in_order(found);
    let rows = pairs.iter().map(|pair| row(pair).to_vec()).collect();
    let mut columns = COLUMNS;
    columns[0] = "Benchmark";
    let sentences = sentences(&pairs);
    let caveats = sides(found).into_iter().chain(found.warnings.iter().cloned()).collect();
    let told = Told {
        about: "Comparison",
        kind: "Comparison of runs",
        name: name.to_owned(),
        standing: standing(found),
        headline: headline(found),
        caveats,
        figures: Vec::new(),
        sentences: Some(("What was found", sentences))
            .into_iter()
            .filter(|(_, all)| !all.is_empty())
            .collect(),
        charts: Vec::new(),
        sheets: vec![Sheet::new("All", &columns, 1..6, rows)],
        notes: vec![rule_in_words(found)],
    };
    told.markdown()
}

/// A change to ten times as much, as a share.
const TENFOLD: f64 = 9.0;

/// The columns of the table.
const COLUMNS: [&str; 7] = ["", "base", "candidate", "change", "95%", "p", "verdict"];

/// A pair as a row of the table.
fn row(pair: &Compared) -> [String; 7] {
    let name = format!("{} {}", pair.benchmark, pair.metric);
    let none = || crate::words::NO_DATA.to_owned();
    let shown = |side: Option<f64>| side.map_or_else(none, |value| level(pair, value));
    let (base, candidate) = (shown(pair.levels.0), shown(pair.levels.1));
    let [changed, interval, p] = match &pair.outcome {
        Ok(Found::Values(judged)) => {
            let comparison = &judged.comparison;
            [
                change(comparison.change),
                format!("{} to {}", change(comparison.interval.low), change(comparison.interval.high)),
                probability(judged.p_adjusted),
            ]
        }
        Ok(Found::Counts(counts)) => {
            let (low, high) = counts.comparison.interval;
            [
                points(counts.comparison.difference),
                format!("{} to {}", points(low), points(high)),
                probability(counts.p_adjusted),
            ]
        }
        Err(_) => [none(), none(), none()],
    };
    [name, base, candidate, changed, interval, p, verdict_words(pair)]
}

fn verdict_words(pair: &Compared) -> String {
    match (&pair.outcome, pair.finding(), pair.severity()) {
        (_, Some(Finding::Regression), Some(severity)) => {
            format!("regression, {}", severity_label(severity))
        }
        (_, Some(Finding::Regression), None) => "regression".to_owned(),
        (_, Some(Finding::Improvement), _) => "improvement".to_owned(),
        (_, Some(Finding::Undecided), _) => "undecided".to_owned(),
        (Ok(found), Some(Finding::NoChange), _) => format!("no change beyond {}", within(found)),
        (Err(_), ..) if pair.is_new() => "new".to_owned(),
        (Err(_), ..) | (Ok(_), None, _) => "not compared".to_owned(),
    }
}

/// The largest change that is not excluded.
fn within(found: &Found) -> String {
    match found {
        Found::Values(judged) => size(judged.comparison.no_change_beyond()),
        Found::Counts(counts) => points_size(counts.comparison.no_change_beyond()),
    }
}

/// The worst first; what is alike in the order of the samples.
fn in_order(found: &Comparisons) -> Vec<&Compared> {
    let rank = |pair: &&Compared| match (pair.finding(), pair.severity()) {
        (Some(Finding::Regression), Some(Severity::High)) => 0,
        (Some(Finding::Regression), Some(Severity::Medium)) => 1,
        (Some(Finding::Regression), Some(Severity::Low) | None) => 2,
        (None, _) => 3,
        (Some(Finding::Undecided), _) => 4,
        (Some(Finding::Improvement), _) => 5,
        (Some(Finding::NoChange), _) => 6,
    };
    let mut pairs: Vec<&Compared> = found.pairs.iter().collect();
    pairs.sort_by_key(rank);
    pairs
}

fn count(found: &Comparisons, is: fn(&Compared) -> bool) -> usize {
    found.pairs.iter().filter(|pair| is(pair)).count()
}

/// One or several of something.
fn several(count: usize, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{} {one}{end}", crate::words::count(count as u64))
}

/// How things stand, in two or three words.
fn standing(found: &Comparisons) -> Standing {
    let (regressions, undecided) =
        (count(found, Compared::is_regression), count(found, Compared::is_undecided));
    let improvements = count(found, Compared::is_improvement);
    let (word, class) = if regressions > 0 {
        (several(regressions, "regression"), "missed")
    } else if undecided > 0 {
        (format!("{} undecided", crate::words::count(undecided as u64)), "inconclusive")
    } else if improvements > 0 {
        (several(improvements, "improvement"), "met")
    } else {
        ("no change".to_owned(), "met")
    };
    Standing { word, class }
}

/// What was compared, in a sentence.
fn headline(found: &Comparisons) -> String {
    let all = found.pairs.len();
    let [regressions, improvements, undecided, new] =
        [Compared::is_regression, Compared::is_improvement, Compared::is_undecided, Compared::is_new]
            .map(|is| count(found, is));
    let unchanged = all - regressions - improvements - undecided - new;
    let parts = [
        (regressions, several(regressions, "regression")),
        (improvements, several(improvements, "improvement")),
        (unchanged, format!("{} without change", crate::words::count(unchanged as u64))),
        (undecided, format!("{} undecided", crate::words::count(undecided as u64))),
        (new, format!("{} new", crate::words::count(new as u64))),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect();
    format!("Of {}: {}.", several(all, "comparison"), parts.join(", "))
}

/// What is compared, a sentence for each side; nothing where it is no recorded runs.
fn sides(found: &Comparisons) -> Vec<String> {
    let Some(runs) = &found.runs else { return Vec::new() };
    let side = |side: Side, runs: &[RunFacts]| {
        let all = |of: fn(&RunFacts) -> Option<&str>| {
            let mut known: Vec<&str> = runs.iter().filter_map(of).collect();
            known.sort_unstable();
            known.dedup();
            known.join(", ")
        };
        let (plans, versions) = (all(|run| Some(&run.plan)), all(|run| run.version.as_deref()));
        let versions = if versions.is_empty() { versions } else { format!(", version {versions}") };
        let started = || runs.iter().map(|run| moment(&run.started));
        let (first, last) = (started().min().unwrap_or_default(), started().max().unwrap_or_default());
        let when = if first == last { format!("of {first}") } else { format!("from {first} to {last}") };
        format!("{side}: {} of {plans}{versions}, {when}", several(runs.len(), "run"))
    };
    vec![side(Side::Base, &runs.base), side(Side::Candidate, &runs.candidate)]
}

/// A moment of a record to the second.
fn moment(text: &str) -> String {
    let moment = text.parse::<jiff::Timestamp>();
    moment.map_or_else(|_| text.to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// What is to be said of pairs beyond their rows, in their order; of those that one reason keeps from being compared once.
fn sentences(pairs: &[&Compared]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    for pair in pairs {
        match &pair.outcome {
            Ok(found) => told.extend(sentence(pair, found)),
            // It stands among the warnings.
            Err(plimsoll_compare::NotCompared::Missing(_)) => {}
            Err(why) => {
                let why = why.to_string();
                if reasons.contains(&why) {
                    continue;
                }
                let alike =
                    |pair: &&&Compared| pair.outcome.as_ref().is_err_and(|other| other.to_string() == why);
                let more = match pairs.iter().filter(alike).count() - 1 {
                    0 => String::new(),
                    more => format!(" and {} more", crate::words::count(more as u64)),
                };
                told.push(format!("{} {}{more}: not compared: {why}.", pair.benchmark, pair.metric));
                reasons.push(why);
            }
        }
    }
    told
}

/// What is to be said of a pair beyond its row; nothing where nothing changed.
fn sentence(pair: &Compared, found: &Found) -> Option<String> {
    let name = format!("{} {}", pair.benchmark, pair.metric);
    match found {
        Found::Values(judged) => of_values(pair, judged),
        Found::Counts(counts) => of_counts(pair, counts),
    }
    .map(|said| format!("{name}: {said}"))
}

fn of_values(pair: &Compared, judged: &Judged) -> Option<String> {
    let comparison = &judged.comparison;
    let changed = || {
        format!(
            "{}, {} to {} with 95%",
            change(comparison.change),
            change(comparison.interval.low),
            change(comparison.interval.high)
        )
    };
    match judged.verdict {
        Verdict::Regression => Some(format!("worse, {}; {} is tolerated.", changed(), size(pair.tolerance))),
        Verdict::Improvement => Some(format!("better, {}.", changed())),
        Verdict::NoChange { .. } => None,
        Verdict::Undecided { more_runs } => Some(format!(
            "undecided, {}; {}; about {} a side would tell.",
            changed(),
            detectable(judged),
            several(more_runs, "more run")
        )),
    }
}

fn of_counts(pair: &Compared, counts: &JudgedCounts) -> Option<String> {
    let comparison = &counts.comparison;
    let (low, high) = comparison.interval;
    let changed =
        || format!("{}, {} to {} with 95%", points(comparison.difference), points(low), points(high));
    match counts.verdict {
        CountVerdict::Regression => {
            Some(format!("worse, {}; {} is tolerated.", changed(), points_size(pair.tolerance)))
        }
        CountVerdict::Improvement => Some(format!("better, {}.", changed())),
        CountVerdict::NoChange { .. } => None,
        CountVerdict::Undecided => Some(format!(
            "undecided, {}; so few requests do not exclude a change of {}.",
            changed(),
            points_size(comparison.no_change_beyond())
        )),
    }
}

fn detectable(judged: &Judged) -> String {
    if judged.detectable < TENFOLD {
        format!("these runs would have shown a change of {}", size(judged.detectable))
    } else if judged.detectable.is_finite() {
        "these runs would have shown nothing below ten times as much".to_owned()
    } else {
        "so few runs show no change, however large".to_owned()
    }
}

fn rule_in_words(found: &Comparisons) -> String {
    let rule = &found.rule;
    let mut words = format!(
        "The unit is the run. A change has p below {} after Holm's correction over all that was compared, and is at least {}; \
         no change is one that is not beyond {} with 95%.",
        rule.level(),
        size(rule.floor()),
        size(rule.margin())
    );
    if found.pairs.iter().any(|pair| pair.judged_counts().is_some()) {
        words += &format!(
            " Shares of failures are compared from counts, and differ by at least {} or by no more than {}.",
            points_size(found.count_rule.floor),
            points_size(found.count_rule.margin)
        );
    }
    words
}
