use plimsoll_measure::Edges;
use plimsoll_run::{RunEvent, RunStatus, wire};
use sqlx::Row;

use crate::sql::SqlRow;
use crate::{History, Result};

/// The label of teardown's steps.
const TEARDOWN: &str = "teardown";

/// A teardown that was made after its run was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTeardown {
    /// When, nanoseconds since 1970.
    pub made_nanos: i64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl History {
    /// Keeps that the teardown of a run was made, in place of what was kept of it before.
    ///
    /// # Errors
    /// When there is no such run, or the file cannot be written.
    pub async fn keep_teardown(&self, id: &str, teardown: &KeptTeardown) -> Result<()> {
        let done = sqlx::query(
            "INSERT INTO teardowns (run, made_at, failure) SELECT run, $1, $2 FROM runs WHERE id = $3 \
             ON CONFLICT (run) DO UPDATE SET made_at = excluded.made_at, failure = excluded.failure",
        )
        .bind(teardown.made_nanos)
        .bind(&teardown.failure)
        .bind(id)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        if done.rows_affected() == 0 { Err(self.no_run(id).await) } else { Ok(()) }
    }
}

/// The teardown of a listed run, where one was made.
pub(crate) fn kept(row: &SqlRow) -> std::result::Result<Option<KeptTeardown>, sqlx::Error> {
    let Some(made_nanos) = row.try_get("teardown_at")? else { return Ok(None) };
    Ok(Some(KeptTeardown { made_nanos, failure: row.try_get("teardown_failure")? }))
}

/// Whether a listed run ended without its teardown: it has one, and no process that could make it.
pub(crate) fn is_owed(
    row: &SqlRow,
    status: Option<RunStatus>,
    kept: Option<&KeptTeardown>,
) -> std::result::Result<bool, sqlx::Error> {
    if status.is_none() || kept.is_some_and(|kept| kept.failure.is_none()) {
        return Ok(false);
    }
    let Some(line) = row.try_get::<Option<String>, _>("without_end")? else { return Ok(kept.is_some()) };
    let has_teardown = match wire::from_line(&line, &Edges::default()) {
        Ok(RunEvent::Started(started)) => started.shape.steps.iter().any(|step| step.scenario == TEARDOWN),
        // Whoever reads the run is told what is wrong with it.
        _ => false,
    };
    Ok(has_teardown)
}
