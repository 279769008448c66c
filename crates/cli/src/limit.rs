//! `plimsoll limit`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use plimsoll_capacity::{Limit, Overload, PredictionOf, SearchSettings, Side, Truth};
use plimsoll_exporters::LiveMetrics;
use plimsoll_history::{AnswerBy, AnswerText, History, KeptAnswer};
use plimsoll_notify::{BreakingPoint, Page, SearchEnded};
use plimsoll_report::LimitReport;
use plimsoll_run::{ExitCode, LoadModel, ObjectiveSummary, RunPlan};
use plimsoll_runner::{Control, LimitConfig, ScalingConfig, SearchEnd, Searched, Stepped};
use plimsoll_sla::{Bound, Comparison, Expression, Filter, Measure, Objective, Severity, Verdict};

use crate::arguments::{LimitArguments, LimitForms};
use crate::capacity::now_nanos;
use crate::plan::Changes;
use crate::run::default_workers;
use crate::{Outcome, Stop, files, notify, plan, signals};

/// How far above the first load a search goes where nothing else is said.
const FARTHEST: f64 = 1024.0;

/// How often it is looked whether the parent is there still.
const PARENT: Duration = Duration::from_millis(250);

/// The tag by which runs say which schedule started them.
const SCHEDULE_TAG: &str = "schedule";

pub(crate) async fn limit(mut arguments: LimitArguments) -> Outcome {
    let tags = std::mem::take(&mut arguments.tags).into_iter().collect();
    let set = std::mem::take(&mut arguments.set);
    let changes = Changes { set, tags, seed: arguments.seed, ..Changes::default() };
    let mut plan = plan::load(&arguments.plan, changes)?.plan;
    plan.http.network.allowed = std::mem::take(&mut arguments.targets);
    let plan = Arc::new(plan);
    if arguments.step.is_some() {
        return Box::pin(search(plan, arguments, &mut Findings::default())).await;
    }
    let told = notify::Told::begin(&plan)?;
    let (id, page) = (arguments.id.clone(), arguments.report_page.take());
    let report = arguments.forms.report.clone();
    let mut findings = Findings::default();
    let outcome = Box::pin(search(Arc::clone(&plan), arguments, &mut findings)).await;
    let report = report.filter(|_| findings.is_written);
    told.searched(SearchEnded {
        plan: plan.name.clone(),
        search: findings.json["id"].as_str().map(str::to_owned).or(id).unwrap_or_default(),
        schedule: plan.tags.get(SCHEDULE_TAG).cloned(),
        ended: notify::now(),
        code: outcome.as_ref().map_or_else(|stop| stop.code, |code| *code),
        reason: findings.reason(&outcome),
        target: plan.target.clone(),
        found: BreakingPoint::read(&findings.json),
        report: report.as_deref().filter(|_| page.is_none()).and_then(notify::place),
        page: page.filter(|_| report.is_some()).map(Page::Report),
    });
    told.finish().await;
    outcome
}

/// What is known of a search when it is over, however that was.
#[derive(Debug, Default)]
struct Findings {
    /// Its JSON; null where no trial came to its end.
    json: serde_json::Value,
    /// Why it could not go on.
    failure: Option<String>,
    /// Whether what was asked for was written.
    is_written: bool,
}

impl Findings {
    /// Why it is not what was hoped for, where what it found does not say it.
    fn reason(&self, outcome: &Outcome) -> Option<String> {
        let stopped = outcome.as_ref().err().and_then(|stop| stop.error.as_ref());
        let stopped = stopped.map(|error| format!("{error:#}"));
        let found = &self.json["breaking_point"];
        let silent = found["low"].is_null() && found["high"].is_null();
        let symptom = found["first_symptom"].as_str().filter(|_| silent).map(str::to_owned);
        stopped.or_else(|| self.failure.clone()).or(symptom)
    }
}

