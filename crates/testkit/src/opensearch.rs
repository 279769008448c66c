//! An emulator of OpenSearch that keeps documents in memory: `osmem-server`.
//!
//! OpenSearch and Elasticsearch themselves are not to be had as packages. It knows templates, mappings and
//! their errors, `_bulk` with a status for each item, data streams and aggregations.

use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::{Program, http_client};

/// A running emulator.
#[derive(Debug)]
pub struct OpenSearch {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

impl OpenSearch {
    /// Starts one and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::OPENSEARCH,
            |_, [port]: [u16; 1]| {
                Ok(["-addr".to_owned(), format!("127.0.0.1:{port}"), "-no-stdin-watch".to_owned()]
                    .map(Into::into)
                    .to_vec())
            },
            async |[port]| {
                let url = format!("http://127.0.0.1:{port}/");
                client.get(url).timeout(Duration::from_secs(2)).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, client, port })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks an index, which sees all that was written before.
    pub async fn search(&self, index: &str, query: &Value) -> anyhow::Result<Value> {
        let index = format!("{}/{index}", self.url());
        self.client.post(format!("{index}/_refresh")).send().await?.error_for_status()?;
        Ok(self
            .client
            .post(format!("{index}/_search"))
            .json(query)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Makes an index with these settings and mappings.
    pub async fn put(&self, index: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}/{index}", self.url());
        self.client.put(url).json(body).send().await?.error_for_status()?;
        Ok(())
    }
}
