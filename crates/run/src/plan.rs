use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_data::{Function, Table};
use plimsoll_measure::{Limits, Outcome, SingleRule, ValueForm, ValueName, ValueUnit};
use plimsoll_sla::Objective;
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Pause, RateProfile, Spacing, Stage, UserProfile};
use serde_json::Value;

use crate::{
    Body, CheckShape, Comparison, GroupShape, Network, NotifySettings, ProfilesSettings, Reuse, StepShape,
    Template,
};

/// The tag that the runs of a search for the limit have, with the search's id.
pub const LIMIT_TAG: &str = "limit";

/// A plan as it is meant: valid, resolved, ready to be run.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The `plan` label.
    pub name: String,
    /// Hash over the normalised plan without target, export, seed and secrets: what history groups by.
    pub hash: String,
    /// The resolved plan text for the record, `${NAME}` kept where a secret stood.
    pub text: String,
    /// Scheme and authority, like `http://127.0.0.1:8080`, maybe with a path that prefixes every step's.
    /// Where there are several, the first of `targets`: it is what people are shown.
    pub target: String,
    /// Where connections go, in turn by weight; at least one, the first that of `target`. All have the scheme and the path of
    /// `target`.
    pub targets: Vec<PlannedTarget>,
    /// Which addresses of a target's name connections go to; [`AddressChoice::All`] for one target only.
    pub addresses: AddressChoice,
    /// The version of what is tested, from `tags.version`.
    pub version: Option<String>,
    /// Where it is tested, from `tags.environment`.
    pub environment: Option<String>,
    /// Every tag.
    pub tags: BTreeMap<String, String>,
    /// The seed, where the plan or the command fixes it.
    pub seed: Option<u64>,
    /// How much load, when.
    pub load: Load,
    /// How requests are made.
    pub http: HttpSettings,
    /// How TLS is made.
    pub tls: TlsSettings,
    /// Rows for templates.
    pub feeds: Vec<Feed>,
    /// What makes values for holes of templates, one for each hole.
    pub functions: Vec<Function>,
    /// Steps run once before the load.
    pub setup: Vec<Action>,
    /// Number of capture slots that setup and teardown share.
    pub setup_captures: u16,
    /// Steps run once after the load, whatever happened.
    pub teardown: Vec<Action>,
    /// What iterations do.
    pub scenarios: Vec<Scenario>,
    /// Labels of every step: those of the scenarios in order, then setup's, then teardown's.
    /// [`Request::step`] is an index into it.
    pub steps: Vec<StepShape>,
    /// Labels of the groups, in the order of the plan. [`Group::group`] is an index into it.
    pub groups: Vec<GroupShape>,
    /// Labels of the checks, in the order of the plan. [`Check::check`] is an index into it.
    pub checks: Vec<CheckShape>,
    /// What is promised, and judged by every run.
    pub objectives: Vec<Objective>,
    /// What is promised beyond the limit (`goodput_retained`): no run at the plan's own load shows it.
    pub overload_objectives: Vec<Objective>,
    /// Where figures of the target and its machine come from, beside the load.
    pub resources: Vec<ResourceSource>,
    /// Which profiles of the target are fetched while the run goes on.
    pub profiles: Option<ProfilesSettings>,
    /// Where measurements go while it runs.
    pub export: ExportSettings,
    /// Who is told how it goes.
    pub notify: NotifySettings,
    /// Whether requests carry a `traceparent` header, and which of them are told with their trace.
    pub trace: Option<SingleRule>,
    /// The file that single requests are written to.
    pub samples: Option<SamplesSettings>,
    /// Whether a run of it goes on in another process where its own died.
    pub resume: bool,
    /// What is taken from replies, by name; at most [`plimsoll_measure::MOST_VALUES`].
    /// [`RequestMeasure::measure`] is an index into it.
    pub measures: Vec<PlannedMeasure>,
    /// What measuring may cost.
    pub limits: Limits,
}

/// A value that is taken from replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedMeasure {
    /// Its name: the `measure` label.
    pub name: ValueName,
    /// What becomes of it.
    pub form: ValueForm,
    /// What it is in.
    pub unit: ValueUnit,
}

impl RunPlan {
    /// Whose connections are, over HTTP/1.1.
    pub fn reuse(&self) -> Reuse {
        self.reuse_of(&self.load.model)
    }

    /// The same for the users of one of its loads.
    pub fn reuse_of(&self, load: &LoadModel) -> Reuse {
        self.http.network.reuse.unwrap_or(match load {
            LoadModel::Open { .. } => Reuse::Always,
            LoadModel::Closed { .. } => Reuse::PerUser,
        })
    }

