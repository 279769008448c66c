//! Which runs are measurements of one thing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Model, Started};

/// What runs must share for their plateaus to be points of one curve: everything that decides what was asked,
/// of whom and by whom, but how much of it.
///
/// The hash of a plan does not do: it has the load in it, and a curve is made of runs at different loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    model: Model,
    mix: Vec<(String, u32)>,
    plan: String,
    version: Option<String>,
    environment: Option<String>,
    target: String,
    machine: String,
}

/// Keys of a plan that say how much is asked, what is promised of it and who is told.
const ASIDE: [&str; 7] = ["load", "sla", "export", "tags", "resources", "profiles", "limits"];

impl Lineage {
    /// That of a run.
    pub fn of(started: &Started) -> Self {
        let (info, shape) = (&started.info, &started.shape);
        Self {
            model: shape.model,
            mix: shape.scenarios.iter().map(|scenario| (scenario.name.clone(), scenario.weight)).collect(),
            plan: without(&started.plan_text, &ASIDE),
            version: info.version.clone(),
            environment: info.environment.clone(),
            target: info.target.clone(),
            machine: info.machine.fingerprint.clone(),
        }
    }

    /// In what another differs from this one, in words; none of one lineage.
    pub fn crossings(&self, other: &Self) -> Vec<String> {
        let named = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let mut found = Vec::new();
        let mut differ = |what: &str, here: String, there: String| {
            if here != there {
                found.push(format!("{what} {there}, not {here}"));
            }
        };
        differ("version", named(&self.version), named(&other.version));
        differ("environment", named(&self.environment), named(&other.environment));
        differ("target", self.target.clone(), other.target.clone());
        differ("load model", self.model.label().to_owned(), other.model.label().to_owned());
        differ("mix", mix(&self.mix), mix(&other.mix));
        if self.machine != other.machine {
            found.push("another class of machine that offered the load".to_owned());
        }
        // A mix that differs is a plan that differs, and has been said.
        if self.plan != other.plan && self.mix == other.mix {
            found.push("other steps or settings of the plan".to_owned());
        }
        found
    }

    /// The version of what was tested.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

fn mix(mix: &[(String, u32)]) -> String {
    let parts: Vec<String> = mix.iter().map(|(name, weight)| format!("{name}:{weight}")).collect();
    parts.join(",")
}

/// A kept plan without some of its first-level keys, whatever their order.
fn without(text: &str, keys: &[&str]) -> String {
    let mut blocks: BTreeSet<String> = BTreeSet::new();
    let mut block = String::new();
    let mut keep = true;
    for line in text.lines() {
        if !line.starts_with([' ', '-']) {
            blocks.insert(std::mem::take(&mut block));
            let key = line.split(':').next().unwrap_or_default().trim_matches('"');
            keep = !keys.contains(&key);
        }
        if keep {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.insert(block);
    blocks.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_series::tests::started;

    const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload:\n  stages:\n    - hold: 5/s\n      for: 9s\nscenarios:\n  - name: browse\n";

    fn lineage(change: impl Fn(&mut Started)) -> Lineage {
        let mut started = started(Model::Open, 1, &[(5.0, 9.0)], 0.0);
        started.plan_text = PLAN.to_owned();
        started.info.version = Some("1".to_owned());
        change(&mut started);
        Lineage::of(&started)
    }

    #[test]
    fn only_what_makes_another_curve_is_a_crossing() {
        let base = lineage(|_| {});
        let crossings = |change: fn(&mut Started)| base.crossings(&lineage(change));
        let none: [&str; 0] = [];
        assert_eq!(crossings(|run| run.plan_text = PLAN.replace("5/s", "500/s")), none);
        assert_eq!(crossings(|run| run.shape.plan_hash = "other".to_owned()), none);
        assert_eq!(crossings(|run| run.plan_text = format!("{PLAN}sla:\n  - objective: a\n")), none);
        assert_eq!(crossings(|run| run.info.version = Some("2".to_owned())), ["version 2, not 1"]);
        assert_eq!(crossings(|run| run.info.version = None), ["version none, not 1"]);
        assert_eq!(
            crossings(|run| run.info.machine.fingerprint = "other".to_owned()),
            ["another class of machine that offered the load"]
        );
        assert_eq!(crossings(|run| run.shape.scenarios[0].weight = 3), ["mix browse:3, not browse:1"]);
        assert_eq!(
            crossings(|run| run.plan_text = PLAN.replace("browse", "buy")),
            ["other steps or settings of the plan"]
        );
        assert_eq!(crossings(|run| run.shape.model = Model::Closed), ["load model closed, not open"]);
    }

    #[test]
    fn the_order_of_keys_says_nothing() {
        let turned = "scenarios:\n  - name: browse\ntarget: http://127.0.0.1:1\nname: shop\n";
        assert_eq!(without(PLAN, &ASIDE), without(turned, &ASIDE));
        assert_eq!(without("", &ASIDE), "");
    }
}
