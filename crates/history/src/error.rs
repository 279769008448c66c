use std::path::{Path, PathBuf};

use plimsoll_run::RunStatus;
use plimsoll_run::wire::WireError;

/// What can go wrong with a record, or what was asked for.
///
/// The variants about the file carry its path, because the file is what a person can mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store that this build cannot use.
    #[error("history in `{scheme}:` is not supported, give a path, sqlite:PATH or postgres://...")]
    Scheme {
        /// The part before the colon; the rest may hold a password.
        scheme: String,
    },
    /// The directory or a side file could not be made or used.
    #[error("{path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite could not open the file.
    #[error("{path}: the history file cannot be opened (a directory, or no permission)")]
    CannotOpen {
        /// The history file.
        path: PathBuf,
    },
    /// The database does not answer, or does not let us in.
    #[error("{path}: the history cannot be reached")]
    Unreachable {
        /// The database, without who asks.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
    /// Another connection held the file for longer than we wait.
    #[error("{path}: the history file is locked by another process")]
    Locked {
        /// The history file.
        path: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("{path}: the history file is read-only")]
    ReadOnly {
        /// The history file.
        path: PathBuf,
    },
    /// No space left.
    #[error("{path}: the disk is full")]
    Full {
        /// The history file.
        path: PathBuf,
    },
    /// Not SQLite's format.
    #[error("{path}: not a history file: it is no database")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database, of another program.
    #[error("{path}: not a history file: it is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version of ours.
    #[error("{path}: the history file has schema {found}, this build knows schemas up to {known}")]
    Newer {
        /// The history file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Our latest.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("{path}: the history file cannot be brought up to date")]
    Migration {
        /// The history file.
        path: PathBuf,
        /// Why not.
        source: sqlx::migrate::MigrateError,
    },
    /// The file contradicts itself.
    #[error("{path}: the history file is damaged: {what}")]
    Damaged {
        /// The history file.
        path: PathBuf,
        /// How.
        what: String,
    },
    /// Anything else SQLite says.
    #[error("{path}: the history file cannot be used")]
    Store {
        /// The history file.
        path: PathBuf,
        /// What it says.
        source: sqlx::Error,
    },
    /// The record of a run holds something that is no event.
    #[error("the record of run {run} cannot be read")]
    Record {
        /// Which run.
        run: String,
        /// What is wrong with it.
        source: WireError,
    },
    /// A run with this id is recorded already.
    #[error("run {id} is recorded already")]
    RunExists {
        /// Its id.
        id: String,
    },
    /// There is no run at all.
    #[error("no run is recorded yet")]
    Empty,
    /// No run has this id.
    #[error("no run's id starts with `{asked}`, the latest of {count} is {latest}")]
    NoRun {
        /// What was asked for.
        asked: String,
        /// How many runs there are.
        count: u64,
        /// The id of the latest.
        latest: String,
    },
    /// Several runs' ids start so.
    #[error("`{asked}` is the start of {count} ids: {}{}", .some.join(", "), if (.some.len() as u64) < *.count { ", ..." } else { "" })]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// How many there are.
        count: u64,
        /// The latest of them.
        some: Vec<String>,
    },
    /// Seconds that were being read became minutes or hours meanwhile.
    #[error("old seconds of run {id} became minutes while it was read; read it again")]
    Coarsened {
        /// Its id.
        id: String,
    },
    /// The run came to an end of its own.
    #[error(
        "run {id} is not interrupted: it ended by itself ({}). Only a run whose process died is resumed",
        .status.label()
    )]
    NotInterrupted {
        /// Its id.
        id: String,
        /// How it ended.
        status: RunStatus,
    },
    /// The record that was being written is not this process's any more.
    #[error("another process goes on with the run, or it was deleted")]
    Taken,
    /// The run is still being recorded.
    #[error("run {id} is still running")]
    Live {
        /// Its id.
        id: String,
    },
    /// The run has ended, and something was asked of it.
    #[error("run {id} has ended ({}): there is nothing left to steer", .status.label())]
    Over {
        /// Its id.
        id: String,
        /// How it ended.
        status: RunStatus,
    },
    /// Nobody takes what is asked of a run.
    #[error("{waiting} changes wait for run {id} already: its process does not take them")]
    Unheard {
        /// Its id.
        id: String,
        /// How many.
        waiting: u32,
    },
    /// Another service uses the same record.
    #[error("{path}: another service already uses this history{}", .process.map(|id| format!(" (process {id})")).unwrap_or_default())]
    ServiceRuns {
        /// The history file.
        path: PathBuf,
        /// Its process, where it said so.
        process: Option<u32>,
    },
    /// An export could not be written.
    #[error("the export cannot be written")]
    Write(#[source] std::io::Error),
}

