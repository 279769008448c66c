//! Users that think, keep a pace and are bounded, and loads beside each other, on a simulated clock.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, closed, config, get, open, plan};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_data::{LogRules, Methods, Source, Table};
use plimsoll_driver::{Simulation, Transport};
use plimsoll_measure::{IterationKey, IterationSeries, Outcome, Timing};
use plimsoll_run::{
    Action, Comparison, Feed, FeedOrder, If, LoadModel, Part, Replay, RunPlan, Scenario, StepShape, Template,
    UserLimits, Variable,
};
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Curve, Pause, Spacing, Stage, StageKind};

/// A server in the same simulation that answers after so many milliseconds.
fn server(millis: u64) -> Transport {
    Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let answer = service_fn(move |_| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"hello"))))
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }))
}

fn steps() -> Vec<Action> {
    vec![Action::Request(Box::new(get(0, "/")))]
}

async fn simulate(plan: RunPlan, millis: u64) -> Measured {
    Measured::of(Simulation::run(&config(plan, server(millis), CLIENT)).await.unwrap())
}

/// Arrivals of each second.
fn arrivals(measured: &Measured, which: impl Fn(&IterationKey) -> bool) -> Vec<u64> {
    let of = |series: &IterationSeries| series.arrivals;
    let seconds = measured.frames.iter().map(|frame| {
        frame.iterations.iter().filter(|(key, _)| which(key)).map(|(_, series)| of(series)).sum()
    });
    seconds.collect()
}

fn millis(length: u64) -> Duration {
    Duration::from_millis(length)
}

#[tokio::test(start_paused = true)]
async fn a_closed_user_thinks_between_two_iterations() {
    let mut plan = plan("http://simulated", closed(2, 4.0), steps());
    plan.scenarios[0].think_time = Some(Pause::fixed(millis(400)));
    let measured = simulate(plan, 100).await;
    // 100 ms to answer and 400 ms to think: two a second from each of two users.
    assert_eq!(arrivals(&measured, |_| true)[..4], [4; 4]);
    // What a user thinks after an iteration is no part of it.
    let times = measured.frames.iter().flat_map(|frame| frame.iterations.values());
    let mut times = times.filter_map(|series| series.time.as_ref());
    assert!(times.all(|time| time.max() == Some(100_000_000)));
    assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn iterations_of_a_user_start_at_its_pace_or_at_once_when_they_took_longer() {
    for (answers, expected) in [(100, 8), (999, 8), (1600, 5)] {
        let mut plan = plan("http://simulated", closed(1, 8.0), steps());
        plan.scenarios[0].pacing = Some(Duration::from_secs(1));
        let measured = simulate(plan, answers).await;
        assert_eq!(measured.arrivals(), expected, "{answers} ms");
        assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0), "{answers} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pace_and_a_think_time_together_are_the_longer_of_both() {
    for (think, expected) in [(300, 5), (1900, 2)] {
        let mut plan = plan("http://simulated", closed(1, 4.0), steps());
        plan.scenarios[0].pacing = Some(millis(800));
        plan.scenarios[0].think_time = Some(Pause::fixed(millis(think)));
        assert_eq!(simulate(plan, 100).await.arrivals(), expected, "{think} ms");
    }
}

fn limited(users: u32, seconds: f64, limits: UserLimits) -> LoadModel {
    match closed(users, seconds) {
        LoadModel::Closed { stages, .. } => LoadModel::Closed { stages, limits },
        other => other,
    }
}

#[tokio::test(start_paused = true)]
async fn users_start_at_most_so_many_iterations_a_second_and_none_of_them_is_late() {
    let limits = UserLimits { at_most: Rate::new(50.0), ..UserLimits::default() };
    let measured = simulate(plan("http://simulated", limited(10, 4.0, limits), steps()), 10).await;
    // Ten users could start 1,000 a second.
    assert_eq!(arrivals(&measured, |_| true)[..4], [50; 4]);
    assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0));
    // What was held back on purpose is not charged to the target.
    assert_eq!(measured.timing(Timing::ResponseTime).max(), Some(10_000_000));
    // Where users are slower than the limit, it takes nothing from them.
    let measured = simulate(plan("http://simulated", limited(2, 4.0, limits), steps()), 100).await;
    assert_eq!(arrivals(&measured, |_| true)[..4], [20; 4]);
}

#[tokio::test(start_paused = true)]
async fn each_user_does_its_iterations_and_the_run_ends_with_the_last() {
    let limits = UserLimits { per_user: Some(5), ..UserLimits::default() };
    let measured = simulate(plan("http://simulated", limited(4, 60.0, limits), steps()), 10).await;
    assert_eq!((measured.arrivals(), measured.ended()), (20, 20));
    assert!(measured.finished[0] < 100_000_000, "{:?}", measured.finished);

    // Users who come later have theirs too; one who left with its stage goes on where it was.
    let hold = |users, length| Stage { kind: StageKind::Hold(Users(users)), length: millis(length) };
    let stages = vec![hold(1, 25), hold(3, 25), hold(1, 25), hold(3, 1000)];
    let model = LoadModel::Closed { stages, limits };
    let measured = simulate(plan("http://simulated", model, steps()), 10).await;
    assert_eq!(measured.arrivals(), 15);
    assert!(measured.finished[0] < 200_000_000, "{:?}", measured.finished);
}