    /// Users and iterations at once that share connections over HTTP/1.1.
    pub fn sharing(&self) -> u32 {
        let sharing = self.loads().filter(|load| self.reuse_of(load) == Reuse::Always);
        sharing.map(LoadModel::at_once).fold(0, u32::saturating_add)
    }

    /// The most connections that the plan has open at once, as far as it says so. Of several hosts, it is
    /// those to the target where the plan bounds them by host.
    ///
    /// Over HTTP/1.1 connections are shared, or a user's own, as [`Self::reuse_of`] says. Over HTTP/2 they are
    /// shared in both models, each by so many requests at once as it has streams.
    pub fn connections(&self) -> Connections {
        let http = &self.http;
        let at_once = self.loads().map(LoadModel::at_once).fold(0, u32::saturating_add);
        let is_open = self.loads().any(|load| matches!(load, LoadModel::Open { .. }));
        let sharing = self.sharing();
        let (asked, most) = match http.version {
            HttpVersion::Http1 => {
                let asked = http.connections.or(http.network.per_host).filter(|_| sharing > 0);
                (asked, (at_once - sharing).saturating_add(asked.unwrap_or(sharing)))
            }
            HttpVersion::Http2 => {
                let needed = at_once.div_ceil(http.streams.max(1)).max(1);
                (http.connections, http.connections.unwrap_or(needed))
            }
        };
        Connections { most, is_bound: is_open && asked.is_none() }
    }

    /// Every load of the plan: the one that scenarios share by weight, then those that scenarios have by
    /// themselves, in the order of the scenarios.
    pub fn loads(&self) -> impl Iterator<Item = &LoadModel> {
        let own = self.scenarios.iter().filter_map(|scenario| scenario.load.as_ref());
        std::iter::once(&self.load.model).chain(own)
    }

    /// The longest that a request of the scenarios that share the plan's load may take.
    pub fn longest_timeout(&self) -> Duration {
        let sharing = self.scenarios.iter().filter(|scenario| scenario.load.is_none());
        let longest = sharing.map(|one| Request::longest_timeout(&one.actions, self.http.timeout));
        longest.max().unwrap_or(self.http.timeout)
    }

    /// Whether rows of its feeds are drawn one after the other, so that where they stand decides what comes next.
    pub fn draws_rows(&self) -> bool {
        self.feeds.iter().any(|feed| feed.order != FeedOrder::Recorded)
    }

    /// Whether a scenario has a load by itself.
    pub fn has_own_loads(&self) -> bool {
        self.scenarios.iter().any(|scenario| scenario.load.is_some())
    }
}

/// How many connections a plan has open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// The most there can be; at least 1 where there is load at all.
    pub most: u32,
    /// Whether it is only a bound that nobody asked for: how many arrivals of the open model need depends
    /// on the target.
    pub is_bound: bool,
}

/// One of the places that connections go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTarget {
    /// Scheme and authority, maybe with a path; without credentials and without a slash at its end.
    pub url: String,
    /// Its share among the weights, 1 to 1,000.
    pub weight: u32,
}

/// Which addresses of a target's name connections go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressChoice {
    /// The first that accepts, looked up for each connection.
    #[default]
    First,
    /// Every address that the name resolves to when the run starts, in turn.
    All,
}

/// How much load, when.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Arrivals or users.
    pub model: LoadModel,
    /// How much of the first stages is exported and left out of verdicts and totals.
    pub warmup: Duration,
    /// How long requests in flight may finish after the stages.
    pub grace: Duration,
}

/// The two ways of offering load.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadModel {
    /// Arrivals per second, each timed from when it was due.
    Open {
        /// Rates over time.
        stages: Vec<Stage<Rate>>,
        /// How arrivals spread along the rate.
        spacing: Spacing,
        /// Iterations running at once; an arrival beyond is dropped, never delayed. At least 1.
        max_in_flight: u32,
    },
    /// Users who start the next iteration when the last one ended.
    Closed {
        /// Users over time.
        stages: Vec<Stage<Users>>,
        /// What else bounds what they do.
        limits: UserLimits,
    },
}

/// What bounds the iterations of closed users, beside their stages.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UserLimits {
    /// The load ends when this many iterations were started; the stages then bound its time.
    pub iterations: Option<u64>,
    /// Each user starts this many and leaves; the load ends when none is left. At least 1.
    pub per_user: Option<u64>,
    /// The most iterations started per second, over all users; above zero.
    pub at_most: Option<Rate>,
}

