//! `http`, `tls`, `auth`: how requests are made.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use plimsoll_measure::Limits;
use plimsoll_run::{
    Header, HttpSettings, HttpVersion, Network, Part, Secret, Template, TlsSettings, TlsVersion,
};
use plimsoll_units::{ByteCount, Rate};
use url::Url;

use crate::diagnostic::{Finding, Place};
use crate::network;
use crate::read::{Object, Reader};
use crate::template::{Scope, template};
use crate::tree::{Entry, Node, Value};
use crate::variables::is_secret_header;
use crate::words;

/// What servers commonly allow: nginx 128, h2 and Go 100 to 250; more would wait unseen in the client.
const DEFAULT_STREAMS: u32 = 100;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_REDIRECTS: u32 = 10;
const DEFAULT_MAX_BODY: u64 = 16_000_000;

/// What we call ourselves, unless the plan says otherwise.
pub(crate) const USER_AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

/// A URL of the web: `http` or `https`, and a host.
pub(crate) fn web_url(reader: &mut Reader<'_>, node: &Node, text: &str, what: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        reader.expected(node, what, None);
    }
    url
}

/// Makes `user:password@` of a URL an `authorization` header.
pub(crate) fn take_userinfo(url: &mut Url) -> Option<Header> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    if user.is_empty() && password.is_empty() {
        return None;
    }
    // Both fail for URLs without a host only, and these were refused.
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(authorization(basic(&user, &password)))
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

pub(crate) fn authorization(value: String) -> Header {
    let value = Template { parts: vec![Part::Secret(Secret::new(value))] };
    Header { name: "authorization".to_owned(), value, secret: true }
}

/// `http`, or what holds without it.
pub(crate) fn settings(reader: &mut Reader<'_>, node: Option<&Node>, scope: &Scope<'_>) -> HttpSettings {
    let mut settings = HttpSettings {
        version: HttpVersion::Http1,
        connections: None,
        streams: DEFAULT_STREAMS,
        connect_rate: None,
        source: Vec::new(),
        timeout: DEFAULT_TIMEOUT,
        connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        redirects: DEFAULT_REDIRECTS,
        max_body: DEFAULT_MAX_BODY,
        headers: Vec::new(),
        network: Network::default(),
    };
    let object = node.and_then(|node| reader.object(node, &words::HTTP));
    if let Some(object) = object {
        let version = object.get("version").map_or(Some(HttpVersion::Http1), |node| version(reader, node));
        settings.version = version.unwrap_or_default();
        settings.streams = streams(reader, &object, version).unwrap_or(DEFAULT_STREAMS);
        if let Some(node) = object.get("connections") {
            let most = 1..=words::MOST_IN_FLIGHT;
            settings.connections = reader.whole(node, "a number of connections", most).map(|n| n as u32);
        }
        settings.connect_rate = object.get("connect_rate").and_then(|node| connect_rate(reader, node));
        settings.source = object.get("source").map(|node| sources(reader, node)).unwrap_or_default();
        for (key, field) in
            [("timeout", &mut settings.timeout), ("connect_timeout", &mut settings.connect_timeout)]
        {
            if let Some(timeout) = object.get(key).and_then(|node| reader.some_time(node)) {
                *field = timeout;
            }
        }
        if let Some(node) = object.get("redirects") {
            let redirects = reader.whole(node, "a number of redirects", 0..=100);
            settings.redirects = redirects.map_or(DEFAULT_REDIRECTS, |n| n as u32);
        }
        if let Some(node) = object.get("max_body") {
            settings.max_body = reader.quantity(node, "a size").map_or(DEFAULT_MAX_BODY, |ByteCount(n)| n);
        }
        if let Some(node) = object.get("headers") {
            settings.headers = headers(reader, node, scope);
        }
        settings.network = network::read(reader, &object, version);
    }
    let compression = &settings.network.compression;
    if !compression.is_empty() && !has_header(&settings.headers, "accept-encoding") {
        let names: Vec<_> = compression.iter().map(|coding| coding.label()).collect();
        let value = Template::text(names.join(", "));
        settings.headers.push(Header { name: "accept-encoding".to_owned(), value, secret: false });
    }
    if !has_header(&settings.headers, "user-agent") {
        let value = Template::text(USER_AGENT);
        settings.headers.push(Header { name: "user-agent".to_owned(), value, secret: false });
    }
    settings
}

