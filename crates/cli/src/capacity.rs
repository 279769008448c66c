//! `plimsoll capacity`: where a service's limit lies, from points that were measured.

mod forecast;
mod prometheus;
mod recorded;
mod stored;
mod track;

pub(crate) use recorded::keep_soon;

use std::path::Path;

use anyhow::{Context, anyhow};
use forecast::{Forecast, Growth};
use jiff::Timestamp;
use plimsoll_capacity::{Bound, Bounded, Earlier, Points, Question, Table, Trend, WhatIf, read_table};
use plimsoll_report::{CapacitySource, KeptCapacity};
use plimsoll_run::ExitCode;
use plimsoll_sla::{Comparison, Expression, Measure};

use crate::arguments::CapacityArguments;
use crate::{Outcome, Stop, files};

/// What is asked about, wherever it comes from.
struct Measured {
    name: String,
    points: Points,
    history: Vec<Earlier>,
    warnings: Vec<String>,
    /// Where each point comes from, for the JSON; null where it was given.
    sources: serde_json::Value,
    /// The same for reports.
    told: Vec<CapacitySource>,
    /// What it is about where it comes from recorded runs: then predictions are kept.
    origin: Option<track::Origin>,
}

pub(crate) use track::now_nanos;

pub(crate) async fn capacity(arguments: &CapacityArguments) -> Outcome {
    if arguments.track_record {
        return track::track_record(arguments).await;
    }
    let now = Timestamp::now().as_millisecond() as f64 / 1e3;
    let mut kept_in = None;
    let measured = match (&arguments.plan, &arguments.prometheus) {
        (Some(plan), _) => {
            let history = kept_in.insert(files::history(&arguments.history).await?);
            recorded::measured(history, plan, arguments.runs, arguments.json.is_some()).await?
        }
        (None, Some(url)) => stored::measured(url, arguments, now).await?,
        (None, None) => from_files(arguments)?,
    };
    let growth = growth(arguments, now).await?;
    let bounds =
        arguments.sla.iter().map(|text| bound(text)).collect::<Result<_, _>>().map_err(Stop::usage)?;
    let expected = match &growth {
        Some(Growth::Fitted(trend)) => Some(trend.peak(now)),
        Some(Growth::Given(_)) | None => None,
    };
    let named = [
        ("traffic", arguments.traffic),
        ("peak traffic", arguments.peak_traffic),
        (forecast::EXPECTED, expected),
    ];
    let question = Question {
        points: measured.points,
        history: measured.history,
        predict: arguments.predict.clone(),
        bounds,
        traffic: named.into_iter().filter_map(|(name, rate)| Some((name.to_owned(), rate?))).collect(),
        what_if: what_if(arguments),
        seed: arguments.seed,
    };
    let mut kept = KeptCapacity {
        name: measured.name,
        question,
        warnings: measured.warnings,
        refusals: Vec::new(),
        when: Vec::new(),
        sources: measured.told,
    };
    let mut found = kept.answer();
    let forecast = growth.map(|growth| {
        let traffic = match (&growth, arguments.peak_traffic) {
            (Growth::Fitted(_), _) => forecast::EXPECTED,
            (Growth::Given(_), Some(_)) => "peak traffic",
            (Growth::Given(_), None) => "traffic",
        };
        Forecast::of(growth, traffic, &found, now)
    });
    kept.refusals = forecast.iter().filter_map(|forecast| forecast.refusal().cloned()).collect();
    kept.when = forecast.iter().flat_map(Forecast::sentences).collect();
    found.refusals.extend(kept.refusals.iter().cloned());
    let record = match (&kept_in, &measured.origin) {
        (Some(history), Some(origin)) => {
            track::keep(history, origin, &found).await.unwrap_or_else(|error| unkept(&error))
        }
        _ => None,
    };
    found.warnings.extend(record.clone());
    let mut json = plimsoll_report::capacity_json(&found);
    json["exhaustion"] = forecast.as_ref().map_or(serde_json::Value::Null, Forecast::json);
    if let (Some(history), Some(origin)) = (&kept_in, &measured.origin) {
        // Without its sources, which the history has: those of a year are a hundred times the answer.
        track::keep_answer(history, origin, &kept, &found, &json)
            .await
            .unwrap_or_else(|error| unkept(&error));
    }
    json["sources"] = measured.sources;
    let report = kept.report(&found, record.as_deref());
    let mut written = files::Written::default();
    written.put("report", arguments.report.as_deref(), || plimsoll_report::capacity_html(&report));
    written.put("json", arguments.json.as_deref(), || format!("{json:#}\n"));
    written.put("markdown", arguments.markdown.as_deref(), || plimsoll_report::capacity_markdown(&report));
    let forms = [&arguments.report, &arguments.json, &arguments.markdown];
    let to_stdout = forms.into_iter().flatten().any(|path| path.as_os_str() == "-");
    let options = crate::run::text_options(std::mem::take(&mut written.files), to_stdout);
    let text = plimsoll_report::capacity_text(&kept.name, &kept.question, &found, &kept.when, &options);
    if to_stdout {
        crate::say::err!("{text}");
    } else {
        crate::say::out!("{text}");
    }
    written.tell()?;
    Ok(if found.refusals.is_empty() { ExitCode::Success } else { ExitCode::Undecided })
}

