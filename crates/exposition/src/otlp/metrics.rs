use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::{metrics::v1::Exemplar, resource::v1::Resource};
use plimsoll_measure::{Distribution, SECOND};
use plimsoll_run::{OtlpHistograms, OtlpTemporality, RunEvent, Started};
use prost::Message;
use rustc_hash::FxHashMap;

use super::{Encoded, attribute, resource, scope, time};
use crate::catalogue::{self, Kind, Unit};
use crate::native::{NativeBuckets, SCHEMA, ZERO_THRESHOLD};
use crate::number::seconds;
use crate::{Change, HistogramValue, Labels, Reading, Report};

/// Points of one part: some hundred kilobytes at most, of which a request takes several.
const PART_POINTS: usize = 500;

/// A series that ends in the second of its last value ends this much after it.
const AFTER_THE_LAST: i64 = 1_000_000;

/// Turns what the events of one run mean into metrics, one event after the other.
///
/// A reading becomes one data point. What a level without a value, or the end of the run, ends gets a
/// point that says so (`NO_RECORDED_VALUE`); series of delta temporality need none, because a second that
/// counts nothing has no point. Memory depends on how many series there are.
#[derive(Debug)]
pub struct MetricsEncoder {
    resource: Resource,
    scope: InstrumentationScope,
    temporality: OtlpTemporality,
    histograms: OtlpHistograms,
    started: i64,
    /// The time of the last points.
    latest: i64,
    series: BTreeMap<&'static str, (&'static catalogue::Metric, FxHashMap<Labels, State>)>,
}

/// What has to be remembered of a series.
#[derive(Debug)]
enum State {
    Level,
    Count(u64),
    Durations(Box<Durations>),
}

/// Durations counted so far.
#[derive(Debug)]
struct Durations {
    counted: HistogramValue,
    min: u64,
    max: u64,
}

enum Point {
    Number(NumberDataPoint),
    Exponential(ExponentialHistogramDataPoint),
    Explicit(HistogramDataPoint),
}

/// When a point is and what it counts from.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
}

impl MetricsEncoder {
    /// Begins with a run.
    pub fn new(started: &Arc<Started>, temporality: OtlpTemporality, histograms: OtlpHistograms) -> Self {
        Self {
            resource: resource(started),
            scope: scope(started),
            temporality,
            histograms,
            started: started.info.started_nanos,
            latest: started.info.started_nanos,
            series: BTreeMap::new(),
        }
    }

