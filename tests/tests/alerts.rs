//! A real Alertmanager tells `plimsoll serve` what it alerts on, configured as the guide shows it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::process::Command;

use harness::{Desk, PATIENCE, Target, beside_others, free_port, root};
use nix::sys::signal::Signal;
use plimsoll_testkit::{Alertmanager, wait_for};
use serde_json::{Value, json};

const PLAN: &str = "
name: shop
target: http://127.0.0.1:1
load: { stages: [ { hold: 20/s, for: 10m } ], grace: 1s }
scenarios: [ { name: visitor, steps: [ { name: home, get: / } ] } ]
";

/// The configuration of the guide for a service at an address, with less time to gather alerts.
fn configuration(address: &str, token: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let block = page.split("```yaml\n").find(|block| block.contains("webhook_configs:")).unwrap();
    let text = block.split("```").next().unwrap().replace("127.0.0.1:7700", address);
    let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
    configuration["route"]["group_interval"] = json!("1s");
    let receiver = &mut configuration["receivers"][0]["webhook_configs"][0];
    assert!(receiver["url"].as_str().unwrap().contains(address), "{configuration:#}");
    let file = &mut receiver["http_config"]["authorization"]["credentials_file"];
    assert!(file.is_string(), "{configuration:#}");
    *file = token.into();
    configuration.to_string()
}

/// Now, as Alertmanager keeps times.
fn now() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_real_alertmanager_tells_an_alert_and_its_end_and_the_run_has_it_once() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let token = desk.plimsoll(["token", "create", "alertmanager", "--scope", "run"]).ended().await;
    assert_eq!(token.code, 0, "{token:?}");
    let (token, file) = (token.stdout.trim().to_owned(), desk.write("token", token.stdout.trim()));
    let config = desk.write("plimsoll.yaml", "auth: tokens\n");
    let address = format!("127.0.0.1:{}", free_port());
    let _service = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let wait = async |what: &str, path: &str, is_so: &dyn Fn(&Value) -> bool| {
        wait_for(PATIENCE, what, async || {
            let request = client.get(format!("http://{address}/api/v1/{path}")).bearer_auth(&token);
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let told: Value = answer.json().await.map_err(|error| error.to_string())?;
            if is_so(&told) { Ok(told) } else { Err(format!("{told:#}")) }
        })
        .await
        .unwrap()
    };
    wait("the service", "annotations", &|told| told["annotations"] == json!([])).await;
    let run = desk.run(PLAN).set([target.setting()]).start();
    wait("the run", "runs", &|told| told["runs"][0]["status"] == "running").await;

    let manager = Alertmanager::start(&configuration(&address, &file)).await.unwrap();
    let (starts, hostile) = (now(), "slow <script>alert(1)</script>");
    let mut alert = json!({
        "labels": { "alertname": "ShopIsSlow", "severity": "page", "instance": "shop:80" },
        "annotations": { "summary": hostile, "runbook": "none" },
        "startsAt": starts, "generatorURL": "http://prometheus.example/graph?g0.expr=up",
    });
    let post = async |alert: &Value| manager.post_alerts(std::slice::from_ref(alert)).await.unwrap();
    post(&alert).await;
    let of_run = "runs/latest/annotations";
    let told = wait("the alert", of_run, &|told| told["annotations"][0]["status"] == "firing").await;
    let one = &told["annotations"][0];
    assert_eq!((&one["name"], &one["severity"]), (&json!("ShopIsSlow"), &json!("page")), "{told:#}");
    assert_eq!((&one["summary"], &one["ends"]), (&json!(hostile), &Value::Null), "{told:#}");
    assert_eq!(one["labels"]["instance"], "shop:80");
    assert_eq!(one["link"], "http://prometheus.example/graph?g0.expr=up");
    assert_eq!((&one["receiver"], &one["to_seconds"]), (&json!("plimsoll"), &Value::Null));
    assert!(one["from_seconds"].as_f64().unwrap() > 0.0, "{told:#}");

    // Another one comes beside it.
    let beside = json!({ "labels": { "alertname": "ShopIsSlow", "instance": "shop:81" }, "startsAt": now() });
    post(&beside).await;
    wait("the other", of_run, &|told| told["annotations"].as_array().is_some_and(|all| all.len() == 2)).await;
    alert["endsAt"] = now().into();
    post(&alert).await;
    let is_over = |told: &Value| {
        told["annotations"].as_array().is_some_and(|all| all.iter().any(|one| one["status"] == "resolved"))
    };
    let told = wait("the end", of_run, &is_over).await;
    let all = told["annotations"].as_array().unwrap();
    let of = |instance: &str| -> Vec<&Value> {
        all.iter().filter(|one| one["labels"]["instance"] == instance).collect()
    };
    let ([over], [fires]) = (&of("shop:80")[..], &of("shop:81")[..]) else {
        panic!("each is there once: {told:#}")
    };
    assert_eq!(fires["status"], "firing", "{told:#}");
    let seconds = |key: &str| over[key].as_f64().unwrap();
    assert!(seconds("from_seconds") <= seconds("to_seconds"), "{told:#}");

    run.signal(Signal::SIGINT);
    let ended = run.ended().await;
    assert_eq!(ended.code, 130, "{ended:?}");
    let report = desk.plimsoll(["report", "last", "--markdown", "-"]).ended().await;
    assert!(report.stdout.contains("## Alerts while it ran"), "{report:?}");
    assert_eq!(report.stdout.matches("| ShopIsSlow |").count(), 2, "{}", report.stdout);
    assert!(!report.stdout.contains("<script>"), "{}", report.stdout);
}
