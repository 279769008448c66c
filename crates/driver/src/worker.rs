//! One worker: a thread's share of the load, from the first arrival to the last answer.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_measure::{DropCause, IterationKey, SECOND, Shard};
use plimsoll_run::{HttpSettings, LoadModel, PauseRange, Shape};
use plimsoll_units::Users;
use plimsoll_workload::{Arrivals, Mix, RateProfile, Stage, UserProfile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::addresses::Turns;
use crate::compile::{Script, Target};
use crate::connection::{Http1, Reading};
use crate::exchange::{Place, User};
use crate::feed::Feeds;
use crate::http2::Sessions;
use crate::journey::{Crowd, Journey, Journeys};
use crate::ledger::Ledger;
use crate::pacer::Pacer;
use crate::pool::Pool;
use crate::recorder::Recorder;
use crate::singles::Singles;
use crate::stalls::{Stalls, keep_appointments};
use crate::timers::Timers;
use crate::{Clock, Message, Transport};

/// Arrivals handled in one go when the worker is late, before running requests get a turn.
const CATCH_UP: u32 = 32;

/// What all workers of a run share. Touched once per iteration or connection, never per request.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Iterations running, for `max_in_flight`.
    pub(crate) running: AtomicU32,
    /// Iterations started by closed users.
    pub(crate) started: AtomicU64,
    /// Users active in the closed model.
    pub(crate) users: AtomicU64,
    /// Connections that are open or being opened.
    pub(crate) connections: Arc<AtomicU64>,
    /// How many there may be, as far as this machine tells.
    pub(crate) room: Option<u64>,
    /// When the next connection may start.
    pub(crate) pacer: Pacer,
    /// The closed model's iterations are all started.
    pub(crate) exhausted: AtomicBool,
    /// What ended the run before its time: a feed that ran out.
    pub(crate) failure: Mutex<Option<String>>,
    /// What could not be offered and why, the first time.
    pub(crate) trouble: Mutex<Option<String>>,
    /// How late workers came to appointments with themselves.
    pub(crate) stalls: Arc<Stalls>,
}

impl Shared {
    /// Remembers what could not be offered, the first time.
    pub(crate) fn trouble(&self, message: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        trouble.get_or_insert_with(|| message.to_owned());
    }
}

/// A worker's place among the workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl Share {
    /// The place of a user of this worker among its users.
    pub(crate) fn slot(self, number: u64) -> usize {
        (number / self.of) as usize
    }

    /// The arrivals of this worker, of a mix that repeats after `period`: every `of`-th, moving on by
    /// one worker each time workers and mix have come round together. Without that a worker of two
    /// would have one of two scenarios to itself, and half of the connections with it.
    fn takes(self, period: u64) -> impl Fn(u64) -> bool {
        let round = period / gcd(period, self.of) * self.of;
        move |n| (n + n / round) % self.of == self.index
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Everything a worker needs; lives on its thread.
pub(crate) struct Worker {
    pub(crate) share: Share,
    pub(crate) clock: Clock,
    pub(crate) timers: Rc<Timers>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) reading: Rc<RefCell<Reading>>,
    pub(crate) transport: Transport,
    pub(crate) target: Target,
    pub(crate) http: HttpSettings,
    /// The plan's timeout in nanoseconds.
    pub(crate) timeout: u64,
    pub(crate) http1: Http1,
    /// Where the plan asks for single requests.
    pub(crate) singles: Option<Singles>,
    /// The connections of HTTP/2, where it is spoken.
    pub(crate) sessions: Option<Rc<Sessions>>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) mix: Mix,
    /// Iterations that the plan asks for, where it does.
    pub(crate) planned: Option<f64>,
    pub(crate) pool: Rc<Pool>,
    /// Which address of the target each user's own connection goes to.
    pub(crate) turns: Turns,
    /// From when until when which phase and stage last: asked for with every iteration.
    pub(crate) place: Cell<(u64, u64, Place)>,
    pub(crate) journeys: Journeys,
    pub(crate) crowd: Crowd,
    pub(crate) feeds: Feeds,
    pub(crate) setup: Arc<[Option<String>]>,
    pub(crate) run_id: String,
    pub(crate) seed: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stop: CancellationToken,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    pub(crate) spare: std::sync::mpsc::Receiver<Shard>,
    /// Arrivals due before it have been handled.
    pub(crate) frontier: Cell<u64>,
    /// Told when an iteration ends.
    pub(crate) ended: Notify,
}

