//! A run of a minute with an incident in it, as its events tell it.

use std::sync::Arc;

use plimsoll_measure::{
    DropCause, Edges, Frame, IterationKey, Outcome, PendingKey, SECOND, Sample, SeriesKey, Shard, Vitals,
};
use plimsoll_run::{
    Ended, Gauges, Model, Note, RunEvent, RunInfo, RunStatus, ScenarioShape, Second, Shape, StageShape,
    Started, State, StepShape,
};
use plimsoll_sla::{Expression, Filter, Objective, Severity};

const MS: u64 = 1_000_000;
const SECONDS: u64 = 60;
/// Seconds in which the target is slow and fails.
const INCIDENT: std::ops::Range<u64> = 30..42;

pub(super) fn started() -> Started {
    let stage = |kind: &str, start, end, from, to| StageShape {
        kind: kind.into(),
        start,
        end,
        from,
        to,
        course: Vec::new(),
    };
    Started {
        info: RunInfo {
            id: "0198c0de-0000-7000-8000-000000000001".into(),
            started_nanos: 1_760_000_000_000_000_000,
            seed: 42,
            version: None,
            environment: None,
            tags: Default::default(),
            machine: Default::default(),
            plimsoll: "0.1.0".into(),
            target: "http://127.0.0.1:8080".into(),
        },
        shape: Shape {
            plan: "storefront".into(),
            plan_hash: "9b1d6a".into(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".into(), weight: 1 }],
            steps: vec![StepShape {
                scenario: "browse".into(),
                scenario_index: Some(0),
                step: "list".into(),
            }],
            groups: Vec::new(),
            checks: Vec::new(),
            stages: vec![
                stage("ramp", 0.0, 10.0, 0.0, 200.0),
                stage("hold", 10.0, 50.0, 200.0, 200.0),
                stage("spike", 50.0, 60.0, 400.0, 400.0),
            ],
            own_loads: Vec::new(),
            warmup: 5.0,
            grace: 5.0,
            iterations: None,
            edges: Edges::with_thresholds([250 * MS]),
            objectives: vec![
                objective("quick pages", "p95(response_time) <= 250ms", Some(10), Severity::Critical),
                objective("few errors", "error_ratio <= 5%", None, Severity::Critical),
                objective("keeps up", "throughput >= 450/s", Some(5), Severity::Warning),
                objective("tail", "p99.99(service_time) <= 2s", None, Severity::Critical),
            ],
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: plimsoll_measure::Limits::default(),
        },
        plan_text: String::new(),
        calibration: None,
    }
}

/// The same plan for users who do so many iterations.
pub(super) fn closed(iterations: u64) -> Started {
    let mut started = started();
    let stage =
        StageShape { kind: "hold".into(), start: 0.0, end: 3600.0, from: 64.0, to: 64.0, course: Vec::new() };
    (started.shape.model, started.shape.iterations) = (Model::Closed, Some(iterations));
    started.shape.stages = vec![stage];
    started
}

pub(super) fn objective(name: &str, text: &str, over: Option<u32>, severity: Severity) -> Objective {
    Objective {
        name: name.into(),
        text: text.into(),
        expression: Expression::parse(text).unwrap(),
        over,
        filter: Filter::default(),
        abort_after: None,
        severity,
        message: None,
    }
}

/// Every event of a run of this shape, in order.
pub(super) fn events(started: Started) -> Vec<RunEvent> {
    let started = Arc::new(started);
    let mut state = State::new(Arc::clone(&started));
    let shards = shards(&started.shape);
    let mut events = vec![RunEvent::Started(Arc::clone(&started))];
    let mut phase = None;
    for (second, shard) in (0..).zip(&shards) {
        let (now, _) = started.shape.place(second * SECOND);
        if phase.replace(now) != Some(now) {
            events.push(RunEvent::Phase { phase: now, at: second * SECOND });
        }
        if second == INCIDENT.start {
            let text = "influxdb answers 503, 1,204 points wait".to_owned();
            events.push(RunEvent::Note(Note { at: second * SECOND, text }));
        }
        let event = RunEvent::Second(Arc::new(closed_second(second, shard, &started.shape)));
        state.apply(&event);
        events.extend([event, RunEvent::Judged(Arc::new(state.judged()))]);
    }
    let ended = Ended {
        at: SECONDS * SECOND,
        status: RunStatus::Completed,
        reason: None,
        exports: Vec::new(),
        samples: None,
    };
    events.push(RunEvent::Ended(Arc::new(ended)));
    events
}

fn shards(shape: &Shape) -> Vec<Shard> {
    let mut dice = Dice(42);
    let mut shards: Vec<_> = (0..SECONDS + 3).map(|second| Shard::new(second, shape.edges.clone())).collect();
    for second in 0..SECONDS {
        let arrivals = level(shape, second);
        for index in 0..arrivals {
            arrival(&mut shards, shape, second * SECOND + index * SECOND / arrivals, &mut dice);
        }
    }
    for second in INCIDENT {
        let (phase, stage) = shape.place(second * SECOND);
        let key = PendingKey { step: 0, phase, stage };
        (0..30).for_each(|_| shards[second as usize].pending(key, 900 * MS, Some(800 * MS)));
    }
    shards.truncate(SECONDS as usize);
    shards
}

fn level(shape: &Shape, second: u64) -> u64 {
    shape.level_at(second as f64 + 0.5).unwrap_or(0.0).round() as u64
}

fn closed_second(number: u64, shard: &Shard, shape: &Shape) -> Second {
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    let gauges = Gauges { offered_rate: level(shape, number) as f64, virtual_users: 4, connections: 16 };
    let vitals = Vitals { cpu_ratio: Some(0.31), ..Vitals::default() };
    let wall_nanos = 1_760_000_000_000_000_000 + (number as i64 + 1) * 1_000_000_000;
    Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos }
}

fn arrival(shards: &mut [Shard], shape: &Shape, due: u64, dice: &mut Dice) {
    let trouble = INCIDENT.contains(&(due / SECOND));
    let (phase, stage) = shape.place(due);
    let iteration = IterationKey { scenario: 0, phase, stage };
    let due_in = &mut shards[(due / SECOND) as usize];
    due_in.arrival(iteration);
    if trouble && dice.below(100) < 8 {
        due_in.dropped(iteration, DropCause::InFlightLimit);
        return;
    }
    let usual = 4 * MS + dice.below(12 * MS) * dice.below(100) / 60;
    let (outcome, status, time) = match (trouble, dice.below(100)) {
        (true, 0..10) => (Outcome::Timeout, None, 2 * SECOND),
        (true, 10..18) => (Outcome::Status, Some(503), usual),
        (true, _) => (Outcome::Ok, Some(200), usual + dice.below(1600 * MS)),
        (false, _) => (Outcome::Ok, Some(200), usual),
    };
    let done_in = &mut shards[((due + time) / SECOND) as usize];
    done_in.record(&Sample {
        key: SeriesKey { step: 0, phase, stage, outcome },
        due,
        ready: due + 80_000,
        sent: Some(due + 100_000),
        done: due + time,
        connect: None,
        tls: None,
        first_byte: None,
        status,
        received_bytes: 2_400,
        sent_bytes: 180,
        address: 0,
    });
    done_in.iteration(iteration, time, outcome != Outcome::Ok);
    let message = match outcome {
        Outcome::Timeout => "no whole answer within 2s",
        Outcome::Status => "503 Service Unavailable: <h1>\u{1b}[2Jtry later</h1>\n",
        _ => return,
    };
    done_in.error(outcome, 0, due + time, message);
}

/// A linear congruential generator, Knuth's constants.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
