//! Nothing is lost: receivers die one after the other, Plimsoll itself is killed, and in the end every
//! receiver has what the record has, to the last request.
//!
//! Here receivers stay away for some seconds of the run; `cargo xtask soak export` lets them stay away for a minute each.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{Desk, PATIENCE, Target, alone, free_port, requests, sum};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, number_data_point};
use plimsoll_testkit::{InfluxDb, OtlpAnswer, OtlpReceiver, Prometheus, http_client, wait_for};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How hard it is made.
struct Trial {
    /// Requests per second.
    rate: u64,
    /// How often something is produced for a receiver while it is away.
    away: u32,
    /// How often each receiver takes something while all is well, before and after.
    well: u32,
}

fn trial() -> Trial {
    match std::env::var("PLIMSOLL_CHAOS").as_deref() {
        Ok("whole") => Trial { rate: 2_000, away: 60, well: 90 },
        _ => Trial { rate: 400, away: 3, well: 2 },
    }
}

fn plan(rate: u64, target: &str, exports: &str) -> String {
    format!(
        "name: chaos\ntarget: {target}\nload:\n  stages: [ {{ hold: {rate}/s, for: 1h }} ]\n\
         scenarios:\n  - name: all\n    steps: [ {{ name: home, get: / }} ]\n\
         sla:\n  - {{ name: quick, objective: 'p99(response_time) <= 250ms', severity: warning }}\nexport:\n{exports}"
    )
}

/// A way to a receiver that can be shut, as if the receiver was killed: connections break and new ones are refused.
struct Gate {
    listen: SocketAddr,
    to: SocketAddr,
    task: JoinHandle<()>,
}

impl Gate {
    async fn to(url: &str) -> Self {
        let to = url.trim_start_matches("http://").parse().unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut gate = Self { listen, to, task: tokio::spawn(async {}) };
        gate.open().await;
        gate
    }

    async fn open(&mut self) {
        let (listener, to) = (TcpListener::bind(self.listen).await.unwrap(), self.to);
        self.task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
    }

    async fn shut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }
}

/// What was scraped of each sink.
#[derive(Default)]
struct Scraped {
    /// How often.
    times: BTreeMap<String, u64>,
    /// The last time.
    last: BTreeMap<String, [u64; 4]>,
}

/// Scrapes `/metrics` until it is gone, and says how often the account of each sink added up; one that does not fails.
fn account_for(address: String) -> (JoinHandle<()>, Arc<Mutex<Scraped>>) {
    let scraped = Arc::new(Mutex::new(Scraped::default()));
    let seen = Arc::clone(&scraped);
    let client = http_client().unwrap();
    let task = tokio::spawn(async move {
        while let Ok(answer) = client.get(format!("http://{address}/metrics")).send().await {
            let Ok(text) = answer.text().await else { return };
            let accounts = accounts(&text);
            {
                let mut seen = seen.lock().unwrap();
                for (sink, [produced, acknowledged, lost, backlog]) in &accounts {
                    assert_eq!(*produced, acknowledged + lost + backlog, "{sink}");
                    *seen.times.entry(sink.clone()).or_default() += 1;
                }
                seen.last = accounts;
            }
            // As often as somebody scrapes who is curious.
            sleep(Duration::from_millis(250)).await;
        }
    });
    (task, scraped)
}

const PRODUCED: usize = 0;
const ACKNOWLEDGED: usize = 1;
const BACKLOG: usize = 3;

impl Scraped {
    fn of(scraped: &Mutex<Self>, sink: &str, figure: usize) -> u64 {
        scraped.lock().unwrap().last.get(sink).map_or(0, |account| account[figure])
    }
}

/// Waits until a figure of a sink has grown so often; while all is well it does with every second of the run.
async fn grows(scraped: &Mutex<Scraped>, sink: &str, figure: usize, times: u32) {
    let (mut known, mut left) = (Scraped::of(scraped, sink, figure), times);
    let patience = PATIENCE + Duration::from_secs(5) * times;
    wait_for(patience, &format!("{sink} to grow"), async || {
        let found = Scraped::of(scraped, sink, figure);
        left -= u32::from(found > known);
        known = found;
        if left == 0 { Ok(()) } else { Err(format!("{left} times are missing")) }
    })
    .await
    .unwrap();
}

/// Every receiver takes what comes, so often.
async fn all_is_well(scraped: &Mutex<Scraped>, times: u32) {
    let takes = |sink| grows(scraped, sink, ACKNOWLEDGED, times);
    tokio::join!(takes("influxdb"), takes("remote_write"), takes("otlp"));
}

/// A receiver is away, and what comes for it waits.
async fn is_away(scraped: &Mutex<Scraped>, sink: &str, times: u32) {
    grows(scraped, sink, PRODUCED, times).await;
    assert!(Scraped::of(scraped, sink, BACKLOG) > 0, "{sink}");
}

