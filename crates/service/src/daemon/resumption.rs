//! Runs that go on when their process dies, and runs that a service before us started.
//!
//! A child that was killed is followed by one that goes on with its run, within bounds. Of a run that is no child of ours
//! the record tells how it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_history::Error;
use plimsoll_run::RunEvent;
use tokio::time::Instant;

use super::{Daemon, Inner, Over, Process, REFUSED, row_of};
use crate::launcher::{Fate, Launch, Work};
use crate::plans::{Good, Reach};

/// How long a run may take before it is in the record: it learns what its machine adds first.
const BEGINNING: Duration = Duration::from_secs(60);

/// How often the plan of a run that goes on is asked for while the record cannot be read.
const AGAIN: Duration = Duration::from_secs(5);

/// How often a run goes on within an hour at most, as for `plimsoll runs resume`: that one counts what is in the record, and a
/// process that dies before it writes there is in none.
const RESUMPTIONS: usize = 5;

const HOUR: Duration = Duration::from_secs(3_600);

/// When a run went on.
#[derive(Debug, Default)]
pub(super) struct Resumptions(VecDeque<Instant>);

impl Resumptions {
    /// How long a run waits that is to go on now: the first time within an hour not at all, then 1 s, and twice as long each
    /// time. `None` where it has gone on too often.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        self.0.retain(|at| now.duration_since(*at) < HOUR);
        let doublings = match self.0.len() {
            RESUMPTIONS.. => return None,
            before => u32::try_from(before).ok()?.checked_sub(1),
        };
        self.0.push_back(now);
        Some(doublings.map_or(Duration::ZERO, |doublings| Duration::from_secs(1 << doublings)))
    }
}

/// Whether a run goes on whose process died.
enum Again {
    After(Duration),
    TooOften,
    Stopping,
}

/// Why the plan of a run cannot be had.
#[derive(Debug)]
enum Unread {
    /// The record cannot be read now.
    Passing(Error),
    /// There is none.
    Never(String),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        // What became minutes while it was read reads well the next time.
        if error.may_pass() || matches!(error, Error::Coarsened { .. }) {
            return Self::Passing(error);
        }
        Self::Never(error.to_string())
    }
}

impl Daemon {
    /// Runs a plan until it ends, however often its process dies if it goes on then, and tells how it ended.
    pub(super) async fn see_through(&self, mut launch: Launch, good: &Good) {
        let id = launch.id.clone();
        let kept = self.inner().runs.get(&id).and_then(|run| run.kept.clone());
        if let Some(kept) = kept.as_ref().filter(|_| launch.work != Work::Resume)
            && let Err(error) = self.history.keep_launch(kept).await
        {
            tracing::warn!(run = id, %error, "a later service will not know that this run goes on where it dies");
        }
        let fate = loop {
            let fate = self.carry(launch.clone(), &good.targets).await;
            if launch.work == Work::Resume && fate.was_refused() {
                if self.may_live(&id).await {
                    return self.adopt(&id);
                }
                break fate.not_resumed();
            }
            let is_put_off = launch.work == Work::Resume && fate.was_put_off();
            if kept.is_none() || !(is_put_off || fate.was_killed()) {
                break fate;
            }
            let again = match is_put_off {
                true => self.may_try_again(&id, &fate),
                false => self.may_go_on(&id),
            };
            match again {
                Again::After(pause) => tokio::time::sleep(pause).await,
                Again::TooOften | Again::Stopping if is_put_off => break fate.not_resumed(),
                Again::TooOften => {
                    let why = format!("its process died {} times within an hour", RESUMPTIONS + 1);
                    break Fate { not_resumed: Some(why), ..fate };
                }
                Again::Stopping => break fate,
            }
            launch.work = Work::Resume;
            launch.tags = BTreeMap::new();
        };
        if kept.is_some() {
            self.forget(&id).await;
        }
        let _ = self.ends.send(Over::of_run(id, fate));
    }

    /// Whether somebody records a run, as far as can be told now.
    async fn may_live(&self, id: &str) -> bool {
        match row_of(&self.history, id).await {
            Ok(row) => row.is_some_and(|row| row.is_live()),
            // Then its end is seen in the record, once that can be read.
            Err(_) => true,
        }
    }

