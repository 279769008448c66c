//! Linear and quadratic least squares of throughput on load.
//!
//! X(N) = a + bN (+ cN²), solved by the QR of `linfa-linear`. Neither knows of saturation: they are there
//! to be measured against, and a line is right as long as nothing waits.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use crate::least_squares::{Curve, Data, Solution};

/// A polynomial of load; its parameters are the coefficients, the constant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Polynomial {
    pub(crate) degree: usize,
}

impl Curve for Polynomial {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        theta.iter().rev().fold(0.0, |sum, coefficient| sum * load + coefficient)
    }

    fn gradient(&self, _: &[f64], load: f64, into: &mut [f64]) {
        let mut power = 1.0;
        into.iter_mut().for_each(|slope| {
            *slope = power;
            power *= load;
        });
    }
}

impl Polynomial {
    pub(crate) fn fit(&self, data: &Data) -> Option<Solution> {
        let parameters = self.degree + 1;
        if data.levels() < parameters {
            return None;
        }
        // Loads as shares of the highest: their powers stay of one size.
        let highest = data.loads.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let features = Array2::from_shape_fn((data.len(), parameters), |(row, column)| {
            data.weights[row].sqrt() * (data.loads[row] / highest).powi(column as i32)
        });
        let targets: Array1<f64> = data.rows().map(|(_, value, weight)| value * weight.sqrt()).collect();
        let regression = LinearRegression::new().with_intercept(false);
        let fitted = regression.fit(&Dataset::new(features, targets)).ok()?;
        let coefficients = fitted.params().iter().enumerate();
        let theta: Vec<f64> = coefficients.map(|(power, value)| value / highest.powi(power as i32)).collect();
        let sum_of_squares = data.sum_of_squares(self, &theta);
        sum_of_squares.is_finite().then_some(Solution { theta, sum_of_squares })
    }

    /// The load of the highest throughput; `None` where there is none.
    pub(crate) fn peak(theta: &[f64]) -> Option<f64> {
        match theta {
            [_, slope, bend] if *bend < 0.0 && *slope > 0.0 => Some(-slope / (2.0 * bend)),
            _ => None,
        }
    }
}
