//! What a run exports, read back from real servers: the same counts everywhere, to the last request.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use harness::{Desk, Events, PATIENCE, Target, alone, beside_others, ends, free_port, notes, requests, sum};
use plimsoll_testkit::{Answer, InfluxDb, Prometheus, Receiver, VictoriaMetrics, wait_for};
use serde_json::Value;

/// Requests by (phase, outcome, step).
type Counts = BTreeMap<[String; 3], u64>;

const LABELS: [&str; 3] = ["phase", "outcome", "step"];

/// Every phase, several steps, answers that fail, answers that do not come in time, users cut short.
const OPEN: &str = "
name: open counts
target: http://127.0.0.1:1
load:
  warmup: 1s
  stages: [ { ramp: 120/s, over: 1s }, { hold: 120/s, for: 3s } ]
  grace: 100ms
http: { timeout: 300ms }
setup: [ { name: hello, get: /health } , { name: first, get: /bytes/100 } ]
teardown: [ { name: bye, get: /latency/1 } ]
scenarios:
  - name: buyer
    weight: 2
    steps:
      - { name: search, get: '/search?q=oak', on_failure: continue }
      - pause: 20ms..60ms
      - { name: log in, post: /login, json: { user: ann } }
      - { name: cart, post: '/cart?auth=1', json: { product: 5 }, expect: { status: 201 } }
  - { name: visitor, steps: [ { name: away, get: '/redirect?n=2' } ] }
";

const CLOSED: &str = "
name: closed counts
target: http://127.0.0.1:1
load:
  model: closed
  warmup: 1s
  stages: [ { ramp: 20 users, over: 1s }, { hold: 20 users, for: 3s } ]
  grace: 100ms
http: { timeout: 300ms }
setup: [ { name: first, get: /bytes/100 } ]
teardown: [ { name: bye, get: /latency/1 } ]
scenarios:
  - name: reader
    weight: 3
    steps:
      - { name: list, get: '/products?page=1', capture: { id: { jsonpath: '$.items[0].id' } } }
      - { name: product, get: '/products/{{ id }}' }
  - { name: passer-by, steps: [ { name: home, get: / }, { pause: 10ms } ] }
";

/// Fails some, is late with some.
const UNSTEADY: [&str; 4] = ["--latency", "bimodal:8ms,400ms,3%", "--error-ratio", "4%"];

/// A finished run and what its own results say.
struct Counted {
    desk: Desk,
    json: Value,
    events: Events,
    counts: Counts,
    prometheus: Prometheus,
}