fn version(reader: &mut Reader<'_>, node: &Node) -> Option<HttpVersion> {
    match reader.word(node, "a version of HTTP", &["1.1", "2"])? {
        "2" => Some(HttpVersion::Http2),
        _ => Some(HttpVersion::Http1),
    }
}

/// `version` is `None` where it was not understood: then nobody knows whether streams belong to it.
fn streams(reader: &mut Reader<'_>, object: &Object<'_>, version: Option<HttpVersion>) -> Option<u32> {
    let node = object.get("streams")?;
    if version == Some(HttpVersion::Http1) {
        let finding = Finding::error(object.key_place("streams"), "`streams` belongs to HTTP/2");
        reader.report(finding.help("HTTP/1.1 has one request at a time per connection: write `version: \"2\"`, or `connections` for more of them"));
        return None;
    }
    reader.whole(node, "a number of streams", 1..=words::MOST_STREAMS).map(|n| n as u32)
}

fn connect_rate(reader: &mut Reader<'_>, node: &Node) -> Option<Rate> {
    let rate: Rate = reader.quantity(node, "a rate of connections")?;
    if rate == Rate::ZERO {
        let help = "without connections there are no requests; leave it out for no limit";
        reader.expected(node, "a rate above zero", Some(help));
        return None;
    }
    Some(rate)
}

/// Addresses of this machine that connections are bound to.
fn sources(reader: &mut Reader<'_>, node: &Node) -> Vec<IpAddr> {
    const HELP: &str = "write addresses of this machine, like `[127.0.0.2, 127.0.0.3]`";
    let mut sources = Vec::new();
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        reader.expected(node, "a list of IP addresses", Some(HELP));
    }
    for item in reader.one_or_more(node) {
        let Some(scalar) = reader.scalar(item, "an IP address") else { continue };
        match scalar.text().parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_multicast() => {
                reader.expected(item, "an address of this machine", Some(HELP));
            }
            Ok(address) if sources.contains(&address) => {
                reader.report(Finding::error(item.place, "this address stands in the list twice"));
            }
            Ok(address) => sources.push(address),
            Err(_) => reader.expected(item, "an IP address", Some(HELP)),
        }
    }
    sources
}

/// `limits`, or what holds without it.
pub(crate) fn limits(reader: &mut Reader<'_>, node: &Node) -> Limits {
    /// Below it there is not even room for a run of one step.
    const LEAST_MEMORY: u64 = 1_000_000;
    let mut limits = Limits::default();
    let Some(object) = reader.object(node, &words::LIMITS) else { return limits };
    if let Some(node) = object.get("series") {
        let series = reader.whole(node, "a number of series", 1..=words::MOST_SERIES);
        limits.series = series.map_or(limits.series, |series| series as u32);
    }
    if let Some(node) = object.get("memory")
        && let Some(ByteCount(bytes)) = reader.quantity(node, "a size")
    {
        if bytes < LEAST_MEMORY {
            reader.expected(node, "a size of at least 1MB", None);
        }
        limits.memory_bytes = bytes;
    }
    limits
}

pub(crate) fn has_header(headers: &[Header], name: &str) -> bool {
    headers.iter().any(|header| header.name == name)
}

/// A map of headers, their values templates.
pub(crate) fn headers(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for Entry { key, key_place, node } in reader.entries(node, "headers") {
        let Some(name) = header_name(reader, key, *key_place) else { continue };
        if has_header(&headers, &name) {
            let finding = Finding::error(*key_place, format!("the header `{name}` stands here twice"));
            reader.report(finding.help("names of headers are the same in upper and lower case"));
            continue;
        }
        let Some(scalar) = reader.scalar(node, "the value of a header") else { continue };
        if !is_header_value(&scalar.text()) {
            reader.error(node.place, format!("the value of the header `{name}` holds control characters"));
            continue;
        }
        let Some(value) = template(reader, node, scope) else { continue };
        let secret =
            is_secret_header(&name) || value.parts.iter().any(|part| matches!(part, Part::Secret(_)));
        headers.push(Header { name, value, secret });
    }
    headers
}

