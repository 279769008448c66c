//! One call of gRPC and its answer. Messages are bytes already, so no code is generated.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use plimsoll_run::{OtlpExport, Secret};
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};

use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::{RpcStatus, Signal};
use crate::answer::{LONGEST_WAIT, shown};
use crate::http::{ANSWER_WITHIN, CONNECT_WITHIN, chain};
use crate::{Answer, SinkError};

/// Calls one method of a receiver.
pub(super) struct Client {
    endpoint: Endpoint,
    /// Made with the first call, because it needs the runtime.
    channel: OnceLock<Channel>,
    headers: MetadataMap,
    path: PathAndQuery,
    gzip: bool,
}

impl Client {
    pub(super) fn new(settings: &OtlpExport, signal: Signal) -> Result<Self, SinkError> {
        let url = crate::http::url(signal.sink(), &settings.url)?;
        let wrong = |error: &dyn std::error::Error| {
            SinkError::new(signal.sink(), format!("cannot set up a client: {}", chain(error)))
        };
        let mut endpoint = Endpoint::from_shared(url.to_string())
            .and_then(|endpoint| endpoint.user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| wrong(&error))?
            .connect_timeout(CONNECT_WITHIN);
        if url.scheme() == "https" {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&error))?;
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &settings.headers {
            let (name, value) = header(signal, name, value)?;
            headers.insert(name, value);
        }
        let path = PathAndQuery::from_static(match signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        });
        Ok(Self { endpoint, channel: OnceLock::new(), headers, path, gzip: settings.gzip })
    }

    /// Sends a request and gives back the response.
    ///
    /// # Errors
    /// What it means that it was not taken.
    pub(super) async fn export(&self, body: Vec<u8>) -> Result<Vec<u8>, Answer> {
        match tokio::time::timeout(ANSWER_WITHIN, self.call(body)).await {
            Ok(answer) => answer.map_err(|status| meaning(&status)),
            Err(_) => Err(Answer::without(true, "the receiver is silent")),
        }
    }

    async fn call(&self, body: Vec<u8>) -> Result<Vec<u8>, Status> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        let mut grpc = Grpc::new(channel).accept_compressed(CompressionEncoding::Gzip);
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        grpc.unary(request, self.path.clone(), Bytes).await.map(tonic::Response::into_inner)
    }
}

fn header(
    signal: Signal,
    name: &str,
    value: &Secret,
) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), SinkError> {
    let wrong = || SinkError::new(signal.sink(), format!("the header `{name}` is none of gRPC"));
    let name = MetadataKey::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = MetadataValue::try_from(value.expose()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// What a status other than success means, as the protocol's specification has it.
fn meaning(status: &Status) -> Answer {
    let code = status.code();
    if let Some(cause) = std::error::Error::source(status) {
        // It never came to an answer.
        return Answer::without(false, &chain(cause));
    }
    if is_too_large(status) {
        return Answer::TooLarge;
    }
    let after = retry_delay(status.details());
    let again = match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Only a server that says when can recover.
        Code::ResourceExhausted => after.is_some(),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => false,
    };
    let kind = format!("{code:?}");
    let meaning = match (again, code) {
        (true, _) => "the receiver cannot take points now; they wait",
        (false, Code::Unauthenticated | Code::PermissionDenied) => {
            "the credentials are not accepted; points are lost"
        }
        (false, Code::Unimplemented) => "there is no receiver of OTLP under this URL; points are lost",
        (false, _) => "the receiver refused points; they are lost",
    };
    let reason = match shown(status.message()).as_str() {
        "" => format!("{kind}: {meaning}"),
        said => format!("{kind}: {meaning}; the server says: {said}"),
    };
    match again {
        true => Answer::Later { kind, reason, after },
        false => Answer::Refused { kind, reason },
    }
}

/// Servers have two codes for a message beyond their limit, both with other uses; their words tell it.
fn is_too_large(status: &Status) -> bool {
    let said = status.message().to_ascii_lowercase();
    matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange)
        && said.contains("message")
        && ["larger than", "too large", "exceeds"].iter().any(|words| said.contains(words))
}

/// How long `google.rpc.RetryInfo` among the details asks to wait.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())).min(LONGEST_WAIT))
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(out, &item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; bytes::Buf::remaining(from)];
        bytes::Buf::copy_to_slice(from, &mut message);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    fn details(type_url: &str, seconds: i64, nanos: i32) -> Vec<u8> {
        let value = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) }.encode_to_vec();
        let detail = super::super::Detail { type_url: type_url.to_owned(), value };
        RpcStatus { message: String::new(), details: vec![detail] }.encode_to_vec()
    }

    const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

    #[test]
    fn a_code_is_sent_again_where_the_specification_says_so() {
        let kind = |status: &Status| match meaning(status) {
            Answer::Later { after, .. } => format!("later {after:?}"),
            Answer::Refused { .. } => "refused".to_owned(),
            Answer::TooLarge => "too large".to_owned(),
            other => panic!("{other:?}"),
        };
        let later = [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ];
        let all = (1..=16).map(Code::from_i32);
        for code in all {
            let expected = if later.contains(&code) { "later None" } else { "refused" };
            assert_eq!(kind(&Status::new(code, "x")), expected, "{code:?}");
        }
        let with = |details: Vec<u8>| Status::with_details(Code::ResourceExhausted, "x", details.into());
        assert_eq!(kind(&with(details(RETRY_INFO, 2, 500_000_000))), "later Some(2.5s)");
        assert_eq!(kind(&with(details(RETRY_INFO, i64::MAX, 0))), "later Some(3600s)");
        assert_eq!(kind(&with(details(RETRY_INFO, -1, 0))), "refused");
        assert_eq!(kind(&with(details("type.googleapis.com/google.rpc.Help", 2, 0))), "refused");
        assert_eq!(kind(&with(b"no details".to_vec())), "refused");
        for (code, words) in [
            (Code::ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
            ),
        ] {
            assert_eq!(kind(&Status::new(code, words)), "too large");
        }
    }
}