/// Runs a plan while Prometheus scrapes it, and holds JSON, record, replay, target and Prometheus against each other.
async fn counted(plan: &str, influx: String) -> Counted {
    let address = format!("127.0.0.1:{}", free_port());
    let (target, prometheus) = tokio::join!(Target::start(UNSTEADY), Prometheus::scraping(&address));
    let prometheus = prometheus.unwrap();
    let desk = Desk::new();
    let linger = Duration::from_secs(60);
    let metrics = format!("export.prometheus={{ listen: '{address}', linger: {}s }}", linger.as_secs());
    let ended = desk.run(plan).set([target.setting(), metrics, influx]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);
    let length = Duration::from_secs_f64(json["run"]["duration_seconds"].as_f64().unwrap());
    assert!(ended.took < length + linger, "it goes once the last values were read: {:?}", ended.took);

    let cut = sum(&json["phases"], "cut");
    assert!(sum(&json["phases"], "failed") > 0, "the plan should see some failed: {}", json["phases"]);
    // A generator that stood still at the end finds that all of them took too long.
    assert!(
        cut > 0 || json["validity"]["verdict"] != "valid",
        "the plan should see some cut: {}",
        json["phases"]
    );
    // Hello is the operator's route and not counted. Whether a request cut short was read, nobody but the target knows.
    let uncounted = u64::from(plan.contains("/health"));
    wait_for(PATIENCE, "the target to have read every request", async || {
        let record = target.record().await;
        match (record.count() + uncounted, record.0["in_flight"].as_u64()) {
            (count, Some(0)) if (requests(&json) - cut..=requests(&json)).contains(&count) => Ok(()),
            found => Err(format!("{found:?} of {}, {cut} cut", requests(&json))),
        }
    })
    .await
    .unwrap();

    for call in [["runs", "show", "last"], ["runs", "replay", "last"], ["report", "last", "--quiet"]] {
        let arguments = call.into_iter().filter(|argument| *argument != "--quiet");
        let again = desk.plimsoll(arguments).args(["--json", "-"]).ended().await;
        assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), json, "{call:?}");
    }
    assert_eq!(desk.plimsoll(["runs", "export", "last", "--to", "run.ndjson"]).ended().await.code, 0);
    let elsewhere = Desk::new();
    let file = desk.path("run.ndjson").display().to_string();
    let replayed = elsewhere.plimsoll(["runs", "replay", &file, "--json", "-"]).ended().await;
    assert_eq!(serde_json::from_str::<Value>(&replayed.stdout).unwrap(), json, "without the record");

    let events = desk.events().await;
    let counts = events.counts();
    assert_eq!(counts.values().sum::<u64>(), requests(&json), "JSON and record");
    for phase in json["phases"].as_array().unwrap() {
        let label = phase["phase"].as_str().unwrap();
        let in_phase: u64 = counts.iter().filter(|([of, ..], _)| of == label).map(|(_, count)| count).sum();
        assert_eq!(phase["requests"].as_u64().unwrap(), in_phase, "{label}");
    }
    let counted = Counted { desk, json, events, counts, prometheus };
    counted.prometheus_agrees().await;
    counted
}

impl Events {
    fn counts(&self) -> Counts {
        let steps = &self.of("started").next().unwrap()["shape"]["steps"];
        let mut counts = Counts::new();
        for series in self.of("second").flat_map(|second| second["series"].as_array().unwrap()) {
            let step = &steps[usize::try_from(series["step"].as_u64().unwrap()).unwrap()]["step"];
            let key =
                [&series["phase"], &series["outcome"], step].map(|text| text.as_str().unwrap().to_owned());
            *counts.entry(key).or_default() += series["requests"].as_u64().unwrap();
        }
        counts.retain(|_, count| *count > 0);
        counts
    }
}

impl Counted {
    async fn prometheus_agrees(&self) {
        let plan = self.json["run"]["plan"].as_str().unwrap();
        let last = |metric: &str| format!("max_over_time({metric}{{plan='{plan}'}}[1h])");
        let query = format!("sum by (phase, outcome, step) ({})", last("plimsoll_requests_total"));
        let prometheus = &self.prometheus;
        wait_for(PATIENCE, "the last scrape", async || {
            let found = prometheus.query(&query).await.map_err(|error| error.to_string())?;
            let found: Counts = found
                .iter()
                .map(|series| {
                    (LABELS.map(|name| series.label(name).to_owned()), series.value().unwrap() as u64)
                })
                .collect();
            if found == self.counts { Ok(()) } else { Err(format!("{found:#?}\nof\n{:#?}", self.counts)) }
        })
        .await
        .unwrap();
        // The native histograms count the same requests as the record's. Once the process is gone the series
        // are stale, so that one has to look back.
        let query = format!("sum(histogram_count(plimsoll_service_time_seconds{{plan='{plan}'}}))");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let series = prometheus.query_range(&query, now - 300.0, now, 0.25).await.unwrap();
        let timed = series[0].points.iter().map(|(_, count)| *count).fold(0.0, f64::max);
        assert_eq!(timed as u64, self.events.timed("service_time"));
        // Points on their way when the last values were read are counted one way or the other.
        let fates = last_fates(prometheus).await;
        assert_eq!(fates["produced"], fates["acknowledged"] + fates["lost"] + fates["backlog"], "{fates:?}");
    }

    /// What became of the exported points.
    fn exported(&self) -> [u64; 4] {
        fates(&self.json)
    }
}

