//! Appends points to a file: NDJSON or CSV, a line per second and series.
//!
//! A batch is acknowledged when it is on the disk. What a batch wrote before the disk was full or the
//! process died is taken away again, so a file never has half a line; a batch that was written whole and
//! not acknowledged before a crash is written again.

use std::fs::File as OsFile;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use plimsoll_exposition::{Report, rows};
use plimsoll_run::{FileExport, FileFormat, RunEvent, Started};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::sink::{halves_of_lines, lines_as_pieces, lines_of};
use crate::{Answer, Encoder, Limits, Piece, Sink, SinkError};

/// The name of the sink in counts and metrics.
pub const SINK: &str = "file";

/// Of one write and its flush.
const LIMITS: Limits = Limits { points: 20_000, bytes: 4 << 20, lanes: 1 };

/// How far the end of a file is searched for the end of its last line. Lines of ours are far shorter.
const LONGEST_LINE: u64 = 1 << 20;

/// A file that grows.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    format: FileFormat,
}

impl File {
    /// Makes the file where there is none.
    ///
    /// # Errors
    /// When it cannot be written, or holds something that we did not write.
    pub fn new(settings: &FileExport) -> Result<Self, SinkError> {
        let shown = settings.path.display();
        let wrong = |error: io::Error| SinkError::new(SINK, format!("cannot write {shown}: {error}"));
        let path = std::path::absolute(&settings.path).map_err(wrong)?;
        let file = Self { path, format: settings.format };
        let mut open = file.open().map_err(wrong)?;
        let mut start = String::new();
        if whole_lines(&mut open).map_err(wrong)?.of > 0 {
            open.rewind().map_err(wrong)?;
            // Of what is no text, so much as is.
            let _ = open.take(LONGEST_LINE).read_to_string(&mut start);
            if !file.is_ours(&start) {
                let what = match settings.format {
                    FileFormat::Ndjson => "points of ours",
                    FileFormat::Csv => "points of ours in the same columns",
                };
                let reason = format!("{shown} holds something else than {what}; it stays as it is");
                return Err(SinkError::new(SINK, reason));
            }
        }
        Ok(file)
    }

    fn open(&self) -> io::Result<OsFile> {
        OsFile::options().create(true).append(true).read(true).open(&self.path)
    }

    /// Whether a file that begins so was written here. Its first line may be torn.
    fn is_ours(&self, start: &str) -> bool {
        let (first, whole) = match start.split_once('\n') {
            Some((first, _)) => (first, true),
            None => (start, false),
        };
        match self.format {
            FileFormat::Csv if whole => first == rows::csv_header(),
            FileFormat::Csv => !first.is_empty() && rows::csv_header().starts_with(first),
            FileFormat::Ndjson if whole => {
                let first: Option<Value> = serde_json::from_str(first).ok();
                first
                    .is_some_and(|first| ["time", "run", "metric"].iter().all(|key| first.get(key).is_some()))
            }
            FileFormat::Ndjson => first.starts_with(r#"{"time":""#),
        }
    }

    /// Appends lines, all or none.
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.open()?;
        // Another run may write to the same file.
        file.lock()?;
        let WholeLines { bytes, of } = whole_lines(&mut file)?;
        if bytes < of {
            file.set_len(bytes)?;
        }
        let written = self.write(&mut file, bytes, lines);
        if written.is_err() {
            // What cannot be taken away now is taken away before the next batch.
            let _ = file.set_len(bytes);
        }
        written
    }

    fn write(&self, file: &mut OsFile, size: u64, lines: &[u8]) -> io::Result<()> {
        let mut batch = Vec::with_capacity(lines.len() + 1);
        if size == 0 && self.format == FileFormat::Csv {
            batch.extend_from_slice(rows::csv_header().as_bytes());
            batch.push(b'\n');
        }
        batch.extend_from_slice(lines);
        batch.push(b'\n');
        file.write_all(&batch)?;
        file.sync_data()
    }
}

/// How many bytes of a file are whole lines.
struct WholeLines {
    bytes: u64,
    of: u64,
}

fn whole_lines(file: &mut OsFile) -> io::Result<WholeLines> {
    let of = file.metadata()?.len();
    let start = of.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut last = Vec::new();
    file.take(of - start).read_to_end(&mut last)?;
    match last.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => Ok(WholeLines { bytes: start + at as u64 + 1, of }),
        None if start == 0 => Ok(WholeLines { bytes: 0, of }),
        None => Err(io::Error::other("its last line has no end, and is none of ours")),
    }
}