/// An answer is an answer where it cannot be kept.
fn unkept<T: Default>(error: &plimsoll_history::Error) -> T {
    crate::say::errln!("warning: the answer is not kept: {error}");
    T::default()
}

/// How traffic grows, where something says so.
async fn growth(arguments: &CapacityArguments, now: f64) -> Result<Option<Growth>, Stop> {
    if let Some(rate) = arguments.growth {
        return Ok(Some(Growth::Given(rate)));
    }
    let traffic = if let Some(path) = &arguments.traffic_data {
        forecast::table(path).map_err(Stop::usage)?
    } else if let (Some(query), Some(url)) = (&arguments.traffic_query, &arguments.prometheus) {
        stored::traffic(url, query, arguments, now).await?
    } else if let Some(plan) = &arguments.traffic_runs {
        recorded::traffic(&files::history(&arguments.history).await?, plan).await?
    } else {
        return Ok(None);
    };
    let trend = Trend::of(&traffic).context("growth of traffic").map_err(Stop::refused)?;
    Ok(Some(Growth::Fitted(Box::new(trend))))
}

/// The last run of the data is asked about; those before it and those of other files are its history.
fn from_files(arguments: &CapacityArguments) -> Result<Measured, Stop> {
    let mut history = Vec::new();
    let mut warnings = Vec::new();
    for path in &arguments.history_data {
        let table = table(path, &arguments.filters)?;
        let name = path.display().to_string();
        history.extend(
            table
                .runs
                .into_iter()
                .map(|run| Earlier { name: run.name.unwrap_or_else(|| name.clone()), points: run.points }),
        );
        warnings.extend(table.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
    }
    let path = arguments.data.as_deref().ok_or_else(|| Stop::usage(anyhow!("there is no --data")))?;
    let mut table = table(path, &arguments.filters)?;
    let last = table.runs.pop().ok_or_else(|| Stop::usage(anyhow!("the table has no rows")))?;
    let file = path.display().to_string();
    let name = last.name.as_ref().map_or_else(|| file.clone(), |run| format!("{file}, run {run}"));
    history.extend(
        table
            .runs
            .into_iter()
            .map(|run| Earlier { name: run.name.unwrap_or_else(|| file.clone()), points: run.points }),
    );
    warnings.extend(table.warnings);
    let source = |name: &str, used: &str, points: &Points| CapacitySource {
        name: name.to_owned(),
        used: used.to_owned(),
        points: points.points().len(),
        remarks: Vec::new(),
    };
    let earlier = history.iter().map(|earlier| source(&earlier.name, "as an earlier run", &earlier.points));
    let told = earlier.chain([source(&name, "measured", &last.points)]).collect();
    Ok(Measured {
        name,
        told,
        points: last.points,
        history,
        warnings,
        sources: serde_json::Value::Null,
        origin: None,
    })
}

fn table(path: &Path, filters: &[(String, String)]) -> Result<Table, Stop> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read {}", path.display())).map_err(Stop::usage)?;
    let table = read_table(&text, filters).with_context(|| path.display().to_string());
    table.map_err(Stop::usage)
}

/// An objective that bounds the load from above.
pub(crate) fn bound(text: &str) -> anyhow::Result<Bound> {
    let expression = Expression::parse(text).with_context(|| format!("--sla `{text}`"))?;
    let of = match expression.measure {
        Measure::Quantile(quantile, plimsoll_measure::Timing::ResponseTime) => {
            Bounded::ResponseTime(quantile)
        }
        Measure::ErrorRatio => Bounded::ErrorRatio,
        Measure::Availability => Bounded::ErrorRatio,
        _ => return Err(unanswered(text)),
    };
    let plimsoll_sla::Bound::Value(value) = expression.bound else { return Err(unanswered(text)) };
    let at_most = match (expression.measure, expression.comparison) {
        (Measure::Availability, Comparison::Ge | Comparison::Gt) => 1.0 - value,
        (Measure::Availability, _) | (_, Comparison::Ge | Comparison::Gt) => return Err(unanswered(text)),
        (_, Comparison::Le | Comparison::Lt) => value,
    };
    Ok(Bound { text: text.to_owned(), of, at_most })
}

fn unanswered(text: &str) -> anyhow::Error {
    anyhow!(
        "--sla `{text}`: write a quantile of response time or a share of errors that is not to be exceeded, \
         like `p95(response_time) <= 250ms`, `error_ratio <= 1%` or `availability >= 99.9%`"
    )
}

fn what_if(arguments: &CapacityArguments) -> Vec<WhatIf> {
    let machines = arguments.machines.iter().map(|factor| WhatIf::Machines(*factor));
    let demands = arguments
        .demand
        .iter()
        .map(|(resource, factor)| WhatIf::Demand { resource: resource.clone(), factor: *factor });
    let mix = (!arguments.mix.is_empty()).then(|| WhatIf::Mix(arguments.mix.iter().cloned().collect()));
    machines.chain(demands).chain(mix).collect()
}
