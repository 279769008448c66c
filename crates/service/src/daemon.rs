//! Starts plans, searches and reports, by schedule and on demand, and knows what became of them.
//!
//! Runs are processes of their own that record where we look, so a service that was killed finds its runs again: they are
//! those in the record with a schedule's tag that still live. A search ends with its service; its last run is found like
//! any other.

mod jobs;
mod resumption;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_history::{Filter, History, KeptLaunch, KeptSchedule, RunRow};
use plimsoll_notify::Teller;
use plimsoll_run::{LIMIT_TAG, RunEvent, Steerings, Targets};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::jobs::Looked;
use self::resumption::Resumptions;
use crate::farewell::{End, Farewell};
use crate::launcher::{self, Fate, Launch, Launcher, Work};
use crate::outward;
use crate::plans::{Change, Demand, Found, Good, NotWritten, Reach, ReadPlan, Shelf, Shelved};
use crate::reports::Reports;
use crate::schedules::{Decision, Memory, Schedule, Timetable};
use crate::targets::{TargetError, check};

/// How often schedules and the ends of adopted runs are looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// How often the folder of plans is looked at.
const FOLDER: Duration = Duration::from_secs(2);

/// How long runs may take to stop, with their grace and teardown, when the service does.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long it may take until the ends of runs that were ended are known.
const ENDED: Duration = Duration::from_secs(5);

/// What happened with a schedule that is kept to be shown.
const NOTES: usize = 20;

/// The exit code of what is refused.
const REFUSED: i32 = plimsoll_run::ExitCode::Usage as i32;
const STOPPED: i32 = plimsoll_run::ExitCode::Interrupted as i32;

/// The tag by which runs say which schedule started them.
pub(crate) const SCHEDULE_TAG: &str = "schedule";

/// What a service starts, and how much of it at once.
#[derive(Debug, Clone)]
pub struct Plans {
    /// The folder of plans.
    pub folder: PathBuf,
    /// How a plan is read.
    pub read: ReadPlan,
    /// When they are started, and what else is.
    pub schedules: Vec<Schedule>,
    /// Where reports that schedules make go.
    pub reports: Option<PathBuf>,
    /// How much there may be at once.
    pub ceilings: Ceilings,
    /// Where they may be sent.
    pub targets: Targets,
    /// The program that runs them: ourselves.
    pub program: PathBuf,
    /// Whether plans may be changed over HTTP.
    pub is_editable: bool,
}

/// How much the runs of a service may offer together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Arrivals per second.
    pub rate: Option<f64>,
    /// Users.
    pub users: Option<u32>,
    /// Runs at once.
    pub runs: u32,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { rate: None, users: None, runs: 4 }
    }
}

impl Ceilings {
    /// Whether there is room for one more beside those that run.
    fn room(&self, running: &[Demand], wanted: Demand) -> Result<(), NoRoom> {
        self.load_room(running, wanted)?;
        over("run", 1.0, running.len() as f64, self.runs.into())
    }

    /// Whether there is room for a load beside those of others.
    fn load_room(&self, others: &[Demand], wanted: Demand) -> Result<(), NoRoom> {
        if let Some(ceiling) = self.rate {
            over("arrivals/s", wanted.rate, others.iter().map(|one| one.rate).sum(), ceiling)?;
        }
        if let Some(ceiling) = self.users {
            let taken: f64 = others.iter().map(|one| f64::from(one.users)).sum();
            over("users", wanted.users.into(), taken, ceiling.into())?;
        }
        Ok(())
    }
}

fn over(what: &str, wanted: f64, taken: f64, ceiling: f64) -> Result<(), NoRoom> {
    if wanted > ceiling {
        return Err(NoRoom::Ever(format!("it asks for {wanted} {what}, and the ceiling is {ceiling}")));
    }
    // What asks for none has room whatever others take.
    if wanted > 0.0 && taken + wanted > ceiling {
        let words = format!("it asks for {wanted} {what}; others have {taken} of the {ceiling} there may be");
        return Err(NoRoom::Now(words));
    }
    Ok(())
}

/// Why there is no room for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NoRoom {
    /// Until others have ended.
    Now(String),
    /// However few there are.
    Ever(String),
}

/// Why a plan was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no plan `{plan}`; there are {known}")]
    NoPlan { plan: String, known: String },
    #[error("the plan `{plan}` was never right since the service began:\n{why}")]
    Wrong { plan: String, why: String },
    #[error("there is no room for it: {0}")]
    NoRoom(String),
    #[error("no schedule is called `{0}`")]
    NoSchedule(String),
    #[error("what the schedule `{0}` started last goes on still")]
    Overlaps(String),
    #[error("nothing goes on that this service started by the schedule `{0}`")]
    Idle(String),
    #[error(
        "another report is being made: one at a time, since it takes a processor from whatever runs beside it"
    )]
    Reporting,
    #[error("the service has no folder of `reports`")]
    NoReports,
    #[error(
        "in the folder of `reports`, `{0}` is a symbolic link: what it leads to would not be listed. Make it a folder, or let \
         `reports` name another one"
    )]
    LinkedReports(String),
    #[error("`most` is a number of {said}, and the plan `{plan}` offers {offers}: write it like `{write}`")]
    OtherLoad { plan: String, said: &'static str, offers: &'static str, write: &'static str },
    #[error("the service is stopping")]
    Stopping,
    #[error("{0}")]
    Target(#[from] TargetError),
}

/// What somebody asks for beside the plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) seed: Option<u64>,
    /// Where it may be sent, beside what the service allows.
    pub(crate) targets: Option<Targets>,
}

