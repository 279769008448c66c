//! Remote write, read back from real servers, and tried on a receiver of our own that follows both
//! specifications and misbehaves on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{
    ExportCount, ExportSettings, RemoteWriteExport, RemoteWriteHistograms, RemoteWriteVersion, Secret,
};
use plimsoll_testkit::remote_write::{FloatSample, NativeSample, Pushed, RemoteWriteReceiver, Reply, Speaks};
use plimsoll_testkit::{Prometheus, PrometheusSetup, VictoriaMetrics};

use crate::run::{DEADLINE, PLAN, Run, finish_after, offer};

const TOKEN: &str = "a-token-nobody-may-see";

fn to(url: &str) -> RemoteWriteExport {
    RemoteWriteExport {
        url: url.to_owned(),
        version: RemoteWriteVersion::Auto,
        token: None,
        login: None,
        headers: Vec::new(),
        labels: BTreeMap::new(),
        histograms: RemoteWriteHistograms::Both,
        lanes: 2,
    }
}

async fn start(settings: RemoteWriteExport) -> Exporters {
    let settings = ExportSettings { remote_write: Some(settings), ..ExportSettings::default() };
    Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap()
}

async fn finish(exporters: &mut Exporters, seconds: u64) -> ExportCount {
    let [count] = finish_after(exporters, seconds, DEADLINE).await.try_into().unwrap();
    assert!(count.backlog == 0 && count.produced > 0, "{count:?}");
    count
}

/// A run of so many seconds, pushed whole; what became of it and what was told.
async fn pushed(settings: RemoteWriteExport, seconds: u64) -> (Run, ExportCount, Vec<String>) {
    let mut exporters = start(settings).await;
    let run = offer(&mut exporters, seconds);
    let count = finish(&mut exporters, seconds).await;
    (run, count, exporters.notes())
}

/// The value of an expression at a moment; `None`: there is no series.
async fn value_at(prometheus: &Prometheus, expression: &str, moment: f64) -> Option<f64> {
    let found = prometheus.query_range(expression, moment, moment, 1.0).await.unwrap();
    assert!(found.len() <= 1, "{expression}: {found:?}");
    found.first().and_then(plimsoll_testkit::Series::value)
}

#[tokio::test]
async fn prometheus_stores_what_was_counted_to_the_last_request() {
    let prometheus = Prometheus::start(PrometheusSetup::default()).await.unwrap();
    let (run, count, notes) = pushed(to(&prometheus.remote_write_url()), 5).await;
    assert_eq!((count.lost, notes), (0, Vec::new()), "that it speaks 1.0 alone is no trouble");
    let end = run.moment(5);
    let value = async |query: &str| value_at(&prometheus, query, end).await;
    let total = run.requests() as f64;
    assert_eq!(value("sum(plimsoll_requests_total)").await, Some(total));
    for ((outcome, phase), count) in &run.requests {
        let query = format!("sum(plimsoll_requests_total{{outcome=\"{outcome}\", phase=\"{phase}\"}})");
        assert_eq!(value(&query).await, Some(*count as f64), "{query}");
    }
    assert_eq!(value("sum(plimsoll_received_bytes_total)").await, Some(run.received_bytes as f64));
    // Every series began at zero, so an increase sees the first second too.
    let increase =
        "sum(max_over_time(plimsoll_requests_total[1m]) - min_over_time(plimsoll_requests_total[1m]))";
    assert_eq!(value(increase).await, Some(total));
    assert_eq!(value("sum(histogram_count(plimsoll_response_time_seconds))").await, Some(total));
    let sum = value("sum(histogram_sum(plimsoll_response_time_seconds))").await.unwrap();
    assert!((sum - run.sum()).abs() < 1e-6, "{sum} for {}", run.sum());
    for share in [0.5, 0.9, 0.99] {
        let query = format!("histogram_quantile({share}, sum(plimsoll_response_time_seconds))");
        let (found, truth) = (value(&query).await.unwrap(), run.quantile(share));
        // The stated 1.1%, and the 0.1% of the histogram that the values come from.
        assert!((found / truth - 1.0).abs() < 0.012, "p{share}: {found} for {truth}");
    }
    for (edge, nanos) in [("0.001", 1_000_000), ("0.333", 333_000_000), ("+Inf", u64::MAX)] {
        let query = format!("sum(plimsoll_response_time_seconds_bucket{{le=\"{edge}\"}})");
        assert_eq!(value(&query).await, Some(run.at_or_below(nanos) as f64), "{edge}");
    }
    // Exemplars are of the requests themselves.
    let found =
        prometheus.exemplars("plimsoll_response_time_seconds_bucket", run.moment(0), end).await.unwrap();
    let exemplars: Vec<_> =
        found.as_array().unwrap().iter().flat_map(|series| series["exemplars"].as_array().unwrap()).collect();
    assert!(exemplars.len() >= 20, "{exemplars:?}");
    for exemplar in exemplars {
        let trace = exemplar["labels"]["trace_id"].as_str().unwrap();
        let id = u128::from_str_radix(trace, 16).unwrap().to_be_bytes();
        let value: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
        assert_eq!((value * 1e9).round() as u64, run.traced[&id], "the request's own time");
    }
    let found = prometheus.query_range("plimsoll_run_info", end, end, 1.0).await.unwrap();
    assert_eq!((found[0].label("plan"), found[0].label("job")), (PLAN, "plimsoll"));

    // A second later the run is over, and so is every series of it.
    let after = run.moment(6);
    let left = prometheus.query_range("count({__name__=~\"plimsoll_.*\"})", after, after, 1.0).await.unwrap();
    assert_eq!(left, [], "native and classic ones");
}

