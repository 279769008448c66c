use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::ReadError;
use super::chunked::Chunks;

/// The largest head, in bytes, its line ends and empty lines before it included. Servers send 1 KiB and
/// refuse requests beyond 8 to 64 KiB themselves.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most headers of a head.
pub const MAX_HEADERS: usize = 100;

/// The most informational responses (1xx) before the final one. Early hints come once or twice.
pub const MAX_INFORMATIONAL: u8 = 32;

/// From this status on an answer failed (RFC 9110, section 15).
const FAILED: u16 = 400;

/// What the caller wants of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The request was HEAD, so the response has no body whatever its headers say.
    pub head_request: bool,
    /// All headers are wanted. Without it, only `location` and `set-cookie` are kept.
    pub keep_headers: bool,
    /// The body is wanted. Without it, it is counted and thrown away.
    pub keep_body: bool,
    /// Of an answer that failed, by a status from 400, the headers and so many bytes of the body are kept whatever else is
    /// wanted, so that somebody can look at them; headers that are none are left out.
    pub keep_failed: usize,
    /// The most bytes a body may have, chunk sizes and the like not counted.
    pub max_body: u64,
}

/// Reads one response after the other from the bytes of one connection.
///
/// ```
/// use plimsoll_driver::http1::{ResponseReader, Want};
///
/// let mut reader = ResponseReader::new();
/// let want = Want { head_request: false, keep_headers: false, keep_body: true, keep_failed: 0, max_body: 1024 };
/// reader.begin(want);
/// assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\ncontent-len")?, None);
/// assert_eq!(reader.read(b"gth: 5\r\n\r\nhello")?, Some(15));
/// assert_eq!((reader.status(), reader.keeps_alive()), (200, true));
/// assert_eq!(reader.take_body(), b"hello");
/// # Ok::<(), plimsoll_driver::http1::ReadError>(())
/// ```
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    status: u16,
    informational: u8,
    head_request: bool,
    keep_headers: bool,
    keep_failed: usize,
    has_begun: bool,
    /// What headers and version say so far.
    persistent: bool,
    body: Body,
    /// The beginning of a head whose end is not here yet.
    kept: Vec<u8>,
    /// How much of it was there when it was last parsed.
    parsed: usize,
    headers: HeaderMap,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum State {
    Head,
    /// A body of so many more bytes.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Complete,
    Failed(ReadError),
}

/// Where a body goes.
#[derive(Debug)]
pub(super) struct Body {
    kept: Option<Vec<u8>>,
    /// How many bytes of it are kept.
    most: usize,
    /// How many more bytes it may have.
    room: u64,
}

/// The head of an answer that was read before.
///
/// A target mostly answers the same request with the same head, but for a `date` that changes once a
/// second. A head that is the same to the byte says the same and need not be parsed again, which is half
/// of the work of reading an answer. One serves any number of readers.
#[derive(Debug, Default)]
pub struct KnownHead {
    bytes: Vec<u8>,
    head: Head,
}

/// Longer heads are not worth remembering.
const LONGEST_KNOWN: usize = 2048;

/// What a final head says, where none of its headers is kept.
#[derive(Debug, Default, Clone)]
struct Head {
    status: u16,
    is_1_1: bool,
    framing: Framing,
}

/// What the headers of a head say about what follows it.
#[derive(Debug, Default, Clone)]
struct Framing {
    length: Option<u64>,
    /// There is a `transfer-encoding`, and whether it ends in `chunked`.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
    /// The `content-length`s are no number, or not the same.
    contradicts: bool,
    /// There is a header that is kept also where headers are not wanted.
    keeps: bool,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseReader {
    /// A reader that expects nothing: whatever comes before [`begin`](Self::begin) is unasked for.
    pub fn new() -> Self {
        Self {
            state: State::Complete,
            status: 0,
            informational: 0,
            head_request: false,
            keep_headers: false,
            keep_failed: 0,
            has_begun: false,
            persistent: false,
            body: Body { kept: None, most: usize::MAX, room: 0 },
            kept: Vec::new(),
            parsed: 0,
            headers: HeaderMap::new(),
        }
    }

    /// Begins the response to a new request. The previous one must be complete.
    pub fn begin(&mut self, want: Want) {
        self.state = State::Head;
        self.status = 0;
        self.informational = 0;
        self.head_request = want.head_request;
        self.keep_headers = want.keep_headers;
        self.keep_failed = want.keep_failed;
        self.has_begun = false;
        self.persistent = false;
        self.body = Body { kept: want.keep_body.then(Vec::new), most: usize::MAX, room: want.max_body };
        self.kept.clear();
        if !self.headers.is_empty() {
            self.headers = HeaderMap::new();
        }
    }

    /// Takes the next bytes. `None`: all were taken, and more are needed. `Some(n)`: the response is complete
    /// and ends after `n` bytes of `input`; what lies beyond is unasked for, and the connection must not be
    /// used again.
    ///
    /// # Errors
    ///
    /// When the bytes are no HTTP/1.1 response, or one beyond a limit. The response is lost, and each further
    /// call gives the same error.
    pub fn read(&mut self, input: &[u8]) -> Result<Option<usize>, ReadError> {
        self.read_any(input, None)
    }

    /// The same, faster where the head is the one that was read before.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn read_knowing(&mut self, input: &[u8], known: &mut KnownHead) -> Result<Option<usize>, ReadError> {
        self.read_any(input, Some(known))
    }

