use super::*;
use crate::fixture::Fixture;
use crate::native::upper_bound;
use crate::{Readings, catalogue};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use plimsoll_measure::{Edges, Histogram as Recorded};
use proptest::prelude::*;

const SECOND_NANOS: u64 = 1_000_000_000;
const STARTED: u64 = 1_700_000_000 * SECOND_NANOS;

/// Encodes events of one run as the sink does.
struct Run {
    readings: Readings,
    encoder: MetricsEncoder,
}

impl Run {
    fn of(fixture: &Fixture, temporality: OtlpTemporality, histograms: OtlpHistograms) -> Self {
        let encoder = MetricsEncoder::new(&fixture.started(), temporality, histograms);
        Self { readings: Readings::new(fixture.started()), encoder }
    }

    fn parts(&mut self, event: &RunEvent) -> Vec<Encoded> {
        let report = self.readings.read(event);
        self.encoder.encode(event, report.as_ref())
    }

    /// All parts one after the other, read back.
    fn metrics(&mut self, event: &RunEvent) -> Vec<Metric> {
        let parts = self.parts(event);
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.body.clone()).collect();
        let metrics = decoded(&bytes);
        let told: u64 = parts.iter().map(|part| part.points).sum();
        let found = metrics.iter().map(|metric| points(metric.data.as_ref().unwrap()) as u64).sum::<u64>();
        assert_eq!(told, found);
        metrics
    }
}

fn decoded(bytes: &[u8]) -> Vec<Metric> {
    let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

fn cumulative(fixture: &Fixture) -> Run {
    Run::of(fixture, OtlpTemporality::Cumulative, OtlpHistograms::Exponential)
}

fn delta(fixture: &Fixture) -> Run {
    Run::of(fixture, OtlpTemporality::Delta, OtlpHistograms::Exponential)
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"))
}

fn numbers(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("{other:?}"),
    }
}

fn exponential(metric: &Metric) -> &[ExponentialHistogramDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::ExponentialHistogram(histogram) => &histogram.data_points,
        other => panic!("{other:?}"),
    }
}

