//! How much may go wrong, how much of it has, and how fast it goes.
//!
//! With total events N, bad events B and target T, over any window:
//!
//! | figure | formula |
//! |---|---|
//! | allowed | N (1 - T) |
//! | spent | B |
//! | remaining | N (1 - T) - B; below 0 when overspent |
//! | remaining ratio | 1 - B / (N (1 - T)) |
//! | burn rate | (B / N) / (1 - T): 1 spends exactly the budget |
//! | attained | (N - B) / N |
//! | compliance | met where N - B is at least N T |
//!
//! They are those of "Implementing SLOs" and "Alerting on SLOs", chapters 2 and 5 of the Site
//! Reliability Workbook (Beyer et al., 2018). All are quotients of integers until they are shown.
//! Without events there is no figure: undecided, never met.

use crate::{Sum, Target, Verdict};

/// The error budget over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    target: Target,
    events: Sum,
}

impl Budget {
    /// The budget that `target` leaves of `events`.
    pub fn new(target: Target, events: Sum) -> Self {
        Self { target, events }
    }

    /// The events it is about, in the unit of the method.
    pub fn events(&self) -> Sum {
        self.events
    }

    /// How many events may be bad.
    pub fn allowed(&self) -> Exact {
        Exact { numerator: self.allowed_parts() as i128, denominator: self.of() }
    }

    /// How many events were bad.
    pub fn spent(&self) -> u128 {
        self.events.bad()
    }

    /// How many more events may be bad; below 0 when it is overspent.
    pub fn remaining(&self) -> Exact {
        let spent = self.spent() * self.of();
        Exact { numerator: self.allowed_parts() as i128 - spent as i128, denominator: self.of() }
    }

    /// The share of the budget that is left; below 0 when it is overspent, `None` without events.
    pub fn remaining_ratio(&self) -> Option<Exact> {
        let allowed = self.allowed_parts();
        (allowed > 0).then(|| Exact { numerator: self.remaining().numerator, denominator: allowed })
    }

    /// The share of bad events in units of the share that may be bad; `None` without events.
    pub fn burn_rate(&self) -> Option<Exact> {
        let allowed = self.allowed_parts();
        (allowed > 0).then(|| Exact { numerator: (self.spent() * self.of()) as i128, denominator: allowed })
    }

    /// The share of good events; `None` without events.
    pub fn attained(&self) -> Option<Exact> {
        let total = self.events.total();
        (total > 0).then(|| Exact { numerator: self.events.good() as i128, denominator: total })
    }

    /// Whether the target is reached; undecided without events.
    pub fn verdict(&self) -> Verdict {
        match self.target.share().is_reached(self.events.good(), self.events.total()) {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::Inconclusive,
        }
    }

    /// The allowed events times [`Self::of`].
    fn allowed_parts(&self) -> u128 {
        self.events.total() * u128::from(self.target.budget().parts())
    }

    fn of(&self) -> u128 {
        self.target.budget().of().into()
    }
}

/// A quotient of integers.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    numerator: i128,
    denominator: u128,
}

impl Exact {
    /// What is divided.
    pub fn numerator(self) -> i128 {
        self.numerator
    }

    /// What it is divided by; never 0.
    pub fn denominator(self) -> u128 {
        self.denominator
    }

    /// The nearest fraction but for the last digit, for figures that are shown.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// How surely `bad` of `total` events are more than a service has whose share of bad events is
/// `expected`: the probability that such a service shows as many or more is at most exp(-evidence).
///
/// With mean m = total x expected it is bad ln(bad / m) - bad + m where bad is more than m, else 0:
/// Chernoff's bound on the upper tail of a sum of independent events, in its form for a Poisson
/// distribution, which also bounds the binomial one (Mitzenmacher and Upfal, Probability and
/// Computing, theorem 4.4; Hoeffding 1963). It holds for few events as for many, and Prometheus can
/// compute it.
pub(crate) fn evidence_of_more(bad: f64, total: f64, expected: f64) -> f64 {
    let mean = total * expected;
    if bad <= mean { 0.0 } else { bad * (bad / mean).ln() - bad + mean }
}

/// How surely `bad` of `total` events are fewer than a service has whose share is `expected`, by
/// the same bound on the lower tail (theorem 4.5 there, before it is simplified).
pub(crate) fn evidence_of_fewer(bad: f64, total: f64, expected: f64) -> f64 {
    let mean = total * expected;
    if bad >= mean {
        0.0
    } else if bad <= 0.0 {
        mean
    } else {
        bad * (bad / mean).ln() - bad + mean
    }
}
