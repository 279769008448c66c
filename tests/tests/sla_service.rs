//! SLAs judged by `plimsoll serve` as a process: an outage, `kill -9`, and what is told of it afterwards.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::time::Instant;

use harness::{Desk, PATIENCE, Running, Target, alone, free_port};
use nix::sys::signal::Signal;
use plimsoll_testkit::wait_for;
use serde_json::Value;

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

struct Service<'d> {
    desk: &'d Desk,
    running: Running,
    address: String,
    client: reqwest::Client,
}

impl<'d> Service<'d> {
    async fn start(desk: &'d Desk) -> Self {
        desk.write("slo.yaml", SLO);
        let config = desk.write("plimsoll.yaml", "sla: [slo.yaml]\n");
        let address = format!("127.0.0.1:{}", free_port());
        let running = desk.plimsoll(["serve", "-c", &config, "--listen", &address]).start();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Self { desk, running, address, client };
        service.wait("the service", |_| true).await;
        service
    }

    async fn told(&self) -> Result<Value, String> {
        let url = format!("http://{}/api/v1/slas/answers", self.address);
        let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    async fn wait(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(PATIENCE, what, async || {
            let told = self.told().await?;
            if is_so(&told) { Ok(told) } else { Err(format!("{told:#}")) }
        })
        .await
        .unwrap()
    }

    async fn kill(self) {
        self.running.signal(Signal::SIGKILL);
        self.running.ended().await;
    }

    async fn status(&self) -> String {
        let ended = self.desk.plimsoll(["sla", "status"]).ended().await;
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    }
}

#[tokio::test]
async fn an_outage_is_seen_kept_over_a_kill_and_reported() {
    let _quiet = alone().await;
    let (desk, target) = (Desk::new(), Target::start(["--latency", "fixed:5ms"]).await);
    let service = Service::start(&desk).await;
    let plan = format!(
        "name: watched\ntarget: {}\nload: {{ stages: [{{ hold: 500/s, for: 60s }}], grace: 1s }}\n\
         scenarios: [{{ name: all, steps: [{{ name: list, get: \"/products?page=1\" }}] }}]\n",
        target.url()
    );
    let slo = desk.path("slo.yaml").display().to_string();
    let run = desk.run(&plan).args(["--sla", &slo, "--quiet", "--no-calibrate"]).start();
    service
        .wait("health", |told| told["state"] == "ok" && told["events"]["total"].as_u64() > Some(2000))
        .await;
    let put =
        service.client.put(format!("{}/control", target.url())).body("{\"error_ratio\": 1}").send().await;
    assert!(put.unwrap().status().is_success());
    let began = Instant::now();
    service.wait("the breach", |told| told["state"] == "breaching").await;
    println!("an outage of a run was seen by the service after {:.2} s", began.elapsed().as_secs_f64());
    wait_for(PATIENCE, "the breach in the terminal", async || {
        let shown = service.status().await;
        if shown.contains("breaching  answers") { Ok(()) } else { Err(shown) }
    })
    .await
    .unwrap();

    // Killed while it goes on, and started again: the same breach, and every second counted once.
    service.kill().await;
    let killed = Instant::now();
    let service = Service::start(&desk).await;
    println!("after kill -9 it answered again after {:.2} s", killed.elapsed().as_secs_f64());
    let told = service.wait("the breach again", |told| told["state"] == "breaching").await;
    assert_eq!(told["breaches"].as_array().map(Vec::len), Some(1), "{told:#}");
    run.signal(Signal::SIGINT);
    assert_eq!(run.ended().await.code, 130);
    let exported = desk.json();
    let totals = |key: &str| exported["totals"][key].as_u64().unwrap();
    let (good, all) = (Some(totals("succeeded")), Some(totals("succeeded") + totals("failed")));
    let told = service.wait("all of the run", |told| told["events"]["total"].as_u64() >= all).await;
    assert_eq!((told["events"]["good"].as_u64(), told["events"]["total"].as_u64()), (good, all), "{told:#}");
    service.wait("the breach to end for want of data", |told| told["state"] == "undecided").await;

    let page = service.client.get(format!("http://{}/sla", service.address)).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("answers"));
    service.running.signal(Signal::SIGINT);
    assert_eq!(service.running.ended().await.code, 0);
    let month = &told["as_of"].as_str().unwrap()[..7];
    let report = desk.plimsoll(["sla", "report", "--month", month, "--json", "-"]).ended().await;
    assert_eq!(report.code, 0, "{report:?}");
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let row = &report["slas"][0];
    assert_eq!((row["verdict"].as_str(), row["total"].as_u64()), (Some("missed"), all), "{report:#}");
    assert_eq!(row["breaches"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert!(row["breaches"][0]["ended"].is_string(), "{report:#}");
    let none = desk.plimsoll(["sla", "report", "--month", "2001-01"]).ended().await;
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("nothing is kept of SLAs in 2001-01"), "{none:?}");
}

#[tokio::test]
async fn what_cannot_be_judged_ends_the_service_before_it_begins() {
    let desk = Desk::new();
    let wrong = SLO.replace("type: Plimsoll, spec: {plan: watched}", "type: Prometheus, spec: {query: a}");
    desk.write("slo.yaml", &wrong);
    let config = desk.write("plimsoll.yaml", "sla: [slo.yaml]\n");
    let ended = desk.plimsoll(["serve", "-c", &config, "--listen", "127.0.0.1:0"]).ended().await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("SLA `answers`: nobody knows where a Prometheus is"), "{}", ended.stderr);
}
