use std::time::Duration;

use plimsoll_units::Users;

use crate::stage::{Segment, Stage, Wanted, segments, steered};

/// A level this close to a whole number of users is that number: offsets are rounded to nanoseconds.
const DUST: f64 = 1e-6;

/// How many virtual users are wanted over time, piecewise linear, in whole users.
#[derive(Debug, Clone, PartialEq)]
pub struct UserProfile {
    segments: Vec<Segment>,
}

impl UserProfile {
    /// The profile of these stages, laid end to end from zero.
    pub fn new(stages: &[Stage<Users>]) -> Self {
        Self { segments: segments(stages) }
    }

    /// This profile up to an offset (nanoseconds from the start of the stages), and from there on what is wanted,
    /// for as long as `stages`, the plan's profile, last. Of a fraction of a user there is none.
    #[must_use]
    pub fn steered(&self, stages: &Self, at: u64, wanted: Wanted) -> Self {
        Self { segments: steered(&self.segments, &stages.segments, at, wanted) }
    }

    /// How long the stages last.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.segments.last().map_or(0.0, |last| last.start + last.length))
    }

    /// The most users wanted at any moment.
    pub fn peak(&self) -> u32 {
        self.segments.iter().map(|segment| segment.from.max(segment.to)).fold(0.0, f64::max).ceil() as u32
    }

    /// Users wanted at an offset (nanoseconds). While a ramp rises, the n-th user is wanted once it has
    /// reached n; while it falls, the n-th goes once it has reached n - 1. None outside the stages.
    pub fn users_at(&self, nanos: u64) -> u32 {
        self.segment_at(nanos).map_or(0, |segment| {
            let level = segment.level_at(nanos as f64 / 1e9);
            let falls = segment.to < segment.from;
            if falls { (level - DUST).ceil() as u32 } else { (level + DUST).floor() as u32 }
        })
    }

    /// The next offset after `nanos` at which the number of users may change, for the driver to
    /// look again: the next whole user of a ramp, or the next stage. `None` after the last stage.
    pub fn next_change(&self, nanos: u64) -> Option<u64> {
        let t = nanos as f64 / 1e9;
        let segment = self.segment_at(nanos)?;
        let slope = segment.slope;
        let next = if slope == 0.0 {
            segment.nanos.end
        } else {
            let level = segment.level_at(t);
            let whole = if slope > 0.0 { (level + DUST).floor() + 1.0 } else { (level - DUST).ceil() - 1.0 };
            let reached = segment.start + (whole - segment.from) / slope;
            ((reached * 1e9).ceil() as u64).min(segment.nanos.end)
        };
        // Always onward, also where a millisecond holds many users.
        Some(next.max(nanos + 1_000_000))
    }

    fn segment_at(&self, nanos: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.nanos.contains(&nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StageKind;

    fn profile(stages: &[(StageKind<Users>, u64)]) -> UserProfile {
        let stages: Vec<_> = stages
            .iter()
            .map(|(kind, seconds)| Stage { kind: kind.clone(), length: Duration::from_secs(*seconds) })
            .collect();
        UserProfile::new(&stages)
    }

    #[test]
    fn users_come_and_go_one_by_one() {
        let up_and_down = profile(&[
            (StageKind::Ramp(Users(4)), 4),
            (StageKind::Hold(Users(4)), 2),
            (StageKind::Ramp(Users(0)), 4),
        ]);
        let at: Vec<_> = (0..=10).map(|second| up_and_down.users_at(second * 1_000_000_000)).collect();
        assert_eq!(at, [0, 1, 2, 3, 4, 4, 4, 3, 2, 1, 0]);
        assert_eq!((up_and_down.peak(), up_and_down.length()), (4, Duration::from_secs(10)));
    }

    #[test]
    fn a_pause_sends_all_away_and_a_spike_brings_more() {
        let stages = [
            (StageKind::Hold(Users(2)), 1),
            (StageKind::Pause, 1),
            (StageKind::Spike(Users(9)), 1),
            (StageKind::Ramp(Users(4)), 2),
        ];
        let shape = profile(&stages);
        let at: Vec<_> = (0..=5).map(|second| shape.users_at(second * 1_000_000_000)).collect();
        assert_eq!(at, [2, 0, 9, 2, 3, 0]);
    }

    #[test]
    fn users_stay_across_every_boundary_between_stages() {
        for first in 1..2000 {
            let hold =
                |millis| Stage { kind: StageKind::Hold(Users(3)), length: Duration::from_millis(millis) };
            let shape = UserProfile::new(&[hold(1), hold(first), hold(500)]);
            let (mut at, mut wanted) = (0, Vec::new());
            while let Some(next) = shape.next_change(at) {
                wanted.push(shape.users_at(at));
                at = next;
            }
            assert_eq!((at, wanted), ((501 + first) * 1_000_000, vec![3, 3, 3]), "{first} ms");
        }
    }

    #[test]
    fn nothing_changes_between_one_change_and_the_next() {
        let shape = profile(&[
            (StageKind::Ramp(Users(7)), 3),
            (StageKind::Ramp(Users(2)), 3),
            (StageKind::Pause, 1),
            (StageKind::Ramp(Users(0)), 2),
        ]);
        let mut at = 0;
        while let Some(next) = shape.next_change(at) {
            for share in 1..10 {
                let between = at + (next - at) * share / 10;
                assert_eq!(shape.users_at(between), shape.users_at(at), "{between} of {at} to {next}");
            }
            at = next;
        }
    }

    #[test]
    fn users_that_are_steered_come_and_go_at_once_and_then_as_planned() {
        const SECOND: u64 = 1_000_000_000;
        let stages = profile(&[(StageKind::Hold(Users(4)), 4), (StageKind::Ramp(Users(8)), 4)]);
        let steps = [
            (SECOND, Wanted::Level(10.0)),
            (2 * SECOND, Wanted::Level(0.0)),
            (3 * SECOND, Wanted::Stages(1.0)),
            (7 * SECOND, Wanted::Stages(0.5)),
        ];
        let steered =
            steps.iter().fold(stages.clone(), |now, (at, wanted)| now.steered(&stages, *at, *wanted));
        let at: Vec<_> = (0..=8).map(|second| steered.users_at(second * SECOND)).collect();
        assert_eq!(at, [4, 10, 0, 4, 4, 5, 6, 3, 0]);
        assert_eq!(
            (steered.users_at(SECOND - 1), steered.peak(), steered.length()),
            (4, 10, stages.length())
        );
        assert_eq!((steered.next_change(0), steered.next_change(SECOND)), (Some(SECOND), Some(2 * SECOND)));
    }

    #[test]
    fn the_next_change_leads_through_every_level_and_ends() {
        let shape = profile(&[
            (StageKind::Ramp(Users(50)), 5),
            (StageKind::Hold(Users(50)), 5),
            (StageKind::Ramp(Users(10)), 4),
        ]);
        let (mut at, mut seen) = (0, vec![shape.users_at(0)]);
        while let Some(next) = shape.next_change(at) {
            assert!(next > at);
            at = next;
            seen.push(shape.users_at(at));
        }
        assert_eq!(seen.iter().copied().max(), Some(50));
        assert!((0..50).all(|level| seen.contains(&level)), "{seen:?}");
        assert_eq!(at, 14_000_000_000);
    }
}
