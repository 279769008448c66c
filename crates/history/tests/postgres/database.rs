//! Records in databases of a real server, which the tests of this process share.

use std::ffi::OsStr;
use std::sync::Arc;

use plimsoll_testkit::Postgres;
use sqlx::{Any, AnyConnection, Connection, Transaction};

/// Where a record of a test is.
pub(crate) struct Place {
    _server: Arc<Postgres>,
    location: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let server = Postgres::shared().await.unwrap();
        let location = server.database().await.unwrap();
        Self { _server: server, location }
    }

    /// What a record is opened by.
    pub(crate) fn location(&self) -> &OsStr {
        self.location.as_ref()
    }
}

/// Keeps others from writing until the transaction is over.
pub(crate) async fn lock(connection: &mut AnyConnection) -> Transaction<'_, Any> {
    let mut transaction = connection.begin().await.unwrap();
    // The key that every writer takes.
    sqlx::query("SELECT pg_advisory_xact_lock(1347176781)").execute(&mut *transaction).await.unwrap();
    transaction
}
