use std::fmt;
use std::time::Duration;

use plimsoll_measure::Timing;
use plimsoll_units::{ByteCount, Quantile, Rate, Ratio, duration};

/// What is promised, as a comparison: `p95(response_time) <= 250ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expression {
    /// The figure that is looked at.
    pub measure: Measure,
    /// How it is compared.
    pub comparison: Comparison,
    /// What it is compared with.
    pub bound: Bound,
}

/// A figure of a run that can be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A quantile of a duration, in seconds.
    Quantile(Quantile, Timing),
    /// The mean of a duration, in seconds.
    Mean(Timing),
    /// The longest of a duration, in seconds.
    Max(Timing),
    /// How many there were.
    Count(Countable),
    /// failed / (succeeded + failed).
    ErrorRatio,
    /// 1 - error ratio.
    Availability,
    /// dropped / arrivals due.
    DroppedRatio,
    /// Succeeded requests done per second.
    Throughput,
    /// Bytes received per second.
    ByteRate,
    /// What is left of the throughput at the limit when several times the limit is offered. No run at one load shows
    /// it: an [`crate::Evaluator`] finds it inconclusive, and whoever overloads the target judges it.
    GoodputRetained,
}

/// What `count(..)` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Countable {
    /// Requests whose duration belongs to the latency figures.
    Timing(Timing),
    /// Requests that ended or were cut.
    Requests,
    /// Requests that succeeded.
    Succeeded,
    /// Requests that failed.
    Failed,
    /// Arrivals that were not offered.
    Dropped,
    /// Requests in flight when the grace period ended.
    Cut,
    /// Iterations that ended.
    Iterations,
}

/// How a figure is compared with its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// At most.
    Le,
    /// Below.
    Lt,
    /// At least.
    Ge,
    /// Above.
    Gt,
}

/// What a figure is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// A value in base units: seconds, a share of one, per second, bytes per second, a count.
    Value(f64),
    /// A multiple of the same figure over an earlier stage.
    Stage {
        /// Times this.
        factor: f64,
        /// Index of the stage.
        stage: u16,
    },
}

/// Why a text is not an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} at byte {column} is not an objective; write {allowed}{}", hint(*suggestion))]
pub struct ExpressionError {
    /// Where in the text, in bytes from 0.
    pub column: usize,
    /// What stands there: a word in back quotes, or `the end`.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
    /// What was probably meant, where one allowed word is close to what stands there.
    pub suggestion: Option<&'static str>,
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// The durations an objective may name. Schedule lag and wait are the generator's and the pool's
/// own: validity judges the one, the other is part of response time.
const TIMINGS: [Timing; 5] =
    [Timing::ResponseTime, Timing::ServiceTime, Timing::ConnectTime, Timing::TlsTime, Timing::FirstByteTime];

const COUNTABLES: [Countable; 6] = [
    Countable::Requests,
    Countable::Succeeded,
    Countable::Failed,
    Countable::Dropped,
    Countable::Cut,
    Countable::Iterations,
];

/// Figures that take nothing in parentheses.
const PLAIN: [Measure; 6] = [
    Measure::ErrorRatio,
    Measure::Availability,
    Measure::DroppedRatio,
    Measure::Throughput,
    Measure::ByteRate,
    Measure::GoodputRetained,
];

/// The names of figures that a slip of the finger may have meant.
const MEASURE_NAMES: [&str; 9] = [
    "mean",
    "max",
    "count",
    "error_ratio",
    "availability",
    "dropped_ratio",
    "throughput",
    "byte_rate",
    "goodput_retained",
];

const ALLOWED_MEASURES: &str = "`p50(X)` to `p99.99(X)`, `mean(X)`, `max(X)`, `count(X)`, `error_ratio`, \
                                `availability`, `dropped_ratio`, `throughput`, `byte_rate` or `goodput_retained`";

impl Countable {
    /// Its name in parentheses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timing(timing) => timing.name(),
            Self::Requests => "requests",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Cut => "cut",
            Self::Iterations => "iterations",
        }
    }
}

