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
//! Where users are counted and utilisation follows their number, a demand that rises is better read from
//! throughput over users, who are counted without error: the Universal Scalability Law gives the throughput of
//! as many users as keep the resource busy all the time.
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

use crate::least_squares::{Curve, Data, Solution, inverse_of_square, t_quantile};
use crate::peak::{normal, share};
use crate::{LoadKind, ModelName, Point, Points, Usl};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

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
/// And where missing it does more harm than taking it for nothing.
const LIKELY: f64 = 0.05;
/// And for the interval.
const PERHAPS: f64 = 0.25;
/// Below this utilisation noise no longer goes with it: clocks and sampling have their own.
const QUIET: f64 = 0.1;
/// Utilisation follows users when a line leaves at most this many times the variance of the best law.
const FOLLOWS: f64 = 3.0;
/// By which factor a law without coherency may leave more squares and still be as likely.
const NEARLY_AS_WELL: f64 = 2.0;
/// How often a limit is drawn again, and from where.
const RESAMPLES: usize = 200;
const SEED: u64 = 1;
/// Half of a 90% interval in standard deviations of a normal distribution.
const Z: f64 = 1.645;
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
        match limit(points.points(), points.kind(), name) {
            Ok(limit) => limits.push(limit),
            Err(reason) => none.push(reason),
        }
    }
    limits.sort_by(|left, right| left.throughput.total_cmp(&right.throughput));
    (limits, none)
}

fn limit(points: &[Point], kind: LoadKind, name: &str) -> Result<ResourceLimit, NoLimit> {
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
    let limit = by_kind(&rows, &name, busiest).or_else(|| by_throughput(&rows, kind, &name, busiest));
    limit.ok_or(NoLimit::Unrelated { name })
}

/// One demand for all requests.
fn by_throughput(rows: &[(&Point, f64)], kind: LoadKind, name: &str, busiest: f64) -> Option<ResourceLimit> {
    let data: Vec<(f64, f64)> = rows.iter().map(|(point, busy)| (point.throughput, *busy)).collect();
    let mut law = Law::fit(&data, &[])?;
    if let Some(idle) =
        Law::fit(&data, &[Term::Idle]).filter(|idle| idle.is_needed_beside(&law, BEYOND_DOUBT))
    {
        law = idle;
    }
    let rising = law.with(&data, Term::Contention).filter(|richer| richer.is_needed_beside(&law, LIKELY));
    let (throughput, low, high) = match rising {
        None => {
            let (limit, low, high) = law.interval(busiest)?;
            // A demand that seems to rise, though chance may have it so, belongs into the interval.
            let seems =
                law.with(&data, Term::Contention).filter(|richer| richer.is_needed_beside(&law, PERHAPS));
            let lower = seems.and_then(|richer| richer.limit()).map_or(limit, |(lower, _)| lower);
            (limit, low.min(lower), high)
        }
        Some(rising) => by_users(rows, kind, &rising).or_else(|| {
            let richer = rising.with(&data, Term::Coherency);
            richer
                .filter(|richer| richer.is_needed_beside(&rising, BEYOND_DOUBT))
                .unwrap_or(rising)
                .interval(busiest)
        })?,
    };
    Some(ResourceLimit {
        name: name.to_owned(),
        busiest,
        idle: law.idle(),
        demand: law.demand(),
        demands: BTreeMap::new(),
        throughput,
        low,
        high,
    })
}

