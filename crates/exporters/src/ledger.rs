use std::sync::{Arc, Mutex};

use plimsoll_run::ExportCount;

use crate::lock;

/// Counts what becomes of the points of one sink. Clones share the counts.
///
/// The backlog is not counted but what is left of produced: so the sum holds at every moment, and
/// one look under one lock sees all four.
#[derive(Debug, Clone)]
pub struct Ledger {
    sink: Arc<str>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    produced: u64,
    acknowledged: u64,
    lost: u64,
}

impl Counts {
    fn backlog(self) -> u64 {
        self.produced - self.acknowledged - self.lost
    }
}

impl Ledger {
    /// An empty one for a sink.
    pub fn new(sink: &str) -> Self {
        Self { sink: sink.into(), counts: Arc::default() }
    }

    /// Points were made; they wait now.
    pub fn produced(&self, points: u64) {
        lock(&self.counts).produced += points;
    }

    /// Waiting points were taken by the sink. Never more than wait.
    pub fn acknowledged(&self, points: u64) {
        let mut counts = lock(&self.counts);
        counts.acknowledged += points.min(counts.backlog());
    }

    /// Waiting points are given up. Never more than wait.
    pub fn lost(&self, points: u64) {
        let mut counts = lock(&self.counts);
        counts.lost += points.min(counts.backlog());
    }

    /// It is known what became of points that waited. Never more than wait.
    pub(crate) fn settled(&self, acknowledged: u64, lost: u64) {
        let mut counts = lock(&self.counts);
        counts.acknowledged += acknowledged.min(counts.backlog());
        counts.lost += lost.min(counts.backlog());
    }

    /// The sink's name.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// All that waits is given up; how much it was.
    pub fn give_up(&self) -> u64 {
        let mut counts = lock(&self.counts);
        let rest = counts.backlog();
        counts.lost += rest;
        rest
    }

    /// All counts at one moment.
    pub fn counts(&self) -> ExportCount {
        let counts = *lock(&self.counts);
        ExportCount {
            sink: self.sink.to_string(),
            produced: counts.produced,
            acknowledged: counts.acknowledged,
            backlog: counts.backlog(),
            lost: counts.lost,
        }
    }

    /// Whether the other counts the same points.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_holds_whatever_is_told(steps in prop::collection::vec((0_u8..4, 0_u64..100), 0..50)) {
            let ledger = Ledger::new("sink");
            for (kind, points) in steps {
                match kind {
                    0 => ledger.produced(points),
                    1 => ledger.acknowledged(points),
                    2 => ledger.lost(points),
                    _ => { ledger.give_up(); }
                }
                let counts = ledger.counts();
                prop_assert_eq!(counts.produced, counts.acknowledged + counts.backlog + counts.lost);
            }
        }
    }

    #[test]
    fn the_sum_holds_at_every_moment_of_concurrent_work() {
        let ledger = Ledger::new("sink");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        ledger.produced(3);
                        ledger.acknowledged(2);
                        ledger.lost(1);
                    }
                });
            }
            for _ in 0..5_000 {
                let counts = ledger.counts();
                assert_eq!(counts.produced, counts.acknowledged + counts.backlog + counts.lost);
            }
        });
        let end = ledger.counts();
        assert_eq!((end.produced, end.acknowledged, end.backlog, end.lost), (30_000, 20_000, 0, 10_000));
    }
}
