//! The same tests, of a record in PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod away;
mod database;
mod schema;

#[path = "../it/afterwards.rs"]
mod afterwards;
#[path = "../it/annotations.rs"]
mod annotations;
#[path = "../it/answers.rs"]
mod answers;
#[path = "../it/commands.rs"]
mod commands;
#[path = "../it/exporting.rs"]
mod exporting;
#[path = "../it/folding.rs"]
mod folding;
#[path = "../it/killed.rs"]
mod killed;
#[path = "../it/listing.rs"]
mod listing;
#[path = "../it/plateaus.rs"]
mod plateaus;
#[path = "../it/predictions.rs"]
mod predictions;
#[path = "../it/resuming.rs"]
mod resuming;
#[path = "../it/retaining.rs"]
mod retaining;
#[path = "../it/sample.rs"]
mod sample;
#[path = "../it/sharing.rs"]
mod sharing;
#[path = "../it/slas.rs"]
mod slas;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/tokens.rs"]
mod tokens;
#[path = "../it/trouble.rs"]
mod trouble;
