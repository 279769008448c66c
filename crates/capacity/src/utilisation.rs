//! The utilisation law: which resource will be busy all the time first, and at what throughput.
//!
//! U = X·D (P. J. Denning, J. P. Buzen, "The Operational Analysis of Queueing Network Models", ACM
//! Computing Surveys 10(3), 1978, §4): a resource that every request keeps busy for D seconds is busy all
//! the time at X = 1/D, long before which that can be told. Real resources differ in two ways that are
//! fitted where the data show them beyond doubt: they are a little busy without any request (a), and a
//! request keeps them busy for longer the busier they are (contention, coherency):
//!
//! U = a + X·(D + D₁U + D₂U²)
//!
//! Of a mix each kind of request has a demand of its own, U = a + Σ Xₖ·Dₖ, which needs runs with different
//! mixes to be told apart.
//!
//! It assumes that the recorded resource is the one that runs out, or that all that can run out are recorded.

use std::collections::{BTreeMap, BTreeSet};

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use crate::least_squares::{inverse_of_square, t_quantile};
use crate::{Point, Points};

/// Where a resource runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceLimit {
    /// Its name.
    pub name: String,
    /// How busy it was at most, a share of one.
    pub busiest: f64,
    /// How busy it is without requests.
    pub idle: f64,
    /// For how long a request keeps it busy, in seconds of the whole resource; of a mix, the mean.
    pub demand: f64,
    /// Demand of each kind of request, where several were told apart.
    pub demands: BTreeMap<String, f64>,
    /// The throughput at which nothing of it is left, requests per second.
    pub throughput: f64,
    /// The lower end of the 90% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Why a resource says nothing about the limit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoLimit {
    /// Too few points carry it.
    #[error("{name} was recorded at {points} points; four are needed")]
    TooFew {
        /// The resource.
        name: String,
        /// How many.
        points: usize,
    },
    /// It was hardly used.
    #[error("{name} was {:.0}% busy at most; load it to {:.0}% or more", busiest * 100.0, BUSY_ENOUGH * 100.0)]
    NotBusy {
        /// The resource.
        name: String,
        /// How busy it was at most.
        busiest: f64,
    },
    /// It does not follow throughput.
    #[error("{name} does not rise with throughput: it is not what requests use up")]
    Unrelated {
        /// The resource.
        name: String,
    },
}

/// A demand that is carried on over more than this factor is a guess.
const BUSY_ENOUGH: f64 = 0.25;
const FEWEST_POINTS: usize = 4;
/// A term is kept when chance alone would give its improvement this rarely.
const BEYOND_DOUBT: f64 = 0.01;
/// The level of intervals.
const LEVEL: f64 = 0.90;
/// Clocks and sampling leave this share of a utilisation open, whatever the residuals say.
const FLOOR: f64 = 0.002;

/// What utilisation may depend on beside throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// Busy without requests.
    Idle,
    /// D₁: more per request the busier.
    Contention,
    /// D₂: more still.
    Coherency,
}

/// The limits of all recorded resources, the nearest first, and why others have none.
pub fn limits(points: &Points) -> (Vec<ResourceLimit>, Vec<NoLimit>) {
    let names: BTreeSet<&str> =
        points.points().iter().flat_map(|point| point.resources.keys()).map(String::as_str).collect();
    let (mut limits, mut none) = (Vec::new(), Vec::new());
    for name in names {
        match limit(points.points(), name) {
            Ok(limit) => limits.push(limit),
            Err(reason) => none.push(reason),
        }
    }
    limits.sort_by(|left, right| left.throughput.total_cmp(&right.throughput));
    (limits, none)
}

fn limit(points: &[Point], name: &str) -> Result<ResourceLimit, NoLimit> {
    let rows: Vec<(&Point, f64)> =
        points.iter().filter_map(|point| Some((point, *point.resources.get(name)?))).collect();
    let name = name.to_owned();
    if rows.len() < FEWEST_POINTS {
        return Err(NoLimit::TooFew { name, points: rows.len() });
    }
    let busiest = rows.iter().map(|(_, busy)| *busy).fold(0.0, f64::max);
    if busiest < BUSY_ENOUGH {
        return Err(NoLimit::NotBusy { name, busiest });
    }
    let limit = by_kind(&rows, &name, busiest).or_else(|| by_throughput(&rows, &name, busiest));
    limit.ok_or(NoLimit::Unrelated { name })
}

