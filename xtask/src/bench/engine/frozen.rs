//! A target that answers nothing for 2 s in every 10, at a fixed rate.
//!
//! Arrivals are due at a rate r whatever the target does. One that is due x seconds into a freeze of F
//! seconds can be answered at its end at the earliest, F - x later. So of the arrivals of a period of
//! T seconds a share (F - y) / T takes longer than y, for any y up to F, and all others take the few
//! milliseconds of a target that is not frozen. The percentile p99 is the y that 1% takes longer than:
//!
//! ```text
//! (F - y) / T = 0.01    y = F - 0.01 T = 2 s - 0.1 s = 1.9 s
//! ```
//!
//! After the freeze the backlog of r F requests is served at the target's own rate c, about twelve times
//! r here, which stretches the share to (F - y) / (T (1 - r / c)) and adds 0.01 T r / c, 8 ms or 0.4% to
//! the percentile: within what is allowed, and left out.

use std::time::Duration;

use anyhow::Context;

use super::{Bench, Finding, Section};
use crate::bench::peers::{FixedRate, Open};
use crate::bench::programs::{HOME, Plan, Target};
use crate::bench::quantiles::of_json;
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, grouped, time};

use super::open::Side;

const RATE: u32 = 5_000;
/// The period and the length of the run, in seconds: one freeze.
const PERIOD: u32 = 10;
const FREEZE: u64 = 2;
/// When the freeze begins, in seconds: any moment that leaves it within the run.
const BEGIN: Duration = Duration::from_secs(4);
/// Connections of the peers. Ours opens another when none is idle.
const CONNECTIONS: u32 = 100;
/// p99 may be off by this share.
const ALLOWED: f64 = 0.02;

/// What a side said and took in a round.
#[derive(Debug, Clone, Copy)]
struct Round {
    p99: Option<f64>,
    offered: f64,
    peak_memory: f64,
}

/// The percentile of the schedule, in seconds.
fn theory() -> f64 {
    FREEZE as f64 - 0.01 * f64::from(PERIOD)
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let target = bench.programs.target("none")?;
    let url = target.url();
    let load = format!("  model: open\n  grace: 5s\n  stages:\n    - {{ hold: {RATE}/s, for: {PERIOD}s }}");
    let plan = Plan { target: &url, load: &load, http: "{}", steps: HOME };
    let open = Open { url: &url, rate: RATE, connections: CONNECTIONS, seconds: PERIOD };
    let offer = |side: &Side<'_>| {
        target.forget()?;
        let measured = while_frozen(&target, || match side {
            Side::Ours => {
                let ran = bench.programs.run_whole(&plan, Duration::from_secs(PERIOD.into()))?;
                let offered = ran.number("/totals/requests")?;
                let p99 = of_json(&ran.json, "/response_time")[2];
                Ok(Round { p99, offered, peak_memory: ran.cost.peak_memory as f64 })
            }
            Side::Peer(way, found) => {
                let (told, cost) = found.open(*way, &open, folder)?;
                let (p99, offered) = (told.response_time[2], told.requests.succeeded);
                Ok(Round { p99, offered, peak_memory: cost.peak_memory as f64 })
            }
        });
        match (side, measured) {
            (Side::Peer(..), Err(error)) => {
                println!("!!! {side}: this round of it is left out: {error:#}");
                Ok(None)
            }
            (_, measured) => measured.map(Some),
        }
    };
    // Those that time from when a request was sent miss the freeze by three orders of magnitude, which
    // one round shows.
    let sees = |side: &Side<'_>| matches!(side, Side::Ours | Side::Peer(FixedRate::OhaCorrected, _));
    let (mut sides, others): (Vec<_>, Vec<_>) = Side::all(&bench.peers).into_iter().partition(sees);
    let mut rows = interleave(bench.rounds, &sides, offer)?;
    rows.extend(interleave(1, &others, offer)?);
    sides.extend(others);
    let mut table = Table::new(&["tool", "p99", "of the theoretical 1.9 s", "requests", "peak memory"]);
    let mut findings = Vec::new();
    for (side, rounds) in sides.iter().zip(&rows) {
        let part = |part: fn(&Round) -> Option<f64>| -> Series {
            rounds.iter().map(|round| part(round.as_ref()?)).collect()
        };
        let p99 = part(|round| round.p99).median();
        table.row([
            side.to_string(),
            figure(p99, time),
            figure(p99, |p99| format!("{:.1}%", p99 / theory() * 100.0)),
            figure(part(|round| Some(round.offered)).median(), grouped),
            figure(part(|round| Some(round.peak_memory)).median(), crate::bench::table::megabytes),
        ]);
        if matches!(side, Side::Ours) {
            findings.push(finding(p99));
        }
    }
    let text = format!(
        "{RATE}/s for {PERIOD} s, of which the target answers nothing for {FREEZE} s: {} requests are due, and 1% of all\n\
         arrivals waits longer than {FREEZE} s - 1% of {PERIOD} s = {:.1} s. Tools that time from when a request was sent\n\
         ran once, the others in every round.\n\n{}",
        grouped(f64::from(RATE * PERIOD)),
        theory(),
        table.markdown()
    );
    Ok(Section { findings, text, charts: Vec::new() })
}

/// Freezes the target in the midst of what is measured.
fn while_frozen<T>(target: &Target, measure: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let freezer = scope.spawn(|| {
            std::thread::sleep(BEGIN);
            target.freeze(FREEZE)
        });
        let measured = measure();
        freezer.join().ok().context("the freezer panicked")??;
        measured
    })
}

fn finding(p99: Option<f64>) -> Finding {
    Finding::new(
        format!(
            "target frozen {FREEZE} s in every {PERIOD}, open loop: p99 beside the theoretical {:.1} s",
            theory()
        ),
        p99.map(|p99| p99 / theory() - 1.0),
        |off| format!("{:+.1}%", off * 100.0),
        format!("within {:.0}%", ALLOWED * 100.0),
        |off| off.abs() <= ALLOWED,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::Verdict;

    #[test]
    fn the_theory_is_what_the_schedule_counts_out() {
        // Every arrival of a period, one by one, with a target that answers at once or at the thaw.
        let freeze = 4.0..6.0;
        let due = (0..RATE * PERIOD).map(|n| f64::from(n) / f64::from(RATE));
        let mut times: Vec<f64> =
            due.map(|due| if freeze.contains(&due) { freeze.end - due } else { 0.0 }).collect();
        times.sort_by(f64::total_cmp);
        let p99 = times[times.len() * 99 / 100 - 1];
        assert!((p99 - theory()).abs() < 0.001, "{p99}");
    }

    #[test]
    fn two_percent_are_allowed() {
        for (p99, verdict) in [
            (Some(1.9), Verdict::Met),
            (Some(1.937), Verdict::Met),
            (Some(1.94), Verdict::Missed),
            (Some(0.008), Verdict::Missed),
            (None, Verdict::NotMeasured),
        ] {
            assert_eq!(finding(p99).verdict, verdict, "{p99:?}");
        }
    }
}
