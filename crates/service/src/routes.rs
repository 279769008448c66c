use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use axum::extract::{MatchedPath, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use plimsoll_exposition::capacity_families;
use plimsoll_exposition::prometheus::Format;
use plimsoll_history::{Retention, Scope};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::access::{self, Access, Auth, Gate};
use crate::capacity::{Answers, list};
use crate::daemon::Daemon;
use crate::followed::Followed;
use crate::guard::Guard;
use crate::problem::Problem;
use crate::route::{Answer, Doc, PUBLIC, READ, Route};
use crate::runs::FILTERS;
use crate::slas::Slas;
use crate::telling::Receivers;
use crate::{
    admin, annotations, assets, control, course, discovery, editing, events, guard, login, openapi, problem,
    reports, settings, starts, telling, tokens,
};

/// What every handler can use.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) followed: Arc<Followed>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) slas: Arc<Slas>,
    /// `None`: the service starts nothing.
    pub(crate) daemon: Option<Arc<Daemon>>,
    /// Held while it is decided whether a run may be steered, and it is asked; never while one waits for its answer.
    pub(crate) steering: Arc<Mutex<()>>,
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) access: Arc<Access>,
    pub(crate) receivers: Arc<Receivers>,
    /// How long runs are kept; `None`: for ever.
    pub(crate) retention: Option<Retention>,
    pub(crate) ended: CancellationToken,
}

/// Every route of the service: what is not here is not answered.
pub(crate) fn table() -> Vec<Route> {
    let of_itself = vec![Route::get("/api/v1/openapi.json", READ, document_of_the_api).doc(Doc::json(
        "getDocument",
        "This document",
        "Document",
    ))];
    [
        pages(),
        login::routes(),
        probes(),
        of_runs(),
        annotations::routes(),
        starts::routes(),
        reports::routes(),
        editing::routes(),
        control::routes(),
        of_capacity(),
        of_slas(),
        discovery::routes(),
        admin::routes(),
        tokens::routes(),
        settings::routes(),
        telling::routes(),
        of_itself,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// It never changes while a service runs.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&table()));

async fn document_of_the_api() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// Every route: method, path, and the scope that is needed to ask; `None` where nothing is.
pub fn routes() -> Vec<(String, &'static str, Option<Scope>)> {
    table().into_iter().map(|route| (route.method.to_string(), route.path, route.scope)).collect()
}

fn pages() -> Vec<Route> {
    vec![
        Route::get("/", READ, index),
        Route::get("/capacity", READ, capacity),
        Route::get("/capacity/{number}", READ, capacity_report),
        Route::get("/sla", READ, slas_page),
        Route::get("/sla/{*name}", READ, sla_page),
        Route::get("/assets/{name}", PUBLIC, asset),
    ]
}

fn probes() -> Vec<Route> {
    vec![
        Route::get("/healthz", PUBLIC, async || "ok\n").doc(Doc::new(
            "health",
            "Whether the process lives",
            Answer::Text,
        )),
        Route::get("/readyz", PUBLIC, ready).doc(Doc::new(
            "readiness",
            "Whether the history was read and can be read still",
            Answer::Text,
        )),
        Route::get("/metrics", READ, metrics).doc(Doc::new(
            "metrics",
            "The service's own metrics, limits of plans and how SLAs stand",
            Answer::Metrics,
        )),
    ]
}

fn of_runs() -> Vec<Route> {
    vec![
        Route::get("/api/v1/runs", READ, runs)
            .doc(Doc { query: &FILTERS, ..Doc::json("listRuns", "Runs, latest first", "Runs") }),
        Route::get("/api/v1/runs/{run}", READ, run).doc(Doc::json("getRun", "A run in figures", "Run")),
        Route::get("/api/v1/runs/{run}/timeline", READ, timeline).doc(Doc {
            query: &course::PARAMETERS,
            ..Doc::json("getTimeline", "The course of a run in columns, or a stretch of it", "Timeline")
        }),
        Route::get("/api/v1/runs/{run}/report", READ, report).doc(Doc::new(
            "getReport",
            "The report of a run, one HTML file",
            Answer::Html,
        )),
        Route::get("/api/v1/events", READ, listen).doc(Doc::new(
            "listen",
            "What happens, as it happens",
            Answer::Events,
        )),
    ]
}

fn of_capacity() -> Vec<Route> {
    vec![
        Route::get("/api/v1/capacity", READ, capacity_list).doc(Doc::json(
            "listCapacity",
            "The limit and headroom of each plan",
            "Capacity",
        )),
        Route::get("/api/v1/capacity/{number}", READ, capacity_json).doc(Doc::json(
            "getCapacity",
            "What `capacity` or `limit` answered",
            "CapacityAnswer",
        )),
    ]
}

fn of_slas() -> Vec<Route> {
    vec![
        Route::get("/api/v1/slas", READ, slas_list).doc(Doc::json("listSlas", "How each SLA stands", "Slas")),
        Route::get("/api/v1/slas/{*name}", READ, sla_json).doc(Doc::json(
            "getSla",
            "All there is to say of one SLA",
            "Sla",
        )),
    ]
}

/// The routes behind their gates, and behind what every request has to pass.
pub(crate) fn router(app: App, addr: SocketAddr) -> Router {
    let guard = Arc::new(Guard::new(Arc::clone(&app.access), addr));
    let routes = table().into_iter().fold(Router::new(), |router, route| {
        let gate = Gate {
            app: app.clone(),
            scope: route.scope,
            is_page: route.doc.is_none(),
            is_metrics: route.path == guard::METRICS,
        };
        let gate = middleware::from_fn_with_state(gate, access::gate);
        router.route(route.path, route.handler.route_layer(gate))
    });
    routes
        .fallback(async || Problem::not_found("no such path; `/api/v1/openapi.json` has those there are"))
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .layer(middleware::from_fn(problem::told))
        .layer(middleware::from_fn(traced))
        .with_state(app)
}

/// A span per request, for whoever traces us. A stream of events ends its span with its head.
async fn traced(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

async fn index(headers: HeaderMap) -> Response {
    assets::answer("index.html", &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::answer(&name, &headers)
}

/// Ready is who has read the record once and can read it still.
async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let known = app.followed.known();
    match (&known.trouble, &known.runs) {
        // Whoever may not ask for anything else is not told where the record lies.
        (Some(_), _) if !matches!(app.access.auth, Auth::Off) => {
            Err(Problem::unavailable("the history cannot be read"))
        }
        (Some(trouble), _) => Err(Problem::unavailable(trouble.clone())),
        (None, None) => Err(Problem::unavailable("the record is not read yet")),
        (None, Some(_)) => Ok("ready\n"),
    }
}

/// The service's own metrics, and the limits that its history has; those of a run are where the run is.
async fn metrics(State(app): State<App>) -> Response {
    let live = app.followed.known().live.len();
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "# HELP plimsoll_up Whether the service answers.\n# TYPE plimsoll_up gauge\nplimsoll_up 1\n\
         # HELP plimsoll_build_info The version of the service.\n# TYPE plimsoll_build_info gauge\n\
         plimsoll_build_info{{version=\"{version}\"}} 1\n\
         # HELP plimsoll_live_runs Runs that go on, of every process that records here.\n\
         # TYPE plimsoll_live_runs gauge\nplimsoll_live_runs {live}\n"
    );
    let limits = match app.answers.known().await {
        Ok(known) => known.iter().filter_map(|known| Some(known.limit()?.1)).collect(),
        Err(error) => {
            tracing::warn!(%error, "the limits of plans cannot be read");
            Vec::new()
        }
    };
    let mut text = text.into_bytes();
    text.extend(Format::Text.encode(&capacity_families(&limits)));
    text.extend(Format::Text.encode(&app.slas.families()));
    ([(header::CONTENT_TYPE, Format::Text.content_type())], text).into_response()
}

async fn runs(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    Ok(Json(crate::runs::list(&app.followed, query.as_deref().unwrap_or_default()).await?))
}

async fn run(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(plimsoll_report::json(&*app.followed.run(&id).await?)))
}

async fn timeline(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    Ok(Json(course::answer(&app.followed, &id, query.as_deref().unwrap_or_default()).await?))
}

async fn report(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let run = app.followed.run(&id).await?;
    let run = app.with_alerts(&run).await;
    Ok(document(plimsoll_report::html(std::slice::from_ref(&run))))
}

/// A document of the report's making, whose style and script are allowed.
fn document(page: String) -> Response {
    under(guard::report_policy(), page)
}

/// A page of the report's making, which shares files with the other pages.
fn drawn_page(page: String) -> Response {
    under(guard::drawn_page_policy(), page)
}

pub(crate) fn under(policy: Option<HeaderValue>, page: String) -> Response {
    let mut response = axum::response::Html(page).into_response();
    if let Some(policy) = policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn capacity(State(app): State<App>) -> Result<Response, Problem> {
    let plans = plans(app.followed.known().runs.as_ref());
    Ok(drawn_page(app.answers.page(plans).await?))
}

/// The plans of a list of runs, each once.
fn plans(runs: Option<&Value>) -> Vec<String> {
    let rows = runs.and_then(|runs| runs["runs"].as_array()).into_iter().flatten();
    let plans: BTreeSet<&str> = rows.filter_map(|row| row["plan"].as_str()).collect();
    plans.into_iter().map(str::to_owned).collect()
}

async fn capacity_report(State(app): State<App>, Path(number): Path<i64>) -> Result<Response, Problem> {
    let report = app.answers.report(number).await?;
    report.map(document).ok_or_else(|| Problem::not_found(format!("there is no report {number}")))
}

async fn capacity_list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(list(&app.answers.known().await?)))
}

