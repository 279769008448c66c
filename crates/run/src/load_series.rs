//! A run as a series of load and what came of it, from which plateaus are cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use plimsoll_capacity::{self as capacity, LoadKind, Moment, Series};
use plimsoll_measure::{Distribution, Frame, IterationKey, IterationSeries, Phase, SeriesKey, Timing};
use serde::{Deserialize, Serialize};

use crate::timeline::whole_seconds;
use crate::{Model, ResourceFigure, ResourceScrape, ResourceUnit, RunEvent, Second, Shape, Started};

/// How many seconds wait for what is told of them later, before they become part of the series.
const WAIT: usize = 5;

/// The most resources of a second that are kept.
const RESOURCES: usize = 64;

/// Folds the events of a run into its [`Series`]: the whole seconds of its stages, warm-up left out, lost
/// seconds as gaps.
///
/// Load is what was asked for: iterations per second in the open model, users in the closed one. Throughput is
/// succeeded requests per second; but in an open run whose iterations take several requests it is succeeded
/// iterations, so that it counts what load counts ([`LoadSeries::counts`]). Errors and response times are
/// those of requests always.
#[derive(Debug)]
pub struct LoadSeries {
    started: Arc<Started>,
    counts: Counts,
    series: Series,
    waiting: VecDeque<(u64, Moment)>,
    /// The first second that is not in the series yet.
    next: u64,
    /// Seconds from this one on are not part of the stages.
    end: u64,
}

/// What throughput counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counts {
    /// Requests that succeeded.
    Requests,
    /// Iterations that ended and did not fail.
    Iterations,
}

impl Counts {
    fn of(shape: &Shape) -> Self {
        let steps = |scenario: usize| {
            let of = |index: &Option<u16>| index.is_some_and(|index| usize::from(index) == scenario);
            shape.steps.iter().filter(|step| of(&step.scenario_index)).count()
        };
        match shape.model {
            Model::Open if (0..shape.scenarios.len()).any(|scenario| steps(scenario) > 1) => Self::Iterations,
            Model::Open | Model::Closed => Self::Requests,
        }
    }

    /// Its word in results.
    pub fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Iterations => "iterations",
        }
    }
}

impl LoadSeries {
    /// The series of a run that has just started.
    pub fn new(started: Arc<Started>) -> Self {
        let shape = &started.shape;
        let end = match shape.iterations {
            // Several loads beside each other have no one level to be plotted against.
            _ if !shape.own_loads.is_empty() => 0,
            Some(_) => u64::MAX,
            None => shape.stages_end().floor() as u64,
        };
        Self {
            counts: Counts::of(shape),
            series: Series::new(1.0),
            waiting: VecDeque::new(),
            next: shape.warmup.ceil() as u64,
            end,
            started,
        }
    }

