//! Drives a plan and tells what happens.
//!
//! A run is setup, stages, grace, teardown. The runner starts the driver, puts the workers' seconds
//! together, folds them into the run's state, and hands every event to the record, the exporters and
//! whoever watches. It is the one owner of a run's state; stopping early (a person, an objective's
//! `abort_after`, a feed that ran out) is decided here and carried out by the driver.
//!
//! It knows no file format and no terminal, and it never retries a run.

mod calibration;
mod commands;
mod control;
mod limit;
mod machine;
mod once;
mod overload;
mod profiles;
mod resources;
mod run;
mod scaling;
pub mod sinks;
mod vitals;
mod watched;

pub use calibration::{CalibrationError, Thoroughness, calibrate};
pub use control::Control;
pub use limit::{LimitConfig, LimitError, SearchEnd, Searched, first_load, limit};
pub use machine::machine;
pub use once::{Tried, TriedPart, once, undo};
pub use overload::{judge_overload, overload};
pub use plimsoll_driver::keep_real_time_for_workers;
pub use run::{Finished, RunConfig, RunError, run};
pub use scaling::{ScalingConfig, Stepped, scaling};
