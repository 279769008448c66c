//! How requests get to their target, beyond what most plans leave as it is.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::{Auth, Coding, Secret, Targets};

/// Connections, names, the way to the target, and how requests and answers change on it. The default is what holds without a word about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The most shared connections to each host, in place of a number over all hosts; at least 1.
    pub per_host: Option<u32>,
    /// A connection that nobody used for longer carries no further request.
    pub idle_timeout: Option<Duration>,
    /// Whose connections are; `None`: shared in the open model, each user's own in the closed one.
    pub reuse: Option<Reuse>,
    /// The TLS handshake, within the time for connecting.
    pub tls_timeout: Option<Duration>,
    /// From the first byte of a request to the first of its answer.
    pub first_byte_timeout: Option<Duration>,
    /// Where hosts are, in place of what their name says.
    pub resolve: Vec<HostAddress>,
    /// Servers that are asked for addresses in place of the system's; empty: the system's.
    pub dns: Vec<SocketAddr>,
    /// Which addresses of a name are used.
    pub family: AddressFamily,
    /// The socket that connections to the target go to, in place of an address.
    pub unix_socket: Option<PathBuf>,
    /// What all connections go through.
    pub proxy: Option<Proxy>,
    /// Credentials that are made for each request to the target.
    pub auth: Option<Auth>,
    /// Codings that bodies of answers are decoded from, where somebody looks at them.
    pub compression: Vec<Coding>,
    /// Where connections may lead: what each of these lists allows. Empty: anywhere. No plan says it, but whoever runs it.
    pub allowed: Vec<Targets>,
}

/// Whose connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Everybody's: who needs one takes any that is idle.
    Always,
    /// A user's own, from its first request to its end. In the open model every iteration is a user.
    PerUser,
    /// Nobody's: each request has one of its own.
    Never,
}

impl Reuse {
    /// Its word in plans.
    pub fn label(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::PerUser => "per_user",
            Self::Never => "never",
        }
    }
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddress {
    /// The host as URLs have it, in lower case.
    pub host: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its port, in place of the URL's.
    pub port: Option<u16>,
}

/// Which addresses of a name are used. An address that stands in a URL itself is always used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressFamily {
    /// Those of both kinds.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// Whether an address is of the family.
    pub fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// A proxy: requests without TLS are sent to it in absolute form (RFC 9112, section 3.2.2), those with TLS through
/// a tunnel that it makes (CONNECT; RFC 9110, section 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of `proxy-authorization`.
    pub authorization: Option<Secret>,
}
