//! The engine against what is asked of it: work per CPU-second beside wrk, percentiles beside the
//! target's own record, memory of ten thousand users.
//!
//! Everything that a run has is on: objectives, `/metrics` scraped each second, the history.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::machine::{facts, free_port, pinned, run, wrk_requests};
use super::programs::{Programs, Ran, ask, number};
use super::ratio::{interleave, median, table};
use super::{Arguments, GENERATOR_CORE, document};

/// Requests per generator CPU-second, as a share of wrk's, at the least.
const LEAST_SHARE_OF_WRK: f64 = 0.6;

/// A percentile may differ from the target's own by this share of it ...
const DEVIATION_SHARE: f64 = 0.03;
/// ... and this many seconds: what lies between the two clocks, reading and writing a socket twice.
const DEVIATION_SECONDS: f64 = 100e-6;

/// Users of the memory figure, each with a connection of its own.
const USERS: u32 = 10_000;
/// They may not need more bytes than this.
const MOST_MEMORY: u64 = 400_000_000;
/// How long they take to come, and how long they stay, in seconds: more than 64 requests of half a
/// second each, because hyper's queue of a connection is at its full size only after twice 32.
const RAMP: u64 = 5;
const HOLD: u64 = 35;

/// Connections of the closed loop.
const CONNECTIONS: u32 = 64;

/// Fixed rates, and what the target's latency is distributed like.
const LATENCIES: [(u32, &str); 3] =
    [(1_000, "lognormal:2ms,8ms"), (5_000, "lognormal:2ms,8ms"), (1_000, "bimodal:2ms,50ms,2%")];

/// The percentiles that are compared, as the JSON of a run and the target's record name them.
const QUANTILES: [&str; 4] = ["p50", "p90", "p99", "p99_9"];

/// One figure beside what is asked of it.
#[derive(Debug)]
struct Finding {
    figure: String,
    found: String,
    asked: String,
    met: bool,
}

pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = if arguments.no_build { Programs::built() } else { Programs::build() }?;
    let mut findings = Vec::new();
    let mut tables = vec![throughput(&programs, arguments, &mut findings)?];
    let mut percentiles = String::from(
        "| load | percentile | the target's record | service time | response time | largest difference, of what is allowed |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut lags =
        String::from("| load | schedule lag p50 | p99 | p99.9 | validity |\n|---|---|---|---|---|\n");
    for (rate, model) in LATENCIES {
        let case = Case::measure(&programs, arguments, rate, model)?;
        percentiles += &case.percentiles();
        lags += &case.lags();
        findings.push(case.finding());
    }
    tables.extend([percentiles, lags]);
    findings.push(memory(&programs)?);
    let conditions = format!(
        "{} rounds of {} s a side; {}. Requests per CPU-second: `GET /`, {CONNECTIONS} connections, \
         one worker, two objectives, `/metrics` scraped each second, history on.",
        arguments.rounds,
        arguments.seconds,
        facts()
    );
    let section = format!("{conditions}\n\n{}\n{}", verdicts(&findings), tables.join("\n"));
    print!("{section}");
    if arguments.write {
        document::write("engine", &section)?;
    }
    Ok(())
}

fn verdicts(findings: &[Finding]) -> String {
    let mut table = String::from("| figure | found | asked | |\n|---|---|---|---|\n");
    for Finding { figure, found, asked, met } in findings {
        let word = if *met { "met" } else { "**missed**" };
        table += &format!("| {figure} | {found} | {asked} | {word} |\n");
    }
    table
}

/// A plan with everything on.
fn plan(target: &str, load: &str, scenario: &str, metrics: SocketAddr) -> String {
    format!(
        "name: bench\ntarget: {target}\nload:\n{load}\nscenarios:\n  - name: bench\n    steps:\n      - {scenario}\n\
         sla:\n  - {{ name: quick, objective: \"p95(response_time) <= 250ms\", over: 2s, severity: warning }}\n  \
         - {{ name: few errors, objective: \"error_ratio <= 0.1%\" }}\n\
         export:\n  prometheus: {{ listen: \"{metrics}\" }}\n"
    )
}

/// A plan's run with `/metrics` scraped each second, as Prometheus would.
fn scraped(programs: &Programs, load: &str, target: &str, length: Duration) -> anyhow::Result<Ran> {
    let metrics: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
    let plan = plan(target, load, "{ name: home, get: / }", metrics);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| scrape(metrics, &ended));
        let ran = programs.run(&plan, length, |_, _| {});
        ended.store(true, Ordering::Relaxed);
        let scrapes = scraper.join().ok().context("the scraper panicked")?;
        ensure!(scrapes > 0, "/metrics was never scraped");
        ran
    })
}

