//! How late workers come to appointments with themselves.
//!
//! A worker that serves its load is late by microseconds. One that had no processor, or that something
//! kept busy, is late by as long as that lasted, whether or not an arrival was due meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Clock;
use crate::timers::Timers;

/// Nanoseconds between appointments: a stall is seen but for at most this much of it, and a hundred
/// wake-ups a second cost a worker less than a thousandth of its time.
const BEAT: u64 = 10_000_000;

/// The longest stall of any worker since it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// Nanoseconds; 0 while there was no appointment.
    longest: AtomicU64,
}

impl Stalls {
    /// A worker came so many nanoseconds late.
    fn late(&self, nanos: u64) {
        self.longest.fetch_max(nanos.max(1), Ordering::Relaxed);
    }

    /// Takes the longest stall; `None` without any appointment since the last time.
    pub(crate) fn take(&self) -> Option<Duration> {
        match self.longest.swap(0, Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// Keeps one worker's appointments for as long as it is polled. Simulated time has no stalls.
pub(crate) async fn keep_appointments(timers: Rc<Timers>, clock: Clock, stalls: Arc<Stalls>) {
    if let Clock::Simulated(_) = clock {
        return;
    }
    let mut due = (clock.now() / BEAT + 1) * BEAT;
    loop {
        timers.sleep_until(due).await;
        let now = clock.now();
        stalls.late(now.saturating_sub(due));
        due = (now / BEAT + 1) * BEAT;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_longest_is_told_once() {
        let stalls = Stalls::default();
        assert_eq!(stalls.take(), None);
        [3, 9, 5].into_iter().for_each(|nanos| stalls.late(nanos));
        assert_eq!(stalls.take(), Some(Duration::from_nanos(9)));
        assert_eq!(stalls.take(), None);
        stalls.late(0);
        assert!(stalls.take().is_some(), "in time is known too");
    }

    #[tokio::test]
    async fn a_worker_that_was_held_up_is_late_by_that_much() {
        let clock = Clock::real(Instant::now());
        let (timers, stalls) = (Timers::new(clock), Arc::new(Stalls::default()));
        let hold = Duration::from_millis(60);
        let least = hold - Duration::from_nanos(BEAT);
        let held_up = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            while begun.elapsed() < hold {
                std::hint::spin_loop();
            }
            while stalls.take() < Some(least) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = Rc::clone(&timers).drive() => {}
            () = keep_appointments(Rc::clone(&timers), clock, Arc::clone(&stalls)) => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => panic!("no stall of {least:?} was seen"),
            () = held_up => {}
        }
    }
}
