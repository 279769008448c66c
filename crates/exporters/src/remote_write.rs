//! Pushes samples to a receiver of Prometheus remote write, version 2.0 or 1.0.
//!
//! With `version: auto` 2.0 goes first. A receiver that answers 415, or takes a request without saying what it
//! wrote (which old ones do that do not look at what they read), is spoken to in 1.0 from then on.
//!
//! What a receiver of 2.0 says it wrote is believed. One of 1.0 says nothing, and may refuse a whole request
//! for one sample that is older than what it has, as happens when a request is sent again: then the
//! seconds of the request are sent one by one. A second that is refused so after a try whose end is not
//! known did arrive then. All else that is refused is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use plimsoll_exposition::Report;
use plimsoll_exposition::remote_write::{self as form, Form, Histograms, Part, Request, Version};
use plimsoll_run::{RemoteWriteExport, RemoteWriteHistograms, RemoteWriteVersion, RunEvent, Secret, Started};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use crate::answer::with_words;
use crate::http::{self, Reply};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "remote_write";

/// Points of one request: as many samples as Prometheus itself sends, where a point is no histogram.
const POINTS: u64 = 2_000;

/// Bytes of points of one request: texts stand in them once, so a request of 1.0 has some ten times as many.
const BYTES: usize = 128 << 10;

/// How often a receiver may say of native histograms that it has none before they are left out.
const NATIVE_TRIES: u8 = 3;

/// Which version a receiver understands, in [`RemoteWrite::spoken`].
const UNDECIDED: u8 = 0;

/// A receiver.
#[derive(Debug)]
pub struct RemoteWrite {
    client: Client,
    url: Url,
    version: RemoteWriteVersion,
    histograms: Histograms,
    labels: BTreeMap<String, String>,
    secrets: Vec<Secret>,
    /// The version it took something in.
    spoken: AtomicU8,
    /// How often it said that it has no native histograms.
    native_refused: AtomicU8,
    /// By lane, up to which moment (Unix milliseconds) something was sent of which nobody knows the end.
    unsettled: Vec<AtomicI64>,
}

