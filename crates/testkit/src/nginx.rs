//! nginx as a neutral target: somebody else's HTTP server that counts what reaches it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

use crate::process::Process;
use crate::{Authority, Program, http_client};

/// What a test's nginx serves.
#[derive(Debug, Clone)]
pub struct NginxSetup {
    /// The answer to every path that `locations` does not take.
    pub body: String,
    /// More `location` blocks, in nginx's own language.
    pub locations: String,
    /// Whether each request is written to the access log; a benchmark goes without.
    pub access_log: bool,
}

impl Default for NginxSetup {
    fn default() -> Self {
        Self { body: "hello\n".to_owned(), locations: String::new(), access_log: true }
    }
}

/// A running nginx: one process, plain HTTP and TLS (HTTP/2 by ALPN) on two ports.
#[derive(Debug)]
pub struct Nginx {
    pub process: Process,
    authority: Authority,
    client: reqwest::Client,
    port: u16,
    tls_port: u16,
    status_port: u16,
    own_status_reads: AtomicU64,
}

/// One request as nginx logged it when its answer had been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    /// Path and query as they came.
    pub uri: String,
    pub status: u16,
    /// `HTTP/1.1` and the like.
    pub protocol: String,
    /// Serial number of the connection: equal numbers share a connection.
    pub connection: u64,
}

/// What nginx itself counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StubStatus {
    /// Connections open now, the one that asked included.
    pub active: u64,
    /// Connections taken since the start, those that asked included.
    pub accepted: u64,
    /// Requests since the start, without those for the status itself.
    pub requests: u64,
}

impl Nginx {
    /// Starts one with the default setup.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(NginxSetup::default()).await
    }

    /// Starts one.
    pub async fn with(setup: NginxSetup) -> anyhow::Result<Self> {
        let client = http_client()?;
        let authority = Authority::new()?;
        let (process, [port, tls_port, status_port]) = Process::start(
            Program::NGINX,
            |folder, ports: [u16; 3]| {
                authority.issue_into(folder, &["localhost", "127.0.0.1"])?;
                std::fs::create_dir(folder.join("www"))?;
                std::fs::write(folder.join("www/body"), &setup.body)?;
                std::fs::write(folder.join("nginx.conf"), configuration(&servers(&setup, ports)))?;
                arguments(folder)
            },
            async |_| Ok(()),
        )
        .await?;
        let own_status_reads = AtomicU64::new(0);
        Ok(Self { process, authority, client, port, tls_port, status_port, own_status_reads })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `https://127.0.0.1:PORT`, with a certificate of [`authority`](Self::authority).
    pub fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// Who signed its certificate (for `localhost` and `127.0.0.1`).
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Requests in the order in which their answers ended.
    pub fn access_log(&self) -> anyhow::Result<Vec<Access>> {
        let log = std::fs::read_to_string(self.process.folder().join("access.log")).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| parse_access(line).with_context(|| format!("access log: {line}"))).collect()
    }

    /// What nginx itself counted.
    pub async fn status(&self) -> anyhow::Result<StubStatus> {
        // Counted before asking: the request for the status is in its own answer.
        let own = self.own_status_reads.fetch_add(1, Ordering::Relaxed) + 1;
        let url = format!("http://127.0.0.1:{}/", self.status_port);
        let text = self.client.get(url).send().await?.error_for_status()?.text().await?;
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [active, accepted, _handled, requests, ..] = numbers.as_slice() else {
            anyhow::bail!("not a stub status: {text}");
        };
        Ok(StubStatus { active: *active, accepted: *accepted, requests: requests.saturating_sub(own) })
    }
}

fn servers(setup: &NginxSetup, [port, tls_port, status_port]: [u16; 3]) -> String {
    let access_log = if setup.access_log { "access.log plimsoll" } else { "off" };
    let locations = &setup.locations;
    format!(
        r#"  log_format plimsoll '$request_method\t$request_uri\t$status\t$server_protocol\t$connection';
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    access_log {access_log};
    default_type text/plain;
    error_page 405 =200 $uri;
    {locations}
    location / {{ root www; try_files /body =404; }}
  }}
  server {{
    listen 127.0.0.1:{status_port};
    location / {{ stub_status; }}
  }}"#
    )
}

/// A whole configuration around the content of its `http` block; paths are relative to the folder.
pub(crate) fn configuration(http: &str) -> String {
    // One process, so that killing it leaves no workers. A load test keeps its connections
    // however many requests they carry.
    format!(
        r"daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path temp-client;
  proxy_temp_path temp-proxy;
  fastcgi_temp_path temp-fastcgi;
  uwsgi_temp_path temp-uwsgi;
  scgi_temp_path temp-scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  open_file_cache max=64;
{http}
}}
"
    )
}

/// The arguments that make nginx use `nginx.conf` of this folder and nothing of the system's.
pub(crate) fn arguments(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let folder = folder.to_str().context("the temporary folder's name is not text")?;
    Ok(["-p", folder, "-c", "nginx.conf", "-e", "stderr"].map(Into::into).to_vec())
}

fn parse_access(line: &str) -> Option<Access> {
    let mut columns = line.split('\t');
    Some(Access {
        method: columns.next()?.to_owned(),
        uri: columns.next()?.to_owned(),
        status: columns.next()?.parse().ok()?,
        protocol: columns.next()?.to_owned(),
        connection: columns.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_read() {
        let access = parse_access("GET\t/a?b=c\t200\tHTTP/1.1\t7").unwrap();
        assert_eq!((access.uri.as_str(), access.status, access.connection), ("/a?b=c", 200, 7));
        assert_eq!(parse_access("GET\t/a"), None);
    }
}
