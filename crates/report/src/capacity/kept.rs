//! A question about capacity as it is kept in a record, so that its answer can be drawn again later.
//!
//! What is kept is what the answer is made from; the answer itself is computed anew, and is the same because
//! every draw is decided by the question's seed. The form is tolerant: what a later version adds is passed over,
//! and what cannot be read makes the whole unreadable rather than wrong.

use std::collections::BTreeMap;

use plimsoll_capacity::{
    Answer, Bound, Bounded, Earlier, LoadKind, Point, Points, Question, Refusal, WhatIf, answer,
};
use plimsoll_units::Quantile;
use serde_json::{Map, Value, json};

use super::report::{CapacityReport, CapacitySource};

/// A question with what else is told beside its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptCapacity {
    /// What people call the service.
    pub name: String,
    /// What was asked, with the points that were measured.
    pub question: Question,
    /// Warnings about where the points come from.
    pub warnings: Vec<String>,
    /// What else was asked and is not answered.
    pub refusals: Vec<Refusal>,
    /// Sentences about the date on which the limit will be reached.
    pub when: Vec<String>,
    /// Where the points come from.
    pub sources: Vec<CapacitySource>,
}

impl KeptCapacity {
    /// What can be said, warnings and refusals from elsewhere included. It takes up to a second for ten thousand
    /// points.
    pub fn answer(&self) -> Answer {
        let mut found = answer(&self.question);
        found.warnings.splice(0..0, self.warnings.iter().cloned());
        found.refusals.extend(self.refusals.iter().cloned());
        found
    }

    /// The report of its answer.
    pub fn report<'a>(&'a self, answer: &'a Answer, track_record: Option<&'a str>) -> CapacityReport<'a> {
        CapacityReport {
            name: &self.name,
            question: &self.question,
            answer,
            when: &self.when,
            track_record,
            sources: &self.sources,
        }
    }

    /// As it is kept.
    pub fn to_json(&self) -> Value {
        let question = &self.question;
        let refusal =
            |refusal: &Refusal| json!({"about": refusal.about, "why": refusal.why, "next": refusal.next});
        let source = |source: &CapacitySource| json!({"name": source.name, "used": source.used, "points": source.points, "remarks": source.remarks});
        let earlier =
            |earlier: &Earlier| json!({"name": earlier.name, "points": points_json(&earlier.points)});
        json!({
            "schema": SCHEMA,
            "name": self.name,
            "points": points_json(&question.points),
            "history": question.history.iter().map(earlier).collect::<Vec<_>>(),
            "predict": question.predict,
            "bounds": question.bounds.iter().map(bound_json).collect::<Vec<_>>(),
            "traffic": question.traffic.iter().map(|(name, rate)| json!({"name": name, "rate": rate})).collect::<Vec<_>>(),
            "what_if": question.what_if.iter().map(what_if_json).collect::<Vec<_>>(),
            "seed": question.seed,
            "warnings": self.warnings,
            "refusals": self.refusals.iter().map(refusal).collect::<Vec<_>>(),
            "when": self.when,
            "sources": self.sources.iter().map(source).collect::<Vec<_>>(),
        })
    }

    /// Reads what [`Self::to_json`] wrote; `None` for what it did not write or a later version did.
    pub fn from_json(value: &Value) -> Option<Self> {
        if value["schema"] != SCHEMA {
            return None;
        }
        let earlier = |value: &Value| {
            Some(Earlier { name: text(&value["name"])?, points: read_points(&value["points"])? })
        };
        let traffic = |value: &Value| Some((text(&value["name"])?, value["rate"].as_f64()?));
        let refusal = |value: &Value| {
            Some(Refusal {
                about: text(&value["about"])?,
                why: text(&value["why"])?,
                next: text(&value["next"])?,
            })
        };
        let source = |value: &Value| {
            Some(CapacitySource {
                name: text(&value["name"])?,
                used: text(&value["used"])?,
                points: usize::try_from(value["points"].as_u64()?).ok()?,
                remarks: all(&value["remarks"], text)?,
            })
        };
        let question = Question {
            points: read_points(&value["points"])?,
            history: all(&value["history"], earlier)?,
            predict: all(&value["predict"], Value::as_f64)?,
            bounds: all(&value["bounds"], read_bound)?,
            traffic: all(&value["traffic"], traffic)?,
            what_if: all(&value["what_if"], read_what_if)?,
            seed: value["seed"].as_u64()?,
        };
        Some(Self {
            name: text(&value["name"])?,
            question,
            warnings: all(&value["warnings"], text)?,
            refusals: all(&value["refusals"], refusal)?,
            when: all(&value["when"], text)?,
            sources: all(&value["sources"], source)?,
        })
    }
}

