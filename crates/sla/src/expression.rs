use std::fmt;
use std::time::Duration;

use plimsoll_measure::{ResourceFigure, ResourceUnit, SECOND, Timing, ValueForm, ValueName, ValueUnit};
use plimsoll_units::{ByteCount, Quantile, Rate, Ratio, duration};

use crate::resource::{self, OfResource, ResourceName};

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
    /// The share of requests that succeeded within so many nanoseconds.
    Within(Timing, u64),
    /// Apdex for a target time in nanoseconds: requests that succeeded within it count 1, those that did within four
    /// times as long 1/2 (Apdex Technical Specification 1.1, section 4).
    Apdex(Timing, u64),
    /// dropped / arrivals due.
    DroppedRatio,
    /// Succeeded requests done per second.
    Throughput,
    /// Bytes received per second.
    ByteRate,
    /// How long the target takes after a spike until it is what it was before, in seconds: the longest of all
    /// spikes of the run.
    RecoveryTime,
    /// A figure of what the plan takes from replies.
    Own(OwnFigure, OwnValue),
    /// What the readings of a resource say; the unit is that of its bound.
    Resource(OfResource, ResourceName, ResourceUnit),
    /// What is left of the throughput at the limit when several times the limit is offered. No run at one load shows
    /// it: an [`crate::Evaluator`] finds it inconclusive, and whoever overloads the target judges it.
    GoodputRetained,
}

/// A value that the plan takes from replies, as objectives know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnValue {
    /// Its position among the run's.
    pub index: u16,
    /// Its name.
    pub name: ValueName,
    /// What becomes of it.
    pub form: ValueForm,
    /// What it is in.
    pub unit: ValueUnit,
}

/// What an objective may look at in values that the plan takes from replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnFigure {
    /// A quantile, of a histogram.
    Quantile(Quantile),
    /// The mean, of a histogram.
    Mean,
    /// The largest, of a histogram.
    Max,
    /// How many replies had one, of a histogram.
    Count,
    /// The share of those that are the one looked for, of a ratio.
    Ratio,
    /// The sum per second, of a counter.
    Rate,
}

