//! `sla`: what is promised, and whether anybody could ever judge it.

use std::collections::{BTreeSet, HashSet};

use plimsoll_measure::Timing;
use plimsoll_run::{Action, LoadModel, Scenario, StepShape};
use plimsoll_sla::{Bound, Expression, Filter, Measure, Objective, OwnValue, Severity};
use plimsoll_workload::{Stage, StageKind};

use crate::diagnostic::{Finding, Place, listed};
use crate::load::ReadLoad;
use crate::read::{Object, Reader};
use crate::resource_objectives::{self, Sources};
use crate::tree::{Node, shortened};
use crate::variables::hint;
use crate::words;

/// What objectives are about.
pub(crate) struct Subject<'s> {
    /// `None` where the load could not be read: then nothing is said about time.
    pub(crate) load: Option<&'s ReadLoad>,
    pub(crate) scenarios: &'s [Scenario],
    pub(crate) steps: &'s [StepShape],
    /// Whether any request can use TLS.
    pub(crate) uses_tls: bool,
    /// What is taken from replies.
    pub(crate) measures: &'s [OwnValue],
    /// Where figures of the target come from; `None` where the plan has no `resources`.
    pub(crate) resources: Option<Sources<'s>>,
}

impl Subject<'_> {
    /// The steps whose replies a value is taken from, and whether those are all that are measured.
    fn carriers(&self, value: OwnValue) -> (BTreeSet<u16>, bool) {
        let (mut carriers, mut all) = (BTreeSet::new(), true);
        for scenario in self.scenarios {
            Action::requests(&scenario.actions, &mut |request| {
                let takes = request.measures.iter().any(|measure| measure.measure == value.index);
                all &= takes;
                carriers.extend(takes.then_some(request.step));
            });
        }
        (carriers, all)
    }
}

/// Reads the objectives; with each, where it stands.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, subject: &Subject<'_>) -> Vec<(Objective, Place)> {
    let mut names = HashSet::new();
    let timeline = subject.load.map(|load| Timeline::of(load, subject.scenarios));
    let mut objectives = Vec::new();
    for item in reader.list(node, "objectives") {
        let Some(object) = reader.object(item, &words::OBJECTIVE) else { continue };
        let Some(node) = object.get("objective") else { continue };
        let objective = objective(reader, &object, node, subject, timeline.as_ref());
        let name = match object.get("name") {
            Some(node) => reader.name(node).map(|name| (name, node.place)),
            None => reader.name(node).map(|text| (text, node.place)),
        };
        let Some((name, place)) = name else { continue };
        if !names.insert(name.clone()) {
            let message = format!("two objectives are called `{}`", shortened(&name));
            reader.report(Finding::error(place, message).help("give one of them another `name`"));
        }
        if let Some(objective) = objective {
            objectives.push((Objective { name, ..objective }, object.place));
        }
    }
    objectives
}

/// Whether it is about what happens beyond the limit, so that no run at one load can judge it.
pub(crate) fn is_of_overload(objective: &Objective) -> bool {
    objective.expression.measure == Measure::GoodputRetained
}

