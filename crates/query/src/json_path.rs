use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

/// How deep JSON may nest: arrays and objects within each other. What nests deeper is no JSON here.
pub const MOST_JSON_DEPTH: usize = 127;

/// A body as JSON; `None` of what is none, or nests deeper than [`MOST_JSON_DEPTH`].
pub fn json(body: &[u8]) -> Option<Value> {
    // The reader stops at this depth by itself.
    serde_json::from_slice(body).ok()
}

/// A JSONPath (RFC 9535).
#[derive(Debug, Clone)]
pub struct JsonPath(JpQuery);

impl JsonPath {
    /// The path in a text.
    ///
    /// # Errors
    /// In words: it is no JSONPath.
    pub fn new(text: &str) -> Result<Self, String> {
        parse_json_path(text).map(Self).map_err(|error| format!("`{text}` is no JSONPath: {error}"))
    }

    /// What it finds, in the order of the document.
    pub fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let found = js_path_process(&self.0, value).unwrap_or_default();
        found.into_iter().map(|reference| reference.val()).collect()
    }
}
