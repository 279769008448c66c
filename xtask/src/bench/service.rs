//! `cargo xtask bench service`: whether a service lasts: what a month of one run takes, how fast it is drawn, how fast a service
//! starts over many runs, whether those who ask disturb the run, and how late a page shows what happens.
//!
//! A part that cannot be measured says so and holds no other up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::finding::{Finding, verdicts};
use super::machine::{Busyness, facts};
use super::process::{self, free_port, pinned};
use super::programs::{Programs, ask, remove};
use super::rounds::{Series, interleave};
use super::table::{Table, figure, grouped, megabytes, time};
use super::{Arguments, GENERATOR_CORE, TARGET_CORE, document};
use crate::command::{cargo, read, run};

const DAY: u64 = 86_400;
/// What a month may take on the disk, in bytes.
const MOST_BYTES: f64 = 1e9;
/// How long any range of it may take to be told, in seconds.
const LONGEST_CHART: f64 = 0.3;
/// Resident memory may grow by this much from the first third of the days to the last.
const MOST_GROWTH: f64 = 1.1;
const RUNS: u32 = 10_000;
/// How long a service may take to be ready, in seconds.
const LONGEST_START: f64 = 1.0;
const CLIENTS: usize = 50;
/// How much worse the lag may be.
const MOST_LAG: f64 = 1.1;
const RATE: u32 = 1_000;
/// One stall of the machine moves a p99 of some seconds: fewer rounds decide nothing.
const FEWEST_ROUNDS: u32 = 15;
const VIEWERS: usize = 20;
const VIEWED: usize = 10;
/// How late a page may show a second, in seconds.
const LATEST_PAGE: f64 = 1.0;
/// So many pages are watched, one after the other, each of a run of its own: a service looks at its record twice a second, and each
/// run has its seconds end at another moment between two looks.
const PAGES: usize = 4;
/// How long each is watched, in seconds.
const WATCHED: u64 = 15;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(600);

/// What a part found.
#[derive(Debug, Default)]
struct Section {
    findings: Vec<Finding>,
    /// Markdown: tables and the sentences they need.
    text: String,
}

/// What every part needs.
#[derive(Debug)]
struct Bench {
    programs: Programs,
    rounds: u32,
    seconds: u32,
    days: u32,
}

type Part = fn(&Bench) -> anyhow::Result<Section>;

/// The last takes hours.
const PARTS: [(&str, Part); 4] = [
    ("Starting over many runs", starts),
    ("Clients beside a run", clients),
    ("From a second to the screen", viewers),
    ("One run for a month", month),
];

pub(super) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.no_build {
        let build = ["build", "--release", "--package"];
        run(cargo().args(build).args(["plimsoll", "--package", "plimsoll-demo-target"]))?;
        run(cargo().args(build).args(["plimsoll-history", "--example", "month", "--example", "year"]))?;
        // It only drives a browser and listens. Of the whole workspace, as the tests have it: alone it would be built once more.
        run(cargo().args(["build", "--workspace", "--example", "viewers"]))?;
    }
    let bench = Bench {
        programs: Programs::built()?,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        days: arguments.days,
    };
    // What asks and is asked shares the target's core, as far as it is not pinned elsewhere: the generator's stays its own.
    let ours = std::process::id().to_string();
    read(Command::new("taskset").args([
        "--all-tasks",
        "--cpu-list",
        "--pid",
        &TARGET_CORE.to_string(),
        &ours,
    ]))?;
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
    let conditions = format!("{}. {}\n", facts(), busyness.describe());
    println!("{conditions}");
    if arguments.write {
        document::write(document::BENCHMARKS, "service", &format!("{conditions}\n{verdicts}{}", whole.text))?;
    }
    Ok(())
}

/// A service that runs on the target's core; killed when dropped.
struct Service {
    child: Child,
    addr: SocketAddr,
    /// From its start until it was ready.
    ready_after: Duration,
}

