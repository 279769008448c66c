//! Whom the service tells, and a test that shows how they answer.

use std::collections::BTreeSet;

use plimsoll_run::{NotifyChannel, NotifyReceiver, NotifySettings, Occasion, Secret};
use plimsoll_service::Access;
use plimsoll_testkit::Browser;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::{pictures, shows};
use crate::scene::Scene;

/// A receiver that answers everything so.
async fn receiver(name: &str, status: &'static str) -> NotifyReceiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}/services/hidden-part", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = Vec::new();
                let mut buffer = [0; 4096];
                // The whole request: a receiver that hangs up early is another story.
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    heard.extend_from_slice(&buffer[..read]);
                    if is_whole(&heard) {
                        break;
                    }
                }
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let on = BTreeSet::from([Occasion::Breach, Occasion::Recovery]);
    NotifyReceiver { name: name.to_owned(), on, at_most: 30, channel: NotifyChannel::Slack { url } }
}

fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    length.is_none_or(|length: usize| body.len() >= length)
}

async fn test_of(scene: &Scene) -> (StatusCode, Value) {
    let url = format!("{}/api/v1/notify/test", scene.url);
    let answer = scene.http.request(Method::POST, url).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_test_tells_how_each_receiver_answers() {
    let receivers = vec![receiver("team", "200 OK").await, receiver("gone", "404 Not Found").await];
    let scene = Scene::telling(NotifySettings { receivers, ..NotifySettings::default() }).await;
    let settings = scene.json("/api/v1/settings").await;
    let team = json!({ "name": "team", "channel": "slack", "on": ["breach", "recovery"], "at_most": 30 });
    assert_eq!(settings["notify"][0], team);
    assert!(!settings.to_string().contains("hidden-part"), "{settings:#}");

    let (status, told) = test_of(&scene).await;
    assert_eq!(status, StatusCode::OK, "{told:#}");
    let taken = told["receivers"].as_array().unwrap().iter();
    let taken: Vec<_> =
        taken.map(|told| (told["name"].as_str().unwrap(), told["taken"].as_bool().unwrap())).collect();
    assert_eq!(taken, [("team", true), ("gone", false)], "{told:#}");
    assert!(told["receivers"][1]["said"].as_str().unwrap().contains("404"), "{told:#}");
    assert!(!told.to_string().contains("hidden-part"), "{told:#}");
    let audit = scene.json("/api/v1/audit").await;
    assert_eq!(
        (&audit["entries"][0]["action"], &audit["entries"][0]["what"]),
        (&json!("notify.test"), &json!("team, gone"))
    );

    let browser = Browser::start().await.unwrap();
    browser.set_viewport(1280, 900).await.unwrap();
    browser.open(&format!("{}/#/settings", scene.url)).await.unwrap();
    shows(&browser, "[aria-label='Who is told'] tbody", "team").await;
    let press = "document.querySelector(\"section[aria-label='Who is told'] button\").click()";
    browser.run(press).await.unwrap();
    shows(&browser, "[aria-label='Who is told'] [role=status]", "1 of 2 did not take it").await;
    shows(&browser, "[aria-label='Who is told'] tbody", "not taken").await;
    pictures(&browser, "told").await;
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    scene.end().await;
}

#[tokio::test]
async fn a_service_that_tells_nobody_has_nobody_to_test() {
    let scene = Scene::guarded(Access::default()).await;
    let (status, told) = test_of(&scene).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told:#}");
    assert!(told["detail"].as_str().unwrap().contains("has no `notify`"), "{told:#}");
    let settings = scene.json("/api/v1/settings").await;
    assert_eq!((&settings["notify"], &settings["retention"]), (&json!([]), &Value::Null));
    scene.end().await;
}