impl RemoteWrite {
    /// It does not ask whether the receiver is there.
    ///
    /// # Errors
    /// When the URL or what goes into headers cannot be used.
    pub fn new(settings: &RemoteWriteExport) -> Result<Self, SinkError> {
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| SinkError::new(SINK, format!("`{name}` cannot be the name of a header")))?;
            let what = format!("the header `{name}`");
            headers.insert(name, http::secret_header(SINK, &what, value.expose())?);
            secrets.push(value.clone());
        }
        let credentials = match (&settings.token, &settings.login) {
            (Some(token), _) => {
                secrets.push(token.clone());
                Some(format!("Bearer {}", token.expose()))
            }
            (None, Some((user, password))) => {
                let basic = http::basic(user, password.expose());
                secrets.extend([password.clone(), Secret::new(basic.clone())]);
                Some(basic)
            }
            (None, None) => None,
        };
        if let Some(credentials) = credentials {
            let what = "the token, user or password";
            headers.insert(AUTHORIZATION, http::secret_header(SINK, what, &credentials)?);
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        Ok(Self {
            client: http::client(SINK, headers)?,
            url: http::url(SINK, &settings.url)?,
            version: settings.version,
            histograms: match settings.histograms {
                RemoteWriteHistograms::Both => Histograms::Both,
                RemoteWriteHistograms::Native => Histograms::Native,
                RemoteWriteHistograms::Classic => Histograms::Classic,
            },
            labels: settings.labels.clone(),
            secrets,
            spoken: AtomicU8::new(UNDECIDED),
            native_refused: AtomicU8::new(0),
            unsettled: (0..settings.lanes.max(1)).map(|_| AtomicI64::new(i64::MIN)).collect(),
        })
    }

    /// The versions to try, in this order.
    fn versions(&self) -> &'static [Version] {
        match (self.version, self.spoken.load(Ordering::Relaxed)) {
            (RemoteWriteVersion::One, _) => &[Version::V1],
            (RemoteWriteVersion::Two, _) => &[Version::V2],
            (RemoteWriteVersion::Auto, 1) => &[Version::V1, Version::V2],
            (RemoteWriteVersion::Auto, _) => &[Version::V2, Version::V1],
        }
    }

    fn histograms(&self) -> Histograms {
        // Points hold both forms, so nothing is lost by leaving one out.
        let refused = self.native_refused.load(Ordering::Relaxed) >= NATIVE_TRIES;
        if refused { Histograms::Classic } else { self.histograms }
    }

    async fn push(&self, pieces: &[Piece]) -> Answer {
        let mut answer = Answer::Taken;
        for version in self.versions() {
            let other;
            (answer, other) = self.push_as(*version, pieces).await;
            if !other {
                break;
            }
        }
        answer
    }

    /// What becomes of pieces, and whether another version may fare better.
    async fn push_as(&self, version: Version, pieces: &[Piece]) -> (Answer, bool) {
        let form = Form { version, histograms: self.histograms() };
        let bodies = pieces.iter().map(|piece| piece.body.as_slice());
        let request = match form::request(bodies, form) {
            Ok(request) => request,
            Err(error) => return (damaged(&error.to_string()), false),
        };
        let body = match snap::raw::Encoder::new().compress_vec(&request.body) {
            Ok(body) => body,
            // More than 4 GiB, which a request's limits are far below.
            Err(error) => return (damaged(&error.to_string()), false),
        };
        let lane = pieces.first().and_then(|piece| self.unsettled.get(usize::from(piece.lane)));
        let sent = http::post(&self.client, &self.url, headers(version), body).await;
        let unknown = match &sent {
            Ok(reply) => reply.status >= 500,
            Err(_) => true,
        };
        let before = lane.map_or(i64::MIN, |lane| lane.load(Ordering::Relaxed));
        if let (Some(lane), true) = (lane, unknown) {
            lane.fetch_max(request.newest_ms, Ordering::Relaxed);
        }
        match sent {
            Ok(reply) => {
                let sent = Sent { request, form, pieces, arrived: before };
                let (answer, other) = self.meaning(&reply, &sent);
                if let (Answer::Taken | Answer::Partly { .. }, false) = (&answer, other) {
                    self.spoken.store(if version == Version::V1 { 1 } else { 2 }, Ordering::Relaxed);
                }
                (answer, other)
            }
            Err(answer) => (answer, false),
        }
    }

    fn meaning(&self, reply: &Reply, sent: &Sent<'_>) -> (Answer, bool) {
        let written = Written::of(&reply.headers);
        let auto = self.version == RemoteWriteVersion::Auto;
        let usual = || Answer::of_status(reply.status, reply.retry_after(), &reply.body);
        match (reply.status, sent.form.version, written) {
            (200..=299, Version::V1, _) => (Answer::Taken, false),
            (200..=299 | 400..=499, Version::V2, Some(written)) if reply.status != 429 => {
                (sent.partly(reply, written), false)
            }
            (200..=299, Version::V2, None) => {
                let meaning =
                    "the server does not say what it wrote, so it understands no 2.0; points are lost";
                (Answer::refused(reply.status, meaning, &reply.body), auto)
            }
            (415, version, _) => {
                let number = if version == Version::V1 { "1.0" } else { "2.0" };
                let meaning = format!("the server does not understand version {number}; points are lost");
                (Answer::refused(415, &meaning, &reply.body), auto)
            }
            // What 1.0 receivers say that do not know 415.
            (400, Version::V2, None) if self.spoken.load(Ordering::Relaxed) == UNDECIDED => (usual(), auto),
            (400, _, None) if is_out_of_order(&reply.body) => match sent.pieces {
                [] | [_] if sent.request.newest_ms <= sent.arrived => (Answer::Taken, false),
                [] | [_] => (too_old(reply), false),
                _ => (Answer::TooLarge, false),
            },
            (500, ..) if sent.request.histograms > 0 && names_native_histograms(&reply.body) => {
                let tries = self.native_refused.fetch_add(1, Ordering::Relaxed) + 1;
                let answer = if tries < NATIVE_TRIES { usual() } else { without_native(reply) };
                (answer, false)
            }
            _ => (usual(), false),
        }
    }
}

/// A request that was answered.
struct Sent<'a> {
    request: Request,
    form: Form,
    pieces: &'a [Piece],
    /// Up to which moment something may have arrived before.
    arrived: i64,
}

