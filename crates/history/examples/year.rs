//! Writes a year of hourly runs into a new history, as `plimsoll run` leaves them, but for their seconds.
//!
//! `cargo run --release -p plimsoll-history --example year FILE [RUNS]`
//!
//! Each run holds five levels for 15 s; a twelfth of them is of each of twelve versions. The plan is `year`.

#[path = "../tests/it/sample.rs"]
mod sample;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_history::{History, Recorder};
use plimsoll_run::{LoadSeries, RunEvent, RunPlateaus, StageShape, Started, State};

const VERSIONS: u64 = 12;
const LEVELS: u64 = 5;
const SECONDS: u64 = 15;
const HOUR: i64 = 3_600_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which file?")?;
    let runs: u64 = arguments.next().map_or(Ok(8760), |text| text.parse())?;
    let history = History::open(file).await?;
    let versions: Vec<(Started, RunPlateaus)> = (0..VERSIONS).map(version).collect();
    for run in 0..runs {
        let (started, plateaus) = &versions[(run * VERSIONS / runs) as usize];
        let mut started = started.clone();
        started.info.id = format!("year-{run:05}");
        started.info.started_nanos += run as i64 * HOUR;
        let recorder = Recorder::start(&history, &started).await?;
        sample::events(&started, 0, 1, 0).iter().for_each(|event| recorder.record(event));
        recorder.finish(Duration::from_secs(60)).await;
        history.keep_plateaus(&started.info.id, plateaus).await?;
    }
    history.close().await;
    Ok(())
}

/// A version, a little faster than the one before.
fn version(number: u64) -> (Started, RunPlateaus) {
    let mut started = sample::started("year", 1);
    started.info.version = Some(format!("1.{number}"));
    started.shape.plan = "year".into();
    started.shape.warmup = 0.0;
    let stage = |level: u64| StageShape {
        kind: "hold".into(),
        start: (level * SECONDS) as f64,
        end: ((level + 1) * SECONDS) as f64,
        from: rate(level),
        to: rate(level),
        course: Vec::new(),
    };
    started.shape.stages = (0..LEVELS).map(stage).collect();
    let shared = Arc::new(started.clone());
    let (mut state, mut series) = (State::new(Arc::clone(&shared)), LoadSeries::new(shared));
    for second in 0..LEVELS * SECONDS {
        let load = rate(second / SECONDS);
        // All is answered up to 60/s or a little more.
        let answered = load.min(60.0 + number as f64) + (second % 3) as f64;
        let mut second = sample::second(second, 1, answered as u64, &started);
        second.gauges.offered_rate = load;
        let event = RunEvent::Second(Arc::new(second));
        state.apply(&event);
        series.apply(&event);
    }
    (started, RunPlateaus::of(&state, series))
}

fn rate(level: u64) -> f64 {
    (level + 1) as f64 * 25.0
}
