use std::cmp::Reverse;

use crate::{Phase, Sample, Timing};

/// How many of the slowest requests of a step are kept whole.
pub const SLOWEST_KEPT: usize = 5;

/// How many of the first failed requests of a step are kept whole.
pub const FAILED_KEPT: usize = 5;

/// Requests are chosen per minute, in seconds.
pub const KEPT_PERIOD: u64 = 60;

/// A request kept whole, to look at when its figures ask why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// Its offsets, outcome, status, bytes and address.
    pub sample: Sample,
    /// What went wrong in words, secrets taken out.
    pub message: Option<String>,
    /// Which iteration of the run it belongs to.
    pub iteration: u64,
    /// Which virtual user sent it, in the closed model.
    pub user: Option<u64>,
    /// Which row of data it was filled with.
    pub row: Option<DataRow>,
    /// Which worker sent it.
    pub worker: u16,
}

/// A row of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRow {
    /// The feed's name.
    pub feed: String,
    /// Index of the row from 0, in the order of the file.
    pub row: u64,
}

impl KeptRequest {
    /// Its response time in nanoseconds.
    pub fn response_time(&self) -> u64 {
        Timing::ResponseTime.of(&self.sample).unwrap_or(0)
    }

    /// Slowest first, and one order for those of equal time, whatever order workers report in.
    fn slowness(&self) -> impl Ord {
        (Reverse(self.response_time()), self.earliness())
    }

    fn earliness(&self) -> impl Ord {
        (self.sample.done, self.sample.due, self.iteration, self.worker)
    }
}

/// Which requests are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptKey {
    /// Index of the step.
    pub step: u16,
    /// The phase their iterations were due in: a slow warm-up must not crowd out what is measured.
    pub phase: Phase,
}

/// The slowest and the first failed requests among those offered, at most
/// [`SLOWEST_KEPT`] + [`FAILED_KEPT`] of them. Which ones does not depend on the order of offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Slowest first.
    slowest: Vec<KeptRequest>,
    /// First to end first.
    first_failed: Vec<KeptRequest>,
}

impl Kept {
    /// The slowest, slowest first.
    pub fn slowest(&self) -> &[KeptRequest] {
        &self.slowest
    }

    /// Those that failed first, in the order they ended.
    pub fn first_failed(&self) -> &[KeptRequest] {
        &self.first_failed
    }

    /// Each once: the slowest, then those that failed first and are not among them. Offering these anew
    /// gives an equal choice.
    pub fn requests(&self) -> impl Iterator<Item = &KeptRequest> {
        self.slowest.iter().chain(self.first_failed.iter().filter(|failed| !self.slowest.contains(failed)))
    }

    /// Takes a request in if it is one of those to keep.
    pub fn offer(&mut self, request: &KeptRequest) {
        if request.sample.key.outcome.is_failure() {
            let position =
                self.first_failed.partition_point(|other| other.earliness() <= request.earliness());
            insert(&mut self.first_failed, position, request, FAILED_KEPT);
        }
        let position = self.slowest.partition_point(|other| other.slowness() <= request.slowness());
        insert(&mut self.slowest, position, request, SLOWEST_KEPT);
    }

    /// Offers all that another choice kept.
    pub fn merge(&mut self, other: &Self) {
        other.requests().for_each(|request| self.offer(request));
    }
}

fn insert(requests: &mut Vec<KeptRequest>, position: usize, request: &KeptRequest, most: usize) {
    if position < most {
        requests.truncate(most - 1);
        requests.insert(position, request.clone());
    }
}

/// What one worker keeps of a step and phase, and what it need not keep any more.
///
/// A worker that has handed over its slowest of some second of a minute knows that nothing quicker
/// than the last of these can be among the minute's slowest, so later seconds keep few requests.
#[derive(Debug, Default)]
pub(crate) struct KeptRecorder {
    kept: Kept,
    minute: u64,
    /// As many as can be kept in this minute took at least so long.
    slower_than: Option<u64>,
    /// How many failed ones were kept in this minute.
    failed: usize,
}

impl KeptRecorder {
    #[inline]
    pub(crate) fn would_keep(&self, response_time: u64, failed: bool) -> bool {
        self.slower_than.is_none_or(|threshold| response_time > threshold)
            || (failed && self.failed < FAILED_KEPT)
    }

