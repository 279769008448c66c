//! What measuring, judging, exporting and recording cost: a run with everything on beside the engine
//! alone.
//!
//! The engine alone is the driver's example `closed_loop`, built like a release: no objectives, no
//! windows, no export, no history, no view, no result. It still fills its histograms, which cannot be
//! turned off; so what they cost is on both sides, and only their being put together is on one.

use std::time::Duration;

use super::{Bench, Finding, Section};
use crate::bench::nginx::Nginx;
use crate::bench::programs::{HOME, Plan};
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure};

/// More than these are asked of the engine alone for each second that the other side has.
const REQUESTS_PER_SECOND: u64 = 100_000;
/// The share that is allowed.
const MOST: f64 = 0.05;
/// The side with everything on runs longer than in other parts: its start and end belong to a run and
/// would outweigh a short one.
const LONGER: u32 = 2;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let nginx = Nginx::start(&bench.programs.folder)?;
    let (url, seconds) = (nginx.url(), bench.seconds * LONGER);
    let load =
        format!("  model: closed\n  grace: 1s\n  stages:\n    - {{ hold: 64 users, for: {seconds}s }}");
    let plan = Plan { target: &url, load: &load, http: "{}", steps: HOME };
    let address = url.trim_start_matches("http://");
    let rows = interleave(bench.rounds, &["everything on", "engine alone"], |side| {
        if *side == "everything on" {
            let ran = bench.programs.run_whole(&plan, Duration::from_secs(seconds.into()))?;
            return Ok(Some(ran.cost.cpu_seconds / ran.succeeded()? * 1e6));
        }
        let requests = REQUESTS_PER_SECOND * u64::from(seconds);
        Ok(Some(bench.programs.run_alone(address, requests)?.cpu_seconds / requests as f64 * 1e6))
    })?;
    let [whole, alone]: [Series; 2] =
        [0, 1].map(|side| rows.get(side).into_iter().flatten().copied().collect());
    Ok(section(&whole, &alone))
}

fn section(whole: &Series, alone: &Series) -> Section {
    let shares = whole.over(alone).map(|ratio| ratio - 1.0);
    let range = shares.range();
    let write = |share: f64| match range {
        Some(range) => {
            format!("{:.1}% ({:.1}% to {:.1}%)", share * 100.0, range.low * 100.0, range.high * 100.0)
        }
        None => format!("{:.1}%", share * 100.0),
    };
    let finding = Finding::new(
        "what judging, exporting and recording add to the engine alone",
        shares.median(),
        write,
        format!("under {:.0}%", MOST * 100.0),
        |share| share < MOST,
    );
    let mut table = Table::new(&["side", "CPU seconds per million requests"]);
    for (name, series) in [("everything on", whole), ("engine alone", alone)] {
        table.row([name.to_owned(), figure(series.median(), |value| format!("{value:.2}"))]);
    }
    let text = format!(
        "The engine alone is the driver's example `closed_loop` in a release build: no judging, export, history, view\n\
         or result. Its histograms and the offsets of each request cannot be turned off and are on both sides.\n\n{}",
        table.markdown()
    );
    Section { findings: vec![finding], text, charts: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::Verdict;

    #[test]
    fn the_share_is_that_within_a_round() {
        let series = |values: [f64; 3]| values.into_iter().map(Some).collect::<Series>();
        let section = section(&series([10.2, 10.4, 11.0]), &series([10.0, 10.0, 10.0]));
        assert_eq!(section.findings[0].found, "4.0% (2.0% to 10.0%)");
        assert_eq!(section.findings[0].verdict, Verdict::Met);
        assert!(section.text.ends_with("| everything on | 10.40 |\n| engine alone | 10.00 |\n"));
    }
}
