//! The response reader against hyper: they differ only as the documentation of the reader says.

#![no_main]

#[path = "../../crates/driver/tests/http1/allocations.rs"]
#[expect(dead_code, reason = "what this target allocates is hyper's")]
mod allocations;
#[path = "../../crates/driver/tests/http1/harness.rs"]
#[expect(dead_code, reason = "pieces are the other target's")]
mod harness;
#[path = "../../crates/driver/tests/http1/hyper.rs"]
mod hyper;
mod random;

use libfuzzer_sys::fuzz_target;
use random::Random;

fuzz_target!(|stream: &[u8]| {
    let head = Random::of(stream).up_to(8) == 0;
    hyper::compare(stream, head);
});
