//! The folders of queues, and what lies in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::account::{self, Standing};
use super::record::Seal;
use super::{Account, SpoolError};

/// The format of everything in a folder.
const FORMAT: u64 = 1;

/// The longest `about.json` that is read.
const LONGEST_ABOUT: u64 = 64 << 10;

/// Who only looks at a queue has its lock for a moment; who has it open does so for longer than this.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const ABOUT: &str = "about.json";
const NEW_ABOUT: &str = "about.json.new";
const LOCK: &str = "lock";
const ACCOUNT: &str = "account";
const SEGMENT_SUFFIX: &str = ".log";

/// Whose queue it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The sink's name.
    pub sink: String,
    /// What tells the sink from others of its name; no secrets.
    pub identity: String,
    /// The run's id.
    pub run: String,
    /// The name of its plan.
    pub plan: String,
    /// When the queue was made, seconds since 1970.
    pub created: u64,
}

impl About {
    /// Where its queue lies.
    ///
    /// # Errors
    /// When sink or run have names that no folder can have.
    pub(super) fn folder(&self, root: &Path) -> Result<PathBuf, SpoolError> {
        for name in [&self.sink, &self.run] {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(is_plain) {
                return Err(SpoolError::Name(name.clone()));
            }
        }
        let hash = crc32fast::hash(self.identity.as_bytes());
        Ok(root.join(format!("{}-{hash:08x}", self.sink)).join(&self.run))
    }

    pub(super) fn seal(&self) -> Seal {
        Seal::new([&self.sink, &self.identity, &self.run])
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), SpoolError> {
        let Self { sink, identity, run, plan, created } = self;
        let text = json!({
            "format": FORMAT, "sink": sink, "identity": identity, "run": run, "plan": plan, "created": created,
        });
        let (new, path) = (folder.join(NEW_ABOUT), folder.join(ABOUT));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(format!("{text:#}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(SpoolError::io(path.clone()))
    }

    pub(super) fn read(folder: &Path) -> Result<Self, SpoolError> {
        let path = folder.join(ABOUT);
        let length = fs::metadata(&path).map_err(SpoolError::io(path.clone()))?.len();
        let unreadable = |reason: &str| SpoolError::About { path: path.clone(), reason: reason.to_owned() };
        if length > LONGEST_ABOUT {
            return Err(unreadable("it is too long"));
        }
        let bytes = fs::read(&path).map_err(SpoolError::io(path.clone()))?;
        let about: Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error.to_string()))?;
        match about["format"].as_u64() {
            Some(FORMAT) => {}
            Some(found) => return Err(SpoolError::Version { path, found }),
            None => return Err(unreadable("it has no `format`")),
        }
        let text = |key: &str| {
            let text = about[key].as_str().map(str::to_owned);
            text.ok_or_else(|| unreadable(&format!("it has no `{key}`")))
        };
        Ok(Self {
            sink: text("sink")?,
            identity: text("identity")?,
            run: text("run")?,
            plan: text("plan")?,
            created: about["created"].as_u64().ok_or_else(|| unreadable("it has no `created`"))?,
        })
    }
}

/// A queue that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// Whose it is.
    pub about: About,
}

/// All queues under a root, the oldest first; and why others cannot be read. A root that is not there has none.
pub fn list(root: &Path) -> (Vec<Found>, Vec<SpoolError>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for sink in folders_in(root, &mut errors) {
        for folder in folders_in(&sink, &mut errors) {
            if !folder.join(ABOUT).exists() {
                // It is being made or removed right now, or is none.
                continue;
            }
            match About::read(&folder) {
                Ok(about) => found.push(Found { folder, about }),
                Err(error) => errors.push(error),
            }
        }
    }
    found.sort_by(|one, other| (one.about.created, &one.folder).cmp(&(other.about.created, &other.folder)));
    (found, errors)
}

fn folders_in(folder: &Path, errors: &mut Vec<SpoolError>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            errors.push(SpoolError::io(folder)(error));
            return Vec::new();
        }
    };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// A queue from outside: nothing is changed, and a process that has it open is not disturbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What became of its points; `None`: its account is damaged, and opening it will count anew.
    pub account: Option<Account>,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Nothing more will be appended.
    pub ended: bool,
    /// A process has it open.
    pub in_use: bool,
}

