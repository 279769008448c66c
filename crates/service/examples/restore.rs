//! Prints how long a service takes to go on with a thousand SLAs after `kill -9`, what they take on disk, and what it takes to
//! read their events from a page and judge them every second, as one JSON object.
//!
//! `cargo run --release -p plimsoll-service --example restore`

#![expect(clippy::unwrap_used, reason = "a program of this project's own, on data of its own")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::routing::get;
use plimsoll_history::{History, SlaChanges};
use plimsoll_run::Secret;
use plimsoll_service::{Access, Config, Connection, Promises, Service};
use plimsoll_sla::{Counts, Entry, Keeper, Moment, Sla, Source};
use plimsoll_spec::openslo::read_slas;
use tokio_util::sync::CancellationToken;

const SLAS: usize = 1000;
const DAY: u64 = 86_400;
/// Ten minutes of journal: the most there is between two states.
const JOURNAL: u64 = 600;
/// For how long judging is watched, in seconds: a step of the alerts is among them.
const JUDGED: u64 = 60;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut arguments = std::env::args().skip(1);
    runtime.block_on(async {
        match (arguments.next(), arguments.next()) {
            (Some(history), Some(page)) => serve(Path::new(&history), &page).await,
            _ => prepare().await,
        }
    });
}

/// Writes what a service left behind, and has another process go on with it: what it takes is the service's alone.
async fn prepare() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let history = History::open(&path).await.unwrap();
    let slas: Vec<Sla> = (0..SLAS).map(sla).collect();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // A year of one SLA, whatever the period: what a month's promise keeps is less.
    let state = full(&slas[0], now - JOURNAL, 70).to_bytes();
    let mut numbers = Vec::new();
    for sla in &slas {
        numbers.push(history.sla_number(&sla.slo.name, None).await.unwrap());
    }
    let states = numbers.iter().map(|number| (*number, state.clone())).collect();
    history.keep_slas(&SlaChanges { states, ..SlaChanges::default() }).await.unwrap();
    for second in now - JOURNAL..now {
        let told = |number: &i64| {
            let moment = Some(Moment { counts: counts(second), overdue: 0 });
            (number.cast_unsigned(), Entry::Second { second, moment })
        };
        let told: Vec<_> = numbers.iter().map(told).collect();
        let changes = SlaChanges { journal: Entry::to_bytes(&told), ..SlaChanges::default() };
        history.keep_slas(&changes).await.unwrap();
    }
    history.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();

    let page = page().await;
    let program = std::env::current_exe().unwrap();
    let output = tokio::process::Command::new(program).arg(&path).arg(page).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let year = full(&sla(0), now, 366).to_bytes().len();
    println!(
        "{{\"slas\": {SLAS}, {}, \"disk_bytes\": {bytes}, \"state_bytes\": {}, \"year_state_bytes\": {year}}}",
        String::from_utf8(output.stdout).unwrap().trim(),
        state.len()
    );
}

/// Goes on with what is there, and judges.
async fn serve(path: &Path, page: &str) {
    let slas: Vec<Sla> = (0..SLAS).map(sla).collect();
    let started = Instant::now();
    let history = History::open(path).await.unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let connection = Connection { url: Secret::new(page), credentials: None };
    let connections = [(Source::Exposition("page".to_owned()), connection)].into();
    let promises = Promises { slas, connections };
    let access = Access::default();
    let service =
        Service::bind(Config { listen, history, promises, teller: None, plans: None, access }).await.unwrap();
    let restored = started.elapsed().as_secs_f64();
    let stop = CancellationToken::new();
    let running = tokio::spawn(service.run(stop.clone()));
    // The first seconds write all states.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cpu_seconds();
    tokio::time::sleep(Duration::from_secs(JUDGED)).await;
    let judged = (cpu_seconds() - before) / JUDGED as f64;
    let memory = memory_bytes();
    stop.cancel();
    running.await.unwrap();
    println!("\"restored_seconds\": {restored:.3}, \"core_share\": {judged:.4}, \"memory_bytes\": {memory}");
}

/// Serves a page whose counters grow.
async fn page() -> String {
    let answer = async || {
        let millis = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        format!(
            "# TYPE good_total counter\ngood_total {millis}\n# TYPE all_total counter\nall_total {millis}\n"
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(answer))).await });
    url
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = text.rsplit(')').next().unwrap();
    let ticks = behind_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn memory_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn counts(second: u64) -> Counts {
    Counts::new(9990 + second % 10, 10_000).unwrap()
}

fn sla(index: usize) -> Sla {
    let days = if index == 0 { 366 } else { 30 };
    let metric =
        |query: &str| format!("{{metricSource: {{metricSourceRef: page, spec: {{query: {query}}}}}}}");
    let (good, total) = (metric("good_total"), metric("all_total"));
    let text = format!(
        "apiVersion: openslo/v1\nkind: DataSource\nmetadata: {{name: page}}\nspec: {{type: OpenMetrics, connectionDetails: {{url: x}}}}\n---\n\
         apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: sla-{index}}}\nspec:\n  service: web\n  \
         indicator: {{metadata: {{name: i}}, spec: {{ratioMetric: {{counter: true, good: {good}, total: {total}}}}}}}\n  \
         timeWindow: [{{duration: {days}d, isRolling: true}}]\n  budgetingMethod: Occurrences\n  objectives: [{{target: 0.999}}]\n"
    );
    read_slas(&[plimsoll_spec::Source { name: "sla.yaml".to_owned(), text }]).1.remove(0)
}

/// A keeper with data in every bucket that is kept of so many days.
fn full(sla: &Sla, end: u64, days: u64) -> Keeper {
    let mut keeper = Keeper::new(sla).unwrap();
    let begin = end - days * DAY;
    let times = (begin..end - 4 * DAY)
        .step_by(1800)
        .chain((end - 4 * DAY..end - 1200).step_by(30))
        .chain(end - 1200..end);
    for second in times {
        keeper.late(second, counts(second)).unwrap();
    }
    for second in end - 300..end {
        keeper.second(second, Some(Moment { counts: counts(second), overdue: 0 })).unwrap();
    }
    keeper
}