/// How a schedule stands, for pages.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) schedule: Schedule,
    pub(crate) is_paused: bool,
    pub(crate) next: Option<Timestamp>,
    /// What of it goes on.
    pub(crate) now: Option<Begun>,
    /// How the last of it ended.
    pub(crate) last: Option<Last>,
    /// Why it waits, where it does.
    pub(crate) waits: Option<String>,
    /// What happened, the latest last.
    pub(crate) notes: Vec<(Timestamp, String)>,
}

/// Something that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// A run, by its id.
    Run(String),
    /// A search, by its id: the tag `limit` of its runs.
    Search(String),
    /// A report, by the name of its file.
    Report(String),
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(id) => write!(f, "run {id}"),
            Self::Search(id) => write!(f, "search {id}"),
            Self::Report(file) => write!(f, "report {file}"),
        }
    }
}

/// How something that a schedule started ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) at: Timestamp,
    /// Of which it is told.
    pub(crate) of: Begun,
    pub(crate) words: String,
    /// The file of its report, where it made one.
    pub(crate) report: Option<String>,
}

/// The end of something that was started.
#[derive(Debug)]
pub(crate) struct Over {
    id: String,
    fate: Fate,
    words: String,
    /// Whether it did what it was started for, however that turned out.
    is_well: bool,
    report: Option<String>,
}

impl Over {
    fn of_run(id: String, fate: Fate) -> Self {
        Self { id, words: fate.words(), is_well: fate.was_run(), fate, report: None }
    }
}

/// The plans of a folder, and the runs started of them.
#[derive(Debug)]
pub(crate) struct Daemon {
    history: History,
    launcher: Launcher,
    folder: PathBuf,
    read: ReadPlan,
    /// Held while files are read and written, on threads that may wait for them.
    shelf: Mutex<Shelf>,
    is_editable: bool,
    ceilings: Ceilings,
    targets: Targets,
    reports: Option<Reports>,
    inner: Mutex<Inner>,
    farewell: Mutex<Farewell>,
    /// Something changed that is worth a look at once.
    news: Notify,
    ends: mpsc::UnboundedSender<Over>,
}

#[derive(Debug)]
struct Inner {
    plans: BTreeMap<String, Shelved>,
    /// Before the folder was read once nothing is due: a plan that is not known yet is not one that is not there.
    is_read: bool,
    /// Why the folder cannot be read.
    trouble: Option<String>,
    timetable: Timetable,
    runs: BTreeMap<String, LiveRun>,
    /// Schedules whose run waits for room, in the order they came, each with why.
    waiting: Vec<(String, String)>,
    notes: BTreeMap<String, VecDeque<(Timestamp, String)>>,
    /// How the last of each schedule ended.
    lasts: BTreeMap<String, Last>,
    /// What is kept of schedules in the record.
    kept: BTreeMap<String, KeptSchedule>,
    is_stopping: bool,
}

#[derive(Debug)]
struct LiveRun {
    task: Task,
    schedule: Option<String>,
    /// What it was started of; `None` where another service started it.
    plan: Option<(String, Arc<Good>)>,
    demand: Demand,
    since: Instant,
    process: Process,
    /// That it goes on where its process dies, where it does.
    kept: Option<KeptLaunch>,
    resumptions: Resumptions,
    /// Since when it could not go on, where it still cannot.
    put_off: Option<Instant>,
    is_stopped: bool,
}

/// What goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Run,
    /// A run of a search that a service before us began; the search ended with that service.
    Trial,
    Search,
    /// A report, which goes into this file.
    Report(String),
}

impl Task {
    /// Whether it takes of the ceilings.
    fn offers_load(&self) -> bool {
        !matches!(self, Self::Report(_))
    }

    fn begun(&self, id: &str) -> Begun {
        match self {
            Self::Run | Self::Trial => Begun::Run(id.to_owned()),
            Self::Search => Begun::Search(id.to_owned()),
            Self::Report(file) => Begun::Report(file.clone()),
        }
    }
}

/// Who runs a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// Nobody yet: where it is sent is looked at.
    Starting,
    /// A process of ours.
    Ours(u32),
    /// One that a service before us started: its end is seen in the record.
    Adopted,
    /// It died under a service before us, and the run is about to go on.
    Dead,
}

impl LiveRun {
    fn process(&self) -> Option<u32> {
        match self.process {
            Process::Ours(process) => Some(process),
            Process::Starting | Process::Adopted | Process::Dead => None,
        }
    }

    /// Asks its process to stop, once: told twice, it would end without its teardown. One that is only about to begin
    /// never does. False of one that another service started.
    fn stop(&mut self) -> bool {
        let was_stopped = std::mem::replace(&mut self.is_stopped, true);
        if let Some(process) = self.process().filter(|_| !was_stopped) {
            launcher::stop(process);
        }
        self.process != Process::Adopted
    }
}

impl Inner {
    fn note(&mut self, schedule: &str, words: String) {
        tracing::info!(schedule, "{words}");
        let notes = self.notes.entry(schedule.to_owned()).or_default();
        if notes.len() == NOTES {
            notes.pop_front();
        }
        notes.push_back((Timestamp::now(), words));
    }

    /// What of a schedule goes on.
    fn now_of(&self, schedule: &str) -> Option<Begun> {
        let found = self.runs.iter().find(|(_, run)| run.schedule.as_deref() == Some(schedule));
        found.map(|(id, run)| run.task.begun(id))
    }

    fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.timetable.entries().map(|(schedule, _)| schedule).find(|schedule| schedule.name == name)
    }

    /// What the ceilings are held against.
    fn demands(&self) -> Vec<Demand> {
        self.runs.values().filter(|run| run.task.offers_load()).map(|run| run.demand).collect()
    }
}

