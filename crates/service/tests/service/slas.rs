//! SLAs judged by a service: over runs, a real Prometheus, a page of metrics, and answers that are none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::routing::{get, post};
use fantoccini::key::Key;
use plimsoll_demo_target::{Config as TargetConfig, DemoTarget, Model};
use plimsoll_history::{History, Recorder};
use plimsoll_measure::SECOND;
use plimsoll_run::{Resumed, RunEvent, Secret, Started};
use plimsoll_service::{Connection, Credentials, Promises};
use plimsoll_sla::{Entry, Expression, Objective, Severity, Source};
use plimsoll_spec::openslo::read_slas;
use plimsoll_testkit::{Browser, Prometheus};
use serde_json::{Value, json};

use crate::browser::{pictures, press, read, shows, tab_to};
use crate::scene::{DEADLINE, Scene, ended, second_with, started};

/// An SLO of 99.9% in 30 days; `metric` is that of `ratioMetric`, and `annotations` in braces.
fn slo(name: &str, metric: &str, annotations: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: {name}, annotations: {annotations}}}\nspec:\n  service: web\n  \
         indicator: {{metadata: {{name: {name}}}, spec: {{ratioMetric: {{counter: true, {metric}}}}}}}\n  \
         timeWindow: [{{duration: 30d, isRolling: true}}]\n  budgetingMethod: Occurrences\n  objectives: [{{target: 0.999}}]\n---\n"
    )
}

fn counters(source: &str, good: &str, total: &str) -> String {
    let metric =
        |query: &str| format!("{{metricSource: {{metricSourceRef: {source}, spec: {{query: '{query}'}}}}}}");
    format!("good: {}, total: {}", metric(good), metric(total))
}

const SOURCES: &str = "apiVersion: openslo/v1\nkind: DataSource\nmetadata: {name: prometheus}\nspec: {type: Prometheus, connectionDetails: {url: x}}\n---\n\
    apiVersion: openslo/v1\nkind: DataSource\nmetadata: {name: page}\nspec: {type: OpenMetrics, connectionDetails: {url: x}}\n---\n";

fn promises(slos: &str, source: Source, url: &str) -> Promises {
    let text = format!("{SOURCES}{slos}");
    let (documents, slas) = read_slas(&[plimsoll_spec::Source { name: "sla.yaml".to_owned(), text }]);
    let said: Vec<_> = documents.issues.iter().map(|issue| &issue.diagnostic.message).collect();
    assert!(documents.is_right(), "{said:?}");
    let credentials = Some(Credentials::Token(Secret::new("open sesame")));
    let connection = Connection { url: Secret::new(url), credentials };
    Promises { slas, connections: BTreeMap::from([(source, connection)]) }
}

fn prometheus() -> Source {
    Source::Prometheus(Some("prometheus".to_owned()))
}

async fn judging(promises: Promises) -> Scene {
    Scene::judging(tempfile::tempdir().unwrap(), promises).await
}

fn find<'v>(list: &'v Value, label: &str) -> &'v Value {
    list["slas"].as_array().unwrap().iter().find(|row| row["label"] == label).unwrap_or(&Value::Null)
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A shop under load, which fails when it is told to.
struct Shop {
    target: DemoTarget,
    ended: Arc<AtomicBool>,
    load: Vec<tokio::task::JoinHandle<()>>,
}

