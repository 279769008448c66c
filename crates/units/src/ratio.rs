use std::fmt;
use std::str::FromStr;

use crate::{ParseError, number};

/// A share of a whole, always within `0.0..=1.0`. Percent signs exist only in text.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// A share, or `None` outside `0.0..=1.0`.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The share as a number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = ParseError;

    /// Reads `0.1%`, `99.95%` and plain shares such as `0.001`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(text, "a ratio", "a percentage like `0.1%` or a share from 0 to 1 like `0.001`")
        };
        let (value, rest) = number::split(text.trim()).ok_or_else(wrong)?;
        let value = match rest.trim() {
            "%" => value / 100.0,
            "" => value,
            _ => return Err(wrong()),
        };
        Self::new(value).ok_or_else(wrong)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounding takes away the dust of `0.1 / 100.0 * 100.0`; 1e-10 is finer than any count allows.
        write!(f, "{}%", (self.0 * 1e12).round() / 1e10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes() {
        for (text, value, back) in [
            ("0.1%", 0.001, "0.1%"),
            ("99.95%", 0.9995, "99.95%"),
            ("0.5", 0.5, "50%"),
            ("100%", 1.0, "100%"),
            ("0", 0.0, "0%"),
        ] {
            let ratio: Ratio = text.parse().unwrap();
            assert!((ratio.get() - value).abs() < 1e-15, "{text}");
            assert_eq!(ratio.to_string(), back);
        }
        for text in ["", "101%", "1.5", "-1%", "%", "5 percent", "NaN"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Ratio>();
        }
    }
}
