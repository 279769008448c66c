//! Requests of steps with holes, filled with what an iteration knows.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::SystemTime;

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use plimsoll_data::{Row, Turn};
use plimsoll_run::{BodyKind, Part, Template, Variable};

use crate::compile::{CompiledUrl, Step, resolve};
use crate::message::Message;
use crate::worker::Worker;

/// What an iteration knows.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) captures: Vec<Option<String>>,
    /// Rows drawn for this iteration, by feed.
    pub(crate) rows: Vec<(u16, Row)>,
    pub(crate) iteration: u64,
    pub(crate) user: u64,
    /// How often something was repeated before: what is drawn differs from pass to pass.
    pub(crate) pass: u64,
    /// How often the user has filled the hole of each function.
    pub(crate) made: RefCell<Vec<u32>>,
}

impl Values {
    /// What a user knows before its first iteration.
    pub(crate) fn of(user: u64) -> Self {
        Self { captures: Vec::new(), rows: Vec::new(), iteration: 0, user, pass: 0, made: RefCell::default() }
    }

    /// Counts what was made by somebody who knew the same, at the same time.
    pub(crate) fn has_made(&self, other: &Self) {
        let (mut made, more) = (self.made.borrow_mut(), other.made.borrow());
        if made.len() < more.len() {
            made.resize(more.len(), 0);
        }
        made.iter_mut().zip(more.iter()).for_each(|(made, more)| *made = (*made).max(*more));
    }

    /// The turn of a function's hole; the next one is another.
    fn turn(&self, hole: u16) -> Turn {
        let mut made = self.made.borrow_mut();
        let place = usize::from(hole);
        if made.len() <= place {
            made.resize(place + 1, 0);
        }
        let count = made[place];
        made[place] = count.wrapping_add(1);
        Turn { user: self.user, hole, count }
    }
}

/// Why a step's request cannot be made. It is a step not reached, and not counted as a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsendable {
    /// A hole has no value: an earlier step did not capture it.
    #[error("not sent: an earlier step did not capture what it needs")]
    Unknown,
    /// The values are there, and what they make cannot be sent. In words without the values.
    #[error("not sent: with the values filled in {0}")]
    Filled(String),
}

impl Worker {
    /// The text of a template.
    pub(crate) fn filled(&self, template: &Template, values: &Values) -> Result<String, Variable> {
        fill(template, |variable, take| self.value(variable, values, take), |value, out| out.push_str(value))
    }

    /// The request of a step that has holes, filled now.
    pub(crate) fn message(&self, step: &Step, values: &Values) -> Result<Rc<Message>, Unsendable> {
        let unknown = |_| Unsendable::Unknown;
        let value = |variable, take: &mut dyn FnMut(&str)| self.value(variable, values, take);
        let (origin, uri) = match &step.url {
            CompiledUrl::Fixed(origin, uri) => (Rc::clone(origin), uri.clone()),
            CompiledUrl::Filled(template, query) => {
                let text = fill_url(template, query.as_ref(), value).map_err(unknown)?;
                resolve(&self.target, &text)
                    .map_err(|_| Unsendable::Filled("its URL is no URL".to_owned()))?
            }
        };
        let mut headers = HeaderMap::clone(&step.headers.fixed);
        for (name, template) in &step.headers.filled {
            let text = fill(template, value, |value, out| out.push_str(value)).map_err(unknown)?;
            let text = HeaderValue::from_str(&text).map_err(|_| {
                Unsendable::Filled(format!("its header `{name}` holds a line feed or control character"))
            })?;
            headers.append(name, text);
        }
        if !headers.contains_key(HOST) {
            let host = origin.host_header();
            let host = host.ok_or_else(|| Unsendable::Filled("its host cannot be named".to_owned()))?;
            headers.insert(HOST, host);
        }
        let body = step.body.bytes(value, &mut headers).map_err(unknown)?;
        Ok(Message::new(origin, step.method.clone(), uri, headers, body))
    }

    /// Gives the value of a variable to `take`; false where it has none.
    pub(crate) fn value(&self, variable: Variable, values: &Values, take: &mut dyn FnMut(&str)) -> bool {
        let text = match variable {
            Variable::Capture(slot) => values.captures.get(usize::from(slot)).and_then(Option::as_deref),
            Variable::Setup(slot) => self.setup.get(usize::from(slot)).and_then(Option::as_deref),
            Variable::Column { feed, column } => {
                let row = values.rows.iter().find(|(known, _)| *known == feed);
                row.and_then(|(_, row)| row.get(usize::from(column)))
            }
            Variable::RunId => Some(self.run_id.as_str()),
            Variable::Made(_) | Variable::Iteration | Variable::User => {
                let mut scratch = self.scratch.borrow_mut();
                scratch.clear();
                // Writing to a text cannot fail.
                let _ = match variable {
                    Variable::Iteration => write!(scratch, "{}", values.iteration),
                    Variable::Made(hole) => {
                        let Some(function) = self.functions.get(usize::from(hole)) else { return false };
                        self.maker.make(function, values.turn(hole), SystemTime::now, &mut scratch);
                        Ok(())
                    }
                    _ => write!(scratch, "{}", values.user),
                };
                take(&scratch);
                return true;
            }
        };
        text.map(take).is_some()
    }
}

