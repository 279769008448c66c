//! One connection of HTTP/1.1 or one stream of HTTP/2: one request at a time, in the task of that request.
//!
//! Two clients speak HTTP/1.1 and differ in nothing that is measured: ours, which writes compiled bytes
//! and reads answers in place, and hyper's, for requests whose framing a plan decides by itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_measure::{CloseReason, Exchange, Outcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::access::Counted;
use crate::addresses::ELSEWHERE;
use crate::http1::{KnownHead, ReadError, ResponseReader, Want};
use crate::http2::Slot;
use crate::ledger::{Entry, Ledger};
use crate::message::{Extra, Message};
use crate::traffic::{Metered, Traffic};
use crate::transport::{Opened, Origin};
use crate::{Clock, Failure};

/// Bytes read at once. One buffer serves all connections of a worker, because what was read is
/// handled before anything else is.
const READ: usize = 64 * 1024;

/// The most memory that an idle connection keeps for its next request: a usual head and a small body.
const KEPT_WIRE: usize = 4 * 1024;

/// What all connections of a worker share for reading.
#[derive(Debug)]
pub(crate) struct Reading {
    buffer: Box<[u8]>,
    head: KnownHead,
}

impl Default for Reading {
    fn default() -> Self {
        Self { buffer: vec![0; READ].into(), head: KnownHead::default() }
    }
}

/// Which client speaks HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Http1 {
    /// Ours.
    #[default]
    Compiled,
    /// hyper's.
    Hyper,
}

/// An open connection that nobody uses, or somebody alone does.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) origin: Rc<Origin>,
    /// Which of the target's addresses it leads to, if to any.
    pub(crate) address: Option<u16>,
    pub(crate) traffic: Rc<Traffic>,
    client: Client,
    /// How long opening took, until its first request has told.
    pub(crate) opened: Option<(u64, Option<u64>)>,
    /// Since when nobody has used it, where somebody gave it back.
    pub(crate) idle_since: u64,
    /// A stream shares the connection that is counted.
    counted: Option<(Entry, Counted)>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the usual client is at hand without another pointer")]
enum Client {
    Compiled(Compiled),
    Hyper(Box<Hyper>),
    Http2(Slot),
}

/// Compiled bytes out, answers read in place.
#[derive(Debug)]
struct Compiled {
    stream: Metered,
    reader: ResponseReader,
    reading: Rc<RefCell<Reading>>,
    clock: Clock,
    /// Memory for requests that are not the same each time.
    wire: Vec<u8>,
    /// It takes no further request.
    ended: bool,
}

#[derive(Debug)]
struct Hyper {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Metered>, Full<Bytes>>,
    clock: Clock,
    ended: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Where they were asked for, or one of them matters to everybody: `location`, `set-cookie`. Boxed,
    /// because most answers have none and all are moved from hand to hand.
    headers: Option<Box<HeaderMap>>,
    /// The body, where it was asked for.
    pub(crate) body: Vec<u8>,
    /// When its last byte came.
    pub(crate) done: u64,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, headers: Option<Box<HeaderMap>>, body: Vec<u8>, done: u64) -> Self {
        Self { status, headers, body, done }
    }

    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.headers.as_ref()?.get(name)
    }

    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.headers.as_deref()
    }
}

/// How much of an answer the caller wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerLimit {
    pub(crate) headers: bool,
    pub(crate) body: bool,
    pub(crate) max_body: u64,
}

impl AnswerLimit {
    /// How much of the body of an answer with this status is kept, in bytes.
    pub(crate) fn kept_of(&self, status: StatusCode) -> usize {
        match self.body {
            true => usize::MAX,
            false if status.as_u16() >= 400 => Exchange::MOST_BODY,
            false => 0,
        }
    }

    pub(crate) fn too_large(&self) -> Failure {
        Failure::new(Outcome::TooLarge, format!("the body is larger than {} bytes", self.max_body))
    }
}

impl Connection {
    /// Makes a connection of a stream that has just opened.
    pub(crate) async fn new(
        origin: Rc<Origin>,
        opened: Opened,
        clock: Clock,
        counted: Counted,
        ledger: &Rc<Ledger>,
        http1: Http1,
        reading: &Rc<RefCell<Reading>>,
    ) -> Result<Box<Self>, Failure> {
        let traffic = Traffic::new(clock, opened.address.unwrap_or(ELSEWHERE));
        let stream = Metered::new(opened.stream, Rc::clone(&traffic));
        let client = match http1 {
            Http1::Compiled => {
                let reading = Rc::clone(reading);
                Client::Compiled(Compiled {
                    stream,
                    reader: ResponseReader::new(),
                    reading,
                    clock,
                    wire: Vec::new(),
                    ended: false,
                })
            }
            Http1::Hyper => {
                let handshake = http1::Builder::new().handshake(TokioIo::new(stream)).await;
                let (sender, driver) = handshake.map_err(|error| Failure::of_hyper(&error))?;
                Client::Hyper(Box::new(Hyper { sender, driver, clock, ended: false }))
            }
        };
        let (address, opened) = (opened.address, Some((opened.connect, opened.tls)));
        let counted = Some((ledger.enter(), counted));
        Ok(Box::new(Self { origin, address, traffic, client, opened, idle_since: 0, counted }))
    }

