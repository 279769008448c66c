//! The form a run's events have in records and exports: versioned JSON, one value a line.
//!
//! Reading is tolerant: unknown fields are skipped and missing ones take their empty value, so that
//! an older build reads what a newer one wrote as far as it can. Histograms are in base64 (values in
//! nanoseconds) beside their exact count, sum, extremes and counts at edges: in exports HDR V2+DEFLATE,
//! in rows of a record ([`to_rows`]) the counts of HDR V2 alone, which cost less and compress well together.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use plimsoll_measure::{
    Distribution, Edges, ErrorSample, Frame, IterationKey, IterationSeries, Limits, Outcome, Pending,
    PendingKey, Phase, Series, SeriesKey, Timing, ValueForm, ValueName, ValueUnit, Vitals,
};
use plimsoll_sla::{Expression, Filter, Objective, OwnValue, Severity};
use serde::{Deserialize, Serialize};

use crate::profiles::{ProfileLine, profile_in, profile_out};
use crate::{
    AddressShape, Calibration, CheckShape, Ended, ExportCount, Floor, Gauges, GroupShape, LoadShape, Machine,
    MeasureShape, Model, Note, Resumed, RunEvent, RunInfo, RunStatus, SamplesCount, ScenarioShape, Second,
    Shape, StageShape, Started, Steered, StepShape, Stretch,
};

mod measured;
mod stretch;

use measured::{
    AddressLine, CheckLine, ConnectionsLine, GroupLine, KeptLine, ScrapeLine, ValueLine, addresses_in,
    addresses_out, checks_in, checks_out, connections_in, connections_out, groups_in, groups_out, kept_in,
    kept_out, scrapes_in, scrapes_out, values_in, values_out,
};

use stretch::{StretchLine, stretch_head, stretch_in};

/// The version written into every `started` line. Readers accept it and every earlier one.
pub const VERSION: u32 = 1;

/// A line or blob that is no event.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not JSON of the expected shape.
    #[error("not an event: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a later version.
    #[error("the record is of version {found}, this build reads up to {VERSION}")]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// A value that means nothing.
    #[error("{field}: `{found}` means nothing here")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it held.
        found: String,
    },
    /// A histogram that is none.
    #[error("histogram of {field}: {reason}")]
    Histogram {
        /// Which one.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A second in pieces: its head and one text per series, as a store with a row per series keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondRows {
    /// Which second.
    pub second: u64,
    /// Gauges, iterations, requests in flight, errors.
    pub head: String,
    /// Each series that had requests.
    pub series: Vec<String>,
}

/// Writes an event as one line of JSON, without the line feed. `None` for derived events, which
/// records leave out.
pub fn to_line(event: &RunEvent) -> Option<String> {
    let line = match event {
        RunEvent::Started(started) => Line::Started(Box::new(started_out(started))),
        RunEvent::Phase { phase, at } => Line::Phase { phase: phase.label().to_owned(), at: *at },
        RunEvent::Second(second) => {
            let form = Form::Export;
            let series = second.frame.series.iter().map(|(key, series)| series_out(*key, series, form));
            Line::Second(Box::new(SecondLine { series: series.collect(), head: head_out(second, form) }))
        }
        RunEvent::Steered(steered) => Line::Steered(steered_out(steered)),
        RunEvent::Stretch(stretch) => {
            let form = Form::Export;
            let series = stretch.frame.series.iter().map(|(key, series)| series_out(*key, series, form));
            Line::Stretch(Box::new(SecondLine {
                series: series.collect(),
                head: stretch_head(stretch, form),
            }))
        }
        RunEvent::Resumed(Resumed { at, wall_nanos, away, cut }) => {
            Line::Resumed { at: *at, wall_nanos: *wall_nanos, away: *away, cut: *cut }
        }
        RunEvent::Profile(taken) => Line::Profile(Box::new(profile_out(taken))),
        RunEvent::Note(note) => Line::Note { at: note.at, text: note.text.clone() },
        RunEvent::Ended(ended) => Line::Ended(ended_out(ended)),
        RunEvent::Judged(_) => return None,
    };
    Some(json(&line))
}

