//! Prints how long a service takes to go on with a thousand SLAs after `kill -9`, and what they take on disk, as one JSON object.
//!
//! `cargo run --release -p plimsoll-service --example restore`

#![expect(clippy::unwrap_used, reason = "a program of this project's own, on data of its own")]

use std::time::{Instant, SystemTime};

use plimsoll_history::{History, SlaChanges};
use plimsoll_service::{Config, Promises, Service};
use plimsoll_sla::{Counts, Entry, Keeper, Moment, Sla};
use plimsoll_spec::openslo::read_slas;

const SLAS: usize = 1000;
const DAY: u64 = 86_400;
/// Ten minutes of journal: the most there is between two states.
const JOURNAL: u64 = 600;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let history = History::open(&path).await.unwrap();
    let slas: Vec<Sla> = (0..SLAS).map(sla).collect();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // A year of one SLA, whatever the period: what a month's promise keeps is less.
    let state = full(&slas[0], now - JOURNAL, 70).to_bytes();
    let mut numbers = Vec::new();
    for sla in &slas {
        numbers.push(history.sla_number(&sla.slo.name, None).await.unwrap());
    }
    let states = numbers.iter().map(|number| (*number, state.clone())).collect();
    history.keep_slas(&SlaChanges { states, ..SlaChanges::default() }).await.unwrap();
    for second in now - JOURNAL..now {
        let told = |number: &i64| {
            let moment = Some(Moment { counts: counts(second), overdue: 0 });
            (number.cast_unsigned(), Entry::Second { second, moment })
        };
        let told: Vec<_> = numbers.iter().map(told).collect();
        let changes = SlaChanges { journal: Entry::to_bytes(&told), ..SlaChanges::default() };
        history.keep_slas(&changes).await.unwrap();
    }
    history.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();

    let started = Instant::now();
    let history = History::open(&path).await.unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let promises = Promises { slas, ..Promises::default() };
    let service = Service::bind(Config { listen, history, promises }).await.unwrap();
    let restored = started.elapsed().as_secs_f64();
    drop(service);
    let year = full(&sla(0), now, 366).to_bytes().len();
    println!(
        "{{\"slas\": {SLAS}, \"restored_seconds\": {restored:.3}, \"disk_bytes\": {bytes}, \"state_bytes\": {}, \"year_state_bytes\": {year}}}",
        state.len()
    );
}

fn counts(second: u64) -> Counts {
    Counts::new(9990 + second % 10, 10_000).unwrap()
}

fn sla(index: usize) -> Sla {
    let days = if index == 0 { 366 } else { 30 };
    let metric = "{metricSource: {type: Plimsoll, spec: {plan: demo}}}";
    let text = format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: sla-{index}}}\nspec:\n  service: web\n  \
         indicator: {{metadata: {{name: i}}, spec: {{ratioMetric: {{counter: true, good: {metric}, total: {metric}}}}}}}\n  \
         timeWindow: [{{duration: {days}d, isRolling: true}}]\n  budgetingMethod: Occurrences\n  objectives: [{{target: 0.999}}]\n"
    );
    read_slas(&[plimsoll_spec::Source { name: "sla.yaml".to_owned(), text }]).1.remove(0)
}

/// A keeper with data in every bucket that is kept of so many days.
fn full(sla: &Sla, end: u64, days: u64) -> Keeper {
    let mut keeper = Keeper::new(sla).unwrap();
    let begin = end - days * DAY;
    let times = (begin..end - 4 * DAY)
        .step_by(1800)
        .chain((end - 4 * DAY..end - 1200).step_by(30))
        .chain(end - 1200..end);
    for second in times {
        keeper.late(second, counts(second)).unwrap();
    }
    for second in end - 300..end {
        keeper.second(second, Some(Moment { counts: counts(second), overdue: 0 })).unwrap();
    }
    keeper
}
