//! The writer, read back from real servers and tried on a receiver that misbehaves on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{ExportCount, ExportSettings, InfluxExport, InfluxPlace, Secret};
use plimsoll_testkit::{Answer, InfluxDb, Receiver, VictoriaMetrics, wait_for};

use crate::run::{DEADLINE, Run, balanced, finish, offer};

const TOKEN: &str = "a-token-nobody-may-see";

fn settings(url: &str, org: &str, bucket: &str, token: &str) -> ExportSettings {
    let token = Some(Secret::new(token));
    at(url, InfluxPlace::Version2 { org: org.to_owned(), bucket: bucket.to_owned(), token })
}

fn at(url: &str, place: InfluxPlace) -> ExportSettings {
    let influxdb = Some(InfluxExport { url: url.to_owned(), place });
    ExportSettings { influxdb, ..ExportSettings::default() }
}

async fn to(receiver: &Receiver) -> Exporters {
    Exporters::start(&settings(&receiver.url(), "o", "b", TOKEN), Arc::new(LiveMetrics::new())).await.unwrap()
}

/// The one count, with its sum checked.
fn counted(exporters: &Exporters) -> ExportCount {
    let [count] = exporters.counts().try_into().unwrap();
    balanced(std::slice::from_ref(&count));
    count
}

/// The one count, once it has so many points.
async fn produced(exporters: &Exporters, points: u64) -> ExportCount {
    wait_for(DEADLINE, "points", async || {
        let count = counted(exporters);
        if count.produced >= points { Ok(count) } else { Err(format!("{count:?}")) }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn influxdb_stores_what_was_counted_to_the_last_request() {
    let influx = InfluxDb::start().await.unwrap();
    let live = Arc::new(LiveMetrics::new());
    let settings = settings(&influx.url(), influx.organisation(), influx.bucket(), influx.token());
    let mut exporters = Exporters::start(&settings, Arc::clone(&live)).await.unwrap();
    let run = offer(&mut exporters, 5);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));
    assert_eq!(live.export_counts(), [count]);
    let mut stored = BTreeMap::new();
    let query =
        format!("SELECT sum(count) FROM plimsoll_requests WHERE run = '{}' GROUP BY outcome, phase", run.id);
    for row in influx.query(&query).await.unwrap() {
        stored.insert(
            (row.tags["outcome"].clone(), row.tags["phase"].clone()),
            row.number("sum").unwrap() as u64,
        );
    }
    let counted: BTreeMap<_, _> = run
        .requests
        .iter()
        .map(|((outcome, phase), count)| (((*outcome).to_owned(), (*phase).to_owned()), *count))
        .collect();
    assert_eq!(stored, counted);
    let number = async |field: &str, measurement: &str| {
        let rows = influx.query(&format!("SELECT {field} AS found FROM {measurement}")).await.unwrap();
        rows[0].number("found").unwrap()
    };
    assert_eq!(number("sum(count)", "plimsoll_received_bytes").await, run.received_bytes as f64);
    assert_eq!(number("sum(count)", "plimsoll_response_time").await, run.requests() as f64);
    assert_eq!(
        number("sum(\"le_0.333\")", "plimsoll_response_time").await,
        run.at_or_below(333_000_000) as f64
    );
    assert_eq!(
        number("sum(\"le_1\")", "plimsoll_response_time").await,
        run.at_or_below(1_000_000_000) as f64
    );
    let sum = number("sum(sum)", "plimsoll_response_time").await;
    assert!((sum - run.sum()).abs() < 1e-6, "{sum} for {}", run.sum());
    assert_eq!(number("last(value)", "plimsoll_sla_met").await, 1.0);
    // One point per second and series: nothing overwrote anything.
    let seconds = number("count(value)", "plimsoll_offered_rate").await;
    assert_eq!(seconds, 5.0);
}

/// Sends a short run to version 1 as a user; what became of it, and what was said.
async fn to_version_1(
    influx: &InfluxDb,
    database: &str,
    policy: Option<&str>,
    password: &str,
) -> (Run, ExportCount, Vec<String>) {
    let place = InfluxPlace::Version1 {
        database: database.to_owned(),
        retention_policy: policy.map(str::to_owned),
        user: Some(("ann".to_owned(), Secret::new(password))),
    };
    let settings = at(&influx.engine_url(), place);
    let mut exporters = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap();
    let run = offer(&mut exporters, 3);
    let count = finish(&mut exporters, DEADLINE).await;
    (run, count, exporters.notes())
}

#[tokio::test]
async fn version_1_takes_points_from_who_has_the_password() {
    let influx = InfluxDb::start_with_user("ann", "a-password-nobody-may-see").await.unwrap();
    influx.create_database("own").await.unwrap();
    influx
        .query_database("own", "CREATE RETENTION POLICY short ON own DURATION 1d REPLICATION 1")
        .await
        .unwrap();
    for (policy, measurement) in
        [(None, "own.autogen.plimsoll_requests"), (Some("short"), "own.short.plimsoll_requests")]
    {
        let (run, count, notes) = to_version_1(&influx, "own", policy, "a-password-nobody-may-see").await;
        assert_eq!((count.lost, notes), (0, Vec::new()), "{policy:?}");
        let query = format!("SELECT sum(count) FROM {measurement} WHERE run = '{}'", run.id);
        let rows = influx.query_database("own", &query).await.unwrap();
        assert_eq!(rows[0].number("sum"), Some(run.requests() as f64), "{policy:?}");
    }
    for (database, password, expected) in [
        ("own", "wrong-password", "401: the credentials are not accepted"),
        ("none", "a-password-nobody-may-see", "404: there is no such bucket, database or organisation"),
    ] {
        let (_, count, notes) = to_version_1(&influx, database, None, password).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced), "{expected}");
        assert!(notes.len() == 1 && notes[0].starts_with(&format!("influxdb: {expected}")), "{notes:?}");
        assert!(!notes[0].contains("password-nobody"), "{notes:?}");
    }
}