async fn last_fates(prometheus: &Prometheus) -> BTreeMap<&'static str, u64> {
    let mut fates = BTreeMap::new();
    for fate in ["produced", "acknowledged", "lost"] {
        let query = format!("last_over_time(plimsoll_export_points_total{{fate='{fate}'}}[1h])");
        fates.insert(fate, prometheus.value(&query).await.unwrap().unwrap() as u64);
    }
    let backlog = prometheus.value("last_over_time(plimsoll_export_backlog_points[1h])").await.unwrap();
    fates.insert("backlog", backlog.unwrap() as u64);
    fates
}

/// Points produced, acknowledged, waiting and lost.
fn fates(run: &Value) -> [u64; 4] {
    let export = &run["export"][0];
    assert_eq!(export["sink"], "influxdb", "{run}");
    ["produced", "acknowledged", "backlog", "lost"].map(|fate| export[fate].as_u64().unwrap())
}

impl Events {
    /// How many values a histogram holds.
    fn timed(&self, timing: &str) -> u64 {
        let series = self.of("second").flat_map(|second| second["series"].as_array().unwrap());
        let counts = series.filter_map(|series| series["timings"][timing]["at_edges"].as_array());
        counts.flatten().map(|count| count.as_u64().unwrap()).sum()
    }
}

#[tokio::test]
async fn counts_of_an_open_run_agree_in_target_json_record_prometheus_and_influxdb() {
    let _machine = beside_others().await;
    let influx = InfluxDb::start().await.unwrap();
    let setting = format!(
        "export.influxdb={{ url: '{}', org: '{}', bucket: '{}', token: '{}' }}",
        influx.url(),
        influx.organisation(),
        influx.bucket(),
        influx.token()
    );
    let run = counted(OPEN, setting).await;
    let phases = ["setup", "warmup", "measured", "teardown"];
    assert!(phases.iter().all(|phase| harness::requests_in(&run.json, phase) > 0), "{}", run.json["phases"]);
    let [produced, acknowledged, backlog, lost] = run.exported();
    assert_eq!([acknowledged, backlog, lost], [produced, 0, 0], "{}", notes(&run.json));

    let id = run.json["run"]["id"].as_str().unwrap();
    let query =
        format!("SELECT sum(count) FROM plimsoll_requests WHERE run = '{id}' GROUP BY phase, outcome, step");
    let stored: Counts = influx
        .query(&query)
        .await
        .unwrap()
        .iter()
        .map(|row| (LABELS.map(|name| row.tags[name].clone()), row.number("sum").unwrap() as u64))
        .collect();
    assert_eq!(stored, run.counts);
    let points = async |measurement: &str| {
        let rows =
            influx.query(&format!("SELECT sum(count) FROM {measurement} WHERE run = '{id}'")).await.unwrap();
        rows[0].number("sum").unwrap() as u64
    };
    assert_eq!(points("plimsoll_service_time").await, run.events.timed("service_time"));
    let received = points("plimsoll_received_bytes").await;
    assert!(received >= run.json["totals"]["received_bytes"].as_u64().unwrap(), "{received}");
    drop(run.desk);
}

#[tokio::test]
async fn counts_of_a_closed_run_agree_in_target_json_record_prometheus_and_victoria_metrics() {
    let _machine = beside_others().await;
    let victoria = VictoriaMetrics::start().await.unwrap();
    let setting = format!("export.influxdb={{ url: '{}', org: o, bucket: b, token: t }}", victoria.url());
    let run = counted(CLOSED, setting).await;
    let [produced, acknowledged, backlog, lost] = run.exported();
    assert_eq!([acknowledged, backlog, lost], [produced, 0, 0], "{}", notes(&run.json));
    let id = run.json["run"]["id"].as_str().unwrap();
    let stored = |found: &[plimsoll_testkit::Series]| -> Counts {
        let mut counts = Counts::new();
        for series in found {
            let count: f64 = series.points.iter().map(|(_, value)| value).sum();
            *counts.entry(LABELS.map(|name| series.label(name).to_owned())).or_default() += count as u64;
        }
        counts
    };
    let selector = format!("plimsoll_requests_count{{run='{id}'}}");
    victoria.wait_for(&selector, |found| stored(found) == run.counts, PATIENCE).await.unwrap();
}

