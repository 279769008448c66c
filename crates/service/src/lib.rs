//! The page of running and past runs, and the HTTP API behind it.
//!
//! Everything it shows comes from the history that every process of this machine writes, so a run
//! started in another terminal appears like its own. Live runs are followed second by second and sent
//! to every page as one stream of server-sent events; a page that fell behind is told to ask anew,
//! never sent half.
//!
//! It judges the SLAs it is given, every second and for months: by what runs record, by what a Prometheus says or a page of
//! metrics shows; what it found is kept in the history.
//!
//! It starts plans of a folder, by schedule and on demand, searches for their limits and reports, as processes of their own: it
//! offers no load itself. It answers only under
//! names that are its own, since a page from elsewhere could otherwise have its own name point here and read along; and beyond
//! loopback only to whoever it knows: by a token, or by what a proxy says.

// The schemas of the document of the API are one `json!`, which recurses once for each of their keys.
#![recursion_limit = "256"]

mod access;
mod admin;
mod annotations;
mod assets;
mod capacity;
mod control;
mod course;
mod daemon;
mod discovery;
mod editing;
mod events;
mod farewell;
#[cfg(test)]
mod fixture;
mod followed;
mod guard;
mod journal;
mod launcher;
mod limits;
mod login;
mod missed;
mod openapi;
mod outward;
mod plans;
mod problem;
mod reports;
mod retainer;
mod route;
mod routes;
mod runs;
mod schedules;
mod sent;
mod server;
mod serving;
mod settings;
mod shapes;
mod slas;
mod starts;
mod targets;
mod telling;
mod tokens;
mod watcher;

pub use access::{Access, AccessError, Auth, Limits, Patience, Proxy, TOKEN_PREFIX, Tls, token_hash};
pub use daemon::{Ceilings, Plans};
pub use followed::Pulse;
pub use plans::{Reach, ReadPlan};
pub use routes::routes;
pub use schedules::{Job, Missed, Month, Most, Overlap, Schedule, When, WhenError};
pub use server::{Config, Service, ServiceError};
pub use serving::CertificateError;
pub use slas::{Connection, Credentials, Promises, SlaError, with_composites};
pub use targets::TargetError;
pub use tokens::{Standing, tokens_json};
