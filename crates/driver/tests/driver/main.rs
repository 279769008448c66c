//! The driver, in simulated time and against real sockets. One binary: it shares its build.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod common;
mod connecting;
mod real;
mod simulated;
