//! Documents, read back from an emulator of OpenSearch and tried on a receiver that misbehaves on demand.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_exporters::elasticsearch::Elasticsearch;
use plimsoll_exporters::{Exporters, LiveMetrics, Piece, Sink};
use plimsoll_run::{ElasticsearchExport, ExportSettings, Note, RunEvent, SearchCredentials, Secret};
use plimsoll_testkit::{Answer, OpenSearch, Receiver};
use serde_json::{Value, json};

use crate::run::{DEADLINE, Run, finish, tell};

const SECRET: &str = "a-key-nobody-may-see";

fn settings(url: &str, data_stream: bool) -> ElasticsearchExport {
    ElasticsearchExport { url: url.to_owned(), index: "load".to_owned(), data_stream, credentials: None }
}

async fn start(settings: ElasticsearchExport) -> Exporters {
    let settings = ExportSettings { elasticsearch: Some(settings), ..ExportSettings::default() };
    Exporters::start(&settings, Arc::new(LiveMetrics::new())).await.unwrap()
}

fn offer(exporters: &mut Exporters, run: &mut Run, seconds: u64) {
    tell(exporters, run, seconds);
    exporters.send(&RunEvent::Note(Note { at: 7, text: "something happened".to_owned() }));
}

#[tokio::test]
async fn every_document_is_there_once_however_often_it_is_sent() {
    let server = OpenSearch::start().await.unwrap();
    let settings = settings(&server.url(), false);
    let mut run = Run::new();
    let mut exporters = start(settings.clone()).await;
    offer(&mut exporters, &mut run, 3);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!((count.lost, exporters.notes()), (0, Vec::new()));
    let found = server.search("load", &json!({ "size": 0, "track_total_hits": true })).await.unwrap();
    assert_eq!(found["hits"]["total"]["value"], count.acknowledged);
    let requests = json!({
        "size": 0,
        "query": { "term": { "plimsoll.metric": "plimsoll_requests_total" } },
        "aggs": {
            "all": { "sum": { "field": "plimsoll.count" } },
            "failed": { "filter": { "exists": { "field": "error.type" } }, "aggs": { "sum": { "sum": { "field": "plimsoll.count" } } } },
        },
    });
    let found = server.search("load", &requests).await.unwrap();
    assert_eq!(found["aggregations"]["all"]["value"], run.requests() as f64);
    let failed: u64 =
        run.requests.iter().filter(|((outcome, _), _)| *outcome != "ok").map(|(_, count)| count).sum();
    assert_eq!(found["aggregations"]["failed"]["sum"]["value"], failed as f64);
    let within = json!({
        "size": 0,
        "query": { "term": { "plimsoll.metric": "plimsoll_response_time_seconds" } },
        "aggs": { "within": { "sum": { "field": "plimsoll.le_0_333" } } },
    });
    let found = server.search("load", &within).await.unwrap();
    assert_eq!(found["aggregations"]["within"]["value"], run.at_or_below(333_000_000) as f64);
    let told = json!({ "query": { "term": { "event.dataset": "plimsoll.run" } } });
    let found = server.search("load", &told).await.unwrap();
    assert_eq!(found["hits"]["total"]["value"], 3, "started, a note, ended: {found}");

    // The same run once more, as a replay sends it.
    let mut exporters = start(settings).await;
    let mut again = run.again();
    offer(&mut exporters, &mut again, 3);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!(count.lost, 0, "{:?}", exporters.notes());
    let found = server.search("load", &json!({ "size": 0, "track_total_hits": true })).await.unwrap();
    assert_eq!(found["hits"]["total"]["value"], count.acknowledged);
}

#[tokio::test]
async fn what_the_mapping_refuses_is_lost_by_itself() {
    let server = OpenSearch::start().await.unwrap();
    let wrong = json!({ "mappings": { "properties": { "labels": { "properties": { "step": { "type": "long" } } } } } });
    server.put("load", &wrong).await.unwrap();
    let mut run = Run::new();
    let mut exporters = start(settings(&server.url(), false)).await;
    offer(&mut exporters, &mut run, 2);
    let count = finish(&mut exporters, DEADLINE).await;
    assert!(count.lost > 0 && count.acknowledged > 0, "{count:?}");
    let found = server.search("load", &json!({ "size": 0, "track_total_hits": true })).await.unwrap();
    assert_eq!(found["hits"]["total"]["value"], count.acknowledged);
    let notes = exporters.notes();
    assert!(notes.iter().any(|note| note.contains("the server refused some documents")), "{notes:?}");
}

