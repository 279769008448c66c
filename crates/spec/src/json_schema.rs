//! JSON Schemas that bodies are held against: written into the plan, or in a file beside it.

use plimsoll_query::{Schema, SchemaError};
use serde_json::Value as Json;

use crate::diagnostic::{Finding, Place};
use crate::json;
use crate::read::Reader;
use crate::tree::{self, Node, Value, shortened};

/// Reads a schema. A text is the path of a file, which holds JSON or YAML.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Json> {
    let (schema, root) = match &node.value {
        Value::Map(_) => (json::value(reader, node)?, None),
        Value::Scalar(_) => {
            let (schema, root) = file(reader, node)?;
            (schema, Some(root))
        }
        _ => {
            reader.expected(node, "a JSON Schema", Some("write it as a map, or the path of its file"));
            return None;
        }
    };
    match Schema::new(&schema) {
        Ok(_) => Some(schema),
        Err(SchemaError { pointer, message }) => {
            let place = place(root.as_ref().unwrap_or(node), &pointer).unwrap_or(node.place);
            let finding = Finding::error(place, format!("this is not a JSON Schema: {message}"));
            reader.report(
                finding.help("draft 2020-12 is meant, or what its `$schema` names; nothing is fetched"),
            );
            None
        }
    }
}

/// A schema in a file, with where each part of it stands.
fn file(reader: &mut Reader<'_>, node: &Node) -> Option<(Json, Node)> {
    let path = reader.text(node, "the path of a JSON Schema")?;
    let unread = |why: String| Finding::error(node.place, format!("the schema `{}` {why}", shortened(&path)));
    let text = match (reader.inputs.read)(&path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            reader.report(unread("is not UTF-8".to_owned()));
            return None;
        }
        Err(why) => {
            reader.report(unread(format!("cannot be read: {why}")));
            return None;
        }
    };
    let id = reader.sources.add(&path, &text);
    match tree::load(&text, id, 0) {
        // Numbers of JSON are read as JSON reads them.
        Ok(root) => match serde_json::from_str(&text) {
            Ok(schema) => Some((schema, root)),
            Err(_) => Some((json::value(reader, &root)?, root)),
        },
        Err(finding) => match serde_json::from_str(&text) {
            // Indented with tabs, which YAML has no room for.
            Ok(schema) => Some((schema, Node { place: node.place, value: Value::Broken })),
            Err(_) => {
                reader.report(finding);
                None
            }
        },
    }
}

/// Where a JSON pointer leads to.
fn place(root: &Node, pointer: &str) -> Option<Place> {
    let mut node = root;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        node = match key.parse::<usize>() {
            Ok(position) if !node.items().is_empty() => node.items().get(position)?,
            _ => node.get(&key)?,
        };
    }
    Some(node.place)
}
