use std::fmt;
use std::str::FromStr;

use crate::{ParseError, number};

/// Events per second: zero or more, finite, at most [`Rate::HIGHEST`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Rate(f64);

impl Rate {
    /// No events.
    pub const ZERO: Self = Self(0.0);
    /// Ten million a second, beyond what any one machine offers; higher ones are typing mistakes.
    pub const HIGHEST: f64 = 1e7;

    /// A rate per second, or `None` outside `0.0..=`[`Rate::HIGHEST`].
    pub fn new(per_second: f64) -> Option<Self> {
        (0.0..=Self::HIGHEST).contains(&per_second).then_some(Self(per_second))
    }

    /// Events per second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// This rate times `factor`, held at [`Rate::HIGHEST`]. Negative or unordered factors give zero.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 * factor.max(0.0)).min(Self::HIGHEST))
    }
}

impl FromStr for Rate {
    type Err = ParseError;

    /// Reads `500/s`, `1.5k/s`, `30k/min`, `36_000/h`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong =
            || ParseError::new(text, "a rate", "`500/s`, `1.5k/s`, `30k/min` or `36000/h`, up to 10M/s");
        let (value, rest) = number::split(text.trim()).ok_or_else(wrong)?;
        let (multiple, period) = rest.split_once('/').ok_or_else(wrong)?;
        let multiple = match multiple.trim() {
            "" => 1.0,
            "k" | "K" => 1e3,
            "M" => 1e6,
            _ => return Err(wrong()),
        };
        let seconds = match period.trim() {
            "s" | "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3600.0,
            _ => return Err(wrong()),
        };
        Self::new(value * multiple / seconds).ok_or_else(wrong)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, rate) in [
            ("500/s", 500.0),
            ("1.5k/s", 1500.0),
            ("30k/min", 500.0),
            ("36_000/h", 10.0),
            ("0/s", 0.0),
            ("1M/s", 1e6),
            ("90 / min", 1.5),
        ] {
            assert_eq!(text.parse::<Rate>().map(Rate::per_second), Ok(rate), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for text in ["", "500", "500/", "/s", "-1/s", "1g/s", "5/day", "inf/s", "1e9/s", "100M/s", "500/s/s"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in 0.0..1e7) {
            let rate = Rate(value);
            let back: Rate = rate.to_string().parse().unwrap();
            prop_assert!((back.0 - rate.0).abs() <= 1e-9 * rate.0);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Rate>();
        }
    }
}
