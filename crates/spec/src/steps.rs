//! `setup`, `scenarios`, `teardown`: what users do, step after step.

use std::collections::HashSet;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use plimsoll_run::{
    Action, BodyKind, Capture, CaptureSource, Expect, Feed, Header, HeaderExpectation, OnFailure, Part,
    PauseRange, Request, Scenario, StatusRange, StepShape, Template, Variable,
};
use plimsoll_units::duration;
use plimsoll_workload::{Mix, MixError};
use url::Url;

use crate::diagnostic::{Finding, Place};
use crate::feeds::{is_identifier, taken};
use crate::http::{any_header_name, has_header, headers, take_userinfo};
use crate::json;
use crate::measures::Measures;
use crate::read::{Object, Reader};
use crate::template::{Scope, joined, template, template_with};
use crate::tree::{Entry, Node, Value, shortened};
use crate::words::{self, METHODS};

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
    /// Where each scenario stands.
    pub(crate) places: Vec<Place>,
}

/// Nodes of the three lists of steps.
pub(crate) struct StepNodes<'n> {
    pub(crate) setup: Option<&'n Node>,
    pub(crate) teardown: Option<&'n Node>,
    pub(crate) scenarios: Option<&'n Node>,
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
        read.setup = setup.actions(reader, node);
    }
    // Setup's own captures are slots of its one iteration; for everybody after it they are setup's.
    let names = setup.scope.captures.iter().map(|(name, _)| name.clone());
    let shared: Vec<_> = names.zip((0..=u16::MAX).map(Variable::Setup)).collect();
    if let Some(node) = nodes.scenarios {
        scenarios(reader, node, &mut read, &shared, (feeds, measures), target);
    }
    adopt(&mut read.steps, setup.shapes, &mut read.setup);
    let mut teardown = Walk::new(feeds, target, "teardown", None);
    teardown.slots = setup.slots;
    teardown.scope.captures = shared;
    if let Some(node) = nodes.teardown {
        read.teardown = teardown.actions(reader, node);
    }
    read.setup_captures = teardown.slots as u16;
    adopt(&mut read.steps, teardown.shapes, &mut read.teardown);
    if read.steps.len() > usize::from(u16::MAX) {
        let place = nodes.scenarios.map(|node| node.place);
        reader.error(place, format!("the plan has more than {} steps", u16::MAX));
    }
    read
}

/// Appends labels; the requests that carry them were numbered from 0 and move along.
fn adopt(steps: &mut Vec<StepShape>, shapes: Vec<StepShape>, actions: &mut [Action]) {
    // Beyond the limit the plan is refused anyway.
    let first = u16::try_from(steps.len()).unwrap_or(u16::MAX);
    steps.extend(shapes);
    for action in actions {
        if let Action::Request(request) = action {
            request.step = request.step.saturating_add(first);
        }
    }
}

