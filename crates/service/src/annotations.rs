//! Alerts that an Alertmanager tells, and what of them a run overlaps.
//!
//! They are facts in wall time and belong to no run. A message is kept as a whole or refused as a whole; what of it is
//! foreign text is cut to bounds, and stays text wherever it is shown.

mod message;

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plimsoll_history::Overlapping;
use plimsoll_report::Run;
use plimsoll_run::{Annotation, WallTime};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::problem::Problem;
use crate::route::{Answer, Doc, Parameter, READ, RUN, Route};
use crate::routes::App;
use crate::runs;
use crate::sent::JsonBody;
use crate::shapes::moment;

/// Annotations of one answer at most, and without `limit`.
const AT_MOST: u32 = 200;

/// What a list of annotations can be asked with.
const PARAMETERS: [Parameter; 4] = [
    LIMIT,
    CURSOR,
    Parameter {
        name: "from",
        says: "That ended at this moment or after it, or go on.",
        schema: r#"{"type":"string","format":"date-time"}"#,
    },
    Parameter {
        name: "until",
        says: "That began before this moment.",
        schema: r#"{"type":"string","format":"date-time"}"#,
    },
];

/// What the list of those that a run overlaps can be asked with.
const PAGE: [Parameter; 2] = [LIMIT, CURSOR];

const LIMIT: Parameter = Parameter {
    name: "limit",
    says: "So many at most.",
    schema: r#"{"type":"integer","minimum":1,"maximum":200,"default":200}"#,
};

const CURSOR: Parameter = Parameter {
    name: "cursor",
    says: "`next` of the answer before: those after it.",
    schema: r#"{"type":"string"}"#,
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/annotations/alertmanager", RUN, hear).doc(Doc {
            body: Some("AlertmanagerMessage"),
            ..Doc::new("tellAlerts", "Takes the webhook of an Alertmanager, version 4", Answer::Done)
        }),
        Route::get("/api/v1/annotations", READ, list).doc(Doc {
            query: &PARAMETERS,
            ..Doc::json(
                "listAnnotations",
                "Alerts that were told, those first that began last",
                "Annotations",
            )
        }),
        Route::get("/api/v1/runs/{run}/annotations", READ, of_run).doc(Doc {
            query: &PAGE,
            ..Doc::json("listAnnotationsOfRun", "Alerts that a run overlaps", "AnnotationsOfRun")
        }),
    ]
}

/// Nobody is told of it beside those who ask, and no audit entry is written: an Alertmanager says the same again and again.
async fn hear(State(app): State<App>, JsonBody(body): JsonBody) -> Result<StatusCode, Problem> {
    let told = message::read(&body, now())?;
    app.followed.history().keep_annotations(&told).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let asked = asked(query.as_deref().unwrap_or_default(), &PARAMETERS)?;
    let (found, next) = app.annotations(asked).await?;
    let told: Vec<Value> = found.iter().map(row).collect();
    Ok(Json(json!({ "annotations": told, "next": next })))
}

async fn of_run(
    State(app): State<App>,
    Path(run): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let asked = asked(query.as_deref().unwrap_or_default(), &PAGE)?;
    // A page of a live run asks again and again.
    let (id, run) = app.followed.wall_time(&run).await?;
    let (found, next) =
        app.annotations(Overlapping { limit: asked.limit, after: asked.after, ..span(&run) }).await?;
    let told: Vec<Value> = found.iter().map(|one| row_of_run(one, &run)).collect();
    Ok(Json(json!({ "run": id, "annotations": told, "next": next })))
}

impl App {
    /// A page of annotations, and where the next one begins.
    async fn annotations(&self, asked: Overlapping) -> Result<(Vec<Annotation>, Option<String>), Problem> {
        let limit = asked.limit.unwrap_or(AT_MOST);
        // One more than is told says whether there is another page.
        let which = Overlapping { limit: Some(limit + 1), ..asked };
        let mut found = self.followed.history().annotations(&which).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = has_more.then(|| found.last().map(cursor)).flatten();
        Ok((found, next))
    }

    /// A run with what it overlaps, for its report. A run whose alerts cannot be read is told without.
    pub(crate) async fn with_alerts(&self, run: &Run) -> Run {
        let which =
            Overlapping { limit: Some(plimsoll_report::MOST_ALERTS + 1), ..span(&run.summary.wall_time()) };
        let alerts = self.followed.history().annotations(&which).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the alerts of a report cannot be read");
            Vec::new()
        });
        Run { alerts, ..run.clone() }
    }
}

/// What a run overlaps; one that goes on does so until now.
fn span(run: &WallTime) -> Overlapping {
    Overlapping {
        from_nanos: Some(run.started_nanos),
        until_nanos: Some(run.ended_nanos.unwrap_or_else(now)),
        ..Overlapping::default()
    }
}

