//! HTTP/2 on 8 connections with 32 streams each, beside h2load.

use std::time::Duration;

use anyhow::Context;

use super::{Bench, Finding, Section};
use crate::bench::nginx::Nginx;
use crate::bench::peers::{Closed, Peer};
use crate::bench::programs::{HOME, Plan};
use crate::bench::rounds::{Series, interleave};
use crate::bench::table::{Table, figure, grouped};

const CONNECTIONS: u32 = 8;
const STREAMS: u32 = 32;
/// Requests per generator CPU-second, as a multiple of h2load's.
const ASKED: f64 = 0.8;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Section> {
    let folder = &bench.programs.folder;
    let nginx = Nginx::start(folder)?;
    let (url, seconds) = (nginx.http2_url(), bench.seconds);
    let h2load = bench.peers.iter().find(|found| found.peer == Peer::H2load);
    let h2load = h2load.context("h2load is not installed")?;
    let users = CONNECTIONS * STREAMS;
    let load =
        format!("  model: closed\n  grace: 1s\n  stages:\n    - {{ hold: {users} users, for: {seconds}s }}");
    let http = format!("{{ version: \"2\", connections: {CONNECTIONS}, streams: {STREAMS} }}");
    let plan = Plan { target: &url, load: &load, http: &http, steps: HOME };
    let closed = Closed { url: &url, connections: CONNECTIONS, seconds };
    let rows = interleave(bench.rounds, &["plimsoll", "h2load"], |side| {
        let (requests, cost) = if *side == "plimsoll" {
            let ran = bench
                .programs
                .run_whole(&plan, Duration::from_secs(seconds.into()))
                .context("this plimsoll does not speak HTTP/2")?;
            (ran.succeeded()?, ran.cost)
        } else {
            let (requests, cost) = h2load.streams(&closed, STREAMS, folder)?;
            (requests.succeeded, cost)
        };
        Ok((cost.cpu_seconds / requests * 1e6, requests / f64::from(seconds)))
    })?;
    let part = |side: usize, part: fn(&(f64, f64)) -> f64| -> Series {
        rows.get(side).into_iter().flatten().map(|row| Some(part(row))).collect()
    };
    let (cpu, rate) =
        ([0, 1].map(|side| part(side, |row| row.0)), [0, 1].map(|side| part(side, |row| row.1)));
    let multiples = cpu[1].over(&cpu[0]);
    let range = multiples.range();
    let write = |value: f64| match range {
        Some(range) => format!("{value:.2}x ({:.2} to {:.2})", range.low, range.high),
        None => format!("{value:.2}x"),
    };
    let finding = Finding::new(
        format!(
            "HTTP/2, {CONNECTIONS} connections x {STREAMS} streams, requests per generator CPU-second beside h2load"
        ),
        multiples.median(),
        write,
        format!("at least {ASKED}x"),
        |value| value >= ASKED,
    );
    let mut table = Table::new(&["tool", "CPU seconds per million requests", "requests/s"]);
    for (index, name) in ["plimsoll", "h2load"].into_iter().enumerate() {
        let cpu = figure(cpu[index].median(), |value| format!("{value:.2}"));
        table.row([name.to_owned(), cpu, figure(rate[index].median(), grouped)]);
    }
    let text =
        format!("nginx by prior knowledge, without TLS. Ours has everything on.\n\n{}", table.markdown());
    Ok(Section { findings: vec![finding], text, charts: Vec::new() })
}