impl Worker {
    /// Offers the worker's share of the load and waits for its answers. Must run where tasks can be
    /// spawned that stay on their thread; the caller drops afterwards whatever is still in flight.
    pub(crate) async fn run(self: Rc<Self>, model: &LoadModel, grace: Duration) {
        tokio::task::spawn_local(Rc::clone(&self.timers).drive());
        tokio::task::spawn_local(Rc::clone(&self).close_seconds_in_time());
        let stalls = Arc::clone(&self.shared.stalls);
        tokio::task::spawn_local(keep_appointments(Rc::clone(&self.timers), self.clock, stalls));
        tokio::task::spawn_local(Rc::clone(&self).end_overdue());
        tokio::task::spawn_local(Rc::clone(&self).wake_thinking());
        let stages_end = (self.shape.stages_end() * 1e9).round() as u64;
        let early = match model {
            LoadModel::Open { stages, spacing, max_in_flight } => {
                let profile = Arc::new(RateProfile::new(stages));
                let arrivals = Arrivals::new(profile, *spacing, self.seed);
                self.offer(arrivals, *max_in_flight, stages_end).await
            }
            LoadModel::Closed { stages, iterations } => {
                // Users bring no schedule that could be behind: a second is complete when it is past.
                self.frontier.set(u64::MAX);
                self.keep_users(stages, *iterations, stages_end).await
            }
        };
        let offered_until = if early.is_break() { self.clock.now().min(stages_end) } else { stages_end };
        self.frontier.set(u64::MAX);
        self.tell(Message::OfferingEnded { at: offered_until });
        self.drain(offered_until.saturating_add(grace.as_nanos() as u64)).await;
        let now = self.clock.now();
        self.close_seconds();
        self.ledger.end();
        let mut recorder = self.recorder.borrow_mut();
        self.ledger.take_closed().iter().for_each(|closed| recorder.closed(closed));
        recorder.cut(now, self.singles.as_ref());
        for shard in recorder.take_all() {
            self.tell(Message::Shard { worker: self.share.index as usize, shard });
        }
        self.tell(Message::Finished { worker: self.share.index as usize, at: now });
    }

    /// Waits until nothing runs, or until `deadline`.
    async fn drain(self: &Rc<Self>, deadline: u64) {
        let mut deadline = pin!(self.timers.sleep_until(deadline));
        while self.recorder.borrow().running() > 0 {
            tokio::select! {
                () = self.ended.notified() => {}
                () = &mut deadline => return,
            }
        }
    }

    /// Starts each arrival of this worker's share when it is due. Breaks when it was told to stop.
    async fn offer(
        self: &Rc<Self>,
        arrivals: Arrivals,
        max_in_flight: u32,
        stages_end: u64,
    ) -> ControlFlow<()> {
        let mut stopped = pin!(self.stop.cancelled());
        let mine = self.share.takes(self.mix.period());
        let mut late = 0;
        for (n, due) in (0_u64..).zip(arrivals).filter(|(n, _)| mine(*n)) {
            self.frontier.set(due);
            if self.clock.has_reached(due) {
                late += 1;
                if late % CATCH_UP == 0 {
                    tokio::task::yield_now().await;
                    if self.stop.is_cancelled() {
                        return ControlFlow::Break(());
                    }
                }
            } else {
                late = 0;
                tokio::select! {
                    biased;
                    () = &mut stopped => return ControlFlow::Break(()),
                    () = self.timers.sleep_until(due) => {}
                }
            }
            self.arrive(n, due, max_in_flight);
        }
        self.frontier.set(stages_end);
        tokio::select! {
            biased;
            () = &mut stopped => ControlFlow::Break(()),
            () = self.timers.sleep_until(stages_end) => ControlFlow::Continue(()),
        }
    }