impl Measure {
    /// The duration it looks at, if it looks at one.
    pub fn timing(self) -> Option<Timing> {
        match self {
            Self::Quantile(_, timing)
            | Self::Mean(timing)
            | Self::Max(timing)
            | Self::Count(Countable::Timing(timing)) => Some(timing),
            Self::Count(_)
            | Self::ErrorRatio
            | Self::Availability
            | Self::DroppedRatio
            | Self::Throughput
            | Self::ByteRate
            | Self::GoodputRetained => None,
        }
    }

    /// Writes a value of this figure so that an objective's bound reads it back exactly.
    fn exact(self, value: f64) -> String {
        match self {
            Self::Quantile(..) | Self::Mean(_) | Self::Max(_) => {
                duration::format(Duration::from_nanos(nanos(value)))
            }
            Self::ErrorRatio | Self::Availability | Self::DroppedRatio | Self::GoodputRetained => {
                let percent = Ratio::new(value).map(|ratio| ratio.to_string()).unwrap_or_default();
                // Shares finer than the percentage shows are written as they are.
                let same = share(&percent).is_some_and(|back| back == value);
                if same { percent } else { value.to_string() }
            }
            Self::Throughput => format!("{value}/s"),
            Self::ByteRate => {
                let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
                let whole = units.into_iter().find(|(_, size)| value >= *size && value % size == 0.0);
                let (unit, size) = whole.unwrap_or(("B", 1.0));
                format!("{}{unit}/s", value / size)
            }
            Self::Count(_) => value.to_string(),
        }
    }

    /// Writes a value of this figure for people, with about three significant digits.
    pub fn human(self, value: f64) -> String {
        match self {
            Self::Quantile(..) | Self::Mean(_) | Self::Max(_) => duration::human(value),
            Self::ErrorRatio | Self::Availability | Self::DroppedRatio | Self::GoodputRetained => {
                format!("{}%", (value * 1e6).round() / 1e4)
            }
            Self::Throughput => format!("{}/s", (value * 100.0).round() / 100.0),
            Self::ByteRate => format!("{}/s", ByteCount(value.round() as u64)),
            Self::Count(_) => value.to_string(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile(quantile, timing) => write!(f, "{quantile}({})", timing.name()),
            Self::Mean(timing) => write!(f, "mean({})", timing.name()),
            Self::Max(timing) => write!(f, "max({})", timing.name()),
            Self::Count(countable) => write!(f, "count({})", countable.name()),
            Self::ErrorRatio => f.write_str("error_ratio"),
            Self::Availability => f.write_str("availability"),
            Self::DroppedRatio => f.write_str("dropped_ratio"),
            Self::Throughput => f.write_str("throughput"),
            Self::ByteRate => f.write_str("byte_rate"),
            Self::GoodputRetained => f.write_str("goodput_retained"),
        }
    }
}

impl Comparison {
    /// Longer signs first, so that `<=` is not read as `<`.
    const ALL: [Self; 4] = [Self::Le, Self::Ge, Self::Lt, Self::Gt];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Le => "<=",
            Self::Lt => "<",
            Self::Ge => ">=",
            Self::Gt => ">",
        }
    }

    /// Whether less is better.
    pub fn wants_less(self) -> bool {
        matches!(self, Self::Le | Self::Lt)
    }
}

