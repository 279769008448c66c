//! Who is told of runs and SLAs by the built program: webhooks that are signed, mail over STARTTLS, and receivers that do not answer.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::time::Duration;

use harness::{Desk, Ended, PATIENCE, Target, alone, beside_others, free_port, is_invalid};
use plimsoll_testkit::{Answer, Authority, Received, Receiver, Smtp, SmtpSetup, wait_for};
use serde_json::Value;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A plan of so many seconds whose receiver is `notify`.
fn plan(target: &str, seconds: u64, notify: &str) -> String {
    format!(
        "name: told\ntarget: {target}\nload: {{ stages: [{{ hold: 100/s, for: {seconds}s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n\
         sla: [{{ name: answers, objective: \"error_ratio <= 1%\", over: 2s }}]\n\
         notify:\n  on: [failure, success, breach, recovery]\n  link: https://plimsoll.example\n  gather: 0s\n  settle: 1s\n\
         \x20 receivers: {{ hook: {notify} }}\n"
    )
}

fn webhook(receiver: &Receiver) -> String {
    format!("{{ webhook: {{ url: \"{}/xyzzy\", secret: {SECRET} }} }}", receiver.url())
}

/// How the run ends, unless the machine was so busy that its generator cannot be trusted.
fn as_trusted(desk: &Desk, code: i32) -> i32 {
    if is_invalid(&desk.json()) { 4 } else { code }
}

fn bodies(received: &[Received]) -> Vec<Value> {
    received.iter().map(|one| serde_json::from_str(&one.text().unwrap()).unwrap()).collect()
}

fn types(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["type"].as_str().unwrap()).collect()
}

async fn control(target: &Target, body: &'static str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = client.put(format!("{}/control", target.url())).body(body).send().await;
    assert!(put.unwrap().status().is_success());
}

fn assert_no_secret(desk: &Desk, ended: &Ended) {
    no_secret_in(desk, ended, "run.json");
}

fn no_secret_in(desk: &Desk, ended: &Ended, file: &str) {
    for text in [&ended.stdout, &ended.stderr, &desk.text(file)] {
        assert!(!text.contains("xyzzy") && !text.contains("MfKQ9r8GKYqr"), "{text}");
    }
}

#[tokio::test]
async fn an_outage_of_a_run_is_told_with_its_end_and_what_the_run_came_to() {
    let _quiet = alone().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let text = plan(&target.url(), 14, &webhook(&receiver));
    let run = desk.run(&text).args(["--quiet", "--no-calibrate", "--report", "run.html"]).start();
    target.asked(300).await;
    control(&target, "{\"error_ratio\": 1}").await;
    receiver.wait_for(1, PATIENCE).await.unwrap();
    control(&target, "{\"error_ratio\": 0}").await;
    receiver.wait_for(2, PATIENCE).await.unwrap();
    let ended = run.ended().await;
    assert_eq!(ended.code, as_trusted(&desk, 3), "{ended:?}");
    let bodies = bodies(&receiver.received());
    assert_eq!(types(&bodies), ["sla.breached", "sla.recovered", "run.failed"], "{bodies:#?}");
    let [began, over, failed] = &bodies[..] else { panic!("{bodies:#?}") };
    assert_eq!(began["data"]["outage"], over["data"]["outage"]);
    assert_eq!(began["data"]["promises"][0]["promise"], "answers");
    assert_eq!(failed["data"]["exit_code"], ended.code);
    let id = desk.json()["run"]["id"].as_str().unwrap().to_owned();
    assert_eq!(failed["data"]["run"], id.as_str());
    assert_eq!(failed["data"]["url"], format!("https://plimsoll.example/#/runs/{id}"));
    assert_no_secret(&desk, &ended);
    let record = desk.plimsoll(["runs", "export", "last"]).ended().await;
    assert!(!record.stdout.contains("xyzzy") && !record.stdout.contains("MfKQ9r8GKYqr"));
}

