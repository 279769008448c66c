//! Records a million requests of a typical plan, for counting what one of them costs:
//!
//! ```text
//! cargo build --release -p plimsoll-measure --example record
//! valgrind --tool=callgrind target/release/examples/record
//! ```
//!
//! The instructions of `request`, divided by a million, are those of one request: its arrival, its
//! timings, its iteration. The second is handed over every five thousand requests, apart from that.

use std::hint::black_box;

use plimsoll_measure::{Edges, Frame, IterationKey, Outcome, Phase, Sample, SeriesKey, Shard};

const REQUESTS: u64 = 1_000_000;
const A_SECOND: u64 = 5_000;

fn main() {
    let mut shard = Shard::new(0, Edges::with_thresholds([20_000_000, 250_000_000]));
    let mut random = 1;
    let mut requests = 0;
    for number in 0..REQUESTS {
        request(&mut shard, &mut random);
        if (number + 1) % A_SECOND == 0 {
            let mut frame = Frame::new(shard.second());
            shard.merge_into(&mut frame);
            requests += frame.requests(|_| true);
            shard.reuse(shard.second() + 1);
        }
    }
    assert_eq!(requests, REQUESTS);
}

/// Response times that spread over two decades from a millisecond on, as those of services do.
#[inline(never)]
fn request(shard: &mut Shard, random: &mut u64) {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let [lag, wait, ..] = random.to_be_bytes();
    let service = 1_000_000 + ((*random >> 40) << ((*random >> 37) & 3));
    let (ready, stage) = (u64::from(lag) * 200, Some(1));
    let sent = ready + u64::from(wait) * 20;
    let iteration = IterationKey { scenario: 0, phase: Phase::Measured, stage };
    let sample = Sample {
        key: SeriesKey { step: 2, phase: Phase::Measured, stage, outcome: Outcome::Ok },
        due: 0,
        ready,
        sent: Some(sent),
        done: sent + service,
        connect: None,
        tls: None,
        first_byte: Some(service - 1_000),
        status: Some(200),
        received_bytes: 1_000,
        sent_bytes: 100,
        address: 0,
    };
    let shard = black_box(shard);
    shard.arrival(iteration);
    shard.record(black_box(&sample));
    shard.iteration(iteration, sample.done, false);
}
