//! Series that a query would find: what a test feeds to rules it has not seen before.
//!
//! A query of counters is a sum of selectors, so each series adds a whole number to it. The labels that
//! the selectors ask for have a few values that matter, one that fits and one that does not; among their
//! combinations there is almost always a series that is a good event, and one that is a bad one.

use std::collections::BTreeMap;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::promql::{growth, text};

/// A series by its labels; one of them is `__name__`.
pub(super) type Labels = BTreeMap<String, String>;

const NAME: &str = "__name__";
/// A value that no selector names.
const OTHER: &str = "other";
/// Beyond this nobody asks so many different things of one counter.
const MOST: usize = 4096;
const LONGEST_EXAMPLE: usize = 200;

/// The series that grow by one with an event.
pub(super) struct Example {
    pub(super) good: Vec<Labels>,
    pub(super) bad: Vec<Labels>,
}

/// Series for the queries of all events and of good events, or of bad ones.
pub(super) fn example(
    total: &str,
    counted: &str,
    is_good: bool,
    each: Option<&str>,
) -> Result<Example, String> {
    let terms = |query| growth(query, 3600, each).map(|growth| growth.terms);
    let (total, counted) = (terms(total)?, terms(counted)?);
    let selectors = || total.iter().chain(&counted).map(|(_, selector)| selector);
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for selector in selectors() {
        for (label, value) in wanted(selector)? {
            let values = values.entry(label).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    if let Some(each) = each {
        values.entry(each.to_owned()).or_insert_with(|| vec![OTHER.to_owned()]);
    }
    let series = combinations(&values)?;
    // What each adds to the number of counted and of all events.
    let adds = |labels: &Labels| [&counted, &total].map(|terms| contribution(terms, labels));
    let added: Vec<(&Labels, [i64; 2])> = series.iter().map(|labels| (labels, adds(labels))).collect();
    let find = |wanted: [i64; 2]| {
        let alone = added.iter().find(|(_, adds)| *adds == wanted).map(|(labels, _)| vec![(*labels).clone()]);
        alone.or_else(|| {
            let pairs = added.iter().flat_map(|one| added.iter().map(move |other| (one, other)));
            let mut pairs =
                pairs.filter(|(one, other)| one.0 != other.0 && one.1 != [0, 0] && other.1 != [0, 0]);
            let sum = |one: [i64; 2], other: [i64; 2]| [one[0] + other[0], one[1] + other[1]];
            let (one, other) = pairs.find(|(one, other)| sum(one.1, other.1) == wanted)?;
            Some(vec![one.0.clone(), other.0.clone()])
        })
    };
    let (good, bad) = if is_good { ([1, 1], [0, 1]) } else { ([0, 1], [1, 1]) };
    match (find(good), find(bad)) {
        (Some(good), Some(bad)) => Ok(Example { good, bad }),
        _ => Err("no series was found that is a good event, or none that is a bad one".to_owned()),
    }
}

/// A series as Prometheus writes it.
pub(super) fn shown(labels: &Labels) -> String {
    let name = labels.get(NAME).map_or("", String::as_str);
    let others = labels.iter().filter(|(label, value)| *label != NAME && !value.is_empty());
    let others: Vec<String> = others.map(|(label, value)| format!("{label}={}", text(value))).collect();
    if others.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", others.join(",")) }
}

/// Labels and values that the selector asks for, or asks not to be there.
fn wanted(selector: &VectorSelector) -> Result<Vec<(String, String)>, String> {
    let mut values = Vec::new();
    for matcher in all_matchers(selector) {
        let Matcher { op, name, value } = &matcher;
        let value = match op {
            MatchOp::Equal | MatchOp::NotEqual => value.clone(),
            MatchOp::Re(_) | MatchOp::NotRe(_) => {
                matching(value).ok_or_else(|| format!("no text is known that `{value}` matches"))?
            }
        };
        values.push((name.clone(), value));
        if name != NAME {
            let is_not = matches!(op, MatchOp::NotEqual | MatchOp::NotRe(_));
            values.push((name.clone(), if is_not { OTHER.to_owned() } else { String::new() }));
        }
    }
    Ok(values)
}

/// The matchers with the one that the name of the metric is.
fn all_matchers(selector: &VectorSelector) -> Vec<Matcher> {
    let name = selector.name.iter().map(|name| Matcher::new(MatchOp::Equal, NAME, name));
    name.chain(selector.matchers.matchers.iter().cloned()).collect()
}

fn contribution(terms: &[(i64, VectorSelector)], labels: &Labels) -> i64 {
    let matches = |selector: &VectorSelector| {
        let value = |name: &str| labels.get(name).map_or("", String::as_str);
        all_matchers(selector).iter().all(|matcher| matcher.is_match(value(&matcher.name)))
    };
    terms.iter().filter(|(_, selector)| matches(selector)).map(|(sign, _)| sign).sum()
}

/// Every combination of the values.
fn combinations(values: &BTreeMap<String, Vec<String>>) -> Result<Vec<Labels>, String> {
    let number = values.values().try_fold(1_usize, |number, values| number.checked_mul(values.len()));
    if number.is_none_or(|number| number > MOST) {
        return Err("its queries ask for too many labels".to_owned());
    }
    let mut all = vec![Labels::new()];
    for (label, values) in values {
        let with = |labels: &Labels, value: &String| {
            let mut labels = labels.clone();
            labels.insert(label.clone(), value.clone());
            labels
        };
        all = all.iter().flat_map(|labels| values.iter().map(move |value| with(labels, value))).collect();
    }
    Ok(all)
}

/// A text that an expression matches, a short one.
fn matching(expression: &str) -> Option<String> {
    let mut out = String::new();
    write(&regex_syntax::parse(expression).ok()?, &mut out)?;
    let whole = regex::Regex::new(&format!("^(?:{expression})$")).ok()?;
    (whole.is_match(&out) && !out.chars().any(super::yaml::must_be_escaped)).then_some(out)
}

fn write(expression: &Hir, out: &mut String) -> Option<()> {
    if out.len() > LONGEST_EXAMPLE {
        return None;
    }
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => out.push(one_of(class)?),
        HirKind::Repetition(repetition) => {
            // Something rather than nothing: a label without a value is none.
            let fewest = if repetition.max == Some(0) { 0 } else { repetition.min.max(1) };
            for _ in 0..fewest.min(LONGEST_EXAMPLE as u32) {
                write(&repetition.sub, out)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, out)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, out))?,
        HirKind::Alternation(choices) => write(choices.first()?, out)?,
    }
    Some(())
}

