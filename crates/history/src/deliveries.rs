use plimsoll_run::ExportCount;

use crate::sql::SqlConnection;
use crate::{History, Result};

impl History {
    /// Keeps what became of a run's points at one sink, found out after the run's end. From then on the
    /// run's last event says this. Nothing happens where there is no such run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_delivery(&self, id: &str, count: &ExportCount) -> Result<()> {
        sqlx::query(
            "INSERT INTO deliveries (run, sink, produced, acknowledged, backlog, lost) \
             SELECT run, $1, $2, $3, $4, $5 FROM runs WHERE id = $6 ON CONFLICT (run, sink) DO UPDATE SET \
             produced = excluded.produced, acknowledged = excluded.acknowledged, backlog = excluded.backlog, \
             lost = excluded.lost",
        )
        .bind(&count.sink)
        .bind(count.produced.cast_signed())
        .bind(count.acknowledged.cast_signed())
        .bind(count.backlog.cast_signed())
        .bind(count.lost.cast_signed())
        .bind(id)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }
}

/// What is kept of a run's deliveries, by sink.
pub(crate) async fn of_run(
    connection: &mut SqlConnection,
    run: i64,
) -> std::result::Result<Vec<ExportCount>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT sink, produced, acknowledged, backlog, lost FROM deliveries WHERE run = $1 ORDER BY sink",
    )
    .bind(run)
    .fetch_all(connection)
    .await?;
    let count = |(sink, produced, acknowledged, backlog, lost): (String, i64, i64, i64, i64)| ExportCount {
        sink,
        produced: produced.cast_unsigned(),
        acknowledged: acknowledged.cast_unsigned(),
        backlog: backlog.cast_unsigned(),
        lost: lost.cast_unsigned(),
    };
    Ok(rows.into_iter().map(count).collect())
}

/// The counts of a run's end, with those that were found out later in their place.
pub(crate) fn later(mut counts: Vec<ExportCount>, known: Vec<ExportCount>) -> Vec<ExportCount> {
    for found in known {
        match counts.iter_mut().find(|count| count.sink == found.sink) {
            Some(count) => *count = found,
            None => counts.push(found),
        }
    }
    counts
}