impl Sent<'_> {
    /// What counts of what was written mean. A point is one sample, or as a histogram some twenty, of
    /// which one that is missing is enough: so no more points are lost than are said here.
    fn partly(&self, reply: &Reply, written: Written) -> Answer {
        let samples = self.request.samples.saturating_sub(written.samples);
        let native = self.request.histograms.saturating_sub(written.histograms);
        // Beside classic buckets native ones say nothing new.
        let missing = if self.form.histograms == Histograms::Native { samples + native } else { samples };
        let points: u64 = self.pieces.iter().map(|piece| piece.points).sum();
        let all =
            written.samples == 0 && (written.histograms == 0 || self.form.histograms == Histograms::Both);
        if missing == 0 && native == 0 && reply.status < 300 {
            return Answer::Taken;
        }
        if all && missing > 0 {
            return Answer::refused(reply.status, "the server refused points; they are lost", &reply.body);
        }
        let meaning = match (missing, native) {
            (0, 0) => "the server refused what is no sample, like exemplars",
            (0, _) => "the server refused native histograms; it has their classic buckets",
            _ => "the server refused some points; they are lost",
        };
        Answer::Partly {
            lost: missing.min(points),
            kind: format!("{} partly", reply.status),
            reason: with_words(reply.status, meaning, &reply.body),
        }
    }
}

/// What a receiver of 2.0 says it wrote; what it does not mention it did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    samples: u64,
    histograms: u64,
}

impl Written {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let count = |what: &str| -> Option<u64> {
            let value = headers.get(format!("x-prometheus-remote-write-{what}-written"))?;
            value.to_str().ok()?.trim().parse().ok()
        };
        let (samples, histograms) = (count("samples"), count("histograms"));
        let any = samples.or(histograms).or(count("exemplars"));
        any.map(|_| Self { samples: samples.unwrap_or(0), histograms: histograms.unwrap_or(0) })
    }
}

impl Sink for RemoteWrite {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        http::without_userinfo(&self.url).into()
    }

    fn limits(&self) -> Limits {
        Limits { points: POINTS, bytes: BYTES, lanes: self.unsettled.len() as u8 }
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        let mut labels = BTreeMap::from([
            ("job".to_owned(), "plimsoll".to_owned()),
            ("instance".to_owned(), started.info.machine.host.clone()),
        ]);
        labels.extend(self.labels.clone());
        Box::new(Samples(form::Encoder::new(labels, self.unsettled.len() as u8)))
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(self.push(pieces))
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        let Piece { points, lane, body } = piece.clone();
        form::halves(&Part { points, lane, body }).map(|halves| halves.map(piece_of))
    }

    fn redact(&self, text: &str) -> String {
        http::without(text, &self.secrets)
    }
}

#[derive(Debug)]
struct Samples(form::Encoder);

impl Encoder for Samples {
    fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        self.0.encode(event, report).into_iter().map(piece_of).collect()
    }
}

fn piece_of(part: Part) -> Piece {
    Piece { points: part.points, lane: part.lane, body: part.body }
}

fn headers(version: Version) -> HeaderMap {
    let (content_type, number) = match version {
        Version::V1 => ("application/x-protobuf", "0.1.0"),
        Version::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(number));
    headers
}

fn damaged(error: &str) -> Answer {
    Answer::Refused { kind: "damaged".to_owned(), reason: format!("points that waited are lost: {error}") }
}

/// As receivers of 1.0 word it that they have later samples of a series, or another one of this moment.
fn is_out_of_order(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["out of order", "out-of-order", "duplicate sample", "too old", "out of bounds"]
        .iter()
        .any(|known| words.contains(known))
}

fn too_old(reply: &Reply) -> Answer {
    let meaning = "the server finds points too old, by what it has or by its clock; they are lost";
    Answer::refused(reply.status, meaning, &reply.body)
}

fn names_native_histograms(words: &str) -> bool {
    words.to_ascii_lowercase().contains("native histogram")
}

fn without_native(reply: &Reply) -> Answer {
    let meaning = "the server has no native histograms; from here on it gets classic ones alone";
    Answer::Later {
        kind: "no native histograms".to_owned(),
        reason: with_words(reply.status, meaning, &reply.body),
        after: Some(Duration::ZERO),
    }
}