/// Searches the limit of a plan, or makes the step that is asked for in its place.
async fn search(plan: Arc<RunPlan>, arguments: LimitArguments, findings: &mut Findings) -> Outcome {
    if plan.has_own_loads() {
        return Err(Stop::usage(anyhow!(
            "scenarios of `{}` have loads of their own: there is no one level whose limit could be searched",
            plan.name
        )));
    }
    let from = arguments.from.unwrap_or_else(|| plimsoll_runner::first_load(&plan));
    let most = arguments.most.unwrap_or(from * FARTHEST);
    if most < from {
        return Err(Stop::usage(anyhow!(
            "--most {most} is below the first load, {from}: begin lower with --from"
        )));
    }
    let is_users = matches!(plan.load.model, LoadModel::Closed { .. });
    let beyond = Beyond { factors: arguments.overload, least: arguments.goodput_retained };
    if is_users && !beyond.factors.is_empty() {
        return Err(Stop::usage(anyhow!(
            "--overload offers multiples of arrivals per second: it needs a plan of the open model"
        )));
    }
    let search = SearchSettings {
        precision: arguments.precision,
        whole: is_users,
        looks: arguments.looks,
        ..SearchSettings::between(from, most)
    };
    let history = files::history(&arguments.history).await?;
    let control = Control::default();
    let stopper = control.clone();
    let _signals = signals::on_interrupt(move || stopper.stop()).map_err(Stop::internal)?;
    if let Some(parent) = arguments.parent {
        tokio::spawn(stop_without(parent, control.clone()));
    }
    let quiet = arguments.quiet;
    let target = plan.target.clone();
    let config = LimitConfig {
        id: arguments.id,
        plan,
        workers: arguments.workers.map_or_else(default_workers, usize::from),
        plimsoll: env!("CARGO_PKG_VERSION").to_owned(),
        history: history.clone(),
        live: Arc::new(LiveMetrics::new()),
        search,
        longest_seconds: u32::try_from(arguments.longest.as_secs()).unwrap_or(u32::MAX),
        warmup: arguments.warmup,
        cool_down: arguments.cool_down,
    };
    if let Some((from, to)) = arguments.step {
        let within_seconds = u32::try_from(arguments.within.as_secs()).unwrap_or(u32::MAX);
        let step =
            ScalingConfig { from, to, within_seconds, band: arguments.band, replicas: arguments.replicas };
        return scale(&config, &step, &control, &arguments.forms, quiet).await;
    }
    let promised = beyond.promised(&config.plan);
    let mut number = 0;
    let tell = |figures: &plimsoll_capacity::TrialFigures| {
        number += 1;
        if !quiet {
            crate::say::errln!("{}", plimsoll_report::limit_trial_text(number, figures, is_users));
        }
    };
    let mut searched = Box::pin(plimsoll_runner::limit(&config, &control, tell)).await;
    let mut overloads = Vec::new();
    if matches!(searched.end, SearchEnd::Done) {
        let tell = |overload: Overload| {
            if !quiet {
                crate::say::errln!("{}", plimsoll_report::overload_text(&overload));
            }
            overloads.push(overload);
        };
        let offered = plimsoll_runner::overload(&config, &searched.limit, &beyond.factors, &control, tell);
        if let Err(error) = Box::pin(offered).await {
            searched.end = SearchEnd::Failed(error);
        }
    }
    if let Err(error) = history.compact().await {
        crate::say::errln!("warning: the records were not compacted: {error}");
    }
    if searched.limit.trials.is_empty()
        && let SearchEnd::Failed(error) = searched.end
    {
        return Err(Stop::usage(error));
    }
    score(&history, &searched.limit, &target).await;
    let judged: Vec<_> = match beyond.factors.len() {
        0 => {
            let left_out =
                |objective: &Objective| format!("`{}` is left out: `--overload` judges it", objective.name);
            searched.limit.warnings.extend(promised.iter().map(left_out));
            Vec::new()
        }
        asked => {
            let judge = |objective| plimsoll_runner::judge_overload(objective, &overloads, asked);
            promised.iter().map(judge).collect()
        }
    };
    let json = plimsoll_report::limit_json(&searched.limit, &overloads, &judged);
    if let Err(error) = keep(&history, &searched, &target, &json).await {
        crate::say::errln!("warning: the limit is not kept: {error}");
    }
    let report = LimitReport {
        limit: &searched.limit,
        objectives: &config.plan.objectives,
        overloads: &overloads,
        promised: &judged,
    };
    let forms = Forms {
        json: &json,
        report: &|| plimsoll_report::limit_html(&report),
        markdown: &|| plimsoll_report::limit_markdown(&report),
    };
    let put = put(&text(&searched, &overloads, &judged), &forms, &arguments.forms, quiet);
    let code = code(&searched);
    if let SearchEnd::Failed(error) = searched.end {
        let error = format!("{:#}", anyhow::Error::from(error));
        crate::say::errln!("error: {error}");
        findings.failure = Some(error);
    }
    (findings.json, findings.is_written) = (json, put.is_ok());
    put?;
    Ok(match code {
        ExitCode::Success if control.was_stopped() => ExitCode::Interrupted,
        ExitCode::Success => code_of(&judged),
        code => code,
    })
}

