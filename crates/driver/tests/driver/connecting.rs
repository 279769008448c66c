//! Where connections go, where they come from, and when they start.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Measured, closed, config, get, open, plan, seconds};
use plimsoll_demo_target::{Config, DemoTarget, TlsConfig};
use plimsoll_driver::{AddressError, Driver, Http1, NetworkTransport, Transport, TransportError};
use plimsoll_measure::{CloseReason, ConnectionFigures, Opening, Outcome, Timing};
use plimsoll_run::{Action, AddressChoice, Header, PlannedTarget, RunPlan, Shape, Template, TlsSettings};
use plimsoll_units::Rate;

/// A server that answers everything and remembers who knocked when.
struct Doorman {
    address: SocketAddr,
    knocks: Arc<Mutex<Vec<(Instant, IpAddr)>>>,
}

impl Doorman {
    fn new(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let knocks: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = Arc::clone(&knocks);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let Ok(peer) = stream.peer_addr() else { continue };
                kept.lock().unwrap().push((Instant::now(), peer.ip()));
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { address, knocks }
    }

    fn knocks(&self) -> Vec<(Instant, IpAddr)> {
        self.knocks.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {
        // Requests without bodies, one at a time: each comes in one piece.
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").is_err() {
            return;
        }
    }
}

fn steps() -> Vec<Action> {
    vec![Action::Request(Box::new(get(0, "/")))]
}

async fn run(plan: RunPlan) -> Measured {
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    Measured::run(&config(plan, transport, Http1::default())).await
}

fn demo(listen: &str) -> DemoTarget {
    let listen = listen.parse().unwrap();
    DemoTarget::spawn_thread(Config { listen, ..Config::default() }).unwrap()
}

fn targets(weighted: &[(SocketAddr, u32)]) -> Vec<PlannedTarget> {
    let target = |(address, weight): &(SocketAddr, u32)| PlannedTarget {
        url: format!("http://{address}"),
        weight: *weight,
    };
    weighted.iter().map(target).collect()
}

#[tokio::test]
async fn requests_are_shared_by_weight() {
    let (one, other) = (demo("127.0.0.1:0"), demo("127.0.0.2:0"));
    let mut plan = plan(&format!("http://{}", one.addr()), open(400.0, 1.0), steps());
    plan.targets = targets(&[(one.addr(), 3), (other.addr(), 1)]);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 400)]);
    assert_eq!((one.record().access_count(), other.record().access_count()), (300, 100));
}

#[tokio::test]
async fn a_full_pool_uses_what_it_has() {
    let (one, other) = (demo("127.0.0.1:0"), demo("127.0.0.2:0"));
    let mut plan = plan(&format!("http://{}", one.addr()), open(200.0, 1.0), steps());
    plan.targets = targets(&[(one.addr(), 1), (other.addr(), 1)]);
    // One connection for each of two workers: nothing is closed to please the weights.
    plan.http.connections = Some(2);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 200)]);
    assert_eq!(measured.timing(Timing::ConnectTime).count(), 2);
}

#[tokio::test]
async fn users_go_to_addresses_in_turn_and_come_from_sources_in_turn() {
    let (one, other) = (Doorman::new("127.0.0.1"), Doorman::new("127.0.0.2"));
    let mut plan = plan(&format!("http://{}", one.address), closed(8, 0.3), steps());
    plan.targets = targets(&[(one.address, 3), (other.address, 1)]);
    plan.http.source = vec!["127.0.0.3".parse().unwrap(), "127.0.0.4".parse().unwrap()];
    let measured = run(plan).await;
    assert!(measured.outcome(Outcome::Ok) > 8);
    let from = |door: &Doorman| {
        let mut from = BTreeMap::new();
        door.knocks().iter().for_each(|(_, peer)| *from.entry(peer.to_string()).or_insert(0) += 1);
        from
    };
    let sources = |count| BTreeMap::from([("127.0.0.3".to_owned(), count), ("127.0.0.4".to_owned(), count)]);
    assert_eq!(from(&one), sources(3));
    assert_eq!(from(&other), sources(1));
}

