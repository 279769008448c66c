use plimsoll_measure::{Edges, Limits, Phase, ValueForm, ValueName, ValueUnit};
use plimsoll_sla::{Objective, OwnValue, Span};
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Level, Stage, StageKind};
use serde::{Deserialize, Serialize};

use crate::{LoadModel, RunPlan};

/// What one must know of a plan to fold a run's events: names, stages, edges, objectives.
///
/// A record keeps this instead of the plan, so that an old record can be read when plans have
/// learnt new words.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The `plan` label.
    pub plan: String,
    /// What history groups by.
    pub plan_hash: String,
    /// How load is offered.
    pub model: Model,
    /// The scenarios in order.
    pub scenarios: Vec<ScenarioShape>,
    /// The steps in order; a series' step is an index into it.
    pub steps: Vec<StepShape>,
    /// The groups in order; a group's key has an index into it.
    pub groups: Vec<GroupShape>,
    /// The checks in order; a check's key has an index into it.
    pub checks: Vec<CheckShape>,
    /// The stages in order, of the load that scenarios share by weight.
    pub stages: Vec<StageShape>,
    /// Loads that scenarios have by themselves, in the order of the scenarios. A key's stage is an index
    /// into [`Shape::all_stages`].
    pub own_loads: Vec<LoadShape>,
    /// Seconds of warm-up.
    pub warmup: f64,
    /// Seconds of grace.
    pub grace: f64,
    /// Iterations that end a closed run, where a number is given.
    pub iterations: Option<u64>,
    /// Bucket edges of every histogram of the run.
    pub edges: Edges,
    /// What is promised.
    pub objectives: Vec<Objective>,
    /// The addresses that requests go to, where there are several; a sample's address is an index into
    /// it. Those of a name are known only when the run starts.
    pub addresses: Vec<AddressShape>,
    /// What is taken from replies; a value's key has an index into it.
    pub measures: Vec<MeasureShape>,
    /// What measuring may cost.
    pub limits: Limits,
}

/// A load that a scenario has by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadShape {
    /// Index of the scenario.
    pub scenario: u16,
    /// How it is offered.
    pub model: Model,
    /// Its stages in order.
    pub stages: Vec<StageShape>,
}

/// One of several addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressShape {
    /// What people call it: a target's URL, or an IP address with its port.
    pub name: String,
    /// Its share among the weights; at least 1.
    pub weight: u32,
}

/// A value that is taken from replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureShape {
    /// Its name: the `measure` label.
    pub name: ValueName,
    /// What becomes of it.
    pub form: ValueForm,
    /// What it is in.
    pub unit: ValueUnit,
    /// Bucket edges of its histograms, in ticks of the unit.
    pub edges: Edges,
}

/// How load is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Arrivals per second.
    Open,
    /// Virtual users.
    Closed,
}

impl Model {
    /// Its word in plans and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// The model with this word.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Open, Self::Closed].into_iter().find(|model| model.label() == label)
    }

    /// The unit of its levels, as people read it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Open => "/s",
            Self::Closed => " users",
        }
    }
}

/// A scenario's name and weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioShape {
    /// The `scenario` label.
    pub name: String,
    /// Its share among the weights.
    pub weight: u32,
}

/// The labels of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepShape {
    /// The `scenario` label: a scenario's name, or `setup` or `teardown`.
    pub scenario: String,
    /// Index of the scenario; `None` for setup and teardown.
    pub scenario_index: Option<u16>,
    /// The `step` label.
    pub step: String,
}

/// The labels of a group of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupShape {
    /// The `scenario` label.
    pub scenario: String,
    /// Index of the scenario; `None` for setup and teardown.
    pub scenario_index: Option<u16>,
    /// The `group` label.
    pub group: String,
}

/// The labels of a check of a step's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckShape {
    /// The `scenario` label.
    pub scenario: String,
    /// Index of the scenario; `None` for setup and teardown.
    pub scenario_index: Option<u16>,
    /// The `step` label.
    pub step: String,
    /// The `check` label.
    pub check: String,
}

/// A stage in seconds from the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct StageShape {
    /// `ramp`, `hold`, `spike`, `pause`, `schedule` or `replay`.
    pub kind: String,
    /// When it starts.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// Level at its start: arrivals per second, or users.
    pub from: f64,
    /// Level at its end.
    pub to: f64,
    /// Of a stage that is no line: its course in seconds from the start of the run and levels, linear between
    /// them. Empty where it is a line.
    pub course: Vec<(f64, f64)>,
}

