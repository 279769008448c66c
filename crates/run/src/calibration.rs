use plimsoll_measure::LatencyFigures;
use plimsoll_units::duration;

use crate::Shape;

/// What this machine adds to every figure of a plan, and how much of the plan it can offer: learnt
/// against a bare target in the same process that answers at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Iterations of the plan per second that were offered for the two figures below.
    pub rate: f64,
    /// Service time there: what network stack and generator take by themselves.
    pub service_time: Floor,
    /// Schedule lag there.
    pub schedule_lag: Floor,
    /// Connections that the highest rate was had with.
    pub connections: u32,
    /// The most iterations per second, one after the other on each connection. The bare target shared
    /// the machine, so one elsewhere leaves room for more.
    pub highest_rate: f64,
    /// The most iterations per second that left on schedule; `None`: none did, or it was not looked for.
    pub kept_rate: Option<f64>,
}

/// Latencies of a target that takes no time, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Floor {
    /// How many they stand on.
    pub count: u64,
    /// The median.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p99_9: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

impl From<&LatencyFigures> for Floor {
    fn from(figures: &LatencyFigures) -> Self {
        let LatencyFigures { count, p50, p90, p95, p99, p99_9, max, .. } = *figures;
        Self { count, p50, p90, p95, p99, p99_9, max }
    }
}

impl Calibration {
    /// What a plan asks for beyond what this machine can offer, in words; `None` where it does not.
    /// Closed loads ask for no rate.
    pub fn shortfall(&self, shape: &Shape) -> Option<String> {
        let (asked, highest) = (shape.peak_rate(), self.highest_rate);
        (asked > highest).then(|| {
            format!(
                "the plan asks for up to {asked:.0} iterations/s, and this machine offered {highest:.0}/s \
                 of them to a target that takes no time: expect an invalid run"
            )
        })
    }

    /// The noise floor in words.
    pub fn floor(&self) -> String {
        let human = |seconds: Option<f64>| seconds.map_or_else(|| "unknown".to_owned(), duration::human);
        let Floor { p50, p99, .. } = self.service_time;
        format!("noise floor of this machine: p50 {}, p99 {}; not subtracted", human(p50), human(p99))
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::{Edges, Limits};

    use super::*;
    use crate::Model;
    use crate::StageShape;

    fn asks(model: Model, levels: &[f64]) -> Option<String> {
        let stage = |to: &f64| StageShape {
            kind: "ramp".into(),
            start: 0.0,
            end: 1.0,
            from: 0.0,
            to: *to,
            course: Vec::new(),
        };
        let shape = Shape {
            plan: "p".into(),
            plan_hash: String::new(),
            model,
            scenarios: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            stages: levels.iter().map(stage).collect(),
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: Vec::new(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: Limits::default(),
        };
        let floor = Floor { p50: Some(48e-6), ..Floor::default() };
        let calibration = Calibration {
            rate: 500.0,
            service_time: floor,
            schedule_lag: floor,
            connections: 64,
            highest_rate: 20_000.0,
            kept_rate: None,
        };
        assert_eq!(
            calibration.floor(),
            "noise floor of this machine: p50 48.0 µs, p99 unknown; not subtracted"
        );
        calibration.shortfall(&shape)
    }

    #[test]
    fn a_plan_that_asks_for_more_than_there_is_is_told() {
        assert_eq!(asks(Model::Open, &[]), None);
        assert_eq!(asks(Model::Open, &[100.0, 20_000.0, 5.0]), None);
        assert_eq!(asks(Model::Closed, &[100_000.0]), None, "users are no rate");
        let words = asks(Model::Open, &[100.0, 50_000.0, 5.0]).unwrap();
        assert!(words.contains("up to 50000 iterations/s") && words.contains("20000/s"), "{words}");
    }
}
