//! Endurance tests: long load, watched for memory that grows.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::bench::programs::Programs;
use crate::command::{cargo, run as run_command};

/// Every soak by name.
const SOAKS: [(&str, Soak); 6] = [
    ("engine", engine),
    ("simulated", |_| simulated()),
    ("export", |_| export()),
    ("agreement", |_| agreement()),
    ("feed", |_| feed()),
    ("statistics", |_| statistics()),
];

type Soak = fn(&Arguments) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one: engine; or simulated, export, agreement, feed or statistics, which take their own time
    name: String,
    /// How long, in seconds; before twenty minutes nothing is said about growth
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    seconds: u32,
    /// Takes our programs as they were built last
    #[arg(long)]
    no_build: bool,
}

/// How much of the memory may be added between the first and the last third of what follows the warm-up.
const GROWTH: f64 = 0.02;

/// The part of a run that is its warm-up: connections, buffers and the allocator find their size, and a
/// run's course fills the first half of its points.
const WARM_UP: f64 = 0.25;

/// A run keeps its course in 600 points, a second each at first, and halves them when they are full.
/// Thirds can be compared only when each of the two has seen about as many points.
const SHORTEST_TO_JUDGE: u32 = 1_200;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let soak = crate::find("soak", &SOAKS, &arguments.name)?;
    soak(arguments)
}

/// Many more drawn courses on which our judging of objectives and Prometheus must agree.
fn agreement() -> anyhow::Result<()> {
    let arguments = ["test", "-p", "plimsoll-exposition", "--test", "agreement", "--", "--nocapture"];
    run_command(cargo().args(arguments).env("PLIMSOLL_AGREEMENT_SEEDS", "20"))
}

/// Rows of a table of 10 GB, made as they are read: bytes held are those of a table of 10 MB.
fn feed() -> anyhow::Result<()> {
    let mut command = cargo();
    command.args([
        "test",
        "--release",
        "--package",
        "plimsoll-data",
        "--test",
        "memory",
        "--",
        "--nocapture",
    ]);
    run_command(command.env("PLIMSOLL_FEED", "whole"))
}

/// Rates of false alarms and of what is found, over many more simulated series than the ordinary tests have.
fn statistics() -> anyhow::Result<()> {
    let arguments = ["test", "--release", "--package", "plimsoll-stats", "--", "--ignored", "--nocapture"];
    run_command(cargo().args(arguments))
}

/// Closed users who hardly think, with objectives, history and metrics: resident memory settles.
fn engine(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = if arguments.no_build { Programs::built() } else { Programs::build() }?;
    let length = Duration::from_secs(arguments.seconds.into());
    let target = programs.target("none")?;
    let plan = format!(
        "name: soak\ntarget: {}\nload:\n  model: closed\n  stages:\n    - {{ hold: 64 users, for: {}s }}\n\
         scenarios:\n  - name: soak\n    steps:\n      - {{ name: home, get: / }}\n      - pause: 5ms..15ms\n\
         sla:\n  - {{ name: quick, objective: \"p99(response_time) <= 250ms\", over: 30s, severity: warning }}\n\
         export:\n  prometheus: {{ listen: \"127.0.0.1:0\" }}\n",
        target.url(),
        length.as_secs()
    );
    let (mut seen, mut told) = (Vec::new(), Duration::ZERO);
    let ran = programs.run(&plan, length, |at, memory| {
        if at <= length {
            seen.push(memory.resident as f64);
        }
        if at >= told {
            println!("{:>6} s {:>8.2} MB", at.as_secs(), memory.resident as f64 / 1e6);
            told += length / 20;
        }
    })?;
    let (first, last) = thirds(&seen).context("the run was too short to be watched")?;
    let growth = last / first - 1.0;
    println!(
        "{:.0} requests; after the warm-up {:.2} MB in the first third, {:.2} MB in the last ({:+.2}%), {:.2} MB at most",
        ran.number("/totals/requests")?,
        first / 1e6,
        last / 1e6,
        growth * 100.0,
        ran.cost.peak_memory as f64 / 1e6
    );
    if arguments.seconds < SHORTEST_TO_JUDGE {
        println!("too short to say whether memory grows");
        return Ok(());
    }
    ensure!(growth <= GROWTH, "memory grows with the length of the run: by {:.2}%", growth * 100.0);
    Ok(())
}

/// A week at 100/s and ten minutes at 10,000/s on a simulated clock: bytes held settle.
fn simulated() -> anyhow::Result<()> {
    let mut command = cargo();
    command.args([
        "test",
        "--release",
        "--package",
        "plimsoll-driver",
        "--test",
        "memory",
        "--",
        "--nocapture",
    ]);
    run_command(command.env("PLIMSOLL_SIMULATE", "whole"))
}

/// Ten minutes at 2,000/s in which every receiver is killed for a minute and Plimsoll once for good.
fn export() -> anyhow::Result<()> {
    let mut build = cargo();
    build.args(["build", "--package", "plimsoll", "--package", "plimsoll-demo-target"]);
    run_command(&mut build)?;
    let mut command = cargo();
    command.args(["test", "--package", "plimsoll-tests", "--test", "delivery", "--", "--nocapture"]);
    run_command(command.env("PLIMSOLL_CHAOS", "whole"))
}

/// The medians of the first and of the last third of what follows the warm-up. A median, because single
/// looks see buffers that come and go each second.
fn thirds(values: &[f64]) -> Option<(f64, f64)> {
    let warm = &values[(values.len() as f64 * WARM_UP).ceil() as usize..];
    let third = warm.len() / 3;
    Some((median(&warm[..third])?, median(&warm[warm.len() - third..])?))
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::thirds;

    #[test]
    fn the_first_third_after_the_warm_up_is_set_against_the_last() {
        assert_eq!(thirds(&[9.0, 1.0, 5.0, 2.0]), Some((1.0, 2.0)));
        let values = [9.0, 9.0, 9.0, 1.0, 7.0, 2.0, 5.0, 5.0, 5.0, 3.0, 4.0, 8.0];
        assert_eq!(thirds(&values), Some((2.0, 4.0)));
        assert_eq!(thirds(&[1.0, 2.0, 3.0]), None);
        assert_eq!(thirds(&[]), None);
    }
}
