//! What the plan took from replies, in every form of a report.

use plimsoll_measure::{LatencyFigures, ValueForm, ValueUnit};
use plimsoll_run::{MeasureFigures, MeasureSummary, Summary};
use plimsoll_units::ByteCount;
use serde_json::{Map, Value, json};

use crate::html::{Page, table};
use crate::words;

/// The columns of [`rows`].
pub(crate) const COLUMNS: [&str; 6] =
    ["Measure", "Step", "Replies with it", "Absent", "Out of range", "Figures"];

/// One entry per measure; `latency` writes the figures of a distribution.
pub(crate) fn json(summary: &Summary, latency: impl Fn(&LatencyFigures) -> Value) -> Value {
    let figures = |figures: &MeasureFigures| {
        [
            ("count", json!(figures.count)),
            ("absent", json!(figures.absent)),
            ("out_of_range", json!(figures.out_of_range)),
            ("values", figures.values.as_ref().map_or(Value::Null, &latency)),
            ("total", json!(figures.total)),
            ("rate", json!(figures.rate)),
            ("ratio", json!(figures.ratio)),
        ]
    };
    let object = |head: Vec<(&str, Value)>| -> Value {
        let members = head.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect::<Map<_, _>>())
    };
    let measure = |measure: &MeasureSummary| {
        let mut members = vec![
            ("name", json!(measure.name)),
            ("form", json!(measure.form.label())),
            ("unit", json!(unit(measure.unit))),
        ];
        members.extend(figures(&measure.all));
        let steps = measure.steps.iter().map(|step| {
            let mut members = vec![("scenario", json!(step.scenario)), ("step", json!(step.step))];
            members.extend(figures(&step.figures));
            object(members)
        });
        members.push(("steps", steps.collect()));
        object(members)
    };
    summary.measures.iter().map(measure).collect()
}

/// The unit of a contract: a number has none.
fn unit(unit: ValueUnit) -> Option<&'static str> {
    (unit != ValueUnit::Number).then(|| unit.label())
}

/// A row per measure, and below it one per step where there are several.
pub(crate) fn rows(summary: &Summary) -> Vec<[String; 6]> {
    let row = |measure: &MeasureSummary, step: &str, figures: &MeasureFigures| {
        [
            measure.name.clone(),
            step.to_owned(),
            words::count(figures.count),
            words::count(figures.absent),
            words::count(figures.out_of_range),
            in_words(measure, figures),
        ]
    };
    let of_measure = |measure: &MeasureSummary| {
        let steps = measure.steps.iter().map(|step| row(measure, &step.step, &step.figures));
        std::iter::once(row(measure, "all", &measure.all)).chain(steps).collect::<Vec<_>>()
    };
    summary.measures.iter().flat_map(of_measure).collect()
}

/// One sentence per measure, for the terminal.
pub(crate) fn sentences(summary: &Summary) -> impl Iterator<Item = String> {
    summary.measures.iter().map(|measure| {
        let MeasureFigures { count, absent, out_of_range, .. } = measure.all;
        let missing = match (absent, out_of_range) {
            (0, 0) => String::new(),
            (absent, 0) => format!(", absent in {}", words::count(absent)),
            (absent, beyond) => {
                format!(", absent in {}, out of range in {}", words::count(absent), words::count(beyond))
            }
        };
        let figures = in_words(measure, &measure.all);
        format!("{}: {figures} in {} replies{missing}", measure.name, words::count(count))
    })
}

fn in_words(measure: &MeasureSummary, figures: &MeasureFigures) -> String {
    let amount = |value: f64| match measure.unit {
        ValueUnit::Seconds => words::seconds(Some(value)),
        ValueUnit::Bytes => ByteCount(value.round() as u64).to_string(),
        ValueUnit::Number => words::significant(value),
    };
    let known = |value: Option<f64>| value.map_or_else(|| words::NO_DATA.to_owned(), amount);
    match measure.form {
        ValueForm::Histogram => {
            let none = LatencyFigures::default();
            let values = figures.values.as_ref().unwrap_or(&none);
            let named = [
                ("mean", values.mean),
                ("p50", values.p50),
                ("p95", values.p95),
                ("p99", values.p99),
                ("max", values.max),
            ];
            named.map(|(name, value)| format!("{name} {}", known(value))).join(", ")
        }
        ValueForm::Counter => match figures.total {
            Some(total) => {
                let rate = figures.rate.map(|rate| format!(", {}/s", amount(rate))).unwrap_or_default();
                let total = match measure.unit {
                    ValueUnit::Bytes => ByteCount(total).to_string(),
                    ValueUnit::Seconds | ValueUnit::Number => words::count(total),
                };
                format!("{total}{rate}")
            }
            None => words::NO_DATA.to_owned(),
        },
        ValueForm::Ratio => words::ratio(figures.ratio),
    }
}

/// The section of the page, where anything is measured.
pub(crate) fn section(page: &mut Page, summary: &Summary) {
    let rows = rows(summary);
    if rows.is_empty() {
        return;
    }
    table(page, "Values from replies", &COLUMNS, &[2, 3, 4, 5], |page| {
        for [name, step, rest @ ..] in &rows {
            page.put("<tr><th scope=\"row\">{}</th><td>{}</td>", &[name, step]);
            crate::html::cells(page, rest);
            page.put("</tr>\n", &[]);
        }
    });
}
