//! HTTP/2: connections that carry many requests at once (RFC 9113).
//!
//! It stands on h2, the crate below hyper's own HTTP/2, because a request then needs no dispatch to
//! another task and its stream is known before it is sent. To the rest of the driver a free stream is
//! what an idle connection is for HTTP/1.1: the pool gives it to one request at a time. A target that
//! allows fewer streams than the plan asks for makes requests wait, which is seen as their wait.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use plimsoll_measure::{CloseReason, Outcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::access::Counted;
use crate::connection::{Answer, AnswerLimit};
use crate::http1::MAX_HEAD;
use crate::ledger::{Entry, Ledger};
use crate::message::{Extra, Message};
use crate::pool::Pool;
use crate::tls::failure_in;
use crate::traffic::Traffic;
use crate::transport::{Opened, Origin, Stream};
use crate::{Clock, Failure};

/// What a target may send on one stream and on all before we have taken it, in bytes: on a fast network
/// the protocol's own 64 KiB would measure round trips instead of the target.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The connections of one worker.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: RefCell<Vec<Rc<Session>>>,
    /// How many are being opened.
    opening: Cell<usize>,
    /// The most connections.
    limit: usize,
    /// The most streams of each.
    streams: usize,
    /// Told when a connection that was being opened is there or is not.
    changed: Notify,
    /// Where requests wait for streams.
    pool: Rc<Pool>,
    ledger: Rc<Ledger>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    origin: Rc<Origin>,
    pub(crate) address: Option<u16>,
    sender: SendRequest<Bytes>,
    /// Streams in the hands of the pool.
    used: Cell<usize>,
    /// It takes no further request.
    ended: Cell<bool>,
    flow: Rc<Flow>,
    entry: Entry,
    _counted: Counted,
}

/// What goes over a connection.
#[derive(Debug)]
struct Flow {
    clock: Clock,
    /// When it was last read from.
    last_read: Cell<u64>,
    /// Bytes that no request has been charged with yet. What belongs to which request is not told
    /// by the bytes, so each is charged with what went by until it ended: sums are exact.
    read: Cell<u64>,
    written: Cell<u64>,
    /// What TLS said when it ended the connection, which h2 does not keep.
    broken: RefCell<Option<Failure>>,
    /// Requests whose first byte has not left.
    unsent: RefCell<Vec<Rc<Traffic>>>,
}

/// The right to one stream at a time.
#[derive(Debug)]
pub(crate) struct Slot {
    session: Rc<Session>,
    sender: SendRequest<Bytes>,
}

impl Sessions {
    pub(crate) fn new(limit: usize, streams: usize, pool: Rc<Pool>, ledger: Rc<Ledger>) -> Rc<Self> {
        Rc::new(Self {
            open: RefCell::default(),
            opening: Cell::new(0),
            limit: limit.max(1),
            streams: streams.max(1),
            changed: Notify::new(),
            pool,
            ledger,
        })
    }

    /// A free stream to `origin`, best to this address of it, on a connection that `open` opens while there
    /// may be more; `None` when the target allows no more streams. With it comes what opening took, where
    /// it did. All connections are opened before two requests share one.
    pub(crate) async fn slot<O: Future<Output = Result<(Opened, Counted), Failure>>>(
        self: &Rc<Self>,
        origin: &Rc<Origin>,
        address: u16,
        clock: Clock,
        open: impl FnOnce() -> O,
    ) -> Result<Option<(Slot, Option<(u64, Option<u64>)>)>, Failure> {
        loop {
            // Asked for before looking, so that nothing that changes meanwhile is missed.
            let changed = self.changed.notified();
            self.forget(origin);
            if self.open.borrow().len() + self.opening.get() < self.limit {
                break;
            }
            if let Some(slot) = self.free(origin, address) {
                return Ok(Some((slot, None)));
            }
            if self.opening.get() == 0 {
                return Ok(None);
            }
            changed.await;
        }
        let opening = Opening::begin(self);
        let (opened, counted) = open().await?;
        let took = (opened.connect, opened.tls);
        let session = Session::begin(Rc::clone(origin), opened, counted, clock, Rc::clone(self)).await?;
        self.open.borrow_mut().push(session);
        drop(opening);
        Ok(self.free(origin, address).map(|slot| (slot, Some(took))))
    }

    /// Lets go of connections that have ended, and of an unused one elsewhere when there are no more to be had.
    fn forget(&self, origin: &Origin) {
        let mut open = self.open.borrow_mut();
        open.retain(|session| !session.ended.get());
        if open.len() >= self.limit
            && !open.iter().any(|session| *session.origin == *origin)
            && let Some(unused) = open.iter().position(|session| session.used.get() == 0)
        {
            open.swap_remove(unused).entry.closes(CloseReason::Elsewhere);
        }
    }

