//! What iterations do beside one step after the other, proved on a simulated clock.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, closed, config, get, open, plan};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_driver::{Simulation, Transport};
use plimsoll_measure::{Outcome, Timing};
use plimsoll_run::{
    Absent, Action, Assignment, Branch, Capture, CaptureSource, Comparison, Expect, Group, If, LoadModel,
    OnFailure, Part, Repeat, Request, Retry, RunPlan, StatusRange, Template, Until, Variable,
};
use plimsoll_workload::Pause;
use serde_json::json;
use tokio::time::Instant;

/// What was asked of the server: when in milliseconds, and which path.
type Asked = Arc<Mutex<Vec<(u64, String)>>>;

/// A server in the same simulation that answers as `answer` says of a path and of how often it was asked for
/// before: after so many milliseconds, with a status and a body.
fn server(answer: fn(&str, usize) -> (u64, u16, &'static str)) -> (Transport, Asked) {
    let start = Instant::now();
    let asked = Asked::default();
    let all = Arc::clone(&asked);
    let transport = Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let all = Arc::clone(&all);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let path = request.uri().to_string();
            let cookie = request.headers().get("cookie").map(|value| value.to_str().unwrap().to_owned());
            let before = {
                let mut all = all.lock().unwrap();
                let before = all.iter().filter(|(_, known)| *known == path).count();
                let told = cookie.map_or(path.clone(), |cookie| format!("{path} {cookie}"));
                all.push((start.elapsed().as_millis() as u64, told));
                before
            };
            let (millis, status, body) = answer(&path, before);
            async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                let mut response = http::Response::builder().status(status);
                if path == "/login" {
                    response = response.header("set-cookie", "sid=7");
                }
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
            }
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service),
        );
        near
    }));
    (transport, asked)
}

async fn simulate(plan: RunPlan, transport: Transport) -> Measured {
    Measured::of(Simulation::run(&config(plan, transport, CLIENT)).await.unwrap())
}

/// One iteration a second, or one user for as long.
fn once(actions: Vec<Action>) -> RunPlan {
    plan("http://simulated", open(1.0, 1.0), actions)
}

fn step(step: u16, path: &str) -> Request {
    get(step, path)
}

fn request(request: Request) -> Action {
    Action::Request(Box::new(request))
}

fn paths(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(_, path)| path.clone()).collect()
}

fn times(asked: &Asked) -> Vec<u64> {
    asked.lock().unwrap().iter().map(|(at, _)| *at).collect()
}

/// Passes through a group, how many of them failed, and their times in milliseconds together.
fn group(measured: &Measured, wanted: u16) -> (u64, u64, u128) {
    let (mut ended, mut failed, mut sum) = (0, 0, 0);
    for frame in &measured.frames {
        for (_, series) in frame.groups.iter().filter(|(key, _)| key.group == wanted) {
            (ended, failed) = (ended + series.ended, failed + series.failed);
            sum += series.time.as_ref().map_or(0, |time| time.sum() / 1_000_000);
        }
    }
    (ended, failed, sum)
}

fn capture(slot: u16, path: &str) -> Capture {
    Capture::new(format!("c{slot}"), slot, CaptureSource::JsonPath(path.to_owned()))
}

fn hole(slot: u16) -> Template {
    Template { parts: vec![Part::Variable(Variable::Capture(slot))] }
}