#[tokio::test]
async fn version_1_drops_only_points_that_contradict_what_it_has() {
    let influx = InfluxDb::start_with_user("ann", "word").await.unwrap();
    influx.create_database("own").await.unwrap();
    // A field of another kind, in the shard of the time that is written.
    influx.write("own", "plimsoll_offered_rate value=\"text\"").await.unwrap();
    let (run, count, notes) = to_version_1(&influx, "own", None, "word").await;
    assert_eq!((count.lost, count.acknowledged), (3, count.produced - 3), "one of each second: {notes:?}");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("field type conflict") && notes[0].contains("plimsoll_offered_rate"),
        "{notes:?}"
    );
    let rows = influx.query_database("own", "SELECT sum(count) FROM plimsoll_requests").await.unwrap();
    assert_eq!(rows[0].number("sum"), Some(run.requests() as f64));
}

#[tokio::test]
async fn version_3_is_asked_as_it_wants_and_loses_only_the_lines_it_names() {
    let body = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"plimsoll_requests,plan=a count=1i 7","line_number":1,"error_message":"invalid column type"}]}"#;
    let receiver = Receiver::start([Answer::Body(400, body.to_owned()), Answer::Status(204)]).await.unwrap();
    let place = InfluxPlace::Version3 { database: "d".to_owned(), token: Some(Secret::new(TOKEN)) };
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(&at(&receiver.url(), place), live).await.unwrap();
    offer(&mut exporters, 2);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (1, count.produced - 1));
    let received = &receiver.received()[0];
    assert_eq!(received.uri, "/api/v3/write_lp?db=d&precision=nanosecond&accept_partial=true");
    assert_eq!(received.headers["authorization"], format!("Bearer {TOKEN}"));
    let notes = exporters.notes();
    assert!(
        notes.len() == 1 && notes[0].contains("1 of \"plimsoll_requests,plan=a\": invalid column type"),
        "{notes:?}"
    );
}

