//! Sends metrics and spans to a receiver of the OpenTelemetry protocol, over HTTP or gRPC.
//!
//! Metrics and spans are two sinks, each with its own queue and counts. What is sent again and what is
//! given up follows the protocol's specification: over HTTP 429, 502, 503 and 504, over gRPC the codes it
//! lists. Points that the receiver says it rejected are lost, the others taken.
//!
//! A request may arrive twice. Cumulative points then say the same twice; of delta points both would count,
//! and spans are the same span by their ids.

mod grpc;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use plimsoll_exposition::Report;
use plimsoll_exposition::otlp::messages::collector::metrics::v1::ExportMetricsServiceResponse;
use plimsoll_exposition::otlp::messages::collector::trace::v1::ExportTraceServiceResponse;
use plimsoll_exposition::otlp::{Encoded, MetricsEncoder, SpansEncoder, halves_of_metrics, halves_of_spans};
use plimsoll_run::{OtlpExport, OtlpProtocol, RunEvent, Secret, Started};
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use crate::answer::with_words;
use crate::http::{self, RawReply};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink of metrics in counts and metrics.
pub const METRICS_SINK: &str = "otlp";

/// The name of the sink of spans in counts and metrics.
pub const TRACES_SINK: &str = "otlp_traces";

/// Of one request: receivers take 4 MiB over gRPC if nobody told them otherwise.
const LIMITS: Limits = Limits { points: 10_000, bytes: 2 << 20, lanes: 1 };

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Measurements.
    Metrics,
    /// Single requests.
    Traces,
}

impl Signal {
    fn sink(self) -> &'static str {
        match self {
            Self::Metrics => METRICS_SINK,
            Self::Traces => TRACES_SINK,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }

    /// What an answer that says success rejects all the same.
    fn partial(self, response: &[u8]) -> Option<Partial> {
        let (rejected, message) = match self {
            Self::Metrics => {
                let partial = ExportMetricsServiceResponse::decode(response).ok()?.partial_success?;
                (partial.rejected_data_points, partial.error_message)
            }
            Self::Traces => {
                let partial = ExportTraceServiceResponse::decode(response).ok()?.partial_success?;
                (partial.rejected_spans, partial.error_message)
            }
        };
        Some(Partial { rejected: u64::try_from(rejected).unwrap_or(0), message })
    }
}

#[derive(Debug)]
struct Partial {
    rejected: u64,
    message: String,
}

/// A receiver, for one kind of what is sent.
pub struct Otlp {
    signal: Signal,
    settings: OtlpExport,
    transport: Transport,
}

enum Transport {
    Http { client: Client, url: Url, gzip: bool },
    Grpc(Box<grpc::Client>),
}

impl Otlp {
    /// It does not ask whether the receiver is there.
    ///
    /// # Errors
    /// When URL or headers cannot be used.
    pub fn new(settings: &OtlpExport, signal: Signal) -> Result<Self, SinkError> {
        let transport = match settings.protocol {
            OtlpProtocol::Http => {
                let mut headers = HeaderMap::new();
                for (name, value) in &settings.headers {
                    let (name, value) = header(signal, name, value)?;
                    headers.insert(name, value);
                }
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if settings.gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                let mut url = http::url(signal.sink(), &settings.url)?;
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().extend(["v1", signal.path()]);
                }
                Transport::Http { client: http::client(signal.sink(), headers)?, url, gzip: settings.gzip }
            }
            OtlpProtocol::Grpc => Transport::Grpc(Box::new(grpc::Client::new(settings, signal)?)),
        };
        Ok(Self { signal, settings: settings.clone(), transport })
    }

    async fn deliver(&self, body: Vec<u8>) -> Answer {
        match &self.transport {
            Transport::Http { client, url, gzip: true } => self.post(client, url, http::gzip(&body)).await,
            Transport::Http { client, url, gzip: false } => self.post(client, url, body).await,
            Transport::Grpc(client) => match client.export(body).await {
                Ok(response) => self.success(&response),
                Err(answer) => answer,
            },
        }
    }

    async fn post(&self, client: &Client, url: &Url, body: Vec<u8>) -> Answer {
        match http::post_raw(client, url, HeaderMap::new(), body).await {
            Ok(reply) if (200..=299).contains(&reply.status) => self.success(&reply.body),
            Ok(reply) => failure(&reply),
            Err(answer) => answer,
        }
    }

    /// An answer that is no message of the protocol rejects nothing.
    fn success(&self, response: &[u8]) -> Answer {
        match self.signal.partial(response) {
            Some(Partial { rejected, message }) if rejected > 0 || !message.is_empty() => Answer::Partly {
                lost: rejected,
                kind: if rejected > 0 { "rejected" } else { "warning" }.to_owned(),
                reason: if rejected > 0 {
                    format!("the receiver rejected some points; they are lost; it says: {message}")
                } else {
                    format!("the receiver took everything, and says: {message}")
                },
            },
            _ => Answer::Taken,
        }
    }
}

