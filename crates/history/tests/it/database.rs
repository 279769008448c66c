//! Records in files of SQLite.

use std::ffi::OsStr;

use sqlx::{Any, AnyConnection, Connection, Transaction};
use tempfile::TempDir;

/// Where a record of a test is.
pub(crate) struct Place {
    _folder: TempDir,
    location: std::path::PathBuf,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("history.db");
        Self { _folder: folder, location }
    }

    /// What a record is opened by.
    pub(crate) fn location(&self) -> &OsStr {
        self.location.as_os_str()
    }
}

/// Keeps others from writing until the transaction is over.
pub(crate) async fn lock(connection: &mut AnyConnection) -> Transaction<'_, Any> {
    connection.begin_with("BEGIN EXCLUSIVE").await.unwrap()
}
