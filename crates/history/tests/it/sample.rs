//! Runs to record, made from numbers alone so that another process can make the same ones.

use std::sync::Arc;

use plimsoll_measure::{
    Edges, Frame, IterationKey, Outcome, PendingKey, Phase, SECOND, Sample, SeriesKey, Shard, Vitals,
};
use plimsoll_run::{
    Ended, Gauges, Machine, Model, Note, RunEvent, RunInfo, RunStatus, ScenarioShape, Second, Shape,
    StageShape, Started, StepShape,
};

/// A run of `steps` steps.
pub(crate) fn started(id: &str, steps: u16) -> Started {
    let step = |number: u16| StepShape {
        scenario: "browse".into(),
        scenario_index: Some(0),
        step: format!("step {number}"),
    };
    Started {
        info: RunInfo {
            id: id.into(),
            started_nanos: 1_700_000_000_000_000_000,
            seed: u64::MAX,
            version: Some("1.4.2".into()),
            environment: Some("staging".into()),
            tags: [("team".to_owned(), "shop \"one\"".to_owned())].into(),
            machine: Machine { host: "h".into(), fingerprint: "f".into(), ..Machine::default() },
            plimsoll: "0.1.0".into(),
            target: "http://127.0.0.1:8080".into(),
        },
        shape: Shape {
            plan: "storefront".into(),
            plan_hash: "hash".into(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".into(), weight: 1 }],
            steps: (0..steps).map(step).collect(),
            groups: Vec::new(),
            checks: Vec::new(),
            stages: vec![StageShape {
                kind: "hold".into(),
                start: 0.0,
                end: 3600.0,
                from: 9.0,
                to: 9.0,
                course: Vec::new(),
            }],
            own_loads: Vec::new(),
            warmup: 1.0,
            grace: 5.0,
            iterations: None,
            edges: Edges::with_thresholds([123_000_000]),
            objectives: vec![],
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: plimsoll_measure::Limits::default(),
        },
        plan_text: "name: storefront\n".into(),
        calibration: None,
    }
}

/// How long one request took, and when its first byte came, in nanoseconds: a spread that differs per second, step and
/// request, without being random.
fn evenly(mixed: u64, _step: u16) -> (u64, u64) {
    let took = 1_000_000 + (mixed >> 40);
    (took, took / 2)
}

/// Second `number` of a run of `steps` steps, with `requests` requests per step.
pub(crate) fn second(number: u64, steps: u16, requests: u64, started: &Started) -> Second {
    second_of(number, steps, requests, started, evenly)
}

/// The same, with times of its own: of a number that differs for each request, and the step.
pub(crate) fn second_of(
    number: u64,
    steps: u16,
    requests: u64,
    started: &Started,
    times: impl Fn(u64, u16) -> (u64, u64),
) -> Second {
    let mut shard = Shard::new(number, started.shape.edges.clone());
    let phase = if number == 0 { Phase::Warmup } else { Phase::Measured };
    for step in 0..steps {
        for request in 0..requests {
            let mixed =
                (number * 31 + u64::from(step) * 17 + request * 7 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let (took, first_byte) = times(mixed, step);
            let outcome = if mixed.is_multiple_of(97) { Outcome::Timeout } else { Outcome::Ok };
            let due = number * SECOND + request;
            shard.record(&Sample {
                key: SeriesKey { step, phase, stage: Some(0), outcome },
                due,
                ready: due + 10 + mixed % 100,
                sent: Some(due + 200),
                done: due + 200 + took,
                connect: None,
                tls: None,
                first_byte: Some(first_byte),
                status: Some(200),
                received_bytes: 700,
                sent_bytes: 90,
                address: 0,
            });
            if outcome == Outcome::Timeout {
                shard.error(outcome, step, due, "no answer within 5 s");
            }
        }
        shard.pending(PendingKey { step, phase, stage: Some(0) }, 5_000_000, Some(4_000_000));
    }
    let key = IterationKey { scenario: 0, phase, stage: Some(0) };
    for iteration in 0..requests {
        shard.arrival(key);
        shard.iteration(key, 40_000_000 + iteration * 1000, false);
    }
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    Second {
        frame,
        gauges: Gauges { offered_rate: 9.5, virtual_users: 3, connections: 2 },
        vitals: Vitals::default(),
        resources: Vec::new(),
        wall_nanos: started.info.started_nanos + ((number + 1) * SECOND) as i64,
    }
}

/// The events of a whole run of `seconds` seconds.
pub(crate) fn events(started: &Started, seconds: u64, steps: u16, requests: u64) -> Vec<RunEvent> {
    let mut events =
        vec![RunEvent::Started(Arc::new(started.clone())), RunEvent::Phase { phase: Phase::Warmup, at: 0 }];
    for number in 0..seconds {
        if number == 1 {
            events.push(RunEvent::Phase { phase: Phase::Measured, at: SECOND });
            events.push(RunEvent::Note(Note { at: SECOND, text: "the warm-up is over".into() }));
        }
        events.push(RunEvent::Second(Arc::new(second(number, steps, requests, started))));
    }
    events.push(RunEvent::Phase { phase: Phase::Grace, at: seconds * SECOND });
    events.push(RunEvent::Ended(Arc::new(Ended {
        at: seconds * SECOND + 5,
        status: RunStatus::Completed,
        reason: None,
        exports: vec![],
        samples: None,
    })));
    events
}
