//! The time over which a target holds.
//!
//! A rolling period is the last so many seconds. A calendar period begins at a local time of a zone
//! and ends where the next begins, so a day may have 23, 24 or 25 hours and a month 28 to 31 days.
//! Zone data is part of the program: two machines agree, whatever their systems have installed.
//!
//! Local times that a zone skips (the clock goes forward) mean the moment that is as much later;
//! those it has twice mean the first, as RFC 5545 reads them.

use std::fmt;
use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

const DAY: u64 = 86_400;
const FIRST_DAY: Date = Date::constant(1970, 1, 1);
const FIRST_MONDAY: Date = Date::constant(1970, 1, 5);

/// The time over which a target holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Period {
    /// The last so many seconds.
    Rolling(Rolling),
    /// From one local time to the next.
    Calendar(Calendar),
}

impl Period {
    /// The last `seconds`: 5 to 366 days.
    pub fn rolling(seconds: u64) -> Result<Self, PeriodError> {
        match u32::try_from(seconds) {
            Ok(length) if Rolling::ALLOWED.contains(&length) => Ok(Self::Rolling(Rolling(length))),
            _ => Err(PeriodError::Length(seconds)),
        }
    }

    /// The days, weeks from Monday, months, quarters or years of an IANA time zone.
    pub fn calendar(unit: Unit, zone: &str) -> Result<Self, PeriodError> {
        Self::calendar_from(unit, zone, unit.usual_start())
    }

    /// Periods of which one begins at the local time `start`, written `2022-01-01 12:00:00`: whole
    /// minutes from 1970 on.
    pub fn calendar_starting(unit: Unit, zone: &str, start: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError::Start(start.to_owned());
        let start: DateTime = start.parse().map_err(|_| wrong())?;
        if start.second() != 0 || start.subsec_nanosecond() != 0 || !(1970..=2200).contains(&start.year()) {
            return Err(wrong());
        }
        Self::calendar_from(unit, zone, start)
    }

    fn calendar_from(unit: Unit, zone: &str, start: DateTime) -> Result<Self, PeriodError> {
        let found = TimeZoneDatabase::bundled().get(zone).map_err(|_| PeriodError::Zone(zone.to_owned()))?;
        Ok(Self::Calendar(Calendar { unit, zone: found, start }))
    }

    /// The seconds of the period that is current at the start of second `now` (Unix time): of a
    /// rolling one those that have just passed, of a calendar one all from its start to its end.
    ///
    /// Empty for a time that no calendar holds, after the year 9999.
    pub fn bounds_at(&self, now: u64) -> Range<u64> {
        match self {
            Self::Rolling(rolling) => now.saturating_sub(u64::from(rolling.0))..now,
            Self::Calendar(calendar) => calendar.bounds_at(now).unwrap_or(now..now),
        }
    }

    /// Its usual length in seconds: a month is 30 days, a quarter 90, a year 365.
    pub fn usual_seconds(&self) -> u64 {
        match self {
            Self::Rolling(rolling) => u64::from(rolling.0),
            Self::Calendar(calendar) => calendar.unit.usual_days() * DAY,
        }
    }

    /// No period of its kind is longer, in seconds.
    pub fn longest_seconds(&self) -> u64 {
        match self {
            Self::Rolling(rolling) => u64::from(rolling.0),
            // The clocks of a zone may be turned by a day when it changes sides of the date line.
            Self::Calendar(calendar) => (calendar.unit.most_days() + 1) * DAY,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(rolling) => write!(f, "the last {} s", rolling.0),
            Self::Calendar(calendar) => {
                write!(f, "the calendar {} in {}", calendar.unit.label(), calendar.zone())
            }
        }
    }
}

/// The length of a rolling period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling(u32);

impl Rolling {
    /// Shorter than five seconds nothing can be told apart from chance; a year is the longest kept.
    const ALLOWED: std::ops::RangeInclusive<u32> = 5..=366 * DAY as u32;

    /// Its length in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

/// Calendar periods of one zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    unit: Unit,
    zone: TimeZone,
    /// A local time at which a period begins; all others are whole units away from it.
    start: DateTime,
}

/// The length of a calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
    /// Three months from January, April, July or October.
    Quarter,
    /// From the first of January.
    Year,
}

impl Unit {
    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Where one begins that was given no start.
    fn usual_start(self) -> DateTime {
        let day = match self {
            Self::Week => FIRST_MONDAY,
            Self::Day | Self::Month | Self::Quarter | Self::Year => FIRST_DAY,
        };
        day.at(0, 0, 0, 0)
    }

    fn usual_days(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }

    fn most_days(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        }
    }

    fn span(self, count: i64) -> Result<Span, jiff::Error> {
        match self {
            Self::Day => Span::new().try_days(count),
            Self::Week => Span::new().try_weeks(count),
            Self::Month => Span::new().try_months(count),
            Self::Quarter => Span::new().try_months(count.saturating_mul(3)),
            Self::Year => Span::new().try_years(count),
        }
    }
}

impl Calendar {
    /// Its unit.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The IANA name of its zone.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    fn bounds_at(&self, now: u64) -> Result<Range<u64>, jiff::Error> {
        let moment = Timestamp::from_second(i64::try_from(now).unwrap_or(i64::MAX))?;
        let days = self.start.duration_until(self.zone.to_datetime(moment)).as_hours() / 24;
        // Near enough: a unit is at most its usual length and a few days, and the loops correct it.
        let mut count = days / self.unit.usual_days() as i64;
        while self.begin(count)? > now {
            count -= 1;
        }
        while self.begin(count + 1)? <= now {
            count += 1;
        }
        Ok(self.begin(count)?..self.begin(count + 1)?)
    }

    /// When the period begins that is `count` units after the one that was named; those before 1970
    /// begin with it.
    fn begin(&self, count: i64) -> Result<u64, jiff::Error> {
        // Always from the same start: the 31st stays the 31st where a month has one.
        let local = self.start.checked_add(self.unit.span(count)?)?;
        let moment = self.zone.to_ambiguous_timestamp(local).compatible()?;
        Ok(u64::try_from(moment.as_second()).unwrap_or(0))
    }
}

/// Why there is no such period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Too short or too long.
    #[error("a period of {0} s; allowed are 5 s to 366 days")]
    Length(u64),
    /// A zone that the data does not have.
    #[error("`{0}` is no time zone; write an IANA name such as Europe/Berlin or UTC")]
    Zone(String),
    /// A start that is no local time.
    #[error(
        "`{0}` is no start; write a local time in whole minutes from 1970 on, such as 2022-01-01 12:00:00"
    )]
    Start(String),
}
