use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plimsoll_data::{Maker, RowReader};
use plimsoll_measure::{IterationKey, Phase, Shard};
use plimsoll_run::{Action, HttpVersion, LoadModel, Observed, RunPlan, Shape};
use plimsoll_workload::{MixError, Wanted};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::auth::Signer;
use crate::compile::{Target, is_plain, own_timeouts, without_auth};
use crate::connection::Http1;
use crate::evidence::Observer;
use crate::feed::Feeds;
use crate::http2::Sessions;
use crate::journey::{Halt, Journey, Journeys, ScriptEnd};
use crate::ledger::Ledger;
use crate::origin::Origin;
use crate::pacer::Pacer;
use crate::pool::{Hosts, Pool};
use crate::recorder::{Blank, Recorder};
use crate::script::Script;
use crate::singles::Singles;
use crate::steering::Steer;
use crate::timers::Timers;
use crate::tokens::Tokens;
use crate::user::User;
use crate::worker::{Offer, Share, Shared, SharedLoad, Worker, nanos};
use crate::{Clock, CompileError, Room, Transport, priority};

/// How far ahead the start lies, so that every worker is up when the first arrival is due.
const LEAD: Duration = Duration::from_millis(30);

/// What a driver needs to know.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// What to offer.
    pub plan: Arc<RunPlan>,
    /// The plan's shape.
    pub shape: Arc<Shape>,
    /// Decides every random choice.
    pub seed: u64,
    /// Fills `{{ run.id }}`.
    pub run_id: String,
    /// Threads to offer the load from; at least one.
    pub workers: usize,
    /// How connections are opened.
    pub transport: Transport,
    /// Captured by setup.
    pub setup: Arc<[Option<String>]>,
    /// The rows that templates draw from.
    pub feeds: Feeds,
    /// Which client speaks HTTP/1.1 where both can.
    pub http1: Http1,
    /// Where the load begins.
    pub origin: Origin,
    /// Whether steps that run once are to be looked at one by one, which reads every answer whole. Not for load: all of it
    /// stays in memory.
    pub observe: bool,
}

