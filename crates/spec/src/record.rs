//! A plan as it is kept with a run: resolved, and without its secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_measure::Limits;
use plimsoll_run::{
    Absent, Action, AddressFamily, Assignment, Body, Branch, Capture, CaptureSource, Check, Comparison,
    Expect, FeedOrder, FormPart, Header, HeaderExpectation, HttpVersion, LoadModel, MeasureRead,
    MeasureSource, OnFailure, Part, PartContent, Pick, Request, RequestMeasure, RunPlan, Scenario, Template,
    TlsVersion, Variable,
};
use plimsoll_units::duration;
use plimsoll_workload::{Level, Pause, Spacing, Stage, StageKind};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::http::USER_AGENT;
use crate::json::{Plain, plain};
use crate::tree::{Node, Scalar, Value};

/// The plan as YAML: variables replaced, comments and anchors gone, secrets as `${NAME}` or `***`.
pub(crate) fn text(root: &Node) -> String {
    let mut text = String::new();
    write(root, 0, &mut text);
    text
}

fn write(node: &Node, depth: usize, out: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                indent(depth, out);
                out.push_str(&quoted(&entry.key));
                out.push(':');
                nested(&entry.node, depth, out);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                indent(depth, out);
                out.push('-');
                nested(item, depth, out);
            }
        }
        _ => {
            indent(depth, out);
            out.push_str(&inline(node));
            out.push('\n');
        }
    }
}

fn nested(node: &Node, depth: usize, out: &mut String) {
    let is_block = match &node.value {
        Value::Map(entries) => !entries.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        write(node, depth + 1, out);
    } else {
        out.push(' ');
        out.push_str(&inline(node));
        out.push('\n');
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::Map(_) => "{}".to_owned(),
        Value::List(_) => "[]".to_owned(),
        Value::Broken => "null".to_owned(),
        // A number stays as it was typed: `1.10` is not `1.1` where it is a version.
        Value::Scalar(scalar) if matches!(plain(scalar), Plain::Value(_)) => scalar.text(),
        Value::Scalar(scalar) => quoted(&scalar.kept()),
    }
}

/// A text without quotes where they change nothing, else in double quotes, which YAML shares with JSON.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _-./()<=%+".contains(c))
        && !text.ends_with(' ')
        && matches!(plain(&Scalar::new(text, true)), Plain::Text);
    if is_word { text.to_owned() } else { Json::from(text).to_string() }
}

