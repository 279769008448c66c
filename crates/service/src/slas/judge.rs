//! The clock and the record of what is judged: the start from what was kept, a second at a time, and the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use plimsoll_history::{Error, History, KeptState};
use plimsoll_notify::Teller;
use plimsoll_run::{RunEvent, Secret};
use plimsoll_sla::{Sla, Source};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, RunSecond, families};
use super::desk::Seen;
use super::poll::{Poller, pollers};
use super::status;

/// How far ahead of the time that has passed a clock is believed.
const FARTHEST_AHEAD: Duration = Duration::from_secs(2 * 86_400);

/// A clock that goes back by less is only being adjusted, in seconds.
const ADJUSTED: u64 = 2;

/// How long a record that cannot be written is left alone, in seconds.
const PAUSE: u64 = 5;

/// How to get to a source.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where it is; may hold a password.
    pub url: Secret,
    /// What it wants to know of whoever asks.
    pub credentials: Option<Credentials>,
}

/// Who asks. They go to the source's URL and nowhere else.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A bearer token.
    Token(Secret),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// What a service judges.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// The SLAs; their names are unique.
    pub slas: Vec<Sla>,
    /// Where their events come from.
    pub connections: BTreeMap<Source, Connection>,
}

/// Why an SLA cannot be judged by a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaError {
    pub(super) sla: String,
    pub(super) why: String,
}

impl fmt::Display for SlaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SLA `{}`: {}", self.sla, self.why)
    }
}

impl std::error::Error for SlaError {}

/// What is judged, shared by those who bring events and those who ask.
#[derive(Debug)]
pub(crate) struct Slas {
    history: History,
    bench: Mutex<Bench>,
    clock: Mutex<Clock>,
    /// Who is told of breaches.
    teller: Option<Teller>,
    /// Cancelled once all that runs had recorded was taken.
    is_caught_up: CancellationToken,
}

/// The wall clock, as far as it is believed.
#[derive(Debug)]
struct Clock {
    wall: Duration,
    read: Instant,
}

/// What the clock says: Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Now(u64),
    /// It went back.
    Back(u64),
    /// It went so far ahead that what has passed since it was right is believed instead.
    Unbelievable(u64),
}

impl Clock {
    fn new() -> Self {
        Self { wall: wall(), read: Instant::now() }
    }

    fn look(&mut self, wall: Duration, read: Instant) -> Time {
        let expected = self.wall + read.saturating_duration_since(self.read);
        if wall > expected + FARTHEST_AHEAD {
            return Time::Unbelievable(expected.as_secs());
        }
        (self.wall, self.read) = (wall, read);
        if wall.as_secs() + ADJUSTED < expected.as_secs() {
            Time::Back(wall.as_secs())
        } else {
            Time::Now(wall.as_secs())
        }
    }
}

fn wall() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

impl Slas {
    /// Goes on where the last service left off.
    ///
    /// # Errors
    /// When an SLA cannot be judged.
    pub(crate) async fn open(
        history: History,
        promises: Promises,
        teller: Option<Teller>,
    ) -> Result<(Arc<Self>, Vec<Poller>), OpenError> {
        let slas: Vec<Arc<Sla>> = promises.slas.into_iter().map(Arc::new).collect();
        let pollers = pollers(&slas, &promises.connections).map_err(OpenError::Sla)?;
        let mut bench = Bench::new(slas);
        if !bench.slas().is_empty() {
            restore(&history, &mut bench).await?;
            // Whoever was ahead of time waits for no time to come again.
            let now = wall().as_secs();
            if bench.rows().any(|row| row.keeper().now() > now + ADJUSTED) {
                bench.turn_back(now);
            }
        }
        let is_caught_up = CancellationToken::new();
        if !bench.hold() {
            is_caught_up.cancel();
        }
        let (bench, clock) = (Mutex::new(bench), Mutex::new(Clock::new()));
        let slas = Self { history, bench, clock, teller, is_caught_up };
        Ok((Arc::new(slas), pollers))
    }

    /// Held for as long as it takes to judge a second; never across an await.
    fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, and whether the clock is believed. Where it went back, seconds come again.
    fn now(&self) -> (u64, bool) {
        let time = self.clock.lock().unwrap_or_else(PoisonError::into_inner).look(wall(), Instant::now());
        match time {
            Time::Now(now) => (now, true),
            Time::Back(now) => {
                tracing::warn!(now, "the clock went back; seconds are judged again");
                self.bench().turn_back(now);
                (now, true)
            }
            Time::Unbelievable(now) => (now, false),
        }
    }