#[tokio::test]
async fn victoria_metrics_stores_the_same() {
    let victoria = VictoriaMetrics::start().await.unwrap();
    let live = Arc::new(LiveMetrics::new());
    let mut exporters = Exporters::start(&settings(&victoria.url(), "o", "b", TOKEN), live).await.unwrap();
    let run = offer(&mut exporters, 4);
    assert_eq!(finish(&mut exporters, DEADLINE).await.lost, 0);
    let sum = |series: &[plimsoll_testkit::Series]| -> f64 {
        series.iter().flat_map(|series| &series.points).map(|(_, value)| value).sum()
    };
    let total = run.requests() as f64;
    let requests = "plimsoll_requests_count";
    let found = victoria.wait_for(requests, |found| sum(found) == total, DEADLINE).await.unwrap();
    assert_eq!(found[0].label("plan"), crate::run::PLAN);
    assert_eq!(found[0].label("run"), run.id);
    let expected = run.at_or_below(333_000_000) as f64;
    victoria
        .wait_for("{__name__=\"plimsoll_response_time_le_0.333\"}", |found| sum(found) == expected, DEADLINE)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_is_as_influxdb_wants_it() {
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let mut exporters = to(&receiver).await;
    offer(&mut exporters, 1);
    finish(&mut exporters, DEADLINE).await;
    let received = receiver.received();
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].uri, "/api/v2/write?org=o&bucket=b&precision=ns");
    assert_eq!(received[0].headers["authorization"], format!("Token {TOKEN}"));
    assert_eq!(received[0].headers["content-encoding"], "gzip");
    for request in &received {
        let text = request.text().unwrap();
        for line in influxdb_line_protocol::parse_lines(&text) {
            line.unwrap();
        }
    }
}

