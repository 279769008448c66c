//! What an hour of 20 series costs to record, to compact and to read back.
//!
//! `cargo run --release -p plimsoll-history --example hour [SECONDS]`

#[path = "../tests/it/sample.rs"]
mod sample;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{History, Recorder};
use plimsoll_run::{RunEvent, State};

/// One per step: all but a few requests succeed.
const SERIES: u16 = 20;
/// 1,000 requests per second over all series.
const REQUESTS: u64 = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3600), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let history = History::open(directory.path().join("history.db")).await?;
    let events = sample::events(&sample::started("hour", SERIES), seconds, SERIES, REQUESTS);
    let Some(RunEvent::Started(started)) = events.first() else { return Ok(()) };

    let recorder = Recorder::start(&history, started).await?;
    let mut costs = Vec::new();
    for event in &events {
        let begun = Instant::now();
        recorder.record(event);
        if let RunEvent::Second(second) = event {
            while !is_recorded(&history, second.frame.second).await? {
                tokio::task::yield_now().await;
            }
            costs.push(begun.elapsed());
        }
    }
    let recorded = recorder.finish(Duration::from_secs(60)).await;
    costs.sort_unstable();
    let cost = |share: f64| costs[((costs.len() - 1) as f64 * share) as usize];
    println!(
        "one second of {SERIES} series: median {:?}, p99 {:?}, longest {:?}",
        cost(0.5),
        cost(0.99),
        cost(1.0)
    );
    println!("{recorded:?}; on disk {} MB", size(&history)?);

    read("rows", &history, started).await?;
    let begun = Instant::now();
    let moved = history.compact().await?;
    println!("compacting {moved} seconds: {:?}; on disk {} MB", begun.elapsed(), size(&history)?);
    read("chunks", &history, started).await?;
    let begun = Instant::now();
    history.delete(&["hour"]).await?;
    println!("deleting: {:?}; on disk {} MB", begun.elapsed(), size(&history)?);
    Ok(())
}

async fn is_recorded(history: &History, second: u64) -> Result<bool, Box<dyn Error>> {
    let runs = history.list(&plimsoll_history::Filter::default()).await?;
    Ok(runs.iter().all(|run| run.duration_seconds.is_some_and(|until| until >= second as f64 + 1.0)))
}

async fn read(
    what: &str,
    history: &History,
    started: &Arc<plimsoll_run::Started>,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut reader = history.read("hour").await?;
    let mut events = Vec::new();
    let (mut reading, mut folding) = (Duration::ZERO, Duration::ZERO);
    let mut state = State::new(Arc::clone(started));
    let mut longest = Duration::ZERO;
    while !reader.is_finished() {
        let begun = Instant::now();
        events.extend(reader.next().await?);
        longest = longest.max(begun.elapsed());
        reading += begun.elapsed();
        let begun = Instant::now();
        events.drain(..).for_each(|event| state.apply(&event));
        folding += begun.elapsed();
    }
    println!(
        "reading {what}: {reading:?} (a step at most {longest:?}), folding {folding:?}, all {:?}",
        begun.elapsed()
    );
    Ok(())
}

fn size(history: &History) -> std::io::Result<u64> {
    let log = history.path().with_extension("db-wal");
    let bytes =
        std::fs::metadata(history.path())?.len() + std::fs::metadata(log).map_or(0, |file| file.len());
    Ok(bytes >> 20)
}
