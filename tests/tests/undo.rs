//! What a run made is undone after it was killed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Ended, PATIENCE, Target, beside_others, ends};
use nix::sys::signal::Signal;
use plimsoll_testkit::wait_until;
use serde_json::Value;

const PLAN: &str = r#"
name: undone
target: http://127.0.0.1:1
load: { stages: [ { hold: 50/s, for: 60s } ] }
http: { headers: { x-key: "${secret:KEY}" } }
data: { users: { csv: users.csv } }
setup: [ { name: seed, put: "/files/seed-{{ run.id }}", body: "{{ uuid() }}", expect: { status: 201 } } ]
scenarios: [ { name: main, steps: [ { get: "/search?q={{ name }}" } ] } ]
teardown: [ { name: unseed, delete: "/files/seed-{{ run.id }}", expect: { status: 204 } } ]
export: { influxdb: { url: "http://127.0.0.1:9", org: o, bucket: b, token: "${NOT_THERE_LATER}" } }
"#;

async fn files(target: &Target) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/files", target.url())).send().await.unwrap();
    let json: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    json["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

async fn listed(desk: &Desk) -> Value {
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    serde_json::from_str::<Value>(&listed.stdout).unwrap()[0].take()
}

async fn teardown(desk: &Desk, key: Option<&str>, more: &[&str]) -> Ended {
    let call = desk.plimsoll([&["runs", "teardown", "last"], more].concat());
    key.into_iter().fold(call, |call, key| call.env("KEY", key)).ended().await
}

#[tokio::test]
async fn a_killed_run_is_undone_by_its_record() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    desk.write("users.csv", "name\nanna\nbert\n");
    let call = desk.run(PLAN).set([target.setting()]).env("KEY", "hunter2").env("NOT_THERE_LATER", "x");
    let running = call.start();
    wait_until(PATIENCE, "setup", async || files(&target).await.len() == 1).await.unwrap();
    wait_until(PATIENCE, "the load", async || target.record().await.route("GET /search") > 50).await.unwrap();
    let live = teardown(&desk, Some("hunter2"), &[]).await;
    assert_eq!(live.code, 2, "{live:?}");
    assert!(live.stderr.contains("is still running"), "{live:?}");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.ended().await.code, -1);
    let run = listed(&desk).await;
    assert_eq!((run["status"].as_str(), run["teardown"].as_str()), (Some("interrupted"), Some("owed")));
    let id = run["id"].as_str().unwrap();
    assert_eq!(files(&target).await, [format!("seed-{id}")]);
    let shown = desk.plimsoll(["runs", "show", "last"]).ended().await;
    assert!(shown.stderr.contains(&format!("plimsoll runs teardown {id}")), "{shown:?}");

    // What only the load and the exports needed is not asked for; what the requests need is.
    std::fs::remove_file(desk.path("users.csv")).unwrap();
    let missing = teardown(&desk, None, &[]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("KEY") && !missing.stderr.contains("NOT_THERE"), "{missing:?}");
    let asked = target.record().await.count();
    let done = teardown(&desk, Some("hunter2"), &["--json", "undone.json"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("unseed") && !done.stdout.contains("hunter2"), "{}", done.stdout);
    assert_eq!(serde_json::from_str::<Value>(&desk.text("undone.json")).unwrap()["run"], id);
    assert_eq!((files(&target).await.len(), target.record().await.count()), (0, asked + 2));
    assert_eq!(listed(&desk).await["teardown"], "made");

    let again = teardown(&desk, Some("hunter2"), &[]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("was made on") && again.stderr.contains("--again"), "{again:?}");
    assert_eq!(target.record().await.count(), asked + 2, "nothing was sent");
    // There is nothing left to delete, which the plan expects.
    for more in [&["--again"][..], &[]] {
        let failed = teardown(&desk, Some("hunter2"), more).await;
        assert_eq!(failed.code, 3, "{failed:?}");
        assert_eq!(listed(&desk).await["teardown"], "failed");
    }
    let table = desk.plimsoll(["runs", "list"]).ended().await;
    assert!(table.stdout.contains("undone  (teardown failed)"), "{}", table.stdout);
}

const CAPTURING: &str = r#"
name: captured
target: http://127.0.0.1:1
load: { model: closed, stages: [ { hold: 1 users, iterations: 1 } ] }
http: { headers: { x-token: typed-secret } }
setup: [ { name: log in, post: /login, json: { user: anna }, capture: { session: { jsonpath: "$.session" } } } ]
scenarios: [ { name: main, steps: [ { get: / } ] } ]
teardown: [ { name: log out, delete: "/files/s-{{ session }}", expect: { status: 404 } } ]
"#;

#[tokio::test]
async fn what_cannot_be_undone_is_refused_before_anything_is_sent() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let ended = desk.run(CAPTURING).set([target.setting()]).ended().await;
    ends(&ended, &desk.json(), 0);
    let asked = target.record().await.count();
    let own = teardown(&desk, None, &[]).await;
    assert_eq!(own.code, 0, "{own:?}");
    assert!(own.stderr.contains("made its teardown itself"), "{own:?}");
    assert_eq!(listed(&desk).await["teardown"], Value::Null);
    let typed = teardown(&desk, None, &["--again"]).await;
    assert_eq!(typed.code, 2, "{typed:?}");
    assert!(
        typed.stderr.contains("the record does not keep") && typed.stderr.contains("--plan"),
        "{typed:?}"
    );
    for more in [&["--set", "http.headers.x-token=other"][..], &["--plan", "plan.yaml"]] {
        let refused = teardown(&desk, None, &[&["--again"], more].concat()).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("nothing was sent: `log out` of teardown needs"), "{refused:?}");
    }
    assert_eq!(target.record().await.count(), asked);
    let validated = desk.plimsoll(["validate", "plan.yaml"]).ended().await;
    assert_eq!(validated.code, 0, "{validated:?}");
    assert!(
        validated.stderr.contains("`log out` of `teardown` needs what `setup` captured"),
        "{validated:?}"
    );
}
