//! Whether an objective is being broken right now: what a terminal, a page and a gauge show.
//!
//! **Breaching** is decided every second from the last 1, 2, 5, 10, 30, 60 and 300 seconds. Of a
//! service that just keeps its objective, whose requests fail independently of each other with the
//! share that is allowed, a window with so many failures must have a probability below
//! 10^-9 / (31,557,600 s x 7 windows): by Boole's inequality the probability that any window of any
//! second of a year says `breaching` is then below 10^-9. The probability is bounded from above by
//! Chernoff's bound (`evidence_of_more` in `budget.rs`), so the promise does not rest on an
//! approximation. A service that is better than its objective is safer still. Failures that come
//! in bursts are not independent; a burst is a breach while it lasts.
//!
//! **Overdue requests** have outlived what the objective allows and are still in flight: they are
//! bad whatever their answer. They count in the second in which they become overdue and not again
//! when they end, so a stall shows at once and its end does not look like a second outage.
//!
//! **It ends** when the seconds since then, at least ten and at least as many as it took to find it,
//! are fewer failures than the breach would have shown (one in a thousand) and no more than the
//! objective explains (one in twenty). What was before does not count again.
//!
//! The other states come from the period, at the steps of the burn-rate alerts. The first that holds
//! is the state:
//!
//! | state | when |
//! |---|---|
//! | `undecided` | no data for 10 s, or no events for 300 s, or none ever |
//! | `breaching` | see above |
//! | `exhausted` | the period's budget is spent; until less than 98% of it is |
//! | `warning` | a burn-rate alert fires, or did within the last ten steps; or 90% of the budget are spent, until less than 88% are |
//! | `ok` | otherwise |
//!
//! A period that is not over, or a series younger than its period, has the budget of the whole
//! period at the traffic so far: one error in the first hour of a month spends no month.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use plimsoll_units::duration;

use crate::budget::{evidence_of_fewer, evidence_of_more};
use crate::{Budget, BurnAlerts, Counts, Factor, Ledger, Method, Period, Share, Slo, Target};

mod bytes;

/// The windows that look for a breach, in seconds.
const WINDOWS: [usize; 7] = [1, 2, 5, 10, 30, 60, 300];
const LONGEST_WINDOW: usize = 300;
/// ln(10^9 x 31,557,600 x 7): what a window must show, see above.
const BREACH_EVIDENCE: f64 = 39.936_6;
/// The shortest calm that ends a breach, in seconds.
const SHORTEST_CALM: usize = 10;
/// ln(1000): that the failures are fewer than those of the breach.
const FEWER_EVIDENCE: f64 = 6.907_755;
/// ln(20): up to here the objective explains the failures.
const EXPLAINED: f64 = 2.995_732;
/// Seconds without data after which nothing is known.
const SILENCE: u64 = 10;
/// Seconds without events after which nothing is known.
const QUIET: u64 = 300;
/// Steps for which an alert that has ended stays a warning.
const WARNED_STEPS: u64 = 10;

/// How an objective stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nobody can know.
    Undecided,
    /// Nothing is wrong.
    Ok,
    /// The budget goes too fast, or little is left of it.
    Warning,
    /// The last seconds break the objective.
    Breaching,
    /// The budget of the period is spent.
    Exhausted,
}

impl Condition {
    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Breaching => "breaching",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a second saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Requests that ended in it.
    pub counts: Counts,
    /// Requests in flight at its end that are bad whatever their answer.
    pub overdue: u64,
}

/// How an objective stands, since when and why.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// How.
    pub condition: Condition,
    /// Since which second; Unix time.
    pub since: u64,
    /// The seconds from the first second of a breach to when it was found.
    pub delay: Option<u64>,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reason {
    NeverAny,
    NoData(u64),
    NoEvents(u64),
    Failing { seen: Seen, seconds: u64 },
    Spent { used: f64, whole: bool },
    Burning(Factor),
    Burned,
    Fine { used: Option<f64>, whole: bool },
}

