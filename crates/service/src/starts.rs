//! The routes of plans and schedules: what there is to start, and starting it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plimsoll_history::Ceilings;
use plimsoll_run::Targets;
use plimsoll_spec::Diagnostic;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::daemon::{Asked, Begun, Daemon, Last, Refused, Standing};
use crate::plans::{Demand, Good, Reach, Shelved, rendered};
use crate::problem::{Kind, Mistake, Problem};
use crate::reports::href;
use crate::route::{ADMIN, Answer, Doc, READ, RUN, Route};
use crate::routes::App;
use crate::schedules::{Job, Missed, Most, Overlap};
use crate::sent::Sent;
use crate::targets::check;

/// The routes of plans, of schedules and of starting.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/plans", READ, plans).doc(Doc::json(
            "listPlans",
            "The plans of the folder, and what is wrong with those whose edit was refused",
            "Plans",
        )),
        // What is wrong may be told with what `${NAME}` stands for: it is for those who may write plans anyway.
        Route::post("/api/v1/plans/validate", ADMIN, validate).doc(Doc {
            body: Some("PlanText"),
            ..Doc::json("validatePlan", "Reads a text as if it were a plan of the folder", "PlanFacts")
        }),
        Route::post("/api/v1/runs", RUN, start).doc(Doc {
            body: Some("StartRun"),
            ..Doc::new("startRun", "Starts a plan of the folder", Answer::Made("StartedRun"))
        }),
        Route::get("/api/v1/schedules", READ, schedules).doc(Doc::json(
            "listSchedules",
            "Schedules, when each comes next and what happened last",
            "Schedules",
        )),
        Route::post("/api/v1/schedules/{schedule}/start", RUN, start_schedule).doc(Doc::new(
            "startSchedule",
            "Starts what a schedule is for now, beside its times",
            Answer::Made("StartedJob"),
        )),
        Route::post("/api/v1/schedules/{schedule}/stop", RUN, stop).doc(Doc::new(
            "stopSchedule",
            "Stops what a schedule has started, in order; it starts again when it is due",
            Answer::Done,
        )),
        Route::post("/api/v1/schedules/{schedule}/pause", RUN, pause).doc(Doc::new(
            "pauseSchedule",
            "Starts nothing by it any more; its run goes on",
            Answer::Done,
        )),
        Route::post("/api/v1/schedules/{schedule}/resume", RUN, resume).doc(Doc::new(
            "resumeSchedule",
            "Goes on with a paused schedule; times that passed meanwhile are not made up for",
            Answer::Done,
        )),
    ]
}

impl App {
    pub(crate) fn daemon(&self) -> Result<&Arc<Daemon>, Problem> {
        self.daemon.as_ref().ok_or_else(|| {
            Problem::not_found("this service starts nothing: its configuration names no folder of `plans`")
        })
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::NoPlan { .. } | Refused::NoSchedule(_) => Kind::NotFound,
            Refused::Wrong { .. } => Kind::Invalid,
            Refused::NoRoom(_)
            | Refused::Overlaps(_)
            | Refused::Idle(_)
            | Refused::Reporting
            | Refused::NoReports
            | Refused::LinkedReports(_)
            | Refused::OtherLoad { .. } => Kind::Conflict,
            Refused::Stopping => Kind::Unavailable,
            Refused::Target(_) => Kind::Forbidden,
        };
        Self::new(kind, refused.to_string())
    }
}

async fn plans(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let (plans, trouble) = app.daemon()?.plans();
    let plans: Vec<Value> = plans.iter().map(|(name, plan)| shelved(name, plan)).collect();
    Ok(Json(json!({ "plans": plans, "trouble": trouble })))
}

fn shelved(name: &str, plan: &Shelved) -> Value {
    json!({
        "name": name,
        "file": plan.file,
        "facts": plan.good.as_deref().map(facts),
        "wrong": if plan.wrong.is_empty() { Value::Null } else { rendered(&plan.wrong).into() },
        "errors": mistakes_json(&plan.wrong),
    })
}

pub(crate) fn facts(good: &Good) -> Value {
    json!({
        "plan": good.name,
        "sha256": good.digest,
        "peak_rate": good.demand.rate,
        "peak_users": good.demand.users,
        "duration_seconds": good.length.as_secs_f64(),
        "advice": good.advice.iter().map(|advice| advice.message.as_str()).collect::<Vec<_>>(),
    })
}