impl StageShape {
    /// Its highest level.
    pub fn peak(&self) -> f64 {
        let course = self.course.iter().map(|(_, level)| *level);
        course.fold(self.from.max(self.to), f64::max)
    }

    /// Its lines, one behind the other.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let whole = self.course.is_empty().then_some([(self.start, self.from), (self.end, self.to)]);
        whole.into_iter().chain(self.course.windows(2).map(|pair| [pair[0], pair[1]]))
    }
}

/// Offset in seconds and level of both ends.
type Line = [(f64, f64); 2];

/// The level at an offset on a line.
fn level_on([from, to]: Line, offset: f64) -> f64 {
    from.1 + (to.1 - from.1) * (offset - from.0) / (to.0 - from.0)
}

impl Shape {
    /// The highest level of any stage: arrivals per second, or users.
    pub fn peak(&self) -> f64 {
        peak(&self.stages)
    }

    /// Every stage with the scenario it is about; `None`: several, which share the load by weight.
    pub fn all_stages(&self) -> impl Iterator<Item = (&StageShape, Option<u16>)> {
        let own = self.own_loads.iter();
        let own = own.flat_map(|load| load.stages.iter().map(move |stage| (stage, Some(load.scenario))));
        let sharing = self.alone_without_own_load();
        self.stages.iter().map(move |stage| (stage, sharing)).chain(own)
    }

    /// The only scenario that has no load of its own, where others have one.
    pub(crate) fn alone_without_own_load(&self) -> Option<u16> {
        match self.sharing()[..] {
            [alone] if !self.own_loads.is_empty() => Some(alone),
            _ => None,
        }
    }

    /// The scenarios that have no load of their own.
    pub(crate) fn sharing(&self) -> Vec<u16> {
        let has_own = |index: &u16| self.own_loads.iter().any(|load| load.scenario == *index);
        (0..self.scenarios.len() as u16).filter(|index| !has_own(index)).collect()
    }

    /// The load that a stage of [`Shape::all_stages`] belongs to.
    pub(crate) fn load_of(&self, stage: usize) -> usize {
        let mut before = 0;
        let ends = self.loads().map(|(_, stages)| {
            before += stages.len();
            before
        });
        ends.take_while(|end| *end <= stage).count()
    }

    /// Every load with its stages: the one that scenarios share, then [`Shape::own_loads`].
    pub fn loads(&self) -> impl Iterator<Item = (Model, &[StageShape])> {
        let own = self.own_loads.iter().map(|load| (load.model, load.stages.as_slice()));
        std::iter::once((self.model, self.stages.as_slice())).chain(own)
    }

    /// The highest rate of arrivals that the open loads can add up to.
    pub fn peak_rate(&self) -> f64 {
        let shared = if self.model == Model::Open { peak(&self.stages) } else { 0.0 };
        let own = self.own_loads.iter().filter(|load| load.model == Model::Open);
        shared + own.map(|load| peak(&load.stages)).sum::<f64>()
    }

    /// The mean rate of arrivals that the open loads ask for between two offsets in seconds.
    pub fn mean_rate(&self, from: f64, to: f64) -> f64 {
        let shared = if self.model == Model::Open { mean_level(&self.stages, from, to) } else { 0.0 };
        let own = self.own_loads.iter().filter(|load| load.model == Model::Open);
        shared + own.map(|load| mean_level(&load.stages, from, to)).sum::<f64>()
    }

    /// How iterations of a scenario are offered.
    pub fn model_of(&self, scenario: u16) -> Model {
        let own = self.own_loads.iter().find(|load| load.scenario == scenario);
        own.map_or(self.model, |load| load.model)
    }