impl LoadModel {
    /// The most users or iterations that there are at once.
    pub fn at_once(&self) -> u32 {
        match self {
            Self::Open { max_in_flight, .. } => *max_in_flight,
            Self::Closed { stages, .. } => UserProfile::new(stages).peak(),
        }
    }

    /// How long its stages last.
    pub fn length(&self) -> Duration {
        match self {
            Self::Open { stages, .. } => stages.iter().map(|stage| stage.length).sum(),
            Self::Closed { stages, .. } => stages.iter().map(|stage| stage.length).sum(),
        }
    }

    /// Iterations it starts, where the plan says so.
    pub fn iterations(&self) -> Option<f64> {
        match self {
            Self::Open { stages, .. } => Some(RateProfile::new(stages).total()),
            Self::Closed { limits, .. } => limits.iterations.map(|iterations| iterations as f64),
        }
    }

    /// Whether it bounds what each of its users does.
    pub fn counts_each_user(&self) -> bool {
        matches!(self, Self::Closed { limits, .. } if limits.per_user.is_some())
    }

    /// Whether it may end before its stages do.
    pub fn may_end_early(&self) -> bool {
        match self {
            Self::Open { .. } => false,
            Self::Closed { limits, .. } => limits.iterations.is_some() || limits.per_user.is_some(),
        }
    }
}

/// How requests are made.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// What is spoken.
    pub version: HttpVersion,
    /// The most connections of a shared pool, which the open model and HTTP/2 have; `None`: as many as
    /// what is in flight at once may need.
    pub connections: Option<u32>,
    /// Requests at once on a connection of HTTP/2, at least 1. HTTP/1.1 has one and does not look at it.
    pub streams: u32,
    /// The most connections started per second, over the whole run; above zero. `None`: no limit.
    pub connect_rate: Option<Rate>,
    /// Local addresses that connections are bound to in turn; empty: the system chooses.
    pub source: Vec<IpAddr>,
    /// From when a worker got to the step to the last body byte, redirects and the wait for a
    /// connection included.
    pub timeout: Duration,
    /// TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// How many redirects a step follows; 0 takes a redirect as the answer.
    pub redirects: u32,
    /// Larger bodies end the request as `too_large`.
    pub max_body: u64,
    /// Sent with every request, unless a step has its own.
    pub headers: Vec<Header>,
    /// Connections, names and the way to the target, as far as a plan says something about them.
    pub network: Network,
}

/// The version of HTTP that requests are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.1, one request at a time per connection.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, without TLS by prior knowledge.
    Http2,
}

/// A request header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, lower case.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Whether the value must never be shown; its fixed texts are [`Part::Secret`](crate::Part) then.
    pub secret: bool,
}

/// How TLS is made. PEM texts, already read.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Trusted instead of the system's certificates.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate chain, with `key`.
    pub cert: Option<Vec<u8>>,
    /// The key of `cert`.
    pub key: Option<Secret>,
    /// The name to verify and to send, instead of the target's host.
    pub server_name: Option<String>,
    /// Accept any certificate. Only ever by explicit word.
    pub insecure: bool,
    /// Make every handshake in full, in place of resuming sessions.
    pub always_full: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken; not older than `min_version`.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    /// Its number.
    pub fn label(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// Rows that templates draw from.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Its name in the plan.
    pub name: String,
    /// Its columns and rows.
    pub table: Arc<Table>,
    /// SHA-256 over names and values of its columns, in hexadecimal digits: part of the plan's hash.
    pub digest: String,
    /// How iterations draw rows.
    pub order: FeedOrder,
}

/// What a scenario replays. Its load has a stage of that kind, and its feed is the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// Index into [`RunPlan::feeds`].
    pub feed: u16,
    /// How many times as fast as it was; above zero.
    pub speed: f64,
    /// What is left out of the log or taken otherwise, in sentences.
    pub notes: Vec<String>,
}

/// How iterations draw rows from a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedOrder {
    /// Each row once in a run; running out ends the run.
    Unique,
    /// In order, again from the first.
    Sequential,
    /// Any row, any number of times, from the seed.
    Random,
    /// All rows in a seeded order, again and again.
    Shuffled,
    /// The n-th arrival of the load has the n-th row; again from the first.
    Recorded,
}

/// What an iteration does.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// The `scenario` label.
    pub name: String,
    /// Its share among the weights; of no meaning with a load of its own.
    pub weight: u32,
    /// Its own load, beside the plan's, which is shared by the scenarios that have none.
    pub load: Option<LoadModel>,
    /// How long a closed user thinks after the last step of an iteration. What it thinks between two steps
    /// is among `actions`.
    pub think_time: Option<Pause>,
    /// Iterations of a closed user start at least so far apart.
    pub pacing: Option<Duration>,
    /// What it replays.
    pub replay: Option<Replay>,
    /// Its steps and pauses.
    pub actions: Vec<Action>,
    /// Number of capture slots of an iteration.
    pub captures: u16,
}

