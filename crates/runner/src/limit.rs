//! Searches the highest load that a live system keeps, trial by trial.
//!
//! Each trial is a run of the plan at one load, recorded like any other, and ends as soon as its seconds
//! have decided it. Which load comes next, and when a trial is decided, is `capacity`'s to say.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_capacity::{
    Cause, Decision, Limit, Next, Search, SearchSettings, Side, Standing, Trial, TrialFigures, TrialSecond,
    Tried,
};
use plimsoll_exporters::{ExportError, LiveMetrics};
use plimsoll_history::{History, Recorded};
use plimsoll_measure::{DropCause, Frame, Timing};
use plimsoll_run::{
    LIMIT_TAG, Load, LoadModel, ResourceUnit, RunEvent, RunPlan, RunStatus, State, Summary, UserLimits,
};
use plimsoll_sla::{Bound, Expression, Filter, Measure, Objective, Severity, Status, Validity, Verdict};
use plimsoll_units::{Rate, Users};
use plimsoll_workload::{Level, Stage, StageKind};
use sha2::{Digest, Sha256};

use crate::watched::{enough, watched};
use crate::{Control, RunError};

/// So many trials in a row without any answer end the search: lower loads would only say the same.
const SILENT: u32 = 2;

/// A link busier than this carries no more.
const BUSY_LINK: f64 = 0.9;

/// A resource of the target that was in use for this share of a second of a missed trial.
const BUSY_RESOURCE: f64 = 0.9;

/// So many trials of a load in a row that this machine spoiled end the search.
const DISTURBED: u32 = 3;

/// More in flight than that no plan has unless it says so itself.
const MOST_IN_FLIGHT: f64 = 100_000.0;

/// What is promised by a plan that promises nothing: more failures than that are no service.
const FEW_ERRORS: &str = "error_ratio <= 1%";

/// What to search and how.
#[derive(Debug)]
pub struct LimitConfig {
    /// The search's id, where it is known beforehand.
    pub id: Option<String>,
    /// The plan whose steps and objectives are taken; its stages are not.
    pub plan: Arc<RunPlan>,
    /// Threads to offer the load from.
    pub workers: usize,
    /// Our own version.
    pub plimsoll: String,
    /// Where runs are recorded.
    pub history: History,
    /// Where the metrics of runs are shown.
    pub live: Arc<LiveMetrics>,
    /// Where to look.
    pub search: SearchSettings,
    /// The most measured seconds of a trial.
    pub longest_seconds: u32,
    /// How long each trial runs before it is measured.
    pub warmup: Duration,
    /// How long the target is left alone after a load that it missed.
    pub cool_down: Duration,
}

/// A search that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// A trial could not begin.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The plan's exporters could not be started.
    #[error(transparent)]
    Exporters(#[from] ExportError),
    /// A trial's setup failed, or its feed ran out.
    #[error("the trial at {load} failed: {reason}")]
    Failed {
        /// The load, with its unit.
        load: String,
        /// Why.
        reason: String,
    },
}

/// A search that has ended.
#[derive(Debug)]
pub struct Searched {
    /// What it found, as far as it came.
    pub limit: Limit,
    /// Why it went no further.
    pub end: SearchEnd,
}

/// Why a search ended.
#[derive(Debug)]
pub enum SearchEnd {
    /// It knows what it was to find, or that this machine can offer no more.
    Done,
    /// It was stopped.
    Interrupted,
    /// Nobody answered: the target is gone, or never was there.
    Unanswered,
    /// The next trial could not be run.
    Failed(LimitError),
}

