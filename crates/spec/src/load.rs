//! `load`: stages, a preset or a schedule, of arrivals or of users; the plan's, and those of single scenarios.

use std::str::FromStr;
use std::time::Duration;

use plimsoll_run::{Load, LoadModel, Scenario, UserLimits};
use plimsoll_units::{ParseError, Rate, Users, duration};
use plimsoll_workload::{Level, Preset, RateProfile, Spacing, Stage, StageKind, UserProfile};

use crate::diagnostic::{Finding, Place};
use crate::read::{Object, Reader};
use crate::schedule;
use crate::steps::ReadSteps;
use crate::tree::Node;
use crate::words::{self, MOST_IN_FLIGHT, Table};

const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// What bounds a run that ends by its number of iterations, unless the plan says.
const LONGEST_COUNTED: Duration = Duration::from_secs(24 * 3600);
/// What `max_in_flight` may become by itself. A larger number is a decision that a plan has to make.
pub(crate) const MOST_IN_FLIGHT_BY_ITSELF: f64 = 100_000.0;

/// A load, and where its parts stand.
pub(crate) struct ReadLoad {
    pub(crate) load: Load,
    pub(crate) place: Place,
    /// Where the first stage stands, or the preset.
    pub(crate) first_stage: Place,
}

/// A model, and what is known of its stages.
struct ReadModel {
    model: LoadModel,
    first_stage: Place,
}

/// What tells the two models apart.
trait Unit: Level + FromStr<Err = ParseError> {
    /// What a level is, with an article.
    const WHAT: &'static str;
    /// Why a level of the other model cannot stand here.
    const CONTRADICTION: &'static str;
    const HELP: &'static str;
    /// Whether files say it over time.
    const HAS_SCHEDULES: bool;
    fn belongs_to_other(text: &str) -> bool;
    fn scaled(self, factor: f64) -> Self;
}

impl Unit for Rate {
    const WHAT: &'static str = "a rate";
    const CONTRADICTION: &'static str = "the open model has rates of arrivals, not users";
    const HELP: &'static str = "write a rate like `500/s`, or `model: closed` for virtual users";
    const HAS_SCHEDULES: bool = true;

    fn belongs_to_other(text: &str) -> bool {
        text.contains("user") && text.parse::<Users>().is_ok()
    }

    fn scaled(self, factor: f64) -> Self {
        self.times(factor)
    }
}

impl Unit for Users {
    const WHAT: &'static str = "a number of users";
    const CONTRADICTION: &'static str = "the closed model has users, not rates of arrivals";
    const HELP: &'static str = "write users like `64 users`, or `model: open` for arrivals per second";
    const HAS_SCHEDULES: bool = false;

    fn belongs_to_other(text: &str) -> bool {
        text.parse::<Rate>().is_ok()
    }

    fn scaled(self, factor: f64) -> Self {
        Self((f64::from(self.0) * factor).round() as u32)
    }
}

/// Reads the plan's load. `timeout` is the longest a step may take, which bounds what is in flight.
///
/// Where every scenario has its own load, nobody shares the plan's, which then has no stages: what is left
/// is a plan whose first scenario is the only one that shares.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    timeout: Duration,
    scenarios: &mut [Scenario],
    place: Place,
) -> Option<ReadLoad> {
    let object = match node {
        Some(node) => Some(reader.object(node, &words::LOAD)?),
        None => None,
    };
    let place = object.map_or(place, |object| object.place);
    let says = |key: &str| object.is_some_and(|object| object.get(key).is_some());
    let nobody_shares = !scenarios.is_empty() && scenarios.iter().all(|scenario| scenario.load.is_some());
    let read = match (object, nobody_shares) {
        (None, false) => {
            let finding = Finding::error(place, format!("{} has no `load`", words::PLAN.name));
            reader.report(finding.help(words::PLAN.about("load")));
            None
        }
        (Some(object), true) if SHAPES.iter().any(|(key, _)| says(key)) => {
            let finding =
                Finding::error(object.place, "every scenario has its own load: nobody shares this one");
            reader.report(finding.help("leave its stages out, or a scenario's own `load`"));
            None
        }
        (_, true) => {
            let first = scenarios.first_mut();
            first.and_then(|first| Some(ReadModel { model: first.load.take()?, first_stage: place }))
        }
        (Some(object), false) => model(reader, &object, timeout),
    };
    let get = |key: &str| object.and_then(|object| object.get(key));
    let warmup = get("warmup").and_then(|node| reader.duration(node)).unwrap_or_default();
    if let (Some(ReadModel { model, .. }), Some(node)) = (&read, get("warmup")) {
        let own = scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
        let longest = own.chain([model]).map(LoadModel::length).max().unwrap_or_default();
        if warmup >= longest && !model.may_end_early() {
            let message = format!(
                "the warm-up takes {}, and the stages end after {}",
                duration::format(warmup),
                duration::format(longest)
            );
            reader.report(Finding::error(node.place, message).help("leave something to be measured"));
        }
    }
    let grace = get("grace").map_or(Some(DEFAULT_GRACE), |node| reader.duration(node))?;
    let ReadModel { model, first_stage } = read?;
    Some(ReadLoad { load: Load { model, warmup, grace }, place, first_stage })
}

