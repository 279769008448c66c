//! How long a target takes to be itself again after a spike.
//!
//! A second is calm when its figures lie in the band they had before the spike. The target has recovered
//! when [`CALM_SECONDS`] calm ones follow each other; the recovery time runs from the end of the spike to
//! the first of them. Nothing is guessed: without figures before the spike there is no band, and a target
//! that was not watched long enough has recovered neither in time nor too late.

use std::collections::VecDeque;

use plimsoll_measure::{Edges, Frame, Histogram, Outcome, Timing};
use plimsoll_units::Quantile;

use crate::{Comparison, Verdict};

/// So many calm seconds in a row are a recovery: one good second between bad ones is none.
pub const CALM_SECONDS: u64 = 10;

/// The band is made of at most so many seconds before the spike: what the target was like right then.
const SECONDS_BEFORE: usize = 10;

/// The fewest seconds that make a band: of one or two nobody knows how much they vary.
const FEWEST_BEFORE: usize = 3;

/// How far above the highest p95 before the spike a calm second's may lie. The highest of ten seconds is
/// exceeded by chance in one of eleven, so that ten in a row hardly ever were below it; a quarter more is
/// a change that people notice.
const ROOM: f64 = 1.25;

/// The same in nanoseconds for targets so quick that a quarter is nothing: what a scheduler adds.
const LEAST_ROOM: f64 = 1e6;

/// How far above the highest error ratio before the spike a calm second's may lie: one failure in a hundred
/// requests is no longer the spike's.
const ERROR_ROOM: f64 = 0.01;

/// What is known of the recovery from a spike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recovery {
    /// It took so many seconds.
    After(f64),
    /// It takes at least so many seconds: so long it was watched, or so long until a calm that is too short yet.
    AtLeast(f64),
    /// Nobody knows: it was not watched, or there is nothing to compare with.
    Unknown,
}

impl Recovery {
    /// The recovery time, where it is known.
    pub fn seconds(self) -> Option<f64> {
        match self {
            Self::After(seconds) => Some(seconds),
            Self::AtLeast(_) | Self::Unknown => None,
        }
    }
}

/// Follows the seconds of a run with spikes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecoveryTracker {
    spikes: Vec<Spike>,
    /// The first second that is measured.
    first: u64,
    /// Seconds from this one on are behind the stages.
    end: Option<u64>,
    before: VecDeque<Reading>,
    last: Option<u64>,
}

#[derive(Debug, Clone)]
struct Spike {
    stage: u16,
    start: f64,
    end: f64,
    /// When it is no longer watched: where the next spike begins.
    until: f64,
    /// From the first second on that is not wholly before it.
    band: Option<Option<Band>>,
    calm_since: Option<u64>,
    /// The end of the last second that was watched.
    watched: Option<u64>,
    recovered: Option<f64>,
    /// Whether seconds that would have to be looked at are known in sum only.
    unseen: bool,
}

/// The figures of a second: those that are there.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    /// In nanoseconds.
    p95: u64,
    error_ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Band {
    p95: f64,
    error_ratio: f64,
}

impl Band {
    fn of(before: &VecDeque<Reading>) -> Option<Self> {
        let p95 = before.iter().map(|reading| reading.p95).max()? as f64;
        let error_ratio = before.iter().map(|reading| reading.error_ratio).fold(0.0, f64::max);
        let band = Self { p95: (p95 * ROOM).max(p95 + LEAST_ROOM), error_ratio: error_ratio + ERROR_ROOM };
        (before.len() >= FEWEST_BEFORE).then_some(band)
    }

    fn holds(&self, reading: &Reading) -> bool {
        reading.p95 as f64 <= self.p95 && reading.error_ratio <= self.error_ratio
    }
}

