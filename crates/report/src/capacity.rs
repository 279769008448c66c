//! What is known of a service's capacity, as JSON, as text, as a page and as Markdown.

mod charts;
mod facts;
mod kept;
mod page;
mod plot;
mod report;
#[cfg(test)]
mod tests;
mod text;

use plimsoll_capacity::{
    Answer, BreakingPoint, Compared, Estimate, Headroom, LatencyModel, Level, Model, Parameter, Peak, Point,
    Prediction, Refusal, ResourceLimit, Scaled, SlaLimit, Supposed,
};
use serde_json::{Map, Value, json};

pub use kept::KeptCapacity;
pub use page::{CapacityLimit, CapacityPlan, Foretold, Measured, capacity_page};
pub use report::{CapacityReport, CapacitySource, capacity_html, capacity_markdown};
pub use text::capacity_text;

/// The JSON of an answer: loads as they were given, requests per second, shares of one; intervals are 90%.
///
/// What is refused is `null` and stands in `refusals` with its reason and the next step, and, for those who
/// know only them, among `warnings`.
pub fn capacity_json(answer: &Answer) -> Value {
    let all = |refusal: &Refusal| format!("{}: {}; {}", refusal.about, refusal.why, refusal.next);
    let warnings: Vec<String> =
        answer.refusals.iter().map(all).chain(answer.warnings.iter().cloned()).collect();
    let limits: Vec<Value> = answer.sla_limits.iter().map(sla_limit).collect();
    json!({
        "schema": 1,
        "models": answer.models.iter().map(model).collect::<Vec<_>>(),
        "chosen": answer.chosen.map(|name| name.label()),
        "peak": answer.peak.map(|peak| json_peak(&peak)),
        "predictions": answer.predictions.iter().map(prediction).collect::<Vec<_>>(),
        "sla_limit": nearest(answer).map_or(Value::Null, |index| limits[index].clone()),
        "warnings": warnings,
        "saturation": json!({
            "verdict": answer.saturation.label(),
            "last_doubling_gain": answer.last_gain,
            "at_least": answer.at_least.map(level),
        }),
        "sla_limits": limits,
        "breaking_point": answer.breaking_point.map(|point| breaking_point(&point)),
        "resources": answer.resources.iter().map(resource).collect::<Vec<_>>(),
        "history": answer.history.iter().map(earlier).collect::<Vec<_>>(),
        "headroom": answer.headroom.iter().map(headroom).collect::<Vec<_>>(),
        "what_if": answer.what_if.iter().map(supposed).collect::<Vec<_>>(),
        "left_out": answer.left_out.iter().map(point).collect::<Vec<_>>(),
        "refusals": answer.refusals.iter().map(refusal).collect::<Vec<_>>(),
        "next_loads": answer.next_loads,
        "latency_models": answer.latency_models.iter().map(latency).collect::<Vec<_>>(),
    })
}

/// The JSON Schema that [`capacity_json`] keeps.
pub fn capacity_schema() -> Value {
    // The file is part of this crate and read by its tests.
    serde_json::from_str(include_str!("../schema/capacity.schema.json")).unwrap_or_default()
}

/// The objective that allows least, or the first where none is known.
fn nearest(answer: &Answer) -> Option<usize> {
    let known = answer.sla_limits.iter().enumerate().filter_map(|(index, limit)| {
        let allowed = limit.outcome.as_ref().ok()?;
        Some((index, allowed.load))
    });
    let nearest = known.min_by(|left, right| left.1.total_cmp(&right.1)).map(|(index, _)| index);
    nearest.or((!answer.sla_limits.is_empty()).then_some(0))
}

/// A figure of each parameter; `null` where the data do not tell the parameter.
fn named(parameters: &[Parameter], value: impl Fn(&Parameter) -> Option<f64>) -> Map<String, Value> {
    let known = |parameter: &Parameter| value(parameter).filter(|_| parameter.identified);
    parameters.iter().map(|parameter| (parameter.name.to_owned(), json!(known(parameter)))).collect()
}

fn not_identified(parameters: &[Parameter]) -> Vec<&'static str> {
    parameters.iter().filter(|parameter| !parameter.identified).map(|parameter| parameter.name).collect()
}

