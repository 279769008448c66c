//! Who may ask for what: tokens, a proxy that says who somebody is, or, on loopback alone, nobody asks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use plimsoll_history::{AuditEntry, Ceilings, Scope};
use plimsoll_run::{Subnet, Targets};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};
use crate::routes::App;
use crate::tokens::Standing;

/// The cookie of a browser that has logged in.
pub(crate) const COOKIE: &str = "plimsoll_token";

/// What a token begins with, so that those who look for secrets in texts find it.
pub const TOKEN_PREFIX: &str = "plimsoll_";

/// Who may ask, how they reach the service, and what they may reach through it.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// How somebody shows who they are.
    pub auth: Auth,
    /// What protects the way.
    pub tls: Tls,
    /// Names it answers under beside `localhost` and its address.
    pub hosts: Vec<String>,
    /// Whether `/metrics` may be read by anybody.
    pub open_metrics: bool,
    /// How much somebody may ask.
    pub limits: Limits,
    /// Where runs may be sent that are started through the service.
    pub targets: Targets,
}

/// How somebody shows who they are.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Not at all: everybody may everything. On loopback only.
    #[default]
    Off,
    /// By a token.
    Tokens,
    /// By a token, or by what a proxy says.
    Proxy(Proxy),
}

/// A reverse proxy that people log in at.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The header in which it says who somebody is.
    pub header: HeaderName,
    /// Where it is asked from: from elsewhere the header counts for nothing.
    pub from: Vec<Subnet>,
    /// What everybody may whom it lets through.
    pub scope: Scope,
}

/// What protects the way to the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tls {
    /// Nothing was said: as good as none, on loopback only.
    #[default]
    Unsaid,
    /// None, and somebody said so.
    Off,
    /// Certificate and key, each a PEM file; read anew when they change.
    Files {
        /// The chain of certificates.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

/// How much somebody may ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests per second of one client. Twice as many may come at once.
    pub requests: f64,
    /// Bytes of a body.
    pub body: usize,
    /// Connections at a time, of all clients.
    pub connections: usize,
    /// Streams of events at a time, of all clients.
    pub listeners: usize,
    /// How slow a client may be.
    pub patience: Patience,
}

/// How slow a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long the head of a request may take, and how long a connection may be idle before the next.
    pub head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { head: seconds(20), body: seconds(15), stall: seconds(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 200.0,
            body: 1 << 20,
            connections: 512,
            listeners: 64,
            patience: Patience::default(),
        }
    }
}

/// Why a service does not start with this access.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Whoever reached it could do everything.
    #[error(
        "{listen} is not loopback, and nobody would be asked who they are; say `auth: tokens` and make one with \
         `plimsoll token create NAME --scope admin`, or `auth: {{ proxy: ... }}`, or listen at 127.0.0.1"
    )]
    NoAuth {
        /// The address.
        listen: SocketAddr,
    },
    /// Tokens would be read along.
    #[error(
        "{listen} is not loopback, and tokens would be readable on the way; say `tls: {{ cert: FILE, key: FILE }}`, \
         or `tls: none` where a proxy or the network protects it"
    )]
    NoTls {
        /// The address.
        listen: SocketAddr,
    },
}

impl Access {
    /// Whether one may listen so.
    ///
    /// # Errors
    /// When others than this machine could ask without saying who they are, or over an open way that nobody chose.
    pub fn check(&self, listen: SocketAddr) -> Result<(), AccessError> {
        if listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        if matches!(self.auth, Auth::Off) {
            return Err(AccessError::NoAuth { listen });
        }
        if self.tls == Tls::Unsaid {
            return Err(AccessError::NoTls { listen });
        }
        Ok(())
    }

    /// Whether a connection comes from the proxy that is trusted.
    pub(crate) fn is_from_proxy(&self, remote: IpAddr) -> bool {
        matches!(&self.auth, Auth::Proxy(proxy) if proxy.from.iter().any(|from| from.has(remote)))
    }
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) known_by: KnownBy,
    pub(crate) scope: Scope,
    pub(crate) ceilings: Ceilings,
}

