use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_measure::{
    AddressKey, AddressSeries, ConnectionFigures, ErrorSample, Frame, Histogram, IterationKey,
    IterationSeries, LatencyFigures, Limits, Outcome, Phase, SECOND, Series, SeriesKey, Timing,
};
use plimsoll_sla::{Evaluator, Judgement, Objective, ValidityTracker};
use plimsoll_units::Quantile;

use crate::addresses;
use crate::checks::Checks;
use crate::findings::Beside;
use crate::groups::Groups;
use crate::kept::KeptRequests;
use crate::measures::Measures;
use crate::resources::Resources;
use crate::summary::{
    ErrorSummary, LatencyCurve, ObjectiveSummary, OverflowSummary, PhaseSummary, ScenarioSummary,
    StageSummary, SteeredSummary, StepSummary, Summary, Totals,
};
use crate::timeline::whole_seconds;
use crate::{
    Ended, Judged, Note, ProfileTaken, ResourceSummary, Resumed, RunEvent, Second, Shape, Started, Steerings,
    Stretch, Timeline, WallTime, leaks,
};

/// How many different messages are kept per kind of failure.
const SAMPLES_PER_KIND: usize = 10;

/// How many resumptions are kept: those of a year in which a generator dies each hour.
const RESUMPTIONS: usize = 10_000;

/// How many notes are kept; a run that has more to tell repeats itself.
const NOTES: usize = 200;
/// The most profiles that are told of: more than a run takes.
const PROFILES: usize = 64;

/// A run so far: the fold of its events. Live view, record and replay all use this one, so they agree.
#[derive(Debug)]
pub struct State {
    started: Arc<Started>,
    series: BTreeMap<SeriesKey, Series>,
    iterations: BTreeMap<IterationKey, IterationSeries>,
    errors: BTreeMap<Outcome, Vec<ErrorSample>>,
    steerings: Steerings,
    resumptions: Vec<Resumed>,
    notes: Vec<Note>,
    profiles: Vec<Arc<ProfileTaken>>,
    connections: ConnectionFigures,
    reconnects: u64,
    addresses: BTreeMap<AddressKey, AddressSeries>,
    kept: KeptRequests,
    measures: Measures,
    groups: Groups,
    checks: Checks,
    resources: Resources,
    overflow: Overflow,
    timeline: Timeline,
    evaluator: Evaluator,
    validity: ValidityTracker,
    most_users: u64,
    last_second: Option<u64>,
    last_wall_nanos: i64,
    stages_ended: Option<u64>,
    ended: Option<Arc<Ended>>,
}

impl State {
    /// A run that has just started.
    pub fn new(started: Arc<Started>) -> Self {
        let shape = &started.shape;
        Self {
            series: BTreeMap::new(),
            iterations: BTreeMap::new(),
            errors: BTreeMap::new(),
            steerings: Steerings::default(),
            resumptions: Vec::new(),
            notes: Vec::new(),
            profiles: Vec::new(),
            connections: ConnectionFigures::default(),
            reconnects: 0,
            addresses: BTreeMap::new(),
            kept: KeptRequests::default(),
            measures: Measures::default(),
            groups: Groups::default(),
            checks: Checks::default(),
            resources: Resources::default(),
            overflow: Overflow::default(),
            timeline: Timeline::new(shape.edges.clone()),
            evaluator: Evaluator::with_values(
                shape.objectives.clone(),
                &shape.edges,
                &shape.measure_edges(),
                shape.span(),
            ),
            validity: ValidityTracker::new(shape.edges.clone(), started.info.started_nanos),
            most_users: 0,
            last_second: None,
            last_wall_nanos: started.info.started_nanos,
            stages_ended: None,
            ended: None,
            started,
        }
    }

