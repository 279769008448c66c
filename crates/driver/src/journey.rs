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

use plimsoll_measure::{DropCause, GroupKey, IterationKey, Outcome};
use plimsoll_run::OnFailure;
use rand::RngExt;
use tokio::sync::Notify;

use crate::again::Again;
use crate::compile::Step;
use crate::exchange::{Place, Since, StepEnd};
use crate::fill::Values;
use crate::script::{Instruction, Parallel, Rest, Script};
use crate::user::User;
use crate::worker::{Worker, pause, random};

/// How long a closed user whose iteration got no answer at all waits before the next: without it a
/// refusing target would be hammered as fast as the processor allows, and nothing learnt by it.
const NO_ANSWER_PAUSE: u64 = 100_000_000;

/// Sets pauses behind a script apart from those in it, which have its places.
const BEHIND_THE_SCRIPT: u64 = 1 << 15;

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
    /// How often it is still to be gone through what is repeated, innermost last.
    loops: Vec<u32>,
    /// Groups it is within, innermost last.
    groups: Vec<OpenGroup>,
    /// What it waits for to make the same step again.
    again: Option<Again>,
    pub(crate) end: ScriptEnd,
    /// None of its requests got an answer, or none was sent.
    pub(crate) no_answer: bool,
    /// Between two iterations of a closed user.
    between: bool,
    /// It has waited for its turn to start, where the rate of starts is bounded.
    has_turn: bool,
    /// Which of the plan's loads it belongs to.
    load: u16,
}

/// What a closed user does between two iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It has begun another.
    Begun,
    /// It begins one when it is its turn.
    Later,
    /// It has left.
    Never,
}

/// A group that a journey is within.
#[derive(Debug)]
struct OpenGroup {
    group: u16,
    due: u64,
    failed: bool,
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
    pub(crate) fn closed(load: usize, user: User, key: IterationKey, due: u64) -> Box<Self> {
        let mut journey = Self::new(user, key);
        (journey.load, journey.done, journey.between) = (load as u16, due, true);
        Box::new(journey)
    }

    /// An iteration on a user of its own.
    pub(crate) fn single(user: User, n: u64, key: IterationKey, due: u64) -> Box<Self> {
        let mut journey = Box::new(Self::new(user, key));
        journey.begin(n, key, due);
        journey
    }

    fn new(user: User, key: IterationKey) -> Self {
        let values = Values::of(user.number);
        Self {
            user,
            values,
            key,
            arrival: 0,
            due: 0,
            done: 0,
            next: 0,
            loops: Vec::new(),
            groups: Vec::new(),
            again: None,
            end: ScriptEnd::Succeeded,
            no_answer: true,
            between: false,
            has_turn: false,
            load: 0,
        }
    }

    /// A step of it has failed.
    fn fails(&mut self) {
        self.end = ScriptEnd::Failed;
        self.groups.iter_mut().for_each(|group| group.failed = true);
    }

    /// Puts the user at the beginning of an iteration.
    fn begin(&mut self, n: u64, key: IterationKey, due: u64) {
        self.values.iteration = n;
        self.values.captures.clear();
        self.values.pass = 0;
        self.loops.clear();
        self.groups.clear();
        self.again = None;
        self.key = key;
        (self.arrival, self.due, self.done, self.next) = (due, due, due, 0);
        (self.end, self.no_answer) = (ScriptEnd::Succeeded, true);
        (self.between, self.has_turn) = (false, false);
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
    /// An iteration of a load on a user of its own.
    pub(crate) fn single(
        &self,
        load: usize,
        n: u64,
        key: IterationKey,
        due: u64,
        owning: bool,
    ) -> Box<Journey> {
        let spare = self.spare.borrow_mut().pop();
        let mut journey = match spare {
            None => Journey::single(User::visiting(n, owning), n, key, due),
            Some(mut journey) => {
                journey.user = User::visiting(n, owning);
                journey.values.user = n;
                journey.values.made.get_mut().clear();
                journey.begin(n, key, due);
                journey
            }
        };
        journey.load = load as u16;
        journey
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
            if journey.between {
                match self.begin_next(&mut journey) {
                    Next::Begun => {}
                    Next::Later => return self.think(journey),
                    Next::Never => return,
                }
            }
            match self.advance(&mut journey).await {
                Halt::Pause => return self.think(journey),
                Halt::End => self.conclude(&journey),
            }
            if !journey.user.is_closed() {
                self.shared.loads[usize::from(journey.load)].running.fetch_sub(1, Ordering::Relaxed);
                // Its connection ends with it, and not when its memory is used again.
                journey.user.own = None;
                return self.journeys.keep(journey);
            }
            journey.between = true;
            let rest = self.scripts[usize::from(journey.key.scenario)].rest.as_deref();
            if (rest.is_some() || journey.no_answer) && self.rests(rest, &mut journey) {
                return self.think(journey);
            }
        }
    }