    /// What the next event and its report are in the protocol, in parts of bounded size.
    pub fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Encoded> {
        let Some(report) = report else { return Vec::new() };
        let ends = matches!(event, RunEvent::Ended(_));
        let wall = if ends { report.wall_nanos.max(self.latest + AFTER_THE_LAST) } else { report.wall_nanos };
        let span = self.span(wall);
        let mut points: Vec<(&'static catalogue::Metric, Point)> = Vec::new();
        for reading in &report.readings {
            points.extend(self.point(reading, span).map(|point| (reading.metric, point)));
        }
        if ends {
            points.extend(self.last_points(span));
        }
        self.latest = self.latest.max(wall);
        points.sort_by_key(|(metric, _)| metric.name);
        self.parts(points)
    }

    /// A reading counts one second, of which the first may begin with the run.
    fn span(&self, wall: i64) -> Span {
        let from = match self.temporality {
            OtlpTemporality::Cumulative => self.started,
            OtlpTemporality::Delta => wall.saturating_sub(SECOND as i64).max(self.started),
        };
        Span { from: time(from), to: time(wall) }
    }

    fn point(&mut self, reading: &Reading, span: Span) -> Option<Point> {
        let Reading { metric, labels, change, exemplars } = reading;
        let attributes = attributes(metric, labels);
        let series = &mut self.series.entry(metric.name).or_insert_with(|| (metric, FxHashMap::default())).1;
        Some(match change {
            Change::Level(level) => match level.filter(|level| level.is_finite()) {
                Some(level) => {
                    if !series.contains_key(labels) {
                        series.insert(labels.clone(), State::Level);
                    }
                    let value = Some(number_data_point::Value::AsDouble(level));
                    Point::Number(NumberDataPoint {
                        attributes,
                        time_unix_nano: span.to,
                        value,
                        ..Default::default()
                    })
                }
                None => Point::Number(series.remove(labels).map(|_| no_number(attributes, span))?),
            },
            Change::Count(more) => {
                let count = match self.temporality {
                    OtlpTemporality::Delta => *more,
                    OtlpTemporality::Cumulative => match series.get_mut(labels) {
                        Some(State::Count(sum)) => {
                            *sum = sum.saturating_add(*more);
                            *sum
                        }
                        _ => {
                            series.insert(labels.clone(), State::Count(*more));
                            *more
                        }
                    },
                };
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                Point::Number(NumberDataPoint {
                    attributes,
                    start_time_unix_nano: span.from,
                    time_unix_nano: span.to,
                    value: Some(number_data_point::Value::AsInt(count)),
                    ..Default::default()
                })
            }
            Change::Durations(more) => {
                let exemplars = exemplars.iter().map(exemplar).collect();
                let form = self.histograms;
                match self.temporality {
                    OtlpTemporality::Delta => Durations::of(more).point(form, attributes, exemplars, span),
                    OtlpTemporality::Cumulative => match series.get_mut(labels) {
                        Some(State::Durations(sum)) => {
                            sum.add(more);
                            sum.point(form, attributes, exemplars, span)
                        }
                        _ => {
                            let sum = Box::new(Durations::of(more));
                            let point = sum.point(form, attributes, exemplars, span);
                            series.insert(labels.clone(), State::Durations(sum));
                            point
                        }
                    },
                }
            }
        })
    }

    /// The run's series end with it.
    fn last_points(&mut self, span: Span) -> Vec<(&'static catalogue::Metric, Point)> {
        let mut points = Vec::new();
        for (metric, series) in std::mem::take(&mut self.series).into_values() {
            let mut labels: Vec<Labels> = series.into_keys().collect();
            labels.sort();
            points.extend(labels.iter().map(|labels| (metric, self.no_value(metric, labels, span))));
        }
        points
    }

    fn no_value(&self, metric: &catalogue::Metric, labels: &Labels, span: Span) -> Point {
        let attributes = attributes(metric, labels);
        let (start_time_unix_nano, time_unix_nano) = (span.from, span.to);
        let flags = NO_VALUE;
        match (metric.kind, self.histograms) {
            (Kind::Histogram, OtlpHistograms::Exponential) => {
                Point::Exponential(ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    flags,
                    ..Default::default()
                })
            }
            (Kind::Histogram, OtlpHistograms::Explicit) => Point::Explicit(HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                flags,
                ..Default::default()
            }),
            (Kind::Counter | Kind::Gauge | Kind::Info, _) => Point::Number(no_number(attributes, span)),
        }
    }

    fn parts(&self, points: Vec<(&'static catalogue::Metric, Point)>) -> Vec<Encoded> {
        let mut parts = Vec::new();
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let mut metrics: Vec<Metric> = Vec::new();
            let mut count = 0;
            for (metric, point) in points.by_ref().take(PART_POINTS) {
                count += 1;
                match metrics.last_mut() {
                    Some(last) if last.name == metric.measurement() => push(last, point),
                    _ => {
                        let mut message = self.metric(metric, &point);
                        push(&mut message, point);
                        metrics.push(message);
                    }
                }
            }
            parts.push(Encoded { points: count, body: self.request(metrics).encode_to_vec() });
        }
        parts
    }

    fn metric(&self, metric: &catalogue::Metric, point: &Point) -> Metric {
        let temporality = match self.temporality {
            OtlpTemporality::Cumulative => AggregationTemporality::Cumulative,
            OtlpTemporality::Delta => AggregationTemporality::Delta,
        };
        let aggregation_temporality = temporality.into();
        let data = match (point, metric.kind) {
            (Point::Number(_), Kind::Counter) => {
                Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic: true })
            }
            (Point::Number(_), _) => Data::Gauge(Gauge::default()),
            (Point::Exponential(_), _) => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: Vec::new(),
                aggregation_temporality,
            }),
            (Point::Explicit(_), _) => {
                Data::Histogram(Histogram { data_points: Vec::new(), aggregation_temporality })
            }
        };
        Metric {
            name: metric.measurement().to_owned(),
            description: metric.help.to_owned(),
            unit: metric.unit.map(ucum).unwrap_or_default().to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }

    fn request(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope = Some(self.scope.clone());
        let scope_metrics = vec![ScopeMetrics { scope, metrics, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }],
        }
    }
}