/// Produced, acknowledged, lost and waiting points of each sink.
fn accounts(metrics: &str) -> BTreeMap<String, [u64; 4]> {
    let mut accounts: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("plimsoll_export_")) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let label = |name: &str| Some(series.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
        let Some(sink) = label("sink") else { continue };
        let at = match (series.starts_with("plimsoll_export_backlog_points"), label("fate")) {
            (true, _) => 3,
            (_, Some("produced")) => 0,
            (_, Some("acknowledged")) => 1,
            (_, Some("lost")) => 2,
            _ => continue,
        };
        accounts.entry(sink.to_owned()).or_default()[at] = value.parse::<f64>().unwrap() as u64;
    }
    accounts
}

#[tokio::test]
async fn every_receiver_has_in_the_end_what_the_record_has() {
    let _machine = alone().await;
    let trial = trial();
    let (influx, prometheus, otlp, target) = tokio::join!(
        InfluxDb::start(),
        Prometheus::start(plimsoll_testkit::PrometheusSetup::default()),
        OtlpReceiver::start([OtlpAnswer::Take]),
        Target::start(["--latency", "lognormal:4ms,12ms"]),
    );
    let (mut influx, mut prometheus, otlp) = (influx.unwrap(), prometheus.unwrap(), otlp.unwrap());
    let mut otlp_gate = Gate::to(&otlp.url()).await;
    let metrics = format!("127.0.0.1:{}", free_port());
    let exports = format!(
        "  prometheus: {{ listen: '{metrics}' }}\n  remote_write: {{ url: '{}' }}\n  \
         influxdb: {{ url: '{}', org: {}, bucket: {}, token: {} }}\n  \
         otlp: {{ url: '{}', temporality: cumulative }}\n",
        prometheus.remote_write_url(),
        influx.url(),
        influx.organisation(),
        influx.bucket(),
        influx.token(),
        otlp_gate.url(),
    );
    let desk = Desk::new();
    let plan = desk.write("plan.yaml", &plan(trial.rate, &target.url(), &exports));
    let running = desk.plimsoll(["run", &plan, "--no-calibrate", "--quiet"]).start();
    target.asked(trial.rate).await;
    let (scraping, scraped) = account_for(metrics);

    all_is_well(&scraped, trial.well).await;
    influx.engine.stop().unwrap();
    is_away(&scraped, "influxdb", trial.away).await;
    influx.engine.start_again().await.unwrap();
    all_is_well(&scraped, trial.well).await;
    prometheus.process.stop().unwrap();
    is_away(&scraped, "remote_write", trial.away).await;
    prometheus.process.start_again().await.unwrap();
    all_is_well(&scraped, trial.well).await;
    otlp_gate.shut().await;
    is_away(&scraped, "otlp", trial.away).await;
    otlp_gate.open().await;
    all_is_well(&scraped, trial.well).await;
    // Away when Plimsoll dies, too.
    influx.engine.stop().unwrap();
    is_away(&scraped, "influxdb", trial.away).await;
    running.signal(Signal::SIGKILL);
    running.ended().await;
    scraping.await.unwrap();
    let scrapes = scraped.lock().unwrap().times.clone();
    assert_eq!(scrapes.keys().collect::<Vec<_>>(), ["influxdb", "otlp", "remote_write"], "{scrapes:?}");
    influx.engine.start_again().await.unwrap();
    let listed = desk.plimsoll(["spool", "list", "--json", "-"]).ended().await;
    let waiting: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(waiting.as_array().unwrap().iter().any(|queue| queue["backlog"].as_u64() > Some(0)), "{waiting}");

    let delivered = desk.plimsoll(["spool", "deliver", &plan, "--for", "100s"]).ended().await;
    assert_eq!(delivered.code, 0, "{delivered:?}");
    assert_eq!(desk.plimsoll(["spool", "list", "--json", "-"]).ended().await.stdout.trim(), "[]");

    let shown = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    let run: Value = serde_json::from_str(&shown.stdout).unwrap();
    let recorded = requests(&run);
    for count in run["export"].as_array().unwrap() {
        let number = |fate: &str| count[fate].as_u64().unwrap();
        assert_eq!(number("produced"), number("acknowledged"), "{count}");
        assert_eq!((number("backlog"), number("lost")), (0, 0), "{count}");
    }
    assert_eq!(run["export"].as_array().unwrap().len(), 3, "{}", run["export"]);

    // What the process had in its head when it was killed is in no figure, and it is said.
    let asked = wait_for(PATIENCE, "the target to be at rest", async || {
        let record = target.record().await;
        if record.0["in_flight"] == 0 { Ok(record.count()) } else { Err("in flight".to_owned()) }
    })
    .await
    .unwrap();
    let gap = asked.checked_sub(recorded).expect("nothing is recorded that was not asked");
    assert!(gap <= trial.rate * 5 / 2, "{asked} asked, {recorded} recorded");
    let text = desk.plimsoll(["runs", "show", "last"]).ended().await.stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("is in no figure and in no sink"), "{text}");

    let query = "SELECT sum(count) AS found FROM plimsoll_requests";
    let rows = influx.query(query).await.unwrap();
    assert_eq!(rows[0].number("found").unwrap() as u64, recorded, "InfluxDB");
    let query = "sum(max_over_time(plimsoll_requests_total[2h]))";
    assert_eq!(prometheus.value(query).await.unwrap(), Some(recorded as f64), "Prometheus");
    assert_eq!(otlp_requests(&otlp), recorded, "OTLP");

    // The quantile of the report is that of each receiver, within the stated error of its histogram and the record's own resolution.
    let p99 = run["response_time"]["p99"].as_f64().unwrap();
    let last = prometheus_p99(&prometheus, &desk).await;
    assert!((last / p99 - 1.0).abs() <= 0.013, "{last} at Prometheus, {p99} in the report");
    let collected = otlp_p99(&otlp);
    assert!((collected / p99 - 1.0).abs() <= 0.013, "{collected} over OTLP, {p99} in the report");
    let (low, high) = influxdb_p99(&influx).await;
    assert!(low <= p99 * 1.001 && p99 <= high * 1.001, "{low} to {high} at InfluxDB, {p99} in the report");
    assert_eq!(sum(&run["phases"], "failed"), 0, "every answer counts in the quantile");
}

