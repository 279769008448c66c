//! What the program says, held against what really happened: a target that froze, a process that was
//! killed, memory that must not grow.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::time::{Duration, Instant, SystemTime};

use harness::{
    Desk, Ended, PATIENCE, Running, Target, alone, beside_others, ends, requests, undisturbed, verdict,
};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use plimsoll_testkit::{binary, wait_for, wait_until};
use serde_json::Value;

/// How long the target is frozen.
const FREEZE: Duration = Duration::from_secs(2);

/// Objectives whose thresholds are counted exactly, so that the spread can be read from the record.
const OBJECTIVES: &str = "
sla:
  - { name: quick, objective: p95(response_time) <= 200ms }
  - { objective: p50(response_time) <= 600ms, severity: warning }
  - { objective: p50(response_time) <= 1400ms, severity: warning }
  - { objective: p50(response_time) <= 1800ms, severity: warning }
";

/// A run whose target stood still for a while.
struct Frozen {
    desk: Desk,
    /// How long it really stood still.
    length: Duration,
    ended: Ended,
}

/// Runs this load against a target that freezes in the middle.
async fn frozen(load: &str) -> (Value, Frozen) {
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let plan = format!(
        "
name: frozen
target: http://127.0.0.1:1
load: {load}
http: {{ connections: 64, timeout: 10s }}
scenarios: [ {{ name: read, steps: [ {{ name: page, get: /products/1 }} ] }} ]
{OBJECTIVES}"
    );
    let run = desk.run(&plan).set([target.setting()]).start();
    let began = first_request(&target).await;
    reach(began + Duration::from_secs(3)).await;
    let since = Instant::now();
    target.freeze();
    reach(since + FREEZE).await;
    target.thaw();
    let length = since.elapsed();
    let ended = run.ended().await;
    let json = desk.json();
    assert_eq!(requests(&json), target.record().await.count(), "nothing is lost in a freeze");
    (json, Frozen { desk, length, ended })
}

async fn first_request(target: &Target) -> Instant {
    target.asked(1).await;
    Instant::now()
}

async fn reach(moment: Instant) {
    wait_until(PATIENCE, "the time to come", async || Instant::now() >= moment).await.unwrap();
}

/// The point of an open model: who would have come while the target stood still did come, and waited.
#[tokio::test]
async fn a_frozen_target_is_blamed_for_everyone_who_would_have_come() {
    let _machine = alone().await;
    let (json, frozen) =
        undisturbed(async || frozen("{ stages: [ { hold: 1000/s, for: 8s } ] }").await).await;
    // Had the freeze been charged to the generator, a quarter of all would have been late, by seconds.
    let lag = &json["validity"]["schedule_lag"];
    assert!(lag["p99"].as_f64().unwrap() < 0.2, "the target stood still, not the generator: {lag}");
    assert_eq!(json["validity"]["generator_drops"], 0);
    ends(&frozen.ended, &json, 3);
    assert_eq!(verdict(&json, "quick"), "missed");
    assert_eq!(json["totals"]["dropped"], 0);
    assert_eq!(json["totals"]["failed"], 0);
    assert_eq!(json["totals"]["requests"], 8000);

    let events = frozen.desk.events().await;
    let offered = events.arrivals();
    assert!(offered.len() >= 8, "{offered:?}");
    for (second, arrivals) in offered.iter().take(8).enumerate() {
        assert!((990..=1010).contains(arrivals), "the rate dipped in second {second}: {offered:?}");
    }

    // Everybody due in the freeze waited for its rest, and for those before them in the queue.
    let slower = |millis| events.slower("response_time", Duration::from_millis(millis));
    let length = frozen.length.as_millis() as f64;
    let waited = slower(200) as f64;
    assert!(((length - 200.0) * 0.95..length * 1.5).contains(&waited), "{waited} of {length} ms");
    for (from, to) in [(200, 600), (600, 1000), (1000, 1400), (1400, 1800)] {
        let between = slower(from) - slower(to);
        // 400 are due in 400 ms; the queue that drains behind the freeze squeezes more of them together.
        assert!((380..=800).contains(&between), "{between} between {from} and {to} ms");
    }
    let longest = json["response_time"]["max"].as_f64().unwrap();
    assert!((length / 1000.0 - 0.1..length / 1000.0 + 1.0).contains(&longest), "{longest}");

    // On the wire were only those that had a connection.
    let in_service = events.slower("service_time", Duration::from_millis(500));
    assert!((1..=70).contains(&in_service), "{in_service} were slow in service, of 64 connections");
    assert!(json["service_time"]["p95"].as_f64().unwrap() < 0.1, "{}", json["service_time"]);
    assert!(json["wait"]["p99"].as_f64().unwrap() > 1.0, "they waited for a connection: {}", json["wait"]);
}

