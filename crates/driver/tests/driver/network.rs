//! Whose connections are, where names lead, and what stands between here and the target.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_demo_target::{Config, DemoTarget, TlsConfig};
use plimsoll_driver::{Http1, NetworkTransport, Transport};
use plimsoll_measure::{CloseReason, Opening, Outcome, Timing};
use plimsoll_run::{
    Action, AddressFamily, HostAddress, LoadModel, Proxy, Reuse, RunPlan, Secret, TlsSettings, TlsVersion,
};
use plimsoll_workload::Pause;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};

use crate::common::{Measured, closed, config, get, open, plan, seconds};

fn steps(paths: &[&str]) -> Vec<Action> {
    (0..).zip(paths).map(|(step, path)| Action::Request(Box::new(get(step, path)))).collect()
}

async fn run(plan: RunPlan) -> Measured {
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    Measured::run(&config(plan, transport, Http1::default())).await
}

fn demo() -> (DemoTarget, String) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let target = DemoTarget::spawn_thread(Config { listen, ..Config::default() }).unwrap();
    let url = format!("http://{}", target.addr());
    (target, url)
}

/// A server of one's own: what it heard, head by head.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn heads(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, head: &[u8]) {
        self.0.lock().unwrap().push(String::from_utf8_lossy(head).into_owned());
    }
}

/// Reads up to the end of a head; `None` at the end of the stream.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(head)
}

/// Answers every request that has no body.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, heard: Heard) {
    while let Some(head) = read_head(&mut stream).await {
        heard.note(&head);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.is_err() {
            return;
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn server() -> (SocketAddr, Heard) {
    let (listener, address) = listen().await;
    let heard = Heard::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, kept.clone()));
        }
    });
    (address, heard)
}

#[tokio::test]
async fn connections_are_whose_the_plan_says() {
    let two = ["/", "/products?page=1"];
    let cases: [(LoadModel, Reuse, Option<u32>); 6] = [
        (open(40.0, 0.5), Reuse::Always, Some(2)),
        (open(40.0, 0.5), Reuse::PerUser, None),
        (open(40.0, 0.5), Reuse::Never, None),
        (closed(4, 0.3), Reuse::Always, Some(2)),
        (closed(4, 0.3), Reuse::PerUser, None),
        (closed(4, 0.3), Reuse::Never, None),
    ];
    for (model, reuse, connections) in cases {
        let (target, url) = demo();
        let is_open = matches!(model, LoadModel::Open { .. });
        let mut plan = plan(&url, model, steps(&two));
        (plan.http.network.reuse, plan.http.connections) = (Some(reuse), connections);
        let measured = run(plan).await;
        let requests = measured.outcome(Outcome::Ok);
        assert!(requests >= 8, "{reuse:?}: {:?}", measured.outcomes());
        assert_eq!(measured.outcomes().len(), 1, "{reuse:?}: {:?}", measured.outcomes());
        assert_eq!(target.record().access_count(), requests);
        let figures = measured.connections();
        let opened = figures.opened(Opening::Plain);
        let closed = |reason| figures.closed(reason);
        match (reuse, is_open) {
            (Reuse::Always, _) => assert!(opened <= 2, "{opened} were shared"),
            (Reuse::PerUser, true) => {
                assert_eq!((opened, closed(CloseReason::UserEnded)), (20, 20), "one an iteration");
                assert_eq!(figures.requests.max(), Some(2));
            }
            (Reuse::PerUser, false) => assert_eq!(opened, 4),
            (Reuse::Never, _) => {
                assert_eq!((opened, closed(CloseReason::NotReused)), (requests, requests));
                assert_eq!(figures.requests.max(), Some(1));
            }
        }
    }
}

#[tokio::test]
async fn a_connection_for_one_request_says_so() {
    let (address, heard) = server().await;
    let mut plan = plan(&format!("http://{address}"), open(10.0, 0.3), steps(&["/"]));
    plan.http.network.reuse = Some(Reuse::Never);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 3)]);
    assert!(
        heard.heads().iter().all(|head| head.contains("\r\nconnection: close\r\n")),
        "{:?}",
        heard.heads()
    );
}

#[tokio::test]
async fn each_host_has_as_many_connections_as_the_plan_gives_it() {
    let (one, url) = demo();
    let (other, other_url) = demo();
    let mut plan = plan(&url, open(100.0, 0.5), steps(&["/", &format!("{other_url}/")]));
    plan.http.network.per_host = Some(2);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 100)]);
    assert_eq!((one.record().access_count(), other.record().access_count()), (50, 50));
    let figures = measured.connections();
    assert!(figures.opened(Opening::Plain) <= 4, "{figures:?}");
    assert_eq!(figures.closed(CloseReason::Elsewhere), 0, "none makes room for the other host");
}

