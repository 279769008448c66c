//! What is wrong with a text, where, and what is allowed instead.
//!
//! While a plan is read, a [`Finding`] points into its sources by byte. At the end every finding
//! becomes a [`Diagnostic`] that stands for itself. On that way whatever is secret is covered: in
//! the excerpt of the source and in the words.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use plimsoll_sla::openslo::Rule;

/// Whether a diagnostic stops a plan from being run, or a document from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It cannot, as it stands.
    Error,
    /// The document can be used; whoever signs it should know this.
    Warning,
    /// The plan can be run; somebody who reads its results should know this.
    Advice,
}

/// Something to say about a text: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Whether it stops the plan.
    pub weight: Weight,
    /// The name of the rule that was broken, where rules have names.
    pub rule: Option<&'static str>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What is to be said at the place itself, where there is more to say.
    pub label: Option<String>,
    /// What is allowed, or how to put it right.
    pub help: Option<String>,
    /// The place; `None` where the whole is meant.
    pub excerpt: Option<Excerpt>,
}

/// A place in a text, with the line around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// The file's name for messages, or the command line's words.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself, or of a long one the part around the place; secrets covered.
    pub text: String,
    /// The bytes of `text` that are meant.
    pub range: Range<usize>,
}

impl Diagnostic {
    /// Renders it with its excerpt, in colour for terminals or as plain text.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.weight {
            Weight::Error => Level::ERROR,
            Weight::Warning => Level::WARNING,
            Weight::Advice => Level::WARNING.with_name("advice"),
        };
        let title = level.primary_title(&*self.message);
        let title = match self.rule {
            None => title,
            Some(rule) => title.id(rule),
        };
        let mut group = match &self.excerpt {
            None => Group::with_title(title),
            Some(excerpt) => {
                let mark = AnnotationKind::Primary.span(excerpt.range.clone());
                let mark = match &self.label {
                    None => mark,
                    Some(label) => mark.label(&**label),
                };
                let snippet = Snippet::source(&*excerpt.text).line_start(excerpt.line).annotation(mark);
                if excerpt.is_cropped() {
                    // The renderer would count columns from where the excerpt starts.
                    let origin = Origin::path(&*excerpt.file);
                    title.element(origin.line(excerpt.line).char_column(excerpt.column)).element(snippet)
                } else {
                    title.element(snippet.path(&*excerpt.file))
                }
            }
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(&**help));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl Excerpt {
    fn is_cropped(&self) -> bool {
        self.column != 1 + self.text[..self.range.start].chars().count()
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `plan.yaml:4:3: unknown key ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Excerpt { file, line, column, .. }) = &self.excerpt {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Bytes of one of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A diagnostic in the making.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    weight: Weight,
    rule: Option<Rule>,
    message: String,
    label: Option<String>,
    help: Option<String>,
    place: Option<Place>,
}

impl Finding {
    pub(crate) fn error(place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self { weight: Weight::Error, rule: None, message, label: None, help: None, place }
    }

    pub(crate) fn advice(place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self { weight: Weight::Advice, ..Self::error(place, message) }
    }

    pub(crate) fn warning(place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(place, message) }
    }

    /// The same where it stands.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    pub(crate) fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn is_error(&self) -> bool {
        self.weight == Weight::Error
    }

    /// Where it stands, to show findings in the order of the text.
    pub(crate) fn order(&self) -> (usize, usize) {
        self.place.map_or((0, 0), |place| (place.source, place.start))
    }
}

/// The texts a plan is made of: the file, and each override of the command line.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    texts: Vec<SourceText>,
    /// Bytes never shown.
    covered: Vec<Place>,
    /// Words never shown.
    secrets: Vec<String>,
}

#[derive(Debug)]
struct SourceText {
    name: String,
    text: Arc<str>,
}

/// How many bytes of a long line are shown on each side of what is meant.
const MOST_AROUND: usize = 1000;

/// Shorter secrets are covered where they stand, but not hunted for in the words of messages: there
/// they would cover parts of unrelated words.
const SHORTEST_HUNTED: usize = 3;

impl Sources {
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        self.texts.push(SourceText { name: name.to_owned(), text: text.into() });
        self.texts.len() - 1
    }

    /// What stands at a place.
    pub(crate) fn slice(&self, place: Place) -> &str {
        self.texts[place.source].text.get(place.start..place.end).unwrap_or_default()
    }

    /// Never shows these bytes.
    pub(crate) fn cover(&mut self, place: Place) {
        self.covered.push(place);
    }

    /// Never shows this text in words.
    pub(crate) fn keep_secret(&mut self, secret: &str) {
        if secret.len() >= SHORTEST_HUNTED && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
            // A long secret goes before a shorter one that it contains.
            self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, place: Place) -> usize {
        let text = &self.texts[place.source].text;
        1 + text[..floor(text, place.start)].matches('\n').count()
    }

    pub(crate) fn finish(&self, finding: Finding) -> Diagnostic {
        Diagnostic {
            weight: finding.weight,
            rule: finding.rule.map(Rule::name),
            message: self.scrub(finding.message),
            label: finding.label.map(|label| self.scrub(label)),
            help: finding.help.map(|help| self.scrub(help)),
            excerpt: finding.place.map(|place| self.excerpt(place)),
        }
    }

    fn scrub(&self, words: String) -> String {
        self.secrets.iter().fold(words, |words, secret| words.replace(secret.as_str(), "***"))
    }

    /// The line in which a place starts; what is meant ends at the line's end at the latest.
    fn excerpt(&self, place: Place) -> Excerpt {
        let SourceText { name, text } = &self.texts[place.source];
        let start = floor(text, place.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
        let start = start.min(line_end);
        let end = floor(text, place.end).clamp(start, line_end).min(floor(text, start + MOST_AROUND));
        let from = floor(text, start.saturating_sub(MOST_AROUND)).max(line_start);
        let to = floor(text, end + MOST_AROUND).min(line_end);
        let (line, range) = self.uncover(place.source, from..to, start..end);
        Excerpt {
            file: name.clone(),
            line: self.line(place),
            column: 1 + text[line_start..start].chars().count(),
            text: line,
            range,
        }
    }

    /// The bytes `shown` of a source with its secrets covered, and where `meant` is among them. Every
    /// covered character becomes one star, so that columns stay where they are.
    fn uncover(&self, source: usize, shown: Range<usize>, meant: Range<usize>) -> (String, Range<usize>) {
        let overlaps =
            |cover: &&Place| cover.source == source && cover.start < shown.end && shown.start < cover.end;
        let covers: Vec<_> = self.covered.iter().filter(overlaps).collect();
        let hidden = |at: usize| covers.iter().any(|cover| (cover.start..cover.end).contains(&at));
        let mut line = String::new();
        let mut range = 0..0;
        for (offset, c) in self.texts[source].text[shown.clone()].char_indices() {
            let at = shown.start + offset;
            if at == meant.start {
                range.start = line.len();
            }
            line.push(if hidden(at) { '*' } else { c });
            if at < meant.end {
                range.end = line.len();
            }
        }
        if meant.start == shown.end {
            range.start = line.len();
        }
        range.end = range.end.max(range.start);
        let line = self.scrub_line(line, &mut range);
        (line, range)
    }

    /// Secrets that came from elsewhere can stand in a line too, by chance or in a comment.
    fn scrub_line(&self, line: String, range: &mut Range<usize>) -> String {
        let scrubbed = self.secrets.iter().fold(line, |line, secret| {
            let stars = "*".repeat(secret.len());
            line.replace(secret.as_str(), &stars)
        });
        *range = floor(&scrubbed, range.start)..floor(&scrubbed, range.end);
        scrubbed
    }
}

/// The last character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The word that was probably meant: one or two slips away, or the same letters in another case.
pub(crate) fn closest<'w>(found: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let found = found.to_lowercase();
    let slips = words.into_iter().map(|word| (distance(&found, &word.to_lowercase()), word));
    let (slips, word) = slips.min_by_key(|(slips, _)| *slips)?;
    let forgiven = if found.chars().count() <= 3 { 1 } else { 2 };
    (slips <= forgiven && slips < word.len()).then_some(word)
}

/// Optimal string alignment distance: insertions, deletions, replacements, neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    // Long strangers are no slips, and need no quadratic work.
    const LONGEST: usize = 40;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return LONGEST;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// `a`, `b` and `c`, in back quotes.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [word] => word.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_seen_through() {
        for (found, meant) in [
            ("warmpu", Some("warmup")),
            ("Warmup", Some("warmup")),
            ("stage", Some("stages")),
            ("grase", Some("grace")),
            ("banana", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(found, ["warmup", "stages", "grace"]), meant, "{found}");
        }
    }

    #[test]
    fn what_is_covered_keeps_its_columns() {
        let mut sources = Sources::default();
        let text = "a: 1\nurl: ü, token: sécret, x: y\n";
        let source = sources.add("plan.yaml", text);
        let at = |word: &str| {
            let start = text.find(word).unwrap();
            Place { source, start, end: start + word.len() }
        };
        sources.cover(at("sécret"));
        sources.keep_secret("sécret");
        let diagnostic = sources.finish(Finding::error(at("x: y"), "no `sécret` here"));
        let excerpt = diagnostic.excerpt.clone().unwrap();
        assert_eq!((excerpt.line, excerpt.column), (2, 24));
        assert_eq!(excerpt.text, "url: ü, token: ******, x: y");
        assert_eq!(&excerpt.text[excerpt.range], "x: y");
        assert_eq!(diagnostic.message, "no `***` here");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let mut sources = Sources::default();
        let text = format!("{}here{}", "ü".repeat(5000), "x".repeat(5000));
        let source = sources.add("plan.yaml", &text);
        let diagnostic = sources.finish(Finding::error(Place { source, start: 10_000, end: 10_004 }, "this"));
        let excerpt = diagnostic.excerpt.clone().unwrap();
        assert_eq!((excerpt.line, excerpt.column), (1, 5001));
        assert_eq!(&excerpt.text[excerpt.range], "here");
        assert!(excerpt.text.len() < 3 * MOST_AROUND);
        assert!(diagnostic.render(false).contains("plan.yaml:1:5001"), "{}", diagnostic.render(false));
    }

    #[test]
    fn a_place_at_the_end_or_beyond_is_shown() {
        let mut sources = Sources::default();
        let source = sources.add("plan.yaml", "a: ü");
        for (start, end) in [(0, 99), (4, 4), (5, 5), (99, 100), (3, 3)] {
            let finding = Finding::error(Place { source, start, end }, "here");
            assert!(sources.finish(finding).render(false).contains("plan.yaml:1:"));
        }
    }
}