/// Scrapes once a second until told, and says how often it was answered.
fn scrape(metrics: SocketAddr, ended: &AtomicBool) -> u32 {
    let (mut scrapes, mut last) = (0, Instant::now());
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        if last.elapsed() >= Duration::from_secs(1) {
            last = Instant::now();
            scrapes += u32::from(ask(metrics, "GET", "/metrics").is_ok());
        }
    }
    scrapes
}

fn throughput(
    programs: &Programs,
    arguments: &Arguments,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<String> {
    let target = programs.target("none")?;
    let seconds = arguments.seconds;
    let load = format!(
        "  model: closed\n  grace: 1s\n  stages:\n    - {{ hold: {CONNECTIONS} users, for: {seconds}s }}"
    );
    let length = Duration::from_secs(seconds.into());
    let ours = || {
        let ran = scraped(programs, &load, &target.url(), length)?;
        ensure!(ran.number("/totals/failed")? == 0.0, "requests failed: {}", ran.json["errors"]);
        Ok(ran.number("/totals/succeeded")? / ran.cpu_seconds)
    };
    let (connections, duration) = (CONNECTIONS.to_string(), format!("{seconds}s"));
    let wrk = || {
        let mut command = pinned(GENERATOR_CORE, "wrk");
        command.args(["--threads", "1", "--connections", &connections, "--duration", &duration]);
        let finished = run(command.arg(format!("{}/", target.url())))?;
        Ok(wrk_requests(&finished.output)? / finished.cpu_seconds)
    };
    let pairs = interleave(arguments.rounds, ours, wrk)?;
    let medians =
        median(pairs.iter().map(|pair| pair.ours)).zip(median(pairs.iter().map(|pair| pair.theirs)));
    let (our_median, their_median) = medians.context("no rounds")?;
    let share = our_median / their_median;
    findings.push(Finding {
        figure: "closed loop, requests per generator CPU-second beside wrk".to_owned(),
        found: format!("{share:.3}x"),
        asked: format!("at least {LEAST_SHARE_OF_WRK}x"),
        met: share >= LEAST_SHARE_OF_WRK,
    });
    Ok(table("requests per generator CPU-second", ["plimsoll", "wrk"], &pairs))
}

/// A fixed rate against a target whose latency is known, all rounds.
#[derive(Debug)]
struct Case {
    name: String,
    rounds: Vec<Round>,
}

/// A run and what the target has to say about it.
#[derive(Debug)]
struct Round {
    run: Value,
    record: Value,
}

impl Case {
    fn measure(programs: &Programs, arguments: &Arguments, rate: u32, model: &str) -> anyhow::Result<Self> {
        let target = programs.target(model)?;
        let seconds = arguments.seconds;
        let load =
            format!("  model: open\n  grace: 2s\n  stages:\n    - {{ hold: {rate}/s, for: {seconds}s }}");
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds {
            target.forget()?;
            let ran = scraped(programs, &load, &target.url(), Duration::from_secs(seconds.into()))?;
            let record = target.record()?;
            let (sent, seen) = (ran.number("/totals/requests")?, number(&record, "/access_count"));
            ensure!(seen == Some(sent), "{sent} requests were sent and {seen:?} were seen");
            rounds.push(Round { run: ran.json, record });
        }
        Ok(Self { name: format!("{rate}/s, {model}"), rounds })
    }

    /// Each percentile: medians over the rounds, and the difference that is largest.
    fn percentiles(&self) -> String {
        let row = |quantile: &&str| {
            let seconds =
                |side: &dyn Fn(&Round) -> Option<f64>| duration(median(self.rounds.iter().filter_map(side)));
            let record = seconds(&|round| number(&round.record, &format!("/latency/{quantile}")));
            let [service, response] = ["service_time", "response_time"]
                .map(|timing| seconds(&|round: &Round| number(&round.run, &format!("/{timing}/{quantile}"))));
            let deviation = match (self.deviation(quantile), self.worst(quantile)) {
                (Some(middle), Some(worst)) => {
                    format!("{:.0}% (worst round {:.0}%)", middle * 100.0, worst * 100.0)
                }
                _ => "too few values".to_owned(),
            };
            format!(
                "| {} | {} | {record} | {service} | {response} | {deviation} |\n",
                self.name,
                quantile.replace('_', ".")
            )
        };
        QUANTILES.iter().map(row).collect()
    }

    /// The middle over the rounds of how far a percentile is off, in shares of what is allowed.
    fn deviation(&self, quantile: &str) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.deviation(quantile)))
    }

    fn worst(&self, quantile: &str) -> Option<f64> {
        self.rounds.iter().filter_map(|round| round.deviation(quantile)).reduce(f64::max)
    }

    fn lags(&self) -> String {
        let lag = |quantile: &str| {
            let values = self
                .rounds
                .iter()
                .map(|round| number(&round.run, &format!("/validity/schedule_lag/{quantile}")));
            duration(median(values.flatten()))
        };
        let verdicts = ["valid", "suspect", "invalid"].map(|verdict| {
            let rounds =
                self.rounds.iter().filter(|round| round.run["validity"]["verdict"] == *verdict).count();
            (rounds > 0).then(|| format!("{rounds} {verdict}"))
        });
        let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
        format!(
            "| {} | {} | {} | {} | {} |\n",
            self.name,
            lag("p50"),
            lag("p99"),
            lag("p99_9"),
            verdicts.join(", ")
        )
    }

    fn finding(&self) -> Finding {
        let deviations: Option<Vec<f64>> =
            QUANTILES.iter().map(|quantile| self.deviation(quantile)).collect();
        let worst = deviations.and_then(|all| all.into_iter().reduce(f64::max));
        Finding {
            figure: format!("open loop at {}: p50 to p99.9 beside the target's record", self.name),
            found: match worst {
                Some(worst) => format!("at most {:.0}% of what is allowed", worst * 100.0),
                None => "too few values".to_owned(),
            },
            asked: format!("{:.0}% + {:.0} µs", DEVIATION_SHARE * 100.0, DEVIATION_SECONDS * 1e6),
            met: worst.is_some_and(|worst| worst <= 1.0),
        }
    }
}

