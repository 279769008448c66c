//! One run that every test of this crate reports: a minute with a warm-up, a spike and an incident.
//!
//! It is folded from events like any run. Its randomness is a few lines of integer arithmetic, so
//! that golden files are the same on every machine and with every version of every crate. Verdicts
//! are given, because this crate writes them and does not make them.

use std::sync::Arc;

use plimsoll_measure::{
    CheckKey, CloseReason, DataRow, DropCause, Edges, Exchange, Frame, GroupKey, IterationKey, KeptRequest,
    LatencyFigures, Observed, Opening, Outcome, PendingKey, Phase, SECOND, Sample, SeriesKey, Shard,
    ValueForm, ValueKey, ValueName, ValueUnit, Vitals,
};
use plimsoll_profile::{Kind, Profile, Stack};
use plimsoll_run::{
    AddressShape, Calibration, CheckShape, Ended, ExportCount, Floor, Gauges, GroupShape, Machine,
    MeasureShape, Model, Note, ObjectiveSummary, ProfileKind, ProfileMoment, ProfileTaken, ResourceFigure,
    ResourceScrape, ResourceUnit, Resumed, RunEvent, RunInfo, RunStatus, SamplesCount, ScenarioShape, Second,
    Shape, StageShape, Started, State, Steered, SteeredSummary, StepShape,
};
use plimsoll_sla::{Expression, Filter, Judgement, Objective, Severity, Validity, ValidityReport, Verdict};

use crate::Run;

const MS: u64 = 1_000_000;
/// The seconds in which the target is in trouble.
const INCIDENT: std::ops::Range<u64> = 30..36;
const SECONDS: u64 = 62;

/// The fixed run.
pub(crate) fn run() -> Run {
    let started = Arc::new(started());
    let mut state = State::new(Arc::clone(&started));
    state.apply(&RunEvent::Started(Arc::clone(&started)));
    for (second, shard) in (0..).zip(shards(&started.shape)) {
        if second == 60 {
            state.apply(&RunEvent::Phase { phase: Phase::Grace, at: 60 * SECOND });
        }
        state.apply(&RunEvent::Second(Arc::new(closed(second, &shard, &started.shape))));
    }
    state.apply(&RunEvent::Note(Note {
        at: 30 * SECOND,
        text: "the target closed 12 idle connections".into(),
    }));
    state.apply(&RunEvent::Profile(Arc::new(profile())));
    state.apply(&RunEvent::Ended(Arc::new(Ended {
        at: 61_250 * MS,
        status: RunStatus::Completed,
        reason: None,
        exports: [
            ("influxdb", 620, 610, 0, 10),
            ("remote_write", 1240, 1040, 200, 0),
            ("file", 620, 620, 0, 0),
        ]
        .map(|(sink, produced, acknowledged, backlog, lost)| ExportCount {
            sink: sink.into(),
            produced,
            acknowledged,
            backlog,
            lost,
        })
        .to_vec(),
        samples: Some(SamplesCount { written: 12_345, skipped: 6 }),
    })));
    let mut run = Run::of(&state);
    run.summary.objectives = objectives();
    let mut promised = Started::clone(&started);
    promised.shape.objectives = vec![promise("quick pages", "p95(response_time) <= 250ms")];
    run.started = Arc::new(promised);
    run.summary.validity = ValidityReport {
        verdict: Validity::Suspect,
        reasons: vec![
            "the generator, not the target, added up to 2.10 ms at p99 from 08:53:46 UTC on: CPU 98%; p99 schedule lag 1.20 ms, tolerated 1.00 ms".into(),
        ],
        remarks: vec![
            "TCP had to send 40 segments again, 31 of them at 08:53:50 UTC: the network or the target's machine lost or delayed them, not the generator".into(),
        ],
        schedule_lag: LatencyFigures {
            count: 11_000,
            p50: Some(0.000_08),
            p99: Some(0.0012),
            p99_9: Some(0.0019),
            max: Some(0.002_1),
            ..LatencyFigures::default()
        },
        generator_drops: 0,
        generator_cpu_ratio: Some(0.31),
    };
    run
}

/// The same with nothing to complain about.
pub(crate) fn calm() -> Run {
    let mut run = run();
    let met = |objective: &mut ObjectiveSummary| objective.judgement.verdict = Verdict::Met;
    run.summary.objectives.iter_mut().for_each(met);
    run.summary.validity.verdict = Validity::Valid;
    run.summary.validity.reasons.clear();
    run.summary.info.version = Some("1.5.0".into());
    run
}

