use sqlx::Row;

use crate::sql::{self, SqlRow};
use crate::{History, Result};

/// What was last said of a plan's limit. A plan has one of each kind: the next takes its place.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptAnswer {
    /// The plan it is about.
    pub plan: String,
    /// The target, without user information.
    pub target: String,
    /// Where it comes from.
    pub by: AnswerBy,
    /// When, nanoseconds since 1970.
    pub made_nanos: i64,
    /// The limit, per second of what the plan's load counts: requests, or iterations of several; `None` where
    /// nobody knows.
    pub estimate: Option<f64>,
    /// The lower end of its interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The busiest traffic that was told, in the same unit.
    pub traffic: Option<f64>,
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerBy {
    /// It was foretold from recorded runs.
    Capacity,
    /// It was measured by a search.
    Limit,
}

/// An answer in full.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerText {
    /// What the command answered, as JSON.
    pub result: String,
    /// What it was made from, as JSON, where it can be drawn again.
    pub inputs: Option<String>,
}

impl AnswerBy {
    const ALL: [Self; 2] = [Self::Capacity, Self::Limit];

    /// Its word: the command that answers so.
    pub fn label(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Limit => "limit",
        }
    }
}

impl History {
    /// Keeps an answer in place of the one of its plan and kind before it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_answer(&self, answer: &KeptAnswer, text: &AnswerText) -> Result<()> {
        sqlx::query(
            "INSERT INTO answers (plan, target, by, made_at, estimate, low, high, traffic, result, inputs) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (plan, by) DO UPDATE SET target = excluded.target, \
             made_at = excluded.made_at, estimate = excluded.estimate, low = excluded.low, high = excluded.high, \
             traffic = excluded.traffic, result = excluded.result, inputs = excluded.inputs",
        )
        .bind(&answer.plan)
        .bind(&answer.target)
        .bind(answer.by.label())
        .bind(answer.made_nanos)
        .bind(answer.estimate)
        .bind(answer.low)
        .bind(answer.high)
        .bind(answer.traffic)
        .bind(&text.result)
        .bind(&text.inputs)
        .persistent(sql::KEEP_NO_NUMBERS)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The answers that are kept, each with the number by which [`Self::answer`] finds it, the latest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn answers(&self) -> Result<Vec<(i64, KeptAnswer)>> {
        let rows = sqlx::query(
            "SELECT answer, plan, target, by, made_at, estimate, low, high, traffic FROM answers \
             ORDER BY made_at DESC, answer DESC",
        )
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        let kept = rows.iter().map(kept).collect::<std::result::Result<Vec<_>, _>>();
        kept.map_err(|error| self.failed(error))
    }

    /// An answer in full; `None` when there is none of this number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn answer(&self, number: i64) -> Result<Option<AnswerText>> {
        let row = sqlx::query("SELECT result, inputs FROM answers WHERE answer = $1")
            .bind(number)
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error))?;
        let text =
            |row: SqlRow| Ok(AnswerText { result: row.try_get("result")?, inputs: row.try_get("inputs")? });
        row.map(text).transpose().map_err(|error: sqlx::Error| self.failed(error))
    }
}

fn kept(row: &SqlRow) -> std::result::Result<(i64, KeptAnswer), sqlx::Error> {
    let by: String = row.try_get("by")?;
    let known = AnswerBy::ALL.into_iter().find(|known| known.label() == by);
    let kept = KeptAnswer {
        plan: row.try_get("plan")?,
        target: row.try_get("target")?,
        by: known.ok_or_else(|| sqlx::Error::Decode(format!("`{by}` answers no questions").into()))?,
        made_nanos: row.try_get("made_at")?,
        estimate: row.try_get("estimate")?,
        low: row.try_get("low")?,
        high: row.try_get("high")?,
        traffic: row.try_get("traffic")?,
    };
    Ok((row.try_get("answer")?, kept))
}
