use std::fmt;
use std::io;

use crate::row::Row;
use crate::source::{Source, Window};
use crate::{Methods, csv, json, log};

/// The largest row in bytes. A line without an end is not read into memory.
pub const MOST_ROW: usize = 1 << 20;

/// The largest file of one JSON array in bytes: it has to be in memory, which lines of JSON have not.
pub const MOST_JSON: u64 = 64 << 20;

/// Positions kept of a table, 8 bytes each: with more rows every second, fourth ... is remembered. A
/// table of 10 GB of rows of 50 bytes keeps one of 256 rows, which is 13 kB to read for any row.
const MOST_POSITIONS: usize = 1 << 20;

/// Bytes read at once when one row follows the other.
pub(crate) const STEP: usize = 64 << 10;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CSV (RFC 4180) with a header.
    Csv {
        /// What stands between values: an ASCII character.
        delimiter: u8,
    },
    /// A JSON object on each line.
    Ndjson,
    /// An access log, whose rows are requests: [`Table::open_log`].
    Log {
        /// Requests with these methods are rows.
        methods: Methods,
    },
}

/// Rows, read where they lie.
pub struct Table {
    pub(crate) source: Source,
    pub(crate) format: Format,
    pub(crate) columns: Vec<String>,
    rows: u64,
    /// Where every `stride`-th row begins.
    positions: Vec<u64>,
    stride: u64,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, columns, rows, .. } = self;
        f.debug_struct("Table")
            .field("format", format)
            .field("columns", columns)
            .field("rows", rows)
            .finish_non_exhaustive()
    }
}

/// Where in a text something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Invalid UTF-8.
    #[error("this is not UTF-8")]
    NotText,
    /// A row too large.
    #[error("the row is longer than 1 MiB")]
    TooLong,
    /// CSV: another number of values than the header has.
    #[error("the row has {found} values where the header has {expected}")]
    Ragged {
        /// Values of the row.
        found: usize,
        /// Columns of the table.
        expected: usize,
    },
    /// CSV: a quote inside a value without quotes.
    #[error(
        "a quote inside a value that does not begin with one; quote the value and double the quotes in it"
    )]
    LooseQuote,
    /// CSV: a carriage return that ends no line.
    #[error("a carriage return without a line feed")]
    LooseReturn,
    /// CSV: a value whose quotes are not closed.
    #[error("this quote is not closed")]
    OpenQuote,
    /// CSV: something between the closing quote and the next value.
    #[error("the value goes on after its closing quote; a quote inside a value is doubled")]
    AfterQuote,
    /// A line that is no JSON.
    #[error("this is not JSON")]
    NoJson,
    /// JSON that is not an object.
    #[error("this is not a JSON object")]
    NoObject,
    /// An object without a key of the first one.
    #[error("`{0}` is missing, which the first object has; all objects have the same keys")]
    MissingKey(String),
    /// An object with a key that the first one lacks.
    #[error("`{0}` is not in the first object; all objects have the same keys")]
    OtherKey(String),
    /// A line of a log that has no request any more.
    #[error("the line has no request")]
    NoRequest,
}

/// Why bytes are no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The bytes cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// A row is wrong.
    #[error("{place}: {fault}")]
    Row {
        /// Where.
        place: Place,
        /// How.
        fault: Fault,
    },
    /// An object of an array is wrong.
    #[error("object {number}: {fault}")]
    Object {
        /// Its number, from 1.
        number: u64,
        /// How.
        fault: Fault,
    },
    /// JSON that is not an array.
    #[error("it is not an array of objects")]
    NoArray,
    /// An array of JSON larger than [`MOST_JSON`].
    #[error(
        "an array of JSON has to fit into memory and may have 64 MiB; write one object a line and use `ndjson`"
    )]
    LargeArray,
    /// Nothing that names columns.
    #[error("it has no header line")]
    NoHeader,
    /// No rows.
    #[error("it has no rows")]
    NoRows,
    /// A column without a name.
    #[error("column {0} has no name")]
    NamelessColumn(usize),
    /// A name that templates cannot use.
    #[error("the name `{0}` of a column holds a brace or a control character")]
    UnusableColumn(String),
    /// Two columns of one name.
    #[error("two columns are called `{0}`")]
    DoubledColumn(String),
    /// Too many columns.
    #[error("it has more than {} columns", u16::MAX)]
    TooWide,
}