/// Reads an event. Histograms count at `edges`, those of the run's shape ([`Edges::default`] before
/// its first event).
///
/// # Errors
/// When the line is no event of a known version.
pub fn from_line(line: &str, edges: &Edges) -> Result<RunEvent, WireError> {
    Ok(match serde_json::from_str(line)? {
        Line::Started(started) => RunEvent::Started(Arc::new(started_in(*started)?)),
        Line::Phase { phase, at } => {
            RunEvent::Phase { phase: label("phase", &phase, Phase::from_label)?, at }
        }
        Line::Second(second) => {
            let SecondLine { head, series } = *second;
            RunEvent::Second(Arc::new(second_in(head, series, edges)?))
        }
        Line::Steered(steered) => RunEvent::Steered(Arc::new(steered_in(steered)?)),
        Line::Stretch(stretch) => {
            let SecondLine { head, series } = *stretch;
            RunEvent::Stretch(Arc::new(stretch_in(head, series, edges)?))
        }
        Line::Resumed { at, wall_nanos, away, cut } => {
            RunEvent::Resumed(Resumed { at, wall_nanos, away, cut })
        }
        Line::Profile(line) => RunEvent::Profile(Arc::new(profile_in(*line)?)),
        Line::Note { at, text } => RunEvent::Note(Note { at, text }),
        Line::Ended(ended) => RunEvent::Ended(Arc::new(ended_in(ended)?)),
    })
}

/// Takes a second apart for a store with a row per series.
pub fn to_rows(second: &Second) -> SecondRows {
    let series = second.frame.series.iter();
    SecondRows {
        second: second.frame.second,
        head: json(&head_out(second, Form::Record)),
        series: series.map(|(key, series)| json(&series_out(*key, series, Form::Record))).collect(),
    }
}

/// Puts a second together again.
///
/// # Errors
/// When a row is not what [`to_rows`] wrote.
pub fn from_rows(rows: &SecondRows, edges: &Edges) -> Result<Second, WireError> {
    let head = serde_json::from_str(&rows.head)?;
    let series = rows.series.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
    second_in(head, series, edges)
}

/// Takes a stretch apart likewise; its rows have the number of its first second.
pub fn stretch_to_rows(stretch: &Stretch) -> SecondRows {
    let series = stretch.frame.series.iter();
    SecondRows {
        second: stretch.frame.second,
        head: json(&stretch_head(stretch, Form::Record)),
        series: series.map(|(key, series)| json(&series_out(*key, series, Form::Record))).collect(),
    }
}

/// Puts together what either took apart: a second or a stretch.
///
/// # Errors
/// When a row is not what [`to_rows`] or [`stretch_to_rows`] wrote.
pub fn event_from_rows(rows: &SecondRows, edges: &Edges) -> Result<RunEvent, WireError> {
    let head: HeadLine = serde_json::from_str(&rows.head)?;
    let series = rows.series.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
    Ok(match head.stretch {
        Some(_) => RunEvent::Stretch(Arc::new(stretch_in(head, series, edges)?)),
        None => RunEvent::Second(Arc::new(second_in(head, series, edges)?)),
    })
}

fn json(value: &impl Serialize) -> String {
    // Our own structs have text keys and no maps that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn label<T>(field: &'static str, text: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, WireError> {
    read(text).ok_or_else(|| WireError::Value { field, found: text.to_owned() })
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Started(Box<StartedLine>),
    Phase {
        phase: String,
        at: u64,
    },
    Second(Box<SecondLine>),
    /// Seconds told as one. A word of its own: who does not know it must not take it for a second.
    Stretch(Box<SecondLine>),
    Steered(SteeredLine),
    /// The run went on in another process.
    Resumed {
        at: u64,
        wall_nanos: i64,
        away: u64,
        #[serde(default)]
        cut: u64,
    },
    Profile(Box<ProfileLine>),
    Note {
        at: u64,
        text: String,
    },
    Ended(EndedLine),
}

/// The load is to be other than planned from `effective` on.
#[derive(Serialize, Deserialize)]
struct SteeredLine {
    at: u64,
    effective: u64,
    /// 0 is the load that scenarios share, behind it come those that scenarios have by themselves.
    loads: Vec<u16>,
    /// `rate 800/s`, `users 200`, `scale 1.5`, `pause`, `resume` or `stop`.
    change: String,
    #[serde(default)]
    by: String,
}

fn steered_out(steered: &Steered) -> SteeredLine {
    let Steered { at, effective, loads, change, by } = steered;
    SteeredLine {
        at: *at,
        effective: *effective,
        loads: loads.clone(),
        change: change.to_string(),
        by: by.clone(),
    }
}

fn steered_in(line: SteeredLine) -> Result<Steered, WireError> {
    let SteeredLine { at, effective, loads, change, by } = line;
    let change = label("change", &change, |text| text.parse().ok())?;
    Ok(Steered { at, effective, loads, change, by })
}

