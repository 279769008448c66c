//! A fixed rate against targets whose latency is known: are the percentiles true, do arrivals leave when
//! they are due, and what does it cost.
//!
//! The target records each request by itself, from the parsed head to the last write. Every tool is set
//! against the record of its own requests, so the luck of the draw is on both sides of the difference. A
//! true figure is a little above the record: by a write and a read of a socket on each side and the
//! waking of a core that slept. That floor is measured by one connection that has one request at a time,
//! and shown; it is never subtracted.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;

use super::{Bench, Finding, Section, floor};
use crate::bench::chart::{Bar, Chart, Kind};
use crate::bench::peers::{FixedRate, Found, Open};
use crate::bench::programs::{HOME, Plan};
use crate::bench::quantiles::{Percentiles, QUANTILES, number, of_json};
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, grouped, signed_time, time};

const RATE: u32 = 5_000;
/// Connections of the peers, enough for every latency here. Ours opens another when none is idle.
const CONNECTIONS: u32 = 100;

/// What the target's latency is distributed like.
const LATENCIES: [(&str, &str); 3] = [
    ("log-normal", "lognormal:2ms,7350us"),
    ("bimodal", "bimodal:2ms,50ms,2%"),
    ("heavy tail", "pareto:2ms,20ms"),
];

/// A percentile may differ from the target's own by this share of it ...
const ALLOWED_SHARE: f64 = 0.01;
/// ... and this many seconds.
const ALLOWED_SECONDS: f64 = 100e-6;

/// CPU seconds per million requests.
const MOST_CPU: f64 = 45.0;
/// Schedule lag at p99 and p99.9, in seconds.
const MOST_LAG: [f64; 2] = [100e-6, 500e-6];
/// Gaps between arrivals as the target sees them, in seconds: what is due, how far p50 may be from it,
/// and the most at p99.
const GAP: f64 = 200e-6;
const GAP_SLACK: f64 = 5e-6;
const MOST_GAP: f64 = 300e-6;

/// Requests per second that a peer has to offer to be compared with.
const LEAST_RATE: f64 = 0.98 * RATE as f64;

/// Who offers a fixed rate.
pub(super) enum Side<'a> {
    Ours,
    Peer(FixedRate, &'a Found),
}

impl<'a> Side<'a> {
    pub(super) fn all(found: &'a [Found]) -> Vec<Self> {
        let peers = FixedRate::ALL.into_iter().filter_map(|way| Some(Self::Peer(way, way.among(found)?)));
        std::iter::once(Self::Ours).chain(peers).collect()
    }
}

impl fmt::Display for Side<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => formatter.pad("plimsoll"),
            Self::Peer(way, _) => way.fmt(formatter),
        }
    }
}

/// What a side said in a round, and what the target has to say about it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Round {
    told: Percentiles,
    record: Percentiles,
    /// Requests per second that the target saw.
    rate: f64,
    cpu_per_million: f64,
    /// p50 and p99 of the gaps between arrivals.
    gaps: [Option<f64>; 2],
    /// p50, p99 and p99.9 of ours.
    lag: [Option<f64>; 3],
}

impl Round {
    /// How far a percentile is above the record's, in seconds.
    fn error(&self, quantile: usize) -> Option<f64> {
        Some(self.told[quantile]? - self.record[quantile]?)
    }

    /// The same in shares of what is allowed.
    fn deviation(&self, quantile: usize) -> Option<f64> {
        let allowed = self.record[quantile]? * ALLOWED_SHARE + ALLOWED_SECONDS;
        Some(self.error(quantile)?.abs() / allowed)
    }
}

/// A side with its rounds; one that failed is left out.
#[derive(Debug)]
struct Row {
    name: String,
    rounds: Vec<Option<Round>>,
}

impl Row {
    fn series(&self, part: impl Fn(&Round) -> Option<f64>) -> Series {
        self.rounds.iter().map(|round| part(round.as_ref()?)).collect()
    }

    fn rate(&self) -> Option<f64> {
        self.series(|round| Some(round.rate)).median()
    }

    fn errors(&self, quantile: usize) -> Series {
        self.series(|round| round.error(quantile))
    }
}

/// All sides against one latency. The first is ours, and the last is the floor.
#[derive(Debug)]
struct Case {
    latency: &'static str,
    model: &'static str,
    rows: Vec<Row>,
    floor: Vec<floor::Floor>,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let mut section = Section::default();
    for (latency, model) in LATENCIES {
        println!("  {latency} ({model})");
        let case = Case::measure(bench, latency, model)?;
        section.text += &case.text();
        section.findings.extend(case.findings());
        if latency == "log-normal" {
            section.charts.push(case.chart());
        }
    }
    Ok(section)
}

