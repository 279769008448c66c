//! `plimsoll runs resume`: goes on with a run whose process died.

use std::path::PathBuf;

use anyhow::anyhow;
use plimsoll_history::{Filter, History, Interrupted, RunRow};
use plimsoll_run::{Change, FeedOrder, LoadModel, RunPlan, Started, State};

use crate::arguments::{OutputArguments, ResumeArguments};
use crate::plan::Changes;
use crate::records::moment;
use crate::run::{Begin, Offered, default_workers, see_through};
use crate::{Outcome, Stop, files, plan};

/// How often a run is resumed within an hour: one that takes its generator along each time is not to do so for ever.
const MOST: usize = 5;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Goes on with a run. Where the record cannot be used for now that refuses nothing: whoever asked may ask again.
pub(crate) async fn resume(arguments: ResumeArguments) -> Outcome {
    Box::pin(resume_now(arguments)).await.map_err(Stop::or_for_now)
}

async fn resume_now(arguments: ResumeArguments) -> Outcome {
    let history = files::history(&arguments.history).await?;
    let id = history.find(&arguments.run).await.map_err(Stop::usage)?;
    let filter = Filter { id: Some(id.clone()), ..Filter::default() };
    let row = history.list(&filter).await.map_err(Stop::usage)?.pop();
    let row = row.ok_or_else(|| Stop::usage(anyhow!("run {id} has just been deleted")))?;
    let interrupted = history.interrupted(&id).await.map_err(Stop::usage)?;
    let mut plan = plan_of(interrupted.state.started(), &arguments)?;
    plan.http.network.allowed.clone_from(&arguments.targets);
    let found = Found {
        row: &row,
        state: &interrupted.state,
        same_boot: interrupted.same_boot,
        plan: &plan,
        host: &plimsoll_runner::machine().host,
        now_nanos: jiff::Timestamp::now().as_nanosecond() as i64,
        has_rows: history.rows_file(&id).is_file(),
    };
    if let Some(why) = found.why_never().or_else(|| found.why_not().filter(|_| !arguments.anyway)) {
        return Err(Stop::usage(anyhow!("run {id} is not resumed: {why}")));
    }
    go_on(&history, interrupted, plan, &arguments).await
}

async fn go_on(
    history: &History,
    interrupted: Interrupted,
    plan: RunPlan,
    arguments: &ResumeArguments,
) -> Outcome {
    let rows = plan.draws_rows().then(|| history.rows_file(&interrupted.state.started().info.id));
    let offered = Offered {
        plan,
        begin: Begin { id: None, resumed: Some(Box::new(interrupted)), rows },
        workers: arguments.workers.map_or_else(default_workers, usize::from),
        // What is known of this machine is in the record already.
        calibrates: false,
        strict: arguments.strict,
    };
    let output: &OutputArguments = &arguments.output;
    Box::pin(see_through(history, offered, output)).await
}

/// The plan of the run: that of the record, or the file that is said to be it.
fn plan_of(started: &Started, arguments: &ResumeArguments) -> Result<RunPlan, Stop> {
    let (tags, set) = (started.info.tags.clone(), arguments.set.clone());
    if let Some(path) = &arguments.plan {
        return Ok(plan::load(path, Changes { set, tags, ..Changes::default() })?.plan);
    }
    let id = &started.info.id;
    if started.plan_text.trim().is_empty() {
        return Err(Stop::usage(anyhow!(
            "the record of run {id} has no text of its plan: name its file with --plan"
        )));
    }
    let name = format!("the plan of run {id}");
    plan::kept(&name, started.plan_text.clone(), Changes { set, tags, ..Changes::default() })
}

/// What decides whether a run goes on.
struct Found<'a> {
    row: &'a RunRow,
    state: &'a State,
    same_boot: bool,
    plan: &'a RunPlan,
    host: &'a str,
    now_nanos: i64,
    has_rows: bool,
}

impl Found<'_> {
    /// What nobody can get over.
    fn why_never(&self) -> Option<String> {
        let Self { row, plan, .. } = self;
        if plan.hash != row.plan_hash {
            return Some(format!(
                "its plan is another now (hash {}, was {}). Files that the plan names have changed, it is not that \
                 plan, or another version of Plimsoll ({}) recorded it",
                plan.hash, row.plan_hash, row.plimsoll
            ));
        }
        if plan.target != row.target {
            return Some(format!("its target was {}, and would be {} now", row.target, plan.target));
        }
        if plan.loads().any(LoadModel::counts_each_user) {
            return Some(
                "no record tells how many of its `iterations_per_user` each user has done".to_owned(),
            );
        }
        self.why_nothing_is_left().or_else(|| self.why_no_rows())
    }

    /// What has ended offers nothing again: its figures stand, and somebody may have stopped it.
    fn why_nothing_is_left(&self) -> Option<String> {
        let (shape, steerings) = (self.state.shape(), self.state.steerings());
        let stopped = steerings.all().last().filter(|last| last.change == Change::Stop);
        let stopped =
            stopped.filter(|last| steerings.stops_all(shape, last)).map(|last| last.effective as f64 / 1e9);
        let ended = self.state.stages_ended().map(|at| at as f64 / 1e9);
        let at = ended.filter(|at| *at < shape.stages_end()).or(stopped)?;
        Some(format!(
            "its load had ended at {at:.1} s: it was stopped or aborted, its setup failed, or its iterations were done. \
             `plimsoll runs teardown` makes what it left undone"
        ))
    }

    fn why_no_rows(&self) -> Option<String> {
        if !self.plan.draws_rows() {
            return None;
        }
        if !self.has_rows {
            let why = "which rows of its feeds were used was not kept: a run keeps that beside the history where its \
                       plan says `resume: true`";
            return Some(why.to_owned());
        }
        let unique = self.plan.feeds.iter().find(|feed| feed.order == FeedOrder::Unique)?;
        (!self.same_boot).then(|| {
            format!(
                "this machine was started anew since, so that it is not sure which rows of `{}` were used last, and \
                 each may be used once only",
                unique.name
            )
        })
    }

    /// What `--anyway` gets over.
    fn why_not(&self) -> Option<String> {
        let Self { row, plan, .. } = self;
        let anyway = |why: String| Some(format!("{why}; `--anyway` resumes it all the same"));
        if row.host != self.host {
            return anyway(format!("it ran on `{}`, and this is `{}`", row.host, self.host));
        }
        if !plan.resume {
            return anyway("its plan does not say `resume: true`".to_owned());
        }
        if let Some(made) = &row.teardown {
            return anyway(format!("its teardown was made on {}", moment(made.made_nanos)));
        }
        let resumptions = self.state.resumptions().iter();
        let recent = resumptions.filter(|one| one.wall_nanos > self.now_nanos - HOUR_NANOS).count();
        if recent >= MOST {
            return anyway(format!(
                "it was resumed {recent} times within an hour, which is the most: it may be what ends its generator"
            ));
        }
        None
    }
}

/// Where a run keeps which rows it has used.
pub(crate) fn rows_of(history: &History, plan: &RunPlan, id: &str) -> Option<PathBuf> {
    (plan.resume && plan.draws_rows()).then(|| history.rows_file(id))
}
