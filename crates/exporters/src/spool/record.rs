//! What a segment looks like, and how it is read when parts of it are damaged.
//!
//! A segment is a head and then records, one for each piece, all numbers little-endian:
//!
//! ```text
//! segment head, 32 bytes               record head, 52 bytes, then the body
//!  0  magic and version  8              0  magic                       4
//!  8  number of segment  8              4  check of this head          4
//! 16  points before it   8              8  check of the body           4
//! 24  zero               4             12  length of the body          4
//! 28  check              4             16  points before it            8
//!                                      24  points                      8
//!                                      32  points refused so far       8
//!                                      40  second                      8
//!                                      48  lane                        1
//!                                      49  1: the last of its report   1
//!                                      50  zero                        2
//! ```
//!
//! Checks are CRC-32 (IEEE 802.3), begun with the [`Seal`] of the queue, the segment's number and the
//! place in it: a record is valid only where it was written, so bytes of a body are never taken for one.
//! The head has a check of its own, because its length says where the next record begins: a damaged
//! body costs one record, a damaged head the search for the next valid one.

use std::io::{self, Read};

use crc32fast::Hasher;

use crate::Piece;

/// The first bytes of a segment; the last of them is the version.
const SEGMENT_MAGIC: [u8; 8] = *b"PLIMSPL\x01";

/// The first bytes of a record. The first of them occurs in no UTF-8 text.
const RECORD_MAGIC: [u8; 4] = [0xf5, b'R', b'E', b'C'];

/// Bytes of a segment's head.
pub(super) const SEGMENT_HEAD: u64 = 32;

/// Bytes of a record's head.
pub(super) const RECORD_HEAD: usize = 52;

/// The longest body. One request of any sink is smaller.
pub(super) const LONGEST_BODY: usize = 16 << 20;

/// How much is read at once when looking for records.
const BLOCK: usize = 64 << 10;

/// What checks of one queue begin with, so that files of another are not taken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal(u32);

impl Seal {
    /// Of a queue with these names.
    pub(super) fn new(names: [&str; 3]) -> Self {
        let mut hasher = Hasher::new();
        for name in names {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        Self(hasher.finalize())
    }

    /// A check of `bytes` at a place.
    pub(super) fn check(self, file: u64, offset: u64, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(&file.to_le_bytes());
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Writes the head of a segment at the end of `buffer`.
pub(super) fn write_segment_head(buffer: &mut Vec<u8>, seal: Seal, number: u64, points_before: u64) {
    let begin = buffer.len();
    buffer.extend_from_slice(&SEGMENT_MAGIC);
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(&points_before.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    let check = seal.check(number, 0, &buffer[begin..]);
    buffer.extend_from_slice(&check.to_le_bytes());
}

/// What the first bytes of a file say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHead {
    /// A segment of this queue, with the points before its first record.
    Valid(u64),
    /// The beginning of a head: whoever wrote it was stopped, or somebody cut the file.
    Cut,
    /// Damaged, or no segment at all.
    Unknown,
}

impl SegmentHead {
    pub(super) fn read(bytes: &[u8], seal: Seal, number: u64) -> Self {
        let Some(head) = bytes.first_chunk::<{ SEGMENT_HEAD as usize }>() else {
            let known = bytes.len().min(SEGMENT_MAGIC.len());
            let is_cut = bytes[..known] == SEGMENT_MAGIC[..known];
            return if is_cut { Self::Cut } else { Self::Unknown };
        };
        let whole = head[..8] == SEGMENT_MAGIC
            && u64_at(head, 8) == number
            && u32_at(head, 28) == seal.check(number, 0, &head[..28]);
        if whole { Self::Valid(u64_at(head, 16)) } else { Self::Unknown }
    }
}

/// What is told about a piece beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) points_before: u64,
    pub(super) points: u64,
    pub(super) refused: u64,
    pub(super) second: u64,
    pub(super) lane: u8,
    pub(super) ends_report: bool,
    length: u32,
    body_check: u32,
}

impl Head {
    /// Points up to its end.
    pub(super) fn points_after(&self) -> u64 {
        // Reading refuses a head of which this overflows, and writing never makes one.
        self.points_before.saturating_add(self.points)
    }

    /// Length of the body in bytes.
    pub(super) fn length(&self) -> usize {
        self.length as usize
    }

    fn read(bytes: &[u8; RECORD_HEAD], seal: Seal, number: u64, offset: u64) -> Option<Self> {
        if bytes[..4] != RECORD_MAGIC || u32_at(bytes, 4) != seal.check(number, offset, &bytes[8..]) {
            return None;
        }
        let head = Self {
            body_check: u32_at(bytes, 8),
            length: u32_at(bytes, 12),
            points_before: u64_at(bytes, 16),
            points: u64_at(bytes, 24),
            refused: u64_at(bytes, 32),
            second: u64_at(bytes, 40),
            lane: bytes[48],
            ends_report: bytes[49] & 1 == 1,
        };
        let is_possible =
            head.length() <= LONGEST_BODY && head.points_before.checked_add(head.points).is_some();
        is_possible.then_some(head)
    }
}

/// What all pieces of one report have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportHead {
    pub(super) second: u64,
    pub(super) points_before: u64,
    pub(super) refused: u64,
}

/// Writes the records of a report at the end of `buffer`, whose first byte lies at `at` of the segment.
pub(super) fn write_report(
    buffer: &mut Vec<u8>,
    (seal, number, at): (Seal, u64, u64),
    report: ReportHead,
    pieces: &[Piece],
) {
    let mut points_before = report.points_before;
    for (index, piece) in pieces.iter().enumerate() {
        let begin = buffer.len();
        let offset = at + begin as u64;
        let ends_report = index + 1 == pieces.len();
        buffer.extend_from_slice(&RECORD_MAGIC);
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&seal.check(number, offset, &piece.body).to_le_bytes());
        buffer.extend_from_slice(&(piece.body.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&points_before.to_le_bytes());
        buffer.extend_from_slice(&piece.points.to_le_bytes());
        buffer.extend_from_slice(&report.refused.to_le_bytes());
        buffer.extend_from_slice(&report.second.to_le_bytes());
        buffer.extend_from_slice(&[piece.lane, u8::from(ends_report), 0, 0]);
        let check = seal.check(number, offset, &buffer[begin + 8..]);
        buffer[begin + 4..begin + 8].copy_from_slice(&check.to_le_bytes());
        buffer.extend_from_slice(&piece.body);
        points_before += piece.points;
    }
}

/// Bytes that a report takes in a segment.
pub(super) fn size_of(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| (RECORD_HEAD + piece.body.len()) as u64).sum()
}