#[tokio::test]
async fn connections_start_at_the_rate() {
    let door = Doorman::new("127.0.0.1");
    let mut plan = plan(&format!("http://{}", door.address), closed(30, 1.0), steps());
    plan.http.connect_rate = Rate::new(50.0);
    let measured = run(plan).await;
    let knocks = door.knocks();
    assert_eq!(knocks.len(), 30, "users keep what they opened");
    let first = knocks[0].0;
    for (n, (knock, _)) in (0_u32..).zip(&knocks) {
        // Late by whatever the machine likes, and never early: but for what the first one came late.
        let due = Duration::from_millis(20) * n;
        let early = due.saturating_sub(knock.duration_since(first));
        assert!(early < Duration::from_millis(100), "connection {n} came {early:?} before its time");
    }
    // The wait is shown as such, and is no part of connecting.
    assert!(measured.timing(Timing::Wait).max().unwrap() > 500_000_000);
    assert!(measured.timing(Timing::ConnectTime).max().unwrap() < 300_000_000);
    assert_eq!(measured.outcomes().iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), [Outcome::Ok]);
}

#[tokio::test]
async fn what_the_connect_rate_held_back_is_not_the_targets_failure() {
    let door = Doorman::new("127.0.0.1");
    let mut plan = plan(&format!("http://{}", door.address), closed(3, 1.0), steps());
    plan.http.connect_rate = Rate::new(0.1);
    plan.http.timeout = seconds(0.2);
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    let mut driver = Driver::start(&config(plan, transport, Http1::default())).unwrap();
    let messages = crate::common::until_finished(&mut driver).await;
    let trouble = driver.trouble().unwrap();
    driver.join();
    let measured = Measured::of(messages);
    assert_eq!(trouble, "`http.connect_rate` let no connection start within 200ms");
    assert_eq!(measured.outcomes().iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), [Outcome::Ok]);
    assert!(measured.dropped_by_generator() > 2, "two users tried again and again");
}

/// Users whose every request is a connection: connections by how they opened, and requests answered.
async fn handshakes(always_full: bool) -> (ConnectionFigures, u64) {
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let cert_pem = certificate.cert.pem();
    let tls = TlsConfig {
        cert_pem: cert_pem.clone().into(),
        key_pem: certificate.signing_key.serialize_pem().into(),
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let target = DemoTarget::spawn_thread(Config { listen, tls: Some(tls), ..Config::default() }).unwrap();
    let mut plan = plan(&format!("https://{}", target.addr()), closed(2, 0.5), steps());
    plan.tls = TlsSettings { ca: Some(cert_pem.into()), always_full, ..TlsSettings::default() };
    let close = Header { name: "connection".into(), value: Template::text("close"), secret: false };
    plan.http.headers.push(close);
    let measured = run(plan).await;
    let requests = measured.outcome(Outcome::Ok);
    assert!(requests > 10, "{:?}", measured.outcomes());
    (measured.connections(), requests)
}

#[tokio::test]
async fn sessions_are_resumed_and_counted() {
    let (connections, requests) = handshakes(false).await;
    // Each of two workers begins without a session, and a handshake in flight at the end has no answer.
    assert_eq!(connections.opened(Opening::TlsFull), 2);
    let resumed = connections.opened(Opening::TlsResumed);
    assert!((requests - 2..=requests).contains(&resumed), "{resumed} resumed for {requests} requests");
    let closed = connections.closed(CloseReason::TargetClosed);
    assert!(closed.abs_diff(requests) <= 2, "{closed} closed after {requests} requests");
    assert_eq!(connections.requests.max(), Some(1));
}

#[tokio::test]
async fn handshakes_are_all_full_where_the_plan_says_so() {
    let (connections, requests) = handshakes(true).await;
    assert_eq!(connections.opened(Opening::TlsResumed), 0);
    let full = connections.opened(Opening::TlsFull);
    assert!((requests..=requests + 2).contains(&full), "{full} for {requests} requests");
}

#[tokio::test]
async fn connections_are_counted_from_their_opening_to_their_end() {
    let target = demo("127.0.0.1:0");
    let measured = run(plan(&format!("http://{}", target.addr()), closed(4, 0.5), steps())).await;
    let connections = measured.connections();
    assert_eq!((connections.opened(Opening::Plain), connections.opened_in_all()), (4, 4));
    let closed = [CloseReason::UserEnded, CloseReason::RunEnded].map(|reason| connections.closed(reason));
    assert_eq!(closed.iter().sum::<u64>(), 4, "with their users, or with the run: {closed:?}");
    assert!(connections.requests.max().unwrap() > 10);
    assert_eq!(connections.wait.unwrap().count(), 4, "each waited once, for its own");

    let refused = run(plan("http://127.0.0.1:1", open(20.0, 0.5), steps())).await;
    assert_eq!(refused.connections().opened(Opening::Failed), 10);
    assert_eq!(refused.connections().opened_in_all(), 0);
}

#[tokio::test]
async fn an_address_that_refuses_fails_its_share() {
    let target = demo("127.0.0.1:0");
    let refusing = "127.0.0.1:1".parse().unwrap();
    let mut plan = plan(&format!("http://{}", target.addr()), open(40.0, 1.0), steps());
    plan.targets = targets(&[(target.addr(), 3), (refusing, 1)]);
    let network = NetworkTransport::new(&plan).await.unwrap();
    let mut shape = Shape::of(&plan);
    shape.addresses = network.addresses();
    let mut config = config(plan, Transport::Network(network), Http1::default());
    config.shape = Arc::new(shape);
    let measured = Measured::run(&config).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 30), (Outcome::Connect, 10)]);
    let mut by_address = BTreeMap::new();
    for (key, series) in measured.frames.iter().flat_map(|frame| &frame.addresses) {
        let counts: &mut (u64, u64) = by_address.entry(key.address).or_default();
        *counts = (counts.0 + series.requests, counts.1 + series.failed);
    }
    assert_eq!(by_address, BTreeMap::from([(0, (30, 0)), (1, (10, 10))]));
}

