//! Documents for Elasticsearch and OpenSearch: what happened in a run, and a point per second and series.
//!
//! Fields have their names of the Elastic Common Schema where it has one: `@timestamp`, `event.*`, `error.type`
//! (the outcome of requests that failed), `message`, `labels.*`. Ours are below `plimsoll`. A point has what its second
//! added: of a counter `plimsoll.count`, of a level `plimsoll.value`, of a histogram `plimsoll.count`, `sum`,
//! `min`, `max` (seconds) and `le_<edge>` (cumulative; a dot in the edge is an underscore).
//!
//! The id of a document is made from what it is about, so that writing it again changes nothing.

use plimsoll_measure::Outcome;
use plimsoll_run::{RunEvent, Started};
use serde_json::{Map, Value, json};

use crate::number::{seconds, shortest};
use crate::rows::time;
use crate::{Change, Reading, Report};

/// The version of the Elastic Common Schema that the names are of.
const ECS: &str = "8.11.0";

/// A document with its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Tells it from all others.
    pub id: String,
    /// Its fields.
    pub fields: Value,
}

/// What an event says besides numbers; `None`: nothing.
pub fn event(started: &Started, event: &RunEvent) -> Option<Document> {
    let info = &started.info;
    let (at, action, message, more) = match event {
        RunEvent::Started(_) => {
            let message = format!("{} begins", started.shape.plan);
            let tags: Map<_, _> =
                info.tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let more = json!({ "version": info.version, "environment": info.environment, "seed": info.seed, "tags": tags });
            (0, "run-started", message, more)
        }
        RunEvent::Phase { phase, at } => (*at, "phase-started", phase.label().to_owned(), Value::Null),
        RunEvent::Steered(steered) => {
            let more = json!({ "change": steered.change.to_string(), "by": steered.by });
            let message = format!("steered {}", steered.words(&started.shape));
            (steered.effective, "run-steered", message, more)
        }
        RunEvent::Resumed(resumed) => (resumed.at, "run-resumed", resumed.words(), Value::Null),
        RunEvent::Profile(taken) => {
            let more = json!({ "file": taken.file });
            (taken.at, "profile-taken", format!("profile of {}", taken.words()), more)
        }
        RunEvent::Note(note) => (note.at, "note", note.text.clone(), Value::Null),
        RunEvent::Ended(ended) => {
            let reason = ended.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let message = format!("{}{reason}", ended.status.label());
            (ended.at, "run-ended", message, json!({ "status": ended.status.label() }))
        }
        RunEvent::Second(_) | RunEvent::Stretch(_) | RunEvent::Judged(_) => return None,
    };
    let wall_nanos = info.started_nanos.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
    let mut run = json!({ "id": info.id, "plan": started.shape.plan });
    merge(&mut run, more);
    let fields = json!({
        "@timestamp": time(wall_nanos),
        "ecs": { "version": ECS },
        "event": { "kind": "event", "dataset": "plimsoll.run", "action": action },
        "message": message,
        "plimsoll": { "run": run },
    });
    Some(Document { id: id(&info.id, at, &[action, &message]), fields })
}

/// The points of an event. Series without a value are left out.
pub fn points(started: &Started, report: &Report) -> Vec<Document> {
    let at = time(report.wall_nanos);
    report.readings.iter().filter_map(|reading| point(reading, started, report.wall_nanos, &at)).collect()
}

fn point(reading: &Reading, started: &Started, wall_nanos: i64, at: &str) -> Option<Document> {
    let labels: Map<String, Value> = reading
        .metric
        .labels
        .iter()
        .zip(&reading.labels)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| ((*name).to_owned(), json!(&**value)))
        .collect();
    let outcome = labels.get("outcome").and_then(Value::as_str).and_then(Outcome::from_label);
    let mut ours = json!({ "run": { "id": started.info.id }, "metric": reading.metric.name });
    merge(&mut ours, values(&reading.change)?);
    let mut event = json!({ "kind": "metric", "dataset": "plimsoll.points" });
    let mut fields = json!({ "@timestamp": at, "ecs": { "version": ECS } });
    if let Some(outcome) = outcome {
        let word = match (outcome.is_success(), outcome.is_failure()) {
            (true, _) => "success",
            (_, true) => "failure",
            _ => "unknown",
        };
        merge(&mut event, json!({ "outcome": word }));
        if outcome.is_failure() {
            merge(&mut fields, json!({ "error": { "type": outcome.label() } }));
        }
    }
    let mut about = vec![reading.metric.name];
    about.extend(reading.labels.iter().map(|label| &**label));
    let id = id(&started.info.id, wall_nanos as u64, &about);
    merge(&mut fields, json!({ "event": event, "labels": labels, "plimsoll": ours }));
    Some(Document { id, fields })
}

fn values(change: &Change) -> Option<Value> {
    Some(match change {
        Change::Count(count) => json!({ "count": count }),
        Change::Level(level) => json!({ "value": level.filter(|level| level.is_finite())? }),
        Change::Durations(durations) => {
            let (min, max) = (seconds(durations.min()?), seconds(durations.max()?));
            let sum = durations.sum() as f64 / 1e9;
            let mut values = json!({ "count": durations.count(), "sum": sum, "min": min, "max": max });
            let mut cumulative = 0;
            for (edge, count) in durations.edges().nanos().iter().zip(durations.at_edges()) {
                cumulative += count;
                let name = format!("le_{}", shortest(seconds(*edge)).replace('.', "_"));
                merge(&mut values, json!({ name: cumulative }));
            }
            values
        }
    })
}

