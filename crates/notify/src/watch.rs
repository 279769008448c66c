//! What a run's own events say of its promises: breaches and recoveries while it goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use plimsoll_run::{Judged, RunEvent, Started};
use plimsoll_sla::{Objective, Status, Verdict};

use crate::{Breach, Occurrence, Page, Recovery, Subject};

/// For how many seconds before a breach its figure is drawn.
const COURSE: usize = 60;

/// Folds the events of one run.
#[derive(Debug, Default)]
pub struct RunWatch {
    started: Option<Arc<Started>>,
    objectives: Vec<Watched>,
}

#[derive(Debug, Clone, Default)]
struct Watched {
    is_broken: bool,
    course: VecDeque<Option<f64>>,
}

impl RunWatch {
    /// Takes the next event; what it says that somebody may want to know.
    pub fn apply(&mut self, event: &RunEvent) -> Vec<Occurrence> {
        match event {
            RunEvent::Started(started) => {
                self.objectives = vec![Watched::default(); started.shape.objectives.len()];
                self.started = Some(Arc::clone(started));
                Vec::new()
            }
            RunEvent::Judged(judged) => self.judged(judged),
            RunEvent::Resumed(resumed) => {
                self.started = self.started.take().map(|started| Arc::new(started.seen_from(resumed)));
                Vec::new()
            }
            RunEvent::Phase { .. }
            | RunEvent::Second(_)
            | RunEvent::Steered(_)
            | RunEvent::Stretch(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_)
            | RunEvent::Ended(_) => Vec::new(),
        }
    }

    fn judged(&mut self, judged: &Judged) -> Vec<Occurrence> {
        let Some(started) = &self.started else { return Vec::new() };
        let objectives = started.shape.objectives.iter().zip(&judged.statuses).zip(&mut self.objectives);
        let found = objectives.filter_map(|((objective, status), watched)| {
            watched.course.push_back(status.observed);
            if watched.course.len() > COURSE {
                watched.course.pop_front();
            }
            let was_broken = watched.is_broken;
            watched.is_broken = is_broken(objective, status).unwrap_or(was_broken);
            match (was_broken, watched.is_broken) {
                (false, true) => {
                    Some(Occurrence::Breach(breach(started, judged.second, objective, status, watched)))
                }
                (true, false) => Some(Occurrence::Recovery(Recovery {
                    subject: Subject::Plan(started.shape.plan.clone()),
                    promise: objective.name.clone(),
                    ended: wall(started, judged.second + 1),
                })),
                (true, true) | (false, false) => None,
            }
        });
        found.collect()
    }
}

/// Whether a promise is being broken now; `None` where the last seconds do not say.
fn is_broken(objective: &Objective, status: &Status) -> Option<bool> {
    match status.verdict {
        // Over the whole run one bad minute is a miss until the end: whether it goes on, the last seconds say.
        _ if objective.over.is_none() && status.good_events.is_some() => Some(status.breach.is_some()),
        Some(Verdict::Missed) => Some(true),
        Some(Verdict::Met) => Some(false),
        Some(Verdict::Inconclusive) | None => None,
    }
}

fn breach(
    started: &Started,
    second: u64,
    objective: &Objective,
    status: &Status,
    watched: &Watched,
) -> Breach {
    let end = second + 1;
    let (began, why) = match &status.breach {
        Some(breach) => (breach.since.saturating_sub(breach.delay), breach.why.clone()),
        None => {
            let missed = u64::from(status.missing_for_seconds).max(1);
            let over = objective.over.map(|seconds| format!("the last {seconds} s miss it"));
            (end.saturating_sub(missed), over.unwrap_or_else(|| "the run so far misses it".to_owned()))
        }
    };
    Breach {
        subject: Subject::Plan(started.shape.plan.clone()),
        promise: objective.name.clone(),
        objective: objective.text.clone(),
        began: wall(started, began),
        found: wall(started, end),
        why,
        severity: objective.severity,
        course: watched.course.iter().copied().collect(),
        page: Some(Page::Run(started.info.id.clone())),
    }
}

/// A second of the run as Unix time.
fn wall(started: &Started, second: u64) -> u64 {
    u64::try_from(started.info.started_nanos / 1_000_000_000).unwrap_or(0) + second
}
