//! What a service-level objective has seen: good and total events per second, then per minute, then
//! per hour, in bounded memory.
//!
//! Counts are integers from end to end and a coarser bucket is the sum of the finer ones, so a window
//! over any time is exact; only its edges are as coarse as the buckets they fall into, and both are
//! moved down to the start of that bucket, so windows that meet share nothing. An hour in which a
//! calendar period begins is cut there: sums of whole calendar periods are exact at any age.
//!
//! What is kept depends on the period P:
//!
//! | resolution | kept for |
//! |---|---|
//! | a second | 10 minutes; for P up to 10 hours 10 minutes more than P, at most 70 minutes |
//! | a minute | an hour more than P, at most 73 hours |
//! | an hour | 35 days more than the longest P |
//!
//! What it does where time or data are not as they should be:
//!
//! | what | outcome |
//! |---|---|
//! | a gap: no data | nothing is counted; a window says how many of its seconds were seen |
//! | zero traffic | the second was seen, without events; alone it decides nothing |
//! | a fresh series | it has no events before its first second; a window over an earlier time is empty. If the clock was wrong then, by more than is kept, it has to be begun anew |
//! | late data | counted in the bucket its second belongs to; older than every bucket: forgotten, and counted as such |
//! | a second told twice, a clock an hour back | late data: events add up, each having happened, at the times the clock showed |
//! | a clock ahead by up to two days | a gap; after the clock is put right what comes is late, and only as exact as the buckets of that time are |
//! | a clock ahead by more | refused, until [`Ledger::resume`] says the time is right: a bad clock must not age out history |
//! | a leap second | Unix time has none: the second is told twice |
//! | a generator or service restarts | a gap; counters that start again at zero are read by [`Counters`](crate::Counters) |
//! | an excluded interval | its seconds count neither as good nor bad, whenever they arrive |
//! | a time slice without events | counts neither as good nor bad |
//! | late data in a slice that was judged | the slice is judged again, if it is at most an hour old; else forgotten |

use std::collections::VecDeque;
use std::ops::Range;

use crate::{Counts, Method, Period, Slo, Sum};

mod bytes;
mod tier;

use tier::{Bucket, Tier};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How far ahead of the newest second the next may be.
const FARTHEST_AHEAD: u64 = 2 * DAY;
/// For how long a judged slice can be judged again.
const SLICES_KEPT: u64 = HOUR;
/// More than anybody declares; it bounds the memory.
const MOST_EXCLUSIONS: usize = 10_000;

/// What a service-level objective has seen.
#[derive(Debug, Clone)]
pub struct Ledger {
    method: Method,
    period: Period,
    kept: Kept,
    seconds: Tier,
    minutes: Tier,
    hours: Tier,
    /// Raw counts of the slices that may still change, by their start.
    slices: VecDeque<(u64, Counts)>,
    /// Sorted, apart from each other.
    exclusions: Vec<Range<u64>>,
    first: Option<u64>,
    /// The end of the newest second.
    now: u64,
    forgotten: Sum,
}

/// For how many seconds each resolution is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    seconds: u64,
    minutes: u64,
    hours: u64,
}

impl Kept {
    fn of(period: &Period) -> Self {
        let usual = period.usual_seconds();
        let fine = if usual <= 10 * HOUR { usual.min(HOUR) } else { 0 };
        Self {
            seconds: fine + 10 * MINUTE,
            minutes: usual.min(3 * DAY) + HOUR,
            hours: period.longest_seconds() + 35 * DAY,
        }
    }
}

/// What became of the events of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They count.
    Counted,
    /// The second lies in an excluded interval.
    Excluded,
    /// The second is older than everything kept.
    Forgotten,
}

