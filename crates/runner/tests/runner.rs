//! Whole runs against a real target: how they begin, are stopped and end.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_data::{Format, Source, Table};
use plimsoll_demo_target::{Config, DemoTarget, Latency, Model};
use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_history::{History, Recorder};
use plimsoll_measure::Limits;
use plimsoll_measure::Phase;
use plimsoll_run::{
    Action, AddressChoice, Command, Expect, ExportSettings, Feed, FeedOrder, HttpSettings, HttpVersion, Load,
    LoadModel, Network, NotifySettings, OnFailure, PlannedTarget, ProfileKind, ProfileMoment, ProfileSource,
    ProfilesSettings, Refusal, Request, ResourceEndpoint, ResourceOrigin, ResourceSource, RunEvent, RunPlan,
    RunStatus, Scenario, Secret, StepShape, Summary, Template, TlsSettings,
};
use plimsoll_runner::{Control, Finished, RunConfig, RunError, run};
use plimsoll_sla::{Expression, Filter, Objective, Severity};
use plimsoll_units::Rate;
use plimsoll_workload::{Pause, Spacing, Stage, StageKind};
use tokio::sync::mpsc;

fn target() -> DemoTarget {
    let listen = "127.0.0.1:0".parse().unwrap();
    DemoTarget::spawn_thread(Config { listen, ..Config::default() }).unwrap()
}

fn get(step: u16, path: &str) -> Action {
    Action::Request(Box::new(Request {
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
    }))
}

fn pause(length: Duration) -> Action {
    Action::Pause(Pause::fixed(length))
}

/// A plan whose one scenario asks for `/` at this rate. Steps 1 and 2 are for setup and teardown.
fn plan(target: &DemoTarget, rate: f64, length: Duration) -> RunPlan {
    let step = |scenario: &str, scenario_index, step: &str| StepShape {
        scenario: scenario.into(),
        scenario_index,
        step: step.into(),
    };
    let stage = Stage { kind: StageKind::Hold(Rate::new(rate).unwrap()), length };
    RunPlan {
        name: "test".into(),
        hash: String::new(),
        text: String::new(),
        target: format!("http://{}", target.addr()),
        targets: vec![PlannedTarget { url: format!("http://{}", target.addr()), weight: 1 }],
        addresses: AddressChoice::First,
        version: None,
        environment: None,
        tags: BTreeMap::new(),
        seed: Some(1),
        load: Load {
            model: LoadModel::Open { stages: vec![stage], spacing: Spacing::Uniform, max_in_flight: 1000 },
            warmup: Duration::ZERO,
            grace: Duration::from_secs(5),
        },
        http: HttpSettings {
            version: HttpVersion::Http1,
            connections: None,
            streams: 100,
            connect_rate: None,
            source: Vec::new(),
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(2),
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
            actions: vec![get(0, "/")],
            ..Scenario::default()
        }],
        steps: vec![
            step("main", Some(0), "home"),
            step("setup", None, "prepare"),
            step("teardown", None, "tidy"),
        ],
        groups: Vec::new(),
        checks: Vec::new(),
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
        limits: Limits::default(),
    }
}

async fn config(plan: RunPlan, watcher: Option<mpsc::Sender<RunEvent>>) -> RunConfig {
    let exporters = Exporters::start(&plan.export, Arc::new(LiveMetrics::new())).await.unwrap();
    RunConfig {
        resumed: None,
        rows: None,
        plan: Arc::new(plan),
        id: None,
        workers: 2,
        plimsoll: "0.0.0".into(),
        calibration: None,
        history: None,
        exporters,
        watcher,
    }
}

/// Waits until the target has been asked so often.
async fn until_asked(target: &DemoTarget, asked: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while target.record().access_count() < asked {
        assert!(Instant::now() < deadline, "the target was not asked {asked} times");
        tokio::task::yield_now().await;
    }
}

/// Runs a plan and calls `stop` once the target has been asked `asked` times.
async fn stopped_after(plan: RunPlan, target: &DemoTarget, asked: u64) -> Finished {
    let control = Control::default();
    let config = config(plan, None).await;
    let running = tokio::spawn(run(config, control.clone()));
    until_asked(target, asked).await;
    control.stop();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap()
}

