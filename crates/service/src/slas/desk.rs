//! The order of seconds: what comes for a promise is told to its keeper second by second, each once.
//!
//! A second is told when it is there and all before it are, or when it is time to go on without. What comes for a second
//! that was told is late.

use std::collections::BTreeMap;

use plimsoll_sla::{Condition, Counts, Entry, Keeper, Moment, Refused};

/// A gap of more seconds than this is told as one, not second by second.
const LONG_GAP: u64 = 60;

/// What a second saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Events.
    Moment(Moment),
    /// A share of unknown events, in parts of a billion.
    Share(u64),
}

/// A keeper and what it was not told yet.
#[derive(Debug)]
pub(super) struct Desk {
    keeper: Keeper,
    /// The next second to be told; `None` before the first.
    next: Option<u64>,
    waiting: BTreeMap<u64, Seen>,
}

/// What telling came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// For the journal.
    Entry(Entry),
    /// A breach was found.
    Found { began: u64, found: u64, why: String },
    /// It is over.
    Over { ended: u64 },
    /// What cannot be.
    Refused(Refused),
}

impl Desk {
    pub(super) fn new(keeper: Keeper) -> Self {
        let next = (keeper.now() > 0).then(|| keeper.now());
        Self { keeper, next, waiting: BTreeMap::new() }
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Takes what a second saw. Of two that saw the same second both count.
    pub(super) fn hand_in(&mut self, second: u64, seen: Seen, told: &mut Vec<Told>) {
        if self.next.is_some_and(|next| second < next) {
            // A share without its second is of no use.
            if let Seen::Moment(moment) = seen
                && moment.counts != Counts::ZERO
            {
                self.tell(Entry::Late { second, counts: moment.counts }, told);
            }
            return;
        }
        let both = match (self.waiting.get(&second), seen) {
            (Some(Seen::Moment(one)), Seen::Moment(other)) => Seen::Moment(both(*one, other)),
            (_, seen) => seen,
        };
        self.waiting.insert(second, both);
    }

    /// Tells what can be told: seconds before `upto` whether they were seen or not.
    pub(super) fn advance(&mut self, upto: u64, told: &mut Vec<Told>) {
        while let Some(next) = self.next.or_else(|| self.waiting.keys().next().copied()) {
            if let Some(seen) = self.waiting.remove(&next) {
                let entry = match seen {
                    Seen::Moment(moment) => Entry::Second { second: next, moment: Some(moment) },
                    Seen::Share(good) => Entry::Share { second: next, good },
                };
                self.next = Some(next + 1);
                self.tell(entry, told);
                continue;
            }
            let until = self.waiting.keys().next().map_or(upto, |first| upto.min(*first));
            if next >= until {
                return;
            }
            if until - next > LONG_GAP {
                self.next = Some(until);
                self.tell(Entry::Resumed { now: until }, told);
            } else {
                self.next = Some(next + 1);
                self.tell(Entry::Second { second: next, moment: None }, told);
            }
        }
    }

    /// Goes on behind what the keeper was told from a journal.
    pub(super) fn settle(&mut self) {
        self.next = (self.keeper.now() > 0).then(|| self.keeper.now());
    }

    /// The clock went back to `now`: seconds come again.
    pub(super) fn turn_back(&mut self, now: u64) {
        self.next = self.next.map(|next| next.min(now));
        drop(self.waiting.split_off(&now));
    }

    /// Tells the keeper one thing.
    pub(super) fn tell(&mut self, entry: Entry, told: &mut Vec<Told>) {
        let before = self.keeper.state().condition;
        if let Err(refused) = self.keeper.tell(entry) {
            told.push(Told::Refused(refused));
            return;
        }
        told.push(Told::Entry(entry));
        let state = self.keeper.state();
        match (before, state.condition) {
            (Condition::Breaching, Condition::Breaching) => {}
            (_, Condition::Breaching) => {
                let began = state.since.saturating_sub(state.delay.unwrap_or(0));
                told.push(Told::Found { began, found: state.since, why: state.why() });
            }
            (Condition::Breaching, _) => told.push(Told::Over { ended: self.keeper.now() }),
            _ => {}
        }
    }
}

fn both(one: Moment, other: Moment) -> Moment {
    let good = one.counts.good() + other.counts.good();
    let counts = Counts::new(good, good + one.counts.bad() + other.counts.bad());
    Moment { counts: counts.unwrap_or(one.counts), overdue: one.overdue + other.overdue }
}