impl State {
    /// Why, as a sentence without its full stop.
    pub fn why(&self) -> String {
        let span = |seconds: u64| duration::format(Duration::from_secs(seconds));
        let percent = |used: f64| format!("{:.1}%", used * 100.0);
        match self.reason {
            Reason::NeverAny => "there has been no request yet".to_owned(),
            Reason::NoData(seconds) => format!("there has been no data for {}", span(seconds)),
            Reason::NoEvents(seconds) => format!("there has been no request for {}", span(seconds)),
            Reason::Failing { seen: Seen { bad, total }, seconds } => {
                format!("{bad} of {total} requests of the last {} were bad or are overdue", span(seconds))
            }
            Reason::Spent { used, whole: true } => {
                format!("{} of the period's error budget are spent", percent(used))
            }
            Reason::Spent { used, whole: false } => {
                format!(
                    "{} of the error budget are spent that the period will have at the traffic so far",
                    percent(used)
                )
            }
            Reason::Burning(factor) => {
                format!("the error budget burns more than {factor} times as fast as it may")
            }
            Reason::Burned => "the error budget burned too fast until just now".to_owned(),
            Reason::Fine { used: Some(used), whole: true } => {
                format!("{} of the error budget are spent", percent(used))
            }
            Reason::Fine { used: Some(used), whole: false } => format!(
                "{} of the error budget are spent that the period will have at the traffic so far",
                percent(used)
            ),
            Reason::Fine { used: None, .. } => {
                "the requests of the last seconds keep the objective".to_owned()
            }
        }
    }
}

/// Judges the state of one objective, second by second. Its memory is a few kilobytes.
#[derive(Debug, Clone)]
pub struct StateJudge {
    target: Target,
    period: Period,
    /// The share of requests that may fail.
    expected: f64,
    recent: Recent,
    breach: Option<Breach>,
    /// What the period says, as of a step.
    spent: Spent,
    /// The end of the newest second that was judged; 0 before the first.
    now: u64,
    /// Seconds since there was data, and since there were requests; `None`: never.
    silent: Option<u64>,
    quiet: Option<u64>,
    state: State,
}

/// A breach that has not ended.
#[derive(Debug, Clone, Copy)]
struct Breach {
    delay: u64,
    /// The share of failures that it shows.
    share: f64,
    /// For how many seconds it must be calm.
    calm: usize,
    /// How many seconds with data there were since it was found.
    age: usize,
    reason: Reason,
}

/// What the period says at a step.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    step: Option<u64>,
    /// The share of the whole period's budget, where there were events.
    used: Option<f64>,
    /// Whether all of the period has passed.
    whole: bool,
    exhausted: bool,
    nearly: bool,
    /// The fastest alert that fires.
    burning: Option<Factor>,
    /// The latest step with an alert.
    burned: Option<u64>,
}

/// Requests that became good or bad within some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    bad: u64,
    total: u64,
}

impl Seen {
    fn is_more_than(self, expected: f64) -> f64 {
        evidence_of_more(self.bad as f64, self.total as f64, expected)
    }

    fn is_fewer_than(self, expected: f64) -> f64 {
        evidence_of_fewer(self.bad as f64, self.total as f64, expected)
    }
}

/// Sums up to the end of each of the last seconds: a window is the difference of two. They run on
/// for ever and may wrap.
#[derive(Debug, Clone, Default)]
struct Recent {
    bad: u64,
    total: u64,
    sums: VecDeque<UpTo>,
}

/// Requests that ended or became overdue up to the end of a second.
#[derive(Debug, Clone, Copy)]
struct UpTo {
    end: u64,
    bad: u64,
    total: u64,
}

impl Recent {
    fn add(&mut self, end: u64, moment: Moment) {
        if self.sums.is_empty() {
            // Nobody knows since when those are overdue that are so at the very first.
            self.push(end.saturating_sub(1), moment.overdue);
        }
        self.bad = self.bad.wrapping_add(moment.counts.bad());
        self.total = self.total.wrapping_add(moment.counts.total());
        self.push(end, moment.overdue);
        self.keep(LONGEST_WINDOW);
    }

    fn push(&mut self, end: u64, overdue: u64) {
        if self.sums.is_empty() {
            self.sums.reserve_exact(LONGEST_WINDOW + 2);
        }
        let (bad, total) = (self.bad.wrapping_add(overdue), self.total.wrapping_add(overdue));
        self.sums.push_back(UpTo { end, bad, total });
    }

    fn seconds(&self) -> usize {
        self.sums.len().saturating_sub(1)
    }

    /// Forgets all but the last seconds.
    fn keep(&mut self, seconds: usize) {
        let more = self.seconds().saturating_sub(seconds);
        self.sums.drain(..more);
    }

    fn clear(&mut self) {
        self.sums.clear();
    }

