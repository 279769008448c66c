//! The JSON of a run, as far as it is compared. Keys that others added are passed over.

use plimsoll_stats::Count;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};

use super::{RecordedRun, RunFacts, Step, Validity};

/// The one schema that there is.
const SCHEMA: u64 = 1;

impl RecordedRun {
    /// Reads it from the JSON of a run (`plimsoll run --json`, or the summary that a history keeps).
    ///
    /// # Errors
    /// When the text is no such JSON.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let read: Run = serde_json::from_str(text)?;
        if read.schema != SCHEMA {
            let found = read.schema;
            return Err(serde_json::Error::custom(format!("schema {found}: only {SCHEMA} is known")));
        }
        let measured = read.run.measured_seconds;
        let steps = read.steps.iter().filter_map(|step| step.figures(measured)).collect();
        Ok(Self { steps, facts: read.facts() })
    }
}

#[derive(Deserialize)]
struct Run {
    schema: u64,
    run: Identity,
    validity: Report,
    steps: Vec<RunStep>,
    stages: Vec<Stage>,
    #[serde(default)]
    steered: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
    plan: String,
    plan_hash: String,
    started: String,
    status: String,
    version: Option<String>,
    environment: Option<String>,
    machine: Machine,
    plimsoll: String,
    model: String,
    target: String,
    reason: Option<String>,
    measured_seconds: f64,
}

#[derive(Deserialize)]
struct Machine {
    host: String,
    cpu: String,
    cores: u32,
    memory_bytes: u64,
    system: String,
    fingerprint: String,
}

impl Machine {
    fn class(&self) -> String {
        let gigabytes = self.memory_bytes as f64 / 1e9;
        format!("{}, {} cores, {gigabytes:.1} GB ({})", self.cpu, self.cores, self.fingerprint)
    }
}

#[derive(Deserialize)]
struct Report {
    verdict: Validity,
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct RunStep {
    scenario: String,
    step: String,
    requests: u64,
    failed: u64,
    throughput: Option<f64>,
    response_time: Times,
}

#[derive(Deserialize)]
struct Times {
    mean: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

impl RunStep {
    /// Nothing of a step that has no throughput: those of setup and teardown, which are made once.
    fn figures(&self, measured_seconds: f64) -> Option<Step> {
        let throughput = self.throughput?;
        // Requests that were cut are neither failures nor successes: how they would have ended nobody knows.
        let succeeded = (throughput * measured_seconds).round().max(0.0) as u64;
        let known = self.failed.saturating_add(succeeded).min(self.requests);
        let Times { mean, p50, p95, p99 } = self.response_time;
        Some(Step {
            name: format!("{}/{}", self.scenario, self.step),
            values: [Some(throughput), mean, p50, p95, p99],
            count: Count { failed: self.failed.min(known), of: known },
        })
    }
}

#[derive(Deserialize)]
struct Stage {
    scenario: Option<String>,
    kind: String,
    started: f64,
    ended: f64,
    from: f64,
    to: f64,
}

impl Stage {
    fn words(&self, unit: &str) -> String {
        let seconds = (self.ended - self.started).round();
        let of = self.scenario.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        if self.kind == "pause" {
            format!("{of}nothing for {seconds} s")
        } else if self.from == self.to {
            format!("{of}{}{unit} for {seconds} s", self.to)
        } else {
            format!("{of}{} to {}{unit} over {seconds} s", self.from, self.to)
        }
    }
}

impl Run {
    fn load(&self) -> String {
        let unit = if self.run.model == "closed" { " users" } else { "/s" };
        let stages: Vec<String> = self.stages.iter().map(|stage| stage.words(unit)).collect();
        format!("{}, {}", self.run.model, stages.join(", "))
    }

    fn facts(self) -> RunFacts {
        let load = self.load();
        let machine = self.run.machine.class();
        RunFacts {
            load,
            machine,
            id: self.run.id,
            plan: self.run.plan,
            plan_hash: self.run.plan_hash,
            version: self.run.version,
            environment: self.run.environment,
            target: self.run.target,
            started: self.run.started,
            host: self.run.machine.host,
            system: self.run.machine.system,
            plimsoll: self.run.plimsoll,
            status: self.run.status,
            reason: self.run.reason,
            validity: self.validity.verdict,
            doubts: self.validity.reasons,
            steered: self.steered.len(),
        }
    }
}