/// One thing an iteration does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Sends a request.
    Request(Box<Request>),
    /// Waits; the next step is due afterwards.
    Pause(Pause),
    /// Makes values for later steps.
    Set(Vec<Assignment>),
    /// What it does is timed together.
    Group(Group),
    /// Does the same several times.
    Repeat(Repeat),
    /// Does one thing or another.
    If(If),
    /// Does one of several things, drawn by weight; their weights are not all zero.
    OneOf(Vec<Branch>),
    /// Sends requests at once and goes on when the last of them is answered. Its actions are requests only.
    Parallel(Group),
}

impl Action {
    /// Calls `seen` with each request in these actions, in the order of the plan.
    pub fn requests<'a>(actions: &'a [Self], seen: &mut impl FnMut(&'a Request)) {
        Self::walk(actions, &mut |action| {
            if let Self::Request(request) = action {
                seen(request);
            }
        });
    }

    /// Calls `seen` with each of these actions and those within them, in the order of the plan.
    pub fn walk<'a>(actions: &'a [Self], seen: &mut impl FnMut(&'a Self)) {
        for action in actions {
            seen(action);
            match action {
                Self::Request(_) | Self::Pause(_) | Self::Set(_) => {}
                Self::Group(Group { actions, .. })
                | Self::Parallel(Group { actions, .. })
                | Self::Repeat(Repeat { actions, .. }) => Self::walk(actions, seen),
                Self::If(If { then, otherwise, .. }) => {
                    Self::walk(then, seen);
                    Self::walk(otherwise, seen);
                }
                Self::OneOf(branches) => branches.iter().for_each(|branch| Self::walk(&branch.actions, seen)),
            }
        }
    }

    /// The same, where each may be changed.
    pub fn walk_mut(actions: &mut [Self], seen: &mut impl FnMut(&mut Self)) {
        for action in actions {
            seen(action);
            match action {
                Self::Request(_) | Self::Pause(_) | Self::Set(_) => {}
                Self::Group(Group { actions, .. })
                | Self::Parallel(Group { actions, .. })
                | Self::Repeat(Repeat { actions, .. }) => Self::walk_mut(actions, seen),
                Self::If(If { then, otherwise, .. }) => {
                    Self::walk_mut(then, seen);
                    Self::walk_mut(otherwise, seen);
                }
                Self::OneOf(branches) => {
                    branches.iter_mut().for_each(|branch| Self::walk_mut(&mut branch.actions, seen));
                }
            }
        }
    }
}

/// Actions that are timed together, from when the first is due to the end of the last.
#[derive(Debug, Clone)]
pub struct Group {
    /// Index into [`RunPlan::groups`].
    pub group: u16,
    /// What it does.
    pub actions: Vec<Action>,
}

/// The same actions several times.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// How often at least.
    pub min: u32,
    /// How often at most; evenly drawn from `min..=max` by the seed.
    pub max: u32,
    /// What is repeated.
    pub actions: Vec<Action>,
}

/// One thing or another.
#[derive(Debug, Clone)]
pub struct If {
    /// What is looked at. A hole without a value makes it absent.
    pub value: Template,
    /// What it must be.
    pub is: Comparison,
    /// What is done where it is.
    pub then: Vec<Action>,
    /// What is done where it is not.
    pub otherwise: Vec<Action>,
}

/// One of several things.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Its share among the weights.
    pub weight: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

/// A value made for later steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its name in templates.
    pub name: String,
    /// Where it goes, as a [`Capture::slot`].
    pub slot: u16,
    /// The value.
    pub value: Template,
}

/// When a request that failed is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often again, at least once.
    pub max: u32,
    /// How long it waits before it sends the request again; twice as long each time after that.
    pub backoff: Duration,
    /// Failures of this kind are tried again.
    pub outcomes: Vec<Outcome>,
    /// So are answers with these statuses.
    pub statuses: Vec<StatusRange>,
}

/// How a step is repeated until its answer says that something is done.
#[derive(Debug, Clone)]
pub struct Until {
    /// What the answer must be in the end, beside what is always expected of it.
    pub expect: Expect,
    /// How long after an answer the next request is due.
    pub every: Duration,
    /// How long after the step was first due no further request is made: the step has failed then.
    pub timeout: Duration,
}