#[tokio::test]
async fn a_prometheus_without_native_histograms_gets_classic_ones_and_loses_nothing() {
    for histograms in [RemoteWriteHistograms::Both, RemoteWriteHistograms::Native] {
        let setup = PrometheusSetup { native_histograms: false, ..PrometheusSetup::default() };
        let prometheus = Prometheus::start(setup).await.unwrap();
        let settings = RemoteWriteExport { histograms, ..to(&prometheus.remote_write_url()) };
        let (run, count, notes) = pushed(settings, 3).await;
        assert_eq!(count.lost, 0, "{notes:?}");
        assert!(
            notes.iter().any(|note| note.contains("from here on it gets classic ones alone")),
            "{notes:?}"
        );
        assert!(notes.len() <= 2, "{notes:?}");
        let query = "sum(plimsoll_response_time_seconds_bucket{le=\"0.333\"})";
        let found = value_at(&prometheus, query, run.moment(3)).await;
        assert_eq!(found, Some(run.at_or_below(333_000_000) as f64));
    }
}

#[tokio::test]
async fn victoria_metrics_stores_the_same() {
    let victoria = VictoriaMetrics::start().await.unwrap();
    let (run, count, notes) = pushed(to(&victoria.remote_write_url()), 5).await;
    assert_eq!((count.lost, notes), (0, Vec::new()));
    let last = async |selector: &str| {
        let ended = |one: &plimsoll_testkit::Series| one.value().is_some_and(f64::is_nan);
        let enough = |found: &[plimsoll_testkit::Series]| !found.is_empty() && found.iter().all(ended);
        let found = victoria.wait_for(selector, enough, DEADLINE).await.unwrap();
        let last = |series: &plimsoll_testkit::Series| {
            series.points.iter().rev().find(|(_, value)| !value.is_nan()).unwrap().1
        };
        found.iter().map(last).sum::<f64>()
    };
    assert_eq!(last("plimsoll_requests_total").await, run.requests() as f64);
    assert_eq!(last("plimsoll_received_bytes_total").await, run.received_bytes as f64);
    let bucket = last("plimsoll_response_time_seconds_bucket{le=\"0.333\"}").await;
    assert_eq!(bucket, run.at_or_below(333_000_000) as f64);
}

