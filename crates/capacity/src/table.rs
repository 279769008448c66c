//! Points from CSV that people wrote.
//!
//! A first line names the columns; which of them are understood, and in which units, stands in
//! [`COLUMNS`]. What cannot be meant is refused with its place, what was found and what is allowed: a column
//! whose unit is a guess would be a wrong number.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_units::Quantile;

use crate::{LoadKind, Point, Points, PointsError};

/// What a table holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its runs, in the order in which they begin. Without a column that names them there is one.
    pub runs: Vec<TableRun>,
    /// What was passed over.
    pub warnings: Vec<String>,
}

/// One run of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRun {
    /// Its name, where a column gives one.
    pub name: Option<String>,
    /// Its points.
    pub points: Points,
}

/// Why a text is no table of points.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TableError {
    /// Something is wrong in one place.
    #[error("line {line}, column {column}: found {found}; {allowed}")]
    Cell {
        /// The line, from 1.
        line: u64,
        /// The column's name, or its number where it has none.
        column: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// A line cannot be taken apart.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The heading lacks a column or has it twice.
    #[error("line 1: {0}")]
    Heading(String),
    /// Several services seem to be in one table.
    #[error(
        "column `{column}` has {values} values ({examples}): rows of several services or mixes in one table; \
         choose one with --where {column}={first}, or name the column `run` when these are runs of one service"
    )]
    Several {
        /// The column.
        column: String,
        /// How many values it has.
        values: usize,
        /// Some of them.
        examples: String,
        /// One of them.
        first: String,
    },
    /// No row was left.
    #[error("no row has {0}")]
    NothingLeft(String),
}

/// The columns that are understood, for people.
pub const COLUMNS: &str = "a load (users, virtual_users, concurrency, clients, connections, threads, processors or workers; \
    rate, offered_rate or arrival_rate; load where nobody says which), throughput, and if known: throughput_error; \
    p50_seconds, p95_ms, p99_9_us; error_ratio or errors with requests; cpu_ratio, cpu_percent or any other NAME_ratio or \
    NAME_percent of a resource; throughput_KIND of each kind of request; run, version or round";

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
enum Column {
    Load(LoadKind),
    Throughput,
    ThroughputError,
    ResponseTime(Quantile, f64),
    ErrorRatio,
    Errors,
    Requests,
    Resource(String, f64),
    Class(String),
    Run,
    Unknown,
}

impl Column {
    /// Whether two columns would both set the same figure.
    fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ResponseTime(one, _), Self::ResponseTime(other, _)) => one == other,
            (Self::Resource(one, _), Self::Resource(other, _)) => one == other,
            (Self::Unknown, _) => false,
            _ => self == other,
        }
    }
}

const USERS: [&str; 10] = [
    "users",
    "virtual_users",
    "vus",
    "concurrency",
    "clients",
    "connections",
    "threads",
    "processors",
    "workers",
    "concurrent_users",
];
const RATES: [&str; 4] = ["rate", "offered_rate", "arrival_rate", "offered"];
const UNKNOWN_LOADS: [&str; 2] = ["load", "n"];
const THROUGHPUTS: [&str; 5] = ["throughput", "throughput_rps", "rps", "requests_per_second", "x"];
const RUNS: [&str; 5] = ["run", "series", "version", "round", "build"];
/// Names that are utilisations without saying so.
const UTILISATIONS: [&str; 4] = ["cpu", "utilisation", "utilization", "util"];
/// Examples of a column's values in an error.
const EXAMPLES: usize = 4;

