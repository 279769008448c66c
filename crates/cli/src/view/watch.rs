use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use plimsoll_measure::{Distribution, Histogram, LatencyFigures, Outcome, Phase, SECOND, Timing};
use plimsoll_run::{
    Ended, Gauges, Judged, Note, ResourceFigure, RunEvent, Second, StageShape, Started, Steerings,
};
use plimsoll_sla::{Objective, Status, ValidityReport, ValidityTracker};
use plimsoll_units::Quantile;

use super::words;

/// Seconds that "the last seconds" are: enough for a p99 from 20 requests a second on.
pub(super) const RECENT: usize = 5;

/// Seconds that charts go back. The whole course is for the report.
const KEPT: usize = 180;

/// What the view has seen of a run: a fold of its events in constant memory.
///
/// It is lighter than the run's state, which has figures per step, stage and scenario, because the
/// processors it runs on are those that offer the load. Verdicts are taken from the events as they
/// were given; what counts as what is said by the same types, so the two cannot disagree.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(super) started: Arc<Started>,
    pub(super) phase: Option<Phase>,
    /// The last seconds, oldest first.
    pub(super) glances: VecDeque<Glance>,
    /// Response times of the last seconds, all phases.
    pub(super) recent: LatencyFigures,
    /// Response times of the measured phases.
    pub(super) measured: LatencyFigures,
    pub(super) totals: Totals,
    pub(super) failures: BTreeMap<Outcome, Failure>,
    /// Levels at the end of the last second.
    pub(super) levels: Option<Levels>,
    /// What each source of resources last said; nothing after a gap.
    pub(super) resources: BTreeMap<Arc<str>, Vec<ResourceFigure>>,
    pub(super) validity: ValidityReport,
    /// How it was steered.
    pub(super) steerings: Steerings,
    /// What was told last.
    pub(super) note: Option<Note>,
    pub(super) ended: Option<Arc<Ended>>,
    judged: Option<Arc<Judged>>,
    recent_times: VecDeque<Distribution>,
    measured_times: Histogram,
    tracker: ValidityTracker,
}

/// A second in a few figures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glance {
    pub(super) second: u64,
    /// Iterations per second that the plan asks for; in the closed model, those started.
    pub(super) asked: f64,
    /// Iterations that ended.
    pub(super) done: u64,
    /// Of these, those that no failed step ended.
    pub(super) succeeded: u64,
    /// p50, p95 and p99 of response time in seconds.
    pub(super) quantiles: [Option<f64>; 3],
}

/// Counts since the start, all phases: what fails in the warm-up must not stay unseen.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Requests that ended or were cut.
    pub(super) requests: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) dropped: u64,
    pub(super) cut: u64,
    /// Iterations that ended.
    pub(super) iterations: u64,
    /// Seconds that passed without this view being told.
    pub(super) unseen_seconds: u64,
}

/// Failures of one kind.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) count: u64,
    pub(super) latest: Option<Message>,
}

/// What was said of a failure.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) step: u16,
    pub(super) text: String,
    /// When it was last seen, nanoseconds from the start.
    pub(super) at: u64,
}

/// Levels at the end of a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) gauges: Gauges,
    pub(super) in_flight: u64,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    /// From 0 to 1.
    pub(super) share: f64,
    /// Seconds of load that are left, as far as can be told.
    pub(super) left: Option<f64>,
}

impl Watch {
    /// A run that has just started.
    pub(crate) fn new(started: Arc<Started>) -> Self {
        let edges = &started.shape.edges;
        Self {
            phase: None,
            glances: VecDeque::new(),
            recent: LatencyFigures::default(),
            measured: LatencyFigures::default(),
            totals: Totals::default(),
            failures: BTreeMap::new(),
            levels: None,
            resources: BTreeMap::new(),
            validity: ValidityReport::default(),
            steerings: Steerings::default(),
            note: None,
            ended: None,
            judged: None,
            recent_times: VecDeque::new(),
            measured_times: Histogram::new(edges.clone()),
            tracker: ValidityTracker::new(edges.clone(), started.info.started_nanos),
            started,
        }
    }

