//! The driver against real sockets: a target that behaves, and every way not to.

use std::time::{Duration, Instant};

use super::CLIENT;
use crate::common::{Measured, closed, config, get, open, plan, seconds};
use plimsoll_demo_target::misbehave::{self, Kind};
use plimsoll_demo_target::{Config, DemoTarget};
use plimsoll_driver::{NetworkTransport, Transport};
use plimsoll_measure::{Outcome, Timing};
use plimsoll_run::{
    Action, Body, BodyKind, Capture, CaptureSource, Comparison, Header, HeaderExpectation, LoadModel,
    OnFailure, Part, Request, RunPlan, StatusRange, Template, TlsSettings, UserLimits, Variable,
};
use plimsoll_units::Rate;
use plimsoll_workload::{Pause, Spacing, Stage, StageKind};

async fn network(plan: &RunPlan) -> Transport {
    Transport::Network(NetworkTransport::new(plan).await.unwrap())
}

async fn run(plan: RunPlan) -> Measured {
    let transport = network(&plan).await;
    Measured::run(&config(plan, transport, CLIENT)).await
}

fn target() -> DemoTarget {
    let listen = "127.0.0.1:0".parse().unwrap();
    DemoTarget::spawn_thread(Config { listen, ..Config::default() }).unwrap()
}

fn url(target: &DemoTarget) -> String {
    format!("http://{}", target.addr())
}

fn steps(requests: Vec<Request>) -> Vec<Action> {
    requests.into_iter().map(|request| Action::Request(Box::new(request))).collect()
}

#[tokio::test]
async fn counts_agree_with_the_target_to_the_request() {
    let target = target();
    let measured = run(plan(&url(&target), open(400.0, 2.0), steps(vec![get(0, "/products?page=1")]))).await;
    assert_eq!((measured.arrivals(), measured.ended()), (800, 800));
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 800)]);
    assert_eq!(target.record().access_count(), 800);
}

#[tokio::test]
async fn closed_users_keep_their_connections() {
    let target = target();
    let measured = run(plan(&url(&target), closed(8, 1.0), steps(vec![get(0, "/")]))).await;
    let requests = measured.outcome(Outcome::Ok);
    assert!(requests > 100, "{requests}");
    assert_eq!(measured.timing(Timing::ConnectTime).count(), 8, "one connection a user");
    assert_eq!(target.record().access_count(), requests + measured.outcome(Outcome::Cut));
}

#[tokio::test]
async fn the_slowest_requests_of_each_second_are_kept_whole() {
    let target = target();
    let measured = run(plan(&url(&target), closed(4, 1.5), steps(vec![get(0, "/")]))).await;
    for frame in &measured.frames {
        let slowest = frame.kept.values().flat_map(|kept| kept.slowest()).map(|kept| kept.response_time());
        let longest =
            frame.series.values().filter_map(|series| series.timings.get(&Timing::ResponseTime)?.max());
        assert_eq!(slowest.max(), longest.max(), "second {}", frame.second);
        for kept in frame.kept.values().flat_map(|kept| kept.slowest()) {
            assert_eq!(kept.sample.status, Some(200));
            assert!(kept.user.is_some_and(|user| user < 4) && kept.message.is_none(), "{kept:?}");
        }
    }
}

