//! When plans are started, as a function of time alone: nothing here looks at a clock.

mod timetable;
mod when;

pub(crate) use timetable::{Decision, Memory, Timetable};
pub use timetable::{Missed, Overlap, Schedule};
pub use when::{When, WhenError};
