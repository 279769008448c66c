//! Plans that `plimsoll serve` starts: by schedule, on demand, over edits, kills and its own end.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::{Desk, PATIENCE, Running, Target, beside_others, ends, free_port};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plimsoll_testkit::{Program, wait_for};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Service {
    running: Running,
    address: String,
    client: reqwest::Client,
}

impl Service {
    async fn start(desk: &Desk, config: &str) -> Self {
        let config = desk.write("plimsoll.yaml", config);
        let address = format!("127.0.0.1:{}", free_port());
        let running = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Self { running, address, client };
        wait_for(PATIENCE, "the service", async || {
            let url = format!("http://{}/readyz", service.address);
            let answer = service.client.get(url).send().await.map_err(|error| error.to_string())?;
            answer.error_for_status().map(drop).map_err(|error| error.to_string())
        })
        .await
        .unwrap();
        service
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("http://{}/api/v1/{path}", self.address));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, told) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {told:#}");
        told
    }

    /// Waits until what is told at a path is so.
    async fn wait(&self, what: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(PATIENCE, what, async || {
            let told = self.get(path).await;
            if is_so(&told) { Ok(told) } else { Err(format!("{told:#}")) }
        })
        .await
        .unwrap()
    }

    /// The one schedule, once it is so.
    async fn schedule(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let told = self.wait(what, "schedules", |told| is_so(&told["schedules"][0])).await;
        told["schedules"][0].clone()
    }
}

fn plan(target: &Target, seconds: u32) -> String {
    format!(
        "name: watched\ntarget: {}\nload: {{ stages: [{{ hold: 20/s, for: {seconds}s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n",
        target.url()
    )
}

fn notes(schedule: &Value) -> String {
    let notes = schedule["notes"].as_array().unwrap();
    notes.iter().map(|note| note["words"].as_str().unwrap().to_owned() + "\n").collect()
}

/// The runs of a list that go on.
fn live(told: &Value) -> Vec<String> {
    let rows = told["runs"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["status"] == "running");
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_continuous_schedule_goes_on_over_a_kill_of_the_service() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/watched.yaml", &plan(&target, 600));
    let config = "plans: plans\nschedules: [{ name: all-day, plan: watched, when: continuous }]\n";
    let service = Service::start(&desk, config).await;
    let started = service.schedule("a run", |told| told["run"].is_string()).await;
    let run = started["run"].as_str().unwrap().to_owned();
    service.wait("the run's record", "runs", |told| live(told) == [run.clone()]).await;

    // Killed: the run goes on, and the next service knows it for its own and starts no second one.
    service.running.signal(Signal::SIGKILL);
    service.running.ended().await;
    let service = Service::start(&desk, config).await;
    let adopted = service.schedule("the run again", |told| told["run"].is_string()).await;
    assert_eq!(adopted["run"].as_str(), Some(&*run));
    assert_eq!(live(&service.get("runs").await), std::slice::from_ref(&run));

    // When it ends, the next one begins. Its process is no child of this service.
    let owner = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.ok()?.file_name().to_str()?.parse::<i32>().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
        line.contains(&run).then_some(process)
    });
    let owner = owner.collect::<Vec<_>>();
    assert_eq!(owner.len(), 1, "{owner:?}");
    kill(Pid::from_raw(owner[0]), Signal::SIGINT).unwrap();
    let next =
        service.schedule("the next run", |told| told["run"].as_str().is_some_and(|id| id != run)).await;
    assert!(notes(&next).contains(&format!("run {run} ended: interrupted")), "{}", notes(&next));

    // Told to stop, it stops what it started and waits for the record.
    let next = next["run"].as_str().unwrap().to_owned();
    service.wait("the next run's record", "runs", |told| live(told) == [next.clone()]).await;
    service.running.signal(Signal::SIGTERM);
    let ended = service.running.ended().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let listed = desk.plimsoll(["runs", "list"]).ended().await.stdout;
    assert_eq!(listed.matches("interrupted").count(), 2, "{listed}");
}

/// The process that makes a run, as its command line tells.
fn process_of(run: &str) -> Option<Pid> {
    let named = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.ok()?.file_name().to_str()?.parse::<i32>().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
        line.contains(run).then_some(process)
    });
    named.max().map(Pid::from_raw)
}

