//! A history in PostgreSQL, as several machines share one.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, PATIENCE, Target, beside_others, ends, free_port};
use nix::sys::signal::Signal;
use plimsoll_testkit::{Postgres, wait_for, wait_until};
use serde_json::{Value, json};

const PASSWORD: &str = "hush-hush";

fn plan(name: &str, target: &Target, seconds: u32) -> String {
    format!(
        "name: {name}\ntarget: {}\nload: {{ stages: [{{ hold: 50/s, for: {seconds}s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n",
        target.url()
    )
}

/// The command line of every process that has a text among its arguments.
fn processes_with(text: &str) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text).then_some(line)
    });
    lines.collect()
}

#[tokio::test]
async fn runs_and_one_service_share_a_database_and_its_password_is_nowhere() {
    let _turn = beside_others().await;
    let server = Postgres::start().await.unwrap();
    // Every password will do; that one is given is what matters.
    let database = server.database().await.unwrap().replace('@', &format!(":{PASSWORD}@"));
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let mut said = String::new();

    let ended = desk.run(&plan("once", &target, 2)).env("PLIMSOLL_HISTORY", &database).ended().await;
    assert!(desk.path("run.json").exists(), "{ended:?}");
    ends(&ended, &desk.json(), 0);
    said += &(ended.stdout + &ended.stderr);
    for arguments in [
        &["runs", "list"][..],
        &["runs", "show", "last"],
        &["runs", "export", "last"],
        &["report", "last", "--report", "report.html"],
        &["runs", "list", "--history", &database.replace("127.0.0.1", "127.0.0.1.nowhere.invalid")],
    ] {
        let ended = desk.plimsoll(arguments).env("PLIMSOLL_HISTORY", &database).ended().await;
        let is_away = arguments.len() > 3 && arguments[2] == "--history";
        assert_eq!(ended.code == 0, !is_away, "{arguments:?}: {ended:?}");
        if arguments == ["runs", "list"] {
            assert!(ended.stdout.contains("once"), "{ended:?}");
        }
        said += &(ended.stdout + &ended.stderr);
    }
    assert!(!desk.path("history.db").exists(), "nothing goes anywhere else");
    said += &desk.text("report.html");

    // A service that starts runs, whose processes are told where they record.
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/long.yaml", &plan("long", &target, 600));
    let config = desk.write("plimsoll.yaml", &format!("plans: plans\nhistory: {database}\n"));
    let serve = |address: &str| {
        let call = desk.program("env", ["-u", "PLIMSOLL_HISTORY"]);
        call.arg(plimsoll_testkit::binary("plimsoll").unwrap())
            .args(["serve", "-c", &config, "--listen", address])
    };
    let address = format!("127.0.0.1:{}", free_port());
    let service = serve(&address).start();
    let client = plimsoll_testkit::http_client().unwrap();
    let ask = async |path: &str| {
        let answer = client.get(format!("http://{address}/api/v1/{path}")).send().await;
        let answer =
            answer.and_then(|answer| answer.error_for_status()).map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    };
    let runs = wait_for(PATIENCE, "the service", async || ask("runs").await).await.unwrap();
    assert!(runs.contains("\"once\""), "{runs}");
    let second = serve(&format!("127.0.0.1:{}", free_port())).ended().await;
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains("another service already uses this history"), "{second:?}");
    said += &(second.stdout + &second.stderr);

    let started = client.post(format!("http://{address}/api/v1/runs")).json(&json!({ "plan": "long" }));
    let started: Value = started.send().await.unwrap().json().await.unwrap();
    let run = started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
    wait_until(PATIENCE, "some seconds of the run", async || {
        let told = ask(&format!("runs/{run}/timeline")).await.unwrap_or_default();
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        told["points"]["second"].as_array().is_some_and(|seconds| seconds.len() > 2)
    })
    .await
    .unwrap();
    let owners = processes_with(&run);
    assert!(owners.len() == 1 && !owners[0].contains(PASSWORD), "{owners:?}");
    for path in ["runs", "settings", "plans", "openapi.json"] {
        said += &ask(path).await.unwrap();
    }
    service.signal(Signal::SIGTERM);
    let ended = service.ended().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    said += &(ended.stdout + &ended.stderr);
    let listed = desk.plimsoll(["runs", "list"]).env("PLIMSOLL_HISTORY", &database).ended().await.stdout;
    assert!(listed.contains("interrupted"), "{listed}");
    assert!(!said.contains(PASSWORD), "{said}");
}