#[tokio::test]
async fn success_is_told_to_who_wants_it_and_trouble_with_receivers_changes_no_exit_code() {
    let _quiet = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let text = plan(&target.url(), 3, &webhook(&receiver));
    let ended = desk.run(&text).args(["--quiet", "--no-calibrate"]).ended().await;
    let code = as_trusted(&desk, 0);
    assert_eq!((ended.code, ended.stderr.as_str()), (code, ""), "{ended:?}");
    let told = if code == 0 { "run.succeeded" } else { "run.failed" };
    assert_eq!(types(&bodies(&receiver.received())), [told]);

    receiver.answer_with([Answer::Body(403, "no /xyzzy for you".to_owned())]);
    let ended = desk.run(&text).args(["--quiet", "--no-calibrate"]).ended().await;
    assert_eq!(ended.code, as_trusted(&desk, 0), "{ended:?}");
    assert!(ended.stderr.contains("warning: notify: hook (webhook): 403"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 message not delivered"), "{}", ended.stderr);
    assert_no_secret(&desk, &ended);

    receiver.answer_with([Answer::Stall]);
    let ended = desk.run(&text).args(["--quiet", "--no-calibrate"]).ended().await;
    assert_eq!(ended.code, as_trusted(&desk, 0), "{ended:?}");
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    assert!(ended.stderr.contains("1 message not delivered"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_run_that_cannot_begin_is_told_too() {
    let _quiet = beside_others().await;
    let desk = Desk::new();
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("export: {{ prometheus: {{ listen: \"{}\" }} }}\n", taken.local_addr().unwrap());
    let text = plan("http://127.0.0.1:1", 3, &webhook(&receiver)) + &listen;
    let ended = desk.run(&text).args(["--quiet", "--no-calibrate"]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    let bodies = bodies(&receiver.received());
    assert_eq!(types(&bodies), ["run.failed"], "{bodies:#?}");
    assert_eq!(bodies[0]["data"]["exit_code"], 2);
}

#[tokio::test]
async fn a_test_says_what_each_receiver_answers() {
    let _quiet = beside_others().await;
    let desk = Desk::new();
    let authority = Authority::new().unwrap();
    let setup = SmtpSetup::Starttls { user: "ann", password: "plugh" };
    let server = Smtp::start(setup, &authority).await.unwrap();
    let [good, bad] = [
        Receiver::start([Answer::Body(200, "ok".to_owned())]).await.unwrap(),
        Receiver::start([Answer::Body(404, "no_service".to_owned())]).await.unwrap(),
    ];
    let email = |password: &str| {
        format!(
            "{{ email: {{ server: \"localhost:{}\", username: ann, password: {password}, from: a@b.example, to: c@d.example }} }}",
            server.port()
        )
    };
    let config = desk.write(
        "plimsoll.yaml",
        &format!(
            "notify:\n  receivers:\n    team: {{ slack: {{ url: \"{}/xyzzy\" }} }}\n    gone: {{ slack: {{ url: \"{}/xyzzy\" }} }}\n\
             \x20   mail: {}\n    stranger: {}\n",
            good.url(),
            bad.url(),
            email("plugh"),
            email("wrong")
        ),
    );
    let ca = server.ca().display().to_string();
    let ended = desk.plimsoll(["notify", "test", "-c", &config]).env("SSL_CERT_FILE", &ca).ended().await;
    assert_eq!(ended.code, 5, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    for (line, beginning) in lines.iter().zip([
        "team (slack): taken (200), ",
        "gone (slack): not taken: 404: nobody takes messages under this URL; it says: no_service, ",
        "mail (email): taken (250), ",
        "stranger (email): not taken: permanent error (535)",
    ]) {
        assert!(line.starts_with(beginning), "{line}\n{ended:?}");
    }
    assert_eq!(lines.len(), 4, "{ended:?}");
    assert_eq!(server.mails().unwrap().len(), 1);
    assert!(!ended.stdout.contains("xyzzy") && !ended.stdout.contains("plugh"), "{ended:?}");

    // Nobody vouches for its certificate: then nothing is sent there, least of all a password.
    let ended = desk.plimsoll(["notify", "test", "-c", &config]).ended().await;
    let mail = ended.stdout.lines().find(|line| line.starts_with("mail")).unwrap();
    assert!(mail.contains("not taken") && mail.to_lowercase().contains("certificate"), "{mail}");
    assert_eq!(server.mails().unwrap().len(), 1);

    let nobody = desk.write("nobody.yaml", "listen: 127.0.0.1:0\n");
    let ended = desk.plimsoll(["notify", "test", "-c", &nobody]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("has no `notify`"), "{ended:?}");
}

const SLO: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
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

/// Each by one: by the service where the plan names nobody, by the run itself where it does, and by the service where the
/// run could not.
#[tokio::test]
async fn the_ends_of_runs_that_the_service_starts_are_told_once() {
    let _quiet = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let (service_hook, run_hook) = (
        Receiver::start([Answer::Status(204)]).await.unwrap(),
        Receiver::start([Answer::Status(204)]).await.unwrap(),
    );
    std::fs::create_dir(desk.path("plans")).unwrap();
    let own = plan(&target.url(), 3, &webhook(&run_hook));
    let silent = |seconds: u64| {
        let text = plan(&target.url(), seconds, "none");
        text.split("notify:").next().unwrap().replace("name: told", "name: silent")
    };
    desk.write("plans/own.yaml", &own);
    desk.write(
        "plans/own-long.yaml",
        &plan(&target.url(), 600, &webhook(&run_hook)).replace("name: told", "name: long"),
    );
    desk.write("plans/silent.yaml", &silent(3));
    let config = desk.write(
        "plimsoll.yaml",
        &format!(
            "plans: plans\nnotify:\n  on: [failure, success]\n  gather: 0s\n  receivers: {{ hook: {} }}\n",
            webhook(&service_hook)
        ),
    );
    let address = format!("127.0.0.1:{}", free_port());
    let service = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = async |plan: &str| {
        wait_for(PATIENCE, "the start", async || {
            let request = client.post(format!("http://{address}/api/v1/runs"));
            let answer = request.json(&serde_json::json!({ "plan": plan })).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            let told: Value = answer.json().await.unwrap();
            told["id"].as_str().map(str::to_owned).ok_or_else(|| format!("{told:#}"))
        })
        .await
        .unwrap()
    };
    let told = async |receiver: &Receiver, count: usize| {
        receiver.wait_for(count, PATIENCE).await.unwrap();
        bodies(&receiver.received())
    };
    let (silent, own) = (start("silent").await, start("own").await);
    let by_service = told(&service_hook, 1).await;
    assert_eq!(by_service[0]["data"]["run"], silent.as_str(), "{by_service:#?}");
    let by_run = told(&run_hook, 1).await;
    assert_eq!(by_run[0]["data"]["run"], own.as_str(), "{by_run:#?}");

    // A run that is killed can tell nobody.
    let long = start("own-long").await;
    let process = wait_for(PATIENCE, "its process and record", async || {
        let known = client.get(format!("http://{address}/api/v1/runs/{long}")).send().await;
        known.and_then(reqwest::Response::error_for_status).map_err(|error| error.to_string())?;
        let is_it = |process: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
            line.contains(&long)
        };
        let all = std::fs::read_dir("/proc").unwrap();
        let mut all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        all.find(is_it).ok_or_else(|| "there is none".to_owned())
    })
    .await
    .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    let by_service = told(&service_hook, 2).await;
    assert_eq!(types(&by_service)[1], "run.failed", "{by_service:#?}");
    assert_eq!(by_service[1]["data"]["run"], long.as_str(), "{by_service:#?}");
    assert!(by_service[1].to_string().contains("was killed"), "{by_service:#?}");

    service.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(service.ended().await.code, 0);
    assert_eq!((service_hook.received().len(), run_hook.received().len()), (2, 1), "each once");
}

/// A plan whose limit is searched, and whose receiver is the webhook.
fn searched(target: &str, receiver: &Receiver) -> String {
    format!(
        "name: edge\ntarget: {target}\nload: {{ stages: [{{ hold: 100/s, for: 40s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n\
         sla: [{{ name: quick, objective: p95(response_time) <= 250ms }}]\n\
         notify:\n  on: [failure, success, breach, recovery, capacity]\n  link: https://plimsoll.example\n  gather: 0s\n\
         \x20 receivers: {{ hook: {} }}\n",
        webhook(receiver)
    )
}

/// Whether a search says of itself that it found something, unless this machine was its limit.
fn event_of(code: i32, found: &Value) -> &'static str {
    let knows = !found["breaking_point"]["low"].is_null() || !found["breaking_point"]["high"].is_null();
    if code == 0 || (knows && matches!(code, 3 | 4)) { "limit.found" } else { "limit.failed" }
}

#[tokio::test]
async fn a_search_tells_its_end_once_and_its_trials_tell_nothing() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let plan = desk.write("edge.yaml", &searched(&target.url(), &receiver));
    let search = |most: &'static str| {
        let call = desk.plimsoll(["limit", &plan, "--most", most, "--json", "limit.json"]);
        call.args(["--report", "limit.html", "--quiet"])
    };
    let ended = search("200").ended().await;
    let found: Value = serde_json::from_str(&desk.text("limit.json")).unwrap();
    assert!(!found["trials"].as_array().unwrap().is_empty(), "{found:#}");
    let told = bodies(&receiver.received());
    assert_eq!(types(&told), [event_of(ended.code, &found)], "{ended:?}\n{told:#?}");
    let data = &told[0]["data"];
    assert_eq!(
        (&data["search"], &data["exit_code"], &data["plan"]),
        (&found["id"], &ended.code.into(), &"edge".into())
    );
    assert_eq!(data["breaking_point"]["low"], found["breaking_point"]["low"], "{told:#?}");
    no_secret_in(&desk, &ended, "limit.json");

    // What cannot be searched, and a target that is not there.
    let ended = search("1").ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    receiver.wait_for(2, PATIENCE).await.unwrap();
    let told = bodies(&receiver.received());
    assert_eq!((types(&told)[1], &told[1]["data"]["exit_code"]), ("limit.failed", &2.into()));
    assert!(told[1]["data"]["reason"].as_str().unwrap().contains("below the first load"), "{told:#?}");
    drop(target);
    let ended = search("200").ended().await;
    assert_eq!(ended.code, 5, "{ended:?}");
    let told = bodies(&receiver.received());
    assert_eq!((types(&told)[2], told.len()), ("limit.failed", 3), "{told:#?}");
    assert_eq!(told[2]["data"]["title"], "A search for the limit of edge got no answer");
}

/// By the search itself, since its plan names somebody, with where the service shows its report.
#[tokio::test]
async fn a_search_by_schedule_tells_whom_its_plan_names_where_its_report_is() {
    let _turn = beside_others().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let (service_hook, plan_hook) = (
        Receiver::start([Answer::Status(204)]).await.unwrap(),
        Receiver::start([Answer::Status(204)]).await.unwrap(),
    );
    std::fs::create_dir(desk.path("plans")).unwrap();
    desk.write("plans/edge.yaml", &searched(&target.url(), &plan_hook));
    let config = desk.write(
        "plimsoll.yaml",
        &format!(
            "plans: plans\nreports: reports\nschedules:\n\
             - {{ name: weekly, limit: edge, most: 150/s, when: on_demand }}\n\
             - {{ name: unknown, capacity: {{ plan: nothing }}, when: on_demand }}\n\
             notify: {{ on: [failure, success, capacity], receivers: {{ hook: {} }} }}\n",
            webhook(&service_hook)
        ),
    );
    let address = format!("127.0.0.1:{}", free_port());
    let service = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = async |schedule: &str| {
        wait_for(PATIENCE, "the start", async || {
            let request = client.post(format!("http://{address}/api/v1/schedules/{schedule}/start"));
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let told: Value = answer.json().await.unwrap();
            told["id"].as_str().map(str::to_owned).ok_or_else(|| format!("{told:#}"))
        })
        .await
        .unwrap()
    };
    let search = start("weekly").await;
    plan_hook.wait_for(1, PATIENCE).await.unwrap();
    start("unknown").await;
    service_hook.wait_for(1, PATIENCE).await.unwrap();
    service.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(service.ended().await.code, 0);

    let (by_service, by_plan) = (bodies(&service_hook.received()), bodies(&plan_hook.received()));
    assert_eq!((types(&by_service), by_plan.len()), (vec!["report.failed"], 1), "{by_service:#?}");
    let words = by_service[0]["data"]["words"].as_str().unwrap();
    assert!(words.contains("no runs of a plan named `nothing` are recorded here"), "{words}");
    let data = &by_plan[0]["data"];
    assert_eq!((&data["search"], &data["schedule"]), (&search.as_str().into(), &"weekly".into()));
    let url = data["url"].as_str().unwrap();
    let place = url.strip_prefix("https://plimsoll.example/api/v1/").unwrap();
    assert!(desk.text(place).contains("edge"), "{url}");
}

/// Killed in the middle: the breach is not told again, and its end is.
#[tokio::test]
async fn a_service_tells_of_its_slas_over_a_kill() {
    let _quiet = alone().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let receiver = Receiver::start([Answer::Status(204)]).await.unwrap();
    let slo = desk.write("slo.yaml", SLO);
    let config = desk.write(
        "plimsoll.yaml",
        &format!(
            "sla: [slo.yaml]\nnotify:\n  gather: 0s\n  settle: 1s\n  receivers: {{ hook: {} }}\n",
            webhook(&receiver)
        ),
    );
    let address = format!("127.0.0.1:{}", free_port());
    let serve = || desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let breach = async |what: &str| {
        wait_for(PATIENCE, what, async || {
            let answer = client.get(format!("http://{address}/api/v1/slas/answers")).send().await;
            let told: Value = answer.map_err(|error| error.to_string())?.json().await.unwrap();
            let is_written = told["breaches"].as_array().is_some_and(|breaches| !breaches.is_empty());
            if is_written && told["state"] == "breaching" { Ok(()) } else { Err(format!("{told:#}")) }
        })
        .await
        .unwrap();
    };
    let plan = format!(
        "name: watched\ntarget: {}\nload: {{ stages: [{{ hold: 200/s, for: 90s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n",
        target.url()
    );
    let service = serve();
    let run = desk.run(&plan).args(["--sla", &slo, "--quiet", "--no-calibrate"]).start();
    target.asked(1000).await;
    control(&target, "{\"error_ratio\": 1}").await;
    receiver.wait_for(1, PATIENCE).await.unwrap();
    // It is told before it is written.
    breach("the breach in the record").await;
    service.signal(nix::sys::signal::Signal::SIGKILL);
    service.ended().await;
    let service = serve();
    breach("the breach after the start").await;
    control(&target, "{\"error_ratio\": 0}").await;
    let told = wait_for(PATIENCE, "the end of the outage", async || {
        let bodies = bodies(&receiver.received());
        if types(&bodies).contains(&"sla.recovered") { Ok(bodies) } else { Err(format!("{bodies:#?}")) }
    })
    .await
    .unwrap();
    assert_eq!(types(&told), ["sla.breached", "sla.recovered"], "{told:#?}");
    assert_eq!(told[1]["data"]["subject"]["name"], "shop");
    assert_eq!(told[0]["data"]["began"], told[1]["data"]["began"]);
    run.signal(nix::sys::signal::Signal::SIGTERM);
    run.ended().await;
    service.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(service.ended().await.code, 0);
}
