//! Benchmarks: programs side by side on one machine.
//!
//! Absolute figures of a shared machine mean little, so the sides of every comparison take turns round
//! by round, and ratios are those within a round. The generator has one core and the
//! target the other. Work is measured per CPU-second of the generator, which waiting for the
//! other core does not change. `noise` compares a program with itself: no ratio nearer to 1 than
//! its spread says anything.

mod capacity;
mod chart;
mod compare;
mod curves;
mod document;
mod engine;
mod export;
mod finding;
mod machine;
mod nginx;
mod noise;
mod peers;
pub(crate) mod process;
pub(crate) mod programs;
mod quantiles;
mod rounds;
mod service;
mod table;

use anyhow::ensure;

/// The core the generator runs on: not the first, where a machine handles most of its interrupts.
const GENERATOR_CORE: usize = 1;
/// The core the target runs on.
const TARGET_CORE: usize = 0;

/// Every benchmark by name, each in its own module.
const BENCHMARKS: [(&str, Benchmark); 7] = [
    ("noise", noise::compare),
    ("engine", engine::measure),
    ("export", export::measure),
    ("capacity", capacity::measure),
    ("compare", compare::measure),
    ("service", service::measure),
    ("instructions", |_| crate::instructions::show()),
];

type Benchmark = fn(&Arguments) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one: noise, engine, export, capacity, compare, service or instructions; all of them when left out
    name: Option<String>,
    /// How often the sides take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each side runs in a round, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Runs these parts of `engine` and no others, in their usual order
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<engine::Part>,
    /// Of `service`: how many days are recorded by a simulated clock
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// Takes our programs and the peers as they are
    #[arg(long)]
    no_build: bool,
    /// Writes the whole result into the guide: docs/benchmarks.md, docs/capacity.md, docs/comparison.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

impl Arguments {
    fn runs(&self, part: engine::Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let chosen: Vec<(&str, Benchmark)> = match &arguments.name {
        Some(name) => vec![(name.as_str(), *crate::find("benchmark", &BENCHMARKS, name)?)],
        None => BENCHMARKS.to_vec(),
    };
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "a benchmark needs a core for each side, and this machine has {cores}");
    for (name, benchmark) in chosen {
        match name {
            "noise" | "engine" | "export" => {
                println!("{name}: {} rounds of {} s a side", arguments.rounds, arguments.seconds);
            }
            _ => println!("{name}"),
        }
        benchmark(arguments)?;
    }
    Ok(())
}
