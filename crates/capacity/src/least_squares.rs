//! Weighted least squares of a curve with a few parameters, by the method of Levenberg and Marquardt
//! as MINPACK has it (Moré 1978), with what it leaves uncertain.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A function of load with parameters to be fitted.
pub(crate) trait Curve {
    /// Its value, requests per second or seconds.
    fn value(&self, theta: &[f64], load: f64) -> f64;
    /// Its derivatives by each parameter.
    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]);
}

/// What a curve is fitted to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Data {
    pub(crate) loads: Vec<f64>,
    pub(crate) values: Vec<f64>,
    /// Proportional to 1/variance.
    pub(crate) weights: Vec<f64>,
}

/// Where a minimisation ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    pub(crate) theta: Vec<f64>,
    /// The weighted sum of squared residuals.
    pub(crate) sum_of_squares: f64,
}

/// What the data leave open about parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Uncertainty {
    /// s² (JᵀWJ)⁻¹.
    pub(crate) covariance: DMatrix<f64>,
    /// s: the standard deviation of a residual of weight 1.
    pub(crate) residual: f64,
    /// n - p.
    pub(crate) degrees: usize,
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        self.loads.len()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let pairs = self.loads.iter().zip(&self.values);
        pairs.zip(&self.weights).map(|((load, value), weight)| (*load, *value, *weight))
    }

    /// The weighted sum of squared residuals of a curve.
    pub(crate) fn sum_of_squares(&self, curve: &impl Curve, theta: &[f64]) -> f64 {
        self.rows().map(|(load, value, weight)| weight * (value - curve.value(theta, load)).powi(2)).sum()
    }

    /// How many different loads there are; rows must be in their order.
    pub(crate) fn levels(&self) -> usize {
        self.loads.chunk_by(|left, right| left == right).count()
    }
}

/// Minimises over the parameters named in `free`, the others staying as they start.
///
/// `None` when the way leads out of the finite numbers.
pub(crate) fn minimise(curve: &impl Curve, start: &[f64], free: &[usize], data: &Data) -> Option<Solution> {
    minimise_to(curve, start, free, data, 1e-15, 60)
}

/// The same to some digits, for what is drawn hundreds of times.
pub(crate) fn minimise_roughly(
    curve: &impl Curve,
    start: &[f64],
    free: &[usize],
    data: &Data,
) -> Option<Solution> {
    minimise_to(curve, start, free, data, 1e-6, 6)
}

fn minimise_to(
    curve: &impl Curve,
    start: &[f64],
    free: &[usize],
    data: &Data,
    tolerance: f64,
    patience: usize,
) -> Option<Solution> {
    let problem = Problem { curve, data, theta: start.to_vec(), free };
    let (problem, _) = LevenbergMarquardt::new()
        .with_ftol(tolerance)
        .with_xtol(tolerance)
        .with_gtol(tolerance)
        .with_patience(patience)
        .minimize(problem);
    let sum_of_squares = data.sum_of_squares(curve, &problem.theta);
    let finite = sum_of_squares.is_finite() && problem.theta.iter().all(|value| value.is_finite());
    finite.then_some(Solution { theta: problem.theta, sum_of_squares })
}

/// The best of the minima that several starts lead to.
pub(crate) fn minimise_from(
    curve: &impl Curve,
    starts: &[Vec<f64>],
    free: &[usize],
    data: &Data,
) -> Option<Solution> {
    let minima = starts.iter().filter_map(|start| minimise(curve, start, free, data));
    minima.min_by(|left, right| left.sum_of_squares.total_cmp(&right.sum_of_squares))
}

/// What stays uncertain at a minimum. `None` with no degree of freedom, or where data do not tell
/// parameters apart.
pub(crate) fn uncertainty(curve: &impl Curve, theta: &[f64], data: &Data) -> Option<Uncertainty> {
    let degrees = data.len().checked_sub(theta.len()).filter(|degrees| *degrees > 0)?;
    let mut jacobian = DMatrix::zeros(data.len(), theta.len());
    let mut row = vec![0.0; theta.len()];
    for (index, (load, _, weight)) in data.rows().enumerate() {
        curve.gradient(theta, load, &mut row);
        row.iter().enumerate().for_each(|(column, slope)| {
            jacobian[(index, column)] = slope * weight.sqrt();
        });
    }
    let variance = data.sum_of_squares(curve, theta) / degrees as f64;
    let covariance = inverse_of_square(&jacobian)? * variance;
    Some(Uncertainty { covariance, residual: variance.sqrt(), degrees })
}

/// (JᵀJ)⁻¹, with columns brought to the same length first: parameters differ by many powers of ten.
pub(crate) fn inverse_of_square(jacobian: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let scales: Vec<f64> = jacobian.column_iter().map(|column| column.norm()).collect();
    if scales.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
        return None;
    }
    let mut scaled = jacobian.clone();
    for (mut column, scale) in scaled.column_iter_mut().zip(&scales) {
        column /= *scale;
    }
    // By QR rather than from the square itself, which would square the condition number.
    let inverse = scaled.qr().r().try_inverse()?;
    let mut covariance = &inverse * inverse.transpose();
    for row in 0..covariance.nrows() {
        for column in 0..covariance.ncols() {
            covariance[(row, column)] /= scales[row] * scales[column];
        }
    }
    covariance.iter().all(|value| value.is_finite()).then_some(covariance)
}

/// The factor of a standard error that an interval of this two-sided level needs, by Student's t.
///
/// `level` lies within (0, 1); `None` without degrees of freedom.
pub fn t_quantile(level: f64, degrees: usize) -> Option<f64> {
    if degrees == 0 || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let student = StudentsT::new(0.0, 1.0, degrees as f64).ok()?;
    Some(student.inverse_cdf(0.5 + level / 2.0))
}

struct Problem<'a, C> {
    curve: &'a C,
    data: &'a Data,
    theta: Vec<f64>,
    free: &'a [usize],
}

impl<C: Curve> LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_, C> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, free: &DVector<f64>) {
        for (index, value) in self.free.iter().zip(free.iter()) {
            self.theta[*index] = *value;
        }
    }

    fn params(&self) -> DVector<f64> {
        DVector::from_iterator(self.free.len(), self.free.iter().map(|index| self.theta[*index]))
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        let residuals = self
            .data
            .rows()
            .map(|(load, value, weight)| weight.sqrt() * (self.curve.value(&self.theta, load) - value));
        let residuals = DVector::from_iterator(self.data.len(), residuals);
        residuals.iter().all(|residual| residual.is_finite()).then_some(residuals)
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let mut jacobian = DMatrix::zeros(self.data.len(), self.free.len());
        let mut slopes = vec![0.0; self.theta.len()];
        for (row, (load, _, weight)) in self.data.rows().enumerate() {
            self.curve.gradient(&self.theta, load, &mut slopes);
            for (column, index) in self.free.iter().enumerate() {
                jacobian[(row, column)] = slopes[*index] * weight.sqrt();
            }
        }
        jacobian.iter().all(|slope| slope.is_finite()).then_some(jacobian)
    }
}
