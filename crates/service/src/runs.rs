//! The list of runs over HTTP: a page at a time, and only those somebody asks for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plimsoll_history::{Filter, RunRow};
use plimsoll_run::RunStatus;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::followed::Followed;
use crate::problem::Problem;
use crate::route::Parameter;
use crate::shapes::{self, Outcome};

/// Runs of one answer at most, and without `limit`.
pub(crate) const AT_MOST: u32 = 200;

/// The word for a run that goes on, which has no status yet.
const RUNNING: &str = "running";

/// What a list of runs can be asked with.
pub(crate) const FILTERS: [Parameter; 7] = [
    Parameter {
        name: "limit",
        says: "So many at most.",
        schema: r#"{"type":"integer","minimum":1,"maximum":200,"default":200}"#,
    },
    Parameter {
        name: "cursor",
        says: "`next` of the answer before: the runs after those.",
        schema: r#"{"type":"string"}"#,
    },
    Parameter { name: "plan", says: "Of this plan.", schema: r#"{"type":"string"}"# },
    Parameter {
        name: "status",
        says: "That run, or that ended so.",
        schema: r#"{"type":"string","enum":["running","completed","aborted","interrupted","failed"]}"#,
    },
    Parameter {
        name: "tag",
        says: "With this tag, `name=value`; of several all.",
        schema: r#"{"type":"array","items":{"type":"string","pattern":"^[^=]+="}}"#,
    },
    Parameter {
        name: "since",
        says: "Started at this moment or after it.",
        schema: r#"{"type":"string","format":"date-time"}"#,
    },
    Parameter {
        name: "until",
        says: "Started before this moment.",
        schema: r#"{"type":"string","format":"date-time"}"#,
    },
];

/// The runs that a query asks for.
///
/// Without a query it is what pages are told, which costs nothing. A row of the pages is taken as it is there, since
/// they know how a run ended whose process left no summary.
pub(crate) async fn list(followed: &Followed, query: &str) -> Result<Value, Problem> {
    let filter = filter(query)?;
    let known = known_rows(followed)?;
    if query.is_empty() {
        let next =
            (known.len() >= AT_MOST as usize).then(|| known.last().and_then(cursor_of_shown)).flatten();
        return Ok(json!({ "runs": known, "next": next }));
    }
    let limit = filter.limit.unwrap_or(AT_MOST);
    // One more than is told says whether there is another page.
    let rows = followed.history().list(&Filter { limit: Some(limit + 1), ..filter }).await?;
    let page = &rows[..rows.len().min(limit as usize)];
    let next = (rows.len() > page.len()).then(|| page.last().map(cursor)).flatten();
    let shown: Vec<Value> = page.iter().map(|row| show(row, &known)).collect();
    Ok(json!({ "runs": shown, "next": next }))
}

fn known_rows(followed: &Followed) -> Result<Vec<Value>, Problem> {
    let known = followed.known();
    match (&known.runs, &known.trouble) {
        (Some(runs), _) => Ok(runs["runs"].as_array().cloned().unwrap_or_default()),
        (None, Some(trouble)) => Err(Problem::unavailable(trouble.clone())),
        (None, None) => Err(Problem::unavailable("the record is not read yet")),
    }
}

fn show(row: &RunRow, known: &[Value]) -> Value {
    if let Some(known) = known.iter().find(|known| known["id"] == row.id.as_str()) {
        return known.clone();
    }
    let outcome = row.summary.as_deref().and_then(Outcome::from_summary);
    shapes::row(row, row.is_live(), outcome.as_ref())
}

fn cursor(row: &RunRow) -> String {
    encode(row.started_nanos, &row.id)
}

fn cursor_of_shown(row: &Value) -> Option<String> {
    let started: jiff::Timestamp = row["started"].as_str()?.parse().ok()?;
    Some(encode(i64::try_from(started.as_nanosecond()).ok()?, row["id"].as_str()?))
}

fn encode(started_nanos: i64, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{started_nanos} {id}"))
}

fn decode(cursor: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (started, id) = text.split_once(' ')?;
    Some((started.parse().ok()?, id.to_owned()))
}

/// What a query means. A parameter that is not known is refused: to leave it out would answer another question.
fn filter(query: &str) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    let wrong = |name: &str, value: &str, write: &str| {
        Problem::bad_request(format!("`{name}={value}` is not understood; write {write}"))
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let once = match &*name {
            "limit" => filter.limit.is_none(),
            "cursor" => filter.after.is_none(),
            "plan" => filter.plan.is_none(),
            "status" => filter.status.is_none() && !filter.live,
            "since" => filter.since_nanos.is_none(),
            "until" => filter.until_nanos.is_none(),
            _ => true,
        };
        if !once {
            return Err(Problem::bad_request(format!("`{name}` is given twice")));
        }
        match &*name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=AT_MOST).contains(limit));
                filter.limit = Some(limit.ok_or_else(|| wrong(&name, &value, "a number from 1 to 200"))?);
            }
            "cursor" => {
                let after = decode(&value);
                filter.after = Some(after.ok_or_else(|| wrong(&name, &value, "the `next` of an answer"))?);
            }
            "plan" => filter.plan = Some(value.into_owned()),
            "status" if value == RUNNING => filter.live = true,
            "status" => {
                let words = "running, completed, aborted, interrupted or failed";
                let status = RunStatus::from_label(&value);
                filter.status = Some(status.ok_or_else(|| wrong(&name, &value, words))?);
            }
            "tag" => {
                let tag = value.split_once('=').filter(|(name, _)| !name.is_empty());
                let (tag, worth) = tag.ok_or_else(|| wrong(&name, &value, "`tag=name=value`"))?;
                if let Some(other) = filter.tags.insert(tag.to_owned(), worth.to_owned())
                    && other != worth
                {
                    let words = format!("the tag `{tag}` cannot be both `{other}` and `{worth}`");
                    return Err(Problem::bad_request(words));
                }
            }
            "since" | "until" => {
                let moment = moment(&value).ok_or_else(|| wrong(&name, &value, "`2026-11-23T05:00:00Z`"))?;
                if name == "since" {
                    filter.since_nanos = Some(moment);
                } else {
                    filter.until_nanos = Some(moment);
                }
            }
            _ => {
                let allowed = FILTERS.map(|parameter| parameter.name).join(", ");
                return Err(Problem::bad_request(format!("`{name}` is no parameter; there are {allowed}")));
            }
        }
    }
    Ok(filter)
}

