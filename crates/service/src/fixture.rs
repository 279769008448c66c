//! The smallest run, for tests.

use std::collections::BTreeMap;

use plimsoll_measure::{Edges, Limits};
use plimsoll_run::{Machine, Model, RunInfo, Shape, Started};

/// The start of a run in which nothing happens, of a plan with this text.
pub(crate) fn started(id: &str, plan_text: &str) -> Started {
    Started {
        info: RunInfo {
            id: id.to_owned(),
            started_nanos: 0,
            seed: 1,
            version: None,
            environment: None,
            tags: BTreeMap::new(),
            machine: Machine::default(),
            plimsoll: String::new(),
            target: "http://127.0.0.1:1".to_owned(),
        },
        shape: Shape {
            plan: "shop".to_owned(),
            plan_hash: String::new(),
            model: Model::Open,
            scenarios: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            stages: Vec::new(),
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: Vec::new(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: Limits::default(),
        },
        plan_text: plan_text.to_owned(),
        calibration: None,
    }
}
