//! What a request sends: bytes where they are known before the load, else made for each request.
//!
//! The parts of a form are divided by a text that must stand in none of them (RFC 2046, section 5.1.1). A fixed
//! one would do for files that nobody made on purpose, and fail for a target that sends back what it was
//! sent: so every part is looked through, and another text taken where it stands in one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use plimsoll_run::{Body, BodyKind, FormPart, PartContent, Template, Variable};

use crate::compile::fixed_text;
use crate::fill::{escape_body, fill};

/// What is sent, ready or to be made.
#[derive(Debug)]
pub(crate) enum Payload {
    Fixed(Bytes),
    /// Of one of its own with every request; compressed or not.
    Filled(Box<(Content, bool)>),
}

/// What a body is made of.
#[derive(Debug)]
pub(crate) enum Content {
    Text(Template, BodyKind),
    Form(Vec<FormPart>),
}

impl Payload {
    /// The body of a request, with the headers that tell what it is.
    pub(crate) fn new(body: Option<&Body>, gzip: bool, headers: &mut HeaderMap) -> Self {
        let none = |_, _: &mut dyn FnMut(&str)| false;
        let bytes = match body {
            None => Some(Bytes::new()),
            Some(Body::Text(template, _)) => fixed_text(template).map(Bytes::from),
            Some(Body::File(bytes)) => Some(Bytes::from_owner(Shared(Arc::clone(bytes)))),
            Some(Body::Multipart(parts)) => form(parts, none, headers).ok(),
        };
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let content = match (bytes, body) {
            (Some(bytes), _) => return Self::Fixed(if gzip { compressed(&bytes) } else { bytes }),
            (None, Some(Body::Text(template, kind))) => Content::Text(template.clone(), *kind),
            (None, Some(Body::Multipart(parts))) => Content::Form(parts.clone()),
            // Neither has a hole.
            (None, None | Some(Body::File(_))) => return Self::Fixed(Bytes::new()),
        };
        Self::Filled(Box::new((content, gzip)))
    }

    /// The bytes of one request, and its headers completed.
    pub(crate) fn bytes(
        &self,
        value: impl Fn(Variable, &mut dyn FnMut(&str)) -> bool,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, Variable> {
        let (content, gzip) = match self {
            Self::Fixed(bytes) => return Ok(bytes.clone()),
            Self::Filled(filled) => &**filled,
        };
        let bytes = match content {
            Content::Text(template, kind) => {
                fill(template, value, |value, out| escape_body(*kind, value, out))?.into()
            }
            Content::Form(parts) => form(parts, value, headers)?,
        };
        Ok(if *gzip { compressed(&bytes) } else { bytes })
    }
}

/// The bytes of a file, which all workers share.
struct Shared(Arc<[u8]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cold]
fn compressed(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// A `multipart/form-data` body (RFC 7578), and its `content-type`.
fn form(
    parts: &[FormPart],
    value: impl Fn(Variable, &mut dyn FnMut(&str)) -> bool,
    headers: &mut HeaderMap,
) -> Result<Bytes, Variable> {
    let mut made = Vec::with_capacity(parts.len());
    for part in parts {
        let content: Cow<'_, [u8]> = match &part.content {
            PartContent::File(bytes) => Cow::Borrowed(bytes),
            PartContent::Text(template) => {
                fill(template, &value, |value, out| out.push_str(value))?.into_bytes().into()
            }
        };
        made.push((head(part, &value)?, content));
    }
    let boundary = boundary(&made);
    let length =
        made.iter().map(|(head, content)| head.len() + content.len() + boundary.len() + 8).sum::<usize>();
    let mut body = Vec::with_capacity(length + boundary.len() + 6);
    for (head, content) in &made {
        for piece in [b"--", boundary.as_bytes(), b"\r\n", head.as_bytes(), b"\r\n", content, b"\r\n"] {
            body.extend_from_slice(piece);
        }
    }
    for piece in [b"--", boundary.as_bytes(), b"--\r\n"] {
        body.extend_from_slice(piece);
    }
    if let Ok(media_type) = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}")) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    Ok(body.into())
}

/// The headers of a part, each with its end of line.
fn head(part: &FormPart, value: impl Fn(Variable, &mut dyn FnMut(&str)) -> bool) -> Result<String, Variable> {
    let mut head = String::from("content-disposition: form-data; name=\"");
    escape_name(&part.name, &mut head);
    head.push('"');
    if let Some(filename) = &part.filename {
        let filename = fill(filename, value, |value, out| out.push_str(value))?;
        head.push_str("; filename=\"");
        escape_name(&filename, &mut head);
        head.push('"');
    }
    head.push_str("\r\n");
    if let Some(media_type) = &part.media_type {
        // Writing to a text cannot fail.
        let _ = write!(head, "content-type: {media_type}\r\n");
    }
    Ok(head)
}

/// Writes the name of a field or a file as browsers do (WHATWG HTML, "multipart/form-data encoding algorithm"): what
/// would end it or its line is percent-encoded, and everything else is UTF-8 as it is.
fn escape_name(name: &str, out: &mut String) {
    for c in name.chars() {
        match c {
            '"' => out.push_str("%22"),
            c if c.is_ascii_control() => {
                // Writing to a text cannot fail.
                let _ = write!(out, "%{:02X}", c as u32);
            }
            c => out.push(c),
        }
    }
}