impl Reading {
    /// `None`: nothing ended, or nothing that has a response time.
    fn of(frame: &Frame) -> Option<Self> {
        let measured = || frame.series.iter().filter(|(key, _)| key.phase.is_measured());
        let count = |which: fn(Outcome) -> bool| -> u64 {
            measured().filter(|(key, _)| which(key.outcome)).map(|(_, series)| series.requests).sum()
        };
        let (succeeded, failed) = (count(Outcome::is_success), count(Outcome::is_failure));
        let mut times = measured()
            .filter(|(key, _)| key.outcome.counts_for_latency())
            .filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime));
        let first = times.next()?;
        let mut all = Histogram::new(Edges::exactly([]));
        std::iter::once(first).chain(times).for_each(|distribution| all.add(distribution));
        // Of fewer than twenty values the largest stands for p95: it is what people had to wait.
        let p95 =
            Quantile::from_ppm(950_000).and_then(|quantile| all.quantile(quantile)).or_else(|| all.max())?;
        Some(Self { p95, error_ratio: failed as f64 / (succeeded + failed).max(1) as f64 })
    }
}

impl RecoveryTracker {
    /// Of spikes with their index among the stages, their start and their end in seconds from the start of the run.
    pub(crate) fn new(spikes: &[(u16, f64, f64)], first: u64, end: Option<u64>) -> Self {
        let starts = spikes.iter().map(|(_, start, _)| *start);
        let spike = |&(stage, start, end): &(u16, f64, f64)| Spike {
            stage,
            start,
            end,
            until: starts.clone().filter(|next| *next >= end).fold(f64::INFINITY, f64::min),
            band: None,
            calm_since: None,
            watched: None,
            recovered: None,
            unseen: false,
        };
        Self { spikes: spikes.iter().map(spike).collect(), first, end, ..Self::default() }
    }

    pub(crate) fn is_needed(&self) -> bool {
        !self.spikes.is_empty()
    }

    pub(crate) fn end_stages(&mut self, end: u64) {
        self.end = Some(self.end.map_or(end, |planned| planned.min(end)));
    }

    /// Folds the next second.
    pub(crate) fn second(&mut self, frame: &Frame) {
        if self.is_needed() {
            self.reading(frame.second, Reading::of(frame));
        }
    }

    /// Folds seconds of which only the sum is known.
    pub(crate) fn stretch(&mut self, seconds: std::ops::Range<u64>) {
        let (from, to) = (seconds.start as f64, seconds.end as f64);
        for spike in self.spikes.iter_mut().filter(|spike| spike.recovered.is_none()) {
            spike.unseen |= to > spike.start - SECONDS_BEFORE as f64 && from < spike.until;
        }
        self.before.clear();
        self.last = seconds.end.checked_sub(1);
    }

    fn reading(&mut self, second: u64, reading: Option<Reading>) {
        if second < self.first || self.end.is_some_and(|end| second >= end) {
            return;
        }
        let (from, to) = (second as f64, (second + 1) as f64);
        // Seconds that nobody told of are not calm.
        let is_next = self.last.is_none_or(|last| second == last + 1);
        self.last = Some(second);
        for spike in &mut self.spikes {
            if to > spike.start && spike.band.is_none() {
                spike.band = Some(Band::of(&self.before));
            }
            if from < spike.end || to > spike.until || spike.recovered.is_some() {
                continue;
            }
            spike.watched = Some(second + 1);
            let is_calm =
                spike.band.flatten().zip(reading).is_some_and(|(band, reading)| band.holds(&reading));
            spike.calm_since = match spike.calm_since.filter(|_| is_next) {
                _ if !is_calm => None,
                None => Some(second),
                since => since,
            };
            spike.recovered = spike
                .calm_since
                .filter(|since| second + 1 - since >= CALM_SECONDS)
                .map(|since| since as f64 - spike.end);
        }
        let overlaps = |spike: &Spike| from < spike.end && to > spike.start;
        if !is_next || self.spikes.iter().any(overlaps) {
            self.before.clear();
        }
        if self.spikes.iter().any(overlaps) {
            return;
        }
        match reading {
            None => self.before.clear(),
            Some(reading) => {
                if self.before.len() == SECONDS_BEFORE {
                    self.before.pop_front();
                }
                self.before.push_back(reading);
            }
        }
    }

    /// What is known of the recovery after a stage; `None` where it is no spike.
    pub(crate) fn after(&self, stage: u16) -> Option<Recovery> {
        self.spikes.iter().find(|spike| spike.stage == stage).map(Spike::recovery)
    }