/// A step: one request, with the redirects it leads to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Index into [`RunPlan::steps`].
    pub step: u16,
    /// HTTP method, upper case; not CONNECT.
    pub method: String,
    /// Path and query below the target, or an absolute URL.
    pub url: Template,
    /// What is added to the query of `url`: pairs with `&` between them, encoded but for the holes.
    pub query: Option<Template>,
    /// Its own headers; they win over the plan's.
    pub headers: Vec<Header>,
    /// Whether it goes out without the plan's credentials.
    pub without_auth: bool,
    /// What is sent, if anything.
    pub body: Option<Body>,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// How long it may take; `None`: as the plan says.
    pub timeout: Option<Duration>,
    /// What its answer must be.
    pub expect: Expect,
    /// What is taken from its answer.
    pub captures: Vec<Capture>,
    /// What is measured in its answer.
    pub measures: Vec<RequestMeasure>,
    /// What is looked at and counted, and decides about nothing.
    pub checks: Vec<Check>,
    /// What a failure does to the iteration.
    pub on_failure: OnFailure,
    /// When it is sent again after a failure; `None`: never.
    pub retry: Option<Retry>,
    /// What its answer must become.
    pub until: Option<Until>,
}

impl Request {
    /// Every template in what is sent.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let headers = self.headers.iter().map(|header| &header.value);
        let body = self.body.iter().flat_map(Body::templates);
        std::iter::once(&self.url).chain(&self.query).chain(headers).chain(body)
    }

    /// The longest that one of the requests in these actions may take; `timeout` is the plan's.
    pub fn longest_timeout(actions: &[Action], timeout: Duration) -> Duration {
        let mut longest = None;
        Action::requests(actions, &mut |request| {
            longest = longest.max(Some(request.timeout.unwrap_or(timeout)));
        });
        longest.unwrap_or(timeout)
    }
}

/// What a failed step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The iteration ends; steps not reached are not counted.
    #[default]
    EndIteration,
    /// The iteration goes on.
    Continue,
    /// The run ends, as failed.
    StopRun,
}

/// What is looked at in answers and counted. It never fails the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Index into [`RunPlan::checks`].
    pub check: u16,
    /// All that must hold; a status only where it is written.
    pub expect: Expect,
}

/// What an answer must be. Without `status`, 200 to 399 is right.
#[derive(Clone, Default, PartialEq)]
pub struct Expect {
    /// Any of these.
    pub status: Vec<StatusRange>,
    /// All of these.
    pub headers: Vec<HeaderExpectation>,
    /// Texts the body must contain.
    pub body_contains: Vec<String>,
    /// What the whole body must be, as text.
    pub body: Option<Comparison>,
    /// What the length of the body in bytes must be.
    pub size: Option<Comparison>,
    /// JSON paths (RFC 9535) and what the first match of each must be.
    pub json: Vec<(String, Comparison)>,
    /// XPath 1.0 expressions and what the text that each finds first must be.
    pub xpath: Vec<(String, Comparison)>,
    /// A JSON Schema that the body must keep to.
    pub schema: Option<Value>,
    /// The longest response time.
    pub within: Option<Duration>,
    /// The longest time from the request's first byte to the answer's.
    pub first_byte_within: Option<Duration>,
    /// None of these may hold, each by itself. It has no `not` within.
    pub not: Option<Box<Expect>>,
    /// Whether something expected is secret; then no message quotes what was expected.
    pub secret: bool,
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Expect");
        shown.field("status", &self.status).field("within", &self.within);
        shown.field("first_byte_within", &self.first_byte_within);
        if !self.secret {
            shown.field("headers", &self.headers).field("body_contains", &self.body_contains);
            shown.field("body", &self.body).field("size", &self.size).field("json", &self.json);
            shown.field("xpath", &self.xpath).field("schema", &self.schema).field("not", &self.not);
        }
        shown.finish_non_exhaustive()
    }
}

/// Statuses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderExpectation {
    /// Its name, lower case.
    pub name: String,
    /// What its value must be, as text; the first of several.
    pub is: Comparison,
}

/// What is taken from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Its name in templates.
    pub name: String,
    /// Where the value goes: a slot of the iteration, or of setup for the steps of setup and teardown.
    pub slot: u16,
    /// Where it comes from.
    pub source: CaptureSource,
    /// Which of many.
    pub pick: Pick,
    /// What happens where nothing is found.
    pub absent: Absent,
}

impl Capture {
    /// The first of what is found, without which the step fails.
    pub fn new(name: impl Into<String>, slot: u16, source: CaptureSource) -> Self {
        Self { name: name.into(), slot, source, pick: Pick::First, absent: Absent::Fails }
    }
}

