//! The file of samples: single requests as rows, written by a thread of its own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_exposition::SampleRows;
use plimsoll_measure::Single;
use plimsoll_run::{RunEvent, SamplesCount, SamplesFormat, SamplesSettings, Second, Started};
use tokio::sync::Notify;

use crate::Notes;

/// Seconds that may wait to be written.
const SECONDS: usize = 16;

/// Requests that may wait to be written: about 40 MB.
const REQUESTS: u64 = 262_144;

/// Rows written at once. One that fails costs no more than these.
const BATCH: usize = 1024;

/// A file of samples that cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// Rows of two runs in one file could not be told apart, and nothing is overwritten.
    #[error("`samples.file`: {0} exists and is not empty: name another, or move it away")]
    NotEmpty(String),
    /// Another process writes it.
    #[error("`samples.file`: another process is writing {0}")]
    InUse(String),
    /// It cannot be opened.
    #[error("`samples.file`: cannot write {file}: {error}")]
    Io {
        /// Which file.
        file: String,
        /// Why.
        error: io::Error,
    },
}

/// Takes a run's events and writes the requests chosen for the file. Never makes anybody wait: what
/// finds no room is skipped, and counted.
#[derive(Debug)]
pub struct SamplesFile {
    queue: Option<SyncSender<Task>>,
    shared: Arc<Shared>,
    notes: Notes,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Task {
    Started(Arc<Started>),
    Second(Arc<Second>),
}

#[derive(Debug, Default)]
struct Shared {
    chosen: AtomicU64,
    written: AtomicU64,
    /// In the queue.
    waiting: AtomicU64,
    /// Nobody waits for the rest.
    given_up: AtomicBool,
    ended: Notify,
}

impl SamplesFile {
    /// Opens the file, and makes its folder where there is none.
    ///
    /// # Errors
    /// When the file has something in it, another process writes it, or it cannot be opened.
    pub fn create(settings: &SamplesSettings) -> Result<Self, SamplesError> {
        let name = settings.file.display().to_string();
        let io = |error| SamplesError::Io { file: name.clone(), error };
        let file = open(&settings.file).map_err(io)?;
        if file.metadata().map_err(io)?.len() > 0 {
            return Err(SamplesError::NotEmpty(name));
        }
        // A file system without locks is no reason not to write.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(SamplesError::InUse(name));
        }
        let shared = Arc::new(Shared::default());
        let notes = Notes::default();
        let (queue, tasks) = sync_channel(SECONDS);
        let writer = Writer {
            file,
            name: settings.file.clone(),
            format: settings.format,
            rows: None,
            head: Vec::new(),
            length: 0,
            shared: Arc::clone(&shared),
            notes: notes.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("samples".to_owned())
            .spawn(move || writer.write_all(&tasks))
            .map_err(io)?;
        Ok(Self { queue: Some(queue), shared, notes, thread: Some(thread) })
    }

    /// Takes the next event.
    pub fn send(&self, event: &RunEvent) {
        let Some(queue) = &self.queue else { return };
        match event {
            // The first of all, so there is room.
            RunEvent::Started(started) => {
                let _ = queue.try_send(Task::Started(Arc::clone(started)));
            }
            RunEvent::Second(second) => {
                let singles = &second.frame.singles;
                let offered = chosen(second).count() as u64;
                self.shared.chosen.fetch_add(offered + singles.skipped_samples, Ordering::Relaxed);
                if singles.skipped_samples > 0 {
                    self.tell_skipped();
                }
                if offered > 0 && !self.has_taken(queue, second, offered) {
                    self.tell_skipped();
                }
            }
            RunEvent::Phase { .. }
            | RunEvent::Steered(_)
            | RunEvent::Resumed(_)
            | RunEvent::Stretch(_)
            | RunEvent::Judged(_)
            | RunEvent::Profile(_)
            | RunEvent::Note(_)
            | RunEvent::Ended(_) => {}
        }
    }

