//! Plans over HTTP: their texts, and writing them. What is wrong is never written, and nobody overwrites what they have
//! not seen.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::access::Caller;
use crate::daemon::Daemon;
use crate::plans::{Found, LARGEST, NotWritten, Reach, Seen, is_name, rendered};
use crate::problem::{Kind, Problem};
use crate::route::{ADMIN, Answer, Doc, READ, Route};
use crate::routes::App;
use crate::starts::{facts, mistake, mistakes_json};

/// The kinds of body that are plans.
const YAML: [&str; 2] = ["text/yaml", "application/yaml"];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/plans/{plan}", READ, plan).doc(Doc::json(
            "getPlan",
            "A plan, its text as it is in the file now, and what is wrong with it",
            "PlanWithText",
        )),
        Route::put("/api/v1/plans/{plan}", ADMIN, put).doc(Doc {
            body: Some("PlanYaml"),
            ..Doc::json(
                "putPlan",
                "Writes a plan; `If-Match` with the `etag` of the text that was edited, or `If-None-Match: *` for a new one",
                "PlanWithText",
            )
        }),
        Route::delete("/api/v1/plans/{plan}", ADMIN, delete).doc(Doc::new(
            "deletePlan",
            "Deletes a plan that no schedule uses; what runs of it goes on",
            Answer::Done,
        )),
        Route::get("/api/v1/plan-schema", READ, schema).doc(Doc::json(
            "getPlanSchema",
            "The JSON Schema of a plan",
            "JsonSchema",
        )),
    ]
}

/// It never changes while a service runs.
static SCHEMA: LazyLock<Value> = LazyLock::new(plimsoll_spec::schema);

async fn schema() -> Json<&'static Value> {
    Json(&SCHEMA)
}

async fn plan(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    told(app.daemon()?, &name).await
}

async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let daemon = editable(&app, &name)?;
    let (seen, text) = (seen(&headers)?, yaml(&headers, body)?);
    let good = daemon.check(format!("{name}.yaml"), text.clone(), Reach::Folder).await.map_err(|wrong| {
        Problem::new(Kind::Invalid, rendered(&wrong)).with_mistakes(wrong.iter().map(mistake).collect())
    })?;
    app.audit(&caller, "plan.put", &name, json!({ "sha256": good.digest })).await?;
    let written = name.clone();
    daemon.on_shelf(move |shelf| shelf.put(&written, &text, &seen)).await?;
    told(daemon, &name).await
}

async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let daemon = editable(&app, &name)?;
    let seen = match seen(&headers)? {
        // Whoever deletes a plan need not have looked at it.
        Seen::Unsaid => Seen::Anything,
        seen => seen,
    };
    let schedules = daemon.schedules_of(&name);
    if !schedules.is_empty() {
        let words = format!(
            "the plan `{name}` is started by {}: take it out of `schedules` first",
            schedules.join(", ")
        );
        return Err(Problem::new(Kind::Conflict, words));
    }
    app.audit(&caller, "plan.delete", &name, json!({})).await?;
    daemon.on_shelf(move |shelf| shelf.remove(&name, &seen)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where plans may be written, and this one may be called so.
fn editable<'a>(app: &'a App, name: &str) -> Result<&'a Arc<Daemon>, Problem> {
    let daemon = app.daemon()?;
    if !daemon.is_editable() {
        let words =
            "plans are not changed over HTTP here: the service's configuration says `edit_plans: false`";
        return Err(Problem::new(Kind::Conflict, words));
    }
    if name.ends_with(".yaml") || name.ends_with(".yml") {
        return Err(Problem::bad_request(format!(
            "`{name}` has the ending of the file; ask for the plan without it"
        )));
    }
    if !is_name(name) {
        return Err(Problem::bad_request(format!(
            "`{}` is no name of a plan: up to 100 letters, digits, `.`, `-` and `_`, and a letter or digit first",
            name.chars().take(100).collect::<String>().escape_debug()
        )));
    }
    Ok(daemon)
}

fn yaml(headers: &HeaderMap, body: Bytes) -> Result<String, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !YAML.contains(&kind.as_str()) {
        let words = format!("the body is `{}`; a plan is {}", kind.escape_debug(), YAML.join(" or "));
        return Err(Problem::new(Kind::MediaType, words));
    }
    if body.len() as u64 > LARGEST {
        let words = format!("the plan has {} bytes, and may have {LARGEST} at most", body.len());
        return Err(Problem::new(Kind::TooLarge, words));
    }
    String::from_utf8(body.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::bad_request(format!("the plan is not UTF-8: the byte at {at} is not"))
    })
}

