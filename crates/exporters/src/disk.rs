//! Queues on disk: where points wait that must outlive the process. What a disk does not take, because it is full or
//! gone, waits in memory behind them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_run::{SpoolSettings, SpoolSync, Started, WhenFull};

use crate::held::{Held, Report};
use crate::spool::{self, About, Limits, Queue, SpoolError};
use crate::store::{Appended, Batch, Left, MEMORY_BYTES, Settled, Store};
use crate::{Piece, Sink};

/// A queue on disk as a store.
#[derive(Debug)]
pub(crate) struct Disk {
    queue: Queue,
    size: u64,
    /// What the disk does not take; all of it comes after what is in the queue, unless it is on its way to the sink.
    held: Held,
    /// The run has told everything.
    is_over: bool,
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
        Ok(Self::of(Queue::create(root, about, limits(settings))?, settings))
    }

    /// A queue that was left behind; `None`: somebody else has it.
    pub(crate) fn open(folder: &Path, settings: &SpoolSettings) -> Result<Option<Self>, SpoolError> {
        let queue = Queue::open(folder, limits(settings))?;
        Ok(queue.map(|queue| Self::of(queue, settings)))
    }

    fn of(queue: Queue, settings: &SpoolSettings) -> Self {
        let held = Held::new(MEMORY_BYTES);
        Self { queue, size: settings.size, held, is_over: false }
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

impl Disk {
    /// Moves what is held to the disk, as far as the disk takes it.
    fn move_to_disk(&mut self) -> Appended {
        let mut all = Appended::default();
        while !self.held.is_being_read()
            && let Some(Report { second, pieces }) = self.held.front()
        {
            let appended = self.queue.offer(*second, pieces);
            all.lost += appended.lost;
            if let Some(trouble) = self.trouble(&appended) {
                all.trouble.get_or_insert(trouble);
            }
            if !appended.is_settled {
                break;
            }
            self.held.pop();
        }
        all
    }

    fn trouble(&self, appended: &spool::Appended) -> Option<(&'static str, String)> {
        let folder = self.queue.folder().display();
        match &appended.error {
            None if appended.was_removed => Some((
                "removed",
                format!(
                    "{folder} was removed while it was in use, and is made again; what waited there is lost"
                ),
            )),
            Some(error) if !appended.is_settled => Some((
                "disk",
                format!(
                    "{folder} takes no points: they wait in memory, and are lost with the process: {error}"
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
        }
    }

    /// Writes down that nothing more will come, once nothing of it is in memory alone.
    fn mark_when_whole(&mut self) {
        if self.is_over && self.held.is_empty() && !self.queue.is_ended() {
            // Should this fail, the queue is found as one whose run died, and what it lacks is looked for in the record.
            let _ = self.queue.mark_ended();
        }
    }
}

impl Store for Disk {
    fn append(&mut self, second: u64, pieces: Vec<Piece>) -> Appended {
        self.held.push(Report { second, pieces });
        let mut appended = self.move_to_disk();
        let lost = self.held.make_room();
        if lost > 0 {
            self.refuse(lost);
            appended.lost += lost;
            let text = format!("{} MiB of points wait in memory, so the oldest are lost", MEMORY_BYTES >> 20);
            appended.trouble = Some(("memory", text));
        }
        appended
    }

    fn refuse(&mut self, points: u64) {
        if points > 0 {
            // Should this fail, it is written with the next report.
            let _ = self.queue.refuse(points);
        }
    }

    fn read(&mut self, points: u64, bytes: usize) -> Batch {
        // A disk that is gone may not even say that nothing waits there.
        if self.queue.account().backlog == 0 {
            return Batch { pieces: self.held.read(points, bytes), ..Batch::default() };
        }
        let folder = self.queue.folder().display().to_string();
        match self.queue.read(points, bytes) {
            Ok(read) => {
                let text =
                    || format!("{folder} is damaged: {} points cannot be read and are lost", read.damaged);
                let trouble = (read.damaged > 0).then(|| ("damaged", text()));
                let from_memory = read.pieces.is_empty();
                let pieces = if from_memory { self.held.read(points, bytes) } else { read.pieces };
                Batch { pieces, damaged: read.damaged, unreadable: false, trouble }
            }
            Err(error) => Batch {
                unreadable: true,
                trouble: Some(("unreadable", format!("{folder} cannot be read, points wait: {error}"))),
                ..Batch::default()
            },
        }
    }

    fn settle(&mut self, acknowledged: u64) -> Settled {
        if self.held.is_being_read() {
            let settled = self.held.settle(acknowledged);
            // Should this fail, it is written with the next report.
            let _ = self.queue.pass_by(settled.acknowledged);
            self.refuse(settled.lost);
            self.mark_when_whole();
            return settled;
        }
        let settled = self.queue.settle(acknowledged);
        Settled { acknowledged: settled.acknowledged, lost: settled.lost }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.mark_when_whole();
    }

    fn leave(mut self: Box<Self>) -> Left {
        self.held.stop_reading();
        let mut lost = 0;
        if self.queue.is_there() {
            lost += self.move_to_disk().lost;
        } else {
            // Nobody would find what waits.
            self.queue.give_up();
        }
        while !self.held.is_empty() {
            let points = self.held.pop();
            self.refuse(points);
            lost += points;
        }
        self.mark_when_whole();
        let account = self.queue.account();
        if !self.queue.is_there() {
            return Left { account: Some(account), ..Left::default() };
        }
        if account.backlog == 0 && self.queue.is_ended() {
            // Should this fail, an empty folder is found and removed later.
            let _ = self.queue.remove();
            return Left { account: Some(account), ..Left::default() };
        }
        let folder = Some(self.queue.folder().to_owned());
        Left { waiting: account.backlog, lost, folder, account: Some(account) }
    }
}