/// The hash that history groups by: over what a run does and promises, however it was written.
///
/// Left out: target, tags, resources, profiles, export, notify, samples, resume, seed, secrets, and our own version.
pub(crate) fn hash(plan: &RunPlan) -> String {
    let digest = Sha256::digest(normal(plan).to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The plan in one way of writing. Its words are part of the hash and do not change without need.
fn normal(plan: &RunPlan) -> Json {
    let http = &plan.http;
    let mut feeds: Vec<_> = plan.feeds.iter().collect();
    feeds.sort_by_key(|feed| &feed.name);
    let feeds: Vec<Json> = feeds
        .into_iter()
        .map(|feed| {
            let columns = feed.table.columns();
            json!({ "name": feed.name, "columns": columns, "rows": feed.digest, "order": order(feed.order) })
        })
        .collect();
    let mut normal = json!({
        "name": plan.name,
        "load": normal_load(&plan.load.model),
        "warmup": time(plan.load.warmup),
        "grace": time(plan.load.grace),
        "http": {
            "connections": http.connections,
            "timeout": time(http.timeout),
            "connect_timeout": time(http.connect_timeout),
            "redirects": http.redirects,
            "max_body": http.max_body,
            "headers": Names::of(plan, &[]).headers(&http.headers),
        },
        "tls": {
            "ca": plan.tls.ca.is_some(),
            "cert": plan.tls.cert.is_some(),
            "server_name": plan.tls.server_name,
            "insecure": plan.tls.insecure,
        },
        "feeds": feeds,
        "setup": normal_actions(plan, &plan.setup),
        "teardown": normal_actions(plan, &plan.teardown),
        "scenarios": plan.scenarios.iter().map(|one| normal_scenario(plan, one)).collect::<Vec<_>>(),
        "objectives": plan.objectives.iter().chain(&plan.overload_objectives).map(|objective| json!({
            "name": objective.name,
            "objective": objective.expression.to_string(),
            "over": objective.over,
            "steps": objective.filter.steps,
            "scenarios": objective.filter.scenarios,
            "stage": objective.filter.stage,
            "abort_after": objective.abort_after,
            "severity": objective.severity.label(),
        })).collect::<Vec<_>>(),
    });
    // Keys that came later are there only where they say something, so that no older plan's hash changed.
    if http.version == HttpVersion::Http2 {
        normal["http"]["version"] = json!("2");
        normal["http"]["streams"] = json!(http.streams);
    }
    if let Some(rate) = http.connect_rate {
        normal["http"]["connect_rate"] = json!(rate.per_second());
    }
    if !http.source.is_empty() {
        normal["http"]["source"] = json!(http.source);
    }
    normal_network(plan, &mut normal["http"]);
    if plan.tls.min_version != TlsVersion::default() {
        normal["tls"]["min_version"] = json!(plan.tls.min_version.label());
    }
    if let Some(version) = plan.tls.max_version {
        normal["tls"]["max_version"] = json!(version.label());
    }
    if plan.tls.always_full {
        normal["tls"]["resumption"] = json!(false);
    }
    if plan.limits != Limits::default() {
        normal["limits"] = json!({ "series": plan.limits.series, "memory": plan.limits.memory_bytes });
    }
    if let Some(trace) = plan.trace {
        // What the target is asked to record; which requests are told is our business alone.
        normal["trace"] = json!(trace.share());
    }
    normal
}

/// How connections are had. Where hosts are and who knows it is the target's affair.
fn normal_network(plan: &RunPlan, http: &mut Json) {
    let network = &plan.http.network;
    if let Some(per_host) = network.per_host {
        http["connections_per_host"] = json!(per_host);
    }
    if let Some(reuse) = network.reuse {
        http["reuse"] = json!(reuse.label());
    }
    for (name, limit) in [
        ("idle_timeout", network.idle_timeout),
        ("tls_timeout", network.tls_timeout),
        ("first_byte_timeout", network.first_byte_timeout),
    ] {
        if let Some(limit) = limit {
            http[name] = json!(time(limit));
        }
    }
    if network.family != AddressFamily::Any {
        http["ip"] = json!(if network.family == AddressFamily::V4 { 4 } else { 6 });
    }
    if let Some(auth) = &network.auth {
        http["auth"] = json!(auth.label());
    }
    if !network.compression.is_empty() {
        http["compression"] =
            json!(network.compression.iter().map(|coding| coding.label()).collect::<Vec<_>>());
    }
    if network.proxy.is_some() {
        http["proxy"] = json!(true);
    }
}

fn normal_scenario(plan: &RunPlan, scenario: &Scenario) -> Json {
    let mut normal = json!({
        "name": scenario.name,
        "weight": scenario.weight,
        "steps": normal_actions(plan, &scenario.actions),
    });
    if let Some(load) = &scenario.load {
        normal["load"] = normal_load(load);
    }
    if let Some(think_time) = scenario.think_time {
        normal["think_time"] = normal_pause(think_time);
    }
    if let Some(pacing) = scenario.pacing {
        normal["pacing"] = json!(time(pacing));
    }
    if let Some(replay) = &scenario.replay {
        normal["speed"] = json!(replay.speed);
    }
    normal
}

fn normal_load(model: &LoadModel) -> Json {
    match model {
        LoadModel::Open { stages, spacing, max_in_flight } => json!({
            "model": "open",
            "stages": normal_stages(stages),
            "arrivals": if *spacing == Spacing::Poisson { "poisson" } else { "uniform" },
            "max_in_flight": max_in_flight,
        }),
        LoadModel::Closed { stages, limits } => {
            let mut normal = json!({
                "model": "closed",
                "stages": normal_stages(stages),
                "iterations": limits.iterations,
            });
            if let Some(per_user) = limits.per_user {
                normal["iterations_per_user"] = json!(per_user);
            }
            if let Some(at_most) = limits.at_most {
                normal["at_most"] = json!(at_most.per_second());
            }
            normal
        }
    }
}

fn time(time: Duration) -> String {
    duration::format(time)
}

fn order(order: FeedOrder) -> &'static str {
    match order {
        FeedOrder::Unique => "unique",
        FeedOrder::Sequential => "sequential",
        FeedOrder::Random => "random",
        FeedOrder::Shuffled => "shuffled",
        FeedOrder::Recorded => "recorded",
    }
}

fn normal_stages<L: Level>(stages: &[Stage<L>]) -> Json {
    let stage = |stage: &Stage<L>| {
        let level = match &stage.kind {
            StageKind::Ramp(level) | StageKind::Hold(level) | StageKind::Spike(level) => {
                json!(level.amount())
            }
            StageKind::Pause => Json::Null,
            StageKind::Schedule(curve) | StageKind::Replay(curve) => {
                curve.points().iter().map(|(at, level)| json!([at.as_secs_f64(), level])).collect()
            }
        };
        json!([stage.kind.label(), level, time(stage.length)])
    };
    stages.iter().map(stage).collect()
}

fn normal_pause(pause: Pause) -> Json {
    match pause {
        Pause::Even { min, max } => json!([time(min), time(max)]),
        Pause::Exponential { mean } => json!({ "exponential": time(mean) }),
        Pause::LogNormal { median, sigma } => json!({ "log_normal": [time(median), sigma] }),
    }
}

fn normal_actions(plan: &RunPlan, actions: &[Action]) -> Json {
    let names = Names::of(plan, actions);
    normal_list(plan, &names, actions)
}

fn normal_list(plan: &RunPlan, names: &Names<'_>, actions: &[Action]) -> Json {
    actions.iter().map(|action| normal_action(plan, names, action)).collect()
}

fn normal_action(plan: &RunPlan, names: &Names<'_>, action: &Action) -> Json {
    let list = |actions: &[Action]| normal_list(plan, names, actions);
    let group = |group: u16| plan.groups.get(usize::from(group)).map(|group| &group.group);
    match action {
        Action::Pause(pause) => json!({ "pause": normal_pause(*pause) }),
        Action::Request(request) => normal_request(plan, names, request),
        Action::Set(values) => {
            let value = |set: &Assignment| json!([set.name, names.template(&set.value)]);
            json!({ "set": values.iter().map(value).collect::<Vec<_>>() })
        }
        Action::Group(inner) => json!({ "group": group(inner.group), "steps": list(&inner.actions) }),
        Action::Parallel(inner) => json!({ "name": group(inner.group), "parallel": list(&inner.actions) }),
        Action::Repeat(repeat) => {
            json!({ "repeat": [repeat.min, repeat.max], "steps": list(&repeat.actions) })
        }
        Action::If(choice) => json!({
            "if": [names.template(&choice.value), choice.is.to_string()],
            "steps": list(&choice.then),
            "else": list(&choice.otherwise),
        }),
        Action::OneOf(branches) => {
            let branch = |branch: &Branch| json!([branch.weight, list(&branch.actions)]);
            json!({ "one_of": branches.iter().map(branch).collect::<Vec<_>>() })
        }
    }
}

fn normal_request(plan: &RunPlan, names: &Names<'_>, request: &Request) -> Json {
    let mut captures: Vec<_> = request.captures.iter().collect();
    captures.sort_by_key(|capture| &capture.name);
    let captures: Vec<Json> = captures.into_iter().map(normal_capture).collect();
    let mut normal = json!({
        "name": plan.steps.get(usize::from(request.step)).map(|shape| &shape.step),
        "method": request.method,
        "url": names.template(&request.url),
        "headers": names.headers(&request.headers),
        "body": request.body.as_ref().map(|body| normal_body(names, body)),
        "expect": normal_expect(&request.expect),
        "captures": captures,
        "continues": request.on_failure == OnFailure::Continue,
    });
    if !request.measures.is_empty() {
        normal["measures"] = normal_measures(plan, &request.measures);
    }
    if !request.checks.is_empty() {
        let name = |check: &Check| plan.checks.get(usize::from(check.check)).map(|shape| &shape.check);
        let mut checks: Vec<_> =
            request.checks.iter().map(|check| (name(check), normal_expect(&check.expect))).collect();
        checks.sort_by_key(|(name, _)| *name);
        normal["checks"] = json!(checks);
    }
    if request.on_failure == OnFailure::StopRun {
        normal["stops"] = json!(true);
    }
    if let Some(retry) = &request.retry {
        let outcomes: Vec<_> = retry.outcomes.iter().map(|outcome| outcome.label()).collect();
        let statuses: Vec<_> = retry.statuses.iter().map(|range| [range.first, range.last]).collect();
        normal["retry"] = json!([retry.max, time(retry.backoff), outcomes, statuses]);
    }
    if let Some(query) = &request.query {
        normal["query"] = names.template(query);
    }
    if let Some(timeout) = request.timeout {
        normal["timeout"] = json!(time(timeout));
    }
    if request.without_auth {
        normal["auth"] = json!("none");
    }
    if request.gzip {
        normal["compress_body"] = json!("gzip");
    }
    if let Some(until) = &request.until {
        normal["until"] = json!([normal_expect(&until.expect), time(until.every), time(until.timeout)]);
    }
    normal
}

/// Of a file its content counts, wherever it lies.
fn normal_body(names: &Names<'_>, body: &Body) -> Json {
    let file = |bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "file": digest })
    };
    match body {
        Body::Text(template, _) => names.template(template),
        Body::File(bytes) => file(bytes),
        Body::Multipart(parts) => {
            let part = |part: &FormPart| {
                let content = match &part.content {
                    PartContent::Text(template) => names.template(template),
                    PartContent::File(bytes) => file(bytes),
                };
                let filename = part.filename.as_ref().map(|filename| names.template(filename));
                json!([part.name, filename, part.media_type, content])
            };
            json!({ "multipart": parts.iter().map(part).collect::<Vec<_>>() })
        }
    }
}

