//! Benchmarks: ratios between two programs, taken side by side on one machine.
//!
//! Absolute figures of a shared machine mean little, so every benchmark alternates its two sides
//! round by round and reports the ratio within each round. The generator has one core and the
//! target the other. Work is measured per CPU-second of the generator, which waiting for the
//! other core does not change. `noise` compares a program with itself: no ratio nearer to 1 than
//! its spread says anything.

mod document;
mod engine;
mod machine;
mod noise;
pub(crate) mod programs;
mod ratio;

use anyhow::ensure;

/// The core the generator runs on: not the first, where a machine handles most of its interrupts.
const GENERATOR_CORE: usize = 1;
/// The core the target runs on.
const TARGET_CORE: usize = 0;

/// Every benchmark by name, each in its own module.
const BENCHMARKS: [(&str, Benchmark); 2] = [("noise", noise::compare), ("engine", engine::measure)];

type Benchmark = fn(&Arguments) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one; all of them when left out
    name: Option<String>,
    /// How often the two sides take turns
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each side runs in a round, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Takes our programs as they were built last
    #[arg(long)]
    no_build: bool,
    /// Writes the result into docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let chosen: Vec<(&str, Benchmark)> = match &arguments.name {
        Some(name) => vec![(name.as_str(), *crate::find("benchmark", &BENCHMARKS, name)?)],
        None => BENCHMARKS.to_vec(),
    };
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "a benchmark needs a core for each side, and this machine has {cores}");
    for (name, benchmark) in chosen {
        println!("{name}: {} rounds of 2 x {} s", arguments.rounds, arguments.seconds);
        benchmark(arguments)?;
    }
    Ok(())
}