    fn read_any(&mut self, input: &[u8], known: Option<&mut KnownHead>) -> Result<Option<usize>, ReadError> {
        let end = self.advance(input, known).inspect_err(|error| self.fail(*error))?;
        if end.is_some_and(|end| end < input.len()) {
            self.persistent = false;
        }
        Ok(end)
    }

    /// Takes the end of the stream, which completes a body that lasts until the connection closes.
    ///
    /// # Errors
    ///
    /// When the response is not complete.
    pub fn end(&mut self) -> Result<(), ReadError> {
        self.persistent = false;
        let error = match self.state {
            State::Complete => return Ok(()),
            State::UntilClose => {
                self.state = State::Complete;
                return Ok(());
            }
            State::Failed(error) => error,
            State::Head if !self.has_begun => ReadError::NoAnswer,
            // What arrived after the last parse may be broken rather than cut.
            State::Head => {
                let kept = std::mem::take(&mut self.kept);
                self.head(&kept, None).err().unwrap_or(ReadError::EndInHead)
            }
            State::Length(_) | State::Chunked(_) => ReadError::EndInBody,
        };
        self.fail(error);
        Err(error)
    }

    /// The status of the response, 100 to 999 and never informational; 0 until its head was read.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may carry another request after this response: it is complete, its end did not
    /// depend on the connection's, nothing came after it, and the target did not announce to close.
    pub fn keeps_alive(&self) -> bool {
        self.persistent && matches!(self.state, State::Complete)
    }

    /// Whether anything of this response was seen. A stream that ends before was closed while idle.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether headers were kept.
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Takes the headers of the final response: all where they are wanted, else `location` and `set-cookie`.
    pub fn take_headers(&mut self) -> HeaderMap {
        if self.headers.is_empty() { HeaderMap::new() } else { std::mem::take(&mut self.headers) }
    }

    /// Takes the body where it is wanted, else nothing.
    pub fn take_body(&mut self) -> Vec<u8> {
        self.body.kept.take().unwrap_or_default()
    }

    fn advance(
        &mut self,
        input: &[u8],
        mut known: Option<&mut KnownHead>,
    ) -> Result<Option<usize>, ReadError> {
        self.has_begun |= !input.is_empty();
        let mut at = 0;
        while matches!(self.state, State::Head) {
            let rest = input.get(at..).unwrap_or_default();
            let Some(taken) = self.read_head(rest, known.as_deref_mut())? else { return Ok(None) };
            at += taken;
        }
        let rest = input.get(at..).unwrap_or_default();
        let end = match &mut self.state {
            State::Head | State::Complete => Some(0),
            State::Failed(error) => return Err(*error),
            State::Length(left) => match usize::try_from(*left).ok().and_then(|left| rest.get(..left)) {
                Some(piece) => {
                    self.body.take(piece)?;
                    Some(piece.len())
                }
                None => {
                    self.body.take(rest)?;
                    *left -= rest.len() as u64;
                    None
                }
            },
            State::Chunked(chunks) => chunks.read(rest, &mut self.body)?,
            State::UntilClose => {
                self.body.take(rest)?;
                None
            }
        };
        if end.is_some() {
            self.state = State::Complete;
        }
        Ok(end.map(|end| at + end))
    }

