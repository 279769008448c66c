//! What a step sends.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use plimsoll_run::{Body, BodyKind, FormPart, Header, Part, PartContent, Template};

use crate::diagnostic::Finding;
use crate::http::{file, has_header, is_header_value, is_token};
use crate::json;
use crate::read::{Object, Reader};
use crate::steps::Walk;
use crate::template::{joined, template, template_with};
use crate::tree::{Entry, Node, Value};
use crate::words;

/// The largest file that is sent, 16MB: each worker keeps its own copy of a request that is ready to go.
pub(crate) const LARGEST_FILE: u64 = 16_000_000;

/// What a file of a form is, unless the plan says so: what browsers say of files that they do not know.
const ANY_FILE: &str = "application/octet-stream";

/// The keys that say what is sent.
const KEYS: [&str; 5] = ["json", "body", "form", "file", "multipart"];

impl Walk<'_> {
    pub(crate) fn body(
        &self,
        reader: &mut Reader<'_>,
        object: &Object<'_>,
        headers: &mut Vec<Header>,
    ) -> Option<Body> {
        let mut found = KEYS.into_iter().filter(|key| object.get(key).is_some());
        let key = found.next()?;
        if let Some(second) = found.next() {
            let message = format!("a step has one body, and this one has `{key}` and `{second}`");
            reader.report(Finding::error(object.key_place(second), message).help("leave one of them out"));
            return None;
        }
        let node = object.get(key)?;
        let (body, content_type) = match key {
            "json" => {
                let json = json::template(reader, node, &self.scope)?;
                (Body::Text(json, BodyKind::Json), Some("application/json"))
            }
            "form" => {
                let form = self.form(reader, node)?;
                (Body::Text(form, BodyKind::Form), Some("application/x-www-form-urlencoded"))
            }
            "file" => (Body::File(whole_file(reader, node)?), None),
            "multipart" => {
                if has_header(headers, "content-type") {
                    let place = object.get("headers").map_or(node.place, |headers| headers.place);
                    let message =
                        "the `content-type` of `multipart` names a boundary, which is made with the body";
                    reader.report(Finding::error(place, message).help("leave the header out"));
                }
                (Body::Multipart(self.multipart(reader, node)?), None)
            }
            _ => (Body::Text(template(reader, node, &self.scope)?, BodyKind::Text), None),
        };
        if let Some(content_type) = content_type.filter(|_| !has_header(headers, "content-type")) {
            let value = Template::text(content_type);
            headers.push(Header { name: "content-type".to_owned(), value, secret: false });
        }
        Some(body)
    }

    fn form(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
        let errors = reader.findings.len();
        let mut parts = Vec::new();
        for Entry { key, node, .. } in reader.entries(node, "form fields") {
            let separator = if parts.is_empty() { "" } else { "&" };
            parts.push(Part::Text(format!("{separator}{}=", component(key))));
            // `name: ""` is an empty field.
            if let Some(value) = template_with(reader, node, &self.scope, component) {
                parts.extend(value.parts);
            }
        }
        (reader.findings.len() == errors).then(|| Template { parts: joined(parts) })
    }

    fn multipart(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Vec<FormPart>> {
        let errors = reader.findings.len();
        let mut parts = Vec::new();
        let entries = reader.entries(node, "form fields");
        if entries.is_empty() && matches!(node.value, Value::Map(_)) {
            // Without a part there would be no boundary to end at (RFC 2046, section 5.1.1).
            reader.error(node.place, "`multipart` has no fields, and a form has at least one");
        }
        for Entry { key, key_place, node } in entries {
            if key.is_empty() || key.chars().any(char::is_control) {
                let finding = Finding::error(*key_place, "this cannot be the name of a form field");
                reader.report(finding.help("a name has at least one character, and no control characters"));
            }
            for item in reader.one_or_more(node) {
                parts.extend(self.part(reader, key, item));
            }
        }
        (reader.findings.len() == errors).then_some(parts)
    }

    /// A text, or a map that says more.
    fn part(&self, reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<FormPart> {
        let name = name.to_owned();
        if !matches!(node.value, Value::Map(_)) {
            let content = PartContent::Text(template(reader, node, &self.scope)?);
            return Some(FormPart { name, filename: None, media_type: None, content });
        }
        let object = reader.object(node, &words::FORM_PART)?;
        let filename = object.get("filename").map(|node| self.filename(reader, node));
        let media_type = object.get("type").map(|node| media_type(reader, node));
        match (object.get("text"), object.get("file")) {
            (Some(text), None) => {
                let content = PartContent::Text(template(reader, text, &self.scope)?);
                let (filename, media_type) = (flat(filename)?, flat(media_type)?);
                Some(FormPart { name, filename, media_type, content })
            }
            (None, Some(path)) => {
                let content = PartContent::File(whole_file(reader, path)?);
                // Nobody needs to know where it lies on this machine.
                let own = reader.text(path, "the path of a file")?;
                let base = own.rsplit('/').next().map(Template::text);
                let filename = filename.unwrap_or(base)?;
                let media_type = media_type.unwrap_or_else(|| Some(ANY_FILE.to_owned()))?;
                Some(FormPart { name, filename: Some(filename), media_type: Some(media_type), content })
            }
            _ => {
                let finding =
                    Finding::error(object.place, "a part of `multipart` has one of `file` and `text`");
                reader.report(
                    finding.help("write `{ file: photo.png, type: image/png }`, or the text by itself"),
                );
                None
            }
        }
    }

    fn filename(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
        let text = reader.text(node, "the name of a file")?;
        if text.chars().any(char::is_control) {
            reader.error(node.place, "the name of a file cannot hold control characters");
            return None;
        }
        template(reader, node, &self.scope)
    }
}

/// What was read, where it was asked for; `None` where it was wrong.
fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// A media type (RFC 9110, section 8.3.1), maybe with parameters.
fn media_type(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "a media type like `image/png`";
    let text = reader.text(node, WHAT)?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_word = |word: &str| !word.is_empty() && word.chars().all(is_token);
    let is_type = essence.split_once('/').is_some_and(|(kind, of)| is_word(kind) && is_word(of));
    if !is_type || !is_header_value(&text) {
        reader.expected(node, WHAT, None);
        return None;
    }
    Some(text)
}

/// The bytes of a file that is sent, read once.
fn whole_file(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<[u8]>> {
    let (size, bytes) = match reader.inputs.open {
        None => file(reader, node).map(|bytes| (bytes.len() as u64, Some(bytes.into())))?,
        // A large file is not read only to be refused.
        Some(open) => {
            let path = reader.text(node, "the path of a file")?;
            let opened = open(&path).and_then(|source| match source.size() {
                size if size > LARGEST_FILE => Ok((size, None)),
                size => Ok((size, Some(source.whole().map_err(|error| error.to_string())?))),
            });
            match opened {
                Ok(read) => read,
                Err(why) => {
                    let message = format!("cannot read the file {}: {why}", node.kind());
                    reader.report(Finding::error(node.place, message).help("paths are relative to the plan"));
                    return None;
                }
            }
        }
    };
    if size > LARGEST_FILE {
        let message = format!("the file {} has {size} bytes, and what is sent has at most 16MB", node.kind());
        let finding = Finding::error(node.place, message);
        reader.report(finding.help("each worker keeps it in memory: send a smaller one"));
        return None;
    }
    bytes
}

/// Whether the body is compressed.
pub(crate) fn compressed(reader: &mut Reader<'_>, object: &Object<'_>, headers: &[Header]) -> Option<bool> {
    let Some(node) = object.get("compress_body") else { return Some(false) };
    let place = object.key_place("compress_body");
    reader.word(node, "a coding", &["gzip"])?;
    if !KEYS.into_iter().any(|key| object.get(key).is_some()) {
        let finding = Finding::error(place, "`compress_body` stands on a step that has no body");
        reader.report(finding.help("leave it out"));
        return None;
    }
    if has_header(headers, "content-encoding") {
        let message = "`compress_body` writes the header `content-encoding` itself";
        reader.report(Finding::error(place, message).help("leave one of them out"));
        return None;
    }
    Some(true)
}

const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}