#[tokio::test]
async fn all_addresses_of_a_name_are_looked_up_once() {
    let target = demo("127.0.0.1:0");
    let mut plan = plan(&format!("http://localhost:{}", target.addr().port()), open(50.0, 0.2), steps());
    plan.addresses = AddressChoice::All;
    let transport = NetworkTransport::new(&plan).await.unwrap();
    let names: Vec<_> = transport.addresses().into_iter().map(|address| address.name).collect();
    assert!(names.contains(&target.addr().to_string()), "{names:?}");
    let measured = Measured::run(&config(plan, Transport::Network(transport), Http1::default())).await;
    let asked = target.record().access_count();
    assert_eq!(measured.outcome(Outcome::Ok), asked);
    assert_eq!(asked, 10 / names.len() as u64);
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_told_before_the_load() {
    let plan = |target: &str| plan(target, open(1.0, 1.0), steps());
    let mut nowhere = plan("http://nowhere.invalid");
    nowhere.addresses = AddressChoice::All;
    let mut foreign = plan("http://127.0.0.1:1");
    foreign.http.source = vec!["192.0.2.7".parse().unwrap()];
    let mut family = plan("http://127.0.0.1:1");
    family.http.source = vec!["::1".parse().unwrap()];
    for (plan, expected) in [
        (nowhere, "target: no address for nowhere.invalid: "),
        (foreign, "http.source: 192.0.2.7 cannot be used: "),
        (family, "http.source: "),
    ] {
        let error = NetworkTransport::new(&plan).await.unwrap_err();
        assert!(matches!(
            error,
            TransportError::Addresses(
                AddressError::Unresolved { .. } | AddressError::Source { .. } | AddressError::Family { .. }
            )
        ));
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn what_this_machine_cannot_do_at_a_later_step_is_not_the_targets_failure() {
    let target = demo("127.0.0.1:0");
    let mut plan = plan(&format!("http://{}", target.addr()), open(20.0, 0.5), {
        let mut elsewhere = get(1, "http://[::1]:9/");
        elsewhere.on_failure = plimsoll_run::OnFailure::Continue;
        vec![
            Action::Request(Box::new(get(0, "/"))),
            Action::Request(Box::new(elsewhere)),
            Action::Request(Box::new(get(2, "/"))),
        ]
    });
    // No source reaches the second step's host.
    plan.http.source = vec!["127.0.0.3".parse().unwrap()];
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    let mut driver = Driver::start(&config(plan, transport, Http1::default())).unwrap();
    let messages = crate::common::until_finished(&mut driver).await;
    let trouble = driver.trouble().unwrap();
    driver.join();
    assert!(trouble.starts_with("no address of `http.source` reaches [::1]:9: "), "{trouble}");
    let measured = Measured::of(messages);
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10)], "the first step only");
    assert_eq!(measured.dropped_by_generator(), 10, "no iteration was offered to its end");
    let iterations = measured.frames.iter().flat_map(|frame| frame.iterations.values());
    assert_eq!(iterations.map(|series| series.failed + series.ended).sum::<u64>(), 0);
}
