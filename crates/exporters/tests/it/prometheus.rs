//! The endpoint, scraped by a real Prometheus and by hand.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plimsoll_exporters::{Exporters, LiveMetrics};
use plimsoll_run::{ExportSettings, PrometheusExport};
use plimsoll_testkit::{Program, Prometheus, Pushgateway, Series, http_client, python, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::run::{DEADLINE, PLAN, offer};

fn settings(linger: Option<Duration>) -> ExportSettings {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    ExportSettings {
        prometheus: Some(PrometheusExport { listen, linger, keep: DEADLINE }),
        ..ExportSettings::default()
    }
}

async fn start(linger: Option<Duration>) -> (Exporters, String) {
    let exporters = Exporters::start(&settings(linger), Arc::new(LiveMetrics::new())).await.unwrap();
    let address = exporters.metrics_addr().unwrap().to_string();
    (exporters, address)
}

async fn body(address: &str, accept: &str) -> (String, Vec<u8>) {
    let request = http_client().unwrap().get(format!("http://{address}/metrics")).header("accept", accept);
    let response = request.send().await.unwrap().error_for_status().unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn prometheus_stores_what_was_counted_to_the_last_request() {
    let (mut exporters, address) = start(Some(DEADLINE)).await;
    let run = offer(&mut exporters, 5);
    let prometheus = Prometheus::scraping(&address).await.unwrap();
    let total = run.requests() as f64;
    let requests = "sum(plimsoll_requests_total)";
    prometheus
        .wait_for(requests, |found| found.iter().any(|one| one.value() == Some(total)), DEADLINE)
        .await
        .unwrap();
    let value = async |query: &str| prometheus.value(query).await.unwrap();
    for ((outcome, phase), count) in &run.requests {
        let query = format!("sum(plimsoll_requests_total{{outcome=\"{outcome}\", phase=\"{phase}\"}})");
        assert_eq!(value(&query).await, Some(*count as f64), "{query}");
    }
    assert_eq!(value("sum(plimsoll_received_bytes_total)").await, Some(run.received_bytes as f64));
    let found = prometheus.query("plimsoll_run_info").await.unwrap();
    assert_eq!((found[0].label("plan"), found[0].label("run")), (PLAN, run.id.as_str()));
    assert_eq!(value("plimsoll_sla_met{sla=\"quick pages\"}").await, Some(1.0));
    assert_eq!(value("plimsoll_sla_events_total").await, Some(total));
    assert_eq!(value("plimsoll_run_validity").await, Some(1.0));
    assert_eq!(value("sum(plimsoll_requests_total{status=\"\", outcome!=\"reset\"})").await, None);

    // This Prometheus takes native histograms: it asked for protobuf.
    let count = value("sum(histogram_count(plimsoll_response_time_seconds))").await;
    assert_eq!(count, Some(total));
    let sum = value("sum(histogram_sum(plimsoll_response_time_seconds))").await.unwrap();
    assert!((sum - run.sum()).abs() < 1e-6, "{sum} for {}", run.sum());
    for share in [0.5, 0.9, 0.99] {
        let query = format!("histogram_quantile({share}, sum(plimsoll_response_time_seconds))");
        let (found, truth) = (value(&query).await.unwrap(), run.quantile(share));
        // The stated 1.1%, and the 0.1% of the histogram that the values come from.
        assert!((found / truth - 1.0).abs() < 0.012, "p{share}: {found} for {truth}");
    }
}

/// What Prometheus found of exemplars of a metric: bucket, trace, step, value and Unix time.
async fn exemplars(prometheus: &Prometheus, metric: &str) -> Vec<(String, String, String, f64, f64)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let found = prometheus.exemplars(metric, now - 600.0, now + 600.0).await.unwrap();
    let of = |series: &serde_json::Value| {
        let bucket = series["seriesLabels"]["le"].as_str().unwrap_or_default().to_owned();
        let exemplars = series["exemplars"].as_array().cloned().unwrap_or_default();
        exemplars.into_iter().map(move |found| {
            let label = |name: &str| found["labels"][name].as_str().unwrap_or_default().to_owned();
            let value = found["value"].as_str().unwrap().parse().unwrap();
            (bucket.clone(), label("trace_id"), label("step"), value, found["timestamp"].as_f64().unwrap())
        })
    };
    found.as_array().unwrap().iter().flat_map(of).collect()
}

#[tokio::test]
async fn prometheus_leads_from_a_bucket_to_a_trace() {
    let accept = "application/openmetrics-text;version=1.0.0";
    let (mut exporters, address) = start(None).await;
    let run = offer(&mut exporters, 3);
    let (kind, text) = body(&address, accept).await;
    // Protobuf with native histograms, and text: of the former this Prometheus reads one exemplar a series.
    for (address, metric, least) in [
        (address, "plimsoll_response_time_seconds", 2),
        (target(kind, text).await, "plimsoll_response_time_seconds_bucket", 20),
    ] {
        let prometheus = Prometheus::scraping(&address).await.unwrap();
        let some = format!("count({metric})");
        prometheus.wait_for(&some, |found| !found.is_empty(), DEADLINE).await.unwrap();
        let found = exemplars(&prometheus, metric).await;
        assert!(found.len() >= least, "{metric}: {found:?}");
        for (bucket, trace, step, value, at) in found {
            let id = u128::from_str_radix(&trace, 16).unwrap().to_be_bytes();
            let nanos = run.traced[&id];
            assert_eq!((value * 1e9).round() as u64, nanos, "the request's own time");
            assert!(["GET /list?page={{ page }}", "buy"].contains(&step.as_str()), "{step}");
            assert!(
                bucket.parse::<f64>().is_ok_and(|edge| value <= edge)
                    || bucket.is_empty()
                    || bucket == "+Inf"
            );
            let done = run.wall_seconds(u128::from_be_bytes(id) as u64 / 1_000_000) + value;
            assert!((at - done).abs() < 0.002, "{at} for {done}: the moment it ended");
        }
    }
}

/// A target with one fixed answer, for forms that our Prometheus would not ask for.
async fn target(content_type: String, body: Vec<u8>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n");
    let answer = [head.into_bytes(), body].concat();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // A scraper's request comes in one piece.
            if stream.read(&mut request).await.is_ok() {
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

#[tokio::test]
async fn prometheus_reads_either_text_and_stores_classic_buckets_exactly() {
    for accept in ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"] {
        let (mut exporters, address) = start(None).await;
        let run = offer(&mut exporters, 3);
        let (kind, text) = body(&address, accept).await;
        assert!(kind.starts_with(accept.split(';').next().unwrap()), "{kind}");
        let prometheus = Prometheus::scraping(&target(kind, text).await).await.unwrap();
        let buckets = "plimsoll_response_time_seconds_bucket";
        prometheus.wait_for(buckets, |found| !found.is_empty(), DEADLINE).await.unwrap();
        let edges =
            [("0.001", 1_000_000), ("0.333", 333_000_000), ("1.0", 1_000_000_000), ("+Inf", u64::MAX)];
        for (edge, nanos) in edges {
            let query = format!("sum({buckets}{{le=\"{edge}\"}})");
            let found = prometheus.value(&query).await.unwrap();
            assert_eq!(found, Some(run.at_or_below(nanos) as f64), "{accept}: {query}");
        }
        let total = prometheus.value("sum(plimsoll_requests_total)").await.unwrap();
        assert_eq!(total, Some(run.requests() as f64), "{accept}");
        let info = prometheus.query("plimsoll_run_info").await.unwrap();
        assert_eq!((info[0].label("plan"), info[0].label("environment")), (PLAN, "test"), "{accept}");
        assert_eq!(prometheus.targets().await.unwrap()[0]["lastError"], "", "{accept}");
    }
}

#[tokio::test]
async fn the_text_passes_promtool() {
    let (mut exporters, address) = start(None).await;
    offer(&mut exporters, 2);
    let folder = tempfile::tempdir().unwrap();
    let (kind, text) = body(&address, "").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let file = folder.path().join("metrics");
    std::fs::write(&file, text).unwrap();
    // It reads standard input alone.
    let output = Command::new(Program::PROMTOOL.locate().unwrap())
        .args(["check", "metrics"])
        .stdin(File::open(file).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Reads OpenMetrics as its reference does, which judges the format's own cases without a mistake, and says what it read.
const REFERENCE: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
samples = [
    [family.type, sample.name, sample.labels, sample.value, sample.exemplar and sample.exemplar.labels]
    for family in families(sys.stdin.read()) for sample in family.samples
]
json.dump(samples, sys.stdout)
"#;

#[tokio::test]
async fn the_reference_parser_of_openmetrics_reads_what_we_write() {
    let (mut exporters, address) = start(Some(DEADLINE)).await;
    let run = offer(&mut exporters, 3);
    for is_over in [false, true] {
        if is_over {
            exporters.send(&run.end());
        }
        let (_, text) = body(&address, "application/openmetrics-text;version=1.0.0").await;
        let read = python(REFERENCE, &text).unwrap();
        let samples: Vec<serde_json::Value> = serde_json::from_str(&read).unwrap();
        let of = |name: &'static str| samples.iter().filter(move |sample| sample[1] == name);
        let sum = |name| of(name).map(|sample| sample[3].as_f64().unwrap()).sum::<f64>();
        assert_eq!(sum("plimsoll_requests_total"), run.requests() as f64);
        assert_eq!(sum("plimsoll_response_time_seconds_count"), run.requests() as f64);
        assert!((sum("plimsoll_response_time_seconds_sum") - run.sum()).abs() < 1e-6);
        let edges = of("plimsoll_response_time_seconds_bucket").filter(|sample| sample[2]["le"] == "0.333");
        let below: f64 = edges.map(|sample| sample[3].as_f64().unwrap()).sum();
        assert_eq!(below, run.at_or_below(333_000_000) as f64);
        assert!(
            of("plimsoll_requests_total").all(|sample| sample[0] == "counter" && sample[2]["plan"] == PLAN)
        );
        assert!(of("plimsoll_response_time_seconds_bucket").any(|sample| sample[4]["trace_id"].is_string()));
        assert_eq!(of("plimsoll_run_info").count(), usize::from(!is_over));
    }
}

#[tokio::test]
async fn a_pushgateway_takes_our_text_and_shows_the_same() {
    let (mut exporters, address) = start(None).await;
    let run = offer(&mut exporters, 3);
    let gateway = Pushgateway::start().await.unwrap();
    let (_, text) = body(&address, "").await;
    gateway.push("plimsoll", text.clone()).await.unwrap();
    let (_, shown) = body(&gateway.address(), "").await;
    let ours = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8(text.to_vec()).unwrap();
        // It adds the job, and the instance that it was not told.
        let lines = text.lines().filter(|line| line.starts_with("plimsoll_"));
        let mut lines: Vec<String> = lines
            .map(|line| {
                line.replace("instance=\"\",job=\"plimsoll\",", "")
                    .replace("{instance=\"\",job=\"plimsoll\"}", "")
            })
            .collect();
        lines.sort();
        lines
    };
    assert!(ours(&text).len() > 100);
    let prometheus = Prometheus::scraping(&gateway.address()).await.unwrap();
    let total = run.requests() as f64;
    let requests = "sum(plimsoll_requests_total{exported_job=\"plimsoll\"})";
    prometheus
        .wait_for(requests, |found| found.iter().any(|one| one.value() == Some(total)), DEADLINE)
        .await
        .unwrap();
    let bucket = "sum(plimsoll_response_time_seconds_bucket{le=\"0.333\"})";
    assert_eq!(prometheus.value(bucket).await.unwrap(), Some(run.at_or_below(333_000_000) as f64));
    assert_eq!(ours(&shown).len(), ours(&text).len(), "series for series");
    // What breaks a rule it refuses.
    let twice = [text.as_slice(), text.as_slice()].concat();
    gateway.push("plimsoll", twice).await.unwrap_err();
}

#[tokio::test]
async fn a_scraper_gets_gzip_where_it_takes_it_and_nothing_at_other_paths() {
    let (mut exporters, address) = start(None).await;
    offer(&mut exporters, 1);
    let client = http_client().unwrap();
    let get = async |path: &str, encoding: &str| {
        let url = format!("http://{address}{path}");
        client.get(url).header("accept-encoding", encoding).send().await.unwrap()
    };
    let plain = get("/metrics", "identity").await;
    assert!(plain.headers().get("content-encoding").is_none());
    let plain = plain.bytes().await.unwrap();
    // A client that decodes by itself takes the header away; the bytes tell.
    let raw = raw_get(&address, "/metrics", "Accept-Encoding: gzip\r\n").await;
    let head_end = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let (head, body) = (&raw[..head_end], &raw[head_end + 4..]);
    assert!(String::from_utf8_lossy(head).to_ascii_lowercase().contains("content-encoding: gzip"));
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut unzipped).unwrap();
    assert_eq!(unzipped, plain);
    assert_eq!(get("/healthz", "").await.status(), 200);
    assert_eq!(get("/", "").await.status(), 404);
    assert_eq!(client.post(format!("http://{address}/metrics")).send().await.unwrap().status(), 405);
}

async fn raw_get(address: &str, path: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_taken_port_is_said_before_the_run() {
    let (exporters, _) = start(None).await;
    let taken = exporters.metrics_addr().unwrap();
    let settings = ExportSettings {
        prometheus: Some(PrometheusExport { listen: taken, linger: None, keep: DEADLINE }),
        ..ExportSettings::default()
    };
    let error = Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("cannot serve /metrics at {taken}: Address already in use")),
        "{error}"
    );
}

#[tokio::test]
async fn the_endpoint_closes_at_once_when_nobody_scraped() {
    let (mut exporters, address) = start(None).await;
    let run = offer(&mut exporters, 1);
    exporters.send(&run.end());
    let before = Instant::now();
    exporters.close().await;
    assert!(before.elapsed() < Duration::from_secs(5));
    TcpStream::connect(&address).await.unwrap_err();
}

#[tokio::test]
async fn the_endpoint_stays_until_the_final_values_were_read() {
    let (mut exporters, address) = start(Some(DEADLINE)).await;
    let run = offer(&mut exporters, 1);
    body(&address, "").await;
    exporters.send(&run.end());
    let closing = tokio::spawn(exporters.close());
    let reader = tokio::spawn(async move {
        let (_, text) = body(&address, "").await;
        String::from_utf8(text).unwrap()
    });
    let text = reader.await.unwrap();
    assert!(text.contains("plimsoll_requests_total{") && !text.contains("plimsoll_run_info{"), "{text}");
    tokio::time::timeout(DEADLINE / 2, closing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_real_prometheus_reads_the_final_values_of_a_run_that_ended() {
    let (mut exporters, address) = start(None).await;
    let mut run = offer(&mut exporters, 2);
    let prometheus = Prometheus::scraping(&address).await.unwrap();
    let requests = "sum(plimsoll_requests_total)";
    let seen = |count: f64| move |found: &[Series]| found.iter().any(|one| one.value() == Some(count));
    prometheus.wait_for(requests, seen(run.requests() as f64), DEADLINE).await.unwrap();
    // Two scrapes at least, so that an interval is seen.
    wait_for(DEADLINE, "a second scrape", async || {
        let count = prometheus.value("count_over_time(plimsoll_run_validity[1m])").await?;
        if count >= Some(2.0) { Ok(()) } else { Err(anyhow::anyhow!("{count:?}")) }
    })
    .await
    .unwrap();
    let last = run.next_second(77);
    exporters.send(&last);
    exporters.send(&run.end());
    exporters.close().await;
    let total = run.requests() as f64;
    wait_for(DEADLINE, "the final value", async || {
        let stored = prometheus.value(&format!("max_over_time({requests}[1m:1s])")).await?;
        if stored == Some(total) { Ok(()) } else { Err(anyhow::anyhow!("{stored:?}")) }
    })
    .await
    .unwrap();
}
