//! The operator's routes: `/health`, `/control`, `/control/freeze`, `/record` and `/metrics`.
//!
//! They are not counted, do not wait for a place, and answer while the shop is frozen.

use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;

use crate::Control;
use crate::connection::Content;
use crate::metrics;
use crate::model::ModelError;
use crate::routes::{Page, collect, duration_in, json_page, page, problem, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Health,
    Control,
    Freeze,
    Record,
    Metrics,
}

impl Operator {
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/health" => Some(Self::Health),
            "/control" => Some(Self::Control),
            "/control/freeze" => Some(Self::Freeze),
            "/record" => Some(Self::Record),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Health | Self::Metrics => "GET, HEAD",
            Self::Control => "GET, HEAD, PUT",
            Self::Freeze => "POST",
            Self::Record => "GET, HEAD, DELETE",
        }
    }
}

pub(crate) async fn answer(operator: Operator, control: &Control, parts: &Parts, body: Incoming) -> Page {
    // hyper leaves the body out for those who ask for the head alone.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    match (operator, method) {
        (Operator::Health, &Method::GET) => text("ok\n"),
        (Operator::Metrics, &Method::GET) => metrics_page(control),
        (Operator::Control, &Method::GET) => json_page(StatusCode::OK, &control.model()),
        (Operator::Control, &Method::PUT) => match collect(body).await {
            Ok(change) => change_model(control, &change).await,
            Err(page) => page,
        },
        (Operator::Freeze, &Method::POST) => match duration_in(parts.uri.query().unwrap_or("")) {
            Some(span) => {
                control.freeze(span);
                text("frozen\n")
            }
            None => problem(StatusCode::BAD_REQUEST, "write for=2s, at most 10m"),
        },
        (Operator::Record, &Method::GET) => json_page(StatusCode::OK, &control.record().to_json()),
        (Operator::Record, &Method::DELETE) => {
            control.reset_record();
            text("forgotten\n")
        }
        _ => {
            let mut page = problem(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods");
            page.headers_mut().insert(ALLOW, HeaderValue::from_static(operator.methods()));
            page
        }
    }
}

async fn change_model(control: &Control, change: &[u8]) -> Page {
    let model = match control.model().changed_by(change) {
        Ok(model) => model,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    // Memory takes a while to be touched, and other requests are answered meanwhile.
    let applier = control.clone();
    match tokio::task::spawn_blocking(move || applier.set_model(model)).await {
        Ok(Ok(())) => json_page(StatusCode::OK, &model),
        Ok(Err(error @ ModelError::NoMemory(_))) => {
            problem(StatusCode::INSUFFICIENT_STORAGE, &error.to_string())
        }
        Ok(Err(error)) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(stopped) => problem(StatusCode::INTERNAL_SERVER_ERROR, &stopped.to_string()),
    }
}

fn metrics_page(control: &Control) -> Page {
    match control.metrics_text() {
        Ok(text) => page(StatusCode::OK, metrics::CONTENT_TYPE, Content::of(text)),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
