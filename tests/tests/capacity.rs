//! Capacity from what was recorded and stored: runs against the demo target, whose limit is known, the
//! plateaus cut out of them, and the same read back from a real Prometheus.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::time::SystemTime;

use harness::{Desk, PATIENCE, Target, beside_others, fits_every_screen, free_port};
use nix::sys::signal::Signal;
use plimsoll_testkit::{Prometheus, VictoriaMetrics, http_client, wait_for, wait_until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Eight workers that take 100 ms each: 80 requests per second and no more. So long that what a busy machine adds
/// hardly matters.
const SERVICE: [&str; 4] = ["--latency", "fixed:100ms", "--service-workers", "8"];
const LIMIT: f64 = 80.0;

/// Loads from a quarter of the limit up to twice it, with a ramp between two and a stage too short to say anything.
const PLAN: &str = "
name: shop
target: http://127.0.0.1:1
tags: { version: '1.0' }
load:
  model: closed
  warmup: 1s
  stages:
    - { hold: 2 users, for: 14s }
    - { ramp: 4 users, over: 2s }
    - { hold: 4 users, for: 14s }
    - { hold: 8 users, for: 14s }
    - { hold: 16 users, for: 14s }
    - { hold: 12 users, for: 5s }
scenarios:
  - { name: browse, steps: [ { name: list, get: '/products?page=1' } ] }
resources: { process: /metrics }
";

async fn capacity(desk: &Desk, arguments: &[&str]) -> (i32, Value, String) {
    let ended = desk.plimsoll(["capacity", "--json", "-"]).args(arguments).ended().await;
    let json = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    if !json.is_null() {
        let schema =
            std::fs::read_to_string(harness::root().join("crates/report/schema/capacity.schema.json"));
        let schema: Value = serde_json::from_str(&schema.unwrap()).unwrap();
        let errors: Vec<String> = jsonschema::draft202012::new(&schema)
            .unwrap()
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    (ended.code, json, ended.stderr)
}

fn loads(plateaus: &Value) -> Vec<f64> {
    plateaus.as_array().into_iter().flatten().map(|plateau| plateau["load"].as_f64().unwrap()).collect()
}

/// Prometheus, scraping the service, has the limit and the headroom that `capacity` told.
async fn the_service_exposes(desk: &Desk, told: &Value) {
    let address = format!("127.0.0.1:{}", free_port());
    let service = desk.plimsoll(["serve", "--listen", &address]).start();
    let prometheus = Prometheus::scraping(&address).await.unwrap();
    let headroom = &told["headroom"][0];
    for (query, expected) in [
        ("plimsoll_capacity_limit{plan='shop',bound='estimate'}", &headroom["limit"]["throughput"]),
        ("plimsoll_capacity_limit{plan='shop',bound='low'}", &headroom["limit"]["low"]),
        ("plimsoll_capacity_limit{plan='shop',bound='high'}", &headroom["limit"]["high"]),
        ("plimsoll_capacity_headroom_ratio{plan='shop'}", &headroom["ratio"]),
    ] {
        wait_for(PATIENCE, query, async || {
            let found = prometheus.value(query).await.map_err(|error| error.to_string())?;
            if found == expected.as_f64() { Ok(()) } else { Err(format!("{found:?}, not {expected}")) }
        })
        .await
        .unwrap();
    }
    service.signal(Signal::SIGINT);
    assert_eq!(service.ended().await.code, 0);
}

/// The runs of a desk's history, the latest last.
async fn recorded(desk: &Desk) -> Vec<Value> {
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await.stdout;
    serde_json::from_str(&listed).unwrap_or_default()
}

#[tokio::test]
async fn recorded_runs_and_what_prometheus_stored_tell_the_limit() {
    // What it measures takes so long that others hardly matter.
    let _others = beside_others().await;
    let address = format!("127.0.0.1:{}", free_port());
    let (target, other, prometheus) =
        tokio::join!(Target::start(SERVICE), Target::start(SERVICE), Prometheus::scraping(&address));
    let prometheus = prometheus.unwrap();
    let desk = Desk::new();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let listen = format!("export.prometheus={{ listen: '{address}', linger: 60s }}");
    // Beside it one of an earlier version, and one of another mix: each is told apart.
    let short = "load.stages=[{ hold: 2 users, for: 11s }]";
    let mut running = vec![desk.run(PLAN).set([target.setting(), listen]).start()];
    for (others, change) in [(1, "tags.version='0.9'"), (2, "scenarios[0].name=search")] {
        wait_until(PATIENCE, "the run before it", async || recorded(&desk).await.len() == others)
            .await
            .unwrap();
        running.push(desk.run(PLAN).set([&other.setting(), short, change]).start());
    }
    for run in running {
        let ended = run.ended().await;
        assert!([0, 4].contains(&ended.code), "{}: {}", ended.code, ended.stderr);
    }

    // The last run decides, and has one load: nobody can say where that ends. On a machine that stands still meanwhile
    // it may have none that can be used; then another has.
    let mut tries = 0;
    let (code, json, said) = loop {
        let told = capacity(&desk, &["--plan", "shop"]).await;
        tries += 1;
        if told.1["sources"]["runs"].as_array().unwrap().last().unwrap()["use"] == "measured" || tries == 4 {
            break told;
        }
        desk.run(PLAN).set([&other.setting(), short, "scenarios[0].name=search"]).start().ended().await;
    };
    assert_eq!((code, &json["peak"]), (4, &Value::Null), "{said}");
    let runs = json["sources"]["runs"].as_array().unwrap();
    let uses: Vec<&str> = runs.iter().map(|run| run["use"].as_str().unwrap()).collect();
    assert_eq!((&uses[..2], uses.last()), (&["earlier", "earlier"][..], Some(&"measured")));
    assert!(runs[0]["why"].as_str().unwrap().contains("mix browse:1, not search:1"), "{}", runs[0]["why"]);
    assert!(runs[1]["why"].as_str().unwrap().contains("version 0.9, not 1.0"), "{}", runs[1]["why"]);

    for row in &recorded(&desk).await[1..] {
        desk.plimsoll(["runs", "delete", row["id"].as_str().unwrap()]).ended().await;
    }
    let asked = [
        "--plan",
        "shop",
        "--peak-traffic",
        "60/s",
        "--growth",
        "5%/month",
        "--sla",
        "p95(response_time) <= 150ms",
    ];
    let (code, json, said) = capacity(&desk, &asked).await;
    assert_eq!(code, 0, "{said}");
    let run = &json["sources"]["runs"][0];
    assert_eq!(loads(&run["plateaus"]), [2.0, 4.0, 8.0, 16.0], "{run:#}");
    let out: Vec<&str> =
        run["left_out"].as_array().unwrap().iter().map(|left| left["why"].as_str().unwrap()).collect();
    assert!(out.iter().any(|why| why.starts_with("load 12 stood still for")), "{out:?}");
    let peak = json["peak"]["throughput"].as_f64().unwrap();
    assert!((peak / LIMIT - 1.0).abs() < 0.1, "{peak}");
    let allowed = json["sla_limit"]["load"].as_f64().unwrap();
    assert!((8.0..16.0).contains(&allowed), "{allowed}");
    let busy = &run["plateaus"][3]["resources"]["process demo_utilisation{resource=\"workers\"}_ratio"];
    assert!(busy["mean"].as_f64().unwrap() > 0.8, "{run:#}");
    let (code, _, told) = capacity(&desk, &["--plan", "shop", "--traffic-runs", "shop"]).await;
    assert!(code == 4 && told.contains("growth of traffic: traffic is known of 1 whole"), "{code} {told}");
    let exhaustion = &json["exhaustion"];
    assert!(exhaustion["date"].as_str().is_some() && exhaustion["reached"] == false, "{exhaustion}");
    assert!(said.contains("exhausted on "), "{said}");

    the_service_exposes(&desk, &json).await;

    // What Prometheus kept of it says the same, but for the windows of its rates.
    let (from, to) = (format!("{began:.0}"), format!("{:.0}", began + 76.0));
    let from_prometheus = |extra: &'static [&'static str]| {
        let url = prometheus.url();
        let (from, to) = (from.clone(), to.clone());
        let desk = &desk;
        async move {
            let mut arguments = vec!["--prometheus", &url, "--from", &from, "--to", &to, "--step", "1s"];
            arguments.extend(extra);
            capacity(desk, &arguments).await
        }
    };
    let (_, json, said) = from_prometheus(&[
        "--load",
        "sum(plimsoll_virtual_users)",
        "--throughput",
        "sum(rate(plimsoll_requests_total{outcome='ok'}[3s]))",
    ])
    .await;
    let stored = &json["sources"]["prometheus"];
    assert!(stored.is_array(), "{said}");
    let found = loads(stored);
    assert!(found.contains(&8.0) && found.contains(&16.0), "{stored:#}");
    let most =
        stored.as_array().unwrap().iter().map(|plateau| plateau["throughput"]["mean"].as_f64().unwrap());
    let most = most.fold(0.0, f64::max);
    assert!((most / LIMIT - 1.0).abs() < 0.1, "{stored:#}");

    for (query, expected) in [
        ("plimsoll_requests_total", "series ("),
        ("sum(nothing_of_this_name)", "has no values between --from and --to"),
        ("sum(", "parse error"),
    ] {
        let arguments = [
            "--prometheus",
            &prometheus.url(),
            "--from",
            &from,
            "--to",
            &to,
            "--load",
            query,
            "--throughput",
            "1",
        ];
        let (code, _, said) = capacity(&desk, &arguments).await;
        assert!(code == 2 && said.contains(expected), "{query}: {code} {said}");
    }
}

#[tokio::test]
async fn growth_that_was_stored_gives_a_date() {
    const DAY: u64 = 86_400;
    let _machine = beside_others().await;
    let stored = VictoriaMetrics::start().await.unwrap();
    let desk = Desk::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // Sixty days, 6% a month, busy at noon.
    let rate = |hour: u64| {
        let daily = 1.0 - 0.5 * (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).cos();
        100.0 * daily * 1.06_f64.powf(hour as f64 / 24.0 / 30.4375)
    };
    let first = (now - 60 * DAY) / DAY * DAY;
    let hours: Vec<u64> = (0..(now - first) / 3600).collect();
    let lines: String = hours
        .iter()
        .map(|hour| format!("shop_rate {} {}\n", rate(*hour), (first + hour * 3600) * 1000))
        .collect();
    let client = http_client().unwrap();
    let url = format!("{}/api/v1/import/prometheus", stored.url());
    client.post(url).body(lines).send().await.unwrap().error_for_status().unwrap();
    let points = desk.write("points.csv", "rate,throughput\n50,50\n100,100\n200,200\n400,300\n800,302\n");
    let traffic: String =
        hours.iter().map(|hour| format!("{},{}\n", first + hour * 3600, rate(*hour))).collect();
    let table = desk.write("traffic.csv", &format!("time,value\n{traffic}"));

    let (code, by_table, said) = capacity(&desk, &["--data", &points, "--traffic-data", &table]).await;
    assert_eq!(code, 0, "{said}");
    let growth = by_table["exhaustion"]["growth_per_month"]["ratio"].as_f64().unwrap();
    assert!((growth - 0.06).abs() < 0.005, "{growth}");
    assert!(by_table["exhaustion"]["date"].is_string(), "{}", by_table["exhaustion"]);

    // A table of three days says nothing of growth.
    let few: String = traffic.lines().take(72).map(|line| format!("{line}\n")).collect();
    let few = desk.write("few.csv", &format!("time,value\n{few}"));
    let (code, _, said) = capacity(&desk, &["--data", &points, "--traffic-data", &few]).await;
    assert!(code == 4 && said.contains("growth of traffic: traffic is known of 3 whole"), "{code} {said}");

    // Points that were stored too, so that load and traffic come from one place.
    let minutes: Vec<(u64, f64, f64)> =
        [(50.0, 50.0), (100.0, 100.0), (200.0, 200.0), (400.0, 300.0), (800.0, 302.0)]
            .iter()
            .enumerate()
            .flat_map(|(level, (load, throughput))| {
                (0..20).map(move |step| (now - 7200 + (level as u64 * 20 + step) * 15, *load, *throughput))
            })
            .collect();
    let lines: String = minutes
        .iter()
        .map(|(at, load, done)| format!("offered {load} {0}\ndone {done} {0}\n", at * 1000))
        .collect();
    let url = format!("{}/api/v1/import/prometheus", stored.url());
    client.post(url).body(lines).send().await.unwrap().error_for_status().unwrap();
    let (url, from, to) = (stored.url(), format!("{}", now - 7200), format!("{}", now - 7200 + 99 * 15));
    let mut last = String::new();
    wait_for(PATIENCE, "what was stored to be readable", async || {
        let (_, json, said) = capacity(
            &desk,
            &[
                "--prometheus",
                &url,
                "--load",
                "offered",
                "--throughput",
                "done",
                "--from",
                &from,
                "--to",
                &to,
                "--step",
                "15s",
                "--traffic-query",
                "shop_rate",
                "--traffic-from",
                "60d",
            ],
        )
        .await;
        last.clone_from(&said);
        let date = json["exhaustion"]["date"].as_str().map(str::to_owned);
        if loads(&json["sources"]["prometheus"]).len() == 5 && date.is_some() { Ok(()) } else { Err(said) }
    })
    .await
    .unwrap();
    assert!(last.contains("exhausted on"), "{last}");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_what_helps() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let port = free_port().to_string();
    let nobody = format!("http://user:secret@127.0.0.1:{port}");
    for (arguments, code, expected) in [
        (vec!["--plan", "shop"], 2, "no runs are recorded here"),
        (vec!["--prometheus", &nobody, "--load", "a", "--throughput", "b"], 2, "it cannot be reached"),
        (
            vec!["--prometheus", "localhost", "--load", "a", "--throughput", "b"],
            2,
            "like http://127.0.0.1:9090",
        ),
        (vec!["--prometheus", &nobody, "--load", "a"], 2, "--throughput"),
        (
            vec!["--prometheus", &nobody, "--load", "a", "--throughput", "b", "--from", "soon"],
            2,
            "found `soon`",
        ),
        (vec!["--plan", "shop", "--data", "points.csv"], 2, "cannot be used with"),
        (vec!["--plan", "shop", "--growth", "5%/month"], 2, "--peak-traffic"),
        (vec!["--plan", "shop", "--growth", "5", "--traffic", "1/s"], 2, "like `5%/month`"),
        (vec![], 2, "--plan"),
    ] {
        let (ended, _, said) = capacity(&desk, &arguments).await;
        assert!(
            ended == code && said.contains(expected) && !said.contains("secret"),
            "{arguments:?}: {ended} {said}"
        );
    }
}

/// Answers every request with these bytes and closes the connection.
async fn answering(bytes: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn what_is_no_prometheus_is_told() {
    let _others = beside_others().await;
    let desk = Desk::new();
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let points = |values: &str| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{values}]}}]}}}}"#
        )
    };
    let cut = whole(&points("[1,\"2\"]"));
    for (answer, expected) in [
        ("\u{16}\u{3}\u{1} no words of HTTP\r\n\r\n".to_owned(), "it cannot be reached"),
        (whole("<html>"), "its answer is not that of a Prometheus"),
        (whole(&"[".repeat(100_000)), "its answer is not that of a Prometheus"),
        (cut[..cut.len() - 5].to_owned(), "its answer broke off"),
        (whole(&points("[1e308,\"1e308\"],[-5,\"-1\"],[1,\"NaN\"]")), "it has no values between"),
    ] {
        let url = answering(answer).await;
        let (code, _, said) =
            capacity(&desk, &["--prometheus", &url, "--load", "a", "--throughput", "b"]).await;
        assert!(
            code == 2 && said.contains("query `a`") && said.contains(expected),
            "{expected}: {code} {said}"
        );
    }
}

