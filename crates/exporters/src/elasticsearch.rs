//! Indexes documents in Elasticsearch and OpenSearch: `POST /_bulk`, gzip.
//!
//! A document may arrive twice: its id is the same, so it overwrites itself, and in a data stream, which
//! takes only what is new, a conflict says that it is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use plimsoll_exposition::Report;
use plimsoll_exposition::documents::{self, Document};
use plimsoll_run::{ElasticsearchExport, RunEvent, SearchCredentials, Secret, Started};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::answer::{Backoff, shown, with_words};
use crate::http::{self, Reply};
use crate::sink::{halves_of_entries, lines_as_pieces, lines_of};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError, lock};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "elasticsearch";

/// Of one request: its answer has an entry for each document, and must be read whole.
const LIMITS: Limits = Limits { points: 2_000, bytes: 4 << 20, lanes: 1 };

/// An action and a document.
const LINES_EACH: u64 = 2;

/// How often documents that a busy server put off are sent again by themselves, before all of the request is.
const TRIES: usize = 4;

/// A cluster.
#[derive(Debug)]
pub struct Elasticsearch {
    client: Client,
    bulk: Url,
    template: Url,
    settings: ElasticsearchExport,
    /// Whether the template was put, or cannot be.
    settled: AtomicBool,
    /// Why it cannot be, until it is told.
    trouble: Mutex<Option<String>>,
}

