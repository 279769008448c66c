//! `io.prometheus.client` messages, as far as we fill them.
//!
//! The field numbers are those of Prometheus' `metrics.proto`. Histograms carry classic and native
//! buckets; the reader takes which it knows.

use prost::Message;

use crate::catalogue::{Kind, Unit};
use crate::native::{SCHEMA, ZERO_THRESHOLD};
use crate::number::seconds;
use crate::{Family, Point, Value};

/// Writes families one after the other, each with its length before it.
pub fn encode(families: &[Family]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        // Writing into a vector cannot run out of room.
        let _ = message(family).encode_length_delimited(&mut out);
    }
    out
}

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    unit: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Counter>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn message(family: &Family) -> MetricFamily {
    let metric = family.metric;
    let kind = match metric.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge | Kind::Info => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    MetricFamily {
        name: Some(metric.name.to_owned()),
        help: Some(metric.help.to_owned()),
        r#type: Some(kind.into()),
        metric: family.points.iter().map(|point| series(metric.labels, point)).collect(),
        unit: metric.unit.map(Unit::label).map(str::to_owned),
    }
}

fn series(names: &[&str], point: &Point) -> Metric {
    let values = point.labels.iter().map(AsRef::as_ref);
    let mut message =
        Metric { label: names.iter().copied().zip(values).map(label).collect(), ..Metric::default() };
    let created = point.created_nanos.map(timestamp);
    match &point.value {
        Value::Counter(count) => {
            message.counter = Some(Counter { value: Some(*count as f64), created_timestamp: created });
        }
        Value::Gauge(level) => message.gauge = Some(Gauge { value: Some(*level) }),
        Value::Histogram(value) => {
            message.histogram = Some(Histogram { created_timestamp: created, ..histogram(value) });
        }
    }
    message
}

fn label((name, value): (&str, &str)) -> LabelPair {
    LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

fn histogram(value: &crate::HistogramValue) -> Histogram {
    let buckets = value.classic().chain([(f64::INFINITY, value.count())]);
    let bucket = |(bucket, (edge, count))| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(edge),
        exemplar: value.exemplar(bucket).map(exemplar),
    };
    let (spans, deltas) = value.native().spans();
    let span =
        |span: crate::native::Span| BucketSpan { offset: Some(span.offset), length: Some(span.length) };
    Histogram {
        sample_count: Some(value.count()),
        sample_sum: Some(value.sum()),
        bucket: buckets.enumerate().map(bucket).collect(),
        schema: Some(SCHEMA),
        // Its presence is what marks a histogram as native, even one that holds nothing.
        zero_threshold: Some(ZERO_THRESHOLD),
        zero_count: Some(value.native().zero),
        positive_span: spans.into_iter().map(span).collect(),
        positive_delta: deltas,
        created_timestamp: None,
        // Native buckets have no place of their own for exemplars, and none without a time is taken.
        exemplars: value.exemplars().filter(|one| one.wall_nanos.is_some()).map(exemplar).collect(),
    }
}

fn exemplar(exemplar: &crate::Exemplar) -> Exemplar {
    let labels = exemplar.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Exemplar {
        label: labels.map(label).collect(),
        value: Some(seconds(exemplar.nanos)),
        timestamp: exemplar.wall_nanos.map(timestamp),
    }
}

fn timestamp(nanos: i64) -> Timestamp {
    Timestamp { seconds: nanos.div_euclid(1_000_000_000), nanos: nanos.rem_euclid(1_000_000_000) as i32 }
}
