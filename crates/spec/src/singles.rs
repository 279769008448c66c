//! `trace` and `samples`: which requests are told one by one, and how.

use std::path::PathBuf;

use plimsoll_measure::SingleRule;
use plimsoll_run::{SamplesFormat, SamplesSettings};
use plimsoll_units::Ratio;

use crate::diagnostic::Finding;
use crate::read::{Object, Reader};
use crate::tree::Node;
use crate::words;

/// The share of requests that are sampled where nothing is said: enough to find each kind of request
/// among the traces, and little for the target to record.
const SAMPLED: f64 = 0.01;

pub(crate) fn trace(reader: &mut Reader<'_>, node: &Node) -> Option<SingleRule> {
    let object = reader.object(node, &words::TRACE)?;
    let share = share(reader, &object, SAMPLED);
    let slower_than = slower_than(reader, &object);
    let failed = object.get("failed").map_or(Some(true), |node| reader.flag(node));
    Some(SingleRule::new(share?, slower_than?, failed?))
}

pub(crate) fn samples(reader: &mut Reader<'_>, node: &Node) -> Option<SamplesSettings> {
    let object = reader.object(node, &words::SAMPLES)?;
    let file = object.get("file").and_then(|node| file(reader, node, "a file"));
    let failed = object.get("failed").map_or(Some("none"), |node| {
        reader.word(node, "which failed requests are written", words::SAMPLES_FAILED)
    });
    let slower_than = slower_than(reader, &object);
    // Who names some requests means those; who names none means all.
    let names_some = object.get("slower_than").is_some() || failed == Some("all");
    let share = share(reader, &object, if names_some { 0.0 } else { 1.0 });
    let format = match object.get("format") {
        Some(node) => reader.word(node, "a format", words::SAMPLES_FORMATS).and_then(format_of),
        None => {
            file.as_ref().zip(object.get("file")).and_then(|(file, node)| by_extension(reader, node, file))
        }
    };
    let rule = SingleRule::new(share?, slower_than?, failed? == "all");
    Some(SamplesSettings { file: file?, format: format?, rule })
}

pub(crate) fn file(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<PathBuf> {
    let text = reader.text(node, what)?;
    if reader.scalar(node, what)?.has_secret() {
        reader.error(node.place, format!("the name of {what} is shown and cannot hold a secret"));
        return None;
    }
    Some(text.into())
}

fn by_extension(reader: &mut Reader<'_>, node: &Node, file: &std::path::Path) -> Option<SamplesFormat> {
    let format = file.extension().and_then(|extension| extension.to_str()).and_then(format_of);
    if format.is_none() {
        let finding = Finding::error(node.place, "this name does not say what is written");
        reader.report(finding.help("end it in `.ndjson` or `.csv`, or say it: `format: ndjson`"));
    }
    format
}

fn format_of(word: &str) -> Option<SamplesFormat> {
    match word {
        "ndjson" => Some(SamplesFormat::Ndjson),
        "csv" => Some(SamplesFormat::Csv),
        _ => None,
    }
}

fn share(reader: &mut Reader<'_>, object: &Object<'_>, default: f64) -> Option<Ratio> {
    match object.get("share") {
        Some(node) => reader.quantity(node, "a share"),
        None => Ratio::new(default),
    }
}

/// `None` where it is wrong; nanoseconds, where there are any, otherwise.
fn slower_than(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<Option<u64>> {
    match object.get("slower_than") {
        None => Some(None),
        Some(node) => reader.some_time(node).map(|time| u64::try_from(time.as_nanos()).ok()),
    }
}
