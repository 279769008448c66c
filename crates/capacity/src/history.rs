//! What earlier runs of the same service say about a new one.
//!
//! A new version seldom changes the shape of a service's curve, only its height. So an earlier curve,
//! scaled to the levels that both have, foretells the new one far beyond these levels. Where the ratios
//! of these levels disagree the shape has changed, and history has nothing to say.

use crate::saturation::last_gain;
use crate::{Estimate, Level, Points, Saturation};

/// An earlier run.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// What people call it: a version, a date.
    pub name: String,
    /// What was measured.
    pub points: Points,
}

/// An earlier run held against the new one.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The earlier run.
    pub name: String,
    /// What it foretells, or why it does not.
    pub outcome: Result<Scaled, Unlike>,
}

/// An earlier curve scaled to the new run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// New over earlier throughput.
    pub ratio: f64,
    /// By how much the largest ratio of a level exceeds the smallest.
    pub disagreement: f64,
    /// The peak it leads to: never below what the new run has shown already.
    pub throughput: f64,
    /// The load where the earlier run had its peak.
    pub load: f64,
    /// The earlier run's own peak.
    pub earlier_peak: f64,
    /// The highest load of the earlier run, where it was not saturated: the peak is that of loads up to it.
    pub up_to: Option<f64>,
    curve: Vec<Level>,
}

/// Why an earlier run cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unlike {
    /// Too few levels lie within the loads of the earlier run.
    #[error(
        "only {shared} of the loads lie within those of the earlier run ({low} to {high}); three are needed"
    )]
    TooFewShared {
        /// How many.
        shared: usize,
        /// The earlier run's lowest load.
        low: f64,
        /// Its highest.
        high: f64,
    },
    /// The shape of the curve has changed.
    #[error(
        "the ratios to it differ by {:.1}% between levels, more than {:.0}%: the curve has another shape",
        disagreement * 100.0, MOST_DISAGREEMENT * 100.0
    )]
    OtherShape {
        /// By how much the largest ratio exceeds the smallest.
        disagreement: f64,
    },
}

/// Ratios that differ by more are no common scale.
const MOST_DISAGREEMENT: f64 = 0.10;
/// How many levels the scale is taken from: the highest that both have, because they are nearest to
/// what is asked.
const LEVELS: usize = 3;
/// Their weights from the lowest to the highest: what is nearest to the peak says most about it, and the
/// others average its noise.
const WEIGHTS: [f64; LEVELS] = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0];

/// What scaled history errs by beside the disagreement of its levels, as a standard deviation of logarithms.
const ERRS: f64 = 0.015;
/// Half of a 90% interval in standard deviations of a normal distribution.
const Z: f64 = 1.645;

impl Scaled {
    /// The peak with its 90% interval.
    pub fn estimate(&self) -> Estimate {
        self.around(self.throughput)
    }

    /// A figure of this curve with its 90% interval.
    fn around(&self, value: f64) -> Estimate {
        let half = Z * ERRS.hypot(self.disagreement / 2.0);
        Estimate { value, low: value * (-half).exp(), high: value * half.exp() }
    }

    /// The throughput it foretells at a load within those of the earlier run.
    pub fn at(&self, load: f64) -> Option<Estimate> {
        interpolate(&self.curve, load).map(|throughput| self.around(throughput * self.ratio))
    }
}

/// Scales an earlier run to a new one.
pub fn compare(new: &[Level], earlier: &Earlier) -> Compared {
    Compared { name: earlier.name.clone(), outcome: scale(new, &earlier.points) }
}

fn scale(new: &[Level], earlier: &Points) -> Result<Scaled, Unlike> {
    let curve = earlier.levels();
    let shared: Vec<f64> = new
        .iter()
        .filter(|level| level.throughput > 0.0)
        .filter_map(|level| {
            let before = interpolate(&curve, level.load).filter(|throughput| *throughput > 0.0)?;
            Some((level.throughput / before).ln())
        })
        .collect();
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else {
        return Err(Unlike::TooFewShared { shared: 0, low: 0.0, high: 0.0 });
    };
    if shared.len() < LEVELS {
        return Err(Unlike::TooFewShared { shared: shared.len(), low: first.load, high: last.load });
    }
    let ratios = &shared[shared.len() - LEVELS..];
    let (low, high) = ratios
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
    let disagreement = (high - low).exp_m1();
    if disagreement > MOST_DISAGREEMENT {
        return Err(Unlike::OtherShape { disagreement });
    }
    let ratio = ratios.iter().zip(WEIGHTS).map(|(ratio, weight)| ratio * weight).sum::<f64>().exp();
    let peak = highest(&curve).unwrap_or(*last);
    let seen = highest(new);
    let foretold = peak.throughput * ratio;
    let (load, throughput) = match seen {
        Some(seen) if seen.throughput > foretold => (seen.load, seen.throughput),
        _ => (peak.load, foretold),
    };
    let saturation = Saturation::of(last_gain(&curve, earlier.kind()));
    let up_to = (saturation == Saturation::NotSaturated).then_some(last.load);
    Ok(Scaled { ratio, disagreement, throughput, load, earlier_peak: peak.throughput, up_to, curve })
}

/// The level with the highest throughput.
pub(crate) fn highest(levels: &[Level]) -> Option<Level> {
    levels.iter().copied().max_by(|left, right| left.throughput.total_cmp(&right.throughput))
}

/// Throughput at a load between two levels: a straight line in logarithms. `None` outside.
pub(crate) fn interpolate(levels: &[Level], load: f64) -> Option<f64> {
    let above = levels.partition_point(|level| level.load < load);
    let right = levels.get(above)?;
    if right.load == load {
        return Some(right.throughput);
    }
    let left = levels.get(above.checked_sub(1)?)?;
    let share = (load / left.load).ln() / (right.load / left.load).ln();
    if left.throughput > 0.0 && right.throughput > 0.0 {
        Some(left.throughput * (right.throughput / left.throughput).powf(share))
    } else {
        Some(left.throughput + share * (right.throughput - left.throughput))
    }
}
