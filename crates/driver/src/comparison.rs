//! What a value must be, ready to be looked at many times.

use std::borrow::Cow;

use plimsoll_query::regular;
use plimsoll_run::Comparison;
use serde_json::Value;

/// A comparison whose expressions are compiled.
#[derive(Debug)]
pub(crate) enum CompiledComparison {
    Plain(Comparison),
    Matches(regex::Regex),
    Not(Box<CompiledComparison>),
    All(Vec<CompiledComparison>),
}

impl CompiledComparison {
    pub(crate) fn new(comparison: &Comparison) -> Result<Self, String> {
        Ok(match comparison {
            Comparison::Matches(pattern) => Self::Matches(expression(pattern)?),
            Comparison::Not(other) => Self::Not(Box::new(Self::new(other)?)),
            Comparison::All(all) => Self::All(all.iter().map(Self::new).collect::<Result<_, _>>()?),
            plain => Self::Plain(plain.clone()),
        })
    }

    /// Whether it holds of what was found, if anything was.
    pub(crate) fn holds(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Matches(regex) => found.is_some_and(|found| regex.is_match(&text(found))),
            Self::Not(other) => !other.holds(found),
            Self::All(all) => all.iter().all(|each| each.holds(found)),
            Self::Plain(plain) => plain_holds(plain, found),
        }
    }

    /// The same of a text.
    pub(crate) fn holds_of_text(&self, found: Option<&str>) -> bool {
        match self {
            Self::Matches(regex) => found.is_some_and(|found| regex.is_match(found)),
            Self::Not(other) => !other.holds_of_text(found),
            Self::All(all) => all.iter().all(|each| each.holds_of_text(found)),
            Self::Plain(plain) => text_holds(plain, found),
        }
    }
}

/// A regular expression of a plan.
pub(crate) fn expression(pattern: &str) -> Result<regex::Regex, String> {
    regular(pattern).map_err(|why| format!("`{pattern}` is no regular expression: {why}"))
}

/// Whether a comparison that is not compiled into a form of its own holds of a text.
fn text_holds(comparison: &Comparison, found: Option<&str>) -> bool {
    let equals = |value: &Value| found.is_some_and(|found| value.as_str() == Some(found));
    match comparison {
        Comparison::Equals(value) => equals(value),
        Comparison::OneOf(values) => values.iter().any(equals),
        Comparison::Contains(part) => found.is_some_and(|found| found.contains(part.as_str())),
        // What is left asks whether it is there, or for its number.
        other => plain_holds(other, found.map(|found| Value::from(first_of(found))).as_ref()),
    }
}

/// As much of a text as could be a number: a body of megabytes is not copied to find that it is none.
fn first_of(text: &str) -> &str {
    const LONGEST_NUMBER: usize = 400;
    let text = text.trim();
    if text.len() > LONGEST_NUMBER { "" } else { text }
}

fn plain_holds(comparison: &Comparison, found: Option<&Value>) -> bool {
    let number = |holds: &dyn Fn(f64) -> bool| found.and_then(number).is_some_and(holds);
    match comparison {
        Comparison::Equals(value) => found.is_some_and(|found| equal(found, value)),
        Comparison::OneOf(values) => {
            found.is_some_and(|found| values.iter().any(|value| equal(found, value)))
        }
        Comparison::Exists(exists) => found.is_some() == *exists,
        Comparison::Contains(part) => found.is_some_and(|found| text(found).contains(part.as_str())),
        Comparison::Above(limit) => number(&|number| number > *limit),
        Comparison::AtLeast(limit) => number(&|number| number >= *limit),
        Comparison::Below(limit) => number(&|number| number < *limit),
        Comparison::AtMost(limit) => number(&|number| number <= *limit),
        // Compiled into forms of their own.
        Comparison::Matches(_) | Comparison::Not(_) | Comparison::All(_) => false,
    }
}

