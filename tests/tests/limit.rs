//! `plimsoll limit` against a target whose limit is known by construction.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, PATIENCE, Target, alone, beside_others};
use nix::sys::signal::Signal;
use plimsoll_testkit::wait_until;
use serde_json::Value;

/// Ten workers that take 20 ms each.
const WORKERS: [&str; 4] = ["--service-workers", "10", "--latency", "fixed:20ms"];
const LIMIT: f64 = 500.0;
const BUSIEST: &str = "demo_utilisation_ratio{resource=\"workers\"}";

fn plan(target: &str) -> String {
    format!(
        "
name: edge
target: {target}
load: {{ stages: [ {{ hold: 120/s, for: 40s }} ], grace: 3s }}
http: {{ timeout: 2s }}
resources: {{ shop: /metrics }}
scenarios: [ {{ name: read, steps: [ {{ name: page, get: /products/1 }} ] }} ]
sla:
  - {{ name: quick, objective: p95(response_time) <= 250ms, over: 30s }}
  - {{ name: few errors, objective: error_ratio <= 1% }}
  - {{ name: busy, objective: throughput >= 100/s }}
"
    )
}

fn number(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {json:#}"))
}

#[tokio::test]
async fn a_known_limit_is_found_with_few_requests_and_every_trial_is_on_record() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(WORKERS).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    let search = async || {
        desk.plimsoll(["limit", &plan, "--json", "-", "--longest", "6s", "--looks", "1", "--from", "240/s"])
            .ended()
            .await
    };
    let mut ended = search().await;
    if ended.code == 4 && ended.stdout.contains("\"generator\"") {
        // Others had the machine, which says nothing about the search.
        ended = search().await;
    }
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let point = &json["breaking_point"];
    for name in ["low", "high", "rate", "max_throughput"] {
        let value = number(point, &format!("/{name}"));
        assert!((value / LIMIT - 1.0).abs() <= 0.03, "{name} is {value}: {}", ended.stderr);
    }
    assert!(number(point, "/low") < number(point, "/high"));
    assert_eq!((&point["side"], &point["resource"]), (&"resource".into(), &BUSIEST.into()), "{point}");
    assert!(point["first_symptom"].as_str().unwrap().contains("queue grows"), "{point}");
    assert!(number(&json, "/requests") < number(&json, "/ramp_requests") / 3.0, "{json:#}");
    assert!(json["warnings"][0].as_str().unwrap().starts_with("`busy` is left out"), "{json:#}");

    let tag = format!("limit={}", json["id"].as_str().unwrap());
    let listed = desk.plimsoll(["runs", "list", "--tag", &tag, "--json", "-"]).ended().await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let runs = listed["runs"].as_array().or(listed.as_array()).unwrap();
    let trials = json["trials"].as_array().unwrap();
    assert_eq!(runs.len(), trials.len(), "{listed:#}");
    assert!(runs.iter().all(|run| run["status"] == "completed"), "{listed:#}");
    let sent: f64 = trials.iter().map(|trial| number(trial, "/requests")).sum();
    assert!(
        target.record().await.count() as f64 >= sent,
        "the target was asked at least what the trials say"
    );
}

/// A service that refuses what it cannot do keeps doing what it can.
#[tokio::test]
async fn a_service_that_refuses_retains_its_throughput_under_overload() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(WORKERS.iter().chain(&["--queue", "20"])).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    let arguments = ["--from", "240/s", "--precision", "10%", "--looks", "1", "--longest", "6s"];
    let overload = ["--overload", "3", "--goodput-retained", "70%", "--json", "-"];
    let ended = desk.plimsoll(["limit", &plan]).args(arguments).args(overload).ended().await;
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let found = &json["overload"][0];
    assert!(json["breaking_point"]["first_symptom"].as_str().unwrap().contains("status"), "{json:#}");
    assert!(number(found, "/refused") > 1000.0, "{found}");
    assert!(number(found, "/goodput_retained") > 0.7, "{found}");
    assert!(number(found, "/recovery_seconds") <= 5.0, "{found}");
    assert!(ended.code == 0 || found["valid"] == false, "{ended:?}");
}

/// Four workers that take 20 ms do 200 per second, and a second replica comes after a second.
#[tokio::test]
async fn a_target_that_scales_settles_and_one_that_does_not_is_missed() {
    let _machine = alone().await;
    for (more, within, code) in [(&["--autoscale", "1..4,60%,1s,1s"][..], "20s", 0), (&[], "5s", 3)] {
        let workers = ["--service-workers", "4", "--latency", "fixed:20ms", "--queue", "100000"];
        let (target, desk) = (Target::start(workers.iter().chain(more)).await, Desk::new());
        let plan = plan(&target.url()).replace("/metrics", "{ url: /metrics, metrics: [demo_replicas] }");
        let plan = desk.write("plan.yaml", &plan);
        let step =
            ["--step", "100/s..300/s", "--within", within, "--replicas", "demo_replicas", "--json", "-"];
        let ended = desk.plimsoll(["limit", &plan]).args(step).ended().await;
        let json: Value = serde_json::from_str(&ended.stdout).unwrap();
        let found = &json["scaling"];
        assert_eq!(ended.code, code, "{more:?}: {}{found}", ended.stderr);
        assert_eq!(found["kept"], code == 0, "{found}");
        if code == 0 {
            let replicas = ["/replicas/before", "/replicas/after"].map(|pointer| number(found, pointer));
            assert!(number(found, "/settled_seconds") <= 20.0, "{found}");
            assert!(replicas[0] == 1.0 && replicas[1] >= 2.0, "{found}");
        } else {
            assert!(found["settled_seconds"].is_null() && number(found, "/worst_seconds") > 1.0, "{found}");
        }
    }
}

#[tokio::test]
async fn where_nobody_answers_there_is_no_limit() {
    let _others = beside_others().await;
    let desk = Desk::new();
    let plan = desk.write("plan.yaml", &plan("http://127.0.0.1:1"));
    let ended = desk.plimsoll(["limit", &plan, "--cool-down", "10ms"]).ended().await;
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stdout.contains("mostly connect"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_search_that_is_interrupted_says_what_it_knows() {
    let _others = beside_others().await;
    let (target, desk) = (Target::start(WORKERS).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    let search = desk.plimsoll(["limit", &plan]).start();
    wait_until(PATIENCE, "the first trial", async || search.stderr().contains("kept")).await.unwrap();
    search.signal(Signal::SIGINT);
    let ended = search.ended().await;
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.stdout.contains("at least 120.0/s"), "{}", ended.stdout);
}

#[tokio::test]
async fn bounds_that_make_no_search_are_refused() {
    let _others = beside_others().await;
    let desk = Desk::new();
    let plan = desk.write("plan.yaml", &plan("http://127.0.0.1:1"));
    for (arguments, words) in [
        (["--from", "100/s", "--most", "10/s"], "is below the first load"),
        (["--from", "0", "--most", "10"], "write a load above 0"),
        (["--precision", "0%", "--looks", "1"], "from 0.1% to 100%"),
        (["--longest", "1500ms", "--looks", "1"], "whole seconds"),
    ] {
        let ended = desk.plimsoll(["limit", &plan]).args(arguments).ended().await;
        assert!(ended.code == 2 && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
    }
}
