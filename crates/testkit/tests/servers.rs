//! Each server starts, does its one job and is gone afterwards.

use std::time::Duration;

use plimsoll_testkit::{
    Alertmanager, Answer, Browser, ColorScheme, InfluxDb, Nginx, NginxSetup, Prometheus, PrometheusSetup,
    Receiver, ScrapeTarget, VictoriaMetrics, http_client, wait_until,
};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn prometheus_scrapes_and_is_queried() {
    let target = Receiver::start([Answer::Body(
        200,
        "# TYPE answers counter\nanswers_total{q=\"a\"} 42\n".to_owned(),
    )])
    .await
    .unwrap();
    let address = target.url().replace("http://", "");
    let prometheus = Prometheus::scraping(&address).await.unwrap();
    let found = prometheus.wait_for("answers_total", |series| !series.is_empty(), DEADLINE).await.unwrap();
    assert_eq!((found[0].label("q"), found[0].label("job"), found[0].value()), ("a", "plimsoll", Some(42.0)));
    assert_eq!(prometheus.value("sum(answers_total)").await.unwrap(), Some(42.0));
    assert_eq!(prometheus.value("nothing_total").await.unwrap(), None);
    let now = found[0].points[0].0;
    let range = prometheus.query_range("answers_total", now - 1.0, now, 1.0).await.unwrap();
    assert_eq!(range[0].value(), Some(42.0));
    assert_eq!(prometheus.format_query("sum( up )").await.unwrap(), "sum(up)");
    let error = prometheus.query("sum(").await.unwrap_err();
    assert!(error.to_string().contains("parse error"), "{error}");
    let asked = target.received();
    assert!(asked[0].headers["accept"].to_str().unwrap().contains("application/vnd.google.protobuf"));
}

#[tokio::test]
async fn an_alert_goes_from_prometheus_through_alertmanager_to_a_webhook() {
    let webhook = Receiver::start([Answer::Status(200)]).await.unwrap();
    let alertmanager = Alertmanager::notifying(&webhook.url()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, "groups: [{ name: g, rules: [{ alert: TargetGone, expr: up == 0 }] }]").unwrap();
    let setup = PrometheusSetup {
        targets: vec![ScrapeTarget { job: "gone".to_owned(), address: "127.0.0.1:1".to_owned() }],
        rules: vec![rules],
        alertmanager: Some(alertmanager.address()),
        ..PrometheusSetup::default()
    };
    let prometheus = Prometheus::start(setup).await.unwrap();
    let notification = webhook.wait_for(1, DEADLINE).await.unwrap()[0].text().unwrap();
    assert!(notification.contains("TargetGone"), "{notification}");
    assert_eq!(prometheus.alerts().await.unwrap()[0]["state"], "firing");
    assert_eq!(prometheus.targets().await.unwrap()[0]["health"], "down");
    assert_eq!(alertmanager.alerts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn influxdb_stores_through_the_version_2_route() {
    let influx = InfluxDb::start().await.unwrap();
    let write = async |token: &str, bucket: &str, lines: &'static str| {
        let url = format!(
            "{}/api/v2/write?org={}&bucket={bucket}&precision=ns",
            influx.url(),
            influx.organisation()
        );
        let request =
            http_client().unwrap().post(url).header("authorization", format!("Token {token}")).body(lines);
        request.send().await.unwrap().status().as_u16()
    };
    let (token, bucket) = (influx.token(), influx.bucket());
    assert_eq!(write(token, bucket, "load,step=a count=3i 1700000000000000001").await, 204);
    assert_eq!(write("wrong", bucket, "load count=1i 1").await, 401);
    assert_eq!(write(token, "nowhere", "load count=1i 1").await, 404);
    assert_eq!(write(token, bucket, "load count= 1").await, 400);
    assert_eq!(write(token, bucket, "load,step=a count=\"text\" 1700000000000000000").await, 400);
    let rows = influx.query("SELECT * FROM load GROUP BY step").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].measurement.as_str(), rows[0].tags["step"].as_str()), ("load", "a"));
    assert_eq!(rows[0].columns["time"], json!(1_700_000_000_000_000_001_u64));
    assert_eq!(rows[0].number("count"), Some(3.0));
    assert_eq!(influx.query("SELECT * FROM nothing").await.unwrap(), []);
    influx.query("SELEC").await.unwrap_err();
}

