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
use crate::missed::Missed;
use crate::runs::AT_MOST;
use crate::shapes::{self, Outcome};
use crate::slas::{RunSecond, Slas};

/// A second that was committed is on the page within half of one.
const PERIOD: Duration = Duration::from_millis(500);

/// How long one look reads on. To read weeks of a run that goes on takes minutes, and whoever asks meanwhile, or supervises
/// us, does not wait for that.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Watches until `ended`.
pub(crate) async fn watch(followed: Arc<Followed>, slas: Arc<Slas>, ended: CancellationToken) {
    let mut watcher = Watcher::new(followed, slas);
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
        if watcher.missed.is_none() {
            watcher.slas.looked();
        }
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
    /// What ended while no service ran, until SLAs know it.
    missed: Option<Missed>,
    /// Runs that lived meanwhile: they are followed even if they have ended by now.
    awaited: BTreeSet<String>,
}

impl Watcher {
    fn new(followed: Arc<Followed>, slas: Arc<Slas>) -> Self {
        Self {
            followed,
            slas,
            readers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            learning: None,
            missed: Some(Missed::default()),
            awaited: BTreeSet::new(),
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let filter = Filter { limit: Some(AT_MOST), ..Filter::default() };
        let rows = self.followed.history().list(&filter).await?;
        let until = Instant::now() + LONGEST_LOOK;
        if !self.catch_up(&rows, until).await? {
            self.slas.forget_runs(|id| rows.iter().any(|row| row.id == id));
            self.learn_outcomes(&rows).await;
            self.tell_runs(&rows);
            return Ok(());
        }
        self.follow_again(&rows);
        let live = rows.iter().filter(|row| row.is_live()).map(|row| row.id.clone());
        let known = live.chain(self.readers.keys().cloned()).chain(self.awaited.iter().cloned());
        for id in known.collect::<BTreeSet<_>>() {
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
        self.awaited.clear();
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

    /// Tells SLAs of the runs that ended while no service ran, before those that live; whether they know all of them.
    async fn catch_up(&mut self, rows: &[RunRow], until: Instant) -> Result<bool, Error> {
        let Some(missed) = &mut self.missed else { return Ok(true) };
        self.awaited.extend(rows.iter().filter(|row| row.is_live()).map(|row| row.id.clone()));
        let is_told = missed.go_on(self.followed.history(), &self.slas, until).await?;
        if is_told {
            self.missed = None;
        }
        Ok(is_told)
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
            let is_followed = self.readers.contains_key(&row.id) || self.awaited.contains(&row.id);
            if is_followed || self.outcomes.contains_key(&row.id) {
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

#[cfg(test)]
mod tests {
    use plimsoll_history::{History, Recorder};

    use super::*;
    use crate::fixture::{PATIENCE, began, counted, end, judge_anew, judging, record, second};

    #[tokio::test]
    async fn a_run_that_ends_while_those_before_it_are_told_counts_too() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let base = judging(&history).await;
        record(&history, "long", base + 10, 200).await;
        let live = Recorder::start(&history, &began("live", base + 300)).await.unwrap();
        let slas = judge_anew(&history).await;
        let followed = Arc::new(Followed::new(history.clone(), tokio::sync::watch::Sender::default()));
        let mut watcher = Watcher::new(followed, Arc::clone(&slas));
        let rows = history.list(&Filter::default()).await.unwrap();
        assert!(!watcher.catch_up(&rows, Instant::now()).await.unwrap());
        assert_eq!(counted(&slas), 1 + 60, "only a minute of the first");
        (0..3).for_each(|number| live.record(&second(number, &began("live", base + 300))));
        live.record(&end(3));
        assert!(live.finish(PATIENCE).await.ended);
        let rows = history.list(&Filter::default()).await.unwrap();
        watcher.learn_outcomes(&rows).await;
        watcher.look().await.unwrap();
        assert_eq!(counted(&slas), 1 + 200 + 3);
        assert!(watcher.missed.is_none() && watcher.awaited.is_empty());
        watcher.look().await.unwrap();
        assert_eq!(counted(&slas), 1 + 200 + 3, "no second counts twice");
    }
}
