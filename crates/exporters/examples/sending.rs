//! What encoding, keeping and sending the seconds of a run costs.
//!
//! `cargo run --release -p plimsoll-exporters --example sending -- PLAN SERIES SECONDS`
//!
//! Sends to each sink of the plan seconds with at least so many series, as fast as it can, through
//! a queue on disk as a run does. Prints a line of JSON per sink: series of a second, seconds, and the CPU
//! seconds of this process while it encoded and sent. Making the seconds is not counted.

#[path = "../../history/tests/it/sample.rs"]
#[expect(dead_code, reason = "whole runs are the history's")]
mod sample;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use plimsoll_exporters::spool::{About, Limits, Queue};
use plimsoll_exporters::{Answer, Piece, Sink, sinks};
use plimsoll_exposition::{Readings, Report};
use plimsoll_run::{RunEvent, Started};
use plimsoll_spec::{Inputs, Source, parse};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests of a step in a second.
const REQUESTS: u64 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plan, series, seconds] = arguments.as_slice() else { return Err("PLAN SERIES SECONDS".into()) };
    let (series, seconds) = (series.parse()?, seconds.parse()?);
    let read = |_: &str| Err("a plan of this example has no files".to_owned());
    let inputs = Inputs::new(&|_| None, &read);
    let source = Source { name: plan.clone(), text: std::fs::read_to_string(plan)? };
    let parsed = parse(&source, &inputs).map_err(|found| format!("{found:?}"))?;
    let (started, events) = seconds_of(series, seconds);
    let spool = tempfile::tempdir_in(Path::new(plan).parent().ok_or("a plan lies in a folder")?)?;
    for sink in sinks(&parsed.plan.export)? {
        let about = About {
            sink: sink.name().to_owned(),
            identity: sink.identity(),
            run: started.info.id.clone(),
            plan: started.shape.plan.clone(),
            created: 0,
        };
        let mut queue = Queue::create(spool.path(), about, Limits::default())?;
        let mut encoder = sink.encoder(&started);
        let begun = cpu_seconds()?;
        for (second, (event, report)) in events.iter().enumerate() {
            queue.append(second as u64, &encoder.encode(event, report.as_ref()));
            deliver(&*sink, &mut queue).await?;
        }
        let took = cpu_seconds()? - begun;
        let account = queue.account();
        if account.acknowledged != account.produced {
            return Err(format!("not all was taken: {account:?}").into());
        }
        let each = account.produced as f64 / seconds as f64;
        let name = sink.name();
        println!(r#"{{"sink": "{name}", "series": {each}, "seconds": {seconds}, "cpu_seconds": {took}}}"#);
    }
    Ok(())
}

type Told = (RunEvent, Option<Report>);

/// A run of so many seconds with at least so many series, its start included.
fn seconds_of(series: u64, seconds: u64) -> (Arc<Started>, Vec<Told>) {
    let of = |steps| {
        let started = Arc::new(sample::started("bench", steps));
        let mut readings = Readings::new(Arc::clone(&started));
        let mut read = |event: RunEvent| {
            let report = readings.read(&event);
            (event, report)
        };
        let mut told = vec![read(RunEvent::Started(Arc::clone(&started)))];
        for number in 1..=seconds {
            let second = sample::second(number, steps, REQUESTS, &started);
            told.push(read(RunEvent::Second(Arc::new(second))));
        }
        (started, told)
    };
    let least = |told: &[Told]| {
        told[1..].iter().filter_map(|(_, report)| Some(report.as_ref()?.readings.len() as u64)).min()
    };
    let mut steps = 100;
    loop {
        let (started, told) = of(steps);
        match least(&told) {
            Some(found) if found < series => steps = (u64::from(steps) * series / found) as u16 + 1,
            _ => return (started, told),
        }
    }
}

/// Sends all that waits: the requests of a lane one after the other.
async fn deliver(sink: &dyn Sink, queue: &mut Queue) -> Result<(), Box<dyn Error>> {
    let limits = sink.limits();
    loop {
        let mut lanes: Vec<Vec<Piece>> = vec![Vec::new(); usize::from(limits.lanes.max(1))];
        for piece in queue.read(limits.points, limits.bytes)?.pieces {
            let lane = usize::from(piece.lane) % lanes.len();
            lanes[lane].push(piece);
        }
        let mut taken = 0;
        for pieces in lanes.iter().filter(|pieces| !pieces.is_empty()) {
            match sink.send(pieces).await {
                Answer::Taken => taken += pieces.iter().map(|piece| piece.points).sum::<u64>(),
                answer => return Err(format!("{answer:?}").into()),
            }
        }
        if queue.settle(taken).acknowledged == 0 {
            return Ok(());
        }
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}
