//! Runs the demo target by itself, until SIGINT or SIGTERM.
//!
//! One line on standard output says where it listens, for whoever started it. It ends with 0 when it
//! was asked to, with 2 when it cannot do what its arguments say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use plimsoll_demo_target::{Autoscale, Config, DemoTarget, Latency, Model, Pool, TlsConfig};
use plimsoll_units::Ratio;
use tokio::signal::unix::{SignalKind, signal};

/// A small shop over HTTP whose latency, capacity, errors and memory are known and adjustable.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-demo-target", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Threads that serve.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// none, fixed:20ms, uniform:5ms..20ms, lognormal:20ms,80ms or pareto:20ms,200ms (median and 99th
    /// percentile) or bimodal:10ms,200ms,5% (fast, slow, share of slow).
    #[arg(long, default_value = "none")]
    latency: Latency,
    /// How many requests are worked on at once [default: no limit].
    #[arg(long)]
    capacity: Option<u32>,
    /// How many requests may wait for a place; one more is answered 503.
    #[arg(long, default_value_t = Model::default().queue)]
    queue: u32,
    /// Share of the requests that is answered 500, like 0.1%.
    #[arg(long, default_value = "0%")]
    error_ratio: Ratio,
    /// Megabytes to hold.
    #[arg(long, default_value_t = 0)]
    memory_mb: u64,
    /// Fills answers up to this many bytes.
    #[arg(long, default_value_t = 0)]
    body_bytes: u64,
    /// Workers that requests share, each for as long as the latency says [default: no limit].
    #[arg(long, value_name = "N")]
    service_workers: Option<u32>,
    /// A resource that requests need for the last part of their work, like 4,30%: places and share.
    #[arg(long, value_name = "PLACES,SHARE")]
    pool: Option<Pool>,
    /// The share of all work that is done one request after the other, like 5%.
    #[arg(long, default_value = "0%")]
    contention: Ratio,
    /// How much each pair of requests that are worked on keeps each other from it, like 0.1%.
    #[arg(long, default_value = "0%")]
    coherency: Ratio,
    /// Microseconds of CPU time that each request really burns.
    #[arg(long, default_value_t = 0)]
    cpu_us: u32,
    /// Adds and removes replicas of the service workers, like 1..4,60%,1s,5s: fewest and most, how
    /// busy they should be, how often it decides, how long a new one takes.
    #[arg(long, value_name = "MIN..MAX,TARGET,INTERVAL,DELAY", requires = "service_workers")]
    autoscale: Option<Autoscale>,
    /// A file with the certificate chain as PEM; turns TLS on.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// A file with the certificate's private key as PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Decides which requests are slow and which fail.
    #[arg(long, default_value_t = Config::default().seed)]
    seed: u64,
}

impl Arguments {
    fn into_config(self) -> anyhow::Result<Config> {
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsConfig { cert_pem: read(&cert)?, key_pem: read(&key)? }),
            _ => None,
        };
        let model = Model {
            latency: self.latency,
            capacity: self.capacity,
            queue: self.queue,
            error_ratio: self.error_ratio.get(),
            memory_mb: self.memory_mb,
            body_bytes: self.body_bytes,
            workers: self.service_workers,
            pool: self.pool,
            contention: self.contention.get(),
            coherency: self.coherency.get(),
            cpu_us: self.cpu_us,
            autoscale: self.autoscale,
        };
        Ok(Config { listen: self.listen, workers: self.workers.into(), model, tls, seed: self.seed })
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What its arguments ask for cannot be done.
const BAD_USAGE: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plimsoll-demo-target: {error:#}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Signals are caught before the address is printed: whoever reads it may send one at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Each connection takes a descriptor. Where the limit cannot be raised, fewer can be open.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let scheme = if arguments.tls_cert.is_some() { "https" } else { "http" };
    let target = DemoTarget::start(arguments.into_config()?).await?;
    announce(scheme, target.addr());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    target.shutdown().await;
    Ok(())
}

fn announce(scheme: &str, addr: SocketAddr) {
    use std::io::Write;
    // Whoever closed our standard output does not want to know.
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "listening on {scheme}://{addr}").and_then(|()| output.flush());
}
