//! caddy: somebody else's HTTP server, with HTTP/2 without TLS, client certificates, codings and a unix socket.

use std::path::PathBuf;

use anyhow::Context;

use crate::process::{Process, Settings};
use crate::{Authority, Program, http_client};

/// A running caddy.
#[derive(Debug)]
pub struct Caddy {
    pub process: Process,
    authority: Authority,
    port: u16,
    tls_port: u16,
}

impl Caddy {
    /// Starts one that answers every path with this text: on a port over HTTP/1.1 and HTTP/2, coded if asked to; on another
    /// over TLS to those who have a certificate of [`authority`](Self::authority); and on a unix socket.
    pub async fn start(body: &str) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let client = http_client()?;
        let (process, [port, tls_port]) = Process::start(
            Program::CADDY,
            |folder, [port, tls_port]: [u16; 2]| {
                authority.issue_into(folder, &["localhost", "127.0.0.1"])?;
                std::fs::create_dir(folder.join("www"))?;
                std::fs::write(folder.join("www/body.txt"), body)?;
                let folder = folder.to_str().context("the temporary folder's name is not text")?;
                let file = format!("{folder}/Caddyfile");
                std::fs::write(&file, configuration(folder, port, tls_port))?;
                let arguments = ["run", "--config", &file, "--adapter", "caddyfile"].map(Into::into).to_vec();
                // It keeps what it was last told in its home.
                let environment =
                    ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, folder.into()));
                Ok(Settings { arguments, environment: environment.to_vec() })
            },
            async |[port, _]| {
                client.get(format!("http://127.0.0.1:{port}/")).send().await?.error_for_status()?;
                Ok(())
            },
        )
        .await?;
        Ok(Self { process, authority, port, tls_port })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `https://localhost:PORT`, for those who have a certificate.
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    /// Its unix socket, where it is `http://app.example`.
    pub fn socket(&self) -> PathBuf {
        self.process.folder().join("caddy.sock")
    }

    /// Who signed its certificate, and has to sign its clients'.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

fn configuration(folder: &str, port: u16, tls_port: u16) -> String {
    let files = format!("root * {folder}/www\n  rewrite * /body.txt\n  file_server");
    format!(
        "{{
  admin off
  auto_https off
  storage file_system {folder}/store
  http_port {port}
  https_port {tls_port}
  log {{
    output stderr
    level WARN
  }}
  servers {{
    protocols h1 h2 h2c
  }}
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  encode zstd gzip
  {files}
}}
https://localhost:{tls_port} {{
  bind 127.0.0.1
  tls {folder}/cert.pem {folder}/key.pem {{
    client_auth {{
      mode require_and_verify
      trusted_ca_cert_file {folder}/ca.pem
    }}
  }}
  {files}
}}
http://app.example {{
  bind unix/{folder}/caddy.sock
  {files}
}}
"
    )
}
