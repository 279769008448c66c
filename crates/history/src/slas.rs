//! What is judged for months, and what came of it.
//!
//! Each second one transaction appends what all SLAs were told to a journal, so a killed process loses at most
//! the second it was in. Now and then the whole state of an SLA is written with the entry that it is as of; the state and
//! the entries behind it give it back as it was. The forms of both are the judge's own: nothing here looks into them.

use crate::{History, Result};

/// How long breaches are kept: 400 days in seconds, more than a year of months.
const BREACHES_KEPT: i64 = 400 * 86_400;

/// An SLA, or one value of the label that it holds for each of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSla {
    /// Its number in this record.
    pub number: i64,
    /// The name of the SLA.
    pub name: String,
    /// The label's value.
    pub value: Option<String>,
    /// How it stood, once that was written.
    pub status: Option<String>,
    /// When that was, Unix seconds.
    pub judged: Option<u64>,
}

/// All that is known of an SLA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// Its number in this record.
    pub sla: i64,
    /// The entry of the journal that this is as of.
    pub upto: i64,
    /// The state, in a form of its owner's.
    pub state: Vec<u8>,
}

/// How an SLA stands, for whoever asks while no service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaStatus {
    /// Its number in this record.
    pub sla: i64,
    /// As of when, Unix seconds.
    pub judged: u64,
    /// The status, in a form of its owner's.
    pub status: String,
}

/// What a calendar month came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaMonth {
    /// The number of the SLA in this record.
    pub sla: i64,
    /// Which: `2026-11`.
    pub month: String,
    /// What it came to, in a form of its owner's.
    pub outcome: String,
}

/// A time in which an SLA was broken. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaBreach {
    /// The number of the SLA in this record.
    pub sla: i64,
    /// When it was found; a breach is known by this.
    pub found: u64,
    /// Its first second.
    pub began: u64,
    /// When it was over; `None` while it goes on.
    pub ended: Option<u64>,
    /// What was seen.
    pub why: String,
}

/// What is written at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlaChanges {
    /// The next entry of the journal.
    pub journal: Vec<u8>,
    /// States as of that entry.
    pub states: Vec<(i64, Vec<u8>)>,
    /// How SLAs stand.
    pub statuses: Vec<SlaStatus>,
    /// What months have come to so far.
    pub months: Vec<SlaMonth>,
    /// New breaches, and those that have ended.
    pub breaches: Vec<SlaBreach>,
    /// Up to this entry the journal is not needed any more.
    pub forget: i64,
}

impl History {
    /// The number of an SLA, or of one value of its label, in this record; it is given one where it has none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn sla_number(&self, name: &str, value: Option<&str>) -> Result<i64> {
        sqlx::query("INSERT INTO slas (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value.unwrap_or(""))
            .execute(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        sqlx::query_scalar("SELECT sla FROM slas WHERE name = $1 AND value = $2")
            .bind(name)
            .bind(value.unwrap_or(""))
            .fetch_one(self.pool())
            .await
            .map_err(|error| self.failed(error))
    }

    /// Every SLA that was ever judged here, by name and value.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn slas(&self) -> Result<Vec<KeptSla>> {
        type Row = (i64, String, String, Option<String>, Option<i64>);
        let rows: Vec<Row> =
            sqlx::query_as("SELECT sla, name, value, status, judged FROM slas ORDER BY name, value")
                .fetch_all(self.pool())
                .await
                .map_err(|error| self.failed(error))?;
        let kept = |(number, name, value, status, judged): Row| KeptSla {
            number,
            name,
            value: (!value.is_empty()).then_some(value),
            status,
            judged: judged.map(i64::cast_unsigned),
        };
        Ok(rows.into_iter().map(kept).collect())
    }

