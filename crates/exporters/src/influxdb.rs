//! Writes points to InfluxDB: `POST /api/v2/write`, line protocol, gzip.
//!
//! A point may arrive twice, which overwrites it with itself.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use plimsoll_exposition::{Report, line};
use plimsoll_run::{InfluxExport, RunEvent, Secret, Started};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value;

use crate::answer::with_words;
use crate::http::{self, Reply};
use crate::sink::{halves_of_lines, lines_as_pieces, lines_of};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "influxdb";

/// Of one request: the points are InfluxDB's own advice, the bytes well below the 10 MB or so that proxies stop at.
const LIMITS: Limits = Limits { points: 5_000, bytes: 1 << 20, lanes: 1 };

/// An InfluxDB v2 write endpoint.
#[derive(Debug)]
pub struct InfluxDb {
    client: Client,
    url: Url,
    token: Option<Secret>,
}

impl InfluxDb {
    /// It does not ask whether the server is there.
    ///
    /// # Errors
    /// When URL or token cannot be used.
    pub fn new(settings: &InfluxExport) -> Result<Self, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(token) = &settings.token {
            let mut value = HeaderValue::from_str(&format!("Token {}", token.expose())).map_err(|_| {
                SinkError::new(SINK, "the token holds characters that no HTTP header may hold")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            client: http::client(SINK, headers)?,
            url: write_url(settings)?,
            token: settings.token.clone(),
        })
    }
}

impl Sink for InfluxDb {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        let mut url = self.url.clone();
        // A URL without a host cannot have credentials, and this one has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        Box::new(Lines { run: started.info.id.clone() })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let points = pieces.iter().map(|piece| piece.points).sum();
            match http::post(&self.client, &self.url, HeaderMap::new(), gzip(&lines_of(pieces))).await {
                Ok(reply) => meaning(&reply, points),
                Err(answer) => answer,
            }
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_lines(piece)
    }

    fn redact(&self, text: &str) -> String {
        match self.token.as_ref().map(Secret::expose).filter(|token| !token.is_empty()) {
            // A server may quote what it was sent.
            Some(token) => text.replace(token, "***"),
            None => text.to_owned(),
        }
    }
}

/// A point per reading, and no state.
#[derive(Debug)]
struct Lines {
    run: String,
}

impl Encoder for Lines {
    fn encode(&mut self, _: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let lines = report.map(|report| line::encode(report, &self.run)).unwrap_or_default();
        lines_as_pieces(&lines, LIMITS)
    }
}

/// What an answer to so many points means.
fn meaning(reply: &Reply, points: u64) -> Answer {
    let said = words(&reply.body);
    let refused = |meaning| Answer::refused(reply.status, meaning, &said);
    match reply.status {
        400 | 422 => match dropped(&said).filter(|lost| *lost < points) {
            Some(lost) => Answer::Partly {
                lost,
                kind: reply.status.to_string(),
                reason: with_words(reply.status, "the server refused some points; they are lost", &said),
            },
            None => refused("the server refused points; they are lost"),
        },
        401 | 403 => refused("the token is not accepted; points are lost"),
        404 => refused("there is no such bucket or organisation, or no InfluxDB; points are lost"),
        status => Answer::of_status(status, reply.retry_after(), &said),
    }
}

/// How many points a partial write left out, as InfluxDB 1 and 2 say it: `partial write: ... dropped=3`.
fn dropped(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("partial write")?;
    let (_, count) = rest.rsplit_once("dropped=")?;
    count.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The reason in a body: of InfluxDB 2 `message`, of InfluxDB 1 `error`, else the text.
fn words(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    field("message").or_else(|| field("error")).unwrap_or_else(|| body.to_owned())
}

fn write_url(settings: &InfluxExport) -> Result<Url, SinkError> {
    let mut url = http::url(SINK, &settings.url)?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v2", "write"]);
    }
    url.set_fragment(None);
    url.query_pairs_mut()
        .clear()
        .append_pair("org", &settings.org)
        .append_pair("bucket", &settings.bucket)
        .append_pair("precision", "ns");
    Ok(url)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> InfluxExport {
        InfluxExport {
            url: url.to_owned(),
            org: "o r&g".to_owned(),
            bucket: "b".to_owned(),
            token: Some(Secret::new("hush-hush")),
        }
    }

    #[test]
    fn the_write_route_is_below_the_url() {
        let cases = [
            ("http://h:8086", "http://h:8086/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
            ("https://h/influx/", "https://h/influx/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
            ("http://h/x?y=z#f", "http://h/x/api/v2/write?org=o+r%26g&bucket=b&precision=ns"),
        ];
        for (given, expected) in cases {
            assert_eq!(write_url(&settings(given)).unwrap().as_str(), expected);
        }
        for wrong in ["", "h:8086", "ftp://h", "http://", "/relative"] {
            assert!(write_url(&settings(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_partial_write_loses_what_was_dropped() {
        let answer = |body: &str, points| {
            meaning(&Reply { status: 400, headers: HeaderMap::new(), body: body.to_owned() }, points)
        };
        let lost = |body: &str, points| match answer(body, points) {
            Answer::Partly { lost, .. } => Some(lost),
            _ => None,
        };
        let body = r#"{"code":"invalid","message":"partial write: field type conflict: input field \"x\" dropped=3"}"#;
        assert_eq!(lost(body, 10), Some(3));
        assert_eq!(lost(body, 3), None, "all of them: refused");
        let version_1 = r#"{"error":"partial write: unable to parse 'x': missing fields dropped=1"}"#;
        assert_eq!(lost(version_1, 2), Some(1));
        assert!(matches!(answer("dropped=1", 2), Answer::Refused { .. }));
    }

    #[test]
    fn nothing_shows_the_token() {
        let mut settings = settings("http://user:hush-hush@127.0.0.1:1");
        let sink = InfluxDb::new(&settings).unwrap();
        assert_eq!(format!("{:?}", sink.token), "Some(***)");
        assert!(!sink.identity().contains("hush"));
        assert_eq!(sink.redact("no such token: hush-hush"), "no such token: ***");
        settings.token = Some(Secret::new("hush\nhush"));
        let error = InfluxDb::new(&settings).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
