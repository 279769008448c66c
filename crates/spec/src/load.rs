//! `load`: stages or a preset, of arrivals or of users.

use std::str::FromStr;
use std::time::Duration;

use plimsoll_run::{Load, LoadModel};
use plimsoll_units::{ParseError, Rate, Users, duration};
use plimsoll_workload::{Level, Preset, RateProfile, Spacing, Stage, StageKind, UserProfile};

use crate::diagnostic::{Finding, Place};
use crate::read::{Object, Reader};
use crate::tree::Node;
use crate::words::{self, MOST_IN_FLIGHT, Table};

const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// What bounds a run that ends by its number of iterations, unless the plan says.
const LONGEST_COUNTED: Duration = Duration::from_secs(24 * 3600);
/// What `max_in_flight` may become by itself. A larger number is a decision that a plan has to make.
const MOST_IN_FLIGHT_BY_ITSELF: f64 = 100_000.0;

/// A load, and where its parts stand.
pub(crate) struct ReadLoad {
    pub(crate) load: Load,
    pub(crate) place: Place,
    /// Where the first stage stands, or the preset.
    pub(crate) first_stage: Place,
}

/// What tells the two models apart.
trait Unit: Level + FromStr<Err = ParseError> {
    /// What a level is, with an article.
    const WHAT: &'static str;
    /// Why a level of the other model cannot stand here.
    const CONTRADICTION: &'static str;
    const HELP: &'static str;
    fn belongs_to_other(text: &str) -> bool;
    fn scaled(self, factor: f64) -> Self;
}

impl Unit for Rate {
    const WHAT: &'static str = "a rate";
    const CONTRADICTION: &'static str = "the open model has rates of arrivals, not users";
    const HELP: &'static str = "write a rate like `500/s`, or `model: closed` for virtual users";

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

    fn belongs_to_other(text: &str) -> bool {
        text.parse::<Rate>().is_ok()
    }

    fn scaled(self, factor: f64) -> Self {
        Self((f64::from(self.0) * factor).round() as u32)
    }
}

/// Reads the load. `timeout` is the longest a step may take, which bounds what is in flight.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, timeout: Duration) -> Option<ReadLoad> {
    let object = reader.object(node, &words::LOAD)?;
    let closed = object.get("model").and_then(|node| reader.word(node, "a model", &["open", "closed"]));
    let mut length = Some(Duration::ZERO);
    let mut first_stage = object.place;
    let mut counted = false;
    let model = if closed == Some("closed") {
        for key in ["arrivals", "max_in_flight"] {
            if object.get(key).is_some() {
                let message = format!("`{key}` belongs to the open model, and this load is closed");
                reader.report(Finding::error(object.key_place(key), message).help("leave it out"));
            }
        }
        let stages = stages::<Users>(reader, &object);
        counted = stages.as_ref().is_some_and(|stages| stages.iterations.is_some());
        stages.map(|read| {
            (length, first_stage) = (read.length, read.place);
            no_load(reader, &read, UserProfile::new(&read.stages).peak() == 0);
            LoadModel::Closed { stages: read.stages, iterations: read.iterations }
        })
    } else {
        let spacing = match object.get("arrivals") {
            Some(node) => reader.word(node, "a spacing of arrivals", &["uniform", "poisson"]),
            None => None,
        };
        let spacing = if spacing == Some("poisson") { Spacing::Poisson } else { Spacing::Uniform };
        let asked = object.get("max_in_flight");
        let asked = asked.and_then(|node| reader.whole(node, "a number of iterations", 1..=MOST_IN_FLIGHT));
        stages::<Rate>(reader, &object).map(|read| {
            (length, first_stage) = (read.length, read.place);
            if let Some(iterations) = read.iterations {
                let message =
                    format!("`iterations: {iterations}` belongs to the closed model, and this load is open");
                reader.report(Finding::error(read.place, message).help("write `model: closed` and users"));
            }
            let peak = RateProfile::new(&read.stages).peak();
            no_load(reader, &read, peak == 0.0);
            let by_itself = (peak * timeout.as_secs_f64()).ceil().clamp(1.0, MOST_IN_FLIGHT_BY_ITSELF);
            let max_in_flight = asked.map_or(by_itself as u32, |asked| asked as u32);
            LoadModel::Open { stages: read.stages, spacing, max_in_flight }
        })
    };
    let warmup = object.get("warmup").and_then(|node| reader.duration(node)).unwrap_or_default();
    if let (Some(length), Some(node), false) = (length, object.get("warmup"), counted)
        && model.is_some()
        && warmup >= length
    {
        let message = format!(
            "the warm-up takes {}, and the stages end after {}",
            duration::format(warmup),
            duration::format(length)
        );
        reader.report(Finding::error(node.place, message).help("leave something to be measured"));
    }
    let grace = object.get("grace").map_or(Some(DEFAULT_GRACE), |node| reader.duration(node))?;
    Some(ReadLoad { load: Load { model: model?, warmup, grace }, place: object.place, first_stage })
}

fn no_load<L>(reader: &mut Reader<'_>, read: &Stages<L>, is_none: bool) {
    if is_none {
        reader.error(read.place, "the stages offer no load at all");
    }
}

struct Stages<L> {
    stages: Vec<Stage<L>>,
    iterations: Option<u64>,
    /// `None`: something was wrong with a length.
    length: Option<Duration>,
    place: Place,
}

/// Stages or a preset. `None` where something about them is wrong.
fn stages<L: Unit>(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<Stages<L>> {
    let read = match (object.get("stages"), object.get("preset")) {
        (Some(_), Some(preset)) => {
            let finding = Finding::error(preset.place, "`load` has both `stages` and a `preset`");
            reader.report(finding.help("leave one of them out"));
            return None;
        }
        (None, None) => {
            let finding = Finding::error(object.place, "`load` has neither `stages` nor a `preset`");
            reader.report(finding.help("write `stages: [{ hold: 100/s, for: 30s }]`"));
            return None;
        }
        (Some(stages), None) => {
            for key in ["base", "for"] {
                if object.get(key).is_some() {
                    let message = format!("`{key}` belongs to a `preset`, and there is none");
                    reader.report(Finding::error(object.key_place(key), message).help("leave it out"));
                }
            }
            listed(reader, stages)?
        }
        (None, Some(preset)) => from_preset(reader, object, preset)?,
    };
    let length: Duration = read.stages.iter().map(|stage| stage.length).sum();
    if length > duration::LONGEST {
        reader.error(read.place, "the stages last more than ten years");
        return None;
    }
    Some(Stages { length: Some(length), ..read })
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
    Some(Stages { stages, iterations: None, length: None, place: node.place })
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
    (reader.findings.len() == errors).then_some(Stages { stages, iterations, length: None, place })
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
