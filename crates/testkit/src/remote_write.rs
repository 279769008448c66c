//! A receiver of Prometheus remote write 1.0 and 2.0, written from the two specifications.
//!
//! No server at hand takes 2.0 or answers 415, so this one does. It shares no code with the sender: messages,
//! decoding and rules are its own. What it takes it keeps; what breaks a rule it refuses, and says so in
//! [`RemoteWriteReceiver::violations`]. Like Prometheus 2.x it refuses a whole 1.0 request for one sample that is older than
//! what it has, and takes the rest of a 2.0 request.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::wait_for;

/// The bits of the value that ends a series.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Which messages a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// 1.0 alone; it answers 415 to all else.
    One,
    /// 1.0 alone, and it does not look at `Content-Type`, as many do not.
    OneCareless,
    /// 2.0 alone.
    Two,
    /// Both.
    Both,
}

/// What it does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Takes it, by the rules.
    Take,
    /// Refuses it with this status and these words, and keeps nothing.
    Refuse(u16, String),
    /// Refuses it and asks to come back after so many seconds.
    RetryAfter(u16, u64),
    /// Takes all but so many samples, the last ones: 400, in 2.0 with counts of what it took.
    Partly(u64),
    /// Takes it, sends half of an answer and closes.
    TakeAndBreak,
    /// Answers nothing.
    Hang,
    /// Sends half of an answer and closes.
    Half,
    /// Reads it slowly, then takes it.
    Slow(Duration),
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub at: Instant,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub written: Written,
}

/// A request as the rules read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    pub series: Vec<WrittenSeries>,
    /// 1.0: by metric. In 2.0 it stands with each series.
    pub metadata: BTreeMap<String, Described>,
    /// 2.0.
    pub symbols: Vec<String>,
}

/// One `TimeSeries`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WrittenSeries {
    /// In the order of the message.
    pub labels: Vec<(String, String)>,
    pub samples: Vec<FloatSample>,
    pub histograms: Vec<NativeSample>,
    pub exemplars: Vec<WrittenExemplar>,
    /// 2.0.
    pub described: Option<Described>,
}

/// What a metric is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    pub kind: i32,
    pub help: String,
    pub unit: String,
}

/// A float at a moment.
#[derive(Debug, Clone, Copy)]
pub struct FloatSample {
    pub value: f64,
    pub at_ms: i64,
    /// 2.0; 0: not said.
    pub start_ms: i64,
}

/// Bits count: a stale marker equals itself.
impl PartialEq for FloatSample {
    fn eq(&self, other: &Self) -> bool {
        (self.value.to_bits(), self.at_ms, self.start_ms)
            == (other.value.to_bits(), other.at_ms, other.start_ms)
    }
}

impl FloatSample {
    /// Whether it ends its series.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE_BITS
    }
}

/// A native histogram at a moment.
#[derive(Debug, Clone)]
pub struct NativeSample {
    pub count: u64,
    pub sum: f64,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    /// Counts by bucket; bucket `i` ends at `2^(i / 2^schema)`.
    pub buckets: BTreeMap<i32, u64>,
    pub at_ms: i64,
    pub start_ms: i64,
}

impl PartialEq for NativeSample {
    fn eq(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.count, one.sum.to_bits(), one.zero_count, one.at_ms, one.buckets.clone());
        key(self) == key(other)
    }
}

impl NativeSample {
    /// Whether it ends its series.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == STALE_BITS
    }

    /// The geometric middle of the bucket that holds the quantile.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = self.zero_count;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return ((f64::from(*bucket) - 0.5) / f64::from(self.schema).exp2()).exp2();
            }
        }
        0.0
    }
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenExemplar {
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub at_ms: i64,
}

/// What is kept of one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredSeries {
    pub samples: Vec<FloatSample>,
    pub histograms: Vec<NativeSample>,
    pub exemplars: Vec<WrittenExemplar>,
}

impl StoredSeries {
    fn newest(&self) -> Option<i64> {
        let float = self.samples.last().map(|sample| sample.at_ms);
        float.max(self.histograms.last().map(|sample| sample.at_ms))
    }

    /// The last value before the end of the series.
    pub fn last(&self) -> Option<f64> {
        self.samples.iter().rev().find(|sample| !sample.is_stale()).map(|sample| sample.value)
    }

    /// The last native histogram before the end of the series.
    pub fn last_histogram(&self) -> Option<&NativeSample> {
        self.histograms.iter().rev().find(|sample| !sample.is_stale())
    }
}

