use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, History, Result};

/// The right to be the one service on a record; given up when dropped or when the process ends.
#[derive(Debug)]
pub struct ServiceLock {
    /// The lock lives as long as the open file.
    _file: File,
}

impl History {
    /// Takes the right to be the one service on this record. The lock is the kernel's, on a file
    /// beside the record, so a killed service leaves none behind.
    ///
    /// # Errors
    /// [`Error::ServiceRuns`] when another process (or another lock of this one) has it.
    pub fn lock_service(&self) -> Result<ServiceLock> {
        let path = beside(self.path(), ".service");
        let failed = |source| Error::File { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::ServiceRuns { path: self.path().to_owned(), process: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(ServiceLock { _file: file })
    }
}

/// What the holder wrote into the file, which it does only after it has the lock.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
