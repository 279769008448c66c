//! What a report about capacity says, in the words that its page and its Markdown share.

use std::borrow::Cow;
use std::collections::BTreeSet;

use plimsoll_capacity::{Estimate, LatencyModel, Model, Parameter, Point};
use plimsoll_units::Quantile;

use super::CapacityReport;
use super::text::{basis, breaks, number, saturation, short};
use crate::told::{Fact, ROWS, Sheet, Standing};
use crate::words;

/// Residuals below this share read as zero.
pub(super) const NOTHING: f64 = 0.0005;

/// What figures of headroom begin with.
pub(super) const HEADROOM: &str = "Headroom";

/// Whether the limit carries the traffic, by the traffic that leaves least; without traffic, whether there is a limit.
pub(super) fn standing(answer: &plimsoll_capacity::Answer) -> Standing {
    let least = answer.headroom.iter().min_by(|one, other| one.ratio.total_cmp(&other.ratio));
    let (word, class) = match least {
        Some(left) if left.ratio < 0.0 => ("traffic over the limit".to_owned(), "missed"),
        Some(left) if left.low < 0.0 => {
            (format!("headroom {}, or none", percent(left.ratio)), "inconclusive")
        }
        Some(left) => (format!("headroom {}", percent(left.ratio)), "met"),
        None if answer.peak.is_none() => ("no peak can be told".to_owned(), "inconclusive"),
        None => ("peak known".to_owned(), "none"),
    };
    Standing { word, class }
}

/// The answer in a sentence.
pub(super) fn headline(report: &CapacityReport) -> String {
    let answer = report.answer;
    let kind = report.question.points.kind();
    match (&answer.peak, &answer.at_least) {
        (Some(peak), _) => format!(
            "The peak is {} at {}, 90% from {} to {}; {}.",
            words::rate(Some(peak.throughput)),
            kind.word(peak.load),
            number(peak.low),
            number(peak.high),
            basis(peak.basis)
        ),
        (None, Some(level)) => format!(
            "No peak can be told; at least {} was reached, at {}.",
            words::rate(Some(level.throughput)),
            kind.word(level.load)
        ),
        (None, None) => "No peak can be told.".to_owned(),
    }
}

/// What a reader must not overlook: what was asked and is not answered.
pub(super) fn caveats(answer: &plimsoll_capacity::Answer) -> Vec<String> {
    let asked: Vec<&str> = answer.refusals.iter().map(|refusal| refusal.about.as_str()).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    vec![format!("Not answered, with the reason and the next step below: {}.", asked.join("; "))]
}

pub(super) fn figures(report: &CapacityReport) -> Vec<Fact> {
    let answer = report.answer;
    let kind = report.question.points.kind();
    let fact = Fact::new;
    let mut figures = Vec::new();
    match (&answer.peak, &answer.at_least) {
        (Some(peak), _) => figures.push(fact(
            "Peak",
            words::rate(Some(peak.throughput)),
            format!("90% from {} to {}, at {}", number(peak.low), number(peak.high), kind.word(peak.load)),
        )),
        (None, Some(level)) => figures.push(fact(
            "Peak",
            words::NO_DATA.to_owned(),
            format!("at least {}, at {}", words::rate(Some(level.throughput)), kind.word(level.load)),
        )),
        (None, None) => figures.push(fact("Peak", words::NO_DATA.to_owned(), String::new())),
    }
    for limit in &answer.sla_limits {
        figures.push(match &limit.outcome {
            Ok(allowed) => fact(
                &limit.text,
                format!("up to {}", kind.word(allowed.load)),
                format!(
                    "{} met it, {} missed it; {}",
                    number(allowed.low),
                    number(allowed.high),
                    words::rate(Some(allowed.throughput))
                ),
            ),
            Err(why) => fact(&limit.text, words::NO_DATA.to_owned(), why.to_string()),
        });
    }
    for left in &answer.headroom {
        figures.push(fact(
            &format!("{HEADROOM} over {}", left.name),
            percent(left.ratio),
            format!("{} to {}, of {}", percent(left.low), percent(left.high), left.of),
        ));
    }
    if let Some(point) = &answer.breaking_point {
        figures.push(fact(
            "Breaks at",
            kind.word(point.load),
            format!("{} to {}: {}", number(point.low), number(point.high), breaks(point.symptom)),
        ));
    }
    let gain = answer.last_gain.map_or(words::NO_DATA.to_owned(), |gain| format!("{:+.1}%", gain * 100.0));
    figures.push(fact("Last doubling of load", gain, saturation(answer.saturation).to_owned()));
    figures
}

