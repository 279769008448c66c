use plimsoll_units::Quantile;

use crate::layout::{PAGE, PAGES, bounds, index_of};
use crate::{Distribution, Edges, LONGEST_NANOS};

/// Durations, counted as they come: bounded memory, O(1) record.
///
/// Buckets are those of an HDR histogram with three significant digits, so that a quantile is within
/// 0.1% (or [`crate::RESOLUTION_NANOS`]) of the recorded value. Count, sum, minimum, maximum and the
/// counts at [`Edges`] are exact.
///
/// Counts live in pages that are made when their first value comes: a histogram costs a kilobyte and
/// half a kilobyte per page, never more than a quarter of a megabyte.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Histogram {
    // What every value touches shares a cache line.
    sum: u128,
    count: u64,
    min: u64,
    max: u64,
    pages: Vec<Page>,
    /// Which page holds each stretch of [`PAGE`] buckets, with the flags below.
    directory: [u16; PAGES],
    /// Which stretch each page holds.
    stretches: Vec<u16>,
    edges: Edges,
    /// For each edge, how many values in the bucket it lies in are at or below it. Every other bucket
    /// is on one side of the edge as a whole.
    below: Box<[u64]>,
}

/// Counts of neighbouring buckets. Aligned, so that a page begins with a cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Page([u64; PAGE]);

const EMPTY_PAGE: Page = Page([0; PAGE]);

/// Flag of a stretch in which an edge lies: its values need a closer look.
const EDGE: u16 = 0x8000;
/// Flag of a stretch without a page.
const ABSENT: u16 = 0x4000;
/// Everything from here on carries a flag.
const PLAIN: u16 = ABSENT;

/// Spare pages up to this many are kept whatever was in use last.
const SPARE_PAGES: usize = 16;

impl Histogram {
    /// An empty histogram that counts exactly at `edges`.
    pub fn new(edges: Edges) -> Self {
        let mut directory = [ABSENT; PAGES];
        for edge in edges.nanos() {
            directory[index_of(*edge) / PAGE] |= EDGE;
        }
        let below = vec![0; edges.nanos().len()].into();
        Self {
            directory,
            pages: Vec::new(),
            stretches: Vec::new(),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            edges,
            below,
        }
    }