/// Searches the limit. `tell` hears of each trial when it is over.
pub async fn limit(config: &LimitConfig, control: &Control, mut tell: impl FnMut(&TrialFigures)) -> Searched {
    let mut search = Search::new(config.search);
    let (plan, warnings) = judged_by_trials(&config.plan);
    let is_users = matches!(plan.load.model, LoadModel::Closed { .. });
    let id = config.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let mut limit = Limit {
        plan: plan.name.clone(),
        id,
        is_users,
        gap: search.gap(),
        max_throughput: None,
        concurrent_users: None,
        first_symptom: None,
        is_saturation: false,
        side: None,
        trials: Vec::new(),
        warnings,
    };
    let (mut end, mut silent, mut disturbed) = (SearchEnd::Done, 0, 0);
    while let Next::Try(load) = search.next() {
        let trial_plan = at_load(&plan, load, config, &limit.id);
        let tried = match Box::pin(one(config, trial_plan, control)).await {
            Ok(tried) => tried,
            Err(error) => {
                end = SearchEnd::Failed(error);
                break;
            }
        };
        silent = if tried.summary.unanswered { silent + 1 } else { 0 };
        if let Some(gap) = &tried.unrecorded {
            limit.warnings.push(format!("the trial at {}: {gap}", shown(load, is_users)));
        }
        if tried.is_failed() {
            let reason = tried.summary.reason.clone().unwrap_or_default();
            end = SearchEnd::Failed(LimitError::Failed { load: shown(load, is_users), reason });
            break;
        }
        let Some(decision) = tried.decision.filter(|_| !control.was_stopped()) else {
            end = SearchEnd::Interrupted;
            break;
        };
        let figures = tried.figures(load, decision, &plan);
        tell(&figures);
        limit.trials.push(figures);
        let kept = decision == Decision::Kept;
        if !kept && tried.is_our_fault() {
            // What this machine could not offer says nothing about the target. It may have been busy for a
            // moment, so the load gets another chance.
            disturbed += 1;
            if disturbed < DISTURBED {
                pause(config.cool_down, control).await;
                continue;
            }
            limit.side = Some(Side::Generator);
            limit.first_symptom = tried.summary.validity.reasons.first().cloned();
            limit.warnings.push(format!(
                "at {} this machine was the limit {DISTURBED} times, not the target: what lies above is not known",
                shown(load, is_users)
            ));
            break;
        }
        disturbed = 0;
        search.saw(Tried { load, kept, sustained: tried.trial.sustained().filter(|_| !kept) });
        let gap = search.gap();
        if !kept && gap.high == Some(load) {
            limit.first_symptom = limit.trials.last().and_then(|trial| trial.why.clone());
            limit.is_saturation = matches!(decision, Decision::Missed(Cause::Backlog(_) | Cause::Dropped));
            limit.side = Some(tried.side());
        }
        if !kept {
            pause(config.cool_down, control).await;
        }
        if silent >= SILENT {
            let last = shown(load, is_users);
            limit
                .warnings
                .push(format!("nobody answers any more, at {last} as before: the search cannot go on"));
            end = SearchEnd::Unanswered;
            break;
        }
    }
    limit.gap = search.gap();
    let at_low = limit.trials.iter().filter(|trial| trial.kept && Some(trial.load) == limit.gap.low);
    let (throughputs, in_flight): (Vec<_>, Vec<_>) =
        at_low.map(|trial| (trial.throughput, trial.in_flight)).unzip();
    limit.max_throughput = throughputs.into_iter().flatten().reduce(f64::max);
    limit.concurrent_users = match is_users {
        true => limit.gap.low,
        false => mean(in_flight.into_iter().flatten()),
    };
    let is_done = matches!(end, SearchEnd::Done) && limit.side != Some(Side::Generator);
    if is_done && !limit.gap.is_sure {
        limit
            .warnings
            .push("the same load was kept and missed by turns: take the interval, not the middle".to_owned());
    }
    Searched { limit, end }
}

async fn pause(length: Duration, control: &Control) {
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        () = control.stopped() => {}
    }
}

/// A trial that is over.
struct Over {
    trial: Trial,
    /// `None`: it was stopped before a second was measured.
    decision: Option<Decision>,
    summary: Summary,
    in_flight: Option<f64>,
    throughput: Option<f64>,
    requests: u64,
    generator_drops: u64,
    busiest_link: Option<f64>,
    /// What of it is not in the history, in words.
    unrecorded: Option<String>,
}

/// Runs one trial to its decision.
async fn one(config: &LimitConfig, plan: RunPlan, control: &Control) -> Result<Over, LimitError> {
    let mut watch = Watch::new(&plan, config.longest_seconds);
    let (state, recorded) = watched(config, plan, control, |event| watch.see(event)).await?;
    Ok(Over { unrecorded: recorded.and_then(Recorded::what_is_missing), ..watch.over(&state) })
}

/// Looks at a trial while it runs.
struct Watch {
    trial: Trial,
    objectives: Vec<Objective>,
    warmup: u64,
    /// The latest second, until it is judged.
    second: Option<TrialSecond>,
    in_flight: Vec<f64>,
    /// Requests answered well in the seconds that were looked at: not those that came when the load was over.
    succeeded: u64,
    generator_drops: u64,
    busiest_link: Option<f64>,
    decision: Option<Decision>,
}

impl Watch {
    fn new(plan: &RunPlan, longest_seconds: u32) -> Self {
        let is_open = matches!(plan.load.model, LoadModel::Open { .. });
        Self {
            trial: Trial::new(longest_seconds, is_open),
            objectives: plan.objectives.clone(),
            warmup: plan.load.warmup.as_secs(),
            second: None,
            in_flight: Vec::new(),
            succeeded: 0,
            generator_drops: 0,
            busiest_link: None,
            decision: None,
        }
    }

