//! What a step sends.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use plimsoll_run::{BodyKind, Header, Part, Template};

use crate::http::has_header;
use crate::json;
use crate::read::{Object, Reader};
use crate::steps::Walk;
use crate::template::{joined, template, template_with};
use crate::tree::{Entry, Node};

impl Walk<'_> {
    pub(crate) fn body(
        &self,
        reader: &mut Reader<'_>,
        object: &Object<'_>,
        headers: &mut Vec<Header>,
    ) -> Option<(Template, BodyKind)> {
        let found: Vec<_> =
            ["json", "body", "form"].into_iter().filter(|key| object.get(key).is_some()).collect();
        let key = match found.as_slice() {
            [] => return None,
            [key] => *key,
            [_, second, ..] => {
                reader.error(object.key_place(second), "a step has one of `json`, `body` and `form`");
                return None;
            }
        };
        let node = object.get(key)?;
        let (body, kind, content_type) = match key {
            "json" => (json::template(reader, node, &self.scope)?, BodyKind::Json, Some("application/json")),
            "form" => {
                let form = self.form(reader, node)?;
                (form, BodyKind::Form, Some("application/x-www-form-urlencoded"))
            }
            _ => (template(reader, node, &self.scope)?, BodyKind::Text, None),
        };
        if let Some(content_type) = content_type.filter(|_| !has_header(headers, "content-type")) {
            let value = Template::text(content_type);
            headers.push(Header { name: "content-type".to_owned(), value, secret: false });
        }
        Some((body, kind))
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
}

const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}
