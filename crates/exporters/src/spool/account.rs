//! How far a queue has come, in a small file that is written in place.
//!
//! The file holds the same 96 bytes twice, in blocks of their own. They are written one after the other, so
//! whoever is stopped in the middle leaves one whole; of two whole ones the newer counts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record::{Seal, u64_at};

/// The first bytes of a copy; the last of them is the version.
const MAGIC: [u8; 8] = *b"PLIMACC\x01";

/// Bytes of a copy.
const LENGTH: usize = 96;

/// Where the copies lie: blocks of their own on any disk.
const COPIES: [u64; 2] = [0, 4096];

/// What checks of accounts have in place of a segment's number: no segment has it.
const NUMBER: u64 = 0;

/// A place between two pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The segment's number.
    pub(super) segment: u64,
    /// Bytes from its start.
    pub(super) offset: u64,
    /// Points of the log before it.
    pub(super) points: u64,
}

/// Everything that is counted. The sums hold by construction: of the log's points before the cursor the fate
/// is known, those behind it wait, and what was refused never came into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// All before it is settled.
    pub(super) cursor: Place,
    /// Points that came into the log.
    pub(super) logged: u64,
    /// Points that did not: they are lost.
    pub(super) refused: u64,
    /// Points before the cursor that were taken by the sink; the others are lost.
    pub(super) acknowledged: u64,
    /// The last second that was appended.
    pub(super) last_second: Option<u64>,
    /// Points that did not come into the log either, and that the sink took all the same.
    pub(super) passed_by: u64,
    /// Nothing more will be appended.
    pub(super) ended: bool,
}

impl Standing {
    /// Points that never came into the log.
    fn beyond_log(&self) -> Option<u64> {
        self.refused.checked_add(self.passed_by)
    }
}

/// What an account file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This, written for the given time.
    Valid(Standing, u64),
    /// Nothing any more: both copies are damaged, or were never written.
    Damaged,
    /// It is no account.
    Foreign,
}

/// Writes both copies. `time` tells which is newer.
pub(super) fn write(file: &File, seal: Seal, standing: &Standing, time: u64) -> io::Result<()> {
    let bytes = encode(seal, standing, time);
    for offset in COPIES {
        file.write_all_at(&bytes, offset)?;
    }
    Ok(())
}

/// Reads what is there.
pub(super) fn read(file: &File, seal: Seal) -> io::Result<Found> {
    let mut copies = Vec::new();
    for offset in COPIES {
        let mut bytes = [0; LENGTH];
        let mut length = 0;
        while length < LENGTH {
            match file.read_at(&mut bytes[length..], offset + length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        copies.push(bytes[..length].to_vec());
    }
    let valid = copies.iter().filter_map(|bytes| decode(seal, bytes)).max_by_key(|(_, time)| *time);
    Ok(match valid {
        Some((standing, time)) => Found::Valid(standing, time),
        // Without a byte, or zeros alone, is what a file is like that was not on the disk yet when the power went.
        None if copies.iter().flatten().all(|byte| *byte == 0) => Found::Damaged,
        None if copies.iter().any(|bytes| is_ours(bytes)) => Found::Damaged,
        None => Found::Foreign,
    })
}

fn is_ours(bytes: &[u8]) -> bool {
    let known = bytes.len().min(MAGIC.len());
    known > 0 && bytes[..known] == MAGIC[..known]
}

fn encode(seal: Seal, standing: &Standing, time: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    let flags = u64::from(standing.ended) | u64::from(standing.last_second.is_some()) << 1;
    let numbers = [
        time,
        standing.cursor.segment,
        standing.cursor.offset,
        standing.cursor.points,
        standing.logged,
        standing.refused,
        standing.acknowledged,
        standing.last_second.unwrap_or_default(),
        flags,
        standing.passed_by,
    ];
    for (index, number) in numbers.into_iter().enumerate() {
        bytes[8 + index * 8..16 + index * 8].copy_from_slice(&number.to_le_bytes());
    }
    let check = seal.check(NUMBER, 0, &bytes[..LENGTH - 4]);
    bytes[LENGTH - 4..].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn decode(seal: Seal, bytes: &[u8]) -> Option<(Standing, u64)> {
    let whole: &[u8; LENGTH] = bytes.try_into().ok()?;
    let check = seal.check(NUMBER, 0, &whole[..LENGTH - 4]).to_le_bytes();
    if whole[..8] != MAGIC || whole[LENGTH - 4..] != check {
        return None;
    }
    let number = |index: usize| u64_at(whole, 8 + index * 8);
    let standing = Standing {
        cursor: Place { segment: number(1), offset: number(2), points: number(3) },
        logged: number(4),
        refused: number(5),
        acknowledged: number(6),
        last_second: (number(8) & 2 == 2).then_some(number(7)),
        ended: number(8) & 1 == 1,
        passed_by: number(9),
    };
    // What no queue of ours ever wrote would make the sums go wrong.
    let is_possible = standing.cursor.segment > 0
        && standing.acknowledged <= standing.cursor.points
        && standing.cursor.points <= standing.logged
        && standing.beyond_log().and_then(|beyond| beyond.checked_add(standing.logged)).is_some();
    is_possible.then_some((standing, number(0)))
}