    /// Whether every recovery keeps to a bound in seconds, the longest where all are known, and why.
    pub(crate) fn judge(&self, comparison: Comparison, bound: f64) -> (Verdict, Option<f64>, String) {
        let limit = plimsoll_units::duration::human(bound);
        let mut longest: Option<f64> = Some(0.0);
        let mut missed = None;
        for spike in &self.spikes {
            let recovery = spike.recovery();
            longest = longest.zip(recovery.seconds()).map(|(longest, this)| longest.max(this));
            let beyond = match recovery {
                Recovery::After(seconds) => !comparison.holds(seconds, bound),
                // It takes that long or longer.
                Recovery::AtLeast(seconds) => !comparison.holds(seconds, bound),
                Recovery::Unknown => false,
            };
            if beyond && missed.is_none() {
                missed = Some((spike.stage, recovery));
            }
        }
        let human = plimsoll_units::duration::human;
        match (missed, longest) {
            (Some((stage, Recovery::After(seconds))), longest) => {
                let why =
                    format!("after stage {stage} it took {} where {limit} was promised", human(seconds));
                (Verdict::Missed, longest, why)
            }
            (Some((stage, Recovery::AtLeast(seconds))), longest) => {
                let why = format!(
                    "after stage {stage} the target had not recovered {} later, and {limit} was promised",
                    human(seconds)
                );
                (Verdict::Missed, longest, why)
            }
            (_, Some(longest)) if !self.spikes.is_empty() => {
                let why = format!("the longest recovery took {} where {limit} was promised", human(longest));
                (Verdict::Met, Some(longest), why)
            }
            _ => {
                let why = "not every recovery was watched to its end, or there was nothing to compare with";
                (Verdict::Inconclusive, None, why.to_owned())
            }
        }
    }
}

