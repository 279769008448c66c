use crate::Phase;
use crate::table::{Packed, packed};

/// Which check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey {
    /// Index of the check.
    pub check: u16,
    /// The phase the iteration was due in.
    pub phase: Phase,
}

impl Packed for CheckKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.check, self.phase, None)
    }
}

/// Answers that a check looked at within a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckSeries {
    /// Those it held of.
    pub passed: u64,
    /// Those it did not hold of.
    pub failed: u64,
}

impl CheckSeries {
    /// Answers that were looked at.
    pub fn looked_at(&self) -> u64 {
        self.passed + self.failed
    }

    /// Adds another second's, or another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    pub(crate) fn count(&mut self, passed: bool) {
        self.passed += u64::from(passed);
        self.failed += u64::from(!passed);
    }
}
