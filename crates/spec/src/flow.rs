//! What steps a user takes and how often: groups, repetitions, choices, steps at once, steps made again.

use std::time::Duration;

use plimsoll_measure::Outcome;
use plimsoll_run::{
    Action, Assignment, Branch, Comparison, Expect, Group, GroupShape, If, Repeat, Retry, StatusRange, Until,
    Variable,
};

use crate::comparison;
use crate::diagnostic::{Finding, listed};
use crate::expect::{expect, is_jsonpath, status};
use crate::read::Reader;
use crate::sending::method;
use crate::steps::Walk;
use crate::template::template;
use crate::tree::{Entry, Node, Value, shortened};
use crate::words;

/// The most times that something is repeated: more is a scenario of its own.
pub(crate) const MOST_TIMES: u64 = 1_000_000;
/// The most tries of a request after the first.
pub(crate) const MOST_RETRIES: u64 = 100;

const DEFAULT_BACKOFF: Duration = Duration::from_millis(100);
const DEFAULT_EVERY: Duration = Duration::from_secs(1);
const DEFAULT_UNTIL: Duration = Duration::from_secs(30);

/// The keys that make an entry something else than a request or a pause.
const DIRECTIONS: [&str; 6] = ["group", "repeat", "if", "one_of", "parallel", "set"];

/// Which of them an entry is, if it is any.
pub(crate) fn direction(node: &Node) -> Option<&'static str> {
    DIRECTIONS.into_iter().find(|key| node.get(key).is_some())
}

/// Everything in these steps that sends a request, at whatever depth.
pub(crate) fn entries_within<'n>(node: &'n Node, seen: &mut impl FnMut(&'n Node)) {
    let Value::List(items) = &node.value else { return };
    for item in items {
        seen(item);
        for key in ["steps", "else", "parallel", "one_of"] {
            if let Some(inner) = item.get(key) {
                entries_within(inner, seen);
            }
        }
    }
}

