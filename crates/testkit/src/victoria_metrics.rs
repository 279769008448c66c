//! VictoriaMetrics: an independent reader of the InfluxDB version 2 write API and of remote writes.
//!
//! It is lenient: a malformed line is answered 204 and skipped, and token and bucket are not
//! looked at. What it stored has to be read back to know anything; refusals are tested against
//! [`InfluxDb`](crate::InfluxDb).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::process::Process;
use crate::{Program, Series, http_client, wait_for};

/// A running VictoriaMetrics.
#[derive(Debug)]
pub struct VictoriaMetrics {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

impl VictoriaMetrics {
    /// Starts one and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::VICTORIA_METRICS,
            |_, [port]: [u16; 1]| {
                Ok([
                    "-storageDataPath=data".to_owned(),
                    format!("-httpListenAddr=127.0.0.1:{port}"),
                    "-retentionPeriod=1".to_owned(),
                    "-search.latencyOffset=0s".to_owned(),
                ]
                .map(Into::into)
                .to_vec())
            },
            async |[port]| {
                client.get(format!("http://127.0.0.1:{port}/health")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, client, port })
    }

    /// `http://127.0.0.1:PORT`: an InfluxDB version 2 client writes to it as it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where a Prometheus remote write goes.
    pub fn remote_write_url(&self) -> String {
        format!("{}/api/v1/write", self.url())
    }

    /// Asks for `selector` until `enough` says yes to the answer, and returns it: a new series is
    /// not seen before its index is written, some tenths of a second after the points.
    pub async fn wait_for(
        &self,
        selector: &str,
        enough: impl Fn(&[Series]) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Vec<Series>> {
        wait_for(deadline, selector, async || {
            let found = self.export(selector).await?;
            if enough(&found) { Ok(found) } else { bail!("last answer: {found:?}") }
        })
        .await
    }

    /// Every point seen so far of the series that `selector` matches (`measurement_field{tag="x"}`).
    pub async fn export(&self, selector: &str) -> anyhow::Result<Vec<Series>> {
        // Points wait in memory for a moment before queries see them.
        self.client.get(format!("{}/internal/force_flush", self.url())).send().await?.error_for_status()?;
        let url = format!("{}/api/v1/export", self.url());
        let url = reqwest::Url::parse_with_params(&url, [("match[]", selector)])?;
        let lines = self.client.get(url).send().await?.error_for_status()?.text().await?;
        lines.lines().map(exported_series).collect()
    }
}

/// One line of an export: labels, values and Unix milliseconds side by side.
fn exported_series(line: &str) -> anyhow::Result<Series> {
    let line: Value = serde_json::from_str(line)?;
    let labels = line["metric"].as_object().context("a series has labels")?;
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let numbers = |name: &str| -> anyhow::Result<Vec<f64>> {
        let list = line[name].as_array().with_context(|| format!("a series has {name}"))?;
        // The end of a series is written as null.
        let number = |number: &Value| if number.is_null() { Some(f64::NAN) } else { number.as_f64() };
        list.iter().map(|value| number(value).context("not a number")).collect()
    };
    let seconds = numbers("timestamps")?.into_iter().map(|milliseconds| milliseconds / 1000.0);
    Ok(Series { labels, points: seconds.zip(numbers("values")?).collect(), histograms: Vec::new() })
}
