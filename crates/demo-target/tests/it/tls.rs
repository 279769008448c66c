//! The target over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plimsoll_demo_target::{Config, DemoTarget, TlsConfig};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn certificate() -> (TlsConfig, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert_pem = made.cert.pem().into_bytes();
    (TlsConfig { cert_pem, key_pem: made.signing_key.serialize_pem().into_bytes() }, made.cert.der().clone())
}

async fn connect(
    addr: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn get(addr: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut stream = connect(addr, trusted, &[]).await?;
    stream.write_all(b"GET /close HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_certificate_can_change_while_it_runs() {
    let ((first, first_cert), (second, second_cert)) = (certificate(), certificate());
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen, tls: Some(first), ..Config::default() };
    let target = DemoTarget::start(config).await.unwrap();
    assert!(get(target.addr(), &first_cert).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    target.control().replace_certificate(&second).unwrap();
    assert!(get(target.addr(), &second_cert).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    assert!(get(target.addr(), &first_cert).await.is_err());
    let record = target.shutdown().await;
    assert_eq!((record.access_count(), record.with_status(200)), (2, 2), "only good handshakes ask");
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_offer_it() {
    let (tls, cert) = certificate();
    let listen = "127.0.0.1:0".parse().unwrap();
    let target = DemoTarget::start(Config { listen, tls: Some(tls), ..Config::default() }).await.unwrap();
    let stream = connect(target.addr(), &cert, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    drop(tokio::spawn(connection));
    let request = http::Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    for (offered, agreed) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let stream = connect(target.addr(), &cert, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused() {
    let (good, _) = certificate();
    let (other, _) = certificate();
    let listen = "127.0.0.1:0".parse().unwrap();
    let cases = [
        TlsConfig { cert_pem: b"no certificate".to_vec(), ..good.clone() },
        TlsConfig { key_pem: b"no key".to_vec(), ..good.clone() },
        TlsConfig { key_pem: other.key_pem, ..good },
    ];
    for tls in cases {
        let config = Config { listen, tls: Some(tls), ..Config::default() };
        let error = DemoTarget::start(config).await.unwrap_err().to_string();
        assert!(error.starts_with("the certificate or its key cannot be used: "), "{error}");
    }
}
