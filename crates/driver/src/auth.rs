//! Credentials that are made for each request: answers to a digest challenge, tokens, signatures.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderValue, StatusCode};
use plimsoll_run::{Auth, AwsSigning, Secret};

use crate::connection::Answer;
use crate::digest;
use crate::message::Message;
use crate::tokens::Tokens;
use crate::transport::Origin;
use crate::user::User;

/// What signs the requests of one worker.
#[derive(Debug)]
pub(crate) struct Signer {
    /// Credentials are for the target and nobody else.
    target: Rc<Origin>,
    /// Steps that go out without them.
    without: Box<[u16]>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Digest { username: Secret, password: Secret },
    Token { tokens: Arc<Tokens>, known: RefCell<(u64, HeaderValue)> },
    Aws(Box<AwsSigning>),
}

/// Headers that a request gets on its way out.
pub(crate) type Signature = Vec<(HeaderName, HeaderValue)>;

impl Signer {
    /// What a plan asks for; a plan with tokens comes with where they are.
    pub(crate) fn new(
        auth: Option<&Auth>,
        tokens: Option<&Arc<Tokens>>,
        target: &Rc<Origin>,
        without: Box<[u16]>,
    ) -> Option<Box<Self>> {
        let way = match auth? {
            Auth::Digest { username, password } => {
                Way::Digest { username: username.clone(), password: password.clone() }
            }
            Auth::OAuth2(_) => {
                let tokens = Arc::clone(tokens?);
                let known = RefCell::new(tokens.latest());
                Way::Token { tokens, known }
            }
            Auth::Aws(signing) => Way::Aws(Box::new(signing.clone())),
        };
        Some(Box::new(Self { target: Rc::clone(target), without, way }))
    }

    /// What a request of a step gets: nothing where it goes elsewhere, brings credentials of its own or wants none.
    pub(crate) fn sign(&self, user: &mut User, message: &Message, step: u16) -> Signature {
        let is_without = self.without.contains(&step);
        if is_without || *message.origin != *self.target || message.headers.contains_key(AUTHORIZATION) {
            return Vec::new();
        }
        match &self.way {
            Way::Digest { username, password } => {
                let Some(challenge) = &mut user.challenge else { return Vec::new() };
                let method = message.method.as_str();
                let nonce = format!("{:016x}", rand::random::<u64>());
                let answer = challenge.answer(
                    username.expose(),
                    password.expose(),
                    method,
                    &message.uri.to_string(),
                    &nonce,
                );
                secret(AUTHORIZATION, &answer).into_iter().collect()
            }
            Way::Token { tokens, known } => {
                let mut known = known.borrow_mut();
                if tokens.version() != known.0 {
                    *known = tokens.latest();
                }
                vec![(AUTHORIZATION, known.1.clone())]
            }
            // What cannot be signed is sent as it is, for the target to refuse.
            Way::Aws(signing) => aws(signing, message, SystemTime::now()).unwrap_or_default(),
        }
    }

    /// Whether an answer asks for credentials that the user now knows how to give.
    pub(crate) fn is_challenged(
        &self,
        user: &mut User,
        message: &Message,
        step: u16,
        answer: &Answer,
    ) -> bool {
        if answer.status != StatusCode::UNAUTHORIZED
            || self.without.contains(&step)
            || !matches!(self.way, Way::Digest { .. })
            || *message.origin != *self.target
            || message.headers.contains_key(AUTHORIZATION)
        {
            return false;
        }
        // What was refused when it was used for the first time is refused for good.
        let was_fresh = user.challenge.as_ref().is_some_and(|challenge| challenge.count() == 1);
        let headers =
            answer.headers().into_iter().flat_map(|headers| headers.get_all(http::header::WWW_AUTHENTICATE));
        let challenge = digest::best(headers.filter_map(|value| value.to_str().ok()));
        match challenge {
            Some(challenge) if !was_fresh => {
                user.challenge = Some(Box::new(challenge));
                true
            }
            _ => false,
        }
    }
}

