//! A closed loop on 64 kept connections: what a request costs the generator.
//!
//! The target's core is nearly busy with the fastest tools, so requests per second say little about a
//! tool; CPU time per request does.

use std::fmt;
use std::time::Duration;

use super::{Bench, Finding, Section};
use crate::bench::chart::{Bar, Chart, Kind};
use crate::bench::nginx::Nginx;
use crate::bench::peers::{Closed, Found, Peer};
use crate::bench::process::Finished;
use crate::bench::programs::{HOME, Plan};
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, grouped, megabytes};

const CONNECTIONS: u32 = 64;

/// Requests per generator CPU-second that are asked for, as multiples of a peer's.
const ASKED: [(Peer, f64); 3] = [(Peer::Wrk, 1.0), (Peer::Oha, 1.3), (Peer::Hey, 3.0)];

/// CPU seconds per million requests in a comparison that had wrk in it, on another machine, of two tools
/// that cannot be had here, and the multiple that is asked for.
const PUBLISHED: [(&str, f64, f64); 2] = [("vegeta", 36.0, 4.0), ("k6", 69.0, 8.0)];
/// And wrk's in the same comparison, by which theirs are scaled.
const PUBLISHED_WRK: f64 = 8.2;

enum Side<'a> {
    Ours,
    Peer(&'a Found),
}

impl fmt::Display for Side<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => formatter.pad("plimsoll"),
            Self::Peer(found) => found.fmt(formatter),
        }
    }
}

/// What a side did in a round.
#[derive(Debug, Clone, Copy)]
struct Work {
    cpu_per_million: f64,
    rate: f64,
    peak_memory: f64,
}

impl Work {
    fn of(requests: f64, seconds: u32, cost: &Finished) -> Option<Self> {
        (requests > 0.0).then(|| Self {
            cpu_per_million: cost.cpu_seconds / requests * 1e6,
            rate: requests / f64::from(seconds),
            peak_memory: cost.peak_memory as f64,
        })
    }
}

/// A side with its rounds.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    kind: Kind,
    peer: Option<Peer>,
    cpu_per_million: Series,
    rate: Option<f64>,
    peak_memory: Option<f64>,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let nginx = Nginx::start(folder)?;
    let (url, seconds) = (nginx.url(), bench.seconds);
    let load = format!(
        "  model: closed\n  grace: 1s\n  stages:\n    - {{ hold: {CONNECTIONS} users, for: {seconds}s }}"
    );
    let plan = Plan { target: &url, load: &load, http: "{}", steps: HOME };
    let closed = Closed { url: &url, connections: CONNECTIONS, seconds };
    let mut sides = vec![Side::Ours];
    sides.extend(bench.peers.iter().map(Side::Peer));
    let rounds = interleave(bench.rounds, &sides, |side| {
        let (requests, cost) = match side {
            Side::Ours => {
                let ran = bench.programs.run_whole(&plan, Duration::from_secs(seconds.into()))?;
                (ran.succeeded()?, ran.cost)
            }
            Side::Peer(found) => match found.closed(&closed, folder) {
                Ok((requests, _)) if requests.failed > 0.0 => {
                    println!(
                        "!!! {found}: {} requests failed; this round of it is left out",
                        requests.failed
                    );
                    return Ok(None);
                }
                Ok((requests, cost)) => (requests.succeeded, cost),
                Err(error) => {
                    println!("!!! {found}: this round of it is left out: {error:#}");
                    return Ok(None);
                }
            },
        };
        Ok(Work::of(requests, seconds, &cost))
    })?;
    let rows: Vec<Row> = sides.iter().zip(&rounds).map(|(side, works)| Row::new(side, works)).collect();
    Ok(section(rows))
}

impl Row {
    fn new(side: &Side<'_>, works: &[Option<Work>]) -> Self {
        let series =
            |part: fn(&Work) -> f64| works.iter().map(|work| work.as_ref().map(part)).collect::<Series>();
        Self {
            name: side.to_string(),
            kind: match side {
                Side::Ours => Kind::Ours,
                Side::Peer(_) => Kind::Measured,
            },
            peer: match side {
                Side::Ours => None,
                Side::Peer(found) => Some(found.peer),
            },
            cpu_per_million: series(|work| work.cpu_per_million),
            rate: series(|work| work.rate).median(),
            peak_memory: series(|work| work.peak_memory).median(),
        }
    }

    /// A published figure, in terms of wrk's here.
    fn published(name: &str, cpu_per_million: f64, wrk: &Series) -> Self {
        Self {
            name: format!("{name} (published, scaled by wrk)"),
            kind: Kind::Published,
            peer: None,
            cpu_per_million: wrk.map(|wrk| wrk * cpu_per_million / PUBLISHED_WRK),
            rate: None,
            peak_memory: None,
        }
    }
}