fn text(attributes: &[KeyValue]) -> String {
    let pair = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) => format!("{}={value}", pair.key),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(pair).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_second_is_metrics_of_the_kinds_and_units_of_the_catalogue() {
    let mut fixture = Fixture::new();
    fixture.request(0, 0, Some(200), 333_000_000);
    fixture.request(0, 1, Some(200), 1_000_000);
    let metrics = cumulative(&fixture).metrics(&fixture.second());

    let requests = find(&metrics, "plimsoll_requests");
    assert_eq!(requests.unit, "");
    let Some(Data::Sum(sum)) = &requests.data else { panic!("{requests:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
    let [point] = sum.data_points.as_slice() else { panic!("{sum:?}") };
    assert_eq!(
        text(&point.attributes),
        "plan=shop scenario=browse step=list phase=measured outcome=ok status=200"
    );
    assert_eq!(point.value, Some(number_data_point::Value::AsInt(2)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (STARTED, STARTED + SECOND_NANOS));

    assert_eq!(find(&metrics, "plimsoll_received_bytes").unit, "By");
    let cpu = find(&metrics, "plimsoll_generator_cpu");
    assert_eq!((cpu.unit.as_str(), &cpu.data), ("1", &Some(Data::Gauge(gauge(cpu)))));
    assert_eq!(numbers(cpu)[0].value, Some(number_data_point::Value::AsDouble(0.25)));

    let time = find(&metrics, "plimsoll_response_time");
    assert_eq!(time.unit, "s");
    let [point] = exponential(time) else { panic!("{time:?}") };
    assert_eq!((point.count, point.sum, point.scale), (2, Some(0.334), 6));
    assert_eq!((point.min, point.max), (Some(0.001), Some(0.333)));
    assert_eq!((point.zero_count, point.zero_threshold), (0, 1.0 / 1_048_576.0));
    assert_eq!(point.positive.as_ref().unwrap().bucket_counts.iter().sum::<u64>(), 2);
}

fn gauge(metric: &Metric) -> Gauge {
    Gauge { data_points: numbers(metric).to_vec() }
}

#[test]
fn the_resource_is_the_run() {
    let mut fixture = Fixture::busy();
    let parts = cumulative(&fixture).parts(&fixture.second());
    let request = ExportMetricsServiceRequest::decode(parts[0].body.as_slice()).unwrap();
    let [resource] = request.resource_metrics.as_slice() else { panic!("{request:?}") };
    assert_eq!(
        text(&resource.resource.as_ref().unwrap().attributes),
        "service.name=plimsoll service.version=0.1.0 service.instance.id=run plimsoll.run=run plimsoll.plan=shop \
         plimsoll.version=1.4.2"
    );
    let scope = resource.scope_metrics[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("plimsoll", "0.1.0"));
}

#[test]
fn thresholds_are_bounds_of_explicit_histograms() {
    let mut fixture = Fixture::new();
    [1_000_000, 333_000_000, 333_000_001, 70_000_000_000]
        .into_iter()
        .for_each(|nanos| fixture.request(0, 0, Some(200), nanos));
    let mut run = Run::of(&fixture, OtlpTemporality::Delta, OtlpHistograms::Explicit);
    let metrics = run.metrics(&fixture.second());
    let Some(Data::Histogram(histogram)) = &find(&metrics, "plimsoll_response_time").data else { panic!() };
    assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Delta);
    let [point] = histogram.data_points.as_slice() else { panic!("{histogram:?}") };
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 4);
    let at = point.explicit_bounds.iter().position(|bound| *bound == 0.333).unwrap();
    assert_eq!(point.bucket_counts[..=at].iter().sum::<u64>(), 2, "at or below the threshold, exactly");
    assert_eq!(point.bucket_counts.last(), Some(&1), "beyond the last bound");
}

#[test]
fn a_level_ends_once() {
    let mut fixture = Fixture::new();
    let mut run = delta(&fixture);
    let mut scraped = |found| {
        fixture.scraped(found);
        let metrics = run.metrics(&fixture.second());
        let resource = metrics.iter().find(|metric| metric.name == "plimsoll_resource");
        resource.map(|metric| {
            let [point] = numbers(metric) else { panic!("{metric:?}") };
            (point.value, point.flags)
        })
    };
    let value = |level| Some((Some(number_data_point::Value::AsDouble(level)), 0));
    assert_eq!(scraped(Err("no answer")), None, "nothing was there");
    assert_eq!(scraped(Ok(&[("cpu", 0.5)])), value(0.5));
    assert_eq!(scraped(Ok(&[])), Some((None, NO_VALUE)));
    assert_eq!(scraped(Ok(&[])), None);
    assert_eq!(scraped(Ok(&[("cpu", 0.25)])), value(0.25));
}

#[test]
fn every_series_ends_with_the_run_after_its_last_value() {
    for (temporality, whole) in [(OtlpTemporality::Cumulative, true), (OtlpTemporality::Delta, false)] {
        let mut fixture = Fixture::busy();
        let mut run = Run::of(&fixture, temporality, OtlpHistograms::Exponential);
        let second = run.metrics(&fixture.second());
        let ended = run.metrics(&fixture.end_event());
        let is_level = |metric: &&Metric| matches!(metric.data, Some(Data::Gauge(_)));
        let count = |metrics: &[Metric], levels_only: bool| -> usize {
            let metrics = metrics.iter().filter(|metric| !levels_only || is_level(metric));
            metrics.map(|metric| points(metric.data.as_ref().unwrap())).sum()
        };
        assert_eq!(count(&ended, false), count(&second, !whole));
        for metric in &ended {
            match metric.data.as_ref().unwrap() {
                Data::ExponentialHistogram(histogram) => {
                    assert!(
                        histogram.data_points.iter().all(|point| point.flags == NO_VALUE && point.count == 0)
                    );
                }
                _ => {
                    assert!(
                        numbers(metric).iter().all(|point| point.flags == NO_VALUE && point.value.is_none())
                    );
                    assert!(
                        numbers(metric).iter().all(|point| point.time_unix_nano > STARTED + SECOND_NANOS)
                    );
                }
            }
        }
        assert!(run.parts(&fixture.end_event()).is_empty(), "nothing is left");
    }
}

#[test]
fn exemplars_carry_their_trace() {
    let mut fixture = Fixture::new();
    fixture.request(0, 0, Some(200), 5_000_000);
    let mut run = delta(&fixture);
    let event = fixture.second();
    let mut report = run.readings.read(&event).unwrap();
    let labels = [
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("span_id", "b7ad6b7169203331"),
        ("step", "list"),
        ("span_id", "no id"),
    ];
    for reading in report.readings.iter_mut().filter(|reading| reading.metric == &catalogue::RESPONSE_TIME) {
        reading.exemplars.push(crate::Exemplar {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            nanos: 5_000_000,
            wall_nanos: Some(STARTED as i64 + 7),
        });
    }
    let parts = run.encoder.encode(&event, Some(&report));
    let metrics = decoded(&parts[0].body);
    let [point] = exponential(find(&metrics, "plimsoll_response_time")) else { panic!() };
    let [exemplar] = point.exemplars.as_slice() else { panic!("{point:?}") };
    assert_eq!(exemplar.trace_id[..3], [0x0a, 0xf7, 0x65]);
    assert_eq!(exemplar.span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(0.005)));
    assert_eq!(exemplar.time_unix_nano, STARTED + 7);
    assert_eq!(text(&exemplar.filtered_attributes), "step=list span_id=no id");
}