/// Where the target spent its time when it was in trouble.
pub(crate) fn profile() -> ProfileTaken {
    let stack = |frames: &[u32], ms: i64| Stack { frames: frames.to_vec(), values: vec![ms * 1_000_000] };
    let names =
        ["main.main", "shop.(*Cart).Total", "shop.hash", "runtime.mallocgc", "shop.<lambda> & \"co\""];
    let profile = Profile {
        kinds: vec![Kind { name: "cpu".into(), unit: "nanoseconds".into() }],
        usual: 0,
        duration: Some(10.0),
        names: names.map(Into::into).to_vec(),
        stacks: vec![
            stack(&[0, 1, 2], 6_200),
            stack(&[0, 1, 3], 1_300),
            stack(&[0, 4], 400),
            stack(&[0], 100),
        ],
    };
    ProfileTaken {
        at: 31 * SECOND,
        kind: ProfileKind::Cpu,
        moment: ProfileMoment::Breach,
        objective: Some("fast".into()),
        file: "profiles/checkout-01-cpu-breach.pb.gz".into(),
        bytes: 48_213,
        digest: profile.digest(0).unwrap(),
    }
}

/// The same, whose load was made other than planned in between.
pub(crate) fn steered() -> Run {
    let started = Arc::new(started());
    let mut state = State::new(Arc::clone(&started));
    let change = |effective: u64, change: &str, by: &str| {
        let change = change.parse().unwrap();
        let at = effective - SECOND / 4;
        RunEvent::Steered(Arc::new(Steered { at, effective, loads: vec![0], change, by: by.into() }))
    };
    let changes = [
        (12, change(12 * SECOND, "rate 800/s", "anna")),
        (20, change(20 * SECOND + SECOND / 2, "pause", "bob")),
        (22, change(22 * SECOND, "resume", "bob")),
    ];
    for (second, shard) in (0..60).zip(shards(&started.shape)) {
        changes.iter().filter(|(at, _)| *at == second).for_each(|(_, event)| state.apply(event));
        state.apply(&RunEvent::Second(Arc::new(closed(second, &shard, &started.shape))));
    }
    Run::of(&state)
}

/// The same, whose process died twice.
pub(crate) fn resumed() -> Run {
    let started = Arc::new(started());
    let mut state = State::new(Arc::clone(&started));
    let again = |second: u64, away: u64, cut| {
        let (at, away) = (second * SECOND, away * SECOND);
        let wall_nanos = started.info.started_nanos + (at + away) as i64;
        RunEvent::Resumed(Resumed { at, wall_nanos, away, cut })
    };
    let gaps = [(20, again(20, 90, 3)), (40, again(40, 600, 0))];
    for (second, shard) in (0..60).zip(shards(&started.shape)) {
        gaps.iter().filter(|(at, _)| *at == second).for_each(|(_, event)| state.apply(event));
        state.apply(&RunEvent::Second(Arc::new(closed(second, &shard, &started.shape))));
    }
    Run::of(&state)
}

