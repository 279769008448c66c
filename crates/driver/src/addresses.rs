//! Where the target is: its addresses, which of them is next, and from which of ours.
//!
//! A plan with one URL has one address, whatever it resolves to at each connection. A weighted list, or
//! all addresses of a name, are addresses with turns: a fixed sequence in which every stretch has each
//! address by its weight, as nearly as whole numbers allow. Nothing here is random, and nothing waits.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use plimsoll_measure::Outcome;
use plimsoll_run::{AddressChoice, AddressShape, PlannedTarget, RunPlan};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::Failure;
use crate::names::Names;
use crate::proxy;
use crate::reach::Reach;
use crate::resources::Demand;
use crate::transport::Origin;

/// The most addresses of a name that connections go to: more are a mistake, and samples count them in 16 bits.
const MOST_ADDRESSES: usize = 1000;

/// The address that requests to other hosts than the target are counted by: none of those that are named.
pub(crate) const ELSEWHERE: u16 = u16::MAX;

/// Addresses that connections cannot use.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The target is no URL that we can open.
    #[error("target: `{0}` is not an http or https URL")]
    Target(String),
    /// The target's name has no address.
    #[error("target: no address for {host}: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// The proxy cannot be spoken to.
    #[error("http.proxy: {0}")]
    Proxy(&'static str),
    /// Connections cannot be bound to an address.
    #[error("http.source: {address} cannot be used: {reason}")]
    Source {
        /// The address.
        address: IpAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// A name server that may not be asked.
    #[error("http.dns: {server} is not among the targets that are allowed: {allowed}")]
    NameServer {
        /// The server.
        server: SocketAddr,
        /// What is allowed.
        allowed: String,
    },
    /// No source address is of the family of the target's address.
    #[error("http.source: no address there can reach {target}: one is IPv4 and the other is IPv6")]
    Family {
        /// The target's address.
        target: SocketAddr,
    },
}

/// The addresses of the target, and the local ones that connections come from.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The origin of the plan's target, which stands for all of them.
    target: Origin,
    all: Vec<Address>,
    turns: Arc<[u16]>,
    sources: Vec<IpAddr>,
    reach: Reach,
    /// The socket that stands for the target.
    socket: Option<PathBuf>,
    /// Connections bound so far that lead elsewhere.
    elsewhere: AtomicUsize,
}

#[derive(Debug)]
struct Address {
    /// Host and port as the plan has them, or as they were resolved.
    place: Origin,
    /// The host that TLS verifies.
    host: String,
    /// What people call it, and its weight.
    shape: AddressShape,
    /// Connections bound so far, for sources in turn: by address, so that each address meets each source.
    bound: AtomicUsize,
}

/// The sequence in which addresses have their turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<[u16]>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new([0]))
    }
}

impl Turns {
    /// Whether there is anything to choose.
    pub(crate) fn is_choice(&self) -> bool {
        self.0.len() > 1
    }

    /// The address of turn `n`.
    pub(crate) fn at(&self, n: u64) -> u16 {
        self.0[(n % self.0.len() as u64) as usize]
    }

    /// Where worker `index` of `of` begins, so that workers do not all ask for the same address at once.
    pub(crate) fn start(&self, index: u64, of: u64) -> u64 {
        self.0.len() as u64 * index / of.max(1)
    }
}

/// A connection and where it leads.
pub(crate) struct Reached<'a> {
    pub(crate) line: Line,
    pub(crate) host: &'a str,
    pub(crate) address: Option<u16>,
}