/// One demand for all requests.
fn by_throughput(rows: &[(&Point, f64)], name: &str, busiest: f64) -> Option<ResourceLimit> {
    let data: Vec<(f64, f64)> = rows.iter().map(|(point, busy)| (point.throughput, *busy)).collect();
    let mut law = Law::fit(&data, &[])?;
    // The best term is taken as long as it improves the law beyond doubt.
    loop {
        let others = [Term::Idle, Term::Contention, Term::Coherency];
        let richer = others
            .into_iter()
            .filter(|term| !law.terms.contains(term))
            .filter_map(|term| Law::fit(&data, &[law.terms.as_slice(), &[term]].concat()));
        let best = richer.min_by(|left, right| left.left.total_cmp(&right.left));
        match best {
            Some(best) if best.is_needed_beside(&law) => law = best,
            _ => break,
        }
    }
    let (throughput, error) = law.limit()?;
    let t = t_quantile(LEVEL, law.degrees)?;
    let floor = FLOOR / busiest;
    let half = t * error.hypot(floor);
    Some(ResourceLimit {
        name: name.to_owned(),
        busiest,
        idle: law.idle(),
        demand: law.demand(),
        demands: BTreeMap::new(),
        throughput,
        low: throughput * (-half).exp(),
        high: throughput * half.exp(),
    })
}

/// A fitted law of one resource.
#[derive(Debug, Clone)]
struct Law {
    terms: Vec<Term>,
    /// The demand D, then one coefficient for each term.
    coefficients: Vec<f64>,
    covariance: DMatrix<f64>,
    degrees: usize,
    /// The sum of squared residuals.
    left: f64,
}

impl Law {
    /// Ordinary least squares; `None` where a coefficient would be negative, which none can be.
    fn fit(data: &[(f64, f64)], terms: &[Term]) -> Option<Self> {
        let columns = terms.len() + 1;
        let degrees = data.len().checked_sub(columns).filter(|degrees| *degrees > 0)?;
        let scale = data.iter().map(|(throughput, _)| *throughput).fold(f64::MIN_POSITIVE, f64::max);
        let feature = |(throughput, busy): (f64, f64), column: usize| match column.checked_sub(1) {
            None => throughput / scale,
            Some(term) => match terms[term] {
                Term::Idle => 1.0,
                Term::Contention => throughput / scale * busy,
                Term::Coherency => throughput / scale * busy * busy,
            },
        };
        let features =
            Array2::from_shape_fn((data.len(), columns), |(row, column)| feature(data[row], column));
        let targets: Array1<f64> = data.iter().map(|(_, busy)| *busy).collect();
        let matrix = DMatrix::from_fn(data.len(), columns, |row, column| features[[row, column]]);
        let inverse = inverse_of_square(&matrix)?;
        let regression = LinearRegression::new().with_intercept(false);
        let fitted = regression.fit(&Dataset::new(features, targets)).ok()?;
        let mut coefficients: Vec<f64> = fitted.params().to_vec();
        if coefficients.iter().any(|value| !value.is_finite() || *value < 0.0) || coefficients[0] <= 0.0 {
            return None;
        }
        let solution = DVector::from_vec(coefficients.clone());
        let predicted = &matrix * &solution;
        let left: f64 =
            predicted.iter().zip(data).map(|(predicted, (_, busy))| (busy - predicted).powi(2)).sum();
        let mut covariance = inverse * (left / degrees as f64);
        for index in 0..columns {
            // The idle share is not per request.
            let unit = if index > 0 && terms[index - 1] == Term::Idle { 1.0 } else { scale };
            coefficients[index] /= unit;
            covariance.row_mut(index).scale_mut(1.0 / unit);
            covariance.column_mut(index).scale_mut(1.0 / unit);
        }
        Some(Self { terms: terms.to_vec(), coefficients, covariance, degrees, left })
    }

    /// Whether chance hardly explains that this law leaves so much less than a poorer one (F test).
    fn is_needed_beside(&self, poorer: &Self) -> bool {
        if self.left <= 0.0 {
            return poorer.left > 0.0;
        }
        let f = (poorer.left - self.left) / (self.left / self.degrees as f64);
        FisherSnedecor::new(1.0, self.degrees as f64)
            .is_ok_and(|distribution| f > 0.0 && 1.0 - distribution.cdf(f) < BEYOND_DOUBT)
    }

    fn coefficient(&self, term: Term) -> f64 {
        let index = self.terms.iter().position(|known| *known == term);
        index.map_or(0.0, |index| self.coefficients[index + 1])
    }

    fn idle(&self) -> f64 {
        self.coefficient(Term::Idle)
    }

    fn demand(&self) -> f64 {
        self.coefficients[0]
    }