/// The same with `text` wherever text from outside can stand.
pub(crate) fn hostile(text: &str) -> Run {
    let mut run = run();
    let mut started = Started::clone(&run.started);
    let summary = &mut run.summary;
    let everywhere = |place: &mut String| text.clone_into(place);
    let info = &mut summary.info;
    for place in [&mut info.id, &mut info.target, &mut info.plimsoll, &mut info.machine.host] {
        everywhere(place);
    }
    info.tags = [(text.to_owned(), text.to_owned())].into();
    (info.version, info.environment) = (Some(text.to_owned()), Some(text.to_owned()));
    (summary.status, summary.reason) = (Some(RunStatus::Failed), Some(text.to_owned()));
    everywhere(&mut summary.plan);
    everywhere(&mut summary.plan_hash);
    everywhere(&mut started.plan_text);
    summary.validity.reasons = vec![text.to_owned()];
    summary
        .errors
        .iter_mut()
        .flat_map(|kind| &mut kind.samples)
        .for_each(|sample| everywhere(&mut sample.message));
    summary.scenarios.iter_mut().for_each(|scenario| everywhere(&mut scenario.name));
    summary.addresses.iter_mut().for_each(|address| everywhere(&mut address.address));
    started.shape.addresses.iter_mut().for_each(|address| everywhere(&mut address.name));
    for step in &mut summary.steps {
        everywhere(&mut step.step);
        everywhere(&mut step.scenario);
        let kept = step.slowest.iter_mut().chain(&mut step.first_failed).chain(&mut step.failed_sample);
        for request in kept {
            let pair = (text.to_owned(), text.to_owned());
            let (method, url, body) = (text.to_owned(), text.to_owned(), Some(text.to_owned()));
            request.exchange = Some(Exchange { method, url, headers: vec![pair], body }.bounded());
            request.message = Some(text.to_owned());
            request.row = Some(DataRow { feed: text.to_owned(), row: 0 });
        }
    }
    started.shape.steps.iter_mut().for_each(|step| everywhere(&mut step.step));
    summary.stages.iter_mut().for_each(|stage| everywhere(&mut stage.shape.kind));
    summary.notes.iter_mut().for_each(|note| everywhere(&mut note.text));
    let (by, words, scenario) = (text.to_owned(), text.to_owned(), Some(text.to_owned()));
    let change = plimsoll_run::Change::Pause;
    summary.steered = vec![SteeredSummary { at: 1.0, effective: 2.0, scenario, change, by, words }];
    summary.exports.iter_mut().for_each(|export| everywhere(&mut export.sink));
    for figure in &mut summary.resources {
        (figure.source, figure.name) = (text.into(), text.into());
    }
    for source in &mut summary.resource_sources {
        (source.source, source.reason) = (text.into(), Some(text.to_owned()));
    }
    for taken in &mut summary.profiles {
        let taken = Arc::make_mut(taken);
        taken.objective = Some(text.to_owned());
        everywhere(&mut taken.file);
        let digest = &mut taken.digest;
        (digest.kind.name, digest.kind.unit, digest.flame.unit) = (text.into(), text.into(), text.into());
        digest.top.iter_mut().for_each(|row| row.name = text.into());
        digest.flame.calls.iter_mut().for_each(|call| call.name = text.into());
    }
    for objective in &mut summary.objectives {
        everywhere(&mut objective.name);
        everywhere(&mut objective.text);
        everywhere(&mut objective.judgement.why);
    }
    started.shape.objectives.iter_mut().for_each(|objective| everywhere(&mut objective.text));
    run.started = Arc::new(started);
    run
}

/// A run of which nothing is known yet.
pub(crate) fn nothing() -> Run {
    Run::of(&State::new(Arc::new(started())))
}