fn normal_capture(capture: &Capture) -> Json {
    let mut normal = match &capture.source {
        CaptureSource::JsonPath(path) => vec![json!("jsonpath"), json!(path)],
        CaptureSource::Regex { pattern, group } => {
            let group = group.as_ref().map(|group| json!({ "group": group }));
            [json!("regex"), json!(pattern)].into_iter().chain(group).collect()
        }
        CaptureSource::XPath(path) => vec![json!("xpath"), json!(path)],
        CaptureSource::Header(name) => vec![json!("header"), json!(name)],
        CaptureSource::Cookie(name) => vec![json!("cookie"), json!(name)],
    };
    normal.insert(0, json!(capture.name));
    match capture.pick {
        Pick::First => {}
        Pick::Last => normal.push(json!({ "match": "last" })),
        Pick::Nth(number) => normal.push(json!({ "match": number })),
        Pick::Random => normal.push(json!({ "match": "random" })),
    }
    match &capture.absent {
        Absent::Fails => {}
        Absent::Unknown => normal.push(json!({ "optional": true })),
        Absent::Is(text) => normal.push(json!({ "default": text })),
    }
    json!(normal)
}

fn normal_expect(expect: &Expect) -> Json {
    let header = |header: &HeaderExpectation| match &header.is {
        Comparison::Exists(true) => (header.name.clone(), Json::Null),
        Comparison::Equals(Json::String(text)) => (header.name.clone(), json!(text)),
        other => (header.name.clone(), json!({ "is": other.to_string() })),
    };
    let mut wanted: Vec<_> = expect.headers.iter().map(header).collect();
    wanted.sort_by_cached_key(|(name, value)| (name.clone(), value.to_string()));
    let sorted = |pairs: &[(String, Comparison)]| {
        let mut pairs: Vec<_> = pairs.iter().map(|(path, value)| (path.clone(), value.to_string())).collect();
        pairs.sort();
        pairs
    };
    let mut normal = json!({
        "status": expect.status.iter().map(|range| [range.first, range.last]).collect::<Vec<_>>(),
        "headers": wanted,
        "contains": expect.body_contains,
        "json": sorted(&expect.json),
        "within": expect.within.map(time),
    });
    for (word, is) in [("body", &expect.body), ("size", &expect.size)] {
        if let Some(is) = is {
            normal[word] = json!(is.to_string());
        }
    }
    if !expect.xpath.is_empty() {
        normal["xpath"] = json!(sorted(&expect.xpath));
    }
    if let Some(schema) = &expect.schema {
        normal["schema"] = schema.clone();
    }
    if let Some(limit) = expect.first_byte_within {
        normal["first_byte_within"] = json!(time(limit));
    }
    if let Some(not) = &expect.not {
        normal["not"] = normal_expect(not);
    }
    normal
}