impl Case {
    fn measure(bench: &Bench, latency: &'static str, model: &'static str) -> anyhow::Result<Self> {
        let folder = &bench.programs.folder;
        let target = bench.programs.target(model)?;
        let (url, seconds) = (target.url(), bench.seconds);
        let load =
            format!("  model: open\n  grace: 5s\n  stages:\n    - {{ hold: {RATE}/s, for: {seconds}s }}");
        let plan = Plan { target: &url, load: &load, http: "{}", steps: HOME };
        let open = Open { url: &url, rate: RATE, connections: CONNECTIONS, seconds };
        let sides = Side::all(&bench.peers);
        let rounds = interleave(bench.rounds, &sides, |side| {
            target.forget()?;
            let mut lag = [None; 3];
            let (told, requests, cpu_seconds) = match side {
                Side::Ours => {
                    let ran = bench.programs.run_whole(&plan, Duration::from_secs(seconds.into()))?;
                    let requests = ran.succeeded()?;
                    let [p50, _, p99, p99_9] = of_json(&ran.json, "/validity/schedule_lag");
                    lag = [p50, p99, p99_9];
                    (of_json(&ran.json, "/response_time"), requests, ran.cost.cpu_seconds)
                }
                Side::Peer(way, found) => match found.open(*way, &open, folder) {
                    Ok((told, cost)) => (told.response_time, told.requests.succeeded, cost.cpu_seconds),
                    Err(error) => {
                        println!("!!! {side}: this round of it is left out: {error:#}");
                        return Ok(None);
                    }
                },
            };
            let record = target.record()?;
            let seen = number(&record, "/access_count").unwrap_or_default();
            let is_ours = matches!(side, Side::Ours);
            ensure!(!is_ours || seen == requests, "{requests} requests were sent and {seen} were seen");
            let [gap_p50, _, gap_p99, _] = of_json(&record, "/arrival_gap");
            Ok(Some(Round {
                told,
                record: of_json(&record, "/latency"),
                rate: seen / f64::from(seconds),
                cpu_per_million: cpu_seconds / requests.max(1.0) * 1e6,
                gaps: [gap_p50, gap_p99],
                lag,
            }))
        })?;
        let rows = sides.iter().zip(rounds).map(|(side, rounds)| Row { name: side.to_string(), rounds });
        let rows = rows.collect();
        let floor = (0..bench.rounds).map(|_| floor::measure(&target)).collect::<Result<_, _>>()?;
        Ok(Self { latency, model, rows, floor })
    }

    fn ours(&self) -> &Row {
        &self.rows[0]
    }

    fn text(&self) -> String {
        let mut heading = vec!["tool"];
        heading.extend(QUANTILES.map(|(_, name)| name));
        heading.extend(["requests/s", "CPU s per million", "arrival gap p50", "p99"]);
        let mut table = Table::new(&heading);
        let mut record = vec!["the target's own record".to_owned()];
        record.extend(
            (0..QUANTILES.len())
                .map(|quantile| figure(self.ours().series(|round| round.record[quantile]).median(), time)),
        );
        table.row(record);
        let floor = |quantile: usize| {
            let errors: Series = self.floor.iter().map(|floor| floor.error(quantile)).collect();
            figure(errors.median(), signed_time)
        };
        let mut cells = vec!["loopback floor".to_owned()];
        cells.extend((0..QUANTILES.len()).map(floor));
        table.row(cells);
        for row in &self.rows {
            let mut cells = vec![row.name.clone()];
            cells.extend((0..QUANTILES.len()).map(|quantile| row.error_cell(quantile)));
            cells.push(figure(row.rate(), grouped));
            cells.push(figure(row.series(|round| Some(round.cpu_per_million)).median(), |cpu| {
                format!("{cpu:.1}")
            }));
            cells.extend([0, 1].map(|index| figure(row.series(|round| round.gaps[index]).median(), time)));
            table.row(cells);
        }
        let lag = |index: usize| figure(self.ours().series(|round| round.lag[index]).median(), time);
        format!(
            "{}, `--latency {}`, {RATE}/s. How far each tool's percentiles are from the target's record of the same\n\
             requests: the median of the rounds, and in brackets how far the rounds are apart.\n\n{}\n\
             Schedule lag of ours: p50 {}, p99 {}, p99.9 {}.\n\n",
            capitalized(self.latency),
            self.model,
            table.markdown(),
            lag(0),
            lag(1),
            lag(2)
        )
    }

