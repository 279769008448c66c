//! Tells of the ends of what the service started: runs, searches and reports.
//!
//! Each end is told once. A run whose plan has a `notify` of its own tells its end itself, to whom the plan says; the
//! service tells of all others, and of every run that could not: whose process died without a word, or never was one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plimsoll_history::{Error, History};
use plimsoll_notify::{Occurrence, RunEnded, Teller};
use plimsoll_run::{ExitCode, State};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::followed::fold;
use crate::launcher::Fate;
use crate::plans::Good;

/// How long a service that stops waits until the ends of its runs are read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells of the ends of runs.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    teller: Option<Teller>,
    telling: JoinSet<()>,
}

/// The end of a run.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) run: String,
    /// The name of its plan in the folder.
    pub(crate) plan: String,
    /// As it was started; `None` where a service before us started it and the plan is not there any more.
    pub(crate) good: Option<Arc<Good>>,
    /// How its process ended; `None` where it is no child of ours.
    pub(crate) fate: Option<Fate>,
}

impl Farewell {
    pub(crate) fn new(teller: Option<Teller>) -> Self {
        Self { teller, telling: JoinSet::new() }
    }

    /// Tells of an end, as soon as its record is read.
    pub(crate) fn tell(&mut self, history: &History, end: End) {
        let Some(teller) = self.teller.clone() else { return };
        while self.telling.try_join_next().is_some() {}
        let history = history.clone();
        self.telling.spawn(async move {
            let recorded = match recorded(&history, &end.run).await {
                Ok(recorded) => recorded,
                Err(error) => {
                    tracing::warn!(run = end.run, %error, "the record of a run that has ended cannot be read");
                    None
                }
            };
            if let Some(ended) = end.news(recorded) {
                teller.tell(Occurrence::RunEnded(Box::new(ended)));
            }
        });
    }

    /// Tells of what there is no record to read of.
    pub(crate) fn say(&self, occurrence: Occurrence) {
        if let Some(teller) = &self.teller {
            teller.tell(occurrence);
        }
    }

    /// Waits until all are told, for a while.
    pub(crate) async fn finish(mut self) {
        if timeout(PATIENCE, async { while self.telling.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(
                "the ends of {} runs are not told: their records take too long",
                self.telling.len()
            );
        }
    }
}

/// What the record has of a run, and whether its process died without a word; `None`: it never began.
async fn recorded(history: &History, run: &str) -> Result<Option<(State, bool)>, Error> {
    let mut reader = match history.read(run).await {
        Ok(reader) => reader,
        Err(Error::NoRun { .. } | Error::Empty) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut state = None;
    loop {
        let events = reader.next().await?;
        if events.is_empty() {
            return Ok(state.map(|state| (state, reader.has_died())));
        }
        events.iter().for_each(|event| fold(&mut state, event));
        tokio::task::yield_now().await;
    }
}

impl End {
    /// What there is to tell, where it is ours to tell.
    fn news(self, recorded: Option<(State, bool)>) -> Option<RunEnded> {
        let is_dead = match (&self.fate, &recorded) {
            (Some(fate), _) => !fate.could_speak(),
            (None, Some((_, has_died))) => *has_died,
            (None, None) => false,
        };
        let tells_itself = self.good.as_ref().is_some_and(|good| good.tells_itself);
        if tells_itself && !is_dead {
            return None;
        }
        let code = self.fate.as_ref().map(Fate::exit_code);
        let words = self.fate.as_ref().map(Fate::words);
        let Some((state, _)) = recorded else {
            let target = self.good.and_then(|good| good.targets.first().cloned()).unwrap_or_default();
            let reason = words.unwrap_or_else(|| "it left no record".to_owned());
            let code = code.unwrap_or(ExitCode::Internal);
            return Some(RunEnded::not_begun(self.plan, target, code, reason, now()));
        };
        let summary = state.summary();
        let code = match code {
            Some(code) => code,
            None if is_dead => ExitCode::Internal,
            None => ExitCode::of_run(&summary, false),
        };
        let mut ended = RunEnded::of(&summary, code, None);
        if is_dead {
            ended.reason = words.or(ended.reason);
        }
        Some(ended)
    }
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(tells_itself: bool, fate: Fate) -> End {
        let text = "name: shop\ntarget: http://user@127.0.0.1:1\n".to_owned();
        let good = Good { tells_itself, ..Good::named("shop", text) };
        End { run: "r".to_owned(), plan: "shop".to_owned(), good: Some(Arc::new(good)), fate: Some(fate) }
    }

    #[test]
    fn an_end_is_told_by_whoever_could_tell_it() {
        let process =
            |code| Fate { code, said: "error: no luck".to_owned(), had_process: true, ..Fate::default() };
        let never = |code| Fate { code, said: "error: not allowed".to_owned(), ..Fate::default() };
        for (fate, alone, told) in [
            (process(Some(0)), false, Some(ExitCode::Success)),
            (process(Some(3)), false, Some(ExitCode::Missed)),
            (process(Some(130)), false, Some(ExitCode::Interrupted)),
            (process(None), false, Some(ExitCode::Internal)),
            (process(Some(101)), false, Some(ExitCode::Internal)),
            (never(Some(2)), false, Some(ExitCode::Usage)),
            (process(Some(0)), true, None),
            (process(Some(5)), true, None),
            (process(None), true, Some(ExitCode::Internal)),
            (process(Some(101)), true, Some(ExitCode::Internal)),
            (process(Some(2)), true, None),
            // It was killed, and whoever should have gone on with it did not begin.
            (process(Some(2)).not_resumed(), true, Some(ExitCode::Internal)),
            (never(Some(2)), true, Some(ExitCode::Usage)),
            (never(None), true, Some(ExitCode::Internal)),
        ] {
            let found = end(alone, fate.clone()).news(None);
            assert_eq!(found.map(|found| found.code), told, "{fate:?} {alone}");
        }
    }
}
