//! Objectives over `resources`: whether a source of the plan can tell the figure, and whether anybody could judge it.

use plimsoll_measure::{ResourceFigure, Timing};
use plimsoll_run::{ResourceOrigin, ResourceSource};
use plimsoll_sla::{Expression, OfResource, ResourceName};

use crate::diagnostic::{Finding, Place, listed};
use crate::read::{Object, Reader};
use crate::tree::{Node, Value, shortened};
use crate::variables::hint;

/// What `/proc` tells of a process.
const OF_PROCESS: [&str; 7] =
    ["cpu", "cpu_ratio", "memory", "open_fds", "threads", "disk_read", "disk_write"];
/// What it tells of a machine.
const OF_HOST: [&str; 9] = [
    "cpu",
    "cpu_ratio",
    "memory",
    "memory_available",
    "run_queue",
    "network_in",
    "network_out",
    "disk_read",
    "disk_write",
];

/// Whole seconds of like load, and readings in them, that a leak takes to be seen or ruled out.
const LEAK_SECONDS: f64 = 60.0;
const LEAK_READINGS: f64 = 40.0;

/// Where figures come from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'s> {
    all: &'s [ResourceSource],
    /// One that could not be read may be the one that is meant: then nothing is said about names.
    is_complete: bool,
}

impl<'s> Sources<'s> {
    /// `node` is what they were read from.
    pub(crate) fn of(node: &Node, all: &'s [ResourceSource]) -> Self {
        let is_complete = matches!(&node.value, Value::Map(entries) if entries.len() == all.len());
        Self { all, is_complete }
    }

    /// Whether one of them, and no other, may tell this figure; else that is reported.
    pub(crate) fn tell(&self, reader: &mut Reader<'_>, node: &Node, name: &ResourceName) -> bool {
        let place = place_of(reader, node, name);
        match self.is_complete.then(|| source_of(name, self.all)) {
            Some(Err(finding)) => {
                reader.report(finding.at(place));
                false
            }
            Some(Ok(_)) | None => true,
        }
    }
}

