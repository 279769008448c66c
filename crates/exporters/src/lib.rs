//! Sends what a run measures to other systems while it runs.
//!
//! [`Exporters`] are those of one run. Each takes the run's events without ever making the runner
//! wait: what a sink cannot take at once is kept in a bounded backlog, and what the backlog cannot
//! hold is counted as lost. At every moment produced = acknowledged + backlog + lost, per sink.
//! [`LiveMetrics`] are those of the process, for `/metrics`.
//!
//! A sink that is down, slow or refuses never ends a run: it becomes a note and a count. Secrets
//! are in no error, note or log.

mod exporters;
pub mod influxdb;
mod ledger;
mod live;
mod notes;
pub mod prometheus;

pub use exporters::{ExportError, Exporters};
pub use ledger::Ledger;
pub use live::{Exposition, LiveMetrics};
pub use notes::Notes;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a panic elsewhere left behind is whole: every change under these locks is one assignment or
/// an addition.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