/// What is told in sentences, under their headings.
pub(super) fn sentences(report: &CapacityReport) -> Vec<(&'static str, Vec<String>)> {
    let record = report.track_record.map(str::to_owned).into_iter().collect();
    let all = [("When", report.when.to_vec()), ("Earlier predictions", record)];
    all.into_iter().filter(|(_, sentences)| !sentences.is_empty()).collect()
}

/// What a reader has to know, except what stands elsewhere.
pub(super) fn notes<'a>(report: &CapacityReport<'a>) -> Vec<&'a str> {
    let notes = report.answer.warnings.iter().map(String::as_str);
    notes.filter(|note| report.track_record != Some(note)).collect()
}

pub(super) fn sheets(report: &CapacityReport) -> Vec<Sheet> {
    let mut sheets = vec![refusals(report), objectives(report), headroom(report)];
    sheets.extend([predictions(report), what_if(report), models(report), latency_models(report)]);
    sheets.extend([points(report), left_out(report), resources(report), history(report), sources(report)]);
    sheets
}

fn refusals(report: &CapacityReport) -> Sheet {
    let rows = report.answer.refusals.iter();
    let rows = rows.map(|refusal| vec![refusal.about.clone(), refusal.why.clone(), refusal.next.clone()]);
    Sheet::new("Not answered", &["Asked", "Why nobody can know", "Next step"], 0..0, rows.collect())
}

fn objectives(report: &CapacityReport) -> Sheet {
    let kind = report.question.points.kind();
    let rows = report.answer.sla_limits.iter().map(|limit| {
        let mut row = vec![limit.text.clone()];
        match &limit.outcome {
            Ok(allowed) => row.extend([
                kind.word(allowed.load),
                kind.word(allowed.low),
                kind.word(allowed.high),
                words::rate(Some(allowed.throughput)),
                String::new(),
            ]),
            Err(why) => {
                row.extend(std::iter::repeat_n(words::NO_DATA.to_owned(), 4));
                row.push(why.to_string());
            }
        }
        row
    });
    let columns = ["Objective", "Highest load", "Still met at", "Missed at", "Throughput there", "Why not"];
    Sheet::new("Objectives", &columns, 1..5, rows.collect())
}

fn headroom(report: &CapacityReport) -> Sheet {
    let rows = report.answer.headroom.iter().map(|left| {
        vec![
            left.name.clone(),
            words::rate(Some(left.traffic)),
            words::rate(Some(left.limit.value)),
            within(left.limit),
            percent(left.ratio),
            format!("{} to {}", percent(left.low), percent(left.high)),
            left.of.clone(),
        ]
    });
    let columns =
        ["Traffic", "Rate", "Nearest limit", "90% within", "Headroom", "90% within", "Which limit that is"];
    Sheet::new("Headroom", &columns, 1..6, rows.collect())
}

fn predictions(report: &CapacityReport) -> Sheet {
    let kind = report.question.points.kind();
    let rows = report.answer.predictions.iter().map(|prediction| {
        let found = prediction.throughput;
        vec![
            kind.word(prediction.load),
            words::rate(found.map(|estimate| estimate.value)),
            found.map_or(words::NO_DATA.to_owned(), within),
        ]
    });
    Sheet::new("Throughput at other loads", &["Load", "Throughput", "90% within"], 1..3, rows.collect())
}