/// A load that cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A step cannot be sent.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The scenarios' weights make no mix.
    #[error("scenarios: {0}")]
    Mix(#[from] MixError),
    /// A thread or runtime could not be had.
    #[error("starting a worker: {0}")]
    Thread(#[from] std::io::Error),
}

/// What workers tell.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a second and worker, and nearly all are shards")]
pub enum Message {
    /// A complete second of one worker.
    Shard {
        /// Which worker.
        worker: usize,
        /// What it measured.
        shard: Shard,
    },
    /// A worker starts no more iterations.
    OfferingEnded {
        /// Since when, in nanoseconds from the start.
        at: u64,
    },
    /// A worker is done; nothing more comes from it.
    Finished {
        /// Which worker.
        worker: usize,
        /// When, in nanoseconds from the start.
        at: u64,
    },
}

/// A load being offered.
#[derive(Debug)]
pub struct Driver {
    /// What the workers tell, until all have finished.
    pub messages: mpsc::UnboundedReceiver<Message>,
    /// The run's clock.
    pub clock: Clock,
    /// The monotonic instant of offset zero.
    pub started: Instant,
    stop: CancellationToken,
    shared: Arc<Shared>,
    spare: Vec<std::sync::mpsc::Sender<Shard>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    tokens: Option<Arc<Tokens>>,
}

impl Driver {
    /// Starts the workers. The load begins a moment later: at offset zero, or where its origin is.
    ///
    /// # Errors
    /// When a step cannot be made ready or a thread cannot be started; nothing was sent then.
    pub fn start(config: &DriverConfig) -> Result<Self, DriverError> {
        let workers = worker_count(config);
        let stop = CancellationToken::new();
        let shared = Arc::new(shared(config, &stop));
        let (sender, messages) = mpsc::unbounded_channel();
        // Compiled once here so that a mistake is told before any thread starts.
        let _ = parts(config)?;
        let begins = Instant::now() + LEAD;
        let started = begins.checked_sub(Duration::from_nanos(config.origin.nanos())).ok_or_else(|| {
            std::io::Error::other("this machine's clock does not reach back to the start of the run")
        })?;
        let clock = Clock::real(started);
        let (mut spare, mut threads) = (Vec::new(), Vec::new());
        for index in 0..workers {
            let (give_back, taken_back) = std::sync::mpsc::channel();
            spare.push(give_back);
            let share = Share { index: index as u64, of: workers as u64 };
            let (config, shared) = (config.clone(), Arc::clone(&shared));
            let (stop, sender) = (stop.clone(), sender.clone());
            let farewell = Farewell {
                worker: index,
                messages: sender.clone(),
                shared: Arc::clone(&shared),
                stop: stop.clone(),
            };
            let on_failure = stop.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Err(error) = priority::take() {
                    shared.trouble(&format!("a worker has no real-time priority: {error}"));
                }
                let build = Build {
                    config: &config,
                    clock,
                    share,
                    shared,
                    stop,
                    messages: sender,
                    spare: taken_back,
                };
                run_worker(build, &config);
                drop(farewell);
            });
            // Those that are up already have sent nothing yet, and shall not.
            threads.push(thread.inspect_err(|_| on_failure.cancel())?);
        }
        let tokens = config.transport.tokens().cloned();
        Ok(Self { messages, clock, started, stop, shared, spare, threads, tokens })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.spare.len()
    }

    /// Starts no more iterations; requests in flight have the plan's grace to finish.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Makes one of the plan's loads (0: the one that scenarios share, then those that they have by themselves)
    /// other than planned from `effective` on, an offset in nanoseconds that never goes back.
    ///
    /// It lies a little ahead, so that every worker knows before anything is due by it: what is due before then
    /// stays as it was. A worker that is late for it starts what was due in between late, and loses nothing.
    pub fn steer(&self, load: u16, effective: u64, wanted: Wanted) {
        if let Some(load) = self.shared.loads.get(usize::from(load)) {
            load.steering.tell(Steer { at: effective, wanted });
        }
    }

    /// Gives a shard's memory back to the worker it came from.
    pub fn give_back(&self, worker: usize, shard: Shard) {
        if let Some(spare) = self.spare.get(worker) {
            // A worker that has finished needs no memory.
            let _ = spare.send(shard);
        }
    }

    /// Connections that are open or being opened.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Virtual users active: iterations running in the open model.
    pub fn users(&self) -> u64 {
        let running = self.shared.loads.iter().map(|load| u64::from(load.running.load(Ordering::Relaxed)));
        self.shared.users.load(Ordering::Relaxed) + running.sum::<u64>()
    }

    /// How late a worker came to an appointment with itself since the last call, the latest of any
    /// worker: what an overloaded machine or a busy worker adds to everything. `None` without any.
    pub fn take_stall(&self) -> Option<Duration> {
        self.shared.stalls.take()
    }

    /// Why the run cannot be completed, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What could not be offered and why, the first time: this machine could not, or a step's values
    /// made nothing that can be sent, or a token could not be renewed.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.shared.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        trouble.or_else(|| self.tokens.as_ref()?.trouble())
    }

    /// Waits for the threads; call it after every worker has finished.
    pub fn join(self) {
        for thread in self.threads {
            // A worker that panicked has already said so.
            let _ = thread.join();
        }
    }
}

fn shared(config: &DriverConfig, stop: &CancellationToken) -> Shared {
    let shared = Shared {
        pacer: Pacer::new(&config.plan.http),
        room: Room::now(config.workers).descriptors,
        loads: config.plan.loads().map(|_| SharedLoad::new(stop)).collect(),
        ..Shared::default()
    };
    let Origin { steers, .. } = &config.origin;
    for (load, at, wanted) in steers {
        let told = shared.loads.get(usize::from(*load));
        told.into_iter().for_each(|load| load.steering.tell(Steer { at: *at, wanted: *wanted }));
    }
    shared
}

fn loads(plan: &RunPlan) -> Vec<LoadModel> {
    plan.loads().cloned().collect()
}