    fn arrive(self: &Rc<Self>, n: u64, due: u64, max_in_flight: u32) {
        let scenario = self.mix.scenario(n);
        let key = self.key(scenario, due);
        if self.shared.running.fetch_add(1, Ordering::Relaxed) >= max_in_flight {
            self.shared.running.fetch_sub(1, Ordering::Relaxed);
            self.recorder.borrow_mut().dropped(key, due, DropCause::InFlightLimit);
            return;
        }
        self.recorder.borrow_mut().arrival(key, due);
        self.set_out(self.journeys.single(n, key, due));
    }

    pub(crate) fn key(&self, scenario: usize, due: u64) -> IterationKey {
        let (from, until, mut place) = self.place.get();
        if due < from || due >= until {
            let (until, now) = self.shape.place_until(due);
            self.place.set((due, until, now));
            place = now;
        }
        let (phase, stage) = place;
        IterationKey { scenario: scenario as u16, phase, stage }
    }

    /// Keeps this worker's share of the wanted users running. Breaks when told to stop, or when all
    /// iterations asked for have started.
    async fn keep_users(
        self: &Rc<Self>,
        stages: &[Stage<Users>],
        iterations: Option<u64>,
        stages_end: u64,
    ) -> ControlFlow<()> {
        let profile = UserProfile::new(stages);
        let mut stopped = pin!(self.stop.cancelled());
        self.crowd.iterations.set(iterations);
        let mut at = Some(0);
        let flow = loop {
            let next = at.unwrap_or(stages_end);
            tokio::select! {
                biased;
                () = &mut stopped => break ControlFlow::Break(()),
                () = self.timers.sleep_until(next) => {}
                () = self.until_exhausted(), if iterations.is_some() => break ControlFlow::Break(()),
            }
            if next >= stages_end {
                break ControlFlow::Continue(());
            }
            self.crowd.wanted.set(u64::from(profile.users_at(next)));
            self.start_users(next);
            at = profile.next_change(next);
        };
        self.crowd.wanted.set(0);
        flow
    }

