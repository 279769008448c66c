//! Which bucket a duration falls into: the layout of an HDR histogram with three significant digits.
//!
//! The first 2048 buckets are one unit of 512 ns wide; each following 1024 are twice as wide as those
//! before. Neighbours share a page, and the pages of a histogram are made as values come.

/// Durations of a microsecond and less are told apart by this many nanoseconds.
pub const RESOLUTION_NANOS: u64 = 1 << UNIT_BITS;

/// Longer durations are counted as this one in the buckets (their sum and maximum stay exact): a day.
pub const LONGEST_NANOS: u64 = 86_400_000_000_000;

/// Decimal digits that a value keeps.
pub(crate) const DIGITS: u32 = 3;

/// A unit of 512 makes nanoseconds cost the memory of half-microseconds.
const UNIT_BITS: u32 = 9;

/// Three digits need 2 x 10^3 buckets of one width, rounded up to a power of two.
const WIDTH_BITS: u32 = 11;

/// Buckets of each width but the first, which has twice as many.
const HALF: usize = 1 << (WIDTH_BITS - 1);

/// Buckets per page: eight cache lines. The response times of one second of a steady service lie in
/// two or three octaves of 16 pages, its schedule lags in two or three pages.
pub(crate) const PAGE: usize = 64;

/// Pages from zero to [`LONGEST_NANOS`].
pub(crate) const PAGES: usize = index_of(LONGEST_NANOS) / PAGE + 1;

/// The bucket of a duration in nanoseconds.
#[inline]
pub(crate) const fn index_of(nanos: u64) -> usize {
    let nanos = if nanos < LONGEST_NANOS { nanos } else { LONGEST_NANOS };
    // How often the width has doubled: the highest bit set beyond those that the first width covers.
    let highest_bit = (nanos | ((RESOLUTION_NANOS << WIDTH_BITS) - 1)).leading_zeros() ^ 63;
    let doublings = highest_bit - (UNIT_BITS + WIDTH_BITS - 1);
    (doublings as usize) * HALF + (nanos >> (doublings + UNIT_BITS)) as usize
}

/// The smallest and the largest duration in nanoseconds of a bucket.
#[inline]
pub(crate) const fn bounds(index: usize) -> (u64, u64) {
    let doublings = (index / HALF).saturating_sub(1);
    let bits = doublings as u32 + UNIT_BITS;
    let lowest = ((index - doublings * HALF) as u64) << bits;
    (lowest, lowest + (1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram as Hdr;
    use proptest::prelude::*;

    fn reference() -> Hdr<u64> {
        Hdr::new_with_bounds(RESOLUTION_NANOS, LONGEST_NANOS, DIGITS as u8).unwrap()
    }

    #[test]
    fn every_bucket_is_a_bucket_of_the_reference() {
        let reference = reference();
        let mut next = 0;
        for index in 0..=index_of(LONGEST_NANOS) {
            let (lowest, highest) = bounds(index);
            assert_eq!(lowest, next, "bucket {index} begins where the one before ends");
            assert_eq!((index_of(lowest), index_of(highest)), (index, index));
            assert_eq!(reference.lowest_equivalent(highest), lowest);
            assert_eq!(reference.highest_equivalent(lowest), highest);
            next = highest + 1;
        }
        assert!(next > LONGEST_NANOS);
        assert_eq!(index_of(u64::MAX), index_of(LONGEST_NANOS));
        assert_eq!(PAGES, 452);
    }

    proptest! {
        #[test]
        fn a_duration_lies_in_its_bucket(bits in 0_u32..64, noise in any::<u64>()) {
            let nanos = (noise >> bits).min(LONGEST_NANOS);
            let (lowest, highest) = bounds(index_of(nanos));
            prop_assert!(lowest <= nanos && nanos <= highest);
            prop_assert_eq!(reference().lowest_equivalent(nanos), lowest);
        }
    }
}
