//! One message to one receiver, and what it says to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use plimsoll_run::{EmailSettings, MailTls, NotifyChannel, NotifyReceiver, Secret};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use serde_json::Value;

use crate::message::Message;
use crate::text::{count, plain, span};
use crate::{mail, pagerduty, slack, teams, webhook};

/// From sending to the end of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Opening a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How much of an answer is read: enough for a reason.
const BODY_BYTES: usize = 4096;
/// How much of it is told.
const REASON: usize = 300;
/// A message is said to be late from here on.
const LATE: u64 = 60;

/// What a receiver's answer means for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken {
        /// What the receiver said, without secrets.
        said: String,
    },
    /// It may be taken later.
    Later {
        /// Why, without secrets.
        reason: String,
        /// The receiver says when.
        after: Option<Duration>,
    },
    /// It never will be.
    Refused {
        /// Why, without secrets.
        reason: String,
    },
}

/// What is said of the telling itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remark {
    /// It comes so many seconds after it happened.
    Late(u64),
    /// So many messages before it never arrived.
    Lost(u64),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(seconds) => write!(f, "told {} after it happened", span(*seconds)),
            Self::Lost(messages) => {
                write!(
                    f,
                    "{} before this one could not be delivered and never will be",
                    count(*messages, "message")
                )
            }
        }
    }
}

/// What is to be said of the telling.
pub(crate) fn remarks(message: &Message, lost: u64, now: u64) -> Vec<Remark> {
    let late = now.saturating_sub(message.at);
    // What is of no moment is not late, and a clock that was set tells nothing.
    let is_late = (LATE..365 * 86_400).contains(&late) && message.event != "test";
    let late = is_late.then_some(Remark::Late(late));
    late.into_iter().chain((lost > 0).then_some(Remark::Lost(lost))).collect()
}

/// Why somebody cannot be told, whatever happens. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notify: receiver `{receiver}`: {why}")]
pub struct ReceiverError {
    receiver: String,
    why: String,
}

/// Sends to one receiver. Clones send to the same.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    way: Arc<Way>,
    secrets: Arc<[Secret]>,
}

enum Way {
    Http { client: Client, url: Url, form: Form },
    Mail { transport: AsyncSmtpTransport<Tokio1Executor>, settings: EmailSettings },
}

impl fmt::Debug for Way {
    /// A transport of mail would tell its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http { .. } => "Http",
            Self::Mail { .. } => "Mail",
        })
    }
}

enum Form {
    Slack,
    Teams,
    PagerDuty { routing_key: Secret },
    Webhook { keys: Vec<Vec<u8>>, headers: HeaderMap },
}

impl Sender {
    /// # Errors
    /// When the settings cannot be used. Whether the receiver is there is found out by sending.
    pub(crate) fn new(receiver: &NotifyReceiver) -> Result<Self, ReceiverError> {
        let failed = |why: String| ReceiverError { receiver: plain(&receiver.name, 200), why };
        let channel = &receiver.channel;
        let way = match channel {
            NotifyChannel::Slack { url } => http(url, Form::Slack),
            NotifyChannel::Teams { url } => http(url, Form::Teams),
            NotifyChannel::PagerDuty { url, routing_key } => {
                http(url, Form::PagerDuty { routing_key: routing_key.clone() })
            }
            NotifyChannel::Webhook { url, secrets, headers } => {
                form(secrets, headers).and_then(|form| http(url, form))
            }
            NotifyChannel::Email(settings) => smtp(settings),
        };
        Ok(Self { way: Arc::new(way.map_err(failed)?), secrets: secrets(channel).into() })
    }

    /// Sends a message once. Ends after a while, whatever the receiver does.
    pub(crate) async fn send(&self, message: &Message, lost: u64, now: u64) -> Answer {
        let remarks = remarks(message, lost, now);
        let sent = async {
            match &*self.way {
                Way::Http { client, url, form } => http_send(client, url, form, message, &remarks, now).await,
                Way::Mail { transport, settings } => {
                    mail_send(transport, settings, message, &remarks, now).await
                }
            }
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, sent).await;
        let answer = answer.unwrap_or_else(|_| later(format!("no answer within {ANSWER_WITHIN:?}")));
        self.redacted(answer)
    }

    /// Closes the incident that a test opened, where there are such.
    pub(crate) async fn resolve(&self, message: &Message) {
        if let Way::Http { client, url, form: Form::PagerDuty { routing_key } } = &*self.way {
            let event = pagerduty::resolved(message, routing_key.expose());
            let _ = post(client, url, HeaderMap::new(), event.to_string().into_bytes()).await;
        }
    }

    /// A receiver may quote what it was sent.
    fn redacted(&self, answer: Answer) -> Answer {
        let clean = |text: String| {
            let clean = self.secrets.iter().fold(text, |text, secret| text.replace(secret.expose(), "***"));
            plain(&clean, REASON)
        };
        match answer {
            Answer::Taken { said } => Answer::Taken { said: clean(said) },
            Answer::Later { reason, after } => Answer::Later { reason: clean(reason), after },
            Answer::Refused { reason } => Answer::Refused { reason: clean(reason) },
        }
    }
}