/// By name, since where a value stands among the plan's is nobody's business.
fn normal_measures(plan: &RunPlan, measures: &[RequestMeasure]) -> Json {
    let mut normal: Vec<_> = measures
        .iter()
        .filter_map(|measure| {
            let planned = plan.measures.get(usize::from(measure.measure))?;
            let source = match &measure.source {
                MeasureSource::Header(name) => json!(["header", name]),
                MeasureSource::ServerTiming(metric) => json!(["server_timing", metric]),
                MeasureSource::JsonPath(path) => json!(["jsonpath", path]),
                MeasureSource::BodySize => json!(["body_size"]),
            };
            let read = match &measure.read {
                MeasureRead::Number { factor } => json!(["number", factor]),
                MeasureRead::Whole => json!(["whole"]),
                MeasureRead::Equals(text) => json!(["equals", text]),
            };
            let unit = planned.unit.label();
            Some((planned.name.to_string(), json!([planned.form.label(), unit, source, read])))
        })
        .collect();
    normal.sort_by(|(one, _), (other, _)| one.cmp(other));
    json!(normal)
}

/// Names in place of numbers: a number changes when a feed or a capture elsewhere comes or goes.
struct Names<'p> {
    plan: &'p RunPlan,
    captures: BTreeMap<u16, &'p str>,
    setup: BTreeMap<u16, &'p str>,
}

