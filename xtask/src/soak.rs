//! Endurance tests: long load, watched for memory that grows.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::bench::programs::Programs;

/// Every soak by name.
const SOAKS: [(&str, Soak); 1] = [("memory", memory)];

type Soak = fn(Duration) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one
    name: String,
    /// How long, in seconds
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    seconds: u32,
}

/// How much of the memory may be added between the second and the last quarter of a run: room for
/// an allocator that still finds its size, not for anything kept per request or per second.
const GROWTH: f64 = 0.05;
/// And this many bytes, so that a run of a few seconds is not judged by one buffer.
const GROWTH_BYTES: f64 = 4e6;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let soak = crate::find("soak", &SOAKS, &arguments.name)?;
    soak(Duration::from_secs(arguments.seconds.into()))
}

/// Closed users as fast as they can, with objectives, history and metrics: resident memory settles.
fn memory(length: Duration) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let target = programs.target("none")?;
    let plan = format!(
        "name: soak\ntarget: {}\nload:\n  model: closed\n  stages:\n    - {{ hold: 64 users, for: {}s }}\n\
         scenarios:\n  - name: soak\n    steps:\n      - {{ name: home, get: / }}\n\
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
    ensure!(late <= early * (1.0 + GROWTH) + GROWTH_BYTES, "memory grows with the length of the run");
    Ok(())
}

/// Means of the second and of the last quarter.
fn quarters(values: &[f64]) -> Option<(f64, f64)> {
    let quarter = values.len() / 4;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    (quarter > 0).then(|| (mean(&values[quarter..2 * quarter]), mean(&values[values.len() - quarter..])))
}

#[cfg(test)]
mod tests {
    use super::quarters;

    #[test]
    fn the_second_quarter_is_set_against_the_last() {
        assert_eq!(quarters(&[9.0, 1.0, 5.0, 2.0]), Some((1.0, 2.0)));
        assert_eq!(quarters(&[9.0, 9.0, 1.0, 3.0, 5.0, 5.0, 2.0, 4.0]), Some((2.0, 3.0)));
        assert_eq!(quarters(&[1.0, 2.0, 3.0]), None);
    }
}