/// Reads a scenario's own load, which begins so long after the start of the run.
pub(crate) fn own(
    reader: &mut Reader<'_>,
    node: &Node,
    timeout: Duration,
    start_after: Duration,
) -> Option<LoadModel> {
    fn later<L>(stages: &mut Vec<Stage<L>>, length: Duration) {
        if !length.is_zero() {
            stages.insert(0, Stage { kind: StageKind::Pause, length });
        }
    }
    let object = reader.object(node, &words::OWN_LOAD)?;
    let ReadModel { mut model, .. } = model(reader, &object, timeout)?;
    match &mut model {
        LoadModel::Open { stages, .. } => later(stages, start_after),
        LoadModel::Closed { stages, .. } => later(stages, start_after),
    }
    if model.length() > duration::LONGEST {
        reader.error(object.place, "the load lasts more than ten years");
        return None;
    }
    Some(model)
}

fn model(reader: &mut Reader<'_>, object: &Object<'_>, timeout: Duration) -> Option<ReadModel> {
    let model = object.get("model").and_then(|node| reader.word(node, "a model", &["open", "closed"]));
    if model == Some("closed") {
        foreign(reader, object, &["arrivals", "max_in_flight", "schedule"], "open", "closed");
        let limits = user_limits(reader, object);
        let read = stages::<Users>(reader, object)?;
        if let (Some(_), Some(node)) = (read.iterations, object.get("iterations")) {
            reader.error(node.place, "`iterations` stands in the stage already");
        }
        no_load(reader, &read, UserProfile::new(&read.stages).peak() == 0);
        let limits = UserLimits { iterations: read.iterations.or(limits.iterations), ..limits };
        let model = LoadModel::Closed { stages: read.stages, limits };
        return Some(ReadModel { model, first_stage: read.place });
    }
    foreign(reader, object, &["iterations", "iterations_per_user", "at_most"], "closed", "open");
    let spacing = match object.get("arrivals") {
        Some(node) => reader.word(node, "a spacing of arrivals", &["uniform", "poisson"]),
        None => None,
    };
    let spacing = if spacing == Some("poisson") { Spacing::Poisson } else { Spacing::Uniform };
    let asked = object.get("max_in_flight");
    let asked = asked.and_then(|node| reader.whole(node, "a number of iterations", 1..=MOST_IN_FLIGHT));
    let read = stages::<Rate>(reader, object)?;
    if let Some(iterations) = read.iterations {
        let message =
            format!("`iterations: {iterations}` belongs to the closed model, and this load is open");
        reader.report(Finding::error(read.place, message).help("write `model: closed` and users"));
    }
    let peak = RateProfile::new(&read.stages).peak();
    no_load(reader, &read, peak == 0.0);
    let by_itself = (peak * timeout.as_secs_f64()).ceil().clamp(1.0, MOST_IN_FLIGHT_BY_ITSELF);
    let max_in_flight = asked.map_or(by_itself as u32, |asked| asked as u32);
    let model = LoadModel::Open { stages: read.stages, spacing, max_in_flight };
    Some(ReadModel { model, first_stage: read.place })
}

