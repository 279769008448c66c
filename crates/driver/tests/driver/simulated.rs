//! What a real run can only show, proved on a simulated clock: to the request and to the millisecond.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, closed, config, get, open, plan};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_data::{Format, Function, Source, Table};
use plimsoll_driver::{Message, Origin, Simulation, Transport};
use plimsoll_measure::{Distribution, Outcome, Timing};
use plimsoll_run::{
    Action, Feed, FeedOrder, Header, LoadModel, Part, RunPlan, Template, UserLimits, Variable,
};
use plimsoll_units::Users;
use plimsoll_workload::{Pause, Stage, StageKind};
use tokio::time::Instant;

/// A server in the same simulation: answers after `service`, and not at all between two moments.
fn server(service: Duration, frozen: std::ops::Range<u64>) -> Transport {
    let start = Instant::now();
    let frozen = frozen.start * 1000..frozen.end * 1000;
    Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let frozen = frozen.clone();
        let answer = service_fn(move |_| {
            let frozen = frozen.clone();
            async move {
                let now = start.elapsed().as_millis() as u64;
                if frozen.contains(&now) {
                    tokio::time::sleep_until(start + Duration::from_millis(frozen.end)).await;
                }
                if !service.is_zero() {
                    tokio::time::sleep(service).await;
                }
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"hello"))))
            }
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }))
}

async fn simulate(plan: RunPlan, transport: Transport) -> Measured {
    Measured::of(Simulation::run(&config(plan, transport, CLIENT)).await.unwrap())
}

/// How many took more than `from` and at most `to` milliseconds, as the buckets tell them apart.
fn millis(distribution: &Distribution, from: u64, to: u64) -> u64 {
    let edge = |millis: u64| millis * 1_000_000 + 600_000;
    let inside = |(value, _): &&(u64, u64)| *value > edge(from) && *value <= edge(to);
    distribution.buckets().iter().filter(inside).map(|(_, count)| count).sum()
}

/// How many took any time at all.
fn late(distribution: &Distribution) -> u64 {
    millis(distribution, 0, 100_000)
}

fn step() -> Vec<Action> {
    vec![Action::Request(Box::new(get(0, "/")))]
}