    /// How many more streams a connection may have.
    fn left(&self, session: &Session) -> usize {
        self.streams.min(session.sender.current_max_send_streams()).saturating_sub(session.used.get())
    }

    /// A stream of the connection that has the fewest, of those to the address if there are any.
    fn free(self: &Rc<Self>, origin: &Origin, address: u16) -> Option<Slot> {
        let open = self.open.borrow();
        let session = open
            .iter()
            .filter(|session| *session.origin == *origin && !session.ended.get())
            .filter(|session| self.left(session) > 0)
            .min_by_key(|session| {
                (session.address.is_some_and(|leads_to| leads_to != address), session.used.get())
            })?;
        session.used.set(session.used.get() + 1);
        Some(Slot { session: Rc::clone(session), sender: session.sender.clone() })
    }

    /// Carries a connection to its end. A target that comes to allow more streams is taken at its word.
    async fn drive(
        self: Rc<Self>,
        mut connection: h2::client::Connection<Watched, Bytes>,
        session: Weak<Session>,
    ) {
        let mut allowed = session.upgrade().map_or(0, |session| session.sender.current_max_send_streams());
        poll_fn(|context| {
            let end = Pin::new(&mut connection).poll(context);
            let ended = end.is_ready();
            let Some(session) = session.upgrade() else {
                return if ended { Poll::Ready(()) } else { Poll::Pending };
            };
            let before = std::mem::replace(&mut allowed, session.sender.current_max_send_streams());
            if ended {
                // Its error reaches the requests it carries; here only the end matters.
                session.ended.set(true);
                session.entry.closes(match end {
                    Poll::Ready(Err(error)) if error.is_go_away() && error.is_remote() => CloseReason::GoAway,
                    _ if session.used.get() == 0 => CloseReason::IdleClosed,
                    _ => CloseReason::Error,
                });
                return Poll::Ready(());
            }
            if allowed > before {
                self.pool.invite(self.left(&session));
            }
            Poll::Pending
        })
        .await;
        self.pool.invite(self.streams);
    }
}

/// A connection on its way, however that ends.
struct Opening<'a>(&'a Sessions);

impl<'a> Opening<'a> {
    fn begin(sessions: &'a Sessions) -> Self {
        sessions.opening.set(sessions.opening.get() + 1);
        Self(sessions)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get() - 1);
        self.0.changed.notify_waiters();
    }
}

impl Session {
    async fn begin(
        origin: Rc<Origin>,
        opened: Opened,
        counted: Counted,
        clock: Clock,
        sessions: Rc<Sessions>,
    ) -> Result<Rc<Self>, Failure> {
        let flow = Rc::new(Flow {
            clock,
            last_read: Cell::new(clock.now()),
            read: Cell::new(0),
            written: Cell::new(0),
            broken: RefCell::default(),
            unsent: RefCell::default(),
        });
        let stream = Watched { stream: opened.stream, flow: Rc::clone(&flow) };
        let (sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // As much as of HTTP/1.1.
            .max_header_list_size(MAX_HEAD as u32)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| failure(&error))?;
        let session = Rc::new(Self {
            origin,
            address: opened.address,
            sender,
            used: Cell::new(0),
            ended: Cell::new(false),
            flow,
            entry: sessions.ledger.enter(),
            _counted: counted,
        });
        tokio::task::spawn_local(sessions.drive(connection, Rc::downgrade(&session)));
        Ok(session)
    }
}

impl Slot {
    pub(crate) fn address(&self) -> Option<u16> {
        self.session.address
    }

    /// Whether its connection takes another request.
    pub(crate) fn is_usable(&self) -> bool {
        !self.session.ended.get()
    }

    /// Sends a request and reads the whole answer. The caller bounds the time; a request that is given
    /// up is reset.
    pub(crate) async fn exchange(
        &mut self,
        message: &Message,
        extra: Extra<'_>,
        limit: AnswerLimit,
        traffic: &Rc<Traffic>,
    ) -> Result<Answer, Failure> {
        self.session.entry.carry();
        let flow = Rc::clone(&self.session.flow);
        let answer = self.carry(message, extra, limit, traffic).await;
        traffic.charge(flow.read.take(), flow.written.take());
        if answer.is_err() {
            flow.unsent.borrow_mut().retain(|unsent| !Rc::ptr_eq(unsent, traffic));
            if let Some(broken) = flow.broken.borrow().clone() {
                return Err(broken);
            }
        }
        answer
    }