/// Everything of a channel that must not be told. The longest come first: one may hold another.
fn secrets(channel: &NotifyChannel) -> Vec<Secret> {
    // A shorter one would blank ordinary words.
    const SHORTEST: usize = 4;
    let of_url = |url: &Secret| -> Vec<String> {
        let Ok(parsed) = Url::parse(url.expose()) else { return vec![url.expose().to_owned()] };
        let mut parts = vec![url.expose().to_owned(), parsed.as_str().to_owned()];
        parts.push(parsed.path().trim_matches('/').to_owned());
        parts.extend(parsed.query().map(str::to_owned));
        parts.extend(parsed.password().map(str::to_owned));
        parts
    };
    let exposed = |secret: &Secret| secret.expose().to_owned();
    let mut texts = match channel {
        NotifyChannel::Slack { url } | NotifyChannel::Teams { url } => of_url(url),
        NotifyChannel::PagerDuty { url: _, routing_key } => vec![exposed(routing_key)],
        NotifyChannel::Webhook { url, secrets, headers } => {
            let headers = headers.iter().map(|(_, value)| exposed(value));
            of_url(url).into_iter().chain(secrets.iter().map(exposed)).chain(headers).collect()
        }
        NotifyChannel::Email(settings) => {
            settings.login.iter().map(|(_, password)| exposed(password)).collect()
        }
    };
    texts.retain(|text| text.len() >= SHORTEST);
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts.into_iter().map(Secret::new).collect()
}

fn form(secrets: &[Secret], headers: &[(String, Secret)]) -> Result<Form, String> {
    let keys: Option<Vec<Vec<u8>>> =
        secrets.iter().map(|secret| webhook::webhook_key(secret.expose())).collect();
    let keys = keys.filter(|keys| !keys.is_empty());
    let keys = keys.ok_or("a secret is `whsec_` and the base64 of 24 to 64 bytes")?;
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header has a name that is none")?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| format!("the header `{name}` holds characters that no header may hold"))?;
        value.set_sensitive(true);
        sent.insert(name, value);
    }
    Ok(Form::Webhook { keys, headers: sent })
}