fn worker_count(config: &DriverConfig) -> usize {
    // More workers than connections would leave some without any.
    let connections = match config.plan.http.version {
        HttpVersion::Http1 => config.plan.http.connections.or(config.plan.http.network.per_host),
        HttpVersion::Http2 => Some(config.plan.connections().most),
    };
    config.workers.min(connections.map_or(usize::MAX, |connections| connections as usize)).max(1)
}

fn parts(config: &DriverConfig) -> Result<(Target, Vec<Script>, Vec<Offer>), DriverError> {
    let target = Target::of(&config.plan)?;
    let scripts = config
        .plan
        .scenarios
        .iter()
        .map(|scenario| {
            let script = Script::new(&config.plan, &target, &scenario.actions, scenario.captures)?;
            Ok::<_, CompileError>(script.resting(scenario))
        })
        .collect::<Result<_, _>>()?;
    Ok((target, scripts, offers(config)?))
}

/// The scenarios without a load of their own share the plan's by weight; then come those that have one.
fn offers(config: &DriverConfig) -> Result<Vec<Offer>, MixError> {
    let scenarios = &config.plan.scenarios;
    let shared = scenarios.iter().map(|one| if one.load.is_some() { 0 } else { one.weight }).collect();
    let offer = |load, weights| Offer::new(&config.plan, load, weights, config.seed, &config.origin);
    let mut offers = vec![offer(&config.plan.load.model, shared)?];
    for (index, load) in
        scenarios.iter().enumerate().filter_map(|(index, one)| Some((index, one.load.as_ref()?)))
    {
        let only = (0..scenarios.len()).map(|other| u32::from(other == index)).collect();
        offers.push(offer(load, only)?);
    }
    Ok(offers)
}

struct Build<'a> {
    config: &'a DriverConfig,
    clock: Clock,
    share: Share,
    shared: Arc<Shared>,
    stop: CancellationToken,
    messages: mpsc::UnboundedSender<Message>,
    spare: std::sync::mpsc::Receiver<Shard>,
}

impl Build<'_> {
    /// `place` is the worker's among all that make requests in this run.
    fn worker(self, recorder: Recorder, place: u64) -> Result<Rc<Worker>, DriverError> {
        let (target, scripts, offers) = parts(self.config)?;
        let plan = &self.config.plan;
        let in_flight = plan.sharing().max(1);
        let network = &plan.http.network;
        let (index, of) = (self.share.index as usize, self.share.of as usize);
        let my =
            |connections: u32| connections as usize / of + usize::from(index < connections as usize % of);
        let (shared, pooled) = match plan.http.version {
            HttpVersion::Http1 => (None, my(plan.http.connections.unwrap_or(in_flight))),
            HttpVersion::Http2 => {
                let (connections, streams) = (my(plan.connections().most), plan.http.streams as usize);
                (Some((connections, streams)), connections * streams)
            }
        };
        let turns = self.config.transport.turns();
        let turn = turns.start(self.share.index, self.share.of);
        let pool = Pool::new(pooled, turns.clone(), turn);
        let hosts = network.per_host.map(|most| Hosts::new(my(most).max(1), turns.clone(), turn));
        let idle_limit =
            network.idle_timeout.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        let tokens = self.config.transport.tokens();
        let signer = Signer::new(network.auth.as_ref(), tokens, &target.origin, without_auth(plan));
        let origin = &self.config.origin;
        for ((index, load), offer) in self.shared.loads.iter().enumerate().zip(&offers) {
            // The same of every worker, and never back.
            load.started.fetch_max(offer.shift.saturating_add(origin.begun(index)), Ordering::Relaxed);
        }
        let seed = origin.seed(self.config.seed);
        let singles = Singles::of(plan, seed, &self.config.run_id, place);
        let own_timeouts = own_timeouts(plan);
        let ledger = Ledger::new(self.clock);
        let sessions = shared.map(|(connections, streams)| {
            Sessions::new(connections, streams, Rc::clone(&pool), Rc::clone(&ledger))
        });
        Ok(Rc::new(Worker {
            share: self.share,
            clock: self.clock,
            timers: Timers::new(self.clock),
            recorder: RefCell::new(recorder),
            ledger,
            reading: Rc::default(),
            transport: self.config.transport.for_worker(),
            target,
            http: plan.http.clone(),
            timeout: nanos(plan.http.timeout),
            has_more: singles.is_some() || !own_timeouts.is_empty(),
            own_timeouts,
            http1: if is_plain(plan) { self.config.http1 } else { Http1::Hyper },
            singles,
            observer: self.config.observe.then(Observer::default),
            sessions,
            shape: Arc::clone(&self.config.shape),
            scripts,
            offers,
            pool,
            hosts,
            signer,
            decodes: !network.compression.is_empty(),
            reuse: plan.reuse(),
            idle_limit,
            turns,
            journeys: Journeys::default(),
            readers: RefCell::new((0..self.config.feeds.len()).map(|_| RowReader::default()).collect()),
            feeds: self.config.feeds.clone(),
            functions: plan.functions.clone(),
            maker: Maker::new(seed),
            scratch: RefCell::default(),
            setup: Arc::clone(&self.config.setup),
            run_id: self.config.run_id.clone(),
            seed,
            origin: origin.clone(),
            shared: self.shared,
            stop: self.stop,
            messages: self.messages,
            spare: self.spare,
            drains: Cell::default(),
            ended: Notify::new(),
        }))
    }
}