/// The same freeze, seen by users who wait for their answer before they ask again: it all but vanishes.
#[tokio::test]
async fn a_closed_model_hides_the_same_freeze() {
    let _machine = alone().await;
    let (json, frozen) =
        undisturbed(async || frozen("{ model: closed, stages: [ { hold: 64 users, for: 8s } ] }").await)
            .await;
    let events = frozen.desk.events().await;
    let slow = events.slower("response_time", Duration::from_secs(1));
    assert!((1..=64).contains(&slow), "one request of each user met the freeze: {slow}");
    let count = json["response_time"]["count"].as_u64().unwrap();
    assert!(count > 6_400, "a hundred times as many did not: {count}");
    assert!(json["response_time"]["p95"].as_f64().unwrap() < 0.2, "{}", json["response_time"]);
    assert!(json["response_time"]["p99"].as_f64().unwrap() < 0.5, "{}", json["response_time"]);
    let longest = json["response_time"]["max"].as_f64().unwrap();
    assert!(longest > frozen.length.as_secs_f64() - 0.1, "{longest}");
    assert_eq!(verdict(&json, "quick"), "met", "this is why users are no measure of a stall");
}

const STEADY: &str = "
name: killed
target: http://127.0.0.1:1
load: { warmup: 2s, stages: [ { hold: 200/s, for: 10m } ] }
scenarios: [ { name: read, steps: [ { name: page, get: /products/1 } ] } ]
";

#[tokio::test]
async fn a_killed_run_keeps_every_second_that_was_over() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "uniform:1ms..5ms"]).await;
    let desk = Desk::new();
    let run = desk.run(STEADY).set([target.setting()]).start();
    target.asked(1500).await;
    let killed = since_epoch();
    run.signal(Signal::SIGKILL);
    let ended = run.ended().await;
    assert_eq!(ended.code, -1, "by a signal");

    let events = desk.events().await;
    let started = events.of("started").next().unwrap()["run"]["started_nanos"].as_f64().unwrap() / 1e9;
    let over = (killed - started - 1.0).floor() as u64;
    let seconds: Vec<_> = events.of("second").map(|second| second["second"].as_u64().unwrap()).collect();
    assert_eq!(seconds, (0..seconds.len() as u64).collect::<Vec<_>>(), "none is missing between");
    assert!(seconds.len() as u64 >= over, "{} of {over} seconds", seconds.len());
    assert!(over >= 6, "{over}");
    let whole = &events.arrivals()[..over as usize];
    assert!(whole.iter().all(|arrivals| *arrivals == 200), "{whole:?}");

    let shown = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["run"]["status"], "interrupted");
    // Whoever was in flight at the last second's end is in no second.
    let done = requests(&shown);
    assert!((over * 200 - 20..=target.record().await.count()).contains(&done), "{done}");
    let text = desk.plimsoll(["runs", "show", "last"]).ended().await;
    assert!(text.stdout.contains("interrupted"), "{}", text.stdout);
    let listed = desk.plimsoll(["runs", "list", "--json", "-"]).ended().await;
    assert!(listed.stdout.contains("\"interrupted\""), "{}", listed.stdout);

    // The file is none the worse for it.
    let again = desk.run(STEADY).set([target.setting(), "load.stages[0].for=3s".to_owned()]).ended().await;
    ends(&again, &desk.json(), 0);
    assert_eq!(desk.json()["totals"]["requests"], 200, "the third second; the first two are warm-up");
    let ids: Value =
        serde_json::from_str(&desk.plimsoll(["runs", "list", "--json", "-"]).ended().await.stdout).unwrap();
    assert_eq!(ids.as_array().unwrap().len(), 2);
    assert_eq!(shown["run"]["id"], ids[0]["id"], "the latest stands last");
}

