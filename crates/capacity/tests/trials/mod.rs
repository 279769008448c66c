//! How good answers are: published curves and simulated systems whose limit is known.
//!
//! Tests hold the scores, and `cargo xtask bench capacity` prints them.

use std::collections::BTreeMap;

use plimsoll_capacity::{Earlier, LoadKind, Point, Points, Question, Saturation, answer, last_gain};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What became of many questions with a known truth.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    /// How many were asked.
    pub(crate) asked: usize,
    /// The relative errors of those that were answered.
    errors: Vec<f64>,
    /// In how many of them the interval held the truth.
    covered: usize,
}

impl Score {
    fn add(&mut self, found: Option<(f64, f64, f64)>, truth: f64) {
        self.asked += 1;
        let Some((value, low, high)) = found else { return };
        self.errors.push((value / truth - 1.0).abs());
        // A truth that is one of the measured values differs from itself by rounding.
        self.covered += usize::from(low <= truth * (1.0 + 1e-9) && truth <= high * (1.0 + 1e-9));
    }

    pub(crate) fn answered(&self) -> f64 {
        self.errors.len() as f64 / self.asked as f64
    }

    pub(crate) fn mean_accuracy(&self) -> f64 {
        1.0 - self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }

    /// The error that this share of answers stays within.
    pub(crate) fn error(&self, share: f64) -> f64 {
        let mut errors = self.errors.clone();
        errors.sort_by(f64::total_cmp);
        let last = errors.len().saturating_sub(1) as f64;
        errors.get((share * last).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn within(&self, error: f64) -> f64 {
        self.errors.iter().filter(|found| **found <= error).count() as f64 / self.errors.len() as f64
    }

    pub(crate) fn coverage(&self) -> f64 {
        self.covered as f64 / self.errors.len() as f64
    }

    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.asked += other.asked;
        self.errors.extend(&other.errors);
        self.covered += other.covered;
        self
    }
}

/// A published curve: throughput at 8 to 256 connections.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) hardware: String,
    /// Test and framework.
    service: String,
    round: String,
    pub(crate) levels: Vec<(f64, f64)>,
}

/// Curves with all six levels.
pub(crate) fn published() -> Vec<Curve> {
    let path = format!("{}/tests/data/techempower.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut curves: BTreeMap<[&str; 4], Vec<(f64, f64)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [hardware, test, framework, round, load, throughput] = cells[..] else { panic!("{line}") };
        let level = (load.parse().unwrap(), throughput.parse().unwrap());
        curves.entry([hardware, test, framework, round]).or_default().push(level);
    }
    let whole = curves.into_iter().filter(|(_, levels)| levels.len() == 6);
    whole
        .map(|([hardware, test, framework, round], mut levels)| {
            levels.sort_by(|left, right| left.0.total_cmp(&right.0));
            let service = format!("{test} of {framework}");
            Curve { hardware: hardware.to_owned(), service, round: round.to_owned(), levels }
        })
        .collect()
}

fn points(levels: &[(f64, f64)]) -> Points {
    let points = levels.iter().map(|(load, throughput)| Point::new(*load, *throughput)).collect();
    Points::new(points, LoadKind::Users).unwrap()
}

fn highest(levels: &[(f64, f64)]) -> f64 {
    levels.iter().map(|(_, throughput)| *throughput).fold(0.0, f64::max)
}

/// The peak of a version from its three lowest levels and the version before it.
pub(crate) fn history(curves: &[Curve], hardware: Option<&str>) -> Score {
    let mut score = Score::default();
    for (old, new) in versions(curves, hardware) {
        let earlier = Earlier { name: old.round.clone(), points: points(&old.levels) };
        let question = Question { history: vec![earlier], ..Question::new(points(&new.levels[..3])) };
        let found = answer(&question);
        score.add(found.peak.map(|peak| (peak.throughput, peak.low, peak.high)), highest(&new.levels));
    }
    score
}

/// Each version of a service with the one before it.
fn versions<'a>(curves: &'a [Curve], hardware: Option<&str>) -> Vec<(&'a Curve, &'a Curve)> {
    let mut services: BTreeMap<(&str, &str), Vec<&Curve>> = BTreeMap::new();
    for curve in curves.iter().filter(|curve| hardware.is_none_or(|wanted| curve.hardware == wanted)) {
        services.entry((&curve.hardware, &curve.service)).or_default().push(curve);
    }
    services.values().flat_map(|versions| versions.windows(2)).map(|pair| (pair[0], pair[1])).collect()
}

/// What is known without any model: the last version's peak, and the best of the new one's three lowest levels.
pub(crate) fn without_models(curves: &[Curve], hardware: Option<&str>) -> [Score; 2] {
    let mut scores = [Score::default(), Score::default()];
    for (old, new) in versions(curves, hardware) {
        let truth = highest(&new.levels);
        let guesses = [highest(&old.levels), highest(&new.levels[..3])];
        for (score, guess) in scores.iter_mut().zip(guesses) {
            score.add(Some((guess, guess, guess)), truth);
        }
    }
    scores
}