/// What somebody says they have seen of the file that they change.
fn seen(headers: &HeaderMap) -> Result<Seen, Problem> {
    let said = |name: HeaderName| -> Result<Option<String>, Problem> {
        let mut lines = Vec::new();
        for line in headers.get_all(&name) {
            let line =
                line.to_str().map_err(|_| Problem::bad_request(format!("`{name}` is not understood")))?;
            lines.push(line);
        }
        Ok((!lines.is_empty()).then(|| lines.join(",")))
    };
    match (said(header::IF_MATCH)?, said(header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Seen::Unsaid),
        (Some(any), None) if any.trim() == "*" => Ok(Seen::Anything),
        (Some(tags), None) => Ok(Seen::Texts(tags.split(',').map(|tag| tag.trim().to_owned()).collect())),
        (None, Some(any)) if any.trim() == "*" => Ok(Seen::Nothing),
        (None, Some(_)) => {
            Err(Problem::bad_request("of `If-None-Match` only `*` is understood: there is no such plan yet"))
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("`If-Match` and `If-None-Match` say different things"))
        }
    }
}

impl From<NotWritten> for Problem {
    fn from(not_written: NotWritten) -> Self {
        let kind = match not_written {
            NotWritten::Missing => Kind::NotFound,
            NotWritten::Changed | NotWritten::Exists => Kind::Changed,
            NotWritten::Unsaid => Kind::Unseen,
            NotWritten::NoFile | NotWritten::TooMany | NotWritten::Large => Kind::Conflict,
            NotWritten::Failed { is_denied: true, .. } => Kind::Conflict,
            NotWritten::Failed { is_denied: false, .. } | NotWritten::Panicked => Kind::Internal,
        };
        Self::new(kind, not_written.to_string())
    }
}

async fn told(daemon: &Arc<Daemon>, name: &str) -> Result<Response, Problem> {
    let no_plan = || Problem::not_found(format!("there is no plan `{}`", name.escape_debug()));
    if !is_name(name) {
        return Err(no_plan());
    }
    let known = daemon.plan(name);
    let (file, text, etag) = match daemon.found(name).await {
        Ok(Some(Found { file, text, etag })) => (file, text, etag),
        Ok(None) => return Err(no_plan()),
        // The folder cannot be read now: what is known stays.
        Err(_) => {
            let known = known.as_ref().ok_or_else(no_plan)?;
            (known.file.clone(), known.good.as_ref().map(|good| good.text.clone()), None)
        }
    };
    let mut good = known.as_ref().and_then(|known| known.good.clone());
    let mut wrong = known.map(|known| known.wrong).unwrap_or_default();
    let is_as_known = |text: &str| good.as_ref().is_some_and(|good| good.text == text) && wrong.is_empty();
    if let Some(text) = text.as_deref().filter(|text| !is_as_known(text)) {
        match daemon.check(file.clone(), text.to_owned(), Reach::Anywhere).await {
            Ok(read) => (good, wrong) = (Some(Arc::new(read)), Vec::new()),
            Err(found) => wrong = found,
        }
    }
    let last_right = good.as_ref().filter(|good| text.as_ref() != Some(&good.text));
    let told = json!({
        "name": name,
        "file": file,
        "facts": good.as_deref().map(facts),
        "wrong": if wrong.is_empty() { Value::Null } else { rendered(&wrong).into() },
        "errors": mistakes_json(&wrong),
        "text": text,
        "last_right": last_right.map(|good| good.text.as_str()),
        "etag": etag,
    });
    let mut response = Json(told).into_response();
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_seen_is_said_in_headers() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            if !name.is_empty() {
                headers.append(name, value.parse().unwrap());
            }
            seen(&headers).map_err(|problem| problem.kind())
        };
        let texts = |tags: &[&str]| Ok(Seen::Texts(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(of("", ""), Ok(Seen::Unsaid));
        assert_eq!(of("if-match", "*"), Ok(Seen::Anything));
        assert_eq!(of("if-none-match", "*"), Ok(Seen::Nothing));
        assert_eq!(of("if-match", "\"a\", W/\"b\""), texts(&["\"a\"", "W/\"b\""]));
        assert_eq!(of("if-none-match", "\"a\""), Err(Kind::BadRequest));
        let both: HeaderMap = [(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        assert!(seen(&both).is_err());
    }
}
