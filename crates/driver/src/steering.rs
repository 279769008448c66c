//! What a load is told to be while it goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plimsoll_workload::Wanted;
use tokio_util::sync::CancellationToken;

/// A load is to be this from an offset (nanoseconds from the start) on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steer {
    pub(crate) at: u64,
    pub(crate) wanted: Wanted,
}

/// What one load is told, for all workers.
///
/// A worker that waits for its next arrival is woken through the token by which it is stopped, so that the way of
/// an arrival is what it is without any steering.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    stop: CancellationToken,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    steers: Vec<Steer>,
    /// Cancelled with the next steer, and with the run.
    changed: CancellationToken,
}

impl Steering {
    /// For a load of a run that `stop` stops.
    pub(crate) fn new(stop: &CancellationToken) -> Self {
        let told = Told { steers: Vec::new(), changed: stop.child_token() };
        Self { stop: stop.clone(), told: Mutex::new(told) }
    }

    /// Tells all workers. Offsets never go back.
    pub(crate) fn tell(&self, steer: Steer) {
        let mut told = self.told();
        told.steers.push(steer);
        std::mem::replace(&mut told.changed, self.stop.child_token()).cancel();
    }

    /// What was told after the first `known`, and what is cancelled when there is more or the run is stopped.
    pub(crate) fn since(&self, known: usize) -> (Vec<Steer>, CancellationToken) {
        let told = self.told();
        (told.steers.get(known..).unwrap_or_default().to_vec(), told.changed.clone())
    }

    /// From when on more was told than the first `known`: what is due there is not known yet.
    pub(crate) fn unknown_from(&self, known: usize) -> u64 {
        self.told().steers.get(known).map_or(u64::MAX, |steer| steer.at)
    }

    /// Whether it was ever told anything.
    pub(crate) fn is_steered(&self) -> bool {
        !self.told().steers.is_empty()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
