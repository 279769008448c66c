//! Runs that are steered while they go on, from another process.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use harness::{Desk, Ended, PATIENCE, Target, alone, beside_others};
use nix::sys::signal::Signal;
use plimsoll_testkit::wait_until;
use serde_json::Value;

const OPEN: &str = r#"
name: steered
target: http://127.0.0.1:1
load: { stages: [ { hold: 50/s, for: 60s } ] }
scenarios: [ { name: main, steps: [ { get: "/products" } ] } ]
"#;

async fn control(desk: &Desk, words: &[&str]) -> Ended {
    desk.plimsoll([&["control"], words].concat()).ended().await
}

/// Steers the run, and says from which second on.
async fn steer(desk: &Desk, words: &[&str]) -> f64 {
    let ended = control(desk, &[&["latest"], words, &["--json", "-"]].concat()).await;
    assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
    serde_json::from_str::<Value>(&ended.stdout).unwrap()["effective_seconds"].as_f64().unwrap()
}

/// The run, as a list tells of it.
async fn listed(desk: &Desk) -> Value {
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    let runs: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
    runs[0].clone()
}

async fn live(desk: &Desk) -> bool {
    listed(desk).await["status"] == "running"
}

/// Seconds of the run that are recorded.
async fn recorded(desk: &Desk) -> f64 {
    listed(desk).await["duration_seconds"].as_f64().unwrap_or_default()
}

/// Waits until a second that began behind this moment is recorded whole.
async fn a_second_behind(desk: &Desk, moment: f64) {
    let last = moment.ceil() + 1.0;
    wait_until(PATIENCE, "a whole second", async || recorded(desk).await >= last).await.unwrap();
}

/// Rates asked for and arrivals, by second, as the record has them.
async fn seconds(desk: &Desk) -> Vec<(f64, u64)> {
    let exported = desk.plimsoll(["runs", "export", "last"]).ended().await;
    let events = exported.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let seconds = events.filter(|event| event["event"] == "second").map(|second| {
        let series = second["iterations"].as_array().cloned().unwrap_or_default();
        let arrivals = series.iter().filter_map(|series| series["arrivals"].as_u64()).sum();
        (second["offered_rate"].as_f64().unwrap_or_default(), arrivals)
    });
    seconds.collect()
}

#[tokio::test]
async fn a_run_follows_what_another_process_asks_of_it() {
    let _machine = alone().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let running = desk.run(OPEN).set([target.setting()]).args(["--no-calibrate"]).start();
    wait_until(PATIENCE, "the run", async || live(&desk).await).await.unwrap();
    let fast = steer(&desk, &["rate", "400/s"]).await;
    a_second_behind(&desk, fast).await;
    let paused = steer(&desk, &["pause"]).await;
    a_second_behind(&desk, paused).await;
    let resumed = steer(&desk, &["resume"]).await;
    a_second_behind(&desk, resumed).await;
    let doubled = steer(&desk, &["rate", "200%"]).await;
    a_second_behind(&desk, doubled).await;
    let stopped = steer(&desk, &["stop"]).await;
    let ended = running.ended().await;
    assert_eq!(ended.code, 130, "{ended:?}");

    // What was asked for, and what was due, in every second that one level had to itself.
    let found = seconds(&desk).await;
    let levels = [
        (0.0, fast, 50_u32),
        (fast, paused, 400),
        (paused, resumed, 0),
        (resumed, doubled, 50),
        (doubled, stopped, 100),
    ];
    for (from, to, level) in levels {
        let whole = from.ceil() as usize..to.floor() as usize;
        assert!(!whole.is_empty() || from == 0.0, "{levels:?}");
        for second in whole {
            let (asked, arrivals) = found[second];
            assert!((asked - f64::from(level)).abs() < 1e-6, "second {second}: {asked}/s of {level}/s");
            assert!(arrivals.abs_diff(level.into()) <= 1, "second {second}: {arrivals} of {level}");
        }
    }
    // To the arrival, over all of them: the integral of what was asked for, in full seconds.
    let last = stopped.floor() as usize;
    let due: f64 = found[..last].iter().map(|(asked, _)| asked).sum();
    let arrivals: u64 = found[..last].iter().map(|(_, arrivals)| arrivals).sum();
    assert!((arrivals as f64 - due).abs() <= 2.0, "{arrivals} of {due}");

    let result = desk.json();
    let changes: Vec<_> =
        result["steered"].as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["rate 400/s", "pause", "resume", "scale 2", "stop"]);
    assert_eq!((&result["stages"][0]["steered"], &result["stages"][0]["to"]), (&true.into(), &50.0.into()));
    let all = result["totals"]["arrivals"].as_u64().unwrap();
    assert_eq!(target.record().await.count(), all, "every arrival was one request");
    assert!(ended.stdout.contains("The load was steered while the run went on"), "{}", ended.stdout);
    assert!(
        result["run"]["reason"].as_str().unwrap().starts_with("stopped by request of "),
        "{}",
        result["run"]
    );
}

