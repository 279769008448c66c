//! Throughput, response time and residuals against load.

use plimsoll_capacity::{Bounded, LatencyModel, Point};
use plimsoll_units::Quantile;

use super::CapacityReport;
use super::facts::{NOTHING, chosen, kept, quantiles, residual, thinned};
use crate::chart::{Axis, Bound, Chart, End, Line, Marks, Place, Ribbon, Shape};

/// Places along a curve.
const STEPS: u32 = 96;
/// More places than this are a smear.
const MOST_PLACES: usize = 400;

/// What was measured, the chosen model with its 90% interval where points reach, and what was found.
pub(super) fn throughput(report: &CapacityReport) -> Chart {
    let answer = report.answer;
    let kept = kept(report);
    let loads = loads(&kept);
    let mut lines = Vec::new();
    let mut ribbons = Vec::new();
    if let Some(model) = chosen(report) {
        let finite = |value: f64| Some(value).filter(|value| value.is_finite() && *value >= 0.0);
        let points = loads.iter().map(|load| (*load, finite(model.at(*load)))).collect();
        lines.push(Line { name: model.name.label().to_owned(), class: "response", points });
        let within = |load: &f64| {
            let (low, high) = model.prediction_interval(*load, 0.90)?;
            Some((*load, low.max(0.0), high))
        };
        let points: Vec<_> = loads.iter().filter_map(within).collect();
        if !points.is_empty() {
            ribbons.push(Ribbon { name: "90% interval of a measurement".to_owned(), points });
        }
    }
    let (shown, every) = thinned(&kept, MOST_PLACES);
    let measured = shown.iter().map(|point| at(point.load, point.throughput)).collect();
    let left_out = answer.left_out.iter().map(|point| at(point.load, point.throughput)).collect();
    let foretold = answer.predictions.iter().filter_map(|prediction| {
        let found = prediction.throughput?;
        Some(Place { x: prediction.load, y: found.value, within: Some((found.low, found.high)) })
    });
    let peak = answer.peak.iter();
    let peak =
        peak.map(|peak| Place { x: peak.load, y: peak.throughput, within: Some((peak.low, peak.high)) });
    let mut all = vec![
        marks("foretold", "foretold", foretold.collect()),
        marks(&counted("measured", every), "measured", measured),
        marks("left out", "out", left_out),
    ];
    for limit in &answer.sla_limits {
        let allowed = limit.outcome.as_ref().ok();
        let places = allowed.map(|allowed| at(allowed.load, allowed.throughput)).into_iter().collect();
        all.push(marks(&limit.text, "limit", places));
    }
    all.push(marks("peak", "peak", peak.collect()));
    all.retain(|marks: &Marks| !marks.places.is_empty());
    let traffic = report.question.traffic.iter();
    Chart {
        title: format!("Throughput per second against {}", axis(report)),
        x: Axis::Load(report.question.points.kind()),
        y: Axis::PerSecond,
        bounds: traffic
            .map(|(name, rate)| Bound { name: name.clone(), class: "traffic", value: *rate })
            .collect(),
        ribbons,
        lines,
        marks: all,
        ..Chart::default()
    }
}

