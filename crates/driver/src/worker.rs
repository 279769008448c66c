//! One worker: a thread's share of the load, from the first arrival to the last answer.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_data::{Function, Maker, RowReader};
use plimsoll_measure::{DropCause, IterationKey, Phase, SECOND, Shard};
use plimsoll_run::{HttpSettings, HttpVersion, LoadModel, Reuse, RunPlan, Shape, UserLimits};
use plimsoll_units::Users;
use plimsoll_workload::{Arrivals, Mix, MixError, Pause, RateProfile, Spacing, Stage, UserProfile};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::addresses::Turns;
use crate::auth::Signer;
use crate::compile::Target;
use crate::connection::{Http1, Reading};
use crate::evidence::Observer;
use crate::exchange::Place;
use crate::feed::Feeds;
use crate::fill::Values;
use crate::http2::Sessions;
use crate::journey::{Crowd, Journey, Journeys};
use crate::ledger::Ledger;
use crate::origin::Origin;
use crate::pacer::Pacer;
use crate::pool::{Hosts, Pool};
use crate::recorder::Recorder;
use crate::replay::{Recorded, Recording};
use crate::script::Script;
use crate::singles::Singles;
use crate::stalls::{Stalls, keep_appointments};
use crate::steering::{Steer, Steering};
use crate::timers::Timers;
use crate::user::User;
use crate::{Clock, Message, Transport};

/// Arrivals handled in one go when the worker is late, before running requests get a turn.
const CATCH_UP: u32 = 32;

/// What all workers of a run share. Touched once per iteration or connection, never per request.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// What concerns each of the plan's loads, in their order.
    pub(crate) loads: Vec<SharedLoad>,
    /// Users active in the closed model.
    pub(crate) users: AtomicU64,
    /// Connections that are open or being opened.
    pub(crate) connections: Arc<AtomicU64>,
    /// How many there may be, as far as this machine tells.
    pub(crate) room: Option<u64>,
    /// When the next connection may start.
    pub(crate) pacer: Pacer,
    /// What ended the run before its time: a feed that ran out.
    pub(crate) failure: Mutex<Option<String>>,
    /// What could not be offered and why, the first time.
    pub(crate) trouble: Mutex<Option<String>>,
    /// How late workers came to appointments with themselves.
    pub(crate) stalls: Arc<Stalls>,
}

/// What all workers share of one load.
#[derive(Debug, Default)]
pub(crate) struct SharedLoad {
    /// Iterations of the open model running, for `max_in_flight`.
    pub(crate) running: AtomicU32,
    /// Iterations started by closed users.
    pub(crate) started: AtomicU64,
    /// Closed users who have started all iterations that each may.
    pub(crate) spent: AtomicU64,
    /// When the next iteration may start, where their rate is bounded.
    next_start: AtomicU64,
    /// The closed model's iterations are all started.
    pub(crate) exhausted: AtomicBool,
    /// What it is told to be in place of what its stages say.
    pub(crate) steering: Steering,
}

impl SharedLoad {
    /// A load of a run that `stop` stops.
    pub(crate) fn new(stop: &CancellationToken) -> Self {
        Self { steering: Steering::new(stop), ..Self::default() }
    }

