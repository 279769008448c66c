//! Iterations under way, and the tasks that carry them.
//!
//! A journey is a virtual user with its place in a script. Only one that has a request to make
//! occupies a task; one that thinks is an entry in a queue, and its task carries another. So a user
//! who thinks costs some hundred bytes, and an arrival costs no new task.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use plimsoll_measure::{DropCause, IterationKey};
use plimsoll_run::OnFailure;
use tokio::sync::Notify;

use crate::compile::{CompiledAction, Script};
use crate::exchange::{User, Values};
use crate::worker::{Worker, pause};

/// How long a closed user whose iteration got no answer at all waits before the next: without it a
/// refusing target would be hammered as fast as the processor allows, and nothing learnt by it.
const NO_ANSWER_PAUSE: u64 = 100_000_000;

/// Tasks kept for journeys to come; further ones end when they have nothing to carry.
const IDLE_CARRIERS: usize = 1024;

/// A virtual user and where in an iteration it is. Offsets are nanoseconds from the start of the run.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) user: User,
    pub(crate) values: Values,
    pub(crate) key: IterationKey,
    /// When the iteration was due.
    pub(crate) arrival: u64,
    /// When the next action is due.
    pub(crate) due: u64,
    /// When the last one ended.
    pub(crate) done: u64,
    /// The next action's place in the script.
    next: usize,
    pub(crate) end: ScriptEnd,
    /// None of its requests got an answer, or none was sent.
    pub(crate) no_answer: bool,
    /// Between two iterations of a closed user.
    between: bool,
}

/// How an iteration ended, or will as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptEnd {
    Succeeded,
    Failed,
    /// This machine could not go on.
    NotOffered,
}

/// Why a journey goes no further for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Until it is due again.
    Pause,
    /// The script is over.
    End,
}

impl Journey {
    /// A closed user about to begin its first iteration.
    pub(crate) fn closed(user: User, key: IterationKey, due: u64) -> Box<Self> {
        let mut journey = Self::new(user, key);
        (journey.done, journey.between) = (due, true);
        Box::new(journey)
    }

    /// An iteration on a user of its own.
    pub(crate) fn single(user: User, n: u64, key: IterationKey, due: u64) -> Box<Self> {
        let mut journey = Box::new(Self::new(user, key));
        journey.begin(n, key, due);
        journey
    }

    fn new(user: User, key: IterationKey) -> Self {
        let values = Values { captures: Vec::new(), rows: Vec::new(), iteration: 0, user: user.number };
        Self {
            user,
            values,
            key,
            arrival: 0,
            due: 0,
            done: 0,
            next: 0,
            end: ScriptEnd::Succeeded,
            no_answer: true,
            between: false,
        }
    }

    /// Puts the user at the beginning of an iteration.
    fn begin(&mut self, n: u64, key: IterationKey, due: u64) {
        self.values.iteration = n;
        self.values.captures.clear();
        self.values.rows.clear();
        self.key = key;
        (self.arrival, self.due, self.done, self.next) = (due, due, due, 0);
        (self.end, self.no_answer) = (ScriptEnd::Succeeded, true);
        self.between = false;
    }
}

/// Journeys that think, and tasks that wait for one.
#[derive(Debug, Default)]
pub(crate) struct Journeys {
    thinking: RefCell<BinaryHeap<Reverse<Thinking>>>,
    /// Told when one thinks that is due before all others.
    earlier: Notify,
    count: Cell<u64>,
    idle: RefCell<Vec<Rc<Carrier>>>,
    /// Memory of journeys that are over.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: RefCell<Vec<Box<Journey>>>,
}

impl Journeys {
    /// An iteration on a user of its own.
    pub(crate) fn single(&self, n: u64, key: IterationKey, due: u64) -> Box<Journey> {
        let spare = self.spare.borrow_mut().pop();
        match spare {
            None => Journey::single(User::sharing(n), n, key, due),
            Some(mut journey) => {
                journey.user = User::sharing(n);
                journey.values.user = n;
                journey.begin(n, key, due);
                journey
            }
        }
    }

