use std::collections::BTreeMap;
use std::ops::Range;

use plimsoll_measure::{Edges, Frame, ResourceScrape};

use crate::health::{Breach, Health};
use crate::judge::{Reading, explain, judge, judge_by_stage};
use crate::recovery::{Recovery, RecoveryTracker};
use crate::resource::ResourceTracker;
use crate::tally::{Score, Second, Selection, Stages, Sum, Waiting};
use crate::windows::{WindowTally, Windows};
use crate::{Bound, Expression, Measure, Objective, OwnFigure, Verdict};

/// When what was measured happened, in whole seconds: windows lie inside `[first, end)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// The first whole second after warm-up.
    pub first_second: u64,
    /// Seconds from this one on belong to no window; `None` while the end of the stages is unknown.
    pub end_second: Option<u64>,
    /// Start and end of each stage, in seconds from the start of the run.
    pub stages: Vec<(f64, f64)>,
    /// Which of the stages are spikes.
    pub spikes: Vec<u16>,
}

/// Judges objectives, second by second and at the end.
///
/// It holds one compact entry per second of each window and a sum per objective, however long the
/// run is. A request in flight at a window's end that has outlived the threshold is bad in that
/// window; one that has not is not counted yet. Objectives over one step or stage see the drops of
/// the scenarios and stages in their filter.
#[derive(Debug, Clone)]
pub struct Evaluator {
    objectives: Vec<Objective>,
    trackers: Vec<Tracker>,
    span: Span,
    recovery: RecoveryTracker,
    /// The last second folded.
    last: Option<u64>,
    /// The objective whose `abort_after` was reached first.
    abort: Option<usize>,
}

/// How an objective stands after the last second folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Of the latest full window (which may be inconclusive), or of the run so far; `None`: undecided
    /// yet.
    pub verdict: Option<Verdict>,
    /// The figure of the latest full window or of the run so far, in base units.
    pub observed: Option<f64>,
    /// Full windows that missed; 0 for objectives over the run.
    pub missed_windows: u64,
    /// Full windows judged; 0 for objectives over the run.
    pub windows: u64,
    /// Seconds of unbroken misses up to now: windows, or seconds in which the run so far missed.
    pub missing_for_seconds: u32,
    /// Good events since the measured part began; `None` for figures that do not count events.
    pub good_events: Option<u64>,
    /// Events whose outcome is known, likewise.
    pub total_events: Option<u64>,
    /// Events of requests in flight after the last second that are bad whatever their answer; 0 for figures that do not
    /// look at how long requests take.
    pub overdue_events: u64,
    /// What is going wrong in the last seconds, of an objective over the run that counts events.
    pub breach: Option<Breach>,
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
    /// One sentence for people, without a full stop; ends with the author's message when missed.
    pub why: String,
}

impl Status {
    /// Bad events and all events whose outcome is known; `None` for figures that do not count events.
    pub fn bad_events(&self) -> Option<(u64, u64)> {
        let (good, all) = self.good_events.zip(self.total_events)?;
        Some((all.saturating_sub(good), all))
    }
}

impl Evaluator {
    /// An evaluator before the first second. `edges` are those the frames are counted at; they hold
    /// every [`crate::Expression::threshold_nanos`], else quantiles are judged within the buckets'
    /// resolution.
    pub fn new(objectives: Vec<Objective>, edges: &Edges, span: Span) -> Self {
        Self::with_values(objectives, edges, &[], span)
    }

    /// The same for a plan that takes values from replies: `value_edges` are those of each value's
    /// histograms and hold every [`crate::Expression::threshold`] of it.
    pub fn with_values(objectives: Vec<Objective>, edges: &Edges, value_edges: &[Edges], span: Span) -> Self {
        let edges_of = |objective: &Objective| match objective.expression.measure.own() {
            None => edges.clone(),
            Some(value) => {
                let known = value_edges.get(usize::from(value.index)).cloned();
                known.unwrap_or_else(|| value.unit.edges(objective.expression.threshold()))
            }
        };
        let trackers =
            objectives.iter().map(|objective| Tracker::new(objective, edges_of(objective), &span)).collect();
        let recovery = RecoveryTracker::new(&span.spikes(), span.first_second, span.end_second);
        Self { objectives, trackers, span, recovery, last: None, abort: None }
    }

