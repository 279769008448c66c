//! Plans built in code, and what came of running them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_driver::{Collector, DriverConfig, Feeds, Http1, Message, Origin, Transport};
use plimsoll_measure::{
    ConnectionFigures, Distribution, Edges, Frame, Limits, Outcome, Phase, SeriesKey, Timing,
};
use plimsoll_run::{
    Action, AddressChoice, Expect, ExportSettings, GroupShape, HttpSettings, HttpVersion, Load, LoadModel,
    Network, NotifySettings, OnFailure, PlannedTarget, Request, RunPlan, Scenario, Shape, StepShape,
    Template, TlsSettings, UserLimits,
};
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Spacing, Stage, StageKind};

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn get(step: u16, path: &str) -> Request {
    Request {
        step,
        method: "GET".into(),
        url: Template::text(path),
        headers: Vec::new(),
        query: None,
        without_auth: false,
        body: None,
        gzip: false,
        timeout: None,
        expect: Expect::default(),
        captures: Vec::new(),
        measures: Vec::new(),
        checks: Vec::new(),
        on_failure: OnFailure::EndIteration,
        retry: None,
        until: None,
    }
}

pub(crate) fn open(rate: f64, length: f64) -> LoadModel {
    LoadModel::Open {
        stages: vec![Stage { kind: StageKind::Hold(Rate::new(rate).unwrap()), length: seconds(length) }],
        spacing: Spacing::Uniform,
        max_in_flight: 100_000,
    }
}

pub(crate) fn closed(users: u32, length: f64) -> LoadModel {
    LoadModel::Closed {
        stages: vec![Stage { kind: StageKind::Hold(Users(users)), length: seconds(length) }],
        limits: UserLimits::default(),
    }
}

pub(crate) fn plan(target: &str, model: LoadModel, actions: Vec<Action>) -> RunPlan {
    let (mut steps, mut groups, mut captures) = (Vec::new(), Vec::new(), 0);
    let (scenario, scenario_index) = ("main".to_owned(), Some(0));
    Action::walk(&actions, &mut |action| match action {
        Action::Request(request) => {
            captures += request.captures.len() as u16;
            let (scenario, step) = (scenario.clone(), format!("step {}", steps.len()));
            steps.push(StepShape { scenario, scenario_index, step });
        }
        Action::Set(values) => captures += values.len() as u16,
        Action::Group(_) | Action::Parallel(_) => {
            let (scenario, group) = (scenario.clone(), format!("group {}", groups.len()));
            groups.push(GroupShape { scenario, scenario_index, group });
        }
        _ => {}
    });
    RunPlan {
        name: "test".into(),
        hash: String::new(),
        text: String::new(),
        target: target.into(),
        targets: vec![PlannedTarget { url: target.into(), weight: 1 }],
        addresses: AddressChoice::First,
        version: None,
        environment: None,
        tags: BTreeMap::new(),
        seed: None,
        load: Load { model, warmup: Duration::ZERO, grace: seconds(5.0) },
        http: HttpSettings {
            version: HttpVersion::Http1,
            connections: None,
            streams: 100,
            connect_rate: None,
            source: Vec::new(),
            timeout: seconds(5.0),
            connect_timeout: seconds(2.0),
            redirects: 10,
            max_body: 16_000_000,
            headers: Vec::new(),
            network: Network::default(),
        },
        tls: TlsSettings::default(),
        feeds: Vec::new(),
        functions: Vec::new(),
        setup: Vec::new(),
        setup_captures: 0,
        teardown: Vec::new(),
        scenarios: vec![Scenario {
            name: "main".into(),
            weight: 1,
            actions,
            captures,
            ..Scenario::default()
        }],
        steps,
        groups,
        objectives: Vec::new(),
        overload_objectives: Vec::new(),
        resources: Vec::new(),
        profiles: None,
        export: ExportSettings::default(),
        notify: NotifySettings::default(),
        trace: None,
        samples: None,
        resume: false,
        measures: Vec::new(),
        checks: Vec::new(),
        limits: Limits::default(),
    }
}

