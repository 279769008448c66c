//! A server that does nothing but answer: what a client costs is measured against it.
//!
//! It lives in this process, so that a tool which counts a client's instructions sees none of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// As long as what a small page of a common server has for a head.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: null\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    content-type: text/plain\r\ncontent-length: 6\r\nconnection: keep-alive\r\n\r\nhello\n";

/// Starts to serve on a free port of loopback, a thread for each connection, until this process ends.
pub(crate) fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // How a client ends its connection is its own affair.
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(addr)
}

/// Answers each request without a body that comes, one at a time.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..])?;
        if read == 0 {
            // The client is done, or its head fits into no buffer.
            return Ok(());
        }
        held += read;
        if buffer[..held].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            held = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_one_after_the_other_and_whole_ones_only() {
        let mut stream = TcpStream::connect(start().unwrap()).unwrap();
        let mut answer = vec![0; ANSWER.len()];
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
            stream.write_all(b"\r\n").unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
        }
    }
}
