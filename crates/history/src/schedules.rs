use std::collections::BTreeMap;

use crate::{History, Result};

/// What a service remembers of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptSchedule {
    /// The last of its times that was dealt with, nanoseconds since 1970.
    pub due_nanos: Option<i64>,
    /// Whether somebody paused it.
    pub is_paused: bool,
}

impl History {
    /// What is remembered of schedules, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn schedules(&self) -> Result<BTreeMap<String, KeptSchedule>> {
        let rows: Vec<(String, Option<i64>, i64)> =
            sqlx::query_as("SELECT name, due_at, paused FROM schedules")
                .fetch_all(self.pool())
                .await
                .map_err(|error| self.failed(error))?;
        let kept = |(name, due_nanos, paused)| (name, KeptSchedule { due_nanos, is_paused: paused != 0 });
        Ok(rows.into_iter().map(kept).collect())
    }

    /// Remembers a schedule, in place of what was remembered of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_schedule(&self, name: &str, schedule: &KeptSchedule) -> Result<()> {
        sqlx::query(
            "INSERT INTO schedules (name, due_at, paused) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
             SET due_at = excluded.due_at, paused = excluded.paused",
        )
        .bind(name)
        .bind(schedule.due_nanos)
        .bind(i64::from(schedule.is_paused))
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }
}