fn path_with(path: &str, slot: u16) -> Template {
    Template { parts: vec![Part::Text(path.to_owned()), Part::Variable(Variable::Capture(slot))] }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_timed_with_its_pauses_and_around_the_groups_within() {
    let millis = Duration::from_millis;
    let pause = Pause::fixed(millis(5));
    let inner = Group { group: 1, actions: vec![request(step(1, "/b")), Action::Pause(pause)] };
    let actions = vec![
        request(step(2, "/before")),
        Action::Group(Group { group: 0, actions: vec![request(step(0, "/a")), Action::Group(inner)] }),
        request(step(3, "/after")),
    ];
    let (transport, asked) = server(|_, _| (10, 200, ""));
    let measured = simulate(once(actions), transport).await;
    assert_eq!(paths(&asked), ["/before", "/a", "/b", "/after"]);
    assert_eq!((group(&measured, 0), group(&measured, 1)), ((1, 0, 25), (1, 0, 15)));
    assert_eq!(measured.ended(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_groups_around_it() {
    let inner = |on_failure| {
        let failing = Request { on_failure, ..step(0, "/fails") };
        let inner = Group { group: 1, actions: vec![request(failing), request(step(1, "/then"))] };
        vec![Action::Group(Group { group: 0, actions: vec![Action::Group(inner)] })]
    };
    for (on_failure, sent, millis) in [(OnFailure::EndIteration, 1, 10), (OnFailure::Continue, 2, 20)] {
        let (transport, asked) = server(|path, _| (10, if path == "/fails" { 500 } else { 200 }, ""));
        let measured = simulate(once(inner(on_failure)), transport).await;
        assert_eq!(paths(&asked).len(), sent, "{on_failure:?}");
        assert_eq!((group(&measured, 0), group(&measured, 1)), ((1, 1, millis), (1, 1, millis)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_is_done_as_often_as_drawn_and_draws_anew() {
    let pause = Pause::Even { min: Duration::ZERO, max: Duration::from_millis(900) };
    let repeat = |min, max, actions| Action::Repeat(Repeat { min, max, actions });
    let body = vec![request(step(0, "/r")), Action::Pause(pause)];
    let (transport, asked) = server(|_, _| (10, 200, ""));
    simulate(once(vec![repeat(4, 4, body), repeat(0, 0, vec![request(step(1, "/never"))])]), transport).await;
    let times = times(&asked);
    assert_eq!(times.len(), 4, "{times:?}");
    let gaps: std::collections::BTreeSet<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(gaps.len(), 3, "each pause is another: {times:?}");

    let nested = repeat(2, 2, vec![request(step(0, "/o")), repeat(3, 3, vec![request(step(1, "/i"))])]);
    let (transport, asked) = server(|_, _| (0, 200, ""));
    simulate(once(vec![nested]), transport).await;
    assert_eq!(paths(&asked).join(""), "/o/i/i/i/o/i/i/i");

    let (transport, asked) = server(|_, _| (0, 200, ""));
    let drawn = vec![repeat(1, 3, vec![request(step(0, "/d"))])];
    simulate(plan("http://simulated", open(100.0, 10.0), drawn), transport).await;
    let mean = asked.lock().unwrap().len() as f64 / 1000.0;
    assert!((mean - 2.0).abs() < 0.1, "{mean}");
}

#[tokio::test(start_paused = true)]
async fn what_was_captured_decides_what_is_done() {
    let choice = |is| {
        let look = Request { captures: vec![capture(0, "$.stock")], ..step(0, "/stock") };
        let choice = If {
            value: hole(0),
            is,
            then: vec![request(step(1, "/buy"))],
            otherwise: vec![request(step(2, "/wait"))],
        };
        vec![request(look), Action::If(choice), request(step(3, "/end"))]
    };
    for (is, taken) in [
        (Comparison::Above(2.0), "/buy"),
        (Comparison::Equals(json!(3)), "/buy"),
        (Comparison::Above(3.0), "/wait"),
        (Comparison::Exists(false), "/wait"),
    ] {
        let (transport, asked) = server(|_, _| (1, 200, r#"{"stock":3}"#));
        simulate(once(choice(is)), transport).await;
        assert_eq!(paths(&asked), ["/stock", taken, "/end"]);
    }
    // Nothing was captured: it is absent, which is no mistake.
    let absent = If {
        value: hole(0),
        is: Comparison::Exists(true),
        then: vec![request(step(0, "/there"))],
        otherwise: Vec::new(),
    };
    let set = Action::Set(vec![Assignment { name: "x".into(), slot: 0, value: Template::text("7") }]);
    for (actions, expected) in [
        (
            vec![
                Action::If(absent.clone()),
                set.clone(),
                request(Request { url: path_with("/x/", 0), ..step(1, "/") }),
            ],
            vec!["/x/7"],
        ),
        (vec![set, Action::If(absent)], vec!["/there"]),
    ] {
        let (transport, asked) = server(|_, _| (1, 200, ""));
        let mut plan = once(actions);
        plan.scenarios[0].captures = 1;
        simulate(plan, transport).await;
        assert_eq!(paths(&asked), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_several_things_is_drawn_by_weight_and_alike_by_one_seed() {
    let branch = |weight, at: u16, path: &str| Branch { weight, actions: vec![request(step(at, path))] };
    let draw = || vec![Action::OneOf(vec![branch(3, 0, "/a"), branch(0, 1, "/b"), branch(1, 2, "/c")])];
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (transport, asked) = server(|_, _| (1, 200, ""));
        simulate(plan("http://simulated", open(100.0, 20.0), draw()), transport).await;
        seen.push(paths(&asked));
    }
    assert_eq!(seen[0], seen[1]);
    let share = |path| seen[0].iter().filter(|seen| *seen == path).count() as f64 / 2000.0;
    assert!((share("/a") - 0.75).abs() < 0.03, "{}", share("/a"));
    assert_eq!(share("/b"), 0.0);
    assert_eq!((seen[0].len(), share("/a") + share("/c")), (2000, 1.0));
}

#[tokio::test(start_paused = true)]
async fn steps_at_once_take_as_long_as_the_slowest_of_them() {
    let steps = |first: u16| {
        let taking = Request { captures: vec![capture(0, "$.id")], ..step(first, "/20") };
        vec![request(step(first + 1, "/10")), request(taking), request(step(first + 2, "/30"))]
    };
    let actions = || {
        vec![
            request(step(3, "/login")),
            Action::Parallel(Group { group: 0, actions: steps(0) }),
            request(Request { url: path_with("/id/", 0), ..step(4, "/") }),
        ]
    };
    let answer = |path: &str, _| match path.trim_start_matches('/').parse() {
        Ok(millis) => (millis, 200, r#"{"id":5}"#),
        Err(_) => (0, 200, ""),
    };
    for (model, most) in [(open(1.0, 2.0), 3), (closed(1, 0.3), 3)] {
        let is_open = matches!(model, LoadModel::Open { .. });
        let (transport, asked) = server(answer);
        let measured = simulate(plan("http://simulated", model, actions()), transport).await;
        let (ended, failed, millis) = group(&measured, 0);
        assert_eq!((failed, millis), (0, u128::from(ended) * 30));
        let asked = asked.lock().unwrap().clone();
        let at = asked[0].0;
        let first: Vec<_> = asked[..5].iter().map(|(when, path)| (when - at, path.as_str())).collect();
        assert_eq!(
            first,
            [(0, "/login"), (0, "/10 sid=7"), (0, "/20 sid=7"), (0, "/30 sid=7"), (30, "/id/5 sid=7")],
            "all carry the cookie of their user"
        );
        let opened: u64 =
            plimsoll_measure::Opening::ALL.into_iter().map(|way| measured.connections().opened(way)).sum();
        assert_eq!(opened, most, "connections are kept for the next time; open: {is_open}");
        assert_eq!(ended, measured.ended());
    }
}

#[tokio::test(start_paused = true)]
async fn what_steps_at_once_do_not_find_any_more_is_forgotten() {
    let captured = Capture { absent: Absent::Unknown, ..capture(0, "$.id") };
    let both = vec![request(Request { captures: vec![captured], ..step(0, "/a") }), request(step(1, "/b"))];
    let pass = vec![
        Action::Parallel(Group { group: 0, actions: both }),
        request(Request { url: path_with("/id/", 0), ..step(2, "/") }),
    ];
    let actions = vec![Action::Repeat(Repeat { min: 2, max: 2, actions: pass })];
    let (transport, asked) =
        server(|path, before| (0, 200, if path == "/a" && before == 0 { r#"{"id":5}"# } else { "{}" }));
    simulate(once(actions), transport).await;
    assert_eq!(paths(&asked), ["/a", "/b", "/id/5", "/a", "/b"], "the second pass has no id to ask for");
}

#[tokio::test(start_paused = true)]
async fn a_failure_among_steps_at_once_ends_the_iteration_after_all_of_them() {
    let actions = vec![
        Action::Parallel(Group {
            group: 0,
            actions: vec![request(step(0, "/bad")), request(step(1, "/slow"))],
        }),
        request(step(2, "/never")),
    ];
    let (transport, asked) = server(|path, _| if path == "/bad" { (5, 500, "") } else { (40, 200, "") });
    let measured = simulate(once(actions), transport).await;
    assert_eq!(paths(&asked), ["/bad", "/slow"]);
    assert_eq!(group(&measured, 0), (1, 1, 40));
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 1), (Outcome::Status, 1)]);
}

fn retry(max: u32) -> Option<Retry> {
    let statuses = vec![StatusRange { first: 503, last: 503 }];
    Some(Retry { max, backoff: Duration::from_millis(100), outcomes: vec![Outcome::Reset], statuses })
}

#[tokio::test(start_paused = true)]
async fn a_request_is_tried_again_and_every_try_counts() {
    let (transport, asked) =
        server(|path, before| (10, if path == "/" && before < 2 { 503 } else { 200 }, ""));
    let actions = vec![request(Request { retry: retry(3), ..step(0, "/") }), request(step(1, "/next"))];
    let mut plan = once(actions);
    plan.load.grace = Duration::from_secs(1);
    let measured = simulate(plan, transport).await;
    assert_eq!(times(&asked)[..3], [0, 110, 320], "100 ms and 200 ms after the answers before");
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 2), (Outcome::Status, 2)]);
    let response = measured.timing(Timing::ResponseTime);
    assert_eq!(response.max(), Some(330_000_000), "the step's time spans its tries");
    assert_eq!(measured.timing(Timing::ScheduleLag).max(), Some(0), "and the generator was not late");
}

#[tokio::test(start_paused = true)]
async fn tries_come_to_an_end_and_other_failures_are_not_tried_again() {
    for (status, max, sent) in [(503, 2, 3), (500, 2, 1)] {
        let answer = match status {
            503 => |_: &str, _: usize| (10, 503, ""),
            _ => |_: &str, _: usize| (10, 500, ""),
        };
        let (transport, asked) = server(answer);
        let actions =
            vec![request(Request { retry: retry(max), ..step(0, "/") }), request(step(1, "/never"))];
        let measured = simulate(once(actions), transport).await;
        assert_eq!(paths(&asked).len(), sent, "{status}");
        assert_eq!(measured.outcome(Outcome::Status), sent as u64);
        let failed: u64 = measured
            .frames
            .iter()
            .flat_map(|frame| frame.iterations.values())
            .map(|series| series.failed)
            .sum();
        assert_eq!(failed, 1);
    }
}

fn until(timeout: u64) -> Option<Until> {
    let expect =
        Expect { json: vec![("$.state".into(), Comparison::Equals(json!("done")))], ..Expect::default() };
    let (every, timeout) = (Duration::from_millis(100), Duration::from_millis(timeout));
    Some(Until { expect, every, timeout })
}

#[tokio::test(start_paused = true)]
async fn a_step_is_made_until_its_answer_says_that_something_is_done() {
    let (transport, asked) = server(|path, before| match (path, before) {
        ("/job", 0..3) => (10, 200, r#"{"state":"runs"}"#),
        ("/job", _) => (10, 200, r#"{"state":"done","result":"r7"}"#),
        _ => (10, 200, ""),
    });
    let poll = Request { until: until(5000), captures: vec![capture(0, "$.result")], ..step(0, "/job") };
    let group_of = Action::Group(Group { group: 0, actions: vec![request(poll)] });
    let fetch = Request { url: path_with("/", 0), ..step(1, "/") };
    let measured = simulate(once(vec![group_of, request(fetch)]), transport).await;
    assert_eq!(paths(&asked), ["/job", "/job", "/job", "/job", "/r7"], "taken from the last answer alone");
    assert_eq!(times(&asked), [0, 110, 220, 330, 340]);
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 5)]);
    assert_eq!(measured.timing(Timing::ResponseTime).max(), Some(10_000_000), "a question is not the job");
    assert_eq!(group(&measured, 0), (1, 0, 340), "the job's time is that of the group around it");
}

#[tokio::test(start_paused = true)]
async fn what_is_never_done_has_failed_when_its_time_is_over() {
    let (transport, asked) = server(|_, _| (10, 200, r#"{"state":"runs"}"#));
    let actions = vec![request(Request { until: until(350), ..step(0, "/job") }), request(step(1, "/never"))];
    let measured = simulate(once(actions), transport).await;
    assert_eq!(times(&asked), [0, 110, 220, 330], "one more would be due at 440 ms");
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 3), (Outcome::Expectation, 1)]);
    assert_eq!(
        measured.message(Outcome::Expectation).as_deref(),
        Some("not done after 350ms: `$.state` is not \"done\"")
    );
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_tried_again_within_the_same_time() {
    let (transport, asked) = server(|_, before| match before {
        1 => (10, 503, ""),
        3 => (10, 200, r#"{"state":"done"}"#),
        _ => (10, 200, r#"{"state":"runs"}"#),
    });
    let poll = Request { until: until(5000), retry: retry(1), ..step(0, "/job") };
    let measured = simulate(once(vec![request(poll)]), transport).await;
    assert_eq!(times(&asked), [0, 110, 220, 330]);
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 3), (Outcome::Status, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_may_stop_the_run() {
    let (transport, asked) = server(|_, before| (1, if before < 5 { 200 } else { 500 }, ""));
    let failing = Request { on_failure: OnFailure::StopRun, ..step(0, "/") };
    let plan = plan("http://simulated", open(10.0, 100.0), vec![request(failing)]);
    let measured = simulate(plan, transport).await;
    assert_eq!(paths(&asked).len(), 6);
    assert!(measured.offering_ended[0] < 1_000_000_000, "{:?}", measured.offering_ended);
}