    /// Asks, judges and writes until `ended`; then writes all there is.
    pub(crate) async fn run(self: Arc<Self>, pollers: Vec<Poller>, ended: CancellationToken) {
        if self.bench().slas().is_empty() {
            return;
        }
        let mut asking = tokio::task::JoinSet::new();
        for poller in pollers {
            asking.spawn(poller.run(Arc::clone(&self), ended.clone()));
        }
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet_until = 0;
        while !ended.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = ended.cancelled() => break,
            }
            let now = self.tick();
            if now >= quiet_until && self.write(now, false).await.is_err() {
                quiet_until = now + PAUSE;
            } else if quiet_until > now + PAUSE {
                quiet_until = 0;
            }
        }
        while asking.join_next().await.is_some() {}
        let _ = self.write(self.tick(), true).await;
    }

    /// Lets time go on.
    fn tick(&self) -> u64 {
        let (now, is_believed) = self.now();
        let mut bench = self.bench();
        bench.advance(now, false);
        if !is_believed {
            let why = "the clock went ahead by days; if it is right, start the service again";
            for sla in 0..bench.slas().len() {
                bench.trouble(sla, Some(why.to_owned()));
            }
            bench.advance(now, true);
        }
        // Where nobody is told they are forgotten.
        let news = bench.news();
        drop(bench);
        if let Some(teller) = &self.teller {
            news.into_iter().for_each(|news| news.tell(teller));
        }
        now
    }

    async fn write(&self, now: u64, is_last: bool) -> Result<(), ()> {
        let Some(changes) = self.bench().changes(now, is_last) else { return Ok(()) };
        match self.history.keep_slas(&changes).await {
            Ok(entry) => {
                self.bench().written(&changes, entry);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = crate::shapes::chain(&error), "how SLAs stand cannot be kept");
                self.bench().not_written(changes);
                Err(())
            }
        }
    }

    /// Takes what a source said of a second, for each value of the label; and what is odd about it.
    pub(super) async fn hand_in(
        &self,
        sla: usize,
        second: u64,
        seen: Vec<(Option<String>, Seen)>,
        doubt: Option<String>,
    ) {
        let (now, is_believed) = self.now();
        if !is_believed {
            return;
        }
        let mut doubt = doubt;
        for (value, seen) in seen {
            let (row, has_room) = {
                let bench = self.bench();
                (bench.row(sla, value.as_deref()), bench.has_room(sla, value.as_deref()))
            };
            let row = match row {
                Some(row) => Some(row),
                None if !has_room => {
                    doubt = Some("the label has more values than are judged".to_owned());
                    None
                }
                None => match self.begin(sla, value).await {
                    Ok(row) => row,
                    Err(why) => {
                        doubt = Some(why);
                        None
                    }
                },
            };
            if let Some(row) = row {
                self.bench().hand_in(row, second, seen, now);
            }
        }
        self.trouble(sla, doubt);
    }

    /// Begins to judge a value of a label.
    async fn begin(&self, sla: usize, value: Option<String>) -> Result<Option<usize>, String> {
        let Some(name) = self.bench().slas().get(sla).map(|sla| sla.slo.name.clone()) else {
            return Ok(None);
        };
        let number = self.history.sla_number(&name, value.as_deref()).await;
        let number = number.map_err(|error| crate::shapes::chain(&error))?;
        let mut bench = self.bench();
        bench.add(sla, value.clone(), number, None)?;
        Ok(bench.row(sla, value.as_deref()))
    }

    /// Says why events of an SLA cannot be had, or that they can.
    pub(super) fn trouble(&self, sla: usize, trouble: Option<String>) {
        self.bench().trouble(sla, trouble);
    }

    /// Takes what a run recorded, after it was folded.
    pub(crate) fn run_event(&self, run: &RunSecond<'_>, event: &RunEvent) {
        match event {
            RunEvent::Second(_) => self.bench().run_second(run),
            RunEvent::Stretch(stretch) => self.bench().run_stretch(run, stretch.seconds),
            _ => {}
        }
    }

    /// A run has ended or was deleted.
    pub(crate) fn run_over(&self, run: &str) {
        self.bench().run_over(run);
    }

    /// Forgets the runs that are over and not among these.
    pub(crate) fn forget_runs(&self, is_known: impl Fn(&str) -> bool) {
        self.bench().forget_runs(is_known);
    }

    /// All that runs had recorded when this service began, and what came meanwhile, was taken. Before that nothing of it is
    /// written, so that whoever is stopped in the middle begins anew where the last service ended.
    pub(crate) fn caught_up(&self) {
        self.bench().release();
        self.is_caught_up.cancel();
    }

    /// Waits for that; at once where no runs are judged.
    pub(crate) async fn until_caught_up(&self) {
        self.is_caught_up.cancelled().await;
    }

    /// All that runs have recorded was taken.
    pub(crate) fn looked(&self) {
        let (now, is_believed) = self.now();
        if is_believed {
            self.bench().advance(now, true);
        }
    }

    /// From which second on what runs of a plan recorded is not counted; `None` where nothing is.
    pub(crate) fn counted_to(&self, plan: &str) -> Option<u64> {
        self.bench().counted_to(plan)
    }

    /// The same of runs of any plan.
    pub(crate) fn runs_counted_to(&self) -> Option<u64> {
        self.bench().runs_counted_to()
    }

    /// How all of it stands.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        status::with_composites(self.bench().statuses())
    }

    /// How all of it stands, for a scrape.
    pub(crate) fn families(&self) -> Vec<plimsoll_exposition::Family> {
        families(&self.bench())
    }

    /// All that there is to say of one, by its name in metrics.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) async fn detail(&self, label: &str) -> Result<Option<Value>, Error> {
        let Some(number) = self.bench().find(label).map(super::bench::Row::number) else { return Ok(None) };
        let mut breaches = self.history.sla_breaches(0).await?;
        breaches.retain(|breach| breach.sla == number);
        Ok(self.bench().find(label).map(|row| status::detail(row, &breaches)))
    }
}