#[tokio::test]
async fn points_in_a_file_end_with_the_code_of_their_answer() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let flat = "users,throughput\n8,100\n16,190\n32,300\n64,330\n128,329\n";
    let rising = "users,throughput\n8,100\n16,190\n32,350\n";
    for (points, more, code, expected) in [
        (flat, vec!["--predict", "100", "--traffic", "200/s"], 0, "peak 33"),
        (flat, vec!["--sla", "p95(response_time) <= 250ms"], 4, "add a column for it"),
        (rising, vec![], 4, "not saturated, at least 350/s"),
        ("users,throughput\n8,fast\n", vec![], 2, "line 2, column throughput: found `fast`"),
        (flat, vec!["--sla", "throughput >= 5/s"], 2, "p95(response_time) <= 250ms"),
        (flat, vec!["--where", "service=a"], 2, "there is no column `service`"),
        ("", vec![], 2, "no column is a load"),
    ] {
        let file = desk.write("points.csv", points);
        let arguments: Vec<&str> = ["--data", &file].into_iter().chain(more).collect();
        let (ended, json, said) = capacity(&desk, &arguments).await;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ended == code && said.contains(expected), "{arguments:?}: {ended} {said}");
        assert_eq!(
            json["schema"].is_number(),
            code != 2,
            "JSON goes to standard output, words to standard error"
        );
        assert_eq!(json["peak"].is_object(), code != 2 && points == flat);
    }
    // The version before says what three levels of the new one cannot.
    let (new, old) = (desk.write("new.csv", rising), desk.write("old.csv", flat));
    let arguments = ["--data", &new, "--history-data", &old, "--predict", "64"];
    let (_, json, said) = capacity(&desk, &arguments).await;
    assert_eq!(json["history"][0]["accepted"], false, "{said}");
    let alike = desk.write("alike.csv", "users,throughput\n8,110\n16,209\n32,330\n");
    let (ended, json, said) =
        capacity(&desk, &["--data", &alike, "--history-data", &old, "--predict", "64"]).await;
    assert_eq!((ended, json["peak"]["basis"].as_str()), (0, Some("history")), "{said}");
    assert!((json["predictions"][0]["throughput"].as_f64().unwrap() - 363.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_report_reads_well_wide_and_narrow_light_and_dark() {
    let _machine = beside_others().await;
    let desk = Desk::new();
    let rows = [(50, 50, 41), (100, 100, 43), (200, 199, 60), (400, 300, 390), (800, 302, 900)];
    let rows = rows.map(|(rate, throughput, p95)| format!("{rate},{throughput},{p95}\n")).concat();
    let points = desk.write("points.csv", &format!("rate,throughput,p95_ms\n{rows}"));
    let (report, markdown) = (desk.write("capacity.html", ""), desk.write("capacity.md", ""));
    let ended = desk
        .plimsoll(["capacity", "--data", &points, "--report", &report, "--markdown", &markdown])
        .args(["--sla", "p95(response_time) <= 250ms", "--traffic", "150/s", "--growth", "5%/month"])
        .ended()
        .await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains(&report) && ended.stdout.contains(&markdown), "{}", ended.stdout);
    let text = std::fs::read_to_string(&markdown).unwrap();
    assert!(text.contains("## Measured points") && text.contains("exhausted on "), "{text}");

    let browser = fits_every_screen(&report, "capacity").await;
    // The values of a chart are read by keyboard.
    let read = "const chart = document.querySelector('svg'); \
                chart.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true })); \
                return document.querySelector('.hover').textContent";
    wait_for(PATIENCE, "the value of the chart", async || {
        let read = browser.run(read).await.unwrap();
        if read.as_str().is_some_and(|read| read.contains("measured 302/s")) {
            Ok(())
        } else {
            Err(read.to_string())
        }
    })
    .await
    .unwrap();
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
}
