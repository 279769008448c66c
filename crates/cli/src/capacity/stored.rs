//! Points from what a Prometheus stored.

use anyhow::{Context, anyhow};
use plimsoll_capacity::{LoadKind, Moment, Plateaus, Points, Series, Traffic, points};
use plimsoll_report::CapacitySource;
use plimsoll_units::duration;
use serde_json::json;

use super::prometheus::{Moments, Prometheus};
use super::{Measured, forecast};
use crate::Stop;
use crate::arguments::CapacityArguments;

/// How long back is looked, unless it is said: for load, and for traffic that grows.
const HOUR: f64 = 3600.0;
const SEASON: f64 = 90.0 * 86_400.0;

/// The steps that are asked for, unless it is said.
const STEPS: f64 = 2000.0;

/// The plateaus of stored series.
pub(super) async fn measured(url: &str, arguments: &CapacityArguments, now: f64) -> Result<Measured, Stop> {
    let prometheus = Prometheus::at(url).map_err(Stop::usage)?;
    let moments = moments(arguments, now).map_err(Stop::usage)?;
    let (Some(load), Some(throughput)) = (&arguments.load, &arguments.throughput) else {
        return Err(Stop::usage(anyhow!("--prometheus needs --load and --throughput")));
    };
    let loads = values(&prometheus, load, moments).await?;
    let rates = values(&prometheus, throughput, moments).await?;
    let mut resources = Vec::new();
    for (name, query) in &arguments.resources {
        // The name of a share of one ends so, whatever people call it.
        let name = format!("{}_ratio", name.trim_end_matches("_ratio"));
        resources.push((name, values(&prometheus, query, moments).await?));
    }
    let mut series = Series::new(moments.step);
    for (index, (load, throughput)) in loads.iter().zip(&rates).enumerate() {
        let used = resources.iter().filter_map(|(name, values)| Some((name.clone(), values[index]?)));
        series.push(load.zip(*throughput).map(|(load, throughput)| Moment {
            load,
            throughput,
            resources: used.collect(),
            ..Moment::default()
        }));
    }
    let found = Plateaus::of(&series);
    let warnings = found.left_out.iter().map(|left| {
        let at = |offset: f64| moment(moments.from + offset);
        format!("{} to {} left out: {}", at(left.from), at(left.to), left.why)
    });
    let warnings: Vec<String> = warnings.collect();
    if found.steady.is_empty() {
        return Err(Stop::refused(anyhow!(
            "no plateau: the load never stood still for {} while throughput did; ask for another time with --from \
             and --to, or a longer --step\n{}",
            duration::human(plimsoll_capacity::FEWEST_STEPS as f64 * series.step_seconds()),
            warnings.join("\n")
        )));
    }
    let plateaus = found.steady.iter().map(|plateau| {
        json!({
            "from": moment(moments.from + plateau.from),
            "to": moment(moments.from + plateau.to),
            "transient_seconds": plateau.transient,
            "load": plateau.load,
            "throughput": super::recorded::mean(&plateau.throughput),
        })
    });
    let sources = json!({ "prometheus": plateaus.collect::<Vec<_>>() });
    let told = vec![CapacitySource {
        name: load.clone(),
        used: format!(
            "measured, {} to {}",
            moment(moments.from),
            moment(moments.at(moments.count.saturating_sub(1)))
        ),
        points: found.steady.len(),
        remarks: warnings.clone(),
    }];
    let points = Points::new(points(&found.steady), LoadKind::Unknown);
    Ok(Measured {
        name: load.clone(),
        points: points.map_err(Stop::usage)?,
        history: Vec::new(),
        warnings,
        sources,
        told,
        origin: None,
    })
}

/// Traffic, hour by hour.
pub(super) async fn traffic(
    url: &str,
    query: &str,
    arguments: &CapacityArguments,
    now: f64,
) -> Result<Vec<Traffic>, Stop> {
    let prometheus = Prometheus::at(url).map_err(Stop::usage)?;
    let read = || -> anyhow::Result<Moments> {
        let from = arguments.traffic_from.as_deref().map(|text| time(text, now)).transpose();
        let from = from.context("--traffic-from")?.unwrap_or(now - SEASON);
        Moments::between((from / HOUR).ceil() * HOUR, now, HOUR)
    };
    let moments = read().map_err(Stop::usage)?;
    let rates = values(&prometheus, query, moments).await?;
    let known = rates.into_iter().enumerate();
    Ok(known.filter_map(|(index, rate)| Some(Traffic { at: moments.at(index), rate: rate? })).collect())
}

async fn values(prometheus: &Prometheus, query: &str, moments: Moments) -> Result<Vec<Option<f64>>, Stop> {
    prometheus.values(query, moments).await.map_err(Stop::usage)
}

fn moments(arguments: &CapacityArguments, now: f64) -> anyhow::Result<Moments> {
    let read = |text: &Option<String>| text.as_deref().map(|text| time(text, now)).transpose();
    let to = read(&arguments.to).context("--to")?.unwrap_or(now);
    let from = read(&arguments.from).context("--from")?.unwrap_or(to - HOUR);
    let step =
        arguments.step.map_or_else(|| ((to - from) / STEPS).ceil().max(1.0), |step| step.as_secs_f64());
    Moments::between(from, to, step)
}

/// A moment, or so long ago.
fn time(text: &str, now: f64) -> anyhow::Result<f64> {
    if let Ok(seconds) = forecast::moment(text) {
        return Ok(seconds);
    }
    let ago = duration::parse(text).ok().map(|ago| now - ago.as_secs_f64());
    ago.ok_or_else(|| {
        anyhow!(
            "found `{text}`; write a time like 2026-01-31T12:00:00Z, a date, seconds since 1970, or how long ago, \
             like 6h"
        )
    })
}

fn moment(at: f64) -> String {
    jiff::Timestamp::from_second(at.round() as i64)
        .map_or_else(|_| at.to_string(), |moment| moment.to_string())
}