/// Why events or an exclusion are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Farther ahead than a clock is believed.
    #[error(
        "second {second} is {by} s ahead of the newest; the clock is wrong, or time must be told to resume there"
    )]
    Ahead {
        /// The second.
        second: u64,
        /// How far.
        by: u64,
    },
    /// Beyond the times that are kept.
    #[error("second {0} is beyond the year 2106")]
    BeyondTime(u64),
    /// More than 2^47 events in an hour.
    #[error("more events than can be counted")]
    TooMany,
    /// The interval is empty.
    #[error("an exclusion that ends where it starts or before")]
    EmptyExclusion,
    /// More exclusions than are kept.
    #[error("more than {MOST_EXCLUSIONS} exclusions in the time that is kept")]
    TooManyExclusions,
}

/// The events of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The seconds it really covers: its edges are those of buckets.
    pub range: Range<u64>,
    /// Its events, in the unit of the method.
    pub events: Sum,
    /// How many of its seconds had data, excluded ones left out. Of a second of an older bucket that
    /// is told twice nobody can know, and it counts twice, up to the length of the bucket.
    pub seen: u64,
}

impl Ledger {
    /// An empty one for `slo`.
    pub fn new(slo: &Slo) -> Self {
        Self {
            method: slo.method,
            period: slo.period.clone(),
            kept: Kept::of(&slo.period),
            seconds: Tier::default(),
            minutes: Tier::default(),
            hours: Tier::default(),
            slices: VecDeque::new(),
            exclusions: Vec::new(),
            first: None,
            now: 0,
            forgotten: Sum::default(),
        }
    }

    /// The first second that had data, as long as it is remembered at all.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The end of the newest second; 0 before the first.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Events that came too late to be kept.
    pub fn forgotten(&self) -> Sum {
        self.forgotten
    }

    /// The intervals that count neither as good nor as bad, as far as they are remembered.
    pub fn exclusions(&self) -> &[Range<u64>] {
        &self.exclusions
    }

    /// Counts the events of the second that begins at `second` (Unix time).
    pub fn record(&mut self, second: u64, counts: Counts) -> Result<Fate, Refused> {
        self.pass(second)?;
        if self.is_excluded(second) {
            return Ok(Fate::Excluded);
        }
        let oldest = self.method.slice().map_or_else(|| self.hours_from(), |slice| self.slices_from(slice));
        if counts.total() > Counts::MOST {
            return Err(Refused::TooMany);
        }
        if second < oldest {
            self.forgotten += counts;
            return Ok(Fate::Forgotten);
        }
        match self.method.slice() {
            None => self.add(second, counts)?,
            Some(slice) => self.add_to_slice(second, counts, slice)?,
        }
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        Ok(Fate::Counted)
    }

    /// Lets the second that begins at `second` go by; nobody knows what happened in it.
    pub fn pass(&mut self, second: u64) -> Result<(), Refused> {
        let ahead = second.saturating_sub(self.now);
        if self.now > 0 && ahead > FARTHEST_AHEAD {
            return Err(Refused::Ahead { second, by: ahead });
        }
        if second >= u64::from(u32::MAX) {
            return Err(Refused::BeyondTime(second));
        }
        if second >= self.now {
            self.move_to(second + 1);
        }
        Ok(())
    }

    /// Lets time go on to `now`, however far: the process stood still, and the clock is right.
    pub fn resume(&mut self, now: u64) -> Result<(), Refused> {
        if now > u64::from(u32::MAX) {
            return Err(Refused::BeyondTime(now));
        }
        self.move_to(now.max(self.now));
        Ok(())
    }

    /// The events from the start of second `range.start` to that of `range.end`.
    pub fn window(&self, range: Range<u64>) -> Window {
        let start = self.edge(range.start);
        let range = start..self.edge(range.end).max(start);
        let mut window = Window { range: range.clone(), events: Sum::default(), seen: 0 };
        for tier in [&self.hours, &self.minutes, &self.seconds] {
            let sums = tier.within(&range);
            window.events += Counts::new(sums.good, sums.total).unwrap_or(Counts::ZERO);
            window.seen += u64::from(sums.seen);
        }
        window
    }

