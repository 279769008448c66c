//! What breaks together is one outage: told once, told again when more breaks, and told when it is over.
//!
//! Nothing here looks at a clock: `now` is the time since the process began, what is told to people is Unix seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll_run::NotifySettings;
use plimsoll_sla::Severity;

use crate::{Breach, Page, Recovery, Subject};

/// How soon what joins an outage is told after what was told before.
const MORE_EVERY: Duration = Duration::from_secs(300);

/// The most promises of one outage that are known by name; further ones are counted.
const MOST_PROMISES: usize = 200;

/// The most outages at once; what breaks beyond belongs to the last.
const MOST_OUTAGES: usize = 200;

/// What is told of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It began.
    Began,
    /// More is broken.
    More,
    /// Everything is kept again.
    Over,
}

/// What is broken of one subject, from the first breach until everything is well for a while.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outage {
    pub(crate) id: String,
    pub(crate) subject: Subject,
    /// The first second of the first breach.
    pub(crate) began: u64,
    pub(crate) broken: BTreeMap<String, Broken>,
    /// Breaches of promises beyond those that are known by name.
    pub(crate) beyond: u64,
    /// Receivers that were told that it began.
    pub(crate) told_to: BTreeSet<usize>,
    /// When it was told last.
    told: Option<Duration>,
    /// When it is told next.
    due: Option<Duration>,
    /// Since when nothing is broken.
    quiet: Option<Duration>,
}

/// A promise that was or is being broken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Broken {
    pub(crate) objective: String,
    pub(crate) why: String,
    pub(crate) severity: Severity,
    pub(crate) began: u64,
    pub(crate) found: u64,
    pub(crate) ended: Option<u64>,
    /// How often it was broken within the outage.
    pub(crate) times: u64,
    /// Somebody was told.
    pub(crate) told: bool,
    pub(crate) course: Vec<Option<f64>>,
    pub(crate) page: Option<Page>,
}

impl Outage {
    /// When the last of it was over; `None` while something is broken.
    pub(crate) fn ended(&self) -> Option<u64> {
        let ends: Option<Vec<u64>> = self.broken.values().map(|broken| broken.ended).collect();
        ends?.into_iter().max()
    }

    fn is_broken(&self) -> bool {
        self.broken.values().any(|broken| broken.ended.is_none())
    }

    /// What is to be told now.
    fn news(&self, now: Duration, settle: Duration) -> Option<News> {
        if self.due.is_some_and(|due| due <= now) {
            return Some(if self.told.is_none() { News::Began } else { News::More });
        }
        self.quiet.is_some_and(|quiet| quiet + settle <= now).then_some(News::Over)
    }
}

/// All outages there are.
#[derive(Debug)]
pub(crate) struct Outages {
    gather: Duration,
    settle: Duration,
    open: BTreeMap<Subject, Outage>,
}

impl Outages {
    pub(crate) fn new(settings: &NotifySettings) -> Self {
        Self { gather: settings.gather, settle: settings.settle, open: BTreeMap::new() }
    }

    /// Takes a breach; `id` is that of an outage that begins with it.
    pub(crate) fn breach(&mut self, breach: Breach, now: Duration, id: impl FnOnce() -> String) {
        let gather = self.gather;
        let outage = self.of(breach.subject.clone(), breach.began, now + gather, id);
        outage.quiet = None;
        outage.began = outage.began.min(breach.began);
        if let Some(known) = outage.broken.get_mut(&breach.promise) {
            if known.ended.is_some() {
                known.times += 1;
            }
            known.ended = None;
            known.why = breach.why;
            return;
        }
        if outage.broken.len() >= MOST_PROMISES {
            outage.beyond += 1;
            return;
        }
        let broken = Broken {
            objective: breach.objective,
            why: breach.why,
            severity: breach.severity,
            began: breach.began,
            found: breach.found,
            ended: None,
            times: 1,
            told: false,
            course: breach.course,
            page: breach.page,
        };
        outage.broken.insert(breach.promise, broken);
        if let Some(told) = outage.told {
            outage.due.get_or_insert((now + gather).max(told + MORE_EVERY));
        }
    }

