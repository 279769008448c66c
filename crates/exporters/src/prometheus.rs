//! A `/metrics` endpoint for Prometheus.
//!
//! It serves what [`LiveMetrics`] hold, in the form the scraper asks for, and nothing else. It knows
//! when it was scraped, so that it can stay after a run just long enough for the last values to be read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{LiveMetrics, lock};

/// Connections at once: many more than scrapers, few enough to bound memory.
const CONNECTIONS: usize = 64;

/// How long a connection may be idle or send its head: longer than common scrape intervals, so that
/// a scraper keeps its connection.
const IDLE: Duration = Duration::from_secs(75);

/// How long an answer may take to leave once the endpoint closes.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How many scrapes are remembered: enough to see the longest of some gaps between them.
const REMEMBERED: usize = 5;

/// The endpoint, open until it is dropped or finished.
#[derive(Debug)]
pub struct Endpoint {
    addr: SocketAddr,
    served: Arc<Served>,
    closing: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve /metrics at {listen}: {source}")]
pub struct EndpointError {
    /// Where it was to listen.
    pub listen: SocketAddr,
    /// Why it cannot.
    pub source: std::io::Error,
}

#[derive(Debug)]
struct Served {
    live: Arc<LiveMetrics>,
    opened: Instant,
    scrapes: Mutex<VecDeque<Instant>>,
    last: watch::Sender<Option<Instant>>,
}

impl Endpoint {
    /// Opens it; port 0 takes any free one.
    ///
    /// # Errors
    /// When it cannot listen there, most often because the port is taken.
    pub async fn bind(listen: SocketAddr, live: Arc<LiveMetrics>) -> Result<Self, EndpointError> {
        let failed = |source| EndpointError { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let served = Arc::new(Served {
            live,
            opened: Instant::now(),
            scrapes: Mutex::default(),
            last: watch::Sender::new(None),
        });
        let closing = CancellationToken::new();
        let task = tokio::spawn(accept(listener, Arc::clone(&served), closing.clone()));
        Ok(Self { addr, served, closing, task: Some(task) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stays until one scrape has read the values as they are now, or `linger` has passed (by default
    /// twice the interval seen between scrapes, and no time if nobody scraped), then closes.
    pub async fn finish(mut self, linger: Option<Duration>) {
        let from = Instant::now();
        let linger = linger.unwrap_or_else(|| {
            let mut scrapes = lock(&self.served.scrapes);
            interval(self.served.opened, scrapes.make_contiguous(), from).unwrap_or_default() * 2
        });
        let mut last = self.served.last.subscribe();
        let read = last.wait_for(|scrape| scrape.is_some_and(|scrape| scrape >= from));
        // Either way it is time to close.
        let _ = tokio::time::timeout(linger, read).await;
        self.closing.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself within `LAST_ANSWER`, and only a panic could say otherwise.
            let _ = task.await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The scrape interval as far as it was seen: the longest of the last gaps. A single scrape was
/// either alone for as long as it took to come, or for as long as it is ago.
fn interval(opened: Instant, scrapes: &[Instant], now: Instant) -> Option<Duration> {
    match scrapes {
        [] => None,
        [one] => Some(one.duration_since(opened).max(now.duration_since(*one))),
        many => many.windows(2).map(|pair| pair[1].duration_since(pair[0])).max(),
    }
}

async fn accept(listener: TcpListener, served: Arc<Served>, closing: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let stream = tokio::select! {
            () = closing.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors, most likely: the load may need them, and a scraper comes again.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (served, closing) = (Arc::clone(&served), closing.clone());
        connections.spawn(async move {
            serve(stream, served, closing).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, served: Arc<Served>, closing: CancellationToken) {
    let service = service_fn(|request| {
        let answer = served.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A scraper that goes away or sends no HTTP is its own trouble.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LAST_ANSWER, connection).await;
        }
    }
}

impl Served {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let known = matches!(request.uri().path(), "/metrics" | "/healthz");
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => self.metrics(request.headers()),
            (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
            _ if known => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "not found; metrics are at /metrics\n"),
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        // The values are those of a moment after this one, so a scrape never counts for too much.
        let at = Instant::now();
        let exposition = self.live.expose(&joined(headers, &ACCEPT));
        let zipped =
            accepts_gzip(&joined(headers, &ACCEPT_ENCODING)).then(|| gzip(&exposition.body)).flatten();
        let is_zipped = zipped.is_some();
        let mut answer = Response::new(Full::new(Bytes::from(zipped.unwrap_or(exposition.body))));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(exposition.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if is_zipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut scrapes = lock(&self.scrapes);
        scrapes.push_back(at);
        if scrapes.len() > REMEMBERED {
            scrapes.pop_front();
        }
        drop(scrapes);
        self.last.send_replace(Some(at));
        answer
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// All values of a header as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn accepts_gzip(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|weight| weight.parse::<f64>().is_ok_and(|weight| weight == 0.0));
        named && !refused
    })
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("", false),
            ("identity", false),
            ("x-gzip", false),
        ];
        for (accept, expected) in cases {
            assert_eq!(accepts_gzip(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_interval_is_the_longest_of_the_gaps_seen() {
        let opened = Instant::now();
        let at = |seconds| opened + Duration::from_secs(seconds);
        let cases: [(&[u64], u64, Option<u64>); 5] = [
            (&[], 100, None),
            (&[3], 10, Some(7)),
            (&[8], 10, Some(8)),
            (&[5, 20, 35], 36, Some(15)),
            (&[5, 6, 20, 21], 36, Some(14)),
        ];
        for (scrapes, now, expected) in cases {
            let scrapes: Vec<_> = scrapes.iter().copied().map(at).collect();
            assert_eq!(interval(opened, &scrapes, at(now)), expected.map(Duration::from_secs));
        }
    }
}