    /// Folds the next event.
    pub fn apply(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Phase { phase: Phase::Grace, at } => self.end = self.end.min(whole_seconds(*at)),
            RunEvent::Second(second) => self.second(second),
            RunEvent::Started(_)
            | RunEvent::Phase { .. }
            // A level is seen in seconds only.
            | RunEvent::Stretch(_)
            | RunEvent::Judged(_)
            | RunEvent::Steered(_)
            | RunEvent::Resumed(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_)
            | RunEvent::Ended(_) => {}
        }
    }

    /// The series of all events so far.
    pub fn finish(mut self) -> Series {
        while let Some((second, moment)) = self.waiting.pop_front() {
            self.push(second, moment);
        }
        self.series
    }

    /// What its loads count.
    pub fn kind(&self) -> LoadKind {
        match self.started.shape.model {
            Model::Open => LoadKind::Rate,
            Model::Closed => LoadKind::Users,
        }
    }

    /// What its throughput counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn second(&mut self, second: &Second) {
        let number = second.frame.second;
        let last = self.waiting.back().map_or(self.next.checked_sub(1), |(last, _)| Some(*last));
        // Teardown comes after; and a record cannot go back.
        if number >= self.end || number < self.next || last.is_some_and(|last| number <= last) {
            return;
        }
        self.waiting.push_back((number, self.moment(second)));
        second.resources.iter().for_each(|scrape| self.scraped(scrape));
        if self.waiting.len() > WAIT
            && let Some((second, moment)) = self.waiting.pop_front()
        {
            self.push(second, moment);
        }
    }

    /// A scrape belongs to the second it speaks of, which may have been before.
    fn scraped(&mut self, scrape: &ResourceScrape) {
        let of = scrape.second();
        let Some((_, moment)) = self.waiting.iter_mut().find(|(second, _)| *second == of) else { return };
        for figure in scrape.figures.iter().flatten() {
            let Some(name) = resource_name(&scrape.source, figure) else { continue };
            if moment.resources.len() < RESOURCES || moment.resources.contains_key(&name) {
                moment.resources.insert(name, figure.value);
            }
        }
    }

    fn push(&mut self, second: u64, moment: Moment) {
        if second >= self.end || second < self.next {
            return;
        }
        // One gap says as much as many, and a damaged record may jump far.
        if second > self.next {
            (self.next..second).take(Series::STEPS).for_each(|_| self.series.push(None));
        }
        self.series.push(Some(moment));
        self.next = second + 1;
    }

    fn moment(&self, second: &Second) -> Moment {
        let shape = &self.started.shape;
        let frame = &second.frame;
        let under_load = |phase: Phase| !matches!(phase, Phase::Setup | Phase::Teardown);
        let requests = |which: &dyn Fn(&SeriesKey) -> bool| {
            frame.requests(|key| under_load(key.phase) && which(key)) as f64
        };
        let iterations = |which: &dyn Fn(&IterationKey) -> bool| -> f64 {
            let of = frame.iterations.iter().filter(|(key, _)| under_load(key.phase) && which(key));
            of.map(|(_, series)| succeeded(series)).sum::<u64>() as f64
        };
        let succeeded = requests(&|key| key.outcome.is_success());
        let failed = requests(&|key| key.outcome.is_failure());
        let scenario_of = |step: u16| shape.steps.get(usize::from(step)).and_then(|step| step.scenario_index);
        let classes: BTreeMap<String, f64> = (0_u16..)
            .zip(&shape.scenarios)
            .map(|(index, scenario)| {
                let rate = match self.counts {
                    Counts::Iterations => iterations(&|key| key.scenario == index),
                    Counts::Requests => {
                        requests(&|key| key.outcome.is_success() && scenario_of(key.step) == Some(index))
                    }
                };
                (scenario.name.clone(), rate)
            })
            .collect();
        Moment {
            load: match shape.model {
                Model::Open => second.gauges.offered_rate,
                Model::Closed => second.gauges.virtual_users as f64,
            },
            throughput: match self.counts {
                Counts::Requests => succeeded,
                Counts::Iterations => iterations(&|_| true),
            },
            ended: Some(capacity::Ended { failed, all: succeeded + failed }),
            response_time: response_time(frame, under_load),
            resources: BTreeMap::new(),
            classes,
        }
    }
}

/// `process pool_ratio`: a share of one ends in `_ratio`, whatever its figure is called, and nothing else does.
///
/// Single processors have none: all of them together are the resource.
fn resource_name(source: &str, figure: &ResourceFigure) -> Option<String> {
    match figure.unit {
        ResourceUnit::Ratio if figure.name.starts_with("cpu_ratio{") => None,
        ResourceUnit::Ratio => {
            let name = figure.name.replacen("_ratio{", "{", 1);
            Some(format!("{source} {}_ratio", name.trim_end_matches("_ratio")))
        }
        unit => Some(format!("{source} {} ({})", figure.name, unit.label().replace('_', " "))),
    }
}

fn succeeded(series: &IterationSeries) -> u64 {
    series.ended.saturating_sub(series.failed)
}

