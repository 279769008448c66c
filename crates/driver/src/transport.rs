//! Byte streams to a target: TCP, TLS over TCP, or memory in simulations.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderValue;
use plimsoll_measure::Opening;
use plimsoll_run::{AddressShape, Auth, HttpVersion, RunPlan};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::addresses::{AddressError, Addresses, Line, Reached, Turns};
use crate::names::Names;
use crate::proxy::Via;
use crate::resources::{self, Room, Shortage};
use crate::tls::{Handshake, Tls, TlsError};
use crate::tokens::{Tokens, Way};
use crate::{Clock, Failure};

/// Scheme, host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands before it.
    pub(crate) proxy: Option<Arc<Via>>,
}

impl Origin {
    /// An origin whose host is an address.
    pub(crate) fn at(address: SocketAddr, tls: bool) -> Self {
        Self { tls, host: address.ip().to_string(), port: address.port(), proxy: None }
    }

    /// The same on the way of another, which has the plan's proxy if it has one.
    pub(crate) fn on_the_way_of(self, other: &Self) -> Self {
        Self { proxy: other.proxy.clone(), ..self }
    }

    /// The origin of an absolute URL with a scheme we speak.
    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        Some(Self { tls, host, port, proxy: None })
    }

    /// Host and port, the latter where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The value of the `host` header, if the host can stand in one.
    pub(crate) fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.authority()).ok()
    }

    /// Where it is, if the host is an IP address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// How streams are opened.
#[derive(Clone)]
pub enum Transport {
    /// Over the network.
    Network(NetworkTransport),
    /// To a server in the same simulation: called once for each connection. It is called on the
    /// worker's thread and must not block.
    Memory(Arc<dyn Fn() -> DuplexStream + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Network",
            Self::Memory(_) => "Memory",
        })
    }
}

/// What connections over the network need.
#[derive(Debug, Clone)]
pub struct NetworkTransport {
    tls: Tls,
    addresses: Arc<Addresses>,
    names: Arc<Names>,
    tokens: Option<Arc<Tokens>>,
}

/// Connections that cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no token to begin with.
    #[error("auth.oauth2: no token from {url}: {reason}")]
    Token {
        /// The token endpoint.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The addresses of the target cannot be had.
    #[error(transparent)]
    Addresses(#[from] AddressError),
}

impl NetworkTransport {
    /// Prepares TLS, looks up the target's name where all of its addresses are asked for, makes
    /// sure that the source addresses are this machine's, and fetches a token where the plan has them; it is
    /// renewed on the runtime of the caller. Nothing is opened to the target yet.
    ///
    /// # Errors
    /// When a certificate or key cannot be read or used, the name has no address, a source address
    /// cannot be used, or no token is granted.
    pub async fn new(plan: &RunPlan) -> Result<Self, TransportError> {
        let tls = Tls::new(&plan.tls, plan.http.version)?.within(plan.http.network.tls_timeout);
        let names = Arc::new(Names::of(&plan.http.network));
        let addresses = Arc::new(Addresses::of(plan, &names).await?);
        let tokens = match &plan.http.network.auth {
            Some(Auth::OAuth2(settings)) => {
                // Tokens are asked for over HTTP/1.1, whatever the plan speaks.
                let tls = Tls::new(&plan.tls, HttpVersion::Http1)?.for_any_host();
                let way = Way { tls, addresses: Arc::clone(&addresses), names: Arc::new(names.for_worker()) };
                let failed = |reason| TransportError::Token { url: settings.token_url.clone(), reason };
                Some(Tokens::start(settings.clone(), way).await.map_err(failed)?)
            }
            Some(Auth::Digest { .. } | Auth::Aws(_)) | None => None,
        };
        Ok(Self { tls, addresses, names, tokens })
    }

    /// What the plan has at once and this machine has no room for.
    pub fn shortages(&self, plan: &RunPlan, room: &Room) -> Vec<Shortage> {
        let demand = self.addresses.demand(u64::from(plan.connections().most));
        resources::shortages(plan, &demand, room)
    }

    /// Where connections to the target go, in the order that requests are counted by.
    pub fn addresses(&self) -> Vec<AddressShape> {
        self.addresses.shapes()
    }
}

/// An open stream, how long it took to open, and where it leads.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// TCP connect, with looking up the name where that was done, in nanoseconds.
    pub(crate) connect: u64,
    /// TLS handshake, in nanoseconds.
    pub(crate) tls: Option<u64>,
    /// How much of a handshake it was.
    pub(crate) handshake: Option<Handshake>,
    /// Which of the target's addresses; `None`: it leads to another origin than the plan's target.
    pub(crate) address: Option<u16>,
}

impl Opened {
    /// What it is counted as.
    pub(crate) fn way(&self) -> Opening {
        match self.handshake {
            None => Opening::Plain,
            Some(Handshake::Full) => Opening::TlsFull,
            Some(Handshake::Resumed) => Opening::TlsResumed,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    Memory(DuplexStream),
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Transport {
    /// The same for one worker, with TLS sessions of its own.
    pub(crate) fn for_worker(&self) -> Self {
        match self {
            Self::Memory(_) => self.clone(),
            Self::Network(network) => Self::Network(NetworkTransport {
                tls: network.tls.with_own_sessions(),
                addresses: Arc::clone(&network.addresses),
                names: Arc::new(network.names.for_worker()),
                tokens: network.tokens.clone(),
            }),
        }
    }

    /// The tokens that requests carry, where the plan has them.
    pub(crate) fn tokens(&self) -> Option<&Arc<Tokens>> {
        match self {
            Self::Memory(_) => None,
            Self::Network(network) => network.tokens.as_ref(),
        }
    }

    /// The turns in which connections go to the target's addresses.
    pub(crate) fn turns(&self) -> Turns {
        match self {
            Self::Memory(_) => Turns::default(),
            Self::Network(network) => network.addresses.turns(),
        }
    }

    /// Opens a stream to an origin; where that is the plan's target, to this one of its addresses. The
    /// caller bounds the time.
    pub(crate) async fn open(&self, origin: &Origin, address: u16, clock: Clock) -> Result<Opened, Failure> {
        let started = clock.now();
        match self {
            Self::Memory(open) => Ok(Opened {
                stream: Stream::Memory(open()),
                connect: 0,
                tls: None,
                handshake: None,
                address: Some(0),
            }),
            Self::Network(NetworkTransport { tls, addresses, names, .. }) => {
                let Reached { line, host, address } = addresses.connect(origin, address, names).await?;
                let connected = clock.now();
                let connect = connected - started;
                let plain = |stream| Opened { stream, connect, tls: None, handshake: None, address };
                let tcp = match line {
                    Line::Unix(unix) => return Ok(plain(Stream::Unix(unix))),
                    Line::Tcp(tcp) if !origin.tls => return Ok(plain(Stream::Tcp(tcp))),
                    Line::Tcp(tcp) => tcp,
                };
                let (stream, handshake) = tls.handshake(host, tcp).await?;
                let stream = Stream::Tls(Box::new(stream));
                let tls = Some(clock.now() - connected);
                Ok(Opened { stream, connect, tls, handshake: Some(handshake), address })
            }
        }
    }
}
