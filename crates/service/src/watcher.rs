//! Looks at the history twice a second, follows the runs that live, and tells the pages.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_history::{Error, Filter, Reader, RunRow};
use plimsoll_report::Run;
use plimsoll_run::{RunEvent, State};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::events::Event;
use crate::followed::{Followed, fold};
use crate::runs::AT_MOST;
use crate::shapes::{self, Outcome};
use crate::slas::{RunSecond, Slas};

/// A second that was committed is on the page within half of one.
const PERIOD: Duration = Duration::from_millis(500);

/// How long one look reads on. To read weeks of a run that goes on takes minutes, and whoever asks meanwhile, or supervises
/// us, does not wait for that.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// In a second.
const NANOS: i64 = 1_000_000_000;

/// Watches until `ended`.
pub(crate) async fn watch(followed: Arc<Followed>, slas: Arc<Slas>, ended: CancellationToken) {
    let mut watcher = Watcher {
        followed,
        slas,
        readers: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        learning: None,
        has_caught_up: false,
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended.cancelled() => break,
        }
        // What is read stays read, so giving up in the middle of a look loses nothing.
        let looked = tokio::select! {
            looked = watcher.look() => looked,
            () = ended.cancelled() => break,
        };
        watcher.tell_trouble(looked.err());
        watcher.slas.looked();
        watcher.followed.beat();
    }
    if let Some((_, fold)) = watcher.learning {
        fold.abort();
        let _ = fold.await;
    }
}

/// A run that is being folded.
type Fold = JoinHandle<Result<Arc<Run>, Error>>;

struct Watcher {
    followed: Arc<Followed>,
    slas: Arc<Slas>,
    /// Runs that are followed.
    readers: BTreeMap<String, Reader>,
    /// How past runs ended, by id; `None`: their record cannot be read.
    outcomes: BTreeMap<String, Option<Outcome>>,
    /// The past run that is being folded to learn how it ended.
    learning: Option<(String, Fold)>,
    /// Whether SLAs know what ended while no service ran.
    has_caught_up: bool,
}

impl Watcher {
    async fn look(&mut self) -> Result<(), Error> {
        let filter = Filter { limit: Some(AT_MOST), ..Filter::default() };
        let rows = self.followed.history().list(&filter).await?;
        if !self.has_caught_up {
            self.catch_up(&rows).await?;
            self.has_caught_up = true;
        }
        let until = Instant::now() + LONGEST_LOOK;
        self.follow_again(&rows);
        let live = rows.iter().filter(|row| row.is_live()).map(|row| row.id.clone());
        for id in live.chain(self.readers.keys().cloned()).collect::<BTreeSet<_>>() {
            if self.outcomes.contains_key(&id) {
                continue;
            }
            match self.follow(&id, until).await {
                Ok(()) => {}
                // One record that cannot be read, or was deleted meanwhile, does not hide the others.
                Err(error @ (Error::Record { .. } | Error::NoRun { .. } | Error::Empty)) => {
                    tracing::warn!(run = id, %error, "a live run cannot be followed");
                    self.readers.remove(&id);
                    self.followed.known().live.remove(&id);
                    self.outcomes.insert(id, None);
                }
                // A reader that is far behind begins anew, with minutes in the place of what became some.
                Err(Error::Coarsened { .. }) => {
                    self.readers.remove(&id);
                    self.followed.known().live.remove(&id);
                }
                Err(error) => return Err(error),
            }
        }
        self.take_leave(&rows);
        self.learn_outcomes(&rows).await;
        self.tell_runs(&rows);
        Ok(())
    }

    /// A run whose process had died goes on in another: it is followed again, from its beginning.
    fn follow_again(&mut self, rows: &[RunRow]) {
        for row in rows.iter().filter(|row| row.is_live()) {
            if matches!(self.outcomes.get(&row.id), Some(Some(_))) {
                self.outcomes.remove(&row.id);
                self.followed.known().forget(&row.id);
            }
        }
    }