#[test]
fn a_part_is_bounded_and_can_be_halved_down_to_one_point() {
    let mut fixture = Fixture::new();
    (0..2_000_u16).for_each(|status| fixture.request(0, 0, Some(status), 1_000_000));
    let parts = cumulative(&fixture).parts(&fixture.second());
    assert!(parts.len() > 3);
    assert!(parts.iter().all(|part| part.points <= PART_POINTS as u64));
    let mut waiting = parts.clone();
    let mut single = 0;
    while let Some(part) = waiting.pop() {
        match halves_of_metrics(&part.body) {
            Some([first, second]) => {
                assert_eq!(first.points + second.points, part.points);
                waiting.extend([first, second]);
            }
            None => {
                assert_eq!(part.points, 1);
                single += 1;
            }
        }
    }
    assert_eq!(single, parts.iter().map(|part| part.points).sum::<u64>());
    assert_eq!(halves_of_metrics(b"no request"), None);
}

/// Indices at `scale` of the bucket in the row of `point`, by its counts.
fn indices(buckets: &Buckets, scale: i32) -> BTreeMap<i32, u64> {
    let mut coarse = BTreeMap::new();
    for (index, count) in (buckets.offset..).zip(&buckets.bucket_counts).filter(|(_, count)| **count > 0) {
        *coarse.entry(index >> (SCHEMA - scale)).or_default() += count;
    }
    coarse
}

fn buckets_of(seconds: &[f64]) -> Buckets {
    let mut native = NativeBuckets::default();
    seconds.iter().for_each(|seconds| native.add((seconds * 1e9).round() as u64, 1));
    positive(&native).unwrap()
}