/// An objective, its name apart.
fn objective(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    node: &Node,
    subject: &Subject<'_>,
    timeline: Option<&Timeline>,
) -> Option<Objective> {
    let text = reader.text(node, "an objective like `p95(response_time) <= 250ms`");
    let expression = text.as_deref().and_then(|text| expression(reader, node, text, subject));
    let mut filter =
        object.get("where").map(|node| filter(reader, node, subject, timeline)).unwrap_or_default();
    let over_node = object.get("over");
    let over = over_node.and_then(|node| reader.seconds(node));
    let abort_node = object.get("abort_after");
    let abort_after = abort_node.and_then(|node| reader.seconds(node));
    let severity = object.get("severity");
    let severity = severity.and_then(|node| reader.word(node, "a severity", &["critical", "warning"]));
    let message = object.get("message").and_then(|node| reader.text(node, "a message"));
    if let (Some(node), None) = (abort_node, over_node) {
        let finding = Finding::error(node.place, "`abort_after` needs `over`");
        reader.report(
            finding
                .help("without a window the objective is judged at the end, when there is nothing to abort"),
        );
    }
    let expression = expression?;
    if expression.measure.timing() == Some(Timing::TlsTime) && !subject.uses_tls {
        let finding = Finding::error(node.place, "nobody can compute this: no request uses TLS");
        reader.report(finding.help("the target and every URL start with `http://`"));
    }
    if expression.measure == Measure::GoodputRetained {
        of_overload(reader, object, node, timeline);
    }
    if expression.measure == Measure::RecoveryTime {
        of_spikes(reader, object, node, subject);
    }
    if let Some(sources) = subject.resources {
        let measured = timeline.filter(|timeline| !timeline.counted);
        let measured = measured.map(|timeline| timeline.measured_seconds(None));
        resource_objectives::check(reader, object, node, &expression, (sources, over), measured);
    }
    if let Some(value) = expression.measure.own() {
        narrow(reader, object, value, subject, &mut filter);
    }
    if let Bound::Stage { stage, .. } = expression.bound {
        stage_bound(reader, node, stage, &filter, timeline);
        if let Some(over) = over_node {
            let finding = Finding::error(over.place, "a comparison with a stage has no window");
            reader.report(finding.help("leave `over` out: stages are compared as a whole"));
        }
    }
    if let (Some(over), Some(node), Some(timeline)) = (over, over_node, timeline) {
        window(reader, node, over, filter.stage, timeline);
    }
    Some(Objective {
        name: String::new(),
        text: text?,
        expression,
        over,
        filter,
        abort_after,
        severity: if severity == Some("warning") { Severity::Warning } else { Severity::Critical },
        message,
    })
}

/// `plimsoll limit --overload` judges it over requests of its own, in the open model.
fn of_overload(reader: &mut Reader<'_>, object: &Object<'_>, node: &Node, timeline: Option<&Timeline>) {
    for key in ["over", "where", "abort_after"] {
        if object.get(key).is_some() {
            let message = format!("`{key}` has no meaning for `goodput_retained`");
            let finding = Finding::error(object.key_place(key), message);
            reader.report(finding.help("it is judged over all requests of `plimsoll limit --overload`"));
        }
    }
    if timeline.is_some_and(|timeline| timeline.is_closed) {
        let finding = Finding::error(node.place, "nobody can compute this: the load is users");
        reader
            .report(finding.help("users wait for answers, so that nobody can offer several times the limit"));
    }
}

/// The recovery is that of all requests after each spike of the load.
fn of_spikes(reader: &mut Reader<'_>, object: &Object<'_>, node: &Node, subject: &Subject<'_>) {
    for key in ["over", "where", "abort_after"] {
        if object.get(key).is_some() {
            let message = format!("`{key}` has no meaning for `recovery_time`");
            let finding = Finding::error(object.key_place(key), message);
            reader.report(finding.help("it is judged over all requests after each spike"));
        }
    }
    fn has_spike<L>(stages: &[Stage<L>]) -> bool {
        stages.iter().any(|stage| matches!(stage.kind, StageKind::Spike(_)))
    }
    let own = subject.scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
    let spikes = |load: &LoadModel| match load {
        LoadModel::Open { stages, .. } => has_spike(stages),
        LoadModel::Closed { stages, .. } => has_spike(stages),
    };
    let Some(shared) = subject.load else { return };
    if !std::iter::once(&shared.load.model).chain(own).any(spikes) {
        let finding = Finding::error(node.place, "nobody can compute this: the load has no spike");
        reader.report(
            finding.help("a stage `{ spike: 2000/s, for: 20s }` is one, and then a hold to recover in"),
        );
    }
}

