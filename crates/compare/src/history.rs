//! Series of values over time, searched for changes of level.

use std::cmp::Ordering;
use std::collections::HashMap;

use plimsoll_data::Source;
use plimsoll_stats::{ChangeFloor, Changes, change_points};

use crate::table::{Cells, Columns, DataError, number, passed_over, read, shown};
use crate::time::Time;

/// The columns of a table of series, all needed.
pub const SERIES_COLUMNS: [&str; 3] = ["series", "time", "value"];
const COLUMNS: Columns = Columns { names: &SERIES_COLUMNS, needed: 3 };
const SERIES: usize = 0;
const TIME: usize = 1;
const VALUE: usize = 2;

/// A longer series is refused: it is a recording, not a history, and its search would take minutes.
pub const MOST_VALUES: usize = 100_000;
/// Fewer values have no two levels of three.
const FEWEST: usize = 6;

/// Why a series is not searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistoryRefusal {
    /// Two levels need more.
    #[error(
        "{found} value(s), at least {FEWEST} are needed: a level is held by three values, and a change has two levels"
    )]
    TooShort {
        /// How many values it has.
        found: usize,
    },
    /// It would take too long.
    #[error(
        "{found} values, at most {MOST_VALUES} are searched: give one value of each run, or the mean of each hour"
    )]
    TooLong {
        /// How many values it has.
        found: usize,
    },
}

/// A series, in the order of its time.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Its name.
    pub name: String,
    /// When each value is from.
    pub times: Vec<Time>,
    /// NaN where there is none.
    pub values: Vec<f64>,
    /// Where its level changed, or why nobody can say. Indices count from 0, gaps included.
    pub outcome: Result<Changes, HistoryRefusal>,
}

impl History {
    /// How many values it has, gaps left out.
    pub fn count(&self) -> usize {
        self.values.iter().filter(|value| value.is_finite()).count()
    }
}

/// All series of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histories {
    /// In the order in which they were first seen. Never empty when it comes from a table.
    pub series: Vec<History>,
    /// What a reader has to know before any number.
    pub warnings: Vec<String>,
}

impl Histories {
    /// How many changes of level there are.
    pub fn changes(&self) -> usize {
        self.series.iter().flat_map(|series| &series.outcome).map(|changes| changes.points.len()).sum()
    }

    /// Whether any series was refused.
    pub fn is_undecided(&self) -> bool {
        self.series.iter().any(|series| series.outcome.is_err())
    }
}

/// Reads series from CSV with a heading, its columns in any order, and searches each for changes of level: [`SERIES_COLUMNS`].
///
/// A time is RFC 3339, a date (midnight in UTC), Unix seconds or an index; one series has times of one kind. Values are put in the
/// order of their time, those of one time stay in the order of the table, and where that is another order than the table's a
/// warning says so. A value that is empty or `NaN` is a gap.
///
/// # Errors
/// The first mistake with its place.
pub fn read_series(source: Source, floor: ChangeFloor) -> Result<Histories, DataError> {
    let mut gathered = Gathered::default();
    let unknown = read(source, COLUMNS, |cells| gathered.add(cells))?;
    let mut found = gathered.searched(floor);
    found.warnings.extend(passed_over(&unknown));
    Ok(found)
}

/// Series as they are read.
#[derive(Debug, Default)]
struct Gathered {
    series: Vec<Raw>,
    places: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Raw {
    name: String,
    values: Vec<(Time, f64)>,
    /// Rows whose time is before that of the row before.
    backwards: u64,
    /// The line of the first of them.
    first_backwards: u64,
}

impl Gathered {
    fn add(&mut self, cells: Cells<'_>) -> Result<(), DataError> {
        let name = cells.name(SERIES, "write the name of the series")?;
        let time = Time::parse(cells.text(TIME)).ok_or_else(|| {
            let allowed = "write RFC 3339 such as 2026-11-23T20:00:00Z, a date, Unix seconds or an index";
            cells.wrong(TIME, allowed.to_owned())
        })?;
        let value = match cells.text(VALUE) {
            text if text.is_empty() || text.eq_ignore_ascii_case("nan") => f64::NAN,
            text => number(text).ok_or_else(|| {
                let allowed =
                    "write a finite number such as 12.5, with a point and no unit, or nothing for a gap";
                cells.wrong(VALUE, allowed.to_owned())
            })?,
        };
        let series = match self.places.get(name) {
            Some(place) => &mut self.series[*place],
            None => {
                self.places.insert(name.to_owned(), self.series.len());
                self.series.push(Raw { name: name.to_owned(), ..Raw::default() });
                let last = self.series.len() - 1;
                &mut self.series[last]
            }
        };
        if let Some((before, _)) = series.values.last() {
            match time.order(before) {
                None => {
                    let allowed = format!(
                        "the value before it in this series has the time `{}`: write all times of a series as moments, or all as numbers",
                        shown(&before.to_string())
                    );
                    return Err(cells.wrong(TIME, allowed));
                }
                Some(Ordering::Less) => {
                    series.backwards += 1;
                    if series.first_backwards == 0 {
                        series.first_backwards = cells.line();
                    }
                }
                Some(Ordering::Equal | Ordering::Greater) => {}
            }
        }
        series.values.push((time, value));
        Ok(())
    }

    fn searched(self, floor: ChangeFloor) -> Histories {
        let mut found = Histories::default();
        for raw in self.series {
            found.warnings.extend(raw.backward());
            let series = raw.searched(floor);
            found.warnings.extend(series.remarks());
            found.series.push(series);
        }
        found
    }
}

impl Raw {
    fn backward(&self) -> Option<String> {
        (self.backwards > 0).then(|| {
            format!(
                "`{}`: time runs backwards {} time(s), first in line {}; values were put in the order of their time",
                shown(&self.name),
                self.backwards,
                self.first_backwards
            )
        })
    }

    fn searched(mut self, floor: ChangeFloor) -> History {
        if self.backwards > 0 {
            // Stable; times of one series have an order, because no others were taken.
            self.values.sort_by(|(one, _), (other, _)| one.order(other).unwrap_or(Ordering::Equal));
        }
        let (times, values): (Vec<Time>, Vec<f64>) = self.values.into_iter().unzip();
        let found = values.iter().filter(|value| value.is_finite()).count();
        let outcome = if found < FEWEST {
            Err(HistoryRefusal::TooShort { found })
        } else if found > MOST_VALUES {
            Err(HistoryRefusal::TooLong { found })
        } else {
            Ok(change_points(&values, floor))
        };
        History { name: self.name, times, values, outcome }
    }
}

impl History {
    /// What is to be known of it.
    fn remarks(&self) -> Vec<String> {
        let gaps = self.values.len() - self.count();
        let is_same = |pair: &&[Time]| pair[0].order(&pair[1]) == Some(Ordering::Equal);
        let same = self.times.windows(2).filter(is_same).count();
        let name = shown(&self.name);
        let gaps = (gaps > 0).then(|| format!("`{name}`: {gaps} row(s) without a value are gaps"));
        let same = (same > 0).then(|| {
            format!(
                "`{name}`: {same} value(s) have the time of the one before and stay in the order of the table"
            )
        });
        gaps.into_iter().chain(same).collect()
    }
}
