use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plimsoll_history::{Error, History};
use plimsoll_report::Run;
use plimsoll_run::{RunEvent, State, WallTime};
use serde_json::Value;
use tokio::sync::watch;

use crate::events::Event;
use crate::journal::Journal;

/// Past runs that are kept folded, because whoever opens a run's page asks three times for it.
const KEPT: usize = 4;

/// What the service knows, shared by the watcher that brings it and the answers that tell it.
#[derive(Debug)]
pub(crate) struct Followed {
    history: History,
    pulse: watch::Sender<Pulse>,
    journal: Journal,
    known: Mutex<Known>,
}

/// That the service looks at its record, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// How often it looked.
    pub looks: u64,
    /// Whether the last look could read the record.
    pub is_ready: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The list of runs as pages get it; `None` before the first look.
    pub(crate) runs: Option<Value>,
    /// The folded states of live runs.
    pub(crate) live: BTreeMap<String, State>,
    /// Why the record cannot be read, while it cannot.
    pub(crate) trouble: Option<String>,
    /// Past runs, last used last.
    past: Vec<(String, Arc<Run>)>,
}

impl Followed {
    pub(crate) fn new(history: History, pulse: watch::Sender<Pulse>) -> Self {
        Self { history, pulse, journal: Journal::new(), known: Mutex::default() }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Held for as long as it takes to copy or fold; never across an await.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record was looked at.
    pub(crate) fn beat(&self) {
        let is_ready = self.known().trouble.is_none();
        self.pulse.send_modify(|pulse| *pulse = Pulse { looks: pulse.looks + 1, is_ready });
    }

    /// Tells every page.
    pub(crate) fn tell(&self, event: Event) {
        self.journal.tell(event);
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// A run in figures: as far as it is followed, or folded from its record.
    ///
    /// # Errors
    /// When there is no such run or the record cannot be read.
    pub(crate) async fn run(&self, asked: &str) -> Result<Arc<Run>, Error> {
        let id = self.history.find(asked).await?;
        self.summed_up(id).await
    }

    async fn summed_up(&self, id: String) -> Result<Arc<Run>, Error> {
        if let Some(run) = self.known().ready(&id) {
            return Ok(run);
        }
        let run = match self.fold(&id).await {
            // It happens to a record once in a while, and not twice within a read.
            Err(Error::Coarsened { .. }) => self.fold(&id).await,
            folded => folded,
        };
        let run = Arc::new(run?);
        if run.summary.status.is_some() {
            self.known().keep(id, &run);
        }
        Ok(run)
    }

    /// The id of a run, and where it lies in wall time. One that is followed is not summed up for it, which takes long and
    /// holds up everybody who waits for what is known; a past one is, once, and kept.
    ///
    /// # Errors
    /// When there is no such run or the record cannot be read.
    pub(crate) async fn wall_time(&self, asked: &str) -> Result<(String, WallTime), Error> {
        let id = self.history.find(asked).await?;
        if let Some(state) = self.known().live.get(&id) {
            return Ok((id, state.wall_time()));
        }
        let run = self.summed_up(id.clone()).await?;
        Ok((id, run.summary.wall_time()))
    }

    /// Looks at the state of a run: as far as it is followed, or folded from its record.
    ///
    /// # Errors
    /// When there is no such run or the record cannot be read.
    pub(crate) async fn with_state<T>(&self, id: &str, look: impl FnOnce(&State) -> T) -> Result<T, Error> {
        if let Some(state) = self.known().live.get(id) {
            return Ok(look(state));
        }
        self.folded(id).await.map(|state| look(&state))
    }

    async fn fold(&self, id: &str) -> Result<Run, Error> {
        self.folded(id).await.map(|state| Run::of(&state))
    }

    async fn folded(&self, id: &str) -> Result<State, Error> {
        let mut reader = self.history.read(id).await?;
        let mut state: Option<State> = None;
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                fold(&mut state, event);
            }
            // A minute of many series is some milliseconds of work: others get their turn in between.
            tokio::task::yield_now().await;
        }
        // A reader always gives the first event first; a run deleted meanwhile has none.
        state.ok_or(Error::Empty)
    }
}

impl Known {
    fn ready(&mut self, id: &str) -> Option<Arc<Run>> {
        if let Some(state) = self.live.get(id) {
            return Some(Arc::new(Run::of(state)));
        }
        let place = self.past.iter().position(|(known, _)| known == id)?;
        let found = self.past.remove(place);
        let run = Arc::clone(&found.1);
        self.past.push(found);
        Some(run)
    }

    /// A past run has changed after all.
    pub(crate) fn forget(&mut self, id: &str) {
        self.past.retain(|(known, _)| known != id);
    }

    /// Keeps a run that will not change any more.
    pub(crate) fn keep(&mut self, id: String, run: &Arc<Run>) {
        self.past.retain(|(known, _)| *known != id);
        if self.past.len() == KEPT {
            self.past.remove(0);
        }
        self.past.push((id, Arc::clone(run)));
    }
}

/// Folds an event into a run that begins with it or has begun.
pub(crate) fn fold(state: &mut Option<State>, event: &RunEvent) {
    match (state.as_mut(), event) {
        (Some(state), event) => state.apply(event),
        (None, RunEvent::Started(started)) => *state = Some(State::new(Arc::clone(started))),
        (None, _) => {}
    }
}
