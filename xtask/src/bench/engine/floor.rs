//! What loopback alone adds to a target's own record: one connection, one request at a time, nothing
//! between two reads of the clock but a write and a read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::ensure;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::bench::GENERATOR_CORE;
use crate::bench::programs::Target;
use crate::bench::quantiles::{Percentiles, of_json, of_values};

/// How long it is looked at.
const LENGTH: Duration = Duration::from_millis(1_000);

/// What a bare client and the target saw of the same requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Floor {
    pub(super) told: Percentiles,
    pub(super) record: Percentiles,
}

impl Floor {
    pub(super) fn error(&self, quantile: usize) -> Option<f64> {
        Some(self.told[quantile]? - self.record[quantile]?)
    }
}

/// Measures it on the generator's core.
pub(super) fn measure(target: &Target) -> anyhow::Result<Floor> {
    target.forget()?;
    let told = on_generator_core(|| exchange(target))??;
    Ok(Floor { told: of_values(told), record: of_json(&target.record()?, "/latency") })
}

/// Runs in this thread, which may run anywhere again afterwards.
fn on_generator_core<T>(act: impl FnOnce() -> T) -> anyhow::Result<T> {
    let this = Pid::from_raw(0);
    let anywhere = sched_getaffinity(this)?;
    let mut core = CpuSet::new();
    core.set(GENERATOR_CORE)?;
    sched_setaffinity(this, &core)?;
    let outcome = act();
    sched_setaffinity(this, &anywhere)?;
    Ok(outcome)
}

fn exchange(target: &Target) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(target.addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", target.addr);
    let (mut buffer, mut times) = ([0; 4096], Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < LENGTH {
        let sent = Instant::now();
        stream.write_all(request.as_bytes())?;
        // The answer is so small that it comes in one piece.
        let read = stream.read(&mut buffer)?;
        times.push(sent.elapsed().as_secs_f64());
        ensure!(buffer[..read].starts_with(b"HTTP/1.1 200"), "the target did not answer");
    }
    Ok(times)
}
