//! Writes points to InfluxDB: `POST /api/v2/write`, line protocol, gzip.
//!
//! Points wait in a bounded backlog and leave in batches, oldest first, at most one request at a
//! time. What the server cannot take now (429, 5xx, no connection, no answer) is sent again, waiting
//! longer each time and as long as the server asks; what it refuses is counted as lost with its
//! reason, since sending it again would change nothing. A point may arrive twice, which overwrites it with itself.

mod answer;
mod backlog;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll_exposition::{Report, line};
use plimsoll_run::{InfluxExport, Secret};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Ledger, Notes, lock};
use answer::{Answer, Backoff};
use backlog::{Backlog, Chunk};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "influxdb";

/// Text that may wait: minutes of a busy plan, and small beside the generator's own memory.
const BACKLOG_BYTES: usize = 32 << 20;

/// Text of one request before compression: well below the 10 MB or so that proxies stop at.
const BATCH_BYTES: usize = 1 << 20;

/// Points of one request; InfluxDB's own advice.
const BATCH_POINTS: u64 = 5_000;

/// How long a batch waits for company: what belongs to one second comes within this.
const GATHER: Duration = Duration::from_millis(200);

/// From sending a request to the end of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Opening a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The longest wait between two tries once the run is over: there is no time left for patience.
const LAST_TRIES_EVERY: Duration = Duration::from_millis(500);

/// How much of an answer's body is read for its reason.
const REASON_BYTES: usize = 4096;

/// Writes one run's points. Dropping it stops it and loses what waits.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The URL is none, or not of HTTP.
    #[error("the InfluxDB URL is not an http or https URL with a host")]
    Url,
    /// The token cannot stand in a header.
    #[error("the InfluxDB token holds characters that no HTTP header may hold")]
    Token,
    /// TLS cannot be set up.
    #[error("cannot set up a client for InfluxDB: {0}")]
    Client(String),
}

#[derive(Debug)]
struct Shared {
    client: reqwest::Client,
    url: Url,
    token: Option<Secret>,
    backlog: Mutex<Backlog>,
    arrived: Notify,
    finishing: CancellationToken,
    ledger: Ledger,
    notes: Notes,
}

