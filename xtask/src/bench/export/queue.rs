//! How fast the queue on disk takes what waits beside the disk itself, and what taking up a backlog costs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::{Bench, Finding, Section};
use crate::bench::GENERATOR_CORE;
use crate::bench::process::{Finished, pinned, run};
use crate::bench::programs::{Programs, remove};
use crate::bench::quantiles::number;
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, megabytes};

/// Written by each side in each round.
const ROUND_BYTES: u64 = 512 << 20;
/// What is taken up.
const BACKLOG_BYTES: u64 = 1_000_000_000;
/// Enough for anybody, in bytes per second.
const FAST: f64 = 200e6;
/// The most memory that taking up may need.
const MOST_MEMORY: f64 = 64e6;
const LONGEST: Duration = Duration::from_secs(600);

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let [file, folder] = ["disk.bin", "queue"].map(|name| bench.programs.folder.join(name));
    let rows = interleave(bench.rounds, &["the disk", "the queue"], |side| {
        let (what, path) = if *side == "the disk" { ("write", &file) } else { ("append", &folder) };
        let rate = rate(&example(&bench.programs, &[what, &path_text(path)?, &ROUND_BYTES.to_string()])?)?;
        remove(&file)?;
        remove_folder(&folder)?;
        Ok(Some(rate))
    })?;
    let [disk, queue]: [Series; 2] =
        [0, 1].map(|side| rows.get(side).into_iter().flatten().copied().collect());
    let append = ["append", &path_text(&folder)?, &BACKLOG_BYTES.to_string()];
    example(&bench.programs, &append)?;
    let recovered = example(&bench.programs, &["recover", &path_text(&folder)?]);
    remove_folder(&folder)?;
    let recovered = recovered?;
    Ok(section(&disk, &queue, rate(&recovered)?, recovered.peak_memory as f64))
}

fn section(disk: &Series, queue: &Series, recovered: f64, memory: f64) -> Section {
    let rate = |rate: f64| format!("{:.0} MB/s", rate / 1e6);
    let ranged = |series: &Series| {
        let range =
            series.range().map(|range| format!(" ({:.0} to {:.0})", range.low / 1e6, range.high / 1e6));
        figure(series.median(), rate) + &range.unwrap_or_default()
    };
    let least = disk.median().map_or(FAST, |disk| disk.min(FAST));
    let takes = Finding::new(
        "what the queue on disk takes",
        queue.median(),
        |_| ranged(queue),
        format!("at least {} or the disk's rate, here {}", rate(FAST), rate(least)),
        |found| found >= least,
    );
    let needs = Finding::new(
        "peak memory of a process that takes up a backlog of 1 GB",
        Some(memory),
        megabytes,
        format!("at most {}", megabytes(MOST_MEMORY)),
        |found| found <= MOST_MEMORY,
    );
    let mut table = Table::new(&["side", "rate"]);
    table.row(["one file, blocks of 1 MiB, one sync at the end".to_owned(), ranged(disk)]);
    table.row(["the queue, reports of 1 MiB in 16 pieces, a sync each second".to_owned(), ranged(queue)]);
    table.row(["taking up 1 GB: opened, read, settled, removed".to_owned(), rate(recovered)]);
    let text = format!(
        "Both write {} a round with a core to themselves, and end with what was written on the disk. What is taken up was\n\
         written just before, so most of it is read from the system's memory.\n\n{}",
        megabytes(ROUND_BYTES as f64),
        table.markdown()
    );
    Section { findings: vec![takes, needs], text }
}

fn example(programs: &Programs, arguments: &[&str]) -> anyhow::Result<Finished> {
    let mut command = pinned(GENERATOR_CORE, &programs.example("spool"));
    run(command.args(arguments), &programs.folder, LONGEST, |_, _| {})?.well()
}

/// Bytes per second that the example told.
fn rate(finished: &Finished) -> anyhow::Result<f64> {
    let told: Value = serde_json::from_str(&finished.output)?;
    let told = |name| number(&told, name).with_context(|| format!("{} tells no {name}", finished.output));
    Ok(told("/bytes")? / told("/seconds")?)
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("the target folder's name is no text")?.to_owned())
}

pub(super) fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::finding::Verdict;

    #[test]
    fn a_slow_disk_excuses_a_slow_queue_and_nothing_else_does() {
        for (disk, queue, verdict) in [
            (900e6, 250e6, Verdict::Met),
            (900e6, 190e6, Verdict::Missed),
            (150e6, 151e6, Verdict::Met),
            (150e6, 149e6, Verdict::Missed),
        ] {
            let [disk, queue] = [disk, queue].map(|rate| [Some(rate)].into_iter().collect::<Series>());
            let section = section(&disk, &queue, 1e9, 5e6);
            assert_eq!(section.findings[0].verdict, verdict);
            assert_eq!(section.findings[1].verdict, Verdict::Met);
        }
    }
}
