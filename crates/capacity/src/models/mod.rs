//! Models of throughput against load, one file each.

mod elastic_net;
mod polynomial;
mod roofline;
mod usl;

use nalgebra::{DMatrix, DVector};

pub use usl::Usl;

use crate::choice::Foresight;
use crate::least_squares::{Curve, Data, Solution, Uncertainty, t_quantile, uncertainty};
use crate::{Points, data};
use elastic_net::ElasticNet;
use polynomial::Polynomial;
use roofline::Roofline;

/// A kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelName {
    /// The saturating roofline X∞N/(N^h + K^h)^(1/h).
    Roofline,
    /// The Universal Scalability Law.
    Usl,
    /// A line.
    Linear,
    /// A parabola.
    Quadratic,
    /// Load, its root and its logarithm by elastic net.
    ElasticNet,
}

/// A model fitted to measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Which one.
    pub name: ModelName,
    /// What was fitted.
    pub parameters: Vec<Parameter>,
    /// The share of variance explained. Shown because people ask for it; nothing is decided by it: a flat
    /// curve that fits within a percent has a low one. `None` where throughput does not vary.
    pub r2: Option<f64>,
    pub(crate) foresight: Option<Foresight>,
    theta: Vec<f64>,
    family: Family,
    uncertainty: Option<Uncertainty>,
}

/// A fitted figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name in results.
    pub name: &'static str,
    /// Its value, in the units of its model.
    pub value: f64,
    /// `None` without a degree of freedom, or where the data do not tell it from others.
    pub standard_error: Option<f64>,
    /// Whether the data tell it at all: the value of one that they do not tell is where a fit happened to stop. Of a figure that
    /// cannot be zero (a ceiling, a knee, a sharpness, λ; of latency curves all) they do not when its standard error exceeds it; of a
    /// ceiling and a knee neither when they lie beyond ten times what was measured.
    pub identified: bool,
}

/// A kind of model with what it needs to know to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Family {
    Roofline,
    Usl(Usl),
    Polynomial(Polynomial),
    ElasticNet,
}

impl ModelName {
    /// All of them, the steadiest first: where two foretell equally well, the first is taken.
    pub const ALL: [Self; 5] = [Self::Roofline, Self::Usl, Self::Linear, Self::Quadratic, Self::ElasticNet];

    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Roofline => "roofline",
            Self::Usl => "usl",
            Self::Linear => "linear",
            Self::Quadratic => "quadratic",
            Self::ElasticNet => "elastic_net",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Roofline => Family::Roofline,
            Self::Usl => Family::Usl(Usl::default()),
            Self::Linear => Family::Polynomial(Polynomial { degree: 1 }),
            Self::Quadratic => Family::Polynomial(Polynomial { degree: 2 }),
            Self::ElasticNet => Family::ElasticNet,
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Roofline => &["ceiling", "knee", "sharpness"],
            Self::Usl => &["sigma", "kappa", "lambda"],
            Self::Linear => &["constant", "slope"],
            Self::Quadratic => &["constant", "slope", "bend"],
            Self::ElasticNet => &["constant", "load", "root", "logarithm"],
        }
    }
}

impl Family {
    pub(crate) fn fit(self, data: &Data) -> Option<Solution> {
        match self {
            Self::Roofline => Roofline.fit(data),
            Self::Usl(usl) => usl.fit(data),
            Self::Polynomial(polynomial) => polynomial.fit(data),
            Self::ElasticNet => ElasticNet.fit(data),
        }
    }

    /// The same from where it is known to be about, for data that are nearly the same.
    pub(crate) fn fit_near(self, data: &Data, theta: &[f64]) -> Option<Vec<f64>> {
        let solution = match self {
            Self::Roofline => Roofline.refit(data, theta),
            Self::Usl(usl) => usl.refit(data, theta),
            Self::Polynomial(polynomial) => polynomial.fit(data),
            Self::ElasticNet => ElasticNet.fit(data),
        };
        solution.map(|solution| solution.theta)
    }
}

impl Curve for Family {
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        match self {
            Self::Roofline => Roofline.value(theta, load),
            Self::Usl(usl) => usl.value(theta, load),
            Self::Polynomial(polynomial) => polynomial.value(theta, load),
            Self::ElasticNet => ElasticNet.value(theta, load),
        }
    }

    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]) {
        match self {
            Self::Roofline => Roofline.gradient(theta, load, into),
            Self::Usl(usl) => usl.gradient(theta, load, into),
            Self::Polynomial(polynomial) => polynomial.gradient(theta, load, into),
            Self::ElasticNet => ElasticNet.gradient(theta, load, into),
        }
    }
}