/// A running receiver. It stops when dropped.
#[derive(Debug)]
pub struct RemoteWriteReceiver {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    speaks: Speaks,
    script: VecDeque<Reply>,
    pushed: Vec<Pushed>,
    /// Requests of any kind, also those that were not decoded.
    requests: u64,
    stored: BTreeMap<Vec<(String, String)>, StoredSeries>,
    violations: Vec<String>,
}

impl RemoteWriteReceiver {
    /// Starts one on a free port that gives these answers in order, the last of them for ever.
    pub async fn start(speaks: Speaks, script: impl IntoIterator<Item = Reply>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Mutex::new(Shared {
            speaks,
            script: script.into_iter().collect(),
            pushed: Vec::new(),
            requests: 0,
            stored: BTreeMap::new(),
            violations: Vec::new(),
        }));
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, task })
    }

    /// Where a sender pushes to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/write", self.port)
    }

    /// Replaces the answers still to come.
    pub fn reply_with(&self, script: impl IntoIterator<Item = Reply>) {
        lock(&self.shared).script = script.into_iter().collect();
    }

    /// How many requests came, of any kind.
    pub fn requests(&self) -> u64 {
        lock(&self.shared).requests
    }

    /// The requests that could be read, in order, whatever was answered.
    pub fn pushed(&self) -> Vec<Pushed> {
        lock(&self.shared).pushed.clone()
    }

    /// What it keeps, by labels.
    pub fn stored(&self) -> BTreeMap<Vec<(String, String)>, StoredSeries> {
        lock(&self.shared).stored.clone()
    }

    /// The series of a metric that have these labels.
    pub fn series(&self, metric: &str, labels: &[(&str, &str)]) -> Vec<StoredSeries> {
        let wanted = labels.iter().copied().chain([("__name__", metric)]);
        let wanted: Vec<_> = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let stored = self.stored();
        let found = stored.iter().filter(|(labels, _)| wanted.iter().all(|label| labels.contains(label)));
        found.map(|(_, series)| series.clone()).collect()
    }

    /// The sum of the last values of the series of a metric that have these labels.
    pub fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(metric, labels).iter().filter_map(StoredSeries::last).sum()
    }

    /// Which rules were broken.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared).violations.clone()
    }

    /// Waits until at least so many requests came.
    pub async fn wait_for(&self, requests: u64, deadline: Duration) -> anyhow::Result<()> {
        wait_for(deadline, &format!("{requests} requests"), async || {
            let found = self.requests();
            if found >= requests { Ok(()) } else { Err(format!("{found} so far")) }
        })
        .await
    }
}

impl Drop for RemoteWriteReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // Owned here, so that aborting this task closes the connections too.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // It fails when the sender goes away, which is ordinary here.
            let _ = converse(stream, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: TcpStream, shared: &Mutex<Shared>) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let (method, headers, body) = read_request(&mut stream, &mut buffer, shared).await?;
        let reply = lock(shared).next_reply();
        let half = matches!(reply, Reply::Half | Reply::TakeAndBreak);
        let answer = lock(shared).answer(&method, headers, &body, reply);
        match answer {
            Some(bytes) => stream.write_all(&bytes).await?,
            None => std::future::pending().await,
        }
        if half {
            return Ok(());
        }
    }
}

/// Half of an answer.
const HALF: &[u8] = b"HTTP/1.1 20";

type Headers = BTreeMap<String, String>;

/// One request of HTTP/1.1 with a stated length, which is how senders send what they have encoded.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    shared: &Mutex<Shared>,
) -> anyhow::Result<(String, Headers, Vec<u8>)> {
    let mut chunk = vec![0; 65_536];
    let mut slow = true;
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec())?;
            let mut lines = head.split("\r\n");
            let method = lines.next().and_then(|line| line.split(' ').next()).context("a request line")?;
            let headers: Headers = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length: usize = headers.get("content-length").context("a length")?.parse()?;
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok((method.to_owned(), headers, body));
            }
        }
        let read = stream.read(&mut chunk).await?;
        ensure!(read > 0, "the sender closed");
        buffer.extend_from_slice(&chunk[..read]);
        let pause =
            if let Some(Reply::Slow(pause)) = lock(shared).script.front() { Some(*pause) } else { None };
        if let Some(pause) = pause.filter(|_| std::mem::take(&mut slow)) {
            tokio::time::sleep(pause).await;
        }
    }
}

