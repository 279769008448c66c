//! Series that a Prometheus stored, asked for over its HTTP API.

use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;

/// Prometheus gives no more than 11,000 points of a series at once.
const STEPS_AT_ONCE: usize = 10_000;

/// The most steps that are asked for in all: a day of seconds.
const MOST_STEPS: usize = 100_000;

/// The most bytes of one answer: 10,000 points of one series take a fiftieth of it.
const MOST_BYTES: usize = 32 << 20;

/// Prometheus itself gives up on a query after two minutes.
const ANSWER_WITHIN: Duration = Duration::from_secs(130);

/// How many series are named in an error.
const NAMED: usize = 3;

/// Which moments are asked for: `from`, `from + step`, ... up to `to`, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    pub(super) from: f64,
    pub(super) step: f64,
    pub(super) count: usize,
}

impl Moments {
    /// The moments of a time, a step apart: multiples of the step, which some servers would make of them anyway.
    pub(super) fn between(from: f64, to: f64, step: f64) -> anyhow::Result<Self> {
        ensure!(from < to, "--from must be before --to");
        ensure!(step >= 0.001, "--step must be a millisecond or more");
        let from = (from / step).ceil() * step;
        let count = ((to - from).max(0.0) / step + 1e-6).floor() + 1.0;
        ensure!(
            count <= MOST_STEPS as f64,
            "{count} steps are more than {MOST_STEPS}: ask for less time, or a longer --step"
        );
        Ok(Self { from, step, count: count as usize })
    }

    pub(super) fn at(&self, index: usize) -> f64 {
        self.from + index as f64 * self.step
    }

    /// Which of the moments a time is; `None` when it is none of them.
    fn index(&self, time: f64) -> Option<usize> {
        let index = ((time - self.from) / self.step).round();
        let near = (time - self.from - index * self.step).abs() < self.step / 4.0 + 0.001;
        (index >= 0.0 && index < self.count as f64 && near).then_some(index as usize)
    }
}