/// Why a row of a table that was right cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The bytes cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Something else is there.
    #[error("row {number} is not what it was when the table was checked: {fault}")]
    Changed {
        /// The row, from 1.
        number: u64,
        /// What is wrong with it now.
        fault: Fault,
    },
    /// The table ends before it.
    #[error("row {number} is not there any more")]
    Gone {
        /// The row, from 1.
        number: u64,
    },
}

impl RowError {
    fn of(error: TableError, number: u64) -> Self {
        match error {
            TableError::Read(error) => Self::Read(error),
            TableError::Row { fault, .. } => Self::Changed { number: number + 1, fault },
            _ => Self::Gone { number: number + 1 },
        }
    }
}

impl Table {
    /// Reads a table once from its first byte to its last; `each` sees the columns and a row, for every row.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn open(
        source: Source,
        format: Format,
        each: impl FnMut(&[String], &Row),
    ) -> Result<Self, TableError> {
        let table = Self::empty(source, format);
        Opening { table, window: Window::default(), line: 1, at: 0 }.run(each)
    }

    /// Reads an array of JSON objects into memory; `each` sees the columns and a row, for every row.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn open_json(source: &Source, each: impl FnMut(&[String], &Row)) -> Result<Self, TableError> {
        if source.size() > MOST_JSON {
            return Err(TableError::LargeArray);
        }
        let bytes = source.whole()?;
        let bytes = bytes.strip_prefix(BOM).unwrap_or(&bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let place = place_in(1, bytes, error.valid_up_to());
            TableError::Row { place, fault: Fault::NotText }
        })?;
        let csv = json::array_as_csv(text).map_err(|error| match error {
            json::ArrayError::Object(number, fault) => TableError::Object { number, fault },
            json::ArrayError::Text(_, _, true) => TableError::NoArray,
            json::ArrayError::Text(line, column, false) => {
                TableError::Row { place: Place { line, column }, fault: Fault::NoJson }
            }
        })?;
        if csv.is_empty() {
            return Err(TableError::NoRows);
        }
        Self::open(Source::Memory(csv.into()), Format::Csv { delimiter: b',' }, each)
    }

    /// Names of its columns; at least one.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows it has; at least one.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// A table of which nothing was read.
    pub(crate) fn empty(source: Source, format: Format) -> Self {
        Self { source, format, columns: Vec::new(), rows: 0, positions: Vec::new(), stride: 1 }
    }

    /// Counts a row that begins here, and keeps the place of some.
    pub(crate) fn remember(&mut self, start: u64) {
        if self.rows.is_multiple_of(self.stride) {
            if self.positions.len() == MOST_POSITIONS {
                let mut is_kept = false;
                self.positions.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
                self.stride *= 2;
            }
            // What was a place to remember may lie between two now.
            if self.rows.is_multiple_of(self.stride) {
                self.positions.push(start);
            }
        }
        self.rows += 1;
    }

    /// Reads the values of a record; the error comes with its byte.
    fn values(&self, record: &[u8], row: &mut Row) -> Result<(), (usize, Fault)> {
        row.clear();
        if let Format::Log { .. } = self.format {
            return log::values(record, row).map_err(|_| (0, Fault::NoRequest));
        }
        let text = std::str::from_utf8(record).map_err(|error| (error.valid_up_to(), Fault::NotText))?;
        match self.format {
            Format::Csv { delimiter } => {
                csv::values(text, delimiter, row)?;
                let (found, expected) = (row.len(), self.columns.len());
                if found != expected {
                    return Err((0, Fault::Ragged { found, expected }));
                }
                Ok(())
            }
            Format::Ndjson => {
                json::values(&json::object(text)?, &self.columns, row).map_err(|fault| (0, fault))
            }
            Format::Log { .. } => Err((0, Fault::NoRequest)),
        }
    }
}

pub(crate) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A table being read for the first time.
struct Opening {
    table: Table,
    window: Window,
    line: u64,
    at: u64,
}