/// Stops a search whose parent has ended: between two of its runs nobody else could know that it goes on.
async fn stop_without(parent: u32, control: Control) {
    let mut ticks = tokio::time::interval(PARENT);
    while std::os::unix::process::parent_id() == parent {
        ticks.tick().await;
    }
    control.stop();
}

/// What is asked about loads beyond the limit.
struct Beyond {
    /// Multiples of the limit to offer.
    factors: Vec<f64>,
    /// The least share that is to be left.
    least: Option<f64>,
}

impl Beyond {
    /// What is promised: by the plan, unless the command says otherwise.
    fn promised(&self, plan: &RunPlan) -> Vec<Objective> {
        let Some(least) = self.least else { return plan.overload_objectives.clone() };
        let expression = Expression {
            measure: Measure::GoodputRetained,
            comparison: Comparison::Ge,
            bound: Bound::Value(least),
        };
        vec![Objective {
            name: expression.to_string(),
            text: expression.to_string(),
            expression,
            over: None,
            filter: Filter::default(),
            abort_after: None,
            severity: Severity::Critical,
            message: None,
        }]
    }
}

/// One run with a step of the load.
async fn scale(
    config: &LimitConfig,
    step: &ScalingConfig,
    control: &Control,
    asked: &LimitForms,
    quiet: bool,
) -> Outcome {
    if matches!(config.plan.load.model, LoadModel::Closed { .. }) {
        return Err(Stop::usage(anyhow!(
            "--step is a step of arrivals per second: it needs a plan of the open model"
        )));
    }
    let stepped = Box::pin(plimsoll_runner::scaling(config, step, control)).await.map_err(Stop::usage)?;
    let unanswered = |why: String, code| {
        crate::say::errln!("error: no step was made: {why}");
        Ok(code)
    };
    let scaling = match stepped {
        Stepped::Watched(scaling) => scaling,
        Stepped::Interrupted => return Ok(ExitCode::Interrupted),
        Stepped::Unanswered => return unanswered("nobody answered".to_owned(), ExitCode::Unreachable),
        Stepped::Unwell(share) => {
            let why = format!("{:.1}% of requests failed at {}/s already", share * 100.0, step.from);
            return unanswered(why, ExitCode::Undecided);
        }
        Stepped::Uncounted => {
            let figure = step.replicas.as_deref().unwrap_or_default();
            return Err(Stop::usage(anyhow!(
                "no step was made: none of the plan's `resources` has a figure `{figure}`; name it under `metrics` of one"
            )));
        }
    };
    let plan = &config.plan.name;
    let value = plimsoll_report::scaling_json(plan, &scaling);
    let forms = Forms {
        json: &value,
        report: &|| plimsoll_report::scaling_html(plan, &scaling),
        markdown: &|| plimsoll_report::scaling_markdown(plan, &scaling),
    };
    put(&plimsoll_report::scaling_text(plan, &scaling), &forms, asked, quiet)?;
    Ok(match scaling.is_kept() {
        _ if !scaling.is_valid => ExitCode::Undecided,
        true => ExitCode::Success,
        false => ExitCode::Missed,
    })
}

/// A result in each form that may be asked for.
struct Forms<'a> {
    json: &'a serde_json::Value,
    report: &'a dyn Fn() -> String,
    markdown: &'a dyn Fn() -> String,
}

/// Writes the forms that were asked for, and says it in words.
fn put(text: &str, forms: &Forms<'_>, asked: &LimitForms, quiet: bool) -> Result<(), Stop> {
    let mut written = files::Written::default();
    written.put("report", asked.report.as_deref(), forms.report);
    written.put("json", asked.json.as_deref(), || format!("{:#}\n", forms.json));
    written.put("markdown", asked.markdown.as_deref(), forms.markdown);
    let all = [&asked.report, &asked.json, &asked.markdown];
    let to_stdout = all.into_iter().flatten().any(|path| path.as_os_str() == "-");
    let places: String = written.files.iter().map(|(name, path)| format!("  {name}  {path}\n")).collect();
    match (quiet, to_stdout) {
        (true, _) => {}
        (false, true) => crate::say::err!("{text}{places}"),
        (false, false) => crate::say::out!("{text}{places}"),
    }
    written.tell()
}

