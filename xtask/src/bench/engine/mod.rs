//! `cargo xtask bench engine`: the engine against what is asked of it, and against its peers.
//!
//! Each part has a module; each gives tables, and a verdict for every figure that something is asked of.
//! A part that cannot be measured says so and holds no other up.

mod closed;
mod cost;
mod floor;
mod frozen;
mod http2;
mod memory;
mod open;

use std::fmt;

use clap::ValueEnum;

use super::chart::Chart;
use super::machine::{Busyness, facts};
use super::peers::{self, Found, Missing};
use super::programs::Programs;
use super::table::Table;
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

/// One figure beside what is asked of it.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    figure: String,
    found: String,
    asked: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }
}

impl Finding {
    /// A figure that there may be none of, which is then not measured.
    fn new(
        figure: impl Into<String>,
        value: Option<f64>,
        write: impl Fn(f64) -> String,
        asked: impl Into<String>,
        meets: impl Fn(f64) -> bool,
    ) -> Self {
        Self {
            figure: figure.into(),
            found: super::table::figure(value, write),
            asked: asked.into(),
            verdict: value.map_or(Verdict::NotMeasured, |value| Verdict::of(meets(value))),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
        })
    }
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
                whole.findings.push(part.not_measured(&error));
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
            Self::Memory => memory::measure(bench),
            Self::Instructions => instructions(),
        }
    }

    fn not_measured(self, error: &anyhow::Error) -> Finding {
        let reason = format!("{error:#}");
        Finding {
            figure: self.explanation(),
            found: reason.lines().next().unwrap_or_default().to_owned(),
            asked: String::new(),
            verdict: Verdict::NotMeasured,
        }
    }
}

fn verdicts(findings: &[Finding]) -> String {
    let mut table = Table::new(&["figure", "found", "asked", ""]);
    for Finding { figure, found, asked, verdict } in findings {
        table.row([figure.clone(), found.clone(), asked.clone(), verdict.to_string()]);
    }
    let lost: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Missed)
        .map(|finding| finding.figure.as_str())
        .collect();
    let lost = match lost.as_slice() {
        [] => String::new(),
        lost => format!("\nWhere we lose: {}.\n", lost.join("; ")),
    };
    format!("{}{lost}", table.markdown())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_stands_beside_what_is_asked_and_losses_are_named() {
        let under = |figure: &str, value| {
            Finding::new(figure, value, |value| format!("{value:.1} s"), "under 2 s", |value| value < 2.0)
        };
        let findings = [under("a", Some(1.0)), under("b", Some(2.0)), under("c", None)];
        assert_eq!(
            verdicts(&findings),
            "| figure | found | asked |  |\n|---|---|---|---|\n\
             | a | 1.0 s | under 2 s | met |\n\
             | b | 2.0 s | under 2 s | **missed** |\n\
             | c | – | under 2 s | not measured |\n\
             \nWhere we lose: b.\n"
        );
        assert!(!verdicts(&findings[..1]).contains("lose"));
    }

    #[test]
    fn a_part_that_failed_is_not_measured() {
        let error = anyhow::anyhow!("no port\nand more").context("measuring wrk");
        let finding = Part::Cost.not_measured(&error);
        assert_eq!(finding.found, "measuring wrk: no port");
        assert_eq!(finding.verdict, Verdict::NotMeasured);
    }
}