impl Walk<'_> {
    /// Reads an entry that directs others.
    pub(crate) fn directed(&mut self, reader: &mut Reader<'_>, key: &str, node: &Node) -> Option<Action> {
        if let Some((method, _)) = method(node) {
            let message = format!("an entry is either a step or `{key}`: it has `{method}` too");
            reader.report(Finding::error(node.place, message).help("write the step below `steps`"));
            return None;
        }
        match key {
            "group" => self.group(reader, node),
            "repeat" => self.repeat(reader, node),
            "if" => self.choice(reader, node),
            "one_of" => self.one_of(reader, node),
            "parallel" => self.parallel(reader, node),
            _ => self.set(reader, node),
        }
    }

    fn group(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::GROUP)?;
        let name = object.get("group").and_then(|node| self.group_name(reader, node));
        let actions = object.get("steps").map(|node| self.actions(reader, node));
        Some(Action::Group(Group { group: self.group_index(name?), actions: actions? }))
    }

    fn group_name(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<String> {
        let name = reader.name(node)?;
        if self.labels.groups.iter().any(|group| group.group == name) {
            let message = format!("two groups of `{}` are called `{}`", self.scenario, shortened(&name));
            reader.report(Finding::error(node.place, message).help("give one of them another name"));
        }
        Some(name)
    }

    fn group_index(&mut self, group: String) -> u16 {
        let scenario = self.scenario.clone();
        self.labels.groups.push(GroupShape { scenario, scenario_index: self.scenario_index, group });
        u16::try_from(self.labels.groups.len() - 1).unwrap_or(u16::MAX)
    }

    fn repeat(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::REPEAT)?;
        let times = object.get("repeat").and_then(|node| times(reader, node));
        let actions = object.get("steps").map(|node| self.actions(reader, node));
        let (min, max) = times?;
        Some(Action::Repeat(Repeat { min, max, actions: actions? }))
    }

    fn choice(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::IF)?;
        let condition = object.get("if").and_then(|node| self.condition(reader, node));
        let lists = [object.get("steps"), object.get("else")];
        let mut branches = self.branches(reader, &lists).into_iter();
        let then = branches.next().flatten();
        let otherwise = branches.next().flatten().unwrap_or_default();
        let (value, is) = condition?;
        Some(Action::If(If { value, is, then: then?, otherwise }))
    }

    fn condition(
        &mut self,
        reader: &mut Reader<'_>,
        node: &Node,
    ) -> Option<(plimsoll_run::Template, Comparison)> {
        let object = reader.object(node, &words::CONDITION)?;
        let value = object.get("value").and_then(|node| template(reader, node, &self.scope));
        let is = comparison::words(reader, node);
        if matches!(&is, Some(Comparison::All(all)) if all.is_empty()) {
            let finding = Finding::error(node.place, "the condition does not say what the value must be");
            reader.report(finding.help("write `{ value: \"{{ stock }}\", above: 0 }`"));
            return None;
        }
        Some((value?, is?))
    }

    fn one_of(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::ONE_OF)?;
        let place = object.get("one_of")?;
        let errors = reader.findings.len();
        let mut weights = Vec::new();
        let mut lists = Vec::new();
        for item in reader.some(place, "branches") {
            let Some(branch) = reader.object(item, &words::BRANCH) else { continue };
            let weight = branch.get("weight");
            weights.push(weight.map_or(Some(1), |node| reader.whole(node, "a weight", 0..=1_000_000)));
            lists.push(branch.get("steps"));
        }
        let branches = self.branches(reader, &lists);
        if reader.findings.len() == errors && weights.iter().all(|weight| *weight == Some(0)) {
            let finding = Finding::error(place.place, "the weights are all zero");
            reader.report(finding.help("give one branch a weight above zero"));
        }
        let branches = weights
            .into_iter()
            .zip(branches)
            .filter_map(|(weight, actions)| Some(Branch { weight: weight? as u32, actions: actions? }));
        Some(Action::OneOf(branches.collect()))
    }

    /// Reads lists of steps of which one is taken. What one captures is unknown to the others, which may
    /// capture the same; afterwards all of it is known, though some of it may be missing.
    fn branches(&mut self, reader: &mut Reader<'_>, lists: &[Option<&Node>]) -> Vec<Option<Vec<Action>>> {
        let before = self.scope.captures.clone();
        let outside = self.elsewhere.clone();
        let mut all = before.clone();
        let mut read = Vec::with_capacity(lists.len());
        for list in lists {
            self.scope.captures.clone_from(&before);
            read.push(list.map(|list| self.actions(reader, list)));
            for (name, variable) in self.scope.captures.split_off(before.len()) {
                if let Variable::Capture(slot) = variable {
                    self.elsewhere.insert(name.clone(), slot);
                }
                if !all.iter().any(|(known, _)| *known == name) {
                    all.push((name, variable));
                }
            }
        }
        self.scope.captures = all;
        self.elsewhere = outside;
        read
    }

    fn parallel(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::PARALLEL)?;
        let list = object.get("parallel")?;
        for item in reader.some(list, "steps") {
            if let Some(key) = direction(item).or_else(|| item.get("pause").map(|_| "pause")) {
                let finding = Finding::error(item.place, format!("`{key}` cannot be done at the same time"));
                reader.report(finding.help("steps that are made at once are requests"));
                return None;
            }
        }
        // What they capture is there when all have ended: none of them can use it.
        let before = self.scope.captures.len();
        let mut captured = Vec::new();
        let mut actions = Vec::new();
        for item in reader.list(list, "steps") {
            actions.extend(self.action(reader, item));
            captured.extend(self.scope.captures.split_off(before));
            self.taken.clone_from(&captured);
        }
        self.taken.clear();
        self.scope.captures.extend(captured);
        let name = match object.get("name") {
            Some(node) => self.group_name(reader, node)?,
            None if self.labels.groups.iter().any(|group| group.group == UNNAMED) => {
                let message = format!("two groups of `{}` are called `{UNNAMED}`", self.scenario);
                reader.report(Finding::error(node.place, message).help("give this one a `name`"));
                return None;
            }
            None => UNNAMED.to_owned(),
        };
        Some(Action::Parallel(Group { group: self.group_index(name), actions }))
    }

    fn set(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        let object = reader.object(node, &words::SET)?;
        let mut assignments = Vec::new();
        for Entry { key, key_place, node } in reader.entries(object.get("set")?, "names and values") {
            let value = template(reader, node, &self.scope);
            if let (Some(slot), Some(value)) = (self.slot(reader, key, *key_place), value) {
                assignments.push(Assignment { name: key.clone(), slot, value });
            }
        }
        Some(Action::Set(assignments))
    }
}

