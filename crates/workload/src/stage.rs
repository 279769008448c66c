use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_units::{Rate, Users};

use crate::Curve;

/// One stage of a load: where the load goes and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage<L> {
    /// What it does.
    pub kind: StageKind<L>,
    /// How long it lasts; longer than zero.
    pub length: Duration,
}

/// What a stage does with the load.
#[derive(Debug, Clone, PartialEq)]
pub enum StageKind<L> {
    /// From the level before it, linearly to this one.
    Ramp(L),
    /// This level throughout.
    Hold(L),
    /// This level throughout; a ramp that follows starts from the level before the spike.
    Spike(L),
    /// No load; a ramp that follows starts from the level before the pause.
    Pause,
    /// Level over time, out of a file; a ramp that follows starts from its last level.
    Schedule(Arc<Curve>),
    /// What was recorded: when each arrival is due is known, and this is how many there are over time.
    Replay(Arc<Curve>),
}

impl<L> Stage<L> {
    /// A curve as a stage of this kind, which lasts as long as it does.
    pub fn along(curve: Curve, kind: impl FnOnce(Arc<Curve>) -> StageKind<L>) -> Self {
        let length = curve.length();
        Self { kind: kind(Arc::new(curve)), length }
    }
}

impl<L> StageKind<L> {
    /// Its word in plans and results.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ramp(_) => "ramp",
            Self::Hold(_) => "hold",
            Self::Spike(_) => "spike",
            Self::Pause => "pause",
            Self::Schedule(_) => "schedule",
            Self::Replay(_) => "replay",
        }
    }
}

/// What a stage can be made of: a rate of arrivals or a number of users.
pub trait Level: Copy + fmt::Display {
    /// No load.
    const ZERO: Self;
    /// The level as a number: arrivals per second, or users.
    fn amount(self) -> f64;
}

impl Level for Rate {
    const ZERO: Self = Rate::ZERO;
    fn amount(self) -> f64 {
        self.per_second()
    }
}

impl Level for Users {
    const ZERO: Self = Users(0);
    fn amount(self) -> f64 {
        f64::from(self.0)
    }
}

/// A stage between two offsets with the levels at its ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    /// The nanoseconds it covers. What lies in which segment is decided by whole numbers: the sum of
    /// two lengths in seconds may miss the next start by a hair, and a moment would be in neither.
    pub(crate) nanos: Range<u64>,
    /// Seconds from the start of the stages.
    pub(crate) start: f64,
    pub(crate) length: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// Stages laid end to end, levels resolved.
pub(crate) fn segments<L: Level>(stages: &[Stage<L>]) -> Vec<Segment> {
    let mut base = 0.0;
    let mut start = Duration::ZERO;
    let mut segments = Vec::with_capacity(stages.len());
    for stage in stages {
        let end = start + stage.length;
        let mut push = |begin: Duration, end: Duration, from, to| {
            let nanos = begin.as_nanos() as u64..end.as_nanos() as u64;
            let (start, length) = (begin.as_secs_f64(), (end - begin).as_secs_f64());
            segments.push(Segment { nanos, start, length, from, to });
        };
        match &stage.kind {
            StageKind::Ramp(level) => {
                push(start, end, base, level.amount());
                base = level.amount();
            }
            StageKind::Hold(level) => {
                base = level.amount();
                push(start, end, base, base);
            }
            StageKind::Spike(level) => push(start, end, level.amount(), level.amount()),
            StageKind::Pause => push(start, end, 0.0, 0.0),
            StageKind::Schedule(curve) | StageKind::Replay(curve) => {
                curve.parts().for_each(|[from, to]| push(start + from.0, start + to.0, from.1, to.1));
                base = curve.last();
            }
        }
        start = end;
    }
    segments
}

/// The load shapes people ask for by name, around a base rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The base rate, held.
    Normal,
    /// Twice the base.
    Peak,
    /// Five times the base, climbed to in steps.
    Stress,
    /// The base, ten times the base for a moment, the base again.
    Spike,
    /// The base for hours.
    Endurance,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Peak, Self::Stress, Self::Spike, Self::Endurance];

    /// Its word in plans.
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Peak => "peak",
            Self::Stress => "stress",
            Self::Spike => "spike",
            Self::Endurance => "endurance",
        }
    }

    /// The preset with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.label() == label)
    }

    /// How long it lasts unless the plan says.
    pub fn default_length(self) -> Duration {
        match self {
            Self::Normal | Self::Peak | Self::Stress | Self::Spike => Duration::from_secs(5 * 60),
            Self::Endurance => Duration::from_secs(4 * 3600),
        }
    }

    /// The stages of the preset. `scale` multiplies the base level. Shares of the length: a tenth to
    /// ramp up, the rest at the level; stress climbs 1x to 5x in five equal steps; a spike takes the
    /// middle tenth.
    pub fn stages<L: Level>(self, base: L, length: Duration, scale: impl Fn(L, f64) -> L) -> Vec<Stage<L>> {
        let share = |tenths: u32| length * tenths / 10;
        let ramp =
            |factor, tenths| Stage { kind: StageKind::Ramp(scale(base, factor)), length: share(tenths) };
        let hold =
            |factor, tenths| Stage { kind: StageKind::Hold(scale(base, factor)), length: share(tenths) };
        match self {
            Self::Normal | Self::Endurance => vec![ramp(1.0, 1), hold(1.0, 9)],
            Self::Peak => vec![ramp(2.0, 1), hold(2.0, 9)],
            Self::Stress => [1.0, 2.0, 3.0, 4.0, 5.0].map(|factor| hold(factor, 2)).to_vec(),
            Self::Spike => {
                let spike = Stage { kind: StageKind::Spike(scale(base, 10.0)), length: share(1) };
                vec![ramp(1.0, 1), hold(1.0, 4), spike, hold(1.0, 4)]
            }
        }
    }
}
