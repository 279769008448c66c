//! Values for templates: rows of tables, and values that functions make.
//!
//! A table is read where it lies. One pass checks every row and remembers where some of them begin,
//! so that any row can be found again by reading a little; what is kept in memory does not depend on
//! how large the table is. Where bytes come from is the caller's business ([`Source`]).
//!
//! A made value is decided by the seed, the user, the hole it fills and how often that user has filled
//! it, and by nothing else: a run repeats however many workers carry it.

mod call;
mod csv;
mod function;
mod json;
mod log;
mod names;
mod permutation;
mod row;
mod source;
mod table;
mod zipf;

pub use call::{CallError, Signature, signatures};
pub use function::{Function, Maker, Turn};
pub use log::{LineFault, LogError, LogRules, LogSummary, LogTimes, METHODS, Methods};
pub use permutation::Permutation;
pub use row::Row;
pub use source::{ReadAt, Source};
pub use table::{Fault, Format, MOST_JSON, MOST_ROW, Place, RowError, RowReader, Table, TableError};
