//! Plans as people write them: YAML text to a [`RunPlan`], or everything that is wrong with it.
//!
//! Reading is pure. The caller brings the text, the environment and the files; what comes back is a
//! plan in which everything is resolved, checked and bounded, so that nobody after this has to ask
//! again. A text becomes a tree in which every value knows its place; overrides and variables are put
//! into the tree; then one pass reads typed values from it and collects every mistake. A plan with one
//! mistake is no plan: nothing is guessed, nothing is skipped.
//!
//! Secrets never leave through here except as [`plimsoll_run::Secret`]: not in messages, excerpts, the
//! kept text or the hash.

mod advice;
mod auth;
mod bodies;
mod captures;
mod cloudwatch;
mod comparison;
mod diagnostic;
mod expect;
mod export;
mod feeds;
mod flow;
mod holes;
mod http;
mod json;
mod json_schema;
mod load;
mod measures;
mod network;
mod notify;
mod objectives;
pub mod openslo;
mod overrides;
mod pauses;
mod profiles;
mod promises;
mod read;
mod record;
mod regular;
mod remote_write;
mod replay;
mod resource_objectives;
mod resources;
mod schedule;
mod schema;
mod sending;
mod singles;
mod steps;
mod target;
mod teardown;
mod template;
mod tree;
mod variables;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use plimsoll_run::{Action, ExportSettings, LoadModel, NotifySettings, Part, Request, RunPlan, Scenario};
use plimsoll_sla::Sla;

pub use diagnostic::{Diagnostic, Excerpt, Weight};
pub use schema::schema;

use diagnostic::{Finding, Place, Sources};
use read::Reader;
use template::Scope;
use tree::{Node, Value};

/// The text of a plan.
#[derive(Debug, Clone)]
pub struct Source {
    /// What messages call it: the path as it was typed.
    pub name: String,
    /// The text itself.
    pub text: String,
}

/// Gives the bytes of a table by its path as the plan has it, or says to the plan's author why not.
pub type OpenTable<'a> = dyn Fn(&str) -> Result<plimsoll_data::Source, String> + 'a;

/// What a plan needs from outside, and what the command line says about it.
pub struct Inputs<'a> {
    /// The value of an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The bytes of a file; the path is as the plan has it, relative to the plan. The error is said
    /// to the plan's author, and names no path.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The bytes of a table, for callers that leave large ones where they are; without it tables are read like other files.
    pub open: Option<&'a OpenTable<'a>>,
    /// Overrides in the order they were typed: `load.stages[1].for=10s`.
    pub set: Vec<String>,
    /// The target, in place of the plan's.
    pub target: Option<String>,
    /// The seed, in place of the plan's.
    pub seed: Option<u64>,
    /// Tags, added to the plan's or in place of them.
    pub tags: BTreeMap<String, String>,
    /// What is promised beside what the plan says; those of them that are about this plan become its objectives.
    pub slas: &'a [Sla],
}

impl<'a> Inputs<'a> {
    /// Inputs that say nothing beyond the plan.
    pub fn new(
        env: &'a dyn Fn(&str) -> Option<String>,
        read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Self {
        Self {
            env,
            read,
            open: None,
            set: Vec::new(),
            target: None,
            seed: None,
            tags: BTreeMap::new(),
            slas: &[],
        }
    }
}

impl fmt::Debug for Inputs<'_> {
    /// Overrides may hold secrets and are counted only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("set", &self.set.len())
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// A plan that can be run.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The plan.
    pub plan: RunPlan,
    /// What its author should know.
    pub advice: Vec<Diagnostic>,
}

/// How many mistakes are shown: nobody reads more at once.
const MOST_SHOWN: usize = 100;

/// Reads a plan.
///
/// # Errors
/// Everything that is wrong with it (the first 100 things and how many more there are), in the order of the text; of a text that is not YAML, the first
/// thing.
pub fn parse(source: &Source, inputs: &Inputs<'_>) -> Result<Parsed, Vec<Diagnostic>> {
    parse_pruned(source, inputs, |_, _| {})
}

/// Reads of a plan what undoes its run: teardown, and what its requests need. Its load is none that was meant. `is_kept` says that the text
/// is that of a record, where secrets that were typed are missing.
///
/// # Errors
/// As [`parse`], of this part only.
pub fn parse_teardown(
    source: &Source,
    inputs: &Inputs<'_>,
    is_kept: bool,
) -> Result<RunPlan, Vec<Diagnostic>> {
    let parsed = parse_pruned(source, inputs, |reader, root| teardown::prune(reader, root, is_kept))?;
    Ok(parsed.plan)
}