    /// The shape of a plan.
    pub fn of(plan: &RunPlan) -> Self {
        let (model, stages) = load_shape(&plan.load.model);
        let iterations = match &plan.load.model {
            // Where others have loads of their own, the run does not end with these.
            LoadModel::Closed { limits, .. } if !plan.has_own_loads() => limits.iterations,
            LoadModel::Open { .. } | LoadModel::Closed { .. } => None,
        };
        let own_loads = plan.scenarios.iter().zip(0..).filter_map(|(scenario, index)| {
            let (model, stages) = load_shape(scenario.load.as_ref()?);
            Some(LoadShape { scenario: index, model, stages })
        });
        let thresholds = plan.objectives.iter().flat_map(|objective| objective.expression.counted_nanos());
        Self {
            plan: plan.name.clone(),
            plan_hash: plan.hash.clone(),
            model,
            scenarios: plan
                .scenarios
                .iter()
                .map(|scenario| ScenarioShape { name: scenario.name.clone(), weight: scenario.weight })
                .collect(),
            steps: plan.steps.clone(),
            groups: plan.groups.clone(),
            checks: plan.checks.clone(),
            stages,
            own_loads: own_loads.collect(),
            warmup: plan.load.warmup.as_secs_f64(),
            grace: plan.load.grace.as_secs_f64(),
            iterations,
            edges: Edges::with_thresholds(thresholds),
            objectives: plan.objectives.clone(),
            addresses: Vec::new(),
            measures: measures(plan),
            limits: plan.limits,
        }
    }

    /// Bucket edges of each measure's histograms.
    pub fn measure_edges(&self) -> Vec<Edges> {
        self.measures.iter().map(|measure| measure.edges.clone()).collect()
    }

    /// Seconds from the start to the planned end of the stages.
    pub fn stages_end(&self) -> f64 {
        let own = self.own_loads.iter().map(|load| end_of(&load.stages));
        own.fold(end_of(&self.stages), f64::max)
    }

    /// The level asked for at an offset in seconds; `None` outside the stages.
    pub fn level_at(&self, offset: f64) -> Option<f64> {
        let stage = self.stages.iter().find(|stage| offset >= stage.start && offset < stage.end)?;
        let line = stage.lines().find(|[from, to]| offset >= from.0 && offset < to.0)?;
        Some(level_on(line, offset))
    }

    /// The mean of the level asked for between two offsets in seconds; outside the stages it is zero.
    /// Of the load that scenarios share.
    pub fn mean_level(&self, from: f64, to: f64) -> f64 {
        mean_level(&self.stages, from, to)
    }

    /// The stage and phase that something due at an offset (nanoseconds) within the stages belongs to.
    pub fn place(&self, due: u64) -> (Phase, Option<u16>) {
        self.place_until(0, due).1
    }

    /// The same of one of the loads (0: the shared one, then [`Shape::own_loads`]), behind the offset
    /// (nanoseconds) until which nothing due belongs elsewhere.
    pub fn place_until(&self, load: usize, due: u64) -> (u64, (Phase, Option<u16>)) {
        let own = load.checked_sub(1);
        let stages = own.and_then(|own| self.own_loads.get(own)).map_or(&self.stages, |load| &load.stages);
        let before = own.map_or(0, |own| {
            self.stages.len() + self.own_loads.iter().take(own).map(|load| load.stages.len()).sum::<usize>()
        });
        // Compared in whole nanoseconds: seconds written as a fraction may miss a boundary by a hair.
        let nanos = |seconds: f64| (seconds * 1e9).round() as u64;
        let warmup = nanos(self.warmup);
        let (phase, phase_end) =
            if due < warmup { (Phase::Warmup, warmup) } else { (Phase::Measured, u64::MAX) };
        let last = stages.len().saturating_sub(1);
        let stage = stages.partition_point(|stage| nanos(stage.end) <= due).min(last);
        let stage_end = stages.get(..last).and_then(|stages| stages.get(stage));
        let until = phase_end.min(stage_end.map_or(u64::MAX, |stage| nanos(stage.end)));
        (until, (phase, (!stages.is_empty()).then_some((before + stage) as u16)))
    }

    /// Where sliding windows may lie. The end is open while a run that ends by iterations goes on.
    pub fn span(&self) -> Span {
        Span {
            first_second: self.warmup.ceil() as u64,
            end_second: self.iterations.is_none().then(|| self.stages_end().floor() as u64),
            stages: self.all_stages().map(|(stage, _)| (stage.start, stage.end)).collect(),
            spikes: self
                .all_stages()
                .zip(0..)
                .filter(|((stage, _), _)| stage.kind == "spike")
                .map(|(_, index)| index)
                .collect(),
        }
    }
}

/// Each counts exactly at the thresholds of the objectives about it.
fn measures(plan: &RunPlan) -> Vec<MeasureShape> {
    let shape = |(index, measure): (usize, &crate::PlannedMeasure)| {
        let is_own = |value: &OwnValue| usize::from(value.index) == index;
        let own = plan
            .objectives
            .iter()
            .filter(|objective| objective.expression.measure.own().as_ref().is_some_and(is_own));
        MeasureShape {
            name: measure.name,
            form: measure.form,
            unit: measure.unit,
            edges: measure.unit.edges(own.filter_map(|objective| objective.expression.threshold())),
        }
    };
    plan.measures.iter().enumerate().map(shape).collect()
}