#[tokio::test]
async fn a_connection_idle_for_long_is_closed_and_no_reconnect() {
    for model in [open(4.0, 1.0), closed(1, 0.9)] {
        let is_closed = matches!(model, LoadModel::Closed { .. });
        let (_target, url) = demo();
        let mut actions = steps(&["/"]);
        if is_closed {
            let pause = seconds(0.25);
            actions.push(Action::Pause(Pause::fixed(pause)));
        }
        let mut plan = plan(&url, model, actions);
        (plan.http.network.idle_timeout, plan.http.connections) = (Some(seconds(0.05)), Some(1));
        let measured = run(plan).await;
        let (requests, figures) = (measured.outcome(Outcome::Ok), measured.connections());
        assert!(requests >= 3, "{:?}", measured.outcomes());
        assert_eq!(figures.opened(Opening::Plain), requests, "none was used again");
        assert!(figures.closed(CloseReason::IdleTimeout) >= requests - 1, "{figures:?}");
        let reconnects: u64 = measured.frames.iter().map(|frame| frame.reconnects).sum();
        assert_eq!(reconnects, 0, "the target closed none");
    }
}

#[tokio::test]
async fn a_target_that_lets_tls_or_an_answer_wait_is_named() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // The head is read, and half a second later the answer begins.
            held.push(tokio::spawn(async move {
                let _ = read_head(&mut stream).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                std::future::pending::<()>().await;
            }));
        }
    });
    let mut no_tls = plan(&format!("https://{address}"), open(10.0, 0.2), steps(&["/"]));
    no_tls.http.network.tls_timeout = Some(seconds(0.1));
    let mut no_answer = plan(&format!("http://{address}"), open(10.0, 0.2), steps(&["/"]));
    no_answer.http.network.first_byte_timeout = Some(seconds(0.1));
    let mut late_answer = no_answer.clone();
    late_answer.http.network.first_byte_timeout = Some(seconds(2.0));
    for (plan, expected) in [
        (no_tls, Some("no TLS handshake within 100ms")),
        (no_answer, Some("no first byte of an answer within 100ms")),
        (late_answer, None),
    ] {
        let measured = run(plan).await;
        let outcome = if expected.is_some() { Outcome::Timeout } else { Outcome::Ok };
        assert_eq!(measured.outcomes(), [(outcome, 2)]);
        assert_eq!(measured.message(Outcome::Timeout).as_deref(), expected);
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_may_take_its_time() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while read_head(&mut stream).await.is_some() {
                    for part in ["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 2\r\n\r\n", "hi"] {
                        let _ = stream.write_all(part.as_bytes()).await;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
    });
    let mut plan = plan(&format!("http://{address}"), open(10.0, 0.2), steps(&["/"]));
    plan.http.network.first_byte_timeout = Some(seconds(0.15));
    assert_eq!(run(plan).await.outcomes(), [(Outcome::Ok, 2)]);
}

#[tokio::test]
async fn hosts_are_where_the_plan_says() {
    let (address, heard) = server().await;
    let known = |port| HostAddress { host: "shop.example".into(), ip: address.ip(), port };
    for (target, known) in [
        (format!("http://shop.example:{}", address.port()), known(None)),
        ("http://shop.example".to_owned(), known(Some(address.port()))),
    ] {
        let mut plan = plan(&target, open(10.0, 0.2), steps(&["/"]));
        plan.http.network.resolve = vec![known];
        assert_eq!(run(plan).await.outcomes(), [(Outcome::Ok, 2)], "{target}");
    }
    let hosts = heard.heads().into_iter().map(|head| head.contains("\r\nhost: shop.example"));
    assert!(hosts.eq([true; 4]));
}

/// A name server (RFC 1035) that knows `shop.test` (IPv4 and IPv6 loopback) and `six.test` (IPv6 only), for an hour;
/// what it was asked.
async fn name_server() -> (SocketAddr, Heard) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let heard = Heard::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&reply(&buffer[..length], &kept), from).await;
        }
    });
    (address, heard)
}

