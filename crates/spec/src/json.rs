//! YAML as JSON: bodies with holes, and values to compare with.

use plimsoll_run::{Part, Template};
use serde_json::Value as Json;

use crate::diagnostic::Finding;
use crate::expect::fixed_text;
use crate::read::Reader;
use crate::template::{Scope, joined, template_with};
use crate::tree::{Node, Scalar, Value};

/// A JSON body whose strings are templates. `None` when something was reported.
pub(crate) fn template(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<Template> {
    let errors = reader.findings.len();
    let mut parts = Vec::new();
    write(reader, node, scope, &mut parts);
    let is_right = reader.findings.len() == errors && !matches!(node.value, Value::Broken);
    is_right.then(|| Template { parts: joined(parts) })
}

fn write(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>, parts: &mut Vec<Part>) {
    let text = |text: &str| Part::Text(text.to_owned());
    match &node.value {
        Value::Broken => {}
        Value::Scalar(scalar) => match plain(scalar) {
            Plain::Text => {
                parts.push(text("\""));
                parts.extend(template_with(reader, node, scope, escaped).into_iter().flat_map(|t| t.parts));
                parts.push(text("\""));
            }
            Plain::Value(value) => parts.push(Part::Text(value.to_string())),
            Plain::NotJson => not_json(reader, node),
        },
        Value::List(items) => {
            parts.push(text("["));
            for (position, item) in items.iter().enumerate() {
                parts.extend((position > 0).then(|| text(",")));
                write(reader, item, scope, parts);
            }
            parts.push(text("]"));
        }
        Value::Map(entries) => {
            parts.push(text("{"));
            for (position, entry) in entries.iter().enumerate() {
                parts.extend((position > 0).then(|| text(",")));
                parts.push(Part::Text(format!("\"{}\":", escaped(&entry.key))));
                write(reader, &entry.node, scope, parts);
            }
            parts.push(text("}"));
        }
    }
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Json::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn not_json(reader: &mut Reader<'_>, node: &Node) {
    let finding = Finding::error(node.place, format!("the number {} cannot be sent as JSON", node.kind()));
    reader.report(finding.help("put it in quotes to make it a string"));
}

/// A value to compare with.
pub(crate) fn value(reader: &mut Reader<'_>, node: &Node) -> Option<Json> {
    match &node.value {
        Value::Broken => None,
        Value::Scalar(scalar) => match plain(scalar) {
            Plain::Text if scalar.text().is_empty() => Some(Json::from("")),
            Plain::Text => fixed_text(reader, node).map(Json::from),
            Plain::Value(value) => Some(value),
            Plain::NotJson => {
                not_json(reader, node);
                None
            }
        },
        Value::List(items) => items.iter().map(|item| value(reader, item)).collect(),
        Value::Map(entries) => {
            let members = entries.iter().map(|entry| Some((entry.key.clone(), value(reader, &entry.node)?)));
            members.collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
        }
    }
}

/// What a scalar means where its type matters, by YAML's core schema.
pub(crate) enum Plain {
    Text,
    Value(Json),
    /// Infinity and its like, and whole numbers that lose digits.
    NotJson,
}

pub(crate) fn plain(scalar: &Scalar) -> Plain {
    // A secret is never shown, and a number would be.
    if !scalar.plain || scalar.has_secret() {
        return Plain::Text;
    }
    let text = scalar.text();
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Value(Json::Null),
        "true" | "True" | "TRUE" => return Plain::Value(Json::Bool(true)),
        "false" | "False" | "FALSE" => return Plain::Value(Json::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
            return Plain::NotJson;
        }
        _ => {}
    }
    let unsigned = text.strip_prefix('+').unwrap_or(&text);
    let based =
        |prefix, base| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, base).ok());
    if let Some(number) = based("0x", 16).or_else(|| based("0o", 8)) {
        return Plain::Value(Json::from(number));
    }
    let looks_like_a_number = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if !looks_like_a_number {
        return Plain::Text;
    }
    if let Ok(number) = unsigned.parse::<i64>() {
        return Plain::Value(Json::from(number));
    }
    if let Ok(number) = unsigned.parse::<u64>() {
        return Plain::Value(Json::from(number));
    }
    // A longer whole number would lose digits as a float, and nobody would see it.
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Plain::NotJson;
    }
    match unsigned.parse::<f64>() {
        Ok(number) => {
            serde_json::Number::from_f64(number).map_or(Plain::NotJson, |number| Plain::Value(number.into()))
        }
        Err(_) => Plain::Text,
    }
}
