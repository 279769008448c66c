//! The file of samples, held against the figures of the same run.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::BTreeMap;

use harness::{Desk, Target, beside_others, ends, requests};
use serde_json::Value;

/// Every kind of row: setup, warm-up, redirects, failures, two scenarios, teardown, and what is cut.
const PLAN: &str = "
name: samples
target: http://127.0.0.1:1
load: { warmup: 1s, stages: [ { hold: 150/s, for: 4s } ], grace: 1s }
http: { timeout: 20s }
setup: [ { name: begin, get: /health } ]
teardown: [ { name: end, get: /health } ]
trace: { share: 10% }
samples: { file: out/requests.csv }
scenarios:
  - name: browse
    weight: 80
    steps:
      - { name: 'a page, \"any\"', get: /products }
      - { name: moved, get: '/redirect?n=2' }
  - name: fail
    weight: 19
    steps: [ { name: broken, get: /status/503 } ]
  - name: hang
    weight: 1
    steps: [ { name: never, get: /latency/600000 } ]
";

fn rows(desk: &Desk, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = desk.text(name);
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
}

/// How many rows have this in a column, by what another has.
fn counts(rows: &[BTreeMap<String, String>], by: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row[by].clone()).or_default() += 1);
    counts
}

#[tokio::test]
async fn with_every_request_in_it_the_file_has_the_sums_of_the_run() {
    let _machine = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let ended = desk.run(PLAN).set([target.setting()]).ended().await;
    let json = desk.json();
    let rows = rows(&desk, "out/requests.csv");
    assert_eq!(json["samples"], serde_json::json!({ "written": rows.len(), "skipped": 0 }), "{ended:?}");
    assert!(ended.stdout.contains("requests written, 0 skipped"), "{}", ended.stdout);

    let cut = harness::sum(&json["phases"], "cut");
    assert!(cut > 0, "somebody hangs: {}", json["phases"]);
    assert_eq!(rows.len() as u64, requests(&json), "every request of every phase, cut ones included");
    let phases: BTreeMap<String, u64> = json["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| (phase["phase"].as_str().unwrap().to_owned(), phase["requests"].as_u64().unwrap()))
        .filter(|(_, requests)| *requests > 0)
        .collect();
    assert_eq!(counts(&rows, "phase"), phases);
    assert_eq!(counts(&rows, "outcome").get("cut"), Some(&cut));

    let measured: Vec<_> = rows.iter().filter(|row| row["phase"] == "measured").cloned().collect();
    let steps = counts(&measured, "step");
    for step in json["steps"].as_array().unwrap() {
        let name = step["step"].as_str().unwrap();
        if ["begin", "end"].contains(&name) {
            continue;
        }
        assert_eq!(steps.get(name).copied(), step["requests"].as_u64(), "{name}: {steps:?}");
    }
    let bytes = |column: &str| measured.iter().map(|row| row[column].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(json["totals"]["received_bytes"].as_u64(), Some(bytes("received_bytes")));
    assert_eq!(json["totals"]["sent_bytes"].as_u64(), Some(bytes("sent_bytes")));

    let counted = measured.iter().filter(|row| ["ok", "timeout"].contains(&row["outcome"].as_str()));
    let times: Vec<f64> = counted.map(|row| row["response_time"].parse().unwrap()).collect();
    assert_eq!(json["response_time"]["count"].as_u64(), Some(times.len() as u64));
    let largest = times.iter().copied().fold(0.0, f64::max);
    let told = json["response_time"]["max"].as_f64().unwrap();
    assert!((largest - told).abs() < 1e-6, "{largest} and {told}");

    // Each worker draws for itself, each to less than one.
    let traced: Vec<_> =
        rows.iter().filter(|row| row["sampled"] == "true").map(|row| &row["trace_id"]).collect();
    let traces: std::collections::BTreeSet<_> = traced.into_iter().collect();
    let all: std::collections::BTreeSet<_> = rows.iter().map(|row| &row["trace_id"]).collect();
    let (sampled, share) = (traces.len() as f64, all.len() as f64 * 0.1);
    assert!((sampled - share).abs() <= 8.0, "{sampled} of {}", all.len());
}

#[tokio::test]
async fn a_slow_target_fills_a_file_of_the_slow() {
    let _machine = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:1ms"]).await);
    let plan = "
name: slow
target: http://127.0.0.1:1
load: { stages: [ { hold: 20/s, for: 2s } ] }
samples: { file: slow.ndjson, slower_than: 500ms }
scenarios: [ { name: all, steps: [ { name: quick, get: /products }, { name: slow, get: /latency/700 } ] } ]
";
    let ended = desk.run(plan).set([target.setting()]).ended().await;
    ends(&ended, &desk.json(), 0);
    let text = desk.text("slow.ndjson");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let slow = rows.iter().filter(|row| row["step"] == "slow").count();
    assert_eq!(slow, 40);
    assert!(rows.iter().all(|row| row["response_time"].as_f64().unwrap() > 0.5), "nothing else: {text}");
    assert_eq!(rows[0]["trace_id"], Value::Null, "no trace was asked for");
    assert_eq!(desk.json()["samples"]["written"], rows.len());
}

#[tokio::test]
async fn a_file_with_something_in_it_ends_the_command_before_any_load() {
    let _machine = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:1ms"]).await);
    std::fs::create_dir(desk.path("out")).unwrap();
    desk.write("out/requests.csv", "precious");
    let ended = desk.run(PLAN).set([target.setting()]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("out/requests.csv exists and is not empty"), "{}", ended.stderr);
    assert_eq!(desk.text("out/requests.csv"), "precious");
    assert_eq!(target.record().await.count(), 0);
}