/// Facts of opentelemetry-java, `Base2ExponentialHistogramIndexerTest`: `computeIndex_ScaleOne`,
/// `computeIndex_ScaleZero`, `computeIndex_ScaleNegOne` and `valueToIndex_ScaleNegFour`, as far as values are whole
/// nanoseconds within the range of durations. A coarser scale is a shift of a finer one's index.
#[test]
fn indices_are_those_of_the_java_indexer() {
    let cases: [(i32, &[(f64, i32)]); 4] = [
        (
            1,
            &[
                (15.0, 7),
                (9.0, 6),
                (7.0, 5),
                (5.0, 4),
                (3.0, 3),
                (2.5, 2),
                (1.5, 1),
                (1.2, 0),
                (1.0, -1),
                (0.75, -1),
                (0.55, -2),
                (0.45, -3),
            ],
        ),
        (
            0,
            &[
                (4.0, 1),
                (3.0, 1),
                (2.0, 0),
                (1.5, 0),
                (1.0, -1),
                (0.75, -1),
                (0.51, -1),
                (0.5, -2),
                (0.26, -2),
                (0.25, -3),
                (0.126, -3),
                (0.125, -4),
            ],
        ),
        (
            -1,
            &[
                (17.0, 2),
                (16.0, 1),
                (15.0, 1),
                (9.0, 1),
                (8.0, 1),
                (5.0, 1),
                (4.0, 0),
                (3.0, 0),
                (2.0, 0),
                (1.5, 0),
                (1.0, -1),
                (0.75, -1),
                (0.5, -1),
                (0.25, -2),
                (0.2, -2),
                (0.13, -2),
                (0.125, -2),
                (0.1, -2),
                (0.0625, -3),
                (0.06, -3),
            ],
        ),
        (
            -4,
            &[
                (1.0, -1),
                (16.0, 0),
                (256.0, 0),
                (4_096.0, 0),
                (65_536.0, 0),
                (1_048_576.0, 1),
                (16_777_216.0, 1),
                (268_435_456.0, 1),
                (4_294_967_296.0, 1),
                (0.0625, -1),
                (0.003_906_25, -1),
            ],
        ),
    ];
    for (scale, facts) in cases {
        for &(value, index) in facts {
            assert_eq!(
                indices(&buckets_of(&[value]), scale),
                BTreeMap::from([(index, 1)]),
                "{value} at scale {scale}"
            );
        }
    }
}

/// Facts of opentelemetry-go, `TestExpoHistogramDataPointRecord` (buckets) and its `MinMaxSum` cases.
#[test]
fn buckets_are_those_of_the_go_aggregation() {
    let cases: [(&[f64], i32, i32, &[u64]); 6] = [
        (&[2.0, 4.0, 1.0], 0, -1, &[1, 1, 1]),
        (&[4.0, 4.0, 4.0, 2.0, 16.0, 1.0], -1, -1, &[1, 4, 1]),
        (&[1.0, 2.0, 4.0], -1, -1, &[1, 2]),
        (&[4.0, 2.0, 1.0], -1, -1, &[1, 2]),
        (&[2.0, 2.0, 2.0, 1.0, 8.0, 0.5], -1, -1, &[2, 3, 1]),
        (&[0.5, 2.0, 1.0], -1, -1, &[2, 1]),
    ];
    for (values, scale, start, counts) in cases {
        let expected = (start..).zip(counts.iter().copied()).collect();
        assert_eq!(indices(&buckets_of(values), scale), expected, "{values:?}");
    }
    for (values, min, max, sum) in
        [(&[2, 4, 1][..], 1.0, 4.0, 7.0), (&[4, 4, 4, 2, 16, 1][..], 1.0, 16.0, 31.0)]
    {
        let mut recorded = Recorded::new(Edges::default());
        values.iter().for_each(|seconds| recorded.record(seconds * SECOND_NANOS));
        let point = Durations::of(&recorded.distribution()).point(
            OtlpHistograms::Exponential,
            Vec::new(),
            Vec::new(),
            Span { from: 0, to: 1 },
        );
        let Point::Exponential(point) = point else { panic!() };
        assert_eq!((point.min, point.max, point.sum), (Some(min), Some(max), Some(sum)));
        assert_eq!(point.count, values.len() as u64);
    }
}

