//! One promise with everything that judges it: what it has seen, its alerts, its state.
//!
//! A [`Keeper`] is told one [`Entry`] after another and nothing else, so the same entries make the same
//! keeper: who stores its bytes now and then, and the entries since, has it again as it was.
//!
//! | what comes | what becomes of it |
//! |---|---|
//! | the next second | it counts and is judged |
//! | no data for a second | time goes on; the state is undecided after 10 s |
//! | an excluded second | does not count, and is no data to the state |
//! | late events, up to 10 s | count in their own second; the state sees them with the next |
//! | later ones | count in their own second; the state is about now and does not see them |
//! | a second of the past, because a clock went back | is judged as it comes |
//! | a share of unknown events | counts by its size; to the state it is one event, bad below the target |

use std::ops::Range;

use crate::bytes::{Input, Unreadable, put, put_counts, put_option};
use crate::{
    Alert, Budget, BurnAlerts, Condition, Counts, Exclusion, Fate, Ledger, Method, Moment, Refused,
    RuleError, Sla, Slo, State, StateJudge,
};

mod journal;

const VERSION: u8 = 1;

/// How late events may be for the state to see them, in seconds: what comes after that is no news.
const LATE: u64 = 10;

/// What a keeper is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The second that begins at `second` is over; `None`: nobody knows what happened in it.
    Second {
        /// Unix time.
        second: u64,
        /// What it saw.
        moment: Option<Moment>,
    },
    /// The second that begins at `second` is over, and so large a share of its events was good.
    Share {
        /// Unix time.
        second: u64,
        /// In parts of [`Method::PARTS`].
        good: u64,
    },
    /// Events of a second that was told before.
    Late {
        /// Unix time.
        second: u64,
        /// The events.
        counts: Counts,
    },
    /// Nobody looked until now, and the clock is right.
    Resumed {
        /// Unix time.
        now: u64,
    },
}

/// A promise that is being judged.
#[derive(Debug, Clone)]
pub struct Keeper {
    slo: Slo,
    ledger: Ledger,
    alerts: BurnAlerts,
    judge: StateJudge,
    /// The end of the newest second that was told; 0 before the first.
    now: u64,
    /// Late events that the state has not seen.
    late: Counts,
    /// How long it took to find the latest breach.
    delay: Option<u64>,
}

impl Keeper {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// When a rule of the alerts is none for this objective.
    pub fn new(sla: &Sla) -> Result<Self, RuleError> {
        let slo = sla.slo.clone();
        let rules = sla.alerts.iter().map(|alert| alert.rule).collect();
        let mut keeper = Self {
            ledger: Ledger::new(&slo),
            alerts: BurnAlerts::new(&slo, rules)?,
            judge: StateJudge::new(&slo),
            now: 0,
            late: Counts::ZERO,
            delay: None,
            slo,
        };
        keeper.exclude(&sla.exclusions);
        Ok(keeper)
    }

    /// What is refused is empty, or beyond what is kept: it has no second that could count.
    fn exclude(&mut self, exclusions: &[Exclusion]) {
        for exclusion in exclusions {
            let known = self.ledger.exclusions().iter().any(|known| covers(known, &exclusion.seconds));
            if !known {
                let _ = self.ledger.exclude(exclusion.seconds.clone());
            }
        }
    }

    /// What is promised.
    pub fn slo(&self) -> &Slo {
        &self.slo
    }

    /// What it has seen.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Its alerts, in the order of the promise's rules, as of the latest step.
    pub fn alerts(&self) -> &[Alert] {
        self.alerts.alerts()
    }

    /// The seconds from one step of its alerts to the next.
    pub fn step(&self) -> u64 {
        self.alerts.step()
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        self.judge.state()
    }

    /// The end of the newest second that was told; 0 before the first.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The seconds from the first second of the latest breach to when it was found; `None` before the first.
    pub fn delay(&self) -> Option<u64> {
        self.delay
    }

    /// The share that is spent of the budget which the whole period will have at the traffic so far, as of the latest
    /// step; `None` without events.
    pub fn used(&self) -> Option<f64> {
        self.judge.used()
    }

    /// The seconds of the period that is current.
    pub fn period(&self) -> Range<u64> {
        self.slo.period.bounds_at(self.now)
    }

    /// The budget of the period so far.
    pub fn budget(&self) -> Budget {
        self.over(self.period().start..self.now)
    }

    /// The budget of any time that is kept.
    pub fn over(&self, range: Range<u64>) -> Budget {
        Budget::new(self.slo.target, self.ledger.window(range).events)
    }

