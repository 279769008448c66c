//! Records of CSV as RFC 4180 has them, and nothing looser: a quote stands at both ends of a value or
//! not at all, so a quote that is not doubled is a mistake with a place, and never swallows rows.

use memchr::memchr2;

use crate::row::Row;
use crate::table::Fault;

/// Where the record at the start of `bytes` ends, its line feed included; `None` when it goes on
/// behind them.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut is_quoted) = (0, false);
    loop {
        let found = at + memchr2(b'"', b'\n', &bytes[at..])?;
        at = found + 1;
        match bytes[found] {
            b'"' => is_quoted = !is_quoted,
            _ if !is_quoted => return Some(at),
            _ => {}
        }
    }
}

/// Reads the values of a record without its line feed. The error comes with the byte it is at.
pub(crate) fn values(text: &str, delimiter: u8, row: &mut Row) -> Result<(), (usize, Fault)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at = if bytes.get(at) == Some(&b'"') {
            quoted(text, at, delimiter, row)?
        } else {
            let end = memchr::memchr(delimiter, &bytes[at..]).map_or(bytes.len(), |end| at + end);
            if let Some(wrong) = memchr2(b'"', b'\r', &bytes[at..end]) {
                let fault = if bytes[at + wrong] == b'"' { Fault::LooseQuote } else { Fault::LooseReturn };
                return Err((at + wrong, fault));
            }
            row.push_str(&text[at..end]);
            end
        };
        row.end_value();
        if at == bytes.len() {
            return Ok(());
        }
        at += 1;
    }
}

/// Reads a value in quotes that begins at `open`; returns where it ends.
fn quoted(text: &str, open: usize, delimiter: u8, row: &mut Row) -> Result<usize, (usize, Fault)> {
    let bytes = text.as_bytes();
    let mut at = open + 1;
    loop {
        let quote = memchr::memchr(b'"', &bytes[at..]).ok_or((open, Fault::OpenQuote))? + at;
        row.push_str(&text[at..quote]);
        match bytes.get(quote + 1) {
            Some(b'"') => row.push_str("\""),
            None => return Ok(quote + 1),
            Some(next) if *next == delimiter => return Ok(quote + 1),
            Some(_) => return Err((quote + 1, Fault::AfterQuote)),
        }
        at = quote + 2;
    }
}

/// Appends a record.
pub(crate) fn write<'v>(values: impl Iterator<Item = &'v str>, out: &mut Vec<u8>) {
    for (position, value) in values.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.push(b'"');
        for (part, text) in value.split('"').enumerate() {
            if part > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'"');
    }
    out.push(b'\n');
}
