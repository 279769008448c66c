use std::collections::{BTreeMap, BTreeSet};

use plimsoll_measure::{Frame, Shard};

/// Puts the workers' shards together: a second is whole when every worker has handed it over.
#[derive(Debug)]
pub struct Collector {
    workers: usize,
    finished: BTreeSet<usize>,
    open: BTreeMap<u64, (Frame, BTreeSet<usize>)>,
    next: u64,
}

impl Collector {
    /// A collector for this many workers.
    pub fn new(workers: usize) -> Self {
        Self::starting_at(0, workers)
    }

    /// The same for a load that begins with this second.
    pub fn starting_at(second: u64, workers: usize) -> Self {
        Self { workers, finished: BTreeSet::new(), open: BTreeMap::new(), next: second }
    }

    /// Takes a worker's second.
    pub fn add(&mut self, worker: usize, shard: &Shard) {
        let second = shard.second();
        let (frame, from) = self.open.entry(second).or_insert_with(|| (Frame::new(second), BTreeSet::new()));
        shard.merge_into(frame);
        from.insert(worker);
    }

    /// Takes what belongs to no worker, like the requests of setup.
    pub fn add_extra(&mut self, shard: &Shard) {
        let second = shard.second().max(self.next);
        let (frame, _) = self.open.entry(second).or_insert_with(|| (Frame::new(second), BTreeSet::new()));
        shard.merge_into(frame);
    }

    /// A worker has handed over its last second.
    pub fn finish(&mut self, worker: usize) {
        self.finished.insert(worker);
    }

    /// Whether every worker has finished.
    pub fn is_finished(&self) -> bool {
        self.finished.len() == self.workers
    }

    /// The next whole second, in order. While workers run every second comes, also one in which
    /// nothing happened; afterwards those that hold something.
    pub fn take(&mut self) -> Option<Frame> {
        let whole = match self.open.get(&self.next) {
            Some((_, from)) => from.union(&self.finished).count() == self.workers,
            None => self.is_finished() && !self.open.is_empty(),
        };
        if !whole {
            return None;
        }
        let second = self.next;
        self.next += 1;
        Some(self.open.remove(&second).map_or_else(|| Frame::new(second), |(frame, _)| frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::Edges;

    fn shard(second: u64) -> Shard {
        Shard::new(second, Edges::default())
    }

    #[test]
    fn a_second_waits_for_every_worker_and_comes_once() {
        let mut collector = Collector::new(2);
        collector.add(0, &shard(0));
        collector.add(0, &shard(1));
        assert!(collector.take().is_none());
        collector.add(1, &shard(0));
        assert_eq!(collector.take().map(|frame| frame.second), Some(0));
        assert!(collector.take().is_none());
        collector.finish(1);
        assert_eq!(collector.take().map(|frame| frame.second), Some(1), "a finished worker holds nothing up");
        collector.add(0, &shard(4));
        collector.finish(0);
        let rest: Vec<_> = std::iter::from_fn(|| collector.take()).map(|frame| frame.second).collect();
        assert_eq!(rest, [2, 3, 4]);
        assert!(collector.is_finished());
    }
}
