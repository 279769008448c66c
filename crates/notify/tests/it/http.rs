use std::time::{Duration, SystemTime};

use plimsoll_notify::{Answer as Said, Notifier, webhook_key, webhook_signature};
use plimsoll_run::{NotifyChannel, Secret};
use plimsoll_testkit::{Answer, Received, Receiver, wait_for};
use serde_json::Value;

use crate::{breach, recovery, settings};

/// A secret of its own: this one is in no URL.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON: Duration = Duration::from_secs(30);

fn webhook(url: &str) -> NotifyChannel {
    NotifyChannel::Webhook {
        url: Secret::new(url),
        secrets: vec![Secret::new(SECRET)],
        headers: vec![("x-team".to_owned(), Secret::new("ops"))],
    }
}

fn slack(receiver: &Receiver) -> NotifyChannel {
    NotifyChannel::Slack { url: Secret::new(format!("{}/services/T0/B0/xyzzy", receiver.url())) }
}

fn header<'r>(received: &'r Received, name: &str) -> &'r str {
    received.headers.get(name).unwrap().to_str().unwrap()
}

fn json(received: &Received) -> Value {
    serde_json::from_str(&received.text().unwrap()).unwrap()
}

/// What a receiver of Standard Webhooks does.
fn verify(received: &Received) -> String {
    let (id, timestamp) = (header(received, "webhook-id"), header(received, "webhook-timestamp"));
    let timestamp: u64 = timestamp.parse().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(timestamp) < 300, "{timestamp}");
    let key = webhook_key(SECRET).unwrap();
    let expected = webhook_signature(&[key], id, timestamp, &received.body);
    assert_eq!(header(received, "webhook-signature"), expected);
    id.to_owned()
}

#[tokio::test]
async fn a_webhook_is_signed_and_keeps_its_id_when_it_is_tried_again() {
    let receiver = Receiver::start([
        Answer::Status(500),
        Answer::RetryAfter(429, 1),
        Answer::Close,
        Answer::Status(204),
    ])
    .await
    .unwrap();
    let notifier = Notifier::start(settings(vec![webhook(&receiver.url())])).unwrap();
    notifier.teller().tell(breach("checkout", "quick"));
    let received = receiver.wait_for(4, SOON).await.unwrap();
    let ids: Vec<String> = received.iter().map(verify).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && !id.contains('.')), "{ids:?}");
    assert!(received[2].at - received[1].at >= Duration::from_secs(1), "it asked for a second");
    let body = json(&received[3]);
    assert_eq!(
        (&body["type"], &body["data"]["subject"]["name"]),
        (&"sla.breached".into(), &"checkout".into())
    );
    assert_eq!(header(&received[3], "x-team"), "ops");
    assert_eq!(header(&received[3], "content-type"), "application/json");
    assert_eq!(notifier.finish(SOON).await.len(), 3, "each trouble is told once");
}

