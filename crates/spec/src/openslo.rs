//! OpenSLO documents: YAML or JSON text to objects, and everything that is wrong with them, each with its place.
//!
//! A file holds one object, a list of them, or several YAML documents of either. All files given together are one set:
//! references are followed across them. Of v1 all is read; v1alpha is read and becomes v1, with a
//! warning wherever v1 has no equivalent; v2alpha is named and not read. JSON is read as the YAML that it is.
//!
//! Reading says what is no such word, number, duration or key; what the values mean is asked of
//! [`plimsoll_sla::openslo`]. Nothing is said twice: of what could not be read nobody says that it is missing. What stands in
//! connection details, or behind a key that announces a secret, is never shown.

mod read;
mod v1;
mod v1alpha;

use plimsoll_sla::Sla;
use plimsoll_sla::openslo::{self as model, Kind, Object, Path, Rule, Step, Violation, Weight, Word};

use crate::diagnostic::{Diagnostic, Finding, Place, Sources, listed};
use crate::openslo::read::{At, Reader};
use crate::tree::{self, Node, Value, shortened};
use crate::{MOST_SHOWN, Source};

/// The versions of OpenSLO that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `openslo/v1`
    V1,
    /// `openslo/v1alpha`
    V1alpha,
}

impl Word for Version {
    const ALL: &'static [Self] = &[Self::V1, Self::V1alpha];

    fn label(self) -> &'static str {
        match self {
            Self::V1 => "openslo/v1",
            Self::V1alpha => "openslo/v1alpha",
        }
    }
}

/// How the version is written that is known and not read.
const V2ALPHA: &str = "openslo.com/v2alpha";

/// What a set of files holds.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// What was found, file by file in the order of their text.
    pub found: Vec<Found>,
    /// What is wrong and what to know, likewise; at most the first 100 of each.
    pub issues: Vec<Issue>,
    /// How many errors there are beyond those.
    pub errors_left_out: usize,
    /// How many warnings there are beyond those.
    pub warnings_left_out: usize,
}

impl Documents {
    /// Whether nothing is wrong with any of them.
    pub fn is_right(&self) -> bool {
        self.errors_left_out == 0
            && !self.issues.iter().any(|issue| issue.diagnostic.weight == crate::Weight::Error)
    }

    /// The objects, those of v1alpha as v1 has them. Where something is wrong some may lack, and some be incomplete.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.found.iter().filter_map(|found| found.object.as_ref())
    }
}

/// An object as it was found in a file.
#[derive(Debug, Clone)]
pub struct Found {
    /// The position of its file.
    pub file: usize,
    /// The line it starts on, from 1.
    pub line: usize,
    /// What it says its version is, where that is one that is read.
    pub version: Option<Version>,
    /// What it says it is, where that is a kind.
    pub kind: Option<Kind>,
    /// Its name; empty where it has none.
    pub name: String,
    /// The object as v1 has it; `None` where version and kind do not say what it is.
    pub object: Option<Object>,
    /// How many errors there are in it.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
}

/// Something wrong with a document, or worth knowing.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// The position of its file.
    pub file: usize,
    /// The position of the object in [`Documents::found`]; `None` where the file is no documents.
    pub object: Option<usize>,
    /// Where in the object.
    pub path: Path,
    /// What was broken.
    pub rule: Rule,
    /// What is to be said, and the place in the file.
    pub diagnostic: Diagnostic,
}

/// Reads the documents of several files as one set.
pub fn read(sources: &[Source]) -> Documents {
    read_and(sources, |_| Vec::new()).0
}

/// Reads the documents of several files as one set, and what they promise: nothing where anything is wrong with them or
/// cannot be judged.
pub fn read_slas(sources: &[Source]) -> (Documents, Vec<Sla>) {
    let mut slas = Vec::new();
    let (documents, has_errors) = read_and(sources, |objects| {
        let (found, violations) = model::agreements(objects);
        slas = found;
        violations
    });
    if has_errors {
        slas.clear();
    }
    (documents, slas)
}

