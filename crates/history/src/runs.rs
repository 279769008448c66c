use std::collections::BTreeMap;

use plimsoll_run::RunStatus;
use sqlx::Row;

use crate::owner::Owner;
use crate::sql::{Kind, SqlRow, Statement};
use crate::store::now;
use crate::teardowns::{self, KeptTeardown};
use crate::{Error, History, Result};

/// How many of the ids that a prefix may mean are named.
const NAMED: u32 = 5;

/// A recorded run, without its seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// The `plan` label.
    pub plan: String,
    /// Runs of one plan with one hash can be compared.
    pub plan_hash: String,
    /// The version of what was tested.
    pub version: Option<String>,
    /// Where it was tested.
    pub environment: Option<String>,
    /// Every tag.
    pub tags: BTreeMap<String, String>,
    /// The target, without user information.
    pub target: String,
    /// The seed in use.
    pub seed: u64,
    /// The host that offered the load.
    pub host: String,
    /// Equal for machines of one class.
    pub fingerprint: String,
    /// Our own version then.
    pub plimsoll: String,
    /// Wall time of offset zero, nanoseconds since 1970.
    pub started_nanos: i64,
    /// How long it took; of a live or interrupted run up to its last recorded second; `None` before
    /// the first.
    pub duration_seconds: Option<f64>,
    /// When its recorder wrote last, nanoseconds since 1970: not before its last recorded second ended.
    pub seen_nanos: i64,
    /// How it ended; `None` while it runs.
    pub status: Option<RunStatus>,
    /// Seconds that could not be written.
    pub lost_seconds: u64,
    /// The JSON summary that was left at its end.
    pub summary: Option<String>,
    /// In what it differs from the run of the same plan before it: `hash`, `plimsoll`, `machine`.
    pub crosses: Vec<&'static str>,
    /// Its teardown, where one was made after it was gone.
    pub teardown: Option<KeptTeardown>,
    /// Whether it ended without its teardown, or the one made afterwards failed.
    pub owes_teardown: bool,
}

impl RunRow {
    /// Whether it is being recorded now.
    pub fn is_live(&self) -> bool {
        self.status.is_none()
    }
}

/// When a run was recorded, and no more of it: lists of these are as long as it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpan {
    /// Its id.
    pub id: String,
    /// The `plan` label.
    pub plan: String,
    /// Wall time of offset zero, nanoseconds since 1970.
    pub started_nanos: i64,
    /// When its recorder wrote last, nanoseconds since 1970: not before its last recorded second ended.
    pub seen_nanos: i64,
    /// Whether it is being recorded now.
    pub is_live: bool,
    number: i64,
}

/// Which runs to list; empty means every one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// With this very id.
    pub id: Option<String>,
    /// Of this plan.
    pub plan: Option<String>,
    /// Of this hash.
    pub plan_hash: Option<String>,
    /// Of this version of what was tested.
    pub version: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// With all of these tags.
    pub tags: BTreeMap<String, String>,
    /// Started at or after, nanoseconds since 1970.
    pub since_nanos: Option<i64>,
    /// Started before, nanoseconds since 1970.
    pub until_nanos: Option<i64>,
    /// Listed after this run: when it started, nanoseconds since 1970, and its id. It need not exist any more.
    pub after: Option<(i64, String)>,
    /// That ended so.
    pub status: Option<RunStatus>,
    /// Only those that run now.
    pub live: bool,
    /// The latest so many.
    pub limit: Option<u32>,
}