/// The longest value that is captured, in bytes: what an iteration keeps has to be bounded by its plan.
pub const MOST_CAPTURED: usize = 64 << 10;

/// Where a captured value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureSource {
    /// The matches of a JSON path (RFC 9535) in the body.
    JsonPath(String),
    /// The matches of a regular expression in the body.
    Regex {
        /// The expression.
        pattern: String,
        /// The group that is taken, by its number or name; `None`: the first, or the match where it has none.
        group: Option<String>,
    },
    /// What an XPath 1.0 expression finds in a body of XML.
    XPath(String),
    /// The values of a response header, lower case.
    Header(String),
    /// A cookie that the answer sets, or that the user has for where it came from.
    Cookie(String),
}

/// Which of the values that were found is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// This one, counted from 1.
    Nth(u32),
    /// One that is drawn.
    Random,
}

/// What it means that nothing is found to capture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Absent {
    /// The step fails.
    #[default]
    Fails,
    /// The value stays unknown.
    Unknown,
    /// This is captured in its place.
    Is(String),
}

/// How a value is taken from the answers of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestMeasure {
    /// Index into [`RunPlan::measures`].
    pub measure: u16,
    /// Where it stands.
    pub source: MeasureSource,
    /// How it is read.
    pub read: MeasureRead,
}

/// Where a value stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeasureSource {
    /// A response header, lower case; the first of several.
    Header(String),
    /// An entry of `server-timing` by its name: its `dur` for a number (milliseconds), its `desc` for a text.
    ServerTiming(String),
    /// The first match of a JSON path (RFC 9535) in the body.
    JsonPath(String),
    /// How many bytes the body has.
    BodySize,
}

/// How a value is read.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasureRead {
    /// As a number, times this: 0.001 for milliseconds.
    Number {
        /// What one of it is in the measure's unit; finite, above zero.
        factor: f64,
    },
    /// As a whole number.
    Whole,
    /// Whether it is this text.
    Equals(String),
}

/// Where figures of the target or its machine come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSource {
    /// Its name, unique in the plan: the `source` label.
    pub name: String,
    /// Where to look.
    pub origin: ResourceOrigin,
    /// How often: whole seconds, at least one.
    pub interval: Duration,
}

/// Where to look for figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceOrigin {
    /// An endpoint in Prometheus' text format.
    Metrics(ResourceEndpoint),
    /// A process of this machine by its number.
    Process(u32),
    /// The process of this machine that listens on this TCP port.
    Port(u16),
    /// This machine.
    Host,
}

/// An endpoint in Prometheus' text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceEndpoint {
    /// Where it is; `http` or `https`. Its query may hold a secret, so it is never shown.
    pub url: Secret,
    /// Sent with each scrape: names in lower case and values.
    pub headers: Vec<(String, Secret)>,
    /// Names of samples to keep beside those that are known.
    pub metrics: Vec<String>,
}

/// Where measurements go while the run goes on.
#[derive(Debug, Clone, Default)]
pub struct ExportSettings {
    /// A `/metrics` endpoint.
    pub prometheus: Option<PrometheusExport>,
    /// A receiver of Prometheus remote write.
    pub remote_write: Option<RemoteWriteExport>,
    /// An InfluxDB.
    pub influxdb: Option<InfluxExport>,
    /// A receiver of the OpenTelemetry protocol.
    pub otlp: Option<OtlpExport>,
    /// A file.
    pub file: Option<FileExport>,
    /// A StatsD server or agent.
    pub statsd: Option<StatsdExport>,
    /// Elasticsearch or OpenSearch.
    pub elasticsearch: Option<ElasticsearchExport>,
    /// Amazon CloudWatch.
    pub cloudwatch: Option<CloudWatchExport>,
    /// Kafka.
    pub kafka: Option<KafkaExport>,
    /// Where points wait for their sinks.
    pub spool: SpoolSettings,
    /// The most series of a run that each sink is told one by one; `None`: [`Self::SERIES`].
    pub series: Option<u32>,
}

impl ExportSettings {
    /// The most series where a plan does not say: many times what a plan of a hundred steps has.
    pub const SERIES: u32 = 10_000;
}

/// Where points wait for their sinks: a bounded queue on disk for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The folder of all queues; `None`: they are kept in memory, and lost with the process.
    pub directory: Option<PathBuf>,
    /// The most bytes that may wait for one sink.
    pub size: u64,
    /// What gives way when so many wait.
    pub when_full: WhenFull,
    /// What a loss of power may cost.
    pub sync: SpoolSync,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            directory: None,
            size: 1_000_000_000,
            when_full: WhenFull::DropOldest,
            sync: SpoolSync::Every(Duration::from_secs(1)),
        }
    }
}

