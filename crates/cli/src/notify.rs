//! `plimsoll notify`, and who is told of a run or a search.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use plimsoll_notify::{Answer, Notifier, Occurrence, RunEnded, RunWatch, SearchEnded, Teller};
use plimsoll_run::{ExitCode, NotifySettings, RunEvent, RunPlan, Summary};

use crate::arguments::{NotifyCommand, NotifyTestArguments};
use crate::{Outcome, Stop, plan};

/// How long the end of a run, or of the service, waits for receivers.
pub(crate) const DELIVER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn notify(command: &NotifyCommand) -> Outcome {
    match command {
        NotifyCommand::Test(arguments) => test(arguments).await,
    }
}

async fn test(arguments: &NotifyTestArguments) -> Outcome {
    let Some(path) = arguments.plan.as_deref().or(arguments.config.as_deref()) else {
        return Err(Stop::usage(anyhow!("name a plan, or a configuration with -c")));
    };
    let settings = settings_of(path)?;
    let Some(settings) = settings else {
        return Err(Stop::usage(anyhow!("{} has no `notify`: nobody is told", path.display())));
    };
    let tested = plimsoll_notify::test(&settings).await.map_err(Stop::usage)?;
    let mut code = ExitCode::Success;
    for tested in tested {
        let said = match tested.answer {
            Answer::Taken { said } => format!("taken ({said})"),
            Answer::Later { reason, .. } | Answer::Refused { reason } => {
                code = ExitCode::Unreachable;
                format!("not taken: {reason}")
            }
        };
        let took = tested.took.as_millis();
        crate::say::outln!("{} ({}): {said}, {took} ms", tested.receiver, tested.channel);
    }
    Ok(code)
}

/// Who is told, by a plan or a configuration.
fn settings_of(path: &Path) -> Result<Option<NotifySettings>, Stop> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Stop::usage(anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
    })?;
    plan::notify(&path.display().to_string(), text)
}

/// Those who are told of a run or a search, where the plan names any.
pub(crate) struct Told {
    notifier: Option<Notifier>,
    plan: String,
    target: String,
}

impl Told {
    pub(crate) fn begin(plan: &RunPlan) -> Result<Self, Stop> {
        let settings = Some(plan.notify.clone()).filter(|settings| !settings.receivers.is_empty());
        let notifier = settings.map(Notifier::start).transpose().map_err(Stop::usage)?;
        Ok(Self { notifier, plan: plan.name.clone(), target: plan.target.clone() })
    }

    /// Sees every event of the run.
    pub(crate) fn observer(&self) -> impl FnMut(&RunEvent) + Send + 'static {
        let mut watching: Option<(Teller, RunWatch)> =
            self.notifier.as_ref().map(|notifier| (notifier.teller(), RunWatch::default()));
        move |event| {
            if let Some((teller, watch)) = &mut watching {
                watch.apply(event).into_iter().for_each(|occurrence| teller.tell(occurrence));
            }
        }
    }

    /// The run is over. `report` is where a report of it is being written.
    pub(crate) fn ended(&self, summary: &Summary, code: ExitCode, report: Option<&Path>) {
        let Some(notifier) = &self.notifier else { return };
        let report = report.and_then(place);
        notifier.teller().tell(Occurrence::RunEnded(Box::new(RunEnded::of(summary, code, report))));
    }

    /// The run could not begin.
    pub(crate) async fn not_begun(self, stop: &Stop) {
        if let Some(notifier) = &self.notifier {
            let reason = stop.error.as_ref().map_or_else(String::new, |error| format!("{error:#}"));
            let (plan, target) = (self.plan.clone(), self.target.clone());
            let ended = RunEnded::not_begun(plan, target, stop.code, reason, now());
            notifier.teller().tell(Occurrence::RunEnded(Box::new(ended)));
        }
        self.finish().await;
    }

    /// A search is over.
    pub(crate) fn searched(&self, search: SearchEnded) {
        if let Some(notifier) = &self.notifier {
            notifier.teller().tell(Occurrence::SearchEnded(Box::new(search)));
        }
    }

    /// Waits until everybody is told, for a while.
    pub(crate) async fn finish(self) {
        if let Some(notifier) = self.notifier {
            finish(notifier).await;
        }
    }
}

/// Waits until everybody is told, for a while; what could not be told is said.
pub(crate) async fn finish(notifier: Notifier) {
    for note in notifier.finish(DELIVER_WITHIN).await {
        crate::say::errln!("warning: {note}");
    }
}

/// Where a file lies on this machine; `None`: it is standard output.
pub(crate) fn place(path: &Path) -> Option<String> {
    let file = Some(path).filter(|path| path.as_os_str() != "-")?;
    Some(std::path::absolute(file).ok()?.display().to_string())
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
