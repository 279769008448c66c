//! `plimsoll limit` against a target whose limit is known by construction.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::BTreeSet;

use harness::{Desk, PATIENCE, Target, alone, beside_others, ends, fits_every_screen, notes};
use nix::sys::signal::Signal;
use plimsoll_testkit::{Prometheus, binary, wait_until};
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
  - {{ name: sheds load, objective: goodput_retained >= 60% }}
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
        let bounds = ["--from", "450/s", "--longest", "5s", "--looks", "1", "--cool-down", "200ms"];
        desk.plimsoll(["limit", &plan, "--json", "-"]).args(bounds).ended().await
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
    let warnings = json["warnings"].to_string();
    for left_out in ["`busy` is left out: it cannot be", "`sheds load` is left out: `--overload`"] {
        assert!(warnings.contains(left_out), "{warnings}");
    }
    assert_eq!(json["sla"], Value::Array(Vec::new()));

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

/// A service that refuses what it cannot do keeps doing what it can; what is promised of that is judged there and
/// named by any other run.
#[tokio::test]
async fn a_service_that_refuses_retains_its_throughput_under_overload() {
    let _others = beside_others().await;
    let (target, desk) = (Target::start(WORKERS.iter().chain(&["--queue", "20"])).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    let arguments = ["--from", "900/s", "--precision", "100%", "--looks", "1", "--longest", "4s"];
    let (report, markdown) = (desk.write("limit.html", ""), desk.write("limit.md", ""));
    let overload = ["--overload", "3", "--json", "-", "--report", &report, "--markdown", &markdown];
    let ended = desk.plimsoll(["limit", &plan]).args(arguments).args(overload).ended().await;
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let found = &json["overload"][0];
    let browser = fits_every_screen(&report, "limit").await;
    let drawn = "return document.querySelectorAll('figure:first-child .dot[transform], figure:first-child circle').length";
    let drawn = browser.run(drawn).await.unwrap().as_u64().unwrap();
    let measured =
        json["trials"].as_array().unwrap().iter().filter(|trial| !trial["response_time"]["p95"].is_null());
    assert_eq!(drawn, measured.count() as u64, "each trial is drawn");
    let told = std::fs::read_to_string(&markdown).unwrap();
    assert!(told.contains("## Trials") && told.contains("## Beyond the limit"), "{told}");
    let missed = json["trials"].as_array().unwrap().iter().filter_map(|trial| trial["why"].as_str());
    assert!(missed.into_iter().any(|why| why.contains("mostly status")), "{json:#}");
    // What this machine could not offer says nothing of the service, and is told.
    if found["valid"] == true {
        assert!(number(found, "/refused") > 1000.0, "{found}");
        assert!(number(found, "/goodput_retained") > 0.7, "{found}");
        assert!(number(found, "/recovery_seconds") <= 5.0, "{found}");
    }
    let promised = &json["sla"][0];
    assert_eq!((&promised["name"], &promised["target"]), (&"sheds load".into(), &0.6.into()), "{promised}");
    let (verdict, code) = if found["valid"] == true { ("met", 0) } else { ("inconclusive", 4) };
    assert_eq!((&promised["verdict"], ended.code), (&verdict.into(), code), "{promised} {}", ended.stderr);

    let promise = "sla=[{ name: sheds load, objective: goodput_retained >= 60% }]";
    let set = ["load.stages=[{ hold: 20/s, for: 1s }]", promise];
    let ended = desk.plimsoll(["run", &plan, "--json", "-"]).set(set).ended().await;
    let run: Value = serde_json::from_str(&ended.stdout).unwrap();
    ends(&ended, &run, 0);
    assert_eq!(run["sla"], Value::Array(Vec::new()), "what is not judged has no verdict");
    assert!(notes(&run).contains("`sheds load` (goodput_retained >= 60%) is not judged here"), "{run:#}");
}

/// Four workers that take 20 ms do 200 per second.
const SCALING: [&str; 6] = ["--service-workers", "4", "--latency", "fixed:20ms", "--queue", "100000"];

/// Offers a step; the verdict and the exit code that goes with it.
async fn step(desk: &Desk, plan: &str, more: &[&str]) -> (Value, i32, String) {
    let step = desk.plimsoll(["limit", plan, "--step", "100/s..300/s", "--json", "-"]);
    let ended = step.args(more).ended().await;
    let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (json["scaling"].clone(), ended.code, ended.stderr)
}

/// With an autoscaler a second replica comes after a second, and Prometheus counts them.
#[tokio::test]
async fn a_target_that_scales_settles_and_where_there_is_nothing_to_settle_like_no_step_is_made() {
    let _others = beside_others().await;
    let (scaling, fixed, other, desk) = tokio::join!(
        Target::start(SCALING.iter().chain(&["--autoscale", "1..4,60%,1s,1s"])),
        Target::start(SCALING),
        Target::start(SCALING),
        async { Desk::new() },
    );
    let prometheus = Prometheus::scraping(scaling.url().trim_start_matches("http://")).await.unwrap();
    let fleet = format!(
        "fleet: {{ url: '{}/federate?match[]=demo_replicas', metrics: [demo_replicas] }}",
        prometheus.url()
    );
    let fleet = desk.write("fleet.yaml", &plan(&scaling.url()).replace("shop: /metrics", &fleet));
    let [slow, quick, dead] = [
        ("slow.yaml", fixed.url()),
        ("quick.yaml", other.url()),
        ("dead.yaml", "http://127.0.0.1:1".to_owned()),
    ]
    .map(|(name, url)| desk.write(name, &plan(&url)));
    let (settled, missed, uncounted, unanswered) = tokio::join!(
        step(&desk, &fleet, &["--within", "20s", "--replicas", "demo_replicas"]),
        step(&desk, &slow, &["--within", "5s"]),
        step(&desk, &quick, &["--replicas", "demo_replicas"]),
        step(&desk, &dead, &["--within", "600s"]),
    );

    // What the machine could not offer is told, and changes the code alone.
    let is_trusted = |found: &Value| found["valid"] == true;
    let (found, code, said) = settled;
    let replicas = ["/replicas/before", "/replicas/after"].map(|pointer| number(&found, pointer));
    assert!(replicas[0] >= 1.0 && replicas[1] >= 2.0, "{found}");
    if is_trusted(&found) {
        assert_eq!((code, &found["kept"]), (0, &true.into()), "{said}{found}");
        assert!(number(&found, "/settled_seconds") <= 20.0 && replicas[0] == 1.0, "{found}");
    } else {
        assert_eq!(code, 4, "{said}{found}");
    }
    let (found, code, said) = missed;
    assert_eq!(
        (code, &found["kept"]),
        (if is_trusted(&found) { 3 } else { 4 }, &false.into()),
        "{said}{found}"
    );
    assert!(found["settled_seconds"].is_null() && number(&found, "/worst_seconds") > 1.0, "{found}");
    let (found, code, said) = uncounted;
    assert!(code == 2 && found.is_null() && said.contains("has a figure `demo_replicas`"), "{code} {said}");
    let (found, code, said) = unanswered;
    assert!(
        code == 5 && found.is_null() && said.contains("no step was made: nobody answered"),
        "{code} {said}"
    );
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

/// Two searches of one history at once: one is stopped, the other killed.
#[tokio::test]
async fn searches_that_are_stopped_or_killed_leave_what_they_found() {
    let _others = beside_others().await;
    let (target, desk) = (Target::start(WORKERS).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    let [stopped, killed] = [(); 2].map(|()| desk.plimsoll(["limit", &plan, "--from", "50/s"]).start());
    for search in [&stopped, &killed] {
        wait_until(PATIENCE, "the first trial", async || search.stderr().contains("kept")).await.unwrap();
    }
    stopped.signal(Signal::SIGINT);
    killed.signal(Signal::SIGKILL);
    let (stopped, killed) = tokio::join!(stopped.ended(), killed.ended());
    assert_eq!((stopped.code, killed.code), (130, -1), "{stopped:?} {killed:?}");
    assert!(stopped.stdout.contains("  at least 50.0/s"), "{}", stopped.stdout);
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let completed = listed.as_array().unwrap().iter().filter(|run| run["status"] == "completed");
    let searches: BTreeSet<_> = completed.map(|run| run["tags"]["limit"].to_string()).collect();
    assert_eq!(searches.len(), 2, "{listed:#}");
}

#[tokio::test]
async fn a_search_that_cannot_be_recorded_any_more_tells_what_it_found() {
    let _others = beside_others().await;
    let (target, desk) = (Target::start(WORKERS).await, Desk::new());
    let plan = desk.write("plan.yaml", &plan(&target.url()));
    std::fs::create_dir(desk.path("small")).unwrap();
    // The small disk exists for this one process and goes with it.
    let root = nix::unistd::geteuid().is_root();
    let call = desk.program("unshare", [if root { "-m" } else { "-rm" }, "sh", "-c"]);
    let call = call.args(["mount -t tmpfs -o size=452k none \"$0\" && exec \"$@\"", "small"]);
    let call = call.arg(binary("plimsoll").unwrap()).args(["limit", &plan, "--history", "small/history.db"]);
    let ended = call.args(["--json", "limit.json", "--from", "60/s", "--most", "480/s"]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("the disk is full"), "{}", ended.stderr);
    assert!(ended.stdout.contains("  at least "), "{}", ended.stdout);
    let json: Value = serde_json::from_str(&desk.text("limit.json")).unwrap();
    let told = json["trials"].as_array().unwrap().iter().filter(|trial| trial["kept"] == true).count();
    assert_eq!((told, &json["sure"]), (ended.stderr.matches("  kept  ").count(), &false.into()), "{json:#}");
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
