//! What a change would do to the limit.
//!
//! Only what the utilisation law carries is told, with what it takes for granted.

use std::collections::BTreeMap;

use crate::answer::{Estimate, Refusal};
use crate::peak::Peak;
use crate::utilisation::ResourceLimit;

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub enum WhatIf {
    /// So many times the machines, each like the one that was measured.
    Machines(f64),
    /// A request keeps a resource busy for so many times as long: 0.5 halves it.
    Demand {
        /// The resource.
        resource: String,
        /// New over old demand.
        factor: f64,
    },
    /// Other shares of the kinds of requests.
    Mix(BTreeMap<String, f64>),
}

/// The effect of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Supposed {
    /// The change in words.
    pub change: String,
    /// The limit it leads to, requests per second, with its 90% interval.
    pub throughput: Estimate,
    /// The resource that then runs out first, where that is known.
    pub bottleneck: Option<String>,
    /// What it takes for granted.
    pub assumption: String,
}

impl WhatIf {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Machines(factor) => format!("{factor} times the machines"),
            Self::Demand { resource, factor } => format!("{factor} times the demand on {resource}"),
            Self::Mix(mix) => {
                let shares: Vec<String> =
                    mix.iter().map(|(kind, share)| format!("{kind} {:.0}%", share * 100.0)).collect();
                format!("a mix of {}", shares.join(", "))
            }
        }
    }
}

pub(crate) fn suppose(
    changes: &[WhatIf],
    peak: Option<Peak>,
    resources: &[ResourceLimit],
    refusals: &mut Vec<Refusal>,
) -> Vec<Supposed> {
    let mut supposed = Vec::new();
    for change in changes {
        match effect(change, peak, resources) {
            Ok(effect) => supposed.push(effect),
            Err((why, next)) => {
                refusals.push(Refusal { about: change.words(), why: why.to_owned(), next: next.to_owned() });
            }
        }
    }
    supposed
}

type Unknown = (&'static str, &'static str);

fn effect(change: &WhatIf, peak: Option<Peak>, resources: &[ResourceLimit]) -> Result<Supposed, Unknown> {
    match change {
        WhatIf::Machines(factor) => machines(change, *factor, peak),
        WhatIf::Demand { resource, factor } => demand(change, resource, *factor, resources),
        WhatIf::Mix(mix) => another_mix(change, mix, resources),
    }
}

fn machines(change: &WhatIf, factor: f64, peak: Option<Peak>) -> Result<Supposed, Unknown> {
    let peak = peak.ok_or(("no peak is known", "find the peak first"))?;
    let throughput =
        Estimate { value: peak.throughput * factor, low: peak.low * factor, high: peak.high * factor };
    let assumption = "nothing is shared between machines: load is spread evenly and no database, queue or network \
                      behind them runs out before; measure with two to know what they cost each other";
    Ok(Supposed { change: change.words(), throughput, bottleneck: None, assumption: assumption.to_owned() })
}

fn demand(
    change: &WhatIf,
    resource: &str,
    factor: f64,
    resources: &[ResourceLimit],
) -> Result<Supposed, Unknown> {
    if !resources.iter().any(|limit| limit.name == resource) {
        return Err(("the demand on it is not known", "record its utilisation at four loads or more"));
    }
    let changed = resources.iter().map(|limit| {
        let factor = if limit.name == resource { factor } else { 1.0 };
        (limit.name.clone(), scaled(limit, 1.0 / factor))
    });
    first(change, changed, "the other resources' demands stay as they are")
}

fn another_mix(
    change: &WhatIf,
    mix: &BTreeMap<String, f64>,
    resources: &[ResourceLimit],
) -> Result<Supposed, Unknown> {
    let total: f64 = mix.values().sum();
    let changed = resources.iter().filter(|limit| mix.keys().all(|kind| limit.demands.contains_key(kind)));
    let changed = changed.map(|limit| {
        let demand: f64 = mix.iter().map(|(kind, share)| share / total * limit.demands[kind]).sum();
        (limit.name.clone(), scaled(limit, limit.demand / demand))
    });
    first(change, changed, "each kind of request keeps its demand whatever comes beside it").map_err(|_| {
        (
            "demands of the kinds are not known",
            "record throughput of each kind and utilisation under several mixes",
        )
    })
}

fn scaled(limit: &ResourceLimit, factor: f64) -> Estimate {
    Estimate { value: limit.throughput * factor, low: limit.low * factor, high: limit.high * factor }
}

/// The limit of the resource that runs out first.
fn first(
    change: &WhatIf,
    limits: impl Iterator<Item = (String, Estimate)>,
    assumption: &str,
) -> Result<Supposed, Unknown> {
    let finite = limits.filter(|(_, limit)| limit.value.is_finite() && limit.value > 0.0);
    let (name, throughput) = finite
        .min_by(|left, right| left.1.value.total_cmp(&right.1.value))
        .ok_or(("no resource's limit is known", "record utilisation at four loads or more"))?;
    let assumption = format!("{assumption}, and nothing that was not recorded runs out before");
    Ok(Supposed { change: change.words(), throughput, bottleneck: Some(name), assumption })
}