/// The version of the form.
const SCHEMA: u64 = 1;

const KINDS: [(LoadKind, &str); 3] =
    [(LoadKind::Users, "users"), (LoadKind::Rate, "rate"), (LoadKind::Unknown, "unknown")];

fn points_json(points: &Points) -> Value {
    let word = KINDS.iter().find(|(kind, _)| *kind == points.kind()).map(|(_, word)| *word);
    let point = |point: &Point| {
        let times = point.response_time.iter().map(|(quantile, time)| (quantile.to_string(), json!(time)));
        json!({
            "load": point.load,
            "throughput": point.throughput,
            "throughput_error": point.throughput_error,
            "response_time": times.collect::<Map<_, _>>(),
            "error_ratio": point.error_ratio,
            "resources": point.resources,
            "classes": point.classes,
        })
    };
    json!({"kind": word, "points": points.points().iter().map(point).collect::<Vec<_>>()})
}

fn read_points(value: &Value) -> Option<Points> {
    let (kind, _) = KINDS.into_iter().find(|(_, word)| value["kind"] == *word)?;
    let point = |value: &Value| {
        let time = |(quantile, time): (String, f64)| Some((quantile.parse::<Quantile>().ok()?, time));
        Some(Point {
            load: value["load"].as_f64()?,
            throughput: value["throughput"].as_f64()?,
            throughput_error: value["throughput_error"].as_f64(),
            response_time: figures(&value["response_time"])?.into_iter().map(time).collect::<Option<_>>()?,
            error_ratio: value["error_ratio"].as_f64(),
            resources: figures(&value["resources"])?,
            classes: figures(&value["classes"])?,
        })
    };
    Points::new(all(&value["points"], point)?, kind).ok()
}

fn bound_json(bound: &Bound) -> Value {
    let of = match bound.of {
        Bounded::ResponseTime(quantile) => quantile.to_string(),
        Bounded::ErrorRatio => ERROR_RATIO.to_owned(),
    };
    json!({"text": bound.text, "of": of, "at_most": bound.at_most})
}

fn read_bound(value: &Value) -> Option<Bound> {
    let of = match value["of"].as_str()? {
        ERROR_RATIO => Bounded::ErrorRatio,
        quantile => Bounded::ResponseTime(quantile.parse().ok()?),
    };
    Some(Bound { text: text(&value["text"])?, of, at_most: value["at_most"].as_f64()? })
}

const ERROR_RATIO: &str = "error_ratio";

fn what_if_json(change: &WhatIf) -> Value {
    match change {
        WhatIf::Machines(factor) => json!({"machines": factor}),
        WhatIf::Demand { resource, factor } => json!({"demand": resource, "factor": factor}),
        WhatIf::Mix(mix) => json!({"mix": mix}),
    }
}

fn read_what_if(value: &Value) -> Option<WhatIf> {
    if let Some(factor) = value["machines"].as_f64() {
        return Some(WhatIf::Machines(factor));
    }
    if let Some(resource) = text(&value["demand"]) {
        return Some(WhatIf::Demand { resource, factor: value["factor"].as_f64()? });
    }
    figures(&value["mix"]).map(WhatIf::Mix)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn all<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(read).collect()
}

fn figures(value: &Value) -> Option<BTreeMap<String, f64>> {
    value.as_object()?.iter().map(|(name, figure)| Some((name.clone(), figure.as_f64()?))).collect()
}
