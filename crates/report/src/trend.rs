//! Changes of level in histories, as JSON, as text and as Markdown.

#[cfg(test)]
mod tests;
mod text;

use plimsoll_compare::{Histories, History, Time};
use plimsoll_stats::ChangePoint;
use serde_json::{Value, json};

use crate::comparison::figures::{change, number, probability};
use crate::told::{Sheet, Standing, Told};
use crate::words;
pub use text::trend_text;

/// Beyond this, whole numbers are not all numbers of JSON.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// The JSON of histories: levels in the unit of the values, changes as shares of the level before (0.05 is 5% more), indices from 0 in the
/// order of time, gaps included.
///
/// What cannot be said is `null`, with the reason in `why`.
pub fn trend_json(found: &Histories) -> Value {
    json!({
        "schema": 1,
        "series": found.series.iter().map(series).collect::<Vec<_>>(),
        "warnings": found.warnings,
    })
}

/// The JSON Schema that [`trend_json`] keeps.
pub fn trend_schema() -> Value {
    // The file is part of this crate and read by its tests.
    serde_json::from_str(include_str!("../schema/trend.schema.json")).unwrap_or_default()
}

fn series(series: &History) -> Value {
    let changes = series.outcome.as_ref().ok();
    let points: Vec<Value> =
        changes.iter().flat_map(|changes| &changes.points).map(|point| json_point(series, point)).collect();
    let outliers = changes.iter().flat_map(|changes| &changes.outliers).map(
        |index| json!({ "index": index, "time": time(series, *index), "value": series.values.get(*index) }),
    );
    json!({
        "name": series.name,
        "change_points": points,
        "values": series.count(),
        "outliers": outliers.collect::<Vec<_>>(),
        "noise": changes.map(|changes| changes.noise),
        "autocorrelation": changes.map(|changes| changes.alike),
        "why": series.outcome.as_ref().err().map(ToString::to_string),
    })
}

fn json_point(series: &History, point: &ChangePoint) -> Value {
    json!({
        "index": point.index,
        "time": time(series, point.index),
        "before": point.before,
        "after": point.after,
        "change_ratio": point.change,
        "p_value": point.p,
    })
}

/// When a value is from, as it was written: a text, or a number.
fn time(series: &History, index: usize) -> Value {
    match series.times.get(index) {
        None => Value::Null,
        Some(Time::Moment { text, .. }) => json!(text),
        Some(Time::Number(number)) if number.fract() == 0.0 && number.abs() < WHOLE => json!(*number as i64),
        Some(Time::Number(number)) => json!(number),
    }
}

/// The histories in GitHub-flavoured Markdown. Names are escaped.
pub fn trend_markdown(name: &str, found: &Histories) -> String {
    let row = |(series, point): (&History, &ChangePoint)| {
        vec![
            series.name.clone(),
            place(series, point),
            number(point.before),
            number(point.after),
            point.change.map_or_else(|| words::NO_DATA.to_owned(), change),
            probability(point.p),
        ]
    };
    let columns = ["Series", "from", "before", "after", "change", "p"];
    let told = Told {
        about: "Trend",
        kind: "Changes of level",
        name: name.to_owned(),
        standing: standing(found),
        headline: headline(found),
        caveats: found.warnings.clone(),
        figures: Vec::new(),
        sentences: Vec::new(),
        charts: Vec::new(),
        sheets: vec![Sheet::new("Changes of level", &columns, 2..6, points(found).map(row).collect())],
        notes: found.series.iter().filter_map(unsearched).collect(),
    };
    told.markdown()
}

/// All changes, each with its series.
fn points(found: &Histories) -> impl Iterator<Item = (&History, &ChangePoint)> {
    found.series.iter().flat_map(|series| {
        series.outcome.iter().flat_map(|changes| &changes.points).map(move |point| (series, point))
    })
}

/// Where the new level begins.
fn place(series: &History, point: &ChangePoint) -> String {
    series.times.get(point.index).map_or_else(String::new, ToString::to_string)
}

/// Why a series was not searched.
fn unsearched(series: &History) -> Option<String> {
    series.outcome.as_ref().err().map(|why| format!("{}: not searched: {why}.", series.name))
}

fn standing(found: &Histories) -> Standing {
    let changes = found.changes();
    let (word, class) = match changes {
        0 if found.is_undecided() => ("no change found, not all searched".to_owned(), "inconclusive"),
        0 => ("no change of level".to_owned(), "met"),
        1 => ("1 change of level".to_owned(), "missed"),
        many => (format!("{} changes of level", words::count(many as u64)), "missed"),
    };
    Standing { word, class }
}

fn headline(found: &Histories) -> String {
    let searched = found.series.iter().filter(|series| series.outcome.is_ok()).count();
    format!(
        "{} of {} series were searched; a history is read by this, a change is gated by comparing runs side by side.",
        words::count(searched as u64),
        words::count(found.series.len() as u64)
    )
}
