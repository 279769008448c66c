//! `setup`, `scenarios`, `teardown`: what users do, step after step.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use plimsoll_run::{
    Action, Check, CheckShape, Expect, Feed, GroupShape, Header, LoadModel, OnFailure, Part, Request,
    Scenario, StepShape, Template, Variable,
};
use plimsoll_workload::{Mix, MixError, Pause};
use url::Url;

use crate::bodies::compressed;
use crate::diagnostic::{Finding, Place};
use crate::expect::expect;
use crate::flow::{direction, entries_within, retry, until};
use crate::http::{has_header, headers, take_userinfo};
use crate::measures::Measures;
use crate::pauses::pause;
use crate::read::{Object, Reader};
use crate::replay::{self, Around, ReadReplay};
use crate::sending::{line, method};
use crate::template::{Scope, joined, template_with};
use crate::tree::{Entry, Node, Value, shortened};
use crate::words;

/// Labels of setup's and teardown's steps, which no scenario may take.
const RESERVED: [&str; 2] = ["setup", "teardown"];

/// Everything that sends requests.
#[derive(Debug, Default)]
pub(crate) struct ReadSteps {
    pub(crate) setup: Vec<Action>,
    pub(crate) setup_captures: u16,
    pub(crate) teardown: Vec<Action>,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) steps: Vec<StepShape>,
    pub(crate) groups: Vec<GroupShape>,
    pub(crate) checks: Vec<CheckShape>,
    /// Where each scenario stands.
    pub(crate) places: Vec<Place>,
    /// Where the pacing of scenarios stands, by their index.
    pub(crate) pacings: Vec<(usize, Place)>,
    /// Logs that are replayed: feeds behind those of the plan.
    pub(crate) logs: Vec<Feed>,
}

/// Nodes of the three lists of steps.
pub(crate) struct StepNodes<'n> {
    pub(crate) setup: Option<&'n Node>,
    pub(crate) teardown: Option<&'n Node>,
    pub(crate) scenarios: Option<&'n Node>,
    /// The longest a step may take.
    pub(crate) timeout: Duration,
}

/// Reads all steps. `target` is where relative URLs lead.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    nodes: &StepNodes<'_>,
    feeds: &[Feed],
    target: Option<&Url>,
    measures: &Measures,
) -> ReadSteps {
    let mut read = ReadSteps::default();
    // Setup comes first, because its captures are known to all; its labels come after the scenarios'.
    let mut setup = Walk::new(feeds, target, "setup", None);
    if let Some(node) = nodes.setup {
        read.setup = setup.all(reader, node);
    }
    // Setup's own captures are slots of its one iteration; for everybody after it they are setup's.
    let names = setup.scope.captures.iter().map(|(name, _)| name.clone());
    let shared: Vec<_> = names.zip((0..=u16::MAX).map(Variable::Setup)).collect();
    if let Some(node) = nodes.scenarios {
        scenarios(reader, (node, nodes.timeout), &mut read, &shared, (feeds, measures), target);
    }
    let mut actions = std::mem::take(&mut read.setup);
    adopt(&mut read, setup.labels, &mut actions);
    read.setup = actions;
    let mut teardown = Walk::new(feeds, target, "teardown", None);
    teardown.slots = setup.slots;
    teardown.scope.captures = shared;
    if let Some(node) = nodes.teardown {
        read.teardown = teardown.all(reader, node);
    }
    read.setup_captures = teardown.slots as u16;
    let mut actions = std::mem::take(&mut read.teardown);
    adopt(&mut read, teardown.labels, &mut actions);
    read.teardown = actions;
    for (what, count) in
        [("steps", read.steps.len()), ("groups", read.groups.len()), ("checks", read.checks.len())]
    {
        if count > usize::from(u16::MAX) {
            let place = nodes.scenarios.map(|node| node.place);
            reader.error(place, format!("the plan has more than {} {what}", u16::MAX));
        }
    }
    read
}

impl ReadSteps {
    /// Appends a scenario that replays a log.
    fn replays(&mut self, walk: Walk<'_>, read: ReadReplay) {
        let ReadReplay { load, feed, replay, step, mut actions } = read;
        let (name, scenario_index) = (walk.scenario.clone(), walk.scenario_index);
        let mut labels = walk.labels;
        labels.steps.push(StepShape { scenario: name.clone(), scenario_index, step });
        adopt(self, labels, &mut actions);
        self.logs.push(feed);
        let (load, replay) = (Some(load), Some(replay));
        self.scenarios.push(Scenario { name, weight: 1, load, replay, actions, ..Scenario::default() });
    }
}