    /// Gives the states of all SLAs, a few at a time: together they take much memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn each_sla_state(&self, mut take: impl FnMut(KeptState)) -> Result<()> {
        const AT_A_TIME: i64 = 32;
        const QUERY: &str = "SELECT sla, upto, state FROM sla_states WHERE sla > $1 ORDER BY sla LIMIT $2";
        let mut after = i64::MIN;
        loop {
            let few = sqlx::query_as(QUERY).bind(after).bind(AT_A_TIME).fetch_all(self.pool()).await;
            let few: Vec<(i64, i64, Vec<u8>)> = few.map_err(|error| self.failed(error))?;
            let Some((last, ..)) = few.last() else { return Ok(()) };
            after = *last;
            few.into_iter().for_each(|(sla, upto, state)| take(KeptState { sla, upto, state }));
        }
    }

    /// The entries of the journal with their numbers, in the order they were told.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sla_journal(&self) -> Result<Vec<(i64, Vec<u8>)>> {
        sqlx::query_as("SELECT entry, told FROM sla_journal ORDER BY entry")
            .fetch_all(self.pool())
            .await
            .map_err(|error| self.failed(error))
    }

    /// Writes all of it or nothing; returns the number of the journal's new entry.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_slas(&self, changes: &SlaChanges) -> Result<i64> {
        self.write_slas(changes).await.map_err(|error| self.failed(error))
    }

    async fn write_slas(&self, changes: &SlaChanges) -> std::result::Result<i64, sqlx::Error> {
        let mut connection = self.pool().acquire().await?;
        let mut transaction = self.kind().begin_writing(&mut connection).await?;
        let entry: i64 = sqlx::query_scalar("INSERT INTO sla_journal (told) VALUES ($1) RETURNING entry")
            .bind(&changes.journal)
            .fetch_one(&mut *transaction)
            .await?;
        for (sla, state) in &changes.states {
            sqlx::query(
                "INSERT INTO sla_states (sla, upto, state) VALUES ($1, $2, $3) \
                 ON CONFLICT (sla) DO UPDATE SET upto = excluded.upto, state = excluded.state",
            )
            .bind(sla)
            .bind(entry)
            .bind(state)
            .execute(&mut *transaction)
            .await?;
        }
        for SlaStatus { sla, judged, status } in &changes.statuses {
            sqlx::query("UPDATE slas SET judged = $1, status = $2 WHERE sla = $3")
                .bind(judged.cast_signed())
                .bind(status)
                .bind(sla)
                .execute(&mut *transaction)
                .await?;
        }
        for SlaMonth { sla, month, outcome } in &changes.months {
            sqlx::query(
                "INSERT INTO sla_months (sla, month, outcome) VALUES ($1, $2, $3) \
                 ON CONFLICT (sla, month) DO UPDATE SET outcome = excluded.outcome",
            )
            .bind(sla)
            .bind(month)
            .bind(outcome)
            .execute(&mut *transaction)
            .await?;
        }
        for SlaBreach { sla, found, began, ended, why } in &changes.breaches {
            sqlx::query(
                "INSERT INTO sla_breaches (sla, found, began, ended, why) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (sla, found) DO UPDATE SET began = excluded.began, ended = excluded.ended, why = excluded.why",
            )
            .bind(sla)
            .bind(found.cast_signed())
            .bind(began.cast_signed())
            .bind(ended.map(u64::cast_signed))
            .bind(why)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM sla_breaches WHERE sla = $1 AND found < $2")
                .bind(sla)
                .bind(found.cast_signed().saturating_sub(BREACHES_KEPT))
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("DELETE FROM sla_journal WHERE entry <= $1")
            .bind(changes.forget.min(entry - 1))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(entry)
    }

    /// The breaches of all SLAs that were found at `from` (Unix seconds) or later, or go on; the latest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sla_breaches(&self, from: u64) -> Result<Vec<SlaBreach>> {
        type Row = (i64, i64, i64, Option<i64>, String);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT sla, found, began, ended, why FROM sla_breaches \
             WHERE found >= $1 OR ended IS NULL OR ended >= $2 ORDER BY found DESC, sla",
        )
        .bind(from.cast_signed())
        .bind(from.cast_signed())
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        let breach = |(sla, found, began, ended, why): Row| SlaBreach {
            sla,
            found: found.cast_unsigned(),
            began: began.cast_unsigned(),
            ended: ended.map(i64::cast_unsigned),
            why,
        };
        Ok(rows.into_iter().map(breach).collect())
    }

    /// What a calendar month (`2026-11`) came to.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sla_months(&self, month: &str) -> Result<Vec<SlaMonth>> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT sla, month, outcome FROM sla_months WHERE month = $1 ORDER BY sla")
                .bind(month)
                .fetch_all(self.pool())
                .await
                .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().map(|(sla, month, outcome)| SlaMonth { sla, month, outcome }).collect())
    }
}