#[tokio::test]
async fn one_that_hangs_holds_nobody_else_up() {
    let hanging = Receiver::start([Answer::Stall]).await.unwrap();
    let well = Receiver::start([Answer::Body(200, "ok".to_owned())]).await.unwrap();
    let notifier = Notifier::start(settings(vec![slack(&hanging), slack(&well)])).unwrap();
    for number in 0..5 {
        notifier.teller().tell(breach(&format!("s{number}"), "quick"));
    }
    well.wait_for(5, Duration::from_secs(10)).await.unwrap();
    assert_eq!(hanging.received().len(), 1, "one at a time");
    let began = std::time::Instant::now();
    let notes = notifier.finish(Duration::from_secs(1)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(notes, ["notify: r0 (slack): 5 messages not delivered"]);
}

#[tokio::test]
async fn what_is_refused_is_said_without_secrets() {
    let words = "no_service for /services/T0/B0/xyzzy".to_owned();
    let receiver = Receiver::start([Answer::Body(404, words)]).await.unwrap();
    let notifier = Notifier::start(settings(vec![slack(&receiver)])).unwrap();
    notifier.teller().tell(breach("checkout", "quick"));
    receiver.wait_for(1, SOON).await.unwrap();
    let notes = notifier.finish(SOON).await;
    assert_eq!(
        notes,
        [
            "notify: r0 (slack): 404: nobody takes messages under this URL; it says: no_service for /***; the message is lost",
            "notify: r0 (slack): 1 message not delivered"
        ]
    );
}

#[tokio::test]
async fn nobody_there_is_said_without_the_url() {
    // Nothing listens on port 1 of loopback.
    let url = Secret::new("http://127.0.0.1:1/services/T0/B0/xyzzy");
    let tested = plimsoll_notify::test(&settings(vec![NotifyChannel::Slack { url }])).await.unwrap();
    let Said::Later { reason, .. } = &tested[0].answer else { panic!("{tested:?}") };
    assert!(reason.starts_with("no connection") && !reason.contains("xyzzy"), "{reason}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let receiver = Receiver::start([Answer::Status(302)]).await.unwrap();
    let tested = plimsoll_notify::test(&settings(vec![slack(&receiver)])).await.unwrap();
    assert!(matches!(&tested[0].answer, Said::Refused { .. }), "{tested:?}");
}

#[tokio::test]
async fn a_test_says_what_each_receiver_answered_and_pages_nobody_for_long() {
    let [good, bad] = [
        Receiver::start([Answer::Status(202)]).await.unwrap(),
        Receiver::start([Answer::Status(403)]).await.unwrap(),
    ];
    let pager = |receiver: &Receiver| NotifyChannel::PagerDuty {
        url: Secret::new(format!("{}/v2/enqueue", receiver.url())),
        routing_key: Secret::new("0123456789abcdef"),
    };
    let tested = plimsoll_notify::test(&settings(vec![pager(&good), pager(&bad)])).await.unwrap();
    assert_eq!(tested[0].answer, Said::Taken { said: "202".to_owned() });
    assert!(matches!(&tested[1].answer, Said::Refused { reason } if reason.starts_with("403")), "{tested:?}");
    let events: Vec<Value> = good.received().iter().map(json).collect();
    let actions: Vec<&str> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(events[0]["routing_key"], "0123456789abcdef");
    assert_eq!(bad.received().len(), 1, "what was not opened is not closed");
}

#[tokio::test]
async fn an_outage_and_its_end_are_one_incident() {
    let receiver = Receiver::start([Answer::Status(202)]).await.unwrap();
    let pager =
        NotifyChannel::PagerDuty { url: Secret::new(receiver.url()), routing_key: Secret::new("0123456789") };
    let notifier = Notifier::start(settings(vec![pager])).unwrap();
    notifier.teller().tell(breach("checkout", "quick"));
    receiver.wait_for(1, SOON).await.unwrap();
    notifier.teller().tell(recovery("checkout", "quick"));
    let events: Vec<Value> = receiver.wait_for(2, SOON).await.unwrap().iter().map(json).collect();
    assert_eq!(
        (&events[0]["event_action"], &events[1]["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(notifier.finish(SOON).await, Vec::<String>::new());
}

/// More than can be taken at once, on a runtime that does nothing else meanwhile.
#[tokio::test]
async fn what_finds_no_room_is_counted_and_everybody_is_told() {
    let receiver = Receiver::start([Answer::Status(200)]).await.unwrap();
    let notifier = Notifier::start(settings(vec![webhook(&receiver.url())])).unwrap();
    let teller = notifier.teller();
    (0..10_000).for_each(|number| teller.tell(breach("checkout", &format!("p{number}"))));
    let told = wait_for(SOON, "what was missed", async || {
        let bodies: Vec<Value> = receiver.received().iter().map(json).collect();
        let missed: u64 = bodies.iter().filter_map(|body| body["data"]["things"].as_u64()).sum();
        if missed > 0 { Ok(missed) } else { Err(format!("{} so far", bodies.len())) }
    })
    .await
    .unwrap();
    assert!((8_000..10_000).contains(&told), "{told}");
    assert!(receiver.received().len() <= 30, "{}", receiver.received().len());
}