impl Shared {
    /// The last reply stays for all requests after it.
    fn next_reply(&mut self) -> Reply {
        match (self.script.len(), self.script.front().cloned()) {
            (0, _) | (_, None) => Reply::Take,
            (1, Some(last)) => last,
            (_, Some(first)) => {
                self.script.pop_front();
                first
            }
        }
    }

    /// The bytes of an answer; `None`: there is none.
    fn answer(&mut self, method: &str, headers: Headers, body: &[u8], reply: Reply) -> Option<Vec<u8>> {
        self.requests += 1;
        let version = match self.version(method, &headers) {
            Ok(version) => version,
            Err((status, words)) => return Some(http(status, &[], &words)),
        };
        let written = match decode(body, version) {
            Ok(written) => written,
            Err(error) => {
                self.violations.push(format!("{error:#}"));
                return Some(http(400, &[], &format!("{error:#}")));
            }
        };
        self.violations.extend(broken_rules(&written, version));
        self.pushed.push(Pushed { at: Instant::now(), headers, written: written.clone() });
        match reply {
            Reply::Refuse(status, words) => return Some(http(status, &[], &words)),
            Reply::RetryAfter(status, seconds) => {
                let header = ("Retry-After".to_owned(), seconds.to_string());
                return Some(http(status, &[header], "too much"));
            }
            Reply::Hang => return None,
            Reply::Half => return Some(HALF.to_vec()),
            Reply::Take | Reply::Partly(_) | Reply::TakeAndBreak | Reply::Slow(_) => {}
        }
        let lost = if let Reply::Partly(lost) = reply { lost } else { 0 };
        let taken = without_last(written.clone(), lost);
        let refused = match self.store(&taken, version) {
            Ok(refused) => refused + lost,
            Err(words) => return Some(http(400, &[], &words)),
        };
        if reply == Reply::TakeAndBreak {
            return Some(HALF.to_vec());
        }
        let status = if refused > 0 { 400 } else { 204 };
        let words = if refused > 0 { format!("{refused} samples refused") } else { String::new() };
        let counts = if version == 2 { counts(&written, refused) } else { Vec::new() };
        Some(http(status, &counts, &words))
    }

    fn version(&mut self, method: &str, headers: &Headers) -> Result<u8, (u16, String)> {
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let mut rule = |holds: bool, words: &str| {
            if !holds {
                self.violations.push(words.to_owned());
            }
        };
        rule(method == "POST", "the method is POST");
        rule(header("content-encoding") == "snappy", "the encoding is snappy");
        rule(!header("user-agent").is_empty(), "there is a user agent");
        let (version, stated) = match header("content-type") {
            "application/x-protobuf" | "application/x-protobuf;proto=prometheus.WriteRequest" => (1, "0.1.0"),
            "application/x-protobuf;proto=io.prometheus.write.v2.Request" => (2, "2.0.0"),
            other => return Err((415, format!("unknown content type {other}"))),
        };
        rule(header("x-prometheus-remote-write-version") == stated, "the version header fits the message");
        match (self.speaks, version) {
            (Speaks::One, 2) | (Speaks::Two, 1) => Err((415, "unsupported message".to_owned())),
            (Speaks::OneCareless, _) => Ok(1),
            (_, version) => Ok(version),
        }
    }

    /// Keeps what is newer than what it has; how many samples it refused. What it has already changes nothing.
    fn store(&mut self, written: &Written, version: u8) -> Result<u64, String> {
        let before = self.stored.clone();
        let mut refused = 0;
        for series in &written.series {
            let stored = self.stored.entry(series.labels.clone()).or_default();
            for sample in &series.samples {
                match stored.newest() {
                    Some(newest) if sample.at_ms == newest && stored.samples.last() == Some(sample) => {}
                    Some(newest) if sample.at_ms <= newest => refused += 1,
                    _ => stored.samples.push(*sample),
                }
            }
            for sample in &series.histograms {
                match stored.newest() {
                    Some(newest) if sample.at_ms == newest && stored.histograms.last() == Some(sample) => {}
                    Some(newest) if sample.at_ms <= newest => refused += 1,
                    _ => stored.histograms.push(sample.clone()),
                }
            }
            for exemplar in &series.exemplars {
                if stored.exemplars.last().is_none_or(|last| last.at_ms <= exemplar.at_ms) {
                    stored.exemplars.push(exemplar.clone());
                }
            }
        }
        if version == 1 && refused > 0 {
            self.stored = before;
            return Err("out of order sample".to_owned());
        }
        Ok(refused)
    }
}