/// Why what is judged cannot be begun.
#[derive(Debug)]
pub(crate) enum OpenError {
    Sla(SlaError),
    History(Error),
}

async fn restore(history: &History, bench: &mut Bench) -> Result<(), OpenError> {
    let failed = OpenError::History;
    let known = history.slas().await.map_err(failed)?;
    let mut wanted = BTreeMap::new();
    for (index, sla) in bench.slas().to_vec().into_iter().enumerate() {
        let name = &sla.slo.name;
        if sla.each.is_some() {
            let values = known.iter().filter(|kept| kept.name == *name && kept.value.is_some());
            wanted.extend(values.map(|kept| (kept.number, (index, kept.value.clone()))));
        } else {
            let kept = known.iter().find(|kept| kept.name == *name && kept.value.is_none());
            let number = match kept {
                Some(kept) => kept.number,
                None => history.sla_number(name, None).await.map_err(failed)?,
            };
            wanted.insert(number, (index, None));
        }
    }
    let mut refused = None;
    let mut add = |number, (index, value): (usize, Option<String>), state: Option<&KeptState>| {
        if bench.has_room(index, value.as_deref())
            && let Err(why) = bench.add(index, value, number, state)
        {
            let sla = bench.slas().get(index).map(|sla| sla.slo.name.clone()).unwrap_or_default();
            refused.get_or_insert(SlaError { sla, why });
        }
    };
    let each = history.each_sla_state(|state| {
        if let Some(row) = wanted.remove(&state.sla) {
            add(state.sla, row, Some(&state));
        }
    });
    each.await.map_err(failed)?;
    wanted.into_iter().for_each(|(number, row)| add(number, row, None));
    if let Some(refused) = refused {
        return Err(OpenError::Sla(refused));
    }
    let journal = history.sla_journal().await.map_err(failed)?;
    let mut open = history.sla_breaches(u64::MAX >> 1).await.map_err(failed)?;
    open.retain(|breach| breach.ended.is_none());
    bench.replay(&journal, open);
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_run::State;

    use super::*;
    use crate::fixture::{began, counted, fresh, judge_anew, judging, second};

    #[tokio::test]
    async fn whoever_is_killed_before_all_was_taken_has_written_nothing_of_runs() {
        let (_folder, history) = fresh().await;
        let base = judging(&history).await;
        let slas = judge_anew(&history).await;
        let started = began("missed", base + 10);
        let mut state = State::new(Arc::new(started.clone()));
        for number in 0..20 {
            let event = second(number, &started);
            state.apply(&event);
            slas.run_event(&RunSecond { run: "missed", state: &state }, &event);
        }
        let mut kept = Vec::new();
        for _ in 0..2 {
            slas.write(base, false).await.unwrap();
            let next = judge_anew(&history).await;
            kept.push((counted(&next), next.runs_counted_to()));
            slas.caught_up();
        }
        assert_eq!(kept, [(1, Some(base + 1)), (1 + 20, Some(base + 30))]);
    }

    #[test]
    fn a_clock_is_believed_unless_it_goes_ahead_by_days() {
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let mut clock = Clock { wall: seconds(1_000_000), read: start };
        for (passed, wall, expected) in [
            (1, 1_000_001, Time::Now(1_000_001)),
            (2, 1_003_602, Time::Now(1_003_602)),
            (3, 1_000_003, Time::Back(1_000_003)),
            (4, 1_000_004, Time::Now(1_000_004)),
            (5, 1_400_005, Time::Unbelievable(1_000_005)),
            (6, 1_400_006, Time::Unbelievable(1_000_006)),
            (7, 1_000_007, Time::Now(1_000_007)),
            (8, 1_000_006, Time::Now(1_000_006)),
        ] {
            assert_eq!(clock.look(seconds(wall), start + seconds(passed)), expected, "after {passed} s");
        }
    }
}
