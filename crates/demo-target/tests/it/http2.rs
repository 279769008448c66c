//! The target over HTTP/2, by prior knowledge and by agreement in TLS.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plimsoll_demo_target::Model;
use tokio::net::TcpStream;

use crate::client::{Client, eventually, target};

async fn connect(addr: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    drop(tokio::spawn(connection));
    sender
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    method: &str,
    path: &str,
) -> (u16, Option<String>, Bytes) {
    let request = http::Request::builder().method(method).uri(format!("http://shop{path}"));
    let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let length = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
    (answer.status().as_u16(), length, answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_http_1_and_are_recorded() {
    let target = target(Model::default());
    let mut sender = connect(target.addr()).await;
    let mut plain = Client::to(target.addr());
    for path in ["/", "/products/7", "/products/0", "/bytes/300000", "/status/204", "/nothing"] {
        let (status, _, body) = ask(&mut sender, "GET", path).await;
        let expected = plain.get(path);
        assert_eq!((status, &*body), (expected.status, &*expected.body), "{path}");
    }
    let (status, length, body) = ask(&mut sender, "HEAD", "/").await;
    assert_eq!((status, length.as_deref(), body.len()), (200, Some("23"), 0));
    eventually("all are recorded", || target.record().answered() == 13);
    let record = target.record();
    assert_eq!((record.access_count(), record.abandoned(), record.with_status(404)), (13, 0, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_open_at_once() {
    let target = target(Model { capacity: Some(1), ..Model::default() });
    let mut holder = Client::to(target.addr());
    holder.send("GET", "/stall?for=10m", &[], b"");
    eventually("the only place is taken", || target.record().in_flight() == 1);
    let sender = connect(target.addr()).await;
    let streams: Vec<_> = (0..1000)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { ask(&mut sender, "GET", "/").await.0 })
        })
        .collect();
    eventually("all wait for a place", || target.record().in_flight() == 1001);
    target.control().set_model(Model::default()).unwrap();
    for stream in streams {
        assert_eq!(stream.await.unwrap(), 200);
    }
    eventually("all are recorded", || target.record().answered() == 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_given_up_is_abandoned() {
    let target = target(Model::default());
    let mut sender = connect(target.addr()).await;
    let request = http::Request::get("http://shop/stall?for=10m").body(Empty::new()).unwrap();
    let stalled = tokio::spawn(sender.send_request(request));
    eventually("it is worked on", || target.record().in_flight() == 1);
    stalled.abort();
    eventually("it is abandoned", || target.record().abandoned() == 1);
    assert_eq!(ask(&mut sender, "GET", "/").await.0, 200, "the connection goes on");
}

#[test]
fn a_preface_in_pieces_is_waited_for_and_half_a_one_is_no_request() {
    let target = target(Model::default());
    let mut client = Client::to(target.addr());
    client.stream.get_mut().write_all(b"PRI * HTTP").unwrap();
    drop(client);
    let mut other = Client::to(target.addr());
    other.stream.get_mut().write_all(b"PR").unwrap();
    other.stream.get_mut().write_all(b"OPFIND / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(other.reply("PROPFIND").status, 405);
    assert_eq!(target.record().access_count(), 1);
}
