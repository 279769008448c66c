//! Prints how often months of a service without a fault raise an alarm, as one JSON object a line.
//!
//! `cargo run --release -p plimsoll-sla --example months -- 1000 100`: a thousand months at half the
//! budget, then a hundred each at 0.8 and 1.0 of it. Counts are drawn for every second.

#![expect(clippy::unwrap_used, reason = "a program of this project's own, on data of its own")]

#[path = "../tests/kept/mod.rs"]
mod kept;
#[path = "../tests/months/mod.rs"]
mod months;

use months::{Alarms, healthy};

const RATES: [u64; 5] = [1, 10, 100, 1000, 10_000];

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|number| number.parse().unwrap()).collect();
    let (half, full) = (numbers.first().copied().unwrap_or(10), numbers.get(1).copied().unwrap_or(5));
    for (share, months) in [(0.5, half), (0.8, full), (1.0, full)] {
        std::thread::scope(|scope| {
            for rates in [&RATES[..2], &RATES[2..]] {
                scope.spawn(move || {
                    for rate in rates {
                        print(*rate, share, months / RATES.len() as u64);
                    }
                });
            }
        });
    }
}

fn print(rate: u64, share: f64, months: u64) {
    // Each month is a service of its own.
    let all = (0..months).map(|month| healthy(rate, share, 30, month));
    let sum = all.fold(Alarms::default(), |sum, one| Alarms {
        months: sum.months + one.months,
        breaches: sum.breaches + one.breaches,
        pages: sum.pages + one.pages,
        tickets: sum.tickets + one.tickets,
        exhausted: sum.exhausted + one.exhausted,
    });
    println!(
        "{{\"rate\": {rate}, \"of_budget\": {share}, \"months\": {}, \"breaches\": {}, \"pages\": {}, \"tickets\": {}, \"exhausted\": {}}}",
        sum.months, sum.breaches, sum.pages, sum.tickets, sum.exhausted
    );
}