/// What gives way in a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// What waits longest.
    DropOldest,
    /// What comes.
    DropNewest,
}

/// When what waits is made to survive a loss of power; a killed process loses none of it either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolSync {
    /// When the system likes.
    Never,
    /// At least so often.
    Every(Duration),
    /// Each second before the next.
    Always,
}

/// The file that single requests are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplesSettings {
    /// Where it is; relative to the working directory.
    pub file: PathBuf,
    /// What is written.
    pub format: SamplesFormat,
    /// Which requests.
    pub rule: SingleRule,
}

/// How single requests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplesFormat {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
}

/// A `/metrics` endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusExport {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long it stays after the run for one last scrape; `None`: twice the interval seen.
    pub linger: Option<Duration>,
    /// How long the summary of a run stays where the process lives on.
    pub keep: Duration,
}

/// A receiver of Prometheus remote write.
#[derive(Debug, Clone)]
pub struct RemoteWriteExport {
    /// The whole URL that requests go to, without credentials.
    pub url: String,
    /// The version of the protocol.
    pub version: RemoteWriteVersion,
    /// Bearer token.
    pub token: Option<Secret>,
    /// User and password; not beside a token.
    pub login: Option<(String, Secret)>,
    /// Sent with every request: names in lower case and values.
    pub headers: Vec<(String, Secret)>,
    /// Labels of every series; one without a value takes a default away.
    pub labels: BTreeMap<String, String>,
    /// The form of histograms.
    pub histograms: RemoteWriteHistograms,
    /// How many requests may be under way at once, each with series of its own; at least one.
    pub lanes: u8,
}

/// A version of Prometheus remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoteWriteVersion {
    /// 2.0, and 1.0 to who does not understand it.
    #[default]
    Auto,
    /// 1.0.
    One,
    /// 2.0.
    Two,
}

/// The form of histograms in Prometheus remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoteWriteHistograms {
    /// Native and classic buckets beside each other.
    #[default]
    Both,
    /// Native buckets alone.
    Native,
    /// Classic buckets alone.
    Classic,
}

/// A write endpoint of InfluxDB.
#[derive(Debug, Clone)]
pub struct InfluxExport {
    /// Scheme, host, port and maybe a path before the write route.
    pub url: String,
    /// Where in it points go, which differs by version.
    pub place: InfluxPlace,
}

/// Where in an InfluxDB points go, and who may put them there.
#[derive(Debug, Clone)]
pub enum InfluxPlace {
    /// Version 1.
    Version1 {
        /// Database.
        database: String,
        /// Retention policy; `None`: that of the database.
        retention_policy: Option<String>,
        /// User and password.
        user: Option<(String, Secret)>,
    },
    /// Version 2.
    Version2 {
        /// Organisation.
        org: String,
        /// Bucket.
        bucket: String,
        /// API token.
        token: Option<Secret>,
    },
    /// Version 3.
    Version3 {
        /// Database.
        database: String,
        /// API token.
        token: Option<Secret>,
    },
}

/// A file to which points are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileExport {
    /// Where it is.
    pub path: PathBuf,
    /// What its lines are.
    pub format: FileFormat,
}

/// What the lines of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// JSON objects.
    Ndjson,
    /// Rows of CSV below a header.
    Csv,
}

/// A StatsD server or agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdExport {
    /// Where it listens.
    pub address: StatsdAddress,
    /// Whether it reads tags and distributions as the Datadog agent does.
    pub dogstatsd: bool,
    /// What every name begins with, before a dot; may be empty.
    pub prefix: String,
}

/// Where StatsD listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsdAddress {
    /// Host and port.
    Udp(String),
    /// A datagram socket of this machine.
    Unix(PathBuf),
}

/// Elasticsearch or OpenSearch.
#[derive(Debug, Clone)]
pub struct ElasticsearchExport {
    /// Scheme, host, port and maybe a path before `/_bulk`.
    pub url: String,
    /// The index or data stream.
    pub index: String,
    /// Whether it is a data stream.
    pub data_stream: bool,
    /// Who may write.
    pub credentials: Option<SearchCredentials>,
}

/// Who may write to Elasticsearch or OpenSearch.
#[derive(Debug, Clone)]
pub enum SearchCredentials {
    /// A bearer token.
    Token(Secret),
    /// An API key in its encoded form.
    ApiKey(Secret),
    /// A user and a password.
    User(String, Secret),
}

/// Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaExport {
    /// Hosts and ports of which one at least answers; the others of the cluster are learnt from it.
    pub brokers: Vec<String>,
    /// Where messages go.
    pub topic: String,
}

