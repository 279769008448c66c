//! Slack: the body of an incoming webhook, in Block Kit.
//!
//! Foreign text stands in `plain_text` only, where `<!channel>` and links mean nothing. The one text that Slack reads as
//! markup, `text` for notifications, has `&`, `<` and `>` escaped as Slack asks.

use serde_json::{Value, json};

use crate::message::{Message, Tone};
use crate::send::Remark;
use crate::text::{moment, shortened};

/// What Slack takes in a text of a section.
const SECTION: usize = 2900;
/// What Slack takes in a field, and how many.
const FIELD: usize = 200;
const FIELDS: usize = 10;

pub(crate) fn body(message: &Message, remarks: &[Remark]) -> Value {
    let sign = match message.tone {
        Tone::Bad => "🔴",
        Tone::Warning => "🟠",
        Tone::Good => "🟢",
        Tone::Neutral => "🔵",
    };
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let mut blocks = vec![json!({ "type": "header", "text": plain(&format!("{sign} {}", message.title)) })];
    if !message.lines.is_empty() {
        let lines = message.lines.iter().map(|line| format!("• {line}")).collect::<Vec<_>>().join("\n");
        blocks.push(json!({ "type": "section", "text": plain(&shortened(&lines, SECTION)) }));
    }
    if let Some(picture) = &message.picture {
        let text = format!("{}\n{}", picture.text(), picture.label);
        blocks.push(json!({ "type": "section", "text": plain(&text) }));
    }
    if !message.facts.is_empty() {
        let fields = message.facts.iter().take(FIELDS);
        let fields: Vec<Value> =
            fields.map(|(name, value)| plain(&shortened(&format!("{name}\n{value}"), FIELD))).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(link) = &message.link {
        // Our own words and a URL of the settings: markup that is meant.
        let text = format!("<{}|{}>", escaped(&link.url).replace('|', "%7C"), link.text);
        blocks
            .push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } }));
    }
    let mut context = vec![plain(&format!("Plimsoll, {}", moment(message.at)))];
    context.extend(remarks.iter().map(|remark| plain(&remark.to_string())));
    blocks.push(json!({ "type": "context", "elements": context }));
    json!({ "text": escaped(&format!("{sign} {}", message.title)), "blocks": blocks })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
