//! The runs that ended while no service ran, told to SLAs in the order they began.
//!
//! They are listed some at a time and read a minute at a time, so that neither how many they are nor how long they took is
//! a matter of memory, and whoever asks meanwhile need not wait until all are read.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use plimsoll_history::{Error, History, Reader, RunSpan};
use plimsoll_run::State;

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
    /// Goes on until a moment, by one step at least. Whether all are told, those too that ended meanwhile. Runs that live
    /// are awaited; those that have ended are not, as they are told.
    ///
    /// # Errors
    /// When the record cannot be read. What was told stays told.
    pub(crate) async fn go_on(
        &mut self,
        history: &History,
        slas: &Slas,
        awaited: &mut BTreeSet<String>,
        until: Instant,
    ) -> Result<bool, Error> {
        while self.step(history, slas, awaited).await? {
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    /// Tells a minute of a run, turns to the next one, or lists some more; whether there was anything to do.
    async fn step(
        &mut self,
        history: &History,
        slas: &Slas,
        awaited: &mut BTreeSet<String>,
    ) -> Result<bool, Error> {
        if self.telling.is_some() {
            self.tell(slas).await?;
        } else if let Some(run) = self.page.pop_front() {
            self.turn(history, slas, run).await?;
        } else {
            return self.list(history, slas, awaited).await;
        }
        Ok(true)
    }

    /// Turns to a run.
    async fn turn(&mut self, history: &History, slas: &Slas, run: RunSpan) -> Result<(), Error> {
        match history.read(&run.id).await {
            Ok(reader) => self.telling = Some(Telling { run, reader, state: None }),
            Err(error) if is_of_the_run(&error) => pass_over(&run, None, &error, slas),
            Err(error) => {
                self.page.push_front(run);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lists the next ones that have something to tell; whether any run was behind those that are known.
    async fn list(
        &mut self,
        history: &History,
        slas: &Slas,
        awaited: &mut BTreeSet<String>,
    ) -> Result<bool, Error> {
        let Some(from) = slas.runs_counted_to() else { return Ok(false) };
        let seen = i64::try_from(from).unwrap_or(i64::MAX).saturating_mul(NANOS);
        let spans = history.spans(seen, self.listed.as_ref(), PAGE).await?;
        let Some(last) = spans.last() else { return Ok(false) };
        self.listed = Some(last.clone());
        for run in spans {
            if run.is_live {
                awaited.insert(run.id);
                continue;
            }
            awaited.remove(&run.id);
            // Its duration leaves out the gaps in which no process generated its load.
            let end = u64::try_from(run.seen_nanos / NANOS + 1).unwrap_or(0);
            if slas.counted_to(&run.plan).is_some_and(|to| end > to) {
                self.page.push_back(run);
            }
        }
        Ok(true)
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
                    if let Some(state) = state {
                        slas.run_event(&RunSecond { run: &run.id, state }, event);
                    }
                }
            }
            // It is read anew, with minutes in the place of what became some; no second counts twice.
            Err(Error::Coarsened { .. }) => {
                if let Some(Telling { run, .. }) = self.telling.take() {
                    self.page.push_front(run);
                }
            }
            Err(error) if is_of_the_run(&error) => {
                pass_over(run, state.as_ref(), &error, slas);
                self.telling = None;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether it is about one run and will be so again: it does not hide the others. What may pass is waited for, as what is
/// passed over is never counted.
pub(crate) fn is_of_the_run(error: &Error) -> bool {
    matches!(error, Error::Record { .. } | Error::Damaged { .. } | Error::NoRun { .. } | Error::Empty)
}

fn pass_over(run: &RunSpan, state: Option<&State>, error: &Error, slas: &Slas) {
    let seconds = state.and_then(State::last_second).map_or(0, |second| second + 1);
    tracing::warn!(run = run.id, seconds, %error, "behind these seconds a run cannot be read, and does not count for SLAs");
    slas.run_over(&run.id);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_history::{Recorder, Retention};

    use super::*;
    use crate::fixture::{
        PATIENCE, began, counted, damage, end, fresh, judge_anew, judging, record, second, stop,
    };

    impl Missed {
        async fn step_on(&mut self, history: &History, slas: &Slas) -> bool {
            self.go_on(history, slas, &mut BTreeSet::new(), Instant::now()).await.unwrap()
        }

        /// Goes on until this is so; whether all were told before.
        async fn until(&mut self, history: &History, slas: &Slas, is_so: impl Fn(&Self) -> bool) -> bool {
            while !is_so(self) {
                if self.step_on(history, slas).await {
                    return true;
                }
            }
            false
        }

        async fn tell_all(&mut self, history: &History, slas: &Slas) {
            assert!(self.until(history, slas, |_| false).await);
        }
    }

    #[tokio::test]
    async fn however_many_and_long_they_are_a_minute_of_one_and_a_page_of_names_is_all_that_is_held() {
        let (_folder, history) = fresh().await;
        let nothing = judge_anew(&history).await;
        assert!(
            Missed::default().step_on(&history, &nothing).await,
            "what was never judged has missed nothing"
        );
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
            let is_over = missed.step_on(&history, &slas).await;
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

    #[tokio::test]
    async fn one_damaged_minute_ends_what_counts_of_its_run_and_hides_no_other() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "torn", base + 10, 200).await;
        record(&history, "whole", base + 300, 5).await;
        damage(&history, "torn", 60).await;
        let slas = judge_anew(&history).await;
        Missed::default().tell_all(&history, &slas).await;
        assert_eq!(counted(&slas), 1 + 60 + 5);
    }

    #[tokio::test]
    async fn what_is_stopped_in_the_middle_loses_nothing_of_runs_that_overlap() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "first", base + 10, 120).await;
        record(&history, "beside", base + 40, 10).await;
        let slas = judge_anew(&history).await;
        let mut missed = Missed::default();
        missed.until(&history, &slas, |_| counted(&slas) == 1 + 120).await;
        stop(slas).await;
        let slas = judge_anew(&history).await;
        Missed::default().tell_all(&history, &slas).await;
        assert_eq!(counted(&slas), 1 + 120 + 10);
        // What is told whole is kept.
        slas.caught_up();
        stop(slas).await;
        let slas = judge_anew(&history).await;
        assert_eq!(counted(&slas), 1 + 120 + 10);
        Missed::default().tell_all(&history, &slas).await;
        assert_eq!(counted(&slas), 1 + 120 + 10, "no second counts twice");
    }

    #[tokio::test]
    async fn what_begins_and_ends_while_others_are_told_counts_too() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "first", base + 10, 120).await;
        let slas = judge_anew(&history).await;
        let mut missed = Missed::default();
        assert!(!missed.until(&history, &slas, |missed| missed.telling.is_some()).await);
        record(&history, "later", base + 300, 7).await;
        missed.tell_all(&history, &slas).await;
        assert_eq!(counted(&slas), 1 + 120 + 7);
    }

    #[tokio::test]
    async fn who_lives_is_awaited_and_who_was_told_is_not() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        let live = Recorder::start(&history, &began("live", base + 10)).await.unwrap();
        record(&history, "ended", base + 20, 3).await;
        let slas = judge_anew(&history).await;
        // Both lived when runs were listed before.
        let mut awaited = BTreeSet::from(["ended".to_owned()]);
        let mut missed = Missed::default();
        while !missed.go_on(&history, &slas, &mut awaited, Instant::now()).await.unwrap() {}
        assert_eq!(awaited.into_iter().collect::<Vec<_>>(), ["live"]);
        assert_eq!(counted(&slas), 1 + 3);
        live.record(&end(0));
        assert!(live.finish(PATIENCE).await.ended);
    }

    #[tokio::test]
    async fn what_became_minutes_does_not_count_and_the_run_goes_on_at_the_front() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        record(&history, "old", base + 10, 200).await;
        record(&history, "behind", base + 8_000, 4).await;
        history.compact().await.unwrap();
        let slas = judge_anew(&history).await;
        let mut missed = Missed::default();
        missed.until(&history, &slas, |_| counted(&slas) == 1 + 60).await;
        // What was read of it and what was not become one sum.
        let hour = Duration::from_secs(3_600);
        let retention = Retention { seconds: hour, minutes: hour, ..Retention::default() };
        let now = (base + 10_000).cast_signed() * NANOS;
        record(&history, "new", base + 9_990, 1).await;
        let retained = history.retain(&retention, now).await.unwrap();
        assert!(retained.to_hours > 100, "{retained:?}");
        assert!(!missed.until(&history, &slas, |missed| missed.page.len() == 2).await);
        let next: Vec<&str> = missed.page.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(next, ["old", "behind"]);
        missed.tell_all(&history, &slas).await;
        assert_eq!(counted(&slas), 1 + 60 + 4 + 1);
    }

    #[tokio::test]
    async fn a_page_of_runs_that_nobody_judges_is_a_step_of_its_own() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        for number in 0..u64::from(PAGE) + 1 {
            let mut started = began(&format!("r{number}"), base + 10 + number);
            started.shape.plan = "other".to_owned();
            let recorder = Recorder::start(&history, &started).await.unwrap();
            recorder.record(&second(0, &started));
            recorder.record(&end(1));
            assert!(recorder.finish(PATIENCE).await.ended);
        }
        let slas = judge_anew(&history).await;
        let mut missed = Missed::default();
        for expected in [false, false, true] {
            assert_eq!(missed.step_on(&history, &slas).await, expected);
        }
    }
}
