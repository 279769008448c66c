//! Runs go on where they stood when their process was killed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Ended, PATIENCE, Target, beside_others, ends, notes, requests, requests_in, verdict};
use nix::sys::signal::Signal;
use plimsoll_testkit::{wait_for, wait_until};
use serde_json::Value;

/// Every row makes a file, so that a row that comes twice is a failed request.
const PLAN: &str = r#"
name: resumed
target: http://127.0.0.1:1
resume: true
load: { stages: [ { hold: 40/s, for: 4s }, { ramp: 80/s, over: 3s } ], grace: 2s }
http: { headers: { x-key: "${secret:KEY}" } }
data: { rows: { csv: rows.csv, order: unique } }
setup: [ { name: prepare, get: "/products?page=1" } ]
scenarios: [ { name: main, steps: [ { name: make, put: "/files/{{ n }}", body: x, expect: { status: 201 } } ] } ]
sla: [ { name: available, objective: "availability >= 80%" }, { name: busy, objective: "throughput >= 5/s" } ]
"#;

/// What evenly spaced arrivals of the plan are, second by second.
const ARRIVALS: [u64; 7] = [40, 40, 40, 40, 47, 60, 73];

fn rows(count: u32) -> String {
    let rows: String = (0..count).map(|n| format!("row-{n}\n")).collect();
    format!("n\n{rows}")
}

async fn files(target: &Target) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/files", target.url())).send().await.unwrap();
    let json: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    json["files"].as_array().unwrap().len()
}

/// How many seconds of the latest run are in the record.
async fn recorded(desk: &Desk) -> usize {
    let exported = desk.plimsoll(["runs", "export", "last"]).ended().await;
    exported.stdout.lines().filter(|line| line.starts_with("{\"event\":\"second\"")).count()
}

async fn resume(desk: &Desk, more: &[&str]) -> Ended {
    let call = desk.plimsoll(["runs", "resume", "last", "--json"]);
    call.arg(desk.path("run.json")).args(more).env("KEY", "hunter2").ended().await
}

fn says(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, 2, "{ended:?}");
    words.iter().for_each(|word| assert!(ended.stderr.contains(word), "{word}: {ended:?}"));
}

