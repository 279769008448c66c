//! Files that are not as this build makes them.

use plimsoll_history::{Filter, History, RunRow, read_export};
use plimsoll_run::RunStatus;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::sample;
use crate::support::{history, lines, record, told};

async fn connect(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// The error of opening a file with `bytes` in it, without its path.
async fn error(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.db");
    std::fs::write(&path, bytes).unwrap();
    let error = History::open(&path).await.unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file was touched");
    error.to_string().replace(&format!("{}", path.display()), "h.db")
}

#[tokio::test]
async fn what_is_no_history_is_refused_and_left_alone() {
    assert_eq!(error(&[b'x'; 5000]).await, "h.db: not a history file: it is no database");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("foreign.db");
    let mut foreign = connect(&path).await;
    sqlx::raw_sql("CREATE TABLE bookmarks (url TEXT)").execute(&mut foreign).await.unwrap();
    foreign.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(error(&bytes).await, "h.db: not a history file: it is a database of another program");
}

#[tokio::test]
async fn an_empty_file_becomes_a_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.db");
    std::fs::write(&path, b"").unwrap();
    History::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_directory_is_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = History::open(directory.path()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be opened"), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = History::open(file.join("history.db")).await.unwrap_err();
    let expected = format!("{} cannot be used: File exists (os error 17)", file.display());
    assert_eq!(told(&error), expected);
}

#[tokio::test]
async fn a_later_schema_is_refused_by_its_number() {
    let (_directory, history) = history().await;
    let mut connection = connect(history.path()).await;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let error = History::open(history.path()).await.unwrap_err().to_string();
    assert!(error.ends_with("the history file has schema 99, this build knows schemas up to 15"), "{error}");
}

#[tokio::test]
async fn damage_is_told_and_does_not_panic() {
    let (_directory, history) = history().await;
    record(&history, &sample::events(&sample::started("run", 1), 70, 1, 1)).await;
    history.compact().await.unwrap();
    let mut connection = connect(history.path()).await;
    for (change, expected) in [
        (
            "UPDATE chunks SET data = x'00' WHERE first_second = 60",
            "is damaged: run run: a chunk does not unpack",
        ),
        (
            "UPDATE chunks SET data = substr(data, 1, 40) WHERE first_second = 60",
            "is damaged: run run: a chunk does not unpack",
        ),
        // An empty zlib stream.
        (
            "UPDATE chunks SET data = x'43789c030000000001' WHERE first_second = 60",
            "is damaged: run run: a chunk is incomplete",
        ),
        ("UPDATE marks SET line = '{' WHERE sequence = 1", "the record of run run cannot be read"),
        ("UPDATE runs SET started = 'nonsense'", "the record of run run cannot be read"),
        ("UPDATE runs SET status = 'bored'", "the record of run run cannot be read"),
    ] {
        sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
        let error = told(&history.events("run").await.unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    let error = told(&history.list(&Filter::default()).await.unwrap_err());
    assert!(error.contains("`bored` is no status of a run"), "{error}");
}

/// A file as version 1 of the schema made it, with a run in rows, one in chunks and one that was killed,
/// and what these runs were.
#[tokio::test]
async fn a_file_of_schema_1_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h.db");
    let mut connection = connect(&path).await;
    sqlx::raw_sql(include_str!("../golden/schema-1.sql")).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let history = History::open(&path).await.unwrap();
    for (id, expected) in [
        ("rows", include_str!("../golden/rows.ndjson")),
        ("chunks", include_str!("../golden/chunks.ndjson")),
        ("killed", include_str!("../golden/killed.ndjson")),
    ] {
        let expected = read_export(expected.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(lines(&history.events(id).await.unwrap()), lines(&expected), "{id}");
    }
    let runs = history.list(&Filter::default()).await.unwrap();
    let row = |run: &RunRow| (run.id.clone(), run.status, run.summary.clone());
    assert_eq!(
        runs.iter().map(row).collect::<Vec<_>>(),
        [
            ("killed".into(), Some(RunStatus::Interrupted), None),
            ("rows".into(), Some(RunStatus::Completed), Some("{}".into())),
            ("chunks".into(), Some(RunStatus::Completed), None),
        ]
    );
}
