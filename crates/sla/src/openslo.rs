//! OpenSLO: the model of its v1, what is wrong with a document of it, and what its references mean.
//!
//! The model is what a document says, no more: what a document may leave out is an `Option`, an empty
//! text or an empty list, so that [`validate`] can name it. Words of closed sets, numbers and durations
//! cannot be wrong here; whoever reads a text says what was no such word, by the same [`Rule`] names.
//!
//! # Where the rules come from
//!
//! Ported as facts from the official validator, `OpenSLO/go-sdk` v0.9.2 (`pkg/openslo/v1`, `pkg/openslo/v1alpha`, and the
//! rules of `nobl9/govy` v0.26 that they use), with its paths and error codes. All of its rules on all seven kinds of
//! v1 and on both of v1alpha are here; its one rule without a code, on calendars, is [`Rule::Calendar`].
//! Its tests are not ported one by one. Not taken over: its order of errors, its wording, and that a first
//! error hides later ones of the same value.
//!
//! Where the specification (the README of `OpenSLO/OpenSLO`) and the validator contradict each other, a
//! warning says so and the document stands: an `op` on an objective of a ratio (examples have it, the
//! validator forbids it), an alert condition without `kind` or `op` (the specification has a default
//! and no `op`, the validator needs both). A `timeWindow` that is missing is optional to the
//! specification, an error to the validator, and an error here: without it nobody knows what a budget lasts.
//!
//! Beyond the validator, because a document that breaks them promises nothing or not what it seems to:
//! an SLO without objectives, a composite in which an objective has no indicator, a window of no
//! length, a slice longer than its window; and, as warnings, a target of zero, a calendar-aligned window of
//! minutes (`1m` is no month), an alert on a low burn rate (`lt`, `lte`), a source without a type. References and
//! duplicates are looked at by [`check_together`], where `value` and `op` are also held against indicators
//! that are given by reference, which the validator says it cannot do.

mod agreements;
mod duration;
mod model;
mod path;
mod references;
mod rules;
pub mod v1alpha;
mod validate;

pub use agreements::agreements;
pub use duration::{DurationShorthand, DurationShorthandError, DurationUnit};
pub use model::{
    AlertCondition, AlertConditionKind, AlertConditionSpec, AlertNotificationTargetSpec, AlertPolicySpec,
    BudgetingMethod, Calendar, DataSourceSpec, Definition, Free, Inline, Kind, Metadata, MetricSource,
    Object, Operator, Part, RatioMetric, RawType, ServiceSpec, SliSpec, SloObjective, SloSpec, TimeWindow,
    Word,
};
pub use path::{Path, Step};
pub use references::{Referenced, Unresolved, check_together, inline};
pub use rules::{Rule, Violation, Weight};
pub use validate::validate;
