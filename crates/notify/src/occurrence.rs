//! What has happened, as whoever saw it says it. Times are Unix seconds.

use plimsoll_measure::Timing;
use plimsoll_run::{ExitCode, Occasion, Summary};
use plimsoll_sla::{Severity, Verdict};
use plimsoll_units::Quantile;
use plimsoll_units::duration::human;
use serde_json::Value;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Occurrence {
    /// A promise is being broken.
    Breach(Breach),
    /// It is kept again.
    Recovery(Recovery),
    /// A run is over.
    RunEnded(Box<RunEnded>),
    /// A search for the limit of a plan is over.
    SearchEnded(Box<SearchEnded>),
    /// A report that a schedule asks for was made, or was not.
    ReportEnded(ReportEnded),
    /// Something became worse than it was.
    Regression(Regression),
    /// A service comes near its limit.
    Capacity(CapacityNews),
}

/// What a promise, a run or a prediction is about. Outages are grouped by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The runs of a plan.
    Plan(String),
    /// A service, as an SLA names it.
    Service(String),
}

impl Subject {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Plan(name) | Self::Service(name) => name,
        }
    }

    /// What kind of thing it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Service(_) => "service",
        }
    }
}

/// Where more is to be seen, below the pages of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A run, by its id.
    Run(String),
    /// An SLA, by its name in metrics.
    Sla(String),
    /// A report, by its path, which begins with `/`.
    Report(String),
}

/// A promise that is being broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// Of what.
    pub subject: Subject,
    /// The promise's name, unique within its subject.
    pub promise: String,
    /// What is promised.
    pub objective: String,
    /// Since when.
    pub began: u64,
    /// When that was found.
    pub found: u64,
    /// One sentence for people, without a full stop.
    pub why: String,
    /// Whether a miss fails what is judged by it.
    pub severity: Severity,
    /// The figure in the seconds before, the newest last; `None` where there was none.
    pub course: Vec<Option<f64>>,
    /// Where it is shown.
    pub page: Option<Page>,
}

/// A promise that is kept again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Of what.
    pub subject: Subject,
    /// The promise's name.
    pub promise: String,
    /// Since when.
    pub ended: u64,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnded {
    /// Its plan.
    pub plan: String,
    /// Its id.
    pub run: String,
    /// When it was over.
    pub ended: u64,
    /// How it ended.
    pub code: ExitCode,
    /// Why, unless it completed.
    pub reason: Option<String>,
    /// Where requests went, without user information.
    pub target: String,
    /// The version of what was tested.
    pub version: Option<String>,
    /// Where it was tested.
    pub environment: Option<String>,
    /// Whether the generator can be trusted: `valid`, `suspect`, `invalid`; and why not.
    pub validity: (&'static str, Vec<String>),
    /// What was promised and whether it was kept.
    pub objectives: Vec<Kept>,
    /// Its main figures: name and value as people read them.
    pub figures: Vec<(&'static str, String)>,
    /// The course of p95 of response time in seconds.
    pub course: Vec<Option<f64>>,
    /// Where a report of it was written on this machine.
    pub report: Option<String>,
}

/// What was promised of a run and whether it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The promise's name.
    pub name: String,
    /// What was promised.
    pub objective: String,
    /// Whether it was kept.
    pub verdict: Verdict,
    /// Whether a miss fails the run.
    pub severity: Severity,
    /// One sentence for people, without a full stop.
    pub why: String,
}

impl RunEnded {
    /// A run that is over, by its figures. `report` is where a report of it was written.
    pub fn of(summary: &Summary, code: ExitCode, report: Option<String>) -> Self {
        let response = summary.timings.get(&Timing::ResponseTime);
        let per_second = |rate: Option<f64>| rate.map(|rate| format!("{rate:.1}/s"));
        let share = |ratio: Option<f64>| ratio.map(|ratio| format!("{:.2}%", ratio * 100.0));
        let figures = [
            ("requests", Some(summary.totals.requests.to_string())),
            ("throughput", per_second(summary.totals.throughput)),
            ("p95 response time", response.and_then(|figures| figures.p95).map(human)),
            ("p99 response time", response.and_then(|figures| figures.p99).map(human)),
            ("errors", share(summary.totals.error_ratio)),
            ("duration", Some(human(summary.duration_seconds))),
        ];
        Self {
            plan: summary.plan.clone(),
            run: summary.info.id.clone(),
            ended: u64::try_from(summary.ended_nanos / 1_000_000_000).unwrap_or(0),
            code,
            reason: summary.reason.clone(),
            target: summary.info.target.clone(),
            version: summary.info.version.clone(),
            environment: summary.info.environment.clone(),
            validity: (summary.validity.verdict.label(), summary.validity.reasons.clone()),
            objectives: summary
                .objectives
                .iter()
                .map(|objective| Kept {
                    name: objective.name.clone(),
                    objective: objective.text.clone(),
                    verdict: objective.judgement.verdict,
                    severity: objective.severity,
                    why: objective.judgement.why.clone(),
                })
                .collect(),
            figures: figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            course: summary
                .timeline
                .iter()
                .map(|point| point.response_time.quantile(Quantile::P95).map(|nanos| nanos as f64 / 1e9))
                .collect(),
            report,
        }
    }

    /// One that could not even begin, and why.
    pub fn not_begun(plan: String, target: String, code: ExitCode, reason: String, at: u64) -> Self {
        Self {
            plan,
            run: String::new(),
            ended: at,
            code,
            reason: Some(reason),
            target,
            version: None,
            environment: None,
            validity: ("unknown", Vec::new()),
            objectives: Vec::new(),
            figures: Vec::new(),
            course: Vec::new(),
            report: None,
        }
    }

    /// What it is to who is told; `None`: a person ended it, who knows.
    pub fn occasion(&self) -> Option<Occasion> {
        match self.code {
            ExitCode::Success => Some(Occasion::Success),
            ExitCode::Interrupted => None,
            ExitCode::Internal
            | ExitCode::Usage
            | ExitCode::Missed
            | ExitCode::Undecided
            | ExitCode::Unreachable => Some(Occasion::Failure),
        }
    }
}

/// A search for the limit of a plan that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchEnded {
    /// Its plan.
    pub plan: String,
    /// Its id: the tag `limit` of its runs.
    pub search: String,
    /// The schedule that started it, where one did.
    pub schedule: Option<String>,
    /// When it was over.
    pub ended: u64,
    /// How it ended.
    pub code: ExitCode,
    /// Why it could not go on, where it could not.
    pub reason: Option<String>,
    /// Where requests went, without user information.
    pub target: String,
    /// What it found, where it found something.
    pub found: Option<BreakingPoint>,
    /// Where its report was written on this machine, where no page shows that.
    pub report: Option<String>,
    /// Where its report is shown.
    pub page: Option<Page>,
}

