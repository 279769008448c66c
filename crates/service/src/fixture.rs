//! The smallest runs, for tests, and an SLA that judges them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plimsoll_history::{History, Recorder};
use plimsoll_measure::{Edges, Frame, Limits, Outcome, Phase, SECOND, Sample, SeriesKey, Shard, Vitals};
use plimsoll_run::{
    Ended, Gauges, Machine, Model, RunEvent, RunInfo, RunStatus, Second, Shape, Started, State,
};
use plimsoll_sla::{Expression, Filter, Objective, Severity};
use plimsoll_spec::Source;
use plimsoll_spec::openslo::read_slas;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::slas::{Promises, RunSecond, Slas};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// The start of a run at this second, whose requests are judged.
pub(crate) fn began(id: &str, at: u64) -> Started {
    let mut started = started(id, "");
    started.info.started_nanos = at.cast_signed() * 1_000_000_000;
    started.shape.objectives.push(Objective {
        name: "answers".to_owned(),
        text: "availability >= 0.999".to_owned(),
        expression: Expression::parse("availability >= 0.999").unwrap(),
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    });
    started
}

/// A second of a run, with one request.
pub(crate) fn second(number: u64, started: &Started) -> RunEvent {
    let mut shard = Shard::new(number, started.shape.edges.clone());
    let key = SeriesKey { step: 0, phase: Phase::Measured, stage: None, outcome: Outcome::Ok };
    shard.record(&Sample::at(key, number * SECOND));
    let mut frame = Frame::new(number);
    shard.merge_into(&mut frame);
    let wall_nanos = started.info.started_nanos + (number as i64 + 1) * SECOND as i64;
    let (gauges, vitals) = (Gauges::default(), Vitals::default());
    RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos }))
}

/// The end of a run of so many seconds.
pub(crate) fn end(seconds: u64) -> RunEvent {
    let (at, status) = (seconds * SECOND, RunStatus::Completed);
    RunEvent::Ended(Arc::new(Ended { at, status, reason: None, exports: Vec::new(), samples: None }))
}

/// Records a run that began at this second and is judged.
pub(crate) async fn record(history: &History, id: &str, at: u64, seconds: u64) {
    let started = began(id, at);
    let recorder = Recorder::start(history, &started).await.unwrap();
    (0..seconds).for_each(|number| recorder.record(&second(number, &started)));
    recorder.record(&end(seconds));
    assert!(recorder.finish(PATIENCE).await.ended);
}

const SLO: &str = r"apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: web
  indicator:
    metadata: {name: good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Plimsoll, spec: {plan: shop}}}
        total: {metricSource: {type: Plimsoll, spec: {plan: shop}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
";

/// What a service judges that begins now.
pub(crate) async fn judge_anew(history: &History) -> Arc<Slas> {
    let source = Source { name: "sla.yaml".to_owned(), text: SLO.to_owned() };
    let (documents, slas) = read_slas(&[source]);
    assert!(documents.is_right());
    let promises = Promises { slas, ..Promises::default() };
    Slas::open(history.clone(), promises, None).await.unwrap().0
}

/// An earlier service judged one second of a run with one request, and ended: this one.
pub(crate) async fn judging(history: &History) -> u64 {
    let base = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() - 10_000;
    let slas = judge_anew(history).await;
    let started = began("before", base);
    let mut state = State::new(Arc::new(started.clone()));
    state.apply(&second(0, &started));
    slas.run_event(&RunSecond { run: "before", state: &state }, &second(0, &started));
    slas.caught_up();
    stop(slas).await;
    base
}

/// Ends a service as it is stopped.
pub(crate) async fn stop(slas: Arc<Slas>) {
    let ended = CancellationToken::new();
    ended.cancel();
    slas.run(Vec::new(), ended).await;
}

/// A record without runs, and its folder.
pub(crate) async fn fresh() -> (tempfile::TempDir, History) {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path().join("history.db")).await.unwrap();
    (folder, history)
}

/// Damages the minute of an ended run that begins at a second.
pub(crate) async fn damage(history: &History, id: &str, first: i64) {
    history.compact().await.unwrap();
    let options = SqliteConnectOptions::new().filename(history.path());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let damaged = sqlx::query(
        "UPDATE chunks SET data = x'00' WHERE first_second = $1 AND run = (SELECT run FROM runs WHERE id = $2)",
    );
    let done = damaged.bind(first).bind(id).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    connection.close().await.unwrap();
}

/// How many requests were judged.
pub(crate) fn counted(slas: &Slas) -> u64 {
    slas.statuses()[0]["events"]["total"].as_u64().unwrap()
}
