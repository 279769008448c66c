use crate::table::{Packed, packed};
use crate::{Distribution, Edges, Histogram, Phase};

/// Which passes through a group of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Index of the group.
    pub group: u16,
    /// The phase the iteration was due in.
    pub phase: Phase,
}

impl Packed for GroupKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.group, self.phase, None)
    }
}

/// Passes through a group within a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupSeries {
    /// Those that ended, failed ones included. What an iteration that was cut had begun is in no count.
    pub ended: u64,
    /// Those that a failed step ended, or in which one failed.
    pub failed: u64,
    /// From when the first action was due to the end of the last, pauses included.
    pub time: Option<Distribution>,
}

impl GroupSeries {
    /// Adds another second's, or another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.ended += other.ended;
        self.failed += other.failed;
        if let Some(time) = &other.time {
            crate::frame::merge_into(&mut self.time, time.clone());
        }
    }
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct GroupRecorder {
    pub(crate) ended: u64,
    failed: u64,
    time: Option<Box<Histogram>>,
}

impl GroupRecorder {
    pub(crate) fn count(&mut self, nanos: u64, failed: bool, edges: &Edges) {
        self.ended += 1;
        self.failed += u64::from(failed);
        self.time.get_or_insert_with(|| Box::new(Histogram::new(edges.clone()))).record(nanos);
    }

    pub(crate) fn clear(&mut self) {
        (self.ended, self.failed) = (0, 0);
        self.time.iter_mut().for_each(|time| time.clear());
    }

    pub(crate) fn series(&self) -> GroupSeries {
        let time = self.time.as_ref().filter(|time| !time.is_empty());
        GroupSeries { ended: self.ended, failed: self.failed, time: time.map(|time| time.distribution()) }
    }
}
