//! Typed values out of the tree of a document, each with its path.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plimsoll_sla::openslo::{
    DurationShorthand, DurationShorthandError, DurationUnit, Free, Path, Rule, Violation, Word,
};

use crate::MOST_SHOWN;
use crate::diagnostic::{Finding, Place, Sources, listed};
use crate::json::{Plain, plain};
use crate::openslo::{finding, locate};
use crate::tree::{Node, Value, shortened};
use crate::variables::hint;

/// A value and how one gets there.
#[derive(Debug, Clone)]
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    pub(super) path: Path,
}

impl<'n> At<'n> {
    pub(super) fn root(node: &'n Node) -> Self {
        Self { node, path: Path::root() }
    }

    /// The value of a key, where it is there and something.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let node = self.node.get(key).filter(|node| !is_nothing(node))?;
        Some(Self { node, path: self.path.key(key) })
    }
}

fn is_nothing(node: &Node) -> bool {
    node.scalar().is_some_and(|scalar| scalar.is_nothing())
}

/// Something to say of a document, in the making.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) file: usize,
    pub(super) object: Option<usize>,
    pub(super) path: Path,
    pub(super) rule: Rule,
    pub(super) finding: Finding,
}

/// The texts, and what there is to say of them so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) sources: Sources,
    pub(super) complaints: Vec<Complaint>,
    /// Of each object the values that could not be read.
    unread: HashMap<usize, BTreeSet<Path>>,
    /// How many violations got a place, warnings and errors.
    located: [usize; 2],
    object: usize,
    file: usize,
}

/// Of so many violations of a weight the place is looked up, which takes a while in large maps. Far fewer are shown.
const MOST_LOCATED: usize = 1000;

impl Reader {
    /// From here on it is about this object of this file.
    pub(super) fn begin(&mut self, object: usize, file: usize) {
        (self.object, self.file) = (object, file);
    }

    /// Says something of a value that could not be read.
    pub(super) fn complain(&mut self, path: &Path, rule: Rule, finding: Finding) {
        self.unread.entry(self.object).or_default().insert(path.clone());
        self.say(path.clone(), rule, finding);
    }

    /// Says something of a value that was read.
    fn say(&mut self, path: Path, rule: Rule, finding: Finding) {
        let (file, object, finding) = (self.file, Some(self.object), finding.rule(rule));
        self.complaints.push(Complaint { file, object, path, rule, finding });
    }

    /// A file that is not what documents are written in.
    pub(super) fn syntax(&mut self, file: usize, finding: Finding) {
        let finding = finding.rule(Rule::Syntax);
        self.complaints.push(Complaint {
            file,
            object: None,
            path: Path::root(),
            rule: Rule::Syntax,
            finding,
        });
    }

    /// What rules say of the object, but for values that could not be read: they are not missing.
    pub(super) fn violations(&mut self, root: &Node, violations: Vec<Violation>) {
        for violation in violations {
            if violation.rule.looks_at_presence() && self.is_unread(&violation.path) {
                continue;
            }
            let located = &mut self.located[usize::from(violation.is_error())];
            *located += 1;
            let place = match *located <= MOST_LOCATED {
                true => locate(root, &violation.path),
                // Behind those that were located, where nobody is shown it.
                false => Place { start: usize::MAX, end: usize::MAX, ..root.place },
            };
            let finding = finding(place, &violation);
            self.say(violation.path, violation.rule, finding);
        }
    }

    /// Whether a value, something in it or something it is in could not be read.
    fn is_unread(&self, path: &Path) -> bool {
        let Some(unread) = self.unread.get(&self.object) else { return false };
        let below = unread.range(path..).next().is_some_and(|below| below.lies_in(path));
        below || path.ancestors().any(|above| unread.contains(&above))
    }

