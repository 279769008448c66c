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
//! It offers no load and changes no run. It answers only under names that mean this machine, since a
//! page from elsewhere could otherwise have its own name point here and read along.

mod assets;
mod capacity;
mod events;
mod followed;
mod guard;
mod problem;
mod route;
mod routes;
mod runs;
mod scope;
mod server;
mod shapes;
mod slas;
mod watcher;

pub use scope::Scope;
pub use server::{Config, Service, ServiceError};
pub use slas::{Connection, Credentials, Promises, SlaError, with_composites};
