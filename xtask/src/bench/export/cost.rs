//! CPU time of encoding, keeping on disk and sending, as a share of a core.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Bench, Finding, Section};
use crate::bench::GENERATOR_CORE;
use crate::bench::process::{pinned, run};
use crate::bench::quantiles::number;
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure};
use crate::sink_server::{self, Behaviour};

/// Series of a second.
const SERIES: u32 = 10_000;
/// Seconds of a round: enough that starting does not matter.
const SECONDS: u32 = 10;
/// The share of a core that is allowed.
const MOST: f64 = 0.05;
const LONGEST: Duration = Duration::from_secs(300);

/// The sinks and what a plan says about them; `{url}` is the server's.
pub(super) const SINKS: [(&str, &str); 3] = [INFLUXDB, REMOTE_WRITE, OTLP];

const INFLUXDB: (&str, &str) = ("influxdb", "{ url: \"{url}\", org: o, bucket: b }");
const REMOTE_WRITE: (&str, &str) = ("remote_write", "{ url: \"{url}/api/v1/write\", version: 1 }");
/// A histogram is one series.
const NATIVE: (&str, &str) =
    ("remote_write", "{ url: \"{url}/api/v1/write\", version: 1, histograms: native }");
const OTLP: (&str, &str) = ("otlp", "{ url: \"{url}\" }");

/// What is measured: its name, the share that is asked, the sink and its settings.
const ROWS: [(&str, Option<f64>, (&str, &str)); 4] = [
    ("line protocol", Some(MOST), INFLUXDB),
    ("remote write, native histograms", Some(MOST), NATIVE),
    ("remote write, native and classic histograms", Some(MOST), REMOTE_WRITE),
    ("OTLP, exponential histograms", None, OTLP),
];

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let url = format!("http://{}", sink_server::start(Behaviour::Takes)?);
    let mut shares = Vec::new();
    for (name, most, (sink, settings)) in ROWS {
        let settings = settings.replace("{url}", &url);
        let measured = interleave(bench.rounds, &[sink], |_| Ok(Some(share(bench, sink, &settings)?)));
        shares.push((name, most, measured.map(|rows| rows.into_iter().flatten().collect())));
    }
    Ok(section(&shares))
}

/// The share of a core that one round took.
fn share(bench: &Bench, sink: &str, settings: &str) -> anyhow::Result<f64> {
    let plan = bench.programs.folder.join("sending.yaml");
    std::fs::write(
        &plan,
        format!(
            "name: bench\ntarget: http://127.0.0.1:1\nload:\n  model: open\n  stages: [{{ hold: 1/s, for: 1s }}]\n\
         scenarios: [{{ name: bench, steps: [{{ name: home, get: / }}] }}]\nexport:\n  {sink}: {settings}\n"
        ),
    )?;
    let mut command = pinned(GENERATOR_CORE, &bench.programs.example("sending"));
    command.arg(&plan).args([SERIES.to_string(), SECONDS.to_string()]);
    let output = run(&mut command, &bench.programs.folder, LONGEST, |_, _| {})?.well()?.output;
    let told: Value = serde_json::from_str(&output).with_context(|| format!("it told {output}"))?;
    if told["sink"] != sink {
        bail!("it measured {}", told["sink"]);
    }
    let [series, seconds, cpu] = ["/series", "/seconds", "/cpu_seconds"].map(|name| number(&told, name));
    let points = series.zip(seconds).map(|(series, seconds)| series * seconds);
    let each = cpu.zip(points).map(|(cpu, points)| cpu / points).context("it told no figures")?;
    Ok(each * f64::from(SERIES))
}

fn section(shares: &[(&str, Option<f64>, anyhow::Result<Series>)]) -> Section {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let mut table = Table::new(&["sink", "share of a core"]);
    let mut findings = Vec::new();
    for (row, most, series) in shares {
        let name = format!("encoding and sending 10,000 series a second, {row}");
        let series = match series {
            Ok(series) => series,
            Err(error) => {
                findings.push(Finding::not_measured(name, error));
                continue;
            }
        };
        let range =
            series.range().map(|range| format!(" ({} to {})", percent(range.low), percent(range.high)));
        let found = figure(series.median(), percent) + &range.unwrap_or_default();
        table.row([(*row).to_owned(), found.clone()]);
        if let Some(most) = *most {
            let asked = format!("under {:.0}%", most * 100.0);
            let meets = |share| share < most;
            findings.push(Finding::new(name, series.median(), |_| found.clone(), asked, meets));
        }
    }
    let text = format!(
        "The exporters' example `sending` in a release build: seconds of a run with 10,000 series, about half of them\n\
         histograms, encoded, appended to a queue on disk, read from it, sent to a server on the other core that takes\n\
         everything, and settled. User and system time of the process, by seconds and series. With classic histograms a\n\
         histogram is 23 series of Prometheus, so the same seconds are some 130,000 of them.\n\n{}",
        table.markdown()
    );
    Section { findings, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::finding::Verdict;

    #[test]
    fn each_sink_is_judged_by_itself() {
        let series = |share: f64| Ok([Some(share)].into_iter().collect::<Series>());
        let shares = [
            ("influxdb", Some(MOST), series(0.03)),
            ("remote_write", Some(MOST), Err(anyhow::anyhow!("no such key"))),
            ("otlp", None, series(0.2)),
        ];
        let section = section(&shares);
        let verdicts: Vec<Verdict> = section.findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Met, Verdict::NotMeasured]);
        assert!(
            section.text.ends_with("| influxdb | 3.0% (3.0% to 3.0%) |\n| otlp | 20.0% (20.0% to 20.0%) |\n")
        );
    }
}
