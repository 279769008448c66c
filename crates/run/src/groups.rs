//! Groups of steps, over the measured phases.

use std::collections::BTreeMap;

use plimsoll_measure::{GroupKey, GroupSeries, Histogram, LatencyFigures};

use crate::Shape;

/// One group of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSummary {
    /// Its scenario.
    pub scenario: String,
    /// Its name.
    pub group: String,
    /// Passes through it that ended.
    pub count: u64,
    /// Those in which a step failed.
    pub failed: u64,
    /// From when the first action was due to the end of the last, pauses included.
    pub time: LatencyFigures,
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<GroupKey, GroupSeries>);

impl Groups {
    /// Adds a second's.
    pub(crate) fn add(&mut self, groups: &BTreeMap<GroupKey, GroupSeries>) {
        for (key, series) in groups {
            self.0.entry(*key).or_default().merge(series);
        }
    }

    /// One per group, in the plan's order. Those of setup and teardown have no measured phase and show
    /// what they did.
    pub(crate) fn summaries(&self, shape: &Shape) -> Vec<GroupSummary> {
        let groups = shape.groups.iter().zip(0_u16..);
        let summary = |(group, index): (&crate::GroupShape, u16)| {
            let mine = |key: &GroupKey| {
                key.group == index && (key.phase.is_measured() || group.scenario_index.is_none())
            };
            let mut all = GroupSeries::default();
            let mut time = Histogram::new(shape.edges.clone());
            for (_, series) in self.0.iter().filter(|(key, _)| mine(key)) {
                series.time.iter().for_each(|more| time.add(more));
                (all.ended, all.failed) = (all.ended + series.ended, all.failed + series.failed);
            }
            GroupSummary {
                scenario: group.scenario.clone(),
                group: group.group.clone(),
                count: all.ended,
                failed: all.failed,
                time: LatencyFigures::from(&time),
            }
        };
        groups.map(summary).collect()
    }
}
