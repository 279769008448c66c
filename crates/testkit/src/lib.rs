//! Real servers for tests: Prometheus, Alertmanager, Pushgateway, InfluxDB, VictoriaMetrics, rotel, osmem-server, ministack, noida-db, nginx, caddy, tinyproxy, aiosmtpd and Chromium.
//!
//! What we export has to be understood by the programs other people run, so tests ask those
//! programs and not a copy of them. Each server listens on free loopback ports, keeps its files
//! in a temporary folder, and is killed by its process id when its value is dropped; it dies too
//! when the test process is killed. What is not somebody else's server are [`Receiver`] and
//! [`OtlpReceiver`], emulators that answer with scripted faults no real server would give on demand, and the
//! receiver of [`remote_write`], which knows a version of the protocol that no server here does.
//!
//! A server that is not installed is an error naming what installs it, never a skipped test.
//! This crate is a dev-dependency only, and knows nothing of Plimsoll's own crates.

mod alertmanager;
mod aws;
mod binary;
mod browser;
mod caddy;
mod certificate;
mod half;
mod influxdb;
mod kafka;
mod nginx;
mod opensearch;
mod otlp_receiver;
mod postgres;
mod process;
mod program;
mod prometheus;
mod pushgateway;
mod receiver;
pub mod remote_write;
mod rotel;
mod scripted;
mod smtp;
mod tinyproxy;
mod victoria_metrics;
mod wait;

pub use alertmanager::Alertmanager;
pub use aws::Aws;
pub use binary::binary;
pub use browser::{Browser, ColorScheme};
pub use caddy::Caddy;
pub use certificate::Authority;
pub use influxdb::{InfluxDb, Row};
pub use kafka::Kafka;
pub use nginx::{Access, Nginx, NginxSetup, StubStatus};
pub use opensearch::OpenSearch;
pub use otlp_receiver::{Otlp, OtlpAnswer, OtlpReceiver, OtlpRequest};
pub use postgres::Postgres;
pub use process::Process;
pub use program::{Program, amtool, promtool, python};
pub use prometheus::{Prometheus, PrometheusSetup, ScrapeTarget, Series};
pub use pushgateway::Pushgateway;
pub use receiver::{Answer, Plain, Received, Receiver};
pub use rotel::{Rotel, RotelPoint, RotelSpan};
pub use scripted::{Body, Protocol, Reply, Scripted};
pub use smtp::{Smtp, SmtpSetup};
pub use tinyproxy::Tinyproxy;
pub use victoria_metrics::VictoriaMetrics;
pub use wait::{wait_for, wait_until};

/// A client for loopback servers: no proxy, no redirects followed, nothing waits for ever.
///
/// Each server keeps its own, because a pooled connection dies with the runtime that opened it
/// and every test has its own runtime.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()?;
    Ok(client)
}
