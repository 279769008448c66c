//! Where hosts are: what the plan says, its name servers, or the system.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use plimsoll_measure::Outcome;
use plimsoll_run::{AddressFamily, HostAddress, Network};

use crate::Failure;
use crate::transport::Origin;

/// Looks up the addresses of hosts.
#[derive(Clone)]
pub(crate) struct Names {
    known: Vec<HostAddress>,
    family: AddressFamily,
    /// Empty: the system is asked.
    servers: Vec<SocketAddr>,
    resolver: Option<TokioResolver>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("known", &self.known)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Names {
    /// What a plan says of names.
    pub(crate) fn of(network: &Network) -> Self {
        let (known, family, servers) = (network.resolve.clone(), network.family, network.dns.clone());
        let resolver = resolver(&servers, family);
        Self { known, family, servers, resolver }
    }

    /// The same with answers and sockets of its own: they live on one runtime.
    pub(crate) fn for_worker(&self) -> Self {
        Self { resolver: resolver(&self.servers, self.family), ..self.clone() }
    }

    /// Whether the plan itself says where a host is, or who is asked. Then its name stands for whatever the plan's
    /// author likes.
    pub(crate) fn are_of_the_plan(&self, host: &str) -> bool {
        !self.servers.is_empty() || self.known.iter().any(|known| known.host == host)
    }

    /// Where a host is, as far as nobody has to be asked.
    pub(crate) fn known(&self, place: &Origin) -> Option<SocketAddr> {
        if let Some(address) = place.address() {
            return Some(address);
        }
        let known = self.known.iter().find(|known| known.host == place.host)?;
        Some(SocketAddr::new(known.ip, known.port.unwrap_or(place.port)))
    }

    /// The addresses of a host, at least one.
    pub(crate) async fn lookup(&self, place: &Origin) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = self.known(place) {
            return Ok(vec![address]);
        }
        let nowhere = |reason: &dyn fmt::Display| {
            Failure::new(Outcome::Dns, format!("no address for {}: {reason}", place.host))
        };
        let found: Vec<IpAddr> = match &self.resolver {
            Some(resolver) => {
                // Fully qualified: no domain of this machine's is put behind it.
                let name = format!("{}.", place.host.trim_end_matches('.'));
                let found = resolver.lookup_ip(name).await.map_err(|error| {
                    if error.is_nx_domain() {
                        nowhere(&"the name server does not know the name")
                    } else if error.is_no_records_found() {
                        nowhere(&"the name has none")
                    } else {
                        nowhere(&error)
                    }
                })?;
                found.iter().collect()
            }
            None => {
                let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await;
                let found =
                    found.map_err(|error| Failure::exhausted(&error).unwrap_or_else(|| nowhere(&error)))?;
                found.map(|address| address.ip()).collect()
            }
        };
        let is_empty = found.is_empty();
        let found: Vec<_> = found
            .into_iter()
            .filter(|ip| self.family.has(*ip))
            .map(|ip| SocketAddr::new(ip, place.port))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        Err(nowhere(match self.family {
            AddressFamily::V4 if !is_empty => &"the name has none of IPv4",
            AddressFamily::V6 if !is_empty => &"the name has none of IPv6",
            _ => &"the name has none",
        }))
    }
}

/// Asks these servers, if there are any.
fn resolver(servers: &[SocketAddr], family: AddressFamily) -> Option<TokioResolver> {
    let server = |server: &SocketAddr| {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = server.port();
            connection
        };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port).to_vec();
        NameServerConfig::new(server.ip(), true, connections)
    };
    if servers.is_empty() {
        return None;
    }
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = match family {
        AddressFamily::Any => LookupIpStrategy::Ipv4AndIpv6,
        AddressFamily::V4 => LookupIpStrategy::Ipv4Only,
        AddressFamily::V6 => LookupIpStrategy::Ipv6Only,
    };
    // What there is to fail are encrypted transports, of which there are none.
    builder.build().ok()
}
