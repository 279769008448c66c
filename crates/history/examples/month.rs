//! Records one run of many days by a simulated clock, and keeps the record within its bounds meanwhile, as a service does.
//!
//! `cargo run --release -p plimsoll-history --example month FILE [DAYS]`
//!
//! 20 steps with 1,000 requests per second in all, of log-normal times as services have them, through the recorder that a run has; once in a
//! simulated hour what is old is made coarser by the default retention. Prints a line of JSON a day, and one at the end: seconds recorded, bytes on disk (the log included), resident
//! memory, seconds that became minutes and hours, how often ages were halved the last time, and what it took. The run is called `month` and does not end: it is one that goes on.

#[expect(dead_code, reason = "the run goes on: the events of a whole one are not asked for")]
#[path = "../tests/it/sample.rs"]
mod sample;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{History, Recorder, Retained, Retention};
use plimsoll_measure::SECOND;
use plimsoll_run::{RunEvent, Second, Started};

const STEPS: u16 = 20;
/// Per step.
const REQUESTS: u64 = 50;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Seconds that differ; they come again and again, as making them takes longer than recording them.
const DIFFERENT: u64 = 997;

/// So many seconds wait for the recorder at most: fewer than it holds before it loses some.
const AHEAD: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which file?")?;
    let days: u64 = arguments.next().map_or(Ok(30), |text| text.parse())?;
    let history = History::open(&file).await?;
    let mut started = sample::started("month", STEPS);
    started.shape.stages[0].end = (days * DAY) as f64;
    let seconds: Vec<Second> =
        (1..=DIFFERENT).map(|number| sample::second_of(number, STEPS, REQUESTS, &started, times)).collect();
    let recorder = Recorder::start(&history, &started).await?;
    let (begun, mut done) = (Instant::now(), Retained::default());
    for number in 0..days * DAY {
        recorder.record(&event(&seconds[(number % DIFFERENT) as usize], number, &started));
        recorder.seconds().wait_for(|recorded| recorded + AHEAD > number).await?;
        let next = number + 1;
        if next % HOUR == 0 {
            let retained = history.retain(&Retention::default(), moment(&started, next)).await?;
            done.to_minutes += retained.to_minutes;
            done.to_hours += retained.to_hours;
            done.halved = retained.halved;
        }
        if next % DAY == 0 {
            tell(Path::new(&file), next, begun.elapsed(), &done)?;
        }
    }
    recorder.seconds().wait_for(|recorded| *recorded == days * DAY).await?;
    let retained = history.retain(&Retention::default(), moment(&started, days * DAY)).await?;
    done.to_minutes += retained.to_minutes;
    done.to_hours += retained.to_hours;
    tell(Path::new(&file), days * DAY, begun.elapsed(), &done)?;
    // Killed as a process is that goes on: the run stays without an end, and a service finds it interrupted.
    std::process::exit(0);
}

/// How long one request took, and when its first byte came, in nanoseconds. Regular times would compress as no real ones do.
fn times(mixed: u64, step: u16) -> (u64, u64) {
    let mut state = mixed;
    let mut uniform = || {
        // SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let normal = (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    let median = 5e6 * (1.0 + f64::from(step) / 4.0);
    let took = median * (0.5 * normal).exp();
    (took as u64, (took * (0.5 + 0.4 * uniform())) as u64)
}

/// The wall time of a second's end.
fn moment(started: &Started, second: u64) -> i64 {
    started.info.started_nanos + (second * SECOND) as i64
}

fn event(second: &Second, number: u64, started: &Started) -> RunEvent {
    let mut second = second.clone();
    second.frame.second = number;
    second.wall_nanos = moment(started, number + 1);
    RunEvent::Second(Arc::new(second))
}

fn tell(file: &Path, seconds: u64, took: Duration, done: &Retained) -> std::io::Result<()> {
    let size =
        |ending: &str| std::fs::metadata(format!("{}{ending}", file.display())).map_or(0, |file| file.len());
    let line = serde_json::json!({
        "seconds": seconds,
        "bytes": size("") + size("-wal"),
        "resident": resident()?,
        "to_minutes": done.to_minutes,
        "to_hours": done.to_hours,
        "halved": done.halved,
        "took": took.as_secs_f64(),
    });
    println!("{line}");
    Ok(())
}

/// Resident memory in bytes, as Linux tells it.
fn resident() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0) * 1024)
}
