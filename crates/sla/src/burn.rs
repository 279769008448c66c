//! Burn-rate alerts: whether the budget goes so fast that somebody must act.
//!
//! A rule fires at a step where, over its long and over its short window, the share of bad events
//! exceeds factor x (1 - target): the long window says that it matters, the short one that it still
//! goes on. The rules are those of table 5-8 of the Site Reliability Workbook (Beyer et al., 2018,
//! chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"), for a period of 30 days:
//!
//! | factor | long | short | spends of the budget | |
//! |---|---|---|---|---|
//! | 14.4 | 1 h | 5 min | 2% | page |
//! | 6 | 6 h | 30 min | 5% | page |
//! | 3 | 1 d | 2 h | 10% | ticket |
//! | 1 | 3 d | 6 h | 10% | ticket |
//!
//! **Other periods.** A shorter period has windows that are shorter by as much, so that each rule
//! spends the same share of the budget; longer ones keep the windows of 30 days, for a factor says
//! how fast the budget goes whatever the period. Windows are rounded up to whole seconds, or whole
//! minutes where the period is longer than 10 hours, and to the length of time slices; a long one is
//! at least 5 s. Steps are every second, or every whole minute of Unix time where the period is
//! longer than 10 hours. So every window is exact at every step.
//!
//! **Few events.** One error of ten requests is no reason to page. A rule also asks of its long
//! window that at least [`FEWEST_BAD`] events were bad, and that a service which keeps its objective
//! exactly would show as many with a probability of at most one in a million (with a factor below 1:
//! a service that burns as fast as the factor says).
//!
//! A factor that can never fire, because factor x (1 - target) is 1 or more, is refused.
//! All of it Prometheus can compute at the same steps; docs/sla-budgets.md says with what query.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use plimsoll_units::duration;

use crate::budget::evidence_of_more;
use crate::{Budget, Ledger, Method, Period, Slo, Target};

mod bytes;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The period that the published windows are for.
const PUBLISHED_FOR: u64 = 30 * DAY;
/// Up to this period windows and steps are whole seconds: all of them lie in the seconds kept.
const LONGEST_FINE: u64 = 10 * HOUR;
const SHORTEST_LONG: u64 = 5;

/// A rule does not fire for fewer bad events in its long window.
pub const FEWEST_BAD: u64 = 3;
/// ln(1,000,000): how much evidence a rule wants that the objective is not kept.
pub const ENOUGH_EVIDENCE: f64 = 13.815_510_557_964_274;

/// A burn rate, in thousandths: more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u32);

impl Factor {
    /// `thousandths` of the rate that spends exactly the budget.
    pub fn new(thousandths: u32) -> Result<Self, FactorError> {
        if thousandths == 0 { Err(FactorError("0".to_owned())) } else { Ok(Self(thousandths)) }
    }

    /// In thousandths of the rate that spends exactly the budget.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// The nearest fraction.
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// Why a text is no factor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no burn rate; write a number above 0 and up to 4000000 with at most three digits behind the point, such as 14.4"
)]
pub struct FactorError(pub String);

impl FromStr for Factor {
    type Err = FactorError;

    fn from_str(text: &str) -> Result<Self, FactorError> {
        let wrong = || FactorError(text.to_owned());
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 || whole.is_empty() {
            return Err(wrong());
        }
        let thousandths = format!("{whole}{fraction:0<3}").parse().map_err(|_| wrong())?;
        Self::new(thousandths).map_err(|_| wrong())
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0.into(), 3))
    }
}

/// `parts` of 10^`digits` without needless digits.
pub(crate) fn decimal(parts: u128, digits: usize) -> String {
    let unit = 10_u128.pow(digits as u32);
    let fraction = format!("{:0digits$}", parts % unit);
    match fraction.trim_end_matches('0') {
        "" => (parts / unit).to_string(),
        fraction => format!("{}.{fraction}", parts / unit),
    }
}

/// What to do when a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Wake somebody.
    Page,
    /// Somebody should look during the day.
    Ticket,
}

impl Urgency {
    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// When the budget goes too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurnRule {
    /// How fast.
    pub factor: Factor,
    /// The window that says that it matters, in seconds.
    pub long: u64,
    /// The window that says that it still goes on, in seconds; at most as long.
    pub short: u64,
    /// For how long both must say so before it fires, in seconds; the published rules do not wait.
    pub hold: u64,
    /// Whether a share that equals the threshold is enough.
    pub at_least: bool,
    /// What to do.
    pub urgency: Urgency,
}

