//! Alerts that others told, in wall time. They belong to no run, and are bounded by themselves.

use plimsoll_run::Annotation;
use sqlx::Row;

use crate::sql::{SqlConnection, SqlRow, Statement};
use crate::{History, Result};

/// So many are kept; those that ended first make room for others.
pub const MOST_ANNOTATIONS: u32 = 100_000;

/// How many are let go of in one transaction at most, so that a recorder never waits long.
const AT_A_TIME: i64 = 1000;

/// Which annotations; empty means every one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlapping {
    /// That ended at this moment or after it, or go on; nanoseconds since 1970.
    pub from_nanos: Option<i64>,
    /// That began before this moment, nanoseconds since 1970.
    pub until_nanos: Option<i64>,
    /// Listed after this one: when it began, nanoseconds since 1970, and its fingerprint. It need not exist any more.
    pub after: Option<(i64, String)>,
    /// The latest so many.
    pub limit: Option<u32>,
}

impl History {
    /// Keeps annotations, all or none. What is known already is as it was told last, and there once. Of more than
    /// [`MOST_ANNOTATIONS`] those that ended first are let go of, then those that began first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_annotations(&self, annotations: &[Annotation]) -> Result<()> {
        let failed = |error| self.failed(error);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let mut transaction = self.kind().begin_writing(&mut connection).await.map_err(failed)?;
        for annotation in annotations {
            put(&mut transaction, annotation).await.map_err(failed)?;
        }
        make_room(&mut transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// The annotations that overlap a stretch of wall time, those first that began last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn annotations(&self, which: &Overlapping) -> Result<Vec<Annotation>> {
        let mut query = Statement::new("SELECT * FROM annotations WHERE true");
        if let Some(from) = which.from_nanos {
            // By the index on their ends: what a run of late overlaps is few of many.
            query.push(
                " AND (starts_at, fingerprint) IN (SELECT starts_at, fingerprint FROM annotations WHERE ends_at IS NULL \
                 UNION ALL SELECT starts_at, fingerprint FROM annotations WHERE ends_at >= ",
            );
            query.bind(from).push(")");
        }
        if let Some(until) = which.until_nanos {
            query.push(" AND starts_at < ").bind(until);
        }
        if let Some((starts, fingerprint)) = &which.after {
            query.push(" AND (starts_at, fingerprint) < (").bind(*starts).push(", ");
            query.bind(fingerprint.as_str()).push(")");
        }
        query.push(" ORDER BY starts_at DESC, fingerprint DESC");
        if let Some(limit) = which.limit {
            query.push(" LIMIT ").bind(i64::from(limit));
        }
        let rows = query.build().fetch_all(self.pool()).await.map_err(|error| self.failed(error))?;
        let found = rows.iter().map(annotation).collect::<std::result::Result<_, _>>();
        found.map_err(|error| self.failed(error))
    }

    /// Lets go of annotations that ended before a moment, and of those that fire and were told last before it: whoever
    /// told them would have said so again. Returns how many.
    pub(crate) async fn forget_annotations(&self, before_nanos: i64) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM annotations WHERE (starts_at, fingerprint) IN (SELECT starts_at, fingerprint FROM annotations \
                 WHERE ends_at < $1 OR (ends_at IS NULL AND told_at < $1) LIMIT $2)",
            )
            .bind(before_nanos)
            .bind(AT_A_TIME)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
            forgotten += done.rows_affected();
            if done.rows_affected() < AT_A_TIME.cast_unsigned() {
                return Ok(forgotten);
            }
        }
    }

    /// Lets go of those that ended first until the texts of all are at most so many bytes. Returns how many.
    pub(crate) async fn shrink_annotations(&self, most: u64) -> Result<u64> {
        let failed = |error| self.failed(error);
        let mut forgotten = 0;
        loop {
            let (count, bytes): (i64, i64) = sqlx::query_as(
                "SELECT count(*), CAST(coalesce(sum(length(fingerprint) + length(name) + coalesce(length(summary), 0) \
                 + length(labels) + coalesce(length(link), 0) + length(receiver)), 0) AS BIGINT) FROM annotations",
            )
            .fetch_one(self.pool())
            .await
            .map_err(failed)?;
            if bytes.cast_unsigned() <= most {
                return Ok(forgotten);
            }
            let beyond = (count as f64 * (1.0 - most as f64 / bytes as f64)).ceil() as i64;
            let done = sqlx::query(
                "DELETE FROM annotations WHERE (starts_at, fingerprint) IN (SELECT starts_at, fingerprint FROM annotations \
                 ORDER BY ends_at IS NULL, ends_at, starts_at LIMIT $1)",
            )
            .bind(beyond.clamp(1, AT_A_TIME))
            .execute(self.pool())
            .await
            .map_err(failed)?;
            forgotten += done.rows_affected();
        }
    }

    /// How many [`Self::forget_annotations`] would let go of.
    pub(crate) async fn annotations_before(&self, before_nanos: i64) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM annotations WHERE ends_at < $1 OR (ends_at IS NULL AND told_at < $1)",
        )
        .bind(before_nanos)
        .fetch_one(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(count.cast_unsigned())
    }
}