impl Elasticsearch {
    /// It does not ask whether the server is there.
    ///
    /// # Errors
    /// When the URL, the index's name or what proves who we are cannot be used.
    pub fn new(settings: &ElasticsearchExport) -> Result<Self, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let authorization = settings.credentials.as_ref().map(|credentials| match credentials {
            SearchCredentials::Token(token) => format!("Bearer {}", token.expose()),
            SearchCredentials::ApiKey(key) => format!("ApiKey {}", key.expose()),
            SearchCredentials::User(user, password) => http::basic(user, password.expose()),
        });
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, http::secret_header(SINK, "the token, key or password", &value)?);
        }
        let below = |route: &[&str]| {
            let mut url = http::url(SINK, &settings.url)?;
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(route);
            }
            url.set_fragment(None);
            url.set_query(None);
            Ok(url)
        };
        let mut bulk = below(&["_bulk"])?;
        bulk.set_query(Some("filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"));
        Ok(Self {
            client: http::client(SINK, headers)?,
            bulk,
            template: below(&["_index_template", &settings.index])?,
            settings: settings.clone(),
            settled: AtomicBool::new(false),
            trouble: Mutex::default(),
        })
    }

    fn secret(&self) -> Option<&Secret> {
        self.settings.credentials.as_ref().map(|credentials| match credentials {
            SearchCredentials::Token(secret)
            | SearchCredentials::ApiKey(secret)
            | SearchCredentials::User(_, secret) => secret,
        })
    }

    /// Puts the index template, once. What goes wrong with it is told, and documents go out all the same.
    ///
    /// # Errors
    /// When the server is not there or not ready: then nothing else would be taken either.
    async fn put_template(&self) -> Result<(), Answer> {
        if self.settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let template = documents::template(&self.settings.index, self.settings.data_stream);
        let request = self.client.put(self.template.clone()).headers(content("application/json"));
        let request = request.body(http::gzip(template.to_string().as_bytes()));
        let reply = http::send(request).await?.into_text();
        match Answer::of_status(reply.status, reply.retry_after(), &words(&reply.body)) {
            Answer::Taken => {}
            later @ Answer::Later { .. } => return Err(later),
            Answer::TooLarge | Answer::Partly { .. } | Answer::Refused { .. } => {
                let meaning =
                    "the index template is refused, so fields get the kinds that the server guesses";
                *lock(&self.trouble) = Some(with_words(reply.status, meaning, &words(&reply.body)));
            }
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Sends entries until the fate of each is known, or the server does not answer.
    async fn index(&self, mut entries: Vec<Entry<'_>>) -> Result<Refusals, Answer> {
        let mut refused = Refusals::default();
        let mut backoff = Backoff::default();
        for _ in 0..TRIES {
            let mut body = Vec::new();
            for entry in &entries {
                body.extend_from_slice(entry.0);
                body.push(b'\n');
            }
            let reply =
                http::post(&self.client, &self.bulk, content("application/x-ndjson"), http::gzip(&body))
                    .await?;
            let outcomes = outcomes(&reply, entries.len())?;
            entries = outcomes
                .into_iter()
                .zip(entries)
                .filter_map(|(item, entry)| refused.settle(item, entry))
                .collect();
            if entries.is_empty() {
                return Ok(refused);
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
        // The documents that were taken are taken again as they are.
        let reason = format!("the server puts {} documents off again and again; they wait", entries.len());
        Err(Answer::Later { kind: "429".to_owned(), reason, after: None })
    }
}

fn content(kind: &'static str) -> HeaderMap {
    [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect()
}

/// An action and its document, one below the other.
struct Entry<'a>(&'a [u8]);

/// The entries of a body.
fn entries(body: &[u8]) -> Vec<Entry<'_>> {
    let mut lines = body.split(|byte| *byte == b'\n');
    let mut entries = Vec::new();
    let mut start = 0;
    while let (Some(action), Some(document)) = (lines.next(), lines.next()) {
        let end = start + action.len() + 1 + document.len();
        entries.push(Entry(&body[start..end]));
        start = end + 1;
    }
    entries
}

/// What a server says of one document.
struct Item {
    status: u16,
    kind: String,
    reason: String,
}

/// What a server says of each document.
///
/// # Errors
/// When it says it of all at once.
fn outcomes(reply: &Reply, sent: usize) -> Result<Vec<Item>, Answer> {
    match Answer::of_status(reply.status, reply.retry_after(), &words(&reply.body)) {
        Answer::Taken => {}
        answer => return Err(answer),
    }
    if reply.body.len() >= http::BODY_BYTES {
        // What it says of fewer documents can be read whole, and those that were taken are taken again as they are.
        return Err(Answer::TooLarge);
    }
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let items = body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.len() != sent {
        return Err(Answer::Refused {
            kind: "no bulk".to_owned(),
            reason: format!(
                "{}: this is no answer to a bulk request; points are lost: {}",
                reply.status,
                shown(&reply.body)
            ),
        });
    }
    Ok(items.iter().map(item).collect())
}

fn item(item: &Value) -> Item {
    let result = item.as_object().and_then(|item| item.values().next());
    let status = result.and_then(|result| result.get("status")).and_then(Value::as_u64);
    let error = result.and_then(|result| result.get("error"));
    let text =
        |name| error.and_then(|error| error.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned();
    Item {
        // One that says nothing is not taken.
        status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(400),
        kind: text("type"),
        reason: text("reason"),
    }
}

/// Documents that never will be taken, by kind of reason.
#[derive(Debug, Default)]
struct Refusals {
    lost: u64,
    /// The first reason of each kind.
    reasons: BTreeMap<String, String>,
}

impl Refusals {
    /// Notes what became of a document; gives it back where it may be taken yet.
    fn settle<'a>(&mut self, item: Item, entry: Entry<'a>) -> Option<Entry<'a>> {
        match item.status {
            // A data stream has it already.
            200..=299 | 409 => None,
            429 | 500..=599 => Some(entry),
            status => {
                self.lost += 1;
                self.reasons.entry(format!("{status} {}", item.kind)).or_insert(item.reason);
                None
            }
        }
    }
}

impl Refusals {
    /// What they mean for so many points, with the trouble there was besides.
    fn answer(self, points: u64, trouble: Option<String>) -> Answer {
        if self.lost == 0 {
            return match trouble {
                None => Answer::Taken,
                Some(reason) => Answer::Partly { lost: 0, kind: "template".to_owned(), reason },
            };
        }
        let what = if self.lost < points { "some documents" } else { "documents" };
        let reasons: Vec<_> = self.reasons.iter().map(|(kind, reason)| format!("{kind}: {reason}")).collect();
        let refused = format!("the server refused {what}; they are lost: {}", reasons.join("; "));
        Answer::Partly {
            lost: self.lost,
            kind: self.reasons.into_keys().collect::<Vec<_>>().join("; "),
            reason: trouble.into_iter().chain([refused]).collect::<Vec<_>>().join("; "),
        }
    }
}

impl Sink for Elasticsearch {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        format!("{} {}", http::without_userinfo(&self.bulk), self.settings.index)
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        let action = if self.settings.data_stream { "create" } else { "index" };
        Box::new(Documents { started: Arc::clone(started), action, index: self.settings.index.clone() })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let points: u64 = pieces.iter().map(|piece| piece.points).sum();
            let body = lines_of(pieces);
            if let Err(answer) = self.put_template().await {
                return answer;
            }
            match self.index(entries(&body)).await {
                Ok(refused) => refused.answer(points, lock(&self.trouble).take()),
                Err(answer) => answer,
            }
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_entries(piece, LINES_EACH)
    }

    fn redact(&self, text: &str) -> String {
        http::without(text, self.secret())
    }
}

