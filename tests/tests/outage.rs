//! From a fault in the target to the notification of it: one, and how long each hop takes.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Desk, PATIENCE, Target, alone, free_port, root};
use nix::sys::signal::Signal;
use plimsoll_testkit::{
    Alertmanager, Answer, Prometheus, PrometheusSetup, Receiver, ScrapeTarget, http_client, wait_for,
};
use serde_json::{Value, json};

/// A period of ten hours has windows of seconds: 14.4 over 50 s and 5 s, 6 over 5 min and 30 s.
const SLO: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: shop-answers, displayName: The shop answers}
spec:
  service: shop
  indicator:
    metadata: {name: shop-succeeded}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Plimsoll, spec: {plan: shop}}}
        total: {metricSource: {type: Plimsoll, spec: {plan: shop}}}
  timeWindow: [{duration: 10h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
";

const PLAN: &str = "
name: shop
target: http://127.0.0.1:1
load: { stages: [ { hold: 200/s, for: 10m } ], grace: 1s }
scenarios: [ { name: visitor, steps: [ { name: home, get: / } ] } ]
";

/// The shipped configuration with one webhook behind everybody who is told, and no time to gather alerts.
fn alertmanager(webhook: &str) -> String {
    let text = std::fs::read_to_string(root().join("alerts/alertmanager.yml")).unwrap();
    let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
    configuration["route"]["group_wait"] = json!("1s");
    configuration["route"]["group_interval"] = json!("1s");
    for receiver in configuration["receivers"].as_array_mut().unwrap() {
        if receiver["name"] != "nobody" {
            receiver["webhook_configs"] = json!([{ "url": webhook, "send_resolved": true }]);
        }
    }
    configuration.to_string()
}

/// A notification that is not about the generator: when it came, whether it fires, and what it says.
#[derive(Debug)]
struct Told {
    at: Instant,
    status: String,
    alerts: Vec<String>,
}

fn told(webhook: &Receiver) -> Vec<Told> {
    let read = |received: plimsoll_testkit::Received| {
        let body: Value = serde_json::from_str(&received.text().unwrap()).unwrap();
        let alerts = body["alerts"].as_array().unwrap().iter();
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        let alerts: Vec<String> = alerts
            .map(|alert| {
                format!(
                    "{} {} {}",
                    label(alert, "alertname"),
                    label(alert, "severity"),
                    label(alert, "window")
                )
            })
            .filter(|alert| !alert.starts_with("PlimsollGenerator") && !alert.starts_with("PlimsollArrivals"))
            .collect();
        Told { at: received.at, status: body["status"].as_str().unwrap().to_owned(), alerts }
    };
    webhook.received().into_iter().map(read).filter(|told| !told.alerts.is_empty()).collect()
}

/// What an outage came to.
#[derive(Debug)]
struct Outage {
    notifications: Vec<Told>,
    /// For how long nothing on this machine went on, seconds.
    stood_still: f64,
}

impl Outage {
    fn is_one(&self) -> bool {
        let statuses: Vec<_> = self.notifications.iter().map(|told| told.status.as_str()).collect();
        statuses == ["firing", "resolved"]
            && self.notifications[0].alerts == ["PlimsollErrorBudgetBurns page 50s"]
    }
}

/// Longer than a machine under load keeps a process waiting, in seconds, and shorter than any window of the rules.
const STILL: f64 = 1.5;

/// Notes the longest time for which this process did not get on.
struct Clock(tokio::task::JoinHandle<()>, Arc<Mutex<Duration>>);

impl Clock {
    fn start() -> Self {
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let noted = Arc::clone(&longest);
        let looks = async move {
            loop {
                let before = Instant::now();
                tokio::time::sleep(Duration::from_millis(100)).await;
                let mut longest = noted.lock().unwrap();
                *longest = longest.max(before.elapsed());
            }
        };
        Self(tokio::spawn(looks), longest)
    }

    fn stop(self) -> f64 {
        self.0.abort();
        self.1.lock().unwrap().as_secs_f64()
    }
}

/// Waits until something is found, and says when that was.
async fn when<T>(what: &str, find: impl AsyncFn() -> Option<T>) -> Instant {
    wait_for(PATIENCE, what, async || find().await.map(drop).ok_or("not yet")).await.unwrap();
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_outage_is_one_notification() {
    let _alone = alone().await;
    // Windows of seconds do not bear a machine that stands still for some: that shows nothing of an outage.
    for _ in 0..3 {
        let told = outage().await;
        if told.is_one() {
            return;
        }
        assert!(told.stood_still > STILL, "{told:#?}");
        println!("the machine stood still for {} s: again. {told:#?}", told.stood_still);
    }
    panic!("the machine does not keep going for the minute that an outage takes");
}

/// Has an outage from its first second to its last.
async fn outage() -> Outage {
    let clock = Clock::start();
    let desk = Desk::new();
    let target = Target::start([""; 0]).await;
    let slo = desk.write("slo.yaml", SLO);
    let written = desk.plimsoll(["sla", "rules", &slo, "--out", "rules"]).ended().await;
    assert_eq!(written.code, 0, "{written:?}");

    let webhook = Receiver::start([Answer::Status(200)]).await.unwrap();
    let manager = Alertmanager::start(&alertmanager(&webhook.url())).await.unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let prometheus = Prometheus::start(PrometheusSetup {
        targets: vec![ScrapeTarget { job: "plimsoll-run".to_owned(), address: address.clone() }],
        rules: vec![desk.path("rules/shop-answers.rules.yml"), root().join("alerts/plimsoll.rules.yml")],
        alertmanager: Some(manager.address()),
        ..PrometheusSetup::default()
    })
    .await
    .unwrap();
    let export = format!("export.prometheus={{ listen: '{address}', linger: 0s }}");
    let run = desk.run(PLAN).args(["--sla", &slo]).set([target.setting(), export]).start();
    // Ten seconds of health, as the rules see them.
    let events = "sla:events:increase50s{sla=\"shop-answers\"} > 2000";
    prometheus.wait_for(events, |series| !series.is_empty(), PATIENCE).await.unwrap();

    let client = http_client().unwrap();
    let fail = async |ratio: f64| {
        let control = format!("{}/control", target.url());
        let at = Instant::now();
        let answer = client.put(control).json(&json!({ "error_ratio": ratio })).send().await.unwrap();
        assert!(answer.status().is_success());
        at
    };
    let is_missed = async || {
        let text = client.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()?;
        let met = text.lines().find(|line| line.starts_with("plimsoll_sla_met{"))?;
        Some(met.ends_with(" 0"))
    };
    assert_eq!(is_missed().await, Some(false), "it is met before the fault");
    let fault = fail(1.0).await;
    let page = "ALERTS{alertname=\"PlimsollErrorBudgetBurns\",severity=\"page\",alertstate=\"firing\"}";
    let (state, firing, managed, notified) = tokio::join!(
        when("state", async || is_missed().await.filter(|is_missed| *is_missed)),
        when("alert", async || prometheus.query(page).await.ok()?.first().cloned()),
        when("alert at Alertmanager", async || {
            let alerts = manager.alerts().await.ok()?;
            alerts.into_iter().find(|alert| alert["labels"]["severity"] == "page")
        }),
        when("notification", async || told(&webhook).into_iter().next()),
    );
    let mended = fail(0.0).await;
    // The slower page lasts for its short window of 30 s, and its muting alert for as long.
    wait_for(PATIENCE, "all pages to be over", async || match prometheus.query(page).await.unwrap().len() {
        0 => Ok(()),
        firing => Err(format!("{firing} pages")),
    })
    .await
    .unwrap();
    let over = Instant::now();
    wait_for(PATIENCE, "the resolved notification", async || match told(&webhook).len() {
        0 | 1 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await
    .unwrap();
    let tickets = "ALERTS{alertname=\"PlimsollErrorBudgetBurns\",severity=\"ticket\",alertstate=\"firing\"}";
    assert!(!prometheus.query(tickets).await.unwrap().is_empty(), "tickets go on, and nobody is told");
    run.signal(Signal::SIGINT);
    run.ended().await;

    // A look that is late by more than its pause, at what was scraped as well as by a clock of our own.
    let late = "max_over_time((time() - timestamp(up{job=\"plimsoll-run\"}))[2m:1s])";
    let scraped = prometheus.value(late).await.unwrap().unwrap();
    let all = told(&webhook);
    let hop = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
    println!(
        "fault -> state {:.2} s, alert of Prometheus {:.2} s, Alertmanager {:.2} s, notification {:.2} s; \
         mended -> resolved {:.2} s, last page over {:.2} s; {} notifications",
        hop(fault, state),
        hop(fault, firing),
        hop(fault, managed),
        hop(fault, notified),
        hop(mended, all[1].at),
        hop(mended, over),
        all.len(),
    );
    Outage { notifications: all, stood_still: clock.stop().max(scraped - 1.0) }
}
