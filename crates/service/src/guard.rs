//! What every request has to pass before anybody looks at who sent it, and the headers that every answer is sent with.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::access::{Access, Auth, Limits, Peer, Tls};
use crate::limits::{Buckets, Client};
use crate::problem::{Kind, Problem};

/// Answers that tell nothing of any run: probes may ask under whatever name they use.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// It names plans and their limits. Whoever listens beyond this machine wants it scraped from there, under
/// whatever name; who does not has scrapers that know this machine by its own.
pub(crate) const METRICS: &str = "/metrics";

/// Where a form is sent, the only one there is.
pub(crate) const LOG_IN: &str = "/login";

/// Our pages load their own files and nothing else.
const PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A report is one file: its own style and script are allowed by their hash.
static REPORT: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let (script, style) = (hash(plimsoll_report::SCRIPT), hash(plimsoll_report::STYLE));
    let policy = format!(
        "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// A page that is drawn like a report has the files of our other pages too.
static DRAWN_PAGE: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let (script, style) = (hash(plimsoll_report::SCRIPT), hash(plimsoll_report::STYLE));
    let policy = format!(
        "default-src 'none'; script-src 'self' {script}; style-src 'self' {style}; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// A report that another version made, whose script nobody knows: it is shown without.
const OLD_REPORT: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";

/// The policy of a report that was kept as a file.
pub(crate) fn kept_report_policy(page: &str) -> Option<HeaderValue> {
    let is_ours = page.contains(plimsoll_report::SCRIPT) && page.contains(plimsoll_report::STYLE);
    if is_ours { report_policy() } else { Some(HeaderValue::from_static(OLD_REPORT)) }
}

/// The policy of a report.
pub(crate) fn report_policy() -> Option<HeaderValue> {
    REPORT.clone()
}

/// The policy of a page that is drawn like a report.
pub(crate) fn drawn_page_policy() -> Option<HeaderValue> {
    DRAWN_PAGE.clone()
}

/// What stands before every route.
#[derive(Debug)]
pub(crate) struct Guard {
    access: Arc<Access>,
    /// Where it listens.
    bound: SocketAddr,
    buckets: Buckets,
}

impl Guard {
    pub(crate) fn new(access: Arc<Access>, bound: SocketAddr) -> Self {
        let buckets = Buckets::new(access.limits.requests);
        Self { access, bound, buckets }
    }

    /// Why a request goes no further, looking at its head alone.
    fn refuses(&self, request: &Request, now: Instant) -> Option<Problem> {
        let peer: Option<Peer> = request.extensions().get().copied();
        let client = self.client(request.headers(), peer);
        if let Err(wait) = self.buckets.take(client, now) {
            let seconds = wait.as_secs() + 1;
            let words = format!("more than {} requests a second", self.access.limits.requests);
            return Some(
                Problem::new(Kind::TooMany, words)
                    .with_header(header::RETRY_AFTER, HeaderValue::from(seconds)),
            );
        }
        let host = host(request);
        if !self.is_open(request.uri().path()) && !host.is_some_and(|host| self.is_ours(host, peer)) {
            let advice = "asked under a name that is not this service's; use localhost or its address, or put \
                          the name into `hosts` of its configuration";
            return Some(Problem::new(Kind::WrongHost, advice));
        }
        if is_changing(request.method()) {
            return is_from_elsewhere(request.headers(), host)
                .then(|| Problem::new(Kind::CrossSite, "a page of another site may not change anything here"))
                .or_else(|| wrong_media_type(request));
        }
        None
    }

    fn client(&self, headers: &HeaderMap, peer: Option<Peer>) -> Client {
        let Some(peer) = peer else { return Client::Others };
        if let Auth::Proxy(proxy) = &self.access.auth
            && self.access.is_from_proxy(peer.remote.ip())
            && let Some(name) = headers.get(&proxy.header).and_then(|name| name.to_str().ok())
        {
            return Client::Named(name.to_owned());
        }
        Client::at(peer.remote.ip())
    }

    fn is_open(&self, path: &str) -> bool {
        OPEN.contains(&path) || (path == METRICS && !self.bound.ip().is_loopback())
    }

    /// Whether a `Host` names this service: by loopback, by the address it was asked at, or as configured.
    fn is_ours(&self, host: &str, peer: Option<Peer>) -> bool {
        let at = peer.map_or(self.bound.ip(), |peer| peer.local.ip());
        means_this_machine(host, at)
            || name_of(host).is_some_and(|name| self.access.hosts.iter().any(|ours| same_name(ours, &name)))
    }
}

/// Refuses what nobody should have to look at, reads the body within bounds, and adds the headers.
///
/// A foreign site can make its own name resolve to this address and would then be same-origin with
/// us in the eyes of a browser. The name it asks under gives it away.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.refuses(&request, Instant::now()) {
        Some(problem) => problem.into_response(),
        None => match with_body(request, &guard.access.limits).await {
            Ok(request) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
    };
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(PAGES));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if matches!(guard.access.tls, Tls::Files { .. }) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// The request with its body in memory: handlers never wait for a client.
async fn with_body(request: Request, limits: &Limits) -> Result<Request, Problem> {
    let (most, patience) = (limits.body, limits.patience.body);
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let too_large = || Problem::new(Kind::TooLarge, format!("a body may have {most} bytes at most"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let bytes: Bytes = match timeout(patience, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(too_large()),
        Err(_) => {
            let words = format!("the body did not arrive within {} s", patience.as_secs_f64());
            return Err(Problem::new(Kind::TooSlow, words));
        }
    };
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn host(request: &Request) -> Option<&str> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| request.uri().authority().map(Authority::as_str))
}

fn is_changing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a page of another site had a browser ask. What is no browser sends neither of the two headers, and a page
/// cannot leave them out.
fn is_from_elsewhere(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    !matches!((authority, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}

/// Bodies are of kinds that no form of another site can send.
fn wrong_media_type(request: &Request) -> Option<Problem> {
    if request.body().is_end_stream() {
        return None;
    }
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
    let given = given.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let allowed: &[&str] = match request.uri().path() {
        LOG_IN => &["application/x-www-form-urlencoded"],
        _ => &["application/json", "application/yaml", "text/yaml"],
    };
    (!allowed.contains(&given.as_str())).then(|| {
        let words = format!("the body is `{given}`; send {}", allowed.join(" or "));
        Problem::new(Kind::MediaType, words)
    })
}

/// The name of a `Host` header, without port.
fn name_of(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// Whether a `Host` header names a loopback address, `localhost` or the address we were asked at.
fn means_this_machine(host: &str, at: IpAddr) -> bool {
    let Some(name) = name_of(host) else { return false };
    match name.parse::<IpAddr>() {
        Ok(address) => {
            let (address, at) = (address.to_canonical(), at.to_canonical());
            address.is_loopback() || (address == at && !at.is_unspecified())
        }
        Err(_) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for (host, bound, answered) in [
            ("localhost", "127.0.0.1", true),
            ("LOCALHOST:7700", "127.0.0.1", true),
            ("localhost.:7700", "127.0.0.1", true),
            ("plimsoll.localhost:7700", "127.0.0.1", true),
            ("127.0.0.1:7700", "127.0.0.1", true),
            ("127.9.9.9", "127.0.0.1", true),
            ("[::1]:7700", "::1", true),
            ("192.168.1.5:7700", "192.168.1.5", true),
            ("192.168.1.5:7700", "::ffff:192.168.1.5", true),
            ("192.168.1.5:7700", "127.0.0.1", false),
            ("0.0.0.0:7700", "0.0.0.0", false),
            ("evil.example:7700", "127.0.0.1", false),
            ("localhost.evil.example", "127.0.0.1", false),
            ("127.0.0.1.evil.example", "127.0.0.1", false),
            ("evil@127.0.0.1", "127.0.0.1", false),
            ("localhost@evil.example", "127.0.0.1", false),
            ("", "127.0.0.1", false),
            ("a b", "127.0.0.1", false),
        ] {
            assert_eq!(means_this_machine(host, bound.parse().unwrap()), answered, "{host} at {bound}");
        }
    }

    #[test]
    fn a_configured_name_is_ours_whatever_its_port_and_case() {
        let access = Access { hosts: vec!["plimsoll.example.org".to_owned()], ..Access::default() };
        let guard = Guard::new(Arc::new(access), "10.0.0.1:7700".parse().unwrap());
        for (host, ours) in [
            ("plimsoll.example.org", true),
            ("PLIMSOLL.example.org:443", true),
            ("plimsoll.example.org.", true),
            ("x.plimsoll.example.org", false),
            ("plimsoll.example.org.evil", false),
            ("plimsoll.example.org@evil", false),
            ("10.0.0.1:7700", true),
        ] {
            assert_eq!(guard.is_ours(host, None), ours, "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_told_from_ours_and_from_a_script() {
        for (site, origin, elsewhere) in [
            (None, None, false),
            (Some("same-origin"), Some("http://localhost:7700"), false),
            (Some("none"), None, false),
            (Some("cross-site"), None, true),
            (Some("same-site"), Some("http://localhost:7700"), true),
            (Some("nonsense"), None, true),
            (None, Some("http://localhost:7700"), false),
            (None, Some("https://LOCALHOST:7700"), false),
            (None, Some("http://localhost:7701"), true),
            (None, Some("http://evil.example"), true),
            (None, Some("null"), true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_from_elsewhere(&headers, Some("localhost:7700")), elsewhere, "{site:?} {origin:?}");
        }
    }
}
