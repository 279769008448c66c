//! Values of a plan's own, from the reply to every place that tells them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::collections::BTreeMap;

use harness::{Desk, PATIENCE, Target, beside_others, ends, free_port, verdict};
use plimsoll_testkit::{InfluxDb, http_client, wait_for};
use serde_json::{Value, json};

/// The target says how late it was asked to be, and echoes rows and hits. Names need escaping everywhere.
const PLAN: &str = r#"
name: 'sums, "all" \ of = them é'
target: http://127.0.0.1:1
load: { warmup: 1s, stages: [ { hold: 40/s, for: 3s } ], grace: 2s }
measure:
  size: { body: size, as: histogram }
scenarios:
  - name: 'a "shop", \d'
    steps:
      - name: 'late, "as" \ asked = {}'
        get: /latency/20
        measure: { app_time: { header: server-timing, metric: app, as: histogram } }
      - name: first
        post: /echo
        json: { rows: 3, hit: 'yes' }
        measure: &echoed
          rows: { jsonpath: $.rows, as: counter }
          hit: { jsonpath: $.hit, equals: 'yes', as: ratio }
          weight: { jsonpath: $.rows, as: counter, unit: bytes }
      - { name: second, post: /echo, json: { rows: 4, hit: 'no' }, measure: *echoed }
      - { name: third, post: /echo, json: { rows: 1.5 }, measure: *echoed }
sla:
  - { name: quick inside, objective: 'p95(app_time) <= 25ms', over: 1s }
  - { name: rows flow, objective: 'rate(rows) >= 1/s' }
  - { name: hits, objective: 'ratio(hit) >= 90%' }
"#;

/// How many rows the echoes say, by step. The last one says none: that of a half is no whole number.
const ECHOES: [(&str, u64); 3] = [("first", 3), ("second", 4), ("third", 0)];

fn measure<'r>(run: &'r Value, name: &str) -> &'r Value {
    run["measures"].as_array().unwrap().iter().find(|measure| measure["name"] == name).unwrap()
}

/// Requests of each step in the measured phases.
fn requests(run: &Value) -> BTreeMap<String, u64> {
    let steps = run["steps"].as_array().unwrap().iter();
    steps
        .map(|step| (step["step"].as_str().unwrap().to_owned(), step["requests"].as_u64().unwrap()))
        .collect()
}

