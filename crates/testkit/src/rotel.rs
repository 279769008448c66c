//! Rotel: a collector of the OpenTelemetry protocol, over HTTP and gRPC.
//!
//! It writes what it decoded into its log, and tests read that: so they see the points as another
//! program understood them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;

use crate::process::Process;
use crate::{Program, wait_for};

/// A running collector.
#[derive(Debug)]
pub struct Rotel {
    pub process: Process,
    grpc: u16,
    http: u16,
}

/// One data point as the collector understood it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RotelPoint {
    pub metric: String,
    pub unit: String,
    /// `Sum`, `Gauge`, `Histogram` or `ExponentialHistogram`.
    pub kind: String,
    /// `CUMULATIVE` or `DELTA`; empty for a gauge.
    pub temporality: String,
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Of a number; `None`: it says that there is no value.
    pub value: Option<f64>,
    pub count: u64,
    pub sum: f64,
    /// Of an exponential histogram: lower bound, upper bound, count.
    pub buckets: Vec<(f64, f64, u64)>,
    /// Trace ids of its exemplars.
    pub traces: Vec<String>,
}

/// One span as the collector understood it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RotelSpan {
    pub trace_id: String,
    pub span_id: String,
    pub name: String,
    pub kind: String,
    pub status: String,
    pub attributes: BTreeMap<String, String>,
    /// Names of its events.
    pub events: Vec<String>,
}

impl Rotel {
    /// Starts one and waits until it listens.
    pub async fn start() -> anyhow::Result<Self> {
        let (process, [grpc, http]) = Process::start(
            Program::ROTEL,
            |_, [grpc, http]: [u16; 2]| {
                let text = format!(
                    "start --otlp-grpc-endpoint 127.0.0.1:{grpc} --otlp-http-endpoint 127.0.0.1:{http} --exporter \
                     blackhole --debug-log metrics --debug-log traces --debug-log-verbosity detailed"
                );
                Ok(text.split(' ').map(OsString::from).collect::<Vec<_>>())
            },
            async |_| Ok(()),
        )
        .await?;
        Ok(Self { process, grpc, http })
    }

    /// `http://127.0.0.1:PORT` of HTTP.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `http://127.0.0.1:PORT` of gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// All points it has taken so far.
    pub fn points(&self) -> Vec<RotelPoint> {
        points(&self.process.log())
    }

    /// All spans it has taken so far.
    pub fn spans(&self) -> Vec<RotelSpan> {
        spans(&self.process.log())
    }

