//! Asking a Prometheus what it knows of a moment, and reading a page of metrics.
//!
//! Answers come from outside: they are bounded, and whatever is not as it should be is no data, with its reason.
//! No reason says a URL, for it may hold a password.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plimsoll_exposition::prometheus::scrape::samples;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;

use super::growth::Sample;
use super::judge::{Connection, Credentials};
use super::selector::Selector;

/// An answer that takes longer is none: the second is over.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Connections that are kept open to one source.
const KEPT_OPEN: usize = 8;
/// Thousands of series take a hundredth of it.
const LARGEST_ANSWER: usize = 32 << 20;
/// Only the text format is understood.
const TEXT: &str = "text/plain;version=0.0.4,text/plain;q=0.5,*/*;q=0.1";
/// Remarks on a query that do not make its answer less whole.
const REMARK: &str = "PromQL info";

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Whether asking again soon is of no use: the question is at fault.
    pub(super) is_lasting: bool,
}

impl Failure {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_lasting: false }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_lasting: true }
    }
}

/// Somebody who can be asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Asked {
    /// At a URL such as `http://127.0.0.1:9090` of a Prometheus, or that of a page.
    pub(super) fn new(connection: &Connection, is_prometheus: bool) -> Result<Self, String> {
        let mut url =
            Url::parse(connection.url.expose()).map_err(|_| "`url` is no http or https URL".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("`url` is no http or https URL".to_owned());
        }
        if is_prometheus {
            let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let authorization = connection.credentials.as_ref().map(authorization).transpose()?;
        // Credentials go where the file says and nowhere else.
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .pool_max_idle_per_host(KEPT_OPEN)
            .build()
            .map_err(|error| error.without_url().to_string())?;
        Ok(Self { client, url, authorization })
    }

    /// What a query gives as of a second of Unix time.
    pub(super) async fn query(&self, query: &str, at: u64) -> Result<Vec<Sample>, Failure> {
        let timeout = format!("{}s", ANSWER_WITHIN.as_secs());
        let form = [("query", query), ("time", &at.to_string()), ("timeout", &timeout)];
        // As a form: queries may be longer than a URL may be.
        let body = form_encoded(&form);
        let request = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let response = self.send(request).await?;
        let status = response.status();
        let body = body_of(response).await?;
        match vector(&body) {
            // A refused query comes with its reason.
            Ok(Answer::Refused(why)) if status.is_client_error() && status.as_u16() != 429 => {
                Err(Failure::lasting(format!("it said: {why}")))
            }
            Ok(Answer::Refused(why)) => Err(Failure::passing(format!("it said: {why}"))),
            Ok(Answer::Samples(samples)) if status.is_success() => Ok(samples),
            Err(why) if status.is_success() => Err(why),
            _ if status.is_client_error() && status.as_u16() != 429 && status.as_u16() != 408 => {
                Err(Failure::lasting(format!("it answered {}", status.as_u16())))
            }
            _ => Err(Failure::passing(format!("it answered {}", status.as_u16()))),
        }
    }

    /// The page as it is now.
    pub(super) async fn page(&self) -> Result<String, Failure> {
        let response = self.send(self.client.get(self.url.clone()).header(ACCEPT, TEXT)).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::passing(format!("it answered {}", status.as_u16())));
        }
        String::from_utf8(body_of(response).await?).map_err(|_| Failure::passing("its answer is not text"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let request = match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        };
        request.send().await.map_err(unreached)
    }
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, String> {
    let text = match credentials {
        Credentials::Token(token) => format!("Bearer {}", token.expose()),
        Credentials::Password { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        }
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| "the credentials cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreached(error: reqwest::Error) -> Failure {
    let why = if error.is_timeout() {
        format!("it did not answer within {} s", ANSWER_WITHIN.as_secs())
    } else {
        format!("it cannot be reached: {}", crate::shapes::chain(&error.without_url()))
    };
    Failure::passing(why)
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(more) = response.chunk().await.map_err(unreached)? {
        if body.len() + more.len() > LARGEST_ANSWER {
            return Err(Failure::passing(format!("its answer is longer than {} MiB", LARGEST_ANSWER >> 20)));
        }
        body.extend_from_slice(&more);
    }
    Ok(body)
}

fn form_encoded(pairs: &[(&str, &str)]) -> String {
    // A URL's query has the same form.
    let parsed = Url::parse_with_params("http://localhost/", pairs);
    parsed.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Samples(Vec<Sample>),
    Refused(String),
}

/// What is in the answer to a query of one moment.
fn vector(body: &[u8]) -> Result<Answer, Failure> {
    let not_one = || Failure::passing("its answer is not that of a Prometheus");
    let answer: Value = serde_json::from_slice(body).map_err(|_| not_one())?;
    match answer["status"].as_str() {
        Some("success") => {}
        Some("error") => {
            return Ok(Answer::Refused(
                answer["error"].as_str().unwrap_or("nothing").chars().take(300).collect(),
            ));
        }
        _ => return Err(not_one()),
    }
    let warnings = answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(warning) = warnings.into_iter().find(|warning| !warning.starts_with(REMARK)) {
        let warning: String = warning.chars().take(300).collect();
        return Err(Failure::passing(format!("its answer may lack something: {warning}")));
    }
    let (kind, result) = (&answer["data"]["resultType"], &answer["data"]["result"]);
    match kind.as_str() {
        Some("scalar") => Ok(Answer::Samples(vec![(BTreeMap::new(), number(result).ok_or_else(not_one)?)])),
        Some("vector") => {
            let elements = result.as_array().ok_or_else(not_one)?;
            elements.iter().map(sample).collect::<Result<_, _>>().map(Answer::Samples)
        }
        Some(kind @ ("matrix" | "string")) => {
            Err(Failure::lasting(format!("the query gives a {kind}; numbers of one moment are needed")))
        }
        _ => Err(not_one()),
    }
}

fn sample(element: &Value) -> Result<Sample, Failure> {
    if element.get("histogram").is_some() {
        return Err(Failure::lasting("the query gives a histogram; take its count"));
    }
    let wrong = || Failure::passing("a series of its answer cannot be read");
    let labels = element["metric"].as_object().ok_or_else(wrong)?;
    let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let labels = labels.iter().map(label).collect::<Option<_>>().ok_or_else(wrong)?;
    Ok((labels, number(&element["value"]).ok_or_else(wrong)?))
}

/// The number in `[time, "1.5"]`; it may be infinite, or none.
fn number(pair: &Value) -> Option<f64> {
    pair.as_array().filter(|pair| pair.len() == 2)?.last()?.as_str()?.parse().ok()
}

/// The series of a page that are meant.
pub(super) fn selected(page: &str, selector: &Selector) -> Result<Vec<Sample>, Failure> {
    let mut found = Vec::new();
    for sample in samples(page) {
        let sample = sample.map_err(|malformed| Failure::passing(malformed.to_string()))?;
        let is_meant = selector.matches(|label| match label {
            "__name__" => Some(&*sample.name),
            label => sample.label(label),
        });
        if is_meant {
            let own = sample.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            // All series of a page are those of one process.
            let more = [("__name__", &*sample.name), ("instance", "")];
            let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
            found.push((more.into_iter().chain(own).collect(), sample.value));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> crate::slas::selector::Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn answers_are_read_and_what_is_wrong_is_said() {
        let of = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
        let one = of(r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"2"]}]}"#);
        assert_eq!(vector(one.as_bytes()).unwrap(), Answer::Samples(vec![(labels(&[("a", "b")]), 2.0)]));
        let scalar = of(r#"{"resultType":"scalar","result":[1,"7"]}"#);
        assert_eq!(vector(scalar.as_bytes()).unwrap(), Answer::Samples(vec![(labels(&[]), 7.0)]));
        let none = of(r#"{"resultType":"vector","result":[]}"#);
        assert_eq!(vector(none.as_bytes()).unwrap(), Answer::Samples(Vec::new()));
        let refused = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(vector(refused).unwrap(), Answer::Refused("parse error".to_owned()));
        let remarked = r#"{"status":"success","warnings":["PromQL info: might not be a counter"],"data":{"resultType":"vector","result":[]}}"#;
        assert!(vector(remarked.as_bytes()).is_ok());
        for (body, told, is_lasting) in [
            ("<html>".to_owned(), "not that of a Prometheus", false),
            ("{}".to_owned(), "not that of a Prometheus", false),
            (of(r#"{"resultType":"matrix","result":[]}"#), "gives a matrix", true),
            (of(r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#), "gives a histogram", true),
            (of(r#"{"resultType":"vector","result":[{"metric":{},"value":[1]}]}"#), "cannot be read", false),
            (of(r#"{"resultType":"vector","result":7}"#), "not that of a Prometheus", false),
            (r#"{"status":"success","warnings":["a store is away"],"data":{"resultType":"vector","result":[]}}"#.to_owned(), "a store is away", false),
        ] {
            let failure = vector(body.as_bytes()).unwrap_err();
            assert!(failure.why.contains(told), "{body}: {failure:?}");
            assert_eq!(failure.is_lasting, is_lasting, "{body}");
        }
        let odd = of(r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}"#);
        assert!(matches!(vector(odd.as_bytes()), Ok(Answer::Samples(samples)) if samples[0].1.is_nan()));
    }

    #[test]
    fn series_of_a_page_are_selected() {
        let page = "# TYPE a_total counter\na_total{code=\"200\"} 5\na_total{code=\"503\"} 2\nb_total 1\n";
        let values = |selector: &str| {
            let found = selected(page, &Selector::parse(selector).unwrap()).unwrap();
            found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(values("a_total"), [5.0, 2.0]);
        assert_eq!(values("a_total{code!~\"5..\"}"), [5.0]);
        assert_eq!(values("c_total"), Vec::<f64>::new());
        assert!(selected("a 1\n<html>", &Selector::parse("a").unwrap()).is_err());
    }

    #[test]
    fn only_urls_of_http_are_taken() {
        let asked = |url: &str| {
            let connection = Connection { url: plimsoll_run::Secret::new(url), credentials: None };
            Asked::new(&connection, true)
        };
        for url in ["", "localhost:9090", "ftp://host", "/tmp/a"] {
            assert!(asked(url).is_err(), "{url}");
        }
        assert_eq!(asked("https://host/prometheus/").unwrap().url.path(), "/prometheus/api/v1/query");
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            let _ = vector(&body);
            let _ = vector(format!(r#"{{"status":"success","data":{text}}}"#).as_bytes());
            let _ = selected(&text, &Selector::parse("a").unwrap());
        }
    }
}
