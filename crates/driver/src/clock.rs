use std::time::{Duration, Instant};

/// Where offsets come from: nanoseconds since the start of the run on a monotonic clock.
///
/// The simulated form follows a paused tokio clock, so that a test proves to the microsecond what a
/// real run can only show.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's monotonic clock. The start may lie a little ahead; offsets are zero until then.
    Real(Instant),
    /// tokio's clock, which tests pause and advance.
    Simulated(tokio::time::Instant),
}

impl Clock {
    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        let elapsed = match self {
            Self::Real(start) => start.elapsed(),
            Self::Simulated(start) => start.elapsed(),
        };
        elapsed.as_nanos() as u64
    }

    /// Whether an offset has come. Unlike `now() >= offset` this is false for offset zero while the
    /// start lies ahead.
    pub fn has_reached(&self, offset: u64) -> bool {
        let offset = Duration::from_nanos(offset);
        match self {
            Self::Real(start) => Instant::now() >= *start + offset,
            Self::Simulated(start) => tokio::time::Instant::now() >= *start + offset,
        }
    }
}
