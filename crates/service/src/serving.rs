//! Connections: how many, how slow, and over TLS or not. HTTP/1.1 alone: what a page asks is little, and its one stream
//! of events leaves a browser five connections more.

use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Limits, Patience, Peer};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes of a head.
const HEAD_BYTES: usize = 32 << 10;

/// Headers of a request.
const HEADERS: usize = 64;

/// How long answers may take to end when the service does.
const DRAIN: Duration = Duration::from_secs(10);

/// How often the files of a certificate are looked at.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// Serves until `ended`; then answers are finished, and cut where that takes too long.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    limits: &Limits,
    ended: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = ended.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ended.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Without descriptors the next would fail at once, and the one after it.
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let connection = Connection {
            router: router.clone(),
            certificates: certificates.clone(),
            patience: limits.patience,
            ended: ended.clone(),
            cut: cut.clone(),
        };
        tracker.spawn(async move {
            if let Err(error) = connection.answer(stream).await {
                tracing::debug!(error = %error, "a connection ended early");
            }
            drop(place);
        });
    }
    tracker.close();
    if timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(left = tracker.len(), "answers took too long to end and are cut");
        cut.cancel();
        tracker.wait().await;
    }
}

struct Connection {
    router: Router,
    certificates: Option<Arc<Certificates>>,
    patience: Patience,
    ended: CancellationToken,
    cut: CancellationToken,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    async fn answer(self, stream: TcpStream) -> Result<(), Failure> {
        let peer = Peer { remote: stream.peer_addr()?, local: stream.local_addr()? };
        stream.set_nodelay(true)?;
        let stream = Patient { stream, patience: self.patience.stall, stalled: None };
        match &self.certificates {
            None => self.http(stream, peer).await,
            Some(certificates) => {
                let acceptor = TlsAcceptor::from(certificates.current());
                let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
                self.http(stream, peer).await
            }
        }
    }

    async fn http<S>(self, stream: S, peer: Peer) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let inner = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            inner.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return Ok(done?),
            () = self.ended.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            done = connection => Ok(done?),
            () = self.cut.cancelled() => Ok(()),
        }
    }
}

/// A connection that fails when the other side takes nothing for too long: else whoever opens streams and reads none
/// would hold their places for good.
struct Patient<S> {
    stream: S,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// What writing came to, or that it was waited for long enough.
    fn within<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read as PEM.
    #[error("{path}: {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate in {path} cannot be used")]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// A certificate with its key, read anew from time to time: a service outlives its certificates.
#[derive(Debug)]
pub(crate) struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<(Instant, Arc<ServerConfig>)>,
}

impl Certificates {
    pub(crate) fn read(cert: PathBuf, key: PathBuf) -> Result<Self, CertificateError> {
        let config = read(&cert, &key)?;
        Ok(Self { cert, key, current: Mutex::new((Instant::now(), config)) })
    }

    /// What the files hold, as of a minute ago at most. Files that cannot be used change nothing.
    fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0.elapsed() >= LOOKED_AT {
            current.0 = Instant::now();
            match read(&self.cert, &self.key) {
                Ok(config) => current.1 = config,
                Err(error) => {
                    tracing::warn!(%error, "the certificate is not read anew, the one before it stays");
                }
            }
        }
        Arc::clone(&current.1)
    }
}

fn read(cert: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, CertificateError> {
    let wrong = |path: &PathBuf, what: String| CertificateError::File { path: path.clone(), what };
    let text = |path: &PathBuf| std::fs::read(path).map_err(|error| wrong(path, error.to_string()));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(cert, "there is no certificate in it".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&text(key)?)
        .map_err(|_| wrong(key, "there is no key in it that can be read".to_owned()))?;
    let unusable = |source| CertificateError::Unusable { path: cert.clone(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_too_long_is_left() {
        let (ours, mut theirs) = tokio::io::duplex(10);
        let patience = Duration::from_secs(30);
        let mut ours = Patient { stream: ours, patience, stalled: None };
        ours.write_all(b"0123456789").await.unwrap();

        // Slow is not the same as gone: each byte that is taken starts the time anew.
        let slow = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(29)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(ours.write_all(b"abcdefghij"), slow);
        wrote.unwrap();

        let before = tokio::time::Instant::now();
        let error = ours.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed().as_secs(), 30);
    }
}