#[tokio::test]
async fn runs_that_were_killed_go_on_with_and_without_their_service() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/watched.yaml", &format!("{}resume: true\n", plan(&target, 600)));
    let config = "plans: plans\nschedules: [{ name: all-day, plan: watched, when: continuous }]\n";
    let service = Service::start(&desk, config).await;
    let started = service.schedule("a run", |told| told["run"].is_string()).await;
    let run = started["run"].as_str().unwrap().to_owned();
    let seconds = format!("runs/{run}");
    let lasted = |told: &Value| told["run"]["duration_seconds"].as_f64().unwrap_or(0.0);
    service.wait("the run's record", "runs", |told| live(told) == [run.clone()]).await;
    service.wait("its seconds", &seconds, |told| lasted(told) >= 2.0).await;

    // Its process alone is killed: the service sees it and goes on with it.
    kill(process_of(&run).unwrap(), Signal::SIGKILL).unwrap();
    let word = format!("the process of run {run} died; it goes on");
    let same = service.schedule("the same run", |told| notes(told).contains(&word)).await;
    assert_eq!(same["run"].as_str(), Some(&*run));
    let was = lasted(&service.get(&seconds).await);
    service.wait("more seconds", &seconds, |told| lasted(told) >= was + 2.0).await;

    // Both are killed, as a machine without power does: the next service goes on with it.
    service.running.signal(Signal::SIGKILL);
    service.running.ended().await;
    kill(process_of(&run).unwrap(), Signal::SIGKILL).unwrap();
    wait_for(PATIENCE, "the end of the process", async || match process_of(&run) {
        None => Ok(()),
        Some(process) => Err(process.to_string()),
    })
    .await
    .unwrap();
    let service = Service::start(&desk, config).await;
    let same = service.schedule("the same run", |told| notes(told).contains(&word)).await;
    assert_eq!(same["run"].as_str(), Some(&*run));
    let was = lasted(&service.get(&seconds).await);
    service.wait("more seconds", &seconds, |told| lasted(told) >= was + 2.0).await;
    assert_eq!(service.get("runs").await["runs"].as_array().unwrap().len(), 1, "it is one run");

    // Told to stop, it ends for good.
    service.running.signal(Signal::SIGTERM);
    let ended = service.running.ended().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let exported = desk.plimsoll(["runs", "export", &run]).ended().await.stdout;
    let resumed = exported.lines().filter(|line| line.starts_with("{\"event\":\"resumed\"")).count();
    assert_eq!(resumed, 2, "{exported}");
    let service = Service::start(&desk, config).await;
    let next = service.schedule("another run", |told| told["run"].is_string()).await;
    assert_ne!(next["run"].as_str(), Some(&*run));
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
}

