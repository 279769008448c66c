//! Sends seconds to StatsD and DogStatsD over UDP or a unix socket.
//!
//! Nobody answers: a point is acknowledged when the system took it to send. One datagram is one
//! request, so that what is tried again was not sent before, and a counter counts once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use plimsoll_exposition::Report;
use plimsoll_exposition::statsd::{self, Tags};
use plimsoll_run::{RunEvent, Started, StatsdAddress, StatsdExport};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::sink::lines_of;
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "statsd";

/// What goes through an Ethernet in one piece, with room for what tunnels add.
/// What is left is for the line feeds between pieces.
const UDP_BYTES: usize = 1_432 - 90;

/// What agents read of a datagram on this machine.
const UNIX_BYTES: usize = 8_192 - 512;

/// How long the system may take to find a name, or room for a datagram.
const SENT_WITHIN: Duration = Duration::from_secs(10);

/// A StatsD server or agent.
#[derive(Debug)]
pub struct Statsd {
    settings: StatsdExport,
    socket: Mutex<Option<Socket>>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Statsd {
    /// It does not ask whether anybody is there.
    ///
    /// # Errors
    /// When the prefix has what no name has.
    pub fn new(settings: &StatsdExport) -> Result<Self, SinkError> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        if !settings.prefix.chars().all(plain) {
            return Err(SinkError::new(
                SINK,
                "the prefix has other characters than letters, digits, `_`, `-` and `.`",
            ));
        }
        Ok(Self { settings: settings.clone(), socket: Mutex::new(None) })
    }

    async fn deliver(&self, datagram: &[u8]) -> std::io::Result<()> {
        let mut socket = self.socket.lock().await;
        let open = match socket.take() {
            Some(open) => open,
            None => Socket::open(&self.settings.address).await?,
        };
        open.send(datagram).await?;
        // One with which something went wrong is not kept.
        *socket = Some(open);
        Ok(())
    }
}

impl Socket {
    async fn open(address: &StatsdAddress) -> std::io::Result<Self> {
        match address {
            StatsdAddress::Udp(address) => Self::udp(address).await.map(Self::Udp),
            StatsdAddress::Unix(path) => Self::unix(path).map(Self::Unix),
        }
    }

    async fn udp(address: &str) -> std::io::Result<UdpSocket> {
        let found = tokio::net::lookup_host(address).await?.next();
        let found = found.ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let any: SocketAddr = match found {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0; 16], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(found).await?;
        Ok(socket)
    }

    fn unix(path: &Path) -> std::io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(socket)
    }

    async fn send(&self, datagram: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(datagram).await?,
            Self::Unix(socket) => socket.send(datagram).await?,
        };
        Ok(())
    }
}

impl Sink for Statsd {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        let StatsdExport { address, prefix, dogstatsd } = &self.settings;
        let tags = if *dogstatsd { "dogstatsd" } else { "none" };
        match address {
            StatsdAddress::Udp(address) => format!("{address} {tags} {prefix}"),
            StatsdAddress::Unix(path) => format!("unix:{} {tags} {prefix}", path.display()),
        }
    }

    fn limits(&self) -> Limits {
        let bytes = match self.settings.address {
            StatsdAddress::Udp(_) => UDP_BYTES,
            StatsdAddress::Unix(_) => UNIX_BYTES,
        };
        Limits { points: 100_000, bytes, lanes: 1 }
    }

    fn encoder(&self, _: &Arc<Started>) -> Box<dyn Encoder> {
        let tags = if self.settings.dogstatsd { Tags::DogStatsD } else { Tags::None };
        Box::new(Lines { prefix: self.settings.prefix.clone(), tags, bytes: self.limits().bytes })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            match timeout(SENT_WITHIN, self.deliver(&lines_of(pieces))).await {
                Ok(Ok(())) => Answer::Taken,
                Ok(Err(error)) if error.raw_os_error() == Some(EMSGSIZE) => Answer::TooLarge,
                Ok(Err(error)) => Answer::without(false, &error.to_string()),
                Err(_) => Answer::without(true, "the system has no room for what is sent"),
            }
        })
    }

    fn halves(&self, _: &Piece) -> Option<[Piece; 2]> {
        None
    }
}

/// A datagram is too long for the way it takes.
const EMSGSIZE: i32 = 90;

#[derive(Debug)]
struct Lines {
    prefix: String,
    tags: Tags,
    /// Of a datagram.
    bytes: usize,
}

impl Encoder for Lines {
    fn encode(&mut self, _: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let series = report.map(|report| statsd::encode(report, &self.prefix, self.tags)).unwrap_or_default();
        let mut pieces: Vec<Piece> = Vec::new();
        for lines in series {
            // The first piece of a series has its point.
            let mut points = 1;
            for line in lines.split('\n') {
                match pieces.last_mut() {
                    Some(last) if last.body.len() + 1 + line.len() <= self.bytes => {
                        last.body.push(b'\n');
                        last.body.extend_from_slice(line.as_bytes());
                        last.points += points;
                    }
                    _ => pieces.push(Piece { points, lane: 0, body: line.as_bytes().to_vec() }),
                }
                points = 0;
            }
        }
        pieces
    }
}