fn what_if(report: &CapacityReport) -> Sheet {
    let rows = report.answer.what_if.iter().map(|supposed| {
        vec![
            format!("with {}", supposed.change),
            words::rate(Some(supposed.throughput.value)),
            within(supposed.throughput),
            supposed.bottleneck.clone().unwrap_or_else(|| words::NO_DATA.to_owned()),
            supposed.assumption.clone(),
        ]
    });
    let columns = ["What if", "Peak", "90% within", "Runs out first", "It holds if"];
    Sheet::new("What if", &columns, 1..4, rows.collect())
}

fn models(report: &CapacityReport) -> Sheet {
    let chosen = report.answer.chosen;
    let rows = report.answer.models.iter().map(|model| {
        let mark = if chosen == Some(model.name) { " (chosen)" } else { "" };
        vec![
            format!("{}{mark}", model.name.label()),
            words::ratio(model.cross_validated_error()),
            model.r2.map_or(words::NO_DATA.to_owned(), |r2| format!("{r2:.4}")),
            parameters(&model.parameters),
        ]
    });
    let columns = ["Model", "Error ahead", "R²", "Parameters ± standard error"];
    let mut sheet = Sheet::new("Models of throughput", &columns, 1..3, rows.collect());
    sheet.below = Some(
        "Error ahead is the mean error with which a model, fitted to lower loads, foretells higher ones \
         (cross-validated); by it a model is chosen, never by R²."
            .to_owned(),
    );
    sheet
}

fn latency_models(report: &CapacityReport) -> Sheet {
    let row = |model: &LatencyModel| {
        vec![
            format!("{} as {}", model.quantile, model.name.label()),
            words::ratio(model.cross_validated_error),
            parameters(&model.parameters),
        ]
    };
    let rows = report.answer.latency_models.iter().map(row).collect();
    let columns = ["Model", "Error of inner levels", "Parameters ± standard error"];
    Sheet::new("Models of response time", &columns, 1..2, rows)
}