fn secret(name: HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// The headers of AWS Signature Version 4, body and query included. S3 wants paths as they are and the hash of the body
/// as a header, all others want the path coded twice.
fn aws(signing: &AwsSigning, message: &Message, now: SystemTime) -> Option<Signature> {
    let credentials = &signing.credentials;
    let token = credentials.session_token.as_ref().map(|token| token.expose().to_owned());
    let (id, key) = (credentials.access_key_id.expose(), credentials.secret_access_key.expose());
    let identity = Credentials::new(id, key, token, None, "plimsoll").into();
    let mut settings = SigningSettings::default();
    if signing.service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&signing.region)
        .name(&signing.service)
        .time(now)
        .settings(settings)
        .build()
        .ok()?
        .into();
    let url = message.url()?;
    let signed = [HOST, CONTENT_TYPE]
        .into_iter()
        .filter_map(|name| Some((message.headers.get(&name)?.to_str().ok()?, name)))
        .map(|(value, name)| (if name == HOST { "host" } else { "content-type" }, value));
    // x-amz-target and its like decide what a service does.
    let own = message.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str(), value.to_str().ok()?)).filter(|(name, _)| name.starts_with("x-amz-"))
    });
    let request = SignableRequest::new(
        message.method.as_str(),
        url.as_str(),
        signed.chain(own),
        SignableBody::Bytes(&message.body),
    )
    .ok()?;
    let (signature, _) = sign(request, &parameters).ok()?.into_parts();
    signature
        .headers()
        .map(|(name, value)| secret(HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};
    use plimsoll_run::AwsCredentials;

    use super::*;

    fn signed(
        service: &str,
        token: Option<&str>,
        method: Method,
        body: &'static [u8],
    ) -> Vec<(String, String)> {
        let url = url::Url::parse("https://example.amazonaws.com/").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("example.amazonaws.com"));
        let origin = Rc::new(Origin::of(&url).unwrap());
        let message = Message::new(origin, method, Uri::from_static("/"), headers, Bytes::from_static(body));
        let signing = AwsSigning {
            region: "us-east-1".into(),
            service: service.into(),
            credentials: AwsCredentials {
                access_key_id: Secret::new("AKIDEXAMPLE"),
                secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                session_token: token.map(Secret::new),
            },
        };
        // 2015-08-30T12:36:00Z
        let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let signature = aws(&signing, &message, now).unwrap();
        assert!(signature.iter().all(|(_, value)| value.is_sensitive()));
        signature
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn header<'a>(signature: &'a [(String, String)], name: &str) -> Option<&'a str> {
        signature.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_examples_of_aws_are_signed_as_there() {
        // `get-vanilla` and `post-vanilla` of the test suite of Signature Version 4.
        for (method, expected) in [
            (Method::GET, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (Method::POST, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            let signature = signed("service", None, method, b"");
            let authorization = header(&signature, "authorization").unwrap();
            assert_eq!(
                authorization,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={expected}"
                )
            );
            assert_eq!(header(&signature, "x-amz-date"), Some("20150830T123600Z"));
        }
    }

    #[test]
    fn body_token_and_s3_are_part_of_the_signature() {
        let plain = signed("service", None, Method::POST, b"");
        let with_body = signed("service", None, Method::POST, b"body");
        assert_ne!(header(&plain, "authorization"), header(&with_body, "authorization"));
        let with_token = signed("service", Some("token"), Method::POST, b"");
        assert_eq!(header(&with_token, "x-amz-security-token"), Some("token"));
        assert!(header(&with_token, "authorization").unwrap().contains("x-amz-security-token"));
        let s3 = signed("s3", None, Method::GET, b"");
        // SHA-256 of nothing.
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(header(&s3, "x-amz-content-sha256"), Some(hash));
    }
}
