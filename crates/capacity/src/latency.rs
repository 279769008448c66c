//! Queueing curves: response time against the rate of arrivals.
//!
//! Each has a service time S (seconds) and the rate at which nothing is left, μ (requests per second, all
//! servers together); utilisation is ρ = rate/μ, and what lies at or beyond ρ = 1 has no steady state. They
//! hold for open loops: arrivals that do not wait for answers.
//!
//! | curve | mean wait | source |
//! |---|---|---|
//! | M/M/c | C(c, ρ)·S / (c(1 − ρ)), C Erlang's | L. Kleinrock, "Queueing Systems" I (1975), §3.5 |
//! | G/G/c | (c_a² + c_s²)/2 × that of M/M/c | J. F. C. Kingman (1961) for c = 1 in heavy traffic; A. O. Allen, "Probability, Statistics and Queueing Theory" (1990), §5.3 for c servers |
//! | M/G/1 | ρS(1 + c_s²) / (2(1 − ρ)) | F. Pollaczek, A. Khinchine; Kleinrock, §5.6 |
//! | hockey stick | none up to the knee, then in proportion to what is above it | piecewise least squares, D. J. Hudson, JASA 61 (1966) |
//!
//! M/G/1 is G/G/c with one server and Poisson arrivals, for which the approximation is exact. c_a and c_s are the
//! standard deviations of gaps and of service times over their means.

use std::collections::BTreeSet;

use plimsoll_units::Quantile;

use crate::least_squares::{Curve, Data, minimise_from, uncertainty};
use crate::{LoadKind, Parameter, Point, Points};

/// Erlang's C: the probability that an arrival at c servers, busy to ρ on average, waits.
///
/// `None` unless 0 ≤ ρ < 1 and c ≥ 1. By the recursion of Erlang's B, which cannot overflow.
pub fn erlang_c(servers: u32, utilisation: f64) -> Option<f64> {
    if servers == 0 || !(0.0..1.0).contains(&utilisation) {
        return None;
    }
    let offered = f64::from(servers) * utilisation;
    let blocked =
        (1..=servers).fold(1.0, |blocked, count| offered * blocked / (f64::from(count) + offered * blocked));
    Some(blocked / (1.0 - utilisation * (1.0 - blocked)))
}

/// The mean wait of an M/M/c queue in seconds; `service_time` in seconds, `None` without a steady state.
pub fn mmc_wait(servers: u32, utilisation: f64, service_time: f64) -> Option<f64> {
    let waits = erlang_c(servers, utilisation)?;
    Some(waits * service_time / (f64::from(servers) * (1.0 - utilisation)))
}

/// The mean wait of a G/G/c queue in seconds (Allen and Cunneen; for c = 1 Kingman's formula), with the squared
/// coefficients of variation of gaps between arrivals and of service times. With one server and Poisson
/// arrivals (`arrivals` = 1) it is exact: M/G/1.
pub fn ggc_wait(
    servers: u32,
    utilisation: f64,
    service_time: f64,
    arrivals: f64,
    service: f64,
) -> Option<f64> {
    Some((arrivals + service) / 2.0 * mmc_wait(servers, utilisation, service_time)?)
}

/// A kind of latency curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyName {
    /// R = A + B·Erlang C(c, ρ)/(1 − ρ), a queue of c servers.
    ManyServers,
    /// R = A + Bρ/(1 − ρ), one queue with one server and any service times.
    OneServer,
    /// R = A up to the knee, then A + B(rate − knee).
    HockeyStick,
}

/// A latency curve fitted to one quantile of response time.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyModel {
    /// Which one.
    pub name: LatencyName,
    /// The quantile it is about.
    pub quantile: Quantile,
    /// What was fitted: `floor` and `growth` in seconds, `limit` or `knee` in the unit of loads, `servers`.
    pub parameters: Vec<Parameter>,
    /// The mean relative error of each inner level foretold from all others.
    pub cross_validated_error: Option<f64>,
    shape: Shape,
    theta: Vec<f64>,
}

/// A curve of floor, growth and the load where it turns upwards.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Queue { servers: u32 },
    HockeyStick,
}

const FLOOR: usize = 0;
const GROWTH: usize = 1;
const TURN: usize = 2;

/// Servers that are tried: between them curves hardly differ.
const SERVERS: [u32; 7] = [1, 2, 4, 8, 16, 64, 256];
/// A turn beyond this many times the highest load has not been seen.
const FARTHEST: f64 = 4.0;
/// The fewest levels that show a turn.
const FEWEST_LEVELS: usize = 5;

impl LatencyName {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::ManyServers => "mmc",
            Self::OneServer => "mg1",
            Self::HockeyStick => "hockey_stick",
        }
    }
}

impl Curve for Shape {
    /// In logarithms of floor, growth and what the turn exceeds: all stay positive.
    fn value(&self, theta: &[f64], load: f64) -> f64 {
        let (floor, growth, turn) = (theta[FLOOR].exp(), theta[GROWTH].exp(), theta[TURN].exp());
        match self {
            Self::Queue { servers } => {
                let utilisation = load / turn;
                match erlang_c(*servers, utilisation) {
                    Some(waits) => floor + growth * waits / (1.0 - utilisation),
                    // Beyond its limit a queue has no steady state, and a fit no business.
                    None => f64::INFINITY,
                }
            }
            Self::HockeyStick => floor + growth * (load / turn - 1.0).max(0.0),
        }
    }

    fn gradient(&self, theta: &[f64], load: f64, into: &mut [f64]) {
        const STEP: f64 = 1e-6;
        let mut moved = theta.to_vec();
        for index in 0..theta.len() {
            moved[index] = theta[index] + STEP;
            let above = self.value(&moved, load);
            moved[index] = theta[index] - STEP;
            let below = self.value(&moved, load);
            moved[index] = theta[index];
            into[index] = (above - below) / (2.0 * STEP);
        }
    }
}