impl<'p> Names<'p> {
    /// The names that these actions know.
    fn of(plan: &'p RunPlan, actions: &'p [Action]) -> Self {
        Self { plan, captures: captured(actions), setup: captured(&plan.setup) }
    }

    fn headers(&self, headers: &[Header]) -> Json {
        let is_own =
            |header: &&Header| header.name == "user-agent" && header.value.as_text() == Some(USER_AGENT);
        let mut headers: Vec<_> = headers
            .iter()
            .filter(|header| !is_own(header))
            .map(|header| (&header.name, self.template(&header.value).to_string()))
            .collect();
        headers.sort();
        headers.into_iter().map(|(name, value)| json!([name, value])).collect()
    }

    fn template(&self, template: &Template) -> Json {
        let part = |part: &Part| match part {
            Part::Text(text) => json!(text),
            Part::Secret(_) => json!({ "secret": true }),
            Part::Variable(variable) => match variable {
                Variable::Capture(slot) => json!({ "capture": self.captures.get(slot) }),
                Variable::Setup(slot) => json!({ "setup": self.setup.get(slot) }),
                Variable::Column { feed, column } => {
                    let feed = self.plan.feeds.get(usize::from(*feed));
                    let column = feed.and_then(|feed| feed.table.columns().get(usize::from(*column)));
                    json!({ "feed": feed.map(|feed| &feed.name), "column": column })
                }
                Variable::Made(function) => {
                    let function = self.plan.functions.get(usize::from(*function));
                    json!({ "function": function.map(ToString::to_string) })
                }
                Variable::Iteration => json!({ "builtin": "iteration" }),
                Variable::User => json!({ "builtin": "user" }),
                Variable::RunId => json!({ "builtin": "run.id" }),
            },
        };
        template.parts.iter().map(part).collect()
    }
}

fn captured(actions: &[Action]) -> BTreeMap<u16, &str> {
    let mut captured = BTreeMap::new();
    Action::walk(actions, &mut |action| match action {
        Action::Request(request) => {
            captured.extend(request.captures.iter().map(|capture| (capture.slot, capture.name.as_str())));
        }
        Action::Set(values) => captured.extend(values.iter().map(|set| (set.slot, set.name.as_str()))),
        _ => {}
    });
    captured
}
