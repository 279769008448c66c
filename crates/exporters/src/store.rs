use std::collections::VecDeque;
use std::fmt::Debug;
use std::path::PathBuf;

use crate::Piece;
use crate::spool::Account;

/// Where pieces wait for their sink, oldest first, bounded.
pub(crate) trait Store: Send + Debug {
    /// Puts the pieces of one second at the end. Never waits for a sink.
    fn append(&mut self, second: u64, pieces: Vec<Piece>) -> Appended;

    /// So many points are lost that were never appended.
    fn refuse(&mut self, points: u64);

    /// The oldest pieces: as many as stay within so many points and bytes, and at least one where any
    /// waits. They stay where they are until they are settled.
    fn read(&mut self, points: u64, bytes: usize) -> Batch;

    /// So many points of the pieces read last were taken by the sink, and the others are lost. All of
    /// them are gone. What is counted: fewer than that where some gave way meanwhile.
    fn settle(&mut self, acknowledged: u64) -> Settled;

    /// No further second will be appended.
    fn end(&mut self);

    /// Leaves what waits to whoever comes later, if it can stay.
    fn leave(self: Box<Self>) -> Left;
}

/// What was counted when pieces were settled.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Settled {
    /// Points taken by the sink.
    pub(crate) acknowledged: u64,
    /// Points that are lost.
    pub(crate) lost: u64,
}

/// What stays when a process is done with a store.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Points that wait.
    pub(crate) waiting: u64,
    /// Points that waited and cannot stay.
    pub(crate) lost: u64,
    /// Where; `None`: nothing stays.
    pub(crate) folder: Option<PathBuf>,
    /// What became of all its points, if that is known beyond this process.
    pub(crate) account: Option<Account>,
}

/// What appending did.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// Points that had to give way, or found no room.
    pub(crate) lost: u64,
    /// What the operator should know, with the key under which it is told once.
    pub(crate) trouble: Option<(&'static str, String)>,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Pieces in order.
    pub(crate) pieces: Vec<Piece>,
    /// Points that waited and cannot be read any more.
    pub(crate) damaged: u64,
    /// Whether more may wait that could not be read just now.
    pub(crate) unreadable: bool,
    /// What the operator should know, with the key under which it is told once.
    pub(crate) trouble: Option<(&'static str, String)>,
}

/// Text that may wait in memory: minutes of a busy plan, and small beside the generator's own memory.
pub(crate) const MEMORY_BYTES: usize = 32 << 20;

/// Pieces that wait in memory: for who has no place on disk. The oldest give way, unless they are on
/// their way to the sink.
#[derive(Debug)]
pub(crate) struct Memory {
    pieces: VecDeque<Piece>,
    bytes: usize,
    limit: usize,
    /// How many of the oldest are being sent.
    reading: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, limit, reading: 0 }
    }

    fn remove(&mut self, at: usize) -> u64 {
        let Some(piece) = self.pieces.remove(at) else { return 0 };
        self.bytes -= piece.body.len();
        piece.points
    }
}

impl Store for Memory {
    fn append(&mut self, _: u64, pieces: Vec<Piece>) -> Appended {
        for piece in pieces {
            self.bytes += piece.body.len();
            self.pieces.push_back(piece);
        }
        let mut lost = 0;
        while self.bytes > self.limit && self.pieces.len() > self.reading {
            lost += self.remove(self.reading);
        }
        let text = || format!("{} MiB of points wait in memory, so the oldest are lost", self.limit >> 20);
        Appended { lost, trouble: (lost > 0).then(|| ("full", text())) }
    }

    fn refuse(&mut self, _: u64) {}

    fn read(&mut self, points: u64, bytes: usize) -> Batch {
        let (mut points_read, mut bytes_read) = (0, 0);
        let within = |piece: &&Piece| {
            let first = points_read == 0;
            points_read += piece.points.max(1);
            bytes_read += piece.body.len();
            first || (points_read <= points && bytes_read <= bytes)
        };
        let pieces: Vec<Piece> = self.pieces.iter().take_while(within).cloned().collect();
        self.reading = pieces.len();
        Batch { pieces, ..Batch::default() }
    }

    fn settle(&mut self, acknowledged: u64) -> Settled {
        let points: u64 = (0..std::mem::take(&mut self.reading)).map(|_| self.remove(0)).sum();
        Settled { acknowledged, lost: points.saturating_sub(acknowledged) }
    }

    fn end(&mut self) {}

    fn leave(self: Box<Self>) -> Left {
        Left::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(points: u64, bytes: usize) -> Piece {
        Piece { points, lane: 0, body: vec![0; bytes] }
    }

    #[test]
    fn the_oldest_give_way_unless_they_are_on_their_way() {
        let mut memory = Memory::new(10);
        assert_eq!(memory.append(0, vec![piece(1, 4), piece(2, 4)]).lost, 0);
        assert_eq!(memory.read(1, 100).pieces, [piece(1, 4)]);
        let appended = memory.append(1, vec![piece(4, 3)]);
        assert_eq!(appended.lost, 2);
        assert!(appended.trouble.is_some());
        memory.settle(1);
        assert_eq!(memory.read(9, 100).pieces, [piece(4, 3)]);
        memory.settle(4);
        assert_eq!(memory.append(2, vec![piece(3, 11)]).lost, 3, "what never fits is lost too");
        assert!(memory.read(1, 1).pieces.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_uncounted(
            steps in prop::collection::vec((1_u64..5, 1_usize..30, any::<bool>()), 0..40),
            points in 1_u64..6, bytes in 1_usize..80, limit in 1_usize..200,
        ) {
            let mut memory = Memory::new(limit);
            let (mut appended, mut lost, mut read) = (0, 0, 0);
            for (count, size, reads) in steps {
                appended += count;
                lost += memory.append(0, vec![piece(count, size)]).lost;
                if reads {
                    read += memory.read(points, bytes).pieces.iter().map(|piece| piece.points).sum::<u64>();
                    memory.settle(0);
                }
                prop_assert!(memory.bytes <= limit);
            }
            while let pieces = memory.read(points, bytes).pieces && !pieces.is_empty() {
                prop_assert!(pieces.len() == 1 || pieces.iter().map(|piece| piece.points).sum::<u64>() <= points);
                read += pieces.iter().map(|piece| piece.points).sum::<u64>();
                memory.settle(0);
            }
            prop_assert_eq!(appended, lost + read);
            prop_assert_eq!(memory.bytes, 0);
        }
    }
}
