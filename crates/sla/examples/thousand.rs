//! Prints what a thousand objectives cost that have been judged for months, as one JSON object.
//!
//! `cargo run --release -p plimsoll-sla --example thousand`

#![expect(clippy::unwrap_used, reason = "a program of this project's own, on data of its own")]

#[path = "../tests/kept/mod.rs"]
mod kept;

use std::time::Instant;

use kept::{DAY, Kept, START, days};
use plimsoll_sla::{Counts, Ledger};

const OBJECTIVES: usize = 1000;
const SECONDS: u32 = 600;

fn main() {
    let slo = days("99.9%", 30);
    let mut full = Kept::new(&slo);
    let counts = |second: u64| Counts::new(9990 + second % 10, 10_000).unwrap();
    // An hour of data a minute, then minutes, then seconds: every bucket is there.
    let end = START + 70 * DAY;
    let old = (START..end - 4 * DAY).step_by(1800);
    let middle = (end - 4 * DAY..end - 1200).step_by(30);
    for second in old.chain(middle).chain(end - 1200..end) {
        full.ledger.record(second, counts(second)).unwrap();
    }
    full.now = end;
    let before = memory();
    let mut all = vec![full; OBJECTIVES];
    let started = Instant::now();
    let mut longest = 0.0_f64;
    for second in 0..u64::from(SECONDS) {
        let second_started = Instant::now();
        for (index, kept) in all.iter_mut().enumerate() {
            kept.second((second + index as u64) % 10, 10_000, 3);
        }
        longest = longest.max(second_started.elapsed().as_secs_f64());
    }
    let share = started.elapsed().as_secs_f64() / f64::from(SECONDS);
    let bytes = memory() - before;
    let stored: Vec<Vec<u8>> = all.iter().map(|kept| kept.ledger.to_bytes()).collect();
    let started = Instant::now();
    let read: Vec<Ledger> = stored.iter().map(|bytes| Ledger::from_bytes(bytes, &slo).unwrap()).collect();
    let restored = started.elapsed().as_secs_f64();
    println!(
        "{{\"objectives\": {}, \"core_share\": {share:.4}, \"longest_second\": {longest:.4}, \"memory_bytes\": {bytes}, \"stored_bytes\": {}, \"restored_seconds\": {restored:.4}}}",
        read.len(),
        stored.iter().map(Vec::len).sum::<usize>()
    );
}

/// The resident memory of this process in bytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
