//! What is told to whom, and when: a function of what has happened and the time.
//!
//! Each receiver gets at most so many messages within an hour; what is more waits and is told in one message when the hour has room
//! again. A recovery of an outage that a receiver was told of always goes out: there is at most one for each outage.

#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_run::{NotifySettings, Occasion};

use crate::message::{self, HeldBack, Message};
use crate::outage::{News, Outage, Outages};
use crate::{Breach, Occurrence, Subject};

/// Within what messages are counted.
const HOUR: Duration = Duration::from_secs(3600);

/// How many titles stand in a message about what was held back.
const TITLES: usize = 10;

/// The time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the process began: never goes back.
    pub(crate) passed: Duration,
    /// Unix seconds, for people.
    pub(crate) unix: u64,
}

/// A message and the receiver it is for, by its place in the settings.
pub(crate) type Told = (usize, Arc<Message>);

/// Decides what is told to whom.
#[derive(Debug)]
pub(crate) struct Planner {
    settings: Arc<NotifySettings>,
    outages: Outages,
    receivers: Vec<Hour>,
    /// What ids begin with: no other process has the same.
    process: String,
    ids: u64,
    /// What was sent faster than it could be taken.
    missed: u64,
}

/// What one receiver was told within the last hour.
#[derive(Debug, Default)]
struct Hour {
    told: VecDeque<Duration>,
    held: HeldBack,
}

impl Hour {
    /// Whether there is room for one more, which takes it.
    fn admit(&mut self, at_most: u32, now: Duration) -> bool {
        while self.told.front().is_some_and(|told| *told + HOUR <= now) {
            self.told.pop_front();
        }
        let has_room = self.told.len() < at_most as usize;
        if has_room {
            self.told.push_back(now);
        }
        has_room
    }

    fn hold(&mut self, message: &Message, now: Now) {
        if self.held.messages == 0 {
            self.held.since = now.unix;
        }
        self.held.messages += 1;
        if self.held.first.len() < TITLES {
            self.held.first.push(message::entry(message));
        }
    }

    /// When what is held may go.
    fn next(&self, at_most: u32) -> Option<Duration> {
        if self.held.messages == 0 {
            return None;
        }
        let full = self.told.len() >= at_most as usize;
        Some(self.told.front().filter(|_| full).map_or(Duration::ZERO, |told| *told + HOUR))
    }
}

impl Planner {
    /// `process` is what no other process has.
    pub(crate) fn new(settings: Arc<NotifySettings>, process: String) -> Self {
        let receivers = settings.receivers.iter().map(|_| Hour::default()).collect();
        let outages = Outages::new(&settings);
        Self { settings, outages, receivers, process, ids: 0, missed: 0 }
    }

    fn id(&mut self, of: &str) -> String {
        self.ids += 1;
        format!("{of}_{}_{}", self.process, self.ids)
    }

    /// Takes what has happened.
    pub(crate) fn take(&mut self, occurrence: Occurrence, now: Now) -> Vec<Told> {
        match occurrence {
            Occurrence::Breach(breach) => {
                let id = self.id("out");
                self.outages.breach(breach, now.passed, || id);
                Vec::new()
            }
            Occurrence::Recovery(recovery) => {
                self.outages.recovery(&recovery, now.passed);
                Vec::new()
            }
            Occurrence::RunEnded(run) => {
                let news = self.outages.leave(&Subject::Plan(run.plan.clone()), now.passed);
                let mut told = self.tell_outages(news, now);
                if let Some(occasion) = run.occasion() {
                    let message = message::run_ended(self.id("msg"), &run, &self.settings);
                    told.extend(self.tell(&[occasion], message, now));
                }
                told
            }
            Occurrence::SearchEnded(search) => {
                let message = message::search_ended(self.id("msg"), &search, &self.settings);
                self.tell(search.occasions(), message, now)
            }
            Occurrence::ReportEnded(report) => {
                let message = message::report_ended(self.id("msg"), &report, &self.settings);
                self.tell(&[report.occasion()], message, now)
            }
            Occurrence::Regression(regression) => {
                let message = message::regression(self.id("msg"), &regression, &self.settings);
                self.tell(&[Occasion::Regression], message, now)
            }
            Occurrence::Capacity(capacity) => {
                let message = message::capacity(self.id("msg"), &capacity, &self.settings);
                self.tell(&[Occasion::Capacity], message, now)
            }
        }
    }

    /// Goes on with a breach that an earlier process has told.
    pub(crate) fn resume(&mut self, breach: Breach, now: Now) {
        let id = self.id("out");
        let told: Vec<usize> = self.wanting(&[Occasion::Breach]);
        self.outages.resume(breach, told, now.passed, || id);
    }

