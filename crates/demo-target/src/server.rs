//! The threads that serve: one runtime each, so that no request crosses threads.
//!
//! The first worker accepts and deals the connections out in turn, which spreads even a few of them
//! evenly. `SO_REUSEPORT` would spread them by hash, and would let a second target share the port
//! unseen.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use http::Version;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Observed};
use crate::metrics::Metrics;
use crate::pacer::Pacer;
use crate::record::Shard;
use crate::{Control, routes};

/// Connections that may wait to be accepted. A burst of users must not be slowed by retried SYNs.
const BACKLOG: i32 = 4096;
/// Connections that may wait for a worker to take them.
const DEALT_AHEAD: usize = 1024;
/// How long a client may take for its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Streams that an HTTP/2 client may have open at once on a connection: more than any test asks for.
const MOST_STREAMS: u32 = 100_000;
/// What an HTTP/2 client that knows of it beforehand says first. No request begins like this.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How soon to look again for the rest of a preface that came in pieces.
const PREFACE_RETRY: Duration = Duration::from_millis(1);
/// How long to wait when accepting failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Opens the listening socket.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Only connections in TIME_WAIT are overruled by this, never another listener.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What one worker's connections share.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    control: Control,
    pacer: Pacer,
}

impl Worker {
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn shard(&self) -> &Mutex<Shard> {
        self.control.shard(self.index)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.control.metrics()
    }

    /// Sleeps more exactly than the runtime's timer, which counts in milliseconds.
    pub(crate) async fn sleep(&self, span: Duration) {
        self.pacer.sleep_until(Instant::now() + span).await;
    }
}

/// Starts the workers; they run until `stop`.
pub(crate) fn start(
    workers: usize,
    listener: StdListener,
    control: &Control,
    stop: &CancellationToken,
) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let (inboxes, others): (Vec<_>, Vec<_>) = (1..workers).map(|_| mpsc::channel(DEALT_AHEAD)).unzip();
    let mut sources = vec![Source::Listener { listener, inboxes }];
    sources.extend(others.into_iter().map(Source::Dealt));
    let mut threads = Vec::new();
    for (index, source) in sources.into_iter().enumerate() {
        let (control, stop) = (control.clone(), stop.clone());
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => work(&runtime, index, control, source, &stop, &ready),
                Err(error) => drop(ready.send(Err(error))),
            }
        };
        threads.push(thread::Builder::new().name(format!("demo-target-{index}")).spawn(run)?);
        started.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))?;
    }
    Ok(threads)
}

/// Where a worker's connections come from.
enum Source {
    Listener { listener: StdListener, inboxes: Vec<mpsc::Sender<StdStream>> },
    Dealt(mpsc::Receiver<StdStream>),
}

fn work(
    runtime: &LocalRuntime,
    index: usize,
    control: Control,
    source: Source,
    stop: &CancellationToken,
    ready: &std::sync::mpsc::SyncSender<io::Result<()>>,
) {
    let served = runtime.block_on(async {
        let worker = Rc::new(Worker { index, control, pacer: Pacer::new()? });
        if index == 0 {
            let worker = Rc::clone(&worker);
            let tell_who_is_done = async move { worker.control.service().run(&worker.pacer).await };
            drop(tokio::task::spawn_local(tell_who_is_done));
        }
        match source {
            Source::Listener { listener, inboxes } => {
                let listener = TcpListener::from_std(listener)?;
                drop(ready.send(Ok(())));
                stop.run_until_cancelled(accept(&worker, &listener, &inboxes)).await;
            }
            Source::Dealt(mut inbox) => {
                drop(ready.send(Ok(())));
                stop.run_until_cancelled(async {
                    while let Some(stream) = inbox.recv().await {
                        if let Ok(stream) = TcpStream::from_std(stream) {
                            open(&worker, stream);
                        }
                    }
                })
                .await;
            }
        }
        Ok(())
    });
    if let Err(error) = served {
        drop(ready.send(Err(error)));
    }
}

async fn accept(worker: &Rc<Worker>, listener: &TcpListener, inboxes: &[mpsc::Sender<StdStream>]) {
    let mut turn = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        match turn {
            0 => open(worker, stream),
            other => {
                if let Ok(stream) = stream.into_std() {
                    drop(inboxes[other - 1].send(stream).await);
                }
            }
        }
        turn = (turn + 1) % (inboxes.len() + 1);
    }
}

/// Serves one connection in a task of its own.
fn open(worker: &Rc<Worker>, stream: TcpStream) {
    let worker = Rc::clone(worker);
    drop(tokio::task::spawn_local(async move {
        let _open = worker.control.connection_open();
        // An option that cannot be set belongs to a connection that is gone already.
        let _ = stream.set_nodelay(true);
        match worker.control.tls() {
            None => {
                if let Ok(version) = version_of(&stream).await {
                    serve(worker, stream, version).await;
                }
            }
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls).accept(stream);
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, handshake).await {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
                    serve(worker, stream, version).await;
                }
            }
        }
    }));
}

/// What a plain client speaks, by the first bytes it sends.
async fn version_of(stream: &TcpStream) -> io::Result<Version> {
    let mut buffer = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut buffer).await?;
        let first = &buffer[..length];
        if first.is_empty() || !PREFACE.starts_with(first) {
            return Ok(Version::HTTP_11);
        }
        if first.len() == PREFACE.len() {
            return Ok(Version::HTTP_2);
        }
        tokio::time::sleep(PREFACE_RETRY).await;
    }
}

async fn serve<S>(worker: Rc<Worker>, stream: S, version: Version)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let connection = Connection::new(worker);
    let stream = TokioIo::new(Observed::new(stream, Rc::clone(&connection)));
    // How a client ends a connection is its own affair; what it left unanswered is in the record.
    if version == Version::HTTP_2 {
        let service = service_fn(move |request| routes::serve(connection.stream(), request));
        let mut builder = http2::Builder::new(OnThisThread);
        let _ = builder.max_concurrent_streams(MOST_STREAMS).serve_connection(stream, service).await;
    } else {
        let service = service_fn(move |request| routes::serve(Rc::clone(&connection), request));
        let _ = http1::Builder::new().serve_connection(stream, service).await;
    }
}

/// Runs the streams of a connection where the connection itself runs.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, stream: F) {
        drop(tokio::task::spawn_local(stream));
    }
}

/// The TLS side of a configuration, from PEM text.
pub(crate) fn tls_config(tls: &crate::TlsConfig) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let unreadable = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&tls.cert_pem).collect::<Result<_, _>>().map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
