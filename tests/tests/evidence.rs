//! What is left of requests that failed, and a plan that is tried out: as people read it, with nothing secret.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Target, beside_others, free_port, root};
use serde_json::Value;

const PLAN: &str = r#"
name: evidence
target: http://127.0.0.1:1
load: { model: closed, stages: [ { hold: 4 users, iterations: 200 } ] }
http: { headers: { authorization: "Bearer ${secret:TOKEN}" } }
data: { users: { csv: users.csv } }
scenarios:
  - name: shop
    steps:
      - { name: list, get: "/products?page=1&key=${secret:TOKEN}&user={{ name }}", capture: { product: { jsonpath: "$.items[0].id" } } }
"#;

#[tokio::test]
async fn what_failed_is_there_to_be_looked_at_and_nothing_secret_is() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none", "--error-ratio", "50%"]).await;
    let desk = Desk::new();
    desk.write("users.csv", "name\nanna\nbert\n");
    let call = desk.run(PLAN).set([target.setting()]).env("TOKEN", "hunter2hunter2");
    let ended = call.args(["--report", "run.html", "--markdown", "run.md"]).ended().await;
    assert!(matches!(ended.code, 0 | 4), "{ended:?}");
    let json = desk.json();
    let step = &json["steps"][0];
    let failed = step["failed_sample"].as_array().unwrap();
    assert_eq!(failed.len(), 20, "of a hundred that failed");
    for request in failed {
        assert_eq!(request["status"], 500, "{request}");
        let exchange = &request["exchange"];
        assert_eq!(exchange["method"], "GET");
        let url = exchange["url"].as_str().unwrap();
        assert!(url.starts_with(&target.url()) && url.contains("key=***&user="), "{url}");
        assert!(url.ends_with("anna") || url.ends_with("bert"), "{url}");
        assert!(
            exchange["headers"].as_array().unwrap().iter().any(|header| header["name"] == "content-type")
        );
        assert!(exchange["body"].as_str().is_some_and(|body| !body.is_empty()), "{exchange}");
        assert_eq!(request["row"]["feed"], "users");
    }
    let slowest = step["slowest"].as_array().unwrap();
    assert_eq!(slowest.len(), 20);
    // The record has it all, and neither it nor any form of the result has the secret.
    let shown = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    assert_eq!(serde_json::from_str::<Value>(&shown.stdout).unwrap(), json);
    let exported = desk.plimsoll(["runs", "export", "last"]).ended().await;
    for text in [
        &desk.text("run.html"),
        &desk.text("run.json"),
        &desk.text("run.md"),
        &exported.stdout,
        &ended.stdout,
    ] {
        assert!(!text.contains("hunter2"));
    }
    assert!(desk.text("run.html").contains("<details><summary>GET http"));
}

#[tokio::test]
async fn a_plan_is_tried_out_with_one_iteration_of_each_scenario() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    for name in ["journey.yaml", "users.csv"] {
        let text = std::fs::read_to_string(root().join("config/plans").join(name)).unwrap();
        desk.write(name, &text);
    }
    let ended = desk
        .plimsoll(["run", "journey.yaml", "--once", "--json", "once.json"])
        .set([target.setting()])
        .ended()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let json: Value = serde_json::from_str(&desk.text("once.json")).unwrap();
    let parts = json["parts"].as_array().unwrap();
    assert!(!parts.is_empty() && parts.iter().all(|part| part["succeeded"] == true), "{json}");
    let requests: Vec<_> = parts.iter().flat_map(|part| part["requests"].as_array().unwrap()).collect();
    assert_eq!(requests.len() as u64, target.record().await.count());
    assert!(requests.iter().all(|request| request["answer"]["status"].is_u64()), "{json}");
    assert!(requests.iter().any(|request| !request["captures"].as_array().unwrap().is_empty()), "{json}");
    assert!(ended.stdout.contains("> GET http://"), "{}", ended.stdout);
    assert!(!desk.path("history.db").exists(), "trying out leaves no record");
}

#[tokio::test]
async fn trying_out_ends_with_what_became_of_it() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    desk.write("users.csv", "name\nanna\n");
    let plan = desk.write("plan.yaml", PLAN);
    let once = || desk.plimsoll(["run", &plan, "--once", "--json", "-"]).env("TOKEN", "hunter2hunter2");
    let wrong = once().set([target.setting(), "scenarios[0].steps[0].expect={ status: 404 }".to_owned()]);
    let ended = wrong.ended().await;
    assert_eq!(ended.code, 3, "{ended:?}");
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let request = &json["parts"][0]["requests"][0];
    assert_eq!((&request["message"], &request["answer"]["status"]), (&"status 200".into(), &200.into()));
    let headers = request["request"]["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header["name"] == "authorization" && header["value"] == "***"));
    assert!(!ended.stdout.contains("hunter2") && !ended.stderr.contains("hunter2"));
    let closed = format!("target=http://127.0.0.1:{}", free_port());
    assert_eq!(once().set([closed]).ended().await.code, 5);
}
