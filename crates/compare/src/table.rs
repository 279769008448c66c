//! Rows of CSV whose columns are known by name.

use plimsoll_data::{Format, Row, Source, Table, TableError};

/// Foreign text is shown up to so many characters.
const LONGEST: usize = 60;

/// Why a table is not read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is no CSV, or cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Something is wrong in one place.
    #[error("line {line}, column `{column}`: found {found}; {allowed}")]
    Cell {
        /// The line that the row begins in, from 1.
        line: u64,
        /// The name of the column.
        column: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// The heading lacks a column.
    #[error("the heading has no column `{missing}`: found {found}; allowed are {allowed}")]
    NoColumn {
        /// Its name.
        missing: &'static str,
        /// The columns that there are.
        found: String,
        /// The columns that there have to be, and those that may be.
        allowed: String,
    },
}

/// The columns of a table, by their names in the heading; their order there does not matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) names: &'static [&'static str],
    /// The first so many are needed.
    pub(crate) needed: usize,
}

impl Columns {
    /// Where each is in the heading.
    fn places(self, heading: &[String]) -> Result<Vec<Option<usize>>, DataError> {
        let place = |name: &&str| heading.iter().position(|found| found == name);
        let places: Vec<Option<usize>> = self.names.iter().map(place).collect();
        match places[..self.needed].iter().position(Option::is_none) {
            None => Ok(places),
            Some(missing) => Err(DataError::NoColumn {
                missing: self.names[missing],
                found: listed(heading.iter().map(String::as_str)),
                allowed: self.in_words(),
            }),
        }
    }

    fn in_words(self) -> String {
        let needed = listed(self.names[..self.needed].iter().copied());
        match &self.names[self.needed..] {
            [] => needed,
            rest => format!("{needed}, and if known {}", listed(rest.iter().copied())),
        }
    }
}

/// The cells of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells<'r> {
    row: &'r Row,
    places: &'r [Option<usize>],
    columns: Columns,
}

impl<'r> Cells<'r> {
    /// The line that the row begins in.
    pub(crate) fn line(self) -> u64 {
        self.row.line
    }

    /// What stands in a column, without spaces around it; nothing where the table lacks the column.
    pub(crate) fn text(self, column: usize) -> &'r str {
        self.places[column].and_then(|place| self.row.get(place)).unwrap_or_default().trim()
    }

    /// A name, which is never empty.
    pub(crate) fn name(self, column: usize, allowed: &str) -> Result<&'r str, DataError> {
        match self.text(column) {
            "" => Err(self.wrong(column, allowed.to_owned())),
            name => Ok(name),
        }
    }

    /// That a cell cannot be meant.
    pub(crate) fn wrong(self, column: usize, allowed: String) -> DataError {
        let found = match self.text(column) {
            "" => "nothing".to_owned(),
            text => format!("`{}`", shown(text)),
        };
        DataError::Cell { line: self.line(), column: self.columns.names[column], found, allowed }
    }
}

/// Reads a table from its first row to its last, and says which of its columns were passed over.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn read(
    source: Source,
    columns: Columns,
    mut each: impl FnMut(Cells<'_>) -> Result<(), DataError>,
) -> Result<Vec<String>, DataError> {
    let mut places: Option<Vec<Option<usize>>> = None;
    let mut wrong = None;
    let read = Table::open(source, Format::Csv { delimiter: b',' }, |heading, row| {
        if wrong.is_some() {
            return;
        }
        let known = match &places {
            Some(known) => known,
            None => match columns.places(heading) {
                Ok(found) => places.insert(found),
                Err(error) => {
                    wrong = Some(error);
                    return;
                }
            },
        };
        wrong = each(Cells { row, places: known, columns }).err();
    });
    // A row that cannot be taken apart stands behind those that were.
    if let Some(error) = wrong {
        return Err(error);
    }
    let table = read?;
    let is_unknown = |name: &&String| !columns.names.contains(&name.as_str());
    Ok(table.columns().iter().filter(is_unknown).map(|name| shown(name)).collect())
}

/// That columns were passed over; nothing where none were.
pub(crate) fn passed_over(columns: &[String]) -> Option<String> {
    let names = listed(columns.iter().map(String::as_str));
    (!columns.is_empty()).then(|| format!("columns that mean nothing here were passed over: {names}"))
}

/// A finite number as programs write it.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Names with commas between.
pub(crate) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ")
}

/// Foreign text in short, without characters that steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_short_and_steers_nothing() {
        assert_eq!(shown("a\u{1b}[31m\nü"), "a\\u{1b}[31m\\nü");
        assert_eq!(shown(&"x".repeat(61)), format!("{}...", "x".repeat(60)));
    }

    #[test]
    fn numbers_are_finite() {
        for (text, expected) in [
            ("12.5", Some(12.5)),
            ("-1e3", Some(-1000.0)),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("1,5", None),
            ("12ms", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