/// What carries bytes.
pub(crate) enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Addresses {
    /// The addresses of a plan's target.
    pub(crate) async fn of(plan: &RunPlan, names: &Names) -> Result<Self, AddressError> {
        let reach = Reach::new(plan.http.network.allowed.clone());
        // Before one of them is asked.
        reach.check_servers(&plan.http.network.dns)?;
        let target = origin(&plan.target)?;
        let proxy = plan.http.network.proxy.as_ref().map(proxy::Via::new).transpose()?.map(Arc::new);
        let target = Origin { proxy, ..target };
        let all: Vec<Address> = match plan.addresses {
            AddressChoice::First => {
                let address = |planned: &PlannedTarget| {
                    let shape = AddressShape { name: planned.url.clone(), weight: planned.weight };
                    let place = origin(&planned.url)?;
                    let known = names.known(&place).map(|address| Origin::at(address, place.tls));
                    Ok(Address { host: place.host.clone(), ..Address::new(known.unwrap_or(place), shape) })
                };
                plan.targets.iter().map(address).collect::<Result<_, AddressError>>()?
            }
            AddressChoice::All => {
                let resolved = resolve(&target, names).await?;
                let address = |found: &SocketAddr| {
                    let shape = AddressShape { name: found.to_string(), weight: 1 };
                    let place = Origin::at(*found, target.tls);
                    Address { host: target.host.clone(), ..Address::new(place, shape) }
                };
                resolved.iter().map(address).collect()
            }
        };
        let weights: Vec<u32> = all.iter().map(|address| address.shape.weight).collect();
        let (turns, sources) = (turns(&weights).into(), plan.http.source.clone());
        let socket = plan.http.network.unix_socket.clone();
        let addresses = Self { target, all, turns, sources, reach, socket, elsewhere: AtomicUsize::new(0) };
        addresses.check_sources()?;
        Ok(addresses)
    }

    /// Tells before the load what would fail every connection.
    fn check_sources(&self) -> Result<(), AddressError> {
        for address in &self.sources {
            // Of UDP: this asks the same, and listens to nobody.
            UdpSocket::bind((*address, 0))
                .map_err(|reason| AddressError::Source { address: *address, reason })?;
        }
        let known = self.all.iter().filter_map(|address| address.place.address());
        for target in known {
            let fits = |source: &IpAddr| source.is_ipv4() == target.is_ipv4();
            if !self.sources.is_empty() && !self.sources.iter().any(fits) {
                return Err(AddressError::Family { target });
            }
        }
        Ok(())
    }

    /// The origin of the plan's target.
    pub(crate) fn target(&self) -> &Origin {
        &self.target
    }

    pub(crate) fn shapes(&self) -> Vec<AddressShape> {
        self.all.iter().map(|address| address.shape.clone()).collect()
    }

    /// Of so many connections in all, the most to one address for the local addresses that reach it.
    pub(crate) fn demand(&self, connections: u64) -> Demand {
        if let Some(proxy) = &self.target.proxy {
            let sources = self.sources.len().max(1) as u64;
            return Demand { to: proxy.name(), connections, sources };
        }
        // Sockets of this machine have no ports.
        let connections = if self.socket.is_some() { 0 } else { connections };
        let weights: u64 = self.all.iter().map(|address| u64::from(address.shape.weight)).sum();
        let demand = |address: &Address| {
            let share = (connections * u64::from(address.shape.weight)).div_ceil(weights.max(1));
            let fits = |source: &IpAddr| {
                address.place.address().is_none_or(|target| target.is_ipv4() == source.is_ipv4())
            };
            let sources = self.sources.iter().copied().filter(fits).count().max(1) as u64;
            Demand { to: address.place_name(), connections: share, sources }
        };
        let demands = self.all.iter().map(demand);
        // The tightest: connections per source, compared without dividing.
        demands
            .max_by(|one, other| (one.connections * other.sources).cmp(&(other.connections * one.sources)))
            .unwrap_or(Demand { to: self.target.authority(), connections, sources: 1 })
    }

    pub(crate) fn turns(&self) -> Turns {
        Turns(Arc::clone(&self.turns))
    }

    /// Connects to an origin, or to the proxy before it; where it is the target, to this one of its addresses.
    pub(crate) async fn connect<'a>(
        &'a self,
        origin: &'a Origin,
        address: u16,
        names: &Names,
    ) -> Result<Reached<'a>, Failure> {
        let known = self.all.get(usize::from(address)).filter(|_| *origin == self.target);
        let address = known.map(|_| address);
        let host = known.map_or(&origin.host, |known| &known.host);
        let line = match (known, &self.socket, &origin.proxy) {
            (Some(_), Some(socket), _) => {
                self.reach.check_socket(socket)?;
                let connected = UnixStream::connect(socket).await;
                Line::Unix(connected.map_err(|error| Failure::connect(&error))?)
            }
            (_, _, Some(proxy)) => {
                self.reach.check_behind_proxy(origin)?;
                let tcp = self.dial(&proxy.place, &proxy.place.host, &self.elsewhere, names).await;
                let mut tcp = tcp.map_err(|failure| failure.before(&format!("proxy {}", proxy.name())))?;
                if origin.tls {
                    proxy.tunnel(&mut tcp, origin).await?;
                }
                Line::Tcp(tcp)
            }
            (Some(known), None, None) => {
                Line::Tcp(self.dial(&known.place, &known.host, &known.bound, names).await?)
            }
            (None, _, None) => Line::Tcp(self.dial(origin, &origin.host, &self.elsewhere, names).await?),
        };
        Ok(Reached { line, host, address })
    }

    /// Connects to a place, which is that of `host`.
    async fn dial(
        &self,
        place: &Origin,
        host: &str,
        bound: &AtomicUsize,
        names: &Names,
    ) -> Result<TcpStream, Failure> {
        if let Some(address) = names.known(place) {
            self.reach.check(host, &[address], names)?;
            return self.connect_to(address, bound).await;
        }
        let mut last = None;
        let found = names.lookup(place).await?;
        self.reach.check(host, &found, names)?;
        for address in found {
            match self.connect_to(address, bound).await {
                Ok(tcp) => return Ok(tcp),
                Err(failure) => last = Some(failure),
            }
        }
        let nowhere = || Failure::new(Outcome::Dns, format!("no address for {}", place.host));
        Err(last.unwrap_or_else(nowhere))
    }

    async fn connect_to(&self, address: SocketAddr, bound: &AtomicUsize) -> Result<TcpStream, Failure> {
        let source = self.source_for(address, bound)?;
        let tcp = connect(address, source).await.map_err(|error| Failure::connect(&error))?;
        // Requests are written whole; waiting to fill a segment would only add up to 40 ms.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }

    /// The local address that is next, if the plan has any.
    fn source_for(&self, address: SocketAddr, bound: &AtomicUsize) -> Result<Option<IpAddr>, Failure> {
        if self.sources.is_empty() {
            return Ok(None);
        }
        let fitting = self.sources.iter().filter(|source| source.is_ipv4() == address.is_ipv4());
        let turn = bound.fetch_add(1, Ordering::Relaxed).checked_rem(fitting.clone().count());
        let source = turn.and_then(|turn| fitting.copied().nth(turn));
        source
            .map(Some)
            .ok_or_else(|| Failure::ours(format!("no address of `http.source` reaches {address}")))
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        // The port is chosen when the connection is made: then two connections may share one, as long as
        // they lead to different places. Where it cannot be set there are only fewer ports.
        let _ = setsockopt(&socket.as_fd(), sockopt::IpBindAddressNoPort, &true);
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

impl Address {
    fn new(place: Origin, shape: AddressShape) -> Self {
        Self { host: place.host.clone(), place, shape, bound: AtomicUsize::new(0) }
    }

    fn place_name(&self) -> String {
        match self.place.address() {
            Some(address) => address.to_string(),
            None => format!("{}:{}", self.place.host, self.place.port),
        }
    }
}

fn origin(url: &str) -> Result<Origin, AddressError> {
    let read = url::Url::parse(url).ok().and_then(|url| Origin::of(&url));
    read.ok_or_else(|| AddressError::Target(url.to_owned()))
}

/// Every address of a name, in an order that is the same each time.
async fn resolve(target: &Origin, names: &Names) -> Result<Vec<SocketAddr>, AddressError> {
    let host = target.host.clone();
    let unresolved = |reason: String| AddressError::Unresolved { host, reason };
    let mut found = match names.lookup(target).await {
        Ok(found) => found,
        Err(failure) => return Err(unresolved(failure.message)),
    };
    found.sort_unstable();
    found.dedup();
    match found.len() {
        0 => Err(unresolved("the name has none".to_owned())),
        1..=MOST_ADDRESSES => Ok(found),
        many => Err(unresolved(format!("{many} are more than the {MOST_ADDRESSES} that are told apart"))),
    }
}

/// Positions of `weights`, each as often as its weight says after division by what all have in common.
///
/// The k-th turn of a position with weight w is due at (k + 1/2) / w of the sequence, so that the turns
/// of each position are spread evenly.
fn turns(weights: &[u32]) -> Vec<u16> {
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let mut due: Vec<(f64, u16)> = (0..)
        .zip(weights)
        .flat_map(|(position, weight)| {
            let weight = weight / common;
            (0..weight).map(move |turn| ((f64::from(turn) + 0.5) / f64::from(weight), position))
        })
        .collect();
    due.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    if due.is_empty() { vec![0] } else { due.into_iter().map(|(_, position)| position).collect() }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights() {
        assert_eq!(turns(&[1]), [0]);
        assert_eq!(turns(&[7]), [0], "a weight alone is no weight");
        assert_eq!(turns(&[2, 2]), [0, 1]);
        assert_eq!(turns(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(turns(&[100, 100, 100]), [0, 1, 2]);
        assert_eq!(turns(&[]), [0]);
    }

    #[test]
    fn every_stretch_has_each_address_by_its_weight() {
        for weights in [vec![3, 1], vec![5, 3, 1], vec![1, 1, 1, 7], vec![10, 9, 1], vec![2; 20]] {
            let sequence = turns(&weights);
            let total: u32 = weights.iter().sum();
            for length in 1..=sequence.len() {
                for (position, weight) in weights.iter().enumerate() {
                    let had = sequence[..length].iter().filter(|at| usize::from(**at) == position).count();
                    let due = length as f64 * f64::from(*weight) / f64::from(total);
                    assert!((had as f64 - due).abs() <= 1.5, "{weights:?}: {had} of {length} for {position}");
                }
            }
        }
    }

    #[test]
    fn the_tightest_address_is_what_ports_must_do_for() {
        let addresses = |urls: &[&str], weights: &[u32], sources: &[&str]| Addresses {
            target: origin(urls[0]).unwrap(),
            all: urls
                .iter()
                .zip(weights)
                .map(|(url, weight)| {
                    let shape = AddressShape { name: (*url).to_owned(), weight: *weight };
                    Address::new(origin(url).unwrap(), shape)
                })
                .collect(),
            turns: turns(weights).into(),
            sources: sources.iter().map(|source| source.parse().unwrap()).collect(),
            reach: Reach::default(),
            socket: None,
            elsewhere: AtomicUsize::new(0),
        };
        let (one, other, third) = ("http://127.0.0.1:80", "http://[::1]:80", "http://shop.example");
        for (urls, weights, sources, to, connections, from) in [
            (vec![one], vec![1], vec![], "127.0.0.1:80", 1000, 1),
            (vec![one], vec![1], vec!["127.0.0.2", "127.0.0.3", "::1"], "127.0.0.1:80", 1000, 2),
            (vec![one, other], vec![3, 1], vec![], "127.0.0.1:80", 750, 1),
            (vec![one, other], vec![2, 1], vec!["127.0.0.2", "127.0.0.3", "::1"], "[::1]:80", 334, 1),
            (vec![third], vec![1], vec!["127.0.0.2", "::1"], "shop.example:80", 1000, 2),
        ] {
            let demand = addresses(&urls, &weights, &sources).demand(1000);
            let expected = Demand { to: to.to_owned(), connections, sources: from };
            assert_eq!(demand, expected, "{urls:?} {weights:?} {sources:?}");
        }
    }

    #[test]
    fn users_go_round() {
        let turns = Turns(turns(&[3, 1]).into());
        assert!(turns.is_choice());
        assert_eq!((0..8).map(|n| turns.at(n)).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!((turns.start(0, 2), turns.start(1, 2)), (0, 2));
        assert!(!Turns::default().is_choice());
        assert_eq!(Turns::default().at(u64::MAX), 0);
    }
}
