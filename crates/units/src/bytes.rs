use std::fmt;
use std::str::FromStr;

use crate::{ParseError, number};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteCount(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteCount {
    type Err = ParseError;

    /// Reads `16MB` (decimal), `64KiB` (binary), `512B` and a bare count of bytes.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(text, "a size", "`512B`, `64KiB`, `16MB` or `2GB`");
        let (value, unit) = number::split(text.trim()).ok_or_else(wrong)?;
        let unit = match unit.trim() {
            "" => "B",
            "KB" => "kB",
            other => other,
        };
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let bytes = value * *size as f64;
        if bytes >= u64::MAX as f64 || (unit == "B" && bytes.fract() != 0.0) {
            return Err(wrong());
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for ByteCount {
    /// Three significant digits in decimal units: `1.23 MB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[4..8].iter().find(|(_, size)| self.0 >= *size) {
            None => write!(f, "{} B", self.0),
            Some((unit, size)) => {
                let value = self.0 as f64 / *size as f64;
                let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
                write!(f, "{value:.digits$} {unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("16MB", 16_000_000),
            ("64KiB", 65_536),
            ("512", 512),
            ("512B", 512),
            ("1.5kB", 1500),
            ("2 GB", 2_000_000_000),
            ("1KB", 1000),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "MB", "1.5B", "-1B", "5mb", "99999999TiB", "1 M"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1234, "1.23 kB"),
            (12_345_678, "12.3 MB"),
            (123_456_789_000, "123 GB"),
        ] {
            assert_eq!(ByteCount(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<ByteCount>();
        }
    }
}