/// Quantiles that were measured, each with the curve that foretells it best, and what was promised of them.
pub(super) fn response_time(report: &CapacityReport) -> Option<Chart> {
    let quantiles = quantiles(report);
    if quantiles.is_empty() {
        return None;
    }
    let kept = kept(report);
    let loads = loads(&kept);
    let (mut lines, mut all, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (index, quantile) in quantiles.into_iter().enumerate() {
        let known = |point: &&Point| Some(at(point.load, *point.response_time.get(&quantile)?));
        let places: Vec<Place> = kept.iter().filter_map(known).collect();
        let (shown, every) = thinned(&places, MOST_PLACES);
        let class = class(quantile, index);
        let last = places.last().map(|place| place.y);
        let name = counted(&quantile.to_string(), every);
        all.push(Marks { shape: shape(index), ..marks(&name, class, shown.into_owned()) });
        let of_quantile = report.answer.latency_models.iter().filter(|model| model.quantile == quantile);
        let error = |model: &&LatencyModel| model.cross_validated_error.unwrap_or(f64::INFINITY);
        let best = of_quantile.min_by(|one, other| error(one).total_cmp(&error(other)));
        let at_the_end = best.zip(loads.last()).and_then(|(model, load)| model.at(*load));
        ends.extend(at_the_end.or(last).map(|y| End { name: quantile.to_string(), class, y }));
        lines.extend(best.map(|model| Line {
            name: format!("{quantile} as {}", model.name.label()),
            class: stroke(quantile, index),
            points: loads.iter().map(|load| (*load, model.at(*load).filter(|at| *at >= 0.0))).collect(),
        }));
    }
    let bounds: Vec<Bound> = report
        .question
        .bounds
        .iter()
        .filter(|bound| matches!(bound.of, Bounded::ResponseTime(_)))
        .map(|bound| Bound { name: bound.text.clone(), class: Bound::PROMISE, value: bound.at_most })
        .collect();
    let values = all.iter().flat_map(|marks| marks.places.iter().map(|place| place.y));
    let y = Axis::for_times_over(10.0, values.chain(bounds.iter().map(|bound| bound.value)));
    let scale = if y == Axis::TimeInDecades { " (logarithmic)" } else { "" };
    Some(Chart {
        title: format!("Response time against {}{scale}", axis(report)),
        x: Axis::Load(report.question.points.kind()),
        y,
        bounds,
        lines,
        marks: all,
        ends,
        ..Chart::default()
    })
}

/// By how much each point lies above or below the chosen model.
pub(super) fn residuals(report: &CapacityReport) -> Option<Chart> {
    let model = chosen(report)?;
    let kept = kept(report);
    let off: Vec<Place> =
        kept.iter().filter_map(|point| Some(at(point.load, residual(model, point)?))).collect();
    // What a curve through every point leaves is rounding.
    if off.iter().all(|place| place.y.abs() < NOTHING) {
        return None;
    }
    let (shown, every) = thinned(&off, MOST_PLACES);
    Some(Chart {
        title: format!("Residuals of {}, as shares of its throughput", model.name.label()),
        x: Axis::Load(report.question.points.kind()),
        y: Axis::Share,
        bounds: vec![Bound { name: "the model".to_owned(), class: "traffic", value: 0.0 }],
        marks: vec![marks(&counted("measured over model", every), "measured", shown.into_owned())],
        ..Chart::default()
    })
}

fn axis(report: &CapacityReport) -> &'static str {
    match report.question.points.kind() {
        plimsoll_capacity::LoadKind::Users => "users",
        plimsoll_capacity::LoadKind::Rate => "arrivals per second",
        plimsoll_capacity::LoadKind::Unknown => "load",
    }
}

fn at(x: f64, y: f64) -> Place {
    Place { x, y, within: None }
}

fn marks(name: &str, class: &'static str, places: Vec<Place>) -> Marks {
    Marks { name: name.to_owned(), class, shape: Shape::Dot, places }
}

fn counted(name: &str, every: usize) -> String {
    if every > 1 { format!("{name} (one of every {every})") } else { name.to_owned() }
}

/// Where a curve is drawn: evenly from the lowest to the highest load, and at each that was measured.
fn loads(kept: &[&Point]) -> Vec<f64> {
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return Vec::new() };
    let step = (last.load - first.load) / f64::from(STEPS);
    let (measured, _) = thinned(kept, MOST_PLACES);
    let mut loads: Vec<f64> = measured.iter().map(|point| point.load).collect();
    loads.extend((0..STEPS).map(|index| first.load + step * f64::from(index)));
    loads.push(last.load);
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    loads
}

/// Quantiles lie close together where the service is fast: each has a mark of its own.
fn shape(index: usize) -> Shape {
    [Shape::Dot, Shape::Diamond, Shape::Triangle][index % 3]
}

/// And a stroke of its own, in the colour of [`class`].
fn stroke(quantile: Quantile, index: usize) -> &'static str {
    match class(quantile, index) {
        "p95" => "p95 dashed",
        "p99" => "p99 dotted",
        class => class,
    }
}

/// The colours of a run's charts where they have one.
fn class(quantile: Quantile, index: usize) -> &'static str {
    const OTHERS: [&str; 4] = ["run3", "run4", "run5", "run2"];
    match quantile {
        Quantile::P50 => "p50",
        Quantile::P95 => "p95",
        Quantile::P99 => "p99",
        _ => OTHERS[index % OTHERS.len()],
    }
}