async fn capacity_json(State(app): State<App>, Path(number): Path<i64>) -> Result<Response, Problem> {
    match app.answers.shown(number).await? {
        Some(shown) => Ok(Json(&shown.result).into_response()),
        None => Err(Problem::not_found(format!("there is no answer {number}"))),
    }
}

async fn slas_page(State(app): State<App>) -> Response {
    drawn_page(plimsoll_report::slas_page(&app.slas.statuses()))
}

async fn sla_page(State(app): State<App>, Path(label): Path<String>) -> Result<Response, Problem> {
    match app.slas.detail(&label).await? {
        Some(detail) => Ok(drawn_page(plimsoll_report::sla_page(&detail))),
        None => Err(no_sla(&label)),
    }
}

async fn slas_list(State(app): State<App>) -> Json<Value> {
    Json(json!({ "slas": app.slas.statuses() }))
}

async fn sla_json(State(app): State<App>, Path(label): Path<String>) -> Result<Json<Value>, Problem> {
    app.slas.detail(&label).await?.map(Json).ok_or_else(|| no_sla(&label))
}

fn no_sla(label: &str) -> Problem {
    Problem::not_found(format!("there is no SLA `{label}`"))
}

async fn listen(State(app): State<App>, headers: HeaderMap) -> Response {
    let Ok(place) = Arc::clone(&app.listeners).try_acquire_owned() else {
        return Problem::unavailable("too many pages listen already").into_response();
    };
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    events::stream(app.followed, last, app.ended, place).into_response()
}
