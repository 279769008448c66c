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
    let order = order();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
         events {{ worker_connections 19000; }}\n\
         http {{ access_log off; {temporary} keepalive_requests 1000000000;\n\
         server {{ listen 127.0.0.1:{http1} backlog=4096; location / {{ return 200 \"hello\\n\"; }}\n\
         location /order {{ default_type application/json; return 200 '{order}'; }} }}\n\
         server {{ listen 127.0.0.1:{http2} http2 backlog=4096; http2_max_concurrent_streams 1024;\n\
         location / {{ return 200 \"hello\\n\"; }} }} }}\n"
    )
}

/// An order of 2 kB, as an API would answer it.
fn order() -> String {
    let items: Vec<String> = (0..12)
        .map(|n| {
            format!(
                r#"{{"position":{n},"sku":"SKU-{:06}","name":"Article number {n} of the order","quantity":{},"price":{{"amount":{}.95,"currency":"EUR"}},"stock":{}}}"#,
                n * 7919,
                n % 3 + 1,
                n * 10 + 9,
                n + 3
            )
        })
        .collect();
    format!(
        r#"{{"id":"b7f0c2de-41f4-4b0b-9f5a-0d5b8f1f2a77","state":"open","customer":{{"id":48151,"name":"Ada Example","country":"NL","newsletter":false}},"items":[{}],"total":{{"amount":1234.5,"currency":"EUR"}},"notes":["leave it at the door","ring twice"]}}"#,
        items.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_json_of_two_kilobytes() {
        let order = order();
        let json: serde_json::Value = serde_json::from_str(&order).unwrap();
        assert_eq!(json["items"][11]["stock"], 14);
        assert!((1900..2200).contains(&order.len()), "{} bytes", order.len());
    }
}
