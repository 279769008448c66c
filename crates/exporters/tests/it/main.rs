//! Exporters and the programs other people run.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad;
mod budget;
mod cloudwatch;
mod disk;
mod elasticsearch;
mod file;
mod influxdb;
#[cfg(feature = "kafka")]
mod kafka;
mod otlp;
mod prometheus;
mod remote_write;
mod rendered;
mod run;
mod samples;
mod statsd;
