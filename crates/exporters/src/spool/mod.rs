//! What waits for a sink, on disk: it outlives the process.
//!
//! A [`Queue`] is what one run has for one sink: a log in segments, to whose end pieces are appended and
//! from whose front they are read, and an account of how far it has come. Its folder is
//! `<root>/<sink>-<hash of its identity>/<run>`, with `about.json`, `lock`, `account` and the segments
//! `00000001.log` and so on. One process at a time has it open.
//!
//! **Counting.** Every piece's head tells the points before it, so what is missing between two pieces is
//! known to the point, whatever became of the bytes. [`Account`] adds up at every moment, also after a
//! crash, cut files and flipped bits.
//!
//! **Crashes.** A report is in the log whole or not at all: what a killed process had begun is cut
//! away when the queue is opened again. A killed process loses nothing that was appended, whatever [`Sync`]
//! says; a machine that loses power loses what was not synced, and counts it.
//! What was read and not settled is read again: delivery is at least once.
//!
//! **Bounds.** [`Limits::bytes`] holds for the segments. A full queue gives up whole segments of the oldest
//! pieces, or refuses new ones. A full disk refuses new ones; the next report tries again.
//! Memory is what one report and one read take.
//!
//! Nothing here is deleted that was not written here: a folder with a foreign file is left as it is
//! and the file is named.

mod account;
mod folder;
mod queue;
mod record;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use folder::{About, Found, Look, list, look};
pub use queue::{Appended, Batch, Queue, Settled};

/// How much may wait, and how safe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments of a queue.
    pub bytes: u64,
    /// Bytes of a segment, and at most a quarter of `bytes`. A report that is larger has a segment of its own.
    pub segment_bytes: u64,
    /// What gives way.
    pub when_full: WhenFull,
    /// What a loss of power may cost.
    pub sync: Sync,
}

impl Default for Limits {
    /// 1 GiB in segments of 16 MiB; the oldest give way; at most a second is lost with the power.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            segment_bytes: 16 << 20,
            when_full: WhenFull::DropOldest,
            sync: Sync::Every(Duration::from_secs(1)),
        }
    }
}

/// What gives way in a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest segment, with all that waits in it.
    DropOldest,
    /// The new report.
    DropNewest,
}

/// When what was appended is made to survive a loss of power. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When the system likes.
    Never,
    /// With the first report after this time.
    Every(Duration),
    /// With every report.
    Always,
}

/// What became of the points of a queue: produced = acknowledged + backlog + lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Appended, whether or not there was room.
    pub produced: u64,
    /// Taken by the sink.
    pub acknowledged: u64,
    /// Waiting.
    pub backlog: u64,
    /// Refused by the sink, given up for want of room, or damaged.
    pub lost: u64,
}

/// Why a queue cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk or its rights.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run has a queue for this sink already.
    #[error("{} is there already", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// The name of a run or sink that cannot be that of a folder.
    #[error("`{0}` cannot be the name of a folder: letters, digits, `-`, `_` and `.` can")]
    Name(String),
    /// Written by a later version.
    #[error("{} has format {found}, and this version knows 1", path.display())]
    Version {
        /// Its `about.json`.
        path: PathBuf,
        /// The format.
        found: u64,
    },
    /// Something that no queue writes.
    #[error("{} is not part of this queue: move it elsewhere, then the queue can be opened", path.display())]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// An `about.json` that tells nothing.
    #[error("cannot read {}: {reason}", path.display())]
    About {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SpoolError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}