fn scenarios(
    reader: &mut Reader<'_>,
    node: &Node,
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
        let weight = match object.get("weight") {
            Some(node) => {
                weights_place.get_or_insert(node.place);
                reader.whole(node, "a weight", 0..=u64::from(u32::MAX)).map_or(1, |weight| weight as u32)
            }
            None => 1,
        };
        let Some(steps) = object.get("steps") else { continue };
        let name = name.unwrap_or_default();
        let mut walk = Walk::new(feeds, target, &name, Some(index as u16));
        walk.scope.captures = shared.to_vec();
        walk.measures = Some(measures);
        let errors = reader.findings.len();
        let mut actions = walk.actions(reader, steps);
        let is_silent = !actions.iter().any(|action| matches!(action, Action::Request(_)));
        if is_silent && reader.findings.len() == errors {
            reader.expected(steps, "at least one step that sends a request", None);
        }
        adopt(&mut read.steps, walk.shapes, &mut actions);
        read.scenarios.push(Scenario { name, weight, actions, captures: walk.slots as u16 });
        read.places.push(object.place);
    }
    let weights: Vec<u32> = read.scenarios.iter().map(|scenario| scenario.weight).collect();
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
struct Walk<'w> {
    scope: Scope<'w>,
    target: Option<&'w Url>,
    scenario: String,
    scenario_index: Option<u16>,
    /// Capture slots handed out.
    slots: usize,
    shapes: Vec<StepShape>,
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
            shapes: Vec::new(),
            names: HashSet::new(),
            measures: None,
        }
    }

    fn actions(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Action> {
        let items = reader.list(node, "steps");
        for item in items {
            let Some(captures) = item.get("capture") else { continue };
            let step = item.get("name").and_then(Node::scalar).map(|scalar| scalar.shown());
            let step = step.or_else(|| method(item).map(|(method, url)| default_name(method, url)));
            if let Value::Map(entries) = &captures.value {
                let names = entries.iter().map(|entry| (entry.key.clone(), step.clone().unwrap_or_default()));
                self.scope.later.extend(names);
            }
        }
        items.iter().filter_map(|item| self.action(reader, item)).collect()
    }

    fn action(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Action> {
        if node.get("pause").is_some() && method(node).is_none() {
            let object = reader.object(node, &words::PAUSE)?;
            return pause(reader, object.get("pause")?).map(Action::Pause);
        }
        if node.get("pause").is_some() {
            let finding = Finding::error(node.place, "a pause is a step of its own");
            reader.report(finding.help("write `- pause: 1s` before or after this step"));
            return None;
        }
        self.request(reader, node).map(|request| Action::Request(Box::new(request)))
    }

    fn request(&mut self, reader: &mut Reader<'_>, node: &Node) -> Option<Request> {
        let object = reader.object(node, &words::REQUEST)?;
        let methods: Vec<_> = METHODS.iter().filter(|method| object.get(method).is_some()).collect();
        let [method] = methods.as_slice() else {
            let message = match methods.as_slice() {
                [] => "the step sends nothing: it has no method",
                _ => "the step has more than one method",
            };
            let help =
                "write one of `get`, `post`, `put`, `patch`, `delete`, `head`, `options`, or a `pause`";
            reader.report(Finding::error(object.place, message).help(help));
            return None;
        };
        let url_node = object.get(method)?;
        let name = self.name(reader, &object, method, url_node);
        let url = self.url(reader, url_node);
        let mut headers =
            object.get("headers").map(|node| headers(reader, node, &self.scope)).unwrap_or_default();
        let body = self.body(reader, &object, &mut headers);
        let expect = object.get("expect").and_then(|node| expect(reader, node)).unwrap_or_default();
        let captures = object.get("capture").map(|node| self.captures(reader, node)).unwrap_or_default();
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
        let on_failure =
            on_failure.and_then(|node| reader.word(node, "a word", &["continue", "end_iteration"]));
        let (url, credentials) = url?;
        if let Some(credentials) = credentials.filter(|_| !has_header(&headers, "authorization")) {
            headers.push(credentials);
        }
        let step = u16::try_from(self.shapes.len()).unwrap_or(u16::MAX);
        let scenario = self.scenario.clone();
        self.shapes.push(StepShape { scenario, scenario_index: self.scenario_index, step: name? });
        let (body, body_kind) = body.map_or((None, BodyKind::Text), |(body, kind)| (Some(body), kind));
        Some(Request {
            step,
            method: method.to_ascii_uppercase(),
            url,
            headers,
            body,
            body_kind,
            expect,
            captures,
            measures,
            on_failure: if on_failure == Some("continue") {
                OnFailure::Continue
            } else {
                OnFailure::EndIteration
            },
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

    fn body(
        &self,
        reader: &mut Reader<'_>,
        object: &Object<'_>,
        headers: &mut Vec<Header>,
    ) -> Option<(Template, BodyKind)> {
        let found: Vec<_> =
            ["json", "body", "form"].into_iter().filter(|key| object.get(key).is_some()).collect();
        let key = match found.as_slice() {
            [] => return None,
            [key] => *key,
            [_, second, ..] => {
                reader.error(object.key_place(second), "a step has one of `json`, `body` and `form`");
                return None;
            }
        };
        let node = object.get(key)?;
        let (body, kind, content_type) = match key {
            "json" => (json::template(reader, node, &self.scope)?, BodyKind::Json, Some("application/json")),
            "form" => {
                let form = self.form(reader, node)?;
                (form, BodyKind::Form, Some("application/x-www-form-urlencoded"))
            }
            _ => (template(reader, node, &self.scope)?, BodyKind::Text, None),
        };
        if let Some(content_type) = content_type.filter(|_| !has_header(headers, "content-type")) {
            let value = Template::text(content_type);
            headers.push(Header { name: "content-type".to_owned(), value, secret: false });
        }
        Some((body, kind))
    }

    fn form(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
        let errors = reader.findings.len();
        let mut parts = Vec::new();
        for Entry { key, node, .. } in reader.entries(node, "form fields") {
            let separator = if parts.is_empty() { "" } else { "&" };
            parts.push(Part::Text(format!("{separator}{}=", component(key))));
            // `name: ""` is an empty field.
            if let Some(value) = template_with(reader, node, &self.scope, component) {
                parts.extend(value.parts);
            }
        }
        (reader.findings.len() == errors).then(|| Template { parts: joined(parts) })
    }

    fn captures(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Capture> {
        let mut captures = Vec::new();
        for Entry { key, key_place, node } in reader.entries(node, "captures") {
            self.scope.later.retain(|(later, _)| later != key);
            let source = capture_source(reader, node);
            if !self.is_free(reader, key, *key_place) {
                continue;
            }
            let Ok(slot) = u16::try_from(self.slots) else {
                reader.error(*key_place, format!("there are more than {} captures", u16::MAX));
                continue;
            };
            self.slots += 1;
            self.scope.captures.push((key.clone(), Variable::Capture(slot)));
            if let Some(source) = source {
                captures.push(Capture { name: key.clone(), slot, source });
            }
        }
        captures
    }

    /// Whether a capture may have this name.
    fn is_free(&self, reader: &mut Reader<'_>, name: &str, place: Place) -> bool {
        if !is_identifier(name) {
            let message = format!("`{}` cannot be the name of a capture", shortened(name));
            reader.report(
                Finding::error(place, message)
                    .help("a name has letters, digits, `_` and `-`, a letter first"),
            );
            return false;
        }
        let captured = self.scope.captures.iter().find(|(known, _)| known == name);
        let taken = match captured {
            Some((_, Variable::Setup(_))) => Some("captured by setup".to_owned()),
            Some(_) => Some("captured by a step before".to_owned()),
            None => taken(name, self.scope.feeds),
        };
        if let Some(taken) = taken {
            let message = format!("the name `{name}` is taken: it is {taken}");
            reader.report(Finding::error(place, message).help("give the capture another name"));
            return false;
        }
        true
    }
}

fn method(node: &Node) -> Option<(&'static str, &Node)> {
    METHODS.into_iter().find_map(|method| Some((method, node.get(method)?)))
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
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ILLEGAL).to_string()
}

fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

fn pause(reader: &mut Reader<'_>, node: &Node) -> Option<PauseRange> {
    const HELP: &str = "write `1s`, or `200ms..2s` for anything between";
    let text = reader.text(node, "a pause")?;
    let (min, max) = text.split_once("..").unwrap_or((&text, &text));
    let (Ok(min), Ok(max)) = (duration::parse(min), duration::parse(max)) else {
        reader.expected(node, "a pause", Some(HELP));
        return None;
    };
    if min > max {
        reader.expected(node, "a pause that ends above its start", Some(HELP));
        return None;
    }
    Some(PauseRange { min, max })
}

fn expect(reader: &mut Reader<'_>, node: &Node) -> Option<Expect> {
    let object = reader.object(node, &words::EXPECT)?;
    let mut expect = Expect { secret: holds_secret(node), ..Expect::default() };
    if let Some(node) = object.get("status") {
        let items = reader.one_or_more(node);
        if items.is_empty() {
            reader.expected(node, "at least one status", None);
        }
        expect.status = items.iter().filter_map(|item| status(reader, item)).collect();
    }
    for Entry { key, key_place, node } in
        object.get("headers").map(|node| reader.entries(node, "headers")).unwrap_or_default()
    {
        let Some(name) = any_header_name(reader, key, *key_place) else { continue };
        let Some(scalar) = reader.scalar(node, "the value of a header, or `true`") else { continue };
        let present = scalar.plain && scalar.text() == "true";
        let value = if present { None } else { fixed_text(reader, node) };
        expect.headers.push(HeaderExpectation { name, value });
    }
    for key in ["body_contains", "contains"] {
        let items = object.get(key).map(|node| reader.one_or_more(node)).unwrap_or_default();
        expect.body_contains.extend(items.iter().filter_map(|item| fixed_text(reader, item)));
    }
    for Entry { key, key_place, node } in
        object.get("json").map(|node| reader.entries(node, "JSONPaths and values")).unwrap_or_default()
    {
        let value = json::value(reader, node);
        if is_jsonpath(reader, key, *key_place)
            && let Some(value) = value
        {
            expect.json.push((key.clone(), value));
        }
    }
    expect.within = object.get("within").and_then(|node| reader.some_time(node));
    Some(expect)
}

fn holds_secret(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(scalar) => scalar.has_secret(),
        Value::List(items) => items.iter().any(holds_secret),
        Value::Map(entries) => entries.iter().any(|entry| holds_secret(&entry.node)),
        Value::Broken => false,
    }
}

/// A text that is compared as it stands. A hole in it would never be filled, so it is refused.
pub(crate) fn fixed_text(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "a text")?;
    if text.contains("{{") {
        let finding = Finding::error(node.place, "templates are not filled in an expectation");
        reader.report(finding.help("compare with a text that is the same for all"));
        return None;
    }
    Some(text)
}

fn status(reader: &mut Reader<'_>, node: &Node) -> Option<StatusRange> {
    const HELP: &str = "write a status from 100 to 599 like `200`, or a class like `2xx`";
    let text = reader.text(node, "a status")?;
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    let range = match class {
        Some(class) => StatusRange {
            first: class.saturating_mul(100),
            last: class.saturating_mul(100).saturating_add(99),
        },
        None => {
            let status = text.parse().unwrap_or(0);
            StatusRange { first: status, last: status }
        }
    };
    if range.first < 100 || range.last > 599 {
        reader.expected(node, "a status", Some(HELP));
        return None;
    }
    Some(range)
}

fn capture_source(reader: &mut Reader<'_>, node: &Node) -> Option<CaptureSource> {
    let object = reader.object(node, &words::CAPTURE)?;
    match (object.get("jsonpath"), object.get("regex"), object.get("header")) {
        (Some(node), None, None) => {
            let path = reader.text(node, "a JSONPath")?;
            is_jsonpath(reader, &path, node.place).then_some(CaptureSource::JsonPath(path))
        }
        (None, Some(node), None) => {
            let pattern = reader.text(node, "a regular expression")?;
            match regex::Regex::new(&pattern) {
                Ok(_) => Some(CaptureSource::Regex(pattern)),
                Err(error) => {
                    let why = error.to_string();
                    let why = why
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim()
                        .trim_start_matches("error: ")
                        .to_owned();
                    let message = format!("this is not a regular expression: {why}");
                    reader.report(Finding::error(node.place, message));
                    None
                }
            }
        }
        (None, None, Some(node)) => {
            let name = reader.text(node, "the name of a header")?;
            any_header_name(reader, &name, node.place).map(CaptureSource::Header)
        }
        _ => {
            let finding =
                Finding::error(object.place, "a capture has one of `jsonpath`, `regex` and `header`");
            reader.report(finding.help("write `{ jsonpath: \"$.items[0].id\" }`"));
            None
        }
    }
}

pub(crate) fn is_jsonpath(reader: &mut Reader<'_>, path: &str, place: Place) -> bool {
    let right = jsonpath_rust::parser::parse_json_path(path).is_ok();
    if !right {
        let message = format!("`{}` is not a JSONPath", shortened(path));
        reader.report(Finding::error(place, message).help("write one like `$.items[0].id` (RFC 9535)"));
    }
    right
}