    /// Makes of a free stream of HTTP/2 what an idle connection is otherwise.
    pub(crate) fn of_stream(
        origin: Rc<Origin>,
        slot: Slot,
        clock: Clock,
        opened: Option<(u64, Option<u64>)>,
    ) -> Box<Self> {
        let address = slot.address();
        let traffic = Traffic::new(clock, address.unwrap_or(ELSEWHERE));
        let client = Client::Http2(slot);
        Box::new(Self { origin, address, traffic, client, opened, idle_since: 0, counted: None })
    }

    /// Itself, if it leads to this origin; else it makes room.
    pub(crate) fn leading_to(self: Box<Self>, origin: &Origin) -> Option<Box<Self>> {
        if std::ptr::eq(&raw const *self.origin, origin) || *self.origin == *origin {
            return Some(self);
        }
        self.closes(CloseReason::Elsewhere);
        None
    }

    /// Why it is about to be closed. What happens to a stream does not end the connection around it.
    pub(crate) fn closes(&self, reason: CloseReason) {
        self.counted.iter().for_each(|(entry, _)| entry.closes(reason));
    }

    /// Starts over for the next request, which it is about to carry.
    pub(crate) fn begin(&self) {
        self.traffic.reset();
        self.counted.iter().for_each(|(entry, _)| entry.carry());
    }

    /// Whether it can carry another request: looks once whether the target has closed it.
    pub(crate) fn is_usable(&mut self) -> bool {
        let ended = match &mut self.client {
            Client::Compiled(client) if client.ended => Some(CloseReason::TargetClosed),
            Client::Compiled(client) => client.stream.ended_while_idle(),
            Client::Hyper(client) => (!client.is_usable()).then_some(CloseReason::IdleClosed),
            Client::Http2(slot) => (!slot.is_usable()).then_some(CloseReason::IdleClosed),
        };
        ended.into_iter().for_each(|reason| self.closes(reason));
        ended.is_none()
    }

    /// The same just after an answer.
    pub(crate) fn is_reusable(&mut self) -> bool {
        match &mut self.client {
            Client::Compiled(client) => !client.ended,
            // With the last byte of an answer hyper mostly asks for the next request.
            Client::Hyper(client) => (!client.ended && client.sender.is_ready()) || client.is_usable(),
            Client::Http2(slot) => slot.is_usable(),
        }
    }

    /// Sends a request and reads the whole answer; `None` when it is overdue before that.
    pub(crate) async fn exchange(
        &mut self,
        message: &Message,
        extra: Extra<'_>,
        limit: AnswerLimit,
        is_overdue: impl FnMut(&Context<'_>) -> bool,
    ) -> Option<Result<Answer, Failure>> {
        match &mut self.client {
            Client::Compiled(client) if extra.is_empty() => {
                client.exchange(message.wire(), &message.method, limit, is_overdue).await
            }
            Client::Compiled(client) => {
                let mut wire = std::mem::take(&mut client.wire);
                message.write_wire(&extra, &mut wire);
                let answer = client.exchange(&wire, &message.method, limit, is_overdue).await;
                wire.shrink_to(KEPT_WIRE);
                client.wire = wire;
                answer
            }
            // Its state is large, and in a box it costs users of the other client no memory.
            Client::Hyper(client) => {
                within(Box::pin(client.exchange(message.request(extra), limit)), is_overdue).await
            }
            Client::Http2(slot) => {
                within(Box::pin(slot.exchange(message, extra, limit, &self.traffic)), is_overdue).await
            }
        }
    }
}

/// What a future makes, unless it is overdue before that.
pub(crate) async fn within<T>(
    mut future: impl Future<Output = T> + Unpin,
    mut is_overdue: impl FnMut(&Context<'_>) -> bool,
) -> Option<T> {
    poll_fn(|context| match Pin::new(&mut future).poll(context) {
        Poll::Pending if is_overdue(context) => Poll::Ready(None),
        made => made.map(Some),
    })
    .await
}

impl Compiled {
    /// One future and no more: what is between here and the socket is passed with every answer.
    async fn exchange(
        &mut self,
        wire: &[u8],
        method: &Method,
        limit: AnswerLimit,
        mut is_overdue: impl FnMut(&Context<'_>) -> bool,
    ) -> Option<Result<Answer, Failure>> {
        self.reader.begin(Want {
            head_request: *method == Method::HEAD,
            keep_headers: limit.headers,
            keep_body: limit.body,
            keep_failed: Exchange::MOST_BODY,
            max_body: limit.max_body,
        });
        // Whatever ends the exchange before its answer is whole leaves bytes on the way.
        self.ended = true;
        let mut sending = Sending { left: wire, flushed: false, broken: None };
        let mut reads = 0;
        let read = poll_fn(|context| {
            sending.poll(&mut self.stream, context);
            match self.poll_answer(context, &sending, limit, &mut reads) {
                Poll::Pending if is_overdue(context) => Poll::Ready(None),
                read => read.map(Some),
            }
        });
        let goes_on = match read.await? {
            Ok(goes_on) => goes_on && sending.flushed,
            Err(failure) => return Some(Err(failure)),
        };
        self.ended = !(goes_on && self.reader.keeps_alive());
        // An answer that came in one piece ended when it began.
        let began = self.stream.traffic().first_byte().filter(|_| reads == 1);
        Some(self.answer(began.unwrap_or_else(|| self.clock.now())))
    }

    /// The answer that was read.
    fn answer(&mut self, done: u64) -> Result<Answer, Failure> {
        let status = StatusCode::from_u16(self.reader.status())
            .map_err(|_| Failure::new(Outcome::Protocol, "not HTTP/1.1: a status below 100"))?;
        let headers = self.reader.has_headers().then(|| Box::new(self.reader.take_headers()));
        Ok(Answer { status, headers, body: self.reader.take_body(), done })
    }

    /// Reads what has come. The answer is whole when it is ready: true when nothing came after it.
    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sending: &Sending<'_>,
        limit: AnswerLimit,
        reads: &mut u32,
    ) -> Poll<Result<bool, Failure>> {
        let Reading { buffer, head } = &mut *self.reading.borrow_mut();
        loop {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::of_exchange(&error))),
                // A target may answer and close before it has read everything: its answer counts.
                Poll::Pending => match &sending.broken {
                    Some(error) => return Poll::Ready(Err(Failure::of_exchange(error))),
                    None => return Poll::Pending,
                },
            }
            let bytes = read.filled();
            let failed = |error| Poll::Ready(Err(Failure::of_answer(&error, limit)));
            if bytes.is_empty() {
                return self.reader.end().map_or_else(failed, |()| Poll::Ready(Ok(false)));
            }
            *reads += 1;
            match self.reader.read_knowing(bytes, head) {
                Ok(None) => {}
                Ok(Some(end)) => return Poll::Ready(Ok(end == bytes.len())),
                Err(error) => return failed(error),
            }
        }
    }
}

