//! The sinks of the OpenTelemetry protocol, read back from a real collector and tried on a receiver that
//! answers on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_exposition::otlp::messages::metrics::v1::{Metric, metric::Data, number_data_point::Value};
use plimsoll_measure::{Outcome, Phase, Purposes, Sample, SeriesKey, Single, TraceContext};
use plimsoll_run::{
    ExportSettings, OtlpExport, OtlpHistograms, OtlpProtocol, OtlpTemporality, RunEvent, Secret,
};
use plimsoll_testkit::{OtlpAnswer, OtlpReceiver, OtlpRequest, Rotel, RotelPoint};

use crate::run::{DEADLINE, Run, finish, offer};

const TOKEN: &str = "a-token-nobody-may-see";

const BOTH: [OtlpProtocol; 2] = [OtlpProtocol::Http, OtlpProtocol::Grpc];

fn settings(url: &str, protocol: OtlpProtocol) -> OtlpExport {
    OtlpExport {
        url: url.to_owned(),
        protocol,
        headers: vec![("authorization".to_owned(), Secret::new(format!("Bearer {TOKEN}")))],
        temporality: OtlpTemporality::Cumulative,
        histograms: OtlpHistograms::Exponential,
        traces: false,
        gzip: true,
    }
}

async fn with(settings: OtlpExport) -> Exporters {
    let settings = ExportSettings { otlp: Some(settings), ..ExportSettings::default() };
    Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap()
}

async fn to(receiver: &OtlpReceiver, protocol: OtlpProtocol) -> Exporters {
    with(settings(&receiver.url(), protocol)).await
}

/// Requests by outcome and phase, from the points of all seconds.
pub(crate) fn requests(
    points: &[RotelPoint],
    temporality: OtlpTemporality,
) -> BTreeMap<(String, String), u64> {
    let mut series: BTreeMap<&BTreeMap<String, String>, f64> = BTreeMap::new();
    for point in points.iter().filter(|point| point.metric == "plimsoll_requests") {
        let Some(value) = point.value else { continue };
        let known = series.entry(&point.attributes).or_default();
        *known = if temporality == OtlpTemporality::Delta { *known + value } else { known.max(value) };
    }
    let mut sums = BTreeMap::new();
    for (attributes, value) in series {
        *sums.entry((attributes["outcome"].clone(), attributes["phase"].clone())).or_default() +=
            value as u64;
    }
    sums
}

/// Counts per bucket of all response times, from the points of all seconds.
fn buckets(points: &[RotelPoint], temporality: OtlpTemporality) -> Vec<(f64, f64, u64)> {
    let mut last: BTreeMap<&BTreeMap<String, String>, &RotelPoint> = BTreeMap::new();
    let times = points.iter().filter(|point| point.metric == "plimsoll_response_time" && point.count > 0);
    let times: Vec<&RotelPoint> = times.collect();
    last.extend(times.iter().map(|point| (&point.attributes, *point)));
    let used = if temporality == OtlpTemporality::Delta { times } else { last.into_values().collect() };
    let mut sums: Vec<(f64, f64, u64)> = used.iter().flat_map(|point| point.buckets.clone()).collect();
    sums.sort_by(|a, b| a.1.total_cmp(&b.1));
    sums
}

