//! Reads a stream of bytes as the answer to one request, in whatever pieces.

use http::HeaderMap;
use plimsoll_driver::http1::{ReadError, ResponseReader, Want};

/// What came of a stream that holds an answer and then ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) keeps_alive: bool,
    /// How many bytes of the stream belong to the answer.
    pub(crate) consumed: usize,
}

pub(crate) const MAX_BODY: u64 = 100_000;

pub(crate) fn want(head_request: bool) -> Want {
    Want { head_request, keep_headers: true, keep_body: true, max_body: MAX_BODY }
}

/// Reads the pieces one after the other, and then the end of the stream.
pub(crate) fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, want: Want) -> Result<Answer, ReadError> {
    let mut reader = ResponseReader::new();
    reader.begin(want);
    let (mut consumed, mut complete, mut surplus) = (0, false, false);
    for piece in pieces {
        if complete {
            surplus |= !piece.is_empty();
            continue;
        }
        match reader.read(piece)? {
            None => consumed += piece.len(),
            Some(end) => {
                complete = true;
                consumed += end;
                surplus |= end < piece.len();
            }
        }
    }
    // Whoever reads piece by piece meets what is unasked for only when the connection is idle again.
    let keeps_alive = reader.keeps_alive() && !surplus;
    if !complete {
        reader.end()?;
    }
    let (headers, body) = (reader.take_headers(), reader.take_body());
    Ok(Answer { status: reader.status(), headers, body, keeps_alive, consumed })
}

/// The stream cut at these places, which may lie anywhere and in any order.
pub(crate) fn cut<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}