#[tokio::test]
async fn a_journey_captures_keeps_cookies_and_fills_templates() {
    let target = target();
    let json = |mut request: Request, body: Template| {
        request.method = "POST".into();
        request.headers = vec![Header {
            name: "content-type".into(),
            value: Template::text("application/json"),
            secret: false,
        }];
        request.body = Some(Body::Text(body, BodyKind::Json));
        request
    };
    let login = json(get(0, "/login"), Template::text(r#"{"user":"ada","password":"x"}"#));
    let mut list = get(1, "/products?page=3");
    list.captures = vec![Capture::new("product", 0, CaptureSource::JsonPath("$.items[0].id".into()))];
    let hole = |slot| Part::Variable(Variable::Capture(slot));
    let cart =
        Template { parts: vec![Part::Text(r#"{"product":""#.into()), hole(0), Part::Text(r#""}"#.into())] };
    let mut buy = json(get(2, "/cart?auth=1"), cart);
    buy.expect.status = vec![StatusRange { first: 201, last: 201 }];
    let mut look = get(3, "");
    look.url = Template { parts: vec![Part::Text("/products/".into()), hole(0)] };
    look.expect.json = vec![("$.id".into(), Comparison::Equals(serde_json::Value::Null))];
    look.on_failure = OnFailure::Continue;
    let mut order = json(get(4, "/checkout"), Template::text("{}"));
    order.captures = vec![Capture::new("order", 1, CaptureSource::Header("x-order-id".into()))];
    let measured =
        run(plan(&url(&target), open(20.0, 1.0), steps(vec![login, list, buy, look, order]))).await;
    let outcome_of = |step| {
        let of_step = |outcome| measured.requests(|key| key.step == step && key.outcome == outcome);
        (of_step(Outcome::Ok), of_step(Outcome::Expectation))
    };
    assert_eq!([0, 1, 2].map(outcome_of), [(20, 0); 3], "{:?}", measured.outcomes());
    assert_eq!(outcome_of(3), (0, 20), "the id is not null, and the iteration goes on");
    assert_eq!(outcome_of(4), (20, 0));
    assert_eq!(target.record().access_count(), 100);
}

#[tokio::test]
async fn redirect_hops_are_requests_of_the_step() {
    let target = target();
    let measured = run(plan(&url(&target), open(10.0, 1.0), steps(vec![get(0, "/redirect?n=3")]))).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10), (Outcome::Redirect, 30)]);
    assert_eq!(target.record().access_count(), 40);
}

#[tokio::test]
async fn redirects_end_at_the_limit() {
    let target = target();
    let mut plan = plan(&url(&target), open(10.0, 1.0), steps(vec![get(0, "/redirect-loop")]));
    plan.http.redirects = 4;
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Redirect, 40), (Outcome::Protocol, 10)]);
    assert_eq!(measured.message(Outcome::Protocol).as_deref(), Some("redirected more than 4 times"));
}

#[tokio::test]
async fn a_redirect_that_is_expected_is_the_answer() {
    let target = target();
    let mut step = get(0, "/redirect?n=1");
    step.expect.status = vec![StatusRange { first: 302, last: 302 }];
    step.expect.headers = vec![HeaderExpectation { name: "location".into(), is: Comparison::Exists(true) }];
    let measured = run(plan(&url(&target), open(10.0, 0.5), steps(vec![step]))).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 5)]);
}

#[tokio::test]
async fn statuses_and_expectations_name_what_was_found() {
    let target = target();
    let measured = run(plan(&url(&target), open(10.0, 0.5), steps(vec![get(0, "/status/503")]))).await;
    assert_eq!(measured.outcomes(), [(Outcome::Status, 5)]);
    assert_eq!(measured.message(Outcome::Status).as_deref(), Some("status 503"));
    let mut slow = get(0, "/latency/80");
    slow.expect.within = Some(Duration::from_millis(20));
    let measured = run(plan(&url(&target), open(10.0, 0.5), steps(vec![slow]))).await;
    assert_eq!(measured.outcomes(), [(Outcome::Expectation, 5)]);
    assert_eq!(measured.message(Outcome::Expectation).as_deref(), Some("took longer than 20ms"));
}

#[tokio::test]
async fn few_connections_make_requests_wait_and_the_wait_is_seen() {
    let target = target();
    let mut plan = plan(&url(&target), open(100.0, 1.0), steps(vec![get(0, "/latency/20")]));
    plan.http.connections = Some(1);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 100)]);
    assert_eq!(measured.timing(Timing::ConnectTime).count(), 1);
    // 100 a second through 50 a second: the last waits about a second, and none of it is lag.
    assert!(measured.timing(Timing::Wait).max().unwrap() > 500_000_000);
    let lag = measured.timing(Timing::ScheduleLag);
    assert!(lag.mean().unwrap() < 50_000_000.0, "{:?}", lag.mean());
}

