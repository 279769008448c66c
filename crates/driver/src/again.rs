//! Steps that are made again: after a failure, or until something is done.

use std::time::Duration;

use crate::compile::Step;
use crate::exchange::{Since, StepEnd};

/// The longest wait between two tries, in nanoseconds: doubling comes to its end there.
const LONGEST_BACKOFF: u64 = 60_000_000_000;

/// Where a step stands that is made again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    /// Since when its next request counts.
    pub(crate) since: Since,
    /// Tries of the request before it that failed.
    tries: u32,
}

impl Again {
    pub(crate) fn first(since: Since) -> Self {
        Self { since, tries: 0 }
    }
}

impl Step {
    /// Whether it ever is.
    pub(crate) fn is_made_again(&self) -> bool {
        self.retry.is_some() || self.until.is_some()
    }

    /// Whether it has to be made again after a request that ended so, and when that is due.
    pub(crate) fn again(&self, end: &StepEnd, so_far: Again) -> Option<(Again, u64)> {
        let Again { since, tries } = so_far;
        let give_up =
            since.give_up.or(self.until.as_ref().map(|until| since.due.saturating_add(until.timeout)));
        if let Some(until) = self.until.as_ref().filter(|_| end.waits) {
            // Each question is a request of its own: what is waited for is the job and not the answer.
            let due = end.done.saturating_add(until.every);
            return Some((Again::first(Since { due, first: None, give_up }), due));
        }
        let retry = self.retry.as_ref().filter(|retry| tries < retry.max)?;
        let matches = retry.outcomes.contains(&end.outcome)
            || end.status.is_some_and(|status| {
                retry.statuses.iter().any(|range| (range.first..=range.last).contains(&status))
            });
        if end.succeeded || end.not_offered || !matches {
            return None;
        }
        let again = Again { since: Since { first: Some(end.began), give_up, ..since }, tries: tries + 1 };
        Some((again, end.done.saturating_add(backoff(retry.backoff, tries))))
    }
}

/// How long to wait before a try, in nanoseconds, after so many that failed.
fn backoff(first: Duration, tries: u32) -> u64 {
    let first = u64::try_from(first.as_nanos()).unwrap_or(u64::MAX);
    let longest = LONGEST_BACKOFF.max(first);
    1_u64.checked_shl(tries).map_or(longest, |times| first.saturating_mul(times)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let millis = |tries| backoff(Duration::from_millis(100), tries) / 1_000_000;
        assert_eq!(
            [0, 1, 2, 9, 10, 63, 64, 1000].map(millis),
            [100, 200, 400, 51_200, 60_000, 60_000, 60_000, 60_000]
        );
        assert_eq!(backoff(Duration::from_secs(90), 5), 90_000_000_000, "one that begins longer stays");
    }
}
