//! The JSON Schema of a plan, for editors: made from the same table that plans are read with.
//!
//! It says what can be said of shapes. Contradictions between parts of a plan, names and templates
//! are beyond it; `parse` finds those. A value may hold `${NAME}` everywhere, so every pattern lets it
//! through.

use serde_json::{Value, json};

use crate::words::{Kind, PLAN, STEP, Table};

const DURATION: &str = r"^\s*(0|(\d[\d_]*(\.\d+)?(w|d|h|min|m|s|ms|us|µs|ns)\s*)+)$|\$\{";
const LEVEL: &str =
    r"^\s*\d[\d_]*(\.\d+)?\s*([kKM]?\s*/\s*(s|sec|second|m|min|minute|h|hour)|[kK]?\s*(users?)?)\s*$|\$\{";
const RATE: &str = r"^\s*\d[\d_]*(\.\d+)?\s*[kKM]?\s*/\s*(s|sec|second|m|min|minute|h|hour)\s*$|\$\{";
const SIZE: &str = r"^\s*\d[\d_]*(\.\d+)?\s*(B|[kKMGT]B|[KMGT]iB)?\s*$|\$\{";
const SHARE: &str = r"^\s*\d[\d_]*(\.\d+)?\s*%?\s*$|\$\{";
const PAUSE: &str = r"^\s*[\d][^.]*(\.\d+[a-zµ]+)?\s*(\.\.\s*\d.*)?$|\$\{";
const STATUS: &str = r"^[1-5](\d\d|xx)$|\$\{";
const OBJECTIVE: &str = r"^\s*(p\d|mean|max|count|error_ratio|availability|dropped_ratio|throughput|byte_rate|recovery_time|ratio|rate|goodput_retained).*(<=|<|>=|>).+$|\$\{";
const VARIABLE: &str = r"\$\{";

/// The JSON Schema (draft 2020-12) that a plan's file validates against.
pub fn schema() -> Value {
    let mut schema = table(&PLAN);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("$defs".to_owned(), json!({ "step": kind(&STEP) }));
        members.insert("title".to_owned(), json!("Plimsoll plan"));
    }
    schema
}

fn table(table: &Table) -> Value {
    let properties = table.keys.iter().map(|key| {
        let mut schema = kind(&key.kind);
        if let Some(members) = schema.as_object_mut() {
            members.insert("description".to_owned(), json!(key.about));
        }
        (key.name.to_owned(), schema)
    });
    json!({
        "type": "object",
        "properties": properties.collect::<serde_json::Map<_, _>>(),
        "required": table.required().collect::<Vec<_>>(),
        "additionalProperties": false,
        // `<<: *base` is YAML's own way of sharing.
        "patternProperties": { "^<<$": {} },
    })
}

fn kind(of: &Kind) -> Value {
    let variable = || json!({ "type": "string", "pattern": VARIABLE });
    match of {
        // What is text for us may look like a number to YAML: `version: 1.4`.
        Kind::Text | Kind::Template => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Duration => json!({ "anyOf": [{ "type": "string", "pattern": DURATION }, { "const": 0 }] }),
        Kind::Level => {
            json!({ "anyOf": [{ "type": "string", "pattern": LEVEL }, { "type": "integer", "minimum": 0 }] })
        }
        Kind::Rate => json!({ "type": "string", "pattern": RATE }),
        Kind::Size => {
            json!({ "anyOf": [{ "type": "string", "pattern": SIZE }, { "type": "integer", "minimum": 0 }] })
        }
        Kind::Share => {
            json!({ "anyOf": [{ "type": "string", "pattern": SHARE }, { "type": "number", "minimum": 0, "maximum": 1 }] })
        }
        Kind::Whole(first, last) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": first, "maximum": last }, variable()] })
        }
        Kind::Number => json!({ "anyOf": [{ "type": "number" }, variable()] }),
        Kind::Flag => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Kind::OneOf(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Kind::Objective => json!({ "type": "string", "pattern": OBJECTIVE }),
        Kind::Pause => json!({ "anyOf": [{ "type": "string", "pattern": PAUSE }, { "const": 0 }] }),
        Kind::Status => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, { "type": "string", "pattern": STATUS }] })
        }
        Kind::Object(inner) => table(inner),
        Kind::Map(value) => json!({ "type": "object", "additionalProperties": kind(value) }),
        Kind::List(item) => json!({ "type": "array", "items": kind(item) }),
        Kind::Steps => json!({ "type": "array", "items": { "$ref": "#/$defs/step" } }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
        Kind::Any => json!({}),
    }
}