    fn findings(&self) -> Vec<Finding> {
        let ours = self.ours();
        let worst = (0..QUANTILES.len())
            .map(|quantile| ours.series(|round| round.deviation(quantile)).median())
            .collect::<Option<Vec<f64>>>()
            .and_then(|all| all.into_iter().reduce(f64::max));
        let mut findings = vec![
            Finding::new(
                format!("open loop at {RATE}/s, {}: p50 to p99.9 beside the target's record", self.latency),
                worst,
                |worst| format!("off by at most {:.0}% of what is allowed", worst * 100.0),
                format!("{:.0}% + {}", ALLOWED_SHARE * 100.0, time(ALLOWED_SECONDS)),
                |worst| worst <= 1.0,
            ),
            self.nearest(),
        ];
        if self.latency == LATENCIES[0].0 {
            findings.extend(self.pacing());
        }
        findings
    }

    /// Whether a peer is nearer to the record than ours, by more than the rounds are apart. One that
    /// did not offer the rate had an easier load and is not asked.
    fn nearest(&self) -> Finding {
        let mut nearer = Vec::new();
        for (quantile, (_, name)) in QUANTILES.into_iter().enumerate() {
            let ours = self.ours().errors(quantile);
            for peer in self.rows[1..].iter().filter(|peer| peer.rate() >= Some(LEAST_RATE)) {
                let theirs = peer.errors(quantile);
                if is_nearer(&theirs, &ours) {
                    nearer.push(format!("{} at {name}", peer.name));
                }
            }
        }
        let met = nearer.is_empty();
        let found = if met { "none".to_owned() } else { nearer.join(", ") };
        Finding {
            figure: format!(
                "peers nearer to the record than ours by more than the rounds are apart, {}",
                self.latency
            ),
            found,
            asked: "none".to_owned(),
            verdict: super::Verdict::of(met),
        }
    }

    /// Lag, gaps and CPU, for one latency: they depend on it little.
    fn pacing(&self) -> Vec<Finding> {
        let ours = self.ours();
        let [gap_p50, gap_p99] = [0, 1].map(|index| ours.series(|round| round.gaps[index]).median());
        let [lag_p99, lag_p99_9] = [1, 2].map(|index| ours.series(|round| round.lag[index]).median());
        let cpu = ours.series(|round| Some(round.cpu_per_million)).median();
        let at = format!("open loop at {RATE}/s");
        vec![
            Finding::new(format!("{at}: schedule lag p99"), lag_p99, time, under(MOST_LAG[0]), |lag| {
                lag < MOST_LAG[0]
            }),
            Finding::new(format!("{at}: schedule lag p99.9"), lag_p99_9, time, under(MOST_LAG[1]), |lag| {
                lag < MOST_LAG[1]
            }),
            Finding::new(
                format!("{at}: gap between arrivals at the target, p50"),
                gap_p50,
                time,
                format!("{} ± {}", time(GAP), time(GAP_SLACK)),
                |gap| (gap - GAP).abs() <= GAP_SLACK,
            ),
            Finding::new(
                format!("{at}: gap between arrivals at the target, p99"),
                gap_p99,
                time,
                under(MOST_GAP),
                |gap| gap < MOST_GAP,
            ),
            Finding::new(
                format!("{at}: CPU seconds per million requests"),
                cpu,
                |cpu| format!("{cpu:.1} s"),
                format!("under {MOST_CPU:.0} s"),
                |cpu| cpu < MOST_CPU,
            ),
        ]
    }

    fn chart(&self) -> Chart {
        let p99 = QUANTILES.iter().position(|(_, name)| *name == "p99").unwrap_or(0);
        let bars = self.rows.iter().enumerate().filter_map(|(index, row)| {
            let value = row.errors(p99).median()?;
            let kind = if index == 0 { Kind::Ours } else { Kind::Measured };
            Some(Bar { name: row.name.clone(), value, label: signed_time(value), kind })
        });
        let mut bars: Vec<Bar> = bars.collect();
        bars.sort_by(|a, b| a.value.abs().total_cmp(&b.value.abs()));
        Chart {
            title: "Error at p99 beside the target's record, log-normal, 5,000/s",
            file: "bench-p99.svg",
            bars,
        }
    }
}

impl Row {
    fn error_cell(&self, quantile: usize) -> String {
        let errors = self.errors(quantile);
        figure(errors.median(), |error| format!("{} ({})", signed_time(error), time(errors.spread())))
    }
}

