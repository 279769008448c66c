//! Metrics, read back from an emulator of CloudWatch and tried on a receiver that answers as CloudWatch's documentation says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::cloudwatch::CloudWatch;
use plimsoll_exporters::{Exporters, LiveMetrics, Piece, Replay, Sink};
use plimsoll_run::{
    AwsCredentials, CloudWatchExport, CloudWatchResolution, ExportSettings, RunEvent, Secret, Started,
};
use plimsoll_testkit::{Answer, Aws, Receiver};
use serde_json::{Value, json};

use crate::run::{DEADLINE, Run, finish};

const KEY: &str = "a-key-nobody-may-see";
const TOKEN: &str = "a-token-nobody-may-see";
const REGION: &str = "eu-central-1";
const DAY: i64 = 24 * 3600 * 1_000_000_000;

fn settings(url: &str) -> CloudWatchExport {
    CloudWatchExport {
        region: Some(REGION.to_owned()),
        namespace: "Load/Shop".to_owned(),
        endpoint: Some(url.to_owned()),
        dimensions: [("Team".to_owned(), "checkout".to_owned())].into(),
        metrics: CloudWatchExport::DEFAULT_METRICS.to_vec(),
        resolution: CloudWatchResolution::Second,
        credentials: Some(AwsCredentials {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new(KEY),
            session_token: Some(Secret::new(TOKEN)),
        }),
    }
}

async fn start(settings: CloudWatchExport) -> Exporters {
    let settings = ExportSettings { cloudwatch: Some(settings), ..ExportSettings::default() };
    Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap()
}

fn offer(exporters: &mut Exporters, run: &mut Run, seconds: u64, requests: u64) {
    exporters.send(&run.start());
    for second in 0..seconds {
        let event = run.next_second(requests + 37 * second);
        exporters.send(&event);
        exporters.send(&run.judged());
    }
}

/// Statistics of a metric over all its dimensions, as ten minutes of it.
async fn statistics(server: &Aws, run: &Run, metric: &str) -> Value {
    let request = json!({
        "Namespace": "Load/Shop",
        "MetricName": metric,
        "StartTime": run.moment(0) - 100.0,
        "EndTime": run.moment(0) + 100.0,
        // Longer than there is time, so that it begins at 1970.
        "Period": 10_000_000_000_u64,
        "Statistics": ["SampleCount", "Sum", "Minimum", "Maximum"],
        "ExtendedStatistics": ["p50", "p95", "p99"],
    });
    let mut reply = server.cloudwatch(REGION, "GetMetricStatistics", &request).await.unwrap();
    let points = reply["Datapoints"].as_array_mut().unwrap();
    assert_eq!(points.len(), 1, "{metric}");
    points.remove(0)
}

fn assert_within(found: f64, truth: f64, share: f64) {
    assert!((found - truth).abs() <= share * truth, "{found} for {truth}, more than {share} off");
}

#[tokio::test]
async fn statistics_read_back_are_what_was_counted() {
    let server = Aws::start().await.unwrap();
    let mut run = Run::new();
    let mut exporters = start(settings(&server.url())).await;
    offer(&mut exporters, &mut run, 3, 500);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));

    let requests = statistics(&server, &run, "requests").await;
    assert_eq!(requests["Sum"], run.requests() as f64);
    assert_eq!(requests["Unit"], "Count");
    let times = statistics(&server, &run, "response_time").await;
    assert_eq!(times["SampleCount"], run.requests() as f64);
    assert_eq!(times["Unit"], "Seconds");
    let mut truth: Vec<f64> = run.response_times.iter().map(|nanos| *nanos as f64 / 1e9).collect();
    truth.sort_by(f64::total_cmp);
    assert_eq!(
        (times["Minimum"].as_f64(), times["Maximum"].as_f64()),
        (truth.first().copied(), truth.last().copied())
    );
    assert_within(times["Sum"].as_f64().unwrap(), run.sum(), 0.0011);
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        // As the emulator has it: a straight line between the two nearest ranks.
        let rank = share * (truth.len() - 1) as f64;
        let (low, high) = (truth[rank.floor() as usize], truth[rank.ceil() as usize]);
        let expected = low + rank.fract() * (high - low);
        assert_within(times["ExtendedStatistics"][name].as_f64().unwrap(), expected, 0.0011);
    }
    let met = statistics(&server, &run, "sla_met").await;
    assert_eq!((met["SampleCount"].as_f64(), met["Minimum"].as_f64()), (Some(3.0), Some(1.0)));

    let found = server.cloudwatch(REGION, "ListMetrics", &json!({ "Namespace": "Load/Shop" })).await.unwrap();
    let metrics = found["Metrics"].as_array().unwrap();
    let names: BTreeSet<_> = metrics.iter().map(|metric| metric["MetricName"].as_str().unwrap()).collect();
    assert_eq!(names, CloudWatchExport::DEFAULT_METRICS.into());
    for metric in metrics {
        let dimensions: BTreeMap<_, _> = metric["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["Name"].as_str().unwrap(), one["Value"].as_str().unwrap()))
            .collect();
        let own = ["TestSuite", "Version", "Team"].map(|name| dimensions[name]);
        assert_eq!(own, [crate::run::PLAN, "1.4.2", "checkout"]);
        assert!(!dimensions.contains_key("plan"));
    }

    // The same run once more, as a replay sends it: CloudWatch adds it up, as the documentation says.
    let mut exporters = start(settings(&server.url())).await;
    offer(&mut exporters, &mut run.again(), 3, 500);
    finish(&mut exporters, DEADLINE).await;
    assert_eq!(statistics(&server, &run, "requests").await["Sum"], 2.0 * run.requests() as f64);
}

