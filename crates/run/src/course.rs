//! The course of a run as a record keeps it beside the events: small points that charts are drawn from, so that a
//! month is drawn without reading a month of histograms.
//!
//! A point knows the least and the most of its seconds, so that no peak vanishes however wide it is. Its histogram is
//! that of [`Timeline`](crate::Timeline): merged, never averaged, and up to 1.6% too high.

use std::collections::BTreeMap;

use plimsoll_measure::{Distribution, Edges, Outcome};

use crate::timeline::BITS;
use crate::{Level, Levels, Second, Stretch, TimelinePoint};

/// A stretch of a run's course.
#[derive(Debug, Clone, PartialEq)]
pub struct CoursePoint {
    /// What it comes to.
    pub point: TimelinePoint,
    /// How many of its seconds were recorded.
    pub recorded: u64,
    /// The least and the most of its seconds.
    pub levels: Levels,
}

/// Bytes that are no course.
#[derive(Debug, thiserror::Error)]
#[error("the course of a run is damaged")]
pub struct MalformedCourse;

impl CoursePoint {
    /// Of one second.
    pub fn of_second(second: &Second) -> Self {
        let point = TimelinePoint::of_second(second, &Edges::exactly([]));
        Self { point, recorded: 1, levels: Levels::of(second) }
    }

    /// Of seconds told as one.
    pub fn of_stretch(stretch: &Stretch) -> Self {
        let point = TimelinePoint::of_stretch(stretch, &Edges::exactly([]));
        Self { point, recorded: stretch.recorded, levels: stretch.levels }
    }

    /// Takes in a later one.
    pub fn absorb(&mut self, later: &Self) {
        self.point.absorb(&later.point);
        self.recorded += later.recorded;
        self.levels.merge(&later.levels);
    }

    /// The second behind it.
    pub fn end(&self) -> u64 {
        self.point.second.saturating_add(self.point.seconds)
    }

    /// Writes it behind others: whole numbers in LEB128, others as they lie in memory.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let Self { point, recorded, levels } = self;
        for number in [
            point.second,
            point.seconds,
            *recorded,
            point.arrivals,
            point.requests,
            point.succeeded,
            point.failed,
            point.dropped,
            point.in_flight,
            point.users,
        ] {
            write_number(bytes, number.into());
        }
        bytes.extend(point.offered.to_le_bytes());
        for level in all(levels) {
            write_number(bytes, level.count.into());
            [level.least, level.sum, level.most].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
        let times = &point.response_time;
        write_number(bytes, times.buckets().len() as u128);
        write_number(bytes, times.sum());
        write_number(bytes, times.min().unwrap_or(0).into());
        write_number(bytes, times.max().unwrap_or(0).into());
        let mut before = 0;
        for &(value, count) in times.buckets() {
            let index = index_of(value);
            write_number(bytes, u128::from(index.wrapping_sub(before)));
            write_number(bytes, count.into());
            before = index;
        }
        write_kinds(bytes, &point.kinds);
    }

    /// Reads all points that were written one after the other.
    ///
    /// # Errors
    /// When they are none.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, MalformedCourse> {
        let mut points = Vec::new();
        while !bytes.is_empty() {
            points.push(Self::read(&mut bytes)?);
        }
        Ok(points)
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedCourse> {
        let mut numbers = [0_u64; 10];
        for number in &mut numbers {
            *number = read_number(bytes)?;
        }
        let [second, seconds, recorded, arrivals, requests, succeeded, failed, dropped, in_flight, users] =
            numbers;
        let offered = read_float(bytes)?;
        let mut level = || {
            let count = read_number(bytes)?;
            let (least, sum, most) = (read_float(bytes)?, read_float(bytes)?, read_float(bytes)?);
            Ok::<_, MalformedCourse>(Level { count, least, sum, most })
        };
        let levels = Levels {
            offered_rate: level()?,
            virtual_users: level()?,
            connections: level()?,
            in_flight: level()?,
            requests: level()?,
            failed: level()?,
        };
        let response_time = read_times(bytes)?;
        let kinds = read_kinds(bytes)?;
        let point = TimelinePoint {
            second,
            seconds,
            offered,
            arrivals,
            requests,
            succeeded,
            failed,
            kinds,
            dropped,
            in_flight,
            users,
            response_time,
        };
        Ok(Self { point, recorded, levels })
    }
}