async fn put(
    connection: &mut SqlConnection,
    annotation: &Annotation,
) -> std::result::Result<(), sqlx::Error> {
    end_others(connection, annotation).await?;
    sqlx::query(
        "INSERT INTO annotations \
         (starts_at, fingerprint, ends_at, name, severity, summary, labels, link, receiver, told_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (starts_at, fingerprint) DO UPDATE SET \
         ends_at = excluded.ends_at, name = excluded.name, severity = excluded.severity, summary = excluded.summary, \
         labels = excluded.labels, link = excluded.link, receiver = excluded.receiver, told_at = excluded.told_at",
    )
    .bind(annotation.starts_nanos)
    .bind(&annotation.fingerprint)
    .bind(annotation.ends_nanos)
    .bind(&annotation.name)
    .bind(&annotation.severity)
    .bind(&annotation.summary)
    .bind(serde_json::json!(annotation.labels).to_string())
    .bind(&annotation.link)
    .bind(&annotation.receiver)
    .bind(annotation.told_nanos)
    .execute(connection)
    .await?;
    Ok(())
}

/// What fires under the same fingerprint from another start is the same alert, whose end or true start was never told: it
/// fires once at a time.
async fn end_others(
    connection: &mut SqlConnection,
    annotation: &Annotation,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE annotations SET ends_at = $1 \
         WHERE ends_at IS NULL AND fingerprint = $2 AND receiver = $3 AND starts_at < $1",
    )
    .bind(annotation.starts_nanos)
    .bind(&annotation.fingerprint)
    .bind(&annotation.receiver)
    .execute(&mut *connection)
    .await?;
    if annotation.ends_nanos.is_none() {
        sqlx::query(
            "DELETE FROM annotations \
             WHERE ends_at IS NULL AND fingerprint = $2 AND receiver = $3 AND starts_at > $1",
        )
        .bind(annotation.starts_nanos)
        .bind(&annotation.fingerprint)
        .bind(&annotation.receiver)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Those that fire go last: nobody has said that they are over.
async fn make_room(connection: &mut SqlConnection) -> std::result::Result<(), sqlx::Error> {
    for delete in [
        "DELETE FROM annotations WHERE (starts_at, fingerprint) IN \
         (SELECT starts_at, fingerprint FROM annotations WHERE ends_at IS NOT NULL ORDER BY ends_at LIMIT $1)",
        "DELETE FROM annotations WHERE (starts_at, fingerprint) IN \
         (SELECT starts_at, fingerprint FROM annotations ORDER BY starts_at, fingerprint LIMIT $1)",
    ] {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM annotations").fetch_one(&mut *connection).await?;
        let beyond = count - i64::from(MOST_ANNOTATIONS);
        if beyond <= 0 {
            break;
        }
        sqlx::query(delete).bind(beyond).execute(&mut *connection).await?;
    }
    Ok(())
}

fn annotation(row: &SqlRow) -> std::result::Result<Annotation, sqlx::Error> {
    let labels: String = row.try_get("labels")?;
    Ok(Annotation {
        fingerprint: row.try_get("fingerprint")?,
        starts_nanos: row.try_get("starts_at")?,
        ends_nanos: row.try_get("ends_at")?,
        name: row.try_get("name")?,
        severity: row.try_get("severity")?,
        summary: row.try_get("summary")?,
        labels: serde_json::from_str(&labels).map_err(|error| sqlx::Error::Decode(error.into()))?,
        link: row.try_get("link")?,
        receiver: row.try_get("receiver")?,
        told_nanos: row.try_get("told_at")?,
    })
}