impl Expression {
    /// Reads an objective such as `p95(response_time) <= 250ms`.
    ///
    /// # Errors
    /// When the text is not one: where, what was found, what is allowed. A bound that nothing can
    /// keep (`error_ratio < 0`, `availability > 100%`, a duration of zero) is refused too.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut cursor = Cursor { text, at: 0 };
        let measure = cursor.measure()?;
        let comparison = cursor.comparison()?;
        let bound = cursor.bound(measure, comparison)?;
        Ok(Self { measure, comparison, bound })
    }

    /// The threshold in nanoseconds that must be among the counted edges for the objective to be
    /// exact: that of a quantile over a value. Durations are whole nanoseconds, so `< T` counts what
    /// is at or below T - 1 ns, and `>= T` is its complement.
    pub fn threshold_nanos(&self) -> Option<u64> {
        let (Measure::Quantile(..), Bound::Value(seconds)) = (self.measure, self.bound) else {
            return None;
        };
        Some(match self.comparison {
            Comparison::Le | Comparison::Gt => nanos(seconds),
            Comparison::Lt | Comparison::Ge => nanos(seconds).saturating_sub(1),
        })
    }

    /// The share of events that may be bad, counted like [`crate::Status::bad_events`]: 5% for
    /// `p95(response_time) <= 250ms`, 1% for `availability >= 99%`. `None` where no bad events are allowed for:
    /// the figure counts none, is compared with a stage, or is to be bad.
    pub fn allowed_bad_share(&self) -> Option<f64> {
        let Bound::Value(bound) = self.bound else { return None };
        match (self.measure, self.comparison.wants_less()) {
            (Measure::Quantile(quantile, _), true) => Some(1.0 - quantile.share()),
            (Measure::Quantile(quantile, _), false) => Some(quantile.share()),
            (Measure::ErrorRatio | Measure::DroppedRatio, true) => Some(bound),
            (Measure::Availability, false) => Some(1.0 - bound),
            _ => None,
        }
    }

    /// Whether a figure that is known exactly is as promised; `None` where it is compared with a stage.
    pub fn holds(&self, observed: f64) -> Option<bool> {
        let Bound::Value(bound) = self.bound else { return None };
        Some(self.comparison.holds(observed, bound))
    }

    /// How far a figure may still rise before it reaches the bound, 0 when it is beyond, in base units. `None` where it
    /// may rise for ever or is compared with a stage.
    pub fn left(&self, observed: f64) -> Option<f64> {
        let Bound::Value(bound) = self.bound else { return None };
        self.comparison.wants_less().then(|| (bound - observed).max(0.0))
    }
}

/// Whole nanoseconds; exact for what was read from text up to 52 days (2^52 ns).
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

impl fmt::Display for Expression {
    /// Writes it so that [`Expression::parse`] reads the same one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.measure, self.comparison.sign())?;
        match self.bound {
            Bound::Value(value) => f.write_str(&self.measure.exact(value)),
            Bound::Stage { factor: 1.0, stage } => write!(f, "stage({stage})"),
            Bound::Stage { factor, stage } => write!(f, "{factor} x stage({stage})"),
        }
    }
}