    /// Takes a head: `None` when its end is not in `input`, which is kept then.
    fn read_head(&mut self, input: &[u8], known: Option<&mut KnownHead>) -> Result<Option<usize>, ReadError> {
        if self.kept.is_empty() {
            let window = input.get(..MAX_HEAD).unwrap_or(input);
            let end = self.head(window, known)?;
            if end.is_none() {
                keep(&mut self.kept, window, MAX_HEAD);
                self.parsed = window.len();
            }
            return end.map_or_else(|| self.bounded(), |end| Ok(Some(end)));
        }
        let before = self.kept.len();
        let room = MAX_HEAD - before;
        keep(&mut self.kept, input.get(..room).unwrap_or(input), MAX_HEAD);
        let (all, context) = (self.kept.len(), before.saturating_sub(BLANK_CONTEXT));
        // A head that trickles in is not parsed anew for each byte, or the time would grow with its square.
        let due = all == MAX_HEAD
            || all >= 2 * self.parsed
            || ends_head(self.kept.get(context..).unwrap_or_default());
        if !due {
            return Ok(None);
        }
        let kept = std::mem::take(&mut self.kept);
        let end = self.head(&kept, known)?;
        if let Some(end) = end {
            return Ok(Some(end - before));
        }
        self.parsed = all;
        self.kept = kept;
        self.bounded()
    }

    /// A head that is not complete may get no larger than [`MAX_HEAD`].
    fn bounded(&self) -> Result<Option<usize>, ReadError> {
        if self.kept.len() < MAX_HEAD { Ok(None) } else { Err(ReadError::HeadTooLarge) }
    }

    /// Reads a head and decides what follows it: `None` when it is not complete.
    fn head(&mut self, window: &[u8], known: Option<&mut KnownHead>) -> Result<Option<usize>, ReadError> {
        match known {
            Some(known) if !self.keep_headers && known.begins(window) => {
                self.follow(&known.head)?;
                Ok(Some(known.bytes.len()))
            }
            known => self.parse(window, known),
        }
    }

    fn parse(&mut self, window: &[u8], known: Option<&mut KnownHead>) -> Result<Option<usize>, ReadError> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let parse = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            window,
            &mut headers,
        )?;
        let httparse::Status::Complete(end) = parse else { return Ok(None) };
        let status = parsed.code.unwrap_or_default();
        match status {
            ..100 => return Err(ReadError::StatusLine),
            101 => return Err(ReadError::SwitchingProtocols),
            100..200 if self.informational == MAX_INFORMATIONAL => {
                return Err(ReadError::TooManyInformational);
            }
            100..200 => {
                self.informational += 1;
                return Ok(Some(end));
            }
            _ => {}
        }
        let head = Head { status, is_1_1: parsed.version == Some(1), framing: Framing::of(parsed.headers) };
        self.follow(&head)?;
        if self.keep_headers || head.framing.keeps {
            self.keep_headers(parsed.headers)?;
        }
        if self.keep_failed > 0 && status >= FAILED {
            self.keep_failed(parsed.headers);
        } else if !self.keep_headers
            && !head.framing.keeps
            && let Some(known) = known
            && let Some(bytes) = window.get(..end).filter(|bytes| bytes.len() <= LONGEST_KNOWN)
        {
            known.bytes.clear();
            known.bytes.extend_from_slice(bytes);
            known.head = head;
        }
        Ok(Some(end))
    }

    /// Does what a final head says.
    fn follow(&mut self, head: &Head) -> Result<(), ReadError> {
        self.status = head.status;
        self.persistent = (head.is_1_1 || head.framing.keep_alive) && !head.framing.close;
        self.state = if self.head_request || matches!(head.status, 204 | 304) {
            State::Complete
        } else {
            self.body(&head.framing, head.is_1_1)?
        };
        Ok(())
    }

    /// How the end of the body is found (RFC 9112, section 6.3).
    fn body(&mut self, framing: &Framing, is_1_1: bool) -> Result<State, ReadError> {
        match framing.chunked {
            Some(_) if !is_1_1 => return Err(ReadError::TransferEncoding),
            Some(true) => {
                // Two ways to find the end invite those between us to disagree with us on it.
                self.persistent &= framing.length.is_none() && !framing.contradicts;
                return Ok(State::Chunked(Chunks::new()));
            }
            None if framing.contradicts => return Err(ReadError::ContentLength),
            Some(false) | None => {}
        }
        match framing.length {
            Some(length) if framing.chunked.is_none() => {
                self.body.allow(length)?;
                // It is as long as it says, so no more than that is ever reserved for it.
                self.body.room = length;
                Ok(if length == 0 { State::Complete } else { State::Length(length) })
            }
            _ => {
                self.persistent = false;
                Ok(State::UntilClose)
            }
        }
    }

    fn keep_headers(&mut self, headers: &[httparse::Header<'_>]) -> Result<(), ReadError> {
        for header in headers {
            if self.keep_headers || is_kept_always(header.name.as_bytes()) {
                let name =
                    HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| ReadError::HeaderName)?;
                let value = HeaderValue::from_bytes(header.value).map_err(|_| ReadError::HeaderValue)?;
                self.headers.append(name, value);
            }
        }
        Ok(())
    }

    /// Keeps what is looked at of an answer that failed.
    #[cold]
    fn keep_failed(&mut self, headers: &[httparse::Header<'_>]) {
        let left =
            headers.iter().filter(|header| !self.keep_headers && !is_kept_always(header.name.as_bytes()));
        for header in left {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
                self.headers.append(name, value);
            }
        }
        if self.body.kept.is_none() {
            (self.body.kept, self.body.most) = (Some(Vec::new()), self.keep_failed);
        }
    }

    fn fail(&mut self, error: ReadError) {
        self.state = State::Failed(error);
        self.persistent = false;
        self.kept = Vec::new();
        self.body.kept = None;
    }
}