fn requests(summary: &Summary, phase: Phase) -> u64 {
    summary.phases.iter().filter(|found| found.phase == phase).map(|found| found.requests).sum()
}

#[tokio::test]
async fn a_stop_during_setup_ends_it_and_offers_nothing_and_tears_down() {
    let target = target();
    let hour = Duration::from_secs(3600);
    for rest in [pause(hour), get(1, "/latency/50000")] {
        let before = target.record().access_count();
        let mut plan = plan(&target, 100.0, hour);
        plan.setup = vec![get(1, "/"), rest];
        plan.teardown = vec![get(2, "/")];
        let finished = stopped_after(plan, &target, before + 1).await;
        let summary = finished.state.summary();
        assert_eq!(summary.status, Some(RunStatus::Interrupted));
        assert_eq!(summary.reason.as_deref(), Some("stopped by request"));
        assert_eq!((summary.totals.arrivals, requests(&summary, Phase::Teardown)), (0, 1));
        assert!(requests(&summary, Phase::Setup) >= 1, "what setup did is counted");
    }
}

#[tokio::test]
async fn a_stopped_run_keeps_what_it_offered_and_tears_down() {
    let target = target();
    let mut plan = plan(&target, 100.0, Duration::from_secs(3600));
    plan.teardown = vec![get(2, "/")];
    let finished = stopped_after(plan, &target, 20).await;
    let summary = finished.state.summary();
    assert_eq!(summary.status, Some(RunStatus::Interrupted));
    assert_eq!(requests(&summary, Phase::Teardown), 1);
    assert_eq!(summary.totals.succeeded, summary.totals.arrivals);
    assert_eq!(target.record().access_count(), summary.totals.requests + 1);
}

#[tokio::test]
async fn a_run_is_steered_while_it_goes_on_and_says_what_it_cannot_do() {
    let target = target();
    let control = Control::default();
    let config = config(plan(&target, 20.0, Duration::from_secs(3600)), None).await;
    let running = tokio::spawn(run(config, control.clone()));
    let command = |change: &str, scenario: Option<&str>| Command {
        change: change.parse().unwrap(),
        scenario: scenario.map(str::to_owned),
        by: "anna".into(),
    };
    // Asked before the load has begun, which it waits for.
    let first = control.steer(command("rate 100/s", None)).await.unwrap();
    let ahead = Duration::from_nanos(first.effective - first.at);
    assert!((200..=300).contains(&ahead.as_millis()) && first.effective % 100_000_000 == 0, "{first:?}");
    assert_eq!(control.steer(command("users 5", None)).await, Err(Refusal::NoUsers));
    let nobody = control.steer(command("pause", Some("nobody"))).await.unwrap_err();
    assert_eq!(nobody.to_string(), "the plan has no scenario `nobody`; it has `main`");
    // At most 6 of these come before the change.
    until_asked(&target, 150).await;
    let last = control.steer(command("stop", None)).await.unwrap();
    let finished = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    let summary = finished.state.summary();
    assert_eq!(summary.reason.as_deref(), Some("stopped by request of anna"));
    let told: Vec<_> = summary.steered.iter().map(|steered| steered.change.to_string()).collect();
    assert_eq!(told, ["rate 100/s", "stop"]);
    assert!(summary.stages[0].steered && summary.stages[0].shape.to == 20.0);
    // 20/s up to the change, 100/s behind it.
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let due = 20.0 * seconds(first.effective) + 100.0 * seconds(last.effective - first.effective);
    assert!((summary.totals.arrivals as f64 - due).abs() <= 3.0, "{} of {due}", summary.totals.arrivals);
    assert_eq!(control.steer(command("resume", None)).await, Err(Refusal::Ended));
}

