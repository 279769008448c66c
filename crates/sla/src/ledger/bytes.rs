//! The bytes a [`Ledger`] is kept in: a version, then numbers as LEB128, times as differences.
//!
//! A bucket takes five to ten bytes, so a year of hours stays far under a megabyte. There is no
//! checksum: whoever stores the bytes guards them. Bytes that are damaged are refused or read as
//! some other sound ledger; they never panic and never take more memory than they are long, times
//! a constant.

use std::collections::VecDeque;
use std::ops::Range;

use super::tier::{Bucket, Tier};
use super::{HOUR, Ledger, MINUTE, MOST_EXCLUSIONS};
use crate::bytes::{Input, Unreadable, put, put_counts};
use crate::{Counts, Method, Slo};

const VERSION: u8 = 1;

impl Ledger {
    /// Its bytes, for [`Ledger::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let out = &mut bytes;
        for number in method_numbers(self.method) {
            put(out, number.into());
        }
        put(out, self.now.into());
        put(out, self.first.map_or(0, |first| u128::from(first) + 1));
        put(out, self.forgotten.bad());
        put(out, self.forgotten.good());
        put(out, self.exclusions.len() as u128);
        for exclusion in &self.exclusions {
            put(out, exclusion.start.into());
            put(out, (exclusion.end - exclusion.start).into());
        }
        put(out, self.slices.len() as u128);
        for (start, counts) in &self.slices {
            put(out, (*start).into());
            put_counts(out, *counts);
        }
        for tier in [&self.seconds, &self.minutes, &self.hours] {
            put(out, tier.len() as u128);
            let mut last = 0;
            for bucket in tier.iter() {
                put(out, (bucket.start - last).into());
                put(out, bucket.seen.into());
                put_counts(out, bucket.counts);
                last = bucket.start;
            }
        }
        bytes
    }

    /// The ledger of `slo` that these bytes were made of.
    ///
    /// Target and period may have changed since: what was counted stays, at the resolution it was
    /// kept in. The method may not: its events are others.
    pub fn from_bytes(bytes: &[u8], slo: &Slo) -> Result<Self, Unreadable> {
        let (&version, rest) = bytes.split_first().ok_or(Unreadable::Length)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let mut input = Input(rest);
        for number in method_numbers(slo.method) {
            if input.number()? != number {
                return Err(Unreadable::Method);
            }
        }
        let mut ledger = Self::new(slo);
        ledger.now = input.time()?;
        ledger.first = input.number()?.checked_sub(1);
        if ledger.first.is_some_and(|first| first >= ledger.now) {
            return Err(Unreadable::Contradiction("the first second is behind the newest"));
        }
        ledger.forgotten = input.sum()?;
        ledger.exclusions = input.exclusions()?;
        ledger.slices = input.slices(slo.method.slice())?;
        ledger.seconds = input.tier(1, ledger.now)?;
        ledger.minutes = input.tier(MINUTE, ledger.now)?;
        ledger.hours = input.tier(HOUR, ledger.now)?;
        if !input.0.is_empty() {
            return Err(Unreadable::Length);
        }
        ledger.fold();
        Ok(ledger)
    }
}

/// What the events of a method depend on.
fn method_numbers(method: Method) -> [u64; 4] {
    match method {
        Method::Occurrences => [0, 0, 0, 0],
        Method::Timeslices { slice, target } => [1, slice.seconds(), target.parts(), target.of()],
        Method::RatioTimeslices { slice } => [2, slice.seconds(), 0, 0],
    }
}

impl Input<'_> {
    fn exclusions(&mut self) -> Result<Vec<Range<u64>>, Unreadable> {
        let wrong = Unreadable::Contradiction("exclusions out of order");
        let mut exclusions: Vec<Range<u64>> = Vec::new();
        for _ in 0..self.number()? {
            let (start, length) = (self.time()?, self.time()?);
            let end = start + length;
            let apart = exclusions.last().is_none_or(|last| last.end < start);
            if length == 0 || !apart || exclusions.len() >= MOST_EXCLUSIONS {
                return Err(wrong);
            }
            exclusions.push(start..end);
        }
        Ok(exclusions)
    }

    fn slices(&mut self, slice: Option<u64>) -> Result<VecDeque<(u64, Counts)>, Unreadable> {
        let wrong = Unreadable::Contradiction("time slices out of order");
        let mut slices: VecDeque<(u64, Counts)> = VecDeque::new();
        for _ in 0..self.number()? {
            let (start, counts) = (self.time()?, self.counts()?);
            let on = slice.is_some_and(|slice| start.is_multiple_of(slice));
            if !on || slices.back().is_some_and(|(last, _)| *last >= start) {
                return Err(wrong);
            }
            slices.push_back((start, counts));
        }
        Ok(slices)
    }

    fn tier(&mut self, unit: u64, now: u64) -> Result<Tier, Unreadable> {
        let count = self.number()?;
        // A bucket takes at least four bytes: who claims more of them than there are gets no room for them.
        let mut tier = Tier::with_room(usize::try_from(count).unwrap_or(usize::MAX).min(self.0.len() / 4));
        for _ in 0..count {
            let (step, seen, counts) = (self.number()?, self.number()?, self.counts()?);
            let last = tier.last().map(u64::from);
            let start = last.unwrap_or(0).checked_add(step).filter(|start| *start < now);
            let start = start.ok_or(Unreadable::Contradiction("a time behind the newest"))?;
            if last == Some(start) || seen > unit || tier.len() >= Tier::MOST {
                return Err(Unreadable::Contradiction(
                    "buckets out of order, longer than they are, or too many",
                ));
            }
            tier.push(&Bucket { start: start as u32, seen: seen as u32, counts });
        }
        Ok(tier)
    }
}