/// The peak from the lowest three to five levels of one run, by how much the last doubling gained.
pub(crate) fn one_run(curves: &[Curve], hardware: Option<&str>) -> BTreeMap<&'static str, Score> {
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    for curve in curves.iter().filter(|curve| hardware.is_none_or(|wanted| curve.hardware == wanted)) {
        for count in 3..6 {
            let question = Question::new(points(&curve.levels[..count]));
            let found = answer(&question);
            let peak = found.peak.map(|peak| (peak.throughput, peak.low, peak.high));
            let gain = last_gain(&question.points.levels(), LoadKind::Users);
            let class = match Saturation::of(gain) {
                Saturation::Saturated => "up to 5%",
                Saturation::Nearly => "5 to 15%",
                Saturation::NotSaturated => "over 15%",
            };
            scores.entry(class).or_default().add(peak, highest(&curve.levels));
        }
    }
    scores
}

/// How a simulated system ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A share of the work is done one after the other.
    Contention,
    /// Workers cost each other, so that more of them do less.
    Coherency,
    /// Workers are all busy.
    Saturation,
    /// A pool behind the workers is.
    Pool,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Contention, Self::Coherency, Self::Saturation, Self::Pool];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Contention => "contention",
            Self::Coherency => "coherency",
            Self::Saturation => "saturation",
            Self::Pool => "pool limit",
        }
    }
}

/// How far a simulated system is loaded, and what is known of its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Users, up to 60% of those who bring the peak.
    Load,
    /// Users, up to those who bring 60% of the peak's throughput.
    Throughput,
    /// Arrivals per second, up to 60% of the peak's throughput: utilisation is all that tells of the limit.
    Rate,
}

impl Reading {
    pub(crate) const ALL: [Self; 3] = [Self::Load, Self::Throughput, Self::Rate];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Throughput => "throughput",
            Self::Rate => "rate",
        }
    }
}

/// The share of the peak up to which simulated systems are loaded.
const LOADED: f64 = 0.6;

/// A system with m workers of which n at work do X(n) = n / (D(1 + σ(n−1) + κn(n−1))), measured up to 60% of its
/// limit, with `noise` in throughput and utilisation, and its limit.
pub(crate) fn simulated(shape: Shape, reading: Reading, noise: f64, seed: u64) -> (Points, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut between = |low: f64, high: f64| low * (high / low).powf(random.random::<f64>());
    let workers = between(8.0, 128.0).round();
    let demand = between(0.001, 0.1);
    let (mut sigma, mut kappa, mut places) = (0.0, 0.0, f64::INFINITY);
    match shape {
        Shape::Contention => sigma = between(0.2, 3.0) / workers,
        Shape::Coherency => {
            sigma = between(0.05, 1.0) / workers;
            kappa = between(0.3, 3.0) / workers.powi(2);
        }
        Shape::Saturation => {}
        Shape::Pool => places = between(0.05, 0.6) * workers,
    }
    // Of the pool a request takes a third of its time.
    let pool_demand = demand / 3.0 / places;
    let at = |n: f64| n / (demand * (1.0 + sigma * (n - 1.0).max(0.0) + kappa * n * (n - 1.0).max(0.0)));
    let fine = (10..=10_000).map(|step| workers * f64::from(step) / 10_000.0);
    let most = fine.clone().map(at).fold(0.0, f64::max).min(1.0 / pool_demand);
    let first =
        |throughput: f64| fine.clone().find(|n| at(*n) >= throughput * (1.0 - 1e-9)).unwrap_or(workers);
    let end = match reading {
        Reading::Load => LOADED * first(most),
        Reading::Throughput | Reading::Rate => first(LOADED * most),
    };
    let levels = 8;
    let points = (1..=levels).map(|level| {
        let n = end * f64::from(level) / f64::from(levels);
        let mut noisy = |value: f64| {
            let (first, second): (f64, f64) = (random.random(), random.random());
            let normal = (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
            value * (1.0 + noise * normal)
        };
        let throughput = noisy(at(n));
        let load = if reading == Reading::Rate { at(n).max(throughput) } else { n };
        let mut point = Point::new(load, throughput);
        point.resources.insert("workers".into(), noisy(n / workers));
        if shape == Shape::Pool {
            point.resources.insert("pool".into(), noisy(at(n) * pool_demand));
        }
        point
    });
    let kind = if reading == Reading::Rate { LoadKind::Rate } else { LoadKind::Users };
    (Points::new(points.collect(), kind).unwrap(), most)
}

pub(crate) fn simulations(shape: Shape, reading: Reading, noise: f64, seeds: std::ops::Range<u64>) -> Score {
    let mut score = Score::default();
    for seed in seeds {
        let (points, truth) = simulated(shape, reading, noise, seed);
        let found = answer(&Question::new(points));
        score.add(found.peak.map(|peak| (peak.throughput, peak.low, peak.high)), truth);
    }
    score
}