impl Sink for Otlp {
    fn name(&self) -> &'static str {
        self.signal.sink()
    }

    /// A piece says itself of which temporality and form it is, so these are no part of it.
    fn identity(&self) -> String {
        without_userinfo(&self.settings.url)
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        let OtlpExport { temporality, histograms, .. } = self.settings;
        match self.signal {
            Signal::Metrics => Box::new(Metrics(MetricsEncoder::new(started, temporality, histograms))),
            Signal::Traces => Box::new(Traces(SpansEncoder::new(started))),
        }
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        // Requests add up when they stand one after the other.
        let body = pieces.iter().flat_map(|piece| &piece.body).copied().collect();
        Box::pin(self.deliver(body))
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        let halves = match self.signal {
            Signal::Metrics => halves_of_metrics(&piece.body),
            Signal::Traces => halves_of_spans(&piece.body),
        };
        halves.map(|halves| halves.map(piece_of))
    }

    /// A receiver may quote the headers it was sent.
    fn redact(&self, text: &str) -> String {
        let values = self.settings.headers.iter().map(|(_, value)| value.expose());
        let words = values.flat_map(|value| [value, value.rsplit(' ').next().unwrap_or_default()]);
        words.filter(|word| !word.is_empty()).fold(text.to_owned(), |text, word| text.replace(word, "***"))
    }
}

impl Debug for Otlp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").field("signal", &self.signal).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Metrics(MetricsEncoder);

impl Encoder for Metrics {
    fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        self.0.encode(event, report).into_iter().map(piece_of).collect()
    }
}

#[derive(Debug)]
struct Traces(SpansEncoder);

impl Encoder for Traces {
    fn encode(&mut self, event: &RunEvent, _: Option<&Report>) -> Vec<Piece> {
        self.0.encode(event).into_iter().map(piece_of).collect()
    }
}

fn piece_of(Encoded { points, body }: Encoded) -> Piece {
    Piece { points, lane: 0, body }
}

fn header(signal: Signal, name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), SinkError> {
    let wrong = || SinkError::new(signal.sink(), format!("the header `{name}` is none of HTTP"));
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn without_userinfo(text: &str) -> String {
    Url::parse(text).map(|url| http::without_userinfo(&url).into()).unwrap_or_default()
}

/// What an HTTP status other than success means. The specification lists what may be sent again; no
/// other status may.
fn failure(reply: &RawReply) -> Answer {
    let said = words(&reply.body);
    match reply.status {
        429 | 502 | 503 | 504 | 413 | 401 | 403 => {
            Answer::of_status(reply.status, reply.retry_after(), &said)
        }
        404 => refused(404, "there is no receiver of OTLP under this URL; points are lost", &said),
        status => refused(status, "the receiver refused points; they are lost", &said),
    }
}

fn refused(status: u16, meaning: &str, said: &str) -> Answer {
    Answer::Refused { kind: status.to_string(), reason: with_words(status, meaning, said) }
}

/// `google.rpc.Status`: what went wrong, in words, and details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The message of a status in protobuf, else the text as it is.
fn words(body: &[u8]) -> String {
    match RpcStatus::decode(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

#[cfg(test)]
mod tests;
