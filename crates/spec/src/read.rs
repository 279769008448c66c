//! Typed values out of the tree: each helper reads one kind of value and reports what is wrong.
//!
//! A helper that reported something returns `None`, and the reading goes on: a plan's author sees
//! every mistake at once. Whatever a helper says about a value it says of its shown form.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_data::Function;
use plimsoll_units::{ParseError, duration};

use crate::Inputs;
use crate::diagnostic::{Finding, Place, Sources, listed};
use crate::tree::{Entry, Node, Scalar, Value};
use crate::variables::hint;
use crate::words::Table;

/// What reading a plan needs and what it found so far.
pub(crate) struct Reader<'a> {
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) sources: Sources,
    pub(crate) findings: Vec<Finding>,
    /// Functions of the holes read so far.
    pub(crate) functions: Vec<Function>,
}

/// A map whose keys were checked.
#[derive(Clone, Copy)]
pub(crate) struct Object<'n> {
    pub(crate) place: Place,
    table: &'static Table,
    entries: &'n [Entry],
}

impl<'n> Object<'n> {
    fn entry(&self, key: &str) -> Option<&'n Entry> {
        debug_assert!(self.table.knows(key), "{} has no key {key}", self.table.name);
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Where a key stands, or the map where it is absent.
    pub(crate) fn key_place(&self, key: &str) -> Place {
        self.entry(key).map_or(self.place, |entry| entry.key_place)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn error(&mut self, place: impl Into<Option<Place>>, message: impl Into<String>) {
        self.report(Finding::error(place, message));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// Says that a value is not what it should be. Broken values were complained about before.
    pub(crate) fn expected(&mut self, node: &Node, what: &str, help: Option<&str>) {
        if matches!(node.value, Value::Broken) {
            return;
        }
        let mut finding = Finding::error(node.place, format!("expected {what}, found {}", node.kind()));
        if let Some(help) = help {
            finding = finding.help(help);
        }
        self.report(finding);
    }

    /// A map with the keys of a table. Unknown and missing keys are reported; what is there is read.
    pub(crate) fn object<'n>(&mut self, node: &'n Node, table: &'static Table) -> Option<Object<'n>> {
        let Value::Map(entries) = &node.value else {
            self.expected(node, "a map", Some(&format!("the keys of {} are {}", table.name, table.listed())));
            return None;
        };
        for entry in entries.iter().filter(|entry| !table.knows(&entry.key)) {
            self.unknown(entry, table);
        }
        let place = entries.first().map_or(node.place, |first| first.key_place);
        for key in table.required() {
            if !entries.iter().any(|entry| entry.key == key) {
                let finding = Finding::error(place, format!("{} has no `{key}`", table.name));
                self.report(finding.help(table.about(key)));
            }
        }
        Some(Object { place, table, entries })
    }

    fn unknown(&mut self, entry: &Entry, table: &'static Table) {
        let key = crate::tree::shortened(&entry.key);
        if table.later.contains(&entry.key.as_str()) {
            let message = format!("`{key}` in {} is not supported by this version", table.name);
            return self.report(Finding::error(entry.key_place, message).help("leave it out"));
        }
        let mut finding = Finding::error(entry.key_place, format!("unknown key `{key}` in {}", table.name))
            .help(format!("the keys of {} are {}", table.name, table.listed()));
        if let Some(hint) = hint(&entry.key, table.names()) {
            finding = finding.label(hint);
        }
        self.report(finding);
    }

    /// The items of a list; none where it is no list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => {
                self.expected(node, &format!("a list of {what}"), None);
                &[]
            }
        }
    }

    /// The entries of a map with free keys; none where it is no map.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                self.expected(node, &format!("a map of {what}"), None);
                &[]
            }
        }
    }

    /// The items of a list that has some.
    pub(crate) fn some<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        let items = self.list(node, what);
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            self.expected(node, &format!("a list of {what}"), Some("at least one is needed"));
        }
        items
    }

    /// One item or a list of them.
    pub(crate) fn one_or_more<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    pub(crate) fn scalar<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Scalar> {
        match &node.value {
            Value::Scalar(scalar) if !scalar.is_nothing() => Some(scalar),
            _ => {
                self.expected(node, what, None);
                None
            }
        }
    }

    /// A text of at least one character.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.scalar(node, what)?.text();
        if text.is_empty() {
            self.error(node.place, format!("expected {what}, found an empty text"));
            return None;
        }
        Some(text)
    }

    /// A name that becomes a label.
    pub(crate) fn name(&mut self, node: &Node) -> Option<String> {
        const LONGEST: usize = 200;
        let name = self.text(node, "a name")?;
        if self.scalar(node, "a name")?.has_secret() {
            self.error(node.place, "a name is shown everywhere and cannot hold a secret");
            return None;
        }
        if name.chars().any(char::is_control) || name.trim() != name || name.chars().count() > LONGEST {
            let finding = Finding::error(node.place, "this cannot be a name");
            self.report(finding.help(format!(
                "a name has at most {LONGEST} characters, none of them control characters, and no space around it"
            )));
            return None;
        }
        Some(name)
    }

    /// A quantity that knows how it is written.
    pub(crate) fn quantity<T: FromStr<Err = ParseError>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.scalar(node, what)?.text();
        self.parsed(node, text.parse())
    }

    pub(crate) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.scalar(node, "a duration")?.text();
        self.parsed(node, duration::parse(&text))
    }

    fn parsed<T>(&mut self, node: &Node, parsed: Result<T, ParseError>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(ParseError { what, allowed, .. }) => {
                self.expected(node, what, Some(&format!("write {allowed}")));
                None
            }
        }
    }

    /// A duration longer than zero.
    pub(crate) fn some_time(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.expected(node, "a duration longer than zero", None);
            return None;
        }
        Some(duration)
    }

    /// Whole seconds, at least one.
    pub(crate) fn seconds(&mut self, node: &Node) -> Option<u32> {
        let duration = self.duration(node)?;
        if duration.as_secs() == 0 || duration.subsec_nanos() > 0 {
            self.expected(
                node,
                "whole seconds, at least one",
                Some("windows move by whole seconds: write `30s`"),
            );
            return None;
        }
        u32::try_from(duration.as_secs()).ok()
    }

    /// A whole number within a range.
    pub(crate) fn whole(&mut self, node: &Node, what: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.scalar(node, what)?.text();
        let number = text.replace('_', "").parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let help = if *range.end() == u64::MAX {
                format!("write a whole number from {}", range.start())
            } else {
                format!("write a whole number from {} to {}", range.start(), range.end())
            };
            self.expected(node, what, Some(&help));
        }
        number
    }

    pub(crate) fn flag(&mut self, node: &Node) -> Option<bool> {
        match self.scalar(node, "`true` or `false`")?.text().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.expected(node, "`true` or `false`", None);
                None
            }
        }
    }

    /// One of a closed set of words.
    pub(crate) fn word(&mut self, node: &Node, what: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.scalar(node, what)?.text();
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let mut finding = Finding::error(node.place, format!("expected {what}, found {}", node.kind()))
            .help(format!("write one of {}", listed(words.iter().copied())));
        if let Some(hint) = hint(&text, words.iter().copied()) {
            finding = finding.label(hint);
        }
        self.report(finding);
        None
    }

    /// The place of some bytes of a scalar's text: exact where it was typed as it is meant, else the
    /// whole value.
    pub(crate) fn within(&self, node: &Node, range: &std::ops::Range<usize>) -> Place {
        let Some(scalar) = node.scalar() else { return node.place };
        let (text, source) = (scalar.text(), self.sources.slice(node.place));
        match source.find(&text) {
            Some(at) if at <= 1 && !text.is_empty() => {
                let start = node.place.start + at;
                Place { start: start + range.start, end: start + range.end, ..node.place }
            }
            _ => node.place,
        }
    }
}
