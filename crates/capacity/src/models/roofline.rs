//! The saturating roofline.
//!
//! X(N) = X∞ N / (N^h + K^h)^(1/h)
//!
//! Below K every user adds X∞/K, above it the service gives X∞; h says how sharp the knee is. The
//! two bounds are those of asymptotic analysis: E. D. Lazowska et al., "Quantitative System Performance"
//! (Prentice Hall, 1984), ch. 5: X ≤ min(N/D, 1/D_max), with K the load where they meet. The smooth joint
//! is the generalised mean of the two; h = 1 is the law of Michaelis and Menten.
//!
//! It assumes that throughput levels out and never declines.

use crate::least_squares::{Curve, Data, Solution, minimise_from, minimise_roughly};

/// The curve; its parameters are X∞, K and h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roofline;

const CEILING: usize = 0;
const KNEE: usize = 1;
const SHARPNESS: usize = 2;

/// Beyond these no data tell one knee from another: softer is a line in logarithms, sharper is two lines.
const SOFTEST: f64 = 0.5;
const SHARPEST: f64 = 12.0;

impl Curve for Roofline {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        let (ceiling, knee, sharpness) = (theta[CEILING], theta[KNEE], theta[SHARPNESS]);
        // With r = N/K: X∞ r / (1 + r^h)^(1/h), written so that no power overflows.
        let ratio = load / knee;
        if ratio <= 1.0 {
            ceiling * ratio * (1.0 + ratio.powf(sharpness)).powf(-1.0 / sharpness)
        } else {
            ceiling * (1.0 + ratio.powf(-sharpness)).powf(-1.0 / sharpness)
        }
    }

    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]) {
        let (ceiling, knee, sharpness) = (theta[CEILING], theta[KNEE], theta[SHARPNESS]);
        let value = self.value(theta, load);
        let log = (load / knee).ln();
        let power = (sharpness * log).clamp(-700.0, 700.0).exp();
        let above = power / (1.0 + power);
        into[CEILING] = value / ceiling;
        into[KNEE] = -value * (1.0 - above) / knee;
        into[SHARPNESS] = value * (power.ln_1p() / sharpness - above * log) / sharpness;
    }
}

impl Roofline {
    /// The least-squares curve with h within bounds that data can tell.
    pub(crate) fn fit(&self, data: &Data) -> Option<Solution> {
        let highest = data.values.iter().copied().fold(0.0, f64::max);
        let steepest = data.rows().map(|(load, value, _)| value / load).fold(0.0_f64, f64::max);
        if highest <= 0.0 {
            return None;
        }
        let knee = highest / steepest;
        let starts = [(1.0, 2.0), (1.2, 1.0), (1.0, 6.0), (2.0, 1.0)];
        let starts = starts.map(|(ceiling, sharpness)| vec![highest * ceiling, knee * ceiling, sharpness]);
        self.fit_from(data, &starts)
    }

    fn fit_from(&self, data: &Data, starts: &[Vec<f64>]) -> Option<Solution> {
        // Fewer loads than parameters do not tell one curve from another.
        if data.levels() < 3 {
            return None;
        }
        let starts: Vec<Vec<f64>> = starts.iter().map(|start| logarithms(start)).collect();
        let free = minimise_from(&Logarithmic, &starts, &[CEILING, KNEE, SHARPNESS], data);
        let solution = free.filter(is_within_bounds).or_else(|| {
            let bounded = [SOFTEST, SHARPEST].map(|sharpness| {
                let bound = |start: &Vec<f64>| vec![start[CEILING], start[KNEE], f64::ln(sharpness)];
                let starts: Vec<Vec<f64>> = starts.iter().map(bound).collect();
                minimise_from(&Logarithmic, &starts, &[CEILING, KNEE], data)
            });
            let bounded = bounded.into_iter().flatten();
            bounded.min_by(|left, right| left.sum_of_squares.total_cmp(&right.sum_of_squares))
        })?;
        natural(&solution)
    }

    /// The curve of data that are nearly those of a known one, to some digits.
    pub(super) fn refit(&self, data: &Data, theta: &[f64]) -> Option<Solution> {
        let start = logarithms(theta);
        let whole = minimise_roughly(&Logarithmic, &start, &[CEILING, KNEE, SHARPNESS], data);
        let solution = whole
            .filter(is_within_bounds)
            .or_else(|| minimise_roughly(&Logarithmic, &start, &[CEILING, KNEE], data))?;
        natural(&solution)
    }
}

fn is_within_bounds(solution: &Solution) -> bool {
    (SOFTEST.ln()..=SHARPEST.ln()).contains(&solution.theta[SHARPNESS])
}

fn logarithms(theta: &[f64]) -> Vec<f64> {
    theta.iter().map(|value| value.ln()).collect()
}

fn natural(solution: &Solution) -> Option<Solution> {
    let theta: Vec<f64> = solution.theta.iter().map(|value| value.exp()).collect();
    theta
        .iter()
        .all(|value| value.is_finite() && *value > 0.0)
        .then_some(Solution { theta, sum_of_squares: solution.sum_of_squares })
}

/// The same with the logarithms of its parameters, which cannot leave their range.
struct Logarithmic;

impl Curve for Logarithmic {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        Roofline.value(&[theta[0].exp(), theta[1].exp(), theta[2].exp()], load)
    }

    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]) {
        let natural = [theta[0].exp(), theta[1].exp(), theta[2].exp()];
        Roofline.gradient(&natural, load, into);
        into.iter_mut().zip(natural).for_each(|(slope, value)| *slope *= value);
    }
}