/// Two requests with half the data points each; `None`: there is but one, or it is no such request.
pub fn halves_of_metrics(body: &[u8]) -> Option<[Encoded; 2]> {
    let mut first = ExportMetricsServiceRequest::decode(body).ok()?;
    let mut second = first.clone();
    let total: usize = data(&mut first).map(|data| points(data)).sum();
    let (mut left, half) = (total / 2, total / 2);
    for (first, second) in data(&mut first).zip(data(&mut second)) {
        let here = left.min(points(first));
        left -= here;
        truncate(first, here);
        skip(second, here);
    }
    [&mut first, &mut second].into_iter().for_each(leave_out_empty);
    let encoded = |points: usize, request: &ExportMetricsServiceRequest| Encoded {
        points: points as u64,
        body: request.encode_to_vec(),
    };
    (total > 1).then(|| [encoded(half, &first), encoded(total - half, &second)])
}

fn data(request: &mut ExportMetricsServiceRequest) -> impl Iterator<Item = &mut Data> {
    let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    scopes.flat_map(|scope| &mut scope.metrics).filter_map(|metric| metric.data.as_mut())
}

fn points(data: &Data) -> usize {
    match data {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        Data::Summary(summary) => summary.data_points.len(),
    }
}

fn truncate(data: &mut Data, count: usize) {
    match data {
        Data::Gauge(gauge) => gauge.data_points.truncate(count),
        Data::Sum(sum) => sum.data_points.truncate(count),
        Data::Histogram(histogram) => histogram.data_points.truncate(count),
        Data::ExponentialHistogram(histogram) => histogram.data_points.truncate(count),
        Data::Summary(summary) => summary.data_points.truncate(count),
    }
}

fn skip(data: &mut Data, count: usize) {
    match data {
        Data::Gauge(gauge) => drop(gauge.data_points.drain(..count)),
        Data::Sum(sum) => drop(sum.data_points.drain(..count)),
        Data::Histogram(histogram) => drop(histogram.data_points.drain(..count)),
        Data::ExponentialHistogram(histogram) => drop(histogram.data_points.drain(..count)),
        Data::Summary(summary) => drop(summary.data_points.drain(..count)),
    }
}

fn leave_out_empty(request: &mut ExportMetricsServiceRequest) {
    for scope in request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics) {
        scope.metrics.retain(|metric| metric.data.as_ref().is_some_and(|data| points(data) > 0));
    }
}

const NO_VALUE: u32 = DataPointFlags::NoRecordedValueMask as u32;

/// The unit in UCUM.
fn ucum(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::Bytes => "By",
        Unit::Ratio => "1",
    }
}

fn attributes(metric: &catalogue::Metric, labels: &Labels) -> Vec<KeyValue> {
    let labels = metric.labels.iter().zip(labels).filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| attribute(name, value)).collect()
}

fn no_number(attributes: Vec<KeyValue>, span: Span) -> NumberDataPoint {
    NumberDataPoint { attributes, time_unix_nano: span.to, flags: NO_VALUE, ..Default::default() }
}