    /// Folds the next event.
    pub fn apply(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started(_) | RunEvent::Judged(_) => {}
            RunEvent::Phase { phase: Phase::Grace, at } => {
                self.stages_ended = Some(*at);
                self.evaluator.end_stages(whole_seconds(*at));
            }
            RunEvent::Phase { .. } => {}
            RunEvent::Second(second) => self.second(second),
            RunEvent::Steered(steered) => self.steerings.apply(steered),
            RunEvent::Stretch(stretch) => self.stretch(stretch),
            RunEvent::Resumed(resumed) => self.resumed(resumed),
            RunEvent::Profile(taken) => {
                if self.profiles.len() < PROFILES {
                    self.profiles.push(Arc::clone(taken));
                }
            }
            RunEvent::Note(note) => self.note(note.clone()),
            RunEvent::Ended(ended) => self.ended = Some(Arc::clone(ended)),
        }
    }

    fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    fn resumed(&mut self, resumed: &Resumed) {
        // The next gap, should no second come before it, is counted from here.
        self.last_wall_nanos = resumed.wall_nanos;
        self.note(Note { at: resumed.at, text: resumed.words() });
        self.validity.resumed(resumed.at / SECOND, resumed.away);
        if self.resumptions.len() < RESUMPTIONS {
            self.resumptions.push(*resumed);
        }
        // The process before it told of an end that was none.
        self.ended = None;
    }

    fn second(&mut self, second: &Second) {
        let frame = &second.frame;
        self.add(frame);
        let measured = self.started.shape.warmup..self.stages_end();
        second.resources.iter().for_each(|scrape| self.resources.add(scrape, measured.clone()));
        self.most_users = self.most_users.max(second.gauges.virtual_users);
        self.timeline.add(second);
        self.evaluator.resources(&second.resources);
        self.evaluator.second(frame);
        self.validity.second(frame, &second.vitals);
        self.last_second = Some(frame.second);
        self.last_wall_nanos = second.wall_nanos;
    }

    fn stretch(&mut self, stretch: &Stretch) {
        let (frame, seconds) = (&stretch.frame, stretch.range());
        if seconds.is_empty() {
            return;
        }
        self.add(frame);
        let measured = self.started.shape.warmup..self.stages_end();
        stretch.resources.iter().for_each(|source| {
            self.resources.add_stretch(source, &seconds, &measured);
        });
        self.most_users = self.most_users.max(stretch.levels.virtual_users.most as u64);
        self.timeline.add_stretch(stretch);
        self.evaluator.stretch(frame, stretch.seconds, &stretch.windows);
        self.validity.stretch(frame, &stretch.evidence);
        self.last_second = Some(seconds.end - 1);
        self.last_wall_nanos = stretch.wall_nanos;
    }

    /// Adds what can be counted, of a second or of many.
    fn add(&mut self, frame: &Frame) {
        for (key, series) in &frame.series {
            let key = self.overflow.admit(*key, &self.series, &self.started.shape.limits);
            let total = self.series.entry(key).or_default();
            let before = total.buckets();
            total.merge(series);
            self.overflow.grown(total.buckets() - before);
        }
        self.overflow.seen = self.overflow.seen.max(frame.overflowed_series);
        self.connections.merge(&frame.connections);
        self.reconnects += frame.reconnects;
        for (key, series) in &frame.addresses {
            self.addresses.entry(*key).or_default().merge(series);
        }
        self.kept.add(frame);
        self.groups.add(&frame.groups);
        self.checks.add(&frame.checks);
        self.measures.add(&frame.values, &self.started.shape.limits);
        for (key, series) in &frame.iterations {
            self.iterations.entry(*key).or_default().merge(series);
        }
        for error in &frame.errors {
            keep_sample(self.errors.entry(error.outcome).or_default(), error);
        }
    }

    /// Its first event.
    pub fn started(&self) -> &Arc<Started> {
        &self.started
    }

    /// What its seconds mean.
    pub fn shape(&self) -> &Shape {
        &self.started.shape
    }

    /// Its last event, once it has ended.
    pub fn ended(&self) -> Option<&Arc<Ended>> {
        self.ended.as_ref()
    }

    /// The last second folded.
    pub fn last_second(&self) -> Option<u64> {
        self.last_second
    }

    /// The course of the run.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What is worth telling beside the figures.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The profiles of the target that were taken.
    pub fn profiles(&self) -> &[Arc<ProfileTaken>] {
        &self.profiles
    }

    /// How it was steered.
    pub fn steerings(&self) -> &Steerings {
        &self.steerings
    }

    /// Where it went on in another process, in order.
    pub fn resumptions(&self) -> &[Resumed] {
        &self.resumptions
    }

    /// When the last second folded ended, nanoseconds since 1970; the start before the first.
    pub fn last_wall_nanos(&self) -> i64 {
        self.last_wall_nanos
    }

    /// Arrivals of the seconds so far, dropped ones included, by scenario, phase and stage, and iterations that began in
    /// them and have neither ended nor been cut.
    pub fn iterations(&self) -> impl Iterator<Item = (IterationKey, u64, u64)> {
        self.iterations.iter().map(|(key, series)| {
            let over = dropped(series) + series.ended + series.cut;
            (*key, series.arrivals, series.arrivals.saturating_sub(over))
        })
    }

    /// Where its stages ended, in nanoseconds from the start, once they have.
    pub fn stages_ended(&self) -> Option<u64> {
        self.stages_ended
    }

    /// The verdicts as they stand.
    pub fn judged(&self) -> Judged {
        Judged {
            second: self.last_second.unwrap_or(0),
            statuses: self.evaluator.statuses(),
            validity: self.validity.report().verdict,
        }
    }

    /// The objective that asks for the run to be aborted.
    pub fn abort(&self) -> Option<usize> {
        self.evaluator.abort()
    }

    /// Requests of all phases that ended or were cut, and how many of them failed.
    pub fn requests(&self) -> (u64, u64) {
        let failed = self
            .series
            .iter()
            .filter(|(key, _)| key.outcome.is_failure())
            .map(|(_, series)| series.requests)
            .sum();
        (self.series.values().map(|series| series.requests).sum(), failed)
    }

    /// Seconds of the stages that were offered: all of them, or up to where the run was stopped.
    fn offered_seconds(&self) -> f64 {
        match (self.stages_ended, self.last_second) {
            (Some(at), _) => at as f64 / 1e9,
            (None, Some(last)) => (last as f64 + 1.0).min(self.started.shape.stages_end()),
            (None, None) => 0.0,
        }
    }

    /// Where the stages end: as planned, or where the run was stopped.
    fn stages_end(&self) -> f64 {
        self.stages_ended.map_or(self.started.shape.stages_end(), |at| at as f64 / 1e9)
    }

    /// The run in figures, at its end or so far.
    pub fn summary(&self) -> Summary {
        let started = &self.started;
        let offered_seconds = self.offered_seconds();
        let measured_seconds = (offered_seconds - started.shape.warmup).max(0.0);
        let so_far = self.last_second.map_or(0, |last| (last + 1) * SECOND);
        let duration = self.ended.as_ref().map_or(so_far, |ended| ended.at);
        let response = self.latency(Timing::ResponseTime, |_| true);
        let service = self.latency(Timing::ServiceTime, |_| true);
        let addresses = addresses::summaries(&started.shape, &self.addresses);
        let resources = self.resources.summaries(&self.beside());
        Summary {
            info: started.info.clone(),
            plan: started.shape.plan.clone(),
            plan_hash: started.shape.plan_hash.clone(),
            model: started.shape.model,
            status: self.ended.as_ref().map(|ended| ended.status),
            reason: self.ended.as_ref().and_then(|ended| ended.reason.clone()),
            ended_nanos: self.wall_nanos(duration),
            duration_seconds: duration as f64 / 1e9,
            measured_seconds,
            warmup_seconds: started.shape.warmup,
            validity: self.validity.report(),
            phases: self.phases(),
            totals: self.totals(measured_seconds),
            unanswered: !self.series.is_empty() && !self.series.keys().any(|key| key.outcome.is_answer()),
            timings: Timing::ALL
                .into_iter()
                .map(|timing| (timing, LatencyFigures::from(&self.latency(timing, |_| true))))
                .collect(),
            response_curve: curve(&response),
            service_curve: curve(&service),
            response_times: response,
            errors: self.errors(),
            scenarios: self.scenarios(measured_seconds),
            steps: self.steps(measured_seconds),
            stages: self.stages(offered_seconds),
            groups: self.groups.summaries(&started.shape),
            checks: self.checks.summaries(&started.shape),
            measures: self.measures.summaries(&started.shape, measured_seconds),
            objectives: self.objectives(measured_seconds, &resources),
            resources,
            resource_sources: self.resources.sources(),
            profiles: self.profiles.clone(),
            exports: self.ended.as_ref().map(|ended| ended.exports.clone()).unwrap_or_default(),
            samples: self.ended.as_ref().and_then(|ended| ended.samples),
            steered: self.steered(),
            resumed: self.resumptions.clone(),
            notes: self.notes.clone(),
            connections: self.connections.clone(),
            reconnects: self.reconnects,
            skew: addresses::skew(&addresses),
            addresses,
            overflow: self.overflow.summary(&self.series),
            timeline: self.timeline.points().to_vec(),
        }
    }

    /// What the wall clock showed at an offset (nanoseconds from the start), nanoseconds since 1970.
    pub fn wall_nanos(&self, offset: u64) -> i64 {
        let resumed = self.resumptions.iter().rfind(|resumed| resumed.at <= offset);
        let (at, wall_nanos) = match resumed {
            Some(resumed) => (resumed.at, resumed.wall_nanos),
            None => (0, self.started.info.started_nanos),
        };
        wall_nanos.saturating_add(i64::try_from(offset - at).unwrap_or(i64::MAX / 2))
    }

    /// Where the run lies in wall time, which takes no summing up.
    pub fn wall_time(&self) -> WallTime {
        WallTime {
            started_nanos: self.started.info.started_nanos,
            ended_nanos: self.ended.as_ref().map(|ended| self.wall_nanos(ended.at)),
            resumed: self.resumptions.clone(),
        }
    }

    /// A latency of what counts for latency, over the measured phases.
    fn latency(&self, timing: Timing, which: impl Fn(&SeriesKey) -> bool) -> Histogram {
        let mut histogram = Histogram::new(self.started.shape.edges.clone());
        for (key, series) in &self.series {
            if key.phase.is_measured() && key.outcome.counts_for_latency() && which(key) {
                series.timings.get(&timing).into_iter().for_each(|distribution| histogram.add(distribution));
            }
        }
        histogram
    }

    fn counts(&self, which: impl Fn(&SeriesKey) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (key, series) in self.series.iter().filter(|(key, _)| which(key)) {
            counts.requests += series.requests;
            counts.received_bytes += series.received_bytes;
            counts.sent_bytes += series.sent_bytes;
            if key.outcome.is_success() {
                counts.succeeded += series.requests;
            } else if key.outcome.is_failure() {
                counts.failed += series.requests;
            } else {
                counts.cut += series.requests;
            }
        }
        counts
    }

    fn totals(&self, measured_seconds: f64) -> Totals {
        let counts = self.counts(|key| key.phase.is_measured());
        let iterations =
            || self.iterations.iter().filter(|(key, _)| key.phase.is_measured()).map(|(_, series)| series);
        let arrivals = iterations().map(|series| series.arrivals).sum();
        let dropped = iterations().map(dropped).sum();
        Totals {
            arrivals,
            iterations: iterations().map(|series| series.ended).sum(),
            requests: counts.requests,
            succeeded: counts.succeeded,
            failed: counts.failed,
            dropped,
            cut: counts.cut,
            received_bytes: counts.received_bytes,
            sent_bytes: counts.sent_bytes,
            throughput: per_second(counts.succeeded, measured_seconds),
            request_rate: per_second(counts.requests, measured_seconds),
            error_ratio: counts.error_ratio(),
            dropped_ratio: (arrivals > 0).then(|| dropped as f64 / arrivals as f64),
        }
    }

    fn phases(&self) -> Vec<PhaseSummary> {
        let summaries = Phase::ALL.into_iter().map(|phase| {
            let counts = self.counts(|key| key.phase == phase);
            let iterations = self.iterations.iter().filter(|(key, _)| key.phase == phase);
            PhaseSummary {
                phase,
                requests: counts.requests,
                failed: counts.failed,
                dropped: iterations.map(|(_, series)| dropped(series)).sum(),
                cut: counts.cut,
            }
        });
        let planned = |phase: Phase| match phase {
            Phase::Warmup => self.started.shape.warmup > 0.0,
            Phase::Measured | Phase::Grace => true,
            Phase::Setup | Phase::Teardown => false,
        };
        summaries
            .filter(|summary| summary.requests > 0 || summary.dropped > 0 || planned(summary.phase))
            .collect()
    }

    fn errors(&self) -> Vec<ErrorSummary> {
        let mut errors: Vec<_> = Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.is_failure())
            .map(|outcome| ErrorSummary {
                outcome,
                count: self.counts(|key| key.outcome == outcome && key.phase.is_measured()).requests,
                samples: self.errors.get(&outcome).cloned().unwrap_or_default(),
            })
            .filter(|error| error.count > 0)
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        errors
            .iter_mut()
            .for_each(|error| error.samples.sort_by_key(|sample| std::cmp::Reverse(sample.count)));
        errors
    }

    fn scenarios(&self, measured_seconds: f64) -> Vec<ScenarioSummary> {
        let shape = &self.started.shape;
        let shares = |index: usize| !shape.own_loads.iter().any(|load| usize::from(load.scenario) == index);
        let weights = shape.scenarios.iter().enumerate().filter(|(index, _)| shares(*index));
        let weights: u64 = weights.map(|(_, scenario)| u64::from(scenario.weight)).sum();
        let summary = |(index, scenario): (usize, &crate::ScenarioShape)| {
            let here = |key: &SeriesKey| self.scenario_of(key) == Some(index) && key.phase.is_measured();
            let counts = self.counts(here);
            let iterations = || {
                let here =
                    move |key: &IterationKey| usize::from(key.scenario) == index && key.phase.is_measured();
                self.iterations.iter().filter(move |(key, _)| here(key)).map(|(_, series)| series)
            };
            let mut time = Histogram::new(shape.edges.clone());
            iterations()
                .filter_map(|series| series.time.as_ref())
                .for_each(|distribution| time.add(distribution));
            ScenarioSummary {
                name: scenario.name.clone(),
                users: self.users_of(index, u64::from(scenario.weight), weights),
                iterations: iterations().map(|series| series.ended).sum(),
                iterations_failed: iterations().map(|series| series.failed).sum(),
                requests: counts.requests,
                failed: counts.failed,
                throughput: per_second(counts.succeeded, measured_seconds),
                response_time: LatencyFigures::from(&self.latency(Timing::ResponseTime, here)),
                iteration_time: LatencyFigures::from(&time),
            }
        };
        shape.scenarios.iter().enumerate().map(summary).collect()
    }

    /// The closed users of a scenario at most. Where scenarios have loads of their own, the gauge counts
    /// all of them together, and what was asked for tells them apart.
    fn users_of(&self, index: usize, weight: u64, weights: u64) -> u64 {
        let shape = &self.started.shape;
        let own = shape.own_loads.iter().zip(1..).find(|(load, _)| usize::from(load.scenario) == index);
        let (model, stages, load) =
            own.map_or((shape.model, &shape.stages, 0), |(load, index)| (load.model, &load.stages, index));
        if model == crate::Model::Open {
            return 0;
        }
        let asked = self.steerings.peak(load, stages) as u64;
        match (own, shape.own_loads.is_empty()) {
            (Some(_), _) => asked,
            (None, true) => self.most_users * weight / weights.max(1),
            (None, false) => asked * weight / weights.max(1),
        }
    }

    fn scenario_of(&self, key: &SeriesKey) -> Option<usize> {
        self.started
            .shape
            .steps
            .get(usize::from(key.step))
            .and_then(|step| step.scenario_index)
            .map(usize::from)
    }

    fn steps(&self, measured_seconds: f64) -> Vec<StepSummary> {
        let summary = |(index, step): (usize, &crate::StepShape)| {
            // Setup and teardown have no measured phase: their steps show what they did.
            let counted = |phase: Phase| phase.is_measured() || step.scenario_index.is_none();
            let here = move |key: &SeriesKey| usize::from(key.step) == index && counted(key.phase);
            let counts = self.counts(here);
            let mut statuses = BTreeMap::new();
            for (_, series) in self.series.iter().filter(|(key, _)| here(key)) {
                series
                    .statuses
                    .iter()
                    .for_each(|(status, count)| *statuses.entry(*status).or_default() += count);
            }
            let throughput = if step.scenario_index.is_some() {
                per_second(counts.succeeded, measured_seconds)
            } else {
                None
            };
            StepSummary {
                scenario: step.scenario.clone(),
                step: step.step.clone(),
                requests: counts.requests,
                failed: counts.failed,
                throughput,
                received_bytes: counts.received_bytes,
                response_time: LatencyFigures::from(&self.latency(Timing::ResponseTime, here)),
                service_time: LatencyFigures::from(&self.latency(Timing::ServiceTime, here)),
                statuses,
                slowest: self.kept.slowest(|key| usize::from(key.step) == index && counted(key.phase)),
                first_failed: self
                    .kept
                    .first_failed(|key| usize::from(key.step) == index && counted(key.phase)),
                failed_sample: self
                    .kept
                    .failed_sample(|key| usize::from(key.step) == index && counted(key.phase)),
            }
        };
        self.started.shape.steps.iter().enumerate().map(summary).filter(|step| step.requests > 0).collect()
    }

    fn steered(&self) -> Vec<SteeredSummary> {
        let shape = &self.started.shape;
        let summary = |steered: &crate::Steered| SteeredSummary {
            at: steered.at as f64 / 1e9,
            effective: steered.effective as f64 / 1e9,
            scenario: steered.scenario(shape).map(str::to_owned),
            change: steered.change,
            by: steered.by.clone(),
            words: steered.words(shape),
        };
        self.steerings.all().iter().map(summary).collect()
    }

    fn stages(&self, offered_seconds: f64) -> Vec<StageSummary> {
        let run = &self.started.shape;
        let began = run.all_stages().enumerate().filter(|(_, (stage, _))| stage.start < offered_seconds);
        began
            .map(|(index, (stage, scenario))| {
                let here =
                    |key: &SeriesKey| key.stage.map(usize::from) == Some(index) && key.phase.is_measured();
                let mut shape = stage.clone();
                shape.end = shape.end.min(offered_seconds);
                // Of a stage that is partly warm-up, only the rest is measured.
                let seconds = shape.end - shape.start.max(self.started.shape.warmup);
                let counts = self.counts(here);
                let arrivals: u64 = self
                    .iterations
                    .iter()
                    .filter(|(key, _)| key.stage.map(usize::from) == Some(index) && key.phase.is_measured())
                    .map(|(_, series)| series.arrivals)
                    .sum();
                let load = run.load_of(index);
                let steered = self.steerings.touched(load, shape.start, shape.end);
                let scenario =
                    scenario.map(usize::from).and_then(|index| run.scenarios.get(index).zip(Some(index)));
                StageSummary {
                    index,
                    scenario: scenario.map(|(scenario, _)| scenario.name.clone()),
                    model: scenario.map_or(run.model, |(_, index)| run.model_of(index as u16)),
                    shape,
                    offered: per_second(arrivals, seconds).unwrap_or(0.0),
                    throughput: per_second(counts.succeeded, seconds).unwrap_or(0.0),
                    error_ratio: counts.error_ratio(),
                    response_time: LatencyFigures::from(&self.latency(Timing::ResponseTime, here)),
                    // What comes back after a spike is told against a load that was to be before and behind it.
                    recovery: self.evaluator.recovery(index as u16).filter(|_| !steered),
                    steered,
                }
            })
            .collect()
    }

    /// The run that resources are looked at beside.
    fn beside(&self) -> Beside<'_> {
        let measured = self.started.shape.warmup..self.stages_end();
        let objectives = self.evaluator.objectives().iter();
        let promised = objectives.filter_map(|objective| leaks::asked(&objective.expression)).collect();
        Beside::new(self.timeline.points(), measured, promised)
    }

    fn objectives(&self, measured_seconds: f64, resources: &[ResourceSummary]) -> Vec<ObjectiveSummary> {
        let judgements = self.evaluator.finish(measured_seconds);
        let summary = |(objective, judgement): (&Objective, Judgement)| ObjectiveSummary {
            name: objective.name.clone(),
            text: objective.text.clone(),
            figure: objective.expression.measure,
            severity: objective.severity,
            judgement: leaks::judge(objective, resources).unwrap_or(judgement),
        };
        self.evaluator.objectives().iter().zip(judgements).map(summary).collect()
    }
}