#[tokio::test]
async fn a_killed_run_goes_on_at_the_same_stage_with_rows_of_its_own() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "fixed:20ms"]).await;
    let desk = Desk::new();
    desk.write("rows.csv", &rows(990));
    let running = desk.run(PLAN).set([target.setting()]).env("KEY", "hunter2").start();
    wait_for(PATIENCE, "two seconds in the record", async || {
        let seconds = recorded(&desk).await;
        if seconds >= 2 { Ok(()) } else { Err(format!("{seconds}")) }
    })
    .await
    .unwrap();
    says(&resume(&desk, &[]).await, &["is still running"]);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.ended().await.code, -1);
    let before = desk.events().await;
    // Another process is about to go on with it.
    let mut entries = std::fs::read_dir(desk.path("")).unwrap().map(|file| file.unwrap().path());
    let rows = entries.find(|file| file.to_string_lossy().contains("history.db-rows-")).unwrap();
    let other = std::fs::File::open(rows).unwrap();
    other.try_lock().unwrap();
    let busy = resume(&desk, &[]).await;
    assert!(busy.code == 75 && busy.stderr.contains("another process uses it"), "{busy:?}");
    drop(other);
    let seconds = before.of("second").count();
    assert!(seconds < ARRIVALS.len(), "it was killed in the middle, after {seconds} s");

    let ended = resume(&desk, &[]).await;
    let run = desk.json();
    ends(&ended, &run, 0);
    assert_eq!(run["run"]["status"], "completed");
    let events = desk.events().await;
    assert_eq!(events.of("started").next(), before.of("started").next(), "it is the same run");
    // Each second that was planned was offered once, in its stage.
    let arrivals = events.arrivals();
    assert_eq!(arrivals[..ARRIVALS.len()], ARRIVALS, "{arrivals:?}");
    let numbers: Vec<_> = events.of("second").map(|second| second["second"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let stages = run["stages"].as_array().unwrap();
    assert_eq!((stages.len(), &stages[0]["offered"]), (2, &Value::from(40.0)));

    // The gap has a name, and no second of it is in the record.
    let resumed: Vec<_> = events.of("resumed").collect();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0]["at"], seconds as u64 * 1_000_000_000);
    assert!(
        notes(&run).contains("no load from ") && notes(&run).contains("the generator was away for"),
        "{run:#}"
    );
    let told = &run["resumed"].as_array().unwrap()[..];
    assert_eq!((told.len(), told[0]["at"].as_f64()), (1, Some(seconds as f64)), "{told:#?}");
    assert_eq!(told[0]["cut"], resumed[0]["cut"]);
    let ends_at = |second: usize| events.of("second").nth(second).unwrap()["wall_nanos"].as_i64().unwrap();
    let away = resumed[0]["away"].as_i64().unwrap();
    assert_eq!(ends_at(seconds) - ends_at(seconds - 1), 1_000_000_000 + away);

    // The target knows of what was sent after the last recorded second, and of nothing else that the record does not.
    let (sent, cut) =
        (target.record().await.route("PUT /files/{name}"), run["totals"]["cut"].as_u64().unwrap());
    assert_eq!(resumed[0]["cut"], cut);
    let told = requests(&run) - requests_in(&run, "setup");
    assert!((told - cut..told + 200).contains(&sent), "{sent} came, {told} are recorded, {cut} of them cut");
    assert_eq!(run["totals"]["failed"], 0, "no row came twice: {run:#}");
    assert!(files(&target).await as u64 >= told - cut, "no row came twice");
    assert_eq!((verdict(&run, "available"), verdict(&run, "busy")), ("met", "met"));
    assert!(
        !std::fs::read_dir(desk.path(""))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("-rows-") })
    );
    says(&resume(&desk, &[]).await, &["is not interrupted", "completed"]);
}

#[tokio::test]
async fn what_cannot_go_on_is_refused_with_its_reason() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    desk.write("rows.csv", &rows(900));
    let plan = PLAN.replace("resume: true\n", "").replace("3s } ]", "60s } ]");
    let running = desk.run(&plan).set([target.setting()]).env("KEY", "hunter2").start();
    wait_until(PATIENCE, "the record", async || recorded(&desk).await >= 1).await.unwrap();
    running.signal(Signal::SIGKILL);
    running.ended().await;
    let asked = target.record().await.count();
    let bare = desk.plimsoll(["runs", "resume", "last", "--quiet"]).ended().await;
    says(&bare, &["KEY"]);
    // Its feed hands out each row once, and nobody kept which.
    says(&resume(&desk, &["--anyway"]).await, &["which rows", "resume: true"]);
    // Another plan is another run.
    let other = desk.write("other.yaml", &plan.replace("40/s", "41/s"));
    let set = target.setting();
    says(&resume(&desk, &["--plan", &other, "--set", &set]).await, &["its plan is another now"]);
    let elsewhere = resume(&desk, &["--plan", "plan.yaml", "--set", "target=http://127.0.0.1:9"]).await;
    says(&elsewhere, &["its target was"]);
    std::fs::remove_file(desk.path("rows.csv")).unwrap();
    says(&resume(&desk, &[]).await, &["rows.csv", "--plan FILE"]);
    assert_eq!(target.record().await.count(), asked, "nothing was sent");
}

#[tokio::test]
async fn by_hand_a_run_goes_on_whose_plan_does_not_say_so() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "fixed:5ms"]).await;
    let desk = Desk::new();
    let plan = "name: by-hand\ntarget: http://127.0.0.1:1\nload: { model: closed, stages: [ { hold: 2 users, for: 60s } ], iterations: 700 }\n\
                scenarios: [ { name: main, steps: [ { get: / } ] } ]\n";
    let running = desk.run(plan).set([target.setting()]).start();
    wait_until(PATIENCE, "the record", async || recorded(&desk).await >= 1).await.unwrap();
    running.signal(Signal::SIGKILL);
    running.ended().await;
    says(&resume(&desk, &[]).await, &["does not say `resume: true`", "`--anyway`"]);
    let ended = resume(&desk, &["--anyway"]).await;
    let run = desk.json();
    ends(&ended, &run, 0);
    let events = desk.events().await;
    assert_eq!(events.arrivals().iter().sum::<u64>(), 700, "as many iterations as the plan asks for");
    assert_eq!(events.of("resumed").count(), 1);
}