/// Labels that were numbered from 0 by whoever read a list of steps.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) steps: Vec<StepShape>,
    pub(crate) groups: Vec<GroupShape>,
    pub(crate) checks: Vec<CheckShape>,
}

/// Appends labels; what carries their numbers moves along.
fn adopt(read: &mut ReadSteps, own: Labels, actions: &mut [Action]) {
    // Beyond the limit the plan is refused anyway.
    let first = |known: usize| u16::try_from(known).unwrap_or(u16::MAX);
    let first_step = first(read.steps.len());
    let (first_group, first_check) = (first(read.groups.len()), first(read.checks.len()));
    read.steps.extend(own.steps);
    read.groups.extend(own.groups);
    read.checks.extend(own.checks);
    Action::walk_mut(actions, &mut |action| match action {
        Action::Request(request) => {
            request.step = request.step.saturating_add(first_step);
            let checks = request.checks.iter_mut();
            checks.for_each(|check| check.check = check.check.saturating_add(first_check));
        }
        Action::Group(group) | Action::Parallel(group) => {
            group.group = group.group.saturating_add(first_group);
        }
        Action::Pause(_) | Action::Set(_) | Action::Repeat(_) | Action::If(_) | Action::OneOf(_) => {}
    });
}

fn scenarios(
    reader: &mut Reader<'_>,
    (node, timeout): (&Node, Duration),
    read: &mut ReadSteps,
    shared: &[(String, Variable)],
    (feeds, measures): (&[Feed], &Measures),
    target: Option<&Url>,
) {
    let items = reader.some(node, "scenarios");
    if items.len() > usize::from(u16::MAX) {
        return reader.error(node.place, format!("there are more than {} scenarios", u16::MAX));
    }
    let mut names = HashSet::new();
    let mut weights_place = None;
    for (index, item) in items.iter().enumerate() {
        let Some(object) = reader.object(item, &words::SCENARIO) else { continue };
        let name = object.get("name").and_then(|node| scenario_name(reader, node, &mut names));
        if let Some(node) = object.get("replay") {
            let mut walk = Walk::new(feeds, target, &name.unwrap_or_default(), Some(index as u16));
            walk.scope.captures = shared.to_vec();
            let around = Around {
                scope: &walk.scope,
                measures: measures.of_step(None),
                timeout,
                feed: u16::try_from(feeds.len() + read.logs.len()).unwrap_or(u16::MAX),
            };
            if let Some(replay) = replay::read(reader, &object, node, &around) {
                read.replays(walk, replay);
                read.places.push(object.place);
            }
            continue;
        }
        let weight = match object.get("weight") {
            Some(node) => {
                weights_place.get_or_insert(node.place);
                reader.whole(node, "a weight", 0..=u64::from(u32::MAX)).map_or(1, |weight| weight as u32)
            }
            None => 1,
        };
        let think_time = object.get("think_time").and_then(|node| pause(reader, node));
        let think_time = think_time.filter(|pause| !pause.is_zero());
        let pacing = object.get("pacing").and_then(|node| reader.some_time(node));
        read.pacings.extend(object.get("pacing").map(|node| (index, node.place)));
        let Some(steps) = object.get("steps") else {
            let finding = Finding::error(object.place, "a scenario has no `steps`");
            reader.report(finding.help(words::SCENARIO.about("steps")));
            own_load(reader, &object, timeout);
            continue;
        };
        let name = name.unwrap_or_default();
        let mut walk = Walk::new(feeds, target, &name, Some(index as u16));
        walk.scope.captures = shared.to_vec();
        walk.measures = Some(measures);
        let errors = reader.findings.len();
        let mut actions = walk.all(reader, steps);
        let mut is_silent = true;
        Action::requests(&actions, &mut |_| is_silent = false);
        if is_silent && reader.findings.len() == errors {
            reader.expected(steps, "at least one step that sends a request", None);
        }
        // What is in flight of a load is bounded by how long its own requests may take.
        let load = own_load(reader, &object, Request::longest_timeout(&actions, timeout));
        adopt(read, walk.labels, &mut actions);
        let ends_with_pause = matches!(actions.last(), Some(Action::Pause(_)));
        if let Some(think_time) = think_time {
            actions = thinking(actions, think_time);
        }
        let think_time = think_time.filter(|_| !ends_with_pause);
        let captures = walk.slots as u16;
        let replay = None;
        read.scenarios.push(Scenario { name, weight, load, think_time, pacing, replay, actions, captures });
        read.places.push(object.place);
    }
    let sharing = read.scenarios.iter().filter(|scenario| scenario.load.is_none());
    let weights: Vec<u32> = sharing.map(|scenario| scenario.weight).collect();
    let place = weights_place.unwrap_or(node.place);
    match Mix::new(&weights, 0) {
        Ok(_) => {}
        Err(MixError::AllZero) if weights.is_empty() => {}
        Err(error @ MixError::AllZero) => {
            reader.report(
                Finding::error(place, error.to_string()).help("give one scenario a weight above zero"),
            );
        }
        Err(error @ MixError::TooFine { .. }) => {
            reader.report(Finding::error(place, error.to_string()).help("round the weights"));
        }
    }
}