    /// Counts one duration in nanoseconds.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.record_and_tell(nanos, &mut 0);
    }

    /// Counts one duration and adds to `grown` how many bytes larger the histogram has become.
    #[inline(always)]
    pub(crate) fn record_and_tell(&mut self, nanos: u64, grown: &mut u64) {
        let index = index_of(nanos);
        let page = self.directory[index / PAGE];
        if page < PLAIN {
            self.pages[usize::from(page)].0[index % PAGE] += 1;
        } else {
            self.record_closely(index, nanos, grown);
        }
        self.count += 1;
        self.sum += u128::from(nanos);
        // Seldom true, so that a branch costs less than writing either each time.
        if nanos < self.min {
            self.min = nanos;
        }
        if nanos > self.max {
            self.max = nanos;
        }
    }

    #[cold]
    #[inline(never)]
    fn record_closely(&mut self, index: usize, nanos: u64, grown: &mut u64) {
        let before = self.pages.capacity();
        self.add_to_bucket(index, 1);
        for edge in self.edges_in(index) {
            self.below[edge] += u64::from(nanos <= self.edges.nanos()[edge]);
        }
        *grown += ((self.pages.capacity() - before) * size_of::<Page>()) as u64;
    }

    /// Whether counting this duration would take another page.
    pub(crate) fn would_grow(&self, nanos: u64) -> bool {
        self.directory[index_of(nanos) / PAGE] & ABSENT != 0
    }

    fn add_to_bucket(&mut self, index: usize, count: u64) {
        let stretch = index / PAGE;
        let entry = self.directory[stretch];
        let page = if entry & ABSENT == 0 {
            usize::from(entry & !EDGE)
        } else {
            if self.pages.len() == self.pages.capacity() {
                self.pages.reserve_exact((self.pages.len() / 2).clamp(4, PAGES - self.pages.len()));
            }
            self.pages.push(EMPTY_PAGE);
            self.stretches.push(stretch as u16);
            self.directory[stretch] = (self.pages.len() - 1) as u16 | entry & EDGE;
            self.pages.len() - 1
        };
        self.pages[page].0[index % PAGE] += count;
    }

    /// The positions of the edges that lie in a bucket. Beyond the longest duration all share the last.
    fn edges_in(&self, index: usize) -> std::ops::Range<usize> {
        let (lowest, highest) = bounds(index);
        let first = self.edges.bucket(lowest);
        if index == index_of(LONGEST_NANOS) {
            return first..self.edges.nanos().len();
        }
        let inside = self.edges.nanos()[first..].iter().take_while(|edge| **edge <= highest).count();
        first..first + inside
    }

    /// Adds what was counted elsewhere. Counts at edges carry over only between equal edges; with
    /// other edges they are counted anew from the buckets, within the histogram's resolution.
    pub fn add(&mut self, other: &Distribution) {
        if other.is_empty() {
            return;
        }
        for &(value, count) in other.buckets() {
            self.add_to_bucket(index_of(value), count);
        }
        let exact = other.edges() == &self.edges;
        let mut buckets = other.buckets().iter().peekable();
        // How many lie in the buckets before the one of the edge at hand.
        let (mut before, mut at_or_below) = (0_u64, 0_u64);
        for (position, &edge) in self.edges.nanos().iter().enumerate() {
            let index = index_of(edge);
            while let Some((_, count)) = buckets.next_if(|(value, _)| index_of(*value) < index) {
                before += count;
            }
            self.below[position] += if exact {
                at_or_below += other.at_edges()[position];
                // Figures that were read may contradict each other.
                at_or_below.saturating_sub(before)
            } else {
                buckets.peek().map_or(0, |(value, count)| if *value <= edge { *count } else { 0 })
            };
        }
        self.count += other.count();
        self.sum += other.sum();
        self.min = self.min.min(other.min().unwrap_or(u64::MAX));
        self.max = self.max.max(other.max().unwrap_or(0));
    }

    /// Forgets everything and keeps the memory of what was in use since it was last cleared.
    pub fn clear(&mut self) {
        for position in (0..self.pages.len()).rev() {
            if self.pages[position].0.iter().all(|count| *count == 0) {
                self.release(position);
            } else {
                self.pages[position] = EMPTY_PAGE;
            }
        }
        if self.pages.capacity() > SPARE_PAGES + 2 * self.pages.len() {
            self.pages.shrink_to(SPARE_PAGES + self.pages.len());
        }
        self.below.fill(0);
        (self.count, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
    }

    /// Gives a page back; the last one takes its place.
    fn release(&mut self, position: usize) {
        self.pages.swap_remove(position);
        let stretch = usize::from(self.stretches.swap_remove(position));
        self.directory[stretch] = self.directory[stretch] & EDGE | ABSENT;
        if let Some(moved) = self.stretches.get(position) {
            let entry = &mut self.directory[usize::from(*moved)];
            *entry = *entry & EDGE | position as u16;
        }
    }

    /// (first bucket, counts) of each page, ascending.
    fn pages(&self) -> impl Iterator<Item = (usize, &[u64; PAGE])> {
        let present = self.directory.iter().enumerate().filter(|(_, entry)| **entry & ABSENT == 0);
        present.map(|(stretch, entry)| (stretch * PAGE, &self.pages[usize::from(entry & !EDGE)].0))
    }

    /// (bucket, count), ascending, counts above zero.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        self.pages().flat_map(|(first, counts)| {
            let counts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            counts.map(move |(offset, count)| (first + offset, *count))
        })
    }

    /// The same counts in their compact form.
    pub fn distribution(&self) -> Distribution {
        let filled = self.pages.iter().map(|page| page.0.iter().filter(|count| **count > 0).count()).sum();
        let mut buckets = Vec::with_capacity(filled);
        // All buckets of a page have one width.
        for (first, counts) in self.pages() {
            let (lowest, highest) = bounds(first);
            let width = highest - lowest + 1;
            let filled = counts.iter().zip(1..).filter(|(count, _)| **count > 0);
            buckets.extend(filled.map(|(count, number)| (lowest + width * number - 1, *count)));
        }
        let at_edges = self.at_edges(&buckets);
        Distribution::from_parts(self.edges.clone(), at_edges, self.sum, self.min, self.max, buckets)
    }

    /// Exact counts between the edges, and beyond the last.
    fn at_edges(&self, buckets: &[(u64, u64)]) -> Vec<u64> {
        let (mut rest, mut before, mut counted) = (buckets, 0, 0_u64);
        let mut at_edges = Vec::with_capacity(self.below.len() + 1);
        for (edge, below) in self.edges.nanos().iter().zip(&self.below) {
            let (lowest, _) = bounds(index_of(*edge));
            let (left, right) = rest.split_at(rest.partition_point(|(value, _)| *value < lowest));
            before += left.iter().map(|(_, count)| count).sum::<u64>();
            rest = right;
            // Figures that were read may contradict each other.
            at_edges.push((before + below).saturating_sub(counted));
            counted = counted.max(before + below);
        }
        at_edges.push(self.count.saturating_sub(counted));
        at_edges
    }

    /// Bytes it occupies.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.pages.capacity() * size_of::<Page>() + self.below.len() * size_of::<u64>()
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Exact sum in nanoseconds.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The shortest, exactly.
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// The longest, exactly.
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The exact mean, in nanoseconds.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count as f64)
    }

    /// Standard deviation in nanoseconds, each value taken as the middle of its bucket:
    /// `sqrt(sum((x - m)^2) / n)` with `m` the mean of the middles.
    pub fn stddev(&self) -> Option<f64> {
        let middles = || self.buckets().map(|(index, count)| (middle(index), count as f64));
        let mean = middles().map(|(middle, count)| middle * count).sum::<f64>() / self.count as f64;
        let squares = middles().map(|(middle, count)| (middle - mean).powi(2) * count).sum::<f64>();
        (!self.is_empty()).then(|| (squares / self.count as f64).sqrt())
    }

    /// The smallest recorded value with at least the quantile's share of values at or below it,
    /// within the histogram's resolution; `None` with fewer values than the quantile needs.
    pub fn quantile(&self, quantile: Quantile) -> Option<u64> {
        if self.count < quantile.fewest() {
            return None;
        }
        let rank = quantile.rank(self.count);
        let mut seen = 0;
        let found = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(index, _)| bounds(index).1.clamp(self.min, self.max))
    }

    /// How many were at or below `nanos`: exact at an edge, else from the buckets.
    pub fn at_or_below(&self, nanos: u64) -> u64 {
        let index = index_of(nanos);
        let up_to = |last: usize| -> u64 {
            self.buckets().take_while(|(bucket, _)| *bucket <= last).map(|(_, count)| count).sum()
        };
        match self.edges.position(nanos) {
            Some(position) => index.checked_sub(1).map_or(0, up_to) + self.below[position],
            None => up_to(index),
        }
    }
}