    /// Somebody else goes on with a run: its end is seen in the record.
    fn adopt(&self, id: &str) {
        tracing::info!(
            run = id,
            "nothing is to be resumed, as far as can be told: its end is looked for in the record"
        );
        if let Some(run) = self.inner().runs.get_mut(id) {
            run.process = Process::Adopted;
        }
    }

    /// Whether a run whose process died goes on: not when the service ends, too.
    fn may_go_on(&self, id: &str) -> Again {
        let mut inner = self.inner();
        if inner.is_stopping {
            return Again::Stopping;
        }
        let Some(run) = inner.runs.get_mut(id).filter(|run| !run.is_stopped) else { return Again::Stopping };
        run.put_off = None;
        let Some(pause) = run.resumptions.next(Instant::now()) else {
            tracing::warn!(run = id, "the process of a run died too often; it does not go on");
            return Again::TooOften;
        };
        run.process = Process::Starting;
        match run.schedule.clone() {
            Some(schedule) => inner.note(&schedule, format!("the process of run {id} died; it goes on")),
            None => tracing::warn!(run = id, "the process of a run died; it goes on"),
        }
        Again::After(pause)
    }

    /// Whether a run is tried once more that could not go on for now: at once, then again and again for an hour. That says
    /// nothing of the run, and uses up nothing of how often it goes on.
    fn may_try_again(&self, id: &str, fate: &Fate) -> Again {
        let mut inner = self.inner();
        if inner.is_stopping {
            return Again::Stopping;
        }
        let Some(run) = inner.runs.get_mut(id).filter(|run| !run.is_stopped) else { return Again::Stopping };
        run.process = Process::Starting;
        match run.put_off {
            Some(since) if since.elapsed() >= HOUR => return Again::TooOften,
            Some(_) => return Again::After(AGAIN),
            None => run.put_off = Some(Instant::now()),
        }
        let words = format!("run {id} cannot go on now, and is tried again: {}", fate.first_line());
        match run.schedule.clone() {
            Some(schedule) => inner.note(&schedule, words),
            None => tracing::warn!(run = id, "{words}"),
        }
        Again::After(Duration::ZERO)
    }

    /// Goes on with the runs whose process died while nobody looked.
    pub(super) fn go_on_with_dead(self: &Arc<Self>) {
        let dead: Vec<String> = {
            let inner = self.inner();
            let dead = inner.runs.iter().filter(|(_, run)| run.process == Process::Dead);
            dead.map(|(id, _)| id.clone()).collect()
        };
        for id in dead {
            self.goes_on(&id);
        }
    }