#[tokio::test]
async fn plans_are_started_on_demand_within_the_ceilings() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/long.yaml", &plan(&target, 600));
    desk.write("plans/short.yaml", &plan(&target, 1));
    desk.write("plans/wrong.yaml", "name: wrong\n");
    desk.write("plans/away.yaml", &plan(&target, 1).replace(&target.url(), "http://192.0.2.1"));
    desk.write("plans/fast.yaml", &plan(&target, 1).replace("20/s", "500/s"));
    let config = "plans: plans\nceilings: { rate: 50/s, runs: 2 }\n\
                  schedules: [{ name: spike, plan: short, when: on_demand }]\n";
    let service = Service::start(&desk, config).await;
    let told = service.wait("the plans", "plans", |told| told["plans"].as_array().unwrap().len() == 5).await;
    let by_name =
        |name: &str| told["plans"].as_array().unwrap().iter().find(|plan| plan["name"] == name).cloned();
    assert_eq!(by_name("long").unwrap()["facts"]["peak_rate"], 20.0);
    assert_eq!(by_name("long").unwrap()["facts"]["duration_seconds"], 600.0);
    let wrong = by_name("wrong").unwrap();
    assert!(wrong["facts"].is_null() && wrong["errors"][0]["line"] == 1, "{wrong:#}");

    let start = async |plan: &str| service.ask(Method::POST, "runs", Some(json!({ "plan": plan }))).await;
    for (plan, status, words) in [
        (
            "nothing",
            StatusCode::NOT_FOUND,
            "there is no plan `nothing`; there are `away`, `fast`, `long`, `short`, `wrong`",
        ),
        ("wrong", StatusCode::UNPROCESSABLE_ENTITY, "the plan has no `target`"),
        (
            "away",
            StatusCode::FORBIDDEN,
            "`192.0.2.1` (192.0.2.1) is not among the targets that are allowed: loopback",
        ),
        ("fast", StatusCode::CONFLICT, "it asks for 500 arrivals/s, and the ceiling is 50"),
    ] {
        let (found, told) = start(plan).await;
        assert_eq!(found, status, "{told:#}");
        assert!(told["detail"].as_str().unwrap().contains(words), "{told:#}");
    }

    // Two of 20/s have room, a third has none.
    let (status, first) = start("long").await;
    assert_eq!(status, StatusCode::CREATED, "{first:#}");
    let (status, made) = service.ask(Method::POST, "schedules/spike/start", None).await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
    let (status, told) = start("long").await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    let (status, told) = service.ask(Method::POST, "schedules/spike/start", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    let spike = service.schedule("the end of the spike", |told| notes(told).contains("completed")).await;
    assert!(notes(&spike).starts_with("started run "), "{}", notes(&spike));
    let path = format!("runs/{}", made["id"].as_str().unwrap());
    let run = service.wait("its record", &path, |run| run["run"]["status"] == "completed").await;
    assert_eq!(run["run"]["tags"]["schedule"], "spike");

    // A wrong edit changes nothing but what is said of it.
    desk.write("plans/short.yaml", &plan(&target, 1).replace("hold: 20/s", "hold: fast"));
    let refused = |told: &Value| told["wrong"].is_string() && told["facts"].is_object();
    let told = service.wait("the edit to be refused", "plans/short", refused).await;
    assert!(told["wrong"].as_str().unwrap().contains("short.yaml:3:"), "{told:#}");
    assert!(told["text"].as_str().unwrap().contains("hold: fast"), "{told:#}");
    assert!(told["last_right"].as_str().unwrap().contains("20/s"), "{told:#}");
    let (status, _) = service.ask(Method::POST, "schedules/spike/start", None).await;
    assert_eq!(status, StatusCode::CREATED, "what was right is what runs");

    // Texts are checked without a file.
    let text = |text: &str| Some(json!({ "text": text }));
    let (status, told) = service.ask(Method::POST, "plans/validate", text(&plan(&target, 2))).await;
    assert_eq!((status, told["duration_seconds"].as_f64()), (StatusCode::OK, Some(2.0)), "{told:#}");
    let (status, told) = service.ask(Method::POST, "plans/validate", text("name: a\nlod: {}\n")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let errors = told["errors"].as_array().unwrap();
    assert!(
        errors.iter().any(|error| error["line"] == 2 && error["message"].as_str().unwrap().contains("`lod`")),
        "{told:#}"
    );

    // Who started what is known.
    let audit = service.get("audit").await;
    let entries = audit["entries"].as_array().unwrap().iter();
    let starts = entries.filter(|entry| entry["action"].as_str().unwrap().ends_with(".start")).count();
    assert!(starts >= 4, "{audit:#}");

    // A second service on the same record is refused.
    let config = desk.path("plimsoll.yaml").display().to_string();
    let second = desk.plimsoll(["serve", "-c", &config, "--listen", "127.0.0.1:0"]).ended().await;
    assert_eq!(second.code, 2, "{second:?}");
    service.running.signal(Signal::SIGINT);
    assert_eq!(service.running.ended().await.code, 0);
}

#[tokio::test]
async fn a_run_is_steered_within_the_ceilings_of_the_service() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/long.yaml", &plan(&target, 600));
    let config = "plans: plans\nceilings: { rate: 70/s }\n";
    let service = Service::start(&desk, config).await;
    service.wait("the plan", "plans", |told| told["plans"][0]["facts"].is_object()).await;
    let start = async || {
        let (status, told) = service.ask(Method::POST, "runs", Some(json!({ "plan": "long" }))).await;
        (status, told["id"].as_str().unwrap_or_default().to_owned())
    };
    let steer = async |run: &str, value: &str| {
        let body = json!({ "command": "rate", "value": value });
        service.ask(Method::POST, &format!("runs/{run}/control"), Some(body)).await
    };
    let (_, first) = start().await;
    let (_, second) = start().await;
    service.wait("both", "runs", |told| live(told).len() == 2).await;

    // Two of 20/s have 70/s together.
    let (status, told) = steer(&first, "60/s").await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    let words = "it asks for 60 arrivals/s; others have 20 of the 70 there may be";
    assert!(told["detail"].as_str().unwrap().contains(words), "{told:#}");
    let (status, told) = steer(&first, "x2").await;
    assert_eq!(status, StatusCode::OK, "{told:#}");
    assert!(told["from"].as_f64().unwrap() > 0.0, "{told:#}");
    assert!(told["text"].as_str().unwrap().ends_with("2 times the plan, asked for by local"), "{told:#}");
    let (status, told) = steer(&second, "31/s").await;
    assert_eq!(status, StatusCode::CONFLICT, "what was steered counts: {told:#}");
    assert_eq!(start().await.0, StatusCode::CONFLICT);

    // Less makes room.
    assert_eq!(steer(&first, "5/s").await.0, StatusCode::OK);
    assert_eq!(steer(&second, "31/s").await.0, StatusCode::OK);
    assert_eq!(start().await.0, StatusCode::CREATED);
    let path = format!("runs/{first}");
    let steered = service.wait("the record", &path, |run| run["steered"].as_array().map(Vec::len) == Some(2));
    assert_eq!(steered.await["steered"][1]["change"], "rate 5/s");
    service.running.signal(Signal::SIGINT);
    assert_eq!(service.running.ended().await.code, 0);
}

