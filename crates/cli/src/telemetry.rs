//! Traces of Plimsoll's own work, where the environment asks for them.
//!
//! The variables are OpenTelemetry's own; without an endpoint nothing is set up, and a span costs one
//! look at a flag. What is traced is Plimsoll's, never its libraries'. The load is measured, not traced: spans
//! of requests under test are the sink `otlp_traces`.

use std::time::Duration;

use anyhow::{Context, anyhow};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// How long the end waits for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// The targets of our crates begin so.
const OUR_TARGETS: &str = "plimsoll";

/// Sends spans until it is ended.
#[derive(Debug)]
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Begins, if the environment asks for it. Wrong settings are told and nothing is traced: they
    /// are no reason not to test.
    pub(crate) fn start() -> Option<Self> {
        let environment = |name: &str| std::env::var(name).ok();
        let started = wanted(environment).and_then(|protocol| protocol.map(Self::with).transpose());
        started.unwrap_or_else(|error| {
            crate::say::errln!("warning: nothing of our own is traced: {error:#}");
            None
        })
    }

    /// Endpoint, headers, timeouts, compression, sampling and batches are read from the environment by the SDK.
    fn with(protocol: Protocol) -> anyhow::Result<Self> {
        let exporter = match protocol {
            Protocol::Grpc => SpanExporter::builder().with_tonic().build(),
            other => SpanExporter::builder().with_http().with_protocol(other).build(),
        }
        .context("the exporter cannot be set up")?;
        let mut resource = Resource::builder();
        if !is_named(|name| std::env::var(name).ok()) {
            resource = resource.with_service_name("plimsoll");
        }
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("plimsoll"))
            .with_filter(Targets::new().with_target(OUR_TARGETS, Level::INFO));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        Ok(Self { provider })
    }

    /// Sends what waits, for a bounded time.
    pub(crate) async fn end(self) {
        // It blocks; on a thread of its own it holds up nothing that it needs itself.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST_SPANS));
        let _ = tokio::time::timeout(LAST_SPANS, ended).await;
    }
}

/// How spans travel; `None`: nobody asks for any.
fn wanted(environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Protocol>> {
    let get =
        |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let first = |names: [&str; 2]| names.into_iter().find_map(get);
    let endpoint = first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let is_off = get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if endpoint.is_none() || is_off {
        return Ok(None);
    }
    match get("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(anyhow!("OTEL_TRACES_EXPORTER is `{other}`; write `otlp` or `none`")),
    }
    let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    match protocol.as_deref() {
        None | Some("http/protobuf") => Ok(Some(Protocol::HttpBinary)),
        Some("grpc") => Ok(Some(Protocol::Grpc)),
        Some(other) => {
            Err(anyhow!("OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`; write `http/protobuf` or `grpc`"))
        }
    }
}

/// Whether the environment gives the service a name.
fn is_named(environment: impl Fn(&str) -> Option<String>) -> bool {
    let attributes = environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let names = attributes.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.trim());
    environment("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || names.into_iter().any(|name| name == "service.name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_says_whether_and_how() {
        const URL: &str = "http://127.0.0.1:4318";
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", URL);
        let http = Some(Protocol::HttpBinary);
        for (pairs, expected) in [
            (vec![], None),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (vec![endpoint], http),
            (vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", URL)], http),
            (vec![endpoint, ("OTEL_SDK_DISABLED", "TRUE")], None),
            (vec![endpoint, ("OTEL_SDK_DISABLED", "false")], http),
            (vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")], None),
            (vec![endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Some(Protocol::Grpc)),
            (
                vec![
                    endpoint,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
                ],
                http,
            ),
        ] {
            assert_eq!(wanted(given(&pairs)).unwrap(), expected, "{pairs:?}");
        }
        for wrong in [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")] {
            let error = wanted(given(&[endpoint, wrong])).unwrap_err().to_string();
            assert!(error.contains(wrong.1), "{error}");
        }
    }

    #[test]
    fn a_name_of_the_environment_wins() {
        assert!(!is_named(given(&[("OTEL_RESOURCE_ATTRIBUTES", "team=a,service.namespace=b")])));
        assert!(is_named(given(&[("OTEL_RESOURCE_ATTRIBUTES", "team=a, service.name=b")])));
        assert!(is_named(given(&[("OTEL_SERVICE_NAME", "b")])));
    }
}
