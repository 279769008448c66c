//! Messages against receivers: a mail server, and HTTP receivers that answer as a test says.
//!
//! Slack, Microsoft Teams and PagerDuty are not to be had here: their bodies are held against golden files and what their
//! references state, and the receivers of these tests are emulators.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod http;
mod mail;

use std::time::Duration;

use plimsoll_notify::{Breach, Occurrence, Recovery, Subject};
use plimsoll_run::{NotifyChannel, NotifyReceiver, NotifySettings, Occasion};
use plimsoll_sla::Severity;

const START: u64 = 1_700_000_000;

/// Settings that tell at once.
fn settings(channels: Vec<NotifyChannel>) -> NotifySettings {
    let receivers = channels.into_iter().enumerate().map(|(index, channel)| NotifyReceiver {
        name: format!("r{index}"),
        on: Occasion::ALL.into_iter().collect(),
        at_most: 30,
        channel,
    });
    NotifySettings {
        receivers: receivers.collect(),
        link: Some("https://plimsoll.example".to_owned()),
        gather: Duration::ZERO,
        settle: Duration::ZERO,
    }
}

fn breach(subject: &str, promise: &str) -> Occurrence {
    Occurrence::Breach(Breach {
        subject: Subject::Service(subject.to_owned()),
        promise: promise.to_owned(),
        objective: "p95(response_time) <= 250ms".to_owned(),
        began: START,
        found: START + 2,
        why: "too slow".to_owned(),
        severity: Severity::Critical,
        course: vec![Some(0.1), Some(0.4)],
        page: None,
    })
}

fn recovery(subject: &str, promise: &str) -> Occurrence {
    let subject = Subject::Service(subject.to_owned());
    Occurrence::Recovery(Recovery { subject, promise: promise.to_owned(), ended: START + 60 })
}
