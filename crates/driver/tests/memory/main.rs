//! Memory stays flat however long and however fast a load is, on a simulated clock.
//!
//! The whole way of the data is there but for files and sockets: the driver, its shards, the frames they
//! become, the state of a run that folds them and judges its objectives. Everything happens on one
//! thread, whose allocator counts the bytes held. They are looked at at the end of each second.
//!
//! The ordinary test is short: as many seconds as it takes until what is bounded by number has been halved
//! a few times, at a lower rate, and a few seconds at the high rate. `PLIMSOLL_SIMULATE=whole` runs a week at 100/s and ten minutes at
//! 10,000/s, which `cargo xtask soak simulated` does in a release build.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[expect(dead_code, reason = "the tests of the reader measure more")]
#[path = "../http1/allocations.rs"]
mod allocations;
#[expect(dead_code, reason = "the tests of the driver need more plans and helpers")]
#[path = "../driver/common.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_driver::{Collector, DriverConfig, Http1, Message, Simulation, Transport};
use plimsoll_run::{Action, Gauges, LoadModel, RunEvent, RunInfo, RunPlan, Second, Shape, Started, State};
use plimsoll_sla::{Expression, Filter, Objective, Severity};
use plimsoll_workload::Pause;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

/// The first part of a run is its warm-up: connections, buffers, histograms and windows find their size.
const WARM_UP: f64 = 0.25;
/// How much may be added between the first and the last third of what follows.
const GROWTH: f64 = 0.02;

/// How long a request takes, on the simulated clock.
const SERVICE: Duration = Duration::from_millis(5);

#[test]
fn memory_is_flat_over_a_week_at_a_hundred_per_second() {
    // Kept requests reach their bound after 12,000 s, and again each time in twice the time: after 24,000 s
    // in the first third, after 48,000 s in the last.
    check((1.0, 50_000), (100.0, 7 * 24 * 3_600));
}

#[test]
fn memory_is_flat_over_ten_minutes_at_ten_thousand_per_second() {
    check((10_000.0, 8), (10_000.0, 600));
}

/// Simulates a rate for so many seconds: the short form, or the whole one when asked.
fn check(short: (f64, u64), whole: (f64, u64)) {
    let is_whole = std::env::var("PLIMSOLL_SIMULATE").is_ok_and(|form| form == "whole");
    let (rate, seconds) = if is_whole { whole } else { short };
    let length = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let simulated = runtime.unwrap().block_on(simulate_rate(rate, length));
    assert_eq!(simulated.requests, (rate * length.as_secs_f64()) as u64, "every request succeeded");
    let (first, last) = thirds(&simulated.held).unwrap();
    let growth = last as f64 / first as f64 - 1.0;
    println!(
        "{rate}/s for {length:?}: {first} bytes in the first third, {last} in the last, {:+.2}%",
        growth * 100.0
    );
    assert!(growth <= GROWTH, "{first} bytes became {last} bytes");
}

struct Simulated {
    requests: u64,
    /// Bytes held at the end of each second, beyond those from before the run.
    held: Vec<isize>,
}

/// The most memory that a user of a ten-step journey may take with its cookies, its connection, and here the
/// server's end of it too.
const PER_USER: usize = 20_000;

