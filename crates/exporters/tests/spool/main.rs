//! The queue on disk: what it promises whatever happens to its process and its files.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cases;
mod foreign;
mod killed;
mod model;

use std::path::Path;

use plimsoll_exporters::Piece;
use plimsoll_exporters::spool::{About, Limits, Queue, Sync, WhenFull};

/// Room for some pieces in several segments.
const SMALL: Limits =
    Limits { bytes: 4_000, segment_bytes: 600, when_full: WhenFull::DropOldest, sync: Sync::Never };

fn about(run: &str) -> About {
    About {
        sink: "influxdb".to_owned(),
        identity: "http://127.0.0.1:8086 org bucket".to_owned(),
        run: run.to_owned(),
        plan: "checkout".to_owned(),
        created: 1_763_800_000,
    }
}

fn create(root: &Path, limits: Limits) -> Queue {
    Queue::create(root, about("run-1"), limits).unwrap()
}

fn open(folder: &Path, limits: Limits) -> Queue {
    Queue::open(folder, limits).unwrap().unwrap()
}

fn piece(points: u64, body: &str) -> Piece {
    Piece { points, lane: (points % 3) as u8, body: body.as_bytes().to_vec() }
}