/// As [`read`]; what `judge` has to say of objects that are right is told too.
fn read_and(
    sources: &[Source],
    judge: impl FnOnce(&[Object]) -> Vec<(usize, Violation)>,
) -> (Documents, bool) {
    let mut reader = Reader::default();
    let mut pieces = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        let id = reader.sources.add(&source.name, &source.text);
        let (roots, problem) = tree::load_all(&source.text, id);
        if let Some(problem) = problem {
            // Without a tree nobody knows which texts are secret.
            crate::cover_likely_secrets(&mut reader.sources, id, &source.text);
            reader.syntax(file, problem);
        }
        for root in roots {
            match root.value {
                Value::List(items) => pieces.extend(items.into_iter().map(|item| (file, item))),
                _ => pieces.push((file, root)),
            }
        }
    }
    let mut lines = Lines::default();
    let mut found = Vec::with_capacity(pieces.len());
    for (position, (file, node)) in pieces.iter().enumerate() {
        let mut object = piece(&mut reader, position, *file, node);
        object.line = lines.line(sources, *file, node.place.start);
        found.push(object);
    }
    together(&mut reader, &found, &pieces, model::check_together);
    if !reader.complaints.iter().any(|complaint| complaint.finding.is_error()) {
        together(&mut reader, &found, &pieces, judge);
    }
    let has_errors = reader.complaints.iter().any(|complaint| complaint.finding.is_error());
    for complaint in &reader.complaints {
        let Some(object) = complaint.object.and_then(|object| found.get_mut(object)) else { continue };
        match complaint.finding.is_error() {
            true => object.errors += 1,
            false => object.warnings += 1,
        }
    }
    (finish(reader, found), has_errors)
}

/// Counts lines from one object to the next: files may hold very many.
#[derive(Debug, Default)]
struct Lines {
    file: usize,
    at: usize,
    newlines: usize,
}

impl Lines {
    /// The line of a byte of a file, from 1.
    fn line(&mut self, sources: &[Source], file: usize, byte: usize) -> usize {
        if file != self.file || byte < self.at {
            *self = Self { file, ..Self::default() };
        }
        let text = sources.get(file).map(|source| source.text.as_bytes()).unwrap_or_default();
        let passed = text.get(self.at..byte).unwrap_or_default();
        self.newlines += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = byte;
        1 + self.newlines
    }
}

/// One object, read and looked at by itself.
fn piece(reader: &mut Reader, position: usize, file: usize, node: &Node) -> Found {
    reader.begin(position, file);
    cover_secrets(&mut reader.sources, node, false);
    let mut found = Found {
        file,
        line: 1,
        version: None,
        kind: None,
        name: String::new(),
        object: None,
        errors: 0,
        warnings: 0,
    };
    let at = At::root(node);
    let Value::Map(_) = &node.value else {
        reader.expected(
            &at,
            "an object of OpenSLO",
            Some("an object is a map with `apiVersion`, `kind`, `metadata` and `spec`"),
        );
        return found;
    };
    if let Some(name) = node.get("metadata").and_then(|metadata| metadata.get("name")?.scalar()) {
        found.name = name.shown();
    }
    found.version = version(reader, &at);
    let version = found.version;
    found.kind = kind(reader, &at, version);
    let (Some(version), Some(kind)) = (version, found.kind) else { return found };
    let (object, violations) = match version {
        Version::V1 => {
            let object = v1::object(reader, &at, kind);
            let violations = model::validate(&object);
            (object, violations)
        }
        Version::V1alpha => v1alpha::object(reader, &at, kind),
    };
    found.object = Some(object);
    reader.violations(node, violations);
    found
}

fn version(reader: &mut Reader, at: &At<'_>) -> Option<Version> {
    let Some(node) = at.get("apiVersion") else {
        reader.missing(at, "apiVersion", &format!("write `apiVersion: {}`", Version::V1.label()));
        return None;
    };
    if node.node.scalar().is_some_and(|scalar| scalar.text() == V2ALPHA) {
        let message = format!("`apiVersion` is `{V2ALPHA}`, which is not supported");
        let finding =
            Finding::error(node.node.place, message).help(format!("write it as {}", Version::V1.label()));
        reader.complain(&node.path, Rule::UnsupportedVersion, finding);
        return None;
    }
    reader.word(&node)
}

