//! `${NAME}` and `${NAME:-default}` in values, and which texts are secret.
//!
//! Values are substituted before anything is read from them, so that what they stand for is checked
//! like what is typed. `$${` is a `${` that stands for itself. Keys are never substituted.

use std::ops::Range;

use crate::diagnostic::{Finding, Place, closest};
use crate::holes;
use crate::read::Reader;
use crate::tree::{Node, Scalar, Segment, Value};

/// Puts what variables stand for into every value below `node`.
pub(crate) fn substitute(reader: &mut Reader<'_>, node: &mut Node) {
    match &mut node.value {
        Value::Scalar(scalar) => match segments(reader, node.place, &scalar.text()) {
            Some(segments) => scalar.segments = segments,
            None => node.value = Value::Broken,
        },
        Value::List(items) => items.iter_mut().for_each(|item| substitute(reader, item)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| substitute(reader, &mut entry.node)),
        Value::Broken => {}
    }
}

/// `None` when something was reported.
fn segments(reader: &mut Reader<'_>, place: Place, text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        literal.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            let finding = Finding::error(place, "`${` is not closed");
            reader.report(finding.help("write `${NAME}`, or `$${` for the characters themselves"));
            return None;
        };
        let reference = reference(reader, place, &rest[start + 2..start + end])?;
        segments.push(Segment::Literal(std::mem::take(&mut literal)));
        segments.push(reference);
        rest = &rest[start + end + 1..];
    }
    literal.push_str(rest);
    segments.push(Segment::Literal(literal));
    segments.retain(|segment| !segment.text().is_empty() || segment.is_secret());
    Some(segments)
}

fn reference(reader: &mut Reader<'_>, place: Place, inside: &str) -> Option<Segment> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let (name, secret) = match name.strip_prefix("secret:") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        // What stands there may be anything, a secret too: it is not repeated.
        let finding = Finding::error(place, "`${` is not followed by the name of a variable");
        reader.report(finding.help(
            "write `${NAME}`, `${NAME:-default}` or `${secret:NAME}`, or `$${` for the characters themselves",
        ));
        return None;
    }
    // As in a shell, an empty variable takes the default too.
    let value = (reader.inputs.env)(name).filter(|value| default.is_none() || !value.is_empty());
    let Some(value) = value.or_else(|| default.map(str::to_owned)) else {
        let finding = Finding::error(place, format!("the environment variable `{name}` is not set"));
        reader.report(finding.help(format!("set it, or give a default: `${{{name}:-default}}`")));
        return None;
    };
    let written = if secret { format!("${{secret:{name}}}") } else { format!("${{{name}}}") };
    Some(Segment::Reference { written, value, secret })
}

/// Where a value stands, as far as it decides on what is secret.
#[derive(Clone, Copy, PartialEq)]
enum Around {
    /// Keys are words of the plan, of a body or of a form.
    Anything,
    /// Keys are names of headers.
    Headers,
    /// Everything here is a credential.
    Credentials,
    /// Keys are names that the plan gives to something.
    Names,
    /// Keys are words of `notify`, where whoever knows a URL may write to it.
    Receivers,
}

/// Marks what must never be shown: tokens, passwords, credentials, headers that carry them, and what
/// stands before the `@` of a URL.
pub(crate) fn hide_secrets(reader: &mut Reader<'_>, node: &mut Node) {
    hide(reader, node, Around::Anything, false);
    // Only there: a body may have such a key too.
    if let Value::Map(entries) = &mut node.value {
        for entry in entries.iter_mut().filter(|entry| entry.key == "notify") {
            hide(reader, &mut entry.node, Around::Receivers, false);
        }
    }
}