/// Whether their median error is smaller than ours by more than the rounds of the two are apart.
fn is_nearer(theirs: &Series, ours: &Series) -> bool {
    match (theirs.median(), ours.median()) {
        (Some(their_error), Some(our_error)) => {
            our_error.abs() - their_error.abs() > theirs.spread().max(ours.spread())
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn under(seconds: f64) -> String {
    format!("under {}", time(seconds))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::Verdict;

    fn round(told: f64, record: f64) -> Option<Round> {
        Some(Round {
            told: [Some(told), Some(told), Some(told), Some(told)],
            record: [Some(record), Some(record), Some(record), Some(record)],
            rate: 4_990.0,
            cpu_per_million: 40.0,
            gaps: [Some(200e-6), Some(310e-6)],
            lag: [Some(10e-6), Some(60e-6), Some(600e-6)],
        })
    }

    fn row(name: &str, told: [f64; 3]) -> Row {
        Row { name: name.to_owned(), rounds: told.map(|told| round(told, 0.010)).to_vec() }
    }

    fn case(rows: Vec<Row>) -> Case {
        Case { latency: "log-normal", model: "lognormal:2ms,8ms", rows, floor: Vec::new() }
    }

    #[test]
    fn a_deviation_is_a_share_of_what_is_allowed() {
        // 1% of 10 ms and 100 µs are 200 µs.
        for (told, expected) in [(0.010, 0.0), (0.0102, 1.0), (0.0098, 1.0), (0.0104, 2.0)] {
            let deviation = round(told, 0.010).unwrap().deviation(0).unwrap();
            assert!((deviation - expected).abs() < 1e-9, "{told}: {deviation}");
        }
        let silent = Round { told: [None; 4], ..round(0.01, 0.01).unwrap() };
        assert_eq!(silent.deviation(3), None);
    }

    #[test]
    fn the_middle_round_decides_and_no_figure_meets_nothing() {
        let findings = case(vec![row("plimsoll", [0.0101, 0.0109, 0.0100])]).findings();
        assert_eq!(findings[0].found, "off by at most 50% of what is allowed");
        let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        let (met, missed) = (Verdict::Met, Verdict::Missed);
        assert_eq!(verdicts, [met, met, met, missed, met, missed, met]);
        let nothing = Row { name: "plimsoll".to_owned(), rounds: vec![None] };
        assert!(case(vec![nothing]).findings()[2..].iter().all(|f| f.verdict == Verdict::NotMeasured));
    }

    #[test]
    fn a_peer_is_nearer_only_beyond_the_spread_of_rounds() {
        let ours = row("plimsoll", [0.0102, 0.0102, 0.01022]);
        let near = row("oha", [0.0101, 0.0101, 0.01011]);
        let wide = row("hey", [0.0090, 0.0100, 0.0110]);
        let far = row("h2load", [0.0150, 0.0150, 0.0150]);
        let mut slow = row("k", [0.0100, 0.0100, 0.0100]);
        slow.rounds.iter_mut().flatten().for_each(|round| round.rate = 3_000.0);
        let finding = case(vec![ours, near, wide, far, slow]).nearest();
        assert_eq!(finding.found, "oha at p50, oha at p90, oha at p99, oha at p99.9");
        assert_eq!(finding.verdict, Verdict::Missed);
    }

    #[test]
    fn the_table_has_the_record_the_floor_and_every_tool() {
        let mut case =
            case(vec![row("plimsoll", [0.0101, 0.0102, 0.0103]), row("hey -q", [0.009, 0.009, 0.009])]);
        case.floor = vec![floor::Floor { told: [Some(0.00207); 4], record: [Some(0.002); 4] }];
        let text = case.text();
        for line in [
            "| the target's own record | 10.00 ms | 10.00 ms | 10.00 ms | 10.00 ms |  |  |  |  |\n",
            "| loopback floor | +70 µs | +70 µs | +70 µs | +70 µs |  |  |  |  |\n",
            "| plimsoll | +200 µs (200 µs) | +200 µs (200 µs) | +200 µs (200 µs) | +200 µs (200 µs) | 4,990 | 40.0 | 200 µs | 310 µs |\n",
            "| hey -q | −1.00 ms (0 µs) | −1.00 ms (0 µs) |",
            "Schedule lag of ours: p50 10 µs, p99 60 µs, p99.9 600 µs.",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let names: Vec<String> = case.chart().bars.into_iter().map(|bar| bar.name).collect();
        assert_eq!(names, ["plimsoll", "hey -q"]);
    }
}