const PEOPLE: &str = r#"
name: people
target: http://127.0.0.1:1
load: { stages: [ { hold: 20/s, for: 60s } ] }
scenarios:
  - { name: browse, steps: [ { get: "/products" } ] }
  - { name: buy, steps: [ { get: "/search" } ] }
  - name: people
    load: { model: closed, stages: [ { hold: 2 users, for: 60s } ] }
    pacing: 100ms
    steps: [ { get: "/" } ]
"#;

#[tokio::test]
async fn users_of_one_scenario_come_and_go_and_what_cannot_be_is_said() {
    let _machine = alone().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let running = desk.run(PEOPLE).set([target.setting()]).args(["--no-calibrate"]).start();
    wait_until(PATIENCE, "the run", async || live(&desk).await).await.unwrap();
    let more = steer(&desk, &["users", "8", "--scenario", "people"]).await;
    for (words, told) in [
        (
            &["users", "8", "--scenario", "nobody"][..],
            "the plan has no scenario `nobody`; it has `browse`, `buy`, `people`",
        ),
        (&["rate", "8/s", "--scenario", "buy"], "`browse`, `buy` share one by weight"),
        (&["rate", "8/s", "--scenario", "people"], "ask for `users`"),
        (&["users", "8"], "ask for a `rate`"),
        (&["rate", "x2000"], "a factor is above 0 and at most 1000"),
        (&["rate", "11M/s"], "up to 10M/s"),
    ] {
        let ended = control(&desk, &[&["latest"], words].concat()).await;
        assert_eq!(ended.code, 2, "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(told), "{words:?}: {}", ended.stderr);
    }
    let fewer = steer(&desk, &["users", "plan", "--scenario", "people"]).await;
    steer(&desk, &["stop"]).await;
    assert_eq!(running.ended().await.code, 130);
    let found = seconds(&desk).await;
    // A second after the change each of 8 users starts 10 iterations a second; beside them are 20 arrivals.
    let within = (more.ceil() as usize + 1)..(fewer.floor() as usize);
    assert!(!within.is_empty(), "{more} to {fewer}");
    for second in within {
        assert!(found[second].1.abs_diff(100) <= 4, "second {second}: {found:?}");
    }
    let result = desk.json();
    let scenarios: Vec<_> =
        result["steered"].as_array().unwrap().iter().map(|one| one["scenario"].clone()).collect();
    assert_eq!(scenarios, ["people".into(), "people".into(), Value::Null]);
    let users =
        result["scenarios"].as_array().unwrap().iter().find(|one| one["name"] == "people").unwrap()["users"]
            .clone();
    assert_eq!(users, 8, "the most that were asked for");
}

#[tokio::test]
async fn nobody_is_steered_who_is_not_there() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let none = control(&desk, &["latest", "pause"]).await;
    assert_eq!((none.code, none.stderr.contains("no run is recorded yet")), (2, true), "{none:?}");
    let running = desk.run(OPEN).set([target.setting()]).args(["--no-calibrate"]).start();
    wait_until(PATIENCE, "the run", async || live(&desk).await).await.unwrap();
    let unknown = control(&desk, &["no-such-run", "pause"]).await;
    assert_eq!((unknown.code, unknown.stderr.contains("no run's id starts with")), (2, true), "{unknown:?}");
    // A process that hangs: the command is taken back, and does nothing when it wakes.
    running.signal(Signal::SIGSTOP);
    let unheard = control(&desk, &["latest", "stop"]).await;
    running.signal(Signal::SIGCONT);
    assert_eq!((unheard.code, unheard.stderr.contains("nothing has changed")), (5, true), "{unheard:?}");
    // It looks for commands with every second that it records.
    let awake = recorded(&desk).await;
    a_second_behind(&desk, awake + 2.0).await;
    assert!(live(&desk).await, "it goes on");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.ended().await.code, -1);
    let gone = control(&desk, &["latest", "pause"]).await;
    let told = "has ended (interrupted): there is nothing left to steer";
    assert_eq!((gone.code, gone.stderr.contains(told)), (2, true), "{gone:?}");
}