    fn see(&mut self, event: &RunEvent) -> ControlFlow<()> {
        match event {
            RunEvent::Second(second) if self.decision.is_none() && second.frame.second >= self.warmup => {
                let (arrivals, ended, dropped) = counts(&second.frame, DropCause::InFlightLimit);
                let (_, _, ours) = counts(&second.frame, DropCause::Generator);
                let in_flight = second.gauges.virtual_users;
                self.generator_drops += ours;
                let link = second.vitals.link_ratio;
                self.busiest_link = self.busiest_link.into_iter().chain(link).reduce(f64::max);
                self.in_flight.push(in_flight as f64);
                self.succeeded += second.frame.requests(|key| key.outcome.is_success());
                self.second =
                    Some(TrialSecond { arrivals, dropped, ended, in_flight, standings: Vec::new() });
            }
            RunEvent::Judged(judged) => {
                if let Some(second) = self.second.take() {
                    let standings = self.objectives.iter().zip(&judged.statuses);
                    let standings =
                        standings.map(|(objective, status)| standing(objective, status)).collect();
                    self.decision = self.trial.second(TrialSecond { standings, ..second });
                }
            }
            _ => {}
        }
        enough(self.decision.is_some())
    }

    fn over(self, state: &State) -> Over {
        let seconds = self.in_flight.len() as f64;
        Over {
            throughput: (seconds > 0.0).then(|| self.succeeded as f64 / seconds),
            decision: self.decision.or_else(|| self.trial.end()),
            trial: self.trial,
            summary: state.summary(),
            in_flight: mean(self.in_flight.iter().copied()),
            requests: state.requests().0,
            generator_drops: self.generator_drops,
            busiest_link: self.busiest_link,
            unrecorded: None,
        }
    }
}

/// Arrivals due, iterations ended, arrivals dropped for a cause.
fn counts(frame: &Frame, cause: DropCause) -> (u64, u64, u64) {
    let sum =
        |of: &dyn Fn(&plimsoll_measure::IterationSeries) -> u64| frame.iterations.values().map(of).sum();
    (sum(&|series| series.arrivals), sum(&|series| series.ended), sum(&|series| series.dropped(cause)))
}

/// How an objective stands, for deciding about a trial.
fn standing(objective: &Objective, status: &Status) -> Standing {
    let expression = objective.expression;
    let is_time = matches!(expression.measure, Measure::Quantile(_, Timing::ResponseTime));
    Standing {
        is_missed: status.verdict == Some(Verdict::Missed),
        events: status.bad_events(),
        allowed: expression.allowed_bad_share(),
        left_seconds: status.observed.filter(|_| is_time).and_then(|observed| expression.left(observed)),
    }
}

impl Over {
    fn is_failed(&self) -> bool {
        self.summary.status == Some(RunStatus::Failed)
    }

    /// Whether the generator did not offer what it should have.
    fn is_our_fault(&self) -> bool {
        self.summary.validity.verdict == Validity::Invalid || self.generator_drops > 0
    }

    /// Who was at its end. Of the target's resources the busiest share of one, where any was recorded and is busy.
    fn side(&self) -> Side {
        if self.busiest_link.is_some_and(|ratio| ratio >= BUSY_LINK) {
            return Side::Network;
        }
        let shares = self.summary.resources.iter().filter(|resource| resource.unit == ResourceUnit::Ratio);
        let peaks = shares.filter_map(|resource| Some((resource.peak?, &resource.name)));
        let busiest =
            peaks.filter(|(peak, _)| *peak >= BUSY_RESOURCE).max_by(|one, other| one.0.total_cmp(&other.0));
        busiest.map_or(Side::Target, |(_, name)| Side::Resource(name.to_string()))
    }

    fn figures(&self, load: f64, decision: Decision, plan: &RunPlan) -> TrialFigures {
        let response = self.summary.timings.get(&Timing::ResponseTime);
        TrialFigures {
            load,
            kept: decision == Decision::Kept,
            why: match decision {
                Decision::Kept => None,
                Decision::Missed(cause) => Some(self.words(cause, plan)),
            },
            run: self.summary.info.id.clone(),
            seconds: self.trial.len() as f64,
            requests: self.requests,
            throughput: self.throughput,
            response_time: response.map_or([None; 3], |figures| [figures.p50, figures.p95, figures.p99]),
            error_ratio: self.summary.totals.error_ratio,
            in_flight: self.in_flight,
        }
    }