    /// What the last seconds saw, where there are as many.
    fn over(&self, seconds: usize) -> Option<Seen> {
        let first = self.sums.get(self.seconds().checked_sub(seconds)?)?;
        let last = self.sums.back()?;
        // What was overdue and ended well after all makes a second negative.
        let grown = |last: u64, first: u64| u64::try_from(last.wrapping_sub(first) as i64).unwrap_or(0);
        let total = grown(last.total, first.total);
        Some(Seen { bad: grown(last.bad, first.bad).min(total), total })
    }

    /// When that began which the last seconds show: where the evidence is largest.
    fn onset(&self, expected: f64) -> Option<u64> {
        let evidence = |seconds: &usize| self.over(*seconds).map_or(0.0, |seen| seen.is_more_than(expected));
        let seconds = (1..=self.seconds()).max_by(|one, other| evidence(one).total_cmp(&evidence(other)))?;
        self.sums.get(self.seconds() - seconds).map(|sum| sum.end)
    }
}

impl StateJudge {
    /// For an objective of which nothing is known yet.
    pub fn new(slo: &Slo) -> Self {
        let budget = slo.target.budget();
        let expected = match slo.method {
            // A slice is good up to so many failures; where it allows none, slices may be bad.
            Method::Timeslices { target, .. } if target != Share::ONE => target.rest(),
            Method::Timeslices { .. } | Method::Occurrences | Method::RatioTimeslices { .. } => budget,
        };
        Self {
            target: slo.target,
            period: slo.period.clone(),
            expected: expected.to_f64(),
            recent: Recent::default(),
            breach: None,
            spent: Spent::default(),
            now: 0,
            silent: None,
            quiet: None,
            state: State { condition: Condition::Undecided, since: 0, delay: None, reason: Reason::NeverAny },
        }
    }

    /// The state as of the newest second that was judged.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The share that is spent of the budget which the whole period will have at the traffic so far, as of the latest
    /// step; `None` without events.
    pub fn used(&self) -> Option<f64> {
        self.spent.used
    }

    /// Judges the second that ends at `now` (Unix time), in which `moment` was seen; `None`: no data,
    /// or an excluded second.
    ///
    /// The ledger has that second already and the alerts were judged at `now`. Late data is the
    /// ledger's alone. A clock that goes back or ahead does not disturb the last seconds, which are
    /// taken as they come; ahead by ten seconds or more is a gap.
    pub fn judge(
        &mut self,
        now: u64,
        moment: Option<Moment>,
        ledger: &Ledger,
        alerts: &BurnAlerts,
    ) -> &State {
        let skipped = if self.now == 0 { 0 } else { now.saturating_sub(self.now + 1) };
        self.now = now;
        self.take_in(skipped, moment);
        self.judge_breach(moment.is_some());
        self.judge_period(ledger, alerts);
        let (condition, reason) = self.decide();
        if condition != self.state.condition || self.state.since == 0 {
            let delay = self.breach.filter(|_| condition == Condition::Breaching).map(|breach| breach.delay);
            self.state = State { condition, since: now, delay, reason };
        }
        self.state.since = self.state.since.min(now);
        self.state.reason = reason;
        &self.state
    }

    fn take_in(&mut self, skipped: u64, moment: Option<Moment>) {
        self.silent = self.silent.map(|silent| silent.saturating_add(skipped));
        self.quiet = self.quiet.map(|quiet| quiet.saturating_add(skipped));
        if self.silent.is_some_and(|silent| silent >= SILENCE) {
            self.forget();
        }
        match moment {
            Some(moment) => {
                self.silent = Some(0);
                let has_requests = moment.counts.total() > 0 || moment.overdue > 0;
                self.quiet = if has_requests { Some(0) } else { self.quiet.map(|quiet| quiet + 1) };
                self.recent.add(self.now, moment);
            }
            None => {
                self.silent = self.silent.map(|silent| silent + 1);
                self.quiet = self.quiet.map(|quiet| quiet + 1);
            }
        }
        if self.unknown().is_some() {
            self.forget();
        }
    }

    /// What was seen before a gap says nothing of what comes after it.
    fn forget(&mut self) {
        self.recent.clear();
        self.breach = None;
    }

