//! What an answer says that is an error: `application/problem+json` of RFC 9457, whoever found the error.
//!
//! A handler, an extractor or the router refuses; [`told`] stands around all of them and writes the body, so that a
//! client reads every refusal alike. What it must tell apart is the `type`; `detail` is for people and may change.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use plimsoll_history::Error;
use serde_json::{Value, json};

use crate::shapes::chain;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What is before the word of a problem in its `type`.
pub(crate) const TYPE: &str = "urn:plimsoll:problem:";

/// More of a text that an extractor refuses with is not told on.
const TOLD: usize = 4096;

/// What went wrong, as far as a client can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Ambiguous,
    Unauthenticated,
    Forbidden,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    Changed,
    Unseen,
    TooLarge,
    MediaType,
    WrongHost,
    Invalid,
    TooMany,
    Internal,
    Unavailable,
    Unanswered,
}

impl Kind {
    pub(crate) const ALL: [Self; 19] = [
        Self::BadRequest,
        Self::Ambiguous,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::CrossSite,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::Changed,
        Self::Unseen,
        Self::TooLarge,
        Self::MediaType,
        Self::WrongHost,
        Self::Invalid,
        Self::TooMany,
        Self::Internal,
        Self::Unavailable,
        Self::Unanswered,
    ];

    pub(crate) fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The end of its `type`.
    pub(crate) fn word(self) -> &'static str {
        self.parts().1
    }

    pub(crate) fn title(self) -> &'static str {
        self.parts().2
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood"),
            Self::Ambiguous => (StatusCode::BAD_REQUEST, "ambiguous", "Several things are meant"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Nobody knows who asks"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Whoever asks may not do this"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross-site", "A page of another site asks"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method")
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow", "The request took too long to arrive"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "It cannot be done as things stand"),
            Self::Changed => (StatusCode::PRECONDITION_FAILED, "changed", "It is not what was seen any more"),
            Self::Unseen => (
                StatusCode::PRECONDITION_REQUIRED,
                "unseen",
                "What is there must have been seen before it is changed",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not of a kind that is read here",
            ),
            Self::WrongHost => {
                (StatusCode::MISDIRECTED_REQUEST, "wrong-host", "Asked under a name that is not ours")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "What was sent has mistakes"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not at the moment"),
            Self::Unanswered => (StatusCode::GATEWAY_TIMEOUT, "unanswered", "The run has not answered"),
        }
    }

    /// The kind of an answer that others made; the first of its status.
    fn of(status: StatusCode) -> Self {
        let same = Self::ALL.into_iter().find(|kind| kind.status() == status);
        same.unwrap_or(if status.is_server_error() { Self::Internal } else { Self::BadRequest })
    }
}

/// On an answer that says what is wrong in its own way, since a person reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsItIs;

/// A mistake in a text that was sent, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// From one; absent where it is of the whole.
    pub(crate) line: Option<usize>,
    /// From one, in characters.
    pub(crate) column: Option<usize>,
    /// What was found and what is allowed.
    pub(crate) message: String,
}

/// A refusal. Cheap to make, written once by [`told`].
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    mistakes: Vec<Mistake>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), mistakes: Vec::new(), headers: Vec::new() }
    }

    /// Nothing has this name.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// A parameter, a header or a body that cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// Later it may work.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail)
    }

    /// With the mistakes in what was sent.
    pub(crate) fn with_mistakes(mut self, mistakes: Vec<Mistake>) -> Self {
        self.mistakes = mistakes;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn to_json(&self, instance: &str) -> Value {
        let mut told = json!({
            "type": format!("{TYPE}{}", self.kind.word()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
            "detail": self.detail,
            "instance": instance,
        });
        if !self.mistakes.is_empty() {
            let mistake = |mistake: &Mistake| json!({ "line": mistake.line, "column": mistake.column, "message": mistake.message });
            told["errors"] = self.mistakes.iter().map(mistake).collect();
        }
        told
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NoRun { .. } | Error::Empty => Kind::NotFound,
            Error::Ambiguous { .. } => Kind::Ambiguous,
            Error::Live { .. } | Error::Over { .. } | Error::Unheard { .. } => Kind::Conflict,
            Error::Locked { .. } | Error::Coarsened { .. } => Kind::Unavailable,
            _ => Kind::Internal,
        };
        Self::new(kind, chain(&error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes whatever is refused as a problem.
pub(crate) async fn told(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.extensions().get::<AsItIs>().is_some() {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None => of_others(status, &mut response).await,
    };
    let (mut parts, _) = response.into_parts();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    let mut told = Json(problem.to_json(&instance)).into_response();
    *told.status_mut() = status;
    told.headers_mut().extend(parts.headers);
    told.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    told
}

/// What an extractor or the router says in a line of text.
async fn of_others(status: StatusCode, response: &mut Response) -> Problem {
    let kind = Kind::of(status);
    let body = std::mem::take(response.body_mut());
    let text = to_bytes(body, TOLD).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = if text.trim().is_empty() { kind.title() } else { text.trim() };
    Problem::new(kind, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_the_status_of_an_error() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let earlier = &Kind::ALL[..index];
            assert!(earlier.iter().all(|other| other.word() != kind.word()), "{kind:?}");
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
            assert_eq!(Kind::of(kind.status()).status(), kind.status());
        }
        assert_eq!(Kind::of(StatusCode::IM_A_TEAPOT), Kind::BadRequest);
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let mistake = Mistake { line: Some(3), column: None, message: "`lode` is no key".to_owned() };
        let problem = Problem::new(Kind::Invalid, "the plan has a mistake").with_mistakes(vec![mistake]);
        let told = problem.to_json("/api/v1/plans");
        assert_eq!(told["type"], "urn:plimsoll:problem:invalid");
        assert_eq!((&told["status"], &told["instance"]), (&json!(422), &json!("/api/v1/plans")));
        let expected = json!([{ "line": 3, "column": null, "message": "`lode` is no key" }]);
        assert_eq!(told["errors"], expected);
        assert!(Problem::not_found("no").to_json("/").get("errors").is_none());
    }
}
