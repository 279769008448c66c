//! `target`: where requests go. One URL, all addresses of its name, or several URLs by weight.

use plimsoll_run::{AddressChoice, Header, PlannedTarget};
use url::Url;

use crate::diagnostic::{Finding, Place};
use crate::http::{take_userinfo, web_url};
use crate::read::Reader;
use crate::tree::{Node, Value};
use crate::words;

const WHAT: &str = "a URL like `http://127.0.0.1:8080`";

/// Where requests go, and the credentials that stood there.
pub(crate) struct Target {
    /// The first, which stands for all: they share scheme and path.
    pub(crate) url: Url,
    /// Without slashes at their ends; the first is the one of `url`.
    pub(crate) all: Vec<PlannedTarget>,
    pub(crate) addresses: AddressChoice,
    pub(crate) authorization: Option<Header>,
}

pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Target> {
    match &node.value {
        Value::List(_) => weighted(reader, node),
        Value::Map(_) => by_name(reader, node),
        Value::Scalar(_) | Value::Broken => {
            let (mut url, authorization) = one(reader, node)?;
            Some(single(&mut url, authorization, AddressChoice::First))
        }
    }
}

fn single(url: &mut Url, authorization: Option<Header>, addresses: AddressChoice) -> Target {
    let all = vec![PlannedTarget { url: text(url), weight: 1 }];
    Target { url: url.clone(), all, addresses, authorization }
}

fn text(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A URL without credentials, and the credentials.
fn one(reader: &mut Reader<'_>, node: &Node) -> Option<(Url, Option<Header>)> {
    let text = reader.text(node, WHAT)?;
    let mut url = web_url(reader, node, &text, WHAT)?;
    if url.query().is_some() || url.fragment().is_some() {
        let finding = Finding::error(node.place, "a target has no query and no fragment");
        reader.report(finding.help("write what comes after the path into the steps"));
        return None;
    }
    let authorization = take_userinfo(&mut url);
    Some((url, authorization))
}

/// `{ url: http://name:8080, addresses: all }`.
fn by_name(reader: &mut Reader<'_>, node: &Node) -> Option<Target> {
    let object = reader.object(node, &words::TARGET)?;
    let read = object.get("url").and_then(|node| one(reader, node));
    let chosen = match object.get("addresses") {
        None => AddressChoice::First,
        Some(node) => match reader.word(node, "which addresses", &["first", "all"])? {
            "all" => AddressChoice::All,
            _ => AddressChoice::First,
        },
    };
    let (mut url, authorization) = read?;
    Some(single(&mut url, authorization, chosen))
}

/// `[{ url: http://127.0.0.1:8080, weight: 3 }, { url: http://127.0.0.2:8080 }]`.
fn weighted(reader: &mut Reader<'_>, node: &Node) -> Option<Target> {
    const MOST: usize = 1000;
    let errors = reader.findings.len();
    let items = reader.some(node, "targets");
    if items.len() > MOST {
        reader.error(node.place, format!("there are more than {MOST} targets"));
        return None;
    }
    let mut first: Option<Url> = None;
    let mut all: Vec<PlannedTarget> = Vec::new();
    for item in items {
        let Some(object) = reader.object(item, &words::WEIGHTED_TARGET) else { continue };
        let weight = object.get("weight").map(|node| reader.whole(node, "a weight", 1..=words::MOST_WEIGHT));
        let Some(place) = object.get("url").map(|node| node.place) else { continue };
        let Some((url, authorization)) = object.get("url").and_then(|node| one(reader, node)) else {
            continue;
        };
        if authorization.is_some() {
            let finding = Finding::error(place, "one of several targets cannot have credentials in its URL");
            reader.report(finding.help("write them once, into `auth`"));
        }
        if let Some(first) = &first {
            fits(reader, first, &url, place);
        }
        let text = text(&url);
        if all.iter().any(|known| known.url == text) {
            let finding = Finding::error(place, "this target stands in the list twice");
            reader.report(finding.help("give it more `weight` instead"));
        }
        first.get_or_insert(url);
        all.push(PlannedTarget { url: text, weight: weight.flatten().map_or(1, |weight| weight as u32) });
    }
    if reader.findings.len() > errors {
        return None;
    }
    Some(Target { url: first?, all, addresses: AddressChoice::First, authorization: None })
}

/// Requests are made once for all targets, so these may differ in where they are and in nothing else.
fn fits(reader: &mut Reader<'_>, first: &Url, other: &Url, place: Place) {
    for (what, expected, found) in
        [("scheme", first.scheme(), other.scheme()), ("path", first.path(), other.path())]
    {
        if expected.trim_end_matches('/') != found.trim_end_matches('/') {
            let message = format!("the {what} of this target is not that of the first");
            reader.report(Finding::error(place, message).help(format!(
                "targets of one list have the same scheme and the same path: here the {what} is `{expected}`"
            )));
        }
    }
}
