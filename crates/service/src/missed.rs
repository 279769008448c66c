//! The runs that ended while no service ran, told to SLAs in the order they began.
//!
//! They are listed some at a time and read a minute at a time, so that neither how many they are nor how long they took is
//! a matter of memory, and whoever asks meanwhile need not wait until all are read.

use std::collections::VecDeque;
use std::time::Instant;

use plimsoll_history::{Error, History, Reader, RunSpan};
use plimsoll_run::{RunEvent, State};

use crate::followed::fold;
use crate::slas::{RunSecond, Slas};

/// So many are listed at a time.
const PAGE: u32 = 100;

/// In a second.
const NANOS: i64 = 1_000_000_000;

/// Those that are not told yet.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// The next ones.
    page: VecDeque<RunSpan>,
    /// The last one that was listed.
    listed: Option<RunSpan>,
    is_listed_whole: bool,
    telling: Option<Telling>,
}

/// The one that is being told.
#[derive(Debug)]
struct Telling {
    run: RunSpan,
    reader: Reader,
    state: Option<State>,
}

impl Missed {
    /// Goes on until a moment; reads a minute of one run at least. Whether all are told.
    ///
    /// # Errors
    /// When the record cannot be read. What was told stays told.
    pub(crate) async fn go_on(
        &mut self,
        history: &History,
        slas: &Slas,
        until: Instant,
    ) -> Result<bool, Error> {
        while self.telling.is_some() || self.turn(history, slas).await? {
            self.tell(slas).await?;
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    /// Turns to the next run; whether there is one.
    async fn turn(&mut self, history: &History, slas: &Slas) -> Result<bool, Error> {
        loop {
            while let Some(run) = self.page.pop_front() {
                match history.read(&run.id).await {
                    Ok(reader) => {
                        self.telling = Some(Telling { run, reader, state: None });
                        return Ok(true);
                    }
                    Err(error) if is_of_the_run(&error) => pass_over(&run, &error, slas),
                    Err(error) => {
                        self.page.push_front(run);
                        return Err(error);
                    }
                }
            }
            if self.is_listed_whole {
                return Ok(false);
            }
            self.list(history, slas).await?;
        }
    }

    /// Lists the next ones that have something to tell.
    async fn list(&mut self, history: &History, slas: &Slas) -> Result<(), Error> {
        let Some(from) = slas.runs_counted_to() else {
            self.is_listed_whole = true;
            return Ok(());
        };
        let seen = i64::try_from(from).unwrap_or(i64::MAX).saturating_mul(NANOS);
        let spans = history.spans(seen, self.listed.as_ref(), PAGE).await?;
        self.is_listed_whole = spans.len() < PAGE as usize;
        self.listed = spans.last().cloned().or(self.listed.take());
        let has_news = |run: &RunSpan| {
            // Its duration leaves out the gaps in which no process generated its load.
            let end = u64::try_from(run.seen_nanos / NANOS + 1).unwrap_or(0);
            !run.is_live && slas.counted_to(&run.plan).is_some_and(|to| end > to)
        };
        self.page.extend(spans.into_iter().filter(has_news));
        Ok(())
    }

    /// Tells the next minute of a run.
    async fn tell(&mut self, slas: &Slas) -> Result<(), Error> {
        let Some(Telling { run, reader, state }) = &mut self.telling else { return Ok(()) };
        match reader.next().await {
            Ok(events) if events.is_empty() => {
                slas.run_over(&run.id);
                self.telling = None;
            }
            Ok(events) => {
                for event in &events {
                    fold(state, event);
                    if let (RunEvent::Second(_), Some(state)) = (event, &state) {
                        slas.run_second(&RunSecond { run: &run.id, state });
                    }
                }
            }
            // It is read anew, with minutes in the place of what became some; no second counts twice.
            Err(Error::Coarsened { .. }) => self.page.extend(self.telling.take().map(|telling| telling.run)),
            Err(error) if is_of_the_run(&error) => {
                pass_over(run, &error, slas);
                self.telling = None;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// One record that cannot be read, or was deleted meanwhile, does not hide the others.
fn is_of_the_run(error: &Error) -> bool {
    matches!(error, Error::Record { .. } | Error::NoRun { .. } | Error::Empty)
}

fn pass_over(run: &RunSpan, error: &Error, slas: &Slas) {
    tracing::warn!(run = run.id, %error, "a run cannot be read, and does not count for SLAs");
    slas.run_over(&run.id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{counted, judge_anew, judging, record};

    #[tokio::test]
    async fn however_many_and_long_they_are_a_minute_of_one_and_a_page_of_names_is_all_that_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let nothing = judge_anew(&history).await;
        let is_over = Missed::default().go_on(&history, &nothing, Instant::now()).await.unwrap();
        assert!(is_over, "what was never judged has missed nothing");
        let base = judging(&history).await;
        // More than a list of pages has, and one that is long.
        let (many, long) = (230, 200);
        for number in 0..many {
            record(&history, &format!("r{number}"), base + 10 + number, 1).await;
        }
        record(&history, "long", base + 1_000, long).await;
        let slas = judge_anew(&history).await;
        let (mut missed, mut steps, mut most) = (Missed::default(), 0_u64, 0);
        loop {
            let before = counted(&slas);
            let is_over = missed.go_on(&history, &slas, Instant::now()).await.unwrap();
            steps += 1;
            most = most.max(counted(&slas) - before);
            assert!(missed.page.len() <= PAGE as usize, "{}", missed.page.len());
            if is_over {
                break;
            }
        }
        assert_eq!(counted(&slas), 1 + many + long, "each second counts, and once");
        assert_eq!(most, 60, "a minute at a time");
        assert!(steps > many, "{steps}");
    }
}
