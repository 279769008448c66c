//! Templates: what may fill a hole, given where it stands.

use std::ops::Range;

use plimsoll_data::{CallError, Function, signatures};
use plimsoll_run::{Feed, Part, Secret, Template, Variable};

use crate::diagnostic::{Finding, Place, listed};
use crate::holes::{self, Piece};
use crate::read::Reader;
use crate::tree::Node;
use crate::variables::hint;

/// Names that stand for something in every iteration.
pub(crate) const BUILTINS: [(&str, Variable); 4] = [
    ("iteration", Variable::Iteration),
    ("user", Variable::User),
    ("user.id", Variable::User),
    ("run.id", Variable::RunId),
];

/// What a template may name where it stands.
#[derive(Debug, Default)]
pub(crate) struct Scope<'s> {
    /// Captured by steps before this one, with what they are.
    pub(crate) captures: Vec<(String, Variable)>,
    /// Captures of steps that come later, with the step: only to say so.
    pub(crate) later: Vec<(String, String)>,
    /// Feeds that iterations draw from; none for setup and teardown.
    pub(crate) feeds: &'s [Feed],
    /// Whether there is an iteration: setup and teardown have none.
    pub(crate) iterates: bool,
}

impl Scope<'_> {
    /// Every name with what it stands for.
    fn known(&self) -> Vec<(String, Variable)> {
        // A feed called `user` keeps its columns.
        let is_user_feed = self.feeds.iter().any(|feed| feed.name == "user");
        let builtins = BUILTINS.iter().filter(|(name, _)| match *name {
            "run.id" => true,
            "user.id" => self.iterates && !is_user_feed,
            _ => self.iterates,
        });
        let mut known: Vec<_> = builtins.map(|(name, variable)| ((*name).to_owned(), *variable)).collect();
        known.extend(self.captures.iter().cloned());
        for (feed, Feed { name, table, .. }) in self.feeds.iter().enumerate() {
            for (column, title) in table.columns().iter().enumerate() {
                let variable = Variable::Column { feed: feed as u16, column: column as u16 };
                known.push((format!("{name}.{title}"), variable));
                known.push((title.clone(), variable));
            }
        }
        known
    }

    fn find(&self, name: &str) -> Result<Variable, (String, Option<String>)> {
        let known = self.known();
        let found: Vec<_> = known.iter().filter(|(known, _)| known == name).collect();
        match found.as_slice() {
            [(_, variable)] => Ok(*variable),
            [] => Err(self.unknown(name, &known)),
            _ => {
                let full = known.iter().filter(|(known, _)| known.ends_with(&format!(".{name}")));
                let full = listed(full.map(|(name, _)| name.as_str()));
                Err((
                    format!("`{name}` could be more than one thing"),
                    Some(format!("for a column of a feed write {full}")),
                ))
            }
        }
    }

    fn unknown(&self, name: &str, known: &[(String, Variable)]) -> (String, Option<String>) {
        if let Some((_, step)) = self.later.iter().find(|(capture, _)| capture == name) {
            let help = "a capture can be used in the steps that follow it".to_owned();
            return (
                format!("`{name}` is captured by the step `{step}`, which has not been reached here"),
                Some(help),
            );
        }
        if let Some(function) = signatures().iter().find(|signature| signature.name == name) {
            return (
                format!("nothing here is called `{name}`"),
                Some(format!("it is a function: `{}`", function.form)),
            );
        }
        // A name that is more than one thing is of no use here.
        let is_one = |name: &str| known.iter().filter(|(known, _)| known == name).count() == 1;
        let usable: Vec<&str> =
            known.iter().map(|(name, _)| name.as_str()).filter(|name| is_one(name)).collect();
        let names = || usable.iter().copied();
        let hint = hint(name, names()).map(|hint| format!("; {hint}")).unwrap_or_default();
        (format!("nothing here is called `{name}`"), Some(format!("known here: {}{hint}", listed(names()))))
    }
}

