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
//! It starts plans of a folder, by schedule and on demand, as processes of their own: it offers no load itself. It answers only under names that mean this machine, since a
//! page from elsewhere could otherwise have its own name point here and read along.

mod assets;
mod capacity;
mod daemon;
mod events;
mod followed;
mod guard;
mod launcher;
mod plans;
mod problem;
mod route;
mod routes;
mod runs;
mod schedules;
mod scope;
mod server;
mod shapes;
mod slas;
mod starts;
mod watcher;

pub use daemon::{Ceilings, Plans};
pub use followed::Pulse;
pub use plans::ReadPlan;
pub use schedules::{Missed, Overlap, Schedule, When, WhenError};
pub use scope::Scope;
pub use server::{Config, Service, ServiceError};
pub use slas::{Connection, Credentials, Promises, SlaError, with_composites};
