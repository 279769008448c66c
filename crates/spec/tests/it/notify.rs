//! Who is told: of a plan, and of a service's configuration.

use plimsoll_run::{MailTls, NotifyChannel, Occasion, RunPlan};
use plimsoll_spec::{Inputs, Source, parse_notify};

use crate::{parse_with, rendered};

const ENV: [(&str, &str); 1] = [("HOOK", "https://hooks.example/services/xyzzy")];

const PLAN: &str = r#"
name: told
target: http://shop.example
load: { stages: [{ hold: 2/s, for: 10s }] }
scenarios: [{ name: one, steps: [{ post: /, json: { notify: { url: "http://shown.example" } } }] }]
notify:
  receivers:
    team: { slack: { url: "${HOOK}" } }
    typed: { slack: { url: "https://hooks.example/services/plugh" }, on: success, at_most: 2/h }
    mail: { email: { server: smtp.example, from: a@b.example, to: c@d.example } }
    safe: { email: { server: smtp.example, tls: tls, from: a@b.example, to: c@d.example } }
"#;

fn plan(text: &str) -> RunPlan {
    parse_with(text, &ENV, &[]).unwrap_or_else(|errors| panic!("{}", rendered(&errors))).plan
}

#[test]
fn what_is_not_said_is_as_the_guide_says() {
    let notify = plan(PLAN).notify;
    let [team, typed, mail, safe] = &notify.receivers[..] else { panic!("{notify:?}") };
    assert_eq!(team.on.iter().copied().collect::<Vec<_>>(), Occasion::USUAL);
    assert_eq!((team.at_most, typed.at_most), (30, 2));
    assert_eq!(typed.on.iter().copied().collect::<Vec<_>>(), [Occasion::Success]);
    assert_eq!((notify.gather.as_secs(), notify.settle.as_secs()), (5, 30));
    let server = |receiver: &plimsoll_run::NotifyReceiver| match &receiver.channel {
        NotifyChannel::Email(email) => (email.tls, email.port),
        other => panic!("{other:?}"),
    };
    assert_eq!((server(mail), server(safe)), ((MailTls::Starttls, 587), (MailTls::Tls, 465)));
}

#[test]
fn urls_of_receivers_are_secrets_and_those_of_bodies_are_not() {
    let plan = plan(PLAN);
    let NotifyChannel::Slack { url } = &plan.notify.receivers[1].channel else { panic!() };
    assert_eq!(url.expose(), "https://hooks.example/services/plugh");
    for shown in [&plan.text, &format!("{plan:?}")] {
        assert!(!shown.contains("plugh") && !shown.contains("xyzzy"), "{shown}");
    }
    assert!(plan.text.contains("${HOOK}") && plan.text.contains("http://shown.example"), "{}", plan.text);
    for (from, to) in [
        ("on: success", "on: sucess"),
        ("services/plugh\" }", "services/plugh\", x: y }"),
        // No YAML any more.
        ("typed: {", "typed: ] {"),
    ] {
        let wrong = PLAN.replacen(from, to, 1);
        let errors = parse_with(&wrong, &ENV, &[]).map(|_| ()).expect_err(to);
        assert!(!rendered(&errors).contains("plugh"), "{}", rendered(&errors));
    }
}

#[test]
fn who_is_told_is_no_part_of_what_is_run() {
    let (before, _) = PLAN.split_once("notify:\n").unwrap();
    assert_eq!(plan(PLAN).hash, plan(before).hash);
}

#[test]
fn a_configuration_says_it_like_a_plan() {
    let none = |_: &str| Err("no files".to_owned());
    let env = |name: &str| (name == "HOOK").then(|| "https://hooks.example/x".to_owned());
    let read = |text: &str| {
        let source = Source { name: "plimsoll.yaml".to_owned(), text: text.to_owned() };
        parse_notify(&source, &Inputs::new(&env, &none))
    };
    assert_eq!(read("listen: 127.0.0.1:7700\n").unwrap(), None);
    let told = "listen: \"${UNSET}\"\nnotify:\n  receivers: { team: { slack: { url: \"${HOOK}\" } } }\n";
    assert_eq!(read(told).unwrap().unwrap().receivers.len(), 1);
    let errors = read("listen: here\nnotify: { receivers: { team: { slak: {} } } }\n").unwrap_err();
    assert!(rendered(&errors).contains("plimsoll.yaml:2:"), "{}", rendered(&errors));
}
