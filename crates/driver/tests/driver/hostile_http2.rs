//! A target that breaks HTTP/2 frame by frame, as no library lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_driver::{Http1, NetworkTransport, Transport};
use plimsoll_measure::{CloseReason, Opening, Outcome};
use plimsoll_run::{Action, Body, BodyKind, HttpVersion, LoadModel, RunPlan, Template};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Measured, closed, config, get, open, plan, seconds};

/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200` in the static table of HPACK.
const STATUS_200: [u8; 1] = [0x88];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Attack {
    /// Says goodbye at the third request of each connection, which it has not looked at, and answers those before it.
    GoAway,
    /// Goes away with an error at the first request.
    GoAwayInAnger,
    /// Resets every request with this code.
    Reset(u32),
    /// Gives no window for bodies.
    NoWindow,
    /// Begins a head that never ends.
    Continuations,
    /// Answers with a head of 128 KiB.
    LargeHead,
    /// Sends a body where no answer has begun.
    BodyFirst,
    /// Sends a frame longer than allowed.
    LargeFrame,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn server(attack: Attack) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&counted);
            // What breaks a connection ends its task.
            tokio::spawn(async move { serve(stream, attack, &asked).await.ok() });
        }
    });
    (address, asked)
}

async fn serve(mut stream: TcpStream, attack: Attack, asked: &AtomicU32) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    // SETTINGS_INITIAL_WINDOW_SIZE.
    let settings: &[u8] = if attack == Attack::NoWindow { &[0, 4, 0, 0, 0, 0] } else { &[] };
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).await?;
    let mut requests = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            (HEADERS, _) => {
                asked.fetch_add(1, Ordering::Relaxed);
                requests += 1;
                answer(&mut stream, attack, id, requests).await?;
            }
            _ => {}
        }
    }
}

async fn answer(stream: &mut TcpStream, attack: Attack, id: u32, requests: u32) -> std::io::Result<()> {
    let ok = frame(HEADERS, END_STREAM | END_HEADERS, id, &STATUS_200);
    let go_away =
        |last: u32, code: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    match attack {
        Attack::GoAway if requests < 3 => stream.write_all(&ok).await,
        Attack::GoAway if requests == 3 => stream.write_all(&go_away(id - 2, 0)).await,
        Attack::GoAway => Ok(()),
        Attack::GoAwayInAnger => {
            stream.write_all(&go_away(0, 0xb)).await?;
            stream.shutdown().await
        }
        Attack::Reset(code) => stream.write_all(&frame(RST_STREAM, 0, id, &code.to_be_bytes())).await,
        Attack::NoWindow => Ok(()),
        Attack::Continuations => {
            // A header that is not indexed, of which there is always more: one byte of a name at a time would do as well.
            stream.write_all(&frame(HEADERS, 0, id, &STATUS_200)).await?;
            let field = [&[0x00, 0x01, b'a', 0x7f, 0x80, 0x7f][..], &[b'x'; 16_255]].concat();
            loop {
                stream.write_all(&frame(CONTINUATION, 0, id, &field[..16_000])).await?;
            }
        }
        Attack::LargeHead => {
            stream.write_all(&frame(HEADERS, 0, id, &STATUS_200)).await?;
            // A name of one byte and a value of 8,000 (RFC 7541, section 5.1: 127 + 7,873 in seven bits each).
            let field = [&[0x00, 0x01, b'a', 0x7f, 0xc1, 0x3d][..], &[b'x'; 8000]].concat();
            for last in (0..16).map(|n| n == 15) {
                let flags = if last { END_HEADERS } else { 0 };
                stream.write_all(&frame(CONTINUATION, flags, id, &field)).await?;
            }
            Ok(())
        }
        Attack::BodyFirst => stream.write_all(&frame(DATA, END_STREAM, id, b"body")).await,
        Attack::LargeFrame => stream.write_all(&frame(HEADERS, END_HEADERS, id, &[0x88; 100_000])).await,
    }
}

fn http2(address: SocketAddr, model: LoadModel, streams: u32) -> RunPlan {
    let mut plan = plan(&format!("http://{address}"), model, vec![Action::Request(Box::new(get(0, "/")))]);
    plan.http.version = HttpVersion::Http2;
    (plan.http.connections, plan.http.streams, plan.http.timeout) = (Some(1), streams, seconds(1.0));
    plan
}

async fn run(plan: RunPlan) -> Measured {
    let transport = Transport::Network(NetworkTransport::new(&plan).await.unwrap());
    Measured::run(&config(plan, transport, Http1::default())).await
}

#[tokio::test]
async fn each_way_to_break_http2_has_its_outcome() {
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    for (attack, outcome) in [
        (Attack::GoAwayInAnger, Outcome::Reset),
        (Attack::Reset(2), Outcome::Reset),
        (Attack::Reset(ENHANCE_YOUR_CALM), Outcome::Reset),
        (Attack::Continuations, Outcome::Protocol),
        (Attack::LargeHead, Outcome::Protocol),
        (Attack::BodyFirst, Outcome::Protocol),
        (Attack::LargeFrame, Outcome::Protocol),
    ] {
        let (address, asked) = server(attack).await;
        let measured = run(http2(address, open(20.0, 0.3), 10)).await;
        assert_eq!(
            measured.outcomes(),
            [(outcome, 6)],
            "{attack:?}: {:?} {:?}",
            measured.message(Outcome::Protocol),
            measured.message(Outcome::Reset)
        );
        assert_eq!(asked.load(Ordering::Relaxed), 6, "{attack:?}: nothing is asked twice");
        // It names who ended what.
        let message = measured.message(outcome).unwrap();
        let begins = if outcome == Outcome::Reset { "the target ended the " } else { "not HTTP/2: " };
        assert!(message.starts_with(begins), "{attack:?}: {message}");
    }
}

#[tokio::test]
async fn what_a_target_had_not_looked_at_when_it_went_is_asked_again_and_the_rest_is_not() {
    let (address, asked) = server(Attack::GoAway).await;
    let measured = run(http2(address, closed(1, 0.3), 10)).await;
    let ok = measured.outcome(Outcome::Ok);
    assert!(ok > 10, "{:?}", measured.outcomes());
    assert!(measured.outcomes().iter().all(|(outcome, _)| matches!(outcome, Outcome::Ok | Outcome::Cut)));
    // Of each connection's three requests two were answered, and the third was the first of the next.
    let opened = measured.connections().opened(Opening::Plain);
    let asked = u64::from(asked.load(Ordering::Relaxed));
    assert!(asked <= ok + opened + 1, "{asked} asked for {ok} answers on {opened} connections");
    assert!(measured.connections().closed(CloseReason::GoAway) + 1 >= opened, "{:?}", measured.connections());
}

#[tokio::test]
async fn a_target_that_refuses_everything_is_not_asked_for_ever() {
    const REFUSED_STREAM: u32 = 7;
    let (address, asked) = server(Attack::Reset(REFUSED_STREAM)).await;
    let measured = run(http2(address, open(10.0, 0.2), 10)).await;
    assert_eq!(measured.outcomes(), [(Outcome::Reset, 2)]);
    assert_eq!(asked.load(Ordering::Relaxed), 18, "each is asked for nine times at most");
}

#[tokio::test]
async fn a_body_for_which_there_is_never_room_is_a_timeout_and_holds_nothing() {
    let (address, asked) = server(Attack::NoWindow).await;
    let mut step = get(0, "/upload");
    step.method = "POST".into();
    step.body = Some(Body::Text(Template::text("x".repeat(1000)), BodyKind::Text));
    let mut plan = http2(address, open(40.0, 0.5), 4);
    plan.scenarios[0].actions = vec![Action::Request(Box::new(step))];
    plan.http.timeout = seconds(0.1);
    let measured = run(plan).await;
    assert_eq!(measured.outcomes(), [(Outcome::Timeout, 20)]);
    // Four streams at once, each given back after a tenth of a second: more were begun than there is room for at once.
    assert!(asked.load(Ordering::Relaxed) > 8, "{asked:?}");
    assert_eq!(measured.connections().opened(Opening::Plain), 1, "the connection stays");
}
