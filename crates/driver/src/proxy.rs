//! A proxy between here and the target.

use http::HeaderValue;
use plimsoll_measure::Outcome;
use plimsoll_run::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::addresses::AddressError;
use crate::transport::Origin;

/// More than any proxy says before a tunnel begins.
const MOST_HEAD: usize = 16 * 1024;

/// The proxy that requests go to or through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Via {
    /// Where it is.
    pub(crate) place: Origin,
    /// The value of `proxy-authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Via {
    pub(crate) fn new(proxy: &Proxy) -> Result<Self, AddressError> {
        let authorization = match &proxy.authorization {
            None => None,
            Some(secret) => {
                let value = HeaderValue::from_str(secret.expose());
                let mut value = value.map_err(|_| AddressError::Proxy("its credentials are no header"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let place = Origin { tls: false, host: proxy.host.clone(), port: proxy.port, proxy: None };
        Ok(Self { place, authorization })
    }

    /// Host and port.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.place.host, self.place.port)
    }

    /// Asks for a tunnel to an origin (CONNECT; RFC 9110, section 9.3.6).
    pub(crate) async fn tunnel(&self, tcp: &mut TcpStream, origin: &Origin) -> Result<(), Failure> {
        let (host, port) = (&origin.host, origin.port);
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broke = |error: &std::io::Error| self.refuses(&format!("broke off the tunnel: {error}"));
        tcp.write_all(&request).await.map_err(|error| broke(&error))?;
        let mut head = Vec::new();
        // Byte by byte, because what follows the head is the target's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MOST_HEAD {
                return Err(self.refuses("answers CONNECT with a head without end"));
            }
            match tcp.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) => return Err(broke(&error)),
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&head).map(|_| response.code) {
            Ok(Some(200..=299)) => Ok(()),
            Ok(Some(status)) => Err(self.refuses(&format!("answers CONNECT with {status}"))),
            Ok(None) | Err(_) => Err(self.refuses("answers CONNECT with what is not HTTP/1.1")),
        }
    }

    fn refuses(&self, what: &str) -> Failure {
        Failure::new(Outcome::Connect, format!("the proxy {} {what}", self.name()))
    }
}
