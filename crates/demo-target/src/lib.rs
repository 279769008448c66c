//! Plimsoll's demo target: a small shop over HTTP/1.1 and HTTP/2 whose behaviour is known and can be changed.
//!
//! `plimsoll demo` drives it, tests and benchmarks compare a generator's figures with it. It exists
//! because a measurement can only be checked against a truth: the target does what its [`Model`] says
//! (latency, capacity, errors, memory, size of answers) and keeps its own [`Record`] of what it did.
//!
//! It always serves from threads and runtimes of its own, so that it never shares one with the load
//! generator beside it. It listens where it is told and nowhere else. It is no web framework and no
//! fault proxy: what is broken below HTTP lives in [`misbehave`].
//!
//! What each figure of the record means is said at [`record`]; routes and controls are described in
//! `docs/demo-target.md`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

mod connection;
mod files;
mod floor;
mod gate;
mod metrics;
pub mod misbehave;
pub mod model;
mod operator;
mod pacer;
pub mod record;
mod routes;
mod server;
mod service;

pub use model::{Autoscale, Latency, Limit, Model, ModelError, Pool};
pub use record::{Answers, Record, RouteRecord};
pub use routes::KEPT_CARTS;

use gate::Gate;
use metrics::{Metrics, Readings};
use model::Fate;
use record::Shard;
use routes::Shop;
use service::Service;

/// How to start a target.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve, at least one. One serves over 60,000 plain requests per second.
    pub workers: usize,
    /// How the target behaves at first.
    pub model: Model,
    /// Speaks TLS when given, plain HTTP otherwise.
    pub tls: Option<TlsConfig>,
    /// Decides which requests are slow and which fail.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            workers: 1,
            model: Model::default(),
            tls: None,
            seed: 1,
        }
    }
}

/// A certificate chain and its private key, as PEM text.
#[derive(Clone)]
pub struct TlsConfig {
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TlsConfig { .. }")
    }
}

/// Why a target could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error("the model cannot be: {0}")]
    Model(#[from] ModelError),
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A running target. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct DemoTarget {
    addr: SocketAddr,
    control: Control,
    threads: Vec<JoinHandle<()>>,
    stop: DropGuard,
}

impl DemoTarget {
    /// Starts a target on threads of its own; it is ready to be connected to when this returns.
    ///
    /// # Errors
    /// When the address is taken, the model or the certificate is wrong, or no thread can be had.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Memory to be held is touched before the port opens, which may take a while.
        tokio::task::spawn_blocking(move || Self::spawn_thread(config))
            .await
            .unwrap_or_else(|stopped| Err(StartError::Worker(io::Error::other(stopped))))
    }

    /// The same for callers without a runtime.
    ///
    /// # Errors
    /// As [`DemoTarget::start`].
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is used up by its target")]
    pub fn spawn_thread(config: Config) -> Result<Self, StartError> {
        let workers = config.workers.max(1);
        let control = Control::new(&config, workers)?;
        control.set_model(config.model)?;
        let listening = |source| StartError::Listen { addr: config.listen, source };
        let listener = server::listen(config.listen).map_err(listening)?;
        let addr = listener.local_addr().map_err(listening)?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let threads = server::start(workers, listener, &control, &stop).map_err(StartError::Worker)?;
        Ok(Self { addr, control, threads, stop: guard })
    }

    /// Where it listens, with the port it really got.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its own record as of now.
    pub fn record(&self) -> Record {
        self.control.record()
    }

    /// A handle to change it while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops it and says what it recorded. Connections are closed at once: requests that were being
    /// worked on are abandoned. The port is free when this returns.
    pub async fn shutdown(self) -> Record {
        let Self { control, threads, stop, .. } = self;
        drop(stop);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A worker that panicked has said so already.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        control.record()
    }
}

/// Changes and observes a target while it runs. Clones control the same target.
#[derive(Debug, Clone)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    model: RwLock<Model>,
    gate: Arc<Gate>,
    service: Service,
    open_connections: AtomicU64,
    /// Requests that the model has decided about.
    decided: AtomicU64,
    /// Freezes are moments on this clock.
    origin: Instant,
    /// Nanoseconds since the origin at which the last request arrived; zero before the first.
    last_arrival: AtomicU64,
    /// Nanoseconds since the origin until which nothing is answered.
    frozen_until: AtomicU64,
    held_memory: Mutex<Vec<u8>>,
    metrics: Metrics,
    shards: Vec<Mutex<Shard>>,
    shop: Shop,
    tls: RwLock<Option<Arc<rustls::ServerConfig>>>,
}

impl Control {
    fn new(config: &Config, workers: usize) -> Result<Self, StartError> {
        let tls = config.tls.as_ref().map(server::tls_config).transpose()?;
        Ok(Self(Arc::new(Shared {
            seed: config.seed,
            model: RwLock::new(Model::default()),
            gate: Gate::new(None, 0),
            service: Service::new(),
            open_connections: AtomicU64::new(0),
            decided: AtomicU64::new(0),
            origin: Instant::now(),
            last_arrival: AtomicU64::new(0),
            frozen_until: AtomicU64::new(0),
            held_memory: Mutex::default(),
            metrics: Metrics::new()?,
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            shop: Shop::new(),
            tls: RwLock::new(tls),
        })))
    }