impl Service {
    fn start(program: &Path, history: &Path, folder: &Path) -> anyhow::Result<Self> {
        let addr: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let configuration = folder.join("service.yaml");
        // All clients of a benchmark are one to the service.
        std::fs::write(&configuration, "limits: { requests: 100000/s, connections: 4096 }\n")?;
        let mut command = pinned(TARGET_CORE, program);
        command.args(["serve", "--listen", &addr.to_string(), "--history"]).arg(history);
        command.arg("--config").arg(&configuration);
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut service = Self { child, addr, ready_after: Duration::ZERO };
        while ask(addr, "GET", "/readyz").is_err() {
            if let Some(status) = service.child.try_wait()? {
                anyhow::bail!("the service ended with {status}");
            }
            ensure!(begun.elapsed() < DEADLINE, "the service does not become ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        service.ready_after = begun.elapsed();
        Ok(service)
    }

    /// Seconds that an answer took, and the answer.
    fn asked(&self, path: &str) -> anyhow::Result<(f64, String)> {
        let begun = Instant::now();
        let body = ask(self.addr, "GET", path)?;
        Ok((begun.elapsed().as_secs_f64(), body))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A history file that is not there.
fn fresh(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for suffix in ["", "-wal", "-shm"] {
        remove(&folder.join(format!("{name}{suffix}")))?;
    }
    Ok(folder.join(name))
}

/// What the example `month` tells of one day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    seconds: f64,
    bytes: f64,
    resident: f64,
    /// Seconds that became minutes so far.
    to_minutes: f64,
    took: f64,
}

impl Told {
    fn all(printed: &str) -> anyhow::Result<Vec<Self>> {
        let line = |line: &str| {
            let json: Value = serde_json::from_str(line)?;
            let number = |key: &str| json[key].as_f64().with_context(|| format!("`{line}` has no {key}"));
            Ok(Self {
                seconds: number("seconds")?,
                bytes: number("bytes")?,
                resident: number("resident")?,
                to_minutes: number("to_minutes")?,
                took: number("took")?,
            })
        };
        printed.lines().map(line).collect()
    }
}

fn month(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let history = fresh(folder, "month.db")?;
    let mut command = Command::new(bench.programs.example("month"));
    let told = Told::all(&read(command.arg(&history).arg(bench.days.to_string()))?)?;
    let service = Service::start(&bench.programs.plimsoll, &history, folder)?;
    let end = u64::from(bench.days) * DAY;
    let ranges = [
        ("all of it", 0, end),
        ("the last week", end.saturating_sub(7 * DAY), end),
        ("a week in the middle", (end / 2).saturating_sub(7 * DAY / 2), end / 2 + 7 * DAY / 2),
        ("the first day", 0, DAY),
        ("the last day", end - DAY, end),
        ("the last hour", end - 3600, end),
        ("ten minutes of the last day", end - DAY / 2, end - DAY / 2 + 600),
    ];
    let mut took: Vec<(&str, Series, usize)> = Vec::new();
    for (name, from, to) in ranges {
        let path = format!("/api/v1/runs/month/timeline?from={from}&to={to}&points=1000");
        let mut points = 0;
        let times = (0..bench.rounds.max(5)).map(|_| {
            let (took, body) = service.asked(&path)?;
            let json: Value = serde_json::from_str(&body)?;
            points = json["points"]["second"].as_array().map_or(0, Vec::len);
            ensure!(points > 0, "{name} has no point");
            Ok(Some(took))
        });
        let times = times.collect::<anyhow::Result<Series>>()?;
        took.push((name, times, points));
    }
    month_section(bench.days, &told, service.ready_after, &took)
}

fn month_section(
    days: u32,
    told: &[Told],
    ready_after: Duration,
    took: &[(&str, Series, usize)],
) -> anyhow::Result<Section> {
    let last = told.last().context("the example told nothing")?;
    let third = told.len().div_ceil(3);
    let most = |told: &[Told]| told.iter().map(|told| told.resident).reduce(f64::max);
    let growth =
        most(&told[..third]).zip(most(&told[told.len() - third..])).map(|(first, last)| last / first);
    let slowest = took.iter().filter_map(|(_, times, _)| times.median()).reduce(f64::max);
    let findings = vec![
        Finding::new(
            format!("{days} days of 20 steps at 1,000/s, on disk"),
            Some(last.bytes),
            megabytes,
            if days >= 30 { "under 1 GB" } else { "under 1 GB for 30 days" },
            |bytes| bytes < MOST_BYTES,
        ),
        Finding::new(
            "resident memory, the last third of the days beside the first",
            growth,
            |growth| format!("{growth:.2}x"),
            format!("at most {MOST_GROWTH}x"),
            |growth| growth <= MOST_GROWTH,
        ),
        Finding::new(
            "any range of it in 1,000 points over HTTP, the slowest median",
            slowest,
            time,
            "under 300 ms",
            |seconds| seconds < LONGEST_CHART,
        ),
    ];
    let mut table = Table::new(&["range", "points", "told in"]);
    for (name, times, points) in took {
        table.row([(*name).to_owned(), points.to_string(), figure(times.median(), time)]);
    }
    let text = format!(
        "The history's example `month` records {} seconds through the recorder of a run, by a simulated clock, and keeps the record\n\
         within the default retention once in a simulated hour; that took {:.0} minutes. The first day took {}; of all that, the last {:.0}\n\
         hours are kept as seconds, what was before as minutes and hours. Resident memory was at most {}. A service that is started on\n\
         it is ready in {}. Medians.\n\n{}",
        grouped(last.seconds),
        last.took / 60.0,
        figure(told.first().map(|told| told.bytes), megabytes),
        (last.seconds - last.to_minutes) / 3600.0,
        figure(most(told), megabytes),
        time(ready_after.as_secs_f64()),
        table.markdown()
    );
    Ok(Section { findings, text })
}

fn starts(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let history = fresh(folder, "many.db")?;
    run(Command::new(bench.programs.example("year")).arg(&history).arg(RUNS.to_string()))?;
    let (mut ready, mut list) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds.max(5) {
        let service = Service::start(&bench.programs.plimsoll, &history, folder)?;
        ready.push(Some(service.ready_after.as_secs_f64()));
        list.push(Some(service.asked("/api/v1/runs")?.0));
    }
    let [ready, list]: [Series; 2] = [ready, list].map(|times| times.into_iter().collect());
    let range = ready.range().map(|range| format!(" ({} to {})", time(range.low), time(range.high)));
    let finding = Finding::new(
        format!("start to ready with {} runs in the history", grouped(RUNS.into())),
        ready.median(),
        |seconds| format!("{}{}", time(seconds), range.clone().unwrap_or_default()),
        "under 1 s",
        |seconds| seconds < LONGEST_START,
    );
    let text = format!(
        "From starting `plimsoll serve` until `/readyz` answers 200, on the target's core. The first page of runs then takes {}.\n",
        figure(list.median(), time)
    );
    Ok(Section { findings: vec![finding], text })
}

/// What clients ask for, one after the other.
const PATHS: [&str; 6] = [
    "/api/v1/runs",
    "/api/v1/runs/latest",
    "/api/v1/runs/latest/timeline",
    "/api/v1/runs/latest/timeline?from=0&points=300",
    "/api/v1/slas",
    "/metrics",
];

const SERVICE: &str = "50 clients";
/// What as many do who ask nobody of ours: a core that is busy disturbs the other on many a machine.
const TARGET: &str = "50 clients of the target";
const SIDES: [&str; 3] = [SERVICE, TARGET, "none"];

fn clients(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let history = fresh(folder, "asked.db")?;
    let target = bench.programs.target("none")?;
    let service = Service::start(&bench.programs.plimsoll, &history, folder)?;
    let seconds = bench.seconds.max(10);
    let plan = folder.join("asked.yaml");
    let text = format!(
        "name: bench\ntarget: {}\nload:\n  model: open\n  grace: 5s\n  stages:\n    - {{ hold: {RATE}/s, for: {seconds}s }}\n\
         scenarios: [{{ name: bench, steps: [{{ name: home, get: / }}] }}]\n",
        target.url()
    );
    std::fs::write(&plan, text)?;
    let record = Record { program: &bench.programs.plimsoll, plan: &plan, history: &history, folder };
    let answers = AtomicU64::new(0);
    let others = AtomicU64::new(0);
    let rounds = bench.rounds.max(FEWEST_ROUNDS);
    let rows = interleave(rounds, &SIDES, |side| {
        let length = Duration::from_secs(seconds.into());
        match *side {
            SERVICE => asked_beside(service.addr, &PATHS, &answers, || record.lag(length)),
            TARGET => asked_beside(target.addr, &["/"], &others, || record.lag(length)),
            _ => record.lag(length),
        }
    })?;
    let quantile = |side: usize, quantile: usize| -> Series {
        rows[side].iter().map(|lag: &[f64; 3]| Some(lag[quantile])).collect()
    };
    let sides = [0, 1, 2].map(|side| [0, 1, 2].map(|at| quantile(side, at)));
    let rate = answers.load(Ordering::Relaxed) as f64 / f64::from(seconds * rounds);
    Ok(clients_section(&sides, rate))
}

/// What a run is made with.
struct Record<'a> {
    program: &'a Path,
    plan: &'a Path,
    history: &'a Path,
    folder: &'a Path,
}

impl Record<'_> {
    /// Runs, and gives p50, p99 and p99.9 of its schedule lag.
    fn lag(&self, length: Duration) -> anyhow::Result<[f64; 3]> {
        let json = self.folder.join("asked.json");
        remove(&json)?;
        let mut command = pinned(GENERATOR_CORE, self.program);
        command.arg("run").arg(self.plan).args(["--workers", "1", "--no-tui", "--no-calibrate", "--history"]);
        command.arg(self.history).arg("--json").arg(&json);
        let ended = process::run(&mut command, self.folder, length + DEADLINE, |_, _| {})?;
        let text = std::fs::read(&json).with_context(|| ended.output.clone())?;
        let json: Value = serde_json::from_slice(&text)?;
        let lag = |name: &str| {
            let lag = json.pointer(&format!("/validity/schedule_lag/{name}")).and_then(Value::as_f64);
            lag.with_context(|| format!("the run has no schedule lag {name}"))
        };
        Ok([lag("p50")?, lag("p99")?, lag("p99_9")?])
    }
}

/// Does something while clients ask the service.
fn asked_beside<T>(
    addr: SocketAddr,
    paths: &[&str],
    answers: &AtomicU64,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (ended, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (ended, failed) = (&ended, &failed);
            scope.spawn(move || {
                for path in paths.iter().cycle().skip(client) {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    let count = if ask(addr, "GET", path).is_ok() { answers } else { failed };
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
            });
        }
        let done = work();
        ended.store(true, Ordering::Relaxed);
        done
    });
    let (good, bad) = (answers.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    // There is no latest run until the first has begun.
    ensure!(bad * 20 < good, "{bad} requests were not answered, {good} were");
    done
}

fn clients_section(sides: &[[Series; 3]; 3], rate: f64) -> Section {
    let [asked, others, none] = sides;
    let ratio = asked[1].over(&none[1]);
    let finding = Finding::at_most(
        format!("schedule lag p99 at {RATE}/s, {CLIENTS} clients of the API beside none"),
        (ratio.median(), ratio.median_interval()),
        |ratio| format!("{ratio:.2}x"),
        MOST_LAG,
    );
    let mut table = Table::new(&["side", "p50", "p99", "p99.9"]);
    for (name, side) in SIDES.iter().zip(sides) {
        let cells = side.iter().map(|series| figure(series.median(), time));
        table.row(std::iter::once((*name).to_owned()).chain(cells));
    }
    let text = format!(
        "{RATE}/s, one worker on a core of its own; the service, its clients and the target share the other. Each client asks for runs, the\n\
         run that goes on, its timeline, a stretch of it, SLAs and metrics in turn, with {} ms between an answer and the next request:\n\
         {rate:.0} answers a second. As many who ask the target for its home page, with the same pauses, make its p99 {} of that\n\
         without any. Medians of {} rounds.\n\n{}",
        PAUSE.as_millis(),
        figure(others[1].over(&none[1]).median(), |ratio| format!("{ratio:.2}x")),
        none[1].values().count(),
        table.markdown()
    );
    Section { findings: vec![finding], text }
}

/// Processes that are killed when dropped.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only when it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn viewers(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let history = fresh(folder, "viewed.db")?;
    let target = bench.programs.target("lognormal:20ms,80ms")?;
    let service = Service::start(&bench.programs.plimsoll, &history, folder)?;
    let mut runs = Started(Vec::new());
    for number in 0..VIEWED {
        let plan = folder.join(format!("viewed-{number}.yaml"));
        let steps: Vec<String> = (0..5).map(|step| format!("{{ name: step-{step}, get: / }}")).collect();
        let text = format!(
            "name: viewed-{number}\ntarget: {}\nload: {{ stages: [ {{ hold: 10/s, for: 10m }} ], grace: 1s }}\n\
             scenarios: [ {{ name: visitor, steps: [ {} ] }} ]\n",
            target.url(),
            steps.join(", ")
        );
        std::fs::write(&plan, text)?;
        let mut command = pinned(GENERATOR_CORE, &bench.programs.plimsoll);
        command.arg("run").arg(&plan).args(["--workers", "1", "--quiet", "--no-calibrate", "--history"]);
        let command = command.arg(&history).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        runs.0.push(command.spawn()?);
    }
    let listed = || -> anyhow::Result<Vec<Value>> {
        let listed: Value = serde_json::from_str(&ask(service.addr, "GET", "/api/v1/runs")?)?;
        Ok(listed["runs"].as_array().context("runs are a list")?.clone())
    };
    let begun = Instant::now();
    while listed()?.len() < VIEWED {
        ensure!(begun.elapsed() < DEADLINE, "the runs do not begin");
        std::thread::sleep(PAUSE);
    }
    let mut lags = Vec::new();
    for run in listed()?.iter().take(PAGES) {
        let id = run["id"].as_str().context("a run has an id")?;
        lags.extend(watched(service.addr, id)?);
    }
    viewers_section(lags)
}