fn latency(model: &LatencyModel) -> Value {
    json!({
        "name": model.name.label(),
        "quantile": model.quantile.to_string(),
        "parameters": named(&model.parameters, |parameter| Some(parameter.value)),
        "cross_validated_error": model.cross_validated_error,
        "standard_errors": named(&model.parameters, |parameter| parameter.standard_error),
        "not_identified": not_identified(&model.parameters),
    })
}

fn model(model: &Model) -> Value {
    json!({
        "name": model.name.label(),
        "parameters": named(&model.parameters, |parameter| Some(parameter.value)),
        "r2": model.r2,
        "cross_validated_error": model.cross_validated_error(),
        "standard_errors": named(&model.parameters, |parameter| parameter.standard_error),
        "not_identified": not_identified(&model.parameters),
        "peak_load": model.peak_load(),
    })
}

fn json_peak(peak: &Peak) -> Value {
    json!({
        "load": peak.load,
        "throughput": peak.throughput,
        "low": peak.low,
        "high": peak.high,
        "basis": peak.basis.label(),
    })
}

fn level(level: Level) -> Value {
    json!({ "load": level.load, "throughput": level.throughput })
}

fn prediction(prediction: &Prediction) -> Value {
    json!({
        "load": prediction.load,
        "throughput": prediction.throughput.map(|estimate| estimate.value),
        "low": prediction.throughput.map(|estimate| estimate.low),
        "high": prediction.throughput.map(|estimate| estimate.high),
    })
}

fn sla_limit(limit: &SlaLimit) -> Value {
    let allowed = limit.outcome.as_ref().ok();
    json!({
        "objective": limit.text,
        "load": allowed.map(|allowed| allowed.load),
        "throughput": allowed.map(|allowed| allowed.throughput),
        "low": allowed.map(|allowed| allowed.low),
        "high": allowed.map(|allowed| allowed.high),
        "why": limit.outcome.as_ref().err().map(ToString::to_string),
    })
}

fn breaking_point(point: &BreakingPoint) -> Value {
    json!({ "load": point.load, "low": point.low, "high": point.high, "first_symptom": point.symptom.label() })
}

fn resource(limit: &ResourceLimit) -> Value {
    json!({
        "name": limit.name,
        "busiest": limit.busiest,
        "idle": limit.idle,
        "demand_seconds": limit.demand,
        "demands": limit.demands,
        "throughput": limit.throughput,
        "low": limit.low,
        "high": limit.high,
    })
}

fn earlier(earlier: &Compared) -> Value {
    let scaled = earlier.outcome.as_ref().ok();
    let figure = |value: fn(&Scaled) -> f64| scaled.map(value);
    json!({
        "name": earlier.name,
        "accepted": scaled.is_some(),
        "ratio": figure(|scaled| scaled.ratio),
        "disagreement": figure(|scaled| scaled.disagreement),
        "throughput": figure(|scaled| scaled.throughput),
        "own_peak": figure(|scaled| scaled.earlier_peak),
        "why": earlier.outcome.as_ref().err().map(ToString::to_string),
    })
}

fn headroom(headroom: &Headroom) -> Value {
    json!({
        "name": headroom.name,
        "traffic": headroom.traffic,
        "limit": estimate(headroom.limit),
        "of": headroom.of,
        "ratio": headroom.ratio,
        "low": headroom.low,
        "high": headroom.high,
    })
}

fn estimate(estimate: Estimate) -> Value {
    json!({ "throughput": estimate.value, "low": estimate.low, "high": estimate.high })
}

fn supposed(supposed: &Supposed) -> Value {
    json!({
        "change": supposed.change,
        "throughput": supposed.throughput.value,
        "low": supposed.throughput.low,
        "high": supposed.throughput.high,
        "bottleneck": supposed.bottleneck,
        "assumption": supposed.assumption,
    })
}

fn point(point: &Point) -> Value {
    json!({ "load": point.load, "throughput": point.throughput })
}

fn refusal(refusal: &Refusal) -> Value {
    json!({ "about": refusal.about, "why": refusal.why, "next": refusal.next })
}
