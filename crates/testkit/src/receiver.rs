//! An emulated HTTP receiver whose answers a test scripts.
//!
//! Real servers do not say 429 or stall on demand. It proves how a sender behaves, never that a real
//! server understands it.

use std::convert::Infallible;
use std::future::pending;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_ENCODING, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::sync::Notify;

use crate::half::Half;
use crate::scripted::{Protocol, Reply, Scripted};

/// What the receiver does with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Replies with this status.
    Status(u16),
    /// Replies with this status and body.
    Body(u16, String),
    /// Replies with this status and asks to come back after so many seconds.
    RetryAfter(u16, u64),
    /// Replies with this status after a while.
    Delayed(Duration, u16),
    /// Reads the request and never replies.
    Stall,
    /// Reads the request and closes the connection without a reply.
    Close,
    /// Replies 200 with the beginning of a body and closes the connection.
    Half(String),
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The body as it came, still compressed where it was.
    pub body: Bytes,
}

impl Received {
    /// The body as text, decompressed when it is marked as gzip.
    ///
    /// # Errors
    /// When it is not what its headers say.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        if self.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip") {
            flate2::read::GzDecoder::new(self.body.as_ref()).read_to_string(&mut text)?;
        } else {
            self.body.as_ref().read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

/// A running receiver.
pub type Receiver = Scripted<Plain>;

/// Keeps whatever comes.
#[derive(Debug)]
pub struct Plain;

impl Protocol for Plain {
    type Answer = Answer;
    type Received = Received;

    fn read(head: Parts, body: Bytes, _: &Answer) -> anyhow::Result<Received> {
        let Parts { method, uri, headers, .. } = head;
        Ok(Received { at: Instant::now(), method, uri, headers, body })
    }

    async fn reply(answer: Answer, _: Received, close: &Arc<Notify>) -> Reply {
        match answer {
            Answer::Status(status) => reply(status, String::new()),
            Answer::Body(status, body) => reply(status, body),
            Answer::RetryAfter(status, seconds) => {
                let mut response = reply(status, String::new())?;
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
                Ok(response)
            }
            Answer::Delayed(delay, status) => {
                tokio::time::sleep(delay).await;
                reply(status, String::new())
            }
            Answer::Stall => match pending::<Infallible>().await {},
            Answer::Close => anyhow::bail!("the script says to close"),
            Answer::Half(body) => Ok(Response::new(Half::of(body, close).boxed())),
        }
    }
}

fn reply(status: u16, body: String) -> Reply {
    let status = StatusCode::from_u16(status).context("a scripted status")?;
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    Ok(response)
}