#[tokio::test]
async fn a_collector_understands_what_was_counted_to_the_last_request() {
    for protocol in BOTH {
        for temporality in [OtlpTemporality::Cumulative, OtlpTemporality::Delta] {
            let rotel = Rotel::start().await.unwrap();
            let url = if protocol == OtlpProtocol::Grpc { rotel.grpc_url() } else { rotel.http_url() };
            let gzip = temporality == OtlpTemporality::Delta;
            let mut exporters = with(OtlpExport { temporality, gzip, ..settings(&url, protocol) }).await;
            let run = offer(&mut exporters, 4);
            let count = finish(&mut exporters, DEADLINE).await;
            assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));

            let all = |points: &[RotelPoint]| points.len() as u64 == count.acknowledged;
            let points = rotel.wait_for_points(all, DEADLINE).await.unwrap();
            let counted: BTreeMap<_, _> = run
                .requests
                .iter()
                .map(|((outcome, phase), count)| (((*outcome).to_owned(), (*phase).to_owned()), *count))
                .collect();
            assert_eq!(requests(&points, temporality), counted, "{protocol:?} {temporality:?}");

            let buckets = buckets(&points, temporality);
            let total: u64 = buckets.iter().map(|(_, _, count)| count).sum();
            assert_eq!(total, run.requests());
            let mut times = run.response_times.clone();
            times.sort_unstable();
            let rank = (0.99 * total as f64).ceil() as u64;
            let mut seen = 0;
            let (lower, upper, _) = buckets
                .into_iter()
                .find(|(_, _, count)| {
                    seen += count;
                    seen >= rank
                })
                .unwrap();
            let (found, exact) = ((lower * upper).sqrt(), times[rank as usize - 1] as f64 / 1e9);
            assert!((found / exact - 1.0).abs() < 0.012, "p99 is {found}, exactly {exact}");

            let kinds: BTreeMap<_, _> = points
                .iter()
                .map(|point| (point.metric.as_str(), (point.kind.as_str(), point.unit.as_str())))
                .collect();
            assert_eq!(kinds["plimsoll_requests"], ("Sum", ""));
            assert_eq!(kinds["plimsoll_response_time"], ("ExponentialHistogram", "s"));
            assert_eq!(kinds["plimsoll_generator_cpu"], ("Gauge", "1"));
            assert!(
                points
                    .iter()
                    .any(|point| point.attributes.get("plan").is_some_and(|plan| plan == crate::run::PLAN))
            );
        }
    }
}

/// A second in which so many requests were traced.
fn traced(event: RunEvent, count: u8) -> RunEvent {
    let RunEvent::Second(second) = event else { panic!("a second") };
    let mut second = Arc::unwrap_or_clone(second);
    let requests = (1..=count).map(|number| {
        let outcome = if number == 1 { Outcome::Timeout } else { Outcome::Ok };
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: Some(0), outcome };
        let sample = Sample { sent: Some(20), done: 7_000_000, first_byte: Some(9), ..Sample::at(key, 0) };
        let trace = TraceContext { trace_id: [number; 16], span_id: [number; 8], sampled: true };
        Single { sample, trace: Some(trace), purposes: Purposes { trace: true, samples: false } }
    });
    second.frame.singles.requests = requests.collect();
    RunEvent::Second(Arc::new(second))
}

#[tokio::test]
async fn a_collector_understands_traced_requests_as_spans() {
    for protocol in BOTH {
        let rotel = Rotel::start().await.unwrap();
        let url = if protocol == OtlpProtocol::Grpc { rotel.grpc_url() } else { rotel.http_url() };
        let mut exporters = with(OtlpExport { traces: true, ..settings(&url, protocol) }).await;
        let mut run = Run::new();
        exporters.send(&run.start());
        exporters.send(&traced(run.next_second(10), 5));
        exporters.send(&traced(run.next_second(10), 0));
        finish(&mut exporters, DEADLINE).await;
        let counts = exporters.counts();
        let traces = counts.iter().find(|count| count.sink == "otlp_traces").unwrap();
        assert_eq!((traces.produced, traces.acknowledged), (5, 5));
        let spans = rotel.wait_for_spans(|spans| spans.len() >= 5, DEADLINE).await.unwrap();
        assert_eq!(spans.len(), 5);
        assert_eq!(spans[0].trace_id, "01".repeat(16));
        assert_eq!((spans[0].kind.as_str(), spans[0].status.as_str()), ("CLIENT", "ERROR"));
        assert_eq!(spans[0].attributes["error.type"], "timeout");
        assert_eq!(spans[1].attributes["http.request.method"], "GET");
        assert_eq!(spans[1].attributes["plimsoll.step"], "GET /list?page={{ page }}");
        assert_eq!(spans[1].events, ["ready", "sent", "first byte"]);
    }
}

