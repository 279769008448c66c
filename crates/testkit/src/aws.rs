//! An emulator of Amazon Web Services: `ministack`, of which CloudWatch is used.
//!
//! It keeps what `PutMetricData` brings, makes statistics and percentiles of it, and looks at the region of a signature
//! but not at the signature. It refuses nothing that CloudWatch refuses.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use crate::process::{Process, Settings};
use crate::{Program, http_client};

/// A running emulator.
#[derive(Debug)]
pub struct Aws {
    pub process: Process,
    client: reqwest::Client,
    port: u16,
}

impl Aws {
    /// Starts one and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let client = http_client()?;
        let (process, [port]) = Process::start(
            Program::AWS,
            |_, [port]: [u16; 1]| {
                let environment = [
                    ("GATEWAY_PORT", port.to_string()),
                    ("BIND_HOST", "127.0.0.1".to_owned()),
                    // It starts no containers, whatever there is on the machine.
                    ("LAMBDA_EXECUTOR", "local".to_owned()),
                    ("DOCKER_HOST", String::new()),
                ];
                let environment = environment.map(|(name, value)| (name, value.into())).to_vec();
                Ok(Settings { environment, ..Settings::default() })
            },
            async |[port]| {
                let url = format!("http://127.0.0.1:{port}/_ministack/health");
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

    /// Asks CloudWatch in a region.
    ///
    /// # Errors
    /// When it does not answer with 200 and JSON.
    pub async fn cloudwatch(&self, region: &str, operation: &str, request: &Value) -> anyhow::Result<Value> {
        let scope = format!("AKID/20260101/{region}/monitoring/aws4_request");
        let reply = self
            .client
            .post(self.url())
            .header(
                "Authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("X-Amz-Target", format!("GraniteServiceVersion20100801.{operation}"))
            .body(request.to_string())
            .send()
            .await?;
        let (status, text) = (reply.status(), reply.text().await?);
        ensure!(status.is_success(), "{operation}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}
