//! What the kernel knows of some of our own connections.

use std::os::fd::RawFd;

use nix::libc;

/// Connections that are looked at: enough for a median, few enough for each second.
const CONNECTIONS: usize = 32;

/// Descriptors tried to find them.
const DESCRIPTORS: usize = 256;

/// A connection as the kernel sees it.
#[derive(Debug, Clone, Copy)]
struct Connection {
    round_trip_seconds: f64,
    receive_queue_bytes: u64,
}

/// The median round-trip time in seconds, and the most bytes that wait to be read, of some established
/// connections of this process to `port`.
pub(super) fn look(port: u16) -> (Option<f64>, Option<u64>) {
    let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let descriptors = names.filter_map(|name| name.file_name().to_str()?.parse::<RawFd>().ok());
    let found: Vec<_> = descriptors
        .take(DESCRIPTORS)
        .filter(|descriptor| peer_port(*descriptor) == Some(port))
        .filter_map(connection)
        .take(CONNECTIONS)
        .collect();
    let mut times: Vec<_> = found.iter().map(|connection| connection.round_trip_seconds).collect();
    times.sort_by(f64::total_cmp);
    (times.get(times.len() / 2).copied(), found.iter().map(|connection| connection.receive_queue_bytes).max())
}

#[expect(unsafe_code, reason = "the descriptors belong to the driver, which knows nothing of this")]
fn peer_port(descriptor: RawFd) -> Option<u16> {
    // SAFETY: all zeros is an address without a family.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `address` and nothing for a descriptor that
    // is no socket or was closed meanwhile.
    let result = unsafe { libc::getpeername(descriptor, (&raw mut address).cast(), &raw mut length) };
    // The port is at one place in IPv4 and IPv6.
    let family = i32::from(address.sin6_family);
    (result == 0 && matches!(family, libc::AF_INET | libc::AF_INET6)).then(|| u16::from_be(address.sin6_port))
}

#[expect(unsafe_code, reason = "the descriptors belong to the driver, which knows nothing of this")]
fn connection(descriptor: RawFd) -> Option<Connection> {
    // SAFETY: it is a struct of integers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `info`, whatever the descriptor is by now.
    let result = unsafe {
        libc::getsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    // 1 is TCP_ESTABLISHED in the kernel's include/net/tcp_states.h.
    if result != 0 || info.tcpi_state != 1 || info.tcpi_rtt == 0 {
        return None;
    }
    let mut queued: libc::c_int = 0;
    // SAFETY: FIONREAD writes one integer.
    let result = unsafe { libc::ioctl(descriptor, libc::FIONREAD, &raw mut queued) };
    let receive_queue_bytes = u64::try_from(queued).ok().filter(|_| result == 0)?;
    Some(Connection { round_trip_seconds: f64::from(info.tcpi_rtt) * 1e-6, receive_queue_bytes })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn our_own_connection_is_found_with_what_waits_on_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(look(port), (None, None), "a listener is no connection");
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"answer").unwrap();
        // The first byte read shows that all six are there: they came as one segment.
        client.read_exact(&mut [0]).unwrap();
        let (round_trip, queued) = look(port);
        assert!(round_trip.is_some_and(|seconds| seconds > 0.0 && seconds < 10.0), "{round_trip:?}");
        assert_eq!(queued, Some(5));
        drop(client);
        assert_eq!(look(port), (None, None));
    }
}