    fn words(&self, cause: Cause, plan: &RunPlan) -> String {
        match cause {
            Cause::Objective(index) => {
                let name = plan.objectives.get(index).map_or("?", |objective| objective.name.as_str());
                let why = self
                    .summary
                    .objectives
                    .get(index)
                    .map_or("", |objective| objective.judgement.why.as_str());
                let most =
                    self.summary.errors.first().map(|error| format!("; mostly {}", error.outcome.label()));
                let most = most.filter(|_| self.summary.totals.error_ratio.unwrap_or_default() > 0.01);
                format!("`{name}`: {why}{}", most.unwrap_or_default())
            }
            Cause::Dropped => {
                "arrivals were dropped: more is in flight than `max_in_flight` allows".to_owned()
            }
            Cause::Backlog(growth) => {
                format!("the queue grows: {:.0} ms more response time with every second", growth * 1e3)
            }
        }
    }
}

/// The plan as trials judge it: what is promised over a window is promised over the trial, and what no
/// single load can be judged by is left out and named.
fn judged_by_trials(plan: &RunPlan) -> (RunPlan, Vec<String>) {
    let mut warnings = Vec::new();
    let mut objectives: Vec<Objective> = Vec::new();
    for objective in plan.objectives.iter().filter(|objective| objective.severity == Severity::Critical) {
        let Expression { measure, comparison, bound } = objective.expression;
        let wants_load = matches!(measure, Measure::Throughput | Measure::Count(_) | Measure::ByteRate)
            && !comparison.wants_less();
        // A leak takes longer to be seen than a trial lasts.
        let needs_a_run = measure == Measure::RecoveryTime || measure.is_leak();
        if wants_load
            || needs_a_run
            || matches!(bound, Bound::Stage { .. })
            || objective.filter.stage.is_some()
        {
            warnings.push(format!("`{}` is left out: it cannot be judged at one load", objective.name));
            continue;
        }
        objectives.push(Objective { over: None, abort_after: None, ..objective.clone() });
    }
    if objectives.is_empty() {
        warnings.push(format!("no objective of the plan can be searched by; `{FEW_ERRORS}` is taken"));
        objectives.extend(few_errors());
    }
    (RunPlan { objectives, ..plan.clone() }, warnings)
}

fn few_errors() -> Option<Objective> {
    Some(Objective {
        name: "few errors".to_owned(),
        text: FEW_ERRORS.to_owned(),
        expression: Expression::parse(FEW_ERRORS).ok()?,
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    })
}

/// The plan at one load, for as long as a trial may take.
fn at_load(plan: &RunPlan, load: f64, config: &LimitConfig, id: &str) -> RunPlan {
    let length = config.warmup + Duration::from_secs(u64::from(config.longest_seconds));
    let is_users = matches!(plan.load.model, LoadModel::Closed { .. });
    let trial = trial_of(plan, &shown(load, is_users), id);
    if !is_users {
        return offering(trial, vec![Stage { kind: StageKind::Hold(rate(load)), length }], config.warmup);
    }
    let stages = vec![Stage { kind: StageKind::Hold(Users(load as u32)), length }];
    let at_most = match &plan.load.model {
        LoadModel::Closed { limits, .. } => limits.at_most,
        LoadModel::Open { .. } => None,
    };
    let model = LoadModel::Closed { stages, limits: UserLimits { at_most, ..UserLimits::default() } };
    RunPlan { load: Load { model, warmup: config.warmup, grace: trial.load.grace }, ..trial }
}

/// A plan of the open model with these stages, and with as much in flight at most as a plan of its highest rate
/// has by itself.
pub(crate) fn offering(plan: RunPlan, stages: Vec<Stage<Rate>>, warmup: Duration) -> RunPlan {
    let longest = plan.longest_timeout();
    let LoadModel::Open { spacing, max_in_flight, .. } = plan.load.model else { return plan };
    let highest = levels(&stages).fold(0.0, f64::max);
    let enough = (highest * longest.as_secs_f64()).ceil().clamp(1.0, MOST_IN_FLIGHT) as u32;
    let model = LoadModel::Open { stages, spacing, max_in_flight: enough.max(max_in_flight) };
    RunPlan { load: Load { model, warmup, grace: plan.load.grace }, ..plan }
}

/// Arrivals per second, none where it cannot be a rate.
pub(crate) fn rate(per_second: f64) -> Rate {
    Rate::new(per_second).unwrap_or(Rate::ZERO)
}

