use std::cmp::Reverse;
use std::sync::Arc;

use crate::{Exchange, Phase, Sample, Timing};

/// How many of the slowest requests of a step are kept whole.
pub const SLOWEST_KEPT: usize = 20;

/// How many of the first failed requests of a step are kept whole.
pub const FAILED_KEPT: usize = 5;

/// How many of the failed requests of a step are kept whole, each with the same chance.
pub const FAILED_SAMPLE: usize = 20;

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
    /// What went over the wire, where that is known.
    pub exchange: Option<Arc<Exchange>>,
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

    /// The lowest lots are drawn.
    fn lot(&self) -> impl Ord {
        (lot(&self.sample), self.earliness())
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

/// A number that says nothing about a request and is its own: those with the lowest are a fair sample,
/// whoever puts parts of it together and in whatever order (bottom-k sampling). It is the finalizer of
/// SplitMix64 over when the request was due and done.
fn lot(sample: &Sample) -> u64 {
    let mut lot = sample.due.rotate_left(32) ^ sample.done ^ u64::from(sample.key.step);
    lot = (lot ^ (lot >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    lot = (lot ^ (lot >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    lot ^ (lot >> 31)
}

/// The slowest, the first failed and a sample of the failed requests among those offered, at most
/// [`SLOWEST_KEPT`] + [`FAILED_KEPT`] + [`FAILED_SAMPLE`] of them. Which ones does not depend on the order
/// of offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Slowest first.
    slowest: Vec<KeptRequest>,
    /// First to end first.
    first_failed: Vec<KeptRequest>,
    /// Lowest lot first.
    failed_sample: Vec<KeptRequest>,
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

    /// Failed ones, of which each had the same chance to be here; in no order that means anything.
    pub fn failed_sample(&self) -> &[KeptRequest] {
        &self.failed_sample
    }

    /// Each once: the slowest, then those that failed and are not among them. Offering these anew gives an
    /// equal choice.
    pub fn requests(&self) -> impl Iterator<Item = &KeptRequest> {
        let first = self.first_failed.iter().filter(|failed| !self.slowest.contains(failed));
        let others = self.failed_sample.iter();
        let others =
            others.filter(|failed| !self.slowest.contains(failed) && !self.first_failed.contains(failed));
        self.slowest.iter().chain(first).chain(others)
    }

    /// Forgets what went over the wire: where steps are many, that would be too much.
    pub fn forget_exchanges(&mut self) {
        let all = self.slowest.iter_mut().chain(&mut self.first_failed).chain(&mut self.failed_sample);
        all.for_each(|request| request.exchange = None);
    }

    /// Takes a request in if it is one of those to keep.
    pub fn offer(&mut self, request: &KeptRequest) {
        if request.sample.key.outcome.is_failure() {
            let position =
                self.first_failed.partition_point(|other| other.earliness() <= request.earliness());
            insert(&mut self.first_failed, position, request, FAILED_KEPT);
            let position = self.failed_sample.partition_point(|other| other.lot() <= request.lot());
            insert(&mut self.failed_sample, position, request, FAILED_SAMPLE);
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
    /// As many failed ones as a sample has were kept in this minute, and had no higher lot.
    lots_below: Option<u64>,
}

impl KeptRecorder {
    #[inline]
    pub(crate) fn would_keep(&self, sample: &Sample, response_time: u64) -> bool {
        self.slower_than.is_none_or(|threshold| response_time > threshold)
            || (sample.key.outcome.is_failure() && self.would_keep_failed(sample))
    }

    fn would_keep_failed(&self, sample: &Sample) -> bool {
        self.failed < FAILED_KEPT || self.lots_below.is_none_or(|highest| lot(sample) < highest)
    }

    pub(crate) fn keep(&mut self, request: &KeptRequest) {
        self.failed += usize::from(request.sample.key.outcome.is_failure());
        self.kept.offer(request);
        let threshold = self.kept.slowest.get(SLOWEST_KEPT - 1).map(KeptRequest::response_time);
        self.slower_than = self.slower_than.max(threshold);
        let highest = self.kept.failed_sample.get(FAILED_SAMPLE - 1).map(|request| lot(&request.sample));
        self.lots_below = [self.lots_below, highest].into_iter().flatten().min();
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
            exchange: None,
        }
    }

    fn requests() -> impl Strategy<Value = Vec<KeptRequest>> {
        let one = (0_u64..50, 0_u64..50, 0_usize..3).prop_map(|(due, took, outcome)| {
            request(due, took, [Outcome::Ok, Outcome::Reset, Outcome::Timeout][outcome])
        });
        let all = prop::collection::vec(one, 0..60);
        // No two are one and the same.
        all.prop_map(|mut all| {
            (0..).zip(&mut all).for_each(|(number, request)| request.iteration = number);
            all
        })
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
            prop_assert_eq!(other.failed_sample(), kept.failed_sample());
            let mut again = Kept::default();
            other.requests().for_each(|request| again.offer(request));
            prop_assert_eq!(&again, &other, "offering what was kept gives an equal choice");
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
                    if recorder.would_keep(&request.sample, request.response_time()) {
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
            prop_assert_eq!(chosen.failed_sample(), all.failed_sample());
        }
    }

    #[test]
    fn a_new_minute_begins_anew() {
        let mut recorder = KeptRecorder::default();
        let all: Vec<_> = (0..40).map(|number| request(number, 100, Outcome::Reset)).collect();
        all.iter().for_each(|request| recorder.keep(request));
        let would = |recorder: &KeptRecorder, request: &KeptRequest| {
            recorder.would_keep(&request.sample, request.response_time())
        };
        recorder.reuse(KEPT_PERIOD - 1);
        let highest = all.iter().max_by_key(|request| lot(&request.sample)).unwrap();
        assert!(!would(&recorder, highest), "as slow, enough have failed, and others were drawn");
        assert!(would(&recorder, &request(7, 101, Outcome::Ok)));
        recorder.reuse(KEPT_PERIOD);
        assert!(would(&recorder, &request(7, 1, Outcome::Ok)) && would(&recorder, highest));
    }

    #[test]
    fn each_failed_one_has_the_same_chance() {
        let mut drawn = [0_u32; 10];
        for round in 0..200 {
            let mut kept = Kept::default();
            for number in 0..1000 {
                kept.offer(&request(round * 1_000_000_000 + number * 1_000_000, 20_000_000, Outcome::Reset));
            }
            for request in kept.failed_sample() {
                drawn[(request.sample.due % 1_000_000_000 / 100_000_000) as usize] += 1;
            }
        }
        // 4,000 draws over ten tenths: 400 each with a standard deviation of 19, five of them.
        assert!(drawn.iter().all(|count| count.abs_diff(400) < 95), "{drawn:?}");
    }
}