#[tokio::test]
async fn a_run_cleans_up_before_it_waits_for_profiles_and_a_stop_ends_the_waiting() {
    let target = target();
    let url = Secret::new(format!("http://{}/stall?for=10m", target.addr()));
    let source = ProfileSource {
        kind: ProfileKind::Goroutine,
        endpoint: ResourceEndpoint { url, headers: Vec::new(), metrics: Vec::new() },
        seconds: None,
        at: vec![ProfileMoment::End],
    };
    let mut plan = plan(&target, 50.0, Duration::from_secs(1));
    plan.teardown = vec![get(2, "/")];
    plan.profiles = Some(ProfilesSettings { folder: "nothing-is-kept".into(), sources: vec![source] });
    let control = Control::default();
    let (watcher, mut events) = mpsc::channel(1000);
    let running = tokio::spawn(run(config(plan, Some(watcher)).await, control.clone()));
    let cleaned_up = async {
        loop {
            match events.recv().await.unwrap() {
                RunEvent::Second(second)
                    if second.frame.series.keys().any(|key| key.phase == Phase::Teardown) =>
                {
                    break;
                }
                RunEvent::Note(note) => assert!(!note.text.contains("was not taken"), "{}", note.text),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), cleaned_up).await.unwrap();
    control.stop();
    let finished = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    let summary = finished.state.summary();
    assert_eq!(summary.status, Some(RunStatus::Completed), "its load was whole");
    let told = "profile goroutine at end was not taken: the run was stopped";
    assert!(summary.notes.iter().any(|note| note.text == told), "{:?}", summary.notes);
}

#[tokio::test]
async fn a_watcher_that_never_reads_holds_nothing_up() {
    let target = target();
    let (watcher, _never_read) = mpsc::channel(1);
    let config = config(plan(&target, 50.0, Duration::from_millis(1500)), Some(watcher)).await;
    let running = run(config, Control::default());
    let finished = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    let summary = finished.state.summary();
    assert_eq!((summary.status, summary.totals.succeeded), (Some(RunStatus::Completed), 75));
}

/// Every status is wrong, and that is unbearable after two seconds.
fn unbearable() -> Objective {
    let text = "error_ratio <= 1%";
    Objective {
        name: "few errors".into(),
        text: text.into(),
        expression: Expression::parse(text).unwrap(),
        over: Some(1),
        filter: Filter::default(),
        abort_after: Some(2),
        severity: Severity::Critical,
        message: None,
    }
}

#[tokio::test]
async fn a_run_is_aborted_only_while_it_has_more_to_offer() {
    let target = target();
    for (length, status) in [(2, RunStatus::Completed), (30, RunStatus::Aborted)] {
        let mut plan = plan(&target, 50.0, Duration::from_secs(length));
        plan.scenarios[0].actions = vec![get(0, "/status/503")];
        plan.objectives = vec![unbearable()];
        let running = run(config(plan, None).await, Control::default());
        let finished = tokio::time::timeout(Duration::from_secs(25), running).await.unwrap().unwrap();
        let summary = finished.state.summary();
        assert_eq!(summary.status, Some(status), "{length} s: {:?}", summary.reason);
        assert_eq!(summary.totals.failed, summary.totals.arrivals, "{length} s");
    }
}

fn source(name: &str, origin: ResourceOrigin) -> ResourceSource {
    ResourceSource { name: name.into(), origin, interval: Duration::from_secs(1) }
}

fn endpoint(name: &str, url: String) -> ResourceSource {
    let headers = vec![("authorization".to_owned(), Secret::new("Bearer hush-hush"))];
    let metrics = vec!["demo_requests_total".to_owned()];
    source(name, ResourceOrigin::Metrics(ResourceEndpoint { url: Secret::new(url), headers, metrics }))
}

#[tokio::test]
async fn resources_are_scraped_beside_the_load() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let model = Model { latency: Latency::Fixed { ms: 5.0 }, workers: Some(4), ..Model::PLAIN };
    let target = DemoTarget::spawn_thread(Config { listen, model, ..Config::default() }).unwrap();
    // One that is asked for what is no page of metrics, and one that is not there at all.
    let other = self::target();
    let elsewhere = |path: &str| format!("http://{}{path}", other.addr());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut plan = plan(&target, 100.0, Duration::from_secs(3));
    plan.resources = vec![
        endpoint("shop", format!("http://{}/metrics", target.addr())),
        source("here", ResourceOrigin::Port(target.addr().port())),
        source("machine", ResourceOrigin::Host),
        endpoint("closed", format!("http://{closed}/metrics?key=hush-hush")),
        endpoint("silent", elsewhere("/stall?for=10m")),
        endpoint("refusing", elsewhere("/status/404?key=hush-hush")),
        endpoint("page", elsewhere("/products")),
        endpoint("endless", elsewhere("/bytes/16000000000")),
    ];
    assert!(!format!("{plan:?}").contains("hush"), "what may be secret is not shown");
    let running = run(config(plan, None).await, Control::default());
    let finished = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    let summary = finished.state.summary();
    assert_eq!(summary.totals.succeeded, 300);
    let figure = |source: &str, name: &str| {
        let mut all = summary.resources.iter();
        let found = all.find(|figure| &*figure.source == source && &*figure.name == name);
        let found = found.unwrap_or_else(|| panic!("{source} {name} in {:?}", summary.resources));
        assert!(found.count >= 1 && found.peak >= found.mean, "{found:?}");
        found.mean.unwrap()
    };
    // Each request takes 5 ms of one of four workers.
    let busy = figure("shop", r#"demo_utilisation_ratio{resource="workers"}"#);
    let rate = figure("shop", r#"demo_requests_total{route="GET /",status="200"}"#);
    assert!((0.05..0.25).contains(&busy) && (50.0..150.0).contains(&rate), "{busy} {rate}");
    for source in ["shop", "here"] {
        assert!(figure(source, "memory") > 1e6 && figure(source, "open_fds") > 2.0);
        assert!(figure(source, "cpu") < 64.0);
    }
    assert!(figure("shop", "connections") >= 1.0 && figure("machine", "cpu_ratio") <= 1.0);
    assert!(figure("machine", "run_queue") >= 1.0 && figure("machine", "memory_available") > 1e6);
    for (source, reason) in [
        ("closed", "could not be scraped: error sending request"),
        ("silent", "could not be scraped: no answer within 800ms"),
        ("refusing", "could not be scraped: answered 404"),
        ("page", "could not be scraped: line 1 is not in Prometheus' text format"),
        ("endless", "could not be scraped: an answer of more than 8 MiB"),
    ] {
        let told = summary.resource_sources.iter().find(|found| &*found.source == source).unwrap();
        assert!(told.scrapes >= 2 && told.gaps == told.scrapes, "{told:?}");
        assert!(!summary.resources.iter().any(|figure| &*figure.source == source));
        let beginning = format!("resource `{source}` {reason}");
        let notes = summary.notes.iter().filter(|note| note.text.starts_with(&beginning));
        assert_eq!(notes.count(), 1, "{beginning} in {:?}", summary.notes);
    }
    assert!(!format!("{summary:?}").contains("hush"), "{:?}", summary.notes);
    let shop = summary.resource_sources.iter().find(|found| &*found.source == "shop").unwrap();
    assert_eq!((shop.gaps, shop.left_out), (0, 0), "{shop:?}");
}

#[tokio::test]
async fn phases_are_told_in_their_order() {
    let target = target();
    for (warmup, expected) in [
        (0, &[(Phase::Measured, 0), (Phase::Grace, 1200)][..]),
        (1100, &[(Phase::Warmup, 0), (Phase::Measured, 1100), (Phase::Grace, 1200)]),
        (1500, &[(Phase::Warmup, 0), (Phase::Grace, 1200)]),
    ] {
        let mut plan = plan(&target, 50.0, Duration::from_millis(1200));
        plan.load.warmup = Duration::from_millis(warmup);
        // The last answer comes in a second that would be measured, were the stages not over.
        plan.scenarios[0].actions = vec![get(0, "/latency/1500")];
        let (watcher, mut events) = mpsc::channel(1000);
        let running = run(config(plan, Some(watcher)).await, Control::default());
        let finished = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
        assert_eq!(finished.state.summary().status, Some(RunStatus::Completed));
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            if let RunEvent::Phase { phase, at } = event {
                told.push((phase, at / 1_000_000));
            }
        }
        assert_eq!(told, expected, "warm-up of {warmup} ms");
    }
}

/// A history with one run in it, whose process said nothing of its end, and a plan like its own that draws rows.
async fn recorded(target: &DemoTarget) -> (tempfile::TempDir, History, RunPlan, String) {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path().join("history.db")).await.unwrap();
    let mut plan = plan(target, 10.0, Duration::from_millis(100));
    let source = Source::Memory(b"n\n1\n2\n".as_slice().into());
    let table = Table::open(source, Format::Csv { delimiter: b',' }, |_, _| {}).unwrap();
    plan.feeds = vec![Feed {
        name: "rows".into(),
        table: Arc::new(table),
        digest: String::new(),
        order: FeedOrder::Unique,
    }];
    let finished = run(config(plan.clone(), None).await, Control::default()).await.unwrap();
    let started = finished.state.started();
    Recorder::start(&history, started).await.unwrap().finish(Duration::from_secs(20)).await;
    (folder, history, plan, started.info.id.clone())
}