/// The value below which `rank` others are, as a reader of the message finds it: the geometric middle of
/// its bucket, kept within the least and the greatest.
fn read_quantile(point: &ExponentialHistogramDataPoint, rank: u64) -> f64 {
    let mut seen = point.zero_count;
    if seen > rank {
        return 0.0;
    }
    let buckets = point.positive.as_ref().unwrap();
    let base = (2.0_f64).powf((2.0_f64).powi(-point.scale));
    let found = (buckets.offset..).zip(&buckets.bucket_counts).find(|(_, count)| {
        seen += **count;
        seen > rank
    });
    let (index, _) = found.unwrap();
    (base.powi(index) * base.powi(index + 1)).sqrt().clamp(point.min.unwrap(), point.max.unwrap())
}

fn seconds_of_run() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(0_u64..100_000_000_000, 0..40), 1..6)
}

proptest! {
    #[test]
    fn a_quantile_read_from_buckets_is_within_the_stated_error(mut values in prop::collection::vec(2_000_u64..100_000_000_000, 1..300), share in 0.0..1.0_f64) {
        let mut recorded = Recorded::new(Edges::default());
        values.iter().for_each(|value| recorded.record(*value));
        let durations = Durations::of(&recorded.distribution());
        let Point::Exponential(point) = durations.point(OtlpHistograms::Exponential, Vec::new(), Vec::new(), Span { from: 0, to: 1 }) else { panic!() };
        values.sort_unstable();
        let rank = (share * values.len() as f64) as u64;
        let (found, truth) = (read_quantile(&point, rank), values[rank as usize] as f64 / 1e9);
        // 1.1% of the bucket, 0.1% of what it was made of.
        prop_assert!((found - truth).abs() <= 0.012 * truth + 512e-9, "{found} for {truth}");
    }

    #[test]
    fn a_row_of_buckets_counts_all_and_has_no_empty_ends(values in prop::collection::vec(0_u64..100_000_000_000, 0..300)) {
        let mut native = NativeBuckets::default();
        values.iter().for_each(|value| native.add(*value, 1));
        let Some(buckets) = positive(&native) else {
            prop_assert_eq!(native.zero, values.len() as u64);
            return Ok(());
        };
        prop_assert_eq!(native.zero + buckets.bucket_counts.iter().sum::<u64>(), values.len() as u64);
        prop_assert!(buckets.bucket_counts.first() > Some(&0) && buckets.bucket_counts.last() > Some(&0));
        let base = (2.0_f64).powf(f64::from(-SCHEMA).exp2());
        let lower = base.powi(buckets.offset);
        prop_assert!((lower / upper_bound(buckets.offset) - 1.0).abs() < 1e-9, "a bucket is told by its lower bound");
    }

    /// What the deltas of all seconds add up to is what the last cumulative point says.
    #[test]
    fn deltas_add_up_to_the_cumulative_point(seconds in seconds_of_run(), explicit in any::<bool>()) {
        let form = if explicit { OtlpHistograms::Explicit } else { OtlpHistograms::Exponential };
        let mut fixture = Fixture::new();
        let mut deltas = Run::of(&fixture, OtlpTemporality::Delta, form);
        let mut sums = Run::of(&fixture, OtlpTemporality::Cumulative, form);
        let (mut added, mut last) = (BTreeMap::new(), BTreeMap::new());
        for values in &seconds {
            values.iter().for_each(|nanos| fixture.request(0, (*nanos % 3) as u16, Some(200), *nanos));
            let event = fixture.second();
            for (series, counts) in deltas.metrics(&event).iter().flat_map(counted) {
                let known: &mut BTreeMap<String, f64> = added.entry(series).or_default();
                for (what, count) in counts {
                    let more = known.entry(what.clone()).or_insert(if what == "min" { f64::MAX } else { 0.0 });
                    *more = match what.as_str() {
                        "min" => more.min(count),
                        "max" => more.max(count),
                        _ => *more + count,
                    };
                }
            }
            last.extend(sums.metrics(&event).iter().flat_map(counted));
        }
        prop_assert_eq!(added.keys().collect::<Vec<_>>(), last.keys().collect::<Vec<_>>());
        for (series, counts) in last {
            for (what, count) in counts {
                let sum = added[&series].get(&what).copied().unwrap_or_default();
                prop_assert!((sum - count).abs() <= 1e-9 * count.max(1.0), "{series} {what}: {sum} for {count}");
            }
        }
    }

    #[test]
    fn a_replay_gives_the_same_bytes(seconds in seconds_of_run(), cumulative in any::<bool>()) {
        let temporality = if cumulative { OtlpTemporality::Cumulative } else { OtlpTemporality::Delta };
        let mut fixture = Fixture::new();
        let mut events = vec![fixture.start_event()];
        for values in &seconds {
            values.iter().for_each(|nanos| fixture.request(0, (*nanos % 3) as u16, Some(200), *nanos));
            events.extend([fixture.second(), fixture.judged()]);
        }
        events.push(fixture.end_event());
        let encode = || {
            let mut run = Run::of(&fixture, temporality, OtlpHistograms::Exponential);
            events.iter().flat_map(|event| run.parts(event)).collect::<Vec<_>>()
        };
        prop_assert_eq!(encode(), encode());
    }

    #[test]
    fn any_name_comes_back(plan in ".{0,12}", step in any::<String>()) {
        let mut fixture = Fixture::of("run", &plan, &step);
        fixture.request(0, 0, Some(204), 7_000_000);
        let metrics = delta(&fixture).metrics(&fixture.second());
        let [point] = numbers(find(&metrics, "plimsoll_requests")) else { panic!() };
        let of = |name: &str| point.attributes.iter().find(|pair| pair.key == name).map(|pair| pair.value.clone());
        for (name, value) in [("plan", plan), ("step", step)] {
            let expected = (!value.is_empty()).then(|| attribute(name, &value).value);
            prop_assert_eq!(of(name), expected);
        }
    }

    #[test]
    fn any_bytes_are_halved_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = halves_of_metrics(&bytes);
    }
}

