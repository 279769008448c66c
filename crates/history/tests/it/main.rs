//! The record of runs, as other crates use it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod afterwards;
mod annotations;
mod answers;
mod commands;
mod database;
mod disks;
mod exporting;
mod folding;
mod killed;
mod listing;
mod month;
mod plateaus;
mod predictions;
mod resuming;
mod retaining;
mod sample;
mod schema;
mod sharing;
mod slas;
mod support;
mod tokens;
mod trouble;