/// An answer to so many documents, all with this status but the first, which has another.
fn items(documents: usize, first: u16, others: u16) -> Answer {
    let item = |status: u16| match status {
        200..=299 => json!({ "index": { "status": status } }),
        _ => json!({ "index": { "status": status, "error": { "type": "a_type", "reason": "a reason" } } }),
    };
    let items: Vec<Value> = (0..documents).map(|at| item(if at == 0 { first } else { others })).collect();
    Answer::Body(200, json!({ "errors": true, "items": items }).to_string())
}

/// So many documents in one piece.
fn piece(documents: u64) -> Piece {
    let lines: Vec<_> =
        (0..documents).map(|at| format!("{{\"index\":{{\"_id\":{at}}}}}\n{{\"at\":{at}}}")).collect();
    Piece { points: documents, lane: 0, body: lines.join("\n").into_bytes() }
}

/// What becomes of two pieces of two documents each, and what was sent after the template.
async fn send(script: Vec<Answer>) -> (plimsoll_exporters::Answer, Vec<String>) {
    let receiver = Receiver::start(script).await.unwrap();
    let sink = Elasticsearch::new(&settings(&receiver.url(), false)).unwrap();
    let answer = sink.send(&[piece(2), piece(2)]).await;
    let sent = receiver.received()[1..].iter().map(|one| one.text().unwrap()).collect();
    (answer, sent)
}

#[tokio::test]
async fn documents_that_a_busy_server_puts_off_go_again_alone() {
    let (answer, sent) =
        send(vec![Answer::Status(200), items(4, 429, 201), items(1, 503, 201), items(1, 201, 201)]).await;
    assert_eq!(answer, plimsoll_exporters::Answer::Taken);
    let counts: Vec<_> = sent.iter().map(|text| text.lines().count() / 2).collect();
    assert_eq!(counts, [4, 1, 1]);
    assert_eq!(sent[1], "{\"index\":{\"_id\":0}}\n{\"at\":0}\n");
    let (answer, sent) = send(vec![Answer::Status(200), items(4, 429, 201), items(1, 429, 201)]).await;
    assert!(matches!(answer, plimsoll_exporters::Answer::Later { .. }), "{answer:?}");
    assert_eq!(sent.len(), 4, "then all of it waits");
}

#[tokio::test]
async fn a_document_that_is_refused_costs_itself_alone() {
    let (answer, sent) = send(vec![Answer::Status(200), items(4, 400, 201)]).await;
    let plimsoll_exporters::Answer::Partly { lost: 1, kind, reason } = answer else { panic!("{answer:?}") };
    assert_eq!((kind.as_str(), sent.len()), ("400 a_type", 1));
    assert!(reason.contains("some documents; they are lost: 400 a_type: a reason"), "{reason}");
    let (answer, _) = send(vec![Answer::Status(200), items(4, 409, 201)]).await;
    assert_eq!(answer, plimsoll_exporters::Answer::Taken, "it is there");
}

/// Nothing is known of the documents then, and they overwrite themselves.
#[tokio::test]
async fn an_answer_that_breaks_off_or_is_too_long_loses_nothing() {
    let half = Answer::Half("{\"errors\":true,\"items\":[{\"index\":{\"status\":201}},".to_owned());
    let (answer, _) = send(vec![Answer::Status(200), half]).await;
    let plimsoll_exporters::Answer::Later { reason, .. } = answer else { panic!("{answer:?}") };
    assert!(reason.starts_with("the answer broke off, points wait"), "{reason}");
    let long = format!("{{\"items\":[{}]}}", " ".repeat(1 << 20));
    let (answer, _) = send(vec![Answer::Status(200), Answer::Body(200, long)]).await;
    assert_eq!(answer, plimsoll_exporters::Answer::TooLarge);
}

