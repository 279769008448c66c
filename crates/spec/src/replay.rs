//! `replay`: a scenario whose arrivals and requests are those of an access log.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_data::{LogError, LogRules, LogSummary, METHODS, Methods, Table};
use plimsoll_run::{
    Action, Comparison, Expect, Feed, FeedOrder, Header, If, LoadModel, OnFailure, Part, Replay, Request,
    RequestMeasure, Template, Variable,
};
use plimsoll_units::duration;
use plimsoll_workload::{Curve, Spacing, Stage, StageKind};
use sha2::{Digest, Sha256};

use crate::diagnostic::Finding;
use crate::expect::expect;
use crate::feeds::{hex, source};
use crate::http::headers;
use crate::load::MOST_IN_FLIGHT_BY_ITSELF;
use crate::read::{Object, Reader};
use crate::template::Scope;
use crate::tree::Node;
use crate::words::{self, MOST_IN_FLIGHT};

/// How far a line may be behind the one before it, unless the plan says: as long as most requests take.
const TOLERANCE: Duration = Duration::from_secs(10);

/// Slower or faster than this a replay says nothing about the log any more.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// What `replay` says, and what came of reading the log.
pub(crate) struct ReadReplay {
    pub(crate) load: LoadModel,
    pub(crate) feed: Feed,
    pub(crate) replay: Replay,
    /// The name of its only step.
    pub(crate) step: String,
    pub(crate) actions: Vec<Action>,
}

/// What the rest of the plan means for a replay.
pub(crate) struct Around<'a> {
    /// Names that its headers may have in templates.
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) measures: Vec<RequestMeasure>,
    /// The longest a step may take.
    pub(crate) timeout: Duration,
    /// What the log will be among the plan's feeds.
    pub(crate) feed: u16,
}

/// Reads the `replay` of a scenario.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    scenario: &Object<'_>,
    node: &Node,
    around: &Around<'_>,
) -> Option<ReadReplay> {
    for key in ["weight", "load", "think_time", "pacing", "steps"] {
        if scenario.get(key).is_some() {
            let finding =
                Finding::error(scenario.key_place(key), format!("`{key}` has no meaning beside `replay`"));
            reader.report(finding.help("arrivals and requests are those of the log: leave it out"));
        }
    }
    let object = reader.object(node, &words::REPLAY)?;
    let start_after = match scenario.get("start_after") {
        Some(node) => reader.duration(node)?,
        None => Duration::ZERO,
    };
    let step = match object.get("name") {
        Some(node) => reader.name(node)?,
        None => "replay".to_owned(),
    };
    let speed = match object.get("speed") {
        Some(node) => speed(reader, node)?,
        None => 1.0,
    };
    let rules = rules(reader, &object)?;
    let own = object.get("headers").map(|node| headers(reader, node, around.scope)).unwrap_or_default();
    let expect = object.get("expect").and_then(|node| expect(reader, node)).unwrap_or_default();
    let asked = object.get("max_in_flight");
    let asked = asked.and_then(|node| reader.whole(node, "a number of iterations", 1..=MOST_IN_FLIGHT));
    let log = object.get("log")?;
    let (feed, summary) = open(reader, log, rules)?;
    let curve = curve(&summary, speed)?;
    if curve.length() + start_after > duration::LONGEST {
        reader.error(node.place, "the replay lasts more than ten years");
        return None;
    }
    let by_itself = summary.busiest_second as f64 * speed * around.timeout.as_secs_f64();
    let by_itself = by_itself.ceil().clamp(1.0, MOST_IN_FLIGHT_BY_ITSELF) as u32;
    let mut stages = vec![Stage::along(curve, StageKind::Replay)];
    if !start_after.is_zero() {
        stages.insert(0, Stage { kind: StageKind::Pause, length: start_after });
    }
    let max_in_flight = asked.map_or(by_itself, |asked| asked as u32);
    let load = LoadModel::Open { stages, spacing: Spacing::Uniform, max_in_flight };
    let notes = notes(&feed.name, &summary).into_iter().map(|(note, help)| {
        reader.report(Finding::advice(log.place, note.as_str()).help(help));
        note
    });
    let notes = notes.collect();
    let actions = actions(&summary, around.feed, (own, expect, around.measures.clone()));
    let replay = Replay { feed: around.feed, speed, notes };
    Some(ReadReplay { load, feed, replay, step, actions })
}

fn speed(reader: &mut Reader<'_>, node: &Node) -> Option<f64> {
    let text = reader.scalar(node, "a speed")?.text();
    let number = text.trim().strip_suffix('x').unwrap_or(text.trim()).trim_end();
    let speed = number.parse().ok().filter(|speed| SPEEDS.contains(speed));
    if speed.is_none() {
        reader.expected(
            node,
            "a speed",
            Some("write how many times as fast: `2x`, `0.5x`; from 0.001x to 1000x"),
        );
    }
    speed
}