/// Times are told as seconds since the run began.
#[tokio::test]
async fn a_request_is_as_cloudwatch_wants_it() {
    let receiver = Receiver::start([Answer::Body(200, "{}".to_owned())]).await.unwrap();
    let mut run = Run::new();
    let mut exporters = start(settings(&receiver.url())).await;
    offer(&mut exporters, &mut run, 1, 20);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));
    let received = receiver.received();
    // A busy machine may send what is judged of a second by itself.
    let mut data = Vec::new();
    for request in &received {
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!((request.method.as_str(), request.uri.path()), ("POST", "/"));
        assert_eq!(header("content-type"), "application/x-amz-json-1.0");
        assert_eq!(header("x-amz-target"), "GraniteServiceVersion20100801.PutMetricData");
        assert_eq!(header("x-amz-security-token"), TOKEN);
        let authorization = header("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        let scope = "/eu-central-1/monitoring/aws4_request, SignedHeaders=content-encoding;content-type;host;x-amz-date;\
                     x-amz-security-token;x-amz-target, Signature=";
        assert!(authorization.contains(scope), "{authorization}");
        let mut body: Value = serde_json::from_str(&request.text().unwrap()).unwrap();
        data.append(body["MetricData"].as_array_mut().unwrap());
        assert_eq!(body, json!({ "Namespace": "Load/Shop", "MetricData": [] }));
    }
    for datum in &mut data {
        assert_eq!(datum["Timestamp"].as_f64().unwrap(), run.moment(1));
        datum["Timestamp"] = json!(1);
    }
    let body = json!({ "Namespace": "Load/Shop", "MetricData": data });
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cloudwatch.json");
    let text = format!("{body:#}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&golden).unwrap());
}

/// An error as CloudWatch writes it.
fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "__type": format!("com.amazonaws.cloudwatch#{code}"), "message": message });
    Answer::Body(status, body.to_string())
}

#[tokio::test]
async fn what_cannot_be_taken_now_waits_and_what_is_refused_is_lost() {
    let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>not yours</Message></Error></ErrorResponse>";
    let cases = [
        (
            error(400, "Throttling", "Rate exceeded"),
            "400: CloudWatch cannot take so much now; points wait; the server says: Throttling: Rate exceeded",
        ),
        (error(403, "ExpiredTokenException", "old"), "403: the session token has expired"),
        (
            error(403, "SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier"),
            "403: this machine's clock is not CloudWatch's",
        ),
        (Answer::Status(429), "429: the server cannot take points now; they wait"),
        (error(500, "InternalServiceFault", "oops"), "500: the server cannot take points now; they wait"),
        (Answer::Stall, "were not taken within"),
        (Answer::Close, "no connection"),
        (
            error(400, "InvalidParameterValueException", "The value is wrong"),
            "400: CloudWatch refused points; they are lost; the server says: InvalidParameterValueException: The value is wrong",
        ),
        (
            error(400, "AccessDeniedException", "User is not authorized"),
            "400: the credentials may not use cloudwatch:PutMetricData",
        ),
        (
            Answer::Body(403, xml.to_owned()),
            "403: the credentials are not accepted; points are lost; the server says: SignatureDoesNotMatch: not yours",
        ),
        (Answer::Status(404), "404: there is nothing that takes points under this URL"),
    ];
    for (answer, expected) in cases {
        let receiver = Receiver::start([answer.clone()]).await.unwrap();
        let mut exporters = start(settings(&receiver.url())).await;
        offer(&mut exporters, &mut Run::new(), 1, 20);
        let count = finish(&mut exporters, Duration::from_secs(1)).await;
        assert_eq!(count.lost, count.produced, "{answer:?} {count:?}");
        let notes = exporters.notes().join("\n");
        assert!(notes.contains(expected), "{answer:?}: {notes}");
    }
}

