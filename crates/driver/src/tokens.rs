//! OAuth 2.0 client credentials (RFC 6749, section 4.4): one token for all, renewed beside the load.
//!
//! It is fetched before the load starts, and again when four fifths of its life are over. Workers look at one number
//! per request. Where renewing fails it is tried again, less and less often, and requests go on with the token there is:
//! whether that still holds is the target's to say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_run::OAuth2;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use url::Url;

use crate::addresses::{Addresses, Line};
use crate::names::Names;
use crate::tls::Tls;
use crate::transport::Origin;

/// No token is near as long.
const MOST_BYTES: usize = 256 * 1024;

/// How long asking for a token may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first and the longest pause after a failure to renew.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The shortest time between two renewals, whatever the server says of its tokens.
const LEAST_LIFE: Duration = Duration::from_secs(1);

/// The way to the server of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) tls: Tls,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) names: Arc<Names>,
}

/// The token that requests carry.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The value of `authorization`.
    current: Mutex<HeaderValue>,
    version: AtomicU64,
    /// Why it could not be renewed, the first time.
    trouble: Mutex<Option<String>>,
    renewing: Mutex<Option<AbortHandle>>,
}

/// A token and how long it holds, where the server says so.
struct Granted {
    header: HeaderValue,
    life: Option<Duration>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokens {
    /// Fetches a token and goes on renewing it, for as long as somebody has use for it.
    pub(crate) async fn start(settings: OAuth2, way: Way) -> Result<Arc<Self>, String> {
        let granted = fetch(&settings, &way).await?;
        let tokens = Arc::new(Self {
            current: Mutex::new(granted.header),
            version: AtomicU64::new(1),
            trouble: Mutex::default(),
            renewing: Mutex::default(),
        });
        if let Some(life) = granted.life {
            let renewing = tokio::spawn(renew(Arc::downgrade(&tokens), settings, way, life));
            *lock(&tokens.renewing) = Some(renewing.abort_handle());
        }
        Ok(tokens)
    }

    /// Changes with every token.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The token, and its version.
    pub(crate) fn latest(&self) -> (u64, HeaderValue) {
        let current = lock(&self.current);
        (self.version(), current.clone())
    }

    /// Why it could not be renewed, the first time.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    fn replace(&self, header: HeaderValue) {
        let mut current = lock(&self.current);
        *current = header;
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        lock(&self.renewing).take().iter().for_each(AbortHandle::abort);
    }
}

async fn renew(tokens: Weak<Tokens>, settings: OAuth2, way: Way, life: Duration) {
    let mut pause = (life * 4 / 5).max(LEAST_LIFE);
    let mut after_failure = PAUSES.0;
    loop {
        tokio::time::sleep(pause).await;
        let fetched = fetch(&settings, &way).await;
        let Some(tokens) = tokens.upgrade() else { return };
        match fetched {
            Ok(Granted { header, life: renewed }) => {
                tokens.replace(header);
                pause = (renewed.unwrap_or(life) * 4 / 5).max(LEAST_LIFE);
                after_failure = PAUSES.0;
            }
            Err(reason) => {
                let reason = format!("the token of `auth.oauth2` could not be renewed: {reason}");
                lock(&tokens.trouble).get_or_insert(reason);
                pause = after_failure;
                after_failure = (after_failure * 2).min(PAUSES.1);
            }
        }
    }
}

async fn fetch(settings: &OAuth2, way: &Way) -> Result<Granted, String> {
    match tokio::time::timeout(PATIENCE, ask(settings, way)).await {
        Ok(asked) => asked,
        Err(_) => Err(format!("no answer within {}", plimsoll_units::duration::format(PATIENCE))),
    }
}

async fn ask(settings: &OAuth2, way: &Way) -> Result<Granted, String> {
    let url = Url::parse(&settings.token_url).map_err(|error| error.to_string())?;
    let origin = Origin::of(&url).ok_or("it is no http or https URL")?.on_the_way_of(way.addresses.target());
    let request = request(settings, &url, &origin)?;
    let reached = way.addresses.connect(&origin, 0, &way.names).await.map_err(|failure| failure.message)?;
    let (status, body) = match reached.line {
        Line::Tcp(tcp) if origin.tls => {
            let (stream, _) =
                way.tls.handshake(reached.host, tcp).await.map_err(|failure| failure.message)?;
            send(stream, request).await?
        }
        Line::Tcp(tcp) => send(tcp, request).await?,
        Line::Unix(unix) => send(unix, request).await?,
    };
    granted(status, &body)
}

