//! Alerts that an Alertmanager tells the service, and what of them a run shows.

use plimsoll_history::{Overlapping, Recorder, Scope};
use plimsoll_run::Annotation;
use plimsoll_service::{Access, Limits};
use plimsoll_testkit::Browser;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::access::{token, with_tokens};
use crate::browser::{pictures, read, shows, tab_to};
use crate::scene::{DEADLINE, STARTED, Scene, ended, record, second, started};

/// Markup that a page must never take for its own.
const HOSTILE: &str = "slow <img src=x onerror=alert(1)>";

/// An alert so many seconds behind the start of the runs of these tests.
pub(crate) fn alert(fingerprint: &str, from: i64, to: Option<i64>) -> Annotation {
    let at = |seconds: i64| STARTED + seconds * 1_000_000_000;
    let labels = [("alertname", "Slow"), ("severity", "page"), ("instance", HOSTILE)];
    Annotation {
        fingerprint: fingerprint.to_owned(),
        starts_nanos: at(from),
        ends_nanos: to.map(at),
        name: "Slow".to_owned(),
        severity: Some("page".to_owned()),
        summary: Some(HOSTILE.to_owned()),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        link: Some("http://prometheus.example/graph?g0.expr=up".to_owned()),
        receiver: "plimsoll".to_owned(),
        told_nanos: at(from),
    }
}

fn moment(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(STARTED)).unwrap();
    (moment + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// A message with one alert, as an Alertmanager sends it.
fn message(status: &str, from: i64, to: Option<i64>) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"Slow\"}", "truncatedAlerts": 0, "status": status,
        "receiver": "plimsoll", "groupLabels": { "alertname": "Slow" }, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [{
            "status": status, "labels": { "alertname": "Slow", "severity": "page", "instance": HOSTILE },
            "annotations": { "summary": HOSTILE }, "startsAt": moment(from),
            "endsAt": to.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), moment),
            "generatorURL": "http://prometheus.example/graph", "fingerprint": "7d4f62ea4bb40a0d",
        }],
    })
}

async fn tell(scene: &Scene, message: &Value) -> reqwest::Response {
    let url = format!("{}/api/v1/annotations/alertmanager", scene.url);
    scene.http.post(url).json(message).send().await.unwrap()
}

#[tokio::test]
async fn an_alert_is_told_while_it_fires_and_when_it_is_over_and_is_there_once() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 10).await;
    for _ in 0..3 {
        assert_eq!(tell(&scene, &message("firing", 3, None)).await.status(), StatusCode::NO_CONTENT);
    }
    let told = scene.json("/api/v1/annotations").await;
    assert_eq!((told["annotations"].as_array().unwrap().len(), &told["next"]), (1, &Value::Null), "{told:#}");
    let alert = &told["annotations"][0];
    for (key, value) in [
        ("name", json!("Slow")),
        ("severity", json!("page")),
        ("status", json!("firing")),
        ("starts", json!(moment(3))),
        ("ends", Value::Null),
        ("summary", json!(HOSTILE)),
        ("link", json!("http://prometheus.example/graph")),
        ("receiver", json!("plimsoll")),
        ("fingerprint", json!("7d4f62ea4bb40a0d")),
    ] {
        assert_eq!(alert[key], value, "{key}");
    }
    assert_eq!(alert["labels"]["instance"], HOSTILE);

    assert_eq!(tell(&scene, &message("resolved", 3, Some(9))).await.status(), StatusCode::NO_CONTENT);
    let of_run = scene.json("/api/v1/runs/latest/annotations").await;
    assert_eq!((&of_run["run"], of_run["annotations"].as_array().unwrap().len()), (&json!("0198-past"), 1));
    let alert = &of_run["annotations"][0];
    assert_eq!((&alert["status"], &alert["ends"]), (&json!("resolved"), &json!(moment(9))));
    assert_eq!((&alert["from_seconds"], &alert["to_seconds"]), (&json!(3.0), &json!(9.0)));

    // It fills no audit log, and is no page of the report that anybody could break.
    assert_eq!(scene.json("/api/v1/audit").await["entries"], json!([]));
    let report = scene.get("/api/v1/runs/latest/report").await.text().await.unwrap();
    assert!(report.contains("Alerts while it ran") && report.contains("slow &lt;img"), "{report}");
    assert!(!report.contains("<img"));
    scene.end().await;
}

