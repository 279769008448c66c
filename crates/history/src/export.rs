use std::io::{BufRead, Read, Write};

use plimsoll_measure::Edges;
use plimsoll_run::RunEvent;
use plimsoll_run::wire::{self, WireError};

use crate::{Error, History, Result};

/// A line longer than this is no event: it is a hundred times a second of a hundred busy series.
const LONGEST_LINE: u64 = 64 << 20;

/// What is wrong with an export, and on which line.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It holds nothing.
    #[error("the export is empty")]
    Empty,
    /// It could not be read.
    #[error("line {line} cannot be read")]
    Read {
        /// Where, from 1.
        line: u64,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is no event.
    #[error("line {line} cannot be read")]
    Line {
        /// Where, from 1.
        line: u64,
        /// What is wrong with it.
        source: WireError,
    },
    /// A line does not end.
    #[error("line {line} is longer than {} MB", LONGEST_LINE >> 20)]
    TooLong {
        /// Where, from 1.
        line: u64,
    },
    /// The first event is another.
    #[error("line {line}: the first event of an export is `started`")]
    NoStart {
        /// Where, from 1.
        line: u64,
    },
    /// A second run begins.
    #[error("line {line}: a second run begins, an export holds one")]
    StartsAgain {
        /// Where, from 1.
        line: u64,
    },
    /// Something follows the last event.
    #[error("line {line}: nothing may follow `ended`")]
    AfterEnd {
        /// Where, from 1.
        line: u64,
    },
}

impl History {
    /// Writes the events of a run, one line of JSON each. The export of a live run holds what is
    /// recorded so far and has no last event.
    ///
    /// # Errors
    /// When the record cannot be read or the export not be written.
    pub async fn export(&self, id: &str, mut writer: impl Write) -> Result<()> {
        let mut reader = self.read(id).await?;
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                return writer.flush().map_err(Error::Write);
            }
            for line in events.iter().filter_map(wire::to_line) {
                writeln!(writer, "{line}").map_err(Error::Write)?;
            }
        }
    }
}

/// Reads the events of an export, as a replay folds them.
pub fn read_export<R: BufRead>(reader: R) -> ReadExport<R> {
    ReadExport { reader, line: 0, edges: Edges::default(), place: Place::Before }
}

/// The events of an export; ends after the first error.
#[derive(Debug)]
pub struct ReadExport<R> {
    reader: R,
    line: u64,
    edges: Edges,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Ended,
    Failed,
}

impl<R: BufRead> ReadExport<R> {
    /// The next line that is not blank; `None` at the end.
    fn line(&mut self) -> std::result::Result<Option<String>, ExportError> {
        loop {
            self.line += 1;
            let line = self.line;
            let mut text = String::new();
            let read = self.reader.by_ref().take(LONGEST_LINE + 1).read_line(&mut text);
            match read.map_err(|source| ExportError::Read { line, source })? as u64 {
                0 => return Ok(None),
                length if length > LONGEST_LINE => return Err(ExportError::TooLong { line }),
                _ if text.trim().is_empty() => {}
                _ => return Ok(Some(text)),
            }
        }
    }

    fn event(&mut self) -> std::result::Result<Option<RunEvent>, ExportError> {
        let text = self.line()?;
        let line = self.line;
        let Some(text) = text else {
            return if self.place == Place::Before { Err(ExportError::Empty) } else { Ok(None) };
        };
        if self.place == Place::Ended {
            return Err(ExportError::AfterEnd { line });
        }
        let event = wire::from_line(text.trim_end(), &self.edges)
            .map_err(|source| ExportError::Line { line, source })?;
        match (&event, self.place) {
            (RunEvent::Started(started), Place::Before) => {
                self.edges = started.shape.edges.clone();
                self.place = Place::Within;
            }
            (RunEvent::Started(_), _) => return Err(ExportError::StartsAgain { line }),
            (_, Place::Before) => return Err(ExportError::NoStart { line }),
            (RunEvent::Ended(_), _) => self.place = Place::Ended,
            _ => {}
        }
        Ok(Some(event))
    }
}

impl<R: BufRead> Iterator for ReadExport<R> {
    type Item = std::result::Result<RunEvent, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.place == Place::Failed {
            return None;
        }
        let event = self.event();
        if event.is_err() {
            self.place = Place::Failed;
        }
        event.transpose()
    }
}