fn section(mut rows: Vec<Row>) -> Section {
    let of = |rows: &[Row], peer| -> Option<Series> {
        rows.iter().find(|row| row.peer == Some(peer)).map(|row| row.cpu_per_million.clone())
    };
    let ours = rows.first().map(|row| row.cpu_per_million.clone()).unwrap_or_default();
    let wrk = of(&rows, Peer::Wrk).unwrap_or_default();
    // Fewer CPU seconds per request are more requests per CPU second.
    let multiple = |theirs: &Series| theirs.over(&ours);
    let finding = |name: &str, multiples: &Series, asked: f64| {
        let range = multiples.range();
        let write = |value: f64| match range {
            Some(range) => format!("{value:.2}x ({:.2} to {:.2})", range.low, range.high),
            None => format!("{value:.2}x"),
        };
        let figure = format!("closed loop, requests per generator CPU-second beside {name}");
        Finding::new(figure, multiples.median(), write, format!("at least {asked}x"), |value| value >= asked)
    };
    let mut findings: Vec<Finding> = ASKED
        .iter()
        .map(|&(peer, asked)| finding(peer.name(), &multiple(&of(&rows, peer).unwrap_or_default()), asked))
        .collect();
    for (name, cpu_per_million, asked) in PUBLISHED {
        let row = Row::published(name, cpu_per_million, &wrk);
        findings.push(finding(&row.name, &multiple(&row.cpu_per_million), asked));
        rows.push(row);
    }
    rows.sort_by(|a, b| order(a).total_cmp(&order(b)));
    let mut table = Table::new(&[
        "tool",
        "CPU seconds per million requests",
        "requests/s",
        "peak memory",
        "requests per CPU-second beside wrk",
    ]);
    for row in &rows {
        let beside = wrk.over(&row.cpu_per_million).median();
        table.row([
            row.name.clone(),
            figure(row.cpu_per_million.median(), |value| format!("{value:.2}")),
            figure(row.rate, grouped),
            figure(row.peak_memory, megabytes),
            figure(beside, |value| format!("{value:.2}x")),
        ]);
    }
    let bars = rows.iter().filter_map(|row| {
        let value = row.cpu_per_million.median()?;
        Some(Bar { name: row.name.clone(), value, label: format!("{value:.1} s"), kind: row.kind })
    });
    let chart = Chart {
        title: "CPU seconds per million requests, closed loop",
        file: "bench-cpu.svg",
        bars: bars.collect(),
    };
    let text = format!(
        "nginx answers `hello`; {CONNECTIONS} connections, one core for the tool. Ours has everything on: two objectives,\n\
         `/metrics` scraped each second, history, JSON result; start and end are in its CPU time.\n\n{}",
        table.markdown()
    );
    Section { findings, text, charts: vec![chart] }
}

/// Cheapest first, those without a figure last.
fn order(row: &Row) -> f64 {
    row.cpu_per_million.median().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::Verdict;

    fn row(name: &str, peer: Option<Peer>, cpu: &[f64]) -> Row {
        Row {
            name: name.to_owned(),
            kind: if peer.is_none() { Kind::Ours } else { Kind::Measured },
            peer,
            cpu_per_million: cpu.iter().copied().map(Some).collect(),
            rate: Some(120_000.0),
            peak_memory: Some(5e6),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_published_figures_are_scaled_and_marked() {
        let rows = vec![
            row("plimsoll", None, &[8.0, 10.0, 8.0]),
            row("wrk", Some(Peer::Wrk), &[8.2, 8.2, 8.2]),
            row("oha", Some(Peer::Oha), &[8.0, 10.0, 8.0]),
        ];
        let section = section(rows);
        let verdicts: Vec<(&str, Verdict)> =
            section.findings.iter().map(|finding| (finding.found.as_str(), finding.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                ("1.02x (0.82 to 1.02)", Verdict::Met),
                ("1.00x (1.00 to 1.00)", Verdict::Missed),
                ("–", Verdict::NotMeasured),
                ("4.50x (3.60 to 4.50)", Verdict::Met),
                ("8.62x (6.90 to 8.62)", Verdict::Met),
            ]
        );
        assert!(
            section.text.ends_with(
                "| plimsoll | 8.00 | 120,000 | 5.0 MB | 1.02x |\n\
             | oha | 8.00 | 120,000 | 5.0 MB | 1.02x |\n\
             | wrk | 8.20 | 120,000 | 5.0 MB | 1.00x |\n\
             | vegeta (published, scaled by wrk) | 36.00 | – | – | 0.23x |\n\
             | k6 (published, scaled by wrk) | 69.00 | – | – | 0.12x |\n"
            ),
            "{}",
            section.text
        );
        assert_eq!(section.charts[0].bars.len(), 5);
    }

    #[test]
    fn without_wrk_nothing_is_made_up() {
        let section = section(vec![row("plimsoll", None, &[8.0])]);
        assert!(section.findings.iter().all(|finding| finding.verdict == Verdict::NotMeasured));
        assert!(section.text.contains("| k6 (published, scaled by wrk) | – | – | – | – |"));
        assert_eq!(section.charts[0].bars.len(), 1);
    }
}
