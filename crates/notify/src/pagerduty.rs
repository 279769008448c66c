//! PagerDuty: an event of the Events API, version 2.
//!
//! Everything of one subject has one `dedup_key`: a breach, a failed run and a breach after a restart belong to the
//! incident that is open, and a recovery or a good run closes it.

use serde_json::{Map, Value, json};

use crate::message::{Incident, Message, Tone};
use crate::send::Remark;
use crate::text::rfc3339;

/// An event. `routing_key` is a secret: what this returns is for PagerDuty alone.
pub(crate) fn body(message: &Message, remarks: &[Remark], routing_key: &str) -> Value {
    let action = match message.incident {
        Incident::Trigger => "trigger",
        Incident::Resolve => "resolve",
    };
    let mut details: Map<String, Value> =
        message.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    if !message.lines.is_empty() {
        details.insert("what".to_owned(), json!(message.lines));
    }
    if let Some(picture) = &message.picture {
        details.insert("course".to_owned(), json!(format!("{} {}", picture.text(), picture.label)));
    }
    if !remarks.is_empty() {
        details.insert("remarks".to_owned(), remarks.iter().map(ToString::to_string).collect());
    }
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": message.key,
        "client": "Plimsoll",
        "payload": {
            "summary": message.title,
            "source": "plimsoll",
            "severity": match message.tone {
                Tone::Bad => "critical",
                Tone::Warning => "warning",
                Tone::Good | Tone::Neutral => "info",
            },
            "timestamp": rfc3339(message.at),
            "class": message.event,
            "custom_details": details,
        },
    });
    if let Some(link) = &message.link {
        event["client_url"] = json!(link.url);
        event["links"] = json!([{ "href": link.url, "text": link.text }]);
    }
    event
}

/// What closes the incident that a message opened.
pub(crate) fn resolved(message: &Message, routing_key: &str) -> Value {
    json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": message.key })
}
