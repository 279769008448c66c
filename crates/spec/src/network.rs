//! What `http` says of connections, names and the way to the target.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use plimsoll_run::{AddressFamily, Coding, HostAddress, HttpVersion, Network, Part, Proxy, Reuse};
use url::{Host, Url};

use crate::diagnostic::Finding;
use crate::http::{take_userinfo, web_url};
use crate::read::{Object, Reader};
use crate::target::Target;
use crate::tree::{Entry, Node, Value};
use crate::words;

/// The port of DNS (RFC 1035).
const DNS_PORT: u16 = 53;

/// Reads the keys of `http` that are about the way to the target. `version` is `None` where it was not
/// understood.
pub(crate) fn read(reader: &mut Reader<'_>, object: &Object<'_>, version: Option<HttpVersion>) -> Network {
    let mut network = Network::default();
    if let Some(node) = object.get("connections_per_host") {
        let most = 1..=words::MOST_IN_FLIGHT;
        network.per_host = reader.whole(node, "a number of connections", most).map(|n| n as u32);
    }
    network.reuse = object.get("reuse").and_then(|node| {
        let words = [Reuse::Always, Reuse::PerUser, Reuse::Never];
        let word = reader.word(node, "whose connections are", &words.map(Reuse::label))?;
        words.into_iter().find(|reuse| reuse.label() == word)
    });
    for (key, field) in [
        ("idle_timeout", &mut network.idle_timeout),
        ("tls_timeout", &mut network.tls_timeout),
        ("first_byte_timeout", &mut network.first_byte_timeout),
    ] {
        *field = object.get(key).and_then(|node| reader.some_time(node));
    }
    network.resolve = object.get("resolve").map(|node| resolve(reader, node)).unwrap_or_default();
    network.dns = object.get("dns").map(|node| servers(reader, node)).unwrap_or_default();
    network.family = object.get("ip").and_then(|node| family(reader, node)).unwrap_or_default();
    network.unix_socket = object
        .get("unix_socket")
        .and_then(|node| reader.text(node, "the path of a socket"))
        .map(PathBuf::from);
    network.compression = object.get("compression").map(|node| codings(reader, node)).unwrap_or_default();
    network.proxy = object.get("proxy").and_then(|node| proxy(reader, node));
    about_sharing(reader, object, version, network.reuse);
    network
}

/// Keys that say nothing, or the opposite, beside each other.
fn about_sharing(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    version: Option<HttpVersion>,
    reuse: Option<Reuse>,
) {
    if version == Some(HttpVersion::Http2) {
        for key in ["connections_per_host", "idle_timeout", "reuse"] {
            if object.get(key).is_some() {
                let finding = Finding::error(object.key_place(key), format!("`{key}` belongs to HTTP/1.1"));
                reader.report(finding.help("over HTTP/2 requests share connections: `connections` says how many, `streams` by how many requests"));
            }
        }
    }
    for key in ["connections", "connections_per_host"] {
        if object.get(key).is_none() {
            continue;
        }
        if let Some(reuse @ (Reuse::PerUser | Reuse::Never)) = reuse {
            let message =
                format!("`{key}` counts shared connections, and `reuse: {}` shares none", reuse.label());
            reader.report(Finding::error(object.key_place(key), message).help("leave one of them out"));
        }
    }
    if object.get("connections").is_some() && object.get("connections_per_host").is_some() {
        let place = object.key_place("connections_per_host");
        let finding = Finding::error(place, "`connections_per_host` stands in place of `connections`");
        reader.report(finding.help("leave one of them out"));
    }
    if object.get("unix_socket").is_some() {
        for key in ["proxy", "source"] {
            if object.get(key).is_some() {
                let message = format!("a unix socket has no `{key}`");
                reader.report(Finding::error(object.key_place(key), message).help("leave one of them out"));
            }
        }
    }
}

