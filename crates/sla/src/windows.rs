//! A sliding window of whole seconds, moved by one and judged whenever it is full.

use std::collections::VecDeque;
use std::ops::Range;

use plimsoll_measure::Edges;

use crate::judge::{Reading, counted, explain, judge};
use crate::tally::{Second, Sum, Waiting};
use crate::{Expression, Verdict};

/// The latest seconds of one objective, and what its full windows came to.
///
/// Memory is one entry per second of the window; the cost of a second does not depend on its length.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    expression: Expression,
    bound: f64,
    /// Seconds in a window, at least one.
    length: u64,
    /// The seconds that windows may cover; its start moves with the seconds taken in.
    ahead: Range<u64>,
    seconds: VecDeque<Second>,
    sum: Sum,
    pub(crate) judged: u64,
    pub(crate) missed: u64,
    undecided: u64,
    /// Windows missed one after the other up to now.
    pub(crate) missed_in_a_row: u32,
    pub(crate) latest: Option<Reading>,
    /// The figure farthest on the wrong side.
    pub(crate) worst: Option<f64>,
    first_missed: Option<String>,
    first_undecided: Option<String>,
    /// Seconds in which windows begin that nobody can judge any more.
    unseen: u64,
}

/// What came of the windows that begin in some seconds.
///
/// Windows belong to the second they begin in, so that seconds can be let go of one stretch after the other: what
/// came of those that begin in a stretch is known from it and from the seconds right behind it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WindowTally {
    /// Full windows judged.
    pub judged: u64,
    /// Those that missed.
    pub missed: u64,
    /// Those that nobody could decide.
    pub undecided: u64,
    /// The figure farthest on the wrong side, in base units.
    pub worst: Option<f64>,
    /// Which one missed first, and why.
    pub first_missed: Option<String>,
    /// Which one could not be decided first, and why.
    pub first_undecided: Option<String>,
}

impl WindowTally {
    /// Takes in what came of later windows; `wants_less`: small figures are good ones.
    pub fn absorb(&mut self, later: &Self, wants_less: bool) {
        self.judged += later.judged;
        self.missed += later.missed;
        self.undecided += later.undecided;
        self.worst = worse(self.worst, later.worst, wants_less);
        self.first_missed = self.first_missed.take().or_else(|| later.first_missed.clone());
        self.first_undecided = self.first_undecided.take().or_else(|| later.first_undecided.clone());
    }
}

fn worse(one: Option<f64>, other: Option<f64>, wants_less: bool) -> Option<f64> {
    let worse = if wants_less { f64::max } else { f64::min };
    one.into_iter().chain(other).reduce(worse)
}

/// The window that ended with second `last`.
#[derive(Debug, Clone, Copy)]
struct Event {
    last: u64,
    reading: Reading,
}

impl Windows {
    pub(crate) fn new(expression: Expression, bound: f64, length: u32, ahead: Range<u64>) -> Self {
        Self {
            expression,
            bound,
            length: u64::from(length.max(1)),
            ahead,
            seconds: VecDeque::new(),
            sum: Sum::new(expression.threshold()),
            judged: 0,
            missed: 0,
            undecided: 0,
            missed_in_a_row: 0,
            latest: None,
            worst: None,
            first_missed: None,
            first_undecided: None,
            unseen: 0,
        }
    }

    /// Only windows that begin in these seconds.
    pub(crate) fn begin_in(&mut self, seconds: Range<u64>) {
        self.ahead.start = self.ahead.start.max(seconds.start);
        self.ahead.end = self.ahead.end.min(seconds.end.saturating_add(self.length - 1));
    }

    /// What came of them.
    pub(crate) fn tally(&self) -> WindowTally {
        WindowTally {
            judged: self.judged,
            missed: self.missed,
            undecided: self.undecided,
            worst: self.worst,
            first_missed: self.first_missed.clone(),
            first_undecided: self.first_undecided.clone(),
        }
    }

    /// Takes in seconds up to `until` that are told as one, and what came of the windows that begin in them, where
    /// that is known.
    pub(crate) fn stretch(&mut self, seconds: Range<u64>, tally: Option<&WindowTally>) {
        let until = seconds.end.min(self.ahead.end);
        if until <= self.ahead.start {
            return;
        }
        // Windows that began before reach into seconds that nobody sees.
        let begun = (self.seconds.len() as u64).min(self.length - 1);
        let missing = seconds.start.saturating_sub(self.ahead.start);
        match tally {
            Some(tally) => {
                let wants_less = self.expression.comparison.wants_less();
                let mut all = self.tally();
                all.absorb(tally, wants_less);
                (self.judged, self.missed, self.undecided) = (all.judged, all.missed, all.undecided);
                (self.worst, self.first_missed) = (all.worst, all.first_missed);
                self.first_undecided = all.first_undecided;
                self.unseen += begun + missing;
            }
            None => self.unseen += begun + (until - self.ahead.start),
        }
        self.latest = None;
        self.missed_in_a_row = 0;
        self.seconds.clear();
        self.sum = Sum::new(self.expression.threshold());
        self.ahead.start = until;
    }