/// Looks at the queue in a folder.
///
/// # Errors
/// When it cannot be read, or is no queue.
pub fn look(folder: &Path) -> Result<Look, SpoolError> {
    let about = About::read(folder)?;
    let contents = Contents::of(folder)?;
    let in_use = match File::open(folder.join(LOCK)) {
        Ok(lock) => {
            let is_locked = lock.try_lock_shared().is_err();
            // It fails only where the lock is not held.
            let _ = lock.unlock();
            is_locked
        }
        Err(_) => false,
    };
    let account = folder.join(ACCOUNT);
    let found = match File::open(&account) {
        Ok(file) => account::read(&file, about.seal()).map_err(SpoolError::io(account))?,
        Err(_) => account::Found::Damaged,
    };
    let standing = match found {
        account::Found::Valid(standing, _) => Some(standing),
        account::Found::Damaged | account::Found::Foreign => None,
    };
    Ok(Look {
        account: standing.as_ref().map(Standing::account),
        bytes: contents.segments.iter().map(|(_, bytes)| bytes).sum(),
        ended: standing.is_some_and(|standing| standing.ended),
        in_use,
    })
}

/// What lies in a queue's folder.
#[derive(Debug)]
pub(super) struct Contents {
    /// Number and bytes of each segment, the oldest first.
    pub(super) segments: Vec<(u64, u64)>,
}

impl Contents {
    /// # Errors
    /// When it cannot be read, or holds what no queue writes.
    pub(super) fn of(folder: &Path) -> Result<Self, SpoolError> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder).map_err(SpoolError::io(folder))? {
            let entry = entry.map_err(SpoolError::io(folder))?;
            let path = entry.path();
            let name = entry.file_name();
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                // Whoever has it open is done with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(SpoolError::io(path)(error)),
            };
            match name.to_str() {
                Some(ABOUT | NEW_ABOUT | LOCK | ACCOUNT) if metadata.is_file() => {}
                Some(name) if metadata.is_file() && segment_number(name).is_some() => {
                    segments.extend(segment_number(name).map(|number| (number, metadata.len())));
                }
                _ => return Err(SpoolError::Foreign { path }),
            }
        }
        segments.sort_unstable();
        Ok(Self { segments })
    }
}

/// The path of a segment.
pub(super) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}{SEGMENT_SUFFIX}"))
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    // Only the very form that is written: no sign, no other number of zeros.
    (format!("{number:08}") == digits).then_some(number)
}

/// Takes the lock of a folder; `None`: another process has it.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, SpoolError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
    let file = file.map_err(SpoolError::io(path.clone()))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(SpoolError::io(path)(error)),
        }
    }
    Ok(None)
}

/// Opens the account for reading and writing. A new one is empty.
pub(super) fn open_account(folder: &Path) -> Result<File, SpoolError> {
    let path = folder.join(ACCOUNT);
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
    file.map_err(SpoolError::io(path))
}

/// Where the account is.
pub(super) fn account(folder: &Path) -> PathBuf {
    folder.join(ACCOUNT)
}

/// Whether a folder is a queue's.
pub(super) fn is_queue(folder: &Path) -> bool {
    folder.join(ABOUT).exists()
}

/// Makes the names in a folder survive a loss of power.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a queue's own files and its folder; the folder of its sink too, when that was its last.
pub(super) fn remove(folder: &Path, segments: impl Iterator<Item = u64>) -> io::Result<()> {
    for number in segments {
        remove_file(&segment(folder, number))?;
    }
    // Without `about.json` it is a queue no more, whatever stops us here.
    for name in [ABOUT, NEW_ABOUT, ACCOUNT, LOCK] {
        remove_file(&folder.join(name))?;
    }
    fs::remove_dir(folder)?;
    if let Some(sink) = folder.parent() {
        // It fails when there are other queues, as it should.
        let _ = fs::remove_dir(sink);
    }
    Ok(())
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