/// SQLite's primary result codes that a person can do something about.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    pub(super) const NOT_A_DATABASE: i32 = 26;
    /// An extended code: the shared memory beside the file could not grow, for want of space.
    pub(super) const SHARED_MEMORY_SIZE: i32 = 4874;
}

impl Error {
    /// What `source` means for the history at `path`.
    pub(crate) fn store(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        let is_database = path.to_str().is_some_and(|path| path.starts_with("postgres:"));
        if is_database {
            return Self::of_postgres(path, source);
        }
        let Some(database) = source.as_database_error() else { return Self::Store { path, source } };
        let extended: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        if extended == code::SHARED_MEMORY_SIZE {
            return Self::Full { path };
        }
        match extended & 0xff {
            code::BUSY | code::LOCKED => Self::Locked { path },
            code::READ_ONLY => Self::ReadOnly { path },
            code::FULL => Self::Full { path },
            code::CANNOT_OPEN => Self::CannotOpen { path },
            code::NOT_A_DATABASE => Self::NotADatabase { path },
            code::CORRUPT => Self::Damaged { path, what: database.message().to_owned() },
            _ => Self::Store { path, source },
        }
    }

    /// By the classes and conditions of PostgreSQL's Appendix A.
    fn of_postgres(path: PathBuf, source: sqlx::Error) -> Self {
        let Some(database) = source.as_database_error() else {
            return match source {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::Configuration(_) => Self::Unreachable { path, source },
                source => Self::Store { path, source },
            };
        };
        match database.code().as_deref() {
            Some("55P03" | "40001" | "40P01") => Self::Locked { path },
            Some("25006" | "42501") => Self::ReadOnly { path },
            Some("53100") => Self::Full { path },
            Some(code) if ["08", "28", "3D", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                Self::Unreachable { path, source }
            }
            _ => Self::Store { path, source },
        }
    }

    /// With its cause in one sentence, for a note. What lies deeper says the same again.
    pub(crate) fn told(&self) -> String {
        std::error::Error::source(self).map_or(self.to_string(), |cause| format!("{self}: {cause}"))
    }

    /// Whether the same may go well later with the same history: somebody holds the file, the database does not answer, there is
    /// no room. What is not so is so for good, or until somebody changes it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::CannotOpen { .. }
            | Self::Unreachable { .. }
            | Self::Locked { .. }
            | Self::ReadOnly { .. }
            | Self::Full { .. }
            | Self::Store { .. }
            | Self::Write(_) => true,
            Self::Scheme { .. }
            | Self::NotADatabase { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Migration { .. }
            | Self::Damaged { .. }
            | Self::Record { .. }
            | Self::RunExists { .. }
            | Self::Empty
            | Self::NoRun { .. }
            | Self::Ambiguous { .. }
            | Self::Coarsened { .. }
            | Self::NotInterrupted { .. }
            | Self::Taken
            | Self::Live { .. }
            | Self::Over { .. }
            | Self::Unheard { .. }
            | Self::ServiceRuns { .. } => false,
        }
    }

    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}