impl Round {
    /// How far service or response time is from the record, whichever is further, in shares of what is allowed.
    fn deviation(&self, quantile: &str) -> Option<f64> {
        let record = number(&self.record, &format!("/latency/{quantile}"))?;
        let allowed = record * DEVIATION_SHARE + DEVIATION_SECONDS;
        let off = |timing: &str| Some((number(&self.run, &format!("/{timing}/{quantile}"))? - record).abs());
        Some(off("service_time")?.max(off("response_time")?) / allowed)
    }
}

fn duration(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "too few values".to_owned(), |seconds| format!("{:.3} ms", seconds * 1e3))
}

/// Ten thousand users who wait for a slow target, until their connections' buffers have grown.
fn memory(programs: &Programs) -> anyhow::Result<Finding> {
    let target = programs.target("fixed:500ms")?;
    let load = format!(
        "  model: closed\n  grace: 5s\n  stages:\n    - {{ ramp: {USERS} users, over: {RAMP}s }}\n    \
         - {{ hold: {USERS} users, for: {HOLD}s }}"
    );
    let ran = scraped(programs, &load, &target.url(), Duration::from_secs(RAMP + HOLD))?;
    let connections = number(&ran.json, "/connect_time/count").unwrap_or_default();
    let (requests, failed) = (ran.number("/totals/requests")?, ran.number("/totals/failed")?);
    ensure!(
        connections >= f64::from(USERS) && failed == 0.0,
        "{connections} connections were opened; failed: {}",
        ran.json["errors"]
    );
    Ok(Finding {
        figure: format!(
            "{USERS} closed users with one connection each, {:.0} requests each, peak resident memory",
            requests / f64::from(USERS)
        ),
        found: format!("{:.0} MB", ran.peak_memory as f64 / 1e6),
        asked: format!("under {} MB", MOST_MEMORY / 1_000_000),
        met: ran.peak_memory < MOST_MEMORY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round(record: f64, service: f64, response: f64) -> Round {
        Round {
            run: json!({ "service_time": { "p50": service }, "response_time": { "p50": response } }),
            record: json!({ "latency": { "p50": record, "p99": null } }),
        }
    }

    #[test]
    fn a_deviation_is_a_share_of_what_is_allowed() {
        // 3% of 10 ms and 100 µs are 400 µs.
        for (service, response, expected) in
            [(0.010, 0.010, 0.0), (0.0104, 0.0102, 1.0), (0.0101, 0.0108, 2.0), (0.0098, 0.010, 0.5)]
        {
            let deviation = round(0.010, service, response).deviation("p50").unwrap();
            assert!((deviation - expected).abs() < 1e-9, "{service} {response}: {deviation}");
        }
    }

    #[test]
    fn too_few_values_do_not_meet_a_target() {
        let case = Case { name: "x".to_owned(), rounds: vec![round(0.010, 0.010, 0.010)] };
        assert_eq!(case.deviation("p50"), Some(0.0));
        assert_eq!(case.deviation("p99"), None);
        assert!(!case.finding().met);
    }

    #[test]
    fn the_middle_round_decides_and_the_worst_is_shown() {
        let rounds =
            vec![round(0.010, 0.010, 0.010), round(0.010, 0.0102, 0.010), round(0.010, 0.0108, 0.010)];
        let case = Case { name: "x".to_owned(), rounds };
        assert!((case.deviation("p50").unwrap() - 0.5).abs() < 1e-9);
        assert!((case.worst("p50").unwrap() - 2.0).abs() < 1e-9);
    }
}
