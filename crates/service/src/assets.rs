//! The page's files, built by `cargo xtask web` and part of the binary.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::RustEmbed;

use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "assets"]
struct Assets;

/// Answers with a file, or with 304 for one that the browser has.
pub(crate) fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Assets::get(name) else {
        return Problem::not_found("there is no such page").into_response();
    };
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]));
    let caching = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, "no-cache")];
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mime = file.metadata.mimetype().to_owned();
    (caching, [(header::CONTENT_TYPE, mime)], file.data.into_owned()).into_response()
}