    fn has_taken(&self, queue: &SyncSender<Task>, second: &Arc<Second>, offered: u64) -> bool {
        let waiting = self.shared.waiting.fetch_add(offered, Ordering::Relaxed);
        // One that is larger than all the room there is finds it in an empty queue.
        let has_room = waiting == 0 || waiting + offered <= REQUESTS;
        let is_taken = has_room && queue.try_send(Task::Second(Arc::clone(second))).is_ok();
        if !is_taken {
            self.shared.waiting.fetch_sub(offered, Ordering::Relaxed);
        }
        is_taken
    }

    fn tell_skipped(&self) {
        self.notes.tell(
            "skipped",
            "more requests were chosen for the file of samples than there is room for: some are skipped, and counted"
                .to_owned(),
        );
    }

    /// What is worth telling since the last call, each thing once.
    pub fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Writes what waits, for at most `deadline`, and closes the file. What is not written by then is
    /// skipped.
    pub async fn finish(&mut self, deadline: Duration) -> SamplesCount {
        self.queue = None;
        let ended = tokio::time::timeout(deadline, self.shared.ended.notified()).await.is_ok();
        self.shared.given_up.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            // One that panicked has said so, and counts nothing any more.
            let _ = thread.join();
        }
        let written = self.shared.written.load(Ordering::SeqCst);
        let chosen = self.shared.chosen.load(Ordering::SeqCst);
        SamplesCount { written, skipped: chosen.saturating_sub(written) }
    }
}

fn chosen(second: &Second) -> impl Iterator<Item = &Single> {
    second.frame.singles.requests.iter().filter(|single| single.purposes.samples)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    // Opened for writing alone a pipe would wait for its reader.
    let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    OpenOptions::new().create(true).truncate(false).write(true).read(is_pipe).open(path)
}

/// What the thread has.
struct Writer {
    file: File,
    name: PathBuf,
    format: SamplesFormat,
    rows: Option<SampleRows>,
    /// What is to stand before the first row, until it does.
    head: Vec<u8>,
    /// How many bytes of whole rows are in the file.
    length: u64,
    shared: Arc<Shared>,
    notes: Notes,
}

impl Writer {
    fn write_all(mut self, tasks: &Receiver<Task>) {
        for task in tasks {
            match task {
                Task::Started(started) => {
                    let rows = SampleRows::new(&started, self.format);
                    self.head = rows.head().into_bytes();
                    self.rows = Some(rows);
                }
                Task::Second(second) => self.write_second(&second),
            }
        }
        self.shared.ended.notify_one();
    }

    fn write_second(&mut self, second: &Second) {
        let singles: Vec<_> = chosen(second).collect();
        for batch in singles.chunks(BATCH) {
            if self.shared.given_up.load(Ordering::SeqCst) {
                return;
            }
            match self.write_batch(batch) {
                Ok(()) => {
                    self.shared.written.fetch_add(batch.len() as u64, Ordering::SeqCst);
                }
                Err(error) => self.notes.tell(
                    "write",
                    format!(
                        "the file of samples {} cannot be written: {error}; what is skipped is counted",
                        self.name.display()
                    ),
                ),
            }
        }
        self.shared.waiting.fetch_sub(singles.len() as u64, Ordering::Relaxed);
    }

    /// Writes some rows whole, or takes back what was written of them.
    fn write_batch(&mut self, singles: &[&Single]) -> io::Result<()> {
        let Some(rows) = &self.rows else { return Err(io::Error::other("its run has not begun")) };
        let mut bytes = self.head.clone();
        singles.iter().for_each(|single| rows.write(single, &mut bytes));
        let written = self.file.write_all(&bytes);
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                self.head.clear();
            }
            // Pipes and devices take nothing back.
            Err(_) => {
                if self.file.set_len(self.length).is_ok() {
                    self.file.seek(SeekFrom::Start(self.length))?;
                }
            }
        }
        written
    }
}
