//! Profiles that a run fetches of its target: a program in Go, profiled by its own runtime.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Target, beside_others, ends, free_port, notes, root};
use plimsoll_testkit::Prometheus;
use serde_json::Value;

const PLAN: &str = "
name: profiled
target: http://127.0.0.1:1
load:
  warmup: 1s
  stages: [ { hold: 50/s, for: 2s }, { hold: 100/s, for: 3s } ]
scenarios: [ { name: main, steps: [ { name: home, get: / } ] } ]
sla: [ { name: impossible, objective: 'p95(response_time) <= 100us', over: 2s } ]
";

#[tokio::test]
async fn a_run_fetches_profiles_at_its_moments() {
    let _machine = beside_others().await;
    let address = format!("127.0.0.1:{}", free_port());
    let (target, prometheus) =
        tokio::join!(Target::start(["--latency", "fixed:1ms"]), Prometheus::scraping(&address));
    let prometheus = prometheus.unwrap();
    let desk = Desk::new();
    let (url, folder) = (prometheus.url(), desk.path("profiles/of/run"));
    let take = [
        format!("{{ kind: heap, url: '{url}/debug/pprof/heap', at: [start, peak, breach, end] }}"),
        format!("{{ kind: cpu, url: '{url}/debug/pprof/profile', for: 1s, at: end }}"),
        format!("{{ kind: goroutine, url: '{url}/debug/pprof/goroutine', at: peak }}"),
        // Neither gives out a profile.
        format!("{{ kind: block, url: '{url}/metrics', at: start }}"),
        "{ kind: mutex, url: 'http://ann:hush-hush@127.0.0.1:1/mutex?key=${secret:HUSH}', at: start }"
            .to_owned(),
    ];
    let set = [
        target.setting(),
        format!("profiles={{ folder: '{}', take: [{}] }}", folder.display(), take.join(",")),
    ];
    let run = desk.run(PLAN).set(set).env("HUSH", "hush-hush");
    let report = [("--report", "run.html"), ("--markdown", "run.md")];
    let report = report.map(|(flag, name)| [flag.to_owned(), desk.path(name).display().to_string()]);
    let ended = run.args(report.concat()).ended().await;
    let json = desk.json();
    // Only the objective fails it.
    ends(&ended, &json, 3);

    let schema = std::fs::read_to_string(root().join("crates/report/schema/run.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(validator.is_valid(&json), "{:#}", json["profiles"]);

    let taken = json["profiles"].as_array().unwrap();
    let mut which: Vec<_> = taken
        .iter()
        .map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["moment"].as_str().unwrap()))
        .collect();
    which.sort();
    let expected = ["cpu end", "goroutine peak", "heap breach", "heap end", "heap peak", "heap start"];
    assert_eq!(which, expected, "{}", notes(&json));
    for one in taken {
        let file = one["file"].as_str().unwrap();
        assert!(file.starts_with(folder.to_str().unwrap()), "{file}");
        assert_eq!(std::fs::metadata(file).unwrap().len(), one["bytes"].as_u64().unwrap());
        let at = one["at"].as_f64().unwrap();
        match one["moment"].as_str().unwrap() {
            // The second stage begins.
            "peak" => assert!(at >= 2.0, "{one}"),
            "end" => assert!(at >= if one["kind"] == "cpu" { 4.0 } else { 4.9 }, "{one}"),
            "breach" => assert_eq!(one["objective"], "impossible"),
            _ => assert_eq!(one["objective"], Value::Null),
        }
        // What the run shows is what the file says.
        let own = desk.plimsoll(["profile", "top", file, "--json", "-"]).ended().await;
        let own: Value = serde_json::from_str(&own.stdout).unwrap();
        assert_eq!(
            (&own["total"], &own["kind"], &own["unit"]),
            (&one["total"], &one["counted"], &one["unit"])
        );
        let top = one["top"].as_array().unwrap();
        assert_eq!(top[..], own["functions"].as_array().unwrap()[..top.len()]);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), taken.len(), "what is no profile is not kept");

    let notes = notes(&json);
    assert!(
        notes.contains("profile block at start was not taken: it is no profile in pprof's format"),
        "{notes}"
    );
    assert!(notes.contains("profile mutex at start was not taken: "), "{notes}");
    let (page, markdown) = (desk.text("run.html"), desk.text("run.md"));
    assert!(
        page.contains("Profile: heap when `impossible` was missed") && page.contains("Flame graph: heap")
    );
    assert!(markdown.contains("## Profiles"), "{markdown}");
    let everything = format!("{json}{ended:?}{page}{markdown}{:?}", desk.events().await.0);
    assert!(!everything.contains("hush-hush"), "what is secret is in no result");

    for call in [["runs", "show", "last"], ["runs", "replay", "last"]] {
        let again = desk.plimsoll(call).args(["--json", "-"]).ended().await;
        assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), json, "{call:?}");
    }
}
