//! What a target and its machine use, beside the load: the demo target, its process, this machine, and an
//! endpoint that is none of ours.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, PATIENCE, Target, beside_others, ends, free_port, notes, root};
use plimsoll_testkit::{Authority, Prometheus, wait_for};
use serde_json::Value;

const PLAN: &str = r#"
name: watched
target: http://127.0.0.1:1
load:
  warmup: 1s
  stages: [ { hold: 100/s, for: 6s } ]
scenarios: [ { name: main, steps: [ { name: home, get: / } ] } ]
resources:
  shop: { url: /metrics, metrics: [ demo_busy_seconds_total, demo_requests_total ] }
  local: { pid: 1 }
  machine: host
  prometheus: http://127.0.0.1:1/metrics
  gone: { url: 'http://ann:hush-hush@127.0.0.1:1/metrics?key=${secret:HUSH}', interval: 2s }
sla:
  - { name: small, objective: 'max(shop.memory) <= 4GB' }
  - { name: in windows, objective: 'p50(machine.cpu_ratio) <= 100%', over: 3s, severity: warning }
  - { name: too large, objective: 'last(shop.memory) < 1MB', severity: warning }
  - { name: by its labels, objective: 'mean(shop.demo_utilisation_ratio{resource="pool"}) <= 90%', severity: warning }
  - { name: never seen, objective: 'max(gone.heap) <= 1GB', severity: warning }
  - { name: no leak, objective: 'leak(shop.memory) = none', severity: warning }
"#;

/// What is promised of resources is judged by the figures that the run tells of them.
fn promises(json: &Value) {
    let promise = |name: &str| {
        let found = json["sla"].as_array().unwrap().iter().find(|objective| objective["name"] == name);
        found.unwrap_or_else(|| panic!("{:#}", json["sla"])).clone()
    };
    let verdicts = ["small", "in windows", "too large", "by its labels", "never seen", "no leak"]
        .map(|name| promise(name)["verdict"].as_str().unwrap().to_owned());
    let expected = ["met", "met", "missed", "met", "inconclusive", "inconclusive"];
    assert_eq!(verdicts, expected, "{:#}", json["sla"]);
    let small = promise("small");
    assert_eq!(small["observed"], figure(json, "shop", "memory")["peak"]);
    assert_eq!(small["target"], 4e9);
    let why = |name| promise(name)["why"].as_str().unwrap().to_owned();
    assert!(why("never seen").ends_with(" found no `gone.heap`"), "{}", why("never seen"));
    assert!(why("no leak").starts_with("too short to tell: "), "{}", why("no leak"));
}

/// A member of a figure of a run.
fn figure<'r>(run: &'r Value, source: &str, name: &str) -> &'r Value {
    let mut all = run["resources"].as_array().unwrap().iter();
    all.find(|figure| figure["source"] == source && figure["name"] == name)
        .unwrap_or_else(|| panic!("no {name} of {source} in {:#}", run["resources"]))
}

fn mean(run: &Value, source: &str, name: &str) -> f64 {
    figure(run, source, name)["mean"].as_f64().unwrap()
}

