//! `target`, `http`, `tls`, `auth`: how requests are made.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use plimsoll_run::{Header, HttpSettings, Part, Secret, Template, TlsSettings};
use plimsoll_units::ByteCount;
use url::Url;

use crate::diagnostic::{Finding, Place};
use crate::read::Reader;
use crate::template::{Scope, template};
use crate::tree::{Entry, Node};
use crate::variables::is_secret_header;
use crate::words;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_REDIRECTS: u32 = 10;
const DEFAULT_MAX_BODY: u64 = 16_000_000;

/// What we call ourselves, unless the plan says otherwise.
pub(crate) const USER_AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

/// A target and the credentials that stood in it.
pub(crate) struct Target {
    /// Without a slash at its end.
    pub(crate) text: String,
    pub(crate) url: Url,
    pub(crate) authorization: Option<Header>,
}

pub(crate) fn target(reader: &mut Reader<'_>, node: &Node) -> Option<Target> {
    const WHAT: &str = "a URL like `http://127.0.0.1:8080`";
    let text = reader.text(node, WHAT)?;
    let mut url = web_url(reader, node, &text, WHAT)?;
    if url.query().is_some() || url.fragment().is_some() {
        let finding = Finding::error(node.place, "a target has no query and no fragment");
        reader.report(finding.help("write what comes after the path into the steps"));
        return None;
    }
    let authorization = take_userinfo(&mut url);
    let text = url.as_str().trim_end_matches('/').to_owned();
    Some(Target { text, url, authorization })
}

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

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn authorization(value: String) -> Header {
    let value = Template { parts: vec![Part::Secret(Secret::new(value))] };
    Header { name: "authorization".to_owned(), value, secret: true }
}

/// `auth` as a header.
pub(crate) fn auth(reader: &mut Reader<'_>, node: &Node) -> Option<Header> {
    let object = reader.object(node, &words::AUTH)?;
    match (object.get("basic"), object.get("bearer")) {
        (Some(node), None) => {
            let object = reader.object(node, &words::BASIC)?;
            let user = reader.text(object.get("username")?, "a user name")?;
            let password = reader.text(object.get("password")?, "a password")?;
            Some(authorization(basic(&user, &password)))
        }
        (None, Some(node)) => {
            let token = reader.text(node, "a token")?;
            if !is_header_value(&token) {
                reader.error(node.place, "a token cannot hold control characters");
                return None;
            }
            Some(authorization(format!("Bearer {token}")))
        }
        _ => {
            reader.report(Finding::error(object.place, "`auth` takes one of `basic` and `bearer`"));
            None
        }
    }
}

/// `http`, or what holds without it.
pub(crate) fn settings(reader: &mut Reader<'_>, node: Option<&Node>, scope: &Scope<'_>) -> HttpSettings {
    let mut settings = HttpSettings {
        connections: None,
        timeout: DEFAULT_TIMEOUT,
        connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        redirects: DEFAULT_REDIRECTS,
        max_body: DEFAULT_MAX_BODY,
        headers: Vec::new(),
    };
    let object = node.and_then(|node| reader.object(node, &words::HTTP));
    if let Some(object) = object {
        if let Some(node) = object.get("version") {
            version(reader, node);
        }
        if let Some(node) = object.get("connections") {
            let most = 1..=words::MOST_IN_FLIGHT;
            settings.connections = reader.whole(node, "a number of connections", most).map(|n| n as u32);
        }
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
    }
    if !has_header(&settings.headers, "user-agent") {
        let value = Template::text(USER_AGENT);
        settings.headers.push(Header { name: "user-agent".to_owned(), value, secret: false });
    }
    settings
}

fn version(reader: &mut Reader<'_>, node: &Node) {
    let Some(text) = reader.text(node, "a version of HTTP") else { return };
    if text != "1.1" {
        let message =
            format!("`http.version: {}` is not supported by this version", crate::tree::shortened(&text));
        reader.report(Finding::error(node.place, message).help("write `\"1.1\"`, or leave it out"));
    }
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

fn is_header_value(text: &str) -> bool {
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
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        let message = format!("`{}` is not the name of a header", crate::tree::shortened(name));
        reader.report(Finding::error(place, message).help("a name has letters, digits and `-`"));
        return None;
    }
    Some(name.to_ascii_lowercase())
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
    settings
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