#[tokio::test]
async fn a_paused_schedule_stays_paused_in_the_next_service() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/watched.yaml", &plan(&target, 1));
    let config = "plans: plans\nschedules: [{ name: often, plan: watched, when: \"* * * * *\" }]\n";
    let service = Service::start(&desk, config).await;
    let told = service.schedule("a time", |told| told["next"].is_string()).await;
    assert_eq!(told["when"], "* * * * * UTC");
    let (status, _) = service.ask(Method::POST, "schedules/often/pause", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    service.schedule("the pause", |told| told["paused"] == true && told["next"].is_null()).await;
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
    let service = Service::start(&desk, config).await;
    service.schedule("the pause again", |told| told["paused"] == true && told["next"].is_null()).await;
    let (status, _) = service.ask(Method::POST, "schedules/often/resume", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    service.schedule("a time again", |told| told["paused"] == false && told["next"].is_string()).await;
    let (status, told) = service.ask(Method::POST, "schedules/never/pause", None).await;
    assert_eq!(
        (status, told["detail"].as_str()),
        (StatusCode::NOT_FOUND, Some("no schedule is called `never`"))
    );
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
}

#[tokio::test]
async fn a_schedule_sends_nothing_where_runs_may_not_be_sent() {
    let _turn = beside_others().await;
    let desk = Desk::new();
    std::fs::create_dir(desk.path("plans")).unwrap();
    let plan = "name: away\ntarget: http://192.0.2.1\nload: { stages: [{ hold: 1/s, for: 1s }] }\n\
                scenarios: [{ name: all, steps: [{ get: / }] }]\n";
    desk.write("plans/away.yaml", plan);
    let config = "plans: plans\nschedules: [{ name: always, plan: away, when: continuous }]\n";
    let service = Service::start(&desk, config).await;
    let told = service.schedule("the refusal", |told| notes(told).contains("was refused")).await;
    assert!(notes(&told).contains("is not among the targets that are allowed"), "{}", notes(&told));
    assert_eq!(service.get("runs").await["runs"], json!([]));
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
}

/// A server that leads elsewhere: `/away` redirects there and `/where` says it. Anything else is `there`.
fn leads_to(listen: &str, elsewhere: String) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind(listen).unwrap();
    let (url, reached) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<AtomicU32>::default());
    let knocks = Arc::clone(&reached);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            knocks.fetch_add(1, Ordering::Relaxed);
            let (mut stream, elsewhere) = (stream.unwrap(), elsewhere.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                // Requests without bodies, one at a time: each comes in one piece.
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let (status, body) = match head.split(' ').nth(1) {
                        Some("/away") => (format!("302 Found\r\nlocation: {elsewhere}/there"), String::new()),
                        Some("/where") => {
                            ("200 OK".to_owned(), format!("{{\"url\": \"{elsewhere}/there\"}}"))
                        }
                        _ => ("200 OK".to_owned(), "there".to_owned()),
                    };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, reached)
}

/// Starts a plan and waits for the end of its run.
async fn run_of(service: &Service, plan: &str) -> Value {
    let facts = |told: &Value| {
        let plans = told["plans"].as_array().unwrap();
        plans.iter().any(|found| found["name"] == plan && found["facts"].is_object())
    };
    service.wait("the plan", "plans", facts).await;
    let (status, told) = service.ask(Method::POST, "runs", Some(json!({ "plan": plan }))).await;
    assert_eq!(status, StatusCode::CREATED, "{told:#}");
    let id = told["id"].as_str().unwrap();
    service.wait("the record", "runs", |told| told["runs"].to_string().contains(id)).await;
    service.wait("the end", &format!("runs/{id}"), |run| run["run"]["status"] != "running").await
}

