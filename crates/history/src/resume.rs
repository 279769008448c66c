//! Runs whose process died, and who goes on with them.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_run::{RunEvent, RunStatus, Second, State};
use sqlx::Row;

use crate::owner::Owner;
use crate::sql::Kind;
use crate::store::now;
use crate::{Error, History, Result};

/// A run whose process died without a word, as the record has it.
#[derive(Debug)]
pub struct Interrupted {
    /// Its seconds, folded.
    pub state: State,
    /// The last of them, with what was in flight at its end.
    pub last: Option<Arc<Second>>,
    /// Whether this machine has not been started anew since.
    pub same_boot: bool,
    pub(crate) run: i64,
    pub(crate) owner: Owner,
    pub(crate) lost_seconds: u64,
}

/// A run that a service started and that is to go on where its process dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLaunch {
    /// Its id.
    pub run: String,
    /// The name of its plan in the service's folder.
    pub plan: String,
    /// The schedule that started it; `None` where somebody did.
    pub schedule: Option<String>,
    /// Where whoever started it may send runs, as a list with commas; `None` where the service alone decides.
    pub targets: Option<String>,
}

impl History {
    /// Reads a run whose process died, up to where it stood.
    ///
    /// # Errors
    /// [`Error::Live`] where it is still running, [`Error::NotInterrupted`] where it came to an end of its own,
    /// [`Error::Coarsened`] where its last seconds are kept as sums by now, and as [`History::read`].
    pub async fn interrupted(&self, id: &str) -> Result<Interrupted> {
        let failed = |error| self.failed(error);
        let row = sqlx::query(
            "SELECT run, status, ended, lost_seconds, owner_space, owner_process, owner_started, seen_at \
             FROM runs WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?;
        let Some(row) = row else { return Err(self.no_run(id).await) };
        let status: Option<String> = row.try_get("status").map_err(failed)?;
        let (owner, seen_at) = crate::runs::owner(&row).map_err(failed)?;
        if row.try_get::<Option<String>, _>("ended").map_err(failed)?.is_some() {
            let status = status.as_deref().and_then(RunStatus::from_label);
            return Err(Error::NotInterrupted {
                id: id.to_owned(),
                status: status.unwrap_or(RunStatus::Completed),
            });
        }
        // A recorder that was dropped says that it is interrupted while its process may live on.
        if status.is_none() && owner.lives(seen_at, now()) {
            return Err(Error::Live { id: id.to_owned() });
        }
        let (state, last) = once_more(|| self.fold_interrupted(id)).await?;
        Ok(Interrupted {
            state,
            last,
            same_boot: owner.is_of_this_boot(),
            run: row.try_get("run").map_err(failed)?,
            owner,
            lost_seconds: row.try_get::<i64, _>("lost_seconds").map_err(failed)? as u64,
        })
    }

    /// Whether the process of a run died before the run came to an end of its own; false of one that is not there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn has_died(&self, id: &str) -> Result<bool> {
        self.mark_interrupted().await?;
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT run FROM runs WHERE id = $1 AND ended IS NULL AND status = 'interrupted'",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(found.is_some())
    }

