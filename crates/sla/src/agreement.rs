//! A service-level objective with all that is needed to judge it, to write its rules and to draw it.
//!
//! An [`Sla`] is what a file of promises says once everything in it is resolved. The judge of a run,
//! the service, the rules and the dashboards all start from it, so they cannot mean different things.

use std::fmt;
use std::ops::Range;

use crate::openslo::{Operator, RawType};
use crate::{BurnRule, RuleError, Share, Slo};

/// How queries name the window they look over, which is not theirs to choose.
pub(crate) const WINDOW_NAMES: [&str; 2] = ["{{.window}}", "{{ .window }}"];

/// What is promised, where its events come from, and when somebody is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Sla {
    /// What is promised. Its name is the label `sla`, unique among the files that are read together.
    pub slo: Slo,
    /// What people call it.
    pub title: String,
    /// What it is about; the label `service`.
    pub service: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Where its events come from.
    pub events: Events,
    /// When somebody is told that the budget goes too fast.
    pub alerts: Vec<AlertRule>,
    /// The published rules that can never fire for it, and why.
    pub never: Vec<(BurnRule, RuleError)>,
    /// Whether somebody is told when there are no data, and how urgent that is.
    pub no_data: Option<String>,
    /// What to do when it is broken.
    pub runbook_url: Option<String>,
    /// A label: there is one promise for each of its values.
    pub each: Option<String>,
    /// What does not count.
    pub exclusions: Vec<Exclusion>,
    /// What was agreed on for when so much of the budget is spent, the least first.
    pub policy: Vec<PolicyStep>,
    /// The promise that it is a part of, where there is one.
    pub part_of: Option<Part>,
}

/// Where events come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// Requests that Plimsoll sends.
    Runs(RunEvents),
    /// Two counters: their growth are the events.
    Counters {
        /// Who has them.
        source: Source,
        /// Good events, or bad ones.
        counted: Counted,
        /// The query of all events.
        total: String,
    },
    /// A figure. Each time it is read is an event, good where the comparison holds.
    Figure {
        /// Who has it.
        source: Source,
        /// Its query.
        query: String,
        /// How it is compared.
        op: Operator,
        /// With what.
        value: f64,
    },
    /// A ready-made share of good or bad events. Nobody knows of how many, so only `RatioTimeslices` can use it.
    Share {
        /// Who has it.
        source: Source,
        /// Its query.
        query: String,
        /// What it is the share of.
        of: RawType,
    },
}

/// What the counter beside the one of all events counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// The query of good events.
    Good(String),
    /// The query of bad events.
    Bad(String),
}

/// Who has the figures.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A Prometheus, asked in PromQL; the data source of this name, where one is named.
    Prometheus(Option<String>),
    /// What a service shows of itself for Prometheus to scrape; queries are plain selectors. The name of
    /// the data source.
    Exposition(String),
}

/// Requests of the runs of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEvents {
    /// The plan's name.
    pub plan: String,
    /// Only those of this scenario.
    pub scenario: Option<String>,
    /// Only those of this step.
    pub step: Option<String>,
    /// What is good.
    pub good: Good,
}

/// What is good about a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Good {
    /// A request that succeeded.
    Succeeded,
    /// A request that succeeded within this response time, as typed: `250ms`.
    Within(String),
    /// Apdex: twice a request that succeeded within this response time, once one that did within four times as long, of twice
    /// all requests (Apdex Technical Specification 1.1, section 4).
    Apdex(String),
    /// A second, where a figure of it is as promised: `throughput >= 1000/s`.
    Second(String),
}

impl RunEvents {
    /// The objective of a run that counts these events, as plans write it, for the share `target`.
    pub fn objective(&self, target: Share) -> String {
        match &self.good {
            Good::Succeeded => format!("availability >= {target}"),
            Good::Within(time) => format!("within(response_time, {time}) >= {target}"),
            Good::Apdex(time) => format!("apdex(response_time, {time}) >= {target}"),
            Good::Second(objective) => objective.clone(),
        }
    }

    /// The window it is judged over in a run, in seconds; none where requests are counted.
    pub fn over(&self) -> Option<u32> {
        matches!(self.good, Good::Second(_)).then_some(1)
    }
}

/// When somebody is told that the budget goes too fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRule {
    /// When.
    pub rule: BurnRule,
    /// How bad that is: `page`, `ticket`, or whatever the file says.
    pub severity: String,
    /// Whom to tell, as the file calls them.
    pub notify: Vec<String>,
    /// Whether to tell when it is over, too.
    pub resolved: bool,
}

/// Time that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// From the start of one second to that of another; Unix time.
    pub seconds: Range<u64>,
    /// Why.
    pub reason: String,
}

/// What was agreed on for when so much of the budget is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStep {
    /// From this share of the budget on; above 0.
    pub spent: Share,
    /// What is done then.
    pub action: String,
}

/// One of several objectives that make a composite.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The name of the composite.
    pub name: String,
    /// How much it counts there, beside the weights of the others.
    pub weight: f64,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus(None) => f.write_str("a Prometheus"),
            Self::Prometheus(Some(name)) | Self::Exposition(name) => write!(f, "the data source `{name}`"),
        }
    }
}

impl AlertRule {
    /// A rule as it was published: it names nobody, and tells when it is over.
    pub(crate) fn published(rule: BurnRule) -> Self {
        Self { rule, severity: rule.urgency.label().to_owned(), notify: Vec::new(), resolved: true }
    }
}

impl Events {
    /// How long a figure or a share looks back whose query names the window, as Prometheus writes it.
    pub const FIGURE_WINDOW: &str = "1m";

    /// A query with the window it looks over put in where the query names it; `None` where it names none.
    pub fn over_window(query: &str, window: &str) -> Option<String> {
        let named = WINDOW_NAMES.into_iter().find(|name| query.contains(name))?;
        Some(query.replace(named, window))
    }
}