    /// Folds what came of a run since the last look, or some of it where that is much.
    async fn follow(&mut self, id: &str, until: Instant) -> Result<(), Error> {
        let reader = match self.readers.entry(id.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.followed.history().read(id).await?),
        };
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                let told = self.followed.known().fold(id, &event, &self.slas);
                if let Some(second) = told {
                    self.followed.tell(Event::second(&second));
                }
            }
            if Instant::now() > until {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tells SLAs of the runs that ended while no service ran, in the order they began.
    async fn catch_up(&self, rows: &[RunRow]) -> Result<(), Error> {
        let ended = |row: &&RunRow| {
            // Its duration leaves out the gaps in which no process generated its load.
            let end = u64::try_from(row.seen_nanos / NANOS + 1).unwrap_or(0);
            !row.is_live() && self.slas.counted_to(&row.plan).is_some_and(|to| end > to)
        };
        let mut missed: Vec<&RunRow> = rows.iter().filter(ended).collect();
        missed.sort_by_key(|row| row.started_nanos);
        for row in missed {
            match self.tell_all(&row.id).await {
                Err(error @ (Error::Record { .. } | Error::NoRun { .. } | Error::Empty)) => {
                    tracing::warn!(run = row.id, %error, "a run cannot be read, and does not count for SLAs");
                }
                told => told?,
            }
            self.slas.run_over(&row.id);
        }
        Ok(())
    }

    async fn tell_all(&self, id: &str) -> Result<(), Error> {
        let mut reader = self.followed.history().read(id).await?;
        let mut state: Option<State> = None;
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                fold(&mut state, event);
                if let (RunEvent::Second(_), Some(state)) = (event, &state) {
                    self.slas.run_second(&RunSecond { run: id, state });
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Lets go of runs that have ended or were deleted.
    fn take_leave(&mut self, rows: &[RunRow]) {
        let mut known = self.followed.known();
        self.readers.retain(|id, reader| {
            let row = rows.iter().find(|row| row.id == *id);
            // A run that has ended is followed until its last event is read.
            let over = row.is_none() || reader.is_finished();
            if over {
                self.slas.run_over(id);
            }
            if over
                && let Some(state) = known.live.remove(id)
                && row.is_some()
            {
                let run = Arc::new(Run::of(&state));
                self.outcomes.insert(id.clone(), Some(Outcome::of(&run)));
                known.keep(id.clone(), &run);
            }
            !over
        });
        self.outcomes.retain(|id, _| rows.iter().any(|row| row.id == *id));
        self.slas.forget_runs(|id| rows.iter().any(|row| row.id == id));
    }

    /// Learns how runs ended that ended before we looked: from the summary left with them, else by folding one at a time
    /// beside everything else, as that takes long where a run did.
    async fn learn_outcomes(&mut self, rows: &[RunRow]) {
        self.take_learnt().await;
        for row in rows.iter().filter(|row| !row.is_live()) {
            if self.outcomes.contains_key(&row.id) || self.readers.contains_key(&row.id) {
                continue;
            }
            let left = row.summary.as_deref().and_then(Outcome::from_summary);
            if left.is_some() {
                self.outcomes.insert(row.id.clone(), left);
            } else if self.learning.is_none() {
                let (followed, id) = (Arc::clone(&self.followed), row.id.clone());
                let fold = tokio::spawn(async move { followed.run(&id).await });
                self.learning = Some((row.id.clone(), fold));
            }
        }
    }

    async fn take_learnt(&mut self) {
        let Some((id, fold)) = self.learning.take_if(|(_, fold)| fold.is_finished()) else { return };
        let outcome = match fold.await {
            Ok(Ok(run)) => Some(Outcome::of(&run)),
            Ok(Err(error)) => {
                tracing::warn!(run = id, %error, "the record of a run cannot be read");
                None
            }
            Err(error) => {
                tracing::warn!(run = id, %error, "folding a run failed");
                None
            }
        };
        self.outcomes.insert(id, outcome);
    }

    fn tell_runs(&self, rows: &[RunRow]) {
        let rows = rows.iter().map(|row| {
            // As long as its last event is not read, a run is shown as going on.
            let live = self.readers.contains_key(&row.id);
            shapes::row(row, live, self.outcomes.get(&row.id).and_then(Option::as_ref))
        });
        let list = serde_json::json!({ "runs": rows.collect::<Vec<Value>>() });
        let mut known = self.followed.known();
        if known.runs.as_ref() != Some(&list) {
            self.followed.tell(Event::runs(&list));
            known.runs = Some(list);
        }
    }

    fn tell_trouble(&self, error: Option<Error>) {
        let trouble = error.map(|error| shapes::chain(&error));
        let mut known = self.followed.known();
        if known.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(trouble, "the history cannot be read");
            }
            self.followed.tell(Event::trouble(trouble.as_deref()));
            known.trouble = trouble;
        }
    }
}

impl crate::followed::Known {
    /// Folds an event of a live run; gives what pages are told of it.
    fn fold(&mut self, id: &str, event: &RunEvent, slas: &Slas) -> Option<Value> {
        let mut state: Option<State> = self.live.remove(id);
        fold(&mut state, event);
        let state = state?;
        let told = match event {
            RunEvent::Second(_) => {
                slas.run_second(&RunSecond { run: id, state: &state });
                Some(shapes::second(id, &state))
            }
            _ => None,
        };
        self.live.insert(id.to_owned(), state);
        told
    }
}