/// How it is known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// It is not: the service listens on loopback and asks nobody.
    Local,
    Token,
    Proxy,
}

impl KnownBy {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Proxy => "proxy",
        }
    }
}

/// A route's guard: whether it is open, and if not, for whom.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) scope: Option<Scope>,
    /// Whether people look at it, who are sent to the log-in.
    pub(crate) is_page: bool,
    pub(crate) is_metrics: bool,
}

/// Lets through who may, and tells the handler who it is.
pub(crate) async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(needed) = gate.scope.filter(|_| !(gate.is_metrics && gate.app.access.open_metrics)) else {
        return next.run(request).await;
    };
    let found = caller(&gate.app, request.headers(), request.extensions().get().copied()).await;
    match found {
        Ok(caller) if caller.scope >= needed => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(caller) => {
            let words = format!(
                "this needs the scope `{}`, and {} has `{}`",
                needed.label(),
                caller.name,
                caller.scope.label()
            );
            Problem::new(Kind::Forbidden, words).into_response()
        }
        Err(Refused::Unknown(_)) if gate.is_page && request.method() == Method::GET => to_log_in(&request),
        Err(Refused::Unknown(detail)) => Problem::new(Kind::Unauthenticated, detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"plimsoll\""))
            .into_response(),
        Err(Refused::Unreadable(problem)) => problem.into_response(),
    }
}

