//! Each misbehaviour is what its name says, seen from a plain socket.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_demo_target::misbehave::{HUGE_BODY, Kind, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
/// Enough for what is there to come, short enough to wait for what never does.
const SILENCE: Duration = Duration::from_millis(100);

#[derive(Debug, PartialEq)]
enum End {
    Closed,
    Reset,
    Open,
}

/// Sends one request and reads until the end, silence or `limit` bytes.
async fn exchange(addr: SocketAddr, limit: usize) -> (String, End) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let sent = stream.write_all(REQUEST).await;
    let mut bytes = Vec::new();
    let end = loop {
        // Silence counts from the first byte on: before it a loaded machine may take its time.
        let patience = if bytes.is_empty() && sent.is_ok() { crate::client::DEADLINE } else { SILENCE };
        match timeout(patience, stream.read_buf(&mut bytes)).await {
            Err(_) => break End::Open,
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) if bytes.len() >= limit => break End::Open,
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Ok(Err(error)) => panic!("{error}"),
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn check(kind: Kind, starts: &str, contains: &str, end: End) {
    let culprit = serve(kind).await.unwrap();
    let (answer, seen) = exchange(culprit.addr(), 1 << 16).await;
    assert!(answer.starts_with(starts), "{kind:?}: {answer:.200}");
    assert!(answer.contains(contains), "{kind:?}: {answer:.200}");
    assert_eq!(seen, end, "{kind:?}");
    assert_eq!((culprit.connections(), culprit.requests()), (1, 1), "{kind:?}");
}

#[tokio::test]
async fn answers_are_broken_as_named() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /hop-1\r\n";
    check(Kind::ResetMidResponse, ok, "half of one hundred", End::Reset).await;
    check(Kind::HalfThenStall, ok, "content-length: 100\r\n\r\nhalf", End::Open).await;
    check(Kind::EndlessHeaders, ok, "x-more: ", End::Open).await;
    check(Kind::HugeBody, ok, &format!("content-length: {HUGE_BODY}\r\n"), End::Open).await;
    check(Kind::CloseAfterEachReply, ok, "content-length: 3\r\n\r\nok\n", End::Closed).await;
    check(Kind::Http10, "HTTP/1.0 200 OK\r\n", "plain\r\n\r\nok\n", End::Closed).await;
    check(Kind::RedirectForEver, redirect, "content-length: 0\r\n", End::Open).await;
    check(Kind::BadChunked, ok, "\r\nnot-a-size\r\n", End::Open).await;
    check(Kind::NegativeContentLength, ok, "content-length: -1\r\n", End::Open).await;
    check(Kind::WrongStatusLine, "HTTP/one.one OK 200\r\n", "ok\n", End::Open).await;
}

#[tokio::test]
async fn half_an_answer_is_exactly_half() {
    let culprit = serve(Kind::HalfThenStall).await.unwrap();
    let (answer, _) = exchange(culprit.addr(), 1 << 16).await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 50);
}

#[tokio::test]
async fn garbage_is_the_same_for_the_same_seed() {
    let garbage = |seed| async move {
        let culprit = serve(Kind::Garbage { seed }).await.unwrap();
        let (answer, end) = exchange(culprit.addr(), 1 << 16).await;
        assert_eq!(end, End::Closed);
        answer
    };
    assert_eq!(garbage(1).await, garbage(1).await);
    assert_ne!(garbage(1).await, garbage(2).await);
    assert!(!garbage(1).await.starts_with("HTTP"));
}

#[tokio::test]
async fn connections_are_refused_reset_or_met_with_silence() {
    let refusing = serve(Kind::Refuse).await.unwrap();
    let refused = TcpStream::connect(refusing.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let resetting = serve(Kind::ResetOnAccept).await.unwrap();
    let mut stream = TcpStream::connect(resetting.addr()).await.unwrap();
    let reset = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);

    let silent = serve(Kind::SilentAccept).await.unwrap();
    let mut stream = TcpStream::connect(silent.addr()).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    assert!(timeout(SILENCE, stream.read(&mut [0])).await.is_err());
}

#[tokio::test]
async fn a_dropped_handle_frees_the_port() {
    for kind in Kind::ALL {
        let culprit = serve(kind).await.unwrap();
        let addr = culprit.addr();
        drop(culprit);
        let refused =
            timeout(crate::client::DEADLINE, async { while TcpStream::connect(addr).await.is_ok() {} }).await;
        assert!(refused.is_ok(), "{kind:?}");
    }
}
