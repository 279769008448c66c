use std::time::Duration;

use plimsoll_units::Rate;

use crate::stage::{Segment, Stage, Wanted, segments, steered};

/// An arrival rate over time, piecewise linear, and its integral.
#[derive(Debug, Clone, PartialEq)]
pub struct RateProfile {
    segments: Vec<Segment>,
    /// Arrivals before each segment; one more entry than segments.
    before: Vec<f64>,
}

impl RateProfile {
    /// The profile of these stages, laid end to end from zero.
    pub fn new(stages: &[Stage<Rate>]) -> Self {
        Self::of(segments(stages))
    }

    /// This profile up to an offset (nanoseconds from the start of the stages), and from there on what is wanted,
    /// for as long as `stages`, the plan's profile, last. What is due before the offset is due there in both.
    #[must_use]
    pub fn steered(&self, stages: &Self, at: u64, wanted: Wanted) -> Self {
        Self::of(steered(&self.segments, &stages.segments, at, wanted))
    }

    fn of(segments: Vec<Segment>) -> Self {
        let mut total = 0.0;
        let mut before = vec![0.0];
        for segment in &segments {
            total += (segment.from + segment.to) / 2.0 * segment.length;
            before.push(total);
        }
        Self { segments, before }
    }

    /// How long the stages last.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.segments.last().map_or(0.0, |last| last.start + last.length))
    }

    /// The integral of the rate over all stages: how many arrivals uniform spacing offers, before rounding up.
    pub fn total(&self) -> f64 {
        self.before[self.segments.len()]
    }

    /// Arrivals per second at an offset; zero outside the stages.
    pub fn rate_at(&self, offset: Duration) -> f64 {
        let nanos = offset.as_nanos() as u64;
        let inside = |segment: &&Segment| segment.nanos.contains(&nanos);
        let segment = self.segments.iter().find(inside);
        segment.map_or(0.0, |segment| segment.level_at(offset.as_secs_f64()))
    }

    /// The integral of the rate up to an offset (nanoseconds from the start of the stages).
    pub(crate) fn until(&self, nanos: u64) -> f64 {
        let position = self.segments.partition_point(|segment| segment.nanos.end <= nanos);
        let whole = self.before.get(position).copied().unwrap_or_else(|| self.total());
        let Some(segment) = self.segments.get(position) else { return whole };
        let x = Duration::from_nanos(nanos.saturating_sub(segment.nanos.start)).as_secs_f64();
        whole + x * (segment.from + segment.slope * x / 2.0)
    }

    /// The highest rate anywhere.
    pub fn peak(&self) -> f64 {
        self.segments.iter().map(|segment| segment.from.max(segment.to)).fold(0.0, f64::max)
    }

    /// When the integral of the rate reaches `arrivals`, in seconds; `None` beyond the total.
    ///
    /// Within a segment of rate a + s·x the integral is a·x + s·x²/2, whose inverse is written as
    /// x = 2c / (a + sqrt(a² + 2·s·c)): that form loses no digits when the slope is small and needs
    /// no case for a level rate.
    pub(crate) fn inverse(&self, arrivals: f64) -> Option<f64> {
        // Floating dust must not add an arrival at the very end: 500/s for 0.3 s are 150, not 151.
        if arrivals >= self.total() - self.total() * 1e-12 {
            return None;
        }
        let position = self.before.partition_point(|before| *before <= arrivals).checked_sub(1)?;
        let segment = self.segments.get(position)?;
        let count = arrivals - self.before[position];
        let root = (segment.from * segment.from + 2.0 * segment.slope * count).max(0.0).sqrt();
        let x = if count == 0.0 { 0.0 } else { 2.0 * count / (segment.from + root) };
        Some(segment.start + x.min(segment.length))
    }
}