    /// Why nothing is known, if nothing is.
    fn unknown(&self) -> Option<Reason> {
        match (self.silent, self.quiet) {
            (None, _) | (_, None) => Some(Reason::NeverAny),
            (Some(silent), _) if silent >= SILENCE => Some(Reason::NoData(silent)),
            (_, Some(quiet)) if quiet >= QUIET => Some(Reason::NoEvents(quiet)),
            _ => None,
        }
    }

    fn judge_breach(&mut self, has_data: bool) {
        if !has_data {
            return;
        }
        let expected = self.expected;
        let tripped = |seconds: usize| {
            let seen = self.recent.over(seconds)?;
            (seen.is_more_than(expected) >= BREACH_EVIDENCE).then_some((seconds, seen))
        };
        let shortest = WINDOWS.into_iter().find_map(tripped);
        let longest = WINDOWS.into_iter().rev().find_map(tripped);
        if let (Some((short, seen)), Some((_, diluted))) = (shortest, longest) {
            let delay = match self.breach {
                Some(breach) => breach.delay,
                None => self.now.saturating_sub(self.recent.onset(expected).unwrap_or(self.now)),
            };
            self.breach = Some(Breach {
                delay,
                share: diluted.bad as f64 / diluted.total as f64,
                calm: self.breach.map_or(short.max(SHORTEST_CALM), |breach| breach.calm),
                age: self.breach.map_or(0, |breach| breach.age + 1),
                reason: Reason::Failing { seen, seconds: short as u64 },
            });
        } else if let Some(breach) = &mut self.breach {
            breach.age += 1;
        }
        if let Some(seconds) = self.breach.and_then(|breach| self.calm_seconds(&breach)) {
            self.breach = None;
            self.recent.keep(seconds);
        }
    }

    /// The last seconds that say that the breach is over, if there are such.
    fn calm_seconds(&self, breach: &Breach) -> Option<usize> {
        WINDOWS.into_iter().filter(|seconds| (breach.calm..=breach.age).contains(seconds)).find(|seconds| {
            self.recent.over(*seconds).is_some_and(|seen| {
                seen.is_fewer_than(breach.share) >= FEWER_EVIDENCE
                    && seen.is_more_than(self.expected) < EXPLAINED
            })
        })
    }

    fn judge_period(&mut self, ledger: &Ledger, alerts: &BurnAlerts) {
        let step = self.now - self.now % alerts.step();
        if self.spent.step == Some(step) {
            return;
        }
        let bounds = self.period.bounds_at(self.now);
        let events = ledger.window(bounds.start..self.now).events;
        let first = ledger.first().unwrap_or(self.now).max(bounds.start);
        let whole = (bounds.end - bounds.start).max(1);
        let passed = self.now.saturating_sub(first).clamp(1, whole);
        let rate = Budget::new(self.target, events).burn_rate();
        let used = rate.map(|rate| rate.to_f64() * (passed as f64 / whole as f64));
        let above = |limit: f64| used.is_some_and(|used| used >= limit);
        let firing = alerts.alerts().iter().filter(|alert| alert.since.is_some());
        let burning = firing.map(|alert| alert.rule.factor).max();
        self.spent = Spent {
            step: Some(step),
            used,
            whole: passed == whole,
            exhausted: above(if self.spent.exhausted { 0.98 } else { 1.0 }),
            nearly: above(if self.spent.nearly { 0.88 } else { 0.9 }),
            burning,
            burned: if burning.is_some() { Some(step) } else { self.spent.burned },
        };
        let ended = |burned: u64| step.abs_diff(burned) > WARNED_STEPS * alerts.step();
        self.spent.burned = self.spent.burned.filter(|burned| !ended(*burned));
    }

    fn decide(&self) -> (Condition, Reason) {
        if let Some(reason) = self.unknown() {
            return (Condition::Undecided, reason);
        }
        if let Some(breach) = self.breach {
            return (Condition::Breaching, breach.reason);
        }
        let spent = &self.spent;
        match (spent.used, spent.burning) {
            (Some(used), _) if spent.exhausted => {
                (Condition::Exhausted, Reason::Spent { used, whole: spent.whole })
            }
            (_, Some(factor)) => (Condition::Warning, Reason::Burning(factor)),
            (Some(used), _) if spent.nearly => {
                (Condition::Warning, Reason::Spent { used, whole: spent.whole })
            }
            _ if spent.burned.is_some() => (Condition::Warning, Reason::Burned),
            (used, _) => (Condition::Ok, Reason::Fine { used, whole: spent.whole }),
        }
    }
}