/// Reads from left to right; `at` is the byte that comes next.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The run of letters, digits, `_` and `.` that comes next, perhaps empty.
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// An error at byte `column`: what stands there is its word, else its first character.
    fn error(&self, column: usize, allowed: impl Into<String>) -> ExpressionError {
        let mut there = Cursor { text: self.text, at: column };
        let word = there.word();
        let column = there.at - word.len();
        let found = match self.text[column..].chars().next() {
            None => "the end".to_owned(),
            Some(c) if word.is_empty() => format!("`{c}`"),
            Some(_) => format!("`{word}`"),
        };
        ExpressionError { column, found, allowed: allowed.into(), suggestion: None }
    }

    fn measure(&mut self) -> Result<Measure, ExpressionError> {
        let start = self.at;
        let word = self.word();
        let plain = PLAIN.into_iter().find(|measure| measure.to_string() == word);
        if let Some(measure) = plain {
            return Ok(measure);
        }
        match word {
            "mean" => Ok(Measure::Mean(self.argument(timing, &timing_names())?)),
            "max" => Ok(Measure::Max(self.argument(timing, &timing_names())?)),
            "count" => Ok(Measure::Count(self.argument(countable, &countable_names())?)),
            _ => match word.parse::<Quantile>() {
                // p0 would be the minimum, which promises nothing.
                Ok(quantile) if quantile.share() > 0.0 => {
                    Ok(Measure::Quantile(quantile, self.argument(timing, &timing_names())?))
                }
                _ => {
                    let suggestion = closest(word, MEASURE_NAMES);
                    Err(ExpressionError { suggestion, ..self.error(start, ALLOWED_MEASURES) })
                }
            },
        }
    }

    /// What stands in parentheses.
    fn argument<T>(
        &mut self,
        read: impl Fn(&str) -> Option<T>,
        names: &[&'static str],
    ) -> Result<T, ExpressionError> {
        if !self.take("(") {
            return Err(self.error(self.at, format!("`(` and one of {}", listed(names))));
        }
        let start = self.at;
        let word = self.word();
        let Some(argument) = read(word) else {
            let suggestion = closest(word, names.iter().copied());
            return Err(ExpressionError { suggestion, ..self.error(start, listed(names)) });
        };
        if !self.take(")") {
            return Err(self.error(self.at, "`)`"));
        }
        Ok(argument)
    }

    fn comparison(&mut self) -> Result<Comparison, ExpressionError> {
        let found = Comparison::ALL.into_iter().find(|comparison| self.take(comparison.sign()));
        found.ok_or_else(|| self.error(self.at, "`<=`, `<`, `>=` or `>`"))
    }

    fn bound(&mut self, measure: Measure, comparison: Comparison) -> Result<Bound, ExpressionError> {
        self.skip_space();
        let (column, text) = (self.at, self.rest().trim_end());
        if text.ends_with(')') && measure != Measure::GoodputRetained {
            return self.stage_bound();
        }
        let wrong = |allowed: String| {
            let found = if text.is_empty() { "the end".to_owned() } else { format!("`{text}`") };
            ExpressionError { column, found, allowed, suggestion: None }
        };
        let value = bound_value(measure, text).map_err(|allowed| wrong(allowed.to_owned()))?;
        let hopeless = match measure {
            Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) => value == 0.0,
            Measure::ErrorRatio
            | Measure::Availability
            | Measure::DroppedRatio
            | Measure::GoodputRetained => {
                comparison == Comparison::Lt && value == 0.0 || comparison == Comparison::Gt && value == 1.0
            }
            Measure::Throughput | Measure::ByteRate | Measure::Count(_) => {
                comparison == Comparison::Lt && value == 0.0
            }
        };
        if hopeless {
            return Err(wrong("a bound that can be kept and missed".to_owned()));
        }
        Ok(Bound::Value(value))
    }

    /// `stage(0)`, `1.5 x stage(0)`, `1.5x stage(0)`.
    fn stage_bound(&mut self) -> Result<Bound, ExpressionError> {
        const ALLOWED: &str = "a value, or a multiple of a stage like `1.5 x stage(0)`";
        self.skip_space();
        let start = self.at;
        let digits = self.rest();
        let end = digits.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(digits.len());
        self.at += end;
        let factor = if end == 0 {
            1.0
        } else {
            let factor =
                digits[..end].parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
            let factor = factor.ok_or_else(|| self.error(start, "a factor above zero"))?;
            if !self.take("x") && !self.take("*") {
                return Err(self.error(start, ALLOWED));
            }
            factor
        };
        let start = self.at;
        if self.word() != "stage" || !self.take("(") {
            return Err(self.error(start, ALLOWED));
        }
        let start = self.at;
        let stage = self.word();
        let digits_only = stage.bytes().all(|byte| byte.is_ascii_digit());
        let stage = stage.parse().ok().filter(|_| digits_only);
        let stage = stage.ok_or_else(|| self.error(start, "the index of a stage, from 0"))?;
        if !self.take(")") {
            return Err(self.error(self.at, "`)`"));
        }
        self.skip_space();
        if !self.rest().is_empty() {
            return Err(self.error(self.at, "nothing more"));
        }
        Ok(Bound::Stage { factor, stage })
    }
}

