use std::collections::BTreeMap;

use plimsoll_run::RunPlateaus;

use crate::{Error, History, Result};

impl History {
    /// Keeps the plateaus of a run, so that its seconds need not be read for them again. Nothing happens where
    /// there is no such run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep_plateaus(&self, id: &str, plateaus: &RunPlateaus) -> Result<()> {
        let data = serde_json::to_string(plateaus)
            .map_err(|source| Error::File { path: self.path().to_owned(), source: source.into() })?;
        sqlx::query(
            "INSERT INTO plateaus (run, revision, data) SELECT run, $1, $2 FROM runs WHERE id = $3 \
             ON CONFLICT (run) DO UPDATE SET revision = excluded.revision, data = excluded.data",
        )
        .bind(i64::from(RunPlateaus::REVISION))
        .bind(data)
        .bind(id)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The plateaus that are kept of the runs of a plan, by their ids. Those that an older build found, and those
    /// that cannot be read, are left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn plateaus(&self, plan: &str) -> Result<BTreeMap<String, RunPlateaus>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, data FROM runs JOIN plateaus USING (run) WHERE plan = $1 AND revision = $2",
        )
        .bind(plan)
        .bind(i64::from(RunPlateaus::REVISION))
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        // Those of a year take longer than a thread that serves others may be held.
        let read = tokio::task::spawn_blocking(move || {
            let read = |(id, data): (String, String)| Some((id, serde_json::from_str(&data).ok()?));
            rows.into_iter().filter_map(read).collect()
        });
        read.await.map_err(|stopped| Error::File { path: self.path().to_owned(), source: stopped.into() })
    }
}
