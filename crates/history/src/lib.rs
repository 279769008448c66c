//! The record of every run: one embedded SQLite file that several processes share, or a database of PostgreSQL.
//!
//! A [`Recorder`] takes the events of a live run and commits each second in one transaction, one row
//! per series, so that a killed process loses at most what the last second held. When a run has
//! ended, [`History::compact`] folds its rows into compressed chunks. A [`Reader`] gives the events
//! back in their order, from rows and chunks alike, and follows a run that another process records.
//! [`History::retain`] makes old seconds minutes, and old minutes hours.
//!
//! What is kept are events, never figures derived from them: a replay folds to the same summary. The
//! tables are private; [`History::export`] and [`read_export`] are the format for others.
//!
//! Trouble with the file never holds a run back and is never hidden: what could not be written is
//! kept for a bounded while, then counted as lost, and the record says so. Nothing here looks at
//! the environment, and nothing here judges.

mod annotations;
mod answers;
mod chunk;
mod coarsen;
mod columns;
mod commands;
mod course;
mod deliveries;
mod error;
mod export;
mod location;
mod owner;
mod plateaus;
mod predictions;
mod reader;
mod recorder;
mod resume;
mod retention;
mod runs;
mod schedules;
mod schema;
mod scope;
mod service;
mod slas;
mod sql;
mod store;
mod teardowns;
mod tokens;

pub use annotations::{MOST_ANNOTATIONS, Overlapping};
pub use answers::{AnswerBy, AnswerText, KeptAnswer};
pub use commands::{Answered, Fate, KeptCommand, MOST_WAITING};
pub use course::Course;
pub use error::Error;
pub use export::{ExportError, ReadExport, read_export};
pub use location::default_path;
pub use reader::Reader;
pub use recorder::{BACKLOG_SECONDS, Recorded, Recorder};
pub use resume::{Interrupted, KeptLaunch};
pub use retention::{Keep, MalformedRetention, Retained, Retention, RunAge};
pub use runs::{Filter, RunRow, RunSpan};
pub use schedules::KeptSchedule;
pub use scope::Scope;
pub use service::ServiceLock;
pub use slas::{KeptSla, KeptState, SlaBreach, SlaChanges, SlaMonth, SlaStatus};
pub use store::History;
pub use teardowns::KeptTeardown;
pub use tokens::{AuditEntry, Ceilings, KeptToken};

/// What can go wrong with a record, or what was asked for.
pub type Result<T> = std::result::Result<T, Error>;
