//! Numbers that a plan takes from replies: what they are called, what they are in, how they are counted.
//!
//! A histogram of them has the buckets of every other one, so a value is recorded in its ticks: nanoseconds
//! of a time, 1/512 of a byte, 1/512,000 of a number without a unit. Neighbouring values below 1 ms, 2 KiB and
//! 2 are thereby told apart by 512 ns, one byte and a thousandth; above, they are kept to three digits. What
//! lies beyond [`ValueUnit::highest`] is counted as out of range and never clipped.

use std::fmt;

use crate::table::{Packed, packed};
use crate::{Distribution, Edges, Phase};

/// The most values that a plan takes from replies.
pub const MOST_VALUES: usize = 32;

/// The most that one reply adds to a counter, so that a second's sum fits whatever comes.
pub const MOST_COUNTED: u64 = 1_000_000_000_000;

/// What a value is called: a lower-case letter, then up to 31 of them, digits and `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueName {
    bytes: [u8; Self::LONGEST],
    length: u8,
}

impl ValueName {
    /// The most characters.
    pub const LONGEST: usize = 32;

    /// The name in a text; `None` where it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let first = text.bytes().next()?;
        let mut bytes = [0; Self::LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let fits = first.is_ascii_lowercase() && text.as_bytes().iter().all(is_inner);
        fits.then_some(Self { bytes, length: text.len() as u8 })
    }

    /// As a text.
    pub fn as_str(&self) -> &str {
        // It was made of ASCII.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for ValueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ValueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What becomes of the values of all replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueForm {
    /// How they are distributed.
    Histogram,
    /// Their sum: whole numbers.
    Counter,
    /// How many are the one that is looked for.
    Ratio,
}

impl ValueForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Histogram, Self::Counter, Self::Ratio];

    /// Its word in plans and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Histogram => "histogram",
            Self::Counter => "counter",
            Self::Ratio => "ratio",
        }
    }

    /// The form with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.label() == label)
    }
}

/// What a value is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueUnit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Nothing: a length of a queue, a score.
    Number,
}

impl ValueUnit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Seconds, Self::Bytes, Self::Number];

    /// Its word in plans and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Number => "number",
        }
    }

    /// The unit with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.label() == label)
    }

    /// How many ticks one of it has: what a histogram takes for nanoseconds.
    pub fn ticks_per_one(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Bytes => 512,
            Self::Number => 512_000,
        }
    }

    /// The largest value that a histogram takes: a day, 16 GiB, 168,750,000.
    pub fn highest(self) -> u64 {
        match self {
            Self::Seconds => 86_400,
            // Billionths of it still fit 64 bits.
            Self::Bytes => 1 << 34,
            Self::Number => 168_750_000,
        }
    }

    /// A value in ticks, to the nearest; `None` where it is negative, beyond [`Self::highest`] or no number.
    pub fn ticks(self, value: f64) -> Option<u64> {
        let in_range = (0.0..=self.highest() as f64).contains(&value);
        in_range.then(|| (value * self.ticks_per_one() as f64).round() as u64)
    }

    /// The edges at which its histograms count exactly: a fixed grid and these thresholds, in ticks.
    pub fn edges(self, thresholds: impl IntoIterator<Item = u64>) -> Edges {
        /// From 1/10 to a million.
        const NUMBERS: [f64; 17] =
            [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 1e4, 1e5, 1e6];
        let grid: Vec<u64> = match self {
            Self::Seconds => return Edges::with_thresholds(thresholds),
            // In fours from 64 B to 1 GiB.
            Self::Bytes => (6..=30).step_by(2).map(|bits| self.ticks_per_one() << bits).collect(),
            Self::Number => NUMBERS.into_iter().filter_map(|number| self.ticks(number)).collect(),
        };
        Edges::exactly(grid.into_iter().chain(thresholds))
    }

    /// Edges in ticks as edges in billionths of the unit, which is what every sink divides by 10^9.
    pub fn edges_in_billionths(self, edges: &Edges) -> Edges {
        Edges::exactly(edges.nanos().iter().map(|ticks| self.billionths(*ticks)))
    }

    /// The same values in billionths of the unit. `edges` are those of the distribution after
    /// [`Self::edges_in_billionths`].
    pub fn in_billionths(self, values: &Distribution, edges: &Edges) -> Distribution {
        let factor = |ticks: u128| ticks * 1_000_000_000 / u128::from(self.ticks_per_one());
        Distribution::from_parts(
            edges.clone(),
            values.at_edges().to_vec(),
            factor(values.sum()),
            values.min().map_or(u64::MAX, |min| self.billionths(min)),
            values.max().map_or(0, |max| self.billionths(max)),
            values.buckets().iter().map(|(value, count)| (self.billionths(*value), *count)).collect(),
        )
    }

    fn billionths(self, ticks: u64) -> u64 {
        let billionths = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_one());
        u64::try_from(billionths).unwrap_or(u64::MAX)
    }
}

/// Which values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueKey {
    /// Index of the value in the run's list of them.
    pub value: u16,
    /// Index of the step whose replies they are from.
    pub step: u16,
    /// The phase its iteration was due in.
    pub phase: Phase,
    /// The stage its iteration was due in; `None` for setup and teardown.
    pub stage: Option<u16>,
}

