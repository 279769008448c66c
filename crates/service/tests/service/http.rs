//! Asked over HTTP as a script would.

use std::time::{Duration, Instant};

use plimsoll_history::{AnswerText, KeptAnswer, Recorder, Scope};
use plimsoll_service::{Config, Service, ServiceError};
use serde_json::Value;

use crate::scene::{DEADLINE, Scene, answer, ended, record, second, started};
use crate::{access, annotations};

#[tokio::test]
async fn a_past_run_is_listed_and_told_in_full() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let decided = |list: &Value| !list["runs"][0]["verdict"].is_null();
    let list = scene.json_where("/api/v1/runs", decided).await;
    let row = &list["runs"][0];
    assert_eq!(row["id"], "0198-past");
    assert_eq!((&row["status"], &row["verdict"]), (&"completed".into(), &"missed".into()), "{row:#}");
    assert_eq!(row["requests"], 20 * 99);

    for name in ["0198-past", "0198", "latest"] {
        let run = scene.json(&format!("/api/v1/runs/{name}")).await;
        assert_eq!(run["totals"]["requests"], 20 * 99, "{name}");
        assert_eq!(run["totals"]["dropped"], 20);
        assert_eq!(run["sla"][0]["verdict"], "missed");
    }
    let timeline = scene.json("/api/v1/runs/latest/timeline").await;
    assert_eq!(timeline["points"]["second"].as_array().unwrap().len(), 20);
    assert_eq!(timeline["points"]["offered"][3], 100.0);
    assert_eq!(timeline["points"]["dropped"][3], 1.0);
    assert_eq!(timeline["points"]["errors"][3], serde_json::json!({ "timeout": 1.0 }));
    assert_eq!(timeline["bounds"][0]["seconds"], 0.05);
    assert_eq!(timeline["errors"][0]["kind"], "timeout");
    scene.end().await;
}

#[tokio::test]
async fn a_stretch_of_a_run_is_told_in_as_many_points_as_are_asked_for() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let asked = async |query: &str| scene.json(&format!("/api/v1/runs/latest/timeline?{query}")).await;
    let whole = asked("from=0").await;
    assert_eq!((whole["run"].as_str(), whole["width"].as_u64()), (Some("0198-past"), Some(1)), "{whole:#}");
    let points = &whole["points"];
    assert_eq!(points["second"].as_array().unwrap().len(), 20);
    for (name, column) in points.as_object().unwrap() {
        assert_eq!(column.as_array().map(Vec::len), Some(20), "{name}");
    }
    assert_eq!((&points["offered"][3], &points["requests_most"][3]), (&100.0.into(), &99.0.into()));

    let stretch = asked("from=4&to=14&points=2").await;
    let points = &stretch["points"];
    assert_eq!((&stretch["width"], &points["second"]), (&5.into(), &serde_json::json!([4, 9])));
    assert_eq!(points["recorded"], serde_json::json!([5, 5]));
    assert_eq!(points["errors"][1], serde_json::json!({ "timeout": 1.0 }), "summed, then divided by seconds");
    for (query, told) in [
        ("from=9&to=9", "`to=9` must be greater than `from=9`"),
        ("points=0", "write a number from 1 to 10000"),
        ("bucket=3", "there are from, to, points"),
    ] {
        let answer = scene.get(&format!("/api/v1/runs/latest/timeline?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem:#}");
    }
    assert_eq!(scene.get("/api/v1/runs/none/timeline?from=0").await.status(), 404);
    assert_eq!(asked("from=20").await["points"]["second"], serde_json::json!([]), "nothing is there yet");
    scene.end().await;
}

#[tokio::test]
async fn a_report_brings_its_own_style_and_may_do_nothing_else() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 10).await;
    let answer = scene.get("/api/v1/runs/latest/report").await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(page.contains("storefront &lt;b&gt;") && !page.contains("<script>alert"));
    scene.end().await;
}

/// What the stream of events said, as (name, data).
struct Listener {
    answer: reqwest::Response,
    text: String,
}

