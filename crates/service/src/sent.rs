//! Bodies of JSON: objects, read strictly.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::{Kind, Mistake, Problem};

/// A JSON object that was sent, as a value that it means.
///
/// A list is refused: its members would be taken for the keys in their order, which nobody means and the document of the
/// API does not say.
#[derive(Debug)]
pub(crate) struct Sent<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Sent<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        read(&body).map(Self)
    }
}

/// A body that says it is JSON, as it was sent.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let given = request.headers().get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
        let kind = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let words = format!("the body is `{}`; send application/json", kind.escape_debug());
            return Err(Problem::new(Kind::MediaType, words));
        }
        // The guard has read it within bounds.
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::bad_request("the body could not be read"))?;
        Ok(Self(body))
    }
}

/// The value that a JSON object means.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|first| *first != b'{') {
        return Err(Problem::bad_request("the body is no JSON object; send `{...}`"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let kind = match error.classify() {
            Category::Data => Kind::Invalid,
            Category::Syntax | Category::Eof | Category::Io => Kind::BadRequest,
        };
        let mistake =
            Mistake { line: Some(error.line()), column: Some(error.column()), message: error.to_string() };
        // What is wrong at no place is wrong with the whole.
        let mistakes = if error.line() == 0 { Vec::new() } else { vec![mistake] };
        Problem::new(kind, format!("the body is not understood: {error}")).with_mistakes(mistakes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        plan: String,
    }

    #[test]
    fn an_object_is_read_and_nothing_else_is() {
        assert_eq!(read::<Small>(b" {\"plan\": \"shop\"}").unwrap(), Small { plan: "shop".to_owned() });
        let deep = "[".repeat(100_000);
        let deeper = format!("{{\"plan\":{deep}");
        let deepest = format!("{{\"plan\":{}", "{\"a\":".repeat(100_000));
        for (body, kind, told) in [
            ("[\"shop\"]", Kind::BadRequest, "no JSON object"),
            ("\"shop\"", Kind::BadRequest, "no JSON object"),
            ("null", Kind::BadRequest, "no JSON object"),
            (&deep, Kind::BadRequest, "no JSON object"),
            (&deeper, Kind::Invalid, "expected a string"),
            (&deepest, Kind::Invalid, "expected a string"),
            ("", Kind::BadRequest, "EOF"),
            ("{\"plan\": \"shop\"", Kind::BadRequest, "EOF"),
            ("{\"plan\": \"shop\"} x", Kind::BadRequest, "trailing"),
            ("{}", Kind::Invalid, "missing field `plan`"),
            ("{\"plan\": [\"shop\"]}", Kind::Invalid, "expected a string"),
            ("{\"plan\": \"a\", \"plan\": \"b\"}", Kind::Invalid, "duplicate field"),
            ("{\"plan\": \"a\", \"plam\": \"b\"}", Kind::Invalid, "unknown field `plam`"),
        ] {
            let problem = read::<Small>(body.as_bytes()).unwrap_err();
            let start: String = body.chars().take(40).collect();
            assert_eq!(problem.kind(), kind, "{start}: {problem:?}");
            assert!(problem.detail().contains(told), "{start}: {problem:?}");
        }
    }
}
