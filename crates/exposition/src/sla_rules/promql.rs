//! Queries of counters, and how they are asked for what the counters grew by over a window.
//!
//! Growth can be added up and subtracted, and nothing else: an average or a maximum of counters is no
//! number of events. So a query is a sum or difference of selectors, each of which is put into
//! `increase`, and what else a query may be is refused with the reason.

use std::fmt::Write;

use promql_parser::label::Labels;
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Expr, LabelModifier, VectorSelector, token};

use plimsoll_sla::Events;

/// Longer ones are no queries that a person wrote; it bounds how deep one can be.
const LONGEST: usize = 4096;

/// Enough for a time in seconds, and for every threshold that a person writes.
const LARGEST: f64 = 1e12;
const LONGEST_NUMBER: usize = 20;

/// What a query of counters grew by over a window.
#[derive(Debug)]
pub(super) struct Growth {
    /// In PromQL: one value, or one for each value of a label.
    pub(super) text: String,
    /// The counters it adds up, and with -1 those it subtracts.
    pub(super) terms: Vec<(i64, VectorSelector)>,
}

/// Reads PromQL that foreign people wrote.
pub(super) fn parse(query: &str) -> Result<Expr, String> {
    if query.len() > LONGEST {
        return Err(format!("has more than {LONGEST} characters"));
    }
    if let Some(number) = too_large(query) {
        return Err(format!("has `{number}`, which is no number for a query"));
    }
    // The forms of the parser's complaints are its own, and may span lines.
    parser::parse(query)
        .map_err(|error| format!("is no PromQL: {}", error.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// A number outside of quotes that is beyond all times: the parser panics where it makes a duration of such a one.
fn too_large(query: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':');
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '"' | '\'' | '`') {
            let mut is_escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let is_end = *c == first && !is_escaped;
                is_escaped = *c == '\\' && !is_escaped && first != '`';
                is_end
            });
            rest = end.map_or("", |(end, _)| rest.get(end + 1..).unwrap_or_default());
            continue;
        }
        let part =
            |from: usize| rest[from..].find(|c| !is_part(c)).map_or(rest.len(), |length| from + length);
        let is_number = first.is_ascii_digit() || first == '.';
        let mut end = part(0).max(first.len_utf8());
        // A sign belongs to the exponent before it.
        if is_number && rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) {
            end = part(end + 1);
        }
        let (word, after) = rest.split_at(end);
        rest = after;
        let value = if is_number { word.parse::<f64>().unwrap_or(0.0) } else { 0.0 };
        let is_word = ["inf", "nan"].contains(&word.to_ascii_lowercase().as_str());
        if is_word || value.abs() >= LARGEST || (is_number && word.len() > LONGEST_NUMBER) {
            return Some(word);
        }
    }
    None
}

/// The growth of `query` over `seconds`, for each value of the label `each` where one is named.
pub(super) fn growth(query: &str, seconds: u64, each: Option<&str>) -> Result<Growth, String> {
    let window = window(seconds);
    let windowed = Events::over_window(query, &window);
    let expression = parse(windowed.as_deref().unwrap_or(query))?;
    let mut reader = Reader { seconds, window, is_windowed: windowed.is_some(), each, terms: Vec::new() };
    let mut text = String::new();
    let grouped = reader.write(&expression, 1, &mut text)?;
    if !grouped {
        text = format!("sum{}({text})", by(each));
    }
    if reader.terms.is_empty() {
        return Err("looks at no series".to_owned());
    }
    if text.chars().any(super::yaml::must_be_escaped) {
        return Err("has characters that cannot be shown".to_owned());
    }
    Ok(Growth { text, terms: reader.terms })
}

