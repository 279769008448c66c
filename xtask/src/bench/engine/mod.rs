//! `cargo xtask bench engine`: the engine against what is asked of it, and against its peers.
//!
//! Each part has a module; each gives tables, and a verdict for every figure that something is asked of.
//! A part that cannot be measured says so and holds no other up.

mod closed;
mod cost;
mod floor;
mod frozen;
mod http2;
mod journey;
mod memory;
mod open;

use clap::ValueEnum;

use super::chart::Chart;
use super::finding::{Finding, Verdict, verdicts};
use super::machine::{Busyness, facts};
use super::peers::{self, Found, Missing};
use super::programs::Programs;
use super::{Arguments, document};

/// A part of the benchmark, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Work per CPU-second, beside every peer
    Closed,
    /// A fixed rate: percentiles, arrival gaps, schedule lag, CPU
    Open,
    /// A target frozen 2 s in 10
    Frozen,
    /// What measuring, judging, exporting and recording cost
    Cost,
    /// HTTP/2 beside h2load
    Http2,
    /// A step that is filled in and looked into
    Journey,
    /// Users and streams by the thousand
    Memory,
    /// Instructions per request
    Instructions,
}

/// What every part needs.
#[derive(Debug)]
struct Bench {
    programs: Programs,
    peers: Vec<Found>,
    rounds: u32,
    seconds: u32,
}

/// What a part found.
#[derive(Debug, Default)]
struct Section {
    findings: Vec<Finding>,
    /// Markdown: tables and the sentences they need.
    text: String,
    charts: Vec<Chart>,
}

pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let (programs, missing) = match arguments.no_build {
        true => (Programs::built()?, Missing::Leave),
        false => (Programs::build()?, Missing::Install),
    };
    let peers = peers::find(missing)?;
    let bench = Bench { programs, peers, rounds: arguments.rounds, seconds: arguments.seconds };
    let busyness = Busyness::start();
    let parts = Part::value_variants().iter().filter(|part| arguments.runs(**part));
    let mut whole = Section::default();
    for part in parts {
        println!("{}: {}", part.name(), part.explanation());
        match part.measure(&bench) {
            Ok(section) => {
                println!("{}", section.text);
                whole.text += &format!("\n### {}\n\n{}", part.explanation(), section.text);
                whole.findings.extend(section.findings);
                whole.charts.extend(section.charts);
            }
            Err(error) => {
                println!("!!! NOT MEASURED: {error:#}");
                whole.findings.push(Finding::not_measured(part.explanation(), &error));
            }
        }
    }
    let verdicts = verdicts(&whole.findings);
    println!("{verdicts}");
    let versions: Vec<String> =
        bench.peers.iter().map(|found| format!("{found} {}", found.version)).collect();
    let conditions = format!(
        "{} rounds of {} s a side. {}. {} Peers: {}.\n",
        bench.rounds,
        bench.seconds,
        facts(),
        busyness.describe(),
        if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
    );
    println!("{conditions}");
    if arguments.write {
        let images: String =
            whole.charts.iter().map(|chart| format!("![{}](images/{})\n", chart.title, chart.file)).collect();
        let section = format!("{conditions}\n{verdicts}\n{images}{}", whole.text);
        document::write(document::BENCHMARKS, "engine", &section)?;
        for chart in &whole.charts {
            document::write_image(chart.file, &chart.svg())?;
        }
    }
    Ok(())
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn explanation(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    fn measure(self, bench: &Bench) -> anyhow::Result<Section> {
        match self {
            Self::Closed => closed::measure(bench),
            Self::Open => open::measure(bench),
            Self::Frozen => frozen::measure(bench),
            Self::Cost => cost::measure(bench),
            Self::Http2 => http2::measure(bench),
            Self::Journey => journey::measure(bench),
            Self::Memory => memory::measure(bench),
            Self::Instructions => instructions(),
        }
    }
}

fn instructions() -> anyhow::Result<Section> {
    let limit = 3_000.0;
    let found = crate::instructions::per_request()?;
    let finding = Finding::new(
        "user-space instructions per request, fast path, by callgrind",
        Some(found),
        super::table::grouped,
        format!("under {}", super::table::grouped(limit)),
        |found| found < limit,
    );
    let text = format!(
        "{} instructions of our own for `GET /` over one of 64 kept connections, counted by callgrind as the\n\
         difference between many and few requests. The kernel's part is not in it.\n",
        super::table::grouped(found)
    );
    Ok(Section { findings: vec![finding], text, charts: Vec::new() })
}