/// Less its last samples.
fn without_last(mut written: Written, mut samples: u64) -> Written {
    for series in written.series.iter_mut().rev() {
        while samples > 0 && series.samples.pop().is_some() {
            samples -= 1;
        }
    }
    written
}

fn counts(written: &Written, refused: u64) -> Vec<(String, String)> {
    let sum = |count: fn(&WrittenSeries) -> usize| written.series.iter().map(count).sum::<usize>() as u64;
    let samples = sum(|series| series.samples.len());
    let histograms = sum(|series| series.histograms.len());
    let lost = refused.min(samples);
    let header =
        |what: &str, count: u64| (format!("X-Prometheus-Remote-Write-{what}-Written"), count.to_string());
    vec![
        header("Samples", samples - lost),
        header("Histograms", histograms - (refused - lost).min(histograms)),
        header("Exemplars", sum(|series| series.exemplars.len())),
    ]
}

fn http(status: u16, headers: &[(String, String)], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{head}\r\n{}", if status == 204 { "" } else { body }).into_bytes()
}

/// Reads a request body.
///
/// # Errors
/// When it is not snappy's block format, no message of this version, or contradicts itself.
pub fn decode(body: &[u8], version: u8) -> anyhow::Result<Written> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).context("snappy, block format")?;
    decode_plain(&plain, version)
}

/// Reads a message that is not compressed.
///
/// # Errors
/// As [`decode`].
pub fn decode_plain(body: &[u8], version: u8) -> anyhow::Result<Written> {
    match version {
        1 => one::WriteRequest::decode(body)?.read(),
        2 => two::Request::decode(body)?.read(),
        other => bail!("no version {other}"),
    }
}

/// The rules of the specifications that a message breaks.
pub fn broken_rules(written: &Written, version: u8) -> Vec<String> {
    let mut broken = Vec::new();
    if version == 2 {
        if written.symbols.first().is_none_or(|first| !first.is_empty()) {
            broken.push("the first symbol is empty".to_owned());
        }
        if written.symbols.iter().collect::<BTreeSet<_>>().len() < written.symbols.len() {
            broken.push("no symbol stands there twice".to_owned());
        }
    }
    for series in &written.series {
        let mut rule = |holds: bool, words: &str| {
            if !holds {
                broken.push(format!("{words}: {:?}", series.labels));
            }
        };
        let names: Vec<&str> = series.labels.iter().map(|(name, _)| name.as_str()).collect();
        rule(names.windows(2).all(|pair| pair[0] < pair[1]), "labels ascend by name and are unique");
        rule(
            series.labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()),
            "no label is empty",
        );
        let word = |text: &str, colon: bool| {
            let known =
                |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || (colon && letter == ':');
            text.chars().all(known) && !text.starts_with(|letter: char| letter.is_ascii_digit())
        };
        let metric = series.labels.iter().find(|(name, _)| name == "__name__");
        rule(metric.is_some_and(|(_, metric)| word(metric, true)), "the metric has a name");
        rule(names.iter().all(|name| word(name, false)), "label names are words");
        rule(
            names.iter().all(|name| *name == "__name__" || !name.starts_with("__")),
            "reserved label names are not used",
        );
        rule(series.samples.is_empty() != series.histograms.is_empty(), "samples or histograms, not both");
        let moments: Vec<i64> = series.samples.iter().map(|sample| sample.at_ms).collect();
        rule(moments.windows(2).all(|pair| pair[0] < pair[1]), "samples ascend by time");
        let moments: Vec<i64> = series.histograms.iter().map(|sample| sample.at_ms).collect();
        rule(moments.windows(2).all(|pair| pair[0] < pair[1]), "histograms ascend by time");
        rule(series.exemplars.iter().all(|exemplar| exemplar.at_ms > 0), "an exemplar has a time");
        let nan =
            |value: f64| !value.is_nan() || [STALE_BITS, 0x7ff8_0000_0000_0001].contains(&value.to_bits());
        rule(
            series.samples.iter().all(|sample| nan(sample.value)),
            "a NaN is the ordinary one or the stale one",
        );
        let start = |start: i64, at: i64| start <= at;
        rule(series.samples.iter().all(|sample| start(sample.start_ms, sample.at_ms)), "it starts before");
        if version == 2 {
            let described = series.described.as_ref();
            rule(described.is_some_and(|described| described.kind != 0), "the type is stated");
        } else {
            let silent = series.samples.iter().all(|sample| sample.start_ms == 0);
            rule(silent && series.described.is_none(), "1.0 knows no start and no metadata of a series");
        }
    }
    broken
}