/// The plan as one of the runs of a search: of a kind of their own, and not of the plan's own load.
pub(crate) fn trial_of(plan: &RunPlan, what: &str, id: &str) -> RunPlan {
    let mut tags = plan.tags.clone();
    tags.insert(LIMIT_TAG.to_owned(), id.to_owned());
    let hash = hex(&Sha256::digest(format!("limit of {}", plan.hash)));
    RunPlan {
        tags,
        hash: hash.chars().take(plan.hash.len().max(1)).collect(),
        text: format!("# one run of a search for the limit: {what}\n{}", plan.text),
        // Overloads together are judged by them, none by itself.
        overload_objectives: Vec::new(),
        // One file cannot have the requests of several runs.
        samples: None,
        // Each would ask for all of them again, and what looking costs the target would be in the limit.
        profiles: None,
        ..plan.clone()
    }
}

/// The load that a search begins with where nothing else is said: the lowest that the plan holds or ramps to.
pub fn first_load(plan: &RunPlan) -> f64 {
    fn lowest<L: Level>(stages: &[Stage<L>]) -> f64 {
        levels(stages).filter(|level| *level > 0.0).reduce(f64::min).unwrap_or(1.0)
    }
    match &plan.load.model {
        LoadModel::Open { stages, .. } => lowest(stages),
        LoadModel::Closed { stages, .. } => lowest(stages),
    }
}

fn levels<L: Level>(stages: &[Stage<L>]) -> impl Iterator<Item = f64> {
    stages.iter().flat_map(|stage| match &stage.kind {
        StageKind::Ramp(level) | StageKind::Hold(level) | StageKind::Spike(level) => vec![level.amount()],
        StageKind::Pause => Vec::new(),
        StageKind::Schedule(curve) | StageKind::Replay(curve) => {
            curve.points().iter().map(|(_, level)| *level).collect()
        }
    })
}

fn shown(load: f64, is_users: bool) -> String {
    if is_users { format!("{load:.0} users") } else { format!("{load:.1}/s") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::Limits;
    use plimsoll_run::{
        AddressChoice, ExportSettings, HttpSettings, HttpVersion, Network, NotifySettings, PlannedTarget,
        ProfileKind, ProfileMoment, ProfileSource, ProfilesSettings, ResourceEndpoint, Scenario, Secret,
        TlsSettings,
    };
    use plimsoll_workload::Spacing;

    use super::*;

    fn plan() -> RunPlan {
        let target = "http://127.0.0.1:1".to_owned();
        RunPlan {
            name: "test".into(),
            hash: String::new(),
            text: String::new(),
            target: target.clone(),
            targets: vec![PlannedTarget { url: target, weight: 1 }],
            addresses: AddressChoice::First,
            version: None,
            environment: None,
            tags: std::collections::BTreeMap::new(),
            seed: None,
            load: Load {
                model: LoadModel::Open { stages: Vec::new(), spacing: Spacing::Uniform, max_in_flight: 1 },
                warmup: Duration::ZERO,
                grace: Duration::ZERO,
            },
            http: HttpSettings {
                version: HttpVersion::Http1,
                connections: None,
                streams: 1,
                connect_rate: None,
                source: Vec::new(),
                timeout: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(1),
                redirects: 0,
                max_body: 1,
                headers: Vec::new(),
                network: Network::default(),
            },
            tls: TlsSettings::default(),
            feeds: Vec::new(),
            functions: Vec::new(),
            setup: Vec::new(),
            setup_captures: 0,
            teardown: Vec::new(),
            scenarios: vec![Scenario { name: "main".into(), weight: 1, ..Scenario::default() }],
            steps: Vec::new(),
            groups: Vec::new(),
            checks: Vec::new(),
            objectives: Vec::new(),
            overload_objectives: Vec::new(),
            resources: Vec::new(),
            profiles: None,
            export: ExportSettings::default(),
            notify: NotifySettings::default(),
            trace: None,
            samples: None,
            resume: false,
            measures: Vec::new(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn a_run_of_a_search_takes_no_profiles() {
        let endpoint = ResourceEndpoint {
            url: Secret::new("http://127.0.0.1:1/heap".to_owned()),
            headers: Vec::new(),
            metrics: Vec::new(),
        };
        let at = vec![ProfileMoment::Peak];
        let source = ProfileSource { kind: ProfileKind::Heap, endpoint, seconds: None, at };
        let profiles = Some(ProfilesSettings { folder: "kept".into(), sources: vec![source] });
        let asking = RunPlan { profiles, ..plan() };
        assert_eq!(trial_of(&asking, "100/s", "id").profiles, None);
    }
}