/// A plan whose `main` has 100/s for 4 s, `burst` 10/s for 2 s after 1 s, and `people` two users for 3 s.
fn beside_each_other() -> RunPlan {
    let mut plan = plan("http://simulated", open(100.0, 4.0), steps());
    let stage = |kind, length| Stage { kind, length: millis(length) };
    let stages = vec![
        stage(StageKind::Pause, 1000),
        stage(StageKind::Hold(Rate::new(10.0).unwrap()), 1000),
        stage(StageKind::Hold(Rate::new(20.0).unwrap()), 1000),
    ];
    let burst = LoadModel::Open { stages, spacing: Spacing::Uniform, max_in_flight: 100 };
    for (index, (name, load)) in (1..).zip([("burst", burst), ("people", closed(2, 3.0))]) {
        let step = StepShape { scenario: name.into(), scenario_index: Some(index), step: "step".into() };
        plan.steps.push(step);
        let actions = vec![Action::Request(Box::new(get(index, "/")))];
        plan.scenarios.push(Scenario { name: name.into(), load: Some(load), actions, ..Scenario::default() });
    }
    plan
}

#[tokio::test(start_paused = true)]
async fn loads_beside_each_other_are_offered_to_the_arrival() {
    let measured = simulate(beside_each_other(), 100).await;
    let of = |scenario: u16| arrivals(&measured, move |key| key.scenario == scenario);
    assert_eq!(of(0)[..4], [100, 100, 100, 100]);
    assert_eq!(of(1)[..4], [0, 10, 20, 0]);
    assert_eq!(of(2)[..4], [20, 20, 20, 0]);
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 400 + 30 + 60)]);
    assert_eq!(measured.offering_ended, [4_000_000_000], "the run ends with the longest load");
    // Stages are counted through: the shared load's, then those of the scenarios in order.
    let stages = |scenario: u16| {
        let keys = measured.frames.iter().flat_map(|frame| frame.iterations.keys());
        let mut stages: Vec<_> =
            keys.filter(|key| key.scenario == scenario).filter_map(|key| key.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    };
    assert_eq!((stages(0), stages(1), stages(2)), (vec![0], vec![2, 3], vec![4]));
    assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_full_drops_its_own_arrivals_alone() {
    let mut plan = beside_each_other();
    if let Some(LoadModel::Open { max_in_flight, .. }) = &mut plan.scenarios[1].load {
        *max_in_flight = 1;
    }
    let measured = simulate(plan, 1000).await;
    // One iteration of `burst` at a time, from 1 s to 2 s and from 2 s to 3 s; the arrival at 2.0 s finds it gone
    // or not, depending on who is first at that moment, and then the next has its place.
    let dropped = |scenario: u16| -> u64 {
        let all = measured.frames.iter().flat_map(|frame| &frame.iterations);
        all.filter(|(key, _)| key.scenario == scenario).map(|(_, it)| it.dropped_in_flight_limit).sum()
    };
    assert_eq!((dropped(0), dropped(1), dropped(2)), (0, 28, 0));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_thousands_of_rows_is_one_stage_and_offered_to_the_arrival() {
    // A row each 100 ms for 400 s: the rate climbs by one every second, and falls to zero at the end.
    let step = |n: u64| (millis(100), (n / 10) as f64);
    let curve = Curve::of_steps((0..4000).map(step)).unwrap();
    let stages = vec![Stage::along(curve, StageKind::Schedule)];
    let model = LoadModel::Open { stages, spacing: Spacing::Uniform, max_in_flight: 1000 };
    let measured = simulate(plan("http://simulated", model, steps()), 10).await;
    let each: Vec<u64> = (0..400).collect();
    assert_eq!(arrivals(&measured, |_| true)[..400], each);
    assert!(arrivals(&measured, |key| key.stage != Some(0)).iter().all(|count| *count == 0));
    // Timers have whole milliseconds, and what is due has not.
    assert!(measured.timing(Timing::ScheduleLag).max() < Some(1_000_000));
    assert_eq!(measured.offering_ended, [400_000_000_000]);
}

/// A plan that replays a log of JSON lines, a second after its start.
fn replaying(log: &str, speed: f64) -> RunPlan {
    let rules = LogRules { methods: Methods::SAFE, tolerance: millis(10_000) };
    let source = Source::Memory(log.as_bytes().into());
    let (table, summary) = Table::open_log(source, rules, |_, _, _| {}).unwrap();
    let length = |count: &u64| (Duration::from_secs_f64(1.0 / speed), *count as f64 * speed);
    let curve = Curve::of_steps(summary.stretches.iter().map(length)).unwrap();
    let pause = Stage { kind: StageKind::Pause, length: millis(1000) };
    let stages = vec![pause, Stage::along(curve, StageKind::Replay)];
    let model = LoadModel::Open { stages, spacing: Spacing::Uniform, max_in_flight: 1000 };
    let hole = |column| Template { parts: vec![Part::Variable(Variable::Column { feed: 0, column })] };
    let made = |method: &str| {
        let request = plimsoll_run::Request { method: method.into(), url: hole(1), ..get(0, "/") };
        vec![Action::Request(Box::new(request))]
    };
    let actions = Action::If(If {
        value: hole(0),
        is: Comparison::Equals("GET".into()),
        then: made("GET"),
        otherwise: made("HEAD"),
    });
    let mut plan = plan("http://simulated/shop", model, vec![actions]);
    let (name, digest) = ("access.log".to_owned(), String::new());
    plan.feeds = vec![Feed { name, table: Arc::new(table), digest, order: FeedOrder::Recorded }];
    plan.scenarios[0].replay = Some(Replay { feed: 0, speed, notes: Vec::new() });
    plan
}

/// What a server in the same simulation was asked, and when, in milliseconds.
async fn asked_when(plan: RunPlan) -> (Vec<(u64, String)>, Measured) {
    let began = tokio::time::Instant::now();
    let asked: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let transport = Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let heard = Arc::clone(&heard);
        let answer = service_fn(move |request: http::Request<_>| {
            let when = began.elapsed().as_millis() as u64;
            heard.lock().unwrap().push((when, format!("{} {}", request.method(), request.uri())));
            async move {
                // Slower than requests follow each other.
                tokio::time::sleep(millis(700)).await;
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
            }
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer),
        );
        near
    }));
    let measured = Measured::of(Simulation::run(&config(plan, transport, CLIENT)).await.unwrap());
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    (asked, measured)
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_log_leave_when_they_came_however_slow_the_target_is() {
    let line = |(at, method, path): (f64, &str, &str)| {
        format!("{{\"time\":{at:?},\"method\":\"{method}\",\"path\":\"{path}\"}}\n")
    };
    let lines = [
        (100.0, "GET", "/a?x=1"),
        (100.5, "POST", "/left-out"),
        (101.5, "HEAD", "/b"),
        (101.75, "GET", "http://elsewhere.example/c%20d"),
        (104.0, "GET", "/a?x=1"),
    ];
    let log: String = lines.map(line).concat();
    for (speed, expected) in
        [(1.0, [1000, 2500, 2750, 5000]), (2.0, [1000, 1750, 1875, 3000]), (0.5, [1000, 4000, 4500, 9000])]
    {
        let (asked, measured) = asked_when(replaying(&log, speed)).await;
        let requests = ["GET /shop/a?x=1", "HEAD /shop/b", "GET /shop/c%20d", "GET /shop/a?x=1"];
        let expected: Vec<_> = expected.into_iter().zip(requests.map(str::to_owned)).collect();
        assert_eq!(asked, expected, "{speed} times as fast");
        assert_eq!((measured.arrivals(), measured.outcome(Outcome::Ok)), (4, 4));
        // Late would be later than the log says; what the target takes is its own.
        assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0));
        assert_eq!(measured.timing(Timing::ResponseTime).max(), Some(700_000_000));
        assert!(arrivals(&measured, |key| key.stage != Some(1)).iter().all(|count| *count == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_second_are_spread_over_it() {
    let line = |second: u64| {
        format!("- - - [01/Jan/2026:00:00:{second:02} +0000] \"GET /{second} HTTP/1.1\" 200 5\n")
    };
    let log: String = [0, 0, 0, 0, 1, 3, 3].map(line).concat();
    let (asked, measured) = asked_when(replaying(&log, 2.0)).await;
    let when: Vec<_> = asked.iter().map(|(when, _)| *when).collect();
    assert_eq!(when, [1000, 1125, 1250, 1375, 1500, 2500, 2750]);
    assert_eq!(measured.offering_ended, [3_000_000_000]);
}

#[tokio::test(start_paused = true)]
async fn another_load_in_place_of_a_replay_has_its_requests_in_their_order() {
    let line = |n: u64| format!("{{\"time\":{n},\"method\":\"GET\",\"path\":\"/{n}\"}}\n");
    let mut plan = replaying(&(0..3).map(line).collect::<String>(), 1.0);
    plan.load.model = open(10.0, 0.5);
    let (asked, _) = asked_when(plan).await;
    let asked: Vec<_> = asked.iter().map(|(when, what)| (*when, what.as_str())).collect();
    let expected = [(0, "/0"), (100, "/1"), (200, "/2"), (300, "/0"), (400, "/1")];
    assert_eq!(asked.len(), 5);
    for ((when, what), (due, path)) in asked.into_iter().zip(expected) {
        assert_eq!((when, what), (due, &*format!("GET /shop{path}")));
    }
}
