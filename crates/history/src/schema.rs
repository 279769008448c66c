//! The tables and how they change.
//!
//! A migration that was released is never edited: its checksum stands in every file it made.

use std::borrow::Cow;
use std::path::Path;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::Error;
use crate::sql::{Kind, SqlConnection};

/// The mark of our files in SQLite's header: "PLIM".
const APPLICATION: i64 = 0x504C_494D;

const MIGRATIONS: [(i64, &str, &str); 15] = [
    (1, "runs", include_str!("../migrations/0001_runs.sql")),
    (2, "predictions", include_str!("../migrations/0002_predictions.sql")),
    (3, "answers", include_str!("../migrations/0003_answers.sql")),
    (4, "plateaus", include_str!("../migrations/0004_plateaus.sql")),
    (5, "deliveries", include_str!("../migrations/0005_deliveries.sql")),
    (6, "slas", include_str!("../migrations/0006_slas.sql")),
    (7, "teardowns", include_str!("../migrations/0007_teardowns.sql")),
    (8, "commands", include_str!("../migrations/0008_commands.sql")),
    (9, "schedules", include_str!("../migrations/0009_schedules.sql")),
    (10, "access", include_str!("../migrations/0010_access.sql")),
    (11, "retention", include_str!("../migrations/0011_retention.sql")),
    (12, "launches", include_str!("../migrations/0012_launches.sql")),
    (13, "annotations", include_str!("../migrations/0013_annotations.sql")),
    (14, "kinds", KINDS),
    (15, "columns", COLUMNS),
];

/// The course of a run has its failures by kind, which a build of before takes for damage. No table changes: the number
/// refuses it.
const KINDS: &str = "SELECT 1";

/// Histograms are counts alone in rows, and chunks are columns; likewise.
const COLUMNS: &str = "SELECT 2";

fn latest() -> i64 {
    MIGRATIONS.iter().map(|(version, _, _)| *version).max().unwrap_or(0)
}

/// PostgreSQL came later: its tables begin with a later version. Further versions are those of files, with the same numbers.
const OF_POSTGRES: [(i64, &str, &str); 5] = [
    (11, "all", include_str!("../migrations/postgres/0011_all.sql")),
    (12, "launches", include_str!("../migrations/postgres/0012_launches.sql")),
    (13, "annotations", include_str!("../migrations/postgres/0013_annotations.sql")),
    (14, "kinds", KINDS),
    (15, "columns", COLUMNS),
];

fn migrator(kind: Kind) -> Migrator {
    let migrations: &[(i64, &str, &str)] = match kind {
        Kind::Sqlite => &MIGRATIONS,
        Kind::Postgres => &OF_POSTGRES,
    };
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}

/// Brings the tables of an empty or older file up to date; refuses files that are not ours before
/// anything in them is touched.
pub(crate) async fn prepare(kind: Kind, path: &Path, connection: &mut SqlConnection) -> Result<(), Error> {
    let failed = |source| Error::store(path, source);
    let found = match kind {
        Kind::Sqlite => version_of_file(connection).await,
        Kind::Postgres => version_of_database(connection).await,
    };
    let found = found.map_err(failed)?;
    match found {
        Found::Version(version) if version == latest() => return Ok(()),
        Found::Version(version) if version > latest() => {
            return Err(Error::Newer { path: path.to_owned(), found: version, known: latest() });
        }
        Found::Foreign => return Err(Error::Foreign { path: path.to_owned() }),
        Found::Version(_) | Found::Empty => {}
    }
    if kind == Kind::Sqlite {
        // Both are kept in the file, and asking for them takes a lock, so that only here is asked. An empty
        // file can be told to give space back later; and readers and one writer need not wait for each other.
        sqlx::query("PRAGMA auto_vacuum = INCREMENTAL").execute(&mut *connection).await.map_err(failed)?;
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await.map_err(failed)?;
    }
    // One transaction from looking to writing, so that two processes cannot both migrate.
    let mut transaction = kind.begin_writing(connection).await.map_err(failed)?;
    // `Migrator::run` does the same, but its future may not change threads: rust-lang/rust#64552.
    migrator(kind).run_direct(None, &mut *transaction, false).await.map_err(|source| match source {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            Error::store(path, source)
        }
        source => Error::Migration { path: path.to_owned(), source },
    })?;
    transaction.commit().await.map_err(failed)
}

enum Found {
    Empty,
    Version(i64),
    Foreign,
}

async fn version_of_file(connection: &mut SqlConnection) -> Result<Found, sqlx::Error> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(Found::Empty);
    }
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    if application != APPLICATION {
        return Ok(Found::Foreign);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    Ok(Found::Version(version.unwrap_or(0)))
}

async fn version_of_database(connection: &mut SqlConnection) -> Result<Found, sqlx::Error> {
    let known: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema() \
         AND tablename IN ('_sqlx_migrations', 'runs', 'plateaus')",
    )
    .fetch_all(&mut *connection)
    .await?;
    match known.len() {
        0 => return Ok(Found::Empty),
        3 => {}
        _ => return Ok(Found::Foreign),
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    Ok(Found::Version(version.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_end_with_the_same_version() {
        let versions = |migrations: &[(i64, &str, &str)]| -> Vec<i64> {
            migrations.iter().map(|(version, _, _)| *version).collect()
        };
        let (of_file, of_database) = (versions(&MIGRATIONS), versions(&OF_POSTGRES));
        assert!(of_file.ends_with(&of_database), "{of_database:?} has to end as {of_file:?}");
    }
}
