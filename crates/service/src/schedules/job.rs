use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What a schedule starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// A plan, by the name of its file without ending.
    Plan(String),
    /// A search for the limit of a plan.
    Limit {
        /// The plan, by the name of its file without ending.
        plan: String,
        /// The highest load that may be tried.
        most: Most,
    },
    /// A report of where a service breaks, from the recorded runs of a plan.
    Capacity {
        /// The plan, as its runs are called.
        plan: String,
        /// What `plimsoll capacity` is asked beside it.
        options: Vec<String>,
    },
    /// A report of what a calendar month came to for SLAs.
    Sla {
        /// Only what these files promise; empty: all that is judged.
        files: Vec<PathBuf>,
        /// Which month.
        month: Month,
    },
}

impl Job {
    /// The key that says it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Limit { .. } => "limit",
            Self::Capacity { .. } => "capacity",
            Self::Sla { .. } => "sla",
        }
    }

    /// The plan that it is about.
    pub(crate) fn plan(&self) -> Option<&str> {
        match self {
            Self::Plan(plan) | Self::Limit { plan, .. } | Self::Capacity { plan, .. } => Some(plan),
            Self::Sla { .. } => None,
        }
    }

    /// Whether it makes a report, where there is a folder for those.
    pub(crate) fn makes_reports(&self) -> bool {
        match self {
            Self::Plan(_) => false,
            Self::Limit { .. } | Self::Capacity { .. } | Self::Sla { .. } => true,
        }
    }

    /// The plan of the folder that it offers load by.
    pub(crate) fn offers(&self) -> Option<&str> {
        match self {
            Self::Plan(plan) | Self::Limit { plan, .. } => Some(plan),
            Self::Capacity { .. } | Self::Sla { .. } => None,
        }
    }
}

/// The highest load that a search may try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Most {
    /// Arrivals per second, of a plan of the open model.
    Rate(f64),
    /// Users, of a plan of the closed model.
    Users(u32),
}

/// A calendar month, seen from the moment at which something is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Month {
    /// The one before.
    #[default]
    Last,
    /// The one that goes on.
    This,
}

impl Month {
    /// Which one it is, like `2026-11`.
    pub(crate) fn of(self, now: Timestamp, zone: &TimeZone) -> String {
        let today = now.to_zoned(zone.clone()).date();
        let day = match self {
            Self::This => today,
            // The day before the first one; the calendar has none before the year -9999 only.
            Self::Last => today.first_of_month().yesterday().unwrap_or(today),
        };
        format!("{:04}-{:02}", day.year(), day.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_zone() {
        for (month, now, zone, expected) in [
            (Month::Last, "2026-12-01T00:05:00Z", "UTC", "2026-11"),
            (Month::This, "2026-12-01T00:05:00Z", "UTC", "2026-12"),
            (Month::Last, "2026-11-30T23:05:00Z", "UTC", "2026-10"),
            // It is the first of December there already, or not yet.
            (Month::Last, "2026-11-30T23:05:00Z", "Europe/Berlin", "2026-11"),
            (Month::Last, "2026-12-01T02:00:00Z", "America/New_York", "2026-10"),
            (Month::This, "2026-12-01T02:00:00Z", "America/New_York", "2026-11"),
            (Month::Last, "2027-01-01T00:00:00Z", "UTC", "2026-12"),
            (Month::Last, "2028-03-31T12:00:00Z", "UTC", "2028-02"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(month.of(now.parse().unwrap(), &zone), expected, "{month:?} at {now}");
        }
    }
}