/// The sum over all phases but warm-up of the series of a line of `/metrics` with this beginning.
fn scraped(metrics: &str, series: &str, labels: &[&str]) -> f64 {
    let lines = metrics.lines().filter(|line| {
        line.starts_with(&format!("{series}{{"))
            && !line.contains("phase=\"warmup\"")
            && labels.iter().all(|label| line.contains(label))
    });
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn values_of_replies_are_the_same_wherever_they_are_told() {
    let _machine = beside_others().await;
    let (target, influx) = tokio::join!(Target::start(["--latency", "none"]), InfluxDb::start());
    let (influx, desk) = (influx.unwrap(), Desk::new());
    let address = format!("127.0.0.1:{}", free_port());
    let run = desk.run(PLAN).set([
        target.setting(),
        format!("export.prometheus={{ listen: '{address}', linger: 60s }}"),
        format!(
            "export.influxdb={{ url: '{}', org: '{}', bucket: '{}', token: '{}' }}",
            influx.url(),
            influx.organisation(),
            influx.bucket(),
            influx.token()
        ),
        "export.file={ path: live.ndjson }".to_owned(),
    ]);
    let running = run.start();
    let json: Value = wait_for(PATIENCE, "the result", async || {
        let text = std::fs::read_to_string(desk.path("run.json")).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    // Until now nobody has scraped it, so it waits for this.
    let metrics = http_client().unwrap().get(format!("http://{address}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let ended = running.ended().await;
    ends(&ended, &json, 3);

    let told = |name: &str| json["sla"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(
        ["quick inside", "rows flow", "hits"].map(|name| verdict(&json, name)),
        ["met", "met", "missed"]
    );
    assert_eq!(told("hits")["observed"], 0.5);
    assert!(ended.stdout.contains("✗ missed       hits  ratio(hit) >= 90%\n"), "{}", ended.stdout);

    let requests = requests(&json);
    let of = |step: &str| requests[step];
    let late = r#"late, "as" \ asked = {}"#;
    assert!(requests.len() == 4 && requests.values().all(|count| *count > 50), "{requests:?}");

    let why = format!(
        "ratio(hit) was 50% ({} of {}) where at least 90% was promised, and {} replies had no value",
        of("first"),
        of("first") + of("second"),
        of("third")
    );
    assert_eq!(told("hits")["why"], why);

    let app_time = measure(&json, "app_time");
    assert_eq!((app_time["count"].as_u64(), &app_time["absent"]), (Some(of(late)), &json!(0)));
    let values = &app_time["values"];
    assert_eq!((&values["min"], &values["max"], &values["mean"]), (&json!(0.02), &json!(0.02), &json!(0.02)));
    assert!((values["p95"].as_f64().unwrap() / 0.02 - 1.0).abs() < 0.001, "{values}");

    let rows: u64 = ECHOES.iter().map(|(step, rows)| of(step) * rows).sum();
    let with_rows = of("first") + of("second");
    let counter = measure(&json, "rows");
    assert_eq!(counter["total"], rows);
    assert_eq!((&counter["count"], &counter["absent"]), (&json!(with_rows), &json!(of("third"))));
    assert_eq!(measure(&json, "weight")["total"], rows);
    let ratio = measure(&json, "hit");
    assert_eq!((&ratio["total"], &ratio["count"]), (&json!(of("first")), &json!(with_rows)));
    assert_eq!(measure(&json, "size")["count"], requests.values().sum::<u64>());

    let named = |measure: &str| format!("measure=\"{measure}\"");
    let value = |series: &str, measure: &str| scraped(&metrics, series, &[&named(measure)]);
    assert_eq!(value("plimsoll_measure_seconds_count", "app_time"), of(late) as f64);
    assert_eq!(value("plimsoll_measure_bytes_count", "size"), requests.values().sum::<u64>() as f64);
    let size = measure(&json, "size");
    let sum = size["count"].as_f64().unwrap() * size["values"]["mean"].as_f64().unwrap();
    assert!((value("plimsoll_measure_bytes_sum", "size") - sum).abs() < 0.001, "{sum} bytes");
    assert_eq!(value("plimsoll_measure_amount_total", "rows"), rows as f64);
    assert_eq!(value("plimsoll_measure_amount_bytes_total", "weight"), rows as f64);
    assert_eq!(value("plimsoll_measure_ratio_good_total", "hit"), of("first") as f64);
    assert_eq!(value("plimsoll_measure_ratio_events_total", "hit"), with_rows as f64);
    assert_eq!(value("plimsoll_measure_missing_total", "rows"), of("third") as f64);
    let escaped = [r#"step="late, \"as\" \\ asked = {}""#, r#"plan="sums, \"all\" \\ of = them é""#];
    assert_eq!(scraped(&metrics, "plimsoll_measure_seconds_count", &escaped), of(late) as f64);

    let id = json["run"]["id"].as_str().unwrap();
    let stored = async |measurement: &str, measure: &str| {
        let query = format!(
            "SELECT sum(count) FROM {measurement} WHERE run = '{id}' AND phase != 'warmup' AND measure = '{measure}' \
             GROUP BY step"
        );
        let rows = influx.query(&query).await.unwrap();
        rows.iter()
            .map(|row| (row.tags["step"].clone(), row.columns["sum"].as_f64().unwrap() as u64))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        stored("plimsoll_measure", "app_time").await,
        BTreeMap::from([(late.replace('\\', "/"), of(late))])
    );
    let expected = ECHOES.map(|(step, rows)| (step.to_owned(), of(step) * rows));
    assert_eq!(stored("plimsoll_measure_amount", "rows").await, BTreeMap::from(expected));
    assert_eq!(stored("plimsoll_measure_ratio_good", "hit").await.values().sum::<u64>(), of("first"));

    // The record tells the same again, to people, programs and sinks.
    let shown = desk.plimsoll(["runs", "show", "last"]).ended().await;
    assert!(shown.stdout.contains("app_time: mean 20.0 ms"), "{}", shown.stdout);
    for call in [["runs", "show", "last"], ["runs", "replay", "last"], ["report", "last", "--quiet"]] {
        let arguments = call.into_iter().filter(|argument| *argument != "--quiet");
        let again = desk.plimsoll(arguments).args(["--json", "-"]).ended().await;
        assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), json, "{call:?}");
    }
    let elsewhere =
        desk.write("again.yaml", &format!("{PLAN}export: {{ file: {{ path: again.ndjson }} }}\n"));
    let again = desk.plimsoll(["runs", "export", "last", "--to", "file", "--plan", &elsewhere]).ended().await;
    assert_eq!(again.code, 0, "{again:?}");
    let sorted = |name: &str| {
        let text = desk.text(name);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (live, again) = (sorted("live.ndjson"), sorted("again.ndjson"));
    assert!(live.iter().any(|line| line.contains("plimsoll_measure_seconds")));
    assert!(live == again, "{} lines live, {} again", live.len(), again.len());
}

#[tokio::test]
async fn a_plan_whose_values_keep_to_their_objectives_ends_well() {
    let _machine = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "none"]).await);
    let plan = PLAN.replace("ratio(hit) >= 90%", "ratio(hit) >= 50%");
    let ended = desk.run(&plan).set([target.setting()]).ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);
    assert_eq!(verdict(&json, "hits"), "met");
    assert!(ended.stdout.contains("✓ met          hits  ratio(hit) >= 50%\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("export to"), "there is no sink: {}", ended.stdout);
}