fn push(metric: &mut Metric, point: Point) {
    match (&mut metric.data, point) {
        (Some(Data::Sum(sum)), Point::Number(point)) => sum.data_points.push(point),
        (Some(Data::Gauge(gauge)), Point::Number(point)) => gauge.data_points.push(point),
        (Some(Data::ExponentialHistogram(histogram)), Point::Exponential(point)) => {
            histogram.data_points.push(point);
        }
        (Some(Data::Histogram(histogram)), Point::Explicit(point)) => histogram.data_points.push(point),
        (_, _) => debug_assert!(false, "the points of a metric are of one form"),
    }
}

impl Durations {
    fn of(first: &Distribution) -> Self {
        let counted = HistogramValue::new(first.edges().clone());
        let mut durations = Self { counted, min: u64::MAX, max: 0 };
        durations.add(first);
        durations
    }

    fn add(&mut self, more: &Distribution) {
        self.counted.add(more);
        self.min = more.min().map_or(self.min, |min| min.min(self.min));
        self.max = more.max().map_or(self.max, |max| max.max(self.max));
    }

    fn point(
        &self,
        form: OtlpHistograms,
        attributes: Vec<KeyValue>,
        exemplars: Vec<Exemplar>,
        span: Span,
    ) -> Point {
        let (start_time_unix_nano, time_unix_nano) = (span.from, span.to);
        let (count, sum) = (self.counted.count(), Some(self.counted.sum()));
        let any = |nanos| (count > 0).then(|| seconds(nanos));
        let (min, max, flags) = (any(self.min), any(self.max), 0);
        match form {
            OtlpHistograms::Exponential => Point::Exponential(ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count,
                sum,
                scale: SCHEMA,
                zero_count: self.counted.native().zero,
                positive: positive(self.counted.native()),
                negative: None,
                flags,
                exemplars,
                min,
                max,
                zero_threshold: ZERO_THRESHOLD,
            }),
            OtlpHistograms::Explicit => {
                let (explicit_bounds, bucket_counts) = explicit(&self.counted);
                Point::Explicit(HistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count,
                    sum,
                    bucket_counts,
                    explicit_bounds,
                    exemplars,
                    flags,
                    min,
                    max,
                })
            }
        }
    }
}

/// The buckets in a row. The protocol counts buckets by their lower bound: its bucket `i` is our `i + 1`.
fn positive(native: &NativeBuckets) -> Option<Buckets> {
    let first = *native.buckets.first_key_value()?.0;
    let last = *native.buckets.last_key_value()?.0;
    let bucket_counts =
        (first..=last).map(|bucket| native.buckets.get(&bucket).copied().unwrap_or(0)).collect();
    Some(Buckets { offset: first - 1, bucket_counts })
}

/// Bounds in seconds, and the counts between them, which are not cumulative.
fn explicit(counted: &HistogramValue) -> (Vec<f64>, Vec<u64>) {
    let (bounds, cumulative): (Vec<f64>, Vec<u64>) = counted.classic().unzip();
    let mut before = 0;
    let counts = cumulative.into_iter().chain([counted.count()]);
    let counts = counts.map(|count| count - std::mem::replace(&mut before, count));
    (bounds, counts.collect())
}

/// Ids that are none stay visible as attributes.
fn exemplar(given: &crate::Exemplar) -> Exemplar {
    let mut message = Exemplar {
        time_unix_nano: given.wall_nanos.map(time).unwrap_or(0),
        value: Some(exemplar::Value::AsDouble(seconds(given.nanos))),
        ..Exemplar::default()
    };
    for (name, value) in &given.labels {
        match (name.as_str(), hex(value)) {
            ("trace_id", Some(id)) if id.len() == 16 => message.trace_id = id,
            ("span_id", Some(id)) if id.len() == 8 => message.span_id = id,
            (_, _) => message.filtered_attributes.push(attribute(name, value)),
        }
    }
    message
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests;