    /// The windows of its alerts in seconds, each once, the shortest first.
    pub fn windows(&self) -> Vec<u64> {
        let mut windows: Vec<u64> =
            self.alerts().iter().flat_map(|alert| [alert.rule.short, alert.rule.long]).collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// Takes what it is told.
    ///
    /// # Errors
    /// When that is about a time, or so much, that it cannot be; then nothing has changed.
    pub fn tell(&mut self, entry: Entry) -> Result<(), Refused> {
        match entry {
            Entry::Second { second, moment } => self.second(second, moment).map(drop),
            Entry::Share { second, good } => self.share(second, good).map(drop),
            Entry::Late { second, counts } => self.late(second, counts).map(drop),
            Entry::Resumed { now } => self.resume(now).map(drop),
        }
    }

    /// The second that begins at `second` is over; `None`: nobody knows what happened in it.
    ///
    /// # Errors
    /// When that is about a time, or so much, that it cannot be; then nothing has changed.
    pub fn second(&mut self, second: u64, moment: Option<Moment>) -> Result<&State, Refused> {
        let seen = match moment {
            None => {
                self.ledger.pass(second)?;
                None
            }
            Some(moment) => self.counted(second, moment.counts)?.then_some(moment),
        };
        Ok(self.judge(second + 1, seen))
    }

    /// The second that begins at `second` is over, and `good` parts of [`Method::PARTS`] of its events were good.
    ///
    /// # Errors
    /// As [`Self::second`].
    pub fn share(&mut self, second: u64, good: u64) -> Result<&State, Refused> {
        let good = good.min(Method::PARTS);
        let counts = Counts::new(good, Method::PARTS).unwrap_or(Counts::ZERO);
        let kept = self.slo.target.share().is_reached(good.into(), Method::PARTS.into()) == Some(true);
        let event = Counts::new(u64::from(kept), 1).unwrap_or(Counts::ZERO);
        let seen = self.counted(second, counts)?.then_some(Moment { counts: event, overdue: 0 });
        Ok(self.judge(second + 1, seen))
    }

    /// Events of a second that was told before, or was told to be without data.
    ///
    /// # Errors
    /// As [`Self::second`].
    pub fn late(&mut self, second: u64, counts: Counts) -> Result<Fate, Refused> {
        let fate = self.ledger.record(second, counts)?;
        if fate == Fate::Counted && second + LATE >= self.now {
            self.late = self.late.plus(counts).unwrap_or(self.late);
        }
        Ok(fate)
    }

    /// Nobody looked until `now`, and the clock is right, however far it went on.
    ///
    /// # Errors
    /// As [`Self::second`].
    pub fn resume(&mut self, now: u64) -> Result<&State, Refused> {
        if self.now == 0 {
            return Ok(self.state());
        }
        self.ledger.resume(now)?;
        Ok(self.judge(now.max(self.now), None))
    }

    /// Whether the second counts: an excluded one does not.
    fn counted(&mut self, second: u64, counts: Counts) -> Result<bool, Refused> {
        Ok(self.ledger.record(second, counts)? != Fate::Excluded)
    }

    fn judge(&mut self, now: u64, seen: Option<Moment>) -> &State {
        self.now = now;
        let late = std::mem::take(&mut self.late);
        let seen = match seen {
            Some(moment) => {
                Some(Moment { counts: moment.counts.plus(late).unwrap_or(moment.counts), ..moment })
            }
            None => (late != Counts::ZERO).then_some(Moment { counts: late, overdue: 0 }),
        };
        self.alerts.judge(&self.ledger, now);
        let before = self.judge.state().condition;
        let state = self.judge.judge(now, seen, &self.ledger, &self.alerts);
        if state.condition == Condition::Breaching && before != Condition::Breaching {
            self.delay = state.delay;
        }
        state
    }

    /// Its bytes, for [`Keeper::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, self.now.into());
        put_counts(&mut bytes, self.late);
        put_option(&mut bytes, self.delay);
        self.judge.put(&mut bytes);
        self.alerts.put(&mut bytes);
        bytes.extend(self.ledger.to_bytes());
        bytes
    }

    /// The keeper that these bytes were made of.
    ///
    /// Target, period, rules and exclusions may have changed since: what was counted stays. An exclusion that is gone
    /// counts again from now on; what was left out before stays so.
    ///
    /// # Errors
    /// When they are damaged, of another version, or of another budgeting method, whose events are others.
    pub fn from_bytes(bytes: &[u8], sla: &Sla) -> Result<Self, Unreadable> {
        let wrong = |_| Unreadable::Contradiction("an alert's rule is none for this objective");
        let mut keeper = Self::new(sla).map_err(wrong)?;
        let (&version, rest) = bytes.split_first().ok_or(Unreadable::Length)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let mut input = Input(rest);
        keeper.now = input.time()?;
        keeper.late = input.counts()?;
        keeper.delay = input.time_option()?;
        keeper.judge.restore(&mut input)?;
        keeper.alerts.restore(&mut input)?;
        keeper.ledger = Ledger::from_bytes(input.0, &keeper.slo)?;
        keeper.ledger.include_from(keeper.now);
        keeper.exclude(&sla.exclusions);
        Ok(keeper)
    }
}

fn covers(known: &Range<u64>, asked: &Range<u64>) -> bool {
    known.start <= asked.start && asked.end <= known.end
}
