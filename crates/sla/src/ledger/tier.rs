//! Buckets of one resolution, kept as running sums: a window is the difference of two of them,
//! however long it is. What comes late is added to all sums behind it, and that is rare.

use std::collections::VecDeque;
use std::ops::Range;

use crate::Counts;

/// Events of a second, a minute or an hour (or of the part of one that a calendar period cuts off).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Unix seconds: until 2106.
    pub(super) start: u32,
    /// How many of its seconds had data.
    pub(super) seen: u32,
    pub(super) counts: Counts,
}

/// Buckets in the order of their starts; those without data are left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Tier {
    /// What was taken out in front.
    before: Sums,
    sums: VecDeque<UpTo>,
}

/// Sums over all buckets up to and with the one that begins at `start`: 24 bytes.
#[derive(Debug, Clone, Copy)]
struct UpTo {
    start: u32,
    seen: u32,
    good: u64,
    total: u64,
}

impl UpTo {
    fn new(start: u32, Sums { seen, good, total }: Sums) -> Self {
        Self { start, seen, good, total }
    }

    fn sums(&self) -> Sums {
        Sums { seen: self.seen, good: self.good, total: self.total }
    }
}

/// They run on for ever and may wrap; what lies between two of them is far below 2^64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) seen: u32,
    pub(super) good: u64,
    pub(super) total: u64,
}

impl Sums {
    fn of(bucket: &Bucket) -> Self {
        Self { seen: bucket.seen, good: bucket.counts.good(), total: bucket.counts.total() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            seen: self.seen.wrapping_add(other.seen),
            good: self.good.wrapping_add(other.good),
            total: self.total.wrapping_add(other.total),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            seen: self.seen.wrapping_sub(other.seen),
            good: self.good.wrapping_sub(other.good),
            total: self.total.wrapping_sub(other.total),
        }
    }
}

impl Tier {
    /// More than any tier has: with the most events of a bucket no difference of sums overflows.
    pub(super) const MOST: usize = 1 << 16;
    /// Room is made for so many buckets at a time: doubling it would waste half.
    const ROOM: usize = 64;

    /// With room for so many buckets and some more.
    pub(super) fn with_room(buckets: usize) -> Self {
        let room = buckets.min(Self::MOST) + Self::ROOM;
        Self { sums: VecDeque::with_capacity(room), ..Self::default() }
    }

    /// Adds a bucket behind all others.
    pub(super) fn push(&mut self, bucket: &Bucket) {
        let sums = self.up_to(self.len()).plus(Sums::of(bucket));
        self.sums.push_back(UpTo::new(bucket.start, sums));
    }

    /// The newest bucket's start.
    pub(super) fn last(&self) -> Option<u32> {
        self.sums.back().map(|last| last.start)
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Bucket> {
        (0..self.sums.len()).filter_map(|position| self.get(position))
    }

    /// What the buckets hold that begin within `range`.
    pub(super) fn within(&self, range: &Range<u64>) -> Sums {
        let (start, end) = (self.position(range.start), self.position(range.end));
        self.up_to(end.max(start)).minus(self.up_to(start))
    }

    /// Replaces the bucket that begins at `start`, an empty one if there is none, unless it is not
    /// to be.
    pub(super) fn change(&mut self, start: u32, new: impl FnOnce(Bucket) -> Option<Bucket>) -> Option<()> {
        let position = self.position(start.into());
        let found = self.get(position).filter(|bucket| bucket.start == start);
        let old = found.unwrap_or(Bucket { start, seen: 0, counts: Counts::ZERO });
        let difference = Sums::of(&new(old)?).minus(Sums::of(&old));
        if found.is_none() {
            if self.sums.len() == self.sums.capacity() {
                self.sums.reserve_exact(Self::ROOM);
            }
            self.sums.insert(position, UpTo::new(start, self.up_to(position)));
        }
        for sum in self.sums.range_mut(position..) {
            *sum = UpTo::new(sum.start, sum.sums().plus(difference));
        }
        Some(())
    }

    /// Adds a finer bucket to the one that begins at `start`.
    pub(super) fn merge(&mut self, start: u64, finer: &Bucket) {
        // A bucket that is full stays as it is: so many events in an hour are nobody's.
        self.change(start as u32, |bucket| {
            let counts = bucket.counts.plus(finer.counts).unwrap_or(bucket.counts);
            Some(Bucket { counts, seen: bucket.seen.saturating_add(finer.seen), ..bucket })
        });
    }

    /// Takes out the first if it is older than `start`.
    pub(super) fn older_than(&mut self, start: u64) -> Option<Bucket> {
        let first = self.get(0).filter(|first| u64::from(first.start) < start)?;
        self.before = self.sums.pop_front()?.sums();
        Some(first)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Bucket) -> bool) {
        *self = self.iter().filter(keep).collect();
    }

    /// Where the buckets from `start` on begin.
    fn position(&self, start: u64) -> usize {
        // Almost all that comes is the newest.
        match self.sums.back() {
            Some(last) if u64::from(last.start) < start => self.sums.len(),
            _ => self.sums.partition_point(|bucket| u64::from(bucket.start) < start),
        }
    }

    /// The sums over the first `count` buckets.
    fn up_to(&self, count: usize) -> Sums {
        let last = count.checked_sub(1).and_then(|last| self.sums.get(last));
        last.map_or(self.before, UpTo::sums)
    }

    fn get(&self, position: usize) -> Option<Bucket> {
        let bucket = self.sums.get(position)?;
        let Sums { seen, good, total } = bucket.sums().minus(self.up_to(position));
        Some(Bucket { start: bucket.start, seen, counts: Counts::new(good, total).unwrap_or(Counts::ZERO) })
    }
}

impl FromIterator<Bucket> for Tier {
    /// Of buckets in the order of their starts.
    fn from_iter<I: IntoIterator<Item = Bucket>>(buckets: I) -> Self {
        let buckets = buckets.into_iter();
        let mut tier = Self::with_room(buckets.size_hint().0);
        buckets.for_each(|bucket| tier.push(&bucket));
        tier
    }
}
