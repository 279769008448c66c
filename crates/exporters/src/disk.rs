//! Queues on disk: where points wait that must outlive the process.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_run::{SpoolSettings, SpoolSync, Started, WhenFull};

use crate::spool::{self, About, Limits, Queue, SpoolError};
use crate::store::{Appended, Batch, Left, Settled, Store};
use crate::{Piece, Sink};

/// A queue on disk as a store.
#[derive(Debug)]
pub(crate) struct Disk {
    queue: Queue,
    size: u64,
}

impl Disk {
    /// An empty queue for a run.
    pub(crate) fn create(
        root: &Path,
        settings: &SpoolSettings,
        sink: &dyn Sink,
        started: &Started,
    ) -> Result<Self, SpoolError> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let about = About {
            sink: sink.name().to_owned(),
            identity: sink.identity(),
            run: started.info.id.clone(),
            plan: started.shape.plan.clone(),
            created,
        };
        Ok(Self { queue: Queue::create(root, about, limits(settings))?, size: settings.size })
    }

    /// A queue that was left behind; `None`: somebody else has it.
    pub(crate) fn open(folder: &Path, settings: &SpoolSettings) -> Result<Option<Self>, SpoolError> {
        let queue = Queue::open(folder, limits(settings))?;
        Ok(queue.map(|queue| Self { queue, size: settings.size }))
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }
}

/// The folders of queues that wait for a sink, the oldest first, and why others cannot be looked at.
pub(crate) fn waiting_for(root: &Path, sink: &dyn Sink) -> (Vec<PathBuf>, Vec<SpoolError>) {
    let (found, errors) = spool::list(root);
    let identity = sink.identity();
    let own =
        found.into_iter().filter(|found| found.about.sink == sink.name() && found.about.identity == identity);
    (own.map(|found| found.folder).collect(), errors)
}

fn limits(settings: &SpoolSettings) -> Limits {
    Limits {
        bytes: settings.size,
        when_full: match settings.when_full {
            WhenFull::DropOldest => spool::WhenFull::DropOldest,
            WhenFull::DropNewest => spool::WhenFull::DropNewest,
        },
        sync: match settings.sync {
            SpoolSync::Never => spool::Sync::Never,
            SpoolSync::Every(time) => spool::Sync::Every(time),
            SpoolSync::Always => spool::Sync::Always,
        },
        ..Limits::default()
    }
}

impl Store for Disk {
    fn append(&mut self, second: u64, pieces: Vec<Piece>) -> Appended {
        let appended = self.queue.append(second, &pieces);
        let folder = self.queue.folder().display();
        let trouble = match &appended.error {
            None if appended.was_removed => Some((
                "removed",
                format!(
                    "{folder} was removed while it was in use, and is made again; what waited there is lost"
                ),
            )),
            Some(error) if appended.lost > 0 => {
                Some(("disk", format!("{folder} takes no points, which are lost: {error}")))
            }
            Some(error) => Some(("disk", format!("{folder}: {error}; points of a crash may be sent twice"))),
            None if appended.is_full => {
                let size = self.size / 1_000_000;
                Some((
                    "full",
                    format!(
                        "{size} MB of points wait in {folder}, which is all it may hold; points are lost"
                    ),
                ))
            }
            None => None,
        };
        Appended { lost: appended.lost, trouble }
    }

    fn refuse(&mut self, points: u64) {
        if points > 0 {
            // Should this fail, it is written with the next report.
            let _ = self.queue.refuse(points);
        }
    }

    fn read(&mut self, points: u64, bytes: usize) -> Batch {
        let folder = self.queue.folder().display().to_string();
        match self.queue.read(points, bytes) {
            Ok(read) => {
                let text =
                    || format!("{folder} is damaged: {} points cannot be read and are lost", read.damaged);
                let trouble = (read.damaged > 0).then(|| ("damaged", text()));
                Batch { pieces: read.pieces, damaged: read.damaged, unreadable: false, trouble }
            }
            Err(error) => Batch {
                unreadable: true,
                trouble: Some(("unreadable", format!("{folder} cannot be read, points wait: {error}"))),
                ..Batch::default()
            },
        }
    }

    fn settle(&mut self, acknowledged: u64) -> Settled {
        let settled = self.queue.settle(acknowledged);
        Settled { acknowledged: settled.acknowledged, lost: settled.lost }
    }

    fn end(&mut self) {
        // Should this fail, the queue is found as one whose run died, and what it lacks is looked for in the record.
        let _ = self.queue.mark_ended();
    }

    fn leave(mut self: Box<Self>) -> Left {
        if !self.queue.is_there() {
            // Nobody would find what waits.
            self.queue.give_up();
            return Left { account: Some(self.queue.account()), ..Left::default() };
        }
        let account = self.queue.account();
        if account.backlog == 0 && self.queue.is_ended() {
            // Should this fail, an empty folder is found and removed later.
            let _ = self.queue.remove();
            return Left { account: Some(account), ..Left::default() };
        }
        let folder = Some(self.queue.folder().to_owned());
        Left { waiting: account.backlog, folder, account: Some(account) }
    }
}
