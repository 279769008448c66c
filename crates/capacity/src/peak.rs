//! The peak of one run.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::history::highest;
use crate::least_squares::{Curve, Data};
use crate::models::Family;
use crate::{Level, Model, ModelName, Points, Saturation, choice, data};

/// The most that a service gives, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// The load where it comes. The top is flat: two runs alike seldom agree on it.
    pub load: f64,
    /// Requests per second.
    pub throughput: f64,
    /// The lower end of the 90% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What it is drawn from.
    pub basis: Basis,
}

/// What a peak is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The last doubling gained nearly nothing: it was seen.
    Measured,
    /// A model carried the curve on from where it was nearly flat.
    Model,
    /// Earlier runs of the same service, scaled to this one.
    History,
    /// The resource that runs out first.
    Utilisation,
}

impl Basis {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Model => "model",
            Self::History => "history",
            Self::Utilisation => "utilisation",
        }
    }
}

/// The share of a peak at whose load it is told: a curve that levels out comes near its end and never there.
const NEARLY_ALL: f64 = 0.99;
/// How far beyond the highest load a curve is followed.
const REACH: f64 = 4.0;
/// Levels nearer than this factor to one another are one place on the curve.
const SAME_PLACE: f64 = 1.15;
/// From this many degrees of freedom on residuals say how noisy a run is.
const ENOUGH_DEGREES: usize = 3;
/// What two runs alike differ by at one level, as the standard deviation of logarithms: 0.7% at the
/// median of published replicates, 1.7% at their upper quartile.
const USUAL_NOISE: f64 = 0.012;
/// How often the run is drawn again.
const RESAMPLES: usize = 200;
/// The 90% interval of a normal distribution.
const Z: f64 = 1.645;

/// The curve of one run, and how it goes on beyond the highest load.
#[derive(Debug, Clone)]
pub(crate) struct Curved<'a> {
    data: Data,
    levels: Vec<Level>,
    pub(crate) chosen: &'a Model,
    /// What the model's curve has to be multiplied with to go through the end of what was measured.
    anchor: f64,
    /// How much of what the model promises beyond the highest load is believed.
    trust: f64,
    /// The standard deviation of the logarithm of one measurement.
    noise: f64,
}

impl<'a> Curved<'a> {
    pub(crate) fn new(points: &Points, chosen: &'a Model) -> Option<Self> {
        let data = data::throughput(points);
        let levels = smoothed(&points.levels());
        let highest = levels.last()?.load;
        let end = levels.iter().filter(|level| level.load >= highest / SAME_PLACE);
        let (sum, count) = end
            .map(|level| level.throughput / chosen.at(level.load))
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .fold((0.0, 0_usize), |(sum, count), ratio| (sum + ratio.ln(), count + 1));
        let anchor = if count == 0 { 1.0 } else { (sum / count as f64).exp() };
        let trust = trust(chosen, &data);
        let noise = noise(&data, chosen);
        Some(Self { data, levels, chosen, anchor, trust, noise })
    }

    fn end(&self) -> Level {
        self.levels.last().copied().unwrap_or(Level { load: 1.0, throughput: 0.0, count: 0 })
    }

    /// Throughput at a load: the model within what was measured, and beyond it the end of what was
    /// measured carried on, as far as the model is to be believed.
    pub(crate) fn at(&self, load: f64) -> f64 {
        let end = self.end();
        if load <= end.load {
            return self.chosen.at(load);
        }
        carried_on(end.throughput, self.chosen.at(load) * self.anchor, self.trust)
    }

    /// The 90% interval of the throughput of another measurement at a load.
    pub(crate) fn interval(&self, load: f64) -> (f64, f64) {
        let middle = self.at(load);
        let end = self.end();
        // What the model got wrong on the way up grows with each doubling beyond what was measured.
        let doublings = (load / end.load).log2().max(0.0);
        let shape = self.chosen.cross_validated_error().unwrap_or(0.05).max(0.02) * doublings;
        let half = Z * self.noise.hypot(shape);
        let (low, high) = (middle * (-half).exp(), middle * half.exp());
        if load <= end.load {
            return match self.chosen.prediction_interval(load, 0.90) {
                Some((least, most)) => (least.max(0.0), most),
                None => (low, high),
            };
        }
        let model = self.chosen.at(load) * self.anchor;
        (low.min(model), high.max(model))
    }

    pub(crate) fn peak(&self, saturation: Saturation, gain: f64, seed: u64) -> Option<Peak> {
        let seen = highest(&self.levels)?;
        let estimate = self.highest_within_reach(self.chosen.family(), self.chosen.theta(), self.anchor);
        let best = estimate.map_or(seen, |(load, throughput)| Level {
            load,
            throughput: carried_on(seen.throughput, throughput.max(seen.throughput), self.trust),
            count: 0,
        });
        let load = match saturation {
            Saturation::Saturated => seen.load,
            Saturation::Nearly | Saturation::NotSaturated => {
                self.reaches(best.throughput).unwrap_or(best.load)
            }
        };
        let (low, high) = self.bootstrap(best.throughput, seen.throughput, seed);
        // That nothing more is to come is possible too, and so is all that the model promises.
        let promised = estimate.map_or(seen.throughput, |(_, throughput)| throughput);
        let noise = (Z * self.noise).exp();
        // And so is the last gain once more for every doubling within reach.
        let repeated = seen.throughput * (1.0 + gain.max(0.0)).powf(REACH.log2());
        let (low, high) = (low.min(seen.throughput / noise), high.max(promised * noise).max(repeated));
        let basis = if saturation == Saturation::Saturated { Basis::Measured } else { Basis::Model };
        Some(Peak { load, throughput: best.throughput, low, high, basis })
    }

