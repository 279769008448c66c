//! The utilisation law: which resource will be busy all the time first, and at what throughput.
//!
//! U = X·D (P. J. Denning, J. P. Buzen, "The Operational Analysis of Queueing Network Models", ACM
//! Computing Surveys 10(3), 1978, §4): a resource that every request keeps busy for D seconds is busy all
//! the time at X = 1/D, long before which that can be told. Real resources differ in two ways: they are a little busy
//! without any request, and a request keeps them busy for longer the busier they are (contention, coherency). How far
//! both go is weighed by `demand.rs`.
//!
//! Of a mix each kind of request has a demand of its own, U = a + Σ Xₖ·Dₖ, which needs runs with different
//! mixes to be told apart.
//!
//! Where users are counted and utilisation follows their number, a demand that rises is better read from
//! throughput over users, who are counted without error.
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

use crate::demand::{self, Idle, Row};
use crate::least_squares::{inverse_of_square, t_quantile};
use crate::points::Figure;
use crate::{LoadKind, Point, Points};

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
    #[error("{name} was recorded at {points} points, too few")]
    TooFew {
        /// The resource.
        name: String,
        /// How many.
        points: usize,
    },
    /// It was hardly used.
    #[error("{name} was {:.0}% busy at most, too little to be carried on", busiest * 100.0)]
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
    /// It may run out anywhere.
    #[error(
        "{name} runs out somewhere between {}/s and {}/s: these loads do not tell how its demand grows",
        Figure(*low), Figure(*high)
    )]
    Open {
        /// The resource.
        name: String,
        /// The lower end of the 90% interval, requests per second.
        low: f64,
        /// The upper end.
        high: f64,
    },
}

impl NoLimit {
    /// What to do to know it.
    pub fn next(&self) -> String {
        match self {
            Self::TooFew { name, .. } => format!("record {name} at {FEWEST_POINTS} loads or more"),
            Self::NotBusy { name, .. } => format!("load {name} to {:.0}% or more", BUSY_ENOUGH * 100.0),
            Self::Unrelated { .. } => "record the utilisation of what requests use up".to_owned(),
            Self::Open { name, .. } => format!("load {name} further"),
        }
    }
}

/// A demand that is carried on over more than this factor is a guess.
const BUSY_ENOUGH: f64 = 0.25;
const FEWEST_POINTS: usize = 4;
/// A term is kept when chance alone would give its improvement this rarely.
const BEYOND_DOUBT: f64 = 0.01;
/// Below this utilisation noise no longer goes with it: clocks and sampling have their own.
const QUIET: f64 = 0.1;
/// Utilisation follows users when a line leaves at most this many times the variance of the best law of throughput.
const FOLLOWS: f64 = 3.0;
/// The level of intervals.
const LEVEL: f64 = 0.90;
/// Clocks and sampling leave this share of a utilisation open, whatever the residuals say.
const FLOOR: f64 = 0.002;

/// An interval whose ends lie further apart than this factor says nothing.
const OPEN: f64 = 1.5;
/// Response time that grew by this factor more than resources explain waits for something else.
const UNEXPLAINED: f64 = 1.1;

/// What utilisation may depend on beside load or throughput.
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
    match limit {
        None => Err(NoLimit::Unrelated { name }),
        Some(ResourceLimit { low, high, .. }) if high > low * OPEN => Err(NoLimit::Open { name, low, high }),
        Some(limit) => Ok(limit),
    }
}

/// By which factor the time of a request grew from the lowest load to the highest, where no resource explains it: then requests
/// wait for something that was not recorded, which ends throughput before any recorded resource does.
///
/// The time is that of Little's law, N/X. What a resource explains is that a request keeps it busy for longer (U/X), and that
/// it queues there: at most by 1/(1 − U), that of one server which does all of the work (M/M/1).
pub(crate) fn unexplained(points: &Points, limits: &[ResourceLimit]) -> Option<f64> {
    let sound = |point: &&Point| point.throughput > 0.0;
    let first = points.points().iter().find(sound)?;
    let last = points.points().iter().rev().find(sound)?;
    let slower = (last.load / last.throughput) / (first.load / first.throughput);
    let explained = |limit: &ResourceLimit| {
        let use_at = |point: &Point| Some(point.resources.get(&limit.name)?.min(1.0) - limit.idle);
        let (before, after) = (use_at(first)?.max(0.0), use_at(last)?);
        let longer = (after / last.throughput) / (before / first.throughput);
        let queue = (1.0 - before) / (1.0 - after).max(f64::MIN_POSITIVE);
        Some(longer.max(1.0) * queue).filter(|factor| !factor.is_nan())
    };
    let known: Vec<f64> = limits.iter().filter_map(explained).collect();
    let most = known.iter().copied().fold(1.0, f64::max);
    (!known.is_empty() && points.kind() == LoadKind::Users && slower > most * UNEXPLAINED).then_some(slower)
}

