use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_measure::{
    ConnectionFigures, ErrorSample, Histogram, KeptRequest, LatencyFigures, Outcome, Phase, Timing,
};
use plimsoll_sla::{Judgement, Measure, Recovery, Severity, ValidityReport};

use crate::{
    AddressSummary, Change, CheckSummary, ExportCount, GroupSummary, MeasureSummary, Model, Note,
    ProfileTaken, ResourceSourceSummary, ResourceSummary, Resumed, RunInfo, RunStatus, SamplesCount, Skew,
    StageShape, TimelinePoint,
};

/// A run in figures. Seconds, shares of one, requests per second; what has no data is `None`.
///
/// Unless a field says otherwise, figures cover the measured phase and grace.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which run.
    pub info: RunInfo,
    /// The `plan` label.
    pub plan: String,
    /// What history groups by.
    pub plan_hash: String,
    /// How load was offered.
    pub model: Model,
    /// How it ended; `None` while it runs.
    pub status: Option<RunStatus>,
    /// Why, unless it completed.
    pub reason: Option<String>,
    /// Wall time of its end, nanoseconds since 1970; of the last second known while it runs.
    pub ended_nanos: i64,
    /// From start to end.
    pub duration_seconds: f64,
    /// The measured part of the stages: what rates are divided by.
    pub measured_seconds: f64,
    /// Seconds of warm-up.
    pub warmup_seconds: f64,
    /// Whether the generator can be trusted.
    pub validity: ValidityReport,
    /// Counts per phase, in the order of phases, those that had any request or were planned.
    pub phases: Vec<PhaseSummary>,
    /// Counts and rates.
    pub totals: Totals,
    /// Whether requests were made, in whatever phase, and not one of them got any answer.
    pub unanswered: bool,
    /// Latency figures per timing.
    pub timings: BTreeMap<Timing, LatencyFigures>,
    /// Every response time, for who counts them anew.
    pub response_times: Histogram,
    /// The percentile curve of response time.
    pub response_curve: LatencyCurve,
    /// The percentile curve of service time.
    pub service_curve: LatencyCurve,
    /// What failed, most frequent first.
    pub errors: Vec<ErrorSummary>,
    /// One per scenario, in the plan's order.
    pub scenarios: Vec<ScenarioSummary>,
    /// One per step that has any request, in the plan's order.
    pub steps: Vec<StepSummary>,
    /// One per stage that began.
    pub stages: Vec<StageSummary>,
    /// One per group of steps, in the plan's order.
    pub groups: Vec<GroupSummary>,
    /// Checks of answers, in the plan's order.
    pub checks: Vec<CheckSummary>,
    /// One per value that the plan takes from replies, in the plan's order.
    pub measures: Vec<MeasureSummary>,
    /// One per figure of the target's resources, by source and name.
    pub resources: Vec<ResourceSummary>,
    /// One per source of those that was scraped.
    pub resource_sources: Vec<ResourceSourceSummary>,
    /// Profiles of the target, as they were fetched.
    pub profiles: Vec<Arc<ProfileTaken>>,
    /// One per objective, in the plan's order.
    pub objectives: Vec<ObjectiveSummary>,
    /// One per sink.
    pub exports: Vec<ExportCount>,
    /// What became of the requests chosen for the file of samples, where there was one.
    pub samples: Option<SamplesCount>,
    /// What else is worth telling.
    pub notes: Vec<Note>,
    /// How its load was made other than planned while it went on, in order.
    pub steered: Vec<SteeredSummary>,
    /// Where it went on in another process, in order.
    pub resumed: Vec<Resumed>,
    /// Connections opened and closed, all phases.
    pub connections: ConnectionFigures,
    /// Connections replaced because the target had closed them while idle, all phases.
    pub reconnects: u64,
    /// One per address, where there are several.
    pub addresses: Vec<AddressSummary>,
    /// How unequal the addresses are, where there are several.
    pub skew: Option<Skew>,
    /// What was counted together because the limits of measuring were reached, all phases.
    pub overflow: Option<OverflowSummary>,
    /// The course of the run, all phases.
    pub timeline: Vec<TimelinePoint>,
}

/// Requests counted together because the limits of measuring were reached: they are in totals, phases
/// and errors, and in no step, scenario or stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverflowSummary {
    /// At least how many series found no room.
    pub series: u64,
    /// Requests counted together.
    pub requests: u64,
}

