//! The service over a real record, asked by a script and looked at by a browser.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod access;
mod annotations;
mod browser;
mod control;
mod http;
mod jobs;
mod pages;
mod plans;
mod scene;
mod slas;
mod telling;
