//! What the service is configured to, as far as whoever may look may know: no paths, no secrets.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::access::{Auth, Tls};
use crate::route::{Doc, READ, Route};
use crate::routes::App;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/api/v1/settings", READ, settings).doc(Doc::json(
        "getSettings",
        "What the service is configured to",
        "Settings",
    ))]
}

async fn settings(State(app): State<App>) -> Json<Value> {
    let access = &app.access;
    let auth = match &access.auth {
        Auth::Off => "off",
        Auth::Tokens => "tokens",
        Auth::Proxy(_) => "proxy",
    };
    let ceilings = app.daemon.as_ref().map(|daemon| {
        let ceilings = daemon.ceilings();
        json!({ "rate": ceilings.rate, "users": ceilings.users, "runs": ceilings.runs })
    });
    let retention = app.retention.as_ref().map(|retention| {
        json!({
            "seconds_for": retention.seconds.as_secs(),
            "minutes_for": retention.minutes.as_secs(),
            "hours_for": retention.hours.as_secs(),
            "size_bytes": retention.size,
        })
    });
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "auth": auth,
        "tls": matches!(access.tls, Tls::Files { .. }),
        "hosts": access.hosts,
        "targets": access.targets.words(),
        "limits": {
            "requests": access.limits.requests,
            "body_bytes": access.limits.body,
            "connections": access.limits.connections,
            "listeners": access.limits.listeners,
        },
        "ceilings": ceilings,
        "notify": app.receivers.told(),
        "retention": retention,
    }))
}