/// How late a page of Chromium shows each second of a run, in seconds.
fn watched(addr: SocketAddr, id: &str) -> anyhow::Result<Vec<f64>> {
    let run: Value = serde_json::from_str(&ask(addr, "GET", &format!("/api/v1/runs/{id}"))?)?;
    let started = run["run"]["started"].as_str().context("a run has a start")?;
    let started = read(Command::new("date").args(["--utc", "+%s%3N", "--date", started]))?;
    let mut command = pinned(GENERATOR_CORE, &crate::target_folder()?.join("debug/examples/viewers"));
    command.args([&format!("http://{addr}"), id, started.trim()]);
    let told: Value = serde_json::from_str(&read(command.args([WATCHED.to_string(), VIEWERS.to_string()]))?)?;
    let lags = told["milliseconds"].as_array().context("no lags were told")?;
    Ok(lags.iter().filter_map(Value::as_f64).map(|lag| lag / 1e3).collect())
}

/// `lags`: of each second that a page came to show, how late it was, in seconds.
fn viewers_section(mut lags: Vec<f64>) -> anyhow::Result<Section> {
    lags.sort_by(f64::total_cmp);
    let watched = WATCHED * PAGES as u64;
    ensure!(lags.len() as u64 * 10 >= watched * 9, "{} of {watched} seconds were shown", lags.len());
    ensure!(lags[0] > 0.0, "a second was shown before it had ended");
    // The nearest rank.
    let quantile = |quantile: f64| lags[((lags.len() as f64 * quantile).ceil() as usize).max(1) - 1];
    let finding = Finding::new(
        format!("live page lag with {VIEWERS} viewers and {VIEWED} runs, p95"),
        Some(quantile(0.95)),
        |lag| format!("{} (p50 {}, slowest {})", time(lag), time(quantile(0.5)), time(quantile(1.0))),
        "under 1 s",
        |lag| lag < LATEST_PAGE,
    );
    let text = format!(
        "From the end of each of {} seconds of {PAGES} runs until Chromium has painted the frame that shows it, with {} others that listen\n\
         to the stream of events and {VIEWED} runs of 50 requests a second. The page and the generators share a core; the service and the\n\
         target have the other.\n",
        lags.len(),
        VIEWERS - 1
    );
    Ok(Section { findings: vec![finding], text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::finding::Verdict;

    /// Nine rounds.
    fn series(values: [f64; 3]) -> Series {
        [values; 3].into_iter().flatten().map(Some).collect()
    }

    #[test]
    fn the_ratio_is_that_within_a_round() {
        let side = |p99| [series([1e-6; 3]), series(p99), series([9e-4; 3])];
        let found = clients_section(
            &[side([21e-6, 44e-6, 21e-6]), side([30e-6; 3]), side([20e-6, 40e-6, 20e-6])],
            240.0,
        );
        assert!(found.text.contains("make its p99 1.50x of that\nwithout any"), "{}", found.text);
        assert_eq!(found.findings[0].found, "1.05x (95%: 1.05x to 1.10x)");
        assert_eq!(found.findings[0].verdict, Verdict::Met);
        let worse = clients_section(&[side([30e-6; 3]), side([30e-6; 3]), side([20e-6; 3])], 240.0);
        assert_eq!(worse.findings[0].verdict, Verdict::Missed);
    }

    #[test]
    fn the_lag_of_a_page_is_what_most_seconds_have() {
        let lags: Vec<f64> = (1..=60).map(|number| f64::from(number) / 100.0).rev().collect();
        let found = viewers_section(lags.clone()).unwrap();
        assert_eq!(found.findings[0].found, "570.00 ms (p50 300.00 ms, slowest 600.00 ms)");
        assert_eq!(found.findings[0].verdict, Verdict::Met);
        let late = viewers_section(lags.iter().map(|lag| lag * 2.0).collect()).unwrap();
        assert_eq!(late.findings[0].verdict, Verdict::Missed);
        let few = viewers_section(lags[..20].to_vec()).unwrap_err();
        assert_eq!(few.to_string(), "20 of 60 seconds were shown");
        assert!(viewers_section(vec![-0.1; 60]).is_err());
    }

    #[test]
    fn what_a_month_takes_stands_beside_what_it_may() {
        let line = |day: u32, bytes: f64| {
            format!(
                r#"{{"seconds":{},"bytes":{bytes},"resident":2e7,"took":60,"to_minutes":{}}}"#,
                day * 86_400,
                (day - 1) * 86_400
            )
        };
        let told = Told::all(&format!("{}\n{}\n", line(1, 1e8), line(2, 9e8))).unwrap();
        let took = [("all of it", series([0.1, 0.2, 0.3]), 720), ("the last hour", series([0.01; 3]), 900)];
        let found = month_section(30, &told, Duration::from_millis(80), &took).unwrap();
        let verdicts: Vec<Verdict> = found.findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Met; 3]);
        assert!(
            found.text.contains("records 172,800 seconds")
                && found.text.contains(
                    "The first day took 100 MB; of all that, the last 24\nhours are kept as seconds"
                )
                && found.text.contains("| all of it | 720 | 200.00 ms |")
        );
        let told = Told::all(&line(30, 2e9)).unwrap();
        let took = [("all of it", series([0.4; 3]), 720)];
        let found = month_section(30, &told, Duration::ZERO, &took).unwrap();
        let verdicts: Vec<Verdict> = found.findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Missed, Verdict::Met, Verdict::Missed]);
        assert_eq!(Told::all("{}").unwrap_err().to_string(), "`{}` has no seconds");
    }
}
