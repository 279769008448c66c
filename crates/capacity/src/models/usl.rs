//! The Universal Scalability Law.
//!
//! X(N) = λN / (1 + σ(N − 1) + κN(N − 1))
//!
//! λ is the throughput of one user, σ the share of work that waits its turn (contention), κ what users
//! cost each other pairwise (coherency). N. J. Gunther, "A New Interpretation of Amdahl's Law and Geometric
//! Scalability" (2002) and "Guerrilla Capacity Planning" (Springer, 2007), ch. 4 to 6; the peak is at
//! N* = √((1 − σ)/κ).
//!
//! It assumes one kind of work, users without think time, and that both losses grow by their laws
//! from the first user on. Services that level out without declining break the last assumption: there the
//! law predicts a decline that does not come.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use crate::least_squares::{Curve, Data, Solution, minimise, minimise_from, minimise_roughly};

/// What is known of the parameters before the fit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usl {
    /// The throughput of one user, where it was measured by itself; else it is fitted.
    pub lambda: Option<f64>,
    /// Lets σ and κ become negative, as unconstrained fits in the literature do. Such a law has no meaning
    /// beyond the data; it is there to be compared with published figures.
    pub unbounded: bool,
}

/// Places of the parameters.
const SIGMA: usize = 0;
const KAPPA: usize = 1;
const LAMBDA: usize = 2;

impl Curve for Usl {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        theta[LAMBDA] * load / divisor(theta, load)
    }

    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]) {
        let divisor = divisor(theta, load);
        let value = theta[LAMBDA] * load / divisor;
        into[SIGMA] = -value * (load - 1.0) / divisor;
        into[KAPPA] = -value * load * (load - 1.0) / divisor;
        into[LAMBDA] = load / divisor;
    }
}

fn divisor(theta: &[f64], load: f64) -> f64 {
    1.0 + theta[SIGMA] * (load - 1.0) + theta[KAPPA] * load * (load - 1.0)
}

impl Usl {
    /// The load of the highest throughput; `None` where throughput never falls.
    pub(crate) fn peak(theta: &[f64]) -> Option<f64> {
        let (sigma, kappa) = (theta[SIGMA], theta[KAPPA]);
        // Rounding leaves κ a hair above a bound it belongs on.
        (kappa > 1e-15 && sigma < 1.0).then(|| ((1.0 - sigma) / kappa).sqrt().max(1.0))
    }

    /// The least-squares law.
    ///
    /// Bounds are kept by active sets: where the free minimum lies beyond one, the minimum on each bound
    /// is sought, and the best of those within all bounds is taken.
    pub(crate) fn fit(&self, data: &Data) -> Option<Solution> {
        self.fit_from(data, &self.starts(data))
    }

    /// The law of data that are nearly those of a known one, to some digits.
    pub(super) fn refit(&self, data: &Data, theta: &[f64]) -> Option<Solution> {
        let free: [&[usize]; 3] = [&[SIGMA, KAPPA, LAMBDA], &[SIGMA, LAMBDA], &[KAPPA, LAMBDA]];
        free.into_iter().find_map(|free| {
            let mut start = theta.to_vec();
            [SIGMA, KAPPA].iter().filter(|index| !free.contains(index)).for_each(|index| start[*index] = 0.0);
            let solution = minimise_roughly(self, &start, &self.parameters(free), data)?;
            is_within_bounds(&solution.theta).then_some(solution)
        })
    }

    fn fit_from(&self, data: &Data, starts: &[Vec<f64>]) -> Option<Solution> {
        // Fewer loads than parameters do not tell one law from another.
        if data.levels() < self.parameters(&[SIGMA, KAPPA, LAMBDA]).len() {
            return None;
        }
        let whole = minimise_from(self, starts, &self.parameters(&[SIGMA, KAPPA, LAMBDA]), data)?;
        if self.unbounded || is_within_bounds(&whole.theta) {
            return Some(whole);
        }
        let on_bounds: [&[usize]; 3] = [&[SIGMA, LAMBDA], &[KAPPA, LAMBDA], &[LAMBDA]];
        let minima = on_bounds.iter().flat_map(|free| {
            let bound = |start: &Vec<f64>| {
                let mut start = start.clone();
                [SIGMA, KAPPA].iter().filter(|index| !free.contains(index)).for_each(|index| {
                    start[*index] = 0.0;
                });
                start
            };
            let free = self.parameters(free);
            starts
                .iter()
                .filter_map(|start| match free[..] {
                    [] => Some(bound(start))
                        .map(|theta| Solution { sum_of_squares: data.sum_of_squares(self, &theta), theta }),
                    _ => minimise(self, &bound(start), &free, data),
                })
                .collect::<Vec<_>>()
        });
        let allowed = minima.filter(|solution| is_within_bounds(&solution.theta));
        allowed.min_by(|left, right| left.sum_of_squares.total_cmp(&right.sum_of_squares))
    }

    /// Those of these parameters that are fitted.
    fn parameters(&self, of: &[usize]) -> Vec<usize> {
        of.iter().copied().filter(|index| *index != LAMBDA || self.lambda.is_none()).collect()
    }

    /// From where to look: the linear form's solution, and ordinary services.
    fn starts(&self, data: &Data) -> Vec<Vec<f64>> {
        let steepest = data.rows().map(|(load, value, _)| value / load).fold(0.0_f64, f64::max);
        let lambda = self.lambda.unwrap_or(steepest);
        let highest = data.loads.iter().fold(1.0_f64, |highest, load| highest.max(*load));
        let ordinary = [(0.01, 0.0), (0.1, 0.0), (0.05, 1.0), (0.5, 0.1)];
        let ordinary = ordinary.map(|(sigma, kappa)| vec![sigma, kappa / (highest * highest), lambda]);
        let linear = linear_form(data)
            .map(|theta| vec![theta[SIGMA], theta[KAPPA], self.lambda.unwrap_or(theta[LAMBDA])]);
        linear.into_iter().chain(ordinary).collect()
    }
}

fn is_within_bounds(theta: &[f64]) -> bool {
    theta[SIGMA] >= 0.0 && theta[KAPPA] >= 0.0 && theta[LAMBDA] > 0.0
}

/// N/X = 1/λ + (σ/λ)(N − 1) + (κ/λ)N(N − 1) is linear: ordinary least squares gives a start that is
/// within a percent of the optimum where the data are good.
fn linear_form(data: &Data) -> Option<Vec<f64>> {
    let rows: Vec<(f64, f64)> =
        data.rows().filter(|(_, value, _)| *value > 0.0).map(|(load, value, _)| (load, value)).collect();
    if rows.len() < 3 {
        return None;
    }
    let features = Array2::from_shape_fn((rows.len(), 2), |(row, column)| {
        let load = rows[row].0;
        if column == 0 { load - 1.0 } else { load * (load - 1.0) }
    });
    let targets: Array1<f64> = rows.iter().map(|(load, value)| load / value).collect();
    let fitted = LinearRegression::new().fit(&Dataset::new(features, targets)).ok()?;
    let (inverse, slopes) = (fitted.intercept(), fitted.params());
    let theta = [slopes[0] / inverse, slopes[1] / inverse, 1.0 / inverse];
    (inverse > 0.0 && theta.iter().all(|value| value.is_finite()))
        .then(|| vec![theta[SIGMA].clamp(0.0, 1.0), theta[KAPPA].max(0.0), theta[LAMBDA]])
}
