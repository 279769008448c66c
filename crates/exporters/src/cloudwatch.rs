//! Puts metrics into Amazon CloudWatch: `PutMetricData` as JSON 1.0, gzip, signed with Signature Version 4.
//!
//! A point that arrives twice counts twice: CloudWatch adds it to what it has. Of the protocols that CloudWatch speaks this is
//! the one in which a point is the same bytes wherever in a request it stands, so that it can wait as it will be sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use futures_util::future::BoxFuture;
use plimsoll_exposition::{Report, cloudwatch};
use plimsoll_run::{AwsCredentials, CloudWatchExport, RunEvent, Secret, Started};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value;

use crate::answer::with_words;
use crate::http::{self, Reply};
use crate::sink::{halves_of_lines, lines_as_pieces, lines_of};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "cloudwatch";

/// Of one request: CloudWatch takes 1,000 metrics and 1 MB, of which a thousand bytes are for what stands around the points.
const LIMITS: Limits = Limits { points: 1_000, bytes: 999_000, lanes: 1 };

/// CloudWatch's name in signatures.
const SERVICE: &str = "monitoring";

const TARGET: &str = "GraniteServiceVersion20100801.PutMetricData";

/// Points that are older than two weeks are not taken, nor those more than two hours ahead; less by what clocks may differ.
const OLDEST: Duration = Duration::from_secs(14 * 24 * 3600 - CLOCKS_DIFFER);
const FARTHEST_AHEAD: Duration = Duration::from_secs(2 * 3600 - CLOCKS_DIFFER);

/// Seconds; a signature that is further off is refused anyway.
const CLOCKS_DIFFER: u64 = 300;

/// CloudWatch in a region.
#[derive(Debug)]
pub struct CloudWatch {
    client: Client,
    url: Url,
    region: String,
    credentials: AwsCredentials,
    settings: CloudWatchExport,
}