/// Only users who come again have a pace.
pub(crate) fn pacing(reader: &mut Reader<'_>, shared: Option<&ReadLoad>, steps: &ReadSteps) {
    for (scenario, place) in &steps.pacings {
        let own = steps.scenarios.get(*scenario).and_then(|scenario| scenario.load.as_ref());
        let model = own.or(shared.map(|shared| &shared.load.model));
        if let Some(LoadModel::Open { .. }) = model {
            let finding =
                Finding::error(*place, "`pacing` belongs to the closed model, and this load is open");
            reader.report(finding.help("an open load has a rate of arrivals: leave `pacing` out"));
        }
    }
}

/// Complains about keys that only the other model has.
fn foreign(reader: &mut Reader<'_>, object: &Object<'_>, keys: &[&str], theirs: &str, this: &str) {
    for key in keys.iter().filter(|key| object.get(key).is_some()) {
        let message = format!("`{key}` belongs to the {theirs} model, and this load is {this}");
        reader.report(Finding::error(object.key_place(key), message).help("leave it out"));
    }
}

fn user_limits(reader: &mut Reader<'_>, object: &Object<'_>) -> UserLimits {
    let mut count = |key: &str| {
        object.get(key).and_then(|node| reader.whole(node, "a number of iterations", 1..=u64::MAX))
    };
    let (iterations, per_user) = (count("iterations"), count("iterations_per_user"));
    let at_most = object.get("at_most").and_then(|node| {
        let rate = reader.quantity::<Rate>(node, "a rate of iterations")?;
        if rate == Rate::ZERO {
            reader.expected(node, "a rate above zero", None);
        }
        (rate != Rate::ZERO).then_some(rate)
    });
    UserLimits { iterations, per_user, at_most }
}

fn no_load<L>(reader: &mut Reader<'_>, read: &Stages<L>, is_none: bool) {
    if is_none {
        reader.error(read.place, "the stages offer no load at all");
    }
}

struct Stages<L> {
    stages: Vec<Stage<L>>,
    iterations: Option<u64>,
    place: Place,
}

/// What says how the load goes, and how it is named in a sentence.
const SHAPES: [(&str, &str); 3] =
    [("stages", "`stages`"), ("preset", "a `preset`"), ("schedule", "a `schedule`")];

/// Keys that one of them has beside it.
const BESIDE: [(&str, &str); 3] = [("base", "preset"), ("for", "preset"), ("interpolate", "schedule")];

