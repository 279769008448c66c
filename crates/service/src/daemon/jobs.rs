//! What a schedule starts: runs, searches for limits, and reports.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_notify::{Occurrence, Page, ReportEnded, ReportOf, SearchEnded};
use plimsoll_run::{ExitCode, Targets};
use tokio::time::Instant;

use super::{
    Asked, Begun, Daemon, Inner, LiveRun, Over, Process, Refusal, Refused, Resumptions, SCHEDULE_TAG, Task,
    right,
};
use crate::farewell::now;
use crate::launcher::{self, Fate, Launch, Work};
use crate::plans::{Demand, Good};
use crate::reports;
use crate::schedules::{Job, Most, Schedule};

/// How long a report may take: one over a year of hourly runs takes seconds.
const LONGEST_REPORT: Duration = Duration::from_secs(600);

/// Schedules whose folder of reports was looked at, each with whether it is a link: nothing that is there would be listed.
pub(super) type Looked = BTreeMap<String, bool>;

impl Daemon {
    /// Looks at the folders of reports of these schedules, on a thread that may wait for files: not under the lock, for which
    /// everybody else would wait, too.
    pub(super) async fn look_at_reports(&self, schedules: Vec<String>) -> Looked {
        let Some(reports) = self.reports.clone().filter(|_| !schedules.is_empty()) else {
            return Looked::new();
        };
        let look = move || {
            let looked = |schedule: String| {
                let is_link = reports.is_link(&schedule);
                (schedule, is_link)
            };
            schedules.into_iter().map(looked).collect()
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Starts what a schedule is for, where `targets` allow it, too. What makes a report waits until its folder was looked at.
    pub(super) fn begin(
        self: &Arc<Self>,
        inner: &mut Inner,
        schedule: &Schedule,
        looked: &Looked,
        targets: Option<Targets>,
    ) -> Result<Begun, Refusal> {
        match &schedule.job {
            Job::Plan(plan) => {
                let tags = BTreeMap::from([(SCHEDULE_TAG.to_owned(), schedule.name.clone())]);
                let asked = Asked { tags, seed: None, targets };
                self.launch(inner, plan, Some(&schedule.name), asked).map(Begun::Run)
            }
            Job::Limit { plan, most } => {
                let search = self.search(inner, schedule, (plan, *most), looked, targets);
                search.map(Begun::Search)
            }
            Job::Capacity { plan, options } => {
                let mut arguments = vec!["capacity".into(), format!("--plan={plan}").into()];
                arguments.extend(options.iter().map(OsString::from));
                arguments.push("--report".into());
                self.report(inner, schedule, looked, arguments).map(Begun::Report)
            }
            Job::Sla { files, month } => {
                let month = month.of(Timestamp::now(), &schedule.when.zone());
                let mut arguments = vec!["sla".into(), "report".into(), "--month".into(), month.into()];
                arguments.extend(files.iter().map(OsString::from));
                arguments.push("--html".into());
                self.report(inner, schedule, looked, arguments).map(Begun::Report)
            }
        }
    }

    /// Starts a search for the limit of a plan. Its runs come one after the other, so it counts as one, of the highest
    /// load that it may try.
    fn search(
        self: &Arc<Self>,
        inner: &mut Inner,
        schedule: &Schedule,
        (plan, most): (&str, Most),
        looked: &Looked,
        targets: Option<Targets>,
    ) -> Result<String, Refusal> {
        if inner.is_stopping {
            return Err(Refused::Stopping.into());
        }
        let good = right(&inner.plans, plan)?;
        let demand = most_of(plan, &good, most)?;
        self.room(inner, demand)?;
        let id = uuid::Uuid::now_v7().to_string();
        let file = reports::file_of(Timestamp::now());
        let place = match self.reports.as_ref() {
            Some(_) if is_link(looked, schedule)? => {
                let linked = Refused::LinkedReports(schedule.name.clone());
                inner.note(&schedule.name, format!("no report is made: {linked}"));
                None
            }
            reports => reports.map(|reports| reports.path(&schedule.name, &file)),
        };
        let launch = Launch {
            id: id.clone(),
            work: Work::Search {
                most: match most {
                    Most::Rate(rate) => rate,
                    Most::Users(users) => users.into(),
                },
                page: place.is_some().then(|| reports::href(&schedule.name, &file)),
                report: place,
            },
            text: good.text.clone(),
            folder: self.folder.clone(),
            tags: BTreeMap::from([(SCHEDULE_TAG.to_owned(), schedule.name.clone())]),
            targets: [self.targets.clone()].into_iter().chain(targets).collect(),
        };
        let search = id.clone();
        let run = LiveRun {
            task: Task::Search,
            schedule: Some(schedule.name.clone()),
            plan: Some((plan.to_owned(), Arc::clone(&good))),
            demand,
            since: Instant::now(),
            process: Process::Starting,
            kept: None,
            resumptions: Resumptions::default(),
            put_off: None,
            is_stopped: false,
        };
        inner.runs.insert(id.clone(), run);
        let (daemon, schedule) = (Arc::clone(self), schedule.clone());
        tokio::spawn(async move {
            let fate = daemon.carry(launch, &good.targets).await;
            let report = daemon.made(&schedule, &file).await;
            let (words, is_well) = (fate.search_words(), fate.was_run());
            let _ = daemon.ends.send(Over { id: search, words, is_well, fate, report });
        });
        Ok(id)
    }

    /// Starts a report: these arguments, and behind them the file that it goes to.
    fn report(
        self: &Arc<Self>,
        inner: &mut Inner,
        schedule: &Schedule,
        looked: &Looked,
        mut arguments: Vec<OsString>,
    ) -> Result<String, Refusal> {
        if inner.is_stopping {
            return Err(Refused::Stopping.into());
        }
        let reports = self.reports.as_ref().ok_or(Refused::NoReports)?;
        if inner.runs.values().any(|run| !run.task.offers_load()) {
            return Err(Refusal::Wait(Refused::Reporting.to_string()));
        }
        if is_link(looked, schedule)? {
            return Err(Refused::LinkedReports(schedule.name.clone()).into());
        }
        let file = reports::file_of(Timestamp::now());
        arguments.push(reports.path(&schedule.name, &file).into());
        let id = uuid::Uuid::now_v7().to_string();
        let launch = Launch {
            id: id.clone(),
            work: Work::Report(arguments),
            text: String::new(),
            folder: self.folder.clone(),
            tags: BTreeMap::new(),
            targets: Vec::new(),
        };
        let run = LiveRun {
            task: Task::Report(file.clone()),
            schedule: Some(schedule.name.clone()),
            plan: None,
            demand: Demand::default(),
            since: Instant::now(),
            process: Process::Starting,
            kept: None,
            resumptions: Resumptions::default(),
            put_off: None,
            is_stopped: false,
        };
        inner.runs.insert(id.clone(), run);
        let (daemon, schedule, name) = (Arc::clone(self), schedule.clone(), file.clone());
        tokio::spawn(async move {
            let fate = daemon.carry_for(launch, LONGEST_REPORT).await;
            let report = daemon.made(&schedule, &name).await;
            let words = fate.report_words(report.is_some());
            let _ = daemon.ends.send(Over { id, is_well: report.is_some(), words, fate, report });
        });
        Ok(file)
    }

    /// Where what a schedule started sends its requests, whatever its plan says by now.
    pub(crate) fn sent_to_by(&self, schedule: &str) -> Vec<String> {
        let inner = self.inner();
        let of_it = inner.runs.values().filter(|run| run.schedule.as_deref() == Some(schedule));
        of_it.filter_map(|run| run.plan.as_ref()).flat_map(|(_, good)| good.targets.clone()).collect()
    }

    /// Asks what a schedule started to stop, in order: its teardown is made and its record is whole.
    pub(crate) fn stop_schedule(&self, schedule: &str) -> Result<(), Refused> {
        self.schedule(schedule)?;
        let mut inner = self.inner();
        let of_it = inner.runs.values_mut().filter(|run| run.schedule.as_deref() == Some(schedule));
        if of_it.filter_map(|run| run.stop().then_some(())).count() == 0 {
            return Err(Refused::Idle(schedule.to_owned()));
        }
        inner.note(schedule, "is asked to stop".to_owned());
        Ok(())
    }

    /// Tells of a search or a report that is over. Whoever stopped one knows.
    pub(super) fn tell_job(
        &self,
        inner: &Inner,
        id: &str,
        run: &LiveRun,
        report: Option<&str>,
        words: &str,
        fate: Option<Fate>,
    ) {
        let schedule = run.schedule.as_deref().and_then(|name| inner.schedule(name));
        let (Some(schedule), Some(fate)) = (schedule, fate) else { return };
        let page = report.map(|file| Page::Report(reports::href(&schedule.name, file)));
        let is_well = page.is_some() || fate.code == Some(0);
        if run.is_stopped && !is_well {
            return;
        }
        let occurrence = match &run.task {
            Task::Search => search_ended(id, run, schedule, &fate, page),
            Task::Report(file) => report_ended(file, schedule, words, page),
            Task::Run | Task::Trial => None,
        };
        if let Some(occurrence) = occurrence {
            self.farewell.lock().unwrap_or_else(PoisonError::into_inner).say(occurrence);
        }
    }

    /// The report of this name, if it was made. The oldest make room for it.
    async fn made(&self, schedule: &Schedule, file: &str) -> Option<String> {
        let (reports, name, keep) = (self.reports.clone()?, schedule.name.clone(), schedule.keep);
        let file = file.to_owned();
        let looked = tokio::task::spawn_blocking(move || {
            let made = reports.has(&name, &file).then_some(file);
            if let Err(error) = reports.prune(&name, made.as_deref(), keep) {
                tracing::warn!(schedule = name, %error, "old reports cannot be deleted");
            }
            made
        });
        looked.await.unwrap_or_default()
    }

    /// Runs a process that sends nothing anywhere, for so long at most.
    async fn carry_for(&self, launch: Launch, longest: Duration) -> Fate {
        let id = launch.id.clone();
        let mut carried = std::pin::pin!(self.carry(launch, &[]));
        if let Ok(fate) = tokio::time::timeout(longest, &mut carried).await {
            return fate;
        }
        if let Some(process) = self.inner().runs.get(&id).and_then(LiveRun::process) {
            launcher::end(process);
        }
        let said = format!("it took longer than {} s, and was ended", longest.as_secs());
        Fate { said, ..carried.await }
    }

    /// What a schedule would offer, and where: it may be sent there. `None`: it offers nothing.
    pub(crate) async fn wanted_by(&self, job: &Job) -> Result<Option<(Demand, Vec<String>)>, Refused> {
        let Some(plan) = job.offers() else { return Ok(None) };
        let good = self.wanted(plan).await?;
        let demand = match job {
            Job::Limit { most, .. } => most_of(plan, &good, *most)?,
            Job::Plan(_) | Job::Capacity { .. } | Job::Sla { .. } => good.demand,
        };
        Ok(Some((demand, good.targets.clone())))
    }
}

/// Whether the folder of a schedule's reports is a link, once it was looked at.
fn is_link(looked: &Looked, schedule: &Schedule) -> Result<bool, Refusal> {
    let known = looked.get(&schedule.name).copied();
    known.ok_or_else(|| Refusal::Wait("its folder of reports is looked at first".to_owned()))
}

/// What there is to tell of a search, where it is ours to tell: one whose plan names somebody tells them itself, unless
/// its process died without a word.
fn search_ended(
    id: &str,
    run: &LiveRun,
    schedule: &Schedule,
    fate: &Fate,
    page: Option<Page>,
) -> Option<Occurrence> {
    let (_, good) = run.plan.as_ref()?;
    if good.tells_itself && fate.could_speak() {
        return None;
    }
    let (found, code) = (fate.breaking_point(), fate.exit_code());
    let says_little = found.is_none() || matches!(code, ExitCode::Internal | ExitCode::Usage);
    Some(Occurrence::SearchEnded(Box::new(SearchEnded {
        plan: good.name.clone(),
        search: id.to_owned(),
        schedule: Some(schedule.name.clone()),
        ended: now(),
        code,
        reason: says_little.then(|| fate.search_words()),
        target: good.targets.first().cloned().unwrap_or_default(),
        found,
        report: None,
        page,
    })))
}

/// What there is to tell of a report; `file` is what it is called, or would have been.
fn report_ended(file: &str, schedule: &Schedule, words: &str, page: Option<Page>) -> Option<Occurrence> {
    let of = match &schedule.job {
        Job::Capacity { plan, .. } => ReportOf::Capacity { plan: plan.clone() },
        Job::Sla { month, .. } => {
            let begun = reports::moment_of(file).unwrap_or_else(Timestamp::now);
            ReportOf::Slas { month: month.of(begun, &schedule.when.zone()) }
        }
        Job::Plan(_) | Job::Limit { .. } => return None,
    };
    let (schedule, words) = (schedule.name.clone(), words.to_owned());
    Some(Occurrence::ReportEnded(ReportEnded {
        schedule,
        of,
        ended: now(),
        is_made: page.is_some(),
        words,
        page,
    }))
}

/// The most that a search offers: of the kind of load that its plan has.
fn most_of(plan: &str, good: &Good, most: Most) -> Result<Demand, Refused> {
    let other = |said, offers, write| Refused::OtherLoad { plan: plan.to_owned(), said, offers, write };
    match most {
        Most::Rate(_) if good.demand.users > 0 => Err(other("arrivals per second", "users", "500 users")),
        Most::Users(_) if good.demand.rate > 0.0 => Err(other("users", "arrivals per second", "2000/s")),
        Most::Rate(rate) => Ok(Demand { rate, users: 0 }),
        Most::Users(users) => Ok(Demand { rate: 0.0, users }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_asks_for_the_most_that_it_may_try_in_the_unit_of_its_plan() {
        let good =
            |rate, users| Good { demand: Demand { rate, users }, ..Good::named("shop", String::new()) };
        let (open, closed) = (good(10.0, 0), good(0.0, 8));
        let asked = |good: &Good, most| most_of("shop", good, most).map_err(|refused| refused.to_string());
        assert_eq!(asked(&open, Most::Rate(500.0)), Ok(Demand { rate: 500.0, users: 0 }));
        assert_eq!(asked(&closed, Most::Users(64)), Ok(Demand { rate: 0.0, users: 64 }));
        for (good, most, words) in [
            (&open, Most::Users(64), "the plan `shop` offers arrivals per second: write it like `2000/s`"),
            (&closed, Most::Rate(64.0), "the plan `shop` offers users: write it like `500 users`"),
        ] {
            let told = asked(good, most).unwrap_err();
            assert!(told.ends_with(words), "{told}");
        }
    }
}
