//! How good earlier predictions were.

/// What a prediction is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionOf {
    /// The highest throughput, in requests answered well per second.
    Peak,
    /// The highest load that keeps the objectives, in arrivals per second or users.
    Limit,
}

impl PredictionOf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Peak, Self::Limit];

    /// Its word in results and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::Limit => "limit",
        }
    }

    /// What a word means.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.label() == label)
    }
}

/// A prediction as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Foretold {
    /// The plan it is about.
    pub plan: String,
    /// The target, without user information.
    pub target: String,
    /// What it is of.
    pub of: PredictionOf,
    /// When, nanoseconds since 1970.
    pub made_nanos: i64,
    /// The value.
    pub estimate: f64,
    /// Lower end of the 90% interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What it was made from: ids of runs.
    pub inputs: Vec<String>,
}

/// What was measured later.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The value.
    pub value: f64,
    /// When, nanoseconds since 1970.
    pub measured_nanos: i64,
    /// What measured it: the id of a search, or of a run.
    pub by: String,
}

/// A prediction beside what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// What was said.
    pub foretold: Foretold,
    /// What came, where anything was measured since.
    pub truth: Option<Truth>,
}

impl Scored {
    /// |estimate / truth - 1|; `None` while nothing was measured.
    pub fn error(&self) -> Option<f64> {
        let truth = self.truth.as_ref()?.value;
        (truth > 0.0).then(|| (self.foretold.estimate / truth - 1.0).abs())
    }

    /// Whether the truth fell into the interval.
    pub fn is_covered(&self) -> Option<bool> {
        let truth = self.truth.as_ref()?.value;
        Some((self.foretold.low..=self.foretold.high).contains(&truth))
    }
}

/// How good predictions were, over those that were measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackRecord {
    /// Predictions that wait for a measurement.
    pub open: usize,
    /// Predictions that were measured.
    pub measured: usize,
    /// How many of them had the truth in their 90% interval.
    pub covered: usize,
    /// Where the share of covered ones really lies: Wilson's 90% interval; `None` without any.
    pub coverage: Option<(f64, f64)>,
    /// The median of the relative errors.
    pub median_error: Option<f64>,
    /// The worst.
    pub worst_error: Option<f64>,
}

impl TrackRecord {
    /// Of these predictions.
    pub fn of<'s>(scored: impl IntoIterator<Item = &'s Scored>) -> Self {
        let (mut open, mut covered, mut errors) = (0, 0, Vec::new());
        for scored in scored {
            match scored.is_covered() {
                None => open += 1,
                Some(is_covered) => {
                    covered += usize::from(is_covered);
                    errors.push(scored.error().unwrap_or(f64::INFINITY));
                }
            }
        }
        errors.sort_by(f64::total_cmp);
        let measured = errors.len();
        let median_error = match measured {
            0 => None,
            odd if odd % 2 == 1 => errors.get(odd / 2).copied(),
            even => Some((errors[even / 2 - 1] + errors[even / 2]) / 2.0),
        };
        let coverage = (measured > 0).then(|| wilson(covered as u64, measured as u64));
        Self { open, measured, covered, coverage, median_error, worst_error: errors.last().copied() }
    }
}

/// The 90% score interval of a share (E. B. Wilson, JASA 22, 1927).
pub(crate) fn wilson(hits: u64, all: u64) -> (f64, f64) {
    let (n, share, z) = (all as f64, hits as f64 / all as f64, 1.644_853_626_951_472);
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(estimate: f64, truth: Option<f64>) -> Scored {
        let foretold = Foretold {
            plan: "shop".to_owned(),
            target: "http://127.0.0.1".to_owned(),
            of: PredictionOf::Peak,
            made_nanos: 0,
            estimate,
            low: estimate * 0.95,
            high: estimate * 1.05,
            inputs: Vec::new(),
        };
        let truth = truth.map(|value| Truth { value, measured_nanos: 1, by: "run".to_owned() });
        Scored { foretold, truth }
    }

    #[test]
    fn open_ones_are_no_hits() {
        let all = [scored(100.0, Some(100.0)), scored(100.0, Some(110.0)), scored(100.0, None)];
        let record = TrackRecord::of(&all);
        assert_eq!((record.open, record.measured, record.covered), (1, 2, 1));
        let (low, high) = record.coverage.unwrap();
        assert!(low > 0.1 && low < 0.5 && high > 0.5 && high < 0.9, "{low} {high}");
        assert!((record.median_error.unwrap() - 1.0 / 22.0).abs() < 1e-12);
        assert!((record.worst_error.unwrap() - 1.0 / 11.0).abs() < 1e-12);
    }

    #[test]
    fn without_any_nothing_is_said() {
        let record = TrackRecord::of(&[]);
        assert_eq!((record.coverage, record.median_error, record.worst_error), (None, None, None));
    }

    /// Where all are hits the score interval begins at n / (n + z²).
    #[test]
    fn ten_of_ten_is_not_certainty() {
        let all: Vec<_> = (0..10).map(|_| scored(100.0, Some(100.0))).collect();
        let (low, high) = TrackRecord::of(&all).coverage.unwrap();
        let z: f64 = 1.644_853_626_951_472;
        assert!((low - 10.0 / (10.0 + z * z)).abs() < 1e-12 && high == 1.0);
    }
}