#[tokio::test]
async fn exactly_the_iterations_asked_for_are_made() {
    for users in [1, 3, 16] {
        let target = target();
        let model = match closed(users, 60.0) {
            LoadModel::Closed { stages, .. } => LoadModel::Closed {
                stages,
                limits: UserLimits { iterations: Some(500), ..UserLimits::default() },
            },
            other => other,
        };
        let measured = run(plan(&url(&target), model, steps(vec![get(0, "/")]))).await;
        assert_eq!((measured.arrivals(), measured.ended()), (500, 500), "{users} users");
        assert_eq!(target.record().access_count(), 500, "{users} users");
        assert!(measured.offering_ended.iter().all(|at| *at < 30_000_000_000));
    }
}

#[tokio::test]
async fn stages_of_any_shape_are_offered_and_end() {
    use StageKind::{Hold, Pause, Ramp, Spike};
    let rate = |rate: f64| Rate::new(rate).unwrap();
    let shapes = [
        (&[(Hold(rate(1000.0)), 0.1)][..], 100),
        (&[(Hold(rate(0.1)), 0.2)], 1),
        (&[(Pause, 0.3), (Hold(rate(100.0)), 0.1), (Pause, 0.3)], 10),
        (&[(Ramp(rate(200.0)), 0.5), (Ramp(rate(0.0)), 0.5)], 100),
        (&[(Hold(rate(10.0)), 0.1), (Spike(rate(2000.0)), 0.001), (Hold(rate(10.0)), 0.1)], 4),
        (&[(Pause, 0.2)], 0),
    ];
    for (stages, expected) in shapes {
        let target = target();
        let stages =
            stages.iter().map(|(kind, length)| Stage { kind: kind.clone(), length: seconds(*length) });
        let stages: Vec<_> = stages.collect();
        let end = stages.iter().map(|stage| stage.length.as_nanos() as u64).sum::<u64>();
        let model = LoadModel::Open { stages, spacing: Spacing::Uniform, max_in_flight: 1000 };
        let measured = run(plan(&url(&target), model.clone(), steps(vec![get(0, "/")]))).await;
        assert_eq!((measured.arrivals(), measured.ended()), (expected, expected), "{model:?}");
        assert_eq!(target.record().access_count(), expected, "{model:?}");
        assert!(measured.offering_ended.iter().all(|at| *at == end), "{:?}", measured.offering_ended);
    }
}

#[tokio::test]
async fn no_worker_has_a_scenario_to_itself() {
    let target = target();
    let mut plan = plan(&url(&target), open(100.0, 1.0), steps(vec![get(0, "/")]));
    plan.scenarios.push(plan.scenarios[0].clone());
    let transport = network(&plan).await;
    let mut driver = plimsoll_driver::Driver::start(&config(plan, transport, CLIENT)).unwrap();
    assert_eq!(driver.workers(), 2);
    let (mut arrivals, mut left) = ([[0; 2]; 2], driver.workers());
    while left > 0 {
        match driver.messages.recv().await.unwrap() {
            plimsoll_driver::Message::Shard { worker, shard } => {
                let mut frame = plimsoll_measure::Frame::new(shard.second());
                shard.merge_into(&mut frame);
                for (key, series) in &frame.iterations {
                    arrivals[worker][usize::from(key.scenario)] += series.arrivals;
                }
            }
            plimsoll_driver::Message::Finished { .. } => left -= 1,
            plimsoll_driver::Message::OfferingEnded { .. } => {}
        }
    }
    driver.join();
    assert_eq!(arrivals, [[25; 2]; 2]);
}

#[tokio::test]
async fn stopping_offers_no_more_and_keeps_what_was_offered() {
    let target = target();
    let plan = plan(&url(&target), open(100.0, 60.0), steps(vec![get(0, "/latency/50")]));
    let transport = network(&plan).await;
    let mut driver = plimsoll_driver::Driver::start(&config(plan, transport, CLIENT)).unwrap();
    let began = Instant::now();
    let (mut messages, mut left) = (Vec::new(), driver.workers());
    while left > 0 {
        let message = driver.messages.recv().await.unwrap();
        if matches!(message, plimsoll_driver::Message::Shard { .. }) {
            driver.stop();
        }
        left -= usize::from(matches!(message, plimsoll_driver::Message::Finished { .. }));
        messages.push(message);
    }
    driver.join();
    assert!(began.elapsed() < Duration::from_secs(20));
    let measured = Measured::of(messages);
    assert_eq!(measured.arrivals(), measured.outcome(Outcome::Ok));
    assert_eq!(target.record().access_count(), measured.arrivals());
    assert!((90..1000).contains(&measured.arrivals()), "{}", measured.arrivals());
}

