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
use crate::missed::{Missed, is_of_the_run};
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
        if matches!(watcher.progress, Progress::Whole) {
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
    progress: Progress,
    /// Runs that are followed to their end, also where they have ended by now or are no longer among the newest.
    awaited: BTreeSet<String>,
}

/// How much of what runs have recorded SLAs know.
enum Progress {
    /// Runs that ended while no service ran are told.
    Missed(Box<Missed>),
    /// These, and they lived meanwhile: up to their newest second.
    Live(BTreeSet<String>),
    /// All of it.
    Whole,
}

impl Progress {
    /// A run was read up to its newest second, or never will be.
    fn mark_read(&mut self, id: &str) {
        if let Self::Live(unread) = self {
            unread.remove(id);
        }
    }
}

impl Watcher {
    fn new(followed: Arc<Followed>, slas: Arc<Slas>) -> Self {
        Self {
            followed,
            slas,
            readers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            learning: None,
            progress: Progress::Missed(Box::default()),
            awaited: BTreeSet::new(),
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let filter = Filter { limit: Some(AT_MOST), ..Filter::default() };
        let rows = self.followed.history().list(&filter).await?;
        let until = Instant::now() + LONGEST_LOOK;
        if self.tell_missed(&rows, until).await? {
            self.follow_again(&rows);
            self.follow_all(&rows, until).await?;
            self.take_leave(&rows);
        }
        let awaited = &self.awaited;
        self.slas.forget_runs(|id| awaited.contains(id) || rows.iter().any(|row| row.id == id));
        self.outcomes.retain(|id, _| rows.iter().any(|row| row.id == *id));
        self.learn_outcomes(&rows).await;
        self.tell_runs(&rows);
        Ok(())
    }

    /// Tells SLAs of the runs that ended while no service ran, before those that live; whether they know all of them.
    async fn tell_missed(&mut self, rows: &[RunRow], until: Instant) -> Result<bool, Error> {
        let Progress::Missed(missed) = &mut self.progress else { return Ok(true) };
        self.awaited.extend(rows.iter().filter(|row| row.is_live()).map(|row| row.id.clone()));
        let history = self.followed.history();
        let is_told = missed.go_on(history, &self.slas, &mut self.awaited, until).await?;
        if is_told {
            self.progress = Progress::Live(self.awaited.clone());
        }
        Ok(is_told)
    }

    async fn follow_all(&mut self, rows: &[RunRow], until: Instant) -> Result<(), Error> {
        let live = rows.iter().filter(|row| row.is_live() && !self.outcomes.contains_key(&row.id));
        let known = live.map(|row| &row.id).chain(self.readers.keys()).chain(&self.awaited);
        for id in known.cloned().collect::<BTreeSet<_>>() {
            match self.follow(&id, until).await {
                Ok(false) => {}
                Ok(true) => self.progress.mark_read(&id),
                Err(error) if is_of_the_run(&error) => self.give_up(&id, &error),
                // A reader that is far behind begins anew, with minutes in the place of what became some.
                Err(Error::Coarsened { .. }) => {
                    self.readers.remove(&id);
                    self.followed.known().live.remove(&id);
                    self.awaited.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        if matches!(&self.progress, Progress::Live(unread) if unread.is_empty()) {
            self.progress = Progress::Whole;
            self.slas.caught_up();
        }
        Ok(())
    }

    /// One record that cannot be read, or was deleted meanwhile, does not hide the others.
    fn give_up(&mut self, id: &str, error: &Error) {
        tracing::warn!(run = id, %error, "a live run cannot be followed, and does not count for SLAs from here on");
        self.slas.run_over(id);
        self.readers.remove(id);
        self.awaited.remove(id);
        self.progress.mark_read(id);
        self.followed.known().live.remove(id);
        self.outcomes.insert(id.to_owned(), None);
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

    /// Folds what came of a run since the last look, or some of it where that is much; whether it was all.
    async fn follow(&mut self, id: &str, until: Instant) -> Result<bool, Error> {
        let reader = match self.readers.entry(id.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.followed.history().read(id).await?),
        };
        loop {
            let events = reader.next().await?;
            if events.is_empty() {
                return Ok(true);
            }
            for event in events {
                let told = self.followed.known().fold(id, &event, &self.slas);
                if let Some(second) = told {
                    self.followed.tell(Event::second(&second));
                }
            }
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Lets go of runs that have ended. Whether a run is among the newest says nothing of it: one that was deleted cannot be
    /// read, and that is how it is known.
    fn take_leave(&mut self, rows: &[RunRow]) {
        let mut known = self.followed.known();
        self.readers.retain(|id, reader| {
            // A run that has ended is followed until its last event is read.
            if !reader.is_finished() {
                return true;
            }
            self.slas.run_over(id);
            self.awaited.remove(id);
            if let Some(state) = known.live.remove(id)
                && rows.iter().any(|row| row.id == *id)
            {
                let run = Arc::new(Run::of(&state));
                self.outcomes.insert(id.clone(), Some(Outcome::of(&run)));
                known.keep(id.clone(), &run);
            }
            false
        });
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
            RunEvent::Second(_) => Some(shapes::second(id, &state)),
            _ => None,
        };
        slas.run_event(&RunSecond { run: id, state: &state }, event);
        self.live.insert(id.to_owned(), state);
        told
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_history::{History, Recorder};
    use tokio::sync::watch;

    use super::*;
    use crate::fixture::{
        PATIENCE, began, counted, damage, end, fresh, judge_anew, judging, record, second, stop,
    };

    async fn watcher(history: &History) -> Watcher {
        let followed = Arc::new(Followed::new(history.clone(), watch::Sender::default()));
        Watcher::new(followed, judge_anew(history).await)
    }

    impl Watcher {
        fn counted(&self) -> u64 {
            counted(&self.slas)
        }

        /// A step of what was missed.
        async fn step(&mut self) -> bool {
            let rows = self.rows().await;
            self.tell_missed(&rows, Instant::now()).await.unwrap()
        }

        async fn rows(&self) -> Vec<RunRow> {
            let filter = Filter { limit: Some(AT_MOST), ..Filter::default() };
            self.followed.history().list(&filter).await.unwrap()
        }

        /// Looks until SLAs know all of it, and once more.
        async fn look_until_whole(&mut self) {
            let begun = Instant::now();
            while !matches!(self.progress, Progress::Whole) {
                assert!(begun.elapsed() < PATIENCE, "there is no end of it");
                self.look().await.unwrap();
            }
            self.look().await.unwrap();
        }
    }

    /// A run that lives, with some seconds.
    async fn living(history: &History, id: &str, at: u64, seconds: u64) -> Recorder {
        let started = began(id, at);
        let recorder = Recorder::start(history, &started).await.unwrap();
        (0..seconds).for_each(|number| recorder.record(&second(number, &started)));
        recorder.seconds().wait_for(|written| *written >= seconds).await.unwrap();
        recorder
    }

    async fn finish(recorder: Recorder, seconds: u64) {
        recorder.record(&end(seconds));
        assert!(recorder.finish(PATIENCE).await.ended);
    }

    #[tokio::test]
    async fn a_run_that_ends_while_those_before_it_are_told_counts_too() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "long", base + 10, 200).await;
        let live = Recorder::start(&history, &began("live", base + 300)).await.unwrap();
        let mut watcher = watcher(&history).await;
        while watcher.counted() == 1 {
            assert!(!watcher.step().await);
        }
        assert_eq!(watcher.counted(), 1 + 60, "only a minute of the first");
        (0..3).for_each(|number| live.record(&second(number, &began("live", base + 300))));
        finish(live, 3).await;
        let rows = watcher.rows().await;
        watcher.learn_outcomes(&rows).await;
        watcher.look_until_whole().await;
        assert_eq!(watcher.counted(), 1 + 200 + 3, "each second counts, and once");
        assert!(watcher.awaited.is_empty() && watcher.readers.is_empty());
    }

    #[tokio::test]
    async fn a_service_that_is_stopped_before_it_has_read_a_live_run_counts_it_in_the_next() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "first", base + 10, 120).await;
        let live = living(&history, "live", base + 40, 5).await;
        let mut stopped = watcher(&history).await;
        while !stopped.step().await {}
        assert_eq!(stopped.counted(), 1 + 120);
        stop(stopped.slas).await;
        let mut next = watcher(&history).await;
        next.look_until_whole().await;
        assert_eq!(next.counted(), 1 + 120 + 5);
        stop(next.slas).await;
        let mut last = watcher(&history).await;
        assert_eq!(last.counted(), 1 + 120 + 5, "what is known whole is kept");
        last.look_until_whole().await;
        assert_eq!(last.counted(), 1 + 120 + 5, "no second counts twice");
        finish(live, 5).await;
    }

    #[tokio::test]
    async fn a_run_that_others_displaced_from_the_newest_is_followed_to_its_end() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        let live = living(&history, "live", base + 10, 2).await;
        for number in 0..u64::from(AT_MOST) {
            record(&history, &format!("r{number}"), base + 100 + number, 1).await;
        }
        let mut watcher = watcher(&history).await;
        assert!(watcher.rows().await.iter().all(|row| row.id != "live"), "it is displaced");
        watcher.look_until_whole().await;
        assert_eq!(watcher.counted(), 1 + u64::from(AT_MOST) + 2);
        live.record(&second(2, &began("live", base + 10)));
        finish(live, 3).await;
        watcher.look_until_whole().await;
        assert_eq!(watcher.counted(), 1 + u64::from(AT_MOST) + 3);
        watcher.look_until_whole().await;
        assert_eq!(watcher.counted(), 1 + u64::from(AT_MOST) + 3, "no second counts twice");
        assert!(watcher.awaited.is_empty() && watcher.readers.is_empty());
    }

    #[tokio::test]
    async fn a_damaged_record_does_not_hold_up_those_that_live() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "a torn one", base + 10, 130).await;
        damage(&history, "a torn one", 60).await;
        let live = living(&history, "live", base + 20, 4).await;
        let mut watcher = watcher(&history).await;
        while !watcher.step().await {}
        // As if it had lived until now.
        watcher.awaited.insert("a torn one".to_owned());
        watcher.look_until_whole().await;
        assert_eq!(watcher.counted(), 1 + 60 + 4);
        assert!(!watcher.awaited.contains("a torn one"));
        finish(live, 4).await;
    }
}