impl Spike {
    fn recovery(&self) -> Recovery {
        match (self.recovered, self.band.flatten(), self.watched) {
            _ if self.unseen => Recovery::Unknown,
            (Some(seconds), _, _) => Recovery::After(seconds),
            (None, Some(_), Some(watched)) => {
                Recovery::AtLeast((self.calm_since.unwrap_or(watched) as f64 - self.end).max(0.0))
            }
            (None, _, _) => Recovery::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds as letters: `.` calm (p95 of 10 ms), `-` a little above, `x` slow, `!` failing, ` ` without data.
    fn reading(letter: char) -> Option<Reading> {
        let (millis, error_ratio) = match letter {
            '.' => (10, 0.0),
            '-' => (12, 0.005),
            'x' => (40, 0.0),
            '!' => (10, 0.5),
            _ => return None,
        };
        Some(Reading { p95: millis * 1_000_000, error_ratio })
    }

    fn followed(spikes: &[(u16, f64, f64)], first: u64, end: Option<u64>, course: &str) -> RecoveryTracker {
        let mut tracker = RecoveryTracker::new(spikes, first, end);
        (0..).zip(course.chars()).for_each(|(second, letter)| tracker.reading(second, reading(letter)));
        tracker
    }

    /// A spike from 5 s to 7 s.
    fn check(course: &str, expected: Recovery) {
        let tracker = followed(&[(1, 5.0, 7.0)], 0, None, course);
        assert_eq!(tracker.after(1), Some(expected), "{course}");
        assert_eq!(tracker.after(0), None);
    }

    #[test]
    fn a_recovery_is_ten_calm_seconds_and_is_timed_from_the_end_of_the_spike() {
        use Recovery::{After, AtLeast, Unknown};
        check(".....xx..........", After(0.0));
        check(".....xxxxx..........", After(3.0));
        check(".....xxx-.-.-.-.-.-", After(1.0));
        // One bad second in between begins it anew; one without data too.
        check(".....xx.....x..........", After(6.0));
        check(".....xx..... ..........", After(6.0));
        check(".....xx!..........", After(1.0));
        check(".....xx.........", AtLeast(0.0));
        check(".....xxxxx.........", AtLeast(3.0));
        check(".....xxxxxxxx", AtLeast(6.0));
        check(".....xx", Unknown);
        check("...", Unknown);
        // Two seconds are no band, and neither are seconds without data.
        check("   ..xx..........", Unknown);
        check("..   xx..........", Unknown);
        check("  ...xx..........", After(0.0));
    }

    #[test]
    fn a_spike_that_ends_within_a_second_is_watched_from_the_next_whole_one() {
        let tracker = followed(&[(3, 4.5, 6.25)], 0, None, "....xxxx..........");
        assert_eq!(tracker.after(3), Some(Recovery::After(1.75)));
    }

    #[test]
    fn warm_up_makes_no_band_and_grace_no_recovery() {
        assert_eq!(
            followed(&[(0, 5.0, 7.0)], 3, None, ".....xx..........").after(0),
            Some(Recovery::Unknown)
        );
        let early = followed(&[(0, 5.0, 7.0)], 0, Some(12), ".....xx..........");
        assert_eq!(early.after(0), Some(Recovery::AtLeast(0.0)));
        let mut stopped = followed(&[(0, 5.0, 7.0)], 0, Some(60), ".....xxxx");
        stopped.end_stages(9);
        (9..30).for_each(|second| stopped.reading(second, reading('.')));
        assert_eq!(stopped.after(0), Some(Recovery::AtLeast(2.0)));
    }

    #[test]
    fn the_next_spike_ends_the_watch_and_has_a_band_of_its_own() {
        let spikes = [(1, 5.0, 6.0), (3, 16.0, 17.0)];
        let course = ".....xx.........x..........";
        let tracker = followed(&spikes, 0, None, course);
        assert_eq!(tracker.after(1), Some(Recovery::AtLeast(1.0)), "nine calm seconds, then the next spike");
        assert_eq!(tracker.after(3), Some(Recovery::After(0.0)));
    }

    fn judged(course: &str, comparison: Comparison, bound: f64) -> Verdict {
        followed(&[(1, 5.0, 7.0)], 0, None, course).judge(comparison, bound).0
    }

    #[test]
    fn a_recovery_is_judged_as_far_as_it_is_known() {
        use Verdict::{Inconclusive, Met, Missed};
        for (course, bound, expected) in [
            (".....xxxxx..........", 3.0, Met),
            (".....xxxxx..........", 2.9, Missed),
            // Whatever comes, it takes more than 5 s.
            (".....xxxxxxxx", 5.0, Missed),
            (".....xxxxxxxx", 6.0, Inconclusive),
            // Calm since 3 s, for too short a time: it may be 3 s or more.
            (".....xxxxx....", 2.0, Missed),
            (".....xxxxx....", 3.0, Inconclusive),
            (".....xx", 1.0, Inconclusive),
            ("", 1.0, Inconclusive),
        ] {
            assert_eq!(judged(course, Comparison::Le, bound), expected, "{course} {bound}");
        }
        assert_eq!(judged(".....xxxxx..........", Comparison::Lt, 3.0), Missed);
    }

    proptest! {
        /// What was said stays true whatever comes: a recovery never changes, a lower bound never falls.
        #[test]
        fn more_seconds_never_take_anything_back(course in "[.x! -]{0,60}", start in 3.0..20.0_f64, length in 0.5..5.0_f64) {
            let mut tracker = RecoveryTracker::new(&[(0, start, start + length)], 0, None);
            let mut known = Recovery::Unknown;
            for (second, letter) in (0..).zip(course.chars()) {
                tracker.reading(second, reading(letter));
                let now = tracker.after(0).unwrap();
                match (known, now) {
                    (Recovery::After(before), now) => prop_assert_eq!(Recovery::After(before), now),
                    (Recovery::AtLeast(least), Recovery::After(took)) => prop_assert!(took >= least),
                    (Recovery::AtLeast(least), Recovery::AtLeast(more)) => prop_assert!(more >= least),
                    (Recovery::AtLeast(_), Recovery::Unknown) => prop_assert!(false, "forgotten"),
                    (Recovery::Unknown, _) => {}
                }
                known = now;
            }
        }
    }
}
