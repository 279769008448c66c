//! Files that clients put here and take away again, and forms that they upload: what a plan makes and undoes
//! can be looked at.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::connection::Content;
use crate::locked;
use crate::routes::{Page, json_page, page, problem};

/// How many files are kept.
const KEPT_FILES: usize = 1_000;
/// The largest file in bytes.
const LARGEST_FILE: usize = 64 << 10;

/// Files by their names.
#[derive(Debug, Default)]
pub(crate) struct Files(Mutex<BTreeMap<String, Bytes>>);

impl Files {
    pub(crate) fn list(&self) -> Page {
        let files = locked(&self.0);
        json_page(StatusCode::OK, &json!({ "files": files.keys().collect::<Vec<_>>() }))
    }

    pub(crate) fn put(&self, name: &str, body: Bytes) -> Page {
        if name.is_empty() || name.contains('/') {
            return problem(StatusCode::NOT_FOUND, "a file has a name of one part");
        }
        if body.len() > LARGEST_FILE {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "a file may have at most 64 KiB");
        }
        let size = body.len();
        let mut files = locked(&self.0);
        if files.len() >= KEPT_FILES && !files.contains_key(name) {
            return problem(StatusCode::INSUFFICIENT_STORAGE, "1000 files are kept already");
        }
        let status = match files.insert(name.to_owned(), body) {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        json_page(status, &json!({ "file": name, "bytes": size }))
    }

    pub(crate) fn get(&self, name: &str) -> Page {
        match locked(&self.0).get(name) {
            Some(bytes) => page(StatusCode::OK, "application/octet-stream", Content::of(bytes.clone())),
            None => problem(StatusCode::NOT_FOUND, "there is no such file"),
        }
    }

    pub(crate) fn delete(&self, name: &str) -> Page {
        match locked(&self.0).remove(name) {
            Some(_) => page(StatusCode::NO_CONTENT, "text/plain", Content::default()),
            None => problem(StatusCode::NOT_FOUND, "there is no such file"),
        }
    }
}

/// Says what a form has (RFC 7578): the names, files, types and sizes of its parts.
pub(crate) fn uploaded(headers: &HeaderMap, body: &[u8]) -> Page {
    let boundary = headers.get(CONTENT_TYPE).and_then(|kind| {
        kind.to_str().ok()?.strip_prefix("multipart/form-data;")?.trim().strip_prefix("boundary=")
    });
    let Some(boundary) = boundary else {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "multipart/form-data with a boundary is needed");
    };
    match parts(boundary.trim_matches('"'), body) {
        Some(parts) => json_page(StatusCode::CREATED, &json!({ "parts": parts })),
        None => problem(StatusCode::BAD_REQUEST, "this is no form with that boundary"),
    }
}

/// The parts of a form; `None` where it is not whole.
fn parts(boundary: &str, body: &[u8]) -> Option<Vec<Value>> {
    let (first, between) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let mut rest = body.strip_prefix(first.as_bytes())?;
    let mut parts = Vec::new();
    loop {
        let end = find(rest, between.as_bytes())?;
        parts.push(part(rest.get(..end)?)?);
        rest = rest.get(end + between.len()..)?;
        if rest == b"--\r\n" || rest == b"--" {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
    }
}

fn part(bytes: &[u8]) -> Option<Value> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let content = bytes.get(end + 4..)?;
    let header = |name: &str| {
        let values = head.split("\r\n").filter_map(|line| line.split_once(": "));
        values.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let disposition = header("content-disposition")?.strip_prefix("form-data")?;
    let quoted = |name: &str| {
        let start = disposition.find(&format!("; {name}=\""))? + name.len() + 4;
        disposition.get(start..)?.split('"').next()
    };
    let text = std::str::from_utf8(content).ok().filter(|text| text.len() <= 200);
    Some(json!({
        "name": quoted("name")?, "filename": quoted("filename"), "type": header("content-type"),
        "bytes": content.len(), "text": text,
    }))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go() {
        let files = Files::default();
        let put = |name: &str, size: usize| files.put(name, vec![b'x'; size].into()).status().as_u16();
        assert_eq!([put("a", 3), put("a", 4), put("b/c", 1), put("", 1)], [201, 200, 404, 404]);
        assert_eq!(put("large", LARGEST_FILE + 1), 413);
        assert_eq!(
            [files.get("a"), files.delete("a"), files.get("a"), files.delete("a")]
                .map(|p| p.status().as_u16()),
            [200, 204, 404, 404]
        );
        assert!((0..KEPT_FILES).all(|n| put(&n.to_string(), 0) == 201));
        assert_eq!([put("more", 0), put("0", 1)], [507, 200]);
    }

    #[test]
    fn the_parts_of_a_form_are_found() {
        let form = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b\r\ncontent-disposition: \
                     form-data; name=\"f\"; filename=\"p.png\"\r\ncontent-type: image/png\r\n\r\n\xff\r\n--\r\n--b--\r\n";
        let parts = parts("b", form).unwrap();
        assert_eq!(
            parts,
            [
                json!({ "name": "a", "filename": null, "type": null, "bytes": 1, "text": "x" }),
                json!({ "name": "f", "filename": "p.png", "type": "image/png", "bytes": 5, "text": null }),
            ]
        );
        for wrong in [&b""[..], b"--b\r\n", b"--b\r\n\r\n\r\n--b--", b"--b\r\nx\r\n--b--\r\n", b"--b--\r\n"] {
            assert_eq!(super::parts("b", wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