/// The published table: factor in thousandths, long, short.
const PUBLISHED: [(u32, u64, u64, Urgency); 4] = [
    (14_400, HOUR, 300, Urgency::Page),
    (6_000, 6 * HOUR, 1800, Urgency::Page),
    (3_000, DAY, 2 * HOUR, Urgency::Ticket),
    (1_000, 3 * DAY, 6 * HOUR, Urgency::Ticket),
];

impl BurnRule {
    /// The published rules with the windows of this period and method.
    pub fn published(period: &Period, method: Method) -> [Self; 4] {
        let length = period.usual_seconds();
        let grain = grain(length).max(method.slice().unwrap_or(1));
        let scaled = |window: u64| (window * length.min(PUBLISHED_FOR)).div_ceil(PUBLISHED_FOR);
        PUBLISHED.map(|(factor, long, short, urgency)| Self {
            factor: Factor(factor),
            long: scaled(long).max(SHORTEST_LONG).next_multiple_of(grain),
            short: scaled(short).next_multiple_of(grain),
            hold: 0,
            at_least: false,
            urgency,
        })
    }

    /// The share of bad events above which it fires.
    pub fn threshold(&self, target: Target) -> Threshold {
        let budget = target.budget();
        let parts = u128::from(self.factor.0) * u128::from(budget.parts());
        Threshold { parts, digits: budget.of().ilog10() as usize + 3 }
    }

    fn check(&self, slo: &Slo) -> Result<(), RuleError> {
        let grain = grain(slo.period.usual_seconds());
        if self.threshold(slo.target).is_the_whole() {
            return Err(RuleError::NeverFires {
                factor: self.factor,
                budget: slo.target.budget().to_string(),
            });
        }
        if self.short == 0 || self.short > self.long {
            return Err(RuleError::Windows { long: self.long, short: self.short });
        }
        // What is kept at the resolution of the steps.
        if self.long > slo.period.usual_seconds().min(3 * DAY) {
            return Err(RuleError::TooLong { long: self.long });
        }
        let slice = slo.method.slice().unwrap_or(1);
        let windows = [self.long, self.short, self.hold];
        if self.short < slice || !windows.into_iter().all(|window| window.is_multiple_of(grain)) {
            return Err(RuleError::Grain { grain: grain.max(slice) });
        }
        Ok(())
    }
}

/// What windows are whole multiples of, and steps, in seconds.
fn grain(usual_seconds: u64) -> u64 {
    if usual_seconds > LONGEST_FINE { 60 } else { 1 }
}

/// A share of bad events, exact: factor x (1 - target).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    parts: u128,
    /// `parts` are of 10 to this power, at most 15.
    digits: usize,
}

impl Threshold {
    /// Whether no share exceeds it.
    fn is_the_whole(self) -> bool {
        self.parts >= self.of()
    }

    fn is_exceeded_by(self, budget: &Budget, or_reached: bool) -> bool {
        let (spent, allowed) = (budget.spent() * self.of(), budget.events().total() * self.parts);
        spent > allowed || (or_reached && spent == allowed && spent > 0)
    }

    fn of(self) -> u128 {
        10_u128.pow(self.digits as u32)
    }
}

impl fmt::Display for Threshold {
    /// As a decimal fraction without needless digits, as rules have it: `0.0144`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.parts, self.digits))
    }
}

/// Why a rule is refused for an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No share of bad events is larger than all.
    #[error(
        "a burn rate of {factor} can never be: with a budget of {budget} not even an outage burns that fast"
    )]
    NeverFires {
        /// The factor.
        factor: Factor,
        /// 1 - target.
        budget: String,
    },
    /// The windows are no pair.
    #[error("the short window of {short} s must be more than 0 and at most the long one of {long} s")]
    Windows {
        /// The long one.
        long: u64,
        /// The short one.
        short: u64,
    },
    /// Longer than what is kept finely enough.
    #[error("a window of {long} s is longer than the period or than 3 days")]
    TooLong {
        /// The long one.
        long: u64,
    },
    /// Not whole steps.
    #[error("windows must be whole multiples of the step and at least a time slice: {grain} s")]
    Grain {
        /// What is asked for.
        grain: u64,
    },
}

/// The alerts of one objective and since when each fires.
#[derive(Debug, Clone)]
pub struct BurnAlerts {
    target: Target,
    unit: u64,
    step: u64,
    alerts: Vec<Alert>,
    judged: Option<u64>,
}