impl OwnFigure {
    /// The form of value that has this figure.
    fn form(self) -> ValueForm {
        match self {
            Self::Quantile(_) | Self::Mean | Self::Max | Self::Count => ValueForm::Histogram,
            Self::Ratio => ValueForm::Ratio,
            Self::Rate => ValueForm::Counter,
        }
    }
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
#[error("{found} at byte {column} is not an objective; write {allowed}{}", hint(suggestion.as_deref()))]
pub struct ExpressionError {
    /// Where in the text, in bytes from 0.
    pub column: usize,
    /// What stands there: a word in back quotes, or `the end`.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
    /// What was probably meant, where one allowed word is close to what stands there.
    pub suggestion: Option<String>,
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
const PLAIN: [Measure; 7] = [
    Measure::ErrorRatio,
    Measure::Availability,
    Measure::DroppedRatio,
    Measure::Throughput,
    Measure::ByteRate,
    Measure::RecoveryTime,
    Measure::GoodputRetained,
];

/// The names of figures that a slip of the finger may have meant.
const MEASURE_NAMES: [&str; 12] = [
    "within",
    "apdex",
    "mean",
    "max",
    "count",
    "error_ratio",
    "availability",
    "dropped_ratio",
    "throughput",
    "byte_rate",
    "recovery_time",
    "goodput_retained",
];

/// The same of figures that only resources have.
const RESOURCE_NAMES: [&str; 3] = ["min", "last", "leak"];

const ALLOWED_MEASURES: &str = "`p50(X)` to `p99.99(X)`, `mean(X)`, `max(X)`, `count(X)`, `error_ratio`, \
                                `availability`, `within(X, 250ms)`, `apdex(X, 250ms)`, `dropped_ratio`, `throughput`, `byte_rate`, `recovery_time` or `goodput_retained`";

/// The names that figures have already, so that no value of a plan's own can be called so.
pub fn figure_names() -> impl Iterator<Item = &'static str> {
    let timings = Timing::ALL.into_iter().map(Timing::name);
    let countables = COUNTABLES.into_iter().map(Countable::name);
    MEASURE_NAMES.into_iter().chain(["rate", "ratio", "stage"]).chain(timings).chain(countables)
}

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
            | Self::Within(timing, _)
            | Self::Apdex(timing, _)
            | Self::Count(Countable::Timing(timing)) => Some(timing),
            Self::Count(_)
            | Self::ErrorRatio
            | Self::Availability
            | Self::DroppedRatio
            | Self::Throughput
            | Self::ByteRate
            | Self::RecoveryTime
            | Self::Own(..)
            | Self::Resource(..)
            | Self::GoodputRetained => None,
        }
    }

    /// The figure of a resource that it looks at, if it looks at one, and what it looks at in it.
    pub fn resource(&self) -> Option<(OfResource, &ResourceName)> {
        match self {
            Self::Resource(of, name, _) => Some((*of, name)),
            _ => None,
        }
    }

    /// Whether it asks if a resource leaks.
    pub fn is_leak(&self) -> bool {
        matches!(self, Self::Resource(OfResource::Leak, ..))
    }

    /// The value of the plan's own that it looks at, if it looks at one.
    pub fn own(self) -> Option<OwnValue> {
        match self {
            Self::Own(_, value) => Some(value),
            _ => None,
        }
    }

    /// How many of what its histogram counts make one of its unit.
    pub(crate) fn ticks_per_one(self) -> u64 {
        self.own().map_or(SECOND, |value| value.unit.ticks_per_one())
    }

    /// Writes a value of this figure so that an objective's bound reads it back exactly.
    fn exact(self, value: f64) -> String {
        match self {
            Self::Quantile(..) | Self::Mean(_) | Self::Max(_) | Self::RecoveryTime => {
                duration::format(Duration::from_nanos(nanos(value)))
            }
            Self::ErrorRatio
            | Self::Availability
            | Self::Within(..)
            | Self::DroppedRatio
            | Self::GoodputRetained => {
                let percent = Ratio::new(value).map(|ratio| ratio.to_string()).unwrap_or_default();
                // Shares finer than the percentage shows are written as they are.
                let same = share(&percent).is_some_and(|back| back == value);
                if same { percent } else { value.to_string() }
            }
            Self::Throughput => format!("{value}/s"),
            Self::ByteRate => format!("{}/s", exact_size(value)),
            Self::Count(_) | Self::Apdex(..) => value.to_string(),
            Self::Resource(_, _, unit) => resource::exact(unit, value),
            Self::Own(figure, OwnValue { unit, .. }) => match (figure, unit) {
                (OwnFigure::Quantile(_) | OwnFigure::Mean | OwnFigure::Max, ValueUnit::Seconds) => {
                    duration::format(Duration::from_nanos(nanos(value)))
                }
                (OwnFigure::Quantile(_) | OwnFigure::Mean | OwnFigure::Max, ValueUnit::Bytes) => {
                    exact_size(value)
                }
                (OwnFigure::Ratio, _) => Self::Availability.exact(value),
                (OwnFigure::Rate, ValueUnit::Bytes) => Self::ByteRate.exact(value),
                (OwnFigure::Rate, _) => Self::Throughput.exact(value),
                (_, ValueUnit::Number) | (OwnFigure::Count, _) => value.to_string(),
            },
        }
    }

    /// Writes a value of this figure for people, with about three significant digits.
    pub fn human(self, value: f64) -> String {
        match self {
            Self::Quantile(..) | Self::Mean(_) | Self::Max(_) | Self::RecoveryTime => duration::human(value),
            Self::ErrorRatio
            | Self::Availability
            | Self::Within(..)
            | Self::DroppedRatio
            | Self::GoodputRetained => format!("{}%", (value * 1e6).round() / 1e4),
            Self::Apdex(..) => ((value * 1000.0).round() / 1000.0).to_string(),
            Self::Throughput => format!("{}/s", (value * 100.0).round() / 100.0),
            Self::ByteRate => format!("{}/s", ByteCount(value.round() as u64)),
            Self::Count(_) => value.to_string(),
            Self::Resource(OfResource::Leak, _, unit) => resource::growth(unit, value),
            Self::Resource(_, _, unit) => resource::human(unit, value),
            Self::Own(figure, OwnValue { unit, .. }) => match (figure, unit) {
                (OwnFigure::Quantile(_) | OwnFigure::Mean | OwnFigure::Max, ValueUnit::Seconds) => {
                    duration::human(value)
                }
                (OwnFigure::Quantile(_) | OwnFigure::Mean | OwnFigure::Max, ValueUnit::Bytes) => {
                    ByteCount(value.round() as u64).to_string()
                }
                (OwnFigure::Ratio, _) => Self::Availability.human(value),
                (OwnFigure::Rate, ValueUnit::Bytes) => Self::ByteRate.human(value),
                (OwnFigure::Rate, _) => Self::Throughput.human(value),
                (_, ValueUnit::Number) | (OwnFigure::Count, _) => {
                    ((value * 1000.0).round() / 1000.0).to_string()
                }
            },
        }
    }
}