    /// Declares that nothing between these seconds counts, and takes out what was counted there.
    ///
    /// Only whole buckets (and whole slices) can be taken out: declared late, an interval loses less
    /// than a bucket at each edge. What comes for it from now on is left out to the second.
    pub fn exclude(&mut self, range: Range<u64>) -> Result<(), Refused> {
        if range.is_empty() {
            return Err(Refused::EmptyExclusion);
        }
        if range.end > u64::from(u32::MAX) {
            return Err(Refused::BeyondTime(range.end));
        }
        let mut merged = range.clone();
        let touches = |one: &Range<u64>| one.start <= range.end && range.start <= one.end;
        if !self.exclusions.iter().any(touches) && self.exclusions.len() >= MOST_EXCLUSIONS {
            return Err(Refused::TooManyExclusions);
        }
        self.exclusions.retain(|one| {
            if touches(one) {
                merged = merged.start.min(one.start)..merged.end.max(one.end);
            }
            !touches(one)
        });
        let position = self.exclusions.partition_point(|one| one.start < merged.start);
        self.exclusions.insert(position, merged);
        self.take_out(range);
        Ok(())
    }

    /// Takes back what was excluded of the time to come.
    pub fn include_from(&mut self, now: u64) {
        self.exclusions.retain(|one| one.start < now);
        for one in &mut self.exclusions {
            one.end = one.end.min(now);
        }
    }

    fn take_out(&mut self, range: Range<u64>) {
        let slice = self.method.slice().unwrap_or(1);
        let range = range.start.next_multiple_of(slice)..range.end - range.end % slice;
        self.slices.retain(|(start, _)| !range.contains(start));
        let period = self.period.clone();
        for (tier, unit) in [(&mut self.seconds, 1), (&mut self.minutes, MINUTE), (&mut self.hours, HOUR)] {
            tier.retain(|bucket| {
                let start = u64::from(bucket.start);
                let end = floor(start, unit) + unit;
                let end = if unit == HOUR {
                    period_end(&period, start).map_or(end, |cut| end.min(cut))
                } else {
                    end
                };
                start < range.start || end > range.end
            });
        }
    }

    fn is_excluded(&self, second: u64) -> bool {
        let after = self.exclusions.partition_point(|one| one.start <= second);
        after > 0 && self.exclusions[after - 1].contains(&second)
    }

    /// Adds a second's counts to the budget.
    fn add(&mut self, second: u64, counts: Counts) -> Result<(), Refused> {
        let longest = self.unit_at(second) as u32;
        let added = self.change(second, |bucket| {
            let counts = bucket.counts.plus(counts)?;
            Some(Bucket { counts, seen: (bucket.seen + 1).min(longest), ..bucket })
        });
        added.ok_or(Refused::TooMany)
    }

    /// Adds raw counts to their slice; it is judged once it is over, and again if it changes then.
    fn add_to_slice(&mut self, second: u64, counts: Counts, slice: u64) -> Result<(), Refused> {
        let start = floor(second, slice);
        let position = self.slices.partition_point(|(one, _)| *one < start);
        if self.slices.get(position).is_none_or(|(one, _)| *one != start) {
            self.slices.insert(position, (start, Counts::ZERO));
        }
        let before = self.slices[position].1;
        let after = before.plus(counts).ok_or(Refused::TooMany)?;
        self.slices[position].1 = after;
        self.add(second, Counts::ZERO)?;
        if start + slice <= self.now {
            self.replace(start + slice - 1, self.worth(before), self.worth(after));
        }
        Ok(())
    }

    /// What a slice with these events counts.
    fn worth(&self, slice: Counts) -> Counts {
        let (good, total) = (u128::from(slice.good()), u128::from(slice.total()));
        let worth = match self.method {
            Method::Occurrences => Ok(slice),
            _ if total == 0 => Ok(Counts::ZERO),
            Method::Timeslices { target, .. } => {
                Counts::new(u64::from(target.is_reached(good, total) == Some(true)), 1)
            }
            Method::RatioTimeslices { .. } => {
                let parts = good * u128::from(Method::PARTS) / total;
                Counts::new(parts as u64, Method::PARTS)
            }
        };
        worth.unwrap_or(Counts::ZERO)
    }

