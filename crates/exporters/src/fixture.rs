//! The smallest run, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::{Edges, Frame};
use plimsoll_run::{Gauges, Machine, Model, RunEvent, RunInfo, Second, Shape, Started};

/// The start of a run of a plan in which nothing happens.
pub(crate) fn started(plan: &str) -> Arc<Started> {
    Arc::new(Started {
        info: RunInfo {
            id: "r".to_owned(),
            started_nanos: 0,
            seed: 1,
            version: None,
            environment: None,
            tags: BTreeMap::new(),
            machine: Machine::default(),
            plimsoll: String::new(),
            target: String::new(),
        },
        shape: Shape {
            plan: plan.to_owned(),
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
            limits: plimsoll_measure::Limits::default(),
        },
        plan_text: String::new(),
        calibration: None,
    })
}

/// A second of it.
pub(crate) fn second(number: u64) -> RunEvent {
    RunEvent::Second(Arc::new(Second {
        frame: Frame::new(number),
        gauges: Gauges { offered_rate: 0.0, virtual_users: 0, connections: 0 },
        vitals: plimsoll_measure::Vitals::default(),
        resources: Vec::new(),
        wall_nanos: 0,
    }))
}