    /// Goes on with a run whose process died and was no child of ours, where it may.
    fn goes_on(self: &Arc<Self>, id: &str) -> bool {
        let Again::After(pause) = self.may_go_on(id) else { return false };
        let (daemon, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            daemon.go_on(id).await;
        });
        true
    }

    async fn go_on(&self, id: String) {
        let good = loop {
            match self.recorded_plan(&id).await {
                Ok(good) => break Arc::new(good),
                Err(Unread::Passing(error)) => {
                    tracing::warn!(run = id, %error, "a run that is to go on cannot be read yet");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(Unread::Never(why)) => {
                    self.forget(&id).await;
                    let said = format!("error: its plan cannot be read any more: {why}");
                    let fate = Fate { code: Some(REFUSED), said, ..Fate::default() };
                    let _ = self.ends.send(Over::of_run(id, fate));
                    return;
                }
            }
        };
        let mut targets = vec![self.targets.clone()];
        if let Some(run) = self.inner().runs.get_mut(&id)
            && let Some(kept) = &run.kept
        {
            run.plan = Some((kept.plan.clone(), Arc::clone(&good)));
            // A list that cannot be read allows loopback and nothing else.
            targets.extend(kept.targets.as_ref().map(|targets| targets.parse().unwrap_or_default()));
        }
        let folder = self.folder.clone();
        let (text, tags) = (String::new(), BTreeMap::new());
        let launch = Launch { id, work: Work::Resume, text, folder, tags, targets };
        self.see_through(launch, &good).await;
    }

    /// The plan of a run as its record has it.
    async fn recorded_plan(&self, id: &str) -> Result<Good, Unread> {
        let first = self.history.read(id).await?.next().await?;
        let Some(RunEvent::Started(started)) = first.first() else {
            return Err(Unread::Never("the record has no first event".to_owned()));
        };
        let checked = self.check(format!("the plan of run {id}"), started.plan_text.clone(), Reach::Anywhere);
        checked.await.map_err(|wrong| Unread::Never(crate::plans::rendered(&wrong)))
    }

    /// A run is not to go on in a later service.
    pub(super) async fn forget(&self, id: &str) {
        if let Err(error) = self.history.forget_launch(id).await {
            tracing::warn!(run = id, %error, "a later service will look at this run again");
        }
    }

    /// Runs of a service before us have no parent to tell: the record does.
    pub(super) async fn see_adopted(self: &Arc<Self>) {
        let adopted: Vec<String> = {
            let inner = self.inner();
            let adopted = inner.runs.iter().filter(|(_, run)| run.process == Process::Adopted);
            adopted.map(|(id, _)| id.clone()).collect()
        };
        for id in adopted {
            // It stays adopted until it is known to be over.
            if let Err(error) = self.see(&id).await {
                tracing::warn!(run = id, %error, "whether a run still lives cannot be read");
            }
        }
    }

    async fn see(self: &Arc<Self>, id: &str) -> plimsoll_history::Result<()> {
        match row_of(&self.history, id).await?.map(|row| row.status) {
            Some(None) => {}
            Some(Some(status)) => {
                if !self.goes_on_when_dead(id).await? {
                    self.forget(id).await;
                    self.over(id, true, &format!("ended: {}", status.label()), None, None);
                }
            }
            None if self.may_begin(id, Instant::now()) => {}
            None => {
                self.forget(id).await;
                self.over(id, true, "never began, or was deleted", None, None);
            }
        }
        Ok(())
    }

    /// Goes on with an adopted run, where it does so and its process died.
    async fn goes_on_when_dead(self: &Arc<Self>, id: &str) -> plimsoll_history::Result<bool> {
        let is_kept = self.inner().runs.get(id).is_some_and(|run| run.kept.is_some());
        Ok(is_kept && self.history.has_died(id).await? && self.goes_on(id))
    }

    /// Whether a run that is in no record may have been started by a service before us and be about to begin. Until its record
    /// tells what it asks for, that is what its plan asks for now.
    fn may_begin(&self, id: &str, now: Instant) -> bool {
        let mut inner = self.inner();
        let Inner { runs, plans, .. } = &mut *inner;
        let Some(run) = runs.get_mut(id) else { return false };
        let Some(kept) = &run.kept else { return false };
        if let Some(good) = plans.get(&kept.plan).and_then(|known| known.good.as_ref()) {
            run.demand = good.demand;
        }
        now.duration_since(run.since) < BEGINNING
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use plimsoll_history::Recorder;

    use super::*;
    use crate::daemon::tests::{PATIENCE, PLAN, Place};
    use crate::fixture::started;

    fn process(daemon: &Daemon, run: &str) -> Option<Process> {
        daemon.inner().runs.get(run).map(|run| run.process)
    }

    const REFUSES: &str = "echo 'error: run r is not resumed: so it is' >&2; exit 2";

    #[tokio::test]
    async fn what_another_process_goes_on_with_is_adopted_and_not_over() {
        let place = Place::with(REFUSES).await;
        place.keep("r").await;
        let recorder = Recorder::start(&place.history, &started("r", PLAN)).await.unwrap();
        let (daemon, mut ends) = place.open().await;
        daemon.inner().runs.get_mut("r").unwrap().process = Process::Dead;
        daemon.go_on("r".to_owned()).await;
        assert_eq!(
            (process(&daemon, "r"), place.launched().await),
            (Some(Process::Adopted), vec!["r".to_owned()])
        );
        assert!(ends.0.try_recv().is_err(), "nobody is told of an end");
        drop(recorder);
    }

    #[tokio::test]
    async fn a_run_that_is_refused_when_it_is_to_go_on_was_killed() {
        let place = Place::with(REFUSES).await;
        place.keep("r").await;
        let recorder = Recorder::start(&place.history, &started("r", PLAN)).await.unwrap();
        recorder.finish(PATIENCE).await;
        let (daemon, mut ends) = place.open().await;
        assert_eq!(process(&daemon, "r"), Some(Process::Dead));
        daemon.go_on("r".to_owned()).await;
        let fate = ends.0.try_recv().unwrap().fate;
        let words = "was killed and does not go on: error: run r is not resumed: so it is";
        assert_eq!((fate.words().as_str(), fate.could_speak()), (words, false));
        assert_eq!(place.launched().await, [""; 0]);
    }

    const PUT_OFF: &str =
        "echo x >>tries; test $(wc -l <tries) -ge 2 || { echo 'error: locked' >&2; exit 75; }";

    #[tokio::test]
    async fn a_record_that_cannot_be_used_for_now_is_asked_for_again() {
        let place = Place::with(&format!("{PUT_OFF}; {REFUSES}")).await;
        place.keep("r").await;
        Recorder::start(&place.history, &started("r", PLAN)).await.unwrap().finish(PATIENCE).await;
        let (daemon, mut ends) = place.open().await;
        // That says nothing of how often its process may die.
        daemon.inner().runs.get_mut("r").unwrap().resumptions.0 = [Instant::now(); RESUMPTIONS].into();
        daemon.go_on("r".to_owned()).await;
        let tries = std::fs::read_to_string(place.folder.path().join("plans/tries")).unwrap();
        assert_eq!(tries.lines().count(), 2, "only what refuses it for good ends it");
        let fate = ends.0.try_recv().unwrap().fate;
        assert_eq!(fate.words(), "was killed and does not go on: error: run r is not resumed: so it is");
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_used_is_not_asked_for_for_ever() {
        let place = Place::with("echo 'error: history.db: locked' >&2; exit 75").await;
        place.keep("r").await;
        Recorder::start(&place.history, &started("r", PLAN)).await.unwrap().finish(PATIENCE).await;
        let (daemon, mut ends) = place.open().await;
        daemon.inner().runs.get_mut("r").unwrap().put_off = Instant::now().checked_sub(HOUR);
        daemon.go_on("r".to_owned()).await;
        let fate = ends.0.try_recv().unwrap().fate;
        let words = "was killed and does not go on: error: history.db: locked";
        assert_eq!((fate.words().as_str(), fate.could_speak()), (words, false));
        assert_eq!(place.launched().await, [""; 0]);
    }

    #[tokio::test]
    async fn a_run_that_is_about_to_begin_is_not_forgotten_by_the_next_service() {
        let place = Place::with("exit 0").await;
        place.keep("r").await;
        let (daemon, _ends) = place.open().await;
        daemon.on_shelf(|_| Ok(())).await.unwrap();
        daemon.see_adopted().await;
        assert_eq!(
            (process(&daemon, "r"), place.launched().await),
            (Some(Process::Adopted), vec!["r".to_owned()])
        );
        assert_eq!(daemon.inner().runs["r"].demand.rate, 1.0, "it takes its room");
        assert!(!daemon.may_begin("r", Instant::now() + BEGINNING), "it is not waited for any longer");
    }

    #[test]
    fn a_run_that_dies_again_and_again_waits_and_then_does_not_go_on() {
        let (begun, mut resumptions) = (Instant::now(), Resumptions::default());
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (at, expected) in [
            (0, seconds(0)),
            (1, seconds(1)),
            (2, seconds(2)),
            (3, seconds(4)),
            (1_800, seconds(8)),
            (1_801, None),
            (3_599, None),
            // The first is an hour ago.
            (3_600, seconds(8)),
            (3_600, None),
            (7_300, seconds(0)),
        ] {
            assert_eq!(resumptions.next(begun + Duration::from_secs(at)), expected, "after {at} s");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_for_a_while_ends_no_run() {
        let path = || PathBuf::from("history.db");
        let never = |error| matches!(Unread::from(error), Unread::Never(_));
        assert!(!never(Error::Locked { path: path() }));
        assert!(!never(Error::CannotOpen { path: path() }));
        assert!(never(Error::NoRun { asked: "r".to_owned(), count: 1, latest: "s".to_owned() }));
        assert!(never(Error::Damaged { path: path(), what: "torn".to_owned() }));
    }
}
