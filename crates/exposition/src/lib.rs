//! What is measured, in the forms other programs read.
//!
//! The [`catalogue`] names every metric once. [`Readings`] says what each event of a run adds to
//! which series; everything else follows from that: [`Metrics`] sums readings up over the life of
//! the process, [`prometheus`] writes the sums, [`line`](mod@line) writes single seconds for InfluxDB, [`rows`] for files, [`statsd`] for
//! StatsD, [`documents`] for Elasticsearch, [`cloudwatch`] for CloudWatch,
//! [`otlp`] for OpenTelemetry; [`remote_write`] sums up one run and writes what changed.
//! So two sinks cannot tell two stories. Alert [`rules`] and [`dashboards`] are rendered here too,
//! because they quote the catalogue's names.
//!
//! It opens no connection and reads no clock; senders are the exporters' work. It never puts a
//! URL, an error text or a secret into a label.

mod budget;
mod capacity;
pub mod catalogue;
pub mod cloudwatch;
pub mod dashboards;
pub mod docs;
pub mod documents;
mod exemplars;
mod family;
mod last_run;
pub mod line;
mod metrics;
pub mod native;
mod number;
pub mod otlp;
pub mod prometheus;
mod readings;
pub mod remote_write;
pub mod rows;
pub mod rules;
mod samples;
pub mod sla_rules;
pub mod statsd;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;

pub use budget::{Budget, OVERFLOW};
pub use capacity::{PlanLimit, capacity_families};
pub use family::{Exemplar, Family, HistogramValue, Labels, Point, Value};
pub use last_run::{LastRun, last_run_families};
pub use metrics::Metrics;
pub use readings::{Change, Reading, Readings, Report};
pub use samples::SampleRows;
