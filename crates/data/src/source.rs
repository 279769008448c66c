use std::fmt;
use std::io;
use std::sync::Arc;

/// A file that can be read anywhere.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    fn size(&self) -> u64;

    /// Reads what stands from `offset` on, as much as there is room for; 0 at the end.
    ///
    /// # Errors
    /// When it cannot be read, or is no longer what it was when it was opened.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// Where the bytes of a table are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In memory.
    Memory(Arc<[u8]>),
    /// In a file, where they stay.
    File(Arc<dyn ReadAt>),
}

impl Source {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.size(),
        }
    }

    /// All of it, for small ones.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn whole(&self) -> io::Result<Arc<[u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Arc::clone(bytes)),
            Self::File(file) => {
                let mut bytes = vec![0; file.size() as usize];
                let read = read_fully(&**file, 0, &mut bytes)?;
                bytes.truncate(read);
                Ok(bytes.into())
            }
        }
    }
}

/// Reads until `into` is full or the file ends.
fn read_fully(file: &dyn ReadAt, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(offset + read as u64, &mut into[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The stretch of a source that was read last.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// The bytes from `offset` on: at least `fewest`, unless the source ends before. What has to be
    /// read is read `step` bytes at a time.
    pub(crate) fn at<'w>(
        &'w mut self,
        source: &'w Source,
        offset: u64,
        fewest: usize,
        step: usize,
    ) -> io::Result<&'w [u8]> {
        let file = match source {
            Source::Memory(bytes) => return Ok(bytes.get(offset as usize..).unwrap_or_default()),
            Source::File(file) => file,
        };
        let end = self.start + self.bytes.len() as u64;
        let wanted = (offset + fewest as u64).min(file.size());
        if offset < self.start || wanted > end {
            let kept = if (self.start..end).contains(&offset) {
                self.bytes.drain(..(offset - self.start) as usize);
                self.bytes.len()
            } else {
                self.bytes.clear();
                0
            };
            self.start = offset;
            let left = file.size().saturating_sub(offset) as usize;
            self.bytes.resize(fewest.max(kept + step).min(left), 0);
            let read = read_fully(&**file, offset + kept as u64, &mut self.bytes[kept..])?;
            if kept + read < self.bytes.len() {
                self.bytes.clear();
                let why = "it is shorter than it was when it was opened";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
        Ok(self.bytes.get((offset - self.start) as usize..).unwrap_or_default())
    }
}
