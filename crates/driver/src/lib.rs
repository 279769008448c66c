//! Offers load: arrivals and users become requests, requests become samples.
//!
//! One worker per core, each on a thread of its own with its own runtime, connections and
//! histograms; workers share a few counters that are touched once per iteration. A worker hands each
//! second over when it is complete, so no lock, channel or allocation is needed per request to
//! record it. Arrivals leave when they are due whatever the target does.
//!
//! Over HTTP/1.1 a connection carries one request at a time. Requests without holes are compiled into bytes
//! before the load starts and answers are read where they lie; a plan whose headers decide the framing
//! themselves is served by hyper. Both clients are measured alike. HTTP/2 has its requests on streams of
//! shared connections. It judges nothing but answers: verdicts
//! on objectives are made elsewhere, from the frames that [`Collector`] puts together.

mod access;
mod addresses;
mod again;
mod auth;
mod clock;
mod coding;
mod collector;
mod comparison;
mod compile;
mod connection;
mod digest;
mod driver;
mod evidence;
mod exchange;
mod failure;
mod feed;
mod fill;
pub mod http1;
mod http2;
mod journey;
mod judge;
mod ledger;
mod measures;
mod message;
mod names;
mod origin;
mod pacer;
mod payload;
mod pool;
mod priority;
mod proxy;
mod reach;
mod recorder;
mod replay;
mod resources;
mod script;
mod server_timing;
mod singles;
mod stalls;
mod steering;
mod timers;
mod tls;
mod tokens;
mod traffic;
mod transport;
mod user;
mod worker;

pub use addresses::AddressError;
pub use clock::Clock;
pub use collector::Collector;
pub use compile::CompileError;
pub use connection::Http1;
pub use driver::{Driver, DriverConfig, DriverError, Message, Once, Order, Simulation};
pub(crate) use failure::Failure;
pub use feed::{Feeds, Places};
pub use origin::{Origin, lost};
pub use priority::{keep_real_time_for_workers, stand_back};
pub use reach::refused;
pub use resources::{Need, Room, Shortage};
pub use tls::{TlsError, client_config};
pub use transport::{NetworkTransport, Transport, TransportError};
