use plimsoll_run::ResourceEndpoint;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
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
    pub(super) fn new(endpoint: &ResourceEndpoint) -> Self {
        Self { ready: ready(endpoint), metrics: endpoint.metrics.clone() }
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

fn ready(endpoint: &ResourceEndpoint) -> Result<(Client, Url), String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, ACCEPTED);
    for (name, value) in &endpoint.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header cannot be sent")?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("the value of `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let url = Url::parse(endpoint.url.expose()).map_err(|_| "not a URL".to_owned())?;
    let client = Client::builder()
        .default_headers(headers)
        // Credentials go where the plan says and nowhere else.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| chain(&error.without_url()))?;
    Ok((client, url))
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
