//! Which charts a run gets.

use plimsoll_measure::Timing;
use plimsoll_run::{LatencyCurve, Summary, TimelinePoint};
use plimsoll_sla::{Bound as Promise, Measure};
use plimsoll_units::Quantile;

use crate::chart::{Axis, Band, Bound, Chart, Line};
use crate::{Run, resources, words};

/// What is marked as an incident: more than this share of what was due failed or was dropped.
const INCIDENT_SHARE: f64 = 0.01;

/// Quantiles of response time over the run, with what was promised of them.
pub(super) fn latency(run: &Run) -> Chart {
    let timeline = &run.summary.timeline;
    let quantile = |name: &str, class, quantile| {
        line(name, class, timeline, |point| point.response_time.quantile(quantile).map(nanos_in_seconds))
    };
    let lines = vec![
        line("max", "max", timeline, |point| point.response_time.max().map(nanos_in_seconds)),
        quantile("p99", "p99", Quantile::P99),
        quantile("p95", "p95", Quantile::P95),
        quantile("p50", "p50", Quantile::P50),
    ];
    let y = Axis::for_times(values(&lines));
    Chart {
        title: titled("Response time", y),
        x: Axis::Offset,
        y,
        bands: bands(run),
        bounds: bounds(run),
        lines,
        ..Chart::default()
    }
}

/// What was asked for against what was done.
pub(super) fn throughput(run: &Run) -> Chart {
    let timeline = &run.summary.timeline;
    let rate = |name: &str, class, of: fn(&TimelinePoint) -> u64| {
        line(name, class, timeline, |point| Some(point.per_second(of(point))))
    };
    let lines = vec![
        line("iterations asked for", "offered", timeline, |point| Some(point.offered / point.seconds as f64)),
        rate("iterations due", "arrivals", |point| point.arrivals),
        rate("requests succeeded", "succeeded", |point| point.succeeded),
        rate("requests failed", "failed", |point| point.failed),
        rate("iterations dropped", "dropped", |point| point.dropped),
    ];
    Chart {
        title: "Load and throughput per second".to_owned(),
        x: Axis::Offset,
        y: Axis::PerSecond,
        bands: bands(run),
        bounds: Vec::new(),
        lines,
        ..Chart::default()
    }
}

/// How much was under way.
pub(super) fn in_flight(run: &Run) -> Chart {
    let timeline = &run.summary.timeline;
    let level = |name: &str, class, of: fn(&TimelinePoint) -> u64| {
        line(name, class, timeline, |point| Some(of(point) as f64))
    };
    let lines = vec![
        level("requests in flight", "response", |point| point.in_flight),
        level("virtual users", "service", |point| point.users),
    ];
    Chart {
        title: "In flight at the end of a second".to_owned(),
        x: Axis::Offset,
        y: Axis::Count,
        bands: bands(run),
        bounds: Vec::new(),
        lines,
        ..Chart::default()
    }
}

/// What the target and its machine used, a chart for each unit.
pub(super) fn resources(run: &Run) -> Vec<Chart> {
    let chart = |(title, y, lines)| Chart {
        title,
        x: Axis::Offset,
        y,
        bands: bands(run),
        bounds: Vec::new(),
        lines,
        ..Chart::default()
    };
    resources::charts(&run.summary).map(chart).collect()
}

/// How long the share of requests along the axis took at most.
pub(super) fn percentiles<'a>(
    title: &str,
    curves: impl Iterator<Item = (String, &'static str, &'a LatencyCurve)>,
) -> Chart {
    let lines: Vec<_> =
        curves.map(|(name, class, curve)| Line { name, class, points: shares(curve) }).collect();
    let y = Axis::for_times(values(&lines));
    Chart {
        title: titled(title, y),
        x: Axis::Nines,
        y,
        bands: Vec::new(),
        bounds: Vec::new(),
        lines,
        ..Chart::default()
    }
}

