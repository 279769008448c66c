//! The same streams read by hyper, and how the two may differ.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Method, Request};
use http_body::Body as _;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_driver::http1::{MAX_EXTENSIONS, ReadError};
use plimsoll_measure::Outcome;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::harness::{Answer, MAX_BODY, read, want};

/// Rows of the table in the documentation of `plimsoll_driver::http1`: where the two differ, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    HeadTooLarge,
    TooManyInformational,
    SwitchingProtocols,
    TwoFramings,
    LongChunkSize,
    BlanksAreExtension,
    StrayLineFeedInTrailer,
    AnnouncedTooLarge,
    BrokenBeforeCut,
}

/// How many bytes hyper reads at once at first. Of a head that comes in several reads it looks for the end
/// before it parses, so it may tell one that is broken as one that is cut.
const FIRST_READ: usize = 8192;

/// Reads the stream both ways and says how they differ.
///
/// # Panics
///
/// When they differ in what the table does not state.
pub(crate) fn compare(stream: &[u8], head_request: bool) -> Option<Difference> {
    let ours = read([stream], want(head_request));
    let theirs = read_with_hyper(stream, head_request);
    difference(stream, &ours, &theirs).unwrap_or_else(|| {
        panic!("{:?}\nours: {ours:?}\nhyper: {theirs:?}", String::from_utf8_lossy(stream));
    })
}

/// `None`: the difference is not in the table. `Some(None)`: there is none.
#[expect(clippy::option_option, reason = "the two are different findings, named above")]
fn difference(
    stream: &[u8],
    ours: &Result<Answer, ReadError>,
    theirs: &Result<Answer, Outcome>,
) -> Option<Option<Difference>> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Some(None),
        (Ok(ours), Ok(theirs)) => {
            let but_reused = Answer { keeps_alive: true, ..ours.clone() };
            let two =
                ours.headers.contains_key("transfer-encoding") && ours.headers.contains_key("content-length");
            (two && but_reused == *theirs).then_some(Some(Difference::TwoFramings))
        }
        // We are never laxer.
        (Ok(_), Err(_)) => None,
        (Err(ours), Err(theirs)) if ours.outcome() == *theirs => Some(None),
        (Err(ours), theirs) => {
            explained(stream, *ours, theirs.as_ref().map_err(|outcome| *outcome)).map(Some)
        }
    }
}

fn explained(stream: &[u8], ours: ReadError, theirs: Result<&Answer, Outcome>) -> Option<Difference> {
    let has_long_size =
        || stream.windows(17).any(|digits| digits[0] == b'0' && digits.iter().all(u8::is_ascii_hexdigit));
    let has_blank = || stream.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    let has_stray_line_feed = || stream.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    match (ours, theirs) {
        (ReadError::HeadTooLarge, _) => Some(Difference::HeadTooLarge),
        (ReadError::TooManyInformational, _) => Some(Difference::TooManyInformational),
        (ReadError::SwitchingProtocols, Ok(answer)) if answer.status == 101 => {
            Some(Difference::SwitchingProtocols)
        }
        (ReadError::ChunkSize, _) if has_long_size() => Some(Difference::LongChunkSize),
        (ReadError::ChunkExtension, _) if stream.len() > usize::from(MAX_EXTENSIONS) && has_blank() => {
            Some(Difference::BlanksAreExtension)
        }
        (ReadError::BodyTooLarge, Err(Outcome::Reset | Outcome::Protocol)) => {
            Some(Difference::AnnouncedTooLarge)
        }
        (ReadError::Trailer, Ok(_)) if has_stray_line_feed() => Some(Difference::StrayLineFeedInTrailer),
        (ReadError::Trailer, Err(Outcome::Reset)) => Some(Difference::BrokenBeforeCut),
        (ours, Err(Outcome::Reset)) if ours.outcome() == Outcome::Protocol && stream.len() > FIRST_READ => {
            Some(Difference::BrokenBeforeCut)
        }
        _ => None,
    }
}

/// Gives hyper the stream as the answer to a request, and the end of the stream when it waits for more.
///
/// Everything lies in memory, so whoever is pending waits for the other or for more bytes: polling both in
/// turn, without a runtime, ends when neither gets any further.
pub(crate) fn read_with_hyper(stream: &[u8], head_request: bool) -> Result<Answer, Outcome> {
    let mut context = Context::from_waker(Waker::noop());
    let (client, mut server) = tokio::io::duplex(stream.len() + 4096);
    let handshake = pin!(http1::Builder::new().handshake::<_, Empty<Bytes>>(TokioIo::new(client)));
    let (mut sender, mut connection) = now(handshake, &mut context).expect("nothing is sent yet");
    let method = if head_request { Method::HEAD } else { Method::GET };
    let request = Request::builder().method(method).uri("/").header("host", "a").body(Empty::new());
    let mut response = pin!(sender.send_request(request.expect("a request")));
    let mut ended = Pin::new(&mut connection).poll(&mut context).is_ready();
    assert!(has_bytes(&mut server, &mut context), "hyper sends the request before it reads");
    match Pin::new(&mut server).poll_write(&mut context, stream) {
        Poll::Ready(Ok(written)) => assert_eq!(written, stream.len()),
        other => panic!("the pipe has room: {other:?}"),
    }
    let mut closed = false;
    let mut found: Option<(http::response::Parts, hyper::body::Incoming)> = None;
    let mut body = Vec::new();
    loop {
        let mut progress = false;
        if !ended && Pin::new(&mut connection).poll(&mut context).is_ready() {
            (ended, progress) = (true, true);
        }
        match &mut found {
            None => {
                if let Poll::Ready(answer) = response.as_mut().poll(&mut context) {
                    let (parts, body) = answer.map_err(|error| outcome(&error))?.into_parts();
                    if body.size_hint().lower() > MAX_BODY {
                        return Err(Outcome::TooLarge);
                    }
                    (found, progress) = (Some((parts, body)), true);
                }
            }
            Some((_, incoming)) => match Pin::new(incoming).poll_frame(&mut context) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => {
                    let frame = frame.map_err(|error| outcome(&error))?;
                    body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
                    if body.len() as u64 > MAX_BODY {
                        return Err(Outcome::TooLarge);
                    }
                    progress = true;
                }
                Poll::Pending => {}
            },
        }
        if !progress {
            assert!(!closed, "hyper waits after the end of the stream");
            let _ = Pin::new(&mut server).poll_shutdown(&mut context);
            closed = true;
        }
    }
    let (parts, _) = found.expect("the loop ends with an answer");
    for _ in 0..3 {
        ended = ended || Pin::new(&mut connection).poll(&mut context).is_ready();
    }
    let keeps_alive = !closed && !ended && sender.is_ready();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, keeps_alive })
}

fn now<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> F::Output {
    match future.poll(context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

fn has_bytes(server: &mut DuplexStream, context: &mut Context<'_>) -> bool {
    let mut buffer = [0; 4096];
    let mut buffer = ReadBuf::new(&mut buffer);
    Pin::new(server).poll_read(context, &mut buffer).is_ready() && !buffer.filled().is_empty()
}

/// As the driver names what hyper says.
fn outcome(error: &hyper::Error) -> Outcome {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let is_cut = io.is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof);
    if is_cut || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Outcome::Reset
    } else {
        Outcome::Protocol
    }
}