/// Holds what was found against what `capacity` had foretold.
async fn score(history: &History, limit: &Limit, target: &str) {
    let measured_nanos = now_nanos();
    let found = limit.gap.estimate().filter(|_| limit.gap.is_sure);
    let peak = found.filter(|_| limit.is_saturation).and_then(|middle| match limit.is_users {
        // What was answered at the lower end, carried to the middle of the gap.
        true => Some(limit.max_throughput? * middle / limit.gap.low?),
        // What can be kept is what can be answered, and it counts what predictions of a rate count.
        false => Some(middle),
    });
    for (of, value) in [(PredictionOf::Limit, found), (PredictionOf::Peak, peak)] {
        let Some(value) = value.filter(|_| limit.gap.is_sure) else { continue };
        let truth = Truth { value, measured_nanos, by: limit.id.clone() };
        match history.score(&limit.plan, target, of, &truth).await {
            Ok(0) => {}
            Ok(scored) => {
                crate::say::errln!("{scored} earlier predictions of the {} are scored now", of.label());
            }
            Err(error) => crate::say::errln!("warning: earlier predictions are not scored: {error}"),
        }
    }
}

/// Keeps a limit that is sure and the target's, for the page and the metrics of the service.
async fn keep(
    history: &History,
    searched: &Searched,
    target: &str,
    json: &serde_json::Value,
) -> plimsoll_history::Result<()> {
    let limit = &searched.limit;
    let was_interrupted = matches!(searched.end, SearchEnd::Interrupted);
    let is_of_the_target = limit.side != Some(Side::Generator);
    let (Some(middle), true, false) =
        (limit.gap.estimate(), limit.gap.is_sure && is_of_the_target, was_interrupted)
    else {
        return Ok(());
    };
    // Of users only the throughput at the load that was kept is known.
    let (estimate, low, high) = match limit.is_users {
        true => (limit.max_throughput, None, None),
        false => (Some(middle), limit.gap.low, limit.gap.high),
    };
    let answer = KeptAnswer {
        plan: limit.plan.clone(),
        target: target.to_owned(),
        by: AnswerBy::Limit,
        made_nanos: now_nanos(),
        estimate,
        low,
        high,
        traffic: None,
    };
    history.keep_answer(&answer, &AnswerText { result: json.to_string(), inputs: None }).await
}

fn text(searched: &Searched, overloads: &[Overload], judged: &[ObjectiveSummary]) -> String {
    let mut text = plimsoll_report::limit_text(&searched.limit);
    for overload in overloads {
        text += &plimsoll_report::overload_text(overload);
        text.push('\n');
    }
    for objective in judged {
        text += &plimsoll_report::overload_verdict_text(objective);
        text.push('\n');
    }
    text
}

/// Whether enough is left under overload, where that was asked.
fn code_of(judged: &[ObjectiveSummary]) -> ExitCode {
    let has = |verdict| {
        let critical = judged.iter().filter(|objective| objective.severity == Severity::Critical);
        critical.map(|objective| objective.judgement.verdict).any(|found| found == verdict)
    };
    if has(Verdict::Missed) {
        ExitCode::Missed
    } else if has(Verdict::Inconclusive) {
        ExitCode::Undecided
    } else {
        ExitCode::Success
    }
}

fn code(searched: &Searched) -> ExitCode {
    let gap = searched.limit.gap;
    match searched.end {
        SearchEnd::Failed(_) => ExitCode::Usage,
        SearchEnd::Interrupted => ExitCode::Interrupted,
        SearchEnd::Unanswered => ExitCode::Unreachable,
        SearchEnd::Done if searched.limit.side == Some(Side::Generator) => ExitCode::Undecided,
        SearchEnd::Done if gap.low.is_none() => ExitCode::Missed,
        SearchEnd::Done if !gap.is_sure => ExitCode::Undecided,
        SearchEnd::Done => ExitCode::Success,
    }
}