    /// Its points, once `enough` says yes to them: it logs a request a moment after it answered.
    pub async fn wait_for_points(
        &self,
        enough: impl Fn(&[RotelPoint]) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Vec<RotelPoint>> {
        wait_for(deadline, "points at the collector", async || {
            let found = self.points();
            if enough(&found) { Ok(found) } else { bail!("{} so far", found.len()) }
        })
        .await
    }

    /// Its spans, once `enough` says yes to them.
    pub async fn wait_for_spans(
        &self,
        enough: impl Fn(&[RotelSpan]) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Vec<RotelSpan>> {
        wait_for(deadline, "spans at the collector", async || {
            let found = self.spans();
            if enough(&found) { Ok(found) } else { bail!("{} so far", found.len()) }
        })
        .await
    }
}

fn points(log: &str) -> Vec<RotelPoint> {
    let mut points: Vec<RotelPoint> = Vec::new();
    let mut metric = RotelPoint::default();
    for line in lines_of(log, "ResourceMetrics #") {
        if line.starts_with("Metric #") {
            metric = RotelPoint::default();
            continue;
        }
        if line.contains("DataPoints #") {
            points.push(metric.clone());
            continue;
        }
        let Some((name, value)) = pair(line) else { continue };
        match (name, points.last_mut()) {
            ("Name", _) => value.clone_into(&mut metric.metric),
            ("Unit", _) => value.clone_into(&mut metric.unit),
            ("DataType", _) => value.clone_into(&mut metric.kind),
            ("AggregationTemporality", _) => {
                value.trim_start_matches("AGGREGATION_TEMPORALITY_").clone_into(&mut metric.temporality);
            }
            ("StartTimestamp", Some(point)) => point.start = number(value),
            // An exemplar's comes after the point's own.
            ("Timestamp", Some(point)) if point.traces.is_empty() => point.time = number(value),
            ("Value", Some(point)) if point.traces.is_empty() => point.value = value.parse().ok(),
            ("Count", Some(point)) => point.count = number(value),
            ("Sum", Some(point)) => point.sum = value.parse().unwrap_or(f64::NAN),
            ("Trace ID", Some(point)) => point.traces.push(value.to_owned()),
            (bucket, Some(point)) if bucket.starts_with("Bucket ") => point.buckets.extend(range(line)),
            (_, Some(point)) => attribute(line, &mut point.attributes),
            (_, None) => {}
        }
    }
    points
}

fn spans(log: &str) -> Vec<RotelSpan> {
    let mut spans: Vec<RotelSpan> = Vec::new();
    for line in lines_of(log, "ResourceSpans #") {
        if line.starts_with("Span #") {
            spans.push(RotelSpan::default());
            continue;
        }
        let (Some(span), Some((name, value))) = (spans.last_mut(), pair(line)) else { continue };
        match name {
            "Trace ID" => value.clone_into(&mut span.trace_id),
            "ID" => value.clone_into(&mut span.span_id),
            "Kind" => value.trim_start_matches("SPAN_KIND_").clone_into(&mut span.kind),
            "Status code" => value.trim_start_matches("STATUS_CODE_").clone_into(&mut span.status),
            "Name" if line.starts_with("    Name") => value.clone_into(&mut span.name),
            "Name" => span.events.push(value.to_owned()),
            _ => attribute(line, &mut span.attributes),
        }
    }
    spans
}

/// The lines of one kind of request, which begins like this.
fn lines_of<'l>(log: &'l str, kind: &'l str) -> impl Iterator<Item = &'l str> {
    let mut inside = false;
    log.lines().filter(move |line| {
        if line.starts_with("Resource") && line.contains(" #") {
            inside = line.starts_with(kind);
        }
        inside
    })
}

/// `     -> Name: value` or `Name : value`.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().trim_start_matches("-> ").trim(), value.trim()))
}

/// `     -> key: Str(value)`: values of other types stand there as text too.
fn attribute(line: &str, attributes: &mut BTreeMap<String, String>) {
    let Some((name, value)) = line.trim().strip_prefix("-> ").and_then(|line| line.split_once(": ")) else {
        return;
    };
    let inner = ["Str(", "Int(", "Double(", "Bool("].iter().find_map(|kind| value.strip_prefix(kind));
    if let Some(value) = inner.and_then(|value| value.strip_suffix(')')) {
        attributes.insert(name.to_owned(), value.to_owned());
    }
}

/// `Bucket (0.25, 0.5], Count: 3`.
fn range(line: &str) -> Option<(f64, f64, u64)> {
    let (bounds, count) = line.strip_prefix("Bucket ")?.split_once(", Count: ")?;
    let (lower, upper) = bounds.trim_matches(['(', '[', ']', ')']).split_once(", ")?;
    Some((lower.parse().ok()?, upper.parse().ok()?, count.parse().ok()?))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_what_was_decoded() {
        let spans_between = "ResourceSpans #0\nSpan #0\n    Trace ID       : 0202\n    Name           : x\nResourceMetrics \
                             #0\n";
        let log = "INFO Starting Rotel. grpc_endpoint=\"127.0.0.1:1\"\nResourceMetrics #0\nResource attributes:\n     -> \
                   service.name: Str(x)\nMetric #0\nDescriptor:\n     -> Name: m1\n     -> Description: a: b\n     -> \
                   Unit: s\n     -> DataType: ExponentialHistogram\n     -> AggregationTemporality: \
                   AGGREGATION_TEMPORALITY_DELTA\nExponentialHistogramDataPoints #0\nData point attributes:\n     -> step: \
                   Str(a: b (c))\nStartTimestamp: 5\nTimestamp: 7\nCount: 3\nSum: 1.5\nBucket [0, 0], Count: 1\nBucket \
                   (0.5, 0.75], Count: 2\nExemplars:\nExemplar #0\n     -> Trace ID: 0101\n     -> Timestamp: 9\n     -> Value: \
                   0.5\nMetric #1\nDescriptor:\n     -> Name: m2\n     -> DataType: Gauge\nNumberDataPoints #0\nTimestamp: \
                   8\nValue: 7.5\nNumberDataPoints #1\nTimestamp: 8\n";
        let log = log.replace("Metric #1\n", &format!("{spans_between}Metric #1\n"));
        let [histogram, value, none] = points(&log).try_into().unwrap();
        let [span] = spans(&log).try_into().unwrap();
        assert_eq!((span.trace_id.as_str(), span.name.as_str()), ("0202", "x"));
        assert_eq!((histogram.metric.as_str(), histogram.unit.as_str()), ("m1", "s"));
        assert_eq!((histogram.temporality.as_str(), histogram.start, histogram.time), ("DELTA", 5, 7));
        assert_eq!(histogram.attributes, BTreeMap::from([("step".to_owned(), "a: b (c)".to_owned())]));
        assert_eq!((histogram.count, histogram.sum), (3, 1.5));
        assert_eq!(histogram.buckets, [(0.0, 0.0, 1), (0.5, 0.75, 2)]);
        assert_eq!(histogram.traces, ["0101"]);
        assert_eq!((value.kind.as_str(), value.value), ("Gauge", Some(7.5)));
        assert_eq!((none.metric.as_str(), none.value), ("m2", None));
    }

    #[tokio::test]
    async fn the_collector_starts() {
        let rotel = Rotel::start().await.unwrap();
        assert_eq!(rotel.points(), []);
    }
}
