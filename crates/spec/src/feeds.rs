//! `data`: rows that templates draw from, read from CSV.

use std::sync::Arc;

use plimsoll_run::{Feed, FeedOrder};

use crate::diagnostic::{Finding, Place};
use crate::http::file;
use crate::read::Reader;
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
    let node = object.get("csv")?;
    let bytes = file(reader, node)?;
    match table(&bytes) {
        Ok((columns, rows)) => Some(Feed { name: key.clone(), columns, rows: Arc::new(rows), order }),
        Err(error) => {
            let message = format!("the file {} is not a table: {error}", node.kind());
            let finding = Finding::error(node.place, message);
            reader.report(finding.help(
                "a table is CSV in UTF-8 with a header line and the same number of values in each line",
            ));
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

/// Why bytes are not a table; lines count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TableError {
    #[error("line {0} is not UTF-8")]
    NotText(u64),
    #[error("line {line} has {found} values where the header has {expected}")]
    Ragged { line: u64, found: u64, expected: u64 },
    #[error("it has no header line")]
    NoHeader,
    #[error("it has a header and no rows")]
    NoRows,
    #[error("column {0} has no name")]
    NamelessColumn(usize),
    #[error("the name `{0}` of a column holds a brace or a control character")]
    UnusableColumn(String),
    #[error("two columns are called `{0}`")]
    DoubledColumn(String),
    #[error("it has more than {} columns", u16::MAX)]
    TooWide,
    #[error("{0}")]
    Other(String),
}

type Table = (Vec<String>, Vec<Box<[String]>>);

fn table(bytes: &[u8]) -> Result<Table, TableError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(false).from_reader(bytes);
    let mut records = csv.records();
    let header = records.next().ok_or(TableError::NoHeader)?.map_err(|error| wrong(&error))?;
    let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    if columns.len() > usize::from(u16::MAX) {
        return Err(TableError::TooWide);
    }
    for (position, name) in columns.iter().enumerate() {
        if name.is_empty() {
            return Err(TableError::NamelessColumn(position + 1));
        }
        if name.contains(['{', '}']) || name.chars().any(char::is_control) {
            return Err(TableError::UnusableColumn(name.escape_debug().to_string()));
        }
        if columns[..position].contains(name) {
            return Err(TableError::DoubledColumn(name.clone()));
        }
    }
    let rows = records.map(|record| {
        record.map(|record| record.iter().map(str::to_owned).collect()).map_err(|error| wrong(&error))
    });
    let rows: Vec<Box<[String]>> = rows.collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Err(TableError::NoRows);
    }
    Ok((columns, rows))
}

fn wrong(error: &csv::Error) -> TableError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => TableError::NotText(line),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            TableError::Ragged { line, found: *len, expected: *expected_len }
        }
        _ => TableError::Other(error.to_string()),
    }
}

/// Whether a name already stands for something that templates can use: then what.
pub(crate) fn taken(name: &str, feeds: &[Feed]) -> Option<String> {
    if BUILTINS.iter().any(|(builtin, _)| *builtin == name) {
        return Some("a name that every iteration has".to_owned());
    }
    let feed = feeds.iter().find(|feed| feed.columns.iter().any(|column| column == name))?;
    Some(format!("a column of the feed `{}`", feed.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_are_read() {
        let row = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Box<[String]>>();
        for (csv, columns, rows) in [
            ("user,id\nann,1\nbob,2\n", vec!["user", "id"], vec![row(&["ann", "1"]), row(&["bob", "2"])]),
            ("\u{feff}user\r\nann\r\n", vec!["user"], vec![row(&["ann"])]),
            ("a,b\n\"x, \"\"y\"\"\n z\",\n", vec!["a", "b"], vec![row(&["x, \"y\"\n z", ""])]),
            (" a , b \n1,2", vec!["a", "b"], vec![row(&["1", "2"])]),
        ] {
            let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
            assert_eq!(table(csv.as_bytes()), Ok((columns, rows)), "{csv}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (csv, error) in [
            (&b""[..], TableError::NoHeader),
            (b"a,b\n", TableError::NoRows),
            (b"a,b\n1,2\n3\n", TableError::Ragged { line: 3, found: 1, expected: 2 }),
            (b"a\n1\n\xff\n", TableError::NotText(3)),
            (b"a,,c\n1,2,3\n", TableError::NamelessColumn(2)),
            (b"a,a\n1,2\n", TableError::DoubledColumn("a".to_owned())),
            (b"{a}\n1\n", TableError::UnusableColumn("{a}".to_owned())),
        ] {
            assert_eq!(table(csv), Err(error), "{csv:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = table(&bytes);
        }

        #[test]
        fn every_row_is_as_long_as_the_header(text in "[a-c,\"\n]{0,60}") {
            if let Ok((columns, rows)) = table(text.as_bytes()) {
                prop_assert!(rows.iter().all(|row| row.len() == columns.len()));
            }
        }
    }
}