impl KnownHead {
    /// Whether this very head is at the beginning of `window`.
    fn begins(&self, window: &[u8]) -> bool {
        !self.bytes.is_empty() && window.starts_with(&self.bytes)
    }
}

impl Body {
    /// Whether so many more bytes may come.
    pub(super) fn allow(&self, bytes: u64) -> Result<(), ReadError> {
        if bytes <= self.room { Ok(()) } else { Err(ReadError::BodyTooLarge) }
    }

    /// Counts bytes of the body and keeps them where it is wanted.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        self.allow(piece.len() as u64)?;
        if let Some(kept) = &mut self.kept {
            let piece = piece.get(..self.most.saturating_sub(kept.len())).unwrap_or(piece);
            let most = usize::try_from(self.room).unwrap_or(usize::MAX).saturating_add(kept.len());
            keep(kept, piece, most);
        }
        self.room -= piece.len() as u64;
        Ok(())
    }
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        let mut framing = Self::default();
        for header in headers {
            let name = header.name.as_bytes();
            match name.len() {
                8 if is(name, b"location") => framing.keeps = true,
                10 if is(name, b"connection") => framing.connection(header.value),
                10 if is(name, b"set-cookie") => framing.keeps = true,
                14 if is(name, b"content-length") => framing.content_length(header.value),
                17 if is(name, b"transfer-encoding") => framing.chunked = Some(ends_in_chunked(header.value)),
                _ => {}
            }
        }
        framing
    }

    fn connection(&mut self, value: &[u8]) {
        if is(value, b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        // What is not ASCII holds no token.
        if !value.is_ascii() {
            return;
        }
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= is(token, b"close");
            self.keep_alive |= is(token, b"keep-alive");
        }
    }

    /// Several that are equal are one, be it in one line or in several.
    fn content_length(&mut self, value: &[u8]) {
        if let (Some(length), None) = (parse_length(value), self.length) {
            self.length = Some(length);
            return;
        }
        for number in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match (parse_length(number), self.length) {
                (Some(length), None) => self.length = Some(length),
                (Some(length), Some(known)) if length == known => {}
                _ => self.contradicts = true,
            }
        }
    }
}

/// Whether a header's name, or a token of its value, is this one of lower-case letters and hyphens, written in
/// any case. Without a branch per byte: among the bytes that may stand in either, `| 0x20` makes these letters
/// of nothing else, and a hyphen of a hyphen only.
#[inline]
fn is<const N: usize>(found: &[u8], known: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(found).is_ok_and(|found| {
        let pairs = found.iter().zip(known);
        pairs.fold(0, |differences, (found, known)| differences | ((found | 0x20) ^ known)) == 0
    })
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

fn ends_in_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    is(last.trim_ascii(), b"chunked") && value.is_ascii()
}

/// Headers that following a redirect and keeping cookies need, whatever the plan reads.
fn is_kept_always(name: &[u8]) -> bool {
    is(name, b"location") || is(name, b"set-cookie")
}

/// Appends, reserving no more than `most` bytes in all.
fn keep(kept: &mut Vec<u8>, piece: &[u8], most: usize) {
    let needed = kept.len() + piece.len();
    if needed > kept.capacity() {
        let capacity = needed.max(2 * kept.capacity()).min(most.max(needed));
        kept.reserve_exact(capacity - kept.len());
    }
    kept.extend_from_slice(piece);
}

/// How many bytes before a new one can be part of the same end of a head: `x\r\n\r` before `\n`.
const BLANK_CONTEXT: usize = 4;

/// Whether an empty line follows one that is not empty: then a head is complete or broken.
fn ends_head(bytes: &[u8]) -> bool {
    let line_ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    for (at, _) in line_ends {
        let (line, rest) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_empty = line.last().is_none_or(|last| *last == b'\n');
        if !is_empty && (rest.starts_with(b"\n") || rest.starts_with(b"\r\n")) {
            return true;
        }
    }
    false
}
