use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// A quantile in whole parts per million, from p0 to p99.9999.
///
/// Ranks are computed in integers, so "p95 of twenty values" is the nineteenth on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Quantile(u32);

const WHOLE: u128 = 1_000_000;

impl Quantile {
    /// The median.
    pub const P50: Self = Self(500_000);
    /// Three of four values are at or below it.
    pub const P75: Self = Self(750_000);
    /// Nine of ten values are at or below it.
    pub const P90: Self = Self(900_000);
    /// 95 of 100 values are at or below it.
    pub const P95: Self = Self(950_000);
    /// 99 of 100 values are at or below it.
    pub const P99: Self = Self(990_000);
    /// 999 of 1,000 values are at or below it.
    pub const P99_9: Self = Self(999_000);
    /// 9,999 of 10,000 values are at or below it.
    pub const P99_99: Self = Self(999_900);

    /// A quantile from parts per million, or `None` from one million on.
    pub fn from_ppm(ppm: u32) -> Option<Self> {
        (u128::from(ppm) < WHOLE).then_some(Self(ppm))
    }

    /// The quantile as a share from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / WHOLE as f64
    }

    /// How many of `count` values must be at or below the quantile: the rank of its value, from 1.
    ///
    /// rank = ceil(q · count), at least 1; 0 when there are no values.
    pub fn rank(self, count: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let rank = (u128::from(count) * u128::from(self.0)).div_ceil(WHOLE);
        (rank as u64).max(1)
    }

    /// The fewest values that carry this quantile: 1/(1 - q), rounded up. A p99 of 50 values is a
    /// maximum by another name and is not given.
    pub fn fewest(self) -> u64 {
        WHOLE.div_ceil(WHOLE - u128::from(self.0)) as u64
    }
}

impl From<Quantile> for u32 {
    /// Parts per million.
    fn from(quantile: Quantile) -> Self {
        quantile.0
    }
}

impl TryFrom<u32> for Quantile {
    type Error = &'static str;

    fn try_from(ppm: u32) -> Result<Self, Self::Error> {
        Self::from_ppm(ppm).ok_or("a quantile is below one million parts per million")
    }
}

impl FromStr for Quantile {
    type Err = ParseError;

    /// Reads `p50`, `p99.9`, `p99.99`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(text, "a quantile", "`p50`, `p95`, `p99` or `p99.9`, with at most four decimals")
        };
        let digits = text.strip_prefix('p').ok_or_else(wrong)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let digits_only = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits_only(whole) || !digits_only(fraction) || whole.len() > 2 || fraction.len() > 4 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let fraction: u32 = format!("{fraction:0<4}").parse().map_err(|_| wrong())?;
        Self::from_ppm(whole * 10_000 + fraction).ok_or_else(wrong)
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", f64::from(self.0) / 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_are_exact() {
        for (quantile, count, rank) in [
            ("p95", 20, 19),
            ("p99", 100, 99),
            ("p99.9", 1000, 999),
            ("p7", 100, 7),
            ("p50", 1, 1),
            ("p50", 4, 2),
            ("p0", 10, 1),
            ("p75", 0, 0),
            ("p99.99", u64::MAX, 18_444_899_399_302_180_660),
        ] {
            assert_eq!(quantile.parse::<Quantile>().unwrap().rank(count), rank, "{quantile} of {count}");
        }
    }

    #[test]
    fn a_quantile_needs_enough_values() {
        for (quantile, fewest) in
            [("p0", 1), ("p50", 2), ("p95", 20), ("p99", 100), ("p99.9", 1000), ("p99.99", 10_000)]
        {
            assert_eq!(quantile.parse::<Quantile>().unwrap().fewest(), fewest, "{quantile}");
        }
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for text in ["", "p", "95", "p100", "p-1", "p9x", "p99.", "p99.99999", "P95", "p.5", "p+5"] {
            assert!(text.parse::<Quantile>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ppm in 0_u32..1_000_000) {
            let quantile = Quantile::from_ppm(ppm).unwrap();
            prop_assert_eq!(quantile.to_string().parse::<Quantile>(), Ok(quantile));
        }
    }
}