fn promise(name: &str, text: &str) -> Objective {
    Objective {
        name: name.into(),
        text: text.into(),
        expression: Expression::parse(text).unwrap(),
        over: Some(30),
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

fn objectives() -> Vec<ObjectiveSummary> {
    let objective =
        |name: &str, text: &str, severity, verdict, observed, target, why: &str| ObjectiveSummary {
            name: name.into(),
            text: text.into(),
            figure: Expression::parse_beside(text, &[]).unwrap().measure,
            severity,
            judgement: Judgement { verdict, observed, target, why: why.into() },
        };
    vec![
        objective(
            "quick pages",
            "p95(response_time) <= 250ms",
            Severity::Critical,
            Verdict::Missed,
            Some(1.62),
            Some(0.25),
            "the worst of 25 windows of 30s had 1.62 s, 18 of them missed",
        ),
        objective(
            "few errors",
            "error_ratio <= 5%",
            Severity::Critical,
            Verdict::Met,
            Some(0.021),
            Some(0.05),
            "2.1% over the whole run",
        ),
        objective(
            "buyers <served>",
            "p99(service_time) <= 500ms",
            Severity::Critical,
            Verdict::Inconclusive,
            None,
            Some(0.5),
            "dropped arrivals could decide either way",
        ),
        objective(
            "keeps up",
            "throughput >= 450/s",
            Severity::Warning,
            Verdict::Missed,
            Some(183.0),
            Some(450.0),
            "183/s over the whole run",
        ),
        objective(
            "small",
            "max(shop.memory) <= 100MB",
            Severity::Warning,
            Verdict::Missed,
            Some(1.2e8),
            Some(1e8),
            "max(shop.memory) was 120 MB where at most 100 MB was promised",
        ),
        objective(
            "no leak",
            "leak(shop.memory) = none",
            Severity::Warning,
            Verdict::Inconclusive,
            Some(250.0),
            None,
            "it may leak: it grew in a step; +900 kB an hour (-100 kB an hour to +1.90 MB an hour at 95%)",
        ),
    ]
}

fn started() -> Started {
    let step = |scenario: &str, index, step: &str| StepShape {
        scenario: scenario.into(),
        scenario_index: index,
        step: step.into(),
    };
    let check = |scenario: &str, index, step: &str, check: &str| CheckShape {
        scenario: scenario.into(),
        scenario_index: Some(index),
        step: step.into(),
        check: check.into(),
    };
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
            version: Some("1.4.2".into()),
            environment: Some("staging".into()),
            tags: [("team", "shop & search"), ("environment", "staging"), ("version", "1.4.2")]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            machine: Machine {
                host: "bench-1".into(),
                cpu: "Example CPU 3000".into(),
                cores: 4,
                memory_bytes: 16_000_000_000,
                system: "Linux 6.12".into(),
                fingerprint: "4f2a".into(),
            },
            plimsoll: "0.1.0".into(),
            target: "http://127.0.0.1:8080".into(),
        },
        shape: Shape {
            plan: "storefront".into(),
            plan_hash: "9b1d6a".into(),
            model: Model::Open,
            scenarios: vec![
                ScenarioShape { name: "browse".into(), weight: 80 },
                ScenarioShape { name: "buy".into(), weight: 20 },
            ],
            steps: vec![
                step("setup", None, "log in"),
                step("browse", Some(0), "list"),
                step("buy", Some(1), "POST /cart"),
            ],
            groups: vec![GroupShape {
                scenario: "buy".into(),
                scenario_index: Some(1),
                group: "checkout".into(),
            }],
            checks: vec![
                check("browse", 0, "list", "has items"),
                check("buy", 1, "POST /cart", "total <= 100 | fair"),
                check("buy", 1, "POST /cart", "never asked"),
            ],
            stages: vec![
                stage("ramp", 0.0, 10.0, 0.0, 200.0),
                stage("hold", 10.0, 45.0, 200.0, 200.0),
                stage("spike", 45.0, 52.0, 400.0, 400.0),
                stage("hold", 52.0, 60.0, 200.0, 200.0),
            ],
            own_loads: Vec::new(),
            warmup: 5.0,
            grace: 5.0,
            iterations: None,
            edges: Edges::with_thresholds([250 * MS, 500 * MS]),
            objectives: Vec::new(),
            addresses: vec![
                AddressShape { name: "10.0.0.7:8080".into(), weight: 2 },
                AddressShape { name: "10.0.0.8:8080".into(), weight: 1 },
            ],
            measures: measures(),
            limits: plimsoll_measure::Limits::default(),
        },
        plan_text: "name: storefront\ntarget: http://127.0.0.1:8080\n".into(),
        calibration: Some(Calibration {
            rate: 2000.0,
            service_time: Floor {
                count: 1000,
                p50: Some(48e-6),
                p90: Some(61e-6),
                p95: Some(70e-6),
                p99: Some(90e-6),
                p99_9: Some(410e-6),
                max: Some(0.002),
            },
            schedule_lag: Floor { count: 1000, p50: Some(9e-6), p99: Some(31e-6), ..Floor::default() },
            connections: 16,
            highest_rate: 21_000.0,
            kept_rate: Some(18_900.0),
        }),
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
        ("queue", ValueForm::Histogram, ValueUnit::Number),
        ("rows", ValueForm::Counter, ValueUnit::Number),
        ("cache_hit", ValueForm::Ratio, ValueUnit::Number),
    ];
    measures.into_iter().map(measure).collect()
}

