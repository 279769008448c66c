//! A server that takes what exporters send and does nothing with it: what sending costs is measured against it.
//!
//! It lives in this process, so that its own cost is not that of the sender.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Everything was taken.
    Takes,
    /// Not now.
    IsOverloaded,
    /// Nothing, ever; it does not even read.
    Hangs,
}

/// Starts to serve on a free port of loopback, a thread for each connection, until this process ends.
pub(crate) fn start(behaviour: Behaviour) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            match behaviour {
                Behaviour::Hangs => held.push(stream),
                // How a client ends its connection is its own affair.
                Behaviour::Takes => drop(std::thread::spawn(move || serve(&stream, "204 No Content"))),
                Behaviour::IsOverloaded => {
                    drop(std::thread::spawn(move || serve(&stream, "503 Service Unavailable")));
                }
            }
        }
    });
    Ok(addr)
}

/// Reads each request whose body has a length, and answers it without a body.
fn serve(stream: &TcpStream, status: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let mut writer = stream;
        writer.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_passed_over_and_each_request_is_answered() {
        for (behaviour, expected) in [
            (Behaviour::Takes, "HTTP/1.1 204 No Content\r\n"),
            (Behaviour::IsOverloaded, "HTTP/1.1 503 Service Unavailable\r\n"),
        ] {
            let mut stream = TcpStream::connect(start(behaviour).unwrap()).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            for _ in 0..2 {
                stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\nab\n").unwrap();
                let lines: Vec<String> = answers.by_ref().lines().take(3).map(Result::unwrap).collect();
                assert_eq!(lines.join("\r\n"), format!("{expected}content-length: 0\r\n"));
            }
        }
    }
}
