//! Predictions that are kept, and how good the earlier ones were.

use jiff::Timestamp;
use plimsoll_capacity::{Answer, Foretold, PredictionOf, TrackRecord};
use plimsoll_history::{AnswerBy, AnswerText, History, KeptAnswer};
use plimsoll_report::KeptCapacity;
use serde_json::Value;

use crate::arguments::CapacityArguments;
use crate::{Outcome, Stop, files};
use plimsoll_run::ExitCode;

/// What a prediction is about and made from, where it is about recorded runs.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) plan: String,
    pub(super) target: String,
    /// Ids of the runs that were measured.
    pub(super) runs: Vec<String>,
}

/// Keeps what an answer foretells until `limit` measures it, and says how good earlier predictions were.
pub(super) async fn keep(
    history: &History,
    origin: &Origin,
    found: &Answer,
) -> plimsoll_history::Result<Option<String>> {
    let made_nanos = now_nanos();
    let of = |of, (estimate, low, high)| Foretold {
        plan: origin.plan.clone(),
        target: origin.target.clone(),
        of,
        made_nanos,
        estimate,
        low,
        high,
        inputs: origin.runs.clone(),
    };
    let peak = found.peak.map(|peak| of(PredictionOf::Peak, (peak.throughput, peak.low, peak.high)));
    let allowed = found.sla_limits.iter().filter_map(|limit| limit.outcome.as_ref().ok());
    let nearest = allowed.min_by(|one, other| one.load.total_cmp(&other.load));
    let limit = nearest.map(|allowed| of(PredictionOf::Limit, (allowed.load, allowed.low, allowed.high)));
    for foretold in peak.iter().chain(&limit) {
        history.foretell(foretold).await?;
    }
    let known = history.predictions(Some(&origin.plan)).await?;
    let record = TrackRecord::of(&known);
    Ok((record.measured > 0)
        .then(|| format!("track record: {}", plimsoll_report::track_record_sentence(&record))))
}

/// Keeps the answer itself, with what it was made from, for the page and the metrics of the service.
pub(super) async fn keep_answer(
    history: &History,
    origin: &Origin,
    kept: &KeptCapacity,
    found: &Answer,
    json: &Value,
) -> plimsoll_history::Result<()> {
    let limit = found.limit.as_ref().map(|(limit, _)| *limit);
    let rates = kept.question.traffic.iter().map(|(_, rate)| *rate);
    let answer = KeptAnswer {
        plan: origin.plan.clone(),
        target: origin.target.clone(),
        by: AnswerBy::Capacity,
        made_nanos: now_nanos(),
        estimate: limit.map(|limit| limit.value),
        low: limit.map(|limit| limit.low),
        high: limit.map(|limit| limit.high),
        traffic: rates.max_by(f64::total_cmp),
    };
    let text = AnswerText { result: json.to_string(), inputs: Some(kept.to_json().to_string()) };
    history.keep_answer(&answer, &text).await
}

/// Now, nanoseconds since 1970.
pub(crate) fn now_nanos() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// `plimsoll capacity --track-record`.
pub(super) async fn track_record(arguments: &CapacityArguments) -> Outcome {
    let history = files::history(&arguments.history).await?;
    let plan = arguments.plan.as_deref();
    let scored = history.predictions(plan).await.map_err(Stop::internal)?;
    let record = TrackRecord::of(&scored);
    let text = plimsoll_report::track_record_text(plan, &record, &scored);
    match &arguments.json {
        Some(path) => {
            let json = plimsoll_report::track_record_json(&record, &scored);
            files::put(path, &format!("{json:#}\n")).map_err(Stop::internal)?;
            crate::say::err!("{text}");
        }
        None => crate::say::out!("{text}"),
    }
    Ok(ExitCode::Success)
}