/// Says that a worker is gone when it panicked: nobody waits for it for ever.
struct Farewell {
    worker: usize,
    messages: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut failure = self.shared.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.get_or_insert_with(|| format!("worker {} panicked: this is a bug in Plimsoll", self.worker));
        self.stop.cancel();
        let _ = self.messages.send(Message::Finished { worker: self.worker, at: 0 });
    }
}

fn run_worker(build: Build<'_>, config: &DriverConfig) {
    let worker = build.share.index as usize;
    let messages = build.messages.clone();
    let (shared, stop) = (Arc::clone(&build.shared), build.stop.clone());
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Tasks on such a runtime wake each other without a lock or a system call.
        .build_local(LocalOptions::default())
        .map_err(DriverError::Thread)
        .and_then(|runtime| {
            let blank = Blank::of(&config.shape, worker_count(config));
            let recorder = Recorder::starting_at(config.origin.second, blank);
            let place = build.share.index;
            let worker = build.worker(recorder, place)?;
            let (loads, grace) = (loads(&config.plan), config.plan.load.grace);
            let run = runtime.spawn_local(async move { worker.run(&loads, grace).await });
            if let Err(Ok(panic)) = runtime.block_on(run).map_err(tokio::task::JoinError::try_into_panic) {
                std::panic::resume_unwind(panic);
            }
            // A name lookup that hangs cannot be called back and is not waited for.
            runtime.shutdown_background();
            Ok(())
        });
    if let Err(error) = ran {
        shared
            .failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get_or_insert(error.to_string());
        // The others' part alone is not what was asked for.
        stop.cancel();
        let _ = messages.send(Message::Finished { worker, at: 0 });
    }
}

/// Steps run once, before or after the load.
#[derive(Debug)]
pub struct Once {
    /// What its requests were, all in one second.
    pub shard: Shard,
    /// What it captured, by slot.
    pub captures: Arc<[Option<String>]>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Its requests one by one, where they are looked at.
    pub observed: Vec<Observed>,
}

impl Once {
    /// Runs steps one after the other on one user, on a thread of its own. Everything it does is
    /// counted in `second` under `phase`, at offsets of `clock`. `stop` ends it where it stands: a
    /// request in flight is cut, and what was captured until then is there.
    ///
    /// # Errors
    /// When a step cannot be made ready or the thread cannot be started.
    pub async fn run(
        config: DriverConfig,
        actions: Vec<Action>,
        phase: Phase,
        second: u64,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, DriverError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name(phase.label().to_owned()).spawn(move || {
            let ran = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(DriverError::Thread);
            let ran = ran.and_then(|runtime| {
                let steps = once(&config, &actions, phase, second, clock, stop);
                let ran = LocalSet::new().block_on(&runtime, steps);
                // A name lookup that hangs cannot be called back and is not waited for.
                runtime.shutdown_background();
                ran
            });
            let _ = sender.send(ran);
        })?;
        receiver
            .await
            .unwrap_or_else(|_| Err(DriverError::Thread(std::io::Error::other("the thread ended early"))))
    }
}

