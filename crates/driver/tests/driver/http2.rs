//! HTTP/2, without TLS and with it: streams of shared connections, and targets that end them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use plimsoll_demo_target::{Config, DemoTarget};
use plimsoll_driver::{Http1, NetworkTransport, Transport};
use plimsoll_measure::{Outcome, Timing};
use plimsoll_run::{Action, Body, BodyKind, HttpVersion, LoadModel, RunPlan, Template};
use tokio::net::TcpListener;

use crate::common::{Measured, closed, config, get, open, plan, seconds};

fn http2(target: &str, model: LoadModel, connections: u32, streams: u32) -> RunPlan {
    let mut plan = plan(target, model, vec![Action::Request(Box::new(get(0, "/")))]);
    plan.http.version = HttpVersion::Http2;
    (plan.http.connections, plan.http.streams) = (Some(connections), streams);
    plan
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

#[tokio::test]
async fn counts_agree_with_the_target_and_connections_are_shared() {
    for model in [open(400.0, 1.0), closed(40, 1.0)] {
        let (target, url) = demo();
        let measured = run(http2(&url, model, 4, 16)).await;
        let ok = measured.outcome(Outcome::Ok);
        assert!(ok > 100, "{:?} {:?}", measured.outcomes(), measured.message(Outcome::Protocol));
        assert_eq!(measured.outcomes().iter().map(|(_, count)| count).sum::<u64>(), ok);
        assert_eq!(target.record().access_count(), ok);
        assert!(measured.timing(Timing::ConnectTime).count() <= 4);
        assert_eq!(measured.timing(Timing::FirstByteTime).count(), ok);
        let (service, response) =
            (measured.timing(Timing::ServiceTime), measured.timing(Timing::ResponseTime));
        assert!(service.count() == ok && service.sum() <= response.sum());
    }
}

#[tokio::test]
async fn a_plain_target_that_speaks_no_http2_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            });
        }
    });
    let measured = run(http2(&url, open(20.0, 0.5), 1, 10)).await;
    assert_eq!(measured.outcome(Outcome::Ok), 0);
    let failed = measured.outcome(Outcome::Protocol) + measured.outcome(Outcome::Reset);
    assert_eq!(failed, 10, "{:?}", measured.outcomes());
}

/// What a server of one's own does with its connections.
#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    /// Streams it allows at once.
    streams: Option<u32>,
    /// Requests after which it says goodbye.
    goodbye: Option<u32>,
    /// Every how-many-th request it refuses.
    refuses: Option<u32>,
    /// Every how-many-th request it never answers.
    forgets: Option<u32>,
    /// How long it thinks.
    thinks: Duration,
    /// Whether it takes bodies larger than its window.
    reads: bool,
}

async fn server(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let listener = listener.into_std().unwrap();
        local.block_on(&runtime, async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(serve(stream, manners));
            }
        });
    });
    address
}

async fn serve(stream: tokio::net::TcpStream, manners: Manners) {
    let mut builder = h2::server::Builder::new();
    manners.streams.into_iter().for_each(|streams| {
        builder.max_concurrent_streams(streams);
    });
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let served = Rc::new(Cell::new(0_u32));
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        served.set(served.get() + 1);
        if manners.refuses.is_some_and(|every| served.get().is_multiple_of(every)) {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        let forgotten = manners.forgets.is_some_and(|every| served.get().is_multiple_of(every));
        tokio::task::spawn_local(async move {
            let mut size = 0;
            let mut body = Request::into_body(request);
            while let Some(Ok(data)) = body.data().await {
                size += data.len();
                if manners.reads {
                    let _ = body.flow_control().release_capacity(data.len());
                }
            }
            tokio::time::sleep(manners.thinks).await;
            if forgotten {
                std::future::poll_fn(|context| respond.poll_reset(context)).await.ok();
                return;
            }
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::OK;
            let Ok(mut out) = respond.send_response(response, false) else { return };
            let _ = out.send_data(Bytes::from(size.to_string()), true);
        });
        if manners.goodbye == Some(served.get()) {
            connection.graceful_shutdown();
        }
    }
}

#[tokio::test]
async fn a_target_that_says_goodbye_loses_no_request() {
    let address = server(Manners { goodbye: Some(50), ..Manners::default() }).await;
    let measured = run(http2(&format!("http://{address}"), closed(8, 1.0), 2, 8)).await;
    let outcomes = measured.outcomes();
    assert!(
        matches!(outcomes.as_slice(), [(Outcome::Ok, 500..)]),
        "{outcomes:?} {:?}",
        measured.message(Outcome::Reset)
    );
    assert!(measured.timing(Timing::ConnectTime).count() > 5, "another connection each time");
}

#[tokio::test]
async fn a_refused_stream_is_asked_for_again() {
    let address = server(Manners { refuses: Some(7), ..Manners::default() }).await;
    let measured = run(http2(&format!("http://{address}"), closed(4, 0.5), 1, 4)).await;
    let outcomes = measured.outcomes();
    assert!(
        matches!(outcomes.as_slice(), [(Outcome::Ok, 50..)]),
        "{outcomes:?} {:?}",
        measured.message(Outcome::Reset)
    );
}

#[tokio::test]
async fn fewer_streams_than_planned_make_requests_wait() {
    let thinks = Duration::from_millis(20);
    let address = server(Manners { streams: Some(2), thinks, ..Manners::default() }).await;
    let measured = run(http2(&format!("http://{address}"), closed(10, 1.0), 1, 100)).await;
    let outcomes = measured.outcomes();
    assert!(matches!(outcomes.as_slice(), [(Outcome::Ok, 20..)]), "{outcomes:?}");
    // Ten users on two streams: each request waits for the eight others.
    let wait = measured.timing(Timing::Wait);
    assert!(wait.mean().unwrap() > 40e6, "{:?}", wait.mean());
    let service = measured.timing(Timing::ServiceTime);
    assert!(service.mean().unwrap() < 60e6, "{:?}", service.mean());
}

#[tokio::test]
async fn a_body_larger_than_every_window_goes_out_whole() {
    let address = server(Manners { reads: true, ..Manners::default() }).await;
    let mut step = get(0, "/upload");
    step.method = "POST".into();
    step.body = Some(Body::Text(Template::text("x".repeat(1_000_000)), BodyKind::Text));
    step.expect.body_contains = vec!["1000000".into()];
    let mut plan = http2(&format!("http://{address}"), closed(4, 0.5), 2, 2);
    plan.scenarios[0].actions = vec![Action::Request(Box::new(step))];
    let measured = run(plan).await;
    let outcomes = measured.outcomes();
    assert!(matches!(outcomes.as_slice(), [(Outcome::Ok, 4..)]), "{outcomes:?}");
}

#[tokio::test]
async fn a_request_given_up_leaves_its_connection_to_the_others() {
    let address = server(Manners { forgets: Some(5), ..Manners::default() }).await;
    let mut plan = http2(&format!("http://{address}"), open(100.0, 1.0), 1, 100);
    plan.http.timeout = seconds(0.3);
    let measured = run(plan).await;
    let (ok, late) = (measured.outcome(Outcome::Ok), measured.outcome(Outcome::Timeout));
    assert_eq!(ok + late, 100, "{:?}", measured.outcomes());
    assert_eq!(late, 20, "{:?}", measured.outcomes());
    assert!(measured.timing(Timing::ConnectTime).count() <= 1, "the connection stays");
}
