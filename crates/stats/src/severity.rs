use crate::two_sample::Interval;
use crate::verdict::Direction;

/// How bad a regression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is there, and may be within what is tolerated.
    Low,
    /// It is beyond the tolerance.
    Medium,
    /// It is beyond twice the tolerance.
    High,
}

impl Severity {
    /// That of a regression whose change is in this interval, against a tolerance (0.1 is 10%).
    ///
    /// The end nearer to no change counts: what the runs are sure of, not what they guess. Of a metric that is better when higher
    /// it is the share lost. A tolerance that is no number tolerates nothing that can be said.
    pub fn of(interval: Interval, direction: Direction, tolerance: f64) -> Self {
        let near = direction.worsening(interval.low).min(direction.worsening(interval.high));
        if near > 2.0 * tolerance {
            Self::High
        } else if near > tolerance {
            Self::Medium
        } else {
            Self::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_near_end_decides() {
        use Direction::{HigherIsBetter, LowerIsBetter};
        for (low, high, direction, expected) in [
            (0.02, 0.5, LowerIsBetter, Severity::Low),
            (0.1, 0.5, LowerIsBetter, Severity::Low),
            (0.11, 0.5, LowerIsBetter, Severity::Medium),
            (0.2, 0.5, LowerIsBetter, Severity::Medium),
            (0.21, 0.5, LowerIsBetter, Severity::High),
            (-0.5, -0.05, HigherIsBetter, Severity::Low),
            (-0.5, -0.15, HigherIsBetter, Severity::Medium),
            (-0.5, -0.25, HigherIsBetter, Severity::High),
        ] {
            assert_eq!(Severity::of(Interval { low, high }, direction, 0.1), expected, "{low} {high}");
        }
    }
}