    async fn carry(
        &mut self,
        message: &Message,
        extra: Extra<'_>,
        limit: AnswerLimit,
        traffic: &Rc<Traffic>,
    ) -> Result<Answer, Failure> {
        let request = request(message, extra)?;
        poll_fn(|context| self.sender.poll_ready(context)).await.map_err(|error| self.refused(&error))?;
        let no_body = message.body.is_empty();
        let (response, mut body) =
            self.sender.send_request(request, no_body).map_err(|error| self.refused(&error))?;
        self.session.flow.unsent.borrow_mut().push(Rc::clone(traffic));
        if !no_body {
            // h2 keeps it until the target's window lets it go.
            body.send_data(message.body.clone(), true).map_err(|error| failure(&error))?;
        }
        let response = response.await.map_err(|error| self.failed(&error, traffic))?;
        traffic.note_first_byte(self.session.flow.last_read.get());
        let (parts, body) = response.into_parts();
        let body = read_body(body, limit, limit.kept_of(parts.status)).await?;
        let headers = Some(Box::new(parts.headers));
        Ok(Answer::new(parts.status, headers, body, self.session.flow.last_read.get()))
    }

    /// A request that the connection did not take: another will.
    fn refused(&self, error: &h2::Error) -> Failure {
        self.session.ended.set(true);
        failure(error)
    }

    /// A request that got no answer. Where the target says that it has not looked at it, it is as if it
    /// had not been sent (RFC 9113, section 8.7).
    fn failed(&self, error: &h2::Error, traffic: &Traffic) -> Failure {
        let went_away = error.is_go_away() && error.is_remote();
        if went_away {
            self.session.ended.set(true);
            self.session.entry.closes(CloseReason::GoAway);
        }
        let unseen = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        if unseen || (went_away && error.reason() == Some(Reason::NO_ERROR)) {
            traffic.refuse();
        }
        failure(error)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.session.used.set(self.session.used.get() - 1);
    }
}

/// The request as HTTP/2 has it: what is said of where it goes stands in its URI.
fn request(message: &Message, extra: Extra<'_>) -> Result<Request<()>, Failure> {
    let wrong = || Failure::new(Outcome::Protocol, "the request cannot be sent over HTTP/2");
    let mut headers = message.headers.clone();
    let host = headers.remove(HOST);
    let authority = match host.as_ref().map(HeaderValue::as_bytes) {
        Some(host) => Authority::try_from(host),
        None => Authority::try_from(message.origin.authority()),
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if message.origin.tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority.map_err(|_| wrong())?);
    parts.path_and_query =
        Some(message.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    extra.add_to(&mut headers);
    if message.tells_length() {
        headers.insert(http::header::CONTENT_LENGTH, message.body.len().into());
    }
    let mut request = Request::new(());
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| wrong())?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

async fn read_body(mut body: RecvStream, limit: AnswerLimit, most: usize) -> Result<Vec<u8>, Failure> {
    let (mut kept, mut size) = (Vec::new(), 0_u64);
    while !body.is_end_stream() {
        let Some(data) = poll_fn(|context| body.poll_data(context)).await else { break };
        let data = data.map_err(|error| failure(&error))?;
        size += data.len() as u64;
        if size > limit.max_body {
            // Dropping the stream resets it.
            return Err(limit.too_large());
        }
        // The window is given back at once: what is not kept is gone.
        let _ = body.flow_control().release_capacity(data.len());
        let room = data.len().min(most.saturating_sub(kept.len()));
        kept.extend_from_slice(data.get(..room).unwrap_or_default());
    }
    Ok(kept)
}

fn failure(error: &h2::Error) -> Failure {
    if let Some(io) = error.get_io() {
        return Failure::of_exchange(io);
    }
    if error.is_remote() && error.is_go_away() {
        return Failure::new(Outcome::Reset, format!("the target ended the connection: {error}"));
    }
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if !error.is_remote() => Failure::new(
            Outcome::Protocol,
            format!("not HTTP/2: the head of the answer is larger than {MAX_HEAD} bytes"),
        ),
        Some(Reason::NO_ERROR | Reason::CANCEL) => {
            Failure::new(Outcome::Reset, format!("the target ended the stream: {error}"))
        }
        _ if error.is_remote() => {
            Failure::new(Outcome::Reset, format!("the target ended the stream: {error}"))
        }
        _ => Failure::new(Outcome::Protocol, format!("not HTTP/2: {error}")),
    }
}

/// A stream that notes what goes over it.
struct Watched {
    stream: Stream,
    flow: Rc<Flow>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if let Poll::Ready(Err(error)) = &result {
            *self.flow.broken.borrow_mut() = failure_in(error);
        }
        if bytes > 0 {
            self.flow.last_read.set(self.flow.clock.now());
            self.flow.read.set(self.flow.read.get() + bytes as u64);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let before = self.flow.clock.now();
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.flow.wrote(before, &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let before = self.flow.clock.now();
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.flow.wrote(before, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Flow {
    /// Notes a write that began at `before`. Heads wait in one buffer, which goes out as a whole.
    fn wrote(&self, before: u64, result: &Poll<std::io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = result {
            self.written.set(self.written.get() + *bytes as u64);
            self.unsent.borrow_mut().drain(..).for_each(|traffic| traffic.note_sent(before));
        }
    }
}
