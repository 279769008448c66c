//! The OpenTelemetry protocol (OTLP): what each second means as metrics, and single requests as spans.
//!
//! A metric has the name of its InfluxDB measurement and a unit in UCUM, so that a reader which turns both
//! into Prometheus' spelling comes to the catalogue's name. Labels are attributes; empty ones are left out. The
//! resource is the run: `service.name` is `plimsoll`, `service.instance.id` the run's id.
//!
//! Times and sums are counted from the start of the run, so a recorded run encodes to the same
//! bytes again. An encoded part is an `ExportMetricsServiceRequest` (or `ExportTraceServiceRequest`) of
//! its own, and so are several of them one after the other, because protobuf adds up repeated fields.
//!
//! Exponential histograms have scale 6, Prometheus' schema 6: all of a bucket is within 1.1% of what
//! it counts ([`crate::native`]). They are never made coarser to fit a number of buckets.

mod metrics;
mod spans;

pub use metrics::{MetricsEncoder, halves_of_metrics};
pub use spans::{SpansEncoder, halves_of_spans};

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use plimsoll_run::Started;

/// Messages of the protocol as others define them.
pub use opentelemetry_proto::tonic as messages;

/// Some points (or spans) as they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Data points or spans in `body`, at least one.
    pub points: u64,
    /// A request of the protocol.
    pub body: Vec<u8>,
}

/// What every request says of the run.
fn resource(started: &Started) -> Resource {
    let info = &started.info;
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let attributes = [
        ("service.name", "plimsoll".to_owned()),
        ("service.version", info.plimsoll.clone()),
        ("service.instance.id", info.id.clone()),
        ("host.name", info.machine.host.clone()),
        ("deployment.environment.name", text(&info.environment)),
        ("plimsoll.run", info.id.clone()),
        ("plimsoll.plan", started.shape.plan.clone()),
        ("plimsoll.version", text(&info.version)),
    ];
    let given = attributes.iter().filter(|(_, value)| !value.is_empty());
    Resource {
        attributes: given.map(|(name, value)| attribute(name, value)).collect(),
        ..Resource::default()
    }
}

fn scope(started: &Started) -> InstrumentationScope {
    InstrumentationScope {
        name: "plimsoll".to_owned(),
        version: started.info.plimsoll.clone(),
        ..InstrumentationScope::default()
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    of_value(name, Value::StringValue(value.to_owned()))
}

fn of_value(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Times before 1970 are no times of the protocol.
fn time(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or(0)
}