/// Adds the members of another object.
fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// The run, when, and a hash (FNV-1a) of what it is about, which is the same wherever it is computed. That
/// two of ten thousand series share one is a chance of 3 in 10^12 a second.
fn id(run: &str, at: u64, about: &[&str]) -> String {
    // A byte that is in no UTF-8 keeps the parts apart.
    let bytes = about.iter().flat_map(|part| part.bytes().chain([0xff]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{run}:{at}:{hash:016x}")
}

/// An index template: every index or data stream of this name gets the right kinds of fields.
pub fn template(name: &str, data_stream: bool) -> Value {
    let keyword = json!({ "type": "keyword", "ignore_above": 1024 });
    let mut template = json!({
        "index_patterns": [name],
        "priority": 200,
        "template": {
            "mappings": {
                "dynamic_templates": [
                    { "texts": { "match_mapping_type": "string", "mapping": keyword } },
                    { "edges": { "path_match": "plimsoll.le_*", "mapping": { "type": "long" } } },
                ],
                "properties": {
                    "@timestamp": { "type": "date" },
                    "message": { "type": "text" },
                    "plimsoll": { "properties": {
                        "count": { "type": "long" },
                        "value": { "type": "double" },
                        "sum": { "type": "double" },
                        "min": { "type": "double" },
                        "max": { "type": "double" },
                    } },
                },
            },
        },
    });
    if data_stream {
        merge(&mut template, json!({ "data_stream": {} }));
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readings;
    use crate::fixture::Fixture;
    use plimsoll_run::Note;
    use std::collections::BTreeSet;

    #[test]
    fn a_second_is_written_as_stated() {
        let mut fixture = Fixture::new();
        fixture.request(0, 0, Some(200), 333_000_000);
        fixture.request(0, 0, None, 1_000_000);
        let started = fixture.started();
        let report = Readings::new(fixture.started()).read(&fixture.second()).unwrap();
        let documents = points(&started, &report);
        let found = |metric: &str, outcome: &str| {
            let is = |fields: &Value| {
                fields["plimsoll"]["metric"] == metric && fields["labels"]["outcome"] == outcome
            };
            documents.iter().find(|document| is(&document.fields)).unwrap().fields.to_string()
        };
        assert_eq!(
            found("plimsoll_requests_total", "ok"),
            r#"{"@timestamp":"2023-11-14T22:13:21Z","ecs":{"version":"8.11.0"},"event":{"kind":"metric","dataset":"plimsoll.points","outcome":"success"},"labels":{"plan":"shop","scenario":"browse","step":"list","phase":"measured","outcome":"ok","status":"200"},"plimsoll":{"run":{"id":"run"},"metric":"plimsoll_requests_total","count":1}}"#
        );
        assert_eq!(
            found("plimsoll_requests_total", "reset"),
            r#"{"@timestamp":"2023-11-14T22:13:21Z","ecs":{"version":"8.11.0"},"error":{"type":"reset"},"event":{"kind":"metric","dataset":"plimsoll.points","outcome":"failure"},"labels":{"plan":"shop","scenario":"browse","step":"list","phase":"measured","outcome":"reset"},"plimsoll":{"run":{"id":"run"},"metric":"plimsoll_requests_total","count":1}}"#
        );
        let times = found("plimsoll_response_time_seconds", "ok");
        assert!(times.contains(r#""count":1,"sum":0.333,"min":0.333,"max":0.333,"#), "{times}");
        assert!(times.contains(r#""le_0_25":0,"le_0_333":1,"le_0_5":1,"#), "{times}");
    }

    #[test]
    fn an_id_tells_a_document_from_all_others_and_is_the_same_again() {
        let ids = || -> Vec<String> {
            let mut fixture = Fixture::busy();
            let started = fixture.started();
            let mut readings = Readings::new(fixture.started());
            let events = [RunEvent::Started(fixture.started()), fixture.second(), fixture.judged()];
            let told = events.iter().filter_map(|told| event(&started, told)).collect::<Vec<_>>();
            let reports = events.iter().filter_map(|event| readings.read(event)).collect::<Vec<_>>();
            let points = reports.iter().flat_map(|report| points(&started, report));
            told.into_iter().chain(points).map(|document| document.id).collect()
        };
        let first = ids();
        assert_eq!(first, ids());
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
        assert_eq!(id("r", 7, &["a", "b"]), "r:7:d2b371819297f98a");
        assert_ne!(id("r", 7, &["ab"]), id("r", 7, &["a", "b"]));
    }

    #[test]
    fn what_happens_is_told_in_words() {
        let started = Fixture::new().started();
        let note = RunEvent::Note(Note { at: 1_500_000_000, text: "a \"note\"".to_owned() });
        assert_eq!(
            event(&started, &note).unwrap().fields.to_string(),
            r#"{"@timestamp":"2023-11-14T22:13:21.5Z","ecs":{"version":"8.11.0"},"event":{"kind":"event","dataset":"plimsoll.run","action":"note"},"message":"a \"note\"","plimsoll":{"run":{"id":"run","plan":"shop"}}}"#
        );
        let begun = event(&started, &RunEvent::Started(Fixture::new().started())).unwrap();
        assert_eq!(begun.fields["plimsoll"]["run"]["version"], "1.4.2");
        assert!(event(&started, &Fixture::new().second()).is_none());
    }
}
