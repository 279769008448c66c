//! Where a step's request goes: method, URL and query.

use plimsoll_run::{Part, Template};

use crate::bodies::component;
use crate::diagnostic::Finding;
use crate::http::is_token;
use crate::read::{Object, Reader};
use crate::steps::Walk;
use crate::template::{joined, template_with};
use crate::tree::{Entry, Node, Value};
use crate::words::METHODS;

/// The method of an entry that sends a request, as it is written, and its URL.
pub(crate) fn method(node: &Node) -> Option<(String, &Node)> {
    let short = METHODS.into_iter().find_map(|method| Some((method.to_owned(), node.get(method)?)));
    short.or_else(|| {
        let method = node.get("method")?.scalar()?.shown();
        Some((method, node.get("url")?))
    })
}

/// The same of a step, checked; the method in upper case.
pub(crate) fn line<'n>(reader: &mut Reader<'_>, object: &Object<'n>) -> Option<(String, &'n Node)> {
    const HELP: &str = "write one of `get`, `post`, `put`, `patch`, `delete`, `head`, `options`, or `method` and `url`, or a `pause`";
    let short: Vec<_> = METHODS.into_iter().filter(|method| object.get(method).is_some()).collect();
    let long: Vec<_> = ["method", "url"].into_iter().filter(|key| object.get(key).is_some()).collect();
    match (short.as_slice(), long.as_slice()) {
        ([method], []) => Some((method.to_ascii_uppercase(), object.get(method)?)),
        ([], ["method", "url"]) => Some((any_method(reader, object.get("method")?)?, object.get("url")?)),
        ([], [key]) => {
            let other = if *key == "url" { "method" } else { "url" };
            let finding =
                Finding::error(object.key_place(key), format!("the step has `{key}` and no `{other}`"));
            reader.report(finding.help("write `method: PROPFIND` and `url: /path`, or `get: /path`"));
            None
        }
        ([], _) => {
            let finding = Finding::error(object.place, "the step sends nothing: it has no method");
            reader.report(finding.help(HELP));
            None
        }
        ([method, ..], [key, ..]) => {
            let message = format!("the step has `{method}` and `{key}`");
            let finding = Finding::error(object.key_place(key), message);
            reader.report(finding.help(format!("`{method}` says both, method and URL: leave `{key}` out")));
            None
        }
        ([_, ..], []) => {
            reader.report(Finding::error(object.place, "the step has more than one method").help(HELP));
            None
        }
    }
}

/// Any method but CONNECT, in upper case.
fn any_method(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    const WHAT: &str = "a method";
    let text = reader.text(node, WHAT)?;
    if reader.scalar(node, WHAT)?.has_secret() {
        reader.error(node.place, "a method is shown everywhere and cannot hold a secret");
        return None;
    }
    if !text.chars().all(is_token) {
        let help = "a method is one word like `PROPFIND`: letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)";
        reader.expected(node, WHAT, Some(help));
        return None;
    }
    let method = text.to_ascii_uppercase();
    if method == "CONNECT" {
        let finding = Finding::error(node.place, "CONNECT opens a tunnel and is no request of a step");
        reader.report(finding.help("to reach the target through a proxy, write `http.proxy`"));
        return None;
    }
    Some(method)
}

impl Walk<'_> {
    /// Reads `query`: pairs that are added to the URL. `None` where there are none, or something is wrong.
    pub(crate) fn query(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
        let errors = reader.findings.len();
        let mut parts = Vec::new();
        for Entry { key, node, .. } in reader.entries(node, "names and values") {
            let values = match &node.value {
                Value::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            for value in values {
                let separator = if parts.is_empty() { "" } else { "&" };
                parts.push(Part::Text(format!("{separator}{}=", component(key))));
                if let Some(value) = template_with(reader, value, &self.scope, component) {
                    parts.extend(value.parts);
                }
            }
        }
        (reader.findings.len() == errors && !parts.is_empty()).then(|| Template { parts: joined(parts) })
    }
}