/// Every way not to answer ends in its outcome and in time.
#[tokio::test]
async fn a_target_that_misbehaves_is_named_for_what_it_does() {
    let cases: [(Kind, &[Outcome]); 14] = [
        (Kind::Refuse, &[Outcome::Connect]),
        (Kind::ResetOnAccept, &[Outcome::Reset, Outcome::Connect]),
        (Kind::ResetMidResponse, &[Outcome::Reset]),
        (Kind::Garbage { seed: 7 }, &[Outcome::Protocol, Outcome::Reset]),
        (Kind::HalfThenStall, &[Outcome::Timeout]),
        (Kind::EndlessHeaders, &[Outcome::Protocol]),
        (Kind::HugeBody, &[Outcome::TooLarge]),
        (Kind::CloseAfterEachReply, &[Outcome::Ok, Outcome::Reset]),
        (Kind::Http10, &[Outcome::Ok]),
        (Kind::RedirectForEver, &[Outcome::Redirect, Outcome::Protocol]),
        (Kind::SilentAccept, &[Outcome::Timeout]),
        (Kind::BadChunked, &[Outcome::Protocol]),
        (Kind::NegativeContentLength, &[Outcome::Protocol]),
        (Kind::WrongStatusLine, &[Outcome::Protocol]),
    ];
    for (kind, allowed) in cases {
        let server = misbehave::serve(kind).await.unwrap();
        let mut plan = plan(&format!("http://{}", server.addr()), open(10.0, 1.0), steps(vec![get(0, "/")]));
        plan.http.timeout = seconds(1.0);
        let began = Instant::now();
        let measured = run(plan).await;
        let outcomes = measured.outcomes();
        assert!(
            outcomes.iter().all(|(outcome, _)| allowed.contains(outcome)),
            "{kind:?}: {outcomes:?} {:?}",
            measured.message(outcomes[0].0)
        );
        assert!(outcomes.iter().any(|(outcome, _)| *outcome == allowed[0]), "{kind:?}: {outcomes:?}");
        let ended: u64 = outcomes
            .iter()
            .filter(|(outcome, _)| *outcome != Outcome::Redirect)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(ended, 10, "{kind:?}: {outcomes:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{kind:?} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_not_read_to_its_end() {
    let target = target();
    let mut plan = plan(&url(&target), open(5.0, 1.0), steps(vec![get(0, "/bytes/10000000000")]));
    plan.http.max_body = 1_000_000;
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::TooLarge, 5)]);
}

#[tokio::test]
async fn a_name_without_address_is_dns() {
    let measured =
        run(plan("http://no-such-host.invalid:80", open(5.0, 1.0), steps(vec![get(0, "/")]))).await;
    assert_eq!(measured.outcomes(), [(Outcome::Dns, 5)]);
}

