use std::sync::Arc;

use plimsoll_run::{ResourceEndpoint, TlsSettings};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};

use super::figures::{Figure, of_metrics};

/// A larger answer is no page of metrics; reading it would take what the load needs.
const LARGEST_ANSWER: usize = 8 << 20;
/// Only the text format is understood.
const ACCEPTED: HeaderValue = HeaderValue::from_static("text/plain;version=0.0.4,text/plain;q=0.5,*/*;q=0.1");

/// An endpoint in Prometheus' text format.
pub(super) struct Endpoint {
    /// Or why there can be no question.
    ready: Result<(Client, Url), String>,
    metrics: Vec<String>,
}

impl Endpoint {
    /// `target` is what load goes to: `tls.server_name` is the name of its host, and of no other.
    pub(super) fn new(endpoint: &ResourceEndpoint, tls: &TlsSettings, target: &str) -> Self {
        Self { ready: ready(endpoint, tls, target, ACCEPTED), metrics: endpoint.metrics.clone() }
    }

    pub(super) async fn look(&self) -> Result<Vec<Figure>, String> {
        let (client, url) = self.ready.as_ref().map_err(Clone::clone)?;
        let unreached = |error: reqwest::Error| chain(&error.without_url());
        let mut response = client.get(url.clone()).send().await.map_err(unreached)?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(more) = response.chunk().await.map_err(unreached)? {
            if body.len() + more.len() > LARGEST_ANSWER {
                return Err(format!("an answer of more than {} MiB", LARGEST_ANSWER >> 20));
            }
            body.extend_from_slice(&more);
        }
        let text = str::from_utf8(&body).map_err(|_| "the answer is not text".to_owned())?;
        of_metrics(text, &self.metrics).map_err(|malformed| malformed.to_string())
    }
}

/// What to ask an endpoint with, or why it cannot be asked, in words without secrets.
pub(crate) fn ready(
    endpoint: &ResourceEndpoint,
    tls: &TlsSettings,
    target: &str,
    accepted: HeaderValue,
) -> Result<(Client, Url), String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, accepted);
    for (name, value) in &endpoint.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header cannot be sent")?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("the value of `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut url = Url::parse(endpoint.url.expose()).map_err(|_| "not a URL".to_owned())?;
    // Credentials go where the plan says and nowhere else.
    let mut client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if url.scheme() == "https" {
        let config = plimsoll_driver::client_config(tls).map_err(|error| error.to_string())?;
        client = client.tls_backend_preconfigured(config);
        let is_target = Url::parse(target).is_ok_and(|target| target.host() == url.host());
        if let Some(name) = tls.server_name.as_deref().filter(|_| is_target) {
            let place = Place::of(&url).ok_or("a URL without a host")?;
            let host = HeaderValue::from_str(url.authority()).map_err(|_| "its host cannot be sent")?;
            headers.entry(HOST).or_insert(host);
            url.set_host(Some(name)).map_err(|_| "`tls.server_name` is no name of a host")?;
            if url.domain().is_none() {
                return Err("`tls.server_name` is an address".to_owned());
            }
            client = client.dns_resolver(Arc::new(place));
        }
    }
    let client = client.default_headers(headers).build().map_err(|error| chain(&error.without_url()))?;
    Ok((client, url))
}

/// Where a host is, whatever it is called in TLS.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    port: u16,
}

impl Place {
    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }
}

impl Resolve for Place {
    fn resolve(&self, _: Name) -> Resolving {
        let Self { host, port } = self.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
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