    /// Whether a closed user waits before its next iteration: it thinks, keeps its pace, or got no answer.
    fn rests(&self, rest: Option<&Rest>, journey: &mut Journey) -> bool {
        let ended = journey.done;
        if journey.no_answer {
            journey.done += NO_ANSWER_PAUSE;
        }
        if let Some(rest) = rest {
            let (n, place) = (journey.values.iteration, journey.next as u64);
            // Behind the places of the script's own pauses, wherever the iteration ended.
            let thinks =
                rest.think_time.map_or(0, |drawn| pause(drawn, self.seed, n, place | BEHIND_THE_SCRIPT, 0));
            let paced = journey.arrival.saturating_add(rest.pacing);
            journey.done = journey.done.max(ended.saturating_add(thinks)).max(paced);
        }
        journey.due = journey.done;
        journey.done > ended
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
                Instruction::Pause(drawn) => {
                    // A pause counts from the end of the step before it, or from the arrival.
                    let Values { iteration, pass, .. } = journey.values;
                    let length = pause(*drawn, self.seed, iteration, place_in_script, pass);
                    journey.due = journey.done.max(journey.due) + length;
                    journey.done = journey.due;
                    return Halt::Pause;
                }
                Instruction::Request(step) => {
                    let since = journey.again.map_or_else(|| Since::due(journey.due), |again| again.since);
                    let end = self.step(&mut journey.user, &mut journey.values, step, place, since).await;
                    if step.is_made_again()
                        && let Some((again, due)) =
                            step.again(&end, journey.again.unwrap_or(Again::first(since)))
                    {
                        journey.again = Some(again);
                        (journey.due, journey.done) = (due, due);
                        journey.no_answer &= end.no_answer;
                        journey.next -= 1;
                        return Halt::Pause;
                    }
                    journey.again = None;
                    journey.done = end.done;
                    journey.due = end.done;
                    if end.succeeded {
                        journey.no_answer &= end.no_answer;
                    } else if self.ends_with(journey, step, &end) {
                        return self.leave_all(journey);
                    }
                }
                // Rare, and its state is large: in a box it costs other journeys no memory.
                Instruction::Parallel(parallel) => {
                    if Box::pin(self.parallel(parallel, journey, place)).await {
                        return self.leave_all(journey);
                    }
                }
                other => {
                    if self.direct(other, journey, place_in_script) {
                        return self.leave_all(journey);
                    }
                }
            }
        }
        Halt::End
    }

    /// What a step that failed means for its journey. True: it goes no further.
    fn ends_with(&self, journey: &mut Journey, step: &Step, end: &StepEnd) -> bool {
        // Also where earlier steps were answered: the target did not fail this one.
        if end.not_offered {
            (journey.end, journey.no_answer) = (ScriptEnd::NotOffered, true);
            return true;
        }
        journey.no_answer &= end.no_answer;
        journey.fails();
        if step.on_failure == OnFailure::StopRun {
            let label = self.shape.steps.get(usize::from(step.index)).map_or("?", |step| &*step.step);
            let why = match end.status {
                Some(status) if end.outcome == Outcome::Status => format!("status {status}"),
                _ => end.outcome.to_string(),
            };
            self.fail(format!("the step `{label}` failed ({why}), and the plan says to stop then"));
        }
        step.on_failure != OnFailure::Continue
    }

    /// Does what sends nothing. True: the journey goes no further.
    fn direct(&self, action: &Instruction, journey: &mut Journey, place_in_script: u64) -> bool {
        let Values { iteration, pass, .. } = journey.values;
        let random = || random(self.seed, iteration, place_in_script, pass);
        match action {
            Instruction::Pause(_) | Instruction::Request(_) | Instruction::Parallel(_) => {}
            Instruction::Set(values) => {
                for (slot, template) in values {
                    let Ok(value) = self.filled(template, &journey.values) else {
                        self.trouble("a value could not be set: what it is made of was not captured");
                        journey.fails();
                        return true;
                    };
                    journey.values.captures.get_mut(*slot).into_iter().for_each(|slot| {
                        *slot = Some(value.clone());
                    });
                }
            }
            Instruction::Enter(group) => {
                let due = journey.due;
                journey.groups.push(OpenGroup { group: *group, due, failed: false });
            }
            Instruction::Leave => self.leave_group(journey),
            Instruction::Repeat { times, end } => match random().random_range(times.clone()) {
                0 => journey.next = *end,
                times => journey.loops.push(times),
            },
            Instruction::Again { start } => {
                journey.values.pass += 1;
                let left = journey.loops.pop().unwrap_or(1) - 1;
                if left > 0 {
                    journey.loops.push(left);
                    journey.next = *start;
                }
            }
            Instruction::Unless(condition) => {
                let value = self.filled(&condition.value, &journey.values).ok().map(as_value);
                if !condition.is.holds(value.as_ref()) {
                    journey.next = condition.otherwise;
                }
            }
            Instruction::Jump(next) => journey.next = *next,
            Instruction::OneOf(places) => {
                let all = places.last().map_or(1, |(sum, _)| *sum);
                let drawn = random().random_range(0..all);
                let place = places.partition_point(|(sum, _)| *sum <= drawn);
                journey.next = places.get(place).map_or(journey.next, |(_, place)| *place);
            }
        }
        false
    }

    /// Makes several steps at once and waits for the last. True: the journey goes no further.
    async fn parallel(&self, parallel: &Parallel, journey: &mut Journey, place: Place) -> bool {
        let due = journey.due;
        journey.groups.push(OpenGroup { group: parallel.group, due, failed: false });
        let mut users = journey.user.branch(parallel.steps.len());
        let made: Vec<_> = {
            let journey = &*journey;
            let steps = parallel.steps.iter().zip(&mut users).map(|(step, user)| async move {
                let mut values = journey.values.clone();
                let end = self.to_its_end(user, &mut values, step, place, due).await;
                (step, end, values)
            });
            futures_util::future::join_all(steps).await
        };
        journey.user.join(users);
        let mut is_over = false;
        for (step, end, mut values) in made {
            journey.done = journey.done.max(end.done);
            if end.succeeded {
                journey.no_answer &= end.no_answer;
            } else {
                is_over |= self.ends_with(journey, step, &end);
            }
            for capture in &step.captures {
                let taken = values.captures.get_mut(capture.slot).and_then(Option::take);
                // What was looked for and is not there is unknown, and not what an earlier pass found.
                if let Some(slot) = journey.values.captures.get_mut(capture.slot)
                    && (end.succeeded || taken.is_some())
                {
                    *slot = taken;
                }
            }
            journey.values.has_made(&values);
        }
        journey.due = journey.done;
        if !is_over {
            self.leave_group(journey);
        }
        is_over
    }

    /// Makes a step until nothing has to be made again.
    async fn to_its_end(
        &self,
        user: &mut User,
        values: &mut Values,
        step: &Step,
        place: Place,
        due: u64,
    ) -> StepEnd {
        let mut again = Again::first(Since::due(due));
        loop {
            let end = self.step(user, values, step, place, again.since).await;
            let Some((next, due)) = step.again(&end, again) else { return end };
            self.timers.sleep_until(due).await;
            again = next;
        }
    }

    /// The innermost group has ended.
    fn leave_group(&self, journey: &mut Journey) {
        let Some(OpenGroup { group, due, failed }) = journey.groups.pop() else { return };
        let key = GroupKey { group, phase: journey.key.phase };
        self.recorder.borrow_mut().group(key, due, journey.done.max(due), failed);
    }

    /// The iteration goes no further, and so do the groups it is within.
    fn leave_all(&self, journey: &mut Journey) -> Halt {
        while journey.end != ScriptEnd::NotOffered && !journey.groups.is_empty() {
            self.leave_group(journey);
        }
        Halt::End
    }

    /// Gives an iteration its rows and its room for captures; not when a feed has run out.
    fn provide(&self, script: &Script, journey: &mut Journey) -> bool {
        if script.captures > 0 {
            journey.values.captures.resize(script.captures, None);
        }
        // The usual script draws nothing, and its user did not before.
        let draws_nothing = script.feeds.is_empty() && journey.values.rows.is_empty();
        if draws_nothing || self.draw(script, &mut journey.values) {
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
        if self.drains.get() {
            self.ended.notify_one();
        }
    }

    /// Begins a closed user's next iteration, unless it is not wanted any more or has to wait for its turn.
    fn begin_next(&self, journey: &mut Journey) -> Next {
        let load = usize::from(journey.load);
        let (offer, shared) = (&self.offers[load], &self.shared.loads[load]);
        let number = journey.user.number / self.offers.len() as u64;
        let slot = || self.share.slot(number);
        // Whoever stops the run wants no user any more.
        let wanted = number < offer.crowd.wanted.get();
        if let Some(interval) = offer.interval.filter(|_| wanted && !journey.has_turn) {
            // It is due when its turn comes: what is held back on purpose is not late.
            let turn = shared.turn(journey.done, interval);
            journey.has_turn = true;
            if turn > journey.done {
                (journey.done, journey.due) = (turn, turn);
                return Next::Later;
            }
        }
        let may = wanted && offer.limits.per_user.is_none_or(|most| offer.crowd.goes_on(slot(), most));
        if wanted && !may && shared.spent.fetch_add(1, Ordering::Relaxed) + 1 >= offer.crowd.most.get() {
            shared.exhausted.store(true, Ordering::Relaxed);
        }
        let n = may.then(|| shared.started.fetch_add(1, Ordering::Relaxed));
        let Some(n) = n.filter(|n| offer.limits.iterations.is_none_or(|limit| *n < limit)) else {
            if n.is_some() {
                shared.exhausted.store(true, Ordering::Relaxed);
            }
            // Whoever has done all its iterations keeps its place, so that nobody takes it.
            if may == wanted {
                offer.crowd.left(slot());
            }
            self.shared.users.fetch_sub(1, Ordering::Relaxed);
            return Next::Never;
        };
        let due = journey.done;
        let key = self.key(load, offer.mix.scenario(n), due);
        journey.begin(self.number(load, n), key, due);
        self.recorder.borrow_mut().arrival(key, due);
        Next::Begun
    }
}

/// The closed model's users.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// How many are wanted, over all workers: those with lower numbers.
    pub(crate) wanted: Cell<u64>,
    /// The most that are ever wanted.
    pub(crate) most: Cell<u64>,
    /// Which of this worker's are there.
    present: RefCell<Vec<bool>>,
    /// Iterations that each of this worker's has started, where their number is bounded.
    started: RefCell<Vec<u64>>,
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

    /// Whether the user of a slot may start another iteration of so many; now it has.
    fn goes_on(&self, slot: usize, most: u64) -> bool {
        let mut started = self.started.borrow_mut();
        if started.len() <= slot {
            started.resize(slot + 1, 0);
        }
        let may = started[slot] < most;
        started[slot] += u64::from(may);
        may
    }

    fn left(&self, slot: usize) {
        self.present.borrow_mut().get_mut(slot).into_iter().for_each(|present| *present = false);
    }
}

/// A filled text as a value to compare: one that is written as a number or `true` is that too.
fn as_value(text: String) -> serde_json::Value {
    match serde_json::from_str(&text) {
        Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value,
        _ => serde_json::Value::String(text),
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
