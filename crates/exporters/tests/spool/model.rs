//! The queue beside a model of it in memory, whatever happens to both.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{Account, Appended, Limits, Queue, Sync, WhenFull, look};
use proptest::prelude::*;

use super::{create, open};

#[derive(Debug, Clone)]
enum Step {
    /// A report with pieces of so many points and bytes.
    Append(Vec<(u64, usize)>),
    Read(u64, usize),
    /// So many percent of the points that were read are acknowledged.
    Settle(u64),
    GiveUp,
    /// The process is killed while it writes a report: only this share of its bytes is there.
    KilledWriting(Vec<(u64, usize)>, f64),
    /// Something happens to the files: to an open queue, or to one that is opened afterwards.
    Damage(Damage, bool),
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    None,
    /// A segment is cut at this share of its length.
    Cut(usize, f64),
    /// A bit of a segment is flipped.
    Flip(usize, f64, u8),
    /// A segment is gone.
    Remove(usize),
    /// A bit of one copy of the account is flipped.
    FlipAccount(usize, u8),
    /// The account is cut.
    CutAccount(u64),
}

impl Damage {
    fn is_of_a_segment(self) -> bool {
        matches!(self, Self::Cut(..) | Self::Flip(..) | Self::Remove(_))
    }
}

fn pieces() -> impl Strategy<Value = Vec<(u64, usize)>> {
    prop::collection::vec((1_u64..20, 0_usize..200), 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => pieces().prop_map(Step::Append),
        4 => (1_u64..60, 1_usize..600).prop_map(|(points, bytes)| Step::Read(points, bytes)),
        4 => (0_u64..=100).prop_map(Step::Settle),
        1 => Just(Step::GiveUp),
        2 => (pieces(), 0.0..1.0).prop_map(|(pieces, share)| Step::KilledWriting(pieces, share)),
        6 => (damage(), any::<bool>()).prop_map(|(damage, live)| Step::Damage(damage, live)),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => Just(Damage::None),
        1 => (any::<usize>(), 0.0..1.0).prop_map(|(segment, at)| Damage::Cut(segment, at)),
        2 => (any::<usize>(), 0.0..1.0, 0_u8..8).prop_map(|(segment, at, bit)| Damage::Flip(segment, at, bit)),
        1 => any::<usize>().prop_map(Damage::Remove),
        1 => (0_usize..96, 0_u8..8).prop_map(|(at, bit)| Damage::FlipAccount(at, bit)),
        1 => (96_u64..4192).prop_map(Damage::CutAccount),
    ]
}

/// What should be there.
#[derive(Debug, Default)]
struct Model {
    waiting: VecDeque<Piece>,
    /// How many of the first that wait were read and not settled.
    reading: usize,
    account: Account,
    made: u64,
    /// Segments that were damaged: once each, so that it stays known whose they are.
    damaged: BTreeSet<PathBuf>,
}

impl Model {
    fn pieces(&mut self, sizes: &[(u64, usize)]) -> Vec<Piece> {
        let mut piece = |(points, size): &(u64, usize)| {
            self.made += 1;
            // Whoever looks for a record should not find one in a body.
            let body = format!("{}:{}", self.made, "\u{f5}REC".repeat(size / 4)).into_bytes();
            Piece { points: *points, lane: (self.made % 5) as u8, body }
        };
        sizes.iter().map(&mut piece).collect()
    }

    fn append(&mut self, queue: &mut Queue, pieces: Vec<Piece>, limits: Limits) {
        let appended = queue.append(self.made, &pieces);
        self.appended(&appended, pieces, limits);
    }