/// One demand for all requests.
fn by_throughput(rows: &[(&Point, f64)], kind: LoadKind, name: &str, busiest: f64) -> Option<ResourceLimit> {
    let sound = rows.iter().filter(|(point, busy)| point.throughput > 0.0 && *busy > 0.0);
    let users = (kind != LoadKind::Rate).then(|| FullUse::of(rows)).flatten();
    let found = match &users {
        Some(full) => {
            let row = |(point, _): &(&Point, f64)| Row {
                used: point.load / full.users,
                throughput: point.throughput,
                deviation: 1.0,
            };
            demand::limit(&sound.map(row).collect::<Vec<_>>(), full.error, Idle::Never)?
        }
        None => {
            let row = |(point, busy): &(&Point, f64)| Row {
                used: *busy,
                throughput: point.throughput,
                deviation: busy.hypot(QUIET) / busy,
            };
            demand::limit(&sound.map(row).collect::<Vec<_>>(), 0.0, Idle::Perhaps)?
        }
    };
    Some(ResourceLimit {
        name: name.to_owned(),
        busiest,
        idle: users.map_or(found.idle, |full| full.idle),
        demand: found.demand,
        demands: BTreeMap::new(),
        throughput: found.throughput,
        low: found.low,
        high: found.high,
    })
}

/// The users who keep a resource busy all the time.
struct FullUse {
    users: f64,
    /// The standard error of their logarithm.
    error: f64,
    idle: f64,
}

impl FullUse {
    /// `None` where utilisation follows throughput and not the number of users.
    fn of(rows: &[(&Point, f64)]) -> Option<Self> {
        let of = |figure: fn(&Point) -> f64| -> Vec<(f64, f64)> {
            rows.iter().map(|(point, busy)| (figure(point), *busy)).collect()
        };
        let line = Regression::best(&of(|point| point.load), &[Term::Idle])?;
        let terms = [Term::Idle, Term::Contention, Term::Coherency];
        let law = Regression::best(&of(|point| point.throughput), &terms)?;
        if line.variance() > FOLLOWS * law.variance() {
            return None;
        }
        let (slope, idle) = (line.coefficients[0], line.coefficients.get(1).copied().unwrap_or_default());
        // d ln((1 − a)/b): −1/b and −1/(1 − a).
        let slopes = [-1.0 / slope, -1.0 / (1.0 - idle)].into_iter().take(line.coefficients.len());
        let slopes = DVector::from_vec(slopes.collect());
        let variance = (slopes.transpose() * &line.covariance * &slopes)[(0, 0)];
        let full = Self { users: (1.0 - idle) / slope, error: variance.max(0.0).sqrt(), idle };
        (full.users.is_finite() && full.users > 0.0 && full.error.is_finite()).then_some(full)
    }
}

/// Utilisation on load or throughput, with terms that it may have beside.
#[derive(Debug, Clone)]
struct Regression {
    /// Of load or throughput, then one for each term.
    coefficients: Vec<f64>,
    covariance: DMatrix<f64>,
    degrees: usize,
    /// The sum of squared residuals.
    left: f64,
}

impl Regression {
    /// With those of the terms, one after the other, that chance hardly explains (F test).
    fn best(data: &[(f64, f64)], terms: &[Term]) -> Option<Self> {
        let mut kept = Vec::new();
        let mut best = Self::fit(data, &kept)?;
        for term in terms {
            let richer = [kept.as_slice(), &[*term]].concat();
            if let Some(fitted) = Self::fit(data, &richer).filter(|fitted| fitted.is_needed_beside(&best)) {
                (best, kept) = (fitted, richer);
            }
        }
        Some(best)
    }

    /// Least squares with weights that allow noise to go with utilisation; `None` where a coefficient would be negative, which none can be.
    fn fit(data: &[(f64, f64)], terms: &[Term]) -> Option<Self> {
        let columns = terms.len() + 1;
        let degrees = data.len().checked_sub(columns).filter(|degrees| *degrees > 0)?;
        let scale = data.iter().map(|(cause, _)| *cause).fold(f64::MIN_POSITIVE, f64::max);
        let feature = |(cause, busy): (f64, f64), column: usize| match column.checked_sub(1) {
            None => cause / scale,
            Some(term) => match terms[term] {
                Term::Idle => 1.0,
                Term::Contention => cause / scale * busy,
                Term::Coherency => cause / scale * busy * busy,
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
        let predicted = &matrix * DVector::from_vec(coefficients.clone());
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
        Some(Self { coefficients, covariance, degrees, left })
    }

    fn variance(&self) -> f64 {
        self.left / self.degrees as f64
    }

    fn is_needed_beside(&self, poorer: &Self) -> bool {
        if self.left <= 0.0 {
            return poorer.left > 0.0;
        }
        let f = (poorer.left - self.left) / self.variance();
        FisherSnedecor::new(1.0, self.degrees as f64)
            .is_ok_and(|distribution| f > 0.0 && 1.0 - distribution.cdf(f) < BEYOND_DOUBT)
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
