//! Tables that are not as this build makes them, and that they are those of a file.

use std::collections::BTreeSet;

use plimsoll_history::{Error, History};
use sqlx::{AnyConnection, Connection};

use crate::database::Place;
use crate::support::{connect, history};

async fn make(location: &std::ffi::OsStr, statement: &'static str) {
    let mut connection = AnyConnection::connect(location.to_str().unwrap()).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

/// The columns of a record: table, name, kind of value, whether there always is one.
async fn columns(history: &History, query: &'static str) -> BTreeSet<(String, String, String, i64)> {
    let columns: Vec<(String, String, String, i64)> =
        sqlx::query_as(query).fetch_all(&mut connect(history).await).await.unwrap();
    assert!(columns.len() > 100, "{columns:?}");
    columns.into_iter().collect()
}

#[tokio::test]
async fn a_database_has_the_tables_and_columns_of_a_file() {
    let (_place, database) = history().await;
    let folder = tempfile::tempdir().unwrap();
    let file = History::open(folder.path().join("h.db")).await.unwrap();
    // A key is never absent, which SQLite does not say of a column that is one by itself.
    let of_file = columns(
        &file,
        "SELECT tables.name, columns.name, columns.type, max(columns.\"notnull\", columns.pk > 0) \
         FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%' AND tables.name NOT LIKE '%migrations'",
    );
    let of_database = columns(
        &database,
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), \
         CASE CAST(data_type AS TEXT) WHEN 'bigint' THEN 'INTEGER' WHEN 'text' THEN 'TEXT' \
         WHEN 'double precision' THEN 'REAL' WHEN 'bytea' THEN 'BLOB' ELSE 'unknown' END, \
         CAST(CASE CAST(is_nullable AS TEXT) WHEN 'NO' THEN 1 ELSE 0 END AS BIGINT) \
         FROM information_schema.columns WHERE table_schema = current_schema() \
         AND table_name NOT LIKE '%migrations' \
         AND NOT (table_name = 'series' AND column_name = 'place')", // What a file numbers by itself.
    );
    assert_eq!(of_database.await, of_file.await);
    let indexes = async |history: &History, query: &'static str| -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&mut connect(history).await).await.unwrap()
    };
    let of_file = indexes(
        &file,
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite%' ORDER BY name",
    );
    let of_database = indexes(
        &database,
        "SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = current_schema() \
         AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key' ORDER BY indexname COLLATE \"C\"",
    );
    assert_eq!(of_database.await, of_file.await);
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    let place = Place::new().await;
    make(place.location(), "CREATE TABLE runs (distance TEXT)").await;
    let error = History::open(place.location()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    // A schema of its own is free.
    make(place.location(), "CREATE SCHEMA plimsoll").await;
    let own = format!("{}?options=-c%20search_path%3Dplimsoll", place.location().to_str().unwrap());
    let history = History::open(&own).await.unwrap();
    history.lock_service().await.unwrap();
}

#[tokio::test]
async fn a_later_schema_is_refused_by_its_number() {
    let (place, history) = history().await;
    make(
        place.location(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, '', 0)",
    )
    .await;
    drop(history);
    let error = History::open(place.location()).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn what_was_done_can_only_be_added_to() {
    let (_place, history) = history().await;
    let mut other = connect(&history).await;
    for statement in ["UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
        let error = sqlx::query(statement).execute(&mut other).await.unwrap_err();
        assert!(error.to_string().contains("the audit log is append only"), "{error}");
    }
}
