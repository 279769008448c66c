//! An emulated HTTP receiver whose answers a test scripts.
//!
//! Real servers do not say 429 or stall on demand. This one answers the first request with the
//! first scripted answer, the second with the second, and every later one with the last; it
//! keeps all it was sent. It proves how a sender behaves, never that a real server understands it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::half::Half;
use crate::wait_for;

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

/// A running receiver. It stops, closing all connections, when dropped.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Starts one on a free port with at least one answer.
    pub async fn start(script: impl IntoIterator<Item = Answer>) -> anyhow::Result<Self> {
        let script: VecDeque<Answer> = script.into_iter().collect();
        anyhow::ensure!(!script.is_empty(), "a receiver needs an answer to give");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { script: Mutex::new(script), received: Mutex::default() });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What arrived so far, in the order in which the requests were whole.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// Replaces the answers still to come.
    pub fn answer_with(&self, script: impl IntoIterator<Item = Answer>) {
        let script: VecDeque<Answer> = script.into_iter().collect();
        assert!(!script.is_empty(), "a receiver needs an answer to give");
        *lock(&self.shared.script) = script;
    }

    /// Waits until at least `count` requests have arrived, and returns all.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> anyhow::Result<Vec<Received>> {
        wait_for(deadline, &format!("{count} requests"), async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(format!("{} so far", received.len())) }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Owned here, so that aborting this task closes the connections too.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let close = Arc::new(Notify::new());
    let service = service_fn(async |request| answer(request, &shared, &close).await);
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // It fails when the sender goes away or `Answer::Close` was asked for: both are ordinary here.
        _ = server => {}
        () = close.notified() => {}
    }
}

type Reply = Response<BoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, shared: &Shared, close: &Arc<Notify>) -> anyhow::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let next = next_answer(&mut lock(&shared.script));
    let received =
        Received { at: Instant::now(), method: head.method, uri: head.uri, headers: head.headers, body };
    lock(&shared.received).push(received);
    match next {
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

/// The last answer stays for all requests after it.
fn next_answer(script: &mut VecDeque<Answer>) -> Answer {
    match (script.len(), script.front().cloned()) {
        (0 | 1, Some(last)) => last,
        (_, Some(first)) => {
            script.pop_front();
            first
        }
        (_, None) => Answer::Close,
    }
}

fn reply(status: u16, body: String) -> anyhow::Result<Reply> {
    let status = StatusCode::from_u16(status).context("a scripted status")?;
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    Ok(response)
}

/// A panic in one test's assertion does not matter to what was recorded.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
