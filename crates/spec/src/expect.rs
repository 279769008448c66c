//! `expect`: what the answer of a step must be.

use plimsoll_query::{JsonPath, XPath};
use plimsoll_run::{Comparison, Expect, HeaderExpectation, StatusRange};

use crate::comparison::{Of, comparison, comparison_of};
use crate::diagnostic::{Finding, Place};
use crate::http::any_header_name;
use crate::json_schema;
use crate::read::{Object, Reader};
use crate::tree::{Entry, Node, Value, shortened};
use crate::words;

pub(crate) fn expect(reader: &mut Reader<'_>, node: &Node) -> Option<Expect> {
    let object = reader.object(node, &words::EXPECT)?;
    let not = object.get("not").and_then(|node| {
        let none = reader.object(node, &words::EXPECT_NOT)?;
        let none = asked(reader, &none);
        if none == Expect::default() {
            reader.expected(node, "at least one word of `expect`", None);
        }
        Some(Box::new(Expect { secret: holds_secret(node), ..none }))
    });
    Some(Expect { secret: holds_secret(node), not, ..asked(reader, &object) })
}

/// What is written in the words of `expect`.
fn asked(reader: &mut Reader<'_>, object: &Object<'_>) -> Expect {
    let mut expect = Expect::default();
    if let Some(node) = object.get("status") {
        let items = reader.one_or_more(node);
        if items.is_empty() {
            reader.expected(node, "at least one status", None);
        }
        expect.status = items.iter().filter_map(|item| status(reader, item)).collect();
    }
    for Entry { key, key_place, node } in
        object.get("headers").map(|node| reader.entries(node, "headers")).unwrap_or_default()
    {
        let name = any_header_name(reader, key, *key_place);
        let is_there = node.scalar().is_some_and(|scalar| scalar.plain && scalar.text() == "true");
        let is = match is_there {
            true => Some(Comparison::Exists(true)),
            false => comparison_of(reader, node, Of::Text),
        };
        if let (Some(name), Some(is)) = (name, is) {
            expect.headers.push(HeaderExpectation { name, is });
        }
    }
    for key in ["body_contains", "contains"] {
        let items = object.get(key).map(|node| reader.one_or_more(node)).unwrap_or_default();
        expect.body_contains.extend(items.iter().filter_map(|item| fixed_text(reader, item)));
    }
    expect.body = object.get("body").and_then(|node| comparison_of(reader, node, Of::Text));
    expect.size = object.get("size").and_then(|node| comparison_of(reader, node, Of::Bytes));
    for Entry { key, key_place, node } in
        object.get("json").map(|node| reader.entries(node, "JSONPaths and values")).unwrap_or_default()
    {
        let value = comparison(reader, node);
        if is_jsonpath(reader, key, *key_place)
            && let Some(value) = value
        {
            expect.json.push((key.clone(), value));
        }
    }
    for Entry { key, key_place, node } in
        object.get("xpath").map(|node| reader.entries(node, "XPaths and values")).unwrap_or_default()
    {
        let value = comparison_of(reader, node, Of::Text);
        if is_xpath(reader, key, *key_place)
            && let Some(value) = value
        {
            expect.xpath.push((key.clone(), value));
        }
    }
    expect.schema = object.get("schema").and_then(|node| json_schema::read(reader, node));
    expect.within = object.get("within").and_then(|node| reader.some_time(node));
    expect.first_byte_within = object.get("first_byte_within").and_then(|node| reader.some_time(node));
    expect
}

fn holds_secret(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(scalar) => scalar.has_secret(),
        Value::List(items) => items.iter().any(holds_secret),
        Value::Map(entries) => entries.iter().any(|entry| holds_secret(&entry.node)),
        Value::Broken => false,
    }
}

/// A text that is compared as it stands. A hole in it would never be filled, so it is refused.
pub(crate) fn fixed_text(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "a text")?;
    if text.contains("{{") {
        let finding = Finding::error(node.place, "templates are not filled in an expectation");
        reader.report(finding.help("compare with a text that is the same for all"));
        return None;
    }
    Some(text)
}

pub(crate) fn status(reader: &mut Reader<'_>, node: &Node) -> Option<StatusRange> {
    const HELP: &str = "write a status from 100 to 599 like `200`, or a class like `2xx`";
    let text = reader.text(node, "a status")?;
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    let range = match class {
        Some(class) => StatusRange {
            first: class.saturating_mul(100),
            last: class.saturating_mul(100).saturating_add(99),
        },
        None => {
            let status = text.parse().unwrap_or(0);
            StatusRange { first: status, last: status }
        }
    };
    if range.first < 100 || range.last > 599 {
        reader.expected(node, "a status", Some(HELP));
        return None;
    }
    Some(range)
}

pub(crate) fn is_jsonpath(reader: &mut Reader<'_>, path: &str, place: Place) -> bool {
    let right = JsonPath::new(path).is_ok();
    if !right {
        let message = format!("`{}` is not a JSONPath", shortened(path));
        reader.report(Finding::error(place, message).help("write one like `$.items[0].id` (RFC 9535)"));
    }
    right
}

pub(crate) fn is_xpath(reader: &mut Reader<'_>, path: &str, place: Place) -> bool {
    let Err(why) = XPath::new(path) else { return true };
    let message = format!("`{}` is not an XPath: {why}", shortened(path));
    reader.report(Finding::error(place, message).help("write one like `//item[1]/@id` (XPath 1.0)"));
    false
}
