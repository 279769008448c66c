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
    first_missed: Option<Event>,
    first_undecided: Option<Event>,
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
        }
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
                self.first_missed.get_or_insert(event);
            }
            Verdict::Inconclusive => {
                self.undecided += 1;
                self.first_undecided.get_or_insert(event);
            }
        }
        let worse = if self.expression.comparison.wants_less() { f64::max } else { f64::min };
        self.worst = match (self.worst, reading.observed) {
            (Some(worst), Some(observed)) => Some(worse(worst, observed)),
            (worst, observed) => worst.or(observed),
        };
    }

    /// Missed if any full window missed, met if all were met and there was one.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.judged, self.missed, self.undecided) {
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
        if let Some(event) = self.first_missed {
            return format!("{missed} of {all} of {length}s missed; {}", self.first(event));
        }
        if let Some(event) = self.first_undecided {
            return format!("{undecided} of {all} of {length}s cannot be decided; {}", self.first(event));
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
