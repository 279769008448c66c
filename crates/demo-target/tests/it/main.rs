//! The demo target from outside: over sockets, as its users meet it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod binary;
mod client;
mod http2;
mod misbehave;
mod shop;
mod tls;
mod truth;