#[tokio::test]
async fn a_run_has_the_alerts_that_it_overlaps_and_pages_have_all_once() {
    let scene = Scene::new().await;
    record(&scene.history, "0198-past", 10).await;
    let live = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    live.record(&second(0, 10));
    let alerts = [
        alert("before", -9, Some(-1)),
        alert("into", -9, Some(1)),
        alert("within", 5, Some(6)),
        alert("long since", -100, None),
        alert("after", 25, None),
    ];
    scene.history.keep_annotations(&alerts).await.unwrap();
    let names = |told: &Value| -> Vec<String> {
        let names = told["annotations"].as_array().unwrap().iter();
        names.map(|one| one["fingerprint"].as_str().unwrap().to_owned()).collect()
    };
    // Until the service has read its end, it goes on as far as pages know.
    scene.json_where("/api/v1/runs/0198-past", |told| !told["run"]["ended"].is_null()).await;
    let past = scene.json("/api/v1/runs/0198-past/annotations").await;
    assert_eq!(names(&past), ["within", "into", "long since"], "{past:#}");
    assert_eq!(
        (&past["annotations"][2]["from_seconds"], &past["annotations"][2]["to_seconds"]),
        (&json!(-100.0), &Value::Null)
    );
    // A run that goes on does so until now, which is long after these alerts.
    let live_told = scene.json("/api/v1/runs/0199-live/annotations").await;
    assert_eq!(names(&live_told), ["after", "within", "into", "long since"]);

    let mut paged = Vec::new();
    let mut path = "/api/v1/annotations?limit=2".to_owned();
    loop {
        let page = scene.json(&path).await;
        assert!(page["annotations"].as_array().unwrap().len() <= 2);
        paged.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/annotations?limit=2&cursor={next}");
    }
    assert_eq!(paged, ["after", "within", "into", "before", "long since"]);
    let within = format!("/api/v1/annotations?from={}&until={}", moment(0), moment(5));
    assert_eq!(names(&scene.json(&within).await), ["into", "long since"]);
    assert_eq!(scene.get("/api/v1/runs/none/annotations").await.status(), 404);
    for query in ["?limit=0", "?since=2026-11-23T05:00:00Z", "?from=now"] {
        let answer = scene.get(&format!("/api/v1/annotations{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
    }
    drop(live);
    scene.end().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_by_its_place_and_nothing_of_it_is_kept() {
    let scene = Scene::new().await;
    let with = |key: &str, value: Value| {
        let mut message = message("resolved", 3, Some(9));
        let alert = message["alerts"][0].as_object_mut().unwrap();
        alert.insert(key.to_owned(), value);
        message.to_string()
    };
    let mut other = message("firing", 3, None);
    other["version"] = "3".into();
    let mut many = message("firing", 3, None);
    many["alerts"] = vec![many["alerts"][0].clone(); 1001].into();
    let mut half = message("firing", 3, None);
    half["alerts"].as_array_mut().unwrap().push(json!({}));
    for (body, status, word, told) in [
        (String::new(), 400, "bad-request", "EOF"),
        ("{".to_owned(), 400, "bad-request", "line 1 column 1"),
        ("[]".to_owned(), 400, "bad-request", "no JSON object"),
        ("{\"version\": \"4\", \"alerts\": }".to_owned(), 400, "bad-request", "line 1 column 28"),
        ("[".repeat(100_000), 400, "bad-request", "no JSON object"),
        ("{}".to_owned(), 422, "invalid", "`$.version` is absent"),
        (other.to_string(), 422, "invalid", "`$.version` is \"3\"; this service understands version \"4\""),
        ("{\"version\": \"4\"}".to_owned(), 422, "invalid", "`$.alerts` is absent"),
        (many.to_string(), 422, "invalid", "`$.alerts` has 1001"),
        (half.to_string(), 422, "invalid", "`$.alerts[1].labels` is absent"),
        (with("labels", json!({ "a": 1 })), 422, "invalid", "`$.alerts[0].labels[\"a\"]` is 1"),
        (with("startsAt", json!("soon")), 422, "invalid", "`$.alerts[0].startsAt` is \"soon\""),
        (with("endsAt", json!(moment(2))), 422, "invalid", "`$.alerts[0].endsAt` is before `startsAt`"),
        (with("endsAt", json!("0001-01-01T00:00:00Z")), 422, "invalid", "`$.alerts[0].endsAt` is absent"),
        (with("fingerprint", json!("")), 422, "invalid", "`$.alerts[0].fingerprint`"),
        (with("status", json!("muted")), 422, "invalid", "`$.alerts[0].status` is \"muted\""),
    ] {
        let url = format!("{}/api/v1/annotations/alertmanager", scene.url);
        let request = scene.http.post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{told}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{told}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["type"], format!("urn:plimsoll:problem:{word}"), "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{told}: {problem:#}");
    }
    let text = scene.http.post(format!("{}/api/v1/annotations/alertmanager", scene.url));
    let yaml = text.header("content-type", "text/yaml").body(message("firing", 3, None).to_string());
    assert_eq!(yaml.send().await.unwrap().status(), 415);
    assert_eq!(scene.history.annotations(&Overlapping::default()).await.unwrap(), []);
    scene.end().await;

    let limits = Limits { body: 500, requests: 1e6, ..Limits::default() };
    let scene = Scene::guarded(Access { limits, ..Access::default() }).await;
    assert_eq!(tell(&scene, &message("firing", 3, None)).await.status(), 413);
    scene.end().await;
}

#[tokio::test]
async fn only_who_may_start_runs_tells_alerts_and_no_page_of_another_site_does() {
    let scene = Scene::guarded(with_tokens()).await;
    let url = format!("{}/api/v1/annotations/alertmanager", scene.url);
    let body = message("firing", 3, None);
    for (scope, status) in [(Scope::Read, 403), (Scope::Run, 204), (Scope::Admin, 204)] {
        let token = token(&scene.history, scope.label(), scope).await;
        // As an Alertmanager sends it: a bearer token, and none of the headers of a browser.
        let told = scene.http.post(&url).bearer_auth(&token).json(&body).send().await.unwrap();
        assert_eq!(told.status(), status, "{scope:?}");
        let list = scene.http.get(format!("{}/api/v1/annotations", scene.url)).bearer_auth(&token);
        assert_eq!(list.send().await.unwrap().status(), 200, "{scope:?}");
    }
    assert_eq!(scene.http.post(&url).json(&body).send().await.unwrap().status(), 401);
    let token = token(&scene.history, "browser", Scope::Run).await;
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = scene.http.post(&url).bearer_auth(&token).header(name, value).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 403, "{name}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_person_sees_on_a_run_what_was_alerted_meanwhile() {
    let scene = Scene::new().await;
    let recorder = Recorder::start(&scene.history, &started("0199-live")).await.unwrap();
    (0..8).for_each(|number| recorder.record(&second(number, 30)));
    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/runs/0199-live", scene.url)).await.unwrap();
    shows(&browser, ".progress", "0:08 of 0:20").await;
    assert_eq!(read(&browser, "document.querySelector('.alerts').hidden").await, "true", "nothing was told");

    // It comes by itself while the run goes on, and so does its end.
    browser.run("window.sameDocument = true").await.unwrap();
    let warning = Annotation {
        severity: Some("warning".to_owned()),
        name: HOSTILE.to_owned(),
        ..alert("w", -5, Some(4))
    };
    scene.history.keep_annotations(&[alert("a", 3, None), warning]).await.unwrap();
    shows(&browser, ".alerts [role=status]", "2 alerts, 1 not ended").await;
    shows(&browser, ".alerts tbody tr:first-child", "before it").await;
    shows(&browser, ".alerts tbody tr:first-child", HOSTILE).await;
    shows(&browser, ".alerts tbody tr:last-child th", "A2 Slow").await;
    shows(&browser, ".alerts tbody tr:last-child", "0:03").await;
    shows(&browser, ".alerts tbody tr:last-child", "not ended").await;
    assert_eq!(
        read(&browser, "document.querySelectorAll('main img').length").await,
        "0",
        "a text became markup"
    );
    assert_eq!(
        read(&browser, "document.querySelector('.alerts a').href").await,
        "http://prometheus.example/graph?g0.expr=up"
    );
    pictures(&browser, "alerts-live").await;
    scene.history.keep_annotations(&[alert("a", 3, Some(7))]).await.unwrap();
    shows(&browser, ".alerts tbody tr:last-child", "0:07").await;
    tab_to(&browser, ".alerts a").await;

    (8..20).for_each(|number| recorder.record(&second(number, 30)));
    ended(20).iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    shows(&browser, ".verdict", "completed").await;
    shows(&browser, ".alerts [role=status]", "2 alerts. The charts").await;
    assert_eq!(read(&browser, "window.sameDocument").await, "true", "the page was loaded anew");
    pictures(&browser, "alerts-past").await;
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}
