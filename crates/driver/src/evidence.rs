//! What a person may see of an exchange: bounded, and without what must not be shown.
//!
//! Everything here happens for the few requests that are kept whole, or to a plan that is tried out; none
//! of it is on the way of other requests.

use std::cell::RefCell;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use plimsoll_measure::{Exchange, Sample};
use plimsoll_run::{Observed, Part, Template};

use crate::Failure;
use crate::compile::Step;
use crate::connection::Answer;
use crate::fill::{NOT_IN_PATH, NOT_IN_QUERY, NOT_IN_URL, Values};
use crate::message::Message;

/// Stands where something is hidden.
const HIDDEN: &str = "***";

/// Captured values that are shorter stand in too many places by chance: hiding them would hide everything
/// and protect nothing.
const SHORTEST: usize = 4;

/// Names of captures that are secrets themselves.
const SECRETIVE: [&str; 9] =
    ["token", "password", "passwd", "secret", "session", "csrf", "auth", "key", "cookie"];

/// Texts that must not be shown.
#[derive(Debug, Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    /// What is secret in a step.
    pub(crate) fn of<'t>(templates: impl Iterator<Item = &'t Template>) -> Self {
        let parts = templates.flat_map(|template| &template.parts);
        let secrets = parts.filter_map(|part| match part {
            Part::Secret(secret) => Some(secret.expose().to_owned()),
            Part::Text(_) | Part::Variable(_) => None,
        });
        Self(secrets.filter(|secret| !secret.trim().is_empty()).collect())
    }

    /// These and captured values, as they are and as they stand in URLs and JSON.
    fn with<'v>(&self, captured: impl Iterator<Item = &'v str>) -> Self {
        let mut hidden = self.0.clone();
        for value in captured.filter(|value| value.trim().len() >= SHORTEST) {
            hidden.push(value.to_owned());
            let sets: [&AsciiSet; 3] = [&NOT_IN_URL, &NOT_IN_PATH, &NOT_IN_QUERY];
            hidden.extend(sets.map(|set| utf8_percent_encode(value, set).to_string()));
            let quoted = serde_json::Value::from(value).to_string();
            hidden.push(quoted.trim_matches('"').to_owned());
        }
        // The longest first: one may hold another.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        hidden.dedup();
        hidden.retain(|text| !text.is_empty());
        Self(hidden)
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, hidden| {
            if text.contains(hidden.as_str()) { text.replace(hidden.as_str(), HIDDEN) } else { text }
        })
    }

    /// The beginning of a body. What is cut off at its end may have been the rest of something hidden.
    fn body(&self, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() {
            return None;
        }
        let longest = self.0.iter().map(String::len).max().unwrap_or(0);
        let beginning = bytes.get(..Exchange::MOST_BODY + longest).unwrap_or(bytes);
        let mut text = self.text(&String::from_utf8_lossy(beginning));
        for hidden in &self.0 {
            let ends = hidden.char_indices().map(|(end, _)| end).filter(|end| *end >= SHORTEST);
            if let Some(end) = ends.rev().find(|end| text.ends_with(hidden.get(..*end).unwrap_or("\0"))) {
                text.truncate(text.len() - end);
                text.push_str(HIDDEN);
            }
        }
        Some(text)
    }

    /// The beginning of what was sent. Nobody can read what is compressed, nor find in it what to hide.
    fn request_body(&self, message: &Message) -> Option<String> {
        if message.headers.contains_key(CONTENT_ENCODING) && !message.body.is_empty() {
            return Some(format!("({} bytes, coded)", message.body.len()));
        }
        self.body(&message.body)
    }

    fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let shown = headers.iter().map(|(name, value)| {
            let is_secret = value.is_sensitive()
                || [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name);
            let value = match is_secret {
                true => HIDDEN.to_owned(),
                false => self.text(&String::from_utf8_lossy(value.as_bytes())),
            };
            (name.as_str().to_owned(), value)
        });
        shown.collect()
    }

    fn exchange(&self, message: &Message, answer: Option<&Answer>) -> Exchange {
        Exchange {
            method: message.method.as_str().to_owned(),
            url: self.text(&message.shown_url()),
            headers: answer
                .and_then(Answer::headers)
                .map(|headers| self.headers(headers))
                .unwrap_or_default(),
            body: answer.and_then(|answer| self.body(&answer.body)),
        }
    }
}

