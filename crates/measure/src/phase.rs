use std::fmt;

/// The part of a run a request belongs to: the one its iteration was due in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Steps run once before the load.
    Setup,
    /// The first part of the stages: exported, left out of every verdict and total.
    Warmup,
    /// The stages after the warm-up.
    Measured,
    /// After the stages, while requests in flight may finish.
    Grace,
    /// Steps run once after the load.
    Teardown,
}

impl Phase {
    /// Every phase in the order a run passes them.
    pub const ALL: [Self; 5] = [Self::Setup, Self::Warmup, Self::Measured, Self::Grace, Self::Teardown];

    /// The value of the `phase` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Warmup => "warmup",
            Self::Measured => "measured",
            Self::Grace => "grace",
            Self::Teardown => "teardown",
        }
    }

    /// The phase with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.label() == label)
    }

    /// Whether verdicts and totals cover it.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Measured | Self::Grace)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