pub(crate) fn mistake(diagnostic: &Diagnostic) -> Mistake {
    let message = match &diagnostic.help {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let place = diagnostic.excerpt.as_ref();
    Mistake { line: place.map(|place| place.line), column: place.map(|place| place.column), message }
}

pub(crate) fn mistakes_json(diagnostics: &[Diagnostic]) -> Vec<Value> {
    let told = diagnostics.iter().map(mistake);
    told.map(|told| json!({ "line": told.line, "column": told.column, "message": told.message })).collect()
}

/// A plan's text, as somebody types it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    #[serde(default)]
    name: Option<String>,
    text: String,
}

async fn validate(State(app): State<App>, Sent(asked): Sent<PlanText>) -> Result<Json<Value>, Problem> {
    let name = asked.name.unwrap_or_else(|| "plan.yaml".to_owned());
    match app.daemon()?.check(name, asked.text, Reach::Folder).await {
        Ok(good) => Ok(Json(facts(&good))),
        Err(wrong) => {
            Err(Problem::new(Kind::Invalid, rendered(&wrong))
                .with_mistakes(wrong.iter().map(mistake).collect()))
        }
    }
}

/// What to start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRun {
    plan: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    seed: Option<u64>,
}

async fn start(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Sent(asked): Sent<StartRun>,
) -> Result<Response, Problem> {
    let daemon = app.daemon()?;
    if let Some(key) = asked.tags.keys().find(|key| key.is_empty() || key.contains('=')) {
        return Err(Problem::bad_request(format!(
            "`{key}` is no name of a tag: it is not empty and has no `=`"
        )));
    }
    if asked.tags.contains_key(crate::daemon::SCHEDULE_TAG) {
        return Err(Problem::bad_request("the tag `schedule` is of runs that a schedule started"));
    }
    may(&caller, &*daemon.wanted(&asked.plan).await?).await?;
    app.audit(&caller, "run.start", &asked.plan, json!({ "tags": asked.tags, "seed": asked.seed })).await?;
    let run =
        daemon.start(&asked.plan, Asked { tags: asked.tags, seed: asked.seed, targets: own(&caller)? })?;
    Ok(made(&run, &format!("/api/v1/runs/{run}")))
}

/// Whether a plan stays within what a token may.
async fn may(caller: &Caller, plan: &Good) -> Result<(), Problem> {
    within(caller, plan.demand)?;
    may_send_to(caller, &plan.targets).await
}

/// Whether a load stays within the ceilings of a token.
pub(crate) fn within(caller: &Caller, demand: Demand) -> Result<(), Problem> {
    let Ceilings { rate, users, .. } = &caller.ceilings;
    let forbidden = |asked: f64, what: &str, ceiling: f64| {
        let words = format!("it asks for {asked} {what}, and {} may {ceiling}", caller.name);
        Err(Problem::new(Kind::Forbidden, words))
    };
    match (rate, users) {
        (Some(ceiling), _) if demand.rate > *ceiling => forbidden(demand.rate, "arrivals/s", *ceiling),
        (_, Some(ceiling)) if u64::from(demand.users) > *ceiling => {
            forbidden(demand.users.into(), "users", *ceiling as f64)
        }
        _ => Ok(()),
    }
}

/// Whether a token may send runs to these targets.
pub(crate) async fn may_send_to(caller: &Caller, to: &[String]) -> Result<(), Problem> {
    let Some(targets) = own(caller)? else { return Ok(()) };
    for target in to {
        check(&targets, target).await.map_err(|error| Problem::new(Kind::Forbidden, error.to_string()))?;
    }
    Ok(())
}

/// The list of a token's own, if it has one.
fn own(caller: &Caller) -> Result<Option<Targets>, Problem> {
    let list = caller.ceilings.targets.as_ref().map(|targets| Targets::parse(targets));
    list.transpose().map_err(|error| Problem::new(Kind::Forbidden, error.to_string()))
}