/// Reads the rows of a table that have these values in these columns.
///
/// The separator is a comma, or a semicolon or tab where the heading has no comma; lines beginning with
/// `#` are comments.
///
/// # Errors
/// The first mistake with its place.
pub fn read_table(text: &str, filters: &[(String, String)]) -> Result<Table, TableError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let heading = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let separator = [b',', b';', b'\t'].into_iter().find(|byte| heading.as_bytes().contains(byte));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names: Vec<String> =
        reader.headers().map_err(|error| line_error(&error))?.iter().map(normal).collect();
    let columns = columns(&names)?;
    let filters = filters
        .iter()
        .map(|(name, value)| {
            let index = names.iter().position(|known| *known == normal(name));
            let index = index.ok_or_else(|| {
                TableError::Heading(format!("there is no column `{name}`; there are {}", names.join(", ")))
            })?;
            Ok((index, value.as_str()))
        })
        .collect::<Result<Vec<_>, TableError>>()?;
    let mut rows = Rows::new(&names, columns);
    for record in reader.records() {
        let record = record.map_err(|error| line_error(&error))?;
        if filters.iter().all(|(index, value)| record.get(*index) == Some(value)) {
            rows.add(&record)?;
        }
    }
    if rows.runs.is_empty() {
        let wanted: Vec<String> =
            filters.iter().map(|(index, value)| format!("{}={value}", names[*index])).collect();
        let wanted = if wanted.is_empty() {
            "figures: the table has a heading and no rows".to_owned()
        } else {
            wanted.join(" and ")
        };
        return Err(TableError::NothingLeft(wanted));
    }
    rows.table()
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

fn columns(names: &[String]) -> Result<Vec<Column>, TableError> {
    let wrong = |words: String| Err(TableError::Heading(words));
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        columns.push(column(name).map_err(TableError::Heading)?);
    }
    let loads: Vec<&String> = named(names, &columns, |column| matches!(column, Column::Load(_)));
    let throughputs = named(names, &columns, |column| *column == Column::Throughput);
    match (loads.as_slice(), throughputs.as_slice()) {
        ([_], [_]) => {}
        ([], _) => {
            return wrong(format!("no column is a load among {}; columns are {COLUMNS}", listed(names)));
        }
        (_, []) => {
            return wrong(format!(
                "no column is `throughput` among {}; columns are {COLUMNS}",
                listed(names)
            ));
        }
        ([first, second, ..], _) => {
            return wrong(format!("`{first}` and `{second}` are both loads; keep one"));
        }
        (_, [first, second, ..]) => {
            return wrong(format!("`{first}` and `{second}` are both throughput; keep one"));
        }
    }
    if named(names, &columns, |column| *column == Column::Run).len() > 1 {
        return wrong("more than one column names the run; keep one".to_owned());
    }
    if columns.contains(&Column::Errors) && !columns.contains(&Column::Requests) {
        return wrong("`errors` needs `requests` beside it, or write `error_ratio`".to_owned());
    }
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|before| before.says_the_same(column)) {
            return wrong(format!("column `{}` says again what another column says", names[index]));
        }
    }
    Ok(columns)
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn named<'a>(names: &'a [String], columns: &[Column], is: impl Fn(&Column) -> bool) -> Vec<&'a String> {
    names.iter().zip(columns).filter(|(_, column)| is(column)).map(|(name, _)| name).collect()
}

/// What a column's name means; an error where its unit would be a guess.
fn column(name: &str) -> Result<Column, String> {
    let among = |known: &[&str]| known.contains(&name);
    let found = match name {
        _ if among(&USERS) => Column::Load(LoadKind::Users),
        _ if among(&RATES) => Column::Load(LoadKind::Rate),
        _ if among(&UNKNOWN_LOADS) => Column::Load(LoadKind::Unknown),
        _ if among(&THROUGHPUTS) => Column::Throughput,
        _ if among(&RUNS) => Column::Run,
        _ if among(&UTILISATIONS) => Column::Resource(name.to_owned(), 1.0),
        "throughput_error" | "throughput_se" => Column::ThroughputError,
        "error_ratio" => Column::ErrorRatio,
        "errors" => Column::Errors,
        "requests" => Column::Requests,
        _ => match quantile(name) {
            Some(found) => found?,
            None => other(name),
        },
    };
    Ok(found)
}