impl Opening {
    fn run(mut self, mut each: impl FnMut(&[String], &Row)) -> Result<Table, TableError> {
        if self.window.at(&self.table.source, 0, BOM.len(), STEP)?.starts_with(BOM) {
            self.at = BOM.len() as u64;
        }
        self.header()?;
        let mut row = Row::default();
        loop {
            let start = self.at;
            let table = &self.table;
            let Some(record) = record(&mut self.window, table, &mut self.at, STEP, &mut self.line)? else {
                break;
            };
            table.values(record.text, &mut row).map_err(|(at, fault)| record.wrong(at, fault))?;
            let start = start + record.skipped;
            row.number = table.rows;
            row.line = record.line;
            each(&table.columns, &row);
            self.table.remember(start);
        }
        match self.table.rows {
            0 => Err(TableError::NoRows),
            _ => Ok(self.table),
        }
    }

    /// Reads the names of the columns. Lines of JSON have theirs in the first line, which is a row too.
    fn header(&mut self) -> Result<(), TableError> {
        let (at, line) = (self.at, self.line);
        let table = &self.table;
        let record = record(&mut self.window, table, &mut self.at, STEP, &mut self.line)?;
        let Some(record) = record else {
            return Err(if table.format == Format::Ndjson {
                TableError::NoRows
            } else {
                TableError::NoHeader
            });
        };
        let wrong = |(at, fault)| record.wrong(at, fault);
        let text = std::str::from_utf8(record.text)
            .map_err(|error| record.wrong(error.valid_up_to(), Fault::NotText))?;
        let columns: Vec<String> = match table.format {
            Format::Csv { delimiter } => {
                let mut row = Row::default();
                csv::values(text, delimiter, &mut row).map_err(wrong)?;
                row.values().map(|name| name.trim().to_owned()).collect()
            }
            Format::Ndjson => {
                let columns = json::columns(&json::object(text).map_err(wrong)?);
                (self.at, self.line) = (at, line);
                columns
            }
            Format::Log { .. } => return Err(TableError::NoHeader),
        };
        check_names(&columns)?;
        self.table.columns = columns;
        Ok(())
    }
}

fn check_names(columns: &[String]) -> Result<(), TableError> {
    if columns.is_empty() {
        return Err(TableError::NoHeader);
    }
    if columns.len() > usize::from(u16::MAX) {
        return Err(TableError::TooWide);
    }
    let mut known = std::collections::HashSet::new();
    for (position, name) in columns.iter().enumerate() {
        if name.is_empty() {
            return Err(TableError::NamelessColumn(position + 1));
        }
        if name.contains(['{', '}']) || name.chars().any(char::is_control) {
            return Err(TableError::UnusableColumn(name.escape_debug().to_string()));
        }
        if !known.insert(name.as_str()) {
            return Err(TableError::DoubledColumn(name.clone()));
        }
    }
    Ok(())
}

/// A record of the text, without its line feed.
struct Record<'w> {
    text: &'w [u8],
    /// Bytes of the empty lines before it.
    skipped: u64,
    /// The line it begins in.
    line: u64,
}

impl Record<'_> {
    fn wrong(&self, at: usize, fault: Fault) -> TableError {
        TableError::Row { place: place_in(self.line, self.text, at), fault }
    }
}

