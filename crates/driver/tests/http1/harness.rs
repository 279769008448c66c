//! Reads a stream of bytes as the answer to one request, in whatever pieces.

use http::HeaderMap;
use plimsoll_driver::http1::{KnownHead, MAX_HEAD, ReadError, ResponseReader, Want};

use crate::allocations::measured;

/// What came of a stream that holds an answer and then ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) keeps_alive: bool,
}

pub(crate) const MAX_BODY: u64 = 100_000;

/// The most memory reading may take beside the body: a head that comes in pieces, its headers as a map,
/// and the map's own room for a hundred of them, twice while it grows.
const MAX_MEMORY: usize = 2 * MAX_HEAD + 64 * 1024;

pub(crate) fn want(head_request: bool) -> Want {
    Want { head_request, keep_headers: true, keep_body: true, keep_failed: 0, max_body: MAX_BODY }
}

/// Reads the pieces one after the other, and then the end of the stream.
pub(crate) fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, want: Want) -> Result<Answer, ReadError> {
    measure(pieces, want, None).0
}

/// Likewise, perhaps with a head that is known, and with how many bytes of the stream belong to the answer.
pub(crate) fn measure<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    want: Want,
    mut known: Option<&mut KnownHead>,
) -> (Result<Answer, ReadError>, usize) {
    let mut reader = ResponseReader::new();
    reader.begin(want);
    let (mut consumed, mut complete, mut surplus) = (0, false, false);
    for piece in pieces {
        if complete {
            surplus |= !piece.is_empty();
            continue;
        }
        let read = match &mut known {
            Some(known) => reader.read_knowing(piece, known),
            None => reader.read(piece),
        };
        match read {
            Ok(None) => consumed += piece.len(),
            Ok(Some(end)) => {
                complete = true;
                consumed += end;
                surplus |= end < piece.len();
            }
            Err(error) => {
                assert_eq!(reader.read(b"x"), Err(error), "an error stays");
                assert_eq!(reader.end(), Err(error), "an error stays");
                return (Err(error), 0);
            }
        }
    }
    // Whoever reads piece by piece meets what is unasked for only when the connection is idle again.
    let keeps_alive = reader.keeps_alive() && !surplus;
    if !complete && let Err(error) = reader.end() {
        return (Err(error), 0);
    }
    let (headers, body) = (reader.take_headers(), reader.take_body());
    (Ok(Answer { status: reader.status(), headers, body, keeps_alive }), consumed)
}

/// Fails unless the stream gives the same cut at these places and with nothing kept, in bounded memory.
pub(crate) fn check_pieces(stream: &[u8], cuts: &[usize], head_request: bool) {
    let want = want(head_request);
    let whole = measure([stream], want, None);
    let text = || String::from_utf8_lossy(stream);
    let pieces = cut(stream, cuts);
    let (found, usage) = measured(|| measure(pieces.iter().copied(), want, None));
    assert_eq!(found, whole, "cut at {cuts:?}: {:?}", text());
    assert!(usage.peak <= MAX_MEMORY + MAX_BODY as usize, "{usage:?}: {:?}", text());
    let without = Want { keep_headers: false, keep_body: false, ..want };
    let (dropped, usage) = measured(|| measure(pieces.iter().copied(), without, None));
    assert!(usage.peak <= MAX_MEMORY, "nothing kept, {usage:?}: {:?}", text());
    assert_eq!(dropped.1, whole.1, "nothing kept, cut at {cuts:?}: {:?}", text());
    match (&dropped.0, &whole.0) {
        (Ok(dropped), Ok(whole)) => {
            assert_eq!((dropped.status, dropped.keeps_alive), (whole.status, whole.keeps_alive));
            assert!(dropped.body.is_empty());
            for (name, value) in &whole.headers {
                let kept = dropped.headers.get_all(name).iter().any(|kept| kept == value);
                assert_eq!(kept, name == "location" || name == "set-cookie", "{name}: {:?}", text());
            }
        }
        (dropped, whole) => assert_eq!(dropped, whole, "{:?}", text()),
    }
}

/// Fails unless the stream gives the same when its head was read before, whatever that request was.
pub(crate) fn check_known(stream: &[u8], cuts: &[usize], head_request: bool) {
    let text = || String::from_utf8_lossy(stream);
    let pieces = cut(stream, cuts);
    let mut known = KnownHead::default();
    for (head_request, keep_headers) in
        [(head_request, false), (head_request, false), (!head_request, false), (head_request, true)]
    {
        let want = Want { head_request, keep_headers, ..want(head_request) };
        let anew = measure([stream], want, None);
        let found = measure(pieces.iter().copied(), want, Some(&mut known));
        assert_eq!(found, anew, "{want:?}, cut at {cuts:?}: {:?}", text());
        let found = measure([stream], want, Some(&mut known));
        assert_eq!(found, anew, "{want:?}: {:?}", text());
    }
}

/// The stream cut at these places, which may lie anywhere and in any order.
pub(crate) fn cut<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}