    /// Folds the next closed second. Frames come in order, and a gap is seconds without data; a
    /// second that is already folded never changes, so a frame for it is ignored.
    pub fn second(&mut self, frame: &Frame) {
        if self.last.is_some_and(|last| frame.second <= last) {
            return;
        }
        self.last = Some(frame.second);
        self.recovery.second(frame);
        for (index, (tracker, objective)) in self.trackers.iter_mut().zip(&self.objectives).enumerate() {
            tracker.fold(frame, &self.span, None);
            // An abort after no seconds still takes a miss.
            let limit = objective.abort_after.map(|seconds| seconds.max(1));
            if limit.is_some_and(|limit| tracker.missing_for() >= limit) {
                self.abort.get_or_insert(index);
            }
        }
    }

    /// Folds seconds that are told as one: `frame` is their sum, and `tallies` says by the number of the objective
    /// what came of windows that begin in them. What needs more than the sum is unknown from here on, and said.
    pub fn stretch(&mut self, frame: &Frame, seconds: u64, tallies: &BTreeMap<u16, WindowTally>) {
        if seconds == 0 || self.last.is_some_and(|last| frame.second <= last) {
            return;
        }
        let range = frame.second..frame.second.saturating_add(seconds);
        self.last = Some(range.end - 1);
        self.recovery.stretch(range.clone());
        for (index, tracker) in (0..).zip(&mut self.trackers) {
            let stretch = Stretch { seconds: range.clone(), tally: tallies.get(&index) };
            tracker.fold(frame, &self.span, Some(stretch));
        }
    }

    /// The same evaluator, but only for windows that begin in these seconds: it is to be given their frames and those
    /// of the longest window behind them.
    #[must_use]
    pub fn only_windows_in(mut self, seconds: Range<u64>) -> Self {
        for tracker in &mut self.trackers {
            if let Scope::Windows(windows) = &mut tracker.scope {
                windows.begin_in(seconds.clone());
            }
        }
        self
    }

    /// What came of the windows so far, by the number of their objective.
    pub fn window_tallies(&self) -> BTreeMap<u16, WindowTally> {
        let tallies = (0..).zip(&self.trackers).filter_map(|(index, tracker)| match &tracker.scope {
            Scope::Windows(windows) => Some((index, windows.tally())),
            Scope::Run { .. } | Scope::Stage { .. } | Scope::Resource(_) => None,
        });
        tallies.collect()
    }

    /// Takes in looks at resources. To be called before the second with which they came is folded.
    pub fn resources(&mut self, scrapes: &[ResourceScrape]) {
        for tracker in &mut self.trackers {
            if let Scope::Resource(resource) = &mut tracker.scope {
                scrapes.iter().for_each(|scrape| resource.look(scrape));
            }
        }
    }

    /// The stages ended early (abort, interrupt, iterations done): no window may reach beyond. To be
    /// called before seconds from `end_second` on are folded; windows already judged stand.
    pub fn end_stages(&mut self, end_second: u64) {
        let end = self.span.end_second.map_or(end_second, |end| end.min(end_second));
        self.span.end_second = Some(end);
        self.recovery.end_stages(end);
        for tracker in &mut self.trackers {
            match &mut tracker.scope {
                Scope::Windows(windows) => windows.end_at(end),
                Scope::Resource(resource) => resource.end_at(end),
                Scope::Run { .. } | Scope::Stage { .. } => {}
            }
        }
    }

    /// How each objective stands after the last second folded, in order.
    pub fn statuses(&self) -> Vec<Status> {
        let all = self.trackers.iter().zip(&self.objectives);
        let status = |(tracker, objective): (&Tracker, &Objective)| match self.recovered(objective) {
            // What is kept so far may still be missed by the next spike.
            Some((verdict, observed, _)) => Status {
                verdict: Some(verdict).filter(|verdict| *verdict == Verdict::Missed),
                observed,
                ..Status::default()
            },
            None => tracker.status(),
        };
        all.map(status).collect()
    }

    /// What is known of the recovery from a spike; `None` where the stage is none.
    pub fn recovery(&self, stage: u16) -> Option<Recovery> {
        self.recovery.after(stage)
    }

    /// The verdict on an objective about recoveries, what was observed, and why.
    fn recovered(&self, objective: &Objective) -> Option<(Verdict, Option<f64>, String)> {
        let Expression { measure, comparison, bound } = objective.expression;
        match (measure, bound) {
            (Measure::RecoveryTime, Bound::Value(bound)) => Some(self.recovery.judge(comparison, bound)),
            _ => None,
        }
    }

    /// The objective whose `abort_after` was reached first, if any was. It stays even when the
    /// objective recovers.
    pub fn abort(&self) -> Option<usize> {
        self.abort
    }