/// A number equals another in whatever way it is written: `3` is `3.0`.
fn equal(found: &Value, value: &Value) -> bool {
    match (found, value) {
        (Value::Number(found), Value::Number(value)) => found == value || found.as_f64() == value.as_f64(),
        (found, value) => found == value,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comparisons_hold_of_what_they_say() {
        let not = |other| Comparison::Not(Box::new(other));
        for (comparison, holds, fails) in [
            (
                Comparison::Equals(json!(3)),
                vec![Some(json!(3.0))],
                vec![Some(json!("3")), Some(json!(4)), None],
            ),
            (
                Comparison::OneOf(vec![json!("a"), json!(1)]),
                vec![Some(json!("a"))],
                vec![Some(json!("b")), None],
            ),
            (Comparison::Exists(true), vec![Some(json!(null))], vec![None]),
            (Comparison::Exists(false), vec![None], vec![Some(json!(0))]),
            (
                Comparison::Contains("ell".into()),
                vec![Some(json!("hello")), Some(json!(["ell"]))],
                vec![Some(json!("help")), None],
            ),
            (Comparison::Matches("^a+$".into()), vec![Some(json!("aaa"))], vec![Some(json!("ab")), None]),
            (
                Comparison::Above(3.0),
                vec![Some(json!(3.5)), Some(json!(" 4 "))],
                vec![Some(json!(3)), Some(json!("x")), None],
            ),
            (Comparison::AtLeast(3.0), vec![Some(json!(3))], vec![Some(json!(2)), Some(json!("NaN"))]),
            (Comparison::Below(3.0), vec![Some(json!("-1"))], vec![Some(json!(3)), Some(json!(true))]),
            (Comparison::AtMost(3.0), vec![Some(json!(3))], vec![Some(json!(3.1)), None]),
            (not(Comparison::Matches("a".into())), vec![Some(json!("b")), None], vec![Some(json!("a"))]),
            (
                Comparison::All(vec![Comparison::AtLeast(1.0), Comparison::Below(3.0)]),
                vec![Some(json!(1)), Some(json!(2))],
                vec![Some(json!(3)), Some(json!(0)), None],
            ),
        ] {
            let compiled = CompiledComparison::new(&comparison).unwrap();
            for found in holds {
                assert!(compiled.holds(found.as_ref()), "{found:?} is {comparison}");
            }
            for found in fails {
                assert!(!compiled.holds(found.as_ref()), "{found:?} is not {comparison}");
            }
        }
    }

    #[test]
    fn a_text_is_compared_as_one() {
        let not = |other| Comparison::Not(Box::new(other));
        for (comparison, found, holds) in [
            (Comparison::Equals(json!("5")), Some("5"), true),
            (Comparison::Equals(json!(5)), Some("5"), false),
            (Comparison::Equals(json!("")), None, false),
            (Comparison::OneOf(vec![json!("a"), json!("b")]), Some("b"), true),
            (Comparison::Exists(true), Some(""), true),
            (Comparison::Exists(false), None, true),
            (Comparison::Contains("b".into()), Some("abc"), true),
            (Comparison::Matches("^a".into()), Some("abc"), true),
            (Comparison::AtLeast(5.0), Some(" 5.5 "), true),
            (Comparison::AtLeast(0.0), Some(""), false),
            (not(Comparison::Equals(json!("a"))), None, true),
            (Comparison::All(vec![Comparison::Above(1.0), not(Comparison::Above(2.0))]), Some("2"), true),
        ] {
            let compiled = CompiledComparison::new(&comparison).unwrap();
            assert_eq!(compiled.holds_of_text(found), holds, "{found:?} is {comparison}");
        }
        let long = format!("1{}", "0".repeat(1000));
        assert!(!CompiledComparison::new(&Comparison::Above(0.0)).unwrap().holds_of_text(Some(&long)));
    }

    #[test]
    fn an_expression_that_explodes_is_refused() {
        assert!(CompiledComparison::new(&Comparison::Matches("(a{1000}){1000}".into())).is_err());
    }
}