fn other(name: &str) -> Column {
    let resource = |suffix: &str, unit: f64| {
        let name = name.strip_suffix(suffix)?;
        let name =
            ["_utilisation", "_utilization"].iter().find_map(|word| name.strip_suffix(word)).unwrap_or(name);
        (!name.is_empty()).then(|| Column::Resource(name.to_owned(), unit))
    };
    let class = || name.strip_prefix("throughput_").filter(|kind| !kind.is_empty());
    resource("_ratio", 1.0)
        .or_else(|| resource("_percent", 0.01))
        .or_else(|| resource("_utilisation", 1.0))
        .or_else(|| resource("_utilization", 1.0))
        .or_else(|| class().map(|kind| Column::Class(kind.to_owned())))
        .unwrap_or(Column::Unknown)
}

/// `p95_seconds`, `p99_9_ms`. `None` for a name that is no quantile.
fn quantile(name: &str) -> Option<Result<Column, String>> {
    let digits = name.strip_prefix('p').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.').unwrap_or(digits.len());
    let (number, unit) = digits.split_at(end);
    let number = number.trim_end_matches('_').replace('_', ".");
    let quantile: Quantile = format!("p{number}").parse().ok()?;
    let seconds = match unit {
        "seconds" | "s" => 1.0,
        "ms" | "milliseconds" => 1e-3,
        "us" | "microseconds" => 1e-6,
        _ => {
            return Some(Err(format!(
                "column `{name}` says no unit; write `{quantile}_seconds` or `{quantile}_ms`"
            )));
        }
    };
    Some(Ok(Column::ResponseTime(quantile, seconds)))
}

/// Rows as they are read.
struct Rows<'a> {
    names: &'a [String],
    columns: Vec<Column>,
    kind: LoadKind,
    /// In the order in which they begin.
    runs: Vec<RunRows>,
    /// Where a run is in `runs`.
    places: BTreeMap<String, usize>,
    /// The values of columns that are not understood.
    unknown: BTreeMap<usize, BTreeSet<String>>,
}

#[derive(Default)]
struct RunRows {
    name: Option<String>,
    points: Vec<Point>,
    lines: Vec<u64>,
}

/// Names that are told apart in one column.
const MOST_NAMES: usize = 10_000;

impl<'a> Rows<'a> {
    fn new(names: &'a [String], columns: Vec<Column>) -> Self {
        let kind = columns.iter().find_map(|column| match column {
            Column::Load(kind) => Some(*kind),
            _ => None,
        });
        let unknown = columns.iter().enumerate().filter(|(_, column)| **column == Column::Unknown);
        let unknown = unknown.map(|(index, _)| (index, BTreeSet::new())).collect();
        Self {
            names,
            columns,
            kind: kind.unwrap_or_default(),
            runs: Vec::new(),
            places: BTreeMap::new(),
            unknown,
        }
    }

    fn add(&mut self, record: &csv::StringRecord) -> Result<(), TableError> {
        let line = record.position().map_or(0, csv::Position::line);
        let mut point = Point::default();
        let mut run = String::new();
        let (mut errors, mut requests) = (None, None);
        for (index, text) in record.iter().enumerate() {
            let column = &self.columns[index];
            let number = |must: bool| self.number(line, index, text, must);
            match column {
                Column::Load(_) => point.load = number(true)?.unwrap_or_default(),
                Column::Throughput => point.throughput = number(true)?.unwrap_or_default(),
                Column::ThroughputError => point.throughput_error = number(false)?,
                Column::ResponseTime(quantile, unit) => {
                    if let Some(value) = number(false)? {
                        point.response_time.insert(*quantile, value * unit);
                    }
                }
                Column::ErrorRatio => point.error_ratio = number(false)?,
                Column::Errors => errors = number(false)?,
                Column::Requests => requests = number(false)?,
                Column::Resource(name, unit) => {
                    if let Some(value) = number(false)? {
                        point.resources.insert(name.clone(), value * unit);
                    }
                }
                Column::Class(name) => {
                    if let Some(value) = number(false)? {
                        point.classes.insert(name.clone(), value);
                    }
                }
                Column::Run => run = text.to_owned(),
                Column::Unknown => {
                    let known = self.unknown.entry(index).or_default();
                    if known.len() < MOST_NAMES && !known.contains(text) {
                        known.insert(text.to_owned());
                    }
                }
            }
        }
        if let (Some(errors), Some(requests)) = (errors, requests)
            && requests > 0.0
        {
            point.error_ratio = Some(errors / requests);
        }
        let place = *self.places.entry(run.clone()).or_insert_with(|| {
            let name = (!run.is_empty()).then_some(run);
            self.runs.push(RunRows { name, ..RunRows::default() });
            self.runs.len() - 1
        });
        self.runs[place].points.push(point);
        self.runs[place].lines.push(line);
        Ok(())
    }