#[tokio::test]
async fn a_template_that_is_refused_is_told_and_documents_go_out() {
    let refused = Answer::Body(403, r#"{"error":{"reason":"no templates for you"}}"#.to_owned());
    let (answer, _) = send(vec![refused, items(4, 201, 201)]).await;
    let plimsoll_exporters::Answer::Partly { lost: 0, kind, reason } = answer else { panic!("{answer:?}") };
    assert_eq!(kind, "template");
    assert!(
        reason.starts_with("403: the index template is refused") && reason.contains("no templates for you"),
        "{reason}"
    );
    let (answer, sent) = send(vec![Answer::Status(503)]).await;
    assert!(matches!(answer, plimsoll_exporters::Answer::Later { .. }), "{answer:?}");
    assert_eq!(sent.len(), 0, "a server that is not ready is not asked more");
}

#[test]
fn a_piece_is_halved_between_documents() {
    let sink = Elasticsearch::new(&settings("http://127.0.0.1:1", false)).unwrap();
    let [first, second] = sink.halves(&piece(3)).unwrap();
    assert_eq!((first.points, first), (1, piece(1)));
    assert_eq!(second.points, 2);
    assert!(second.body.starts_with(b"{\"index\":{\"_id\":1}}"));
    assert_eq!(sink.halves(&piece(1)), None);
}

#[tokio::test]
async fn a_request_is_as_the_server_wants_it() {
    let receiver = Receiver::start([Answer::Status(200), Answer::Status(401)]).await.unwrap();
    for (credentials, expected) in [
        (SearchCredentials::ApiKey(Secret::new(SECRET)), format!("ApiKey {SECRET}")),
        (SearchCredentials::Token(Secret::new(SECRET)), format!("Bearer {SECRET}")),
        (
            SearchCredentials::User("ann".to_owned(), Secret::new(SECRET)),
            "Basic YW5uOmEta2V5LW5vYm9keS1tYXktc2Vl".to_owned(),
        ),
    ] {
        let before = receiver.received().len();
        receiver.answer_with([Answer::Status(200), Answer::Body(401, format!("no such key {SECRET}"))]);
        let mut exporters =
            start(ElasticsearchExport { credentials: Some(credentials), ..settings(&receiver.url(), true) })
                .await;
        offer(&mut exporters, &mut Run::new(), 1);
        let count = finish(&mut exporters, DEADLINE).await;
        assert_eq!((count.acknowledged, count.lost), (0, count.produced));
        let notes = exporters.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("elasticsearch: 401: the credentials are not accepted"), "{notes:?}");
        assert!(!notes[0].contains(SECRET), "{notes:?}");
        let received = receiver.received();
        let [template, bulk, ..] = &received[before..] else { panic!("{received:?}") };
        assert_eq!((template.method.as_str(), template.uri.path()), ("PUT", "/_index_template/load"));
        let template: Value = serde_json::from_str(&template.text().unwrap()).unwrap();
        assert_eq!(template["data_stream"], json!({}));
        assert_eq!((bulk.method.as_str(), bulk.uri.path()), ("POST", "/_bulk"));
        assert_eq!(bulk.headers["authorization"], expected);
        assert_eq!(bulk.headers["content-type"], "application/x-ndjson");
        let text = bulk.text().unwrap();
        assert!(
            text.starts_with(r#"{"create":{"_index":"load","_id":"run-"#) && text.ends_with("}\n"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_taken_now_waits_and_what_is_refused_is_lost() {
    for (answer, expected) in [
        (Answer::Status(503), "503: the server cannot take points now; they wait"),
        (Answer::Stall, "were not taken within"),
        (Answer::Close, "no connection"),
        (Answer::Status(404), "404: there is nothing that takes points under this URL"),
        (Answer::Body(200, "<html>".to_owned()), "this is no answer to a bulk request"),
    ] {
        let receiver = Receiver::start([Answer::Status(200), answer.clone()]).await.unwrap();
        let mut exporters = start(settings(&receiver.url(), false)).await;
        offer(&mut exporters, &mut Run::new(), 1);
        let count = finish(&mut exporters, Duration::from_secs(1)).await;
        assert_eq!(count.lost, count.produced, "{answer:?} {count:?}");
        let notes = exporters.notes().join("\n");
        assert!(notes.contains(expected), "{answer:?}: {notes}");
    }
    let receiver = Receiver::start([Answer::Status(200), Answer::Status(413)]).await.unwrap();
    let mut exporters = start(settings(&receiver.url(), false)).await;
    offer(&mut exporters, &mut Run::new(), 0);
    let count = finish(&mut exporters, DEADLINE).await;
    assert_eq!(count.lost, count.produced, "nothing is small enough");
}