    /// How the target behaves now.
    pub fn model(&self) -> Model {
        *self.0.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how it behaves, from the next request on. More memory to hold is touched before this
    /// returns, which takes about a second for four gigabytes.
    ///
    /// # Errors
    /// When a value is out of its range or the system does not give the memory; then nothing changes.
    pub fn set_model(&self, model: Model) -> Result<(), ModelError> {
        model.validate()?;
        self.hold_memory(model.memory_mb)?;
        *self.0.model.write().unwrap_or_else(PoisonError::into_inner) = model;
        self.0.gate.set_limit(model.capacity, model.queue);
        self.0.service.configure(&model);
        Ok(())
    }

    /// Answers nothing for a while: requests that arrive or are worked on are answered when it is over.
    /// Answers of which a part was sent already go on. A second freeze can prolong the first, not
    /// shorten it.
    pub fn freeze(&self, span: Duration) {
        let until = self.0.origin.elapsed().saturating_add(span);
        let nanos = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.0.frozen_until.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The target's own record as of now.
    pub fn record(&self) -> Record {
        record::snapshot(&self.0.shards)
    }

    /// Forgets the record. Requests in flight are left out of the new one.
    pub fn reset_record(&self) {
        self.0.last_arrival.store(0, Ordering::Relaxed);
        record::reset(&self.0.shards);
    }

    /// Uses another certificate from the next connection on. A plain target stays plain.
    ///
    /// # Errors
    /// When certificate or key cannot be used; then the old one stays.
    pub fn replace_certificate(&self, tls: &TlsConfig) -> Result<(), StartError> {
        let config = server::tls_config(tls)?;
        let mut current = self.0.tls.write().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            *current = Some(config);
        }
        Ok(())
    }

    fn hold_memory(&self, megabytes: u64) -> Result<(), ModelError> {
        let bytes = usize::try_from(megabytes * 1_000_000).map_err(|_| ModelError::NoMemory(megabytes))?;
        let mut held = locked(&self.0.held_memory);
        if held.len() == bytes {
            return Ok(());
        }
        if bytes < held.len() {
            held.truncate(bytes);
            held.shrink_to_fit();
            return Ok(());
        }
        let more = bytes - held.len();
        held.try_reserve_exact(more).map_err(|_| ModelError::NoMemory(megabytes))?;
        // Any value but zero: pages of zeros need not be real.
        held.resize(bytes, 1);
        Ok(())
    }

    fn metrics_text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let (model, service) = (self.model(), self.0.service.readings());
        self.0.metrics.render(&Readings {
            in_flight: record::in_flight(&self.0.shards),
            waiting: self.0.gate.waiting() + service.waiting,
            capacity: model.capacity,
            held_memory_bytes: locked(&self.0.held_memory).len() as u64,
            open_connections: self.0.open_connections.load(Ordering::Relaxed),
            limit: model.limit(service.replicas.unwrap_or(1)),
            resources: if model.has_floor() { service.resources } else { Vec::new() },
            replicas: service.replicas,
        })
    }

    /// What happens to the next request. A model that draws nothing is not asked, nor are requests
    /// counted for it.
    fn next_fate(&self, model: &Model) -> Fate {
        if model.latency == Latency::None && model.error_ratio == 0.0 {
            return Fate { delay: Duration::ZERO, fails: false };
        }
        model.fate(self.0.seed, self.0.decided.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until nothing is frozen.
    async fn thawed(&self) {
        loop {
            let until = Duration::from_nanos(self.0.frozen_until.load(Ordering::Relaxed));
            if until.is_zero() || until <= self.0.origin.elapsed() {
                return;
            }
            tokio::time::sleep_until((self.0.origin + until).into()).await;
        }
    }

    /// A request arrived now: how long after the one before it, at whichever worker.
    fn arrival_gap(&self, now: Instant) -> Option<Duration> {
        let nanos = u64::try_from(now.duration_since(self.0.origin).as_nanos()).unwrap_or(u64::MAX);
        let before = self.0.last_arrival.swap(nanos.max(1), Ordering::Relaxed);
        // Workers may swap in another order than they looked at the clock: then there was no gap.
        (before > 0).then(|| Duration::from_nanos(nanos.saturating_sub(before)))
    }

    fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    fn service(&self) -> &Service {
        &self.0.service
    }

    /// Counts a connection as open until what it returns is dropped.
    fn connection_open(&self) -> OpenConnection {
        self.0.open_connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(&self.0))
    }

    fn shop(&self) -> &Shop {
        &self.0.shop
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn shard(&self, worker: usize) -> &Mutex<Shard> {
        &self.0.shards[worker]
    }

    fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.0.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A connection that is open.
#[derive(Debug)]
struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A lock whose holder panicked guards figures that are still whole: they are changed one at a time.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
