//! How a browser shows a token: a form, and a cookie that no script sees and no other site sends.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::access::{self, COOKIE, Caller, Refused, Tls};
use crate::problem::Problem;
use crate::route::{Doc, PUBLIC, READ, Route};
use crate::routes::App;

/// How long a browser keeps the token, in seconds: a month. The token itself may end before.
const KEPT: u32 = 30 * 24 * 3600;

/// The form may be sent to us, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/login", PUBLIC, form),
        Route::post("/login", PUBLIC, log_in),
        Route::post("/logout", PUBLIC, log_out),
        Route::get("/api/v1/me", READ, me).doc(Doc::json("getMe", "Who asks, and what they may", "Caller")),
    ]
}

async fn me(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({
        "name": caller.name,
        "known_by": caller.known_by.label(),
        "scope": caller.scope.label(),
        "max_rate": caller.ceilings.rate,
        "max_users": caller.ceilings.users,
        "targets": caller.ceilings.targets,
    }))
}

async fn form(State(app): State<App>, request: Request) -> Response {
    let peer = request.extensions().get().copied();
    match access::caller(&app, request.headers(), peer).await {
        Ok(caller) => page(StatusCode::OK, &known(&caller)),
        Err(_) => page(StatusCode::OK, &asking("")),
    }
}

/// Takes the token of a form, and gives it back as a cookie where it is good.
async fn log_in(State(app): State<App>, body: Bytes) -> Result<Response, Problem> {
    let field = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let token = field.map(|(_, token)| token.trim().to_owned()).unwrap_or_default();
    match access::of_token(&app, &token).await {
        Ok(_) => Ok(to("/", &cookie(&app, &token, KEPT))),
        Err(Refused::Unknown(why)) => Ok(page(StatusCode::UNAUTHORIZED, &asking(why))),
        Err(Refused::Unreadable(problem)) => Err(problem),
    }
}

async fn log_out(State(app): State<App>) -> Response {
    to("/login", &cookie(&app, "", 0))
}

fn to(place: &'static str, cookie: &str) -> Response {
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A token has no character that means something in a cookie, since only a good one is ever put there.
fn cookie(app: &App, token: &str, seconds: u32) -> String {
    let secure = if matches!(app.access.tls, Tls::Files { .. }) { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn asking(why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!("<p role=\"alert\">{why}</p>") };
    format!(
        "<h1>Log in</h1>{why}<form method=\"post\" action=\"/login\"><p><label for=\"token\">Token</label> \
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus> \
         <button>Log in</button></p></form><p><code>plimsoll token create NAME</code> makes one.</p>"
    )
}

fn known(caller: &Caller) -> String {
    let name = escaped(&caller.name);
    let scope = caller.scope.label();
    format!(
        "<h1>Logged in</h1><p>{name}, with the scope <code>{scope}</code>. <a href=\"/\">To the runs</a></p>\
         <form method=\"post\" action=\"/logout\"><p><button>Log out</button></p></form>"
    )
}

fn page(status: StatusCode, main: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Plimsoll</title>\
         <link rel=\"icon\" href=\"/assets/icon.svg\"><link rel=\"stylesheet\" href=\"/assets/app.css\"></head>\
         <body><header class=\"top\"><a class=\"home\" href=\"/\">\
         <img src=\"/assets/icon.svg\" alt=\"\" width=\"24\" height=\"24\">Plimsoll</a></header>\
         <main>{main}</main></body></html>"
    );
    let policy = (HeaderName::from_static("content-security-policy"), POLICY);
    let mut response = ([policy], Html(page)).into_response();
    *response.status_mut() = status;
    response.extensions_mut().insert(crate::problem::AsItIs);
    response
}

/// A name comes from whoever made the token, or from a proxy.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
