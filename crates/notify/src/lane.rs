//! What waits for one receiver, and when it is tried: a function of what came of earlier tries and the time.
//!
//! Messages go in their order, one at a time. What a receiver cannot take now is tried again, waiting longer each time and as
//! long as it asks for. What is too old, refused, or too much is lost; the next message that goes says how much that was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Message;
use crate::send::Answer;

/// The most messages that wait for one receiver.
pub(crate) const MOST: usize = 100;

/// How long a message is tried: what happened a day ago is on the pages of the service, and no news.
pub(crate) const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The waits between tries: doubling from the first to the longest, each shortened by up to a half, so that many do not
/// come back at once.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// What became of messages for one receiver: taken + lost + waiting + merged is all there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// Messages that it took.
    pub taken: u64,
    /// Messages that it never will get.
    pub lost: u64,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were told with a later one: a breach that was over before anybody could be told.
    pub merged: u64,
}

#[derive(Debug)]
struct Waiting {
    message: Arc<Message>,
    since: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    waiting: VecDeque<Waiting>,
    is_sending: bool,
    tries: u32,
    not_before: Duration,
    /// The receiver said when to come back.
    is_asked: bool,
    fate: Fate,
    /// Lost and not said yet.
    unsaid: u64,
}

/// What is to be sent now.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) message: Arc<Message>,
    /// So many messages before it were lost.
    pub(crate) lost: u64,
}

impl Lane {
    /// Takes a message.
    pub(crate) fn push(&mut self, message: Arc<Message>, now: Duration) {
        if let Some((outage, false)) = &message.thread
            && message.event == "sla.recovered"
        {
            self.merge(outage);
        }
        if self.waiting.len() >= MOST {
            // The first may be under way; the oldest news behind it are worth the least.
            let oldest = usize::from(self.is_sending);
            self.waiting.remove(oldest);
            self.lose(1);
        }
        self.waiting.push_back(Waiting { message, since: now });
    }

    /// Takes out what was to be told of an outage that is over: its end says it all.
    fn merge(&mut self, outage: &str) {
        let under_way = usize::from(self.is_sending);
        let mut at = 0;
        let before = self.waiting.len();
        self.waiting.retain(|waiting| {
            at += 1;
            let belongs = waiting.message.thread.as_ref().is_some_and(|(of, _)| of == outage);
            at <= under_way || !belongs
        });
        self.fate.merged += (before - self.waiting.len()) as u64;
    }

    fn lose(&mut self, messages: u64) {
        self.fate.lost += messages;
        self.unsaid += messages;
    }

    /// What is to be sent now, if it is time.
    pub(crate) fn next_try(&mut self, now: Duration) -> Option<Try> {
        if self.is_sending || now < self.not_before {
            return None;
        }
        while self.waiting.front().is_some_and(|waiting| waiting.since + PATIENCE < now) {
            self.waiting.pop_front();
            self.lose(1);
            self.tries = 0;
        }
        let message = Arc::clone(&self.waiting.front()?.message);
        self.is_sending = true;
        Some(Try { message, lost: self.unsaid })
    }

    /// When [`Self::next_try`] has something; `None` while one is under way, or nothing waits.
    pub(crate) fn next(&self) -> Option<Duration> {
        (!self.is_sending && !self.waiting.is_empty()).then_some(self.not_before)
    }

    /// Takes what came of a try, in which `said` lost messages were told. `random` is within `0.0..1.0`.
    pub(crate) fn answered(&mut self, answer: &Answer, said: u64, now: Duration, random: f64) {
        self.is_sending = false;
        match answer {
            Answer::Taken { .. } => {
                self.waiting.pop_front();
                self.fate.taken += 1;
                self.unsaid = self.unsaid.saturating_sub(said);
                (self.tries, self.not_before) = (0, now);
            }
            Answer::Refused { .. } => {
                self.waiting.pop_front();
                self.lose(1);
                (self.tries, self.not_before) = (0, now);
            }
            Answer::Later { after, .. } => {
                let own =
                    FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST).mul_f64(1.0 - random / 2.0);
                self.tries += 1;
                self.is_asked = after.is_some();
                self.not_before = now + after.unwrap_or(own).min(LONGEST_ASKED);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What became of its messages so far.
    pub(crate) fn fate(&self) -> Fate {
        Fate { waiting: self.waiting.len() as u64, ..self.fate.clone() }
    }

    /// The process ends: waits of our own are short, those that were asked for are kept.
    pub(crate) fn hurry(&mut self, now: Duration) {
        if !self.is_asked {
            self.not_before = self.not_before.min(now + FIRST / 2);
        }
    }
}

#[cfg(test)]
mod tests;
