//! Whom the service tells, and a test that shows how they answer.

use std::collections::BTreeSet;
use std::time::Duration;

use plimsoll_notify::Notifier;
use plimsoll_run::{EmailSettings, MailTls, NotifyChannel, NotifyReceiver, NotifySettings, Occasion, Secret};
use plimsoll_service::{Access, Job, Most};
use plimsoll_testkit::{Answer, Authority, Browser, Receiver, Smtp, SmtpSetup, wait_for};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::{pictures, shows};
use crate::jobs::{PLAN, limit, month, schedule, standing, start};
use crate::scene::{DEADLINE, Scene};

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

/// Those who are told how searches and reports end: a webhook and a mailbox.
async fn catchers() -> (Receiver, Smtp, Notifier) {
    // The first try is not taken: it comes again.
    let hook = Receiver::start([Answer::Status(503), Answer::Status(204)]).await.unwrap();
    let mailbox = Smtp::start(SmtpSetup::Plain, &Authority::new().unwrap()).await.unwrap();
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let url = Secret::new(hook.url());
    let webhook = NotifyChannel::Webhook { url, secrets: vec![secret], headers: Vec::new() };
    let email = NotifyChannel::Email(EmailSettings {
        host: "localhost".to_owned(),
        port: mailbox.port(),
        tls: MailTls::None,
        login: None,
        from: "plimsoll@shop.example".to_owned(),
        to: vec!["ops@shop.example".to_owned()],
    });
    let receiver = |name: &str, channel| NotifyReceiver {
        name: name.to_owned(),
        on: BTreeSet::from([Occasion::Capacity, Occasion::Failure, Occasion::Success]),
        at_most: 30,
        channel,
    };
    let settings = NotifySettings {
        receivers: vec![receiver("hook", webhook), receiver("mail", email)],
        link: Some("https://plimsoll.example".to_owned()),
        ..NotifySettings::default()
    };
    (hook, mailbox, Notifier::start(settings).unwrap())
}

/// What a webhook was sent, each message once however often it was tried.
fn bodies(hook: &Receiver) -> Vec<Value> {
    let mut received = hook.received();
    received.dedup_by_key(|one| one.headers["webhook-id"].clone());
    received.iter().map(|one| serde_json::from_str(&one.text().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn how_searches_and_reports_end_is_told_once_with_a_link_or_a_reason() {
    let (hook, mailbox, notifier) = catchers().await;
    let own = format!(
        "{}notify: {{ receivers: {{ hook: {{ slack: {{ url: \"http://127.0.0.1:1/\" }} }} }} }}\n",
        PLAN.replace("name: shop", "name: own")
    );
    let capacity = Job::Capacity { plan: "storefront".to_owned(), options: Vec::new() };
    let schedules = vec![
        schedule("weekly", limit("shop", Most::Rate(2000.0)), 50),
        schedule("mine", limit("own", Most::Rate(2000.0)), 50),
        schedule("peak", capacity, 50),
        schedule("monthly", month(), 50),
    ];
    let files = [("shop.yaml", PLAN), ("own.yaml", own.as_str())];
    let scene = Scene::reporting_to(notifier.teller(), &files, schedules, "<h1>found</h1>").await;
    scene.json_where("/api/v1/plans", |told| told["plans"][1]["facts"].is_object()).await;
    // Starts it, and waits until it is over.
    let over = async |name: &str| {
        let before = standing(&scene, name, |_| true).await["last"]["at"].clone();
        let (status, _, told) = start(&scene, name).await;
        assert_eq!(status, StatusCode::CREATED, "{told:#}");
        standing(&scene, name, |told| told["last"]["at"] != before).await["last"].clone()
    };
    // What is told next; nothing else was told before it.
    let mut told = 0;
    let mut next = async || {
        told += 1;
        wait_for(DEADLINE, "what is told", async || {
            let bodies = bodies(&hook);
            bodies.get(told - 1).cloned().ok_or_else(|| format!("{bodies:#?}"))
        })
        .await
        .unwrap()
    };
    let page = |last: &Value| format!("https://plimsoll.example{}", last["report"].as_str().unwrap());

    let last = over("weekly").await;
    let found = next().await;
    assert_eq!((&found["type"], &found["data"]["url"]), (&json!("limit.found"), &json!(page(&last))));
    assert_eq!(found["data"]["title"], "The limit of shop is 786.2 arrivals/s");
    let point = &found["data"]["breaking_point"];
    assert_eq!(
        (&point["unit"], &point["limit"], &point["low"], &point["high"]),
        (&json!("per_second"), &json!(786.18), &json!(779.06), &json!(793.3))
    );
    assert_eq!(
        (&found["data"]["search"], &found["data"]["schedule"]),
        (&last["search"], &json!("weekly")),
        "{found:#}"
    );
    let last = over("peak").await;
    let made = next().await;
    assert_eq!((&made["type"], &made["data"]["url"]), (&json!("report.made"), &json!(page(&last))));
    assert_eq!(made["data"]["title"], "A report of the capacity of storefront was made");
    let last = over("monthly").await;
    let made = next().await;
    assert_eq!((&made["type"], &made["data"]["url"]), (&json!("report.made"), &json!(page(&last))));
    let title = made["data"]["title"].as_str().unwrap();
    assert!(title.starts_with("A report of SLAs in 20") && title.ends_with(" was made"), "{title}");
    // Its plan names somebody: its process tells them.
    over("mine").await;

    std::fs::write(scene.path("fail"), "").unwrap();
    over("mine").await;
    over("weekly").await;
    let failed = next().await;
    assert_eq!(failed["type"], "limit.failed", "{failed:#}");
    assert_eq!(
        (&failed["data"]["schedule"], &failed["data"]["reason"], &failed["data"]["url"]),
        (&json!("weekly"), &json!("was refused: error: no luck"), &Value::Null)
    );
    over("monthly").await;
    let failed = next().await;
    let words = "was not written (exit code 2): error: no luck";
    assert_eq!((&failed["type"], &failed["data"]["words"]), (&json!("report.failed"), &json!(words)));

    // Whoever stops one knows.
    std::fs::write(scene.path("slow"), "").unwrap();
    for name in ["weekly", "peak"] {
        let before = standing(&scene, name, |_| true).await["last"]["at"].clone();
        start(&scene, name).await;
        let url = format!("{}/api/v1/schedules/{name}/stop", scene.url);
        let answer = scene.http.request(Method::POST, url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        standing(&scene, name, |told| told["last"]["at"] != before).await;
    }
    // A process that is killed can tell nobody, whoever its plan names.
    std::fs::write(scene.path("kill"), "").unwrap();
    over("mine").await;
    let killed = next().await;
    assert_eq!((&killed["type"], &killed["data"]["plan"]), (&json!("limit.failed"), &json!("own")));
    assert_eq!(killed["data"]["reason"], "was killed");
    scene.end().await;
    assert_eq!(notifier.finish(Duration::from_secs(10)).await.len(), 1, "that the first try was not taken");
    let tries = hook.received();
    assert_eq!(tries[0].headers["webhook-id"], tries[1].headers["webhook-id"], "the same one again");
    assert_eq!((bodies(&hook).len(), mailbox.mails().unwrap().len()), (6, 6), "each once to each");
    let mails = mailbox.mails().unwrap().concat();
    for words in [
        "The limit of shop is 786.2 arrivals/s",
        "A report of the capacity of storefront was made",
        "was killed",
    ] {
        assert!(mails.contains(words), "{words}\n{mails}");
    }
}
