//! What arrives when: arrival schedules, user counts over time, which scenario comes next, how long people think.
//!
//! Everything here is a pure function of the plan and a seed. When arrival `n` is due depends on `n`
//! alone, never on replies: a stalled target cannot push later arrivals back, so the stall shows up
//! as response time instead of vanishing. Offering the load is the driver's work.

mod arrivals;
mod curve;
mod mix;
mod pause;
mod profile;
mod stage;
mod users;

pub use arrivals::{Arrivals, Spacing};
pub use curve::Curve;
pub use mix::{Mix, MixError};
pub use pause::{FARTHEST_DEVIATIONS, LONGEST_MEANS, Pause};
pub use profile::RateProfile;
pub use stage::{Level, Preset, Stage, StageKind, Wanted};
pub use users::UserProfile;
