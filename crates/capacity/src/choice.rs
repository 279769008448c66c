//! Which model to believe: the one that foretells higher loads from lower ones.
//!
//! That is the job, so that is what is scored; a model that explains the past best (R², AICc) may say
//! anything about loads that it has not seen.

use crate::least_squares::{Curve, Data};
use crate::models::Family;
use crate::{Model, ModelName};

/// The fewest lower loads to foretell from.
const FEWEST_LEVELS: usize = 3;
/// Splits to try at most: with more levels, evenly taken ones.
const MOST_SPLITS: usize = 12;
/// The fewest trials that tell merit from luck.
pub(crate) const ENOUGH_SPLITS: usize = 3;
/// A later model in [`ModelName::ALL`] has to err less than an earlier one by this factor to be taken.
const CLEARLY: f64 = 0.8;
/// Every load that is foretold lies within this of the loads it is foretold from: beyond, nobody asks.
const FARTHEST: f64 = 4.0;

/// All models that the data carry, with their errors.
pub(crate) fn models(data: &Data) -> Vec<Model> {
    let fitted = ModelName::ALL.into_iter().filter_map(|name| Model::fit(name, data));
    fitted
        .map(|mut model| {
            model.foresight = foresight(model.name.family(), data);
            model
        })
        .collect()
}

/// The model to go on with.
///
/// With few levels the errors of models are as much luck as merit: the roofline, which errs least on
/// published curves, stands. With more, whatever has foretold clearly better does.
pub(crate) fn best(models: &[Model], eligible: impl Fn(ModelName) -> bool) -> Option<&Model> {
    let mut eligible = models.iter().filter(|model| eligible(model.name));
    let first = eligible.next()?;
    Some(eligible.fold(first, |best, model| match (&best.foresight, &model.foresight) {
        (Some(known), Some(new)) if new.splits >= ENOUGH_SPLITS && new.error < known.error * CLEARLY => model,
        _ => best,
    }))
}

/// How well something foretells higher loads from lower ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Foresight {
    /// The mean relative error.
    pub(crate) error: f64,
    /// In how many trials.
    pub(crate) splits: usize,
}

/// Of a kind of model.
///
/// The data are split between levels, from half of the levels on; each split foretells what lies
/// beyond it, and every split counts the same.
pub(crate) fn foresight(family: Family, data: &Data) -> Option<Foresight> {
    over_splits(data, |at| {
        let lower = Data {
            loads: data.loads[..at].to_vec(),
            values: data.values[..at].to_vec(),
            weights: data.weights[..at].to_vec(),
        };
        let theta = family.fit(&lower)?.theta;
        Some(Box::new(move |load| family.value(&theta, load)))
    })
}

/// Of the belief that nothing more is to come.
pub(crate) fn foresight_of_nothing_more(data: &Data) -> Option<Foresight> {
    over_splits(data, |at| {
        let highest = data.values[..at].iter().copied().fold(0.0, f64::max);
        Some(Box::new(move |_| highest))
    })
}

type Foretell = Box<dyn Fn(f64) -> f64>;

fn over_splits(data: &Data, learn: impl Fn(usize) -> Option<Foretell>) -> Option<Foresight> {
    let ends = ends_of_levels(data);
    let first = FEWEST_LEVELS.max(ends.len().div_ceil(2));
    let splits: Vec<usize> = (first..ends.len()).collect();
    let step = splits.len().div_ceil(MOST_SPLITS).max(1);
    let errors: Vec<f64> = splits
        .iter()
        .step_by(step)
        .filter_map(|levels| {
            let at = ends[levels - 1];
            mean_error(data, at, &learn(at)?)
        })
        .collect();
    let error = errors.iter().sum::<f64>() / errors.len() as f64;
    error.is_finite().then_some(Foresight { error, splits: errors.len() })
}

fn mean_error(data: &Data, at: usize, foretell: &Foretell) -> Option<f64> {
    let reach = data.loads.get(at.checked_sub(1)?)? * FARTHEST;
    let errors: Vec<f64> = data
        .rows()
        .skip(at)
        .filter(|(load, value, _)| *load <= reach && *value > 0.0)
        .map(|(load, value, _)| (foretell(load) / value - 1.0).abs())
        .collect();
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}

/// Where each level ends, in rows.
fn ends_of_levels(data: &Data) -> Vec<usize> {
    let mut at = 0;
    let levels = data.loads.chunk_by(|left, right| left == right);
    levels
        .map(|level| {
            at += level.len();
            at
        })
        .collect()
}