#[tokio::test]
async fn who_goes_on_with_a_run_needs_its_rows_before_its_record() {
    let target = target();
    let (_folder, history, plan, id) = Box::pin(recorded(&target)).await;
    let rows = history.rows_file(&id);
    std::fs::write(&rows, format!("{}\n{}", history.identity().await.unwrap(), "\0".repeat(8))).unwrap();
    let other = std::fs::File::open(&rows).unwrap();
    other.try_lock().unwrap();
    let go_on = async || {
        let resumed = Some(Box::new(history.interrupted(&id).await.expect("nobody goes on with it yet")));
        let (history, rows) = (Some(history.clone()), Some(rows.clone()));
        let config = RunConfig { resumed, history, rows, ..config(plan.clone(), None).await };
        run(config, Control::default()).await
    };
    let asked = target.record().access_count();
    let error = go_on().await.unwrap_err();
    assert!(matches!(error, RunError::Rows { what: "read", .. }) && error.may_pass(), "{error}");
    assert_eq!(target.record().access_count(), asked);
    drop(other);
    go_on().await.unwrap();
    assert!(!rows.exists(), "it is over");
}

#[tokio::test]
async fn whether_a_run_is_recorded_is_asked_by_who_has_its_rows() {
    let target = target();
    let (_folder, history, mut plan, id) = Box::pin(recorded(&target)).await;
    plan.setup = vec![get(1, "/")];
    let begin = async |rows| {
        let (history, id) = (Some(history.clone()), Some(id.clone()));
        run(RunConfig { history, id, rows, ..config(plan.clone(), None).await }, Control::default()).await
    };
    let rows = history.rows_file(&id);
    let before = format!("{}\n{}", history.identity().await.unwrap(), "\0".repeat(8));
    std::fs::write(&rows, &before).unwrap();
    let other = std::fs::File::open(&rows).unwrap();
    other.try_lock().unwrap();
    let asked = target.record().access_count();
    // The other process may be about to record it.
    let error = begin(Some(rows.clone())).await.unwrap_err();
    assert!(matches!(error, RunError::Rows { what: "kept", .. }), "{error}");
    drop(other);
    let error = begin(Some(rows.clone())).await.unwrap_err();
    assert!(matches!(error, RunError::History(plimsoll_history::Error::RunExists { .. })), "{error}");
    assert_eq!(target.record().access_count(), asked);
    assert_eq!(std::fs::read_to_string(&rows).unwrap(), before, "the recorded run may go on with it");
    std::fs::remove_file(&rows).unwrap();
    assert!(begin(Some(rows.clone())).await.is_err() && !rows.exists(), "nor is one made");

    // Without rows it is only found when its setup was made.
    let error = begin(None).await.unwrap_err();
    assert!(matches!(error, RunError::Unrecorded(plimsoll_history::Error::RunExists { .. })), "{error}");
    assert!(error.to_string().contains("may have been sent"), "{error}");
    assert!(target.record().access_count() > asked);
}
