//! An Alertmanager that groups and forwards alerts to a test's webhook.

use serde_json::{Value, json};

use crate::process::Process;
use crate::{Program, http_client};

/// A running Alertmanager without gossip.
#[derive(Debug)]
pub struct Alertmanager {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

impl Alertmanager {
    /// Starts one that posts every alert, grouped by name, to `webhook` within a second.
    pub async fn notifying(webhook: &str) -> anyhow::Result<Self> {
        let configuration = json!({
            "route": {
                "receiver": "test", "group_by": ["alertname"],
                "group_wait": "100ms", "group_interval": "1s", "repeat_interval": "1h",
            },
            "receivers": [{ "name": "test", "webhook_configs": [{ "url": webhook, "send_resolved": true }] }],
        });
        Self::start(&configuration.to_string()).await
    }

    /// Starts one with a configuration file of this text.
    pub async fn start(configuration: &str) -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::ALERTMANAGER,
            |folder, [port]: [u16; 1]| {
                std::fs::write(folder.join("alertmanager.yml"), configuration)?;
                Ok([
                    "--config.file=alertmanager.yml".to_owned(),
                    "--storage.path=data".to_owned(),
                    format!("--web.listen-address=127.0.0.1:{port}"),
                    // Empty: no gossip, which would listen on every interface.
                    "--cluster.listen-address=".to_owned(),
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

    /// `host:port`, as Prometheus wants it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The alerts it holds, as it writes them.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer =
            self.client.get(format!("{}/api/v2/alerts", self.url())).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Posts alerts in the form of its API.
    pub async fn post_alerts(&self, alerts: &[Value]) -> anyhow::Result<()> {
        self.client
            .post(format!("{}/api/v2/alerts", self.url()))
            .json(alerts)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }
}
