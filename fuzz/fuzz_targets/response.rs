//! The response reader against itself: the pieces in which an answer comes change nothing, nothing panics,
//! and memory stays within its bounds.

#![no_main]

#[path = "../../crates/driver/tests/http1/allocations.rs"]
mod allocations;
#[path = "../../crates/driver/tests/http1/harness.rs"]
#[expect(dead_code, reason = "some of it is for the comparison with hyper")]
mod harness;
mod random;

use libfuzzer_sys::fuzz_target;
use random::Random;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

fuzz_target!(|stream: &[u8]| {
    let mut random = Random::of(stream);
    let head = random.up_to(8) == 0;
    let cuts: Vec<usize> = (0..random.up_to(8)).map(|_| random.up_to(stream.len() + 1)).collect();
    harness::check_pieces(stream, &cuts, head);
    harness::check_known(stream, &cuts, head);
    if stream.len() < 512 {
        harness::check_pieces(stream, &(0..stream.len()).collect::<Vec<_>>(), head);
    }
});
