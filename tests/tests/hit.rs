//! `plimsoll hit`: a quick look is a plan, a run and a record like any other.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::time::Duration;

use harness::{Desk, Target, beside_others, requests};
use nix::sys::signal::Signal;
use serde_json::Value;

const INTERRUPTED: i32 = 130;

#[tokio::test]
async fn as_many_as_were_asked_for_are_sent_and_told() {
    let _machine = beside_others().await;
    for flags in [&["-n", "120", "-c", "7"][..], &["-n", "120", "-r", "200"], &["-n", "120", "--http2"]] {
        let target = Target::start(["--latency", "fixed:5ms"]).await;
        let desk = Desk::new();
        let url = format!("{}/products?page=1", target.url());
        let ended = desk.plimsoll(["hit", &url, "--json", "hit.json"]).args(flags).ended().await;
        assert!(matches!(ended.code, 0 | 4), "{flags:?}: {ended:?}");
        let json: Value = serde_json::from_str(&desk.text("hit.json")).unwrap();
        assert_eq!(requests(&json), 120, "{flags:?}");
        assert_eq!(target.record().await.route("GET /products"), 120, "{flags:?}");
        // What is told is what was measured over the time it took, its last answers included.
        let seconds = json["run"]["measured_seconds"].as_f64().unwrap();
        let throughput = json["totals"]["throughput"].as_f64().unwrap();
        assert!((throughput * seconds - 120.0).abs() < 1e-6, "{throughput} for {seconds}");
        assert!(ended.stdout.contains("status 200"), "{}", ended.stdout);
        assert!(ended.stdout.contains("response times up to"), "{}", ended.stdout);
        let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 1, "it is recorded like any run");
    }
}

#[tokio::test]
async fn the_plan_it_stands_for_is_the_plan_that_runs() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let url = format!("{}/cart", target.url());
    desk.write("body.json", r#"{"product": 7, "note": "${HOME} {{ user }}"}"#);
    let flags =
        ["-n", "30", "-c", "3", "-D", "body.json", "-T", "application/json", "-H", "x-who: {{ user }}"];
    let printed = desk.plimsoll(["hit", &url, "--print-plan"]).args(flags).ended().await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(target.record().await.count(), 0, "nothing is asked");
    desk.write("plan.yaml", &printed.stdout);
    let looked = desk.plimsoll(["hit", &url, "--json", "hit.json", "--quiet"]).args(flags).ended().await;
    let ran = desk.plimsoll(["run", "plan.yaml", "--json", "run.json", "--quiet"]).ended().await;
    assert_eq!((looked.code, looked.stdout.as_str()), (ran.code, ""), "{looked:?} {ran:?}");
    let json = |name: &str| serde_json::from_str::<Value>(&desk.text(name)).unwrap();
    let (looked, ran) = (json("hit.json"), json("run.json"));
    for member in ["plan", "plan_hash", "target", "model"] {
        assert_eq!(looked["run"][member], ran["run"][member], "{member}");
    }
    for member in ["requests", "succeeded", "failed", "iterations"] {
        assert_eq!(looked["totals"][member], ran["totals"][member], "{member}");
    }
}

#[tokio::test]
async fn an_interrupted_look_tells_what_was_seen_so_far() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "fixed:5ms"]).await;
    let desk = Desk::new();
    let running = desk.plimsoll(["hit", &target.url(), "-d", "10m", "-c", "4"]).start();
    target.asked(50).await;
    running.signal(Signal::SIGINT);
    let ended = running.ended_within(Duration::from_secs(20)).await;
    assert_eq!(ended.code, INTERRUPTED, "{ended:?}");
    assert!(ended.stdout.contains("interrupted") && ended.stdout.contains("status 200"), "{}", ended.stdout);
}

#[tokio::test]
async fn what_cannot_be_asked_ends_with_its_code() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let closed = format!("127.0.0.1:{}", harness::free_port());
    for (flags, code) in [
        (&[closed.as_str(), "-n", "5", "--no-history"][..], 5),
        (&["ftp://127.0.0.1/"], 2),
        (&["127.0.0.1:1", "-m", "BREW"], 2),
        (&["127.0.0.1:1", "-D", "nowhere.json"], 2),
        (&["127.0.0.1:1", "-b", "a", "-D", "b"], 2),
        (&[""], 2),
    ] {
        let ended = desk.plimsoll(["hit"]).args(flags).ended().await;
        assert_eq!(ended.code, code, "{flags:?}: {ended:?}");
    }
    assert!(!desk.path("history.db").exists(), "nothing asked for a record");
}