/// What the group of steps at once is called that has no name.
const UNNAMED: &str = "parallel";

/// `3`, or `2..5` for anything between.
fn times(reader: &mut Reader<'_>, node: &Node) -> Option<(u32, u32)> {
    const WHAT: &str = "how often";
    let text = reader.scalar(node, WHAT)?.text();
    let (min, max) = text.split_once("..").unwrap_or((&text, &text));
    let number = |text: &str| {
        text.trim().replace('_', "").parse::<u32>().ok().filter(|times| u64::from(*times) <= MOST_TIMES)
    };
    match (number(min), number(max)) {
        (Some(min), Some(max)) if min <= max => Some((min, max)),
        _ => {
            let help = format!("write `3`, or `2..5` for anything between; at most {MOST_TIMES}");
            reader.expected(node, WHAT, Some(&help));
            None
        }
    }
}

/// Reads `retry`.
pub(crate) fn retry(reader: &mut Reader<'_>, node: &Node) -> Option<Retry> {
    let object = reader.object(node, &words::RETRY)?;
    let max = object.get("max").and_then(|node| reader.whole(node, "how many tries", 1..=MOST_RETRIES));
    let backoff = object.get("backoff").map_or(Some(DEFAULT_BACKOFF), |node| reader.duration(node));
    let (mut outcomes, mut statuses) = (Vec::new(), Vec::new());
    match object.get("on") {
        None => {
            outcomes = vec![Outcome::Connect, Outcome::Reset, Outcome::Timeout];
            statuses = vec![StatusRange { first: 502, last: 504 }];
        }
        Some(node) => {
            let items = reader.one_or_more(node);
            if items.is_empty() {
                reader.expected(node, "at least one kind of failure", None);
            }
            for item in items {
                failure(reader, item, &mut outcomes, &mut statuses)?;
            }
        }
    }
    Some(Retry { max: max? as u32, backoff: backoff?, outcomes, statuses })
}

/// A kind of failure: an outcome by its label, or a status.
fn failure(
    reader: &mut Reader<'_>,
    node: &Node,
    outcomes: &mut Vec<Outcome>,
    statuses: &mut Vec<StatusRange>,
) -> Option<()> {
    let text = reader.text(node, "a kind of failure")?;
    let failures =
        || Outcome::ALL.into_iter().filter(|outcome| outcome.is_failure() && *outcome != Outcome::Cut);
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        statuses.push(status(reader, node)?);
    } else if let Some(outcome) = failures().find(|outcome| outcome.label() == text) {
        outcomes.push(outcome);
    } else {
        let words = listed(failures().map(Outcome::label));
        let help = format!("write a status like `503` or `5xx`, or one of {words}");
        reader.expected(node, "a kind of failure", Some(&help));
        return None;
    }
    Some(())
}

/// Reads `until`.
pub(crate) fn until(reader: &mut Reader<'_>, node: &Node) -> Option<Until> {
    let object = reader.object(node, &words::UNTIL)?;
    let every = object.get("every").map_or(Some(DEFAULT_EVERY), |node| reader.some_time(node));
    let timeout = object.get("timeout").map_or(Some(DEFAULT_UNTIL), |node| reader.some_time(node));
    let expect = match (object.get("jsonpath"), object.get("expect")) {
        (Some(path), None) => {
            let text = reader.text(path, "a JSONPath")?;
            let is_path = is_jsonpath(reader, &text, path.place);
            let is = comparison::words(reader, node)?;
            if matches!(&is, Comparison::All(all) if all.is_empty()) {
                let finding = Finding::error(path.place, "it is not said what the match must become");
                reader.report(finding.help("write `{ jsonpath: \"$.state\", equals: done }`"));
                return None;
            }
            is_path.then(|| Expect { json: vec![(text, is)], ..Expect::default() })
        }
        (None, Some(node)) => expect(reader, node),
        _ => {
            let finding = Finding::error(object.place, "`until` has one of `jsonpath` and `expect`");
            reader.report(
                finding.help("write `{ jsonpath: \"$.state\", equals: done, every: 1s, timeout: 30s }`"),
            );
            None
        }
    };
    Some(Until { expect: expect?, every: every?, timeout: timeout? })
}