impl CloudWatch {
    /// It does not ask whether CloudWatch is there. Region and credentials that the plan does not have are those of the environment.
    ///
    /// # Errors
    /// When there is no region, there are no credentials, or they cannot be used.
    pub fn new(settings: &CloudWatchExport) -> Result<Self, SinkError> {
        Self::with_environment(settings, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_environment(
        settings: &CloudWatchExport,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SinkError> {
        let region = settings.region.clone();
        let region = region.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region
            .ok_or_else(|| SinkError::new(SINK, "there is no region: write `region`, or set AWS_REGION"))?;
        let credentials = settings.credentials.clone().or_else(|| credentials_of(variable));
        let credentials = credentials.ok_or_else(|| {
            let reason = "there are no credentials: write `access_key_id` and `secret_access_key`, or set AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY";
            SinkError::new(SINK, reason)
        })?;
        let endpoint = settings.endpoint.clone().unwrap_or_else(|| {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{SERVICE}.{region}.{domain}")
        });
        let sink = Self {
            client: http::client(SINK, HeaderMap::new())?,
            url: http::url(SINK, &endpoint)?,
            region,
            credentials,
            settings: settings.clone(),
        };
        // What cannot be signed now never can.
        sink.headers(b"", SystemTime::now()).map_err(|reason| SinkError::new(SINK, reason))?;
        Ok(sink)
    }

    /// The headers of a request with this body, signed for this moment. The client adds `Host`, which is signed too.
    ///
    /// # Errors
    /// When something of it cannot be in a header; no secret is told.
    fn headers(&self, body: &[u8], now: SystemTime) -> Result<HeaderMap, &'static str> {
        const UNSIGNABLE: &str =
            "the endpoint, the keys or the token hold characters that no request may hold";
        let host = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let own = [
            ("content-encoding", "gzip"),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", TARGET),
        ];
        let AwsCredentials { access_key_id, secret_access_key, session_token } = &self.credentials;
        let token = session_token.as_ref().map(|token| token.expose().to_owned());
        let identity =
            Credentials::new(access_key_id.expose(), secret_access_key.expose(), token, None, "plimsoll")
                .into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| UNSIGNABLE)?
            .into();
        let signed = own.into_iter().chain([("host", host.as_str())]);
        let request = SignableRequest::new("POST", self.url.as_str(), signed, SignableBody::Bytes(body))
            .map_err(|_| UNSIGNABLE)?;
        let (signature, _) = sign(request, &parameters).map_err(|_| UNSIGNABLE)?.into_parts();
        let mut headers = HeaderMap::new();
        for (name, value) in own.into_iter().chain(signature.headers()) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UNSIGNABLE)?;
            let mut value = HeaderValue::from_str(value).map_err(|_| UNSIGNABLE)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn body(&self, data: &[&[u8]]) -> Vec<u8> {
        let namespace = Value::from(self.settings.namespace.as_str());
        let mut body = format!(r#"{{"Namespace":{namespace},"MetricData":["#).into_bytes();
        body.extend_from_slice(&data.join(&b','));
        body.extend_from_slice(b"]}");
        body
    }

    async fn put(&self, data: &[&[u8]]) -> Answer {
        let body = http::gzip(&self.body(data));
        let headers = match self.headers(&body, SystemTime::now()) {
            Ok(headers) => headers,
            Err(reason) => {
                return Answer::Refused { kind: "signature".to_owned(), reason: reason.to_owned() };
            }
        };
        match http::post(&self.client, &self.url, headers, body).await {
            Ok(reply) => meaning(&reply),
            Err(answer) => answer,
        }
    }
}

/// As every program that uses AWS reads them.
fn credentials_of(variable: &dyn Fn(&str) -> Option<String>) -> Option<AwsCredentials> {
    Some(AwsCredentials {
        access_key_id: Secret::new(variable("AWS_ACCESS_KEY_ID")?),
        secret_access_key: Secret::new(variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

impl Sink for CloudWatch {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        let url = http::without_userinfo(&self.url);
        format!("{url} {} {}", self.region, self.settings.namespace)
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        Box::new(Data(cloudwatch::Encoder::new(started, &self.settings)))
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let lines = lines_of(pieces);
            let data: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
            let now = SystemTime::now();
            let (timely, others): (Vec<&[u8]>, Vec<&[u8]>) =
                data.into_iter().partition(|datum| is_timely(datum, now));
            let lost = others.len() as u64;
            if timely.is_empty() {
                return Answer::Refused { kind: UNTIMELY.to_owned(), reason: untimely(lost) };
            }
            match self.put(&timely).await {
                Answer::Taken if lost > 0 => {
                    Answer::Partly { lost, kind: UNTIMELY.to_owned(), reason: untimely(lost) }
                }
                answer => answer,
            }
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_lines(piece)
    }

    fn redact(&self, text: &str) -> String {
        let AwsCredentials { access_key_id, secret_access_key, session_token } = &self.credentials;
        http::without(text, [access_key_id, secret_access_key].into_iter().chain(session_token))
    }
}

/// What points that CloudWatch would refuse for their time have in common.
const UNTIMELY: &str = "time";

fn untimely(lost: u64) -> String {
    format!(
        "CloudWatch takes no points that are two weeks old or two hours ahead: {lost} points were not sent and are lost"
    )
}

/// Whether CloudWatch takes a datum now. The encoder writes its time first.
fn is_timely(datum: &[u8], now: SystemTime) -> bool {
    let seconds = || {
        let rest = datum.strip_prefix(br#"{"Timestamp":"#)?;
        let length = rest.iter().position(|byte| *byte == b',')?;
        str::from_utf8(&rest[..length]).ok()?.parse::<f64>().ok()
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    seconds()
        .is_some_and(|at| (now - OLDEST.as_secs_f64()..=now + FARTHEST_AHEAD.as_secs_f64()).contains(&at))
}

/// What an answer means. Errors have a code: it says more than the status, which is 400 even where one should come back later.
fn meaning(reply: &Reply) -> Answer {
    if (200..300).contains(&reply.status) {
        return Answer::Taken;
    }
    let Said { code, words } = Said::of(reply);
    let later = |meaning| Answer::Later {
        kind: format!("{} {code}", reply.status),
        reason: with_words(reply.status, meaning, &words),
        after: None,
    };
    let is_of_clock = words.contains("Signature expired") || words.contains("Signature not yet current");
    match (reply.status, code.as_str()) {
        (413, _) => Answer::TooLarge,
        (400..=499, code) if code.contains("Throttl") || code == "RequestLimitExceeded" => {
            later("CloudWatch cannot take so much now; points wait")
        }
        (400..=499, "ExpiredToken" | "ExpiredTokenException") => {
            later("the session token has expired; points wait for new credentials")
        }
        (400..=499, "RequestExpired" | "RequestTimeTooSkewed") => {
            later("this machine's clock is not CloudWatch's; points wait")
        }
        (400..=499, _) if is_of_clock => later("this machine's clock is not CloudWatch's; points wait"),
        (400..=428 | 430..=499, code) if !code.is_empty() => {
            let meaning = match code {
                "AccessDenied" | "AccessDeniedException" => {
                    "the credentials may not use cloudwatch:PutMetricData; points are lost"
                }
                "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
                    "the credentials are not accepted; points are lost"
                }
                _ => "CloudWatch refused points; they are lost",
            };
            Answer::Refused {
                kind: format!("{} {code}", reply.status),
                reason: with_words(reply.status, meaning, &words),
            }
        }
        (status, _) => Answer::of_status(status, reply.retry_after(), &words),
    }
}

/// An error.
struct Said {
    /// Empty where there is none.
    code: String,
    /// The code and the reason, for people.
    words: String,
}

impl Said {
    /// JSON has `__type` and `message`; what stands before CloudWatch may answer in XML all the same, with `Code` and `Message`.
    fn of(reply: &Reply) -> Self {
        let json: Option<Value> = serde_json::from_str(&reply.body).ok();
        let field = |names: [&str; 2]| {
            let json = json.as_ref()?;
            names.into_iter().find_map(|name| json.get(name)?.as_str()).map(str::to_owned)
        };
        let header = reply.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let code = field(["__type", "code"])
            .or_else(|| header.map(str::to_owned))
            .or_else(|| element(&reply.body, "Code"))
            .unwrap_or_default();
        // `com.amazonaws.cloudwatch#InvalidParameterValueException:http://…` is the longest form of one.
        let code = code.split(':').next().and_then(|code| code.rsplit('#').next()).unwrap_or_default();
        let message = field(["message", "Message"]).or_else(|| element(&reply.body, "Message"));
        let words = match message {
            Some(message) if !code.is_empty() => format!("{code}: {message}"),
            Some(message) => message,
            None if json.is_some() && !code.is_empty() => code.to_owned(),
            None => reply.body.clone(),
        };
        Self { code: code.to_owned(), words }
    }
}

/// The text of the first element of this name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

/// A datum per reading, and no state.
#[derive(Debug)]
struct Data(cloudwatch::Encoder);

impl Encoder for Data {
    fn encode(&mut self, _: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let lines = report.map(|report| self.0.encode(report)).unwrap_or_default();
        lines_as_pieces(&lines, LIMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_run::CloudWatchResolution;

    fn settings(region: Option<&str>, endpoint: Option<&str>, token: Option<&str>) -> CloudWatchExport {
        CloudWatchExport {
            region: region.map(str::to_owned),
            namespace: "Plimsoll".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            dimensions: std::collections::BTreeMap::new(),
            metrics: Vec::new(),
            resolution: CloudWatchResolution::Second,
            credentials: Some(AwsCredentials {
                access_key_id: Secret::new("AKIDEXAMPLE"),
                secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                session_token: token.map(Secret::new),
            }),
        }
    }

    /// The signatures are those that botocore 1.43 makes of the same requests, with the key that AWS's own examples have.
    #[test]
    fn a_request_is_signed_as_others_sign_it() {
        let at = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let cases = [
            (
                settings(Some("eu-central-1"), None, None),
                "content-encoding;content-type;host;x-amz-date;x-amz-target",
                "b70297f80fc60ce33a156f9e2f4715b9e981e466de550c748e3ba3b57b32d79b",
            ),
            (
                settings(Some("eu-central-1"), Some("http://127.0.0.1:4566/a%20b/"), Some("a+token/==")),
                "content-encoding;content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
                "cebd98b4545be6b20e7a0f7e0ecf75b67af25f2a990954dfc484f3dd98f886aa",
            ),
        ];
        for (settings, signed, signature) in cases {
            let sink = CloudWatch::new(&settings).unwrap();
            let body = br#"{"Namespace":"P","MetricData":[]}"#;
            let headers = sink.headers(body, at).unwrap();
            assert_eq!(headers["x-amz-date"], "20260102T030405Z");
            assert_eq!(
                headers["authorization"],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/monitoring/aws4_request, \
                     SignedHeaders={signed}, Signature={signature}"
                )
            );
        }
    }

    #[test]
    fn what_a_plan_does_not_say_the_environment_does() {
        let variables = |have: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                have.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let none = CloudWatchExport { credentials: None, ..settings(None, None, None) };
        let sink = CloudWatch::with_environment(
            &none,
            &variables(&[
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_REGION", "cn-north-1"),
                ("AWS_ACCESS_KEY_ID", "i"),
                ("AWS_SECRET_ACCESS_KEY", "k"),
                ("AWS_SESSION_TOKEN", "t"),
            ]),
        )
        .unwrap();
        assert_eq!(sink.url.as_str(), "https://monitoring.cn-north-1.amazonaws.com.cn/");
        assert_eq!(sink.redact("i k t"), "*** *** ***");
        let own = settings(Some("eu-west-1"), None, None);
        let sink = CloudWatch::with_environment(&own, &variables(&[("AWS_REGION", "x")])).unwrap();
        assert_eq!(sink.identity(), "https://monitoring.eu-west-1.amazonaws.com/ eu-west-1 Plimsoll");
        for (have, lacks) in [
            (variables(&[]), "cloudwatch: there is no region"),
            (variables(&[("AWS_REGION", "x")]), "cloudwatch: there are no credentials"),
            (
                variables(&[("AWS_REGION", "x"), ("AWS_ACCESS_KEY_ID", "i")]),
                "cloudwatch: there are no credentials",
            ),
        ] {
            let error = CloudWatch::with_environment(&none, &have).unwrap_err().to_string();
            assert!(error.starts_with(lacks), "{error}");
        }
    }

    #[test]
    fn a_datum_is_timely_from_two_weeks_ago_to_two_hours_ahead() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let datum = |offset: i64| format!(r#"{{"Timestamp":{}.5,"MetricName":"m"}}"#, 1_700_000_000 + offset);
        let (week, hour) = (7 * 24 * 3600, 3600);
        for (offset, timely) in [
            (0, true),
            (301 - 2 * week, true),
            (298 - 2 * week, false),
            (2 * hour - 301, true),
            (2 * hour - 299, false),
        ] {
            assert_eq!(is_timely(datum(offset).as_bytes(), now), timely, "{offset}");
        }
        for nothing in ["", "{}", r#"{"Timestamp":"#, r#"{"Timestamp":x,"#] {
            assert!(!is_timely(nothing.as_bytes(), now), "{nothing}");
        }
    }
}
