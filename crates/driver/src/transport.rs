//! Byte streams to a target: TCP, TLS over TCP, or memory in simulations.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderValue;
use plimsoll_measure::Outcome;
use plimsoll_run::TlsSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Clock, Failure};

/// Scheme, host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute URL with a scheme we speak.
    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self { tls, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Host and port, the latter where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The value of the `host` header, if the host can stand in one.
    pub(crate) fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.authority()).ok()
    }

    fn address(&self) -> Option<SocketAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// How streams are opened.
#[derive(Clone)]
pub enum Transport {
    /// Over the network.
    Network(NetworkTransport),
    /// To a server in the same simulation: called once for each connection. It is called on the
    /// worker's thread and must not block.
    Memory(Arc<dyn Fn() -> DuplexStream + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Network",
            Self::Memory(_) => "Memory",
        })
    }
}

/// What connections over the network need.
#[derive(Clone)]
pub struct NetworkTransport {
    tls: Arc<rustls::ClientConfig>,
    server_name: Option<String>,
}

impl fmt::Debug for NetworkTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkTransport").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// TLS settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text is not what it should be.
    #[error("tls.{what}: {reason}")]
    Pem {
        /// `ca`, `cert` or `key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not fit each other, or the provider refuses them.
    #[error("tls: {0}")]
    Config(String),
}

impl NetworkTransport {
    /// Prepares TLS. Nothing is opened yet.
    ///
    /// # Errors
    /// When a certificate or key cannot be read or used.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Config(error.to_string()))?;
        let builder = if settings.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        } else {
            builder.with_root_certificates(roots(settings)?)
        };
        let config = match (&settings.cert, &settings.key) {
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                    .map_err(|error| TlsError::Pem { what: "key", reason: error.to_string() })?;
                builder
                    .with_client_auth_cert(certificates("cert", cert)?, key)
                    .map_err(|error| TlsError::Config(error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Self { tls: Arc::new(config), server_name: settings.server_name.clone() })
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Pem { what, reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(certificates) }
}

fn roots(settings: &TlsSettings) -> Result<rustls::RootCertStore, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    match &settings.ca {
        Some(pem) => {
            for certificate in certificates("ca", pem)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::Pem { what: "ca", reason: error.to_string() })?;
            }
        }
        // A machine without certificates still loads plain HTTP; a TLS target then fails by name.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// The verifier of `tls: { insecure: true }`: any certificate will do, signatures are still checked.
#[derive(Debug)]
struct AcceptAny(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An open stream and how long it took to open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) connect: u64,
    pub(crate) tls: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Memory(DuplexStream),
}

impl Transport {
    /// Opens a stream. The caller bounds the time.
    pub(crate) async fn open(&self, origin: &Origin, clock: Clock) -> Result<Opened, Failure> {
        let started = clock.now();
        match self {
            Self::Memory(open) => Ok(Opened { stream: Stream::Memory(open()), connect: 0, tls: None }),
            Self::Network(network) => {
                let tcp = connect(origin).await?;
                let connected = clock.now();
                let connect = connected - started;
                if !origin.tls {
                    return Ok(Opened { stream: Stream::Tcp(tcp), connect, tls: None });
                }
                let tls = network.handshake(origin, tcp).await?;
                Ok(Opened { stream: Stream::Tls(Box::new(tls)), connect, tls: Some(clock.now() - connected) })
            }
        }
    }
}

impl NetworkTransport {
    async fn handshake(&self, origin: &Origin, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.server_name.as_deref().unwrap_or(&origin.host);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Failure::new(Outcome::Tls, format!("`{name}` cannot be verified as a server name"))
        })?;
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .map_err(|error| Failure::new(Outcome::Tls, format!("TLS handshake: {error}")))
    }
}

async fn connect(origin: &Origin) -> Result<TcpStream, Failure> {
    let tcp = match origin.address() {
        Some(address) => TcpStream::connect(address).await,
        None => {
            let addresses: Vec<_> = tokio::net::lookup_host((origin.host.as_str(), origin.port))
                .await
                .map_err(|error| {
                    Failure::new(Outcome::Dns, format!("no address for {}: {error}", origin.host))
                })?
                .collect();
            if addresses.is_empty() {
                return Err(Failure::new(Outcome::Dns, format!("no address for {}", origin.host)));
            }
            TcpStream::connect(addresses.as_slice()).await
        }
    };
    let tcp = tcp.map_err(|error| Failure::connect(&error))?;
    // Requests are written whole; waiting to fill a segment would only add up to 40 ms.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// What went over a connection, seen from just above it.
#[derive(Debug)]
pub(crate) struct Traffic {
    clock: Clock,
    sent: Cell<Option<u64>>,
    first_byte: Cell<Option<u64>>,
    written: Cell<u64>,
    read: Cell<u64>,
}

impl Traffic {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            sent: Cell::new(None),
            first_byte: Cell::new(None),
            written: Cell::new(0),
            read: Cell::new(0),
        })
    }

    /// Starts over for the next request on the connection.
    pub(crate) fn reset(&self) {
        self.sent.set(None);
        self.first_byte.set(None);
        self.written.set(0);
        self.read.set(0);
    }

    /// When the first byte of the request left.
    pub(crate) fn sent(&self) -> Option<u64> {
        self.sent.get()
    }

    /// When the first byte of the answer came.
    pub(crate) fn first_byte(&self) -> Option<u64> {
        self.first_byte.get()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    fn note_write(&self, before: u64, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = result {
            if self.sent.get().is_none() {
                self.sent.set(Some(before));
            }
            self.written.set(self.written.get() + *bytes as u64);
        }
    }
}

/// A stream that notes its traffic.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Stream,
    traffic: Rc<Traffic>,
}

impl Metered {
    pub(crate) fn new(stream: Stream, traffic: Rc<Traffic>) -> Self {
        Self { stream, traffic }
    }

    /// The clock is read only for a request's first write, before the bytes are handed over.
    fn before_write(&self) -> u64 {
        if self.traffic.sent.get().is_none() { self.traffic.clock.now() } else { 0 }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            let traffic = &self.traffic;
            if traffic.first_byte.get().is_none() {
                traffic.first_byte.set(Some(traffic.clock.now()));
            }
            traffic.read.set(traffic.read.get() + bytes as u64);
        }
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let before = self.before_write();
        let result = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.traffic.note_write(before, &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A request without a body is one part, and writing one is cheaper than gathering one.
        if let [part] = parts {
            return self.poll_write(context, part);
        }
        let before = self.before_write();
        let result = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Memory(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        };
        self.traffic.note_write(before, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
