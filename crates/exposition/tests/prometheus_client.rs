//! Our protobuf, read with the messages the Prometheus project generates from its own file, and
//! compared with what the project's encoder makes of the same data.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use plimsoll_exposition::catalogue::{self, Kind};
use plimsoll_exposition::native::{SCHEMA, ZERO_THRESHOLD};
use plimsoll_exposition::prometheus::Format;
use plimsoll_exposition::{Exemplar, Family, HistogramValue, Labels, Point, Value};
use plimsoll_measure::{Edges, Histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_protobuf::encode;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NativeHistogram, NativeHistogramBuckets,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use prost::Message;

fn families() -> Vec<Family> {
    let edges = Edges::with_thresholds([333_000_000]);
    let mut durations = Histogram::new(edges.clone());
    [0, 100, 2_000, 1_000_000, 1_000_001, 333_000_000, 5_000_000_000, 90_000_000_000]
        .into_iter()
        .for_each(|nanos| durations.record(nanos));
    let mut value = HistogramValue::new(edges.clone());
    value.add(&durations.distribution());
    let labels = |labels: &[&str]| -> Labels { labels.iter().map(|label| Arc::from(*label)).collect() };
    let histogram = |value| Value::Histogram(Box::new(value));
    vec![
        Family {
            metric: &catalogue::RESPONSE_TIME,
            points: vec![
                Point::new(labels(&["a\"\\\n", "browse", "list", "measured", "ok"]), histogram(value)),
                Point::new(
                    labels(&["empty", "browse", "list", "measured", "ok"]),
                    histogram(HistogramValue::new(edges)),
                ),
            ],
        },
        Family {
            metric: &catalogue::REQUESTS,
            points: vec![Point::new(
                labels(&["shop", "browse", "list", "measured", "reset", ""]),
                Value::Counter(42),
            )],
        },
        Family {
            metric: &catalogue::GENERATOR_CPU,
            points: vec![Point::new(labels(&[]), Value::Gauge(0.0))],
        },
    ]
}

fn decode(mut bytes: &[u8]) -> Vec<MetricFamily> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        found.push(MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    found
}

/// Tells the project's encoder the same data.
#[derive(Debug)]
struct Told(Vec<Family>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            let metric = family.metric;
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge | Kind::Info => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            // It adds the counter's suffix itself.
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let mut described = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for point in &family.points {
                let labels: Vec<(String, String)> = metric
                    .labels
                    .iter()
                    .zip(&point.labels)
                    .map(|(name, value)| ((*name).to_owned(), value.to_string()))
                    .collect();
                TellValue(&point.value).encode(described.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

type NoLabels = Vec<(String, String)>;

struct TellValue<'a>(&'a Value);

impl EncodeMetric for TellValue<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.0 {
            Value::Counter(count) => encoder.encode_counter::<NoLabels, _, f64>(count, None),
            Value::Gauge(level) => encoder.encode_gauge(level),
            Value::Histogram(value) => {
                let buckets = value.classic().chain([(f64::INFINITY, value.count())]);
                // Theirs are counts per bucket.
                let mut before = 0;
                let buckets: Vec<(f64, u64)> = buckets
                    .map(|(edge, count)| (edge, count - std::mem::replace(&mut before, count)))
                    .collect();
                let (spans, deltas) = value.native().spans();
                let spans: Vec<_> = spans.into_iter().map(|span| (span.offset, span.length)).collect();
                let native = NativeHistogram {
                    schema: SCHEMA,
                    zero_threshold: ZERO_THRESHOLD,
                    zero_count: value.native().zero,
                    negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
                    positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
                    created: None,
                };
                encoder.encode_histogram_with_native::<NoLabels>(
                    value.sum(),
                    value.count(),
                    &buckets,
                    None,
                    native,
                )
            }
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }
}

#[test]
fn equal_data_has_equal_meaning() {
    let families = families();
    let mut ours = decode(&Format::Protobuf.encode(&families));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Told(families)));
    let mut theirs = encode(&registry).unwrap();
    for family in ours.iter_mut().chain(&mut theirs) {
        // They end help with a full stop of their own, and put the unit elsewhere.
        family.help = family.help.trim_end_matches('.').to_owned();
        family.unit = String::new();
    }
    assert_eq!(ours, theirs);
}

#[test]
fn an_exemplar_goes_with_its_bucket() {
    let mut families = families();
    if let Value::Histogram(value) = &mut families[0].points[0].value {
        value.show(Exemplar {
            labels: vec![("trace_id".to_owned(), "abc".to_owned())],
            nanos: 333_000_000,
            wall_nanos: Some(1_700_000_000_500_000_000),
        });
    }
    families[0].points[0].created_nanos = Some(1_700_000_000_250_000_000);
    families[1].points[0].created_nanos = Some(1_600_000_000_000_000_000);
    let decoded = decode(&Format::Protobuf.encode(&families));
    let histogram = decoded[0].metric[0].histogram.as_ref().unwrap();
    let created = histogram.start_timestamp.as_ref().unwrap();
    assert_eq!((created.seconds, created.nanos), (1_700_000_000, 250_000_000));
    let created = decoded[1].metric[0].counter.as_ref().unwrap().start_timestamp.as_ref().unwrap();
    assert_eq!((created.seconds, created.nanos), (1_600_000_000, 0));
    assert_eq!(decoded[0].metric[1].histogram.as_ref().unwrap().start_timestamp, None);
    let native: Vec<_> = histogram.exemplars.iter().map(|exemplar| exemplar.value).collect();
    assert_eq!(native, [0.333]);
    let found: Vec<_> = histogram.bucket.iter().filter(|bucket| bucket.exemplar.is_some()).collect();
    assert_eq!((found.len(), found[0].upper_bound), (1, 0.333));
    let exemplar = found[0].exemplar.as_ref().unwrap();
    assert_eq!((exemplar.label[0].value.as_str(), exemplar.value), ("abc", 0.333));
    let timestamp = exemplar.timestamp.as_ref().unwrap();
    assert_eq!((timestamp.seconds, timestamp.nanos), (1_700_000_000, 500_000_000));
}
