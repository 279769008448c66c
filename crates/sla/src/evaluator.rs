use plimsoll_measure::{Edges, Frame};

use crate::{Objective, Verdict};

/// When what was measured happened, in whole seconds: windows lie inside `[first, end)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// The first whole second after warm-up.
    pub first_second: u64,
    /// Seconds from this one on belong to no window; `None` while the end of the stages is unknown.
    pub end_second: Option<u64>,
    /// Start and end of each stage, in seconds from the start of the run.
    pub stages: Vec<(f64, f64)>,
}

/// Judges objectives, second by second and at the end.
#[derive(Debug, Clone)]
pub struct Evaluator {
    objectives: Vec<Objective>,
}

/// How an objective stands after the last second folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Of the latest full window, or of the run so far; `None`: undecided yet.
    pub verdict: Option<Verdict>,
    /// The figure, in base units.
    pub observed: Option<f64>,
    /// Full windows that missed.
    pub missed_windows: u64,
    /// Full windows judged.
    pub windows: u64,
    /// Seconds of unbroken misses up to now.
    pub missing_for_seconds: u32,
    /// Good events so far; `None` for figures that do not count events.
    pub good_events: Option<u64>,
    /// Events so far; `None` for figures that do not count events.
    pub total_events: Option<u64>,
}

/// The final word on an objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Whether it was kept.
    pub verdict: Verdict,
    /// The figure in base units, of the worst window where there are windows.
    pub observed: Option<f64>,
    /// The bound in base units; `None` when it refers to a stage without data.
    pub target: Option<f64>,
    /// One sentence for people.
    pub why: String,
}

impl Evaluator {
    /// An evaluator before the first second.
    pub fn new(objectives: Vec<Objective>, _edges: Edges, _span: Span) -> Self {
        Self { objectives }
    }

    /// Folds the next closed second. Frames come in order; gaps are seconds without data.
    pub fn second(&mut self, _frame: &Frame) {}

    /// The stages ended early: no window may reach beyond.
    pub fn end_stages(&mut self, _end_second: u64) {}

    /// How each objective stands, in order.
    pub fn statuses(&self) -> Vec<Status> {
        self.objectives.iter().map(|_| Status::default()).collect()
    }

    /// The first objective whose `abort_after` was reached.
    pub fn abort(&self) -> Option<usize> {
        None
    }

    /// The final word on each objective, in order. `measured_seconds` is the length of the measured
    /// part of the stages, for rates.
    pub fn finish(&self, _measured_seconds: f64) -> Vec<Judgement> {
        Vec::new()
    }

    /// The objectives, in order.
    pub fn objectives(&self) -> &[Objective] {
        &self.objectives
    }
}