/// What an InfluxDB does to a run, and what the run says of it.
struct Trouble {
    answers: Vec<Answer>,
    /// In the notes; nothing at all where it is empty.
    told: &'static str,
    /// What becomes of every point.
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Waits,
    Lost,
}

const SHORT: &str = "
name: short
target: http://127.0.0.1:1
load: { stages: [ { hold: 20/s, for: 3s } ] }
scenarios: [ { name: read, steps: [ { name: page, get: /products/1 } ] } ]
sla: [ { name: few errors, objective: error_ratio <= 1% } ]
";

#[tokio::test]
async fn trouble_with_influxdb_is_told_and_counted_and_changes_no_verdict() {
    let _machine = alone().await;
    let trouble = |answers: &[Answer], told, fate| Trouble { answers: answers.to_vec(), told, fate };
    let body = |status, text: &str| Answer::Body(status, format!("{{\"message\":\"{text}\"}}"));
    let slow = Duration::from_millis(600);
    let troubles = [
        trouble(&[body(400, "field type conflict")], "field type conflict", Fate::Lost),
        trouble(&[body(401, "unauthorized access")], "401: the credentials are not accepted", Fate::Lost),
        trouble(&[Answer::Status(404)], "404: there is no such bucket", Fate::Lost),
        trouble(&[Answer::Status(413)], "413: a single point is too large", Fate::Lost),
        trouble(&[Answer::RetryAfter(429, 1), Answer::Status(204)], "429", Fate::Arrives),
        trouble(&[Answer::Status(503)], "503", Fate::Waits),
        trouble(&[Answer::Status(503), Answer::Status(500), Answer::Status(204)], "503", Fate::Arrives),
        trouble(&[Answer::Stall], "not taken within", Fate::Waits),
        trouble(&[Answer::Close], "no connection", Fate::Waits),
        trouble(&[Answer::Close, Answer::Status(204)], "no connection", Fate::Arrives),
        trouble(&[Answer::Delayed(slow, 204)], "", Fate::Arrives),
    ];
    let target = Target::start(["--latency", "none"]).await;
    let mut runs = tokio::task::JoinSet::new();
    for trouble in troubles {
        let setting = target.setting();
        runs.spawn(async move { trouble.check(setting).await });
    }
    runs.join_all().await;
}

impl Trouble {
    async fn check(self, target: String) {
        let receiver = Receiver::start(self.answers.clone()).await.unwrap();
        let run = run_to(&receiver.url(), target).await;
        let [produced, acknowledged, backlog, lost] = fates(&run);
        assert_eq!(produced, acknowledged + backlog + lost, "{:?}", self.answers);
        assert!(produced > 30, "{:?}: {run}", self.answers);
        let expected = match self.fate {
            Fate::Arrives => [produced, 0, 0],
            Fate::Waits => [0, produced, 0],
            Fate::Lost => [0, 0, produced],
        };
        assert_eq!([acknowledged, backlog, lost], expected, "{:?}: {}", self.answers, notes(&run));
        let told = notes(&run);
        let as_told = if self.told.is_empty() { told.is_empty() } else { told.contains(self.told) };
        assert!(as_told, "{:?}: {told}", self.answers);
        assert!(receiver.received().iter().all(|request| !request.body.is_empty()));
    }
}

/// Runs a short plan that writes to this InfluxDB.
async fn run_to(url: &str, target: String) -> Value {
    let desk = Desk::new();
    let influx = format!("export.influxdb={{ url: '{url}', org: o, bucket: b, token: made-up-token }}");
    let ended = desk.run(SHORT).set([target, influx]).ended().await;
    let run = desk.json();
    ends(&ended, &run, 0);
    assert_eq!(harness::verdict(&run, "few errors"), "met");
    assert_eq!(run["run"]["status"], "completed");
    // The result does not wait for a sink that does not come back: 3 s of load, and two more at most.
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
    assert!(!format!("{run} {}", ended.stderr).contains("made-up-token"), "the token is told to nobody");
    run
}