#[tokio::test]
async fn a_request_is_as_the_specification_wants_it() {
    for (protocol, gzip) in [
        (OtlpProtocol::Http, true),
        (OtlpProtocol::Http, false),
        (OtlpProtocol::Grpc, true),
        (OtlpProtocol::Grpc, false),
    ] {
        let receiver = OtlpReceiver::start([OtlpAnswer::Take]).await.unwrap();
        let mut exporters = with(OtlpExport { gzip, ..settings(&receiver.url(), protocol) }).await;
        offer(&mut exporters, 1);
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!(count.lost, 0, "{:?}", exporters.notes());
        let received = receiver.received();
        let header =
            |name: &str| received[0].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("authorization"), Some(format!("Bearer {TOKEN}")));
        let encoding = gzip.then(|| "gzip".to_owned());
        match protocol {
            OtlpProtocol::Http => {
                assert_eq!(received[0].path, "/v1/metrics");
                assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
                assert_eq!(header("content-encoding"), encoding);
            }
            OtlpProtocol::Grpc => {
                assert_eq!(
                    received[0].path,
                    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
                );
                assert_eq!(header("grpc-encoding"), encoding);
            }
        }
        assert!(header("user-agent").unwrap().starts_with("plimsoll/"));
        assert_eq!(received.iter().map(points).sum::<u64>(), count.produced);
    }
}

fn points(request: &OtlpRequest) -> u64 {
    let of = |metric: &Metric| match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.data_points.len(),
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        Data::Summary(summary) => summary.data_points.len(),
    };
    request.metrics().map(|metric| of(metric) as u64).sum()
}

fn later(protocol: OtlpProtocol) -> [OtlpAnswer; 3] {
    let said = || "busy".to_owned();
    match protocol {
        OtlpProtocol::Http => [
            OtlpAnswer::Status(503, said(), None),
            OtlpAnswer::Status(429, said(), Some(1)),
            OtlpAnswer::Close,
        ],
        OtlpProtocol::Grpc => [
            OtlpAnswer::Code(14, said(), None),
            OtlpAnswer::Code(8, said(), Some(Duration::from_secs(1))),
            OtlpAnswer::Close,
        ],
    }
}

