//! A small run to test with: plan `shop`, scenario `browse` with steps `list` (twice) and `buy`.

use std::sync::Arc;

use plimsoll_measure::{
    CheckKey, CloseReason, DropCause, Edges, Frame, GroupKey, IterationKey, Observed, Opening, Outcome,
    Phase, SECOND, Sample, SeriesKey, Shard, ValueForm, ValueKey, ValueName, ValueUnit, Vitals,
};
use plimsoll_run::{
    CheckShape, Ended, Gauges, GroupShape, Judged, Machine, MeasureShape, Model, ResourceFigure,
    ResourceScrape, ResourceUnit, RunEvent, RunInfo, RunStatus, ScenarioShape, Second, Shape, Started,
    StepShape,
};
use plimsoll_sla::{Expression, Filter, Objective, Severity, Status, Validity, Verdict};

const STARTED_NANOS: i64 = 1_700_000_000_000_000_000;

pub(crate) struct Fixture {
    started: Arc<Started>,
    shard: Shard,
    status: Status,
    scrapes: Vec<ResourceScrape>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::named("run")
    }

    pub(crate) fn named(run: &str) -> Self {
        Self::of(run, "shop", "list")
    }

    pub(crate) fn of(run: &str, plan: &str, step: &str) -> Self {
        let edges = Edges::with_thresholds([333_000_000]);
        let steps = [step, step, "buy"];
        let shape = Shape {
            plan: plan.to_owned(),
            plan_hash: "hash".to_owned(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".to_owned(), weight: 1 }],
            steps: steps
                .map(|step| StepShape {
                    scenario: "browse".to_owned(),
                    scenario_index: Some(0),
                    step: step.to_owned(),
                })
                .to_vec(),
            groups: vec![GroupShape {
                scenario: "browse".to_owned(),
                scenario_index: Some(0),
                group: "checkout".to_owned(),
            }],
            checks: vec![CheckShape {
                scenario: "browse".to_owned(),
                scenario_index: Some(0),
                step: "buy".to_owned(),
                check: "has a receipt".to_owned(),
            }],
            stages: Vec::new(),
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 5.0,
            iterations: None,
            edges: edges.clone(),
            objectives: vec![Objective {
                name: "quick pages".to_owned(),
                text: "p95(response_time) <= 333ms".to_owned(),
                expression: Expression::parse("p95(response_time) <= 333ms").unwrap(),
                over: Some(30),
                filter: Filter::default(),
                abort_after: None,
                severity: Severity::Critical,
                message: None,
            }],
            addresses: Vec::new(),
            measures: measures(),
            limits: plimsoll_measure::Limits::default(),
        };
        let info = RunInfo {
            id: run.to_owned(),
            started_nanos: STARTED_NANOS,
            seed: 1,
            version: Some("1.4.2".to_owned()),
            environment: None,
            tags: std::collections::BTreeMap::new(),
            machine: Machine::default(),
            plimsoll: "0.1.0".to_owned(),
            target: "http://127.0.0.1:1".to_owned(),
        };
        Self {
            started: Arc::new(Started { info, shape, plan_text: String::new(), calibration: None }),
            shard: Shard::new(0, edges)
                .with_value_edges(measures().into_iter().map(|measure| measure.edges).collect()),
            status: Status::default(),
            scrapes: Vec::new(),
        }
    }

    /// One in which every load metric has a value.
    pub(crate) fn busy() -> Self {
        let mut fixture = Self::new();
        for (number, nanos) in
            [0, 900, 40_000, 1_000_000, 333_000_000, 90_000_000_000].into_iter().enumerate()
        {
            fixture.request((number % 3) as u16, (number % 2) as u16, Some(200), nanos);
        }
        fixture.request(0, 0, None, 5_000_000);
        let key = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
        fixture.shard.arrival(key);
        fixture.shard.dropped(key, DropCause::Generator);
        fixture.shard.iteration(key, 7_000_000, false);
        fixture.shard.group(GroupKey { group: 0, phase: Phase::Measured }, 6_000_000, false);
        for passed in [true, true, false] {
            fixture.shard.check(CheckKey { check: 0, phase: Phase::Measured }, passed);
        }
        fixture.connections();
        fixture.values();
        fixture.scraped(Ok(&[("cpu", 0.5), ("demo_utilisation_ratio{resource=\"pool\"}", 0.25)]));
        fixture
    }

    /// One arrival that was offered.
    pub(crate) fn arrival(&mut self) {
        self.shard.arrival(IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) });
    }

    /// One value of each measure that is a second, 512 bytes, ten, or what is looked for.
    pub(crate) fn values(&mut self) {
        let observed = [
            Observed::Ticks(1_000_000_000),
            Observed::Ticks(512 * 512),
            Observed::Ticks(10 * 512_000),
            Observed::Amount(10),
            Observed::Amount(512),
            Observed::Match(true),
        ];
        for (value, observed) in (0..).zip(observed) {
            let key = ValueKey { value, step: 2, phase: Phase::Measured, stage: Some(0) };
            self.shard.value(key, observed);
            self.shard.value(key, Observed::Absent);
        }
    }

    /// What the one source of resources says, or why it does not.
    pub(crate) fn scraped(&mut self, found: Result<&[(&str, f64)], &str>) {
        let figure = |(name, value): &(&str, f64)| ResourceFigure {
            name: (*name).into(),
            unit: ResourceUnit::Cores,
            value: *value,
        };
        let figures = found.map(|found| found.iter().map(figure).collect()).map_err(str::to_owned);
        self.scrapes = vec![ResourceScrape { source: "process".into(), at: SECOND, figures, left_out: 0 }];
    }

    /// Three connections that a run tried to open, of which one is closed after four requests.
    pub(crate) fn connections(&mut self) {
        [Opening::Plain, Opening::TlsResumed, Opening::Failed]
            .into_iter()
            .for_each(|opening| self.shard.connection_opened(opening));
        self.shard.connection_closed(CloseReason::IdleClosed, 4);
        self.shard.connection_waited(3_000_000);
    }

    /// One request that ended: with a status `ok`, without one `reset`.
    pub(crate) fn request(&mut self, step: u16, stage: u16, status: Option<u16>, nanos: u64) {
        let outcome = if status.is_some() { Outcome::Ok } else { Outcome::Reset };
        self.shard.record(&Sample {
            key: SeriesKey { step, phase: Phase::Measured, stage: Some(stage), outcome },
            due: 0,
            ready: 0,
            sent: Some(nanos / 10),
            done: nanos,
            connect: Some(20_000),
            tls: Some(30_000),
            first_byte: Some(nanos / 2),
            status,
            received_bytes: 100,
            sent_bytes: 10,
            address: 0,
        });
    }

    pub(crate) fn verdict(&mut self, verdict: Option<Verdict>) {
        (self.status.verdict, self.status.observed) = (verdict, verdict.map(|_| 0.1));
    }

    pub(crate) fn events(&mut self, good: u64, total: u64) {
        (self.status.good_events, self.status.total_events) = (Some(good), Some(total));
    }

    pub(crate) fn started(&self) -> Arc<Started> {
        Arc::clone(&self.started)
    }

    pub(crate) fn start_event(&self) -> RunEvent {
        RunEvent::Started(self.started())
    }

    pub(crate) fn second(&mut self) -> RunEvent {
        let mut frame = Frame::new(0);
        self.shard.merge_into(&mut frame);
        let gauges = Gauges { offered_rate: 500.0, virtual_users: 7, connections: 3 };
        let vitals = Vitals {
            cpu_ratio: Some(0.25),
            worker_cpu_ratio: Some(0.5),
            worker_wait_ratio: Some(0.125),
            steal_ratio: Some(0.0),
            throttled_ratio: Some(0.0),
            stall_seconds: Some(0.000_25),
            descriptors: Some(40),
            descriptor_limit: Some(1024),
            tcp_sockets: Some(17),
            time_wait_sockets: Some(5),
            local_ports: Some(28_232),
            retransmits: Some(2),
            round_trip_seconds: Some(0.0005),
            receive_queue_bytes: Some(0),
            link_ratio: Some(0.75),
            rss_bytes: Some(33_554_432),
            memory_available_bytes: Some(4_294_967_296),
            memory_pressure_ratio: Some(0.0),
        };
        RunEvent::Second(Arc::new(Second {
            frame,
            gauges,
            vitals,
            resources: self.scrapes.clone(),
            wall_nanos: self.wall_nanos(1),
        }))
    }

    pub(crate) fn judged(&self) -> RunEvent {
        let statuses = vec![self.status.clone()];
        RunEvent::Judged(Arc::new(Judged { second: 0, statuses, validity: Validity::Suspect }))
    }

    pub(crate) fn end_event(&self) -> RunEvent {
        RunEvent::Ended(Arc::new(Ended {
            at: SECOND,
            status: RunStatus::Completed,
            reason: None,
            exports: Vec::new(),
            samples: None,
        }))
    }

    pub(crate) fn wall_nanos(&self, seconds: i64) -> i64 {
        STARTED_NANOS + seconds * 1_000_000_000
    }
}

fn measures() -> Vec<MeasureShape> {
    let measure = |(name, form, unit): (&str, ValueForm, ValueUnit)| MeasureShape {
        name: ValueName::new(name).unwrap(),
        form,
        unit,
        edges: unit.edges([]),
    };
    let measures = [
        ("db_time", ValueForm::Histogram, ValueUnit::Seconds),
        ("size", ValueForm::Histogram, ValueUnit::Bytes),
        ("queue", ValueForm::Histogram, ValueUnit::Number),
        ("rows", ValueForm::Counter, ValueUnit::Number),
        ("read", ValueForm::Counter, ValueUnit::Bytes),
        ("cache_hit", ValueForm::Ratio, ValueUnit::Number),
    ];
    measures.into_iter().map(measure).collect()
}