/// The request of RFC 6749, section 4.4.2.
fn request(settings: &OAuth2, url: &Url, origin: &Origin) -> Result<Request<Full<Bytes>>, String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    let own = [("scope", &settings.scope), ("audience", &settings.audience)];
    for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        form.append_pair(name, value);
    }
    let (id, secret) = (settings.client_id.expose(), settings.client_secret.expose());
    let mut builder = Request::post("/");
    if settings.in_body {
        form.append_pair("client_id", id).append_pair("client_secret", secret);
    } else {
        // Coded as in forms before they are joined (RFC 6749, section 2.3.1).
        let coded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        builder = builder.header(AUTHORIZATION, basic(&coded(id), &coded(secret)));
    }
    let host = origin.host_header().ok_or("its host cannot be named")?;
    builder = builder.header(HOST, host).header(ACCEPT, "application/json");
    builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let mut request = builder.body(Full::new(form.finish().into())).map_err(|error| error.to_string())?;
    *request.uri_mut() = match &origin.proxy {
        // Without TLS a proxy wants the whole URL.
        Some(_) if !origin.tls => url.as_str().parse().map_err(|_| "it is no URL to ask a proxy for")?,
        _ => crate::compile::path_and_query(url)?,
    };
    if let Some(authorization) =
        origin.proxy.as_ref().filter(|_| !origin.tls).and_then(|proxy| proxy.authorization.clone())
    {
        request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, authorization);
    }
    Ok(request)
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| told(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        Ok((status, body.map_err(|error| told(&error))?.to_bytes()))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What ended it reaches the exchange too.
        _ = &mut connection => exchange.await,
    }
}

/// What a server granted (RFC 6749, sections 5.1 and 5.2).
fn granted(status: u16, body: &[u8]) -> Result<Granted, String> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    if !(200..300).contains(&status) {
        // The error's own word; what the server writes beside it may be anything.
        let word =
            text("error").filter(|word| word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic()));
        return Err(match word {
            Some(word) => format!("status {status}, `{word}`"),
            None => format!("status {status}"),
        });
    }
    let token = text("access_token").ok_or("the answer has no `access_token`")?;
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        let kind: String = kind.chars().filter(char::is_ascii_graphic).take(32).collect();
        return Err(format!("tokens of the type `{kind}` are not known, only `Bearer`"));
    }
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|_| "the token holds control characters")?;
    header.set_sensitive(true);
    let life = json.get("expires_in").and_then(|life| match life {
        Value::String(text) => text.parse().ok(),
        life => life.as_f64(),
    });
    // Nobody waits for a renewal in ten years.
    let life = life.filter(|life: &f64| *life > 0.0 && *life < 3e8).map(Duration::from_secs_f64);
    Ok(Granted { header, life })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_grants_is_read_and_what_it_refuses_is_told() {
        let read = |status, body: &str| {
            granted(status, body.as_bytes())
                .map(|granted| (granted.header.to_str().unwrap().to_owned(), granted.life))
        };
        let life = Some(Duration::from_secs(60));
        for (body, life) in [
            (r#"{"access_token":"t","token_type":"bearer","expires_in":60}"#, life),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":"60"}"#, life),
            (r#"{"access_token":"t"}"#, None),
            (r#"{"access_token":"t","expires_in":-1}"#, None),
            (r#"{"access_token":"t","expires_in":1e300}"#, None),
        ] {
            assert_eq!(read(200, body), Ok(("Bearer t".to_owned(), life)), "{body}");
        }
        for (status, body, reason) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"the secret is s"}"#,
                "status 401, `invalid_client`",
            ),
            (400, r#"{"error":"a b"}"#, "status 400"),
            (500, "oops", "status 500"),
            (200, "oops", "the answer has no `access_token`"),
            (200, r#"{"access_token":"a\nb"}"#, "the token holds control characters"),
            (
                200,
                r#"{"access_token":"t","token_type":"mac"}"#,
                "tokens of the type `mac` are not known, only `Bearer`",
            ),
        ] {
            assert_eq!(read(status, body), Err(reason.to_owned()), "{body}");
        }
    }
}