impl Daemon {
    /// Goes on where the last service left off.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn open(
        history: History,
        plans: Plans,
        teller: Option<Teller>,
    ) -> plimsoll_history::Result<(Arc<Self>, Ends)> {
        let now = Timestamp::now();
        let kept = history.schedules().await?;
        let memory = |kept: &KeptSchedule| Memory {
            due: kept.due_nanos.and_then(|nanos| Timestamp::from_nanosecond(nanos.into()).ok()),
            is_paused: kept.is_paused,
        };
        let memories = kept.iter().map(|(name, kept)| (name.clone(), memory(kept))).collect();
        let names: Vec<String> = plans.schedules.iter().map(|schedule| schedule.name.clone()).collect();
        let live = history.list(&Filter { live: true, ..Filter::default() }).await?;
        let mut adopted = BTreeMap::new();
        for row in live {
            let Some(schedule) = row.tags.get(SCHEDULE_TAG).filter(|tag| names.contains(tag)) else {
                continue;
            };
            let is_trial = row.tags.contains_key(LIMIT_TAG);
            let run = LiveRun {
                task: if is_trial { Task::Trial } else { Task::Run },
                schedule: Some(schedule.clone()),
                plan: None,
                demand: demand_of(&history, &row.id).await,
                since: Instant::now(),
                process: Process::Adopted,
                kept: None,
                resumptions: Resumptions::default(),
                put_off: None,
                is_stopped: false,
            };
            adopted.insert(row.id, run);
        }
        for kept in history.launches().await? {
            let (process, demand) = match row_of(&history, &kept.run).await? {
                // Not in the record yet: it may be about to begin.
                None => (Process::Adopted, Demand::default()),
                Some(row) if row.is_live() => (Process::Adopted, demand_of(&history, &kept.run).await),
                Some(_) if history.has_died(&kept.run).await? => {
                    (Process::Dead, demand_of(&history, &kept.run).await)
                }
                Some(_) => {
                    history.forget_launch(&kept.run).await?;
                    continue;
                }
            };
            let run = LiveRun {
                task: Task::Run,
                schedule: kept.schedule.clone().filter(|schedule| names.contains(schedule)),
                plan: None,
                demand,
                since: Instant::now(),
                process,
                kept: Some(kept.clone()),
                resumptions: Resumptions::default(),
                put_off: None,
                is_stopped: false,
            };
            adopted.insert(kept.run, run);
        }
        let inner = Inner {
            plans: BTreeMap::new(),
            is_read: false,
            trouble: None,
            timetable: Timetable::new(plans.schedules, memories, now),
            runs: adopted,
            waiting: Vec::new(),
            notes: BTreeMap::new(),
            lasts: BTreeMap::new(),
            kept,
            is_stopping: false,
        };
        let (over, ends) = mpsc::unbounded_channel();
        let launcher = Launcher { program: plans.program, history: history.location().to_owned() };
        let daemon = Self {
            history,
            launcher,
            shelf: Mutex::new(Shelf::new(plans.folder.clone(), plans.read.clone())),
            folder: plans.folder,
            read: plans.read,
            is_editable: plans.is_editable,
            ceilings: plans.ceilings,
            targets: plans.targets,
            reports: plans.reports.map(Reports::new),
            inner: Mutex::new(inner),
            farewell: Mutex::new(Farewell::new(teller)),
            news: Notify::new(),
            ends: over,
        };
        Ok((Arc::new(daemon), Ends(ends)))
    }

    /// Held for moments, never across an await.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is due until `ended`, then stops every run it started and waits for their ends.
    pub(crate) async fn run(self: Arc<Self>, mut ends: Ends, ended: CancellationToken) {
        let folder = tokio::spawn(Arc::clone(&self).follow_folder(ended.clone()));
        self.go_on_with_dead();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.news.notified() => {}
                Some(over) = ends.0.recv() => self.ended(over),
                () = ended.cancelled() => break,
            }
            self.see_adopted().await;
            self.look(Timestamp::now()).await;
            self.keep().await;
        }
        self.stop(&mut ends, FAREWELL).await;
        self.keep().await;
        let farewell = std::mem::take(&mut *self.farewell.lock().unwrap_or_else(PoisonError::into_inner));
        farewell.finish().await;
        let _ = folder.await;
    }

    /// Reads the folder again and again, on threads that may wait for files.
    async fn follow_folder(self: Arc<Self>, ended: CancellationToken) {
        loop {
            if self.on_shelf(|_| Ok(())).await.is_err() {
                tracing::error!("reading the folder of plans panicked");
            }
            tokio::select! {
                () = tokio::time::sleep(FOLDER) => {}
                () = ended.cancelled() => return,
            }
        }
    }

    /// Does something with the files of plans, and knows them as they are then.
    pub(crate) async fn on_shelf(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Shelf) -> Result<(), NotWritten> + Send + 'static,
    ) -> Result<(), NotWritten> {
        let daemon = Arc::clone(self);
        let acted = tokio::task::spawn_blocking(move || {
            let mut shelf = daemon.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            let done = act(&mut shelf);
            let changes = shelf.look();
            daemon.take_plans(&shelf, &changes);
            done
        });
        acted.await.unwrap_or(Err(NotWritten::Panicked))
    }

    /// The file of a plan as it is now.
    pub(crate) async fn found(&self, plan: &str) -> std::io::Result<Option<Found>> {
        let (folder, plan) = (self.folder.clone(), plan.to_owned());
        let found = tokio::task::spawn_blocking(move || crate::plans::found(&folder, &plan));
        found.await.unwrap_or_else(|_| Err(std::io::Error::other("reading it panicked")))
    }

    /// A plan as it is known.
    pub(crate) fn plan(&self, name: &str) -> Option<Shelved> {
        self.inner().plans.get(name).cloned()
    }

    /// Whether plans may be changed over HTTP.
    pub(crate) fn is_editable(&self) -> bool {
        self.is_editable
    }

    /// The schedules that start a plan.
    pub(crate) fn schedules_of(&self, plan: &str) -> Vec<String> {
        let inner = self.inner();
        let of_it = inner.timetable.entries().filter(|(schedule, _)| schedule.job.offers() == Some(plan));
        of_it.map(|(schedule, _)| format!("`{}`", schedule.name)).collect()
    }

    fn take_plans(&self, shelf: &Shelf, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Read(plan) => tracing::info!(plan, "the plan was read"),
                Change::Gone(plan) => tracing::info!(plan, "the plan's file is gone"),
                Change::Refused { plan, why } => {
                    tracing::warn!(plan, "the plan is wrong, and stays as it was:\n{why}");
                }
            }
        }
        let mut inner = self.inner();
        if inner.trouble != shelf.trouble {
            if let Some(trouble) = &shelf.trouble {
                tracing::warn!(trouble, "the folder of plans cannot be read; the plans stay as they were");
            }
            inner.trouble.clone_from(&shelf.trouble);
        }
        if !changes.is_empty() || !inner.is_read {
            inner.is_read = true;
            inner.plans = shelf.plans().map(|(name, plan)| (name.to_owned(), plan.clone())).collect();
            drop(inner);
            self.news.notify_one();
        }
    }

    /// Decides what is due and does it.
    async fn look(self: &Arc<Self>, now: Timestamp) {
        let looked = self.look_at_reports(self.waiting_with_reports()).await;
        let mut inner = self.inner();
        if inner.is_stopping || !inner.is_read {
            return;
        }
        let waiting = std::mem::take(&mut inner.waiting);
        for (schedule, _) in waiting {
            self.start_due(&mut inner, &schedule, &looked, now);
        }
        let busy: Vec<String> = {
            let runs = inner.runs.values().filter_map(|run| run.schedule.clone());
            runs.chain(inner.waiting.iter().map(|(schedule, _)| schedule.clone())).collect()
        };
        for decision in inner.timetable.look(now, |name| busy.iter().any(|one| one == name)) {
            match decision {
                Decision::Start { schedule } => self.start_due(&mut inner, &schedule, &looked, now),
                Decision::Stop { schedule } => self.replace(&mut inner, &schedule),
                Decision::Left { schedule, why } => inner.note(&schedule, why),
            }
        }
    }

    /// Schedules that wait, and make reports. One that is due waits, too, until its folder of reports was looked at.
    fn waiting_with_reports(&self) -> Vec<String> {
        let inner = self.inner();
        let waiting = inner.waiting.iter().filter_map(|(schedule, _)| inner.schedule(schedule));
        waiting
            .filter(|schedule| schedule.job.makes_reports())
            .map(|schedule| schedule.name.clone())
            .collect()
    }

    /// Starts what a schedule is for, or notes why not.
    fn start_due(self: &Arc<Self>, inner: &mut Inner, schedule: &str, looked: &Looked, now: Timestamp) {
        let Some(found) = inner.schedule(schedule).cloned() else { return };
        match self.begin(inner, &found, looked, None) {
            Ok(begun) => inner.note(schedule, format!("started {begun}")),
            Err(Refusal::Wait(why)) => inner.waiting.push((schedule.to_owned(), why)),
            Err(Refusal::Refused(refused)) => {
                inner.timetable.ended(schedule, now, jiff::SignedDuration::ZERO, false);
                inner.note(schedule, format!("not started: {refused}"));
            }
        }
    }

    fn replace(&self, inner: &mut Inner, schedule: &str) {
        let mut runs = inner.runs.values_mut();
        let run = runs.find(|run| run.schedule.as_deref() == Some(schedule));
        match run.map(|run| (run.process, run)) {
            Some((Process::Ours(_), run)) => {
                run.stop();
                inner.note(schedule, "the run before is stopped, to make room".to_owned());
            }
            Some((Process::Adopted, _)) => {
                inner.note(
                    schedule,
                    "the run before was started by another service and ends by itself".to_owned(),
                );
            }
            // It waits for room or has only begun: nothing newer than itself replaces it.
            Some((Process::Starting | Process::Dead, _)) | None => {}
        }
    }

    fn launch(
        self: &Arc<Self>,
        inner: &mut Inner,
        plan: &str,
        schedule: Option<&str>,
        asked: Asked,
    ) -> Result<String, Refusal> {
        if inner.is_stopping {
            return Err(Refused::Stopping.into());
        }
        let good = right(&inner.plans, plan)?;
        self.room(inner, good.demand)?;
        let id = uuid::Uuid::now_v7().to_string();
        let launch = Launch {
            id: id.clone(),
            work: Work::Run { seed: asked.seed },
            text: good.text.clone(),
            folder: self.folder.clone(),
            tags: asked.tags,
            targets: [self.targets.clone()].into_iter().chain(asked.targets.clone()).collect(),
        };
        let kept = good.resumes.then(|| KeptLaunch {
            run: id.clone(),
            plan: plan.to_owned(),
            schedule: schedule.map(str::to_owned),
            targets: asked.targets.map(|targets| targets.entries().join(",")),
        });
        let run = LiveRun {
            task: Task::Run,
            schedule: schedule.map(str::to_owned),
            plan: Some((plan.to_owned(), Arc::clone(&good))),
            demand: good.demand,
            since: Instant::now(),
            process: Process::Starting,
            kept,
            resumptions: Resumptions::default(),
            put_off: None,
            is_stopped: false,
        };
        inner.runs.insert(id.clone(), run);
        let daemon = Arc::clone(self);
        tokio::spawn(async move { daemon.see_through(launch, &good).await });
        Ok(id)
    }

    /// Whether there is room for a load beside what goes on.
    fn room(&self, inner: &Inner, wanted: Demand) -> Result<(), Refusal> {
        self.ceilings.room(&inner.demands(), wanted).map_err(|full| match full {
            NoRoom::Now(why) => Refusal::Wait(why),
            NoRoom::Ever(why) => Refused::NoRoom(why).into(),
        })
    }

    /// Looks where a run would be sent, runs it, and tells how it ended.
    async fn carry(&self, launch: Launch, targets: &[String]) -> Fate {
        let refused = |why: String| Fate { said: why, ..Fate::default() };
        if let Err(error) = self.allowed(targets).await {
            return Fate { code: Some(REFUSED), ..refused(format!("error: {error}")) };
        }
        let id = launch.id.clone();
        let launched = {
            // Under the lock, so that a service that stops knows every process there is.
            let mut inner = self.inner();
            if inner.is_stopping {
                return refused("the service is stopping".to_owned());
            }
            if inner.runs.get(&id).is_some_and(|run| run.is_stopped) {
                return Fate { code: Some(STOPPED), ..refused(String::new()) };
            }
            let launched = match self.launcher.start(launch) {
                Ok(launched) => launched,
                Err(error) => return refused(format!("it could not be started: {error}")),
            };
            if let (Some(run), Some(process)) = (inner.runs.get_mut(&id), launched.process()) {
                run.process = Process::Ours(process);
            }
            launched
        };
        launched.ended().await
    }

    /// Whether runs may be sent to each of these.
    async fn allowed(&self, targets: &[String]) -> Result<(), TargetError> {
        for target in targets {
            check(&self.targets, target).await?;
        }
        Ok(())
    }

    /// The process of something has ended.
    fn ended(&self, over: Over) {
        if !over.is_well {
            tracing::warn!(id = over.id, said = over.fate.said, "what was started {}", over.words);
        }
        self.over(&over.id, over.is_well, &over.words, over.report, Some(over.fate));
    }

    /// Something has ended, as the words say.
    fn over(&self, id: &str, is_well: bool, words: &str, report: Option<String>, fate: Option<Fate>) {
        let mut inner = self.inner();
        let Some(run) = inner.runs.remove(id) else { return };
        match &run.task {
            Task::Run => self.tell_end(&inner, id, &run, fate),
            Task::Search | Task::Report(_) => self.tell_job(&inner, id, &run, report.as_deref(), words, fate),
            Task::Trial => {}
        }
        let Some(schedule) = run.schedule else { return };
        let lasted = jiff::SignedDuration::try_from(run.since.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
        let (at, of) = (Timestamp::now(), run.task.begun(id));
        inner.timetable.ended(&schedule, at, lasted, is_well);
        inner.note(&schedule, format!("{of} {words}"));
        inner.lasts.insert(schedule, Last { at, of, words: words.to_owned(), report });
    }

    fn tell_end(&self, inner: &Inner, id: &str, run: &LiveRun, fate: Option<Fate>) {
        let (plan, good) = match &run.plan {
            Some((plan, good)) => (plan.clone(), Some(Arc::clone(good))),
            None => {
                let is_its = |known: &Schedule| Some(&known.name) == run.schedule.as_ref();
                let found = inner.timetable.entries().find(|(known, _)| is_its(known));
                let plan = found.and_then(|(known, _)| known.job.plan()).unwrap_or_default().to_owned();
                let good = inner.plans.get(&plan).and_then(|known| known.good.clone());
                (plan, good)
            }
        };
        let end = End { run: id.to_owned(), plan, good, fate };
        self.farewell.lock().unwrap_or_else(PoisonError::into_inner).tell(&self.history, end);
    }

    /// Remembers what changed of schedules. What cannot be written now is written at the next look.
    async fn keep(&self) {
        let changed: Vec<(String, KeptSchedule)> = {
            let inner = self.inner();
            let now = inner.timetable.entries().map(|(schedule, memory)| {
                let due_nanos = memory.due.and_then(|due| i64::try_from(due.as_nanosecond()).ok());
                (schedule.name.clone(), KeptSchedule { due_nanos, is_paused: memory.is_paused })
            });
            now.filter(|(name, kept)| inner.kept.get(name) != Some(kept)).collect()
        };
        for (name, kept) in changed {
            match self.history.keep_schedule(&name, &kept).await {
                Ok(()) => {
                    self.inner().kept.insert(name, kept);
                }
                Err(error) => {
                    tracing::warn!(schedule = name, %error, "the schedule cannot be remembered yet");
                }
            }
        }
    }

    /// Stops every run that we started and waits for their ends; those that take longer than `patience` are ended. No later
    /// service goes on with any of them, even if we are killed next.
    async fn stop(&self, ends: &mut Ends, patience: Duration) {
        let processes = || -> Vec<u32> {
            let inner = self.inner();
            inner.runs.values().filter_map(LiveRun::process).collect()
        };
        {
            let mut inner = self.inner();
            inner.is_stopping = true;
            inner.runs.values_mut().for_each(|run| {
                run.stop();
            });
        }
        let mut deadline = Instant::now() + patience;
        if tokio::time::timeout(ENDED, self.forget_ours()).await.is_err() {
            tracing::warn!(
                "the record takes too long: a later service may go on with runs that were stopped"
            );
        }
        let mut was_ended = false;
        while !processes().is_empty() {
            match tokio::time::timeout_at(deadline, ends.0.recv()).await {
                Ok(Some(over)) => self.ended(over),
                Ok(None) => return,
                Err(_) if was_ended => return,
                Err(_) => {
                    tracing::warn!("runs that do not stop are ended");
                    processes().into_iter().for_each(launcher::end);
                    was_ended = true;
                    // So that what became of them is told.
                    deadline = Instant::now() + ENDED;
                }
            }
        }
    }

    async fn forget_ours(&self) {
        let ours: Vec<String> = {
            let inner = self.inner();
            let is_ours = |run: &LiveRun| matches!(run.process, Process::Ours(_) | Process::Starting);
            let kept = inner.runs.iter().filter(|(_, run)| run.kept.is_some() && is_ours(run));
            kept.map(|(id, _)| id.clone()).collect()
        };
        for id in ours {
            self.forget(&id).await;
        }
    }

    /// What a plan asks for, and where it would be sent: it may be sent there.
    pub(crate) async fn wanted(&self, plan: &str) -> Result<Arc<Good>, Refused> {
        let good = right(&self.inner().plans, plan)?;
        self.allowed(&good.targets).await?;
        Ok(good)
    }

    /// How much there may be at once.
    pub(crate) fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// A schedule as it is configured.
    pub(crate) fn schedule(&self, name: &str) -> Result<Schedule, Refused> {
        self.inner().schedule(name).cloned().ok_or_else(|| Refused::NoSchedule(name.to_owned()))
    }

    /// Where reports that schedules make go.
    pub(crate) fn reports(&self) -> Option<&Reports> {
        self.reports.as_ref()
    }

    /// Whether a run of this id was started and need not be in the record yet.
    pub(crate) fn is_starting(&self, run: &str) -> bool {
        self.inner().runs.contains_key(run)
    }

    /// Makes room for what a run is to offer from now on. What is no more than before has it; a run that the service
    /// did not start is not counted beside others, and may by itself not ask for more than there may ever be.
    pub(crate) fn make_room(&self, run: &str, before: Demand, after: Demand) -> Result<(), Refused> {
        let mut inner = self.inner();
        let others: Vec<Demand> = match inner.runs.contains_key(run) {
            true => inner.runs.iter().filter(|(id, _)| *id != run).map(|(_, other)| other.demand).collect(),
            false => Vec::new(),
        };
        match self.ceilings.load_room(&others, after.beyond(before)) {
            Ok(()) => {}
            Err(NoRoom::Now(why) | NoRoom::Ever(why)) => return Err(Refused::NoRoom(why)),
        }
        if let Some(known) = inner.runs.get_mut(run) {
            known.demand = before.most(after);
        }
        Ok(())
    }

    /// What a run is known to offer at most from now on.
    pub(crate) fn set_demand(&self, run: &str, demand: Demand) {
        if let Some(known) = self.inner().runs.get_mut(run) {
            known.demand = demand;
        }
        self.news.notify_one();
    }

    /// Starts a plan because somebody asks; gives the run's id.
    pub(crate) fn start(self: &Arc<Self>, plan: &str, asked: Asked) -> Result<String, Refused> {
        let mut inner = self.inner();
        self.launch(&mut inner, plan, None, asked).map_err(Refusal::refused)
    }

    /// Starts what a schedule is for now, beside its times.
    pub(crate) async fn start_schedule(
        self: &Arc<Self>,
        schedule: &str,
        targets: Option<Targets>,
    ) -> Result<Begun, Refused> {
        let found = self.schedule(schedule)?;
        let of_it = found.job.makes_reports().then(|| schedule.to_owned());
        let looked = self.look_at_reports(of_it.into_iter().collect()).await;
        let mut inner = self.inner();
        if inner.now_of(schedule).is_some() {
            return Err(Refused::Overlaps(schedule.to_owned()));
        }
        let begun = self.begin(&mut inner, &found, &looked, targets).map_err(Refusal::refused)?;
        let waiting = inner.waiting.len();
        // One at a time: it takes the place of the one that was due and waits.
        inner.waiting.retain(|(waiting, _)| waiting != schedule);
        let instead = if inner.waiting.len() < waiting { ", in place of the one that waited" } else { "" };
        inner.note(schedule, format!("started {begun} by request{instead}"));
        Ok(begun)
    }

    /// Pauses a schedule or goes on with it. Its run goes on in any case.
    pub(crate) fn pause_schedule(&self, schedule: &str, is_paused: bool) -> Result<(), Refused> {
        let mut inner = self.inner();
        if !inner.timetable.pause(schedule, is_paused, Timestamp::now()) {
            return Err(Refused::NoSchedule(schedule.to_owned()));
        }
        inner.waiting.retain(|(waiting, _)| waiting != schedule);
        inner.note(schedule, if is_paused { "paused" } else { "goes on" }.to_owned());
        drop(inner);
        self.news.notify_one();
        Ok(())
    }

    /// How schedules stand.
    pub(crate) fn schedules(&self) -> Vec<Standing> {
        let inner = self.inner();
        let now = Timestamp::now();
        let standing = |(schedule, memory): (&Schedule, &Memory)| Standing {
            schedule: schedule.clone(),
            is_paused: memory.is_paused,
            next: inner.timetable.next(&schedule.name, now),
            now: inner.now_of(&schedule.name),
            last: inner.lasts.get(&schedule.name).cloned(),
            waits: inner.waiting.iter().find(|(name, _)| *name == schedule.name).map(|(_, why)| why.clone()),
            notes: inner
                .notes
                .get(&schedule.name)
                .map(|notes| notes.iter().cloned().collect())
                .unwrap_or_default(),
        };
        inner.timetable.entries().map(standing).collect()
    }

    /// The plans of the folder, and why it cannot be read, where it cannot.
    pub(crate) fn plans(&self) -> (BTreeMap<String, Shelved>, Option<String>) {
        let inner = self.inner();
        (inner.plans.clone(), inner.trouble.clone())
    }

    /// Reads a text as if it were a plan of the folder. It may wait for files.
    pub(crate) async fn check(
        &self,
        name: String,
        text: String,
        reach: Reach,
    ) -> Result<Good, Vec<plimsoll_spec::Diagnostic>> {
        let (read, folder, file) = (self.read.clone(), self.folder.clone(), name.clone());
        let checked =
            tokio::task::spawn_blocking(move || crate::plans::good(&read, &folder, &file, text, reach));
        let whole = crate::plans::whole;
        let panicked = |_| vec![whole("the plan could not be read: its reader panicked".to_owned())];
        let good = checked.await.map_err(panicked)??;
        if reach == Reach::Folder {
            let before = Path::new(&name).file_stem().and_then(|stem| self.plan(stem.to_str()?)?.good);
            let before = before.map(|before| before.outward.clone()).unwrap_or_default();
            let wrong = outward::mistakes(&good.outward, &before, &self.targets);
            if !wrong.is_empty() {
                return Err(wrong.into_iter().map(whole).collect());
            }
        }
        Ok(good)
    }
}