/// Of the requests in the filter only those are looked at whose replies may have the value.
fn narrow(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    value: OwnValue,
    subject: &Subject<'_>,
    filter: &mut Filter,
) {
    let (carriers, all) = subject.carriers(value);
    if all {
        return;
    }
    let steps: BTreeSet<u16> = match &filter.steps {
        Some(chosen) => chosen.intersection(&carriers).copied().collect(),
        None => carriers,
    };
    if steps.is_empty() && !reader.has_errors() {
        let place = object.key_place("where");
        let finding = Finding::error(place, format!("no step here measures `{}`", value.name));
        reader.report(finding.help("add it to the `measure` of a step, or choose the steps that have it"));
    }
    let scenarios = steps.iter().filter_map(|step| subject.steps.get(usize::from(*step))?.scenario_index);
    filter.scenarios = Some(scenarios.collect());
    filter.steps = Some(steps);
}

fn expression(reader: &mut Reader<'_>, node: &Node, text: &str, subject: &Subject<'_>) -> Option<Expression> {
    if let Some(sources) = subject.resources
        && let Some(name) = Expression::resource_in(text, subject.measures)
        && !sources.tell(reader, node, &name)
    {
        return None;
    }
    let read = match subject.resources {
        Some(_) => Expression::parse_beside(text, subject.measures),
        None => Expression::parse_with(text, subject.measures),
    };
    match read {
        Ok(expression) => Some(expression),
        Err(error) => {
            let found = error.found.trim_matches('`').len().max(1);
            let end = (error.column + found).min(text.len());
            let place = reader.within(node, &(error.column.min(end)..end));
            let mut finding =
                Finding::error(place, format!("{} does not belong here in an objective", error.found))
                    .help(format!("write {}", error.allowed));
            if let Some(suggestion) = error.suggestion {
                finding = finding.label(format!("did you mean `{suggestion}`?"));
            }
            reader.report(finding);
            None
        }
    }
}

/// When stages start and end, in seconds, and what of them is measured.
struct Timeline {
    /// Start and end of each stage, and whether it offers load.
    stages: Vec<(f64, f64, bool)>,
    warmup: f64,
    /// The run may end before its stages do.
    counted: bool,
    /// Users, not arrivals.
    is_closed: bool,
}

impl Timeline {
    fn of(read: &ReadLoad, scenarios: &[Scenario]) -> Self {
        let own = scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
        let loads: Vec<_> = std::iter::once(&read.load.model).chain(own).collect();
        let stages = loads.iter().flat_map(|load| match load {
            LoadModel::Open { stages, .. } => spans(stages),
            LoadModel::Closed { stages, .. } => spans(stages),
        });
        Self {
            stages: stages.collect(),
            warmup: read.load.warmup.as_secs_f64(),
            counted: loads.iter().all(|load| load.may_end_early()),
            is_closed: loads.iter().all(|load| matches!(load, LoadModel::Closed { .. })),
        }
    }

    fn end(&self) -> f64 {
        self.stages.iter().fold(0.0, |latest, (_, end, _)| end.max(latest))
    }

    /// Whole seconds that windows may cover, in one stage or in all.
    fn measured_seconds(&self, stage: Option<u16>) -> f64 {
        let (start, end) = match stage.and_then(|stage| self.stages.get(usize::from(stage))) {
            Some((start, end, _)) => (start.max(self.warmup), *end),
            None => (self.warmup, self.end()),
        };
        (end.floor() - start.ceil()).max(0.0)
    }
}

fn spans<L>(stages: &[Stage<L>]) -> Vec<(f64, f64, bool)> {
    let mut start = 0.0;
    let spans = stages.iter().map(|stage| {
        let span = (start, start + stage.length.as_secs_f64(), !matches!(stage.kind, StageKind::Pause));
        start = span.1;
        span
    });
    spans.collect()
}

fn window(reader: &mut Reader<'_>, node: &Node, over: u32, stage: Option<u16>, timeline: &Timeline) {
    let seconds = timeline.measured_seconds(stage);
    if timeline.counted || f64::from(over) <= seconds {
        return;
    }
    let what = if stage.is_some() { "the stage has" } else { "the stages have" };
    let message =
        format!("a window of {over} s is never full: {what} {seconds} whole seconds that are measured");
    reader.report(
        Finding::error(node.place, message).help("shorten `over`, or leave it out to judge the whole run"),
    );
}

