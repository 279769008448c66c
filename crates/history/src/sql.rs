//! One SQL for both databases: SQLite, which is embedded, and PostgreSQL.
//!
//! Statements are written so that both understand them: values are `$1`, `$2`, numbers are 64 bits wide, sums are cast
//! to what they sum, and truth is 0 or 1. The little that differs asks [`Kind`].

use std::fmt::Display;
use std::sync::Once;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Arguments, AssertSqlSafe, Connection, Transaction};

pub(crate) type SqlConnection = AnyConnection;
pub(crate) type SqlPool = AnyPool;
pub(crate) type SqlRow = AnyRow;
pub(crate) type SqlTransaction<'c> = Transaction<'c, Any>;

/// The key of the lock that writers of a record in PostgreSQL take one after the other: "PLIM".
pub(crate) const WRITERS: i64 = 0x504C_494D;

/// Whether a statement is kept of which a floating-point number may be absent: to PostgreSQL the library calls an
/// absent one a number of 32 bits, and a statement that is kept takes no others from then on.
pub(crate) const KEEP_NO_NUMBERS: bool = false;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// Begins a transaction that writes. No other one writes before it is over, so that what it has read still holds
    /// when it writes.
    pub(crate) async fn begin_writing(
        self,
        connection: &mut SqlConnection,
    ) -> Result<SqlTransaction<'_>, sqlx::Error> {
        match self {
            Self::Sqlite => connection.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => {
                let mut transaction = connection.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)")
                    .bind(WRITERS)
                    .execute(&mut *transaction)
                    .await?;
                Ok(transaction)
            }
        }
    }

    /// Prepares a new connection, on which writers wait `patience` for others.
    pub(crate) async fn greet(
        self,
        connection: &mut SqlConnection,
        patience: Duration,
    ) -> Result<(), sqlx::Error> {
        let millis = patience.as_millis();
        match self {
            Self::Sqlite => {
                let patience = format!("PRAGMA busy_timeout = {millis}");
                sqlx::query(AssertSqlSafe(patience)).execute(&mut *connection).await?;
                // A killed process loses nothing that was committed; a power cut may lose the last seconds.
                sqlx::query("PRAGMA synchronous = NORMAL").execute(connection).await?;
            }
            Self::Postgres => {
                let patience = format!("SET lock_timeout = {millis}");
                sqlx::query(AssertSqlSafe(patience)).execute(&mut *connection).await?;
                // That something is there already is no news.
                sqlx::query("SET client_min_messages = warning").execute(connection).await?;
            }
        }
        Ok(())
    }

    /// Begins a transaction that reads: all that it sees belongs together.
    pub(crate) async fn begin_reading(
        self,
        connection: &mut SqlConnection,
    ) -> Result<SqlTransaction<'_>, sqlx::Error> {
        match self {
            Self::Sqlite => connection.begin().await,
            Self::Postgres => {
                connection.begin_with("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
            }
        }
    }
}

/// Makes both databases known to the library, once.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(sqlx::any::install_default_drivers);
}

/// What becomes of a call that the database does not answer in time.
pub(crate) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// A statement that is put together, and its values.
pub(crate) struct Statement {
    text: String,
    values: AnyArguments,
}

impl Statement {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: AnyArguments::default() }
    }

    /// Text of ours: never what somebody sent.
    pub(crate) fn push(&mut self, text: impl Display) -> &mut Self {
        self.text += &text.to_string();
        self
    }

    pub(crate) fn bind<'v, T>(&mut self, value: T) -> &mut Self
    where
        T: sqlx::Encode<'v, Any> + sqlx::Type<Any>,
    {
        // Only a value that refuses to be written fails, and none of ours does.
        let _ = self.values.add(value);
        let number = self.values.len();
        self.push(format_args!("${number}"))
    }

    /// `VALUES (..), (..)`: rows of values that each bind what they have.
    pub(crate) fn rows<R>(&mut self, rows: impl IntoIterator<Item = R>, bind: impl Fn(&mut Self, R)) {
        for (index, row) in rows.into_iter().enumerate() {
            self.push(if index == 0 { "VALUES (" } else { ", (" });
            bind(self, row);
            self.push(")");
        }
    }

    pub(crate) fn build(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.values)
    }
}