    fn appended(&mut self, appended: &Appended, pieces: Vec<Piece>, limits: Limits) {
        assert!(appended.error.is_none(), "{appended:?}");
        assert_eq!(appended.is_full, appended.lost > 0);
        let points: u64 = pieces.iter().map(|piece| piece.points).sum();
        self.account.produced += points;
        self.account.lost += appended.lost;
        let is_refused = appended.lost > 0 && {
            let needed: usize = pieces.iter().map(|piece| 52 + piece.body.len()).sum();
            limits.when_full == WhenFull::DropNewest || needed as u64 + 32 > limits.bytes
        };
        if is_refused {
            assert_eq!(appended.lost, points);
        } else {
            self.lose(appended.lost);
            self.waiting.extend(pieces);
        }
    }

    /// The oldest pieces of exactly so many points are gone.
    fn lose(&mut self, points: u64) {
        let mut left = points;
        while left > 0 {
            let piece = self.waiting.pop_front().expect("no more is lost than waits");
            left = left.checked_sub(piece.points).expect("whole pieces are lost");
            self.reading = self.reading.saturating_sub(1);
        }
        self.account.backlog = self.waiting.iter().map(|piece| piece.points).sum();
    }

    fn read(&mut self, queue: &mut Queue, points: u64, bytes: usize) -> usize {
        let batch = queue.read(points, bytes).unwrap();
        assert!(batch.damaged == 0 || !self.damaged.is_empty(), "nothing was damaged: {batch:?}");
        self.reading = 0;
        self.account.lost += batch.damaged;
        self.lose(batch.damaged);
        let read = batch.pieces.len();
        assert!(batch.pieces.iter().eq(self.waiting.iter().take(read)), "{batch:?}, and {self:?}");
        if read == 0 {
            assert!(self.waiting.is_empty(), "{self:?}");
        } else if read > 1 {
            assert!(batch.pieces.iter().map(|piece| piece.points).sum::<u64>() <= points);
            assert!(batch.pieces.iter().map(|piece| piece.body.len()).sum::<usize>() <= bytes);
        }
        self.reading = read;
        read
    }

    fn settle(&mut self, queue: &mut Queue, percent: u64) {
        let points: u64 = self.waiting.drain(..self.reading).map(|piece| piece.points).sum();
        self.reading = 0;
        let taken = points * percent / 100;
        let settled = queue.settle(taken);
        assert!(settled.error.is_none());
        assert_eq!((settled.acknowledged, settled.lost), (taken, points - taken));
        self.account.acknowledged += taken;
        self.account.lost += points - taken;
    }

    fn give_up(&mut self, queue: &mut Queue) {
        let given_up = queue.give_up();
        assert_eq!(given_up.lost, self.account.backlog);
        self.account.lost += given_up.lost;
        self.waiting.clear();
        self.reading = 0;
    }