    /// The final word on each objective, in order. `measured_seconds` is the length of the measured
    /// part of the stages, for rates; those of one stage use the stage's own share of it.
    pub fn finish(&self, measured_seconds: f64) -> Vec<Judgement> {
        let trackers = self.trackers.iter().zip(&self.objectives);
        let judgements = trackers.map(|(tracker, objective)| {
            if let (Some((verdict, observed, why)), Bound::Value(bound)) =
                (self.recovered(objective), objective.expression.bound)
            {
                let message = objective.message.as_ref().filter(|_| verdict == Verdict::Missed);
                let why = message.map_or(why.clone(), |message| format!("{why}: {message}"));
                return Judgement { verdict, observed, target: Some(bound), why };
            }
            tracker.finish(objective.message.as_deref(), &self.span, measured_seconds)
        });
        judgements.collect()
    }

    /// The objectives, in order.
    pub fn objectives(&self) -> &[Objective] {
        &self.objectives
    }
}

impl Span {
    /// Each spike with its start and its end.
    fn spikes(&self) -> Vec<(u16, f64, f64)> {
        let lasts =
            |index: &u16| self.stages.get(usize::from(*index)).map(|(start, end)| (*index, *start, *end));
        self.spikes.iter().filter_map(lasts).collect()
    }

    /// The whole seconds that windows may cover: those of the measured part, or of one stage in it.
    fn window_seconds(&self, stage: Option<u16>) -> Range<u64> {
        let all = self.first_second..self.end_second.unwrap_or(u64::MAX);
        match stage.map(|stage| self.stages.get(usize::from(stage))) {
            None => all,
            Some(None) => all.start..all.start,
            Some(Some((start, end))) => all.start.max(start.ceil() as u64)..all.end.min(end.floor() as u64),
        }
    }

    /// How much of these stages lies in the first `measured` seconds after the warm-up.
    fn seconds_of(&self, stages: Stages, measured: f64) -> f64 {
        if stages == Stages::All {
            return measured;
        }
        let first = self.first_second as f64;
        let chosen =
            self.stages.iter().enumerate().filter(|(index, _)| stages.contains(u16::try_from(*index).ok()));
        let lengths = chosen.map(|(_, (start, end))| end.min(first + measured) - start.max(first));
        lengths.filter(|length| *length > 0.0).sum()
    }
}

/// One objective and what it has seen.
#[derive(Debug, Clone)]
struct Tracker {
    expression: Expression,
    selection: Selection,
    /// Those of the durations or values it looks at.
    edges: Edges,
    scope: Scope,
    /// Since the measured part began, for figures that count events.
    events: Option<Events>,
    /// Whether the last seconds break it, where it is judged over the run and counts events.
    health: Option<Health>,
}

/// Seconds that are told as one.
#[derive(Debug, Clone)]
struct Stretch<'a> {
    seconds: Range<u64>,
    tally: Option<&'a WindowTally>,
}

/// Over what it is judged.
#[derive(Debug, Clone)]
enum Scope {
    /// Everything measured.
    Run { bound: f64, sum: Sum, waiting: Waiting, latest: Option<Reading>, missing_for: u32 },
    /// Each run of whole seconds of one length.
    Windows(Windows),
    /// What came after a stage, by that stage's figure times `factor`; only at the end.
    Stage { factor: f64, selection: Selection, reference: Sum, compared: Sum },
    /// The readings of a resource, over the run or in windows.
    Resource(Box<ResourceTracker>),
}

impl Tracker {
    fn new(objective: &Objective, edges: Edges, span: &Span) -> Self {
        let (expression, filter) = (objective.expression, &objective.filter);
        let of_resource = match expression.measure {
            Measure::Resource(of, name, unit) => Some((of, name, unit)),
            _ => None,
        };
        let (default_stages, scope) = match (expression.bound, objective.over) {
            (Bound::Value(bound), over) if let Some(what) = of_resource => {
                let (asked, seconds) = ((expression.comparison, bound), span.window_seconds(filter.stage));
                let tracker = ResourceTracker::new(what, asked, over, seconds);
                (Stages::All, Scope::Resource(Box::new(tracker)))
            }
            (Bound::Value(bound), None) => {
                let (sum, waiting) = (Sum::new(expression.threshold()), Waiting::nobody(&edges));
                (Stages::All, Scope::Run { bound, sum, waiting, latest: None, missing_for: 0 })
            }
            (Bound::Value(bound), Some(over)) => {
                let windows = Windows::new(expression, bound, over, span.window_seconds(filter.stage));
                (Stages::All, Scope::Windows(windows))
            }
            (Bound::Stage { factor, stage }, _) => {
                let selection = Selection::new(filter, Stages::Only(stage));
                let (reference, compared) = (Sum::new(None), Sum::new(None));
                (Stages::After(stage), Scope::Stage { factor, selection, reference, compared })
            }
        };
        let stages = filter.stage.map_or(default_stages, Stages::Only);
        let events = counts_events(&expression).then_some(Events::default());
        let is_over_run = events.is_some() && matches!(scope, Scope::Run { .. });
        let unit = Score::of(expression.measure).map_or(1, |score| score.full);
        let seconds = span.end_second.map(|end| end.saturating_sub(span.first_second));
        let health = is_over_run.then(|| Health::new(&expression, unit, seconds)).flatten();
        Self { expression, selection: Selection::new(filter, stages), edges, scope, events, health }
    }