/// Keeps what a run holds within its limits. Workers keep each second within them; what differs from
/// second to second, like stages, adds up here.
#[derive(Debug, Default)]
struct Overflow {
    /// What the histograms of all series occupy.
    memory_bytes: u64,
    /// Series that found no room, the first of them.
    turned_away: BTreeSet<SeriesKey>,
    /// The most that a second says of itself.
    seen: u64,
}

impl Overflow {
    /// How many series are remembered to say how many there were.
    const REMEMBERED: usize = 4096;

    /// Where a series is counted.
    fn admit(&mut self, key: SeriesKey, known: &BTreeMap<SeriesKey, Series>, limits: &Limits) -> SeriesKey {
        let fits = known.len() < limits.series as usize && self.memory_bytes < limits.memory_bytes;
        if fits || key.is_overflow() || known.contains_key(&key) {
            return key;
        }
        if self.turned_away.len() < Self::REMEMBERED {
            self.turned_away.insert(key);
        }
        key.overflow()
    }

    fn grown(&mut self, buckets: usize) {
        // A bucket is its bound and its count.
        self.memory_bytes += buckets as u64 * 16;
    }

    fn summary(&self, series: &BTreeMap<SeriesKey, Series>) -> Option<OverflowSummary> {
        let overflowed = series.iter().filter(|(key, _)| key.is_overflow());
        let requests = overflowed.map(|(_, series)| series.requests).sum();
        let series = self.seen.max(self.turned_away.len() as u64);
        (requests > 0 || series > 0).then_some(OverflowSummary { series, requests })
    }
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    succeeded: u64,
    failed: u64,
    cut: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Counts {
    /// failed / (succeeded + failed); cut requests are unknown and in neither.
    fn error_ratio(&self) -> Option<f64> {
        let known = self.succeeded + self.failed;
        (known > 0).then(|| self.failed as f64 / known as f64)
    }
}

fn dropped(series: &IterationSeries) -> u64 {
    series.dropped_in_flight_limit + series.dropped_generator
}

fn per_second(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count as f64 / seconds)
}

