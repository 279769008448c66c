//! A service-level objective over a period: what is promised of a service, month after month.
//!
//! An [`Slo`] has a target that is an exact decimal share, a [`Period`] over which it holds, and one
//! of the three budgeting methods of OpenSLO. Shares stay integers, so 99.95% is 9995 of 10000 and
//! no threshold moves by a rounding.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::Period;

/// What is promised of a service over a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// Its name, the `sla` label.
    pub name: String,
    /// The share of events that must be good.
    pub target: Target,
    /// The time over which the target holds.
    pub period: Period,
    /// What counts as an event.
    pub method: Method,
}

/// The most digits behind the point of a share: what 99.9999999999% needs.
const MOST_DIGITS: usize = 12;

/// A share of a whole from 0 to 1 with at most twelve digits behind the point, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share {
    parts: u64,
    /// A power of ten up to 10^12.
    of: u64,
}

impl Share {
    /// The whole.
    pub const ONE: Self = Self { parts: 1, of: 1 };

    /// How many of [`Self::of`] parts it is.
    pub fn parts(self) -> u64 {
        self.parts
    }

    /// How many parts the whole has: a power of ten, the smallest that holds the share.
    pub fn of(self) -> u64 {
        self.of
    }

    /// What is missing to the whole.
    pub fn rest(self) -> Self {
        Self { parts: self.of - self.parts, of: self.of }
    }

    /// The nearest fraction, for figures that are shown.
    pub fn to_f64(self) -> f64 {
        self.parts as f64 / self.of as f64
    }

    /// As a decimal fraction with the digits it has: `0.9995`.
    pub fn to_decimal(self) -> String {
        crate::burn::decimal(self.parts.into(), self.of.ilog10() as usize)
    }

    /// Whether `good` of `total` is at least this share; `None` where there is no total.
    pub(crate) fn is_reached(self, good: u128, total: u128) -> Option<bool> {
        (total > 0).then(|| good * u128::from(self.of) >= total * u128::from(self.parts))
    }

    /// `parts` of 10^`digits`.
    fn decimal(mut parts: u64, mut digits: usize) -> Option<Self> {
        while digits > 0 && parts.is_multiple_of(10) {
            parts /= 10;
            digits -= 1;
        }
        if digits > MOST_DIGITS {
            return None;
        }
        Some(Self { parts, of: 10_u64.pow(digits as u32) })
    }
}

/// Why a text is no share or no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Neither a decimal fraction nor a percentage.
    #[error("`{0}` is not a share; write 99.95% or 0.9995")]
    NotAShare(String),
    /// Below 0 or above 1.
    #[error("`{0}` is beyond the whole; a share is from 0 to 1, or from 0% to 100%")]
    BeyondTheWhole(String),
    /// More digits than are kept.
    #[error("`{0}` has more digits than the twelve behind the point that are kept")]
    TooFine(String),
    /// A target of nothing.
    #[error("`{0}` promises nothing; a target is more than 0 and less than 1")]
    Nothing(String),
    /// A target of everything.
    #[error("`{0}` leaves no error budget; a target is more than 0 and less than 1")]
    Everything(String),
}

impl FromStr for Share {
    type Err = ShareError;

    /// Reads `99.95%` or `0.9995`.
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let not_a_share = || ShareError::NotAShare(text.to_owned());
        let (number, shift) = match text.trim().strip_suffix('%') {
            Some(number) => (number.trim_end(), 2),
            None => (text.trim(), 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(not_a_share());
        }
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction}");
        let all = all.trim_start_matches('0');
        let places = fraction.len() + shift;
        // A decimal of more digits than places is 1 or more, and only 1 itself is a share.
        if all.len() > places + 1 {
            return Err(ShareError::BeyondTheWhole(text.to_owned()));
        }
        if places > MOST_DIGITS + 2 {
            return Err(ShareError::TooFine(text.to_owned()));
        }
        let parts: u64 = if all.is_empty() { 0 } else { all.parse().map_err(|_| not_a_share())? };
        if parts > 10_u64.pow(places as u32) {
            return Err(ShareError::BeyondTheWhole(text.to_owned()));
        }
        Self::decimal(parts, places).ok_or_else(|| ShareError::TooFine(text.to_owned()))
    }
}

impl fmt::Display for Share {
    /// As a percentage with the digits it has: `99.95%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredfold = u128::from(self.parts) * 100;
        let (whole, rest) = (hundredfold / u128::from(self.of), hundredfold % u128::from(self.of));
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let width = self.of.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let one = u128::from(self.parts) * u128::from(other.of);
        one.cmp(&(u128::from(other.parts) * u128::from(self.of)))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The share of events that must be good: more than 0 and less than 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Share);

impl Target {
    /// The share that must be good.
    pub fn share(self) -> Share {
        self.0
    }

    /// The share that may be bad: 1 - target, never zero.
    pub fn budget(self) -> Share {
        self.0.rest()
    }
}

impl FromStr for Target {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let share: Share = text.parse()?;
        if share.parts == 0 {
            return Err(ShareError::Nothing(text.to_owned()));
        }
        if share == Share::ONE {
            return Err(ShareError::Everything(text.to_owned()));
        }
        Ok(Self(share))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the budget is counted in: the budgeting methods of OpenSLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every event counts once.
    Occurrences,
    /// Every slice of time counts once, good where the share of good events in it reaches `target`.
    Timeslices {
        /// Its length.
        slice: Slice,
        /// What makes a slice good; 100% is allowed.
        target: Share,
    },
    /// Every slice of time counts with the share of good events in it, whatever its traffic.
    RatioTimeslices {
        /// Its length.
        slice: Slice,
    },
}

impl Method {
    /// How many counts of the budget one event is: 1, or where slices count by their share the parts
    /// that a share is rounded down to.
    pub fn unit(self) -> u64 {
        match self {
            Self::Occurrences | Self::Timeslices { .. } => 1,
            Self::RatioTimeslices { .. } => Self::PARTS,
        }
    }

    /// The share of a slice is kept in billionths, rounded down, so the share over a period is
    /// low by less than one billionth.
    pub const PARTS: u64 = 1_000_000_000;

    /// The length of its slices in seconds, where it has any.
    pub fn slice(self) -> Option<u64> {
        match self {
            Self::Occurrences => None,
            Self::Timeslices { slice, .. } | Self::RatioTimeslices { slice } => Some(slice.seconds()),
        }
    }
}

/// The length of a time slice: 1 second to 1 day, so that a whole number of them makes a day and
/// slices begin at the same times every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice(u32);

/// Why a length is none of a slice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "slices of {0} s do not divide a day; write 1 s to 1 day of which a whole number makes a day, such as 1m or 5m"
)]
pub struct SliceError(pub u64);

impl Slice {
    /// A slice of `seconds`.
    pub fn new(seconds: u64) -> Result<Self, SliceError> {
        match u32::try_from(seconds) {
            Ok(length @ 1..=86_400) if 86_400 % length == 0 => Ok(Self(length)),
            _ => Err(SliceError(seconds)),
        }
    }

    /// Its length.
    pub fn seconds(self) -> u64 {
        u64::from(self.0)
    }
}