impl LatencyModel {
    /// The quantile at a load, in seconds; `None` from the limit of a queue on.
    pub fn at(&self, load: f64) -> Option<f64> {
        Some(self.shape.value(&self.theta, load)).filter(|seconds| seconds.is_finite())
    }
}

/// The latency curves of every quantile that was measured at enough loads.
pub fn latency_models(points: &Points) -> Vec<LatencyModel> {
    let quantiles: BTreeSet<Quantile> =
        points.points().iter().flat_map(|point| point.response_time.keys().copied()).collect();
    let mut models = Vec::new();
    for quantile in quantiles {
        let data = data(points, quantile);
        if data.levels() < FEWEST_LEVELS {
            continue;
        }
        // Users who wait for answers are no arrivals: the formulas of queues do not hold for their number.
        let queue = |servers| match points.kind() {
            LoadKind::Users => None,
            LoadKind::Rate | LoadKind::Unknown => fit(Shape::Queue { servers }, &data),
        };
        models.extend(model(LatencyName::OneServer, quantile, queue(1), &data));
        let many = SERVERS[1..].iter().filter_map(|servers| queue(*servers));
        let best = many.min_by(|left, right| left.squares.total_cmp(&right.squares));
        models.extend(model(LatencyName::ManyServers, quantile, best, &data));
        models.extend(model(LatencyName::HockeyStick, quantile, fit(Shape::HockeyStick, &data), &data));
    }
    models
}

/// With more rows than this neighbours are put together.
const MOST_ROWS: usize = 60;

/// Times against loads, each weighing 1/time²: queues range over decades.
fn data(points: &Points, quantile: Quantile) -> Data {
    let known = |point: &Point| {
        let seconds = point.response_time.get(&quantile).copied().filter(|seconds| *seconds > 0.0)?;
        Some((point.load, seconds))
    };
    let rows: Vec<(f64, f64)> = points.points().iter().filter_map(known).collect();
    let groups = rows.len().min(MOST_ROWS);
    let mut data = Data::default();
    for group in 0..groups {
        let rows = &rows[group * rows.len() / groups..(group + 1) * rows.len() / groups];
        let count = rows.len() as f64;
        // The geometric mean: one slow run does not speak for its neighbours.
        let seconds = (rows.iter().map(|(_, seconds)| seconds.ln()).sum::<f64>() / count).exp();
        data.loads.push(rows.iter().map(|(load, _)| load).sum::<f64>() / count);
        data.values.push(seconds);
        data.weights.push(seconds.powi(-2));
    }
    data
}

#[derive(Debug, Clone)]
struct Fitted {
    shape: Shape,
    theta: Vec<f64>,
    squares: f64,
}

fn fit(shape: Shape, data: &Data) -> Option<Fitted> {
    let least = data.values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = data.values.iter().copied().fold(0.0, f64::max);
    let last = *data.loads.last()?;
    let turns: &[f64] = match shape {
        Shape::Queue { .. } => &[1.02, 1.1, 1.5, 3.0],
        Shape::HockeyStick => &[0.3, 0.5, 0.7, 0.9],
    };
    let starts: Vec<Vec<f64>> = turns
        .iter()
        .map(|turn| vec![least.ln(), ((most - least) / 4.0).max(least / 10.0).ln(), (last * turn).ln()])
        .collect();
    let solution = minimise_from(&shape, &starts, &[FLOOR, GROWTH, TURN], data)?;
    if solution.theta[TURN].exp() > FARTHEST * last {
        return None;
    }
    Some(Fitted { shape, theta: solution.theta, squares: solution.sum_of_squares })
}

fn model(name: LatencyName, quantile: Quantile, fitted: Option<Fitted>, data: &Data) -> Option<LatencyModel> {
    let Fitted { shape, theta, .. } = fitted?;
    let uncertainty = uncertainty(&shape, &theta, data);
    let parameter = |name: &'static str, index: usize| {
        let value = theta[index].exp();
        let error =
            uncertainty.as_ref().map(|known| known.covariance[(index, index)].max(0.0).sqrt() * value);
        Parameter { name, value, standard_error: error, identified: error.is_none_or(|error| error <= value) }
    };
    let mut parameters = vec![parameter("floor", FLOOR), parameter("growth", GROWTH)];
    match shape {
        Shape::Queue { servers } => {
            parameters.push(parameter("limit", TURN));
            parameters.push(Parameter {
                name: "servers",
                value: f64::from(servers),
                standard_error: None,
                identified: true,
            });
        }
        Shape::HockeyStick => parameters.push(parameter("knee", TURN)),
    }
    let cross_validated_error = cross_validated(shape, data);
    Some(LatencyModel { name, quantile, parameters, cross_validated_error, shape, theta })
}

/// The mean relative error of inner rows, each foretold from all others.
fn cross_validated(shape: Shape, data: &Data) -> Option<f64> {
    let inner = 1..data.len().checked_sub(1)?;
    let errors: Vec<f64> = inner
        .filter_map(|row| {
            let without = |values: &[f64]| {
                let kept = values.iter().enumerate().filter(|(index, _)| *index != row);
                kept.map(|(_, value)| *value).collect()
            };
            let others = Data {
                loads: without(&data.loads),
                values: without(&data.values),
                weights: without(&data.weights),
            };
            let theta = fit(shape, &others)?.theta;
            let foretold = shape.value(&theta, data.loads[row]);
            Some((foretold / data.values[row] - 1.0).abs()).filter(|error| error.is_finite())
        })
        .collect();
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}
