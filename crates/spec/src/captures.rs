//! `capture`: what a step takes from its answer, for the steps after it.

use plimsoll_run::{Absent, Capture, CaptureSource, Pick, Variable};

use crate::diagnostic::{Finding, Place, listed};
use crate::expect::{fixed_text, is_jsonpath, is_xpath};
use crate::feeds::{is_identifier, taken};
use crate::http::any_header_name;
use crate::read::{Object, Reader};
use crate::regular::is_regex;
use crate::steps::Walk;
use crate::tree::{Entry, Node, shortened};
use crate::words;

impl Walk<'_> {
    pub(crate) fn captures(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Capture> {
        let mut captures = Vec::new();
        for Entry { key, key_place, node } in reader.entries(node, "captures") {
            self.scope.later.retain(|(later, _)| later != key);
            let taken = taken_from(reader, node);
            let Some(slot) = self.slot(reader, key, *key_place) else { continue };
            if let Some((source, pick, absent)) = taken {
                captures.push(Capture { name: key.clone(), slot, source, pick, absent });
            }
        }
        captures
    }

    /// Where the value of this name goes, which steps from here on may use.
    pub(crate) fn slot(&mut self, reader: &mut Reader<'_>, name: &str, place: Place) -> Option<u16> {
        if !self.is_free(reader, name, place) {
            return None;
        }
        let slot = match self.elsewhere.get(name) {
            Some(slot) => *slot,
            None => {
                let Ok(slot) = u16::try_from(self.slots) else {
                    reader.error(place, format!("there are more than {} captures", u16::MAX));
                    return None;
                };
                self.slots += 1;
                slot
            }
        };
        self.scope.captures.push((name.to_owned(), Variable::Capture(slot)));
        Some(slot)
    }

    /// Whether a capture may have this name.
    fn is_free(&self, reader: &mut Reader<'_>, name: &str, place: Place) -> bool {
        if !is_identifier(name) {
            let message = format!("`{}` cannot be the name of a capture", shortened(name));
            reader.report(
                Finding::error(place, message)
                    .help("a name has letters, digits, `_` and `-`, a letter first"),
            );
            return false;
        }
        let captured = self.scope.captures.iter().chain(&self.taken).find(|(known, _)| known == name);
        let taken = match captured {
            Some((_, Variable::Setup(_))) => Some("captured by setup".to_owned()),
            Some(_) => Some("captured by a step before".to_owned()),
            None => taken(name, self.scope.feeds),
        };
        if let Some(taken) = taken {
            let message = format!("the name `{name}` is taken: it is {taken}");
            reader.report(Finding::error(place, message).help("give the capture another name"));
            return false;
        }
        true
    }
}

/// The keys that say where a value comes from.
const SOURCES: [&str; 5] = ["jsonpath", "regex", "xpath", "header", "cookie"];

/// Where a value comes from, which of many it is, and what happens where there is none.
fn taken_from(reader: &mut Reader<'_>, node: &Node) -> Option<(CaptureSource, Pick, Absent)> {
    let object = reader.object(node, &words::CAPTURE)?;
    let pick = match object.get("match") {
        Some(node) => pick(reader, node),
        None => Some(Pick::First),
    };
    let absent = absent(reader, &object);
    let mut sources = SOURCES.into_iter().filter_map(|key| Some((key, object.get(key)?)));
    let (Some((key, node)), None) = (sources.next(), sources.next()) else {
        let finding = Finding::error(object.place, format!("a capture has one of {}", listed(SOURCES)));
        reader.report(finding.help("write `{ jsonpath: \"$.items[0].id\" }`"));
        return None;
    };
    for (word, belongs) in [("group", key == "regex"), ("match", key != "cookie")] {
        if object.get(word).is_some() && !belongs {
            let finding =
                Finding::error(object.key_place(word), format!("`{word}` says nothing of a `{key}`"));
            reader.report(finding.help("leave it out"));
            return None;
        }
    }
    let source = source(reader, key, node, object.get("group"))?;
    Some((source, pick?, absent?))
}