fn reply(query: &[u8], heard: &Heard) -> Vec<u8> {
    let (mut name, mut at) = (String::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push_str(&String::from_utf8_lossy(&query[at + 1..=at + length]));
        name.push('.');
        at += 1 + length;
    }
    let (kind, question) = (query[at + 2], &query[12..at + 5]);
    heard.note(format!("{name} {kind}").as_bytes());
    let answer: Option<&[u8]> = match (name.to_ascii_lowercase().as_str(), kind) {
        ("shop.test.", 1) => Some(&[127, 0, 0, 1]),
        ("shop.test." | "six.test.", 28) => Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        _ => None,
    };
    let known = ["shop.test.", "six.test."].contains(&name.to_ascii_lowercase().as_str());
    let mut reply = query[..2].to_vec();
    reply.extend([0x84, if known { 0 } else { 3 }, 0, 1, 0, u8::from(answer.is_some()), 0, 0, 0, 0]);
    reply.extend_from_slice(question);
    if let Some(address) = answer {
        reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0x0e, 0x10, 0, address.len() as u8]);
        reply.extend_from_slice(address);
    }
    reply
}

#[tokio::test]
async fn the_plans_name_servers_are_asked_once_for_as_long_as_they_say() {
    let (dns, asked) = name_server().await;
    let (address, heard) = server().await;
    let mut plan = plan(&format!("http://shop.test:{}", address.port()), open(50.0, 0.4), steps(&["/"]));
    (plan.http.network.dns, plan.http.network.reuse) = (vec![dns], Some(Reuse::Never));
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 20)], "{:?}", measured.message(Outcome::Dns));
    assert_eq!(heard.heads().len(), 20);
    assert!(asked.heads().len() <= 4, "two workers, two kinds of address: {:?}", asked.heads());
}

#[tokio::test]
async fn names_without_the_addresses_that_are_wanted_are_told() {
    let (dns, asked) = name_server().await;
    for (host, family, expected) in [
        ("six.test", AddressFamily::V4, "no address for six.test: the name has none"),
        (
            "nowhere.test",
            AddressFamily::Any,
            "no address for nowhere.test: the name server does not know the name",
        ),
    ] {
        let mut plan = plan(&format!("http://{host}"), open(10.0, 0.2), steps(&["/"]));
        (plan.http.network.dns, plan.http.network.family) = (vec![dns], family);
        let measured = run(plan).await;
        assert_eq!(measured.outcomes(), [(Outcome::Dns, 2)]);
        assert_eq!(measured.message(Outcome::Dns).as_deref(), Some(expected));
    }
    assert!(asked.heads().iter().any(|asked| asked.ends_with(" 1")), "{:?}", asked.heads());
    assert!(!asked.heads().contains(&"six.test. 28".to_owned()), "what is not used is not asked for");
}

#[tokio::test]
async fn a_name_server_that_is_silent_ends_with_the_time_for_connecting() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut plan = plan("http://shop.test", open(10.0, 0.2), steps(&["/"]));
    plan.http.network.dns = vec![silent.local_addr().unwrap()];
    plan.http.connect_timeout = seconds(0.3);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Timeout, 2)]);
}

struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_unix_socket_stands_for_the_target() {
    let path = std::env::temp_dir().join(format!("plimsoll-network-{}.sock", std::process::id()));
    let file = SocketFile(path.clone());
    let listener = UnixListener::bind(&path).unwrap();
    let heard = Heard::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, kept.clone()));
        }
    });
    let mut plan = plan("http://app.example", open(50.0, 0.4), steps(&["/"]));
    plan.http.network.unix_socket = Some(path);
    let measured = run(plan.clone()).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 20)]);
    assert!(measured.timing(Timing::ConnectTime).count() >= 1);
    assert!(heard.heads().iter().all(|head| head.contains("\r\nhost: app.example\r\n")));
    drop(file);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Connect, 20)], "{:?}", measured.outcomes());
}

/// An emulator of a proxy: requests in absolute form, and tunnels, for those who say who they are.
async fn proxy() -> (SocketAddr, Heard) {
    let (listener, address) = listen().await;
    let heard = Heard::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, kept.clone()));
        }
    });
    (address, heard)
}

async fn carry(mut stream: TcpStream, heard: Heard) {
    while let Some(head) = read_head(&mut stream).await {
        heard.note(&head);
        let text = String::from_utf8_lossy(&head).into_owned();
        if !text.contains("proxy-authorization: Basic dTpw\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n").await;
            continue;
        }
        let Some(to) = text.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy").await;
            continue;
        };
        let Ok(mut target) = TcpStream::connect(to).await else {
            let _ = stream.write_all(b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n").await;
            continue;
        };
        let _ = stream.write_all(b"HTTP/1.1 200 Go on\r\nvia: test\r\n\r\n").await;
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
        return;
    }
}