fn response_time(frame: &Frame, under_load: impl Fn(Phase) -> bool) -> Option<Distribution> {
    let counted =
        frame.series.iter().filter(|(key, _)| under_load(key.phase) && key.outcome.counts_for_latency());
    let mut times = counted.filter_map(|(_, series)| series.timings.get(&Timing::ResponseTime));
    let mut all = times.next()?.clone();
    times.for_each(|more| all.merge(more));
    Some(all)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Ended, Gauges, Machine, RunInfo, RunStatus, ScenarioShape, StageShape, StepShape};
    use plimsoll_measure::{Edges, Limits, Outcome, SECOND, Sample, Shard, Vitals};

    /// A run that holds levels for so many seconds each.
    pub(crate) fn started(model: Model, steps: u16, levels: &[(f64, f64)], warmup: f64) -> Started {
        let step = |number: u16| StepShape {
            scenario: "browse".into(),
            scenario_index: Some(0),
            step: format!("step {number}"),
        };
        let mut start = 0.0;
        let stage = |&(level, seconds): &(f64, f64)| {
            let from = start;
            start += seconds;
            StageShape {
                kind: "hold".into(),
                start: from,
                end: start,
                from: level,
                to: level,
                course: Vec::new(),
            }
        };
        Started {
            info: RunInfo {
                id: "run".into(),
                started_nanos: 0,
                seed: 1,
                version: None,
                environment: None,
                tags: BTreeMap::new(),
                machine: Machine::default(),
                plimsoll: String::new(),
                target: "http://127.0.0.1:1".into(),
            },
            shape: Shape {
                plan: "shop".into(),
                plan_hash: "hash".into(),
                model,
                scenarios: vec![ScenarioShape { name: "browse".into(), weight: 1 }],
                steps: (0..steps).map(step).collect(),
                groups: Vec::new(),
                checks: Vec::new(),
                stages: levels.iter().map(stage).collect(),
                own_loads: Vec::new(),
                warmup,
                grace: 5.0,
                iterations: None,
                edges: Edges::default(),
                objectives: vec![],
                addresses: Vec::new(),
                measures: Vec::new(),
                limits: Limits::default(),
            },
            plan_text: String::new(),
            calibration: None,
        }
    }

    /// A second in which each step had so many requests of 5 ms, every fourth of which failed fast.
    fn second(number: u64, started: &Started, requests: u64) -> RunEvent {
        let mut shard = Shard::new(number, started.shape.edges.clone());
        let (phase, _) = started.shape.place(number * SECOND);
        for step in 0..started.shape.steps.len() as u16 {
            for request in 0..requests {
                let outcome = if request % 4 == 3 { Outcome::Reset } else { Outcome::Ok };
                let due = number * SECOND + request;
                shard.record(&Sample {
                    key: SeriesKey { step, phase, stage: Some(0), outcome },
                    due,
                    ready: due,
                    sent: Some(due),
                    done: due + if outcome == Outcome::Ok { 5_000_000 } else { 1000 },
                    connect: None,
                    tls: None,
                    first_byte: None,
                    status: None,
                    received_bytes: 0,
                    sent_bytes: 0,
                    address: 0,
                });
            }
        }
        let key = IterationKey { scenario: 0, phase, stage: Some(0) };
        (0..requests).for_each(|iteration| shard.iteration(key, 1, iteration % 4 == 3));
        let mut frame = Frame::new(number);
        shard.merge_into(&mut frame);
        let level = started.shape.level_at(number as f64).unwrap_or(0.0);
        // The scrape of a second ends it, and comes in the next.
        let figure = |name: &str, unit, value| ResourceFigure { name: name.into(), unit, value };
        let resources = vec![ResourceScrape {
            source: "app".into(),
            at: number * SECOND,
            figures: Ok(vec![
                figure("utilisation_ratio{resource=\"pool\"}", ResourceUnit::Ratio, number as f64 / 100.0),
                figure("memory", ResourceUnit::Bytes, 5e6),
                figure("cpu_ratio{cpu=\"0\"}", ResourceUnit::Ratio, 0.5),
            ]),
            left_out: 0,
        }];
        let gauges = Gauges { offered_rate: level, virtual_users: level as u64, connections: 1 };
        RunEvent::Second(Arc::new(Second {
            frame,
            gauges,
            vitals: Vitals::default(),
            resources,
            wall_nanos: 0,
        }))
    }

    fn fold(started: &Started, events: impl IntoIterator<Item = RunEvent>) -> LoadSeries {
        let mut series = LoadSeries::new(Arc::new(started.clone()));
        events.into_iter().for_each(|event| series.apply(&event));
        series
    }

    #[test]
    fn seconds_of_the_stages_are_the_series() {
        let started = started(Model::Open, 1, &[(8.0, 20.0), (16.0, 20.0)], 5.0);
        let mut events: Vec<RunEvent> = (0..40).map(|number| second(number, &started, 8)).collect();
        events.push(RunEvent::Phase { phase: Phase::Grace, at: 40 * SECOND });
        // The rest of what was in flight, and teardown.
        events.push(second(40, &started, 3));
        events.push(second(41, &started, 1));
        events.push(RunEvent::Ended(Arc::new(Ended {
            at: 42 * SECOND,
            status: RunStatus::Completed,
            reason: None,
            exports: vec![],
            samples: None,
        })));
        let folded = fold(&started, events);
        assert_eq!((folded.kind(), folded.counts()), (LoadKind::Rate, Counts::Requests));
        let series = folded.finish();
        let moments: Vec<&Moment> = series.moments().iter().flatten().collect();
        assert_eq!(moments.len(), 35);
        assert_eq!((moments[0].load, moments[34].load), (8.0, 16.0));
        assert_eq!(moments[0].throughput, 6.0);
        assert_eq!(moments[0].ended, Some(capacity::Ended { failed: 2.0, all: 8.0 }));
        assert_eq!(moments[0].classes["browse"], 6.0);
        assert_eq!(moments[4].resources["app utilisation{resource=\"pool\"}_ratio"], 0.1);
        assert_eq!(moments[4].resources["app memory (bytes)"], 5e6);
        assert_eq!(moments[34].resources.len(), 0, "not read is not zero");
        // A fast failure says nothing of how long answers take.
        assert_eq!(moments[0].response_time.as_ref().map(Distribution::count), Some(6));
    }

    #[test]
    fn journeys_of_an_open_load_count_as_such() {
        let open = started(Model::Open, 3, &[(8.0, 20.0)], 0.0);
        let folded = fold(&open, (0..20).map(|number| second(number, &open, 8)));
        assert_eq!(folded.counts(), Counts::Iterations);
        let series = folded.finish();
        let moment = series.moments()[3].as_ref().unwrap();
        assert_eq!((moment.throughput, moment.classes["browse"]), (6.0, 6.0));
        assert_eq!(moment.ended, Some(capacity::Ended { failed: 6.0, all: 24.0 }), "errors are of requests");
        let closed = started(Model::Closed, 3, &[(8.0, 20.0)], 0.0);
        let folded = fold(&closed, (0..20).map(|number| second(number, &closed, 8)));
        assert_eq!((folded.kind(), folded.counts()), (LoadKind::Users, Counts::Requests));
        assert_eq!(folded.finish().moments()[3].as_ref().unwrap().throughput, 18.0);
    }

    #[test]
    fn lost_seconds_are_gaps_and_a_run_that_was_stopped_ends_there() {
        let started = started(Model::Open, 1, &[(8.0, 60.0)], 0.0);
        let mut events: Vec<RunEvent> =
            (0..30).filter(|number| *number != 10).map(|number| second(number, &started, 8)).collect();
        events.push(RunEvent::Phase { phase: Phase::Grace, at: 30 * SECOND + SECOND / 2 });
        events.push(second(30, &started, 4));
        // A damaged record: the past again, and a jump.
        events.push(second(2, &started, 8));
        events.push(second(u64::MAX / 2_000_000_000, &started, 8));
        let series = fold(&started, events).finish();
        let gaps: Vec<usize> = series
            .moments()
            .iter()
            .enumerate()
            .filter(|(_, moment)| moment.is_none())
            .map(|(at, _)| at)
            .collect();
        assert_eq!((series.moments().len(), gaps), (30, vec![10]));
    }

    #[test]
    fn plateaus_of_a_run_are_its_holds() {
        let started = started(Model::Closed, 1, &[(8.0, 20.0), (16.0, 20.0)], 2.0);
        let events = (0..40).map(|number| second(number, &started, if number < 20 { 40 } else { 60 }));
        let found = capacity::Plateaus::of(&fold(&started, events).finish());
        let points: Vec<(f64, f64)> =
            found.steady.iter().map(|plateau| (plateau.load, plateau.throughput.value)).collect();
        assert_eq!(points, [(8.0, 30.0), (16.0, 45.0)]);
        assert_eq!(found.steady[0].error_ratio.unwrap().value, 0.25);
    }
}
