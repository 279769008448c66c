//! Tables of plans in files, read where they lie.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plimsoll_data::{ReadAt, Source};

/// Files up to this size in bytes are read into memory: a row of theirs needs no call of the system.
const SMALL: u64 = 16 << 20;

/// How long the first reading of a table may take before it says how far it is, and how often it says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than this is not read from standard input: 512 MiB, all of which has to be in memory. A file may be of any size.
const MOST_INPUT: u64 = 512 << 20;

/// The bytes of a table, `-` for those of standard input.
pub(crate) fn open_or_input(path: &Path) -> Result<Source, String> {
    if path.as_os_str() != "-" {
        return open(path);
    }
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MOST_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_INPUT {
        return Err(
            "it has more than 512 MiB, which is the most that is read from standard input: name a file"
                .to_owned(),
        );
    }
    Ok(Source::Memory(bytes.into()))
}

/// The bytes of a table.
pub(crate) fn open(path: &Path) -> Result<Source, String> {
    opened(path).map_err(|error| error.to_string())
}

fn opened(path: &Path) -> io::Result<Source> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // What has no size of its own, like a pipe, can be read once only.
    if !metadata.is_file() || metadata.len() <= SMALL {
        return Ok(Source::Memory(std::fs::read(path)?.into()));
    }
    let name = path.display().to_string();
    let progress = Progress { name, furthest: AtomicU64::new(0), told: Mutex::new(Instant::now()) };
    Ok(Source::File(Arc::new(LargeFile { stamp: Stamp::of(&file)?, file, progress })))
}

/// A file that must stay as it is for as long as it is open.
#[derive(Debug)]
struct LargeFile {
    file: File,
    stamp: Stamp,
    progress: Progress,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    /// Seconds and nanoseconds of the last change of its content.
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

impl ReadAt for LargeFile {
    fn size(&self) -> u64 {
        self.stamp.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, offset)?;
        if Stamp::of(&self.file)? != self.stamp {
            return Err(io::Error::other("it was changed while it was in use"));
        }
        self.progress.reached(offset + read as u64, self.stamp.size);
        Ok(read)
    }
}

/// How far the first reading of a file is.
#[derive(Debug)]
struct Progress {
    name: String,
    furthest: AtomicU64,
    told: Mutex<Instant>,
}

impl Progress {
    fn reached(&self, offset: u64, size: u64) {
        if self.furthest.load(Ordering::Relaxed) >= size {
            return;
        }
        self.furthest.fetch_max(offset, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PATIENCE && io::stderr().is_terminal() {
            *told = Instant::now();
            crate::say::errln!("reading {}: {}% of {} MB", self.name, offset * 100 / size, size / 1_000_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_stays_where_it_is_and_must_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, vec![b'x'; SMALL as usize]).unwrap();
        assert!(matches!(open(&path), Ok(Source::Memory(_))));
        std::fs::write(&path, vec![b'x'; SMALL as usize + 1]).unwrap();
        let Ok(Source::File(file)) = open(&path) else { panic!("it should have stayed in its file") };
        let mut bytes = [0; 10];
        assert_eq!(file.read_at(SMALL - 4, &mut bytes).unwrap(), 5);
        std::fs::write(&path, vec![b'y'; SMALL as usize + 2]).unwrap();
        let error = file.read_at(0, &mut bytes).unwrap_err().to_string();
        assert_eq!(error, "it was changed while it was in use");
        assert!(open(&folder.path().join("none.csv")).is_err());
    }
}
