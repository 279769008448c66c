//! A load's course out of a file: rows of time and rate.
//!
//! What is wrong with a row is told with its place in the file. Rows become one stage, however many there are.

use std::ops::Range;
use std::time::Duration;

use plimsoll_units::{Rate, duration};
use plimsoll_workload::Curve;

use crate::diagnostic::{Finding, Place};
use crate::http::file;
use crate::read::{Object, Reader};
use crate::tree::{Node, shortened};

/// A row a second for more than a day.
const MOST_ROWS: usize = 100_000;

/// Mistakes told of one file: what is wrong in every row is told often enough.
const MOST_TOLD: usize = 10;

const HELP: &str = "the first line names the columns `time` and `rate`; then come rows like `1m30s,200`";

/// Reads the file that a load's `schedule` names. `None` where something is wrong with it.
pub(crate) fn read(reader: &mut Reader<'_>, object: &Object<'_>, node: &Node) -> Option<Curve> {
    let steps = match object.get("interpolate") {
        Some(node) => reader.word(node, "a word", &["linear", "steps"])? == "steps",
        None => false,
    };
    let bytes = file(reader, node)?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let message = format!("the file {} is no schedule: line {line}: this is not UTF-8", node.kind());
            reader.report(Finding::error(node.place, message).help(HELP));
            return None;
        }
    };
    let name = node.scalar().map(|scalar| scalar.shown()).unwrap_or_default();
    let source = reader.sources.add(&name, text);
    let rows = Rows { text, source, errors: reader.findings.len() }.read(reader, node)?;
    let curve = match steps {
        true => Curve::of_steps(rows.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[0].1))),
        false => Curve::new(rows),
    };
    if curve.is_none() {
        reader.error(node.place, "the rows make no schedule");
    }
    curve
}

/// A file of rows.
struct Rows<'t> {
    text: &'t str,
    source: usize,
    /// How many mistakes there were before.
    errors: usize,
}

/// A value and its bytes in the file.
type Field<'t> = (&'t str, Range<usize>);

impl<'t> Rows<'t> {
    /// Times, ascending from zero, and rates per second.
    fn read(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(Duration, f64)>> {
        let mut lines = self.lines();
        let Some((line, start)) = lines.next() else {
            let message = format!("the file {} is empty", node.kind());
            reader.report(Finding::error(node.place, message).help(HELP));
            return None;
        };
        // Spreadsheets write one of these, depending on where they think they are.
        let delimiter = [',', ';', '\t'].into_iter().find(|one| line.contains(*one)).unwrap_or(',');
        let header = fields(line, start, delimiter);
        let column = |wanted: &str| header.iter().position(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let (Some(time), Some(rate)) = (column("time"), column("rate")) else {
            let place = self.place(start..start + line.len());
            let message = format!("expected the columns `time` and `rate`, found `{}`", shortened(line));
            reader.report(Finding::error(place, message).help(HELP));
            return None;
        };
        let mut rows: Vec<(Duration, f64)> = Vec::new();
        for (line, start) in lines {
            let fields = fields(line, start, delimiter);
            let row = self.row(reader, (line, start), fields.get(time), fields.get(rate), rows.last());
            rows.extend(row);
            if reader.findings.len() >= self.errors + MOST_TOLD {
                return None;
            }
            if rows.len() > MOST_ROWS {
                reader.error(node.place, format!("the file {} has more than {MOST_ROWS} rows", node.kind()));
                return None;
            }
        }
        if reader.findings.len() == self.errors && rows.len() < 2 {
            let message = format!("the file {} has fewer than two rows", node.kind());
            let help = "one row says where the load starts, another where it ends";
            reader.report(Finding::error(node.place, message).help(help));
        }
        (reader.findings.len() == self.errors).then_some(rows)
    }

    fn row(
        &self,
        reader: &mut Reader<'_>,
        (line, start): (&str, usize),
        time: Option<&Field<'t>>,
        rate: Option<&Field<'t>>,
        before: Option<&(Duration, f64)>,
    ) -> Option<(Duration, f64)> {
        let (Some((time, at)), Some((rate, level))) = (time, rate) else {
            let place = self.place(start..start + line.len());
            reader.report(Finding::error(place, "the row has fewer values than the header").help(HELP));
            return None;
        };
        let wrong = |reader: &mut Reader<'_>, what: &str, found: &str, place: &Range<usize>, help: &str| {
            let message = format!("expected {what}, found `{}`", shortened(found));
            reader.report(Finding::error(self.place(place.clone()), message).help(help));
        };
        let found_rate = per_second(rate);
        if found_rate.is_none() {
            let help = "write arrivals per second like `200`, or a rate like `12k/min`, up to 10M/s";
            wrong(reader, "a rate", rate, level, help);
        }
        let Some(offset) = offset(time) else {
            let help = "write seconds from the start like `90`, or a duration like `1m30s`, up to ten years";
            wrong(reader, "a time", time, at, help);
            return None;
        };
        match before {
            None if !offset.is_zero() => {
                wrong(
                    reader,
                    "the time 0 in the first row",
                    time,
                    at,
                    "what is before it would have no rate",
                );
            }
            Some((before, _)) if offset <= *before => {
                let what = format!("a time later than {}", duration::format(*before));
                wrong(reader, &what, time, at, "each row is later than the one before it");
            }
            _ => {}
        }
        // Also where something is wrong with it: the next row is later than this one.
        Some((offset, found_rate.unwrap_or(0.0)))
    }

    /// Lines that say something, and where they start.
    fn lines(&self) -> impl Iterator<Item = (&'t str, usize)> {
        let mut start = 0;
        let lines = self.text.split_inclusive('\n').map(move |line| {
            let at = start;
            start += line.len();
            (line.trim_end_matches(['\n', '\r']), at)
        });
        lines.filter(|(line, _)| !line.trim().is_empty())
    }

    fn place(&self, range: Range<usize>) -> Place {
        Place { source: self.source, start: range.start, end: range.end }
    }
}

/// The values of a line without the spaces and quotes around them.
fn fields(line: &str, start: usize, delimiter: char) -> Vec<Field<'_>> {
    let mut at = start;
    let fields = line.split(delimiter).map(|field| {
        let from = at;
        at += field.len() + delimiter.len_utf8();
        let value = field.trim().trim_matches('"').trim();
        let start = from + field.find(value).unwrap_or(0);
        (value, start..start + value.len())
    });
    fields.collect()
}

/// Seconds, or a duration with its unit.
fn offset(text: &str) -> Option<Duration> {
    match number(text) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= duration::LONGEST),
        None => duration::parse(text).ok(),
    }
}

fn per_second(text: &str) -> Option<f64> {
    match number(text) {
        Some(rate) => Rate::new(rate).map(Rate::per_second),
        None => text.parse::<Rate>().ok().map(Rate::per_second),
    }
}

/// A plain decimal number: `12`, `0.5`, `1e3`.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| is_plain)
}
