//! Writes points to InfluxDB 1, 2 and 3: line protocol, gzip.
//!
//! A point may arrive twice, which overwrites it with itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use plimsoll_exposition::{Report, line};
use plimsoll_run::{InfluxExport, InfluxPlace, RunEvent, Secret, Started};
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

/// A write endpoint of InfluxDB.
#[derive(Debug)]
pub struct InfluxDb {
    client: Client,
    url: Url,
    secret: Option<Secret>,
}

impl InfluxDb {
    /// It does not ask whether the server is there.
    ///
    /// # Errors
    /// When the URL or what proves who we are cannot be used.
    pub fn new(settings: &InfluxExport) -> Result<Self, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(value) = authorization(&settings.place) {
            let what = "the token, user or password";
            headers.insert(AUTHORIZATION, http::secret_header(SINK, what, &value)?);
        }
        let secret = match &settings.place {
            InfluxPlace::Version1 { user, .. } => user.as_ref().map(|(_, password)| password),
            InfluxPlace::Version2 { token, .. } | InfluxPlace::Version3 { token, .. } => token.as_ref(),
        };
        Ok(Self { client: http::client(SINK, headers)?, url: write_url(settings)?, secret: secret.cloned() })
    }
}

fn authorization(place: &InfluxPlace) -> Option<String> {
    let with = |scheme: &str, token: &Secret| format!("{scheme} {}", token.expose());
    match place {
        InfluxPlace::Version1 { user, .. } => {
            user.as_ref().map(|(user, password)| http::basic(user, password.expose()))
        }
        InfluxPlace::Version2 { token, .. } => token.as_ref().map(|token| with("Token", token)),
        InfluxPlace::Version3 { token, .. } => token.as_ref().map(|token| with("Bearer", token)),
    }
}

impl Sink for InfluxDb {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        http::without_userinfo(&self.url).into()
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
            match http::post(&self.client, &self.url, HeaderMap::new(), http::gzip(&lines_of(pieces))).await {
                Ok(reply) => meaning(&reply, points),
                Err(answer) => answer,
            }
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_lines(piece)
    }

    fn redact(&self, text: &str) -> String {
        http::without(text, &self.secret)
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
    let body: Option<Value> = serde_json::from_str(&reply.body).ok();
    let said = body.as_ref().map_or_else(|| Said::text(&reply.body), Said::json);
    let refused = |meaning| Answer::refused(reply.status, meaning, &said.words);
    match reply.status {
        400 | 422 => match said.dropped.filter(|lost| *lost < points) {
            Some(lost) => Answer::Partly {
                lost,
                kind: format!("{} {}", reply.status, said.kind),
                reason: with_words(
                    reply.status,
                    "the server refused some points; they are lost",
                    &said.words,
                ),
            },
            None => refused("the server refused points; they are lost"),
        },
        401 | 403 => refused("the credentials are not accepted; points are lost"),
        404 => refused("there is no such bucket, database or organisation, or no InfluxDB; points are lost"),
        status => Answer::of_status(status, reply.retry_after(), &said.words),
    }
}

/// What a server says of a request that it did not take as it was.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// The reason, for people.
    words: String,
    /// What reasons of one kind have in common.
    kind: String,
    /// How many points it left out, taking the others.
    dropped: Option<u64>,
}

impl Said {
    fn text(body: &str) -> Self {
        Self { words: body.to_owned(), ..Self::default() }
    }

    /// InfluxDB 2 says `message`, InfluxDB 1 `error`, InfluxDB 3 `error` and a list of lines.
    fn json(body: &Value) -> Self {
        let field = |name| body.get(name).and_then(Value::as_str);
        let Some(words) = field("message").or_else(|| field("error")) else {
            return Self::text(&body.to_string());
        };
        if !words.contains("partial write") {
            return Self::text(words);
        }
        match body.get("data").and_then(Value::as_array) {
            Some(lines) if !lines.is_empty() => Self::of_lines(lines),
            _ => Self { words: words.to_owned(), kind: String::new(), dropped: dropped(words) },
        }
    }

    /// Each entry is a line that was refused: `line_number`, `original_line`, `error_message`.
    fn of_lines(lines: &[Value]) -> Self {
        let text =
            |line: &Value, name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut reasons: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for line in lines {
            reasons.entry(text(line, "error_message")).or_default().push(line);
        }
        let told = reasons.iter().map(|(reason, lines)| {
            let count = lines.len();
            let first = lines.first().map_or_else(String::new, |line| text(line, "original_line"));
            // The series is enough to find the point; its fields are many.
            format!("{count} of {:?}: {reason}", first.split_once(' ').map_or(&*first, |(series, _)| series))
        });
        Self {
            words: told.collect::<Vec<_>>().join("; "),
            kind: reasons.into_keys().collect::<Vec<_>>().join("; "),
            dropped: Some(lines.len() as u64),
        }
    }
}

/// How many points a partial write left out, as InfluxDB 1 and 2 say it: `partial write: ... dropped=3`.
/// Lines that it could not read are not among these but told each by itself.
fn dropped(words: &str) -> Option<u64> {
    let (_, count) = words.rsplit_once("dropped=")?;
    let count: u64 = count.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
    Some(count + words.matches("unable to parse '").count() as u64)
}