impl ValueKey {
    /// The series that counts it when nothing finer is left.
    pub fn overflow(self) -> Self {
        Self { step: crate::SeriesKey::OVERFLOW_STEP, stage: None, ..self }
    }

    /// Whether it counts values of several series together.
    pub fn is_overflow(self) -> bool {
        self.step == crate::SeriesKey::OVERFLOW_STEP
    }
}

impl Packed for ValueKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.step, self.phase, self.stage) | u64::from(self.value) << 48
    }
}

/// What a reply says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// This many ticks, for a histogram; at most those of [`ValueUnit::highest`].
    Ticks(u64),
    /// This many more, for a counter; at most [`MOST_COUNTED`].
    Amount(u64),
    /// Whether it is the one that is looked for, for a ratio.
    Match(bool),
    /// Nothing, or what is no such number: a word, one below zero, a fraction for a counter.
    Absent,
    /// A number that is too large to be counted.
    OutOfRange,
}

/// Values of one series within a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValueSeries {
    /// Replies that had one.
    pub taken: u64,
    /// Replies that had none, or what is no such number.
    pub absent: u64,
    /// Replies with a number that is too large to be counted.
    pub out_of_range: u64,
    /// Of a counter the sum, of a ratio how many were the one that is looked for.
    pub total: u64,
    /// Of a histogram its values in ticks.
    pub values: Option<Distribution>,
}

impl ValueSeries {
    /// Replies that were looked at.
    pub fn replies(&self) -> u64 {
        self.taken + self.absent + self.out_of_range
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.taken += other.taken;
        self.absent += other.absent;
        self.out_of_range += other.out_of_range;
        self.total = self.total.saturating_add(other.total);
        match (&mut self.values, &other.values) {
            (Some(known), Some(more)) => known.merge(more),
            (known @ None, more) => known.clone_from(more),
            (Some(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Histogram, LatencyFigures};
    use proptest::prelude::*;

    #[test]
    fn a_name_is_a_small_word() {
        let longest = format!("a{}", "_9".repeat(15));
        for good in ["a", "db_time", "p99", &longest, &format!("{longest}z")] {
            assert_eq!(ValueName::new(good).map(|name| name.to_string()).as_deref(), Some(good));
        }
        let too_long = format!("{longest}zz");
        for bad in ["", "_a", "9a", "Db", "db-time", "dé", "a b", &too_long] {
            assert_eq!(ValueName::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_value_has_no_ticks() {
        for unit in ValueUnit::ALL {
            let highest = unit.highest() as f64;
            assert_eq!(unit.ticks(highest), Some(unit.highest() * unit.ticks_per_one()));
            assert_eq!((unit.ticks(0.0), unit.ticks(-0.0)), (Some(0), Some(0)));
            for bad in [-1e-9, highest * 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(unit.ticks(bad), None, "{bad} {unit:?}");
            }
            assert!(unit.highest() * unit.ticks_per_one() <= crate::LONGEST_NANOS);
        }
    }

    #[test]
    fn figures_are_in_the_unit() {
        let unit = ValueUnit::Number;
        let mut histogram = Histogram::new(unit.edges([]));
        [1.0, 2.0, 10.0, 10.0].into_iter().for_each(|value| histogram.record(unit.ticks(value).unwrap()));
        let figures = LatencyFigures::in_units(&histogram, unit.ticks_per_one());
        assert_eq!((figures.min, figures.mean, figures.max), (Some(1.0), Some(5.75), Some(10.0)));
        let p50 = figures.p50.unwrap();
        assert!((p50 - 2.0).abs() <= 0.002, "{p50}");
    }

    fn values(unit: ValueUnit) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(
            (0.0..1.0_f64).prop_map(move |share| share.powi(6) * unit.highest() as f64),
            1..50,
        )
    }

    proptest! {
        #[test]
        fn billionths_are_the_same_values(
            (unit, values) in prop::sample::select(&ValueUnit::ALL[..]).prop_flat_map(|unit| (Just(unit), values(unit)))
        ) {
            let edges = unit.edges([unit.ticks(3.0).unwrap(), unit.ticks(3.0).unwrap() - 1]);
            let mut histogram = Histogram::new(edges.clone());
            values.iter().for_each(|value| histogram.record(unit.ticks(*value).unwrap()));
            let ticks = histogram.distribution();
            let billionths = unit.in_billionths(&ticks, &unit.edges_in_billionths(&edges));
            prop_assert_eq!(billionths.count(), ticks.count());
            prop_assert_eq!(billionths.at_edges(), ticks.at_edges());
            prop_assert_eq!(billionths.at_edges().len(), billionths.edges().nanos().len() + 1);
            prop_assert!(billionths.buckets().windows(2).all(|pair| pair[0].0 < pair[1].0));
            let sum = values.iter().sum::<f64>();
            let tick = 1.0 / unit.ticks_per_one() as f64;
            let error = (billionths.sum() as f64 / 1e9 - sum).abs();
            prop_assert!(error <= values.len() as f64 * tick + sum * 1e-12, "{error}");
            let largest = values.iter().copied().fold(0.0, f64::max);
            let (top, _) = *billionths.buckets().last().unwrap();
            let (top, finest) = (top as f64 / 1e9, crate::RESOLUTION_NANOS as f64 * tick);
            prop_assert!(largest - tick <= top && top <= largest * 1.001 + finest, "{largest} {top}");
        }
    }
}