/// The place of a byte of a text whose first line has this number.
pub(crate) fn place_in(line: u64, text: &[u8], at: usize) -> Place {
    let before = &text[..at.min(text.len())];
    let start = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
    let characters = before[start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    Place { line: line + memchr::memchr_iter(b'\n', before).count() as u64, column: characters as u64 + 1 }
}

/// The next record that is not empty; `at` moves behind it, and `line` with it. `None` at the end.
fn record<'w>(
    window: &'w mut Window,
    table: &'w Table,
    at: &mut u64,
    step: usize,
    line: &mut u64,
) -> Result<Option<Record<'w>>, TableError> {
    let (first, mut fewest) = (*at, 1);
    if let Format::Log { methods } = table.format {
        let found = log::next(window, &table.source, methods, (at, line), step, &mut |_, _| {})?;
        let Some(found) = found else { return Ok(None) };
        let bytes = window.at(&table.source, found.start, found.length, step)?;
        let text = bytes.get(..found.length).unwrap_or(bytes);
        return Ok(Some(Record { text, skipped: found.start - first, line: *line }));
    }
    // The window cannot be lent and moved at once: its bytes are measured here and lent at the end.
    let (length, is_whole) = loop {
        let bytes = window.at(&table.source, *at, fewest, step)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let end = match table.format {
            Format::Csv { .. } => csv::end(bytes),
            Format::Ndjson | Format::Log { .. } => memchr::memchr(b'\n', bytes).map(|end| end + 1),
        };
        match end {
            Some(end) if is_blank(table.format, &bytes[..end]) => {
                *at += end as u64;
                *line += 1;
                fewest = 1;
            }
            Some(end) if end > MOST_ROW => break (MOST_ROW, false),
            Some(end) => break (end, true),
            None if bytes.len() > MOST_ROW => break (MOST_ROW, false),
            None if *at + bytes.len() as u64 >= table.source.size() => break (bytes.len(), true),
            None => fewest = bytes.len() * 2,
        }
    };
    let bytes = &window.at(&table.source, *at, length, step)?[..length];
    let record = Record { text: without_end(bytes), skipped: *at - first, line: *line };
    if !is_whole {
        // A quote that was never meant to open a value makes a row seem endless: then that is what is wrong.
        let known = String::from_utf8_lossy(bytes);
        let found = match table.format {
            Format::Csv { delimiter } => csv::values(&known, delimiter, &mut Row::default()).err(),
            Format::Ndjson | Format::Log { .. } => None,
        };
        return Err(match found {
            Some((at, fault @ (Fault::LooseQuote | Fault::AfterQuote | Fault::OpenQuote))) => {
                record.wrong(at, fault)
            }
            _ => record.wrong(0, Fault::TooLong),
        });
    }
    if record.text.is_empty() || is_blank(table.format, record.text) {
        return Ok(None);
    }
    *at += length as u64;
    *line += memchr::memchr_iter(b'\n', bytes).count() as u64;
    Ok(Some(record))
}

fn without_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// Whether a line says nothing. In CSV spaces are a value.
fn is_blank(format: Format, line: &[u8]) -> bool {
    match format {
        Format::Csv { .. } => without_end(line).is_empty(),
        Format::Ndjson | Format::Log { .. } => line.trim_ascii().is_empty(),
    }
}

/// Reads rows of a table, those that follow each other without looking for them again.
#[derive(Debug, Default)]
pub struct RowReader {
    window: Window,
    /// The row after the last one read, and where it begins.
    next: Option<(u64, u64)>,
}

impl RowReader {
    /// Reads a row, by its number from 0; `row` is overwritten.
    ///
    /// # Errors
    /// When the table is not what it was when it was opened, or cannot be read.
    pub fn read(&mut self, table: &Table, number: u64, row: &mut Row) -> Result<(), RowError> {
        let read = self.find(table, number, row);
        if read.is_err() {
            self.next = None;
        }
        read.map_err(|error| RowError::of(error, number))
    }

    fn find(&mut self, table: &Table, number: u64, row: &mut Row) -> Result<(), TableError> {
        let nearest = number / table.stride;
        let known = self.next.filter(|(next, _)| *next <= number && next / table.stride >= nearest);
        let start = table.positions.get(nearest as usize).map(|start| (nearest * table.stride, *start));
        let (mut next, mut at) = known.or(start).ok_or(TableError::NoRows)?;
        // Somewhere else: up to the next place that is known, and no further.
        let step = match (known, table.positions.get(nearest as usize + 1)) {
            (None, Some(end)) => (end.saturating_sub(at) as usize).clamp(1, STEP),
            _ => STEP,
        };
        let mut line = 0;
        loop {
            let record = record(&mut self.window, table, &mut at, step, &mut line)?;
            let record = record.ok_or(TableError::NoRows)?;
            if next == number {
                table.values(record.text, row).map_err(|(at, fault)| record.wrong(at, fault))?;
                (row.number, row.line) = (number, 0);
                self.next = Some((next + 1, at));
                return Ok(());
            }
            next += 1;
        }
    }
}
