//! What every answer has to pass: asked under a name that means this machine, and sent with headers
//! that let a page do no more than ours needs.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// Answers that tell nothing of any run: probes may ask under whatever name they use.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// It names plans and their limits. Whoever listens beyond this machine wants it scraped from there, under
/// whatever name; who does not has scrapers that know this machine by its own.
const METRICS: &str = "/metrics";

/// Our pages load their own files and nothing else.
const PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A report is one file: its own style and script are allowed by their hash.
static REPORT: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(plimsoll_report::SCRIPT),
        hash(plimsoll_report::STYLE),
    );
    HeaderValue::from_str(&policy).ok()
});

/// The policy of a report.
pub(crate) fn report_policy() -> Option<HeaderValue> {
    REPORT.clone()
}

/// Refuses what was asked under a foreign name, and adds the headers.
///
/// A foreign site can make its own name resolve to this address and would then be same-origin with
/// us in the eyes of a browser. The name it asks under gives it away.
pub(crate) async fn guard(State(addr): State<SocketAddr>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = OPEN.contains(&path) || (path == METRICS && !addr.ip().is_loopback());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let mut response = if open || host.is_some_and(|host| means_this_machine(host, addr.ip())) {
        next.run(request).await
    } else {
        let advice = "asked under a name that does not mean this machine; use localhost or the address";
        Problem::new(Kind::WrongHost, advice).into_response()
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
    response
}

/// Whether a `Host` header names a loopback address, `localhost` or the address we listen at.
fn means_this_machine(host: &str, bound: IpAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || (address == bound && !bound.is_unspecified()),
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
}