/// Reads a plan as the record of a run keeps it, where secrets that were typed are missing.
///
/// # Errors
/// As [`parse`], and where a secret is missing.
pub fn parse_kept(source: &Source, inputs: &Inputs<'_>) -> Result<RunPlan, Vec<Diagnostic>> {
    let parsed = parse_pruned(source, inputs, |reader, root| teardown::missing_secrets(reader, root))?;
    Ok(parsed.plan)
}

/// What of a plan's teardown needs values that setup captured, which nobody knows once the run is gone: names of
/// its steps.
pub fn teardown_needs_setup(plan: &RunPlan) -> Vec<String> {
    teardown::needs_setup(plan)
}

fn parse_pruned(
    source: &Source,
    inputs: &Inputs<'_>,
    prune: impl Fn(&mut Reader<'_>, &mut Node),
) -> Result<Parsed, Vec<Diagnostic>> {
    let mut reader =
        Reader { inputs, sources: Sources::default(), findings: Vec::new(), functions: Vec::new() };
    let plan = tree(&mut reader, source, prune).and_then(|root| plan(&mut reader, &root));
    let mut findings = std::mem::take(&mut reader.findings);
    findings.sort_by_key(Finding::order);
    let failed = findings.iter().any(Finding::is_error);
    findings.retain(|finding| finding.is_error() == failed);
    let more = findings.len().saturating_sub(MOST_SHOWN);
    if failed && more > 0 {
        findings.truncate(MOST_SHOWN);
        findings.push(Finding::error(None, format!("mistakes beyond these: {more}")));
    }
    let diagnostics = findings.into_iter().map(|finding| reader.sources.finish(finding)).collect();
    match plan {
        Some(plan) if !failed => Ok(Parsed { plan, advice: diagnostics }),
        _ => Err(diagnostics),
    }
}

/// Reads where a plan exports to, and nothing else of it: of a recorded plan whose files may be gone.
///
/// # Errors
/// Everything that is wrong with that part; of a text that is not YAML, the first thing.
pub fn parse_export(source: &Source, inputs: &Inputs<'_>) -> Result<ExportSettings, Vec<Diagnostic>> {
    let mut reader =
        Reader { inputs, sources: Sources::default(), findings: Vec::new(), functions: Vec::new() };
    // Who was told needs variables that nobody has any more.
    let settings = tree(&mut reader, source, |_, root| keep(root, |key| key != "notify")).map(|root| {
        let export = reader.object(&root, &words::PLAN).and_then(|plan| plan.get("export"));
        export.map(|node| export::read(&mut reader, node)).unwrap_or_default()
    });
    finish(reader, settings)
}

/// Reads who is told, and nothing else: of a plan, or of a service's configuration. `None` where neither says it.
///
/// # Errors
/// Everything that is wrong with that part; of a text that is not YAML, the first thing.
pub fn parse_notify(source: &Source, inputs: &Inputs<'_>) -> Result<Option<NotifySettings>, Vec<Diagnostic>> {
    let mut reader =
        Reader { inputs, sources: Sources::default(), findings: Vec::new(), functions: Vec::new() };
    let settings = tree(&mut reader, source, |_, root| keep(root, |key| key == "notify"))
        .map(|root| root.get("notify").map(|node| notify::read(&mut reader, node)));
    finish(reader, settings)
}

/// Leaves of a text the parts with these keys.
fn keep(root: &mut Node, is_meant: impl Fn(&str) -> bool) {
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|entry| is_meant(&entry.key));
    }
}

/// What was read, or everything that is wrong with it.
fn finish<T>(mut reader: Reader<'_>, settings: Option<T>) -> Result<T, Vec<Diagnostic>> {
    let findings = std::mem::take(&mut reader.findings);
    match settings {
        Some(settings) if !findings.iter().any(Finding::is_error) => Ok(settings),
        _ => Err(findings.into_iter().map(|finding| reader.sources.finish(finding)).collect()),
    }
}

