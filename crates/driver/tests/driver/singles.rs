//! Requests told one by one, and the trace they carry on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::CLIENT;
use crate::common::{Measured, config, get, open, plan, seconds};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_driver::{Simulation, Transport};
use plimsoll_measure::{Outcome, SINGLES_PER_SECOND, Single, SingleRule, TraceContext};
use plimsoll_run::{Action, Header, HttpVersion, RunPlan, SamplesFormat, SamplesSettings, Template};
use plimsoll_units::Ratio;

/// Path and `traceparent` of every request that came, in order.
type Seen = Arc<Mutex<Vec<(String, Vec<String>)>>>;

fn see(seen: &Seen, request: &http::Request<impl Sized>) -> String {
    let path = request.uri().path().to_owned();
    let values = request.headers().get_all("traceparent").iter();
    let values = values.map(|value| value.to_str().unwrap().to_owned()).collect();
    seen.lock().unwrap().push((path.clone(), values));
    path
}

/// What a path is answered with, and after how long.
fn answer(path: &str) -> (http::response::Builder, Duration) {
    let builder = http::Response::builder();
    match path {
        "/redirect" => (builder.status(302).header("location", "/"), Duration::from_millis(5)),
        "/broken" => (builder.status(500), Duration::from_millis(5)),
        "/slow" => (builder, Duration::from_millis(700)),
        "/never" => (builder, Duration::from_secs(1000)),
        _ => (builder, Duration::from_millis(5)),
    }
}

fn http1(seen: &Seen) -> Transport {
    let seen = Arc::clone(seen);
    Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let seen = Arc::clone(&seen);
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (builder, thinks) = answer(&see(&seen, &request));
            async move {
                tokio::time::sleep(thinks).await;
                Ok::<_, Infallible>(builder.body(Full::new(Bytes::from_static(b"hello"))).unwrap())
            }
        });
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), answer);
        tokio::task::spawn_local(serving);
        near
    }))
}

fn http2(seen: &Seen) -> Transport {
    let seen = Arc::clone(seen);
    Transport::Memory(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let seen = Arc::clone(&seen);
        tokio::task::spawn_local(async move {
            let Ok(mut connection) = h2::server::handshake(far).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (builder, thinks) = answer(&see(&seen, &request));
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(thinks).await;
                    let _: Result<h2::SendStream<Bytes>, _> =
                        respond.send_response(builder.body(()).unwrap(), true);
                });
            }
        });
        near
    }))
}

fn rule(share: f64, slower_than: Option<Duration>, failed: bool) -> SingleRule {
    let slower_than = slower_than.map(|limit| limit.as_nanos() as u64);
    SingleRule::new(Ratio::new(share).unwrap(), slower_than, failed)
}

fn samples(rule: SingleRule) -> Option<SamplesSettings> {
    Some(SamplesSettings { file: "samples.csv".into(), format: SamplesFormat::Csv, rule })
}

fn steps(paths: &[&str]) -> Vec<Action> {
    let step = |(index, path): (usize, &&str)| Action::Request(Box::new(get(index as u16, path)));
    paths.iter().enumerate().map(step).collect()
}

fn to(paths: &[&str], rate: f64, length: f64) -> RunPlan {
    plan("http://simulated", open(rate, length), steps(paths))
}

/// Runs a plan against a server that takes notes.
async fn simulate(plan: RunPlan, run_id: &str) -> (Measured, Vec<(String, Vec<String>)>) {
    let seen = Seen::default();
    let transport = match plan.http.version {
        HttpVersion::Http1 => http1(&seen),
        HttpVersion::Http2 => http2(&seen),
    };
    let config = config(plan, transport, CLIENT);
    let config = plimsoll_driver::DriverConfig { run_id: run_id.into(), ..config };
    let measured = Measured::of(Simulation::run(&config).await.unwrap());
    let seen = seen.lock().unwrap().clone();
    (measured, seen)
}

fn singles(measured: &Measured) -> Vec<Single> {
    measured.frames.iter().flat_map(|frame| frame.singles.requests.clone()).collect()
}