/// A number of bytes in the largest unit that writes it without a fraction.
pub(crate) fn exact_size(bytes: f64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let whole = units.into_iter().find(|(_, size)| bytes >= *size && bytes % size == 0.0);
    let (unit, size) = whole.unwrap_or(("B", 1.0));
    format!("{}{unit}", bytes / size)
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
            Self::Within(timing, nanos) => {
                write!(f, "within({}, {})", timing.name(), duration::format(Duration::from_nanos(*nanos)))
            }
            Self::Apdex(timing, nanos) => {
                write!(f, "apdex({}, {})", timing.name(), duration::format(Duration::from_nanos(*nanos)))
            }
            Self::DroppedRatio => f.write_str("dropped_ratio"),
            Self::Throughput => f.write_str("throughput"),
            Self::ByteRate => f.write_str("byte_rate"),
            Self::RecoveryTime => f.write_str("recovery_time"),
            Self::GoodputRetained => f.write_str("goodput_retained"),
            Self::Resource(of, name, _) => write!(f, "{of}({name})"),
            Self::Own(figure, value) => match figure {
                OwnFigure::Quantile(quantile) => write!(f, "{quantile}({})", value.name),
                OwnFigure::Mean => write!(f, "mean({})", value.name),
                OwnFigure::Max => write!(f, "max({})", value.name),
                OwnFigure::Count => write!(f, "count({})", value.name),
                OwnFigure::Ratio => write!(f, "ratio({})", value.name),
                OwnFigure::Rate => write!(f, "rate({})", value.name),
            },
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
        Self::parse_with(text, &[])
    }

    /// The same where a plan takes values of its own from replies, like `p95(db_time) <= 50ms` or
    /// `ratio(cache_hit) >= 90%`.
    ///
    /// # Errors
    /// As [`Self::parse`]; what is allowed names the plan's own.
    pub fn parse_with(text: &str, own: &[OwnValue]) -> Result<Self, ExpressionError> {
        Self::read(Cursor { text, at: 0, own, resources: false })
    }

    /// The same where a plan also has resources, like `max(memory) <= 100MB` or `leak(shop.heap) = none`. Whether there
    /// is such a source and figure, nobody looks here.
    ///
    /// # Errors
    /// As [`Self::parse_with`].
    pub fn parse_beside(text: &str, own: &[OwnValue]) -> Result<Self, ExpressionError> {
        Self::read(Cursor { text, at: 0, own, resources: true })
    }

    /// The figure of a resource that an objective is about, whatever stands behind it.
    pub fn resource_in(text: &str, own: &[OwnValue]) -> Option<ResourceName> {
        let measure = Cursor { text, at: 0, own, resources: true }.measure().ok()?;
        measure.resource().map(|(_, name)| *name)
    }

    fn read(mut cursor: Cursor<'_>) -> Result<Self, ExpressionError> {
        let measure = cursor.measure()?;
        if measure.is_leak() {
            cursor.none()?;
            return Ok(Self { measure, comparison: Comparison::Le, bound: Bound::Value(0.0) });
        }
        let comparison = cursor.comparison()?;
        let bound = cursor.bound(measure, comparison)?;
        Ok(Self { measure, comparison, bound })
    }

    /// The durations in nanoseconds that must be among the counted edges for the objective to be exact:
    /// [`Self::threshold_nanos`], and those that are part of the figure.
    pub fn counted_nanos(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, second) = match self.measure {
            Measure::Within(_, nanos) => (Some(nanos), None),
            Measure::Apdex(_, nanos) => (Some(nanos), Some(4 * nanos)),
            _ => (self.threshold_nanos(), None),
        };
        first.into_iter().chain(second)
    }

    /// The threshold in nanoseconds of a quantile over a value. Durations are whole nanoseconds, so `< T` counts what
    /// is at or below T - 1 ns, and `>= T` is its complement.
    pub fn threshold_nanos(&self) -> Option<u64> {
        self.threshold().filter(|_| self.measure.own().is_none())
    }

    /// The same of a quantile of anything: in ticks for a value of the plan's own.
    pub fn threshold(&self) -> Option<u64> {
        let Bound::Value(value) = self.bound else { return None };
        let ticks = match self.measure {
            Measure::Quantile(..) => nanos(value),
            Measure::Own(OwnFigure::Quantile(_), own) => own.unit.ticks(value)?,
            _ => return None,
        };
        Some(match self.comparison {
            Comparison::Le | Comparison::Gt => ticks,
            Comparison::Lt | Comparison::Ge => ticks.saturating_sub(1),
        })
    }

    /// The share of events that may be bad, counted like [`crate::Status::bad_events`]: 5% for
    /// `p95(response_time) <= 250ms`, 1% for `availability >= 99%`. `None` where no bad events are allowed for:
    /// the figure counts none, is compared with a stage, or is to be bad.
    pub fn allowed_bad_share(&self) -> Option<f64> {
        let Bound::Value(bound) = self.bound else { return None };
        match (self.measure, self.comparison.wants_less()) {
            (Measure::Quantile(quantile, _) | Measure::Own(OwnFigure::Quantile(quantile), _), true) => {
                Some(1.0 - quantile.share())
            }
            (Measure::Quantile(quantile, _) | Measure::Own(OwnFigure::Quantile(quantile), _), false) => {
                Some(quantile.share())
            }
            (Measure::ErrorRatio | Measure::DroppedRatio | Measure::Own(OwnFigure::Ratio, _), true) => {
                Some(bound)
            }
            (
                Measure::Availability
                | Measure::Within(..)
                | Measure::Apdex(..)
                | Measure::Own(OwnFigure::Ratio, _),
                false,
            ) => Some(1.0 - bound),
            _ => None,
        }
    }

    /// Whether a figure that is known exactly is as promised; `None` where it is compared with a stage, and of leaks,
    /// whose growth is known with an interval only.
    pub fn holds(&self, observed: f64) -> Option<bool> {
        let Bound::Value(bound) = self.bound else { return None };
        // Growth that chance explains is no leak.
        if self.measure.is_leak() {
            return None;
        }
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
        if self.measure.is_leak() {
            return write!(f, "{} = none", self.measure);
        }
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
    own: &'a [OwnValue],
    /// Whether there are figures of resources.
    resources: bool,
}