/// The middle of a bucket in nanoseconds.
fn middle(index: usize) -> f64 {
    let (lowest, highest) = bounds(index);
    (lowest + (highest - lowest).div_ceil(2)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RESOLUTION_NANOS;
    use crate::layout::DIGITS;
    use hdrhistogram::Histogram as Hdr;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new(Edges::with_thresholds([250_000_000, 333]));
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    #[test]
    fn nothing_counted_gives_nothing() {
        let empty = of(&[]);
        assert_eq!(
            (empty.count(), empty.min(), empty.max(), empty.mean(), empty.stddev()),
            (0, None, None, None, None)
        );
        assert_eq!(empty.quantile(Quantile::P50), None);
        assert!(empty.distribution().is_empty());
    }

    #[test]
    fn a_quantile_without_enough_values_is_not_given() {
        assert_eq!(of(&[1_000_000]).quantile(Quantile::P50), None);
        assert_eq!(of(&vec![1_000_000; 99]).quantile(Quantile::P99), None);
        assert_eq!(of(&vec![1_000_000; 100]).quantile(Quantile::P99), Some(1_000_000));
    }

    #[test]
    fn thresholds_are_counted_exactly() {
        let histogram = of(&[250_000_000, 250_000_001, 249_999_999]);
        assert_eq!(histogram.at_or_below(250_000_000), 2);
        assert_eq!(histogram.distribution().at_or_below(250_000_000), 2);
    }

    #[test]
    fn memory_follows_what_is_in_use() {
        let mut histogram = of(&[]);
        let empty = histogram.memory_bytes();
        (0..1_000_000).for_each(|number| histogram.record(number * 1_000_000));
        let full = histogram.memory_bytes();
        assert!(full > 50 * empty && full < 250_000, "{full}");
        for _ in 0..2 {
            histogram.clear();
            histogram.record(1);
        }
        assert!(histogram.memory_bytes() < empty + 20_000, "{}", histogram.memory_bytes());
    }

    #[test]
    fn an_absurd_duration_is_kept_in_sum_and_maximum() {
        let histogram = of(&[u64::MAX, 1]);
        assert_eq!(histogram.max(), Some(u64::MAX));
        assert_eq!(histogram.sum(), u128::from(u64::MAX) + 1);
        assert_eq!(histogram.count(), 2);
    }

    /// Values that lie at and around edges, in one bucket with them or apart, and everywhere else.
    fn values(most: usize) -> impl Strategy<Value = Vec<u64>> {
        let anywhere = (0_u32..64, any::<u64>()).prop_map(|(bits, noise)| noise >> bits);
        let near_an_edge = (
            prop::sample::select(vec![333_u64, 400, 250_000_000, LONGEST_NANOS, LONGEST_NANOS + 9]),
            0_u64..2000,
        )
            .prop_map(|(edge, off)| (edge + off).saturating_sub(1000));
        prop::collection::vec(prop_oneof![anywhere, near_an_edge], 0..most)
    }

    fn edges() -> Edges {
        Edges::with_thresholds([333, 400, 250_000_000, LONGEST_NANOS, LONGEST_NANOS + 9])
    }

    proptest! {
        #[test]
        fn it_says_what_the_reference_says(values in values(300), ppm in 0_u32..1_000_000) {
            let mut histogram = Histogram::new(edges());
            let mut reference = Hdr::<u64>::new_with_bounds(RESOLUTION_NANOS, LONGEST_NANOS, DIGITS as u8).unwrap();
            for value in &values {
                histogram.record(*value);
                reference.record((*value).min(LONGEST_NANOS)).unwrap();
            }
            let distribution = histogram.distribution();
            let recorded: Vec<_> =
                reference.iter_recorded().map(|point| (point.value_iterated_to(), point.count_at_value())).collect();
            prop_assert_eq!(distribution.buckets(), &recorded[..]);
            prop_assert_eq!(distribution.count(), values.len() as u64);
            prop_assert_eq!(distribution.sum(), values.iter().map(|value| u128::from(*value)).sum::<u128>());
            prop_assert_eq!(distribution.min(), values.iter().min().copied());
            prop_assert_eq!(distribution.max(), values.iter().max().copied());
            for edge in edges().nanos() {
                let exactly = values.iter().filter(|value| *value <= edge).count() as u64;
                prop_assert_eq!(histogram.at_or_below(*edge), exactly, "at the edge {}", edge);
                prop_assert_eq!(distribution.at_or_below(*edge), exactly, "at the edge {}", edge);
            }
            if let Some(stddev) = histogram.stddev() {
                prop_assert!((stddev - reference.stdev()).abs() <= 1e-9 * reference.stdev(), "{stddev}");
            }
            let quantile = Quantile::from_ppm(ppm).unwrap();
            prop_assert_eq!(histogram.quantile(quantile), distribution.quantile(quantile));
        }

        #[test]
        fn a_cleared_histogram_is_a_new_one(rounds in prop::collection::vec(values(100), 1..5)) {
            let mut histogram = Histogram::new(edges());
            for values in rounds {
                histogram.clear();
                let mut fresh = Histogram::new(edges());
                values.iter().for_each(|value| {
                    histogram.record(*value);
                    fresh.record(*value);
                });
                prop_assert_eq!(histogram.distribution(), fresh.distribution());
                prop_assert!(histogram.pages.len() <= PAGES);
            }
        }

        #[test]
        fn counts_at_edges_survive_adding(left in values(100), right in values(100)) {
            let of = |values: &[u64]| {
                let mut histogram = Histogram::new(edges());
                values.iter().for_each(|value| histogram.record(*value));
                histogram
            };
            let mut sum = of(&left);
            sum.add(&of(&right).distribution());
            let mut merged = of(&left).distribution();
            merged.merge(&of(&right).distribution());
            prop_assert_eq!(sum.distribution(), merged);
            prop_assert_eq!(sum.distribution(), of(&[left, right].concat()).distribution());
        }

        #[test]
        fn quantiles_are_within_the_stated_error(
            mut values in prop::collection::vec(0_u64..20_000_000_000, 1..400),
            ppm in 0_u32..1_000_000,
        ) {
            let quantile = Quantile::from_ppm(ppm).unwrap();
            let histogram = of(&values);
            values.sort_unstable();
            let truth = (values.len() as u64 >= quantile.fewest())
                .then(|| values[quantile.rank(values.len() as u64) as usize - 1]);
            for found in [histogram.quantile(quantile), histogram.distribution().quantile(quantile)] {
                prop_assert_eq!(found.is_some(), truth.is_some());
                if let (Some(found), Some(truth)) = (found, truth) {
                    let error = found.abs_diff(truth);
                    prop_assert!(error <= RESOLUTION_NANOS.max(truth / 1000), "{found} for {truth}");
                }
            }
        }

        #[test]
        fn merging_conserves_counts_and_commutes(
            left in prop::collection::vec(0_u64..5_000_000_000, 0..200),
            right in prop::collection::vec(0_u64..5_000_000_000, 0..200),
        ) {
            let (left, right) = (of(&left), of(&right));
            let mut one = left.clone();
            one.add(&right.distribution());
            let mut other = right.distribution();
            other.merge(&left.distribution());
            prop_assert_eq!(one.distribution(), other.clone());
            prop_assert_eq!(one.count(), left.count() + right.count());
            prop_assert_eq!(other.at_edges().iter().sum::<u64>(), one.count());
        }

        #[test]
        fn a_distribution_survives_its_wire_form(values in prop::collection::vec(0_u64..90_000_000_000, 0..200)) {
            let before = of(&values).distribution();
            let bytes = before.to_hdr_bytes();
            let after = Distribution::from_hdr_bytes(
                &bytes, before.edges().clone(), before.at_edges(), before.sum(), before.min().unwrap_or(0), before.max().unwrap_or(0),
            ).unwrap();
            prop_assert_eq!(&before, &after);
            let after = Distribution::from_count_bytes(
                &before.to_count_bytes(), before.edges().clone(), before.at_edges(), before.sum(), before.min().unwrap_or(0), before.max().unwrap_or(0),
            ).unwrap();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Distribution::from_hdr_bytes(&bytes, Edges::default(), &[], 0, 0, 0);
            let _ = Distribution::from_count_bytes(&bytes, Edges::default(), &[], 0, 0, 0);
        }
    }
}