fn row(annotation: &Annotation) -> Value {
    json!({
        "fingerprint": annotation.fingerprint,
        "name": annotation.name,
        "severity": annotation.severity,
        "status": if annotation.ends_nanos.is_some() { "resolved" } else { "firing" },
        "starts": moment(annotation.starts_nanos),
        "ends": annotation.ends_nanos.and_then(moment),
        "summary": annotation.summary,
        "labels": annotation.labels,
        "link": annotation.link,
        "receiver": annotation.receiver,
        "told": moment(annotation.told_nanos),
    })
}

/// With where it lies on the axis of a run.
fn row_of_run(annotation: &Annotation, run: &WallTime) -> Value {
    let mut told = row(annotation);
    told["from_seconds"] = json!(run.offset_of(annotation.starts_nanos));
    told["to_seconds"] = json!(annotation.ends_nanos.map(|ends| run.offset_of(ends)));
    told
}

fn cursor(annotation: &Annotation) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", annotation.starts_nanos, annotation.fingerprint))
}

fn decode(cursor: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (starts, fingerprint) = text.split_once(' ')?;
    // What no fingerprint has would be refused by a database.
    let is_text = !fingerprint.chars().any(char::is_control);
    Some((starts.parse().ok()?, fingerprint.to_owned())).filter(|_| is_text)
}

/// What a query means. A parameter that is not known is refused: to leave it out would answer another question.
fn asked(query: &str, parameters: &[Parameter]) -> Result<Overlapping, Problem> {
    let mut asked = Overlapping::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let wrong =
            |write: &str| Problem::bad_request(format!("`{name}={value}` is not understood; write {write}"));
        if !parameters.iter().any(|parameter| parameter.name == name) {
            let allowed: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
            let words = format!("`{name}` is no parameter; there are {}", allowed.join(", "));
            return Err(Problem::bad_request(words));
        }
        let a_moment = || runs::moment(&value).ok_or_else(|| wrong("`2026-11-23T05:00:00Z`"));
        let is_twice = match &*name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=AT_MOST).contains(limit));
                let limit = limit.ok_or_else(|| wrong("a number from 1 to 200"))?;
                asked.limit.replace(limit).is_some()
            }
            "cursor" => {
                let after = decode(&value).ok_or_else(|| wrong("the `next` of an answer"))?;
                asked.after.replace(after).is_some()
            }
            "from" => asked.from_nanos.replace(a_moment()?).is_some(),
            _ => asked.until_nanos.replace(a_moment()?).is_some(),
        };
        if is_twice {
            return Err(Problem::bad_request(format!("`{name}` is given twice")));
        }
    }
    if let (Some(from), Some(until)) = (asked.from_nanos, asked.until_nanos)
        && from >= until
    {
        return Err(Problem::bad_request("`until` must be later than `from`"));
    }
    Ok(asked)
}

/// The wall time, nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_means_a_stretch_and_a_page() {
        let found = asked("from=1970-01-01T00:00:01Z&until=1970-01-01T01:00:02%2B01:00&limit=7", &PARAMETERS);
        let expected = Overlapping {
            from_nanos: Some(1_000_000_000),
            until_nanos: Some(2_000_000_000),
            after: None,
            limit: Some(7),
        };
        assert_eq!(found.unwrap(), expected);
        assert_eq!(asked("", &PAGE).unwrap(), Overlapping::default());
        let cursor = URL_SAFE_NO_PAD.encode("-7 a b");
        let found = asked(&format!("cursor={cursor}"), &PAGE).unwrap();
        assert_eq!(found.after, Some((-7, "a b".to_owned())));
        for (query, parameters, told) in [
            ("limit=0", &PARAMETERS[..], "a number from 1 to 200"),
            ("limit=201", &PARAMETERS, "a number from 1 to 200"),
            ("limit=1&limit=2", &PARAMETERS, "`limit` is given twice"),
            ("cursor=!", &PARAMETERS, "the `next` of an answer"),
            ("cursor=MSAA", &PARAMETERS, "the `next` of an answer"),
            ("from=yesterday", &PARAMETERS, "write `2026-11-23T05:00:00Z`"),
            ("from=2026-11-23T05:00:00Z&until=2026-11-23T05:00:00Z", &PARAMETERS, "later than `from`"),
            ("name=x", &PARAMETERS, "there are limit, cursor, from, until"),
            ("from=2026-11-23T05:00:00Z", &PAGE, "there are limit, cursor"),
        ] {
            let problem = asked(query, parameters).unwrap_err();
            assert!(problem.detail().contains(told), "{query}: {problem:?}");
        }
    }
}