fn http(url: &Secret, form: Form) -> Result<Way, String> {
    let url = Url::parse(url.expose()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let client = Client::builder()
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        // What is secret goes where the settings say and nowhere else.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .build()
        .map_err(|error| format!("cannot set up a client: {}", chain(&error.without_url())))?;
    Ok(Way::Http { client, url: url.ok_or("the URL is not an http or https URL with a host")?, form })
}

fn smtp(settings: &EmailSettings) -> Result<Way, String> {
    for address in settings.to.iter().chain([&settings.from]) {
        mail::address(address).map_err(|error| error.to_string())?;
    }
    let parameters = || {
        TlsParameters::new(settings.host.clone())
            .map_err(|error| format!("cannot set up TLS: {}", chain(&error)))
    };
    let tls = match settings.tls {
        // Not opportunistic: a way that can be stripped of its cover has none.
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(ANSWER_WITHIN));
    if let Some((user, password)) = &settings.login {
        transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(Way::Mail { transport: transport.build(), settings: settings.clone() })
}

async fn http_send(
    client: &Client,
    url: &Url,
    form: &Form,
    message: &Message,
    remarks: &[Remark],
    now: u64,
) -> Answer {
    let body: Value = match form {
        Form::Slack => slack::body(message, remarks),
        Form::Teams => teams::body(message, remarks),
        Form::PagerDuty { routing_key } => pagerduty::body(message, remarks, routing_key.expose()),
        Form::Webhook { .. } => webhook::body(message, remarks),
    };
    let body = body.to_string().into_bytes();
    let headers = match form {
        Form::Webhook { keys, headers } => signed(keys, headers, message, now, &body),
        Form::Slack | Form::Teams | Form::PagerDuty { .. } => HeaderMap::new(),
    };
    match post(client, url, headers, body).await {
        Ok(reply) => meaning(form, &reply),
        Err(answer) => answer,
    }
}

/// The headers of a webhook. The timestamp is that of the try, the id that of the message.
fn signed(keys: &[Vec<u8>], own: &HeaderMap, message: &Message, now: u64, body: &[u8]) -> HeaderMap {
    let mut headers = own.clone();
    let signature = webhook::webhook_signature(keys, &message.id, now, body);
    for (name, value) in [
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signature),
    ] {
        // All three are ASCII without spaces but those between signatures.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

struct Reply {
    status: u16,
    retry_after: Option<String>,
    body: String,
}

async fn post(client: &Client, url: &Url, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, Answer> {
    let request =
        client.post(url.clone()).header("content-type", "application/json").headers(headers).body(body);
    // The URL is a secret, and errors would quote it.
    let mut response = request
        .send()
        .await
        .map_err(|error| later(format!("no connection: {}", chain(&error.without_url()))))?;
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    // A refusal that breaks off still says why, as far as it came.
    while let Ok(Some(more)) = response.chunk().await {
        body.extend_from_slice(&more);
        if body.len() >= BODY_BYTES {
            break;
        }
    }
    body.truncate(BODY_BYTES);
    Ok(Reply { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
}

fn meaning(form: &Form, reply: &Reply) -> Answer {
    let said = plain(&reply.body, REASON);
    let told = |meaning: &str| match said.as_str() {
        "" => format!("{}: {meaning}", reply.status),
        said => format!("{}: {meaning}; it says: {said}", reply.status),
    };
    match reply.status {
        // Microsoft's connectors say of their own limits within a good answer.
        200..=299 if matches!(form, Form::Teams) && said.contains("HTTP error 429") => {
            later(told("it takes no more for now"))
        }
        200..=299 => Answer::Taken { said: reply.status.to_string() },
        408 | 429 | 500..=599 => Answer::Later {
            reason: told("it cannot take messages now"),
            after: reply.retry_after.as_deref().and_then(seconds),
        },
        300..=399 => Answer::Refused { reason: told("it is somewhere else; redirects are not followed") },
        401 | 403 => Answer::Refused { reason: told("it does not accept who we are") },
        404 | 410 => Answer::Refused { reason: told("nobody takes messages under this URL") },
        _ => Answer::Refused { reason: told("it refused the message") },
    }
}

/// The value of `Retry-After` in seconds. Dates are not understood: a clock may be wrong, and our own patience applies.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

async fn mail_send(
    transport: &AsyncSmtpTransport<Tokio1Executor>,
    settings: &EmailSettings,
    message: &Message,
    remarks: &[Remark],
    now: u64,
) -> Answer {
    // Mail has no incidents to close; a recovery is a mail like any other.
    let mail = match mail::mail(message, remarks, settings, mail::date(now)) {
        Ok(mail) => mail,
        Err(error) => return Answer::Refused { reason: error.to_string() },
    };
    match transport.send(mail).await {
        Ok(response) => Answer::Taken { said: response.code().to_string() },
        // 5xx is for good (RFC 5321, 4.2.1). Everything else may pass: no connection, a name that is not known now, 4xx.
        Err(error) if error.is_permanent() => Answer::Refused { reason: chain(&error) },
        Err(error) => later(chain(&error)),
    }
}

fn later(reason: String) -> Answer {
    Answer::Later { reason, after: None }
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some repeat what caused them.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        let retry_after = retry_after.map(str::to_owned);
        meaning(&Form::Slack, &Reply { status, retry_after, body: body.to_owned() })
    }

    #[test]
    fn a_status_says_what_becomes_of_a_message() {
        for (status, expected) in [
            (200, "taken"),
            (202, "taken"),
            (302, "refused"),
            (400, "refused"),
            (403, "refused"),
            (404, "refused"),
            (408, "later"),
            (410, "refused"),
            (429, "later"),
            (500, "later"),
            (504, "later"),
        ] {
            let found = match answer(status, None, "") {
                Answer::Taken { .. } => "taken",
                Answer::Later { .. } => "later",
                Answer::Refused { .. } => "refused",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_receiver_says_when_to_come_back_and_why_not() {
        let Answer::Later { reason, after } = answer(429, Some("7"), "slow\ndown") else { panic!("later") };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert_eq!(reason, "429: it cannot take messages now; it says: slow down");
        let Answer::Later { after, .. } = answer(503, Some("Wed, 21 Oct 2015 07:28:00 GMT"), "") else {
            panic!("later")
        };
        assert_eq!(after, None);
    }

    #[test]
    fn teams_says_no_within_a_good_answer() {
        let body =
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429";
        let reply = Reply { status: 200, retry_after: None, body: body.to_owned() };
        assert!(matches!(meaning(&Form::Teams, &reply), Answer::Later { .. }));
        assert!(matches!(meaning(&Form::Slack, &reply), Answer::Taken { .. }));
    }

    #[test]
    fn what_a_receiver_quotes_is_without_secrets() {
        let url = Secret::new("https://hooks.example/services/T0/B0/xyzzy?sig=plugh");
        let receiver = NotifyReceiver {
            name: "team".to_owned(),
            on: Default::default(),
            at_most: 1,
            channel: NotifyChannel::Slack { url },
        };
        let sender = Sender::new(&receiver).unwrap();
        assert!(!format!("{sender:?}").contains("xyzzy"));
        for said in [
            "no /services/T0/B0/xyzzy here",
            "https://hooks.example/services/T0/B0/xyzzy?sig=plugh",
            "sig=plugh?",
        ] {
            let Answer::Refused { reason } = sender.redacted(Answer::Refused { reason: said.to_owned() })
            else {
                panic!("refused")
            };
            assert!(!reason.contains("xyzzy") && !reason.contains("plugh"), "{reason}");
        }
    }
}