    fn keep(&self, journey: Box<Journey>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < IDLE_CARRIERS {
            spare.push(journey);
        }
    }
}

#[derive(Debug)]
struct Thinking {
    due: u64,
    /// First come, first woken among those due at once.
    order: u64,
    journey: Box<Journey>,
}

/// The seat of a journey in a task.
#[derive(Debug, Default)]
struct Carrier {
    journey: RefCell<Option<Box<Journey>>>,
    waker: RefCell<Option<Waker>>,
}

impl Worker {
    /// Hands a journey to a task that has none, or to a new one.
    pub(crate) fn set_out(self: &Rc<Self>, journey: Box<Journey>) {
        let idle = self.journeys.idle.borrow_mut().pop();
        if let Some(carrier) = idle {
            carrier.journey.replace(Some(journey));
            carrier.waker.take().into_iter().for_each(Waker::wake);
            return;
        }
        let carrier = Rc::new(Carrier::default());
        carrier.journey.replace(Some(journey));
        tokio::task::spawn_local(Rc::clone(self).carry(carrier));
    }

    async fn carry(self: Rc<Self>, carrier: Rc<Carrier>) {
        loop {
            let journey = poll_fn(|context| match carrier.journey.take() {
                Some(journey) => Poll::Ready(journey),
                None => {
                    carrier.waker.replace(Some(context.waker().clone()));
                    Poll::Pending
                }
            })
            .await;
            self.travel(journey).await;
            let mut idle = self.journeys.idle.borrow_mut();
            if idle.len() >= IDLE_CARRIERS {
                return;
            }
            idle.push(Rc::clone(&carrier));
        }
    }

    /// Lets a journey go on until it thinks or nobody wants its user any more.
    async fn travel(self: &Rc<Self>, mut journey: Box<Journey>) {
        loop {
            if journey.between && !self.begin_next(&mut journey) {
                return;
            }
            match self.advance(&mut journey).await {
                Halt::Pause => return self.think(journey),
                Halt::End => self.conclude(&journey),
            }
            if !journey.user.is_closed() {
                self.shared.running.fetch_sub(1, Ordering::Relaxed);
                return self.journeys.keep(journey);
            }
            journey.between = true;
            if journey.no_answer {
                journey.done += NO_ANSWER_PAUSE;
                journey.due = journey.done;
                return self.think(journey);
            }
        }
    }

    /// Wakes journeys that have thought enough, for as long as it is polled.
    pub(crate) async fn wake_thinking(self: Rc<Self>) {
        loop {
            let next = loop {
                let mut thinking = self.journeys.thinking.borrow_mut();
                let Some(Reverse(first)) = thinking.peek() else { break None };
                if !self.clock.has_reached(first.due) {
                    break Some(first.due);
                }
                let woken = thinking.pop();
                drop(thinking);
                woken.into_iter().for_each(|Reverse(woken)| self.set_out(woken.journey));
            };
            match next {
                None => self.journeys.earlier.notified().await,
                Some(due) => tokio::select! {
                    () = self.timers.sleep_until(due) => {}
                    () = self.journeys.earlier.notified() => {}
                },
            }
        }
    }

    fn think(&self, journey: Box<Journey>) {
        let due = journey.due;
        let order = self.journeys.count.get();
        self.journeys.count.set(order + 1);
        let mut thinking = self.journeys.thinking.borrow_mut();
        let is_first = thinking.peek().is_none_or(|Reverse(first)| due < first.due);
        thinking.push(Reverse(Thinking { due, order, journey }));
        if is_first {
            self.journeys.earlier.notify_one();
        }
    }

    /// Takes a journey's actions one after the other, up to the next pause or the end.
    pub(crate) async fn advance(&self, journey: &mut Journey) -> Halt {
        let script = &self.scripts[usize::from(journey.key.scenario)];
        if journey.next == 0 && !self.provide(script, journey) {
            return Halt::End;
        }
        self.follow(script, journey).await
    }

