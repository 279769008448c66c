//! The document of the API, OpenAPI 3.1, made from the table of routes.
//!
//! Answers are JSON that is built where it is known what it means, so there are no types to derive schemas from; a second set
//! of types for the document alone would say everything twice. Schemas are written here, and the tests hold them against
//! what is really answered.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::problem::{Kind, MEDIA_TYPE, TYPE};
use crate::route::{Answer, Route};
use crate::tokens::Standing;

/// The schema of a plan's text.
const PLAN_YAML: &str = "PlanYaml";

/// The document of some routes.
pub(crate) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| route.doc.is_some()) {
        let path = paths.entry(path(route.path)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Plimsoll",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Runs, live and past, capacity and SLAs",
            "description": "Seconds, shares of one, per second; no data is `null`. Answers may get more keys, errors more types.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What `plimsoll token create` tells. On loopback nothing is asked for unless `auth` is configured.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "Why not",
                    "content": { (MEDIA_TYPE): { "schema": reference("Problem") } },
                },
            },
        },
    })
}

/// A hole that takes the rest of a path is one parameter whose slashes are encoded.
fn path(path: &str) -> String {
    path.replace("{*", "{")
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn operation(route: &Route) -> Value {
    let Some(doc) = route.doc else { return Value::Null };
    let holes = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = holes.map(|hole| hole_parameter(hole.trim_start_matches('*'))).collect();
    let asked = doc.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.says,
            "schema": serde_json::from_str::<Value>(parameter.schema).unwrap_or(Value::Bool(true)),
        })
    });
    parameters.extend(asked);
    let mut operation = json!({
        "operationId": doc.name,
        "summary": doc.summary,
        "tags": [tag(route.path)],
        "responses": responses(route, doc.answer),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = doc.body {
        // A plan is sent as people write it.
        let kind = if body == PLAN_YAML { "text/yaml" } else { "application/json" };
        let content = json!({ (kind): { "schema": reference(body) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    match route.scope {
        None => operation["security"] = json!([]),
        Some(scope) => {
            operation["security"] = json!([{ "token": [] }, {}]);
            operation["x-plimsoll-scope"] = scope.label().into();
        }
    }
    operation
}

/// What a path is about: the word after the version.
fn tag(path: &str) -> &str {
    path.strip_prefix("/api/v1/").and_then(|rest| rest.split('/').next()).unwrap_or("service")
}

fn hole_parameter(hole: &str) -> Value {
    let (says, schema) = match hole {
        "run" => ("The id of a run, the start of one, or `latest`.", json!({ "type": "string" })),
        "plan" => ("The name of a plan: that of its file without ending.", json!({ "type": "string" })),
        "schedule" => ("The name of a schedule.", json!({ "type": "string" })),
        "file" => ("The name of a file, as the list has it.", json!({ "type": "string" })),
        "number" => ("The number of an answer.", json!({ "type": "integer", "format": "int64" })),
        "name" => ("The name, with `/VALUE` where it is judged for each value.", json!({ "type": "string" })),
        _ => ("Its name.", json!({ "type": "string" })),
    };
    json!({ "name": hole, "in": "path", "required": true, "description": says, "schema": schema })
}

fn responses(route: &Route, answer: Answer) -> Value {
    let (status, says, content) = match answer {
        Answer::Json(schema) => {
            (StatusCode::OK, "It", json!({ "application/json": { "schema": reference(schema) } }))
        }
        Answer::Made(schema) => (
            StatusCode::CREATED,
            "What was made",
            json!({ "application/json": { "schema": reference(schema) } }),
        ),
        Answer::Done => (StatusCode::NO_CONTENT, "Done", Value::Null),
        Answer::Text => (StatusCode::OK, "Yes", json!({ "text/plain": { "schema": { "type": "string" } } })),
        Answer::Html => {
            (StatusCode::OK, "A page", json!({ "text/html": { "schema": { "type": "string" } } }))
        }
        Answer::Events => (
            StatusCode::OK,
            "Events, until the client goes",
            json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        ),
        Answer::Metrics => (
            StatusCode::OK,
            "The text format of Prometheus",
            json!({ "text/plain": { "schema": { "type": "string" } } }),
        ),
    };
    let mut good = json!({ "description": says });
    if !content.is_null() {
        good["content"] = content;
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut responses = json!({ (status.as_str()): good });
    let known = [
        (StatusCode::UNAUTHORIZED, route.scope.is_some()),
        (StatusCode::FORBIDDEN, route.scope.is_some()),
        (StatusCode::NOT_FOUND, route.path.contains('{')),
    ];
    for (status, _) in known.iter().filter(|(_, may)| *may) {
        responses[status.as_str()] = problem.clone();
    }
    responses["default"] = problem;
    responses
}

fn object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// An object that is sent: what is not said of it is refused.
fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = false.into();
    object
}

fn list(key: &str, of: &str) -> Value {
    object(&[key], &json!({ (key): { "type": "array", "items": reference(of) } }))
}

/// How requests failed, point by point.
fn errors_column() -> Value {
    json!({
        "type": "array",
        "description": "Of each point how many requests failed in a second, by kind; `null` where kinds are not known.",
        "items": { "type": ["object", "null"], "additionalProperties": { "type": "number", "minimum": 0 } },
    })
}

/// What answers look like. They may have more keys than are said here.
fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let maybe_text = || json!({ "type": ["string", "null"] });
    let channel = || json!({ "enum": ["slack", "teams", "pagerduty", "webhook", "email"] });
    let maybe_number = || json!({ "type": ["number", "null"] });
    let moment = || json!({ "type": "string", "format": "date-time" });
    let maybe_moment = || json!({ "type": ["string", "null"], "format": "date-time" });
    let next = || json!({ "type": ["string", "null"], "description": "The `cursor` of the next page; null: there is none." });
    let words: Vec<String> = Kind::ALL.iter().map(|kind| format!("{TYPE}{}", kind.word())).collect();
    let status = json!({ "enum": ["running", "completed", "aborted", "interrupted", "failed"] });
    let verdict = json!({ "enum": ["met", "missed", "inconclusive", null] });
    let validity = json!({ "enum": ["valid", "suspect", "invalid", null] });
    let mut runs = list("runs", "RunRow");
    runs["properties"]["next"] = next();
    let mut annotations = list("annotations", "Annotation");
    annotations["properties"]["next"] = next();
    let mut of_run = list("annotations", "AnnotationOfRun");
    of_run["properties"]["next"] = next();
    of_run["properties"]["run"] = text();
    let mut audit = list("entries", "AuditEntry");
    audit["properties"]["next"] =
        json!({ "type": ["integer", "null"], "description": "The `before` of the next page." });
    json!({
        "Problem": object(
            &["type", "title", "status", "detail", "instance"],
            &json!({
                "type": { "type": "string", "examples": words },
                "title": text(),
                "status": { "type": "integer", "minimum": 400, "maximum": 599 },
                "detail": text(),
                "instance": text(),
                "errors": { "type": "array", "items": reference("Mistake") },
            }),
        ),
        "Mistake": object(
            &["message"],
            &json!({
                "line": { "type": ["integer", "null"], "minimum": 1 },
                "column": { "type": ["integer", "null"], "minimum": 1 },
                "message": text(),
            }),
        ),
        "Runs": runs,
        "RunRow": object(
            &["id", "plan", "started", "status", "verdict", "validity", "tags"],
            &json!({
                "id": text(), "plan": text(), "plan_hash": text(), "version": maybe_text(), "environment": maybe_text(),
                "tags": { "type": "object", "additionalProperties": text() }, "target": text(), "host": text(),
                "plimsoll": text(), "started": moment(), "duration_seconds": maybe_number(), "status": status,
                "verdict": verdict, "validity": validity, "requests": maybe_number(), "throughput": maybe_number(),
                "error_ratio": maybe_number(), "p95": maybe_number(), "lost_seconds": { "type": "integer" },
                "crosses": { "type": "array", "items": { "enum": ["hash", "plimsoll", "machine"] } },
            }),
        ),
        "Run": {
            "type": "object",
            "required": ["schema", "run", "totals", "sla", "validity"],
            "description": "The JSON of a run, as `plimsoll run --json` writes it.",
        },
        "Timeline": { "anyOf": [reference("WholeTimeline"), reference("StretchOfTimeline")] },
        "WholeTimeline": object(
            &["run", "plan", "status", "points", "stages", "sla", "errors", "notes"],
            &json!({
                "run": text(), "plan": text(), "status": status, "verdict": verdict,
                "points": {
                    "type": "object",
                    "properties": { "errors": errors_column() },
                    "additionalProperties": { "type": "array" },
                },
                "stages": { "type": "array" }, "sla": { "type": "array" }, "errors": { "type": "array" },
                "notes": { "type": "array" },
                "steered": { "type": "array", "items": object(
                    &["effective", "scenario", "by", "words"],
                    &json!({ "effective": { "type": "number" }, "scenario": maybe_text(), "by": text(), "words": text() }),
                ) },
                "loads": { "type": "array", "items": object(
                    &["scenario", "model"],
                    &json!({ "scenario": maybe_text(), "model": { "enum": ["open", "closed"] } }),
                ) },
                "heat_edges": {
                    "type": "array", "items": { "type": "number" },
                    "description": "Seconds between the buckets that `points.heat` counts requests in.",
                },
            }),
        ),
        "StretchOfTimeline": object(
            &["run", "width", "heat_edges", "points"],
            &json!({
                "run": text(),
                "width": { "type": "integer", "minimum": 1, "description": "Seconds of a point, where these are kept." },
                "heat_edges": { "type": "array", "items": { "type": "number" } },
                "points": {
                    "type": "object",
                    "required": crate::course::columns_of_all().collect::<Vec<_>>(),
                    "properties": { "errors": errors_column() },
                    "additionalProperties": { "type": "array", "items": { "type": ["number", "null", "array"] } },
                },
            }),
        ),
        "Capacity": list("plans", "CapacityOfPlan"),
        "CapacityOfPlan": object(
            &["plan", "limit", "traffic", "headroom_ratio", "answers"],
            &json!({
                "plan": text(),
                "limit": { "type": ["object", "null"], "properties": {
                    "estimate": maybe_number(), "low": maybe_number(), "high": maybe_number(), "by": text(),
                } },
                "traffic": maybe_number(),
                "headroom_ratio": maybe_number(),
                "answers": { "type": "array", "items": { "type": "object", "required": ["by", "json"] } },
            }),
        ),
        "CapacityAnswer": { "type": "object", "description": "The JSON that `plimsoll capacity` or `plimsoll limit` wrote." },
        "Slas": list("slas", "SlaRow"),
        "SlaRow": object(
            &["name", "state", "budget", "burn_rates", "alerts"],
            &json!({
                "name": text(), "label": text(), "state": text(), "why": text(), "target": { "type": "number" },
                "attained": maybe_number(), "budget": { "type": "object" }, "burn_rates": {}, "alerts": { "type": "array" },
            }),
        ),
        "Sla": { "$ref": "#/components/schemas/SlaRow" },
        "Plans": {
            "type": "object",
            "required": ["plans"],
            "properties": { "plans": { "type": "array", "items": reference("Plan") }, "trouble": maybe_text() },
        },
        "Plan": object(
            &["name", "file", "facts", "wrong", "errors"],
            &json!({
                "name": text(), "file": text(), "facts": { "anyOf": [reference("PlanFacts"), { "type": "null" }] },
                "wrong": maybe_text(), "errors": { "type": "array", "items": reference("Mistake") },
            }),
        ),
        "PlanWithText": object(
            &["name", "file", "facts", "wrong", "errors", "text", "last_right", "etag"],
            &json!({
                "name": text(), "file": text(), "facts": { "anyOf": [reference("PlanFacts"), { "type": "null" }] },
                "wrong": maybe_text(), "errors": { "type": "array", "items": reference("Mistake") },
                "text": { "type": ["string", "null"], "description": "As it is in the file now." },
                "last_right": {
                    "type": ["string", "null"],
                    "description": "What is started as long as the file is wrong: its text when it was right last.",
                },
                "etag": { "type": ["string", "null"], "description": "What `If-Match` says of whoever has seen this text." },
            }),
        ),
        (PLAN_YAML): { "type": "string", "description": "A plan in YAML, at most 1 MiB." },
        "JsonSchema": { "type": "object" },
        "PlanFacts": object(
            &["plan", "sha256", "peak_rate", "peak_users", "duration_seconds", "advice"],
            &json!({
                "plan": text(), "sha256": text(), "peak_rate": { "type": "number" }, "peak_users": { "type": "integer" },
                "duration_seconds": { "type": "number" }, "advice": { "type": "array", "items": text() },
            }),
        ),
        "PlanText": closed(object(&["text"], &json!({ "name": maybe_text(), "text": text() }))),
        "StartRun": closed(object(
            &["plan"],
            &json!({
                "plan": text(), "tags": { "type": "object", "additionalProperties": text() },
                "seed": { "type": ["integer", "null"], "minimum": 0 },
            }),
        )),
        "SteerRun": closed(object(
            &["command"],
            &json!({
                "command": { "enum": ["rate", "users", "pause", "resume", "stop"] },
                "value": {
                    "type": ["string", "null"],
                    "description": "Of `rate` and `users`: `800/s` or `200`; `x1.5` or `150%` of what the plan says; `plan`.",
                },
                "scenario": { "type": ["string", "null"], "description": "Only the load that this scenario has of its own." },
            }),
        )),
        "SteeredRun": object(
            &["from", "text"],
            &json!({
                "from": { "type": "number", "description": "Seconds since the run began from which on it holds." },
                "text": text(),
            }),
        ),
        "StartedRun": object(&["id"], &json!({ "id": text() })),
        "StartedJob": object(
            &["id"],
            &json!({ "id": {
                "type": "string",
                "description": "Of a run; of a search, which is the tag `limit` of its runs; or the file of a report.",
            } }),
        ),
        "Schedules": list("schedules", "Schedule"),
        "Schedule": object(
            &[
                "name", "kind", "plan", "most", "when", "overlap", "missed", "paused", "next", "run", "search", "report",
                "last", "waits", "notes",
            ],
            &json!({
                "name": text(), "kind": { "enum": ["plan", "limit", "capacity", "sla"] }, "plan": maybe_text(),
                "most": { "type": ["string", "null"], "description": "The highest load that a search may try." },
                "when": text(), "overlap": { "enum": ["skip", "queue", "replace"] },
                "missed": { "enum": ["skip", "once"] }, "paused": { "type": "boolean" }, "next": maybe_moment(),
                "run": { "type": ["string", "null"], "description": "The run of a plan that goes on." },
                "search": {
                    "type": ["string", "null"],
                    "description": "The search that goes on: the tag `limit` of its runs.",
                },
                "report": { "type": ["string", "null"], "description": "The file of the report that is being made." },
                "last": { "anyOf": [reference("LastOfSchedule"), { "type": "null" }] },
                "waits": maybe_text(),
                "notes": { "type": "array", "items": object(&["at", "words"], &json!({ "at": moment(), "words": text() })) },
            }),
        ),
        "LastOfSchedule": object(
            &["at", "words", "run", "search", "report"],
            &json!({
                "at": moment(), "words": text(), "run": maybe_text(), "search": maybe_text(),
                "report": { "type": ["string", "null"], "description": "Where its report is." },
            }),
        ),
        "Reports": list("reports", "MadeReport"),
        "MadeReport": object(
            &["schedule", "file", "at", "bytes", "href"],
            &json!({
                "schedule": text(), "file": text(), "at": moment(), "bytes": { "type": "integer", "minimum": 0 },
                "href": text(),
            }),
        ),
        "Settings": object(
            &["version", "auth", "tls", "hosts", "targets", "limits", "ceilings", "notify", "retention"],
            &json!({
                "version": text(), "auth": { "enum": ["off", "tokens", "proxy"] }, "tls": { "type": "boolean" },
                "hosts": { "type": "array", "items": text() }, "targets": text(),
                "limits": object(
                    &["requests", "body_bytes", "connections", "listeners"],
                    &json!({
                        "requests": { "type": "number" }, "body_bytes": { "type": "integer" },
                        "connections": { "type": "integer" }, "listeners": { "type": "integer" },
                    }),
                ),
                "ceilings": { "type": ["object", "null"], "properties": {
                    "rate": maybe_number(), "users": { "type": ["integer", "null"] }, "runs": { "type": "integer" },
                } },
                "notify": { "type": "array", "items": object(
                    &["name", "channel", "on", "at_most"],
                    &json!({
                        "name": text(), "channel": channel(), "on": { "type": "array", "items": text() },
                        "at_most": { "type": "integer", "description": "Messages within any hour." },
                    }),
                ) },
                "retention": {
                    "type": ["object", "null"],
                    "description": "For how many seconds runs are kept by the second, the minute and the hour; `null`: for ever.",
                    "properties": {
                        "seconds_for": { "type": "integer" }, "minutes_for": { "type": "integer" },
                        "hours_for": { "type": "integer" }, "size_bytes": { "type": ["integer", "null"] },
                    },
                },
            }),
        ),
        "TestedReceivers": list("receivers", "TestedReceiver"),
        "TestedReceiver": object(
            &["name", "channel", "taken", "said", "seconds"],
            &json!({
                "name": text(), "channel": channel(), "taken": { "type": "boolean" }, "said": text(),
                "seconds": { "type": "number" },
            }),
        ),
        "Caller": object(
            &["name", "known_by", "scope"],
            &json!({
                "name": text(),
                "known_by": { "enum": ["local", "token", "proxy"] },
                "scope": { "enum": ["read", "run", "admin"] },
                "max_rate": maybe_number(),
                "max_users": { "type": ["integer", "null"] },
                "targets": { "type": ["array", "null"], "items": text() },
            }),
        ),
        "Tokens": list("tokens", "KeptToken"),
        "KeptToken": object(
            &["id", "name", "scope", "standing", "max_rate", "max_users", "targets", "made", "expires", "revoked"],
            &json!({
                "id": { "type": "string", "description": "The part of the token that is not secret." },
                "name": text(), "scope": { "enum": ["read", "run", "admin"] },
                "standing": { "enum": Standing::ALL.map(Standing::label) }, "max_rate": maybe_number(),
                "max_users": { "type": ["integer", "null"] },
                "targets": { "type": ["array", "null"], "items": text() },
                "made": moment(), "expires": maybe_moment(), "revoked": maybe_moment(),
            }),
        ),
        "Audit": audit,
        "AuditEntry": object(
            &["entry", "at", "who", "known_by", "action", "what", "details"],
            &json!({
                "entry": { "type": "integer" }, "at": maybe_moment(), "who": text(),
                "known_by": { "enum": ["local", "token", "proxy", "cli"] },
                "action": text(), "what": text(), "details": {},
            }),
        ),
        "AlertmanagerMessage": object(
            &["version", "alerts"],
            &json!({
                "version": { "const": "4" }, "receiver": text(),
                "alerts": { "type": "array", "maxItems": 1000, "items": object(
                    &["status", "labels", "startsAt", "fingerprint"],
                    &json!({
                        "status": { "enum": ["firing", "resolved"] },
                        "labels": { "type": "object", "additionalProperties": text() },
                        "annotations": { "type": "object", "additionalProperties": text() },
                        "startsAt": moment(),
                        "endsAt": {
                            "type": "string", "format": "date-time",
                            "description": "Of an alert that is resolved; else it does not count. In year 1: none.",
                        },
                        "generatorURL": text(),
                        "fingerprint": { "type": "string", "minLength": 1, "maxLength": 200 },
                    }),
                ) },
            }),
        ),
        "Annotations": annotations,
        "Annotation": object(
            &["fingerprint", "name", "severity", "status", "starts", "ends", "summary", "labels", "link", "receiver", "told"],
            &json!({
                "fingerprint": text(), "name": text(), "severity": maybe_text(),
                "status": { "enum": ["firing", "resolved"] }, "starts": moment(), "ends": maybe_moment(),
                "summary": maybe_text(), "labels": { "type": "object", "additionalProperties": text() },
                "link": { "type": ["string", "null"], "description": "An address of http or https." },
                "receiver": text(),
                "told": { "type": "string", "format": "date-time", "description": "When it was told last." },
            }),
        ),
        "AnnotationsOfRun": of_run,
        "AnnotationOfRun": { "allOf": [reference("Annotation"), object(
            &["from_seconds", "to_seconds"],
            &json!({
                "from_seconds": { "type": "number", "description": "Where it begins, from the start of the run; below 0 before it." },
                "to_seconds": { "type": ["number", "null"], "description": "Where it ends; null while it fires." },
            }),
        )] },
        "PrometheusTargets": { "type": "array", "items": object(
            &["targets", "labels"],
            &json!({
                "targets": { "type": "array", "items": text() },
                "labels": { "type": "object", "additionalProperties": text() },
            }),
        ) },
        "Document": { "type": "object", "required": ["openapi", "info", "paths"] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::table;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_of_the_api_is_in_the_document_and_names_are_given_once() {
        let table = table();
        let mut names = BTreeSet::new();
        for route in &table {
            assert!(
                route.doc.is_some() || !route.path.starts_with("/api/"),
                "{} is not documented",
                route.path
            );
            if let Some(doc) = route.doc {
                assert!(names.insert(doc.name), "{} is the name of two operations", doc.name);
            }
        }
        let document = document(&table);
        let said: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(said, names.len());
    }

    #[test]
    fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
        let document = document(&table());
        let text = document.to_string();
        for (name, _) in document["components"]["schemas"].as_object().unwrap() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is not used");
        }
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not there");
        }
    }

    #[test]
    fn parameters_are_written_in_json_schema() {
        for route in table() {
            for parameter in route.doc.iter().flat_map(|doc| doc.query) {
                let schema: Value = serde_json::from_str(parameter.schema).unwrap();
                assert!(schema.is_object(), "{}", parameter.name);
            }
        }
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_document_is_the_one_that_is_published() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let text = format!("{:#}\n", document(&table()));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(published == text, "docs/openapi.json is not what the routes say; UPDATE_GOLDEN=1 writes it");
    }
}