    pub(crate) fn bound(&self) -> f64 {
        self.bound
    }

    /// No window may reach beyond.
    pub(crate) fn end_at(&mut self, end: u64) {
        self.ahead.end = self.ahead.end.min(end);
    }

    /// Takes in a second and, as empty ones, those that were left out before it.
    pub(crate) fn fold(&mut self, second: u64, content: Second, waiting: &Waiting, edges: &Edges) {
        if second < self.ahead.start {
            return;
        }
        let gap = second.min(self.ahead.end).saturating_sub(self.ahead.start);
        for _ in 0..gap.min(self.length) {
            self.push(Second::empty(edges), &Waiting::nobody(edges));
        }
        // From here on every window of the gap is empty, and there may be very many of them.
        let empty = gap.saturating_sub(self.length);
        self.judged += empty;
        self.undecided += empty;
        self.ahead.start += empty;
        if self.ahead.contains(&second) {
            self.push(content, waiting);
        }
    }

    fn push(&mut self, content: Second, waiting: &Waiting) {
        self.sum.add(&content);
        self.seconds.push_back(content);
        if self.seconds.len() as u64 > self.length
            && let Some(left) = self.seconds.pop_front()
        {
            self.sum.take_away(&left, self.seconds.iter());
        }
        let last = self.ahead.start;
        self.ahead.start += 1;
        if self.seconds.len() as u64 == self.length {
            let reading = judge(&self.expression, self.bound, &self.sum, waiting, self.length as f64);
            self.count(Event { last, reading });
        }
    }

    fn count(&mut self, event: Event) {
        let reading = event.reading;
        self.judged += 1;
        self.latest = Some(reading);
        self.missed_in_a_row =
            if reading.verdict == Verdict::Missed { self.missed_in_a_row.saturating_add(1) } else { 0 };
        match reading.verdict {
            Verdict::Met => {}
            Verdict::Missed => {
                self.missed += 1;
                if self.first_missed.is_none() {
                    self.first_missed = Some(self.first(event));
                }
            }
            Verdict::Inconclusive => {
                self.undecided += 1;
                if self.first_undecided.is_none() {
                    self.first_undecided = Some(self.first(event));
                }
            }
        }
        self.worst = worse(self.worst, reading.observed, self.expression.comparison.wants_less());
    }

    /// Missed if any full window missed, met if all were met and there was one.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.judged, self.missed, self.undecided + self.unseen) {
            (0, _, _) => Verdict::Inconclusive,
            (_, 0, 0) => Verdict::Met,
            (_, 0, _) => Verdict::Inconclusive,
            (..) => Verdict::Missed,
        }
    }

    /// What the verdict stands on, for people.
    pub(crate) fn why(&self) -> String {
        let Self { length, judged, missed, undecided, .. } = self;
        let all = counted(*judged, "window", "windows");
        if let Some(first) = &self.first_missed {
            return format!("{missed} of {all} of {length}s missed; {first}");
        }
        if self.unseen > 0 {
            let begin = counted(self.unseen, "second", "seconds");
            return format!(
                "windows of {length}s that begin in {begin} cannot be judged: only sums are kept of them"
            );
        }
        if let Some(first) = &self.first_undecided {
            return format!("{undecided} of {all} of {length}s cannot be decided; {first}");
        }
        if *judged == 0 {
            let seen = self.seconds.len();
            return format!("no window was full: of {length}s the run measured {seen} whole seconds");
        }
        let worst = self.worst.map(|worst| self.expression.measure.human(worst));
        let worst = worst.map(|worst| format!("; the worst was {worst}")).unwrap_or_default();
        format!("all {all} of {length}s met it{worst}")
    }

    fn first(&self, event: Event) -> String {
        let (first, end) = (event.last + 1 - self.length, event.last + 1);
        let grounds = explain(&self.expression, &event.reading, Some(self.bound));
        format!("the first, from second {first} to {end}: {grounds}")
    }
}