fn since_epoch() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A live run can be looked at from another process, second by second.
#[tokio::test]
async fn a_live_run_is_shown_while_it_goes_on() {
    let _machine = beside_others().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let run = desk.run(STEADY).set([target.setting()]).start();
    let seen = wait_for(PATIENCE, "two measured seconds", async || {
        let shown = desk.plimsoll(["runs", "show", "last", "--json", "-"]).ended().await;
        let shown: Value = serde_json::from_str(&shown.stdout).map_err(|error| error.to_string())?;
        match shown["totals"]["requests"].as_u64() {
            Some(400..) => Ok(shown),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await
    .unwrap();
    assert_eq!(seen["run"]["status"], "running");
    assert_eq!(seen["run"]["ended"], Value::Null);
    let refused = desk.plimsoll(["runs", "delete", "last"]).ended().await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("still running"), "{}", refused.stderr);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.ended().await.code, 130);
}

#[tokio::test]
async fn memory_stays_flat_at_full_speed() {
    let _machine = alone().await;
    let target = Target::start(["--latency", "none"]).await;
    let desk = Desk::new();
    let plan = "
name: flat
target: http://127.0.0.1:1
load: { model: closed, stages: [ { hold: 64 users, for: 12s } ] }
scenarios: [ { name: read, steps: [ { name: page, get: /products/1 } ] } ]
";
    let run = desk.run(plan).set([target.setting()]).start();
    let began = first_request(&target).await;
    let early = resident_at(&run, began + Duration::from_secs(4)).await;
    let late = resident_at(&run, began + Duration::from_secs(11)).await;
    let ended = run.ended().await;
    let json = desk.json();
    ends(&ended, &json, 0);
    let count = requests(&json);
    assert!(count > 10_000, "{count}");
    // Caches and spare histograms fill in the first half minute, more of them where seconds are closed
    // late; from then on it is flat, which only hours can show.
    let grown = late.saturating_sub(early);
    assert!(grown < 32_000_000, "from {early} to {late} bytes over some {count} requests");
    assert!(late < 150_000_000, "{late}");
}

async fn resident_at(run: &Running, moment: Instant) -> u64 {
    reach(moment).await;
    run.resident()
}

/// A processor that others keep busy: whoever is pinned to it hardly runs.
struct Crowd {
    processor: String,
    _others: Vec<Running>,
}

impl Crowd {
    /// Three that do nothing but count, on the last processor this test may use.
    fn gather(desk: &Desk) -> Self {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let last = (0..CpuSet::count()).rfind(|processor| allowed.is_set(*processor).unwrap()).unwrap();
        let processor = last.to_string();
        let other = || desk.program("taskset", ["-c", &processor, "sh", "-c", "while :; do :; done"]).start();
        Self { _others: (0..3).map(|_| other()).collect(), processor }
    }

    /// Runs a plan among them, with a tenth of the weight that each of them has.
    async fn run(&self, desk: &Desk, plan: &str, more: &[&str]) -> (Value, Ended) {
        let plan = desk.write("plan.yaml", plan);
        let plimsoll = binary("plimsoll").unwrap();
        let call = desk.program("taskset", ["-c", &self.processor, "nice", "-n", "10"]).arg(plimsoll);
        let json = desk.path("run.json");
        let ended = call.args(["run", &plan, "--json"]).arg(json).args(more).ended().await;
        (desk.json(), ended)
    }
}

/// 500/s take a quarter of a second of processor time per second at the very most, and there is a thirtieth.
#[tokio::test]
async fn a_starved_generator_is_invalid_and_says_why() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(["--latency", "none"]).await, Desk::new());
    let crowd = Crowd::gather(&desk);
    let (json, ended) = crowd.run(&desk, &steady(&target, "500/s"), &[]).await;
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let validity = &json["validity"];
    assert_eq!(validity["verdict"], "invalid", "{validity}");
    let reason = validity["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("the generator, not the target, added up to "), "{reason}");
    assert!(reason.contains("CPU") && reason.contains(" UTC"), "{reason}");
}

/// Too few requests for a p99 make a run suspect at worst, however late they were.
#[tokio::test]
async fn a_suspect_generator_counts_where_strictness_was_asked_for() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(["--latency", "none"]).await, Desk::new());
    let crowd = Crowd::gather(&desk);
    for (more, code) in [(&[][..], 0), (&["--strict"], 4)] {
        let (json, ended) = crowd.run(&desk, &steady(&target, "20/s"), more).await;
        assert_eq!(json["validity"]["verdict"], "suspect", "{}", json["validity"]);
        assert_eq!(ended.code, code, "{more:?}: {}", ended.stderr);
    }
}

