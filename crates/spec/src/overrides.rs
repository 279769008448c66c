//! `--set path=value`: values of the command line, put into the tree before anything is read from it.
//!
//! A path is keys and positions: `load.stages[1].for`. A key that its map lacks is added, and whether
//! it means anything is decided where keys are read; a position that its list lacks is an error.

use crate::diagnostic::{Finding, Place, listed};
use crate::read::Reader;
use crate::tree::{Entry, Node, Scalar, Value, load, shortened};
use crate::variables::hint;

/// What a path goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    Position(usize),
}

/// Applies one override; the text as it was typed after `--set`.
pub(crate) fn apply(reader: &mut Reader<'_>, root: &mut Node, text: &str) {
    let source = reader.sources.add("--set", text);
    crate::cover_likely_secrets(&mut reader.sources, source, text);
    let whole = Place { source, start: 0, end: text.len() };
    let Some((path, value)) = text.split_once('=') else {
        let finding = Finding::error(whole, "an override has a path, `=` and a value");
        return reader.report(finding.help("write `load.stages[1].for=10s`"));
    };
    let Some(parts) = parts(path) else {
        let place = Place { end: path.len(), ..whole };
        let finding = Finding::error(place, format!("`{}` is not a path", shortened(path)));
        return reader.report(finding.help("write keys and positions, like `load.stages[1].for`"));
    };
    let start = path.len() + 1;
    // Nothing after `=` is an empty text, as it is in a shell.
    let value = match value {
        "" => Ok(Node { place: whole, value: Value::Scalar(Scalar::new("", false)) }),
        value => load(value, source, start),
    };
    match value {
        Ok(value) => put(reader, root, &parts, value, Place { end: path.len(), ..whole }),
        Err(finding) => reader.report(finding),
    }
}

/// Puts a text at a key of the root, as if it had been typed in quotes.
pub(crate) fn put_text(reader: &mut Reader<'_>, root: &mut Node, key: &str, name: &str, text: &str) {
    let source = reader.sources.add(name, text);
    let place = Place { source, start: 0, end: text.len() };
    // The text is what was meant: a `${` in it is no variable.
    let value = Value::Scalar(Scalar::new(text.replace("${", "$${"), false));
    put(reader, root, &[Part::Key(key.to_owned())], Node { place, value }, place);
}

fn parts(path: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for piece in path.trim().split('.') {
        let (key, mut positions) = piece.split_at(piece.find('[').unwrap_or(piece.len()));
        if key.is_empty() {
            return None;
        }
        parts.push(Part::Key(key.to_owned()));
        while let Some(rest) = positions.strip_prefix('[') {
            let (position, rest) = rest.split_once(']')?;
            parts.push(Part::Position(position.parse().ok()?));
            positions = rest;
        }
        if !positions.is_empty() {
            return None;
        }
    }
    Some(parts)
}

fn put(reader: &mut Reader<'_>, root: &mut Node, parts: &[Part], value: Node, place: Place) {
    let mut node = root;
    let mut walked = String::from("the plan");
    for (step, part) in parts.iter().enumerate() {
        let next_is_position = matches!(parts.get(step + 1), Some(Part::Position(_)));
        let there = match part {
            Part::Key(key) => child_by_key(node, key, next_is_position, place),
            Part::Position(position) => child_by_position(node, *position),
        };
        match there {
            Ok(child) => node = child,
            Err((what, help)) => {
                return reader.report(Finding::error(place, format!("{what} in {walked}")).help(help));
            }
        }
        walked = match part {
            Part::Key(key) if step == 0 => format!("`{key}`"),
            Part::Key(key) => format!("{}.{key}`", walked.trim_end_matches('`')),
            Part::Position(position) => format!("{}[{position}]`", walked.trim_end_matches('`')),
        };
    }
    *node = value;
}

type Missing = (String, String);

/// The value of a key, added where its map lacks it.
fn child_by_key<'n>(
    node: &'n mut Node,
    key: &str,
    needs_list: bool,
    place: Place,
) -> Result<&'n mut Node, Missing> {
    let kind = kind(node);
    let Value::Map(entries) = &mut node.value else {
        return Err((format!("there is no key `{}`", shortened(key)), format!("there is {kind}")));
    };
    let position = match entries.iter().position(|entry| entry.key == key) {
        Some(position) => position,
        None if needs_list => {
            let names = || entries.iter().map(|entry| entry.key.as_str());
            let hint = hint(key, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
            let help = format!("there are {}{hint}", listed(names()));
            return Err((format!("there is no list `{}`", shortened(key)), help));
        }
        None => {
            let node = Node { place, value: Value::Map(Vec::new()) };
            entries.push(Entry { key: key.to_owned(), key_place: place, node });
            entries.len() - 1
        }
    };
    Ok(&mut entries[position].node)
}

/// What a node is; which texts are secret is not known yet, so none is repeated.
fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar(_) | Value::Broken => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

fn child_by_position(node: &mut Node, position: usize) -> Result<&mut Node, Missing> {
    let kind = kind(node);
    match &mut node.value {
        Value::List(items) => {
            let count = items.len();
            items.get_mut(position).ok_or_else(|| {
                let help = match count {
                    0 => "the list is empty".to_owned(),
                    count => format!("positions are counted from 0; the last one is {}", count - 1),
                };
                (format!("there is no position {position}"), help)
            })
        }
        _ => Err((format!("there is no position {position}"), format!("there is {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys_and_positions() {
        let key = |key: &str| Part::Key(key.to_owned());
        assert_eq!(
            parts("load.stages[1].for"),
            Some(vec![key("load"), key("stages"), Part::Position(1), key("for")])
        );
        assert_eq!(parts("a[0][2]"), Some(vec![key("a"), Part::Position(0), Part::Position(2)]));
        for path in ["", ".", "a..b", "a.", "[0]", "a[x]", "a[1", "a[1]b", "a[-1]"] {
            assert_eq!(parts(path), None, "{path}");
        }
    }
}
