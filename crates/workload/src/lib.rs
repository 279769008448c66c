//! What arrives when: arrival schedules, user counts over time, and which scenario comes next.
//!
//! Everything here is a pure function of the plan and a seed. When arrival `n` is due depends on `n`
//! alone, never on replies: a stalled target cannot push later arrivals back, so the stall shows up
//! as response time instead of vanishing. Offering the load is the driver's work.

mod arrivals;
mod mix;
mod profile;
mod stage;
mod users;

pub use arrivals::{Arrivals, Spacing};
pub use mix::{Mix, MixError};
pub use profile::RateProfile;
pub use stage::{Level, Preset, Stage, StageKind};
pub use users::UserProfile;
