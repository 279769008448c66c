use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::RateProfile;

/// How arrivals are spread along a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly: arrival `n` is due when the integral of the rate reaches `n`.
    Uniform,
    /// A Poisson process of that rate: independent exponential gaps, from the seed.
    Poisson,
}

impl Spacing {
    /// Its word in plans.
    pub fn label(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
        }
    }
}

/// The arrivals of a run in order: each `next` is one arrival's due, in nanoseconds from the start.
///
/// Every worker walks the same sequence and takes its own share of it, so there is one schedule
/// however many workers and connections there are. A seed always gives the same sequence.
#[derive(Debug, Clone)]
pub struct Arrivals {
    profile: Arc<RateProfile>,
    spacing: Spacing,
    random: ChaCha8Rng,
    next: u64,
    /// Where a Poisson process stands, in units of expected arrivals, and where it began.
    position: f64,
    first: f64,
    /// Whether it stands at an arrival that is still to come.
    stays: bool,
}

impl Arrivals {
    /// The sequence from its first arrival on.
    pub fn new(profile: Arc<RateProfile>, spacing: Spacing, seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { profile, spacing, random, next: 0, position: 0.0, first: 0.0, stays: false }
    }

    /// The sequence from an offset on (nanoseconds from the start of the stages), for who goes on where a sequence
    /// was left. `number` arrivals are known to have been due before it.
    ///
    /// Evenly spaced arrivals are those of the whole sequence that are due from there on, and their numbers do not
    /// depend on what is known. A Poisson process has no memory, so that one which begins there is as good; it
    /// needs a seed that was not used before, and its first arrival has the number `number`.
    pub fn after(profile: Arc<RateProfile>, spacing: Spacing, seed: u64, offset: u64, number: u64) -> Self {
        let position = profile.until(offset);
        let mut arrivals = Self::new(profile, spacing, seed);
        match spacing {
            Spacing::Uniform => {
                // A digit's width below, and then onward: the integral and its inverse are both rounded.
                arrivals.next = (position - 1.0).max(0.0) as u64;
                while arrivals.due(arrivals.next as f64).is_some_and(|due| due < offset) {
                    arrivals.next += 1;
                }
            }
            Spacing::Poisson => {
                (arrivals.next, arrivals.position, arrivals.first) = (number, position, position);
            }
        }
        arrivals
    }

    /// When the integral of the rate reaches this, in nanoseconds from the start of the stages.
    fn due(&self, position: f64) -> Option<u64> {
        Some((self.profile.inverse(position)? * 1e9).round() as u64)
    }

    /// The number of the arrival that comes next.
    pub fn number(&self) -> u64 {
        self.next
    }

    /// Goes on along another profile. `pending` is the arrival that came last when nothing has become of it: it
    /// comes again, when the profile has it due. `None` when the sequence had come to its end.
    ///
    /// An arrival stays a function of its number, profile and seed, so that all who walk the sequence and change
    /// the profile where they stand still agree, as long as both profiles are one up to there.
    pub fn steer(&mut self, profile: Arc<RateProfile>, pending: Option<u64>) {
        self.profile = profile;
        self.next = pending.unwrap_or(self.next);
        // In both cases the arrival to come was drawn already, unless none ever was.
        self.stays = self.position > self.first;
    }
}

