use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use crate::MOST_REGEX_BYTES;

/// The longest that is said of what a schema does not allow, in characters.
const LONGEST_REASON: usize = 300;

/// A JSON Schema: draft 2020-12, or the one that its `$schema` names.
#[derive(Debug)]
pub struct Schema(Validator);

/// Why a schema is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// Where in the schema, as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// References lead into the schema itself and nowhere else.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err(format!("`{uri}` is outside of the schema, and nothing is fetched").into())
    }
}

impl Schema {
    /// A schema ready to be held against values. Its patterns are regular expressions of linear time.
    ///
    /// # Errors
    /// What the schema says is no schema: where in it, and why.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let patterns = PatternOptions::regex().size_limit(MOST_REGEX_BYTES);
        let options = jsonschema::options().with_pattern_options(patterns).with_retriever(Nowhere);
        options.build(schema).map(Self).map_err(|error| SchemaError {
            pointer: error.instance_path().to_string(),
            message: shortened(&error.to_string()),
        })
    }

    /// What the schema does not allow in a value, if anything: where, and why, without the value itself.
    pub fn misses(&self, value: &Value) -> Option<String> {
        let said = |error: ValidationError<'_>| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { "the body" } else { &at };
            shortened(&format!("{at}: {}", error.masked_with("it")))
        };
        self.0.validate(value).err().map(said)
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn misses(schema: &Value, value: &Value) -> Option<String> {
        Schema::new(schema).unwrap().misses(value)
    }

    #[test]
    fn a_value_is_allowed_or_it_is_said_why_not() {
        let schema = json!({
            "type": "object",
            "required": ["items"],
            "properties": { "items": { "type": "array", "items": { "$ref": "#/$defs/item" } } },
            "$defs": { "item": { "properties": { "id": { "type": "integer", "minimum": 1 } } } },
        });
        assert_eq!(misses(&schema, &json!({ "items": [{ "id": 3 }] })), None);
        let why = misses(&schema, &json!({ "items": [{ "id": 3 }, { "id": "hidden" }] })).unwrap();
        assert!(why.starts_with("/items/1/id: ") && !why.contains("hidden"), "{why}");
        let why = misses(&schema, &json!({})).unwrap();
        assert!(why.starts_with("the body: "), "{why}");
    }

    #[test]
    fn what_is_no_schema_is_refused_where_it_stands() {
        for (schema, pointer, part) in [
            (json!({ "type": "nothing" }), "/type", "nothing"),
            (json!({ "properties": { "a": { "minimum": "3" } } }), "/properties/a/minimum", "number"),
            (json!({ "pattern": "(a{1000}){1000}" }), "/pattern", "regex"),
            (json!({ "pattern": "a(?=b)" }), "/pattern", "regex"),
            (json!({ "$ref": "#/$defs/nothing" }), "", "nothing"),
            (json!({ "$ref": "http://127.0.0.1:1/schema.json" }), "", "nothing is fetched"),
            (json!({ "$ref": "file:///etc/hostname" }), "", "nothing is fetched"),
            (json!(3), "", "3"),
        ] {
            let error = Schema::new(&schema).unwrap_err();
            assert_eq!(error.pointer, pointer, "{schema}: {error:?}");
            assert!(error.message.contains(part), "{schema}: {error:?}");
        }
    }

    #[test]
    fn schemas_that_lead_to_themselves_end() {
        let deepest = "[".repeat(crate::MOST_JSON_DEPTH) + &"]".repeat(crate::MOST_JSON_DEPTH);
        let deepest = crate::json(deepest.as_bytes()).unwrap();
        let schema = json!({ "type": "array", "items": { "$ref": "#" } });
        assert_eq!(misses(&schema, &deepest), None);
        for endless in [
            json!({ "$ref": "#" }),
            json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" }),
            json!({ "$dynamicRef": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "not": { "$ref": "#" } }),
        ] {
            // Whatever it says of the value: that it says something is what matters.
            if let Ok(schema) = Schema::new(&endless) {
                let _ = schema.misses(&deepest);
            }
        }
    }
}
