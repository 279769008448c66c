//! tinyproxy: an HTTP proxy that forwards requests and makes tunnels, for those who say who they are.

use crate::Program;
use crate::process::Process;

/// A running tinyproxy.
#[derive(Debug)]
pub struct Tinyproxy {
    pub process: Process,
    port: u16,
}

impl Tinyproxy {
    /// Starts one that serves the user `ann` with the password `sesame`, and makes tunnels to every port.
    pub async fn start() -> anyhow::Result<Self> {
        let (process, [port]) = Process::start(
            Program::TINYPROXY,
            |folder, [port]: [u16; 1]| {
                let file = folder.join("tinyproxy.conf");
                std::fs::write(
                    &file,
                    format!(
                        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nLogLevel Warning\n\
                         Allow 127.0.0.1\nBasicAuth ann sesame\n"
                    ),
                )?;
                Ok(vec!["-d".into(), "-c".into(), file.into_os_string()])
            },
            async |_| Ok(()),
        )
        .await?;
        Ok(Self { process, port })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