#[tokio::test]
async fn points_for_an_influxdb_that_is_down_wait_on_disk() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let run = run_to(&format!("http://127.0.0.1:{}", free_port()), target.setting()).await;
    let [produced, acknowledged, backlog, lost] = fates(&run);
    assert_eq!([acknowledged, backlog, lost], [0, produced, 0]);
    assert!(notes(&run).contains("no connection"), "{}", notes(&run));
    assert!(notes(&run).contains("they wait in the spool"), "{}", notes(&run));
}

/// Lines that were taken: those of requests that came once the receiver takes what comes.
fn taken(receiver: &Receiver, before: usize) -> Vec<String> {
    let texts: Vec<String> = receiver.received()[before..].iter().map(|one| one.text().unwrap()).collect();
    texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
}

#[tokio::test]
async fn processes_that_share_a_spool_deliver_each_point_once() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let receiver = Receiver::start([Answer::Status(503)]).await.unwrap();
    let desk = Desk::new();
    let influx = format!("export.influxdb={{ url: '{}', org: o, bucket: b }}", receiver.url());
    let settings = [target.setting(), influx.clone()];
    let earlier = desk.run(SHORT).set(&settings).ended().await;
    let waiting = desk.json();
    ends(&earlier, &waiting, 0);
    assert_eq!(fates(&waiting)[2], fates(&waiting)[0], "all of it waits");

    let before = receiver.received().len();
    receiver.answer_with([Answer::Status(204)]);
    // The plan as the runs have it, for who only delivers.
    let plan = desk.write(
        "deliver.yaml",
        &format!("{SHORT}export: {{ influxdb: {{ url: '{}', org: o, bucket: b }} }}\n", receiver.url()),
    );
    let run = |json: &str| {
        let run = desk.plimsoll(["run", &plan, "--quiet", "--json"]).arg(desk.path(json));
        run.set([target.setting()]).start()
    };
    let deliver = || desk.plimsoll(["spool", "deliver", &plan, "--for", "30s"]).start();
    let (one, two, three, four) = (run("one.json"), run("two.json"), deliver(), deliver());
    let (one, two, three, four) = tokio::join!(one.ended(), two.ended(), three.ended(), four.ended());
    for (ended, json) in [(&one, "one.json"), (&two, "two.json")] {
        ends(ended, &serde_json::from_str(&desk.text(json)).unwrap(), 0);
    }
    assert_eq!((three.code, four.code), (0, 0), "{three:?} {four:?}");

    let lines = taken(&receiver, before);
    let once: std::collections::BTreeSet<&String> = lines.iter().collect();
    assert_eq!(once.len(), lines.len(), "no point came twice");
    let mut produced = fates(&waiting)[0];
    for json in ["one.json", "two.json"] {
        let run: Value = serde_json::from_str(&desk.text(json)).unwrap();
        let [own, acknowledged, backlog, lost] = fates(&run);
        assert_eq!([acknowledged, backlog, lost], [own, 0, 0], "{}", notes(&run));
        assert_eq!(notes(&run), "", "nobody is told of what others do");
        produced += own;
    }
    assert_eq!(lines.len() as u64, produced);
    assert_eq!(desk.plimsoll(["spool", "list", "--json", "-"]).ended().await.stdout.trim(), "[]");
}

#[tokio::test]
async fn a_taken_metrics_port_is_said_before_anything_is_sent() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let metrics = format!("export.prometheus={{ listen: '{address}' }}");
    let ended = desk.run(SHORT).set([target.setting(), metrics]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("in use"), "{}", ended.stderr);
    assert_eq!(target.record().await.count(), 0);
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    assert_eq!(serde_json::from_str::<Value>(&listed.stdout).unwrap(), serde_json::json!([]));
}