/// The limit by the users who keep the resource busy all the time, with its 90% interval. `None` where
/// utilisation does not follow the number of users, as in an open loop.
fn by_users(rows: &[(&Point, f64)], kind: LoadKind, rising: &Law) -> Option<(f64, f64, f64)> {
    if kind == LoadKind::Rate {
        return None;
    }
    let busy: Vec<(f64, f64)> = rows.iter().map(|(point, busy)| (point.load, *busy)).collect();
    let line = Law::fit(&busy, &[])?;
    let line = line
        .with(&busy, Term::Idle)
        .filter(|idle| idle.is_needed_beside(&line, BEYOND_DOUBT))
        .unwrap_or(line);
    if line.left / line.degrees as f64 > FOLLOWS * rising.left / rising.degrees as f64 {
        return None;
    }
    let most_users = |line: &Law| (1.0 - line.idle()) / line.demand();
    let users = most_users(&line);
    let mut data = Data::default();
    for (point, _) in rows {
        data.loads.push(point.load);
        data.values.push(point.throughput);
        // Noise goes with throughput.
        data.weights.push(point.throughput.max(f64::MIN_POSITIVE).powi(-2));
    }
    let family = ModelName::Usl.family();
    let Solution { theta, sum_of_squares } = family.fit(&data)?;
    let most = |theta: &[f64], users: f64| {
        let peak = Usl::peak(theta).map_or(users, |peak| peak.min(users));
        family.value(theta, peak)
    };
    let limit = most(&theta, users);
    let degrees = data.len().checked_sub(theta.len()).filter(|degrees| *degrees > 0)?;
    let noise = (data.sum_of_squares(&family, &theta) / degrees as f64).sqrt();
    let (_, error) = line.limit()?;
    // Drawn again from what is left (a parametric bootstrap), wider for the few degrees of freedom.
    let widened = t_quantile(LEVEL, degrees)? / Z;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut ends = |theta: &[f64], refit: &dyn Fn(&Data) -> Option<Vec<f64>>| {
        let draw = |_| {
            let mut again = data.clone();
            for (value, load) in again.values.iter_mut().zip(&data.loads) {
                *value = family.value(theta, *load) * (1.0 + noise * widened * normal(&mut random));
            }
            let users = users * (error * widened * normal(&mut random)).exp();
            Some(most(&refit(&again)?, users)).filter(|limit| limit.is_finite())
        };
        let mut drawn: Vec<f64> = (0..RESAMPLES).filter_map(draw).collect();
        drawn.sort_by(f64::total_cmp);
        Some((share(&drawn, 0.05)?, share(&drawn, 0.95)?))
    };
    let (low, high) = ends(&theta, &|again| family.fit_near(again, &theta))?;
    // A law without coherency that fits nearly as well belongs into the interval.
    let usl = Usl::default();
    let simpler = usl.fit_without_coherency(&data);
    let simpler = simpler.filter(|simpler| simpler.sum_of_squares <= sum_of_squares * NEARLY_AS_WELL);
    let higher = simpler.and_then(|simpler| {
        let refit =
            |again: &Data| usl.refit_without_coherency(again, &simpler.theta).map(|solution| solution.theta);
        ends(&simpler.theta, &refit)
    });
    let high = higher.map_or(high, |(_, higher)| high.max(higher));
    Some((limit, low.min(limit), high.max(limit)))
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
    /// The same with one term more.
    fn with(&self, data: &[(f64, f64)], term: Term) -> Option<Self> {
        Self::fit(data, &[self.terms.as_slice(), &[term]].concat())
    }

    /// The limit with its 90% interval.
    fn interval(&self, busiest: f64) -> Option<(f64, f64, f64)> {
        let (limit, error) = self.limit()?;
        let half = t_quantile(LEVEL, self.degrees)? * error.hypot(FLOOR / busiest);
        Some((limit, limit * (-half).exp(), limit * half.exp()))
    }

    /// Least squares with weights that allow noise to go with utilisation; `None` where a coefficient would be negative, which none can be.
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
        let root = |busy: f64| 1.0 / busy.hypot(QUIET);
        let features = Array2::from_shape_fn((data.len(), columns), |(row, column)| {
            root(data[row].1) * feature(data[row], column)
        });
        let targets: Array1<f64> = data.iter().map(|(_, busy)| root(*busy) * busy).collect();
        let matrix = DMatrix::from_fn(data.len(), columns, |row, column| features[[row, column]]);
        let inverse = inverse_of_square(&matrix)?;
        let regression = LinearRegression::new().with_intercept(false);
        let fitted = regression.fit(&Dataset::new(features, targets.clone())).ok()?;
        let mut coefficients: Vec<f64> = fitted.params().to_vec();
        if coefficients.iter().any(|value| !value.is_finite() || *value < 0.0) || coefficients[0] <= 0.0 {
            return None;
        }
        let solution = DVector::from_vec(coefficients.clone());
        let predicted = &matrix * &solution;
        let left: f64 =
            predicted.iter().zip(&targets).map(|(predicted, busy)| (busy - predicted).powi(2)).sum();
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
    fn is_needed_beside(&self, poorer: &Self, doubt: f64) -> bool {
        if self.left <= 0.0 {
            return poorer.left > 0.0;
        }
        let f = (poorer.left - self.left) / (self.left / self.degrees as f64);
        FisherSnedecor::new(1.0, self.degrees as f64)
            .is_ok_and(|distribution| f > 0.0 && 1.0 - distribution.cdf(f) < doubt)
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