    async fn fold_interrupted(&self, id: &str) -> Result<(State, Option<Arc<Second>>)> {
        let mut reader = self.read(id).await?;
        let (mut state, mut last): (Option<State>, _) = (None, None);
        let mut is_coarse = false;
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                break;
            }
            for event in events {
                match &event {
                    RunEvent::Second(second) => (last, is_coarse) = (Some(Arc::clone(second)), false),
                    RunEvent::Stretch(_) => is_coarse = true,
                    // The reader's own word for a process that is gone.
                    RunEvent::Ended(_) => continue,
                    _ => {}
                }
                match (&mut state, &event) {
                    (Some(state), event) => state.apply(event),
                    (None, RunEvent::Started(started)) => state = Some(State::new(Arc::clone(started))),
                    (None, _) => {}
                }
            }
        }
        match state {
            Some(_) if is_coarse => Err(Error::Coarsened { id: id.to_owned() }),
            Some(state) => Ok((state, last)),
            None => Err(self.no_run(id).await),
        }
    }

    /// Makes this process the one that goes on with an interrupted run. That it does so already is no error.
    ///
    /// # Errors
    /// [`Error::Live`] where another process did so since the run was read; when the file cannot be written.
    pub async fn claim(&self, interrupted: &Interrupted) -> Result<()> {
        let (owner, was) = (Owner::this(), &interrupted.owner);
        let claimed = sqlx::query(
            "UPDATE runs SET status = NULL, owner_space = $1, owner_process = $2, owner_started = $3, seen_at = $4 \
             WHERE run = $5 AND ended IS NULL AND ((owner_space = $6 AND owner_process = $7 AND owner_started = $8) \
             OR (owner_space = $1 AND owner_process = $2 AND owner_started = $3))",
        )
        .bind(owner.space)
        .bind(i64::from(owner.process))
        .bind(owner.started)
        .bind(now())
        .bind(interrupted.run)
        .bind(&was.space)
        .bind(i64::from(was.process))
        .bind(was.started)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        match claimed.rows_affected() {
            0 => Err(Error::Live { id: interrupted.state.started().info.id.clone() }),
            _ => Ok(()),
        }
    }

    /// Which history this is, by whatever address it was opened: the name of its database, and when it was made. A copy is the
    /// same as what it was copied from.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn identity(&self) -> Result<String> {
        // The first change of its tables made them.
        let asked = match self.kind() {
            Kind::Sqlite => {
                "SELECT 'made on ' || CAST(installed_on AS TEXT) || ' UTC' FROM _sqlx_migrations ORDER BY version LIMIT 1"
            }
            Kind::Postgres => {
                "SELECT CAST(current_database() AS TEXT) || '.' || CAST(current_schema() AS TEXT) || ', made on ' || \
                 to_char(installed_on AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC' \
                 FROM _sqlx_migrations ORDER BY version LIMIT 1"
            }
        };
        sqlx::query_scalar(asked).fetch_one(self.pool()).await.map_err(|error| self.failed(error))
    }

    /// The file that keeps how far the rows of a run's feeds were used: beside the history, or in the working directory where
    /// that is a database. Its first line is the [identity](Self::identity) of the history that has the run.
    pub fn rows_file(&self, id: &str) -> PathBuf {
        let mut path = self.file().map_or_else(|| "plimsoll".into(), |file| file.as_os_str().to_owned());
        path.push(format!("-rows-{id}"));
        path.into()
    }

    /// Removes that file, now that the run is deleted: not that of a run of the same id in another history.
    pub(crate) async fn forget_rows(&self, id: &str) {
        let file = self.rows_file(id);
        // Most runs have none.
        if !file.is_file() {
            return;
        }
        let Ok(identity) = self.identity().await else { return };
        let head = format!("{identity}\n");
        if std::fs::read(&file).is_ok_and(|found| found.starts_with(head.as_bytes())) {
            let _ = std::fs::remove_file(&file);
        }
    }

    /// Keeps that a service is about to start a run that is to go on where its process dies.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_launch(&self, launch: &KeptLaunch) -> Result<()> {
        sqlx::query("INSERT INTO launches (run, plan, schedule, targets) VALUES ($1, $2, $3, $4)")
            .bind(&launch.run)
            .bind(&launch.plan)
            .bind(&launch.schedule)
            .bind(&launch.targets)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Forgets it: the run has ended by itself, or is not to go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn forget_launch(&self, run: &str) -> Result<()> {
        sqlx::query("DELETE FROM launches WHERE run = $1")
            .bind(run)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// What services started that is to go on, in the order of the ids.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn launches(&self) -> Result<Vec<KeptLaunch>> {
        let rows: Vec<(String, String, Option<String>, Option<String>)> =
            sqlx::query_as("SELECT run, plan, schedule, targets FROM launches ORDER BY run")
                .fetch_all(self.pool())
                .await
                .map_err(|error| self.failed(error))?;
        let kept = |(run, plan, schedule, targets)| KeptLaunch { run, plan, schedule, targets };
        Ok(rows.into_iter().map(kept).collect())
    }
}

/// Reads, and once more where seconds became minutes meanwhile: that happens to a record once in a while, and not twice within a
/// read.
async fn once_more<T, F: Future<Output = Result<T>>>(read: impl Fn() -> F) -> Result<T> {
    match read().await {
        Err(Error::Coarsened { .. }) => read().await,
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_became_minutes_while_it_was_read_is_read_once_more() {
        let coarsened = || Error::Coarsened { id: "run".to_owned() };
        for (failures, expected) in [(0, Some(1)), (1, Some(2)), (2, None)] {
            let reads = AtomicUsize::new(0);
            let read = || async {
                let read = reads.fetch_add(1, Ordering::Relaxed) + 1;
                if read > failures { Ok(read) } else { Err(coarsened()) }
            };
            assert_eq!(once_more(read).await.ok(), expected);
        }
        let reads = AtomicUsize::new(0);
        let read = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::NotInterrupted { id: "run".to_owned(), status: RunStatus::Completed })
        };
        assert!(matches!(once_more(read).await, Err(Error::NotInterrupted { .. })));
        assert_eq!(reads.into_inner(), 1, "nothing else changes by itself");
    }
}
