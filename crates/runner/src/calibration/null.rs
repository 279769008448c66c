//! A target that takes no time: it answers every HTTP/1.1 request at once, on 127.0.0.1 only, and
//! neither looks at what it is sent nor sends it anywhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ANSWER_TO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
/// Longer heads are no request of a plan.
const LONGEST_HEAD: usize = 1 << 16;
const MOST_HEADERS: usize = 128;

/// A bare responder on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct NullTarget {
    addr: SocketAddr,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl NullTarget {
    pub(super) fn start() -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (addr, stop) = (listener.local_addr()?, CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("null-target".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = accept(&listener) => {}
                }
            });
        })?;
        Ok(Self { addr, stop, thread: Some(thread) })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for NullTarget {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(answer(stream));
            }
            // Out of descriptors: whoever waits is served when one is free.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Answers one connection until it closes or sends what is no request.
async fn answer(mut stream: TcpStream) {
    let mut read = Vec::with_capacity(4096);
    // Of a body that is not whole yet.
    let mut body_left = 0_u64;
    loop {
        let skipped = (read.len() as u64).min(body_left);
        read.drain(..skipped as usize);
        body_left -= skipped;
        if body_left == 0 && !read.is_empty() {
            match head(&read) {
                Some(Ok(Head { length, body, is_head })) => {
                    read.drain(..length);
                    body_left = body;
                    let answer = if is_head { ANSWER_TO_HEAD } else { ANSWER };
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                    continue;
                }
                None if read.len() < LONGEST_HEAD => {}
                Some(Err(())) | None => return,
            }
        }
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    body: u64,
    is_head: bool,
}

/// The head at the beginning of these bytes; `None`: it is not whole yet.
fn head(bytes: &[u8]) -> Option<Result<Head, ()>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Err(())),
    };
    let mut body = 0;
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            match std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok()) {
                Some(length) => body = length,
                None => return Some(Err(())),
            }
        }
        // Where a chunked body ends would have to be read, and no plan of ours sends one.
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Some(Err(()));
        }
    }
    Some(Ok(Head { length, body, is_head: request.method == Some("HEAD") }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_request_is_answered_however_it_is_cut() {
        let target = NullTarget::start().unwrap();
        assert!(target.addr.ip().is_loopback());
        let requests = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345HEAD / HTTP/1.1\r\n\r\n";
        let expected = [ANSWER, ANSWER, ANSWER_TO_HEAD].concat();
        for piece in [1, 7, requests.len()] {
            let mut stream = std::net::TcpStream::connect(target.addr).unwrap();
            stream.set_nodelay(true).unwrap();
            requests.chunks(piece).for_each(|piece| stream.write_all(piece).unwrap());
            let mut found = vec![0; expected.len()];
            stream.read_exact(&mut found).unwrap();
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        let target = NullTarget::start().unwrap();
        for text in [
            "nonsense\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            let mut stream = std::net::TcpStream::connect(target.addr).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{text}: {ended:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes);
        }
    }
}
