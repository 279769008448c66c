//! The driver, in simulated time and against real sockets, with each of its clients. One binary: it
//! shares its build.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]
#![expect(clippy::duplicate_mod, reason = "every case runs with each client")]

mod auth;
mod common;
mod compiled;
mod connecting;
mod hostile_http2;
mod http2;
mod hyper;
mod network;
mod real_servers;