#[tokio::test]
async fn what_was_stopped_offers_nothing_again() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "fixed:20s"]).await;
    let desk = Desk::new();
    let plan = "name: stopped\ntarget: http://127.0.0.1:1\nresume: true\n\
                load: { stages: [ { hold: 5/s, for: 60s } ], grace: 60s }\n\
                scenarios: [ { name: main, steps: [ { get: / } ] } ]\n";
    let running = desk.run(plan).set([target.setting()]).start();
    wait_until(PATIENCE, "the record", async || recorded(&desk).await >= 1).await.unwrap();
    running.signal(Signal::SIGINT);
    wait_until(PATIENCE, "grace", async || {
        desk.events().await.of("phase").any(|phase| phase["phase"] == "grace")
    })
    .await
    .unwrap();
    running.signal(Signal::SIGKILL);
    running.ended().await;
    let asked = target.record().await.count();
    says(&resume(&desk, &["--anyway"]).await, &["its load had ended at", "it was stopped or aborted"]);
    assert_eq!(target.record().await.count(), asked, "nothing was sent");
}

#[tokio::test]
async fn a_run_that_was_killed_in_its_setup_begins_again_under_its_id() {
    const ID: &str = "01a206cd-9668-7002-ba8f-904c382249fe";
    let _machine = beside_others().await;
    // It answers its setup long after this test.
    let slow = Target::start(["--latency", "fixed:600s"]).await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    desk.write("rows.csv", &rows(990));
    let plan = PLAN.replace("for: 4s", "for: 1s").replace("over: 3s", "over: 1s");
    let plan = plan.replace("grace: 2s", "grace: 2s, max_in_flight: 200");
    let plan = plan.replace("http: {", "http: { timeout: 600s, ");
    assert!(plan.contains("timeout: 600s") && plan.contains("max_in_flight"), "{plan}");
    let begin = |target: &Target| {
        let call = desk.run(&plan).set([target.setting()]).args(["--id", ID, "--quiet"]);
        call.env("KEY", "hunter2")
    };
    let running = begin(&slow).start();
    let rows = desk.path(&format!("history.db-rows-{ID}"));
    wait_until(PATIENCE, "its file of rows", async || rows.exists()).await.unwrap();
    says(&begin(&target).ended().await, &["-rows-", "another process uses it"]);
    running.signal(Signal::SIGKILL);
    running.ended().await;
    assert!(rows.exists(), "it could not remove what it kept");
    let ended = begin(&target).ended().await;
    let run = desk.json();
    ends(&ended, &run, 0);
    assert_eq!((&run["run"]["id"], &run["totals"]["failed"]), (&ID.into(), &0.into()));
    assert!(!rows.exists());
    says(&begin(&target).ended().await, &[&format!("run {ID} is recorded already")]);
    assert!(!rows.exists());

    // That of a run of the same id which another history has is left alone.
    let other = "01a206cd-9668-7002-ba8f-904c382249ff";
    let rows = desk.path(&format!("history.db-rows-{other}"));
    std::fs::write(&rows, "elsewhere.public, made on a day\n12345678").unwrap();
    let asked = target.record().await.count();
    let call = desk.run(&plan).set([target.setting()]).args(["--id", other, "--quiet"]);
    let refused = call.env("KEY", "hunter2").ended().await;
    says(&refused, &["another history (elsewhere.public, made on a day)", "remove the file"]);
    assert_eq!((rows.exists(), target.record().await.count()), (true, asked));
}