    /// So many things happened that could not be taken.
    pub(crate) fn missed(&mut self, things: u64) {
        self.missed += things;
    }

    /// What is to be told by now.
    pub(crate) fn due(&mut self, now: Now) -> Vec<Told> {
        let news = self.outages.due(now.passed);
        let mut told = self.tell_outages(news, now);
        told.extend(self.tell_missed(now));
        for receiver in 0..self.receivers.len() {
            let at_most = self.settings.receivers[receiver].at_most;
            let hour = &mut self.receivers[receiver];
            if hour.held.messages > 0 && hour.admit(at_most, now.passed) {
                told.extend(self.tell_held(receiver, now));
            }
        }
        told
    }

    /// The process ends: everything is told now, what was held back too.
    pub(crate) fn end(&mut self, now: Now) -> Vec<Told> {
        let news = self.outages.leave_all(now.passed);
        let mut told = self.tell_outages(news, now);
        told.extend(self.tell_missed(now));
        for receiver in 0..self.receivers.len() {
            told.extend(self.tell_held(receiver, now));
        }
        told
    }

    /// When [`Self::due`] has something to say.
    pub(crate) fn next(&self) -> Option<Duration> {
        let held = self.receivers.iter().zip(&self.settings.receivers);
        let held = held.filter_map(|(hour, receiver)| hour.next(receiver.at_most));
        let missed = (self.missed > 0).then_some(Duration::ZERO);
        self.outages.next().into_iter().chain(held).chain(missed).min()
    }

    /// Those who want to be told of one of these, each once.
    fn wanting(&self, occasions: &[Occasion]) -> Vec<usize> {
        let all = self.settings.receivers.iter().enumerate();
        let wants = |on: &BTreeSet<Occasion>| occasions.iter().any(|occasion| on.contains(occasion));
        all.filter(|(_, receiver)| wants(&receiver.on)).map(|(index, _)| index).collect()
    }

    fn tell_outages(&mut self, news: Vec<(News, Outage)>, now: Now) -> Vec<Told> {
        news.into_iter().flat_map(|(news, outage)| self.tell_outage(news, &outage, now)).collect()
    }

    fn tell_outage(&mut self, news: News, outage: &Outage, now: Now) -> Vec<Told> {
        let message = message::outage(self.id("msg"), news, outage, &self.settings);
        let mut told = Vec::new();
        let message = Arc::new(message);
        for receiver in self.wanting(&[message::occasion(news)]) {
            let closes = news == News::Over && outage.told_to.contains(&receiver);
            if closes || self.admit(receiver, &message, now) {
                told.push((receiver, Arc::clone(&message)));
                if news == News::Began {
                    self.outages.told_to(outage, receiver);
                }
            }
        }
        told
    }

    fn tell(&mut self, occasions: &[Occasion], message: Message, now: Now) -> Vec<Told> {
        let message = Arc::new(message);
        let mut told = Vec::new();
        for receiver in self.wanting(occasions) {
            if self.admit(receiver, &message, now) {
                told.push((receiver, Arc::clone(&message)));
            }
        }
        told
    }

    /// Whether a receiver has room for a message; where not, it is held back.
    fn admit(&mut self, receiver: usize, message: &Message, now: Now) -> bool {
        let at_most = self.settings.receivers[receiver].at_most;
        let hour = &mut self.receivers[receiver];
        let has_room = hour.admit(at_most, now.passed);
        if !has_room {
            hour.hold(message, now);
        }
        has_room
    }

    fn tell_held(&mut self, receiver: usize, now: Now) -> Option<Told> {
        let held = std::mem::take(&mut self.receivers[receiver].held);
        if held.messages == 0 {
            return None;
        }
        let at_most = self.settings.receivers[receiver].at_most;
        Some((receiver, Arc::new(message::held_back(self.id("msg"), now.unix, &held, at_most))))
    }

    /// What could not be taken is lost, and everybody is told so.
    fn tell_missed(&mut self, now: Now) -> Vec<Told> {
        let missed = std::mem::take(&mut self.missed);
        if missed == 0 {
            return Vec::new();
        }
        let message = Arc::new(message::missed(self.id("msg"), now.unix, missed));
        let mut told = Vec::new();
        for receiver in 0..self.receivers.len() {
            if self.admit(receiver, &message, now) {
                told.push((receiver, Arc::clone(&message)));
            }
        }
        told
    }

    /// How many outages there are and of how many messages is held back: for tests.
    #[cfg(test)]
    pub(crate) fn held(&self) -> BTreeMap<usize, u64> {
        let held = self.receivers.iter().enumerate().map(|(at, hour)| (at, hour.held.messages));
        held.filter(|(_, messages)| *messages > 0).collect()
    }
}

#[cfg(test)]
mod tests;