fn skipped(measured: &Measured) -> (u64, u64) {
    let singles = measured.frames.iter().map(|frame| &frame.singles);
    singles.fold((0, 0), |(traces, samples), singles| {
        (traces + singles.skipped_traces, samples + singles.skipped_samples)
    })
}

fn text(trace: TraceContext) -> String {
    String::from_utf8(trace.traceparent().to_vec()).unwrap()
}

/// Takes a `traceparent` apart as its standard has it: trace, span, flags.
fn parts(value: &str) -> (String, String, u8) {
    let parts: Vec<_> = value.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { panic!("{value}") };
    assert_eq!((value.len(), version, trace.len(), span.len()), (55, "00", 32, 16), "{value}");
    let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    assert!(lower(trace) && lower(span), "{value}");
    assert!(trace.bytes().any(|byte| byte != b'0') && span.bytes().any(|byte| byte != b'0'), "{value}");
    (trace.to_owned(), span.to_owned(), u8::from_str_radix(flags, 16).unwrap())
}

const VERSIONS: [HttpVersion; 2] = [HttpVersion::Http1, HttpVersion::Http2];

#[tokio::test(start_paused = true)]
async fn every_request_carries_a_trace_and_a_share_is_sampled() {
    for version in VERSIONS {
        let mut plan = to(&["/a", "/b"], 100.0, 5.0);
        plan.http.version = version;
        plan.trace = Some(rule(0.1, None, false));
        let (measured, seen) = simulate(plan, "run").await;
        assert_eq!((seen.len(), measured.outcome(Outcome::Ok)), (1000, 1000));
        let traces: Vec<_> = seen
            .iter()
            .map(|(_, values)| match &values[..] {
                [value] => parts(value),
                other => panic!("{other:?}"),
            })
            .collect();
        let distinct: BTreeSet<_> = traces.iter().map(|(trace, _, _)| trace).collect();
        assert_eq!(distinct.len(), 1000, "each request has a trace of its own");
        let sampled: BTreeSet<_> = seen
            .iter()
            .filter(|(_, values)| parts(&values[0]).2 == 1)
            .map(|(_, values)| &values[0])
            .collect();
        assert_eq!(sampled.len(), 100);
        let told: BTreeSet<_> = singles(&measured).into_iter().map(|s| text(s.trace.unwrap())).collect();
        assert_eq!(told.iter().collect::<BTreeSet<_>>(), sampled, "what is told is what was sampled");
        for path in ["/a", "/b"] {
            let of = seen.iter().filter(|(seen, values)| seen == path && sampled.contains(&values[0]));
            assert!(of.count() > 25, "{path} has its turn");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_word_of_it_nothing_is_sent_and_nothing_told() {
    for version in VERSIONS {
        let mut plan = to(&["/a"], 50.0, 2.0);
        plan.http.version = version;
        plan.samples = samples(rule(1.0, None, false));
        let (measured, seen) = simulate(plan.clone(), "run").await;
        assert!(
            seen.iter().all(|(_, values)| values.is_empty()),
            "a file of samples asks the target nothing"
        );
        assert!(singles(&measured).iter().all(|single| single.trace.is_none() && single.purposes.samples));
        assert_eq!(singles(&measured).len(), 100);
        plan.samples = None;
        let (measured, _) = simulate(plan, "run").await;
        assert!(measured.frames.iter().all(|frame| frame.singles == Default::default()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_seed_decides_which_and_the_run_decides_about_ids() {
    let run = async |run_id| {
        let mut plan = to(&["/a"], 100.0, 2.0);
        plan.trace = Some(rule(0.25, None, false));
        let (measured, seen) = simulate(plan, run_id).await;
        (singles(&measured).iter().map(|single| single.sample.due).collect::<Vec<_>>(), seen)
    };
    let (first, again, other) = (run("one").await, run("one").await, run("two").await);
    assert_eq!(first, again);
    assert_eq!(first.0, other.0, "the same requests");
    assert_eq!(first.0.len(), 50);
    let ids =
        |seen: &[(String, Vec<String>)]| seen.iter().flat_map(|(_, v)| v.clone()).collect::<BTreeSet<_>>();
    assert!(ids(&first.1).is_disjoint(&ids(&other.1)), "two runs never share a trace");
}

#[tokio::test(start_paused = true)]
async fn redirects_are_spans_of_one_trace() {
    for version in VERSIONS {
        let mut plan = to(&["/redirect"], 10.0, 2.0);
        plan.http.version = version;
        plan.trace = Some(rule(1.0, None, false));
        let (measured, seen) = simulate(plan, "run").await;
        let mut traces: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (path, values) in &seen {
            let (trace, span, _) = parts(&values[0]);
            traces.entry(trace).or_default().push((path.clone(), span));
        }
        assert_eq!(traces.len(), 20);
        for hops in traces.values() {
            let [(first, one), (second, other)] = &hops[..] else { panic!("{hops:?}") };
            assert_eq!((first.as_str(), second.as_str()), ("/redirect", "/"));
            assert_ne!(one, other);
        }
        let told: BTreeSet<_> = singles(&measured).into_iter().map(|s| text(s.trace.unwrap())).collect();
        assert_eq!(
            told,
            seen.into_iter().flat_map(|(_, values)| values).collect(),
            "each hop as it was sent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_traceparent_of_the_plan_wins() {
    const OWN: &str = "00-00000000000000000000000000000001-0000000000000002-01";
    for version in VERSIONS {
        let mut plan = to(&["/redirect"], 10.0, 1.0);
        plan.http.version = version;
        plan.http.headers =
            vec![Header { name: "traceparent".into(), value: Template::text(OWN), secret: false }];
        plan.trace = Some(rule(1.0, None, true));
        let (measured, seen) = simulate(plan, "run").await;
        assert_eq!(seen.len(), 20);
        assert!(seen.iter().all(|(_, values)| values == &[OWN]), "{seen:?}");
        assert_eq!(singles(&measured), [], "nothing is known of a trace that is not ours");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slow_and_the_failed_are_told_and_what_is_cut_if_it_was_drawn() {
    let mut plan = to(&["/fast", "/slow", "/broken"], 10.0, 2.0);
    plan.trace = Some(rule(0.0, Some(Duration::from_millis(500)), true));
    plan.samples = samples(rule(0.0, None, true));
    let (measured, seen) = simulate(plan, "run").await;
    assert_eq!(seen.len(), 60);
    assert!(seen.iter().all(|(_, values)| parts(&values[0]).2 == 0), "none is sampled before it is slow");
    let told = singles(&measured);
    assert_eq!(told.len(), 40);
    for single in &told {
        let (step, purposes) = (single.sample.key.step, single.purposes);
        match step {
            1 => assert!(purposes.trace && !purposes.samples && single.sample.done > 500_000_000),
            2 => assert!(purposes.trace && purposes.samples && single.sample.status == Some(500)),
            other => panic!("step {other} was neither slow nor failed"),
        }
    }
    let mut plan = to(&["/never"], 10.0, 1.0);
    (plan.load.grace, plan.http.timeout) = (seconds(1.0), seconds(100.0));
    plan.samples = samples(rule(1.0, None, false));
    let (measured, _) = simulate(plan, "run").await;
    assert_eq!((measured.outcome(Outcome::Cut), singles(&measured).len()), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_counted_and_nothing_waits() {
    let rate = SINGLES_PER_SECOND as f64 + 5000.0;
    let mut plan = to(&["/a"], rate, 1.0);
    plan.samples = samples(rule(1.0, None, false));
    let (measured, _) = simulate(plan, "run").await;
    let requests = measured.requests(|_| true);
    let (traces, left_out) = skipped(&measured);
    assert_eq!(singles(&measured).len() as u64 + left_out, requests);
    assert!(left_out > 4000 && traces == 0, "{left_out}");
    assert!(measured.frames.iter().all(|frame| frame.singles.requests.len() <= SINGLES_PER_SECOND));
}
