//! The engine alone, in a closed loop of a known number of requests: its instructions are counted, and
//! a run with everything on is compared with it.
//!
//! `closed_loop ADDRESS REQUESTS` drives 64 users, each with a connection of its own, until that many
//! requests were answered. The target is another process, so that only the generator is counted.
//! Everything that a run has inside the driver is on: every timing, the edges of two objectives,
//! a shard handed over each second. With the word `check` behind, the shards are put together, and it
//! fails when a request failed or is missing; without it nothing is done with them, so that what a
//! request costs does not depend on how many seconds passed.

#[expect(dead_code, clippy::unwrap_used, reason = "the tests' plans and helpers, of which this needs a few")]
#[path = "../tests/driver/common.rs"]
mod common;

use std::error::Error;

use mimalloc::MiMalloc;
use plimsoll_driver::{Collector, Driver, DriverConfig, Message, NetworkTransport, Transport};
use plimsoll_measure::Outcome;
use plimsoll_run::{Action, LoadModel, RunPlan, UserLimits};
use plimsoll_sla::{Expression, Filter, Objective, Severity};

/// As in the program that people use.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USERS: u32 = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, requests, shards) = match arguments.as_slice() {
        [address, requests] => (address, requests, Shards::Dropped),
        [address, requests, check] if check == "check" => (address, requests, Shards::Checked),
        _ => return Err("closed_loop ADDRESS REQUESTS [check]".into()),
    };
    let requests: u64 = requests.parse()?;
    let plan = plan(address, requests)?;
    let transport = Transport::Network(NetworkTransport::new(&plan).await?);
    let config =
        DriverConfig { workers: 1, ..common::config(plan, transport, plimsoll_driver::Http1::Compiled) };
    let succeeded = drive(&config, shards).await?;
    if shards == Shards::Checked && succeeded != requests {
        return Err(format!("{succeeded} of {requests} requests succeeded").into());
    }
    Ok(())
}

/// What becomes of the seconds that the worker hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shards {
    Dropped,
    Checked,
}

fn plan(address: &str, requests: u64) -> Result<RunPlan, Box<dyn Error>> {
    let LoadModel::Closed { stages, .. } = common::closed(USERS, 3600.0) else {
        return Err("users make a closed model".into());
    };
    let model = LoadModel::Closed {
        stages,
        limits: UserLimits { iterations: Some(requests), ..UserLimits::default() },
    };
    let home = Action::Request(Box::new(common::get(0, "/")));
    let mut plan = common::plan(&format!("http://{address}"), model, vec![home]);
    plan.objectives = vec![
        objective("quick", "p95(response_time) <= 250ms")?,
        objective("few errors", "error_ratio <= 0.1%")?,
    ];
    Ok(plan)
}

fn objective(name: &str, text: &str) -> Result<Objective, Box<dyn Error>> {
    Ok(Objective {
        name: name.to_owned(),
        text: text.to_owned(),
        expression: Expression::parse(text)?,
        over: None,
        filter: Filter::default(),
        abort_after: None,
        severity: Severity::Critical,
        message: None,
    })
}

/// Runs it to its end and says how many requests succeeded, as far as shards were looked at.
async fn drive(config: &DriverConfig, shards: Shards) -> Result<u64, Box<dyn Error>> {
    let mut driver = Driver::start(config)?;
    let mut collector = Collector::new(driver.workers());
    let mut succeeded = 0;
    while !collector.is_finished() {
        match driver.messages.recv().await.ok_or("the worker ended early")? {
            Message::Shard { worker, shard } => {
                if shards == Shards::Checked {
                    collector.add(worker, &shard);
                }
                driver.give_back(worker, shard);
            }
            Message::Finished { worker, .. } => collector.finish(worker),
            Message::OfferingEnded { .. } => {}
        }
        while let Some(frame) = collector.take() {
            succeeded += frame.requests(|key| key.outcome == Outcome::Ok);
        }
    }
    if let Some(failure) = driver.failure() {
        return Err(failure.into());
    }
    driver.join();
    Ok(succeeded)
}
