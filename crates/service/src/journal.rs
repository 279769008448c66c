//! What pages are told, numbered and kept for a while, so that who was away for a moment goes on where they were.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::events::Event;

/// Events that are kept: half a minute of twenty live runs.
pub(crate) const BACKLOG: usize = 1024;

/// Bytes of them, since a list of runs is large.
const BACKLOG_BYTES: usize = 8 << 20;

/// The events of this service since it began.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Tells the numbers of one service from those of the one before it.
    epoch: String,
    kept: Mutex<Kept>,
    /// The number of the latest event; zero before the first.
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The last of them has the number `latest`.
    events: VecDeque<Event>,
    latest: u64,
    bytes: usize,
}

/// What came next after an event.
#[derive(Debug)]
pub(crate) enum After {
    Event(Event),
    /// Nothing yet.
    Nothing,
    /// It is gone.
    Missed,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let epoch = format!("{:x}", crate::access::now_nanos());
        Self { epoch, kept: Mutex::default(), latest: watch::Sender::new(0) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut kept = self.kept();
        kept.latest += 1;
        kept.bytes += event.bytes();
        kept.events.push_back(event);
        while kept.events.len() > BACKLOG || (kept.bytes > BACKLOG_BYTES && kept.events.len() > 1) {
            let Some(gone) = kept.events.pop_front() else { break };
            kept.bytes -= gone.bytes();
        }
        self.latest.send_replace(kept.latest);
    }

    /// Changes whenever there is something new.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    pub(crate) fn latest(&self) -> u64 {
        self.kept().latest
    }

    /// What came next after the event of this number.
    pub(crate) fn first_after(&self, number: u64) -> After {
        let kept = self.kept();
        let Some(behind) = kept.latest.checked_sub(number) else { return After::Missed };
        if behind == 0 {
            return After::Nothing;
        }
        let place = usize::try_from(behind).ok().and_then(|behind| kept.events.len().checked_sub(behind));
        match place.and_then(|place| kept.events.get(place)) {
            Some(event) => After::Event(event.clone()),
            None => After::Missed,
        }
    }

    /// The name of an event, which a page that comes back sends.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    /// The number of an event of this service; `None` for one of another.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(self.epoch.as_str())?.strip_prefix('-')?.parse().ok()?;
        (number <= self.latest()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(after: &After) -> &str {
        match after {
            After::Event(event) => event.data(),
            After::Nothing => "nothing",
            After::Missed => "missed",
        }
    }

    #[test]
    fn what_came_after_an_event_is_told_as_long_as_it_is_kept() {
        let journal = Journal::new();
        assert_eq!(told(&journal.first_after(0)), "nothing");
        for number in 1..=BACKLOG + 2 {
            journal.tell(Event::second(&json!(number)));
        }
        let last = BACKLOG as u64 + 2;
        assert_eq!(told(&journal.first_after(last)), "nothing");
        assert_eq!(told(&journal.first_after(last - 1)), last.to_string());
        assert_eq!(told(&journal.first_after(2)), "3");
        assert_eq!(told(&journal.first_after(1)), "missed", "the second is gone");
        assert_eq!(told(&journal.first_after(last + 1)), "missed", "there is no such event yet");
    }

    #[test]
    fn large_events_are_kept_in_bounds_too() {
        let journal = Journal::new();
        for _ in 0..5 {
            journal.tell(Event::second(&json!("x".repeat(BACKLOG_BYTES / 2))));
        }
        assert_ne!(told(&journal.first_after(4)), "missed");
        assert_eq!(told(&journal.first_after(2)), "missed");
        assert!(journal.kept().bytes <= BACKLOG_BYTES);
    }

    #[test]
    fn names_of_another_service_mean_nothing() {
        let journal = Journal::new();
        journal.tell(Event::second(&json!(1)));
        assert_eq!(journal.number(&journal.id(1)), Some(1));
        for wrong in [&journal.id(2), "", "7", "0-1", &format!("{}1", journal.epoch), &journal.epoch] {
            assert_eq!(journal.number(wrong), None, "{wrong}");
        }
    }
}