impl Writer {
    /// Starts one. It does not ask whether the server is there.
    ///
    /// # Errors
    /// When URL or token cannot be used.
    pub fn start(settings: &InfluxExport, notes: Notes) -> Result<Self, WriterError> {
        let url = write_url(settings).ok_or(WriterError::Url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(token) = &settings.token {
            let mut value = HeaderValue::from_str(&format!("Token {}", token.expose()))
                .map_err(|_| WriterError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            // A token goes where the plan says and nowhere else.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| WriterError::Client(chain(&error.without_url())))?;
        let shared = Arc::new(Shared {
            client,
            url,
            token: settings.token.clone(),
            backlog: Mutex::new(Backlog::new(BACKLOG_BYTES)),
            arrived: Notify::new(),
            finishing: CancellationToken::new(),
            ledger: Ledger::new(SINK),
            notes,
        });
        let task = tokio::spawn(write_all(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// What becomes of its points.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Takes what an event means. Never waits.
    pub fn send(&self, report: &Report, run: &str) {
        let lines = line::encode(report, run);
        if lines.is_empty() {
            return;
        }
        self.shared.ledger.produced(lines.len() as u64);
        let evicted = lock(&self.shared.backlog).push(Chunk::of(&lines, BATCH_POINTS, BATCH_BYTES));
        if evicted > 0 {
            self.shared.ledger.lost(evicted);
            self.shared.notes.tell(
                "influxdb full",
                format!("influxdb: {} MiB of points wait, so the oldest are lost", BACKLOG_BYTES >> 20),
            );
        }
        self.shared.arrived.notify_one();
    }

    /// Delivers what waits for at most `deadline`; what is left then is lost.
    pub async fn finish(mut self, deadline: Duration) {
        self.shared.finishing.cancel();
        if tokio::time::timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
            // It is gone now, and so is a request of its that nobody knows the end of.
            let _ = (&mut self.task).await;
        }
        let lost = self.shared.ledger.give_up();
        if lost > 0 {
            self.shared.notes.tell(
                "influxdb left",
                format!(
                    "influxdb: {lost} points were not taken within {deadline:?} after the run and are lost"
                ),
            );
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Waits for the next batch; `None`: the run is over and nothing waits.
    async fn next_batch(&self) -> Option<Chunk> {
        loop {
            let waiting = lock(&self.backlog).bytes();
            if waiting > 0 {
                if waiting < BATCH_BYTES && !self.finishing.is_cancelled() {
                    self.pause(GATHER).await;
                }
                return lock(&self.backlog).take(BATCH_POINTS, BATCH_BYTES);
            }
            if self.finishing.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = self.finishing.cancelled() => {}
            }
        }
    }

    /// Waits, unless the run is over or ends meanwhile.
    async fn pause(&self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.finishing.cancelled() => {}
        }
    }

    /// Sends a batch until it is known what became of each of its points.
    async fn deliver(&self, batch: Chunk) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.settle(&part).await {
                Settled::Done => {}
                Settled::TooLarge => match part.halves() {
                    Some((first, second)) => parts.extend([second, first]),
                    None => {
                        self.ledger.lost(part.points());
                        self.tell("413", "413: a single point is too large for the server, and is lost");
                    }
                },
            }
        }
    }

    async fn settle(&self, part: &Chunk) -> Settled {
        let body = gzip(part.text());
        let mut backoff = Backoff::default();
        loop {
            match self.post(body.clone(), part.points()).await {
                Answer::Taken => {
                    self.ledger.acknowledged(part.points());
                    return Settled::Done;
                }
                Answer::Partly { lost, kind, reason } => {
                    self.ledger.acknowledged(part.points() - lost);
                    self.ledger.lost(lost);
                    self.tell(&kind, &reason);
                    return Settled::Done;
                }
                Answer::Refused { kind, reason } => {
                    self.ledger.lost(part.points());
                    self.tell(&kind, &reason);
                    return Settled::Done;
                }
                Answer::TooLarge => return Settled::TooLarge,
                Answer::Later { kind, reason, after } => {
                    self.tell(&kind, &reason);
                    self.wait_to_try_again(&mut backoff, after).await;
                }
            }
        }
    }

    /// What the server asks for is waited for in full; our own patience ends with the run.
    async fn wait_to_try_again(&self, backoff: &mut Backoff, after: Option<Duration>) {
        let own = backoff.next(rand::random());
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None if self.finishing.is_cancelled() => tokio::time::sleep(own.min(LAST_TRIES_EVERY)).await,
            None => self.pause(own).await,
        }
    }

    async fn post(&self, body: Vec<u8>, points: u64) -> Answer {
        let mut response = match self.client.post(self.url.clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return Answer::without(error.is_timeout(), &chain(&error.without_url())),
        };
        let status = response.status().as_u16();
        let after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut reason = Vec::new();
        if !response.status().is_success() {
            // A body that breaks off still says why, as far as it came.
            while let Ok(Some(more)) = response.chunk().await {
                reason.extend_from_slice(&more);
                if reason.len() >= REASON_BYTES {
                    reason.truncate(REASON_BYTES);
                    break;
                }
            }
        }
        Answer::of(status, after.as_deref(), &String::from_utf8_lossy(&reason), points)
    }

    fn tell(&self, kind: &str, reason: &str) {
        let mut text = format!("influxdb: {reason}");
        if let Some(token) = self.token.as_ref().map(Secret::expose).filter(|token| !token.is_empty()) {
            // A server may quote what it was sent.
            text = text.replace(token, "***");
        }
        self.notes.tell(&format!("influxdb {kind}"), text);
    }
}

enum Settled {
    Done,
    TooLarge,
}

async fn write_all(shared: Arc<Shared>) {
    while let Some(batch) = shared.next_batch().await {
        shared.deliver(batch).await;
    }
}

fn write_url(settings: &InfluxExport) -> Option<Url> {
    let mut url = Url::parse(&settings.url).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v2", "write"]);
    url.set_fragment(None);
    url.query_pairs_mut()
        .clear()
        .append_pair("org", &settings.org)
        .append_pair("bucket", &settings.bucket)
        .append_pair("precision", "ns");
    Some(url)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> InfluxExport {
        InfluxExport {
            url: url.to_owned(),
            org: "o r&g".to_owned(),
            bucket: "b".to_owned(),
            token: Some(Secret::new("hush-hush")),
        }
    }

    #[test]
    fn the_write_route_is_below_the_url() {
        let cases = [
            ("http://h:8086", "http://h:8086/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
            ("https://h/influx/", "https://h/influx/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
            ("http://h/x?y=z#f", "http://h/x/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
        ];
        for (given, expected) in cases {
            assert_eq!(write_url(&settings(given)).map(String::from).as_deref(), Some(expected));
        }
        for wrong in ["", "h:8086", "ftp://h", "http://", "/relative"] {
            assert_eq!(write_url(&settings(wrong)), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn nothing_shows_the_token() {
        let mut settings = settings("http://user:hush-hush@127.0.0.1:1");
        let writer = Writer::start(&settings, Notes::default()).unwrap();
        let shown = format!("{:?}", writer.shared.token);
        assert_eq!(shown, "Some(***)");
        settings.token = Some(Secret::new("hush\nhush"));
        let error = Writer::start(&settings, Notes::default()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
