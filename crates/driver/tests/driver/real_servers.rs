//! The driver and servers that other people wrote: nginx, caddy, and tinyproxy between them.

use plimsoll_driver::{Http1, NetworkTransport, Transport};
use plimsoll_measure::{Opening, Outcome};
use plimsoll_run::{Action, Coding, Header, HttpVersion, Proxy, RunPlan, Secret, Template, TlsSettings};
use plimsoll_testkit::{Caddy, Nginx, Tinyproxy};

use crate::common::{Measured, get, open, plan};

const BODY: &str = "hello hello hello ";

fn asking(url: &str) -> RunPlan {
    let mut request = get(0, "/");
    request.expect.body_contains = vec!["hello".into()];
    plan(url, open(20.0, 0.5), vec![Action::Request(Box::new(request))])
}

async fn run(plan: RunPlan) -> Measured {
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    Measured::run(&crate::common::config(plan, transport, Http1::default())).await
}

fn told(measured: &Measured) -> Vec<String> {
    Outcome::ALL.into_iter().filter_map(|outcome| measured.message(outcome)).collect()
}

#[tokio::test]
async fn caddy_speaks_both_versions_and_codes_its_bodies() {
    let caddy = Caddy::start(&BODY.repeat(1000)).await.unwrap();
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd)] {
            let mut plan = asking(&caddy.url());
            plan.http.version = version;
            if let Some(coding) = coding {
                plan.http.network.compression = vec![coding];
                let value = Template::text(coding.label());
                plan.http.headers.push(Header { name: "accept-encoding".into(), value, secret: false });
            }
            let measured = run(plan).await;
            assert_eq!(
                measured.outcomes(),
                [(Outcome::Ok, 10)],
                "{version:?} {coding:?}: {:?}",
                told(&measured)
            );
            let series = measured.frames.iter().flat_map(|frame| frame.series.values());
            let received: u64 = series.map(|series| series.received_bytes).sum();
            let is_small = received < 10 * 3000;
            assert_eq!(
                is_small,
                coding.is_some(),
                "{version:?} {coding:?}: {received} bytes came over the wire"
            );
        }
    }
}

#[tokio::test]
async fn caddy_takes_only_those_who_have_a_certificate() {
    let caddy = Caddy::start(BODY).await.unwrap();
    let (cert, key) = caddy.authority().issue(&["load.example"]).unwrap();
    let ca = Some(caddy.authority().pem().into());
    let known = TlsSettings {
        ca: ca.clone(),
        cert: Some(cert.into()),
        key: Some(Secret::new(key)),
        ..TlsSettings::default()
    };
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        let mut plan = asking(&caddy.tls_url());
        (plan.http.version, plan.tls) = (version, known.clone());
        let measured = run(plan.clone()).await;
        assert_eq!(measured.outcomes(), [(Outcome::Ok, 10)], "{version:?}: {:?}", told(&measured));
        assert!(measured.connections().opened(Opening::TlsFull) >= 1);
        plan.tls = TlsSettings { ca: ca.clone(), ..TlsSettings::default() };
        let measured = run(plan).await;
        // Over HTTP/2 writing to the closed connection may fail before the reason was read.
        let (tls, reset) = (measured.outcome(Outcome::Tls), measured.outcome(Outcome::Reset));
        assert!(tls + reset == 10, "{version:?}: {:?} {:?}", measured.outcomes(), told(&measured));
        assert!(reset == 0 || version == HttpVersion::Http2, "{:?}", measured.outcomes());
    }
}

#[tokio::test]
async fn caddy_is_reached_through_its_socket() {
    let caddy = Caddy::start(BODY).await.unwrap();
    let mut plan = asking("http://app.example");
    plan.http.network.unix_socket = Some(caddy.socket());
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Ok, 10)], "{:?}", told(&measured));
}

#[tokio::test]
async fn nginx_is_reached_through_tinyproxy() {
    let (nginx, proxy) = (Nginx::start().await.unwrap(), Tinyproxy::start().await.unwrap());
    let through = |url: String, version, authorization: Option<&str>| {
        let mut plan = asking(&url);
        plan.http.version = version;
        plan.tls.ca = Some(nginx.authority().pem().into());
        let (host, port) = ("127.0.0.1".to_owned(), proxy.port());
        plan.http.network.proxy = Some(Proxy { host, port, authorization: authorization.map(Secret::new) });
        plan
    };
    // ann:sesame
    let ann = Some("Basic YW5uOnNlc2FtZQ==");
    for (url, version) in [
        (nginx.url(), HttpVersion::Http1),
        (nginx.tls_url(), HttpVersion::Http1),
        (nginx.tls_url(), HttpVersion::Http2),
    ] {
        let measured = run(through(url.clone(), version, ann)).await;
        assert_eq!(measured.outcomes(), [(Outcome::Ok, 10)], "{url} {version:?}: {:?}", told(&measured));
    }
    let log = nginx.access_log().unwrap();
    assert_eq!(log.len(), 30);
    assert_eq!(log.iter().filter(|access| access.protocol == "HTTP/2.0").count(), 10);

    let stranger = run(through(nginx.tls_url(), HttpVersion::Http1, None)).await;
    assert_eq!(stranger.outcomes(), [(Outcome::Connect, 10)]);
    let message = stranger.message(Outcome::Connect).unwrap();
    assert_eq!(message, format!("the proxy 127.0.0.1:{} answers CONNECT with 407", proxy.port()));
    let stranger = run(through(nginx.url(), HttpVersion::Http1, None)).await;
    assert_eq!(stranger.outcomes(), [(Outcome::Status, 10)], "its answer looks like the target's");
}