/// A series of a counter or histogram with what each of its parts counts.
fn counted(metric: &Metric) -> Vec<(String, BTreeMap<String, f64>)> {
    let name = |attributes: &[KeyValue]| format!("{} {}", metric.name, text(attributes));
    let parts = |parts: Vec<(String, f64)>| parts.into_iter().collect::<BTreeMap<_, _>>();
    let all = |count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>| {
        let of = |what: &str, value: f64| (what.to_owned(), value);
        let whole = [of("count", count as f64), of("sum", sum.unwrap())].into_iter();
        whole.chain(min.map(|min| of("min", min))).chain(max.map(|max| of("max", max))).collect::<Vec<_>>()
    };
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            let value = |point: &NumberDataPoint| match point.value {
                Some(number_data_point::Value::AsInt(count)) => count as f64,
                other => panic!("{other:?}"),
            };
            let point = |point: &NumberDataPoint| {
                (name(&point.attributes), parts(vec![("count".to_owned(), value(point))]))
            };
            sum.data_points.iter().map(point).collect()
        }
        Data::Histogram(histogram) => {
            let point = |point: &HistogramDataPoint| {
                let mut of = all(point.count, point.sum, point.min, point.max);
                let buckets = point.bucket_counts.iter().enumerate();
                of.extend(buckets.map(|(bucket, count)| (format!("bucket {bucket}"), *count as f64)));
                (name(&point.attributes), parts(of))
            };
            histogram.data_points.iter().map(point).collect()
        }
        Data::ExponentialHistogram(histogram) => {
            let point = |point: &ExponentialHistogramDataPoint| {
                let mut of = all(point.count, point.sum, point.min, point.max);
                of.push(("zero".to_owned(), point.zero_count as f64));
                let buckets = point.positive.iter().flat_map(|buckets| indices(buckets, SCHEMA));
                of.extend(buckets.map(|(bucket, count)| (format!("bucket {bucket}"), count as f64)));
                (name(&point.attributes), parts(of))
            };
            histogram.data_points.iter().map(point).collect()
        }
        Data::Gauge(_) | Data::Summary(_) => Vec::new(),
    }
}
