//! nginx as the neutral target: one process, a small static answer, no log.

use std::path::Path;

use super::TARGET_CORE;
use super::process::{Server, free_port, pinned};

/// An nginx that runs, on loopback.
#[derive(Debug)]
pub(super) struct Nginx {
    http1: u16,
    http2: u16,
    _server: Server,
}

impl Nginx {
    /// Starts it on the target's core, with files of its own in `folder`.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let (http1, http2) = (free_port()?, free_port()?);
        std::fs::write(folder.join("nginx.conf"), configuration(http1, http2))?;
        let mut command = pinned(TARGET_CORE, Path::new("nginx"));
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        Ok(Self { http1, http2, _server: Server::start(&mut command, http1)? })
    }

    /// The page over HTTP/1.1.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http1)
    }

    /// The same page over HTTP/2 by prior knowledge.
    pub(super) fn http2_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http2)
    }
}

/// Connections are never closed, whatever their number of requests. Older versions ask for HTTP/2 with
/// the port, and take nothing else there.
fn configuration(http1: u16, http2: u16) -> String {
    // The system's folders for these are root's.
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    let temporary = temporary.concat();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
         events {{ worker_connections 19000; }}\n\
         http {{ access_log off; {temporary} keepalive_requests 1000000000;\n\
         server {{ listen 127.0.0.1:{http1} backlog=4096; location / {{ return 200 \"hello\\n\"; }} }}\n\
         server {{ listen 127.0.0.1:{http2} http2 backlog=4096; http2_max_concurrent_streams 1024;\n\
         location / {{ return 200 \"hello\\n\"; }} }} }}\n"
    )
}