/// The tree of a plan, overrides and variables put in, secrets marked; `prune` leaves out what is not asked for.
fn tree(
    reader: &mut Reader<'_>,
    source: &Source,
    prune: impl Fn(&mut Reader<'_>, &mut Node),
) -> Option<Node> {
    let id = reader.sources.add(&source.name, &source.text);
    let mut root = match tree::load(&source.text, id, 0) {
        Ok(root) => root,
        Err(finding) => {
            // Without a tree nobody knows which texts are secret.
            cover_likely_secrets(&mut reader.sources, id, &source.text);
            reader.report(finding);
            return None;
        }
    };
    for text in &reader.inputs.set {
        overrides::apply(reader, &mut root, text);
    }
    if let Some(target) = &reader.inputs.target {
        overrides::put_text(reader, &mut root, "target", "the target given", target);
    }
    prune(reader, &mut root);
    variables::substitute(reader, &mut root);
    variables::hide_secrets(reader, &mut root);
    promises::expand(reader, &mut root);
    promises::about_others(reader, &root);
    promises::add(reader, &mut root);
    Some(root)
}

/// Covers what stands behind words that announce a secret, and credentials in URLs, in a text that is
/// not understood.
fn cover_likely_secrets(sources: &mut Sources, source: usize, text: &str) {
    const WORDS: [&str; 9] = [
        "token",
        "password",
        "bearer",
        "basic",
        "authorization",
        "cookie",
        "secret",
        "api-key",
        "routing_key",
    ];
    let mut at = 0;
    let mut is_notify = false;
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        // Whoever knows the URL of a receiver may write there.
        if line.starts_with(|first: char| !first.is_whitespace() && first != '#') {
            is_notify = line.starts_with("notify");
        }
        if let (true, Some(url)) = (is_notify, line.find("://")) {
            sources.cover(Place { source, start: at + url + 3, end: at + line.len() });
        }
        let ends = WORDS.iter().filter_map(|word| Some(lower.find(word)? + word.len()));
        // What follows is covered up to the end of the line: too much rather than too little.
        if let Some(end) = ends.min() {
            let value = end + line[end..].find([':', '=', ' ']).map_or(0, |sign| sign + 1);
            sources.cover(Place { source, start: at + value, end: at + line.len() });
        }
        if let (Some(scheme), Some(sign)) = (line.find("://"), line.rfind('@')) {
            sources.cover(Place { source, start: at + scheme + 3, end: at + sign.max(scheme + 3) });
        }
        at += line.len();
    }
}

/// Reads the plan from its tree. `None` where so much is wrong that there is nothing to return.
fn plan(reader: &mut Reader<'_>, root: &Node) -> Option<RunPlan> {
    let object = reader.object(root, &words::PLAN)?;
    let name = object.get("name").and_then(|node| reader.name(node));
    let target = object.get("target").and_then(|node| target::read(reader, node));
    let tags = tags(reader, object.get("tags"));
    let seed = object.get("seed").and_then(|node| reader.whole(node, "a seed", 0..=u64::MAX));
    let (mut feeds, feed_places) =
        object.get("data").map(|node| feeds::read(reader, node)).unwrap_or_default();
    // The plan's own headers go with setup's requests too, so they name only what every step knows.
    let mut http = http::settings(reader, object.get("http"), &Scope::default());
    let from_target = target.as_ref().and_then(|target| target.authorization.clone());
    let from_auth = match object.get("auth").and_then(|node| auth::read(reader, node)) {
        Some(auth::Credentials::Header(header)) => Some(header),
        Some(auth::Credentials::Made(auth)) => {
            if http::has_header(&http.headers, "authorization") || from_target.is_some() {
                reader.report(more_than_one_login(object.key_place("auth")));
            }
            http.network.auth = Some(auth);
            None
        }
        None => None,
    };
    for (header, place) in [(from_target, object.key_place("target")), (from_auth, object.key_place("auth"))]
    {
        let Some(header) = header else { continue };
        if http::has_header(&http.headers, &header.name) {
            reader.report(more_than_one_login(place));
        } else {
            http.headers.push(header);
        }
    }
    if let (Some(node), Some(target)) = (object.get("http"), &target) {
        network::about_target(reader, node, target, http.version, &http.network);
    }
    let tls = object.get("tls").map(|node| http::tls(reader, node)).unwrap_or_default();
    let nodes = steps::StepNodes {
        setup: object.get("setup"),
        teardown: object.get("teardown"),
        scenarios: object.get("scenarios"),
        timeout: http.timeout,
    };
    let measures = measures::Measures::read(reader, object.get("measure"), nodes.scenarios);
    let mut steps = steps::read(reader, &nodes, &feeds, target.as_ref().map(|target| &target.url), &measures);
    feeds.append(&mut steps.logs);
    let sharing = steps.scenarios.iter().filter(|scenario| scenario.load.is_none());
    let longest = sharing.map(|one| Request::longest_timeout(&one.actions, http.timeout)).max();
    let longest = longest.unwrap_or(http.timeout);
    let load = load::read(reader, object.get("load"), longest, &mut steps.scenarios, object.place);
    load::pacing(reader, load.as_ref(), &steps);
    let uses_tls = target.as_ref().is_none_or(|target| target.url.scheme() == "https") || sends_https(&steps);
    let target_url = target.as_ref().map(|target| &target.url);
    let resources =
        object.get("resources").map(|node| resources::read(reader, node, target_url)).unwrap_or_default();
    let subject = objectives::Subject {
        load: load.as_ref(),
        scenarios: &steps.scenarios,
        steps: &steps.steps,
        uses_tls,
        measures: &measures.own_values(),
        resources: object.get("resources").map(|node| resource_objectives::Sources::of(node, &resources)),
    };
    let sla = object.get("sla").map(|node| objectives::read(reader, node, &subject)).unwrap_or_default();
    let profiles = object.get("profiles").and_then(|node| profiles::read(reader, node, target_url));
    let export = object.get("export").map(|node| export::read(reader, node)).unwrap_or_default();
    let notify = object.get("notify").map(|node| notify::read(reader, node)).unwrap_or_default();
    let trace = object.get("trace").and_then(|node| singles::trace(reader, node));
    let samples = object.get("samples").and_then(|node| singles::samples(reader, node));
    let limits = object.get("limits").map(|node| http::limits(reader, node)).unwrap_or_default();
    let resume = object.get("resume").and_then(|node| reader.flag(node)).unwrap_or(false);
    if resume && let (Some(load), Some(node)) = (&load, object.get("resume")) {
        resumable(reader, &load.load.model, &steps.scenarios, node.place);
    }
    if reader.has_errors() {
        return None;
    }
    let (load, target) = (load?, target?);
    let (overload_objectives, sla): (Vec<_>, Vec<_>) =
        sla.into_iter().partition(|(objective, _)| objectives::is_of_overload(objective));
    let (objectives, objective_places) = sla.into_iter().unzip();
    let mut plan = RunPlan {
        name: name?,
        hash: String::new(),
        text: record::text(root),
        target: target.all.first()?.url.clone(),
        targets: target.all,
        addresses: target.addresses,
        version: tags.get("version").cloned(),
        environment: tags.get("environment").cloned(),
        tags,
        seed: reader.inputs.seed.or(seed),
        load: load.load,
        http,
        tls,
        feeds,
        functions: std::mem::take(&mut reader.functions),
        setup: steps.setup,
        setup_captures: steps.setup_captures,
        teardown: steps.teardown,
        scenarios: steps.scenarios,
        steps: steps.steps,
        groups: steps.groups,
        checks: steps.checks,
        objectives,
        overload_objectives: overload_objectives.into_iter().map(|(objective, _)| objective).collect(),
        resources,
        profiles,
        export,
        notify,
        trace,
        samples,
        resume,
        measures: measures.planned,
        limits,
    };
    // A sink of spans is none where nothing is traced.
    let is_traced = plan.trace.is_some();
    plan.export.otlp.iter_mut().for_each(|otlp| otlp.traces &= is_traced);
    plan.hash = record::hash(&plan);
    let places = advice::Places {
        target: object.get("target").map(|node| node.place),
        teardown: object.get("teardown").map(|node| node.place),
        load: load.place,
        first_stage: load.first_stage,
        scenarios: steps.places,
        feeds: feed_places,
        objectives: objective_places,
        profiles: object.get("profiles").map(|node| node.place),
    };
    reader.findings.extend(advice::advise(&plan, &places));
    Some(plan)
}

