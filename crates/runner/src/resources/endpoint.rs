use std::net::SocketAddr;
use std::sync::Arc;

use plimsoll_run::{PlannedTarget, ResourceEndpoint, RunPlan, Targets, TlsSettings};
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
    pub(super) fn new(endpoint: &ResourceEndpoint, plan: &RunPlan) -> Self {
        Self { ready: ready(endpoint, &Around::of(plan), ACCEPTED), metrics: endpoint.metrics.clone() }
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

/// What of a plan endpoints are asked with.
pub(crate) struct Around<'p> {
    pub(crate) tls: &'p TlsSettings,
    /// What load goes to: `tls.server_name` is the name of its host, and of no other.
    pub(crate) target: &'p str,
    /// All that load goes to.
    pub(crate) targets: &'p [PlannedTarget],
    /// Each of these lists has to allow where hosts of targets lead.
    pub(crate) allowed: &'p [Targets],
}

impl<'p> Around<'p> {
    pub(crate) fn of(plan: &'p RunPlan) -> Self {
        Self {
            tls: &plan.tls,
            target: &plan.target,
            targets: &plan.targets,
            allowed: &plan.http.network.allowed,
        }
    }

    /// The lists that say where the host of an endpoint may lead. Where it is a target's, they are asked of the address
    /// that is used, as they are of the load; other hosts were judged with the plan, where it was sent.
    fn lists(&self, url: &Url) -> &'p [Targets] {
        let is_its = |target: &PlannedTarget| is_same_host(&target.url, url);
        if self.targets.iter().any(is_its) { self.allowed } else { &[] }
    }
}

fn is_same_host(target: &str, url: &Url) -> bool {
    Url::parse(target).is_ok_and(|target| target.host() == url.host())
}

/// What to ask an endpoint with, or why it cannot be asked, in words without secrets.
pub(crate) fn ready(
    endpoint: &ResourceEndpoint,
    around: &Around<'_>,
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
    let place = Place::of(&url, around.lists(&url)).ok_or("a URL without a host")?;
    place.check_address()?;
    // Credentials go where the plan says and nowhere else.
    let mut client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if url.scheme() == "https" {
        let config = plimsoll_driver::client_config(around.tls).map_err(|error| error.to_string())?;
        client = client.tls_backend_preconfigured(config);
        let is_target = is_same_host(around.target, &url);
        if let Some(name) = around.tls.server_name.as_deref().filter(|_| is_target) {
            let host = HeaderValue::from_str(url.authority()).map_err(|_| "its host cannot be sent")?;
            headers.entry(HOST).or_insert(host);
            url.set_host(Some(name)).map_err(|_| "`tls.server_name` is no name of a host")?;
            if url.domain().is_none() {
                return Err("`tls.server_name` is an address".to_owned());
            }
        }
    }
    let client = client.dns_resolver(Arc::new(place)).default_headers(headers);
    let client = client.build().map_err(|error| chain(&error.without_url()))?;
    Ok((client, url))
}

/// Where a host is, whatever it is called in TLS, and which lists say whether it may be there.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    port: u16,
    allowed: Vec<Targets>,
}

impl Place {
    fn of(url: &Url, allowed: &[Targets]) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()?, allowed: allowed.to_vec() })
    }

    /// What is an address already is not looked up.
    fn check_address(&self) -> Result<(), String> {
        match self.host.parse() {
            Ok(address) => self.check(&[SocketAddr::new(address, self.port)]),
            Err(_) => Ok(()),
        }
    }

    fn check(&self, found: &[SocketAddr]) -> Result<(), String> {
        plimsoll_driver::refused(&self.allowed, &self.host, found).map_or(Ok(()), Err)
    }
}

impl Resolve for Place {
    fn resolve(&self, _: Name) -> Resolving {
        let place = self.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((place.host.as_str(), place.port)).await?.collect();
            place.check(&found)?;
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

#[cfg(test)]
mod tests {
    use plimsoll_run::Secret;

    use super::*;

    #[tokio::test]
    async fn a_host_of_the_load_leads_only_where_every_list_lets_it() {
        let target = |host: &str| PlannedTarget { url: format!("http://{host}:8080"), weight: 1 };
        for (url, targets, allowed, refused) in [
            ("http://localhost:1/m", &["localhost"][..], &["127.0.0.0/8,::1/128"][..], false),
            ("http://localhost:1/m", &["localhost"], &["localhost"], false),
            ("http://localhost:1/m", &["localhost"], &["localhost", "10.0.0.0/8"], true),
            ("http://localhost:1/m", &["10.0.0.1", "localhost"], &["10.0.0.0/8"], true),
            ("http://127.0.0.1:1/m", &["127.0.0.1"], &["10.0.0.0/8"], true),
            ("http://[::1]:1/m", &["[::1]"], &["10.0.0.0/8"], true),
            ("http://127.0.0.1:1/m", &["127.0.0.1"], &[], false),
            // It was judged when the plan was sent, and a plan of a file may name it.
            ("http://127.0.0.1:1/m", &["10.0.0.1"], &["10.0.0.0/8"], false),
        ] {
            let endpoint = ResourceEndpoint {
                url: Secret::new(url.to_owned()),
                headers: Vec::new(),
                metrics: Vec::new(),
            };
            let targets: Vec<_> = targets.iter().map(|host| target(host)).collect();
            let allowed: Vec<Targets> = allowed.iter().map(|list| list.parse().unwrap()).collect();
            let around = Around {
                tls: &TlsSettings::default(),
                target: &targets[0].url,
                targets: &targets,
                allowed: &allowed,
            };
            let endpoint = Endpoint { ready: ready(&endpoint, &around, ACCEPTED), metrics: Vec::new() };
            // Nobody listens there: what is let through does not reach anything.
            let reason = endpoint.look().await.unwrap_err();
            let is_refused = reason.contains("is not among the targets that are allowed");
            assert_eq!(is_refused, refused, "{url} of {targets:?} with {allowed:?}: {reason}");
        }
    }
}
