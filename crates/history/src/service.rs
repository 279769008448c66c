use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::future::pending;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection;
use tokio::time::{sleep, timeout};

use crate::sql::{Kind, SqlConnection};
use crate::{Error, History, Result};

/// How long the database may take.
const SESSION_PATIENCE: Duration = Duration::from_secs(5);

/// How often a session is asked whether it still is there. It also keeps machines between us and the database from
/// forgetting a connection on which nothing is said.
const SESSION_ASKED: Duration = Duration::from_secs(5);

/// The right to be the one service on a record; given up when dropped or when the process ends.
#[derive(Debug)]
pub struct ServiceLock {
    held: Held,
}

/// What the lock lives as long as.
#[derive(Debug)]
enum Held {
    File { _open: File },
    Session { connection: Option<SqlConnection>, history: History },
}

impl ServiceLock {
    /// Waits until another service has the right: the database ended our session, and that one was faster than we.
    /// Of a file it never happens.
    pub async fn lost(&mut self) -> Error {
        let Held::Session { connection, history } = &mut self.held else { return pending().await };
        loop {
            sleep(SESSION_ASKED).await;
            if let Some(session) = connection {
                let is_there = timeout(SESSION_PATIENCE, session.ping()).await;
                if matches!(is_there, Ok(Ok(()))) {
                    continue;
                }
                *connection = None;
            }
            match timeout(SESSION_PATIENCE, history.session()).await {
                Ok(Ok(session)) => *connection = Some(session),
                Ok(Err(error @ Error::ServiceRuns { .. })) => return error,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the database ended the session of this service, which is asked for again");
                }
                Err(_) => tracing::warn!("the database does not say whether this service is the only one"),
            }
        }
    }
}

/// The key of the lock in PostgreSQL: "PLIS".
const SERVICE: i32 = 0x504C_4953;

impl History {
    /// Takes the right to be the one service on this record. The lock is the kernel's, on a file
    /// beside the record, or that of a session of PostgreSQL, so a killed service leaves none behind.
    ///
    /// # Errors
    /// [`Error::ServiceRuns`] when another process (or another lock of this one) has it.
    pub async fn lock_service(&self) -> Result<ServiceLock> {
        match self.kind() {
            Kind::Sqlite => self.lock_file(),
            Kind::Postgres => {
                let connection = Some(self.session().await?);
                Ok(ServiceLock { held: Held::Session { connection, history: self.clone() } })
            }
        }
    }

    /// A session that has the lock. One database may hold several records, each in a schema of its own.
    async fn session(&self) -> Result<SqlConnection> {
        let mut connection = self.connect(SESSION_PATIENCE).await?;
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext(current_schema()))")
            .bind(SERVICE)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| self.failed(error))?;
        match taken {
            true => Ok(connection),
            false => Err(Error::ServiceRuns { path: self.path().to_owned(), process: None }),
        }
    }

    fn lock_file(&self) -> Result<ServiceLock> {
        let path = beside(self.path(), ".service");
        let failed = |source| Error::File { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::ServiceRuns { path: self.path().to_owned(), process: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(ServiceLock { held: Held::File { _open: file } })
    }
}

/// What the holder wrote into the file, which it does only after it has the lock.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