#[tokio::test]
async fn a_run_knows_what_its_target_and_others_use() {
    let _machine = beside_others().await;
    let address = format!("127.0.0.1:{}", free_port());
    // Each request takes 8 ms of one of four workers, a quarter of them at the pool.
    let flags = ["--latency", "fixed:8ms", "--service-workers", "4", "--pool", "2,25%"];
    let (target, prometheus) = tokio::join!(Target::start(flags), Prometheus::scraping(&address));
    let prometheus = prometheus.unwrap();
    let desk = Desk::new();
    let port = target.url().rsplit_once(':').unwrap().1.to_owned();
    let set = [
        target.setting(),
        format!("resources.local={{ port: {port} }}"),
        format!(
            "resources.prometheus={{ url: '{}/metrics', metrics: [go_goroutines, prometheus_http_requests_total] }}",
            prometheus.url()
        ),
        format!("export.prometheus={{ listen: '{address}', linger: 30s }}"),
    ];
    let run = desk.run(PLAN).set(set).env("HUSH", "hush-hush");
    let ended = run.args(["--report", &desk.path("run.html").display().to_string()]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);

    let schema = std::fs::read_to_string(root().join("crates/report/schema/run.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(validator.is_valid(&json), "{:#}", json["resources"]);

    // Two ways of looking at one process see the same: one by its own word, one by the kernel's.
    for (name, apart) in [("cpu", 0.2), ("memory", 4e6), ("open_fds", 4.0)] {
        let (own, kernels) = (mean(&json, "shop", name), mean(&json, "local", name));
        assert!((own - kernels).abs() < apart, "{name}: {own} and {kernels}");
    }
    let shares = ["machine", "local"].map(|source| mean(&json, source, "cpu_ratio"));
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    assert!(mean(&json, "machine", "memory_available") > 1e6 && mean(&json, "machine", "run_queue") >= 1.0);
    // A program of others, written in another language.
    assert!(mean(&json, "prometheus", "memory") > 1e7 && mean(&json, "prometheus", "cpu") < 64.0);
    assert!(mean(&json, "prometheus", "go_goroutines") >= 2.0);
    assert!(mean(&json, "prometheus", "open_fds") >= 3.0);
    let unit = |source, name| figure(&json, source, name)["unit"].as_str().unwrap().to_owned();
    assert_eq!((unit("shop", "cpu"), unit("prometheus", "go_goroutines")), ("cores".into(), "count".into()));

    promises(&json);
    assert!(desk.text("run.html").contains("max(shop.memory) &lt;= 4GB"));

    // As many seconds as were measured, as far as scrapes were in time; what is known of the model is seen.
    let workers = r#"demo_busy_seconds_total{resource="workers"}"#;
    let count = figure(&json, "shop", workers)["count"].as_u64().unwrap();
    assert!((3..=6).contains(&count), "{count}");
    if json["validity"]["verdict"] == "valid" {
        assert!((mean(&json, "shop", workers) - 0.6).abs() < 0.1, "{:#}", json["resources"]);
        let pool = mean(&json, "shop", r#"demo_utilisation_ratio{resource="pool"}"#);
        assert!((pool - 0.1).abs() < 0.03, "{pool}");
    }

    let gone = json["resource_sources"].as_array().unwrap().iter().find(|source| source["source"] == "gone");
    let gone = gone.unwrap();
    assert!(gone["gaps"].as_u64() >= Some(2) && gone["gaps"] == gone["scrapes"], "{gone}");
    assert_eq!(notes(&json).matches("resource `gone` could not be scraped").count(), 1, "{}", notes(&json));
    let told: Vec<&str> = ended.stdout.split_whitespace().collect();
    assert!(told.join(" ").contains("; shop cpu 0."), "{}", ended.stdout);
    assert!(desk.text("run.html").contains("Resources: processors kept busy"));
    let everything = format!("{json}{ended:?}{}{:?}", desk.text("run.html"), desk.events().await.0);
    assert!(!everything.contains("hush-hush"), "what is secret is in no result");

    for call in [["runs", "show", "last"], ["runs", "replay", "last"]] {
        let again = desk.plimsoll(call).args(["--json", "-"]).ended().await;
        assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), json, "{call:?}");
    }
    wait_for(PATIENCE, "the resources in Prometheus", async || {
        let query = "max_over_time(plimsoll_resource{plan='watched',source='shop',resource='memory',unit='bytes'}[1h])";
        match prometheus.value(query).await.map_err(|error| error.to_string())? {
            Some(bytes) if bytes > 1e6 => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_demo_target_has_the_limit_of_its_formula() {
    let _machine = beside_others().await;
    let plan = "
name: limit
target: http://127.0.0.1:1
load:
  model: closed
  warmup: 1s
  stages: [ { hold: 200 users, for: 5s } ]
scenarios: [ { name: main, steps: [ { name: home, get: / } ] } ]
";
    // So many users that some wait for a worker even while the machine stands still for half a second.
    // 8 / (0.75 x 20 ms x (1 + 0.1 x 7 + 0.002 x 8 x 7)) and 3 / (0.25 x 20 ms); the pool could do 600.
    let expected = 8.0 / (0.015 * (1.0 + 0.7 + 0.112));
    let flags = "--latency fixed:20ms --service-workers 8 --contention 10% --coherency 0.2% --pool 3,25%";
    let throughput = async || {
        let target = Target::start(flags.split(' ')).await;
        let desk = Desk::new();
        let ended = desk.run(plan).set([target.setting()]).ended().await;
        let json = desk.json();
        assert!([0, 4].contains(&ended.code), "{}", ended.stderr);
        json["totals"]["throughput"].as_f64().unwrap()
    };
    // A machine that stands still takes something away and never adds: the best of some tries is the limit.
    let mut found = Vec::new();
    while found.len() < 4 && found.iter().all(|found| *found < 0.97 * expected) {
        found.push(throughput().await);
    }
    let best = found.iter().copied().fold(0.0, f64::max);
    assert!((best / expected - 1.0).abs() < 0.03, "{found:?}, expected {expected}");
}

/// Prometheus' text is asked for under the same `tls` as everything else of a plan.
#[tokio::test]
async fn resources_are_asked_over_tls_as_the_plan_says() {
    let _machine = beside_others().await;
    let (authority, others) = (Authority::new().unwrap(), Authority::new().unwrap());
    let desk = Desk::new();
    let folder = desk.path("");
    authority.issue_into(&folder, &["shop.test"]).unwrap();
    let stranger = desk.write("stranger.pem", &others.pem());
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| desk.path(name).display().to_string());
    let target = Target::start(["--tls-cert", &cert, "--tls-key", &key]).await;
    let plan = "
name: encrypted
target: http://127.0.0.1:1
load: { stages: [ { hold: 20/s, for: 2s } ] }
scenarios: [ { name: main, steps: [ { name: home, get: / } ] } ]
resources: { shop: /metrics }
";
    for (tls, code, why) in [
        (format!("tls={{ ca: {ca}, server_name: shop.test }}"), 0, ""),
        ("tls={ insecure: true }".to_owned(), 0, ""),
        (format!("tls={{ ca: {ca} }}"), 5, "not valid for name"),
        (format!("tls={{ ca: {stranger}, server_name: shop.test }}"), 5, "invalid peer certificate"),
    ] {
        let ended = desk.run(plan).set([&target.setting().replace("http:", "https:"), &tls]).ended().await;
        let run = desk.json();
        ends(&ended, &run, code);
        if code == 0 {
            assert!(mean(&run, "shop", "memory") > 1e6, "{tls}");
        } else {
            let told = notes(&run);
            assert!(told.contains("`shop` could not be scraped") && told.contains(why), "{tls}: {told}");
        }
    }
}

/// A program in Go, profiled by its own runtime.
#[tokio::test]
async fn profiles_of_a_go_program_are_read() {
    let _machine = beside_others().await;
    let prometheus = Prometheus::scraping(&format!("127.0.0.1:{}", free_port())).await.unwrap();
    let desk = Desk::new();
    for (profile, kind, unit) in [
        ("heap", "inuse_space", "bytes"),
        ("allocs", "alloc_space", "bytes"),
        ("goroutine", "goroutine", "count"),
        ("profile?seconds=1", "cpu", "nanoseconds"),
    ] {
        let url = format!("{}/debug/pprof/{profile}", prometheus.url());
        let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        let file = desk.path("profile.pb.gz");
        std::fs::write(&file, &bytes).unwrap();
        let (file, svg) = (file.display().to_string(), desk.path("flame.svg").display().to_string());
        let ended = desk.plimsoll(["profile", "top", &file, "--json", "-", "--svg", &svg]).ended().await;
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((told["kind"].as_str(), told["unit"].as_str()), (Some(kind), Some(unit)), "{profile}");
        let functions = told["functions"].as_array().unwrap();
        let own: i64 = functions.iter().map(|function| function["flat"].as_i64().unwrap()).sum();
        // A goroutine that is just beginning or ending has no stack.
        let (total, without) = (told["total"].as_i64().unwrap(), if kind == "goroutine" { 3 } else { 0 });
        assert!((0..=without).contains(&(total - own)), "each stack ends in one function: {own} of {total}");
        if kind == "cpu" {
            let seconds = told["duration_seconds"].as_f64().unwrap();
            assert!((0.9..60.0).contains(&seconds), "{seconds}");
        } else {
            assert!(
                own > 0
                    && functions
                        .iter()
                        .any(|function| function["name"] == "runtime.main"
                            || function["name"] == "runtime.gopark"),
                "{told:#}"
            );
        }
        assert!(desk.text("flame.svg").starts_with("<svg "));
        let same = desk.plimsoll(["profile", "diff", &file, &file, "--json", "-"]).ended().await;
        let same: Value = serde_json::from_str(&same.stdout).unwrap();
        assert_eq!((same["total"].as_i64(), same["functions"].as_array().map(Vec::len)), (Some(0), Some(0)));
        // A file that was cut short is no profile.
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let cut = desk.plimsoll(["profile", "top", &file]).ended().await;
        assert_eq!(cut.code, 2, "{}", cut.stderr);
        assert!(cut.stderr.contains("cannot be unpacked"), "{}", cut.stderr);
    }
}
