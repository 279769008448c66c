//! A service's seconds: what was asked of it and what came of it, moment by moment.

use std::collections::BTreeMap;

use plimsoll_measure::Distribution;

/// A second of a service under load, or a longer step of a stored series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moment {
    /// Arrivals offered per second, or concurrent users.
    pub load: f64,
    /// What succeeded per second.
    pub throughput: f64,
    /// What ended, where that is known.
    pub ended: Option<Ended>,
    /// Response times of what ended.
    pub response_time: Option<Distribution>,
    /// How much of each resource was used, by its name. Those whose name ends in `_ratio` are shares of one.
    pub resources: BTreeMap<String, f64>,
    /// Throughput of each kind of request, by its name.
    pub classes: BTreeMap<String, f64>,
}

/// Requests that ended, per second; cut ones are in neither figure.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ended {
    /// Those that failed.
    pub failed: f64,
    /// Those that succeeded or failed.
    pub all: f64,
}

/// Moments of equal length, one after the other, in bounded memory.
///
/// When it is full, neighbours merge in pairs, histograms and all, and its steps are twice as long.
#[derive(Debug, Clone)]
pub struct Series {
    width: f64,
    /// How many pushed moments the last step still waits for.
    merged: u32,
    pending: u32,
    moments: Vec<Option<Moment>>,
}

impl Series {
    /// The most steps kept: a run of half an hour has one for each second.
    pub const STEPS: usize = 2048;

    /// No moments; each will be `width` seconds long, which must be positive.
    pub fn new(width: f64) -> Self {
        Self { width, merged: 1, pending: 0, moments: Vec::new() }
    }

    /// Adds the next moment; `None` where there is a gap. One whose load or throughput is no number, or
    /// below zero, is a gap.
    pub fn push(&mut self, moment: Option<Moment>) {
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        let moment = moment.filter(|moment| sound(moment.load) && sound(moment.throughput));
        match self.moments.last_mut() {
            Some(last) if self.pending > 0 => {
                let weight = f64::from(self.merged - self.pending);
                *last = last.take().zip(moment).map(|(last, moment)| last.merge(moment, weight));
                self.pending -= 1;
            }
            _ => {
                if self.moments.len() == Self::STEPS {
                    self.halve();
                }
                self.moments.push(moment);
                self.pending = self.merged - 1;
            }
        }
    }

    /// Its steps in order, whole ones only; `None` are gaps.
    pub fn moments(&self) -> &[Option<Moment>] {
        let whole = self.moments.len() - usize::from(self.pending > 0);
        &self.moments[..whole]
    }

    /// How long a step is, in seconds.
    pub fn step_seconds(&self) -> f64 {
        self.width * f64::from(self.merged)
    }

    fn halve(&mut self) {
        let mut moments = std::mem::take(&mut self.moments).into_iter();
        while let (Some(first), Some(second)) = (moments.next(), moments.next()) {
            self.moments.push(first.zip(second).map(|(first, second)| first.merge(second, 1.0)));
        }
        self.merged *= 2;
    }
}

impl Moment {
    /// This one, which counts `weight` times, and the next, which counts once.
    fn merge(self, next: Self, weight: f64) -> Self {
        let mean = |mine: f64, theirs: f64| (mine * weight + theirs) / (weight + 1.0);
        let response_time = match (self.response_time, next.response_time) {
            (Some(mut mine), Some(theirs)) => {
                mine.merge(&theirs);
                Some(mine)
            }
            (mine, theirs) => mine.or(theirs),
        };
        Self {
            load: mean(self.load, next.load),
            throughput: mean(self.throughput, next.throughput),
            ended: self.ended.zip(next.ended).map(|(mine, theirs)| Ended {
                failed: mean(mine.failed, theirs.failed),
                all: mean(mine.all, theirs.all),
            }),
            response_time,
            // Not read is not zero: what only one of them has stays as it is.
            resources: union(self.resources, next.resources, |mine, theirs| match (mine, theirs) {
                (Some(mine), Some(theirs)) => mean(mine, theirs),
                (mine, theirs) => mine.or(theirs).unwrap_or_default(),
            }),
            // A kind that did not occur did not occur.
            classes: union(self.classes, next.classes, |mine, theirs| {
                mean(mine.unwrap_or(0.0), theirs.unwrap_or(0.0))
            }),
        }
    }
}

fn union(
    mine: BTreeMap<String, f64>,
    mut theirs: BTreeMap<String, f64>,
    join: impl Fn(Option<f64>, Option<f64>) -> f64,
) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (name, value) in mine {
        let other = theirs.remove(&name);
        all.insert(name, join(Some(value), other));
    }
    all.extend(theirs.into_iter().map(|(name, value)| {
        let value = join(None, Some(value));
        (name, value)
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::Edges;

    fn moment(load: f64) -> Moment {
        Moment { load, throughput: load, ended: Some(Ended { failed: 1.0, all: 2.0 }), ..Moment::default() }
    }

    #[test]
    fn any_length_fits_and_means_stay() {
        let mut series = Series::new(1.0);
        for second in 0..10_000 {
            series.push(Some(moment(f64::from(second))));
            assert!(series.moments().len() <= Series::STEPS);
        }
        let steps = series.moments();
        assert_eq!((series.step_seconds(), steps.len()), (8.0, 1250));
        for (index, step) in steps.iter().enumerate() {
            let step = step.as_ref().unwrap();
            assert_eq!(step.load, index as f64 * 8.0 + 3.5);
            assert_eq!(step.ended, Some(Ended { failed: 1.0, all: 2.0 }));
        }
    }

    #[test]
    fn what_is_no_number_is_a_gap() {
        let mut series = Series::new(1.0);
        for load in [1.0, f64::NAN, -1.0, f64::INFINITY] {
            series.push(Some(moment(load)));
        }
        series.push(None);
        let gaps: Vec<bool> = series.moments().iter().map(Option::is_none).collect();
        assert_eq!(gaps, [false, true, true, true, true]);
    }

    #[test]
    fn histograms_merge_and_resources_that_were_not_read_are_not_zero() {
        let mut with = moment(1.0);
        let mut shard = plimsoll_measure::Histogram::new(Edges::default());
        shard.record(5_000_000);
        with.response_time = Some(shard.distribution());
        with.resources.insert("cpu_ratio".into(), 0.5);
        with.classes.insert("buy".into(), 4.0);
        let merged = with.merge(moment(3.0), 1.0);
        assert_eq!(merged.load, 2.0);
        assert_eq!(merged.resources["cpu_ratio"], 0.5);
        assert_eq!(merged.classes["buy"], 2.0);
        assert_eq!(merged.response_time.unwrap().count(), 1);
    }
}
