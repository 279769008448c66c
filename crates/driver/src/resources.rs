//! What this machine has for connections: descriptors, ports, memory.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Something of this machine's that has run out. It is never the target's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The process may have no more descriptors.
    Descriptors,
    /// The machine may have no more open files.
    Files,
    /// No local port is left, or the source address is not this machine's.
    Ports,
    /// The kernel has no memory for it.
    Memory,
}

impl Exhausted {
    /// What an error of opening a connection says has run out, if it says so.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_raw(error.raw_os_error()?) {
            Errno::EMFILE => Some(Self::Descriptors),
            Errno::ENFILE => Some(Self::Files),
            Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => Some(Self::Ports),
            Errno::ENOBUFS | Errno::ENOMEM => Some(Self::Memory),
            _ => None,
        }
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "this process has no descriptor left for another connection (`ulimit -n`)",
            Self::Files => "this machine has no open file left for another connection (`fs.file-max`)",
            Self::Ports => {
                "this machine has no local port left for another connection \
                 (`net.ipv4.ip_local_port_range`, `http.source`)"
            }
            Self::Memory => "this machine has no memory left for another connection",
        })
    }
}
