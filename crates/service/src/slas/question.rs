//! What to ask for a promise, second by second.
//!
//! A sum of counters is no counter: where one instance starts anew, the sum falls while the others go on. So
//! what is asked for is what lies behind the sum, and each series is a counter of its own. A query that looks over a
//! window which is not its to choose, `sum(increase(requests_total[{{.window}}]))`, says which counters are meant, too.

use plimsoll_sla::Events;

use super::selector::{Selector, word};

/// The names of the window, in the forms in which they are written.
const WINDOWS: [&str; 2] = ["[{{.window}}]", "[{{ .window }}]"];

/// What is asked for counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The query.
    pub(super) query: String,
    /// Whether it may give many series, each a counter of its own; else it gives one, for each value of the label if
    /// there is one.
    pub(super) is_many: bool,
}

impl Question {
    /// What is asked for one counter of a ratio; `None` where nobody can tell from the query what happened in a second.
    pub(super) fn counter(query: &str) -> Option<Self> {
        let many = |selector: &str| Self { query: selector.trim().to_owned(), is_many: true };
        if let Some(inner) = summed(query) {
            if Selector::parse(inner).is_some() {
                return Some(many(inner));
            }
            return increased(inner).map(many);
        }
        if Selector::parse(query).is_some() {
            return Some(many(query));
        }
        match increased(query) {
            Some(selector) => Some(many(selector)),
            None if Events::over_window(query, "").is_some() => None,
            None => Some(Self { query: query.to_owned(), is_many: false }),
        }
    }

    /// What is asked for a figure.
    pub(super) fn figure(query: &str) -> Self {
        let query = Events::over_window(query, Events::FIGURE_WINDOW).unwrap_or_else(|| query.to_owned());
        Self { query, is_many: false }
    }
}

/// What lies behind `sum( )`, `sum by (...) ( )` or `sum( ) by (...)`.
fn summed(query: &str) -> Option<&str> {
    let query = query.trim();
    let rest = query.strip_prefix("sum").filter(|rest| rest.starts_with([' ', '(']))?;
    let rest = grouping(rest.trim_start()).unwrap_or(rest).trim_start();
    let (inner, behind) = parenthesised(rest)?;
    let behind = behind.trim();
    (behind.is_empty() || grouping(behind).is_some_and(|left| left.trim().is_empty())).then_some(inner)
}

/// What stands behind `by (...)`.
fn grouping(text: &str) -> Option<&str> {
    let (by, rest) = word(text, "");
    let (_, behind) = (by == "by").then(|| parenthesised(rest.trim_start()))??;
    Some(behind)
}

/// The selector in `increase(selector[{{.window}}])` or `rate(...)`, whose quotients are the same.
fn increased(query: &str) -> Option<&str> {
    let (function, rest) = word(query.trim(), "");
    let (inner, behind) = parenthesised(rest.trim_start())?;
    if !["increase", "rate"].contains(&function) || !behind.trim().is_empty() {
        return None;
    }
    let selector = WINDOWS.into_iter().find_map(|window| inner.trim().strip_suffix(window))?;
    Selector::parse(selector).map(|_| selector)
}

/// What is in the parentheses that a text begins with, and what stands behind them.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut quote, mut escaped) = (1_u32, None, false);
    for (at, character) in inner.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some((&inner[..at], &inner[at + 1..])),
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lies_behind_a_sum_is_asked_for() {
        let many = |query: &str| Some((query.to_owned(), true));
        let whole = |query: &str| Some((query.to_owned(), false));
        for (query, expected) in [
            ("sum(http_requests_total{code!~\"5..\"})", many("http_requests_total{code!~\"5..\"}")),
            ("sum by (tenant) (a_total)", many("a_total")),
            ("sum(a_total) by (tenant)", many("a_total")),
            ("sum( a_total{x=\")\"} )", many("a_total{x=\")\"}")),
            ("a_total{x=\"y\"}", many("a_total{x=\"y\"}")),
            ("sum(increase(a_total[{{.window}}]))", many("a_total")),
            ("sum(rate(a_total{b=\"c\"}[{{ .window }}])) by (d)", many("a_total{b=\"c\"}")),
            ("increase(a_total[{{.window}}])", many("a_total")),
            ("sum(a_total) + sum(b_total)", whole("sum(a_total) + sum(b_total)")),
            ("sum(a_total) / 2", whole("sum(a_total) / 2")),
            ("sum without (x) (a_total)", whole("sum without (x) (a_total)")),
            ("summary(a)", whole("summary(a)")),
            ("sum(a_total", whole("sum(a_total")),
            ("sum(max_over_time(a[{{.window}}]))", None),
            ("histogram_quantile(0.9, sum(rate(a[{{.window}}])))", None),
        ] {
            let asked = Question::counter(query).map(|question| (question.query, question.is_many));
            assert_eq!(asked, expected, "{query}");
        }
    }

    #[test]
    fn a_figure_looks_back_a_minute_where_it_does_not_say() {
        assert_eq!(Question::figure("rate(a[{{.window}}])").query, "rate(a[1m])");
        assert_eq!(Question::figure("up").query, "up");
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[a-z(){}=\"'`\\\\, \\[\\].sumby]{0,60}") {
            let _ = Question::counter(&query);
        }
    }
}