/// A scenario's own load, and what contradicts it.
fn own_load(reader: &mut Reader<'_>, object: &Object<'_>, timeout: Duration) -> Option<LoadModel> {
    let start_after = object.get("start_after").map(|node| (node.place, reader.duration(node)));
    let Some(node) = object.get("load") else {
        if let Some((place, _)) = start_after {
            let finding =
                Finding::error(place, "`start_after` belongs to a scenario's own `load`, and it has none");
            reader.report(finding.help("write its `load`, or a `pause` as the first stage of the plan's"));
        }
        return None;
    };
    if let Some(weight) = object.get("weight") {
        let finding = Finding::error(weight.place, "a scenario has a `weight` or a `load` of its own");
        reader.report(finding.help("by weight it shares the plan's load: leave one of them out"));
    }
    let start_after = start_after.map_or(Some(Duration::ZERO), |(_, length)| length)?;
    crate::load::own(reader, node, timeout, start_after)
}

/// The actions with a pause between two that send requests, at whatever depth, where no other stands there.
fn thinking(actions: Vec<Action>, think_time: Pause) -> Vec<Action> {
    let within = |actions: &mut Vec<Action>| *actions = thinking(std::mem::take(actions), think_time);
    let mut thinking = Vec::with_capacity(2 * actions.len());
    let mut has_sent = false;
    for mut action in actions {
        if matches!(action, Action::Pause(_) | Action::Set(_)) {
            has_sent &= matches!(action, Action::Set(_));
            thinking.push(action);
            continue;
        }
        match &mut action {
            Action::Group(group) => within(&mut group.actions),
            Action::Repeat(repeat) => {
                within(&mut repeat.actions);
                if !matches!(repeat.actions.last(), Some(Action::Pause(_))) {
                    repeat.actions.push(Action::Pause(think_time));
                }
            }
            Action::If(choice) => {
                within(&mut choice.then);
                within(&mut choice.otherwise);
            }
            Action::OneOf(branches) => branches.iter_mut().for_each(|branch| within(&mut branch.actions)),
            Action::Request(_) | Action::Parallel(_) | Action::Pause(_) | Action::Set(_) => {}
        }
        if has_sent {
            thinking.push(Action::Pause(think_time));
        }
        // What is repeated ends with a pause of its own.
        has_sent = !matches!(action, Action::Repeat(_));
        thinking.push(action);
    }
    thinking
}

fn scenario_name(reader: &mut Reader<'_>, node: &Node, names: &mut HashSet<String>) -> Option<String> {
    let name = reader.name(node)?;
    if RESERVED.contains(&name.as_str()) {
        reader.error(
            node.place,
            format!("a scenario cannot be called `{name}`: that is the label of the plan's own"),
        );
    }
    if !names.insert(name.clone()) {
        reader.error(node.place, format!("two scenarios are called `{}`", shortened(&name)));
    }
    Some(name)
}

/// Reads the steps of one list, one after the other, and keeps what the next ones may name.
pub(crate) struct Walk<'w> {
    pub(crate) scope: Scope<'w>,
    target: Option<&'w Url>,
    pub(crate) scenario: String,
    pub(crate) scenario_index: Option<u16>,
    /// Capture slots handed out.
    pub(crate) slots: usize,
    pub(crate) labels: Labels,
    /// Captured where another way was taken: whoever captures the same takes the same slot.
    pub(crate) elsewhere: HashMap<String, u16>,
    /// Captured by steps that are made at the same time.
    pub(crate) taken: Vec<(String, Variable)>,
    names: HashSet<String>,
    /// What may be measured; `None` where nothing is, in setup and teardown.
    measures: Option<&'w Measures>,
}

impl<'w> Walk<'w> {
    fn new(feeds: &'w [Feed], target: Option<&'w Url>, scenario: &str, scenario_index: Option<u16>) -> Self {
        let iterates = scenario_index.is_some();
        let feeds = if iterates { feeds } else { &[] };
        Self {
            scope: Scope { feeds, iterates, ..Scope::default() },
            target,
            scenario: scenario.to_owned(),
            scenario_index,
            slots: 0,
            labels: Labels::default(),
            elsewhere: HashMap::new(),
            taken: Vec::new(),
            names: HashSet::new(),
            measures: None,
        }
    }

