//! What the plan took from replies, over the measured phases.

use std::collections::BTreeMap;

use plimsoll_measure::{Histogram, LatencyFigures, Limits, ValueForm, ValueKey, ValueSeries, ValueUnit};

use crate::{MeasureShape, Shape};

/// One value that the plan takes from replies.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureSummary {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub form: ValueForm,
    /// What it is in.
    pub unit: ValueUnit,
    /// Over all steps.
    pub all: MeasureFigures,
    /// Step by step, in the plan's order, where it is taken from more than one.
    pub steps: Vec<StepMeasure>,
}

/// A value in the replies of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepMeasure {
    /// Its scenario.
    pub scenario: String,
    /// Its name.
    pub step: String,
    /// What was taken.
    pub figures: MeasureFigures,
}

/// What was taken from replies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeasureFigures {
    /// Replies that had a value.
    pub count: u64,
    /// Replies that had none, or what is no such number.
    pub absent: u64,
    /// Replies that had one which is too large to be counted.
    pub out_of_range: u64,
    /// Of a histogram, in its unit.
    pub values: Option<LatencyFigures>,
    /// The sum of a counter; of a ratio, how many were what is looked for.
    pub total: Option<u64>,
    /// The sum of a counter per second.
    pub rate: Option<f64>,
    /// total / count of a ratio.
    pub ratio: Option<f64>,
}

/// What was taken so far.
#[derive(Debug, Default)]
pub(crate) struct Measures(BTreeMap<ValueKey, ValueSeries>);

impl Measures {
    /// Adds a second's. Beyond the most series they are counted together, as workers do within a second.
    pub(crate) fn add(&mut self, values: &BTreeMap<ValueKey, ValueSeries>, limits: &Limits) {
        for (key, series) in values {
            let fits = self.0.len() < limits.series as usize || self.0.contains_key(key);
            let key = if fits { *key } else { key.overflow() };
            self.0.entry(key).or_default().merge(series);
        }
    }

    /// One per measure, in the plan's order.
    pub(crate) fn summaries(&self, shape: &Shape, measured_seconds: f64) -> Vec<MeasureSummary> {
        let measures = shape.measures.iter().zip(0_u16..);
        measures.map(|(measure, index)| self.summary(measure, index, shape, measured_seconds)).collect()
    }

    fn summary(&self, measure: &MeasureShape, index: u16, shape: &Shape, seconds: f64) -> MeasureSummary {
        let of = |wanted: &dyn Fn(&ValueKey) -> bool| {
            let mut sum = ValueSeries::default();
            let mut histogram = Histogram::new(measure.edges.clone());
            let mine = |key: &ValueKey| key.value == index && key.phase.is_measured() && wanted(key);
            for (_, series) in self.0.iter().filter(|(key, _)| mine(key)) {
                series.values.iter().for_each(|values| histogram.add(values));
                sum.merge(&ValueSeries { values: None, ..series.clone() });
            }
            figures(measure, &sum, &histogram, seconds)
        };
        let steps = shape.steps.iter().zip(0_u16..);
        let steps = steps.map(|(step, position)| StepMeasure {
            scenario: step.scenario.clone(),
            step: step.step.clone(),
            figures: of(&|key| key.step == position),
        });
        let steps: Vec<_> = steps.filter(|step| step.figures.replies() > 0).collect();
        MeasureSummary {
            name: measure.name.to_string(),
            form: measure.form,
            unit: measure.unit,
            all: of(&|_| true),
            steps: if steps.len() > 1 { steps } else { Vec::new() },
        }
    }
}

impl MeasureFigures {
    /// Replies that were looked at.
    pub fn replies(&self) -> u64 {
        self.count + self.absent + self.out_of_range
    }
}

fn figures(measure: &MeasureShape, sum: &ValueSeries, histogram: &Histogram, seconds: f64) -> MeasureFigures {
    let counts = MeasureFigures {
        count: sum.taken,
        absent: sum.absent,
        out_of_range: sum.out_of_range,
        ..MeasureFigures::default()
    };
    let total = (sum.taken > 0).then_some(sum.total);
    match measure.form {
        ValueForm::Histogram => {
            let values = LatencyFigures::in_units(histogram, measure.unit.ticks_per_one());
            MeasureFigures { values: Some(values), ..counts }
        }
        ValueForm::Counter => {
            let rate = total.filter(|_| seconds > 0.0).map(|total| total as f64 / seconds);
            MeasureFigures { total, rate, ..counts }
        }
        ValueForm::Ratio => {
            let ratio = total.map(|total| total as f64 / sum.taken as f64);
            MeasureFigures { total, ratio, ..counts }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Phase, ValueName};

    #[test]
    fn figures_are_those_of_the_form_and_steps_are_told_apart() {
        let mut shape = crate::wire::tests::started().shape;
        shape.steps.push(crate::StepShape { step: "buy".into(), ..shape.steps[0].clone() });
        let measure = |name: &str, form| MeasureShape {
            name: ValueName::new(name).unwrap(),
            form,
            unit: ValueUnit::Number,
            edges: ValueUnit::Number.edges([]),
        };
        shape.measures = vec![measure("rows", ValueForm::Counter), measure("hit", ValueForm::Ratio)];
        let key = |value, step, phase| ValueKey { value, step, phase, stage: Some(0) };
        let series = |taken, absent, total| ValueSeries { taken, absent, total, ..ValueSeries::default() };
        let mut measures = Measures::default();
        for _ in 0..2 {
            let values = [
                (key(0, 0, Phase::Measured), series(2, 1, 10)),
                (key(0, 1, Phase::Grace), series(1, 0, 7)),
                (key(0, 1, Phase::Warmup), series(1, 0, 100)),
                (key(1, 0, Phase::Measured), series(0, 3, 0)),
            ];
            measures.add(&values.into(), &Limits::default());
        }
        let [rows, hit] = measures.summaries(&shape, 4.0).try_into().unwrap();
        assert_eq!((rows.all.count, rows.all.absent, rows.all.replies()), (6, 2, 8));
        assert_eq!((rows.all.total, rows.all.rate, rows.all.ratio), (Some(34), Some(8.5), None));
        let steps: Vec<_> = rows.steps.iter().map(|step| (step.step.as_str(), step.figures.total)).collect();
        assert_eq!(steps, [("list", Some(20)), ("buy", Some(14))]);
        assert_eq!((hit.all.absent, hit.all.ratio, hit.all.total), (6, None, None), "no data is none");
        assert!(hit.steps.is_empty(), "one step is all there is");
    }
}
