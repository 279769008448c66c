//! A Prometheus that scrapes what a test exposes and is asked what it stored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::process::Process;
use crate::{Program, http_client, wait_for};

/// What a [`Prometheus`] scrapes, evaluates and notifies.
#[derive(Debug, Clone)]
pub struct PrometheusSetup {
    pub targets: Vec<ScrapeTarget>,
    /// Between two scrapes and between two evaluations of the rules.
    pub interval: Duration,
    /// Absolute paths of rule files.
    pub rules: Vec<PathBuf>,
    /// `host:port` of an Alertmanager.
    pub alertmanager: Option<String>,
    /// Whether it takes native histograms.
    pub native_histograms: bool,
}

impl Default for PrometheusSetup {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            interval: Duration::from_secs(1),
            rules: Vec::new(),
            alertmanager: None,
            native_histograms: true,
        }
    }
}

/// One scraped `/metrics`.
#[derive(Debug, Clone)]
pub struct ScrapeTarget {
    pub job: String,
    /// `host:port`.
    pub address: String,
}

/// A running Prometheus that takes native histograms, exemplars and remote writes.
#[derive(Debug)]
pub struct Prometheus {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

/// One time series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// Unix seconds and value; one of them for an instant query.
    pub points: Vec<(f64, f64)>,
    /// Unix seconds and native histogram (`count`, `sum`, `buckets`), as Prometheus writes it.
    pub histograms: Vec<(f64, Value)>,
}

impl Series {
    /// The newest value.
    pub fn value(&self) -> Option<f64> {
        self.points.last().map(|(_, value)| *value)
    }

    /// The value of a label, empty when it is absent as in Prometheus itself.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Prometheus {
    /// Starts one and waits until it is ready.
    pub async fn start(setup: PrometheusSetup) -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::PROMETHEUS,
            |folder, [port]: [u16; 1]| {
                // JSON is YAML, and needs no thought about quoting.
                std::fs::write(folder.join("prometheus.yml"), configuration(&setup).to_string())?;
                Ok([
                    "--config.file=prometheus.yml".to_owned(),
                    "--storage.tsdb.path=data".to_owned(),
                    format!("--web.listen-address=127.0.0.1:{port}"),
                    "--web.enable-remote-write-receiver".to_owned(),
                    "--web.enable-lifecycle".to_owned(),
                    "--web.enable-admin-api".to_owned(),
                    format!("--enable-feature={}", features(&setup)),
                ]
                .map(Into::into)
                .to_vec())
            },
            async |[port]| {
                client.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, client, port })
    }

    /// Starts one that scrapes `address` (`host:port`) every second as job `plimsoll`.
    pub async fn scraping(address: &str) -> anyhow::Result<Self> {
        let target = ScrapeTarget { job: "plimsoll".to_owned(), address: address.to_owned() };
        Self::start(PrometheusSetup { targets: vec![target], ..PrometheusSetup::default() }).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where a remote write goes.
    pub fn remote_write_url(&self) -> String {
        format!("{}/api/v1/write", self.url())
    }

    /// Evaluates `expression` now.
    ///
    /// # Errors
    /// When Prometheus cannot be asked or refuses the expression; the message is its own.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Series>> {
        series(&self.api("query", &[("query", expression)]).await?)
    }

    /// Evaluates `expression` from `start` to `end` (Unix seconds) every `step` seconds.
    pub async fn query_range(
        &self,
        expression: &str,
        start: f64,
        end: f64,
        step: f64,
    ) -> anyhow::Result<Vec<Series>> {
        let [start, end, step] = [start, end, step].map(|seconds| seconds.to_string());
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        series(&self.api("query_range", &parameters).await?)
    }

    /// The single value of `expression`, absent when there is no series.
    ///
    /// # Errors
    /// Also when there is more than one series.
    pub async fn value(&self, expression: &str) -> anyhow::Result<Option<f64>> {
        match self.query(expression).await?.as_slice() {
            [] => Ok(None),
            [one] => Ok(one.value()),
            many => bail!("`{expression}` has {} series, not one", many.len()),
        }
    }

    /// Exemplars of `expression` between `start` and `end` (Unix seconds), as Prometheus writes them.
    pub async fn exemplars(&self, expression: &str, start: f64, end: f64) -> anyhow::Result<Value> {
        let [start, end] = [start, end].map(|seconds| seconds.to_string());
        self.api("query_exemplars", &[("query", expression), ("start", &start), ("end", &end)]).await
    }

    /// Parses `expression` and writes it as Prometheus would.
    ///
    /// # Errors
    /// When it does not parse; the message gives the position.
    pub async fn format_query(&self, expression: &str) -> anyhow::Result<String> {
        let formatted = self.api("format_query", &[("query", expression)]).await?;
        Ok(formatted.as_str().context("format_query gives a string")?.to_owned())
    }

    /// Asks `expression` until `enough` says yes to the answer, and returns it.
    pub async fn wait_for(
        &self,
        expression: &str,
        enough: impl Fn(&[Series]) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Vec<Series>> {
        wait_for(deadline, expression, async || {
            let found = self.query(expression).await?;
            if enough(&found) { Ok(found) } else { bail!("last answer: {found:?}") }
        })
        .await
    }

    /// Alerts that are pending or firing, as Prometheus writes them.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let data = self.api("alerts", &[]).await?;
        Ok(data["alerts"].as_array().context("alerts are a list")?.clone())
    }

    /// Scraped targets with `health` and `lastError`, as Prometheus writes them.
    pub async fn targets(&self) -> anyhow::Result<Vec<Value>> {
        let data = self.api("targets", &[("state", "active")]).await?;
        Ok(data["activeTargets"].as_array().context("targets are a list")?.clone())
    }

    async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url()), parameters)?;
        let mut answer: Value = self.client.get(url).send().await?.json().await?;
        if answer["status"] != "success" {
            bail!("prometheus refused {path} {parameters:?}: {}", answer["error"]);
        }
        Ok(answer["data"].take())
    }
}