fn load_shape(model: &LoadModel) -> (Model, Vec<StageShape>) {
    match model {
        LoadModel::Open { stages, .. } => (Model::Open, stage_shapes::<Rate>(stages)),
        LoadModel::Closed { stages, .. } => (Model::Closed, stage_shapes::<Users>(stages)),
    }
}

pub(crate) fn end_of(stages: &[StageShape]) -> f64 {
    stages.last().map_or(0.0, |stage| stage.end)
}

fn peak(stages: &[StageShape]) -> f64 {
    stages.iter().map(StageShape::peak).fold(0.0, f64::max)
}

pub(crate) fn mean_level(stages: &[StageShape], from: f64, to: f64) -> f64 {
    let within = stages.iter().filter(|stage| stage.start < to && stage.end > from);
    mean_of(within.flat_map(StageShape::lines), from, to)
}

/// The mean of a line over a part of it is the level in its middle.
fn mean_of(lines: impl Iterator<Item = Line>, from: f64, to: f64) -> f64 {
    let part = |line: Line| {
        let (start, end) = (line[0].0.max(from), line[1].0.min(to));
        if start < end { level_on(line, (start + end) / 2.0) * (end - start) } else { 0.0 }
    };
    lines.map(part).sum::<f64>() / (to - from)
}

/// The course of one load, of which any part is found without a look at the rest.
pub(crate) struct Course(Vec<Line>);

impl Course {
    pub(crate) fn of(stages: &[StageShape]) -> Self {
        Self(stages.iter().flat_map(StageShape::lines).collect())
    }

    /// Where it may bend or jump, in seconds from the start.
    pub(crate) fn corners(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flatten().map(|(offset, _)| *offset)
    }

    /// The mean of its level between two offsets in seconds.
    pub(crate) fn mean(&self, from: f64, to: f64) -> f64 {
        let (_, rest) = self.0.split_at(self.0.partition_point(|line| line[1].0 <= from));
        mean_of(rest.iter().copied().take_while(|line| line[0].0 < to), from, to)
    }
}

/// The highest level between two offsets in seconds.
pub(crate) fn peak_level(stages: &[StageShape], from: f64, to: f64) -> f64 {
    let within =
        stages.iter().flat_map(StageShape::lines).filter(|[start, end]| start.0 < to && end.0 > from);
    let highest = |line: Line| {
        let [start, end] = [line[0].0.max(from), line[1].0.min(to)].map(|offset| level_on(line, offset));
        start.max(end)
    };
    within.map(highest).fold(0.0, f64::max)
}