fn write_url(settings: &InfluxExport) -> Result<Url, SinkError> {
    let mut url = http::url(SINK, &settings.url)?;
    let (route, query): (&[&str], Vec<(&str, &str)>) = match &settings.place {
        InfluxPlace::Version1 { database, retention_policy, .. } => {
            let policy = retention_policy.as_deref().map(|policy| ("rp", policy));
            (
                &["write"],
                [("db", database.as_str())].into_iter().chain(policy).chain([("precision", "ns")]).collect(),
            )
        }
        InfluxPlace::Version2 { org, bucket, .. } => {
            (&["api", "v2", "write"], vec![("org", org), ("bucket", bucket), ("precision", "ns")])
        }
        InfluxPlace::Version3 { database, .. } => (
            &["api", "v3", "write_lp"],
            vec![("db", database), ("precision", "nanosecond"), ("accept_partial", "true")],
        ),
    };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(route);
    }
    url.set_fragment(None);
    url.query_pairs_mut().clear().extend_pairs(query);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> InfluxExport {
        let token = Some(Secret::new("hush-hush"));
        let place = InfluxPlace::Version2 { org: "o r&g".to_owned(), bucket: "b".to_owned(), token };
        InfluxExport { url: url.to_owned(), place }
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
    fn each_version_has_its_route() {
        let database = || "d b".to_owned();
        let first = |retention_policy: Option<&str>| InfluxPlace::Version1 {
            database: database(),
            retention_policy: retention_policy.map(str::to_owned),
            user: None,
        };
        let cases = [
            (first(None), "http://h/write?db=d+b&precision=ns"),
            (first(Some("a&b")), "http://h/write?db=d+b&rp=a%26b&precision=ns"),
            (
                InfluxPlace::Version3 { database: database(), token: None },
                "http://h/api/v3/write_lp?db=d+b&precision=nanosecond&accept_partial=true",
            ),
        ];
        for (place, expected) in cases {
            let settings = InfluxExport { url: "http://h".to_owned(), place };
            assert_eq!(write_url(&settings).unwrap().as_str(), expected);
        }
    }

    fn answer(body: &str, points: u64) -> Answer {
        meaning(&Reply { status: 400, headers: HeaderMap::new(), body: body.to_owned() }, points)
    }

    #[test]
    fn a_partial_write_loses_what_was_dropped() {
        let lost = |body: &str, points| match answer(body, points) {
            Answer::Partly { lost, .. } => Some(lost),
            _ => None,
        };
        let body = r#"{"code":"invalid","message":"partial write: field type conflict: input field \"x\" dropped=3"}"#;
        assert_eq!(lost(body, 10), Some(3));
        assert_eq!(lost(body, 3), None, "all of them: refused");
        let version_1 = r#"{"error":"partial write: points beyond retention policy dropped=1"}"#;
        assert_eq!(lost(version_1, 2), Some(1));
        // What cannot be read is not counted as dropped.
        let unread = r#"{"error":"partial write: unable to parse 'x': missing fields\nunable to parse 'y': missing fields dropped=0"}"#;
        assert_eq!(lost(unread, 3), Some(2));
        assert!(matches!(answer("dropped=1", 2), Answer::Refused { .. }));
        assert!(matches!(answer(r#"{"error":"partial write"}"#, 2), Answer::Refused { .. }));
    }

    /// The body is of the form that the documentation of `/api/v3/write_lp` shows.
    #[test]
    fn version_3_names_each_line_it_refused() {
        let body = r#"{"error":"partial write of line protocol occurred","data":[
            {"original_line":"plimsoll_requests,plan=a count=1i 7","line_number":2,"error_message":"invalid column type for column 'count'"},
            {"original_line":"plimsoll_requests,plan=b count=2i 7","line_number":3,"error_message":"invalid column type for column 'count'"},
            {"original_line":"plimsoll_run_info value=1 7","line_number":9,"error_message":"No fields were provided"}]}"#;
        let Answer::Partly { lost, kind, reason } = answer(body, 10) else { panic!("partly") };
        assert_eq!(lost, 3);
        assert_eq!(kind, "400 No fields were provided; invalid column type for column 'count'");
        assert_eq!(
            reason,
            "400: the server refused some points; they are lost; the server says: 1 of \"plimsoll_run_info\": \
             No fields were provided; 2 of \"plimsoll_requests,plan=a\": invalid column type for column 'count'"
        );
        assert!(matches!(answer(body, 3), Answer::Refused { .. }), "all of them");
        for odd in [
            r#"{"error":"partial write of line protocol occurred","data":[]}"#,
            "[]",
            "null",
            "{",
            r#"{"error":7}"#,
        ] {
            assert!(matches!(answer(odd, 3), Answer::Refused { .. }), "{odd}");
        }
        let odd = r#"{"error":"partial write","data":[null,7]}"#;
        assert!(matches!(answer(odd, 3), Answer::Partly { lost: 2, .. }), "counted, whatever they are");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let places = |secret: fn() -> Secret| {
            let database = || "d".to_owned();
            [
                InfluxPlace::Version1 {
                    database: database(),
                    retention_policy: None,
                    user: Some(("ann".to_owned(), secret())),
                },
                InfluxPlace::Version2 { org: database(), bucket: database(), token: Some(secret()) },
                InfluxPlace::Version3 { database: database(), token: Some(secret()) },
            ]
        };
        for place in places(|| Secret::new("hush-hush")) {
            let settings = InfluxExport { url: "http://user:hush-hush@127.0.0.1:1".to_owned(), place };
            let sink = InfluxDb::new(&settings).unwrap();
            assert_eq!(format!("{:?}", sink.secret), "Some(***)");
            assert!(!sink.identity().contains("hush"));
            assert_eq!(sink.redact("no such token: hush-hush"), "no such token: ***");
        }
        for place in places(|| Secret::new("hush\nhush")).into_iter().skip(1) {
            let settings = InfluxExport { url: "http://127.0.0.1:1".to_owned(), place };
            let error = InfluxDb::new(&settings).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }
}