/// Deltas by spans as counts by bucket.
fn buckets(spans: &[(i32, u32)], deltas: &[i64]) -> anyhow::Result<BTreeMap<i32, u64>> {
    let mut buckets = BTreeMap::new();
    let mut deltas = deltas.iter();
    let (mut bucket, mut count) = (0_i32, 0_i64);
    for (place, (offset, length)) in spans.iter().enumerate() {
        ensure!(place == 0 || *offset >= 0, "spans ascend");
        bucket += offset;
        for _ in 0..*length {
            count += deltas.next().context("a delta for each bucket")?;
            buckets.insert(bucket, u64::try_from(count).context("no count is below zero")?);
            bucket += 1;
        }
    }
    ensure!(deltas.next().is_none(), "a bucket for each delta");
    Ok(buckets)
}

/// `prompb`'s messages, as far as senders fill them.
mod one {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub(super) timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub(super) metadata: Vec<MetricMetadata>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct MetricMetadata {
        #[prost(int32, tag = "1")]
        kind: i32,
        #[prost(string, tag = "2")]
        metric_family_name: String,
        #[prost(string, tag = "4")]
        help: String,
        #[prost(string, tag = "5")]
        unit: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        histograms: Vec<Histogram>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sample {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
        #[prost(int64, tag = "2")]
        pub(super) timestamp: i64,
        /// 2.0.
        #[prost(int64, tag = "3")]
        pub(super) start_timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(double, tag = "2")]
        value: f64,
        #[prost(int64, tag = "3")]
        timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        count_int: Option<u64>,
        #[prost(double, tag = "3")]
        sum: f64,
        #[prost(sint32, tag = "4")]
        schema: i32,
        #[prost(double, tag = "5")]
        zero_threshold: f64,
        #[prost(uint64, optional, tag = "6")]
        zero_count_int: Option<u64>,
        #[prost(message, repeated, tag = "11")]
        positive_spans: Vec<BucketSpan>,
        #[prost(sint64, repeated, tag = "12")]
        positive_deltas: Vec<i64>,
        #[prost(int64, tag = "15")]
        timestamp: i64,
        #[prost(int64, tag = "17")]
        start_timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, tag = "1")]
        offset: i32,
        #[prost(uint32, tag = "2")]
        length: u32,
    }

    impl WriteRequest {
        pub(super) fn read(self) -> anyhow::Result<Written> {
            let series = self.timeseries.into_iter().map(TimeSeries::read).collect::<anyhow::Result<_>>()?;
            let metadata = self.metadata.into_iter().map(|one| {
                (one.metric_family_name, Described { kind: one.kind, help: one.help, unit: one.unit })
            });
            Ok(Written { series, metadata: metadata.collect(), symbols: Vec::new() })
        }
    }

    impl TimeSeries {
        fn read(self) -> anyhow::Result<WrittenSeries> {
            let labels =
                |labels: Vec<Label>| labels.into_iter().map(|label| (label.name, label.value)).collect();
            let exemplar = |one: Exemplar| WrittenExemplar {
                labels: labels(one.labels),
                value: one.value,
                at_ms: one.timestamp,
            };
            Ok(WrittenSeries {
                samples: self.samples.into_iter().map(Sample::read).collect(),
                histograms: self
                    .histograms
                    .into_iter()
                    .map(Histogram::read)
                    .collect::<anyhow::Result<_>>()?,
                exemplars: self.exemplars.into_iter().map(exemplar).collect(),
                labels: labels(self.labels),
                described: None,
            })
        }
    }

    impl Sample {
        pub(super) fn read(self) -> FloatSample {
            FloatSample { value: self.value, at_ms: self.timestamp, start_ms: self.start_timestamp }
        }
    }

    impl Histogram {
        pub(super) fn read(self) -> anyhow::Result<NativeSample> {
            let spans: Vec<_> = self.positive_spans.iter().map(|span| (span.offset, span.length)).collect();
            let sample = NativeSample {
                count: self.count_int.context("a count of integers")?,
                sum: self.sum,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_int.context("a count of zeros")?,
                buckets: buckets(&spans, &self.positive_deltas)?,
                at_ms: self.timestamp,
                start_ms: self.start_timestamp,
            };
            let counted = sample.zero_count + sample.buckets.values().sum::<u64>();
            ensure!(sample.count == counted, "{} in all, {counted} in buckets", sample.count);
            Ok(sample)
        }
    }
}