    fn fold(&mut self, frame: &Frame, span: &Span, stretch: Option<Stretch<'_>>) {
        if let Scope::Resource(resource) = &mut self.scope {
            match stretch {
                None => resource.close(frame.second),
                Some(Stretch { seconds, .. }) => resource.pass_over(seconds),
            }
            return;
        }
        let (expression, edges) = (self.expression, &self.edges);
        let (measure, timing) = (expression.measure, expression.measure.timing());
        let second = Second::of(frame, &self.selection, measure, edges);
        let pending = Waiting::of(frame, &self.selection, timing, edges);
        if let Some(events) = &mut self.events {
            events.add(&expression, &second, &pending);
            match (&mut self.health, &stretch) {
                (Some(health), None) => {
                    health.second(frame.second, events.good, events.all, events.overdue);
                }
                (Some(health), Some(_)) => health.pass_over(events.good, events.all),
                (None, _) => {}
            }
        }
        match &mut self.scope {
            Scope::Run { bound, sum, waiting, latest, missing_for } => {
                sum.add(&second);
                *waiting = pending;
                let length = stretch.map_or(1, |stretch| stretch.seconds.end - stretch.seconds.start);
                let behind = frame.second.saturating_add(length);
                let until = span.end_second.unwrap_or(u64::MAX).min(behind);
                let measured = until.saturating_sub(span.first_second);
                if measured == 0 {
                    return;
                }
                let seconds = span.seconds_of(self.selection.stages(), measured as f64);
                let reading = judge(&expression, *bound, sum, waiting, seconds);
                *latest = Some(reading);
                // Behind the stages there is nothing left to abort.
                if until > frame.second {
                    let missed = so_far(&expression, reading.verdict) == Some(Verdict::Missed);
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    *missing_for = if missed { missing_for.saturating_add(length) } else { 0 };
                }
            }
            Scope::Windows(windows) => match stretch {
                None => windows.fold(frame.second, second, &pending, edges),
                Some(Stretch { seconds, tally }) => windows.stretch(seconds, tally),
            },
            Scope::Stage { selection, reference, compared, .. } => {
                reference.add(&Second::of(frame, selection, measure, edges));
                compared.add(&second);
            }
            Scope::Resource(_) => {}
        }
    }

    fn missing_for(&self) -> u32 {
        match &self.scope {
            Scope::Run { missing_for, .. } => *missing_for,
            Scope::Windows(windows) => windows.missed_in_a_row,
            Scope::Stage { .. } => 0,
            Scope::Resource(resource) => resource.missing_for,
        }
    }

    fn status(&self) -> Status {
        let events = self.events.as_ref();
        let status = Status {
            missing_for_seconds: self.missing_for(),
            good_events: events.map(|events| events.good),
            total_events: events.map(|events| events.all),
            overdue_events: events.map_or(0, |events| events.overdue),
            breach: self.health.as_ref().and_then(Health::breach).cloned(),
            ..Status::default()
        };
        match &self.scope {
            Scope::Run { latest, .. } => Status {
                verdict: latest.and_then(|reading| so_far(&self.expression, reading.verdict)),
                observed: latest.and_then(|reading| reading.observed),
                ..status
            },
            Scope::Windows(windows) => Status {
                verdict: windows.latest.map(|reading| reading.verdict),
                observed: windows.latest.and_then(|reading| reading.observed),
                missed_windows: windows.missed,
                windows: windows.judged,
                ..status
            },
            Scope::Stage { .. } => status,
            Scope::Resource(resource) => {
                let (verdict, observed, missed_windows, windows) = resource.status();
                Status { verdict, observed, missed_windows, windows, ..status }
            }
        }
    }