/// The reason in a body: `error.reason`, `error` as text, else the body.
fn words(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let error = json.as_ref().and_then(|body| body.get("error"));
    let reason = error.and_then(|error| error.get("reason").or(Some(error))).and_then(Value::as_str);
    reason.map_or_else(|| body.to_owned(), str::to_owned)
}

/// A document per event that says something and per reading, and no state.
#[derive(Debug)]
struct Documents {
    started: Arc<Started>,
    action: &'static str,
    index: String,
}

impl Encoder for Documents {
    fn encode(&mut self, event: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        if let RunEvent::Resumed(resumed) = event {
            self.started = Arc::new(self.started.seen_from(resumed));
        }
        let told = documents::event(&self.started, event);
        let points = report.map(|report| documents::points(&self.started, report)).unwrap_or_default();
        let entry = |Document { id, fields }: Document| {
            let action = json!({ self.action: { "_index": self.index, "_id": id } });
            format!("{action}\n{fields}")
        };
        let entries: Vec<String> = told.into_iter().chain(points).map(entry).collect();
        lines_as_pieces(&entries, LIMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, headers: HeaderMap::new(), body: body.to_owned() }
    }

    #[test]
    fn a_body_is_taken_apart_where_it_was_put_together() {
        let bodies = [b"a\nb\nc\nd".as_slice(), b"", b"a\nb", b"a", b"\n"];
        assert_eq!(bodies.map(|body| entries(body).len()), [2, 0, 1, 0, 1]);
        assert_eq!(entries(bodies[0])[1].0, b"c\nd");
    }

    #[test]
    fn each_document_has_its_fate() {
        let body = r#"{"errors":true,"items":[{"index":{"status":201}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"exists"}}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"busy"}}},
            {"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse"}}},{},7]}"#;
        let mut refused = Refusals::default();
        let outcomes = outcomes(&reply(200, body), 6).unwrap();
        let again = outcomes.into_iter().filter_map(|item| refused.settle(item, Entry(b"x"))).count();
        assert_eq!((again, refused.lost), (1, 3), "what says nothing is not taken");
        let Answer::Partly { lost: 3, kind, reason } = refused.answer(6, None) else { panic!("partly") };
        assert_eq!(kind, "400 ; 400 document_parsing_exception");
        assert!(reason.contains("400 document_parsing_exception: failed to parse"), "{reason}");
    }

    #[test]
    fn what_is_no_bulk_answer_takes_nothing() {
        for (status, body) in
            [(200, "<html>"), (200, "{}"), (200, r#"{"items":[]}"#), (200, r#"{"items":[{},{}]}"#)]
        {
            assert!(matches!(outcomes(&reply(status, body), 1), Err(Answer::Refused { .. })), "{body}");
        }
        assert!(matches!(outcomes(&reply(413, ""), 1), Err(Answer::TooLarge)));
        assert!(matches!(outcomes(&reply(429, ""), 1), Err(Answer::Later { .. })));
        let Err(Answer::Refused { reason, .. }) = outcomes(&reply(400, r#"{"error":{"reason":"bad"}}"#), 1)
        else {
            panic!("refused")
        };
        assert!(reason.ends_with("the server says: bad"), "{reason}");
    }
}