fn stage_bound(
    reader: &mut Reader<'_>,
    node: &Node,
    stage: u16,
    filter: &Filter,
    timeline: Option<&Timeline>,
) {
    if filter.stage == Some(stage) {
        reader.error(node.place, format!("this compares stage {stage} with itself"));
    }
    if let Some(timeline) = timeline {
        measured_stage(reader, node, stage, timeline);
    }
}

/// Whether a stage exists and has something to look at.
fn measured_stage(reader: &mut Reader<'_>, node: &Node, stage: u16, timeline: &Timeline) -> bool {
    let Some((_, end, offers)) = timeline.stages.get(usize::from(stage)) else {
        let last = timeline.stages.len().saturating_sub(1);
        let finding = Finding::error(node.place, format!("there is no stage {stage}"));
        reader.report(finding.help(format!("stages are counted from 0; the last one is {last}")));
        return false;
    };
    let nothing = if !offers {
        Some("it is a pause")
    } else if *end <= timeline.warmup {
        Some("it lies within the warm-up")
    } else {
        None
    };
    if let Some(why) = nothing {
        reader.error(node.place, format!("nobody can judge stage {stage}: {why}"));
    }
    nothing.is_none()
}

fn filter(
    reader: &mut Reader<'_>,
    node: &Node,
    subject: &Subject<'_>,
    timeline: Option<&Timeline>,
) -> Filter {
    let Some(object) = reader.object(node, &words::WHERE) else { return Filter::default() };
    let mut filter = Filter::default();
    if let Some(node) = object.get("scenario") {
        let names = subject.scenarios.iter().map(|scenario| scenario.name.as_str());
        let chosen = chosen(reader, node, "scenario", &names.collect::<Vec<_>>());
        filter.scenarios = Some(chosen.into_iter().map(|index| index as u16).collect());
    }
    let wanted = filter.scenarios.clone();
    let in_scope = |shape: &StepShape| {
        let index = shape.scenario_index?;
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&index)).then_some(index)
    };
    if let Some(node) = object.get("step") {
        // Steps outside the chosen scenarios keep their place in the list, without a name to match.
        let names = subject.steps.iter().map(|shape| in_scope(shape).map_or("", |_| shape.step.as_str()));
        let chosen = chosen(reader, node, "step", &names.collect::<Vec<_>>());
        filter.scenarios =
            Some(chosen.iter().filter_map(|index| subject.steps[*index].scenario_index).collect());
        filter.steps = Some(chosen.into_iter().map(|index| index as u16).collect());
    } else if filter.scenarios.is_some() {
        let steps = subject.steps.iter().enumerate().filter(|(_, shape)| in_scope(shape).is_some());
        filter.steps = Some(steps.map(|(index, _)| index as u16).collect());
    }
    if let Some(node) = object.get("stage")
        && let Some(stage) = reader.whole(node, "the position of a stage", 0..=u64::from(u16::MAX))
    {
        let stage = stage as u16;
        if timeline.is_none_or(|timeline| measured_stage(reader, node, stage, timeline)) {
            filter.stage = Some(stage);
        }
    }
    filter
}

/// Positions of all that have one of the names.
fn chosen(reader: &mut Reader<'_>, node: &Node, what: &str, names: &[&str]) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    let items = reader.one_or_more(node);
    if items.is_empty() {
        reader.expected(node, &format!("at least one {what}"), None);
    }
    for item in items {
        let Some(wanted) = reader.text(item, &format!("the name of a {what}")) else { continue };
        let before = chosen.len();
        chosen.extend(names.iter().enumerate().filter(|(_, name)| **name == wanted).map(|(index, _)| index));
        if chosen.len() == before && !names.contains(&wanted.as_str()) {
            let known: BTreeSet<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
            let message = format!("no {what} that is measured is called `{}`", shortened(&wanted));
            let mut finding = Finding::error(item.place, message);
            if let Some(hint) = hint(&wanted, known.iter().copied()) {
                finding = finding.label(hint);
            }
            reader.report(finding.help(format!("there are {}", listed(known))));
        }
    }
    chosen
}
