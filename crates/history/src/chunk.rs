//! Many seconds of an ended run as one compressed text.
//!
//! The rows go in byte for byte, so that reading a chunk is reading rows. Each second is a line
//! `SECOND SERIES` with its number and how many series it has, a line with its head and one line per
//! series; heads and series are JSON, which has no line feeds. The lines are taken apart into columns
//! ([`columns`]) behind a first byte that says so, and compressed by zlib; older builds compressed them as they are.

use std::fmt::Write as _;
use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use plimsoll_run::wire::SecondRows;

use crate::columns;

/// A chunk that unpacks to more than this is no chunk of ours: a minute of a thousand series is a tenth of it.
const LARGEST_BYTES: u64 = 1 << 30;

/// In front of columns; no zlib stream begins with it.
const COLUMNS: u8 = b'C';

/// Bytes that are no chunk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MalformedChunk {
    /// It does not unpack.
    #[error("a chunk does not unpack: {0}")]
    Packing(#[from] std::io::Error),
    /// It ends early.
    #[error("a chunk is incomplete")]
    Incomplete,
}

/// Packs seconds.
pub(crate) fn pack(seconds: &[SecondRows]) -> std::io::Result<Vec<u8>> {
    let mut text = String::new();
    for rows in seconds {
        // Writing to memory does not fail.
        let _ = writeln!(text, "{} {}\n{}", rows.second, rows.series.len(), rows.head);
        for series in &rows.series {
            text.push_str(series);
            text.push('\n');
        }
    }
    match columns::fold(&text) {
        Some(columns) => deflated(vec![COLUMNS], &columns),
        None => deflated(Vec::new(), text.as_bytes()),
    }
}

fn deflated(head: Vec<u8>, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(head, Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Unpacks what [`pack`] packed.
pub(crate) fn unpack(data: &[u8]) -> Result<Vec<SecondRows>, MalformedChunk> {
    let mut text = String::new();
    match data.strip_prefix(&[COLUMNS]) {
        Some(data) => {
            let mut columns = Vec::new();
            ZlibDecoder::new(data).take(LARGEST_BYTES).read_to_end(&mut columns)?;
            text = columns::unfold(&columns, LARGEST_BYTES as usize).ok_or(MalformedChunk::Incomplete)?;
        }
        None => {
            ZlibDecoder::new(data).take(LARGEST_BYTES).read_to_string(&mut text)?;
        }
    }
    let mut lines = text.lines();
    let mut seconds = Vec::new();
    while let Some(line) = lines.next() {
        seconds.push(second(line, &mut lines).ok_or(MalformedChunk::Incomplete)?);
    }
    Ok(seconds)
}

fn second<'a>(line: &str, rest: &mut impl Iterator<Item = &'a str>) -> Option<SecondRows> {
    let (second, count) = line.split_once(' ')?;
    let (second, count) = (second.parse().ok()?, count.parse().ok()?);
    let head = rest.next()?.to_owned();
    let series: Vec<String> = rest.take(count).map(str::to_owned).collect();
    (series.len() == count).then_some(SecondRows { second, head, series })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = SecondRows> {
        (any::<u64>(), "[^\n\r]{0,40}", prop::collection::vec("[^\n\r]{0,40}", 0..4))
            .prop_map(|(second, head, series)| SecondRows { second, head, series })
    }

    proptest! {
        #[test]
        fn chunks_survive(seconds in prop::collection::vec(rows(), 0..20)) {
            prop_assert_eq!(unpack(&pack(&seconds).unwrap()).unwrap(), seconds);
        }

        #[test]
        fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&data);
        }

        #[test]
        fn no_text_panics(text in "[0-9 a\n]{0,60}") {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            let _ = unpack(&encoder.finish().unwrap());
        }
    }

    #[test]
    fn chunks_of_older_builds_are_read() {
        let text = "7 2\n{\"second\":7}\n{\"a\":1}\n{\"a\":2}\n";
        let data = deflated(Vec::new(), text.as_bytes()).unwrap();
        let series = vec!["{\"a\":1}".into(), "{\"a\":2}".into()];
        assert_eq!(unpack(&data).unwrap(), [SecondRows { second: 7, head: "{\"second\":7}".into(), series }]);
    }

    #[test]
    fn half_a_chunk_is_none() {
        let whole =
            pack(&[SecondRows { second: 1, head: "{}".into(), series: vec!["{}".into(); 50] }]).unwrap();
        assert!(unpack(&whole[..whole.len() / 2]).is_err());
    }
}