/// `io.prometheus.write.v2`'s messages, as far as senders fill them.
mod two {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(string, repeated, tag = "4")]
        symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<one::Sample>,
        #[prost(message, repeated, tag = "3")]
        histograms: Vec<one::Histogram>,
        #[prost(message, repeated, tag = "4")]
        exemplars: Vec<Exemplar>,
        #[prost(message, optional, tag = "5")]
        metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Exemplar {
        #[prost(uint32, repeated, tag = "1")]
        labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        value: f64,
        #[prost(int64, tag = "3")]
        timestamp: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Metadata {
        #[prost(int32, tag = "1")]
        kind: i32,
        #[prost(uint32, tag = "3")]
        help_ref: u32,
        #[prost(uint32, tag = "4")]
        unit_ref: u32,
    }

    impl Request {
        pub(super) fn read(self) -> anyhow::Result<Written> {
            let text = |symbol: u32| {
                self.symbols.get(symbol as usize).cloned().context("a reference points into the symbols")
            };
            let labels = |symbols: &[u32]| -> anyhow::Result<Vec<(String, String)>> {
                ensure!(symbols.len().is_multiple_of(2), "names and values come in pairs");
                symbols.chunks(2).map(|pair| Ok((text(pair[0])?, text(pair[1])?))).collect()
            };
            let mut series = Vec::new();
            for one in self.timeseries {
                let mut exemplars = Vec::new();
                for exemplar in one.exemplars {
                    let labels = labels(&exemplar.labels_refs)?;
                    exemplars.push(WrittenExemplar {
                        labels,
                        value: exemplar.value,
                        at_ms: exemplar.timestamp,
                    });
                }
                let described = match one.metadata {
                    Some(metadata) => Some(Described {
                        kind: metadata.kind,
                        help: text(metadata.help_ref)?,
                        unit: text(metadata.unit_ref)?,
                    }),
                    None => None,
                };
                series.push(WrittenSeries {
                    labels: labels(&one.labels_refs)?,
                    samples: one.samples.into_iter().map(one::Sample::read).collect(),
                    histograms: one
                        .histograms
                        .into_iter()
                        .map(one::Histogram::read)
                        .collect::<anyhow::Result<_>>()?,
                    exemplars,
                    described,
                });
            }
            Ok(Written { series, metadata: BTreeMap::new(), symbols: self.symbols })
        }
    }
}

/// A panic in one test's assertion does not matter to what was recorded.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_deltas_are_counts() {
        let found = buckets(&[(-3, 2), (5, 2)], &[5, 2, -6, 0]).unwrap();
        assert_eq!(found, BTreeMap::from([(-3, 5), (-2, 7), (4, 1), (5, 1)]));
        buckets(&[(0, 2)], &[1]).unwrap_err();
        buckets(&[(0, 1)], &[1, 1]).unwrap_err();
        buckets(&[(0, 1)], &[-1]).unwrap_err();
    }

    #[test]
    fn broken_rules_are_found() {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sample = |at_ms| FloatSample { value: 1.0, at_ms, start_ms: 0 };
        let good = WrittenSeries {
            labels: vec![label("__name__", "up"), label("a", "b")],
            samples: vec![sample(1), sample(2)],
            ..WrittenSeries::default()
        };
        let broken = |change: &dyn Fn(&mut WrittenSeries)| {
            let mut series = good.clone();
            change(&mut series);
            broken_rules(&Written { series: vec![series], ..Written::default() }, 1).len()
        };
        assert_eq!(broken(&|_| ()), 0);
        assert_eq!(broken(&|series| series.labels.reverse()), 1);
        assert_eq!(broken(&|series| series.labels[1].1.clear()), 1);
        assert_eq!(broken(&|series| series.labels.push(label("a", "c"))), 1);
        assert_eq!(broken(&|series| series.samples.reverse()), 1);
        assert_eq!(broken(&|series| series.samples.clear()), 1);
        assert_eq!(broken(&|series| series.labels[0].1 = "no name".to_owned()), 1);
    }
}
