//! Throughput on several functions of load by elastic net.
//!
//! X(N) = a + b₁N + b₂√N + b₃ ln N, with the coefficients of `linfa-elasticnet` (H. Zou, T. Hastie,
//! "Regularization and variable selection via the elastic net", J. R. Stat. Soc. B 67, 2005), whose ridge
//! share carries features that go with each other, as these do. Features and throughput are standardised
//! before the fit. Penalised coefficients are biased on purpose, so they come without standard errors.
//!
//! It knows of saturation only as far as the data show it.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet as Regression;
use ndarray::{Array1, Array2};

use crate::least_squares::{Curve, Data, Solution};

/// The curve; its parameters are a, b₁, b₂, b₃.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ElasticNet;

const FEATURES: usize = 3;
/// Little, because a handful of good points is the rule: enough to hold coefficients that the data do not.
const PENALTY: f64 = 1e-3;
/// Half lasso, half ridge.
const LASSO_SHARE: f64 = 0.5;

impl Curve for ElasticNet {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        let features = features(load);
        theta[0] + theta[1..].iter().zip(features).map(|(slope, feature)| slope * feature).sum::<f64>()
    }

    fn gradient(&self, _: &[f64], load: f64, into: &mut [f64]) {
        into[0] = 1.0;
        into[1..].copy_from_slice(&features(load));
    }
}

fn features(load: f64) -> [f64; FEATURES] {
    [load, load.sqrt(), load.ln()]
}

impl ElasticNet {
    pub(crate) fn fit(&self, data: &Data) -> Option<Solution> {
        if data.levels() < FEATURES {
            return None;
        }
        let total: f64 = data.weights.iter().sum();
        let moments = |value: &dyn Fn(usize) -> f64| {
            let mean = (0..data.len()).map(|row| data.weights[row] * value(row)).sum::<f64>() / total;
            let square = (0..data.len()).map(|row| data.weights[row] * (value(row) - mean).powi(2));
            (mean, (square.sum::<f64>() / total).sqrt())
        };
        let columns: Vec<(f64, f64)> =
            (0..FEATURES).map(|column| moments(&|row| features(data.loads[row])[column])).collect();
        let (mean, spread) = moments(&|row| data.values[row]);
        if spread <= 0.0 || columns.iter().any(|(_, spread)| *spread <= 0.0) {
            return None;
        }
        let root = |row: usize| (data.weights[row] * data.len() as f64 / total).sqrt();
        let matrix = Array2::from_shape_fn((data.len(), FEATURES), |(row, column)| {
            let (mean, spread) = columns[column];
            root(row) * (features(data.loads[row])[column] - mean) / spread
        });
        let targets: Array1<f64> =
            (0..data.len()).map(|row| root(row) * (data.values[row] - mean) / spread).collect();
        let regression = Regression::params()
            .penalty(PENALTY)
            .l1_ratio(LASSO_SHARE)
            .with_intercept(false)
            .max_iterations(2000)
            .tolerance(1e-6);
        let fitted = regression.fit(&Dataset::new(matrix, targets)).ok()?;
        let slopes: Vec<f64> = fitted
            .hyperplane()
            .iter()
            .zip(&columns)
            .map(|(slope, (_, width))| slope * spread / width)
            .collect();
        let constant = mean - slopes.iter().zip(&columns).map(|(slope, (mean, _))| slope * mean).sum::<f64>();
        let theta: Vec<f64> = std::iter::once(constant).chain(slopes).collect();
        let sum_of_squares = data.sum_of_squares(self, &theta);
        sum_of_squares.is_finite().then_some(Solution { theta, sum_of_squares })
    }
}
