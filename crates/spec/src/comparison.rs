//! Comparisons: a value that must be equalled, or a map of words like `{ at_least: 3 }`.

use plimsoll_run::Comparison;
use plimsoll_units::ByteCount;

use crate::diagnostic::Finding;
use crate::expect::fixed_text;
use crate::json;
use crate::read::Reader;
use crate::regular::is_regex;
use crate::tree::{Node, Value};
use crate::words::COMPARISON;

/// What is compared, which decides how the values are read that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// JSON: `5` is a number, and `"5"` a text.
    Json,
    /// A text: `5` is one too.
    Text,
    /// A number of bytes, written as a size.
    Bytes,
}

/// Reads what a JSON value must be. A map with other keys than the words of a comparison is an object that
/// the value must equal.
pub(crate) fn comparison(reader: &mut Reader<'_>, node: &Node) -> Option<Comparison> {
    comparison_of(reader, node, Of::Json)
}

/// Reads what something must be.
pub(crate) fn comparison_of(reader: &mut Reader<'_>, node: &Node, of: Of) -> Option<Comparison> {
    let compares = match &node.value {
        Value::Map(entries) => {
            !entries.is_empty() && entries.iter().all(|entry| COMPARISON.knows(&entry.key))
        }
        _ => false,
    };
    if compares {
        return words_of(reader, node, of);
    }
    if of != Of::Json && matches!(node.value, Value::Map(_)) {
        // Nothing but JSON is a map: this one says what is wrong with its keys.
        let errors = reader.findings.len();
        reader.object(node, &COMPARISON)?;
        if reader.findings.len() == errors {
            reader.expected(node, "a value or a comparison", None);
        }
        return None;
    }
    value(reader, node, of).map(Comparison::Equals)
}

/// The words of a comparison, where the map has other keys beside them.
pub(crate) fn words(reader: &mut Reader<'_>, node: &Node) -> Option<Comparison> {
    words_of(reader, node, Of::Json)
}

fn words_of(reader: &mut Reader<'_>, node: &Node, of: Of) -> Option<Comparison> {
    let errors = reader.findings.len();
    let Value::Map(entries) = &node.value else { return None };
    let mut all: Vec<_> = entries
        .iter()
        .filter(|entry| COMPARISON.knows(&entry.key))
        .filter_map(|entry| one(reader, &entry.key, &entry.node, of))
        .collect();
    if reader.findings.len() > errors {
        return None;
    }
    if all.len() == 1 { all.pop() } else { Some(Comparison::All(all)) }
}

fn one(reader: &mut Reader<'_>, word: &str, node: &Node, of: Of) -> Option<Comparison> {
    if of == Of::Bytes && ["exists", "contains", "matches"].contains(&word) {
        let finding = Finding::error(node.place, format!("a size is a number: `{word}` says nothing of it"));
        reader.report(finding.help("write a size like `2KB`, or `{ at_most: 64KiB }`"));
        return None;
    }
    Some(match word {
        "equals" => Comparison::Equals(value(reader, node, of)?),
        "not" => Comparison::Not(Box::new(comparison_of(reader, node, of)?)),
        "one_of" => {
            let items = reader.some(node, "values");
            Comparison::OneOf(items.iter().map(|item| value(reader, item, of)).collect::<Option<_>>()?)
        }
        "exists" => Comparison::Exists(reader.flag(node)?),
        "contains" => Comparison::Contains(fixed_text(reader, node)?),
        "matches" => {
            let pattern = reader.text(node, "a regular expression")?;
            Comparison::Matches(is_regex(reader, &pattern, node.place).then_some(pattern)?)
        }
        "above" => Comparison::Above(number(reader, node, of)?),
        "at_least" => Comparison::AtLeast(number(reader, node, of)?),
        "below" => Comparison::Below(number(reader, node, of)?),
        _ => Comparison::AtMost(number(reader, node, of)?),
    })
}

fn value(reader: &mut Reader<'_>, node: &Node, of: Of) -> Option<serde_json::Value> {
    match of {
        Of::Json => json::value(reader, node),
        Of::Text if node.scalar().is_some_and(|scalar| scalar.text().is_empty() && !scalar.is_nothing()) => {
            Some("".into())
        }
        Of::Text => fixed_text(reader, node).map(Into::into),
        Of::Bytes => reader.quantity(node, "a size").map(|ByteCount(bytes)| bytes.into()),
    }
}

fn number(reader: &mut Reader<'_>, node: &Node, of: Of) -> Option<f64> {
    if of == Of::Bytes {
        return reader.quantity(node, "a size").map(|ByteCount(bytes)| bytes as f64);
    }
    let text = reader.scalar(node, "a number")?.text();
    let number = text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite());
    if number.is_none() {
        reader.expected(node, "a number", Some("write one like `3` or `0.5`"));
    }
    number
}