impl Model {
    /// Fits one; `None` where the data do not carry it.
    pub(crate) fn fit(name: ModelName, data: &Data) -> Option<Self> {
        Self::of(name, name.family(), data)
    }

    fn of(name: ModelName, family: Family, data: &Data) -> Option<Self> {
        let theta = family.fit(data)?.theta;
        // Penalised coefficients have no standard errors worth the name.
        let uncertainty =
            if name == ModelName::ElasticNet { None } else { uncertainty(&family, &theta, data) };
        let error = |index: usize| {
            let variance = uncertainty.as_ref()?.covariance[(index, index)];
            (variance >= 0.0).then(|| variance.sqrt())
        };
        let parameters = name.parameters().iter().zip(&theta).enumerate();
        let parameters = parameters
            .map(|(index, (name, value))| {
                let standard_error = error(index);
                let identified = is_identified(name, *value, standard_error, data);
                Parameter { name, value: *value, standard_error, identified }
            })
            .collect();
        let r2 = r2(&family, &theta, data);
        Some(Self { name, parameters, r2, foresight: None, theta, family, uncertainty })
    }

    /// The mean relative error with which the model, fitted to lower loads, foretells the higher ones.
    /// `None` where there are too few loads to ask.
    pub fn cross_validated_error(&self) -> Option<f64> {
        self.foresight.map(|foresight| foresight.error)
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// The throughput it gives for a load, requests per second.
    pub fn at(&self, load: f64) -> f64 {
        self.family.value(&self.theta, load)
    }

    /// A parameter by its name.
    pub fn parameter(&self, name: &str) -> Option<Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name).copied()
    }

    /// n − p, and the standard deviation of a residual; `None` without degrees of freedom.
    pub fn residual(&self) -> Option<(usize, f64)> {
        self.uncertainty.as_ref().map(|uncertainty| (uncertainty.degrees, uncertainty.residual))
    }

    /// The two-sided interval of a parameter, by the t quantile with n − p degrees of freedom.
    pub fn interval(&self, name: &str, level: f64) -> Option<(f64, f64)> {
        let parameter = self.parameter(name)?;
        let half = parameter.standard_error? * t_quantile(level, self.uncertainty.as_ref()?.degrees)?;
        Some((parameter.value - half, parameter.value + half))
    }

    /// The load where throughput is highest; `None` for a model that never declines.
    pub fn peak_load(&self) -> Option<f64> {
        match self.family {
            Family::Usl(_) => Usl::peak(&self.theta),
            Family::Polynomial(_) => Polynomial::peak(&self.theta),
            Family::Roofline | Family::ElasticNet => None,
        }
    }

    /// The two-sided interval within which the next single measurement at this load lies (delta method).
    pub fn prediction_interval(&self, load: f64, level: f64) -> Option<(f64, f64)> {
        let uncertainty = self.uncertainty.as_ref()?;
        let mut slopes = vec![0.0; self.theta.len()];
        self.family.gradient(&self.theta, load, &mut slopes);
        let slopes = DVector::from_vec(slopes);
        let covariance: &DMatrix<f64> = &uncertainty.covariance;
        let variance = (slopes.transpose() * covariance * &slopes)[(0, 0)] + uncertainty.residual.powi(2);
        let half = t_quantile(level, uncertainty.degrees)? * variance.max(0.0).sqrt();
        let middle = self.at(load);
        half.is_finite().then_some((middle - half, middle + half))
    }
}

/// How far beyond what was measured a ceiling or a knee may lie.
const FARTHEST: f64 = 10.0;

fn is_identified(name: &str, value: f64, error: Option<f64>, data: &Data) -> bool {
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max) * FARTHEST;
    let within = match name {
        "ceiling" => value <= most(&data.values),
        "knee" => value <= most(&data.loads),
        "sharpness" | "lambda" => true,
        // These may well be zero, so that an error beyond the value says that they may be.
        _ => return true,
    };
    within && error.is_none_or(|error| error <= value)
}

/// 1 − Σw(x − f)² / Σw(x − x̄)².
fn r2(family: &Family, theta: &[f64], data: &Data) -> Option<f64> {
    let total: f64 = data.weights.iter().sum();
    let mean = data.rows().map(|(_, value, weight)| weight * value).sum::<f64>() / total;
    let around: f64 = data.rows().map(|(_, value, weight)| weight * (value - mean).powi(2)).sum();
    let left = data.sum_of_squares(family, theta);
    (around > 0.0).then(|| 1.0 - left / around).filter(|share| share.is_finite())
}

/// Fits the Universal Scalability Law by itself, under what is known of it.
///
/// `None` with fewer points than parameters, or where no law fits.
pub fn fit_usl(usl: Usl, points: &Points) -> Option<Model> {
    Model::of(ModelName::Usl, Family::Usl(usl), &data::throughput(points))
}
