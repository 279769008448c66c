use std::collections::BTreeSet;
use std::fmt;

use crate::Expression;

/// Something promised about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Its name, unique within a plan; the `sla` label.
    pub name: String,
    /// The expression as it was typed.
    pub text: String,
    /// What is promised.
    pub expression: Expression,
    /// The length of the sliding window in whole seconds; `None`: the whole run, judged at the end.
    pub over: Option<u32>,
    /// Which requests it is about.
    pub filter: Filter,
    /// Abort the run after this many seconds of unbroken misses, counted from the first full window.
    pub abort_after: Option<u32>,
    /// Whether a miss changes the exit code.
    pub severity: Severity,
    /// Words of the plan's author to show with a miss.
    pub message: Option<String>,
}

/// Which requests an objective is about; an empty filter is about all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Indexes of steps, where the objective names some.
    pub steps: Option<BTreeSet<u16>>,
    /// Indexes of the scenarios it can concern, where it names a scenario or step: drops and
    /// iterations belong to scenarios.
    pub scenarios: Option<BTreeSet<u16>>,
    /// Index of the stage, where it names one.
    pub stage: Option<u16>,
}

/// How bad a miss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// A miss fails the run.
    #[default]
    Critical,
    /// A miss is shown, exported and notified, and does not change the exit code.
    Warning,
}

impl Severity {
    /// Its word in plans and results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// Whether an objective was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Kept, even if every unknown counts as bad.
    Met,
    /// Not kept, even if every unknown counts as good.
    Missed,
    /// Nobody can know: no data, or the unknowns decide.
    Inconclusive,
}

impl Verdict {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
