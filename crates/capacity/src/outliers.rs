//! Points that cannot belong to the curve of the others.
//!
//! Each point is held against the curve that is fitted to all others, by its externally studentised
//! residual (R. D. Cook, S. Weisberg, "Residuals and Influence in Regression", 1982, §2.2.1): a ruined
//! point cannot pull the curve it is judged by. The farthest is left out and the rest judged again. A point
//! counts or it does not, so that clean data give the ordinary least-squares figures.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::ModelName;
use crate::least_squares::{Curve, Data};

/// With fewer points a curve goes through almost any of them.
const FEWEST_POINTS: usize = 6;
/// More than this share is no accident but another curve.
const LARGEST_SHARE: f64 = 0.2;
/// How often clean data may have an outlier.
const FALSE_ALARM: f64 = 0.001;
/// By how much of its value a point is off at least: small deviations do no harm.
const HARMFUL: f64 = 0.2;
/// Residuals of exact data are rounding: nothing is judged by less than this share.
const ROUNDING: f64 = 1e-3;
/// Of more points than this only those with the largest residuals are held against the others.
const HELD_AGAINST: usize = 60;
const SUSPECTS: usize = 10;

/// The rows, in their order, that do not belong to the others.
pub(crate) fn outliers(data: &Data) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..data.len()).collect();
    let most = (LARGEST_SHARE * data.len() as f64) as usize;
    let mut found = Vec::new();
    while rows.len() >= FEWEST_POINTS && found.len() <= most {
        let Some(worst) = worst(data, &rows) else { break };
        found.push(rows.remove(worst));
    }
    if found.len() > most {
        return Vec::new();
    }
    found.sort_unstable();
    found
}

/// The place among `rows` of the point that is farthest beyond doubt.
fn worst(data: &Data, rows: &[usize]) -> Option<usize> {
    let kept = of_rows(data, rows);
    let far = suspects(&kept).into_iter().filter_map(|place| Some((place, distance(&kept, place)?)));
    far.max_by(|left, right| left.1.total_cmp(&right.1)).map(|(place, _)| place)
}

fn of_rows(data: &Data, rows: &[usize]) -> Data {
    let take = |values: &[f64]| rows.iter().map(|row| values[*row]).collect();
    Data { loads: take(&data.loads), values: take(&data.values), weights: take(&data.weights) }
}

/// Rows worth the effort.
fn suspects(data: &Data) -> Vec<usize> {
    let all: Vec<usize> = (0..data.len()).collect();
    if all.len() <= HELD_AGAINST {
        return all;
    }
    let family = ModelName::Roofline.family();
    let Some(solution) = family.fit(data) else { return Vec::new() };
    let off = |row: usize| (data.values[row] / family.value(&solution.theta, data.loads[row]) - 1.0).abs();
    let mut all = all;
    all.sort_by(|left, right| off(*right).total_cmp(&off(*left)));
    all.truncate(SUSPECTS);
    all
}

/// The studentised residual of a row under the curve of the others, when it is an outlier's.
///
/// Of the two bounded models the one that fits the others better judges; the other must find the point
/// harmfully off too, or it only has another shape.
fn distance(data: &Data, row: usize) -> Option<f64> {
    let others: Vec<usize> = (0..data.len()).filter(|other| *other != row).collect();
    let others = of_rows(data, &others);
    let judged = [ModelName::Roofline, ModelName::Usl].map(|name| {
        let family = name.family();
        let theta = family.fit(&others)?.theta;
        let relative = |load: f64, value: f64| value / family.value(&theta, load) - 1.0;
        let degrees = others.len().checked_sub(theta.len()).filter(|degrees| *degrees > 0)?;
        let squares: f64 = others.rows().map(|(load, value, _)| relative(load, value).powi(2)).sum();
        let spread = (squares / degrees as f64).sqrt().max(ROUNDING);
        Some((spread, relative(data.loads[row], data.values[row]).abs(), degrees))
    });
    let [Some(first), Some(second)] = judged else { return None };
    let (spread, off, degrees) = if first.0 <= second.0 { first } else { second };
    // Each of n points has its chance of a false alarm (Bonferroni).
    let share = FALSE_ALARM / (2.0 * data.len() as f64);
    let limit = StudentsT::new(0.0, 1.0, degrees as f64).ok()?.inverse_cdf(1.0 - share);
    let far = off / spread;
    (far > limit && first.1.min(second.1) > HARMFUL).then_some(far)
}