/// Reads a template.
pub(crate) fn template(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<Template> {
    template_with(reader, node, scope, str::to_owned)
}

/// Reads a template whose fixed texts are rewritten, as what surrounds them asks for.
pub(crate) fn template_with(
    reader: &mut Reader<'_>,
    node: &Node,
    scope: &Scope<'_>,
    rewrite: impl Fn(&str) -> String,
) -> Option<Template> {
    let scalar = reader.scalar(node, "a text")?;
    let (text, secrets) = (scalar.text(), scalar.secret_ranges());
    let pieces = match holes::split(&text) {
        Ok(pieces) => pieces,
        Err(error) => {
            let place = reader.within(node, &error.range());
            let help = "write `{{ name }}`, or `{{ \"{{\" }}` for two braces";
            reader.report(Finding::error(place, error.to_string()).help(help));
            return None;
        }
    };
    let mut parts = Vec::new();
    let mut right = true;
    for piece in pieces {
        match piece {
            Piece::Text(range) => parts.extend(fixed(&text, range, &secrets, &rewrite)),
            Piece::Braces => parts.push(Part::Text(rewrite("{{"))),
            Piece::Hole(range, name) => match variable(&mut reader.functions, scope, &name) {
                Ok(variable) => parts.push(Part::Variable(variable)),
                Err((message, help)) => {
                    unknown(reader, reader.within(node, &range), message, help);
                    right = false;
                }
            },
        }
    }
    right.then_some(Template { parts: joined(parts) })
}

/// What fills a hole: something known by this name, or a function.
fn variable(
    functions: &mut Vec<Function>,
    scope: &Scope<'_>,
    name: &str,
) -> Result<Variable, (String, Option<String>)> {
    // A column may well be called `price(eur)`.
    if !Function::is_call(name) || scope.known().iter().any(|(known, _)| known == name) {
        return scope.find(name);
    }
    let function = Function::parse(name).map_err(|error| {
        let help = match &error {
            CallError::Unknown(name) => {
                let known = || signatures().iter().map(|signature| signature.name);
                let hint = hint(name, known()).map(|hint| format!("; {hint}")).unwrap_or_default();
                let forms = signatures().iter().map(|signature| signature.form);
                Some(format!("functions are {}{hint}", listed(forms)))
            }
            CallError::Count { form, .. } | CallError::Argument { form, .. } => signatures()
                .iter()
                .find(|signature| signature.form == *form)
                .map(|signature| format!("it makes {}", signature.about)),
            CallError::Form(_) => {
                Some("texts stand in single or double quotes: `{{ pick('red', 'green') }}`".to_owned())
            }
        };
        (error.to_string(), help)
    })?;
    let Ok(index) = u16::try_from(functions.len()) else {
        return Err((format!("there are more than {} functions", u16::MAX), None));
    };
    functions.push(function);
    Ok(Variable::Made(index))
}

fn unknown(reader: &mut Reader<'_>, place: Place, message: String, help: Option<String>) {
    let finding = Finding::error(place, message);
    reader.report(match help {
        Some(help) => finding.help(help),
        None => finding,
    });
}

/// A fixed text, its secret bytes apart.
fn fixed(
    text: &str,
    range: Range<usize>,
    secrets: &[Range<usize>],
    rewrite: impl Fn(&str) -> String,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = range.start;
    for secret in secrets {
        let (start, end) = (secret.start.clamp(at, range.end), secret.end.clamp(at, range.end));
        if start == end {
            continue;
        }
        if at < start {
            parts.push(Part::Text(rewrite(&text[at..start])));
        }
        parts.push(Part::Secret(Secret::new(rewrite(&text[start..end]))));
        at = end;
    }
    if at < range.end {
        parts.push(Part::Text(rewrite(&text[at..range.end])));
    }
    parts
}

/// Neighbouring texts as one.
pub(crate) fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    joined
}