/// Reads a bound in the unit of its figure, else says what is allowed.
fn bound_value(measure: Measure, text: &str) -> Result<f64, &'static str> {
    match measure {
        Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) => duration::parse(text)
            .map(|duration| duration.as_nanos() as f64 / 1e9)
            .map_err(|_| "a duration with a unit, like `250ms` or `1.5s`"),
        Measure::ErrorRatio | Measure::Availability | Measure::DroppedRatio | Measure::GoodputRetained => {
            share(text).ok_or("a percentage like `0.1%` or a share from 0 to 1 like `0.001`")
        }
        Measure::Throughput => {
            text.parse().map(Rate::per_second).map_err(|_| "a rate like `450/s` or `30k/min`")
        }
        Measure::ByteRate => text
            .strip_suffix("/s")
            .and_then(|size| size.parse().ok())
            .map(|ByteCount(bytes)| bytes as f64)
            .ok_or("a size per second, like `10MB/s` or `512KiB/s`"),
        Measure::Count(_) => count(text).ok_or("a whole number, like `1000`, `10_000` or `10k`"),
    }
}

/// Reads `0.7%` and `0.007` as the same number: a hundredth of 0.7 is not the closest double to 0.007.
fn share(text: &str) -> Option<f64> {
    let share = text.parse().ok().map(Ratio::get)?;
    let closest = (share * 1e12).round() / 1e12;
    Some(if (closest - share).abs() <= 1e-15 * share { closest } else { share })
}

/// Reads `1000`, `10_000`, `10k`, `2M`, up to 2^53, below which every count is exact.
fn count(text: &str) -> Option<f64> {
    let (digits, multiple) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let count = digits.replace('_', "").parse::<u64>().ok().filter(|_| plain)?.checked_mul(multiple)?;
    (count <= 1 << 53).then_some(count as f64)
}

fn timing(name: &str) -> Option<Timing> {
    TIMINGS.into_iter().find(|timing| timing.name() == name)
}

fn countable(name: &str) -> Option<Countable> {
    let others = COUNTABLES.into_iter().find(|countable| countable.name() == name);
    others.or_else(|| timing(name).map(Countable::Timing))
}

fn timing_names() -> Vec<&'static str> {
    TIMINGS.iter().map(|timing| timing.name()).collect()
}

fn countable_names() -> Vec<&'static str> {
    COUNTABLES.iter().map(|countable| countable.name()).chain(timing_names()).collect()
}

/// `a`, `b` or `c`.
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

/// The name that a few slips of the finger (a third of its letters) turn into `word`.
fn closest(word: &str, names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let distances = names.into_iter().map(|name| (edits(word, name), name));
    distances.filter(|(edits, name)| *edits <= name.len() / 3).min().map(|(_, name)| name)
}

