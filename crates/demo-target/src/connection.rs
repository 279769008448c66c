//! One connection: what is being answered on it, and the stream and body that notice when that ends.
//!
//! hyper tells nobody when an answer has been written. Two observations together do: the body is
//! dropped when its last frame was taken, and hyper flushes the stream once its write buffer is empty.
//! The first flush after the drop therefore follows the write of the last byte. With pipelined
//! requests the next one may begin earlier; the one before is then taken as written.
//!
//! An answer's time ends just before its last write, not after it: a write wakes the client, which may
//! take the core at once, and a time that ends after it would be longer than what the client saw.
//!
//! Over HTTP/2 answers share the writes, and no flush belongs to one of them: there an answer ends when
//! its last frame was taken, just before it is written.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::locked;
use crate::record::{Answer, Ticket};
use crate::routes::Route;
use crate::server::Worker;

/// The state that the service, the body and the stream of one connection share, all on one thread.
/// Each stream of an HTTP/2 connection has one of its own, for its single exchange.
#[derive(Debug)]
pub(crate) struct Connection {
    worker: Rc<Worker>,
    carries: Carries,
    exchange: RefCell<Option<Exchange>>,
    traffic: Rc<Traffic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    /// HTTP/1.1: one exchange after the other.
    Exchanges,
    /// HTTP/2: a stream, whose answer's end no flush tells.
    Stream,
}

/// Bytes since the last answer ended.
#[derive(Debug, Default)]
struct Traffic {
    received_bytes: Cell<u64>,
    sent_bytes: Cell<u64>,
}

#[derive(Debug)]
struct Exchange {
    /// `None` for the operator's routes, which are not counted.
    ticket: Option<Ticket>,
    started: Instant,
    status: u16,
    body_ended: bool,
    /// When the last write began, known only once the body has ended.
    last_write: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(worker: Rc<Worker>) -> Rc<Self> {
        let exchange = RefCell::new(None);
        Rc::new(Self { worker, carries: Carries::Exchanges, exchange, traffic: Rc::default() })
    }

    /// A stream of this connection.
    pub(crate) fn stream(&self) -> Rc<Self> {
        let (worker, traffic) = (Rc::clone(&self.worker), Rc::clone(&self.traffic));
        Rc::new(Self { worker, carries: Carries::Stream, exchange: RefCell::new(None), traffic })
    }

    /// Whether this is a stream of HTTP/2.
    pub(crate) fn is_stream(&self) -> bool {
        self.carries == Carries::Stream
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// A request head was parsed. Requests without a route are not counted.
    pub(crate) fn begin(&self, route: Option<Route>) {
        let started = Instant::now();
        if let Some(before) = self.exchange.take() {
            self.finish(before);
        }
        let ticket = route.map(|route| {
            let gap = self.worker.control().arrival_gap(started);
            locked(self.worker.shard()).begin(route, gap)
        });
        let exchange = Exchange { ticket, started, status: 0, body_ended: false, last_write: None };
        self.exchange.replace(Some(exchange));
    }

    /// The answer's head is ready.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(exchange) = self.exchange.borrow_mut().as_mut() {
            exchange.status = status;
        }
    }

    /// The body is gone, taken to its end or not.
    fn body_ended(&self, whole: bool) {
        if self.is_stream() {
            // One that was not taken whole is abandoned when the stream goes.
            if whole && let Some(exchange) = self.exchange.take() {
                self.finish(exchange);
            }
            return;
        }
        if let Some(exchange) = self.exchange.borrow_mut().as_mut() {
            exchange.body_ended = true;
        }
    }

    fn writes(&self) {
        if let Some(exchange) = self.exchange.borrow_mut().as_mut()
            && exchange.body_ended
        {
            exchange.last_write = Some(Instant::now());
        }
    }

    fn flushed(&self) {
        let whole = self.exchange.borrow_mut().take_if(|exchange| exchange.body_ended);
        if let Some(exchange) = whole {
            self.finish(exchange);
        }
    }

    fn finish(&self, exchange: Exchange) {
        let received_bytes = self.traffic.received_bytes.take();
        let sent_bytes = self.traffic.sent_bytes.take();
        let Some(ticket) = exchange.ticket else { return };
        let ended = exchange.last_write.unwrap_or_else(Instant::now);
        let took = ended.duration_since(exchange.started);
        let answer = Answer { status: exchange.status, took, received_bytes, sent_bytes };
        locked(self.worker.shard()).finish(ticket, answer, self.worker.metrics());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(Exchange { ticket: Some(ticket), .. }) = self.exchange.take() {
            locked(self.worker.shard()).abandon(ticket);
        }
    }
}

/// The stream under hyper, plain or TLS.
#[derive(Debug)]
pub(crate) struct Observed<S> {
    stream: S,
    connection: Rc<Connection>,
}

impl<S> Observed<S> {
    pub(crate) fn new(stream: S, connection: Rc<Connection>) -> Self {
        Self { stream, connection }
    }

    fn count_sent(&self, written: &io::Result<usize>) {
        let bytes = written.as_ref().map_or(0, |&bytes| bytes as u64);
        self.connection.traffic.sent_bytes.update(|sent| sent + bytes);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let bytes = (buffer.filled().len() - before) as u64;
        self.connection.traffic.received_bytes.update(|received| received + bytes);
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.writes();
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.count_sent(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.writes();
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        self.count_sent(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What an answer's body is made of, in this order.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Bytes at hand.
    pub(crate) whole: Bytes,
    /// So many spaces, made as they are sent.
    pub(crate) spaces: u64,
    /// The request's own body, sent back as it arrives.
    pub(crate) echo: Option<Incoming>,
}

impl Content {
    pub(crate) fn of(whole: impl Into<Bytes>) -> Self {
        Self { whole: whole.into(), ..Self::default() }
    }

    /// How many bytes it has, where that is known beforehand.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.echo {
            Some(echo) => echo.size_hint().exact(),
            None => Some(self.whole.len() as u64 + self.spaces),
        }
    }

    /// Fills the content up with spaces to at least `bytes`. An echo stays what it is.
    pub(crate) fn at_least(mut self, bytes: u64) -> Self {
        if self.echo.is_none() {
            self.spaces = self.spaces.max(bytes.saturating_sub(self.whole.len() as u64));
        }
        self
    }
}

/// An answer's body, which tells its connection when it has been taken.
#[derive(Debug)]
pub(crate) struct Reply {
    content: Content,
    connection: Rc<Connection>,
}

impl Reply {
    pub(crate) fn new(content: Content, connection: Rc<Connection>) -> Self {
        Self { content, connection }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.connection.body_ended(self.is_end_stream());
    }
}

static SPACES: [u8; 128 * 1024] = [b' '; 128 * 1024];

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let content = &mut self.content;
        if !content.whole.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut content.whole)))));
        }
        if content.spaces > 0 {
            let taken = content.spaces.min(SPACES.len() as u64);
            content.spaces -= taken;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES[..taken as usize])))));
        }
        match &mut content.echo {
            Some(echo) => Pin::new(echo).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let Content { whole, spaces, echo } = &self.content;
        whole.is_empty() && *spaces == 0 && echo.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content.echo {
            Some(echo) => echo.size_hint(),
            None => self.content.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// What the service gives to hyper.
pub(crate) type Served = Result<http::Response<Reply>, Infallible>;