#[test]
fn users_with_cookies_and_a_ten_step_journey_are_small() {
    let is_whole = std::env::var("PLIMSOLL_SIMULATE").is_ok_and(|form| form == "whole");
    let users = if is_whole { 10_000 } else { 1_000 };
    let pause = || Action::Pause(Pause::fixed(Duration::from_millis(900)));
    let steps = (0..10).flat_map(|step| [Action::Request(Box::new(common::get(step, "/"))), pause()]);
    let plan = common::plan("http://simulated", common::closed(users, 20.0), steps.collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let simulated = runtime.unwrap().block_on(simulate(plan, 0.0, Duration::from_secs(20)));
    assert!(simulated.requests >= u64::from(users) * 20, "{} requests", simulated.requests);
    let most = simulated.held.iter().copied().max().unwrap();
    println!("{users} users: {most} bytes, {} each", most as usize / users as usize);
    assert!(most as usize <= users as usize * PER_USER, "{most} bytes for {users} users");
}

async fn simulate_rate(rate: f64, length: Duration) -> Simulated {
    let home = Action::Request(Box::new(common::get(0, "/")));
    let plan = common::plan("http://simulated", common::open(rate, length.as_secs_f64()), vec![home]);
    simulate(plan, rate, length).await
}

async fn simulate(mut plan: RunPlan, rate: f64, length: Duration) -> Simulated {
    plan.objectives = vec![
        objective("quick", "p95(response_time) <= 250ms"),
        objective("few errors", "error_ratio <= 0.1%"),
    ];
    // What is looked at is not part of what is measured: it has its room beforehand.
    let mut held = Vec::with_capacity(length.as_secs() as usize + 60);
    let before = allocations::held();
    // Users of the closed model stay, and keep what they are given.
    let is_closed = matches!(plan.load.model, LoadModel::Closed { .. });
    let transport = Transport::Memory(Arc::new(move || serve(is_closed)));
    let config = DriverConfig { workers: 1, ..common::config(plan, transport, Http1::default()) };
    let mut state = State::new(Arc::new(started(&config.plan)));
    let mut collector = Collector::new(1);
    let told = |message| match message {
        Message::Shard { worker, shard } => {
            collector.add(worker, &shard);
            while let Some(frame) = collector.take() {
                let gauges = Gauges { offered_rate: rate, virtual_users: 1, connections: 1 };
                let wall_nanos = frame.second as i64 * 1_000_000_000;
                let second = Second {
                    frame,
                    gauges,
                    vitals: plimsoll_measure::Vitals::default(),
                    resources: Vec::new(),
                    wall_nanos,
                };
                state.apply(&RunEvent::Second(Arc::new(second)));
                held.push(allocations::held() - before);
            }
            Some(shard)
        }
        Message::Finished { .. } | Message::OfferingEnded { .. } => None,
    };
    Simulation::follow(&config, told).await.unwrap();
    let requests = state.summary().totals.succeeded;
    held.truncate(length.as_secs() as usize);
    Simulated { requests, held }
}

/// A session, a basket and a choice of language, as shops set them.
const WITH_COOKIES: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\
    set-cookie: session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; SameSite=Lax\r\n\
    set-cookie: basket=7c9e6679-7425-40de-944b-e07fc1f90ae7; Path=/; Max-Age=86400\r\n\
    set-cookie: language=de; Path=/\r\n\r\nhello\n";

/// Answers each request of a connection after a while, with cookies or without.
fn serve(is_served_cookies: bool) -> DuplexStream {
    let (near, mut far) = tokio::io::duplex(4 * 1024);
    drop(tokio::task::spawn_local(async move {
        let (mut buffer, mut filled) = ([0; 1024], 0);
        while let Ok(read @ 1..) = far.read(&mut buffer[filled..]).await {
            filled += read;
            if buffer[..filled].ends_with(b"\r\n\r\n") {
                filled = 0;
                tokio::time::sleep(SERVICE).await;
                let answer: &[u8] = if is_served_cookies {
                    WITH_COOKIES
                } else {
                    b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n"
                };
                if far.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    }));
    near
}

fn started(plan: &RunPlan) -> Started {
    Started {
        info: RunInfo {
            id: "simulated".into(),
            started_nanos: 0,
            seed: 1,
            version: None,
            environment: None,
            tags: plan.tags.clone(),
            machine: plimsoll_run::Machine::default(),
            plimsoll: String::new(),
            target: plan.target.clone(),
        },
        shape: Shape::of(plan),
        plan_text: String::new(),
        calibration: None,
    }
}

/// An objective over a sliding window, which has to be kept.
fn objective(name: &str, text: &str) -> Objective {
    Objective {
        name: name.to_owned(),
        text: text.to_owned(),
        expression: Expression::parse(text).unwrap(),
        over: Some(2),
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    }
}

/// The peaks of the first and of the last third of what follows the warm-up. Points of a course and
/// requests that are kept grow to their bound and are halved there, so that a middle says little.
fn thirds(held: &[isize]) -> Option<(isize, isize)> {
    let warm = &held[(held.len() as f64 * WARM_UP).ceil() as usize..];
    let third = warm.len() / 3;
    let peak = |part: &[isize]| part.iter().max().copied();
    Some((peak(&warm[..third])?, peak(&warm[warm.len() - third..])?))
}