/// What a run would have to know to go on that no record tells.
fn resumable(reader: &mut Reader<'_>, model: &LoadModel, scenarios: &[Scenario], place: Place) {
    let mut loads = std::iter::once(model).chain(scenarios.iter().filter_map(|one| one.load.as_ref()));
    if loads.any(LoadModel::counts_each_user) {
        let finding = Finding::error(place, "a load with `iterations_per_user` cannot be resumed");
        reader.report(
            finding.help("no record tells how many each user has done: leave out `resume`, or bound the load by `iterations`"),
        );
    }
}

fn more_than_one_login(place: Place) -> Finding {
    Finding::error(place, "the plan has more than one set of credentials").help(
        "they stand in `auth`, in the target's URL and in the `authorization` header: leave one of them",
    )
}

/// The plan's tags, if it has any, and those of the command line, which win.
fn tags(reader: &mut Reader<'_>, node: Option<&Node>) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for entry in node.map(|node| reader.entries(node, "tags")).unwrap_or_default() {
        if let Some(value) = reader.scalar(&entry.node, "a text") {
            // Tags are labels and stand in every record: what is secret in them stays out.
            tags.insert(entry.key.clone(), value.shown());
        }
    }
    tags.extend(reader.inputs.tags.clone());
    tags
}

fn sends_https(steps: &steps::ReadSteps) -> bool {
    let mut sends = false;
    for scenario in &steps.scenarios {
        Action::requests(&scenario.actions, &mut |request| {
            sends |= match request.url.parts.first() {
                Some(Part::Text(text)) => text.starts_with("https://"),
                // A captured URL may lead anywhere.
                Some(Part::Variable(_) | Part::Secret(_)) => true,
                None => false,
            };
        });
    }
    sends
}
