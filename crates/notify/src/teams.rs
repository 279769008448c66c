//! Microsoft Teams: an adaptive card as workflows with a webhook take it.
//!
//! Foreign text stands in `TextRun`s, which know no markup; a `TextBlock` would read links and lists out of it.

use serde_json::{Value, json};

use crate::message::{Message, Tone};
use crate::send::Remark;
use crate::text::moment;

pub(crate) fn body(message: &Message, remarks: &[Remark]) -> Value {
    let colour = match message.tone {
        Tone::Bad => "Attention",
        Tone::Warning => "Warning",
        Tone::Good => "Good",
        Tone::Neutral => "Accent",
    };
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let block = |inlines: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": inlines });
    let mut body = vec![block(vec![
        json!({ "type": "TextRun", "text": message.title, "size": "Large", "weight": "Bolder", "color": colour }),
    ])];
    body.extend(message.lines.iter().map(|line| block(vec![run(&format!("• {line}"))])));
    if let Some(picture) = &message.picture {
        body.push(block(vec![json!({ "type": "TextRun", "text": picture.text(), "fontType": "Monospace" })]));
        body.push(block(vec![
            json!({ "type": "TextRun", "text": picture.label, "isSubtle": true, "size": "Small" }),
        ]));
    }
    body.extend(message.facts.iter().map(|(name, value)| {
        block(vec![json!({ "type": "TextRun", "text": format!("{name}: "), "weight": "Bolder" }), run(value)])
    }));
    let small = |text: String| {
        block(vec![json!({ "type": "TextRun", "text": text, "isSubtle": true, "size": "Small" })])
    };
    body.push(small(format!("Plimsoll, {}", moment(message.at))));
    body.extend(remarks.iter().map(|remark| small(remark.to_string())));
    let actions: Vec<Value> = message
        .link
        .iter()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": link.text, "url": link.url }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": message.title,
                "msteams": { "width": "Full" },
                "body": body,
                "actions": actions,
            },
        }],
    })
}