fn steady(target: &Target, rate: &str) -> String {
    format!(
        "
name: steady
target: {}
load: {{ stages: [ {{ hold: {rate}, for: 4s }} ], grace: 60s }}
http: {{ timeout: 60s }}
scenarios: [ {{ name: read, steps: [ {{ name: page, get: /products/1 }} ] }} ]
",
        target.url()
    )
}

/// Under one real-time policy nobody interrupts anybody, and judging a second would hold up arrivals.
#[tokio::test]
async fn only_the_workers_keep_a_real_time_priority() {
    let _others = beside_others().await;
    let (target, desk) = (Target::start(["--latency", "none"]).await, Desk::new());
    if desk.program("chrt", ["--fifo", "10", "true"]).ended().await.code != 0 {
        return eprintln!("!!! NOT CHECKED: this user may not give a program a real-time priority");
    }
    let plan = desk.write("plan.yaml", &steady(&target, "50/s"));
    let program = binary("plimsoll").unwrap();
    let command =
        ["--fifo", "10", program.to_str().unwrap(), "run", &plan, "--no-calibrate", "--json", "run.json"];
    let run = desk.program("chrt", command).start();
    let is_complete = |threads: &[(String, i32)]| threads.iter().any(|(name, _)| name == "sqlx-sqlite-wor");
    let threads = wait_for(PATIENCE, "a worker and a record", async || {
        let threads = scheduling(run.id());
        let worker = threads.iter().find(|(name, _)| name == "worker-0");
        let is_ready = worker.is_some_and(|(_, policy)| *policy == SCHED_FIFO) && is_complete(&threads);
        if is_ready { Ok(threads) } else { Err(format!("{threads:?}")) }
    });
    let threads = threads.await.unwrap();
    let urgent = threads.iter().filter(|(_, policy)| *policy != SCHED_OTHER);
    assert!(urgent.clone().all(|(name, _)| name.starts_with("worker-")), "{threads:?}");
    ends(&run.ended().await, &desk.json(), 0);
}

/// Of `sched(7)`.
const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;

/// The threads of a process: name and scheduling policy, the 41st field of `stat` (`proc_pid_stat(5)`).
fn scheduling(process: u32) -> Vec<(String, i32)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let of = |folder: std::path::PathBuf| {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let (head, fields) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        Some((name.to_owned(), fields.split_whitespace().nth(38)?.parse().ok()?))
    };
    tasks.filter_map(|task| of(task.ok()?.path())).collect()
}

/// What this machine adds is learnt from a target of our own: the plan's hears nothing of it.
#[tokio::test]
async fn calibration_learns_of_the_machine_and_leaves_the_target_alone() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(["--latency", "none"]).await, Desk::new());
    let plan = desk.write("plan.yaml", &steady(&target, "100/s"));
    let ended = desk.plimsoll(["calibrate", &plan, "--json", "-"]).ended().await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("noise floor") && ended.stderr.contains("highest rate"),
        "{}",
        ended.stderr
    );
    let calibration: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(calibration["highest_rate"].as_f64().unwrap() > 0.0, "{calibration}");
    assert!(calibration["service_time"]["p50"].as_f64().unwrap() > 0.0, "{calibration}");
    assert_eq!(target.record().await.count(), 0);
}

#[tokio::test]
async fn a_plan_that_asks_for_more_than_the_machine_has_is_told_before() {
    let _machine = alone().await;
    let (target, desk) = (Target::start(["--latency", "none"]).await, Desk::new());
    let plan = steady(&target, "1000000/s");
    let run = desk.run(&plan).set(["load.stages[0].for=10s", "load.max_in_flight=4"]).start();
    let told = async || match run.stderr() {
        said if said.contains("warning: the plan asks for up to 1000000 iterations/s") => Ok(()),
        said => Err(said),
    };
    wait_for(PATIENCE, "the warning", told).await.unwrap();
    run.signal(Signal::SIGINT);
    let ended = run.ended().await;
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    let json = desk.json();
    assert!(json["calibration"]["highest_rate"].as_f64().unwrap() < 1e6, "{}", json["calibration"]);

    // A short run would spend much of its time on it, and nobody has to wait for it.
    for (length, more) in [("1s", &[][..]), ("10s", &["--no-calibrate"])] {
        let run = desk.run(&steady(&target, "20/s")).set([format!("load.stages[0].for={length}")]).args(more);
        let ended = run.ended().await;
        ends(&ended, &desk.json(), 0);
        assert_eq!(desk.json()["calibration"], Value::Null);
    }
}