#[tokio::test]
async fn tls_is_verified_unless_told_otherwise() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert_pem = key.cert.pem();
    let tls = plimsoll_demo_target::TlsConfig {
        cert_pem: cert_pem.clone().into(),
        key_pem: key.signing_key.serialize_pem().into(),
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let target = DemoTarget::spawn_thread(Config { listen, tls: Some(tls), ..Config::default() }).unwrap();
    let with = |tls: TlsSettings| {
        let mut plan = plan(
            &format!("https://localhost:{}", target.addr().port()),
            open(10.0, 0.5),
            steps(vec![get(0, "/")]),
        );
        plan.tls = tls;
        run(plan)
    };
    let unknown = with(TlsSettings::default()).await;
    assert_eq!(unknown.outcomes(), [(Outcome::Tls, 5)]);
    assert!(
        unknown.message(Outcome::Tls).unwrap().contains("signed by nobody who is trusted"),
        "{:?}",
        unknown.message(Outcome::Tls)
    );
    let trusted = with(TlsSettings { ca: Some(cert_pem.clone().into()), ..TlsSettings::default() }).await;
    assert_eq!(trusted.outcomes(), [(Outcome::Ok, 5)]);
    assert!(trusted.timing(Timing::TlsTime).count() > 0);
    let other_name = TlsSettings {
        ca: Some(cert_pem.into()),
        server_name: Some("example.com".into()),
        ..TlsSettings::default()
    };
    assert_eq!(with(other_name).await.outcomes(), [(Outcome::Tls, 5)]);
    let insecure = with(TlsSettings { insecure: true, ..TlsSettings::default() }).await;
    assert_eq!(insecure.outcomes(), [(Outcome::Ok, 5)]);
}

/// A server that answers, promises to keep the connection, and closes or resets it a moment later.
async fn forgetful_server(resets: bool) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                // Late enough that the client has put the connection aside: no server sees when one does, and whoever asks
                // another host meanwhile, so as to tell, gives this connection up by itself.
                tokio::time::sleep(Duration::from_millis(50)).await;
                if resets {
                    stream.set_zero_linger().unwrap();
                } else {
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_and_counted() {
    for resets in [false, true] {
        let address = forgetful_server(resets).await;
        let pause = Pause::fixed(Duration::from_millis(200));
        let mut actions = steps(vec![get(0, "/")]);
        actions.push(Action::Pause(pause));
        for model in [closed(1, 1.9), open(4.0, 1.9)] {
            let mut plan = plan(&format!("http://{address}"), model, actions.clone());
            plan.http.connections = Some(1);
            let measured = run(plan).await;
            let requests = measured.outcome(Outcome::Ok);
            assert_eq!(measured.outcomes(), [(Outcome::Ok, requests)]);
            assert!(requests >= 5, "{requests}");
            let reconnects: u64 = measured.frames.iter().map(|frame| frame.reconnects).sum();
            assert_eq!(reconnects, requests - 1, "each but the first found its connection closed");
            assert_eq!(measured.timing(Timing::ConnectTime).count(), requests);
        }
    }
}

/// A server that reads requests and answers each with these bytes.
async fn server_of(answer: &'static [u8]) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(1..) = stream.read(&mut request).await {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Odd answers end in an outcome, and what is left of one is never taken for the next.
#[tokio::test]
async fn odd_answers_are_one_answer_each() {
    let cases: [(&str, &[u8], Outcome); 9] = [
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Outcome::Ok),
        (
            "GET",
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            Outcome::Ok,
        ),
        (
            "GET",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw",
            Outcome::Protocol,
        ),
        ("GET", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", Outcome::Ok),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Outcome::Ok),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more than was said", Outcome::Ok),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", Outcome::Ok),
        ("GET", b"HTTP/1.1 302 Found\r\nlocation: \xff\xfe\r\ncontent-length: 0\r\n\r\n", Outcome::Protocol),
        (
            "GET",
            b"HTTP/1.1 302 Found\r\nlocation: gopher://x/\r\ncontent-length: 0\r\n\r\n",
            Outcome::Protocol,
        ),
    ];
    for (method, answer, outcome) in cases {
        for model in [open(20.0, 0.5), closed(2, 0.3)] {
            let mut step = get(0, "/");
            step.method = method.into();
            let address = server_of(answer).await;
            let mut plan = plan(&format!("http://{address}"), model, steps(vec![step]));
            plan.http.timeout = seconds(1.0);
            let measured = run(plan).await;
            let text = String::from_utf8_lossy(answer);
            let found = measured.outcomes();
            assert!(
                matches!(found.as_slice(), [(only, 1..)] if *only == outcome),
                "{method} {text:?}: {found:?} {:?}",
                measured.message(Outcome::Protocol)
            );
            assert_eq!(measured.arrivals(), measured.ended(), "{method} {text:?}");
        }
    }
}
