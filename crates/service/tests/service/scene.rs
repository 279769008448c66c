//! A service over a record of its own, and runs to record.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_capacity::{Bound, Bounded, LoadKind, Point, Points, Question};
use plimsoll_history::{AnswerBy, AnswerText, History, KeptAnswer, Recorder};
use plimsoll_measure::{
    DropCause, Edges, Frame, IterationKey, Outcome, Phase, SECOND, Sample, SeriesKey, Shard, Vitals,
};
use plimsoll_notify::Teller;
use plimsoll_report::KeptCapacity;
use plimsoll_run::{
    Ended, Gauges, Machine, Model, RunEvent, RunInfo, RunStatus, ScenarioShape, Second, Shape, StageShape,
    Started, StepShape,
};
use plimsoll_service::{Access, Ceilings, Config, Limits, Plans, Promises, ReadPlan, Schedule, Service};
use plimsoll_sla::{Expression, Filter, Objective, Severity};
use plimsoll_spec::{Inputs, Source, parse};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const STARTED: i64 = 1_760_000_000_000_000_000;

/// A service over a record of its own, and a client.
pub(crate) struct Scene {
    pub(crate) history: History,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    served: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::judging(tempfile::tempdir().unwrap(), Promises::default()).await
    }

    /// One that is guarded.
    pub(crate) async fn guarded(access: Access) -> Self {
        Self::with(tempfile::tempdir().unwrap(), Promises::default(), access, None).await
    }

    /// One that tells these.
    pub(crate) async fn telling(settings: plimsoll_run::NotifySettings) -> Self {
        let limits = Limits { requests: 1e6, ..Limits::default() };
        let access = Access { limits, ..Access::default() };
        Self::serving(tempfile::tempdir().unwrap(), Promises::default(), access, None, settings, None).await
    }

    /// One that starts plans of its folder, and what it starts ends at once.
    pub(crate) async fn starting(files: &[(&str, &str)], schedules: Vec<Schedule>) -> Self {
        Self::starting_by(tempfile::tempdir().unwrap(), files, schedules, "/bin/false".into(), None).await
    }

    /// One whose searches find something and whose reports are this text.
    pub(crate) async fn reporting(files: &[(&str, &str)], schedules: Vec<Schedule>, html: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = searcher(folder.path(), html);
        Self::starting_by(folder, files, schedules, program, None).await
    }

    /// The same, and it tells how what it starts ends.
    pub(crate) async fn reporting_to(
        teller: Teller,
        files: &[(&str, &str)],
        schedules: Vec<Schedule>,
        html: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = searcher(folder.path(), html);
        Self::starting_by(folder, files, schedules, program, Some(teller)).await
    }

    async fn starting_by(
        folder: tempfile::TempDir,
        files: &[(&str, &str)],
        schedules: Vec<Schedule>,
        program: PathBuf,
        teller: Option<Teller>,
    ) -> Self {
        let plans = folder.path().join("plans");
        std::fs::create_dir(&plans).unwrap();
        for (name, text) in files {
            std::fs::write(plans.join(name), text).unwrap();
        }
        let read = ReadPlan::new(|name, text, folder, _| {
            let files = |file: &str| std::fs::read(folder.join(file)).map_err(|error| error.to_string());
            parse(&Source { name: name.to_owned(), text }, &Inputs::new(&|_| None, &files))
        });
        let plans = Plans {
            folder: plans,
            read,
            schedules,
            reports: Some(folder.path().join("reports")),
            ceilings: Ceilings { rate: None, users: None, runs: 4 },
            targets: plimsoll_run::Targets::default(),
            program,
            is_editable: true,
        };
        let limits = Limits { requests: 1e6, ..Limits::default() };
        let access = Access { limits, ..Access::default() };
        let nobody = plimsoll_run::NotifySettings::default();
        Self::serving(folder, Promises::default(), access, Some(plans), nobody, teller).await
    }

    /// One that judges, over the record in a folder.
    pub(crate) async fn judging(folder: tempfile::TempDir, promises: Promises) -> Self {
        // Tests ask as fast as they can.
        let limits = Limits { requests: 1e6, ..Limits::default() };
        Self::with(folder, promises, Access { limits, ..Access::default() }, None).await
    }

    /// One that starts plans, which are made of the folder that its record is in.
    pub(crate) async fn starting_with(access: Access, plans: impl FnOnce(&Path) -> Plans) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plans = plans(folder.path());
        Self::with(folder, Promises::default(), access, Some(plans)).await
    }

    /// A file beside the record.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn with(
        folder: tempfile::TempDir,
        promises: Promises,
        access: Access,
        plans: Option<Plans>,
    ) -> Self {
        Self::serving(folder, promises, access, plans, plimsoll_run::NotifySettings::default(), None).await
    }

    async fn serving(
        folder: tempfile::TempDir,
        promises: Promises,
        access: Access,
        plans: Option<Plans>,
        told: plimsoll_run::NotifySettings,
        teller: Option<Teller>,
    ) -> Self {
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { listen, history: history.clone(), promises, teller, plans, access };
        let service = Service::bind(config).await.unwrap().telling(told);
        let scheme = if service.is_secure() { "https" } else { "http" };
        let url = format!("{scheme}://{}", service.addr());
        let stop = CancellationToken::new();
        let served = tokio::spawn(service.run(stop.clone()));
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        Self { history, url, http, stop, served, folder }
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Looks again until what is found will do.
    pub(crate) async fn json_where(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let value = self.json(path).await;
            if good(&value) {
                return value;
            }
            assert!(started.elapsed() < DEADLINE, "waited in vain, last: {value:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as `kill -9` does; the record stays.
    pub(crate) async fn kill(self) -> tempfile::TempDir {
        self.served.abort();
        let _ = self.served.await;
        self.folder
    }

    /// Stops the service and sees it end.
    pub(crate) async fn end(self) {
        self.leave().await;
    }

    /// Stops the service; the record stays.
    pub(crate) async fn leave(self) -> tempfile::TempDir {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.served).await.expect("it ends when told").unwrap();
        self.folder
    }
}

/// A program whose searches find something and whose reports are this text. Files beside its folder of plans change its
/// mind: with `fail` it refuses, with `slow` it does not end by itself, with `kill` it is killed.
fn searcher(folder: &Path, html: &str) -> PathBuf {
    let (program, page) = (folder.join("program"), folder.join("page.html"));
    std::fs::write(&page, html).unwrap();
    std::fs::write(
        &program,
        format!(
            "#!/bin/sh\n\
             test -e ../kill && kill -9 $$\n\
             test -e ../slow && exec env --default-signal=INT sleep 600\n\
             test -e ../fail && echo 'error: no luck' >&2 && exit 2\n\
             test \"$1\" = limit && cat >/dev/null && \
             echo '{{\"unit\":\"per_second\",\"sure\":true,\"breaking_point\":\
             {{\"low\":779.06,\"high\":793.3,\"rate\":786.18}}}}'\n\
             while test $# -gt 0; do case \"$1\" in --report|--html) file=\"$2\";; esac; shift; done\n\
             mkdir -p \"$(dirname \"$file\")\" && cp {} \"$file\"\n",
            page.display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

pub(crate) fn started(id: &str) -> Started {
    let objective = |name: &str, text: &str| Objective {
        name: name.into(),
        text: text.into(),
        expression: Expression::parse(text).unwrap(),
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    };
    Started {
        info: RunInfo {
            id: id.into(),
            started_nanos: STARTED,
            seed: 1,
            version: Some("1.4.2".into()),
            environment: None,
            tags: [("version".into(), "1.4.2".into())].into(),
            machine: Machine { host: "here".into(), ..Machine::default() },
            plimsoll: "0.1.0".into(),
            target: "http://127.0.0.1:8080".into(),
        },
        shape: Shape {
            plan: "storefront <b>".into(),
            plan_hash: "abc".into(),
            model: Model::Open,
            scenarios: vec![ScenarioShape { name: "browse".into(), weight: 1 }],
            steps: vec![StepShape {
                scenario: "browse".into(),
                scenario_index: Some(0),
                step: "list".into(),
            }],
            groups: Vec::new(),
            checks: Vec::new(),
            stages: vec![StageShape {
                kind: "hold".into(),
                start: 0.0,
                end: 20.0,
                from: 100.0,
                to: 100.0,
                course: Vec::new(),
            }],
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 1.0,
            iterations: None,
            edges: Edges::with_thresholds([50_000_000]),
            objectives: vec![
                objective("quick", "p95(response_time) <= 50ms"),
                objective("few errors", "error_ratio <= 50%"),
            ],
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: plimsoll_measure::Limits::default(),
        },
        plan_text: "name: storefront".into(),
        calibration: None,
    }
}

/// A hundred arrivals: one dropped, one timed out, the others answered after `millis`.
pub(crate) fn second(number: u64, millis: u64) -> RunEvent {
    second_with(number, millis, 1)
}

/// A hundred arrivals: one dropped, so many timed out, the others answered after `millis`.
pub(crate) fn second_with(number: u64, millis: u64, failed: u64) -> RunEvent {
    second_failing(number, millis, &[(Outcome::Timeout, failed)])
}

/// A hundred arrivals: one dropped, so many failed of each kind, the others answered after `millis`.
pub(crate) fn second_failing(number: u64, millis: u64, failed: &[(Outcome, u64)]) -> RunEvent {
    let mut kinds = failed.iter().flat_map(|(kind, count)| (0..*count).map(|_| *kind));
    let mut shard = Shard::new(number, Edges::with_thresholds([50_000_000]));
    let iteration = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(0) };
    for index in 0..100 {
        if index == 0 {
            shard.dropped(iteration, DropCause::InFlightLimit);
            continue;
        }
        shard.arrival(iteration);
        let outcome = kinds.next().unwrap_or(Outcome::Ok);
        let due = number * SECOND + index * 1_000_000;
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: Some(0), outcome };
        shard.record(&Sample {
            key,
            due,
            ready: due,
            sent: Some(due),
            done: due + millis * 1_000_000,
            connect: None,
            tls: None,
            first_byte: None,
            status: (outcome == Outcome::Ok).then_some(200),
            received_bytes: 100,
            sent_bytes: 50,
            address: 0,
        });
        shard.iteration(iteration, millis * 1_000_000, false);
    }
    shard.error(Outcome::Timeout, 0, number * SECOND, "no answer <script>alert(1)</script>");
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    let gauges = Gauges { offered_rate: 100.0, virtual_users: 3, connections: 3 };
    let vitals = Vitals { cpu_ratio: Some(0.1), ..Vitals::default() };
    let wall_nanos = STARTED + (number as i64 + 1) * SECOND as i64;
    RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos }))
}