/// What is said about an objective, where it is over a resource that is told. `measured` is how many whole seconds the
/// stages measure, where that is known.
pub(crate) fn check(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    node: &Node,
    expression: &Expression,
    (sources, over): (Sources<'_>, Option<u32>),
    measured: Option<f64>,
) {
    let Some((of, name)) = expression.measure.resource() else { return };
    of_the_whole_target(reader, object, of);
    let Ok(source) = source_of(name, sources.all) else { return };
    let interval = source.interval.as_secs_f64();
    if let (Some(over), Some(node)) = (over, object.get("over"))
        && f64::from(over) < 2.0 * interval
        && of != OfResource::Leak
    {
        let looks = format!("`{}` is looked at every {interval} s", source.name);
        let finding =
            Finding::error(node.place, format!("a window of {over} s may have no reading: {looks}"));
        reader.report(finding.help(format!("write `over: {}s` or more", 2.0 * interval)));
    }
    let needed = LEAK_SECONDS.max(LEAK_READINGS * interval);
    if let (OfResource::Leak, Some(measured)) = (of, measured)
        && measured < needed
    {
        let needs = format!("that takes {needed} s at like load, and the stages measure {measured} s");
        let finding = Finding::warning(node.place, format!("nobody will know whether it leaks: {needs}"));
        reader.report(finding.help("the objective will be inconclusive: measure for longer"));
    }
}

/// Where a name stands in an objective, else the objective.
fn place_of(reader: &Reader<'_>, node: &Node, name: &ResourceName) -> Place {
    let text = node.scalar().map(|scalar| scalar.text()).unwrap_or_default();
    match text.find(name.as_str()) {
        Some(at) => reader.within(node, &(at..at + name.as_str().len())),
        None => node.place,
    }
}

/// A resource is no matter of single requests, and a leak none of single seconds.
fn of_the_whole_target(reader: &mut Reader<'_>, object: &Object<'_>, of: OfResource) {
    let requests =
        object.get("where").into_iter().flat_map(|node| ["step", "scenario"].map(|key| (node, key)));
    for (node, key) in requests.collect::<Vec<_>>() {
        if let Some(found) = node.get(key) {
            let finding = Finding::error(found.place, format!("`{key}` has no meaning for a resource"));
            reader
                .report(finding.help(
                    "what a target uses is not told by request; `where: { stage: 1 }` chooses a stage",
                ));
        }
    }
    if of != OfResource::Leak {
        return;
    }
    for key in ["over", "where", "abort_after"] {
        if object.get(key).is_some() {
            let finding = Finding::error(object.key_place(key), format!("`{key}` has no meaning for a leak"));
            reader.report(finding.help("it is looked for in everything measured, at like load, at the end"));
        }
    }
}

/// The source that is meant, else what is wrong with the name.
fn source_of<'s>(name: &ResourceName, sources: &'s [ResourceSource]) -> Result<&'s ResourceSource, Finding> {
    let figure = shortened(name.figure());
    if let Some(wanted) = name.source() {
        let Some(source) = sources.iter().find(|source| source.name == wanted) else {
            let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            let finding =
                Finding::error(None, format!("no resource of the plan is called `{}`", shortened(wanted)));
            let finding = finding.help(format!("there are {}", listed(names.iter().copied())));
            return Err(match hint(wanted, names) {
                Some(hint) => finding.label(hint),
                None => finding,
            });
        };
        if !may_tell(source, name) {
            let finding = Finding::error(None, format!("`{}` does not tell `{figure}`", shortened(wanted)));
            return Err(unknown(finding, name, std::slice::from_ref(source)));
        }
        return Ok(source);
    }
    let telling: Vec<_> = sources.iter().filter(|source| may_tell(source, name)).collect();
    match telling[..] {
        [] => {
            let finding = Finding::error(None, format!("no resource of the plan tells `{figure}`"));
            Err(unknown(finding, name, sources))
        }
        [source] => Ok(source),
        [..] => {
            let finding = Finding::error(None, format!("several resources of the plan may tell `{figure}`"));
            let choices: Vec<_> =
                telling.iter().map(|source| format!("{}.{}", source.name, name.figure())).collect();
            let choices = listed(choices.iter().map(String::as_str));
            Err(finding.help(format!("say which one is meant: {choices}")))
        }
    }
}

/// Adds what may have been meant, and what there is.
fn unknown(finding: Finding, name: &ResourceName, sources: &[ResourceSource]) -> Finding {
    let told: Vec<&str> = sources.iter().flat_map(told).collect();
    let mut words = told.clone();
    if name.source().is_none() {
        words.extend(Timing::ALL.map(Timing::name));
    }
    let hint = hint(name.base(), words);
    let finding = if let Some(hint) = hint { finding.label(hint) } else { finding };
    let has_endpoint = sources.iter().any(|source| matches!(source.origin, ResourceOrigin::Metrics(_)));
    let told: std::collections::BTreeSet<_> = told.into_iter().collect();
    finding.help(match has_endpoint {
        true => {
            format!("there are {}; add a metric of another name to `metrics` of its endpoint", listed(told))
        }
        false => format!("there are {}", listed(told)),
    })
}

/// Figures that a source may tell, without labels.
fn told(source: &ResourceSource) -> Vec<&str> {
    match &source.origin {
        ResourceOrigin::Host => OF_HOST.to_vec(),
        ResourceOrigin::Process(_) | ResourceOrigin::Port(_) => OF_PROCESS.to_vec(),
        ResourceOrigin::Metrics(endpoint) => {
            ResourceFigure::KNOWN.into_iter().chain(endpoint.metrics.iter().map(String::as_str)).collect()
        }
    }
}

fn may_tell(source: &ResourceSource, name: &ResourceName) -> bool {
    // Every gauge of such a name is kept.
    let is_share = matches!(source.origin, ResourceOrigin::Metrics(_)) && name.base().ends_with("_ratio");
    is_share || told(source).contains(&name.base())
}
