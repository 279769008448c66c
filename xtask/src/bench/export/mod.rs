//! `cargo xtask bench export`: what exporting costs, and whether it disturbs what is measured.
//!
//! A part that cannot be measured says so and holds no other up.

mod cost;
mod lag;
mod queue;

use super::finding::{Finding, verdicts};
use super::machine::{Busyness, facts};
use super::programs::Programs;
use super::{Arguments, document};
use crate::command::{cargo, run};

/// What every part needs.
#[derive(Debug)]
struct Bench {
    programs: Programs,
    rounds: u32,
    seconds: u32,
}

/// What a part found.
#[derive(Debug, Default)]
struct Section {
    findings: Vec<Finding>,
    /// Markdown: tables and the sentences they need.
    text: String,
}

type Part = fn(&Bench) -> anyhow::Result<Section>;

const PARTS: [(&str, Part); 3] = [
    ("The queue on disk", queue::measure),
    ("Encoding and sending 10,000 series a second", cost::measure),
    ("Schedule lag with all sinks and with none", lag::measure),
];

pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.no_build {
        let examples = ["--package", "plimsoll-exporters", "--example", "spool", "--example", "sending"];
        run(cargo().args(["build", "--release"]).args(examples))?;
        let programs = ["--package", "plimsoll", "--package", "plimsoll-demo-target"];
        run(cargo().args(["build", "--release"]).args(programs))?;
    }
    let bench = Bench { programs: Programs::built()?, rounds: arguments.rounds, seconds: arguments.seconds };
    let busyness = Busyness::start();
    let mut whole = Section::default();
    for (name, part) in PARTS {
        println!("{name}");
        match part(&bench) {
            Ok(section) => {
                println!("{}", section.text);
                whole.text += &format!("\n### {name}\n\n{}", section.text);
                whole.findings.extend(section.findings);
            }
            Err(error) => {
                println!("!!! NOT MEASURED: {error:#}");
                whole.findings.push(Finding::not_measured(name, &error));
            }
        }
    }
    let verdicts = verdicts(&whole.findings);
    println!("{verdicts}");
    let conditions = format!("{} rounds. {}. {}\n", bench.rounds, facts(), busyness.describe());
    println!("{conditions}");
    if arguments.write {
        document::write(document::BENCHMARKS, "export", &format!("{conditions}\n{verdicts}{}", whole.text))?;
    }
    Ok(())
}
