//! Servers that break TCP or HTTP in one known way each, for tests of whoever must survive them.
//!
//! They speak raw TCP, because no HTTP library can be made to answer like this. Each listens on a
//! free loopback port and stops when its handle is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::model::mix;

/// One way to misbehave. Where a request is answered, its head was read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody listens on the port any more: connecting is refused.
    Refuse,
    /// Accepts, then resets the connection at once.
    ResetOnAccept,
    /// Announces 100 bytes, sends 50, then resets.
    ResetMidResponse,
    /// Answers with random bytes from this seed, then closes.
    Garbage { seed: u64 },
    /// Announces 100 bytes, sends 50, then nothing more and never closes.
    HalfThenStall,
    /// A status line and then header after header, for ever.
    EndlessHeaders,
    /// A body of 10 GB with its length, as fast as it is read.
    HugeBody,
    /// Good answers without a word of closing, and closes after each.
    CloseAfterEachReply,
    /// HTTP/1.0 answers without a length, ended by closing.
    Http10,
    /// Every answer is a redirect to yet another path.
    RedirectForEver,
    /// Accepts and reads, and never answers.
    SilentAccept,
    /// A chunked body with a chunk size that is no number.
    BadChunked,
    /// `content-length: -1`.
    NegativeContentLength,
    /// A status line that is none.
    WrongStatusLine,
}

impl Kind {
    /// One of each.
    pub const ALL: [Self; 14] = [
        Self::Refuse,
        Self::ResetOnAccept,
        Self::ResetMidResponse,
        Self::Garbage { seed: 1 },
        Self::HalfThenStall,
        Self::EndlessHeaders,
        Self::HugeBody,
        Self::CloseAfterEachReply,
        Self::Http10,
        Self::RedirectForEver,
        Self::SilentAccept,
        Self::BadChunked,
        Self::NegativeContentLength,
        Self::WrongStatusLine,
    ];
}

/// The size of [`Kind::HugeBody`] in bytes.
pub const HUGE_BODY: u64 = 10_000_000_000;
/// How much [`Kind::Garbage`] sends on each connection, in bytes.
const GARBAGE: usize = 4096;

/// A misbehaving server; it stops when this is dropped.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Handle {
    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many request heads were read in full.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Starts a server that misbehaves in one way, on the current runtime.
///
/// # Errors
/// When no loopback port can be had.
pub async fn serve(kind: Kind) -> io::Result<Handle> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let stop = CancellationToken::new();
    let (connections, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    if kind != Kind::Refuse {
        let culprit = Culprit { kind, requests: Arc::clone(&requests) };
        let accepting = accept(listener, culprit, Arc::clone(&connections));
        let stopped = stop.clone();
        drop(tokio::spawn(async move { stopped.run_until_cancelled(accepting).await }));
    }
    Ok(Handle { addr, connections, requests, _stop: stop.drop_guard() })
}

/// Ends with its caller, and its connections with it.
async fn accept(listener: TcpListener, culprit: Culprit, connections: Arc<AtomicU64>) {
    let mut open = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let number = connections.fetch_add(1, Ordering::Relaxed);
                let culprit = culprit.clone();
                open.spawn(async move { culprit.misbehave(stream, number).await });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while open.try_join_next().is_some() {}
    }
}

#[derive(Debug, Clone)]
struct Culprit {
    kind: Kind,
    requests: Arc<AtomicU64>,
}

impl Culprit {
    /// An error means that the other side had enough.
    async fn misbehave(&self, mut stream: TcpStream, number: u64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if self.kind == Kind::ResetOnAccept {
            return reset(stream);
        }
        let mut unread = Vec::new();
        while self.read_head(&mut stream, &mut unread).await? {
            match self.kind {
                Kind::Refuse | Kind::ResetOnAccept => return Ok(()),
                Kind::SilentAccept => return read_for_ever(stream).await,
                Kind::ResetMidResponse => {
                    stream.write_all(HALF).await?;
                    // On loopback the half has arrived by now; a reset discards only what has not.
                    return reset(stream);
                }
                Kind::HalfThenStall => {
                    stream.write_all(HALF).await?;
                    return read_for_ever(stream).await;
                }
                Kind::Garbage { seed } => {
                    stream.write_all(&garbage(mix(seed).wrapping_add(number))).await?;
                    return stream.shutdown().await;
                }
                Kind::EndlessHeaders => return endless_headers(stream).await,
                Kind::HugeBody => huge_body(&mut stream).await?,
                Kind::CloseAfterEachReply => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await?;
                    return stream.shutdown().await;
                }
                Kind::Http10 => {
                    stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nok\n").await?;
                    return stream.shutdown().await;
                }
                Kind::RedirectForEver => {
                    let next = self.requests.load(Ordering::Relaxed);
                    let head =
                        format!("HTTP/1.1 302 Found\r\nlocation: /hop-{next}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(head.as_bytes()).await?;
                }
                Kind::BadChunked => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                    stream.write_all(b"3\r\nok\n\r\nnot-a-size\r\nok\n\r\n0\r\n\r\n").await?;
                }
                Kind::NegativeContentLength => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok\n").await?;
                }
                Kind::WrongStatusLine => {
                    stream.write_all(b"HTTP/one.one OK 200\r\ncontent-length: 3\r\n\r\nok\n").await?;
                }
            }
        }
        Ok(())
    }

    /// Reads one request head; false when the other side closed. Request bodies are not understood
    /// and read as part of the next head.
    async fn read_head(&self, stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<bool> {
        const LONGEST_HEAD: usize = 1 << 20;
        loop {
            if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                unread.drain(..end + 4);
                self.requests.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            if unread.len() > LONGEST_HEAD || stream.read_buf(unread).await? == 0 {
                return Ok(false);
            }
        }
    }
}

/// A head that announces 100 bytes, and 50 of them.
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\
                      half of one hundred bytes, and then not one more..";

/// Closes with a reset instead of a farewell: lingering for no time discards what is unsent.
fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

async fn read_for_ever(mut stream: TcpStream) -> io::Result<()> {
    let mut sink = [0; 4096];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

fn garbage(seed: u64) -> Vec<u8> {
    let words = (0..GARBAGE as u64 / 8).map(|n| mix(seed.wrapping_add(n)));
    words.flat_map(u64::to_le_bytes).collect()
}

async fn endless_headers(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
    let lines = b"x-more: and there is always one more header to come\r\n".repeat(64);
    loop {
        stream.write_all(&lines).await?;
    }
}

async fn huge_body(stream: &mut TcpStream) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {HUGE_BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let block = vec![b'.'; 128 * 1024];
    let mut left = HUGE_BODY;
    while left > 0 {
        let size = left.min(block.len() as u64) as usize;
        stream.write_all(&block[..size]).await?;
        left -= size as u64;
    }
    Ok(())
}
