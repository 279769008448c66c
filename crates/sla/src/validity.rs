use plimsoll_measure::{Edges, Frame, LatencyFigures};

/// Whether the generator can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Validity {
    /// It kept its schedule.
    #[default]
    Valid,
    /// It was late or busy enough to colour the figures.
    Suspect,
    /// Its figures say more about itself than about the target.
    Invalid,
}

impl Validity {
    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }

    /// Its value in metrics: 1, 0.5 or 0.
    pub fn value(self) -> f64 {
        match self {
            Self::Valid => 1.0,
            Self::Suspect => 0.5,
            Self::Invalid => 0.0,
        }
    }
}

/// The figures that validity is judged by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidityInput {
    /// Arrivals due, dropped ones included.
    pub arrivals: u64,
    /// Arrivals the generator could not offer.
    pub generator_drops: u64,
}

/// Whether the generator can be trusted, and why not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValidityReport {
    /// The verdict.
    pub verdict: Validity,
    /// What speaks against it, in words with figures; empty when valid.
    pub reasons: Vec<String>,
    /// ready - due over all measured requests.
    pub schedule_lag: LatencyFigures,
    /// Arrivals the generator could not offer.
    pub generator_drops: u64,
    /// Mean over the measured seconds of the generator's own use of its processors.
    pub generator_cpu_ratio: Option<f64>,
}

/// Folds seconds into a verdict about the generator.
#[derive(Debug, Clone)]
pub struct ValidityTracker {
    input: ValidityInput,
}

impl ValidityTracker {
    /// A tracker before the first second.
    pub fn new(_edges: Edges) -> Self {
        Self { input: ValidityInput::default() }
    }

    /// Folds the next closed second and the share of its processors the generator used in it.
    pub fn second(&mut self, _frame: &Frame, _cpu_ratio: Option<f64>) {}

    /// What can be said so far.
    pub fn report(&self) -> ValidityReport {
        ValidityReport { generator_drops: self.input.generator_drops, ..ValidityReport::default() }
    }
}