/// Stages, a preset or a schedule. `None` where something about them is wrong.
fn stages<L: Unit>(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<Stages<L>> {
    let found: Vec<_> =
        SHAPES.iter().filter_map(|(key, name)| Some((*key, *name, object.get(key)?))).collect();
    let (shape, node) = match found.as_slice() {
        [(shape, _, node)] => (*shape, *node),
        [] => {
            let message = "`load` has neither `stages` nor a `preset` nor a `schedule`";
            let finding = Finding::error(object.place, message);
            reader.report(finding.help("write `stages: [{ hold: 100/s, for: 30s }]`"));
            return None;
        }
        [(_, one, _), (_, other, node), ..] => {
            let finding = Finding::error(node.place, format!("`load` has both {one} and {other}"));
            reader.report(finding.help("leave one of them out"));
            return None;
        }
    };
    for (key, owner) in BESIDE.iter().filter(|(key, owner)| *owner != shape && object.get(key).is_some()) {
        let message = format!("`{key}` belongs to a `{owner}`, and there is none");
        reader.report(Finding::error(object.key_place(key), message).help("leave it out"));
    }
    let read = match shape {
        "preset" => from_preset(reader, object, node)?,
        // The other model has none, which was said.
        "schedule" if !L::HAS_SCHEDULES => return None,
        "schedule" => {
            let stage = Stage::along(schedule::read(reader, object, node)?, StageKind::Schedule);
            Stages { stages: vec![stage], iterations: None, place: node.place }
        }
        _ => listed(reader, node)?,
    };
    let length: Duration = read.stages.iter().map(|stage| stage.length).sum();
    if length > duration::LONGEST {
        reader.error(read.place, "the stages last more than ten years");
        return None;
    }
    Some(read)
}

fn from_preset<L: Unit>(reader: &mut Reader<'_>, object: &Object<'_>, node: &Node) -> Option<Stages<L>> {
    let word = reader.word(node, "a preset", &Preset::ALL.map(Preset::label));
    let base = match object.get("base") {
        Some(base) => level::<L>(reader, base),
        None => {
            let finding = Finding::error(node.place, "a preset needs a `base`");
            reader.report(finding.help(format!("`base` is {} that the preset multiplies", L::WHAT)));
            None
        }
    };
    let length = object.get("for").map(|node| reader.some_time(node));
    let preset = Preset::from_label(word?)?;
    let length = length.unwrap_or(Some(preset.default_length()))?;
    // A tenth of a shorter preset is no stage worth the name.
    const SHORTEST: Duration = Duration::from_secs(1);
    if length < SHORTEST {
        reader.error(object.key_place("for"), "a preset takes at least 1s");
        return None;
    }
    let stages = preset.stages(base?, length, L::scaled);
    Some(Stages { stages, iterations: None, place: node.place })
}

fn listed<L: Unit>(reader: &mut Reader<'_>, node: &Node) -> Option<Stages<L>> {
    let errors = reader.findings.len();
    let items = reader.some(node, "stages");
    if items.len() > usize::from(u16::MAX) {
        reader.error(node.place, format!("there are more than {} stages", u16::MAX));
        return None;
    }
    let mut iterations = None;
    let mut stages = Vec::new();
    for item in items {
        let Some((stage, counted)) = stage::<L>(reader, item) else { continue };
        if counted.is_some() && items.len() > 1 {
            let finding = Finding::error(item.place, "a stage with `iterations` must be the only one");
            reader.report(finding.help("the run ends when the iterations were started, wherever it is"));
        }
        iterations = iterations.or(counted);
        stages.push(stage);
    }
    let place = items.first().map_or(node.place, |first| first.place);
    (reader.findings.len() == errors).then_some(Stages { stages, iterations, place })
}

fn stage<L: Unit>(reader: &mut Reader<'_>, node: &Node) -> Option<(Stage<L>, Option<u64>)> {
    const KINDS: [(&str, &Table); 4] = [
        ("ramp", &words::RAMP),
        ("hold", &words::HOLD),
        ("spike", &words::SPIKE),
        ("pause", &words::PAUSE_STAGE),
    ];
    const HELP: &str = "a stage is `{ ramp: 500/s, over: 30s }`, `{ hold: 500/s, for: 5m }`, \
                        `{ spike: 2000/s, for: 20s }` or `{ pause: 10s }`";
    let found: Vec<_> = KINDS.iter().filter(|(kind, _)| node.get(kind).is_some()).collect();
    let [(kind, table)] = found.as_slice() else {
        reader.expected(node, "one of `ramp`, `hold`, `spike` and `pause`", Some(HELP));
        return None;
    };
    let object = reader.object(node, table)?;
    let value = object.get(kind)?;
    if *kind == "pause" {
        let length = reader.some_time(value)?;
        return Some((Stage { kind: StageKind::Pause, length }, None));
    }
    let level = level::<L>(reader, value);
    let iterations = match *kind {
        "hold" => object.get("iterations"),
        _ => None,
    };
    let counted = iterations.map(|node| reader.whole(node, "a number of iterations", 1..=u64::MAX));
    let length = match object.get(if *kind == "ramp" { "over" } else { "for" }) {
        Some(node) => reader.some_time(node),
        None if counted.is_some() => Some(LONGEST_COUNTED),
        None => {
            // For a ramp and a spike the table itself says so.
            if *kind == "hold" {
                reader.report(Finding::error(object.place, "a hold has no `for`").help(table.about("for")));
            }
            None
        }
    };
    let kind = match *kind {
        "ramp" => StageKind::Ramp(level?),
        "hold" => StageKind::Hold(level?),
        _ => StageKind::Spike(level?),
    };
    Some((Stage { kind, length: length? }, counted.flatten()))
}

fn level<L: Unit>(reader: &mut Reader<'_>, node: &Node) -> Option<L> {
    let text = reader.scalar(node, L::WHAT)?.text();
    if L::belongs_to_other(&text) {
        reader.report(Finding::error(node.place, L::CONTRADICTION).help(L::HELP));
        return None;
    }
    reader.quantity(node, L::WHAT)
}
