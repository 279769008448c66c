//! What a disk takes, what a queue on it takes, and what it costs to take up a queue that was left behind.
//!
//! `cargo run --release -p plimsoll-exporters --example spool -- write FILE BYTES`
//! `cargo run --release -p plimsoll-exporters --example spool -- append FOLDER BYTES`
//! `cargo run --release -p plimsoll-exporters --example spool -- recover FOLDER`
//!
//! Each prints bytes and seconds as JSON.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{About, Limits, Queue, list};

/// What a report of a busy second has: 16 pieces of 64 KiB.
const PIECES: usize = 16;
const PIECE_BYTES: usize = 64 << 10;

/// So much is read at once by a sink with four lanes.
const READ_BYTES: usize = 4 << 20;

const LIMITS: u64 = 16 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let bytes = match arguments.as_slice() {
        ["write", file, bytes] => write(Path::new(file), bytes.parse()?)?,
        ["append", folder, bytes] => append(Path::new(folder), bytes.parse()?)?,
        ["recover", folder] => recover(Path::new(folder))?,
        _ => return Err("write FILE BYTES, append FOLDER BYTES, or recover FOLDER".into()),
    };
    println!(r#"{{"bytes": {bytes}, "seconds": {}}}"#, begun.elapsed().as_secs_f64());
    Ok(())
}

/// As `dd conv=fdatasync` does.
fn write(path: &Path, bytes: usize) -> Result<usize, Box<dyn Error>> {
    let block = pattern(PIECES * PIECE_BYTES);
    let mut file = File::create(path)?;
    let mut written = 0;
    while written < bytes {
        file.write_all(&block)?;
        written += block.len();
    }
    file.sync_data()?;
    Ok(written)
}

/// With the syncs that a queue makes by default, and one at the end.
fn append(root: &Path, bytes: usize) -> Result<usize, Box<dyn Error>> {
    let about = About {
        sink: "bench".to_owned(),
        identity: String::new(),
        run: "run".to_owned(),
        plan: String::new(),
        created: 0,
    };
    let mut queue = Queue::create(root, about, Limits { bytes: LIMITS, ..Limits::default() })?;
    let body = pattern(PIECE_BYTES);
    let piece = Piece { points: 100, lane: 0, body };
    let report = vec![piece; PIECES];
    let mut appended = 0;
    for second in 0.. {
        if appended >= bytes {
            break;
        }
        let done = queue.append(second, &report);
        if let Some(error) = done.error {
            return Err(error.into());
        }
        appended += PIECES * PIECE_BYTES;
    }
    queue.mark_ended()?;
    Ok(appended)
}

/// Opens, reads and settles all of it.
fn recover(root: &Path) -> Result<usize, Box<dyn Error>> {
    let (found, _) = list(root);
    let folder = &found.first().ok_or("there is no queue")?.folder;
    let mut queue = Queue::open(folder, Limits::default())?.ok_or("another process has it")?;
    let mut bytes = 0;
    loop {
        let batch = queue.read(u64::MAX, READ_BYTES)?;
        if batch.pieces.is_empty() {
            break;
        }
        bytes += batch.pieces.iter().map(|piece| piece.body.len()).sum::<usize>();
        queue.settle(batch.pieces.iter().map(|piece| piece.points).sum());
    }
    let account = queue.account();
    if account.acknowledged != account.produced {
        return Err(format!("not all came back: {account:?}").into());
    }
    queue.remove()?;
    Ok(bytes)
}

/// Bytes that no disk finds easy to store.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
