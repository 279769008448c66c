use std::fmt;

use cronexpr::{Crontab, MakeTimestamp};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// When a schedule starts its plan.
#[derive(Debug, Clone)]
pub enum When {
    /// Whenever no run of it goes on.
    Continuous,
    /// At the times of a cron line.
    Cron(Box<Cron>),
    /// Only when somebody asks.
    OnDemand,
}

/// Why a schedule says no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// Not a word of ours and not a cron line.
    #[error("{0}")]
    Unreadable(String),
    /// A day that no year has, like the 31st of February.
    #[error("`{0}` never comes in the next four years; look at its day of the month and its month")]
    Never(String),
    /// A time zone that is not in the database of this machine.
    #[error("the time zone `{0}` is not known here; write one like `Europe/Berlin` or `UTC`")]
    Zone(String),
}

impl When {
    /// The zone of its hours.
    pub(crate) fn zone(&self) -> TimeZone {
        match self {
            // It was found when the line was read.
            Self::Cron(cron) => TimeZone::get(&cron.zone).unwrap_or(TimeZone::UTC),
            Self::Continuous | Self::OnDemand => TimeZone::UTC,
        }
    }

    /// Reads `continuous`, `on_demand` or a cron line of five fields, whose hours are those of `zone`.
    ///
    /// # Errors
    /// When it is none of these, never comes, or the zone is not known.
    pub fn parse(text: &str, zone: &str) -> Result<Self, WhenError> {
        match text.trim() {
            "continuous" => Ok(Self::Continuous),
            "on_demand" => Ok(Self::OnDemand),
            line => Cron::parse(line, zone).map(|cron| Self::Cron(Box::new(cron))),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continuous => f.write_str("continuous"),
            Self::OnDemand => f.write_str("on_demand"),
            Self::Cron(cron) => write!(f, "{} {}", cron.line, cron.zone),
        }
    }
}

/// A cron line in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    line: String,
    zone: String,
    crontab: Crontab,
    /// Whether it names hours: such a time comes once a day, though a clock that is set back shows it twice.
    names_hours: bool,
}

impl Cron {
    fn parse(line: &str, zone: &str) -> Result<Self, WhenError> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.len() != 5 {
            return Err(WhenError::Unreadable(format!(
                "`{line}` is neither `continuous` nor `on_demand` nor a cron line; that has five fields: minute, hour, \
                 day of the month, month, day of the week, like `*/15 * * * *`"
            )));
        }
        if TimeZone::get(zone).is_err() {
            return Err(WhenError::Zone(zone.to_owned()));
        }
        let line = fields.join(" ");
        let crontab = cronexpr::parse_crontab(&format!("{line} {zone}"))
            .map_err(|error| WhenError::Unreadable(error.to_string()))?;
        let names_hours = !fields.get(1).is_some_and(|hours| hours.starts_with('*'));
        let cron = Self { line, zone: zone.to_owned(), crontab, names_hours };
        // Of the next four years, which is as far as a 29th of February may be away, and a century's turn aside.
        match cron.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(WhenError::Never(cron.line)),
        }
    }

    /// The first time after `after`; `None` when there is none within four years.
    ///
    /// A time that a change of the clock skips does not come that day. One that it shows twice comes the first time, where
    /// the line names its hours, and both times where it does not (`*/15 * * * *`).
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = after;
        // A clock that is set back shows at most some hours twice; a line can come 60 times an hour.
        for _ in 0..24 * 60 {
            let next = self.crontab.find_next(MakeTimestamp(from)).ok()?;
            if !(self.names_hours && is_second_showing(&next)) {
                return Some(next.timestamp());
            }
            from = next.timestamp();
        }
        None
    }

    /// The latest time in (`after`, `now`], and how many there are in it, counted up to [`MOST_COUNTED`].
    pub(crate) fn latest(&self, after: Timestamp, now: Timestamp) -> Option<(Timestamp, u32)> {
        let mut count = 0;
        let mut next = self.next(after).filter(|next| *next <= now)?;
        let mut latest = next;
        while count < MOST_COUNTED {
            latest = next;
            count += 1;
            match self.next(next).filter(|next| *next <= now) {
                Some(later) => next = later,
                None => return Some((latest, count)),
            }
        }
        // Longer ago than can be counted one by one: what counts is the latest.
        for back in [3_600, 86_400, 32 * 86_400, 366 * 86_400] {
            let from = Timestamp::from_second(now.as_second() - back).unwrap_or(after).max(latest);
            let mut last = None;
            let mut from = from;
            while let Some(next) = self.next(from).filter(|next| *next <= now) {
                (last, from) = (Some(next), next);
            }
            if let Some(last) = last {
                return Some((last, count));
            }
        }
        Some((latest, count))
    }
}