    /// Folds the next event.
    pub(crate) fn apply(&mut self, event: &RunEvent) {
        match event {
            // Of records only.
            RunEvent::Started(_) | RunEvent::Stretch(_) => {}
            RunEvent::Phase { phase, .. } => self.phase = Some(*phase),
            RunEvent::Second(second) => self.second(second),
            RunEvent::Judged(judged) => self.judged = Some(Arc::clone(judged)),
            RunEvent::Steered(steered) => {
                self.steerings.apply(steered);
                let text = format!("steered {}", steered.words(&self.started.shape));
                self.note = Some(Note { at: steered.at, text });
            }
            RunEvent::Resumed(resumed) => {
                self.tracker.resumed(resumed.at / SECOND, resumed.away);
                self.note = Some(Note { at: resumed.at, text: resumed.words() });
            }
            RunEvent::Profile(taken) => {
                self.note = Some(Note { at: taken.at, text: format!("profile of {}", taken.words()) });
            }
            RunEvent::Note(note) => self.note = Some(note.clone()),
            RunEvent::Ended(ended) => self.ended = Some(Arc::clone(ended)),
        }
    }

    fn second(&mut self, second: &Second) {
        let frame = &second.frame;
        let next = self.glances.back().map_or(0, |glance| glance.second + 1);
        self.totals.unseen_seconds += frame.second.saturating_sub(next);
        let mut times = Distribution::empty(self.started.shape.edges.clone());
        for (key, series) in &frame.series {
            let totals = &mut self.totals;
            totals.requests += series.requests;
            if key.outcome.is_success() {
                totals.succeeded += series.requests;
            } else if key.outcome.is_failure() {
                totals.failed += series.requests;
                self.failures.entry(key.outcome).or_default().count += series.requests;
            } else {
                totals.cut += series.requests;
            }
            let counted =
                series.timings.get(&Timing::ResponseTime).filter(|_| key.outcome.counts_for_latency());
            let Some(distribution) = counted else { continue };
            times.merge(distribution);
            if key.phase.is_measured() {
                self.measured_times.add(distribution);
            }
        }
        let done = frame.iterations.values().map(|series| series.ended).sum::<u64>();
        let failed = frame.iterations.values().map(|series| series.failed).sum();
        let dropped = |series: &plimsoll_measure::IterationSeries| {
            series.dropped_in_flight_limit + series.dropped_generator
        };
        self.totals.iterations += done;
        self.totals.dropped += frame.iterations.values().map(dropped).sum::<u64>();
        for error in &frame.errors {
            let latest = &mut self.failures.entry(error.outcome).or_default().latest;
            if latest.as_ref().is_none_or(|known| known.at <= error.last) {
                *latest = Some(Message { step: error.step, text: error.message.clone(), at: error.last });
            }
        }
        let quantile = |quantile| times.quantile(quantile).map(|nanos| nanos as f64 / 1e9);
        let glance = Glance {
            second: frame.second,
            asked: second.gauges.offered_rate,
            done,
            succeeded: done.saturating_sub(failed),
            quantiles: [Quantile::P50, Quantile::P95, Quantile::P99].map(quantile),
        };
        push(&mut self.glances, glance, KEPT);
        push(&mut self.recent_times, times, RECENT);
        let mut recent = Histogram::new(self.started.shape.edges.clone());
        self.recent_times.iter().for_each(|times| recent.add(times));
        self.recent = LatencyFigures::from(&recent);
        self.measured = LatencyFigures::from(&self.measured_times);
        self.levels = Some(Levels { gauges: second.gauges, in_flight: frame.in_flight() });
        for scrape in &second.resources {
            let figures = scrape.figures.clone().unwrap_or_default();
            self.resources.insert(Arc::clone(&scrape.source), figures);
        }
        self.tracker.second(frame, &second.vitals);
        self.validity = self.tracker.report();
    }

    /// What each source of resources last said of what matters most, name and amount.
    pub(super) fn prominent(&self) -> Vec<(String, String)> {
        let mut prominent = Vec::new();
        for (source, figures) in &self.resources {
            let ranked = figures
                .iter()
                .filter_map(|figure| Some((ResourceFigure::prominence(&figure.name, figure.unit)?, figure)));
            let mut ranked: Vec<_> = ranked.collect();
            ranked.sort_by_key(|(rank, _)| *rank);
            if figures.is_empty() {
                prominent.push((words::plain(source), words::NO_DATA.to_owned()));
            }
            prominent.extend(ranked.into_iter().map(|(_, figure)| {
                let name = words::plain(&format!("{source} {}", figure.name));
                (name, words::amount(figure.unit, figure.value))
            }));
        }
        prominent
    }

