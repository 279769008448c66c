//! A plan tried out: one iteration of each scenario, looked at request by request.

use std::sync::Arc;
use std::time::Instant;

use plimsoll_driver::{
    Clock, DriverConfig, DriverError, Feeds, Http1, NetworkTransport, Once, Origin, Transport,
};
use plimsoll_measure::Phase;
use plimsoll_run::{Action, Observed, RunPlan, Shape};
use tokio_util::sync::CancellationToken;

use crate::{Control, RunError};

/// One part of a plan that was tried out.
#[derive(Debug)]
pub struct TriedPart {
    /// `setup`, a scenario's name, or `teardown`.
    pub name: String,
    /// Its requests in the order they ended.
    pub observed: Vec<Observed>,
    /// Why it did not end as it should, if so.
    pub failure: Option<String>,
}

/// A plan that was tried out.
#[derive(Debug)]
pub struct Tried {
    /// Setup where there is one, each scenario, and teardown where there is one.
    pub parts: Vec<TriedPart>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

impl Tried {
    /// Whether any request got an answer.
    pub fn was_answered(&self) -> bool {
        let samples = self.parts.iter().flat_map(|part| &part.observed).filter_map(|seen| seen.sample);
        samples.into_iter().any(|sample| sample.key.outcome.is_answer())
    }

    /// Whether all went as the plan expects.
    pub fn succeeded(&self) -> bool {
        self.parts.iter().all(|part| part.failure.is_none())
    }
}

/// Runs setup, one iteration of each scenario on a user of its own, one after the other, and teardown.
///
/// Nothing is recorded or exported, and no load is offered. After a setup that failed scenarios would only
/// fail too, and are left out; teardown runs always.
///
/// # Errors
/// When connections cannot be made ready or a step cannot be sent as it stands.
pub async fn once(plan: Arc<RunPlan>, control: &Control) -> Result<Tried, RunError> {
    let seed = plan.seed.unwrap_or_else(|| rand::random::<u64>() >> 11);
    let mut trial = Trial::new(&plan, uuid::Uuid::now_v7().to_string(), seed).await?;
    let stop = control.token();
    let mut goes_on = true;
    if !plan.setup.is_empty() {
        let captures = trial.part("setup", &plan.setup, Phase::Setup, stop.clone()).await?;
        trial.config.setup = captures;
        goes_on = trial.parts.iter().all(|part| part.failure.is_none());
    }
    for scenario in plan.scenarios.iter().filter(|_| goes_on) {
        if stop.is_cancelled() {
            break;
        }
        trial.part(&scenario.name, &scenario.actions, Phase::Measured, stop.clone()).await?;
    }
    if !plan.teardown.is_empty() {
        trial.part("teardown", &plan.teardown, Phase::Teardown, CancellationToken::new()).await?;
    }
    Ok(Tried { parts: trial.parts, stopped: stop.is_cancelled() })
}

/// Makes the teardown of a run that is gone: with its id as `{{ run.id }}`, and with what its seed decides.
///
/// # Errors
/// When connections cannot be made ready or a step cannot be sent as it stands.
pub async fn undo(
    plan: Arc<RunPlan>,
    run_id: String,
    seed: u64,
    control: &Control,
) -> Result<Tried, RunError> {
    let mut trial = Trial::new(&plan, run_id, seed).await?;
    let stop = control.token();
    trial.part("teardown", &plan.teardown, Phase::Teardown, stop.clone()).await?;
    Ok(Tried { parts: trial.parts, stopped: stop.is_cancelled() })
}

struct Trial {
    config: DriverConfig,
    clock: Clock,
    parts: Vec<TriedPart>,
}

impl Trial {
    async fn new(plan: &Arc<RunPlan>, run_id: String, seed: u64) -> Result<Self, RunError> {
        let network = NetworkTransport::new(plan).await?;
        let config = DriverConfig {
            shape: Arc::new(Shape::of(plan)),
            seed,
            run_id,
            workers: 1,
            transport: Transport::Network(network),
            setup: Arc::new([]),
            feeds: Feeds::new(&plan.feeds, seed),
            http1: Http1::default(),
            origin: Origin::default(),
            observe: true,
            plan: Arc::clone(plan),
        };
        Ok(Self { config, clock: Clock::real(Instant::now()), parts: Vec::new() })
    }

    /// Runs a list of steps and says what it captured.
    async fn part(
        &mut self,
        name: &str,
        actions: &[Action],
        phase: Phase,
        stop: CancellationToken,
    ) -> Result<Arc<[Option<String>]>, DriverError> {
        let Once { captures, failure, observed, .. } =
            Once::run(self.config.clone(), actions.to_vec(), phase, 0, self.clock, stop).await?;
        // Which request failed is told with it; here only what is not seen there.
        self.parts.push(TriedPart { name: name.to_owned(), observed, failure });
        Ok(captures)
    }
}
