//! Where connections may lead.
//!
//! It is asked once for each connection, of the address that is then used: what a redirect, a captured value or a proxy
//! of the plan leads to is known only then, and a name that is looked up twice may have two answers.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use plimsoll_run::Targets;

use crate::Failure;
use crate::addresses::AddressError;
use crate::names::Names;
use crate::transport::Origin;

/// The lists of whoever runs the plan; each of them has to allow a connection.
#[derive(Debug, Default)]
pub(crate) struct Reach(Vec<Targets>);

impl Reach {
    pub(crate) fn new(lists: Vec<Targets>) -> Self {
        Self(lists)
    }

    /// Whether connections may lead to all of these addresses, at which `host` was found. A name whose addresses are
    /// allowed in part is not allowed: which of them is used is chance.
    pub(crate) fn check(&self, host: &str, addresses: &[SocketAddr], names: &Names) -> Result<(), Failure> {
        let by_name = !names.are_of_the_plan(host);
        let refusal = self.0.iter().find_map(|list| refusal(list, host, addresses, by_name));
        refusal.map_or(Ok(()), |words| Err(Failure::not_allowed(words)))
    }

    /// Whether a proxy may be asked for this. It looks names up by itself, so that only the name can be judged.
    pub(crate) fn check_behind_proxy(&self, origin: &Origin) -> Result<(), Failure> {
        for list in &self.0 {
            match origin.address() {
                Some(address) if list.has_address(address.ip()) => {}
                None if list.has_name(&origin.host) => {}
                Some(_) => return Err(not_allowed(&format!("`{}`", origin.host), list)),
                None => {
                    let what = format!("`{}`, which the proxy would look up,", origin.host);
                    return Err(not_allowed(&what, list));
                }
            }
        }
        Ok(())
    }

    /// Whether connections may lead to a socket of this machine.
    pub(crate) fn check_socket(&self, path: &Path) -> Result<(), Failure> {
        let refusing = self.0.iter().find(|list| !list.has_socket(path));
        refusing.map_or(Ok(()), |list| Err(not_allowed(&format!("`{}`", path.display()), list)))
    }

    /// Whether these name servers may be asked.
    pub(crate) fn check_servers(&self, servers: &[SocketAddr]) -> Result<(), AddressError> {
        for list in &self.0 {
            if let Some(server) = servers.iter().find(|server| !list.has_address(server.ip())) {
                return Err(AddressError::NameServer { server: *server, allowed: list.words() });
            }
        }
        Ok(())
    }
}

/// Why connections beside the load may not lead to all of these addresses, at which the system found `host`; `None`:
/// each of the lists lets them.
pub fn refused(lists: &[Targets], host: &str, addresses: &[SocketAddr]) -> Option<String> {
    lists.iter().find_map(|list| refusal(list, host, addresses, true))
}

/// `by_name`: a name on the list is enough, as nobody but the system says where it leads.
fn refusal(list: &Targets, host: &str, addresses: &[SocketAddr], by_name: bool) -> Option<String> {
    if by_name && list.has_name(host) {
        return None;
    }
    let address = addresses.iter().find(|address| !list.has_address(address.ip()))?;
    Some(words(&told(host, address.ip()), list))
}

fn not_allowed(what: &str, list: &Targets) -> Failure {
    Failure::not_allowed(words(what, list))
}

fn words(what: &str, list: &Targets) -> String {
    format!("{what} is not among the targets that are allowed: {}", list.words())
}

fn told(host: &str, address: IpAddr) -> String {
    let is_itself = host.trim_matches(['[', ']']) == address.to_string();
    if is_itself { format!("`{host}`") } else { format!("`{host}` ({address})") }
}

#[cfg(test)]
mod tests {
    use plimsoll_run::{HostAddress, Network};

    use super::*;

    fn reach(lists: &[&str]) -> Reach {
        Reach::new(lists.iter().map(|list| list.parse().unwrap()).collect())
    }

    fn told_of(result: Result<(), Failure>) -> Option<String> {
        result.err().map(|failure| {
            assert!(failure.is_notable && !failure.ours);
            failure.message
        })
    }

    #[test]
    fn a_connection_leads_where_every_list_lets_it() {
        let names = Names::of(&Network::default());
        for (lists, host, addresses, refused) in [
            (&[][..], "anything", &["10.0.0.1"][..], None),
            (&["127.0.0.0/8"], "localhost", &["127.0.0.1"], None),
            (&["127.0.0.0/8"], "10.0.0.1", &["10.0.0.1"], Some("`10.0.0.1` is not among")),
            (&["127.0.0.0/8"], "[2001:db8::1]", &["2001:db8::1"], Some("`[2001:db8::1]` is not among")),
            (&["127.0.0.0/8"], "shop", &["127.0.0.1", "10.0.0.1"], Some("`shop` (10.0.0.1) is not among")),
            (&["shop"], "shop", &["10.0.0.1"], None),
            (&["10.0.0.0/8,shop", "shop"], "shop", &["10.0.0.1"], None),
            (&["10.0.0.0/8", "other"], "shop", &["10.0.0.1"], Some("allowed: other")),
        ] {
            let addresses: Vec<_> =
                addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect();
            let found = told_of(reach(lists).check(host, &addresses, &names));
            assert_eq!(found, super::refused(&reach(lists).0, host, &addresses), "beside the load, too");
            match refused {
                None => assert_eq!(found, None, "{host} of {lists:?}"),
                Some(words) => {
                    assert!(found.clone().unwrap().contains(words), "{host} of {lists:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_the_plan_leads_somewhere_is_judged_by_where() {
        let elsewhere =
            HostAddress { host: "shop".to_owned(), ip: "169.254.169.254".parse().unwrap(), port: None };
        let resolve = Network { resolve: vec![elsewhere], ..Network::default() };
        let dns = Network { dns: vec!["127.0.0.1:53".parse().unwrap()], ..Network::default() };
        let reach = reach(&["shop,10.0.0.0/8"]);
        for network in [resolve, dns] {
            let names = Names::of(&network);
            assert!(told_of(reach.check("shop", &["169.254.169.254:80".parse().unwrap()], &names)).is_some());
            assert_eq!(told_of(reach.check("shop", &["10.0.0.1:80".parse().unwrap()], &names)), None);
        }
    }

    #[test]
    fn a_proxy_is_asked_for_what_is_allowed_by_name() {
        let reach = reach(&["*.shop,10.0.0.0/8"]);
        for (url, refused) in [
            ("http://a.shop", None),
            ("http://10.0.0.1", None),
            ("http://127.0.0.1", Some("`127.0.0.1` is not among")),
            ("http://localhost", Some("`localhost`, which the proxy would look up, is not among")),
        ] {
            let origin = Origin::of(&url.parse().unwrap()).unwrap();
            let found = told_of(reach.check_behind_proxy(&origin));
            assert_eq!(found.is_some(), refused.is_some(), "{url}");
            assert!(found.is_none_or(|found| found.starts_with(refused.unwrap())), "{url}");
        }
    }

    #[test]
    fn sockets_and_name_servers_are_places_too() {
        let reach = reach(&["/run/shop.sock,10.0.0.0/8"]);
        assert_eq!(told_of(reach.check_socket(Path::new("/run/shop.sock"))), None);
        assert!(told_of(reach.check_socket(Path::new("/run/docker.sock"))).is_some());
        assert!(reach.check_servers(&["10.0.0.53:53".parse().unwrap()]).is_ok());
        assert!(reach.check_servers(&["127.0.0.1:53".parse().unwrap()]).is_err());
    }
}