fn kind(reader: &mut Reader, at: &At<'_>, version: Option<Version>) -> Option<Kind> {
    let Some(node) = at.get("kind") else {
        let kinds = listed(Kind::ALL.iter().map(|kind| kind.label()));
        reader.missing(at, "kind", &format!("the kinds are {kinds}"));
        return None;
    };
    let kind = reader.word(&node)?;
    if version == Some(Version::V1alpha) && !matches!(kind, Kind::Slo | Kind::Service) {
        let message = format!("`kind` is `{}`, which v1alpha does not have", kind.label());
        let finding = Finding::error(node.node.place, message);
        reader.complain(
            &node.path,
            Rule::OneOf,
            finding.help("the kinds of v1alpha are `SLO` and `Service`"),
        );
        return None;
    }
    Some(kind)
}

/// What objects are wrong with together.
fn together(
    reader: &mut Reader,
    found: &[Found],
    pieces: &[(usize, Node)],
    look: impl FnOnce(&[Object]) -> Vec<(usize, Violation)>,
) {
    let (positions, objects): (Vec<usize>, Vec<Object>) = found
        .iter()
        .enumerate()
        .filter_map(|(position, found)| Some((position, found.object.clone()?)))
        .unzip();
    for (object, violation) in look(&objects) {
        let Some(position) = positions.get(object).copied() else { continue };
        let Some((file, node)) = pieces.get(position) else { continue };
        reader.begin(position, *file);
        reader.violations(node, vec![violation]);
    }
}

fn finish(reader: Reader, found: Vec<Found>) -> Documents {
    let Reader { sources, mut complaints, .. } = reader;
    complaints.sort_by_key(|complaint| complaint.finding.order());
    let mut documents = Documents { found, ..Documents::default() };
    let (mut errors, mut warnings) = (0, 0);
    for complaint in complaints {
        let (said, left_out) = match complaint.finding.is_error() {
            true => (&mut errors, &mut documents.errors_left_out),
            false => (&mut warnings, &mut documents.warnings_left_out),
        };
        if *said == MOST_SHOWN {
            *left_out += 1;
            continue;
        }
        *said += 1;
        documents.issues.push(Issue {
            file: complaint.file,
            object: complaint.object,
            path: complaint.path,
            rule: complaint.rule,
            diagnostic: sources.finish(complaint.finding),
        });
    }
    documents
}

/// Covers what stands in connection details and behind keys that announce a secret.
fn cover_secrets(sources: &mut Sources, node: &Node, is_secret: bool) {
    match &node.value {
        Value::Broken => {}
        Value::Scalar(_) if is_secret => sources.cover(node.place),
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| cover_secrets(sources, item, is_secret)),
        Value::Map(entries) => {
            for entry in entries {
                let is_secret = is_secret || entry.key == "connectionDetails" || announces_secret(&entry.key);
                cover_secrets(sources, &entry.node, is_secret);
            }
        }
    }
}

/// Whether a key is like `apiKey`, `secretAccessKey` or `password`.
fn announces_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '_'], "");
    ["apikey", "appkey", "accesskey", "secret", "password", "token", "credential", "authorization"]
        .iter()
        .any(|word| key.contains(word))
}

/// Where a value starts that may go over several lines: its first key or item.
fn start(node: &Node) -> Place {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.place, |entry| entry.key_place),
        Value::List(items) => items.first().map_or(node.place, start),
        _ => node.place,
    }
}

/// Where a path leads in a document; what is missing is where it would be: with the deepest key on the way that is there.
fn locate(root: &Node, path: &Path) -> Place {
    let (mut node, mut place) = (root, start(root));
    for step in path.steps() {
        let next = match (step, &node.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| {
                    let place = match &entry.node.value {
                        Value::Scalar(scalar) if !scalar.is_nothing() => entry.node.place,
                        _ => entry.key_place,
                    };
                    (&entry.node, place)
                })
            }
            (Step::Index(index), Value::List(items)) => items.get(*index).map(|item| (item, start(item))),
            _ => None,
        };
        match next {
            Some(found) => (node, place) = found,
            None => break,
        }
    }
    place
}

/// How a violation is said.
fn finding(place: Place, violation: &Violation) -> Finding {
    let message = format!("`{}` {}", shortened(&violation.path.to_string()), violation.message);
    let finding = match violation.weight {
        Weight::Error => Finding::error(place, message),
        Weight::Warning => Finding::warning(place, message),
    };
    match &violation.help {
        None => finding,
        Some(help) => finding.help(help.as_str()),
    }
}
