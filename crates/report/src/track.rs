//! How good earlier predictions were.

use plimsoll_capacity::{Foretold, Scored, TrackRecord};
use serde_json::{Value, json};

use crate::words::{moment, plain};

/// How good they were, in a sentence without a full stop.
pub fn track_record_sentence(record: &TrackRecord) -> String {
    let open = match record.open {
        0 => String::new(),
        open => format!(", {open} not measured yet"),
    };
    let (Some((low, high)), Some(median), Some(worst)) =
        (record.coverage, record.median_error, record.worst_error)
    else {
        return format!("nothing was measured yet{open}; `plimsoll limit` measures");
    };
    format!(
        "the truth fell into the 90% interval of {} of {} predictions ({:.0}%; 90% sure of {:.0}% to {:.0}%), median \
         error {:.1}%, worst {:.1}%{open}",
        record.covered,
        record.measured,
        100.0 * record.covered as f64 / record.measured as f64,
        100.0 * low,
        100.0 * high,
        100.0 * median,
        100.0 * worst
    )
}

/// Earlier predictions and what was measured, for people; of all plans where none is named.
pub fn track_record_text(plan: Option<&str>, record: &TrackRecord, scored: &[Scored]) -> String {
    let mut text = format!(
        "track record of {}\n  {}\n",
        plain(plan.unwrap_or("all plans")),
        track_record_sentence(record)
    );
    if !scored.is_empty() {
        text += "\n  made                  of     foretold (90%)                      measured   error\n";
    }
    for one in scored {
        let Foretold { plan: of_plan, of, made_nanos, estimate, low, high, .. } = &one.foretold;
        let foretold = format!("{estimate:.1} ({low:.1} to {high:.1})");
        let measured =
            one.truth.as_ref().map_or_else(|| "-".to_owned(), |truth| format!("{:.1}", truth.value));
        let error = one.error().map_or_else(|| "-".to_owned(), |error| format!("{:.1}%", 100.0 * error));
        let verdict = match one.is_covered() {
            None => "",
            Some(true) => "  within",
            Some(false) => "  outside",
        };
        let name = if plan.is_none() { format!("  {}", plain(of_plan)) } else { String::new() };
        let when = to_the_second(*made_nanos);
        text += &format!(
            "  {when:<20}  {:<5}  {foretold:<32}  {measured:>10}  {error:>6}{verdict}{name}\n",
            of.label()
        );
    }
    text
}

/// Earlier predictions and what was measured as JSON.
pub fn track_record_json(record: &TrackRecord, scored: &[Scored]) -> Value {
    let one = |one: &Scored| {
        let Foretold { plan, target, of, made_nanos, estimate, low, high, inputs } = &one.foretold;
        json!({
            "plan": plan,
            "target": target,
            "of": of.label(),
            "made": to_the_second(*made_nanos),
            "estimate": estimate,
            "low": low,
            "high": high,
            "inputs": inputs,
            "truth": one.truth.as_ref().map(|truth| json!({
                "value": truth.value, "measured": to_the_second(truth.measured_nanos), "by": truth.by,
            })),
            "error": one.error(),
            "covered": one.is_covered(),
        })
    };
    json!({
        "schema": 1,
        "measured": record.measured,
        "open": record.open,
        "covered": record.covered,
        "coverage": record.coverage.map(|(low, high)| json!({
            "ratio": record.covered as f64 / record.measured as f64, "low": low, "high": high,
        })),
        "median_error": record.median_error,
        "worst_error": record.worst_error,
        "predictions": scored.iter().map(one).collect::<Vec<_>>(),
    })
}

/// Nobody needs to know more finely when a prediction was made.
fn to_the_second(nanos: i64) -> String {
    moment(nanos - nanos.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_capacity::{PredictionOf, Truth};

    #[test]
    fn a_track_record_is_told_as_a_sentence_and_a_table() {
        let foretold = |estimate: f64| Foretold {
            plan: "shop".to_owned(),
            target: "http://127.0.0.1:8080".to_owned(),
            of: PredictionOf::Peak,
            made_nanos: 1_767_225_600_000_000_000,
            estimate,
            low: estimate - 20.0,
            high: estimate + 20.0,
            inputs: vec!["a".to_owned()],
        };
        let truth = Truth { value: 1000.0, measured_nanos: 1_767_229_200_000_000_000, by: "b".to_owned() };
        let all = [
            Scored { foretold: foretold(990.0), truth: Some(truth.clone()) },
            Scored { foretold: foretold(1100.0), truth: Some(truth) },
            Scored { foretold: foretold(1010.0), truth: None },
        ];
        let record = TrackRecord::of(&all);
        assert_eq!(
            track_record_text(Some("shop"), &record, &all),
            "track record of shop
  the truth fell into the 90% interval of 1 of 2 predictions (50%; 90% sure of 12% to 88%), median error 5.5%, worst 10.0%, 1 not measured yet

  made                  of     foretold (90%)                      measured   error
  2026-01-01T00:00:00Z  peak   990.0 (970.0 to 1010.0)               1000.0    1.0%  within
  2026-01-01T00:00:00Z  peak   1100.0 (1080.0 to 1120.0)             1000.0   10.0%  outside
  2026-01-01T00:00:00Z  peak   1010.0 (990.0 to 1030.0)                   -       -
"
        );
        let json = track_record_json(&record, &all);
        assert_eq!(json["predictions"][1]["covered"], false);
        assert_eq!(json["predictions"][2]["truth"], Value::Null);
    }
}