/// Amazon CloudWatch.
#[derive(Debug, Clone)]
pub struct CloudWatchExport {
    /// The region; `None`: that of the environment.
    pub region: Option<String>,
    /// What metrics stand under.
    pub namespace: String,
    /// Scheme and host, maybe a port and a path; `None`: the region's own.
    pub endpoint: Option<String>,
    /// Of every series, beside `TestSuite` and `Version` or in place of them; one without a value takes a default away.
    pub dimensions: BTreeMap<String, String>,
    /// Which metrics are sent, of [`Self::METRICS`].
    pub metrics: Vec<&'static str>,
    /// How finely they are stored.
    pub resolution: CloudWatchResolution,
    /// Who may write; `None`: as the environment says.
    pub credentials: Option<AwsCredentials>,
}

impl CloudWatchExport {
    /// Those that say whether a target holds, and at what load: every series is paid for by the month.
    pub const DEFAULT_METRICS: [&str; 6] =
        ["requests", "response_time", "dropped_arrivals", "offered_rate", "run_validity", "sla_met"];

    /// Every metric there is, as CloudWatch is told them.
    pub const METRICS: [&str; 57] = [
        "response_time",
        "service_time",
        "schedule_lag",
        "wait",
        "connect_time",
        "tls_time",
        "first_byte_time",
        "iteration_time",
        "group_time",
        "checks",
        "requests",
        "dropped_arrivals",
        "received_bytes",
        "sent_bytes",
        "offered_rate",
        "virtual_users",
        "in_flight_requests",
        "connections",
        "connections_opened",
        "connections_failed",
        "connections_closed",
        "connection_requests",
        "connection_reuse",
        "connection_wait",
        "generator_cpu",
        "generator_worker_cpu",
        "generator_worker_wait",
        "generator_steal",
        "generator_throttled",
        "generator_stall",
        "generator_descriptors",
        "generator_descriptors_limit",
        "generator_tcp_sockets",
        "generator_time_wait_sockets",
        "generator_local_ports",
        "generator_retransmits",
        "generator_round_trip",
        "generator_receive_queue_bytes",
        "generator_link",
        "generator_rss_bytes",
        "generator_available_memory_bytes",
        "generator_memory_pressure",
        "resource",
        "resource_scrapes",
        "measure",
        "measure_bytes",
        "measure_value",
        "measure_amount",
        "measure_amount_bytes",
        "measure_ratio_good",
        "measure_ratio_events",
        "measure_missing",
        "run_validity",
        "sla_met",
        "sla_observed",
        "sla_good_events",
        "sla_events",
    ];

    /// The labels of these metrics, which are dimensions and so no names for a plan's own.
    pub const LABELS: [&str; 16] = [
        "scenario", "step", "group", "check", "result", "phase", "outcome", "status", "cause", "tls",
        "reason", "source", "resource", "unit", "measure", "sla",
    ];
}

/// How finely CloudWatch stores values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudWatchResolution {
    /// Each second, for three hours; then each minute.
    Second,
    /// Each minute.
    Minute,
}

/// Who may use Amazon Web Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// Which key.
    pub access_key_id: Secret,
    /// The key itself.
    pub secret_access_key: Secret,
    /// Of temporary credentials.
    pub session_token: Option<Secret>,
}

/// A receiver of the OpenTelemetry protocol.
#[derive(Debug, Clone)]
pub struct OtlpExport {
    /// Scheme, host, port and, over HTTP, maybe a path before `/v1/metrics` and `/v1/traces`.
    pub url: String,
    /// How requests travel.
    pub protocol: OtlpProtocol,
    /// Sent with every request: names in lower case and values.
    pub headers: Vec<(String, Secret)>,
    /// What a point counts.
    pub temporality: OtlpTemporality,
    /// The form of histograms.
    pub histograms: OtlpHistograms,
    /// Whether spans of the plan's traced requests are sent too.
    pub traces: bool,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
}

/// How requests of the OpenTelemetry protocol travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtlpProtocol {
    /// Protobuf in HTTP/1.1 posts.
    #[default]
    Http,
    /// gRPC.
    Grpc,
}

/// What a point of a counter or histogram counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtlpTemporality {
    /// Everything since the start of the run.
    #[default]
    Cumulative,
    /// Its own second.
    Delta,
}

/// The form of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtlpHistograms {
    /// Buckets that grow by a constant factor.
    #[default]
    Exponential,
    /// Buckets at fixed edges, the objectives' thresholds among them.
    Explicit,
}

/// A text that is never shown: its `Debug` and `Display` are `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