/// What stands in the parentheses of a figure of durations, values or resources.
enum Argument<T> {
    BuiltIn(T),
    Own(OwnValue),
    Resource(ResourceName),
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
        let mut there = Cursor { at: column, ..*self };
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
        let any =
            |cursor: &mut Self, figure: OwnFigure, of: OfResource, built_in: &dyn Fn(Timing) -> Measure| {
                Ok(match cursor.argument(timing, &timing_names(), figure.form(), cursor.resources)? {
                    Argument::BuiltIn(timing) => built_in(timing),
                    Argument::Own(value) => Measure::Own(figure, value),
                    Argument::Resource(name) => Measure::Resource(of, name, resource::unit_of(&name)),
                })
            };
        let own = |cursor: &mut Self, figure: OwnFigure| match cursor.argument(
            |_| None::<()>,
            &[],
            figure.form(),
            false,
        )? {
            Argument::Own(value) => Ok(Measure::Own(figure, value)),
            Argument::BuiltIn(()) | Argument::Resource(_) => {
                Err(cursor.error(start, cursor.allowed_measures()))
            }
        };
        match word {
            "mean" => any(self, OwnFigure::Mean, OfResource::Mean, &Measure::Mean),
            "max" => any(self, OwnFigure::Max, OfResource::Max, &Measure::Max),
            "min" if self.resources => self.of_resource(OfResource::Min),
            "last" if self.resources => self.of_resource(OfResource::Last),
            "leak" if self.resources => self.of_resource(OfResource::Leak),
            "count" => match self.argument(countable, &countable_names(), ValueForm::Histogram, false)? {
                Argument::BuiltIn(countable) => Ok(Measure::Count(countable)),
                Argument::Own(value) => Ok(Measure::Own(OwnFigure::Count, value)),
                Argument::Resource(_) => Err(self.error(start, self.allowed_measures())),
            },
            "within" => self.timed().map(|(timing, nanos)| Measure::Within(timing, nanos)),
            "apdex" => self.timed().map(|(timing, nanos)| Measure::Apdex(timing, nanos)),
            "ratio" if self.has(ValueForm::Ratio) => own(self, OwnFigure::Ratio),
            "rate" if self.has(ValueForm::Counter) => own(self, OwnFigure::Rate),
            _ => match word.parse::<Quantile>() {
                // p0 would be the minimum, which promises nothing.
                Ok(quantile) if quantile.share() > 0.0 => {
                    let built_in = |timing| Measure::Quantile(quantile, timing);
                    any(self, OwnFigure::Quantile(quantile), OfResource::Quantile(quantile), &built_in)
                }
                _ => {
                    let of_resources = RESOURCE_NAMES.into_iter().filter(|_| self.resources);
                    let suggestion = closest(word, MEASURE_NAMES.into_iter().chain(of_resources));
                    let mut allowed = self.allowed_measures();
                    if RESOURCE_NAMES.contains(&word) {
                        allowed =
                            format!("{allowed}: `{word}` is about `resources`, and there are none here");
                    }
                    Err(ExpressionError { suggestion, ..self.error(start, allowed) })
                }
            },
        }
    }

    /// `(response_time, 250ms)`: a duration and how long it may be, in nanoseconds.
    fn timed(&mut self) -> Result<(Timing, u64), ExpressionError> {
        const TIME: &str = "a time from 1us to 1h, like `250ms`";
        const ALLOWED: std::ops::RangeInclusive<u128> = 1_000..=3_600_000_000_000;
        if !self.take("(") {
            return Err(
                self.error(self.at, "`(`, a duration like `response_time`, `,` and a time like `250ms`")
            );
        }
        self.skip_space();
        let start = self.at;
        let word = self.word();
        let Some(timing) = timing(word) else {
            let suggestion = closest(word, timing_names());
            return Err(ExpressionError { suggestion, ..self.error(start, listed(&timing_names())) });
        };
        if !self.take(",") {
            return Err(self.error(self.at, "`,` and a time like `250ms`"));
        }
        self.skip_space();
        let start = self.at;
        let time = duration::parse(self.word()).map(|time| time.as_nanos());
        let Some(nanos) = time.ok().filter(|nanos| ALLOWED.contains(nanos)) else {
            return Err(self.error(start, TIME));
        };
        if !self.take(")") {
            return Err(self.error(self.at, "`)`"));
        }
        Ok((timing, u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn has(&self, form: ValueForm) -> bool {
        self.own.iter().any(|value| value.form == form)
    }

    fn allowed_measures(&self) -> String {
        let ratio = self.has(ValueForm::Ratio).then_some("`ratio(X)`");
        let rate = self.has(ValueForm::Counter).then_some("`rate(X)`");
        let own: Vec<_> = ratio.into_iter().chain(rate).collect();
        let of_resources = match self.resources {
            true => ", or of `resources` also `min(X)`, `last(X)` or `leak(X)`",
            false => "",
        };
        if own.is_empty() {
            return format!("{ALLOWED_MEASURES}{of_resources}");
        }
        format!("{ALLOWED_MEASURES}, or of what `measure` takes {}{of_resources}", own.join(" or "))
    }

    /// `(shop.memory)` of what only resources have.
    fn of_resource(&mut self, of: OfResource) -> Result<Measure, ExpressionError> {
        const ALLOWED: &str = "a figure of `resources`, like `memory` or `shop.memory`";
        if !self.take("(") {
            return Err(self.error(self.at, format!("`(` and {ALLOWED}")));
        }
        self.skip_space();
        let start = self.at;
        let name = self.resource().ok_or_else(|| self.error(start, ALLOWED))?;
        if of == OfResource::Leak && !resource::may_leak(&name) {
            let allowed = "what can leak: `memory`, `heap`, `open_fds`, `threads`, `connections` or a gauge of bytes or things";
            return Err(self.error(start, allowed));
        }
        Ok(Measure::Resource(of, name, resource::unit_of(&name)))
    }

    /// The name of a figure of a resource and the `)` behind it. Labels may have anything within quotes.
    fn resource(&mut self) -> Option<ResourceName> {
        let (mut quoted, mut escaped, mut braces) = (false, false, false);
        let end = self.rest().find(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '{' if !quoted => braces = true,
                '}' if !quoted => braces = false,
                ')' => return !quoted && !braces,
                _ => {}
            }
            false
        })?;
        let text = self.rest()[..end].trim();
        let (head, labels) = text.split_at(text.find('{').unwrap_or(text.len()));
        let (source, base) =
            head.rsplit_once('.').map_or((None, head), |(source, base)| (Some(source), base));
        let is_whole = labels.is_empty() || labels.ends_with('}');
        let name = ResourceName::new(source, &format!("{base}{labels}")).filter(|_| is_whole)?;
        self.at += end + 1;
        Some(name)
    }

    /// `= none`.
    fn none(&mut self) -> Result<(), ExpressionError> {
        const ALLOWED: &str = "`= none`";
        self.skip_space();
        let start = self.at;
        if !self.take("=") {
            return Err(self.error(start, ALLOWED));
        }
        self.skip_space();
        let start = self.at;
        if self.word() != "none" {
            return Err(self.error(start, "`none`"));
        }
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err(self.error(self.at, "nothing more")) }
    }

    /// What stands in parentheses: something that is always there, a value of a form, or a figure of a resource.
    fn argument<T>(
        &mut self,
        read: impl Fn(&str) -> Option<T>,
        names: &[&'static str],
        form: ValueForm,
        may_be_resource: bool,
    ) -> Result<Argument<T>, ExpressionError> {
        let own = self.own;
        let own = || own.iter().filter(move |value| value.form == form);
        let names: Vec<&str> = names.iter().copied().chain(own().map(|value| value.name.as_str())).collect();
        if !self.take("(") {
            return Err(self.error(self.at, format!("`(` and one of {}", listed(&names))));
        }
        let start = self.at;
        let word = self.word();
        let built_in = read(word).map(Argument::BuiltIn);
        let named = || own().find(|value| value.name.as_str() == word).copied().map(Argument::Own);
        let Some(argument) = built_in.or_else(named) else {
            self.at = start;
            self.skip_space();
            if may_be_resource && let Some(name) = self.resource() {
                return Ok(Argument::Resource(name));
            }
            let suggestion = closest(word, names.iter().copied());
            let mut allowed = listed(&names);
            if may_be_resource {
                allowed.push_str(", or a figure of `resources`, like `memory` or `shop.memory`");
            } else if ResourceFigure::KNOWN.contains(&word) {
                allowed = format!("{allowed}: `{word}` is a figure of `resources`, and there are none here");
            }
            return Err(ExpressionError { suggestion, ..self.error(start, allowed) });
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
        let has_stages =
            !matches!(measure, Measure::GoodputRetained | Measure::RecoveryTime | Measure::Resource(..));
        if text.ends_with(')') && has_stages {
            return self.stage_bound();
        }
        let wrong = |allowed: String| {
            let found = if text.is_empty() { "the end".to_owned() } else { format!("`{text}`") };
            ExpressionError { column, found, allowed, suggestion: None }
        };
        let value = bound_value(measure, text).map_err(|allowed| wrong(allowed.to_owned()))?;
        let hopeless = match measure {
            Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) => value == 0.0,
            // A recovery that is to take long is none that anybody wants.
            Measure::RecoveryTime => !comparison.wants_less() || comparison == Comparison::Lt && value == 0.0,
            Measure::ErrorRatio
            | Measure::Availability
            | Measure::Within(..)
            | Measure::Apdex(..)
            | Measure::DroppedRatio
            | Measure::GoodputRetained => {
                comparison == Comparison::Lt && value == 0.0 || comparison == Comparison::Gt && value == 1.0
            }
            Measure::Throughput | Measure::ByteRate | Measure::Count(_) => {
                comparison == Comparison::Lt && value == 0.0
            }
            Measure::Own(OwnFigure::Ratio, _) => {
                comparison == Comparison::Lt && value == 0.0 || comparison == Comparison::Gt && value == 1.0
            }
            Measure::Own(OwnFigure::Count | OwnFigure::Rate, _) => {
                comparison == Comparison::Lt && value == 0.0
            }
            // Whatever is not a gauge of the plan's choice is at least zero.
            Measure::Resource(_, _, ResourceUnit::Count) => false,
            Measure::Resource(..) => value == 0.0 && matches!(comparison, Comparison::Lt | Comparison::Ge),
            // Every value is at least zero, and none is beyond the highest.
            Measure::Own(OwnFigure::Quantile(_) | OwnFigure::Mean | OwnFigure::Max, own) => {
                value == 0.0 && matches!(comparison, Comparison::Lt | Comparison::Ge)
                    || value > own.unit.highest() as f64
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
        Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) | Measure::RecoveryTime => {
            duration::parse(text)
                .map(|duration| duration.as_nanos() as f64 / 1e9)
                .map_err(|_| "a duration with a unit, like `250ms` or `1.5s`")
        }
        Measure::ErrorRatio
        | Measure::Availability
        | Measure::Within(..)
        | Measure::DroppedRatio
        | Measure::GoodputRetained => {
            share(text).ok_or("a percentage like `0.1%` or a share from 0 to 1 like `0.001`")
        }
        Measure::Apdex(..) => share(text).ok_or("a score from 0 to 1 like `0.9`"),
        Measure::Throughput => {
            text.parse().map(Rate::per_second).map_err(|_| "a rate like `450/s` or `30k/min`")
        }
        Measure::Resource(_, name, unit) => resource::bound(&name, unit, text),
        Measure::Own(figure, OwnValue { unit, .. }) => match (figure, unit) {
            (OwnFigure::Ratio, _) => bound_value(Measure::Availability, text),
            (OwnFigure::Rate, ValueUnit::Bytes) => bound_value(Measure::ByteRate, text),
            (OwnFigure::Rate, _) => bound_value(Measure::Throughput, text),
            (OwnFigure::Count, _) => bound_value(Measure::Count(Countable::Requests), text),
            (_, ValueUnit::Seconds) => bound_value(Measure::Mean(Timing::ResponseTime), text),
            (_, ValueUnit::Bytes) => {
                text.parse().map(|ByteCount(bytes)| bytes as f64).map_err(|_| "a size like `16kB` or `512B`")
            }
            (_, ValueUnit::Number) => number(text).ok_or("a number like `10`, `0.5` or `10k`"),
        },
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
    if !text.ends_with('%') {
        return Some(share);
    }
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

/// Reads `10`, `0.25` and what [`count`] reads.
pub(crate) fn number(text: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if digits(whole) && digits(fraction) => text.parse().ok(),
        Some(_) => None,
        None => count(text),
    }
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
fn closest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let distances = names.into_iter().map(|name| (edits(word, name), name));
    distances.filter(|(edits, name)| *edits <= name.len() / 3).min().map(|(_, name)| name.to_owned())
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
            ("within( response_time ,250ms) >= 99.9%", "within(response_time, 250ms) >= 99.9%"),
            ("apdex(service_time, 0.5s) >= 0.94", "apdex(service_time, 500ms) >= 0.94"),
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
    fn a_share_with_all_its_digits_is_read_back() {
        for value in [0.888_324_504_106_999_7, 0.888_324_504_107, 0.007, 1e-9] {
            let expression = Expression {
                measure: Measure::ErrorRatio,
                comparison: Comparison::Le,
                bound: Bound::Value(value),
            };
            assert_eq!(Expression::parse(&expression.to_string()), Ok(expression), "{value}");
        }
    }

    #[test]
    fn says_where_what_was_found_and_what_is_allowed() {
        for (text, message) in [
            (
                "",
                "the end at byte 0 is not an objective; write `p50(X)` to `p99.99(X)`, `mean(X)`, `max(X)`, `count(X)`, `error_ratio`, `availability`, `within(X, 250ms)`, `apdex(X, 250ms)`, `dropped_ratio`, `throughput`, `byte_rate`, `recovery_time` or `goodput_retained`",
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

    fn own() -> Vec<OwnValue> {
        let value = |(index, (name, form, unit)): (usize, (&str, ValueForm, ValueUnit))| OwnValue {
            index: index as u16,
            name: ValueName::new(name).unwrap(),
            form,
            unit,
        };
        [
            ("db_time", ValueForm::Histogram, ValueUnit::Seconds),
            ("queue", ValueForm::Histogram, ValueUnit::Number),
            ("size", ValueForm::Histogram, ValueUnit::Bytes),
            ("rows", ValueForm::Counter, ValueUnit::Number),
            ("read", ValueForm::Counter, ValueUnit::Bytes),
            ("cache_hit", ValueForm::Ratio, ValueUnit::Number),
        ]
        .into_iter()
        .enumerate()
        .map(value)
        .collect()
    }

    #[test]
    fn reads_figures_of_resources() {
        for (text, written) in [
            ("max( memory )<=100MB", "max(memory) <= 100MB"),
            ("max(shop.memory) <= 64MiB", "max(shop.memory) <= 67108864B"),
            ("mean(cpu) <= 80%", "mean(cpu) <= 0.8"),
            ("mean(cpu_ratio) <= 80%", "mean(cpu_ratio) <= 80%"),
            ("p95(the shop.cpu_ratio) < 90%", "p95(the shop.cpu_ratio) < 90%"),
            ("min(memory_available) >= 1GB", "min(memory_available) >= 1GB"),
            ("last(open_fds) <= 1k", "last(open_fds) <= 1000"),
            ("max(network_in) <= 10MB/s", "max(network_in) <= 10MB/s"),
            ("mean(rows_total) >= 5/s", "mean(rows_total) >= 5/s"),
            ("max(oldest_seconds) < 1.5s", "max(oldest_seconds) < 1s500ms"),
            (r#"max(shop.pool{of=")",n="\"}"}) <= 3"#, r#"max(shop.pool{of=")",n="\"}"}) <= 3"#),
            ("leak( memory )=none", "leak(memory) = none"),
            ("leak(shop.heap) = none", "leak(shop.heap) = none"),
        ] {
            let read = |text| Expression::parse_beside(text, &[]);
            let expression = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.to_string(), written);
            assert_eq!(read(written), Ok(expression), "{written}");
        }
        // Values that a plan measures come first.
        let own = Expression::parse_beside("max(size) <= 16kB", &own()).unwrap();
        assert!(own.measure.own().is_some());
    }

    #[test]
    fn says_what_is_wrong_with_figures_of_resources() {
        for (text, message) in [
            (
                "max(memory) <= 80%",
                "`80%` at byte 15 is not an objective; write a size like `100MB`, `64MiB` or `2GB`",
            ),
            (
                "max(memory) <= 100",
                "`100` at byte 15 is not an objective; write a size like `100MB`, `64MiB` or `2GB`",
            ),
            (
                "mean(cpu) <= 1GB",
                "`1GB` at byte 13 is not an objective; write processors like `1.5`, or a percentage of one of them like `80%` or `150%`",
            ),
            (
                "max(memory) < 0B",
                "`0B` at byte 14 is not an objective; write a bound that can be kept and missed",
            ),
            (
                "max(memory) <= 2 x stage(0)",
                "`2 x stage(0)` at byte 15 is not an objective; write a size like `100MB`, `64MiB` or `2GB`",
            ),
            (
                "leak(cpu) = none",
                "`cpu` at byte 5 is not an objective; write what can leak: `memory`, `heap`, `open_fds`, `threads`, `connections` or a gauge of bytes or things",
            ),
            ("leak(memory) <= none", "`<` at byte 13 is not an objective; write `= none`"),
            ("leak(memory) = some", "`some` at byte 15 is not an objective; write `none`"),
            ("leak(memory) = none at all", "`at` at byte 20 is not an objective; write nothing more"),
            (
                "min(memory <= 1MB",
                "`memory` at byte 4 is not an objective; write a figure of `resources`, like `memory` or `shop.memory`",
            ),
        ] {
            assert_eq!(Expression::parse_beside(text, &[]).unwrap_err().to_string(), message);
        }
        let nowhere = Expression::parse("max(memory) <= 1MB").unwrap_err();
        assert!(nowhere.allowed.ends_with(": `memory` is a figure of `resources`, and there are none here"));
    }

    #[test]
    fn reads_figures_of_a_plans_own_values() {
        let own = own();
        for (text, written) in [
            ("p95( db_time ) <= 50ms", "p95(db_time) <= 50ms"),
            ("mean(queue) <= 10", "mean(queue) <= 10"),
            ("p99(queue) < 2.5", "p99(queue) < 2.5"),
            ("p99(queue) <= 0", "p99(queue) <= 0"),
            ("max(size) <= 16KiB", "max(size) <= 16384B"),
            ("max(size) <= 16kB", "max(size) <= 16kB"),
            ("count(db_time) >= 10k", "count(db_time) >= 10000"),
            ("rate(rows) >= 100/s", "rate(rows) >= 100/s"),
            ("rate(read) >= 10MB/s", "rate(read) >= 10MB/s"),
            ("ratio(cache_hit) >= 90%", "ratio(cache_hit) >= 90%"),
            ("p50(queue) <= 1.5 x stage(0)", "p50(queue) <= 1.5 x stage(0)"),
        ] {
            let expression =
                Expression::parse_with(text, &own).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.to_string(), written);
            assert_eq!(Expression::parse_with(written, &own), Ok(expression), "{written}");
            assert_eq!(expression.threshold_nanos(), None, "no edge of the run's own durations");
        }
        let threshold = |text| Expression::parse_with(text, &own).unwrap().threshold();
        assert_eq!(threshold("p95(queue) <= 10"), Some(5_120_000));
        assert_eq!(threshold("p95(queue) < 10"), Some(5_119_999));
        assert_eq!(threshold("p95(size) > 1KiB"), Some(512 << 10));
        assert_eq!(threshold("mean(queue) <= 10"), None);
    }

    #[test]
    fn refuses_figures_that_a_value_does_not_have() {
        let own = own();
        let error = |text| Expression::parse_with(text, &own).unwrap_err();
        let unknown = error("p95(db_tme) <= 50ms");
        assert_eq!(
            unknown.to_string(),
            "`db_tme` at byte 4 is not an objective; write `response_time`, `service_time`, `connect_time`, \
             `tls_time`, `first_byte_time`, `db_time`, `queue` or `size` (did you mean `db_time`?)"
        );
        assert_eq!(error("ratio(rows) >= 1%").allowed, "`cache_hit`");
        assert_eq!(error("rate(cache_hit) >= 1/s").allowed, "`rows` or `read`");
        assert!(error("p95(cache_hit) <= 1").allowed.starts_with("`response_time`"));
        assert!(
            error("median(queue) <= 1")
                .allowed
                .ends_with("or of what `measure` takes `ratio(X)` or `rate(X)`")
        );
        for text in [
            "p95(queue) <= 10ms",
            "p95(queue) < 0",
            "p95(queue) >= 0",
            "p95(queue) <= 1e9",
            "p95(queue) <= .5",
            "max(queue) <= 1000M",
            "p95(size) <= 10ms",
            "rate(rows) >= 10",
            "ratio(cache_hit) > 100%",
        ] {
            assert!(Expression::parse_with(text, &own).is_err(), "{text}");
        }
        for text in ["ratio(cache_hit) >= 90%", "rate(rows) >= 1/s", "p95(db_time) <= 1s"] {
            assert!(Expression::parse(text).is_err(), "{text}: this plan takes nothing");
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
            assert_eq!(Expression::parse(text).unwrap_err().suggestion.as_deref(), suggestion, "{text}");
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
            (timing.clone(), 1_000..3_600_000_000_000_u64)
                .prop_map(|(timing, nanos)| Measure::Within(timing, nanos)),
            (timing.clone(), 1_000..3_600_000_000_000_u64)
                .prop_map(|(timing, nanos)| Measure::Apdex(timing, nanos)),
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
                Measure::Quantile(..) | Measure::Mean(_) | Measure::Max(_) | Measure::RecoveryTime => whole as f64 / 1e9,
                Measure::ErrorRatio
                | Measure::Availability
                | Measure::Within(..)
                | Measure::Apdex(..)
                | Measure::DroppedRatio
                | Measure::GoodputRetained => share,
                Measure::Throughput => share * 1e6,
                Measure::ByteRate | Measure::Count(_) => whole as f64,
                Measure::Own(..) | Measure::Resource(..) => unreachable!("tested by themselves"),
            };
            let is_plain = matches!(measure, Measure::GoodputRetained | Measure::RecoveryTime);
            let stage = stage.filter(|_| !is_plain);
            let comparison = if measure == Measure::RecoveryTime { Comparison::Le } else { comparison };
            let bound = stage.map_or(Bound::Value(value), |stage| Bound::Stage { factor: share * 10.0, stage });
            let expression = Expression { measure, comparison, bound };
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = Expression::parse(&text);
            let _ = Expression::parse_beside(&text, &[]);
        }

        #[test]
        fn whatever_is_read_of_resources_is_read_back(
            of in "(max|min|mean|last|leak|p9[0-9]|p)",
            name in r#"[a-z .]{0,3}(memory|cpu|cpu_ratio|open_fds|x_seconds|x_total|é)?([{]("[^"]{0,3}")?[}]?)?"#,
            bound in "( ?<=? ?[0-9]{1,3}(%|MB|MiB|MB/s|ms|/s|k|[.][0-9])?|=none)",
        ) {
            if let Ok(expression) = Expression::parse_beside(&format!("{of}({name}){bound}"), &[]) {
                prop_assert_eq!(Expression::parse_beside(&expression.to_string(), &[]), Ok(expression));
            }
        }

        #[test]
        fn no_text_that_begins_well_panics(
            measure in measure(), sign in "(<=|<|>=|>|=)? ?", text in "[0-9xkMGBs./()% stage*_é-]{0,20}",
        ) {
            let _ = Expression::parse(&format!("{measure} {sign}{text}"));
        }
    }
}
