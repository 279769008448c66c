use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Where offsets come from: nanoseconds since the start of the run on a monotonic clock.
///
/// The simulated form follows a paused tokio clock, so that a test proves to the microsecond what a
/// real run can only show.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's monotonic clock. The start may lie a little ahead; offsets are zero until then.
    Real(Start),
    /// tokio's clock, which tests pause and advance.
    Simulated(tokio::time::Instant),
}

/// An instant, also as the kernel counts it: offsets are one subtraction then.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    instant: Instant,
    /// Negative where it lies before the machine was started: a run that goes on after that began so.
    nanos: i64,
}

impl Start {
    /// The instant.
    pub fn instant(&self) -> Instant {
        self.instant
    }
}

/// Nanoseconds of the kernel's monotonic clock, which is that of [`Instant`].
fn monotonic_nanos() -> i64 {
    // It fails for clocks that do not exist; this one always does.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

impl Clock {
    /// The machine's clock with its offset zero at an instant.
    pub fn real(start: Instant) -> Self {
        let (now, nanos) = (Instant::now(), monotonic_nanos());
        let ahead = start.saturating_duration_since(now).as_nanos() as i64;
        let ago = now.saturating_duration_since(start).as_nanos() as i64;
        Self::Real(Start { instant: start, nanos: nanos + ahead - ago })
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        match self {
            Self::Real(start) => (monotonic_nanos() - start.nanos).max(0) as u64,
            Self::Simulated(start) => start.elapsed().as_nanos() as u64,
        }
    }

    /// Nanoseconds until an offset comes; zero when it has.
    pub(crate) fn until(&self, offset: u64) -> u64 {
        match self {
            Self::Real(start) => {
                start.nanos.saturating_add_unsigned(offset).saturating_sub(monotonic_nanos()).max(0) as u64
            }
            Self::Simulated(_) => offset.saturating_sub(self.now()),
        }
    }

    /// Whether an offset has come. Unlike `now() >= offset` this is false for offset zero while the
    /// start lies ahead.
    pub fn has_reached(&self, offset: u64) -> bool {
        match self {
            Self::Real(start) => monotonic_nanos() >= start.nanos.saturating_add_unsigned(offset),
            Self::Simulated(start) => tokio::time::Instant::now() >= *start + Duration::from_nanos(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_may_lie_before_the_machine_was_started() {
        let day = Duration::from_secs(86_400);
        let Some(start) = Instant::now().checked_sub(100 * 365 * day) else { return };
        let clock = Clock::real(start);
        let now = clock.now();
        assert!(matches!(clock, Clock::Real(_)) && now >= 100 * 365 * 86_400_000_000_000, "{now}");
        assert!(clock.until(now + 1_000_000_000_000) > 900_000_000_000);
        assert!(clock.has_reached(now) && !clock.has_reached(now + 1_000_000_000_000));
    }

    #[test]
    fn offsets_count_from_the_instant_whether_it_is_past_or_ahead() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let (past, ahead) = (Clock::real(now - second), Clock::real(now + 1000 * second));
        assert!(past.now() >= 1_000_000_000 && past.has_reached(1_000_000_000));
        assert!(past.now() - 1_000_000_000 <= now.elapsed().as_nanos() as u64);
        assert_eq!((ahead.now(), ahead.has_reached(0)), (0, false));
        assert!(ahead.until(0) > 900_000_000_000 && past.until(5) == 0);
    }
}
