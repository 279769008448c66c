//! What goes over a connection, and when.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use plimsoll_measure::CloseReason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Clock;
use crate::transport::Stream;

/// What went over a connection, seen from just above it.
#[derive(Debug)]
pub(crate) struct Traffic {
    clock: Clock,
    /// Which of the target's addresses the connection leads to.
    pub(crate) address: u16,
    sent: Cell<Option<u64>>,
    refused: Cell<bool>,
    first_byte: Cell<Option<u64>>,
    written: Cell<u64>,
    read: Cell<u64>,
}

impl Traffic {
    pub(crate) fn new(clock: Clock, address: u16) -> Rc<Self> {
        Rc::new(Self {
            clock,
            address,
            sent: Cell::new(None),
            refused: Cell::new(false),
            first_byte: Cell::new(None),
            written: Cell::new(0),
            read: Cell::new(0),
        })
    }

    /// Starts over for the next request on the connection.
    pub(crate) fn reset(&self) {
        self.sent.set(None);
        self.first_byte.set(None);
        self.written.set(0);
        self.read.set(0);
    }

    /// When the first byte of the request left.
    pub(crate) fn sent(&self) -> Option<u64> {
        self.sent.get()
    }

    /// When the first byte of the answer came.
    pub(crate) fn first_byte(&self) -> Option<u64> {
        self.first_byte.get()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// Notes that the first byte of the request left.
    pub(crate) fn note_sent(&self, at: u64) {
        self.sent.set(self.sent.get().or(Some(at)));
    }

    /// The target says that it has not looked at the request: it is as good as not sent.
    pub(crate) fn refuse(&self) {
        self.sent.set(None);
        self.refused.set(true);
    }

    /// Whether the target says that it has not looked at the request.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    /// Notes that the first byte of the answer came.
    pub(crate) fn note_first_byte(&self, at: u64) {
        self.first_byte.set(self.first_byte.get().or(Some(at)));
    }

    /// Adds bytes that were read and written for the request.
    pub(crate) fn charge(&self, read: u64, written: u64) {
        self.read.set(self.read.get() + read);
        self.written.set(self.written.get() + written);
    }

    fn note_write(&self, before: u64, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = result {
            if self.sent.get().is_none() {
                self.sent.set(Some(before));
            }
            self.written.set(self.written.get() + *bytes as u64);
        }
    }
}

/// A stream that notes its traffic.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Stream,
    traffic: Rc<Traffic>,
}

impl Metered {
    pub(crate) fn new(stream: Stream, traffic: Rc<Traffic>) -> Self {
        Self { stream, traffic }
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Why a connection nobody uses cannot be used again, if it cannot. It asks no one: what the target has
    /// done since is known when the runtime has heard of it.
    pub(crate) fn ended_while_idle(&mut self) -> Option<CloseReason> {
        let mut byte = [0];
        let read = match &mut self.stream {
            // Costs no system call while nothing has come, and leaves no waker behind.
            Stream::Tcp(stream) => match stream.try_read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                read => Some(read),
            },
            Stream::Unix(stream) => match stream.try_read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                read => Some(read),
            },
            Stream::Tls(stream) => read_now(stream, &mut byte),
            Stream::Memory(stream) => read_now(stream, &mut byte),
        };
        read.map(|read| match read {
            Ok(1..) => CloseReason::UnaskedBytes,
            Ok(0) | Err(_) => CloseReason::IdleClosed,
        })
    }

    /// The clock is read only for a request's first write, before the bytes are handed over.
    fn before_write(&self) -> u64 {
        if self.traffic.sent.get().is_none() { self.traffic.clock.now() } else { 0 }
    }
}

fn read_now(stream: &mut (impl AsyncRead + Unpin), byte: &mut [u8]) -> Option<io::Result<usize>> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut read = ReadBuf::new(byte);
    match Pin::new(stream).poll_read(&mut context, &mut read) {
        Poll::Ready(result) => Some(result.map(|()| read.filled().len())),
        Poll::Pending => None,
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            let traffic = &self.traffic;
            if traffic.first_byte.get().is_none() {
                traffic.first_byte.set(Some(traffic.clock.now()));
            }
            traffic.read.set(traffic.read.get() + bytes as u64);
        }
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let before = self.before_write();
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.traffic.note_write(before, &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A request without a body is one part, and writing one is cheaper than gathering one.
        if let [part] = parts {
            return self.poll_write(context, part);
        }
        let before = self.before_write();
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.traffic.note_write(before, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