fn stage_shapes<L: Level>(stages: &[Stage<L>]) -> Vec<StageShape> {
    let (mut base, mut start) = (0.0, std::time::Duration::ZERO);
    let mut shapes = Vec::with_capacity(stages.len());
    for stage in stages {
        let end = start + stage.length;
        let mut course = Vec::new();
        let (from, to) = match &stage.kind {
            StageKind::Ramp(level) => (base, level.amount()),
            StageKind::Hold(level) | StageKind::Spike(level) => (level.amount(), level.amount()),
            StageKind::Pause => (0.0, 0.0),
            StageKind::Schedule(curve) | StageKind::Replay(curve) => {
                course =
                    curve.points().iter().map(|(at, level)| ((start + *at).as_secs_f64(), *level)).collect();
                (course.first().map_or(0.0, |first| first.1), course.last().map_or(0.0, |last| last.1))
            }
        };
        if !matches!(stage.kind, StageKind::Spike(_) | StageKind::Pause) {
            base = to;
        }
        shapes.push(StageShape {
            kind: stage.kind.label().to_owned(),
            start: start.as_secs_f64(),
            end: end.as_secs_f64(),
            from,
            to,
            course,
        });
        start = end;
    }
    shapes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shape(stages: Vec<StageShape>, warmup: f64) -> Shape {
        Shape {
            plan: "p".into(),
            plan_hash: "h".into(),
            model: Model::Open,
            scenarios: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            stages,
            own_loads: Vec::new(),
            warmup,
            grace: 0.0,
            iterations: None,
            edges: Edges::default(),
            objectives: Vec::new(),
            addresses: Vec::new(),
            measures: Vec::new(),
            limits: Limits::default(),
        }
    }

    fn stage(start: f64, end: f64, from: f64, to: f64) -> StageShape {
        StageShape { kind: "hold".into(), start, end, from, to, course: Vec::new() }
    }

    #[test]
    fn a_stage_along_a_curve_has_its_levels() {
        let at = std::time::Duration::from_secs;
        let points = vec![(at(0), 10.0), (at(2), 30.0), (at(2), 5.0), (at(4), 5.0)];
        let pause = Stage { kind: StageKind::Pause, length: at(1) };
        let curve = plimsoll_workload::Curve::new(points).unwrap();
        let stages = stage_shapes::<Rate>(&[pause, Stage::along(curve, StageKind::Schedule)]);
        let shape = shape(stages, 0.0);
        assert_eq!((shape.peak(), shape.stages_end()), (30.0, 5.0));
        let levels = [0.5, 1.0, 2.0, 3.5, 5.0].map(|offset| shape.level_at(offset));
        assert_eq!(levels, [Some(0.0), Some(10.0), Some(20.0), Some(5.0), None]);
        let means = [0.0, 1.0, 2.0, 3.0].map(|second| shape.mean_level(second, second + 1.0));
        assert_eq!(means, [0.0, 15.0, 25.0, 5.0]);
        assert_eq!(shape.mean_level(2.5, 3.5), (27.5 * 0.5) + (5.0 * 0.5));
    }

    #[test]
    fn the_rate_asked_for_in_a_second_is_its_mean() {
        let stages =
            vec![stage(0.0, 0.3, 500.0, 500.0), stage(0.3, 0.5, 0.0, 0.0), stage(0.5, 2.5, 0.0, 100.0)];
        let shape = shape(stages, 0.0);
        let means = [0.0, 1.0, 2.0, 3.0].map(|second| shape.mean_level(second, second + 1.0));
        // 150 arrivals of the hold and 6.25 of the ramp; then 50 and 43.75 of it.
        for (mean, expected) in means.into_iter().zip([156.25, 50.0, 43.75, 0.0]) {
            assert!((mean - expected).abs() < 1e-9, "{means:?}");
        }
    }

    #[test]
    fn loads_beside_each_other_have_their_own_places_and_add_up() {
        let mut shape = shape(vec![stage(0.0, 4.0, 100.0, 100.0), stage(4.0, 6.0, 50.0, 50.0)], 1.0);
        let load = |scenario, model, stages| LoadShape { scenario, model, stages };
        shape.own_loads = vec![
            load(1, Model::Closed, vec![stage(0.0, 9.0, 7.0, 7.0)]),
            load(2, Model::Open, vec![stage(0.0, 2.0, 0.0, 0.0), stage(2.0, 5.0, 10.0, 10.0)]),
        ];
        let at = |load, seconds: u64| shape.place_until(load, seconds * 1_000_000_000).1.1;
        assert_eq!([at(0, 0), at(0, 5), at(1, 5), at(2, 1), at(2, 4)], [0, 1, 2, 3, 4].map(Some));
        assert_eq!((shape.stages_end(), shape.peak_rate()), (9.0, 110.0));
        assert_eq!([0.0, 3.0, 4.0, 8.0].map(|at| shape.mean_rate(at, at + 1.0)), [100.0, 110.0, 60.0, 0.0]);
        assert_eq!(
            [0, 1, 2].map(|scenario| shape.model_of(scenario)),
            [Model::Open, Model::Closed, Model::Open]
        );
        assert_eq!(shape.span().stages.len(), 5);
    }

    #[test]
    fn what_is_due_at_a_boundary_belongs_to_what_begins_there() {
        for millis in 1..5000 {
            let boundary = std::time::Duration::from_millis(millis);
            let seconds = boundary.as_secs_f64();
            let stages = vec![stage(0.0, seconds, 1.0, 1.0), stage(seconds, 9.0, 1.0, 1.0)];
            let shape = shape(stages, seconds);
            let due = boundary.as_nanos() as u64;
            assert_eq!(shape.place(due - 1), (Phase::Warmup, Some(0)), "{millis} ms");
            assert_eq!(shape.place(due), (Phase::Measured, Some(1)), "{millis} ms");
            assert_eq!(shape.place_until(0, 0).0, due, "{millis} ms");
            assert_eq!(shape.place_until(0, due).0, u64::MAX, "{millis} ms: nothing begins after the last");
        }
    }
}