/// What was made, and where it is or will be.
fn made(id: &str, place: &str) -> Response {
    let mut response = (StatusCode::CREATED, Json(json!({ "id": id }))).into_response();
    if let Ok(location) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn schedules(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let standing: Vec<Value> = app.daemon()?.schedules().iter().map(standing).collect();
    Ok(Json(json!({ "schedules": standing })))
}

fn standing(standing: &Standing) -> Value {
    let Standing { schedule, is_paused, next, now, last, waits, notes } = standing;
    let [run, search, report] = parts(now.as_ref());
    let notes: Vec<Value> =
        notes.iter().map(|(at, words)| json!({ "at": at.to_string(), "words": words })).collect();
    json!({
        "name": schedule.name,
        "kind": schedule.job.kind(),
        "plan": schedule.job.plan(),
        "most": most(&schedule.job),
        "when": schedule.when.to_string(),
        "overlap": match schedule.overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Replace => "replace",
        },
        "missed": match schedule.missed {
            Missed::Skip => "skip",
            Missed::Once => "once",
        },
        "paused": is_paused,
        "next": next.map(|next| next.to_string()),
        "run": run,
        "search": search,
        "report": report,
        "last": last.as_ref().map(|last| ended(&schedule.name, last)),
        "waits": waits,
        "notes": notes,
    })
}

/// The highest load that a search may try, as people write it.
fn most(job: &Job) -> Option<String> {
    match job {
        Job::Limit { most: Most::Rate(rate), .. } => Some(format!("{rate}/s")),
        Job::Limit { most: Most::Users(users), .. } => Some(format!("{users} users")),
        Job::Plan(_) | Job::Capacity { .. } | Job::Sla { .. } => None,
    }
}

/// The run, the search and the report of something that was started; it is one of them.
fn parts(begun: Option<&Begun>) -> [Option<&str>; 3] {
    match begun {
        None => [None, None, None],
        Some(Begun::Run(id)) => [Some(id.as_str()), None, None],
        Some(Begun::Search(id)) => [None, Some(id.as_str()), None],
        Some(Begun::Report(file)) => [None, None, Some(file.as_str())],
    }
}

fn ended(schedule: &str, last: &Last) -> Value {
    let [run, search, _] = parts(Some(&last.of));
    json!({
        "at": last.at.to_string(),
        "words": last.words,
        "run": run,
        "search": search,
        "report": last.report.as_ref().map(|file| href(schedule, file)),
    })
}

async fn start_schedule(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(schedule): Path<String>,
) -> Result<Response, Problem> {
    let daemon = app.daemon()?;
    let job = daemon.schedule(&schedule)?.job;
    if let Some((demand, targets)) = daemon.wanted_by(&job).await? {
        within(&caller, demand)?;
        may_send_to(&caller, &targets).await?;
    }
    let details = json!({ "kind": job.kind(), "plan": job.plan() });
    app.audit(&caller, "schedule.start", &schedule, details).await?;
    Ok(match daemon.start_schedule(&schedule, own(&caller)?).await? {
        Begun::Run(run) => made(&run, &format!("/api/v1/runs/{run}")),
        Begun::Search(search) => made(&search, &format!("/api/v1/runs?tag=limit%3D{search}")),
        Begun::Report(file) => made(&file, &href(&schedule, &file)),
    })
}

async fn stop(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Problem> {
    let daemon = app.daemon()?;
    let job = daemon.schedule(&schedule)?.job;
    may_send_to(&caller, &daemon.sent_to_by(&schedule)).await?;
    app.audit(&caller, "schedule.stop", &schedule, json!({ "kind": job.kind() })).await?;
    daemon.stop_schedule(&schedule)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Problem> {
    set_paused(&app, &caller, &schedule, true).await
}

async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Problem> {
    set_paused(&app, &caller, &schedule, false).await
}

async fn set_paused(
    app: &App,
    caller: &Caller,
    schedule: &str,
    is_paused: bool,
) -> Result<StatusCode, Problem> {
    let daemon = app.daemon()?;
    daemon.schedule(schedule)?;
    let action = if is_paused { "schedule.pause" } else { "schedule.resume" };
    app.audit(caller, action, schedule, json!({})).await?;
    daemon.pause_schedule(schedule, is_paused)?;
    Ok(StatusCode::NO_CONTENT)
}