    /// The number in a cell. An empty cell is no data where none is needed.
    fn number(&self, line: u64, index: usize, text: &str, must: bool) -> Result<Option<f64>, TableError> {
        if text.is_empty() && !must {
            return Ok(None);
        }
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        value.map(Some).ok_or_else(|| TableError::Cell {
            line,
            column: self.names[index].clone(),
            found: if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) },
            allowed: "write a number such as 12.5, with a point and no unit".to_owned(),
        })
    }

    fn table(self) -> Result<Table, TableError> {
        let rows: usize = self.runs.iter().map(|run| run.points.len()).sum();
        let mut passed_over = Vec::new();
        for (index, values) in &self.unknown {
            let column = self.names[*index].clone();
            let are_names = values.iter().any(|value| !value.is_empty() && value.parse::<f64>().is_err());
            // What differs from row to row (a time, a remark) is no name of a service.
            if are_names && values.len() > 1 && values.len() <= rows / 2 {
                let examples: Vec<&str> = values.iter().take(EXAMPLES).map(String::as_str).collect();
                let more = if values.len() > EXAMPLES { ", ..." } else { "" };
                let examples = format!("{}{more}", shortened(&examples.join(", ")));
                let first = values.first().map(|value| shortened(value)).unwrap_or_default();
                return Err(TableError::Several { column, values: values.len(), examples, first });
            }
            passed_over.push(format!("`{}`", shortened(&column)));
        }
        let warnings = if passed_over.is_empty() {
            Vec::new()
        } else {
            vec![format!("not understood and passed over: {}", passed_over.join(", "))]
        };
        let kind = self.kind;
        let runs = self.runs.into_iter().map(|RunRows { name, points, lines }| {
            let points = Points::new(points, kind).map_err(|error| in_line(&error, &lines))?;
            Ok(TableRun { name, points })
        });
        Ok(Table { runs: runs.collect::<Result<_, TableError>>()?, warnings })
    }
}

fn in_line(error: &PointsError, lines: &[u64]) -> TableError {
    let line =
        |row: usize| row.checked_sub(1).and_then(|index| lines.get(index)).copied().unwrap_or_default();
    match error {
        PointsError::Empty => TableError::NothingLeft("figures".to_owned()),
        PointsError::Value { row, what, found, allowed } => TableError::Cell {
            line: line(*row),
            column: what.clone(),
            found: found.to_string(),
            allowed: format!("write {allowed}"),
        },
        PointsError::AboveRate { row, load, throughput, advice } => TableError::Cell {
            line: line(*row),
            column: "throughput".to_owned(),
            found: format!("{throughput} at an offered rate of {load}"),
            allowed: format!("no more can be finished than arrives: {advice}"),
        },
    }
}

fn line_error(error: &csv::Error) -> TableError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the heading has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => "cannot be read as CSV".to_owned(),
    };
    TableError::Line { line, problem }
}

/// Foreign text is shown in short.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