/// Counts of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseSummary {
    /// Which.
    pub phase: Phase,
    /// Requests, cut ones included.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Arrivals dropped.
    pub dropped: u64,
    /// Requests cut.
    pub cut: u64,
}

/// Counts and rates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Arrivals due, dropped ones included.
    pub arrivals: u64,
    /// Iterations that ended.
    pub iterations: u64,
    /// Requests, cut ones included.
    pub requests: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Arrivals dropped for any cause.
    pub dropped: u64,
    /// Requests cut.
    pub cut: u64,
    /// Bytes read.
    pub received_bytes: u64,
    /// Bytes written.
    pub sent_bytes: u64,
    /// Succeeded requests per second.
    pub throughput: Option<f64>,
    /// Requests per second.
    pub request_rate: Option<f64>,
    /// failed / (succeeded + failed).
    pub error_ratio: Option<f64>,
    /// dropped / arrivals.
    pub dropped_ratio: Option<f64>,
}

/// Values at shares of the whole: (share from 0 to 1, seconds), ascending, no finer than the count carries.
pub type LatencyCurve = Vec<(f64, f64)>;

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorSummary {
    /// The kind.
    pub outcome: Outcome,
    /// How many requests.
    pub count: u64,
    /// A bounded number of what was said, most frequent first.
    pub samples: Vec<ErrorSample>,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioSummary {
    /// Its name.
    pub name: String,
    /// Most of its share of users at once; in the open model iterations in flight are not told apart and this is 0.
    pub users: u64,
    /// Iterations that ended.
    pub iterations: u64,
    /// Iterations that a failed step ended.
    pub iterations_failed: u64,
    /// Requests.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Succeeded requests per second.
    pub throughput: Option<f64>,
    /// Response times.
    pub response_time: LatencyFigures,
    /// Times of whole iterations, pauses included.
    pub iteration_time: LatencyFigures,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSummary {
    /// Its scenario.
    pub scenario: String,
    /// Its name.
    pub step: String,
    /// Requests.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Succeeded requests per second.
    pub throughput: Option<f64>,
    /// Bytes read.
    pub received_bytes: u64,
    /// Response times.
    pub response_time: LatencyFigures,
    /// Service times.
    pub service_time: LatencyFigures,
    /// Requests per HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// The slowest of each minute (or of longer stretches of a long run), slowest first.
    pub slowest: Vec<KeptRequest>,
    /// The first that failed in each minute (or longer stretch), in the order they ended.
    pub first_failed: Vec<KeptRequest>,
    /// Of all that failed so many that each had the same chance to be here, in the order they ended.
    pub failed_sample: Vec<KeptRequest>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSummary {
    /// Its place among the stages.
    pub index: usize,
    /// The scenario it is about, where some have loads of their own; `None`: all that share a load by weight.
    pub scenario: Option<String>,
    /// What its levels are.
    pub model: Model,
    /// How long the target took to be itself again after it, where it is a spike.
    pub recovery: Option<Recovery>,
    /// Its shape, with the end it really had.
    pub shape: StageShape,
    /// Arrivals that were due in it per second.
    pub offered: f64,
    /// Succeeded requests of it per second.
    pub throughput: f64,
    /// failed / (succeeded + failed).
    pub error_ratio: Option<f64>,
    /// Response times.
    pub response_time: LatencyFigures,
    /// Whether its load was other than planned in some part of it: its shape is the plan's, `offered` is what was
    /// really due.
    pub steered: bool,
}

/// A load that was made other than planned.
#[derive(Debug, Clone, PartialEq)]
pub struct SteeredSummary {
    /// When that was decided, in seconds from the start.
    pub at: f64,
    /// When it took effect, likewise.
    pub effective: f64,
    /// Whose load it was, where scenarios have loads of their own and it was one of them.
    pub scenario: Option<String>,
    /// What it was from then on.
    pub change: Change,
    /// Who asked.
    pub by: String,
    /// All of that in a few words.
    pub words: String,
}

/// One objective.
#[derive(Debug, Clone)]
pub struct ObjectiveSummary {
    /// Its name.
    pub name: String,
    /// What is promised, as typed.
    pub text: String,
    /// The figure it looks at.
    pub figure: Measure,
    /// How bad a miss is.
    pub severity: Severity,
    /// Whether it was kept.
    pub judgement: Judgement,
}