#[tokio::test]
async fn what_cannot_be_taken_now_is_sent_again_and_nothing_is_lost() {
    for protocol in BOTH {
        for trouble in later(protocol) {
            let receiver = OtlpReceiver::start([trouble.clone(), OtlpAnswer::Take]).await.unwrap();
            let mut exporters = to(&receiver, protocol).await;
            offer(&mut exporters, 2);
            let received = receiver.wait_for(2, DEADLINE).await.unwrap();
            if matches!(trouble, OtlpAnswer::Status(_, _, Some(_)) | OtlpAnswer::Code(_, _, Some(_))) {
                let wait = received[1].at.duration_since(received[0].at);
                assert!(wait >= Duration::from_millis(950), "asked for a second, came after {wait:?}");
            }
            assert_eq!(received[0].metrics, received[1].metrics, "the same points again");
            let count = finish(&mut exporters, DEADLINE).await;
            assert_eq!(count.lost, 0, "{trouble:?}");
            let notes = exporters.notes();
            assert_eq!(notes.len(), 1, "{trouble:?}: {notes:?}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_is_lost_with_its_reason_and_not_sent_again() {
    let quoting = || format!("no such token: Bearer {TOKEN}");
    for (protocol, answer, expected) in [
        (
            OtlpProtocol::Http,
            OtlpAnswer::Status(401, quoting(), None),
            "otlp: 401: the credentials are not accepted; points are lost; the server says: no such token: ***",
        ),
        (
            OtlpProtocol::Http,
            OtlpAnswer::Status(500, "no disk".to_owned(), None),
            "otlp: 500: the receiver refused points; they are lost; the server says: no disk",
        ),
        (
            OtlpProtocol::Grpc,
            OtlpAnswer::Code(16, quoting(), None),
            "otlp: Unauthenticated: the credentials are not accepted; points are lost; the server says: no such token: ***",
        ),
        (
            OtlpProtocol::Grpc,
            OtlpAnswer::Code(8, "quota".to_owned(), None),
            "otlp: ResourceExhausted: the receiver refused points; they are lost; the server says: quota",
        ),
    ] {
        let receiver = OtlpReceiver::start([answer.clone()]).await.unwrap();
        let mut exporters = to(&receiver, protocol).await;
        offer(&mut exporters, 3);
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced), "{answer:?}");
        assert_eq!(exporters.notes(), [expected], "said once");
        assert_eq!(receiver.received().iter().map(points).sum::<u64>(), count.produced, "each point once");
    }
}

#[tokio::test]
async fn rejected_points_are_lost_and_a_warning_loses_none() {
    for protocol in BOTH {
        for (rejected, words, note) in [
            (3, "too old", "otlp: the receiver rejected some points; they are lost; it says: too old"),
            (0, "use 1.1", "otlp: the receiver took everything, and says: use 1.1"),
        ] {
            let script = [OtlpAnswer::Partial(rejected, words.to_owned()), OtlpAnswer::Take];
            let receiver = OtlpReceiver::start(script).await.unwrap();
            let mut exporters = to(&receiver, protocol).await;
            offer(&mut exporters, 1);
            let count = finish(&mut exporters, DEADLINE).await;
            assert_eq!((count.lost, count.acknowledged), (rejected as u64, count.produced - rejected as u64));
            assert_eq!(exporters.notes(), [note]);
        }
    }
    // A receiver that counts wrongly cannot make more lost than there was.
    for rejected in [i64::MAX, i64::MIN] {
        let receiver = OtlpReceiver::start([OtlpAnswer::Partial(rejected, "what".to_owned())]).await.unwrap();
        let mut exporters = to(&receiver, OtlpProtocol::Http).await;
        offer(&mut exporters, 1);
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!(count.lost, if rejected > 0 { count.produced } else { 0 });
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_sent_in_parts() {
    let larger = "grpc: received message larger than max (5 vs. 4)".to_owned();
    for (protocol, answer) in [
        (OtlpProtocol::Http, OtlpAnswer::Status(413, String::new(), None)),
        (OtlpProtocol::Grpc, OtlpAnswer::Code(8, larger, None)),
    ] {
        let receiver = OtlpReceiver::start([OtlpAnswer::Take]).await.unwrap();
        let mut exporters = to(&receiver, protocol).await;
        let mut run = Run::new();
        // The start is a single point, which may leave alone and has no parts.
        exporters.send(&run.start());
        receiver.wait_for(1, DEADLINE).await.unwrap();
        receiver.answer_with([answer.clone(), answer, OtlpAnswer::Take]);
        exporters.send(&run.next_second(40));
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!((count.lost, count.acknowledged), (0, count.produced));
        let received = receiver.received();
        assert!(points(&received[1]) > points(&received[2]) && points(&received[2]) > points(&received[3]));
        let taken = received.iter().filter(|request| request.answer == OtlpAnswer::Take);
        assert_eq!(taken.clone().map(points).sum::<u64>(), count.produced);
        let counted: i64 = taken.flat_map(OtlpRequest::metrics).map(counted_requests).sum();
        assert_eq!(counted as u64, run.requests());
    }
}

fn counted_requests(metric: &Metric) -> i64 {
    let Some(Data::Sum(sum)) = metric.data.as_ref().filter(|_| metric.name == "plimsoll_requests") else {
        return 0;
    };
    let count = |value| if let Some(Value::AsInt(count)) = value { count } else { 0 };
    sum.data_points.iter().map(|point| count(point.value)).sum()
}

#[tokio::test]
async fn a_receiver_that_is_down_or_stalls_never_holds_a_run_back() {
    let stalling = OtlpReceiver::start([OtlpAnswer::Stall]).await.unwrap();
    for protocol in BOTH {
        for url in ["http://127.0.0.1:1".to_owned(), stalling.url()] {
            let mut exporters = with(OtlpExport { traces: true, ..settings(&url, protocol) }).await;
            let before = Instant::now();
            offer(&mut exporters, 20);
            let count = finish(&mut exporters, Duration::from_millis(300)).await;
            assert!(before.elapsed() < Duration::from_secs(20), "it waited beyond its deadline");
            assert_eq!((count.acknowledged, count.lost), (0, count.produced));
            let notes = exporters.notes();
            assert!(notes.iter().any(|note| note.contains("were not taken within 300ms")), "{notes:?}");
            assert!(!notes.join(" ").contains(TOKEN));
        }
    }
}