fn all(levels: &Levels) -> [&Level; 6] {
    let Levels { offered_rate, virtual_users, connections, in_flight, requests, failed } = levels;
    [offered_rate, virtual_users, connections, in_flight, requests, failed]
}

fn read_times(bytes: &mut &[u8]) -> Result<Distribution, MalformedCourse> {
    let count: usize = read_number(bytes)?;
    // Each bucket takes two bytes at least.
    if count > bytes.len() {
        return Err(MalformedCourse);
    }
    let (sum, min, max) = (read_wide(bytes)?, read_number(bytes)?, read_number(bytes)?);
    let (mut buckets, mut index) = (Vec::with_capacity(count), 0_u64);
    for number in 0..count {
        let step: u64 = read_number(bytes)?;
        if step == 0 && number > 0 {
            return Err(MalformedCourse);
        }
        index = index.checked_add(step).filter(|index| *index <= LAST_INDEX).ok_or(MalformedCourse)?;
        buckets.push((highest_of(index), read_number(bytes)?));
    }
    Ok(Distribution::from_buckets(buckets, sum, min, max))
}

/// The kinds of failures. Their places are their numbers in what is written: new ones go behind the others.
const KINDS: [Outcome; 10] = [
    Outcome::Status,
    Outcome::Expectation,
    Outcome::Capture,
    Outcome::Timeout,
    Outcome::Connect,
    Outcome::Tls,
    Outcome::Dns,
    Outcome::Reset,
    Outcome::Protocol,
    Outcome::TooLarge,
];

/// What says that kinds of failures follow: a zero in two bytes, which no number is written in, so that no point that
/// an older version wrote begins so.
const KINDS_FOLLOW: [u8; 2] = [0x80, 0];

/// Writes how many failed of which kind, where any did.
fn write_kinds(bytes: &mut Vec<u8>, kinds: &BTreeMap<Outcome, u64>) {
    if kinds.is_empty() {
        return;
    }
    bytes.extend(KINDS_FOLLOW);
    let numbered = (0_u64..).zip(KINDS).filter_map(|(number, kind)| Some((number, *kinds.get(&kind)?)));
    let numbered: Vec<_> = numbered.collect();
    write_number(bytes, numbered.len() as u128);
    for (number, count) in numbered {
        write_number(bytes, number.into());
        write_number(bytes, count.into());
    }
}

/// Of none where none failed, or an older version wrote it. Kinds that a later version knows are left out, and then not
/// all are known.
fn read_kinds(bytes: &mut &[u8]) -> Result<BTreeMap<Outcome, u64>, MalformedCourse> {
    let mut kinds = BTreeMap::new();
    let Some(rest) = bytes.strip_prefix(&KINDS_FOLLOW) else { return Ok(kinds) };
    *bytes = rest;
    let count: u64 = read_number(bytes)?;
    for _ in 0..count {
        let (number, count): (usize, u64) = (read_number(bytes)?, read_number(bytes)?);
        if let Some(kind) = KINDS.get(number) {
            kinds.insert(*kind, count);
        }
    }
    Ok(kinds)
}

/// The number of a coarse bucket, counted from the shortest.
fn index_of(value: u64) -> u64 {
    let doublings = u64::from(value.checked_ilog2().unwrap_or(0).saturating_sub(BITS));
    (doublings << BITS) + (value >> doublings)
}

/// The number of the bucket that holds the longest there can be.
const LAST_INDEX: u64 = ((63 - BITS as u64) << BITS) + (1 << (BITS + 1)) - 1;

/// The highest value of a coarse bucket.
fn highest_of(index: u64) -> u64 {
    let doublings = (index >> BITS).saturating_sub(1);
    let mantissa = index - (doublings << BITS);
    (mantissa << doublings) | ((1 << doublings) - 1)
}