    /// The highest throughput up to full use, and the standard error of its logarithm.
    fn limit(&self) -> Option<(f64, f64)> {
        const STEPS: u32 = 1000;
        let throughput = |busy: f64| (busy - self.idle()) / self.demand_at(busy);
        let busy = (1..=STEPS)
            .map(|step| f64::from(step) / f64::from(STEPS))
            .max_by(|left, right| throughput(*left).total_cmp(&throughput(*right)))?;
        let limit = throughput(busy);
        if !(limit.is_finite() && limit > 0.0) {
            return None;
        }
        // d ln X / d coefficient, where the best use of the resource moves only in second order.
        let demand = self.demand_at(busy);
        let slopes = std::iter::once(-1.0 / demand).chain(self.terms.iter().map(|term| match term {
            Term::Idle => -1.0 / (busy - self.idle()),
            Term::Contention => -busy / demand,
            Term::Coherency => -busy * busy / demand,
        }));
        let slopes = DVector::from_iterator(self.coefficients.len(), slopes);
        let variance = (slopes.transpose() * &self.covariance * &slopes)[(0, 0)];
        Some((limit, variance.max(0.0).sqrt()))
    }

    fn demand_at(&self, busy: f64) -> f64 {
        self.demand()
            + self.coefficient(Term::Contention) * busy
            + self.coefficient(Term::Coherency) * busy * busy
    }
}

/// How far shares of kinds must range for their demands to be told apart.
const MIX_VARIES: f64 = 0.02;
/// The penalty of kinds that go with each other so closely that least squares cannot part them.
const PENALTY: f64 = 1e-3;

/// A demand for each kind of request. `None` where kinds were not recorded or always came alike.
fn by_kind(rows: &[(&Point, f64)], name: &str, busiest: f64) -> Option<ResourceLimit> {
    let kinds: Vec<&String> = rows.first()?.0.classes.keys().collect();
    let whole = rows.iter().all(|(point, _)| {
        kinds.iter().all(|kind| point.classes.contains_key(*kind))
            && point.classes.values().sum::<f64>() > 0.0
    });
    let degrees = rows.len().checked_sub(kinds.len()).filter(|degrees| *degrees > 0)?;
    if kinds.len() < 2 || !whole {
        return None;
    }
    let rate = |row: usize, kind: usize| rows[row].0.classes[kinds[kind]];
    let total = |row: usize| rows[row].0.classes.values().sum::<f64>();
    let range = (0..kinds.len()).map(|kind| {
        let shares = (0..rows.len()).map(|row| rate(row, kind) / total(row));
        let (low, high) =
            shares.fold((1.0_f64, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
        high - low
    });
    if range.fold(0.0, f64::max) < MIX_VARIES {
        return None;
    }
    let scale = (0..rows.len()).map(total).fold(f64::MIN_POSITIVE, f64::max);
    let features = Array2::from_shape_fn((rows.len(), kinds.len()), |(row, kind)| rate(row, kind) / scale);
    let targets: Array1<f64> = rows.iter().map(|(_, busy)| *busy).collect();
    let matrix = DMatrix::from_fn(rows.len(), kinds.len(), |row, kind| features[[row, kind]]);
    let data = Dataset::new(features, targets);
    let possible = |demands: &Vec<f64>| demands.iter().all(|demand| demand.is_finite() && *demand >= 0.0);
    let least = LinearRegression::new().with_intercept(false).fit(&data).ok();
    let least = least.map(|fitted| fitted.params().to_vec()).filter(possible);
    let demands = least.or_else(|| {
        let net =
            ElasticNet::params().penalty(PENALTY).l1_ratio(0.0).with_intercept(false).fit(&data).ok()?;
        Some(net.hyperplane().to_vec()).filter(possible)
    })?;
    let predicted = &matrix * DVector::from_vec(demands.clone());
    let left: f64 = predicted.iter().zip(rows).map(|(predicted, (_, busy))| (busy - predicted).powi(2)).sum();
    let residual = (left / degrees as f64).sqrt();
    // The mix that the limit is told for is that of the busiest point.
    let last = rows.iter().enumerate().max_by(|left, right| left.1.1.total_cmp(&right.1.1))?.0;
    let mix: Vec<f64> = (0..kinds.len()).map(|kind| rate(last, kind) / total(last)).collect();
    let demand = demands.iter().zip(&mix).map(|(demand, share)| demand * share).sum::<f64>() / scale;
    if !(demand.is_finite() && demand > 0.0) {
        return None;
    }
    let error = inverse_of_square(&matrix).map_or(residual / busiest, |inverse| {
        let mix = DVector::from_vec(mix);
        let variance = (mix.transpose() * inverse * &mix)[(0, 0)] * residual.powi(2);
        variance.max(0.0).sqrt() / (demand * scale)
    });
    let half = t_quantile(LEVEL, degrees)? * error.hypot(FLOOR / busiest);
    let throughput = 1.0 / demand;
    Some(ResourceLimit {
        name: name.to_owned(),
        busiest,
        idle: 0.0,
        demand,
        demands: kinds
            .iter()
            .map(|kind| (*kind).clone())
            .zip(demands.iter().map(|demand| demand / scale))
            .collect(),
        throughput,
        low: throughput * (-half).exp(),
        high: throughput * half.exp(),
    })
}
