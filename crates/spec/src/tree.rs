//! YAML text as a tree in which every value knows where it stands.
//!
//! This is the only place that knows which YAML library is used. The tree keeps scalars as they were
//! typed (`1.10` stays `1.10`), because what they mean depends on where they stand. Tags and keys that
//! are not text have no meaning and are refused, and so is a second document in a plan. Work is bounded:
//! by the size of the text, by depth, and by the number of values that aliases multiply to.

use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::diagnostic::{Finding, Place};

/// A larger text is no plan that somebody wrote.
const LARGEST_TEXT: usize = 8 << 20;
/// How many values a plan may have once its aliases are followed.
const MOST_VALUES: usize = 250_000;
/// How deep lists and maps may be nested.
const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something is wrong with it and was reported: nobody needs to complain again.
    Broken,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// A piece of text, put together from what was typed and what variables stood for.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) segments: Vec<Segment>,
    /// Written without quotes, so that `5` is a number and `true` a truth.
    pub(crate) plain: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Segment {
    /// As it was typed.
    Literal(String),
    /// As it was typed, never to be shown.
    Hidden(String),
    /// What a variable stood for.
    Reference {
        /// How to write it again: `${NAME}`.
        written: String,
        value: String,
        secret: bool,
    },
}

impl Segment {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Hidden(text) | Self::Reference { value: text, .. } => text,
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Hidden(_) => true,
            Self::Reference { secret, .. } => *secret,
        }
    }
}

impl Scalar {
    pub(crate) fn new(text: impl Into<String>, plain: bool) -> Self {
        Self { segments: vec![Segment::Literal(text.into())], plain }
    }

    /// The text itself, secrets included.
    pub(crate) fn text(&self) -> String {
        self.segments.iter().map(Segment::text).collect()
    }

    /// The text as it may be shown.
    pub(crate) fn shown(&self) -> String {
        self.covered(str::to_owned)
    }

    /// The text as it may be kept, and be read again: a `${` in it stands for itself.
    pub(crate) fn kept(&self) -> String {
        self.covered(|text| text.replace("${", "$${"))
    }

    fn covered(&self, write: impl Fn(&str) -> String) -> String {
        let covered = self.segments.iter().map(|segment| match segment {
            Segment::Hidden(_) => "***".to_owned(),
            Segment::Reference { written, secret: true, .. } => written.clone(),
            Segment::Literal(text) | Segment::Reference { value: text, .. } => write(text),
        });
        covered.collect()
    }

    pub(crate) fn has_secret(&self) -> bool {
        self.segments.iter().any(Segment::is_secret)
    }

    /// Which bytes of the text are secret.
    pub(crate) fn secret_ranges(&self) -> Vec<Range<usize>> {
        let mut at = 0;
        let mut ranges = Vec::new();
        for segment in &self.segments {
            let end = at + segment.text().len();
            if segment.is_secret() {
                ranges.push(at..end);
            }
            at = end;
        }
        ranges
    }

    /// Nothing was written: `key:`, `key: ~` or `key: null`.
    pub(crate) fn is_nothing(&self) -> bool {
        self.plain && matches!(self.text().as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    /// How many values it holds, itself included.
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) | Value::Broken => 0,
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
        }
    }

    /// The value of a key, where it is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// What it is, with an article, for messages.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_nothing() => "nothing".to_owned(),
            Value::Scalar(scalar) => format!("`{}`", shortened(&scalar.shown())),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Broken => "something wrong".to_owned(),
        }
    }
}

/// A text short enough for a message.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Reads YAML. `offset` is where `text` starts within its source.
///
/// # Errors
/// The first thing in it that is not YAML, or not of the plain kind that plans are written in.
pub(crate) fn load(text: &str, source: usize, offset: usize) -> Result<Node, Finding> {
    let mut loader = Loader::new(text, source, offset)?;
    let root = loader.document()?.ok_or_else(|| loader.nothing())?;
    match loader.document_start()? {
        None => Ok(root),
        Some(place) => {
            Err(Finding::error(place, "a second document starts here").help("write one plan per file"))
        }
    }
}

/// Reads YAML of several documents, each as [`load`] reads one. Documents in which nothing stands are left out.
///
/// # Errors
/// As [`load`], with the documents before the mistake.
pub(crate) fn load_all(text: &str, source: usize) -> (Vec<Node>, Option<Finding>) {
    let mut documents = Vec::new();
    let mut read = || -> Result<(), Finding> {
        let mut loader = Loader::new(text, source, 0)?;
        while let Some(document) = loader.document()? {
            if !document.scalar().is_some_and(Scalar::is_nothing) {
                documents.push(document);
            }
        }
        if documents.is_empty() { Err(loader.nothing()) } else { Ok(()) }
    };
    let problem = read().err();
    (documents, problem)
}