/// A rule and what it says.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The rule.
    pub rule: BurnRule,
    /// The step at which it began to fire, if it fires; Unix seconds.
    pub since: Option<u64>,
    /// The step since which its windows say so, if they do.
    holds_since: Option<u64>,
    /// What its windows held at the latest step.
    pub reading: Option<BurnReading>,
}

/// The windows of a rule at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurnReading {
    /// The budget over the long window.
    pub long: Budget,
    /// The budget over the short window.
    pub short: Budget,
}

impl BurnAlerts {
    /// The published rules for an objective, and those that can never fire for it with the reason.
    pub fn published(slo: &Slo) -> (Self, Vec<(BurnRule, RuleError)>) {
        let mut refused = Vec::new();
        let mut rules = Vec::new();
        for rule in BurnRule::published(&slo.period, slo.method) {
            match rule.check(slo) {
                Ok(()) => rules.push(rule),
                Err(error) => refused.push((rule, error)),
            }
        }
        (Self::checked(slo, rules), refused)
    }

    /// Rules of the user's own.
    pub fn new(slo: &Slo, rules: Vec<BurnRule>) -> Result<Self, RuleError> {
        rules.iter().try_for_each(|rule| rule.check(slo))?;
        Ok(Self::checked(slo, rules))
    }

    fn checked(slo: &Slo, rules: Vec<BurnRule>) -> Self {
        let alert = |rule| Alert { rule, since: None, holds_since: None, reading: None };
        Self {
            target: slo.target,
            unit: slo.method.unit(),
            step: grain(slo.period.usual_seconds()),
            alerts: rules.into_iter().map(alert).collect(),
            judged: None,
        }
    }

    /// The seconds from one step to the next: the evaluation interval of the same rules elsewhere.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The alerts as they were at the latest step.
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// Judges at the latest step up to `now` (Unix seconds), if it was not judged yet.
    ///
    /// What comes late does not change steps that were judged. Where the clock went back, steps are
    /// judged again, with all that is known then.
    pub fn judge(&mut self, ledger: &Ledger, now: u64) -> &[Alert] {
        let step = now - now % self.step;
        if self.judged != Some(step) {
            for alert in &mut self.alerts {
                let over = |window: u64| {
                    let range: Range<u64> = step.saturating_sub(window)..step;
                    Budget::new(self.target, ledger.window(range).events)
                };
                let reading = BurnReading { long: over(alert.rule.long), short: over(alert.rule.short) };
                let holds = alert.rule.holds(&reading, self.target, self.unit);
                alert.holds_since = holds.then(|| alert.holds_since.map_or(step, |since| since.min(step)));
                let from = alert.holds_since.map(|since| since + alert.rule.hold);
                alert.since = from.filter(|from| *from <= step);
                alert.reading = Some(reading);
            }
            self.judged = Some(step);
        }
        &self.alerts
    }
}

impl BurnRule {
    /// Whether these windows say that it should fire; `unit` is how many counts an event is.
    fn holds(&self, reading: &BurnReading, target: Target, unit: u64) -> bool {
        let threshold = self.threshold(target);
        let long = reading.long.events();
        let events = |counts: u128| counts as f64 / unit as f64;
        // A factor below 1 asks whether the budget goes faster than that.
        let expected = target.budget().to_f64() * self.factor.to_f64().min(1.0);
        threshold.is_exceeded_by(&reading.long, self.at_least)
            && threshold.is_exceeded_by(&reading.short, self.at_least)
            && long.bad() >= u128::from(FEWEST_BAD * unit)
            && evidence_of_more(events(long.bad()), events(long.total()), expected) >= ENOUGH_EVIDENCE
    }

    /// What its windows hold, for people.
    pub fn explain(&self, reading: &BurnReading, target: Target) -> String {
        let over = |window: u64, budget: &Budget| {
            let window = duration::format(std::time::Duration::from_secs(window));
            match budget.burn_rate() {
                Some(rate) => format!("{:.2} over {window}", rate.to_f64()),
                None => format!("unknown over {window}, which had no events"),
            }
        };
        let (long, short) = (over(self.long, &reading.long), over(self.short, &reading.short));
        let threshold = self.threshold(target);
        format!(
            "the burn rate was {long} and {short}; {} is the limit, a share of {threshold} bad events",
            self.factor
        )
    }
}
