//! A real run, watched by what people watch it with: a Prometheus with native histograms and one without, and an InfluxDB.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_exposition::catalogue::{self, Kind, Metric};
use plimsoll_testkit::{Authority, InfluxDb, Prometheus, PrometheusSetup, ScrapeTarget, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Desk, PATIENCE, Target, free_port};

/// For how long the run offers load, seconds.
const RUN: f64 = 21.0;

/// The servers, and the time in which there is something to be seen; Unix seconds.
pub(crate) struct Filled {
    pub(crate) native: Prometheus,
    pub(crate) classic: Prometheus,
    pub(crate) influx: InfluxDb,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// Runs it all.
pub(crate) async fn fill() -> Filled {
    let desk = Desk::new();
    let folder = desk.path("tls");
    std::fs::create_dir(&folder).unwrap();
    Authority::new().unwrap().issue_into(&folder, &["127.0.0.1"]).unwrap();
    let pem = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (pem("cert.pem"), pem("key.pem"));
    let flags = ["--latency", "lognormal:5ms,50ms", "--tls-cert", &certificate, "--tls-key", &key];
    let address = format!("127.0.0.1:{}", free_port());
    let jobs = [("plimsoll", address.clone()), ("service", service().await)];
    let setup = |native_histograms| PrometheusSetup {
        targets: jobs
            .iter()
            .map(|(job, address)| ScrapeTarget { job: (*job).to_owned(), address: address.clone() })
            .collect(),
        native_histograms,
        ..PrometheusSetup::default()
    };
    let (target, influx, native, classic) = tokio::join!(
        Target::start(flags),
        InfluxDb::start(),
        Prometheus::start(setup(true)),
        Prometheus::start(setup(false)),
    );
    let (influx, native, classic) = (influx.unwrap(), native.unwrap(), classic.unwrap());
    let url = target.url().replace("http://", "https://");
    let from = now();
    let run = desk.run(include_str!("everything.yaml")).set([
        // One of thirty requests goes to where nobody listens.
        format!("target=[ {{ url: '{url}', weight: 29 }}, {{ url: 'https://127.0.0.1:1' }} ]"),
        format!("export.prometheus={{ listen: '{address}', linger: 60s }}"),
        format!(
            "export.influxdb={{ url: '{}', org: '{}', bucket: '{}', token: '{}' }}",
            influx.url(),
            influx.organisation(),
            influx.bucket(),
            influx.token()
        ),
    ]);
    let running = run.start();
    let ended = running.ended().await;
    assert!([0, 3, 4].contains(&ended.code), "{}", ended.stderr);
    let written = wait_for(PATIENCE, "points in InfluxDB", async || {
        let rows = influx.query("SELECT last(\"value\") FROM \"plimsoll_run_validity\"").await?;
        if rows.is_empty() { anyhow::bail!("none") } else { Ok(()) }
    });
    written.await.unwrap();
    assert!(now() - from >= RUN, "{}", ended.stderr);
    Filled { native, classic, influx, from, to: now() }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What a service would expose that watches SLAs and capacity for months, told in half a minute; what a process would that
/// lives on after a run; and what this machine and this run may have nothing of. Names, kinds and labels are the catalogue's. Returns where it listens.
async fn service() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let started = Arc::new(Instant::now());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let started = Arc::clone(&started);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // Each scrape is answered in full and the connection closed.
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let body = exposed(started.elapsed());
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

/// The text after so much time: an outage from a third to a half of the run.
fn exposed(elapsed: Duration) -> String {
    let at = elapsed.as_secs_f64() / RUN;
    let bad = if (0.33..0.5).contains(&at) { 0.4 } else { 0.0002 };
    let past = ((at - 0.33).clamp(0.0, 0.17) / 0.17 * 0.9).max(0.02);
    let state = match at {
        ..0.05 => "undecided",
        0.33..0.5 => "breaching",
        0.5..0.8 => "warning",
        _ => "ok",
    };
    let seconds = elapsed.as_secs_f64();
    let mut text = String::new();
    for (metric, slas) in catalogue::ALL.into_iter().filter_map(|metric| Some((metric, values(metric)?))) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind.label());
        for labels in slas {
            let label = |name: &str| labels.get(name).copied().unwrap_or_default();
            let value = match metric {
                metric if *metric == catalogue::SLA_STATE => f64::from(u8::from(label("state") == state)),
                metric if *metric == catalogue::SLA_TARGET => 0.999,
                metric if *metric == catalogue::SLA_COMPLIANCE => {
                    if label("window") == "period" {
                        0.9996 - past * 0.0005
                    } else {
                        1.0 - bad
                    }
                }
                metric if *metric == catalogue::SLA_DETECTION_DELAY => 1.0,
                metric if *metric == catalogue::ERROR_BUDGET_REMAINING => 1.0 - past,
                metric if *metric == catalogue::BURN_RATE => {
                    if label("window") == "5m" {
                        bad * 50.0
                    } else {
                        past * 14.0
                    }
                }
                metric if *metric == catalogue::SLA_EVENTS => (1000.0 * seconds).round(),
                metric if *metric == catalogue::SLA_GOOD_EVENTS => {
                    let outage = (at - 0.33).clamp(0.0, 0.17) * RUN;
                    (1000.0 * seconds - 400.0 * outage - 0.2 * seconds).round()
                }
                metric if *metric == catalogue::CAPACITY_LIMIT => match label("bound") {
                    "low" => 95.0,
                    "high" => 130.0,
                    _ => 110.0,
                },
                metric if *metric == catalogue::LAST_RUN_REQUESTS => 1080.0,
                metric if *metric == catalogue::LAST_RUN_SLA_MET => 1.0,
                metric if *metric == catalogue::LAST_RUN_RESPONSE_TIME => match label("quantile") {
                    "0.5" => 0.012,
                    "0.95" => 0.06,
                    _ => 0.4,
                },
                metric if metric.kind == Kind::Counter => (3.0 * seconds).round(),
                _ => 0.12,
            };
            let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let _ = writeln!(text, "{}{{{}}} {value}", metric.name, pairs.join(","));
        }
    }
    text
}