/// Sends people to the log-in. A browser that follows a link of another site leaves the cookie at home though it has
/// one: it is told to ask again by itself, and then brings it.
fn to_log_in(request: &Request) -> Response {
    let is_link = request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if is_link && !request.headers().contains_key(header::COOKIE) {
        return (
            [(header::REFRESH, "0"), (header::CONTENT_TYPE, "text/html; charset=utf-8")],
            "<!doctype html>",
        )
            .into_response();
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response()
}

/// Why it is not known who asks.
#[derive(Debug)]
pub(crate) enum Refused {
    Unknown(&'static str),
    Unreadable(Problem),
}

/// Who asks. Only the answer to whoever holds a token says more of it than that it is not good.
pub(crate) async fn caller(app: &App, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, Refused> {
    if matches!(app.access.auth, Auth::Off) {
        return Ok(Caller {
            name: "local".to_owned(),
            known_by: KnownBy::Local,
            scope: Scope::Admin,
            ceilings: Ceilings::default(),
        });
    }
    if let Some(token) = bearer(headers)? {
        return of_token(app, token).await;
    }
    if let (Auth::Proxy(proxy), Some(peer)) = (&app.access.auth, peer)
        && app.access.is_from_proxy(peer.remote.ip())
        && let Some(name) = said_once(headers, &proxy.header)
    {
        return Ok(Caller {
            name: name.to_owned(),
            known_by: KnownBy::Proxy,
            scope: proxy.scope,
            ceilings: Ceilings::default(),
        });
    }
    match cookie(headers) {
        Some(token) => of_token(app, token).await,
        None => Err(Refused::Unknown("there is no token: send `Authorization: Bearer TOKEN`")),
    }
}

/// The token of a request that is no browser's.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let wrong = Refused::Unknown("`Authorization` is not understood: send `Bearer TOKEN`");
    if given.next().is_some() {
        return Err(wrong);
    }
    let word = value.to_str().ok().and_then(|text| text.split_once(' '));
    match word {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(wrong),
    }
}

/// A header that is there once: which of two would count is a matter of opinion.
fn said_once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    (values.next().is_none() && !value.is_empty() && value.len() <= 256).then_some(value)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whom a token stands for.
pub(crate) async fn of_token(app: &App, token: &str) -> Result<Caller, Refused> {
    let unknown = Refused::Unknown("the token is not known here");
    let Some(id) = token_id(token) else { return Err(unknown) };
    let kept = app.followed.history().token(id).await.map_err(|error| {
        tracing::warn!(%error, "tokens cannot be read");
        Refused::Unreadable(Problem::unavailable("tokens cannot be read at the moment"))
    })?;
    let Some(kept) = kept.filter(|kept| is_same(&kept.hash, &token_hash(token))) else { return Err(unknown) };
    match Standing::of(&kept, now_nanos()) {
        Standing::Revoked => Err(Refused::Unknown("the token was revoked")),
        Standing::Expired => Err(Refused::Unknown("the token has expired")),
        Standing::Good => Ok(Caller {
            name: kept.name,
            known_by: KnownBy::Token,
            scope: kept.scope,
            ceilings: kept.ceilings,
        }),
    }
}

/// The part of a token that is not secret.
fn token_id(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    (!id.is_empty() && !secret.is_empty() && token.len() <= 128).then_some(id)
}

/// What is kept of a token. It is 256 bits of chance, which nobody can try out: a slow hash would protect nothing more.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing =
        one.iter().zip(other).fold(0, |all, (one, other)| std::hint::black_box(all | (one ^ other)));
    differing == 0
}

pub(crate) fn now_nanos() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl App {
    /// Keeps that somebody does something, before it is done: what cannot be kept is not done.
    pub(crate) async fn audit(
        &self,
        caller: &Caller,
        action: &str,
        what: &str,
        details: Value,
    ) -> Result<(), Problem> {
        let entry = AuditEntry {
            at_nanos: now_nanos(),
            who: caller.name.clone(),
            known_by: caller.known_by.label().to_owned(),
            action: action.to_owned(),
            what: what.to_owned(),
            details,
        };
        Ok(self.followed.history().keep_audit(&entry).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_somebody_must_be_known_and_the_way_chosen() {
        let files = Tls::Files { cert: "c".into(), key: "k".into() };
        for (listen, auth, tls, refused) in [
            ("127.0.0.1:1", Auth::Off, Tls::Unsaid, None),
            ("[::1]:1", Auth::Off, Tls::Unsaid, None),
            ("[::ffff:127.0.0.1]:1", Auth::Off, Tls::Unsaid, None),
            ("0.0.0.0:1", Auth::Off, Tls::Off, Some("auth: tokens")),
            ("[::]:1", Auth::Off, files.clone(), Some("auth: tokens")),
            ("10.1.2.3:1", Auth::Tokens, Tls::Unsaid, Some("tls: none")),
            ("10.1.2.3:1", Auth::Tokens, Tls::Off, None),
            ("10.1.2.3:1", Auth::Tokens, files, None),
        ] {
            let access = Access { auth, tls, ..Access::default() };
            let told = access.check(listen.parse().unwrap()).map_err(|error| error.to_string());
            match refused {
                None => assert_eq!(told, Ok(()), "{listen}"),
                Some(word) => assert!(told.is_err_and(|told| told.contains(word)), "{listen}"),
            }
        }
    }

    #[test]
    fn a_token_is_taken_apart_only_where_it_is_one() {
        assert_eq!(token_id("plimsoll_ab12_secret"), Some("ab12"));
        let long = format!("plimsoll_ab12_{}", "x".repeat(200));
        for wrong in ["", "plimsoll_", "plimsoll_ab12", "plimsoll__x", "plimsoll_a_", "other_a_b", &long] {
            assert_eq!(token_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hashes_are_the_same_only_whole() {
        let hash = token_hash("plimsoll_a_b");
        assert!(is_same(&hash, &hash));
        for place in 0..32 {
            let mut other = hash;
            other[place] ^= 1;
            assert!(!is_same(&hash, &other));
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = |lines: &[&'static str]| -> HeaderMap {
            lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
        };
        assert_eq!(cookie(&headers(&["a=b; plimsoll_token=x; c=d"])), Some("x"));
        assert_eq!(cookie(&headers(&["a=b", "plimsoll_token=x"])), Some("x"));
        assert_eq!(cookie(&headers(&["plimsoll_tokens=x", "xplimsoll_token=y"])), None);
    }
}