    fn check(&mut self, queue: &Queue, limits: Limits) {
        self.account.backlog = self.waiting.iter().map(|piece| piece.points).sum();
        let found = queue.account();
        assert_eq!(found, self.account, "{self:?}");
        assert_eq!(found.produced, found.acknowledged + found.backlog + found.lost);
        assert!(queue.bytes() <= limits.bytes);
        let on_disk: u64 = segments(queue.folder()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(on_disk <= limits.bytes, "{on_disk} bytes");
    }

    /// A segment that was not damaged before, and its length.
    fn choose(&mut self, folder: &Path, index: usize) -> Option<(PathBuf, u64)> {
        let mut whole = segments(folder);
        whole.retain(|path| !self.damaged.contains(path));
        let chosen = whole.get(index.checked_rem(whole.len())?)?.clone();
        self.damaged.insert(chosen.clone());
        let length = chosen.metadata().unwrap().len();
        Some((chosen, length))
    }

    fn damage(&mut self, folder: &Path, damage: Damage) {
        let account = folder.join("account");
        match damage {
            Damage::None => {}
            Damage::FlipAccount(at, bit) => flip(&account, if bit % 2 == 0 { at } else { 4096 + at }, bit),
            Damage::CutAccount(length) => cut(&account, length),
            Damage::Cut(index, share) => {
                let Some((path, length)) = self.choose(folder, index) else { return };
                cut(&path, (length as f64 * share) as u64);
            }
            Damage::Flip(index, share, bit) => {
                let Some((path, length)) = self.choose(folder, index) else { return };
                flip(&path, (length as f64 * share) as usize, bit);
            }
            Damage::Remove(index) => {
                let Some((path, _)) = self.choose(folder, index) else { return };
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// The process is killed while it writes the last report, of which `share` of the bytes is there.
    fn kill_writing(
        &mut self,
        mut queue: Queue,
        sizes: &[(u64, usize)],
        share: f64,
        limits: Limits,
    ) -> Queue {
        let folder = queue.folder().to_owned();
        let account = fs::read(folder.join("account")).unwrap();
        let (old, before) = (segments(&folder), queue.bytes());
        let last_length = old.last().map_or(0, |last| last.metadata().unwrap().len());
        let pieces = self.pieces(sizes);
        let appended = queue.append(self.made, &pieces);
        let written = queue.bytes().saturating_sub(before);
        let is_damaged = old.last().is_some_and(|last| self.damaged.contains(last));
        if is_damaged || appended.lost > 0 || segments(&folder).len() < old.len() {
            // Twice damaged, it may be nobody's; and where others gave way, it is there as after any append.
            self.appended(&appended, pieces, limits);
            return queue;
        }
        drop(queue);
        self.reading = 0;
        fs::write(folder.join("account"), account).unwrap();
        let is_new = segments(&folder).last() != old.last();
        let begin = if is_new { 0 } else { last_length };
        // Its segment may be gone while it was open; then the report went with it.
        if let Some(last) = segments(&folder).pop().filter(|last| last.metadata().unwrap().len() > begin) {
            cut(&last, begin + (written as f64 * share) as u64);
            if is_new {
                // Its head may now be all there is to tell whose it is.
                self.damaged.insert(last);
            }
        }
        open(&folder, limits)
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some()).collect();
    paths.retain(|path| path.extension().unwrap() == "log");
    paths.sort();
    paths
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn limits() -> impl Strategy<Value = Limits> {
    (100_u64..6_000, 50_u64..3_000, any::<bool>()).prop_map(|(bytes, segment_bytes, oldest)| Limits {
        bytes,
        segment_bytes,
        when_full: if oldest { WhenFull::DropOldest } else { WhenFull::DropNewest },
        sync: Sync::Never,
    })
}

proptest! {
    /// Order is kept; nothing comes out that was not put in; what is lost is counted to the point.
    #[test]
    fn a_queue_is_what_its_model_says(steps in prop::collection::vec(step(), 1..60), limits in limits()) {
        let root = tempfile::tempdir().unwrap();
        let mut queue = create(root.path(), limits);
        let folder = queue.folder().to_owned();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(sizes) => {
                    let pieces = model.pieces(&sizes);
                    model.append(&mut queue, pieces, limits);
                }
                Step::Read(points, bytes) => {
                    model.read(&mut queue, points, bytes);
                }
                Step::Settle(percent) => model.settle(&mut queue, percent),
                Step::GiveUp => model.give_up(&mut queue),
                Step::KilledWriting(sizes, share) => {
                    queue = model.kill_writing(queue, &sizes, share, limits);
                }
                Step::Damage(damage, true) if damage.is_of_a_segment() => model.damage(&folder, damage),
                Step::Damage(damage, _) => {
                    drop(queue);
                    model.reading = 0;
                    model.damage(&folder, damage);
                    queue = open(&folder, limits);
                }
            }
            model.check(&queue, limits);
        }
        while model.read(&mut queue, 50, 500) > 0 {
            model.settle(&mut queue, 100);
            model.check(&queue, limits);
        }
        model.check(&queue, limits);
        let seen = look(&folder).unwrap();
        assert_eq!((seen.account, seen.in_use), (Some(model.account), true));
        drop(queue);
        assert_eq!(open(&folder, limits).bytes(), 0, "nothing waits, so nothing stays");
    }
}