/// The row of a run; `None` where it is in no record.
async fn row_of(history: &History, run: &str) -> plimsoll_history::Result<Option<RunRow>> {
    let filter = Filter { id: Some(run.to_owned()), ..Filter::default() };
    Ok(history.list(&filter).await?.pop())
}

/// The most that a run of a service before us asks for, as its plan has it.
async fn demand_of(history: &History, run: &str) -> Demand {
    let first = match history.read(run).await {
        Ok(mut reader) => reader.next().await,
        Err(error) => Err(error),
    };
    match first.as_ref().map(|events| events.first()) {
        Ok(Some(RunEvent::Started(started))) => {
            let (rate, users) = Steerings::default().most_from(&started.shape, 0.0);
            Demand { rate, users: users.ceil() as u32 }
        }
        Ok(_) => Demand::default(),
        Err(error) => {
            tracing::warn!(run, %error, "what a run asks for cannot be read: it is not counted");
            Demand::default()
        }
    }
}

/// The ends of what was started, told as they come.
#[derive(Debug)]
pub(crate) struct Ends(mpsc::UnboundedReceiver<Over>);

/// Why a plan was not started now.
enum Refusal {
    /// There will be room.
    Wait(String),
    Refused(Refused),
}

impl Refusal {
    fn refused(self) -> Refused {
        match self {
            Self::Wait(why) => Refused::NoRoom(why),
            Self::Refused(refused) => refused,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A plan as it was when it was right last.
fn right(plans: &BTreeMap<String, Shelved>, plan: &str) -> Result<Arc<Good>, Refused> {
    let known = plans.get(plan).ok_or_else(|| no_plan(plans, plan))?;
    known
        .good
        .clone()
        .ok_or_else(|| Refused::Wrong { plan: plan.to_owned(), why: crate::plans::rendered(&known.wrong) })
}

fn no_plan(plans: &BTreeMap<String, Shelved>, plan: &str) -> Refused {
    let known: Vec<String> = plans.keys().map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Refused::NoPlan { plan: plan.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use plimsoll_spec::{Inputs, Source, parse};
    use plimsoll_testkit::wait_until;

    use super::*;
    use crate::schedules::{Job, Missed, Most, Overlap, When};

    pub(super) const PATIENCE: Duration = Duration::from_secs(60);

    pub(super) const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nresume: true\n\
                        load: { stages: [ { hold: 1/s, for: 1s } ] }\nscenarios: [ { name: all, steps: [ { get: / } ] } ]\n";

    /// A history, and services over it whose runs are this script.
    pub(super) struct Place {
        pub(super) folder: tempfile::TempDir,
        pub(super) history: History,
    }

    impl Place {
        pub(super) async fn with(script: &str) -> Self {
            use std::os::unix::fs::PermissionsExt;
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join("program");
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
            std::fs::create_dir(folder.path().join("plans")).unwrap();
            std::fs::write(folder.path().join("plans/shop.yaml"), PLAN).unwrap();
            let history = History::open(folder.path().join("history.db")).await.unwrap();
            Self { folder, history }
        }

        pub(super) async fn open(&self) -> (Arc<Daemon>, Ends) {
            self.open_with(Vec::new(), None).await
        }

        async fn open_with(&self, schedules: Vec<Schedule>, reports: Option<PathBuf>) -> (Arc<Daemon>, Ends) {
            let plans = Plans {
                folder: self.folder.path().join("plans"),
                read: ReadPlan::new(|name, text, _, _| {
                    let nothing = |_: &str| Err("no file".to_owned());
                    parse(&Source { name: name.to_owned(), text }, &Inputs::new(&|_| None, &nothing))
                }),
                schedules,
                ceilings: Ceilings::default(),
                targets: Targets::default(),
                reports,
                program: self.folder.path().join("program"),
                is_editable: false,
            };
            Daemon::open(self.history.clone(), plans, None).await.unwrap()
        }

        pub(super) async fn launched(&self) -> Vec<String> {
            self.history.launches().await.unwrap().into_iter().map(|kept| kept.run).collect()
        }

        /// A service before us started this run, and it is to go on.
        pub(super) async fn keep(&self, run: &str) {
            let (run, plan) = (run.to_owned(), "shop".to_owned());
            let kept = KeptLaunch { run, plan, schedule: None, targets: None };
            self.history.keep_launch(&kept).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_run_that_does_not_stop_with_its_service_does_not_go_on_in_the_next() {
        let place = Place::with("trap '' INT; : > begun; exec sleep 600").await;
        let (daemon, mut ends) = place.open().await;
        daemon.on_shelf(|_| Ok(())).await.unwrap();
        let run = daemon.start("shop", Asked::default()).unwrap();
        let begun = place.folder.path().join("plans/begun");
        wait_until(PATIENCE, "the process", async || begun.exists()).await.unwrap();
        assert_eq!(place.launched().await, [run]);
        daemon.stop(&mut ends, Duration::ZERO).await;
        assert_eq!(place.launched().await, [""; 0]);
        assert!(daemon.inner().runs.is_empty(), "its end was seen, and told");
    }

    fn on_demand(name: &str, job: Job) -> Schedule {
        let (when, keep) = (When::OnDemand, Schedule::KEPT);
        let (overlap, missed) = (Overlap::Skip, Missed::default());
        Schedule { name: name.to_owned(), job, keep, when, overlap, missed }
    }

    #[tokio::test]
    async fn what_somebody_starts_takes_the_place_of_what_waits() {
        let place = Place::with("exec sleep 600").await;
        let schedules = ["often", "other"].map(|name| on_demand(name, Job::Plan("shop".to_owned())));
        let (daemon, mut ends) = place.open_with(schedules.into(), None).await;
        daemon.on_shelf(|_| Ok(())).await.unwrap();
        // Both were due, and there was no room.
        daemon.inner().waiting = ["often", "other"].map(|name| (name.to_owned(), String::new())).into();
        daemon.start_schedule("often", None).await.unwrap();
        daemon.look(Timestamp::now()).await;
        let mut of: Vec<_> = daemon.inner().runs.values().map(|run| run.schedule.clone().unwrap()).collect();
        of.sort();
        assert_eq!(of, ["often", "other"], "one of each goes on");
        let (_, told) = daemon.inner().notes["often"].back().cloned().unwrap();
        assert!(told.ends_with("by request, in place of the one that waited"), "{told}");
        daemon.stop(&mut ends, Duration::ZERO).await;
    }

    #[tokio::test]
    async fn no_report_is_written_where_none_would_be_listed() {
        let place = Place::with("exec sleep 600").await;
        let reports = place.folder.path().join("reports");
        std::fs::create_dir(&reports).unwrap();
        std::os::unix::fs::symlink(place.folder.path(), reports.join("linked")).unwrap();
        let job = Job::Capacity { plan: "shop".to_owned(), options: Vec::new() };
        let schedules = ["linked", "plain"].map(|name| on_demand(name, job.clone()));
        let (daemon, mut ends) = place.open_with(schedules.into(), Some(reports)).await;
        let refused = daemon.start_schedule("linked", None).await.unwrap_err().to_string();
        assert!(refused.contains("`linked` is a symbolic link"), "{refused}");
        daemon.start_schedule("plain", None).await.unwrap();
        daemon.stop(&mut ends, Duration::ZERO).await;
    }

    #[tokio::test]
    async fn what_is_due_waits_until_its_folder_of_reports_was_looked_at() {
        let place = Place::with("exec sleep 600").await;
        let reports = place.folder.path().join("reports");
        std::fs::create_dir(&reports).unwrap();
        std::os::unix::fs::symlink(place.folder.path(), reports.join("linked")).unwrap();
        let report = Job::Capacity { plan: "shop".to_owned(), options: Vec::new() };
        let search = Job::Limit { plan: "shop".to_owned(), most: Most::Rate(1.0) };
        let due = [("linked", report.clone()), ("plain", report), ("search", search)];
        let due = due.map(|(name, job)| Schedule { when: When::Continuous, ..on_demand(name, job) });
        let (daemon, mut ends) = place.open_with(due.into(), Some(reports)).await;
        daemon.on_shelf(|_| Ok(())).await.unwrap();
        let now = Timestamp::now();
        daemon.look(now).await;
        let waits = |schedule: &Standing| schedule.waits.clone();
        let first = "its folder of reports is looked at first";
        assert_eq!(daemon.schedules().iter().filter_map(waits).collect::<Vec<_>>(), [first; 3]);
        assert!(daemon.inner().runs.is_empty(), "no file was looked at yet");
        daemon.look(now).await;
        assert_eq!(daemon.schedules().iter().find_map(waits), None);
        let now = |schedule: &Standing| schedule.now.is_some().then(|| schedule.schedule.name.clone());
        assert_eq!(daemon.schedules().iter().filter_map(now).collect::<Vec<_>>(), ["plain", "search"]);
        let told = daemon.inner().notes["linked"].back().cloned().unwrap().1;
        assert!(told.starts_with("not started: ") && told.contains("is a symbolic link"), "{told}");
        daemon.stop(&mut ends, Duration::ZERO).await;
    }

    #[test]
    fn there_is_room_up_to_the_ceilings() {
        let ceilings = Ceilings { rate: Some(100.0), users: Some(50), runs: 3 };
        let rate = |rate| Demand { rate, users: 0 };
        let users = |users| Demand { rate: 0.0, users };
        for (running, wanted, expected) in [
            (vec![], rate(100.0), Ok(())),
            (vec![], rate(101.0), Err("ever: it asks for 101 arrivals/s, and the ceiling is 100")),
            (vec![rate(60.0)], rate(40.0), Ok(())),
            (
                vec![rate(60.0)],
                rate(41.0),
                Err("now: it asks for 41 arrivals/s; others have 60 of the 100 there may be"),
            ),
            (
                vec![rate(60.0), users(50)],
                users(1),
                Err("now: it asks for 1 users; others have 50 of the 50 there may be"),
            ),
            (vec![], users(51), Err("ever: it asks for 51 users, and the ceiling is 50")),
            (
                vec![rate(1.0); 3],
                rate(1.0),
                Err("now: it asks for 1 run; others have 3 of the 3 there may be"),
            ),
        ] {
            let found = ceilings.room(&running, wanted).map_err(|full| match full {
                NoRoom::Now(why) => format!("now: {why}"),
                NoRoom::Ever(why) => format!("ever: {why}"),
            });
            assert_eq!(found, expected.map_err(str::to_owned), "{running:?} {wanted:?}");
        }
    }
}
