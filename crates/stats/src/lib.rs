//! What can be said of a series that was watched beside a load: whether it grows without end ([`leak`]), where it is
//! unusual ([`anomalies`]), and whether it goes with another ([`correlations`]).
//!
//! Series of a service are autocorrelated, skewed, quantised and have gaps, so nothing here supposes independent
//! or normal values: tests work on ranks and medians, and every significance is corrected for autocorrelation.
//! How often each of them cries wolf, and what it finds, is simulated in the tests; `docs/resources.md` has the
//! figures. An answer that the data do not carry is refused in words of its own: [`LeakVerdict::TooShort`], or
//! `None`.
//!
//! Places ([`Point::at`]) are seconds from the start as a rule; anything that grows, such as requests done, will
//! do. Values have any unit, and results have the same one. Values that are not finite are gaps. Nothing here
//! looks at a clock or draws at random: the same series has the same answer. All take n log n time.

mod anomaly;
mod correlation;
mod leak;
#[cfg(test)]
mod noise;
mod points;
mod ranks;
mod trend;

pub use anomaly::{Anomaly, anomalies};
pub use correlation::{Correlation, MOST_LAG, correlations};
pub use leak::{Growth, Leak, LeakFloor, LeakVerdict, UntilLimit, leak};
pub use points::{Point, at_like_load};
pub use trend::{Trend, trend};