#[tokio::test]
async fn a_throttled_request_is_sent_again_and_a_large_one_in_parts() {
    let script = [error(400, "Throttling", "Rate exceeded"), Answer::Status(413), Answer::Status(200)];
    let receiver = Receiver::start(script).await.unwrap();
    let mut exporters = start(settings(&receiver.url())).await;
    offer(&mut exporters, &mut Run::new(), 1, 20);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (0, count.produced));
    let received = receiver.received();
    let points: Vec<_> = received
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_str(&request.text().unwrap()).unwrap();
            body["MetricData"].as_array().unwrap().len() as u64
        })
        .collect();
    let [first, again, parts @ ..] = points.as_slice() else { panic!("{points:?}") };
    assert_eq!(first, again);
    assert!(parts[0] < *first, "{points:?}");
    assert_eq!(parts.iter().sum::<u64>(), count.produced);
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let said = format!("no such key AKIDEXAMPLE, {KEY}, {TOKEN}");
    let receiver = Receiver::start([error(403, "InvalidClientTokenId", &said)]).await.unwrap();
    let sink = CloudWatch::new(&settings(&receiver.url())).unwrap();
    assert!(!format!("{sink:?} {}", sink.identity()).contains("nobody-may-see"));
    let mut exporters = start(settings(&receiver.url())).await;
    offer(&mut exporters, &mut Run::new(), 1, 20);
    finish(&mut exporters, DEADLINE).await;
    let notes = exporters.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("no such key ***, ***, ***"), "{notes:?}");
    let wrong = CloudWatchExport {
        credentials: Some(AwsCredentials {
            access_key_id: Secret::new("id"),
            secret_access_key: Secret::new(KEY),
            session_token: Some(Secret::new(format!("{TOKEN}\n"))),
        }),
        ..settings("http://127.0.0.1:1")
    };
    let error = CloudWatch::new(&wrong).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("nobody-may-see"), "{error:?}");
}

/// A run as if it had been so much later.
fn moved(event: RunEvent, nanos: i64) -> RunEvent {
    match event {
        RunEvent::Started(started) => {
            let mut started = Started::clone(&started);
            started.info.started_nanos += nanos;
            RunEvent::Started(Arc::new(started))
        }
        RunEvent::Second(second) => {
            let mut second = plimsoll_run::Second::clone(&second);
            second.wall_nanos += nanos;
            RunEvent::Second(Arc::new(second))
        }
        other => other,
    }
}

#[tokio::test]
async fn a_run_that_is_replayed_too_late_is_lost_and_told() {
    let receiver = Receiver::start([Answer::Status(200)]).await.unwrap();
    for (late, told) in [(-15 * DAY, true), (-13 * DAY, false), (DAY / 12, true), (DAY / 24, false)] {
        let sink: Arc<dyn Sink> = Arc::new(CloudWatch::new(&settings(&receiver.url())).unwrap());
        let mut replay = Replay::start(sink);
        let before = receiver.received().len();
        let mut run = Run::new();
        for event in [run.start(), run.next_second(20), run.next_second(20), run.end()] {
            assert!(replay.send(&moved(event, late), DEADLINE).await);
        }
        let (count, notes) = replay.finish(DEADLINE).await;
        assert_eq!(count.produced, count.acknowledged + count.lost);
        assert_eq!(count.lost, if told { count.produced } else { 0 }, "{late}");
        assert_eq!(receiver.received().len() > before, !told, "{late}");
        let expected = "cloudwatch: CloudWatch takes no points that are two weeks old or two hours ahead";
        assert_eq!(notes.iter().any(|note| note.starts_with(expected)), told, "{notes:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_is_left_out_of_a_request() {
    let receiver = Receiver::start([Answer::Status(200)]).await.unwrap();
    let sink = CloudWatch::new(&settings(&receiver.url())).unwrap();
    let now = Run::new().moment(0);
    let datum = |at: f64| Piece {
        points: 1,
        lane: 0,
        body: format!(r#"{{"Timestamp":{at},"Value":1}}"#).into_bytes(),
    };
    let answer = sink.send(&[datum(1.0), datum(now), datum(now + 86_400.0), datum(now)]).await;
    let plimsoll_exporters::Answer::Partly { lost: 2, reason, .. } = answer else { panic!("{answer:?}") };
    assert!(reason.ends_with("2 points were not sent and are lost"), "{reason}");
    let body: Value = serde_json::from_str(&receiver.received()[0].text().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({ "Namespace": "Load/Shop", "MetricData": [{ "Timestamp": now, "Value": 1 }, { "Timestamp": now, "Value": 1 }] })
    );
}