#[tokio::test]
async fn an_influxdb_that_was_down_keeps_what_it_had() {
    let mut influx = InfluxDb::start().await.unwrap();
    let url = format!("{}/write?db=other", influx.engine_url());
    influx.create_database("other").await.unwrap();
    let client = http_client().unwrap();
    client.post(&url).body("load count=1i 1").send().await.unwrap().error_for_status().unwrap();
    influx.engine.stop().unwrap();
    client.post(&url).body("load count=1i 2").send().await.unwrap_err();
    influx.engine.start_again().await.unwrap();
    wait_until(DEADLINE, "the point", async || {
        influx.query_database("other", "SELECT * FROM load").await.is_ok_and(|rows| rows.len() == 1)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn victoria_metrics_exports_what_was_written() {
    let victoria = VictoriaMetrics::start().await.unwrap();
    let url = format!("{}/api/v2/write?org=o&bucket=b&precision=ms", victoria.url());
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let line = format!("load,step=a count=3i {time}");
    http_client().unwrap().post(url).body(line).send().await.unwrap().error_for_status().unwrap();
    let series = victoria.wait_for("load_count", |series| !series.is_empty(), DEADLINE).await.unwrap();
    assert_eq!((series[0].label("step"), series[0].value()), ("a", Some(3.0)));
}

#[tokio::test]
async fn nginx_counts_what_reaches_it() {
    let setup = NginxSetup {
        body: "body".to_owned(),
        locations: "location /no { return 503; }".to_owned(),
        ..NginxSetup::default()
    };
    let nginx = Nginx::with(setup).await.unwrap();
    let client = http_client().unwrap();
    assert_eq!(
        client.get(format!("{}/a?b=c", nginx.url())).send().await.unwrap().text().await.unwrap(),
        "body"
    );
    assert_eq!(client.get(format!("{}/no", nginx.url())).send().await.unwrap().status(), 503);
    wait_until(DEADLINE, "two log lines", async || nginx.access_log().unwrap().len() == 2).await.unwrap();
    let log = nginx.access_log().unwrap();
    assert_eq!((log[0].uri.as_str(), log[0].status, log[1].status), ("/a?b=c", 200, 503));
    assert_eq!(log[0].connection, log[1].connection);
    assert_eq!(nginx.status().await.unwrap().requests, 2);
    assert_eq!(client.post(nginx.url()).body("x").send().await.unwrap().text().await.unwrap(), "body");
    assert_eq!(nginx.status().await.unwrap().requests, 3);

    client.get(nginx.tls_url()).send().await.unwrap_err();
    let authority = reqwest::Certificate::from_pem(nginx.authority().pem().as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    assert_eq!(trusting.get(nginx.tls_url()).send().await.unwrap().text().await.unwrap(), "body");
}

#[tokio::test]
async fn a_frozen_server_answers_nobody_until_it_is_thawed() {
    let nginx = Nginx::start().await.unwrap();
    nginx.process.freeze().unwrap();
    let asked = tokio::spawn(http_client().unwrap().get(nginx.url()).send());
    // The kernel takes the connection although the process stands still.
    tokio::net::TcpStream::connect(nginx.url().trim_start_matches("http://")).await.unwrap();
    assert!(!asked.is_finished());
    nginx.process.thaw().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn the_receiver_follows_its_script() {
    let script = [
        Answer::RetryAfter(429, 7),
        Answer::Close,
        Answer::Delayed(Duration::from_millis(1), 503),
        Answer::Status(204),
    ];
    let receiver = Receiver::start(script).await.unwrap();
    let client = http_client().unwrap();
    let send = async || client.post(receiver.url()).body("x").send().await;
    let first = send().await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    send().await.unwrap_err();
    assert_eq!(send().await.unwrap().status(), 503);
    assert_eq!(send().await.unwrap().status(), 204);
    assert_eq!(send().await.unwrap().status(), 204);
    let received = receiver.wait_for(5, DEADLINE).await.unwrap();
    assert!(received.iter().all(|request| request.text().unwrap() == "x"));

    receiver.answer_with([Answer::Stall]);
    let stalled = client.post(receiver.url()).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(stalled.is_timeout());
}

#[tokio::test]
async fn a_browser_shows_pages_in_any_size_and_scheme() {
    let page = "<title>page</title><style>body{background:white}@media(prefers-color-scheme:dark){body{background:black}}\
                </style><p>text</p><script>console.error('oh no')</script>";
    let locations = format!("location = /page {{ default_type text/html; return 200 \"{page}\"; }}");
    let nginx = Nginx::with(NginxSetup { locations, ..NginxSetup::default() }).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("{}/page", nginx.url())).await.unwrap();
    assert_eq!(browser.client().title().await.unwrap(), "page");
    assert!(browser.console_errors().await.unwrap().iter().any(|message| message.contains("oh no")));

    let background =
        async || browser.run("return getComputedStyle(document.body).backgroundColor").await.unwrap();
    for (scheme, color) in [(ColorScheme::Dark, "rgb(0, 0, 0)"), (ColorScheme::Light, "rgb(255, 255, 255)")] {
        browser.set_color_scheme(scheme).await.unwrap();
        assert_eq!(background().await, json!(color));
    }
    browser.set_viewport(360, 640).await.unwrap();
    assert_eq!(browser.run("return [innerWidth, innerHeight]").await.unwrap(), json!([360, 640]));
    let file = browser.process.folder().join("page.png");
    browser.screenshot(&file).await.unwrap();
    assert!(std::fs::read(file).unwrap().starts_with(b"\x89PNG"));
}

/// Chromium is a grandchild: it has to go with chromedriver.
#[tokio::test]
async fn a_dropped_browser_leaves_nothing_running() {
    let browser = Browser::start().await.unwrap();
    let profile = browser.process.folder().join("profile").display().to_string();
    let running = || {
        let processes = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
        processes.filter(|command_line| command_line.contains(&profile)).count()
    };
    assert!(running() > 0);
    drop(browser);
    wait_until(DEADLINE, "chromium to end", async || running() == 0).await.unwrap();
}