/// Nanoseconds since 1970 of a moment with its offset from UTC.
pub(crate) fn moment(text: &str) -> Option<i64> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    #[test]
    fn a_query_means_a_filter() {
        let text =
            "limit=5&plan=a%20b&status=running&tag=version=1.4.2&tag=team=x=y&since=1970-01-01T00:00:01Z";
        let found = filter(text).unwrap();
        assert_eq!((found.limit, found.plan.as_deref(), found.live), (Some(5), Some("a b"), true));
        assert_eq!(found.tags["version"], "1.4.2");
        assert_eq!(found.tags["team"], "x=y");
        assert_eq!(found.since_nanos, Some(1_000_000_000));
        assert_eq!(filter("status=aborted").unwrap().status, Some(RunStatus::Aborted));
        assert_eq!(filter("").unwrap(), Filter::default());
        let cursor = encode(-7, "a b");
        assert_eq!(filter(&format!("cursor={cursor}")).unwrap().after, Some((-7, "a b".to_owned())));
    }

    #[test]
    fn a_query_that_is_not_understood_is_refused_with_what_is() {
        for (text, told) in [
            ("limit=0", "a number from 1 to 200"),
            ("limit=201", "a number from 1 to 200"),
            ("limit=-1", "a number from 1 to 200"),
            ("limit=5&limit=6", "given twice"),
            ("status=done", "running, completed"),
            ("status=running&status=failed", "given twice"),
            ("tag=version", "`tag=name=value`"),
            ("tag==x", "`tag=name=value`"),
            ("tag=a=1&tag=a=2", "cannot be both"),
            ("since=yesterday", "2026-11-23T05:00:00Z"),
            ("until=9999-12-31T00:00:00Z", "2026-11-23T05:00:00Z"),
            ("cursor=!", "`next` of an answer"),
            ("sort=asc", "there are limit, cursor, plan, status, tag, since, until"),
        ] {
            let problem = filter(text).unwrap_err();
            assert_eq!(problem.kind(), Kind::BadRequest);
            assert!(problem.detail().contains(told), "{text}: {problem:?}");
        }
    }
}