pub(crate) fn is_header_value(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

/// The name of a request header, in lower case.
fn header_name(reader: &mut Reader<'_>, key: &str, place: Place) -> Option<String> {
    /// These say how a message ends: whoever sends it has to write them.
    const OURS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "upgrade"];
    let name = any_header_name(reader, key, place)?;
    if OURS.contains(&name.as_str()) {
        reader.report(
            Finding::error(place, format!("the header `{name}` is written by the generator itself"))
                .help("leave it out"),
        );
        return None;
    }
    Some(name)
}

/// The name of any header, in lower case.
pub(crate) fn any_header_name(reader: &mut Reader<'_>, name: &str, place: Place) -> Option<String> {
    if name.is_empty() || !name.chars().all(is_token) {
        let message = format!("`{}` is not the name of a header", crate::tree::shortened(name));
        reader.report(Finding::error(place, message).help("a name has letters, digits and `-`"));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// `tls`, its files read.
pub(crate) fn tls(reader: &mut Reader<'_>, node: &Node) -> TlsSettings {
    let mut settings = TlsSettings::default();
    let Some(object) = reader.object(node, &words::TLS) else { return settings };
    settings.ca = object.get("ca").and_then(|node| pem(reader, node));
    settings.cert = object.get("cert").and_then(|node| pem(reader, node));
    let key = object.get("key").and_then(|node| Some((node, pem(reader, node)?)));
    settings.key = key.and_then(|(node, pem)| match String::from_utf8(pem) {
        Ok(pem) => Some(Secret::new(pem)),
        Err(_) => {
            reader.error(node.place, "the file of the key is not a PEM text");
            None
        }
    });
    for (key, other) in [("cert", "key"), ("key", "cert")] {
        if object.get(key).is_some() && object.get(other).is_none() {
            reader.error(object.key_place(key), format!("`tls.{key}` needs `tls.{other}` beside it"));
        }
    }
    settings.server_name = object.get("server_name").and_then(|node| reader.text(node, "a host name"));
    settings.insecure = object.get("insecure").and_then(|node| reader.flag(node)).unwrap_or(false);
    settings.always_full = !object.get("resumption").and_then(|node| reader.flag(node)).unwrap_or(true);
    let (min, max) =
        (tls_version(reader, &object, "min_version"), tls_version(reader, &object, "max_version"));
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        let finding =
            Finding::error(object.key_place("max_version"), "`max_version` is older than `min_version`");
        reader.report(finding.help("no handshake could choose a version"));
    }
    (settings.min_version, settings.max_version) = (min.unwrap_or_default(), max);
    settings
}

fn tls_version(reader: &mut Reader<'_>, object: &Object<'_>, key: &str) -> Option<TlsVersion> {
    let versions = [TlsVersion::V1_2, TlsVersion::V1_3];
    let word = reader.word(object.get(key)?, "a version of TLS", &versions.map(TlsVersion::label))?;
    versions.into_iter().find(|version| version.label() == word)
}

fn pem(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<u8>> {
    let bytes = file(reader, node)?;
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        let finding = Finding::error(node.place, "the file holds no PEM text");
        reader.report(finding.help("a PEM text has a line that starts with `-----BEGIN`"));
        return None;
    }
    Some(bytes)
}

/// The bytes of a file that a value names.
pub(crate) fn file(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<u8>> {
    let path = reader.text(node, "the path of a file")?;
    match (reader.inputs.read)(&path) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            let message = format!("cannot read the file {}: {why}", node.kind());
            reader.report(Finding::error(node.place, message).help("paths are relative to the plan"));
            None
        }
    }
}
