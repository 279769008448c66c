//! The OpenTelemetry protocol from end to end: what a run measures, the requests it traced, and the
//! traces of Plimsoll's own work.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::{Desk, PATIENCE, Target, beside_others, ends, free_port, notes, requests};
use nix::sys::signal::Signal;
use plimsoll_testkit::{Nginx, NginxSetup, OtlpAnswer, OtlpReceiver, Rotel, RotelPoint, wait_for};

const PLAN: &str = "
name: traced
target: http://127.0.0.1:1
load: { stages: [ { hold: 40/s, for: 2s } ] }
trace: { share: 100% }
scenarios: [ { name: visitor, steps: [ { get: '/products?page=1' } ] } ]
";

/// The sum of a cumulative counter over its series.
fn counted(points: &[RotelPoint], metric: &str) -> u64 {
    let mut series: BTreeMap<_, f64> = BTreeMap::new();
    for point in points.iter().filter(|point| point.metric == metric) {
        // Runs of one plan have the same series, each from its own start.
        let last = series.entry((&point.attributes, point.start)).or_default();
        *last = last.max(point.value.unwrap_or_default());
    }
    series.values().sum::<f64>() as u64
}

#[tokio::test]
async fn a_collector_has_every_request_and_leads_from_a_bucket_to_its_trace() {
    let _machine = beside_others().await;
    let (target, rotel) = tokio::join!(Target::start(["--latency", "fixed:2ms"]), Rotel::start());
    let (desk, rotel) = (Desk::new(), rotel.unwrap());
    let export = format!("export.otlp={{ url: '{}', protocol: grpc }}", rotel.grpc_url());
    let ended = desk.run(PLAN).set([target.setting(), export]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);

    let account = |sink: &str| {
        let sinks = json["export"].as_array().unwrap().iter();
        let account = sinks.clone().find(|account| account["sink"] == sink).unwrap();
        assert_eq!(account["produced"], account["acknowledged"], "{account}");
        account["acknowledged"].as_u64().unwrap()
    };
    let (points, spans) = (account("otlp"), account("otlp_traces"));
    let found = rotel.wait_for_points(|found| found.len() as u64 >= points, PATIENCE).await.unwrap();
    assert_eq!(found.len() as u64, points);
    assert_eq!(counted(&found, "plimsoll_requests"), requests(&json));
    let found_spans = rotel.wait_for_spans(|found| found.len() as u64 >= spans, PATIENCE).await.unwrap();
    assert_eq!((found_spans.len() as u64, spans), (spans, requests(&json)), "each request was traced");
    let traces: BTreeSet<&String> = found_spans.iter().map(|span| &span.trace_id).collect();
    let shown: BTreeSet<&String> = found.iter().flat_map(|point| &point.traces).collect();
    assert!(!shown.is_empty() && shown.is_subset(&traces), "{} exemplars", shown.len());
}

/// A collector behind a proxy that speaks TLS, with a certificate of an authority that this machine does not know.
#[tokio::test]
async fn a_collector_behind_tls_is_reached_by_who_is_told_of_its_authority() {
    let _machine = beside_others().await;
    let (target, rotel) = tokio::join!(Target::start(["--latency", "fixed:2ms"]), Rotel::start());
    let rotel = rotel.unwrap();
    let grpc = rotel.grpc_url().replace("http://", "grpc://");
    let locations = format!(
        "location /opentelemetry.proto.collector {{ grpc_pass {grpc}; }} location /v1/ {{ proxy_pass {}; }}",
        rotel.http_url()
    );
    let proxy = Nginx::with(NginxSetup { locations, ..NginxSetup::default() }).await.unwrap();
    let (mut counted_by_runs, mut points) = (0, 0);
    for protocol in ["http", "grpc"] {
        let desk = Desk::new();
        let authority = desk.write("authority.pem", &proxy.authority().pem());
        let export = || format!("export.otlp={{ url: '{}', protocol: {protocol} }}", proxy.tls_url());
        // Nobody vouches for it.
        let ended = desk.run(PLAN).set([target.setting(), export()]).ended().await;
        let json = desk.json();
        ends(&ended, &json, 0);
        for account in json["export"].as_array().unwrap() {
            assert_eq!(account["backlog"], account["produced"], "{protocol}: {account}");
        }
        let told = notes(&json);
        let why = told.lines().filter(|note| note.contains("certificate") && note.contains("points wait"));
        assert_eq!(why.count(), 2, "{protocol}: once for each sink: {told}");

        let trusting = desk.run(PLAN).set([target.setting(), export()]).env("SSL_CERT_FILE", &authority);
        counted_by_runs += requests(&json);
        points += json["export"][0]["produced"].as_u64().unwrap();
        let ended = trusting.ended().await;
        let json = desk.json();
        ends(&ended, &json, 0);
        for account in json["export"].as_array().unwrap() {
            assert_eq!(
                account["acknowledged"],
                account["produced"],
                "{protocol}: {account} {}",
                notes(&json)
            );
        }
        counted_by_runs += requests(&json);
        let listed = desk.plimsoll(["spool", "list", "--json", "-"]).ended().await;
        assert_eq!(listed.stdout.trim(), "[]", "{protocol}: what waited went first");
        points += json["export"][0]["produced"].as_u64().unwrap();
    }
    let found = rotel.wait_for_points(|found| found.len() as u64 >= points, PATIENCE).await.unwrap();
    assert_eq!(counted(&found, "plimsoll_requests"), counted_by_runs);
}