#[tokio::test]
async fn points_leave_within_a_second() {
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let mut exporters = to(&receiver).await;
    let before = Instant::now();
    offer(&mut exporters, 1);
    let received = receiver.wait_for(1, DEADLINE).await.unwrap();
    // Far more than it takes, for a machine that does something else besides.
    assert!(received[0].at.duration_since(before) < Duration::from_secs(10));
    wait_for(DEADLINE, "the acknowledgement", async || {
        let count = counted(&exporters);
        if count.acknowledged > 0 && count.backlog == 0 { Ok(count) } else { Err(format!("{count:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_cannot_be_taken_now_is_sent_again_and_nothing_is_lost() {
    for script in [
        vec![Answer::Status(503), Answer::Status(500), Answer::Status(204)],
        vec![Answer::Close, Answer::Status(204)],
        vec![Answer::RetryAfter(429, 1), Answer::Status(204)],
    ] {
        let receiver = Receiver::start(script.clone()).await.unwrap();
        let mut exporters = to(&receiver).await;
        offer(&mut exporters, 2);
        let received = receiver.wait_for(script.len(), DEADLINE).await.unwrap();
        if matches!(script[0], Answer::RetryAfter(..)) {
            let wait = received[1].at.duration_since(received[0].at);
            assert!(wait >= Duration::from_millis(950), "asked for a second, came after {wait:?}");
        }
        assert_eq!(received[0].body, received[1].body, "the same points again");
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!(count.lost, 0, "{script:?}");
        let notes = exporters.notes();
        assert_eq!(notes.len(), script.len() - 1, "one for each kind of trouble: {notes:?}");
        assert!(notes.iter().all(|note| note.starts_with("influxdb: ")), "{notes:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_lost_with_its_reason_and_not_sent_again() {
    let quoting = format!("{{\"code\":\"unauthorized\",\"message\":\"no such token: {TOKEN}\"}}");
    for (answer, expected) in [
        (
            Answer::Body(401, quoting),
            "influxdb: 401: the credentials are not accepted; points are lost; the server says: no such token: ***",
        ),
        (Answer::Status(400), "influxdb: 400: the server refused points; they are lost"),
        (
            Answer::Status(404),
            "influxdb: 404: there is no such bucket, database or organisation, or no InfluxDB; points are lost",
        ),
        (Answer::Status(302), "influxdb: 302: the server refused points; they are lost"),
    ] {
        let receiver = Receiver::start([answer.clone()]).await.unwrap();
        let mut exporters = to(&receiver).await;
        offer(&mut exporters, 3);
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced), "{answer:?}");
        assert_eq!(exporters.notes(), [expected], "said once");
        let sent: u64 =
            receiver.received().iter().map(|one| one.text().unwrap().lines().count() as u64).sum();
        assert_eq!(sent, count.produced, "each point once");
    }
}

#[tokio::test]
async fn a_partial_write_loses_only_what_was_dropped() {
    let body = r#"{"code":"unprocessable entity","message":"partial write: field type conflict dropped=2"}"#;
    let receiver = Receiver::start([Answer::Body(422, body.to_owned()), Answer::Status(204)]).await.unwrap();
    let mut exporters = to(&receiver).await;
    offer(&mut exporters, 1);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (2, count.produced - 2));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_parts() {
    let receiver = Receiver::start([Answer::Status(413), Answer::Status(204)]).await.unwrap();
    let mut exporters = to(&receiver).await;
    offer(&mut exporters, 1);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, count.acknowledged), (0, count.produced));
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let received: Vec<_> = receiver.received().iter().map(|one| lines(one.text().unwrap())).collect();
    assert!(received[1].len() < received[0].len() && received[0].starts_with(&received[1]), "a part of it");
    assert_eq!(received[1..].concat()[..received[0].len()], received[0], "all of it, in order");
}

#[tokio::test]
async fn a_server_that_takes_nothing_at_all_loses_every_point_alone() {
    let receiver = Receiver::start([Answer::Status(413)]).await.unwrap();
    let mut exporters = to(&receiver).await;
    offer(&mut exporters, 1);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!(count.lost, count.produced);
}

#[tokio::test]
async fn a_server_that_is_down_or_stalls_never_holds_a_run_back() {
    let stalling = Receiver::start([Answer::Stall]).await.unwrap();
    for url in ["http://127.0.0.1:1".to_owned(), stalling.url()] {
        let settings = settings(&url, "o", "b", TOKEN);
        let mut exporters = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap();
        let before = Instant::now();
        offer(&mut exporters, 20);
        assert!(before.elapsed() < Duration::from_secs(20), "sending waited");
        let waiting = produced(&exporters, 1).await;
        assert_eq!(waiting.backlog, waiting.produced);
        let before = Instant::now();
        let count = finish(&mut exporters, Duration::from_millis(300)).await;
        assert!(before.elapsed() < Duration::from_secs(10), "finishing waited beyond its deadline");
        assert_eq!((count.acknowledged, count.lost), (0, count.produced));
        let notes = exporters.notes();
        assert!(notes.iter().any(|note| note.contains("were not taken within 300ms")), "{notes:?}");
        assert!(!notes.join(" ").contains(TOKEN));
    }
}

#[tokio::test]
async fn a_full_backlog_loses_the_oldest_and_keeps_the_sum() {
    /// Fewer than may wait for the thread: each comes into the queue.
    const AT_ONCE: u64 = 200;
    let stalling = Receiver::start([Answer::Stall]).await.unwrap();
    let mut exporters = to(&stalling).await;
    let mut run = Run::new();
    exporters.send(&run.start());
    let started = produced(&exporters, 1).await.produced;
    let event = run.next_second(100);
    exporters.send(&event);
    let mut count = produced(&exporters, started + 1).await;
    let of_one = count.produced - started;
    while count.lost == 0 && count.produced < 100_000 * of_one {
        (0..AT_ONCE).for_each(|_| exporters.send(&event));
        count = produced(&exporters, count.produced + AT_ONCE * of_one).await;
    }
    assert!(count.lost > 0, "the backlog has no bound");
    assert!(exporters.notes().iter().any(|note| note.contains("32 MiB of points wait")));
    let count = finish(&mut exporters, Duration::ZERO).await;
    assert_eq!(count.lost, count.produced);
}

#[tokio::test]
async fn a_url_that_is_none_is_said_before_the_run() {
    let error = Exporters::start(&settings("nowhere", "o", "b", TOKEN), Arc::new(LiveMetrics::new()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "influxdb: the URL is not an http or https URL with a host");
}

#[tokio::test]
async fn exporters_dropped_in_the_middle_count_what_waited_as_lost() {
    let stalling = Receiver::start([Answer::Stall]).await.unwrap();
    let live = Arc::new(LiveMetrics::new());
    let settings = settings(&stalling.url(), "o", "b", TOKEN);
    let mut exporters = Exporters::start(&settings, Arc::clone(&live)).await.unwrap();
    offer(&mut exporters, 2);
    produced(&exporters, 1).await;
    drop(exporters);
    let [count] = live.export_counts().try_into().unwrap();
    assert_eq!((count.acknowledged, count.backlog, count.lost), (0, 0, count.produced));
    assert!(count.produced > 0);
}