#[derive(Serialize, Deserialize)]
struct StartedLine {
    version: u32,
    run: InfoLine,
    shape: ShapeLine,
    #[serde(default)]
    plan_text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<CalibrationLine>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct CalibrationLine {
    rate: f64,
    service_time: FloorLine,
    schedule_lag: FloorLine,
    connections: u32,
    highest_rate: f64,
    kept_rate: Option<f64>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct FloorLine {
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct InfoLine {
    id: String,
    started_nanos: i64,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    machine: MachineLine,
    #[serde(default)]
    plimsoll: String,
    #[serde(default)]
    target: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct MachineLine {
    host: String,
    cpu: String,
    cores: u32,
    memory_bytes: u64,
    system: String,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct ShapeLine {
    plan: String,
    #[serde(default)]
    plan_hash: String,
    model: String,
    scenarios: Vec<ScenarioLine>,
    steps: Vec<StepLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupShapeLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckShapeLine>,
    stages: Vec<StageLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    own_loads: Vec<LoadLine>,
    #[serde(default)]
    warmup: f64,
    #[serde(default)]
    grace: f64,
    #[serde(default)]
    iterations: Option<u64>,
    edges: Vec<u64>,
    #[serde(default)]
    objectives: Vec<ObjectiveLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<AddressShapeLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    measures: Vec<MeasureLine>,
    #[serde(default)]
    limits: Option<LimitsLine>,
}

#[derive(Serialize, Deserialize)]
struct GroupShapeLine {
    scenario: String,
    #[serde(default)]
    scenario_index: Option<u16>,
    group: String,
}

#[derive(Serialize, Deserialize)]
struct CheckShapeLine {
    scenario: String,
    #[serde(default)]
    scenario_index: Option<u16>,
    step: String,
    check: String,
}

#[derive(Serialize, Deserialize)]
struct AddressShapeLine {
    name: String,
    weight: u32,
}

/// A value that is taken from replies.
#[derive(Serialize, Deserialize)]
struct MeasureLine {
    name: String,
    form: String,
    unit: String,
    /// In ticks of the unit.
    edges: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct LimitsLine {
    series: u32,
    memory_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct ScenarioLine {
    name: String,
    #[serde(default)]
    weight: u32,
}

#[derive(Serialize, Deserialize)]
struct StepLine {
    scenario: String,
    #[serde(default)]
    scenario_index: Option<u16>,
    step: String,
}

/// A load that a scenario has by itself.
#[derive(Serialize, Deserialize)]
struct LoadLine {
    scenario: u16,
    model: String,
    stages: Vec<StageLine>,
}

#[derive(Serialize, Deserialize)]
struct StageLine {
    kind: String,
    start: f64,
    end: f64,
    #[serde(default)]
    from: f64,
    #[serde(default)]
    to: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    course: Vec<(f64, f64)>,
}

#[derive(Serialize, Deserialize)]
struct ObjectiveLine {
    name: String,
    objective: String,
    #[serde(default)]
    over: Option<u32>,
    #[serde(default)]
    steps: Option<Vec<u16>>,
    #[serde(default)]
    scenarios: Option<Vec<u16>>,
    #[serde(default)]
    stage: Option<u16>,
    #[serde(default)]
    abort_after: Option<u32>,
    #[serde(default)]
    warning: bool,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SecondLine {
    #[serde(flatten)]
    head: HeadLine,
    #[serde(default)]
    series: Vec<SeriesLine>,
}

#[derive(Serialize, Deserialize)]
struct HeadLine {
    second: u64,
    #[serde(default)]
    wall_nanos: i64,
    #[serde(default)]
    offered_rate: f64,
    #[serde(default)]
    virtual_users: u64,
    #[serde(default)]
    connections: u64,
    #[serde(default)]
    generator_cpu_ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "VitalsLine::is_empty")]
    vitals: VitalsLine,
    #[serde(default, skip_serializing_if = "is_zero")]
    reconnects: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    iterations: Vec<IterationLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<PendingLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorLine>,
    #[serde(default, skip_serializing_if = "ConnectionsLine::is_empty")]
    connection_counts: ConnectionsLine,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<AddressLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<ValueLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<ScrapeLine>,
    #[serde(default, skip_serializing_if = "is_zero")]
    overflowed_series: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stretch: Option<Box<StretchLine>>,
}

/// What the machine did to the generator, less the share of processors it used: that one stands beside
/// it, where it was before there was anything else.
#[derive(Serialize, Deserialize, Clone, Copy, Default, PartialEq)]
#[serde(default)]
struct VitalsLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_cpu_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_wait_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steal_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stall_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_sockets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_wait_sockets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_ports: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_queue_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_pressure_ratio: Option<f64>,
}

impl VitalsLine {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
struct SeriesLine {
    step: u16,
    phase: String,
    #[serde(default)]
    stage: Option<u16>,
    outcome: String,
    requests: u64,
    #[serde(default)]
    received: u64,
    #[serde(default)]
    sent: u64,
    #[serde(default)]
    /// Pairs, because a JSON object's keys are no numbers.
    statuses: Vec<(u16, u64)>,
    #[serde(default)]
    timings: BTreeMap<String, DistributionLine>,
}

#[derive(Serialize, Deserialize)]
struct IterationLine {
    scenario: u16,
    phase: String,
    #[serde(default)]
    stage: Option<u16>,
    #[serde(default)]
    arrivals: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped_in_flight_limit: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped_generator: u64,
    #[serde(default)]
    ended: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    cut: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<DistributionLine>,
}

#[derive(Serialize, Deserialize)]
struct PendingLine {
    step: u16,
    phase: String,
    #[serde(default)]
    stage: Option<u16>,
    since_due: DistributionLine,
    since_sent: DistributionLine,
}

#[derive(Serialize, Deserialize)]
struct ErrorLine {
    outcome: String,
    step: u16,
    message: String,
    count: u64,
    first: u64,
    last: u64,
}

#[derive(Serialize, Deserialize)]
struct DistributionLine {
    /// Exact sum in nanoseconds, as text because JSON numbers end at 2^53.
    sum: String,
    min: u64,
    max: u64,
    /// Counts between the run's edges; leading and trailing zeros stay, positions are the meaning.
    at_edges: Vec<u64>,
    /// HDR V2+DEFLATE, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hdr: String,
    /// Only the counts of HDR V2, base64, instead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<String>,
}

/// What histograms are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For whoever reads them.
    Export,
    /// For the record, which compresses many of them together.
    Record,
}

#[derive(Serialize, Deserialize)]
struct EndedLine {
    at: u64,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    exports: Vec<ExportLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    samples: Option<SamplesLine>,
}

#[derive(Serialize, Deserialize)]
struct SamplesLine {
    written: u64,
    skipped: u64,
}

#[derive(Serialize, Deserialize)]
struct ExportLine {
    sink: String,
    produced: u64,
    acknowledged: u64,
    backlog: u64,
    lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn started_out(started: &Started) -> StartedLine {
    let Started { info, shape, plan_text, calibration } = started;
    let machine = info.machine.clone();
    StartedLine {
        version: VERSION,
        run: InfoLine {
            id: info.id.clone(),
            started_nanos: info.started_nanos,
            seed: info.seed,
            version: info.version.clone(),
            environment: info.environment.clone(),
            tags: info.tags.clone(),
            machine: MachineLine {
                host: machine.host,
                cpu: machine.cpu,
                cores: machine.cores,
                memory_bytes: machine.memory_bytes,
                system: machine.system,
                fingerprint: machine.fingerprint,
            },
            plimsoll: info.plimsoll.clone(),
            target: info.target.clone(),
        },
        shape: shape_out(shape),
        plan_text: plan_text.clone(),
        calibration: calibration.as_ref().map(calibration_out),
    }
}

fn calibration_out(calibration: &Calibration) -> CalibrationLine {
    let Calibration { rate, service_time, schedule_lag, connections, highest_rate, kept_rate } = *calibration;
    let floor = |floor: Floor| {
        let Floor { count, p50, p90, p95, p99, p99_9, max } = floor;
        FloorLine { count, p50, p90, p95, p99, p99_9, max }
    };
    let (service_time, schedule_lag) = (floor(service_time), floor(schedule_lag));
    CalibrationLine { rate, service_time, schedule_lag, connections, highest_rate, kept_rate }
}

fn calibration_in(line: CalibrationLine) -> Calibration {
    let CalibrationLine { rate, service_time, schedule_lag, connections, highest_rate, kept_rate } = line;
    let floor = |floor: FloorLine| {
        let FloorLine { count, p50, p90, p95, p99, p99_9, max } = floor;
        Floor { count, p50, p90, p95, p99, p99_9, max }
    };
    let (service_time, schedule_lag) = (floor(service_time), floor(schedule_lag));
    Calibration { rate, service_time, schedule_lag, connections, highest_rate, kept_rate }
}

fn started_in(line: StartedLine) -> Result<Started, WireError> {
    if line.version > VERSION {
        return Err(WireError::TooNew { found: line.version });
    }
    let (run, machine) = (line.run, |machine: MachineLine| Machine {
        host: machine.host,
        cpu: machine.cpu,
        cores: machine.cores,
        memory_bytes: machine.memory_bytes,
        system: machine.system,
        fingerprint: machine.fingerprint,
    });
    Ok(Started {
        info: RunInfo {
            id: run.id,
            started_nanos: run.started_nanos,
            seed: run.seed,
            version: run.version,
            environment: run.environment,
            tags: run.tags,
            machine: machine(run.machine),
            plimsoll: run.plimsoll,
            target: run.target,
        },
        shape: shape_in(line.shape)?,
        plan_text: line.plan_text,
        calibration: line.calibration.map(calibration_in),
    })
}

fn shape_out(shape: &Shape) -> ShapeLine {
    ShapeLine {
        plan: shape.plan.clone(),
        plan_hash: shape.plan_hash.clone(),
        model: shape.model.label().to_owned(),
        scenarios: shape
            .scenarios
            .iter()
            .map(|s| ScenarioLine { name: s.name.clone(), weight: s.weight })
            .collect(),
        steps: shape
            .steps
            .iter()
            .map(|s| StepLine {
                scenario: s.scenario.clone(),
                scenario_index: s.scenario_index,
                step: s.step.clone(),
            })
            .collect(),
        groups: shape
            .groups
            .iter()
            .map(|g| GroupShapeLine {
                scenario: g.scenario.clone(),
                scenario_index: g.scenario_index,
                group: g.group.clone(),
            })
            .collect(),
        checks: shape
            .checks
            .iter()
            .map(|c| CheckShapeLine {
                scenario: c.scenario.clone(),
                scenario_index: c.scenario_index,
                step: c.step.clone(),
                check: c.check.clone(),
            })
            .collect(),
        stages: stages_out(&shape.stages),
        own_loads: shape
            .own_loads
            .iter()
            .map(|load| LoadLine {
                scenario: load.scenario,
                model: load.model.label().to_owned(),
                stages: stages_out(&load.stages),
            })
            .collect(),
        warmup: shape.warmup,
        grace: shape.grace,
        iterations: shape.iterations,
        edges: shape.edges.nanos().to_vec(),
        objectives: shape.objectives.iter().map(objective_out).collect(),
        addresses: shape
            .addresses
            .iter()
            .map(|a| AddressShapeLine { name: a.name.clone(), weight: a.weight })
            .collect(),
        measures: shape.measures.iter().map(measure_out).collect(),
        limits: Some(LimitsLine { series: shape.limits.series, memory_bytes: shape.limits.memory_bytes }),
    }
}

fn stages_out(stages: &[StageShape]) -> Vec<StageLine> {
    let line = |s: &StageShape| StageLine {
        kind: s.kind.clone(),
        start: s.start,
        end: s.end,
        from: s.from,
        to: s.to,
        course: s.course.clone(),
    };
    stages.iter().map(line).collect()
}

fn stages_in(lines: Vec<StageLine>) -> Vec<StageShape> {
    let shape = |line: StageLine| {
        let StageLine { kind, start, end, from, to, course } = line;
        StageShape { kind, start, end, from, to, course }
    };
    lines.into_iter().map(shape).collect()
}

fn shape_in(line: ShapeLine) -> Result<Shape, WireError> {
    let own_loads = line.own_loads.into_iter().map(|load| {
        let LoadLine { scenario, model, stages } = load;
        Ok(LoadShape {
            scenario,
            model: label("model", &model, Model::from_label)?,
            stages: stages_in(stages),
        })
    });
    let own_loads = own_loads.collect::<Result<Vec<_>, WireError>>()?;
    let model = label("model", &line.model, Model::from_label)?;
    let measures = line.measures.into_iter().map(measure_in).collect::<Result<Vec<_>, _>>()?;
    let own: Vec<_> = measures.iter().zip(0..).map(|(measure, index)| own_value(measure, index)).collect();
    Ok(Shape {
        plan: line.plan,
        plan_hash: line.plan_hash,
        model,
        scenarios: line
            .scenarios
            .into_iter()
            .map(|s| ScenarioShape { name: s.name, weight: s.weight })
            .collect(),
        steps: line
            .steps
            .into_iter()
            .map(|s| StepShape { scenario: s.scenario, scenario_index: s.scenario_index, step: s.step })
            .collect(),
        groups: line
            .groups
            .into_iter()
            .map(|g| GroupShape { scenario: g.scenario, scenario_index: g.scenario_index, group: g.group })
            .collect(),
        checks: line
            .checks
            .into_iter()
            .map(|c| CheckShape {
                scenario: c.scenario,
                scenario_index: c.scenario_index,
                step: c.step,
                check: c.check,
            })
            .collect(),
        stages: stages_in(line.stages),
        own_loads,
        warmup: line.warmup,
        grace: line.grace,
        iterations: line.iterations,
        edges: Edges::exactly(line.edges),
        objectives: line
            .objectives
            .into_iter()
            .map(|line| objective_in(line, &own))
            .collect::<Result<_, _>>()?,
        addresses: line
            .addresses
            .into_iter()
            .map(|a| AddressShape { name: a.name, weight: a.weight })
            .collect(),
        measures,
        limits: line
            .limits
            .map(|limits| Limits { series: limits.series, memory_bytes: limits.memory_bytes })
            .unwrap_or_default(),
    })
}

fn objective_out(objective: &Objective) -> ObjectiveLine {
    let indexes =
        |set: &Option<std::collections::BTreeSet<u16>>| set.as_ref().map(|set| set.iter().copied().collect());
    ObjectiveLine {
        name: objective.name.clone(),
        objective: objective.text.clone(),
        over: objective.over,
        steps: indexes(&objective.filter.steps),
        scenarios: indexes(&objective.filter.scenarios),
        stage: objective.filter.stage,
        abort_after: objective.abort_after,
        warning: objective.severity == Severity::Warning,
        message: objective.message.clone(),
    }
}

fn measure_out(measure: &MeasureShape) -> MeasureLine {
    MeasureLine {
        name: measure.name.to_string(),
        form: measure.form.label().to_owned(),
        unit: measure.unit.label().to_owned(),
        edges: measure.edges.nanos().to_vec(),
    }
}

fn measure_in(line: MeasureLine) -> Result<MeasureShape, WireError> {
    Ok(MeasureShape {
        name: label("measure", &line.name, ValueName::new)?,
        form: label("form", &line.form, ValueForm::from_label)?,
        unit: label("unit", &line.unit, ValueUnit::from_label)?,
        edges: Edges::exactly(line.edges),
    })
}

fn own_value(measure: &MeasureShape, index: u16) -> OwnValue {
    let MeasureShape { name, form, unit, .. } = *measure;
    OwnValue { index, name, form, unit }
}

fn objective_in(line: ObjectiveLine, own: &[OwnValue]) -> Result<Objective, WireError> {
    let expression = Expression::parse_beside(&line.objective, own)
        .map_err(|_| WireError::Value { field: "objective", found: line.objective.clone() })?;
    Ok(Objective {
        name: line.name,
        text: line.objective,
        expression,
        over: line.over,
        filter: Filter {
            steps: line.steps.map(|steps| steps.into_iter().collect()),
            scenarios: line.scenarios.map(|scenarios| scenarios.into_iter().collect()),
            stage: line.stage,
        },
        abort_after: line.abort_after,
        severity: if line.warning { Severity::Warning } else { Severity::Critical },
        message: line.message,
    })
}

fn head_out(second: &Second, form: Form) -> HeadLine {
    let frame = &second.frame;
    HeadLine {
        second: frame.second,
        wall_nanos: second.wall_nanos,
        offered_rate: second.gauges.offered_rate,
        virtual_users: second.gauges.virtual_users,
        connections: second.gauges.connections,
        generator_cpu_ratio: second.vitals.cpu_ratio,
        vitals: vitals_out(second.vitals),
        reconnects: frame.reconnects,
        iterations: frame
            .iterations
            .iter()
            .map(|(key, series)| IterationLine {
                scenario: key.scenario,
                phase: key.phase.label().to_owned(),
                stage: key.stage,
                arrivals: series.arrivals,
                dropped_in_flight_limit: series.dropped_in_flight_limit,
                dropped_generator: series.dropped_generator,
                ended: series.ended,
                failed: series.failed,
                cut: series.cut,
                time: series.time.as_ref().map(|time| distribution_out(time, form)),
            })
            .collect(),
        pending: frame
            .pending
            .iter()
            .map(|(key, pending)| PendingLine {
                step: key.step,
                phase: key.phase.label().to_owned(),
                stage: key.stage,
                since_due: distribution_out(&pending.since_due, form),
                since_sent: distribution_out(&pending.since_sent, form),
            })
            .collect(),
        errors: frame
            .errors
            .iter()
            .map(|error| ErrorLine {
                outcome: error.outcome.label().to_owned(),
                step: error.step,
                message: error.message.clone(),
                count: error.count,
                first: error.first,
                last: error.last,
            })
            .collect(),
        connection_counts: connections_out(&frame.connections, form),
        addresses: addresses_out(frame, form),
        kept: kept_out(frame),
        values: values_out(frame, form),
        groups: groups_out(frame, form),
        checks: checks_out(frame),
        resources: scrapes_out(&second.resources),
        overflowed_series: frame.overflowed_series,
        stretch: None,
    }
}

fn series_out(key: SeriesKey, series: &Series, form: Form) -> SeriesLine {
    SeriesLine {
        step: key.step,
        phase: key.phase.label().to_owned(),
        stage: key.stage,
        outcome: key.outcome.label().to_owned(),
        requests: series.requests,
        received: series.received_bytes,
        sent: series.sent_bytes,
        statuses: series.statuses.iter().map(|(status, count)| (*status, *count)).collect(),
        timings: series
            .timings
            .iter()
            .map(|(timing, d)| (timing.name().to_owned(), distribution_out(d, form)))
            .collect(),
    }
}

fn second_in(head: HeadLine, series: Vec<SeriesLine>, edges: &Edges) -> Result<Second, WireError> {
    let mut frame = Frame::new(head.second);
    for line in series {
        let key = SeriesKey {
            step: line.step,
            phase: label("phase", &line.phase, Phase::from_label)?,
            stage: line.stage,
            outcome: label("outcome", &line.outcome, Outcome::from_label)?,
        };
        let mut timings = BTreeMap::new();
        for (name, distribution) in line.timings {
            // A timing that a later version measures is no reason to refuse the rest.
            if let Some(timing) = Timing::from_name(&name) {
                timings.insert(timing, distribution_in(&name, &distribution, edges)?);
            }
        }
        let series = Series {
            requests: line.requests,
            received_bytes: line.received,
            sent_bytes: line.sent,
            statuses: line.statuses.into_iter().collect(),
            timings,
        };
        frame.series.insert(key, series);
    }
    for line in head.iterations {
        let key = IterationKey {
            scenario: line.scenario,
            phase: label("phase", &line.phase, Phase::from_label)?,
            stage: line.stage,
        };
        let series = IterationSeries {
            arrivals: line.arrivals,
            dropped_in_flight_limit: line.dropped_in_flight_limit,
            dropped_generator: line.dropped_generator,
            ended: line.ended,
            failed: line.failed,
            cut: line.cut,
            time: line.time.map(|time| distribution_in("iteration_time", &time, edges)).transpose()?,
        };
        frame.iterations.insert(key, series);
    }
    for line in head.pending {
        let key = PendingKey {
            step: line.step,
            phase: label("phase", &line.phase, Phase::from_label)?,
            stage: line.stage,
        };
        let pending = Pending {
            since_due: distribution_in("since_due", &line.since_due, edges)?,
            since_sent: distribution_in("since_sent", &line.since_sent, edges)?,
        };
        frame.pending.insert(key, pending);
    }
    for line in head.errors {
        frame.errors.push(ErrorSample {
            outcome: label("outcome", &line.outcome, Outcome::from_label)?,
            step: line.step,
            message: line.message,
            count: line.count,
            first: line.first,
            last: line.last,
        });
    }
    frame.reconnects = head.reconnects;
    frame.connections = connections_in(head.connection_counts, edges)?;
    frame.addresses = addresses_in(head.addresses, edges)?;
    frame.kept = kept_in(head.kept)?;
    frame.values = values_in(head.values)?;
    frame.groups = groups_in(head.groups, edges)?;
    frame.checks = checks_in(head.checks)?;
    frame.overflowed_series = head.overflowed_series;
    let gauges = Gauges {
        offered_rate: head.offered_rate,
        virtual_users: head.virtual_users,
        connections: head.connections,
    };
    let vitals = vitals_in(head.generator_cpu_ratio, head.vitals);
    let resources = scrapes_in(head.resources);
    Ok(Second { frame, gauges, vitals, resources, wall_nanos: head.wall_nanos })
}

fn vitals_out(vitals: Vitals) -> VitalsLine {
    let Vitals {
        cpu_ratio: _,
        worker_cpu_ratio,
        worker_wait_ratio,
        steal_ratio,
        throttled_ratio,
        stall_seconds,
        descriptors,
        descriptor_limit,
        tcp_sockets,
        time_wait_sockets,
        local_ports,
        retransmits,
        round_trip_seconds,
        receive_queue_bytes,
        link_ratio,
        rss_bytes,
        memory_available_bytes,
        memory_pressure_ratio,
    } = vitals;
    VitalsLine {
        worker_cpu_ratio,
        worker_wait_ratio,
        steal_ratio,
        throttled_ratio,
        stall_seconds,
        descriptors,
        descriptor_limit,
        tcp_sockets,
        time_wait_sockets,
        local_ports,
        retransmits,
        round_trip_seconds,
        receive_queue_bytes,
        link_ratio,
        rss_bytes,
        memory_available_bytes,
        memory_pressure_ratio,
    }
}

fn vitals_in(cpu_ratio: Option<f64>, line: VitalsLine) -> Vitals {
    let VitalsLine {
        worker_cpu_ratio,
        worker_wait_ratio,
        steal_ratio,
        throttled_ratio,
        stall_seconds,
        descriptors,
        descriptor_limit,
        tcp_sockets,
        time_wait_sockets,
        local_ports,
        retransmits,
        round_trip_seconds,
        receive_queue_bytes,
        link_ratio,
        rss_bytes,
        memory_available_bytes,
        memory_pressure_ratio,
    } = line;
    Vitals {
        cpu_ratio,
        worker_cpu_ratio,
        worker_wait_ratio,
        steal_ratio,
        throttled_ratio,
        stall_seconds,
        descriptors,
        descriptor_limit,
        tcp_sockets,
        time_wait_sockets,
        local_ports,
        retransmits,
        round_trip_seconds,
        receive_queue_bytes,
        link_ratio,
        rss_bytes,
        memory_available_bytes,
        memory_pressure_ratio,
    }
}

fn distribution_out(distribution: &Distribution, form: Form) -> DistributionLine {
    let (hdr, counts) = match form {
        Form::Export => (BASE64.encode(distribution.to_hdr_bytes()), None),
        Form::Record => (String::new(), Some(BASE64.encode(distribution.to_count_bytes()))),
    };
    DistributionLine {
        sum: distribution.sum().to_string(),
        min: distribution.min().unwrap_or(0),
        max: distribution.max().unwrap_or(0),
        at_edges: distribution.at_edges().to_vec(),
        hdr,
        counts,
    }
}

fn distribution_in(field: &str, line: &DistributionLine, edges: &Edges) -> Result<Distribution, WireError> {
    let wrong = |reason: String| WireError::Histogram { field: field.to_owned(), reason };
    let text = line.counts.as_ref().unwrap_or(&line.hdr);
    let bytes = BASE64.decode(text).map_err(|error| wrong(error.to_string()))?;
    let sum = line.sum.parse().map_err(|_| wrong(format!("`{}` is no sum", line.sum)))?;
    let read =
        if line.counts.is_some() { Distribution::from_count_bytes } else { Distribution::from_hdr_bytes };
    read(&bytes, edges.clone(), &line.at_edges, sum, line.min, line.max)
        .map_err(|error| wrong(error.to_string()))
}

fn ended_out(ended: &Ended) -> EndedLine {
    EndedLine {
        at: ended.at,
        status: ended.status.label().to_owned(),
        reason: ended.reason.clone(),
        exports: ended
            .exports
            .iter()
            .map(|count| ExportLine {
                sink: count.sink.clone(),
                produced: count.produced,
                acknowledged: count.acknowledged,
                backlog: count.backlog,
                lost: count.lost,
            })
            .collect(),
        samples: ended.samples.map(|SamplesCount { written, skipped }| SamplesLine { written, skipped }),
    }
}

fn ended_in(line: EndedLine) -> Result<Ended, WireError> {
    Ok(Ended {
        at: line.at,
        status: label("status", &line.status, RunStatus::from_label)?,
        reason: line.reason,
        exports: line
            .exports
            .into_iter()
            .map(|count| ExportCount {
                sink: count.sink,
                produced: count.produced,
                acknowledged: count.acknowledged,
                backlog: count.backlog,
                lost: count.lost,
            })
            .collect(),
        samples: line.samples.map(|SamplesLine { written, skipped }| SamplesCount { written, skipped }),
    })
}

#[cfg(test)]
pub(crate) mod tests;
