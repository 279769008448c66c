//! What a search on a live system has found.

use crate::Gap;

/// The highest load that a live system keeps, and how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The plan's name.
    pub plan: String,
    /// Tag of its runs in the history.
    pub id: String,
    /// Whether loads are users, and not arrivals per second.
    pub is_users: bool,
    /// Between which loads it lies.
    pub gap: Gap,
    /// Requests answered well per second at the highest load that was kept.
    pub max_throughput: Option<f64>,
    /// Iterations running at once there: users, or by what was in flight.
    pub concurrent_users: Option<f64>,
    /// What showed first above the limit, in words.
    pub first_symptom: Option<String>,
    /// Whether it showed in a queue that grows: then `max_throughput` is the most the target can do.
    pub is_saturation: bool,
    /// Who could not do more.
    pub side: Option<Side>,
    /// Every trial, in its order.
    pub trials: Vec<TrialFigures>,
    /// What a reader has to know.
    pub warnings: Vec<String>,
}

/// Who cannot do more at a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// What is tested; nothing else was seen to be at its end.
    Target,
    /// The machine that offers the load: the target may well do more.
    Generator,
    /// The network between them.
    Network,
    /// This resource of the target.
    Resource(String),
}

impl Side {
    /// Its word in results.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Generator => "generator",
            Self::Network => "network",
            Self::Resource(_) => "resource",
        }
    }
}

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialFigures {
    /// The load offered: arrivals per second or users.
    pub load: f64,
    /// Whether it was kept.
    pub kept: bool,
    /// Why not, in words.
    pub why: Option<String>,
    /// Its run in the history.
    pub run: String,
    /// Measured seconds.
    pub seconds: f64,
    /// Requests sent, warm-up included.
    pub requests: u64,
    /// Requests answered well per second while the load was offered.
    pub throughput: Option<f64>,
    /// Response time, seconds: p50, p95 and p99.
    pub response_time: [Option<f64>; 3],
    /// Share of requests that failed.
    pub error_ratio: Option<f64>,
    /// Iterations running at once, on average over the seconds' ends.
    pub in_flight: Option<f64>,
}

impl Limit {
    /// Requests sent in all.
    pub fn requests(&self) -> u64 {
        self.trials.iter().map(|trial| trial.requests).sum()
    }

    /// How many requests it takes to climb to the limit in steps as narrow as the gap, each as long as
    /// `seconds`: what a search of this precision would cost without choosing where to look. In the
    /// open model; `None` in the closed one, and without a limit.
    pub fn requests_of_a_ramp(&self, seconds: f64) -> Option<f64> {
        let (low, high) = (self.gap.low?, self.gap.high?);
        let per_iteration = self.trials.iter().find(|trial| trial.load == low && trial.kept)?;
        let requests_each = per_iteration.throughput? / low;
        let steps = (high / (high - low)).ceil();
        (!self.is_users).then(|| seconds * requests_each * high * (steps + 1.0) / 2.0)
    }
}

/// What is left of a service that is asked for more than its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Overload {
    /// How many times the limit was offered.
    pub factor: f64,
    /// Arrivals per second offered.
    pub load: f64,
    /// Requests answered well per second meanwhile.
    pub answered: f64,
    /// Those of them within the objective for response time; `None` without one.
    pub in_time: Option<f64>,
    /// What was answered well, and in time where that is promised, as a share of the throughput at the limit.
    pub retained: Option<f64>,
    /// Requests refused at once: status 429 or 503.
    pub refused: u64,
    /// Requests that were given up waiting for.
    pub timed_out: u64,
    /// Arrivals dropped because too much was in flight.
    pub dropped: u64,
    /// Seconds from the end of the overload until answers are as they should be again; `None` when they were
    /// not as long as it was watched.
    pub recovery_seconds: Option<f64>,
    /// Its run in the history.
    pub run: String,
    /// Whether the generator offered what it should have.
    pub is_valid: bool,
}

/// How a target that scales by itself took a step of the load.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Arrivals per second before.
    pub from: f64,
    /// Arrivals per second after.
    pub to: f64,
    /// Seconds in which it had to settle.
    pub within_seconds: f64,
    /// How many times the baseline the mean response time of a second may be.
    pub band: f64,
    /// Mean response time before the step.
    pub baseline_seconds: f64,
    /// From the step until response time was back in the band and replicas stood still, for five seconds;
    /// `None` when that did not come.
    pub settled_seconds: Option<f64>,
    /// The longest mean response time of a second after the step.
    pub worst_seconds: Option<f64>,
    /// Replicas before and at the end, where something counts them.
    pub replicas: Option<(f64, f64)>,
    /// Its run in the history.
    pub run: String,
    /// Whether the generator offered what it should have.
    pub is_valid: bool,
}

impl Scaling {
    /// Whether it settled in time.
    pub fn is_kept(&self) -> bool {
        self.settled_seconds.is_some_and(|seconds| seconds <= self.within_seconds)
    }
}
