//! Objectives and whether they are met.
//!
//! An [`Objective`] is what was promised; an [`Evaluator`] folds one [`plimsoll_measure::Frame`]
//! after another and says, second by second and at the end, whether the promise is kept. Arithmetic
//! is on counts: a threshold is counted exactly, ratios are quotients of integers, and percentages
//! are never averaged. No data is undecided, never met; what nobody can know (drops, cut requests)
//! is taken both ways before a verdict is given.
//!
//! It never looks at a clock and never decides about a run: aborting is the runner's work.

mod agreement;
mod budget;
mod burn;
mod bytes;
mod counts;
mod evaluator;
mod expression;
mod health;
mod judge;
mod keeper;
mod ledger;
mod objective;
pub mod openslo;
mod period;
mod recovery;
mod resource;
mod slo;
mod state;
mod tally;
mod validity;
mod windows;

pub use agreement::{AlertRule, Counted, Events, Exclusion, Good, Part, PolicyStep, RunEvents, Sla, Source};
pub use budget::{Budget, Exact};
pub use burn::{
    Alert, BurnAlerts, BurnReading, BurnRule, ENOUGH_EVIDENCE, FEWEST_BAD, Factor, FactorError, RuleError,
    Threshold, Urgency,
};
pub use bytes::Unreadable;
pub use counts::{Contradiction, Counters, Counts, Sum};
pub use evaluator::{Evaluator, Judgement, Span, Status};
pub use expression::{
    Bound, Comparison, Countable, Expression, ExpressionError, Measure, OwnFigure, OwnValue, figure_names,
};
pub use health::Breach;
pub use keeper::{Entry, Keeper};
pub use ledger::{Fate, Ledger, Refused, Window};
pub use objective::{Filter, Objective, Severity, Verdict};
pub use period::{Calendar, Period, PeriodError, Rolling, Unit};
pub use recovery::{CALM_SECONDS, Recovery};
pub use resource::{Among, OfResource, ResourceName};
pub use slo::{Method, Share, ShareError, Slice, SliceError, Slo, Target};
pub use state::{Condition, Moment, State, StateJudge};
pub use validity::{
    Cause, Evidence, Lasting, Late, Row, SecondSpan, Validity, ValidityReport, ValidityTracker,
};
pub use windows::WindowTally;