/// Every second as workers would have measured it.
fn shards(shape: &Shape) -> Vec<Shard> {
    let mut dice = Dice(42);
    let mut shards: Vec<_> = (0..SECONDS)
        .map(|second| {
            Shard::new(second, shape.edges.clone())
                .with_addresses(shape.addresses.len())
                .with_value_edges(shape.measure_edges().into())
        })
        .collect();
    let login = SeriesKey { step: 0, phase: Phase::Setup, stage: None, outcome: Outcome::Ok };
    shards[0].record(&sample(login, 0, 40 * MS, Some(200)));
    for second in 0..60 {
        let arrivals = offered(shape, second).round() as u64;
        for index in 0..arrivals {
            arrival(&mut shards, shape, second * SECOND + index * SECOND / arrivals, &mut dice);
        }
    }
    for second in INCIDENT {
        let (phase, stage) = shape.place(second * SECOND);
        let key = PendingKey { step: 1, phase, stage };
        (0..30).for_each(|_| shards[second as usize].pending(key, 900 * MS, Some(800 * MS)));
    }
    let cut = SeriesKey { step: 2, phase: Phase::Measured, stage: Some(3), outcome: Outcome::Cut };
    connections(&mut shards);
    (0..3).for_each(|_| shards[61].record(&sample(cut, 59 * SECOND, 2 * SECOND, None)));
    shards
}

fn offered(shape: &Shape, second: u64) -> f64 {
    shape.level_at(second as f64 + 0.5).unwrap_or(0.0)
}

fn closed(number: u64, shard: &Shard, shape: &Shape) -> Second {
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    let gauges = Gauges { offered_rate: offered(shape, number), virtual_users: 4, connections: 16 };
    let vitals = Vitals { cpu_ratio: Some(0.31), ..Vitals::default() };
    let wall_nanos = 1_760_000_000_000_000_000 + (number as i64 + 1) * 1_000_000_000;
    Second { frame, gauges, vitals, resources: scrapes(number, gauges.offered_rate), wall_nanos }
}

/// A process that is watched by its metrics and does not always answer, and its machine.
fn scrapes(second: u64, offered: f64) -> Vec<ResourceScrape> {
    let figures = |all: &[(&str, ResourceUnit, f64)]| {
        let figure = |(name, unit, value): &(&str, ResourceUnit, f64)| ResourceFigure {
            name: (*name).into(),
            unit: *unit,
            value: *value,
        };
        Ok(all.iter().map(figure).collect())
    };
    let at = (second + 1) * SECOND + 2 * MS;
    let busy = (offered / 500.0).min(1.0);
    let process = match INCIDENT.contains(&second) && second.is_multiple_of(2) {
        true => Err("no answer within 800ms".to_owned()),
        false => figures(&[
            ("cpu", ResourceUnit::Cores, 0.05 + 1.2 * busy),
            ("memory", ResourceUnit::Bytes, 24e6 + offered * 1e4),
            ("demo_utilisation_ratio{resource=\"pool\"}", ResourceUnit::Ratio, busy),
            ("open_fds", ResourceUnit::Count, 31.0),
            ("orders_total", ResourceUnit::PerSecond, offered / 5.0),
        ]),
    };
    let machine = figures(&[
        ("cpu_ratio", ResourceUnit::Ratio, 0.1 + busy / 2.0),
        ("cpu_ratio{cpu=\"0\"}", ResourceUnit::Ratio, 0.2 + busy / 2.0),
    ]);
    let scrape =
        |source: &str, figures, left_out| ResourceScrape { source: source.into(), at, figures, left_out };
    vec![scrape("shop", process, 0), scrape("machine", machine, 3)]
}

