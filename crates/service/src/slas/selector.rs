//! Which series are meant: a name and matchers, as PromQL writes them.

use std::collections::BTreeMap;

use regex::Regex;

/// The labels of a series with its name as `__name__`.
pub(crate) type Labels = BTreeMap<String, String>;

/// A selector of series.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone)]
struct Matcher {
    label: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    Like(Regex),
    Unlike(Regex),
}

impl Selector {
    /// Reads `name{label="value",...}`; `None` for whatever is more or less than that.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (selector, rest) = Self::read(text)?;
        rest.trim().is_empty().then_some(selector)
    }

    /// Reads a selector at the beginning of a text; gives what stands behind it.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let (name, mut rest) = word(text.trim_start(), ":");
        let mut matchers = Vec::new();
        if !name.is_empty() {
            matchers.push(Matcher { label: "__name__".to_owned(), test: Test::Is(name.to_owned()) });
        }
        if let Some(inner) = rest.trim_start().strip_prefix('{') {
            rest = inner.trim_start();
            while !rest.starts_with('}') {
                let (matcher, behind) = matcher(rest)?;
                matchers.push(matcher);
                rest = behind.trim_start();
                match rest.strip_prefix(',') {
                    Some(more) => rest = more.trim_start(),
                    None if rest.starts_with('}') => {}
                    None => return None,
                }
            }
            rest = &rest[1..];
        }
        (!matchers.is_empty()).then_some((Self { matchers }, rest))
    }

    /// Whether a series is meant. A label that a series lacks is empty.
    pub(super) fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = label(&matcher.label).unwrap_or("");
            match &matcher.test {
                Test::Is(text) => value == text,
                Test::IsNot(text) => value != text,
                Test::Like(regex) => regex.is_match(value),
                Test::Unlike(regex) => !regex.is_match(value),
            }
        })
    }
}

fn matcher(text: &str) -> Option<(Matcher, &str)> {
    let (label, rest) = word(text, "");
    let rest = rest.trim_start();
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator))?;
    let (value, rest) = string(rest[operator.len()..].trim_start())?;
    // As Prometheus has it: the whole value, and a dot is any character.
    let regex = |value: &str| Regex::new(&format!("^(?s:{value})$")).ok();
    let test = match operator {
        "=" => Test::Is(value),
        "!=" => Test::IsNot(value),
        "=~" => Test::Like(regex(&value)?),
        _ => Test::Unlike(regex(&value)?),
    };
    (!label.is_empty()).then(|| (Matcher { label: label.to_owned(), test }, rest))
}

/// A name of letters, digits, underscores and what else is allowed.
pub(super) fn word<'t>(text: &'t str, more: &str) -> (&'t str, &'t str) {
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || more.contains(character);
    let end = text.find(|character| !allowed(character)).unwrap_or(text.len());
    if text.starts_with(|first: char| first.is_ascii_digit()) { ("", text) } else { text.split_at(end) }
}

/// A string in one of PromQL's three kinds of quotes.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| ['"', '\'', '`'].contains(quote))?;
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Some((value, &text[at + 1..])),
            '\\' if quote != '`' => value.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                plain @ ('\\' | '"' | '\'') => plain,
                _ => return None,
            }),
            '\n' if quote != '`' => return None,
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(text: &str, labels: &[(&str, &str)]) -> Option<bool> {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Some(Selector::parse(text)?.matches(|name| labels.get(name).map(String::as_str)))
    }

    #[test]
    fn selectors_mean_what_they_mean_in_promql() {
        let labels = [("__name__", "http_requests_total"), ("code", "503"), ("path", "a\"b\\\n")];
        for (text, expected) in [
            ("http_requests_total", Some(true)),
            (" http_requests_total { code = \"503\" , } ", Some(true)),
            ("http_requests_total{code=~\"5..\"}", Some(true)),
            ("http_requests_total{code=~\"5\"}", Some(false)),
            ("http_requests_total{code!~'5..'}", Some(false)),
            ("http_requests_total{code!=\"200\"}", Some(true)),
            ("{code=`503`}", Some(true)),
            ("{__name__=~\"http_.*\",path=\"a\\\"b\\\\\\n\"}", Some(true)),
            ("up{lacking=\"\"}", Some(false)),
            ("http_requests_total{lacking=\"\"}", Some(true)),
            ("node:http_requests:rate5m", Some(false)),
            ("", None),
            ("{}", None),
            ("sum(up)", None),
            ("up[5m]", None),
            ("up offset 5m", None),
            ("5up", None),
            ("up{code=\"5", None),
            ("up{code=5}", None),
            ("up{code=~\"(\"}", None),
            ("up{code=\"a\" path=\"b\"}", None),
            ("up + up", None),
        ] {
            assert_eq!(matches(text, &labels), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z{}=~!\"'`\\\\, (é\\n]{0,40}") {
            let _ = Selector::parse(&text);
        }
    }
}