impl Iterator for Arrivals {
    /// Due, in nanoseconds from the start of the stages.
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let position = match self.spacing {
            Spacing::Uniform => self.next as f64,
            Spacing::Poisson => {
                // Time-rescaling theorem: a unit-rate Poisson process mapped through the inverse of
                // the integrated rate is a Poisson process of that rate (Cox and Isham, Point
                // Processes, 1980, section 3.1). 1 - u is never zero for u in [0, 1).
                if !std::mem::take(&mut self.stays) {
                    self.position -= (1.0 - self.random.random::<f64>()).ln();
                }
                self.position
            }
        };
        let due = self.due(position)?;
        self.next += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Curve, Stage, StageKind, Wanted};
    use plimsoll_units::Rate;
    use proptest::prelude::*;
    use std::time::Duration;

    fn stage(kind: StageKind<f64>, seconds: f64) -> Stage<Rate> {
        let rate = |per_second| Rate::new(per_second).unwrap();
        let kind = match kind {
            StageKind::Ramp(to) => StageKind::Ramp(rate(to)),
            StageKind::Hold(at) => StageKind::Hold(rate(at)),
            StageKind::Spike(at) => StageKind::Spike(rate(at)),
            StageKind::Pause => StageKind::Pause,
            StageKind::Schedule(curve) | StageKind::Replay(curve) => StageKind::Schedule(curve),
        };
        Stage { kind, length: Duration::from_secs_f64(seconds) }
    }

    fn dues(stages: &[Stage<Rate>], spacing: Spacing, seed: u64) -> Vec<u64> {
        Arrivals::new(Arc::new(RateProfile::new(stages)), spacing, seed).collect()
    }

    fn check(stages: &[Stage<Rate>], count: usize, first: u64, last: u64) {
        let dues = dues(stages, Spacing::Uniform, 0);
        assert_eq!(dues.len(), count, "{stages:?}");
        assert_eq!((dues.first().copied(), dues.last().copied()), (Some(first), Some(last)), "{stages:?}");
    }

    #[test]
    fn counts_are_the_integral_to_the_arrival() {
        use StageKind::*;
        check(&[stage(Hold(1000.0), 1.0)], 1000, 0, 999_000_000);
        check(&[stage(Hold(500.0), 0.3)], 150, 0, 298_000_000);
        check(&[stage(Hold(10.0), 0.25)], 3, 0, 200_000_000);
        check(&[stage(Ramp(100.0), 2.0)], 100, 0, 1_989_974_874);
        check(&[stage(Hold(100.0), 1.0), stage(Ramp(0.0), 2.0)], 200, 0, 2_800_000_000);
        check(&[stage(Hold(10.0), 1.0), stage(Pause, 5.0), stage(Hold(10.0), 1.0)], 20, 0, 6_900_000_000);
        // A ten-minute ramp to 5,000/s sends exactly 1,500,000.
        check(&[stage(Ramp(5000.0), 600.0)], 1_500_000, 0, 599_999_800_000);
    }

    #[test]
    fn a_ramp_after_a_spike_starts_from_the_level_before_it() {
        use StageKind::*;
        let stages = [stage(Hold(10.0), 1.0), stage(Spike(100.0), 1.0), stage(Ramp(20.0), 1.0)];
        let profile = RateProfile::new(&stages);
        let at = |seconds| profile.rate_at(Duration::from_secs_f64(seconds));
        assert_eq!((at(0.5), at(1.5), at(2.0), at(2.5), at(3.0)), (10.0, 100.0, 10.0, 15.0, 0.0));
        assert_eq!((profile.peak(), profile.total()), (100.0, 125.0));
        assert_eq!(profile.length(), Duration::from_secs(3));
    }

    #[test]
    fn a_schedule_offers_what_stages_of_the_same_shape_do() {
        use StageKind::*;
        let curve = |points: &[(f64, f64)]| {
            let at = |(seconds, level): &(f64, f64)| (Duration::from_secs_f64(*seconds), *level);
            Stage::along(Curve::new(points.iter().map(at).collect()).unwrap(), Schedule)
        };
        let ramps = [stage(Hold(50.0), 1.0), stage(Ramp(200.0), 2.0), stage(Ramp(0.0), 1.5)];
        let points = [(0.0, 50.0), (1.0, 50.0), (3.0, 200.0), (4.5, 0.0)];
        let expected = dues(&ramps, Spacing::Uniform, 0);
        assert_eq!(dues(&[curve(&points)], Spacing::Uniform, 0), expected);
        assert_eq!(expected.len(), 450);
        assert_eq!(dues(&[curve(&points)], Spacing::Poisson, 5), dues(&ramps, Spacing::Poisson, 5));
        // Behind a pause it is the same, later; a jump is one.
        let jumps = [stage(Pause, 2.0), curve(&[(0.0, 10.0), (1.0, 10.0), (1.0, 20.0), (2.0, 20.0)])];
        check(&jumps, 30, 2_000_000_000, 3_950_000_000);
        let after = [curve(&[(0.0, 0.0), (1.0, 40.0)]), stage(Ramp(0.0), 1.0)];
        assert_eq!(RateProfile::new(&after).rate_at(Duration::from_millis(1500)), 20.0);
    }

    #[test]
    fn who_goes_on_anywhere_offers_the_rest() {
        use StageKind::*;
        let stages =
            [stage(Ramp(300.0), 2.0), stage(Hold(7.5), 3.0), stage(Pause, 1.0), stage(Spike(50.0), 0.25)];
        let profile = Arc::new(RateProfile::new(&stages));
        let all = dues(&stages, Spacing::Uniform, 0);
        for millis in (0..=7000).step_by(125) {
            let offset = millis * 1_000_000;
            let rest = Arrivals::after(Arc::clone(&profile), Spacing::Uniform, 9, offset, 0);
            let before = all.iter().filter(|due| **due < offset).count();
            assert_eq!(rest.number(), before as u64, "{millis} ms");
            assert_eq!(rest.collect::<Vec<_>>(), all[before..], "{millis} ms");
        }
    }

    #[test]
    fn a_poisson_process_goes_on_at_its_rate_with_other_arrivals() {
        let stages = [stage(StageKind::Hold(1000.0), 100.0)];
        let profile = Arc::new(RateProfile::new(&stages));
        let offset = 60_000_000_000;
        let first: Vec<_> =
            dues(&stages, Spacing::Poisson, 7).into_iter().filter(|due| *due >= offset).collect();
        let rest = Arrivals::after(profile, Spacing::Poisson, 8, offset, 60_123);
        assert_eq!(rest.number(), 60_123);
        let rest: Vec<_> = rest.collect();
        // 40,000 expected, standard deviation 200: five of them.
        assert!((rest.len() as f64 - 40_000.0).abs() < 1000.0, "{}", rest.len());
        assert!(rest.iter().all(|due| *due >= offset));
        let same = rest.iter().filter(|due| first.binary_search(due).is_ok()).count();
        assert!(same < 40, "{same} are those of before");
    }

    #[test]
    fn no_stages_offer_nothing() {
        assert!(dues(&[], Spacing::Uniform, 0).is_empty());
        assert!(dues(&[stage(StageKind::Pause, 1.0)], Spacing::Poisson, 0).is_empty());
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_its_variance() {
        let stages = [stage(StageKind::Hold(1000.0), 100.0)];
        let dues = dues(&stages, Spacing::Poisson, 7);
        // 100,000 expected, standard deviation 316: five of them.
        assert!((dues.len() as f64 - 100_000.0).abs() < 5.0 * 316.3, "{}", dues.len());
        // Counts per second of a Poisson process have a variance equal to their mean.
        let mut counts = vec![0_f64; 100];
        dues.iter().for_each(|due| counts[(due / 1_000_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 100.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 99.0;
        assert!((0.5..2.0).contains(&(variance / mean)), "variance {variance} mean {mean}");
    }

    /// The arrivals of one of several workers, which is told of each change when the clock says so: it walks the
    /// whole sequence and starts its share.
    fn steered_share(
        stages: &RateProfile,
        spacing: Spacing,
        changes: &[(u64, Wanted)],
        share: (u64, u64),
    ) -> Vec<(u64, u64)> {
        let mut profile = Arc::new(stages.clone());
        let mut arrivals = Arrivals::new(Arc::clone(&profile), spacing, 3);
        let (mut started, mut changes) = (Vec::new(), changes.iter().peekable());
        loop {
            let number = arrivals.number();
            let next = arrivals.next();
            // What is mine waits until it is due; a change before that finds it pending.
            let is_mine = number % share.1 == share.0;
            if next.is_some() && !is_mine {
                continue;
            }
            let waits_until = next.unwrap_or(u64::MAX);
            match changes.next_if(|(at, _)| *at <= waits_until) {
                Some((at, wanted)) => {
                    profile = Arc::new(profile.steered(stages, *at, *wanted));
                    arrivals.steer(Arc::clone(&profile), next.map(|_| number));
                }
                None => match next {
                    Some(due) => started.push((number, due)),
                    None => return started,
                },
            }
        }
    }

    #[test]
    fn a_rate_that_is_steered_is_followed_to_the_arrival() {
        use StageKind::*;
        const SECOND: u64 = 1_000_000_000;
        let stages =
            RateProfile::new(&[stage(Hold(100.0), 4.0), stage(Ramp(300.0), 4.0), stage(Hold(50.0), 2.0)]);
        let changes = [
            (2 * SECOND, Wanted::Level(800.0)),
            (3 * SECOND, Wanted::Level(0.0)),
            (5 * SECOND, Wanted::Stages(1.0)),
            (8 * SECOND, Wanted::Stages(2.0)),
        ];
        let expected = [100, 100, 800, 0, 0, 175, 225, 275, 100, 100];
        for workers in 1..=5 {
            let shares = (0..workers)
                .map(|index| steered_share(&stages, Spacing::Uniform, &changes, (index, workers)));
            let mut all: Vec<_> = shares.flatten().collect();
            all.sort_unstable();
            let per_second = |second: u64| all.iter().filter(|(_, due)| due / SECOND == second).count();
            assert_eq!(expected, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(per_second), "{workers} workers");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_steered_nothing_is_lost_doubled_or_out_of_order(
            rates in prop::collection::vec((0_u8..3, 0.0..500.0_f64, 0.01..2.0_f64), 1..5),
            changes in prop::collection::vec((0.0..8.0_f64, prop::option::of(0.0..3.0_f64), 0.0..800.0_f64), 0..8),
            poisson in any::<bool>(),
            workers in 1_u64..5,
        ) {
            let stages: Vec<_> = rates.iter().map(|(kind, rate, seconds)| stage(match kind {
                0 => StageKind::Ramp(*rate), 1 => StageKind::Hold(*rate), _ => StageKind::Pause,
            }, *seconds)).collect();
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Uniform };
            let stages = RateProfile::new(&stages);
            let mut changes: Vec<_> = changes.iter().map(|(at, factor, level)| {
                ((at * 1e9) as u64, factor.map_or(Wanted::Level(*level), Wanted::Stages))
            }).collect();
            changes.sort_by_key(|(at, _)| *at);
            let steered = changes.iter().fold(stages.clone(), |profile, (at, wanted)| profile.steered(&stages, *at, *wanted));
            // What all of them together start is what one who knew everything beforehand would.
            let known: Vec<_> = (0..).zip(Arrivals::new(Arc::new(steered.clone()), spacing, 3)).collect();
            let mut all: Vec<_> = (0..workers).flat_map(|index| steered_share(&stages, spacing, &changes, (index, workers))).collect();
            all.sort_unstable();
            prop_assert_eq!(&all, &known);
            prop_assert!(known.windows(2).all(|pair| pair[0].1 <= pair[1].1));
            prop_assert!(steered.length() <= stages.length());
            if !poisson {
                prop_assert!((known.len() as f64 - steered.total()).abs() <= 1.0);
            }
        }

        #[test]
        fn whoever_goes_on_at_any_moment_leaves_nothing_out_and_offers_nothing_twice(
            rates in prop::collection::vec((0_u8..4, 0.0..2000.0_f64, 0.01..2.0_f64), 1..6),
            changes in prop::collection::vec((0.0..8.0_f64, prop::option::of(0.0..3.0_f64), 0.0..800.0_f64), 0..4),
            at in 0.0..10.0_f64,
        ) {
            let stages: Vec<_> = rates.iter().map(|(kind, rate, seconds)| stage(match kind {
                0 => StageKind::Ramp(*rate), 1 => StageKind::Hold(*rate), 2 => StageKind::Spike(*rate), _ => StageKind::Pause,
            }, *seconds)).collect();
            let stages = RateProfile::new(&stages);
            let mut changes: Vec<_> = changes.iter().map(|(at, factor, level)| {
                ((at * 1e9) as u64, factor.map_or(Wanted::Level(*level), Wanted::Stages))
            }).collect();
            changes.sort_by_key(|(at, _)| *at);
            let profile = Arc::new(changes.iter().fold(stages.clone(), |profile, (at, wanted)| profile.steered(&stages, *at, *wanted)));
            let offset = (at * 1e9) as u64;
            let whole: Vec<_> = Arrivals::new(Arc::clone(&profile), Spacing::Uniform, 0).collect();
            let before = whole.iter().filter(|due| **due < offset).count();
            let rest = Arrivals::after(profile, Spacing::Uniform, 0, offset, 0);
            prop_assert_eq!(rest.number(), before as u64);
            prop_assert_eq!(rest.collect::<Vec<_>>(), &whole[before..]);
        }

        #[test]
        fn dues_ascend_and_a_seed_repeats_them(
            rates in prop::collection::vec((0_u8..4, 0.0..2000.0_f64, 0.01..2.0_f64), 1..6),
            seed in any::<u64>(),
            poisson in any::<bool>(),
        ) {
            let stages: Vec<_> = rates.iter().map(|(kind, rate, seconds)| stage(match kind {
                0 => StageKind::Ramp(*rate), 1 => StageKind::Hold(*rate), 2 => StageKind::Spike(*rate), _ => StageKind::Pause,
            }, *seconds)).collect();
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Uniform };
            let once = dues(&stages, spacing, seed);
            prop_assert!(once.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert_eq!(&once, &dues(&stages, spacing, seed));
            let profile = RateProfile::new(&stages);
            let end = profile.length().as_nanos() as u64;
            prop_assert!(once.iter().all(|due| *due <= end));
            if !poisson {
                prop_assert!((once.len() as f64 - profile.total()).abs() <= 1.0);
            }
        }
    }
}