pub(crate) fn ended(seconds: u64) -> [RunEvent; 2] {
    let at = seconds * SECOND;
    let end = Ended { at, status: RunStatus::Completed, reason: None, exports: Vec::new(), samples: None };
    [RunEvent::Phase { phase: Phase::Grace, at }, RunEvent::Ended(Arc::new(end))]
}

/// Records a whole run that took `millis` for an answer.
pub(crate) async fn record(history: &History, id: &str, millis: u64) {
    let recorder = Recorder::start(history, &started(id)).await.unwrap();
    (0..20).for_each(|number| recorder.record(&second(number, millis)));
    ended(20).iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
}

/// What `capacity` answers of a plan and leaves in the record, and its JSON.
pub(crate) async fn answer(history: &History, plan: &str, traffic: f64, made_nanos: i64) -> Value {
    let level = |(load, throughput, p95): (f64, f64, f64)| {
        let mut point = Point::new(load, throughput);
        for (quantile, factor) in [("p50", 0.8), ("p95", 1.0), ("p99", 1.2)] {
            point.response_time.insert(quantile.parse().unwrap(), p95 * factor);
        }
        point.resources.insert("process cpu".to_owned(), throughput / 420.0);
        point
    };
    let levels = [(50.0, 50.0, 0.02), (100.0, 99.5, 0.021), (200.0, 199.0, 0.023), (300.0, 299.0, 0.035)];
    let beyond = [(400.0, 398.0, 0.12), (500.0, 400.0, 0.9), (600.0, 401.0, 1.4)];
    let points = Points::new(levels.into_iter().chain(beyond).map(level).collect(), LoadKind::Rate).unwrap();
    let bound = Bound {
        text: "p95(response_time) <= 250ms".to_owned(),
        of: Bounded::ResponseTime("p95".parse().unwrap()),
        at_most: 0.25,
    };
    let question = Question {
        bounds: vec![bound],
        traffic: vec![("peak traffic".to_owned(), traffic)],
        ..Question::new(points)
    };
    let kept = KeptCapacity {
        name: format!("{plan}, 7 runs"),
        question,
        warnings: Vec::new(),
        refusals: Vec::new(),
        when: vec!["exhausted on 2027-03-01 (90% from 2027-01-15 to 2027-06-30)".to_owned()],
        sources: Vec::new(),
    };
    let found = kept.answer();
    let limit = found.limit.as_ref().map(|(limit, _)| *limit).unwrap();
    let answer = KeptAnswer {
        plan: plan.to_owned(),
        target: "http://127.0.0.1:8080".to_owned(),
        by: AnswerBy::Capacity,
        made_nanos,
        estimate: Some(limit.value),
        low: Some(limit.low),
        high: Some(limit.high),
        traffic: Some(traffic),
    };
    let json = plimsoll_report::capacity_json(&found);
    let text = AnswerText { result: json.to_string(), inputs: Some(kept.to_json().to_string()) };
    history.keep_answer(&answer, &text).await.unwrap();
    json
}
