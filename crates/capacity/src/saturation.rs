//! Has the limit been seen? The gain of the last doubling of load decides what may be said.
//!
//! A service that still gains much from more load does not reveal where that ends: no model of
//! throughput against load alone gets there from below. So the gate stands before every model.

use statrs::statistics::Statistics;

use crate::least_squares::t_quantile;
use crate::{Level, LoadKind};

/// How near to its limit a service was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saturation {
    /// The last doubling gained at most 5%: the peak has been seen.
    Saturated,
    /// At most 15%: the peak is near, and a curve reaches it.
    Nearly,
    /// More, or too little is known: nobody can say where it ends.
    NotSaturated,
}

/// A gain up to this means that the peak has been seen.
const SEEN: f64 = 0.05;
/// A gain up to this can be carried on.
const NEAR: f64 = 0.15;
/// An open loop that finishes less than this share of what arrives has met a limit.
const KEEPS_UP: f64 = 0.95;
/// How nearly the lowest levels finish what arrives, when a load of unknown kind is taken for a rate.
const LOOKS_LIKE_A_RATE: f64 = 0.03;

impl Saturation {
    /// Of the gain of the last doubling; `None` is not saturated.
    pub fn of(gain: Option<f64>) -> Self {
        match gain {
            Some(gain) if gain <= SEEN => Self::Saturated,
            Some(gain) if gain <= NEAR => Self::Nearly,
            _ => Self::NotSaturated,
        }
    }

    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Saturated => "saturated",
            Self::Nearly => "nearly",
            Self::NotSaturated => "not_saturated",
        }
    }
}

/// By which share the last doubling of load raised throughput; `None` with fewer than three levels or
/// without throughput.
///
/// With levels at half the highest load and at the highest it is their quotient less one. With
/// more in between it is the slope of the logarithms over all of them; with fewer, that of the last two.
/// Where the last part of many levels is flat beyond doubt, that counts: a search in small steps ends soon
/// after the knee.
pub fn last_gain(levels: &[Level], kind: LoadKind) -> Option<f64> {
    let highest = levels.last()?.load;
    if levels.len() < 3 || levels.iter().all(|level| level.throughput <= 0.0) {
        return None;
    }
    if levels.last()?.throughput <= 0.0 {
        return Some(-1.0);
    }
    let since = |load: f64| {
        let from = levels.partition_point(|level| level.load < load * (1.0 - 1e-9));
        &levels[from..]
    };
    let half = since(highest / 2.0);
    let half = if half.len() < 2 { &levels[levels.len() - 2..] } else { half };
    let (slope, _) = slope(half)?;
    let tail = since(highest / std::f64::consts::SQRT_2);
    let flat_tail = slope_and_error(tail).map(|(slope, error)| slope + error);
    let gain = flat_tail.map_or(slope, |tail| slope.min(tail)).exp2() - 1.0;
    Some(if overloads(levels, kind) { gain.min(SEEN) } else { gain })
}

/// The slope of ln X on ln N with the half-width of its one-sided 95% bound; `None` below three levels.
fn slope_and_error(levels: &[Level]) -> Option<(f64, f64)> {
    let (slope, error) = slope(levels)?;
    let t = t_quantile(0.90, levels.len().checked_sub(2)?)?;
    Some((slope, t * error?))
}

/// The slope of ln X on ln N and its standard error.
fn slope(levels: &[Level]) -> Option<(f64, Option<f64>)> {
    let known: Vec<(f64, f64)> = levels
        .iter()
        .filter(|level| level.throughput > 0.0)
        .map(|level| (level.load.ln(), level.throughput.ln()))
        .collect();
    if known.len() < 2 {
        return None;
    }
    let middle = known.iter().map(|(x, _)| *x).mean();
    let height = known.iter().map(|(_, y)| *y).mean();
    let square: f64 = known.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    let slope = known.iter().map(|(x, y)| (x - middle) * (y - height)).sum::<f64>() / square;
    let left: f64 = known.iter().map(|(x, y)| (y - height - slope * (x - middle)).powi(2)).sum();
    let error = (known.len() > 2).then(|| (left / (known.len() - 2) as f64 / square).sqrt());
    slope.is_finite().then_some((slope, error))
}

/// Whether an open loop offered more than was finished, at two levels at least.
fn overloads(levels: &[Level], kind: LoadKind) -> bool {
    let keeps_up = |level: &Level| level.throughput >= KEEPS_UP * level.load;
    let open = match kind {
        LoadKind::Rate => true,
        LoadKind::Users => false,
        LoadKind::Unknown => {
            levels.iter().take(3).all(|level| (level.throughput / level.load - 1.0).abs() < LOOKS_LIKE_A_RATE)
        }
    };
    open && levels.iter().rev().take(2).all(|level| !keeps_up(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(points: &[(f64, f64)], kind: LoadKind) -> Option<f64> {
        let levels: Vec<Level> = points
            .iter()
            .map(|(load, throughput)| Level { load: *load, throughput: *throughput, count: 1 })
            .collect();
        last_gain(&levels, kind).map(|gain| (gain * 1e4).round() / 1e4)
    }

    #[test]
    fn the_last_doubling_is_what_counts() {
        let users = LoadKind::Users;
        assert_eq!(gain(&[(8.0, 100.0), (16.0, 190.0), (32.0, 209.0)], users), Some(0.1));
        assert_eq!(gain(&[(8.0, 100.0), (16.0, 190.0), (32.0, 152.0)], users), Some(-0.2));
        assert_eq!(
            gain(&[(1.0, 10.0), (10.0, 100.0), (100.0, 200.0)], users),
            Some(0.232),
            "scaled to a doubling"
        );
        assert_eq!(gain(&[(8.0, 100.0), (16.0, 190.0)], users), None);
        assert_eq!(gain(&[(8.0, 0.0), (16.0, 0.0), (32.0, 0.0)], users), None);
        assert_eq!(gain(&[(8.0, 10.0), (16.0, 1.0), (32.0, 0.0)], users), Some(-1.0));
    }

    #[test]
    fn small_steps_past_the_knee_are_enough() {
        let steps: Vec<(f64, f64)> =
            (1..=20).map(|step| f64::from(step) * 10.0).map(|load| (load, load.min(150.0))).collect();
        assert!(Saturation::of(gain(&steps, LoadKind::Users)) != Saturation::NotSaturated);
        assert_eq!(gain(&steps[..17], LoadKind::Rate), Some(SEEN), "two rates were not kept up with");
        assert!(gain(&steps[..15], LoadKind::Rate) > Some(0.9));
    }
}
