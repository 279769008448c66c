//! `data`: rows that templates draw from.

use std::sync::Arc;

use plimsoll_data::{Format, Row, Source, Table, TableError};
use plimsoll_run::{Feed, FeedOrder};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Finding, Place};
use crate::http::file;
use crate::read::{Object, Reader};
use crate::template::BUILTINS;
use crate::tree::{Entry, Node};
use crate::words;

/// Feeds in the order of the plan, and where each stands.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> (Vec<Feed>, Vec<Place>) {
    let entries = reader.entries(node, "feeds");
    if entries.len() > usize::from(u16::MAX) {
        reader.error(node.place, format!("there are more than {} feeds", u16::MAX));
        return (Vec::new(), Vec::new());
    }
    let feeds = entries.iter().filter_map(|entry| Some((feed(reader, entry)?, entry.key_place)));
    feeds.unzip()
}

fn feed(reader: &mut Reader<'_>, Entry { key, key_place, node }: &Entry) -> Option<Feed> {
    if !is_identifier(key) || key == "run" {
        let finding = Finding::error(
            *key_place,
            format!("`{}` cannot be the name of a feed", crate::tree::shortened(key)),
        );
        reader.report(finding.help("a name has letters, digits, `_` and `-`; `run` is taken by `run.id`"));
        return None;
    }
    let object = reader.object(node, &words::FEED)?;
    let order = match object.get("order") {
        Some(node) => {
            order(reader.word(node, "an order", &["unique", "sequential", "random", "shuffled"])?)
        }
        None => FeedOrder::Sequential,
    };
    let (node, form) = form(reader, &object)?;
    let source = source(reader, node)?;
    // What stands for a table in the plan's hash: its values, however they were written.
    let mut digest = Sha256::new();
    let each = |columns: &[String], row: &Row| {
        if row.number == 0 {
            columns.iter().for_each(|column| add(&mut digest, column));
        }
        row.values().for_each(|value| add(&mut digest, value));
    };
    let table = match form {
        Form::Lines(format) => Table::open(source, format, each),
        Form::Json => Table::open_json(&source, each),
    };
    match table {
        Ok(table) => {
            let digest = hex(&digest.finalize());
            Some(Feed { name: key.clone(), table: Arc::new(table), digest, order })
        }
        Err(error) => {
            let message = match &error {
                TableError::Read(error) => format!("cannot read the file {}: {error}", node.kind()),
                error => format!("the file {} is not a table: {error}", node.kind()),
            };
            reader.report(Finding::error(node.place, message).help(form.help()));
            None
        }
    }
}

/// How the rows of a feed are written.
enum Form {
    Lines(Format),
    /// One array.
    Json,
}

impl Form {
    fn help(&self) -> &'static str {
        match self {
            Self::Lines(Format::Csv { .. }) => {
                "a table is CSV in UTF-8 with a header line and the same number of values in each line"
            }
            Self::Lines(Format::Ndjson | Format::Log { .. }) => {
                "each line is a JSON object, all with the same keys"
            }
            Self::Json => "a table is an array of JSON objects, all with the same keys",
        }
    }
}

fn form<'n>(reader: &mut Reader<'_>, object: &Object<'n>) -> Option<(&'n Node, Form)> {
    let found = match (object.get("csv"), object.get("json"), object.get("ndjson")) {
        (Some(node), None, None) => {
            let delimiter = match object.get("delimiter") {
                Some(node) => delimiter(reader, node)?,
                None => b',',
            };
            return Some((node, Form::Lines(Format::Csv { delimiter })));
        }
        (None, Some(node), None) => (node, Form::Json),
        (None, None, Some(node)) => (node, Form::Lines(Format::Ndjson)),
        _ => {
            let finding = Finding::error(object.place, "a feed has one of `csv`, `json` and `ndjson`");
            reader.report(finding.help("write `{ csv: users.csv }`"));
            return None;
        }
    };
    if object.get("delimiter").is_some() {
        reader.error(object.key_place("delimiter"), "`delimiter` stands beside `csv` only");
        return None;
    }
    Some(found)
}

fn delimiter(reader: &mut Reader<'_>, node: &Node) -> Option<u8> {
    let text = reader.scalar(node, "a delimiter")?.text();
    match text.as_bytes() {
        [byte] if *byte == b'\t' || (byte.is_ascii_punctuation() && *byte != b'"') => Some(*byte),
        _ => {
            reader.expected(node, "a delimiter", Some("write one character like `;`, `|` or \"\\t\""));
            None
        }
    }
}

fn order(word: &str) -> FeedOrder {
    match word {
        "unique" => FeedOrder::Unique,
        "random" => FeedOrder::Random,
        "shuffled" => FeedOrder::Shuffled,
        _ => FeedOrder::Sequential,
    }
}

/// Letters, digits, `_` and `-`, a letter or `_` first.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a table that a value names, wherever the caller keeps them.
pub(crate) fn source(reader: &mut Reader<'_>, node: &Node) -> Option<Source> {
    let Some(open) = reader.inputs.open else {
        return file(reader, node).map(|bytes| Source::Memory(bytes.into()));
    };
    let path = reader.text(node, "the path of a file")?;
    match open(&path) {
        Ok(source) => Some(source),
        Err(why) => {
            let message = format!("cannot read the file {}: {why}", node.kind());
            reader.report(Finding::error(node.place, message).help("paths are relative to the plan"));
            None
        }
    }
}

fn add(digest: &mut Sha256, value: &str) {
    digest.update((value.len() as u64).to_le_bytes());
    digest.update(value.as_bytes());
}

/// Whether a name already stands for something that templates can use: then what.
pub(crate) fn taken(name: &str, feeds: &[Feed]) -> Option<String> {
    if BUILTINS.iter().any(|(builtin, _)| *builtin == name) {
        return Some("a name that every iteration has".to_owned());
    }
    let feed = feeds.iter().find(|feed| feed.table.columns().iter().any(|column| column == name))?;
    Some(format!("a column of the feed `{}`", feed.name))
}