fn parameters(parameters: &[Parameter]) -> String {
    let word = |parameter: &Parameter| match parameter.standard_error {
        _ if !parameter.identified => format!("{} not identified", parameter.name),
        Some(error) => format!("{} {} ± {}", parameter.name, short(parameter.value), short(error)),
        None => format!("{} {}", parameter.name, short(parameter.value)),
    };
    parameters.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn points(report: &CapacityReport) -> Sheet {
    let kind = report.question.points.kind();
    let kept = kept(report);
    let (shown, every) = thinned(&kept, ROWS);
    let quantiles = quantiles(report);
    let model = chosen(report);
    let has_errors = kept.iter().any(|point| point.error_ratio.is_some());
    let rows = shown.iter().map(|point| {
        let fitted = model.map(|model| model.at(point.load)).filter(|fitted| fitted.is_finite());
        let off = model.and_then(|model| residual(model, point));
        let mut row = vec![
            kind.word(point.load),
            words::rate(Some(point.throughput)),
            words::rate(fitted),
            off.map_or(words::NO_DATA.to_owned(), signed),
        ];
        row.extend(
            quantiles.iter().map(|quantile| words::seconds(point.response_time.get(quantile).copied())),
        );
        row.extend(has_errors.then(|| words::ratio(point.error_ratio)));
        row
    });
    let mut columns: Vec<String> =
        ["Load", "Throughput", "Model", "Residual"].map(str::to_owned).into_iter().collect();
    columns.extend(quantiles.iter().map(Quantile::to_string));
    columns.extend(has_errors.then(|| "Errors".to_owned()));
    let numeric = 1..columns.len();
    let below = (every > 1).then(|| format!("One of every {every} of {} points.", kept.len()));
    Sheet { heading: "Measured points", columns, numeric, rows: rows.collect(), below }
}

fn left_out(report: &CapacityReport) -> Sheet {
    let kind = report.question.points.kind();
    let rows = report.answer.left_out.iter().map(|point| {
        let why = "it belongs to no curve of the others";
        vec![kind.word(point.load), words::rate(Some(point.throughput)), why.to_owned()]
    });
    Sheet::new("Points left out", &["Load", "Throughput", "Why"], 1..2, rows.collect())
}

fn resources(report: &CapacityReport) -> Sheet {
    let rows = report.answer.resources.iter().map(|limit| {
        let Estimate { value, .. } = limit_of(limit);
        vec![limit.name.clone(), percent(limit.busiest), words::rate(Some(value)), within(limit_of(limit))]
    });
    let columns = ["Resource", "Busiest", "Runs out at", "90% within"];
    Sheet::new("Resources", &columns, 1..4, rows.collect())
}

fn limit_of(limit: &plimsoll_capacity::ResourceLimit) -> Estimate {
    Estimate { value: limit.throughput, low: limit.low, high: limit.high }
}

fn history(report: &CapacityReport) -> Sheet {
    let rows = report.answer.history.iter().map(|earlier| {
        let mut row = vec![earlier.name.clone()];
        match &earlier.outcome {
            Ok(scaled) => row.extend([
                format!("{:.3}", scaled.ratio),
                format!("{:.1}%", scaled.disagreement * 100.0),
                words::rate(Some(scaled.earlier_peak)),
                words::rate(Some(scaled.throughput)),
                String::new(),
            ]),
            Err(why) => {
                row.extend(std::iter::repeat_n(words::NO_DATA.to_owned(), 4));
                row.push(why.to_string());
            }
        }
        row
    });
    let columns = [
        "Earlier run",
        "New over earlier",
        "Levels differ by",
        "Its own peak",
        "Leads to",
        "Why it is not used",
    ];
    Sheet::new("Earlier runs", &columns, 1..5, rows.collect())
}

fn sources(report: &CapacityReport) -> Sheet {
    let rows = report.sources.iter().map(|source| {
        vec![
            source.name.clone(),
            words::count(source.points as u64),
            source.used.clone(),
            source.remarks.join("; "),
        ]
    });
    Sheet::new("Sources", &["Source", "Points", "Used", "Remarks"], 1..2, rows.collect())
}

/// The model that is gone by.
pub(super) fn chosen<'a>(report: &CapacityReport<'a>) -> Option<&'a Model> {
    let answer = report.answer;
    answer.models.iter().find(|model| Some(model.name) == answer.chosen)
}

/// By which share of the model's throughput a point lies above it.
pub(super) fn residual(model: &Model, point: &Point) -> Option<f64> {
    let fitted = model.at(point.load);
    Some(point.throughput / fitted - 1.0).filter(|off| fitted > 0.0 && off.is_finite())
}

/// The points that the answer is drawn from, in the order of load.
pub(super) fn kept<'a>(report: &CapacityReport<'a>) -> Vec<&'a Point> {
    // What is left out stands in the order of load too.
    let mut left_out = report.answer.left_out.iter().peekable();
    let points = report.question.points.points().iter();
    points.filter(|point| left_out.next_if_eq(point).is_none()).collect()
}

/// The quantiles that were measured anywhere.
pub(super) fn quantiles(report: &CapacityReport) -> Vec<Quantile> {
    let points = report.question.points.points().iter();
    let all: BTreeSet<Quantile> = points.flat_map(|point| point.response_time.keys().copied()).collect();
    all.into_iter().collect()
}

/// No more than about so many of them, evenly, and one of how many each is.
pub(super) fn thinned<'a, T>(all: &'a [T], most: usize) -> (Cow<'a, [T]>, usize)
where
    T: Copy,
{
    let every = all.len().div_ceil(most).max(1);
    if every == 1 {
        return (Cow::Borrowed(all), 1);
    }
    (all.iter().step_by(every).copied().collect(), every)
}

/// A residual that rounds to nothing has no sign.
fn signed(off: f64) -> String {
    if off.abs() < NOTHING { "0.0%".to_owned() } else { format!("{:+.1}%", off * 100.0) }
}

fn percent(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

fn within(estimate: Estimate) -> String {
    format!("{} to {}", number(estimate.low), number(estimate.high))
}
