//! Two sides of benchmarks, as JSON, as text and as Markdown.

pub(crate) mod figures;
mod forest;
#[cfg(test)]
mod tests;
mod text;

use plimsoll_compare::{Compared, Comparisons};
use plimsoll_stats::{Direction, Judged, Severity, Verdict};
use serde_json::{Value, json};

use crate::told::{Sheet, Standing, Told};
use figures::{change, level, probability, size};
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
        "rule": { "level": rule.level(), "floor_ratio": rule.floor(), "margin_ratio": rule.margin() },
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
    let judged = pair.outcome.as_ref().ok();
    let figure = |value: fn(&Judged) -> f64| judged.map(value).and_then(finite);
    json!({
        "benchmark": pair.benchmark,
        "metric": pair.metric,
        "base": figure(|judged| judged.comparison.base),
        "candidate": figure(|judged| judged.comparison.candidate),
        "change_ratio": figure(|judged| judged.comparison.change),
        "low": figure(|judged| judged.comparison.interval.low),
        "high": figure(|judged| judged.comparison.interval.high),
        "p_value": figure(|judged| judged.comparison.p),
        "p_adjusted": figure(|judged| judged.p_adjusted),
        "verdict": verdict_label(pair),
        "severity": pair.severity().map(severity_label),
        "detectable_change_ratio": figure(|judged| judged.detectable),
        "unit": pair.unit,
        "better": match pair.direction {
            Direction::LowerIsBetter => "lower",
            Direction::HigherIsBetter => "higher",
        },
        "tolerance_ratio": pair.tolerance,
        "runs": { "base": pair.runs.0, "candidate": pair.runs.1 },
        "values": { "base": pair.values.0, "candidate": pair.values.1 },
        "value_of_run": pair.of_run.label(),
        "noise_ratio": figure(|judged| judged.comparison.noise),
        "no_change_beyond_ratio": match pair.verdict() {
            Some(Verdict::NoChange { within }) => finite(within),
            _ => None,
        },
        "more_runs": match pair.verdict() {
            Some(Verdict::Undecided { more_runs }) => Some(more_runs),
            _ => None,
        },
        "why": pair.outcome.as_ref().err().map(ToString::to_string),
    })
}

/// The word of the contract. What was not compared is inconclusive, and says why beside it.
fn verdict_label(pair: &Compared) -> &'static str {
    match pair.verdict() {
        Some(Verdict::Regression) => "regression",
        Some(Verdict::Improvement) => "improvement",
        Some(Verdict::NoChange { .. }) => "no_change",
        Some(Verdict::Undecided { .. }) | None => "inconclusive",
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
    let sentences: Vec<String> = pairs.iter().filter_map(|pair| sentence(pair)).collect();
    let told = Told {
        about: "Comparison",
        kind: "Comparison of runs",
        name: name.to_owned(),
        standing: standing(found),
        headline: headline(found),
        caveats: found.warnings.clone(),
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

/// The columns of the table.
const COLUMNS: [&str; 7] = ["", "base", "candidate", "change", "95%", "p", "verdict"];

/// A pair as a row of the table.
fn row(pair: &Compared) -> [String; 7] {
    let name = format!("{} {}", pair.benchmark, pair.metric);
    let Ok(judged) = &pair.outcome else {
        let none = || crate::words::NO_DATA.to_owned();
        return [name, none(), none(), none(), none(), none(), verdict_words(pair)];
    };
    let comparison = &judged.comparison;
    [
        name,
        level(pair, comparison.base),
        level(pair, comparison.candidate),
        change(comparison.change),
        format!("{} to {}", change(comparison.interval.low), change(comparison.interval.high)),
        probability(judged.p_adjusted),
        verdict_words(pair),
    ]
}

fn verdict_words(pair: &Compared) -> String {
    match (pair.verdict(), pair.severity()) {
        (Some(Verdict::Regression), Some(severity)) => format!("regression, {}", severity_label(severity)),
        (Some(Verdict::Regression), None) => "regression".to_owned(),
        (Some(Verdict::Improvement), _) => "improvement".to_owned(),
        (Some(Verdict::NoChange { within }), _) => format!("no change beyond {}", size(within)),
        (Some(Verdict::Undecided { .. }), _) => "undecided".to_owned(),
        (None, _) if pair.is_new() => "new".to_owned(),
        (None, _) => "not compared".to_owned(),
    }
}

/// The worst first; what is alike in the order of the samples.
fn in_order(found: &Comparisons) -> Vec<&Compared> {
    let rank = |pair: &&Compared| match (pair.verdict(), pair.severity()) {
        (Some(Verdict::Regression), Some(Severity::High)) => 0,
        (Some(Verdict::Regression), Some(Severity::Medium)) => 1,
        (Some(Verdict::Regression), Some(Severity::Low) | None) => 2,
        (None, _) => 3,
        (Some(Verdict::Undecided { .. }), _) => 4,
        (Some(Verdict::Improvement), _) => 5,
        (Some(Verdict::NoChange { .. }), _) => 6,
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

/// What is to be said of a pair beyond its row; nothing where nothing changed.
fn sentence(pair: &Compared) -> Option<String> {
    let name = format!("{} {}", pair.benchmark, pair.metric);
    let judged = match &pair.outcome {
        Ok(judged) => judged,
        // It stands among the warnings.
        Err(plimsoll_compare::NotCompared::Missing(_)) => return None,
        Err(why) => return Some(format!("{name}: not compared: {why}.")),
    };
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
        Verdict::Regression => {
            Some(format!("{name}: worse, {}; {} is tolerated.", changed(), size(pair.tolerance)))
        }
        Verdict::Improvement => Some(format!("{name}: better, {}.", changed())),
        Verdict::NoChange { .. } => None,
        Verdict::Undecided { more_runs } => Some(format!(
            "{name}: undecided, {}; {}; about {} a side would tell.",
            changed(),
            detectable(judged),
            several(more_runs, "more run")
        )),
    }
}

fn detectable(judged: &Judged) -> String {
    if judged.detectable.is_finite() {
        format!("these runs would have shown a change of {}", size(judged.detectable))
    } else {
        "so few runs show no change, however large".to_owned()
    }
}

fn rule_in_words(found: &Comparisons) -> String {
    let rule = &found.rule;
    format!(
        "The unit is the run. A change has p below {} after Holm's correction over all that was compared, and is at least {}; \
         no change is one that is not beyond {} with 95%.",
        rule.level(),
        size(rule.floor()),
        size(rule.margin())
    )
}
