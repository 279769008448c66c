//! Checks of answers, over the measured phases.

use std::collections::BTreeMap;

use plimsoll_measure::{CheckKey, CheckSeries};

use crate::Shape;

/// One check of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSummary {
    /// Its scenario.
    pub scenario: String,
    /// Its step.
    pub step: String,
    /// Its name.
    pub check: String,
    /// Answers it held of.
    pub passed: u64,
    /// Answers it did not hold of.
    pub failed: u64,
}

impl CheckSummary {
    /// passed / (passed + failed); `None` where no answer was looked at.
    pub fn ratio(&self) -> Option<f64> {
        let all = self.passed + self.failed;
        (all > 0).then(|| self.passed as f64 / all as f64)
    }
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Checks(BTreeMap<CheckKey, CheckSeries>);

impl Checks {
    /// Adds a second's.
    pub(crate) fn add(&mut self, checks: &BTreeMap<CheckKey, CheckSeries>) {
        for (key, series) in checks {
            self.0.entry(*key).or_default().merge(series);
        }
    }

    /// One per check, in the plan's order. Those of setup and teardown have no measured phase and show what
    /// they did.
    pub(crate) fn summaries(&self, shape: &Shape) -> Vec<CheckSummary> {
        let checks = shape.checks.iter().zip(0_u16..);
        let summary = |(check, index): (&crate::CheckShape, u16)| {
            let mine = |key: &CheckKey| {
                key.check == index && (key.phase.is_measured() || check.scenario_index.is_none())
            };
            let mut all = CheckSeries::default();
            self.0.iter().filter(|(key, _)| mine(key)).for_each(|(_, series)| all.merge(series));
            CheckSummary {
                scenario: check.scenario.clone(),
                step: check.step.clone(),
                check: check.check.clone(),
                passed: all.passed,
                failed: all.failed,
            }
        };
        checks.map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::Phase;

    use super::*;
    use crate::CheckShape;

    #[test]
    fn a_check_counts_what_was_measured_and_of_setup_what_it_did() {
        let check = |scenario: &str, scenario_index, check: &str| CheckShape {
            scenario: scenario.to_owned(),
            scenario_index,
            step: "list".to_owned(),
            check: check.to_owned(),
        };
        let checks = vec![
            check("browse", Some(0), "full"),
            check("setup", None, "made"),
            check("browse", Some(0), "never"),
        ];
        let shape = Shape { checks, ..crate::shape::tests::shape(Vec::new(), 0.0) };
        let counted =
            |check, phase, passed, failed| (CheckKey { check, phase }, CheckSeries { passed, failed });
        let mut all = Checks::default();
        for _ in 0..2 {
            let second = [
                counted(0, Phase::Warmup, 100, 100),
                counted(0, Phase::Measured, 1, 2),
                counted(0, Phase::Grace, 2, 0),
                counted(1, Phase::Setup, 0, 1),
            ];
            all.add(&second.into());
        }
        let told: Vec<_> = all
            .summaries(&shape)
            .into_iter()
            .map(|one| (one.check.clone(), one.passed, one.failed, one.ratio()))
            .collect();
        let row = |check: &str, passed, failed, ratio| (check.to_owned(), passed, failed, ratio);
        assert_eq!(
            told,
            [row("full", 6, 4, Some(0.6)), row("made", 0, 2, Some(0.0)), row("never", 0, 0, None)]
        );
    }
}
