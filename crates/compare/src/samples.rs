//! Samples of two sides, gathered by benchmark, metric and run.

use std::collections::HashMap;

use plimsoll_data::Source;
use plimsoll_stats::{Count, Side};

use crate::metric::OfRun;
use crate::table::{Cells, Columns, DataError, number, passed_over, read, shown};

/// The columns of a table of samples: benchmark, metric, variant (`base` or `candidate`), run and value are needed; `unit`, where it
/// is there, has to be the same on both sides.
pub const SAMPLE_COLUMNS: [&str; 6] = ["benchmark", "metric", "variant", "run", "value", "unit"];
const COLUMNS: Columns = Columns { names: &SAMPLE_COLUMNS, needed: 5 };
const BENCHMARK: usize = 0;
const METRIC: usize = 1;
const VARIANT: usize = 2;
const RUN: usize = 3;
const VALUE: usize = 4;
const UNIT: usize = 5;

/// One value of a run. Several samples of one run are alike in all but the value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// What was done: a benchmark, a step.
    pub benchmark: &'a str,
    /// What was measured.
    pub metric: &'a str,
    /// On which side.
    pub side: Side,
    /// In which run; runs of different sides may have one name.
    pub run: &'a str,
    /// In the unit, and finite.
    pub value: f64,
    /// The unit, where it is known.
    pub unit: Option<&'a str>,
}

/// A sample in another unit than those before it on its side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the samples before it on this side are in {}: one side has one unit", shown_unit(.before))]
pub struct OtherUnit {
    /// The unit of those before; empty where they have none.
    before: String,
}

fn shown_unit(unit: &str) -> String {
    if unit.is_empty() { "no unit".to_owned() } else { format!("`{}`", shown(unit)) }
}

/// Samples of both sides.
#[derive(Debug, Default)]
pub struct Samples {
    /// In the order in which they were first seen.
    pub(crate) pairs: Vec<Pair>,
    /// Where the metrics of each benchmark are among them.
    places: HashMap<String, HashMap<String, usize>>,
    pub(crate) warnings: Vec<String>,
    /// Whether runs are known to be different ones, so that equal values are chance.
    pub(crate) are_known: bool,
}

/// A metric of a benchmark on both sides.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) benchmark: String,
    pub(crate) metric: String,
    pub(crate) base: Runs,
    pub(crate) candidate: Runs,
}

impl Pair {
    pub(crate) fn has_both(&self) -> bool {
        !self.base.is_empty() && !self.candidate.is_empty()
    }

    /// Whether it is a share of failures.
    pub(crate) fn is_counted(&self) -> bool {
        !(self.base.counts.is_empty() && self.candidate.counts.is_empty())
    }
}

/// The runs of one side.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Empty where none was told.
    pub(crate) unit: String,
    /// The values of each, in the order in which runs were first seen.
    values: Vec<Vec<f64>>,
    places: HashMap<String, usize>,
    /// Of a metric that is a share of failures, in place of values: one of each run.
    pub(crate) counts: Vec<Count>,
}

impl Runs {
    fn add(&mut self, sample: &Sample<'_>) -> Result<(), OtherUnit> {
        let unit = sample.unit.unwrap_or_default();
        if self.values.is_empty() {
            unit.clone_into(&mut self.unit);
        } else if self.unit != unit {
            return Err(OtherUnit { before: self.unit.clone() });
        }
        match self.places.get(sample.run) {
            Some(place) => self.values[*place].push(sample.value),
            None => {
                self.places.insert(sample.run.to_owned(), self.values.len());
                self.values.push(vec![sample.value]);
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.counts.is_empty()
    }

    /// How many values all runs have together.
    pub(crate) fn count(&self) -> usize {
        self.values.iter().map(Vec::len).sum::<usize>() + self.counts.len()
    }

    /// One value of each run.
    pub(crate) fn of_each(&mut self, of_run: OfRun) -> Vec<f64> {
        self.values.iter_mut().filter_map(|values| of_run.value(values)).collect()
    }
}

impl Samples {
    /// None yet, of runs that are known to be different ones.
    pub(crate) fn of_known_runs() -> Self {
        Self { are_known: true, ..Self::default() }
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// When those before it on its side are in another unit.
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), OtherUnit> {
        self.side(sample.benchmark, sample.metric, sample.side).add(sample)
    }

    /// Adds how many requests of a run failed, of a metric that is the share of failures and has no other samples.
    pub fn add_count(&mut self, benchmark: &str, metric: &str, side: Side, count: Count) {
        self.side(benchmark, metric, side).counts.push(count);
    }

    fn side(&mut self, benchmark: &str, metric: &str, side: Side) -> &mut Runs {
        let known = self.places.get(benchmark).and_then(|metrics| metrics.get(metric));
        let place = known.copied().unwrap_or_else(|| self.new_pair(benchmark, metric));
        let pair = &mut self.pairs[place];
        match side {
            Side::Base => &mut pair.base,
            Side::Candidate => &mut pair.candidate,
        }
    }

    fn new_pair(&mut self, benchmark: &str, metric: &str) -> usize {
        let place = self.pairs.len();
        let (benchmark, metric) = (benchmark.to_owned(), metric.to_owned());
        self.places.entry(benchmark.clone()).or_default().insert(metric.clone(), place);
        self.pairs.push(Pair { benchmark, metric, base: Runs::default(), candidate: Runs::default() });
        place
    }
}

/// Reads samples from CSV with a heading, its columns in any order: [`SAMPLE_COLUMNS`].
///
/// Values are numbers with a point and finite: a run without a value is left out by whoever writes the table, not by who reads it. One
/// value of each is kept in memory, 8 bytes and what its run needs; a row is at most 1 MiB long.
///
/// # Errors
/// The first mistake with its place.
pub fn read_samples(source: Source) -> Result<Samples, DataError> {
    let mut samples = Samples::default();
    let unknown = read(source, COLUMNS, |cells| {
        let sample = sample(cells)?;
        samples.add(&sample).map_err(|error| cells.wrong(UNIT, error.to_string()))
    })?;
    samples.warnings.extend(passed_over(&unknown));
    Ok(samples)
}

fn sample(cells: Cells<'_>) -> Result<Sample<'_>, DataError> {
    let side = match cells.text(VARIANT) {
        "base" => Side::Base,
        "candidate" => Side::Candidate,
        _ => return Err(cells.wrong(VARIANT, "write `base` or `candidate`".to_owned())),
    };
    let value = number(cells.text(VALUE)).ok_or_else(|| {
        let allowed =
            "write a finite number such as 12.5, with a point and no unit; leave a run without a value out";
        cells.wrong(VALUE, allowed.to_owned())
    })?;
    Ok(Sample {
        benchmark: cells.name(BENCHMARK, "write the name of the benchmark")?,
        metric: cells.name(METRIC, "write the name of the metric, such as p95")?,
        side,
        run: cells.name(RUN, "write the name of the run that the value is of, such as 1")?,
        value,
        unit: Some(cells.text(UNIT)).filter(|unit| !unit.is_empty()),
    })
}