fn configuration(setup: &PrometheusSetup) -> Value {
    let interval = format!("{}ms", setup.interval.as_millis());
    let jobs: Vec<Value> = setup
        .targets
        .iter()
        .map(|target| json!({ "job_name": target.job, "static_configs": [{ "targets": [target.address] }] }))
        .collect();
    let managers: Vec<Value> = setup
        .alertmanager
        .iter()
        .map(|address| json!({ "static_configs": [{ "targets": [address] }] }))
        .collect();
    json!({
        "global": { "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval },
        "rule_files": setup.rules,
        "scrape_configs": jobs,
        "alerting": { "alertmanagers": managers },
    })
}

/// Reads the `data` of a query's answer; a scalar becomes a series without labels.
fn series(data: &Value) -> anyhow::Result<Vec<Series>> {
    match data["resultType"].as_str() {
        Some("scalar") => {
            let points = vec![point(&data["result"])?];
            Ok(vec![Series { labels: BTreeMap::new(), points, histograms: Vec::new() }])
        }
        Some("vector") => data["result"].as_array().context("no result")?.iter().map(one_series).collect(),
        Some("matrix") => data["result"].as_array().context("no result")?.iter().map(many_points).collect(),
        other => bail!("unknown kind of result: {other:?}"),
    }
}

fn one_series(element: &Value) -> anyhow::Result<Series> {
    let points = element.get("value").map(point).transpose()?.into_iter().collect();
    let histograms = element.get("histogram").map(histogram).transpose()?.into_iter().collect();
    Ok(Series { labels: labels(element)?, points, histograms })
}

fn many_points(element: &Value) -> anyhow::Result<Series> {
    let list = |name: &str| element.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let points = list("values").iter().map(point).collect::<Result<_, _>>()?;
    let histograms = list("histograms").iter().map(histogram).collect::<Result<_, _>>()?;
    Ok(Series { labels: labels(element)?, points, histograms })
}

fn labels(element: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let labels = element["metric"].as_object().context("a series has labels")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(labels.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

fn features(setup: &PrometheusSetup) -> &'static str {
    if setup.native_histograms { "native-histograms,exemplar-storage" } else { "exemplar-storage" }
}

fn point(pair: &Value) -> anyhow::Result<(f64, f64)> {
    let time = pair[0].as_f64().context("a point has a time")?;
    let value = pair[1].as_str().context("a point has a value")?;
    Ok((time, value.parse().with_context(|| format!("not a number: {value}"))?))
}

fn histogram(pair: &Value) -> anyhow::Result<(f64, Value)> {
    Ok((pair[0].as_f64().context("a histogram has a time")?, pair[1].clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_kind_are_read() {
        let vector =
            json!({ "resultType": "vector", "result": [{ "metric": { "a": "b" }, "value": [1.5, "+Inf"] }] });
        let read = series(&vector).unwrap();
        assert_eq!(read[0].label("a"), "b");
        assert_eq!(read[0].points, [(1.5, f64::INFINITY)]);
        let scalar = json!({ "resultType": "scalar", "result": [2, "4"] });
        assert_eq!(series(&scalar).unwrap()[0].value(), Some(4.0));
        let matrix = json!({ "resultType": "matrix", "result": [{ "metric": {}, "histograms": [[1, { "count": "3" }]] }] });
        assert_eq!(series(&matrix).unwrap()[0].histograms, [(1.0, json!({ "count": "3" }))]);
        series(&json!({ "resultType": "string" })).unwrap_err();
    }
}