    /// When an iteration that could start at an offset may: starts are at least `interval` apart, over all
    /// workers. Time in which nobody started is not made up for.
    pub(crate) fn turn(&self, at: u64, interval: u64) -> u64 {
        let later = |next: u64| Some(next.max(at).saturating_add(interval));
        // The closure never refuses.
        let next = self.next_start.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap_or(0);
        next.max(at)
    }
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

/// A worker's part in one of the plan's loads.
#[derive(Debug)]
pub(crate) struct Offer {
    /// Which scenario each iteration is.
    pub(crate) mix: Mix,
    /// Iterations that the plan asks for, where it does.
    planned: Option<f64>,
    /// What is added to the numbers of iterations, which begin anew in a run that was resumed.
    pub(crate) shift: u64,
    /// Weights of the scenarios among each other.
    weights: Vec<u32>,
    /// The log that it replays.
    recording: Option<Box<Recording>>,
    /// Whether users have connections of their own.
    pub(crate) owns: bool,
    /// What bounds closed users beside their stages.
    pub(crate) limits: UserLimits,
    /// Nanoseconds between two starts of closed users at least, where their rate is bounded.
    pub(crate) interval: Option<u64>,
    /// The closed model's users.
    pub(crate) crowd: Crowd,
    /// From when until when which phase and stage last: asked for with every iteration.
    place: Cell<(u64, u64, Place)>,
    /// Arrivals due before it have been handled.
    frontier: Cell<u64>,
    /// How much of what the load was told this worker follows.
    known: Cell<usize>,
}

/// How offering arrivals came to a halt.
enum Halted {
    /// All are out, and the stages over.
    Over,
    /// The load was told something else, or the run to stop; this arrival would have been next, where there was one.
    Interrupted(Option<u64>),
}

/// How the offering of a load ended. Offsets are nanoseconds.
struct OfferEnd {
    at: u64,
    /// Before its stages were over.
    is_early: bool,
    /// Where its stages are over.
    planned: u64,
}

impl Offer {
    pub(crate) fn new(
        plan: &RunPlan,
        model: &LoadModel,
        weights: Vec<u32>,
        seed: u64,
        origin: &Origin,
    ) -> Result<Self, MixError> {
        let mix = Mix::new(&weights, seed)?;
        let shift = origin.shift(mix.period());
        let limits = match model {
            LoadModel::Open { .. } => UserLimits::default(),
            LoadModel::Closed { limits, .. } => {
                let iterations = limits.iterations.map(|most| most.saturating_add(shift));
                UserLimits { iterations, ..*limits }
            }
        };
        let recording = Recording::of(plan, model, mix.scenario(0)).map(Box::new);
        Ok(Self {
            mix,
            planned: model.iterations(),
            shift,
            recording,
            owns: plan.http.version == HttpVersion::Http1 && plan.reuse_of(model) != Reuse::Always,
            weights,
            interval: limits.at_most.map(|rate| (1e9 / rate.per_second()).min(1e18) as u64),
            limits,
            crowd: Crowd::default(),
            place: Cell::new((0, 0, (Phase::Measured, None))),
            frontier: Cell::new(0),
            known: Cell::new(0),
        })
    }
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
    /// How long the steps that say so may take, by their index; empty where none says so.
    pub(crate) own_timeouts: Box<[Option<Duration>]>,
    /// Whether there is more to a request than most have: single requests, or a step's own timeout.
    pub(crate) has_more: bool,
    pub(crate) http1: Http1,
    /// Where the plan asks for single requests.
    pub(crate) singles: Option<Singles>,
    /// Where a plan is tried out.
    pub(crate) observer: Option<Observer>,
    /// The connections of HTTP/2, where it is spoken.
    pub(crate) sessions: Option<Rc<Sessions>>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) scripts: Vec<Script>,
    /// The plan's loads, in their order.
    pub(crate) offers: Vec<Offer>,
    pub(crate) pool: Rc<Pool>,
    /// The pools in place of it, where the plan bounds connections by host.
    pub(crate) hosts: Option<Hosts>,
    /// What makes credentials for each request, where the plan asks for that.
    pub(crate) signer: Option<Box<Signer>>,
    /// Whether bodies may come coded.
    pub(crate) decodes: bool,
    /// Whose connections are.
    pub(crate) reuse: Reuse,
    /// How long a connection may be idle, in nanoseconds.
    pub(crate) idle_limit: Option<u64>,
    /// Which address of the target each user's own connection goes to.
    pub(crate) turns: Turns,
    pub(crate) journeys: Journeys,
    pub(crate) feeds: Feeds,
    /// Where this worker reads in each of them.
    pub(crate) readers: RefCell<Vec<RowReader>>,
    pub(crate) functions: Vec<Function>,
    pub(crate) maker: Maker,
    /// Values that are made, one after the other.
    pub(crate) scratch: RefCell<String>,
    pub(crate) setup: Arc<[Option<String>]>,
    pub(crate) run_id: String,
    pub(crate) seed: u64,
    /// Where the load begins.
    pub(crate) origin: Origin,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stop: CancellationToken,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    pub(crate) spare: std::sync::mpsc::Receiver<Shard>,
    /// Whether it offers nothing more and waits for what runs.
    pub(crate) drains: Cell<bool>,
    /// Told when an iteration ends, once it does.
    pub(crate) ended: Notify,
}

