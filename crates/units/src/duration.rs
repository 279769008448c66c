//! Durations as text: `250ms`, `1m30s`, `1.5h`, `90s`, `0`.
//!
//! A bare number has no unit and is refused, except zero, which needs none.

use std::time::Duration;

use crate::{ParseError, number};

const ALLOWED: &str = "a number with a unit, like `250ms`, `30s`, `1m30s`, `2h` or `7d`";

/// The longest duration a text may name: ten years. Longer ones are typing mistakes.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units from the longest to the shortest, in nanoseconds, as parts must follow each other.
const UNITS: [(&str, u64); 8] = [
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration. Parts go from the longest unit to the shortest and no unit comes twice.
///
/// # Errors
/// When the text has no unit, an unknown unit, parts out of order, or exceeds [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let wrong = || ParseError::new(text, "a duration", ALLOWED);
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut nanos = 0_f64;
    let mut next_unit = 0;
    while !rest.is_empty() || next_unit == 0 {
        let (value, after) = number::split(rest).ok_or_else(wrong)?;
        let name_end = after.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(after.len());
        let (name, tail) = after.split_at(name_end);
        let name = match name {
            "µs" | "μs" => "us",
            "min" => "m",
            other => other,
        };
        let position = UNITS.iter().position(|(unit, _)| *unit == name).ok_or_else(wrong)?;
        if position < next_unit {
            return Err(wrong());
        }
        next_unit = position + 1;
        nanos += value * UNITS[position].1 as f64;
        rest = tail.trim_start();
    }
    // Below 2^53 every whole number of nanoseconds is exact, and `LONGEST` is just above that, where
    // a rounding of a few nanoseconds in a decade does no harm.
    if nanos > LONGEST.as_nanos() as f64 {
        return Err(ParseError::new(text, "a duration", "at most ten years"));
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// Writes a duration so that [`parse`] reads the same one: `1m30s`, `250ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        let count = rest / u128::from(nanos);
        rest %= u128::from(nanos);
        // Weeks are read but never written: "7d" is what people expect back.
        if unit == "w" {
            rest += count * u128::from(nanos);
        } else if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// Writes a duration in seconds with about three significant digits, for people: `1.24 s`, `312 µs`.
pub fn human(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        0.0 => return "0 s".to_owned(),
        s if s < 999.5e-9 => (seconds * 1e9, "ns"),
        s if s < 999.5e-6 => (seconds * 1e6, "µs"),
        s if s < 999.5e-3 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250_000_000),
            ("1m30s", 90_000_000_000),
            ("1m 30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("90s", 90_000_000_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("7d", 604_800_000_000_000),
            ("1w", 604_800_000_000_000),
            ("5min", 300_000_000_000),
            (" 2s ", 2_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for text in ["", "5", "s", "-1s", "1s1m", "1s2s", "1.s", "1e3s", "5 sec", "nan", "100000w", "1m30"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_for_people() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.000_000_5, "500 ns"),
            (0.000_312, "312 µs"),
            (0.001_24, "1.24 ms"),
            (0.0124, "12.4 ms"),
            (0.999_9, "1.00 s"),
            (12.0, "12.0 s"),
            (123.4, "123 s"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..LONGEST.as_nanos() as u64 / 64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
