//! Files that anybody may have written, in the place of a queue's own.

use std::fs;
use std::path::Path;

use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{About, Limits, Queue, SpoolError, Sync};

/// Opens a queue with these files. Whatever they are: it is refused and nothing is touched, or what comes out
/// was in them, and the sums hold.
///
/// The first byte says what to do with the files: 1 makes every head that looks like one valid, so that
/// what it says is believed. Then come the lengths of the account and of the first segment, 2 bytes each, and
/// the account, the first and the second segment.
pub(crate) fn check(bytes: &[u8]) {
    let Some(([flags, lengths @ ..], rest)) = bytes.split_first_chunk::<5>() else { return };
    let length = |at: usize| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
    let (account, rest) = rest.split_at(length(0).min(rest.len()));
    let (first, second) = rest.split_at(length(2).min(rest.len()));
    let mut files = [account.to_vec(), first.to_vec(), second.to_vec()];
    let about = About {
        sink: "sink".to_owned(),
        identity: "identity".to_owned(),
        run: "run".to_owned(),
        plan: "plan".to_owned(),
        created: 0,
    };
    if flags & 1 == 1 {
        let seal = seal([&about.sink, &about.identity, &about.run]);
        seal_account(&mut files[0], seal);
        seal_segment(&mut files[1], seal, 1);
        seal_segment(&mut files[2], seal, 2);
    }

    let root = tempfile::tempdir().unwrap();
    let limits = Limits { sync: Sync::Never, ..Limits::default() };
    let queue = Queue::create(root.path(), about, limits).unwrap();
    let folder = queue.folder().to_owned();
    drop(queue);
    let names = ["account", "00000001.log", "00000002.log"];
    for (name, bytes) in names.iter().zip(&files) {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let mut queue = match Queue::open(&folder, limits) {
        Ok(queue) => queue.unwrap(),
        Err(SpoolError::Foreign { path }) => {
            assert!(path.exists());
            for (name, bytes) in names.iter().zip(&files) {
                assert_eq!(&fs::read(folder.join(name)).unwrap(), bytes);
            }
            return;
        }
        Err(error) => panic!("{error}"),
    };
    drain(&mut queue, &files);
    let piece = Piece { points: 7, lane: 1, body: b"appended".to_vec() };
    let appended = queue.append(1, std::slice::from_ref(&piece));
    let account = queue.account();
    drop(queue);
    let mut queue = open(&folder, limits);
    assert_eq!(queue.account(), account);
    files[0] = piece.body.clone();
    let last = drain(&mut queue, &files).pop();
    // It is lost only where no more points can be counted.
    assert!(last.is_some_and(|last| last == piece) || appended.lost == 7);
    assert_eq!(queue.account().backlog, 0);
}

fn open(folder: &Path, limits: Limits) -> Queue {
    Queue::open(folder, limits).unwrap().unwrap()
}

fn drain(queue: &mut Queue, files: &[Vec<u8>]) -> Vec<Piece> {
    let mut all = Vec::new();
    loop {
        let before = queue.account();
        assert_eq!(before.produced, before.acknowledged + before.backlog + before.lost);
        let batch = queue.read(100, 1_000).unwrap();
        let points: u64 = batch.pieces.iter().map(|piece| piece.points).sum();
        for piece in &batch.pieces {
            assert!(piece.body.is_empty() || files.iter().any(|file| contains(file, &piece.body)));
        }
        if batch.pieces.is_empty() {
            let end = queue.account();
            assert_eq!((end.backlog, end.lost), (0, before.lost + batch.damaged));
            return all;
        }
        assert!(points <= before.backlog);
        let settled = queue.settle(points / 2);
        assert_eq!((settled.acknowledged, settled.lost), (points / 2, points - points / 2));
        all.extend(batch.pieces);
        assert!(all.len() < 10_000, "it reads the same again");
    }
}

fn contains(file: &[u8], body: &[u8]) -> bool {
    file.windows(body.len()).any(|window| window == body)
}

/// What every check begins with, as the format says.
fn seal(names: [&str; 3]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for name in names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    hasher.finalize()
}

fn checksum(seal: u32, file: u64, offset: usize, bytes: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new_with_initial(seal);
    hasher.update(&file.to_le_bytes());
    hasher.update(&(offset as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().to_le_bytes()
}

fn seal_account(bytes: &mut [u8], seal: u32) {
    for at in [0, 4096] {
        if let Some(copy) = bytes.get_mut(at..at + 96) {
            let check = checksum(seal, 0, 0, &copy[..92]);
            copy[92..].copy_from_slice(&check);
        }
    }
}

fn seal_segment(bytes: &mut [u8], seal: u32, number: u64) {
    if let Some(head) = bytes.get_mut(..32) {
        let check = checksum(seal, number, 0, &head[..28]);
        head[28..].copy_from_slice(&check);
    }
    // From the last to the first: a body may hold what looks like a head.
    for at in (32..bytes.len().saturating_sub(51)).rev() {
        if bytes[at..].starts_with(b"\xf5REC") {
            let length = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap()) as usize;
            if let Some(body) = bytes[at + 52..].get(..length) {
                let check = checksum(seal, number, at, body);
                bytes[at + 8..at + 12].copy_from_slice(&check);
            }
            let check = checksum(seal, number, at, &bytes[at + 8..at + 52]);
            bytes[at + 4..at + 8].copy_from_slice(&check);
        }
    }
}
