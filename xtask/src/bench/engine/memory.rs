//! How much memory users and streams take: those of HTTP/1.1 with a connection each, streams of HTTP/2,
//! and users who only think.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Bench, Finding, Section};
use crate::bench::programs::{HOME, Plan};
use crate::bench::quantiles::number;
use crate::bench::table::{Table, figure, grouped, megabytes};

/// Users of HTTP/1.1, each with a connection of its own.
const USERS: u32 = 10_000;
const MOST_FOR_USERS: f64 = 120e6;
/// How long they take to come, and how long they stay, in seconds: more than 64 requests of half a
/// second each, so that every connection has seen its buffers at their full size.
const RAMP: u64 = 5;
const HOLD: u64 = 35;

/// Streams of HTTP/2, over so many connections.
const STREAMS: u32 = 100_000;
const CONNECTIONS: u32 = 100;
const MOST_FOR_STREAMS: f64 = 600e6;

/// Users who think; the same again is what one of them is reckoned from.
const THINKING: u32 = 100_000;
/// Users of the figure on paper.
const PLANNED: f64 = 1e6;

/// Gives the peak memory in bytes.
type Case = fn(&Bench) -> anyhow::Result<f64>;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let mut section = Section::default();
    let mut table = Table::new(&["users", "peak memory", "per user"]);
    let cases: [(&str, f64, f64, Case); 2] = [
        ("connected closed users, HTTP/1.1", f64::from(USERS), MOST_FOR_USERS, connected),
        ("streams at once, HTTP/2", f64::from(STREAMS), MOST_FOR_STREAMS, streams),
    ];
    for (name, count, most, case) in cases {
        let peak = case(bench).inspect_err(|error| println!("!!! NOT MEASURED: {name}: {error:#}")).ok();
        let name = format!("{} {name}", grouped(count));
        let asked = format!("under {}", megabytes(most));
        section
            .findings
            .push(Finding::new(format!("{name}: peak memory"), peak, megabytes, asked, |peak| peak < most));
        let each = figure(peak, |peak| format!("{} bytes", grouped(peak / count)));
        table.row([name, figure(peak, megabytes), each]);
    }
    let few = thinking(bench, THINKING)?;
    let many = thinking(bench, 2 * THINKING)?;
    for (users, peak) in [(THINKING, few), (2 * THINKING, many)] {
        table.row([format!("{} thinking users", grouped(users.into())), megabytes(peak)]);
    }
    let (each, planned) = on_paper(few, many);
    table.row([
        format!("{} thinking users, on paper", grouped(PLANNED)),
        megabytes(planned),
        format!("{} bytes", grouped(each)),
    ]);
    section.findings.push(Finding {
        figure: format!("{} thinking users, on paper", grouped(PLANNED)),
        found: format!("{} bytes each, {}", grouped(each), megabytes(planned)),
        asked: "a measured cost per user".to_owned(),
        verdict: super::Verdict::Met,
    });
    section.text = format!(
        "The high-water mark that the kernel keeps (`VmHWM`) of the whole process, everything on. What a thinking user\n\
         takes is the difference of two runs by the difference of their users; a connection comes on top of it\n\
         while a user has one.\n\n{}",
        table.markdown()
    );
    Ok(section)
}

/// Bytes of a user, and of all that are planned.
fn on_paper(few: f64, many: f64) -> (f64, f64) {
    let each = (many - few) / f64::from(THINKING);
    (each, few + each * (PLANNED - f64::from(THINKING)))
}

/// Users who wait for a slow target, until their connections' buffers have grown.
fn connected(bench: &Bench) -> anyhow::Result<f64> {
    let target = bench.programs.target("fixed:500ms")?;
    let load = format!(
        "  model: closed\n  grace: 5s\n  stages:\n    - {{ ramp: {USERS} users, over: {RAMP}s }}\n    \
         - {{ hold: {USERS} users, for: {HOLD}s }}"
    );
    let plan = Plan { target: &target.url(), load: &load, http: "{}", steps: HOME };
    let ran = bench.programs.run_whole(&plan, Duration::from_secs(RAMP + HOLD))?;
    ran.succeeded()?;
    let connections = number(&ran.json, "/connect_time/count").unwrap_or_default();
    ensure!(connections >= f64::from(USERS), "only {connections} connections were opened");
    Ok(ran.cost.peak_memory as f64)
}

/// Users who all wait at once, each on a stream, for a target that takes ten seconds.
fn streams(bench: &Bench) -> anyhow::Result<f64> {
    let target = bench.programs.target("fixed:10s")?;
    let load = format!(
        "  model: closed\n  grace: 30s\n  stages:\n    - {{ ramp: {STREAMS} users, over: 10s }}\n    \
         - {{ hold: {STREAMS} users, for: 12s }}"
    );
    let each = STREAMS / CONNECTIONS;
    let http = format!("{{ version: \"2\", connections: {CONNECTIONS}, streams: {each}, timeout: 60s }}");
    let plan = Plan { target: &target.url(), load: &load, http: &http, steps: HOME };
    let (most, looked) = (AtomicU64::new(0), AtomicU64::new(0));
    let watch = |at: Duration, _| {
        // Once a second is enough to see a plateau of seconds.
        if at.as_secs() > looked.load(Ordering::Relaxed) {
            looked.store(at.as_secs(), Ordering::Relaxed);
            let seen = target.record().ok().and_then(|record| number(&record, "/in_flight"));
            most.fetch_max(seen.unwrap_or_default() as u64, Ordering::Relaxed);
        }
    };
    let ran = bench
        .programs
        .run_whole_watched(&plan, Duration::from_secs(52), watch)
        .context("this plimsoll does not speak HTTP/2")?;
    ran.succeeded()?;
    let most = most.into_inner();
    ensure!(most >= u64::from(STREAMS) * 99 / 100, "only {most} requests were at the target at once");
    Ok(ran.cost.peak_memory as f64)
}

/// Users who think for minutes before they do anything: none has a connection, and because they would
/// share one, no plan is refused for want of descriptors.
fn thinking(bench: &Bench, users: u32) -> anyhow::Result<f64> {
    let target = bench.programs.target("none")?;
    let load = format!(
        "  model: closed\n  grace: 1s\n  stages:\n    - {{ ramp: {users} users, over: 4s }}\n    \
         - {{ hold: {users} users, for: 3s }}"
    );
    let steps = "[ { pause: 2m..5m }, { name: home, get: / } ]";
    let plan = Plan { target: &target.url(), load: &load, http: "{ version: \"2\", connections: 1 }", steps };
    let ran = bench.programs.run_whole(&plan, Duration::from_secs(7))?;
    Ok(ran.cost.peak_memory as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_users_are_reckoned_from_two_runs() {
        let (each, planned) = on_paper(120e6, 220e6);
        assert_eq!((each, planned), (1_000.0, 1_020e6));
    }
}