impl Listener {
    async fn new(scene: &Scene) -> Self {
        let answer = scene.get("/api/v1/events").await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = field("event: ").zip(field("data: "));
                let found = found.map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk()).await.expect("something comes");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    async fn until(&mut self, good: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if good(&name, &data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn a_live_run_is_told_second_by_second_until_it_ends() {
    let scene = Scene::new().await;
    let mut listener = Listener::new(&scene).await;
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    let list = listener.until(|name, data| name == "runs" && data["runs"][0]["id"] == "0199-live").await;
    assert_eq!(list["runs"][0]["status"], "running");
    assert_eq!(list["runs"][0]["verdict"], Value::Null, "nothing is decided while it runs");

    for number in 0..3 {
        recorder.record(&second(number, 100));
        let told = listener.until(|name, _| name == "second").await;
        assert_eq!((&told["run"], &told["second"]), (&"0199-live".into(), &number.into()));
        let point = &told["point"];
        assert_eq!((&point["offered"], &point["succeeded"]), (&100.0.into(), &98.0.into()), "{point:#}");
        assert_eq!((&point["failed"], &point["dropped"]), (&1.0.into(), &1.0.into()));
        assert_eq!((&point["users"], &point["errors"]), (&3.into(), &serde_json::json!({ "timeout": 1.0 })));
        assert!(point["p95"].as_f64().unwrap() > 0.09);
        assert_eq!(point["p99"], Value::Null, "99 values carry no p99");
        assert_eq!(told["sla"].as_array().unwrap().len(), 2);
        assert_eq!(told["validity"], "valid");
    }
    let run = scene.json("/api/v1/runs/0199-live").await;
    assert_eq!((&run["run"]["status"], &run["totals"]["requests"]), (&"running".into(), &297.into()));

    // Who comes later is told at once what is known.
    let mut late = Listener::new(&scene).await;
    let known = late.next().await.unwrap();
    assert_eq!((known.0.as_str(), &known.1["runs"][0]["status"]), ("runs", &"running".into()));

    (3..20).for_each(|number| recorder.record(&second(number, 100)));
    ended(20).iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    let last = listener.until(|name, data| name == "runs" && data["runs"][0]["status"] == "completed").await;
    assert_eq!(last["runs"][0]["verdict"], "missed");
    assert_eq!(last["runs"][0]["requests"], 20 * 99);

    // Stopping the service ends the streams, so that it can end itself.
    scene.end().await;
    while listener.next().await.is_some() {}
}

#[tokio::test]
async fn answers_about_capacity_are_told_as_they_were_given() {
    let scene = Scene::new().await;
    let none = scene.json("/api/v1/capacity").await;
    assert_eq!(none, serde_json::json!({ "plans": [] }));
    assert!(!scene.get("/metrics").await.text().await.unwrap().contains("plimsoll_capacity"));

    let told = answer(&scene.history, "shop", 300.0, 1).await;
    let list = scene.json("/api/v1/capacity").await;
    let shop = &list["plans"][0];
    let headroom = &told["headroom"][0];
    assert_eq!((&shop["plan"], &shop["traffic"]), (&"shop".into(), &300.0.into()), "{list:#}");
    assert_eq!(shop["limit"]["estimate"], headroom["limit"]["throughput"]);
    assert_eq!(shop["headroom_ratio"], headroom["ratio"]);
    let json = shop["answers"][0]["json"].as_str().unwrap();
    assert_eq!(scene.json(json).await, told);
    let report = scene.get(shop["answers"][0]["report"].as_str().unwrap()).await;
    assert_eq!(report.headers()["content-type"], "text/html; charset=utf-8");
    assert!(report.text().await.unwrap().contains("Capacity of shop, 7 runs"));

    // The next answer is shown at once, under the same address.
    let later = answer(&scene.history, "shop", 350.0, 2).await;
    assert_eq!(scene.json(json).await, later);
    let page = scene.get("/capacity").await.text().await.unwrap();
    assert!(page.contains("traffic of 350/s") && !page.contains("traffic of 300/s"), "{page}");
    let metrics = scene.get("/metrics").await.text().await.unwrap();
    let ratio = later["headroom"][0]["ratio"].as_f64().unwrap();
    assert!(
        metrics.contains(&format!("plimsoll_capacity_headroom_ratio{{plan=\"shop\"}} {ratio}")),
        "{metrics}"
    );

    // Nor is anything drawn of which another version told another figure.
    let (number, kept) = scene.history.answers().await.unwrap().remove(0);
    let text = scene.history.answer(number).await.unwrap().unwrap();
    let told = KeptAnswer { estimate: Some(kept.estimate.unwrap() * 1.1), made_nanos: 3, ..kept };
    scene.history.keep_answer(&told, &text).await.unwrap();
    let page = scene.get("/capacity").await.text().await.unwrap();
    assert!(page.contains("by another version"), "{page}");

    // What a later version left cannot be drawn, and its figures stand.
    let foreign = AnswerText { result: "{}".to_owned(), inputs: Some("{\"schema\": 99}".to_owned()) };
    let (_, kept) = scene.history.answers().await.unwrap().remove(0);
    scene.history.keep_answer(&KeptAnswer { made_nanos: 4, ..kept }, &foreign).await.unwrap();
    let page = scene.get("/capacity").await.text().await.unwrap();
    assert!(page.contains("by another version") && page.contains("beside traffic of 350/s"), "{page}");

    for (path, status) in [
        ("/capacity/999", 404),
        ("/api/v1/capacity/999", 404),
        ("/capacity/x", 400),
        ("/api/v1/capacity/99999999999999999999", 400),
    ] {
        assert_eq!(scene.get(path).await.status(), status, "{path}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_foreign_name_is_refused_and_probes_are_not() {
    let scene = Scene::new().await;
    let ask = |path: &str, host: &'static str| {
        scene.http.get(format!("{}{path}", scene.url)).header("host", host).send()
    };
    for (path, host, status) in [
        ("/", "evil.example", 421),
        ("/api/v1/runs", "evil.example:80", 421),
        ("/api/v1/events", "evil.example", 421),
        ("/healthz", "plimsoll:7700", 200),
        ("/metrics", "plimsoll:7700", 421),
        ("/metrics", "localhost:1", 200),
        ("/", "localhost:1", 200),
    ] {
        assert_eq!(ask(path, host).await.unwrap().status(), status, "{path} under {host}");
    }
    scene.end().await;
}

#[tokio::test]
async fn every_answer_is_sent_with_care() {
    let scene = Scene::new().await;
    for path in [
        "/",
        "/capacity",
        "/api/v1/capacity",
        "/assets/app.js",
        "/api/v1/runs",
        "/api/v1/runs/none",
        "/nowhere",
    ] {
        let answer = scene.get(path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert!(header("content-security-policy").starts_with("default-src 'none'"));
        assert!(
            answer.headers().get("access-control-allow-origin").is_none(),
            "no page from elsewhere reads this"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn pages_are_kept_by_browsers_as_long_as_they_are_the_same() {
    let scene = Scene::new().await;
    let first = scene.get("/assets/app.js").await;
    assert!(first.headers()["content-type"].to_str().unwrap().contains("javascript"));
    let tag = first.headers()["etag"].clone();
    let again = scene.http.get(format!("{}/assets/app.js", scene.url)).header("if-none-match", tag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    for odd in ["/assets/..%2fCargo.toml", "/assets/../src/lib.rs", "/assets/none"] {
        assert_eq!(scene.get(odd).await.status(), 404, "{odd}");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_words() {
    let scene = Scene::new().await;
    let empty = scene.get("/api/v1/runs/none").await;
    assert_eq!(empty.status(), 404);
    assert_eq!(empty.json::<Value>().await.unwrap()["detail"], "no run is recorded yet");
    record(&scene.history, "0198-a", 10).await;
    record(&scene.history, "0198-b", 10).await;
    for (id, status, word) in
        [("x", 404, "no run's id starts with `x`"), ("0198", 400, "is the start of 2 ids")]
    {
        let answer = scene.get(&format!("/api/v1/runs/{id}/timeline")).await;
        assert_eq!(answer.status(), status, "{id}");
        let body: Value = answer.json().await.unwrap();
        assert!(body["detail"].as_str().unwrap().contains(word), "{body}");
    }
    scene.end().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem_of_one_form() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-a", 10).await;
    record(&scene.history, "0198-b", 10).await;
    for (method, path, status, word) in [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("GET", "/api/v1/runs/x", 404, "not-found"),
        ("GET", "/api/v1/runs/0198", 400, "ambiguous"),
        ("GET", "/api/v1/runs?limit=none", 400, "bad-request"),
        ("GET", "/api/v1/capacity/x", 400, "bad-request"),
        ("GET", "/api/v1/capacity/7", 404, "not-found"),
        ("GET", "/api/v1/slas/none", 404, "not-found"),
        ("GET", "/assets/none", 404, "not-found"),
        ("GET", "/api/v1/runs/%FF", 400, "bad-request"),
        ("PATCH", "/api/v1/runs", 405, "method-not-allowed"),
        ("POST", "/healthz", 405, "method-not-allowed"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = scene.http.request(method, format!("{}{path}", scene.url)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        if status == 405 {
            assert!(answer.headers()["allow"].to_str().unwrap().contains("GET"), "{path}");
        }
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["type"], format!("urn:plimsoll:problem:{word}"), "{path}: {told:#}");
        assert_eq!(told["status"], status, "{path}");
        assert_eq!(told["instance"], path.split('?').next().unwrap());
        for key in ["title", "detail"] {
            assert!(told[key].as_str().is_some_and(|text| text.len() > 5), "{path}: {told:#}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn the_list_of_runs_comes_in_pages_and_filtered() {
    let scene = Scene::new().await;
    for number in 0..5 {
        record(&scene.history, &format!("0198-{number}"), 10).await;
    }
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    let all = |list: &Value| list["runs"].as_array().is_some_and(|runs| runs.len() == 6);
    let list = scene.json_where("/api/v1/runs", all).await;
    assert_eq!(list["next"], Value::Null);
    let ids = |list: &Value| -> Vec<String> {
        let ids = list["runs"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        ids.collect()
    };

    // A page ends where the next begins, also among runs that started in the same nanosecond.
    let (mut seen, mut path) = (Vec::new(), "/api/v1/runs?limit=2".to_owned());
    loop {
        let page = scene.json(&path).await;
        assert!(ids(&page).len() <= 2);
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        // What was told is not told again when a run is deleted in between.
        if seen.len() == 2 {
            scene.history.delete(&["0198-0"]).await.unwrap();
        }
        path = format!("/api/v1/runs?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["0199-live", "0198-4", "0198-3", "0198-2", "0198-1"]);

    for (query, count) in [
        ("status=running", 1),
        ("status=completed", 4),
        ("status=aborted", 0),
        ("plan=storefront%20%3Cb%3E", 5),
        ("plan=other", 0),
        ("tag=version=1.4.2&status=completed", 4),
        ("tag=version=2", 0),
        ("since=2025-10-09T08:53:20Z", 5),
        ("since=2025-10-09T08:53:21Z", 0),
        ("until=2025-10-09T08:53:20Z", 0),
        ("until=2025-10-09T10:53:21%2B02:00", 5),
    ] {
        let found = scene.json(&format!("/api/v1/runs?{query}")).await;
        assert_eq!(ids(&found).len(), count, "{query}: {found:#}");
    }
    drop(recorder);
    scene.end().await;
}

#[tokio::test]
async fn it_is_ready_when_it_has_read_the_record() {
    let scene = Scene::new().await;
    let started = Instant::now();
    while scene.get("/readyz").await.status() != 200 {
        assert!(started.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.get("/healthz").await.text().await.unwrap(), "ok\n");
    let metrics = scene.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("\nplimsoll_up 1\n") && metrics.contains("plimsoll_build_info{version="),
        "{metrics}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_taken_port_is_said_so() {
    let scene = Scene::new().await;
    let listen = scene.url.trim_start_matches("http://").parse().unwrap();
    let error = Service::bind(Config {
        listen,
        history: scene.history.clone(),
        promises: plimsoll_service::Promises::default(),
        teller: None,
        plans: None,
        access: plimsoll_service::Access::default(),
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ServiceError::Taken { .. }));
    assert_eq!(
        error.to_string(),
        format!("{listen} is taken by another process; stop it, or listen elsewhere")
    );
    scene.end().await;
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 100).await;
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    answer(&scene.history, "storefront <b>", 350.0, 1).await;
    let alerts = [annotations::alert("a", 5, Some(9)), annotations::alert("b", -7, None)];
    scene.history.keep_annotations(&alerts).await.unwrap();
    access::token(&scene.history, "a", Scope::Run).await;
    let both = |list: &Value| list["runs"].as_array().is_some_and(|runs| runs.len() == 2);
    scene.json_where("/api/v1/runs", both).await;
    let document = scene.json("/api/v1/openapi.json").await;
    for (path, asked) in [
        ("/api/v1/runs", "/api/v1/runs"),
        ("/api/v1/runs", "/api/v1/runs?limit=1"),
        ("/api/v1/runs/{run}", "/api/v1/runs/0198-past"),
        ("/api/v1/runs/{run}/timeline", "/api/v1/runs/0198-past/timeline"),
        ("/api/v1/runs/{run}/timeline", "/api/v1/runs/0198-past/timeline?from=3&to=9"),
        ("/api/v1/runs/{run}/annotations", "/api/v1/runs/0198-past/annotations"),
        ("/api/v1/annotations", "/api/v1/annotations?limit=1"),
        ("/api/v1/capacity", "/api/v1/capacity"),
        ("/api/v1/capacity/{number}", "/api/v1/capacity/1"),
        ("/api/v1/slas", "/api/v1/slas"),
        ("/api/v1/me", "/api/v1/me"),
        ("/api/v1/audit", "/api/v1/audit"),
        ("/api/v1/tokens", "/api/v1/tokens"),
        ("/api/v1/prometheus/targets", "/api/v1/prometheus/targets"),
        ("/api/v1/openapi.json", "/api/v1/openapi.json"),
    ] {
        let said =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(said.is_object(), "{path} is not in the document");
        let schema = serde_json::json!({ "allOf": [said], "components": document["components"] });
        let schema = jsonschema::validator_for(&schema).unwrap();
        let found = scene.json(asked).await;
        let wrong: Vec<String> = schema.iter_errors(&found).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{asked}: {wrong:?}");
    }
    let schema = serde_json::json!({
        "$ref": "#/components/schemas/Problem", "components": document["components"],
    });
    let problem = scene.json("/api/v1/runs/none").await;
    assert!(jsonschema::is_valid(&schema, &problem), "{problem:#}");
    assert!(!jsonschema::is_valid(&schema, &serde_json::json!({ "error": "no" })));
    drop(recorder);
    scene.end().await;
}