fn through(plan: &mut RunPlan, proxy: SocketAddr, credentials: Option<&str>) {
    let authorization = credentials.map(Secret::new);
    let (host, port) = (proxy.ip().to_string(), proxy.port());
    plan.http.network.proxy = Some(Proxy { host, port, authorization });
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url() {
    for http1 in [Http1::Compiled, Http1::Hyper] {
        let (address, heard) = proxy().await;
        let mut plan = plan("http://shop.example:81/v1", open(20.0, 0.2), steps(&["/list?page=2"]));
        through(&mut plan, address, Some("Basic dTpw"));
        plan.scenarios[0].actions.iter_mut().for_each(|action| {
            let Action::Request(request) = action else { return };
            request.expect.body_contains = vec!["proxy".into()];
        });
        let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
        let measured = Measured::run(&config(plan, transport, http1)).await;
        assert_eq!(measured.outcomes(), [(Outcome::Ok, 4)]);
        for head in heard.heads() {
            assert!(head.starts_with("GET http://shop.example:81/v1/list?page=2 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\nhost: shop.example:81\r\n"), "{head}");
        }
    }
}

#[tokio::test]
async fn a_proxy_makes_a_tunnel_for_tls() {
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (target, settings) = secured(&certificate.cert.pem(), &certificate.signing_key.serialize_pem());
    let (address, heard) = proxy().await;
    let mut plan = plan(&format!("https://{}", target.addr()), open(20.0, 0.2), steps(&["/"]));
    plan.tls = settings;
    through(&mut plan, address, Some("Basic dTpw"));
    let measured = run(plan.clone()).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 4)], "{:?}", measured.message(Outcome::Connect));
    assert_eq!(target.record().access_count(), 4);
    let heads = heard.heads();
    assert!(
        heads.iter().all(|head| head.starts_with("CONNECT 127.0.0.1:")),
        "nothing else is seen: {heads:?}"
    );

    through(&mut plan, address, None);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Connect, 4)]);
    let message = measured.message(Outcome::Connect).unwrap();
    assert_eq!(message, format!("the proxy {address} answers CONNECT with 407"));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let mut plan = plan("http://shop.example", open(10.0, 0.2), steps(&["/"]));
    through(&mut plan, "127.0.0.1:1".parse().unwrap(), None);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Connect, 2)]);
    let message = measured.message(Outcome::Connect).unwrap();
    assert!(message.starts_with("proxy 127.0.0.1:1: connect: "), "{message}");
}

/// A target with a certificate that is trusted.
fn secured(cert: &str, key: &str) -> (DemoTarget, TlsSettings) {
    let tls = TlsConfig { cert_pem: cert.to_owned().into(), key_pem: key.to_owned().into() };
    let listen = "127.0.0.1:0".parse().unwrap();
    let target = DemoTarget::spawn_thread(Config { listen, tls: Some(tls), ..Config::default() }).unwrap();
    (target, TlsSettings { ca: Some(cert.to_owned().into()), ..TlsSettings::default() })
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_told_in_what() {
    let self_signed = |name: &str, until: i32| {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2015, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    for (name, until, trusted, expected) in [
        ("127.0.0.1", 2020, true, "the target's certificate has expired"),
        (
            "127.0.0.2",
            2096,
            true,
            "the target's certificate is for another host: not for 127.0.0.1, but for ",
        ),
        ("127.0.0.1", 2096, false, "the target's certificate is signed by nobody who is trusted: "),
    ] {
        let (cert, key) = self_signed(name, until);
        let (target, settings) = secured(&cert, &key);
        let mut plan = plan(&format!("https://{}", target.addr()), open(10.0, 0.2), steps(&["/"]));
        plan.tls = settings;
        if !trusted {
            plan.tls.ca = None;
        }
        let measured = run(plan).await;
        assert_eq!(measured.outcomes(), [(Outcome::Tls, 2)], "{expected}: {:?}", measured.outcomes());
        let message = measured.message(Outcome::Tls).unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[tokio::test]
async fn only_the_versions_of_tls_that_the_plan_allows_are_spoken() {
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (target, settings) = secured(&certificate.cert.pem(), &certificate.signing_key.serialize_pem());
    for (min_version, max_version) in [
        (TlsVersion::V1_2, None),
        (TlsVersion::V1_3, None),
        (TlsVersion::V1_2, Some(TlsVersion::V1_2)),
        (TlsVersion::V1_3, Some(TlsVersion::V1_3)),
    ] {
        let mut plan = plan(&format!("https://{}", target.addr()), open(10.0, 0.2), steps(&["/"]));
        plan.tls = TlsSettings { min_version, max_version, ..settings.clone() };
        let measured = run(plan).await;
        assert_eq!(measured.outcomes(), [(Outcome::Ok, 2)], "{min_version:?} {max_version:?}");
    }
}
