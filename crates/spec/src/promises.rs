//! Other ways to say what is promised, made into ordinary objectives before anything is read: the five-line short form,
//! and the objectives of SLA files that are about requests of this plan.

use plimsoll_sla::{Events, Expression, Sla};

use crate::diagnostic::{Finding, Place};
use crate::read::Reader;
use crate::tree::{Entry, Node, Scalar, Value};
use crate::words;

/// Keys of the short form and the objective that each begins.
const SHORT: [(&str, &str); 10] = [
    ("max_average_latency", "mean(response_time) <="),
    ("max_p50_latency", "p50(response_time) <="),
    ("max_p75_latency", "p75(response_time) <="),
    ("max_p90_latency", "p90(response_time) <="),
    ("max_p95_latency", "p95(response_time) <="),
    ("max_p99_latency", "p99(response_time) <="),
    ("max_p99_9_latency", "p99.9(response_time) <="),
    ("max_latency", "max(response_time) <="),
    ("max_error_rate", "error_ratio <="),
    ("min_throughput", "throughput >="),
];

/// Makes `sla: { max_p95_latency: 500ms }` a list of objectives.
pub(crate) fn expand(reader: &mut Reader<'_>, root: &mut Node) {
    let Some(sla) = get_mut(root, "sla") else { return };
    let Value::Map(_) = &sla.value else { return };
    if reader.object(sla, &words::SHORT).is_none() {
        return;
    }
    let Value::Map(entries) = &sla.value else { return };
    let objectives = entries.iter().filter_map(|entry| {
        let (_, beginning) = SHORT.iter().find(|(key, _)| *key == entry.key)?;
        let scalar = reader.scalar(&entry.node, "a value")?;
        let objective = format!("{beginning} {}", scalar.text().trim());
        if let Err(error) = Expression::parse(&objective) {
            reader.expected(&entry.node, &error.allowed, None);
            return None;
        }
        let place = entry.node.place;
        Some(map(place, &[("name", &entry.key), ("objective", &objective)]))
    });
    sla.value = Value::List(objectives.collect());
}

/// Adds the objectives of SLA files that are about this plan.
pub(crate) fn add(reader: &mut Reader<'_>, root: &mut Node) {
    let slas = reader.inputs.slas;
    let Some(name) = root.get("name").and_then(Node::scalar).map(Scalar::text) else { return };
    let of_plan = |sla: &&Sla| matches!(&sla.events, Events::Runs(runs) if runs.plan == name);
    let added: Vec<Node> = slas.iter().filter(of_plan).filter_map(|sla| objective(reader, sla)).collect();
    if added.is_empty() {
        return;
    }
    let Value::Map(entries) = &mut root.value else { return };
    if !entries.iter().any(|entry| entry.key == "sla") {
        let place = added.first().map_or(root.place, |node| node.place);
        let node = Node { place, value: Value::List(Vec::new()) };
        entries.push(Entry { key: "sla".to_owned(), key_place: place, node });
    }
    // What else it may be is told where it is read.
    if let Some(Value::List(items)) = get_mut(root, "sla").map(|sla| &mut sla.value) {
        items.extend(added);
    }
}

/// The objective of a run that counts the events of an SLA.
fn objective(reader: &mut Reader<'_>, sla: &Sla) -> Option<Node> {
    let Events::Runs(runs) = &sla.events else { return None };
    let objective = runs.objective(sla.slo.target.share());
    let source = reader.sources.add(&format!("the SLA {}", sla.slo.name), &objective);
    let place = Place { source, start: 0, end: objective.len() };
    let mut node = map(place, &[("name", &sla.slo.name), ("objective", &objective), ("message", &sla.title)]);
    let Value::Map(entries) = &mut node.value else { return None };
    let entry = |key: &str, node: Node| Entry { key: key.to_owned(), key_place: place, node };
    if let Some(over) = runs.over() {
        entries.push(entry("over", text(place, &format!("{over}s"))));
    }
    let chosen = [("scenario", &runs.scenario), ("step", &runs.step)];
    let chosen: Vec<_> = chosen.iter().filter_map(|(key, name)| Some((*key, name.as_deref()?))).collect();
    if !chosen.is_empty() {
        entries.push(entry("where", map(place, &chosen)));
    }
    Some(node)
}

fn map(place: Place, pairs: &[(&str, &str)]) -> Node {
    let entries = pairs.iter().map(|(key, value)| Entry {
        key: (*key).to_owned(),
        key_place: place,
        node: text(place, value),
    });
    Node { place, value: Value::Map(entries.collect()) }
}

fn text(place: Place, text: &str) -> Node {
    Node { place, value: Value::Scalar(Scalar::new(text, false)) }
}

fn get_mut<'n>(root: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut root.value else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
}

/// Says that a file of SLAs promises nothing of a plan.
pub(crate) fn about_others(reader: &mut Reader<'_>, root: &Node) {
    let slas = reader.inputs.slas;
    let Some(name) = root.get("name") else { return };
    let plans: Vec<&str> = slas
        .iter()
        .filter_map(|sla| match &sla.events {
            Events::Runs(runs) => Some(runs.plan.as_str()),
            _ => None,
        })
        .collect();
    let is_meant = name.scalar().is_some_and(|name| plans.contains(&name.text().as_str()));
    if slas.is_empty() || is_meant {
        return;
    }
    let finding = Finding::error(name.place, "none of the SLAs is about runs of this plan");
    reader.report(match &plans[..] {
        [] => finding.help("their events come from elsewhere: `plimsoll serve` judges them"),
        plans => finding
            .help(format!("they are about runs of {}", crate::diagnostic::listed(plans.iter().copied()))),
    });
}
