use std::collections::BTreeMap;

use plimsoll_measure::{Frame, KEPT_PERIOD, Kept, KeptKey, KeptRequest};

/// The slowest and the first failed requests of a run, per step, phase and stretch of time.
///
/// A stretch is a minute at first. When more requests are kept than [`KeptRequests::MOST`], stretches
/// double, so that memory depends on the plan and not on how long a run is.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptRequests {
    /// log2 of how many minutes a stretch has.
    doublings: u32,
    stretches: BTreeMap<u64, BTreeMap<KeptKey, Kept>>,
}

impl KeptRequests {
    /// How many requests are kept, unless a single stretch of a plan of many steps has more; these are kept without what
    /// went over the wire.
    pub(crate) const MOST: usize = 1000;

    /// Adds a second.
    pub(crate) fn add(&mut self, frame: &Frame) {
        if frame.kept.is_empty() {
            return;
        }
        let stretch = self.stretches.entry((frame.second / KEPT_PERIOD) >> self.doublings).or_default();
        for (key, kept) in &frame.kept {
            stretch.entry(*key).or_default().merge(kept);
        }
        while self.stretches.len() > 1 && self.len() > Self::MOST {
            self.double();
        }
        if self.len() > Self::MOST {
            self.stretches.values_mut().flat_map(BTreeMap::values_mut).for_each(Kept::forget_exchanges);
        }
    }

    fn double(&mut self) {
        self.doublings += 1;
        for (number, stretch) in std::mem::take(&mut self.stretches) {
            let wider = self.stretches.entry(number >> 1).or_default();
            for (key, kept) in stretch {
                wider.entry(key).or_default().merge(&kept);
            }
        }
    }

    fn len(&self) -> usize {
        self.stretches.values().flat_map(BTreeMap::values).map(|kept| kept.requests().count()).sum()
    }

    /// The slowest of each stretch, slowest first.
    pub(crate) fn slowest(&self, which: impl Fn(&KeptKey) -> bool) -> Vec<KeptRequest> {
        let mut slowest: Vec<_> = self.kept(which).flat_map(Kept::slowest).cloned().collect();
        slowest.sort_by_key(|request| std::cmp::Reverse(request.response_time()));
        slowest
    }

    /// The first failed of each stretch, in the order they ended.
    pub(crate) fn first_failed(&self, which: impl Fn(&KeptKey) -> bool) -> Vec<KeptRequest> {
        let mut failed: Vec<_> = self.kept(which).flat_map(Kept::first_failed).cloned().collect();
        failed.sort_by_key(|request| request.sample.done);
        failed
    }

    /// A sample of those that failed over the whole run, in the order they ended.
    pub(crate) fn failed_sample(&self, which: impl Fn(&KeptKey) -> bool) -> Vec<KeptRequest> {
        let mut all = Kept::default();
        self.kept(which).flat_map(Kept::failed_sample).for_each(|request| all.offer(request));
        let mut failed = all.failed_sample().to_vec();
        failed.sort_by_key(|request| request.sample.done);
        failed
    }

    fn kept(&self, which: impl Fn(&KeptKey) -> bool) -> impl Iterator<Item = &Kept> {
        let kept = self.stretches.values().flatten();
        kept.filter(move |(key, _)| which(key)).map(|(_, kept)| kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Outcome, Phase, SECOND, Sample, SeriesKey};

    fn request(step: u16, second: u64, took: u64) -> KeptRequest {
        let key = SeriesKey { step, phase: Phase::Measured, stage: None, outcome: Outcome::Timeout };
        let done = second * SECOND + 5;
        KeptRequest {
            sample: Sample { done, ..Sample::at(key, done - took.min(done)) },
            message: None,
            iteration: second,
            user: None,
            row: None,
            worker: 0,
            exchange: None,
        }
    }

    #[test]
    fn a_run_of_any_length_keeps_a_bounded_number() {
        let mut all = KeptRequests::default();
        for minute in 0..2000_u64 {
            let mut frame = Frame::new(minute * KEPT_PERIOD);
            for step in 0..3 {
                for number in 1..9 {
                    let request = request(step, frame.second, minute * 10 + number);
                    let key = KeptKey { step, phase: Phase::Measured };
                    frame.kept.entry(key).or_default().offer(&request);
                }
            }
            all.add(&frame);
            assert!(all.len() <= KeptRequests::MOST, "{}", all.len());
        }
        let slowest = all.slowest(|key| key.step == 1);
        assert!(slowest.windows(2).all(|pair| pair[0].response_time() >= pair[1].response_time()));
        assert_eq!(slowest[0].response_time(), 1999 * 10 + 8, "the slowest of all is among them");
        assert_eq!(all.first_failed(|key| key.step == 1)[0].iteration, 0, "and the first to fail");
    }

    #[test]
    fn more_steps_than_fit_share_one_stretch() {
        let mut all = KeptRequests::default();
        for minute in 0..4 {
            let mut frame = Frame::new(minute * KEPT_PERIOD);
            for step in 0..2000 {
                let key = KeptKey { step, phase: Phase::Measured };
                frame.kept.entry(key).or_default().offer(&request(step, frame.second, 1));
            }
            all.add(&frame);
        }
        assert_eq!(all.stretches.len(), 1);
        assert_eq!(all.len(), 4 * 2000);
    }
}