impl Shop {
    async fn open() -> Self {
        let config = TargetConfig { listen: "127.0.0.1:0".parse().unwrap(), ..TargetConfig::default() };
        let target = DemoTarget::spawn_thread(config).unwrap();
        let url = format!("http://{}/", target.addr());
        let ended = Arc::new(AtomicBool::new(false));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let load = (0..4).map(|_| {
            let (client, url, ended) = (client.clone(), url.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let _ = client.get(&url).send().await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        });
        Self { load: load.collect(), target, ended }
    }

    fn fail(&self, share: f64) {
        self.target.control().set_model(Model { error_ratio: share, ..Model::default() }).unwrap();
    }

    async fn close(self) {
        self.ended.store(true, Ordering::Relaxed);
        for one in self.load {
            one.await.unwrap();
        }
        self.target.shutdown().await;
    }
}

/// Waits until the shop is known to be well, has it fail, and gives the seconds until that is known.
async fn outage(scene: &Scene, shop: &Shop) -> f64 {
    let label = "shop";
    scene
        .json_where("/api/v1/slas", |list| {
            find(list, label)["state"] == "ok" && find(list, label)["events"]["total"].as_u64() > Some(200)
        })
        .await;
    shop.fail(1.0);
    let began = Instant::now();
    scene.json_where("/api/v1/slas", |list| find(list, label)["state"] == "breaching").await;
    let seconds = began.elapsed().as_secs_f64();
    let detail = scene.json(&format!("/api/v1/slas/{label}")).await;
    assert_eq!(detail["state"], "breaching", "{detail:#}");
    assert!(detail["burn_down"].as_array().is_some_and(|points| !points.is_empty()), "{detail:#}");
    let kept = |detail: &Value| detail["breaches"].as_array().is_some_and(|all| all.len() == 1);
    scene.json_where(&format!("/api/v1/slas/{label}"), kept).await;
    let metrics = scene.get("/metrics").await.text().await.unwrap();
    for line in [
        "plimsoll_sla_met{plan=\"\",sla=\"shop\"} 0\n",
        "plimsoll_sla_state{plan=\"\",sla=\"shop\",state=\"breaching\"} 1\n",
        "plimsoll_burn_rate{sla=\"shop\",window=\"5m\"} ",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    seconds
}

#[tokio::test]
async fn an_outage_that_prometheus_shows_is_found() {
    let shop = Shop::open().await;
    let server = Prometheus::scraping(&shop.target.addr().to_string()).await.unwrap();
    let good = "sum(demo_requests_total{status!~\"5..\"})";
    let text = slo("shop", &counters("prometheus", good, "sum(demo_requests_total)"), "{}");
    let scene = judging(promises(&text, prometheus(), &server.url())).await;
    let seconds = outage(&scene, &shop).await;
    println!("an outage that Prometheus scrapes every second was found after {seconds:.2} s");
    scene.end().await;
    shop.close().await;
}

#[tokio::test]
async fn an_outage_that_a_page_shows_is_found_for_each_value_of_a_label() {
    let shop = Shop::open().await;
    let url = format!("http://{}/metrics", shop.target.addr());
    let source = Source::Exposition("page".to_owned());
    let whole =
        slo("shop", &counters("page", "demo_requests_total{status!~\"5..\"}", "demo_requests_total"), "{}");
    let each = slo(
        "by-route",
        &counters("page", "demo_requests_total{status!~\"5..\"}", "sum by (route) (demo_requests_total)"),
        "{plimsoll/for-each: route}",
    );
    let scene = judging(promises(&format!("{whole}{each}"), source, &url)).await;
    let seconds = outage(&scene, &shop).await;
    println!("an outage on a page that is read every second was found after {seconds:.2} s");
    let list =
        scene.json_where("/api/v1/slas", |list| find(list, "by-route/GET /")["state"] == "breaching").await;
    assert_eq!(find(&list, "by-route/GET /")["value"], "GET /");
    let detail = scene.json("/api/v1/slas/by-route%2FGET%20%2F").await;
    assert_eq!(detail["label"], "by-route/GET /", "{detail:#}");
    scene.end().await;
    shop.close().await;
}

/// A Prometheus of our own making: one answer for all, until it is told another.
struct Liar {
    url: String,
    says: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicU64>,
    heads: Arc<Mutex<Vec<String>>>,
    hesitates: Arc<AtomicBool>,
    callers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    served: tokio::task::JoinHandle<()>,
}

impl Liar {
    async fn start() -> Self {
        let says = Arc::new(Mutex::new((200, String::new())));
        let (asked, heads) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (answers, count, seen) = (Arc::clone(&says), Arc::clone(&asked), Arc::clone(&heads));
        let (hesitates, callers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (waits, all) = (Arc::clone(&hesitates), Arc::<Mutex<BTreeSet<SocketAddr>>>::clone(&callers));
        let answer = move |ConnectInfo(caller): ConnectInfo<SocketAddr>, headers: axum::http::HeaderMap| async move {
            all.lock().unwrap().insert(caller);
            if waits.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
            seen.lock().unwrap().push(authorization.to_owned());
            let (status, body) = answers.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), body)
        };
        let router = Router::new()
            .route("/api/v1/query", post(answer))
            .route("/elsewhere", get(async || "never asked"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
        });
        Self { url, says, asked, heads, hesitates, callers, served }
    }

    fn say(&self, status: u16, body: &str) {
        *self.says.lock().unwrap() = (status, body.to_owned());
    }

    fn hesitate(&self, hesitates: bool) {
        self.hesitates.store(hesitates, Ordering::Relaxed);
    }

    fn show(&self, series: &[(&str, &str)]) {
        let series: Vec<Value> = series
            .iter()
            .map(|(instance, value)| json!({"metric": {"instance": instance}, "value": [0, value]}))
            .collect();
        self.say(
            200,
            &json!({"status": "success", "data": {"resultType": "vector", "result": series}}).to_string(),
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_data_with_its_reason() {
    let liar = Liar::start().await;
    let text = slo("shop", &counters("prometheus", "sum(good_total)", "sum(good_total)"), "{}");
    liar.show(&[("a", "10")]);
    let scene = judging(promises(&text, prometheus(), &liar.url)).await;
    // Asked again, it has understood the first answer.
    scene.json_where("/api/v1/slas", |_| liar.asked.load(Ordering::Relaxed) > 1).await;
    let trouble = |list: &Value| find(list, "shop")["trouble"].as_str().unwrap_or("").to_owned();
    let cases: [(&dyn Fn(), &str); 9] = [
        (&|| liar.show(&[("a", "NaN")]), "a counter shows NaN"),
        (&|| liar.show(&[("a", "+Inf")]), "a counter shows inf"),
        (&|| liar.show(&[("a", "-3")]), "a counter shows -3"),
        (&|| liar.show(&[("a", "20"), ("a", "20")]), "a series comes twice"),
        (&|| liar.show(&[]), "there are no series of all events"),
        (&|| liar.say(200, "<html>"), "not that of a Prometheus"),
        (&|| liar.say(503, "overloaded"), "it answered 503"),
        (&|| liar.say(302, ""), "it answered 302"),
        (&|| liar.hesitate(true), "it did not answer within 5 s"),
    ];
    for (lie, told) in cases {
        lie();
        scene.json_where("/api/v1/slas", |list| trouble(list).contains(told)).await;
    }
    // The next sound answer tells what has happened since the last one.
    liar.hesitate(false);
    liar.show(&[("a", "60")]);
    let list = scene
        .json_where("/api/v1/slas", |list| find(list, "shop")["events"]["total"].as_u64() == Some(50))
        .await;
    assert_eq!(trouble(&list), "");
    let warned = json!({"status": "success", "warnings": ["a store is away"], "data": {"resultType": "vector", "result": []}});
    liar.say(200, &warned.to_string());
    scene.json_where("/api/v1/slas", |list| trouble(list).contains("a store is away")).await;
    liar.say(422, r#"{"status":"error","errorType":"execution","error":"too many samples"}"#);
    let list = scene.json_where("/api/v1/slas", |list| trouble(list).contains("too many samples")).await;
    assert!(!list.to_string().contains("open sesame") && !list.to_string().contains(&liar.url), "{list:#}");
    assert!(liar.heads.lock().unwrap().iter().all(|head| head == "Bearer open sesame"));
    scene.end().await;
    liar.served.abort();
}

#[tokio::test]
async fn hundreds_of_slas_are_asked_for_over_a_few_connections() {
    let liar = Liar::start().await;
    liar.show(&[("a", "10")]);
    let of = |index: usize| {
        let (good, total) = (format!("good_{index}_total"), format!("sum(all_{index}_total)"));
        slo(&format!("shop-{index}"), &counters("prometheus", &good, &total), "{}")
    };
    let text: String = (0..200).map(of).collect();
    let scene = judging(promises(&text, prometheus(), &liar.url)).await;
    scene.json_where("/api/v1/slas", |_| liar.asked.load(Ordering::Relaxed) > 1000).await;
    let callers = liar.callers.lock().unwrap().len();
    assert!(callers <= 8, "{callers} connections");
    scene.end().await;
    liar.served.abort();
}

#[tokio::test]
async fn a_source_that_is_away_is_no_data_and_comes_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = slo("shop", &counters("page", "good_total", "all_total"), "{}");
    let url = format!("http://{address}/metrics");
    let scene = judging(promises(&text, Source::Exposition("page".to_owned()), &url)).await;
    let trouble = |list: &Value| find(list, "shop")["trouble"].as_str().unwrap_or("").to_owned();
    scene.json_where("/api/v1/slas", |list| trouble(list).starts_with("it cannot be reached")).await;
    let count = AtomicU64::new(0);
    let page = Arc::new(move || {
        let all = count.fetch_add(100, Ordering::Relaxed);
        format!("# TYPE all_total counter\nall_total {all}\ngood_total {all}\n")
    });
    let router = Router::new().route("/metrics", get(async move || page()));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let list = scene.json_where("/api/v1/slas", |list| find(list, "shop")["state"] == "ok").await;
    assert_eq!(trouble(&list), "");
    scene.end().await;
    served.abort();
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_before_anything_begins() {
    let text = |good: &str, annotations: &str| slo("shop", &counters("prometheus", good, "a"), annotations);
    let runs = "good: {metricSource: {type: Plimsoll, spec: {plan: p}}}, total: {metricSource: {type: Plimsoll, spec: {plan: p}}}";
    for (text, source, url, told) in [
        (
            text("a", "{}"),
            Source::Prometheus(None),
            "http://127.0.0.1",
            "nobody knows where the data source `prometheus` is",
        ),
        (text("a", "{}"), prometheus(), "ftp://127.0.0.1", "`url` is no http or https URL"),
        (slo("shop", runs, "{plimsoll/for-each: tenant}"), prometheus(), "", "runs have no label"),
        (
            slo("shop", &counters("page", "rate(a[5m])", "b"), "{}"),
            Source::Exposition("page".to_owned()),
            "http://127.0.0.1",
            "`rate(a[5m])` is no selector of a page",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("h.db")).await.unwrap();
        let config = plimsoll_service::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            history,
            promises: promises(&text, source, url),
            teller: None,
            plans: None,
            access: plimsoll_service::Access::default(),
        };
        let error = plimsoll_service::Service::bind(config).await.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("ftp://"), "{error}");
    }
}

/// A run whose plan judges the SLO `answers`, which began at this second.
fn run(id: &str, at: u64) -> Started {
    let mut started = started(id);
    started.info.started_nanos = at.cast_signed() * 1_000_000_000;
    started.shape.plan = "demo".to_owned();
    started.shape.objectives.push(Objective {
        name: "answers".to_owned(),
        text: "availability >= 0.999".to_owned(),
        expression: Expression::parse("availability >= 0.999").unwrap(),
        over: None,
        filter: plimsoll_sla::Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    });
    started
}

#[tokio::test]
async fn what_runs_saw_counts_once_whatever_happens_to_the_service() {
    let metric = "good: {metricSource: {type: Plimsoll, spec: {plan: demo}}}, total: {metricSource: {type: Plimsoll, spec: {plan: demo}}}";
    let text = slo("answers", metric, "{plimsoll/budget-policy: \"50%: review; 100%: only mend\"}");
    let promises = || promises(&text, prometheus(), "http://127.0.0.1");
    let scene = judging(promises()).await;
    // What a service finds when it begins goes into states, not into the journal.
    let begun = Instant::now();
    while scene.get("/readyz").await.status() != StatusCode::OK {
        assert!(begun.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let at = now() - 10;
    let recorder = Recorder::start(&scene.history, &run("a", at)).await.unwrap();
    (0..10).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    let total = |list: &Value| find(list, "answers")["events"]["total"].as_u64();
    scene.json_where("/api/v1/slas", |list| total(list) == Some(990)).await;
    // What was told is in the record a second later.
    let told = async || {
        let entries = scene.history.sla_journal().await.unwrap();
        let told = entries.iter().flat_map(|(_, bytes)| Entry::from_bytes(bytes).unwrap());
        told.filter(|(_, entry)| matches!(entry, Entry::Second { moment: Some(_), .. })).count()
    };
    let begun = Instant::now();
    while told().await < 10 {
        assert!(begun.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let folder = scene.kill().await;

    // It goes on while nobody looks, and ends; another begins.
    (10..15).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    ended(15).iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
    let scene = Scene::judging(folder, promises()).await;
    scene.json_where("/api/v1/slas", |list| total(list) == Some(15 * 99)).await;
    let recorder = Recorder::start(&scene.history, &run("b", now() - 1)).await.unwrap();
    recorder.record(&second_with(0, 10, 99));
    let list = scene.json_where("/api/v1/slas", |list| find(list, "answers")["state"] == "breaching").await;
    assert_eq!(total(&list), Some(16 * 99));
    assert!(
        find(&list, "answers")["why"].as_str().unwrap().starts_with("99 of 99 requests of the last 1s"),
        "{list:#}"
    );
    let metrics = scene.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("plimsoll_sla_met{plan=\"demo\",sla=\"answers\"} 0\n"), "{metrics}");
    assert!(
        metrics.contains("plimsoll_sla_detection_delay_seconds{plan=\"demo\",sla=\"answers\"} 1\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("plimsoll_sla_events_total"), "those of runs are where the runs are");
    ended(1).iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
    scene.end().await;
}

/// Goes on, at this second of its axis and at this one of Unix time, with a run whose process died.
async fn going_on(history: &History, run: &str, second: u64, at: u64) -> Recorder {
    let interrupted = history.interrupted(run).await.unwrap();
    let recorder = Recorder::resume(history, &interrupted).await.unwrap();
    let wall_nanos = at.cast_signed() * 1_000_000_000;
    recorder.record(&RunEvent::Resumed(Resumed { at: second * SECOND, wall_nanos, away: SECOND, cut: 0 }));
    recorder
}

#[tokio::test]
async fn a_run_that_goes_on_counts_each_second_once() {
    let metric = "good: {metricSource: {type: Plimsoll, spec: {plan: demo}}}, total: {metricSource: {type: Plimsoll, spec: {plan: demo}}}";
    let text = slo("answers", metric, "{}");
    let promises = || promises(&text, prometheus(), "http://127.0.0.1");
    let scene = judging(promises()).await;
    let total = |list: &Value| find(list, "answers")["events"]["total"].as_u64().unwrap_or(0);
    let counted = async |scene: &Scene, seconds: u64| {
        scene.json_where("/api/v1/slas", |list| total(list) >= seconds * 99).await;
        let lasted = |told: &Value| told["run"]["duration_seconds"].as_f64();
        scene.json_where("/api/v1/runs/a", |told| lasted(told) == Some(seconds as f64)).await;
        assert_eq!(total(&scene.json("/api/v1/slas").await), seconds * 99);
    };
    let died = async |scene: &Scene, recorder: Recorder| {
        recorder.finish(DEADLINE).await;
        let status = |told: &Value| told["run"]["status"] == "interrupted";
        scene.json_where("/api/v1/runs/a", status).await;
    };

    // It goes on under the service that saw it die.
    let recorder = Recorder::start(&scene.history, &run("a", now() - 100)).await.unwrap();
    (0..5).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    counted(&scene, 5).await;
    died(&scene, recorder).await;
    let recorder = going_on(&scene.history, "a", 5, now() - 10).await;
    (5..8).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    counted(&scene, 8).await;
    died(&scene, recorder).await;

    // It went on while no service looked, long after its seconds without the gap would have ended, and died again.
    let folder = scene.leave().await;
    let history = History::open(folder.path().join("history.db")).await.unwrap();
    let recorder = going_on(&history, "a", 8, now()).await;
    (8..10).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    recorder.finish(DEADLINE).await;
    drop(history);
    let scene = Scene::judging(folder, promises()).await;
    counted(&scene, 10).await;

    // What the next service caught up with does not count again where the run goes on.
    let recorder = going_on(&scene.history, "a", 10, now()).await;
    (10..12).for_each(|number| recorder.record(&second_with(number, 10, 0)));
    counted(&scene, 12).await;
    ended(12).iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
    scene.end().await;
}

#[tokio::test]
async fn the_pages_of_slas_are_reached_by_keyboard_and_fit() {
    let metric = "good: {metricSource: {type: Plimsoll, spec: {plan: demo}}}, total: {metricSource: {type: Plimsoll, spec: {plan: demo}}}";
    let annotations = "{plimsoll/budget-policy: \"50%: review every change; 100%: only mend\", plimsoll/runbook-url: \"https://example.com/runbook\", \
        plimsoll/exclude: \"2026-11-01T00:00:00Z/2026-11-01T02:00:00Z database moves\"}";
    let text = format!("{}{}", slo("answers", metric, annotations), slo("never-seen", metric, "{}"));
    let scene = judging(promises(&text, prometheus(), "http://127.0.0.1")).await;
    let recorder = Recorder::start(&scene.history, &run("a", now() - 60)).await.unwrap();
    (0..60).for_each(|number| {
        recorder.record(&second_with(number, 10, if number > 55 { 60 } else { number / 20 }));
    });
    scene.json_where("/api/v1/slas", |list| find(list, "answers")["state"] == "breaching").await;
    let kept = |detail: &Value| detail["breaches"].as_array().is_some_and(|all| !all.is_empty());
    scene.json_where("/api/v1/slas/answers", kept).await;

    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&scene.url).await.unwrap();
    shows(&browser, ".slas li:first-child", "breaching answers").await;
    pictures(&browser, "overview-slas").await;
    tab_to(&browser, "a[href='/sla']").await;
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "table", "breaching").await;
    shows(&browser, "table", "never-seen").await;
    pictures(&browser, "slas").await;
    tab_to(&browser, "a[href='/sla/answers']").await;
    // News come without taking the place of whoever goes through the page by keyboard.
    let outdated = "document.querySelector('h1').textContent = 'before'; \
                    document.dispatchEvent(new Event('visibilitychange'))";
    browser.run(outdated).await.unwrap();
    shows(&browser, "h1", "SLAs").await;
    assert_eq!(read(&browser, "document.activeElement.getAttribute('href')").await, "/sla/answers");
    press(&browser, Key::Enter.into()).await;
    shows(&browser, "h1", "answers").await;
    shows(&browser, "main", "what the whole period will have").await;
    shows(&browser, "main", "database moves").await;
    pictures(&browser, "sla").await;
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    ended(60).iter().for_each(|event| recorder.record(event));
    assert!(recorder.finish(DEADLINE).await.ended);
    scene.end().await;
}