async fn once(
    config: &DriverConfig,
    actions: &[Action],
    phase: Phase,
    second: u64,
    clock: Clock,
    stop: CancellationToken,
) -> Result<Once, DriverError> {
    let (messages, _listen) = mpsc::unbounded_channel();
    let (_give_back, spare) = std::sync::mpsc::channel();
    let build = Build {
        config,
        clock,
        share: Share { index: 0, of: 1 },
        shared: Arc::default(),
        stop: CancellationToken::new(),
        messages,
        spare,
    };
    // Behind all workers of the load.
    let place = u64::MAX - phase as u64;
    let worker = build.worker(Recorder::pinned(second, Blank::of(&config.shape, 1)), place)?;
    tokio::task::spawn_local(Rc::clone(&worker.timers).drive());
    tokio::task::spawn_local(Rc::clone(&worker).end_overdue());
    let script = Script::new(&config.plan, &worker.target, actions, config.plan.setup_captures)?;
    let due = worker.clock.now();
    let key = IterationKey { scenario: 0, phase, stage: None };
    let mut journey = Journey::single(User::closed(0, worker.sessions.is_none()), 0, key, due);
    journey.values.captures.resize(script.captures, None);
    let ran = {
        let steps = async {
            // A feed without a row left has ended the run already.
            worker.draw(&script, &mut journey.values);
            while worker.follow(&script, &mut journey).await == Halt::Pause {
                worker.timers.sleep_until(journey.due).await;
            }
            journey.end
        };
        tokio::select! {
            end = steps => Some(end),
            () = stop.cancelled() => None,
        }
    };
    let trouble = worker.shared.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let captures = std::mem::take(&mut journey.values.captures);
    drop(journey);
    worker.ledger.end();
    let mut recorder = worker.recorder.borrow_mut();
    worker.ledger.take_closed().iter().for_each(|closed| recorder.closed(closed));
    recorder.cut(worker.clock.now(), worker.singles.as_ref());
    let shard = recorder.take_all().next().unwrap_or_else(|| Shard::new(second, config.shape.edges.clone()));
    let failure = match ran {
        Some(ScriptEnd::Succeeded) => None,
        Some(ScriptEnd::Failed | ScriptEnd::NotOffered) => {
            Some(failure_words(&shard, trouble, &config.shape, phase))
        }
        None => Some(format!("{} was stopped", subject(phase))),
    };
    let observed = worker.observer.as_ref().map(Observer::take).unwrap_or_default();
    Ok(Once { shard, captures: captures.into(), failure, observed })
}

fn failure_words(shard: &Shard, trouble: Option<String>, shape: &Shape, phase: Phase) -> String {
    let phase = subject(phase);
    let mut frame = plimsoll_measure::Frame::new(shard.second());
    shard.merge_into(&mut frame);
    match frame.errors.first() {
        Some(error) => match shape.steps.get(usize::from(error.step)) {
            Some(step) => format!("{phase} failed at `{}`: {}", step.step, error.message),
            None => format!("{phase} failed: {}", error.message),
        },
        None => match trouble {
            Some(trouble) => format!("{phase} failed: {trouble}"),
            None => format!("{phase} failed"),
        },
    }
}

/// What it is that failed or was stopped.
fn subject(phase: Phase) -> &'static str {
    match phase {
        Phase::Warmup | Phase::Measured | Phase::Grace => "the iteration",
        Phase::Setup | Phase::Teardown => phase.label(),
    }
}

/// What a simulated load is told, and when.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// When, in nanoseconds from the start.
    pub told: u64,
    /// Which of the plan's loads.
    pub load: u16,
    /// From when on it holds.
    pub effective: u64,
    /// What it is to be.
    pub wanted: Wanted,
}

/// A run in simulated time, in the caller's task: for proofs, not for load.
///
/// The caller's runtime must be a current-thread one with paused time.
#[derive(Debug)]
pub struct Simulation;