    async fn until_exhausted(&self) {
        while !self.shared.exhausted.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets those users in that are wanted and not there.
    fn start_users(self: &Rc<Self>, at: u64) {
        let mine = (0..).map(|slot| (slot, slot as u64 * self.share.of + self.share.index));
        for (slot, number) in mine.take_while(|(_, number)| *number < self.crowd.wanted.get()) {
            if self.crowd.came(slot) {
                self.shared.users.fetch_add(1, Ordering::Relaxed);
                self.set_out(Journey::closed(
                    User::closed(number, self.sessions.is_none()),
                    self.key(0, at),
                    at,
                ));
            }
        }
    }

    /// Ends requests that have outlived the plan's timeout, for as long as it is polled.
    pub(crate) async fn end_overdue(self: Rc<Self>) {
        loop {
            let now = self.clock.now();
            let next = self.recorder.borrow_mut().wake_overdue(now);
            // What begins later than now is not due before this either.
            self.timers.sleep_until(next.unwrap_or(now.saturating_add(self.timeout))).await;
        }
    }

    /// How many rows of a feed the whole plan draws: iterations planned x weights of the scenarios
    /// that draw from it / all weights. `None` when users decide how many iterations there are.
    fn rows_needed(&self, feed: u16) -> Option<u64> {
        let weight = |script: usize| f64::from(self.shape.scenarios[script].weight);
        let of = |drawing: &dyn Fn(&Script) -> bool| -> f64 {
            self.scripts
                .iter()
                .enumerate()
                .filter(|(_, script)| drawing(script))
                .map(|(n, _)| weight(n))
                .sum()
        };
        let share = of(&|script| script.feeds.contains(&feed)) / of(&|_| true);
        self.planned.map(|iterations| (iterations * share).ceil() as u64)
    }

    /// Draws one row of each feed the script draws from; false when one has run out, which ends the run.
    pub(crate) fn draw(&self, script: &Script, rows: &mut Vec<(u16, usize)>) -> bool {
        for feed in &script.feeds {
            let Some(feed_rows) = self.feeds.get(*feed) else { continue };
            match feed_rows.draw() {
                Some(row) => rows.push((*feed, row)),
                None => {
                    let rows = &feed_rows.feed;
                    let needed = match self.rows_needed(*feed) {
                        Some(needed) => format!("the plan needs {needed}"),
                        None => "there were more iterations".to_owned(),
                    };
                    self.fail(format!(
                        "feed `{}` has run out: it has {} rows, each is used once, and {needed}",
                        rows.name,
                        rows.rows.len()
                    ));
                    return false;
                }
            }
        }
        true
    }

    /// Ends the run: it cannot go on as planned.
    pub(crate) fn fail(&self, reason: String) {
        self.shared.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(reason);
        self.stop.cancel();
    }

    /// Remembers what could not be offered.
    pub(crate) fn trouble(&self, message: &str) {
        self.shared.trouble(message);
    }

    async fn close_seconds_in_time(self: Rc<Self>) {
        for second in 1.. {
            self.timers.sleep_until(second * SECOND).await;
            self.close_seconds();
        }
    }

    fn close_seconds(&self) {
        let mut recorder = self.recorder.borrow_mut();
        while let Ok(shard) = self.spare.try_recv() {
            recorder.give_back(shard);
        }
        self.ledger.take_closed().iter().for_each(|closed| recorder.closed(closed));
        while let Some(shard) = recorder.take_complete(self.clock.now(), self.frontier.get()) {
            self.tell(Message::Shard { worker: self.share.index as usize, shard });
        }
    }

    fn tell(&self, message: Message) {
        // Nobody listens any more only when the run is being torn down.
        let _ = self.messages.send(message);
    }
}

/// How long a pause lasts, in nanoseconds: decided by the seed, the iteration and the pause's place in
/// its script alone, so that a run repeats however many workers there are and whoever is quicker.
pub(crate) fn pause(range: PauseRange, seed: u64, iteration: u64, place: u64) -> u64 {
    let (min, max) = (range.min.as_nanos() as u64, range.max.as_nanos() as u64);
    if min >= max {
        return min;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0 is that of the arrivals.
    random.set_stream((iteration << 16) + place + 1);
    random.random_range(min..=max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_same_again_and_fills_its_range() {
        let range = PauseRange { min: Duration::from_millis(100), max: Duration::from_millis(200) };
        let pauses = |seed| {
            let places = (0..1000).flat_map(|iteration| (0..2).map(move |place| (iteration, place)));
            places.map(|(iteration, place)| pause(range, seed, iteration, place)).collect::<Vec<_>>()
        };
        let (one, other) = (pauses(7), pauses(8));
        assert_eq!(one, pauses(7));
        assert_ne!(one, other);
        assert!(one.iter().all(|nanos| (100_000_000..=200_000_000).contains(nanos)));
        // The mean of 2,000 even draws has a standard deviation of 0.65 ms: five of them.
        let mean = one.iter().sum::<u64>() / 2000;
        assert!(mean.abs_diff(150_000_000) < 3_300_000, "{mean}");
        let distinct: std::collections::BTreeSet<_> = one.iter().collect();
        assert_eq!(distinct.len(), 2000, "no two are one draw");
        let fixed = PauseRange { min: range.min, max: range.min };
        assert_eq!(pause(fixed, 7, 3, 0), 100_000_000);
    }

    #[test]
    fn each_arrival_has_one_worker_and_each_worker_has_every_scenario() {
        for of in 1..=8 {
            for period in 1..=12 {
                let takes: Vec<_> = (0..of).map(|index| Share { index, of }.takes(period)).collect();
                let mut had = vec![vec![0_u64; period as usize]; of as usize];
                let arrivals = 10 * period * of * of;
                for n in 0..arrivals {
                    let takers: Vec<_> = (0..of as usize).filter(|worker| takes[*worker](n)).collect();
                    assert_eq!(takers.len(), 1, "arrival {n} of {of} workers, period {period}");
                    had[takers[0]][(n % period) as usize] += 1;
                }
                let fair = arrivals / of / period;
                assert!(
                    had.iter().flatten().all(|count| *count == fair),
                    "{of} workers, period {period}: {had:?}"
                );
            }
        }
    }
}