fn rules(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<LogRules> {
    let tolerance = match object.get("tolerance") {
        Some(node) => reader.duration(node)?,
        None => TOLERANCE,
    };
    let Some(node) = object.get("methods") else {
        return Some(LogRules { methods: Methods::SAFE, tolerance });
    };
    let items = reader.some(node, "methods");
    let names: Vec<_> = items.iter().filter_map(|item| reader.word(item, "a method", &METHODS)).collect();
    // Where some are wrong, that was said.
    (names.len() == items.len() && !names.is_empty())
        .then(|| Methods::of(names))?
        .map(|methods| LogRules { methods, tolerance })
}

/// The log as a feed, and what is in it.
fn open(reader: &mut Reader<'_>, node: &Node, rules: LogRules) -> Option<(Feed, LogSummary)> {
    let source = source(reader, node)?;
    let mut digest = Sha256::new();
    let opened = Table::open_log(source, rules, |at, method, path| {
        digest.update(at.to_le_bytes());
        for text in [method, path] {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
    });
    match opened {
        Ok((table, summary)) => {
            let name = node.scalar().map(|scalar| scalar.shown()).unwrap_or_default();
            let digest = hex(&digest.finalize());
            Some((Feed { name, table: Arc::new(table), digest, order: FeedOrder::Recorded }, summary))
        }
        Err(error) => {
            let help = match &error {
                LogError::Read(_) => "paths are relative to the plan".to_owned(),
                LogError::Backwards { .. } => format!(
                    "`tolerance` allows {}: lines of a log follow each other in time; sort those of several logs",
                    duration::format(rules.tolerance)
                ),
                LogError::Empty(_) => {
                    "a log is in the Common or Combined Log Format or has JSON lines, and is not compressed"
                        .to_owned()
                }
            };
            let message = format!("the log {} cannot be replayed: {error}", node.kind());
            reader.report(Finding::error(node.place, message).help(help));
            None
        }
    }
}

/// How many requests there are over time.
fn curve(summary: &LogSummary, speed: f64) -> Option<Curve> {
    // Each end is rounded by itself, so that the sum of many stretches is not off.
    let at = |second: u64| Duration::from_nanos((second as f64 * 1e9 / speed).round() as u64);
    let stretches = (0_u64..).zip(&summary.stretches).map(|(place, count)| {
        let start = place * summary.stretch_seconds;
        let end = (start + summary.stretch_seconds).min(summary.seconds);
        let length = at(end).saturating_sub(at(start));
        (length, *count as f64 / (end - start) as f64 * speed)
    });
    Curve::of_steps(stretches)
}

/// What is not replayed as it stands in the log, and what can be done about it.
fn notes(name: &str, summary: &LogSummary) -> Vec<(String, &'static str)> {
    let mut notes = Vec::new();
    let (lines, left_out) = (summary.lines, summary.left_out.iter().sum::<u64>());
    if left_out > 0 {
        let names =
            METHODS.into_iter().chain(["others"]).zip(summary.left_out).filter(|(_, count)| *count > 0);
        let each: Vec<_> = names.map(|(name, count)| format!("{name} {count}")).collect();
        let each = each.join(", ");
        notes.push((
            format!("lines of the log `{name}` that are not replayed for their method: {left_out} of {lines} ({each})"),
            "`methods: [GET, HEAD, POST]` takes those too, without the bodies that a log lacks",
        ));
    }
    if let Some((line, fault)) = summary.first_unreadable {
        let unreadable = summary.unreadable;
        notes.push((
            format!(
                "lines of the log `{name}` that cannot be replayed: {unreadable} of {lines}; the first is line {line}: {fault}"
            ),
            "a line is in the Common or Combined Log Format, or an object with `time`, `method` and `path`",
        ));
    }
    if summary.late > 0 {
        let (late, behind) = (summary.late, duration::format(Duration::from_nanos(summary.latest)));
        notes.push((
            format!(
                "requests of the log `{name}` that are out of order: {late}, by {behind} at most; each is replayed with the one before it"
            ),
            "servers write a line when its request ends; `tolerance` says how much disorder is usual",
        ));
    }
    notes
}

/// One request, with the method and the path of its line.
fn actions(
    summary: &LogSummary,
    feed: u16,
    (headers, expect, measures): (Vec<Header>, Expect, Vec<RequestMeasure>),
) -> Vec<Action> {
    let hole = |column| Template { parts: vec![Part::Variable(Variable::Column { feed, column })] };
    let request = |method: &str| {
        Action::Request(Box::new(Request {
            step: 0,
            method: method.to_owned(),
            url: hole(1),
            query: None,
            headers: headers.clone(),
            without_auth: false,
            body: None,
            gzip: false,
            timeout: None,
            expect: expect.clone(),
            captures: Vec::new(),
            measures: measures.clone(),
            checks: Vec::new(),
            on_failure: OnFailure::EndIteration,
            retry: None,
            until: None,
        }))
    };
    let mut methods: Vec<_> =
        METHODS.into_iter().zip(summary.replayed).filter(|(_, count)| *count > 0).collect();
    // The frequent ones are asked for first.
    methods.sort_by_key(|(_, count)| *count);
    let mut actions = Vec::new();
    for (method, _) in methods {
        actions = match actions.is_empty() {
            true => vec![request(method)],
            false => vec![Action::If(If {
                value: hole(0),
                is: Comparison::Equals(method.into()),
                then: vec![request(method)],
                otherwise: actions,
            })],
        };
    }
    actions
}
