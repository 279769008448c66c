//! Endurance tests: long load, watched for memory that grows.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::bench::programs::Programs;

/// Every soak by name.
const SOAKS: [(&str, Soak); 1] = [("memory", memory)];

type Soak = fn(&Programs, Duration) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one
    name: String,
    /// How long, in seconds; before twenty minutes nothing is said about growth
    #[arg(long, default_value_t = 2_400, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    seconds: u32,
    /// Takes our programs as they were built last
    #[arg(long)]
    no_build: bool,
}

/// How much of the memory may be added between the second and the last quarter of a run: room for
/// an allocator that still finds its size, not for anything kept per request or per second.
const GROWTH: f64 = 0.05;
/// And this many bytes, so that nobody is judged by one buffer.
const GROWTH_BYTES: f64 = 4e6;

/// A run keeps its course in 600 points, a second each at first, and halves them when they are full.
/// Quarters can be compared only when each of the two has seen them full.
const SHORTEST_TO_JUDGE: Duration = Duration::from_secs(1_201);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let soak = crate::find("soak", &SOAKS, &arguments.name)?;
    let programs = if arguments.no_build { Programs::built() } else { Programs::build() }?;
    soak(&programs, Duration::from_secs(arguments.seconds.into()))
}

/// Closed users who hardly think, with objectives, history and metrics: resident memory settles.
fn memory(programs: &Programs, length: Duration) -> anyhow::Result<()> {
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
    let ran = programs.run(&plan, length, |at, resident| {
        if at <= length {
            seen.push(resident as f64);
        }
        if at >= told {
            println!("{:>6} s {:>8.1} MB", at.as_secs(), resident as f64 / 1e6);
            told += length / 20;
        }
    })?;
    let (early, late) = quarters(&seen).context("the run was too short to be watched")?;
    println!(
        "{:.0} requests; {:.1} MB in the second quarter, {:.1} MB in the last, {:.1} MB at most",
        ran.number("/totals/requests")?,
        early / 1e6,
        late / 1e6,
        ran.peak_memory as f64 / 1e6
    );
    if length < SHORTEST_TO_JUDGE {
        println!("too short to say whether memory grows");
        return Ok(());
    }
    ensure!(late <= early * (1.0 + GROWTH) + GROWTH_BYTES, "memory grows with the length of the run");
    Ok(())
}

/// The most of the second and of the last quarter: between its peaks memory falls.
fn quarters(values: &[f64]) -> Option<(f64, f64)> {
    let quarter = values.len() / 4;
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    (quarter > 0).then(|| (most(&values[quarter..2 * quarter]), most(&values[values.len() - quarter..])))
}

#[cfg(test)]
mod tests {
    use super::quarters;

    #[test]
    fn the_second_quarter_is_set_against_the_last() {
        assert_eq!(quarters(&[9.0, 1.0, 5.0, 2.0]), Some((1.0, 2.0)));
        assert_eq!(quarters(&[9.0, 9.0, 1.0, 3.0, 5.0, 5.0, 2.0, 4.0]), Some((3.0, 4.0)));
        assert_eq!(quarters(&[1.0, 2.0, 3.0]), None);
    }
}