    /// Iterations asked, done and succeeded per second over the last `seconds` seconds, or fewer at the start.
    pub(super) fn rates(&self, seconds: usize) -> Option<[f64; 3]> {
        let last: Vec<_> = self.glances.iter().rev().take(seconds).collect();
        let mean =
            |of: fn(&Glance) -> f64| last.iter().map(|glance| of(glance)).sum::<f64>() / last.len() as f64;
        let means = || [mean(|g| g.asked), mean(|g| g.done as f64), mean(|g| g.succeeded as f64)];
        (!last.is_empty()).then(means)
    }

    /// Objectives and how they stand, in the plan's order.
    pub(super) fn objectives(&self) -> impl Iterator<Item = (&Objective, Status)> {
        let statuses = self.judged.as_ref().map(|judged| judged.statuses.as_slice()).unwrap_or_default();
        let status = |index: usize| statuses.get(index).cloned().unwrap_or_default();
        self.started
            .shape
            .objectives
            .iter()
            .enumerate()
            .map(move |(index, objective)| (objective, status(index)))
    }

    /// How far it has come after `elapsed` seconds; `None` when its plan has no length.
    pub(super) fn progress(&self, elapsed: f64) -> Option<Progress> {
        let shape = &self.started.shape;
        let (stages_end, done) = (shape.stages_end(), self.totals.iterations as f64);
        let remaining = (stages_end - elapsed).max(0.0);
        match shape.iterations {
            Some(asked) => {
                let share = (done / asked.max(1) as f64).min(1.0);
                // The pace so far is all that can be said of what is left.
                let left = (share > 0.0).then(|| (elapsed * (1.0 - share) / share).min(remaining));
                Some(Progress { share, left })
            }
            None if stages_end > 0.0 => {
                Some(Progress { share: (elapsed / stages_end).clamp(0.0, 1.0), left: Some(remaining) })
            }
            None => None,
        }
    }

    /// The stage at an offset in seconds, with its number from 1.
    pub(super) fn stage(&self, elapsed: f64) -> Option<(usize, &StageShape)> {
        let mut stages = self.started.shape.stages.iter().zip(1..);
        stages
            .find(|(stage, _)| elapsed >= stage.start && elapsed < stage.end)
            .map(|(stage, number)| (number, stage))
    }

    /// Kinds of failure, most frequent first.
    pub(super) fn failures(&self) -> Vec<(Outcome, &Failure)> {
        let mut failures: Vec<_> =
            self.failures.iter().map(|(outcome, failure)| (*outcome, failure)).collect();
        failures.sort_by_key(|(_, failure)| std::cmp::Reverse(failure.count));
        failures
    }

    /// What was last said of any failure.
    pub(super) fn latest_message(&self) -> Option<(Outcome, &Message)> {
        let messages =
            self.failures.iter().filter_map(|(outcome, failure)| Some((*outcome, failure.latest.as_ref()?)));
        messages.max_by_key(|(_, message)| message.at)
    }

    /// The name of a step.
    pub(super) fn step(&self, index: u16) -> Option<&str> {
        self.started.shape.steps.get(usize::from(index)).map(|step| step.step.as_str())
    }
}

/// The offset from the start that an event tells, in nanoseconds: it cannot come before that.
pub(super) fn told_offset(event: &RunEvent) -> Option<u64> {
    match event {
        RunEvent::Started(_) => Some(0),
        RunEvent::Phase { at, .. } => Some(*at),
        RunEvent::Second(second) => Some((second.frame.second + 1).saturating_mul(SECOND)),
        RunEvent::Stretch(stretch) => Some(stretch.range().end.saturating_mul(SECOND)),
        RunEvent::Judged(_) => None,
        RunEvent::Steered(steered) => Some(steered.at),
        RunEvent::Resumed(resumed) => Some(resumed.at),
        RunEvent::Profile(taken) => Some(taken.at),
        RunEvent::Note(note) => Some(note.at),
        RunEvent::Ended(ended) => Some(ended.at),
    }
}

fn push<T>(row: &mut VecDeque<T>, item: T, most: usize) {
    if row.len() == most {
        row.pop_front();
    }
    row.push_back(item);
}