    /// The lowest load beyond what was measured that gives nearly this much: the top of a curve is flat.
    fn reaches(&self, throughput: f64) -> Option<f64> {
        const STEPS: i32 = 100;
        let end = self.end().load;
        let loads = (0..=STEPS).map(|step| end * REACH.powf(f64::from(step) / f64::from(STEPS)));
        loads.into_iter().find(|load| self.at(*load) >= throughput * NEARLY_ALL)
    }

    /// The highest point of a curve up to [`REACH`] times the highest load.
    fn highest_within_reach(&self, family: Family, theta: &[f64], anchor: f64) -> Option<(f64, f64)> {
        const STEPS: i32 = 40;
        let (first, last) = (self.levels.first()?.load, self.end().load * REACH);
        let step = (last / first).powf(1.0 / f64::from(STEPS));
        let loads = (0..=STEPS).map(|index| first * step.powi(index)).chain([last]);
        let values = loads.map(|load| (load, family.value(theta, load) * anchor));
        values.filter(|(_, value)| value.is_finite()).max_by(|left, right| left.1.total_cmp(&right.1))
    }

    /// The 90% interval of the peak: the run is drawn again from its own residuals (B. Efron,
    /// R. Tibshirani, "An Introduction to the Bootstrap", 1993, §9.4), each time fitted and read like
    /// the first. With few degrees of freedom residuals are too small; the usual noise stands in.
    fn bootstrap(&self, estimate: f64, seen: f64, seed: u64) -> (f64, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let fitted: Vec<f64> = self.data.loads.iter().map(|load| self.chosen.at(*load)).collect();
        let mut peaks: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let mut drawn = self.data.clone();
                for (index, value) in drawn.values.iter_mut().enumerate() {
                    let spread = self.noise / self.data.weights[index].sqrt();
                    *value = fitted[index] * (spread * normal(&mut random)).exp();
                }
                let theta = self.chosen.family().fit_near(&drawn, self.chosen.theta())?;
                let (_, peak) = self.highest_within_reach(self.chosen.family(), &theta, 1.0)?;
                peak.is_finite().then_some(peak)
            })
            .collect();
        peaks.sort_by(f64::total_cmp);
        let usual = (estimate * (-Z * self.noise).exp(), estimate * (Z * self.noise).exp());
        let (Some(low), Some(high), Some(middle)) =
            (share(&peaks, 0.05), share(&peaks, 0.95), share(&peaks, 0.5))
        else {
            return (usual.0.min(seen), usual.1);
        };
        // Around the estimate, not around the model's own peak, from which anchoring may have moved it.
        (usual.0.min(estimate * low / middle), usual.1.max(estimate * high / middle))
    }
}

/// Between nothing more and all that a curve promises.
fn carried_on(from: f64, to: f64, trust: f64) -> f64 {
    if from > 0.0 && to > 0.0 { from * (to / from).powf(trust) } else { to }
}

/// All of it when the model has foretold higher loads twice as well as "no more to come" would have; else
/// the middle between the two, which errs least on published curves.
fn trust(chosen: &Model, data: &Data) -> f64 {
    match (chosen.foresight, choice::foresight_of_nothing_more(data)) {
        (Some(model), Some(nothing))
            if model.splits >= choice::ENOUGH_SPLITS && model.error < nothing.error / 2.0 =>
        {
            1.0
        }
        _ => 0.5,
    }
}

/// What one measurement is off by, as the standard deviation of its logarithm.
fn noise(data: &Data, chosen: &Model) -> f64 {
    let residuals: Vec<f64> = data
        .rows()
        .filter(|(_, value, _)| *value > 0.0)
        .map(|(load, value, weight)| (value / chosen.at(load)).ln() * weight.sqrt())
        .filter(|residual| residual.is_finite())
        .collect();
    let degrees = residuals.len().saturating_sub(chosen.parameters.len());
    if degrees < ENOUGH_DEGREES {
        return USUAL_NOISE;
    }
    (residuals.iter().map(|residual| residual * residual).sum::<f64>() / degrees as f64).sqrt().max(1e-6)
}

/// Levels with the mean of those nearby, so that the luckiest of many is not taken for the peak.
pub(crate) fn smoothed(levels: &[Level]) -> Vec<Level> {
    // Sums up to each level, so that a million levels take no more than a million steps.
    let mut sums = vec![(0.0, 0.0)];
    for level in levels {
        let (sum, count) = sums[sums.len() - 1];
        sums.push((sum + level.throughput * level.count as f64, count + level.count as f64));
    }
    let mean = |level: &Level| {
        let from = levels.partition_point(|other| other.load < level.load / SAME_PLACE);
        let to = levels.partition_point(|other| other.load <= level.load * SAME_PLACE);
        (sums[to].0 - sums[from].0) / (sums[to].1 - sums[from].1)
    };
    levels.iter().map(|level| Level { throughput: mean(level), ..*level }).collect()
}

/// The value below which this share of sorted values lies.
pub(crate) fn share(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

/// A draw from the standard normal distribution (G. E. P. Box, M. E. Muller, 1958).
pub(crate) fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (first, second): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

/// The model a peak may be read from: polynomials have no limit, or a false one.
pub(crate) fn has_a_limit(name: ModelName) -> bool {
    matches!(name, ModelName::Roofline | ModelName::Usl)
}