/// A window as PromQL and people write it: `1h`, `1m30s`, `28d`.
pub(super) fn window(seconds: u64) -> String {
    let mut out = String::new();
    let mut rest = seconds;
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= length {
            // Writing into a string cannot fail.
            let _ = write!(out, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// A text in PromQL.
pub(super) fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// The grouping of a sum.
pub(super) fn by(each: Option<&str>) -> String {
    each.map_or(String::new(), |label| format!(" by ({label}) "))
}

struct Reader<'a> {
    seconds: u64,
    window: String,
    is_windowed: bool,
    each: Option<&'a str>,
    terms: Vec<(i64, VectorSelector)>,
}

impl Reader<'_> {
    /// Writes `expression` as growth; whether it has one value for each value of the label, or just one
    /// where there is none.
    fn write(&mut self, expression: &Expr, sign: i64, out: &mut String) -> Result<bool, String> {
        match expression {
            Expr::VectorSelector(selector) if !self.is_windowed => {
                self.increase(selector, sign, out)?;
                Ok(false)
            }
            Expr::Call(call) if self.is_windowed => {
                let name = call.func.name;
                let argument = call.args.args.first().map(|argument| argument.as_ref());
                let (Some(Expr::MatrixSelector(matrix)), true) =
                    (argument, ["increase", "rate"].contains(&name))
                else {
                    return Err(format!(
                        "asks for `{name}`, which is no number of events; {ALLOWED_WINDOWED}"
                    ));
                };
                if matrix.range.as_millis() != u128::from(self.seconds) * 1000 {
                    return Err("looks over a time of its own beside the window".to_owned());
                }
                self.increase(&matrix.vs, sign, out)?;
                Ok(false)
            }
            Expr::Paren(inner) => {
                out.push('(');
                let grouped = self.write(&inner.expr, sign, out)?;
                out.push(')');
                Ok(grouped)
            }
            Expr::Aggregate(sum) if sum.op.id() == token::T_SUM => self.sum(sum, sign, out),
            Expr::Binary(binary) => self.binary(binary, sign, out),
            other => Err(format!("has `{other}`, which is no number of events; {}", self.allowed())),
        }
    }

    fn allowed(&self) -> &'static str {
        if self.is_windowed { ALLOWED_WINDOWED } else { ALLOWED }
    }

    fn increase(&mut self, selector: &VectorSelector, sign: i64, out: &mut String) -> Result<(), String> {
        if !selector.matchers.or_matchers.is_empty() {
            return Err("chooses series with `or`, which not every Prometheus knows".to_owned());
        }
        if selector.at.is_some() {
            return Err("looks at one moment for ever (`@`)".to_owned());
        }
        let plain = VectorSelector { offset: None, ..selector.clone() };
        let offset = selector.offset.as_ref().map_or(String::new(), |offset| format!(" offset {offset}"));
        // Writing into a string cannot fail.
        let _ = write!(out, "increase({plain}[{}]{offset})", self.window);
        self.terms.push((sign, plain));
        Ok(())
    }

    fn sum(&mut self, sum: &AggregateExpr, sign: i64, out: &mut String) -> Result<bool, String> {
        let (grouping, grouped) = match (&sum.modifier, self.each) {
            (None, each) => (by(each), true),
            (Some(LabelModifier::Include(labels)), each) => {
                let kept = each.is_none_or(|each| labels.labels.iter().any(|label| label == each));
                self.keeps(kept)?;
                let exactly = labels.labels.len() == usize::from(each.is_some());
                (format!(" by ({}) ", list(labels)), exactly)
            }
            (Some(LabelModifier::Exclude(labels)), each) => {
                let kept = each.is_none_or(|each| labels.labels.iter().all(|label| label != each));
                self.keeps(kept)?;
                (format!(" without ({}) ", list(labels)), false)
            }
        };
        // Writing into a string cannot fail.
        let _ = write!(out, "sum{grouping}(");
        self.write(&sum.expr, sign, out)?;
        out.push(')');
        Ok(grouped)
    }

    fn keeps(&self, kept: bool) -> Result<(), String> {
        match self.each {
            Some(each) if !kept => {
                Err(format!("drops the label `{each}`, whose values are promised the same"))
            }
            _ => Ok(()),
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, sign: i64, out: &mut String) -> Result<bool, String> {
        let BinaryExpr { op, lhs, rhs, modifier } = binary;
        if op.id() == token::T_LOR && is_zero(rhs) && self.each.is_none() {
            let grouped = self.write(lhs, sign, out)?;
            out.push_str(" or vector(0)");
            return Ok(grouped);
        }
        let right = match op.id() {
            token::T_ADD => sign,
            token::T_SUB => -sign,
            _ => return Err(format!("has `{binary}`, which is no number of events; {}", self.allowed())),
        };
        if modifier.is_some() {
            return Err(format!(
                "has `{binary}`: which series belong together is not said by labels here; \
                                add up sums"
            ));
        }
        let left = self.write(lhs, sign, out)?;
        // Writing into a string cannot fail.
        let _ = write!(out, " {op} ");
        // Single series without a partner would be left out in silence.
        match left && self.write(rhs, right, out)? {
            true => Ok(true),
            false => Err(format!(
                "has `{binary}`: a series without a partner would not count; add up sums, \
                                  like `sum(a) {op} sum(b)`"
            )),
        }
    }
}

const ALLOWED: &str = "write selectors of counters, `sum`, `+` and `-`";
const ALLOWED_WINDOWED: &str = "write `increase` of counters over `[{{.window}}]`, `sum`, `+` and `-`";

fn list(labels: &Labels) -> String {
    labels.labels.join(", ")
}

/// `vector(0)`.
fn is_zero(expression: &Expr) -> bool {
    let Expr::Call(call) = expression else { return false };
    let argument = call.args.args.first().map(|argument| argument.as_ref());
    call.func.name == "vector" && matches!(argument, Some(Expr::NumberLiteral(number)) if number.val == 0.0)
}

/// Whether it looks at any series at all.
pub(super) fn looks_at_series(expression: &Expr) -> bool {
    let all = |expressions: &[&Expr]| expressions.iter().any(|one| looks_at_series(one));
    match expression {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => true,
        Expr::Aggregate(aggregate) => looks_at_series(&aggregate.expr),
        Expr::Unary(unary) => looks_at_series(&unary.expr),
        Expr::Binary(binary) => all(&[&binary.lhs, &binary.rhs]),
        Expr::Paren(inner) => looks_at_series(&inner.expr),
        Expr::Subquery(subquery) => looks_at_series(&subquery.expr),
        Expr::Call(call) => call.args.args.iter().any(|argument| looks_at_series(argument)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, each: Option<&str>, expected: &str) {
        assert_eq!(growth(query, 3600, each).map(|growth| growth.text).as_deref(), Ok(expected), "{query}");
    }

    fn refuse(query: &str, each: Option<&str>, why: &str) {
        let refused = growth(query, 3600, each).expect_err(query);
        assert!(refused.contains(why), "{query}: {refused}");
    }

    #[test]
    fn every_counter_is_asked_for_its_growth() {
        check("up_total", None, "sum(increase(up_total[1h]))");
        check(r#"sum(x{code=~"5.."})"#, None, r#"sum(increase(x{code=~"5.."}[1h]))"#);
        check("sum by (job) (x)", None, "sum(sum by (job) (increase(x[1h])))");
        check("sum without (job) (x)", None, "sum(sum without (job) (increase(x[1h])))");
        check(
            "sum(a) - (sum(b) + sum(c))",
            None,
            "sum(increase(a[1h])) - (sum(increase(b[1h])) + sum(increase(c[1h])))",
        );
        check("sum(a offset 5m)", None, "sum(increase(a[1h] offset 5m))");
        check("sum(a) or vector(0)", None, "sum(increase(a[1h])) or vector(0)");
        check("sum(increase(a[{{.window}}]))", None, "sum(increase(a[1h]))");
        check("sum(rate(a[{{ .window }}]))", None, "sum(increase(a[1h]))");
        check("sum(a{b=\"1e999 \\\" inf\"})", None, "sum(increase(a{b=\"1e999 \\\" inf\"}[1h]))");
        check("sum(a)", Some("tenant"), "sum by (tenant) (increase(a[1h]))");
        check("sum by (tenant) (a)", Some("tenant"), "sum by (tenant) (increase(a[1h]))");
        check(
            "sum by (tenant, job) (a)",
            Some("tenant"),
            "sum by (tenant) (sum by (tenant, job) (increase(a[1h])))",
        );
    }

    #[test]
    fn what_is_no_number_of_events_is_refused() {
        refuse("avg(a)", None, "no number of events");
        refuse("max(a)", None, "no number of events");
        refuse("sum(a) / sum(b)", None, "no number of events");
        refuse("sum(a) * 2", None, "no number of events");
        refuse("rate(a[5m])", None, "no number of events");
        refuse("a - b", None, "without a partner");
        refuse("sum(a) + b", None, "without a partner");
        refuse("sum(a) - on (x) sum(b)", None, "belong together");
        refuse("sum(a @ 10)", None, "one moment");
        refuse("sum(", None, "no PromQL");
        refuse("", None, "no PromQL");
        refuse("vector(0)", None, "no number of events");
        refuse("sum(irate(a[{{.window}}]))", None, "irate");
        refuse("sum(increase(a[{{.window}}])) - sum(increase(a[5m]))", None, "a time of its own");
        refuse("sum by (job) (a)", Some("tenant"), "drops the label `tenant`");
        refuse("sum without (tenant) (a)", Some("tenant"), "drops the label `tenant`");
        refuse(&"(".repeat(5000), None, "more than 4096");
        refuse("sum(a offset 1e999)", None, "no number");
        assert_eq!(too_large("a / 1e6 > 1.5e-9 and b < 0.25"), None);
        assert_eq!(too_large("a > 1e+300"), Some("1e+300"));
        refuse("sum(a offset Inf)", None, "no number");
        refuse("sum(a{b=\"\\x01\"})", None, "cannot be shown");
    }

    proptest::proptest! {
        /// Foreign text is growth or refused.
        #[test]
        fn any_text_is_read_or_refused(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "sum", "by", "without", "(", ")", "{", "}", "[", "]", "a", "b", "=~", "!=", "=", "\"5..\"", "\"[\"", ",", "+", "-",
                    "or", "vector", "0", "1e999", "5m", "offset", "@", "increase", "rate", "{{.window}}", "[{{.window}}]", ":", "\\", "\u{85}",
                    "bool", "on", "unless", "0x", "ä", "#", "\n", "'", "`", "start()", "Inf", "1e5", "0xffffffffffffff", "999999999999", "e", "1e11", "12345678901234567890", "99999999999y", "9999999999d", ".5", "__name__", "9999999999999y", "NaN",
                ]),
                0..24,
            ),
            each in proptest::option::of(proptest::sample::select(vec!["tenant", "a"])),
        ) {
            for between in ["", " "] {
                let _ = growth(&parts.join(between), 3600, each);
                let _ = parse(&parts.join(between)).map(|expression| looks_at_series(&expression));
            }
        }
    }

    #[test]
    fn windows_are_written_as_people_write_them() {
        let cases =
            [(0, "0s"), (5, "5s"), (90, "1m30s"), (3600, "1h"), (28 * 86_400, "28d"), (259_200, "3d")];
        for (seconds, text) in cases {
            assert_eq!(window(seconds), text);
        }
    }
}