    /// Puts the new worth of a slice in the place of the old one; it ends with second `last`.
    ///
    /// An hour has no more slices than seconds, so their worth never overflows.
    fn replace(&mut self, last: u64, old: Counts, new: Counts) {
        self.change(last, |bucket| {
            let counts = bucket.counts.minus(old)?.plus(new)?;
            Some(Bucket { counts, ..bucket })
        });
    }

    fn move_to(&mut self, now: u64) {
        let before = self.now;
        self.now = now;
        if let Some(slice) = self.method.slice() {
            self.judge_slices(before, slice);
        }
        self.fold();
        let oldest = self.hours_from();
        self.exclusions.retain(|one| one.end > oldest);
        self.first = self.first.map(|first| first.max(oldest));
    }

    /// Judges the slices that were not over before.
    fn judge_slices(&mut self, before: u64, slice: u64) {
        let ended: Vec<_> = self.slices.iter().copied().filter(|(start, _)| start + slice > before).collect();
        for (start, counts) in ended {
            if start + slice <= self.now {
                self.replace(start + slice - 1, Counts::ZERO, self.worth(counts));
            }
        }
        let oldest = self.slices_from(slice);
        self.slices.retain(|(start, _)| *start >= oldest);
    }

    /// Sums up seconds that are old enough into minutes, and minutes into hours.
    fn fold(&mut self) {
        while let Some(bucket) = self.seconds.older_than(self.seconds_from()) {
            self.minutes.merge(floor(bucket.start.into(), MINUTE), &bucket);
        }
        while let Some(bucket) = self.minutes.older_than(self.minutes_from()) {
            self.hours.merge(cut(&self.period, bucket.start.into()), &bucket);
        }
        while self.hours.older_than(self.hours_from()).is_some() {}
    }

    /// Where seconds are kept from: a whole minute.
    fn seconds_from(&self) -> u64 {
        floor(self.now.saturating_sub(self.kept.seconds), MINUTE)
    }

    /// Where minutes are kept from: a whole hour.
    fn minutes_from(&self) -> u64 {
        floor(self.now.saturating_sub(self.kept.minutes), HOUR)
    }

    fn hours_from(&self) -> u64 {
        floor(self.now.saturating_sub(self.kept.hours), HOUR)
    }

    fn slices_from(&self, slice: u64) -> u64 {
        floor(self.now.saturating_sub(SLICES_KEPT + slice), slice)
    }

    fn unit_at(&self, second: u64) -> u64 {
        if second >= self.seconds_from() {
            1
        } else if second >= self.minutes_from() {
            MINUTE
        } else {
            HOUR
        }
    }

    /// The start of the bucket that `second` belongs to, or would belong to if it were kept.
    fn edge(&self, second: u64) -> u64 {
        let second = second.max(self.hours_from());
        match self.unit_at(second) {
            HOUR => cut(&self.period, second),
            unit => floor(second, unit),
        }
    }

    /// Changes the bucket of a second, which is not older than those that are kept.
    fn change(&mut self, second: u64, new: impl FnOnce(Bucket) -> Option<Bucket>) -> Option<()> {
        let start = self.edge(second) as u32;
        match self.unit_at(second) {
            HOUR => self.hours.change(start, new),
            MINUTE => self.minutes.change(start, new),
            _ => self.seconds.change(start, new),
        }
    }
}

fn floor(second: u64, unit: u64) -> u64 {
    second - second % unit
}

/// Where the hour begins that `second` is in, or the calendar period where that is later.
fn cut(period: &Period, second: u64) -> u64 {
    let hour = floor(second, HOUR);
    match period {
        Period::Rolling(_) => hour,
        Period::Calendar(_) => hour.max(period.bounds_at(second).start),
    }
}

fn period_end(period: &Period, second: u64) -> Option<u64> {
    match period {
        Period::Rolling(_) => None,
        Period::Calendar(_) => Some(period.bounds_at(second).end),
    }
}
