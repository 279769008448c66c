//! Prometheus' Pushgateway: it reads text as Prometheus' own parser for Go does, and refuses what breaks a rule.

use anyhow::ensure;

use crate::process::Process;
use crate::{Program, http_client};

/// A running Pushgateway.
#[derive(Debug)]
pub struct Pushgateway {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

impl Pushgateway {
    /// Starts one and waits until it is ready.
    pub async fn start() -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::PUSHGATEWAY,
            |_, [port]: [u16; 1]| Ok(vec![format!("--web.listen-address=127.0.0.1:{port}").into()]),
            async |[port]| {
                client.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, client, port })
    }

    /// `host:port`, where it exposes what was pushed.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes a text for a job in place of what the job pushed before.
    ///
    /// # Errors
    /// When it refuses the text; the message is its own.
    pub async fn push(&self, job: &str, text: Vec<u8>) -> anyhow::Result<()> {
        let url = format!("http://{}/metrics/job/{job}", self.address());
        let answer = self.client.put(url).body(text).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "the pushgateway says {status}: {}", answer.text().await?);
        Ok(())
    }
}
