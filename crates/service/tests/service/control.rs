//! Runs are steered over HTTP: what may be asked, what is told, and what becomes of it when nobody answers.

use std::time::{Duration, Instant};

use plimsoll_history::{Ceilings, Fate, History, KeptToken, Recorder, Scope};
use plimsoll_service::{Access, Auth, Limits, token_hash};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::scene::{DEADLINE, Scene, ended, second, started};

pub(crate) const RUN: &str = "0199-live";

pub(crate) async fn live(scene: &Scene) -> Recorder {
    let recorder = Recorder::start(&scene.history, &started(RUN)).await.unwrap();
    recorder.record(&second(0, 10));
    scene.json_where("/api/v1/runs", |list| list["runs"][0]["id"] == RUN).await;
    recorder
}

async fn steer(scene: &Scene, run: &str, body: &Value) -> (StatusCode, Value) {
    let request = scene.http.post(format!("{}/api/v1/runs/{run}/control", scene.url)).json(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Does what the process of a run does with the next command; gives what was asked and by whom.
pub(crate) async fn carry_out(history: &History, became: Result<(u64, &str), &str>) -> (String, String) {
    let begun = Instant::now();
    loop {
        if let Some(kept) = history.waiting_commands(RUN).await.unwrap().into_iter().next() {
            assert!(history.take_command(kept.id).await.unwrap());
            history.settle_command(kept.id, became).await.unwrap();
            return (kept.command.change.to_string(), kept.command.by);
        }
        assert!(begun.elapsed() < DEADLINE, "nothing was asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_run_is_asked_and_what_it_says_is_told() {
    let scene = Scene::new().await;
    let recorder = live(&scene).await;
    let body = json!({ "command": "rate", "value": "x1.5" });
    let words = "from 12.3 s: 1.5 times the plan, asked for by local";
    let ((status, told), (asked, by)) =
        tokio::join!(steer(&scene, "latest", &body), carry_out(&scene.history, Ok((12_300_000_000, words))));
    assert_eq!((status, &told), (StatusCode::OK, &json!({ "from": 12.3, "text": words })));
    assert_eq!((asked.as_str(), by.as_str()), ("scale 1.5", "local"));

    let body = json!({ "command": "pause", "scenario": "browse" });
    let ((status, told), _) = tokio::join!(
        steer(&scene, RUN, &body),
        carry_out(&scene.history, Err("this run is one of a search"))
    );
    assert_eq!(status, StatusCode::CONFLICT);
    let detail = told["detail"].as_str().unwrap();
    assert_eq!(detail, "run 0199-live is not steered: this run is one of a search");

    let audit = scene.json("/api/v1/audit").await;
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "what was carried out and what was refused: {audit:#}");
    assert_eq!((&entries[1]["action"], &entries[1]["what"]), (&"run.steer".into(), &RUN.into()));
    assert_eq!(entries[1]["details"], json!({ "change": "scale 1.5", "scenario": null }));
    assert_eq!(entries[0]["details"], json!({ "change": "pause", "scenario": "browse" }));

    // What has ended is not steered.
    ended(1).iter().for_each(|event| recorder.record(event));
    recorder.finish(DEADLINE).await;
    let (status, told) = steer(&scene, RUN, &json!({ "command": "stop" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_understood_or_done_is_told_at_once_and_asked_of_nobody() {
    let scene = Scene::new().await;
    let _recorder = live(&scene).await;
    for (body, status, words) in [
        (json!({ "command": "rate" }), 400, "it is not said to which rate"),
        (json!({ "command": "rate", "value": "fast" }), 400, "or x1.5, 150% or `plan`"),
        (json!({ "command": "faster", "value": "1/s" }), 400, "there are rate, users, pause"),
        (json!({ "command": "stop", "value": "now" }), 400, "one word too many"),
        (json!({ "command": "rate", "value": 800 }), 422, "expected a string"),
        (json!({ "comand": "stop" }), 422, "unknown field `comand`"),
        (json!({}), 422, "missing field `command`"),
        (json!(["stop", null, null]), 400, "no JSON object"),
        (json!({ "command": "users", "value": "5" }), 409, "ask for a `rate`"),
        (json!({ "command": "pause", "scenario": "x\u{0}<b>" }), 409, "the plan has no scenario"),
        (json!({ "command": "rate", "value": "x1001" }), 409, "at most 1000"),
    ] {
        let (found, told) = steer(&scene, RUN, &body).await;
        assert_eq!(found.as_u16(), status, "{body}: {told:#}");
        assert!(told["detail"].as_str().unwrap().contains(words), "{body}: {told:#}");
    }
    let (status, _) = steer(&scene, "nothing", &json!({ "command": "stop" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(scene.history.commands(RUN).await.unwrap(), []);
    assert_eq!(scene.json("/api/v1/audit").await["entries"], json!([]));
    scene.end().await;
}

#[tokio::test]
async fn what_nobody_answers_is_taken_back_also_when_who_asked_has_gone() {
    let scene = Scene::new().await;
    let _recorder = live(&scene).await;
    let url = format!("{}/api/v1/runs/{RUN}/control", scene.url);
    let body = json!({ "command": "pause" });
    let begun = Instant::now();
    let impatient = scene.http.post(&url).json(&body).timeout(Duration::from_millis(500)).send();
    assert!(impatient.await.is_err_and(|error| error.is_timeout()));
    let (status, told) = steer(&scene, RUN, &json!({ "command": "stop" })).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{told:#}");
    assert_eq!(told["type"], "urn:plimsoll:problem:unanswered");
    assert!(told["detail"].as_str().unwrap().starts_with("nothing has changed"), "{told:#}");
    assert!(begun.elapsed() >= Duration::from_secs(10));
    for kept in scene.history.commands(RUN).await.unwrap() {
        let Fate::Refused(reason) = &kept.fate else { panic!("{kept:?}") };
        assert!(reason.contains("taken back"), "{reason}");
    }

    // Nor does one who waits hold up a service that stops.
    let waiting = tokio::spawn(scene.http.post(&url).json(&body).send());
    let begun = Instant::now();
    while scene.history.waiting_commands(RUN).await.unwrap().is_empty() {
        assert!(begun.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (history, begun) = (scene.history.clone(), Instant::now());
    scene.end().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(history.waiting_commands(RUN).await.unwrap(), []);
    let _ = waiting.await;
}

#[tokio::test]
async fn a_token_may_ask_for_as_much_as_its_ceilings_and_always_for_less() {
    let limits = Limits { requests: 1e6, ..Limits::default() };
    let scene = Scene::guarded(Access { auth: Auth::Tokens, limits, ..Access::default() }).await;
    let token = async |id: &str, ceilings: Ceilings| {
        let token = format!("plimsoll_{id}_{}", "5".repeat(64));
        let kept = KeptToken {
            id: id.to_owned(),
            name: id.to_owned(),
            hash: token_hash(&token),
            scope: Scope::Run,
            ceilings,
            made_nanos: 0,
            expires_nanos: None,
            revoked_nanos: None,
        };
        scene.history.keep_token(&kept).await.unwrap();
        token
    };
    let small = token("small", Ceilings { rate: Some(80.0), ..Ceilings::default() }).await;
    let large = token("large", Ceilings { rate: Some(150.0), ..Ceilings::default() }).await;
    let elsewhere = Some(vec!["192.0.2.0/24".to_owned()]);
    let elsewhere = token("elsewhere", Ceilings { targets: elsewhere, ..Ceilings::default() }).await;
    // Of 100/s.
    let _recorder = Recorder::start(&scene.history, &started(RUN)).await.unwrap();
    let ask = async |token: &str, value: &str| {
        let (command, value) = value.split_once(' ').map_or((value, None), |(a, b)| (a, Some(b)));
        let url = format!("{}/api/v1/runs/{RUN}/control", scene.url);
        let body = json!({ "command": command, "value": value });
        let answer = scene.http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    for (token, value, words) in [
        (&small, "rate 120/s", "it asks for 120 arrivals/s, and small may 80"),
        (&large, "rate x1.6", "it asks for 160 arrivals/s, and large may 150"),
        (&elsewhere, "rate 10/s", "is not among the targets"),
        (&elsewhere, "stop", "is not among the targets"),
    ] {
        let (status, told) = ask(token, value).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{value}: {told:#}");
        assert!(told["detail"].as_str().unwrap().contains(words), "{told:#}");
    }
    // In order: what was done before counts, also where the record does not have it yet.
    for (token, value, allowed) in [
        (&small, "rate 90/s", true),
        (&large, "rate 140/s", true),
        (&small, "rate 141/s", false),
        (&small, "rate plan", true),
        (&small, "pause", true),
        (&small, "resume", false),
        (&large, "resume", true),
    ] {
        if allowed {
            let ((status, told), _) =
                tokio::join!(ask(token, value), carry_out(&scene.history, Ok((1_000_000_000, value))));
            assert_eq!(status, StatusCode::OK, "{value}: {told:#}");
        } else {
            let (status, told) = ask(token, value).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{value}: {told:#}");
        }
    }
    scene.end().await;
}
