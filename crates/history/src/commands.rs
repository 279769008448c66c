use std::time::Duration;

use plimsoll_run::Command;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use crate::sql::{SqlRow, Statement};
use crate::store::now;
use crate::{Error, Filter, History, Result};

/// How many commands of one run may wait. Its process takes them every second, so that more than a few mean that it
/// does not.
pub const MOST_WAITING: u32 = 100;

/// What was asked of a run while it went on, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptCommand {
    /// Its number; later ones are higher.
    pub id: i64,
    /// When it was asked, nanoseconds since 1970.
    pub asked_nanos: i64,
    /// What.
    pub command: Command,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has taken it yet.
    Waiting,
    /// The run's process has taken it, and has not said yet what became of it.
    Taken,
    /// It is carried out.
    Done {
        /// From when on, nanoseconds from the start of the run.
        effective: u64,
        /// That and what, in words.
        words: String,
    },
    /// It is not carried out, for this reason.
    Refused(String),
}

/// How soon the answer to a command is looked for again.
const AGAIN: Duration = Duration::from_millis(100);

/// What somebody who asked and waited is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is carried out.
    Done {
        /// From when on, nanoseconds from the start of the run.
        effective: u64,
        /// That and what, in words.
        words: String,
    },
    /// It is not carried out, for this reason.
    Refused(String),
    /// The run's process took it and has not said what became of it: it may be carried out.
    Unsaid,
    /// Nobody took it, and it is taken back: it will not be carried out.
    TakenBack,
    /// The run was deleted, and its commands with it.
    Gone,
}

impl History {
    /// The id of the run that goes on and is meant: by its id, the start of one, or `latest`. Where none goes on, and
    /// by any other name, it is as [`Self::find`] has it.
    ///
    /// # Errors
    /// When there is no such run, several are meant, or the file cannot be read.
    pub async fn find_live(&self, asked: &str) -> Result<String> {
        if matches!(asked, "last" | "latest") {
            let filter = Filter { live: true, limit: Some(1), ..Filter::default() };
            if let Some(row) = self.list(&filter).await?.into_iter().next() {
                return Ok(row.id);
            }
        }
        self.find(asked).await
    }

