//! The shell of emulated receivers: HTTP on a free port, a script of answers, and all that was sent.
//!
//! The first request gets the first scripted answer, the second the second, and every later one the last.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::wait_for;

/// The body of an answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// An answer over HTTP; an error closes the connection without one.
pub type Reply = anyhow::Result<Response<Body>>;

/// What a receiver speaks.
pub trait Protocol: Send + Sync + 'static {
    /// What its script is made of.
    type Answer: Clone + Debug + Send;
    /// What it keeps of a request.
    type Received: Clone + Debug + Send;

    /// Reads a request that is to be answered so.
    ///
    /// # Errors
    /// When it is none of the protocol: then the connection closes, and nothing is kept.
    fn read(head: Parts, body: Bytes, answer: &Self::Answer) -> anyhow::Result<Self::Received>;

    /// Answers it. `close` lets go of the connection, whatever has been answered by then.
    fn reply(
        answer: Self::Answer,
        received: Self::Received,
        close: &Arc<Notify>,
    ) -> impl Future<Output = Reply> + Send;
}

/// A running receiver. It stops, closing all connections, when dropped.
#[derive(Debug)]
pub struct Scripted<P: Protocol> {
    port: u16,
    shared: Shared<P>,
    task: JoinHandle<()>,
}

type Shared<P> = Arc<Mutex<State<P>>>;

#[derive(Debug)]
struct State<P: Protocol> {
    script: VecDeque<P::Answer>,
    received: Vec<P::Received>,
}

impl<P: Protocol> Scripted<P> {
    /// Starts one on a free port with at least one answer.
    pub async fn start(script: impl IntoIterator<Item = P::Answer>) -> anyhow::Result<Self> {
        let script: VecDeque<P::Answer> = script.into_iter().collect();
        anyhow::ensure!(!script.is_empty(), "a receiver needs an answer to give");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Mutex::new(State { script, received: Vec::new() }));
        let task = tokio::spawn(serve::<P>(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What arrived so far, in the order in which the requests were whole.
    pub fn received(&self) -> Vec<P::Received> {
        lock(&self.shared).received.clone()
    }

    /// Replaces the answers still to come.
    pub fn answer_with(&self, script: impl IntoIterator<Item = P::Answer>) {
        let script: VecDeque<P::Answer> = script.into_iter().collect();
        assert!(!script.is_empty(), "a receiver needs an answer to give");
        lock(&self.shared).script = script;
    }

    /// Waits until at least `count` requests have arrived, and returns all.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> anyhow::Result<Vec<P::Received>> {
        wait_for(deadline, &format!("{count} requests"), async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(format!("{} so far", received.len())) }
        })
        .await
    }
}

impl<P: Protocol> Drop for Scripted<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<P: Protocol> State<P> {
    /// Keeps a request, and says how it is answered. The last answer stays for all requests after it.
    fn take(&mut self, head: Parts, body: Bytes) -> anyhow::Result<(P::Answer, P::Received)> {
        let answer = self.script.front().cloned().ok_or_else(|| anyhow::anyhow!("there is an answer"))?;
        let received = P::read(head, body, &answer)?;
        if self.script.len() > 1 {
            self.script.pop_front();
        }
        self.received.push(received.clone());
        Ok((answer, received))
    }
}

async fn serve<P: Protocol>(listener: TcpListener, shared: Shared<P>) {
    // Owned here, so that aborting this task closes the connections too.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection::<P>(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// HTTP/1.1, or HTTP/2 with prior knowledge.
async fn serve_connection<P: Protocol>(stream: TcpStream, shared: Shared<P>) {
    let close = Arc::new(Notify::new());
    let closing = Arc::clone(&close);
    let service = service_fn(move |request| {
        let (shared, close) = (Arc::clone(&shared), Arc::clone(&closing));
        async move { answer::<P>(request, &shared, &close).await }
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        // It fails when the sender goes away or the script says to close: both are ordinary here.
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = close.notified() => {}
    }
}

async fn answer<P: Protocol>(request: Request<Incoming>, shared: &Shared<P>, close: &Arc<Notify>) -> Reply {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (answer, received) = lock(shared).take(head, body)?;
    P::reply(answer, received, close).await
}

/// A panic in one test's assertion does not matter to what was recorded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