/// `{ shop.example: 127.0.0.1, "api.example": "127.0.0.1:8443" }`.
fn resolve(reader: &mut Reader<'_>, node: &Node) -> Vec<HostAddress> {
    let mut hosts: Vec<HostAddress> = Vec::new();
    for Entry { key, key_place, node } in reader.entries(node, "hosts and where they are") {
        let host = match Host::parse(key) {
            Ok(Host::Domain(host)) => host,
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => {
                let message = format!("`{}` is not the name of a host", crate::tree::shortened(key));
                reader.report(
                    Finding::error(*key_place, message).help("write it as it stands in URLs, without a port"),
                );
                continue;
            }
        };
        if hosts.iter().any(|known| known.host == host) {
            reader.error(*key_place, format!("the host `{host}` stands here twice"));
            continue;
        }
        const HELP: &str = "write `127.0.0.1`, `\"127.0.0.1:8443\"`, `\"::1\"` or `\"[::1]:8443\"`";
        let Some(text) = reader.text(node, "an IP address, maybe with a port") else { continue };
        match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => hosts.push(HostAddress { host, ip, port: None }),
            (_, Ok(address)) => {
                hosts.push(HostAddress { host, ip: address.ip(), port: Some(address.port()) });
            }
            (Err(_), Err(_)) => reader.expected(node, "an IP address, maybe with a port", Some(HELP)),
        }
    }
    hosts
}

/// Addresses of name servers.
fn servers(reader: &mut Reader<'_>, node: &Node) -> Vec<SocketAddr> {
    const HELP: &str = "write addresses, like `[127.0.0.1, \"127.0.0.1:5353\"]`";
    let mut servers = Vec::new();
    for item in reader.one_or_more(node) {
        let Some(text) = reader.text(item, "the address of a name server") else { continue };
        match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => servers.push(SocketAddr::new(ip, DNS_PORT)),
            (_, Ok(server)) => servers.push(server),
            (Err(_), Err(_)) => reader.expected(item, "the address of a name server", Some(HELP)),
        }
    }
    servers
}

/// Codings that are asked for, each once.
fn codings(reader: &mut Reader<'_>, node: &Node) -> Vec<Coding> {
    let mut codings = Vec::new();
    for item in reader.one_or_more(node) {
        let Some(word) = reader.word(item, "a coding of bodies", &Coding::ALL.map(Coding::label)) else {
            continue;
        };
        let coding = Coding::ALL.into_iter().find(|coding| coding.label() == word);
        if coding.is_some_and(|coding| codings.contains(&coding)) {
            reader.report(Finding::error(item.place, "this coding stands in the list twice"));
        }
        codings.extend(coding);
    }
    codings
}

fn family(reader: &mut Reader<'_>, node: &Node) -> Option<AddressFamily> {
    Some(match reader.word(node, "which addresses of names are used", &["4", "6", "any"])? {
        "4" => AddressFamily::V4,
        "6" => AddressFamily::V6,
        _ => AddressFamily::Any,
    })
}

fn proxy(reader: &mut Reader<'_>, node: &Node) -> Option<Proxy> {
    const WHAT: &str = "a URL like `http://127.0.0.1:3128`";
    let text = reader.text(node, WHAT)?;
    let mut url: Url = web_url(reader, node, &text, WHAT)?;
    if url.scheme() != "http" || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        reader.expected(node, WHAT, Some("a proxy is spoken to without TLS, and has no path"));
        return None;
    }
    // It is one part, and that a secret.
    let authorization =
        take_userinfo(&mut url).and_then(|header| match header.value.parts.into_iter().next() {
            Some(Part::Secret(secret)) => Some(secret),
            Some(Part::Text(_) | Part::Variable(_)) | None => None,
        });
    Some(Proxy { host: url.host_str()?.to_owned(), port: url.port_or_known_default()?, authorization })
}

/// What of `http` does not go with the target.
pub(crate) fn about_target(
    reader: &mut Reader<'_>,
    http: &Node,
    target: &Target,
    version: HttpVersion,
    network: &Network,
) {
    let Value::Map(entries) = &http.value else { return };
    let place = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_place);
    let is_tls = target.url.scheme() == "https";
    if network.unix_socket.is_some() && is_tls {
        let finding = Finding::error(place("unix_socket"), "a unix socket is spoken to without TLS");
        reader.report(finding.help("write a target with `http://`: its host is what the `host` header says"));
    }
    if network.proxy.is_some() && version == HttpVersion::Http2 && !is_tls {
        let finding = Finding::error(place("proxy"), "HTTP/2 without TLS does not go through a proxy");
        reader.report(finding.help("write a target with `https://`, or leave `version` out"));
    }
    let is_several = target.all.len() > 1 || target.addresses == plimsoll_run::AddressChoice::All;
    for key in ["proxy", "unix_socket"] {
        if is_several && place(key).is_some() {
            let finding = Finding::error(place(key), format!("`{key}` leaves no choice between addresses"));
            reader.report(finding.help("write one URL as the `target`"));
        }
    }
}
