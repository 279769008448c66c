//! When something is started, as a function of time alone: nothing here looks at a clock.

mod job;
mod timetable;
mod when;

pub use job::{Job, Month, Most};
pub(crate) use timetable::{Decision, Memory, Timetable};
pub use timetable::{Missed, Overlap, Schedule};
pub use when::{When, WhenError};