impl History {
    /// The runs that a filter lets through, latest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<RunRow>> {
        self.mark_interrupted().await?;
        let query = list_query(self.kind(), filter);
        let rows = query.build().fetch_all(self.pool()).await.map_err(|error| self.failed(error))?;
        let now = now();
        let runs = rows.iter().map(|row| run_row(row, now)).collect::<std::result::Result<Vec<_>, _>>();
        let mut runs = runs.map_err(|error| self.failed(error))?;
        runs.retain(|run| !filter.live || run.is_live());
        Ok(runs)
    }

    /// The runs that were recorded at a moment (nanoseconds since 1970) or after it, in the order they began: the first so
    /// many behind one of them, which need not exist any more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn spans(&self, seen: i64, after: Option<&RunSpan>, limit: u32) -> Result<Vec<RunSpan>> {
        self.mark_interrupted().await?;
        let (started, number) = after.map_or((i64::MIN, i64::MIN), |span| (span.started_nanos, span.number));
        let rows = sqlx::query(
            "SELECT run, id, plan, started_at, status, owner_space, owner_process, owner_started, seen_at FROM runs \
             WHERE seen_at >= $1 AND (started_at, run) > ($2, $3) ORDER BY started_at, run LIMIT $4",
        )
        .bind(seen)
        .bind(started)
        .bind(number)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        let now = now();
        let spans = rows.iter().map(|row| run_span(row, now)).collect::<std::result::Result<_, _>>();
        spans.map_err(|error| self.failed(error))
    }

    /// The id that somebody means: a whole one, the start of one, `last` or `latest`.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn find(&self, asked: &str) -> Result<String> {
        let failed = |error| self.failed(error);
        let latest: Option<String> =
            sqlx::query_scalar("SELECT id FROM runs ORDER BY started_at DESC, run DESC LIMIT 1")
                .fetch_optional(self.pool())
                .await
                .map_err(failed)?;
        let Some(latest) = latest else { return Err(Error::Empty) };
        if matches!(asked, "last" | "latest") {
            return Ok(latest);
        }
        let mut found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT id, count(*) OVER () FROM runs WHERE substr(id, 1, length($1)) = $1 \
             ORDER BY id <> $1, started_at DESC, run DESC LIMIT $2",
        )
        .bind(asked)
        .bind(i64::from(NAMED))
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        let Some((first, count)) = found.first().cloned() else {
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM runs")
                .fetch_one(self.pool())
                .await
                .map_err(failed)?;
            return Err(Error::NoRun { asked: asked.to_owned(), count: count as u64, latest });
        };
        if count == 1 || first == asked {
            return Ok(first);
        }
        let some = found.drain(..).map(|(id, _)| id).collect();
        Err(Error::Ambiguous { asked: asked.to_owned(), count: count as u64, some })
    }

    /// Keeps the JSON summary of a run, which lists show without reading its seconds.
    ///
    /// # Errors
    /// When there is no such run, or the file cannot be written.
    pub async fn set_summary(&self, id: &str, json: &str) -> Result<()> {
        let done = sqlx::query("UPDATE runs SET summary = $1 WHERE id = $2")
            .bind(json)
            .bind(id)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        if done.rows_affected() == 0 { Err(self.no_run(id).await) } else { Ok(()) }
    }

    /// Deletes runs and all that belongs to them: all of them, or none.
    ///
    /// # Errors
    /// [`Error::Live`] when one is still running, [`Error::NoRun`] when one is not there.
    pub async fn delete(&self, ids: &[impl AsRef<str> + Sync]) -> Result<()> {
        self.mark_interrupted().await?;
        let failed = |error| self.failed(error);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let mut transaction = self.kind().begin_writing(&mut connection).await.map_err(failed)?;
        for id in ids {
            let id = id.as_ref();
            let status: Option<Option<String>> = sqlx::query_scalar("SELECT status FROM runs WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
            match status {
                None => {
                    transaction.rollback().await.map_err(failed)?;
                    return Err(self.no_run(id).await);
                }
                Some(None) => return Err(Error::Live { id: id.to_owned() }),
                Some(Some(_)) => {}
            }
            sqlx::query("DELETE FROM runs WHERE id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        for id in ids {
            self.forget_rows(id.as_ref()).await;
        }
        self.give_space_back().await
    }

    /// Marks the runs whose process is gone. Marking is a convenience for others: where the file
    /// cannot be written now, every reader still sees for itself that the process is gone.
    pub(crate) async fn mark_interrupted(&self) -> Result<()> {
        let rows = sqlx::query(
            "SELECT run, seen_at, owner_space, owner_process, owner_started FROM runs WHERE status IS NULL",
        )
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        let now = now();
        for row in rows {
            let (owner, seen_at) = owner(&row).map_err(|error| self.failed(error))?;
            if owner.lives(seen_at, now) {
                continue;
            }
            let run: i64 = row.try_get("run").map_err(|error| self.failed(error))?;
            let marked = sqlx::query(
                "UPDATE runs SET status = 'interrupted' WHERE run = $1 AND status IS NULL AND seen_at = $2",
            )
            .bind(run)
            .bind(seen_at)
            .execute(self.pool())
            .await;
            if let Err(error) = marked {
                tracing::debug!(%error, "an interrupted run could not be marked");
                return Ok(());
            }
        }
        Ok(())
    }

    pub(crate) async fn no_run(&self, id: &str) -> Error {
        let latest: std::result::Result<Option<(String, i64)>, _> = sqlx::query_as(
            "SELECT id, count(*) OVER () FROM runs ORDER BY started_at DESC, run DESC LIMIT 1",
        )
        .fetch_optional(self.pool())
        .await;
        match latest {
            Ok(Some((latest, count))) => Error::NoRun { asked: id.to_owned(), count: count as u64, latest },
            Ok(None) => Error::Empty,
            Err(error) => self.failed(error),
        }
    }
}

fn list_query(kind: Kind, filter: &Filter) -> Statement {
    // What came before is looked for among all runs, also those that the filter leaves out.
    let before = |column: &str| {
        format!(
            "(SELECT earlier.{column} FROM runs AS earlier WHERE earlier.plan = runs.plan \
             AND (earlier.started_at, earlier.run) < (runs.started_at, runs.run) \
             ORDER BY earlier.started_at DESC, earlier.run DESC LIMIT 1) <> runs.{column}"
        )
    };
    let mut query = Statement::new(
        "SELECT id, plan, runs.plan_hash, version, environment, tags, target, seed, host, runs.fingerprint, \
             runs.plimsoll, started_at, ended_offset, last_second, status, lost_seconds, summary, \
             owner_space, owner_process, owner_started, seen_at, ",
    );
    for (column, name) in [("plan_hash", "hash"), ("plimsoll", "plimsoll"), ("fingerprint", "machine")] {
        query.push(format_args!("CASE WHEN {} THEN 1 ELSE 0 END AS crosses_{name}, ", before(column)));
    }
    query.push(
        "teardowns.made_at AS teardown_at, teardowns.failure AS teardown_failure, \
             CASE WHEN ended IS NULL THEN started END AS without_end \
         FROM runs LEFT JOIN teardowns USING (run) WHERE true",
    );
    for (column, value) in [
        ("id", &filter.id),
        ("plan", &filter.plan),
        ("runs.plan_hash", &filter.plan_hash),
        ("version", &filter.version),
        ("environment", &filter.environment),
    ] {
        if let Some(value) = value {
            query.push(format_args!(" AND {column} = ")).bind(value.as_str());
        }
    }
    for (key, value) in &filter.tags {
        // A key is no path, whatever it is made of.
        match kind {
            Kind::Sqlite => query.push(" AND EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = "),
            Kind::Postgres => {
                query.push(" AND EXISTS (SELECT 1 FROM json_each_text(tags::json) AS tag WHERE tag.key = ")
            }
        };
        query.bind(key.as_str()).push(" AND tag.value = ").bind(value.as_str()).push(")");
    }
    if let Some(since) = filter.since_nanos {
        query.push(" AND started_at >= ").bind(since);
    }
    if let Some(until) = filter.until_nanos {
        query.push(" AND started_at < ").bind(until);
    }
    if let Some((started, id)) = &filter.after {
        // Of runs that started in the same nanosecond those come first that were recorded last.
        query.push(" AND (started_at < ").bind(*started).push(" OR (started_at = ").bind(*started);
        query.push(" AND run < coalesce((SELECT run FROM runs WHERE id = ").bind(id.as_str());
        query.push("), 0)))");
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").bind(status.label());
    }
    if filter.live {
        query.push(" AND status IS NULL");
    }
    query.push(" ORDER BY started_at DESC, runs.run DESC");
    if let Some(limit) = filter.limit {
        query.push(" LIMIT ").bind(i64::from(limit));
    }
    query
}

fn run_span(row: &SqlRow, now: i64) -> std::result::Result<RunSpan, sqlx::Error> {
    Ok(RunSpan {
        id: row.try_get("id")?,
        plan: row.try_get("plan")?,
        started_nanos: row.try_get("started_at")?,
        seen_nanos: row.try_get("seen_at")?,
        is_live: status(row, now)?.is_none(),
        number: row.try_get("run")?,
    })
}

fn run_row(row: &SqlRow, now: i64) -> std::result::Result<RunRow, sqlx::Error> {
    let tags: String = row.try_get("tags")?;
    let crosses =
        [("hash", "crosses_hash"), ("plimsoll", "crosses_plimsoll"), ("machine", "crosses_machine")];
    let mut crossed = Vec::new();
    for (word, column) in crosses {
        if row.try_get::<i64, _>(column)? == 1 {
            crossed.push(word);
        }
    }
    let (status, teardown) = (status(row, now)?, teardowns::kept(row)?);
    let ended: Option<i64> = row.try_get("ended_offset")?;
    let last_second: Option<i64> = row.try_get("last_second")?;
    Ok(RunRow {
        id: row.try_get("id")?,
        plan: row.try_get("plan")?,
        plan_hash: row.try_get("plan_hash")?,
        version: row.try_get("version")?,
        environment: row.try_get("environment")?,
        tags: serde_json::from_str(&tags).map_err(|error| sqlx::Error::Decode(error.into()))?,
        target: row.try_get("target")?,
        seed: row.try_get::<i64, _>("seed")?.cast_unsigned(),
        host: row.try_get("host")?,
        fingerprint: row.try_get("fingerprint")?,
        plimsoll: row.try_get("plimsoll")?,
        started_nanos: row.try_get("started_at")?,
        duration_seconds: match (ended, last_second) {
            (Some(nanos), _) => Some(nanos as f64 / 1e9),
            (None, Some(second)) => Some(second as f64 + 1.0),
            (None, None) => None,
        },
        seen_nanos: row.try_get("seen_at")?,
        status,
        lost_seconds: row.try_get::<i64, _>("lost_seconds")? as u64,
        summary: row.try_get("summary")?,
        crosses: crossed,
        owes_teardown: teardowns::is_owed(row, status, teardown.as_ref())?,
        teardown,
    })
}

/// The status of a run: what stands in the record, or interrupted when nobody records it any more.
pub(crate) fn status(row: &SqlRow, now: i64) -> std::result::Result<Option<RunStatus>, sqlx::Error> {
    let Some(label) = row.try_get::<Option<String>, _>("status")? else {
        let (owner, seen_at) = owner(row)?;
        return Ok((!owner.lives(seen_at, now)).then_some(RunStatus::Interrupted));
    };
    match RunStatus::from_label(&label) {
        Some(status) => Ok(Some(status)),
        None => Err(sqlx::Error::Decode(format!("`{label}` is no status of a run").into())),
    }
}

pub(crate) fn owner(row: &SqlRow) -> std::result::Result<(Owner, i64), sqlx::Error> {
    let owner = Owner {
        space: row.try_get("owner_space")?,
        process: u32::try_from(row.try_get::<i64, _>("owner_process")?).unwrap_or(0),
        started: row.try_get("owner_started")?,
    };
    Ok((owner, row.try_get("seen_at")?))
}
