//! Sends what a run measures to other systems while it runs.
//!
//! [`Exporters`] are those of one run. They take the run's events without ever making the runner
//! wait: a thread turns events into [`Piece`]s, each [`Sink`] in its own form, and puts them into
//! bounded queues, one per sink; from there a task per sink delivers them. What a queue cannot hold is
//! counted as lost. At every moment produced = acknowledged + backlog + lost, per sink.
//! [`LiveMetrics`] are those of the process, for `/metrics`.
//!
//! A sink that is down, slow or refuses never ends a run: it becomes a note and a count. Secrets
//! are in no error, note or log.

mod answer;
mod budgeted;
pub mod cloudwatch;
mod delivery;
mod disk;
pub mod elasticsearch;
mod exporters;
mod feed;
pub mod file;
#[cfg(test)]
mod fixture;
mod held;
mod http;
pub mod influxdb;
#[cfg(feature = "kafka")]
pub mod kafka;
mod ledger;
mod live;
mod notes;
pub mod otlp;
pub mod prometheus;
pub mod remote_write;
mod replay;
mod samples;
mod sink;
pub mod spool;
pub mod statsd;
mod store;

pub use answer::Answer;
pub use exporters::{ExportError, Exporters, SINKS, sinks};
pub use feed::RecordGate;
pub use ledger::Ledger;
pub use live::{Exposition, LiveMetrics};
pub use notes::Notes;
pub use replay::{Replay, Unfinished};
pub use samples::{SamplesError, SamplesFile};
pub use sink::{Encoder, Limits, Piece, Sink, SinkError};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a panic elsewhere left behind is whole: every change under these locks is one assignment or
/// an addition.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