pub(crate) fn config(plan: RunPlan, transport: Transport, http1: Http1) -> DriverConfig {
    DriverConfig {
        shape: Arc::new(Shape::of(&plan)),
        seed: 1,
        run_id: "run".into(),
        workers: 2,
        transport,
        setup: Arc::new([]),
        feeds: Feeds::new(&plan.feeds, 1),
        http1,
        origin: Origin::default(),
        observe: false,
        plan: Arc::new(plan),
    }
}

/// What a driver tells until its last worker has finished.
pub(crate) async fn until_finished(driver: &mut plimsoll_driver::Driver) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut left = driver.workers();
    while left > 0 {
        let message = driver.messages.recv().await.unwrap();
        left -= usize::from(matches!(message, Message::Finished { .. }));
        messages.push(message);
    }
    messages
}

/// What all workers measured, second by second.
pub(crate) struct Measured {
    pub(crate) frames: Vec<Frame>,
    pub(crate) offering_ended: Vec<u64>,
    pub(crate) finished: Vec<u64>,
}

impl Measured {
    pub(crate) fn of(messages: impl IntoIterator<Item = Message>) -> Self {
        let messages: Vec<_> = messages.into_iter().collect();
        let finished: Vec<_> = messages
            .iter()
            .filter_map(|m| if let Message::Finished { at, .. } = m { Some(*at) } else { None })
            .collect();
        let mut collector = Collector::new(finished.len());
        let mut offering_ended = Vec::new();
        for message in messages {
            match message {
                Message::Shard { worker, shard } => collector.add(worker, &shard),
                Message::Finished { worker, .. } => collector.finish(worker),
                Message::OfferingEnded { at } => offering_ended.push(at),
            }
        }
        Self { frames: std::iter::from_fn(|| collector.take()).collect(), offering_ended, finished }
    }

    pub(crate) async fn run(config: &DriverConfig) -> Self {
        let mut driver = plimsoll_driver::Driver::start(config).unwrap();
        let messages = until_finished(&mut driver).await;
        driver.join();
        Self::of(messages)
    }

    pub(crate) fn requests(&self, which: impl Fn(&SeriesKey) -> bool) -> u64 {
        self.frames.iter().map(|frame| frame.requests(&which)).sum()
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.requests(|key| key.outcome == outcome)
    }

    /// Outcomes that occurred, with their counts.
    pub(crate) fn outcomes(&self) -> Vec<(Outcome, u64)> {
        Outcome::ALL.into_iter().map(|o| (o, self.outcome(o))).filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn timing(&self, timing: Timing) -> Distribution {
        let mut all = Distribution::empty(Edges::default());
        for frame in &self.frames {
            frame.series.values().filter_map(|series| series.timings.get(&timing)).for_each(|d| all.merge(d));
        }
        all
    }

    pub(crate) fn arrivals(&self) -> u64 {
        self.frames.iter().flat_map(|frame| frame.iterations.values()).map(|series| series.arrivals).sum()
    }

    /// What became of connections.
    pub(crate) fn connections(&self) -> ConnectionFigures {
        let mut all = ConnectionFigures::default();
        self.frames.iter().for_each(|frame| all.merge(&frame.connections));
        all
    }

    pub(crate) fn dropped_by_generator(&self) -> u64 {
        self.frames
            .iter()
            .flat_map(|frame| frame.iterations.values())
            .map(|series| series.dropped_generator)
            .sum()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.frames
            .iter()
            .flat_map(|frame| frame.iterations.values())
            .map(|series| series.dropped_in_flight_limit)
            .sum()
    }

    pub(crate) fn ended(&self) -> u64 {
        self.frames.iter().flat_map(|frame| frame.iterations.values()).map(|series| series.ended).sum()
    }

    pub(crate) fn phase(&self, phase: Phase) -> u64 {
        self.requests(|key| key.phase == phase)
    }

    pub(crate) fn message(&self, outcome: Outcome) -> Option<String> {
        self.frames
            .iter()
            .flat_map(|frame| &frame.errors)
            .find(|error| error.outcome == outcome)
            .map(|error| error.message.clone())
    }
}
