//! An emulated receiver of the OpenTelemetry protocol whose answers a test scripts.
//!
//! HTTP/1.1 and gRPC (HTTP/2 without TLS) on one port, written from the specifications: it decodes with
//! the messages as others generate them, and frames gRPC by hand.

use std::convert::Infallible;
use std::future::pending;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::Notify;

use crate::half::Half;
use crate::scripted::{Body, Protocol, Reply, Scripted};

/// What the receiver does with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtlpAnswer {
    /// Takes it.
    Take,
    /// Takes it but for so many points, with a message.
    Partial(i64, String),
    /// Over HTTP: this status, with a message and maybe the wish to come back after so many seconds.
    Status(u16, String, Option<u64>),
    /// Over gRPC: this status code, with a message and maybe the wish to come back after a while.
    Code(i32, String, Option<Duration>),
    /// Reads the request and never replies.
    Stall,
    /// Reads the request and closes the connection without a reply.
    Close,
    /// Replies with the beginning of a success and closes the connection.
    Half,
}

/// One request as it arrived, decoded.
#[derive(Debug, Clone)]
pub struct OtlpRequest {
    pub at: Instant,
    /// The path of its URL.
    pub path: String,
    pub headers: HeaderMap,
    pub metrics: ExportMetricsServiceRequest,
    pub traces: ExportTraceServiceRequest,
    /// The answer it got.
    pub answer: OtlpAnswer,
}

impl OtlpRequest {
    /// Its metrics, whatever resource they belong to.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        let scopes = self.metrics.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics)
    }

    /// Its spans, whatever resource they belong to.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        let scopes = self.traces.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans)
    }
}

/// A running receiver, of both forms of the protocol.
pub type OtlpReceiver = Scripted<Otlp>;

/// Metrics and traces, by HTTP or gRPC.
#[derive(Debug)]
pub struct Otlp;

impl Protocol for Otlp {
    type Answer = OtlpAnswer;
    type Received = OtlpRequest;

    fn read(head: Parts, body: Bytes, answer: &OtlpAnswer) -> anyhow::Result<OtlpRequest> {
        let message = if is_grpc(&head.headers) { unframed(&body)? } else { unpacked(&head.headers, &body)? };
        let path = head.uri.path().to_owned();
        let (mut metrics, mut traces) = <(ExportMetricsServiceRequest, ExportTraceServiceRequest)>::default();
        match path.as_str() {
            "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
                metrics = ExportMetricsServiceRequest::decode(message.as_slice())?;
            }
            "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
                traces = ExportTraceServiceRequest::decode(message.as_slice())?;
            }
            other => anyhow::bail!("nobody exports to {other}"),
        }
        let (at, answer) = (Instant::now(), answer.clone());
        Ok(OtlpRequest { at, path, headers: head.headers, metrics, traces, answer })
    }

    async fn reply(answer: OtlpAnswer, received: OtlpRequest, close: &Arc<Notify>) -> Reply {
        let is_grpc = is_grpc(&received.headers);
        match answer {
            OtlpAnswer::Take => Ok(taken(is_grpc, Vec::new())),
            OtlpAnswer::Partial(rejected_data_points, error_message) => {
                // The response about spans has the same fields under the same numbers.
                let partial_success =
                    Some(ExportMetricsPartialSuccess { rejected_data_points, error_message });
                Ok(taken(is_grpc, ExportMetricsServiceResponse { partial_success }.encode_to_vec()))
            }
            OtlpAnswer::Status(status, message, after) => refused_by_http(status, message, after),
            OtlpAnswer::Code(code, message, after) => refused_by_grpc(code, &message, after),
            OtlpAnswer::Stall => match pending::<Infallible>().await {},
            OtlpAnswer::Close => anyhow::bail!("the script says to close"),
            OtlpAnswer::Half => Ok(half(is_grpc, close)),
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn unpacked(headers: &HeaderMap, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let kind = headers.get(CONTENT_TYPE).context("a request says what it holds")?;
    ensure!(kind == "application/x-protobuf", "{kind:?} is not read here");
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding == "gzip" => gunzip(body),
        Some(other) => anyhow::bail!("{other:?} is not read here"),
        None => Ok(body.to_vec()),
    }
}

/// The one message of a call: a byte that says whether it is compressed, four of its length, itself.
fn unframed(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (head, message) = body.split_at_checked(5).context("a frame has a head")?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    ensure!(message.len() == length as usize, "one message, of {length} bytes, is expected");
    if head[0] == 1 { gunzip(message) } else { Ok(message.to_vec()) }
}

fn gunzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn taken(is_grpc: bool, message: Vec<u8>) -> Response<Body> {
    if !is_grpc {
        let mut reply = Response::new(Full::new(message.into()).boxed());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        return reply;
    }
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut reply = Response::new(body.boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply
}

/// The head of an answer, and of the message that would say what was rejected its first byte.
fn half(is_grpc: bool, close: &Arc<Notify>) -> Response<Body> {
    let (kind, body): (_, &[u8]) = match is_grpc {
        true => ("application/grpc", &[0, 0, 0, 0, 9, 0x0a]),
        false => ("application/x-protobuf", &[0x0a]),
    };
    let mut reply = Response::new(Half::of(body, close).boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<RpcDetail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct RpcDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn refused_by_http(status: u16, message: String, after: Option<u64>) -> Reply {
    let said = RpcStatus { code: 0, message, details: Vec::new() };
    let mut reply = Response::new(Full::new(said.encode_to_vec().into()).boxed());
    *reply.status_mut() = StatusCode::from_u16(status).context("a scripted status")?;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    if let Some(seconds) = after {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(reply)
}

/// An answer without a message: its status stands in the headers.
fn refused_by_grpc(code: i32, message: &str, after: Option<Duration>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()).boxed());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", code.into());
    headers.insert("grpc-message", HeaderValue::from_str(message)?);
    if let Some(after) = after {
        let delay =
            RetryDelay { seconds: i64::try_from(after.as_secs())?, nanos: after.subsec_nanos() as i32 };
        let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
        let detail = RpcDetail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value };
        let status = RpcStatus { code, message: message.to_owned(), details: vec![detail] };
        let encoded =
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD_NO_PAD, status.encode_to_vec());
        headers.insert("grpc-status-details-bin", HeaderValue::from_str(&encoded)?);
    }
    Ok(reply)
}
