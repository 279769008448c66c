//! Where a load begins.

use plimsoll_measure::{Frame, IterationKey, IterationSeries, Outcome, SECOND, Series, SeriesKey, Timing};
use plimsoll_workload::Wanted;

/// How much higher iterations are numbered behind each resumption. Iterations of the last moments before, which no record
/// has, keep their numbers for themselves.
const NUMBERS: u64 = 1_000_000_000;

/// Where a load begins: at its start, or where a run was left whose process died.
///
/// A run that goes on is the same load: the same arrivals are due from there on, and the order of scenarios and of rows
/// goes on. What is drawn by chance is drawn anew, as the choices before it were made already.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The second it begins with. What was due before is not offered.
    pub second: u64,
    /// How often the run was resumed until here; 0 in a run that was not.
    pub resumptions: u64,
    /// Of each of the plan's loads: iterations that began before.
    pub begun: Vec<u64>,
    /// What loads were told to be in place of what the plan says, in order: which, from when on (nanoseconds from the
    /// start of the run), and what.
    pub steers: Vec<(u16, u64, Wanted)>,
}

impl Origin {
    /// When it begins, in nanoseconds from the start of the run.
    pub(crate) fn nanos(&self) -> u64 {
        self.second.saturating_mul(SECOND)
    }

    /// What decides random choices from here on: another number for each second and resumption, so that none is made
    /// once more.
    pub(crate) fn seed(&self, seed: u64) -> u64 {
        // Odd numbers without a pattern, and not the one that sets loads beside each other apart.
        let second = self.second.wrapping_mul(0xd1b5_4a32_d192_ed03);
        seed.wrapping_add(second).wrapping_add(self.resumptions.wrapping_mul(0xabc9_8388_fb8f_ac03))
    }

    /// Iterations that began before it, of one of the loads.
    pub(crate) fn begun(&self, load: usize) -> u64 {
        self.begun.get(load).copied().unwrap_or(0)
    }

    /// What is added to the numbers of iterations whose scenarios repeat after `period`: their order goes on.
    pub(crate) fn shift(&self, period: u64) -> u64 {
        self.resumptions.saturating_mul(NUMBERS).next_multiple_of(period.max(1))
    }
}

/// What was lost with a process: the requests that its last recorded second left in flight, and the iterations that
/// were `running` then. Nobody knows what became of them, so they are cut, in the second `at`.
pub fn lost(last: &Frame, running: impl IntoIterator<Item = (IterationKey, u64)>, at: u64) -> Frame {
    let mut lost = Frame::new(at);
    for (key, pending) in &last.pending {
        let key = SeriesKey { step: key.step, phase: key.phase, stage: key.stage, outcome: Outcome::Cut };
        let timings =
            [(Timing::ResponseTime, &pending.since_due), (Timing::ServiceTime, &pending.since_sent)];
        let timings = timings.into_iter().filter(|(_, times)| !times.is_empty());
        let timings = timings.map(|(timing, times)| (timing, times.clone())).collect();
        lost.series.insert(key, Series { requests: pending.since_due.count(), timings, ..Series::default() });
    }
    for (key, cut) in running.into_iter().filter(|(_, cut)| *cut > 0) {
        lost.iterations.insert(key, IterationSeries { cut, ..IterationSeries::default() });
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Edges, PendingKey, Phase, Shard};

    #[test]
    fn every_resumption_has_choices_of_its_own() {
        let seeds = (0..100).flat_map(|second| {
            (1..6).map(move |resumptions| Origin { second, resumptions, ..Origin::default() }.seed(7))
        });
        let seeds: std::collections::BTreeSet<_> = seeds.chain([Origin::default().seed(7)]).collect();
        assert_eq!(seeds.len(), 501);
        assert!(seeds.contains(&7), "a run that is not resumed has the seed that it says");
    }

    #[test]
    fn numbers_go_on_beyond_those_that_may_have_been_given_and_scenarios_in_their_order() {
        let origin = Origin { second: 9, resumptions: 2, ..Origin::default() };
        for period in [1, 7, 100_000] {
            let shift = origin.shift(period);
            assert_eq!(shift % period, 0);
            assert!((2_000_000_000..2_000_100_000).contains(&shift), "{shift}");
        }
        assert_eq!(Origin::default().shift(7), 0);
    }

    #[test]
    fn what_was_in_flight_is_cut_and_as_old_as_it_was() {
        let mut shard = Shard::new(4, Edges::default());
        let key = PendingKey { step: 2, phase: Phase::Measured, stage: Some(1) };
        shard.pending(key, 3 * SECOND, Some(2 * SECOND));
        shard.pending(key, SECOND, None);
        let mut last = Frame::new(4);
        shard.merge_into(&mut last);
        let running = IterationKey { scenario: 0, phase: Phase::Measured, stage: Some(1) };
        let ended = IterationKey { scenario: 1, ..running };
        let lost = lost(&last, [(running, 3), (ended, 0)], 5);
        assert_eq!((lost.second, lost.series.len(), lost.iterations.len()), (5, 1, 1));
        let (key, series) = lost.series.first_key_value().unwrap();
        assert_eq!((key.step, key.stage, key.outcome, series.requests), (2, Some(1), Outcome::Cut, 2));
        assert_eq!(series.timings[&Timing::ResponseTime].max(), Some(3 * SECOND));
        assert_eq!(series.timings[&Timing::ServiceTime].count(), 1);
        assert_eq!((lost.iterations[&running].cut, lost.iterations[&running].arrivals), (3, 0));
    }
}