    /// Reads a whole list.
    fn all(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Action> {
        entries_within(node, &mut |item| {
            let Some(captures) = item.get("capture") else { return };
            let step = item.get("name").and_then(Node::scalar).map(|scalar| scalar.shown());
            let step = step.or_else(|| method(item).map(|(method, url)| default_name(&method, url)));
            if let Value::Map(entries) = &captures.value {
                let names = entries.iter().map(|entry| (entry.key.clone(), step.clone().unwrap_or_default()));
                self.scope.later.extend(names);
            }
        });
        self.actions(reader, node)
    }

    pub(crate) fn actions(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Action> {
        reader.list(node, "steps").iter().filter_map(|item| self.action(reader, item)).collect()
    }

    pub(crate) fn action(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        if node.get("pause").is_some() && method(node).is_none() {
            let object = reader.object(node, &words::PAUSE)?;
            return pause(reader, object.get("pause")?).map(Action::Pause);
        }
        if node.get("pause").is_some() {
            let finding = Finding::error(node.place, "a pause is a step of its own");
            reader.report(finding.help("write `- pause: 1s` before or after this step"));
            return None;
        }
        if let Some(key) = direction(node) {
            return self.directed(reader, key, node);
        }
        self.request(reader, node).map(|request| Action::Request(Box::new(request)))
    }

    fn request(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Request> {
        let object = reader.object(node, &words::REQUEST)?;
        let (method, url_node) = line(reader, &object)?;
        let name = self.name(reader, &object, &method, url_node);
        let url = self.url(reader, url_node);
        let query = object.get("query").and_then(|node| self.query(reader, node));
        let mut headers =
            object.get("headers").map(|node| headers(reader, node, &self.scope)).unwrap_or_default();
        let body = self.body(reader, &object, &mut headers);
        let gzip = compressed(reader, &object, &headers).unwrap_or(false);
        let timeout = object.get("timeout").and_then(|node| reader.some_time(node));
        let auth = object.get("auth").and_then(|node| reader.word(node, "`none`", &["none"]));
        let expect = object.get("expect").and_then(|node| expect(reader, node)).unwrap_or_default();
        let captures = object.get("capture").map(|node| self.captures(reader, node)).unwrap_or_default();
        let checks = object.get("check").map(|node| checks(reader, node)).unwrap_or_default();
        let measures = match (self.measures, object.get("measure")) {
            (Some(measures), own) => measures.of_step(own),
            (None, None) => Vec::new(),
            (None, Some(node)) => {
                let message = format!("nothing is measured in `{}`", self.scenario);
                reader.report(
                    Finding::error(node.place, message).help("write `measure` on a step of a scenario"),
                );
                Vec::new()
            }
        };
        let on_failure = object.get("on_failure");
        let on_failure = on_failure.and_then(|node| reader.word(node, "a word", &words::ON_FAILURE));
        let retry = object.get("retry").and_then(|node| retry(reader, node));
        let until = object.get("until").and_then(|node| until(reader, node));
        let (url, credentials) = url?;
        if let Some(credentials) = credentials.filter(|_| !has_header(&headers, "authorization")) {
            headers.push(credentials);
        }
        let step = u16::try_from(self.labels.steps.len()).unwrap_or(u16::MAX);
        let scenario = self.scenario.clone();
        let label = name?;
        let checks = checks.into_iter().map(|(check, expect)| {
            let index = u16::try_from(self.labels.checks.len()).unwrap_or(u16::MAX);
            let (scenario, step) = (self.scenario.clone(), label.clone());
            self.labels.checks.push(CheckShape {
                scenario,
                scenario_index: self.scenario_index,
                step,
                check,
            });
            Check { check: index, expect }
        });
        let checks = checks.collect();
        self.labels.steps.push(StepShape { scenario, scenario_index: self.scenario_index, step: label });
        Some(Request {
            step,
            method,
            url,
            query,
            headers,
            without_auth: auth.is_some(),
            body,
            gzip,
            timeout,
            expect,
            captures,
            measures,
            checks,
            on_failure: match on_failure {
                Some("continue") => OnFailure::Continue,
                Some("stop") => OnFailure::StopRun,
                _ => OnFailure::EndIteration,
            },
            retry,
            until,
        })
    }

    fn name(
        &mut self,
        reader: &mut Reader<'_>,
        object: &Object<'_>,
        method: &str,
        url: &Node,
    ) -> Option<String> {
        let (name, place) = match object.get("name") {
            Some(node) => (reader.name(node)?, node.place),
            None => (default_name(method, url), url.place),
        };
        if !self.names.insert(name.clone()) {
            let message = format!("two steps of `{}` are called `{}`", self.scenario, shortened(&name));
            reader.report(Finding::error(place, message).help("give one of them another `name`"));
        }
        Some(name)
    }

    /// A URL and the credentials that stood in it.
    fn url(&self, reader: &mut Reader<'_>, node: &Node) -> Option<(Template, Option<Header>)> {
        const WHAT: &str = "a path like `/products?page=1`, or a URL";
        let text = reader.text(node, WHAT)?;
        if text.chars().any(|c| c.is_control()) {
            reader.error(node.place, "a URL cannot hold control characters");
            return None;
        }
        // Holes stand for something that fits; spaces may stand inside of them only.
        let template = template_with(reader, node, &self.scope, encoded)?;
        let sample = sample(&template);
        if !sample.starts_with('/') && !sample.starts_with("http://") && !sample.starts_with("https://") {
            let by_hole = matches!(template.parts.first(), Some(Part::Variable(_)));
            if !by_hole {
                reader.expected(
                    node,
                    WHAT,
                    Some("a path starts with `/`, a URL with `http://` or `https://`"),
                );
                return None;
            }
            return Some((template, None));
        }
        if sample.contains('#') {
            let finding = Finding::error(node.place, "a URL here has no fragment: it would never be sent");
            reader.report(finding.help("leave `#` and what follows out, or write `%23`"));
            return None;
        }
        let base = self.target.cloned();
        let parsed = match base {
            Some(base) => base.join(&sample).ok(),
            None if sample.starts_with('/') => return Some((template, None)),
            None => Url::parse(&sample).ok(),
        };
        let Some(mut parsed) = parsed.filter(Url::has_host) else {
            reader.expected(node, WHAT, None);
            return None;
        };
        let whole = sample.starts_with("http");
        if whole && (!parsed.username().is_empty() || parsed.password().is_some()) {
            return self.without_userinfo(reader, node, template, &mut parsed);
        }
        Some((template, None))
    }

    /// Credentials of a whole URL become a header, as those of the target do.
    fn without_userinfo(
        &self,
        reader: &mut Reader<'_>,
        node: &Node,
        template: Template,
        parsed: &mut Url,
    ) -> Option<(Template, Option<Header>)> {
        let mut parts = template.parts;
        let end = parts.iter().position(|part| matches!(part, Part::Text(text) if text.starts_with('@')));
        let is_fixed = |part: &Part| matches!(part, Part::Secret(_));
        match end {
            Some(end) if end >= 2 && parts[1..end].iter().all(is_fixed) => {
                parts.drain(1..end);
                if let Some(Part::Text(text)) = parts.get_mut(1) {
                    text.remove(0);
                }
                Some((Template { parts: joined(parts) }, take_userinfo(parsed)))
            }
            _ => {
                reader.report(
                    Finding::error(node.place, "credentials of a URL cannot be filled in")
                        .help("write them as an `authorization` header"),
                );
                None
            }
        }
    }
}

/// Method and path, holes as they are written.
fn default_name(method: &str, url: &Node) -> String {
    let text = url.scalar().map(|scalar| scalar.shown()).unwrap_or_default();
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => &text,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{} {path}", method.to_ascii_uppercase())
}

/// The URL with something in place of what is filled in later.
fn sample(template: &Template) -> String {
    let parts = template.parts.iter().map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::Secret(secret) => secret.expose(),
        // A number fits everywhere, also as a port.
        Part::Variable(_) => "1",
    });
    parts.collect()
}

/// What may not stand in a URL as it is; `%` may, because it starts what was encoded before.
const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ILLEGAL).to_string()
}

/// Reads checks: names of one's own, and what answers are asked.
fn checks(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, Expect)> {
    let mut checks = Vec::new();
    for Entry { key, key_place, node } in reader.entries(node, "checks") {
        let asked = expect(reader, node);
        if !is_label(key) {
            let message = format!("`{}` cannot be the name of a check", shortened(key));
            let help =
                "a name has at most 200 characters, none of them control characters, and no space around it";
            reader.report(Finding::error(*key_place, message).help(help));
        } else if let Some(asked) = asked {
            if asked == (Expect { secret: asked.secret, ..Expect::default() }) {
                reader.expected(node, "at least one word of `expect`", None);
            }
            checks.push((key.clone(), asked));
        }
    }
    checks
}

/// Whether a text can be a label.
fn is_label(text: &str) -> bool {
    let length = text.chars().count();
    (1..=200).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}
