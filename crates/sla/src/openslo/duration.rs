use std::fmt;
use std::str::FromStr;

/// A length of time as OpenSLO writes it: `5m`, `28d`, `1Q`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DurationShorthand {
    /// How many of the unit.
    pub count: u32,
    /// The unit.
    pub unit: DurationUnit,
}

/// A unit of [`DurationShorthand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DurationUnit {
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `w`
    Week,
    /// `M`
    Month,
    /// `Q`
    Quarter,
    /// `Y`
    Year,
}

impl DurationUnit {
    /// All of them, the shortest first.
    pub const ALL: [Self; 7] =
        [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// How it is written.
    pub fn letter(self) -> char {
        match self {
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'M',
            Self::Quarter => 'Q',
            Self::Year => 'Y',
        }
    }

    /// Minutes in it where a calendar has no say: a month is 30 days, a quarter 90, a year 365, as the
    /// official library counts them.
    fn nominal_minutes(self) -> u64 {
        const DAY: u64 = 24 * 60;
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
        }
    }
}

impl DurationShorthand {
    /// So many of a unit.
    pub const fn new(count: u32, unit: DurationUnit) -> Self {
        Self { count, unit }
    }

    /// Its length in seconds where no calendar has a say: a month is 30 days, a quarter 90, a year 365.
    pub fn nominal_seconds(self) -> u64 {
        u64::from(self.count) * self.unit.nominal_minutes() * 60
    }

    /// Whether it lasts no time at all.
    pub fn is_zero(self) -> bool {
        self.count == 0
    }
}

/// Why a text is no [`DurationShorthand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationShorthandError {
    /// It is not a number followed by a unit.
    #[error("a duration is a whole number and a unit, like `5m` or `28d`")]
    Shape,
    /// The unit is none.
    #[error("the units are `m`, `h`, `d`, `w`, `M`, `Q` and `Y`: case tells minutes from months")]
    Unit,
    /// The number is below zero.
    #[error("a duration is not below zero")]
    Negative,
    /// The number is beyond what anybody means.
    #[error("the number is too large")]
    TooLarge,
}

impl FromStr for DurationShorthand {
    type Err = DurationShorthandError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use DurationShorthandError::{Negative, Shape, TooLarge, Unit};
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
        let (digits, unit) = unsigned.split_at(end);
        if digits.is_empty() || unit.is_empty() || !unit.chars().all(char::is_alphanumeric) {
            return Err(Shape);
        }
        let unit =
            DurationUnit::ALL.into_iter().find(|known| unit.chars().eq([known.letter()])).ok_or(Unit)?;
        let count: u32 = digits.parse().map_err(|_| TooLarge)?;
        if sign < 0 && count > 0 { Err(Negative) } else { Ok(Self { count, unit }) }
    }
}

impl fmt::Display for DurationShorthand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        use DurationShorthandError::{Negative, Shape, TooLarge, Unit};
        for (text, expected) in [
            ("1m", Ok(60)),
            ("0m", Ok(0)),
            ("-0m", Ok(0)),
            ("12h", Ok(12 * 3_600)),
            ("365d", Ok(365 * 86_400)),
            ("4w", Ok(28 * 86_400)),
            ("1M", Ok(30 * 86_400)),
            ("1Q", Ok(90 * 86_400)),
            ("1Y", Ok(365 * 86_400)),
            ("4294967295Y", Ok(4_294_967_295 * 365 * 86_400)),
            ("4294967296Y", Err(TooLarge)),
            ("1s", Err(Unit)),
            ("1mm", Err(Unit)),
            ("1ü", Err(Unit)),
            ("-5m", Err(Negative)),
            ("", Err(Shape)),
            ("5", Err(Shape)),
            ("m", Err(Shape)),
            ("1.5h", Err(Shape)),
            ("1 m", Err(Shape)),
            (" 1m", Err(Shape)),
            ("1m ", Err(Shape)),
            ("+1m", Err(Shape)),
            ("--1m", Err(Shape)),
        ] {
            let found = text.parse().map(DurationShorthand::nominal_seconds);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for unit in DurationUnit::ALL {
            let duration = DurationShorthand::new(28, unit);
            assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