impl Worker {
    /// Offers the worker's share of the load and waits for its answers. Must run where tasks can be
    /// spawned that stay on their thread; the caller drops afterwards whatever is still in flight.
    pub(crate) async fn run(self: Rc<Self>, loads: &[LoadModel], grace: Duration) {
        tokio::task::spawn_local(Rc::clone(&self.timers).drive());
        tokio::task::spawn_local(Rc::clone(&self).close_seconds_in_time());
        let stalls = Arc::clone(&self.shared.stalls);
        tokio::task::spawn_local(keep_appointments(Rc::clone(&self.timers), self.clock, stalls));
        tokio::task::spawn_local(Rc::clone(&self).end_overdue());
        tokio::task::spawn_local(Rc::clone(&self).wake_thinking());
        if let Some(limit) = self.idle_limit {
            tokio::task::spawn_local(Rc::clone(&self).close_idle(limit));
        }
        // One load is the usual case and needs no task of its own.
        let others = (1..).zip(loads.iter().skip(1)).map(|(load, model)| {
            let (worker, model) = (Rc::clone(&self), model.clone());
            tokio::task::spawn_local(async move { worker.offer_load(load, &model).await })
        });
        let others: Vec<_> = others.collect();
        let mut ends = Vec::new();
        if let Some(model) = loads.first() {
            ends.push(self.offer_load(0, model).await);
        }
        for other in others {
            match other.await {
                Ok(end) => ends.push(end),
                Err(error) => {
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        let grace = grace.as_nanos() as u64;
        let last = ends.iter().max_by_key(|end| end.at);
        let mut offered_until = last.map_or(0, |end| end.at);
        if let Some(end) = last.filter(|end| end.is_early && !self.stop.is_cancelled()) {
            // All iterations asked for have started. What they take belongs to what is measured: without it
            // a short run would seem to have done more per second than it did.
            self.drain(self.clock.now().saturating_add(grace).min(end.planned)).await;
            offered_until = self.clock.now().min(end.planned);
        }
        self.tell(Message::OfferingEnded { at: offered_until });
        self.drain(offered_until.saturating_add(grace)).await;
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

    /// Offers the worker's share of one load and says when that ended.
    async fn offer_load(self: &Rc<Self>, load: usize, model: &LoadModel) -> OfferEnd {
        let stages_end = u64::try_from(model.length().as_nanos()).unwrap_or(u64::MAX);
        let early = match model {
            LoadModel::Open { stages, spacing, max_in_flight } => {
                // Loads beside each other have random arrivals of their own.
                let seed = self.seed.wrapping_add(load as u64 * 0x9e37_79b9_7f4a_7c15);
                match &self.offers[load].recording {
                    None => {
                        let stages = RateProfile::new(stages);
                        let course = self.course(load, &stages, *spacing, seed);
                        self.offer_steered(load, &stages, course, *max_in_flight, stages_end).await
                    }
                    Some(recording) => {
                        let (mut arrivals, mut from) = (Recorded::new(self, recording).peekable(), 0);
                        while arrivals.next_if(|due| *due < self.origin.nanos()).is_some() {
                            from += 1;
                        }
                        match self.offer(load, from, arrivals, *max_in_flight, stages_end, &self.stop).await {
                            Halted::Over => ControlFlow::Continue(()),
                            Halted::Interrupted(_) => ControlFlow::Break(()),
                        }
                    }
                }
            }
            LoadModel::Closed { stages, .. } => {
                // Users bring no schedule that could be behind: a second is complete when it is past.
                self.offers[load].frontier.set(u64::MAX);
                self.keep_users(load, stages, stages_end).await
            }
        };
        self.offers[load].frontier.set(u64::MAX);
        // Whatever it is told now changes nothing any more.
        self.offers[load].known.set(usize::MAX);
        let is_early = early.is_break();
        let at = if is_early { self.clock.now().min(stages_end) } else { stages_end };
        OfferEnd { at, is_early, planned: stages_end }
    }

    /// Waits until nothing runs, or until `deadline`.
    async fn drain(self: &Rc<Self>, deadline: u64) {
        self.drains.set(true);
        let mut deadline = pin!(self.timers.sleep_until(deadline));
        while self.recorder.borrow().running() > 0 {
            tokio::select! {
                () = self.ended.notified() => {}
                () = &mut deadline => return,
            }
        }
    }

    /// What a load follows from where it begins, and its arrivals from there on.
    fn course(
        &self,
        load: usize,
        stages: &RateProfile,
        spacing: Spacing,
        seed: u64,
    ) -> (RateProfile, Arrivals) {
        let (told, _) = self.shared.loads[load].steering.since(0);
        self.offers[load].known.set(told.len());
        let steered = |profile: RateProfile, steer: &Steer| profile.steered(stages, steer.at, steer.wanted);
        let profile = told.iter().fold(stages.clone(), steered);
        let (from, begun) = (self.origin.nanos(), self.origin.begun(load));
        let arrivals = Arrivals::after(Arc::new(profile.clone()), spacing, seed, from, begun);
        (profile, arrivals)
    }

    /// Starts each arrival of this worker's share when it is due, by the stages or by what the load is told in
    /// their place. Breaks when it was told to stop.
    async fn offer_steered(
        self: &Rc<Self>,
        load: usize,
        stages: &RateProfile,
        (mut profile, mut arrivals): (RateProfile, Arrivals),
        max_in_flight: u32,
        stages_end: u64,
    ) -> ControlFlow<()> {
        let (offer, steering) = (&self.offers[load], &self.shared.loads[load].steering);
        let mut pending = Some(arrivals.number());
        loop {
            let (more, interrupt) = steering.since(offer.known.get());
            if !more.is_empty() {
                for steer in &more {
                    profile = profile.steered(stages, steer.at, steer.wanted);
                }
                arrivals.steer(Arc::new(profile.clone()), pending);
                offer.known.set(offer.known.get() + more.len());
            }
            let from = arrivals.number() + offer.shift;
            match self.offer(load, from, &mut arrivals, max_in_flight, stages_end, &interrupt).await {
                Halted::Over => return ControlFlow::Continue(()),
                Halted::Interrupted(_) if self.stop.is_cancelled() => return ControlFlow::Break(()),
                Halted::Interrupted(next) => pending = next.map(|number| number - offer.shift),
            }
        }
    }

    /// Starts each arrival of this worker's share when it is due, the first of all being the one with the number
    /// `from`, until `interrupt` is cancelled.
    async fn offer(
        self: &Rc<Self>,
        load: usize,
        from: u64,
        arrivals: impl Iterator<Item = u64>,
        max_in_flight: u32,
        stages_end: u64,
        interrupt: &CancellationToken,
    ) -> Halted {
        let offer = &self.offers[load];
        let mut interrupted = pin!(interrupt.cancelled());
        let mine = self.share.takes(offer.mix.period());
        let mut late = 0;
        for (n, due) in (from..).zip(arrivals).filter(|(n, _)| mine(*n)) {
            offer.frontier.set(due);
            if self.clock.has_reached(due) {
                late += 1;
                if late % CATCH_UP == 0 {
                    tokio::task::yield_now().await;
                    if interrupt.is_cancelled() {
                        return Halted::Interrupted(Some(n));
                    }
                }
            } else {
                late = 0;
                tokio::select! {
                    biased;
                    () = &mut interrupted => return Halted::Interrupted(Some(n)),
                    () = self.timers.sleep_until(due) => {}
                }
            }
            self.arrive(load, n, due, max_in_flight);
        }
        offer.frontier.set(stages_end);
        tokio::select! {
            biased;
            () = &mut interrupted => Halted::Interrupted(None),
            () = self.timers.sleep_until(stages_end) => Halted::Over,
        }
    }

    fn arrive(self: &Rc<Self>, load: usize, n: u64, due: u64, max_in_flight: u32) {
        let scenario = self.offers[load].mix.scenario(n);
        let key = self.key(load, scenario, due);
        let running = &self.shared.loads[load].running;
        if running.fetch_add(1, Ordering::Relaxed) >= max_in_flight {
            running.fetch_sub(1, Ordering::Relaxed);
            self.recorder.borrow_mut().dropped(key, due, DropCause::InFlightLimit);
            return;
        }
        self.recorder.borrow_mut().arrival(key, due);
        self.set_out(self.journeys.single(load, self.number(load, n), key, due, self.offers[load].owns));
    }

    /// The number in the run of the n-th iteration or user of a load: every load has every so many-th, so
    /// that no two have one.
    pub(crate) fn number(&self, load: usize, n: u64) -> u64 {
        n * self.offers.len() as u64 + load as u64
    }

    pub(crate) fn key(&self, load: usize, scenario: usize, due: u64) -> IterationKey {
        let cached = &self.offers[load].place;
        let (from, until, mut place) = cached.get();
        if due < from || due >= until {
            let (until, now) = self.shape.place_until(load, due);
            cached.set((due, until, now));
            place = now;
        }
        let (phase, stage) = place;
        IterationKey { scenario: scenario as u16, phase, stage }
    }

    /// Keeps this worker's share of the wanted users running. Breaks when told to stop, or when all
    /// iterations asked for have started.
    async fn keep_users(
        self: &Rc<Self>,
        load: usize,
        stages: &[Stage<Users>],
        stages_end: u64,
    ) -> ControlFlow<()> {
        let stages = UserProfile::new(stages);
        let mut profile = stages.clone();
        let Offer { crowd, limits, known, .. } = &self.offers[load];
        let steering = &self.shared.loads[load].steering;
        let is_counted = limits.iterations.is_some() || limits.per_user.is_some();
        let from = self.origin.nanos();
        let mut at = Some(from);
        let flow = 'steered: loop {
            let (more, interrupt) = steering.since(known.get());
            known.set(known.get() + more.len());
            for steer in more {
                profile = profile.steered(&stages, steer.at, steer.wanted);
                at = at.or(Some(stages_end)).map(|next| next.min(steer.at.max(from)));
            }
            crowd.most.set(u64::from(profile.peak()));
            let mut interrupted = pin!(interrupt.cancelled());
            loop {
                let next = at.unwrap_or(stages_end);
                tokio::select! {
                    biased;
                    () = &mut interrupted => match self.stop.is_cancelled() {
                        true => break 'steered ControlFlow::Break(()),
                        false => continue 'steered,
                    },
                    () = self.timers.sleep_until(next) => {}
                    () = self.until_exhausted(load), if is_counted => break 'steered ControlFlow::Break(()),
                }
                if next >= stages_end {
                    break 'steered ControlFlow::Continue(());
                }
                crowd.wanted.set(u64::from(profile.users_at(next)));
                self.start_users(load, next);
                at = profile.next_change(next);
            }
        };
        crowd.wanted.set(0);
        flow
    }

    async fn until_exhausted(&self, load: usize) {
        while !self.shared.loads[load].exhausted.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets those users in that are wanted and not there.
    fn start_users(self: &Rc<Self>, load: usize, at: u64) {
        let crowd = &self.offers[load].crowd;
        let mine = (0..).map(|slot| (slot, slot as u64 * self.share.of + self.share.index));
        for (slot, n) in mine.take_while(|(_, n)| *n < crowd.wanted.get()) {
            if crowd.came(slot) {
                self.shared.users.fetch_add(1, Ordering::Relaxed);
                let user = User::closed(self.number(load, n), self.offers[load].owns);
                self.set_out(Journey::closed(load, user, self.key(load, 0, at), at));
            }
        }
    }

    /// Ends requests that have outlived their time, for as long as it is polled.
    pub(crate) async fn end_overdue(self: Rc<Self>) {
        // A step that has less time than this is ended as much too late.
        const FINEST: u64 = SECOND / 1000;
        let own = self.own_timeouts.iter().flatten().map(|timeout| nanos(*timeout).max(FINEST));
        let shortest = own.fold(self.timeout, u64::min);
        loop {
            let now = self.clock.now();
            let next = self.recorder.borrow_mut().wake_overdue(now);
            // What begins later than now is not due before this.
            let unknown = now.saturating_add(shortest);
            self.timers.sleep_until(next.map_or(unknown, |next| next.min(unknown))).await;
        }
    }

    /// How many rows of a feed the whole plan draws: of each load, iterations planned x weights of the
    /// scenarios that draw from it / all weights. `None` when users decide how many iterations there are, or who
    /// steers the run.
    fn rows_needed(&self, feed: u16) -> Option<u64> {
        let draws = |script: usize| self.scripts.get(script).is_some_and(|it| it.feeds.contains(&feed));
        let needed = self.offers.iter().zip(&self.shared.loads).map(|(offer, load)| {
            let all: f64 = offer.weights.iter().map(|weight| f64::from(*weight)).sum();
            let drawing = offer.weights.iter().enumerate().filter(|(script, _)| draws(*script));
            let share = drawing.map(|(_, weight)| f64::from(*weight)).sum::<f64>() / all;
            let planned = offer.planned.filter(|_| !load.steering.is_steered());
            if share == 0.0 { Some(0) } else { Some((planned? * share).ceil() as u64) }
        });
        needed.sum()
    }

    /// Draws one row of each feed the script draws from; false when there is none, which ends the run.
    pub(crate) fn draw(&self, script: &Script, values: &mut Values) -> bool {
        let Values { rows, iteration, .. } = values;
        rows.resize_with(script.feeds.len(), Default::default);
        for (feed, (place, row)) in script.feeds.iter().zip(rows) {
            let Some(feed_rows) = self.feeds.get(*feed) else { continue };
            *place = *feed;
            let drawn = feed_rows.draw(*iteration / self.offers.len() as u64);
            match drawn.unwrap_or_else(|error| {
                let name = &feed_rows.feed.name;
                self.fail(format!("which rows of feed `{name}` were used cannot be kept: {error}"));
                None
            }) {
                Some(number) => {
                    let mut readers = self.readers.borrow_mut();
                    let Some(reader) = readers.get_mut(usize::from(*feed)) else { continue };
                    if let Err(error) = reader.read(&feed_rows.feed.table, number, row) {
                        self.fail(format!("feed `{}` cannot be read: {error}", feed_rows.feed.name));
                        return false;
                    }
                }
                None => {
                    let rows = &feed_rows.feed;
                    let needed = match self.rows_needed(*feed) {
                        Some(needed) => format!("the plan needs {needed}"),
                        None => "there were more iterations".to_owned(),
                    };
                    self.fail(format!(
                        "feed `{}` has run out: it has {} rows, each is used once, and {needed}",
                        rows.name,
                        rows.table.rows()
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

    /// Closes shared connections soon after nobody has used them for `limit` nanoseconds, for as long as it is polled.
    async fn close_idle(self: Rc<Self>, limit: u64) {
        let pause = (limit / 4).clamp(SECOND / 100, SECOND);
        loop {
            let now = self.clock.now();
            let since = now.saturating_sub(limit);
            match &self.hosts {
                None => self.pool.close_idle(since),
                Some(hosts) => hosts.close_idle(since),
            }
            self.timers.sleep_until(now + pause).await;
        }
    }

    async fn close_seconds_in_time(self: Rc<Self>) {
        for second in self.origin.second + 1.. {
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
        // A second is open for as long as a load was told of it what this worker does not follow yet.
        let unknown = |(offer, load): (&Offer, &SharedLoad)| {
            offer.frontier.get().min(load.steering.unknown_from(offer.known.get()))
        };
        let frontier = self.offers.iter().zip(&self.shared.loads).map(unknown).min().unwrap_or(u64::MAX);
        while let Some(shard) = recorder.take_complete(self.clock.now(), frontier) {
            self.tell(Message::Shard { worker: self.share.index as usize, shard });
        }
    }

    fn tell(&self, message: Message) {
        // Nobody listens any more only when the run is being torn down.
        let _ = self.messages.send(message);
    }
}

/// A time in nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a pause lasts, in nanoseconds.
pub(crate) fn pause(pause: Pause, seed: u64, iteration: u64, place: u64, pass: u64) -> u64 {
    if let Some(always) = pause.always() {
        return always.as_nanos() as u64;
    }
    pause.draw(&mut random(seed, iteration, place, pass))
}

/// What is drawn at a place of a script: decided by the seed, the iteration, the place and how often
/// something was repeated before alone, so that a run repeats however many workers there are and whoever is
/// quicker.
pub(crate) fn random(seed: u64, iteration: u64, place: u64, pass: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0 is that of the arrivals.
    random.set_stream((iteration << 16) + place + 1);
    // A block of 16 words for each pass is more than any draw takes.
    random.set_word_pos(u128::from(pass) << 4);
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_same_again_and_fills_its_range() {
        let min = Duration::from_millis(100);
        let range = Pause::Even { min, max: 2 * min };
        let pauses = |seed| {
            let places = (0..1000).flat_map(|iteration| (0..2).map(move |place| (iteration, place)));
            places.map(|(iteration, place)| pause(range, seed, iteration, place, 0)).collect::<Vec<_>>()
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
        assert_eq!(pause(Pause::fixed(min), 7, 3, 0, 0), 100_000_000);
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
