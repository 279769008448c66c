use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use plimsoll_exposition::capacity_families;
use plimsoll_exposition::prometheus::Format;
use plimsoll_history::Error;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::capacity::{Answers, list};
use crate::followed::Followed;
use crate::slas::Slas;
use crate::{assets, events, guard, shapes};

/// Pages that may listen at once.
const LISTENERS: usize = 64;

#[derive(Debug, Clone)]
struct App {
    followed: Arc<Followed>,
    answers: Arc<Answers>,
    slas: Arc<Slas>,
    listeners: Arc<Semaphore>,
    ended: CancellationToken,
}

/// Every path of the service.
pub(crate) fn router(
    followed: Arc<Followed>,
    slas: Arc<Slas>,
    addr: SocketAddr,
    ended: CancellationToken,
) -> Router {
    let answers = Arc::new(Answers::new(followed.history().clone()));
    let app = App { followed, answers, slas, listeners: Arc::new(Semaphore::new(LISTENERS)), ended };
    Router::new()
        .route("/", get(index))
        .route("/capacity", get(capacity))
        .route("/capacity/{number}", get(capacity_report))
        .route("/sla", get(slas_page))
        .route("/sla/{*label}", get(sla_page))
        .route("/assets/{name}", get(asset))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/runs", get(runs))
        .route("/api/v1/runs/{id}", get(run))
        .route("/api/v1/runs/{id}/timeline", get(timeline))
        .route("/api/v1/runs/{id}/report", get(report))
        .route("/api/v1/capacity", get(capacity_list))
        .route("/api/v1/capacity/{number}", get(capacity_json))
        .route("/api/v1/slas", get(slas_list))
        .route("/api/v1/slas/{*label}", get(sla_json))
        .route("/api/v1/events", get(listen))
        .layer(middleware::from_fn_with_state(addr, guard::guard))
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
async fn ready(State(app): State<App>) -> Response {
    let known = app.followed.known();
    match (&known.trouble, &known.runs) {
        (Some(trouble), _) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
        (None, None) => (StatusCode::SERVICE_UNAVAILABLE, "the record is not read yet\n").into_response(),
        (None, Some(_)) => "ready\n".into_response(),
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

async fn runs(State(app): State<App>) -> Response {
    let known = app.followed.known();
    match (&known.runs, &known.trouble) {
        (Some(runs), _) => Json(runs.clone()).into_response(),
        (None, Some(trouble)) => problem(StatusCode::SERVICE_UNAVAILABLE, trouble),
        (None, None) => problem(StatusCode::SERVICE_UNAVAILABLE, "the record is not read yet"),
    }
}

async fn run(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(plimsoll_report::json(&*app.followed.run(&id).await?)))
}

async fn timeline(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(shapes::timeline(&*app.followed.run(&id).await?)))
}

async fn report(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let run = app.followed.run(&id).await?;
    Ok(document(plimsoll_report::html(std::slice::from_ref(&*run))))
}

/// A document of the report's making, whose style and script are allowed.
fn document(page: String) -> Response {
    let mut response = axum::response::Html(page).into_response();
    if let Some(policy) = guard::report_policy() {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn capacity(State(app): State<App>) -> Result<Response, Problem> {
    let plans = plans(app.followed.known().runs.as_ref());
    Ok(document(app.answers.page(plans).await?))
}

/// The plans of a list of runs, each once.
fn plans(runs: Option<&Value>) -> Vec<String> {
    let rows = runs.and_then(|runs| runs["runs"].as_array()).into_iter().flatten();
    let plans: BTreeSet<&str> = rows.filter_map(|row| row["plan"].as_str()).collect();
    plans.into_iter().map(str::to_owned).collect()
}

async fn capacity_report(State(app): State<App>, Path(number): Path<i64>) -> Result<Response, Problem> {
    let report = app.answers.report(number).await?;
    Ok(report.map_or_else(|| problem(StatusCode::NOT_FOUND, "no such report"), document))
}

async fn capacity_list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(list(&app.answers.known().await?)))
}

async fn capacity_json(State(app): State<App>, Path(number): Path<i64>) -> Result<Response, Problem> {
    let shown = app.answers.shown(number).await?;
    Ok(match shown {
        Some(shown) => Json(&shown.result).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such answer"),
    })
}

/// How often a page of SLAs is drawn anew by whoever shows it.
const DRAWN_EVERY: &str = "10";

async fn slas_page(State(app): State<App>) -> Response {
    fresh(document(plimsoll_report::slas_page(&app.slas.statuses())))
}

async fn sla_page(State(app): State<App>, Path(label): Path<String>) -> Result<Response, Problem> {
    Ok(match app.slas.detail(&label).await? {
        Some(detail) => fresh(document(plimsoll_report::sla_page(&detail))),
        None => problem(StatusCode::NOT_FOUND, "no such SLA"),
    })
}

/// A document of this moment.
fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(header::REFRESH, HeaderValue::from_static(DRAWN_EVERY));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn slas_list(State(app): State<App>) -> Json<Value> {
    Json(json!({ "slas": app.slas.statuses() }))
}

async fn sla_json(State(app): State<App>, Path(label): Path<String>) -> Result<Response, Problem> {
    Ok(match app.slas.detail(&label).await? {
        Some(detail) => Json(detail).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such SLA"),
    })
}

async fn listen(State(app): State<App>) -> Response {
    let Ok(place) = Arc::clone(&app.listeners).try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already");
    };
    let stream = events::stream(&app.followed, app.ended.clone(), place);
    stream.into_response()
}

/// Why a run cannot be shown.
struct Problem(Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Error::NoRun { .. } | Error::Empty => StatusCode::NOT_FOUND,
            Error::Ambiguous { .. } => StatusCode::BAD_REQUEST,
            Error::Locked { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(status, &shapes::chain(&self.0))
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