type LabelSet = BTreeMap<&'static str, &'static str>;

/// The label sets of a metric that is exposed here, `None` of the others.
fn values(metric: &'static Metric) -> Option<Vec<LabelSet>> {
    /// What a healthy run on a machine without a quota has nothing of.
    const RARE: [&Metric; 4] = [
        &catalogue::GENERATOR_THROTTLED,
        &catalogue::GENERATOR_LINK,
        &catalogue::EXPORT_OVERFLOW_SERIES,
        &catalogue::DROPPED_ARRIVALS,
    ];
    let events = [&catalogue::SLA_EVENTS, &catalogue::SLA_GOOD_EVENTS];
    let of_no_run = !catalogue::of_runs().any(|of_run| of_run == metric);
    if !of_no_run
        && !events.contains(&metric)
        && !RARE.contains(&metric)
        && *metric != catalogue::EXPORT_POINTS
    {
        return None;
    }
    let choices = |label: &'static str| -> &'static [&'static str] {
        match label {
            "plan" if catalogue::OF_HISTORY.contains(&metric) || catalogue::OF_LAST_RUN.contains(&metric) => {
                &["everything"]
            }
            "quantile" => &["0.5", "0.95", "0.99"],
            "sla" => &["storefront-available", "storefront-fast"],
            "state" => &["ok", "warning", "breaching", "exhausted", "undecided"],
            "window" if *metric == catalogue::BURN_RATE => &["5m", "1h", "30m", "6h"],
            "window" => &["period", "5m", "1h"],
            "bound" => &["estimate", "low", "high"],
            "sink" => &["statsd"],
            "fate" => &["produced", "lost"],
            "cause" => &["generator"],
            // Empty is absent.
            _ => &[""],
        }
    };
    let mut sets = vec![LabelSet::new()];
    for label in metric.labels {
        let wider = sets.into_iter().flat_map(|set| {
            choices(label).iter().map(move |value| {
                let mut set = set.clone();
                set.insert(label, value);
                set
            })
        });
        sets = wider.collect();
    }
    Some(sets)
}
