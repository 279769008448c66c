//! What only some may: delete runs, and see who did what.

use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::StatusCode;
use plimsoll_history::Filter;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::access::Caller;
use crate::problem::Problem;
use crate::route::{ADMIN, Answer, Doc, Parameter, Route};
use crate::routes::App;
use crate::shapes::moment;

/// Entries of one answer at most, and without `limit`.
const AT_MOST: u32 = 200;

const PAGE: [Parameter; 2] = [
    Parameter {
        name: "limit",
        says: "So many at most.",
        schema: r#"{"type":"integer","minimum":1,"maximum":200,"default":200}"#,
    },
    Parameter {
        name: "before",
        says: "`next` of the answer before: the entries before those.",
        schema: r#"{"type":"integer","minimum":1}"#,
    },
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::delete("/api/v1/runs/{run}", ADMIN, delete).doc(Doc::new(
            "deleteRun",
            "Deletes a run that has ended; it is named by its whole id",
            Answer::Done,
        )),
        Route::get("/api/v1/audit", ADMIN, audit)
            .doc(Doc { query: &PAGE, ..Doc::json("listAudit", "Who did what, latest first", "Audit") }),
    ]
}

/// A run is deleted by its whole id alone: the start of one may mean another run a moment later.
async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let history = app.followed.history();
    let filter = Filter { id: Some(id.clone()), ..Filter::default() };
    let Some(row) = history.list(&filter).await?.pop() else {
        return Err(Problem::not_found(format!("no run has the id `{id}`")));
    };
    if row.is_live() {
        return Err(plimsoll_history::Error::Live { id }.into());
    }
    app.audit(&caller, "run.delete", &id, json!({ "plan": row.plan })).await?;
    history.delete(&[&id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn audit(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let (limit, before) = page(query.as_deref().unwrap_or_default())?;
    let found = app.followed.history().audited(limit, before).await?;
    let next = (found.len() == limit as usize).then(|| found.last().map(|(number, _)| *number)).flatten();
    let entries: Vec<Value> = found
        .iter()
        .map(|(number, entry)| {
            json!({
                "entry": number,
                "at": moment(entry.at_nanos),
                "who": entry.who,
                "known_by": entry.known_by,
                "action": entry.action,
                "what": entry.what,
                "details": entry.details,
            })
        })
        .collect();
    Ok(Json(json!({ "entries": entries, "next": next.filter(|next| *next > 1) })))
}

fn page(query: &str) -> Result<(u32, Option<i64>), Problem> {
    let (mut limit, mut before) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let wrong =
            |write: &str| Problem::bad_request(format!("`{name}={value}` is not understood; write {write}"));
        match &*name {
            "limit" if limit.is_none() => {
                let number = value.parse().ok().filter(|number| (1..=AT_MOST).contains(number));
                limit = Some(number.ok_or_else(|| wrong("a number from 1 to 200"))?);
            }
            "before" if before.is_none() => {
                let number = value.parse().ok().filter(|number| *number >= 1);
                before = Some(number.ok_or_else(|| wrong("the `next` of an answer"))?);
            }
            "limit" | "before" => return Err(Problem::bad_request(format!("`{name}` is given twice"))),
            _ => {
                return Err(Problem::bad_request(format!(
                    "`{name}` is no parameter; there are limit, before"
                )));
            }
        }
    }
    Ok((limit.unwrap_or(AT_MOST), before))
}