    fn of(
        &mut self,
        subject: Subject,
        began: u64,
        due: Duration,
        id: impl FnOnce() -> String,
    ) -> &mut Outage {
        let is_full = self.open.len() >= MOST_OUTAGES && !self.open.contains_key(&subject);
        let subject = match self.open.keys().next_back() {
            Some(last) if is_full => last.clone(),
            _ => subject,
        };
        self.open.entry(subject.clone()).or_insert_with(|| Outage {
            id: id(),
            subject,
            began,
            broken: BTreeMap::new(),
            beyond: 0,
            told_to: BTreeSet::new(),
            told: None,
            due: Some(due),
            quiet: None,
        })
    }

    /// Goes on with a breach that an earlier process has told: its end is told, and it is not told again.
    pub(crate) fn resume(
        &mut self,
        breach: Breach,
        receivers: impl IntoIterator<Item = usize>,
        now: Duration,
        id: impl FnOnce() -> String,
    ) {
        let (subject, promise) = (breach.subject.clone(), breach.promise.clone());
        self.breach(breach, now, id);
        let Some(outage) = self.open.get_mut(&subject) else { return };
        outage.told_to.extend(receivers);
        (outage.told, outage.due) = (Some(now), None);
        if let Some(broken) = outage.broken.get_mut(&promise) {
            broken.told = true;
        }
    }

    /// Takes a recovery. One of what nobody knows to be broken is no news.
    pub(crate) fn recovery(&mut self, recovery: &Recovery, now: Duration) {
        // What broke while there were too many outages belongs to another subject's.
        let holder = match self.open.get(&recovery.subject) {
            Some(_) => Some(recovery.subject.clone()),
            None => self.open.keys().next_back().cloned(),
        };
        let Some(outage) = holder.and_then(|subject| self.open.get_mut(&subject)) else { return };
        let Some(broken) = outage.broken.get_mut(&recovery.promise) else { return };
        broken.ended.get_or_insert(recovery.ended.max(broken.began));
        if !outage.is_broken() {
            outage.quiet.get_or_insert(now);
        }
    }

    /// What is to be told by now, each with its outage as it stands.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<(News, Outage)> {
        self.take(now, self.settle, |_| true)
    }

    /// Nobody looks at a subject any more: what was not told yet is told now. What is still broken is no recovery.
    pub(crate) fn leave(&mut self, subject: &Subject, now: Duration) -> Vec<(News, Outage)> {
        if let Some(outage) = self.open.get_mut(subject)
            && outage.told.is_none()
        {
            outage.due = Some(now);
        }
        let told = self.take(now, Duration::ZERO, |outage| outage.subject == *subject);
        self.open.remove(subject);
        told
    }

    /// The process ends.
    pub(crate) fn leave_all(&mut self, now: Duration) -> Vec<(News, Outage)> {
        let subjects: Vec<Subject> = self.open.keys().cloned().collect();
        subjects.iter().flat_map(|subject| self.leave(subject, now)).collect()
    }

    fn take(
        &mut self,
        now: Duration,
        settle: Duration,
        is_meant: impl Fn(&Outage) -> bool,
    ) -> Vec<(News, Outage)> {
        let mut told = Vec::new();
        for outage in self.open.values_mut().filter(|outage| is_meant(outage)) {
            while let Some(news) = outage.news(now, settle) {
                told.push((news, outage.clone()));
                if news == News::Over {
                    break;
                }
                outage.told = Some(now);
                outage.due = None;
                outage.broken.values_mut().for_each(|broken| broken.told = true);
            }
        }
        for (_, over) in told.iter().filter(|(news, _)| *news == News::Over) {
            self.open.remove(&over.subject);
        }
        told
    }

    /// Somebody was told that an outage began.
    pub(crate) fn told_to(&mut self, outage: &Outage, receiver: usize) {
        if let Some(outage) = self.open.get_mut(&outage.subject) {
            outage.told_to.insert(receiver);
        }
    }

    /// When something is to be told next.
    pub(crate) fn next(&self) -> Option<Duration> {
        let settle = self.settle;
        let times =
            self.open.values().flat_map(|outage| [outage.due, outage.quiet.map(|quiet| quiet + settle)]);
        times.flatten().min()
    }
}