impl SearchEnded {
    /// What it is to who is told: nothing where a person ended it, who knows. An answer that is not the one hoped for is both,
    /// what was found and a failure.
    pub fn occasions(&self) -> &'static [Occasion] {
        match (self.code, &self.found) {
            (ExitCode::Interrupted, _) => &[],
            (ExitCode::Success, _) => &[Occasion::Capacity],
            (ExitCode::Missed | ExitCode::Undecided, Some(_)) => &[Occasion::Capacity, Occasion::Failure],
            (
                ExitCode::Missed
                | ExitCode::Undecided
                | ExitCode::Internal
                | ExitCode::Usage
                | ExitCode::Unreachable,
                _,
            ) => &[Occasion::Failure],
        }
    }
}

/// Where a service breaks, as a search found it: arrivals per second, or users.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakingPoint {
    /// Whether loads are users.
    pub is_users: bool,
    /// Whether the answer is sure.
    pub is_sure: bool,
    /// The highest load that was kept.
    pub low: Option<f64>,
    /// The lowest load that was missed.
    pub high: Option<f64>,
    /// The load that is told as the limit.
    pub limit: Option<f64>,
    /// Requests answered well per second at the highest load that was kept.
    pub throughput: Option<f64>,
    /// Who could do no more: `target`, `generator`, `network`, or a resource of the target by name.
    pub side: Option<String>,
    /// How that showed first.
    pub symptom: Option<String>,
}

impl BreakingPoint {
    /// What a search says in its JSON; `None` where it knows of no load that was kept or missed.
    pub fn read(found: &Value) -> Option<Self> {
        let point = &found["breaking_point"];
        let number = |name: &str| point[name].as_f64();
        let text = |name: &str| point[name].as_str().map(str::to_owned);
        let (low, high) = (number("low"), number("high"));
        low.or(high)?;
        let is_users = found["unit"] == "users";
        Some(Self {
            is_users,
            is_sure: found["sure"] == true,
            low,
            high,
            // There is no half of a user: the most that were kept are the limit.
            limit: if is_users { low } else { number("rate") },
            throughput: number("max_throughput"),
            side: text("resource").or_else(|| text("side")),
            symptom: text("first_symptom"),
        })
    }

    /// A load as people read it.
    pub(crate) fn load(&self, load: f64) -> String {
        if self.is_users { format!("{load:.0} users") } else { format!("{load:.1}/s") }
    }

    /// A load with its whole unit.
    pub(crate) fn amount(&self, load: f64) -> String {
        if self.is_users { self.load(load) } else { format!("{load:.1} arrivals/s") }
    }

    /// Whether the machine that searched was at its end first.
    pub fn is_ours(&self) -> bool {
        self.side.as_deref() == Some("generator")
    }

    /// Which loads were kept and missed.
    pub fn interval(&self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("kept {} and missed {}", self.load(low), self.load(high)),
            (Some(low), None) => format!("kept {}, and tried no more", self.load(low)),
            (None, Some(high)) => format!("missed {}, and kept none", self.load(high)),
            (None, None) => "kept and missed none".to_owned(),
        }
    }
}

/// A report that a schedule asks for, made or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEnded {
    /// The schedule.
    pub schedule: String,
    /// Of what it is.
    pub of: ReportOf,
    /// When it was over.
    pub ended: u64,
    /// Whether it is there.
    pub is_made: bool,
    /// How it was made, or why it was not.
    pub words: String,
    /// Where it is shown.
    pub page: Option<Page>,
}

impl ReportEnded {
    /// What it is to who is told.
    pub fn occasion(&self) -> Occasion {
        if self.is_made { Occasion::Success } else { Occasion::Failure }
    }
}

/// Of what a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportOf {
    /// Where the service of a plan breaks.
    Capacity {
        /// The plan, as its runs are called.
        plan: String,
    },
    /// What a calendar month came to for SLAs.
    Slas {
        /// Which one, like `2026-11`.
        month: String,
    },
}

/// Something that became worse than it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// Of what.
    pub subject: Subject,
    /// When it was found.
    pub at: u64,
    /// What it was compared with.
    pub baseline: String,
    /// What became worse: one sentence each, without a full stop, the worst first.
    pub worse: Vec<String>,
    /// Where it is shown.
    pub page: Option<Page>,
}

/// A service that comes near its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct CapacityNews {
    /// Of what.
    pub subject: Subject,
    /// When it was found.
    pub at: u64,
    /// One sentence for people, without a full stop.
    pub why: String,
    /// Figures: name and value as people read them.
    pub figures: Vec<(String, String)>,
    /// Where it is shown.
    pub page: Option<Page>,
}