#[tokio::test(start_paused = true)]
async fn a_frozen_target_shows_as_response_time_of_every_arrival_it_delayed() {
    let mut plan = plan("http://simulated", open(1000.0, 10.0), step());
    plan.http.connections = Some(10);
    let measured = simulate(plan, server(Duration::ZERO, 4..6)).await;

    assert_eq!(measured.arrivals(), 10_000);
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10_000)]);
    let response = measured.timing(Timing::ResponseTime);
    // The arrivals of two seconds, each as late as the freeze made it: 1 ms, 2 ms, ... 2,000 ms.
    assert_eq!(late(&response), 2000);
    assert_eq!(response.max(), Some(2_000_000_000));
    assert_eq!(response.sum(), (1..=2000_u128).sum::<u128>() * 1_000_000);
    for quarter in 0..4 {
        let found = millis(&response, quarter * 500, quarter * 500 + 500);
        assert!(found.abs_diff(500) <= 4, "{found} between {quarter} x 500 ms and 500 ms more");
    }
    // Only the ten that were on a connection took long to serve: 2,000 ms, 1,999 ms, ... 1,991 ms.
    let service = measured.timing(Timing::ServiceTime);
    assert_eq!(late(&service), 10);
    assert_eq!(service.sum(), (1991..=2000_u128).sum::<u128>() * 1_000_000);
    // The rest waited for a connection, and that is the target's doing: the generator was never late.
    assert_eq!(measured.timing(Timing::Wait).sum(), (1..=1990_u128).sum::<u128>() * 1_000_000);
    assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0));
    // The offered rate does not dip.
    for frame in &measured.frames[..10] {
        let arrivals: u64 = frame.iterations.values().map(|series| series.arrivals).sum();
        assert_eq!(arrivals, 1000, "second {}", frame.second);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_run_hides_the_same_freeze_from_all_but_its_users() {
    let measured =
        simulate(plan("http://simulated", closed(10, 10.0), step()), server(Duration::from_millis(10), 4..6))
            .await;
    let response = measured.timing(Timing::ResponseTime);
    assert_eq!(millis(&response, 100, 3000), 10, "one slow request a user");
    assert_eq!(response.count(), 10 * (400 + 1 + 399), "and two seconds of requests were never made");
}

#[tokio::test(start_paused = true)]
async fn seconds_are_handed_over_while_the_run_goes_on() {
    for model in [open(100.0, 4.0), closed(4, 4.0)] {
        let plan = plan("http://simulated", model, step());
        let config = config(plan, server(Duration::from_millis(10), 0..0), CLIENT);
        let messages = Simulation::run(&config).await.unwrap();
        let before_the_end =
            messages.iter().take_while(|message| !matches!(message, Message::OfferingEnded { .. }));
        let seconds = before_the_end.filter(|message| matches!(message, Message::Shard { .. })).count();
        assert!(seconds >= 3, "{seconds} of 4 seconds came before the stages ended");
    }
}

#[tokio::test(start_paused = true)]
async fn arrivals_beyond_max_in_flight_are_dropped_at_once_and_never_delayed() {
    let model = match open(100.0, 4.0) {
        LoadModel::Open { stages, spacing, .. } => LoadModel::Open { stages, spacing, max_in_flight: 50 },
        other => other,
    };
    let measured = simulate(plan("http://simulated", model, step()), server(Duration::ZERO, 1..3)).await;
    // 50 of the 200 arrivals of the frozen seconds are let in. The one due at the very moment of the
    // thaw still finds all places taken; those after it find room again.
    assert_eq!((measured.arrivals(), measured.dropped()), (400, 151));
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 249)]);
    let dropped: Vec<u64> = measured.frames[..4]
        .iter()
        .map(|f| f.iterations.values().map(|s| s.dropped_in_flight_limit).sum())
        .collect();
    assert_eq!(dropped, [0, 50, 100, 1]);
    assert_eq!(measured.timing(Timing::Wait).max(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_when_grace_ends_is_cut() {
    let mut plan = plan("http://simulated", open(10.0, 2.0), step());
    plan.load.grace = Duration::from_secs(3);
    plan.http.timeout = Duration::from_secs(60);
    let measured = simulate(plan, server(Duration::ZERO, 1..100)).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10), (Outcome::Cut, 10)]);
    assert_eq!(measured.offering_ended, [2_000_000_000]);
    assert_eq!(measured.finished, [5_000_000_000]);
    assert_eq!(measured.frames.iter().flat_map(|f| f.iterations.values()).map(|s| s.cut).sum::<u64>(), 10);
    // Each was cut at the time it had waited: due at 1.0, 1.1, ... 1.9 s, cut at 5 s.
    let pending = &measured.frames[2].pending.values().next().unwrap().since_due;
    assert_eq!(
        (pending.count(), pending.min(), pending.max()),
        (10, Some(1_100_000_000), Some(2_000_000_000))
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_at_the_time_waited() {
    let mut plan = plan("http://simulated", open(10.0, 2.0), step());
    plan.http.timeout = Duration::from_millis(1500);
    let measured = simulate(plan, server(Duration::ZERO, 0..100)).await;
    assert_eq!(measured.outcomes(), [(Outcome::Timeout, 20)]);
    let response = measured.timing(Timing::ResponseTime);
    assert!(response.min().unwrap() >= 1_500_000_000 && response.max().unwrap() <= 1_502_000_000);
    assert_eq!(measured.message(Outcome::Timeout).as_deref(), Some("no whole answer within 1s500ms"));
}

#[tokio::test(start_paused = true)]
async fn a_later_step_is_due_when_the_step_before_it_ended_plus_its_pause() {
    let pause = Pause::fixed(Duration::from_millis(300));
    let actions = vec![
        Action::Request(Box::new(get(0, "/a"))),
        Action::Pause(pause),
        Action::Request(Box::new(get(1, "/b"))),
    ];
    let measured =
        simulate(plan("http://simulated", open(1.0, 3.0), actions), server(Duration::from_millis(50), 0..0))
            .await;
    assert_eq!(measured.requests(|key| key.step == 0), 3);
    assert_eq!(measured.requests(|key| key.step == 1), 3);
    // Slowness is never charged twice: each step is timed from its own due.
    let response = measured.timing(Timing::ResponseTime);
    assert_eq!((response.min(), response.max()), (Some(50_000_000), Some(50_000_000)));
    // iteration_time = last done - arrival due, pauses included.
    let mut times =
        measured.frames.iter().flat_map(|f| f.iterations.values()).filter_map(|s| s.time.as_ref());
    assert!(times.all(|time| time.min() == Some(400_000_000) && time.max() == Some(400_000_000)));
}

#[tokio::test(start_paused = true)]
async fn a_request_belongs_to_the_phase_its_iteration_was_due_in() {
    let mut plan = plan("http://simulated", open(10.0, 4.0), step());
    plan.load.warmup = Duration::from_secs(1);
    // What was due at 0.9 s is answered at 1.1 s: it stays warm-up.
    let measured = simulate(plan, server(Duration::from_millis(200), 0..0)).await;
    assert_eq!(
        (measured.phase(plimsoll_measure::Phase::Warmup), measured.phase(plimsoll_measure::Phase::Measured)),
        (10, 30)
    );
    assert_eq!(measured.frames[1].requests(|key| key.phase == plimsoll_measure::Phase::Warmup), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closed_run_ends_when_its_iterations_are_done() {
    let model = match closed(4, 60.0) {
        LoadModel::Closed { stages, .. } => LoadModel::Closed {
            stages,
            limits: UserLimits { iterations: Some(1000), ..UserLimits::default() },
        },
        other => other,
    };
    let measured =
        simulate(plan("http://simulated", model, step()), server(Duration::from_millis(10), 0..0)).await;
    assert_eq!((measured.ended(), measured.outcome(Outcome::Ok)), (1000, 1000));
    assert!(measured.finished[0] < 2_600_000_000, "{:?}", measured.finished);
}

#[tokio::test(start_paused = true)]
async fn every_second_comes_once_and_counts_add_up() {
    let measured =
        simulate(plan("http://simulated", open(100.0, 3.0), step()), server(Duration::from_millis(5), 0..0))
            .await;
    let seconds: Vec<_> = measured.frames.iter().map(|frame| frame.second).collect();
    assert_eq!(seconds[..3], [0, 1, 2]);
    let ended: u64 = measured.frames.iter().map(|frame| frame.requests(|_| true)).sum();
    assert_eq!((ended, measured.arrivals(), measured.ended()), (300, 300, 300));
    // An arrival at 0.99 s that ends at 0.995 s belongs to second 0; none is shifted.
    assert_eq!(measured.frames[0].requests(|_| true), 100);
}

/// A scenario whose only step cannot be sent: its header would hold a line feed.
fn unsendable() -> Vec<Action> {
    let mut request = get(0, "/");
    let value = Template { parts: vec![Part::Variable(Variable::Column { feed: 0, column: 0 })] };
    request.headers = vec![Header { name: "x-user".into(), value, secret: false }];
    vec![Action::Request(Box::new(request))]
}

fn feed(row: &str) -> Feed {
    rows(&format!("name\n\"{row}\"\n"), FeedOrder::Sequential)
}

fn rows(csv: &str, order: FeedOrder) -> Feed {
    let source = Source::Memory(csv.as_bytes().into());
    let table = Table::open(source, Format::Csv { delimiter: b',' }, |_, _| {}).unwrap();
    Feed { name: "users".into(), table: Arc::new(table), digest: String::new(), order }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_sent_fails_its_iteration_and_never_spins() {
    for (model, iterations) in [(open(10.0, 2.0), 20), (closed(2, 2.0), 40)] {
        let mut plan = plan("http://simulated", model, unsendable());
        plan.feeds = vec![feed("ada\n")];
        let measured = simulate(plan, server(Duration::ZERO, 0..0)).await;
        let failed: u64 = measured.frames.iter().flat_map(|f| f.iterations.values()).map(|s| s.failed).sum();
        assert_eq!((failed, measured.ended()), (iterations, iterations));
        assert_eq!(measured.outcomes(), [], "a request that was never made is none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_goes_on_at_once_when_any_step_got_an_answer() {
    // The second step has a hole that nothing fills: it gets no answer, the first did.
    let first = get(0, "/");
    let mut second = get(1, "/");
    second.url = Template { parts: vec![Part::Variable(Variable::Setup(0))] };
    let actions = [first, second].map(|request| Action::Request(Box::new(request))).to_vec();
    let measured =
        simulate(plan("http://simulated", closed(1, 1.0), actions), server(Duration::from_millis(10), 0..0))
            .await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 100)]);
}

/// Redirects to a path that is never answered, after half a second.
fn redirecting_server() -> Transport {
    Transport::Memory(Arc::new(|| {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let answer = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = http::Response::builder().status(302).header("location", "/never");
            answer.body(Full::new(Bytes::new()))
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }))
}

#[tokio::test(start_paused = true)]
async fn a_request_cut_behind_a_redirect_was_sent_when_its_step_was() {
    let mut plan = plan("http://simulated", open(1.0, 1.0), step());
    plan.load.grace = Duration::from_secs(3);
    let measured = simulate(plan, redirecting_server()).await;
    assert_eq!(measured.outcomes(), [(Outcome::Redirect, 1), (Outcome::Cut, 1)]);
    // Due and sent at 0, cut at 4 s: the step's time spans its hops.
    assert_eq!(measured.timing(Timing::ServiceTime).max(), Some(4_000_000_000));
    let pending = &measured.frames[1].pending.values().next().unwrap().since_sent;
    assert_eq!(pending.max(), Some(2_000_000_000));
    let cut = measured.frames.iter().flat_map(|frame| &frame.series);
    let sent: u64 = cut.filter(|(key, _)| key.outcome == Outcome::Cut).map(|(_, s)| s.sent_bytes).sum();
    assert!(sent > 0, "what was written for it is counted");
}

#[tokio::test(start_paused = true)]
async fn requests_that_gave_up_waiting_leave_the_pool_whole() {
    let mut plan = plan("http://simulated", open(100.0, 6.0), step());
    plan.http.connections = Some(3);
    plan.http.timeout = Duration::from_millis(500);
    let measured = simulate(plan, server(Duration::from_millis(10), 1..3)).await;
    let timed_out = measured.outcome(Outcome::Timeout);
    // What was due between 1 s and about 2.5 s gave up, most of it in the queue for three connections.
    assert!((150..=160).contains(&timed_out), "{timed_out}");
    assert_eq!(measured.outcome(Outcome::Ok), 600 - timed_out);
    // Three connections at 10 ms carry three times the rate: soon nobody waits any more.
    let last = &measured.frames[4].series.values().next().unwrap().timings[&Timing::Wait];
    assert_eq!((last.count(), last.max()), (100, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn users_come_and_go_with_their_stages() {
    let stage = |kind, seconds| Stage { kind, length: Duration::from_millis(seconds) };
    let stages = vec![
        stage(StageKind::Pause, 1000),
        stage(StageKind::Ramp(Users(10)), 1000),
        stage(StageKind::Hold(Users(10)), 1000),
        stage(StageKind::Pause, 1000),
        stage(StageKind::Hold(Users(4)), 1000),
        stage(StageKind::Ramp(Users(0)), 1000),
        stage(StageKind::Pause, 1000),
    ];
    let model = LoadModel::Closed { stages, limits: UserLimits::default() };
    let measured =
        simulate(plan("http://simulated", model, step()), server(Duration::from_millis(10), 0..0)).await;
    let arrivals: Vec<u64> = measured.frames[..7]
        .iter()
        .map(|frame| frame.iterations.values().map(|series| series.arrivals).sum())
        .collect();
    // The n-th of ten users comes at n tenths of the ramp, the n-th of four goes when it falls to n - 1.
    let ramp_up: u64 = (1..10).map(|n| 100 - n * 10).sum();
    let ramp_down: u64 = [25, 50, 75, 100].into_iter().sum();
    assert_eq!(arrivals, [0, ramp_up, 1000, 0, 400, ramp_down, 0]);
    assert_eq!(measured.offering_ended, [7_000_000_000]);
    assert_eq!(measured.arrivals(), measured.ended());
}

/// What a server in the same simulation was asked for, in some order.
async fn asked(model: LoadModel, workers: usize, feed: FeedOrder) -> Vec<String> {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let transport = Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let heard = Arc::clone(&heard);
        let answer = service_fn(move |request: http::Request<_>| {
            heard.lock().unwrap().push(request.uri().to_string());
            std::future::ready(Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new()))))
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }));
    let hole = |variable| [Part::Text("/".to_owned()), Part::Variable(variable)];
    let [mut first, mut second] = [get(0, "/"), get(1, "/")];
    let variables = [Variable::User, Variable::Made(0), Variable::Made(1), Variable::Made(1)];
    first.url = Template { parts: variables.into_iter().flat_map(hole).collect() };
    let variables = [Variable::Made(2), Variable::Column { feed: 0, column: 1 }];
    second.url = Template { parts: variables.into_iter().flat_map(hole).collect() };
    let actions = [first, second].map(|request| Action::Request(Box::new(request))).to_vec();
    let mut plan = plan("http://simulated", model, actions);
    plan.functions =
        ["int(0, 1000000)", "uuid()", "sequence()"].map(|call| Function::parse(call).unwrap()).to_vec();
    let lines: String = (0..50).map(|n| format!("{n},\"row {n}\"\n")).collect();
    plan.feeds = vec![rows(&format!("n,name\n{lines}"), feed)];
    let config = plimsoll_driver::DriverConfig { workers, ..config(plan, transport, CLIENT) };
    let measured = Measured::of(Simulation::run(&config).await.unwrap());
    assert_eq!(measured.arrivals(), measured.ended());
    let mut asked = std::mem::take(&mut *asked.lock().unwrap());
    asked.sort_unstable();
    asked
}

#[tokio::test(start_paused = true)]
async fn made_values_are_the_same_however_many_workers_make_them() {
    let first = asked(open(50.0, 1.0), 1, FeedOrder::Unique).await;
    assert_eq!(first, asked(open(50.0, 1.0), 3, FeedOrder::Unique).await);
    assert_eq!(first.len(), 100);
    let rows: Vec<_> = first.iter().filter(|url| url.contains("row%20")).collect();
    assert!((0..50).all(|n| rows.contains(&&format!("/0/row%20{n}"))), "{rows:?}");
    let made: Vec<_> = first.iter().filter(|url| !url.contains("row")).collect();
    for url in &made {
        let parts: Vec<_> = url.split('/').collect();
        assert!(parts[2].parse::<u32>().is_ok_and(|n| n <= 1_000_000) && parts[3] != parts[4], "{url}");
    }
    let users: std::collections::BTreeSet<_> = made.iter().map(|url| url.split('/').nth(3)).collect();
    assert_eq!(users.len(), 50, "each user has values of its own");
}

#[tokio::test(start_paused = true)]
async fn a_sequence_counts_for_each_user() {
    let stages = vec![Stage { kind: StageKind::Hold(Users(3)), length: Duration::from_secs(1) }];
    let model =
        LoadModel::Closed { stages, limits: UserLimits { iterations: Some(12), ..UserLimits::default() } };
    let asked = asked(model, 1, FeedOrder::Sequential).await;
    let count = |n: &str| asked.iter().filter(|url| url.starts_with(&format!("/{n}/row"))).count();
    assert_eq!(["0", "1", "2", "3", "4"].map(count), [3, 3, 3, 3, 0], "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn shuffled_rows_come_once_before_any_comes_again() {
    let asked = asked(open(100.0, 1.0), 2, FeedOrder::Shuffled).await;
    let rows: Vec<_> = asked.iter().filter(|url| url.contains("row%20")).collect();
    assert_eq!(rows.len(), 100);
    assert!((0..50).all(|n| rows.iter().filter(|url| ***url == format!("/0/row%20{n}")).count() == 2));
}

/// What is offered in each second by a run that goes on at one of them, and how many requests failed or were late.
async fn resumed(plan: &RunPlan, second: u64, begun: u64) -> Vec<u64> {
    let origin = Origin { second, resumptions: 1, begun: vec![begun], steers: Vec::new() };
    let config = config(plan.clone(), server(Duration::from_millis(10), 0..0), CLIENT);
    let config = plimsoll_driver::DriverConfig { origin, workers: 2, ..config };
    let measured = Measured::of(Simulation::run(&config).await.unwrap());
    assert_eq!(measured.arrivals(), measured.ended(), "from {second} s on");
    // The timers of simulated time are as fine as that.
    let lag = measured.timing(Timing::ScheduleLag).max().unwrap_or(0);
    assert!(lag < 1_000_000, "from {second} s on: {lag}");
    arrivals(&measured)
}

fn arrivals(measured: &Measured) -> Vec<u64> {
    let of = |frame: &plimsoll_measure::Frame| frame.iterations.values().map(|series| series.arrivals).sum();
    measured.frames.iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_at_any_second_offers_what_is_left_of_the_plan() {
    let rate = |per_second| plimsoll_units::Rate::new(per_second).unwrap();
    let stage = |kind, seconds| Stage { kind, length: Duration::from_secs(seconds) };
    let stages = vec![
        stage(StageKind::Ramp(rate(90.0)), 3),
        stage(StageKind::Pause, 1),
        stage(StageKind::Hold(rate(7.5)), 4),
    ];
    let model = LoadModel::Open { stages, spacing: plimsoll_workload::Spacing::Uniform, max_in_flight: 1000 };
    let plan = plan("http://simulated", model, step());
    let whole = arrivals(&simulate(plan.clone(), server(Duration::from_millis(10), 0..0)).await);
    assert_eq!(whole[..8].iter().sum::<u64>(), 135 + 30);
    for second in 0..9 {
        let begun: u64 = whole.iter().take(second).sum();
        let rest = resumed(&plan, second as u64, begun).await;
        assert!(rest.iter().take(second).all(|arrivals| *arrivals == 0));
        assert_eq!(rest.iter().skip(second).sum::<u64>(), 165 - begun, "from {second} s on");
        assert_eq!(rest.get(second..8).unwrap_or_default(), whole.get(second..8).unwrap_or_default());
    }
}

#[tokio::test(start_paused = true)]
async fn users_that_go_on_are_as_many_as_the_plan_wants_there_and_do_what_is_left() {
    let users = |stages| LoadModel::Closed { stages, limits: UserLimits::default() };
    let stage =
        |users, seconds| Stage { kind: StageKind::Hold(Users(users)), length: Duration::from_secs(seconds) };
    let plan_of = |model| plan("http://simulated", model, step());
    // A user makes one request every 10 ms.
    let plan = plan_of(users(vec![stage(2, 2), stage(5, 2)]));
    assert_eq!(resumed(&plan, 1, 200).await[..4], [0, 200, 500, 500]);
    assert_eq!(resumed(&plan, 3, 900).await[..4], [0, 0, 0, 500]);
    let limits = UserLimits { iterations: Some(1000), ..UserLimits::default() };
    let plan = plan_of(LoadModel::Closed { stages: vec![stage(2, 60)], limits });
    assert_eq!(resumed(&plan, 4, 800).await.iter().sum::<u64>(), 200);
    assert_eq!(resumed(&plan, 5, 1000).await.iter().sum::<u64>(), 0, "all were begun before");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_is_what_it_was_steered_to() {
    let steers = vec![(0, 1_000_000_000, plimsoll_workload::Wanted::Level(40.0))];
    let config =
        config(plan("http://simulated", open(100.0, 4.0), step()), server(Duration::ZERO, 0..0), CLIENT);
    let origin = Origin { second: 2, resumptions: 1, begun: vec![140], steers };
    let config = plimsoll_driver::DriverConfig { origin, ..config };
    let measured = Measured::of(Simulation::run(&config).await.unwrap());
    assert_eq!(arrivals(&measured)[..4], [0, 0, 40, 40]);
}