/// What went over the wire of a request that is kept whole; captured values are hidden.
pub(crate) fn exchange(
    step: &Step,
    values: &Values,
    setup: &[Option<String>],
    message: &Message,
    answer: Option<&Answer>,
) -> Arc<Exchange> {
    let captured = values.captures.iter().chain(setup).flatten().map(String::as_str);
    step.hidden.with(captured).exchange(message, answer).bounded()
}

/// Every request of a plan that is tried out.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    seen: RefCell<Vec<Observed>>,
    /// Of the answer that is seen next.
    checks: RefCell<Vec<(String, bool)>>,
}

impl Observer {
    /// Hears what a check says of an answer, before it sees the request.
    pub(crate) fn check(&self, name: &str, holds: bool) {
        self.checks.borrow_mut().push((name.to_owned(), holds));
    }

    /// Sees a request that has ended. Captured values are shown, unless their names say that they are secret.
    pub(crate) fn see(
        &self,
        step: &Step,
        values: &Values,
        message: &Message,
        answer: Option<&Answer>,
        sample: &Sample,
        failure: Option<&Failure>,
    ) {
        let captured = step.captures.iter().filter_map(|capture| {
            let value = values.captures.get(capture.slot)?.as_deref()?;
            Some((capture.name.as_str(), value))
        });
        let captured: Vec<_> = captured.filter(|_| sample.key.outcome.is_success()).collect();
        let is_secret = |name: &str| {
            let name = name.to_ascii_lowercase();
            SECRETIVE.iter().any(|word| name.contains(word))
        };
        let secret = captured.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| *value);
        let hidden = step.hidden.with(secret);
        let captures = captured.iter().map(|(name, value)| {
            let value = if is_secret(name) { HIDDEN.to_owned() } else { hidden.text(value) };
            ((*name).to_owned(), value)
        });
        self.seen.borrow_mut().push(Observed {
            step: step.index,
            sample: Some(*sample),
            exchange: hidden.exchange(message, answer),
            request_headers: hidden.headers(&message.headers),
            request_body: hidden.request_body(message),
            message: failure.map(|failure| failure.message.clone()),
            captures: captures.collect(),
            checks: self.checks.take(),
        });
    }

    /// Hears of a step that was not sent.
    pub(crate) fn miss(&self, step: &Step, why: &str) {
        self.seen.borrow_mut().push(Observed {
            step: step.index,
            sample: None,
            exchange: Exchange { method: step.method.as_str().to_owned(), ..Exchange::default() },
            request_headers: Vec::new(),
            request_body: None,
            message: Some(why.to_owned()),
            captures: Vec::new(),
            checks: Vec::new(),
        });
    }

    /// Everything it has seen.
    pub(crate) fn take(&self) -> Vec<Observed> {
        std::mem::take(&mut self.seen.borrow_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_run::Secret;

    fn hidden() -> Hidden {
        let template = Template { parts: vec![Part::Text("a".into()), Part::Secret(Secret::new("hunter2"))] };
        Hidden::of([&template].into_iter()).with(["a/b c\"d", "x"].into_iter())
    }

    #[test]
    fn what_is_secret_or_captured_is_hidden_as_it_stands() {
        for (text, shown) in [
            ("password=hunter2&x=1", "password=***&x=1"),
            ("/items/a/b%20c%22d?x", "/items/***?x"),
            ("/items?q=a%2Fb%20c%22d", "/items?q=***"),
            (r#"{"id": "a/b c\"d"}"#, r#"{"id": "***"}"#),
            ("x marks the spot", "x marks the spot"),
        ] {
            assert_eq!(hidden().text(text), shown, "{text}");
        }
        assert_eq!(hidden().text("hunter2hunter2"), "******");
    }

    #[test]
    fn the_beginning_of_something_hidden_is_hidden_too() {
        assert_eq!(hidden().body(b"the answer: hunte").as_deref(), Some("the answer: ***"));
        assert_eq!(hidden().body(b"the answer: hun").as_deref(), Some("the answer: hun"));
        assert_eq!(hidden().body(b""), None);
    }

    #[test]
    fn headers_that_carry_credentials_are_hidden_whatever_they_hold() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a=1"),
            ("authorization", "Basic x"),
            ("x-token", "my hunter2"),
            ("server", "shop"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let shown: Vec<_> = hidden().headers(&headers).into_iter().map(|(_, value)| value).collect();
        assert_eq!(shown, ["***", "***", "my ***", "shop"]);
    }
}