/// A text that stands in no part.
fn boundary(parts: &[(String, Cow<'_, [u8]>)]) -> String {
    let stands_in = |text: &str| {
        let finder = memchr::memmem::Finder::new(text);
        parts
            .iter()
            .any(|(head, content)| finder.find(head.as_bytes()).is_some() || finder.find(content).is_some())
    };
    let mut boundary = String::new();
    // Parts of so many bytes hold fewer texts than there are numbers.
    for number in 0_u64.. {
        boundary = format!("plimsoll-form-part-{number:016x}");
        if !stands_in(&boundary) {
            break;
        }
    }
    boundary
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use plimsoll_run::Part;

    use super::*;

    fn text(name: &str, text: &str) -> FormPart {
        let content = PartContent::Text(Template::text(text));
        FormPart { name: name.into(), filename: None, media_type: None, content }
    }

    fn sent(parts: Vec<FormPart>, gzip: bool) -> (Vec<u8>, HeaderMap) {
        let mut headers = HeaderMap::new();
        let payload = Payload::new(Some(&Body::Multipart(parts)), gzip, &mut headers);
        assert!(matches!(payload, Payload::Fixed(_)));
        let nothing = |_, _: &mut dyn FnMut(&str)| false;
        let bytes = payload.bytes(nothing, &mut headers).unwrap();
        (bytes.to_vec(), headers)
    }

    #[test]
    fn a_form_is_written_as_the_standard_says() {
        let file = FormPart {
            name: "up\"load".into(),
            filename: Some(Template::text("ä \"1\"\r\n.png")),
            media_type: Some("image/png".into()),
            content: PartContent::File(b"\x89PNG\r\n\x00"[..].into()),
        };
        let (body, headers) = sent(vec![text("field", "some text"), file], false);
        let boundary = "plimsoll-form-part-0000000000000000";
        assert_eq!(headers[CONTENT_TYPE], format!("multipart/form-data; boundary={boundary}"));
        let expected = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"field\"\r\n\r\nsome text\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"up%22load\"; filename=\"ä %221%22%0D%0A.png\"\r\n\
             content-type: image/png\r\n\r\n"
        );
        let mut expected = expected.into_bytes();
        expected.extend_from_slice(b"\x89PNG\r\n\x00\r\n");
        expected.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        assert_eq!(body, expected);
    }

    #[test]
    fn what_divides_the_parts_stands_in_none_of_them() {
        let (once, _) = sent(vec![text("a", "b")], false);
        let once = String::from_utf8(once).unwrap();
        // A body sent within a body, and a file that holds the next one too.
        let file = FormPart {
            content: PartContent::File(b"plimsoll-form-part-0000000000000001"[..].into()),
            ..text("f", "")
        };
        let (body, headers) = sent(vec![text("a", &once), file], false);
        let boundary = headers[CONTENT_TYPE].to_str().unwrap().split_once("boundary=").unwrap().1.to_owned();
        assert_eq!(boundary, "plimsoll-form-part-0000000000000002");
        assert_eq!(String::from_utf8(body).unwrap().matches(&boundary).count(), 3);
    }

    #[test]
    fn holes_are_filled_and_looked_through_for_each_request() {
        let hole = Template { parts: vec![Part::Variable(Variable::Iteration)] };
        let part =
            FormPart { filename: Some(hole.clone()), content: PartContent::Text(hole), ..text("a", "") };
        let mut headers = HeaderMap::new();
        let payload = Payload::new(Some(&Body::Multipart(vec![part])), false, &mut headers);
        assert!(matches!(payload, Payload::Filled(_)));
        let mut with = |value: &'static str| {
            let take = move |_, take: &mut dyn FnMut(&str)| {
                take(value);
                true
            };
            let body = payload.bytes(take, &mut headers).unwrap();
            (String::from_utf8(body.to_vec()).unwrap(), headers[CONTENT_TYPE].to_str().unwrap().to_owned())
        };
        let (body, media_type) = with("a\"b\r\n");
        assert!(body.contains("filename=\"a%22b%0D%0A\"\r\n\r\na\"b\r\n\r\n--"), "{body}");
        assert!(media_type.ends_with("-0000000000000000"));
        let (body, media_type) = with("--plimsoll-form-part-0000000000000000--");
        assert!(body.starts_with("--plimsoll-form-part-0000000000000001\r\n"), "{body}");
        assert!(media_type.ends_with("-0000000000000001"));
    }

    #[test]
    fn a_compressed_body_says_so_and_is_the_same_when_it_is_read() {
        let (body, headers) = sent(vec![text("a", &"text ".repeat(1000))], true);
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        assert!(body.len() < 500, "{}", body.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut read).unwrap();
        assert!(read.contains(&"text ".repeat(1000)));
        let hole = Template { parts: vec![Part::Variable(Variable::Iteration)] };
        let mut headers = HeaderMap::new();
        let payload = Payload::new(Some(&Body::Text(hole, BodyKind::Text)), true, &mut headers);
        let value = |_, take: &mut dyn FnMut(&str)| {
            take("77");
            true
        };
        let bytes = payload.bytes(value, &mut headers).unwrap();
        let mut read = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), &headers[CONTENT_ENCODING]), ("77", &HeaderValue::from_static("gzip")));
    }
}