/// The highest count of each series, added up: points may have come twice.
fn otlp_requests(otlp: &OtlpReceiver) -> u64 {
    let mut highest: BTreeMap<String, u64> = BTreeMap::new();
    for request in otlp.received() {
        for metric in request.metrics().filter(|metric| metric.name.starts_with("plimsoll_requests")) {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
            // At the end of a run a series has a point that says there is no value any more.
            for point in sum.data_points.iter().filter(|point| point.value.is_some()) {
                let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("{point:?}") };
                let known = highest.entry(format!("{:?}", point.attributes)).or_default();
                *known = (*known).max(value.try_into().unwrap());
            }
        }
    }
    highest.values().sum()
}

/// The geometric middle of the bucket in which the quantile lies, by the last exponential histogram of each series.
fn otlp_p99(otlp: &OtlpReceiver) -> f64 {
    let mut last: BTreeMap<String, ExponentialHistogramDataPoint> = BTreeMap::new();
    for request in otlp.received() {
        for metric in request.metrics().filter(|metric| metric.name == "plimsoll_response_time") {
            let Some(Data::ExponentialHistogram(histogram)) = &metric.data else { panic!("{metric:?}") };
            for point in &histogram.data_points {
                let known = last.entry(format!("{:?}", point.attributes)).or_default();
                if point.count > known.count {
                    point.clone_into(known);
                }
            }
        }
    }
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for point in last.values() {
        let positive = point.positive.as_ref().unwrap();
        for (index, count) in (positive.offset..).zip(&positive.bucket_counts) {
            // Bucket i reaches from base^i to base^(i+1), base being 2^(2^-scale).
            let middle = ((f64::from(index) + 0.5) * f64::from(-point.scale).exp2()).exp2();
            buckets.push((middle, *count));
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total: u64 = last.values().map(|point| point.count).sum();
    let mut seen = last.values().map(|point| point.zero_count).sum::<u64>();
    let rank = (0.99 * total as f64).ceil() as u64;
    let holds = |(_, count): &&(f64, u64)| {
        seen += count;
        seen >= rank
    };
    buckets.iter().find(holds).unwrap().0
}

/// By the native histogram as it stood at the end of the last second, before the run's end made it stale.
async fn prometheus_p99(prometheus: &Prometheus, desk: &Desk) -> f64 {
    let events = desk.events().await;
    let nanos = events.of("second").last().unwrap()["wall_nanos"].as_i64().unwrap();
    let at = format!("{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1000);
    let query = format!("histogram_quantile(0.99, sum(plimsoll_response_time_seconds @ {at}))");
    prometheus.value(&query).await.unwrap().unwrap_or_else(|| panic!("nothing at {query}"))
}

/// The edges between which the quantile lies, by the counts of all seconds.
async fn influxdb_p99(influx: &InfluxDb) -> (f64, f64) {
    let rows = influx.query("SELECT sum(*) FROM plimsoll_response_time").await.unwrap();
    let number = |name: &str| rows[0].number(name);
    let total = number("sum_count").unwrap();
    let mut edges: Vec<(f64, f64)> = rows[0]
        .columns
        .keys()
        .filter_map(|name| Some((name.strip_prefix("sum_le_")?.parse().ok()?, number(name)?)))
        .collect();
    edges.sort_by(|one, other| one.0.total_cmp(&other.0));
    let above = edges.iter().position(|(_, count)| *count >= (0.99 * total).ceil()).unwrap();
    (above.checked_sub(1).map_or(0.0, |below| edges[below].0), edges[above].0)
}
