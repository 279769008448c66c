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
        let totals = &summary.totals;
        match summary.status {
            Some(RunStatus::Failed) => Self::Usage,
            Some(RunStatus::Interrupted) => Self::Interrupted,
            _ if totals.requests > 0 && !summary.any_answer() => Self::Unreachable,
            _ if untrusted => Self::Undecided,
            _ if critical(Verdict::Missed) => Self::Missed,
            _ if critical(Verdict::Inconclusive) => Self::Undecided,
            _ => Self::Success,
        }
    }
}

impl Summary {
    /// Whether any request of any phase got an answer.
    pub fn any_answer(&self) -> bool {
        let failed_without = self
            .errors
            .iter()
            .filter(|error| !error.outcome.is_answer())
            .map(|error| error.count)
            .sum::<u64>();
        self.totals.succeeded > 0 || self.totals.failed > failed_without
    }
}
