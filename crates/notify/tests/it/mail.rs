use std::time::Duration;

use plimsoll_notify::{Answer, Notifier};
use plimsoll_run::{EmailSettings, MailTls, NotifyChannel, Secret};
use plimsoll_testkit::{Authority, Smtp, SmtpSetup, python, wait_for};
use serde_json::Value;

use crate::{breach, recovery, settings};

/// Reads a mail with Python's own library: headers, and the parts decoded.
const READ: &str = r#"
import email, email.policy, json, sys
mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
heads = [(name, str(value)) for name, value in mail.items()]
print(json.dumps({"heads": heads, "parts": parts, "defects": [str(defect) for defect in mail.defects]}))
"#;

fn email(port: u16) -> EmailSettings {
    EmailSettings {
        host: "localhost".to_owned(),
        port,
        tls: MailTls::None,
        login: None,
        from: "plimsoll@shop.example".to_owned(),
        to: vec!["ops@shop.example".to_owned()],
    }
}

fn read(mail: &str) -> Value {
    serde_json::from_str(&python(READ, mail.as_bytes()).unwrap()).unwrap()
}

fn head<'m>(mail: &'m Value, name: &str) -> Vec<&'m str> {
    let heads = mail["heads"].as_array().unwrap().iter();
    heads
        .filter(|head| head[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|head| head[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_mail_server_takes_an_outage_and_its_end_as_one_thread() {
    let server = Smtp::start(SmtpSetup::Plain, &Authority::new().unwrap()).await.unwrap();
    let notifier = Notifier::start(settings(vec![NotifyChannel::Email(email(server.port()))])).unwrap();
    let hostile = "quick <script>\r\nBcc: all@evil.example\r\n\r\nbody ✓";
    notifier.teller().tell(breach("checkout", hostile));
    let arrived = async |count: usize| {
        wait_for(Duration::from_secs(30), "the mail", async || {
            let mails = server.mails().unwrap();
            if mails.len() >= count { Ok(mails) } else { Err(format!("{} so far", mails.len())) }
        })
        .await
        .unwrap()
    };
    arrived(1).await;
    notifier.teller().tell(recovery("checkout", hostile));
    let mails: Vec<Value> = arrived(2).await.iter().map(|mail| read(mail)).collect();
    assert_eq!(notifier.finish(Duration::from_secs(5)).await, Vec::<String>::new());
    let is_end = |mail: &&Value| !head(mail, "in-reply-to").is_empty();
    let end = mails.iter().find(is_end).unwrap();
    let began = mails.iter().find(|mail| !is_end(mail)).unwrap();
    for mail in [began, end] {
        assert_eq!(mail["defects"], serde_json::json!([]), "{mail}");
        assert_eq!(head(mail, "bcc"), [""; 0], "{mail}");
        assert_eq!(head(mail, "to"), ["ops@shop.example"]);
        assert_eq!(head(mail, "auto-submitted"), ["auto-generated"]);
        let html = mail["parts"]["text/html"].as_str().unwrap();
        assert!(html.contains("quick &lt;script&gt; Bcc: all@evil.example body ✓"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }
    assert_eq!(
        head(began, "subject"),
        ["[Plimsoll] checkout breaks its SLA: quick <script> Bcc: all@evil.example body ✓"]
    );
    assert_eq!(head(end, "in-reply-to"), head(began, "message-id"));
    assert!(began["parts"]["text/plain"].as_str().unwrap().contains("▂█"), "{began}");
    assert!(began["parts"]["text/html"].as_str().unwrap().contains("height:48px;background"), "{began}");
}

#[tokio::test]
async fn a_way_that_must_be_covered_is_not_used_uncovered() {
    let server = Smtp::start(SmtpSetup::Plain, &Authority::new().unwrap()).await.unwrap();
    let login = Some(("ann".to_owned(), Secret::new("xyzzy")));
    let email = EmailSettings { tls: MailTls::Starttls, login, ..email(server.port()) };
    let tested = plimsoll_notify::test(&settings(vec![NotifyChannel::Email(email)])).await.unwrap();
    let Answer::Later { reason, .. } = &tested[0].answer else { panic!("{tested:?}") };
    assert!(reason.contains("STARTTLS") && !reason.contains("xyzzy"), "{reason}");
    assert_eq!(server.mails().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let tested = plimsoll_notify::test(&settings(vec![NotifyChannel::Email(email(1))])).await.unwrap();
    assert!(matches!(&tested[0].answer, Answer::Later { .. }), "{tested:?}");
}
