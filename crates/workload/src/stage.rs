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
    /// Level per second. Kept beside its ends: of a segment that was cut it is the one from before, to the last
    /// digit, so that what is due before the cut stays due when it was.
    pub(crate) slope: f64,
}

impl Segment {
    fn new(nanos: Range<u64>, from: f64, to: f64) -> Self {
        let (start, length) = (seconds(nanos.start), seconds(nanos.end - nanos.start));
        Self { nanos, start, length, from, to, slope: (to - from) / length }
    }

    /// The part of it before an offset.
    fn before(&self, at: u64) -> Option<Self> {
        if at <= self.nanos.start {
            return None;
        }
        let end = self.nanos.end.min(at);
        let to = if end < self.nanos.end { self.level_at(seconds(at)) } else { self.to };
        let length = if end < self.nanos.end { seconds(end - self.nanos.start) } else { self.length };
        Some(Self { nanos: self.nanos.start..end, length, to, ..self.clone() })
    }

    /// The part of it from an offset on.
    fn after(&self, at: u64) -> Option<Self> {
        if at >= self.nanos.end {
            return None;
        }
        if at <= self.nanos.start {
            return Some(self.clone());
        }
        let (start, length) = (seconds(at), seconds(self.nanos.end - at));
        Some(Self { nanos: at..self.nanos.end, start, length, from: self.level_at(start), ..self.clone() })
    }

    fn times(self, factor: f64) -> Self {
        let Self { from, to, slope, .. } = self;
        Self { from: from * factor, to: to * factor, slope: slope * factor, ..self }
    }

    /// Its level at an offset in seconds.
    pub(crate) fn level_at(&self, offset: f64) -> f64 {
        self.from + self.slope * (offset - self.start)
    }
}

/// Through [`Duration`], as everywhere: a quotient may miss it by the last digit.
fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// What a load is wanted to be from some moment on, in place of what its stages say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// This level until the stages end: arrivals per second, or users.
    Level(f64),
    /// What the stages say at each moment, times this: 1 is the plan again.
    Stages(f64),
}

/// A course up to an offset (nanoseconds), and from there on what is wanted. It ends where the stages do.
pub(crate) fn steered(course: &[Segment], stages: &[Segment], at: u64, wanted: Wanted) -> Vec<Segment> {
    let mut segments: Vec<_> = course.iter().filter_map(|segment| segment.before(at)).collect();
    let end = stages.last().map_or(0, |last| last.nanos.end);
    match wanted {
        Wanted::Level(level) => segments.extend((at < end).then(|| Segment::new(at..end, level, level))),
        Wanted::Stages(factor) => {
            let rest = stages.iter().filter_map(|segment| segment.after(at));
            segments.extend(rest.map(|segment| segment.times(factor)));
        }
    }
    segments
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
            segments.push(Segment::new(nanos, from, to));
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