#[tokio::test]
async fn our_own_work_is_traced_where_the_environment_asks_for_it() {
    let _machine = beside_others().await;
    for protocol in ["http/protobuf", "grpc"] {
        let (target, own, sink) = tokio::join!(
            Target::start(["--latency", "fixed:2ms"]),
            OtlpReceiver::start([OtlpAnswer::Take]),
            OtlpReceiver::start([OtlpAnswer::Take])
        );
        let (desk, own, sink) = (Desk::new(), own.unwrap(), sink.unwrap());
        let export = format!("export.otlp.url={}", sink.url());
        let run = desk.run(PLAN).set([target.setting(), export]);
        let run =
            run.env("OTEL_EXPORTER_OTLP_ENDPOINT", &own.url()).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let ended = run.ended().await;
        ends(&ended, &desk.json(), 0);
        let received = own.received();
        let names: BTreeSet<&str> =
            received.iter().flat_map(|request| request.spans().map(|span| span.name.as_str())).collect();
        assert_eq!(
            names,
            BTreeSet::from(["deliver", "history commit", "judge"]),
            "{protocol}: {}",
            ended.stderr
        );
        let resource = received[0].traces.resource_spans[0].resource.clone().unwrap();
        assert!(format!("{resource:?}").contains("\"plimsoll\""), "{resource:?}");
        assert!(sink.received().iter().all(|request| request.spans().all(|span| span.name != "judge")));
    }
}

#[tokio::test]
async fn a_silent_receiver_of_our_own_traces_holds_nobody_up() {
    let _machine = beside_others().await;
    let (target, own) =
        tokio::join!(Target::start(["--latency", "fixed:2ms"]), OtlpReceiver::start([OtlpAnswer::Stall]));
    let (desk, own) = (Desk::new(), own.unwrap());
    let run = desk.run(PLAN).set([target.setting()]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &own.url());
    let ended = run.ended().await;
    ends(&ended, &desk.json(), 0);
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
}

#[tokio::test]
async fn requests_to_the_service_are_spans() {
    let _machine = beside_others().await;
    let own = OtlpReceiver::start([OtlpAnswer::Take]).await.unwrap();
    let (desk, address) = (Desk::new(), format!("127.0.0.1:{}", free_port()));
    let serve = desk.plimsoll(["serve", "--listen", &address]);
    let serve = serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", &own.url()).start();
    let client = plimsoll_testkit::http_client().unwrap();
    wait_for(PATIENCE, "the service", async || {
        client.get(format!("http://{address}/healthz")).send().await?.error_for_status()
    })
    .await
    .unwrap();
    let unknown = client.get(format!("http://{address}/api/v1/runs/no-such-run")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    serve.signal(Signal::SIGINT);
    assert_eq!(serve.ended().await.code, 0);
    let received = own.received();
    let spans = received.iter().flat_map(|request| request.spans());
    let names: BTreeSet<&str> = spans.map(|span| span.name.as_str()).collect();
    assert!(names.is_superset(&BTreeSet::from(["GET /healthz", "GET /api/v1/runs/{run}"])), "{names:?}");
}