#[tokio::test]
async fn what_a_run_meets_on_its_way_is_held_to_the_targets_too() {
    let _turn = beside_others().await;
    let desk = Desk::new();
    std::fs::create_dir(desk.path("plans")).unwrap();
    let (there, reached) = leads_to("127.0.0.2:0", String::new());
    let (target, _) = leads_to("127.0.0.1:0", there.clone());
    let plan = |name: &str, more: &str, steps: &str| {
        let text = format!(
            "name: {name}\ntarget: {target}\nload: {{ stages: [{{ hold: 10/s, for: 1s }}], grace: 1s }}\n{more}\
             scenarios: [{{ name: all, steps: [{steps}] }}]\n"
        );
        desk.write(&format!("plans/{name}.yaml"), &text);
    };
    plan("redirected", "", "{ get: /away }");
    let captured = "{ get: /where, capture: { url: { jsonpath: $.url } } }, { get: \"{{ url }}\" }";
    plan("captured", "", captured);
    plan("resolved", "http: { resolve: { shop.test: 127.0.0.2 } }\n", "{ get: \"http://shop.test/there\" }");
    plan("behind", &format!("http: {{ proxy: \"{there}\" }}\n"), "{ get: / }");

    let service = Service::start(&desk, "plans: plans\ntargets: [127.0.0.1, shop.test]\n").await;
    for name in ["redirected", "captured", "resolved"] {
        let run = run_of(&service, name).await;
        let error = &run["errors"][0];
        assert_eq!((&error["kind"], &error["count"]), (&json!("connect"), &json!(10)), "{name}: {run:#}");
        let words = "is not among the targets that are allowed: 127.0.0.1/32, shop.test";
        assert!(error["samples"][0]["message"].as_str().unwrap().contains(words), "{name}: {error:#}");
        let notes = run["notes"].as_array().unwrap().iter().map(|note| note["text"].as_str().unwrap());
        assert_eq!(notes.filter(|note| note.contains(words)).count(), 1, "told once: {name}: {run:#}");
    }
    service.wait("the plan", "plans", |told| told["plans"].to_string().contains("\"behind\"")).await;
    let (status, told) = service.ask(Method::POST, "runs", Some(json!({ "plan": "behind" }))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{told:#}");
    assert!(told["detail"].as_str().unwrap().contains("`127.0.0.2` (127.0.0.2) is not among"), "{told:#}");
    assert_eq!(reached.load(Ordering::Relaxed), 0, "nothing was opened to where nothing may be sent");
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;

    // What is allowed is reached the same ways.
    let service = Service::start(&desk, "plans: plans\ntargets: [127.0.0.0/8]\n").await;
    for name in ["redirected", "captured", "behind"] {
        let before = reached.load(Ordering::Relaxed);
        let run = run_of(&service, name).await;
        assert_eq!(run["totals"]["failed"], 0, "{name}: {run:#}");
        assert!(reached.load(Ordering::Relaxed) > before, "{name}");
    }
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
}

#[tokio::test]
async fn a_plan_that_is_sent_reaches_nothing_beside_its_targets_that_is_not_allowed() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "none"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    let export = |host: &str| {
        format!(
            "{}export: {{ influxdb: {{ url: \"http://{host}:8086\", version: 1, database: x }} }}\n",
            plan(&target, 1)
        )
    };
    desk.write("plans/kept.yaml", &export("192.0.2.1"));
    let service = Service::start(&desk, "plans: plans\n").await;
    service.wait("the plan", "plans", |told| told["plans"][0]["facts"].is_object()).await;
    let put = async |name: &str, text: String| {
        let url = format!("http://{}/api/v1/plans/{name}", service.address);
        let put = service.client.put(url).header("content-type", "text/yaml").header("if-match", "*");
        let answer = put.body(text).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, told) = put("kept", export("192.0.2.2")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    assert!(told.contains("`export.influxdb` leads to `192.0.2.2`"), "{told}");
    // Where the file led before it may lead still, and to what is allowed.
    for host in ["192.0.2.1", "localhost"] {
        let (status, told) = put("kept", export(host)).await;
        assert_eq!(status, StatusCode::OK, "{told}");
    }
    service.running.signal(Signal::SIGTERM);
    service.running.ended().await;
}

#[tokio::test]
async fn a_supervisor_is_told_that_the_service_is_ready_lives_and_stops() {
    let _turn = beside_others().await;
    let desk = Desk::new();
    let path = desk.path("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let service = desk
        .plimsoll(["serve", "--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "3000000")
        .start();
    let next = async || {
        let mut buffer = [0; 200];
        let read = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&buffer[..read]).trim().to_owned()
    };
    assert_eq!(next().await, "READY=1");
    assert_eq!(next().await, "WATCHDOG=1");
    assert_eq!(next().await, "WATCHDOG=1");
    service.signal(Signal::SIGTERM);
    let mut told = next().await;
    if told == "WATCHDOG=1" {
        told = next().await;
    }
    assert_eq!(told, "STOPPING=1");
    assert_eq!(service.ended().await.code, 0);
}

/// What is held against every answer: no failure of the service; status, kind, headers and body as the document says;
/// methods that are not there refused with those that are; nothing without a token.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth";

/// Schemathesis makes requests, good and bad ones, out of the document that the service tells of itself.
#[tokio::test]
async fn the_service_answers_as_its_document_says() {
    let _turn = beside_others().await;
    let program = Program::SCHEMATHESIS.locate().unwrap();
    let (desk, target) = (Desk::new(), Target::start(["--latency", "none"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/watched.yaml", &plan(&target, 2));
    let ended = desk.run(&plan(&target, 2)).ended().await;
    ends(&ended, &desk.json(), 0);
    let token = desk.plimsoll(["token", "create", "all", "--scope", "admin"]).ended().await;
    let token =
        token.stdout.split_whitespace().find(|word| word.starts_with("plimsoll_")).unwrap().to_owned();
    let config = "plans: plans\nauth: tokens\nlimits: { requests: 100000/s }\nceilings: { runs: 1 }\n\
                  schedules: [{ name: asked, plan: watched, when: on_demand }]\n";
    let service = Service::start(&desk, config).await;
    let ended = desk
        .program(
            program.to_str().unwrap(),
            ["run", &format!("http://{}/api/v1/openapi.json", service.address)],
        )
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // A stream of events has no end.
        .args([
            "--exclude-path",
            "/api/v1/events",
            "--checks",
            CHECKS,
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args(["--max-examples", "10", "--seed", "1", "--no-color"])
        .ended()
        .await;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let summary = ended.stdout.find("Test cases:").map(|at| &ended.stdout[at..]);
    println!("{}", summary.unwrap_or(&ended.stdout));
    service.running.signal(Signal::SIGTERM);
    assert_eq!(service.running.ended().await.code, 0);
}

/// The schedule of this name, once it is so.
async fn of_name(service: &Service, what: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let find = |told: &Value| {
        told["schedules"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap()
    };
    find(&service.wait(what, "schedules", |told| is_so(&find(told))).await)
}

/// Starts a schedule by request; gives what it answers and where that is to be.
async fn start(service: &Service, schedule: &str) -> (String, String) {
    let url = format!("http://{}/api/v1/schedules/{schedule}/start", service.address);
    let answer = service.client.post(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{schedule}");
    let place = answer.headers()["location"].to_str().unwrap().to_owned();
    let told: Value = answer.json().await.unwrap();
    (told["id"].as_str().unwrap().to_owned(), place)
}

async fn page(service: &Service, path: &str) -> String {
    let answer = service.client.get(format!("http://{}{path}", service.address)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.text().await.unwrap()
}

fn searched(target: &Target) -> String {
    plan(target, 40).replace("watched", "edge").replace("20/s", "100/s")
        + "sla: [{ name: quick, objective: p95(response_time) <= 250ms }]\n"
}

#[tokio::test]
async fn a_limit_is_searched_by_schedule_within_its_bound_and_leaves_its_report() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/edge.yaml", &searched(&target));
    let config = "plans: plans\nreports: reports\nceilings: { rate: 250/s }\nschedules:\n\
                  - { name: weekly, limit: edge, most: 200/s, when: on_demand }\n\
                  - { name: wild, limit: edge, most: 400/s, when: on_demand }\n";
    let service = Service::start(&desk, config).await;
    service.wait("the plan", "plans", |told| told["plans"][0]["facts"].is_object()).await;
    // What counts is where it may get to, not where it begins.
    let (status, told) = service.ask(Method::POST, "schedules/wild/start", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    let words = "it asks for 400 arrivals/s, and the ceiling is 250";
    assert!(told["detail"].as_str().unwrap().contains(words), "{told:#}");

    let (search, runs) = start(&service, "weekly").await;
    let told = of_name(&service, "the search", "weekly", |told| told["search"] == search.as_str()).await;
    assert_eq!(
        (&told["kind"], &told["most"], &told["run"]),
        (&"limit".into(), &"200/s".into(), &Value::Null)
    );
    let (status, _) = service.ask(Method::POST, "runs", Some(json!({ "plan": "edge" }))).await;
    assert_eq!(status, StatusCode::CONFLICT, "200/s of the 250/s are the search's from its beginning");
    let told = of_name(&service, "its end", "weekly", |told| told["last"].is_object()).await;
    let words = told["last"]["words"].as_str().unwrap();
    // What this machine could not offer says nothing of the target.
    assert!(words.starts_with("kept 200.0/s") || words.contains("this machine"), "{words}");
    assert!(notes(&told).contains(&format!("search {search} {words}")), "{}", notes(&told));
    let trials = service.get(runs.trim_start_matches("/api/v1/")).await;
    let trials = trials["runs"].as_array().unwrap();
    assert!(
        !trials.is_empty() && trials.iter().all(|run| run["tags"]["schedule"] == "weekly"),
        "{trials:#?}"
    );
    let report = page(&service, told["last"]["report"].as_str().unwrap()).await;
    assert!(report.contains("edge"), "{report}");
    service.running.signal(Signal::SIGTERM);
    assert_eq!(service.running.ended().await.code, 0);
}

#[tokio::test]
async fn a_search_ends_with_its_service_however_that_ends() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/edge.yaml", &searched(&target));
    let config = "plans: plans\nschedules: [{ name: weekly, limit: edge, most: 1000/s, when: on_demand }]\n";
    let ended = async |search: &str| {
        wait_for(PATIENCE, "the end of the search", async || match process_of(search) {
            None => Ok(()),
            Some(process) => Err(process.to_string()),
        })
        .await
        .unwrap();
    };
    for signal in [None, Some(Signal::SIGKILL), Some(Signal::SIGTERM)] {
        let service = Service::start(&desk, config).await;
        service.wait("the plan", "plans", |told| told["plans"][0]["facts"].is_object()).await;
        of_name(&service, "what went before", "weekly", |told| told["run"].is_null()).await;
        let (search, runs) = start(&service, "weekly").await;
        let runs = runs.trim_start_matches("/api/v1/").to_owned();
        service.wait("a run of it", &runs, |told| !live(told).is_empty()).await;
        match signal {
            Some(signal) => {
                service.running.signal(signal);
                let service = service.running.ended().await;
                assert!(signal == Signal::SIGKILL || service.code == 0, "{service:?}");
            }
            None => {
                let (status, told) = service.ask(Method::POST, "schedules/weekly/stop", None).await;
                assert_eq!(status, StatusCode::NO_CONTENT, "{told:#}");
                // Whoever is impatient does not cost it its teardown and its record.
                let (status, told) = service.ask(Method::POST, "schedules/weekly/stop", None).await;
                assert!(matches!(status, StatusCode::NO_CONTENT | StatusCode::CONFLICT), "{told:#}");
                let told = of_name(&service, "its end", "weekly", |told| told["last"].is_object()).await;
                assert_eq!(told["last"]["words"], "was stopped");
                let (status, told) = service.ask(Method::POST, "schedules/weekly/stop", None).await;
                assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
                service.running.signal(Signal::SIGTERM);
                assert_eq!(service.running.ended().await.code, 0);
            }
        }
        ended(&search).await;
        let tag = format!("limit={search}");
        let listed = desk.plimsoll(["runs", "list", "--tag", &tag, "--json", "-"]).ended().await;
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let listed = listed.as_array().unwrap();
        assert!(!listed.is_empty(), "{search}");
        assert!(
            listed.iter().all(|run| run["status"] == "completed" || run["status"] == "interrupted"),
            "{listed:#?}"
        );
    }
}

const SLO: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: answers, displayName: The shop answers}
spec:
  service: shop
  indicator:
    metadata: {name: good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Plimsoll, spec: {plan: watched}}}
        total: {metricSource: {type: Plimsoll, spec: {plan: watched}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
";

#[tokio::test]
async fn reports_of_capacity_and_of_a_month_are_made_by_schedule() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    std::fs::create_dir(desk.path("plans")).unwrap();
    let slo = desk.write("slo.yaml", SLO);
    let config = "sla: [slo.yaml]\nplans: plans\nreports: kept/reports\nschedules:\n\
                  - { name: headroom, capacity: { plan: watched, peak_traffic: 30/s }, when: on_demand, keep: 1 }\n\
                  - { name: unknown, capacity: { plan: nothing }, when: on_demand }\n\
                  - { name: month, sla: { month: this, files: [slo.yaml] }, when: on_demand }\n\
                  - { name: before, sla: {}, when: on_demand }\n";
    let service = Service::start(&desk, config).await;
    let levels = "[{ hold: 40/s, for: 16s }, { hold: 80/s, for: 16s }]";
    let levels = plan(&target, 1).replace("[{ hold: 20/s, for: 1s }]", levels);
    let run = desk.run(&levels).args(["--sla", &slo, "--quiet", "--no-calibrate"]).ended().await;
    ends(&run, &desk.json(), 0);
    service.wait("its events", "slas/answers", |told| told["events"]["total"].as_u64() > Some(1000)).await;
    // What a month came to is written when a service ends, too.
    service.running.signal(Signal::SIGTERM);
    assert_eq!(service.running.ended().await.code, 0);
    let service = Service::start(&desk, config).await;
    service.wait("the folder", "plans", |told| told["trouble"].is_null()).await;
    assert_eq!(service.get("reports").await, json!({ "reports": [] }));

    let made = async |schedule: &str| {
        let (file, place) = start(&service, schedule).await;
        let is_over =
            |told: &Value| told["report"].is_null() && notes(told).contains(&format!("report {file} was"));
        (of_name(&service, "its end", schedule, is_over).await["last"].clone(), place)
    };
    // A machine that others had meanwhile has no steady seconds, and the answer says so.
    let mut expected = vec!["month"];
    for _ in 0..2 {
        let (last, place) = made("headroom").await;
        let words = last["words"].as_str().unwrap();
        if words.starts_with("was written") {
            expected = vec!["month", "headroom"];
            assert_eq!(last["report"], place.as_str());
            assert!(page(&service, &place).await.contains("watched, 1 run"));
        } else {
            let none = "was not written (exit code 4): error: no run of `watched` has a plateau";
            assert!(words.starts_with(none) && last["report"].is_null(), "{last:#}");
        }
    }
    let (last, place) = made("month").await;
    assert_eq!((&last["words"], &last["report"]), (&"was written".into(), &place.as_str().into()));
    assert!(page(&service, &place).await.contains("The shop answers"));
    let listed = service.get("reports").await;
    let schedules: Vec<_> =
        listed["reports"].as_array().unwrap().iter().map(|made| &made["schedule"]).collect();
    assert_eq!(schedules, expected, "of two one is kept");

    for (schedule, words) in [
        (
            "unknown",
            "was not written (exit code 2): error: no runs of a plan named `nothing` are recorded here; there are watched",
        ),
        ("before", "was not written (exit code 2): error: nothing is kept of SLAs in "),
    ] {
        let (last, _) = made(schedule).await;
        assert!(last["words"].as_str().unwrap().starts_with(words), "{last:#}");
        assert_eq!(last["report"], Value::Null);
    }
    // A folder that cannot be written any more.
    std::fs::remove_dir_all(desk.path("kept/reports/month")).unwrap();
    desk.write("kept/reports/month", "a file");
    let (last, _) = made("month").await;
    assert!(last["words"].as_str().unwrap().contains("cannot write "), "{last:#}");
    std::fs::remove_file(desk.path("kept/reports/month")).unwrap();
    assert_eq!(made("month").await.0["words"], "was written", "the next time it is tried again");
    service.running.signal(Signal::SIGTERM);
    assert_eq!(service.running.ended().await.code, 0);

    // A disk that is full: no half of a report is left. The small disk exists for this one process and goes with it.
    std::fs::create_dir(desk.path("small")).unwrap();
    let root = nix::unistd::geteuid().is_root();
    let call = desk.program("unshare", [if root { "-m" } else { "-rm" }, "sh", "-c"]);
    let script = "mount -t tmpfs -o size=4k none small && \"$@\"; code=$?; ls -A small; exit $code";
    let call = call.args([script, "sh"]).arg(plimsoll_testkit::binary("plimsoll").unwrap());
    // What a month came to is there however steady the machine was.
    let json = desk.json();
    let month = json["run"]["started"].as_str().unwrap().get(..7).unwrap();
    let ended =
        call.args(["sla", "report", "--month", month, &slo, "--html", "small/report.html"]).ended().await;
    assert!(ended.code == 1 && ended.stderr.contains("cannot write small/report.html"), "{ended:?}");
    assert!(!ended.stdout.contains("report.html"), "nothing is left: {ended:?}");
}

#[tokio::test]
async fn schedules_that_cannot_be_end_the_service_before_it_begins() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("file", "");
    desk.write("wrong.yaml", "kind: SLO\n");
    for (config, words) in [
        (
            "plans: plans\nschedules:\n- { name: a, when: on_demand }\n",
            "line 3, column 3: `a`: nothing is said to start",
        ),
        ("plans: plans\nschedules:\n- { name: a, limit: b, when: on_demand }\n", "`most`, the highest load"),
        ("plans: plans\nschedules:\n- { name: a, sla: {}, when: on_demand }\n", "`reports: FOLDER`"),
        ("plans: plans\nreports: file/below\n", "file/below cannot be written"),
        (
            "plans: plans\nreports: r\nschedules: [{ name: a, sla: { files: [none.yaml] }, when: on_demand }]\n",
            "none.yaml",
        ),
        (
            "plans: plans\nreports: r\nschedules: [{ name: a, sla: { files: [wrong.yaml] }, when: on_demand }]\n",
            "wrong.yaml",
        ),
    ] {
        let config = desk.write("plimsoll.yaml", config);
        let ended = desk.plimsoll(["serve", "-c", &config, "--listen", "127.0.0.1:0"]).ended().await;
        assert!(ended.code == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
    }
}