    pub(crate) fn keep(&mut self, request: &KeptRequest) {
        self.failed += usize::from(request.sample.key.outcome.is_failure());
        self.kept.offer(request);
        let threshold = self.kept.slowest.get(SLOWEST_KEPT - 1).map(KeptRequest::response_time);
        self.slower_than = self.slower_than.max(threshold);
    }

    pub(crate) fn kept(&self) -> Option<&Kept> {
        (!self.kept.slowest.is_empty()).then_some(&self.kept)
    }

    /// Begins another second.
    pub(crate) fn reuse(&mut self, second: u64) {
        self.kept = Kept::default();
        let minute = second / KEPT_PERIOD;
        if minute != self.minute {
            *self = Self { minute, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, SeriesKey};
    use proptest::prelude::*;

    fn request(due: u64, took: u64, outcome: Outcome) -> KeptRequest {
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: None, outcome };
        KeptRequest {
            sample: Sample { done: due + took, ..Sample::at(key, due) },
            message: None,
            iteration: due,
            user: None,
            row: None,
            worker: 0,
        }
    }

    fn requests() -> impl Strategy<Value = Vec<KeptRequest>> {
        let one = (0_u64..50, 0_u64..50, 0_usize..3).prop_map(|(due, took, outcome)| {
            request(due, took, [Outcome::Ok, Outcome::Reset, Outcome::Timeout][outcome])
        });
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn the_slowest_and_the_first_failed_are_kept(offered in requests(), split in any::<prop::sample::Index>()) {
            let mut kept = Kept::default();
            offered.iter().for_each(|request| kept.offer(request));
            let mut times: Vec<_> = offered.iter().map(KeptRequest::response_time).collect();
            times.sort_unstable_by_key(|time| Reverse(*time));
            times.truncate(SLOWEST_KEPT);
            prop_assert_eq!(kept.slowest().iter().map(KeptRequest::response_time).collect::<Vec<_>>(), times);
            let failed = offered.iter().filter(|request| request.sample.key.outcome.is_failure());
            let mut ends: Vec<_> = failed.map(|request| request.sample.done).collect();
            ends.sort_unstable();
            ends.truncate(FAILED_KEPT);
            prop_assert_eq!(kept.first_failed().iter().map(|request| request.sample.done).collect::<Vec<_>>(), ends);

            let (left, right) = offered.split_at(split.index(offered.len() + 1));
            let [mut one, mut other] = [Kept::default(), Kept::default()];
            left.iter().for_each(|request| one.offer(request));
            right.iter().for_each(|request| other.offer(request));
            other.merge(&one);
            prop_assert_eq!(
                other.slowest().iter().map(KeptRequest::response_time).collect::<Vec<_>>(),
                kept.slowest().iter().map(KeptRequest::response_time).collect::<Vec<_>>()
            );
        }

        /// Whatever a worker does not keep would not have been chosen.
        #[test]
        fn a_worker_skips_only_what_would_not_be_chosen(seconds in prop::collection::vec(requests(), 1..6)) {
            let (mut all, mut chosen) = (Kept::default(), Kept::default());
            let mut recorder = KeptRecorder::default();
            for (second, offered) in seconds.iter().enumerate() {
                recorder.reuse(second as u64);
                for request in offered {
                    // Requests are recorded as they end.
                    let mut request = request.clone();
                    request.sample.done += second as u64 * 1000;
                    request.sample.due += second as u64 * 1000;
                    all.offer(&request);
                    if recorder.would_keep(request.response_time(), request.sample.key.outcome.is_failure()) {
                        recorder.keep(&request);
                    }
                }
                if let Some(kept) = recorder.kept() {
                    chosen.merge(kept);
                }
            }
            let times = |kept: &Kept| kept.slowest().iter().map(KeptRequest::response_time).collect::<Vec<_>>();
            prop_assert_eq!(times(&chosen), times(&all));
            prop_assert_eq!(chosen.first_failed().len(), all.first_failed().len());
        }
    }

    #[test]
    fn a_new_minute_begins_anew() {
        let mut recorder = KeptRecorder::default();
        (0..9).for_each(|number| recorder.keep(&request(number, 100, Outcome::Reset)));
        recorder.reuse(KEPT_PERIOD - 1);
        assert!(!recorder.would_keep(100, true), "as slow, and enough have failed");
        assert!(recorder.would_keep(101, false));
        recorder.reuse(KEPT_PERIOD);
        assert!(recorder.would_keep(1, false) && recorder.would_keep(1, true));
    }
}
