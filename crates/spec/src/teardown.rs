//! What undoes a run: its teardown, and of the plan only what its requests need.
//!
//! A run that was killed could not make its teardown. Whoever makes it later has the plan as the record keeps
//! it, and perhaps neither the tables and files that only the load needed nor the variables of its exports: none of that is asked for.

use plimsoll_run::{Action, RunPlan, Template, Variable};

use crate::diagnostic::Finding;
use crate::read::Reader;
use crate::tree::{Node, Value, load};
use crate::words::METHODS;

/// What of a plan teardown's requests need.
const NEEDED: [&str; 7] = ["name", "target", "http", "tls", "auth", "setup", "teardown"];

/// What of an entry of setup says which names teardown may know.
const NAMING: [&str; 13] = [
    "method", "url", "name", "capture", "set", "group", "steps", "repeat", "if", "else", "one_of", "weight",
    "parallel",
];

/// A plan is none without load; this one is never offered.
const NEVER: &str =
    "load: { stages: [{ hold: 1/s, for: 1s }] }\nscenarios: [{ name: none, steps: [{ get: / }] }]\n";

/// Leaves of a plan what undoes its run. Of one that was kept, a secret that was typed is gone.
pub(crate) fn prune(reader: &mut Reader<'_>, root: &mut Node, is_kept: bool) {
    let Value::Map(entries) = &mut root.value else { return };
    entries.retain(|entry| NEEDED.contains(&entry.key.as_str()));
    for entry in &mut *entries {
        if entry.key == "setup" {
            strip(&mut entry.node);
        } else if is_kept {
            missing_secrets(reader, &entry.node);
        }
    }
    let source = reader.sources.add("what is never offered", NEVER);
    if let Ok(Node { value: Value::Map(never), .. }) = load(NEVER, source, 0) {
        entries.extend(never);
    }
}

/// Leaves of setup's steps what names something: they are not made again.
fn strip(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(strip),
        Value::Map(entries) => {
            entries.retain(|entry| {
                NAMING.contains(&entry.key.as_str()) || METHODS.contains(&entry.key.as_str())
            });
            let within = ["steps", "else", "parallel", "one_of"];
            let lists = entries.iter_mut().filter(|entry| within.contains(&entry.key.as_str()));
            lists.for_each(|entry| strip(&mut entry.node));
        }
        Value::Scalar(_) | Value::Broken => {}
    }
}

pub(crate) fn missing_secrets(reader: &mut Reader<'_>, node: &Node) {
    match &node.value {
        Value::Scalar(scalar) if scalar.text().contains("***") => {
            let finding =
                Finding::error(node.place, "a secret was typed here, which the record does not keep");
            reader.report(finding.help("give the plan's own file with `--plan FILE`, or this value with `--set PATH=VALUE`; one that is written as `${NAME}` is taken from the environment again"));
        }
        Value::Scalar(_) | Value::Broken => {}
        Value::List(items) => items.iter().for_each(|item| missing_secrets(reader, item)),
        Value::Map(entries) => entries.iter().for_each(|entry| missing_secrets(reader, &entry.node)),
    }
}

/// What of teardown needs values that setup captured, by the names of its steps.
pub(crate) fn needs_setup(plan: &RunPlan) -> Vec<String> {
    let knows =
        |template: &Template| template.variables().any(|variable| matches!(variable, Variable::Setup(_)));
    let mut needing = Vec::new();
    Action::walk(&plan.teardown, &mut |action| match action {
        Action::Request(request) if request.templates().any(knows) => {
            let name = plan.steps.get(usize::from(request.step)).map(|shape| shape.step.clone());
            needing.extend(name);
        }
        Action::Set(values) => {
            needing
                .extend(values.iter().filter(|set| knows(&set.value)).map(|set| format!("set {}", set.name)));
        }
        Action::If(choice) if knows(&choice.value) => needing.push("if".to_owned()),
        _ => {}
    });
    needing
}
