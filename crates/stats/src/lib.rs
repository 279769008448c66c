//! What can be said of runs side by side, and of a series that was watched beside a load.
//!
//! Runs are compared with the run as the unit, never the request: [`two_sample`] and [`bootstrap_t`] of one metric, [`compare_all`] of
//! all, with [`holm`]'s correction, and a [`Verdict`] on each by a [`Rule`]; [`sequential`] adds runs until it is decided, and
//! [`against_sessions`] compares with what was stored on other days. Error ratios are compared from counts ([`compare_counts`]). What the runs do not carry is a [`Refusal`] in
//! words of its own, or [`Verdict::Undecided`] with the number of runs that would decide.
//!
//! What can be said of a history of runs: where its level changed ([`change_points`], [`ChangeWatch`] as values arrive; [`hunter`] and
//! [`e_divisive`] as others published them, to compare with).
//!
//! What can be said of a series that was watched beside a load: from where on it is steady ([`steady`]), whether it grows without end ([`leak`]), where it is
//! unusual ([`anomalies`]), and whether it goes with another ([`correlations`]).
//!
//! Series of a service are autocorrelated, skewed, quantised and have gaps, so nothing said of one supposes
//! independent or normal values: tests work on ranks and medians, and every significance is corrected for autocorrelation.
//! How often each of them cries wolf, and what it finds, is simulated in the tests; `docs/resources.md` has the
//! figures. An answer that the data do not carry is refused in words of its own: [`LeakVerdict::TooShort`], or
//! `None`.
//!
//! Places ([`Point::at`]) are seconds from the start as a rule; anything that grows, such as requests done, will
//! do. Values have any unit, and results have the same one. Values that are not finite are gaps. Nothing here
//! looks at a clock or draws without a seed: the same values have the same answer. All take n log n time.

mod anomaly;
mod bootstrap;
mod change_points;
mod correlation;
mod counts;
mod divisive;
mod holm;
mod leak;
#[cfg(test)]
mod noise;
mod points;
mod ranks;
mod sequential;
mod sessions;
mod severity;
mod steady;
mod student;
mod trend;
mod two_sample;
mod verdict;

pub use anomaly::{Anomaly, anomalies};
pub use bootstrap::bootstrap_t;
pub use change_points::{ChangeFloor, ChangePoint, ChangeWatch, Changes, change_points};
pub use correlation::{Correlation, MOST_LAG, correlations};
pub use counts::{
    Count, CountComparison, CountPair, CountRefusal, CountRule, CountVerdict, JudgedCounts, compare_counts,
};
pub use divisive::{Hunter, e_divisive, hunter};
pub use holm::holm;
pub use leak::{Growth, Leak, LeakFloor, LeakVerdict, UntilLimit, leak};
pub use points::{Point, at_like_load};
pub use sequential::{LOOKS, Progress, sequential};
pub use sessions::{Session, against_sessions};
pub use severity::Severity;
pub use steady::{Steady, steady};
pub use trend::{Trend, trend};
pub use two_sample::{Comparison, Interval, Refusal, Runs, Side, Test, two_sample};
pub use verdict::{
    Direction, InvalidRule, Judged, JudgedTogether, Pair, Rule, Verdict, compare_all, compare_with_counts,
};