struct Loader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    source: usize,
    offset: usize,
    anchors: HashMap<usize, Node>,
    values: usize,
}

impl<'t> Loader<'t> {
    fn new(text: &'t str, source: usize, offset: usize) -> Result<Self, Finding> {
        // Comments would be events too, where somebody else in the build asks for them.
        let options = granit_parser::options! { emit_comments: false };
        let parser = Parser::new_from_str_with_options(text, options);
        let loader = Self { parser, source, offset, anchors: HashMap::new(), values: 0 };
        if text.len() > LARGEST_TEXT {
            let message =
                format!("the text has {} bytes, more than the {LARGEST_TEXT} that are read", text.len());
            return Err(Finding::error(loader.place(0, 0), message));
        }
        Ok(loader)
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place { source: self.source, start: self.offset + start, end: self.offset + end.max(start) }
    }

    fn at(&self, span: &Span) -> Place {
        let range = span.byte_range().unwrap_or(0..0);
        self.place(range.start, range.end)
    }

    fn not_yaml(&self, error: &ScanError) -> Finding {
        let at = error.marker().byte_offset().unwrap_or(0);
        Finding::error(self.place(at, at + 1), format!("this is not YAML: {}", error.info()))
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), Finding> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let place = self.at(&span);
                Ok((event, place))
            }
            Some(Err(error)) => Err(self.not_yaml(&error)),
            None => Ok((Event::StreamEnd, self.place(0, 0))),
        }
    }

    fn nothing(&self) -> Finding {
        Finding::error(self.place(0, 0), "there is nothing here")
    }

    /// The next document; `None` at the end of the text.
    fn document(&mut self) -> Result<Option<Node>, Finding> {
        if self.document_start()?.is_none() {
            return Ok(None);
        }
        // An alias stands for something of its own document.
        self.anchors.clear();
        let (event, place) = self.next()?;
        self.node(event, place, 0).map(Some)
    }

    /// Goes on to where the next document starts.
    fn document_start(&mut self) -> Result<Option<Place>, Finding> {
        loop {
            match self.next()? {
                (Event::DocumentStart(..), place) => return Ok(Some(place)),
                (Event::StreamEnd, _) => return Ok(None),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Node, Finding> {
        self.grow(1, place)?;
        if depth > DEEPEST {
            return Err(Finding::error(place, format!("this is nested more than {DEEPEST} deep")));
        }
        let (anchor, tag, value) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, tag, Value::Scalar(Scalar::new(text, style == ScalarStyle::Plain)))
            }
            Event::SequenceStart(_, anchor, tag) => (anchor, tag, Value::List(self.list(depth)?)),
            Event::MappingStart(_, anchor, tag) => (anchor, tag, Value::Map(self.map(depth)?)),
            _ => return Err(Finding::error(place, "a value is missing here")),
        };
        if let Some(tag) = tag {
            let message = format!("the tag `{}` has no meaning here", shortened(&tag.original()));
            return Err(Finding::error(place, message).help("write the value without a tag"));
        }
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// A copy of what the alias stands for, in the place of the alias.
    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Finding> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Finding::error(place, "this alias stands for the value it is part of"));
        };
        let node = Node { place, ..node.clone() };
        self.grow(node.count(), place)?;
        Ok(node)
    }

    fn grow(&mut self, values: usize, place: Place) -> Result<(), Finding> {
        self.values += values;
        if self.values > MOST_VALUES {
            return Err(Finding::error(place, format!("here the text grows beyond {MOST_VALUES} values"))
                .help("aliases may have multiplied them"));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Finding> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, place) => items.push(self.node(event, place, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Finding> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, key_place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, key_place, depth + 1)?;
            let Some(plain) = key.scalar().map(|scalar| scalar.plain) else {
                return Err(Finding::error(key_place, format!("a key must be text, not {}", key.kind())));
            };
            let key = key.scalar().map(Scalar::text).unwrap_or_default();
            let (event, place) = self.next()?;
            let node = self.node(event, place, depth + 1)?;
            if plain && key == "<<" {
                merged.extend(merge_sources(node)?);
                continue;
            }
            if seen.insert(key.clone(), key_place).is_some() {
                return Err(Finding::error(
                    key_place,
                    format!("the key `{}` stands here twice", shortened(&key)),
                ));
            }
            entries.push(Entry { key, key_place, node });
        }
        // What is written out wins over what is merged, and what is merged first over what comes later.
        for entry in merged {
            if seen.insert(entry.key.clone(), entry.key_place).is_none() {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// The entries that `<<: *base` or `<<: [*one, *other]` bring.
fn merge_sources(node: Node) -> Result<Vec<Entry>, Finding> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            let maps = items.into_iter().map(merge_sources);
            Ok(maps.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        _ => Err(Finding::error(node.place, "`<<` takes a map, or a list of maps")),
    }
}