/// A Prometheus, or whatever answers its queries (Mimir, Thanos, VictoriaMetrics).
#[derive(Debug)]
pub(super) struct Prometheus {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl Prometheus {
    /// One at a URL such as `http://127.0.0.1:9090`; user and password may be part of it.
    pub(super) fn at(url: &str) -> anyhow::Result<Self> {
        let not_one = || anyhow!("--prometheus: write an http or https URL, like http://127.0.0.1:9090");
        let mut url = reqwest::Url::parse(url).map_err(|_| not_one())?;
        ensure!(matches!(url.scheme(), "http" | "https") && url.has_host(), not_one());
        let path = format!("{}/api/v1/query_range", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let client = reqwest::Client::builder()
            // What is in the URL goes there and nowhere else.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(ANSWER_WITHIN)
            .build()
            .context("cannot set up a client for Prometheus")?;
        Ok(Self { client, url })
    }

    /// The values of the one series of a query at each moment; `None` where it has none.
    pub(super) async fn values(&self, query: &str, moments: Moments) -> anyhow::Result<Vec<Option<f64>>> {
        let mut values = vec![None; moments.count];
        for first in (0..moments.count).step_by(STEPS_AT_ONCE) {
            let last = (first + STEPS_AT_ONCE - 1).min(moments.count - 1);
            let told = || format!("Prometheus, query `{query}`");
            let body = self
                .ask(query, moments.at(first), moments.at(last), moments.step)
                .await
                .with_context(told)?;
            for (time, value) in points(&body).with_context(told)? {
                if let Some(index) = moments.index(time) {
                    values[index] = Some(value);
                }
            }
        }
        ensure!(
            values.iter().any(Option::is_some),
            "Prometheus, query `{query}`: it has no values between --from and --to; are the names and labels right?"
        );
        Ok(values)
    }

    async fn ask(&self, query: &str, from: f64, to: f64, step: f64) -> anyhow::Result<Vec<u8>> {
        let mut url = self.url.clone();
        let number = |value: f64| format!("{value:.3}");
        url.query_pairs_mut()
            .append_pair("query", query)
            .append_pair("start", &number(from))
            .append_pair("end", &number(to))
            .append_pair("step", &number(step));
        let answer = self.client.get(url).send().await;
        // The URL may hold a password.
        let mut answer = answer.map_err(reqwest::Error::without_url).context("it cannot be reached")?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(reqwest::Error::without_url).context("its answer broke off")?
        {
            body.extend_from_slice(&chunk);
            ensure!(body.len() <= MOST_BYTES, "its answer is longer than {MOST_BYTES} bytes");
        }
        // A refused query comes with its reason; what else answers so is no Prometheus.
        if !status.is_success() && serde_json::from_slice::<Answer>(&body).is_err() {
            bail!("it answered {status}; is there a Prometheus at this URL?");
        }
        Ok(body)
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    metric: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// (seconds since 1970, value) of the one series in an answer; values that are no numbers left out. No series is no
/// points.
fn points(body: &[u8]) -> anyhow::Result<Vec<(f64, f64)>> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| anyhow!("its answer is not that of a Prometheus"))?;
    if answer.status != "success" {
        bail!("it said: {}", if answer.error.is_empty() { "nothing" } else { &answer.error });
    }
    let data = answer.data.context("its answer has no data")?;
    ensure!(
        data.kind == "matrix",
        "it gives a {}; a series over time is needed: leave the range `[...]` to rate() or increase()",
        data.kind
    );
    let mut found: Vec<Found> = serde_json::from_value(data.result).context("its series cannot be read")?;
    if found.len() > 1 {
        let labels = found.iter().take(NAMED).map(|series| {
            let labels = series.metric.iter().map(|(name, value)| format!("{name}={value:?}"));
            format!("{{{}}}", labels.collect::<Vec<_>>().join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join(", ");
        bail!(
            "it gives {} series ({labels}); one is needed: wrap it in sum(...), or choose labels",
            found.len()
        );
    }
    let values = found.pop().map(|found| found.values).unwrap_or_default();
    let number = |(time, text): (f64, String)| {
        Some((time, text.parse::<f64>().ok().filter(|value| value.is_finite())?))
    };
    Ok(values.into_iter().filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read() {
        let one = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[1.5,"2"],[2.5,"NaN"],[3.5,"+Inf"],[4.5,"1e3"]]}]}}"#;
        assert_eq!(points(one).unwrap(), [(1.5, 2.0), (4.5, 1000.0)]);
        let none = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert_eq!(points(none).unwrap(), []);
    }

    #[test]
    fn errors_say_what_to_do() {
        for (body, expected) in [
            (&b"<html>"[..], "its answer is not that of a Prometheus"),
            (
                br#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}"#,
                "it said: 1:5: parse error: unexpected end of input",
            ),
            (
                br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[]},{"metric":{"job":"b"},"values":[]}]}}"#,
                "it gives 2 series ({job=\"a\"}, {job=\"b\"}); one is needed: wrap it in sum(...), or choose labels",
            ),
            (
                br#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#,
                "it gives a string; a series over time is needed: leave the range `[...]` to rate() or increase()",
            ),
        ] {
            assert_eq!(points(body).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn moments_are_bounded_and_found_again() {
        let moments = Moments::between(100.0, 165.0, 15.0).unwrap();
        assert_eq!((moments.count, moments.at(0), moments.at(4)), (5, 105.0, 165.0));
        assert_eq!(moments.index(135.0005), Some(2));
        for time in [90.0, 112.5, 180.0, f64::NAN] {
            assert_eq!(moments.index(time), None, "{time}");
        }
        assert!(Moments::between(160.0, 100.0, 15.0).is_err());
        assert!(Moments::between(0.0, 1e9, 1.0).is_err());
        assert!(Moments::between(0.0, 1.0, 0.0).is_err());
    }

    #[test]
    fn only_urls_of_http_are_taken() {
        for url in ["", "localhost:9090", "ftp://host", "/tmp/a"] {
            assert!(Prometheus::at(url).is_err(), "{url}");
        }
        let below = Prometheus::at("https://user:secret@host/prometheus/").unwrap();
        assert_eq!(below.url.path(), "/prometheus/api/v1/query_range");
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = points(&body);
        }
    }
}