/// A character of a class, an ordinary one if it has any.
fn one_of(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let within = |c: char| ranges.iter().any(|(start, end)| (*start..=*end).contains(&c));
    let ordinary = ('0'..='9').chain('a'..='z').chain('A'..='Z').find(|c| within(*c));
    ordinary.or_else(|| ranges.first().map(|(start, _)| *start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(total: &str, counted: &str, is_good: bool, expected: [&[&str]; 2]) {
        let found = example(total, counted, is_good, None).unwrap();
        let shown = [found.good, found.bad].map(|series| series.iter().map(shown).collect::<Vec<_>>());
        assert_eq!(shown, expected.map(<[&str]>::to_vec), "{total} {counted}");
    }

    #[test]
    fn there_are_series_for_both_kinds_of_events() {
        check("all", "good", true, [&["all", "good"], &["all"]]);
        check(
            r#"sum(x{job="a"})"#,
            r#"sum(x{job="a",code=~"5..|429"})"#,
            false,
            [&[r#"x{job="a"}"#], &[r#"x{code="500",job="a"}"#]],
        );
        check(
            r#"sum(x)"#,
            r#"sum(x{code!~"(5..|429)"})"#,
            true,
            [&[r#"x{code="other"}"#], &[r#"x{code="500"}"#]],
        );
        check("sum(ok) + sum(failed)", "sum(ok)", true, [&["ok"], &["failed"]]);
        check("sum(all)", "sum(all) - sum(failed)", true, [&["all"], &["all", "failed"]]);
    }

    #[test]
    fn what_cannot_be_found_is_said() {
        assert!(example("a", "a", true, None).is_err());
        assert!(example("a", r#"b{c=~"(){1000}(x|y{500}){500}"}"#, true, None).is_err());
        assert!(example("a", r#"b{c=~"x{150}y{150}z{150}"}"#, true, None).is_err());
    }
}
