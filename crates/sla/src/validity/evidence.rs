//! What seconds say about the generator that their sum does not.
//!
//! A record that has let go of its seconds keeps this of them, so that the verdict about the generator is the one
//! that the seconds gave.

use std::collections::BTreeMap;

use super::{Cause, ValidityTracker};

/// What seconds in a row say about the generator each by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The last measured second.
    pub last: Option<u64>,
    /// Sum over measured seconds of the share of its processors that the generator used.
    pub cpu_sum: f64,
    /// Of how many seconds.
    pub cpu_seconds: u64,
    /// The seconds with more lag than is tolerated.
    pub late: Late,
    /// The seconds with arrivals that the generator could not offer.
    pub dropping: Option<SecondSpan>,
    /// What it had run out of when it first could not.
    pub exhausted: Option<String>,
    /// What hindered it in rows of seconds.
    pub lasting: BTreeMap<Cause, Lasting>,
    /// Segments sent again.
    pub retransmits: u64,
    /// The most of them in a second, and in which.
    pub most_retransmits: Option<(u64, u64)>,
}

/// Seconds in which something was so, in constant memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondSpan {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// How many.
    pub seconds: u64,
}

/// The rows of seconds in which something lasted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lasting {
    /// The first row.
    pub first: Row,
    /// The longest; among equals the first.
    pub longest: Row,
    /// The last row.
    pub present: Row,
}

/// Seconds in a row, and the least of it that there was in any of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Which seconds.
    pub span: SecondSpan,
    /// The least.
    pub least: f64,
}

/// The seconds in which lag was beyond what is tolerated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Late {
    /// Which.
    pub span: Option<SecondSpan>,
    /// The worst of their lags in nanoseconds, and whether it is a p99.
    pub worst: (u64, bool),
    /// What hindered the generator, in how many of them, and the most of it.
    pub causes: BTreeMap<Cause, (u64, f64)>,
}

impl SecondSpan {
    pub(super) fn at(second: u64) -> Self {
        Self { first: second, last: second, seconds: 1 }
    }

    pub(super) fn extend(span: &mut Option<Self>, second: u64) {
        Self::absorb(span, Some(Self::at(second)));
    }

    fn absorb(span: &mut Option<Self>, later: Option<Self>) {
        *span = match (*span, later) {
            (Some(span), Some(later)) => {
                Some(Self { last: later.last, seconds: span.seconds + later.seconds, ..span })
            }
            (span, later) => later.or(span),
        };
    }
}

impl Row {
    /// Both as one, where the second follows the first at once.
    fn joined(self, later: Self) -> Option<Self> {
        let follows = self.span.last.checked_add(1) == Some(later.span.first);
        let seconds = self.span.seconds + later.span.seconds;
        let span = SecondSpan { last: later.span.last, seconds, ..self.span };
        follows.then_some(Self { span, least: self.least.min(later.least) })
    }
}

impl Lasting {
    /// One second.
    pub(super) fn at(second: u64, figure: f64) -> Self {
        let row = Row { span: SecondSpan::at(second), least: figure };
        Self { first: row, longest: row, present: row }
    }

    /// Goes on with what came later.
    pub(super) fn absorb(&mut self, later: &Self) {
        let joined = self.present.joined(later.first);
        let (is_one, goes_on) = (self.is_one_row(), later.is_one_row());
        for row in joined.into_iter().chain([later.longest]) {
            if row.span.seconds > self.longest.span.seconds {
                self.longest = row;
            }
        }
        if let Some(joined) = joined.filter(|_| is_one) {
            self.first = joined;
        }
        self.present = joined.filter(|_| goes_on).unwrap_or(later.present);
    }

    fn is_one_row(&self) -> bool {
        self.first.span.first == self.present.span.first
    }
}

impl ValidityTracker {
    /// What the seconds so far said beside what can be counted.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            last: self.last,
            cpu_sum: self.cpu_sum,
            cpu_seconds: self.cpu_seconds,
            late: self.late.clone(),
            dropping: self.dropping,
            exhausted: self.exhausted.clone(),
            lasting: self.lasting.clone(),
            retransmits: self.retransmits,
            most_retransmits: self.most_retransmits,
        }
    }

    pub(super) fn absorb(&mut self, later: &Evidence) {
        self.last = later.last.or(self.last);
        self.cpu_sum += later.cpu_sum;
        self.cpu_seconds += later.cpu_seconds;
        SecondSpan::absorb(&mut self.late.span, later.late.span);
        self.late.worst = self.late.worst.max(later.late.worst);
        for (cause, (count, figure)) in &later.late.causes {
            let (known, most) = self.late.causes.entry(*cause).or_insert((0, 0.0));
            (*known, *most) = (*known + count, most.max(*figure));
        }
        SecondSpan::absorb(&mut self.dropping, later.dropping);
        if self.exhausted.is_none() {
            self.exhausted.clone_from(&later.exhausted);
        }
        for (cause, rows) in &later.lasting {
            self.lasting.entry(*cause).and_modify(|known| known.absorb(rows)).or_insert(*rows);
        }
        self.retransmits += later.retransmits;
        if later
            .most_retransmits
            .is_some_and(|(count, _)| self.most_retransmits.is_none_or(|(most, _)| count > most))
        {
            self.most_retransmits = later.most_retransmits;
        }
    }
}