    /// Waits until a run has said what becomes of a command, for at most `patience`; then takes the command back, so
    /// that it is not carried out when nobody expects it any more. The file is held for moments only.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub async fn answered(&self, command: i64, patience: Duration) -> Result<Answered> {
        let deadline = Instant::now() + patience;
        loop {
            match self.fate(command).await? {
                Some(Fate::Done { effective, words }) => return Ok(Answered::Done { effective, words }),
                Some(Fate::Refused(reason)) => return Ok(Answered::Refused(reason)),
                None => return Ok(Answered::Gone),
                Some(_) if Instant::now() >= deadline => break,
                Some(Fate::Waiting | Fate::Taken) => sleep(AGAIN).await,
            }
        }
        if self.withdraw(command).await? {
            return Ok(Answered::TakenBack);
        }
        // It was taken between the two looks, or long before.
        Ok(match self.fate(command).await? {
            Some(Fate::Done { effective, words }) => Answered::Done { effective, words },
            Some(Fate::Refused(reason)) => Answered::Refused(reason),
            Some(Fate::Waiting | Fate::Taken) => Answered::Unsaid,
            None => Answered::Gone,
        })
    }

    /// Asks something of a run that goes on, in whatever process, and returns the number by which its fate is known.
    ///
    /// # Errors
    /// When there is no such run, it has ended, [`MOST_WAITING`] wait already, or the file cannot be written.
    pub async fn ask(&self, run: &str, command: &Command) -> Result<i64> {
        let row = self.list(&Filter { id: Some(run.to_owned()), ..Filter::default() }).await?.pop();
        let Some(row) = row else { return Err(self.no_run(run).await) };
        if let Some(status) = row.status {
            return Err(Error::Over { id: row.id, status });
        }
        // One after the other, so that many who ask at once cannot pass the bound together.
        let failed = |error| self.failed(error);
        let mut connection = self.pool().acquire().await.map_err(failed)?;
        let mut transaction = self.kind().begin_writing(&mut connection).await.map_err(failed)?;
        let number: Option<i64> = sqlx::query_scalar(
            "INSERT INTO commands (run, asked_at, asked_by, change, scenario) \
             SELECT run, $2, $3, $4, $5 FROM runs WHERE id = $1 AND $6 > \
             (SELECT count(*) FROM commands WHERE commands.run = runs.run AND taken_at IS NULL) RETURNING command",
        )
        .bind(run)
        .bind(now())
        .bind(&command.by)
        .bind(command.change.to_string())
        .bind(&command.scenario)
        .bind(i64::from(MOST_WAITING))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        number.ok_or_else(|| Error::Unheard { id: run.to_owned(), waiting: MOST_WAITING })
    }

    /// What became of a command; `None` where there is none with this number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn fate(&self, command: i64) -> Result<Option<Fate>> {
        let row = sqlx::query("SELECT taken_at, effective, done, refused FROM commands WHERE command = $1")
            .bind(command)
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        row.as_ref().map(fate).transpose().map_err(|error| self.failed(error))
    }

    /// Takes a command back that nobody has taken yet; whether it was so.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn withdraw(&self, command: i64) -> Result<bool> {
        let taken = self.take_command(command).await?;
        if taken {
            self.settle_command(command, Err("it was taken back before anybody had looked at it")).await?;
        }
        Ok(taken)
    }

    /// What was asked of a run, first to last, and what became of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn commands(&self, run: &str) -> Result<Vec<KeptCommand>> {
        self.select_commands(run, "").await
    }

    /// The commands that wait for a run's process, first to last.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn waiting_commands(&self, run: &str) -> Result<Vec<KeptCommand>> {
        self.select_commands(run, " AND taken_at IS NULL").await
    }

    /// For the run's own process, before it carries a command out: whether it is its to carry out, and was not taken
    /// or withdrawn before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn take_command(&self, command: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE commands SET taken_at = $1 WHERE command = $2 AND taken_at IS NULL")
            .bind(now())
            .bind(command)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// For the run's own process: what became of a command that it took. Done is from when on (nanoseconds from the
    /// start) and what, in words; else the reason.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn settle_command(
        &self,
        command: i64,
        became: std::result::Result<(u64, &str), &str>,
    ) -> Result<()> {
        let (effective, done, refused) = match became {
            Ok((effective, words)) => (i64::try_from(effective).ok(), Some(words), None),
            Err(reason) => (None, None, Some(reason)),
        };
        sqlx::query("UPDATE commands SET effective = $1, done = $2, refused = $3 WHERE command = $4")
            .bind(effective)
            .bind(done)
            .bind(refused)
            .bind(command)
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    async fn select_commands(&self, run: &str, and: &'static str) -> Result<Vec<KeptCommand>> {
        let mut query = Statement::new(
            "SELECT command, asked_at, asked_by, change, scenario, taken_at, effective, done, refused \
             FROM commands WHERE run = (SELECT run FROM runs WHERE id = ",
        );
        query.bind(run).push(")").push(and).push(" ORDER BY command");
        let rows = query.build().fetch_all(self.pool()).await.map_err(|error| self.failed(error))?;
        let kept = rows.iter().map(kept).collect::<std::result::Result<_, _>>();
        kept.map_err(|error| self.failed(error))
    }
}

fn kept(row: &SqlRow) -> std::result::Result<KeptCommand, sqlx::Error> {
    let change: String = row.try_get("change")?;
    let change = change.parse().map_err(|error: plimsoll_run::NoChange| sqlx::Error::Decode(error.into()))?;
    let command = Command { change, scenario: row.try_get("scenario")?, by: row.try_get("asked_by")? };
    Ok(KeptCommand {
        id: row.try_get("command")?,
        asked_nanos: row.try_get("asked_at")?,
        command,
        fate: fate(row)?,
    })
}

fn fate(row: &SqlRow) -> std::result::Result<Fate, sqlx::Error> {
    if let Some(reason) = row.try_get("refused")? {
        return Ok(Fate::Refused(reason));
    }
    let effective: Option<i64> = row.try_get("effective")?;
    let (words, taken): (Option<String>, Option<i64>) = (row.try_get("done")?, row.try_get("taken_at")?);
    Ok(match (effective, words, taken) {
        (Some(effective), Some(words), _) => Fate::Done { effective: effective as u64, words },
        (_, _, Some(_)) => Fate::Taken,
        (_, _, None) => Fate::Waiting,
    })
}
