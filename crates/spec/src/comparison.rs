//! Comparisons: a value that must be equalled, or a map of words like `{ at_least: 3 }`.

use plimsoll_run::Comparison;

use crate::expect::fixed_text;
use crate::json;
use crate::read::Reader;
use crate::regular::is_regex;
use crate::tree::{Node, Value};
use crate::words::COMPARISON;

/// Reads what a value must be. A map with other keys than the words of a comparison is an object that
/// the value must equal.
pub(crate) fn comparison(reader: &mut Reader<'_>, node: &Node) -> Option<Comparison> {
    let compares = match &node.value {
        Value::Map(entries) => {
            !entries.is_empty() && entries.iter().all(|entry| COMPARISON.knows(&entry.key))
        }
        _ => false,
    };
    if compares { words(reader, node) } else { json::value(reader, node).map(Comparison::Equals) }
}

/// The words of a comparison, where the map has other keys beside them.
pub(crate) fn words(reader: &mut Reader<'_>, node: &Node) -> Option<Comparison> {
    let errors = reader.findings.len();
    let Value::Map(entries) = &node.value else { return None };
    let mut all: Vec<_> = entries
        .iter()
        .filter(|entry| COMPARISON.knows(&entry.key))
        .filter_map(|entry| one(reader, &entry.key, &entry.node))
        .collect();
    if reader.findings.len() > errors {
        return None;
    }
    if all.len() == 1 { all.pop() } else { Some(Comparison::All(all)) }
}

fn one(reader: &mut Reader<'_>, word: &str, node: &Node) -> Option<Comparison> {
    Some(match word {
        "equals" => Comparison::Equals(json::value(reader, node)?),
        "not" => Comparison::Not(Box::new(comparison(reader, node)?)),
        "one_of" => {
            let items = reader.some(node, "values");
            Comparison::OneOf(items.iter().map(|item| json::value(reader, item)).collect::<Option<_>>()?)
        }
        "exists" => Comparison::Exists(reader.flag(node)?),
        "contains" => Comparison::Contains(fixed_text(reader, node)?),
        "matches" => {
            let pattern = reader.text(node, "a regular expression")?;
            Comparison::Matches(is_regex(reader, &pattern, node.place).then_some(pattern)?)
        }
        "above" => Comparison::Above(number(reader, node)?),
        "at_least" => Comparison::AtLeast(number(reader, node)?),
        "below" => Comparison::Below(number(reader, node)?),
        _ => Comparison::AtMost(number(reader, node)?),
    })
}

fn number(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    let text = reader.scalar(node, "a number")?.text();
    let number = text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite());
    if number.is_none() {
        reader.expected(node, "a number", Some("write one like `3` or `0.5`"));
    }
    number
}