fn keep_sample(samples: &mut Vec<ErrorSample>, error: &ErrorSample) {
    if let Some(known) =
        samples.iter_mut().find(|known| known.step == error.step && known.message == error.message)
    {
        known.count += error.count;
        known.first = known.first.min(error.first);
        known.last = known.last.max(error.last);
    } else if samples.len() < SAMPLES_PER_KIND {
        samples.push(error.clone());
    }
}

/// Shares 0, 0.5, 0.75, ... each halving the rest in eighths, until one value is left.
fn curve(histogram: &Histogram) -> LatencyCurve {
    let count = histogram.count();
    let (Some(min), Some(max)) = (histogram.min(), histogram.max()) else { return Vec::new() };
    let mut points = vec![(0.0, min as f64 / 1e9)];
    let mut rest = 1.0_f64;
    while rest * count as f64 > 1.0 && rest > 2e-6 {
        for eighth in 1..=8 {
            let share = 1.0 - rest + rest / 16.0 * f64::from(eighth);
            let quantile =
                Quantile::from_ppm((share * 1e6) as u32).and_then(|quantile| histogram.quantile(quantile));
            points.extend(quantile.map(|nanos| (share, nanos as f64 / 1e9)));
        }
        rest /= 2.0;
    }
    points.push((1.0, max as f64 / 1e9));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gauges, Model, RunInfo, RunStatus, StepShape};
    use plimsoll_measure::{Edges, Sample, Shard, Vitals};

    fn state(limits: Limits) -> State {
        let shape = Shape {
            plan: "p".into(),
            plan_hash: "h".into(),
            model: Model::Open,
            scenarios: Vec::new(),
            steps: vec![StepShape { scenario: "s".into(), scenario_index: Some(0), step: "s".into() }],
            groups: Vec::new(),
            checks: Vec::new(),
            stages: Vec::new(),
            own_loads: Vec::new(),
            warmup: 0.0,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: Vec::new(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits,
        };
        let info = RunInfo {
            id: "r".into(),
            started_nanos: 0,
            seed: 0,
            version: None,
            environment: None,
            tags: BTreeMap::new(),
            machine: crate::Machine::default(),
            plimsoll: String::new(),
            target: String::new(),
        };
        State::new(Arc::new(Started { info, shape, plan_text: String::new(), calibration: None }))
    }

    /// A second of `requests` requests in a stage of its own.
    fn second(number: u64, requests: u64) -> RunEvent {
        let mut shard = Shard::new(number, Edges::default());
        let key =
            SeriesKey { step: 0, phase: Phase::Measured, stage: Some(number as u16), outcome: Outcome::Ok };
        for request in 0..requests {
            let due = number * SECOND;
            shard.record(&Sample { done: due + request * request, ..Sample::at(key, due) });
        }
        let mut frame = Frame::new(number);
        shard.merge_into(&mut frame);
        let (gauges, vitals) = (Gauges::default(), Vitals::default());
        RunEvent::Second(Arc::new(Second { frame, gauges, vitals, resources: Vec::new(), wall_nanos: 0 }))
    }

    #[test]
    fn each_gap_is_counted_from_the_one_before_it() {
        let mut state = state(Limits::default());
        let mut resume = |wall_nanos| {
            let away = (wall_nanos - state.last_wall_nanos()) as u64;
            state.apply(&RunEvent::Resumed(Resumed { at: 0, wall_nanos, away, cut: 0 }));
            away
        };
        // It dies again before its first second.
        assert_eq!([90_000_000_000, 95_000_000_000].map(&mut resume), [90_000_000_000, 5_000_000_000]);
    }

    #[test]
    fn where_a_run_lies_in_wall_time_is_known_without_summing_it_up() {
        let mut state = state(Limits::default());
        let ended = Ended {
            at: 30 * SECOND,
            status: RunStatus::Completed,
            reason: None,
            exports: Vec::new(),
            samples: None,
        };
        for event in [
            second(0, 5),
            RunEvent::Resumed(Resumed { at: SECOND, wall_nanos: 90_000_000_000, away: 0, cut: 0 }),
            RunEvent::Ended(Arc::new(ended)),
        ] {
            state.apply(&event);
            assert_eq!(state.wall_time(), state.summary().wall_time(), "{event:?}");
        }
        let wall_time = state.wall_time();
        assert_eq!(wall_time.ended_nanos, Some(119_000_000_000));
        assert_eq!([0, 60, 100].map(|wall| wall_time.offset_of(wall * 1_000_000_000)), [0.0, 1.0, 11.0]);
    }

    #[test]
    fn stages_that_add_up_to_too_many_series_are_counted_together() {
        for limits in [
            Limits { series: 4, ..Limits::default() },
            Limits { memory_bytes: 4 * 16 * 400, ..Limits::default() },
        ] {
            let mut state = state(limits);
            (0..100).for_each(|number| state.apply(&second(number, 2000)));
            assert!(state.series.len() < 12, "{limits:?}: {}", state.series.len());
            let summary = state.summary();
            assert_eq!(summary.totals.requests, 200_000, "nothing is lost");
            assert_eq!(summary.timings[&Timing::ResponseTime].count, 200_000);
            let overflow = summary.overflow.unwrap();
            assert!(overflow.series >= 88, "{overflow:?}");
            assert_eq!(overflow.requests + summary.steps[0].requests, 200_000);
        }
        let mut unlimited = state(Limits::default());
        (0..100).for_each(|number| unlimited.apply(&second(number, 20)));
        assert_eq!(unlimited.summary().overflow, None);
    }
}
