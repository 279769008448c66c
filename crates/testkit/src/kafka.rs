//! An emulator of Kafka: the broker of `noida-db`.
//!
//! Kafka itself is not to be had as a package. This one speaks its protocol, and is one broker.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::Program;
use crate::process::Process;

/// A running emulator.
#[derive(Debug)]
pub struct Kafka {
    pub process: Process,
    port: u16,
}

impl Kafka {
    /// Starts one and waits until it listens.
    pub async fn start() -> anyhow::Result<Self> {
        let (process, [port]) = Process::start(
            Program::KAFKA,
            |folder, [port]: [u16; 1]| {
                let data = folder.join("data").display().to_string();
                let port = port.to_string();
                let arguments = ["start", "--data-dir", &data, "--only", "kafka", "--kafka-port", &port];
                Ok(arguments.map(Into::into).to_vec())
            },
            async |[port]| {
                let connecting = TcpStream::connect(("127.0.0.1", port));
                tokio::time::timeout(Duration::from_secs(2), connecting).await??;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, port })
    }

    /// `127.0.0.1:PORT`.
    pub fn broker(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