fn source(reader: &mut Reader<'_>, key: &str, node: &Node, group: Option<&Node>) -> Option<CaptureSource> {
    match key {
        "jsonpath" => {
            let path = reader.text(node, "a JSONPath")?;
            is_jsonpath(reader, &path, node.place).then_some(CaptureSource::JsonPath(path))
        }
        "regex" => {
            let pattern = reader.text(node, "a regular expression")?;
            let is_regex = is_regex(reader, &pattern, node.place);
            let group = match group.filter(|_| is_regex) {
                Some(node) => Some(group_of(reader, &pattern, node)?),
                None => None,
            };
            is_regex.then_some(CaptureSource::Regex { pattern, group })
        }
        "xpath" => {
            let path = reader.text(node, "an XPath")?;
            is_xpath(reader, &path, node.place).then_some(CaptureSource::XPath(path))
        }
        "header" => {
            let name = reader.text(node, "the name of a header")?;
            any_header_name(reader, &name, node.place).map(CaptureSource::Header)
        }
        _ => {
            let name = reader.text(node, "the name of a cookie")?;
            if name.chars().any(|c| c.is_control() || c.is_whitespace() || "=;,".contains(c)) {
                reader.expected(node, "the name of a cookie", Some("it has no space and none of `=;,`"));
                return None;
            }
            Some(CaptureSource::Cookie(name))
        }
    }
}

/// A group that an expression has, by its number or name.
fn group_of(reader: &mut Reader<'_>, pattern: &str, node: &Node) -> Option<String> {
    let group = reader.text(node, "a group")?;
    let regex = plimsoll_query::regular(pattern).ok()?;
    let is_there = match group.parse::<usize>() {
        Ok(number) => number < regex.captures_len(),
        Err(_) => regex.capture_names().flatten().any(|name| name == group),
    };
    if !is_there {
        let names: Vec<_> = regex.capture_names().flatten().map(|name| format!(", `{name}`")).collect();
        let last = regex.captures_len() - 1;
        let help = format!("its groups are 0 (the whole match) to {last}{}", names.concat());
        let message = format!("the expression has no group `{}`", shortened(&group));
        reader.report(Finding::error(node.place, message).help(help));
        return None;
    }
    Some(group)
}

fn pick(reader: &mut Reader<'_>, node: &Node) -> Option<Pick> {
    let text = reader.text(node, "which match")?;
    match text.as_str() {
        "first" => Some(Pick::First),
        "last" => Some(Pick::Last),
        "random" => Some(Pick::Random),
        number => match number.parse().ok().filter(|number| (1..=MOST_MATCHES).contains(number)) {
            Some(number) => Some(Pick::Nth(number)),
            None => {
                let help = format!("write `first`, `last`, `random` or a number from 1 to {MOST_MATCHES}");
                reader.expected(node, "which match", Some(&help));
                None
            }
        },
    }
}

fn absent(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<Absent> {
    let optional = match object.get("optional") {
        Some(node) => reader.flag(node)?,
        None => false,
    };
    let Some(node) = object.get("default") else {
        return Some(if optional { Absent::Unknown } else { Absent::Fails });
    };
    if optional {
        let finding = Finding::error(node.place, "a capture with a `default` is never without a value");
        reader.report(finding.help("leave out `optional` or `default`"));
        return None;
    }
    let scalar = reader.scalar(node, "a text")?;
    if scalar.has_secret() {
        reader.error(node.place, "a captured value is shown in places and cannot hold a secret");
        return None;
    }
    match scalar.text() {
        empty if empty.is_empty() => Some(Absent::Is(empty)),
        _ => fixed_text(reader, node).map(Absent::Is),
    }
}

/// The highest number of a match.
const MOST_MATCHES: u32 = 1_000_000;