/// How many times that have passed are counted.
pub(crate) const MOST_COUNTED: u32 = 1_000;

/// Whether clocks have shown this time before, because they were set back.
fn is_second_showing(zoned: &jiff::Zoned) -> bool {
    let local: DateTime = zoned.datetime();
    let ambiguous = zoned.time_zone().to_ambiguous_zoned(local);
    ambiguous.is_ambiguous()
        && ambiguous.earlier().is_ok_and(|earlier| earlier.timestamp() != zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(line: &str, zone: &str) -> Cron {
        match When::parse(line, zone).unwrap() {
            When::Cron(cron) => *cron,
            other => panic!("{other}"),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_those_of_the_zone() {
        for (line, zone, after, expected) in [
            ("*/15 * * * *", "UTC", "2026-11-23T04:47:00Z", "2026-11-23T05:00:00Z"),
            ("*/15 * * * *", "UTC", "2026-11-23T05:00:00Z", "2026-11-23T05:15:00Z"),
            ("0 2 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
            ("0 2 * * *", "Europe/Berlin", "2026-12-01T00:00:00Z", "2026-12-01T01:00:00Z"),
            ("0 9 * * MON-FRI", "America/New_York", "2026-11-20T15:00:00Z", "2026-11-23T14:00:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // The hour from two to three is not there on this day.
            ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-29T00:30:00Z"),
            // It is there twice on this one, and comes once.
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            // What comes every half hour comes in both.
            ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
            ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
        ] {
            assert_eq!(cron(line, zone).next(at(after)), Some(at(expected)), "{line} {zone} after {after}");
        }
    }

    #[test]
    fn what_has_passed_is_counted_and_the_latest_is_known() {
        let quarter = cron("*/15 * * * *", "UTC");
        let from = at("2026-11-23T00:00:00Z");
        assert_eq!(quarter.latest(from, at("2026-11-23T00:14:59Z")), None);
        assert_eq!(quarter.latest(from, at("2026-11-23T00:15:00Z")), Some((at("2026-11-23T00:15:00Z"), 1)));
        assert_eq!(quarter.latest(from, at("2026-11-23T03:20:00Z")), Some((at("2026-11-23T03:15:00Z"), 13)));
        assert_eq!(
            quarter.latest(at("2016-01-01T00:00:00Z"), at("2026-11-23T03:20:00Z")),
            Some((at("2026-11-23T03:15:00Z"), MOST_COUNTED))
        );
        let yearly = cron("0 0 1 1 *", "UTC");
        assert_eq!(
            yearly.latest(at("2020-01-01T00:00:00Z"), at("2026-11-23T00:00:00Z")),
            Some((at("2026-01-01T00:00:00Z"), 6))
        );
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_is_allowed() {
        for (text, zone, told) in [
            ("hourly", "UTC", "neither `continuous` nor `on_demand` nor a cron line"),
            ("", "UTC", "five fields"),
            ("* * * * * *", "UTC", "five fields"),
            ("61 * * * *", "UTC", "0..=59"),
            ("0 25 * * *", "UTC", "0..=23"),
            ("0 0 30 2 *", "UTC", "never comes"),
            ("0 0 * * *", "Atlantis/Capital", "`Atlantis/Capital` is not known"),
            ("5-1 * * * *", "UTC", "ascending"),
        ] {
            let error = When::parse(text, zone).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(matches!(When::parse("continuous", "UTC"), Ok(When::Continuous)));
        assert!(matches!(When::parse(" on_demand ", "UTC"), Ok(When::OnDemand)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", zone in "[A-Za-z/]{0,12}") {
            let _ = When::parse(&text, &zone);
        }

        #[test]
        fn any_five_fields_come_later_or_are_refused(
            fields in proptest::collection::vec("[0-9*/,-]{1,5}", 5),
            after in 0_i64..4_000_000_000,
        ) {
            if let Ok(When::Cron(cron)) = When::parse(&fields.join(" "), "Europe/Berlin") {
                let after = Timestamp::from_second(after).unwrap();
                if let Some(next) = cron.next(after) {
                    proptest::prop_assert!(next > after);
                }
            }
        }
    }
}
