//! TLS to a target: one configuration, sessions of each worker's own, and what a handshake was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_measure::Outcome;
use plimsoll_run::{HttpVersion, TlsSettings, TlsVersion};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, HandshakeKind};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;

/// Server names whose sessions a worker keeps, which is what rustls keeps by itself; it holds up to
/// eight TLS 1.3 tickets of each, and a ticket serves once.
const SESSIONS: usize = 256;

/// How much of a handshake there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// With certificates.
    Full,
    /// From an earlier session.
    Resumed,
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

/// How TLS connections are made.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<rustls::ClientConfig>,
    server_name: Option<String>,
    version: HttpVersion,
    always_full: bool,
    /// How long a handshake may take.
    limit: Option<Duration>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(settings: &TlsSettings, version: HttpVersion) -> Result<Self, TlsError> {
        let mut config = client_config(settings)?;
        config.alpn_protocols = vec![protocol(version).to_vec()];
        let (server_name, always_full) = (settings.server_name.clone(), settings.always_full);
        Ok(Self { config: Arc::new(config), server_name, version, always_full, limit: None })
    }

    /// The same with so much time for a handshake.
    pub(crate) fn within(self, limit: Option<Duration>) -> Self {
        Self { limit, ..self }
    }

    /// The same for other hosts than the target, which have names of their own.
    pub(crate) fn for_any_host(self) -> Self {
        Self { server_name: None, ..self }
    }

    /// The same with sessions of its own, so that workers neither share tickets nor wait for each other.
    pub(crate) fn with_own_sessions(&self) -> Self {
        let mut config = rustls::ClientConfig::clone(&self.config);
        config.resumption = match self.always_full {
            true => Resumption::disabled(),
            false => Resumption::in_memory_sessions(SESSIONS),
        };
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Makes a TLS connection of a TCP one. The name is that of `host` unless the plan says another.
    pub(crate) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Handshake), Failure> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Failure::new(Outcome::Tls, format!("`{name}` cannot be verified as a server name"))
        })?;
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp);
        let stream = match self.limit {
            None => handshake.await,
            Some(limit) => tokio::time::timeout(limit, handshake).await.map_err(|_| {
                let limit = plimsoll_units::duration::format(limit);
                Failure::new(Outcome::Timeout, format!("no TLS handshake within {limit}"))
            })?,
        };
        let stream = stream.map_err(|error| failure(&error))?;
        let (_, session) = stream.get_ref();
        // A target that knows no ALPN speaks HTTP/1.1; that it speaks HTTP/2 has to be said.
        if self.version == HttpVersion::Http2 && session.alpn_protocol() != Some(protocol(self.version)) {
            return Err(Failure::new(Outcome::Tls, "the target did not choose HTTP/2 by ALPN"));
        }
        let handshake = match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        };
        Ok((stream, handshake))
    }
}

/// Whom to trust and who we are, as a plan says it, without a word about protocols.
///
/// # Errors
/// When certificates or key are none, or do not fit each other.
pub fn client_config(settings: &TlsSettings) -> Result<rustls::ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| TlsError::Config(error.to_string()))?;
    let builder = if settings.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    } else {
        builder.with_root_certificates(roots(settings)?)
    };
    Ok(match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|error| TlsError::Pem { what: "key", reason: error.to_string() })?;
            builder
                .with_client_auth_cert(certificates("cert", cert)?, key)
                .map_err(|error| TlsError::Config(error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    })
}

/// The versions of TLS that are spoken, the newest first.
fn versions(settings: &TlsSettings) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)];
    let newest = settings.max_version.unwrap_or(TlsVersion::V1_3);
    let range = settings.min_version..=newest;
    all.into_iter().filter(|(version, _)| range.contains(version)).map(|(_, version)| version).collect()
}

/// What an error of a TLS connection is, if it is one: of the certificate first, in words that say what to do.
pub(crate) fn failure_in(error: &std::io::Error) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let message = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the target's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the target's certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName => "the target's certificate is for another host".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = expected.to_str();
                let presented: Vec<_> = presented.iter().take(5).map(String::as_str).collect();
                format!(
                    "the target's certificate is for another host: not for {expected}, but for {}",
                    presented.join(", ")
                )
            }
            CertificateError::UnknownIssuer => {
                "the target's certificate is signed by nobody who is trusted: by itself, or by an authority that is not in `tls.ca`"
                    .to_owned()
            }
            wrong => format!("the target's certificate: {wrong}"),
        },
        error => format!("TLS: {error}"),
    };
    Some(Failure::new(Outcome::Tls, message))
}

fn failure(error: &std::io::Error) -> Failure {
    failure_in(error).unwrap_or_else(|| Failure::new(Outcome::Tls, format!("TLS handshake: {error}")))
}

/// The name of a version in ALPN (RFC 7301, and RFC 9113 for HTTP/2).
fn protocol(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::Http1 => b"http/1.1",
        HttpVersion::Http2 => b"h2",
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
