//! Good events and all events as integers, and how counters of a service become such counts.

use std::ops::AddAssign;

/// Events of a second or a longer time: how many, and how many of them were good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    good: u64,
    total: u64,
}

/// More good events than events: the two were not read of the same moment, or not of the same thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{good} good events of {total} in all cannot be")]
pub struct Contradiction {
    /// Good events.
    pub good: u64,
    /// All events.
    pub total: u64,
}

impl Counts {
    /// No events.
    pub const ZERO: Self = Self { good: 0, total: 0 };

    /// The most events of an hour, 2^47: then no arithmetic on years of them overflows.
    pub(crate) const MOST: u64 = 1 << 47;

    /// `good` events of `total`.
    pub fn new(good: u64, total: u64) -> Result<Self, Contradiction> {
        if good > total { Err(Contradiction { good, total }) } else { Ok(Self { good, total }) }
    }

    /// Good events.
    pub fn good(self) -> u64 {
        self.good
    }

    /// Events that were not good.
    pub fn bad(self) -> u64 {
        self.total - self.good
    }

    /// All events.
    pub fn total(self) -> u64 {
        self.total
    }

    /// Both together, unless that is more than a bucket may hold.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let total = self.total.checked_add(other.total).filter(|total| *total <= Self::MOST)?;
        Some(Self { good: self.good + other.good, total })
    }

    /// Without `other`, which is part of it.
    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        let good = self.good.checked_sub(other.good)?;
        Self::new(good, self.total.checked_sub(other.total)?).ok()
    }
}

/// Counts added up over any time a ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    good: u128,
    total: u128,
}

impl Sum {
    /// Unless that is so much that adding to it might overflow.
    pub(crate) fn of(bad: u128, good: u128) -> Option<Self> {
        let total = good.checked_add(bad).filter(|total| *total < 1 << 100)?;
        Some(Self { good, total })
    }

    /// Good events.
    pub fn good(self) -> u128 {
        self.good
    }

    /// Events that were not good.
    pub fn bad(self) -> u128 {
        self.total - self.good
    }

    /// All events.
    pub fn total(self) -> u128 {
        self.total
    }
}

impl From<Counts> for Sum {
    fn from(counts: Counts) -> Self {
        Self { good: counts.good.into(), total: counts.total.into() }
    }
}

impl AddAssign<Counts> for Sum {
    fn add_assign(&mut self, counts: Counts) {
        self.good += u128::from(counts.good);
        self.total += u128::from(counts.total);
    }
}

/// Two counters of a service that only grow, read from time to time.
///
/// What they grew by between two readings is what happened. Where either shrank, both were reset
/// and what they show now has happened since, as Prometheus counts it: what happened between the
/// last reading and the reset is lost. The first reading of all tells nothing, for nobody knows
/// since when the counters count. After a gap the growth is counted at the reading that ends it:
/// the events did happen, and Prometheus counts them there too.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    last: Option<Counts>,
}

impl Counters {
    /// What has happened since the last reading; `None` at the first.
    ///
    /// A reading with more good events than events, or whose good events grew by more than all
    /// events did, is refused and forgotten: the next one tells what happened since the last sound one.
    pub fn read(&mut self, good: u64, total: u64) -> Result<Option<Counts>, Contradiction> {
        let now = Counts::new(good, total)?;
        let grown = match self.last {
            None => None,
            Some(last) if good < last.good || total < last.total => Some(now),
            Some(last) => Some(Counts::new(good - last.good, total - last.total)?),
        };
        self.last = Some(now);
        Ok(grown)
    }
}
