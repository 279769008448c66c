//! An objective and all that judges it, for tests and examples.

use plimsoll_sla::{BurnAlerts, Counts, Ledger, Method, Moment, Period, Slo, State, StateJudge};

pub(crate) const DAY: u64 = 86_400;
/// A Monday at midnight, UTC.
pub(crate) const START: u64 = 1_767_571_200;

pub(crate) fn slo(target: &str, period: Period) -> Slo {
    Slo { name: "checkout".to_owned(), target: target.parse().unwrap(), period, method: Method::Occurrences }
}

pub(crate) fn days(target: &str, days: u64) -> Slo {
    slo(target, Period::rolling(days * DAY).unwrap())
}

/// An objective and all that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) ledger: Ledger,
    pub(crate) alerts: BurnAlerts,
    pub(crate) judge: StateJudge,
    pub(crate) now: u64,
}

impl Kept {
    pub(crate) fn new(slo: &Slo) -> Self {
        Self {
            ledger: Ledger::new(slo),
            alerts: BurnAlerts::published(slo).0,
            judge: StateJudge::new(slo),
            now: START,
        }
    }

    /// The next second.
    pub(crate) fn second(&mut self, bad: u64, total: u64, overdue: u64) -> &State {
        let counts = Counts::new(total - bad, total).unwrap();
        self.ledger.record(self.now, counts).unwrap();
        self.now += 1;
        self.alerts.judge(&self.ledger, self.now);
        self.judge.judge(self.now, Some(Moment { counts, overdue }), &self.ledger, &self.alerts)
    }
}