/// Finds the valid records of a segment, one after the other, in a few kilobytes of memory and the
/// longest body. What lies between them and is none is passed over.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    input: R,
    seal: Seal,
    number: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the next byte is.
    next: usize,
    /// Where in the segment the next byte is.
    offset: u64,
}

impl<R: Read> Scanner<R> {
    /// Reads `input`, whose first byte lies at `offset` of segment `number`.
    pub(super) fn new(input: R, seal: Seal, number: u64, offset: u64) -> Self {
        Self { input, seal, number, buffer: Vec::new(), next: 0, offset }
    }

    /// Where in the segment the next byte is: after [`Self::body`], the end of its record.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The head of the next record; its body comes next. `None`: there is none.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            self.fill(RECORD_HEAD)?;
            let waiting = &self.buffer[self.next..];
            let Some(bytes) = waiting.first_chunk() else { return Ok(None) };
            if let Some(head) = Head::read(bytes, self.seal, self.number, self.offset) {
                self.pass(RECORD_HEAD);
                return Ok(Some(head));
            }
            let further = waiting[1..].iter().position(|byte| *byte == RECORD_MAGIC[0]);
            self.pass(further.map_or(waiting.len(), |at| at + 1));
        }
    }

    /// The body of the record whose head was read last; `None`: it is damaged or not all there.
    pub(super) fn body(&mut self, head: &Head) -> io::Result<Option<Vec<u8>>> {
        let offset = self.offset - RECORD_HEAD as u64;
        let length = head.length();
        let buffered = (self.buffer.len() - self.next).min(length);
        // It grows with what is there, not with what a head claims.
        let mut body = self.buffer[self.next..self.next + buffered].to_vec();
        self.pass(buffered);
        let read = self.input.by_ref().take((length - buffered) as u64).read_to_end(&mut body)?;
        self.offset += read as u64;
        let is_whole = body.len() == length && self.seal.check(self.number, offset, &body) == head.body_check;
        Ok(is_whole.then_some(body))
    }

    fn pass(&mut self, bytes: usize) {
        self.next += bytes;
        self.offset += bytes as u64;
    }

    /// Makes sure that so many bytes wait in the buffer, unless the input ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len() - self.next >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.next);
        self.next = 0;
        while self.buffer.len() < wanted {
            let read = self.input.by_ref().take(BLOCK as u64).read_to_end(&mut self.buffer)?;
            if read == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