/// The Levenshtein distance in characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, written) in [
            ("p95(response_time) <= 250ms", "p95(response_time) <= 250ms"),
            (" p99.9( service_time )<1.5s ", "p99.9(service_time) < 1s500ms"),
            ("mean(connect_time) <= 5ms", "mean(connect_time) <= 5ms"),
            ("max(first_byte_time) < 1m30s", "max(first_byte_time) < 1m30s"),
            ("p50(tls_time) >= 10us", "p50(tls_time) >= 10us"),
            ("error_ratio <= 0.1%", "error_ratio <= 0.1%"),
            ("error_ratio <= 0.007", "error_ratio <= 0.7%"),
            ("availability >= 99.95%", "availability >= 99.95%"),
            ("dropped_ratio <= 0", "dropped_ratio <= 0%"),
            ("throughput >= 450/s", "throughput >= 450/s"),
            ("throughput > 30k/min", "throughput > 500/s"),
            ("byte_rate >= 10MB/s", "byte_rate >= 10MB/s"),
            ("byte_rate < 1.5kB/s", "byte_rate < 1500B/s"),
            ("count(requests) >= 10_000", "count(requests) >= 10000"),
            ("count(failed) <= 10k", "count(failed) <= 10000"),
            ("count(response_time) > 0", "count(response_time) > 0"),
            ("count(cut) <= 0", "count(cut) <= 0"),
            ("p95(response_time) <= 1.5 x stage(0)", "p95(response_time) <= 1.5 x stage(0)"),
            ("p95(response_time) <= 1.5x stage(0)", "p95(response_time) <= 1.5 x stage(0)"),
            ("p95(response_time) <= 2 * stage(1)", "p95(response_time) <= 2 x stage(1)"),
            ("error_ratio <= stage(0)", "error_ratio <= stage(0)"),
            ("goodput_retained >= 80%", "goodput_retained >= 80%"),
        ] {
            let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.to_string(), written);
            assert_eq!(Expression::parse(written), Ok(expression), "{written}");
        }
    }

    #[test]
    fn says_where_what_was_found_and_what_is_allowed() {
        for (text, message) in [
            (
                "",
                "the end at byte 0 is not an objective; write `p50(X)` to `p99.99(X)`, `mean(X)`, `max(X)`, `count(X)`, `error_ratio`, `availability`, `dropped_ratio`, `throughput`, `byte_rate` or `goodput_retained`",
            ),
            (
                "p95(respons_time) <= 1s",
                "`respons_time` at byte 4 is not an objective; write `response_time`, `service_time`, `connect_time`, `tls_time` or `first_byte_time` (did you mean `response_time`?)",
            ),
            (
                "p95 <= 1s",
                "`<` at byte 4 is not an objective; write `(` and one of `response_time`, `service_time`, `connect_time`, `tls_time` or `first_byte_time`",
            ),
            ("p95(response_time <= 1s", "`<` at byte 18 is not an objective; write `)`"),
            ("p95(response_time) = 1s", "`=` at byte 19 is not an objective; write `<=`, `<`, `>=` or `>`"),
            (
                "p95(response_time) <= 250",
                "`250` at byte 22 is not an objective; write a duration with a unit, like `250ms` or `1.5s`",
            ),
            (
                "throughput >= 450",
                "`450` at byte 14 is not an objective; write a rate like `450/s` or `30k/min`",
            ),
            (
                "error_ratio <=",
                "the end at byte 14 is not an objective; write a percentage like `0.1%` or a share from 0 to 1 like `0.001`",
            ),
            (
                "error_ratio < 0%",
                "`0%` at byte 14 is not an objective; write a bound that can be kept and missed",
            ),
            (
                "max(tls_time) <= 2 x stages(0)",
                "`stages` at byte 21 is not an objective; write a value, or a multiple of a stage like `1.5 x stage(0)`",
            ),
        ] {
            assert_eq!(Expression::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn suggests_what_was_probably_meant() {
        for (text, suggestion) in [
            ("eror_ratio <= 1%", Some("error_ratio")),
            ("troughput >= 1/s", Some("throughput")),
            ("availabilty >= 1%", Some("availability")),
            ("goodput_retaind >= 80%", Some("goodput_retained")),
            ("count(request) > 1", Some("requests")),
            ("mean(wait) <= 1s", None),
            ("latency <= 1s", None),
        ] {
            assert_eq!(Expression::parse(text).unwrap_err().suggestion, suggestion, "{text}");
        }
    }

    #[test]
    fn refuses_what_nobody_can_compute() {
        for text in [
            "min(response_time) <= 1s",
            "p0(response_time) <= 1s",
            "p100(response_time) <= 1s",
            "p95(schedule_lag) <= 1s",
            "p95(response_time) <= 0s",
            "p95(response_time) <= -1s",
            "p95(response_time) <= 1s or else",
            "availability > 100%",
            "count(requests) < 0",
            "count(requests) >= 1.5",
            "count(requests) >= 99999999999999999999",
            "throughput >= 1e9/s",
            "byte_rate >= 10MB",
            "p95(response_time) <= 0 x stage(0)",
            "p95(response_time) <= 1.5 stage(0)",
            "p95(response_time) <= 1.5 x stage(-1)",
            "p95(response_time) <= 1.5 x stage(99999)",
            "p95(response_time) <= stage(+1)",
            "p95(response_time) <= stage(0)) ",
            "goodput_retained >= stage(0)",
            "goodput_retained >= 120%",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_threshold_is_a_counted_edge_and_strict_ones_lie_a_nanosecond_below() {
        for (text, edge) in [
            ("p95(response_time) <= 250ms", Some(250_000_000)),
            ("p95(response_time) > 250ms", Some(250_000_000)),
            ("p95(response_time) < 250ms", Some(249_999_999)),
            ("p95(response_time) >= 250ms", Some(249_999_999)),
            ("p95(response_time) <= 2 x stage(0)", None),
            ("max(response_time) <= 250ms", None),
            ("error_ratio <= 1%", None),
        ] {
            assert_eq!(Expression::parse(text).unwrap().threshold_nanos(), edge, "{text}");
        }
    }

    #[test]
    fn says_how_many_may_be_bad_and_how_far_the_bound_is() {
        for (text, observed, allowed, left) in [
            ("p95(response_time) <= 250ms", 0.1, Some(0.05), Some(0.15)),
            ("p95(response_time) < 250ms", 0.3, Some(0.05), Some(0.0)),
            ("p95(response_time) > 250ms", 0.1, Some(0.95), None),
            ("p95(response_time) <= 2 x stage(0)", 0.1, None, None),
            ("error_ratio <= 1%", 0.01, Some(0.01), Some(0.0)),
            ("error_ratio >= 1%", 0.01, None, None),
            ("dropped_ratio <= 0", 0.0, Some(0.0), Some(0.0)),
            ("availability >= 99%", 0.995, Some(0.01), None),
            ("mean(response_time) <= 1s", 0.25, None, Some(0.75)),
            ("throughput >= 5/s", 6.0, None, None),
        ] {
            let close = |one: Option<f64>, other: Option<f64>| match one.zip(other) {
                Some((one, other)) => (one - other).abs() < 1e-12,
                None => one == other,
            };
            let expression = Expression::parse(text).unwrap();
            assert!(close(expression.allowed_bad_share(), allowed), "{text}");
            assert!(close(expression.left(observed), left), "{text}");
        }
    }

    fn measure() -> impl Strategy<Value = Measure> {
        let timing = prop::sample::select(&TIMINGS[..]);
        let quantile = (1_u32..1_000_000).prop_map(|ppm| Quantile::from_ppm(ppm).unwrap());
        prop_oneof![
            (quantile, timing.clone()).prop_map(|(quantile, timing)| Measure::Quantile(quantile, timing)),
            timing.clone().prop_map(Measure::Mean),
            timing.clone().prop_map(Measure::Max),
            timing.prop_map(|timing| Measure::Count(Countable::Timing(timing))),
            prop::sample::select(&COUNTABLES[..]).prop_map(Measure::Count),
            prop::sample::select(&PLAIN[..]),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            measure in measure(),
            comparison in prop::sample::select(&Comparison::ALL[..]),
            whole in 1_u64..1_000_000_000_000,
            share in 0.000001..0.999999_f64,
            stage in any::<Option<u16>>(),
        ) {
            let value = match measure {
                Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) => whole as f64 / 1e9,
                Measure::ErrorRatio
                | Measure::Availability
                | Measure::DroppedRatio
                | Measure::GoodputRetained => share,
                Measure::Throughput => share * 1e6,
                Measure::ByteRate | Measure::Count(_) => whole as f64,
            };
            let stage = stage.filter(|_| measure != Measure::GoodputRetained);
            let bound = stage.map_or(Bound::Value(value), |stage| Bound::Stage { factor: share * 10.0, stage });
            let expression = Expression { measure, comparison, bound };
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = Expression::parse(&text);
        }

        #[test]
        fn no_text_that_begins_well_panics(
            measure in measure(), sign in "(<=|<|>=|>|=)? ?", text in "[0-9xkMGBs./()% stage*_é-]{0,20}",
        ) {
            let _ = Expression::parse(&format!("{measure} {sign}{text}"));
        }
    }
}
