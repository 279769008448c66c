use plimsoll_capacity::{Foretold, PredictionOf, Scored, Truth};
use sqlx::Row;

use crate::sql::SqlRow;
use crate::{History, Result};

impl History {
    /// Keeps a prediction until somebody measures the truth. The same number from the same inputs is the same prediction
    /// however often it is asked for: the first is kept, so that it counts once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn foretell(&self, foretold: &Foretold) -> Result<()> {
        let inputs = serde_json::Value::from(foretold.inputs.clone()).to_string();
        sqlx::query(
            "INSERT INTO predictions (plan, target, of, made_at, estimate, low, high, inputs) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT 1 FROM predictions \
             WHERE plan = $1 AND target = $2 AND of = $3 AND estimate = $5 AND inputs = $8)",
        )
        .bind(&foretold.plan)
        .bind(&foretold.target)
        .bind(foretold.of.label())
        .bind(foretold.made_nanos)
        .bind(foretold.estimate)
        .bind(foretold.low)
        .bind(foretold.high)
        .bind(inputs)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Holds what was measured against every prediction of it that was made before and has not been scored, and
    /// says how many these were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn score(&self, plan: &str, target: &str, of: PredictionOf, truth: &Truth) -> Result<u64> {
        let scored = sqlx::query(
            "UPDATE predictions SET truth = $1, measured_at = $2, measured_by = $3 \
             WHERE plan = $4 AND target = $5 AND of = $6 AND truth IS NULL AND made_at <= $7",
        )
        .bind(truth.value)
        .bind(truth.measured_nanos)
        .bind(&truth.by)
        .bind(plan)
        .bind(target)
        .bind(of.label())
        .bind(truth.measured_nanos)
        .execute(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        Ok(scored.rows_affected())
    }

    /// The predictions of a plan, or of all, the latest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn predictions(&self, plan: Option<&str>) -> Result<Vec<Scored>> {
        let rows = sqlx::query(
            "SELECT plan, target, of, made_at, estimate, low, high, inputs, truth, measured_at, measured_by \
             FROM predictions WHERE $1 IS NULL OR plan = $1 ORDER BY made_at DESC, prediction DESC",
        )
        .bind(plan)
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.failed(error))?;
        let scored = rows.iter().map(scored).collect::<std::result::Result<Vec<_>, _>>();
        scored.map_err(|error| self.failed(error))
    }
}

fn scored(row: &SqlRow) -> std::result::Result<Scored, sqlx::Error> {
    let of: String = row.try_get("of")?;
    let inputs: String = row.try_get("inputs")?;
    let decoding = |what: String| sqlx::Error::Decode(what.into());
    let foretold = Foretold {
        plan: row.try_get("plan")?,
        target: row.try_get("target")?,
        of: PredictionOf::from_label(&of)
            .ok_or_else(|| decoding(format!("`{of}` is no kind of prediction")))?,
        made_nanos: row.try_get("made_at")?,
        estimate: row.try_get("estimate")?,
        low: row.try_get("low")?,
        high: row.try_get("high")?,
        inputs: serde_json::from_str(&inputs).map_err(|error| decoding(error.to_string()))?,
    };
    let value: Option<f64> = row.try_get("truth")?;
    let measured: Option<i64> = row.try_get("measured_at")?;
    let by: Option<String> = row.try_get("measured_by")?;
    let truth = value.zip(measured).zip(by);
    let truth = truth.map(|((value, measured_nanos), by)| Truth { value, measured_nanos, by });
    Ok(Scored { foretold, truth })
}