/// One figure of several runs over their time.
pub(super) fn side_by_side(
    title: &str,
    y: Option<Axis>,
    runs: impl Iterator<Item = (String, &'static str, Vec<(f64, Option<f64>)>)>,
) -> Chart {
    let lines: Vec<_> = runs.map(|(name, class, points)| Line { name, class, points }).collect();
    let y = y.unwrap_or_else(|| Axis::for_times(values(&lines)));
    Chart {
        title: titled(title, y),
        x: Axis::Offset,
        y,
        bands: Vec::new(),
        bounds: Vec::new(),
        lines,
        ..Chart::default()
    }
}

/// A figure at every point of a timeline.
pub(super) fn points(
    timeline: &[TimelinePoint],
    of: impl Fn(&TimelinePoint) -> Option<f64>,
) -> Vec<(f64, Option<f64>)> {
    timeline.iter().map(|point| (point.middle(), of(point))).collect()
}

pub(super) fn nanos_in_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn line(
    name: &str,
    class: &'static str,
    timeline: &[TimelinePoint],
    of: impl Fn(&TimelinePoint) -> Option<f64>,
) -> Line {
    Line { name: name.to_owned(), class, points: points(timeline, of) }
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value))
}

fn titled(title: &str, axis: Axis) -> String {
    match axis {
        Axis::TimeInDecades => format!("{title} (logarithmic)"),
        _ => title.to_owned(),
    }
}

/// The longest one lies beyond every share; it is drawn half a remaining share behind the last one.
fn shares(curve: &LatencyCurve) -> Vec<(f64, Option<f64>)> {
    let last = curve.iter().map(|(share, _)| *share).filter(|share| *share < 1.0).fold(0.0, f64::max);
    let end = 1.0 - (1.0 - last) / 2.0;
    curve.iter().map(|(share, seconds)| (share.min(end), Some(*seconds))).collect()
}

/// Promises about response time that can be drawn: those with a fixed bound.
fn bounds(run: &Run) -> Vec<Bound> {
    let drawn = run.started.shape.objectives.iter().filter_map(|objective| {
        let about_response_time = matches!(
            objective.expression.measure,
            Measure::Quantile(_, Timing::ResponseTime)
                | Measure::Mean(Timing::ResponseTime)
                | Measure::Max(Timing::ResponseTime)
        );
        let Promise::Value(value) = objective.expression.bound else { return None };
        let everything = objective.filter == plimsoll_sla::Filter::default();
        let scope = if everything { "" } else { " (of some steps)" };
        about_response_time.then(|| Bound {
            name: format!("{}{scope}", objective.text),
            class: Bound::PROMISE,
            value,
        })
    });
    drawn.collect()
}

fn bands(run: &Run) -> Vec<Band> {
    let summary = &run.summary;
    let band = |from, to, class, label| Band { from, to, class, label };
    let mut bands: Vec<_> = summary
        .stages
        .iter()
        // Loads of single scenarios lie beside each other: bands would cover one another.
        .filter(|stage| stage.scenario.is_none())
        .map(|stage| {
            let class = if stage.index % 2 == 0 { "even" } else { "odd" };
            band(stage.shape.start, stage.shape.end, class, words::stage(&stage.shape, summary.model))
        })
        .collect();
    if summary.warmup_seconds > 0.0 && summary.duration_seconds > 0.0 {
        bands.push(band(0.0, summary.warmup_seconds.min(summary.duration_seconds), "warmup", String::new()));
    }
    bands.extend(
        crate::steered::stretches(summary).map(|(from, to)| band(from, to, "steered", String::new())),
    );
    bands.extend(incidents(summary).into_iter().map(|(from, to)| band(from, to, "incident", String::new())));
    bands
}

/// Stretches in which more than [`INCIDENT_SHARE`] of what ended or was dropped was not served.
fn incidents(summary: &Summary) -> Vec<(f64, f64)> {
    let mut found: Vec<(f64, f64)> = Vec::new();
    for point in &summary.timeline {
        let all = point.requests + point.dropped;
        let bad = (point.failed + point.dropped) as f64 > INCIDENT_SHARE * all as f64;
        let (from, to) = (point.second as f64, (point.second + point.seconds) as f64);
        match found.last_mut() {
            _ if !bad => {}
            Some(last) if last.1 == from => last.1 = to,
            _ => found.push((from, to)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn the_incident_is_found_where_it_was() {
        let found = super::incidents(&fixture::run().summary);
        let worst = found.iter().copied().max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
        // Requests due in the last bad second time out two seconds later.
        assert_eq!(worst, Some((30.0, 38.0)), "{found:?}");
    }
}