fn arrival(shards: &mut [Shard], shape: &Shape, due: u64, dice: &mut Dice) {
    let trouble = INCIDENT.contains(&(due / SECOND));
    let (phase, stage) = shape.place(due);
    let scenario = u16::from(dice.below(100) >= 80);
    let iteration = IterationKey { scenario, phase, stage };
    let due_in = &mut shards[(due / SECOND) as usize];
    if trouble && dice.below(100) < 8 {
        due_in.dropped(iteration, DropCause::InFlightLimit);
        return;
    }
    due_in.arrival(iteration);
    // A long tail without floating point: a product of two throws.
    let usual = 4 * MS + dice.below(12 * MS) * dice.below(100) / 60;
    let (outcome, status, time) = match (trouble, dice.below(100)) {
        (true, 0..10) => (Outcome::Timeout, None, 2 * SECOND),
        (true, 10..18) => (Outcome::Status, Some(503), usual),
        (true, _) => (Outcome::Ok, Some(200), usual + dice.below(1600 * MS)),
        (false, 0) if dice.below(10) == 0 => (Outcome::Reset, None, usual),
        (false, _) => (Outcome::Ok, Some(200), usual),
    };
    let step = scenario + 1;
    let done_in = &mut shards[((due + time) / SECOND) as usize];
    let sample = sample(SeriesKey { step, phase, stage, outcome }, due, time, status);
    done_in.record(&sample);
    done_in.iteration(iteration, time, outcome != Outcome::Ok);
    if scenario == 1 {
        done_in.group(GroupKey { group: 0, phase }, time, outcome != Outcome::Ok);
    }
    if status.is_some() {
        let passed = outcome == Outcome::Ok && (scenario == 0 || !(due / MS).is_multiple_of(4));
        done_in.check(CheckKey { check: scenario, phase }, passed);
        let key = |value| ValueKey { value, step, phase, stage };
        let queue = match outcome {
            Outcome::Ok => Observed::Ticks(time / MS % 40 * 512_000),
            _ => Observed::Absent,
        };
        done_in.value(key(0), Observed::Ticks(time / 3));
        done_in.value(key(1), queue);
        done_in.value(key(2), Observed::Amount(due / MS % 3));
        if step == 1 {
            done_in.value(key(3), Observed::Match(!(due / MS).is_multiple_of(10)));
        }
    }
    let message = match outcome {
        Outcome::Timeout => "no whole answer within 2s",
        Outcome::Status => "503 Service Unavailable: <h1>try | later</h1>\u{1b}[2J",
        Outcome::Reset => "connection reset by peer",
        _ => "",
    };
    if !message.is_empty() {
        done_in.error(outcome, step, due + time, message);
    }
    if done_in.would_keep(&sample) {
        done_in.keep(&KeptRequest {
            sample,
            message: (!message.is_empty()).then(|| message.to_owned()),
            iteration: due / MS,
            user: None,
            row: (step == 2).then(|| DataRow { feed: "users".into(), row: due % 40 }),
            worker: 0,
            exchange: (outcome == Outcome::Status).then(|| {
                let headers =
                    vec![("content-type".into(), "text/html".into()), ("retry-after".into(), "3".into())];
                let body = Some("<h1>try | later</h1>\n\u{1b}[2J".into());
                let url = format!("http://127.0.0.1:8080/products?page={}", due % 7);
                Exchange { method: "GET".into(), url, headers, body }.bounded()
            }),
        });
    }
}

/// Connections as a target closes some of them while idle, and some time out.
fn connections(shards: &mut [Shard]) {
    (0..16).for_each(|_| shards[0].connection_opened(Opening::TlsFull));
    for (second, reason) in [(30, CloseReason::Timeout), (40, CloseReason::IdleClosed)] {
        for index in 0..12 {
            let shard = &mut shards[second];
            shard.connection_closed(reason, 300 + index);
            shard.connection_opened(Opening::TlsResumed);
            shard.connection_waited((200 + index * 10) * 1000);
            if reason == CloseReason::IdleClosed {
                shard.reconnect();
            }
        }
    }
    shards[31].connection_opened(Opening::Failed);
    (0..16).for_each(|index| shards[61].connection_closed(CloseReason::RunEnded, 150 + index));
}

fn sample(key: SeriesKey, due: u64, time: u64, status: Option<u16>) -> Sample {
    Sample {
        key,
        due,
        ready: due + 80_000,
        sent: Some(due + 100_000),
        done: due + time,
        connect: None,
        tls: None,
        first_byte: status.map(|_| time / 2),
        status,
        received_bytes: status.map_or(0, |_| 2_400),
        sent_bytes: 180,
        address: u16::from(due.is_multiple_of(3)),
    }
}

/// A linear congruential generator, Knuth's constants.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
pub(crate) fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let line = expected.lines().zip(found.lines()).position(|(one, other)| one != other);
    let at = line.unwrap_or(expected.lines().count().min(found.lines().count()));
    assert!(
        expected == found,
        "{name} differs from line {}: `{}`\nUPDATE_GOLDEN=1 cargo test -p plimsoll-report writes it anew",
        at + 1,
        found.lines().nth(at).unwrap_or_default(),
    );
}

/// Figures to nine digits: the last bits of a fit depend on the processor's multiplication.
pub(crate) fn rounded(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() => {
                format!("{float:.8e}").parse::<f64>().map_or(serde_json::Value::Null, serde_json::Value::from)
            }
            _ => value.clone(),
        },
        serde_json::Value::Array(items) => items.iter().map(rounded).collect(),
        serde_json::Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect()
        }
        other => other.clone(),
    }
}