fn hide(reader: &mut Reader<'_>, node: &mut Node, around: Around, secret: bool) {
    let place = node.place;
    match &mut node.value {
        Value::Scalar(scalar) => {
            if secret {
                hide_text(scalar);
            } else if let Some(userinfo) = userinfo(&scalar.text()) {
                scalar.hide(userinfo);
            }
            cover(reader, place, scalar);
        }
        Value::List(items) => items.iter_mut().for_each(|item| hide(reader, item, around, secret)),
        Value::Map(entries) => {
            for entry in entries {
                let key = entry.key.to_ascii_lowercase();
                let secret = match around {
                    Around::Anything => matches!(
                        key.as_str(),
                        "token"
                            | "password"
                            | "api_key"
                            | "access_key_id"
                            | "secret_access_key"
                            | "session_token"
                    ),
                    Around::Headers => is_secret_header(&key),
                    // Where and what for is no secret.
                    Around::Credentials => !matches!(
                        key.as_str(),
                        "token_url" | "scope" | "audience" | "region" | "service" | "credentials"
                    ),
                    Around::Names => false,
                    Around::Receivers => {
                        matches!(key.as_str(), "url" | "routing_key" | "secret" | "password")
                    }
                };
                let inner = match (around, key.as_str()) {
                    (Around::Anything | Around::Receivers, "headers") => Around::Headers,
                    (Around::Anything, "auth") => Around::Credentials,
                    (Around::Anything, "capture" | "data" | "resources") => Around::Names,
                    (Around::Credentials, _) => Around::Credentials,
                    (Around::Receivers, _) => Around::Receivers,
                    _ => Around::Anything,
                };
                hide(reader, &mut entry.node, inner, secret);
            }
        }
        Value::Broken => {}
    }
}

/// Headers that carry credentials, and headers whose names say so.
pub(crate) fn is_secret_header(name: &str) -> bool {
    const CARRIERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
    const TELLING: [&str; 5] = ["token", "secret", "password", "api-key", "apikey"];
    CARRIERS.contains(&name) || TELLING.iter().any(|word| name.contains(word))
}

/// Hides all but the holes: what fills them is not in the plan.
fn hide_text(scalar: &mut Scalar) {
    let text = scalar.text();
    let Ok(pieces) = holes::split(&text) else {
        return scalar.hide(0..text.len());
    };
    for piece in pieces {
        if let holes::Piece::Text(range) = piece {
            scalar.hide(range);
        }
    }
}

/// `user:password` of `http://user:password@host/`.
fn userinfo(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |length| start + length);
    let at = text[start..end].rfind('@')?;
    Some(start..start + at)
}

impl Scalar {
    /// Makes these bytes of the text secret.
    fn hide(&mut self, range: Range<usize>) {
        let mut at = 0;
        let mut segments = Vec::new();
        for segment in std::mem::take(&mut self.segments) {
            let end = at + segment.text().len();
            let (from, to) = (range.start.clamp(at, end) - at, range.end.clamp(at, end) - at);
            at = end;
            if from == to {
                segments.push(segment);
                continue;
            }
            match segment {
                Segment::Literal(text) => {
                    let outside = |range: Range<usize>| Segment::Literal(text[range].to_owned());
                    segments.push(outside(0..from));
                    segments.push(Segment::Hidden(text[from..to].to_owned()));
                    segments.push(outside(to..text.len()));
                }
                Segment::Reference { written, value, .. } => {
                    segments.push(Segment::Reference { written, value, secret: true });
                }
                hidden @ Segment::Hidden(_) => segments.push(hidden),
            }
        }
        segments.retain(|segment| !segment.text().is_empty());
        self.segments = segments;
    }
}

/// Keeps the secrets of a value out of every message.
fn cover(reader: &mut Reader<'_>, place: Place, scalar: &Scalar) {
    for segment in scalar.segments.iter().filter(|segment| segment.is_secret()) {
        let secret = segment.text();
        reader.sources.keep_secret(secret);
        let source = reader.sources.slice(place);
        let found: Vec<usize> = source.match_indices(secret).map(|(at, _)| at).collect();
        match segment {
            // Typed with escapes or over several lines: then the whole value is covered.
            Segment::Hidden(_) if found.is_empty() => reader.sources.cover(place),
            _ => {}
        }
        for at in found {
            let start = place.start + at;
            reader.sources.cover(Place { start, end: start + secret.len(), ..place });
        }
    }
}

/// The key that was probably meant, as the end of a message.
pub(crate) fn hint<'w>(found: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    closest(found, words).map(|word| format!("did you mean `{word}`?"))
}