/// A request on its way out.
struct Sending<'a> {
    left: &'a [u8],
    flushed: bool,
    broken: Option<io::Error>,
}

impl Sending<'_> {
    fn poll(&mut self, stream: &mut Metered, context: &mut Context<'_>) {
        while !self.flushed && self.broken.is_none() {
            let poll = if self.left.is_empty() {
                Pin::new(&mut *stream).poll_flush(context).map_ok(|()| self.flushed = true)
            } else {
                Pin::new(&mut *stream).poll_write(context, self.left).map(|written| match written? {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    bytes => {
                        self.left = &self.left[bytes..];
                        Ok(())
                    }
                })
            };
            match poll {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Pending => return,
            }
        }
    }
}

impl Hyper {
    fn is_usable(&mut self) -> bool {
        // Nobody waits for an idle connection, so nobody has to be woken.
        self.poll_driver(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    fn poll_driver(&mut self, context: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.driver).poll(context).is_ready() {
            // Its error reaches the exchange through the response; here only the end matters.
            self.ended = true;
        }
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: AnswerLimit,
    ) -> Result<Answer, Failure> {
        let mut response = std::pin::pin!(self.sender.send_request(request));
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let response = poll_fn(|context| {
            if !*ended && Pin::new(&mut *driver).poll(context).is_ready() {
                *ended = true;
            }
            response.as_mut().poll(context)
        })
        .await
        .map_err(|error| Failure::of_hyper(&error))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.ended = true;
            return Err(Failure::of_answer(&ReadError::SwitchingProtocols, limit));
        }
        let (parts, body) = response.into_parts();
        let body = self.body(body, limit, limit.kept_of(parts.status)).await?;
        let headers = Some(Box::new(parts.headers));
        Ok(Answer { status: parts.status, headers, body, done: self.clock.now() })
    }

    async fn body(
        &mut self,
        mut body: Incoming,
        limit: AnswerLimit,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        if body.size_hint().lower() > limit.max_body {
            self.ended = true;
            return Err(limit.too_large());
        }
        let (mut kept, mut size) = (Vec::new(), 0_u64);
        loop {
            if body.is_end_stream() {
                return Ok(kept);
            }
            let frame = poll_fn(|context| {
                // What came with the head is here already; for the rest the connection has to be read.
                let frame = Pin::new(&mut body).poll_frame(context);
                if frame.is_ready() {
                    return frame;
                }
                self.poll_driver(context);
                Pin::new(&mut body).poll_frame(context)
            })
            .await;
            let data = match frame {
                None => return Ok(kept),
                Some(Err(error)) => return Err(Failure::of_hyper(&error)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(data) = data else { continue };
            size += data.len() as u64;
            if size > limit.max_body {
                self.ended = true;
                return Err(limit.too_large());
            }
            let room = data.len().min(most.saturating_sub(kept.len()));
            kept.extend_from_slice(data.get(..room).unwrap_or_default());
        }
    }
}