    /// What was probably meant. Of thousands nobody reads it.
    fn hint<'w>(&self, found: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
        if self.complaints.len() < MOST_SHOWN { hint(found, words) } else { None }
    }

    pub(super) fn missing(&mut self, at: &At<'_>, key: &str, help: &str) {
        let place = super::start(at.node);
        let finding = Finding::error(place, format!("`{key}` is missing")).help(help);
        self.complain(&at.path.key(key), Rule::Required, finding);
    }

    /// Says that a value is not what it should be.
    pub(super) fn expected(&mut self, at: &At<'_>, what: &str, help: Option<&str>) {
        self.not(at, Rule::Type, what, help);
    }

    fn not(&mut self, at: &At<'_>, rule: Rule, what: &str, help: Option<&str>) {
        let place = match at.node.value {
            Value::Map(_) | Value::List(_) => super::start(at.node),
            _ => at.node.place,
        };
        let mut finding = Finding::error(place, format!("expected {what}, found {}", at.node.kind()));
        if let Some(help) = help {
            finding = finding.help(help);
        }
        self.complain(&at.path, rule, finding);
    }

    /// A map with these keys; unknown ones are named. `None` where it is no map.
    pub(super) fn map<'n>(&mut self, at: &At<'n>, keys: &[&'static str]) -> Option<At<'n>> {
        let Value::Map(entries) = &at.node.value else {
            let help = format!("its keys are {}", listed(keys.iter().copied()));
            self.expected(at, "a map", Some(&help));
            return None;
        };
        for entry in entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            self.unknown(at, &entry.key, entry.key_place, keys);
        }
        Some(at.clone())
    }

    fn unknown(&mut self, at: &At<'_>, key: &str, place: Place, keys: &[&'static str]) {
        let message = match at.path.steps() {
            [] => format!("unknown key `{}`", shortened(key)),
            _ => format!("unknown key `{}` in `{}`", shortened(key), shortened(&at.path.to_string())),
        };
        let mut finding = Finding::error(place, message)
            .help(format!("the keys here are {}", listed(keys.iter().copied())));
        if let Some(hint) = self.hint(key, keys.iter().copied()) {
            finding = finding.label(hint);
        }
        self.complain(&at.path.key(key), Rule::UnknownKey, finding);
    }

    /// The items of a list; none where it is missing or no list.
    pub(super) fn list<'n>(&mut self, at: Option<At<'n>>, what: &str) -> Vec<At<'n>> {
        let Some(at) = at else { return Vec::new() };
        let Value::List(items) = &at.node.value else {
            self.expected(&at, &format!("a list of {what}"), None);
            return Vec::new();
        };
        items.iter().enumerate().map(|(index, node)| At { node, path: at.path.index(index) }).collect()
    }

    /// A text. What YAML takes for a number or a truth is none, here as in the official library.
    pub(super) fn text(&mut self, at: Option<At<'_>>) -> Option<String> {
        let at = at?;
        match at.node.scalar().map(plain_of) {
            Some((Plain::Text, text)) => Some(text),
            Some(_) => {
                self.expected(&at, "a text", Some("put it in quotes"));
                None
            }
            None => {
                self.expected(&at, "a text", None);
                None
            }
        }
    }

    /// A text that is empty where it is missing.
    pub(super) fn text_or_empty(&mut self, at: Option<At<'_>>) -> String {
        self.text(at).unwrap_or_default()
    }

    /// A truth that is `false` where it is missing.
    pub(super) fn flag(&mut self, at: Option<At<'_>>) -> bool {
        let Some(at) = at else { return false };
        match at.node.scalar().map(plain_of) {
            Some((Plain::Value(Free::Bool(flag)), _)) => flag,
            _ => {
                self.expected(&at, "`true` or `false`", None);
                false
            }
        }
    }

    /// A finite number.
    pub(super) fn number(&mut self, at: Option<At<'_>>) -> Option<f64> {
        let at = at?;
        let number = match at.node.scalar().map(plain_of) {
            Some((Plain::Value(Free::Number(number)), _)) => number.as_f64(),
            _ => None,
        };
        if number.is_none() {
            self.expected(&at, "a number", Some("write it without quotes, unit or percent sign"));
        }
        number
    }

    /// A whole number, 0 where it is missing.
    pub(super) fn whole(&mut self, at: Option<At<'_>>) -> i64 {
        let Some(at) = at else { return 0 };
        let number = match at.node.scalar().map(plain_of) {
            Some((Plain::Value(Free::Number(number)), _)) => number.as_i64(),
            _ => None,
        };
        number.unwrap_or_else(|| {
            self.expected(&at, "a whole number", None);
            0
        })
    }

    /// One of a closed set of words.
    pub(super) fn word<W: Word>(&mut self, at: &At<'_>) -> Option<W> {
        let text = self.text(Some(at.clone()))?;
        if let Some(word) = W::parse(&text) {
            return Some(word);
        }
        let words = || W::ALL.iter().map(|word| word.label());
        let message = format!("`{}` cannot be `{}`", at.path, shortened(&text));
        let mut finding =
            Finding::error(at.node.place, message).help(format!("write one of {}", listed(words())));
        if let Some(hint) = self.hint(&text, words()) {
            finding = finding.label(hint);
        }
        self.complain(&at.path, Rule::OneOf, finding);
        None
    }

    /// A word where there is something.
    pub(super) fn maybe_word<W: Word>(&mut self, at: Option<At<'_>>) -> Option<W> {
        self.word(&at?)
    }

    pub(super) fn duration(&mut self, at: Option<At<'_>>) -> Option<DurationShorthand> {
        let at = at?;
        let text = self.text(Some(at.clone()))?;
        match text.parse() {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.no_duration(&at, error);
                None
            }
        }
    }

    fn no_duration(&mut self, at: &At<'_>, error: DurationShorthandError) {
        // The official validator finds units and numbers below zero a step further down.
        let (path, rule) = match error {
            DurationShorthandError::Unit => (at.path.key("unit"), Rule::OneOf),
            DurationShorthandError::Negative => (at.path.key("value"), Rule::GreaterThanOrEqualTo),
            DurationShorthandError::Shape | DurationShorthandError::TooLarge => {
                (at.path.clone(), Rule::DurationShorthand)
            }
        };
        let message = format!("expected a duration, found {}", at.node.kind());
        self.complain(&path, rule, Finding::error(at.node.place, message).help(error.to_string()));
    }

    /// A duration, or a number of minutes: the specification has both, its official library the first alone.
    pub(super) fn duration_or_minutes(&mut self, at: Option<At<'_>>) -> Option<DurationShorthand> {
        let at = at?;
        let minutes = match at.node.scalar().map(plain_of) {
            Some((Plain::Value(Free::Number(number)), _)) => {
                number.as_u64().and_then(|minutes| u32::try_from(minutes).ok())
            }
            _ => return self.duration(Some(at)),
        };
        let Some(minutes) = minutes else {
            self.no_duration(&at, DurationShorthandError::Shape);
            return None;
        };
        let message = format!("`{}` is a number without a unit, taken as minutes", at.path);
        let finding = Finding::warning(at.node.place, message)
            .help(format!("the specification has it, its official library refuses it: write `{minutes}m`"));
        self.complain(&at.path, Rule::DurationShorthand, finding);
        Some(DurationShorthand::new(minutes, DurationUnit::Minute))
    }

    /// A map of texts with free keys.
    pub(super) fn texts(&mut self, at: Option<At<'_>>) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.entries(at) {
            if let Some(text) = self.text(Some(value)) {
                texts.insert(key.to_owned(), text);
            }
        }
        texts
    }

    /// A map of texts or lists of them.
    pub(super) fn lists_of_texts(&mut self, at: Option<At<'_>>) -> BTreeMap<String, Vec<String>> {
        let mut lists = BTreeMap::new();
        for (key, value) in self.entries(at) {
            let texts = match &value.node.value {
                Value::List(_) => {
                    let items = self.list(Some(value), "texts");
                    items.into_iter().filter_map(|item| self.text(Some(item))).collect()
                }
                _ => self.text(Some(value)).into_iter().collect(),
            };
            lists.insert(key.to_owned(), texts);
        }
        lists
    }

    fn entries<'n>(&mut self, at: Option<At<'n>>) -> Vec<(&'n str, At<'n>)> {
        let Some(at) = at else { return Vec::new() };
        let Value::Map(entries) = &at.node.value else {
            self.expected(&at, "a map of texts", None);
            return Vec::new();
        };
        let values = entries.iter().map(|entry| {
            let value = At { node: &entry.node, path: at.path.key(&entry.key) };
            (entry.key.as_str(), value)
        });
        values.collect()
    }

    /// A map with free keys and values.
    pub(super) fn free_map(&mut self, at: Option<At<'_>>) -> serde_json::Map<String, Free> {
        let Some(at) = at else { return serde_json::Map::new() };
        match free(at.node) {
            Free::Object(map) => map,
            _ => {
                self.expected(&at, "a map", None);
                serde_json::Map::new()
            }
        }
    }
}

fn plain_of(scalar: &crate::tree::Scalar) -> (Plain, String) {
    (plain(scalar), scalar.text())
}

/// Whatever stands there. Numbers that JSON does not have stay the text that was typed.
pub(super) fn free(node: &Node) -> Free {
    match &node.value {
        Value::Broken => Free::Null,
        Value::Scalar(scalar) => match plain(scalar) {
            Plain::Value(value) => value,
            Plain::Text | Plain::NotJson => Free::String(scalar.text()),
        },
        Value::List(items) => items.iter().map(free).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), free(&entry.node))).collect(),
    }
}