impl Simulation {
    /// Runs the whole plan on one worker and returns every message in order.
    ///
    /// # Errors
    /// When a step cannot be made ready.
    pub async fn run(config: &DriverConfig) -> Result<Vec<Message>, DriverError> {
        let mut all = Vec::new();
        let keep = |message| {
            all.push(message);
            None
        };
        Self::follow(config, keep).await?;
        Ok(all)
    }

    /// Runs the whole plan on one worker and tells every message in order as it comes. A shard that is returned
    /// gives its memory back to the worker.
    ///
    /// # Errors
    /// When a step cannot be made ready.
    pub async fn follow(
        config: &DriverConfig,
        told: impl FnMut(Message) -> Option<Shard>,
    ) -> Result<(), DriverError> {
        Self::simulate(config, 1, &[], told).await
    }

    /// Runs the whole plan on so many workers, steered by orders in the order in which they are told, and returns
    /// every message.
    ///
    /// # Errors
    /// When a step cannot be made ready.
    pub async fn steered(
        config: &DriverConfig,
        workers: usize,
        orders: &[Order],
    ) -> Result<Vec<Message>, DriverError> {
        let mut all = Vec::new();
        let keep = |message| {
            all.push(message);
            None
        };
        Self::simulate(config, workers, orders, keep).await?;
        Ok(all)
    }

    async fn simulate(
        config: &DriverConfig,
        workers: usize,
        orders: &[Order],
        mut told: impl FnMut(Message) -> Option<Shard>,
    ) -> Result<(), DriverError> {
        let (messages, mut listen) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let shared = Arc::new(shared(config, &stop));
        let origin = &config.origin;
        let clock = Clock::Simulated(tokio::time::Instant::now() - Duration::from_nanos(origin.nanos()));
        let (mut give_back, mut offering) = (Vec::new(), Vec::new());
        for index in 0..workers {
            let (giver, spare) = std::sync::mpsc::channel();
            give_back.push(giver);
            let build = Build {
                config,
                clock,
                share: Share { index: index as u64, of: workers as u64 },
                shared: Arc::clone(&shared),
                stop: stop.clone(),
                messages: messages.clone(),
                spare,
            };
            let recorder = Recorder::starting_at(origin.second, Blank::of(&config.shape, workers));
            offering.push(build.worker(recorder, index as u64)?);
        }
        drop(messages);
        let mut tell = |message| {
            let worker = if let Message::Shard { worker, .. } = &message { *worker } else { 0 };
            if let Some(shard) = told(message) {
                // A worker that has finished needs no memory.
                let _ = give_back[worker].send(shard);
            }
        };
        let local = LocalSet::new();
        local
            .run_until(async {
                let loads = loads(&config.plan);
                let grace = config.plan.load.grace;
                let workers = offering.into_iter().map(|worker| {
                    let loads = loads.clone();
                    tokio::task::spawn_local(async move { worker.run(&loads, grace).await })
                });
                let mut running = std::pin::pin!(futures_util::future::join_all(workers));
                let mut steering = std::pin::pin!(give_orders(&shared, clock, orders));
                loop {
                    tokio::select! {
                        ended = &mut running => {
                            panics_of(ended);
                            break;
                        }
                        () = &mut steering => {}
                        Some(message) = listen.recv() => tell(message),
                    }
                }
            })
            .await;
        drop(local);
        listen.close();
        while let Some(message) = listen.recv().await {
            tell(message);
        }
        Ok(())
    }
}

/// Tells each order in its time, and then nothing more.
async fn give_orders(shared: &Shared, clock: Clock, orders: &[Order]) {
    for Order { told, load, effective, wanted } in orders {
        tokio::time::sleep(Duration::from_nanos(clock.until(*told))).await;
        if let Some(load) = shared.loads.get(usize::from(*load)) {
            load.steering.tell(Steer { at: *effective, wanted: *wanted });
        }
    }
    std::future::pending::<()>().await;
}

fn panics_of(ended: Vec<Result<(), tokio::task::JoinError>>) {
    if let Some(panic) = ended.into_iter().find_map(|ended| ended.err()?.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}
