//! Whether exporting disturbs what is measured: schedule lag with all sinks, of which one hangs and
//! one answers that it cannot, beside a run with none.

use std::time::Duration;

use super::cost::SINKS;
use super::queue::remove_folder;
use super::{Bench, Finding, Section};
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, time};
use crate::sink_server::{self, Behaviour};

const RATE: u32 = 5_000;
/// How much worse the lag may be.
const MOST: f64 = 1.1;
const LATENCY: &str = "lognormal:2ms,7350us";

/// What the sinks find, in the order of [`SINKS`].
const BEHAVIOURS: [Behaviour; SINKS.len()] = [Behaviour::Hangs, Behaviour::IsOverloaded, Behaviour::Takes];

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let target = bench.programs.target(LATENCY)?;
    let spool = bench.programs.folder.join("spool");
    let mut sinks = String::new();
    for ((sink, settings), behaviour) in SINKS.into_iter().zip(BEHAVIOURS) {
        let url = format!("http://{}", sink_server::start(behaviour)?);
        sinks += &format!("  {sink}: {}\n", settings.replace("{url}", &url));
    }
    let all = format!("export:\n{sinks}  spool: {{ directory: {:?} }}\n", spool.display().to_string());
    // The lag of a second that is not over yet is that of starting.
    let seconds = bench.seconds.max(5);
    let plan = format!(
        "name: bench\ntarget: {}\nload:\n  model: open\n  grace: 5s\n  stages:\n    - {{ hold: {RATE}/s, for: {seconds}s }}\n\
         scenarios: [{{ name: bench, steps: [{{ name: home, get: / }}] }}]\n",
        target.url()
    );
    let rows = interleave(bench.rounds, &["all sinks", "no sink"], |side| {
        let export = if *side == "all sinks" { all.as_str() } else { "" };
        let ran =
            bench.programs.run(&format!("{plan}{export}"), Duration::from_secs(seconds.into()), |_, _| {})?;
        remove_folder(&spool)?;
        let lag = |name| ran.number(&format!("/validity/schedule_lag/{name}"));
        Ok([lag("p50")?, lag("p99")?, lag("p99_9")?])
    })?;
    let quantile = |side: usize, quantile: usize| -> Series {
        rows[side].iter().map(|lag: &[f64; 3]| Some(lag[quantile])).collect()
    };
    let sides = [0, 1].map(|side| [0, 1, 2].map(|at| quantile(side, at)));
    Ok(section(&sides))
}

fn section([all, none]: &[[Series; 3]; 2]) -> Section {
    let ratio = all[1].over(&none[1]);
    let range = ratio.range().map(|range| format!(" ({:.2}x to {:.2}x)", range.low, range.high));
    let finding = Finding::new(
        format!("schedule lag p99 at {RATE}/s, all sinks beside none"),
        ratio.median(),
        |ratio| format!("{ratio:.2}x{}", range.clone().unwrap_or_default()),
        format!("at most {MOST}x"),
        |ratio| ratio <= MOST,
    );
    let mut table = Table::new(&["side", "p50", "p99", "p99.9"]);
    for (name, side) in [("all sinks", all), ("no sink", none)] {
        let cells = side.iter().map(|series| figure(series.median(), time));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    let text = format!(
        "{RATE}/s, one worker, everything of the generator on one core, the sinks' senders included. `influxdb` is a server\n\
         that never answers, `remote_write` one that answers 503, `otlp` one that takes everything; what they do not take\n\
         waits on disk. Medians of the rounds.\n\n{}",
        table.markdown()
    );
    Section { findings: vec![finding], text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::finding::Verdict;

    #[test]
    fn the_ratio_is_that_within_a_round() {
        let series = |values: [f64; 3]| values.into_iter().map(Some).collect::<Series>();
        let side = |p99| [series([1e-6; 3]), series(p99), series([9e-4; 3])];
        let found = section(&[side([21e-6, 44e-6, 21e-6]), side([20e-6, 40e-6, 20e-6])]);
        assert_eq!(found.findings[0].found, "1.05x (1.05x to 1.10x)");
        assert_eq!(found.findings[0].verdict, Verdict::Met);
        assert!(
            found
                .text
                .ends_with("| all sinks | 1 µs | 21 µs | 900 µs |\n| no sink | 1 µs | 20 µs | 900 µs |\n")
        );
        let worse = section(&[side([30e-6; 3]), side([20e-6; 3])]);
        assert_eq!(worse.findings[0].verdict, Verdict::Missed);
    }
}