    fn finish(&self, message: Option<&str>, span: &Span, measured_seconds: f64) -> Judgement {
        let expression = &self.expression;
        let seconds = |selection: &Selection| span.seconds_of(selection.stages(), measured_seconds);
        let of = |reading: Reading, target: Option<f64>| Judgement {
            verdict: reading.verdict,
            observed: reading.observed,
            target,
            why: explain(expression, &reading, target),
        };
        let mut judgement = match &self.scope {
            Scope::Run { bound, sum, waiting, .. } => {
                of(judge(expression, *bound, sum, waiting, seconds(&self.selection)), Some(*bound))
            }
            Scope::Windows(windows) => Judgement {
                verdict: windows.verdict(),
                observed: windows.worst,
                target: Some(windows.bound()),
                why: windows.why(),
            },
            Scope::Stage { factor, selection, reference, compared } => {
                let reference = (reference, seconds(selection));
                let compared = (compared, seconds(&self.selection));
                let (reading, target) = judge_by_stage(expression, *factor, reference, compared);
                of(reading, target)
            }
            Scope::Resource(resource) => {
                let said = resource.finish();
                let target = (!expression.measure.is_leak()).then(|| resource.bound());
                Judgement { verdict: said.verdict, observed: said.observed, target, why: said.why }
            }
        };
        if let (Verdict::Missed, Some(message)) = (judgement.verdict, message) {
            judgement.why = format!("{}: {message}", judgement.why);
        }
        judgement
    }
}

/// What a run so far lets one say. What is inconclusive may still be decided, and a count only
/// grows: one that is too low now says nothing about the end.
fn so_far(expression: &Expression, verdict: Verdict) -> Option<Verdict> {
    let counts = matches!(expression.measure, Measure::Count(_) | Measure::Own(OwnFigure::Count, _));
    let grows = counts && !expression.comparison.wants_less();
    match verdict {
        Verdict::Inconclusive => None,
        Verdict::Missed if grows => None,
        verdict => Some(verdict),
    }
}

/// Events whose outcome is known, for a budget of bad ones.
#[derive(Debug, Clone, Copy, Default)]
struct Events {
    good: u64,
    all: u64,
    /// In flight after the last second, and bad whatever their answer.
    overdue: u64,
}

/// Whether the figure is a share of good events.
fn counts_events(expression: &Expression) -> bool {
    match expression.measure {
        Measure::Quantile(..) | Measure::Own(OwnFigure::Quantile(_), _) => expression.threshold().is_some(),
        Measure::ErrorRatio
        | Measure::Availability
        | Measure::Within(..)
        | Measure::Apdex(..)
        | Measure::DroppedRatio
        | Measure::Own(OwnFigure::Ratio, _) => true,
        Measure::Mean(_)
        | Measure::Max(_)
        | Measure::Count(_)
        | Measure::Throughput
        | Measure::ByteRate
        | Measure::Own(OwnFigure::Mean | OwnFigure::Max | OwnFigure::Count | OwnFigure::Rate, _)
        | Measure::Resource(..)
        | Measure::RecoveryTime
        | Measure::GoodputRetained => false,
    }
}

impl Events {
    fn add(&mut self, expression: &Expression, second: &Second, waiting: &Waiting) {
        let counts = &second.counts;
        let wants_less = expression.comparison.wants_less();
        let (good, all) = match (expression.measure, expression.threshold()) {
            (Measure::DroppedRatio, _) => (counts.arrivals.saturating_sub(counts.dropped), counts.arrivals),
            (Measure::Own(OwnFigure::Ratio, _), _) => {
                let others = counts.taken.saturating_sub(counts.total);
                (if wants_less { others } else { counts.total }, counts.taken)
            }
            (measure @ (Measure::Within(..) | Measure::Apdex(..)), _) => {
                let full = Score::of(measure).map_or(1, |score| score.full);
                (counts.scored, full * (counts.succeeded + counts.failed + counts.expired))
            }
            (_, None) => (counts.succeeded, counts.succeeded + counts.failed),
            (_, Some(threshold)) => {
                let within = second.latency.at_or_below(threshold);
                let outlived = second.waited.count() - second.waited.at_or_below(threshold);
                let all = second.latency.count() + outlived + counts.out_of_range;
                (if wants_less { within } else { all - within }, all)
            }
        };
        self.good += good;
        self.all += all;
        let waited = &waiting.waited;
        self.overdue = match (Score::of(expression.measure), expression.threshold()) {
            (Some(score), _) => score.full * score.expired(waited),
            (None, Some(threshold)) if wants_less => waited.count() - waited.at_or_below(threshold),
            (None, _) => 0,
        };
    }
}
