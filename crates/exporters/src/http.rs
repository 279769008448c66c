//! One request to a server and its answer, the same for all sinks of HTTP.

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_run::Secret;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Url};

use crate::{Answer, SinkError};

/// From sending a request to the end of its answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Opening a connection.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How much of an answer's body is read.
pub(crate) const BODY_BYTES: usize = 1 << 20;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// At most the first mebibyte, as text.
    pub(crate) body: String,
}

impl Reply {
    /// What the server says in `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok())
    }
}

/// A client that sends these headers with each request.
pub(crate) fn client(sink: &'static str, headers: HeaderMap) -> Result<Client, SinkError> {
    Client::builder()
        .default_headers(headers)
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        // Credentials go where the plan says and nowhere else.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .build()
        .map_err(|error| {
            SinkError::new(sink, format!("cannot set up a client: {}", chain(&error.without_url())))
        })
}

/// A URL of HTTP with a host.
pub(crate) fn url(sink: &'static str, text: &str) -> Result<Url, SinkError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
        .ok_or_else(|| SinkError::new(sink, "the URL is not an http or https URL with a host"))
}

/// A header that holds a secret.
///
/// # Errors
/// When the secret holds what no header may hold; the secret is not told.
pub(crate) fn secret_header(sink: &'static str, what: &str, value: &str) -> Result<HeaderValue, SinkError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SinkError::new(sink, format!("{what} holds characters that no HTTP header may hold")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value of `Authorization` for a user and a password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A URL without the user and password it may hold: where something goes is told, who sends it is not.
pub(crate) fn without_userinfo(url: &Url) -> Url {
    let mut url = url.clone();
    // A URL without a host cannot have any, and those of sinks have one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Bytes as the body of a request with `Content-Encoding: gzip`.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// A text without secrets: a server may quote what it was sent.
pub(crate) fn without<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let secrets = secrets.into_iter().map(Secret::expose).filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// An answer as it came, the body not read as text.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// At most the first mebibyte.
    pub(crate) body: Vec<u8>,
}

impl RawReply {
    pub(crate) fn into_text(self) -> Reply {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        Reply { status: self.status, headers: self.headers, body }
    }

    /// What the server says in `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok())
    }
}

/// Posts a body, to be answered in text.
///
/// # Errors
/// What it means that there was no answer.
pub(crate) async fn post(
    client: &Client,
    url: &Url,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Reply, Answer> {
    post_raw(client, url, headers, body).await.map(RawReply::into_text)
}

/// Posts a body.
///
/// # Errors
/// What it means that there was no answer.
pub(crate) async fn post_raw(
    client: &Client,
    url: &Url,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<RawReply, Answer> {
    send(client.post(url.clone()).headers(headers).body(body)).await
}

/// Sends a request.
///
/// # Errors
/// What it means that there was no answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<RawReply, Answer> {
    let sent = request.send().await;
    let mut response =
        sent.map_err(|error| Answer::without(error.is_timeout(), &chain(&error.without_url())))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while body.len() < BODY_BYTES {
        match response.chunk().await {
            Ok(Some(more)) => body.extend_from_slice(&more),
            Ok(None) => break,
            // What became of each point may stand in what is missing.
            Err(error) if (200..=299).contains(&status) => {
                return Err(Answer::broken_off(error.is_timeout(), &chain(&error.without_url())));
            }
            // A refusal that breaks off still says why, as far as it came.
            Err(_) => break,
        }
    }
    body.truncate(BODY_BYTES);
    Ok(RawReply { status, headers, body })
}

/// An error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