fn content_type(pushed: &Pushed) -> &str {
    &pushed.headers["content-type"]
}

/// What a receiver keeps is what was counted, whichever version it speaks.
fn assert_whole(receiver: &RemoteWriteReceiver, run: &Run) {
    assert_eq!(receiver.violations(), Vec::<String>::new());
    assert_eq!(receiver.sum("plimsoll_requests_total", &[]), run.requests() as f64);
    let bucket = receiver.sum("plimsoll_response_time_seconds_bucket", &[("le", "0.333")]);
    assert_eq!(bucket, run.at_or_below(333_000_000) as f64);
    let native = receiver.series("plimsoll_response_time_seconds", &[]);
    let counts = native.iter().map(|series| series.last_histogram().unwrap().count);
    assert_eq!(counts.sum::<u64>(), run.requests());
    for (labels, series) in receiver.stored() {
        let float = series.samples.last().is_some_and(FloatSample::is_stale);
        assert!(float || series.histograms.last().is_some_and(NativeSample::is_stale), "{labels:?} ends");
    }
}

#[tokio::test]
async fn every_receiver_is_spoken_to_in_the_version_it_understands() {
    let two = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let one = "application/x-protobuf";
    for (speaks, expected) in
        [(Speaks::One, one), (Speaks::OneCareless, one), (Speaks::Two, two), (Speaks::Both, two)]
    {
        let receiver = RemoteWriteReceiver::start(speaks, []).await.unwrap();
        let settings = RemoteWriteExport { lanes: 1, ..to(&receiver.url()) };
        let mut exporters = start(settings).await;
        let run = offer(&mut exporters, 3);
        receiver.wait_for(1, DEADLINE).await.unwrap();
        let count = finish(&mut exporters, 3).await;
        assert_eq!((count.lost, exporters.notes()), (0, Vec::new()), "{speaks:?}");
        assert_whole(&receiver, &run);
        let pushed = receiver.pushed();
        let spoken: Vec<_> =
            pushed.iter().filter(|one| !one.written.series.is_empty()).map(content_type).collect();
        assert!(spoken.iter().all(|spoken| *spoken == expected), "{speaks:?}: {spoken:?}");
        // The other version is tried once, and what was learnt is remembered.
        let in_vain = receiver.requests() - spoken.len() as u64;
        assert_eq!(in_vain, u64::from(expected == one), "{speaks:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_asked_for_is_the_only_one() {
    for (version, speaks, kept) in [
        (RemoteWriteVersion::One, Speaks::Both, true),
        (RemoteWriteVersion::Two, Speaks::Both, true),
        (RemoteWriteVersion::One, Speaks::Two, false),
        (RemoteWriteVersion::Two, Speaks::One, false),
        (RemoteWriteVersion::Two, Speaks::OneCareless, false),
    ] {
        let receiver = RemoteWriteReceiver::start(speaks, []).await.unwrap();
        let (run, count, notes) = pushed(RemoteWriteExport { version, ..to(&receiver.url()) }, 2).await;
        if kept {
            assert_eq!((count.lost, notes), (0, Vec::new()));
            assert_whole(&receiver, &run);
        } else {
            assert_eq!(count.lost, count.produced, "{version:?} to {speaks:?}");
            let [note] = notes.as_slice() else { panic!("told once: {notes:?}") };
            assert!(note.contains("points are lost"), "{note}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_taken_now_is_sent_again_and_nothing_is_lost() {
    let later = |status: u16| Reply::Refuse(status, "not now".to_owned());
    let replies = [
        later(500),
        later(502),
        later(503),
        later(504),
        Reply::RetryAfter(429, 1),
        Reply::RetryAfter(503, 1),
        Reply::Half,
        Reply::Slow(Duration::from_millis(300)),
    ];
    let cases = [Speaks::One, Speaks::Two]
        .into_iter()
        .flat_map(|speaks| replies.iter().map(move |reply| (speaks, reply)));
    // Each waits for a receiver of its own.
    join_all(cases.map(|(speaks, reply)| taken_at_the_second_try(speaks, reply))).await;
}

async fn taken_at_the_second_try(speaks: Speaks, reply: &Reply) {
    let version = if speaks == Speaks::One { RemoteWriteVersion::One } else { RemoteWriteVersion::Auto };
    let receiver = RemoteWriteReceiver::start(speaks, [reply.clone(), Reply::Take]).await.unwrap();
    let settings = RemoteWriteExport { version, lanes: 1, ..to(&receiver.url()) };
    let (run, count, notes) = pushed(settings, 2).await;
    assert_eq!(count.lost, 0, "{reply:?}: {notes:?}");
    assert_whole(&receiver, &run);
    let pushed = receiver.pushed();
    if let Reply::RetryAfter(..) = reply {
        let wait = pushed[1].at.duration_since(pushed[0].at);
        assert!(wait >= Duration::from_millis(950), "asked for a second, came after {wait:?}");
    }
    if !matches!(reply, Reply::Slow(_)) {
        assert_eq!(pushed[0].written, pushed[1].written, "{reply:?}: the same points again");
    }
    let told = usize::from(!matches!(reply, Reply::Slow(_)));
    assert_eq!(notes.len(), told, "{reply:?}: {notes:?}");
}

#[tokio::test]
async fn what_is_refused_is_lost_with_its_reason_and_not_sent_again() {
    for status in [400, 401, 403, 404, 409, 422] {
        let words = format!("no {TOKEN} here: bad label");
        let receiver =
            RemoteWriteReceiver::start(Speaks::Both, [Reply::Refuse(status, words)]).await.unwrap();
        let settings = RemoteWriteExport {
            version: RemoteWriteVersion::Two,
            token: Some(Secret::new(TOKEN)),
            lanes: 1,
            ..to(&receiver.url())
        };
        let (_, count, notes) = pushed(settings, 3).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced), "{status}");
        let [note] = notes.as_slice() else { panic!("told once: {notes:?}") };
        assert!(note.starts_with(&format!("remote_write: {status}: ")), "{note}");
        assert!(note.ends_with("the server says: no *** here: bad label"), "{note}");
        let pushed = receiver.pushed();
        let again = pushed
            .iter()
            .enumerate()
            .any(|(at, one)| pushed[..at].iter().any(|before| before.written == one.written));
        assert!(!again, "{status}: nothing is sent twice");
    }
}

#[tokio::test]
async fn a_receiver_of_2_0_says_how_much_it_took() {
    let receiver = RemoteWriteReceiver::start(Speaks::Two, [Reply::Partly(3), Reply::Take]).await.unwrap();
    let settings = RemoteWriteExport { lanes: 1, ..to(&receiver.url()) };
    let (_, count, notes) = pushed(settings, 2).await;
    assert_eq!(count.lost, 3, "{notes:?}");
    assert_eq!(
        notes,
        [
            "remote_write: 400: the server refused some points; they are lost; the server says: 3 samples refused"
        ]
    );
    assert_eq!(
        receiver.pushed().iter().filter(|one| !one.written.series.is_empty()).count() as u64,
        receiver.requests()
    );
}

#[tokio::test]
async fn seconds_that_arrived_before_are_neither_lost_nor_refused_with_others() {
    // The first request arrives and its answer does not. A receiver of 1.0 then refuses it as a whole,
    // with whatever is new in it.
    for speaks in [Speaks::One, Speaks::Two] {
        let script = [Reply::Refuse(503, String::new()), Reply::TakeAndBreak, Reply::Take];
        let receiver = RemoteWriteReceiver::start(speaks, script).await.unwrap();
        let version = if speaks == Speaks::One { RemoteWriteVersion::One } else { RemoteWriteVersion::Two };
        let settings = RemoteWriteExport { version, lanes: 1, ..to(&receiver.url()) };
        let (run, count, notes) = pushed(settings, 4).await;
        assert_whole(&receiver, &run);
        if speaks == Speaks::One {
            assert_eq!(count.lost, 0, "{notes:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_sent_in_parts() {
    let script = [Reply::Refuse(413, String::new()), Reply::Refuse(413, String::new()), Reply::Take];
    let receiver = RemoteWriteReceiver::start(Speaks::Two, script).await.unwrap();
    let settings = RemoteWriteExport { lanes: 1, ..to(&receiver.url()) };
    let (run, count, _) = pushed(settings, 1).await;
    assert_eq!(count.lost, 0);
    assert_whole(&receiver, &run);
}

#[tokio::test]
async fn credentials_and_headers_go_with_every_request() {
    let secret = |text: &str| Secret::new(text);
    let base = to("");
    let cases = [
        (RemoteWriteExport { token: Some(secret("t")), ..base.clone() }, "Bearer t"),
        (
            RemoteWriteExport { login: Some(("Aladdin".to_owned(), secret("open sesame"))), ..base.clone() },
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
    ];
    for (settings, expected) in cases {
        let receiver = RemoteWriteReceiver::start(Speaks::Both, []).await.unwrap();
        let settings = RemoteWriteExport {
            url: receiver.url(),
            headers: vec![("x-scope-orgid".to_owned(), secret("tenant"))],
            labels: BTreeMap::from([("zone".to_owned(), "b".to_owned()), ("job".to_owned(), String::new())]),
            ..settings
        };
        let mut exporters = start(settings).await;
        assert!(!format!("{exporters:?}").contains("open sesame"));
        offer(&mut exporters, 1);
        finish(&mut exporters, 1).await;
        for pushed in receiver.pushed() {
            assert_eq!(
                (pushed.headers["authorization"].as_str(), pushed.headers["x-scope-orgid"].as_str()),
                (expected, "tenant")
            );
            assert!(pushed.headers["user-agent"].starts_with("plimsoll/"));
            for series in pushed.written.series {
                let label = |name: &str| {
                    series.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
                };
                assert_eq!((label("zone"), label("job")), (Some("b"), None));
            }
        }
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_said_before_the_run() {
    let settings = ExportSettings { remote_write: Some(to("nowhere")), ..ExportSettings::default() };
    let error = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap_err();
    assert_eq!(error.to_string(), "remote_write: the URL is not an http or https URL with a host");
    let broken = RemoteWriteExport { token: Some(Secret::new("hush\nhush")), ..to("http://127.0.0.1:1") };
    let settings = ExportSettings { remote_write: Some(broken), ..ExportSettings::default() };
    let error = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

/// Facts that the sender checks of prometheus/compliance (`remotewrite/sender`) ask for, by their names there. Those of
/// labels, symbols, samples, timestamps and histograms are the receiver's rules, which hold for every request of every
/// test here; `retry_*`, `no_retry_*`, `fallback_*` and `handle_partial_write_response` are tests of their own above. Not
/// ported: what asks a scraper for metrics that we do not have (summaries, gauge histograms, negative buckets, UTF-8 names).
mod compliance {
    use super::*;

    async fn requests(speaks: Speaks) -> Vec<Pushed> {
        let receiver = RemoteWriteReceiver::start(speaks, []).await.unwrap();
        let version = if speaks == Speaks::One { RemoteWriteVersion::One } else { RemoteWriteVersion::Auto };
        pushed(RemoteWriteExport { version, ..to(&receiver.url()) }, 3).await;
        assert_eq!(receiver.violations(), Vec::<String>::new());
        receiver.pushed()
    }

    #[tokio::test]
    async fn protocol() {
        for pushed in requests(Speaks::Two).await {
            let header = |name: &str| pushed.headers[name].as_str();
            // content_type_protobuf, content_type_with_proto_param
            assert_eq!(header("content-type"), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
            // content_encoding_snappy; snappy_block_format and protobuf_parseable: it was read
            assert_eq!(header("content-encoding"), "snappy");
            // version_header_present, version_header_value
            assert_eq!(header("x-prometheus-remote-write-version"), "2.0.0");
            // user_agent_present
            assert_eq!(header("user-agent"), concat!("plimsoll/", env!("CARGO_PKG_VERSION")));
            // empty_string_at_index_zero
            assert_eq!(pushed.written.symbols[0], "");
        }
    }

    #[tokio::test]
    async fn rw1_compat() {
        for pushed in requests(Speaks::One).await {
            let header = |name: &str| pushed.headers[name].as_str();
            // rw1_version_header, rw1_content_type
            assert_eq!(header("x-prometheus-remote-write-version"), "0.1.0");
            assert_eq!(header("content-type"), "application/x-protobuf");
            // rw1_metadata_handling
            assert!(pushed.written.metadata.values().all(|described| !described.help.is_empty()));
            // rw1_symbol_table_not_used, rw1_samples_encoding, rw1_labels_encoding
            assert!(pushed.written.symbols.is_empty() && !pushed.written.series.is_empty());
        }
    }

    #[tokio::test]
    async fn metadata_start_timestamps_and_batches() {
        let pushed = requests(Speaks::Two).await;
        let series: Vec<_> = pushed.iter().flat_map(|pushed| &pushed.written.series).collect();
        let of = |metric: &str| {
            series
                .iter()
                .find(|series| series.labels.contains(&("__name__".to_owned(), metric.to_owned())))
                .unwrap()
        };
        let described = |metric: &str| of(metric).described.clone().unwrap();
        // metadata_type_counter, _gauge, _histogram, metadata_help_text, metadata_unit, metadata_consistent_across_series
        assert_eq!(described("plimsoll_requests_total").kind, 1);
        assert_eq!(described("plimsoll_in_flight_requests").kind, 2);
        assert_eq!(described("plimsoll_response_time_seconds").kind, 3);
        assert_eq!(
            described("plimsoll_response_time_seconds_bucket"),
            described("plimsoll_response_time_seconds_count")
        );
        assert_eq!(described("plimsoll_response_time_seconds").unit, "seconds");
        assert!(described("plimsoll_requests_total").help.starts_with("Requests that ended"));
        // start_timestamp_for_counters, start_timestamp_for_histograms, start_timestamp_before_sample_timestamp
        assert!(
            of("plimsoll_requests_total")
                .samples
                .iter()
                .all(|sample| sample.start_ms > 0 && sample.start_ms <= sample.at_ms)
        );
        assert!(of("plimsoll_response_time_seconds").histograms.iter().all(|sample| sample.start_ms > 0));
        assert!(of("plimsoll_in_flight_requests").samples.iter().all(|sample| sample.start_ms == 0));
        // job_instance_labels_present
        assert!(series.iter().all(|series| series.labels.iter().any(|(name, _)| name == "job")));
        // multiple_series_per_request, batch_size_reasonable, efficient_symbol_reuse
        for pushed in &pushed {
            let texts: usize = pushed.written.series.iter().map(|series| series.labels.len() * 2).sum();
            assert!((2..10_000).contains(&pushed.written.series.len()));
            assert!(
                pushed.written.symbols.len() * 4 < texts,
                "{} symbols for {texts}",
                pushed.written.symbols.len()
            );
        }
    }

    #[tokio::test]
    async fn responses() {
        // handle_204_no_content, ignore_response_body_on_success, handle_large_error_body, log_error_messages_verbatim
        let large = "e".repeat(200_000);
        let receiver =
            RemoteWriteReceiver::start(Speaks::Two, [Reply::Refuse(400, large), Reply::Take]).await.unwrap();
        let settings =
            RemoteWriteExport { version: RemoteWriteVersion::Two, lanes: 1, ..to(&receiver.url()) };
        let (_, count, notes) = pushed(settings, 2).await;
        assert!(count.lost > 0);
        assert!(notes[0].len() < 500 && notes[0].contains("eeee"), "{notes:?}");
    }
}