/// Fills a template; `value` gives the text of a variable to what it is handed, or is false where there is none;
/// `escape` treats what comes from variables.
pub(crate) fn fill(
    template: &Template,
    value: impl Fn(Variable, &mut dyn FnMut(&str)) -> bool,
    escape: impl Fn(&str, &mut String),
) -> Result<String, Variable> {
    let mut out = String::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Secret(secret) => out.push_str(secret.expose()),
            Part::Variable(variable) => {
                if !value(*variable, &mut |value| escape(value, &mut out)) {
                    return Err(*variable);
                }
            }
        }
    }
    Ok(out)
}

/// Characters that cannot stand in a URL as they are. Separators stay: a captured link is a whole path.
pub(crate) const NOT_IN_URL: percent_encoding::AsciiSet = percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What would end a path too early.
pub(crate) const NOT_IN_PATH: percent_encoding::AsciiSet = NOT_IN_URL.add(b'?').add(b'#').add(b'%');

/// What would end a value of a query too early, or mean a space.
pub(crate) const NOT_IN_QUERY: percent_encoding::AsciiSet =
    NOT_IN_PATH.add(b'&').add(b'=').add(b'+').add(b'/');

/// Fills a URL. A hole at its very start stands for a whole link and keeps its separators; one in the
/// path or the query is a value and cannot become anything else. What is added to the query comes behind
/// that of the URL.
pub(crate) fn fill_url(
    template: &Template,
    query: Option<&Template>,
    value: impl Fn(Variable, &mut dyn FnMut(&str)) -> bool,
) -> Result<String, Variable> {
    let mut url = fill(template, &value, |value, out| {
        let unsafe_here = match (out.is_empty(), out.contains('?')) {
            (true, _) => &NOT_IN_URL,
            (false, false) => &NOT_IN_PATH,
            (false, true) => &NOT_IN_QUERY,
        };
        out.extend(percent_encoding::utf8_percent_encode(value, unsafe_here));
    })?;
    if let Some(query) = query {
        // A link that was captured may have a fragment, which is never sent.
        url.truncate(url.find('#').unwrap_or(url.len()));
        url.push_str(match url.contains('?') {
            false => "?",
            true if url.ends_with(['?', '&']) => "",
            true => "&",
        });
        let encode = |value: &str, out: &mut String| {
            out.extend(percent_encoding::utf8_percent_encode(value, &NOT_IN_QUERY));
        };
        url.push_str(&fill(query, value, encode)?);
    }
    Ok(url)
}

pub(crate) fn escape_body(kind: BodyKind, value: &str, out: &mut String) {
    match kind {
        BodyKind::Text => out.push_str(value),
        BodyKind::Json if value.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7F)) => {
            out.push_str(value);
        }
        BodyKind::Json => {
            // Serializing a text cannot fail; the quotes stand in the template.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            out.push_str(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default());
        }
        BodyKind::Form => out.extend(url::form_urlencoded::byte_serialize(value.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_for_where_they_go() {
        let escaped = |kind| {
            let mut out = String::new();
            escape_body(kind, "\"a\" & b\n", &mut out);
            out
        };
        assert_eq!(escaped(BodyKind::Text), "\"a\" & b\n");
        assert_eq!(escaped(BodyKind::Json), "\\\"a\\\" & b\\n");
        assert_eq!(escaped(BodyKind::Form), "%22a%22+%26+b%0A");
    }

    #[test]
    fn a_query_comes_behind_that_of_the_url() {
        let hole = || Part::Variable(Variable::Iteration);
        let query = Template { parts: vec![Part::Text("q=".into()), hole(), Part::Text("&n=1".into())] };
        let filled = |url: Template| {
            let take = |_, take: &mut dyn FnMut(&str)| {
                take("/a?b=c&d#e");
                true
            };
            fill_url(&url, Some(&query), take).unwrap()
        };
        let added = "q=%2Fa%3Fb%3Dc%26d%23e&n=1";
        for (url, expected) in [("/x", "/x?"), ("/x?", "/x?"), ("/x?a=b", "/x?a=b&"), ("/x?a=b&", "/x?a=b&")]
        {
            assert_eq!(filled(Template::text(url)), format!("{expected}{added}"), "{url}");
        }
        assert_eq!(filled(Template { parts: vec![hole()] }), format!("/a?b=c&d&{added}"), "a captured link");
    }

    #[test]
    fn a_value_in_a_url_stays_one_value() {
        let hole = || Part::Variable(Variable::Iteration);
        let filled = |before: &str, value: &str| {
            let template = Template { parts: vec![Part::Text(before.to_owned()), hole()] };
            let take = |_, take: &mut dyn FnMut(&str)| {
                take(value);
                true
            };
            fill_url(&template, None, take).unwrap()
        };
        assert_eq!(
            filled("", "/next page?x=ü&y=1"),
            "/next%20page?x=%C3%BC&y=1",
            "a captured link is a whole link"
        );
        assert_eq!(filled("/files/", "a/b?c#d"), "/files/a/b%3Fc%23d");
        assert_eq!(filled("/search?q=", "salt & pepper=50%"), "/search?q=salt%20%26%20pepper%3D50%25");
    }
}
