//! `capture`: what a step takes from its answer, for the steps after it.

use plimsoll_run::{Capture, CaptureSource, Variable};

use crate::diagnostic::{Finding, Place};
use crate::expect::is_jsonpath;
use crate::feeds::{is_identifier, taken};
use crate::http::any_header_name;
use crate::read::Reader;
use crate::regular::is_regex;
use crate::steps::Walk;
use crate::tree::{Entry, Node, shortened};
use crate::words;

impl Walk<'_> {
    pub(crate) fn captures(&mut self, reader: &mut Reader<'_>, node: &Node) -> Vec<Capture> {
        let mut captures = Vec::new();
        for Entry { key, key_place, node } in reader.entries(node, "captures") {
            self.scope.later.retain(|(later, _)| later != key);
            let source = capture_source(reader, node);
            let Some(slot) = self.slot(reader, key, *key_place) else { continue };
            if let Some(source) = source {
                captures.push(Capture { name: key.clone(), slot, source });
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

fn capture_source(reader: &mut Reader<'_>, node: &Node) -> Option<CaptureSource> {
    let object = reader.object(node, &words::CAPTURE)?;
    match (object.get("jsonpath"), object.get("regex"), object.get("header")) {
        (Some(node), None, None) => {
            let path = reader.text(node, "a JSONPath")?;
            is_jsonpath(reader, &path, node.place).then_some(CaptureSource::JsonPath(path))
        }
        (None, Some(node), None) => {
            let pattern = reader.text(node, "a regular expression")?;
            is_regex(reader, &pattern, node.place).then_some(CaptureSource::Regex(pattern))
        }
        (None, None, Some(node)) => {
            let name = reader.text(node, "the name of a header")?;
            any_header_name(reader, &name, node.place).map(CaptureSource::Header)
        }
        _ => {
            let finding =
                Finding::error(object.place, "a capture has one of `jsonpath`, `regex` and `header`");
            reader.report(finding.help("write `{ jsonpath: \"$.items[0].id\" }`"));
            None
        }
    }
}