    /// The same with a script of one's own, whose values are there.
    pub(crate) async fn follow(&self, script: &Script, journey: &mut Journey) -> Halt {
        let place = (journey.key.phase, journey.key.stage);
        while let Some(action) = script.actions.get(journey.next) {
            let place_in_script = journey.next as u64;
            journey.next += 1;
            match action {
                CompiledAction::Pause(range) => {
                    // A pause counts from the end of the step before it, or from the arrival.
                    let length = pause(*range, self.seed, journey.values.iteration, place_in_script);
                    journey.due = journey.done.max(journey.due) + length;
                    journey.done = journey.due;
                    return Halt::Pause;
                }
                CompiledAction::Request(step) => {
                    let end =
                        self.step(&mut journey.user, &mut journey.values, step, place, journey.due).await;
                    journey.done = end.done;
                    journey.due = end.done;
                    // Also where earlier steps were answered: the target did not fail this one.
                    if end.not_offered {
                        (journey.end, journey.no_answer) = (ScriptEnd::NotOffered, true);
                        return Halt::End;
                    }
                    journey.no_answer &= end.no_answer;
                    if !end.succeeded {
                        journey.end = ScriptEnd::Failed;
                        if step.on_failure == OnFailure::EndIteration {
                            return Halt::End;
                        }
                    }
                }
            }
        }
        Halt::End
    }

    /// Gives an iteration its rows and its room for captures; not when a feed has run out.
    fn provide(&self, script: &Script, journey: &mut Journey) -> bool {
        if script.captures > 0 {
            journey.values.captures.resize(script.captures, None);
        }
        if script.feeds.is_empty() || self.draw(script, &mut journey.values.rows) {
            return true;
        }
        journey.done = self.clock.now();
        (journey.end, journey.no_answer) = (ScriptEnd::Failed, true);
        false
    }

    /// Records how an iteration ended.
    fn conclude(&self, journey: &Journey) {
        let Journey { key, arrival, done, end, .. } = journey;
        let mut recorder = self.recorder.borrow_mut();
        match end {
            ScriptEnd::NotOffered => recorder.given_up(*key, *done, DropCause::Generator),
            ScriptEnd::Succeeded => recorder.iteration(*key, *arrival, *done, false),
            ScriptEnd::Failed => recorder.iteration(*key, *arrival, *done, true),
        }
        drop(recorder);
        self.ended.notify_one();
    }

    /// Begins a closed user's next iteration, unless it is not wanted any more.
    fn begin_next(&self, journey: &mut Journey) -> bool {
        let number = journey.user.number;
        // Whoever stops the run wants no user any more.
        let wanted = number < self.crowd.wanted.get();
        let n = wanted.then(|| self.shared.started.fetch_add(1, Ordering::Relaxed));
        let Some(n) = n.filter(|n| self.crowd.iterations.get().is_none_or(|limit| *n < limit)) else {
            if n.is_some() {
                self.shared.exhausted.store(true, Ordering::Relaxed);
            }
            self.crowd.left(self.share.slot(number));
            self.shared.users.fetch_sub(1, Ordering::Relaxed);
            return false;
        };
        let due = journey.done;
        let key = self.key(self.mix.scenario(n), due);
        journey.begin(n, key, due);
        self.recorder.borrow_mut().arrival(key, due);
        true
    }
}

/// The closed model's users.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// How many are wanted, over all workers: those with lower numbers.
    pub(crate) wanted: Cell<u64>,
    /// How many iterations are to be started, where the plan says so.
    pub(crate) iterations: Cell<Option<u64>>,
    /// Which of this worker's are there.
    present: RefCell<Vec<bool>>,
}

impl Crowd {
    /// Whether the user of a slot was not there; now it is.
    pub(crate) fn came(&self, slot: usize) -> bool {
        let mut present = self.present.borrow_mut();
        if present.len() <= slot {
            present.resize(slot + 1, false);
        }
        !std::mem::replace(&mut present[slot], true)
    }

    fn left(&self, slot: usize) {
        self.present.borrow_mut().get_mut(slot).into_iter().for_each(|present| *present = false);
    }
}

impl PartialEq for Thinking {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Thinking {}

impl PartialOrd for Thinking {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Thinking {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}