impl Sink for File {
    fn name(&self) -> &'static str {
        SINK
    }

    fn identity(&self) -> String {
        self.path.display().to_string()
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn encoder(&self, started: &Arc<Started>) -> Box<dyn Encoder> {
        Box::new(Rows { run: started.info.id.clone(), format: self.format })
    }

    fn send<'a>(&'a self, pieces: &'a [Piece]) -> BoxFuture<'a, Answer> {
        let file = Self { path: self.path.clone(), format: self.format };
        Box::pin(async move {
            let lines = lines_of(pieces);
            // It ends whether or not it is waited for.
            match spawn_blocking(move || file.append(&lines).map_err(|error| later(&file.path, &error))).await
            {
                Ok(Ok(())) => Answer::Taken,
                Ok(Err(answer)) => answer,
                Err(error) => Answer::without(false, &error.to_string()),
            }
        })
    }

    fn halves(&self, piece: &Piece) -> Option<[Piece; 2]> {
        halves_of_lines(piece)
    }
}

/// Whatever is wrong with a disk may be put right.
fn later(path: &Path, error: &io::Error) -> Answer {
    let reason = format!("cannot write {}, points wait: {error}", path.display());
    Answer::Later { kind: error.kind().to_string(), reason, after: None }
}

/// A line per reading, and no state.
#[derive(Debug)]
struct Rows {
    run: String,
    format: FileFormat,
}

impl Encoder for Rows {
    fn encode(&mut self, _: &RunEvent, report: Option<&Report>) -> Vec<Piece> {
        let lines = report.map(|report| match self.format {
            FileFormat::Ndjson => rows::json(report, &self.run).iter().map(Value::to_string).collect(),
            FileFormat::Csv => rows::csv(report, &self.run),
        });
        lines_as_pieces(&lines.unwrap_or_default(), LIMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: &Path) -> FileExport {
        let csv = path.extension().is_some_and(|extension| extension == "csv");
        FileExport { path: path.to_owned(), format: if csv { FileFormat::Csv } else { FileFormat::Ndjson } }
    }

    #[test]
    fn only_files_of_ours_are_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let header = rows::csv_header();
        let line = r#"{"time":"2023-11-14T22:13:21Z","run":"r","metric":"m","labels":{},"count":2}"#;
        let cases = [
            ("a.csv", String::new(), true),
            ("b.csv", format!("{header}\n"), true),
            ("c.csv", format!("{header}\n1,2,3"), true),
            ("d.csv", header[..20].to_owned(), true),
            ("e.csv", format!("{header},more\n"), false),
            ("f.csv", "name,age\n".to_owned(), false),
            ("g.csv", "\n".to_owned(), false),
            ("a.ndjson", format!("{line}\n"), true),
            ("b.ndjson", line[..30].to_owned(), true),
            ("c.ndjson", "{}\n".to_owned(), false),
            ("d.ndjson", "a letter".to_owned(), false),
            ("e.ndjson", "\n".to_owned(), false),
        ];
        for (name, text, ours) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, &text).unwrap();
            let opened = File::new(&settings(&path));
            assert_eq!(opened.is_ok(), ours, "{name}: {opened:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name} is as it was");
        }
        let binary = folder.path().join("binary.csv");
        std::fs::write(&binary, [0xff, 0xfe, b'\n']).unwrap();
        File::new(&settings(&binary)).unwrap_err();
        let error = File::new(&settings(&folder.path().join("none/a.csv"))).unwrap_err();
        assert!(error.to_string().starts_with("file: cannot write "), "{error}");
        File::new(&settings(folder.path())).unwrap_err();
    }

    #[test]
    fn a_torn_line_is_taken_away_before_the_next_one_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let header = rows::csv_header();
        let cases = [
            (String::new(), format!("{header}\nx\n")),
            (header[..9].to_owned(), format!("{header}\nx\n")),
            (format!("{header}\n1,2\n3"), format!("{header}\n1,2\nx\n")),
            (format!("{header}\n1,2\n"), format!("{header}\n1,2\nx\n")),
        ];
        for (before, after) in cases {
            let path = folder.path().join("a.csv");
            std::fs::write(&path, &before).unwrap();
            File::new(&settings(&path)).unwrap().append(b"x").unwrap();
            File::new(&settings(&path)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        let path = folder.path().join("long.ndjson");
        let sink = File::new(&settings(&path)).unwrap();
        std::fs::write(&path, "x".repeat(LONGEST_LINE as usize + 1)).unwrap();
        sink.append(b"x").unwrap_err();
    }
}
