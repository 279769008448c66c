//! A queue on disk with an account and segments that anybody may have written.

#![no_main]

#[path = "../../crates/exporters/tests/spool/foreign.rs"]
mod foreign;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| foreign::check(bytes));
