use std::fmt;

use plimsoll_measure::Timing;
use plimsoll_units::Quantile;

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
#[error("`{found}` is not allowed here (byte {column}); write {allowed}")]
pub struct ExpressionError {
    /// Where in the text, in bytes from 0.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl Expression {
    /// Reads an objective.
    ///
    /// # Errors
    /// When the text is not one: where, what was found, what is allowed.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Err(ExpressionError { column: 0, found: text.to_owned(), allowed: String::new() })
    }

    /// The threshold in nanoseconds that must be a counted edge for the objective to be exact.
    pub fn threshold_nanos(&self) -> Option<u64> {
        None
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.measure)
    }
}
