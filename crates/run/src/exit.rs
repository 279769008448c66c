use plimsoll_sla::{Severity, Validity, Verdict};

use crate::{RunStatus, Summary};

/// How a process ends; the first that applies in the order of [`ExitCode::of_run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All is well.
    Success = 0,
    /// Our own fault.
    Internal = 1,
    /// Bad usage, config or data.
    Usage = 2,
    /// A critical objective was missed.
    Missed = 3,
    /// The generator was invalid, or an objective is inconclusive.
    Undecided = 4,
    /// No request got any answer, or a server is unreachable.
    Unreachable = 5,
    /// Interrupted; the run is saved.
    Interrupted = 130,
}

/// How `plimsoll runs resume` ends where the record cannot be used for now, or another process uses the rows of the run, so that
/// nothing is decided: `EX_TEMPFAIL` of BSD's `sysexits.h`. It is the end of no run, and so none of [`ExitCode`].
pub const TRY_AGAIN: u8 = 75;

impl ExitCode {
    /// The code of an ended run. `strict` makes a suspect generator count like an invalid one.
    ///
    /// Warnings never change it. A plan without objectives ends 0 unless the run itself went wrong.
    pub fn of_run(summary: &Summary, strict: bool) -> Self {
        let critical = |verdict: Verdict| {
            summary.objectives.iter().any(|objective| {
                objective.severity == Severity::Critical && objective.judgement.verdict == verdict
            })
        };
        let untrusted = match summary.validity.verdict {
            Validity::Invalid => true,
            Validity::Suspect => strict,
            Validity::Valid => false,
        };
        match summary.status {
            // Setup that could not reach anybody is no mistake of the plan.
            Some(RunStatus::Failed) if summary.unanswered => Self::Unreachable,
            Some(RunStatus::Failed) => Self::Usage,
            Some(RunStatus::Interrupted) => Self::Interrupted,
            _ if summary.unanswered => Self::Unreachable,
            _ if untrusted => Self::Undecided,
            _ if critical(Verdict::Missed) => Self::Missed,
            _ if critical(Verdict::Inconclusive) => Self::Undecided,
            _ => Self::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_measure::{Edges, Frame, Outcome, Phase, Sample, SeriesKey, Shard, Vitals};

    use super::*;
    use crate::{
        Ended, Gauges, Model, RunEvent, RunInfo, Second, Shape, StageShape, Started, State, StepShape,
    };

    /// The code of a run of one second in which these outcomes came, 2,000 of each.
    fn code(objective: Option<&str>, status: RunStatus, outcomes: &[Outcome], strict: bool) -> ExitCode {
        let objective = objective.map(|text| plimsoll_sla::Objective {
            name: text.into(),
            text: text.into(),
            expression: plimsoll_sla::Expression::parse(text).unwrap(),
            over: None,
            filter: plimsoll_sla::Filter::default(),
            abort_after: None,
            severity: Severity::Critical,
            message: None,
        });
        let shape = Shape {
            plan: "p".into(),
            plan_hash: "h".into(),
            model: Model::Open,
            scenarios: Vec::new(),
            steps: vec![StepShape { scenario: "s".into(), scenario_index: Some(0), step: "s".into() }],
            groups: Vec::new(),
            checks: Vec::new(),
            stages: vec![StageShape {
                kind: "hold".into(),
                start: 0.0,
                end: 1.0,
                from: 1.0,
                to: 1.0,
                course: Vec::new(),
            }],
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: objective.into_iter().collect(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: plimsoll_measure::Limits::default(),
        };
        let info = RunInfo {
            id: "r".into(),
            started_nanos: 0,
            seed: 0,
            version: None,
            environment: None,
            tags: std::collections::BTreeMap::new(),
            machine: crate::Machine::default(),
            plimsoll: String::new(),
            target: String::new(),
        };
        let mut state =
            State::new(Arc::new(Started { info, shape, plan_text: String::new(), calibration: None }));
        let mut shard = Shard::new(0, Edges::default());
        for outcome in outcomes {
            let key = SeriesKey { step: 0, phase: Phase::Measured, stage: Some(0), outcome: *outcome };
            let (due, sent) = (0, Some(0));
            let sample = Sample {
                key,
                due,
                ready: 0,
                sent,
                done: 1_000_000,
                connect: None,
                tls: None,
                first_byte: None,
                status: None,
                received_bytes: 0,
                sent_bytes: 0,
                address: 0,
            };
            (0..2000).for_each(|_| shard.record(&sample));
        }
        let mut frame = Frame::new(0);
        shard.merge_into(&mut frame);
        let (gauges, vitals) = (Gauges::default(), Vitals::default());
        state.apply(&RunEvent::Second(Arc::new(Second {
            frame,
            gauges,
            vitals,
            resources: Vec::new(),
            wall_nanos: 0,
        })));
        let ended = Ended { at: 1_000_000_000, status, reason: None, exports: Vec::new(), samples: None };
        state.apply(&RunEvent::Ended(Arc::new(ended)));
        ExitCode::of_run(&state.summary(), strict)
    }

    #[test]
    fn the_first_code_that_applies_wins() {
        use Outcome::{Connect, Cut, Ok, Status};
        use RunStatus::{Aborted, Completed, Failed, Interrupted};
        let errors = Some("error_ratio <= 10%");
        for (objective, status, outcomes, expected) in [
            (None, Completed, &[Ok][..], ExitCode::Success),
            (None, Completed, &[Status], ExitCode::Success),
            (None, Completed, &[], ExitCode::Success),
            (errors, Completed, &[Ok], ExitCode::Success),
            (errors, Completed, &[Ok, Status], ExitCode::Missed),
            (errors, Aborted, &[Ok, Status], ExitCode::Missed),
            (errors, Completed, &[], ExitCode::Undecided),
            (errors, Completed, &[Ok, Cut], ExitCode::Undecided),
            (errors, Completed, &[Connect], ExitCode::Unreachable),
            (errors, Interrupted, &[Connect], ExitCode::Interrupted),
            (errors, Interrupted, &[Ok, Status], ExitCode::Interrupted),
            (errors, Failed, &[Ok], ExitCode::Usage),
            (None, Failed, &[Connect], ExitCode::Unreachable),
        ] {
            assert_eq!(
                code(objective, status, outcomes, false),
                expected,
                "{objective:?} {status:?} {outcomes:?}"
            );
        }
    }
}
