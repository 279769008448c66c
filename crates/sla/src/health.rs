//! Whether the last seconds of a run break an objective that is judged over all of it.
//!
//! Over hours a run can bear much: an outage of a second is nothing to its verdict, and everything to whoever watches. So an
//! objective that counts events is judged as a service-level objective too, whose period is the measured part of the run:
//! [`StateJudge`] says what it would say of a month.

use crate::{
    BurnAlerts, Condition, Counts, Expression, Ledger, Method, Moment, Period, Slo, StateJudge, Target,
};

/// The longest period there is, in seconds; also that of a run whose length nobody knows.
const LONGEST: u64 = 366 * 86_400;

/// What is going wrong right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// The second of the run since which it is known.
    pub since: u64,
    /// For how many seconds it had gone on then.
    pub delay: u64,
    /// One sentence for people, without a full stop.
    pub why: String,
}

/// Judges the last seconds of a run by one objective.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    ledger: Ledger,
    alerts: BurnAlerts,
    judge: StateJudge,
    /// How many events a request is.
    unit: u64,
    good: u64,
    all: u64,
    breach: Option<Breach>,
}

impl Health {
    /// For an objective over `seconds` of a run; `None` where it allows for no share of bad events.
    pub(crate) fn new(expression: &Expression, unit: u64, seconds: Option<u64>) -> Option<Self> {
        let target: Target = format!("{:.12}", 1.0 - expression.allowed_bad_share()?).parse().ok()?;
        let period = Period::rolling(seconds.unwrap_or(LONGEST).clamp(5, LONGEST)).ok()?;
        let slo = Slo { name: String::new(), target, period, method: Method::Occurrences };
        Some(Self {
            ledger: Ledger::new(&slo),
            alerts: BurnAlerts::published(&slo).0,
            judge: StateJudge::new(&slo),
            unit,
            good: 0,
            all: 0,
            breach: None,
        })
    }

    /// The next second of the run, with all events up to its end and those that are overdue.
    pub(crate) fn second(&mut self, second: u64, good: u64, all: u64, overdue: u64) {
        let grown = (good.saturating_sub(self.good), all.saturating_sub(self.all));
        (self.good, self.all) = (good, all);
        // A request is one chance to go wrong, whatever it scores: partial scores are rounded for the service.
        let (all, bad) = (grown.1 / self.unit, grown.1.saturating_sub(grown.0) / self.unit);
        let Ok(counts) = Counts::new(all.saturating_sub(bad), all) else { return };
        // What cannot be counted any more is no reason to stop looking.
        let _ = self.ledger.record(second, counts);
        self.alerts.judge(&self.ledger, second + 1);
        let moment = Moment { counts, overdue: overdue / self.unit };
        let state = self.judge.judge(second + 1, Some(moment), &self.ledger, &self.alerts);
        self.breach = (state.condition == Condition::Breaching).then(|| Breach {
            since: state.since,
            delay: state.delay.unwrap_or_default(),
            why: state.why(),
        });
    }

    /// Seconds whose own events nobody knows any more: they are in no window that is looked at.
    pub(crate) fn pass_over(&mut self, good: u64, all: u64) {
        (self.good, self.all) = (good, all);
    }

    pub(crate) fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }
}