fn write_number(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_wide(bytes: &mut &[u8]) -> Result<u128, MalformedCourse> {
    let mut number = 0_u128;
    for shift in (0..126).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(MalformedCourse)?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(MalformedCourse)
}

fn read_number<T: TryFrom<u128>>(bytes: &mut &[u8]) -> Result<T, MalformedCourse> {
    T::try_from(read_wide(bytes)?).map_err(|_| MalformedCourse)
}

fn read_float(bytes: &mut &[u8]) -> Result<f64, MalformedCourse> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or(MalformedCourse)?;
    *bytes = rest;
    Some(f64::from_le_bytes(*number)).filter(|number| number.is_finite()).ok_or(MalformedCourse)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use plimsoll_measure::Histogram;

    fn point(second: u64, seconds: u64, times: &[u64]) -> CoursePoint {
        failing(second, seconds, times, &[])
    }

    fn failing(second: u64, seconds: u64, times: &[u64], kinds: &[(Outcome, u64)]) -> CoursePoint {
        let mut histogram = Histogram::new(Edges::exactly([]));
        times.iter().for_each(|time| histogram.record(*time));
        let point = TimelinePoint {
            second,
            seconds,
            offered: 9.5,
            arrivals: 7,
            requests: times.len() as u64,
            succeeded: 300,
            failed: 3,
            kinds: kinds.iter().copied().collect(),
            dropped: 0,
            in_flight: 2,
            users: u64::MAX,
            response_time: histogram.distribution().coarse(BITS),
        };
        let levels = Levels { requests: Level::of(times.len() as f64), ..Levels::default() };
        CoursePoint { point, recorded: seconds, levels }
    }

    #[test]
    fn every_kind_of_failure_has_a_number() {
        let failures: Vec<_> = Outcome::ALL.into_iter().filter(|outcome| outcome.is_failure()).collect();
        assert!(failures.iter().all(|kind| KINDS.contains(kind)) && failures.len() == KINDS.len());
    }

    #[test]
    fn of_points_without_kinds_it_is_not_known_how_requests_failed() {
        let known = failing(6, 1, &[9], &[(Outcome::Timeout, 2), (Outcome::Status, 1)]);
        let mut bytes = Vec::new();
        // As an older version wrote them: nothing behind the histogram.
        [point(4, 1, &[7]), point(5, 1, &[]), known.clone()].iter().for_each(|point| point.write(&mut bytes));
        let read = CoursePoint::read_all(&bytes).unwrap();
        assert_eq!((read.len(), read[0].point.failures(), read[1].point.failures()), (3, None, None));
        assert_eq!(read[2].point.failures(), Some(&known.point.kinds));
        let mut both = read[1].clone();
        both.absorb(&read[2]);
        assert_eq!((both.point.failed, both.point.failures()), (6, None), "some are not known");
        let mut wide = known;
        wide.absorb(&failing(7, 1, &[], &[(Outcome::Timeout, 3)]));
        assert_eq!(wide.point.failures().unwrap()[&Outcome::Timeout], 5);
    }

    #[test]
    fn a_kind_of_a_later_version_is_left_out_and_not_all_are_known() {
        let mut bytes = Vec::new();
        point(4, 1, &[7]).write(&mut bytes);
        bytes.extend(KINDS_FOLLOW);
        bytes.extend([2, 3, 1, 99, 2]);
        let read = CoursePoint::read_all(&bytes).unwrap();
        assert_eq!(read[0].point.kinds, [(Outcome::Timeout, 1)].into());
        assert_eq!(read[0].point.failures(), None);
    }

    proptest! {
        #[test]
        fn points_survive(
            seconds in prop::collection::vec((
                0_u64..9_000_000, 1_u64..4000, prop::collection::vec(any::<u64>(), 0..40),
                prop::collection::vec((prop::sample::select(KINDS.to_vec()), 1_u64..u64::MAX), 0..4),
            ), 0..9)
        ) {
            let points: Vec<_> = seconds.iter().map(|(second, long, times, kinds)| failing(*second, *long, times, kinds)).collect();
            let mut bytes = Vec::new();
            points.iter().for_each(|point| point.write(&mut bytes));
            prop_assert_eq!(CoursePoint::read_all(&bytes).unwrap(), points);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = CoursePoint::read_all(&bytes);
        }

        #[test]
        fn buckets_have_numbers_in_their_order(bits in 0_u32..64, noise in any::<u64>()) {
            let value = noise >> bits;
            let index = index_of(value);
            prop_assert!(index <= LAST_INDEX && value <= highest_of(index));
            prop_assert_eq!(index_of(highest_of(index)), index);
            prop_assert!(index == 0 || highest_of(index - 1) < value);
        }
    }
}
