//! When a value of a history is from.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// When a value is from: a moment, or a number that counts on (Unix seconds, or an index).
#[derive(Debug, Clone, PartialEq)]
pub enum Time {
    /// A moment.
    Moment {
        /// When.
        at: Timestamp,
        /// As it was written.
        text: Box<str>,
    },
    /// Unix seconds or an index, finite.
    Number(f64),
}

impl Time {
    /// Reads RFC 3339, a date (its midnight in UTC), Unix seconds or an index.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(number) = crate::table::number(text) {
            return Some(Self::Number(number));
        }
        let at = text.parse::<Timestamp>().ok().or_else(|| midnight(text))?;
        Some(Self::Moment { at, text: text.into() })
    }

    /// Which comes first; `None` of a moment and a number, which say nothing of each other.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Moment { at: one, .. }, Self::Moment { at: other, .. }) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => one.partial_cmp(other),
            (Self::Moment { .. }, Self::Number(_)) | (Self::Number(_), Self::Moment { .. }) => None,
        }
    }
}

/// A date alone: with an hour but no zone it is no moment, and nobody knows which zone was meant.
fn midnight(text: &str) -> Option<Timestamp> {
    let date: Date = (text.len() == "2026-01-01".len()).then(|| text.parse().ok())??;
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Moment { text, .. } => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        match Time::parse(text)? {
            Time::Moment { at, .. } => Some(at.as_second()),
            Time::Number(_) => None,
        }
    }

    #[test]
    fn moments_have_a_zone() {
        for (text, expected) in [
            ("1970-01-01T00:01:00Z", Some(60)),
            ("1970-01-01T01:01:00+01:00", Some(60)),
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:01:00", None),
            ("1970-13-01", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_stay_numbers_and_moments_as_they_were_written() {
        for text in ["0", "-3", "17.5", "1767225600", "2026-01-01T00:00:00+00:00", "2026-01-01"] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Time::parse("20260101"), Some(Time::Number(20_260_101.0)));
        for text in ["NaN", "inf", "1e999"] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn kinds_are_not_mixed() {
        let time = |text| Time::parse(text).unwrap();
        assert_eq!(time("1").order(&time("2")), Some(Ordering::Less));
        assert_eq!(time("2026-01-02").order(&time("2026-01-01T00:00:00Z")), Some(Ordering::Greater));
        assert_eq!(time("2026-01-02").order(&time("3")), None);
    }
}
